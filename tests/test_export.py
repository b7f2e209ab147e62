"""The exported generator: loads elsewhere, gives what Keras gives, and takes no one's place before that is known."""
import dataclasses
import hashlib
import io
import json
import re
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conditional import CLASSES, tiny
from PIL import Image

import export
import export.onnx
import export.saved_model
import export.tflite
from export import artefacts, check, contract, record
from export.paths import readable
from kgan import models, run
from kgan.command import UserError
from kgan.kinds import image

ROOT = Path(export.__file__).parents[1]
MIXTURE = dict(preset="mixture", generator_units="8", discriminator_units="8")
# those that fetch nothing: of web tests/test_page.py has the tests
FORMATS = [name for name, form in export.FORMATS.items() if not form.fetches]
PATHS = [path for name in FORMATS for path, *_ in export.artefacts_of(name)]
TFLITE = [path for path, *_ in export.artefacts_of("tflite")]

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
    "input": {name: [spec.shape.as_list(), spec.dtype.name]
              for name, spec in serve.structured_input_signature[1].items()},
    "output": {name: [spec.shape.as_list(), spec.dtype.name] for name, spec in serve.structured_outputs.items()},
    "prefix": float(np.abs(outputs[1]["images"] - outputs[5]["images"][:1]).max())}))
"""


@pytest.fixture(scope="module")
def exported(command, finished, tmp_path_factory):
    """A run of a tiny dcgan, in all formats, TFLite with batches of two. Not to be changed: copy it."""
    directory = shutil.copytree(finished, tmp_path_factory.mktemp("exported") / "run")
    shutil.rmtree(directory / "export")
    done = command("-m", "export", directory, f"--formats={','.join(FORMATS)}", "--batch=2", cwd=ROOT)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert all(f"export/{path}: step 200" in done.stdout for path in PATHS)
    return directory


@pytest.fixture(scope="module")
def gan(exported):
    gan, step = run.load(exported)
    assert step == 200
    return gan


def made(directory, model="mlp", shape=(2,), classes=(), **settings):
    """The directory of a run of an untrained model, with a checkpoint of step 7. Returns (directory, gan)."""
    keras.utils.set_random_seed(4)
    gan = models.build(model, shape, settings, classes=classes)
    gan.compile()
    config = {name: value for name, value in dataclasses.asdict(gan.config).items() if name != "dataset"}
    place = run.Run(directory)
    place.begin({"kgan": "0", "model": model, "dataset": "ring", "seed": 0, "shape": list(shape), "config": config,
                 **({"classes": list(classes)} if classes else {})})
    place.save(gan, 7)
    return Path(directory), gan


@pytest.fixture(scope="module")
def written_once(tmp_path_factory):
    """(A run of untrained MIXTURE with its SavedModel, its GAN). Not to be changed: copy it."""
    directory, gan = made(tmp_path_factory.mktemp("written") / "run", **MIXTURE)
    artefacts.write(directory, ["saved_model"])
    return directory, gan


@pytest.fixture
def written(written_once, tmp_path):
    """The directory of a copy of it."""
    return shutil.copytree(written_once[0], tmp_path / "run")


told = contract.interface  # as much of a contract as a format needs


def tflite(path, noise, **label):
    """What a TFLite file makes of noise and what else it takes, a batch after the other."""
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(str(path))
    serve = interpreter.get_signature_runner("serving_default")
    batch, inputs = serve.get_input_details()["noise"]["shape"][0], {"noise": noise, **label}
    parts = [serve(**{name: rows[i:i + batch] for name, rows in inputs.items()}) for i in range(0, len(noise), batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def onnx(path, noise, **label):
    """What an ONNX file makes of noise and what else it takes."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"noise": noise, **label})
    return dict(zip([output.name for output in session.get_outputs()], outputs))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# === What an export of a run leaves ===

def test_saved_model_needs_tensorflow_alone(command, finished, exported, gan, tmp_path):
    np.save(tmp_path / "noise.npy", gan.latents(5, seed=4))
    found = command("-I", "-c", ALONE, exported / "export" / "saved_model", tmp_path / "noise.npy",
                    tmp_path / "images.npy", cwd=tmp_path)
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


def test_two_exports_of_one_run(command, tmp_path):
    """One waits for the other, whatever formats they write; both are whole, and what is listed is there."""
    directory, gan = made(tmp_path / "run", **MIXTURE)
    both = [command("-m", "export", directory, f"--formats={formats}", cwd=ROOT, wait=False)
            for formats in ("saved_model", "saved_model,onnx")]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    errors = "".join(error for _, error in said)
    assert errors == "" or re.fullmatch(r".*run/export is in use by another process: waiting for it\n", errors), errors
    assert [entry["path"] for entry in json.loads((directory / "export" / "export.json").read_text())["artefacts"]] == [
        "saved_model", "onnx/generator.onnx"]
    assert check.main(["", str(directory)]) == 0 and not (directory / "export" / ".part").exists()


@pytest.mark.parametrize("act", ["export", "check", "overwrite"])
def test_whoever_comes_second_waits(written, act, capsys):
    """While one process writes, another neither writes nor reads; while one reads, another may read and none may write."""
    directory = written
    before, done = contents(directory / "export"), threading.Event()

    def second():
        if act == "overwrite":  # train.py, which takes away what is being written
            shutil.rmtree(directory / "export")
        check.main(["", str(directory)]) if act == "check" else artefacts.write(directory, ["saved_model"])
        done.set()

    with record.held(directory, writing=act != "export"):  # an export waits for those who read, too
        thread = threading.Thread(target=second)
        thread.start()
        said = ""
        while "run/export is in use by another process: waiting for it" not in said:
            assert not done.wait(0.1), said
            said += capsys.readouterr().err
        assert not done.wait(0.5)
        assert contents(directory / "export") == ({} if act == "overwrite" else before)
    assert done.wait(120)
    thread.join()
    assert set(contents(directory / "export")) == set(before)
    with record.held(directory, writing=False), record.held(directory, writing=False):
        pass
    assert {path.name for path in directory.iterdir()} == {".lock", "config.json", "checkpoints", "samples", "export"}  # nothing is left


def test_put_where_another_is_put(tmp_path, monkeypatch):
    """Two SavedModels written to one place at once: one of them is there, whole, and nothing else."""
    gan, failures = models.build("mlp", (2,), MIXTURE), []

    def write():
        try:
            export.saved_model.write(gan.ema_generator, told(gan), tmp_path / "model")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and list(tmp_path.iterdir()) == [tmp_path / "model"]
    assert tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]


@pytest.mark.parametrize("name", ["run[1] a*? back\\slash [!x]", *(pytest.param(name, marks=pytest.mark.slow) for name in (
    "run[1]", "a*?", "back\\slash", "[!x]"))])
def test_names_that_are_patterns(tmp_path, name, monkeypatch):
    """Export and check of a run whose path TensorFlow would take as a pattern; TFLite's converter, where TMPDIR is one."""
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    directory, gan = made(tmp_path / name / name, **MIXTURE)
    record = artefacts.write(directory, ["saved_model", "tflite"], precisions=["float32"])
    assert [entry["step"] for entry in record["artefacts"]] == [7, 7]
    assert check.main(["", str(directory)]) == 0
    left = [path for path in (tmp_path / name).iterdir() if not path.name.startswith("__autograph_generated_file")]
    assert left == [directory]  # no link
    with readable(directory / "export" / "saved_model") as path:
        serve = tf.saved_model.load(path).signatures["serving_default"]
    np.testing.assert_allclose(serve(noise=gan.latents(3, seed=4))["samples"], gan.generate(3, seed=4), atol=1e-5)


@pytest.mark.parametrize("seed", [0, 3, 2**31 - 1])
def test_generate_and_png(exported, gan, seed):
    signatures = tf.saved_model.load(str(exported / "export" / "saved_model")).signatures
    numbers = dict(count=tf.constant(4), seed=tf.constant(seed))
    images = signatures["generate"](**numbers)["images"].numpy()
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, image.store(gan.generate(4, seed)))
    pngs = signatures["png"](**numbers)["png_bytes"].numpy()
    np.testing.assert_array_equal([np.asarray(Image.open(io.BytesIO(png))) for png in pngs], images)
    assert signatures["generate"](count=tf.constant(0), seed=tf.constant(0))["images"].shape == (0, 8, 8, 3)
    np.testing.assert_array_equal(signatures["latents"](**numbers)["noise"], gan.latents(4, seed))


def test_each_says_what_it_is(exported):
    import onnx as package
    directory = exported / "export"
    told = json.loads((directory / "saved_model" / "assets.extra" / "generator.json").read_text())
    assert (told["name"], told["step"], told["output"]["shape"]) == ("run", 200, [None, 8, 8, 3])
    assert told["input"]["distribution"] == "normal(0, 1)"
    directions = np.array(told["directions"])
    assert directions.shape == (8, 8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-4)
    for path in TFLITE:
        with zipfile.ZipFile(directory / path) as archive:
            assert json.loads(archive.read("generator.json")) == told
    properties = {entry.key: entry.value for entry in package.load(directory / PATHS[-1]).metadata_props}
    assert json.loads(properties["generator.json"]) == told


def test_rounding():
    """Halves too, and what lies outside."""
    values = np.concatenate([np.arange(0, 256, 0.5, np.float32) / np.float32(127.5) - 1, [-2, 2]]).astype(np.float32)
    np.testing.assert_array_equal(export.saved_model._to_uint8(values), image.store(values))


def test_tflite_of_a_run(exported, gan):
    noise, images = gan.latents(6, seed=4).numpy(), gan.generate(6, seed=4)
    for path, precision, _ in export.artefacts_of("tflite"):
        output = tflite(exported / "export" / path, noise)
        assert list(output) == ["images"] and output["images"].dtype == np.float32
        np.testing.assert_allclose(output["images"], images, atol=dict(float32=1e-5, float16=2 / 255).get(precision, 0.1))
        found = export.tflite.operators((exported / "export" / path).read_bytes())
        assert "TRANSPOSE_CONV" in found and set(found) <= {
            "ADD", "DEQUANTIZE", "FULLY_CONNECTED", "MUL", "QUANTIZE", "RESHAPE", "TANH", "TRANSPOSE_CONV"}, found
        assert ("QUANTIZE" in found) == (precision == "int8")


def test_onnx_of_a_run(exported, gan):
    for count in (1, 5):
        output = onnx(exported / "export" / PATHS[-1], gan.latents(count, seed=4).numpy())
        assert list(output) == ["images"]
        np.testing.assert_allclose(output["images"], gan.generate(count, seed=4), atol=1e-5)


def test_record(exported, gan):
    directory = exported / "export"
    assert {path.name for path in directory.iterdir()} == {"README.md", "export.json", *FORMATS}
    record = json.loads((directory / "export.json").read_text())
    assert (record["model"], record["step"], record["averaged"]) == ("dcgan", 200, True)
    assert record["input"] == {"name": "noise", "shape": [None, 8], "dtype": "float32", "distribution": "normal(0, 1)",
                               "range": None}
    assert record["label"] is None and record["truncation"] is True
    assert record["output"] == {"name": "images", "shape": [None, 8, 8, 3], "dtype": "float32", "range": [-1, 1]}
    assert record["config"]["filters"] == 4 and record["quality"] is None
    assert {"kgan", "tensorflow", "keras", "ai-edge-litert", "onnx", "onnxruntime"} <= set(record["versions"])
    assert [entry["path"] for entry in record["artefacts"]] == PATHS
    for entry in record["artefacts"]:
        path = directory / entry["path"]
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        sums = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        whole = "".join(f"{value}  {file.relative_to(path)}\n" for file, value in sums.items())
        assert entry["sha256"] == (sums[path] if path.is_file() else hashlib.sha256(whole.encode()).hexdigest())
        assert entry["bytes"] == sum(file.stat().st_size for file in files)
        assert entry["check"]["largest"] < 0.1 and entry["check"]["milliseconds"] > 0
    assert record["artefacts"][0]["check"]["levels"] == 0

    card = (directory / "README.md").read_text()
    assert "step 200" in card and "Not measured" in card and "not known to kgan" in card
    assert all(path in card for path in PATHS) and "size=[2, 8]" in card


def test_card_with_figures(exported, tmp_path):
    record = json.loads((exported / "export" / "export.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps({
        "figures": {"recall": 0.25, "score": None}, "real": {"recall": 0.75}, "protocol": {"count": 99}}))
    record["quality"] = contract._quality(tmp_path / "metrics.json")
    card = artefacts.card.text(record)
    assert "| recall | 0.25 | 0.75 |" in card and "count 99" in card
    assert "score" not in card and "Not measured" not in card


# === Checking again ===

def test_check_by_hand(command, exported, tmp_path):
    directory = shutil.copytree(exported, tmp_path / "run") / "export"
    for path in ("tflite/generator_int8.tflite", "saved_model/variables/variables.data-00000-of-00001"):
        content = bytearray((directory / path).read_bytes())
        content[len(content) // 2] ^= 0xFF
        (directory / path).write_bytes(content)
    (directory / "tflite/generator_float16.tflite").unlink()
    done = command("-m", "export.check", tmp_path / "run", cwd=ROOT)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(rows) == ["artefact", *PATHS]
    for path in PATHS:
        wrong = {"saved_model": "SHA-256", PATHS[2]: "not there", PATHS[4]: "SHA-256"}.get(path)
        assert wrong in rows[path] if wrong else rows[path].endswith("sound"), rows[path]


def test_check_sees_wrong_weights(exported, gan, tmp_path):
    """Files that are sound in themselves, and of another generator; and files that no runtime reads."""
    other = shutil.copytree(exported, tmp_path / "run") / "export"
    wanted = check.reference(gan, tmp_path / "right.npz")
    for path in [*TFLITE, PATHS[-1]]:
        kind, precision = path.partition("/")[0], "float32" if "onnx" in path else Path(path).stem.split("_")[1]
        assert check.check(other / path, kind, precision, wanted)["mean"] < 0.05
    with np.load(wanted) as file:
        np.savez(tmp_path / "wrong.npz", **{**file, "out0/images": -file["out0/images"]})
        np.savez(tmp_path / "nan.npz", **{**file, "out0/images": file["out0/images"] * np.nan})
    for source, path, words in (("wrong", PATHS[-1], "differs from Keras"), ("nan", PATHS[-1], "differs from Keras"),
                                ("wrong", TFLITE[3], "PSNR"), ("nan", TFLITE[3], "PSNR")):
        kind, precision = path.partition("/")[0], "int8" if "int8" in path else "float32"
        with pytest.raises(check.CheckError, match=words):
            check.check(other / path, kind, precision, tmp_path / f"{source}.npz")
    (other / TFLITE[0]).write_bytes(b"TFL3" * 100)
    with pytest.raises(check.CheckError, match="generator_float32.tflite: its runtime cannot run it: .+"):
        check.check(other / TFLITE[0], "tflite", "float32", wanted)


@pytest.mark.parametrize("name, words", [("latents", "latents gives other noise"), ("generated", "differ by up to 2"),
                                         ("decoded", "png gives other pixels")])
def test_check_judges_each_signature(name, words):
    images = np.full((3, 8, 8, 1), 100, np.uint8)
    wanted = {"latents": np.zeros((3, 4), np.float32), "generated": images}
    found = {**wanted, "decoded": images}
    assert check._signatures("saved_model", found, wanted) == {"levels": 0}
    wrong = found[name].copy()
    wrong[0, 0] += 2
    with pytest.raises(check.CheckError, match=words):
        check._signatures("saved_model", {**found, "decoded": wrong, name: wrong}, wanted)


def test_another_step(exported, tmp_path, capsys):
    """An artefact of a format that is not written again keeps its step, and does not pass as one of the checkpoint."""
    directory = shutil.copytree(exported, tmp_path / "run") / "export"
    record = json.loads((directory / "export.json").read_text())
    record["artefacts"] = [{**entry, "step": 150} for entry in record["artefacts"] if entry["format"] == "tflite"]
    (directory / "export.json").write_text(json.dumps(record))
    record = artefacts.write(tmp_path / "run", ["onnx", "onnx"])
    assert [(entry["path"], entry["step"]) for entry in record["artefacts"]] == [
        ("onnx/generator.onnx", 200), *((path, 150) for path in TFLITE)]
    assert artefacts.lines(record).count("\n") == 0
    assert check.main(["", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().out.count("of step 150, the checkpoint is of step 200") == 4


def test_a_failed_check_leaves_the_old_export(exported, tmp_path, monkeypatch):
    directory = shutil.copytree(exported, tmp_path / "run") / "export"
    before = contents(directory)
    monkeypatch.setitem(check.BOUNDS, "int8", (500, None))
    with pytest.raises(check.CheckError, match="int8.tflite: PSNR .* below 500.*--precisions"):
        artefacts.write(tmp_path / "run", ["onnx", "tflite"], precisions=["float32", "int8"])
    assert contents(directory) == before and not (directory / ".part").exists()
    artefacts.write(tmp_path / "run", ["tflite"], precisions=["float32"])
    assert [path.name for path in (directory / "tflite").iterdir()] == ["generator_float32.tflite"]


# === Every kind of generator ===

def test_mlp_in_all_formats(tmp_path):
    """Points, from uniform noise, beyond 1."""
    directory, gan = made(tmp_path / "run", **MIXTURE, noise="uniform", data_scale="40")
    record = artefacts.write(directory, FORMATS, batch=3)
    assert [entry["path"] for entry in record["artefacts"]] == PATHS and record["step"] == 7
    assert record["input"]["distribution"] == "uniform(-1, 1)" and record["output"]["range"] is None
    assert record["licence"] == "numbers drawn by kgan: none is needed" and record["truncation"] is False
    assert "np.random.uniform(-1, 1, size=[3, 16])" in (directory / "export" / "README.md").read_text()
    samples = gan.generate(6, seed=2)
    assert np.abs(samples).max() > 2
    serve = tf.saved_model.load(str(directory / "export" / "saved_model")).signatures
    generated = serve["generate"](count=tf.constant(6), seed=tf.constant(2))["samples"]
    np.testing.assert_allclose(generated, samples, rtol=1e-5)
    assert "png" not in serve
    noise = gan.latents(6, seed=2).numpy()
    np.testing.assert_allclose(onnx(directory / "export" / PATHS[-1], noise)["samples"], samples, atol=1e-4)
    np.testing.assert_allclose(tflite(directory / "export" / TFLITE[0], noise)["samples"], samples, atol=1e-4)


@pytest.mark.parametrize("model, shape, settings", [
    ("dcgan", (13, 10, 3), dict(filters=4, noise_dim=8)),
    ("sine", (10,), {}),
    ("infogan", (8, 8, 1), dict(filters=4)),
    *(pytest.param(*each, marks=pytest.mark.slow) for each in (
        ("dcgan", (8, 8, 1), dict(filters=4, noise_dim=8, upsampling="resize")),
        ("r3gan", (8, 8, 3), dict(widths="16,16", noise_dim=8)),
        ("mlp", (28, 28, 1), dict(generator_units="16")),
        ("fastgan", (32, 32, 3), dict(filters=2, discriminator_filters=2)),
        ("biggan", (16, 16, 3), dict(filters=2)))),
])
def test_other_models(model, shape, settings, tmp_path):
    keras.utils.set_random_seed(2)
    gan = models.build(model, shape, settings, classes=CLASSES)
    precisions = ["float32", "int8"]
    export.tflite.write(gan.ema_generator, told(gan), tmp_path / "tflite", gan.latents, precisions=precisions)
    export.onnx.write(gan.ema_generator, told(gan), tmp_path / "onnx", gan.latents)
    wanted = check.reference(gan, tmp_path / "reference.npz")
    for precision in precisions:
        check.check(tmp_path / "tflite" / f"generator_{precision}.tflite", "tflite", precision, wanted)
    check.check(tmp_path / "onnx" / "generator.onnx", "onnx", "float32", wanted)


def test_other_operators_are_refused_by_name(tmp_path):
    noise = keras.Input((4,))
    network = keras.Model(noise, keras.layers.Lambda(tf.math.erfinv, output_shape=(4,))(keras.layers.Dense(4)(noise)))
    contracted = {"functions": {"generator": {
        "inputs": [{"name": "noise", "kind": "noise", "shape": [None, 4], "dtype": "float32", "distribution": "normal(0, 1)"}],
        "outputs": [{"name": "samples", "kind": "signal", "shape": [None, 4], "dtype": "float32", "range": None}]}}}
    for module in (export.tflite, export.onnx):
        with pytest.raises(UserError, match="Erfinv.*leave"):
            module.write(network, contracted, tmp_path / module.__name__, lambda count, seed: tf.zeros([count, 4]))


# === Conditional generators ===

@pytest.fixture(scope="module", params=["joined", "gains"])
def conditional(request, tmp_path_factory):
    """(GAN, folder of its artefacts), TFLite with batches of two. Not to be changed."""
    gan, folder = tiny(request.param), tmp_path_factory.mktemp(request.param)
    for name in FORMATS:
        options = {"batch": 2} if name == "tflite" else {}
        getattr(export, name).write(gan.ema_generator, told(gan), folder / name, gan.latents, **options)
    return gan, folder


def test_conditional_equals_keras(conditional, tmp_path):
    """In every format, each class, in batches that mix them; and not with the labels of others."""
    gan, folder = conditional
    wanted = check.reference(gan, tmp_path / "right.npz")
    with np.load(wanted) as file:
        arrays = dict(file)
    assert arrays["in0/label"].dtype == np.int32 and arrays["in0/label"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    np.savez(tmp_path / "others.npz", **{**arrays, "in0/label": arrays["in0/label"][::-1]})
    for name in FORMATS:
        for path, precision, _ in export.artefacts_of(name):
            check.check(folder / path, name, precision, wanted)
            if precision == "float32":
                with pytest.raises(check.CheckError, match="differs from Keras"):
                    check.check(folder / path, name, precision, tmp_path / "others.npz")
    noise = gan.latents(6, 3).numpy()
    for i in range(len(CLASSES)):
        label = np.full(6, i, np.int32)
        images = np.asarray(gan.make(noise, i))
        np.testing.assert_allclose(onnx(folder / PATHS[-1], noise, label=label)["images"], images, atol=1e-5)
        np.testing.assert_allclose(tflite(folder / TFLITE[0], noise, label=label)["images"], images, atol=1e-5)
        # in int8 too a class is more than what rounding takes away
        found = [np.mean((tflite(folder / TFLITE[3], noise, label=label)["images"] - gan.make(noise, k)) ** 2)
                 for k in range(len(CLASSES))]
        assert np.argmin(found) == i and np.sort(found)[1] > 3 * found[i]


def test_signatures_with_a_label(conditional):
    gan, folder = conditional
    signatures = tf.saved_model.load(str(folder / "saved_model")).signatures
    assert {name: {key: (spec.shape.as_list(), spec.dtype.name) for key, spec in each.structured_input_signature[1].items()}
            for name, each in signatures.items()} == {
        "serving_default": {"noise": ([None, 8], "float32"), "label": ([None], "int32")},
        **dict.fromkeys(("generate", "png"), {name: ([], "int32") for name in ("count", "seed", "label")}),
        "latents": {name: ([], "int32") for name in ("count", "seed")}}
    seen = set()
    for label, name in enumerate([None, *CLASSES], -1):
        numbers = dict(count=tf.constant(7), seed=tf.constant(5), label=tf.constant(label))
        images = signatures["generate"](**numbers)["images"].numpy()
        np.testing.assert_array_equal(images, image.store(gan.generate(7, 5, label=name)))
        pngs = signatures["png"](**numbers)["png_bytes"].numpy()
        np.testing.assert_array_equal([np.asarray(Image.open(io.BytesIO(png))) for png in pngs], images)
        seen.add(images.tobytes())
    assert len(seen) == 4
    np.testing.assert_array_equal(signatures["latents"](count=tf.constant(7), seed=tf.constant(5))["noise"], gan.latents(7, 5))
    for name, wrong in (("generate", -2), ("generate", 3), ("png", 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="label: must be from -1 to 2"):
            signatures[name](count=tf.constant(1), seed=tf.constant(0), label=tf.constant(wrong))
    for wrong in (-1, 3):
        with pytest.raises(tf.errors.InvalidArgumentError, match="label: must be from 0 to 2"):
            signatures["serving_default"](noise=gan.latents(2), label=tf.constant([0, wrong]))


@pytest.mark.parametrize("wrong", [-1, -3, 3, 99, 2**31 - 1, -2**31])
def test_a_label_that_is_no_class(conditional, wrong):
    """Refused in every format, whichever row has it, and nothing is left of it for the next call."""
    gan, folder = conditional
    noise, right = gan.latents(2, 3).numpy(), np.array([1, 2], np.int32)
    wanted = gan.make(noise, right)
    serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    calls = {"saved_model": lambda label: serve(noise=tf.constant(noise), label=tf.constant(label))["images"],
             "onnx": lambda label: onnx(folder / PATHS[-1], noise, label=label)["images"],
             **{path: lambda label, path=path: tflite(folder / path, noise, label=label)["images"] for path in TFLITE}}
    for name, call in calls.items():
        for label in ([wrong, 0], [0, wrong]):
            with pytest.raises(Exception, match="label: must be|out of data bounds|out of bounds"):
                call(np.array(label, np.int32))
        np.testing.assert_allclose(call(right), wanted, atol=1e-5 if "float32" in name or "." not in name else 1, err_msg=name)


def test_check_sees_labels_that_are_taken(conditional, tmp_path, monkeypatch):
    """A file that makes something of class -1 does not pass, as those that were written before."""
    gan, _ = conditional
    monkeypatch.setattr(export.onnx, "refusing", lambda told, inputs: inputs)
    monkeypatch.setattr(export.tflite, "refusing", lambda told, inputs: inputs)
    export.onnx.write(gan.ema_generator, told(gan), tmp_path / "onnx")
    wanted = check.reference(gan, tmp_path / "right.npz")
    with pytest.raises(check.CheckError, match="generator.onnx: makes something of label -1, which is no class"):
        check.check(tmp_path / "onnx" / "generator.onnx", "onnx", "float32", wanted)


def test_names_and_order_are_the_same_everywhere(conditional):
    """Without signatures, too: by the place of an input, or by its tensor's name."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter
    gan, folder = conditional
    names = [each["name"] for each in told(gan)["functions"]["generator"]["inputs"]]
    assert sorted(names) == ["label", "noise"]
    session = onnxruntime.InferenceSession(str(folder / PATHS[-1]), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == names and [each.name for each in session.get_outputs()] == ["images"]
    values = {"noise": gan.latents(2, 3).numpy(), "label": np.array([1, 2], np.int32)}
    for path in TFLITE:
        interpreter = Interpreter(str(folder / path))
        inputs, output = interpreter.get_input_details(), interpreter.get_output_details()
        assert [each["name"] for each in inputs] == names and [each["name"] for each in output] == ["images"], path
        interpreter.allocate_tensors()
        for name, each in zip(names, inputs):
            interpreter.set_tensor(each["index"], values[name])
        interpreter.invoke()
        by_place = interpreter.get_tensor(output[0]["index"])
        np.testing.assert_array_equal(by_place, tflite(folder / path, values["noise"], label=values["label"])["images"])
        assert np.abs(by_place - gan.make(values["noise"], values["label"])).mean() < 0.1


def test_names_of_a_file_with_one_input(tmp_path):
    """And names that are longer than the converter's own stay what they are in the signature."""
    from ai_edge_litert.interpreter import Interpreter
    gan = models.build("sine", (10,), dict(noise_dim=3))
    contracted = told(gan)
    long = {**contracted["output"], "name": "samples_of_a_length_that_no_name_of_a_tensor_has"}
    for output in (contracted["output"], long):
        given = contracted["functions"]["generator"]
        changed = {**contracted, "functions": {"generator": {**given, "outputs": [{**given["outputs"][0], **output}]}}}
        export.tflite.write(gan.ema_generator, changed, tmp_path / output["name"], gan.latents, precisions=["float32"])
        interpreter = Interpreter(str(tmp_path / output["name"] / "generator_float32.tflite"))
        assert [each["name"] for each in interpreter.get_input_details()] == ["noise"]
        found = interpreter.get_signature_runner("serving_default")(noise=gan.latents(1, 3).numpy())
        np.testing.assert_allclose(found[output["name"]], gan.generate(1, 3), atol=1e-5)
    short = Interpreter(str(tmp_path / "samples" / "generator_float32.tflite")).get_output_details()
    assert [each["name"] for each in short] == ["samples"]


def test_conditional_tflite(conditional):
    """Built-in operators alone, and a ZIP archive that names the classes."""
    gan, folder = conditional
    for path in TFLITE:
        found = export.tflite.operators((folder / path).read_bytes())
        assert {"GATHER", "ONE_HOT"} & set(found) and set(found) <= set(export.tflite._BUILT_IN.values()), found
        with zipfile.ZipFile(folder / path) as archive:
            told = json.loads(archive.read("generator.json"))
        assert told["label"] == {"name": "label", "shape": [None], "dtype": "int32", "classes": list(CLASSES)}


def test_one_hot_in_int8(tmp_path):
    """What the label is turned into is 1 and 0 there, and not 1 and ½."""
    noise, label = keras.Input((3,), name="noise"), keras.Input((), dtype="int32", name="label")
    copy = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")
    generator = keras.Model({"noise": noise, "label": label}, copy(keras.ops.one_hot(label, 3)) + 0.01 * copy(noise))
    gan = tiny(shape=(3,), classes="abc", noise_dim=3)  # which takes and gives what this generator does
    latents = gan.latents
    export.tflite.write(generator, told(gan), tmp_path / "out", latents, 3, ["int8"])
    label = np.array([2, 0, 1], np.int32)
    found = tflite(tmp_path / "out" / Path(TFLITE[3]).name, latents(3).numpy(), label=label)["samples"]
    np.testing.assert_allclose(found, np.eye(3)[label], atol=0.05)


def test_calibration_sees_each_class(tmp_path):
    """A class that is far from the others is not cut off, and be it the last of more than there are rows else."""
    gan = tiny("joined", (10,), classes=[str(i) for i in range(150)])
    table = next(layer for layer in gan.ema_generator.layers if isinstance(layer, keras.layers.Embedding))
    values, = table.get_weights()
    values[149] *= 20
    table.set_weights([values])
    export.tflite.write(gan.ema_generator, told(gan), tmp_path / "out", gan.latents, 4, ["int8"])
    noise, label = gan.latents(4).numpy(), np.full(4, 149, np.int32)
    found, wanted = tflite(tmp_path / "out" / Path(TFLITE[3]).name, noise, label=label)["samples"], gan.make(noise, 149)
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_run_of_a_conditional_model(tmp_path, monkeypatch, capfd):
    """From a run's checkpoint; and what the model card says to load it with does."""
    directory, gan = made(tmp_path / "run", "cgan", (8, 8, 3), CLASSES, filters=4, noise_dim=8)
    record = artefacts.write(directory, FORMATS, batch=2)
    assert "AutoGraph" not in capfd.readouterr().err  # which warns of what it cannot read
    assert [entry["path"] for entry in record["artefacts"]] == PATHS
    assert record["label"]["classes"] == list(CLASSES) and record["input"]["shape"] == [None, 8]
    told = json.loads((directory / "export" / "saved_model" / export.CONTRACT).read_text())
    assert told["label"] == record["label"] and np.shape(told["directions"]) == (8, 8)
    card = (directory / "export" / "README.md").read_text()
    assert "Turns noise and a class into images" in card and f"from 0 on: {', '.join(CLASSES)}" in card
    monkeypatch.chdir(directory / "export")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == len(FORMATS)
    for block, rows in zip(blocks, (8, 2, 8)):
        names = {}
        exec(block, names)
        assert names["images"].shape == (rows, 8, 8, 3)
    assert check.main(["", str(directory)]) == 0


def test_card_of_many_classes():
    names = [f"class {i}" for i in range(1000)]
    assert artefacts.card._classes(names).endswith("class 18, class 19 … class 999; `export.json` names all 1000")
    assert artefacts.card._classes(names[:2]) == "class 0, class 1"


# === SavedModel ===

def test_weights_are_stored_once(tmp_path):
    gan = models.build("mlp", (28, 28, 1), dict(preset="deep"))
    export.saved_model.write(gan.ema_generator, told(gan), tmp_path / "out")
    stored = sum(path.stat().st_size for path in (tmp_path / "out" / "variables").iterdir())
    size = 4 * gan.generator.count_params()
    assert size <= stored < 1.1 * size


def test_points_are_samples(tmp_path):
    gan = models.build("mlp", (2,), MIXTURE)
    export.saved_model.write(gan.ema_generator, told(gan), tmp_path / "out", gan.latents)
    assert check.check(tmp_path / "out", "saved_model", "float32", check.reference(gan, tmp_path / "gan.npz"))["largest"] <= 1e-5
    serve = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    assert {name: spec.shape.as_list() for name, spec in serve.structured_outputs.items()} == {"samples": [None, 2]}


@pytest.mark.parametrize("error, words", [
    (tf.errors.ResourceExhaustedError(None, None, "/run/export/.part/x.tempstate; No space left on device"), "No space left on"),
    (tf.errors.UnknownError(None, None, "a.data; File too large [Op:SaveV2]"), "File too large;"),
    (tf.errors.PermissionDeniedError(None, None, "a; Permission denied"), "Permission denied;"),
    (OSError(28, "No space left on device"), "No space left on device;"),
    (OSError(30, "Read-only file system"), "Read-only file system;"),
])
def test_a_disk_that_cannot_be_written(written, monkeypatch, error, words):
    directory = written
    before = contents(directory / "export")

    def fail(*arguments, **more):
        raise error

    monkeypatch.setattr(export.saved_model, "write", fail)
    with pytest.raises(UserError) as raised:
        artefacts.write(directory, ["saved_model"])
    assert f"run/export cannot be written: {words}" in str(raised.value) and "it is as it was" in str(raised.value)
    assert "\n" not in str(raised.value) and contents(directory / "export") == before


def test_a_file_that_may_not_be_so_large(command, tmp_path):
    """A real failure of a real write, deep in TensorFlow: one line, and exit status 2."""
    directory, _ = made(tmp_path / "run", **{**MIXTURE, "generator_units": "300,300"})
    script = ("import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
              f"sys.argv = ['export', {str(directory)!r}]; runpy.run_module('export', run_name='__main__')")
    done = command("-c", script, cwd=ROOT, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "run/export cannot be written: " in done.stderr and not (directory / "export" / "saved_model").exists()
    assert not (directory / "export" / ".part").exists()


@pytest.mark.parametrize("place", ["first", "last", "some"])
def test_weights_that_are_not_finite(tmp_path, monkeypatch, place):
    directory, gan = made(tmp_path / "run", **MIXTURE)
    variable = gan.ema_generator.variables[{"first": 0, "last": -1, "some": 1}[place]]
    values = np.array(variable)
    values.flat[-1] = np.inf if place == "some" else np.nan
    variable.assign(values)
    monkeypatch.setattr(artefacts, "load", lambda *_: (gan, 7))
    with pytest.raises(UserError, match="the newest checkpoint, of step 7: .*values that are not finite, so nothing is exported"):
        artefacts.write(directory, ["saved_model"])
    assert not (directory / "export").exists()


def test_weights_too_large_to_count_with(tmp_path, monkeypatch):
    """Each is finite, and what comes of them is not."""
    directory, gan = made(tmp_path / "run", **MIXTURE)
    for variable in gan.ema_generator.variables:
        variable.assign(np.full(variable.shape, 1e30, np.float32))
    monkeypatch.setattr(artefacts, "load", lambda *_: (gan, 7))
    with pytest.raises(UserError, match="the generator itself, in Keras, makes values that are not finite"):
        artefacts.write(directory, ["saved_model"])


def test_a_wrong_export_leaves_the_old_one(tmp_path, monkeypatch):
    directory, gan = made(tmp_path / "run", **MIXTURE)
    (directory / "export" / "saved_model").mkdir(parents=True)
    (directory / "export" / "saved_model" / "old").write_text("x")
    right = check.reference(gan, tmp_path / "right.npz")
    with np.load(right) as file:
        samples = file["out0/samples"]
    for wrong in (samples + 1e-3, samples * np.nan):
        monkeypatch.setattr(check, "_run", lambda *_: [{"out0/samples": wrong, "milliseconds": 1.0}])
        with pytest.raises(check.CheckError, match="differs from Keras"):
            artefacts.write(directory, ["saved_model"])
        assert [path.name for path in (directory / "export").rglob("*")] == ["saved_model", "old"]
    monkeypatch.undo()
    artefacts.write(directory, ["saved_model"])
    target = directory / "export" / "saved_model"
    assert not (target / "old").exists() and (target / "saved_model.pb").exists()


def test_check_sees_a_difference(tmp_path):
    one, other = (models.build("mlp", (2,), MIXTURE) for _ in range(2))
    export.saved_model.write(one.ema_generator, told(one), tmp_path / "out", one.latents)
    right, wrong = (check.reference(gan, tmp_path / f"{i}.npz") for i, gan in enumerate((one, other)))
    assert check.check(tmp_path / "out", "saved_model", "float32", right)["largest"] <= 1e-5
    with pytest.raises(check.CheckError, match="differs from Keras"):
        check.check(tmp_path / "out", "saved_model", "float32", wrong)


@pytest.mark.parametrize("arguments, words", [
    ([], ["which run"]),
    (["RUN", "--formats=saved_modle"], ["saved_modle", "saved_model"]),
    (["RUN", "--formats="], ["--formats=", "which format", "onnx"]),
    (["RUN", "--precisions=int4"], ["--precisions=int4", "int8"]),
    (["RUN", "--batch=0"], ["batch"]),
    (["RUN"], ["RUN", "no run"]),
    (["EMPTY"], ["no checkpoint"]),
])
def test_mistakes(command, finished, tmp_path, arguments, words):
    (tmp_path / "EMPTY" / "checkpoints").mkdir(parents=True)
    shutil.copy(finished / "config.json", tmp_path / "EMPTY")
    done = command("-m", "export", *arguments, cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "EMPTY" / "export").exists() and not (tmp_path / "RUN").exists()


@pytest.mark.parametrize("below", ["export", "export/saved_model", "checkpoints", ""])
def test_a_path_within_the_run(written_once, below, capsys, monkeypatch):
    directory, _ = written_once
    assert run.run_at(directory / below) == directory
    said = capsys.readouterr().err
    assert said == (f"{directory / below} lies in the run {directory}, which is taken\n" if below else "")
    if below == "checkpoints":  # of the others this is seen by other tests
        assert check.main(["", str(directory / below)]) == 0
    monkeypatch.chdir(directory / "export")
    assert run.run_at(".").resolve() == directory


def test_a_path_above_runs_or_of_a_file(tmp_path):
    for name in "ab":
        made(tmp_path / "runs" / name, **MIXTURE)
    for path in (tmp_path / "runs", tmp_path):
        with pytest.raises(UserError, match=f"{path} is no run; it holds {tmp_path}/runs/a, {tmp_path}/runs/b: say which"):
            run.run_at(path)
    with pytest.raises(UserError, match="step-.* is a file of the run .*runs/a: say the run, and by --checkpoint"):
        run.run_at(next((tmp_path / "runs" / "a" / "checkpoints").iterdir()))
    for path in (tmp_path / "none", tmp_path.parent / "no" / "where"):
        assert run.run_at(path) == path  # of which is said that it holds no run


@pytest.mark.parametrize("number", [2, 99, -1, "new"])
def test_an_export_of_a_newer_format(written, number):
    """One sentence, from export and check alike, and nothing is changed."""
    directory = written
    path = directory / "export" / "export.json"
    told = json.loads(path.read_text())
    assert told["format"] == export.FORMAT == 1
    path.write_text(json.dumps({**told, "format": number}))
    before = contents(directory / "export")
    for act in (lambda: artefacts.write(directory, ["saved_model"]), lambda: check.main(["", str(directory)])):
        with pytest.raises(UserError, match=f"export.json is of format {number}, and this kgan reads up to 1: take a newer kgan, or"):
            act()
    assert contents(directory / "export") == before


def test_an_export_of_before_formats_had_numbers(written):
    path = written / "export" / "export.json"
    told = json.loads(path.read_text())
    del told["format"]
    path.write_text(json.dumps(told))
    assert check.main(["", str(written)]) == 0


def test_the_card_says_what_was_done(tmp_path):
    """Which file there is, which bound decided, of which step the figures are, and what the artefacts were compared on."""
    directory, gan = made(tmp_path / "run", **MIXTURE, data_scale="40")
    (directory / "metrics.json").write_text(json.dumps({"figures": {"recall": 0.25}, "real": {}, "protocol": {"step": 6}}))
    record = artefacts.write(directory, ["tflite"], precisions=["int8", "dynamic"])
    card = (directory / "export" / "README.md").read_text()
    assert 'Interpreter("tflite/generator_dynamic.tflite")' in card and "float32.tflite" not in card
    assert "These figures are of step 6, and not of step 7, which this export is of" in card
    assert "8 rows of noise of seed 12 against Keras" in record["protocol"] and "peak the range of Keras's" in record["protocol"]
    record = artefacts.write(directory, ["saved_model"])
    card, result = (directory / "export" / "README.md").read_text(), record["artefacts"][0]["check"]
    with tempfile.TemporaryDirectory() as folder, np.load(check.reference(gan, Path(folder, "r.npz"))) as file:
        largest = np.abs(file["out0/samples"]).max()
    assert largest > 2 and result["bound"] == pytest.approx(1e-5 * largest, rel=1e-5)
    assert f"difference ≤ {result['bound']:.2g}" in card
    conditional = check.protocol(tiny(classes=[str(i) for i in range(70)]))
    assert conditional.startswith("64 rows of ") and "the classes in turn" in conditional and "peak 2;" in conditional


def test_mistakes_of_checking(command, exported, tmp_path):
    done = command("-m", "export.check", cwd=ROOT)
    assert done.returncode == 2 and "which run" in done.stderr
    with pytest.raises(UserError, match="no export.json that can be read: python -m export"):
        check.main(["", str(tmp_path)])


def test_missing_packages(monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    export.require("--formats", ["saved_model"])
    with pytest.raises(UserError, match=r'^--formats=tflite: ai-edge-litert not installed: pip install.*export'):
        export.require("--formats", ["tflite"])


def test_at_the_end_of_training(command, tmp_path):
    done = command("train.py", "--model=mlp", "--export=tflote", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--export=tflote" in done.stderr, done.stderr
    assert not any(tmp_path.iterdir())
    settings = [f"--set={name}={value}" for name, value in {**MIXTURE, "jit_compile": False}.items()]
    done = command("train.py", "--model=mlp", "--dataset=ring", *settings, "--steps=2", "--export=tflite,onnx",
                   "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "run/export/tflite" in done.stdout and "run/export/onnx" in done.stdout
    assert sorted(contents(tmp_path / "run" / "export")) == sorted(["README.md", "export.json", *PATHS[1:]])
