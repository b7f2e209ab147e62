"""What a generator takes, the same in every format: its inputs by name, `noise`, `label` and what else it is given."""
import tensorflow as tf

from kgan.kinds import Field, get
from kgan.sampling import feed


def specs(generator, rows=None, inputs=None):
    """Name -> tf.TensorSpec [rows, …] of each input; rows None: any number. One that has no name in the model is `noise`.

    `inputs`: the contract's, where free sizes are to be fixed at those that it was trained at.
    """
    found = generator.input if isinstance(generator.input, dict) else {
        tensor.name if tensor.name in {each["name"] for each in inputs or ()} else "noise": tensor for tensor in generator.inputs}
    fixed = {each["name"]: sized(each) for each in inputs or ()}
    return {name: tf.TensorSpec([rows, *fixed.get(name, tensor.shape[1:])], tensor.dtype, name=name)
            for name, tensor in found.items()}


def sized(told):
    """The shape of one example of a contract's input or output, its free sizes those that it was trained at."""
    shape = told["shape"][1:]
    return [*told.get("size", shape[:0]), *shape[len(told.get("size", ())):]]


def make(generator, inputs):
    """What the generator makes of a dict of its inputs, in inference mode."""
    return generator(feed(generator, "noise", inputs), training=False)


def with_label(contract, noise, label=-1):
    """Dict of inputs: noise [n, D] and, where the contract tells of classes, `label` [n].

    `label`: int32 scalar, the class of all rows; -1: the classes in turn.
    """
    if not contract.get("label"):
        return {"noise": noise}
    count, classes = tf.shape(noise)[0], len(contract["label"]["classes"])
    return {"noise": noise, "label": tf.where(label < 0, tf.range(count) % classes, label)}


def given(inputs, rows, seed=0, larger=0):
    """Plausible examples of what a generator is given beside noise and label: dict of name -> float32 [rows, …].

    Args:
        inputs: the contract's.
        rows, seed: how many, and which.
        larger: by how much free sizes exceed those that it was trained at.
    """
    found = {}
    for told in inputs:
        if told["kind"] not in ("noise", "label"):
            shape = [size + larger if free is None else size for size, free in zip(sized(told), told["shape"][1:])]
            found[told["name"]] = get(told["kind"]).examples(Field(told["kind"], shape), rows, seed)
    return found
