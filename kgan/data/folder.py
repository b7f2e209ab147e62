"""Folders of image files: `--dataset=folder:PATH`. Pillow decodes; this file fits, skips and keeps count.

kgan.data.files finds them, kgan.data.attributes reads what labels.csv or names.regex say about them.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import shutil
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from kgan import sizes
from kgan.config import nearest
from kgan.data import files
from kgan.data.attributes import FILES as ATTRIBUTES, Table, read
from kgan.data.cache import cached, expanded, room
from kgan.data.files import FORMATS, SUFFIXES, find  # noqa: F401, for who reads folders
from kgan.data.measures import MEASURES
from kgan.data.source import DataError, Source
from kgan.kinds.image import flatten

SHARE = 0.5  # of the disk's free part that a prepared copy may take before images are decoded as they are read


def source(path, image_size=None, channels=None, crop=True, attributes=True, cache="auto"):
    """The images below a folder, at any depth, in the order of their relative paths.

    Labels are the first-level sub-folders, if every image lies in one. labels.csv or names.regex gives more fields, a
    column each: float32 where all cells are numbers, else classes. A column `label` is in the place of the sub-folders, and
    classes though its cells be whole numbers. Classes are in the order of their names, by number where all are numbers.
    Images without a row, or with an empty cell in a column that is read, are left out and counted in the note. Transparent
    pixels become white, EXIF rotation is applied, animations and TIFFs of several pages give their first. Files that are
    hidden or no image by their suffix (of those without one: by their content) are left out and counted. A file that cannot
    be decoded is left out too and named in the note; the notes of the cache (`notes.json`) name them all.

    Args:
        path: the folder.
        image_size: pixels of the result, a number for squares or (height, width); None: 64.
        channels: 1 or 3; None: 1 if every image is grey, else 3.
        crop: True: cut out the largest centre that has image_size's proportions, and scale it; False (`--nocrop`): scale
            both sides to image_size, which changes the proportions of images that have others.
        attributes: columns of labels.csv or names.regex: True: all; a name, or several joined by +: these, and `label` where no image lacks it;
            False: none.
        cache: "disk": a decoded copy of all images is prepared, once; "none": files are decoded each time that they are read,
            after one look through all of them; "auto": "none" where the copy is not there yet and would take more than SHARE
            of what is free on its disk, which the note says. The examples are the same, bit for bit, in the same order.

    Returns:
        Source with `image` uint8 [N, height, width, channels], perhaps `label` int64 [N], and a field [N] for
        each column, float32 or, of classes, int64.

    Raises:
        DataError: no such folder, no images in it, more than a tenth of them undecodable, a broken file of attributes,
            no room on the disk, or labels asked for of sub-folders that are parts of a data set and no classes.
    """
    image_size = sizes.setting(image_size or 64)
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    root = os.path.realpath(expanded(str(path), "folder:"))
    found, left_out = files.survey(root)
    said = read(root) if attributes else None
    left_out = _without(left_out, ATTRIBUTES)  # files of their own, read or not
    if not found:
        raise files.none_there("images", root, left_out, SUFFIXES)
    listing = hashlib.sha256(json.dumps([root, found]).encode()).hexdigest()
    names = [name for name, *_ in found]
    key = dict(kind="folder", version=_version(names), files=listing, image_size=image_size, channels=channels,
               crop=bool(crop))
    table = Table(root, names, *said) if said else None
    wanted, note = _columns(table, attributes) if table else ([], "")
    if wanted:
        key.update(version=3, attributes=[said[0], hashlib.sha256(said[1]).hexdigest()], columns=wanted)
    # mistakes show now, and not after an hour of decoding
    tops = files.ordered(files.text(name.partition("/")[0]) for name in names) if all("/" in name for name in names) else []
    asked = isinstance(attributes, str) and "label" in attributes.split("+")
    layout = "" if "label" in wanted else files.layout(path, tops, asked, ", or take --model=pix2pix")
    if table and isinstance(attributes, str):
        _check(f"folder:{path}", table, wanted, attributes, {*MEASURES} | ({"label"} if tops else set()))
    title = f"folder-{os.path.basename(root)}"
    note += (why := _too_large(title, key, len(names)) if cache == "auto" else "")
    write = functools.partial(_write, root, names, table, wanted, image_size, channels, crop)
    if cache == "none" or why:
        arrays, notes = cached(f"index-{title}", {**key, "index": 1}, functools.partial(write, keep=False))
        paths = [os.path.join(root, names[row]) for row in arrays.pop("kept")]
        arrays["image"] = Decoded(paths, image_size, notes["channels"], crop, notes["checksum"])
    else:
        arrays, notes = cached(title, key, write)
    return Source(f"folder:{path}", arrays, notes["classes"],
                  " ".join(filter(None, (notes["note"], files.note(left_out), note.strip(), layout))))


def _too_large(title, key, count):
    """A sentence, where a prepared copy is not there and would take more than SHARE of the free disk; else ""."""
    try:
        free = room(title, key)
    except OSError:  # `cached` finds another place, or says that there is none
        return ""
    needed = int(count) * int(np.prod(sizes.pair(key["image_size"]), dtype=np.int64)) * (key["channels"] or 3)
    if free is None or needed <= SHARE * free:
        return ""
    return (f"A prepared copy would take {needed / 1e9:.3g} GB, more than {100 * SHARE:.0f} % of the {free / 1e9:.3g} GB that are free for it: images "
            "are decoded as they are read; --cache=disk prepares it all the same. ")


def _check(name, table, wanted, asked, others):
    """Raises DataError where what is asked for is no column, none of the `others`, or its classes are none."""
    for part in asked.split("+"):
        if part not in (*wanted, *others):
            raise DataError(f"condition={asked}: {table.file} has no such column{nearest(part, table.columns)}; it has "
                            f"{', '.join(table.columns)}")
    if asked in wanted:
        rows, _ = table.described([asked])
        arrays, classes = table.fields([asked], [*rows.values()])
        if asked in classes:
            Source(name, {"image": np.zeros((len(rows), 1, 1, 1), np.uint8), **arrays}, classes).by(asked, 2)


def _without(left_out, names):
    return {reason: rest for reason, some in left_out.items() if (rest := [name for name in some if name not in names])}


def _version(names):
    """Of what is prepared of a folder: 2 where its classes were in another order, or of other names, before."""
    tops = {name.partition("/")[0] for name in names if "/" in name}
    return 1 if files.ordered(map(files.text, tops)) == sorted(tops) else 2


def _columns(table, wanted):
    """The columns of a Table that are read where `wanted` is asked for, as for `source`, and a note about those that are not."""
    if wanted is True:
        return table.columns, ""
    named = [part for part in wanted.split("+") if part in table.columns]
    if not named or "label" in named or "label" not in table.columns:
        return named, ""
    try:  # classes beside what is asked for are of use to measures; they do not decide which images there are
        some, _ = table.described(named)
        rows, _ = table.described([*named, "label"])
        table.fields(["label"], [row[-1:] for row in rows.values()])
        if len(some) == len(rows):
            return [*named, "label"], ""
        return named, f"label of {table.name} is not read: {len(some) - len(rows)} images lack it. "
    except DataError as error:
        return named, f"label of {table.name} is not read: {error} "


# === Preparing ===

def _write(root, names, table, columns, image_size, channels, crop, directory, keep=True):
    """Decodes the files into `image.npy`, and writes their labels and attributes; see `cached`.

    `keep`: False keeps none of the images: kept.npy has the numbers of those that can be decoded; the notes have how many channels
    they have, and the checksum that image.npy would have.
    """
    note, place = "", {name: number for number, name in enumerate(names)}
    if columns:
        rows, note = table.described(columns)
        names = [name for name in names if name in rows]
        table.fields(columns, [*rows.values()])  # mistakes show now
    whole = directory / "whole.npy"
    # whether all images are grey shows only in the end: decode to colour until then
    images = allocate(whole, (len(names), *sizes.pair(image_size), channels or 3)) if keep else None
    greys = np.zeros(len(names), bool)
    skipped = {}
    step = 32  # files a task: 100,000 tasks of one file each would cost memory and time of their own

    def work(start):
        looked_at = []
        for index in range(start, min(start + step, len(names))):
            try:
                image, greys[index] = decode(os.path.join(root, names[index]), image_size, channels or 3, crop)
            except Exception as error:  # Pillow raises nearly anything on broken files
                skipped[names[index]] = reason(error)
                continue
            if keep:
                images[index] = image
            else:
                looked_at.append(image)
        return looked_at

    crc, grey_crc = 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, \
            tqdm(total=len(names), desc="decoding" if keep else "looking through", unit="file", mininterval=1,
                 disable=len(names) <= 1000) as progress:
        for looked_at in pool.map(work, range(0, len(names), step)):
            for image in looked_at:
                crc = zlib.crc32(image, crc)
                grey_crc = zlib.crc32(np.ascontiguousarray(image[..., :1]), grey_crc)
            progress.update(min(step, len(names) - progress.n))

    skipped = dict(sorted(skipped.items()))
    if listing := files.tolerate(skipped, len(names), root, "image files", "cannot be decoded"):
        note += f"{len(skipped)} of {len(names)} image files in {root} cannot be decoded and are left out ({listing}). "

    good = np.array([index for index, name in enumerate(names) if name not in skipped])
    asked, channels = channels or 3, channels or (1 if greys[good].all() else 3)
    if not keep:
        np.save(directory / "kept.npy", np.array([place[names[index]] for index in good]))
    elif skipped or channels != images.shape[-1]:
        kept = allocate(directory / "image.npy", (len(good), *images.shape[1:3], channels))
        for start in range(0, len(good), 1024):
            kept[start:start + 1024] = images[good[start:start + 1024], :, :, :channels]
        del images
        whole.unlink()
    else:
        del images
        whole.rename(directory / "image.npy")

    tops = [names[index].partition("/")[0] if "/" in names[index] else None for index in good]
    classes = {}
    if columns:
        arrays, classes = table.fields(columns, [rows[names[index]] for index in good])
        for column, array in arrays.items():
            np.save(directory / f"{column}.npy", array)
    if "label" not in columns:
        found, remark = files.labels(directory, tops, "images")
        classes, note = {**classes, **found}, note + remark
    checked = {} if keep else dict(channels=channels, checksum=crc if channels == asked else grey_crc)
    return dict(note=note.strip(), skipped=skipped, classes=classes, **checked)


class Decoded:
    """Image files as an array uint8 [N, height, width, channels] for reading: they are decoded each time that they are read.

    Args:
        paths: of N files.
        image_size, channels, crop: as for `source`, none of them None.
        checksum: CRC-32 of them all.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, paths, image_size, channels, crop, checksum):
        self.paths, self.checksum = paths, checksum
        self.shape = len(paths), *sizes.pair(image_size), channels
        self._decode = functools.partial(decode, image_size=image_size, channels=channels, crop=crop)

    def __len__(self):
        return len(self.paths)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getitem__(self, rows):
        rows, *within = rows if isinstance(rows, tuple) else (rows,)
        chosen = np.arange(len(self))[rows]
        found = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        for place, image in enumerate(self._pool.map(self._one, chosen.ravel())):
            found[place] = image
        return found.reshape(*chosen.shape, *self.shape[1:])[(*[slice(None)] * chosen.ndim, *within)]

    @functools.cached_property
    def _pool(self):
        return concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    def _one(self, row):
        try:
            return self._decode(self.paths[row])[0]
        except Exception as error:  # Pillow raises nearly anything
            raise DataError(f"{self.paths[row]}: could be read when the data were looked through, and cannot be any more "
                            f"({reason(error)}): put it back, and the run goes on from its newest checkpoint") from error


def reason(error):
    """What was wrong with a file, in a few words."""
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


def opened(file, draft=None, flat=True):
    """An image file as a Pillow image, "L" or "RGB", upright. Raises what Pillow does.

    `draft`: least side that is asked for: a big JPEG is decoded at a fraction that is not smaller; None: as it is.
    `flat`: False leaves its mode as it is, transparency and 16 bits too.
    """
    files.regular(file)
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:  # its message is the full path
        raise OSError(files.unidentified(file)) from None
    with image:
        if draft:  # on whichever side it lies
            image.draft(None, (draft, draft))
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        return flatten(image) if flat else image


def pixels(image, image_size, channels, crop, nearest=False):
    """An "L" or "RGB" image brought to size: uint8 [height, width, channels]; image_size and crop as in `source`.

    `nearest`: whether each pixel is one of the image's, as of label maps, and no mixture.
    """
    height, width = sizes.pair(image_size)
    if image.size != (width, height):
        whole, tall = image.size
        across, down = min(whole, tall * width / height), min(tall, whole * height / width)
        left, top = (whole - across) / 2, (tall - down) / 2
        how = dict(resample=Image.Resampling.NEAREST) if nearest else dict(resample=Image.Resampling.LANCZOS, reducing_gap=3)
        image = image.resize((width, height), box=(left, top, left + across, top + down) if crop else None, **how)
    return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(height, width, channels)
