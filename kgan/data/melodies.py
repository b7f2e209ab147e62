"""Built-in melodies over progressions of chords, and folders of MIDI files, as lists of notes.

    --dataset=melodies              the melody of kgan.data.progressions
    --dataset=folder:PATH           .mid files at any depth; PATH/train/ and PATH/test/ where both are there
"""
import os

import numpy as np

from kgan.data import files, progressions
from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source
from kgan.kinds import events, notes

MORE = {"lowest": 36, "beat": 4, "tempo": 100}


def source(path="melodies", notes_a_piece=24, split="train", count=None, seed=0):
    """Pieces of `notes_a_piece` notes one after the other.

    Args:
        path: "melodies", or a folder, whose files are cut into pieces from each eighth note on.
        notes_a_piece: at least 2.
        split: "train" or "test".
        count, seed: of the built-in ones, see kgan.data.progressions; None: 8,000 or 1,000.

    Returns:
        Source of `events` uint8 [N, notes_a_piece, 4].

    Raises:
        DataError: no such split or folder, or no music in it.
    """
    if split not in progressions.SPLITS:
        raise DataError(f"melodies: split must be one of {', '.join(progressions.SPLITS)}, not {split!r}")
    if path == "melodies":
        stream, default = progressions.SPLITS[split]
        key = {"version": 1, "length": notes_a_piece, "stream": stream, "count": default if count is None else count, "seed": seed}
        arrays, _ = cached("melodies", key, lambda directory: _write(directory, **key))
        return Source("melodies", arrays, kinds={"events": "events"}, more={"events": MORE})
    pieces = _read(path, notes_a_piece, split)
    return Source(f"folder:{path}", {"events": pieces}, kinds={"events": "events"}, more={"events": MORE})


def _write(directory, version, length, stream, count, seed):
    found = np.zeros((count, length, 4), np.uint8)
    bars = -(-length // 4) + 1
    for i in range(count):
        rng = np.random.default_rng([seed, stream, i])
        roll = progressions.piece(rng, list(progressions.SCALES)[rng.integers(2)], bars, events.BAR, events.PITCHES)[..., 3]
        spans = sorted(notes._spans(roll.reshape(-1, events.PITCHES) > 0))
        found[i] = events.listed(spans[:length], length)
    np.save(directory / "events.npy", found)
    return {}


def _read(path, length, split):
    root = os.path.realpath(expanded(str(path), "folder:"))
    there = {name: os.path.join(root, name) for name in ("train", "test") if os.path.isdir(os.path.join(root, name))}
    if len(there) == 2:
        root = there[split]
    elif split != "train":
        raise DataError(f"folder:{path} has no split {split!r}: put its files into the sub-folders train and test")
    pieces, broken = [], {}
    for name, *_ in files.survey(root, notes.SUFFIXES)[0]:
        try:
            with open(os.path.join(root, name), "rb") as file:
                spans = events.spans(file.read())
        except (OSError, ValueError) as error:
            broken[name] = str(error)
            continue
        pieces += [events.listed(spans[i:i + length], length) for i in range(0, len(spans) - length + 1, 8)]
    if not pieces:
        why = "; ".join(f"{name}: {reason}" for name, reason in list(broken.items())[:5])
        raise DataError(f"{root}: no MIDI files with {length} notes or more{f' ({why})' if why else ''}.")
    return np.stack(pieces)
