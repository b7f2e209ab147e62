"""InfoGAN: finds classes and other factors of variation by itself, without labels (Chen et al. 2016).

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016, "InfoGAN: Interpretable Representation Learning by Information
Maximizing Generative Adversarial Nets", arXiv:1606.03657.

    python train.py --model=infogan --dataset=mnist

What G is asked for are codes that nobody has given a meaning: a class (the label of this GAN) and a few numbers, the
first `codes` of its noise. Q, a head on D, tells the codes from the sample; D and G are both rewarded where it can, so
that codes must show. As in the authors' program all noise is U(-1, 1).

A category so found may be two digits, or half of one. By default Q is rewarded, too, where it puts real images and the same
images warped into the same category, and into all categories alike: then categories are what a warp leaves alone.

Ji, Henriques, Vedaldi 2019, "Invariant Information Clustering", arXiv:1807.06653; Ojha, Singh, Hsieh, Lee 2020,
"Elastic-InfoGAN", arXiv:1910.01112, also asks Q of real images and their transformations.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.config import Config as BaseConfig
from kgan.config import Scheduled
from kgan.draws import DISCRIMINATOR, TRAINING
from kgan.gan import GAN
from kgan.layers import BatchNormalization
from kgan.models import cgan, dcgan
from kgan.models._shapes import check_shape, doublings
from kgan.replicas import len_of


# how far `warp` goes, either way: radians; columns a row; shares of the size
TURN, SLANT, STRETCH, SHIFT = 0.35, 0.3, 0.2, 1 / 14


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """Networks, rates, batch and noise are the paper's for MNIST (appendix C.1); `laptop` also clusters real images."""

    preset: Literal["laptop", "published"] = "laptop"
    batch_size: int = 128
    steps: int = 3_000
    noise: Literal["normal", "uniform"] = "uniform"
    noise_dim: int = 64  # numbers of noise, including the codes
    categories: int = 10  # values of the code that is a class
    codes: int = 2  # how many codes are numbers
    category_weight: Scheduled = 1.0  # λ of the category
    code_weight: Scheduled = 1.0  # λ of the numbers
    clustering_weight: Scheduled = 1.0  # λ of the mutual information of Q's categories for a real image and for the same image, warped
    generator_learning_rate: Scheduled = 1e-3
    discriminator_learning_rate: Scheduled = 2e-4
    filters: int = 32  # of the maps nearest the picture; doubled with each halving
    units: int = 512  # of the dense layers; Q's has an eighth

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, units=1024, clustering_weight=0.0, ema_decay=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("categories", 2)
        self._check("filters", 1)
        self._check("units", 8)
        self._check("codes", 0, below=self.noise_dim)


@keras.saving.register_keras_serializable("kgan")
class InfoGAN(GAN):
    """Equation 6 of the paper: both networks minimise -log Q(codes | sample) beside the objective, of fakes alone."""

    Config = Config

    told = ("category_accuracy",)  # which Q can tell

    def label(self, batch):
        """No labels are in the batch: the class of each sample is drawn, all as likely."""
        count = len_of(self.real(batch))
        places = self.random(count, TRAINING, 0, "category").uniform()
        return tf.minimum(tf.cast(places * len(self.classes), tf.int32), len(self.classes) - 1)

    def auxiliary(self, judged, given, noise=None):
        if noise is None:
            return 0.0
        label = given["label"]
        right = tf.equal(tf.argmax(judged["category"], 1, tf.int32), label)
        self._means["category_accuracy"].update_state(tf.cast(right, tf.float32))
        loss = self.now(self.config.category_weight) * tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(label, judged["category"]))
        if self.config.codes:
            # Q is normal with deviation 1, as in the authors' program; the constant is left out
            distance = noise[:, :self.config.codes] - judged["codes"]
            loss += self.now(self.config.code_weight) * tf.reduce_mean(tf.reduce_sum(0.5 * distance**2, 1))
        return loss

    def self_supervision(self, real, judged, given, draw):
        if not self.config.clustering_weight:
            return 0.0
        random = self.random(len_of(real), DISCRIMINATOR, draw, "warp")
        one, other = (tf.nn.softmax(self.judge(warp(real, random.uniform))["category"]) for _ in range(2))
        return -self.now(self.config.clustering_weight) * mutual_information(one, other)


def mutual_information(one, other):
    """What the class in one view of an image tells of that in another, in nats: at most log(k). Ji et al. 2019, equation 3.

    Args:
        one, other: probabilities float32 [n, k] of the classes of the same images, seen in two ways.
    """
    joint = tf.matmul(one, other, transpose_a=True) / tf.cast(len_of(one), tf.float32)
    joint = tf.maximum((joint + tf.transpose(joint)) / 2, 1e-8)
    return tf.reduce_sum(joint * tf.math.log(joint / (tf.reduce_sum(joint, 0) * tf.reduce_sum(joint, 1, keepdims=True))))


def warp(images, uniform):
    """Images turned, slanted, stretched and moved a little, each by itself: what leaves a digit the digit it is.

    Args:
        images: float32 [n, H, W, C]. What comes in from outside is as at the edge.
        uniform: function (*tail) -> float32 [n, *tail] of U[0, 1), new numbers at each call.
    """
    height, width = images.shape[1:3]
    angle, slant, tall, wide, down, right = tf.unstack((2 * uniform(6) - 1)[:, :, None, None], axis=1)
    # where each pixel comes from, in pixels from the middle
    y, x = (tf.range(size, dtype=tf.float32) - (size - 1) / 2 for size in (height, width))
    y, x = tf.meshgrid(y, x, indexing="ij")
    cos, sin = tf.cos(TURN * angle), tf.sin(TURN * angle)
    y, x = cos * y - sin * x, sin * y + cos * x
    x += SLANT * slant * y
    y = y * (1 + STRETCH * tall) + (height - 1) / 2 + SHIFT * height * down
    x = x * (1 + STRETCH * wide) + (width - 1) / 2 + SHIFT * width * right
    y, x = tf.clip_by_value(y, 0, height - 1), tf.clip_by_value(x, 0, width - 1)
    # a mean of the four pixels around
    top, left = tf.minimum(tf.floor(y), height - 2), tf.minimum(tf.floor(x), width - 2)
    first = tf.reshape(tf.cast(top * width + left, tf.int32), [-1, height * width])
    pixels = tf.reshape(images, [-1, height * width, images.shape[3]])
    corner, beside, below, across = (tf.reshape(tf.gather(pixels, first + step, axis=1, batch_dims=1), tf.shape(images))
                                     for step in (0, 1, width, width + 1))
    y, x = (y - top)[..., None], (x - left)[..., None]
    return (1 - y) * ((1 - x) * corner + x * beside) + y * ((1 - x) * below + x * across)


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """An InfoGAN for images, of 8 rows and columns or more. Its classes are named by their numbers.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    check_shape(shape, "infogan", odd=True)
    return InfoGAN(generator(shape, config), discriminator(shape, config), config, seed,
                   [f"code {i}" for i in range(config.categories)])


def generator(shape, config):
    """noise [n, noise_dim] and label [n] -> images: two dense layers, then the size is doubled (`_sizes`)."""
    sizes = _sizes(shape)
    given, one_hot = cgan.inputs(config, config.categories)
    width = config.filters * 2 ** (len(sizes) - 2)
    x = _activated(layers.Dense(config.units, use_bias=False)(layers.Concatenate()([given["noise"], one_hot])))
    x = _activated(layers.Dense(math.prod(sizes[0]) * width, use_bias=False)(x))
    x = layers.Reshape((*sizes[0], width))(x)
    for size in sizes[1:-1]:
        width //= 2
        x = dcgan.cropped(layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)(x), size)
        x = _activated(x)
    x = dcgan.cropped(layers.Conv2DTranspose(shape[-1], 4, strides=2, padding="same")(x), sizes[-1])
    return keras.Model(given, layers.Activation("tanh", dtype="float32", name="images")(x), name="generator")


def discriminator(shape, config):
    """Images -> a dict of `logits` [n, k]; `category`, logits [n, categories]; `codes`, means [n, codes]."""
    images = x = keras.Input(shape, name="image")
    for i in range(len(_sizes(shape)) - 1):
        x = layers.Conv2D(config.filters * 2**i, 4, strides=2, padding="same", use_bias=not i)(x)
        x = _activated(x, "leaky_relu") if i else layers.LeakyReLU(negative_slope=0.1)(x)
    x = _activated(layers.Dense(config.units, use_bias=False)(layers.Flatten()(x)), "leaky_relu")
    q = _activated(layers.Dense(config.units // 8, use_bias=False)(x), "leaky_relu")
    outputs = {"logits": layers.Dense(config.discriminator_outputs, dtype="float32", name="logits")(x),
               "category": layers.Dense(config.categories, dtype="float32", name="category")(q)}
    if config.codes:
        outputs["codes"] = layers.Dense(config.codes, dtype="float32", name="codes")(q)
    return keras.Model(images, outputs, name="discriminator")


def _sizes(shape):
    """The sizes of the maps, from 7 to 12 rows or columns up to the picture's; from 4 to 6 up to a small picture's."""
    return doublings(shape, 7 if min(shape[:2]) > 12 else 4, odd=True)


def _activated(x, kind="relu"):
    x = BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x) if kind == "relu" else layers.LeakyReLU(negative_slope=0.1)(x)
