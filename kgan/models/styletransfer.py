"""styletransfer: any image in the style of one picture, by a fast network (Johnson et al. 2016; Li & Wand 2016).

Johnson, Alahi, Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv:1603.08155: G, and the
losses in a network's features. Li, Wand 2016, "Precomputed Real-Time Texture Synthesis with Markovian Generative Adversarial
Networks", arXiv:1604.04382: a discriminator of patches of the one picture in place of Gram matrices.

    python train.py --model=styletransfer --dataset=folder:PHOTOS --image_size=96 --set style=painting.jpg
    python train.py --model=styletransfer                                  coloured glyphs in the style of a glass window
    python train.py --model=styletransfer --dataset=folder:PHOTOS --image_size=96 --set style=painting.jpg \\
        --set preset=gram --set loss_network=vgg.keras                     with a network of yours, as in Johnson et al.
    python -m kgan.translate runs/NAME FOLDER --out=TRANSLATED             files of any size

Without a loss network D tells patches of the picture from patches of results, and what an image shows is kept by its light and
shade: those of the result, at a fourth of the size, are to go with the image's. With one, G alone is trained.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan import perceptual
from kgan.anysize import Cut, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Loss, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.models._residual import block, convolved, doubled, pictured, weights


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default learns by patches of the picture; the preset `gram` by Gram matrices, and wants a `loss_network`."""

    preset: Literal["patches", "gram"] = "patches"
    dataset: str = "outlines"
    style: str = ""  # file of the picture; empty: a window of coloured glass, drawn on the spot
    style_scale: float = 2.0  # its shorter side, in sides of the images: the larger, the larger its strokes
    loss_network: str = ""  # a .keras file, whose features are compared; empty: none is needed
    evaluate_by: EvaluateBy = "kernel_distance"
    batch_size: int = 4
    steps: int = 3_000
    loss: Loss = "hinge"  # Li & Wand, equation 2
    generator_learning_rate: Scheduled = "linear:1e-3:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:2e-4:0:0.5:1"
    ema_decay: Scheduled = 0.99
    # weight of what an image shows: patches: 1 minus the correlation of light and shade, 0 to 2; gram: the mean square of the
    # differences of features
    content_weight: float = 10.0
    gram_weight: float = 5.0  # of the squared differences of Gram matrices, where there is a loss network
    smooth_weight: float = 0.0  # of the mean absolute difference of neighbouring pixels

    filters: int = 16  # 32 in Johnson et al.; doubled with each of two halvings
    blocks: int = 3  # residual ones; 5 in Johnson et al.
    upsampling: Literal["transpose", "resize"] = "resize"  # Johnson et al. have transpose
    patch: Literal["10", "22", "46"] = "22"  # pixels a side that one of D's logits sees
    noise_dim: int = 0

    needs: ClassVar[dict] = {"input": "image", "image": "image"}
    paired: ClassVar[bool] = False
    presets: ClassVar[dict] = {
        "patches": {},
        # Johnson et al.'s program: Adam 1e-3, batches of 4, content 1, style 5, total variation 1e-6 of pixels up to 255
        "gram": dict(content_weight=1.0, generator_learning_rate=1e-3, steps=40_000, filters=32, blocks=5, smooth_weight=1e-4),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "blocks"):
            self._check(name, 1)
        self._check("style_scale", 1)
        if self.noise_dim:
            raise ConfigError(f"noise_dim={self.noise_dim}: styletransfer takes no noise, leave it out")


@keras.saving.register_keras_serializable("kgan")
class StyleTransfer(GAN):
    """The `real` examples are cuts of the style's picture; `input` is what is to be seen in that style."""

    Config = Config
    measures = {"content_kept": True}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        names = ["content", "style"] if self.config.loss_network else ["content"]
        self._means.update({name: keras.metrics.Mean(name) for name in names})
        path = self.config.loss_network
        # a function: no part of the model's state
        self._perceive = perceptual.features(path, self.fields[self.key].shape[-1], "loss_network") if path else None

    def train_step(self, batch):
        """As GAN's; with a loss network G's step alone."""
        if self._perceive is None:
            return super().train_step(batch)
        real, given = self.real(batch), self.given(batch)
        noise = self.noise(tf.shape(real)[0])
        made = lambda: self.make(noise, given, self.generator, training=True)
        self.minimize(lambda: self.content(real, made(), given, None), "generator")
        self.update_averages()
        return self.results("g_gradient", "content", "style")

    def content(self, real, fake, given, judged):
        """What keeps an image what it shows; with a loss network what gives it the style, too."""
        config = self.config
        if self._perceive is None:
            content, style = kept(given["input"], fake), 0.0
        else:
            shown, wanted, found = (self._perceive(images) for images in (given["input"], real, fake))
            middle = len(found) // 2  # relu3_3, the third of four, of Johnson et al.'s VGG16
            content = tf.reduce_mean((shown[middle] - found[middle]) ** 2)
            # of the picture's cuts in this batch together: all cuts are of one picture
            style = tf.add_n([tf.reduce_mean(tf.reduce_sum((perceptual.gram(one) - tf.reduce_mean(
                perceptual.gram(other), 0, keepdims=True)) ** 2, [1, 2])) for one, other in zip(found, wanted)])
            self._means["style"].update_state(style)
        self._means["content"].update_state(content)
        loss = config.content_weight * content + config.gram_weight * style
        if config.smooth_weight:
            pixels = float(fake.shape[1] * fake.shape[2])
            loss += config.smooth_weight * tf.reduce_mean(tf.image.total_variation(fake)) / pixels
        return loss

    def figures(self, evaluator, samples, asked=None):
        """`content_kept`: correlation of light and shade with those of what was given, 1 where all is kept; of 256 samples."""
        given = evaluator.given["input"][:256]
        return {"content_kept": 1 - float(kept(tf.convert_to_tensor(given), tf.convert_to_tensor(samples[:len(given)])))}


def kept(images, others, size=4):
    """1 minus the correlation of light and shade of two images each, at a fourth of their size: mean of [n], from 0 to 2.

    Light is the mean of the channels. A style may change how light or how rich in contrast an image is on the whole.
    """
    def light(images):
        small = tf.nn.avg_pool2d(tf.reduce_mean(images, -1, keepdims=True), size, size, "SAME")
        small -= tf.reduce_mean(small, [1, 2], keepdims=True)
        return small * tf.math.rsqrt(tf.reduce_mean(small ** 2, [1, 2], keepdims=True) + 1e-6)
    return 1 - tf.reduce_mean(light(images) * light(others))


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """A styletransfer for images.

    Args:
        shape: (H, W, C) of the images, what is given and what is made.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: int (there is no noise; the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input` and `image`; None: both have this shape.

    Returns:
        StyleTransfer, not compiled. Its generator takes images of any height and width, and gives them back as large.

    Raises:
        ConfigError: the images are too small, or are no images; `loss_network` is none.
    """
    config = Config.given(config, settings)
    if config.preset == "gram" and not config.loss_network:
        raise ConfigError("preset=gram: compares features of a network: name one by loss_network=FILE.keras")
    if len(shape) != 3 or min(shape[:2]) < 16:
        raise ConfigError(f"styletransfer is for images of at least 16 pixels, not {'×'.join(map(str, shape))}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    return StyleTransfer(generator(fields["input"].shape[-1], shape[-1], config), discriminator(shape[-1], config), config, seed,
                         fields=fields)


def generator(channels, made, config):
    """input [n, any H, any W, channels] -> images [n, H, W, made] in [-1, 1]."""
    given = keras.Input((None, None, channels), name="input")
    x = convolved(RoundUp(8)(given), config.filters, kernel=9)
    for width in 2 * config.filters, 4 * config.filters:
        x = convolved(x, width, strides=2)
    for _ in range(config.blocks):
        x = block(x)
    for width in 2 * config.filters, config.filters:
        x = doubled(x, width, config.upsampling)
    x = pictured(x, made, kernel=9)
    return keras.Model(given, Cut(dtype="float32", name="images")([x, given]), name="generator")


def discriminator(channels, config):
    """image [n, H, W, C] in [-1, 1] -> logits [n, k], one for each patch, whatever the image is that it is for."""
    image = keras.Input((None, None, channels), name="image")
    x = image
    for i in range({"10": 1, "22": 2, "46": 3}[config.patch]):
        x = layers.Conv2D(2 * config.filters * 2**i, 4, strides=2, padding="same", kernel_initializer=weights())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(1, 4, padding="same", kernel_initializer=weights(), dtype="float32", name="logits")(x)
    return keras.Model(image, layers.Reshape((-1,), dtype="float32")(x), name="discriminator")
