"""Phases: updates one after the other, chosen on the host, whatever calls the compiled step."""
import csv
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import callbacks, report
from kgan.config import Config
from kgan.gan import GAN
from kgan.replicas import len_of
from kgan.run import Run

EXAMPLES = np.random.default_rng(0).normal(1, 2, (12, 6, 2)).astype(np.float32)


class Phased(GAN):
    """For three steps G alone goes to the examples' mean, for two D alone learns, then both do."""

    borders = 3, 5

    def phases(self):
        return (0, self.warm_up_step), (self.borders[0], self.discriminator_step), (self.borders[1], self.train_step)

    def warm_up_step(self, batch):
        real = self.real(batch)
        noise = self.noise(len_of(real))

        def loss():
            value = tf.reduce_mean((self.make(noise, network=self.generator, training=True) - real) ** 2)
            self._means["g_loss"].update_state(value)
            return value

        self.minimize(loss, "generator")
        self.update_averages()
        return self.results("g_loss", "g_gradient")

    def discriminator_step(self, batch):
        real = self.real(batch)
        fake = self.make(self.noise(len_of(real)), network=self.generator)
        self.minimize(lambda: self.discriminator_loss(real, fake), "discriminator")
        self.rest("generator")
        return self.results("d_loss", "d_gradient")


def build(kind=Phased, eager=True, calls=1, **settings):
    keras.utils.set_random_seed(5)
    noise, sample = keras.Input((3,), name="noise"), keras.Input((2,), name="sample")
    gan = kind(keras.Model(noise, keras.layers.Dense(2)(noise), name="generator"),
               keras.Model(sample, keras.layers.Dense(1, name="logits")(sample), name="discriminator"),
               Config(**{"noise_dim": 3, "jit_compile": False, "steps": 12, "generator_learning_rate": "linear:.1:0", **settings}))
    gan.compile(run_eagerly=eager, steps_per_execution=calls)
    return gan


def fit(gan, steps, first=0, *used):
    gan.fit(tf.data.Dataset.from_tensor_slices({"sample": EXAMPLES[first:first + steps]}), verbose=0, callbacks=list(used))
    return gan


def state(gan):
    return [np.asarray(variable) for variable in gan.state()]


def assert_same(one, other):
    for mine, its in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.fixture(scope="module")
def unbroken():
    """Eight steps, and what each of them left of the networks."""
    gan, seen = build(), []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((dict(gan.made()), gan.generator.get_weights(), gan.discriminator.get_weights(), list(logs)))

    fit(gan, 8, 0, Look())
    return gan, seen


def test_each_phase_has_its_steps(unbroken):
    gan, seen = unbroken
    start = build()
    weights = [(start.generator.get_weights(), start.discriminator.get_weights()), *(each[1:3] for each in seen)]
    moved = [tuple(not all(map(np.array_equal, one, other)) for one, other in zip(before, after))
             for before, after in zip(weights, weights[1:])]
    assert moved == 3 * [(True, False)] + 2 * [(False, True)] + 3 * [(True, True)]
    assert [each[0]["generator"] for each in seen] == list(range(1, 9)) and seen[-1][0]["discriminator"] == 5
    assert seen[2][3] == ["g_gradient", "g_loss"] and seen[4][3] == ["d_gradient", "d_loss"] and len(seen[5][3]) == 7
    assert [gan.phase_of(step) for step in (0, 2, 3, 4, 5, 99)] == ["warm_up"] * 2 + ["discriminator"] * 2 + ["adversarial"] * 2
    # the rate follows the steps, those too in which G rested
    assert float(gan.generator_optimizer.learning_rate) == pytest.approx(0.1 * (1 - 8 / 12))


@pytest.mark.parametrize("step, eager", [*((step, True) for step in (2, 3, 4, 5, 6)), pytest.param(4, False, marks=pytest.mark.slow)])
def test_resuming_on_both_sides_of_a_border_is_bit_for_bit(unbroken, tmp_path, step, eager):
    """From a checkpoint of that step, which is restored within `fit`, when the function of step 0 has been made."""
    run = Run(tmp_path / "run")
    run.begin({"config": {}})
    gan = build(eager=eager)
    fit(gan, step)
    run.save(gan, step)
    found, arrays = run.newest()
    resumed = fit(build(eager=eager), 8 - step, step, callbacks.Checkpoints(run, 100, arrays=arrays))
    assert found == step and resumed.step == 8
    assert_same(resumed, unbroken[0] if eager else fit(build(eager=False), 8))


def test_train_on_batch_and_compile_again(unbroken):
    gan = build()
    for i, batch in enumerate(EXAMPLES[:8]):
        if i == 4:
            gan.compile(run_eagerly=True)
        gan.train_on_batch(batch)
    assert all(map(np.array_equal, gan.get_weights(), unbroken[0].get_weights()))


def test_calls_of_several_steps_end_at_borders(unbroken):
    class Two(Phased):
        borders = 2, 4

    gan = build(Two, eager=False, calls=8)
    assert gan.steps_per_execution == 2
    for one, other in zip(state(fit(gan, 8)), state(fit(build(Two), 8)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)  # a graph, and not
    late = build(Two, calls=2)
    late.generator_optimizer.iterations.assign(1)
    with pytest.raises(ValueError, match="steps_per_execution=2: a call at step 1 would reach over step 2, where"):
        fit(late, 2)


def test_a_phase_without_steps_and_one_phase():
    class Skipped(Phased):
        borders = 0, 0

    assert [Skipped(*networks()).phase_of(step) for step in (0, 5)] == ["adversarial"] * 2
    assert GAN(*networks()).phase_of(0) == ""


def networks():
    gan = build()
    return gan.generator, gan.discriminator, gan.config


def test_the_log_and_the_bar_name_the_phase(tmp_path, capsys):
    gan = build()
    bar = callbacks.Progress(8, 6)
    fit(gan, 8, 0, callbacks.Log(tmp_path / "log.csv", 2, 8), bar, callbacks.StepCallback(100))
    with open(tmp_path / "log.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["step"], row["phase"]) for row in found] == [
        ("2", "warm_up"), ("4", "discriminator"), ("6", "adversarial"), ("8", "adversarial")]
    assert found[0]["d_loss"] == "" and found[0]["g_loss"] != "" and found[1]["g_loss"] == "" and all(found[3].values())
    read = callbacks.rows(tmp_path / "log.csv")
    assert "phase" not in read[0] and "d_loss" not in read[0] and read[1]["d_loss"] == float(found[1]["d_loss"])
    assert "adversarial  d_loss" in capsys.readouterr().err


@pytest.mark.slow
def test_two_devices_are_one(command, tmp_path):
    done = command("tests/phases.py", cwd=tmp_path, environment={"PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2 and found["moved"] > 1e-2 and found["steps"] == [8, 8]
    assert found["apart"] < 1e-6


def test_what_training_costs_is_measured_in_each_phase():
    text = report.cost(build(), tf.data.Dataset.from_tensor_slices({"sample": EXAMPLES}).repeat())
    assert re.search(r"time +warm_up: [\d.]+ s to the first step, then [\d.]+ ms a step; discriminator: .* ms a step; adversarial: .* ms a "
                     r"step: about [\d.]+ minutes for 12 steps", text)
