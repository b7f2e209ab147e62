import csv
import signal

import keras
import numpy as np
import pytest
from PIL import Image

import kgan
from kgan import callbacks
from kgan.data import batches, mixtures
from kgan.run import Run

SOURCE = mixtures.source("ring", count=50)


def build():
    keras.utils.set_random_seed(3)
    gan = kgan.models.build("mlp", (2,), dict(preset="mixture", generator_units=4, discriminator_units=4,
                                              jit_compile=False), seed=1)
    gan.compile()
    return gan


def fit(gan, *used, start=0, steps=20):
    gan.fit(batches(SOURCE, 8, start=start, repeat=True), steps_per_epoch=steps - start, verbose=0, shuffle=False,
            callbacks=list(used))
    return gan


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    run.begin({"config": {}})
    return run


class At(keras.callbacks.Callback):
    """Calls a function before the step of that number, from 0."""

    def __init__(self, step, function):
        super().__init__()
        self.step, self.function = step, function

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.step:
            self.function(self.model)


# === Log ===

def test_log_rows_are_means_since_the_row_before(tmp_path):
    fit(build(), callbacks.Log(tmp_path / "each.csv", 1))
    fit(build(), callbacks.Log(tmp_path / "some.csv", 6, last=20))
    each, some = rows(tmp_path / "each.csv"), rows(tmp_path / "some.csv")
    assert list(some[0]) == ["step", "d_loss", "g_loss", "d_real", "d_fake"]
    assert [int(row["step"]) for row in some] == [6, 12, 18, 20] and len(each) == 20
    for name in ("d_loss", "g_loss", "d_real", "d_fake"):
        values = [float(row[name]) for row in each]
        for row, (first, last) in zip(some, [(0, 6), (6, 12), (12, 18), (18, 20)]):
            assert float(row[name]) == pytest.approx(np.mean(values[first:last]), abs=1e-5)


def test_steps_are_counted_through_epochs(tmp_path):
    gan = build()
    gan.fit(batches(SOURCE, 8), epochs=3, verbose=0, callbacks=[  # 6 steps an epoch
        callbacks.Log(tmp_path / "log.csv", every=4), callbacks.Samples(tmp_path, every=9, count=4)])
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [4, 8, 12, 16]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"step-{step:09d}.png" for step in (0, 9, 18)]


def test_several_steps_a_call(tmp_path):
    gan = build()
    gan.compile(steps_per_execution=5)
    fit(gan, callbacks.Log(tmp_path / "log.csv", every=4, last=20))
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [5, 10, 15, 20]  # the calls that cross 4, 8, 12…


def test_log_stops_where_numbers_end(run):
    def spoil(gan):
        gan.discriminator.layers[-1].bias.assign([np.nan])
    log = callbacks.Log(run.log, every=1)
    gan = fit(build(), callbacks.Checkpoints(run, every=1), At(3, spoil), log)
    assert log.not_finite == (4, "d_loss") and gan.step == 4
    assert [int(row["step"]) for row in rows(run.log)] == [1, 2, 3]
    assert run.newest()[0] == 3  # what is broken is not saved


# === Checkpoints ===

@pytest.mark.parametrize("every", [5, 10, 7])
def test_going_on_from_a_checkpoint(run, tmp_path, every):
    """At, and between, log rows: a checkpoint at a row's step holds the means of the next row, and the row is there."""
    whole = Run(tmp_path / "whole")
    whole.begin({"config": {}})
    unbroken = fit(build(), callbacks.Checkpoints(whole, every, 20), callbacks.Log(whole.log, 5, 20))

    class Killed(BaseException):
        pass

    def kill(_):
        raise Killed
    used = callbacks.Checkpoints(run, every, 20), callbacks.Log(run.log, 5, 20)
    with pytest.raises(Killed):
        fit(build(), *used, At(12, kill))
    step, arrays = run.newest()
    assert step == {5: 10, 10: 10, 7: 7}[every]
    run.truncate_log(step)
    again = build()
    fit(again, callbacks.Checkpoints(run, every, 20, arrays), callbacks.Log(run.log, 5, 20), start=step)
    assert run.log.read_text() == whole.log.read_text()
    for one, other in zip(again.state(), unbroken.state(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(run.newest()[1].items(), whole.newest()[1].items(), strict=True):
        assert one[0] == "elapsed" or one[1].tobytes() == other[1].tobytes(), one[0]


def test_elapsed_time_goes_on(run):
    fit(build(), callbacks.Checkpoints(run, 10, 10), steps=10)
    _, arrays = run.newest()
    assert 0 < arrays["elapsed"] < 100
    arrays["elapsed"] = np.float64(1000)
    checkpoints = callbacks.Checkpoints(run, 10, 20, arrays)
    fit(build(), checkpoints, start=10)
    assert 1000 < float(run.newest()[1]["elapsed"]) <= checkpoints.elapsed < 1100


# === Interrupt ===

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_with_a_checkpoint(run, number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    checkpoints = callbacks.Checkpoints(run, 1000)
    interrupt = callbacks.Interrupt(checkpoints)
    gan = fit(build(), checkpoints, At(6, lambda _: signal.raise_signal(number)), interrupt)
    assert interrupt.signal == number and gan.step == 7 and run.newest()[0] == 7
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_ends_at_once(run):
    def twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    checkpoints = callbacks.Checkpoints(run, 1000)
    with pytest.raises(KeyboardInterrupt):
        fit(build(), checkpoints, At(6, twice), callbacks.Interrupt(checkpoints))


# === Samples ===

def test_samples_are_of_the_same_noise(tmp_path):
    gan = fit(build(), callbacks.Samples(tmp_path, 10, 15, real=SOURCE.some(40), count=30, seed=9), steps=15)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "real.png", *(f"step-{step:09d}.png" for step in (0, 10, 15))]
    last = (tmp_path / "step-000000015.png").read_bytes()
    callback = callbacks.Samples(tmp_path, 10, real=SOURCE.some(40), count=30, seed=9)
    callback.set_model(gan)
    callback.on_step(16, {})
    assert (tmp_path / "step-000000016.png").read_bytes() == last
    callback.seed = 8
    callback.on_step(17, {})
    assert (tmp_path / "step-000000017.png").read_bytes() != last
    with Image.open(tmp_path / "step-000000017.png") as picture:
        assert picture.mode == "RGB" and min(picture.size) > 200
