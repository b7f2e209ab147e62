"""DiscoGAN: turns images of one sort into another and back, without pairs; small and cheap (Kim et al. 2017).

Kim, Cha, Kim, Lee, Kim 2017, "Learning to Discover Cross-Domain Relations with Generative Adversarial Networks", arXiv:1703.05192;
networks and the preset `program` as in their program, github.com/SKTBrain/DiscoGAN.

    python train.py --model=discogan                                       upright digits are slanted, slanted ones righted
    python train.py --model=discogan --dataset=folder:SHOES --image_size=64 --set filters=32       trainA and trainB
    python train.py --model=discogan --set preset=program                  weighed as the authors' program does, not their paper

The cheap one of its kind: no residual blocks, no pool, no identity loss; but details pass through the innermost maps of 4×4.
The first command takes 5.2 CPU minutes; 98.7 % of the slanted digits and 98.6 % of the righted ones are still read as what they were
(`python benchmarks/unpaired.py RUN`).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.anysize import Cut, RoundUp
from kgan.config import ConfigError, Scheduled
from kgan.draws import GENERATOR
from kgan.kinds import Field
from kgan.layers import BatchNormalization, Conv2D, Conv2DTranspose
from kgan.models import cyclegan


@dataclasses.dataclass(frozen=True)
class Config(cyclegan.Config):
    """The default is a network for a laptop, in which the way there and back counts 30 times; `published` has the paper's sizes, for
    64 pixels, and its plain sum."""

    preset: Literal["laptop", "published", "program"] = "laptop"
    batch_size: int = 16
    steps: int = 9_000  # 3,000 keep 90 % of the digits, these 98.6 %
    loss: Literal["non_saturating", "minimax", "least_squares", "hinge", "relativistic", "wasserstein"] = "non_saturating"
    generator_learning_rate: Scheduled = 1e-3
    discriminator_learning_rate: Scheduled = 2e-4
    filters: int = 16  # of the outermost maps; doubled with each halving
    pool: int = 0
    identity_weight: float = 0.0
    # the paper's equations 4 to 6 are a plain sum: weights 1 and 1, the distance a mean square of images in [0, 1]
    adversarial_weight: float = 1.0
    # not so here: of the built-in digits the plain sum makes mush in 3,000 steps (18 % read as what they were)
    cycle_weight: float = 30.0
    features_weight: float = 0.0  # of the squared difference of the mean features of D, of real and made images
    # r, where it is not 0: a generator minimises (1 - r) times what D says and r times the distance, which is no plain sum
    reconstruction: Scheduled = 0.0
    discriminator_every: int = 1  # steps of the generators for each one of the discriminators

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, batch_size=64, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4, ema_decay=0.0,
                          cycle_weight=1.0),
        # of three iterations of the program one moves D and two G; r is .01 for 10,000 of them, then .5
        "program": dict(filters=64, batch_size=64, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4, ema_decay=0.0,
                        cycle_weight=1.0, adversarial_weight=0.1, features_weight=0.9, reconstruction="step:0.01:0.5:0.33", discriminator_every=2,
                        steps=20_000),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("discriminator_every", 1)
        self._check("reconstruction", 0, below=1)


@keras.saving.register_keras_serializable("kgan")
class DiscoGAN(cyclegan.CycleGAN):
    """CycleGAN's two directions with other weights, a mean square for the way back, and feature matching by choice."""

    Config = Config

    def weighed(self):
        if not self.config.reconstruction:
            return 1.0, self.config.cycle_weight
        share = self.now(self.config.reconstruction)
        return 1.0 - share, share

    def distance(self, made, true):
        """Mean square of the difference of images in [0, 1]; here they are in [-1, 1], twice as far apart."""
        return tf.reduce_mean((made - true) ** 2) / 4

    def fooling(self, name, real, fake, draw, training):
        """What D says, and how far the mean features of its three inner layers are apart."""
        found = self.config.adversarial_weight * super().fooling(name, real, fake, draw, training)
        if not self.config.features_weight:
            return found
        one, other = self._looked(name, GENERATOR, draw, training, real=real, fake=fake)
        apart = sum(tf.reduce_mean((tf.reduce_mean(one[key], 0) - tf.reduce_mean(other[key], 0)) ** 2)
                    for key in one if key != "logits")
        return found + self.config.features_weight * apart

    def judge_step(self, parts, fakes):
        """Where D rests its step is taken back: weights and Adam's moments are as if it had not been."""
        every = self.config.discriminator_every
        if every == 1:
            return super().judge_step(parts, fakes)
        variables = [*self.moved_by("discriminator"), *self.optimizer_of("discriminator").variables]
        before = [tf.identity(variable) for variable in variables]
        super().judge_step(parts, fakes)
        for variable, value in zip(variables, before):
            variable.assign(tf.where(self.iterations % every == 0, variable, value))


def build(shape=(28, 28, 1), config=None, seed=0, fields=None, **settings):
    """A DiscoGAN. Arguments, result and errors as for cyclegan; images have at least 8 pixels a side."""
    config = Config.given(config, settings)
    if len(shape) != 3 or min(shape[:2]) < 8:
        raise ConfigError(f"discogan makes images from images, of at least 8 pixels a side, not {'×'.join(map(str, shape))}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    a, b = fields["input"].shape, fields["image"].shape
    return DiscoGAN(generator(a, b, config, "input", "generator"), discriminator(b, config, "image", "discriminator"),
                    generator(b, a, config, "image", "inverse"), discriminator(a, config, "input", "inverse_discriminator"),
                    config, seed, fields=fields)


def _widths(shape, config):
    """Of the maps from the outermost on: halved to 4 pixels at least, 4 times at most."""
    return [config.filters * 2**i for i in range(4) if -(-min(shape[:2]) // 2**(i + 1)) >= 4]


def generator(shape, made, config, given, name):
    """`given` [n, any H, any W, channels] -> images [n, H, W, C] in [-1, 1]."""
    widths = _widths(shape, config)
    images = keras.Input((None, None, shape[-1]), name=given)
    x = RoundUp(2**len(widths))(images)
    for i, width in enumerate(widths):
        x = _down(x, width, first=i == 0)
    for width in widths[-2::-1]:
        x = layers.ReLU()(_norm()(_up(x, width, config, use_bias=False)))
    x = _up(x, made[-1], config)
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(images, Cut(dtype="float32", name="images")([x, images]), name=name)


def _up(x, width, config, use_bias=True):
    """Maps of twice the size."""
    options = dict(padding="same", use_bias=use_bias, kernel_initializer=cyclegan.weights())
    if config.upsampling == "resize":
        return Conv2D(width, 4, **options)(layers.UpSampling2D(2)(x))
    return Conv2DTranspose(width, 4, strides=2, **options)(x)


def discriminator(shape, config, judged, name):
    """`judged` [n, H, W, C] in [-1, 1] -> dict: `logits` [n, k], and `features_2` … of its inner layers."""
    x = images = keras.Input(shape, name=judged)
    found = {}
    for i, width in enumerate(_widths(shape, config)):
        x = _down(x, width, first=i == 0)
        if i:
            found[f"features_{i + 1}"] = x
    # over all places: the program's convolution of 4×4 on maps of 4×4
    logits = layers.Dense(config.discriminator_outputs, kernel_initializer=cyclegan.weights(), dtype="float32", name="logits")
    return keras.Model(images, {**found, "logits": logits(layers.Flatten()(x))}, name=name)


def _down(x, width, first):
    """Maps of half the size."""
    x = Conv2D(width, 4, strides=2, padding="same", use_bias=False, kernel_initializer=cyclegan.weights())(x)
    return layers.LeakyReLU(negative_slope=0.2)(x if first else _norm()(x))


def _norm():
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=cyclegan.weights(1.0))
