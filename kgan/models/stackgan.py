"""StackGAN: images from captions in two stages, a small sketch and then the image (Zhang et al. 2016).

Zhang, Xu, Li, Zhang, Wang, Huang, Metaxas 2016, "StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative
Adversarial Networks", arXiv:1612.03242.

    python train.py --model=stackgan --image_size=64                              sketches of 32 pixels, pictures of 64
    python train.py --model=stackgan --set preset=published --image_size=256 --dataset=folder:PATH        64, then 256

The first phase trains a G and a D of sketches, as gancls does; the second keeps that G as it is, and trains one that sees
its sketch and the caption again. Conditioning augmentation: what G knows of a caption is drawn from a normal distribution
around it, so that neighbouring captions get pictures as well. What gancls has beside its paper, both stages have, too; at the
border the second stage is handed the averaged first. The first command takes 22 CPU minutes: 97 % of the digits of captioned
glyphs are as asked, of pairs never seen 99.8 % (docs/results.md). docs/recipes.md says what differs from the paper.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kgan.config import ConfigError, Scheduled
from kgan.kinds import Field
from kgan.layers import BatchNormalization
from kgan.models import gancls
from kgan.models._shapes import SMALLEST


@dataclasses.dataclass(frozen=True)
class Config(gancls.Config):
    """The default is a network for a laptop; `published` has the paper's sizes, for 256 pixels."""

    preset: Literal["laptop", "published"] = "laptop"
    ratio: int = 2  # of the picture's side to the sketch's, a power of 2
    steps: int = 4_500
    sketching: int = 3_500  # steps of the first stage
    noise_dim: int = 32 + 2 * 16  # the sketch's own, and for each stage those of the conditioning augmentation
    condition_dim: int = 16  # what a stage knows of a caption
    condition_weight: Scheduled = 0.2  # λ of the divergence of that from N(0, 1)
    blocks: int = 2  # residual blocks of the second stage
    interpolation: float = 0.0  # gancls's: the conditioning augmentation is in its place

    presets: ClassVar[dict] = {
        "laptop": {},
        # 600 epochs of each stage, on 8,855 birds
        "published": dict(filters=96, ratio=4, blocks=4, condition_dim=128, noise_dim=100 + 2 * 128, text_dim=1024, word_dim=256,
                          condition_weight=2.0, sketching=83_000, steps=166_000, ema_decay=0.0, loss="non_saturating",
                          generator_learning_rate="exponential:2e-4:2e-6", discriminator_learning_rate="exponential:2e-4:2e-6",
                          discriminator_normalization="batch", matching=0.0, fusion=False, projection=False),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("condition_dim", "blocks"):
            self._check(name, 1)
        if self.ratio not in (2, 4, 8):
            raise ConfigError(f"ratio={self.ratio}: must be 2, 4 or 8")
        if self.noise_dim <= 2 * self.condition_dim:
            raise ConfigError(f"noise_dim={self.noise_dim}: two times condition_dim={self.condition_dim} of it are for the captions, and the "
                              "sketch needs some, too")
        if self.interpolation:
            raise ConfigError(f"interpolation={self.interpolation}: is gancls's; stackgan has condition_weight")


@keras.saving.register_keras_serializable("kgan")
class StackGAN(gancls.GANCLS):
    """Sections 3.2 to 3.4 of the paper."""

    Config = Config
    players = {"generator": ("generator",), "discriminator": ("discriminator", "sketch_discriminator")}

    told = (*gancls.GANCLS.told, "condition")

    def __init__(self, generator, discriminator, sketch_discriminator, *args, **kwargs):
        super().__init__(generator, discriminator, *args, **kwargs)
        self.sketch_discriminator = sketch_discriminator
        self._sketching = None  # in a step: whether it is of the first stage

    def phases(self):
        return (0, self.sketch_step), (self.config.sketching, self.train_step)

    def sketch_step(self, batch):
        """Of the first stage. Its last step hands on the averaged G, whose sketches the second stage sees."""
        results = self._stage(batch, True)
        last = self.iterations >= self.config.sketching
        for average, variable in zip(self.ema_generator.weights, self.generator.weights):
            variable.assign(tf.where(last, average, variable))
        return results

    def train_step(self, batch):
        return self._stage(batch, False)

    def _stage(self, batch, sketching):
        self._sketching = sketching
        try:
            return super().train_step(batch)
        finally:
            self._sketching = None

    # === What differs between the stages ===

    def moved_by(self, player):
        """The variables that a player moves: in a step those of its stage; the caption's reader learns with the first."""
        if self._sketching is None:
            return super().moved_by(player)
        if player == "discriminator":
            return self.judging().trainable_variables
        names = ("text", "condition", "sketch") if self._sketching else ("condition_again", "images")
        return [variable for name in names for variable in self.generator.get_layer(name).trainable_variables]

    def judging(self):
        return self.sketch_discriminator if self._sketching else self.discriminator

    def real(self, batch):
        real = super().real(batch)
        return tf.nn.avg_pool2d(real, self.config.ratio, self.config.ratio, "VALID") if self._sketching else real

    def make(self, noise, given=None, network=None, training=False):
        """In the first stage sketches; in the second pictures of sketches that are as in inference."""
        if self._sketching is None or network is not self.generator:
            return super().make(noise, given, network, training)
        return self.staged(noise, given["caption"], training)[0]

    def sketches(self, count, caption, seed=0):
        """What the first stage of the averaged generator makes where `generate` makes pictures, float32 [count, h, w, C]."""
        noise, self._sketching = self.latents(count, seed), True
        try:
            parts = [self.staged(noise[i:i + 256], caption[i:i + 256], network=self.ema_generator)[0]
                     for i in range(0, count, 256)]
        finally:
            self._sketching = None
        return np.concatenate(parts)

    def staged(self, noise, caption, training=False, network=None):
        """(what the stage of this step makes, the divergence of what it knows of the captions, float32 [n])."""
        layer, size = (network or self.generator).get_layer, self.config.condition_dim
        own, first, second = tf.split(noise, [self.config.noise_dim - 2 * size, size, size], axis=1)
        text = layer("text")(caption, training=training and self._sketching)
        known, divergence = layer("condition")([text, first])
        sketch = layer("sketch")([own, known], training=training and self._sketching)
        if self._sketching:
            return sketch, divergence
        known, divergence = layer("condition_again")([text, second])
        return layer("images")([sketch, known], training=training), divergence

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        loss = super().generator_loss(real, fake, given, noise, draw, training)
        if not training:
            return loss
        divergence = tf.reduce_mean(self.staged(noise, given["caption"])[1])
        self._means["condition"].update_state(divergence)
        return loss + self.now(self.config.condition_weight) * divergence


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """A StackGAN for images.

    Args:
        shape: (H, W, C) of images in [-1, 1]; H and W are multiples of twice the ratio, and of the ratio times 8 or more.
        config, seed, fields: as for `kgan.models.gancls.build`.

    Returns:
        StackGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those, or there is no vocabulary.
    """
    config = Config.given(config, settings)
    if len(shape) != 3 or any(side % (2 * config.ratio) or side < SMALLEST * config.ratio for side in shape[:2]):
        raise ConfigError(f"stackgan with ratio={config.ratio}: makes images whose sides are multiples of {2 * config.ratio}, from "
                          f"{SMALLEST * config.ratio} on, not {'×'.join(map(str, shape))}")
    fields = fields or {"caption": gancls.built_in(), "image": Field("image", shape)}
    caption = gancls.known(fields["caption"], "stackgan")
    small = (shape[0] // config.ratio, shape[1] // config.ratio, shape[2])
    return StackGAN(generator(shape, small, caption, config), gancls.discriminator(shape, caption, config),
                    gancls.discriminator(small, caption, config, "sketch_discriminator"), config, seed, fields=fields)


# === G ===

def generator(shape, small, caption, config):
    """noise [n, noise_dim] and caption int32 [n, T] -> images [n, H, W, C] in [-1, 1]."""
    size = config.condition_dim
    noise = keras.Input((config.noise_dim,), name="noise")
    tokens = keras.Input(caption.shape, dtype="int32", name="caption")
    own, first, second = noise[:, :-2 * size], noise[:, -2 * size:-size], noise[:, -size:]
    text = gancls.encoder(caption, config)(tokens)
    known, _ = condition("condition", config)([text, first])
    vector, wide = keras.Input((config.noise_dim - 2 * size,)), keras.Input((size,))
    sketch = keras.Model([vector, wide], gancls.grow([vector, wide], small, config), name="sketch")([own, known])
    again, _ = condition("condition_again", config)([text, second])
    return keras.Model({"noise": noise, "caption": tokens}, refiner(shape, small, config)([sketch, again]), name="generator")


def condition(name, config):
    """text [n, text_dim] and noise [n, d] -> [what is known of the caption [n, d], its divergence from N(0, 1) [n]]: equation 2."""
    text, noise = keras.Input((config.text_dim,)), keras.Input((config.condition_dim,))
    mean = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(config.condition_dim)(text))
    spread = layers.Dense(config.condition_dim, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(-1.0))(text)
    divergence = ops.mean(ops.exp(2 * spread) + mean**2 - 1 - 2 * spread, axis=1) / 2  # as their code has it, a mean and no sum
    return keras.Model([text, noise], [mean + ops.exp(spread) * noise, divergence], name=name)


def refiner(shape, small, config):
    """sketch [n, h, w, C] and what is known of the caption [n, d] -> images [n, H, W, C]: what is to be changed of the enlarged sketch."""
    sketch, known = keras.Input(small), keras.Input((config.condition_dim,))
    width = 2 * config.filters
    x = _convolved(layers.Conv2D(config.filters, 3, padding="same", use_bias=False)(sketch))
    x = _convolved(layers.Conv2D(width, 4, 2, padding="same", use_bias=False)(x))
    spread = layers.Reshape((1, 1, config.condition_dim))(known) * ops.ones_like(x[..., :1])
    x = _convolved(layers.Conv2D(width, 3, padding="same", use_bias=False)(layers.Concatenate()([x, spread])))
    for _ in range(config.blocks):
        y = _convolved(layers.Conv2D(width, 3, padding="same", use_bias=False)(x))
        y = BatchNormalization(momentum=0.9)(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
        x = layers.ReLU()(layers.Add()([x, y]))
    while x.shape[1] < shape[0]:
        width = max(config.filters, width // 2)
        x = _convolved(layers.Conv2D(width, 3, padding="same", use_bias=False)(layers.UpSampling2D(2)(x)))
    # it starts as the enlarged sketch: before tanh that is log((1 + s) / (1 - s)) / 2
    change = layers.Conv2D(shape[-1], 3, padding="same", kernel_initializer=keras.initializers.RandomNormal(0, 1e-3))(x)
    large = 0.99 * layers.UpSampling2D(config.ratio)(sketch)
    images = layers.Activation("tanh", dtype="float32", name="images")(change + ops.log((1 + large) / (1 - large)) / 2)
    return keras.Model([sketch, known], images, name="images")


def _convolved(x):
    return layers.ReLU()(BatchNormalization(momentum=0.9)(x))
