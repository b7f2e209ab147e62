import numpy as np
import pytest

import kgan
from kgan.data import shapes, solids
from kgan.data.source import DataError
from kgan.kinds import voxels


def solid(shape=(4, 4, 4), seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


def save(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, array)


def test_one_and_many_in_a_file(tmp_path):
    one, many = solid((4, 3, 4)), solid((5, 4, 4, 4), seed=1)
    save(tmp_path / "a.npy", one)
    save(tmp_path / "b.npy", many)
    save(tmp_path / "c.npy", many[..., None].astype(bool))
    source = shapes.source(tmp_path, image_size=8)
    assert source.kind == "voxels" and source.shape == (8, 8, 8, 1) and len(source) == 11 and not source.classes
    np.testing.assert_array_equal(source.arrays["voxels"][0, 2:6, 2:5, 2:6, 0], one)
    np.testing.assert_array_equal(source.arrays["voxels"][1:6, 2:6, 2:6, 2:6, 0], many)
    np.testing.assert_array_equal(source.arrays["voxels"][6:], source.arrays["voxels"][1:6])
    assert source.arrays["voxels"].sum() == one.sum() + 2 * many.sum()


def test_larger_ones_are_reduced(tmp_path):
    large = solid((8, 8, 7))
    save(tmp_path / "a.npy", large)
    found = shapes.source(tmp_path, image_size=4).arrays["voxels"][0, ..., 0]
    for place in np.ndindex(4, 4, 4):
        assert found[place] == large[tuple(slice(2 * k, 2 * k + 2) for k in place)].max()


def test_labels_and_splits(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for name in ("chair", "lamp"):
            save(tmp_path / split / name / "some.npy", solid((count, 4, 4, 4)))
    train, test = (kgan.data.of({"dataset": f"folder:{tmp_path}", "image_size": 4, "config": {}}, {"voxels": "voxels"}, split)
                   for split in ("train", "test"))
    assert train.classes["label"] == ["chair", "lamp"] and train.arrays["label"].tolist() == [0] * 3 + [1] * 3
    assert len(test) == 4 and train.shape == (4, 4, 4, 1)
    with pytest.raises(DataError, match="no split 'test'"):
        shapes.source(tmp_path / "train", split="test")


def test_binvox(tmp_path):
    binvox = pytest.importorskip("trimesh.exchange.binvox")
    from trimesh.voxel import VoxelGrid
    grid = solid((5, 5, 5)).astype(bool)
    (tmp_path / "a.binvox").write_bytes(binvox.export_binvox(VoxelGrid(grid)))
    found = shapes.source(tmp_path, image_size=5).arrays["voxels"][0, ..., 0]
    np.testing.assert_array_equal(found, grid.swapaxes(1, 2)[:, ::-1])


@pytest.mark.parametrize("media, suffix", [("model/gltf-binary", ".glb"), ("model/obj", ".obj")])
def test_meshes_that_kgan_writes_come_back(tmp_path, media, suffix):
    pytest.importorskip("trimesh")
    chair = np.array(solids.source(image_size=16, count=1).arrays["voxels"][0])
    (tmp_path / f"a{suffix}").write_bytes(voxels.write(chair, media))
    found = shapes.source(tmp_path, image_size=32).arrays["voxels"][0]
    # the mesh fills the cube: cut out what it was made of, and make it as large
    filled = np.argwhere(chair[..., 0])
    low, high = filled.min(0), filled.max(0) + 1
    cells = ((np.indices((32,) * 3).reshape(3, -1).T + 0.5 - 16) * (high - low).max() / 30 + (low + high) / 2)
    inside = ((cells >= 0) & (cells < 16)).all(1)
    wanted = np.zeros(32**3, bool)
    wanted[inside] = chair[tuple(cells[inside].astype(int).T)][:, 0] > 0
    # the surface counts to both sides of it, so that more is filled
    both = found.ravel().astype(bool)
    assert (both & wanted).sum() > 0.999 * wanted.sum() and wanted.sum() / both.sum() > 0.6


def test_a_closed_mesh_is_filled_and_stands_upright(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    trimesh.creation.icosphere(subdivisions=3).export(tmp_path / "ball.off")
    trimesh.creation.box((1, 1, 4)).export(tmp_path / "pole.off")
    trimesh.creation.box((1, 4, 1)).export(tmp_path / "pole.ply")
    ball, pole, other = (shapes.source(tmp_path, image_size=20).arrays["voxels"][i, ..., 0] for i in range(3))
    assert ball[10, 10, 10] == 1 and ball.sum() == pytest.approx(4 / 3 * np.pi * 9.5**3, rel=0.05)  # half a voxel of surface
    assert [len(np.flatnonzero(pole.any(axes))) for axes in ((1, 2), (0, 2), (0, 1))] == [6, 6, 18]  # z is up in .off
    np.testing.assert_array_equal(pole, other)  # and y in others


def test_what_is_left_out(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.npy", solid())
    (tmp_path / "x.npy").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_text("none")
    save(tmp_path / "empty.npy", np.zeros((4, 4, 4)))
    note = shapes.source(tmp_path, image_size=4).note
    assert "1 files cannot be read and are left out ('x.npy': " in note and "1 of its solids are empty" in note and ".txt (1)" in note
    (tmp_path / "y.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="2 of 13 files in .* cannot be read, more than the 10 %"):
        shapes.source(tmp_path, image_size=4)


def test_nothing_to_be_had(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="No solids in .*: it holds no files. kgan reads .npy, .binvox, .off"):
        shapes.source(tmp_path)
    (tmp_path / "a.off").write_text("OFF")
    monkeypatch.setitem(__import__("sys").modules, "trimesh", None)
    with pytest.raises(DataError, match="holds meshes .a.off.: pip install trimesh, which"):
        shapes.source(tmp_path)
