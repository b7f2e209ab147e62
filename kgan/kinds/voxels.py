"""Voxels: a solid as a grid of cubes, stored as uint8 0 or 1 [D, H, W, 1], axes x, y, z with z up; seen as float32 in [0, 1].

What networks give is how sure they are of each cube; what is drawn, measured and meshed is what lies above a threshold. Mesh
files have y up, as glTF asks for: x, y, z go to x, z, -y.
"""
import functools
import io
import json
import struct

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FIELD, OUTPUT, UNIT = "voxels", "voxels", "solids"
RANGE = (0.0, 1.0)
PLOT = False
SHOWN = 32
MEDIA = {"model/gltf-binary": ".glb", "model/obj": ".obj", "application/x-npy": ".npy"}
SUFFIXES = (".npy", ".binvox")
MAX_VOXELS = 1 << 24  # of a file that `read` reads: 256³
THRESHOLD = 0.5
SURFACES = "cubes", "smooth"

SIDE, SAMPLING = 112, 2  # pixels of a solid in a sheet, and rays to a pixel along each side
TOWARDS = np.array([1.0, 0.62, 0.72])  # from the solid to whoever looks at it
COLOUR = np.array([226, 178, 108])
LIGHT = np.array([0.82, 0.56, 1.0])  # on faces across x, y, z


def scale(values):
    return values


def store(values):
    """float [0, 1] to uint8 0 or 1: what lies above THRESHOLD is there."""
    return (np.asarray(values) > THRESHOLD).astype(np.uint8)


# === Files ===

def read(data, field, max_voxels=MAX_VOXELS):
    """The bytes of an .npy file ([D, H, W] or [D, H, W, 1], numbers above .5 are there) or a .binvox file as uint8 [D, H, W, 1].

    A solid smaller than `field` is put in its middle. A .binvox file's y is taken to be up, as in most of them.

    Raises:
        ValueError: it is neither, has more than `max_voxels`, or is larger than `field` wants.
    """
    reader = _binvox if data.startswith(b"#binvox") else _npy
    try:
        voxels = store(reader(data, max_voxels))
    except (ValueError, LookupError, OverflowError, EOFError, SyntaxError, TypeError) as error:
        raise ValueError(f"these are no voxels that can be read ({error}); .npy of three axes and .binvox are") from None
    wanted = tuple(size or own for size, own in zip(field.shape, voxels.shape))
    if any(own > size for own, size in zip(voxels.shape, wanted)):
        raise ValueError("the solid has {}×{}×{} voxels; at most {}×{}×{} go in".format(*voxels.shape[:3], *wanted[:3]))
    around = [(size - own) // 2 for size, own in zip(wanted, voxels.shape)]
    return np.pad(voxels, [(low, size - own - low) for low, own, size in zip(around, voxels.shape, wanted)])


def _npy(data, max_voxels):
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, _, dtype = reader(file)
    if not (len(shape) == 3 or len(shape) == 4 and shape[3] == 1) or dtype.kind not in "biuf":
        raise ValueError(f"an array {list(shape)} of {dtype}")
    _bounded(shape[:3], max_voxels)
    values = np.load(io.BytesIO(data), allow_pickle=False).reshape(*shape[:3], 1)
    if not np.isfinite(values).all():
        raise ValueError("some numbers are NaN or infinite")
    return values


def _binvox(data, max_voxels):
    header, _, runs = data.partition(b"\ndata\n")
    sizes = next((line.split()[1:] for line in header.decode("latin-1").split("\n") if line.startswith("dim ")), ())
    shape = _bounded(tuple(map(int, sizes)), max_voxels)
    values, counts = np.frombuffer(runs[:len(runs) // 2 * 2], np.uint8).reshape(-1, 2).T
    if counts.sum(dtype=np.int64) != np.prod(shape):
        raise ValueError("the runs do not fill the grid")
    # x slowest, then z, then y; to turn y up without a mirror the file's z has to go backwards
    return np.repeat(values, counts).reshape(shape)[:, ::-1, :, None]


def _bounded(shape, max_voxels):
    if len(shape) != 3 or min(shape) < 1 or int(np.prod(shape, dtype=np.float64)) > max_voxels:
        raise ValueError(f"a grid of {'×'.join(map(str, shape))}, at most {max_voxels} voxels are allowed")
    return shape


def write(sample, media="model/gltf-binary", threshold=THRESHOLD, surface="cubes", largest=False):
    """A solid as a mesh, .glb or .obj; or all its numbers, float32 [D, H, W, 1], .npy.

    Args:
        threshold: what lies above it is there.
        surface: "cubes", the faces of voxels that can be seen; or "smooth", by marching cubes, which need scikit-image.
        largest: whether all but the largest connected part is left out.

    Raises:
        ValueError: "smooth" without scikit-image, or another surface.
    """
    sample = np.asarray(sample, np.float32)
    if media == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, sample)
        return buffer.getvalue()
    if surface not in SURFACES:
        raise ValueError(f"surface={surface}: must be one of {', '.join(SURFACES)}")
    if largest:
        sample = np.where(largest_part(sample[..., 0] > threshold)[..., None], sample, np.minimum(sample, threshold))
    parts = smooth(sample, threshold) if surface == "smooth" else _squares(*mesh(sample, threshold))
    return {"model/gltf-binary": _glb, "model/obj": _obj}[media](*parts, max(sample.shape))


def _squares(corners, normals):
    """Faces of four corners as positions, normals and triangles."""
    triangles = 4 * np.arange(len(corners))[:, None] + [0, 1, 2, 0, 2, 3]
    return corners.reshape(-1, 3), np.repeat(normals, 4, 0), triangles.reshape(-1, 3)


def smooth(sample, threshold=THRESHOLD):
    """The surface at which a solid's numbers pass a threshold, by marching cubes (Lorensen & Cline 1987).

    Returns:
        (positions, normals, triangles): float32 [n, 3] twice, in voxels, y up, and int [m, 3], anticlockwise from outside.

    Raises:
        ValueError: scikit-image is not installed.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError:
        raise ValueError("surface=smooth: needs scikit-image (pip install scikit-image); surface=cubes does not") from None
    values = np.pad(np.asarray(sample, np.float32)[..., 0], 1)
    if not values.max() > threshold:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), int)
    # a voxel's number is that of its middle, half a unit from its corner, and one off for the rim
    positions, triangles, normals, _ = marching_cubes(values, threshold, gradient_direction="ascent")
    positions, normals = ((each[:, [0, 2, 1]] * (1, 1, -1)).astype(np.float32) for each in (positions - 0.5, normals))
    return positions, normals, triangles


def mesh(sample, threshold=THRESHOLD):
    """The faces between voxels that are there and ones that are not, one unit a voxel, y up.

    Args:
        sample: float [D, H, W, 1].

    Returns:
        (corners, normals): float32 [faces, 4, 3], anticlockwise as seen from outside, and [faces, 3].
    """
    there = np.pad(np.asarray(sample)[..., 0] > threshold, 1)
    corners, normals = [np.zeros((0, 4, 3))], [np.zeros((0, 3))]
    for axis in range(3):
        across, along = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        for side in (0, 1):
            seen = np.argwhere(there & ~np.roll(there, 1 - 2 * side, axis)) - 1
            square = np.array([0 * across, across, across + along, along])[::2 * side - 1]
            normal = np.eye(3, dtype=int)[axis]
            corners.append(seen[:, None] + side * normal + square)
            normals.append(np.broadcast_to((2 * side - 1) * normal, (len(seen), 3)))
    return tuple((np.concatenate(parts)[..., [0, 2, 1]] * (1, 1, -1)).astype(np.float32) for parts in (corners, normals))


def _obj(positions, normals, triangles, size):
    places, vertices = np.unique(positions, axis=0, return_inverse=True)
    ways, way = np.unique(normals, axis=0, return_inverse=True)
    lines = ["v {:g} {:g} {:g}".format(*place) for place in places] + ["vn {:g} {:g} {:g}".format(*each) for each in ways]
    vertices, way = vertices.reshape(-1) + 1, way.reshape(-1) + 1
    lines += ["f " + " ".join(f"{vertices[corner]}//{way[corner]}" for corner in triangle) for triangle in triangles]
    return ("\n".join(lines) + "\n").encode()


def _glb(positions, normals, triangles, size):
    """glTF 2.0, section 4 (the container) and 5 (its JSON): one mesh of one metre, standing over the origin."""
    count = len(triangles)
    about = {"asset": {"version": "2.0", "generator": "kgan"}, "scene": 0, "scenes": [{"name": "empty"}]}
    arrays = positions.astype(np.float32), normals.astype(np.float32), triangles.astype(np.uint32).ravel()
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    if count:  # no list in a glTF file may be empty
        starts = np.cumsum([0] + [array.nbytes for array in arrays]).tolist()
        about.update(
            scenes=[{"nodes": [0]}],
            nodes=[{"mesh": 0, "scale": [1 / size] * 3, "translation": [-0.5, 0, 0.5]}],
            meshes=[{"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}]}],
            materials=[{"pbrMetallicRoughness": {"baseColorFactor": [*((COLOUR / 255) ** 2.2).round(3).tolist(), 1],
                                                 "metallicFactor": 0, "roughnessFactor": 0.9}}],
            buffers=[{"byteLength": len(content)}],
            bufferViews=[{"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": target}
                         for start, array, target in zip(starts, arrays, (34962, 34962, 34963))],
            accessors=[
                {"bufferView": 0, "componentType": 5126, "count": len(positions), "type": "VEC3",
                 "min": positions.min(0).tolist(), "max": positions.max(0).tolist()},
                {"bufferView": 1, "componentType": 5126, "count": len(positions), "type": "VEC3"},
                {"bufferView": 2, "componentType": 5125, "count": 3 * count, "type": "SCALAR"}])
    text = json.dumps(about, separators=(",", ":")).encode()
    chunks = [(b"JSON", text + b" " * (-len(text) % 4))] + ([(b"BIN\0", content)] if count else [])
    body = b"".join(struct.pack("<I4s", len(part), kind) + part for kind, part in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


# === Pictures ===

def sheet(samples, behind=None, columns=8, smallest=512, gap=2, threshold=THRESHOLD, largest=False):
    """One picture of many solids, each seen from above its corner, shaded by the way that faces look and by depth.

    Args:
        samples: float [n, D, H, W, 1].
        behind: not used.
        columns: solids a row.
        smallest: the sheet has a border, and solids are drawn larger than SIDE pixels until it has about this width; 0: it has
            exactly `sheet_size`.
        gap: white pixels between solids.
        threshold: what lies above it is there.
        largest: whether all but the largest connected part of each is left out.

    Returns:
        PIL.Image, RGB. A line below says so where the threshold is another than .5 or parts were left out.
    """
    there, border = np.asarray(samples)[..., 0] > threshold, gap if smallest else 0
    there = np.array([largest_part(one) for one in there]) if largest else there
    columns = min(columns, len(there))
    side = max(SIDE, (smallest - 2 * border + gap) // columns - gap)
    height, width = sheet_size(there.shape[1:], len(there), columns, gap, side)
    said = [f"threshold {threshold:g}"] * (threshold != THRESHOLD) + ["largest connected part of each alone"] * largest
    picture = Image.new("RGB", (width + 2 * border, height + 2 * border + 16 * bool(said)), "white")
    for i, solid in enumerate(there):
        picture.paste(_draw(solid, side), (border + i % columns * (side + gap), border + i // columns * (side + gap)))
    if said:
        ImageDraw.Draw(picture).text((border + 2, height + border + 2), ", ".join(said), "black", ImageFont.load_default(11))
    return picture


def sheet_size(shape, count=1, columns=1, gap=2, side=SIDE):
    """(height, width) of a `sheet` without border of `count` solids."""
    columns = min(columns, count)
    return -(-count // columns) * (side + gap) - gap, columns * (side + gap) - gap


def _draw(there, side):
    """bool [D, H, W] as a square PIL.Image."""
    path, faces, depths = _rays(there.shape, side * SAMPLING)
    hits = np.append(there.ravel(), False).take(path)
    first = np.arange(len(path)), hits.argmax(1)
    hit, face, depth = hits[first], faces[first], depths[first]
    light = np.where(hit, LIGHT[face] * (1.12 - 0.45 * depth), 0).reshape(side * SAMPLING, -1)
    # an edge where a thing ends before what lies behind it
    depth = np.where(hit, depth, 1.5).reshape(light.shape)
    step = 2.5 / max(there.shape)
    edge = np.zeros(light.shape, bool)
    for axis in (0, 1):
        for way in (1, -1):
            edge |= np.roll(depth, way, axis) - depth > step
    colour = np.where(hit.reshape(light.shape)[..., None], COLOUR * (light * np.where(edge, 0.45, 1))[..., None], 255)
    colour = colour.reshape(side, SAMPLING, side, SAMPLING, 3).mean((1, 3))
    return Image.fromarray(np.clip(np.rint(colour), 0, 255).astype(np.uint8))


@functools.lru_cache(maxsize=4)
def _rays(shape, side):
    """The voxels that the ray through each pixel meets, in order, in parallel perspective from TOWARDS.

    Returns:
        (path, faces, depths), each [side², steps]: number of the voxel in the flat grid (the last: outside it); the axis of the
        plane through which the ray enters; how far along the ray that is, 0 to 1 from the cube's nearest point to its farthest.
    """
    shape, ray = np.array(shape), -TOWARDS / np.linalg.norm(TOWARDS)
    right = np.cross(ray, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(ray, right)
    corners = np.stack(np.meshgrid(*((0, size) for size in shape), indexing="ij"), -1).reshape(-1, 3) - shape / 2
    reach = np.abs(corners @ np.stack([right, down], 1)).max()  # what is seen holds the whole grid
    far = np.abs(corners @ ray).max()
    along = (np.arange(side) + 0.5) / side * 2 * reach - reach
    start = shape / 2 - far * ray + along[:, None, None] * down + along[None, :, None] * right
    start = start.reshape(-1, 3)
    times = np.concatenate([(np.arange(size + 1) - start[:, axis, None]) / ray[axis]
                            for axis, size in enumerate(shape)], 1).astype(np.float32)
    owner = np.repeat(np.arange(3, dtype=np.int8), shape + 1)
    order = times.argsort(1)[:, :-1]
    sorted_times = np.sort(times, 1)
    cell = np.zeros(order.shape, np.int32)
    inside = np.ones(order.shape, bool)
    middle = (sorted_times[:, :-1] + sorted_times[:, 1:]) / 2
    for axis, size in enumerate(shape):
        place = np.floor(start[:, axis, None] + middle * ray[axis]).astype(np.int32)
        inside &= (0 <= place) & (place < size)
        cell = cell * size + place
    path = np.where(inside, cell, np.prod(shape))
    depths = (sorted_times[:, :-1] / (2 * far)).astype(np.float32)
    return path.astype(np.int32), owner[order], depths


def largest_part(there):
    """bool [D, H, W] without all but the largest part of voxels that share faces."""
    places = np.pad(np.arange(1, there.size + 1).reshape(there.shape) * there, 1)
    while True:  # each takes the highest number around it
        before = places
        for axis in range(3):
            places = (before > 0) * np.maximum(places, np.maximum(np.roll(places, 1, axis), np.roll(places, -1, axis)))
        if np.array_equal(places, before):
            break
    counts = np.bincount(places.ravel())
    counts[0] = 0
    return there & (places[1:-1, 1:-1, 1:-1] == counts.argmax())


def images(samples):
    """What is seen along x, y and z as three channels, float32 [n, S, S, 3]: 1 at the near end, 0 at the far, -1 nothing.

    S is the longest side.
    """
    there = np.asarray(samples)[..., 0] > THRESHOLD
    size = max(there.shape[1:])
    there = np.pad(there, [(0, 0)] + [(0, size - side) for side in there.shape[1:]])
    views = [np.where(there.any(axis), 1 - there.argmax(axis) / np.float32(size), np.float32(-1)) for axis in (1, 2, 3)]
    return np.stack(views, -1).astype(np.float32)


# === Measures ===

def compare(made, true):
    """`iou`, float64 [n]: voxels that both have, of those that either has; 1 where both are empty."""
    made, true = ((np.asarray(values) > THRESHOLD).reshape(len(values), -1) for values in (made, true))
    either = (made | true).sum(1)
    return {"iou": np.where(either > 0, (made & true).sum(1) / np.maximum(either, 1), 1.0)}


def examples(field, count, seed=0):
    """A table each, of random height and width, float32 0 or 1 [count, *field.shape]; free sizes are 16."""
    shape = [size or 16 for size in field.shape]
    voxels = np.zeros((count, *shape), np.float32)
    for solid, (*wide, tall) in zip(voxels, np.random.default_rng(seed).uniform(0.4, 0.8, (count, 3))):
        low, high = (np.rint(np.array(shape[:2]) * (0.5 + way * np.array(wide) / 2)).astype(int) for way in (-1, 1))
        top = max(int(shape[2] * tall), 1)
        solid[low[0]:high[0], low[1]:high[1], top - 1] = 1
        solid[np.ix_([low[0], high[0] - 1], [low[1], high[1] - 1], range(top))] = 1
    return voxels
