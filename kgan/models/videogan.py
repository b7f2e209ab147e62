"""videogan: short clips out of noise: sprites that move, what moves before what stays, or content and motion (Vondrick et al. 2016).

Vondrick, Pirsiavash, Torralba 2016, "Generating Videos with Scene Dynamics", arXiv:1609.02612: a moving foreground, a mask, a ground that
stays (`generator=two_stream`; `sprites`, the default, draws the foreground once and moves it); and, as `generator=content_motion`,
Tulyakov, Liu, Yang, Kautz 2018, "MoCoGAN: Decomposing Motion and Content for Video Generation", arXiv:1707.04993.

    python train.py --model=videogan                             two digits that bounce, 16 frames of 32×32: 4 CPU minutes
    python train.py --model=videogan --set digits=1 --set generator=content_motion
    python train.py --model=videogan --dataset=folder:CLIPS --image_size=32 --set fill=0.5

The first command makes sharp digits that keep their shape on their way, but few sorts of them, most often 3, 8 and 2 (docs/results.md).
"""
import dataclasses
import functools
import math
from typing import ClassVar, Literal

import keras
import numpy as np
from keras import layers, ops

from kgan.config import Auto, ConfigError, Scheduled
from kgan.config import Config as BaseConfig
from kgan.data import bouncing
from kgan.data.source import Source, seen
from kgan.kinds import Field, video
from kgan.layers import BatchNormalization, Conv2D, Conv2DTranspose
from kgan.models import gan3d
from kgan.models._shapes import START, doublings


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop, and 16 frames of 32×32 pixels."""

    needs: ClassVar[dict] = {"video": "video"}

    dataset: str = "bouncing"
    frames: int = 16  # of a clip; of files the first that are read at an even pace
    digits: int = 2  # of the built-in clips: how many fly
    batch_size: int = 16
    steps: int = 2_000
    sample_every: int = 100
    evaluate_count: int = 1_000
    noise_dim: int = 48
    generator_learning_rate: Scheduled = "cosine:2e-3:5e-4"
    discriminator_learning_rate: Scheduled = 1e-3
    ema_decay: Scheduled = 0.99
    jit_compile: Auto = False  # XLA's three-dimensional convolutions are a hundred times slower on a CPU

    # content_motion: a clip's content is the same in all frames, and its motion a code for each. two_stream: what moves before a
    # background that does not, and a mask that says where each is seen. sprites: pictures, each with a mask, that keep their looks and are
    # put somewhere else in each frame, before a background that stays
    generator: Literal["content_motion", "two_stream", "sprites"] = "sprites"
    sprites: int = 2  # of generator=sprites: how many move, each with an equal share of the noise
    content: int = 16  # numbers of the noise that each frame sees (of `sprites`: of a sprite's share); the rest say how it moves
    motion: int = 16  # numbers a frame that say where it is in its movement
    # how bright an untrained G's pixels are, 0 black and 1 white: about as the data are, or D tells them by that alone
    fill: float = 0.05
    filters: int = 16  # of the widest maps, those nearest the pixels; doubled with each halving
    rest: float = 1.0  # D makes no step where it tells more than this share of the batch; 1: it makes each
    judge_frames: bool = False  # whether D judges each frame by itself too (MoCoGAN's image discriminator)

    def __post_init__(self):
        super().__post_init__()
        for name in ("frames", "digits", "sprites", "content", "motion", "filters"):
            self._check(name, 1)
        self._check("rest", above=0)
        self._check("fill", above=0, below=1)
        shares = self.sprites if self.generator == "sprites" else 1
        if self.noise_dim % shares:
            raise ConfigError(f"noise_dim={self.noise_dim}: each of sprites={shares} gets an equal share; take a multiple of {shares}")
        if self.content >= self.noise_dim // shares:
            raise ConfigError(f"content={self.content}: must be below noise_dim={self.noise_dim}" + (shares > 1) * f"/{shares}" +
                              ", whose rest is the motion's")


@keras.saving.register_keras_serializable("kgan")
class VideoGAN(gan3d.GAN3D):
    """A GAN of clips whose D rests as gan3d's; what is its own is what it measures."""

    Config = Config
    measures = {"frame_distance": False, "motion_distance": False, "kept": True, "flicker": False, "pace": True,
                "straight": True, "turns_at_walls": True}

    def figures(self, evaluator, samples, asked=None):
        """Of data with labels, by a classifier that learns them from single frames: `frame_distance`, `motion_distance`, Fréchet
        distances of frames and of the differences between one and the next; `kept`, the mean share of a clip's frames that are
        read as what most of them are. Of the built-in clips what kgan.data.bouncing.measure tells.
        """
        from kgan.metrics.frechet import frechet_distance

        samples, found = seen("video", np.asarray(samples)), {}
        if len(evaluator.train.classes.get("label", ())) > 1:
            read, *moments = _read(evaluator.train, samples)
            for name, one, other in zip(("frame_distance", "motion_distance"), moments, _reference(evaluator)):
                found[name] = frechet_distance(one, other)
            found["kept"] = np.mean([np.bincount(frames).max() for frames in read]) / read.shape[1]
        if evaluator.train.name in bouncing.NAMES:
            found.update(bouncing.measure(samples))
        return {name: float(value) for name, value in found.items()}


@functools.lru_cache(maxsize=1)
def _reference(evaluator):
    """Moments of the features of real frames and of their differences."""
    return _read(evaluator.train, seen("video", evaluator.examples))[1:]


def _read(train, clips):
    """Classes of the frames [n, T] by a classifier that has learned those of `train`'s single frames, and Moments of features of
    frames and of differences."""
    from kgan.metrics import features
    from kgan.metrics.frechet import Moments

    some = np.asarray(train.arrays["video"])[:, ::5]
    network = features.classifier(Source(f"{train.name}, single frames", {
        "image": some.reshape(-1, *some.shape[2:]), "label": np.repeat(train.arrays["label"], some.shape[1])}, train.classes))
    of_frames, probabilities = network(clips.reshape(-1, *clips.shape[2:]))
    moves = video.differences(clips)
    of_moves, _ = network(moves.reshape(-1, *moves.shape[2:]))
    return probabilities.argmax(1).reshape(clips.shape[:2]), Moments.of(of_frames), Moments.of(of_moves)


def build(shape=(16, 32, 32, 1), config=None, seed=0, fields=None, **settings):
    """A GAN for clips.

    Args:
        shape: (T, H, W, C) of a clip: H and W 4, 5, 6 or 7·2^k with k ≥ 2, such as 32, 48, 64; for `two_stream` T a multiple of 2^k.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).
        fields: dict of the kgan.kinds.Field of `video`; None: it has this shape.

    Returns:
        VideoGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    sides = doublings(tuple(shape[1:3])) if len(shape) == 4 else ()
    if len(sides) < 3 or max(sides[0]) > START:
        raise ConfigError("videogan makes clips [frames, height, width, channels] whose sides can be halved down to 4 to "
                          f"{START} twice or more: 16, 32, 48, 64 and others, not {'×'.join(map(str, shape))}")
    if config.generator == "two_stream" and shape[0] % 2 ** (len(sides) - 1):
        raise ConfigError(f"generator=two_stream: doubles the frames {len(sides) - 1} times, and {shape[0]} is no multiple of "
                          f"{2 ** (len(sides) - 1)}; take others, or content_motion")
    network = {"content_motion": content_motion, "two_stream": two_stream, "sprites": sprites}[config.generator]
    return VideoGAN(network(shape, sides, config), discriminator(shape, sides, config), config, seed,
                    fields=fields or {"video": Field("video", shape)})


# === G ===

def content_motion(shape, sides, config):
    """noise [n, noise_dim] -> videos [n, T, H, W, C] in [-1, 1]: of content and of a frame's motion the frame."""
    noise = keras.Input((config.noise_dim,), name="noise")
    content, motion = (_of_each_frame(part, shape[0]) for part in (noise[:, :config.content], noise[:, config.content:]))
    motion = _moving(motion, shape[0])
    # numbers about as large as the content's, or what is made hardly moves at first
    motion = layers.Dense(config.motion, kernel_initializer=keras.initializers.RandomNormal(0.0, 0.3))(motion)
    x = _drawn(layers.Concatenate()([content, motion]), sides, shape[-1], config, bias_initializer=_level(config))
    x = ops.reshape(x, (-1, *shape))
    return keras.Model(noise, layers.Activation("tanh", dtype="float32", name="videos")(x), name="generator")


def _of_each_frame(x, frames):
    """x [n, d] -> [n · frames, d]: the same for each frame."""
    return ops.reshape(ops.repeat(x[:, None], frames, 1), (-1, x.shape[1]))


def _moving(motion, frames):
    """A movement's numbers [n · frames, d] -> what they say of each frame, [n · frames, 64]."""
    motion = layers.Concatenate()([motion, _Time(frames)(motion)])
    for _ in range(2):
        motion = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(64)(motion))
    return motion


def _drawn(x, sides, channels, config, **options):
    """Numbers [n, d] -> maps [n, H, W, channels], before an activation; `options` of the last layer."""
    (rows, columns), widths = sides[0], _widths(sides, config)
    x = layers.Dense(rows * columns * widths[0], use_bias=False, kernel_initializer=_weights())(x)
    x = layers.ReLU()(_batch_norm()(layers.Reshape((rows, columns, widths[0]))(x)))
    for width in widths[1:]:
        x = Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False, kernel_initializer=_weights())(x)
        x = layers.ReLU()(_batch_norm()(x))
    return Conv2DTranspose(channels, 4, strides=2, padding="same", kernel_initializer=_weights(), **options)(x)


@keras.saving.register_keras_serializable("kgan")
class _Time(layers.Layer):
    """layer(x [n · frames, d]): when each row's frame is, [n · frames, 2·WAVES]: sines and cosines of up to WAVES half turns a clip."""

    WAVES = 4

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, x):
        angle = np.pi * np.linspace(0, 1, self.frames)[:, None] * np.arange(1, self.WAVES + 1)
        table = np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)
        return ops.tile(ops.cast(table, self.compute_dtype), (ops.shape(x)[0] // self.frames, 1))

    def compute_output_shape(self, input_shape):
        return input_shape[0], 2 * self.WAVES

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


def two_stream(shape, sides, config):
    """noise [n, noise_dim] -> videos [n, T, H, W, C] in [-1, 1]: mask · foreground + (1 - mask) · background (equation 3)."""
    noise = keras.Input((config.noise_dim,), name="noise")
    (rows, columns), *larger = sides
    widths, frames = _widths(sides, config), shape[0] // 2 ** (len(sides) - 1)

    def start(*tail):
        x = layers.Dense(int(ops.prod(tail)), use_bias=False, kernel_initializer=_weights())(noise)
        return layers.ReLU()(_bn()(layers.Reshape(tail)(x)))

    x, still = start(frames, rows, columns, widths[0]), start(rows, columns, widths[0])
    options = dict(strides=2, padding="same", kernel_initializer=_weights())
    for width in widths[1:]:
        x = layers.ReLU()(_bn()(layers.Conv3DTranspose(width, 4, use_bias=False, **options)(x)))
        still = layers.ReLU()(_bn()(layers.Conv2DTranspose(width, 4, use_bias=False, **options)(still)))
    front = layers.Activation("tanh", dtype="float32", name="foreground")(
        layers.Conv3DTranspose(shape[-1], 4, bias_initializer=_level(config), **options)(x))
    mask = layers.Activation("sigmoid", dtype="float32", name="mask")(layers.Conv3DTranspose(1, 4, **options)(x))
    still = layers.Activation("tanh", dtype="float32", name="background")(
        layers.Conv2DTranspose(shape[-1], 4, bias_initializer=_level(config), **options)(still))
    x = mask * front + (1 - mask) * still[:, None]
    return keras.Model(noise, layers.Activation("linear", dtype="float32", name="videos")(x), name="generator")


def sprites(shape, sides, config):
    """noise [n, noise_dim] -> videos [n, T, H, W, C] in [-1, 1]: pictures with masks, moved as a whole, one over the other (equation 3
    with a foreground that is drawn once, and a place for each frame).
    """
    noise = keras.Input((config.noise_dim,), name="noise")
    frames, height, width, channels = shape
    each = ops.reshape(noise, (-1, config.noise_dim // config.sprites))
    x = _drawn(each[:, :config.content], sides, 1 + channels, config)
    mask = ops.sigmoid(x[..., :1] + math.log(config.fill / (1 - config.fill)))
    x = ops.concatenate([mask, mask * ops.tanh(x[..., 1:])], -1)  # what is seen of the sprite, before it is put in its place

    motion = _moving(_of_each_frame(each[:, config.content:], frames), frames)
    place = ops.reshape(ops.tanh(layers.Dense(2)(motion)), (-1, frames, 2))
    x = _Moved(name="sprites")([x, place])

    still = layers.Activation("tanh", name="ground")(
        _drawn(noise, sides, channels, config, bias_initializer=_level(config)))
    videos = ops.repeat(still[:, None], frames, 1)
    layered = ops.reshape(x, (-1, config.sprites * frames, height, width, 1 + channels))
    for i in range(config.sprites):
        own = layered[:, i * frames:(i + 1) * frames]
        videos = videos * (1 - own[..., :1]) + own[..., 1:]
    return keras.Model(noise, layers.Activation("linear", dtype="float32", name="videos")(videos), name="generator")


@keras.saving.register_keras_serializable("kgan")
class _Moved(layers.Layer):
    """layer([x [n, H, W, C], place [n, T, 2]]): the maps at each of T places, [n, T, H, W, C]; a place is (down, across) in halves of a side.

    Between two pixels each has its share, as in kgan.data.bouncing. What leaves is lost, and what comes in is 0.
    """

    def call(self, inputs):
        x, place = inputs
        height, width, channels = x.shape[1:]
        frames = place.shape[1]
        rows, columns = (self._shares(side, place[..., axis]) for axis, side in enumerate((height, width)))
        x = ops.matmul(rows, ops.reshape(x, (-1, 1, height, width * channels)))
        x = ops.transpose(ops.reshape(x, (-1, frames, height, width, channels)), (0, 1, 3, 2, 4))
        x = ops.matmul(columns, ops.reshape(x, (-1, frames, width, height * channels)))
        return ops.transpose(ops.reshape(x, (-1, frames, width, height, channels)), (0, 1, 3, 2, 4))

    def _shares(self, side, place):
        """What each of a row's pixels goes to where it is moved: [n, T, to, from]."""
        number = np.arange(side, dtype=np.float32)
        way = ops.convert_to_tensor(number[:, None] - number, self.compute_dtype)
        return ops.relu(1 - ops.abs(way - place[..., None, None] * (side / 2)))

    def compute_output_shape(self, input_shape):
        maps, place = input_shape
        return (maps[0], place[1], *maps[1:])


# === D ===

def discriminator(shape, sides, config):
    """videos [n, T, H, W, C] in [-1, 1] -> logits [n, 1]; or [n, 2T]: of each frame by itself, and the clip's as often."""
    video = x = keras.Input(shape, name="video")
    widths = _widths(sides, config)[::-1]
    for i, width in enumerate(widths):
        x = layers.Conv3D(width, 4, strides=2, padding="same", use_bias=not i, kernel_initializer=_weights())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(_bn()(x) if i else x)
    logits = layers.Dense(1, kernel_initializer=_weights(), dtype="float32", name="logits")(layers.Flatten()(x))
    if config.judge_frames:
        x = ops.reshape(video, (-1, *shape[1:]))
        for i, width in enumerate(widths):
            x = Conv2D(width, 4, strides=2, padding="same", use_bias=not i, kernel_initializer=_weights())(x)
            x = layers.LeakyReLU(negative_slope=0.2)(_batch_norm()(x) if i else x)
        x = layers.Dense(1, kernel_initializer=_weights(), dtype="float32", name="frame_logits")(layers.Flatten()(x))
        both = [ops.repeat(logits, shape[0], 1), ops.reshape(x, (-1, shape[0]))]
        logits = layers.Concatenate(dtype="float32", name="both_logits")(both)
    return keras.Model(video, logits, name="discriminator")


def _widths(sides, config):
    """Widths of the maps of `sides`, the pixels themselves left out, from the smallest up."""
    return [config.filters * min(2**i, 8) for i in range(len(sides) - 1)][::-1]


def _level(config):
    """Of the last layer before tanh: its bias."""
    return keras.initializers.Constant(math.atanh(2 * config.fill - 1))


def _weights():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _batch_norm():
    return BatchNormalization(momentum=0.9, epsilon=1e-5)


def _bn():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
