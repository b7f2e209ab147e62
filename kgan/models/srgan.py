"""SRGAN: enlarges images, with the detail that was lost: first exact to the pixel, then plausible (Ledig et al. 2017).

Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", arXiv:1609.04802v5.

    python train.py --model=srgan                                          digits of 7 pixels become digits of 28
    python train.py --model=srgan --dataset=folder:PHOTOS --image_size=160 --flip --set patch_size=64
    python train.py --model=srgan --dataset=folder:PHOTOS --image_size=160 --flip --set degrade=downscale:2+jpeg:60
    python -m kgan.translate runs/NAME FOLDER --out=LARGER                 files of any size

G is a ResNet on the small picture whose last maps are shuffled into pixels. For `warm_up` steps it minimises the mean squared
difference from the target alone (SRResNet); then D, which tells real pictures from G's, has a part in its loss. How many times
larger the result is follows from the data: `degrade` makes the input of the target, and what it leaves small stays small.

The first command takes 2 CPU minutes: 99 % of 2,000 digits never seen are still read as what they are, PSNR 24.6 dB (bicubic
interpolation 14 %, 14.6 dB). 15,000 steps of it on BSD200 took 9 CPU minutes: 30.8 dB on Set5 (bicubic 28.4, published 32.1).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import BatchNormalization, ClipAtInference
from kgan.replicas import len_of


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `published` has the paper's values, `bn_free` those without BN."""

    preset: Literal["laptop", "published", "bn_free"] = "laptop"
    degrade: str = "downscale:4"  # how the input is made from the target, see kgan.data.degrade
    enlarge: bool = False  # whether what `degrade` makes smaller is scaled up again before G, which then restores without enlarging
    patch_size: int = 0  # side of the squares that are cut from the images at random in training; 0: whole images
    evaluate_by: EvaluateBy = "psnr"
    batch_size: int = 16
    steps: int = 5_000
    warm_up: int = 4_000  # steps of SRResNet, before D is used; equal to `steps`: SRResNet alone
    # the two losses have different scales, but Adam does not see them: the rates can be alike
    generator_learning_rate: Scheduled = "linear:1e-3:1e-4:0.3:1"
    discriminator_learning_rate: Scheduled = 1e-4
    beta_1: float = 0.9
    ema_decay: Scheduled = 0.998  # not published
    # mse and l1 compare pixels, discriminator the maps of D's last convolution, a file (.keras) what the network in it gives for
    # images in [-1, 1], such as VGG's maps. SRResNet's steps compare pixels in any case
    content: str = "mse"
    content_weight: float = 1_000.0  # beside an adversarial loss of weight 1: 1e-3 the other way round (equation 3)

    blocks: int = 8
    filters: int = 32
    # batch as published; none: faster, and without the spots that its statistics make (Wang et al. 2018, ESRGAN, section 3.1)
    normalization: Literal["none", "batch"] = "none"
    activation: Literal["relu", "prelu"] = "relu"
    kernel: int = 3  # sides of the first and the last convolution's kernels
    # stepwise: twice as large by 4 × filters maps, and again. direct: at once into pixels (Shi et al. 2016), at half the cost
    upsampling: Literal["stepwise", "direct"] = "direct"
    residual: bool = True  # G's maps are added to the bicubic interpolation of the input: training begins at its PSNR
    discriminator_filters: int = 16
    discriminator_normalization: Literal["none", "batch"] = "batch"
    noise_dim: int = 0

    needs: ClassVar[dict] = {"input": "image", "image": "image"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # section 3.2: 16 crops of 96 pixels; 1e6 steps of SRResNet, then 1e5 at 1e-4 and 1e5 at 1e-5
        "published": dict(patch_size=96, steps=1_200_000, warm_up=1_000_000, ema_decay=0.0,
                          generator_learning_rate="step:1e-4:1e-5:0.9166667", discriminator_learning_rate="step:1e-4:1e-5:0.9166667",
                          blocks=16, filters=64, normalization="batch", activation="prelu", kernel=9, upsampling="stepwise",
                          residual=False, discriminator_filters=64),
        # the network of BasicSR's MSRResNet and MSRGAN, with its rates and losses of pixels
        "bn_free": dict(patch_size=128, steps=1_400_000, warm_up=1_000_000, generator_learning_rate=2e-4, beta_2=0.99,
                        content="l1", blocks=16, filters=64, upsampling="stepwise", discriminator_filters=64),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("blocks", "filters", "kernel", "discriminator_filters"):
            self._check(name, 1)
        if not self.kernel % 2:
            raise ConfigError(f"kernel={self.kernel}: must be odd")
        from kgan.data.degrade import parse  # here, for of this file `kgan.models.outline` runs no more than this class
        from kgan.data.source import DataError
        try:
            parse(self.degrade)
        except DataError as error:
            raise ConfigError(str(error)) from None


@keras.saving.register_keras_serializable("kgan")
class SRGAN(GAN):
    """SRResNet's steps, then SRGAN's: content_weight times the content loss beside the adversarial one (equation 3)."""

    Config = Config

    told = ("content",)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._maps = _named(self.config.content)

    def phases(self):
        return (0, self.warm_up_step), (self.config.warm_up, self.train_step)

    def warm_up_step(self, batch):
        """SRResNet: G alone, by the difference of pixels (equation 4)."""
        real, given = self.real(batch), self.given(batch)

        def loss(real, given, noise, draw):
            fake = self.make(noise, given, self.generator, training=True)
            self.check("the real examples", real)
            self.check("the generated examples", fake)
            return self._weighed(self._pixels(real, fake))

        self.minimize(loss, "generator", self._parts(real, given, self.noise(len_of(real)), 0))
        self.update_averages()
        return self.results("content", "g_gradient")

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        if self.config.content == "discriminator":
            maps = lambda images: self.judge(images, given, training)["maps"]
        else:
            maps = self._maps
        content = tf.reduce_mean((tf.stop_gradient(maps(real)) - maps(fake)) ** 2) if maps else self._pixels(real, fake)
        return self._weighed(content) + super().generator_loss(real, fake, given, noise, draw, training)

    def _pixels(self, real, fake):
        return tf.reduce_mean(tf.abs(real - fake) if self.config.content == "l1" else (real - fake) ** 2)

    def _weighed(self, difference):
        self._means["content"].update_state(difference)
        return self.config.content_weight * difference


def _named(content):
    """The frozen network in a file, as a function; None where `content` names no file. It is no part of the GAN's state."""
    if content in ("mse", "l1", "discriminator"):
        return None
    try:
        network = keras.saving.load_model(content, compile=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"content={content}: must be mse, l1, discriminator or a .keras file of a network of images: "
                          f"{str(error).splitlines()[0]}") from None
    network.trainable = False
    return lambda images: tf.cast(network(images, training=False), tf.float32)


def build(shape=(28, 28, 1), config=None, seed=0, fields=None, **settings):
    """An SRGAN for images.

    Args:
        shape: (H, W, C) of the images that are made.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise, if there is any (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input` and `image`; None: the input is 4 times smaller.

    Returns:
        SRGAN, not compiled. Its generator takes images of any height and width.

    Raises:
        ConfigError: the images are not 1, 2, 3, 4 or 8 times as large as their inputs, or are no images.
    """
    config = Config.given(config, settings)
    if len(shape) != 3:
        raise ConfigError(f"srgan makes images from images, and these examples have the shape {list(shape)}")
    fields = fields or {"input": Field("image", (shape[0] // 4, shape[1] // 4, shape[2])), "image": Field("image", shape)}
    height, width, channels = fields["input"].shape
    scale = shape[0] // max(height, 1)
    if scale not in (1, 2, 3, 4, 8) or (height * scale, width * scale) != tuple(shape[:2]):
        raise ConfigError(f"degrade={config.degrade}: srgan makes images 2, 3, 4 or 8 times as large, or as large as they are; these "
                          f"are {shape[0]}x{shape[1]} pixels, their inputs {height}x{width}")
    return SRGAN(generator(scale, shape[-1], channels, config), discriminator(shape, config), config, seed, fields=fields)


# === G ===

def generator(scale, made, channels, config):
    """input [n, any H, any W, channels] -> images [n, scale·H, scale·W, made] in [-1, 1]."""
    images = keras.Input((None, None, channels), name="input")
    x = first = _active(_conv(config.filters, config.kernel, config)(images), config)
    for _ in range(config.blocks):
        y = _active(_norm(_conv(config.filters, 3, config, 2.0)(x), config), config)
        # a tenth of He's: many blocks in a row start near the identity (BasicSR does it where there is no normalisation)
        x = layers.Add()([x, _norm(_conv(config.filters, 3, config, 0.2)(y), config)])
    x = layers.Add()([first, _norm(_conv(config.filters, 3, config)(x), config)])
    last = dict(start=1e-3) if config.residual else {}  # so that it begins as the interpolation
    if config.upsampling == "direct":
        x = _Shuffle(scale)(_conv(made * scale**2, config.kernel, config, **last)(x))
    else:
        for factor in {1: [], 3: [3]}.get(scale, [2] * (scale.bit_length() - 1)):
            x = _active(_Shuffle(factor)(_conv(config.filters * factor**2, 3, config)(x)), config)
        x = _conv(made, config.kernel, config, **last)(x)
    if config.residual:
        x = layers.Add()([x, _Bicubic(scale, made)(images)])
    return keras.Model(images, ClipAtInference(dtype="float32", name="images")(x), name="generator")


def _conv(filters, kernel, config, start=1.0):
    kind = keras.initializers.VarianceScaling(start, "fan_in", "untruncated_normal")
    return layers.Conv2D(filters, kernel, padding="same", kernel_initializer=kind)


def _norm(x, config):
    return BatchNormalization(momentum=0.9, epsilon=1e-5)(x) if config.normalization == "batch" else x


def _active(x, config):
    return layers.PReLU(shared_axes=[1, 2])(x) if config.activation == "prelu" else layers.ReLU()(x)


@keras.saving.register_keras_serializable("kgan")
class _Shuffle(keras.layers.Layer):
    """[n, H, W, s²·C] -> [n, s·H, s·W, C]: Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution", equation 4."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return tf.nn.depth_to_space(inputs, self.scale) if self.scale > 1 else inputs

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        return n, height and height * self.scale, width and width * self.scale, channels // self.scale**2

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("kgan")
class _Bicubic(_Shuffle):
    """[n, H, W, C] -> [n, s·H, s·W, made] by `kgan.data.bicubic.resize`; the same channels, or grey as a colour, or its mean."""

    def __init__(self, scale, made, **kwargs):
        super().__init__(scale, **kwargs)
        self.made = made

    def call(self, inputs):
        channels = inputs.shape[-1]
        mix = np.eye(channels) if channels == self.made else np.full((channels, self.made), 1 / channels)
        for axis in (1, 2):
            size = tf.shape(inputs)[axis]
            places = (tf.range(size + 4) + 2 * size - 2) % (2 * size)  # two more at each edge, mirrored; never negative
            inputs = tf.gather(inputs, tf.where(places < size, places, 2 * size - 1 - places), axis=axis)
        weights = _weights(self.scale)  # [s, 5]
        kernel = np.einsum("pi,qj,co->ijcpqo", weights, weights, mix).reshape(5, 5, channels, -1)
        return super().call(tf.nn.conv2d(inputs, tf.constant(kernel, inputs.dtype), 1, "VALID"))

    def compute_output_shape(self, input_shape):
        n, height, width, _ = input_shape
        return n, height and height * self.scale, width and width * self.scale, self.made

    def get_config(self):
        return {**super().get_config(), "made": self.made}


def _weights(scale):
    """Of each of the `scale` pixels that come of one, the weights [scale, 5] of that one and two to each side."""
    from kgan.data.bicubic import resize
    return resize(np.eye(5, dtype=np.float32)[:, :, None], 5 * scale, 5)[2 * scale:3 * scale, :, 0]


# === D ===

def discriminator(shape, config):
    """image [n, H, W, C] in [-1, 1] -> logits [n, k]; and maps, of its last convolution, where content is compared by them."""
    image = keras.Input(shape, name="image")
    x, side = image, min(shape[:2])
    for i in range(8):  # figure 4: 64, 64/2, 128, 128/2 … 512/2; small images are halved less often
        strides = 2 if i % 2 and side >= 4 else 1
        side = -(-side // strides)
        bare = i == 0 or config.discriminator_normalization == "none"
        x = layers.Conv2D(config.discriminator_filters * 2 ** (i // 2), 3, strides, padding="same", use_bias=bare)(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x if bare else BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    maps = x
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(16 * config.discriminator_filters)(layers.Flatten()(x)))
    logits = layers.Dense(config.discriminator_outputs, dtype="float32", name="logits")(x)
    found = {"logits": logits, "maps": maps} if config.content == "discriminator" else logits
    return keras.Model(image, found, name="discriminator")
