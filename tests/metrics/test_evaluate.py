"""The Evaluator, and python -m kgan.metrics as a user meets it."""
import dataclasses
import json
import shutil
import typing

import keras
import numpy as np
import pytest
from PIL import Image

import kgan
from kgan import config, kinds, metrics
from kgan.data import mixtures
from kgan.data.bicubic import resize
from kgan.data.source import DataError, Source
from kgan.metrics import evaluate, features, sliced


@pytest.fixture(scope="module", autouse=True)
def few_slices():
    """Of the distance between patches, which takes the longest of all figures and has its own tests in test_sliced.py. The usual ones."""
    usual = sliced.sliced_wasserstein.__defaults__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced.sliced_wasserstein, "__defaults__", (8, 32, *usual[2:]))
        yield usual


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A feature network in a file: random convolutions, and ten probabilities. No training."""
    keras.utils.set_random_seed(0)
    images = x = keras.Input((28, 28, 1))
    for filters in (8, 8):
        x = keras.layers.Conv2D(filters, 4, 2, activation="relu")(x)
    x = keras.layers.Dense(16)(keras.layers.Flatten()(x))
    path = tmp_path_factory.mktemp("network") / "net.keras"
    keras.Model(images, {"features": x, "probabilities": keras.layers.Softmax()(x[:, :10])}).save(path)
    return str(path)


@pytest.fixture(scope="module")
def some():
    """(train, test) of a few glyphs: 500 and 400."""
    def part(split, count):
        whole = kgan.data.source("glyphs", split=split)
        return Source("glyphs", {name: np.asarray(whole.arrays[name][:count]) for name in ("image", "label")}, whole.classes)
    return part("train", 500), part("test", 400)


@pytest.fixture(scope="module")
def glyphs(network, some):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "sources", lambda settings: some)
        return metrics.Evaluator({"dataset": "glyphs"}, network, count=400)


@pytest.fixture(scope="module")
def folder(some, tmp_path_factory):
    """The 500 training glyphs as files, in a folder a class."""
    path = tmp_path_factory.mktemp("folder")
    for i, (image, label) in enumerate(zip(*some[0].arrays.values())):
        (path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path / str(label) / f"{i}.png")
    return path


def test_figures_are_those_of_the_functions(glyphs):
    samples = np.random.default_rng(0).uniform(-1, 1, (400, 28, 28, 1)).astype(np.float32)
    real, fake = glyphs.features, glyphs.network(samples)[0]
    found = glyphs.figures(samples)
    assert found["frechet_distance"] == pytest.approx(metrics.frechet_distance(real, fake))
    assert (found["kernel_distance"], found["kernel_distance_error"]) == pytest.approx(metrics.kernel_distance(real, fake))
    assert {name: found[name] for name in ("precision", "recall", "density", "coverage")} == metrics.manifold(real, fake)
    assert found["score"] == pytest.approx(metrics.score(glyphs.network(samples)[1])[0])
    assert found["sliced_wasserstein"] == metrics.sliced_wasserstein(glyphs.examples, samples)["mean"]
    assert "sliced_wasserstein" not in glyphs.figures(samples, every=False)
    assert "modes" not in found  # the probabilities are of classes of which nothing is known


def test_the_reference_is_the_test_split_where_there_is_one(glyphs, some, network, folder):
    def same(images, others):
        return sorted(image.tobytes() for image in images) == sorted(image.tobytes() for image in others)
    assert glyphs.protocol["reference"] == "test split" and glyphs.protocol["reference_count"] == 400
    assert same(glyphs.examples, some[1].arrays["image"])

    train, test = evaluate.sources({"dataset": "glyphs"})
    assert (len(train), len(test)) == (60_000, 10_000)
    assert evaluate.sources({"dataset": f"folder:{folder}", "image_size": 28})[1] is None
    evaluator = metrics.Evaluator({"dataset": f"folder:{folder}", "image_size": 28}, network, count=200)
    assert evaluator.protocol["reference"] == "train split"
    seen = []
    evaluator.figures = lambda samples, asked, aligned: seen.append(samples)  # what is real then are others
    evaluator.real
    images = [image.tobytes() for image in (*evaluator.examples, *seen[0])]
    assert len(seen[0]) == 200 and len(set(images)) == len(images)
    assert metrics.Evaluator({"dataset": f"folder:{folder}", "image_size": 28}, network, count=400).real is None


@pytest.mark.slow
def test_real_examples_are_near_and_noise_is_far(glyphs):
    real, noise = glyphs.real, glyphs.figures(np.random.default_rng(0).uniform(-1, 1, (400, 28, 28, 1)))
    assert real["frechet_distance"] < noise["frechet_distance"] / 10
    assert real["coverage"] > 0.9 > 0.7 > noise["coverage"]
    assert real["sliced_wasserstein"] < noise["sliced_wasserstein"] / 5
    assert abs(real["kernel_distance"]) < 5 * real["kernel_distance_error"]


def test_points_are_measured_as_they_are():
    evaluator = metrics.Evaluator({"dataset": "ring"}, count=2_000)
    good = evaluator.figures(mixtures.source("ring", count=2_000).arrays["sample"])
    half = mixtures.source("ring", count=8_000).arrays["sample"]
    lost = evaluator.figures(half[half[:, 0] > 0.1][:2_000])
    assert set(good) == {"frechet_distance", "kernel_distance", "kernel_distance_error", "precision", "recall", "density",
                         "coverage"}
    assert good["frechet_distance"] < 0.01 < lost["frechet_distance"]
    assert good["coverage"] > 0.95 and lost["coverage"] < 0.6 and lost["precision"] > 0.9


def test_details_by_hand(network, some, monkeypatch):
    """Samples that are training examples of one class: nearest_train 0, one share, no others."""
    monkeypatch.setattr(evaluate, "sources", lambda settings: some)
    evaluator = metrics.Evaluator({"dataset": "glyphs"}, network, count=100)
    evaluator.network = evaluate.features.FeatureNetwork(
        "stub", lambda images: (images.reshape(len(images), -1)[:, 300:420], np.eye(10)[np.full(len(images), 3)]), {},
        tuple("0123456789"))
    evaluator.features, evaluator.probabilities = evaluator._features(evaluator.examples)
    train = evaluator.train.arrays["image"]
    samples = np.asarray(train[:100]) / np.float32(127.5) - 1
    evaluator._figures = lambda *_: {}
    figures, per_class, drawn = evaluator.details(samples)
    assert figures["nearest_train"] == pytest.approx(0, abs=1e-3)
    assert per_class["3"]["share"] == 1 and sum(row["share"] for row in per_class.values()) == 1
    real = np.bincount(evaluator.labels, minlength=10) / 100
    assert [row["real_share"] for row in per_class.values()] == pytest.approx(real)
    assert per_class["4"]["fidelity"] is None and 0 < per_class["3"]["diversity"]
    assert set(drawn) == {"classes", "fidelity", "best", "worst", "neighbors"}


def test_neighbours_are_drawn_beside_their_sample(glyphs):
    """A sample that is a training example has itself as its first neighbour: the same picture twice in a row."""
    rows = np.arange(8) * 50
    samples = np.asarray(glyphs.train.arrays["image"][rows])
    many = np.concatenate([samples, np.asarray(glyphs.examples[:392])])
    sheet = np.asarray(glyphs.details(many)[2]["neighbors"])
    factor = sheet.shape[1] // (6 * 30 + 2)
    for row, sample in enumerate(samples):
        for column in (0, 1):
            top, left = factor * (2 + row * 30), factor * (2 + column * 30)
            np.testing.assert_array_equal(sheet[top:top + 28 * factor:factor, left:left + 28 * factor:factor, 0], sample[..., 0])


def test_too_few(network, some, monkeypatch):
    monkeypatch.setattr(evaluate, "sources", lambda settings: some)
    with pytest.raises(DataError, match="17 samples of each"):
        metrics.Evaluator({"dataset": "glyphs"}, network, count=10).figures(np.zeros((10, 28, 28, 1)))


def test_images_too_small_for_what_there_is(images):
    evaluator = metrics.Evaluator({"dataset": f"folder:{images}", "image_size": 8}, count=20)
    with pytest.raises(DataError, match="14 pixels.*features=PATH"):
        evaluator.figures(evaluator.examples)


def test_what_may_choose_the_best_checkpoint_is_measured(glyphs):
    pairs = {"psnr", "ssim", "l1", "iou"}  # of what is made of something given
    own = {"si_sdr", "segmental_snr", "stoi", "pesq", "music_distance", "hole_l1", "hole_psnr"}  # of sounds, and of holes
    assert set(typing.get_args(config.EvaluateBy)) == set(evaluate.BETTER)
    assert set(evaluate.BETTER) - pairs - own < set(glyphs.figures(glyphs.examples))
    fields = (kinds.Field("image", (16, 16, 1)), kinds.Field("voxels", (4, 4, 4, 1)))
    examples = [kinds.get(field.kind).examples(field, 2) for field in fields]
    assert {name for field, each in zip(fields, examples) for name in kinds.get(field.kind).compare(each, each)} == pairs


# === The command ===

@pytest.mark.slow
def test_a_run(command, network, folder, few_slices, monkeypatch, tmp_path):
    monkeypatch.setattr(sliced.sliced_wasserstein, "__defaults__", few_slices)  # as the command has them
    flags = ["--model=mlp", f"--dataset=folder:{folder}", "--image_size=28", "--steps=20", "--batch_size=8", "--set",
             "sample_every=20", "--run_dir=run"]
    assert command("train.py", *flags, cwd=tmp_path).returncode == 0
    done = command("-m", "kgan.metrics", "run", f"--features={network}", "--count=200", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    protocol = found["protocol"]
    assert {name: protocol[name] for name in ("dataset", "step", "averaged", "samples", "reference", "seed")} == {
        "dataset": f"folder:{folder}", "step": 20, "averaged": True, "samples": 200, "reference": "train split", "seed": 1}
    gan, _ = kgan.run.load(tmp_path / "run")
    evaluator = metrics.Evaluator({"dataset": f"folder:{folder}", "image_size": 28}, network, count=200)
    again = evaluator.figures(gan.generate(200, seed=1))
    for name, value in again.items():
        assert found["figures"][name] == pytest.approx(value, rel=1e-3), name
    assert found["figures"]["path_length"] > 0 and found["figures"]["nearest_train"] > 0.5
    assert found["real"]["frechet_distance"] < found["figures"]["frechet_distance"]
    assert {path.stem for path in (tmp_path / "run" / "metrics").iterdir()} == {"best", "worst", "neighbors"}
    assert f"{again['frechet_distance']:.3g}"[:4] in done.stdout and "protocol: dataset folder:" in done.stdout

    # the exported generator: other noise from the same seed, so nearly the same figures; the last generator: others
    for flags, out in ((["run/export/saved_model", f"--dataset=folder:{folder}", "--image_size=28"], "exported"), (["run", "--noema"], "last")):
        done = command("-m", "kgan.metrics", *flags, f"--features={network}", "--count=200", f"--out={out}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    exported, last = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("exported", "last"))
    assert exported["figures"]["frechet_distance"] == pytest.approx(found["figures"]["frechet_distance"], rel=0.1)
    assert exported["figures"]["frechet_distance"] != found["figures"]["frechet_distance"]
    assert last["protocol"]["averaged"] is False and last["figures"] != found["figures"]


@pytest.mark.slow
def test_a_folder(command, network, folder, tmp_path):
    done = command("-m", "kgan.metrics", folder, f"--dataset=folder:{folder}", "--image_size=28", f"--features={network}",
                   "--count=60", "--out=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())["figures"]
    assert figures["nearest_train"] == pytest.approx(0, abs=1e-3)  # they are training images
    assert "path_length" not in figures


@pytest.mark.parametrize("arguments, words", [
    ([], ["which run?"]),
    (["/no/such"], ["/no/such", "no such run"]),
    (["."], ["is no run; it holds run: say which"]),
    ([".", "--out=out"], ["--dataset=NAME"]),
    (["run", "--count=1"], ["count"]),
    (["run", "--checkpoint=last"], ["checkpoint", "newest|best"]),
    (["run", "--checkpoint=best"], ["no best checkpoint", "--evaluate_every"]),
    (["run", "--features=/no/such.keras"], ["/no/such.keras", "no such file"]),
    (["run", "--features=classifier"], ["no labels"]),
])
def test_mistakes(command, finished, tmp_path, arguments, words):
    shutil.copytree(finished, tmp_path / "run")
    done = command("-m", "kgan.metrics", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "run" / "metrics.json").exists()



def test_what_a_translation_keeps(some, monkeypatch):
    """Of a model that is given smaller images: those interpolated are the answer of who does nothing; labels that are kept."""
    small = [dataclasses.replace(split, arrays={**split.arrays, "input": split.arrays["image"][:, 1::4, 1::4]}) for split in some]
    labels = small[1].arrays["label"]

    def taken(images):
        """Who takes a grey of 10 · label for the label."""
        return images.reshape(len(images), -1)[:, :3], np.eye(10)[np.rint((images.mean((1, 2, 3)) + 1) * 12.75).astype(int) % 10]
    monkeypatch.setattr(evaluate, "sources", lambda settings: small)
    monkeypatch.setattr(evaluate.features, "get", lambda *_: features.FeatureNetwork("taken", taken, {}, tuple("0123456789")))
    evaluator = metrics.Evaluator({"dataset": "glyphs", "model": "srgan", "config": {}}, "taken", count=400)
    wanted = evaluator.labels.copy()
    wanted[:100] = (wanted[:100] + 1) % 10  # of a quarter the label is lost
    samples = np.broadcast_to((10 * wanted)[:, None, None, None], (400, 28, 28, 1)).astype(np.uint8)
    assert evaluator.figures(samples)["label_kept"] == 0.75 and sorted(labels) == sorted(evaluator.labels)
    interpolated = resize(evaluator.given["input"], 28, 28)
    wanted = kinds.get("image").compare(interpolated, kinds.get("image").scale(evaluator.examples.astype(np.float32)))["psnr"].mean()
    assert evaluator.untouched["psnr"] == pytest.approx(wanted, rel=1e-6)


# === Of arrays ===

def test_arrays_are_data_too(network, some):
    images, labels = some[0].arrays.values()
    stored = metrics.Evaluator((images, labels), network, count=100)
    assert stored.labels.max() == 9 and stored.train.classes["label"] == list("0123456789")
    assert stored.figures(np.asarray(some[1].arrays["image"][:100]))["frechet_distance"] > 0
    assert metrics.Evaluator(np.random.default_rng(0).normal(size=(50, 2)), count=50).network.name == "raw"
