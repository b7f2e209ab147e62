"""Built-in melodies over progressions of chords, and folders of MIDI files, as lists of notes.

    --dataset=melodies              the melody of kgan.data.progressions
    --dataset=folder:PATH           .mid files at any depth; PATH/train/ and PATH/test/ where both are there
"""
import os

import numpy as np

from kgan.data import files, progressions, scores
from kgan.data.cache import cached
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
    root, found, remarks = scores.music(path, split)
    pieces, note = _read(root, [name for name, *_ in found], notes_a_piece)
    note = " ".join(filter(None, (note, *remarks)))
    return Source(f"folder:{path}", {"events": pieces}, {}, note, kinds={"events": "events"}, more={"events": MORE})


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


def _read(root, names, length):
    """(pieces uint8 [N, length, 4] of the files, what is left out in words)."""
    pieces, skipped, short = [], {}, []
    for name in names:
        try:
            spans = events.spans(files.contents(os.path.join(root, name)))
        except (OSError, ValueError) as error:
            skipped[name] = str(error)
            continue
        pieces += [events.listed(spans[i:i + length], length) for i in range(0, len(spans) - length + 1, 8)]
        if len(spans) < length:
            short.append(name)
    listing = files.tolerate(skipped, len(names), root, "MIDI files")
    if not pieces:
        raise DataError(f"{root}: no MIDI file has notes_a_piece={length} notes or more")
    note = [f"{len(skipped)} MIDI files cannot be read and are left out ({listing})."] if skipped else []
    note += [f"{len(short)} MIDI files with fewer than {length} notes are left out: {', '.join(short[:5])}"
             f"{' …' if len(short) > 5 else ''}."] if short else []
    return np.stack(pieces), " ".join(note)
