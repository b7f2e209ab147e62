"""kgan without train.py: an ordinary Keras model, with Keras's own callbacks and files."""
import csv
from pathlib import Path

import keras
import numpy as np
import pytest

import kgan

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = dict(preset="small", generator_units=8, discriminator_units=8, noise_dim=4, jit_compile=False)


def build(seed=0):
    gan = kgan.models.build("mlp", (28, 28, 1), SETTINGS, seed=seed)
    gan.compile()
    return gan


@pytest.fixture(scope="module")
def data():
    return kgan.data.load("glyphs", batch_size=64, split="test").take(12)


@pytest.fixture(scope="module")
def trained(data):
    """One epoch later. Not to be trained on."""
    gan = build()
    gan.fit(data, verbose=0)
    return gan


def test_keras_callbacks(data, tmp_path):
    gan = build()
    callbacks = keras.callbacks
    history = gan.fit(data, epochs=2, validation_data=data.take(2), verbose=0, callbacks=[
        callbacks.EarlyStopping(monitor="g_loss", mode="min", patience=5), callbacks.TensorBoard(tmp_path / "tensorboard"),
        callbacks.CSVLogger(tmp_path / "log.csv"), callbacks.TerminateOnNaN(),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        callbacks.BackupAndRestore(tmp_path / "backup")]).history
    assert gan.step == 24
    losses = {"d_loss", "g_loss", "d_real", "d_fake", "d_accuracy"}
    assert history.keys() == losses | {"d_gradient", "g_gradient"} | {f"val_{name}" for name in losses}
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())
    with open(tmp_path / "log.csv", newline="") as file:
        assert [float(row["g_loss"]) for row in csv.DictReader(file)] == pytest.approx(history["g_loss"])
    assert list((tmp_path / "tensorboard" / "train").iterdir())

    images = gan.generate(5, seed=1)
    fresh = build()
    assert np.abs(fresh.generate(5, seed=1) - images).max() > 1e-3
    fresh.load_weights(tmp_path / "2.weights.h5")
    np.testing.assert_allclose(fresh.generate(5, seed=1), images, atol=1e-6)
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    assert type(loaded) is kgan.GAN and loaded.config.noise_dim == 4
    np.testing.assert_allclose(loaded.generate(5, seed=1), images, atol=1e-6)
    before = keras.saving.load_model(tmp_path / "1.keras")
    assert np.abs(before.generate(5, seed=1) - images).max() > 1e-6


def test_early_stopping(data):
    stop = keras.callbacks.EarlyStopping(monitor="g_loss", mode="min", min_delta=1e9)  # nothing is an improvement
    assert len(build().fit(data, epochs=5, verbose=0, callbacks=[stop]).epoch) == 2


def test_a_loaded_file_trains_on(trained, data, tmp_path):
    trained.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    for one, other in zip(loaded.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded.compile()
    loaded.fit(data.take(2), verbose=0)
    assert np.abs(loaded.generate(3) - trained.generate(3)).max() > 1e-6


def test_save_and_load_weights(trained, tmp_path):
    trained.save_weights(tmp_path / "gan.weights.h5")
    fresh = kgan.models.build("mlp", (28, 28, 1), SETTINGS)  # not compiled
    fresh.load_weights(tmp_path / "gan.weights.h5")
    for one, other in zip(fresh.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(fresh.generate(3), trained.generate(3))


def test_predict(trained):
    samples = trained.predict(trained.latents(5, seed=1), verbose=0)
    assert samples.shape == (5, 28, 28, 1)
    np.testing.assert_allclose(samples, trained.generate(5, seed=1), atol=1e-6)


def test_the_lines_in_the_package_are_true():
    assert "gan.generate(16, seed=0)" in kgan.__doc__
    assert kgan.models.dcgan.build is kgan.models.dcgan.build and kgan.GAN.__module__ == "kgan.gan"
    with pytest.raises(AttributeError, match="'lossses'"):
        kgan.lossses


@pytest.mark.parametrize("first", ["import kgan, keras", *(pytest.param(first, marks=pytest.mark.slow) for first in (
    "import keras, kgan", "import tensorflow, keras, kgan", "import kgan, tensorflow as tf; keras = tf.keras",
    "import kgan.gan, keras; kgan.models"))])
def test_a_fresh_process_reads_keras_files(command, tmp_path, first):
    """In whatever order Keras and kgan are imported, and nothing of kgan used: of a subclass of GAN, with layers of kgan's."""
    gan = kgan.models.build("acgan", (8, 8, 1), dict(filters=4, noise_dim=4), classes="ab")
    gan.save(tmp_path / "gan.keras")
    kgan.models.build("mlp", (2,), dict(preset="mixture", generator_units="4", discriminator_units="4")).save(tmp_path / "mlp.keras")
    done = command("-c", f"{first}\nfor name in ('gan', 'mlp'):\n    print(type(keras.models.load_model(name + '.keras')).__name__)",
                   cwd=tmp_path, fresh=True)
    assert done.stdout.split() == ["ACGAN", "GAN"], done.stderr


def test_importing_kgan_imports_no_tensorflow(command, tmp_path):
    done = command("-c", "import sys, kgan, kgan.flags; print({'keras', 'tensorflow'} & {*sys.modules})", cwd=tmp_path, fresh=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("callback, words", [
    (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), "generator_learning_rate="),
    (lambda: keras.callbacks.ReduceLROnPlateau(monitor="g_loss"), "generator_learning_rate="),
    (lambda: keras.callbacks.SwapEMAWeights(), "ema_decay averages the generator")])
def test_callbacks_of_one_optimizer_are_refused(callback, words):
    with pytest.raises(ValueError, match=f"is for models of one optimizer, and a GAN has several; .*{words}"):
        build().fit(np.zeros((4, 28, 28, 1), np.float32), callbacks=[callback()], verbose=0)


def test_a_callback_that_calls_functions(data):
    seen = []
    gan = build()
    gan.fit(data.take(2), verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))])
    assert len(seen) == 1 and np.isfinite(seen[0]["g_loss"])


# === The pages on Python ===

def test_the_reference_is_what_the_docstrings_say():
    import api
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert api.markdown() == page, "python benchmarks/api.py > docs/api.md"
    for name in kgan.__all__:
        assert f"kgan.{name}" in page, name


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    text = (ROOT / "docs" / "first_gan.ipynb").read_text(encoding="utf-8")
    assert "steps = 250" in text
    notebook = nbformat.reads(text.replace("steps = 250", "steps = 2").replace("filters=32", "filters=2"), 4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1].outputs[-1]["data"]["text/plain"]
    step, difference = last.strip("()").split(", ")
    assert step == "8" and float(difference) < 1e-6
