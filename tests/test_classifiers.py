import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import classifiers, kinds
from kgan.config import ConfigError
from kgan.data.source import Source

SHAPE = (12, 12, 1)


def images(count=60, shape=SHAPE, seed=0):
    return kinds.get("image").examples(kinds.Field("image", shape), count, seed)


def brightness(x, gain=8.0):
    """Logits [n, 3]: dark, grey or bright, of images in [0, 1]."""
    mean = keras.ops.mean(x, axis=(1, 2, 3))[:, None]
    return gain * keras.ops.concatenate([0.4 - mean, 0 * mean, mean - 0.6], -1)


@keras.saving.register_keras_serializable("kgan-tests")
class Brightness(keras.layers.Layer):
    def call(self, x):
        return brightness(x)


@keras.saving.register_keras_serializable("kgan-tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Brightness()

    def call(self, x):
        return self.inner(x)


def source(count=60):
    """Images uint8 and the class that `brightness` of images in [0, 1] says."""
    stored = kinds.get("image").store(images(count) * 0.3 + np.linspace(-0.7, 0.7, count)[:, None, None, None])
    label = np.asarray(brightness(stored / 255.0)).argmax(-1)
    return Source("greys", {"image": stored, "label": label}, {"label": ["dark", "grey", "bright"]})


def functional(end=None, shape=SHAPE, scale=1.0, extra=()):
    x = inputs = keras.Input(shape)
    x = Brightness()(keras.layers.Rescaling(scale)(x))
    for layer in extra:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Activation(end)(x) if end else x)


def saved(model, folder, form):
    path = folder / ("model.keras" if form != "saved_model" else "served")
    model.save(path) if form != "saved_model" else model.export(path, verbose=False)
    return str(path)


@pytest.mark.parametrize("form", ["functional", "subclassed", "saved_model"])
@pytest.mark.parametrize("end", [None, "softmax"])
def test_files(form, end, tmp_path):
    if form == "subclassed":
        if end:
            pytest.skip("the subclass gives logits")
        model = Subclassed()
        model(images(2))
    else:
        model = functional(end)
    name = saved(model, tmp_path, form)
    found = classifiers.get(name, SHAPE, 3)
    assert found.gives == ("probabilities" if end else "logits")
    x = images(5)
    found.range.assign(classifiers.RANGES["0:1"])
    logits = np.asarray(found(x))
    wanted = np.asarray(brightness((x + 1) / 2))
    # softmax leaves a constant open
    np.testing.assert_allclose(logits - logits[:, :1], wanted - wanted[:, :1], atol=1e-4)
    with tf.GradientTape() as tape:  # an attack needs it, through a SavedModel too
        tape.watch(x := tf.constant(x))
        value = tf.reduce_sum(found(x)[:, 2] - found(x)[:, 0])
    np.testing.assert_allclose(tape.gradient(value, x), np.full((5, *SHAPE), 2 * 8 / 2 / 144), rtol=1e-3)


@pytest.mark.parametrize("wants, scale", [("0:1", 1.0), ("0:255", 1 / 255), ("-1:1", None)])
def test_the_range_is_found_out_and_said(wants, scale, tmp_path):
    model = functional(scale=scale) if scale else keras.Sequential([
        keras.Input(SHAPE), keras.layers.Rescaling(0.5, 0.5), Brightness()])
    name = saved(model, tmp_path, "functional")
    found = classifiers.get(name, SHAPE, 3)
    accuracy, said, warning = classifiers.prepare(found, name, source())
    np.testing.assert_allclose(found.range, classifiers.RANGES[wants])
    assert accuracy == 1 and float(found.accuracy) == 1 and not warning
    assert f"takes images in [{wants.replace(':', ', ')}], where it is right on 100.0 %" in said


def test_other_sizes_and_channels(tmp_path):
    model = functional(shape=(24, 24, 3))
    found = classifiers.get(saved(model, tmp_path, "functional"), SHAPE, 3)
    found.range.assign(classifiers.RANGES["0:1"])
    x = np.full((2, *SHAPE), 0.5, np.float32)  # of one brightness at any size
    np.testing.assert_allclose(found(x), np.asarray(brightness((x + 1) / 2)), rtol=1e-5)


def test_a_single_output_is_two_classes(tmp_path):
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.GlobalAveragePooling2D(),
                              keras.layers.Dense(1, activation="sigmoid")])
    name = saved(model, tmp_path, "functional")
    found, x = classifiers.get(name, SHAPE, 2), images(4)
    p = np.asarray(model(x))
    np.testing.assert_allclose(tf.nn.softmax(found(x)), np.concatenate([1 - p, p], 1), rtol=1e-4)


def test_dropout_is_off_whatever_is_asked(tmp_path):
    found = classifiers.get(saved(functional(extra=[keras.layers.Dropout(0.5)]), tmp_path, "functional"), SHAPE, 3)
    x = images(4)
    np.testing.assert_array_equal(found(x, training=True), found(x))
    whole = keras.Model(inputs := keras.Input(SHAPE), found(inputs))
    np.testing.assert_allclose(whole(x, training=True), found(x), atol=1e-6)
    assert not found.trainable_weights


def wrong(tmp_path):
    garbage = tmp_path / "garbage.keras"
    garbage.write_bytes(b"nothing")
    flat = keras.Sequential([keras.Input((144,)), keras.layers.Dense(3)])
    maps = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(3, 3)])
    one, other = keras.Input(SHAPE, name="one"), keras.Input(SHAPE, name="other")
    two = keras.Model([one, other], Brightness()(one + other))
    both = keras.Model(one, [Brightness()(one), one])
    bad = functional(extra=[keras.layers.Rescaling(float("nan"))])
    for number, (model, message) in enumerate([
            (flat, r"takes \[None, 144\]; images"), (maps, r"gives an array of shape \(8, 10, 10, 3\)"), (two, "takes .* and "),
            (both, "has 2 outputs"), (bad, "gives NaN"), (functional(shape=(12, 12, 4)), "1 or 3")]):
        path = tmp_path / f"{number}.keras"
        model.save(path)
        yield path, message
    yield tmp_path / "none.keras", "there is no such file. Built in are own, A, B, C"
    yield garbage, "is no Keras model or SavedModel that can be read"


def test_a_wrong_file_is_one_sentence(tmp_path):
    for path, message in wrong(tmp_path):
        with pytest.raises(ConfigError, match=message) as error:
            classifiers.get(str(path), SHAPE, 3)
        assert "\n" not in str(error.value) and str(error.value).startswith(f"classifier={path}")
    good = saved(functional(), tmp_path, "functional")
    with pytest.raises(ConfigError, match="tells 3 classes apart, and the data have 10"):
        classifiers.get(good, SHAPE, 10)


def test_a_class_that_is_not_known_here(tmp_path):
    class Strange(keras.Model):
        def call(self, x):
            return brightness(x)
    model = Strange()
    model(images(2))
    model.save(tmp_path / "strange.keras")
    with pytest.raises(ConfigError, match=r"its class Strange is written in Python that no file holds.*model.export"):
        classifiers.get(str(tmp_path / "strange.keras"), SHAPE, 3)


def test_classes_in_another_order_are_warned_of(tmp_path):
    mixed = keras.layers.Dense(3, kernel_initializer=lambda shape, dtype: tf.eye(3)[::-1], use_bias=False)
    inputs = keras.Input(SHAPE)
    name = saved(keras.Model(inputs, mixed(Brightness()(inputs))), tmp_path, "saved_model")
    data = source()
    data = Source("few", {"image": data.arrays["image"], "label": np.where(data.arrays["label"] == 1, 0, data.arrays["label"])},
                  data.classes)
    _, _, warning = classifiers.prepare(classifiers.get(name, SHAPE, 3), name, data)
    assert "in the order of the data's, dark, grey, bright" in warning


@pytest.mark.parametrize("name, count", [("A", 3_382_346), ("B", 710_218), ("C", 312_202)])
def test_the_paper_s_networks(name, count):
    # A: 5·5·64 + 64, 5·5·64·64 + 64, 20·20·64·128 + 128, 128·10 + 10; C is Carlini's, whose published count this is
    network = classifiers.built_in(name, (28, 28, 1), 10)
    assert network.count_params() == count
    assert network.layers[-1].activation is keras.activations.linear
    with pytest.raises(ConfigError, match="28 pixels or more"):
        classifiers.built_in(name, (16, 16, 1), 10)


def test_the_data_s_own_learns_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))
    monkeypatch.setattr("kgan.metrics.features.SEEN", 4_000)
    data = source(300)
    found = [classifiers.get("own", SHAPE, 3) for _ in range(2)]
    told = [classifiers.prepare(one, "own", data) for one in found]
    assert told[0] == told[1] and told[0][0] > 0.7 and "a fifth of the data, held back" in told[0][1]
    for one, other in zip(*(each.network.get_weights() for each in found), strict=True):
        np.testing.assert_array_equal(one, other)
    # another seed is another network
    second = classifiers.get("own", SHAPE, 3)
    classifiers.prepare(second, "own", data, seed=1)
    assert np.abs(second.network.get_weights()[0] - found[0].network.get_weights()[0]).max() > 0.01


def test_it_is_kept_in_files(tmp_path):
    found = classifiers.get("own", SHAPE, 3)
    found.range.assign([3.0, 4.0])
    model = keras.Model(inputs := keras.Input(SHAPE), found(inputs))
    model.save(tmp_path / "whole.keras")
    loaded, x = keras.models.load_model(tmp_path / "whole.keras"), images(3)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


