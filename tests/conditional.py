"""Tiny conditional GANs, of which the tests of export, server and page make files."""
import keras

from kgan.config import Config
from kgan.gan import GAN
from kgan.layers import ConditionalBatchNormalization

CLASSES = "red", "R&B é+1 #%", "日本"  # names that addresses have to escape


def tiny(kind="joined", shape=(8, 8, 3), classes=CLASSES, noise="normal", noise_dim=8, gain=3.0):
    """An untrained GAN whose samples differ visibly, by noise and by class.

    Args:
        kind: how the label comes in: "joined", its embedding beside the noise, or "gains", one-hot, as the gains and
            biases of a batch normalisation.
        shape: of a sample, (8, 8, channels) or (length,).
        gain: how much larger than usual weights are.
    """
    keras.utils.set_random_seed(4)
    layers, weights = keras.layers, keras.initializers.VarianceScaling(gain)
    values, label = keras.Input((noise_dim,), name="noise"), keras.Input((), dtype="int32", name="label")
    joined, maps = values, len(shape) == 3
    if kind == "joined":
        joined = layers.Concatenate()([values, layers.Embedding(len(classes), 6, embeddings_initializer="normal")(label)])
    x = layers.Dense(4 * 4 * 8 if maps else 16, kernel_initializer=weights)(joined)
    x = layers.Reshape((4, 4, 8))(x) if maps else x
    if kind == "gains":
        one_hot = keras.ops.one_hot(label, len(classes))
        x = ConditionalBatchNormalization(kernel_initializer=keras.initializers.RandomNormal(stddev=0.5))([x, one_hot])
    x = layers.ReLU()(x)
    if maps:
        x = layers.Conv2DTranspose(shape[-1], 4, 2, "same", activation="tanh", kernel_initializer=weights)(x)
    else:
        x = layers.Dense(shape[-1], kernel_initializer=weights)(x)
    generator = keras.Model({"noise": values, "label": label}, x, name="generator")
    discriminator = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(1)])
    return GAN(generator, discriminator, Config(noise=noise, noise_dim=noise_dim), classes=classes)
