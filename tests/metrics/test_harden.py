"""Attacks compared, and classifiers that are hardened against them: of one advgan of tiny glyph-like images."""
import json
import types

import keras
import numpy as np
import pytest
from absl import flags

from kgan import classifiers, kinds, models
from kgan.command import UserError
from kgan.data.source import Source
from kgan.metrics import attack, harden
from kgan.run import Run, load

SHAPE, NAMES = (8, 8, 1), ["up", "down"]


def halves(count, seed):
    """Images whose upper or lower half is brighter, by less than ε may change."""
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=count)
    images = rng.integers(100, 140, (count, *SHAPE))
    for image, each in zip(images, label):
        image[4 * each:4 * each + 4] += 30
    images = images.astype(np.uint8)
    return Source("halves", {"image": images, "input": images, "label": label}, {"label": NAMES}, kinds={"input": "image"})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of an advgan of 0 steps, whose classifier has learned the halves."""
    directory = tmp_path_factory.mktemp("runs") / "advgan"
    keras.utils.set_random_seed(0)
    fields = {"input": kinds.Field("image", SHAPE), "image": kinds.Field("image", SHAPE), "label": kinds.Field("label", (), NAMES)}
    settings = {"model": "advgan", "dataset": "halves", "seed": 0, "shape": list(SHAPE), "precision": "float32", "flip": False,
                "fields": {name: vars(field) for name, field in fields.items()},
                "config": {"filters": 2, "blocks": 1, "jit_compile": False, "epsilon": "20/255", "batch_size": 16}}
    one = Run(directory)
    one.begin(settings)
    gan = models.of(one.settings())
    source = halves(400, 2)
    monkey = pytest.MonkeyPatch()
    monkey.setattr("kgan.metrics.features.SEEN", 4_000)
    monkey.setattr("kgan.metrics.features.BATCH", 32)
    classifiers.prepare(gan.classifier, "own", source, halves(100, 3))
    monkey.undo()
    gan.compile()
    one.save(gan, 0, 0.0)
    return directory


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr("kgan.metrics.labelled.labelled",
                        lambda settings, test=None: (halves(200, 0), halves(120, 1), "a remark"))

    def call(module, run, **values):
        values = {"test": None, "count": 60, "steps": 5, "seed": 1, **values}
        monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**values))
        return module.main(["command", str(run)])
    return call


def test_attack(run, asked, capsys, tmp_path):
    other = keras.Sequential([keras.Input(SHAPE), keras.layers.AveragePooling2D((4, 8)), keras.layers.Flatten(),
                              keras.layers.Dense(2, use_bias=False, kernel_initializer=keras.initializers.Identity(9))])
    other.save(tmp_path / "other.keras")
    assert asked(attack, run, against=[str(tmp_path / "other.keras")]) == 0
    out = capsys.readouterr().out
    assert "60 examples, a remark; ε = 20/255" in out and "against    other.keras: gives logits" in out
    found = json.loads((run / "attack.json").read_text())["attacks"]
    assert list(found) == ["nothing", "noise", "FGSM", "PGD, 5 steps", "advgan"]
    assert found["nothing"]["success"] == found["nothing"]["change_l2"] == 0
    assert found["nothing"]["accuracy_before"] > 0.9  # it has learned the halves
    assert all(each["change_linf"] <= 20 / 255 + 1e-6 for each in found.values())
    assert found["PGD, 5 steps"]["success"] > found["noise"]["success"]
    transfer = {name: each["transfer"][str(tmp_path / "other.keras")] for name, each in found.items()}
    assert transfer["nothing"] == 0 and transfer["noise"] < 0.2  # means are not fooled by what is random
    assert all(0 <= each <= 1 for each in transfer.values())


@pytest.mark.parametrize("ways", [["none", "fgsm"], pytest.param(["none", "clean", "fixed", "pgd", "follows"],
                                                                 marks=pytest.mark.slow)])
def test_harden(run, asked, capsys, ways):
    before = [weight.copy() for weight in load(run)[0].classifier.get_weights()]
    assert asked(harden, run, ways=ways, kept=None, steps=30) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1].split() == ["accuracy,", "%", "clean", "noise", "FGSM", "PGD", "advgan", "seconds"]
    found = json.loads((run / "harden.json").read_text())["accuracy"]
    assert found["none"]["clean"] > 0.9 and found[ways[-1]]["PGD"] >= found["none"]["PGD"]
    for one, other in zip(before, load(run)[0].classifier.get_weights(), strict=True):  # the run is as it was
        np.testing.assert_array_equal(one, other)
    hardened = keras.models.load_model(run / "hardened.keras")
    assert hardened.output_shape == (None, 2) and hardened.trainable_variables
    test = halves(120, 1)
    right = (hardened(test.examples(slice(None))).numpy().argmax(1) == test.arrays["label"]).mean()
    assert right > 0.9


def test_a_classifier_that_is_not_made_cannot_be_kept(run, asked):
    with pytest.raises(UserError, match="--kept=pgd: is none of --ways=none,clean"):
        asked(harden, run, ways=["none", "clean"], kept="pgd")


def test_only_advgan_attacks(tmp_path, asked):
    one = Run(tmp_path / "run")
    one.begin({"model": "mlp", "config": {}})
    for module in (attack, harden):
        with pytest.raises(UserError, match="is a run of mlp"):
            asked(module, tmp_path / "run", against=[], ways=[], kept="clean")


def test_wrong_rows(run, asked):
    with pytest.raises(UserError, match=r"--ways=none,x: no row is called x; there are none, clean"):
        asked(harden, run, ways=["none", "x"], kept="clean")
