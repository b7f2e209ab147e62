import dataclasses

import keras
import numpy as np
import pytest
from battery import Battery
from mixtures import SIZE

import kgan
from kgan import models
from kgan.config import ConfigError
from kgan.data import mixtures
from kgan.models import mlp

TINY = dict(generator_units=(8,), discriminator_units=(8, 4), noise_dim=4)


class TestBattery(Battery):
    model = "mlp"
    cases = {
        "small": dict(shape=(14, 14, 1), preset="small", **TINY),
        "deep, colour": dict(shape=(8, 8, 3), preset="deep", **TINY),
        "mixture": dict(shape=(2,), preset="mixture", binary_noise=2, **TINY),
        "signals, XLA": dict(shape=(10,), jit_compile=True, **TINY),
        "three steps of D, rmsprop, clipped": dict(shape=(2,), discriminator_steps=3, optimizer="rmsprop", clipnorm=1.0,
                                                   **TINY),
        "not square": dict(shape=(6, 9, 1), noise="uniform", optimizer="sgd", generator_learning_rate=0.1,
                           discriminator_learning_rate=0.1, **TINY),
        "linear": dict(shape=(2,), generator_units=(), discriminator_units=()),
        "spectral, minibatch deviation": dict(shape=(8, 8, 3), discriminator_normalization="spectral", minibatch_std=True, **TINY),
        "Fourier features": dict(shape=(2,), preset="mixture", binary_noise=4, fourier_features=4, batch_size=8, **TINY),
    }
    fixed = ("frequencies",)


@pytest.mark.parametrize("preset, shape", [("small", (28, 28, 1)), ("deep", (28, 28, 1)), ("mixture", (2,)),
                                           ("mixture", (10,))])
def test_layers_are_the_presets(preset, shape):
    config = mlp.Config.of(preset=preset)
    gan = mlp.build(shape, config)
    size = int(np.prod(shape))
    assert [variable.shape for variable in gan.generator.weights if variable.path.endswith("kernel")] == list(
        zip((config.noise_dim, *config.generator_units), (*config.generator_units, size)))
    assert [variable.shape for variable in gan.discriminator.weights if variable.path.endswith("kernel")] == list(
        zip((size + 2 * config.fourier_features, *config.discriminator_units), (*config.discriminator_units, 1)))


def test_parameters_of_the_tutorial():
    # 100-256-784 and 784-256-1
    gan = models.build("mlp", (28, 28, 1), dict(preset="small"))
    assert gan.generator.count_params() == 100 * 256 + 256 + 256 * 784 + 784
    assert gan.discriminator.count_params() == 784 * 256 + 256 + 256 + 1


def test_images_are_bounded_and_points_are_not():
    for shape, bounded in (((4, 4, 1), True), ((16,), False)):
        gan = mlp.build(shape, mlp.Config.of(generator_units="8", generator_activation="relu", noise_dim=4))
        largest = np.abs(gan(1e3 * np.ones((1, 4), np.float32))).max()
        assert (largest <= 1) == bounded


def test_activations():
    names = []
    for name in ("tanh", "relu", "leaky_relu"):
        network = mlp.generator((2,), mlp.Config(generator_units=(4,), generator_activation=name), "points")
        names.append(np.asarray(network.layers[2](np.array([[-1.0, 2.0, 0.0, -3.0]], np.float32))).tolist())
    np.testing.assert_allclose(names, [np.tanh([[-1, 2, 0, -3]]), [[0, 2, 0, 0]], [[-0.2, 2, 0, -0.6]]], atol=1e-6)


def test_fourier_features_by_hand():
    layer = mlp.FourierFeatures(3, 16.0)
    x = np.array([[0.5, -1.0], [0.0, 0.0]], np.float32)
    values = np.asarray(layer(x))
    frequencies = np.asarray(layer.frequencies)
    np.testing.assert_allclose(np.linalg.norm(frequencies, axis=0), [1, 4, 16], rtol=1e-5)
    angles = x @ frequencies
    np.testing.assert_allclose(values, np.concatenate([x, np.sin(angles), np.cos(angles)], 1), atol=1e-5)
    assert not layer.trainable_variables


def test_binary_noise():
    noise = np.array([[0.5, -2.0, 0.3, -1e-6], [-3.0, 1e-6, -4.0, 0.0]], np.float32)
    np.testing.assert_array_equal(mlp.BinaryNoise(3)(noise), [[0.25, -1, 1, -1], [-1.5, 1, -1, -1]])
    gan = models.build("mlp", (2,), dict(binary_noise=3, **TINY))
    same, other = noise * [1, 2, 0.1, 7], noise * [1, 2, -0.1, 7]  # that of the third is what changes
    np.testing.assert_array_equal(gan(same), gan(noise))
    assert np.abs(gan(other) - gan(noise)).max(1).min() > 1e-3
    with pytest.raises(ConfigError, match="binary_noise=5: must be at most noise_dim=4"):
        mlp.Config.of(**{**TINY, "binary_noise": 5})


def test_data_scale():
    small, large = (models.build("mlp", (2,), dict(preset="mixture", data_scale=scale, fourier_features=4, binary_noise=3,
                                                   **TINY), seed=3) for scale in (1, 4))
    for one, other in ((small.generator, large.generator), (small.discriminator, large.discriminator)):
        other.set_weights(one.get_weights())
    noise = small.latents(5)
    np.testing.assert_allclose(large.generator(noise), 4 * small.generator(noise), rtol=1e-5)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_allclose(large.discriminator(4 * x), small.discriminator(x), atol=1e-6)


def test_packing_widens_what_the_discriminator_sees():
    gan = models.build("mlp", (4, 4, 1), dict(packing=3, batch_size=6, **TINY))
    assert gan.discriminator.input_shape == (None, 4, 4, 3) and gan.generator.output_shape == (None, 4, 4, 1)


@pytest.mark.parametrize("name, modes, steps", [("ring", 8, 3_000), ("grid", 25, 4_500)])
@pytest.mark.slow
def test_no_mode_is_lost(name, modes, steps):
    """The first steps of the preset mixture, in which modes are found; benchmarks/mixtures.py has all 20,000."""
    config = mlp.Config.of(preset="mixture", **SIZE[name])
    keras.utils.set_random_seed(0)
    gan = mlp.build((2,), config)
    gan.compile(steps_per_execution=config.steps_per_execution)
    before = mixtures.coverage(name, gan.generate(2_500))
    gan.fit(kgan.data.load(name, batch_size=config.batch_size, repeat=True), steps_per_epoch=steps, shuffle=False, verbose=0)
    after = mixtures.coverage(name, gan.generate(2_500))
    assert before["high_quality"] < 0.1
    assert after["modes"] == modes and after["high_quality"] > 0.6 and after["kl"] < 0.1, after


@pytest.mark.parametrize("largest, scale, weight", [
    (1.045, 1, "exponential:0.025:1e-5:0.25:0.7"), (4.21, 4, "exponential:0.4:1e-5:0.25:0.7"),
    (0.0312, 0.03, "exponential:2.25e-05:1e-5:0.25:0.7"), (218, 200, "exponential:1000:1e-5:0.25:0.7")])
def test_the_mixture_measures_its_data(largest, scale, weight):
    """Of the ring and the grid it finds what benchmarks/mixtures.py says by hand."""
    examples = np.random.default_rng(0).uniform(-largest, largest, (1_000, 2))
    examples[3, 1] = -largest
    assert mlp.Config(preset="mixture").fitted(examples) == {"data_scale": scale, "penalty_weight": weight}
    assert mlp.Config(preset="mixture", data_scale=2.0).fitted(examples) == {}
    assert mlp.Config().fitted(examples) == {}
    assert mlp.Config(preset="mixture", penalty_weight=0.5).fitted(examples) == {"data_scale": scale, "penalty_weight": 0.5}


def test_the_commands_numbers_are_the_benchmarks():
    for name in ("ring", "grid"):
        config = mlp.Config.of(preset="mixture", dataset=name)
        found = config.fitted(kgan.data.of({"dataset": name}).examples(slice(10_000)))
        by_hand = mlp.Config.of(preset="mixture", dataset=name, **{"data_scale": 1, **SIZE[name]})
        assert dataclasses.replace(config, **found) == by_hand
