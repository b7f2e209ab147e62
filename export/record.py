"""export.json: what an export holds, with the size and checksum of each artefact."""
import hashlib
import json
from pathlib import Path

from export import FORMATS

_ENTRY = {"path", "format", "precision", "step", "checkpoint", "batch", "bytes", "sha256", "check"}


def read(directory):
    """The dict in export.json of that directory; {} where there is none that can be read."""
    try:
        record = json.loads((Path(directory) / "export.json").read_text(encoding="utf-8"))
        whole = all(_ENTRY <= set(entry) and entry["format"] in FORMATS for entry in record["artefacts"])
        return record if whole else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


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
