"""Whether samples help a classifier: the draws, the learning, the scores, the rule."""
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from kgan import models
from kgan.command import UserError
from kgan.data.source import Source
from kgan.metrics import augment, few
from kgan.run import Run


def bright(count, seed, gap=40):
    """Noise in which the half is brighter that is the class's."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=count)
    images = rng.integers(60, 120, (count, 8, 8, 1))
    for image, label in zip(images, labels):
        image[4 * label:4 * label + 4] += gap
    return images.astype(np.uint8), labels


# === Draws ===

@pytest.mark.parametrize("count, wanted", [
    (20, [10, 8, 1, 1]), (4, [1, 1, 1, 1]), (100, [49, 49, 1, 1]), ("all", [500, 490, 8, 2])])
def test_draws_are_in_proportion(count, wanted):
    labels = np.repeat([0, 1, 2, 3], [500, 490, 8, 2])
    rows = few.draw(labels, count, np.random.default_rng(0))
    found = np.bincount(labels[rows])
    assert found.sum() == sum(wanted) and len(set(rows)) == len(rows)
    assert (abs(found - wanted) <= 1).all() and found.min() >= 1
    assert count == "all" or not np.array_equal(rows, few.draw(labels, count, np.random.default_rng(1)))


def test_fewer_labels_than_classes():
    with pytest.raises(UserError, match="--labels=3: there are 4 classes"):
        few.draw(np.arange(40) % 4, 3, np.random.default_rng(0))


def test_a_class_made_rare():
    labels = np.repeat([0, 1], [30, 50])
    assert np.bincount(labels[augment.make_rare(labels, 0, 7, np.random.default_rng(0))]).tolist() == [7, 50]
    assert np.bincount(labels[augment.make_rare(labels, 0, None, np.random.default_rng(0))]).tolist() == [30, 50]


@pytest.mark.parametrize("text", [["x"], ["1"], ["20", "-5"], []])
def test_wrong_numbers(text):
    with pytest.raises(UserError, match="must be whole numbers from 2 on"):
        few.numbers(text)


# === Scores ===

def test_scores_are_scikit_learn_s():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    logits, labels = rng.integers(-3, 4, (200, 2)) * 0.5, rng.integers(2, size=200)
    found = few.scores(logits, labels)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, logits[:, 1] - logits[:, 0]))
    assert found["balanced"] == pytest.approx(metrics.balanced_accuracy_score(labels, logits.argmax(1)))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, logits.argmax(1)))
    assert "auc" not in few.scores(rng.normal(size=(9, 3)), np.arange(9) % 3)


@pytest.mark.parametrize("differences, said", [
    ([0.05, 0.06, 0.05, 0.04, 0.05], "they help, +5.0 ± 0.9 points"),
    ([-0.05, -0.06, -0.05, -0.04, -0.05], "they do not help, -5.0 ± 0.9 points"),
    ([0.002, -0.002, 0.001, -0.001, 0.0], "they do not help, +0.0 ± 0.2 points"),
    ([0.2, -0.1, 0.05, 0.0, -0.05], "it cannot be told, +2.0 ± 14.3 points")])
def test_the_rule(differences, said):
    # 2.776 · s / √5: s = .00707 gives .88, .00158 .20, .115 14.3
    assert few.judged(np.array(differences)) == said


def test_the_better_of_each_is_compared():
    values = {"real": .5, "real, augmented": .6, "both": .7, "both, augmented": .65, "samples": .9}
    found = {(way, "-" if way == "samples" else 20): [{"balanced": value + .001 * i} for i in range(3)]
             for way, value in values.items()}
    line, = augment.verdicts(found)
    assert line == "Samples: with 20 labels they help, +10.0 ± 0.0 points (both against real, augmented)."


# === Learning ===

def test_it_learns_and_repeats_itself():
    plan = few.Plan(few.small((8, 8, 1), 2), 2, steps=60)
    data, held = bright(100, 0), bright(300, 1)
    one = plan.learn(*data, held, seed=0)
    plan.learn(data[0], 1 - data[1], held, seed=1)  # of which nothing is left
    assert plan.learn(*data, held, seed=0) == one
    assert one["balanced"] > 0.9 and one["auc"] > 0.95
    # a class that never comes, or weighs nothing, is not learned
    for options in (dict(chance=data[1].astype(float)), dict(weights=data[1].astype(float))):
        assert plan.learn(*data, held, seed=0, **options)["balanced"] == 0.5


def test_augmentation_by_hand(monkeypatch):
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, 8, 10, 1)).astype(np.float32))

    def drawn(values):
        monkeypatch.setattr(tf.random, "stateless_uniform",
                            lambda shape, *_: tf.tile(tf.constant(values, tf.float32)[:, None], [1, shape[1]]))
        return np.asarray(few.moved(images, tf.constant([0, 0]), flip=True))
    np.testing.assert_allclose(drawn([0, 0, 0, 0, 1]), images, atol=1e-6)
    np.testing.assert_allclose(drawn([0, 0, 0, 0, -1]), images[:, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(drawn([0, 0, 0, 1, 1])[:, :, :-1], images[:, :, 1:], atol=1e-5)  # a tenth of 10 columns
    shifted = drawn([0, 0, 1, 0, 1])  # .8 of a row
    np.testing.assert_allclose(shifted[:, :-1], 0.2 * images[:, :-1] + 0.8 * images[:, 1:], atol=1e-5)
    square = tf.constant(np.random.default_rng(0).uniform(-1, 1, (1, 9, 9, 1)).astype(np.float32))
    images = square
    turned = drawn([6, 0, 0, 0, 1])  # six times 15°, a quarter
    assert min(np.abs(turned[0] - np.rot90(square[0], k)).max() for k in (1, 3)) < 1e-4


# === The command ===

@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of an untrained cgan of two classes."""
    directory = tmp_path_factory.mktemp("runs") / "cgan"
    keras.utils.set_random_seed(0)
    settings = {"model": "cgan", "dataset": "bright", "seed": 0, "shape": [8, 8, 1], "classes": ["up", "down"],
                "precision": "float32", "flip": False, "config": {"filters": 2, "noise_dim": 4, "jit_compile": False, "condition": "label"}}
    gan = models.of(settings)
    gan.compile()
    one = Run(directory)
    one.begin(settings)
    one.save(gan, 0, 0.0)
    return directory


DEFAULTS = dict(labels=["20"], seeds=2, samples=20, steps=20, test=None, rare=None, keep=None)


@pytest.fixture
def asked(monkeypatch):
    """Runs the command in this process, with these flags."""
    sets = [Source("bright", dict(zip(("image", "label"), bright(120, seed))), {"label": ["up", "down"]}) for seed in (0, 1)]
    monkeypatch.setattr("kgan.metrics.labelled.labelled", lambda settings, test=None: (*sets, ""))

    def call(run, **values):
        monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**{**DEFAULTS, **values}))
        return augment.main(["augment", str(run)])
    return call


def test_command(run, asked, capsys):
    assert asked(run, labels=["10", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Samples: with 10 labels") and "; with all labels" in lines[-1]
    assert "the GAN has seen 120 labels" in lines[0] and any(line.startswith("area under the curve") for line in lines)
    found = json.loads((run / "augment.json").read_text())
    assert set(found["scores"]) == {f"{way} | {count}" for way in ("real", "real, augmented", "both", "both, augmented")
                                    for count in ("10", "all")} | {"samples | -"}
    assert all(len(values) == 2 for values in found["scores"].values())


def test_command_with_a_rare_class(run, asked, capsys):
    assert asked(run, labels=None, rare="up", keep=5) == 0
    out = capsys.readouterr().out
    assert "real examples: 5 up" in out
    assert all(way in out for way in ("real, class weights", "real, oversampled", "oversampled, augmented"))


@pytest.mark.parametrize("arguments, message", [
    (dict(keep=3), "--keep=3: of which class"), (dict(rare="up"), "--labels=20: with --rare all labels are used"),
    (dict(labels=None, rare="left"), "--rare=left: no class has this name; there are: up, down")])
def test_command_refuses(run, asked, arguments, message):
    with pytest.raises(UserError, match=message):
        asked(run, **arguments)


