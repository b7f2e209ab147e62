"""What functions take and give, the same in every format: inputs by name, `noise`, `label` and what else they are given."""
import warnings

import tensorflow as tf

from kgan.command import UserError
from kgan.kinds import Field, get
from kgan.sampling import feed


def functions_of(generator, contract, label=None):
    """What a format writes: dict of the name of a function to a keras.Model.

    Args:
        generator: keras.Model, or a dict of name to it and to Python functions, which are no networks.
        contract: of `export.contract`; a network alone is its first function.
        label: the format's name; None: it takes Python functions too.

    Raises:
        UserError: the format takes networks, and there are none. Where there are some the others are left out with a warning.
    """
    found = generator if isinstance(generator, dict) else {next(iter(contract["functions"])): generator}
    others = [name for name, function in found.items() if not hasattr(function, "inputs")] if label else []
    if len(others) == len(found):
        raise UserError(f"{label}: {', '.join(others)} is no network but a search that only TensorFlow runs: leave the format out, "
                        "--formats=saved_model has it")
    if others:
        warnings.warn(f"{label}: {', '.join(others)} is left out, no network but a search that only TensorFlow runs; "
                      "--formats=saved_model has it", stacklevel=3)
    return {name: function for name, function in found.items() if name not in others}


def specs(told, rows=None, fixed=False):
    """Name -> tf.TensorSpec [rows, …] of each input.

    Args:
        told: the contract's inputs.
        rows: None: any number.
        fixed: whether sizes that are free in the network are those that it was trained at.
    """
    return {each["name"]: tf.TensorSpec([rows, *(sized(each) if fixed else each["shape"][1:])], each["dtype"], name=each["name"])
            for each in told}


def sized(told):
    """The shape of one example of a contract's input or output, its free sizes those that it was trained at."""
    shape = told["shape"][1:]
    return [*told.get("size", shape[:0]), *shape[len(told.get("size", ())):]]


def make(function, told, inputs):
    """Dict of what a network makes of a dict of its inputs, in inference mode; or a Python function. `told`: of the contract."""
    network = hasattr(function, "inputs")
    made = function(feed(function, "noise", inputs), training=False) if network else function(inputs)
    names = [each["name"] for each in told["outputs"]]
    return {name: made[name] for name in names} if isinstance(made, dict) else {names[0]: made}


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
