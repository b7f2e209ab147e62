"""The step, the averages and the moments belong to the model: they outlive compile and files."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan.config import Config
from kgan.gan import GAN

SCHEDULE = dict(optimizer="adam", generator_learning_rate="linear:.1:0", beta_2="linear:.9:.99", steps=10, ema_decay=0.9)


def build(compiled=True, **settings):
    """G(z) = zV + c, D(x) = xw + b."""
    keras.utils.set_random_seed(5)
    noise, sample = keras.Input((3,), name="noise"), keras.Input((2,), name="sample")
    gan = GAN(keras.Model(noise, keras.layers.Dense(2)(noise), name="generator"),
              keras.Model(sample, keras.layers.Dense(1)(sample), name="discriminator"),
              Config(**{"noise_dim": 3, "jit_compile": False, **SCHEDULE, **settings}))
    if compiled:
        gan.compile(run_eagerly=True)
    return gan


def train(gan, steps, first=0):
    examples = np.random.default_rng(0).normal(1, 2, (12, 6, 2)).astype(np.float32)
    gan.fit(tf.data.Dataset.from_tensor_slices({"sample": examples[first:first + steps]}), verbose=0)


@pytest.fixture
def unbroken():
    gan = build()
    train(gan, 6)
    return gan


def same(one, other):
    return all(np.array_equal(left, right) for left, right in zip(one.get_weights(), other.get_weights(), strict=True))


def test_compile_again_goes_on_as_if_nothing_had_been(unbroken):
    gan = build()
    train(gan, 2)
    gan.compile(run_eagerly=True)
    train(gan, 1, 2)
    gan.compile(jit_compile=False, run_eagerly=True)
    train(gan, 3, 3)
    assert gan.step == unbroken.step == 6 and same(gan, unbroken)


def test_a_keras_file_goes_on_compiled_or_compiled_again(unbroken, tmp_path):
    gan = build()
    train(gan, 3)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.step == 3 and loaded.compiled
    loaded.compile(run_eagerly=True)
    train(loaded, 3, 3)
    assert same(loaded, unbroken) and loaded.step == 6


@pytest.mark.parametrize("compiled", [True, False])
def test_weights_have_the_step_with_them(unbroken, tmp_path, compiled):
    gan = build()
    train(gan, 3)
    gan.save_weights(tmp_path / "gan.weights.h5")
    fresh = build(compiled)
    fresh.load_weights(tmp_path / "gan.weights.h5")
    fresh.compile(run_eagerly=True)
    assert fresh.step == 3 and fresh.made() == {"generator": 3, "discriminator": 3}
    np.testing.assert_array_equal(fresh.noise(4), gan.noise(4))  # which depends on the step
    assert float(fresh.generator_optimizer.learning_rate) == pytest.approx(0.07)
    train(fresh, 3, 3)
    assert fresh.step == 6 and same(fresh, unbroken) == compiled  # without the moments it is another way, from the same place


def test_another_optimizer_begins_its_moments_and_not_the_step():
    gan = build(ema_decay="linear:0:.9")
    train(gan, 5)
    average, weight = gan.ema_generator.get_weights()[1], gan.generator.get_weights()[1]
    gan.compile(keras.optimizers.Adam(0.125), keras.optimizers.SGD(0.125), run_eagerly=True)
    train(gan, 1, 5)
    assert gan.step == 6 and gan.made() == {"generator": 6, "discriminator": 6}
    # Adam's first step is the learning rate itself: with the bias of its sixth it would be a fraction or a multiple
    np.testing.assert_allclose(np.abs(gan.generator.get_weights()[1] - weight), 0.125, rtol=1e-3)
    # the average's warm-up is that of the model's sixth step, 7/16, and not of the optimizer's first, 2/11
    wanted = 7 / 16 * average + 9 / 16 * gan.generator.get_weights()[1]
    np.testing.assert_allclose(gan.ema_generator.get_weights()[1], wanted, rtol=1e-5)
    gan.compile(run_eagerly=True)  # the config's again: the schedules stand where the model does
    assert gan.step == 6 and float(gan.generator_optimizer.learning_rate) == pytest.approx(0.04)


def test_a_file_of_an_optimizer_of_ones_own_is_compiled_by_hand(tmp_path):
    gan = build()
    gan.compile(keras.optimizers.Adam(0.125), run_eagerly=True)
    train(gan, 2)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert not loaded.compiled and loaded.step == 2
    loaded.compile(run_eagerly=True)
    assert loaded.step == 2


def test_a_file_without_the_step(tmp_path, monkeypatch):
    """As they were before: nothing is said of the steps, and they stay."""
    gan = build()
    train(gan, 2)
    monkeypatch.setattr(GAN, "save_own_variables", keras.Model.save_own_variables)
    gan.save_weights(tmp_path / "old.weights.h5")
    fresh = build(compiled=False)
    fresh.load_weights(tmp_path / "old.weights.h5")
    assert same(fresh, gan) and fresh.step == 0


def test_what_compile_does_not_take():
    gan = build(compiled=False)
    for name, value in dict(metrics=["accuracy"], weighted_metrics=["accuracy"], loss_weights=[1, 2]).items():
        with pytest.raises(ValueError, match=rf"^compile\({name}=…\): is not for GANs"):
            gan.compile(**{name: value})
    with pytest.raises(ValueError, match=r"^compile\(optimizer=…\): each network has an optimizer of its own; give generator_opt"):
        gan.compile(optimizer="adam")
    for value, words in {"adamm": "Keras has no optimizer of this name", 1e-4: "must be an optimizer of Keras"}.items():
        with pytest.raises(ValueError, match=rf"^generator_optimizer='?{value}'?: {words}"):
            gan.compile(value)
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="^generator_optimizer and discriminator_optimizer are one object"):
        gan.compile(adam, adam)
    with pytest.raises(ValueError, match=r"^compile\(learning_rate=…\): there is no such argument; there are generator_optimizer, "):
        gan.compile(learning_rate=1e-4)
    for name in ("loss", "penalty"):
        with pytest.raises(ValueError, match=f"^{name}=.*: must be a name, or kgan"):
            gan.compile(**{name: lambda real, fake: 0.0})


def test_optimizers_by_name_have_the_rates_of_the_config():
    gan = build(compiled=False)
    gan.compile("Adam", "lion")
    one, other = gan.generator_optimizer, gan.discriminator_optimizer
    assert type(other) is keras.optimizers.Lion and one.beta_1 == gan.config.beta_1
    assert float(one.learning_rate) == pytest.approx(0.1) and gan.config.generator_learning_rate == "linear:.1:0"
    assert float(other.learning_rate) == pytest.approx(gan.config.discriminator_learning_rate)
