"""Noises over sound: the `input` that a model of speech enhancement is to restore the sound from.

    python train.py --model=segan --dataset=folder:PATH --set noises=hum+babble --set snr_low=0 --set snr_high=15

Which noise, how loud and each of its samples are functions of (seed, position): in training the position counts the
examples before, so that noise is new each time; else it is the row in the data set, and the levels come in turn. Those
in UNSEEN are for tests: other sources, so that a figure says how a model does in noise that it has not heard.
"""
import numpy as np

from kgan.config import nearest
from kgan.data.source import DataError
from kgan.kinds import audio

LEVELS = 0.0, 5.0, 10.0, 15.0  # dB, of tests in turn


class Noisy:
    """Sounds int16 [N, T, 1] with noise, for reading, as `kgan.data.Source.arrays` holds them.

    Args:
        sounds: int16 [N, T, 1], an array or what can be read like one.
        text: names in KINDS joined by +; each sound has one of them.
        snr: (lowest, highest) signal-to-noise ratio in dB, drawn evenly between; or more levels, which come in turn.
            The signal's power is that of the samples in which there is sound, not of the silence around it.
        rate: samples a second.
        seed: int.
    """

    def __init__(self, sounds, text, snr, rate, seed=0):
        self.images, self.names, self.snr, self.rate, self.seed = sounds, parse(text), tuple(snr), rate, seed & 0x7FFFFFFF
        self.shape, self.dtype, self.ndim = sounds.shape, sounds.dtype, sounds.ndim

    def __len__(self):
        return len(self.images)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getitem__(self, rows):
        indices = np.arange(len(self))[rows]
        return self._noisy(int(indices), int(indices)) if indices.ndim == 0 else self.at(indices, indices)

    def at(self, rows, positions):
        return np.stack([self._noisy(int(row), int(position)) for row, position in zip(rows, positions)])

    def _noisy(self, row, position):
        rng = np.random.default_rng([self.seed, position, 0x6E6F6973])
        name = self.names[rng.integers(len(self.names))]
        level = rng.uniform(*self.snr) if len(self.snr) == 2 else self.snr[position % len(self.snr)]
        sound = audio.scale(self.images[row][:, 0].astype(np.float64))
        others = lambda: audio.scale(self.images[int(rng.integers(len(self)))][:, 0].astype(np.float64))
        return audio.store(mixed(sound, KINDS[name](rng, len(sound), self.rate, others), level))[:, None]


def parse(text):
    """The names of noises in a text, a tuple. Raises DataError: there is none of that name, or none at all."""
    names = tuple(filter(None, (name.strip() for name in text.split("+"))))
    for name in names or [text]:
        if name not in KINDS:
            raise DataError(f"noises={text}: no noise is named {name!r}{nearest(name, KINDS)}; join some of "
                            f"{', '.join(KINDS)} by +")
    return names


def mixed(sound, noise, level):
    """A sound float [T] with noise of any loudness, made `level` dB softer than the sound where there is any."""
    heard = np.abs(sound) > 0.01 * np.abs(sound).max()
    power = np.mean(sound[heard] ** 2) if heard.any() else 0.0
    loud = np.mean(noise ** 2)
    return sound + noise * np.sqrt(power / loud / 10 ** (level / 10)) if loud else sound


# === The noises: functions of (random generator, length, rate, function that gives another sound) to float [length] ===

def _shaped(rng, length, weights):
    """Gaussian noise whose spectrum has these amplitudes, a function of the frequency from 0 to 1."""
    spectrum = rng.normal(size=(2, length // 2 + 1)).T @ [1, 1j]
    return np.fft.irfft(spectrum * weights(np.linspace(0, 1, length // 2 + 1)), length)


def hum(rng, length, rate, others):
    """A mains hum: harmonics of 45 to 65 Hz, and a little hiss."""
    time, pitch = np.arange(length) / rate, rng.uniform(45, 65)
    tones = sum(rng.exponential() / k**0.5 * np.sin(2 * np.pi * (pitch * k * time + rng.uniform())) for k in range(1, 20))
    return tones + 0.3 * rng.uniform() * rng.normal(size=length)


def babble(rng, length, rate, others):
    """Three to eight other sounds of the data at once, each from a place of its own on."""
    return sum(rng.uniform(0.3, 1) * np.roll(others(), rng.integers(length)) for _ in range(rng.integers(3, 9)))


def clicks(rng, length, rate, others):
    """Five to sixty impulses a second, each ringing for a few milliseconds, and a little hiss."""
    impulses = rng.normal(size=length) ** 3 * (rng.uniform(size=length) < rng.uniform(5, 60) / rate)
    time = np.arange(max(2, rate // 50)) / rate
    ring = np.exp(-time * rng.uniform(200, 2000)) * np.cos(2 * np.pi * rng.uniform(100, 0.4 * rate) * time)
    return np.convolve(impulses, ring)[:length] + 0.01 * rng.uniform() * rng.normal(size=length)


def coloured(rng, length, rate, others):
    """Noise of a spectrum f^-a, a from 0 to 1, through a band of its own, that swells slowly or not at all."""
    slope, low, wide = rng.uniform(0, 1), rng.uniform(0, 0.5), rng.uniform(0.2, 1)
    swell = 1 + rng.uniform() * np.sin(2 * np.pi * (rng.uniform(0.5, 6) * np.arange(length) / rate + rng.uniform()))
    return swell * _shaped(rng, length, lambda f: (f + 0.01) ** -slope * np.where((f > low) & (f < low + wide), 1, 0.1))


def motor(rng, length, rate, others):
    """An engine: 25 to 90 pulses a second, each a burst of noise in a band, the pace wavering."""
    time = np.arange(length) / rate
    phase = rng.uniform(25, 90) * (time + 0.02 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time))
    middle = rng.uniform(0.1, 0.5)
    return np.exp(-6 * (phase % 1)) * _shaped(rng, length, lambda f: np.exp(-((f - middle) / 0.15) ** 2) + 0.02)


def wind(rng, length, rate, others):
    """Gusts: noise of low frequencies, whose loudness goes up and down at random."""
    gust = _shaped(rng, length, lambda f: f < 8 / rate * 2)
    return (0.2 + np.abs(gust) / (np.abs(gust).max() + 1e-9)) * _shaped(rng, length, lambda f: 1 / (1 + (f / 0.06) ** 2))


def rain(rng, length, rate, others):
    """Hundreds of drops a second of many sizes over a hiss of high frequencies."""
    drops = rng.normal(size=length) * (rng.uniform(size=length) < rng.uniform(200, 900) / rate)
    time = np.arange(max(2, rate // 100)) / rate
    return np.convolve(drops, np.exp(-time * 900))[:length] + 0.1 * _shaped(rng, length, lambda f: f)


def crowd(rng, length, rate, others):
    """Ten to sixteen other sounds of the data backwards, in a room that rings."""
    voices = sum(np.roll(others()[::-1], rng.integers(length)) for _ in range(rng.integers(10, 17)))
    time = np.arange(rate // 5) / rate
    room = rng.normal(size=len(time)) * np.exp(-time * 20)
    return np.fft.irfft(np.fft.rfft(voices, 2 * length) * np.fft.rfft(room, 2 * length), 2 * length)[:length]


KINDS = {"hum": hum, "babble": babble, "clicks": clicks, "coloured": coloured, "motor": motor, "wind": wind, "rain": rain,
         "crowd": crowd}
UNSEEN = "motor", "wind", "rain", "crowd"
