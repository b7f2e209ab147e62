"""What a generator takes, the same in every format: its inputs by name, `noise`, `label` and what else it is given."""
import tensorflow as tf

from kgan.kinds import Field, get
from kgan.sampling import feed, inputs_of


def specs(generator, told, rows=None, fixed=False):
    """Name -> tf.TensorSpec [rows, …] of each input.

    Args:
        generator: keras.Model.
        told: the contract's inputs.
        rows: None: any number.
        fixed: whether sizes that are free in the network are those that it was trained at.
    """
    # one that has no name of the contract's is the only one
    tensors = dict(zip([each["name"] for each in told], generator.inputs)) if len(told) == 1 else inputs_of(generator)
    return {each["name"]: tf.TensorSpec([rows, *(sized(each) if fixed else tensors[each["name"]].shape[1:])],
                                        tensors[each["name"]].dtype, name=each["name"]) for each in told}


def sized(told):
    """The shape of one example of a contract's input or output, its free sizes those that it was trained at."""
    shape = told["shape"][1:]
    return [*told.get("size", shape[:0]), *shape[len(told.get("size", ())):]]


def make(generator, inputs):
    """What the generator makes of a dict of its inputs, in inference mode."""
    return generator(feed(generator, "noise", inputs), training=False)


def refusing(told, inputs):
    """A dict of inputs in which a label that is no class makes the runtime fail, in formats that have no assertions.

    Each label is looked up among the classes that there are, by an index that is out of bounds for all others: TFLite and
    ONNX Runtime refuse those. Without this a label of -1 would be the last class in ONNX, and no class at all in TFLite.
    """
    found = dict(inputs)
    for each in told:
        if each["kind"] == "label" and each["classes"]:
            label, count = inputs[each["name"]], len(each["classes"])  # nothing here that AutoGraph cannot read, as := is
            found[each["name"]] = tf.gather(tf.range(count), tf.where(label < 0, count, label))  # ONNX counts -1 from the end
    return found


def with_label(contract, noise, label=-1):
    """Dict of inputs: noise [n, D] and, where the contract tells of classes, `label` [n].

    `label`: int32 scalar, the class of all rows; -1: the classes in turn.
    """
    if not contract.get("label"):
        return {"noise": noise}
    count, classes = tf.shape(noise)[0], len(contract["label"]["classes"])
    return {"noise": noise, "label": tf.where(label < 0, tf.range(count) % classes, label)}


def examples(told, rows, latents, seed=0, larger=0):
    """Plausible inputs of a generator: dict of name -> [rows, …].

    Args:
        told: the contract's inputs.
        rows, seed: how many, and which. Labels come in turn.
        latents: function of (count, seed) to noise.
        larger: by how much free sizes exceed those that it was trained at.
    """
    found = {}
    for each in told:
        if each["kind"] == "noise":
            found[each["name"]] = latents(rows, seed)
            continue
        shape = [size + larger if free is None else size for size, free in zip(sized(each), each["shape"][1:])]
        more = {key: each[key] for key in getattr(get(each["kind"]), "MORE", ()) if key in each}
        field = Field(each["kind"], shape, each.get("classes", ()), more)
        found[each["name"]] = get(each["kind"]).examples(field, rows, seed)
    return found
