"""What is remarked of data that are in order as files, and hardly what is meant."""
import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data.source import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def of(root, needs=None, **config):
    return kgan.data.of({"dataset": f"folder:{root}", "image_size": 8, "config": config}, needs)


def fill(root, *folders, count=3):
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", (8, 8), 200).save(root / folder / f"{i}.png")


# === Near black ===

@pytest.mark.parametrize("bits, dtype, suffix, peak", [
    (12, np.uint16, "png", 16), (12, np.uint16, "tif", 16), (10, np.uint16, "tif", 4), (14, np.uint16, "png", 64),
    (1, np.uint8, "png", 1), (4, np.uint8, "bmp", 15), (12, np.int32, "tif", 16),
])
def test_few_bits_in_deep_files(tmp_path, bits, dtype, suffix, peak):
    values = np.random.default_rng(0).integers(0, 2**bits, (4, 8, 8)).astype(dtype)
    values[:, 0, 0] = 2**bits - 1
    for i, image in enumerate(values):
        Image.fromarray(image).save(tmp_path / f"{i}.{suffix}")
    assert f"image is near black in all 4 examples looked at, {peak} of 255 at most" in of(tmp_path).note
    with pytest.warns(UserWarning, match="near black.*12 or 14 bits in files of 16"):
        kgan.data.load(f"folder:{tmp_path}", 2, image_size=8)


def test_one_bright_picture_is_enough(tmp_path, recwarn):
    for i, white in enumerate([40, 65535, 900]):
        Image.fromarray(np.full((8, 8), white, np.uint16)).save(tmp_path / f"{i}.png")
    assert of(tmp_path).note == ""
    kgan.data.load(f"folder:{tmp_path}", 2, image_size=8)
    assert not [one for one in recwarn if "black" in str(one.message)]


def test_masks_of_pairs(tmp_path):
    fill(tmp_path, "input", "target")
    for i in range(3):
        Image.new("L", (8, 8), i).save(tmp_path / "target" / f"{i}.png")
    note = of(tmp_path, {"input": "image", "image": "image"}).note
    assert note.startswith("image is near black in all 3 examples looked at, 2 of 255") and "input" not in note


# === Laid out for something else ===

@pytest.mark.parametrize("folders, what", [
    (("train", "test"), "parts of a data set"), (("Train", "Val", "Test"), "parts of a data set"), (("train",), "parts of a data set"),
    (("images", "masks"), "sides of pairs"), (("trainA", "trainB", "testA", "testB"), "sides of pairs"), (("A", "B"), "sides of pairs"),
    (("images", "labels"), "sides of pairs"), (("input", "target", "val"), "sides of pairs"),
])
def test_folders_that_are_no_classes(tmp_path, folders, what):
    fill(tmp_path, *folders)
    listing = ", ".join(sorted(folders))
    assert f"Its sub-folders {listing} look like {what}, and all their images are read: name " in of(tmp_path).note
    with pytest.raises(DataError, match=f"folder:.*: its sub-folders {listing} look like {what} and not like classes: name"):
        of(tmp_path, condition="label")
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(
        f"{folder}/{i}.png,{'xy'[i % 2]}\n" for folder in folders for i in range(3)))
    assert of(tmp_path, condition="label").classes["label"] == ["x", "y"]


@pytest.mark.parametrize("folders", [("cat", "dog"), ("train", "ship"), ("a", "b", "c"), ("image", "text"), ("mask",)])
def test_folders_that_may_be_classes(tmp_path, folders):
    fill(tmp_path, *folders)
    assert of(tmp_path).note == ""


def test_one_class_is_no_condition(tmp_path):
    fill(tmp_path, "cats")
    with pytest.raises(DataError, match="condition=label: all of folder:.* is of one class, 'cats'; it takes two"):
        of(tmp_path, condition="label")
    (tmp_path / "labels.csv").write_text("image,age,kind\n" + "".join(f"cats/{i}.png,3,x\n" for i in range(3)))
    for column in ("age", "kind"):
        with pytest.raises(DataError, match=f"condition={column}: .*"):
            of(tmp_path, condition=column)
