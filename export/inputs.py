"""What a generator takes, the same in every format: its inputs by name, `noise` and, if it is conditional, `label`."""
import tensorflow as tf


def specs(generator, rows=None):
    """Name -> tf.TensorSpec [rows, …] of each input; rows None: any number. One that has no name in the model is `noise`."""
    found = generator.input if isinstance(generator.input, dict) else {"noise": generator.input}
    return {name: tf.TensorSpec([rows, *tensor.shape[1:]], tensor.dtype, name=name) for name, tensor in found.items()}


def make(generator, inputs):
    """What the generator makes of a dict of its inputs, in inference mode."""
    return generator(inputs if isinstance(generator.input, dict) else inputs["noise"], training=False)


def with_label(contract, noise, label=-1):
    """Dict of inputs: noise [n, D] and, where the contract tells of classes, `label` [n].

    `label`: int32 scalar, the class of all rows; -1: the classes in turn.
    """
    if not contract.get("label"):
        return {"noise": noise}
    count, classes = tf.shape(noise)[0], len(contract["label"]["classes"])
    return {"noise": noise, "label": tf.where(label < 0, tf.range(count) % classes, label)}
