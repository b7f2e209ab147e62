"""Image files below a folder: which there are, which are left out and why, and what their names are called."""
import os
import re
import unicodedata

import numpy as np
from PIL import features

from kgan import kinds
from kgan.data.cache import expanded
from kgan.data.source import DataError

_IMAGE = kinds.get("image")
# beyond what a server takes from strangers: the user's own files, as far as this Pillow was built to read them
_MORE = {"TIFF": (True, (".tif", ".tiff")), "JPEG2000": (features.check("jpg_2000"), (".jp2", ".j2k", ".jpf", ".jpx")),
         "AVIF": ("avif" in features.modules and features.check("avif"), (".avif",))}
FORMATS = (*_IMAGE.FORMATS, *(name for name, (there, _) in _MORE.items() if there))
SUFFIXES = (*_IMAGE.SUFFIXES, ".jfif", ".pjpeg", ".apng",
            *(suffix for there, some in _MORE.values() if there for suffix in some))
# how files begin: those that have no suffix are known by it, and those that cannot be read are called by their name
_BEGINNINGS = {
    "JPEG": rb"\xff\xd8\xff", "PNG": rb"\x89PNG\r\n\x1a\n", "GIF": rb"GIF8[79]a", "BMP": rb"BM.{4}\0{4}",
    "WEBP": rb"RIFF.{4}WEBP", "TIFF": rb"II[*+]\0|MM\0[*+]", "JPEG2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "AVIF": rb".{4}ftypavi[fs]",
    "HEIC": rb".{4}ftyp(hei|hev|mif1|msf1)", "PSD": rb"8BPS", "PDF": rb"%PDF", "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
}
# suffixes of images that kgan does not read
_UNREADABLE = {**dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"), ".avif": "AVIF", ".jxl": "JPEG XL", ".psd": "PSD",
               ".svg": "SVG", ".eps": "EPS", ".pdf": "PDF", ".ppm": "PPM", ".pgm": "PGM", ".tga": "TGA", ".exr": "EXR",
               ".dcm": "DICOM", ".ico": "ICO",
               **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"), "camera raw"),
               **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx"), "JPEG 2000")}


# folders that systems and archivers make: thumbnails, what was thrown away, halves of files
_SYSTEMS = "@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"


def find(root):
    """Image files below `root`: sorted list of [relative path with /, size in bytes, modification time in ns]."""
    return survey(root)[0]


def survey(root, suffixes=None):
    """(files as `find` gives them, what is left out: dict of the reason to a list of relative paths).

    `suffixes`: of the files that are meant; None: images, of those without one by their content.
    """
    found, left_out = [], {}
    for folder, names, hidden in _walk(root):
        place = os.path.relpath(folder, root).replace(os.sep, "/")
        place = "" if place == "." else f"{place}/"
        for name in hidden:
            left_out.setdefault("hidden", []).append(place + name)
        for name in names:
            file = os.path.join(folder, name)
            suffix = os.path.splitext(name)[1].lower()
            if reason := _reason(file) if suffixes is None else "" if suffix in suffixes else suffix or "no suffix":
                left_out.setdefault(reason, []).append(place + name)
                continue
            try:
                status = os.stat(file)
                found.append([place + name, status.st_size, status.st_mtime_ns])
            except OSError:  # a link to nothing, say: decoding it will give the reason
                found.append([place + name, 0, 0])
    return sorted(found), left_out


def _walk(root):
    """(folder, file names, hidden names) for `root` and what is below, links followed, each folder once."""
    def refuse(error):
        raise DataError(f"Cannot read the folder {error.filename}: {error.strerror}. Check the path and its "
                        "permissions.") from error

    seen = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up would go round for ever
            folders.clear()
            continue
        seen.add(real)
        hidden = sorted(name for name in folders + names if name.startswith(".") or name in _SYSTEMS)
        folders[:] = sorted(name for name in folders if name not in hidden)
        yield folder, [name for name in names if name not in hidden], hidden


def _reason(file):
    """Why a file is no image to be read, in a word; "" if it is one by its suffix, or has none and begins like one."""
    suffix = os.path.splitext(file)[1].lower()
    if suffix in SUFFIXES:
        return ""
    if suffix:
        return suffix
    return "" if content(file) in FORMATS else "no suffix"


def content(file):
    """The name of the format that a file begins like, "" if of none that is known here."""
    try:
        if not os.path.isfile(file):  # opening a named pipe would wait for ever
            return ""
        with open(file, "rb") as opened:
            start = opened.read(16)
    except OSError:
        return ""
    return next((name for name, pattern in _BEGINNINGS.items() if re.match(pattern, start, re.DOTALL)), "")


def none_there(what, root, left_out, suffixes):
    """The DataError for a folder in which `survey` found none of `what`."""
    other = f"its files have other suffixes, {counted(left_out)}" if left_out else "it holds no files"
    return DataError(f"No {what} in {root}: {other}. kgan reads {', '.join(suffixes)}.")


def counted(left_out, limit=10):
    """What `survey` left out, by reason, in words: ".heic (3), hidden (1)"."""
    order = sorted(left_out, key=lambda reason: (-len(left_out[reason]), reason))
    more = f" and {sum(len(left_out[reason]) for reason in order[limit:])} others" if order[limit:] else ""
    return ", ".join(f"{printable(reason)} ({len(left_out[reason])})" for reason in order[:limit]) + more


def note(left_out, images=True):
    """A sentence about what `survey` left out and, where `images` are read, what to do about those among it; "" if that is nothing."""
    if not left_out:
        return ""
    unread = sorted({_UNREADABLE[reason] for reason in left_out if reason in _UNREADABLE}) if images else []
    advice = f"; kgan does not read {', '.join(unread)}: convert them to PNG or JPEG" if unread else ""
    return f"{sum(map(len, left_out.values()))} files are left out, by suffix: {counted(left_out)}{advice}."


def unidentified(file):
    """What is wrong with a file that Pillow does not know, in a few words."""
    name = content(file)
    return f"a {name} image, which kgan does not read: convert it to PNG or JPEG" if name and name not in FORMATS else \
        "not an image, or a broken one"


# === What readers of folders share ===

TOLERATED = 0.1  # part of the files that may be unreadable


# names of folders that are parts of a data set, or halves of pairs, and no classes
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "holdout", "unlabeled"}
SIDES = {"a", "b", "traina", "trainb", "testa", "testb", "vala", "valb", "input", "inputs", "target", "targets", "source",
         "image", "images", "imgs", "mask", "masks", "label", "labels", "annotations", "gt", "ground_truth"}


def contents(file):
    """The bytes of a file. Raises OSError: it is none, or a link to nothing."""
    if not os.path.isdir(file):  # opening that says what it is
        regular(file)
    with open(file, "rb") as opened:
        return opened.read()


def regular(file):
    """Raises OSError where a path is no regular file: opening a named pipe would wait for ever."""
    if not os.path.isfile(file):
        raise OSError("no regular file, or a link to nothing")


def half(path, split, suffixes):
    """The real path of a folder, or of its sub-folder `split` where it holds both `train` and `test`; and a sentence about what lies
    beside these two and is not read: folders, and files with one of `suffixes`.

    Raises:
        DataError: it has no such split.
    """
    root = os.path.realpath(expanded(str(path), "folder:"))
    there = {name: os.path.join(root, name) for name in ("train", "test") if os.path.isdir(os.path.join(root, name))}
    if len(there) == 2 and split in there:
        beside = sorted(printable(name) for name in {*os.listdir(root)} - {*there} if not name.startswith(".") and
                        (os.path.isdir(os.path.join(root, name)) or os.path.splitext(name)[1].lower() in suffixes))
        return there[split], f"Beside its sub-folders train and test lie {', '.join(beside[:5])}{' …' * (len(beside) > 5)}, which are " \
            "not read." if beside else ""
    if len(there) == 2 or split != "train":
        raise DataError(f"folder:{path} has no split {split!r}: put its files into the sub-folders train and test")
    return root, ""


def layout(path, classes, asked=False, pairs="", what="images"):
    """A sentence about sub-folders that are no classes, "" where they may be; DataError where they are `asked` for as classes.

    `pairs`: what to do where they are the sides of pairs, beside naming one.
    """
    lower = {name.lower() for name in classes}
    if lower and lower <= SPLITS:
        meant, advice = "parts of a data set", f"name the one to train on, as in folder:{os.path.join(path, classes[0])}"
    elif len(lower) > 1 and lower <= SIDES | SPLITS:
        meant, advice = "sides of pairs", f"name one of them, as in folder:{os.path.join(path, classes[0])}{pairs}"
    else:
        return ""
    if asked:
        raise DataError(f"folder:{path}: its sub-folders {', '.join(classes)} look like {meant} and not like classes: {advice}")
    return f"Its sub-folders {', '.join(classes)} look like {meant}, and all their {what} are read: {advice}."


def tolerate(skipped, count, root, what, fault="cannot be read"):
    """A list in words of what was `skipped`, a dict of name to reason. DataError: more of `count` than TOLERATED, or all."""
    listing = "; ".join(f"{name!r}: {reason}" for name, reason in list(skipped.items())[:10])
    listing += f"; and {len(skipped) - 10} more" if len(skipped) > 10 else ""
    if skipped and (len(skipped) == count or len(skipped) > TOLERATED * count):
        raise DataError(f"{len(skipped)} of {count} {what} in {root} {fault}, more than the {100 * TOLERATED:.0f} % that are "
                        f"tolerated ({listing}). Repair or remove them.")
    return listing


def labels(directory, tops, what, least=1):
    """Writes label.npy where all examples lie in sub-folders, `least` of them: ({} or {"label": names of classes}, a remark or "").

    `tops` [N]: the names of the first-level sub-folders, None of what lies in none.
    """
    if all(tops) and len({*tops}) >= least:
        return {"label": save_labels(directory, tops)}, ""
    return {}, f"Some {what} lie in sub-folders and some do not: no labels." if any(tops) and not all(tops) else ""


def save_labels(directory, tops):
    """Writes label.npy, int64 [N], of the names of the sub-folders `tops` [N]; returns the classes' names in their order."""
    tops = [text(top) for top in tops]
    classes = ordered(tops)
    number = {name: i for i, name in enumerate(classes)}
    np.save(directory / "label.npy", np.array([number[top] for top in tops], np.int64))
    return classes


# === Names ===

def text(name):
    """The name of a file as people and labels.csv have it: UTF-8 in any locale, composed (NFC); other bytes as \\xff."""
    try:
        name = os.fsencode(name).decode("utf-8")
    except UnicodeError:  # named in another encoding: by the locale's, as far as that goes
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return composed(name)


def composed(name):
    """Text with letters and accents in one character each: macOS stores names of files apart, what is typed is not."""
    return unicodedata.normalize("NFC", name)


def printable(name):
    """A name with what cannot be written as UTF-8 escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def number(name):
    """The number that a text is, written plainly (12, -1.5, 1e-3), or None."""
    return float(name) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", name) else None


def ordered(names):
    """Names of classes in their order: by number if all are numbers, 9 before 10, else as text."""
    names = sorted({*names})
    if None in (numbers := {name: number(name) for name in names}).values():
        return names
    return sorted(names, key=lambda name: (numbers[name], name))
