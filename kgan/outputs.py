"""Where what `kgan translate` makes of files goes, and what lies there already."""
import json
import os
import warnings
from collections import Counter
from pathlib import Path

from kgan.command import UserError
from kgan.data import files, folder
from kgan.run import checksum, write

DONE = "translated.json"  # in the folder of the translations: what they are of


def outputs(sources, out, suffixes=None, suffix=".png"):
    """Where the translations of files go: dict of path to path.

    Args:
        sources: folders, whose images are found at any depth, and files.
        out: folder.
        suffixes, suffix: of the files that are read, and of those that are written; None: images.

    Raises:
        UserError: there is no such file, no image in a folder, two files would have the same name, or `out` is where
            the images lie.
    """
    out = Path(out)
    names = {}  # file -> its name below out, with its own suffix
    for path in map(Path, sources):
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder")
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise UserError(f"--out={out}: this is where the images lie; choose another folder")
            found, left_out = files.survey(path, suffixes)
            found = [name for name, *_ in found if out.resolve() not in (path / name).resolve().parents]
            if not found:
                raise UserError(f"{path}: holds no {'sounds' if suffixes else 'images'}; kgan reads "
                                f"{', '.join(suffixes or folder.SUFFIXES)}. {files.note(left_out, not suffixes)}".strip())
            if left_out:
                warnings.warn(f"{path}: {files.note(left_out, not suffixes)}", stacklevel=2)
            names.update({path / name: Path(name) for name in found})
        else:
            names[path] = Path(path.name)
    whole = Counter(name for name in names.values())
    stems = Counter(name.with_suffix("") for name in names.values())
    for path, name in names.items():
        if whole[name] > 1:
            others = [str(other) for other in names if names[other] == name]
            raise UserError(f"{' and '.join(others[:2])} have the same name: translate them into folders of their own")
    placed = {path: out / (name.with_suffix(suffix) if stems[name.with_suffix("")] == 1 else f"{name}{suffix}")
              for path, name in names.items()}
    for path in placed:
        if any(path.resolve() == other.resolve() for other in placed.values()):
            raise UserError(f"--out={out}: {path} would be overwritten by a translation; choose another folder")
    return placed


def masks_of(mask, sources, paths):
    """The mask of each file: dict of path to path.

    Args:
        mask: a file, for all images, or a folder with one for each: of the same name, whatever the suffix, in the same sub-folder.
        sources, paths: folders and files as for `outputs`, and the files that it found in them.

    Raises:
        UserError: there is no such file, a file has no mask, or two masks could be meant.
    """
    mask = Path(mask)
    if not mask.exists():
        raise UserError(f"--mask={mask}: there is no such file or folder")
    if not mask.is_dir():
        return dict.fromkeys(paths, mask)
    folders = [Path(source) for source in sources if Path(source).is_dir()]
    found, there = {}, {}
    for name, *_ in files.survey(mask)[0]:
        there.setdefault(Path(name).with_suffix(""), []).append(name)
    for path in paths:
        below = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), Path(path.name))
        names = there.get(below.with_suffix(""), [])
        if len(names) != 1:
            raise UserError(f"--mask={mask}: {' and '.join(names)} could both be the mask of {path}; take one away" if names else
                            f"--mask={mask}: holds no mask for {path}; it should be called {below.with_suffix('.png')}")
        found[path] = mask / names[0]
    return found


def agree(out, placed, told, masks=None, overwrite=False):
    """Writes translated.json: what files are made of, and by what. Files that are there are of just that.

    What is there already is left alone where it is newer than what it is made of, and is made anew where it is older.

    Args:
        out, placed, masks: as for `outputs`, `translate_files`.
        told: dict of what decides what is made: the run, its step, flags; texts and numbers.

    Raises:
        UserError: a file that is there is of another run, of other flags or of another file, or nothing says of what.
    """
    place = Path(out) / DONE
    try:
        before = json.loads(place.read_text(encoding="utf-8"))
        files_of, by = dict(before["files"]), dict(before["by"])
    except FileNotFoundError:
        files_of, by = {}, None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"--out={out}: {place} is of something else; choose another folder") from None
    sources = {str(target.relative_to(out)): str(path.resolve()) for path, target in placed.items()}
    for (path, target), name in zip(placed.items(), sources):
        if not target.exists():
            continue
        of = max(os.stat(each).st_mtime for each in (path, *([masks[path]] if masks else [])) if os.path.exists(each))
        if overwrite or by == told and files_of.get(name) == sources[name] and target.stat().st_mtime < of:
            target.unlink()  # now, and not when it is made anew: an interrupted command leaves none that is of something else
        elif by is None or name not in files_of:
            raise UserError(f"--out={out}: {target} is there already, and no {DONE} says what it is; choose another folder, or --overwrite")
        elif files_of[name] != sources[name]:
            raise UserError(f"--out={out}: {target} is made of {files_of[name]}, wanted is that of {sources[name]}; choose another "
                            "folder, or --overwrite")
        elif by != told:
            differ = ", ".join(f"{key} {by.get(key)!r}" for key in told if by.get(key) != told[key])
            raise UserError(f"--out={out}: {target} was made by another run or with other flags ({differ}); choose another folder, or "
                            "--overwrite")
    Path(out).mkdir(parents=True, exist_ok=True)
    kept = {name: source for name, source in files_of.items() if by == told and (Path(out) / name).exists()}
    write(place, json.dumps({"by": told, "files": {**kept, **sources}}, indent=1).encode() + b"\n")


def by(directory, step, gan, values):
    """What decides what is made of a file, for `agree`."""
    shown = "tile", "overlap", "depth", "direction", "seed", "mask"
    return {"run": Path(directory).resolve().name, "step": step, "weights": checksum(gan.weights),
            **{name: values[name].value for name in shown if values[name].value is not None}}
