"""Built-in clips: digits that fly straight and bounce off the walls, kgan's own glyphs or MNIST's; drawn from a seed.

As in Srivastava, Mansimov, Salakhutdinov 2015, "Unsupervised Learning of Video Representations using LSTMs"
(arXiv:1502.04681): each digit keeps its shape and its pace, passes through others, and where its ink meets a wall it turns
back. Places and paces are fractions of a side, so that clip n moves alike at 32 and at 64 pixels, and between pixels.
"""
import numbers

import numpy as np

from kgan.data.cache import cached
from kgan.data.source import DataError, Source

NAMES = "bouncing", "bouncing_mnist"
SIZES = 32, 128
SPLITS = {"train": (0, 8_000), "test": (1, 1_000)}  # name: (stream of the seed, default count)
PART = 0.7  # a digit's picture, in sides of the clip's; its ink is less
PACE = 0.03, 0.08  # sides a frame


def source(name="bouncing", image_size=32, split="train", count=None, seed=0, frames=16, digits=2, data_dir=None,
           manual_dir=None):
    """Draws the clips, or opens them if they were drawn before.

    Args:
        name: "bouncing" for kgan's glyphs, "bouncing_mnist" for MNIST's digits.
        image_size: side in pixels, 32 to 128.
        split: "train" or "test": independent draws, of MNIST from its own splits.
        count: number of clips; None for 8,000 ("train") or 1,000 ("test").
        seed: int, not negative.
        frames: length of a clip.
        digits: how many fly in each: 1 or 2.
        data_dir, manual_dir: where to find MNIST; see `kgan.data.catalog.source`.

    Returns:
        Source of `video` uint8 [N, frames, S, S, 1] and `label` int64 [N]: the digit, or of two the pair whatever their order.

    Raises:
        DataError: an argument out of range, or MNIST cannot be had.
    """
    low, high = SIZES
    if not isinstance(image_size, numbers.Integral) or not low <= image_size <= high:
        raise DataError(f"{name}: image_size must be a whole number from {low} to {high}, not {image_size!r}")
    if split not in SPLITS:
        raise DataError(f"{name}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if digits not in (1, 2) or frames < 2:
        raise DataError(f"{name}: 1 or 2 digits fly for 2 frames or more, not {digits} for {frames}")
    if (count is not None and count < 1) or seed < 0:
        raise DataError(f"{name}: count must be 1 or more and seed 0 or more, not {count!r} and {seed!r}")
    stream, default = SPLITS[split]
    # raise the version when other clips are drawn for the same arguments
    key = {"version": 1, "size": int(image_size), "stream": stream, "count": int(default if count is None else count),
           "seed": int(seed), "frames": int(frames), "digits": int(digits)}
    if name == "bouncing":
        draw = _glyphs
    else:
        from kgan.data import catalog
        key["of"] = "mnist"
        found = catalog.source("mnist", max(int(PART * image_size), 8), 1, split=split, data_dir=data_dir, manual_dir=manual_dir)
        draw = lambda count, rng, side: _chosen(found, count, rng)
    arrays, _ = cached(name, key, lambda directory: _write(directory, draw, **{**key, "of": None}))
    return Source(name, arrays, {"label": names(digits)})


def names(digits):
    """Names of the classes: "3", or of two digits "0 3"."""
    if digits == 1:
        return [str(digit) for digit in range(10)]
    return [f"{low} {high}" for low in range(10) for high in range(low, 10)]


def _glyphs(count, rng, side):
    from kgan.data import glyphs

    drawn = glyphs.draw_parameters(count, rng)
    return np.rint(255 * glyphs.coverage(drawn, side)), drawn["label"]


def _chosen(found, count, rng):
    rows = rng.integers(len(found), size=count)
    return np.asarray(found.arrays["image"])[rows, ..., 0].astype(np.float64), np.asarray(found.arrays["label"])[rows]


def _write(directory, draw, version, size, stream, count, seed, frames, digits, of):
    rng = np.random.default_rng([seed, stream])
    pictures, label = draw(count * digits, rng, int(PART * size))
    place, angle, pace = rng.random((3, count * digits, 2))
    way = np.stack([np.sin(2 * np.pi * angle[:, 0]), np.cos(2 * np.pi * angle[:, 0])], 1)
    speed = (PACE[0] + (PACE[1] - PACE[0]) * pace[:, :1]) * way * size  # pixels a frame, down and across
    video = np.lib.format.open_memmap(directory / "video.npy", mode="w+", dtype=np.uint8, shape=(count, frames, size, size, 1))
    for i in range(count):
        own = range(i * digits, (i + 1) * digits)
        video[i, ..., 0] = np.max([fly(trimmed(pictures[k]), place[k], speed[k], frames, size) for k in own], 0)
    label = np.sort(label.reshape(count, digits), 1)
    numbers_of = {name: number for number, name in enumerate(names(digits))}
    np.save(directory / "label.npy", np.array([numbers_of[" ".join(map(str, each))] for each in label.tolist()], np.int64))
    video.flush()
    return {}


def trimmed(picture, ink=8):
    """A picture [h, w] without the rows and columns at its rim in which nothing is brighter than `ink`."""
    rows, columns = (np.flatnonzero((picture > ink).any(axis)) for axis in (1, 0))
    return picture[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] if len(rows) else picture


def fly(picture, place, speed, frames, size):
    """A picture [h, w] on its way: uint8 [frames, size, size].

    Args:
        place: (down, across), where it starts, 0 to 1 of the room that it has.
        speed: (down, across) in pixels a frame.
    """
    room = size - np.array(picture.shape)
    path = place * room + speed * np.arange(frames)[:, None]
    path = room - np.abs(np.mod(path, 2 * np.maximum(room, 1e-9)) - room)  # there and back
    rows, columns = (_moved(length, path[:, axis], size) for axis, length in enumerate(picture.shape))
    return np.rint(rows @ picture @ columns.swapaxes(1, 2)).astype(np.uint8)


def _moved(length, starts, size):
    """Matrices [frames, size, length] that put `length` numbers at each of `starts`, shared between two places."""
    whole = starts.astype(int)
    frame, number = np.arange(len(starts))[:, None], np.arange(length)
    moved = np.zeros((len(starts), size + 1, length))
    moved[frame, whole[:, None] + number, number] = 1 - (starts - whole)[:, None]
    moved[frame, whole[:, None] + number + 1, number] = (starts - whole)[:, None]
    return moved[:, :size]


# === What clips do, measured on their pixels ===

def measure(clips):
    """How digits move in clips [n, T, S, S, C], float in [-1, 1], bright on black; of two, what is followed is the middle of both.

    Returns:
        dict of float. `flicker`: how much the brightness in all changes from frame to frame, in parts of it. `pace`: median way of
        the middle a frame, in hundredths of a side. `straight`: share of its steps, taken along each axis, that are as long as
        the one before, within a fifth of the pace and a fiftieth of a side. `turns_at_walls`: of the places where it turns back
        along an axis, the share at which something bright is within a sixteenth of a side from a wall across that axis.
    """
    ink = (np.asarray(clips, np.float64).mean(-1) + 1) / 2
    size, total = ink.shape[2], ink.sum((2, 3))
    flicker = np.abs(np.diff(total, axis=1)).mean(1) / np.maximum(total.mean(1), 1e-9)
    places = (np.arange(size) + 0.5) / size
    middle = np.stack([(ink.sum(5 - axis) * places).sum(2) / np.maximum(total, 1e-9) for axis in (2, 3)], -1)
    steps = np.diff(middle, axis=1)
    pace = np.median(np.linalg.norm(steps, axis=2), 1)
    same = np.abs(np.diff(steps, axis=1)) < np.maximum(pace / 5, 0.02 * (pace > 0))[:, None, None]
    turns, near = (steps[:, 1:] * steps[:, :-1] < 0) & (np.abs(np.diff(steps, axis=1)) > 0.01), max(size // 16, 1)
    bright = ink > 0.2
    walls = np.stack([bright.any(5 - axis)[..., [*range(near), *range(size - near, size)]].any(2) for axis in (2, 3)], -1)
    walls = walls[:, :-2] | walls[:, 1:-1] | walls[:, 2:]
    return {"flicker": float(flicker.mean()), "pace": float(100 * np.median(pace)), "straight": float(same.mean()),
            "turns_at_walls": float((turns & walls).sum() / max(turns.sum(), 1))}
