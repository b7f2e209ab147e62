"""Data out of Python: --dataset=MODULE:FUNCTION, and arrays in the place of a name."""
import importlib
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kgan
from kgan.data import own
from kgan.data.source import DataError, Source

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Function of source text: writes it as the module of a name of its own in the working folder; returns that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    written = []

    def write(text, name=None):
        name = name or f"own_data_{len(written)}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text("import numpy as np\n" + text)
        written.append(name)
        return name
    yield write
    for name in written:
        sys.modules.pop(name, None)


def read(found, **options):
    return own.read("test", found, **options)


# === What may be returned ===

@pytest.mark.parametrize("values, note", [
    (IMAGES, ""), (IMAGES / np.float32(255), "[0, 1]"), (IMAGES / np.float32(127.5) - 1, "[-1, 1]"), (IMAGES.astype(np.float32), ""),
    (IMAGES.astype(np.int64), ""), (IMAGES.astype(np.uint16) * 257, ""), (list(IMAGES), ""), ([Image.fromarray(one) for one in IMAGES], ""),
    ({"img": IMAGES}, "img is read as `image`")])
def test_images_in_every_range(values, note):
    found = read(values)
    np.testing.assert_array_equal(found.arrays["image"], IMAGES)
    assert found.arrays["image"].dtype == np.uint8 and found.key == "image" and note in found.note and bool(note) == bool(found.note)


def test_grey_images_and_vectors():
    assert read(IMAGES[..., 0]).shape == (8, 8, 1)
    assert read(IMAGES[..., 0] > 99).arrays["image"].max() == 255
    assert read(np.zeros((5, 2))).fields["sample"].kind == "points" and read(np.zeros((5, 7))).fields["sample"].kind == "signal"


def test_labels_as_numbers_texts_and_one_hot():
    names = np.array(["b", "a", "c"])[LABELS]
    for labels, classes in ((LABELS, ["0", "1", "2"]), (LABELS[:, None], ["0", "1", "2"]), (np.eye(3)[LABELS], ["0", "1", "2"]),
                            (names, ["a", "b", "c"]), (list(names), ["a", "b", "c"])):
        found = read((IMAGES, labels))
        assert found.classes["label"] == classes
        np.testing.assert_array_equal(np.array(classes)[found.arrays["label"]], names if classes[0] == "a" else LABELS.astype(str))


def test_a_dict_has_other_fields():
    found = read({"image": IMAGES, "age": np.linspace(1, 9, 12), "sex": ["m", "f"] * 6})
    assert found.arrays["age"].dtype == np.float32 and found.classes == {"sex": ["f", "m"]}
    assert found.by("age", 3).classes["age"][0].startswith("1 to")


def test_images_of_any_size_are_brought_to_one():
    pictures = [Image.new("RGB", size, (200, 10, 30)) for size in ((20, 10), (8, 8), (9, 30))]
    found = read(pictures)
    assert found.shape == (64, 64, 3) and (found.arrays["image"] == (200, 10, 30)).all()
    assert read(pictures, image_size=(8, 12), channels=1).shape == (8, 12, 1)
    mixed = [np.zeros((8, 8)), np.ones((8, 8, 3))]  # grey and colour, in [0, 1]
    assert read(mixed).arrays["image"][:, 0, 0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("batch", [0, 5])
@pytest.mark.parametrize("form", [lambda image, label: image, lambda image, label: (image, label),
                                  lambda image, label: {"image": image, "label": label}])
def test_datasets_of_tensorflow(form, batch):
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).map(form)
    found = read(data.batch(batch) if batch else data)
    np.testing.assert_array_equal(found.arrays["image"], IMAGES)
    assert form is not None and ("label" not in found.arrays or (found.arrays["label"] == LABELS).all())


def test_texts_of_tensorflow_and_vectors():
    data = tf.data.Dataset.from_tensor_slices((np.ones((4, 2), np.float32), ["x", "é", "x", "é"]))
    for some in (data, data.batch(3)):
        found = read(some)
        assert found.classes["label"] == ["x", "é"] and found.arrays["sample"].shape == (4, 2)


def test_a_source_stays_what_it_is():
    assert read(Source("mine", {"audio": np.zeros((4, 9, 1), np.int16)}, more={"audio": {"rate": 8}})).fields["audio"].more == {"rate": 8}


# === Mistakes ===

@pytest.mark.parametrize("values, message", [
    (IMAGES * 3.0, "image goes from 0 to 765: images are uint8, or floats in"),
    (IMAGES * np.nan, "image goes from nan to nan"),
    (np.zeros((4, 3, 16, 16)), "has its channels first: numpy.moveaxis"),
    (np.zeros((4, 8, 8, 5)), r"examples of shape \[8, 8, 5\], and no images"),
    (np.zeros((4, 8, 8, 8, 3)), r"is an array of shape \[4, 8, 8, 8, 3\], and no images"),
    (np.zeros((0, 8, 8, 3)), "fields need as many examples each, one at least; they have image 0"),
    ((IMAGES, LABELS[:5]), "they have image 12, label 5"), (None, "is NoneType, and no images"), ("x", "is str, and no images"),
    ((IMAGES, LABELS - 1), "label goes from -1 to 1, which are no classes"), ((IMAGES, LABELS / 2), "label goes from 0.0 to 1.0, which"),
    ((IMAGES, np.ones((12, 3))), r"label of shape \[12, 3\] is not one-hot"), ({"age": LABELS}, "nothing to learn to make"),
    ({"image": IMAGES, "more": [{}] * 12}, "more holds dict"),
    (np.full((4, 5), np.nan), "sample holds numbers that are not finite")])
def test_what_is_no_data(values, message):
    with pytest.raises(DataError, match=message):
        read(values)


def test_datasets_without_end():
    data = tf.data.Dataset.from_tensor_slices(IMAGES)
    with pytest.raises(DataError, match=r"is infinite: leave out \.repeat\(\)"):
        read(data.repeat())
    with pytest.raises(DataError, match="more than .* or no end"):
        own_share, own._SHARE = own._SHARE, 1e-12
        try:
            read(data.repeat().filter(lambda image: True))  # whose length TensorFlow does not know
        finally:
            own._SHARE = own_share
    with pytest.raises(DataError, match="images, pairs of images and labels, or a dict of tensors"):
        read(tf.data.Dataset.from_tensors((1, 2, 3)))
    with pytest.raises(DataError, match="needs? as many examples each, one at least"):
        read(data.take(0).batch(2))


# === MODULE:FUNCTION ===

def test_a_function_in_the_working_folder(module):
    name = module("def photos(image_size=None, split='train', noise_dim=None):\n"
                  "    if split == 'test': return None\n"
                  "    return np.full((4, image_size, image_size), noise_dim, np.uint8)")
    found = kgan.data.source(f"{name}:photos", image_size=8, config={"noise_dim": 77, "filters": 3})
    assert found.name == f"{name}:photos" and (found.arrays["image"] == 77).all() and found.shape == (8, 8, 1)
    with pytest.raises(DataError, match="has no split 'test'"):
        kgan.data.source(f"{name}:photos", image_size=8, split="test")


def test_two_splits(module):
    name = module("def pairs():\n    return (np.zeros((4, 8, 8)), list('abac')), (np.ones((2, 8, 8)), list('ca'))")
    train, test = (kgan.data.source(f"{name}:pairs", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 2) and test.arrays["label"].tolist() == [2, 0]  # of train's classes
    name = module("def pairs():\n    return (np.zeros((4, 8, 8)), list('abab')), (np.ones((2, 8, 8)), list('ca'))")
    with pytest.raises(DataError, match="label 'c' of this split is no class of the training split"):
        kgan.data.source(f"{name}:pairs", split="test")
    name = module("def one():\n    return np.zeros((4, 8, 8))")
    with pytest.raises(DataError, match="has no split 'test': give the function a parameter `split`"):
        kgan.data.source(f"{name}:one", split="test")


def test_mistakes_in_a_name(module):
    name = module("def photos(): raise KeyError('nobody')\nthings = 3")
    for asked, message in ((f"{name}:photo", "has no function photo .did you mean 'photos'"), (f"{name}:things", "has no function things"),
                           ("nowhere_there:photos", "there is no module nowhere_there in .*, and none is installed"),
                           (f"{name}:photos", "the function failed: KeyError: 'nobody'")):
        with pytest.raises(DataError, match=message):
            kgan.data.source(asked)
    broken = module("import nowhere_to_be_found")
    with pytest.raises(DataError, match=f"importing {broken} failed: ModuleNotFoundError"):
        kgan.data.source(f"{broken}:photos")


def test_names_that_are_meant():
    assert [own.meant(name) for name in ("data:photos", "a.b:c", "mnist:3.0.1", "mnist", "folder:photos", "celeb_a/x:1.0.0", "a:b:c")] == \
        [True, True, False, False, False, False, False]


def test_a_run_knows_its_content(module):
    name = module("value = 3\ndef photos(): return np.full((4, 8, 8), value, np.uint8)")
    dataset = f"{name}:photos"
    kgan.data.trust(dataset)
    settings = {"dataset": dataset, "config": {}}
    settings["data"] = kgan.data.fingerprint(kgan.data.of(settings), settings)
    kgan.data.of(settings)
    importlib.import_module(name).value = 4
    own._called.cache_clear()
    with pytest.warns(UserWarning, match="its content is not what the run was trained on"):
        kgan.data.of(settings)


def test_settings_of_someone_else_call_no_function(module, tmp_path, monkeypatch):
    name = module("open('ran', 'w')\ndef photos(): return np.zeros((4, 8, 8))")
    for asked in (lambda: kgan.data.of({"dataset": f"{name}:photos", "config": {}}),
                  lambda: kgan.metrics.Evaluator(IMAGES, f"classifier:{name}:photos")):
        with pytest.raises(DataError, match="settings name this Python function, and nobody has named it on this machine"):
            asked()
    assert not (tmp_path / "ran").exists()
    kgan.data.trust(f"{name}:photos")
    assert not (tmp_path / "ran").exists()
    monkeypatch.setattr(own, "_named", set())  # as in the next process
    assert len(kgan.data.of({"dataset": f"{name}:photos", "config": {}})) == 4
    (tmp_path / "other").mkdir()  # another module of that name
    (tmp_path / "other" / f"{name}.py").write_text("")
    monkeypatch.chdir(tmp_path / "other")
    sys.modules.pop(name)
    with pytest.raises(DataError, match="nobody has named it on this machine with the file that is found now, .*other"):
        own.check(f"{name}:photos")
    (tmp_path / "cache" / "functions.json").write_text(json.dumps([]))
    with pytest.raises(DataError):
        own.check(f"{name}:photos")


# === In Python ===

def test_arrays_in_the_place_of_a_name():
    with pytest.warns(UserWarning, match=r"data: image in \[0, 1\] is kept"):
        batches = kgan.data.load((IMAGES / 255.0, LABELS), batch_size=4)
    batch = next(batches.as_numpy_iterator())
    assert batch["image"].shape == (4, 8, 8, 3) and -1 <= batch["image"].min() < -0.9 and batch["label"].dtype == np.int64
    assert kgan.data.of({"dataset": IMAGES}, {"image": "image"}).shape == (8, 8, 3)


def test_an_evaluator_of_arrays():
    rng = np.random.default_rng(1)
    train, test = (rng.integers(0, 256, (count, 32, 32, 1)).astype(np.uint8) for count in (9, 6))
    evaluator = kgan.metrics.Evaluator(train, network="none", count=5)
    assert evaluator.count == 5 and not evaluator.held_back and evaluator.protocol["dataset"] == "data"
    assert evaluator.figures(evaluator.examples)["sliced_wasserstein"] == 0
    evaluator = kgan.metrics.Evaluator(((train, np.arange(9) % 2), (test, np.arange(6) % 2)), network="none")
    assert evaluator.held_back and evaluator.count == 6
    np.testing.assert_array_equal(evaluator.labels, [0, 1, 0, 1, 0, 1])
