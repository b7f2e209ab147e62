"""FastGAN: photographs, learned from a few hundred: small maps gate large ones, D reconstructs what it sees (Liu et al. 2021).

Liu, Zhu, Song, Elgammal 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis",
arXiv:2101.04775.

    python train.py --model=fastgan --dataset=folder:PATH --image_size=64 --flip           small networks, for two CPU cores
    python train.py --model=fastgan --dataset=folder:PATH --image_size=256 --flip --set preset=published

Skip-layer excitation: each channel of G's large maps is weighed by what maps sixteen times smaller say. D is an encoder as
well: small decoders draw real images from its features, the whole image and a quarter of it, and D alone learns from how far
off they are. D sees images augmented, and also at half their size or at 128 pixels.

Differs from the authors' program: the small image that D sees is G's large one made smaller, not a second output of G; there
is no noise inside G, so that an image is a function of its noise; drawings are compared by their pixels, or by the features of
a network that `perceptual` names, where theirs is LPIPS, whose network kgan does not ship; the hinge has the mean of its
random margins (kgan.losses.soft_hinge). docs/recipes.md has a table.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers, ops

from kgan import perceptual, sizes
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Loss, Scheduled
from kgan.draws import DISCRIMINATOR
from kgan.gan import GAN
from kgan.layers import BatchNormalization, SpectralConv2D, SpectralDense
from kgan.models._shapes import check_shape, doublings
from kgan.replicas import len_of

_WIDTHS = 16, 8, 4, 2, 2, 1, 1 / 2, 1 / 4, 1 / 8  # of G's maps from the smallest up, over `filters`
_DRAWN = 4, 2, 2, 1  # of a decoder's maps, over half of `discriminator_filters`
_BLOCKS = 5  # of D, at most: larger images are made smaller before them
_REACH = 3  # halvings between D's maps that excite and those that are excited


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for two CPU cores, at 64 to 128 pixels; the preset `published` has the authors' values."""

    preset: Literal["laptop", "published"] = "laptop"
    batch_size: int = 16
    steps: int = 5_000
    loss: Loss = "soft_hinge"
    augment: str = "color+translation"
    noise_dim: int = 128
    ema_decay: Scheduled = 0.998
    filters: int = 8  # of G's maps of 128 pixels; smaller maps have up to 16 times as many
    discriminator_filters: int = 8  # of D's maps of 64 pixels; doubled with each halving, up to 8 times
    excitation: int = 3  # doublings between G's maps that excite and those that are excited
    reconstruction_weight: Scheduled = 1.0  # of what D's decoders are off
    # what these are compared by: none: mean absolute differences of pixels; a .keras file: of that network's features
    perceptual: str = "none"

    presets: ClassVar[dict] = {
        "laptop": {},
        # LPIPS is summed there over a batch of 8
        "published": dict(filters=64, discriminator_filters=64, excitation=4, noise_dim=256, batch_size=8, steps=50_000,
                          ema_decay=0.999, reconstruction_weight=8.0),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "discriminator_filters", "excitation"):
            self._check(name, 1)


@keras.saving.register_keras_serializable("kgan")
class FastGAN(GAN):
    """GAN whose D also learns to draw the real images that it sees: equation 4."""

    Config = Config
    players = {"generator": ("generator",), "discriminator": ("discriminator", "decoders")}

    told = ("reconstruction",)

    def __init__(self, generator, discriminator, decoders, *args, **kwargs):
        super().__init__(generator, discriminator, *args, **kwargs)
        self.decoders = decoders
        path, channels = self.config.perceptual, self.fields[self.key].shape[-1]
        self._perceive = None if path == "none" else perceptual.features(path, channels)  # a function: no part of the state

    def self_supervision(self, real, judged, given, draw):
        places = self.random(len_of(judged["whole"]), DISCRIMINATOR, draw, "quarter").uniform()
        which = tf.minimum(tf.cast(4 * places, tf.int32), 3)
        drawn = self.decoders({"whole": judged["whole"], "part": quarter(judged["part"], which), "small": judged["small"]},
                              training=True)
        small = tf.nn.avg_pool2d(judged["seen"], 2, 2, "VALID")
        wanted = {"whole": small, "part": quarter(judged["seen"], which), "small": small}
        loss = tf.add_n([self._apart(drawn[name], wanted[name]) for name in wanted])
        self._means["reconstruction"].update_state(loss)
        return self.now(self.config.reconstruction_weight) * loss

    def _apart(self, drawn, wanted):
        if self._perceive:
            return perceptual.difference(self._perceive(wanted), self._perceive(drawn))
        return tf.reduce_mean(tf.abs(wanted - drawn))


def quarter(maps, which):
    """A quarter of each of maps [n, 2h, 2w, c] -> [n, h, w, c].

    `which`: int32 [n], from 0 to 3: top left, top right, bottom left, bottom right.
    """
    height, width = maps.shape[1] // 2, maps.shape[2] // 2
    below, right = (tf.reshape(chosen, [-1, 1, 1, 1]) for chosen in (which >= 2, which % 2 == 1))
    rows = tf.where(below, maps[:, height:], maps[:, :height])  # no gather, whose gradient has no fixed order on a GPU
    return tf.where(right, rows[:, :, width:], rows[:, :, :width])


def build(shape=(64, 64, 3), config=None, seed=0, **settings):
    """A FastGAN for images.

    Args:
        shape: (H, W, C), both sides 28 or more and even down to maps with 4 to 7 rows or columns: squares of 32, 64, 128 …
            1,024, rectangles such as 64×96; any number of channels.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        FastGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those; `perceptual` names no network.
    """
    config = Config.given(config, settings)
    check_shape(shape, "fastgan")
    if len(_halvings(shape)) < 3:
        raise ConfigError(f"image_size={sizes.text(shape[:2])}: fastgan needs 28 rows and columns or more; for smaller images "
                          "use dcgan")
    return FastGAN(generator(shape, config), discriminator(shape, config), decoders(shape, config), config, seed)


# === G ===

def generator(shape, config):
    """noise [n, noise_dim] -> images [n, H, W, C] in [-1, 1]: doubled again and again, large maps excited by small ones."""
    start, *larger = doublings(shape)
    widths = [max(1, int(config.filters * _WIDTHS[min(i, len(_WIDTHS) - 1)])) for i in range(1 + len(larger))]
    noise = keras.Input((config.noise_dim,), name="noise")
    x = SpectralDense(math.prod(start) * 2 * widths[0], use_bias=False, kernel_initializer=_weights())(noise)
    x = _gated(layers.Reshape((*start, 2 * widths[0]))(x))
    maps = [x]
    for i, width in enumerate(widths[1:], 1):
        x = _gated(_doubled(2 * width)(x))
        if i % 2:
            x = _gated(_convolution(2 * width, 3)(x))
        if 0 <= i - config.excitation < 4:  # the four smallest excite, as published
            x = excited(x, maps[i - config.excitation], start)
        maps.append(x)
    images = layers.Activation("tanh", dtype="float32", name="images")(_convolution(shape[-1], 3)(x))
    return keras.Model(noise, images, name="generator")


def excited(x, by, start):
    """Maps x [n, H, W, C], each channel times a number in (0, 1) that follows from `by` [n, h, w, c]: equations 2 and 3.

    `start`: (rows, columns) of the smallest maps, to which `by` is pooled; one convolution then sees all of it.
    """
    if by.shape[1] > start[0]:
        by = layers.AveragePooling2D(by.shape[1] // start[0])(by)
    y = layers.Activation("silu")(_convolution(x.shape[-1], start, padding="valid")(by))
    return layers.Multiply()([x, layers.Activation("sigmoid")(_convolution(x.shape[-1], 1)(y))])


# === D ===

def discriminator(shape, config):
    """Images -> a dict: `logits` [n, k], places of the image and of the small one; what the decoders are given, and `seen`.

    `whole` [n, h, w, c], of 7 to 13 rows or columns, and `part`, twice as large, are the last maps of the image; `small`, as
    large as `whole`, those of the small image. `seen`: the images, at 256 pixels or so at most, twice the size of drawings.
    """
    last, *larger = _halvings(shape)
    halvings, start = len(larger), doublings(shape)[0]
    images = keras.Input(config.packed(shape), name="image")
    seen = layers.Activation("linear", dtype="float32", name="seen")(_pooled(images, shape[0] // (2 * _small(shape)[0])))

    widths = [max(1, 8 * config.discriminator_filters // 2**i) for i in range(halvings + 1)]  # from the smallest maps up
    x = _leaky(_convolution(widths[halvings], 3)(images)) if halvings <= _BLOCKS else images
    for i in reversed(range(_BLOCKS, halvings)):
        x = _convolution(widths[i], 4, strides=2)(x)
        x = _leaky(x if i == halvings - 1 else _norm()(x))
    maps = {min(halvings, _BLOCKS): x}
    for i in reversed(range(min(halvings, _BLOCKS))):
        x = _halved(x, widths[i])
        x = maps[i] = excited(x, maps[i + _REACH], start) if i + _REACH in maps else x
    score = _score(_leaky(_norm()(_convolution(2 * widths[0], 1)(x))), config, "score")

    y, steps = _pooled(seen, 2), int(math.log2(_small(shape)[0] // last[0]))
    for i in reversed(range(steps)):
        y = _convolution(max(1, 4 * config.discriminator_filters // 2**i), 4, strides=2)(y)
        y = _leaky(y if i == steps - 1 else _norm()(y))
    logits = layers.Concatenate(dtype="float32", name="logits")([score, _score(y, config, "small_score")])
    return keras.Model(images, {"logits": logits, "whole": x, "part": maps[1], "small": y, "seen": seen}, name="discriminator")


def decoders(shape, config):
    """D's maps, a dict of `whole`, `part` (a quarter) and `small` -> what is drawn of each, images [n, h, w, C]."""
    last, filters = _halvings(shape)[0], config.discriminator_filters
    given = {name: keras.Input((*last, max(1, width * filters)), name=name)
             for name, width in (("whole", 8), ("part", 4), ("small", 4))}
    drawn = {}
    for name, x in given.items():
        for i in range(int(math.log2(_small(shape)[0] // last[0]))):
            x = _gated(_doubled(2 * max(1, filters // 2 * _DRAWN[i]))(x))
        x = _convolution(config.packed(shape)[-1], 3)(x)
        drawn[name] = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(given, drawn, name="decoders")


def _halved(x, width):
    """Maps of half the size: the mean of two ways, two convolutions and one of pooled maps."""
    y = _leaky(_norm()(_convolution(width, 4, strides=2)(x)))
    y = _leaky(_norm()(_convolution(width, 3)(y)))
    direct = _leaky(_norm()(_convolution(width, 1)(_pooled(x, 2))))
    return layers.Average()([y, direct])


def _halvings(shape):
    """The sizes of D's maps, from 7 to 13 rows or columns up to the picture's."""
    return doublings(shape, 7)


def _small(shape):
    """The size of the small image: half of the picture's, and again until the shorter side has 128 pixels or fewer."""
    height, width = shape[0] // 2, shape[1] // 2
    while min(height, width) > 128:
        height, width = height // 2, width // 2
    return height, width


# === Parts ===

@keras.saving.register_keras_serializable("kgan")
class DoubledConv2D(SpectralConv2D):
    """SpectralConv2D of 3×3 on maps whose places are repeated, twice each way: [n, h, w, c] -> [n, 2h, 2w, d].

    In training as a transposed convolution of 4×4 with stride 2: the same sums, of 16 products where there are 36. Inference,
    and so what is exported, is as it is described.
    """

    def call(self, inputs, training=False):
        if not training:
            return super().call(ops.repeat(ops.repeat(inputs, 2, axis=1), 2, axis=2))
        self.improve()
        kernel = self.kernel[::-1, ::-1]
        for axis in (0, 1):  # a place adds what the kernel has for it and for its twin
            before, after = ([[0, 0]] * axis + [pad] + [[0, 0]] * (3 - axis) for pad in ([1, 0], [0, 1]))
            kernel = ops.pad(kernel, before) + ops.pad(kernel, after)
        return ops.conv_transpose(inputs, ops.transpose(kernel, (0, 1, 3, 2)), 2, "same")

    def compute_output_shape(self, input_shape):
        count, height, width, channels = input_shape
        return super().compute_output_shape((count, 2 * height, 2 * width, channels))


def _score(x, config, name):
    """Maps [n, h, w, c] -> numbers [n, (h - 3)·(w - 3)·k]: what is said of each place of 4×4."""
    score = SpectralConv2D(config.discriminator_outputs, 4, use_bias=False, kernel_initializer=_weights(), name=name)
    return layers.Flatten()(score(x))


def _gated(x):
    """Batch normalisation and a gated linear unit: maps of 2c channels -> of c."""
    return ops.glu(_norm()(x))


def _norm():
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02))


def _leaky(x):
    return layers.LeakyReLU(negative_slope=0.2)(x)


def _pooled(x, factor):
    return layers.AveragePooling2D(factor)(x) if factor > 1 else x


def _convolution(width, size, strides=1, padding="same"):
    return SpectralConv2D(width, size, strides=strides, padding=padding, use_bias=False, kernel_initializer=_weights())


def _doubled(width):
    return DoubledConv2D(width, 3, padding="same", use_bias=False, kernel_initializer=_weights())


def _weights():
    return keras.initializers.RandomNormal(0.0, 0.02)
