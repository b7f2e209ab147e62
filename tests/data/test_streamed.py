"""Images that are decoded as they are read: the same, bit for bit, as a prepared copy has them."""
import shutil

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data import cache as caches
from kgan.data import folder
from kgan.data.identity import fingerprint
from kgan.data.onthefly import CutOut, Jittered
from kgan.data.source import DataError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """70 JPEG files of different sizes in two classes, one of which is broken."""
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i in range(70):
        place = tmp_path / "photos" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i % 3, 24, 3)).astype(np.uint8)).save(place / f"{i:02}.jpg")
    (tmp_path / "photos/b/07.jpg").write_bytes(b"\xff\xd8\xff broken")
    return tmp_path / "photos"


def both(root, size=12, **options):
    return [kgan.data.source(f"folder:{root}", image_size=size, cache=cache, **options) for cache in ("disk", "none")]


def test_the_same_as_a_prepared_copy(photos, tmp_path):
    kept, streamed = both(photos)
    assert isinstance(streamed.arrays["image"], folder.Decoded) and not list((tmp_path / "cache").glob("index-*/image.npy"))
    assert kept.classes == streamed.classes and kept.note == streamed.note and "1 of 70 image files" in kept.note
    np.testing.assert_array_equal(kept.arrays["label"], streamed.arrays["label"])
    assert (kept.arrays["image"].shape, kept.arrays["image"].dtype) == (streamed.arrays["image"].shape, streamed.arrays["image"].dtype)
    for rows in (3, -1, slice(5, 9), np.array([[1, 60], [1, 2]]), slice(None), np.arange(69) % 9 == 2, []):
        np.testing.assert_array_equal(kept.arrays["image"][rows], streamed.arrays["image"][rows])
    settings = {"dataset": f"folder:{photos}", "image_size": 12}
    assert fingerprint(kept, settings) == fingerprint(streamed, settings)  # a run goes on with either


@pytest.mark.parametrize("start", [0, 3])
def test_the_same_batches(photos, start):
    for kept, streamed in zip(*(kgan.data.batches(found, 32, seed=5, repeat=True, flip=True, start=start).take(4) for found in both(photos))):
        assert {*kept} == {*streamed} == {"image", "label"}
        for name, values in kept.items():
            np.testing.assert_array_equal(values, streamed[name])


def test_the_same_cuts_and_jitter(photos):
    rows, positions = np.arange(6), np.arange(40, 46)
    kept, streamed = (Jittered(CutOut(found.arrays["image"], 8, 3), 0.2, 3).at(rows, positions) for found in both(photos))
    np.testing.assert_array_equal(kept, streamed)


def test_grey_files_and_columns(photos):
    for path in photos.rglob("*.jpg"):
        Image.new("L", (9, 9), int(path.stem)).save(path)
    (photos / "labels.csv").write_text("image,age\n" + "".join(f"{'ab'[i % 2]}/{i:02}.jpg,{i}\n" for i in range(0, 70, 3)))
    kept, streamed = both(photos, attributes="age")
    assert streamed.shape == (12, 12, 1) and len(streamed) == 24
    np.testing.assert_array_equal(streamed.arrays["image"][:, 3, 3, 0], kept.arrays["image"][:, 3, 3, 0])
    np.testing.assert_allclose(streamed.arrays["image"][:, 3, 3, 0], streamed.arrays["age"], atol=1)  # JPEG
    settings = {"dataset": "x", "config": {"condition": "age"}}
    assert fingerprint(kept, settings) == fingerprint(streamed, settings)


def test_automatic_above_a_share_of_the_free_disk(photos, monkeypatch):
    sizes = 70 * 12 * 12 * 3
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**12, 0, 2 * sizes - 1))
    found = kgan.data.source(f"folder:{photos}", image_size=12)
    assert isinstance(found.arrays["image"], folder.Decoded)
    assert "A prepared copy would take 3.02e-05 GB, more than 50 % of the 6.05e-05 GB that are free for it: images are decoded as" in found.note
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**12, 0, 2 * sizes))
    found = kgan.data.source(f"folder:{photos}", image_size=12)
    assert isinstance(found.arrays["image"], np.memmap) and "prepared copy" not in found.note
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**12, 0, 0))
    assert isinstance(kgan.data.source(f"folder:{photos}", image_size=12).arrays["image"], np.memmap)  # it lies there


def test_a_file_that_is_gone(photos):
    _, streamed = both(photos)
    (photos / "a/00.jpg").unlink()
    with pytest.raises(DataError, match="00.jpg: could be read when the data were looked through, and cannot be any more"):
        streamed.arrays["image"][:3]


def test_others_are_prepared_in_any_case(photos):
    for name in ("glyphs", "some_module:function", "mnist"):
        with pytest.raises(DataError, match="--cache=none: is for folders of images"):
            kgan.data.source(name, cache="none")
    with pytest.raises(DataError, match="--cache=none: is for folders of images"):
        kgan.data.of({"dataset": f"folder:{photos}", "cache": "none"}, {"input": "image", "image": "image"})
