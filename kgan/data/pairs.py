"""Folders of pairs of images, for models that make one of the other: `--model=pix2pix --dataset=folder:PATH`.

Three layouts are understood. In each, `train`, `test` and `val` are splits; where there are none, all is for training.

    train/1.jpg test/9.jpg …            side by side: the left half of each image is A, the right half B
    A/train/1.jpg B/train/1.png …       two folders, A and B or input and target, matched by path and name, whatever the
    train/input/1.jpg train/target/…    suffix; the splits within them, or they within the splits, or no splits
    trainA/1.jpg trainB/1.jpg testA/…   the same in one name. These may also be without partners: `unpaired`

A is what is given (`input`), B what is made (`image`). Both of a pair have the same size, and are cut and scaled alike.
What has no partner, another size than it, or cannot be read is named.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from kgan import sizes
from kgan.data import files, folder
from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source

SPLITS = "train", "test", "val"
KINDS = {"input": "image", "image": "image"}
NAMES = ("A", "B"), ("input", "target")  # of folders: what is given, what is made
LAYOUTS = ("images side by side in each file (at least twice as wide as high), folders A and B or input and target "
           "with files of the same names, or folders trainA and trainB")


def source(path, image_size=None, channels=None, crop=True, split="train", unpaired=False, labels=None):
    """The pairs in a folder, in the order of their names.

    Args:
        path: the folder.
        image_size, crop: as for `kgan.data.folder.source`.
        channels: 1 or 3, of both; None: of each its own, 1 if all its images are grey.
        split: one of SPLITS.
        unpaired: whether A and B of trainA and trainB are two sets of any lengths, whose files have nothing to do with each
            other.
        labels: the field that holds label maps, of which each pixel is one of the file's when they are scaled and no mixture.

    Returns:
        Source of `input` and `image`, uint8 [N, height, width, channels]. `unpaired`: with lengths of their own.
        Its note says how many files were left out, and names the first of them.

    Raises:
        DataError: no such folder, layout or split; more than a tenth of the pairs without a partner, of different sizes or
            unreadable; two files that would be the same half of a pair.
    """
    image_size = sizes.setting(image_size or 64)
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    root = Path(os.path.realpath(expanded(str(path), "folder:")))
    sides = find(root, split)
    surveys = {field: files.survey(side) for field, side in sides.items()}
    listing = {field: found for field, (found, _) in surveys.items()}
    left_out = " ".join(f"{sides[field].name}: {words}" for field, (_, rest) in surveys.items() if (words := files.note(rest)))
    for field, found in listing.items():
        if not found:
            raise DataError(f"{sides[field]} holds no images{_but(surveys[field][1])}; kgan reads "
                            f"{', '.join(folder.SUFFIXES)}")
    prepare = functools.partial(_prepared, root, image_size=image_size, channels=channels, crop=crop, labels=labels)
    if unpaired:
        if len(sides) < 2:
            raise DataError(f"{root}: images without partners lie in folders trainA and trainB, or A and B")
        notes, arrays = [], {}
        for field, side in sides.items():
            one, notes_of_one = prepare({field: side}, {field: listing[field]}, whole=True)
            arrays[field] = one[field]
            notes.append(notes_of_one["note"])
        return Source(f"folder:{path}", arrays, note=" ".join(filter(None, [*notes, left_out])), kinds=KINDS, groups={"input": "input"})
    arrays, notes = prepare(sides, listing)
    return Source(f"folder:{path}", arrays, note=" ".join(filter(None, (notes["note"], left_out))), kinds=KINDS)


def _but(left_out):
    return f", but {files.counted(left_out)}" if left_out else ""


def find(root, split="train"):
    """Where the two halves of a split's pairs lie, by their layout: dict of `input` and `image` to folders.

    One folder, under `pair`: they lie side by side in its files.

    Raises:
        DataError: there is no layout of pairs here, or not this split.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"folder:{root}: there is no such folder")
    if split not in SPLITS:
        raise DataError(f"folder:{root}: pairs have the splits {', '.join(SPLITS)}, not {split!r}")
    found = {name: sides for name in SPLITS if (sides := _sides(root, name))}
    if not found:  # no splits: all is for training
        found = {"train": _first((root / given, root / made) for given, made in NAMES) or (root,)}
    if split not in found:
        raise DataError(f"folder:{root} has no split {split!r}, only {', '.join(found)}")
    sides = found[split]
    if len(sides) == 2:
        return dict(zip(("input", "image"), sides))
    if not _side_by_side(*sides):
        raise DataError(f"{sides[0]} holds no pairs of images: that takes {LAYOUTS}; or have the inputs made from the images, as "
                        "in --set degrade=grey")
    return {"pair": sides[0]}


def _sides(root, split):
    """The one or two folders of a split, None if there is none."""
    return _first([*((root / split / given, root / split / made) for given, made in NAMES),
                   *((root / given / split, root / made / split) for given, made in NAMES),
                   (root / f"{split}A", root / f"{split}B"), (root / split,)])


def _first(candidates):
    """The first of some tuples of folders that are all there."""
    return next((folders for folders in candidates if all(folder.is_dir() for folder in folders)), None)


def _side_by_side(side, looked_at=20):
    """Whether most of the first images are at least twice as wide as high; a folder without images is for others to name."""
    found = folder.find(side)[:looked_at]
    wide = []
    for name, *_ in found:
        try:
            with Image.open(side / name, formats=folder.FORMATS) as image:
                wide.append(image.width >= 2 * image.height)
        except Exception:  # it is named when it is decoded
            pass
    return not found or sum(wide) > len(wide) / 2


# === Matching ===

def match(sides, listing):
    """Pairs of relative paths, and what has none: ([(input, image)], {name: why it is left out}).

    Args:
        sides: dict of field to folder, as `find` gives it: one or two of them.
        listing: dict of field to `folder.find` of it.

    Raises:
        DataError: two files of one folder have the same name but for the suffix.
    """
    names = {field: [name for name, *_ in found] for field, found in listing.items()}
    if len(sides) == 1:
        return [(name,) for name, in zip(*names.values())], {}
    stems = {}
    for field, some in names.items():
        stems[field] = {}
        for name in some:
            other = stems[field].setdefault(files.text(os.path.splitext(name)[0]), name)
            if other != name:
                raise DataError(f"{sides[field]} holds both {other!r} and {name!r}: which of them is the partner? Take one away.")
    lonely = {}
    for field, partner in (("input", "image"), ("image", "input")):
        for stem, name in stems[field].items():
            if stem not in stems[partner]:
                lonely[f"{sides[field].name}/{name}"] = f"no partner in {sides[partner].name}"
    return [(stems["input"][stem], stems["image"][stem]) for stem in sorted({*stems["input"]} & {*stems["image"]})], lonely


# === Preparing ===

def _prepared(root, sides, listing, image_size, channels, crop, labels=None, whole=False):
    """(arrays, notes), from the cache or made; `whole`: of one field, whose images are no pairs."""
    listed = {field: [str(sides[field]), found] for field, found in listing.items()}
    # partners whose names are composed otherwise were none before
    version = 1 if all(files.text(name) == name for found in listing.values() for name, *_ in found) else 2
    key = dict(kind="pairs", version=version, files=hashlib.sha256(json.dumps(listed).encode()).hexdigest(), channels=channels,
               image_size=image_size, crop=bool(crop), whole=whole, **({"labels": labels} if labels else {}))
    pairs, lonely = match(sides, listing)
    write = functools.partial(_write, root, sides, pairs, lonely, image_size, channels, crop, labels)
    return cached(f"pairs-{root.name}", key, write)


def _write(root, sides, pairs, left_out, image_size, channels, crop, labels, directory):
    """Decodes pairs into `input.npy` and `image.npy`, or what `sides` names; see `cached`."""
    fields = [*sides] if "pair" not in sides else ["input", "image"]
    total = len(pairs) + len(left_out)
    _tolerate(root, total, left_out)
    decoded = {field: folder.allocate(directory / f"whole-{field}.npy", (len(pairs), *sizes.pair(image_size), channels or 3))
               for field in fields}
    colored = {field: np.zeros(len(pairs), bool) for field in fields}
    good = np.ones(len(pairs), bool)
    left_out = dict(left_out)

    def work(index):
        names = pairs[index]
        try:
            images = [folder.opened(side / name) for side, name in zip(sides.values(), names)]
            images = _halves(*images) if "pair" in sides else images
            _check_sizes(images, sides)
            for field, image in zip(fields, images):
                decoded[field][index] = folder.pixels(image, image_size, channels or 3, crop, nearest=field == labels)
                colored[field][index] = image.mode != "L"
        except Exception as error:  # Pillow raises nearly anything on broken files
            good[index] = False
            left_out[names[0] if len(sides) == 1 else " and ".join(f"{side.name}/{name}" for side, name in zip(
                sides.values(), names))] = folder.reason(error)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in tqdm(pool.map(work, range(len(pairs))), total=len(pairs), desc="decoding", unit="pair", mininterval=1,
                      disable=len(pairs) <= 1000):
            pass

    left_out = dict(sorted(left_out.items()))
    note = _tolerate(root, total, left_out)
    rows = np.flatnonzero(good)
    for field in fields:
        depth = channels or (3 if colored[field][rows].any() else 1)
        kept = folder.allocate(directory / f"{field}.npy", (len(rows), *sizes.pair(image_size), depth))
        for start in range(0, len(rows), 1024):
            kept[start:start + 1024] = decoded[field][rows[start:start + 1024], :, :, :depth]
        del decoded[field]
        (directory / f"whole-{field}.npy").unlink()
    return dict(note=note, skipped=left_out)


def _halves(image):
    if image.width % 2 or image.width < 2 * image.height:
        raise ValueError(f"{image.width}×{image.height} pixels are no two images side by side")
    middle = image.width // 2
    return image.crop((0, 0, middle, image.height)), image.crop((middle, 0, image.width, image.height))


def _check_sizes(images, sides):
    if len({image.size for image in images}) > 1:
        raise ValueError("different sizes, " + " and ".join(f"{image.width}×{image.height}" for image in images))


def _tolerate(root, total, left_out):
    """The note about what is left out; DataError if that is too much."""
    if not left_out:
        return ""
    names = list(left_out)
    listing = "; ".join(f"{name!r}: {left_out[name]}" for name in names[:10])
    more = f"; and {len(names) - 10} more" if len(names) > 10 else ""
    if len(names) > files.TOLERATED * total:
        raise DataError(f"{len(names)} of the {total} images in {root} are no half of a pair or cannot be read, more than the "
                        f"{100 * files.TOLERATED:.0f} % that are tolerated ({listing}{more}). Repair or remove them.")
    return f"{len(names)} of {total} pairs in {root} are left out ({listing}{more})."
