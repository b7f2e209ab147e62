import time
from pathlib import Path

import numpy as np
import pytest

from kgan.data import catalog
from kgan.data.source import DataError

tfds = pytest.importorskip("tensorflow_datasets")
ORIGINALS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class KganOddities(tfds.core.GeneratorBasedBuilder):
    """What mnist does not have: sizes that differ, nested scalars, a second set of classes, an unlabelled split."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "first"}

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["cold", "warm"]),
            "attributes": {"Male": np.bool_, "age": np.uint8, "name": tfds.features.Text()},
            "score": np.float64,
            "box": tfds.features.BBoxFeature(),
        }))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12, True), "test": self._generate_examples(3, False)}

    def _generate_examples(self, count, labelled):
        for index in range(count):
            # grey ends left and right of a coloured middle that is square
            image = np.full((8, 24 + 2 * index, 3), 128, np.uint8)
            image[:, 8 + index:16 + index] = (20 * index, 0, 255)
            yield index, {"image": image, "label": index % 2 if labelled else -1, "score": index / 2,
                          "attributes": {"Male": index > 5, "age": 200 + index, "name": "x"},
                          "box": tfds.features.BBox(0., 0., 1., 1.)}


class KganWords(tfds.core.GeneratorBasedBuilder):
    """A data set without images."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "first"}

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({
            "sentence": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}))

    def _split_generators(self, dl_manager):
        pytest.fail("prepared in vain")

    def _generate_examples(self):
        pytest.fail("prepared in vain")


@pytest.fixture(scope="module")
def oddities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oddities")
    KganOddities(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """data_dir with mnist in it, prepared by kgan from the original files."""
    if not ORIGINALS.is_dir():
        pytest.skip("needs the original files of mnist in ../shared/data/mnist")
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGAN_CACHE", str(folder / "cache"))
        catalog.source("mnist", split="test[:1]", data_dir=folder, manual_dir=ORIGINALS)
    return folder


# === mnist ===

@pytest.mark.slow
def test_mnist(mnist):
    found = catalog.source("mnist", data_dir=mnist)
    images, labels = found.arrays["image"], found.arrays["label"]
    assert images.shape == (60000, 28, 28, 1) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels[:5].tolist() == [4, 1, 0, 7, 8]
    assert images.mean() == pytest.approx(33.3184, abs=1e-3)  # 0.1307 * 255, which every mnist tutorial has
    assert found.classes == {"label": list("0123456789")}
    assert found.name == "mnist" and found.note == "" and len(found) == 60000


@pytest.mark.slow
def test_mnist_to_size(mnist):
    native = catalog.source("mnist", split="test[:100]", data_dir=mnist)
    found = catalog.source("mnist", 14, 3, split="test[:100]", data_dir=mnist)
    images = np.float32(found.arrays["image"])
    assert images.shape == (100, 14, 14, 3)
    assert (found.arrays["label"] == native.arrays["label"]).all()
    assert (images[..., 0] == images[..., 2]).all()
    means = np.float32(native.arrays["image"]).reshape(100, 14, 2, 14, 2, 1).mean((2, 4))
    assert np.abs(images - means).mean() < 5  # another filter, the same picture


@pytest.mark.slow
def test_preparing_leaves_only_the_data_set(mnist):
    assert not list(mnist.glob("extracted-*")) and not list(mnist.glob("downloads/extracted/*"))
    assert len(list(mnist.glob("mnist/3.0.1/mnist-*.tfrecord-*"))) == 2


@pytest.mark.slow
def test_unknown_split(mnist):
    with pytest.raises(DataError, match="no split 'validation'; it has train, test"):
        catalog.source("mnist", split="validation", data_dir=mnist)
    with pytest.raises(DataError, match="empty"):
        catalog.source("mnist", split="train[:0]", data_dir=mnist)


@pytest.mark.slow
def test_second_call_reads_the_cache(mnist, monkeypatch):
    first = catalog.source("mnist", split="test", data_dir=mnist)
    monkeypatch.setattr(catalog, "_write", lambda *_: pytest.fail("prepared again"))
    assert (catalog.source("mnist", split="test", data_dir=mnist).arrays["label"] == first.arrays["label"]).all()


# === Other kinds of data sets ===

def test_oddities(oddities):
    found = catalog.source("kgan_oddities", 8, data_dir=oddities)
    images = np.int32(found.arrays["image"])
    assert images.shape == (12, 8, 8, 3)
    order = found.arrays["attributes_age"] - 200  # tfds shuffles, once and for all
    assert sorted(order) == list(range(12))
    assert (images[:, :, 1:7] == np.stack([20 * order, 0 * order, 0 * order + 255], -1)[:, None, None]).all()
    assert (found.arrays["label"] == order % 2).all()
    assert (found.arrays["attributes_Male"] == (order > 5)).all()
    assert (found.arrays["score"] == order / 2).all()
    assert {field: array.dtype for field, array in found.arrays.items()} == dict(
        image=np.uint8, label=np.int64, attributes_Male=bool, attributes_age=np.int64, score=np.float32)
    assert found.classes == {"label": ["cold", "warm"]}


def test_size_and_channels(oddities):
    assert catalog.source("kgan_oddities", data_dir=oddities).shape == (64, 64, 3)
    assert catalog.source("kgan_oddities", 8, 1, data_dir=oddities).shape == (8, 8, 1)
    squeezed = catalog.source("kgan_oddities", 8, crop=False, data_dir=oddities).arrays["image"]
    assert np.abs(np.int32(squeezed[:, :, 0]) - 128).max() < 5
    with pytest.raises(DataError, match="not 4"):
        catalog.source("kgan_oddities", 8, 4, data_dir=oddities)


def test_unlabelled_split(oddities):
    found = catalog.source("kgan_oddities", 8, split="test", data_dir=oddities)
    assert len(found) == 3 and "label" not in found.arrays and found.classes == {}
    assert "no label" in found.note


def test_no_images(tmp_path):
    with pytest.raises(DataError, match="no feature `image`.*has (sentence, label|label, sentence)"):
        catalog.source("kgan_words", data_dir=tmp_path)


@pytest.mark.parametrize("break_it, reason", [
    (lambda path: path.write_bytes(path.read_bytes()[:-100]), "truncated"),
    (lambda path: path.unlink(), "No such file"),
    (lambda path: path.with_name("dataset_info.json").unlink(), "dataset_info.json"),
])
def test_broken_copy(tmp_path, cache, break_it, reason):
    KganOddities(data_dir=tmp_path).download_and_prepare()
    break_it(next(tmp_path.glob("kgan_oddities/1.0.0/*train.tfrecord*")))
    with pytest.raises(DataError, match=f"kgan_oddities/1.0.0 cannot be read.*{reason}.*Delete that folder"):
        catalog.source("kgan_oddities", 8, data_dir=tmp_path)
    assert not cache.exists() or not list(cache.iterdir())


# === What cannot be had ===

@pytest.mark.parametrize("name, near", [("mnits", "mnist"), ("cifar01", "cifar10"), ("glyph", "glyphs")])
def test_unknown_name(name, near, tmp_path):
    with pytest.raises(DataError, match=rf"no data set '{name}'.*Did you mean [\w ]*{near}\b.*folder:PATH"):
        catalog.source(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["no such thing", "", "/", "qqqqqqqqqq", "no_one:nothing"])
def test_name_like_nothing(name, tmp_path):
    with pytest.raises(DataError, match="Built in are"):
        catalog.source(name, data_dir=tmp_path)


def test_unknown_version(tmp_path):
    with pytest.raises(DataError, match="mnist:9.9.9.*only: 3.0.1"):
        catalog.source("mnist:9.9.9", data_dir=tmp_path)


def test_missing_manual_dir(tmp_path):
    with pytest.raises(DataError, match="nowhere.*no folder"):
        catalog.source("mnist", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_no_network(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(DataError, match="cifar10 is not prepared.*service not known.*--data_dir.*cifar-10-binary"):
        catalog.source("cifar10", data_dir=tmp_path)


def test_no_network_is_noticed_soon(tmp_path, monkeypatch):
    # tfds' own code, a proxy that nobody listens to for a network
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
    start = time.monotonic()
    with pytest.raises(DataError, match="cifar10 is not prepared"):
        catalog.source("cifar10", data_dir=tmp_path)
    assert time.monotonic() - start < 20


def test_empty_manual_dir(tmp_path, monkeypatch):
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    (tmp_path / "originals").mkdir()
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz"):
        catalog.source("mnist", data_dir=tmp_path / "tfds", manual_dir=tmp_path / "originals")


def test_array_record_is_the_same(oddities, tmp_path):
    KganOddities(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    usual, at_random = (catalog.source("kgan_oddities", 8, data_dir=place) for place in (oddities, tmp_path))
    assert usual.classes == at_random.classes and {*usual.arrays} == {*at_random.arrays}
    for name, array in usual.arrays.items():
        assert array.dtype == at_random.arrays[name].dtype
        np.testing.assert_array_equal(array, at_random.arrays[name])
