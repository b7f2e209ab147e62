"""inpaint: fills the holes that a mask marks, strokes and boxes of any shape (Yu et al. 2018, DeepFill v2).

Yu, Lin, Yang, Shen, Lu, Huang 2018, "Free-Form Image Inpainting with Gated Convolution", arXiv:1806.03589.

    python train.py --model=inpaint                                        digits with holes are mended
    python train.py --model=inpaint --dataset=folder:PHOTOS --image_size=64 --flip
    python -m kgan.translate runs/NAME PHOTO.png --mask=MASK.png --out=MENDED      any size; white is missing

The first command takes 5.5 CPU minutes: 14.3 dB in the holes of 200 digits never seen, of which the classifier reads 89 % as what
they were; biharmonic equations have 12.0 dB and 83 % (benchmarks/inpainting.py, docs/results.md).

G is two networks of gated convolutions: the coarse one draws the image, the fine one draws it again, with the coarse one's
drawing where it is missing. What is known is put back, bit for bit. D judges patches of an image beside the mask (SN-PatchGAN).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.anysize import Cut, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Loss, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.kinds.image import store
from kgan.layers import ClipAtInference, SpectralConv2D
from kgan.metrics import holes
from kgan.models._attention import ContextualAttention
from kgan.replicas import len_of

KEPT = 5.3  # 1 / E[(ELU(a) · sigmoid(b))²] of normal a and b


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the preset `published` has the paper's values, for 256 pixels."""

    preset: Literal["laptop", "published"] = "laptop"
    # masks are drawn anew for each image, see kgan.data.masks
    masks: Literal["strokes+boxes", "strokes", "boxes"] = "strokes+boxes"
    hole_least: float = 0.05  # share of the image that is missing, at least
    hole_most: float = 0.4
    evaluate_by: EvaluateBy = "hole_l1"  # it needs no classifier
    batch_size: int = 16
    steps: int = 3_000
    generator_learning_rate: Scheduled = "linear:1e-3:0:0.5:1"
    discriminator_learning_rate: Scheduled = "linear:5e-4:0:0.5:1"
    ema_decay: Scheduled = 0.998  # not in the paper: results come from the average of about the last 500 generators
    loss: Loss = "hinge"
    # of the mean absolute difference, over the whole image, of the coarse and of the fine drawing. Published: 1
    content_weight: float = 10.0

    filters: int = 8  # of the maps of full size; doubled with each of two halvings
    attention: bool = False  # contextual attention in the fine network: patches of what is known are copied; for large images
    discriminator_filters: int = 32  # of D's first map, doubled twice
    noise_dim: int = 0

    needs: ClassVar[dict] = {"image": "image", "input": "image", "mask": "mask"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # section 4 and the authors' inpaint.yml; about 1e6 steps
        "published": dict(filters=24, attention=True, discriminator_filters=64, content_weight=1.0, steps=1_000_000,
                          generator_learning_rate=1e-4, discriminator_learning_rate=1e-4, ema_decay=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("filters", "discriminator_filters"):
            self._check(name, 2)
        if not self.hole_least < self.hole_most <= 1:
            raise ConfigError(f"hole_least={self.hole_least:g}, hole_most={self.hole_most:g}: shares of the image, the first below "
                              "the second, at most 1")
        if (moved := [name for name in self.augmentations if name != "color"]) or self.consistency_weight:
            raise ConfigError(f"{f'augment={self.augment}' if moved else 'consistency_weight'}: moves what D sees, and not the mask "
                              "beside it; augment=color alone leaves all in its place")
        if self.noise_dim:
            raise ConfigError(f"noise_dim={self.noise_dim}: inpaint takes no noise, leave it out")


@keras.saving.register_keras_serializable("kgan")
class Inpaint(GAN):
    """In training `make` gives more than the result: [n, H, W, 3C], then what the fine and the coarse network have drawn."""

    Config = Config
    # of the holes alone, kgan.metrics.holes; `_border`: of who fills them with the mean of what borders on them
    measures = {f"{name}{suffix}": "psnr" in name for suffix in ("", "_border") for name in (
        "hole_l1", "hole_psnr", *(f"hole_psnr_{share}" for share in holes.SHARES))}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._means.update({name: keras.metrics.Mean(name) for name in ("content", "hole")})

    def make(self, noise, given=None, network=None, training=False):
        if not training:
            return super().make(noise, given, network)
        given = self.asked(len_of(given["mask"]), given)
        drawn = network.get_layer("drawn")(given, training=True)
        return tf.concat([network.get_layer("images")([drawn, given["input"], given["mask"]]), tf.cast(drawn, tf.float32)], -1)

    def discriminator_loss(self, real, fake, *args, **kwargs):
        return super().discriminator_loss(real, fake[..., :real.shape[-1]], *args, **kwargs)

    def generator_loss(self, real, fake, given=None, *args, **kwargs):
        """The adversarial loss, and the mean absolute difference of both drawings; in evaluation, of the result."""
        depth = real.shape[-1]
        made, *drawn = tf.split(fake, fake.shape[-1] // depth, -1)
        difference = tf.add_n([tf.reduce_mean(tf.abs(real - one)) for one in drawn or [made]])
        self._means["content"].update_state(difference)
        apart = tf.reduce_sum(tf.abs(real - made) * given["mask"]) / 2  # of the range, which is from -1 to 1
        self._means["hole"].update_state(tf.math.divide_no_nan(apart, depth * tf.reduce_sum(given["mask"])))
        return super().generator_loss(real, made, given, *args, **kwargs) + self.config.content_weight * difference

    def figures(self, evaluator, samples, asked=None):
        true, masks = evaluator.examples, evaluator.given["mask"]
        return {**holes.figures(store(samples), true, masks),
                **holes.figures(holes.surrounded(true, masks), true, masks, "_border")}


def build(shape=(64, 64, 3), config=None, seed=0, fields=None, **settings):
    """An inpaint for images.

    Args:
        shape: (H, W, C) of the images.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of what losses draw (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `image`, `input` and `mask`; None: as `shape` says.

    Returns:
        Inpaint, not compiled. Its generator takes `input` [n, H, W, C] in [-1, 1], whose pixels under the mask it does not look at,
        and `mask` [n, H, W, 1], above .5 where they are missing, of any height and width; what is not missing comes back bit for bit.

    Raises:
        ConfigError: these are no images, or they are smaller than 8 pixels.
    """
    config = Config.given(config, settings)
    if len(shape) != 3:
        raise ConfigError(f"inpaint is for images, and these examples have the shape {list(shape)}")
    if min(shape[:2]) < 8:
        raise ConfigError(f"inpaint needs images of at least 8 pixels, these are {shape[0]}×{shape[1]}")
    fields = fields or {"image": Field("image", shape), "input": Field("image", shape), "mask": Field("mask", (*shape[:2], 1))}
    return Inpaint(generator(shape, config), discriminator(shape, config), config, seed, fields=fields)


# === G ===

def generator(shape, config):
    """{input [n, any H, any W, C], mask [n, H, W, 1]} -> images [n, H, W, C] in [-1, 1].

    Its layer `drawn` gives [n, H, W, 2C], the fine and the coarse drawing; `images` puts back what is known.
    """
    inputs = _inputs(shape)
    network = _drawing(shape, config)
    made = _Restore(dtype="float32", name="images")([network(inputs), inputs["input"], inputs["mask"]])
    return keras.Model(inputs, made, name="generator")


def _inputs(shape):
    return {"input": keras.Input((None, None, shape[-1]), name="input"), "mask": keras.Input((None, None, 1), name="mask")}


def _drawing(shape, config):
    """The two networks. Sides that are no multiples of the total stride are rounded up by reflection."""
    inputs, depth = _inputs(shape), shape[-1]
    image, mask = (RoundUp(8 if config.attention else 4)(inputs[name]) for name in ("input", "mask"))
    side = min(shape[:2]) // 4  # of the smallest maps: a rate beyond it would look at nothing but the border
    rates = [rate for rate in (2, 4, 8, 16) if rate < side]
    coarse = _decoder(_hourglass(_Hide()([image, mask]), config.filters, rates), depth, config.filters)
    pasted = _Restore()([coarse, image, mask])
    x = _hourglass(pasted, config.filters, rates)
    if config.attention:
        y = ContextualAttention(dtype="float32")([_encoder(pasted, config.filters), mask])
        x = layers.Concatenate()([x, *_chain([y], config.filters * 4, 2)])
    fine = _decoder(x, depth, config.filters)
    drawn = layers.Concatenate(dtype="float32")([Cut(dtype="float32")([one, inputs["input"]]) for one in (fine, coarse)])
    return keras.Model(inputs, drawn, name="drawn")


def _gated(x, width, kernel=3, strides=1, rate=1):
    """A gated convolution (equation 2): one half of a convolution by ELU, times the other by sigmoid.

    Of normal numbers that leaves 1 / KEPT of the mean square, so weights are drawn as much larger: with Glorot's, the authors',
    a 200,000th of an image was left after fourteen of them, and after 400 steps G still drew the same blot into each hole.
    """
    start = keras.initializers.VarianceScaling(KEPT, "fan_in", "truncated_normal")
    return _Gate()(layers.Conv2D(2 * width, kernel, strides, "same", dilation_rate=rate, kernel_initializer=start)(x))


def _chain(xs, width, count):
    for _ in range(count):
        xs = [_gated(x, width) for x in xs]
    return xs


def _encoder(x, filters):
    """Maps of a quarter of the size, 4 · filters of them."""
    x = _gated(_gated(x, filters, 5), 2 * filters, strides=2)
    x = _gated(_gated(x, 2 * filters), 4 * filters, strides=2)
    return _chain([x], 4 * filters, 2)[0]


def _hourglass(x, filters, rates):
    x = _encoder(x, filters)
    for rate in rates:
        x = _gated(x, 4 * filters, rate=rate)
    return x


def _decoder(x, depth, filters):
    """An image of four times the size: nearest, then a convolution, twice.

    It ends in no tanh, unlike the authors': of images with much black, as digits, that saturates within 50 steps, and G is dead.
    """
    x = _chain([x], 4 * filters, 2)[0]
    for width in (2 * filters, filters):
        x = _gated(layers.UpSampling2D(2)(x), width)
        x = _gated(x, width if width > filters else filters // 2)
    return ClipAtInference()(layers.Conv2D(depth, 3, padding="same")(x))


@keras.saving.register_keras_serializable("kgan")
class _Gate(keras.layers.Layer):
    """[n, H, W, 2C] -> [n, H, W, C]: ELU of the first half times the sigmoid of the second."""

    def call(self, inputs):
        features, gate = tf.split(inputs, 2, -1)
        return tf.nn.elu(features) * tf.sigmoid(gate)

    def compute_output_shape(self, input_shape):
        return *input_shape[:-1], input_shape[-1] // 2


@keras.saving.register_keras_serializable("kgan")
class _Hide(keras.layers.Layer):
    """layer([image, mask]): [n, H, W, C + 2], the image with 0 where it is missing, 1 everywhere (a border is told by it), the mask."""

    def call(self, inputs):
        image, mask = inputs
        missing = mask > 0.5
        return tf.concat([tf.where(missing, tf.zeros_like(image), image), tf.ones_like(mask), tf.cast(missing, image.dtype)], -1)

    def compute_output_shape(self, input_shape):
        return *input_shape[0][:-1], input_shape[0][-1] + 2


@keras.saving.register_keras_serializable("kgan")
class _Restore(keras.layers.Layer):
    """layer([drawn, image, mask]): the image, the first of what is drawn where the mask is above .5: a choice, no sum."""

    def call(self, inputs):
        drawn, image, mask = inputs
        return tf.where(mask > 0.5, drawn[..., :image.shape[-1]], image)

    def compute_output_shape(self, input_shape):
        return input_shape[1]


# === D ===

def discriminator(shape, config):
    """image [n, H, W, C] in [-1, 1] and mask [n, H, W, 1] -> logits [n, k]: one for each place and map of the last layer."""
    image, mask = keras.Input(shape, name="image"), keras.Input((*shape[:2], 1), name="mask")
    x, widths = layers.Concatenate()([image, mask]), _widths(shape, config)
    for width in widths[:-1]:
        x = layers.LeakyReLU(negative_slope=0.2)(SpectralConv2D(width, 5, 2, "same")(x))
    # the authors' last layer has a LeakyReLU too; a logit is linear here
    x = SpectralConv2D(widths[-1], 5, 2, "same", dtype="float32", name="logits")(x)
    x = layers.Reshape((-1,), dtype="float32", name="patches")(x)
    return keras.Model({"image": image, "mask": mask}, x, name="discriminator")


def _widths(shape, config):
    """Of the published six halvings as many as leave four pixels of 256, two or three of less."""
    halvings, side = 0, min(shape[:2])
    while halvings < 6 and side > 3:
        halvings, side = halvings + 1, -(-side // 2)
    return [config.discriminator_filters * min(2**i, 4) for i in range(halvings)]
