"""Data are known by their content: however a folder is spelled, wherever from, and whatever it holds meanwhile."""
import json
import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data import cache, identity
from kgan.data.source import Source
from kgan.run import Run, RunError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", range(12))
    return tmp_path


def fill(root, greys, first=0):
    root.mkdir(parents=True, exist_ok=True)
    for i, grey in enumerate(greys, first):
        Image.new("L", (8, 8), 200 + grey).save(root / f"{i:02}.png")


def settings(dataset="folder:photos", **changes):
    """As train.py would have them, complete with the fingerprint."""
    found = {"model": "dcgan", "dataset": dataset, "image_size": 8, "channels": 1, "crop": True, "seed": 0,
             "config": {"condition": "", "bins": 6}, **changes}
    source = kgan.data.of(found)
    return {**found, "shape": list(source.shape), "data": kgan.data.fingerprint(source, found)}


def differ(there, now):
    """What differs between two settings, as config.json has them: (lines, warnings)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lines = identity.differences(json.loads(json.dumps(there)), json.loads(json.dumps(now)))
    return lines, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("spelling", ["photos/", "./photos", "{0}/photos", "~/photos", "link", "photos/../photos", "copy", "moved"])
def test_equal_data_go_on(place, spelling):
    first = settings()
    (place / "link").symlink_to("photos")
    shutil.copytree(place / "photos", place / "copy")
    (place / "photos").rename(place / "moved") if spelling == "moved" else None
    assert differ(first, settings("folder:" + spelling.format(place))) == ([], [])


def test_equal_data_from_another_working_directory(place, monkeypatch):
    first = settings()
    (place / "deep").mkdir()
    monkeypatch.chdir(place / "deep")
    assert differ(first, settings("folder:../photos")) == ([], [])
    # what only reads a run's settings finds the folder where it was then
    assert kgan.data.of(first).arrays["image"][:, 0, 0, 0].tolist() == [200 + i for i in range(12)]
    # though another is where the path leads to from here
    fill(place / "deep" / "photos", range(3))
    assert len(kgan.data.of(first)) == 12
    assert len(kgan.data.of({**first, "dataset": f"folder:{place}/deep/photos"})) == 3


def test_other_data_of_the_same_name_are_refused(place, monkeypatch):
    first = settings()
    fill(place / "deep" / "photos", range(1, 13))
    monkeypatch.chdir(place / "deep")
    lines, warned = differ(first, settings())
    assert lines == ["dataset: folder:photos there, folder:photos now, whose content differs: 12 examples, as many as then"]
    assert not warned


@pytest.mark.parametrize("change, counts", [
    ("added", "12 examples then, 13 now"), ("removed", "12 examples then, 11 now"), ("changed", "12 examples, as many as then"),
    ("reordered", "12 examples, as many as then"),
])
def test_changed_content_is_warned_of(place, change, counts):
    first = settings()
    photos = place / "photos"
    if change == "added":
        fill(photos, [3], 12)
    elif change == "removed":
        (photos / "05.png").unlink()
    elif change == "changed":
        fill(photos, [40], 7)
    else:
        (photos / "00.png").rename(photos / "99.png")
    lines, warned = differ(first, settings())
    assert lines == [] and len(warned) == 1 and f"folder:photos: its content has changed since the run began ({counts})" in warned[0]
    with pytest.warns(UserWarning, match="its content is not what the run was trained on"):
        kgan.data.of(first)


def test_labels_are_content_where_they_are_asked_for(place):
    (place / "photos" / "labels.csv").write_text("image,kind\n" + "".join(f"{i:02}.png,{'ab'[i % 2]}\n" for i in range(12)))
    asked = dict(config={"condition": "kind", "bins": 6})
    first, plain = settings(**asked), settings()
    (place / "photos" / "labels.csv").write_text("image,kind\n" + "".join(f"{i:02}.png,{'ab'[i // 6]}\n" for i in range(12)))
    assert "has changed" in differ(first, settings(**asked))[1][0]
    assert differ(plain, settings()) == ([], [])


def test_touched_files_are_equal(place):
    first = settings()
    for file in (place / "photos").iterdir():
        os.utime(file, ns=(1, 1))
    assert differ(first, settings()) == ([], [])


def test_runs_without_a_fingerprint_go_on(place):
    now = settings("folder:photos/")
    before = {name: value for name, value in settings().items() if name != "data"}
    assert differ(before, now) == ([], [])
    assert differ({**before, "dataset": "folder:others"}, now)[0] == ["dataset: folder:others there, folder:photos/ now"]
    assert len(kgan.data.of(before)) == 12


def test_other_settings_are_said_by_their_own_lines(place):
    first, now = settings(), settings(image_size=4)
    assert differ(first, now) == ([], [])


def test_a_run_directory_knows_its_data(place, monkeypatch):
    run = Run(place / "run")
    config = kgan.models.outline("dcgan").Config()
    whole = {**settings(), "config": {name: value for name, value in vars(config).items() if name != "dataset"}}
    run.begin(whole)
    run.check({**whole, "dataset": f"folder:{place}/photos/"})
    with pytest.warns(UserWarning, match="has changed since the run began"):
        run.check({**whole, "data": {**whole["data"], "content": "00000000"}})
    with pytest.raises(RunError, match="dataset: folder:photos there, folder:other now, whose content differs"):
        run.check({**whole, "dataset": "folder:other", "data": {**whole["data"], "path": "/other", "content": "00000000"}})


def test_checksums_are_kept_beside_what_is_prepared(place, monkeypatch):
    arrays, _ = cache.cached("some", {"a": 1}, lambda folder: np.save(folder / "x.npy", np.arange(1000)) or {})
    first = identity._checksum(arrays["x"])
    assert first == identity._crc(np.arange(1000)) == identity.zlib.crc32(np.arange(1000).tobytes())
    monkeypatch.setattr(identity, "_BLOCK", 64)  # by parts it is the same
    assert identity._crc(np.arange(1000)) == first
    assert identity._checksum(arrays["x"][1:]) != first  # a part is not taken for the whole
    monkeypatch.setattr(identity, "_crc", lambda array: pytest.fail("computed again"))
    again, _ = cache.cached("some", {"a": 1}, None)
    assert {*again} == {"x"} and identity._checksum(again["x"]) == first


def test_what_is_made_on_the_fly_is_what_it_is_made_of(place):
    needs = {"input": "image", "image": "image"}
    there = settings(config={"condition": "", "bins": 6, "degrade": "noise:20", "jitter": 0.1})
    source = kgan.data.of({**there, "data": None}, needs)
    assert kgan.data.fingerprint(source, there)["content"] == kgan.data.fingerprint(
        kgan.data.of({**there, "seed": 5, "data": None}, needs), there)["content"]
    other = Source("points", {"sample": np.zeros((4, 2), np.float32)})
    assert kgan.data.fingerprint(other, {"dataset": "ring"})["examples"] == 4


@pytest.mark.parametrize("name, value", [("tokens", "characters"), ("vocabulary", 9), ("frames", 8), ("notes_a_piece", 9), ("rate", 8000)])
def test_what_is_read_otherwise_is_not_compared(name, value):
    """Another content is not said of data that are cut into other pieces."""
    assert identity._made({"config": {name: value}}) != identity._made({"config": {name: f"{value}0"}})
