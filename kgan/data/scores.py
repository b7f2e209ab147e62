"""Folders of MIDI files, `--dataset=folder:PATH` of models of notes: cut into pieces of a few bars.

    PATH/*.mid                      any depth; sub-folders are labels
    PATH/train/, PATH/test/         where both are there: the splits
"""
import collections
import hashlib
import json
import os

import numpy as np

from kgan.data import files
from kgan.data.cache import cached
from kgan.data.source import DataError, Source
from kgan.kinds import notes


def source(path, bars=2, steps_a_bar=16, pitches=48, lowest=36, tracks="", split="train"):
    """The MIDI files below a folder, cut into pieces of `bars` bars of four beats that begin at each bar. Pieces
    without notes are left out.

    Args:
        path: the folder.
        bars, steps_a_bar: of a piece, of a bar; a multiple of 4.
        pitches, lowest: how many there are, and the MIDI number of the first.
        tracks: names joined by +; those of a file come in its order, those of the tenth channel go to the one called
            drums.
        split: "train" or "test"; where the folder has these two sub-folders that one is read, else there is "train"
            alone.

    Returns:
        Source with `notes` uint8 [N, bars, steps, pitches, tracks], and perhaps `label` int64 [N].

    Raises:
        DataError: no such folder or split, no music in it, or more than a tenth of the files unreadable.
    """
    root, found, remarks = music(path, split)
    listing = hashlib.sha256(json.dumps([root, found]).encode()).hexdigest()
    names, steps = tuple(filter(None, tracks.split("+"))), steps_a_bar
    more = {"lowest": lowest, "beat": max(1, steps // 4), "tempo": notes.MORE["tempo"], "tracks": list(names)}
    key = dict(kind="scores", version=2, files=listing, bars=bars, steps=steps, pitches=pitches, **more)
    arrays, kept = cached(f"scores-{os.path.basename(root)}", key,
                          lambda directory: _write(directory, root, [name for name, *_ in found], bars, steps, pitches, more))
    remark = files.layout(path, kept["classes"].get("label", []), what="files")
    note = " ".join(filter(None, (kept["note"], *remarks, remark)))
    return Source(f"folder:{path}", arrays, kept["classes"], note, kinds={"notes": "notes"}, more={"notes": more})


def music(path, split):
    """The MIDI files of a folder: (its real path, the files as `kgan.data.files.survey` has them, sentences about what is left out)."""
    if not notes.SUFFIXES:
        raise DataError(f"folder:{path}: to read MIDI files pip install mido")
    root, beside = files.half(path, split, notes.SUFFIXES)
    found, left_out = files.survey(root, notes.SUFFIXES)
    if not found:
        raise files.none_there("music", root, left_out, notes.SUFFIXES)
    return root, found, [files.note(left_out, images=False), beside]


def _write(directory, root, names, bars, steps, pitches, more):
    """Cuts the files into `notes.npy` and writes `label.npy`; see `cached`."""
    pieces, labels, skipped, lost = [], [], {}, collections.Counter()
    for name in names:
        try:
            data = files.contents(os.path.join(root, name))
            roll, left_out = notes.parse(data, pitches, len(more["tracks"]), more["lowest"], more["beat"], more["tracks"])
        except (OSError, ValueError) as error:
            skipped[name] = str(error)
            continue
        whole = max(bars, -(-len(roll) // steps))
        roll = np.pad(roll, [(0, whole * steps - len(roll)), (0, 0), (0, 0)]).reshape(whole, steps, *roll.shape[1:])
        cut = [roll[bar:bar + bars] for bar in range(whole - bars + 1) if roll[bar:bar + bars].any()]
        pieces += cut
        labels += [name.split("/")[0] if "/" in name else None] * len(cut)
        lost.update(left_out)
    listing = files.tolerate(skipped, len(names), root, "MIDI files")
    if not pieces:
        raise DataError(f"The music in {root} has no notes among {pitches} pitches from {more['lowest']} on: --set pitches= and lowest= "
                        "say which")
    np.save(directory / "notes.npy", np.stack(pieces))
    classes, remark = files.labels(directory, labels, "MIDI files")
    note = [f"{len(skipped)} MIDI files cannot be read and are left out ({listing})."] if skipped else []
    note += [f"{count} of {len(names)} MIDI files {what}." for what, count in lost.items()]
    return dict(note=" ".join(filter(None, (*note, remark))), skipped=skipped, classes=classes)
