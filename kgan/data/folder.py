"""Folders of image files: `--dataset=folder:PATH`. Pillow decodes; this file finds, fits, skips and keeps count."""
import collections
import concurrent.futures
import functools
import hashlib
import json
import os
import shutil
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from kgan.data.cache import cached
from kgan.data.source import DataError, Source

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp")
# what the content is decides, not the suffix; but nothing beyond these, since Pillow hands EPS, say, to Ghostscript
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
TOLERATED = 0.1  # part of the files that may be undecodable


def source(path, image_size=None, channels=None, crop=True):
    """The images below a folder, at any depth, in the order of their relative paths.

    Labels are the first-level sub-folders, if every image lies in one. Transparent pixels become white, EXIF rotation
    is applied, animations give their first frame. Hidden files and folders are left out. A file that cannot be decoded
    is left out too and named in the note; the notes of the cache (`notes.json`) name them all.

    Args:
        path: the folder.
        image_size: height and width of the result; None: 64.
        channels: 1 or 3; None: 1 if every image is grey, else 3.
        crop: True: scale the short side to image_size and cut out the centre; False (`--nocrop`): scale both sides to
            image_size, which changes the proportions of images that are not square.

    Returns:
        Source with `image` uint8 [N, image_size, image_size, channels] and perhaps `label` int64 [N].

    Raises:
        DataError: no such folder, no images in it, more than a tenth of them undecodable, or no room on the disk.
    """
    image_size = image_size or 64
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    root = os.path.realpath(os.path.expanduser(path))
    files = find(root)
    if not files:
        raise DataError(f"No images in {root}: {_suffixes(root)}. kgan reads {', '.join(SUFFIXES)}.")
    listing = hashlib.sha256(json.dumps([root, files]).encode()).hexdigest()
    key = dict(kind="folder", version=1, files=listing, image_size=image_size, channels=channels, crop=bool(crop))
    arrays, notes = cached(f"folder-{os.path.basename(root)}", key,
                           functools.partial(_write, root, [name for name, *_ in files], image_size, channels, crop))
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


def _write(root, names, image_size, channels, crop, directory):
    """Decodes the files into `image.npy` and `label.npy`; see `cached`."""
    whole = directory / "whole.npy"
    # whether all images are grey shows only in the end: decode to colour until then
    images = allocate(whole, (len(names), image_size, image_size, channels or 3))
    greys = np.zeros(len(names), bool)
    skipped = {}
    step = 32  # files a task: 100,000 tasks of one file each would cost memory and time of their own

    def work(start):
        for index in range(start, min(start + step, len(names))):
            try:
                images[index], greys[index] = decode(os.path.join(root, names[index]), image_size, channels or 3, crop)
            except Exception as error:  # Pillow raises nearly anything on broken files
                skipped[names[index]] = _reason(error)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, \
            tqdm(total=len(names), desc="decoding", unit="file", mininterval=1,
                 disable=len(names) <= 1000) as progress:
        for _ in pool.map(work, range(0, len(names), step)):
            progress.update(min(step, len(names) - progress.n))

    skipped = dict(sorted(skipped.items()))
    note = ""
    if skipped:
        listing = "; ".join(f"{name!r}: {reason}" for name, reason in list(skipped.items())[:10])
        more = f"; and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        count = f"{len(skipped)} of {len(names)} image files in {root} cannot be decoded"
        if len(skipped) == len(names) or len(skipped) > TOLERATED * len(names):
            raise DataError(f"{count}, more than the {TOLERATED:.0%} that are tolerated ({listing}{more}). "
                            "Repair or remove them.")
        note = f"{count} and are left out ({listing}{more}). "

    good = np.array([index for index, name in enumerate(names) if name not in skipped])
    channels = channels or (1 if greys[good].all() else 3)
    if skipped or channels != images.shape[-1]:
        kept = allocate(directory / "image.npy", (len(good), image_size, image_size, channels))
        for start in range(0, len(good), 1024):
            kept[start:start + 1024] = images[good[start:start + 1024], :, :, :channels]
        del images
        whole.unlink()
    else:
        del images
        whole.rename(directory / "image.npy")

    tops = [PurePosixPath(names[index]).parts[:-1][:1] for index in good]
    classes = {}
    if all(tops):
        classes["label"] = sorted({top for top, in tops})
        number = {name: index for index, name in enumerate(classes["label"])}
        np.save(directory / "label.npy", np.array([number[top] for top, in tops], np.int64))
    elif any(tops):
        note += "Some images lie in sub-folders and some do not: no labels. "
    return dict(note=note.strip(), skipped=skipped, classes=classes)


def _reason(error):
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
    """Reads an image file: (uint8 [image_size, image_size, channels], whether it was grey). Raises what Pillow does."""
    if not os.path.isfile(file):  # opening a named pipe would wait for ever
        raise OSError("no regular file, or a link to nothing")
    with Image.open(file, formats=FORMATS) as image:
        image.draft(None, (2 * image_size, 2 * image_size))  # big JPEG: decode at a fraction, still twice too large
        ImageOps.exif_transpose(image, in_place=True)
        image = flatten(image)
    return pixels(image, image_size, channels, crop), image.mode == "L"


def flatten(image):
    """Any Pillow image as "L" if it is grey, else as "RGB"; transparency on white, 16 bits scaled to 8."""
    if image.mode.startswith("I"):  # convert("L") would clip these to 255
        return Image.fromarray(np.uint8(np.clip(np.rint(np.asarray(image) / 257), 0, 255)))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def pixels(image, image_size, channels, crop):
    """An "L" or "RGB" image brought to size: uint8 [image_size, image_size, channels]; crop as in `source`."""
    if image.size != (image_size, image_size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        image = image.resize((image_size, image_size), Image.Resampling.LANCZOS, reducing_gap=3,
                             box=(left, top, left + side, top + side) if crop else None)
    return np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(image_size, image_size, channels)
