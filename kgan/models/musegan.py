"""MuseGAN: a few bars of music for several tracks that play together, as rolls (Dong et al. 2017).

Dong, Hsiao, Yang, Yang 2017, "MuseGAN: Multi-track Sequential Generative Adversarial Networks for Symbolic Music
Generation and Accompaniment", arXiv:1709.06298, its hybrid model; their own program: github.com/salu133445/musegan.

    python train.py --model=musegan                                            built-in progressions: drums, bass, chords, melody
    python train.py --model=musegan --dataset=folder:CHORALES --set tracks=soprano+alto+tenor+bass

Each bar of each track comes from four parts of the noise: what all tracks share and what is the track's own, each as it
stays for the whole piece and as it changes from bar to bar. D judges all bars and tracks at once. What lies above 0 is
a note.

Default: about 3 CPU minutes; distance in the measures of music .30 where random notes have .77 (docs/results.md).
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import numpy as np
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, EvaluateBy, Loss, Penalty, Scheduled
from kgan.gan import GAN
from kgan.kinds import Field
from kgan.layers import BatchNormalization

HALVINGS = 3


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop, for 2 bars of 16 steps and 48 pitches; `published` has the paper's sizes."""

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "progressions"
    bars: int = 2
    steps_a_bar: int = 16
    pitches: int = 48
    lowest: int = 36  # MIDI number of the first
    tracks: str = "drums+bass+chords+melody"
    features: str = "none"  # what is measured is music: kgan.metrics.music
    evaluate_by: EvaluateBy = "music_distance"
    evaluate_count: int = 1_000
    batch_size: int = 32
    steps: int = 2_000
    loss: Loss = "wasserstein"
    penalty: Penalty = "gp"
    penalty_weight: Scheduled = 10.0
    discriminator_steps: int = 2  # published: 5
    generator_learning_rate: Scheduled = 4e-4
    discriminator_learning_rate: Scheduled = 4e-4
    beta_2: Scheduled = 0.9
    ema_decay: Scheduled = 0.99
    noise_dim: int = 160  # in 2 + 2 · tracks equal parts
    filters: int = 16  # of G's widest maps and of D's first

    needs: ClassVar[dict] = {"notes": "notes"}
    presets: ClassVar[dict] = {
        "laptop": {},
        # section 5.1 and v1 of the program: five tracks, 4 bars of 96 steps, 84 pitches; parts of 32 numbers
        "published": dict(bars=4, steps_a_bar=96, pitches=84, lowest=24, tracks="drums+piano+guitar+bass+strings", noise_dim=384,
                          filters=64, batch_size=64, discriminator_steps=5, generator_learning_rate=2e-4,
                          discriminator_learning_rate=2e-4, steps=50_000, ema_decay=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("bars", "steps_a_bar", "pitches", "filters"):
            self._check(name, 1)
        parts = 2 + 2 * len(self.names)
        if self.noise_dim % parts:
            raise ConfigError(f"noise_dim={self.noise_dim}: must be a multiple of {parts}, for {len(self.names)} tracks")

    @property
    def names(self):
        """The names of the tracks."""
        return tuple(name.strip() for name in self.tracks.split("+") if name.strip())


@keras.saving.register_keras_serializable("kgan")
class MuseGAN(GAN):
    """GAN's update; what it measures of its samples is music."""

    Config = Config
    measures = {"music_distance": False, "empty_bars": False, "pitch_classes": False, "qualified_notes": True, "polyphony": True, "tone_span": False,
                "repetition": True, "tonal_distance": False}

    def figures(self, evaluator, samples, asked=None):
        from kgan.metrics import music
        more = self.fields["notes"].more
        made, real = (music.of(rolls, more.get("lowest", 36), more.get("tracks", ()))
                      for rolls in (np.asarray(samples) > 0, np.asarray(evaluator.examples) > 0))
        found = {**made, "music_distance": music.distance(made, real)}
        return {name: found.get(name, math.nan) for name in self.measures}


def build(shape=(2, 16, 48, 4), config=None, seed=0, fields=None, **settings):
    """A MuseGAN for rolls.

    Args:
        shape: (bars, steps, pitches, tracks), steps and pitches multiples of 4.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed).
        fields: dict with the kgan.kinds.Field of `notes`; None: of this shape, as the config says.

    Returns:
        MuseGAN, not compiled.

    Raises:
        ConfigError: the sizes are none of those, or there are more or fewer tracks than the config names.
    """
    config = Config.given(config, settings)
    if len(shape) != 4 or shape[1] % 4 or shape[2] % 4:
        raise ConfigError("musegan makes rolls whose steps a bar and pitches are multiples of 4, not "
                          f"{'×'.join(map(str, shape))}")
    if shape[3] != len(config.names):
        raise ConfigError(f"tracks={config.tracks}: the data have {shape[3]} tracks: name as many")
    more = {"lowest": config.lowest, "beat": max(1, config.steps_a_bar // 4), "tempo": 100, "tracks": list(config.names)}
    fields = {"notes": (fields or {}).get("notes") or Field("notes", shape, more=more)}
    return MuseGAN(generator(shape, config), discriminator(shape, config), config, seed, fields=fields)


# === G ===

def generator(shape, config):
    """noise [n, noise_dim] -> notes [n, bars, steps, pitches, tracks] in [-1, 1]: above 0 there is a note."""
    bars, steps, pitches, tracks = shape
    noise = keras.Input((config.noise_dim,), name="noise")
    size = config.noise_dim // (2 + 2 * tracks)
    parts = [noise[:, i * size:(i + 1) * size] for i in range(2 + 2 * tracks)]
    shared = [_lasting(parts[0], bars), _changing(parts[1], bars)]
    rolls = []
    for track in range(tracks):
        own = [_lasting(parts[2 + 2 * track], bars), _changing(parts[3 + 2 * track], bars)]
        x = ops.reshape(layers.Concatenate()([*shared, *own]), (-1, 4 * size))  # a bar is an example of its own
        rolls.append(ops.reshape(_bar(x, steps, pitches, config), (-1, bars, steps, pitches, 1)))
    x = layers.Concatenate()(rolls)
    return keras.Model(noise, layers.Activation("tanh", dtype="float32", name="notes")(x), name="generator")


def _lasting(z, bars):
    """[n, d] -> [n, bars, d]: the same in each bar."""
    return layers.RepeatVector(bars)(z)


def _changing(z, bars):
    """[n, d] -> [n, bars, d]: a vector for each bar (the paper's G_temp)."""
    x = layers.ReLU()(BatchNormalization()(layers.Dense(2 * z.shape[-1])(z)))
    return layers.Reshape((bars, z.shape[-1]))(layers.Dense(bars * z.shape[-1])(x))


def _bar(x, steps, pitches, config):
    """[m, 4d] -> [m, steps, pitches, 1]: one bar of one track (the paper's G_bar), each half of the way by its own axis
    first.
    """
    start = steps // 4, pitches // 4
    x = layers.ReLU()(BatchNormalization()(layers.Dense(8 * config.filters)(x)))
    x = layers.Dense(start[0] * start[1] * config.filters)(x)
    x = layers.ReLU()(BatchNormalization()(layers.Reshape((*start, config.filters))(x)))
    x = layers.ReLU()(BatchNormalization()(layers.Conv2DTranspose(config.filters, 4, 2, padding="same", use_bias=False)(x)))
    return layers.Conv2DTranspose(1, 4, 2, padding="same")(x)


# === D ===

def discriminator(shape, config):
    """notes [n, bars, steps, pitches, tracks] -> logits [n, k]: convolutions over steps and pitches, bars and tracks
    side by side.
    """
    bars, steps, pitches, tracks = config.packed(shape)
    notes = keras.Input((bars, steps, pitches, tracks), name="notes")
    x = layers.Reshape((steps, pitches, bars * tracks))(layers.Permute((2, 3, 1, 4))(notes))
    for i in range(HALVINGS):
        x = layers.LeakyReLU(negative_slope=0.2)(layers.Conv2D(config.filters * 2**i, 4, 2, padding="same")(x))
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(8 * config.filters)(layers.Flatten()(x)))
    logits = layers.Dense(config.discriminator_outputs, dtype="float32", name="logits")(x)
    return keras.Model(notes, logits, name="discriminator")
