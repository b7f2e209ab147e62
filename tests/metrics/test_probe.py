"""A discriminator's features, and the linear classifier on them."""
import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from kgan import models
from kgan.command import UserError
from kgan.metrics import linear, probe
from kgan.run import Run

ROOT = Run(probe.__file__).directory.parents[2]
MLP = dict(noise_dim=4, binary_noise=2, generator_units="8", discriminator_units="16", jit_compile=False)


def separable(count, seed):
    """Noise whose class, of three, is the third of the image that is brighter."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    images = rng.integers(60, 120, (count, 6, 6, 1))
    for i, label in enumerate(labels):
        images[i, 2 * label:2 * label + 2] += 30
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def gan():
    keras.utils.set_random_seed(0)
    return models.build("mlp", (6, 6, 1), dict(MLP, discriminator_activation="leaky_relu"))


# === Features ===

BUILDS = [("dcgan", {"filters": 4}, 4 * 16 + 8 * 16), ("sngan", {"filters": 4}, 4 * 16 + 8 * 16),
          ("wgan", {"filters": 4}, 4 * 16 + 8 * 16), ("wgan_gp", {"filters": 4}, 4 * 16 + 8 * 16),
          ("dcgan", {"filters": 4, "minibatch_std": True, "packing": 2}, 4 * 16 + 8 * 16),
          ("mlp", {"discriminator_units": "8,5"}, 13), ("mlp", {"packing": 4, "discriminator_units": "8,5"}, 13),
          ("r3gan", {"widths": "16,8", "group_width": 8}, 16 * 16 + 2 * 8 * 16)]


@pytest.mark.parametrize("name, settings, count", BUILDS)
def test_every_model_has_features(name, settings, count):
    gan = models.build(name, (16, 16, 3), dict(settings, noise_dim=4, jit_compile=False))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    found = probe.features(gan, images)
    assert found.shape == (5, count) and found.dtype == np.float32 and found.std(0).max() > 1e-3
    np.testing.assert_array_equal(found, probe.features(gan.discriminator, images))
    np.testing.assert_allclose(found, probe.features(gan, images.astype(np.float32) / 127.5 - 1), atol=1e-5)
    assert probe._Extractor(gan).count == count


def test_features_by_hand():
    image = keras.Input((5, 5, 2))
    maps = keras.layers.ReLU(name="a")(image)
    dense = keras.layers.Dense(3, activation="tanh")(keras.layers.Flatten()(maps))
    network = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(2)(dense)))
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 2)).astype(np.float32)
    found = probe.features(network, x, grid=2)
    # 5 rows in 2 windows that share the middle one; the last layer and the linear one are no features
    wanted = [np.maximum(x[:, rows, columns], 0).max((1, 2)) for rows in (slice(0, 3), slice(2, 5))
              for columns in (slice(0, 3), slice(2, 5))]
    np.testing.assert_allclose(found[:, :8], np.concatenate(wanted, 1), atol=1e-6)
    np.testing.assert_allclose(found[:, 8:], network.layers[3](network.layers[2](np.maximum(x, 0))), atol=1e-6)
    assert found.shape == (2, 11)
    assert probe.features(network, x).shape == (2, 2 * 16 + 3) and probe.features(network, x, grid=9).shape == (2, 53)


def test_packed_examples_are_repeated():
    gan = models.build("mlp", (2,), dict(MLP, preset="mixture", packing=3, fourier_features=0, batch_size=6))
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    together = np.asarray(gan.logits(np.repeat(x, 3, axis=0), training=False))
    features = probe.features(gan, x)
    np.testing.assert_allclose(np.asarray(gan.discriminator.layers[-1](features)), together, atol=1e-5)


def test_networks_without_activations():
    sample = keras.Input((3,))
    x = keras.layers.Dense(4)(sample)
    assert probe.features(keras.Model(sample, keras.layers.Dense(1)(x)), np.zeros((2, 3))).shape == (2, 4)
    x = keras.layers.Add()([x, keras.layers.Dense(4)(x)])
    assert [type(layer).__name__ for layer in probe._layers(keras.Model(sample, keras.layers.Dense(1)(x)))] == ["Add"]
    with pytest.raises(ValueError, match="no layers"):
        probe.features(keras.Model(sample, keras.layers.Dense(1)(sample)), np.zeros((2, 3)))


# === The classifier ===

@pytest.mark.parametrize("n, size", [(60, 7), (20, 40)])
def test_ridge_against_an_explicit_inverse(n, size):
    rng = np.random.default_rng(0)
    x = rng.normal(3, rng.uniform(0.1, 5, size), (n, size)).astype(np.float32)
    x[:, 2] = 4.0  # says nothing
    y = np.eye(3, dtype=np.float32)[rng.integers(3, size=n)]
    z = x.astype(np.float64)
    deviation = np.where(z.std(0) > 0, z.std(0), 1)
    z = (z - z.mean(0)) / deviation
    sums = [linear.Sums(x[:5].mean(0), x[:5].std(0), 3) for _ in range(2)]
    sums[0].add(x[:n // 3], y[:n // 3])
    sums[1].add(x[n // 3:], y[n // 3:])
    penalties = (0.01, 1.0, 100.0)
    for solutions in (linear.ridge(x, y, penalties), (sums[0] + sums[1]).ridge(penalties)):
        for penalty, (weights, offset) in zip(penalties, solutions, strict=True):
            wanted = np.linalg.inv(z.T @ z / n + penalty * np.eye(size)) @ (z.T @ (y - y.mean(0)) / n)
            wanted /= deviation[:, None]
            np.testing.assert_allclose(weights, wanted, atol=2e-5)
            np.testing.assert_allclose(offset, y.mean(0) - x.mean(0) @ wanted, atol=2e-4)
            assert not weights[2].any()


def test_without_a_penalty_it_is_least_squares():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    wanted = np.linalg.lstsq(np.c_[x, np.ones(50)], y, rcond=None)[0]
    (weights, offset), = linear.ridge(x, y, (1e-8,))
    np.testing.assert_allclose(np.vstack([weights, offset]), wanted, atol=1e-5)


def test_the_penalty_with_the_highest_accuracy_the_largest_of_equals():
    assert probe._choice([0.5, 0.9, 0.9, 0.1, 0, 0, 0, 0]) == probe.PENALTIES[2]


@pytest.mark.parametrize("count", [6, 31])
def test_draws_have_as_many_of_each_class(count):
    labels = np.array([0] * 50 + [2] * 11 + [5] * 20)
    drawn = probe._balanced(labels, count, np.random.default_rng(0))
    counts = np.bincount(labels[drawn])[[0, 2, 5]]
    assert len({*drawn}) == count == counts.sum() and np.ptp(counts) <= 1
    assert probe._balanced(labels, 60, np.random.default_rng(0)) is None  # 20 of the second class there are not
    assert probe._balanced(labels, 2, np.random.default_rng(0)) is None


# === The probe ===

def test_classes_that_can_be_told_apart(gan):
    train, test = separable(1_500, 0), separable(400, 1)
    found = probe.probe(gan, train, test, counts=(30, 5_000, None), untrained=gan)
    assert list(found) == ["discriminator", "raw", "untrained"]
    for name in ("discriminator", "raw"):
        assert list(found[name]["accuracy"]) == ["30", "1500"]  # 5,000 are not there
        few, all_of_them = found[name]["accuracy"].values()
        assert few[0] > 0.6 and 0 <= few[1] < 0.3
        assert all_of_them[0] >= 0.95 and all_of_them[1] is None
    assert found["untrained"] == found["discriminator"]
    assert found["raw"]["features"] == 36 and found["discriminator"]["features"] == 16
    assert found == probe.probe(gan, train, test, counts=(30, 5_000, None), untrained=gan)
    assert "1,500 labels" in probe.table(found)


def test_labels_that_say_nothing_give_chance(gan):
    (images, labels), test = separable(900, 0), separable(900, 1)
    train = (images, np.random.default_rng(2).permutation(labels))
    for each in probe.probe(gan, train, test, counts=(90, None)).values():
        for mean, deviation in each["accuracy"].values():
            assert abs(mean - 1 / 3) < 0.1 and (deviation is None or deviation > 0)


def test_labels_come_from_the_test_examples(gan):
    train, (images, labels) = separable(600, 0), separable(300, 1)
    found = probe.probe(gan, train, (images, (labels + 1) % 3), counts=(None,))
    assert found["raw"]["accuracy"]["600"][0] < 0.05


def test_too_many_features_take_a_coarser_grid():
    gan = models.build("dcgan", (16, 16, 1), dict(filters=4, noise_dim=4))
    assert [probe._fitting(gan, largest).grid for largest in (192, 191, 107, 47, 1)] == [4, 3, 2, 1, 1]


# === The command ===

@pytest.fixture
def saved(tmp_path):
    """A function that makes a run of an untrained mlp, with a checkpoint."""
    def make(dataset, shape, **more):
        gan = models.build("mlp", shape, dict(MLP, **more))
        gan.compile()
        run = Run(tmp_path / "run")
        config = {name: value for name, value in dataclasses.asdict(gan.config).items() if name != "dataset"}
        size = dict(image_size=shape[0], channels=shape[2]) if len(shape) == 3 else dict(image_size=None, channels=None)
        run.begin(dict(model="mlp", dataset=dataset, shape=shape, seed=0, crop=True, data_dir=None, manual_dir=None,
                       config=config, **size))
        run.save(gan, 10)
        return run
    return make


def test_a_folder_has_a_fifth_held_back(saved, command, tmp_path):
    images, labels = separable(150, 0)
    for i, (image, label) in enumerate(zip(images, labels)):
        (tmp_path / f"images/{'abc'[label]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / f"images/{'abc'[label]}/{i}.png")
    run = saved(f"folder:{tmp_path / 'images'}", (6, 6, 1), discriminator_activation="leaky_relu")
    done = command("-m", "kgan.metrics.probe", run.directory, cwd=ROOT)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert "30 examples, a fifth" in done.stdout and "120 labels" in done.stdout and "untrained D" in done.stdout
    found = json.loads((run.directory / "probe.json").read_text())
    assert found["train"] == 120 and found["test"] == 30 and found["step"] == 10
    assert found["raw"]["accuracy"]["120"][0] >= 0.9 and set(found["discriminator"]["accuracy"]) == {"100", "120"}
    assert found["untrained"] != found["discriminator"]


@pytest.mark.slow
def test_points_and_a_test_split(saved, capsys):
    run = saved("ring", (2,), preset="mixture", fourier_features=0)
    assert probe.main(["probe", run.directory]) == 0
    found = json.loads((run.directory / "probe.json").read_text())
    assert found["train"] == 100_000 and found["test"] == 10_000 and not found["note"]
    assert "accuracy on 10,000 examples\n" in capsys.readouterr().out
    assert 0.3 < found["discriminator"]["accuracy"]["100000"][0] <= 1


@pytest.mark.parametrize("case, words", [("none", ["which run"]), ("empty", ["no run"]), ("flag", ["'sed'"])])
def test_mistakes(command, tmp_path, case, words):
    arguments = {"none": [], "empty": [tmp_path], "flag": [tmp_path, "--sed=1"]}[case]
    done = command("-m", "kgan.metrics.probe", *arguments, cwd=ROOT)
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_data_without_labels(saved):
    run = saved("sine", (10,))
    with pytest.raises(UserError, match="sine has no labels"):
        probe.main(["probe", run.directory])
    assert not (run.directory / "probe.json").exists()


# === SVMs ===

@pytest.mark.parametrize("penalty", [1e-3, 0.1])
def test_svm_is_scikit_learns(penalty):
    LinearSVC = pytest.importorskip("sklearn.svm").LinearSVC
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 9)) * rng.uniform(0.5, 3, 9) + rng.normal(size=9)
    labels = (x[:, :3] + rng.normal(size=(120, 3)) * 1.5).argmax(1)
    (weights, offset), = linear.svm(x, np.eye(3)[labels], [penalty])
    z = (x - x.mean(0)) / x.std(0)
    # theirs penalises the intercept as one more weight: as good as not at all where its feature is large
    theirs = LinearSVC(C=1 / (2 * len(x) * penalty), intercept_scaling=300, tol=1e-10, max_iter=200_000).fit(z, labels)
    np.testing.assert_allclose(x @ weights + offset, theirs.decision_function(z), atol=0.02)


def test_svm_by_hand():
    # two points at ±1: w = 1 / (1 + λ) but for the margin, which both are within
    for penalty in (0.25, 1.0):
        (weights, offset), = linear.svm(np.array([[-1.0], [1.0]]), np.eye(2)[[0, 1]], [penalty])
        np.testing.assert_allclose(weights, [[-1 / (1 + penalty), 1 / (1 + penalty)]])
        np.testing.assert_allclose(offset, 0, atol=1e-12)


def test_svm_and_grid_of_a_probe(gan):
    found = probe.probe(gan, separable(300, 1), separable(100, 2), counts=(60, None), draws=2, classifier="svm", grid=2)
    assert found["discriminator"]["grid"] == 2 and list(found["raw"]["accuracy"]) == ["60", "300"]
    assert found["raw"]["accuracy"]["300"][0] > 0.95


def test_a_discriminator_that_is_given_more_says_nothing_of_examples():
    inputs = [keras.Input((2,), name="sample"), keras.Input((), name="label")]
    with pytest.raises(UserError, match="this D takes sample, label"):
        probe.check_inputs(keras.Model(inputs, inputs[0] + inputs[1][:, None]))
