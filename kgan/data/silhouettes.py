"""Built-in silhouettes: the outlines of the built-in solids from eight sides, as masks; which solid, and from where, stays hidden.

The solid stands on a turntable: it is seen level, in parallel perspective, from azimuths of 0°, 45° … 315°. A row of pixels is a layer of
voxels, the top one first; a column is a strip one voxel wide.
"""
import functools

import numpy as np

from kgan.data import solids
from kgan.data.cache import cached
from kgan.data.source import DataError, Source

VIEWS = 8


def source(image_size=32, split="train", count=None, seed=0):
    """Masks of the built-in solids (`kgan.data.solids`), each from one of the VIEWS sides, drawn at random.

    Args: as for `kgan.data.solids.source`.

    Returns:
        Source of `image` uint8 [N, S, S, 1], 255 where the solid is; `label` int64 [N], of which class it is; `view` int64 [N], from
        which side it is seen. A model that learns from masks alone is given neither.

    Raises:
        DataError: an argument out of range.
    """
    try:
        found = solids.source(image_size, split, count, seed)
    except DataError as error:
        raise DataError(str(error).replace("solids:", "silhouettes:", 1)) from None
    key = {"version": 1, "size": int(image_size), "split": split, "count": len(found), "seed": int(seed)}
    arrays, _ = cached("silhouettes", key, functools.partial(_write, found, seed))
    return Source("silhouettes", arrays, {"label": found.classes["label"], "view": [f"{45 * view}°" for view in range(VIEWS)]})


def _write(found, seed, directory):
    view = np.random.default_rng([seed, 17]).integers(VIEWS, size=len(found))
    voxels = found.arrays["voxels"]
    image = np.zeros((len(found), *voxels.shape[1:3], 1), np.uint8)
    for i in range(0, len(found), 500):
        rows = slice(i, i + 500)
        image[rows] = 255 * masks(np.asarray(voxels[rows]), view[rows])
    np.save(directory / "image.npy", image)
    np.save(directory / "view.npy", view)
    np.save(directory / "label.npy", found.arrays["label"])
    return {}


@functools.lru_cache(maxsize=4)
def strips(side, views=VIEWS):
    """What each voxel of a layer adds to each strip, seen from each side: float32 [side · side (x, y), views, side].

    A voxel is shared between the two strips nearest to its middle; what lies beyond the rim is seen by none.
    """
    middle = np.arange(side) + 0.5 - side / 2
    x, y = np.meshgrid(middle, middle, indexing="ij")
    table = np.zeros((side * side, views, side), np.float32)
    for view in range(views):
        angle = 2 * np.pi * view / views
        place = (-np.sin(angle) * x + np.cos(angle) * y + side / 2 - 0.5).ravel()  # along the strips, as whoever stands there sees them
        for strip in (np.floor(place).astype(int), np.floor(place).astype(int) + 1):
            weight = np.maximum(1 - np.abs(place - strip), 0)
            inside = (strip >= 0) & (strip < side) & (weight > 1e-6)
            table[np.flatnonzero(inside), view, strip[inside]] += weight[inside]
    table.flags.writeable = False
    return table


def sums(voxels, view):
    """How much of a solid lies behind each pixel: float32 [n, side (from the top), side] of [n, side, side, side, 1] and views [n]."""
    side = voxels.shape[1]
    layers = np.asarray(voxels, np.float32)[..., 0].reshape(len(voxels), side * side, side)
    return np.stack([(strips(side)[:, one].T @ layer)[:, ::-1].T for layer, one in zip(layers, view)])


def masks(voxels, view):
    """bool [n, side, side, 1]: where half a voxel or more is in the way."""
    return (sums(voxels, view) >= 0.5)[..., None]


def hull(seen, views=range(VIEWS)):
    """The visual hull of one solid: the largest that has these masks, bool [side, side, side, 1] (Laurentini 1994).

    Args:
        seen: bool [views, side, side, 1], as `masks` gives them.
        views: from which sides.
    """
    side = seen.shape[1]
    there = np.ones((side, side, side), bool)
    for mask, view in zip(np.asarray(seen)[..., 0], views):
        # a voxel stays where most of what it is shared between is within the mask
        inside = strips(side)[:, view] @ mask[::-1].T.astype(np.float32)
        whole = strips(side)[:, view].sum(1, keepdims=True)
        there &= (inside >= 0.5 * np.maximum(whole, 1e-6)).reshape(side, side, side) & (whole > 0).reshape(side, side, 1)
    return there[..., None]
