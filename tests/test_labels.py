"""Labels, from the data through GAN, pictures and measures; truncation. What each model makes of them: tests/models."""
import dataclasses
import json
import shutil
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import kgan
from kgan import callbacks, latent, report
from kgan.config import Config, ConfigError
from kgan.data.source import DataError, Source
from kgan.gan import GAN
from kgan.kinds.noise import truncate
from kgan.run import _differences

CLASSES = "ant", "bee", "cat"
SETTINGS = dict(optimizer="sgd", jit_compile=False, noise_dim=2, condition="kind", loss="wasserstein", generator_learning_rate=0.1,
                discriminator_learning_rate=0.1)


def linear(classes=CLASSES, told=True, **settings):
    """G(z, y) = zV + c + aᵧ, D(x, y) = xw + b + eᵧ on points of the plane; D is not `told` y, and says b alone."""
    keras.utils.set_random_seed(5)
    noise, label = keras.Input((2,), name="noise"), keras.Input((), dtype="int32", name="label")
    sample, other = keras.Input((2,), name="sample"), keras.Input((), dtype="int32", name="label")

    def layer(x, units):
        return keras.layers.Dense(units, bias_initializer="normal")(x)

    made = keras.layers.Add()([layer(noise, 2), layer(keras.ops.one_hot(label, len(classes)), 2)])
    judged = layer(sample, 1)
    if told:
        judged = keras.layers.Add()([judged, layer(keras.ops.one_hot(other, len(classes)), 1)])
    gan = GAN(keras.Model({"noise": noise, "label": label}, made),
              keras.Model({"sample": sample, "label": other} if told else sample, judged),
              Config(**{**SETTINGS, **settings}), classes=classes)
    gan.compile(run_eagerly=True)
    return gan


def examples(count=12, seed=0):
    random = np.random.default_rng(seed)
    return {"sample": random.normal(size=(count, 2)).astype(np.float32), "kind": random.integers(0, 3, count)}


# === GAN ===

def test_which_labels():
    gan = linear()
    assert gan.labels(5).numpy().tolist() == [0, 1, 2, 0, 1] and gan.labels(2).dtype == tf.int32
    assert gan.labels(2, "bee").numpy().tolist() == gan.labels(2, 1).numpy().tolist() == [1, 1]
    assert gan.labels(3, [2, 0, 0]).numpy().tolist() == [2, 0, 0]
    np.testing.assert_array_equal(gan.generate(5), gan.generate(5, label=[0, 1, 2, 0, 1]))
    np.testing.assert_allclose(gan.generate(7, batch_size=2), gan.generate(7), atol=1e-6)


@pytest.mark.parametrize("label, message", [
    ("be", r"label=be: no class has this name \(did you mean 'bee'\?\); there are: ant, bee, cat"),
    (3, "label=3: must be from 0 to 2"), ([0, -1], "must be from 0 to 2"), (["ant", "dog"], "label=dog: no class has this name"),
    (1.0, "must be from 0 to 2"), ([[0], [1]], "must be from 0 to 2")])
def test_labels_that_cannot_be(label, message):
    with pytest.raises(ValueError, match=message):
        linear().generate(2, label=label)


def test_accents_of_their_own_are_the_same_name():
    gan = kgan.models.build("cgan", (8, 8, 1), {"filters": 2, "noise_dim": 2}, classes=("Äpfel", "Birnen"))
    apart = unicodedata.normalize("NFD", "Äpfel")
    assert apart != "Äpfel"
    np.testing.assert_array_equal(gan.generate(2, label=apart), gan.generate(2, label=0))
    with pytest.raises(ValueError, match="label=Apfel"):
        gan.generate(2, label="Apfel")


def test_a_generator_with_labels_needs_their_names():
    gan = linear()
    with pytest.raises(ValueError, match="the generator takes a label: name the classes"):
        GAN(gan.generator, gan.discriminator, gan.config)
    with pytest.raises(ConfigError, match="packing=2"):
        GAN(gan.generator, gan.discriminator, Config(packing=2), classes=CLASSES)


@pytest.mark.parametrize("batch, message", [
    ({"sample": np.zeros((2, 2), "f"), "label": np.zeros(2)}, "conditional on 'kind', but the batches have only .'label', 'sample'"),
    (np.zeros((2, 2), "f"), "conditional on 'kind', but the batches are of samples alone")])
def test_batches_without_labels(batch, message):
    with pytest.raises(ValueError, match=message):
        linear().label(batch)


def test_labels_of_tuples_and_dicts():
    gan = linear()
    assert gan.label((np.zeros((2, 2)), np.array([2, 1]))).numpy().tolist() == [2, 1]
    assert gan.label({"kind": np.array([[2], [1]])}).numpy().tolist() == [2, 1]


@pytest.mark.parametrize("settings", [dict(), dict(discriminator_steps=2), dict(accumulation=3, batch_size=12)])
def test_each_example_keeps_its_label(settings):
    """Wasserstein: the gradient of D's eᵧ is the share of fakes of class y less that of real ones: 0, if both have the same."""
    gan = linear(**settings)
    before = [weight.copy() for weight in gan.discriminator.get_weights()]
    gan.fit(tf.data.Dataset.from_tensors(examples()), verbose=0)
    after = gan.discriminator.get_weights()
    np.testing.assert_allclose(after[2], before[2], atol=1e-6)
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_the_gradient_of_g_by_class_by_hand():
    """Wasserstein: G's aᵧ moves along w by the learning rate times the share of y in the batch."""
    gan, batch = linear(told=False), examples()
    network, rate = gan.generator, 0.1
    label_layer = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense) and layer.kernel.shape[0] == 3)
    before = np.array(label_layer.kernel)
    gan.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    w = gan.discriminator.get_weights()[0][:, 0]
    share = np.bincount(batch["kind"], minlength=3) / 12
    np.testing.assert_allclose(np.array(label_layer.kernel) - before, rate * share[:, None] * w, atol=1e-5)


def test_evaluate_takes_labels():
    gan = linear()
    assert np.isfinite(list(gan.evaluate(tf.data.Dataset.from_tensors(examples()), verbose=0, return_dict=True).values())).all()


def test_predict_takes_a_dict():
    gan = linear()
    noise = gan.latents(4)
    np.testing.assert_allclose(gan.predict({"noise": noise.numpy(), "label": np.array([0, 1, 2, 0], np.int32)}, verbose=0),
                               gan.make(noise), atol=1e-6)


# === Truncation ===

@pytest.mark.parametrize("bound", [0.1, 0.5, 1.0, 2.0, 6.0])
def test_truncation_is_the_truncated_normal_distribution(bound):
    noise = np.concatenate([np.random.default_rng(0).normal(size=2_000), [0.0, -9.0, 9.0]]).astype(np.float32)
    found = truncate(noise, bound)
    inner = slice(0, 2_000)
    wanted = stats.truncnorm.ppf(stats.norm.cdf(noise[inner].astype(np.float64)), -bound, bound)
    np.testing.assert_allclose(found[inner], wanted, atol=2e-5)
    assert found[-3] == 0 and found[-2] == pytest.approx(-bound, rel=1e-5) and found[-1] == -found[-2]
    assert np.abs(found).max() <= bound


def test_truncation_of_samples():
    gan = linear()
    np.testing.assert_allclose(gan.latents(9, truncation=100.0), gan.latents(9), atol=1e-5)
    assert np.abs(gan.latents(99, truncation=0.3)).max() <= 0.3
    assert gan.generate(99, truncation=0.3, label=0).std(0).max() < gan.generate(99, label=0).std(0).min()
    with pytest.raises(ValueError, match="truncation=0: must be above 0"):
        gan.latents(2, truncation=0)
    with pytest.raises(ValueError, match="truncation=1: is for normal noise, this GAN's is uniform"):
        linear(noise="uniform").latents(2, truncation=1)


# === Data ===

def measured():
    random = np.random.default_rng(3)
    return Source("things", {"image": np.zeros((1_000, 4, 4, 1), np.uint8), "label": random.integers(0, 3, 1_000),
                             "width": random.exponential(size=1_000).astype(np.float32)}, {"label": ["a", "b", "c"]})


def test_a_number_becomes_classes_of_equal_parts():
    source = measured()
    cut = source.by("width", 4)
    labels, width = cut.arrays["width"], source.arrays["width"]
    assert np.bincount(labels).tolist() == [250] * 4
    # in order, and named by what they hold
    assert [width[labels == i].max() < width[labels == i + 1].min() for i in range(3)] == [True] * 3
    bounds = [tuple(map(float, name.split(" to "))) for name in cut.classes["width"]]
    assert bounds[0][0] == pytest.approx(width.min(), rel=0.01) and bounds[-1][1] == pytest.approx(width.max(), rel=0.01)
    assert cut.classes["label"] == ["a", "b", "c"] and source.arrays["width"].dtype == np.float32


def test_another_split_is_cut_at_the_same_places():
    train = measured().by("width", 4)
    wide = Source("more", {"image": np.zeros((3, 4, 4, 1), np.uint8), "width": np.array([-5.0, 0.7, 99.0])})
    labels = wide.by("width", 4, like=train)
    assert labels.arrays["width"].tolist() == [0, 2, 3] and labels.classes == {"width": train.classes["width"]}


def test_classes_stay_as_they_are():
    source = measured()
    assert source.by("label", 4) is source and source.by("", 4) is source


@pytest.mark.parametrize("field, message", [
    ("widht", r"condition=widht: things has no such field \(did you mean 'width'\?\); it has label, width"),
    ("image", "condition=image: things has no such field")])
def test_fields_that_are_no_condition(field, message):
    with pytest.raises(DataError, match=message):
        measured().by(field, 4)


def test_numbers_that_hardly_vary():
    def cut(values, bins):
        Source("flat", {"image": np.zeros((len(values), 4, 4, 1), np.uint8), "width": np.array(values)}).by("width", bins)

    most = [*[0.0] * 99, 1, 2, 3, 4, 5]
    with pytest.raises(DataError, match="cannot be cut into 4 equal parts.*lower --set bins"):
        cut(most, 4)
    with pytest.raises(DataError, match="cannot be cut into 2 equal parts.*give it as classes"):
        cut(most, 2)
    with pytest.raises(DataError, match="in all of flat it is the same"):
        cut(np.zeros(9), 4)
    with pytest.raises(DataError, match="not all of its numbers are finite"):
        cut([1.0, 2.0, np.nan, 4.0, 5.0, 6.0], 4)


def test_names_of_bins_tell_them_apart():
    def names(values, bins):
        return Source("things", {"image": np.zeros((len(values), 4, 4, 1), np.uint8), "year": np.array(values, np.float32)}).by(
            "year", bins).classes["year"]

    assert names(np.arange(1990, 2020), 3)[0] == "1990 to 2000" and len(set(names(np.linspace(2000, 2000.9, 40), 5))) == 5
    assert names([0, 1, 1, 0], 6) == ["0", "1"] and names([16777210, 16777212], 6) == ["16777210", "16777212"]


def test_rows_of_rare_classes():
    source = Source("rare", {"image": np.arange(24, dtype=np.uint8).reshape(24, 1, 1, 1), "label": np.repeat([0, 2], [4, 20])},
                    {"label": ["a", "b", "c"]})
    rows = np.rint((source.examples(source.choose_of_each("label", 8)).reshape(2, 8) + 1) * 127.5).astype(int)
    assert rows[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3] and rows[1].tolist() == list(range(4, 12))


# === Settings ===

@pytest.mark.parametrize("model", ["cgan", "acgan", "projection", "infogan", "agecgan"])
def test_the_summary_counts_operations(model):
    gan = kgan.models.build(model, (8, 8, 1), dict(filters=2, noise_dim=4), classes=CLASSES)
    assert report.summary(gan).count("MFLOP an example") == 2
    assert all(report.flops(network) > 500 for network in (gan.generator, gan.discriminator))


def test_a_run_that_is_older_than_a_setting_goes_on():
    config = dataclasses.asdict(kgan.models.outline("dcgan").Config())
    old = {name: value for name, value in config.items() if name not in ("condition", "bins")}
    settings = {"model": "dcgan", "shape": [8, 8, 1]}
    assert list(_differences({**settings, "config": old}, {**settings, "config": config})) == []
    changed = {**settings, "config": {**config, "condition": "label"}}
    assert list(_differences({**settings, "config": old}, changed)) == ["condition:  there, label now"]


def test_flips_and_slant(command, tmp_path):
    done = command("train.py", "--model=cgan", "--set=condition=slant", "--flip", "--dry_run", cwd=tmp_path)
    assert done.returncode == 2 and "--flip: mirrored images slant the other way" in done.stderr


@pytest.mark.parametrize("model, condition, message", [
    ("dcgan", "label", "condition=label: this model takes no labels; cgan"),
    ("cgan", "", "condition=: which field of the data")])
def test_conditions_that_cannot_be(model, condition, message):
    with pytest.raises(ConfigError, match=message):
        kgan.models.outline(model).Config.of(condition=condition)


# === Pictures, directions, measures ===

def image_gan(classes=CLASSES):
    """G(z, y) = tanh(zV + aᵧ) of 4×4 pixels: aᵧ is 2 in the y-th row, else -2."""
    noise, label = keras.Input((3,), name="noise"), keras.Input((), dtype="int32", name="label")
    rows = keras.layers.Dense(16, use_bias=False)
    x = keras.layers.Add()([keras.layers.Dense(16, use_bias=False, name="noise_kernel")(noise),
                            rows(keras.ops.one_hot(label, len(classes)))])
    images = keras.layers.Activation("tanh")(keras.layers.Reshape((4, 4, 1))(x))
    rows.set_weights([np.where(np.repeat(np.eye(4)[:len(classes)], 4, axis=1), 2.0, -2.0)])
    network = keras.Model({"noise": noise, "label": label}, images)
    return GAN(network, keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]),
               Config(noise_dim=3), classes=classes)


def test_a_sheet_has_a_row_a_class_of_the_same_noise():
    keras.utils.set_random_seed(0)
    gan = image_gan()
    sheet = callbacks.sheet(gan, 64, seed=2)
    assert sheet.shape == (24, 4, 4, 1)
    for row in range(3):
        np.testing.assert_allclose(sheet[8 * row:8 * row + 8], gan.make(gan.latents(8, 2), row), atol=1e-6)
    assert callbacks.sheet(image_gan("abcd"), 64).shape == (32, 4, 4, 1)


def test_interpolation_stays_within_a_class():
    gan = linear()
    a, b = np.asarray(gan.latents(2))
    way = latent.interpolate(gan, a, b, 4, label="cat")
    np.testing.assert_allclose(way[[0, -1]], gan.make(np.stack([a, b]), 2), atol=1e-6)


def test_projection_finds_noise_of_the_right_class():
    gan = linear()
    wanted = gan.generate(6, seed=4)  # of the classes in turn
    noise, error = latent.project(gan, wanted, steps=300, restarts=1)
    np.testing.assert_allclose(gan.make(noise), wanted, atol=0.02)
    assert error.max() < 1e-3
    # a start that is the answer stays it
    exact, error = latent.project(gan, wanted, steps=1, restarts=1, start=gan.latents(6, 4), learning_rate=1e-6)
    assert error.max() < 1e-9


def test_directions_do_not_see_the_classes():
    """The widest way is that of V's largest singular value; the classes, much farther apart, are no direction of noise."""
    gan = linear()
    for network in (gan.generator, gan.ema_generator):
        for layer in network.layers:
            if isinstance(layer, keras.layers.Dense):
                shape = layer.kernel.shape
                layer.kernel.assign(100 * np.eye(3)[:, :2] if shape[0] == 3 else np.array([[0.0, 1.0], [3.0, 0.0]]))
    np.testing.assert_allclose(latent.principal_directions(gan), [[0, 1], [1, 0]], atol=1e-3)


def test_truth_of_labels_is_measured(monkeypatch):
    """label_accuracy, accuracy and the distances of each class, with a network that reads the brightest row."""
    from kgan.metrics import evaluate

    random = np.random.default_rng(0)
    label = random.integers(0, 3, 600)
    image = np.zeros((600, 4, 4, 1), np.uint8)
    image[np.arange(600), label] = 200
    image += random.integers(0, 50, image.shape, np.uint8)
    source = Source("rows", {"image": image, "label": label}, {"label": list(CLASSES)})

    def network(images):
        rows = np.asarray(evaluate.seen("image", np.asarray(images))).mean((2, 3))[:, :3]
        return rows, np.eye(3)[rows.argmax(1)]
    network.classes, network.protocol = CLASSES, {}
    monkeypatch.setattr(evaluate, "sources", lambda _: (source, None))
    monkeypatch.setattr(evaluate.features, "get", lambda *_: network)
    found = evaluate.Evaluator({"dataset": "rows", "config": {"condition": "label"}}, count=300)
    assert found.figures(found.examples, found.asked, every=False)["label_accuracy"] == 1
    wrong = np.where(np.arange(300) < 30, (found.asked + 1) % 3, found.asked)
    figures, per_class, _ = found.details(found.examples, wrong)
    assert figures["label_accuracy"] == pytest.approx(0.9)
    assert np.mean([row["accuracy"] for row in per_class.values()]) == pytest.approx(0.9, abs=0.02)
    figures, per_class, _ = found.details(found.examples, found.asked)
    assert all(row["frechet_distance"] == pytest.approx(0, abs=1e-6) and row["accuracy"] == 1 for row in per_class.values())
    assert figures["diversity_within"] == pytest.approx(1) and figures["frechet_distance_within"] == pytest.approx(0, abs=1e-6)


# === A run ===

def test_a_conditional_run_from_data_to_export(command, images, tmp_path):
    """A condition that is a number of labels.csv, resumed; the run's pictures and commands."""
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    (folder / "labels.csv").write_text("file,width\n" + "".join(
        f"{path.name},{i / 7}\n" for i, path in enumerate(sorted(images.iterdir()))))
    flags = ["--model=cgan", f"--dataset=folder:{folder}", "--image_size=8", "--set=condition=width", "--set=bins=3",
             "--set=filters=2", "--set=noise_dim=4", "--batch_size=20", "--set=log_every=2", "--set=checkpoint_every=2",
             "--run_dir=run"]
    done = command("train.py", *flags, "--steps=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = command("train.py", *flags, "--steps=4", cwd=tmp_path)
    assert done.returncode == 0 and "resumed    at step 2" in done.stdout, done.stderr
    settings = json.loads((tmp_path / "run/config.json").read_text())
    assert len(settings["classes"]) == 3 and settings["config"]["condition"] == "width"
    from PIL import Image
    with Image.open(tmp_path / "run/samples/real.png") as picture:
        assert picture.height / picture.width == pytest.approx(3 / 8, abs=0.03)  # a row a class
    served = tf.saved_model.load(str(tmp_path / "run/export/saved_model")).signatures["generate"]
    assert served(count=tf.constant(4), seed=tf.constant(0), label=tf.constant(2))["images"].shape == (4, 8, 8, 3)
    name = settings["classes"][1]
    done = command("-m", "kgan.latent", "run", "sheet", f"--label={name}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = command("-m", "kgan.latent", "run", "sheet", "--label=upright", cwd=tmp_path)
    assert done.returncode == 2 and "--label=upright: no class has this name" in done.stderr


def test_a_condition_that_the_data_lack(command, images, tmp_path):
    done = command("train.py", "--model=cgan", f"--dataset=folder:{images}", "--image_size=8", cwd=tmp_path)
    assert done.returncode == 2 and "condition=label: folder:" in done.stderr and "has no such field" in done.stderr
    assert not (tmp_path / "runs").exists()
