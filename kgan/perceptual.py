"""Losses in the features of a network that is not trained, which the user names: a `.keras` file.

Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv:1603.08155. kgan ships no such
network and fetches none.
"""
import keras
import tensorflow as tf

from kgan.config import ConfigError


def features(path, channels, name="perceptual"):
    """What turns images float [n, H, W, channels] in [-1, 1] into a list of maps float32 [n, h, w, c].

    These are the network's outputs; of a network with one output, the results of all its convolutions.

    Args:
        path: a `.keras` file, of a functional model of images of any size, or of the size that they have here.
        channels: of the images.
        name: of the setting, for messages.

    Raises:
        ConfigError: the file cannot be loaded, or its network takes other images.
    """
    try:
        network = keras.models.load_model(path, compile=False)
        if len(network.inputs) != 1 or len(network.inputs[0].shape) != 4:
            raise ValueError("its network takes no images alone")
        convolutions = [layer.output for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
        found = network.outputs if len(network.outputs) > 1 else convolutions or network.outputs
        network = keras.Model(network.inputs, found)
    except Exception as error:  # Keras raises nearly anything on files that are none of its own
        raise ConfigError(f"{name}={path}: no network can be loaded from it ({' '.join(str(error).split())[:200]}); give a .keras "
                          "file of a functional model") from None
    if network.inputs[0].shape[-1] not in (None, channels):
        raise ConfigError(f"{name}={path}: its network takes images of {network.inputs[0].shape[-1]} channels, these have {channels}")
    network.trainable = False

    def maps(images):
        values = network(images, training=False)
        return [tf.cast(value, tf.float32) for value in (values if isinstance(values, (list, tuple)) else [values])]
    return maps


def difference(one, other):
    """The mean over features of the mean absolute differences of two lists of maps, a scalar."""
    return tf.add_n([tf.reduce_mean(tf.abs(a - b)) for a, b in zip(one, other, strict=True)]) / len(one)


def gram(maps):
    """How channels go together: maps [n, h, w, c] -> [n, c, c], divided by h·w·c (Johnson et al. 2016, equation 3)."""
    shape = tf.shape(maps)
    flat = tf.reshape(maps, [shape[0], shape[1] * shape[2], maps.shape[-1]])
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(shape[1] * shape[2] * maps.shape[-1], maps.dtype)
