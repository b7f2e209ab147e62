"""Callbacks that train.py uses: ordinary Keras callbacks, each good in a notebook too.

They count steps (updates of the generator), not epochs: GANs have no natural epoch.
"""
import csv
import math
import signal
import sys
import time

import keras
import tensorflow as tf
from tqdm import tqdm

from kgan import pictures
from kgan.run import restore, write


class StepCallback(keras.callbacks.Callback):
    """Calls `on_step(step, logs)` whenever `every` more steps have been made, and at step `last`.

    Where several steps are made in one call of the compiled function (steps_per_execution), the call that crosses a
    multiple of `every` counts.
    """

    def __init__(self, every, last=None):
        super().__init__()
        self.every, self.last = every, last

    def on_epoch_begin(self, epoch, logs=None):
        self._first = self._step = self.model.step

    def on_train_batch_end(self, batch, logs=None):
        before, self._step = self._step, self._first + batch + 1
        if before // self.every < self._step // self.every or self._step == self.last:
            self.on_step(self._step, logs)


class Log(StepCallback):
    """Writes the means since the last row to log.csv and to TensorBoard, and stops training when they are not finite.

    Args:
        path: of the .csv file, which is appended to; a `step` column comes first.
        every: steps between two rows.
        last: a step that gets a row in any case.
        tensorboard: directory for TensorBoard's event files; None: none.
    """

    def __init__(self, path, every=50, last=None, tensorboard=None):
        super().__init__(every, last)
        self.path, self.tensorboard = path, tensorboard
        self.not_finite = None  # (step, name) of what stopped training

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(str(self.tensorboard)) if self.tensorboard else None

    def on_step(self, step, logs):
        names = [metric.name for metric in self.model.metrics if metric.name in logs]  # logs are in order of the alphabet
        row = {name: float(logs[name]) for name in names}
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            self.not_finite = (step, bad[0])
            self.model.stop_training = True
            return
        empty = not self.path.exists() or self.path.stat().st_size == 0
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if empty:
                writer.writerow(["step", *row])
            # nine digits tell any two float32 apart; no times, so that a resumed run's rows are an unbroken run's
            writer.writerow([step, *(f"{value:.9g}" for value in row.values())])
        if self._writer:
            with self._writer.as_default(step):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
        self.model.reset_metrics()

    def on_train_end(self, logs=None):
        if self._writer:
            self._writer.close()


class Samples(StepCallback):
    """Draws the samples of the same noise every so often: DIRECTORY/step-000000250.png.

    Args:
        directory: exists.
        every: steps between two pictures.
        last: a step that gets a picture in any case.
        real: float array [n, ...] of real examples; drawn once as real.png, and behind points and signals.
        count: samples a picture.
        seed: of the noise.
    """

    def __init__(self, directory, every=250, last=None, real=None, count=64, seed=0):
        super().__init__(every, last)
        self.directory, self.real, self.count, self.seed = directory, real, count, seed

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self.real is not None and not (self.directory / "real.png").exists():
            write(self.directory / "real.png", pictures.png(pictures.draw(self.real[:self.count])))
        if self._first == 0:
            self.on_step(0, logs)

    def on_step(self, step, logs):
        samples = self.model.generate(self.count, self.seed)
        behind = None if samples.ndim == 4 else self.real
        write(self.directory / f"step-{step:09d}.png", pictures.png(pictures.draw(samples, behind)))


class Checkpoints(StepCallback):
    """Saves everything that is needed to go on, bit for bit, every so often; and restores it at the start.

    Put it first among the callbacks if it restores: the others read the model's step after it. It saves when the others
    are through with the step: the step's log row and picture are there, and the means are those of the next row.

    Args:
        run: kgan.run.Run.
        every: steps between two checkpoints.
        last: a step that gets one in any case.
        arrays: a checkpoint as read by Run.newest, to go on from; None: training starts here.
    """

    def __init__(self, run, every=500, last=None, arrays=None):
        super().__init__(every, last)
        self.run, self._arrays = run, arrays
        self._elapsed = float(arrays["elapsed"]) if arrays else 0.0
        self._start = self._saved = None
        self._due = False

    @property
    def elapsed(self):
        """Seconds of training, those before a resume counted in."""
        return self._elapsed + (time.monotonic() - self._start if self._start else 0.0)

    def restore(self, gan):
        """Gives `gan` the state in `arrays`. `fit` does it by itself."""
        restore(gan, self._arrays)
        self._arrays = None

    def on_train_begin(self, logs=None):
        self._start = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        # not before: fit has just reset the metrics, whose running means belong to the checkpoint
        if self._arrays:
            self.restore(self.model)
        super().on_epoch_begin(epoch, logs)

    def on_step(self, step, logs):
        self._due = all(math.isfinite(float(value)) for value in logs.values())

    def on_train_batch_begin(self, batch, logs=None):
        if self._due:
            self.save_now()

    def on_epoch_end(self, epoch, logs=None):
        if self._due:
            self.save_now()

    def save_now(self):
        """Saves the state after the step just made, unless it is saved already."""
        self._due = False
        if self._step != self._saved:
            self.run.save(self.model, self._step, self.elapsed)
            self._saved = self._step


class Interrupt(keras.callbacks.Callback):
    """Lets Ctrl-C and SIGTERM end training after the step in hand, with a checkpoint; a second one ends it at once.

    Args:
        checkpoints: Checkpoints.
    """

    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints
        self.signal = None  # number of the signal that came

    def on_train_begin(self, logs=None):
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}

    def _receive(self, number, frame):
        self.signal = number
        # not the handlers from before: a shell starts what it puts in the background with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_batch_end(self, batch, logs=None):
        if self.signal:
            self.checkpoints.save_now()
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Lines:
    """Standard error for a bar where it is no terminal: each state of the bar on a line of its own."""

    def write(self, text):
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self):
        sys.stderr.flush()


class Progress(keras.callbacks.Callback):
    """A bar over the whole run, with the means since the last log row, images a second and the time that remains.

    Args:
        steps: of the whole run, those made before included.
        batch_size: examples a step, for the speed.
        unit: what they are: "img".
    """

    def __init__(self, steps, batch_size, unit="img"):
        super().__init__()
        self.steps, self.batch_size, self.unit = steps, batch_size, unit
        self._bar = None

    def on_epoch_begin(self, epoch, logs=None):
        if self._bar is None:
            self._first = self.model.step
            live = sys.stderr.isatty()
            self._bar = tqdm(total=self.steps, initial=self._first, file=sys.stderr if live else _Lines(),
                             ascii=None if live else " #", mininterval=0.5 if live else 15, maxinterval=15,
                             dynamic_ncols=live, bar_format="{n_fmt}/{total_fmt} |{bar:20}| {elapsed}<{remaining}{postfix}")

    def on_train_batch_end(self, batch, logs=None):
        done = self._first + batch + 1
        rate = self._bar.format_dict["rate"]
        if time.time() - self._bar.last_print_t >= self._bar.mininterval or done == self.steps:
            speed = f"{rate * self.batch_size:,.0f} {self.unit}/s  " if rate else ""
            values = "  ".join(f"{metric.name} {float(logs[metric.name]):.3f}" for metric in self.model.metrics)
            self._bar.set_postfix_str(speed + values, refresh=False)
        self._bar.update(done - self._bar.n)

    def on_train_end(self, logs=None):
        self._bar.close()
