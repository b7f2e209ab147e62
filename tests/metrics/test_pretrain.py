"""A discriminator as the start of a classifier, and the file that comes of it."""
import json
import types
import zipfile

import keras
import numpy as np
import pytest
from absl import flags
from test_synthetic import bright

from kgan import models
from kgan.command import UserError
from kgan.data.source import Source
from kgan.metrics import few, pretrain
from kgan.run import Run


def run_of(directory, model, **config):
    keras.utils.set_random_seed(0)
    settings = {"model": model, "dataset": "bright", "seed": 0, "shape": [8, 8, 1], "classes": ["up", "down"],
                "precision": "float32", "flip": False, "config": {"filters": 2, "noise_dim": 4, "jit_compile": False, **config}}
    gan = models.of(settings)
    gan.compile()
    one = Run(directory)
    one.begin(settings)
    one.save(gan, 0, 0.0)
    return gan


@pytest.fixture
def asked(monkeypatch):
    sets = [Source("bright", dict(zip(("image", "label"), bright(120, seed, gap=80))), {"label": ["up", "down"]})
            for seed in (0, 1)]
    monkeypatch.setattr("kgan.metrics.labelled.labelled", lambda settings, test=None: (*sets, ""))

    def call(run, **values):
        values = {"labels": ["10", "all"], "seeds": 2, "steps": 30, "test": None, "export": None, **values}
        monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**values))
        return pretrain.main(["pretrain", str(run)])
    return call


def test_what_is_kept_of_the_discriminator(tmp_path):
    gan = run_of(tmp_path / "run", "dcgan")
    network = pretrain.classifier(gan, 5)
    assert network.output_shape == (None, 5)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    dense = network.get_layer("classes")
    features = keras.Model(network.inputs, dense.input)(images, training=False)
    # before what D sees of its batch
    wanted = keras.Model(gan.discriminator.inputs, gan.discriminator.layers[-3].input)(images, training=False)
    np.testing.assert_allclose(np.reshape(features, (3, -1)), np.reshape(wanted, (3, -1)), atol=1e-5)
    # a copy: D itself stays
    network.layers[1].set_weights([0 * weight for weight in network.layers[1].get_weights()])
    assert np.abs(gan.discriminator.get_weights()[0]).max() > 0


@pytest.mark.parametrize("fresh", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_command_and_a_file_that_plain_keras_loads(command, tmp_path, asked, capsys, fresh):
    """Fresh: kgan is not imported either."""
    run_of(tmp_path / "run", "dcgan")
    assert asked(tmp_path / "run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("Pretraining: with 10 labels it") and "import kgan" not in lines[-2]
    told = json.loads((tmp_path / "run/classifier.json").read_text())
    assert told["classes"] == ["up", "down"] and told["labels"] == 120 and told["test"]["accuracy"] > 0.8
    images, labels = bright(120, 1, gap=80)
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    program = ("import sys, keras, numpy as np; file = np.load('test.npz')\n"
               "model = keras.models.load_model('run/classifier.keras')\n"
               "said = np.asarray(model(file['images'].astype('float32')))\n"
               f"assert ('kgan' not in sys.modules) >= {fresh} and abs(said.sum(1) - 1).max() < 1e-5\n"
               "print((said.argmax(1) == file['labels']).mean())")
    with zipfile.ZipFile(tmp_path / "run/classifier.keras") as file:
        assert b"kgan" not in file.read("config.json")
    done = command("-c", program, cwd=tmp_path, fresh=fresh)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(told["test"]["accuracy"], abs=1e-6)


def test_layers_that_keras_has_not_are_named(tmp_path, asked, capsys):
    run_of(tmp_path / "run", "sngan")
    assert asked(tmp_path / "run", labels=["all"], steps=2, export=str(tmp_path / "mine.keras")) == 0
    assert "it holds SpectralConv2D: import kgan.layers before you load it" in capsys.readouterr().out
    assert keras.models.load_model(tmp_path / "mine.keras").output_shape == (None, 2)


def test_a_discriminator_that_looks_at_labels(tmp_path, asked):
    run_of(tmp_path / "run", "cgan", condition="label")
    with pytest.raises(UserError, match="this D takes image, label, and a classifier takes one image"):
        asked(tmp_path / "run")
    with pytest.raises(UserError, match="--export=mine.h5: must end in .keras"):
        asked(tmp_path / "run", export="mine.h5")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="config.json, which is there and of something else"):
        asked(tmp_path / "run", export=tmp_path / "config.keras")


def test_numbers_of_labels_that_there_are_not_are_all_of_them():
    assert few.fitting([20, "all"], 50) == ([20, "all"], "")
    counts, said = few.fitting([20, 100, 1000], 50)
    assert counts == [20, "all"] and said == "--labels: there are 50 examples to learn from: all of them in the place of 100, 1,000"
