"""pix2pix: images from images, learned from pairs: outlines to drawings, labels to photos, grey to colour (Isola et al. 2017).

Isola, Zhu, Zhou, Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004.

    python train.py --model=pix2pix                                        outlines of digits are filled, about five CPU minutes
    python train.py --model=pix2pix --dataset=folder:facades --image_size=64 --flip --set direction=BtoA
    python train.py --model=pix2pix --dataset=folder:PHOTOS --image_size=64 --flip --set degrade=grey
    python train.py --model=pix2pix --set preset=restore                   digits, small, noisy and in bad JPEG, are restored
    python train.py --model=pix2pix --set preset=restore --dataset=folder:PHOTOS --image_size=160 --set patch_size=64 --set degrade=noise:25
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED             files of any size

G is a U-Net, convolutions down to a few numbers and up again, each level joined to its mirror image; D judges patches of an
image beside the input that it is for; an L1 loss says what G's image should be on the whole.

The first command takes about five CPU minutes (measured beside other work). Of 2,000 outlines never seen 99.7 % got their digit's
colour, and of their inside 99.6 % was filled (kgan.data.outlines.measure); PSNR 29.3 dB, SSIM .928, mean difference .0135.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.anysize import Cut, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import BatchNormalization, ClipAtInference, Conv2D, Conv2DTranspose, InstanceNormalization


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `published` has the paper's values, for 256 pixels.

    The preset `restore` undoes degradations: denoises, sharpens, takes away what JPEG has left, colourises. G makes a correction
    that is added to its input, and sees no farther than some tens of pixels, so that large pictures can be made in tiles.
    """

    preset: Literal["laptop", "realtime128", "realtime256", "published", "restore"] = "laptop"
    dataset: str = "outlines"
    direction: Literal["AtoB", "BtoA"] = "AtoB"  # BtoA: `image` is the input, and `input` is the target
    degrade: str = ""  # for images without partners: how the input is made from the target, see kgan.data.degrade
    patch_size: int = 0  # side of the squares that are cut from the images at random in training; 0: whole images
    jitter: float = 0.0  # images are enlarged by this share and cropped back at random, input and target alike
    evaluate_by: EvaluateBy = "l1"  # it needs no classifier
    batch_size: int = 8
    steps: int = 4_000
    # published: 2e-4 both. With D's at 2e-4 its gradients grow until they outweigh L1: after 4,900 steps all sixes were blue
    generator_learning_rate: Scheduled = "linear:5e-4:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:5e-5:0:0.5:1"
    ema_decay: Scheduled = 0.998  # not in the paper: results come from the average of about the last 500 generators
    content_weight: float = 100.0  # λ of the mean absolute difference from the target (equation 4)
    # of D's loss, halved to slow D down (section 3.3). Adam undoes nearly all of that: it divides by the gradients' size
    discriminator_weight: float = 0.5

    filters: int = 16  # of the maps of half the size; doubled with each halving, up to 8 times
    depth: int = 0  # halvings; 0: as many as there can be, to a single pixel where the size is a power of 2
    patch: Literal["16", "34", "70", "142"] = "34"  # pixels a side that one of D's logits sees; 70 is best at 256 pixels (table 3)
    # batch, in the paper one of 1 and with the test image's own statistics, is the same as instance. instance does not depend
    # on what else is in a batch, and is the same in training and inference: no test images in other colours, or black ones
    normalization: Literal["instance", "batch", "none"] = "instance"
    residual: bool = False  # what G makes is added to its input
    upsampling: Literal["transpose", "resize"] = "transpose"  # resize: nearest, then a convolution; no checkerboards
    # the paper's noise is dropout in G, also in tests, which hardly changes the result (section 4) and no export keeps. Here
    # there is none, or numbers joined to the innermost maps at each of their places
    noise_dim: int = 0

    needs: ClassVar[dict] = {"input": "image", "image": "image"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # as wide as 30 frames a second of 128 pixels, and 15 of 256, allow in a browser's CPU runtime: see benchmarks/frames.py
        "realtime128": dict(filters=32, patch="70"),
        "realtime256": dict(filters=20, patch="70"),
        # appendix 6.2, and 6.1: 64-128-256-512-512-512-512-512 both ways, C64-C128-C256-C512; 200 epochs of 400 images,
        # resized to 286 and cut to 256
        "published": dict(filters=64, patch="70", batch_size=1, steps=80_000, generator_learning_rate=2e-4,
                          discriminator_learning_rate=2e-4, ema_decay=0.0, jitter=30 / 256),
        # ours: of what is known to be right already nothing need be made. No statistics of the whole image, which tiles do not
        # share; L1 counts for more, for what is lost here is found beside it, not invented
        "restore": dict(dataset="glyphs", degrade="downscale:2+noise:10+jpeg:40", residual=True, normalization="none", depth=3,
                        content_weight=1_000.0, batch_size=16, filters=32, patch="16",
                        generator_learning_rate="linear:2e-3:1e-4:0.2:1", discriminator_learning_rate=1e-4),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        self._check("jitter", 0, below=1)
        from kgan.data.degrade import parse  # here, for of this file `kgan.models.outline` runs no more than this class
        from kgan.data.source import DataError
        try:
            parse(self.degrade)
        except DataError as error:
            raise ConfigError(str(error)) from None


@keras.saving.register_keras_serializable("kgan")
class Pix2Pix(GAN):
    """G minimises the adversarial loss and content_weight times the mean absolute difference from its target (equation 4)."""

    Config = Config

    told = ("content",)

    def content(self, real, fake, given, judged):
        difference = tf.reduce_mean(tf.abs(real - fake))
        self._means["content"].update_state(difference)
        return self.config.content_weight * difference

    def discriminator_loss(self, *args, **kwargs):
        return self.config.discriminator_weight * super().discriminator_loss(*args, **kwargs)


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """A pix2pix for images.

    Args:
        shape: (H, W, C) of the images that are made, and H, W of those that are given.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise, if there is any (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input` and `image`; None: both have this shape.

    Returns:
        Pix2Pix, not compiled. Its generator takes images of any height and width, and gives them back as large.

    Raises:
        ConfigError: the images are too small for `depth` or `patch`, or are no images.
    """
    config = Config.given(config, settings)
    if len(shape) != 3:
        raise ConfigError(f"pix2pix makes images from images, and these examples have the shape {list(shape)}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    channels = fields["input"].shape[-1]
    return Pix2Pix(generator(shape, channels, config), discriminator(shape, channels, config), config, seed, fields=fields)


# === G ===

def generator(shape, channels, config):
    """input [n, any H, any W, channels], and noise [n, noise_dim] if there is any -> images [n, H, W, C] in [-1, 1].

    `shape` (H, W, C) decides the depth. Images whose sides are no multiples of 2^depth are rounded up by reflection.
    """
    depth = _depth(shape, config)
    widths = [config.filters * min(2**i, 8) for i in range(depth)]
    inputs = {"input": keras.Input((None, None, channels), name="input")}
    if config.noise_dim:
        inputs["noise"] = keras.Input((config.noise_dim,), name="noise")

    x = RoundUp(2**depth)(inputs["input"])
    maps = []
    for i, width in enumerate(widths):
        # the innermost may be a single pixel, of which nothing is left once its mean is taken off
        x = _down(x, width, config, first=i == 0, norm=0 < i < depth - 1)
        maps.append(x)
    if config.noise_dim:
        x = layers.Concatenate()([x, _Spread()([inputs["noise"], x])])
    for width, mirrored in zip(widths[-2::-1], maps[-2::-1]):
        x = _norm(config)(_up(x, width, config, use_bias=False))
        x = layers.Concatenate()([x, mirrored])
    if config.residual:
        start = keras.initializers.RandomNormal(0.0, 0.002)  # so that it begins as the input
        x = Cut()([_up(x, shape[-1], config, use_bias=True, start=start), inputs["input"]])
        x = ClipAtInference(dtype="float32", name="images")(layers.Add()([_As(shape[-1])(inputs["input"]), x]))
    else:
        x = layers.Activation("tanh", dtype="float32")(_up(x, shape[-1], config, use_bias=True))
        x = Cut(dtype="float32", name="images")([x, inputs["input"]])
    return keras.Model(inputs if config.noise_dim else inputs["input"], x, name="generator")


def _depth(shape, config):
    most = min(shape[:2]).bit_length() - 1
    if config.depth > most or most < 1:
        raise ConfigError(f"depth={config.depth}: images of {shape[0]}×{shape[1]} pixels can be halved {most} times")
    return config.depth or most


def _up(x, width, config, use_bias, start=None):
    """Maps of twice the size."""
    x = layers.ReLU()(x)
    options = dict(padding="same", use_bias=use_bias or config.normalization == "none", kernel_initializer=start or _weights(config))
    if config.upsampling == "resize":
        return layers.Conv2D(width, 4, **options)(layers.UpSampling2D(2)(x))
    return Conv2DTranspose(width, 4, strides=2, **options)(x)


@keras.saving.register_keras_serializable("kgan")
class _Spread(keras.layers.Layer):
    """layer([noise, maps]): noise [n, d] at each place of maps [n, H, W, C], [n, H, W, d]."""

    def call(self, inputs):
        noise, maps = inputs
        return noise[:, None, None] * tf.ones_like(maps[..., :1])

    def compute_output_shape(self, input_shape):
        noise, maps = input_shape
        return *maps[:3], noise[-1]


@keras.saving.register_keras_serializable("kgan")
class _As(keras.layers.Layer):
    """Images of other channels: [n, H, W, 1 or C] -> [n, H, W, C], grey as a colour of equal parts; or their mean, [n, H, W, 1]."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs):
        if self.channels == 1 < inputs.shape[-1]:
            return tf.reduce_mean(inputs, -1, keepdims=True)
        return inputs if inputs.shape[-1] == self.channels else tf.concat([inputs] * self.channels, -1)

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], self.channels

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


# === D ===

def discriminator(shape, channels, config):
    """input [n, H, W, channels] and image [n, H, W, C] in [-1, 1] -> logits [n, k], one for each patch."""
    image = keras.Input(shape, name="image")
    given = keras.Input((*shape[:2], channels), name="input")
    logits = patches(layers.Concatenate()([given, image]), config)
    return keras.Model({"image": image, "input": given}, logits, name="discriminator")


def patches(x, config):
    """Images [n, H, W, any] -> logits [n, k], one for each patch.

    Raises:
        ConfigError: the images are too small for `patch`.
    """
    halvings, shape = {"16": 1, "34": 2, "70": 3, "142": 4}[config.patch], x.shape[1:]
    least = 3 * 2**halvings
    if min(shape[:2]) < least:
        raise ConfigError(f"patch={config.patch}: needs images of at least {least} pixels, these are {shape[0]}×{shape[1]}")
    for i in range(halvings):
        x = _down(x, config.filters * min(2**i, 8), config, first=i == 0, norm=i > 0)
    # two of stride 1 and a border of one pixel: kernels of 4 take one pixel off the size
    x = _down(layers.ZeroPadding2D(1)(x), config.filters * min(2**halvings, 8), config, strides=1, padding="valid")
    x = layers.ZeroPadding2D(1)(layers.LeakyReLU(negative_slope=0.2)(x))
    x = layers.Conv2D(config.discriminator_outputs, 4, kernel_initializer=_weights(config), dtype="float32", name="logits")(x)
    return layers.Reshape((-1,), dtype="float32", name="patches")(x)


# === Both ===

def _down(x, width, config, first=False, norm=True, strides=2, padding="same"):
    """Maps of half the size; `first`: x is an image, before which there is no LeakyReLU."""
    x = x if first else layers.LeakyReLU(negative_slope=0.2)(x)
    x = Conv2D(width, 4, strides=strides, padding=padding, use_bias=not norm or config.normalization == "none",
               kernel_initializer=_weights(config))(x)
    return _norm(config)(x) if norm else x


def _norm(config):
    if config.normalization == "none":
        return lambda x: x
    if config.normalization == "instance":
        return InstanceNormalization(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02))
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02))


def _weights(config):
    # the published start is for maps that are normalised; without that they would fade from layer to layer
    return keras.initializers.RandomNormal(0.0, 0.02) if config.normalization != "none" else keras.initializers.HeNormal()
