import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds
from kgan.config import ConfigError
from kgan.models import gan3d

TINY = dict(filters=2, noise_dim=8)
ROOT = Path(__file__).resolve().parents[2]


class TestBattery(Battery):
    model = "gan3d"
    cases = {
        "8": dict(shape=(8, 8, 8, 1), rest=1.0, **TINY),
        "16, two steps of D in parts": dict(shape=(16, 16, 16, 1), rest=1.0, discriminator_steps=2, accumulation=2, **TINY),
        "24, uniform noise": dict(shape=(24, 24, 24, 1), rest=1.0, noise="uniform", **TINY),
    }


# === Networks ===

@pytest.mark.parametrize("side, sides", [(8, [4, 8]), (16, [4, 8, 16]), (28, [7, 14, 28]), (32, [4, 8, 16, 32]), (64, [4, 8, 16, 32, 64])])
def test_sizes(side, sides):
    gan = gan3d.build((side, side, side, 1), gan3d.Config(filters=1, noise_dim=2))
    assert gan.generator.output_shape == gan.discriminator.input_shape == (None, side, side, side, 1)

    def maps(network, kind):
        return [layer.output.shape[1] for layer in network.layers if isinstance(layer, kind)]

    assert maps(gan.generator, keras.layers.Conv3DTranspose) == sides[1:]
    assert maps(gan.discriminator, keras.layers.Conv3D) == sides[-2::-1]


@pytest.mark.parametrize("shape", [(4, 4, 4, 1), (30, 30, 30, 1), (32, 32, 16, 1), (32, 32, 32, 3), (28, 28, 1), (2,)])
def test_sizes_that_cannot_be(shape):
    with pytest.raises(ConfigError, match="gan3d makes cubes of voxels .*, not " + "×".join(map(str, shape))):
        gan3d.build(shape, gan3d.Config(filters=1))


def trainable(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_parameters_of_the_published_networks():
    # G: 200·4³·512 (a transposed convolution of 1×1×1 there, a dense layer here), 512·256·4³, 256·128·4³, 128·64·4³, 64·4³, and
    # gains and offsets of four batch normalisations. D: the mirror. Beyond the authors': a bias where nothing normalises
    gan = gan3d.build((64, 64, 64, 1), gan3d.Config.of(preset="published"))
    convolutions = 8_388_608 + 2_097_152 + 524_288 + 4_096
    assert trainable(gan.generator) == 6_553_600 + convolutions + 2 * (512 + 256 + 128 + 64) + 1
    assert trainable(gan.discriminator) == convolutions + 512 * 64 + 2 * (512 + 256 + 128) + 64 + 1


def test_published_settings():
    config = gan3d.Config.of(preset="published")
    assert (config.generator_learning_rate, config.discriminator_learning_rate, config.beta_1) == (2.5e-3, 1e-5, 0.5)
    assert (config.batch_size, config.noise_dim, config.noise, config.rest) == (100, 200, "uniform", 0.8)


@pytest.mark.parametrize("fill", [0.04, 0.3])
def test_an_untrained_generator_fills_as_much_as_it_is_told(fill):
    keras.utils.set_random_seed(0)
    gan = gan3d.build((16, 16, 16, 1), gan3d.Config(filters=4, noise_dim=8, fill=fill))
    bias = float(gan.generator.layers[-2].bias[0])
    assert bias == pytest.approx(math.log(fill / (1 - fill)))
    assert gan.generate(8).mean() == pytest.approx(fill, rel=0.02)


@pytest.mark.parametrize("name, value", [("fill", 0), ("fill", 1), ("rest", 0), ("filters", 0)])
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value}: must be"):
        gan3d.Config(**{name: value})


# === D's rest ===

def small(eager=False, **settings):
    keras.utils.set_random_seed(0)
    gan = gan3d.build((8, 8, 8, 1), gan3d.Config(**{**TINY, "batch_size": 8, **settings}), seed=1)
    gan.compile(run_eagerly=eager)
    return gan


def solids(count=8):
    return kinds.get("voxels").examples(kinds.Field("voxels", (8, 8, 8, 1)), count)


def copies(variables):
    return [variable.numpy().copy() for variable in variables]


def step(gan, real):
    """One step; whether the weights of D, its optimizer's variables and those of G have changed."""
    def state():
        return [copies(variables) for variables in (gan.discriminator.trainable_variables,
                                                    gan.discriminator_optimizer.variables, gan.generator.trainable_variables)]

    before = state()
    gan.train_on_batch({"voxels": real})
    return [any((old != new).any() for old, new in zip(*both)) for both in zip(before, state())]


def test_rests_above_its_share_and_not_at_it():
    """The share that D tells, counted here from its logits, is where the two part."""
    real = solids()
    for seed in range(2):
        gan = small()
        gan.seed = seed
        fake = gan.make(gan.noise(8), network=gan.generator, training=True)
        logits = [np.asarray(gan.judge(examples)["logits"]) for examples in (real, fake)]
        share = ((logits[0] > 0).mean() + (logits[1] < 0).mean()) / 2
        assert 0 < share < 1
        for rest, rests in (share - 1e-3, True), (share, False), (share + 1e-3, False):
            gan = small(eager=seed > 0, rest=rest)
            gan.seed = seed
            moved, counted, made = step(gan, real)
            assert (moved, counted, made) == (not rests, not rests, True)
            assert float(gan.results()["d_rest"]) == rests
            assert gan.step == 1 and int(gan.discriminator_optimizer.iterations) == 1 - rests


def test_counts_its_rests():
    real, gan = solids(16), small(rest=0.6)
    data = tf.data.Dataset.from_tensor_slices({"voxels": real}).batch(8).repeat()
    logs = gan.fit(data, steps_per_epoch=20, verbose=0).history
    made = int(gan.discriminator_optimizer.iterations)
    assert logs["d_rest"] == [pytest.approx(1 - made / 20)] and 0 < made < 20


@pytest.mark.slow
def test_two_devices_rest_as_one(command, tmp_path):
    """In a process of its own, for devices cannot be divided once TensorFlow has started: tests/models/rests.py."""
    done = command("tests/models/rests.py", cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2 and found["moved"] > 1e-2
    assert 0 < found["rests"] < 1  # both happened
    assert found["weights"] < 1e-6 and found["logs"] < 1e-6, found


# === What it measures ===

def test_figures_of_data_without_labels(tmp_path):
    from kgan.metrics import Evaluator, overlap

    voxels = kinds.get("voxels").examples(kinds.Field("voxels", (8, 8, 8, 1)), 24)
    for split, rows in ("train", slice(12)), ("test", slice(12, None)):
        (tmp_path / split).mkdir()
        np.save(tmp_path / split / "some.npy", voxels[rows])
    evaluator = Evaluator({"dataset": f"folder:{tmp_path}", "image_size": 8, "model": "gan3d"}, count=12)
    gan = small()
    assert evaluator.network is None and evaluator.figures(voxels[:12]) == {}
    found = gan.figures(evaluator, voxels[:12])
    assert found == overlap.compared(voxels[:12], evaluator.examples) and set(found) == set(gan.measures)
    assert evaluator.real_of(gan) == found  # the training examples
    assert gan.figures(evaluator, voxels[12:])["iou_mmd"] == 0 < found["iou_mmd"]


def test_pictures_of_the_largest_part_say_so():
    gan = small(largest=True)
    picture = np.asarray(gan.drawn(4, seed=1)["largest"])
    np.testing.assert_array_equal(picture, np.asarray(kinds.get("voxels").sheet(gan.generate(4, 1), largest=True)))
    assert small().drawn(4) == {}
