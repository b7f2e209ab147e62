"""Ways, sums and projections in the space of noise; and the command that draws them."""
import json
import re
import shutil
import types

import keras
import numpy as np
import pytest
from PIL import Image

from kgan import GAN, Config, kinds, latent, models
from kgan.command import UserError
from kgan.kinds import noise as noise_kind
from kgan.run import Run

ROOT = latent.Path(latent.__file__).parents[1]
SETTINGS = dict(noise_dim=6, generator_units="24", discriminator_units="8", jit_compile=False)


@pytest.fixture(scope="module")
def gan():
    keras.utils.set_random_seed(0)
    # initial weights of 1 make faint images
    return models.build("mlp", (8, 8, 3), dict(SETTINGS, init_scale=4.0))


@pytest.fixture(scope="module")
def uniform():
    keras.utils.set_random_seed(0)
    return models.build("mlp", (8, 8, 1), dict(SETTINGS, init_scale=4.0, noise="uniform"))


# === Principal directions ===

def test_of_solids(monkeypatch):
    """A row of `arithmetic` that is not full has nothing in its gaps, no cubes; `sheet` draws samples in order."""
    from kgan import pictures
    gan, drawn = models.build("gan3d", (8, 8, 8, 1), dict(filters=2, noise_dim=3)), []
    monkeypatch.setattr(pictures, "sheet", lambda kind, samples, columns=8: drawn.append((kind, samples, columns)))
    latent._sum(gan, {"add": [[0, 1, 2]], "subtract": [[3]], "label": None, "seed": 0}, None)
    kind, samples, columns = drawn.pop()
    assert (kind, columns, samples.shape) == ("voxels", 4, (12, 8, 8, 8, 1))
    np.testing.assert_allclose(samples[:3], gan.generate(3), atol=1e-5)
    np.testing.assert_allclose(samples[4], gan.generate(4)[3], atol=1e-5)
    assert samples[5:7].max() == 0 < samples[7].max()
    latent._sheet(gan, {"count": 9, "label": None, "seed": 0}, None)
    np.testing.assert_allclose(drawn[0][1], gan.generate(9), atol=1e-5)


def test_principal_directions_of_a_linear_generator():
    """Their effects are the singular values: 5 along the 2nd, 3 along the sum of the 1st and 4th, 1 along the 3rd."""
    half = np.sqrt(0.5)
    wanted = np.array([[0, 1, 0, 0], [half, 0, 0, half], [0, 0, 1, 0]])
    orthogonal, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))
    generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    generator.set_weights([(wanted.T * [5, 3, 1]) @ orthogonal.T, np.arange(6.0)])
    discriminator = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    linear = GAN(generator, discriminator, Config(noise_dim=4))
    found = latent.principal_directions(linear, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_principal_directions_change_most(gan):
    found = latent.principal_directions(gan, 8)
    assert found.shape == (6, 6)  # no more than noise_dim
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-5)
    # nearest to linear near 0; half a step each way
    effects = [np.abs(np.diff(np.asarray(gan(np.stack([-0.5 * way, 0.5 * way]))), axis=0)).mean()
               for way in found.astype(np.float32)]
    assert effects[0] > 1.2 * effects[-1]


# === slerp ===

def test_slerp_by_hand():
    np.testing.assert_allclose(noise_kind.slerp([1.0, 0], [0, 1.0], [0, 1 / 3, 1]),
                               [[1, 0], [np.sqrt(3) / 2, 0.5], [0, 1]], atol=1e-12)
    # lengths 2 and 3 at an angle of 60°: sin 30° / sin 60° = 1/√3 of each
    a, b = np.array([2.0, 0, 0]), 3 * np.array([0.5, np.sqrt(3) / 2, 0])
    np.testing.assert_allclose(noise_kind.slerp(a, b, 0.5), (a + b) / np.sqrt(3), atol=1e-12)
    # the same circle, beyond b
    np.testing.assert_allclose(noise_kind.slerp([1.0, 0], [0, 1.0], 2), [-1, 0], atol=1e-12)


def test_slerp_stays_on_the_sphere_at_an_even_pace():
    a, b = np.random.default_rng(0).normal(size=(2, 5, 100))
    a, b = (10 * x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    way = noise_kind.slerp(a[:, None], b[:, None], np.linspace(0, 1, 7))
    assert way.shape == (5, 7, 100)
    np.testing.assert_allclose(np.linalg.norm(way, axis=-1), 10, rtol=1e-9)
    steps = np.linalg.norm(np.diff(way, axis=1), axis=-1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), rtol=1e-9)
    np.testing.assert_array_equal(way[:, 0], a)
    np.testing.assert_allclose(way[:, -1], b, atol=1e-12)


@pytest.mark.parametrize("a, b", [([1.0, 2], [1.0, 2]), ([1.0, 2], [2.0, 4]), ([1.0, 2], [-1.0, -2]),
                                  ([0.0, 0], [1.0, 2]), ([1.0, 2], [1 + 1e-9, 2])])
def test_slerp_is_linear_where_there_is_no_one_circle(a, b):
    np.testing.assert_allclose(noise_kind.slerp(a, b, 0.25), 0.75 * np.array(a) + 0.25 * np.array(b), atol=1e-8)


def test_slerp_broadcasts_and_keeps_float32():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    assert noise_kind.slerp(a, b, 0.3).dtype == np.float32
    many = noise_kind.slerp(a, b, np.array([[0.2], [0.7]]))
    assert many.shape == (2, 4, 3)
    np.testing.assert_allclose(many[1, 2], noise_kind.slerp(a[2], b[2], 0.7), rtol=1e-6)


# === The functions ===

def test_ways_end_at_the_samples(gan, uniform):
    for each in (gan, uniform):
        noise, samples = np.asarray(each.latents(2, 3)), each.generate(2, 3)
        way = latent.interpolate(each, *noise, 5)
        assert way.shape == (5, *samples.shape[1:]) and way.dtype == np.float32
        np.testing.assert_allclose(way[[0, -1]], samples, atol=1e-6)


def test_normal_noise_goes_round_and_uniform_noise_straight(gan, uniform):
    for each, middle in ((gan, noise_kind.slerp), (uniform, lambda a, b, t: (a + b) / 2)):
        a, b = np.asarray(each.latents(2, 3))
        np.testing.assert_allclose(latent.interpolate(each, a, b, 3)[1], np.asarray(each(middle(a, b, 0.5)[None]))[0],
                                   atol=1e-6)
        other = (a + b) / 2 if each is gan else noise_kind.slerp(a, b, 0.5)
        assert np.abs(latent.interpolate(each, a, b, 3)[1] - np.asarray(each(other[None]))[0]).max() > 1e-2


def test_arithmetic():
    a, b, c = np.random.default_rng(0).normal(size=(3, 4, 5))
    wanted = a.mean(0) + c[:2].mean(0) - b[:1].mean(0)
    found = latent.arithmetic([a, c[:2]], [b[:1]])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(latent.arithmetic([a, b], [b]), a.mean(0), atol=1e-6)
    np.testing.assert_allclose(latent.arithmetic([a[:1]]), a[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["gan", "uniform"])
def test_project_finds_what_was_generated(kind, request):
    gan = request.getfixturevalue(kind)
    examples, noise = gan.generate(3, seed=7), np.asarray(gan.latents(3, seed=7))
    start = ((gan.generate(3, seed=0) - examples) ** 2).mean((1, 2, 3))
    found, error = latent.project(gan, examples, steps=300, restarts=3)
    assert start.min() > 0.05 and error.max() < 0.002, (start, error)
    np.testing.assert_allclose(((np.asarray(gan(found)) - examples) ** 2).mean((1, 2, 3)), error, atol=1e-6)
    np.testing.assert_allclose(found, noise, atol=0.2)
    if kind == "uniform":
        assert np.abs(found).max() <= 1


def test_project_takes_the_best_start_and_no_example_counts_in_another(gan):
    examples = gan.generate(2, seed=7)
    noise, error = latent.project(gan, examples, steps=5, restarts=4)
    alone = [latent.project(gan, examples[:1], steps=5, restarts=restarts)[1][0] for restarts in (1, 4)]
    assert error[0] == pytest.approx(alone[1], abs=1e-5) and alone[1] < alone[0] - 1e-3
    assert noise.shape == (2, 6) and error.shape == (2,)


def test_project_keeps_the_usual_length():
    """Of a generator that reaches its limit only in the infinite, the noise does not run away."""
    noise = keras.Input((4,))
    layer = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")
    generator = keras.Model(noise, keras.layers.Activation("tanh")(layer(noise)))
    sample = keras.Input((4,))
    discriminator = keras.Model(sample, keras.layers.Dense(1)(sample))
    found, _ = latent.project(GAN(generator, discriminator, Config(noise_dim=4)), np.ones((1, 4)), steps=400, restarts=1)
    assert 1.2 < np.linalg.norm(found) / 2 < 1.9


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 16, 16, 3), (8, 8, 3), (0, 8, 8, 3)])
def test_project_refuses_other_shapes(gan, shape):
    with pytest.raises(ValueError, match=r"the generator makes \[8, 8, 3\]"):
        latent.project(gan, np.zeros(shape))


# === The command ===

# several commands in one process: TensorFlow takes seconds to start
SEVERAL = """
import json, sys
from absl import flags
from kgan import latent
latent.define_flags()
for arguments in json.loads(sys.argv[1]):
    for name in {name for names in latent.COMMANDS.values() for name in names}:
        flags.FLAGS[name].unparse()
    assert latent.main(flags.FLAGS(["latent", *arguments])) == 0
"""


def several(command, lines):
    """The pictures that commands write."""
    done = command("-c", SEVERAL, json.dumps([[str(word) for word in line] for line in lines]), cwd=ROOT)
    assert done.returncode == 0 and not done.stderr, done.stderr
    paths = [latent.Path(line) for line in done.stdout.splitlines() if line.endswith(".png")]
    assert len(paths) == len(lines)
    return paths


@pytest.mark.parametrize("model, shape, kind", [
    ("dcgan", [8, 8, 1], "image"), ("mlp", [2], "points"), ("wavegan", [64, 1], "audio"), ("videogan", [4, 8, 8, 1], "video"),
    ("gan3d", [8, 8, 8, 1], "voxels"), ("seqgan", [5], "tokens"), ("prgan", [8, 8, 1], "image"), ("pix2pix", [8, 8, 3], "image")])
def test_what_a_run_makes_is_known_by_its_settings(model, shape, kind):
    assert latent.kind_of({"model": model, "shape": shape}) == kind


def test_models_that_are_given_something_have_no_ways():
    field = kinds.Field("image", (8, 8, 1))
    gan = types.SimpleNamespace(fields={"image": field, "input": field}, key="image", kind="image", config=types.SimpleNamespace(noise_dim=4))
    with pytest.raises(UserError, match="RUN makes image of input, not of noise alone"):
        latent.of_noise_alone(gan, "RUN")
    gan.fields.pop("input")
    latent.of_noise_alone(gan, "RUN")
    gan.config.noise_dim = 0
    with pytest.raises(UserError, match="of no noise"):
        latent.of_noise_alone(gan, "RUN")


@pytest.fixture(scope="module")
def run_dir(finished, tmp_path_factory):
    return shutil.copytree(finished, tmp_path_factory.mktemp("latent") / "run")


def test_command(command, run_dir, images, tmp_path):
    Image.new("LA", (30, 20), (200, 128)).save(tmp_path / "a photo.png")
    wanted = [
        (["interpolate"], "interpolate.png", (510, 410)),  # 10 × 8 of 8 + 2 pixels, and 2, times 5
        (["interpolate", "--between=3,17", "--columns=4"], "interpolate-between-3-17-columns-4.png", (504, 144)),
        (["interpolate", "--between=3,17", "--columns=4", "--seed=1"],
         "interpolate-between-3-17-columns-4-seed-1.png", (504, 144)),
        (["sheet", "--count=9"], "sheet-count-9.png", (512, 152)),
        (["arithmetic", "--add=0,3,5", "--subtract=1,2", "--add=4"],
         "arithmetic-add-0-3-5-add-4-subtract-1-2.png", (504, 504)),
        (["project", "--count=3", "--steps=3"], "project-count-3-steps-3.png", (512, 352)),
        (["project", tmp_path / "a photo.png", images / "03.png", "--steps=3"],
         r"project-steps-3-a_photo-03-[0-9a-f]{8}.png", (506, 506)),
    ]
    pictures = {}
    for path, (_, name, size) in zip(several(command, [[run_dir, *arguments] for arguments, *_ in wanted]), wanted):
        assert path.parent == run_dir / "latent" and re.fullmatch(name, path.name), path
        with Image.open(path) as picture:
            assert picture.size == size, (name, picture.size)
        pictures[path.name] = path.read_bytes()
    assert len({*pictures.values()}) == len(pictures) == len(list((run_dir / "latent").iterdir()))


@pytest.mark.parametrize("arguments, words", [
    ([], ["RUN COMMAND"]),
    (["RUN"], ["interpolate", "project"]),
    (["RUN", "interpolat"], ["interpolate", "sheet"]),
    (["RUN", "interpolate", "--between=3"], ["--between=3", "3,17"]),
    (["RUN", "interpolate", "--between=3,x"], ["--between=3,x", "numbers"]),
    (["RUN", "interpolate", "--between=3,4", "--rows=2"], ["--rows", "--between"]),
    (["RUN", "interpolate", "--columns=1"], ["--columns", "1"]),
    (["RUN", "interpolate", "--add=1"], ["--add", "interpolate"]),
    (["RUN", "interpolate", "more"], ["'more'"]),
    (["RUN", "interpolate", "--betwen=1,2"], ["betwen", "between"]),
    (["RUN", "arithmetic"], ["--add"]),
    (["RUN", "arithmetic", "--add=1,-2"], ["--add=1,-2"]),
    (["RUN", "project", "a.png", "--count=3"], ["--count"]),
    (["RUN", "project", "no.png"], ["no.png"]),
    (["RUN", "fill", "a.png", "m.png", "--out=a.jpg"], ["--out=a.jpg", ".png"]),
    (["RUN", "fill", "a.png", "m.png", "--out=./a.png"], ["--out=./a.png", "overwrite"]),
    (["EMPTY", "interpolate"], ["EMPTY", "no run"]),
])
def test_mistakes(command, run_dir, tmp_path, arguments, words):
    (tmp_path / "EMPTY").mkdir()
    places = {"RUN": run_dir, "EMPTY": tmp_path / "EMPTY"}
    done = command("-m", "kgan.latent", *(places.get(word, word) for word in arguments), cwd=ROOT)
    assert done.returncode == 2 and not done.stdout and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.slow
def test_points(command, tmp_path):
    gan = models.build("mlp", (2,), dict(SETTINGS, preset="mixture", binary_noise=3, fourier_features=0))
    gan.compile()
    run = Run(tmp_path / "run")
    run.begin(dict(model="mlp", dataset="ring", shape=(2,), seed=0, image_size=None, channels=None, crop=True,
                   data_dir=None, manual_dir=None, config=dict(SETTINGS, preset="mixture", binary_noise=3, fourier_features=0)))
    run.save(gan, 10)
    paths = several(command, [[run.directory, "interpolate"], [run.directory, "arithmetic", "--add=1,2"],
                              [run.directory, "project", "--steps=3"]])
    for path in paths:
        with Image.open(path) as picture:
            assert len(picture.getcolors(1 << 20)) > 2
    for arguments in (["project", "a.png"], ["sheet"]):
        done = command("-m", "kgan.latent", tmp_path / "run", *arguments, cwd=ROOT)
        assert done.returncode == 2 and "no images" in done.stderr and len(done.stderr.splitlines()) == 1
