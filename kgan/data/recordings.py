"""Folders of sound files, `--dataset=folder:PATH` of models of sound: cut into windows of one length and rate.

    PATH/*.wav                      any depth; sub-folders are labels
    PATH/train/, PATH/test/         where both are there: the splits
    PATH/input/, PATH/audio/        pairs, files of the same names: what is given, and what is to be made of it; also noisy/ and clean/
"""
import hashlib
import json
import os

import numpy as np

from kgan.data import files
from kgan.data.cache import cached
from kgan.data.source import DataError, Source
from kgan.kinds import audio

PAIRS = ("input", "audio"), ("noisy", "clean")
SILENT = 33  # of 32,768: windows that are nowhere louder are left out


def source(path, rate=16_000, length=16_384, overlap=0.5, split="train"):
    """The sound files below a folder, resampled, mixed to one channel and cut into windows.

    Windows of a file begin every (1 - overlap) · length samples, as many as it takes to hold all of it; the last is
    filled with silence. Windows without sound are left out. Labels are the first-level sub-folders, if every file lies
    in one.

    Args:
        path: the folder.
        rate: samples a second.
        length: samples of a window.
        overlap: part of a window that the next one has too, below 1.
        split: "train" or "test"; where the folder has these two sub-folders that one is read, else there is "train"
            alone.

    Returns:
        Source with `audio` int16 [N, length, 1], perhaps `label` int64 [N], and of pairs `input` int16 [N, length, 1].

    Raises:
        DataError: no such folder or split, no sounds in it, more than a tenth of them unreadable, or pairs that are none.
    """
    root, beside = files.half(path, split, audio.SUFFIXES)
    found, left_out = files.survey(root, audio.SUFFIXES)
    if not found:
        raise files.none_there("sounds", root, left_out, audio.SUFFIXES)
    listing = hashlib.sha256(json.dumps([root, found]).encode()).hexdigest()
    key = dict(kind="recordings", version=1, files=listing, rate=rate, length=length, overlap=overlap)
    names = [name for name, *_ in found]
    arrays, notes = cached(f"recordings-{os.path.basename(root)}", key,
                           lambda directory: _write(directory, root, names, rate, length, overlap))
    more = {name: {"rate": rate} for name in arrays if name in ("audio", "input")}
    classes = notes["classes"].get("label", [])
    note = " ".join(filter(None, (notes["note"], files.note(left_out, images=False), beside, _sides(classes) or files.layout(path, classes, what="sounds"))))
    return Source(f"folder:{path}", arrays, notes["classes"], note, kinds=dict.fromkeys(more, "audio"), more=more)


def windows(sound, length, overlap):
    """A sound int16 [T] as windows [n, length]; the last is filled with silence."""
    hop = max(1, round(length * (1 - overlap)))
    count = 1 + max(0, -(-(len(sound) - length) // hop))
    padded = np.pad(sound, (0, max(0, (count - 1) * hop + length - len(sound))))
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop][:count]


def _write(directory, root, names, rate, length, overlap):
    """Cuts the files into `audio.npy`, and `input.npy` of pairs, and writes `label.npy`; see `cached`."""
    tops = [name.split("/")[0] if "/" in name else None for name in names]
    sides = next((tuple(sorted({*tops}, key=lambda top: pair.index(top.lower()))) for pair in PAIRS
                  if {*pair} == {str(top).lower() for top in tops}), None)
    examples = _paired(root, names, sides) if sides else {name: {"audio": name} for name in names}
    skipped, labels, silent, low = {}, [], 0, []
    fields = sorted(next(iter(examples.values())))
    opened = {name: open(directory / f"{name}.raw", "wb") for name in fields}
    for example, parts in examples.items():
        try:
            data = {name: files.contents(os.path.join(root, file)) for name, file in parts.items()}
            sounds = {name: audio.brought(each, rate) for name, each in data.items()}
            low += [own for _, own in sounds.values() if own < rate]
            sounds = {name: sound for name, (sound, _) in sounds.items()}
            if len({len(sound) for sound in sounds.values()}) > 1:
                raise ValueError("its two sides differ in length")
        except (OSError, ValueError) as error:
            skipped[example] = str(error)
            continue
        cut = {name: windows(sound, length, overlap) for name, sound in sounds.items()}
        loud = np.abs(cut["audio"].astype(np.int32)).max(1) > SILENT
        silent += int((~loud).sum())
        for name, some in cut.items():
            opened[name].write(np.ascontiguousarray(some[loud]).tobytes())
        labels += [example.split("/")[0] if "/" in example else None] * int(loud.sum())
    for file in opened.values():
        file.close()
    listing = files.tolerate(skipped, len(examples), root, "sounds")
    if not labels:
        raise DataError(f"The sounds in {root} are silent from beginning to end.")
    for name in fields:
        raw = np.memmap(directory / f"{name}.raw", np.int16, "r", shape=(len(labels), length, 1))
        np.save(directory / f"{name}.npy", raw)
        del raw
        os.unlink(directory / f"{name}.raw")
    classes, remark = files.labels(directory, labels, "sounds") if not sides else ({}, "")
    note = [f"{len(skipped)} sounds cannot be read and are left out ({listing})."] if skipped else []
    note += [f"{silent} windows without sound are left out."] if silent else []
    note += [f"{len(low)} sounds have fewer than {rate:,} samples a second, {min(low):,} or more: what lies above half of that is "
             "lacking in them."] if low else []
    return dict(note=" ".join(filter(None, (*note, remark))), skipped=skipped, classes=classes)


def _sides(classes):
    """A sentence about sub-folders that seem to be the sides of pairs by another name, as clean_trainset and noisy_trainset."""
    found = [name for pair in PAIRS for word in pair for name in classes if word in name.lower()]
    if not any(all(any(word in name.lower() for name in classes) for word in pair) for pair in PAIRS):
        return ""
    return f"Its sub-folders {', '.join(found)} are read as classes: to learn one from the other, as pairs, keep these two alone and " \
        f"name them {' or '.join(' and '.join(pair) for pair in PAIRS)}."


def _paired(root, names, sides):
    """Dict of a name below both sub-folders to the files of `input` and `audio`. DataError: one has no partner."""
    given, made = ({os.path.splitext(name.partition("/")[2])[0]: name for name in names if name.startswith(side + "/")}
                   for side in sides)
    if alone := sorted(given.keys() ^ made.keys()):
        raise DataError(f"{root}: {len(alone)} sounds have no partner of the same name in the other of {' and '.join(sides)}: "
                        f"{', '.join(alone[:5])}{' …' if len(alone) > 5 else ''}")
    return {name: {"input": given[name], "audio": made[name]} for name in sorted(given)}
