"""Folders of solids: `--dataset=folder:PATH` for a model that makes voxels. Grids as they are, meshes cut into voxels and filled."""
import functools
import hashlib
import io
import json
import os

import numpy as np

from kgan.data import files, folder
from kgan.data.cache import cached
from kgan.data.source import DataError, Source
from kgan.kinds import Field, voxels

GRIDS, MESHES = (".npy", ".binvox"), (".off", ".obj", ".glb", ".gltf", ".stl", ".ply")
UP = {".off": 2, ".stl": 2}  # meshes whose z is up, as ModelNet's; the others' y is
MARGIN = 1  # voxels that are left free around a mesh
MAX_NUMBERS = 1 << 30  # of an array of many solids


def source(path, image_size=32, split="train"):
    """The solids below a folder, at any depth, in the order of their paths.

    A `.binvox` file holds one, an `.npy` file one [D, H, W] or many [N, D, H, W], perhaps with an axis of one channel behind;
    what is smaller than `image_size` is put into the middle, what is k times as large is reduced: of k³ voxels one that is there
    is enough. Meshes need trimesh; each is scaled to the cube, cut into voxels and filled. Labels are the first-level
    sub-folders, if each solid lies in one. A folder that holds `train` and `test` has these two splits.

    Args:
        path: the folder.
        image_size: side of the cube in voxels.
        split: "train" or, of a folder that has it, "test".

    Returns:
        Source of `voxels` uint8 [N, S, S, S, 1], 0 or 1, z up, and perhaps `label` int64 [N].

    Raises:
        DataError: no such folder or split, no solids in it, more than a tenth cannot be read, meshes without trimesh.
    """
    root, beside = files.half(path, split, (*GRIDS, *MESHES))
    stamps, rest = files.survey(root, (*GRIDS, *MESHES))
    found = [name for name, *_ in stamps]
    if not found:
        raise DataError(f"No solids in {root}: {files.counted(rest) or 'it holds no files'}. kgan reads "
                        f"{', '.join((*GRIDS, *MESHES))}.")
    if any(_suffix(name) in MESHES for name in found):
        try:
            import trimesh  # noqa: F401, that it is there
        except ImportError:
            raise DataError(f"{root} holds meshes ({next(name for name in found if _suffix(name) in MESHES)}): pip install trimesh, "
                            "which cuts them into voxels") from None
    key = dict(kind="shapes", version=1, files=hashlib.sha256(json.dumps([root, stamps]).encode()).hexdigest(),
               size=int(image_size))
    arrays, notes = cached(f"shapes-{os.path.basename(root)}", key, functools.partial(_write, root, found, int(image_size)))
    remark = files.layout(path, notes["classes"].get("label", []), what="solids")
    note = " ".join(filter(None, (notes["note"], files.note(rest, images=False), beside, remark)))
    return Source(f"folder:{path}", arrays, notes["classes"], note)


def _suffix(name):
    return os.path.splitext(name)[1].lower()


def _write(root, names, size, directory):
    solids, tops, skipped = [], [], {}
    for name in names:
        try:
            some = _read(os.path.join(root, name), size)
        except Exception as error:  # trimesh raises nearly anything on broken files
            skipped[name] = folder.reason(error)
            continue
        solids.append(some)
        tops += [name.partition("/")[0] if "/" in name else None] * len(some)
    listing = files.tolerate(skipped, len(names), root, "files")
    np.save(directory / "voxels.npy", np.concatenate(solids))
    classes, remark = files.labels(directory, tops, "solids", least=2)
    empty = sum(int((~some.any((1, 2, 3, 4))).sum()) for some in solids)
    note = f"{empty} of its solids are empty. " if empty else ""
    note += f"{len(skipped)} files cannot be read and are left out ({listing}). " if skipped else ""
    return {"classes": classes, "note": (note + remark).strip()}


def _read(file, size):
    """The solids in a file, uint8 [N, size, size, size, 1]."""
    files.regular(file)
    if _suffix(file) in MESHES:
        return voxelised(file, size)[None]
    if _suffix(file) == ".npy":
        many = np.load(file, mmap_mode="r", allow_pickle=False)
        if many.ndim == 4 and many.shape[3] != 1 or many.ndim == 5:
            if many.size > MAX_NUMBERS or many.ndim == 5 and many.shape[4] != 1:
                raise ValueError(f"an array {list(many.shape)}: voxels are [D, H, W] or [N, D, H, W]")
            if many.dtype.kind not in "biuf" or not np.isfinite(many).all():
                raise ValueError("some of its numbers are NaN, infinite or none")
            return np.stack([_fitted(voxels.store(one)[..., None] if one.ndim == 3 else voxels.store(one), size) for one in many])
    return _fitted(voxels.read(files.contents(file), Field("voxels", (None, None, None, 1))), size)[None]


def _fitted(solid, size):
    """uint8 [D, H, W, 1] in a cube of `size`: in its middle, or reduced by a whole factor before."""
    factor = -(-max(solid.shape) // size)
    if factor > 1:
        solid = np.pad(solid, [(0, -side % factor) for side in solid.shape[:3]] + [(0, 0)])
        deep, tall, wide = (side // factor for side in solid.shape[:3])
        solid = solid.reshape(deep, factor, tall, factor, wide, factor, 1).max((1, 3, 5))
    around = [(size - side) // 2 for side in solid.shape[:3]]
    return np.pad(solid, [(low, size - side - low) for low, side in zip(around, solid.shape)] + [(0, 0)])


def voxelised(file, size):
    """A mesh file as uint8 [size, size, size, 1], z up, filled where it is closed, its longest side MARGIN from the walls."""
    import trimesh

    with open(file, "rb") as opened:
        data = opened.read()
    mesh = trimesh.load(io.BytesIO(data), file_type=_suffix(file)[1:], force="mesh")
    if not len(mesh.faces):
        raise ValueError("a mesh without faces")
    points = np.asarray(mesh.vertices, np.float64)
    if UP.get(_suffix(file), 1) == 1:  # as kgan.kinds.voxels writes them: x, y, z to x, -z, y
        points = points[:, [0, 2, 1]] * (1, -1, 1)
    low, high = points.min(0), points.max(0)
    if not np.isfinite(high - low).all() or not (high - low).max() > 0:
        raise ValueError("a mesh whose points are all the same, or none")
    inside = size - 2 * MARGIN
    mesh = trimesh.Trimesh((points - (low + high) / 2) * (inside / (high - low).max()), mesh.faces, process=False)
    # the surface by points on it, closer than voxels are wide
    corners, _ = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, max_edge=0.4, max_iter=20)
    places = np.clip(np.floor(corners * (1 - 1e-9) + size / 2), 0, size - 1).astype(int)
    there = np.zeros((size,) * 3, bool)
    there[tuple(places.T)] = True
    return (there | _enclosed(there)).astype(np.uint8)[..., None]


def _enclosed(there):
    """bool [S, S, S]: the empty voxels from which no way over faces leads out."""
    walls = np.pad(there, 1)
    outside = np.zeros_like(walls)
    outside[0] = True
    while True:
        before = outside.sum()
        for axis in range(3):
            for way in (1, -1):
                outside |= np.roll(outside, way, axis) & ~walls
        if outside.sum() == before:
            return ~(outside | walls)[1:-1, 1:-1, 1:-1]
