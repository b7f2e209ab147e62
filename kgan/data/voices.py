"""Built-in voices: tones like speech; harmonics under moving formants, hissing consonants, syllables, pauses."""
import numpy as np

from kgan.data.cache import cached
from kgan.data.source import DataError, Source
from kgan.kinds import audio

SPLITS = {"train": (0, 4_000), "test": (1, 400)}  # name: (stream of the seed, default count)
# first and second formants of vowels in Hz, Peterson & Barney 1952, men
VOWELS = {"a": (730, 1090), "e": (530, 1840), "i": (270, 2290), "o": (570, 840), "u": (300, 870)}


def source(rate=8_000, length=8_192, split="train", count=None, seed=0):
    """Sounds of two to six syllables a second.

    Args:
        rate: samples a second, at least 4,000.
        length: samples of a sound.
        split: "train" or "test": independent draws.
        count: number of sounds; None for 4,000 ("train") or 400 ("test").
        seed: int, not negative.

    Returns:
        Source of `audio` int16 [N, length, 1], and `label` int64 [N]: the vowel of all its syllables.

    Raises:
        DataError: an argument out of range.
    """
    if split not in SPLITS:
        raise DataError(f"voices: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if rate < 4_000 or length < 64:
        raise DataError(f"voices: rate must be at least 4,000 and length 64, not {rate} and {length}")
    stream, default = SPLITS[split]
    # raise the version when other sounds are drawn for the same arguments
    key = {"version": 2, "rate": int(rate), "length": int(length), "stream": stream,
           "count": int(default if count is None else count), "seed": int(seed)}
    arrays, _ = cached("voices", key, lambda directory: _write(directory, **key))
    return Source("voices", arrays, {"label": list(VOWELS)}, kinds={"audio": "audio"}, more={"audio": {"rate": int(rate)}})


def _write(directory, version, rate, length, stream, count, seed):
    labels = np.zeros(count, np.int64)
    sounds = np.lib.format.open_memmap(directory / "audio.npy", mode="w+", dtype=np.int16, shape=(count, length, 1))
    for i in range(count):  # a generator for each: it does not depend on how many are drawn
        rng = np.random.default_rng([seed, stream, i])
        labels[i] = rng.integers(len(VOWELS))
        sounds[i, :, 0] = audio.store(voice(rng, length, rate, list(VOWELS)[labels[i]]))
    np.save(directory / "label.npy", labels)
    sounds.flush()
    return {}


def voice(rng, length, rate, vowel):
    """float64 [length] of syllables with this vowel, the loudest sample from 0.3 to 0.9."""
    time = np.arange(length) / rate
    pitch = rng.uniform(90, 220) * np.exp(0.15 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * time + rng.uniform())))
    turns = 2 * np.pi * np.cumsum(pitch) / rate
    reach = rng.uniform(0.9, 1.15)  # a longer or a shorter throat
    first, second = (reach * formant * (1 + 0.1 * np.sin(2 * np.pi * (rng.uniform(1, 4) * time + rng.uniform())))
                     for formant in VOWELS[vowel])
    # how loud each harmonic is changes slowly: at every 32nd sample, and evenly between
    some = np.arange(0, length + 32, 32)
    hertz = np.arange(1, int(0.45 * rate / pitch.min()))[:, None] * np.interp(some, np.arange(length), pitch)
    loud = sum(weight / (1 + ((hertz - np.interp(some, np.arange(length), np.broadcast_to(formant, length))) / width) ** 2)
               for formant, width, weight in ((first, 90, 1.0), (second, 120, 0.5), (2500 * reach, 200, 0.2)))
    loud[hertz > 0.48 * rate] = 0
    phase = rng.uniform(0, 2 * np.pi, len(loud))
    tones = sum(np.interp(np.arange(length), some, row) * np.sin((i + 1) * turns + phase[i]) for i, row in enumerate(loud))
    sound = np.zeros(length)
    place = rng.uniform(0, 0.15) * rate
    while place < length:
        long, hiss = rng.uniform(0.1, 0.3) * rate, rng.uniform(0.02, 0.08) * rate
        inside = (np.arange(length) - place - hiss) / long
        sound += rng.uniform(0.4, 1) * tones * np.sin(np.pi * np.clip(inside, 0, 1)).clip(0) ** 0.7
        consonant = (np.arange(length) > place) & (np.arange(length) < place + hiss)
        sound += 0.1 * rng.uniform() * consonant * np.diff(rng.normal(size=length + 1))
        place += hiss + long + rng.exponential(0.12) * rate
    return sound * rng.uniform(0.3, 0.9) / (np.abs(sound).max() + 1e-9)
