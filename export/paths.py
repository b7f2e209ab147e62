"""Folders that TensorFlow can read, whatever their names."""
import contextlib
import os
import tempfile
from pathlib import Path

_PATTERN = set("*?[\\")  # what makes a pattern of a path


@contextlib.contextmanager
def readable(folder):
    """Text of a path by which TensorFlow can load the SavedModel in `folder`.

    It looks for a checkpoint's files by a pattern, so that of `runs/a[1]` it would find none. There it is given a link.

    Raises:
        OSError: there is no place for a link.
    """
    folder = Path(folder).resolve()
    if not _PATTERN & set(str(folder)):
        yield str(folder)
        return
    places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")
              if not _PATTERN & set(place) and os.access(place, os.W_OK)]
    if not places:
        raise OSError(f"{folder}: TensorFlow reads no path with one of {' '.join(sorted(_PATTERN))}, and no temporary folder "
                      "takes a link to it: rename the folder, or set TMPDIR")
    with tempfile.TemporaryDirectory(dir=places[0]) as aside:
        link = Path(aside, "model")
        link.symlink_to(folder, target_is_directory=True)
        yield str(link)
