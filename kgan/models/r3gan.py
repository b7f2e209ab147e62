"""R3GAN: residual blocks without normalisation, relativistic pairing, R1 and R2: the modern baseline.

Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN", arXiv:2501.05441.

    python train.py --model=r3gan                              digits at 28x28, small networks for a laptop
    python train.py --model=r3gan --set preset=cifar10 --dataset=cifar10

docs/results.md has a picture, docs/recipes.md what differs from the paper and why.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Loss, Penalty, Scheduled
from kgan.gan import GAN
from kgan.layers import ClipAtInference, MinibatchStdDev
from kgan.models._shapes import check_shape, doublings

_GAIN = np.sqrt(2 / (1 + 0.2**2))  # of LeakyReLU .2


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `cifar10` has the published values."""

    preset: Literal["laptop", "cifar10"] = "laptop"
    batch_size: int = 64
    steps: int = 3_000
    loss: Loss = "relativistic"
    penalty: Penalty = "r1+r2"
    penalty_weight: Scheduled = "cosine:2:0.2:0.5"
    noise_dim: int = 64
    generator_learning_rate: Scheduled = "cosine:5e-4:1e-4:0.5"
    discriminator_learning_rate: Scheduled = "cosine:5e-4:1e-4:0.5"
    beta_1: float = 0.0
    beta_2: Scheduled = "cosine:0.9:0.99:0.5"
    ema_decay: Scheduled = 0.998
    widths: tuple[int, ...] = (96, 64, 32)  # channels of the stages, from the smallest maps on; the last is repeated
    blocks: int = 1  # residual blocks in a stage
    expansion: int = 2  # the inner width of a block over its outer one
    group_width: int = 16  # inner channels that a grouped convolution joins
    minibatch_std: bool = False  # not R3GAN's

    presets: ClassVar[dict] = {
        "laptop": {},
        # 20.7 M parameters each; batch 512, 390,000 steps of them (200 M images), the schedules' first tenth
        "cifar10": dict(widths=(768, 768, 768, 768), blocks=2, batch_size=512, steps=390_000,
                        generator_learning_rate="cosine:2e-4:5e-5:0.1", penalty_weight="cosine:0.05:0.005:0.1",
                        discriminator_learning_rate="cosine:2e-4:5e-5:0.1", beta_2="cosine:0.9:0.99:0.1",
                        augment="flip+rotate90+color+translation+cutout", augment_probability="cosine:0:0.55:0.1",
                        ema_decay=0.9999),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("blocks", "expansion", "group_width"):
            self._check(name, 1)
        if not self.widths or any(width < 1 or width * self.expansion % self.group_width for width in self.widths):
            raise ConfigError(f"widths={self.widths}: each times expansion={self.expansion} must be a multiple of "
                              f"group_width={self.group_width}")


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """An R3GAN for images.

    Args:
        shape: (H, W, C), both sides even down to maps with 4 to 7 rows or columns: squares of 4, 5, 6 or 7·2^k with k ≥ 1,
            rectangles such as 64×96; any number of channels.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        GAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    check_shape(shape, "r3gan")
    return GAN(generator(shape, config), discriminator(shape, config), config, seed)


def generator(shape, config):
    """noise [n, noise_dim] -> images [n, H, W, C]: a learned basis, then blocks, doubling the size after each stage."""
    sizes, widths = _stages(shape, config)
    noise = keras.Input((config.noise_dim,), name="noise")
    x = _dense(widths[0], use_bias=False)(noise)
    x = Basis(sizes[0])(x)
    for stage, width in enumerate(widths):
        if stage:
            x = _convolution(width)(x) if width != widths[stage - 1] else x
            x = Upsample()(x)
        for _ in range(config.blocks):
            x = _block(x, width, config, len(widths))
    x = layers.Activation("linear", dtype="float32")(_convolution(shape[-1])(x))
    # no tanh (the paper), but what leaves the house is an image
    images = ClipAtInference(dtype="float32", name="images")(x)
    return keras.Model(noise, images, name="generator")


def discriminator(shape, config):
    """images [n, H, W, C] -> logits [n, k]: G's mirror, a depthwise convolution over the whole map, a linear layer."""
    sizes, widths = _stages(shape, config)
    image = keras.Input(config.packed(shape), name="image")
    x = _convolution(widths[-1])(image)
    for stage in reversed(range(len(widths))):
        for _ in range(config.blocks):
            x = _block(x, widths[stage], config, len(widths))
        if stage:
            x = Downsample()(x)
            x = _convolution(widths[stage - 1])(x) if widths[stage - 1] != widths[stage] else x
    x = MinibatchStdDev()(x) if config.minibatch_std else x
    x = layers.DepthwiseConv2D(sizes[0], use_bias=False, depthwise_initializer=_normal(math.prod(sizes[0]) ** -0.5))(x)
    logits = _dense(config.discriminator_outputs, dtype="float32", use_bias=False, name="logits")(layers.Flatten()(x))
    return keras.Model(image, logits, name="discriminator")


def _block(x, width, config, stages):
    """x + W3·a(W2·a(W1·x)): expand, convolve in groups, project. W3 starts at 0: a new block does nothing."""
    inner = config.expansion * width
    gain = _GAIN * (stages * config.blocks) ** -0.25
    y = _convolution(inner, gain)(x)
    y = GroupedConvolution(config.group_width, gain)(BiasedActivation()(y))
    y = _convolution(width, 0.0)(BiasedActivation()(y))
    return layers.Add()([x, y])


@keras.saving.register_keras_serializable("kgan")
class BiasedActivation(layers.Layer):
    """LeakyReLU .2 of x + b, b learned for each channel."""

    def build(self, shape):
        self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, x):
        return ops.leaky_relu(x + ops.cast(self.bias, x.dtype), 0.2)


@keras.saving.register_keras_serializable("kgan")
class GroupedConvolution(layers.Layer):
    """A 3×3 convolution within groups of `group_width` channels. (Keras's own is compiled by XLA on a CPU: slow.)"""

    def __init__(self, group_width, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.group_width, self.gain = group_width, float(gain)

    def build(self, shape):
        fan_in = 9 * self.group_width
        self.kernel = self.add_weight(shape=(3, 3, self.group_width, shape[-1]), name="kernel",
                                      initializer=_normal(self.gain / np.sqrt(fan_in)))

    def call(self, x):
        # on a CPU there is no gradient in float16
        half = x.dtype == tf.float16 and not tf.config.list_physical_devices("GPU")
        inputs = tf.cast(x, tf.float32) if half else x
        return tf.cast(tf.nn.conv2d(inputs, tf.cast(self.kernel, inputs.dtype), 1, "SAME"), x.dtype)

    def get_config(self):
        return {**super().get_config(), "group_width": self.group_width, "gain": self.gain}


@keras.saving.register_keras_serializable("kgan")
class Basis(layers.Layer):
    """weights [n, C] -> maps [n, *size, C]: each channel's learned pattern, times its weight."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = (size, size) if isinstance(size, int) else tuple(size)  # files of before have a number

    def build(self, shape):
        self.patterns = self.add_weight(shape=(*self.size, shape[-1]), name="patterns", initializer=_normal(1.0))

    def call(self, x):
        return x[:, None, None, :] * ops.cast(self.patterns, x.dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("kgan")
class Upsample(layers.Layer):
    """[n, H, W, C] -> [n, 2H, 2W, C], through the filter [1, 3, 3, 1] / 4 in each direction, zeros beyond the edge."""

    def call(self, x, training=False):
        if training:
            return _through(x, *(2 * _halving(side).T for side in x.shape[1:3]))
        for axis in (1, 2):
            padded = ops.pad(x, [[0, 0], *([1, 1] if i == axis else [0, 0] for i in (1, 2)), [0, 0]])
            before, after = (_cut(padded, axis, start, x.shape[axis]) for start in (0, 2))
            shape = [-1, *(size * (1 + (i == axis)) for i, size in enumerate(x.shape[1:], 1))]
            x = ops.reshape(ops.stack([(before + 3 * x) / 4, (3 * x + after) / 4], axis + 1), shape)
        return x


@keras.saving.register_keras_serializable("kgan")
class Downsample(layers.Layer):
    """[n, 2H, 2W, C] -> [n, H, W, C], through the filter [1, 3, 3, 1] / 8 in each direction, zeros beyond the edge."""

    def call(self, x, training=False):
        if training:
            return _through(x, *(_halving(side // 2) for side in x.shape[1:3]))
        for axis in (1, 2):
            padded = ops.pad(x, [[0, 0], *([1, 1] if i == axis else [0, 0] for i in (1, 2)), [0, 0]])
            size = x.shape[axis] // 2
            a, b, c, d = (_cut(padded, axis, start, size, 2) for start in range(4))
            x = (a + 3 * (b + c) + d) / 8
        return x


def _halving(size):
    """The filter [1, 3, 3, 1] / 8 and every second place of its result as a matrix, float32 [size, 2·size]."""
    rows = np.zeros((size, 2 * size + 2), np.float32)
    for i in range(size):
        rows[i, 2 * i:2 * i + 4] = np.float32([1, 3, 3, 1]) / 8
    return rows[:, 1:-1]


def _through(x, rows, columns):
    """Maps [n, H, W, C] through a matrix along each of their sides: rows [H', H], columns [W', W].

    In training, where strided slices cost most of the step: the penalties take their gradients twice. Inference, and so what is
    exported, has the slices.
    """
    _, height, width, channels = x.shape
    rows, columns = (tf.constant(matrix, x.dtype) for matrix in (rows, columns))
    x = tf.linalg.matmul(rows, tf.reshape(x, [-1, height, width * channels]))
    x = tf.linalg.matmul(columns, tf.reshape(x, [-1, width, channels]))
    return tf.reshape(x, [-1, rows.shape[0], columns.shape[0], channels])


def _cut(x, axis, start, count, step=1):
    window = slice(start, start + step * (count - 1) + 1, step)
    return x[:, window] if axis == 1 else x[:, :, window]


def _stages(shape, config):
    sizes = doublings(shape)  # from the basis, 4×4 or 7×7, say
    widths = (*config.widths, *[config.widths[-1]] * len(sizes))[:len(sizes)]
    return sizes, widths


def _normal(stddev):
    return keras.initializers.RandomNormal(0.0, stddev) if stddev else keras.initializers.Zeros()


def _convolution(width, gain=1.0):
    """A 1×1 convolution without bias, N(0, gain / √fan_in)."""
    return layers.Conv2D(width, 1, use_bias=False, kernel_initializer=_scaled(gain))


def _dense(units, **kwargs):
    return layers.Dense(units, kernel_initializer=_scaled(1.0), **kwargs)


def _scaled(gain):
    # VarianceScaling's normal is truncated and rescaled unless it is asked not to be
    return keras.initializers.VarianceScaling(gain**2, "fan_in", "untruncated_normal") if gain else "zeros"
