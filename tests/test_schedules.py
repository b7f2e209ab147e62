import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import schedules
from kgan.config import Config, Schedule, extremes
from kgan.gan import GAN


# === As text ===

@pytest.mark.parametrize("text, schedule", [
    ("linear:1:0", ("linear", 1, 0, 0, 1)), ("cosine:2e-4:5e-5", ("cosine", 2e-4, 5e-5, 0, 1)),
    ("linear:1:0:.5", ("linear", 1, 0, 0, 0.5)), ("cosine:1:0:.25:.75", ("cosine", 1, 0, 0.25, 0.75)),
    ("step:-3:3:.5", ("step", -3, 3, 0, 0.5)), ("linear:1:1:0:1", ("linear", 1, 1, 0, 1))])
def test_parse(text, schedule):
    assert Schedule.parse(text) == schedule


@pytest.mark.parametrize("text", [
    "", "linear", "linear:1", "step:1:2", "step:1:2:.3:.4", "linear:1:2:.1:.2:.3", "exponential:1:0", "exponential:-1:-2", "geometric:1:2", "1:2", "linear:a:b",
    "linear:1:nan", "linear:1:inf", "linear:1:2:nan", "linear:1:2:0", "linear:1:2:1.5", "linear:1:2:.5:.5",
    "linear:1:2:.7:.3", "cosine:1:2:-.1:.5", "step:1:2:0", "step:1:2:1", "Linear:1:2"])
def test_what_is_no_schedule(text):
    with pytest.raises(ValueError):
        Schedule.parse(text)


def test_extremes():
    assert extremes("cosine:2:-1") == (-1, 2) and extremes("step:1:3:.5") == (1, 3) and extremes(0.5) == (0.5, 0.5)


# === Values ===

# start 1, end 5, from a quarter of the run to three quarters. cosine: 1 + 4 (.5 - .5 cos(π way))
@pytest.mark.parametrize("text, values", [
    ("linear:1:5:.25:.75", {0: 1, 0.2: 1, 0.25: 1, 0.375: 2, 0.5: 3, 0.75: 5, 0.9: 5, 1: 5, 7: 5}),
    ("cosine:1:5:.25:.75", {0: 1, 0.25: 1, 0.375: 3 - 2**0.5, 0.5: 3, 0.625: 3 + 2**0.5, 0.75: 5, 1: 5, 7: 5}),
    ("step:1:5:.5", {0: 1, 0.49: 1, 0.5: 5, 1: 5, 7: 5}),
    ("exponential:1:16:.25:.75", {0: 1, 0.25: 1, 0.375: 2, 0.5: 4, 0.75: 16, 1: 16, 7: 16}),
    ("exponential:1:1e-4:.8", {0: 1, 0.2: 0.1, 0.4: 0.01, 1: 1e-4}),
    ("linear:5:1:.5", {0: 5, 0.25: 3, 0.5: 1, 1: 1}), ("cosine:5:1", {0: 5, 1 / 3: 4, 0.5: 3, 1: 1, 1.01: 1})])
def test_values_by_hand(text, values):
    for progress, value in values.items():
        found = schedules.at(text, tf.constant(progress, tf.float32))
        assert found.dtype == tf.float32 and float(found) == pytest.approx(value, abs=2e-6), (text, progress)


def test_a_number_is_itself():
    assert schedules.at(3, tf.constant(0.5)) == 3.0 and type(schedules.at(3, 0.5)) is float


def test_learning_rate():
    rate = schedules.LearningRate("linear:1e-3:0", 10)
    assert [float(rate(tf.constant(step, tf.int64))) for step in (0, 1, 5, 10, 12)] == pytest.approx(
        [1e-3, 9e-4, 5e-4, 0, 0], abs=1e-9)
    again = schedules.LearningRate(**rate.get_config())
    assert float(again(5)) == float(rate(5))


# === Adam ===

def course(optimizer, jit=False, steps=12):
    """Where an optimizer takes a variable by gradients that are no different from one kind of Adam to the other."""
    variables = [keras.Variable([1.0, -2.0]), keras.Variable([[0.5]])]
    optimizer.build(variables)
    random = np.random.default_rng(3)
    gradients = [[random.normal(size=variable.shape).astype(np.float32) for variable in variables] for _ in range(steps)]
    apply = tf.function(lambda *slopes: optimizer.apply(slopes, variables), jit_compile=jit)
    places = []
    for slopes in gradients:
        apply(*map(tf.constant, slopes))
        places.append(np.concatenate([np.ravel(variable) for variable in variables]))
    return np.array(places), np.array([np.concatenate([np.ravel(slope) for slope in slopes]) for slopes in gradients])


@pytest.mark.parametrize("jit", [False, True])
def test_a_flat_schedule_is_adam(jit):
    flat, _ = course(schedules.Adam(0.1, 0.5, "linear:.97:.97", 5), jit)
    np.testing.assert_allclose(flat, course(keras.optimizers.Adam(0.1, 0.5, 0.97), jit)[0], atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_adam_with_another_beta_2_each_step(jit):
    """m ← β1 m + (1 - β1) g, v ← β2 v + (1 - β2) g², x ← x - rate √(1 - β2ᵗ) / (1 - β1ᵗ) m / (√v + ε), β2 of the step."""
    optimizer = schedules.Adam(0.1, 0.5, "linear:.9:.99:.5", 20)
    places, gradients = course(optimizer, jit)
    x, m, v = np.array([1, -2, 0.5]), 0, 0
    for step, (found, slope) in enumerate(zip(places, gradients.astype(np.float64))):
        beta = 0.9 + 0.09 * min(step / 10, 1)
        m, v = 0.5 * m + 0.5 * slope, beta * v + (1 - beta) * slope**2
        x = x - 0.1 * (1 - beta ** (step + 1)) ** 0.5 / (1 - 0.5 ** (step + 1)) * m / (v**0.5 + 1e-7)
        np.testing.assert_allclose(found, x, atol=2e-5, err_msg=str(step))
    assert optimizer.beta_2 == 0.9  # no tensor is left behind
    fixed, _ = course(keras.optimizers.Adam(0.1, 0.5, 0.9), jit)
    assert np.abs(fixed - places).max() > 1e-2


# === In a run ===

def test_each_optimizer_has_its_own_updates():
    """4 steps of G are 12 updates of D: at the end of the run both have arrived, and half-way both are half-way."""
    noise, sample = keras.Input((2,)), keras.Input((2,))
    gan = GAN(keras.Model(noise, keras.layers.Dense(2)(noise)), keras.Model(sample, keras.layers.Dense(1)(sample)),
              Config(noise_dim=2, steps=4, discriminator_steps=3, jit_compile=False, beta_2="linear:.9:.99",
                     generator_learning_rate="linear:1e-2:0", discriminator_learning_rate="linear:4e-2:0"))
    gan.compile()
    real = tf.data.Dataset.from_tensors(np.ones((6, 2), np.float32))
    rates = []
    for _ in range(4):
        rates.append((float(gan.generator_optimizer.learning_rate), float(gan.discriminator_optimizer.learning_rate)))
        gan.fit(real, verbose=0)
    np.testing.assert_allclose(rates, np.outer([1, 0.75, 0.5, 0.25], [1e-2, 4e-2]), rtol=1e-5)
    assert float(gan.generator_optimizer.learning_rate) == float(gan.discriminator_optimizer.learning_rate) == 0
    assert (gan.generator_optimizer.steps, gan.discriminator_optimizer.steps) == (4, 12)


def test_the_average_follows_a_schedule():
    noise, sample = keras.Input((2,)), keras.Input((2,))
    gan = GAN(keras.Model(noise, keras.layers.Dense(2)(noise)), keras.Model(sample, keras.layers.Dense(1)(sample)),
              Config(noise_dim=2, steps=4, ema_decay="step:0:.1:.5"))
    gan.compile()
    start = gan.generator.get_weights()
    gan.generator.set_weights([weight + 1 for weight in start])
    for step, moved in ((1, 1), (2, 0.9), (4, 0.9)):  # the warm-up, 2 / 11 at step 1, is above both
        gan.ema_generator.set_weights(start)
        gan.generator_optimizer.iterations.assign(step)
        gan.update_averages()
        np.testing.assert_allclose(gan.ema_generator.get_weights()[0] - start[0], moved, atol=1e-6)


def test_what_a_longer_run_changes():
    """At step 10 of 10 a rate has ended; of 20 steps it is halfway."""
    config = Config(steps=20, generator_learning_rate="linear:1e-3:0", ema_decay="step:.5:.9:.25", instance_noise="linear:.1:0:.5",
                    penalty_weight=3.0)
    assert schedules.jumps(config, 10, 10) == [
        "generator_learning_rate=linear:1e-3:0 was 0 there and is 0.0005 from there on"]
    assert schedules.jumps(config, 0, 10) == []
    assert [text.split("=")[0] for text in schedules.jumps(config, 4, 10)] == [
        "ema_decay", "instance_noise", "generator_learning_rate"]
