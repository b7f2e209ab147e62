"""What tells one set of data from another: its content, however its folder is spelled, and whatever that holds meanwhile.

A run's settings have it under `data`: {"dataset": as the user wrote it, "path": a folder's own place, "examples": how many,
"content": a checksum of what the networks see, "made": one of the settings that it was made with}. Runs from before have none.
"""
import json
import os
import warnings
import zlib
from pathlib import Path

import numpy as np

_MADE = ("image_size", "channels", "crop"), ("condition", "bins", "direction")
# of sounds, notes, lists of notes, clips, texts and captions
_WHERE_THERE = ("rate", "length", "overlap", "bars", "steps_a_bar", "pitches", "lowest", "tracks", "notes_a_piece", "frames", "tokens",
                "vocabulary")
_BLOCK = 1 << 24  # bytes at once


def fingerprint(source, settings):
    """The fingerprint of a Source that `kgan.data.of` has made of these settings, complete as in config.json: a small dict."""
    condition = settings.get("config", {}).get("condition") or ""
    fields = source.fields
    content = [[name, str(array.dtype), list(array.shape), _checksum(array)] for name, array in sorted(source.arrays.items())
               if name == condition or fields[name].kind not in ("label", "number")]
    found = {"dataset": settings["dataset"], "examples": len(source), "made": _made(settings),
             "content": _text([content, list(source.classes.get(condition, ()))])}
    return found | ({"path": _place(source.name)} if source.name.startswith("folder:") else {})


def located(settings):
    """Settings of a run whose folder is found from any working directory: a relative path means what it meant then."""
    data, name = settings.get("data") or {}, settings["dataset"]
    path = name.removeprefix("folder:")
    if path == name or os.path.isabs(os.path.expanduser(path)) or data.get("dataset") != name or \
            not os.path.isdir(data.get("path", "")) or _place(name) == data["path"]:
        return settings
    return {**settings, "dataset": f"folder:{data['path']}", "data": {**data, "dataset": f"folder:{data['path']}"}}


def remember(source, settings):
    """Warns where a Source is not what the run of these settings was trained on, as far as they tell."""
    data = settings.get("data") or {}
    if data.get("dataset") != settings["dataset"] or data.get("made") != _made(settings):
        return
    now = fingerprint(source, settings)
    if now["content"] != data["content"]:
        warnings.warn(f"{settings['dataset']}: its content is not what the run was trained on ({_counts(data, now)}): results are "
                      "of what is there now", stacklevel=3)


def differences(found, wanted):
    """Lines that say how the data of two runs' settings differ.

    Equal content is equal, however it is spelled; content that has changed in its place is warned of.
    """
    there, now = found.get("data") or {}, wanted.get("data") or {}
    known = "content" in there and "content" in now
    comparable = known and there.get("made") == now.get("made")  # else the lines about these settings say it
    if comparable and there["content"] == now["content"]:
        return []
    if (there.get("path") or _place(found.get("dataset"))) != (now.get("path") or _place(wanted.get("dataset"))):
        counts = f", whose content differs: {_counts(there, now)}" if comparable else ""
        return [f"dataset: {found.get('dataset')} there, {wanted.get('dataset')} now{counts}"]
    if comparable:
        warnings.warn(f"{wanted['dataset']}: its content has changed since the run began ({_counts(there, now)}): training goes on "
                      "with what is there now; --overwrite starts anew", stacklevel=2)
    return []


def _counts(there, now):
    if there["examples"] == now["examples"]:
        return f"{now['examples']:,} examples, as many as then"
    return f"{there['examples']:,} examples then, {now['examples']:,} now"


def _place(dataset):
    """A folder's own place, whatever links and spelling lead to it; of other data their name."""
    if not str(dataset).startswith("folder:"):
        return dataset
    return os.path.realpath(os.path.expanduser(dataset.removeprefix("folder:")))


def _made(settings):
    """A checksum of the settings on which content depends."""
    config = settings.get("config", {})
    return _text([json.loads(json.dumps(each.get(name))) for each, names in zip((settings, config), _MADE) for name in names]
                 + [config[name] for name in _WHERE_THERE if name in config])


def _text(value):
    return f"{zlib.crc32(json.dumps(value).encode()):08x}"


def _checksum(array):
    """CRC-32 of an array's numbers. Of a prepared one it is computed once, and kept beside it in the cache."""
    if hasattr(array, "images"):  # made on the fly: of these, by settings that are compared themselves
        index = getattr(array, "index", None)
        return [_checksum(array.images), None if index is None else _checksum(index)]
    if hasattr(array, "at"):  # drawn on the fly, of nothing but settings
        return 0
    if hasattr(array, "checksum"):  # of files that are decoded when they are read
        return array.checksum
    file = getattr(array, "filename", None)
    if file is None or os.path.getsize(file) != array.offset + array.nbytes:  # in memory, or a part of what is in the file
        return _crc(array)
    kept = Path(file).parent / "checksums.json"
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    name = Path(file).stem
    if name not in found:
        found[name] = _crc(array)
        try:
            aside = kept.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(found), encoding="utf-8")
            aside.replace(kept)
        except OSError:  # a cache that is only read: it is computed anew
            pass
    return found[name]


def _crc(array):
    rows = max(1, _BLOCK // max(1, array.nbytes // max(1, len(array))))
    crc = 0
    for start in range(0, len(array), rows):
        crc = zlib.crc32(np.ascontiguousarray(array[start:start + rows]).tobytes(), crc)
    return crc
