"""C-RNN-GAN: music as a list of notes, each four real numbers, by recurrent networks (Mogren 2016).

Mogren 2016, "C-RNN-GAN: Continuous recurrent neural networks with adversarial training", arXiv:1611.09904.

    python train.py --model=crnngan                                    built-in melodies
    python train.py --model=crnngan --dataset=folder:MIDI

G makes one note after the other from noise and from the note before; D reads all of them both ways. What G minimises is
above all how far its pieces' features in D are from real ones' (feature matching, section 3), and a tenth of the objective.

Default: about 3.5 CPU minutes; distance in the measures of music .41 where random notes have .65 (docs/results.md).
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Scheduled
from kgan.data.source import seen
from kgan.gan import GAN
from kgan.kinds import Field


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; `published` has the paper's sizes."""

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "melodies"
    notes_a_piece: int = 24
    features: str = "none"
    evaluate_by: EvaluateBy = "music_distance"
    evaluate_count: int = 1_000
    batch_size: int = 32
    steps: int = 2_000
    noise: Literal["normal", "uniform"] = "uniform"
    noise_dim: int = 96  # in as many equal parts as there are notes
    generator_learning_rate: Scheduled = 1e-3
    discriminator_learning_rate: Scheduled = 3e-4
    global_clipnorm: float = 5.0
    ema_decay: Scheduled = 0.99
    units: int = 64  # of each LSTM
    depth: int = 2  # LSTMs one upon the other
    matching: float = 1.0  # weight of feature matching
    adversarial: float = 0.1  # weight of the objective in G's loss; 0: feature matching alone

    needs: ClassVar[dict] = {"events": "events"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # section 4; the program has batches of 20, and features alone
        "published": dict(units=350, batch_size=20, optimizer="sgd", generator_learning_rate=0.1, discriminator_learning_rate=0.05,
                          ema_decay=0.0, adversarial=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("notes_a_piece", 2)
        self._check("units", 1)
        self._check("depth", 1)
        if self.noise_dim % self.notes_a_piece:
            raise ConfigError(f"noise_dim={self.noise_dim}: must be a multiple of notes_a_piece={self.notes_a_piece}")


@keras.saving.register_keras_serializable("kgan")
class CRNNGAN(GAN):
    """G minimises half the squared distance of the mean features of real and made pieces, and a share of the objective."""

    Config = Config
    measures = {"music_distance": False, "polyphony": False, "tone_span": False, "pitch_classes": False}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._means["matching"] = keras.metrics.Mean("matching")

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        judged = [self.judge(examples, given, training) for examples in (real, fake)]
        loss = self.objective.generator(*self._compared(*(each["logits"] for each in judged)))
        means = [tf.reduce_mean(each["features"], 0) for each in judged]
        distance = tf.reduce_sum((means[0] - means[1]) ** 2) / 2
        self._means["matching"].update_state(distance)
        total = self.config.adversarial * loss + self.config.matching * distance
        self._means["g_loss"].update_state(total)
        return total

    def figures(self, evaluator, samples, asked=None):
        from kgan.kinds import events
        from kgan.metrics import music
        made, real = (music.of(events.to_rolls(pieces), events.MORE["lowest"])
                      for pieces in (samples, seen("events", np.asarray(evaluator.examples))))
        found = {**made, "music_distance": music.distance(made, real)}
        return {name: found[name] for name in self.measures}


def build(shape=(24, 4), config=None, seed=0, fields=None, **settings):
    """A C-RNN-GAN for lists of notes.

    Args:
        shape: (T, 4).
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed).
        fields: dict with the kgan.kinds.Field of `events`; None: of this shape.

    Returns:
        CRNNGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those, or has not as many notes as the config says.
    """
    config = Config.given(config, settings)
    if len(shape) != 2 or shape[1] != 4 or shape[0] != config.notes_a_piece:
        raise ConfigError(f"crnngan makes lists of notes_a_piece={config.notes_a_piece} notes of 4 numbers, not "
                          f"{'×'.join(map(str, shape))}")
    fields = {"events": (fields or {}).get("events") or Field("events", shape)}
    return CRNNGAN(generator(shape, config), discriminator(shape, config), config, seed, fields=fields)


def generator(shape, config):
    """noise [n, noise_dim] -> events [n, T, 4] in [-1, 1]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    x = layers.Reshape((shape[0], config.noise_dim // shape[0]))(noise)
    return keras.Model(noise, Composer(config.units, config.depth, dtype="float32", name="events")(x), name="generator")


def discriminator(shape, config):
    """events [n, T, 4] in [-1, 1] -> dict of `logits` [n, 1], the mean over the notes, and `features` [n, 2 · units], likewise."""
    events = x = keras.Input(shape, name="events")
    for _ in range(config.depth):
        x = layers.Bidirectional(layers.LSTM(config.units, return_sequences=True))(x)  # a loop: D is not exported
    features = layers.GlobalAveragePooling1D(dtype="float32")(x)
    # it is linear: of the mean of the notes' features the mean of their logits
    scores = layers.Dense(config.discriminator_outputs, dtype="float32", name="logits")(features)
    return keras.Model(events, {"logits": scores, "features": features}, name="discriminator")


@keras.saving.register_keras_serializable("kgan")
class Composer(keras.layers.Layer):
    """layer(noise [n, T, k]) -> [n, T, 4]: LSTMs that are given a part of the noise and the note before, unrolled."""

    def __init__(self, units, depth, **kwargs):
        super().__init__(**kwargs)
        self.units, self.depth = units, depth
        self.cells = [layers.LSTMCell(units, dtype=self.dtype_policy) for _ in range(depth)]
        # two sums in place of a joined input: a graph of 8 bits wants one scale for what is joined
        self.heard, self.before = (layers.Dense(units, dtype=self.dtype_policy, use_bias=bias) for bias in (True, False))
        self.note = layers.Dense(4, activation="tanh", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.heard.build((None, input_shape[-1]))
        self.before.build((None, 4))
        for cell in self.cells:
            cell.build((None, self.units))
        self.note.build((None, self.units))

    def call(self, inputs):
        zeros = ops.zeros_like(inputs[:, 0, :1])
        states = [[zeros * tf.ones([1, self.units], zeros.dtype)] * 2 for _ in self.cells]
        note, found = zeros * tf.ones([1, 4], zeros.dtype), []
        for t in range(inputs.shape[1]):
            x = self.heard(inputs[:, t]) + self.before(note)
            for i, cell in enumerate(self.cells):
                x, states[i] = cell(x, states[i])
            note = self.note(x)
            found.append(note)
        return ops.stack(found, axis=1)

    def compute_output_shape(self, input_shape):
        return *input_shape[:2], 4

    def get_config(self):
        return {**super().get_config(), "units": self.units, "depth": self.depth}
