"""DCGAN: convolutions with strides and batch normalisation, the classic for images.

Radford, Metz, Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434.

    python train.py --model=dcgan
"""
import dataclasses
from typing import Literal

import keras
from keras import layers

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError
from kgan.gan import GAN


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """Published: Adam 2e-4 (.5, .999), batch 128, noise 100, N(0, .02) weights, 128 filters (64 in the PyTorch port)."""

    batch_size: int = 64  # the folder tutorial's. Twice the updates of the paper's 128 in the same time on a CPU
    steps: int = 2_500  # four minutes on two CPU cores at 28x28; the tutorials train 10 to 200 epochs
    ema_decay: float = 0.998  # not in the paper: samples are drawn from the average of about the last 500 generators
    jit_compile: bool = False  # at 28x28 on two CPU cores plain TensorFlow made 1,000 img/s, XLA 700
    filters: int = 64  # of the widest maps, those nearest the picture; doubled with each halving, up to 8 times
    kernel_size: int = 4
    upsampling: Literal["transpose", "resize"] = "transpose"  # resize: nearest-neighbour upsampling, then convolution
    generator_activation: Literal["relu", "leaky_relu"] = "relu"

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "kernel_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1")


def check_shape(shape):
    """Raises ConfigError unless the networks can be built for pictures of this shape."""
    height, width, _ = shape if len(shape) == 3 else (0, 0, 0)
    if not height:
        raise ConfigError("dcgan makes images; for points and signals use --model=mlp or --model=sine")
    if height != width or not _halvings(height):
        raise ConfigError(f"image_size={height}: dcgan needs 7·2^k or 4·2^k: 8, 14, 16, 28, 32, 56, 64, 112, 128, 224, 256…")


def build(shape=(28, 28, 1), config=None, seed=0):
    """A DCGAN for images.

    Args:
        shape: (H, W, C), H = W = 7·2^k or 4·2^k with k ≥ 1; any number of channels.
        config: Config; None: the defaults.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        GAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = config or Config()
    check_shape(shape)
    return GAN(generator(shape, config), discriminator(shape, config), config, seed)


def generator(shape, config):
    """noise [n, noise_dim] -> images [n, H, W, C] in [-1, 1]: project, reshape, then double the size k times."""
    size, _, channels = shape
    count = _halvings(size)
    widths = _widths(config.filters, count)[::-1]
    start = size // 2**count
    noise = keras.Input((config.noise_dim,), name="noise")
    x = layers.Dense(start * start * widths[0], use_bias=False, kernel_initializer=_weights())(noise)
    x = layers.Reshape((start, start, widths[0]))(x)
    x = _activation(config.generator_activation)(_batch_norm()(x))
    for width in widths[1:]:
        x = _upsample(width, config, use_bias=False)(x)
        x = _activation(config.generator_activation)(_batch_norm()(x))
    # no batch normalisation of the output (section 3)
    x = _upsample(channels, config, use_bias=True)(x)
    images = layers.Activation("tanh", dtype="float32", name="images")(x)
    return keras.Model(noise, images, name="generator")


def discriminator(shape, config):
    """images [n, H, W, C] in [-1, 1] -> logits [n, 1]: halve the size k times, then one linear unit."""
    widths = _widths(config.filters, _halvings(shape[0]))
    images = x = keras.Input(shape, name="image")
    for i, width in enumerate(widths):
        # no batch normalisation of the input (section 3): that layer has a bias instead
        x = layers.Conv2D(width, config.kernel_size, strides=2, padding="same", use_bias=i == 0,
                          kernel_initializer=_weights())(x)
        x = _batch_norm()(x) if i else x
        x = _activation("leaky_relu")(x)
    logits = layers.Dense(1, kernel_initializer=_weights(), dtype="float32", name="logits")(layers.Flatten()(x))
    return keras.Model(images, logits, name="discriminator")


def _halvings(size):
    """k of 7·2^k or 4·2^k; 0 if the size is neither."""
    for start in (7, 4):
        k = (size // start).bit_length() - 1
        if k > 0 and size == start * 2**k:
            return k
    return 0


def _widths(filters, count):
    return [filters * min(2**i, 8) for i in range(count)]


def _weights(mean=0.0):
    return keras.initializers.RandomNormal(mean, 0.02)


def _batch_norm():
    # statistics follow within tens of steps, as in the tutorials; Keras's own .99 would lag behind a short run
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=_weights(1.0))


def _activation(name):
    return layers.ReLU() if name == "relu" else layers.LeakyReLU(negative_slope=0.2)


def _upsample(width, config, use_bias):
    options = dict(padding="same", use_bias=use_bias, kernel_initializer=_weights())
    if config.upsampling == "transpose":
        return layers.Conv2DTranspose(width, config.kernel_size, strides=2, **options)
    return keras.Sequential([layers.UpSampling2D(2), layers.Conv2D(width, config.kernel_size, **options)])
