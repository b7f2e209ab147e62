"""pix2pixhd: images from label maps or images, in two stages from coarse to fine, judged at several sizes (Wang et al. 2018).

Wang, Liu, Zhu, Tao, Kautz, Catanzaro 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs",
arXiv:1711.11585.

    python train.py --model=pix2pixhd                                      outlines of digits are filled
    python train.py --model=pix2pixhd --dataset=folder:facades --image_size=64 --flip --set direction=BtoA --set labels=auto

A label map is an image: each pixel's colour says what is there. G and D see it as one map a label, and one of the edges
between them. The global generator learns at half the size; the local enhancer, which makes the rest of it, then learns upon
its features, alone at first. Several discriminators judge an image, halved again and again; what G makes is drawn to the
target in their features, by a loss that replaces pix2pix's L1.
"""
import contextlib
import dataclasses
import warnings
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
from kgan.layers import InstanceNormalization
from kgan.models._residual import block, convolved, doubled, pictured, weights


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `published` has the paper's values, for 2048×1024 pixels."""

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "outlines"
    direction: Literal["AtoB", "BtoA"] = "AtoB"  # BtoA: `image` is the input, and `input` is the target
    degrade: str = ""  # for images without partners: how the input is made from the target, see kgan.data.degrade
    jitter: float = 0.0  # images are enlarged by this share and cropped back at random, input and target alike
    # what is given is a label map: auto: its colours are found in the data; a number N: grey levels 0 to N - 1; colours as in
    # 000000,ff0000; empty: it is an ordinary image
    labels: str = ""
    instances: bool = False  # shades of a label's colour are instances of it, and edges stand between these too
    evaluate_by: EvaluateBy = "l1"
    batch_size: int = 4
    steps: int = 4_000
    loss: Loss = "least_squares"
    generator_learning_rate: Scheduled = "linear:5e-4:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:2e-4:0:0.5:1"
    ema_decay: Scheduled = 0.998  # not published
    content_weight: float = 10.0  # λ of the differences in features (equation 5), and of those of a network that is named
    # what G's result is compared with its target by: features: D's; a .keras file: D's and that network's, in the place of
    # the paper's VGG; none: nothing, D alone says what is right
    perceptual: str = "features"
    pixel_weight: float = 0.0  # of the mean absolute difference from the target, which motion has in the place of VGG's loss

    filters: int = 16  # of the global generator at its full size; doubled with each halving
    halvings: int = 2  # in the global generator
    blocks: int = 4  # residual ones, innermost
    enhancer_blocks: int = 2  # residual ones of the local enhancer, which is half as wide; 0: there is none
    coarse_share: float = 0.4  # of the steps, in which the global generator is trained at half the size
    enhancer_share: float = 0.1  # of the steps after these, in which the enhancer alone is
    # resize: nearest, then a convolution. transpose, as published: after 1,200 steps all facades had checkerboards
    upsampling: Literal["transpose", "resize"] = "resize"
    discriminators: int = 2  # each sees images of half the size of the one before
    discriminator_filters: int = 16
    discriminator_layers: int = 3  # of stride 2; each of the logits sees a patch of 70 pixels with 3
    noise_dim: int = 0

    needs: ClassVar[dict] = {"input": "image", "image": "image"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # section 4 and the authors' scripts: 200 epochs of 2,975 images at half the size; then 10 of the enhancer alone, 90 of
        # both together
        "published": dict(filters=64, halvings=4, blocks=9, enhancer_blocks=3, discriminators=3, discriminator_filters=64,
                          batch_size=1, steps=892_500, coarse_share=2 / 3, enhancer_share=1 / 30, ema_decay=0.0,
                          upsampling="transpose", generator_learning_rate="linear:2e-4:0:0.8333:1",
                          discriminator_learning_rate="linear:2e-4:0:0.8333:1"),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "halvings", "discriminators", "discriminator_filters", "discriminator_layers"):
            self._check(name, 1)
        for name in ("coarse_share", "enhancer_share", "jitter"):
            self._check(name, 0, below=1)
        if self.coarse_share + self.enhancer_share >= 1:
            raise ConfigError(f"coarse_share={self.coarse_share} and enhancer_share={self.enhancer_share}: nothing is left to "
                              "train both together in; their sum must be below 1")
        if self.enhancer_blocks and self.filters % 2:
            raise ConfigError(f"filters={self.filters}: must be even, for the enhancer has half as many")
        if self.noise_dim:
            raise ConfigError(f"noise_dim={self.noise_dim}: pix2pixhd takes no noise; pix2pix does")
        from kgan.data.degrade import parse  # here, for of this file `kgan.models.outline` runs no more than this class
        from kgan.data.palette import TEXT
        from kgan.data.source import DataError
        if not TEXT.fullmatch(self.labels):
            raise ConfigError(f"labels={self.labels}: must be auto, a number of grey levels, as in 12, or colours, as in "
                              "000000,ff0000")
        try:
            parse(self.degrade)
        except DataError as error:
            raise ConfigError(str(error)) from None


@keras.saving.register_keras_serializable("kgan")
class Pix2PixHD(GAN):
    """G minimises the adversarial loss and content_weight times the differences from its target in features."""

    Config = Config

    told = ("content",)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._part = None  # of G, which alone is trained: in the phase that is being traced
        path, channels = self.config.perceptual, self.fields[self.key].shape[-1]
        known = path in ("none", "features")
        self._perceive = None if known else perceptual.features(path, channels)  # a function: no part of the model's state

    # === Phases ===

    @property
    def borders(self):
        """The first steps of the enhancer alone, and of both together; of a G without enhancer (0, 0)."""
        config = self.config
        if not config.enhancer_blocks:
            return 0, 0
        first = round(config.steps * config.coarse_share)
        return first, first + round(config.steps * config.enhancer_share)

    def phases(self):
        first, second = self.borders
        return (0, self.coarse_step), (first, self.enhancer_step), (second, self.train_step)

    def coarse_step(self, batch):
        """A step of the global generator and D, on everything at half the size."""
        half = {self.key: halved(self.real(batch)),
                **{name: halved(values, "labels" in self.fields[name].more) for name, values in self.given(batch).items()}}
        with self._training("global"):
            return super().train_step(half)

    def enhancer_step(self, batch):
        """A step of the enhancer and D; the global generator stays as it is."""
        with self._training("enhancer"):
            return super().train_step(batch)

    def train_step(self, batch):
        with self._training("both"):
            return super().train_step(batch)

    @contextlib.contextmanager
    def _training(self, part):
        self._part = part
        try:
            yield
        finally:
            self._part = None

    def moved_by(self, player):
        variables = super().moved_by(player)
        if player != "generator" or self._part is None:
            return variables
        inner = self.generator.get_layer("global")
        if self._part == "global" or not self.config.enhancer_blocks:
            return inner.trainable_variables
        # the layer that makes images of the global generator's maps has no part in G's
        fixed = (inner if self._part == "enhancer" else inner.get_layer("coarse")).trainable_variables
        fixed = {id(variable) for variable in fixed}
        return [variable for variable in variables if id(variable) not in fixed]

    def make(self, noise, given=None, network=None, training=False):
        """As GAN's; before the enhancer is trained, the global generator's images at half the size, enlarged."""
        if self._part == "global":
            return self._coarse(given["input"], network, training)
        if not training and self._early():
            images = self.asked(len(noise), given)["input"]
            small = self._coarse(halved(images, "labels" in self.fields["input"].more), network or self.ema_generator)
            return tf.image.resize(small, [2 * small.shape[1] or 2 * tf.shape(small)[1], 2 * tf.shape(small)[2]])[
                :, :tf.shape(images)[1], :tf.shape(images)[2]]
        return super().make(noise, given, network, training)

    def _early(self):
        """Whether the enhancer has not been trained yet."""
        with tf.init_scope():  # the step is a number, in a graph too
            return self.borders[0] > 0 and self.step < self.borders[0]

    def _coarse(self, images, network, training=False):
        x = tf.convert_to_tensor(images)
        for name in ("rounded", "labels"):
            x = network.get_layer(name)(x)
        x = network.get_layer("global")(x, training=training)["coarse"]
        return x[:, :tf.shape(images)[1], :tf.shape(images)[2]]

    def settle(self):
        if self._early():
            warnings.warn(f"step {self.step}: the local enhancer is not trained before step {self.borders[0]}; samples are the "
                          "global generator's, enlarged, and an export is of no use yet", stacklevel=2)

    # === Losses ===

    def content(self, real, fake, given, judged):
        pixels = self.config.pixel_weight * tf.reduce_mean(tf.abs(real - fake)) if self.config.pixel_weight else 0.0
        if self.config.perceptual == "none":
            return pixels
        if self.config.augment or self.config.instance_noise:
            judged = self.judge(fake, given)  # `judged` is of a changed image, and features are compared place by place
        wanted, count = self.judge(real, given), self.config.discriminators
        loss = matched(wanted, judged) / count
        if self._perceive:
            loss += perceptual.difference(self._perceive(real), self._perceive(fake))
        self._means["content"].update_state(loss)
        return self.config.content_weight * loss + pixels


def matched(wanted, judged):
    """The sum over layers of the mean absolute differences of what D's layers say of examples from what they say of others."""
    return tf.add_n([tf.reduce_mean(tf.abs(tf.stop_gradient(wanted[name]) - judged[name]))
                     for name in wanted if name != "logits"])


def halved(images, labels=False):
    """Images [n, H, W, C] at half their size, rounded up: means of 2×2 pixels, or of label maps one of the four."""
    return images[:, ::2, ::2] if labels else tf.nn.avg_pool2d(images, 2, 2, "SAME")


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """A pix2pixHD for images.

    Args:
        shape: (H, W, C) of the images that are made, and H, W of those that are given.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: int (there is no noise; the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input` and `image`; None: both have this shape. Colours in `more["labels"]` of
            the input, lists of ints from 0 to 255, say that it is a label map.

    Returns:
        Pix2PixHD, not compiled. Its generator takes images of any height and width, and gives them back as large.

    Raises:
        ConfigError: the images are too small, or are no images; `labels` asks for label maps and the field has no colours;
            `perceptual` names no network.
    """
    config = Config.given(config, settings)
    if len(shape) != 3:
        raise ConfigError(f"pix2pixhd makes images from images, and these examples have the shape {list(shape)}")
    fields = fields or {name: Field(kind, shape) for name, kind in config.needs.items()}
    colours = fields["input"].more.get("labels", ())
    if config.labels and not colours:
        raise ConfigError(f"labels={config.labels}: the field `input` names no colours; give it "
                          "more={\"labels\": [[0, 0, 0], …]}")
    given = fields["input"].shape[-1]
    return Pix2PixHD(generator(shape, given, colours, config), discriminator(shape, given, colours, config), config, seed,
                     fields=fields)


# === What is given ===

@keras.saving.register_keras_serializable("kgan")
class LabelMaps(keras.layers.Layer):
    """Label maps [n, H, W, C] in [-1, 1] -> [n, H, W, K + 1]: 1 in the map of each pixel's label, 0 in the others; edges.

    A pixel's label is the nearest of the colours. The last map is 1 where a pixel is of another label than one of its four
    neighbours; without colours the images pass as they are.

    Args:
        colours: K lists of C ints from 0 to 255.
        instances: whether edges are where the pixels themselves differ, by more than 2 of 255.
    """

    def __init__(self, colours, instances=False, **kwargs):
        super().__init__(**kwargs)
        self.colours, self.instances = [[int(value) for value in colour] for colour in colours], bool(instances)

    def call(self, inputs):
        if not self.colours:
            return inputs
        colours = tf.constant(self.colours, tf.float32)
        pixels = tf.round(127.5 * tf.cast(inputs, tf.float32) + 127.5)
        # |x - c|² but for |x|², which is the same for all colours: whole numbers, exact
        far = tf.reduce_sum(colours ** 2, -1) - 2 * tf.tensordot(pixels, colours, [[3], [1]])
        maps = tf.one_hot(tf.argmin(far, -1, output_type=tf.int32), len(self.colours))
        values, least = (pixels, 2.5) if self.instances else (maps, 0.5)
        down = tf.cast(tf.reduce_max(tf.abs(values[:, 1:] - values[:, :-1]), -1, keepdims=True) > least, tf.float32)
        right = tf.cast(tf.reduce_max(tf.abs(values[:, :, 1:] - values[:, :, :-1]), -1, keepdims=True) > least, tf.float32)
        sides = [tf.pad(down, [[0, 0], [1, 0], [0, 0], [0, 0]]), tf.pad(down, [[0, 0], [0, 1], [0, 0], [0, 0]]),
                 tf.pad(right, [[0, 0], [0, 0], [1, 0], [0, 0]]), tf.pad(right, [[0, 0], [0, 0], [0, 1], [0, 0]])]
        edges = tf.maximum(tf.maximum(sides[0], sides[1]), tf.maximum(sides[2], sides[3]))
        return tf.cast(tf.concat([maps, edges], -1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], len(self.colours) + 1) if self.colours else input_shape

    def get_config(self):
        return {**super().get_config(), "colours": self.colours, "instances": self.instances}


# === G ===

def generator(shape, channels, colours, config):
    """input [n, any H, any W, channels] -> images [n, H, W, C] in [-1, 1].

    `colours`: of labels; (): the input is no label map. Images whose sides are no multiples are rounded up by reflection.
    """
    multiple = 2 ** (config.halvings + 1 + bool(config.enhancer_blocks))  # innermost maps of 2×2 at least
    if min(shape[:2]) < multiple:
        raise ConfigError(f"halvings={config.halvings}: takes images of at least {multiple} pixels, these are "
                          f"{shape[0]}×{shape[1]}")
    given = keras.Input((None, None, channels), name="input")
    x = LabelMaps(colours, config.instances, name="labels")(RoundUp(multiple, name="rounded")(given))
    inner = coarse(x.shape[-1], shape[-1], config)
    if config.enhancer_blocks:
        half = layers.AveragePooling2D(3, strides=2, padding="same")(x)
        x = convolved(x, config.filters // 2, kernel=7)
        x = layers.Add()([convolved(x, config.filters, strides=2), inner(half)["maps"]])
        for _ in range(config.enhancer_blocks):
            x = block(x)
        x = pictured(doubled(x, config.filters // 2, config.upsampling), shape[-1], name="fine")
    else:
        x = inner(x)["coarse"]
    return keras.Model(given, Cut(dtype="float32", name="images")([x, given]), name="generator")


def coarse(channels, made, config):
    """The global generator: what `LabelMaps` gives -> `maps`, its last, and `coarse`, images of the same size.

    `made`: channels of the images; of motion's generator there are none, the maps alone are of use.
    """
    given = keras.Input((None, None, channels))
    x = convolved(given, config.filters, kernel=7)
    for i in range(config.halvings):
        x = convolved(x, config.filters * 2 ** (i + 1), strides=2)
    for _ in range(config.blocks):
        x = block(x)
    for i in reversed(range(config.halvings)):
        x = doubled(x, config.filters * 2**i, config.upsampling)
    found = {"maps": x, "coarse": pictured(x, made, name="coarse")} if made else {"maps": x}
    return keras.Model(given, found, name="global")


# === D ===

def discriminator(shape, channels, colours, config):
    """input [n, H, W, channels] and image [n, H, W, C] in [-1, 1] -> dict: `logits` [n, k], and the maps of each layer.

    Each of the discriminators has an equal share in the logits: those of the smaller images are repeated.
    """
    image, given = keras.Input((None, None, shape[-1]), name="image"), keras.Input((None, None, channels), name="input")
    x = layers.Concatenate()([LabelMaps(colours, config.instances)(given), image])
    return keras.Model({"image": image, "input": given}, judged(x, config), name="discriminator")


def judged(x, config):
    """What the discriminators say of maps [n, H, W, C], all that they see: a dict, as for `discriminator`."""
    found, logits = {}, []
    for scale in range(config.discriminators):
        x = layers.AveragePooling2D(3, strides=2, padding="same")(x) if scale else x
        maps = x
        for i in range(config.discriminator_layers + 1):
            maps = layers.Conv2D(config.discriminator_filters * min(2**i, 8), 4, padding="same", use_bias=i == 0,
                                 strides=2 if i < config.discriminator_layers else 1, kernel_initializer=weights())(maps)
            maps = layers.LeakyReLU(negative_slope=0.2)(InstanceNormalization()(maps) if i else maps)
            found[f"features_{scale}_{i}"] = maps
        maps = layers.Conv2D(1, 4, padding="same", kernel_initializer=weights(), dtype="float32", name=f"patches_{scale}")(maps)
        logits.append(_Repeat(dtype="float32")([maps, logits[0]]) if scale else maps)
    together = layers.Concatenate(dtype="float32")(logits) if len(logits) > 1 else logits[0]
    found["logits"] = layers.Reshape((-1,), dtype="float32", name="logits")(together)
    return found


@keras.saving.register_keras_serializable("kgan")
class _Repeat(keras.layers.Layer):
    """layer([x, like]): x [n, h, w, C], each number repeated so often that there are as many as in `like` [n, H, W, any]."""

    def call(self, inputs):
        x, like = inputs
        return tf.image.resize(x, tf.shape(like)[1:3], "nearest")

    def compute_output_shape(self, input_shape):
        x, like = input_shape
        return x[0], like[1], like[2], x[3]
