import io
import json
import struct

import numpy as np
import pytest

from kgan import kinds
from kgan.kinds import Field, voxels

FREE = Field("voxels", (None, None, None, 1))


def solid(*places, shape=(4, 4, 4)):
    """float32 [*shape, 1] with voxels at these places."""
    grid = np.zeros((*shape, 1), np.float32)
    for place in places:
        grid[place] = 1
    return grid


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def load(data, suffix):
    """The mesh in a file as trimesh sees it, its transformations applied and its corners joined."""
    trimesh = pytest.importorskip("trimesh")
    found = trimesh.load(io.BytesIO(data), file_type=suffix, force="mesh")
    found.merge_vertices(merge_norm=True)
    return found


# === What it is ===

def test_found_by_name():
    assert kinds.get("voxels") is voxels and kinds.guess((32, 32, 32, 1)) == "voxels"


def test_stored_is_what_is_above_half():
    values = np.array([0, 0.2, 0.5, 0.51, 1], np.float32)
    stored = voxels.store(values)
    assert stored.dtype == np.uint8 and stored.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(voxels.store(voxels.scale(stored.astype(np.float32))), stored)


def test_examples():
    made = voxels.examples(Field("voxels", (8, 12, 16, 1)), 3, seed=1)
    assert made.shape == (3, 8, 12, 16, 1) and made.dtype == np.float32 and set(made.ravel()) == {0, 1}
    np.testing.assert_array_equal(made[:2], voxels.examples(Field("voxels", (8, 12, 16, 1)), 2, seed=1))
    assert voxels.examples(FREE, 1).shape == (1, 16, 16, 16, 1)
    assert (made[0] != made[1]).any()


# === Meshes ===

@pytest.mark.parametrize("media, suffix", [("model/gltf-binary", "glb"), ("model/obj", "obj")])
def test_mesh_of_one_voxel_is_a_cube(media, suffix):
    found = load(voxels.write(solid((1, 2, 3)), media), suffix)
    unit = 1 / 4 if suffix == "glb" else 1
    assert found.is_watertight and found.is_winding_consistent
    assert len(found.vertices) == 8 and len(found.faces) == 12
    assert found.volume == pytest.approx(unit**3) and found.area == pytest.approx(6 * unit**2)
    # x, y, z goes to x, z, -y; and in a .glb the whole grid is one metre, standing over the origin
    low = np.array([1, 3, -3.0]) if suffix == "obj" else np.array([1, 3, -3]) / 4 + [-0.5, 0, 0.5]
    np.testing.assert_allclose(found.bounds, [low, low + unit], atol=1e-6)


@pytest.mark.parametrize("media, suffix", [("model/gltf-binary", "glb"), ("model/obj", "obj")])
def test_mesh_has_the_volume_and_surface_of_its_voxels(media, suffix):
    grid = (np.random.default_rng(0).random((6, 9, 5, 1)) < 0.4).astype(np.float32)
    found = load(voxels.write(grid, media), suffix)
    unit = 1 / 9 if suffix == "glb" else 1
    assert found.volume / unit**3 == pytest.approx(grid.sum(), rel=1e-5)
    # where a filled voxel meets an empty one, counted another way
    faces = sum(np.abs(np.diff(np.pad(grid[..., 0], 1), axis=axis)).sum() for axis in range(3))
    assert len(found.faces) == 2 * faces and found.area / unit**2 == pytest.approx(faces, rel=1e-5)
    np.testing.assert_allclose(found.extents / unit, [6, 5, 9])


def test_faces_look_outwards():
    corners, normals = voxels.mesh((np.random.default_rng(1).random((3, 4, 5, 1)) < 0.5))
    turned = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    np.testing.assert_array_equal(turned, normals)
    assert corners.dtype == normals.dtype == np.float32


def test_threshold_of_a_mesh():
    grid = solid((0, 0, 0)) * 0.3 + solid((2, 2, 2)) * 0.8
    assert [len(voxels.mesh(grid, threshold)[0]) for threshold in (0.1, 0.5, 0.9)] == [12, 6, 0]


def test_glb_is_laid_out_as_gltf_says():
    data = voxels.write(solid((1, 1, 1), (1, 1, 2)))
    magic, version, length, json_length, json_kind = struct.unpack_from("<4sII I4s", data)
    assert (magic, version, length, json_kind) == (b"glTF", 2, len(data), b"JSON") and json_length % 4 == 0
    about = json.loads(data[20:20 + json_length])
    size, kind = struct.unpack_from("<I4s", data, 20 + json_length)
    assert kind == b"BIN\0" and size == about["buffers"][0]["byteLength"] == len(data) - 28 - json_length
    assert [each["count"] for each in about["accessors"]] == [40, 40, 60]  # ten faces
    ends = [each["byteOffset"] + each["byteLength"] for each in about["bufferViews"]]
    assert ends == [480, 960, 1200] and ends[-1] == size


@pytest.mark.parametrize("media, suffix", [("model/gltf-binary", "glb"), ("model/obj", "obj")])
def test_smooth_surface_of_a_ball(media, suffix):
    pytest.importorskip("skimage")
    middle = np.stack(np.meshgrid(*[np.arange(16) + 0.5] * 3, indexing="ij"), -1) - (6, 8, 9)
    ball = (1 / (1 + np.exp(np.linalg.norm(middle, axis=-1) - 5)))[..., None]  # .5 at a distance of 5
    found, unit = load(voxels.write(ball, media, surface="smooth"), suffix), 1 / 16 if suffix == "glb" else 1
    assert found.is_watertight and found.volume == pytest.approx(4 / 3 * np.pi * (5 * unit) ** 3, rel=0.03)
    outwards = (found.face_normals * (found.triangles_center - found.center_mass)).sum(1)
    assert (outwards > 0).all()
    place = np.array([6, 9, -8.0]) * unit + ([-0.5, 0, 0.5] if suffix == "glb" else 0)
    np.testing.assert_allclose(found.center_mass, place, atol=0.05 * unit)
    assert load(voxels.write(ball, media, surface="smooth", threshold=0.9), suffix).volume < 0.5 * found.volume
    assert b"v " not in voxels.write(0 * ball, "model/obj", surface="smooth")


def test_largest_part_of_a_mesh():
    grid = solid((0, 0, 0), (0, 0, 1), (3, 3, 3))
    assert len(load(voxels.write(grid, "model/obj"), "obj").faces) == 2 * 16
    assert len(load(voxels.write(grid, "model/obj", largest=True), "obj").faces) == 2 * 10


def test_surfaces_that_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="surface=round: must be one of cubes, smooth"):
        voxels.write(solid((0, 0, 0)), surface="round")
    monkeypatch.setitem(__import__("sys").modules, "skimage.measure", None)
    with pytest.raises(ValueError, match="needs scikit-image .pip install scikit-image.; surface=cubes does not"):
        voxels.write(solid((0, 0, 0)), surface="smooth")


def test_nothing_is_a_file_without_a_mesh():
    trimesh = pytest.importorskip("trimesh")
    data = voxels.write(np.zeros((4, 4, 4, 1)))
    assert trimesh.load_scene(io.BytesIO(data), file_type="glb").is_empty
    assert voxels.write(np.zeros((4, 4, 4, 1)), "model/obj").split() == []


# === Files that are read ===

def test_npy_there_and_back():
    sample = np.random.default_rng(0).random((4, 5, 6, 1)).astype(np.float32)
    data = voxels.write(sample, "application/x-npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), sample)
    np.testing.assert_array_equal(voxels.read(data, FREE), voxels.store(sample))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16])
def test_npy_of_three_axes_and_any_numbers(dtype):
    grid = solid((0, 1, 2))[..., 0]
    found = voxels.read(npy(grid.astype(dtype)), FREE)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, grid[..., None])


def test_a_smaller_solid_goes_into_the_middle():
    grid = np.ones((2, 3, 4), np.uint8)
    found = voxels.read(npy(grid), Field("voxels", (4, 4, None, 1)))
    assert found.shape == (4, 4, 4, 1) and found.sum() == 24
    assert found[1:3, 0:3].all()


def test_binvox_as_trimesh_writes_it():
    binvox = pytest.importorskip("trimesh.exchange.binvox")
    from trimesh.voxel import VoxelGrid
    # trimesh's grid is x, y, z of the model, whose y is up
    grid = np.random.default_rng(0).random((5, 5, 5)) < 0.3
    found = voxels.read(binvox.export_binvox(VoxelGrid(grid)), FREE)[..., 0]
    for (x, y, z), there in np.ndenumerate(grid):
        assert found[x, 4 - z, y] == there


@pytest.mark.parametrize("data, message", [
    (b"", "can be read"), (b"solid", "can be read"), (npy(np.zeros((4, 4, 4)))[:-1], "can be read"),
    (npy(np.zeros((4, 4))), r"an array \[4, 4\]"), (npy(np.zeros((2, 2, 2, 3))), "an array"),
    (npy(np.array([[["a"]]])), "an array"), (npy(np.zeros((0, 2, 2))), "a grid of 0×2×2"),
    (npy(np.zeros((101, 100, 100), np.uint8)), "101×100×100, at most 1000000"),
    (npy(np.zeros((9, 4, 4), np.uint8)), "9×4×4 voxels; at most 8×8×8"),
    (b"#binvox 1\ndata\n", "can be read"), (b"#binvox 1\ndim 2 2\ndata\n\1\4", "can be read"),
    (b"#binvox 1\ndim 2 2 2\ndata\n\1\4", "do not fill"), (b"#binvox 1\ndim 2 2 2\ndata\n\1\7\0", "do not fill"),
    (b"#binvox 1\ndim 99999 99999 99999\ndata\n\1\4", "at most 1000000"), (b"#binvox 1\ndim -1 2 2\ndata\n", "can be read")])
def test_what_cannot_be_read(data, message):
    with pytest.raises(ValueError, match=message):
        voxels.read(data, Field("voxels", (8, 8, 8, 1)), max_voxels=10**6)


@pytest.mark.parametrize("side, message", [(300, "at most 16777216 voxels"), (1 << 40, "can be read")])
def test_a_header_that_promises_too_much(side, message, monkeypatch):
    monkeypatch.setattr(np, "load", None)  # nothing is read
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|u1", "fortran_order": False, "shape": (side,) * 3})
    with pytest.raises(ValueError, match=message):
        voxels.read(data.getvalue(), FREE)


def test_a_version_of_npy_that_is_not_known():
    data = bytearray(npy(np.zeros((2, 2, 2))))
    data[6] = 9
    with pytest.raises(ValueError, match="can be read"):
        voxels.read(bytes(data), FREE)


# === Pictures ===

def pixels(grid, **options):
    return np.asarray(voxels.sheet(np.asarray(grid)[None], smallest=0, **options)).astype(int)


def test_what_is_hidden_does_not_matter():
    full = np.zeros((8, 8, 8, 1), np.float32)
    full[1:7, 1:7, 1:7] = 1
    hollow = full.copy()
    hollow[2:6, 2:6, 2:6] = 0
    np.testing.assert_array_equal(pixels(full), pixels(hollow))
    for corner, seen in ((6, 6, 6), True), ((6, 1, 6), True), ((1, 1, 1), False):
        less = full.copy()
        less[corner] = 0
        assert (pixels(less) != pixels(full)).any() == seen


def test_three_sides_are_seen_the_top_brightest():
    picture = pixels(np.ones((4, 4, 4, 1)))
    middle = voxels.SIDE // 2
    top, right, left = picture[middle // 2, middle], picture[middle * 5 // 4, middle * 3 // 2], picture[
        middle * 5 // 4, middle * 2 // 3]
    assert top.sum() > right.sum() + 60 and top.sum() > left.sum() + 60 and abs(right - left).sum() > 60
    assert (picture[0, 0] == 255).all() and (picture[-1, -1] == 255).all()


def test_up_is_up_and_x_comes_nearer():
    def middle(*place):
        ink = np.argwhere((pixels(solid(place, shape=(9, 9, 9))) < 250).all(2))
        return ink.mean(0)

    down, across = middle(4, 4, 8) - middle(4, 4, 0)
    assert down < -30 and abs(across) < 1
    (x_down, x_across), (y_down, y_across) = (middle(*place) - middle(4, 4, 4) for place in ((8, 4, 4), (4, 8, 4)))
    assert x_down > 5 and y_down > 5 and x_across < 0 < y_across


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 8, 3), (1, 1, 1)])
def test_what_a_ray_meets_first(shape):
    """Against a march along each ray in small steps."""
    there = np.random.default_rng(0).random(shape) < 0.2
    side = 24
    path, _, _ = voxels._rays(shape, side)
    padded = np.append(there.ravel(), False)
    hits = padded[path]
    first = path[np.arange(len(path)), hits.argmax(1)]
    ray = -voxels.TOWARDS / np.linalg.norm(voxels.TOWARDS)
    right = np.cross(ray, (0, 0, 1))
    right /= np.linalg.norm(right)
    down = np.cross(ray, right)
    corners = np.array(list(np.ndindex(2, 2, 2))) * shape - np.array(shape) / 2
    reach = max(np.abs(corners @ right).max(), np.abs(corners @ down).max())
    wrong = 0
    for pixel in range(0, side * side, 7):
        row, column = ((np.array(divmod(pixel, side)) + 0.5) / side * 2 - 1) * reach
        steps = np.arange(-20, 20, 0.002)[:, None]
        places = np.floor(np.array(shape) / 2 + row * down + column * right + steps * ray).astype(int)
        places = places[((places >= 0) & (places < shape)).all(1)]
        met = places[there[tuple(places.T)]]
        expected = np.ravel_multi_index(tuple(met[0]), shape) if len(met) else there.size
        wrong += expected != (first[pixel] if hits[pixel].any() else there.size)
    assert wrong <= 1  # a ray may graze an edge


def test_sheet_has_the_size_it_says():
    many = np.zeros((5, 4, 4, 4, 1))
    for options in dict(columns=3), dict(columns=8, gap=5), dict(columns=2, gap=0):
        picture = voxels.sheet(many, smallest=0, **options)
        assert picture.size == voxels.sheet_size((4, 4, 4, 1), 5, **options)[::-1] and picture.mode == "RGB"
    assert abs(voxels.sheet(many, columns=2, smallest=512).width - 512) <= 4


def test_a_picture_says_what_was_left_out():
    grid = solid((0, 0, 0), (0, 0, 1), (3, 3, 3))
    plain, largest = voxels.sheet(grid[None]), voxels.sheet(grid[None], largest=True)
    assert largest.height == plain.height + 16 and (np.asarray(largest)[-16:] < 100).any()
    above = np.asarray(largest)[:plain.height]
    np.testing.assert_array_equal(above, np.asarray(voxels.sheet(solid((0, 0, 0), (0, 0, 1))[None])))
    assert voxels.sheet(grid[None], threshold=0.1).height == plain.height + 16


def test_largest_part():
    there = np.zeros((5, 5, 5), bool)
    there[0, 0, :3] = there[1, 0, 2] = there[1, 1, 2] = True  # five, around two corners
    there[2, 2, 2] = True  # touches that at an edge alone
    there[3:5, 4, 3:5] = True  # four
    kept = voxels.largest_part(there)
    assert kept.sum() == 5 and kept[0, 0, 0] and kept[1, 1, 2] and not kept[2, 2, 2]
    assert not voxels.largest_part(np.zeros((3, 3, 3), bool)).any()
    label = pytest.importorskip("scipy.ndimage").label
    noise = np.random.default_rng(0).random((9, 10, 11)) < 0.3
    parts, _ = label(noise)
    sizes = np.bincount(parts.ravel())[1:]
    assert voxels.largest_part(noise).sum() == sizes.max()


def test_images_are_views_along_the_axes():
    seen = voxels.images(np.stack([solid((1, 2, 3)), solid((3, 0, 1), (1, 0, 1))]))
    assert seen.shape == (2, 4, 4, 3) and seen.dtype == np.float32
    expected = np.full((2, 4, 4, 3), -1.0)
    expected[0, 2, 3, 0], expected[0, 1, 3, 1], expected[0, 1, 2, 2] = 0.75, 0.5, 0.25
    expected[1, 0, 1, 0] = 0.75  # the nearer of the two
    expected[1, [3, 1], 1, 1] = 1
    expected[1, [3, 1], 0, 2] = 0.75
    np.testing.assert_array_equal(seen, expected)
    assert voxels.images(np.zeros((1, 2, 3, 5, 1))).shape == (1, 5, 5, 3)


# === Measures ===

def test_iou_by_hand():
    one, two = solid((0, 0, 0), (0, 0, 1), (0, 0, 2)), solid((0, 0, 1), (0, 0, 2), (1, 1, 1))
    nothing = np.zeros_like(one)
    found = voxels.compare(np.stack([one, one, nothing, one]), np.stack([two, one, nothing, nothing]))
    assert list(found) == ["iou"] and found["iou"].dtype == np.float64
    np.testing.assert_allclose(found["iou"], [0.5, 1, 1, 0])


def test_iou_is_one_less_jaccards_distance():
    cdist = pytest.importorskip("scipy.spatial.distance").cdist
    made, true = np.random.default_rng(0).random((2, 5, 4, 4, 4, 1))
    theirs = 1 - np.diag(cdist((made > 0.5).reshape(5, -1), (true > 0.5).reshape(5, -1), "jaccard"))
    np.testing.assert_allclose(voxels.compare(made, true)["iou"], theirs)
