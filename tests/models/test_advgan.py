import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import CLASSES, Battery

import export.check
import export.contract
import export.saved_model
from kgan import classifiers, kinds, models
from kgan.advice import alarms
from kgan.config import ConfigError
from kgan.models import advgan

TINY = dict(filters=2, blocks=1)
LABEL = kinds.Field("label", (), CLASSES)


def fields(shape):
    return {"input": kinds.Field("image", shape), "image": kinds.Field("image", shape), "label": LABEL}


def ready(gan):
    """As `prepare` leaves it, but for the learning."""
    gan.classifier.accuracy.assign(1.0)
    return gan


class TestBattery(Battery):
    model = "advgan"
    cases = {
        "grey": dict(shape=(8, 8, 1), given={"input": kinds.Field("image", (8, 8, 1)), "label": LABEL}, **TINY),
        "9x10, colour, a black box": dict(shape=(9, 10, 3), given={"input": kinds.Field("image", (9, 10, 3)), "label": LABEL},
                                          blackbox=True, target="bee", **TINY),
    }

    @classmethod
    def build(cls, case):
        return ready(super().build(case))


def sums(pixels, classes=3):
    """A classifier whose logits are known: of the k-th class the sum of the k-th third of the pixels."""
    network = keras.Sequential([keras.Input(pixels), keras.layers.Flatten(), keras.layers.Dense(classes, use_bias=False)])
    count = int(np.prod(pixels))
    network.layers[-1].set_weights([np.eye(classes, dtype=np.float32)[np.arange(count) * classes // count]])
    return network


def gan_of(shape=(8, 8, 1), classifier=None, **settings):
    keras.utils.set_random_seed(1)
    config = advgan.Config(**{"jit_compile": False, **TINY, **settings})
    gan = advgan.build(shape, config, fields=fields(shape), classifier=classifier or sums(shape))
    gan.compile(run_eagerly=True)
    return gan


def batch(count=12, shape=(8, 8, 1), seed=0):
    """Images and, as labels, what `sums` says of them."""
    images = 0.5 * kinds.get("image").examples(kinds.Field("image", shape), count, seed)
    images = kinds.get("image").scale(kinds.get("image").store(images).astype("f"))
    return {"input": images, "image": images, "label": np.asarray(sums(shape)(images)).argmax(-1)}


# === The bound ===

@pytest.mark.parametrize("epsilon, levels", [("0.3", 76), ("8/255", 8), ("1/255", 1), ("1", 255), ("2 / 5", 102)])
def test_no_pixel_changes_by_more_in_a_file_either(epsilon, levels):
    gan = gan_of(epsilon=epsilon)
    *_, last = [layer for layer in gan.generator.layers if isinstance(layer, keras.layers.Conv2D)]
    last.set_weights([1e3 * weight for weight in last.get_weights()])  # as far as it goes
    images = batch()["image"]
    made = np.asarray(gan.make(np.zeros((12, 0)), {"input": images}, gan.generator))
    assert np.abs(made).max() <= 1
    store = kinds.get("image").store
    change = np.abs(store(made).astype(int) - store(images))
    assert change.max() == levels if levels < 255 else change.max() > 150


@pytest.mark.parametrize("epsilon", ["0", "1.5", "8/", "x", "1/256", "nan", "-0.1", "1/0"])
def test_what_is_no_bound(epsilon):
    with pytest.raises(ConfigError, match=f"epsilon={epsilon}: must be a number or a fraction from 1/255 to 1"):
        advgan.Config.of(epsilon=epsilon)


# === The loss ===

@pytest.mark.parametrize("target", ["", "cat"])
def test_losses_by_hand(target):
    gan = gan_of(target=target, adversarial_weight=3.0, confidence=0.5, norm_weight=2.0, norm_bound=0.4)
    data = batch()
    given = gan.given(data)
    fake = np.asarray(gan.make(np.zeros((12, 0)), given, gan.generator), np.float64)
    thirds = np.arange(64) * 3 // 64
    logits = np.stack([fake.reshape(12, -1)[:, thirds == k].sum(1) for k in range(3)], 1)
    hinges = []
    for row, label in zip(logits, data["label"]):
        own = 2 if target else label
        lead = row[own] - max(np.delete(row, own))
        hinges.append(max(0.5 - (lead if target else -lead), 0))
    sizes = np.sqrt((((fake - data["image"]) / 2).reshape(12, -1) ** 2).sum(1))
    wanted = 3 * np.mean(hinges) + 2 * np.maximum(sizes - 0.4, 0).mean()
    assert float(gan.content(None, tf.constant(fake, tf.float32), given, {})) == pytest.approx(wanted, rel=1e-4)
    judged = np.asarray(gan.logits(fake.astype("f"), training=False))
    objective = ((judged - 1) ** 2).mean()  # least squares
    whole = gan.generator_loss(tf.constant(data["image"]), tf.constant(fake, tf.float32), given, None, training=False)
    scale = float(whole) - wanted
    assert scale == pytest.approx(objective, rel=1e-3) or scale == pytest.approx(objective / 2, rel=1e-3)


def test_a_change_of_nothing_has_a_gradient():
    x = tf.zeros((2, 4, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(advgan.norm(x))
    assert np.array_equal(tape.gradient(value, x), np.zeros((2, 4, 4, 1)))


# === What it learns ===

@pytest.mark.parametrize("settings", [pytest.param(dict(target="bee"), marks=pytest.mark.slow), dict(blackbox=True)])
def test_it_fools(settings, monkeypatch):
    """On examples never seen, against a classifier whose weights stay; a black box here has no gradient."""
    gan = gan_of(generator_learning_rate=5e-3, filters=4, steps=96, ema_decay=0.0, norm_weight=0.1, student_learning_rate=5e-3,
                 **settings)
    gan.compile()
    if settings.get("blackbox"):
        inside = gan.classifier.network
        gan.classifier.call = lambda x, training=None: tf.stop_gradient(inside(x))
    before = [weight.copy() for weight in gan.classifier.get_weights()]
    data, held = batch(12 * 16), batch(100, seed=1)
    gan.fit(tf.data.Dataset.from_tensor_slices(data).repeat(8).batch(16, drop_remainder=True), verbose=0)
    for one, other in zip(before, gan.classifier.get_weights()):
        np.testing.assert_array_equal(one, other)

    class Evaluator:
        given, labels = {"input": held["image"]}, held["label"]
    found = gan.figures(Evaluator, gan.generate(100, given={"input": held["image"]}))
    untouched = gan.figures(Evaluator, held["image"])
    assert set(found) == set(gan.measures)
    assert untouched["success"] == 0 and untouched["accuracy_before"] == untouched["accuracy_after"] == 1
    assert found["success"] > 0.8 and found["change_linf"] <= 76 / 255 + 1e-6
    if settings.get("blackbox"):
        answers = np.asarray(gan.student(held["image"])).argmax(-1)
        assert (answers == held["label"]).mean() > 0.7  # the student has learned what the box says


def test_the_classifier_is_in_inference_mode():
    shape = (8, 8, 1)
    dropout = keras.Sequential([*sums(shape).layers[:1], keras.layers.Dropout(0.9), *sums(shape).layers[1:]])
    dropout.build((None, *shape))
    one, other = gan_of(classifier=sums(shape)), gan_of(classifier=dropout)
    for gan in (one, other):
        gan.train_on_batch(batch())
    for mine, its in zip(one.generator.get_weights(), other.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


# === Around it ===

def test_it_must_be_prepared():
    gan = models.build("advgan", (8, 8, 1), {"jit_compile": False, **TINY}, fields=fields((8, 8, 1)))
    gan.compile()
    with pytest.raises(ValueError, match=r"has not learned anything yet: call gan.prepare"):
        gan.train_on_batch(batch())


def test_a_discriminator_that_can_tell_is_no_alarm():
    gan = gan_of()
    assert not any("D has won" in alarm.text for alarm in alarms(gan))


def test_wrong_settings():
    with pytest.raises(ConfigError, match=r"target=bea: no class has this name \(did you mean 'bee'\?\)"):
        gan_of(target="bea")
    with pytest.raises(ConfigError, match="classifier=A: is for images of 28 pixels or more"):
        models.build("advgan", (8, 8, 1), {"classifier": "A", **TINY}, fields=fields((8, 8, 1)))
    with pytest.raises(ConfigError, match="degrade=grey: advgan changes images as they are"):
        advgan.Config.of(degrade="grey")
    with pytest.raises(ConfigError, match="8 pixels or more"):
        advgan.build((4, 4, 1), advgan.Config(**TINY))


@pytest.mark.parametrize("settings", [{}, dict(blackbox=True)])
def test_keras_file(settings, tmp_path):
    gan = models.build("advgan", (8, 8, 1), {"jit_compile": False, **TINY, **settings}, fields=fields((8, 8, 1)))
    gan.compile()
    ready(gan).classifier.range.assign([2.0, 3.0])
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert type(loaded) is type(gan) and loaded.told == CLASSES
    images = batch()["image"]
    np.testing.assert_allclose(loaded.classifier(images), gan.classifier(images), atol=1e-6)
    np.testing.assert_array_equal(loaded.generate(3, given={"input": images[:3]}), gan.generate(3, given={"input": images[:3]}))


def test_sheet():
    gan, data = gan_of(), batch(4)
    made = gan.generate(4, given={"input": data["input"]})
    (_, original), (_, change), (_, shown), (_, words) = gan.columns({"input": data["input"]}, made, None)
    np.testing.assert_allclose(original + 2 * gan.config.bound * change, shown, atol=1e-6)
    assert words.shape[0] == 4 and words.min() < -0.5  # there is something written
    label = int(np.asarray(gan.classifier(data["input"][:1])).argmax())
    assert gan._words(classifiers.verdicts(gan.classifier, data["input"][:1])[0]).startswith(f"{CLASSES[label]} ")


def test_export_has_both_verdicts(tmp_path):
    gan, data = gan_of(), batch(6)
    told = export.contract.interface(gan)["functions"]["generator"]
    assert [each["name"] for each in told["inputs"]] == ["input"]
    assert [(each["name"], each["kind"], each.get("classes")) for each in told["outputs"]] == [
        ("images", "image", None), ("before", "verdict", list(CLASSES)), ("after", "verdict", list(CLASSES))]
    export.saved_model.write({"generator": gan.exported("generator")}, export.contract.interface(gan), tmp_path / "out")
    found = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"](input=tf.constant(data["image"]))
    made = gan.generate(6, given={"input": data["image"]})
    np.testing.assert_allclose(found["images"], made, atol=1e-5)
    for name, images in (("before", data["image"]), ("after", made)):
        np.testing.assert_allclose(found[name], tf.nn.softmax(gan.classifier(images)), atol=1e-5)
        np.testing.assert_allclose(np.sum(found[name], 1), 1, atol=1e-5)


def test_verdicts_may_differ_more_than_images():
    # of images at the border of classes a probability changes by ten times as much as a pixel
    made, keras_s = np.full((1, 3), 0.5 + 6e-5, np.float32), np.full((1, 3), 0.5, np.float32)
    with pytest.raises(export.check.CheckError, match="file: differs from Keras by 6e-05, above 1e-05"):
        export.check._compare("file", made, keras_s, (0, 1), "float32")
    assert export.check._compare("file", made, keras_s, (0, 1), "float32", kinds.get("verdict").STEEP)["bound"] == pytest.approx(1e-4)


def test_verdicts_as_files():
    kind = kinds.get("verdict")
    assert json.loads(kind.write(np.array([0.25, 0.75], np.float32))) == [0.25, 0.75]
    examples = kind.examples(kinds.Field("verdict", (3,), CLASSES), 4)
    assert examples.shape == (4, 3) and np.allclose(examples.sum(1), 1)


def test_an_image_that_is_not_changed_stops_no_training():
    # PSNR is then infinite, and log.csv takes what is not finite for the end of training
    from kgan.metrics.evaluate import EQUAL, Evaluator
    images = batch(4)["image"]
    evaluator = Evaluator.__new__(Evaluator)
    evaluator.given, evaluator.examples, evaluator.network, evaluator._aligned = {"input": images}, images, None, True

    class Train:
        kind, key, shape, fields = "image", "image", (8, 8, 1), fields((8, 8, 1))
    evaluator.train = Train
    assert evaluator.figures(images)["psnr"] == EQUAL
