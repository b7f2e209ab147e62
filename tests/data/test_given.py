"""The data of models that make images of a given one, as `kgan.data.of` gives them to train.py."""
import sys
import types

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data.degrade import degrade
from kgan.data.source import DataError

NEEDS = {"input": "image", "image": "image"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs in two folders: A grey, B in colour, its upper left corner marked with A's shade."""
    root = tmp_path_factory.mktemp("pairs")
    for split, count in (("train", 10), ("test", 4)):
        for i in range(count):
            rng = np.random.default_rng([count, i])
            one, other = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ((16, 16), (16, 16, 3)))
            other[0, 0] = one[0, 0]
            for name, pixels in (("A", one), ("B", other)):
                (root / name / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / name / split / f"{i}.png")
    return root


def settings(folder, **config):
    return {"dataset": f"folder:{folder}", "image_size": 16, "seed": 5, "config": config}


def first(source, count=2, **options):
    """The first batches, as arrays."""
    batches = kgan.data.batches(source, 4, seed=5, repeat=True, **options)
    return [{name: np.asarray(values) for name, values in batch.items()} for batch in batches.take(count)]


def test_pairs_and_their_test_split(folder):
    train, test = (kgan.data.of(settings(folder), NEEDS, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (10, 4)
    assert {name: (field.kind, field.shape) for name, field in train.fields.items()} == {
        "input": ("image", (16, 16, 1)), "image": ("image", (16, 16, 3))}
    for batch in first(train):
        assert batch["input"].shape == (4, 16, 16, 1) and batch["image"].shape == (4, 16, 16, 3)
        np.testing.assert_array_equal(batch["image"][:, 0, 0], np.repeat(batch["input"][:, 0, 0], 3, -1))  # partners


def test_a_model_that_needs_no_input_has_a_plain_folder(folder):
    found = kgan.data.of(settings(folder))
    assert {*found.arrays} == {"image", "label"} and len(found) == 28


def test_direction(folder):
    there, back = (kgan.data.of(settings(folder, direction=direction), NEEDS) for direction in ("AtoB", "BtoA"))
    assert back.shape == (16, 16, 1) and back.fields["input"].shape == (16, 16, 3)
    np.testing.assert_array_equal(back.arrays["image"], there.arrays["input"])
    np.testing.assert_array_equal(back.arrays["input"], there.arrays["image"])


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_outlines_both_ways(direction):
    found = kgan.data.of({"dataset": "outlines", "image_size": 28, "config": {"direction": direction}}, NEEDS, "test")
    channels = {name: found.fields[name].shape[-1] for name in NEEDS}
    assert channels == ({"input": 1, "image": 3} if direction == "AtoB" else {"input": 3, "image": 1})


def test_degrade_makes_the_input(images):
    # of any images: 8 pixels, no pairs
    plain = kgan.data.of({"dataset": f"folder:{images}", "image_size": 8})
    found = kgan.data.of({**settings(images, degrade="grey+noise:20"), "image_size": 8}, NEEDS)
    np.testing.assert_array_equal(found.arrays["image"], plain.arrays["image"])
    np.testing.assert_array_equal(found.arrays["input"][3:5], degrade("grey+noise:20", plain.arrays["image"], 5, range(22))[3:5])
    # in training the noise is new each time, and a function of the place in the run
    whole = first(found, 12)
    np.testing.assert_array_equal(first(found, 3, start=9)[2]["input"], whole[11]["input"])
    seen = {}
    for batch in whole:
        for image, given in zip(batch["image"], batch["input"]):
            seen.setdefault(image.tobytes(), set()).add(given.tobytes())
    assert len(seen) == 22 and {len(each) for each in seen.values()} == {2, 3}  # 48 examples of 22


def test_jitter_and_flips_are_of_both_alike(images):
    plain = {**settings(images, degrade="grey", jitter=0.25), "image_size": 8}
    found = kgan.data.of(plain, NEEDS)
    originals = {image.tobytes() for image in (found.arrays["image"][:] / np.float32(127.5) - 1)}
    for batch in first(found, flip=True):
        stored = np.rint((batch["image"] + 1) * 127.5).astype(np.uint8)
        given = np.rint((batch["input"] + 1) * 127.5).astype(np.uint8)
        np.testing.assert_array_equal(degrade("grey", stored, 0, range(4)), given)
        assert not {image.tobytes() for image in batch["image"]} & originals
    # measures see them as they are
    held = kgan.data.of(plain, NEEDS).examples([1])
    np.testing.assert_array_equal(held, found.arrays["image"][1:2] / np.float32(127.5) - 1)


def test_a_folder_without_pairs_says_what_would_do(images):
    with pytest.raises(DataError, match="holds no pairs of images: .*folders A and B.*--set degrade=grey"):
        kgan.data.of({**settings(images), "image_size": 8}, NEEDS)
    with pytest.raises(DataError, match="degrade=gray: no degradation is named 'gray'"):
        kgan.data.of({**settings(images, degrade="gray"), "image_size": 8}, NEEDS)


def test_data_of_one_number_of_channels_are_found_again_by_it():
    assert kgan.data.of({"dataset": "silhouettes", "image_size": 16, "channels": 1}, {"image": "image"}).shape == (16, 16, 1)
    with pytest.raises(kgan.data.DataError, match="channels=3: silhouettes has no channels to choose"):
        kgan.data.of({"dataset": "silhouettes", "image_size": 16, "channels": 3}, {"image": "image"})


def test_a_folder_of_another_kind_is_read_by_its_own_file(tmp_path, monkeypatch):
    """With those settings of the model that this has parameters for, and no others."""
    seen = {}

    def source(path, rate=8, length=4, image_size=None, split="train"):
        seen.update(path=path, rate=rate, length=length, image_size=image_size, split=split)
        return kgan.data.Source("waves", {"sample": np.zeros((3, length), np.float32)})

    monkeypatch.setitem(sys.modules, "kgan.data.waves", types.SimpleNamespace(source=source))
    monkeypatch.setitem(kgan.data.FOLDERS, "signal", "waves")
    settings = {"dataset": f"folder:{tmp_path}", "config": {"rate": 16, "filters": 3}}
    assert kgan.data.of(settings, {"sample": "signal"}).shape == (4,)
    assert seen == {"path": str(tmp_path), "rate": 16, "length": 4, "image_size": None, "split": "train"}
    with pytest.raises(kgan.data.DataError, match="channels=3: .* has no channels to choose"):
        kgan.data.of({**settings, "channels": 3}, {"sample": "signal"})
    with pytest.raises(kgan.data.DataError, match="crop=False: .* has no crop to choose"):
        kgan.data.of({**settings, "crop": False}, {"sample": "signal"})
