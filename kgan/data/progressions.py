"""Built-in music: bars of drums, bass, chords and a melody over common progressions of chords, drawn from a seed."""
import numpy as np

from kgan.data.cache import cached
from kgan.data.source import DataError, Source

TRACKS = "drums", "bass", "chords", "melody"
SPLITS = {"train": (0, 8_000), "test": (1, 1_000)}  # name: (stream of the seed, default count)
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# degrees of the scale, a bar each
WAYS = {"major": ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (1, 4, 0, 0)),
        "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 3, 6, 2))}
KICK, SNARE, HAT = 0, 2, 6  # above the lowest pitch, 36: as in General MIDI


def source(bars=2, steps_a_bar=16, pitches=48, lowest=36, split="train", count=None, seed=0):
    """Pieces of a progression, from any of its bars on.

    Args:
        bars: of a piece.
        steps_a_bar: a multiple of 8.
        pitches, lowest: how many there are, and the MIDI number of the first: 48 or more from 36 on.
        split: "train" or "test": independent draws.
        count: number of pieces; None for 8,000 ("train") or 1,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `notes` uint8 [N, bars, steps, pitches, 4], tracks as in TRACKS, and `label` int64 [N]: major or minor.

    Raises:
        DataError: an argument out of range.
    """
    if split not in SPLITS:
        raise DataError(f"progressions: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if bars < 1 or steps_a_bar % 8 or steps_a_bar < 8 or pitches < 48 or lowest != 36:
        raise DataError("progressions: has bars of a multiple of 8 steps, and 48 pitches or more from 36 on, not "
                        f"steps_a_bar={steps_a_bar}, "
                        f"pitches={pitches}, lowest={lowest}")
    stream, default, steps = *SPLITS[split], steps_a_bar
    # raise the version when other pieces are drawn for the same arguments
    key = {"version": 1, "bars": int(bars), "steps": int(steps), "pitches": int(pitches), "stream": stream,
           "count": int(default if count is None else count), "seed": int(seed)}
    arrays, _ = cached("progressions", key, lambda directory: _write(directory, **key))
    return Source("progressions", arrays, {"label": list(SCALES)}, kinds={"notes": "notes"},
                  more={"notes": {"lowest": 36, "beat": max(1, steps // 4), "tempo": 100, "tracks": list(TRACKS)}})


def _write(directory, version, bars, steps, pitches, stream, count, seed):
    notes = np.lib.format.open_memmap(directory / "notes.npy", mode="w+", dtype=np.uint8,
                                      shape=(count, bars, steps, pitches, 4))
    labels = np.zeros(count, np.int64)
    for i in range(count):  # a generator for each: it does not depend on how many are drawn
        rng = np.random.default_rng([seed, stream, i])
        labels[i] = rng.integers(2)
        notes[i] = piece(rng, list(SCALES)[labels[i]], bars, steps, pitches)
    np.save(directory / "label.npy", labels)
    notes.flush()
    return {}


def piece(rng, mode, bars, steps, pitches):
    """uint8 [bars, steps, pitches, 4]."""
    roll = np.zeros((bars, steps, pitches, 4), np.uint8)
    scale, key = np.array(SCALES[mode]), int(rng.integers(12))
    way, first = WAYS[mode][rng.integers(len(WAYS[mode]))], int(rng.integers(4))
    beat, eighth = steps // 4, steps // 8
    hats, walking, degree = rng.random() < 0.5, rng.random() < 0.5, int(rng.integers(7, 14))
    tones = lambda degrees: key + 12 * (np.asarray(degrees) // 7) + scale[np.asarray(degrees) % 7]
    for bar in range(bars):
        root = way[(first + bar) % 4]
        for i in range(8):
            if hats or i % 2 == 0:
                roll[bar, i * eighth, HAT, 0] = 1
        roll[bar, [0, 2 * beat], KICK, 0] = 1
        roll[bar, [beat, 3 * beat], SNARE, 0] = 1
        low = int(tones(root)) % 12
        for i in range(4):
            pitch = (low + (7 if walking and i % 2 else 0)) % 19
            roll[bar, i * beat:(i + 1) * beat - 1, pitch, 1] = 1
        for pitch in tones([root, root + 2, root + 4]):
            roll[bar, :, 12 + pitch % 12, 2] = 1
        place = 0
        while place < steps:
            long = int(rng.choice([eighth, beat, 2 * beat], p=[0.3, 0.5, 0.2]))
            chord = np.array([root, root + 2, root + 4, root + 7, root + 9, root + 11])
            if place % beat == 0:  # on the beat a tone of the chord, the nearest or the one beside it
                near = np.argsort(np.abs(chord - degree), kind="stable")
                degree = int(chord[near[rng.integers(2)]])
            else:
                degree = int(np.clip(degree + rng.choice([-1, 1]), 7, 15))
            pitch = 24 + int(tones(degree)) - 12
            while pitch >= pitches:
                pitch -= 12
            roll[bar, place:min(place + long, steps) - (long > eighth), pitch, 3] = 1
            place += long
    return roll
