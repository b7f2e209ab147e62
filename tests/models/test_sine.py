import dataclasses

import keras
import numpy as np
import pytest
from battery import Battery

import kgan
from kgan.config import ConfigError
from kgan.data import signals
from kgan.models import sine

TUTORIAL = sine.Config.of(preset="tutorial", jit_compile=False)  # the compiler would take longer than the steps


class TestBattery(Battery):
    model = "sine"
    cases = {"default": dict(shape=(10,)), "tutorial": dict(shape=(10,), preset="tutorial")}


def layers_of(network):
    """(units, activation) of each Dense layer; LeakyReLU's activation with its slope."""
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            assert layer.activation is keras.activations.linear
            found.append([layer.units, "linear"])
        elif isinstance(layer, keras.layers.LeakyReLU):
            found[-1][1] = f"leaky_relu {layer.negative_slope}"
        elif isinstance(layer, keras.layers.Activation) and layer.activation is not keras.activations.linear:
            found[-1][1] = layer.activation.__name__
    return [tuple(entry) for entry in found]


def weights_of(gan):
    return [np.asarray(weight) for network in (gan.generator, gan.discriminator) for weight in network.weights]


def test_tutorial_networks():
    gan = sine.build((10,), TUTORIAL)
    assert gan.generator.input_shape == (None, 1) and gan.discriminator.input_shape == (None, 10)
    assert layers_of(gan.generator) == [(10, "relu"), (10, "relu"), (10, "tanh")]
    assert layers_of(gan.discriminator) == [(10, "leaky_relu 0.2"), (10, "leaky_relu 0.2"), (1, "linear")]
    assert gan.generator.count_params() == 1 * 10 + 10 + 10 * 10 + 10 + 10 * 10 + 10
    assert gan.discriminator.count_params() == 10 * 10 + 10 + 10 * 10 + 10 + 10 + 1


def test_tutorial_weights_start_within_their_bound():
    keras.utils.set_random_seed(0)
    largest = {}
    for kernel in (weight for _ in range(5) for weight in weights_of(sine.build((10,), TUTORIAL))):
        if kernel.ndim == 1:
            assert (kernel == 0).all()
        else:
            largest[kernel.shape] = max(largest.get(kernel.shape, 0), np.abs(kernel).max())
    assert set(largest) == {(1, 10), (10, 10), (10, 1)}
    for shape, value in largest.items():
        bound = np.sqrt(2 / sum(shape))
        assert 0.9 * bound < value <= bound


def test_tutorial_updates():
    keras.utils.set_random_seed(0)
    gan = sine.build((10,), TUTORIAL)
    gan.compile()
    for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.SGD) and float(optimizer.momentum) == 0
        assert (float(optimizer.learning_rate), optimizer.clipnorm) == (pytest.approx(0.01), 0.2)
    before = weights_of(gan)
    assert max(np.abs(weight).max() for weight in before) > 0.4  # of the generator's first layer: √(2 / 11)
    signal = signals.source(count=1).arrays["sample"]

    for number in range(3):
        gan.train_on_batch(signal)
        after = weights_of(gan)
        assert gan.step == number + 1
        assert max(np.abs(weight).max() for weight in after) == pytest.approx(0.25)  # cut, and not further than that
        # one variable's gradient has norm .2 at most, so that one step of .01 goes .002 at most
        moves = [np.linalg.norm(new - np.clip(old, -0.25, 0.25)) for old, new in zip(before, after)]
        assert 0 < max(moves) <= 0.002 + 1e-6
        before = after
    # no averaging: samples come from the generator itself
    for average, weight in zip(gan.ema_generator.weights, gan.generator.weights):
        np.testing.assert_array_equal(average, weight)


def test_biases_are_cut_too():
    keras.utils.set_random_seed(0)
    gan = sine.build((10,), dataclasses.replace(TUTORIAL, weight_clip=1e-4, generator_weight_clip=1e-4))
    gan.compile()
    gan.train_on_batch(signals.source(count=1).arrays["sample"])
    assert max(np.abs(weight).max() for weight in weights_of(gan)) == pytest.approx(1e-4)


def test_tutorial_survives_saving(tmp_path):
    gan = sine.build((10,), TUTORIAL)
    gan.generator.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    noise = gan.latents(5)
    np.testing.assert_array_equal(loaded(noise), gan.generator(noise))


def test_default_is_not_bounded_or_cut():
    gan = sine.build((10,), sine.Config.of())
    assert gan.config.preset == "default" and gan.generate(3).shape == (3, 10)
    assert layers_of(gan.generator)[-1] == (10, "linear")
    assert gan.config.weight_clip == gan.config.generator_weight_clip == 0


@pytest.mark.slow
def test_default_learns():
    """After a fortieth of the default's steps the signals are near the family of sines; untrained ones are far away."""
    keras.utils.set_random_seed(0)
    config = sine.Config.of(steps=200, ema_decay=0.9, jit_compile=False)
    gan = sine.build((10,), config)
    gan.compile(steps_per_execution=100)
    untrained = np.median(signals.fit(gan.generate(200))[3])
    gan.fit(kgan.data.load("sine", batch_size=config.batch_size, repeat=True), steps_per_epoch=config.steps,
            shuffle=False, verbose=0)
    trained = np.median(signals.fit(gan.generate(200))[3])
    assert trained < 0.08 < untrained  # .03 and .15


@pytest.mark.parametrize("name, value", [("weight_clip", -1), ("weight_clip", "inf"), ("init_scale", 0)])
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=name):
        sine.Config.of(**{name: value})
