"""DCGAN: convolutions with strides and batch normalisation, the classic for images.

Radford, Metz, Chintala 2015, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", arXiv:1511.06434.

    python train.py --model=dcgan                            five minutes on two CPU cores, to mostly readable digits
    python train.py --model=dcgan --image_size=64 --dataset=folder:PATH --flip

docs/results.md has pictures and figures, docs/recipes.md what differs from the paper and why. Conditional models join a
label to `grow`, from a vector to images, and to `shrink`, from images to features.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
from keras import layers

from kgan.config import Config as BaseConfig
from kgan.config import Scheduled
from kgan.gan import GAN
from kgan.layers import BatchNormalization, Conv2D, Conv2DTranspose, MinibatchStdDev, SpectralConv2D, SpectralDense
from kgan.models._shapes import check_shape, doublings


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the presets `paper` and `tutorial` have the published values."""

    preset: Literal["laptop", "paper", "tutorial", "modern", "few"] = "laptop"
    batch_size: int = 64
    steps: int = 5_500
    generator_learning_rate: Scheduled = 1e-3  # 2e-4 in the paper; faster than D's, or else D wins early at 64x64
    discriminator_learning_rate: Scheduled = 2e-4
    ema_decay: Scheduled = 0.998  # not in the paper: samples come from the average of about the last 500 generators
    filters: int = 32  # of the maps nearest the picture; doubled with each halving, up to 8 times as many
    kernel_size: int = 4  # of all layers but the one from 4×4 to 7×7 maps, whose kernels are 4×4
    upsampling: Literal["transpose", "resize"] = "transpose"  # resize: nearest-neighbour upsampling, then convolution
    generator_activation: Literal["relu", "leaky_relu"] = "relu"
    discriminator_normalization: Literal["batch", "layer", "spectral", "none"] = "batch"  # not batch with a penalty
    minibatch_std: bool = False  # whether D sees how varied its batch is

    presets: ClassVar[dict] = {
        # for few steps: of the digits of the first command, in the same CPU time, Fréchet distance 2.3 in place of 6.7 (docs/recipes.md)
        "laptop": dict(noise_dim=16, minibatch_std=True, generator_learning_rate=4e-3, discriminator_learning_rate=1e-3),
        "paper": dict(filters=128, kernel_size=5, batch_size=128, generator_learning_rate=2e-4, ema_decay=0.0),
        # on folders of images; the one on CIFAR-10 has batch 128 and LeakyReLU in G
        "tutorial": dict(filters=64, generator_learning_rate=2e-4, ema_decay=0.0),
        # R3GAN's objective, penalties and schedules: slower a step; it lost no mode of Stacked MNIST
        "modern": dict(loss="relativistic", penalty="r1+r2", penalty_weight="cosine:1:0.1", noise_dim=64,
                       discriminator_normalization="none", beta_1=0.0, beta_2="cosine:0.9:0.99", batch_size=128,
                       generator_learning_rate="cosine:5e-4:5e-5", discriminator_learning_rate="cosine:5e-4:5e-5",
                       ema_decay=0.999, steps=15_000),
        # under about 2,000 images, which the default would show to D hundreds of times as they are (ADA, Karras et al. 2020);
        # of 300 photos at equal time Fréchet distance 15.5 in place of 25.9 (benchmarks/few_photos.py, docs/results.md)
        "few": dict(filters=16, batch_size=32, augment="color+translation+cutout", augment_target=0.6, augment_images=50_000,
                    steps=5_000),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "kernel_size"):
            self._check(name, 1)


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """A DCGAN for images.

    Args:
        shape: (H, W, C), H and W from 8 on; any number of channels.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        GAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    check_shape(shape, "dcgan", odd=True)
    return GAN(generator(shape, config), discriminator(shape, config), config, seed)


def generator(shape, config):
    """noise [n, noise_dim] -> images [n, H, W, C] in [-1, 1]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    return keras.Model(noise, grow(noise, shape, config), name="generator")


def discriminator(shape, config):
    """images [n, H, W, C] in [-1, 1] -> logits [n, k]: a linear layer on `shrink`'s features."""
    images = keras.Input(config.packed(shape), name="image")
    logits = linear(layers.Flatten()(shrink(images, config)), config.discriminator_outputs, config, "logits")
    return keras.Model(images, logits, name="discriminator")


def grow(x, shape, config, norm=None):
    """x [n, d] -> images [n, H, W, C] in [-1, 1]: project to the smallest maps, then double the size again and again.

    `norm`: function from maps to normalised maps; None: batch normalisation.
    """
    norm = norm or (lambda x: _batch_norm()(x))
    sizes = _sizes(shape)
    widths = _widths(config.filters, len(sizes) - 1)[::-1]
    x = layers.Dense(math.prod(sizes[0]) * widths[0], use_bias=False, kernel_initializer=_weights())(x)
    x = layers.Reshape((*sizes[0], widths[0]))(x)
    x = _activation(config.generator_activation)(norm(x))
    for size, width in zip(sizes[1:-1], widths[1:]):
        x = _upsample(x, size, width, config, use_bias=False)
        x = _activation(config.generator_activation)(norm(x))
    # no batch normalisation of the output (section 3)
    x = _upsample(x, sizes[-1], shape[-1], config, use_bias=True)
    return layers.Activation("tanh", dtype="float32", name="images")(x)


def shrink(x, config):
    """Images [n, H, W, C] -> maps [n, 4, 4, d] of squares of 4 and 7·2^k: halve the size again and again (`_sizes`)."""
    kind = config.discriminator_normalization
    convolution = SpectralConv2D if kind == "spectral" else Conv2D
    for i, width in enumerate(_widths(config.filters, len(_sizes(x.shape[1:])) - 1)):
        # no normalisation of the input (section 3): that layer has a bias instead
        norm = {"batch": _batch_norm, "layer": _layer_norm}.get(kind) if i else None
        x = convolution(width, config.kernel_size, strides=2, padding="same", use_bias=norm is None,
                        kernel_initializer=_weights())(x)
        x = norm()(x) if norm else x
        x = _activation("leaky_relu")(x)
    return MinibatchStdDev()(x) if config.minibatch_std else x


def linear(x, units, config, name, **options):
    """Features [n, d] -> float32 [n, units]: the end of a discriminator."""
    dense = SpectralDense if config.discriminator_normalization == "spectral" else layers.Dense
    return dense(units, kernel_initializer=_weights(), dtype="float32", name=name, **options)(x)


def _sizes(shape):
    """The sizes of the maps, from 4 to 6 rows or columns up to the picture's: [(4, 4), (7, 7), …] or [(4, 6), (8, 12), …]."""
    return doublings(shape, odd=True)


def _widths(filters, count):
    return [filters * min(2**i, 8) for i in range(count)]


def _weights(mean=0.0):
    return keras.initializers.RandomNormal(mean, 0.02)


def _batch_norm():
    # statistics follow within tens of steps, as in the tutorials; Keras's own .99 would lag behind a short run
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=_weights(1.0))


def _layer_norm():
    # over an example's whole map, as WGAN-GP asks for: it does not mix examples
    return layers.GroupNormalization(groups=1, epsilon=1e-5)


def _activation(name):
    return layers.ReLU() if name == "relu" else layers.LeakyReLU(negative_slope=0.2)


def _upsample(x, size, width, config, use_bias):
    """x [n, h, w, c] -> [n, *size, width], where size is (2h, 2w), either of them perhaps one less."""
    options = dict(use_bias=use_bias, kernel_initializer=_weights())
    if config.upsampling == "resize":
        x = cropped(layers.UpSampling2D(2)(x), size)  # not Resizing, whose gradient XLA does not have
        return layers.Conv2D(width, config.kernel_size, padding="same", **options)(x)
    if size == (7, 7):
        return layers.Conv2DTranspose(width, 4, padding="valid", **options)(x)  # 4 + 4 - 1 = 7
    return cropped(Conv2DTranspose(width, config.kernel_size, strides=2, padding="same", **options)(x), size)


def cropped(x, size):
    """Maps [n, H, W, C] without what they have beyond `size`, below and at the right."""
    beyond = [(0, have - wanted) for have, wanted in zip(x.shape[1:3], size)]
    return x if beyond == [(0, 0), (0, 0)] else layers.Cropping2D(beyond)(x)
