r"""Folders of image files: `--dataset=folder:PATH`. Pillow decodes; this file finds, fits, skips and keeps count.

Attributes of the images, such as age, stand in one of two files in the folder itself:

    labels.csv     image,age,gender             the first row names the columns; the first column is the path of an image
                   faces/1.jpg,34,female        within the folder; commas between cells, UTF-8
    names.regex    (?P<age>\d+)_(?P<gender>\d)_(?P<race>\d)_
                   a regular expression of Python, matched with the beginning of each file's name: its named groups are
                   the columns. This one reads UTKFace's names
"""
import collections
import concurrent.futures
import csv
import functools
import hashlib
import io
import json
import math
import os
import re
import shutil
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from kgan import sizes
from kgan.data.cache import cached
from kgan.data.source import DataError, Source

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp")
# what the content is decides, not the suffix; but nothing beyond these, since Pillow hands EPS, say, to Ghostscript
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
TOLERATED = 0.1  # part of the files that may be undecodable
ATTRIBUTES = ("labels.csv", "names.regex")
MISSING = ("", "nan")  # cells that say nothing, in any case of letters


def source(path, image_size=None, channels=None, crop=True, attributes=True):
    """The images below a folder, at any depth, in the order of their relative paths.

    Labels are the first-level sub-folders, if every image lies in one. labels.csv or names.regex gives more fields, a
    column each: float32 where all cells are numbers, else classes, in the order of their names. A column `label` is in
    the place of the sub-folders, and classes though its cells be whole numbers. Images without a row, or with an empty
    cell in it, are left out and counted in the note. Transparent pixels become white, EXIF rotation
    is applied, animations give their first frame. Hidden files and folders are left out. A file that cannot be decoded
    is left out too and named in the note; the notes of the cache (`notes.json`) name them all.

    Args:
        path: the folder.
        image_size: pixels of the result, a number for squares or (height, width); None: 64.
        channels: 1 or 3; None: 1 if every image is grey, else 3.
        crop: True: cut out the largest centre that has image_size's proportions, and scale it; False (`--nocrop`): scale
            both sides to image_size, which changes the proportions of images that have others.

    Returns:
        Source with `image` uint8 [N, height, width, channels], perhaps `label` int64 [N], and a field [N] for
        each column, float32 or, of classes, int64.

    Raises:
        DataError: no such folder, no images in it, more than a tenth of them undecodable, a broken file of attributes,
            or no room on the disk.
    """
    image_size = sizes.setting(image_size or 64)
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    root = os.path.realpath(os.path.expanduser(path))
    files = find(root)
    if not files:
        raise DataError(f"No images in {root}: {_suffixes(root)}. kgan reads {', '.join(SUFFIXES)}.")
    listing = hashlib.sha256(json.dumps([root, files]).encode()).hexdigest()
    key = dict(kind="folder", version=1, files=listing, image_size=image_size, channels=channels, crop=bool(crop))
    attributes = _attributes(root) if attributes else None
    if attributes:
        key["attributes"] = [attributes[0], hashlib.sha256(attributes[1]).hexdigest()]
    write = functools.partial(_write, root, [name for name, *_ in files], attributes, image_size, channels, crop)
    arrays, notes = cached(f"folder-{os.path.basename(root)}", key, write)
    return Source(f"folder:{path}", arrays, notes["classes"], notes["note"])


def find(root):
    """Image files below `root`: sorted list of [relative path with /, size in bytes, modification time in ns]."""
    found = []
    for folder, names in _walk(root):
        for name in names:
            if not name.lower().endswith(SUFFIXES):
                continue
            file = os.path.join(folder, name)
            try:
                status = os.stat(file)
                found.append([os.path.relpath(file, root).replace(os.sep, "/"), status.st_size, status.st_mtime_ns])
            except OSError:  # a link to nothing, say: decoding it will give the reason
                found.append([os.path.relpath(file, root).replace(os.sep, "/"), 0, 0])
    return sorted(found)


def _walk(root):
    """(folder, file names) for `root` and what is below, links followed, each folder once and nothing hidden."""
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
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, [name for name in names if not name.startswith(".")]


def _suffixes(root):
    """What lies below `root` instead of images, in words."""
    counts = collections.Counter(os.path.splitext(name)[1].lower() or "no suffix"
                                 for _, names in _walk(root) for name in names)
    if not counts:
        return "it holds no files"
    found = ", ".join(f"{suffix} ({count})" for suffix, count in counts.most_common(10))
    return f"its files have other suffixes, {found}"


# === Attributes ===

def _attributes(root):
    """The file of attributes in `root`, as (its name, its bytes), or None."""
    there = [name for name in ATTRIBUTES if os.path.lexists(os.path.join(root, name))]
    if not there:
        return None
    if len(there) > 1:
        raise DataError(f"{root} holds both {' and '.join(there)}: which of them is to say what the images are? Take the "
                        "other away.")
    file = os.path.join(root, *there)
    try:
        with open(file, "rb") as opened:
            return there[0], opened.read()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None


def _described(root, names, attributes):
    """What the file of attributes says: ({name of an image: [text]}, [name of a column], note)."""
    file = os.path.join(root, attributes[0])
    try:
        text = attributes[1].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = attributes[1].count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: this is no UTF-8. Save the file as UTF-8.") from None
    rows, columns = (_rows if attributes[0] == "labels.csv" else _matches)(file, text, names)
    _check_columns(file, columns)

    known = {*names}
    strangers = [name for name in rows if name not in known]
    silent = [name for name in names if name not in rows]
    gaps = [name for name in names if name in rows and any(cell.strip().lower() in MISSING for cell in rows[name])]
    empty = {*gaps}
    rows = {name: [cell.strip() for cell in rows[name]] for name in names if name in rows and name not in empty}
    note = ""
    for found, words in ((silent, f"images of which {attributes[0]} says nothing are left out"),
                         (gaps, f"images with an empty cell in {attributes[0]} are left out"),
                         (strangers, f"rows of {attributes[0]} are of no image in the folder")):
        if found:
            note += f"{len(found)} {words} ({_some(found, 3)}). "
    if not rows:
        raise DataError(f"{file} describes none of the {len(names)} images in the folder. {note}" + (
            "Its first column must be their paths within the folder." if attributes[0] == "labels.csv" else
            "The expression must match the beginning of their names."))
    return rows, columns, note


def _rows(file, text, names):
    """labels.csv as ({path: [cell]}, [name of a column])."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, columns = {}, None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns = [cell.strip() for cell in row]
                if len(columns) < 2:
                    raise DataError(f"{file}, line {reader.line_num}: one column only. Write the path of the image first, "
                                    "then its attributes, with commas between.")
                if columns[0] in {*names}:
                    raise DataError(f"{file}, line {reader.line_num}: this is a row, of {columns[0]!r}. The first row must "
                                    "name the columns, as in image,age,gender.")
                continue
            if len(row) != len(columns):
                raise DataError(f"{file}, line {reader.line_num}: {len(row)} cells where the first row has {len(columns)}. "
                                "Write one for each column, \"in quotes\" where there is a comma in it.")
            path = row[0].strip().replace("\\", "/").removeprefix("./")
            if path in rows:
                raise DataError(f"{file}, line {reader.line_num}: a second row of {path!r}. Leave one of them.")
            rows[path] = row[1:]
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}. Cells with quotes in them are written "
                        "\"like \"\"this\"\"\".") from None
    if columns is None:
        raise DataError(f"{file} is empty. Its first row must name the columns, as in image,age,gender.")
    return rows, columns[1:]


def _matches(file, text, names):
    """names.regex, applied: ({path: [text of a group]}, [name of a group])."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise DataError(f"{file}: {len(lines)} lines; one regular expression is wanted, in one line.")
    try:
        pattern = re.compile(lines[0].strip())
    except re.error as error:
        raise DataError(f"{file}, line 1: no regular expression: {error}.") from None
    columns = list(pattern.groupindex)
    if not columns:
        raise DataError(f"{file}, line 1: no group has a name. Write (?P<age>\\d+) for a number that is to be called age.")
    found = {name: pattern.match(name.rpartition("/")[2]) for name in names}
    return {name: [match[column] or "" for column in columns] for name, match in found.items() if match}, columns


def _check_columns(file, columns):
    for i, column in enumerate(columns):
        if not re.fullmatch(r"\w[\w.-]*", column) or column in ("image", "sample", "notes", "whole"):
            raise DataError(f"{file}: a column cannot be called {column!r}. Its name is made of letters, digits and _, and is "
                            "not image, sample, notes or whole.")
        if column in columns[:i]:
            raise DataError(f"{file}: two columns are called {column}. Rename one.")


def _fields(root, attributes, columns, rows):
    """Columns as arrays: ({name: float32 or int64 [n]}, {name: names of classes}), of `rows` [n] of texts."""
    arrays, classes = {}, {}
    for column, cells in zip(columns, zip(*rows)):
        numbers = [_number(cell) for cell in cells]
        wrong = [cell for cell, number in zip(cells, numbers) if number is None]
        whole = not wrong and all(number == int(number) for number in numbers)
        if not wrong and (column != "label" or not whole):
            if column == "label":
                raise DataError(f"{os.path.join(root, attributes[0])}: label is for classes, names or whole numbers. Give this "
                                "column another name.")
            arrays[column] = np.array(numbers, np.float32)
            continue
        if column != "label" and len(wrong) < 0.5 * len(cells):
            raise DataError(f"{os.path.join(root, attributes[0])}: in the column {column}, {len(wrong)} of {len(cells)} cells "
                            f"are no numbers ({_some(wrong, 3)}). Leave a cell empty where nothing is known: its image is "
                            "then left out.")
        # 9 before 10
        classes[column] = sorted({*cells}, key=lambda cell: (float(cell), cell) if whole else cell)
        number = {name: i for i, name in enumerate(classes[column])}
        arrays[column] = np.array([number[cell] for cell in cells], np.int64)
    return arrays, classes


def _number(text):
    """The finite number in a text, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _some(names, count):
    """The first of some names, in words."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(repr(name) for name in names[:count]) + more


# === Preparing ===

def _write(root, names, attributes, image_size, channels, crop, directory):
    """Decodes the files into `image.npy`, and writes their labels and attributes; see `cached`."""
    note, columns = "", []
    if attributes:
        rows, columns, note = _described(root, names, attributes)
        names = [name for name in names if name in rows]
        _fields(root, attributes, columns, [*rows.values()])  # mistakes show now, and not after an hour of decoding
    whole = directory / "whole.npy"
    # whether all images are grey shows only in the end: decode to colour until then
    images = allocate(whole, (len(names), *sizes.pair(image_size), channels or 3))
    greys = np.zeros(len(names), bool)
    skipped = {}
    step = 32  # files a task: 100,000 tasks of one file each would cost memory and time of their own

    def work(start):
        for index in range(start, min(start + step, len(names))):
            try:
                images[index], greys[index] = decode(os.path.join(root, names[index]), image_size, channels or 3, crop)
            except Exception as error:  # Pillow raises nearly anything on broken files
                skipped[names[index]] = reason(error)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, \
            tqdm(total=len(names), desc="decoding", unit="file", mininterval=1,
                 disable=len(names) <= 1000) as progress:
        for _ in pool.map(work, range(0, len(names), step)):
            progress.update(min(step, len(names) - progress.n))

    skipped = dict(sorted(skipped.items()))
    if skipped:
        listing = "; ".join(f"{name!r}: {reason}" for name, reason in list(skipped.items())[:10])
        more = f"; and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        count = f"{len(skipped)} of {len(names)} image files in {root} cannot be decoded"
        if len(skipped) == len(names) or len(skipped) > TOLERATED * len(names):
            raise DataError(f"{count}, more than the {TOLERATED:.0%} that are tolerated ({listing}{more}). "
                            "Repair or remove them.")
        note += f"{count} and are left out ({listing}{more}). "

    good = np.array([index for index, name in enumerate(names) if name not in skipped])
    channels = channels or (1 if greys[good].all() else 3)
    if skipped or channels != images.shape[-1]:
        kept = allocate(directory / "image.npy", (len(good), *images.shape[1:3], channels))
        for start in range(0, len(good), 1024):
            kept[start:start + 1024] = images[good[start:start + 1024], :, :, :channels]
        del images
        whole.unlink()
    else:
        del images
        whole.rename(directory / "image.npy")

    tops = [PurePosixPath(names[index]).parts[:-1][:1] for index in good]
    classes = {}
    if columns:
        arrays, classes = _fields(root, attributes, columns, [rows[names[index]] for index in good])
        for column, array in arrays.items():
            np.save(directory / f"{column}.npy", array)
    if "label" in columns:
        pass
    elif all(tops):
        classes["label"] = sorted({top for top, in tops})
        number = {name: index for index, name in enumerate(classes["label"])}
        np.save(directory / "label.npy", np.array([number[top] for top, in tops], np.int64))
    elif any(tops):
        note += "Some images lie in sub-folders and some do not: no labels. "
    return dict(note=note.strip(), skipped=skipped, classes=classes)


def reason(error):
    """What was wrong with a file, in a few words."""
    if isinstance(error, UnidentifiedImageError):  # its message is the full path
        return "not an image, or a broken one"
    return " ".join(str(error).split()) or type(error).__name__


def allocate(file, shape):
    """A new uint8 .npy file of `shape`, memory-mapped for writing; DataError if the disk has no room for it."""
    needed, free = int(np.prod(shape, dtype=np.int64)), shutil.disk_usage(file.parent).free
    if needed > free:  # a full disk under a memory map kills the process without a word
        raise DataError(f"Preparing the images takes {needed / 1e9:.1f} GB in {file.parent}, where {free / 1e9:.1f} GB "
                        "are free. Make room, set KGAN_CACHE to a folder on another disk, or ask for smaller images.")
    return np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)


def decode(file, image_size, channels, crop):
    """Reads an image file: (uint8 [height, width, channels], whether it was grey). Raises what Pillow does."""
    image = opened(file, draft=2 * max(sizes.pair(image_size)))
    return pixels(image, image_size, channels, crop), image.mode == "L"


def opened(file, draft=None):
    """An image file as a Pillow image, "L" or "RGB", upright. Raises what Pillow does.

    `draft`: least side that is asked for: a big JPEG is decoded at a fraction that is not smaller; None: as it is.
    """
    if not os.path.isfile(file):  # opening a named pipe would wait for ever
        raise OSError("no regular file, or a link to nothing")
    with Image.open(file, formats=FORMATS) as image:
        if draft:  # on whichever side it lies
            image.draft(None, (draft, draft))
        ImageOps.exif_transpose(image, in_place=True)
        return flatten(image)


def flatten(image):
    """Any Pillow image as "L" if it is grey, else as "RGB"; transparency on white, 16 bits scaled to 8."""
    if image.mode.startswith("I"):  # convert("L") would clip these to 255
        return Image.fromarray(np.uint8(np.clip(np.rint(np.asarray(image) / 257), 0, 255)))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def pixels(image, image_size, channels, crop):
    """An "L" or "RGB" image brought to size: uint8 [height, width, channels]; image_size and crop as in `source`."""
    height, width = sizes.pair(image_size)
    if image.size != (width, height):
        whole, tall = image.size
        across, down = min(whole, tall * width / height), min(tall, whole * height / width)
        left, top = (whole - across) / 2, (tall - down) / 2
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3,
                             box=(left, top, left + across, top + down) if crop else None)
    return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(height, width, channels)
