"""Mistakes that people make in the first hour: each is one sentence, and nothing wrong goes on without a word."""
import sys

import keras
import numpy as np
import pytest

import kgan
from kgan import __main__, command, generate, report
from kgan.config import ConfigError
from kgan.data import files
from kgan.progress import duration

IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def gan():
    gan = kgan.models.dcgan.build((8, 8, 1), filters=2, noise_dim=3, batch_size=4)
    gan.compile(run_eagerly=True)
    return gan


def test_dir_shows_what_there_is():
    assert dir(kgan) == sorted([*kgan.__all__, "__version__"])
    assert {"dcgan", "mlp", "build"} <= {*dir(kgan.models)} and "Evaluator" in dir(kgan.metrics)
    assert not {"os", "importlib", "_shapes"} & {*dir(kgan), *dir(kgan.models), *dir(kgan.metrics)}


@pytest.mark.parametrize("given, sentence", [
    ({"x": None}, r"fit\(x=None\): give examples, as an array"),
    ({"x": "photos"}, r"fit\(x='photos'\): .* kgan.data.load\(\"folder:photos\", batch_size=64\) reads a folder"),
    ({"x": IMAGES, "batch_size": 0}, r"fit\(batch_size=0\): must be a whole number above 0"),
    ({"x": IMAGES, "batch_size": 2.5}, r"fit\(batch_size=2.5\): must be a whole number above 0")])
def test_fit(gan, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        gan.fit(**given)
    assert gan.step == 0


def test_numbers_that_end_are_said_where_nothing_logs_them():
    gan = kgan.models.mlp.build((2,), preset="small", batch_size=4, generator_units=(2,), discriminator_units=(2,))
    gan.compile(run_eagerly=True)
    with pytest.warns(UserWarning, match=r"\(steps up to 1; first the real examples at step 1\). Mend the data"):
        gan.fit(np.full((4, 2), np.nan, "float32"), verbose=0)


@pytest.mark.parametrize("given, sentence", [
    ({"count": -1}, "count=-1: must be a whole number from 0 on"), ({"count": 2.5}, "count=2.5: must be"),
    ({"count": 1, "seed": 1.5}, "seed=1.5: must be a whole number from 0 to 2147483647"),
    ({"count": 1, "seed": 2**31}, "seed=2147483648: must be"), ({"count": 1, "seed": -1}, "seed=-1: must be")])
def test_generate(gan, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        gan.generate(**given)


def test_labels_and_fields_that_are_asked_for():
    gan = kgan.models.cgan.build((8, 8, 1), filters=2, classes=("cat", "dog"))
    np.testing.assert_array_equal(gan.generate(3, label=["dog", "cat", "dog"]), gan.generate(3, label=[1, 0, 1]))
    for given, sentence in (({"label": [0, 1]}, "there are 2 labels, and 3 samples"), ({"label": ["cat", "dgo"]}, "did you mean 'dog'"),
                            ({"given": {"colour": [1, 1, 1]}}, "given={'colour': …}: this generator is given no such field")):
        with pytest.raises(ValueError, match=sentence):
            gan.generate(3, **given)


def networks(end="tanh", judge=None, logits=1, last=()):
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(64, end), keras.layers.Reshape((8, 8, 1)), *last])
    discriminator = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(logits, judge)])
    return generator, discriminator


@pytest.mark.parametrize("given, sentence", [
    ({"judge": "tanh"}, "discriminator: ends in tanh, which bounds its logits"), ({"judge": "relu"}, "discriminator: ends in relu, which bounds"),
    ({"logits": 2}, r"discriminator: gives 2 logits, .* Dense\(1\)")])
def test_own_discriminators_that_may_be_meant(given, sentence):
    with pytest.warns(UserWarning, match=sentence):
        kgan.GAN(*networks(**given), kgan.Config(noise_dim=3))


def test_own_generators_whose_range_only_shows_when_they_run():
    gan = kgan.GAN(*networks(last=[keras.layers.Rescaling(127.5, 127.5)]), kgan.Config(noise_dim=3, batch_size=4))
    gan.compile(run_eagerly=True)
    with pytest.warns(UserWarning, match="generator: makes image from .* and image is from -1 to 1; let it end in tanh"):
        gan.fit(IMAGES, verbose=0)


@pytest.mark.parametrize("config", [{"noise_dim": 3}, 3])
def test_settings_that_are_no_config(config):
    with pytest.raises(TypeError, match=r"must be a Config, as in kgan.Config\(noise_dim=64\)"):
        kgan.GAN(*networks(), config)


def test_compile():
    gan = kgan.models.sine.build()
    for call in (gan.fit, gan.evaluate, gan.train_on_batch):
        with pytest.raises(ValueError, match=r"the GAN is not compiled; call gan.compile\(\) first"):
            call(np.zeros((4, 10), "float32"))
    with pytest.raises(ValueError, match="auto_scale_loss=False"):
        gan.compile(auto_scale_loss=False)


def test_files(gan, tmp_path):
    with pytest.raises(ValueError, match="HDF5 cannot hold a GAN; let the name end in .keras"):
        gan.save(tmp_path / "gan.h5")
    with pytest.raises(ValueError, match=r"gan.ema_generator.export\(PATH\) writes the generator"):
        gan.export(tmp_path / "gan")
    gan.save_weights(tmp_path / "gan.weights.h5")
    with pytest.raises(ValueError, match="holds weights alone; build the GAN that they are of, and gan.load_weights"):
        kgan.load(tmp_path / "gan.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["gan.weights.h5"]


@pytest.mark.parametrize("settings", [{}, {"upsampling": "resize"}])
def test_the_averaged_generator_is_of_keras_alone(settings):
    """Trained with layers of kgan's, saved with Keras's own, the same numbers."""
    gan = kgan.models.dcgan.build((8, 8, 1), filters=2, noise_dim=3, **settings)
    assert {type(layer).__module__.split(".")[0] for layer in gan.generator.layers} == {"keras", "kgan"}
    assert {type(layer).__module__.split(".")[0] for layer in gan.ema_generator.layers} == {"keras"}
    noise = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    np.testing.assert_array_equal(gan.ema_generator(noise), gan.generator(noise))
    again = keras.models.clone_model(gan.ema_generator)
    assert [weight.path for weight in again.weights] == [weight.path for weight in gan.ema_generator.weights]


@pytest.mark.parametrize("shape, sentence", [
    (28, r"shape=28: must be \(height, width, channels\)"), ((28, 28), "must be .height, width, channels. of one image"),
    ((None, 28, 28, 1), "shape="), ((None, None, 1), "shape="), ((28, 28, 0), "shape="), ((2,), "for points and signals use --model=mlp")])
def test_shapes(shape, sentence):
    with pytest.raises(ConfigError, match=sentence):
        kgan.models.dcgan.build(shape)


@pytest.mark.parametrize("given, sentence", [
    ({"classes": 3}, "classes=3: must be the names of the classes"), ({"classes": []}, "must be the names of the classes"),
    ({"num_classes": 3}, r"build\(num_classes=…\): .*did you mean 'classes'"),
    ({"input_shape": (8, 8, 1)}, r"build\(input_shape=…\): .*did you mean 'shape'"), ({"filter": 3}, "did you mean 'filters'")])
def test_build(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        kgan.models.cgan.build(**given)


def test_times_and_epochs_are_written_as_one_reads_them():
    assert [duration(seconds) for seconds in (0.00857, 0.473, 1.58)] == ["8.57 ms", "473 ms", "1.58 s"]
    assert [report._epochs(count) for count in (0.0128, 0.4, 31.3, 4400)] == ["0.01", "0.4", "31.3", "4,400"]


def test_folders_that_systems_make_hold_no_images(tmp_path):
    for name in ("1.png", "cat/2.png", "@eaDir/1.png/THUMB.png", "$RECYCLE.BIN/3.png", "cat/__MACOSX/2.png", ".trash/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, left_out = files.survey(tmp_path)
    assert [name for name, *_ in found] == ["1.png", "cat/2.png"]
    assert sorted(left_out["hidden"]) == ["$RECYCLE.BIN", ".trash", "@eaDir", "cat/__MACOSX"]


def test_the_folder_of_exports_means_the_saved_model(tmp_path):
    contract = tmp_path / "export" / "saved_model" / "assets.extra" / "generator.json"
    contract.parent.mkdir(parents=True)
    contract.write_text("{}")
    for folder in ("export", "export/saved_model"):
        assert generate._meant(tmp_path / folder) == tmp_path / "export" / "saved_model"
    assert generate._meant(tmp_path / "other") == tmp_path / "other"


def test_numbers_that_are_none():
    assert command.plainly("flag --steps=abc: invalid literal for int() with base 10: 'abc'") == "flag --steps=abc: must be a whole number"
    assert command.plainly("flag --at=x: could not convert string to float: 'x'") == "flag --at=x: must be a number"


def test_flags_before_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kgan", "--model=dcgan"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and len(said.splitlines()) == 1
    assert said.startswith("kgan: --model=dcgan: flags come behind a command, as in kgan train --model=dcgan;")
