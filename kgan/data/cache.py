"""Prepared data sets on disk: one directory each, one memory-mapped .npy file a field.

Preparing (drawing glyphs, decoding a folder, reading tfds) happens once for each set of parameters. The result lies
in `$KGAN_CACHE`, or else `~/.cache/kgan`; deleting that folder loses nothing but time.
Nothing is deleted by itself: a folder of images that has changed is prepared again, beside its old copy.
"""
import atexit
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np

from kgan.data.source import DataError


def directory():
    """The cache folder: $KGAN_CACHE, or else kgan in $XDG_CACHE_HOME, or else ~/.cache/kgan.

    Raises:
        OSError: it is in the home directory, and there is none, as in containers.
    """
    base = os.environ.get("KGAN_CACHE")
    path = os.path.expanduser(base or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "kgan"))
    if path.startswith("~"):  # else a folder of that name would be made in the working directory
        raise FileNotFoundError(f"there is no home directory for {path}")
    return Path(path)


def expanded(path, flag):
    """A path that the user gave, with ~ as the home directory. DataError: there is none."""
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise DataError(f"{flag}{path}: there is no home directory for {found.partition('/')[0]} here; write the whole path")
    return found


def cached(name, key, write):
    """Returns the prepared arrays of `key`, preparing them with `write` if that has not been done before.

    Args:
        name: a word for people, the start of the folder's name.
        key: dict of plain values; everything that the content depends on, a version number of the code included.
        write: function of a directory (pathlib.Path, exists, empty). It writes one `FIELD.npy` a field there, with
            the same first dimension N in each, and returns a JSON-able dict of notes about them.

    Returns:
        (arrays, notes): dict of field to read-only memory-mapped numpy array, and the dict that `write` returned.
    """
    try:
        final = _place(name, key)
        if (final / "notes.json").exists():
            return _read(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{final.name[:60]}-", dir=final.parent))
    except OSError as error:
        try:
            scratch = Path(tempfile.mkdtemp(prefix="kgan-"))
        except OSError as other:
            raise DataError(f"there is no place to prepare data in: the cache cannot be used ({error}), and there is no "
                            f"temporary folder ({other.strerror}); set KGAN_CACHE to a folder that can be written") from None
        warnings.warn(f"cannot use the data cache ({error}); preparing in a temporary folder for this run only. "
                      "Set KGAN_CACHE to a folder that can be written.", stacklevel=2)
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        return _prepare(scratch, write)
    except (ValueError, EOFError) as error:
        raise DataError(f"the prepared data in {final} are damaged ({error}): delete that folder and run again") from None
    try:
        _prepare(scratch, write)
        try:
            scratch.rename(final)
        except OSError:
            # another process was first: its content is the same. Whatever else lies there is unfinished: replace it.
            if not (final / "notes.json").exists():
                shutil.rmtree(final, ignore_errors=True)
                scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _read(final)


def room(name, key):
    """Bytes that are free where `cached` would prepare the arrays of `key`; None: they lie there already.

    Raises:
        OSError: there is no such place.
    """
    final = _place(name, key)
    if (final / "notes.json").exists():
        return None
    while not final.exists():
        final = final.parent
    return shutil.disk_usage(final).free


def _place(name, key):
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return directory() / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)[:60]}-{digest}"


def _prepare(path, write):
    notes = write(path)
    # the notes are written last: a directory that has them is whole
    (path / "notes.json").write_text(json.dumps(notes, indent=1), encoding="utf-8")
    return _read(path)


def _read(path):
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted(path.glob("*.npy"))}
    return arrays, json.loads((path / "notes.json").read_text(encoding="utf-8"))
