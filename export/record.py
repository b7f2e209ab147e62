"""export.json: what an export holds, with the size and checksum of each artefact; who may write it, and putting in place."""
import contextlib
import hashlib
import itertools
import json
import os
import sys
from pathlib import Path

from export import FORMAT, FORMATS

try:
    import fcntl
except ImportError:  # Windows: two exports of one run are not noticed there
    fcntl = None

_ENTRY = {"path", "format", "precision", "step", "checkpoint", "batch", "bytes", "sha256", "check"}


def read(directory):
    """The dict in export.json of that directory; {} where there is none that can be read.

    Raises:
        UserError: it is of a newer format.
    """
    try:
        record = json.loads((Path(directory) / "export.json").read_text(encoding="utf-8"))
        if newer := newer_format(record):
            from kgan.command import UserError  # not above: the runtimes know nothing of kgan
            raise UserError(f"{Path(directory) / 'export.json'} {newer}")
        whole = all(_ENTRY <= set(entry) and entry["format"] in FORMATS for entry in record["artefacts"])
        return record if whole else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def functions(entry):
    """Names of the functions in an artefact that export.json lists; of before there could be several: the one."""
    return entry.get("functions", ["generator"])


def newer_format(told):
    """What is to be said of a generator.json or export.json of a newer format than is known here, or ""."""
    found = told.get("format", 0)
    if isinstance(found, int) and 0 <= found <= FORMAT:
        return ""
    return f"is of format {found}, and this kgan reads up to {FORMAT}: take a newer kgan, or export the run again with this one"


@contextlib.contextmanager
def held(run, writing=True):
    """Keeps the export of a run to this process: another waits to write it, or, while it is written, to read it.

    The lock is on the run's directory, and the kernel lets go of it when a process ends, however it ends. A file system that has
    no such locks goes without.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder = os.open(run, os.O_RDONLY)
            stack.callback(os.close, folder)
            if fcntl:
                kind = fcntl.LOCK_EX if writing else fcntl.LOCK_SH
                try:
                    fcntl.flock(folder, kind | fcntl.LOCK_NB)
                except BlockingIOError:
                    print(f"{Path(run) / 'export'} is in use by another process: waiting for it", file=sys.stderr)
                    fcntl.flock(folder, kind)
        yield


def put(new, target, aside):
    """Has a file or directory take the place of another, which goes to the directory `aside`. Whoever else does so is no harm."""
    for i in itertools.count():
        with contextlib.suppress(FileNotFoundError):
            os.replace(target, Path(aside) / f"{Path(target).name}.{i}.old")
        try:
            return os.replace(new, target)
        except OSError:
            if i == 9 or not Path(target).exists():  # else another process was in between
                raise


def size(path):
    """Bytes of a file, or of all files in a directory."""
    return sum(file.stat().st_size for file in files(path))


def sha256(path):
    """Hexadecimal SHA-256 of a file; of a directory: of what `sha256sum` prints for its files, sorted by path."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    rows = [f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files(path)]
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def files(path):
    """All files in a directory, sorted; of a file itself."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
