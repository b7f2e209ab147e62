"""The exported generator: loads with TensorFlow alone, and gives what Keras gives."""
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import export.saved_model
from kgan import models, run

# knows TensorFlow, and nothing of kgan; run with -I, so neither the folder it is started in nor PYTHONPATH help it
ALONE = """
import json, sys
import numpy as np
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
noise = np.load(sys.argv[2])
outputs = {len(part): serve(noise=tf.constant(part)) for part in (noise[:1], noise)}
np.save(sys.argv[3], outputs[5]["images"])
print(json.dumps({
    "kgan": [name for name in sys.modules if name.partition(".")[0] in ("kgan", "export")],
    "input": {name: [spec.shape.as_list(), spec.dtype.name] for name, spec in serve.structured_input_signature[1].items()},
    "output": {name: [spec.shape.as_list(), spec.dtype.name] for name, spec in serve.structured_outputs.items()},
    "prefix": float(np.abs(outputs[1]["images"] - outputs[5]["images"][:1]).max())}))
"""


def test_export_of_a_run(command, finished, tmp_path):
    directory = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(directory / "export")
    done = command("-m", "export", directory, cwd=export.saved_model.Path(export.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert "saved_model" in done.stdout and "step 200" in done.stdout

    gan, step = run.load(directory)
    assert step == 200
    np.save(tmp_path / "noise.npy", gan.latents(5, seed=4))
    found = command("-I", "-c", ALONE, directory / "export" / "saved_model", tmp_path / "noise.npy", tmp_path / "images.npy",
                    cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == {
        "kgan": [], "input": {"noise": [[None, 8], "float32"]}, "output": {"images": [[None, 8, 8, 3], "float32"]},
        "prefix": pytest.approx(0, abs=1e-5)}
    images = np.load(tmp_path / "images.npy")
    assert images.std() > 1e-3
    np.testing.assert_allclose(images, gan.generate(5, seed=4), atol=1e-5)
    # the average, not the generator itself
    assert np.abs(images - np.asarray(gan.generator(gan.latents(5, seed=4)))).max() > 1e-4

    # what train.py wrote at the end of the run is the same
    with_train = tf.saved_model.load(str(finished / "export" / "saved_model")).signatures["serving_default"]
    np.testing.assert_allclose(with_train(noise=gan.latents(5, seed=4))["images"], images, atol=1e-6)


def test_weights_are_stored_once(tmp_path):
    gan = models.build("mlp", (28, 28, 1), dict(preset="deep"))
    export.saved_model.write(gan.ema_generator, gan.key, tmp_path / "out")
    stored = sum(path.stat().st_size for path in (tmp_path / "out" / "variables").iterdir())
    size = 4 * gan.generator.count_params()
    assert size <= stored < 1.1 * size


def test_points_are_samples(tmp_path):
    gan = models.build("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8"))
    assert export.saved_model.write(gan.ema_generator, gan.key, tmp_path / "out") <= 1e-5
    serve = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    assert {name: spec.shape.as_list() for name, spec in serve.structured_outputs.items()} == {"samples": [None, 2]}


def test_a_wrong_export_leaves_the_old_one(tmp_path, monkeypatch):
    gan = models.build("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("x")
    for difference in (1e-3, float("nan")):
        monkeypatch.setattr(export.saved_model, "check", lambda *_: difference)
        with pytest.raises(RuntimeError, match="differs from Keras"):
            export.saved_model.write(gan.ema_generator, gan.key, tmp_path / "out")
        assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
    monkeypatch.undo()
    export.saved_model.write(gan.ema_generator, gan.key, tmp_path / "out")
    assert not (tmp_path / "out" / "old").exists() and (tmp_path / "out" / "saved_model.pb").exists()


def test_check_sees_a_difference(tmp_path):
    one, other = (models.build("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8"))
                  for _ in range(2))
    export.saved_model.write(one.ema_generator, "sample", tmp_path / "out")
    assert export.saved_model.check(tmp_path / "out", one.ema_generator, "samples") <= 1e-5
    assert export.saved_model.check(tmp_path / "out", other.ema_generator, "samples") > 1e-3


@pytest.mark.parametrize("arguments, words", [
    ([], ["which run"]),
    (["RUN", "--formats=saved_modle"], ["saved_modle", "saved_model"]),
    (["RUN"], ["RUN", "no run"]),
    (["EMPTY"], ["no checkpoint"]),
])
def test_mistakes(command, finished, tmp_path, arguments, words):
    (tmp_path / "EMPTY" / "checkpoints").mkdir(parents=True)
    shutil.copy(finished / "config.json", tmp_path / "EMPTY")
    root = str(export.saved_model.Path(export.__file__).parents[1])
    done = command("-m", "export", *arguments, cwd=tmp_path, environment={"PYTHONPATH": root})
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "EMPTY" / "export").exists() and not (tmp_path / "RUN").exists()
