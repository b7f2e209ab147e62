import numpy as np
import pytest

import kgan.data
from kgan.data import solids
from kgan.data.source import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))


def test_fields():
    source = solids.source(count=400)
    assert {field: (values.dtype.name, values.shape) for field, values in source.arrays.items()} == {
        "voxels": ("uint8", (400, 32, 32, 32, 1)), "label": ("int64", (400,)), "turn": ("int64", (400,))}
    assert source.name == "solids" and source.classes["label"] == ["chair", "table", "shelf", "lamp"]
    assert set(np.unique(source.arrays["voxels"])) == {0, 1}
    # four classes and two turns, all as likely: 100 and 200, give or take four standard deviations
    assert all(65 < count < 135 for count in np.bincount(source.arrays["label"], minlength=4))
    assert abs(source.arrays["turn"].sum() - 200) < 40


def test_split_defaults(monkeypatch):
    keys = []  # writing nothing: which key would be drawn
    monkeypatch.setattr(solids, "cached", lambda name, key, write: keys.append(key) or ({"voxels": []}, {}))
    solids.source()
    solids.source(split="test")
    assert [key["count"] for key in keys] == [8_000, 1_000] and keys[0]["stream"] != keys[1]["stream"]


def test_a_solid_depends_on_seed_and_number_alone(tmp_path, monkeypatch):
    few, many = (solids.source(count=count, seed=3).arrays for count in (10, 30))
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "elsewhere"))
    again = solids.source(count=10, seed=3).arrays
    for field in few:
        np.testing.assert_array_equal(few[field], many[field][:10])
        np.testing.assert_array_equal(few[field], again[field])
    for other in solids.source(count=10, seed=4), solids.source(split="test", count=10, seed=3):
        assert (other.arrays["voxels"] != few["voxels"]).any()


def test_the_same_solids_at_every_size():
    small, middle, large = (solids.source(size, count=40).arrays["voxels"][..., 0] for size in (16, 32, 64))
    np.testing.assert_array_equal(large, middle.repeat(2, 1).repeat(2, 2).repeat(2, 3))
    # at 16 what fills a part of a voxel fills it
    np.testing.assert_array_equal(small, middle.reshape(40, 16, 2, 16, 2, 16, 2).max((2, 4, 6)))


def test_they_stand_on_the_floor_in_one_piece_and_touch_no_wall():
    label = pytest.importorskip("scipy.ndimage").label
    source = solids.source(count=400)
    voxels = source.arrays["voxels"][..., 0]
    assert voxels[:, :, :, solids.FLOOR].any((1, 2)).all() and not voxels[:, :, :, :solids.FLOOR].any()
    rim = np.ones((32, 32, 32), bool)
    rim[1:-1, 1:-1, 1:-1] = False
    assert not voxels[:, rim].any()
    assert all(label(solid)[1] == 1 for solid in voxels)
    fill = voxels.mean((1, 2, 3))
    assert 0.04 < fill.mean() < 0.05 and 0.01 < fill.min() and fill.max() < 0.2
    # in the middle: as far from one wall as from the other
    for axis in (1, 2):
        there = voxels.any(tuple({1, 2, 3} - {axis}))
        np.testing.assert_array_equal(there.argmax(1), there[:, ::-1].argmax(1))


def test_chairs_have_their_back_behind():
    source = solids.source(count=200)
    chosen = source.arrays["label"] == 0
    for solid, turn in zip(source.arrays["voxels"][chosen, ..., 0], source.arrays["turn"][chosen]):
        high = solid[:, :, 24:].any((1, 2) if turn == 0 else (0, 2))
        if high.any():  # of what is above the arms all is in the half away from the front
            assert np.flatnonzero(high).max() < 16
    assert chosen.sum() > 20


def test_shelves_and_lamps_are_high_and_tables_are_low():
    source = solids.source(count=400)
    top = 31 - source.arrays["voxels"][..., 0].any((1, 2))[:, ::-1].argmax(1)
    label = source.arrays["label"]
    assert top[label == 1].max() < 22 <= top[(label == 2) | (label == 3)].min() + 1


def test_kinds_differ_within_a_class():
    source = solids.source(count=400)
    for number in range(4):
        those = source.arrays["voxels"][source.arrays["label"] == number].reshape(-1, 32**3)
        assert len(np.unique(those, axis=0)) > 0.6 * len(those)


def test_boxes_are_filled_by_hand():
    voxels = solids.fill([(2, 4, 0, 32, 30, 32), (5, 6, 5, 6, 5, 6)], 16)
    expected = np.zeros((16, 16, 16), np.uint8)
    expected[1, :, 15] = 1
    expected[2, 2, 2] = 1  # half as wide as a voxel, but seen
    np.testing.assert_array_equal(voxels, expected)


def test_by_name():
    kgan.data.check_name("solids")
    source = kgan.data.source("solids", image_size=16, split="test")
    assert len(source) == 1_000 and source.arrays["voxels"].shape[1:] == (16, 16, 16, 1)


@pytest.mark.parametrize("options, message", [
    (dict(image_size=28), "image_size must be one of 16, 32, 64, not 28"), (dict(split="valid"), "train, test, not 'valid'"),
    (dict(count=0), "count must be 1 or more"), (dict(count=1.5), "count must be"), (dict(seed=-1), "seed 0 or more")])
def test_what_cannot_be(options, message):
    with pytest.raises(DataError, match=message):
        solids.source(**options)
