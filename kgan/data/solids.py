"""Built-in solids: chairs, tables, shelves and lamps made of boxes, as voxels with a label each; drawn from a seed, no download.

All stand on the floor in the middle of the cube. Each is drawn facing +x (the front of a chair's seat, the open side of a
shelf), and half of them are then turned by a quarter to face +y: towards whoever looks at a sheet. Positions count
in 32nds of the cube whatever its size, so that solid n is the same at 16, 32 and 64.
"""
import numbers

import numpy as np

from kgan.data.cache import cached
from kgan.data.source import DataError, Source

CLASSES = "chair", "table", "shelf", "lamp"
SIZES = 16, 32, 64
SPLITS = {"train": (0, 8_000), "test": (1, 1_000)}  # name: (stream of the seed, default count)
UNITS = 32  # of a side of the cube
MIDDLE, FLOOR = UNITS // 2, 2
CHOICES = 10  # random numbers that a solid's shape takes at most


def source(image_size=32, split="train", count=None, seed=0):
    """Draws the solids, or opens them if they were drawn before.

    Args:
        image_size: side of the cube in voxels: 16, 32 or 64.
        split: "train" or "test": independent draws of the same distribution.
        count: number of solids; None for 8,000 ("train") or 1,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `voxels` uint8 [N, S, S, S, 1], 0 or 1, axes x, y, z (z is up); `label` int64 [N], one of CLASSES, all
        as likely; `turn` int64 [N], quarter turns about z, 0 or 1.

    Raises:
        DataError: an argument out of range.
    """
    if image_size not in SIZES:
        raise DataError(f"solids: image_size must be one of {', '.join(map(str, SIZES))}, not {image_size!r}")
    if split not in SPLITS:
        raise DataError(f"solids: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if (count is not None and (not isinstance(count, numbers.Integral) or count < 1)) or seed < 0:
        raise DataError(f"solids: count must be 1 or more and seed 0 or more, not {count!r} and {seed!r}")
    stream, default = SPLITS[split]
    # raise the version when other solids are drawn for the same arguments
    key = {"version": 1, "size": int(image_size), "stream": stream, "count": int(default if count is None else count),
           "seed": int(seed)}
    arrays, _ = cached("solids", key, lambda directory: _write(directory, **key))
    return Source("solids", arrays, {"label": list(CLASSES), "turn": ["towards x", "towards y"]})


def _write(directory, version, size, stream, count, seed):
    # one row a solid: it does not depend on how many are drawn
    uniform = np.random.default_rng([seed, stream]).random((count, 2 + CHOICES))
    label, turn = (uniform[:, :2] * (len(CLASSES), 2)).astype(np.int64).T
    voxels = np.lib.format.open_memmap(directory / "voxels.npy", mode="w+", dtype=np.uint8,
                                       shape=(count, size, size, size, 1))
    for i, row in enumerate(uniform):
        voxels[i, ..., 0] = np.rot90(fill(boxes(CLASSES[label[i]], row[2:]), size), turn[i])
    np.save(directory / "label.npy", label)
    np.save(directory / "turn.npy", turn)
    voxels.flush()
    return {}


def fill(boxes, size):
    """Boxes (x0, x1, y0, y1, z0, z1) in 32nds of the side as voxels uint8 [size, size, size]; none is too thin to be seen."""
    voxels = np.zeros((size, size, size), np.uint8)
    for box in boxes:
        low, high = np.array(box[::2]) * size // UNITS, -(np.array(box[1::2]) * -size // UNITS)
        voxels[tuple(map(slice, low, high))] = 1
    return voxels


def boxes(name, uniform):
    """The boxes of a chair, table, shelf or lamp; `uniform`: at least CHOICES random numbers in [0, 1)."""
    uniform = iter(uniform)
    return SHAPES[name](lambda low, high: low + int(next(uniform) * (high - low + 1)))


def _box(deep, wide, bottom, top, x=0, y=0):
    """A box that reaches `deep` (x) and `wide` (y) to either side of a place, given from the middle."""
    return MIDDLE + x - deep, MIDDLE + x + deep, MIDDLE + y - wide, MIDDLE + y + wide, bottom, top


def _stand(kind, deep, wide, top):
    """What carries a board `deep` and `wide`, from the floor up: a pedestal with its foot, two walls, or four legs."""
    if kind == 0:
        return [_box(2, 2, FLOOR, top), _box(deep - 1, wide - 1, FLOOR, FLOOR + 2)]
    if kind == 1:
        return [_box(deep, 1, FLOOR, top, y=side * (wide - 1)) for side in (-1, 1)]
    return [_box(1, 1, FLOOR, top, x * (deep - 1), y * (wide - 1)) for x in (-1, 1) for y in (-1, 1)]


def _chair(between):
    deep, wide, height, above = between(6, 8), between(6, 8), between(8, 11), between(10, 13)
    stand, back, arms = between(0, 4), between(0, 2), between(0, 1)
    seat = FLOOR + height
    top = seat + 2 + above
    parts = [_box(deep, wide, seat, seat + 2), *_stand(stand, deep, wide, seat)]
    boards = {0: [seat], 1: [top - 8, top - 3], 2: [top - 3]}[back]  # one of full height, two narrow ones, or one on bars
    posts = {0: (), 1: (-1, 1), 2: (-1, 0, 1)}[back]
    parts += [_box(1, wide, bottom, top if back == 0 else bottom + 3, x=1 - deep) for bottom in boards]
    parts += [_box(1, 1, seat, top, 1 - deep, y * (wide - 1)) for y in posts]
    for y in (1 - wide, wide - 1) if arms else ():
        parts += [_box(deep, 1, seat + 6, seat + 8, 0, y), _box(1, 1, seat, seat + 6, deep - 1, y)]
    return parts


def _table(between):
    deep, wide, height, stand, below = between(8, 12), between(9, 13), between(11, 16), between(0, 4), between(0, 2)
    top = FLOOR + height
    parts = [_box(deep, wide, top, top + 2), *_stand(stand, deep - 1, wide - 1, top)]
    if below == 0 and stand:  # a board near the floor
        parts += [_box(deep - 1, wide - 1, FLOOR + 3, FLOOR + 5)]
    elif below == 1:  # a drawer
        parts += [_box(deep - 2, 4, top - 4, top)]
    return parts


def _shelf(between):
    deep, wide, height, boards = between(3, 5), between(6, 10), between(20, 27), between(3, 5)
    back, drawer = between(0, 1), between(0, 1)
    levels = [FLOOR + round(i * (height - 2) / (boards - 1)) for i in range(boards)]
    parts = [_box(deep, 1, FLOOR, FLOOR + height, y=side * (wide - 1)) for side in (-1, 1)]
    parts += [_box(deep, wide, level, level + 2) for level in levels]
    if back:
        parts += [_box(1, wide, FLOOR, FLOOR + height, x=1 - deep)]
    if drawer:
        parts += [_box(deep, wide, levels[0], levels[1])]
    return parts


def _lamp(between):
    foot, height, shade, tall, taper = between(3, 6), between(20, 27), between(5, 8), between(6, 9), between(0, 3)
    top = FLOOR + height
    parts = [_box(foot, foot, FLOOR, FLOOR + 2), _box(1, 1, FLOOR, top)]
    # narrower towards the top, by `taper` steps
    parts += [_box(shade - step, shade - step, top - tall + round(step * tall / (taper + 1)),
                   top - tall + round((step + 1) * tall / (taper + 1))) for step in range(taper + 1)]
    return parts


SHAPES = dict(zip(CLASSES, (_chair, _table, _shelf, _lamp)))
