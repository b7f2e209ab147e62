"""Real images at every value of an attribute: the function, and the command, on runs of agecgan and of cgan."""
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from kgan import edit, models
from kgan.command import UserError
from kgan.metrics.features import FeatureNetwork, _compiled
from kgan.run import Run

ROOT = edit.Path(edit.__file__).parents[1]
CLASSES = "1.2 to 2.5", "2.5 to 3", "3 to 4.8"
SETTINGS = dict(filters=8, noise_dim=6, condition="number", jit_compile=False)


def made(name, **settings):
    keras.utils.set_random_seed(0)
    gan = models.build(name, (8, 8, 3), {**SETTINGS, **settings}, classes=CLASSES)
    for network in (gan.generator, gan.ema_generator):
        # initial weights of .02 make faint images
        network.set_weights([10 * weight if weight.ndim > 1 else weight for weight in network.get_weights()])
    gan.compile()
    return gan


@pytest.fixture(scope="module")
def gan():
    return made("cgan")


def channels(gain=1.0):
    """A feature network whose features are an image's mean red and green, times `gain`: it sees no blue."""
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, [gain * keras.layers.GlobalAveragePooling2D()(images)[:, :2], images[:, 0, 0]])
    return FeatureNetwork("channels", _compiled(model), {})


# === The functions ===

def test_what_was_generated_is_found_with_its_class(gan):
    label = np.array([2, 0, 1, 2])
    images, noise = gan.generate(4, seed=5, label=label), np.asarray(gan.latents(4, seed=5))
    found, of, error = edit.invert(gan, images, label, steps=200, restarts=3)
    assert error.max() < 2e-3 and of.tolist() == label.tolist()
    np.testing.assert_allclose(found, noise, atol=0.3)
    found, of, guessed = edit.invert(gan, images, steps=200, restarts=3)
    assert of.tolist() == label.tolist() and of.dtype == np.int32
    np.testing.assert_allclose(guessed, error, atol=2e-3)
    variants = edit.variants(gan, noise)
    assert variants.shape == (4, 3, 8, 8, 3)
    np.testing.assert_allclose(variants[np.arange(4), label], images, atol=1e-6)
    for i in range(3):
        np.testing.assert_allclose(variants[:, i], gan.generate(4, seed=5, label=i), atol=1e-6)


def test_features_are_kept_in_every_class(gan):
    images = gan.generate(6, seed=9, label=0)
    network = channels()
    wanted = network(images)[0]

    def worst(found):
        seen = network(edit.variants(gan, found).reshape(-1, 8, 8, 3))[0].reshape(6, 3, 2)
        return np.abs(seen - wanted[:, None]).mean((0, 2))

    plain, kept = (edit.invert(gan, images, 0, each, steps=150, restarts=2)[0] for each in (None, network))
    assert (worst(kept)[1:] < 0.8 * worst(plain)[1:]).all(), (worst(plain), worst(kept))


def test_scale_of_features_does_not_count(gan):
    images = gan.generate(2, seed=9, label=0)
    one, other = (edit.invert(gan, images, 0, channels(gain), steps=20, restarts=1)[0] for gain in (1.0, 1000.0))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_encoder_gives_the_start():
    gan = made("agecgan", encoder_units=8)
    images = gan.generate(3, seed=1, label=[0, 1, 2])
    seen = []

    class Encoder:
        def __call__(self, images, training):
            seen.append((images.shape, training))
            return gan.latents(3, seed=1)

    gan.__dict__["encoder"] = Encoder()
    noise, _, error = edit.invert(gan, images, [0, 1, 2], steps=1)
    assert seen == [((3, 8, 8, 3), False)]
    # Adam's first step is learning_rate in each direction: it was at the start
    np.testing.assert_allclose(noise, np.asarray(gan.latents(3, seed=1)), atol=0.11)


@pytest.mark.parametrize("text, wanted", [
    ("2.5 to 3", 1), ("2.7", 1), ("2.5", 1), ("3", 2), ("0", 0), ("100", 2), ("1.2 to 2.5", 0)])
def test_class_of(text, wanted):
    assert edit.class_of(CLASSES, text) == wanted


@pytest.mark.parametrize("classes, text", [(CLASSES, "thin"), (("cat", "dog"), "1"), (("cat", "dog"), "cats")])
def test_class_of_what_is_none(classes, text):
    with pytest.raises(UserError, match=f"--attribute={text}: no class has this name.*{classes[0]}, {classes[1]}"):
        edit.class_of(list(classes), text)


# === The command ===

@pytest.fixture(scope="module")
def run_dir(command, images, tmp_path_factory):
    """A run of agecgan on a folder whose files' names have a number."""
    folder = tmp_path_factory.mktemp("edit")
    shutil.copytree(images, folder / "images")
    (folder / "images" / "names.regex").write_text(r"(?P<number>\d+)")
    done = command("train.py", "--model=agecgan", f"--dataset=folder:{folder / 'images'}", "--image_size=8", "--batch_size=4",
                   "--steps=6", "--set=condition=number", "--set=bins=3", "--set=filters=4", "--set=noise_dim=6",
                   "--set=encoder_units=8", "--run_dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "encoder_loss" in (folder / "run" / "log.csv").read_text()
    assert Run(folder / "run").settings()["classes"] == ["0 to 7", "7 to 14", "14 to 21"]
    return folder / "run"


def lines(done):
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_command(command, run_dir, images, tmp_path):
    Image.new("LA", (30, 20), (200, 128)).save(tmp_path / "a photo.png")
    files = tmp_path / "a photo.png", images / "03.png"
    path, one, two = lines(command("-m", "kgan.edit", run_dir, *files, "--steps=3", cwd=ROOT))
    path = edit.Path(path)
    assert path.parent == run_dir / "latent" and path.name.startswith("edit-steps-3-a_photo-03-")
    assert one.startswith(f"{files[0]}: number ") and two.startswith(f"{files[1]}: number ")
    with Image.open(path) as picture:
        assert picture.size == (5 * 68 + 4, 2 * 68 + 18)
        # the image itself comes first
        first = np.asarray(picture.crop((4, 86, 68, 150)))[::8, ::8]
        np.testing.assert_array_equal(first, np.asarray(Image.open(images / "03.png")))

    path, *rows = lines(command("-m", "kgan.edit", run_dir, images / "03.png", "--attribute=20", "--steps=3", cwd=ROOT))
    assert len(rows) == 1 and "number 14 to 21, mean squared error" in rows[0]
    with Image.open(path) as picture:  # its class is framed
        assert [picture.getpixel((68 * i + 2, 40)) == (230, 60, 40) for i in range(5)] == [False, False, False, False, True]

    _, *rows = lines(command("-m", "kgan.edit", run_dir, "--count=10", "--steps=3", cwd=ROOT))
    assert [row.split(",")[0] for row in rows] == [f"{i}: number {'0 to 7' if i < 7 else '7 to 14'}" for i in range(10)]


@pytest.mark.parametrize("arguments, words", [
    ([], ["RUN IMAGE"]),
    (["RUN"], ["name images", "--count"]),
    (["RUN", "a.png", "--count=3"], ["not both"]),
    (["RUN", "no.png"], ["no.png"]),
    (["RUN", "no.png", "--attribute=old"], ["--attribute=old", "0 to 7, 7 to 14"]),
    (["RUN", "IMAGE", "--features=no.keras"], ["no.keras", "no such file"]),
    (["RUN", "IMAGE", "--steps=0"], ["--steps", "0"]),
    (["PLAIN", "IMAGE"], ["PLAIN", "not conditional", "agecgan"]),
    (["EMPTY", "IMAGE"], ["EMPTY", "no run"]),
])
def test_mistakes(command, run_dir, finished, images, tmp_path, arguments, words):
    (tmp_path / "EMPTY").mkdir()
    shutil.copytree(finished, tmp_path / "PLAIN", ignore=shutil.ignore_patterns("checkpoints"))
    places = {"RUN": run_dir, "EMPTY": tmp_path / "EMPTY", "PLAIN": tmp_path / "PLAIN", "IMAGE": images / "03.png"}
    done = command("-m", "kgan.edit", *(places.get(word, word) for word in arguments), cwd=ROOT)
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_identity_is_by_labels_where_there_are_any(monkeypatch):
    from kgan.data.source import Source
    from kgan.metrics import evaluate, features
    plain = Source("data", {"image": np.zeros((4, 8, 8, 1), np.uint8)})
    labelled = Source("data", {**plain.arrays, "label": np.arange(4) % 2}, {"label": ["cat", "dog"]})
    monkeypatch.setattr(features, "get", lambda name, train, test: (name, train.name, test))
    for source, condition, wanted in ((plain, "age", None), (labelled, "age", ("classifier", "data", None)),
                                      (labelled, "label", None)):
        monkeypatch.setattr(evaluate, "sources", lambda settings: (source, None))
        assert edit.identity({"config": {"condition": condition}}) == wanted
    assert edit.identity({"config": {"condition": "label"}}, "none") is None
    assert edit.identity({"config": {"condition": "label"}}, "faces.keras") == ("faces.keras", "data", None)
