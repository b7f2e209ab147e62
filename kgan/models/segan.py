"""SEGAN: speech out of noise, waveform to waveform (Pascual et al. 2017).

Pascual, Bonafonte, Serrà 2017, "SEGAN: Speech Enhancement Generative Adversarial Network", arXiv:1703.09452.

    python train.py --model=segan                                          built-in voices, noise over them
    python train.py --model=segan --dataset=folder:PATH                    your recordings, noise over them
    python train.py --model=segan --dataset=folder:PATH                    PATH/noisy and PATH/clean: your pairs
    python -m kgan.translate runs/NAME a.wav b.flac --out=CLEAN            files of any length and rate

G is an autoencoder along time: strided convolutions down, transposed ones up, each level joined to its mirror image; D
judges a sound beside the noisy one that it is for; a loss of its own says what G's sound should be on the whole. By
default each channel of the mirror image goes through a gate from 0 to 1, which the way up opens or shuts: noise is shut
out, and speech passes as it was. With a sum, as in SEGAN+, G has to make the noise itself to take it away.

Default: 21 CPU minutes. Measured on spoken digits with noises never heard, 0 to 15 dB: SI-SDR 5.4 dB better than the noisy
sound, a Wiener filter 3.7 (benchmarks/speech_enhancement.py, docs/results.md).
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.anysize import Cut, RoundUp
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Loss, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.waves import DeEmphasis, Limit, PreEmphasis, Strided1D, Strided1DTranspose


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default has five layers, as SEGAN+ (Pascual et al. 2019), for 8 kHz; `plus` is that network, narrow, with the loss of the
    paper; `published` has the paper's values.
    """

    preset: Literal["laptop", "plus", "published"] = "laptop"
    dataset: str = "voices"
    rate: int = 8_000  # samples a second
    length: int = 4_096  # samples of a window
    overlap: float = 0.5  # of windows of one recording, in training
    noises: str = "hum+babble+clicks+coloured"  # of sounds without a noisy partner: see kgan.data.noises
    unseen: str = "motor+wind+rain+crowd"  # those of tests, at 0, 5, 10 and 15 dB in turn
    snr_low: float = 0.0  # dB, drawn evenly from here
    snr_high: float = 15.0  # to here
    evaluate_by: EvaluateBy = "si_sdr"
    evaluate_count: int = 1_000
    features: str = "none"  # results are compared with the clean sound
    batch_size: int = 32
    steps: int = 3_000
    generator_learning_rate: Scheduled = "cosine:2e-3:2e-4"
    discriminator_learning_rate: Scheduled = 2e-4
    ema_decay: Scheduled = 0.995
    loss: Loss = "least_squares"
    # l1: the mean absolute difference from the clean sound, after pre-emphasis (equation 5); snr: decibels by which the difference
    # is louder than the clean sound, as they are, so that a soft sound counts as much as a loud one
    content_loss: Literal["l1", "snr"] = "snr"
    content_weight: float = 1.0  # λ of it

    filters: tuple[int, ...] = (64, 32, 64, 128, 256)  # of the layers on the way down
    strides: int = 4
    taps: int = 31  # length of the kernels
    # join: beside each other (SEGAN); add: with a learned gain for each channel (SEGAN+); gate: with one from 0 to 1 for each channel
    # and place, a function of what comes from below
    skips: Literal["join", "add", "gate"] = "gate"
    normalization: Literal["batch", "none"] = "none"  # of D. The paper's is virtual batch normalisation
    # of high frequencies, in G, D and the L1 loss; what goes in and comes out is plain sound. Not by default: to undo it makes errors at
    # low frequencies twenty times as large
    emphasis: float = 0.0
    gain: float = 10.0  # G and D work on sounds this much louder: speech as it lies in files is about .05
    # the paper's noise at the innermost level, 1024 numbers at each of 8 places, which G learns not to hear; here as many as this
    # at each place, the same at all, or none
    noise_dim: int = 0

    needs: ClassVar[dict] = {"input": "audio", "audio": "audio"}
    presets: ClassVar[dict] = {
        "laptop": {},
        "plus": dict(content_loss="l1", content_weight=100.0, emphasis=0.95, gain=1.0, skips="add",
                     filters=(16, 32, 64, 128, 256), generator_learning_rate="cosine:1e-3:1e-4"),
        # section 5; 86 epochs of about 11,000 utterances in batches of 400
        "published": dict(rate=16_000, length=16_384, batch_size=400, steps=14_000, optimizer="rmsprop", ema_decay=0.0,
                          content_loss="l1", content_weight=100.0, emphasis=0.95, gain=1.0,
                          generator_learning_rate=2e-4, discriminator_learning_rate=2e-4, strides=2, skips="join",
                          filters=(16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024), normalization="batch", noise_dim=1024),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("rate", "length", "strides", "taps"):
            self._check(name, 1)
        self._check("overlap", 0, below=1)
        self._check("emphasis", 0, below=1)
        self._check("gain", 1)
        if not self.filters or min(self.filters) < 1:
            raise ConfigError(f"filters={self.filters}: must be at least 1, one for each layer")
        if self.snr_low > self.snr_high:
            raise ConfigError(f"snr_low={self.snr_low:g}: must not be above snr_high={self.snr_high:g}")
        from kgan.data.noises import parse  # here, for of this file `kgan.models.outline` runs no more than this class
        from kgan.data.source import DataError
        try:
            name = "noises"
            parse(self.noises)
            name = "unseen"
            parse(self.unseen)
        except DataError as error:
            raise ConfigError(str(error).replace("noises=", f"{name}=", 1)) from None


@keras.saving.register_keras_serializable("kgan")
class SEGAN(GAN):
    """G minimises the adversarial loss and content_weight times its distance from the clean sound (equation 5)."""

    Config = Config

    told = ("content",)

    def content(self, real, fake, given, judged):
        if self.config.content_loss == "snr":
            difference = -tf.reduce_mean(signal_to_noise(real, fake))
        else:
            emphasised = PreEmphasis(self.config.emphasis)
            difference = tf.reduce_mean(tf.abs(emphasised(real) - emphasised(fake)))
        self._means["content"].update_state(difference)
        return self.config.content_weight * difference


def signal_to_noise(true, made, most=30.0):
    """Decibels by which true sounds [n, T, 1] are louder than what made ones differ by, float32 [n]: `most` at most, and 0 where
    both are softer than 1e-4 in all (the sum of squares).
    """
    power, error = (tf.reduce_sum(tf.cast(each, tf.float32) ** 2, (1, 2)) + 1e-4 for each in (true, made - true))
    return 10 / math.log(10) * tf.math.log(power / (error + 10 ** (-most / 10) * power))


def build(shape=(4096, 1), config=None, seed=0, fields=None, **settings):
    """A SEGAN for sounds.

    Args:
        shape: (T, 1) of the windows that it is trained on, T a multiple of strides^layers.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise, if there is any (the weights come from keras's own seed).
        fields: dict of the kgan.kinds.Field of `input` and `audio`; None: both have this shape, and the config's rate.

    Returns:
        SEGAN, not compiled. Its generator takes sounds of any length, and gives them back as long.

    Raises:
        ConfigError: the length is no such multiple.
    """
    config = Config.given(config, settings)
    multiple = config.strides ** len(config.filters)
    if len(shape) != 2 or shape[1] != 1 or shape[0] % multiple:
        raise ConfigError(f"length={shape[0]}: {len(config.filters)} layers of stride {config.strides} take windows of one "
                          f"channel whose length is a multiple of {multiple}")
    fields = fields or {name: Field(kind, shape, more={"rate": config.rate}) for name, kind in config.needs.items()}
    return SEGAN(generator(config), discriminator(shape, config), config, seed, fields=fields)


def generator(config):
    """input [n, any T, 1], and noise [n, noise_dim] if there is any -> audio [n, T, 1] in [-1, 1]."""
    inputs = {"input": keras.Input((None, 1), name="input")}
    if config.noise_dim:
        inputs["noise"] = keras.Input((config.noise_dim,), name="noise")
    x = RoundUp(config.strides ** len(config.filters))(inputs["input"])
    x = layers.Rescaling(config.gain)(PreEmphasis(config.emphasis)(x))
    maps = []
    for width in config.filters:
        x = Strided1D(width, config.taps, config.strides, _weights())(x)
        maps.append(x)  # before the activation
        x = layers.PReLU(shared_axes=[1])(x)
    if config.noise_dim:
        x = layers.Concatenate()([x, _Spread()([inputs["noise"], x])])
    for width, mirrored in zip(config.filters[-2::-1], maps[-2::-1]):
        x = layers.PReLU(shared_axes=[1])(Strided1DTranspose(width, config.taps, config.strides, _weights())(x))
        x = _joined(x, mirrored, config)
    x = layers.Rescaling(1 / config.gain, dtype="float32")(Strided1DTranspose(1, config.taps, config.strides, _weights())(x))
    if config.emphasis:  # tanh, as in the paper: after it sounds are soft. Plain ones it would bend where they are loud
        x = DeEmphasis(config.emphasis, dtype="float32")(layers.Activation("tanh", dtype="float32")(x))
    x = Cut(dtype="float32")([x, inputs["input"]])
    x = Limit(dtype="float32", name="audio")(x)
    return keras.Model(inputs if config.noise_dim else inputs["input"], x, name="generator")


def _joined(x, mirrored, config):
    """What comes from below and the way down's map of the same size, both [n, T, C], as `skips` says."""
    if config.skips == "join":
        return layers.Concatenate()([x, mirrored])
    if config.skips == "gate":
        gate = layers.Conv1D(mirrored.shape[-1], 1, activation="sigmoid", kernel_initializer=_weights())(x)
        return layers.Add()([x, layers.Multiply()([gate, mirrored])])
    return layers.Add()([x, Gain()(mirrored)])


def discriminator(shape, config):
    """input and audio [n, T, 1] in [-1, 1] -> logits [n, k]: the way down of G, a map of one channel, a dense layer."""
    sounds = {name: keras.Input(shape, name=name) for name in ("input", "audio")}
    x = layers.Rescaling(config.gain)(PreEmphasis(config.emphasis)(layers.Concatenate()([sounds["audio"], sounds["input"]])))
    for width in config.filters:
        x = Strided1D(width, config.taps, config.strides, _weights())(x)
        x = layers.BatchNormalization(momentum=0.9)(x) if config.normalization == "batch" else x
        x = layers.LeakyReLU(negative_slope=0.3)(x)
    x = layers.Flatten()(layers.Conv1D(1, 1, kernel_initializer=_weights())(x))
    logits = layers.Dense(config.discriminator_outputs, kernel_initializer=_weights(), dtype="float32", name="logits")(x)
    return keras.Model(sounds, logits, name="discriminator")


@keras.saving.register_keras_serializable("kgan")
class Gain(keras.layers.Layer):
    """Each channel times a number of its own, which is learned, from 1 on."""

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")

    def call(self, inputs):
        return inputs * self.gain

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("kgan")
class _Spread(keras.layers.Layer):
    """layer([noise, maps]): noise [n, d] at each place of maps [n, T, C], [n, T, d]."""

    def call(self, inputs):
        noise, maps = inputs
        return noise[:, None] * tf.ones_like(maps[..., :1])

    def compute_output_shape(self, input_shape):
        noise, maps = input_shape
        return *maps[:2], noise[-1]


def _weights():
    return keras.initializers.GlorotUniform()
