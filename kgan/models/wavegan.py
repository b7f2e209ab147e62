"""WaveGAN: a second of sound out of noise, asked for a class where there are any (Donahue et al. 2019).

Donahue, McAuley, Puckette 2019, "Adversarial Audio Synthesis", arXiv:1802.04208; their own program:
github.com/chrisdonahue/wavegan.

    python train.py --model=wavegan                                            built-in voices, a row a vowel
    python train.py --model=wavegan --dataset=folder:DIGITS                    spoken digits, a sub-folder each
    python train.py --model=wavegan --dataset=folder:PATH --set condition=     sounds without labels
    python train.py --model=wavegan --set preset=published --dataset=folder:PATH

DCGAN along time: kernels of 25 samples, steps of four, five times. Transposed convolutions leave a pitch of their own
in what G makes; lest D go by its phase alone, its layers see maps that are shifted by up to two places at random (phase
shuffle). D also says which class it hears, and G is asked for sounds in which it hears the right one (Odena et al. 2016,
arXiv:1610.09585).

Default: 18 CPU minutes. Measured: 95 % of spoken digits are as asked (benchmarks/spoken.py, docs/results.md).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Loss, Penalty, Scheduled
from kgan.draws import DISCRIMINATOR, GENERATOR, step_seed
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import ConditionalBatchNormalization
from kgan.waves import Loudness, Strided1D, Strided1DTranspose


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop and 8 kHz; `published` has the paper's values."""

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "voices"
    condition: str = "label"  # "": no labels
    rate: int = 8_000  # samples a second
    length: int = 6_144  # of a sound, a multiple of strides^layers
    overlap: float = 0.0  # of windows of a recording that is longer
    evaluate_count: int = 1_000
    batch_size: int = 32
    steps: int = 3_000
    # a penalty on real sounds alone, once in eight updates, is a fifth of the work of five updates with the paper's
    loss: Loss = "non_saturating"
    penalty: Penalty = "r1"
    # sounds are soft, about .05 on average: with 2, as for images, D told nothing from anything
    penalty_weight: Scheduled = 0.01
    penalty_every: int = 8
    generator_learning_rate: Scheduled = 4e-4
    discriminator_learning_rate: Scheduled = 4e-4
    ema_decay: Scheduled = 0.995

    filters: int = 12  # of the widest maps, those nearest the sound; doubled with each layer
    halvings: int = 5  # layers
    strides: int = 4
    taps: int = 25
    normalization: Literal["batch", "none"] = "batch"  # of G; batch has gains and biases of each class
    phase_shuffle: int = 2  # places by which D's maps are shifted at most; 0: not at all
    # D hears sounds this much louder, and what G's last layer gives is this much softer: speech is about .05 as it lies in files, and
    # Adam's steps are of one size whatever the weights
    gain: float = 10.0
    # samples of a window of the spectrogram that D judges beside the waveform, with logits of its own; 0: none, as in the paper
    spectrogram: int = 256
    # of the cross-entropy of the class: D learns it of real sounds alone, and G makes sounds in which D finds the class asked for
    class_weight: Scheduled = 1.0

    needs: ClassVar[dict] = {"audio": "audio"}
    unlabelled: ClassVar[bool] = True
    presets: ClassVar[dict] = {
        "laptop": {},
        # table 3 (appendix D)
        "published": dict(rate=16_000, length=16_384, batch_size=64, steps=200_000, loss="wasserstein", penalty="gp",
                          penalty_weight=10.0, penalty_every=1, discriminator_steps=5, generator_learning_rate=1e-4,
                          discriminator_learning_rate=1e-4, beta_2=0.9, noise="uniform", ema_decay=0.0, filters=64, normalization="none",
                          spectrogram=0, gain=1.0, class_weight=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("rate", "length", "filters", "halvings", "taps"):
            self._check(name, 1)
        self._check("strides", 2)
        self._check("overlap", 0, below=1)
        self._check("spectrogram", 0)
        self._check("gain", 1)


@keras.saving.register_keras_serializable("kgan")
class WaveGAN(GAN):
    """GAN's update, in which the shifts of D's maps are functions of (seed, step, draw), the same for a whole batch."""

    Config = Config

    def __init__(self, generator, discriminator, *args, **kwargs):
        super().__init__(generator, discriminator, *args, **kwargs)
        if isinstance(discriminator.output, dict):
            self._means["class_accuracy"] = keras.metrics.Mean("class_accuracy")  # of fakes, by D's own judgement

    def discriminator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        self._shuffle(DISCRIMINATOR, draw, training)
        return super().discriminator_loss(real, fake, given, noise, draw, training)

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        self._shuffle(GENERATOR, draw, training)
        return super().generator_loss(real, fake, given, noise, draw, training)

    def self_supervision(self, real, judged, given, draw):
        """What D alone minimises: the cross-entropy of the class of real sounds. Of made ones, which at first are of no class, it would
        learn what G gets wrong.
        """
        return self._of_class(judged, given)

    def content(self, real, fake, given, judged):
        if "class" in judged:
            right = tf.equal(tf.argmax(judged["class"], 1, tf.int32), tf.cast(given["label"], tf.int32))
            self._means["class_accuracy"].update_state(tf.cast(right, tf.float32))
        return self._of_class(judged, given)

    def _of_class(self, judged, given):
        if "class" not in judged:
            return 0.0
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(given["label"], tf.int32), judged["class"])
        return self.now(self.config.class_weight) * tf.reduce_mean(entropy)

    def _shuffle(self, stream, draw, training):
        shuffles = [layer for layer in self.discriminator.layers if isinstance(layer, PhaseShuffle)]
        for i, layer in enumerate(shuffles if training else ()):
            seed = tf.random.experimental.stateless_fold_in(step_seed(self.seed, stream, self.iterations, draw), i)
            shift = tf.random.stateless_uniform([], seed, 0, 2 * layer.most + 1, tf.int32, alg="philox")
            layer.shift.assign(tf.one_hot(shift, 2 * layer.most + 1))


def build(shape=(6144, 1), config=None, seed=0, classes=(), fields=None, **settings):
    """A WaveGAN for sounds.

    Args:
        shape: (T, 1), T a multiple of strides^halvings.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed).
        classes: names of the classes; none: it takes no labels.
        fields: dict with the kgan.kinds.Field of `audio`, for its rate; None: the config's.

    Returns:
        WaveGAN, not compiled.

    Raises:
        ConfigError: the length is no such multiple.
    """
    config = Config.given(config, settings)
    multiple = config.strides ** config.halvings
    if len(shape) != 2 or shape[1] != 1 or shape[0] % multiple:
        raise ConfigError(f"length={shape[0]}: {config.halvings} layers of stride {config.strides} make sounds of one channel "
                          f"whose length is a multiple of {multiple}")
    fields = {"audio": (fields or {}).get("audio") or Field("audio", shape, more={"rate": config.rate})}
    if config.spectrogram % 2 or shape[0] % max(1, config.spectrogram // 2):
        raise ConfigError(f"spectrogram={config.spectrogram}: must be even, and half of it go into length={shape[0]} without rest")
    classes = classes if config.condition else ()
    networks = generator(shape, config, len(classes)), discriminator(shape, config, len(classes))
    return WaveGAN(*networks, config, seed, classes, fields)


def generator(shape, config, classes=0):
    """noise [n, noise_dim], and label [n] if there are classes -> audio [n, T, 1] in [-1, 1]."""
    given = {"noise": keras.Input((config.noise_dim,), name="noise")}
    x, one_hot = given["noise"], None
    if classes:
        given["label"] = keras.Input((), dtype="int32", name="label")
        one_hot = ops.one_hot(given["label"], classes)
        x = layers.Concatenate()([x, one_hot])
    widths = [config.filters * 2**i for i in range(config.halvings)][::-1]
    start = shape[0] // config.strides ** config.halvings
    x = layers.Reshape((start, widths[0]))(layers.Dense(start * widths[0])(x))
    x = layers.ReLU()(_norm(x, one_hot, config))
    for width in widths[1:]:
        x = layers.ReLU()(_norm(Strided1DTranspose(width, config.taps, config.strides)(x), one_hot, config))
    x = layers.Rescaling(1 / config.gain)(Strided1DTranspose(1, config.taps, config.strides)(x))
    x = layers.Activation("tanh", dtype="float32", name="audio")(x)
    return keras.Model(given if classes else given["noise"], x, name="generator")


def discriminator(shape, config, classes=0):
    """audio [n, T, 1] in [-1, 1], and label [n] if there are classes -> logits [n, k], or [n, 2k] with a spectrogram.

    With classes the logits are those of a projection (Miyato & Koyama 2018): the features along a direction for each
    class count too. With a class_weight there is `class` beside them, the classes' logits [n, classes].
    """
    given = {"audio": keras.Input(config.packed(shape), name="audio")}
    if classes:
        given["label"] = keras.Input((), dtype="int32", name="label")
    x = layers.Rescaling(config.gain)(given["audio"])
    for i in range(config.halvings):
        x = layers.LeakyReLU(negative_slope=0.2)(Strided1D(config.filters * 2**i, config.taps, config.strides)(x))
        if config.phase_shuffle and i < config.halvings - 1:
            x = PhaseShuffle(config.phase_shuffle)(x)
    logits = [_judged(x, given.get("label"), classes, config, "audio_logits")]
    if config.spectrogram:
        x = Loudness(config.spectrogram)(given["audio"])
        for i in range(4):
            x = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(config.filters * 2**i, 4, 2, padding="same")(x))
        logits.append(_judged(x, given.get("label"), classes, config, "spectrogram_logits"))
    said = layers.Concatenate(dtype="float32", name="logits")(logits) if len(logits) > 1 else layers.Identity(name="logits")(logits[0])
    if classes and config.class_weight:
        said = {"logits": said, "class": layers.Dense(classes, dtype="float32", name="class")(layers.Flatten()(x))}
    return keras.Model(given if classes else given["audio"], said, name="discriminator")


def _judged(x, label, classes, config, name):
    """Maps, and label [n] if there are classes -> logits [n, k]."""
    x = layers.Flatten()(x)
    score = layers.Dense(config.discriminator_outputs, dtype="float32", name=name)(x)
    if not classes:
        return score
    direction = layers.Embedding(classes, x.shape[-1], embeddings_initializer="glorot_normal")(label)
    along = layers.Activation("linear", dtype="float32")(layers.Dot(axes=1)([x, direction]))
    return layers.Add(dtype="float32")([score, along])


def _norm(x, one_hot, config):
    """Batch normalisation, with gains and biases of each class where there are any."""
    if config.normalization == "none":
        return x
    if one_hot is None:
        return layers.BatchNormalization(momentum=0.9)(x)
    return ConditionalBatchNormalization(kernel_initializer="glorot_uniform")([x, one_hot])


@keras.saving.register_keras_serializable("kgan")
class PhaseShuffle(keras.layers.Layer):
    """[n, T, C], all of the batch shifted by `shift` places, from -most to most; the ends are filled by reflection
    (section 3.2).

    In inference nothing is shifted.
    """

    def __init__(self, most=2, **kwargs):
        super().__init__(**kwargs)
        self.most = most

    def build(self, input_shape):
        # one-hot, so that a shift is a sum: of a slice from a place that is not known XLA takes no second derivative
        self.shift = self.add_weight(shape=(2 * self.most + 1,), initializer="zeros", trainable=False, name="shift",
                                     aggregation="only_first_replica")

    def call(self, inputs, training=False):
        if not training:
            return inputs
        length, padded = inputs.shape[1], tf.pad(inputs, [(0, 0), (self.most, self.most), (0, 0)], "REFLECT")
        shift = tf.cast(tf.convert_to_tensor(self.shift), inputs.dtype)
        return tf.add_n([shift[i] * padded[:, i:i + length] for i in range(2 * self.most + 1)])

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "most": self.most}
