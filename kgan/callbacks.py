"""Callbacks that train.py uses: ordinary Keras callbacks, each good in a notebook too.

They count steps (updates of the generator), not epochs: GANs have no natural epoch.
"""
import csv
import math
import signal
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kgan.advice import alarms, not_finite
from kgan.config import ConfigError
from kgan.metrics.neighbors import mean_distance
from kgan.progress import Clock, Profile, Progress, StepCallback, warn  # noqa: F401: all but the last are callbacks, too
from kgan.run import restore
from kgan.sheets import Samples, beside, sheet  # noqa: F401


class Watch(StepCallback):
    """Gives Log a column `diversity`, and warns in plain words when D has won, or G has collapsed, inverts or copies.

    `diversity` is the mean distance between two samples of the averaged generator, always from the same noise, over
    that between two real ones: 1 is as varied as they, 0 is one picture for all noise. Put it before Log, with the same
    `every` and `last`, and after Evaluate, so that it sees the row's figures. A row costs one pass of 64 samples through
    a generator: about 1 % of 50 steps of dcgan.

    Of models that make images of images as large, each direction that they learn, there are columns `change`, how far what is made is
    from what it was made of, over how far real ones are from that; and, unless real ones are negatives of what is given
    themselves, `correlation` of what is made with what it was made of.

    Args:
        real: float array [n, ...] of real examples, of which 64 are used. Where all are alike there is no `diversity`.
        every: steps between two rows of the log.
        last: a step that has a row in any case.
        seed: of the noise.
        path: of log.csv, from which a resumed run takes up what was noticed before; None: every `fit` starts anew.
        given: dict of what the generator is given beside noise and label, of the same examples as `real`.
    """

    def __init__(self, real, every=50, last=None, seed=0, path=None, given=None):
        super().__init__(every, last)
        self.count, self.seed, self.path = min(len(real), 64), seed, path
        self._given = {name: values[:self.count] for name, values in (given or {}).items()}
        self._examples, self._real = real[:self.count], distance(real[:self.count])
        self.warnings = []  # (step, text)

    def recall(self, gan):
        """Brings back the warnings that the rows of log.csv gave rise to. `fit` does it by itself."""
        self._alarms, self.warnings = alarms(gan), []
        for row in rows(self.path):
            self._notice(row)

    def on_train_begin(self, logs=None):
        self.recall(self.model)

    def on_step(self, step, logs):
        if self._real:
            made = self.model.generate(self.count, self.seed, given=self._given)
            found = {"diversity": distance(made) / self._real}
            if "input" in self._given:
                for end, images in self.model.directions(self._given, self._examples, made).items():
                    found.update((name + end, value) for name, value in translated(*images, self.model.config.paired).items())
            # as float32: of that log.csv's digits tell all. Keras hands the same dict to the callbacks that follow
            logs.update((name, float(np.float32(value))) for name, value in found.items())
        for text in self._notice({**logs, "step": step}):
            warn(f"warning at step {step:,}: {text}")

    def _notice(self, row):
        texts = [alarm.text for alarm in self._alarms if alarm.goes_off(row)]
        self.warnings += [(int(row["step"]), text) for text in texts]
        return texts


def distance(examples):
    """Mean L2 distance between two different ones of `examples` [n, ...]; 0 if there is but one, nan if one is not finite."""
    flat = np.asarray(examples, np.float64).reshape(len(examples), -1)
    if len(flat) < 2 or not np.isfinite(flat).all():
        return 0.0 if len(flat) < 2 else math.nan
    return mean_distance(flat)


def translated(given, made, real, paired=True):
    """What tells of images made of images whether these are inverted, copied, or all the same: dict of name to float.

    Args:
        given, made, real: float arrays [n, H, W, any]: what was given, what was made of it, real ones.
        paired: whether the i-th of `real` belongs to the i-th of `given`.

    Returns:
        `change`, `diversity` (of `made`, over that of `real`) and `correlation`, as Watch has them. {} where sizes differ.
    """
    if np.ndim(given) != 4 or np.shape(given)[:3] != np.shape(real)[:3] or len(given) < 2 or not np.isfinite(made).all():
        return {}
    given, made, real = (np.asarray(images, np.float64) for images in (given, made, real))
    grey = [images.mean(-1).reshape(len(images), -1) for images in (given, made, real)]
    found = {"change": _over(np.abs(grey[1] - grey[0]).mean(), np.abs(grey[2] - grey[0]).mean()),
             "diversity": _over(distance(made), distance(real))}
    # without pairs: whether what is bright in one sort on the whole is dark in the other
    usual = _correlation(grey[0], grey[2]) if paired else _correlation(grey[0].mean(0, keepdims=True), grey[2].mean(0, keepdims=True))
    return {**found, "correlation": _correlation(grey[0], grey[1])} if usual > -0.1 else found


def _over(value, usual):
    return value / usual if usual else 1.0


def _correlation(one, other):
    """Mean Pearson correlation of the rows of two arrays [n, k]; rows without differences count as 0."""
    one, other = (rows - rows.mean(1, keepdims=True) for rows in (one, other))
    scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return float(np.mean((one * other).sum(1) / np.maximum(scale, 1e-12)))


class Evaluate(StepCallback):
    """Measures the averaged generator every so often, for Log's columns, and keeps the best checkpoint.

    Put it before Log, with an `every` that is a multiple of Log's and the same `last`. Its rows have `figures` of
    kgan.metrics.Evaluator and of the GAN itself, the others leave these columns empty. In a notebook Evaluate(evaluator) is all: the
    figures of each epoch then are in `history`, and callbacks after it may monitor them, as EarlyStopping(monitor="frechet_distance").

    Args:
        evaluator: kgan.metrics.Evaluator.
        every: steps between two measurements; None: it measures at the end of each epoch.
        last: a step that is measured in any case.
        by: the figure that decides which checkpoint is the best.
        run: kgan.run.Run that keeps it, and whose log tells a resumed run which it was.
        seed: of the samples.
        measures: GAN.measures: the figures that the GAN itself adds, and whether a larger value is better.
        patience: training ends when so many measurements in a row were no better than the best; 0: it goes on. A resumed run
            counts those before it was stopped.
    """

    def __init__(self, evaluator, every=None, last=None, by="frechet_distance", run=None, seed=1, measures=None, patience=0):
        super().__init__(every, last)
        self.patience, self.stopped, self._worse = patience, False, 0
        from kgan.metrics.evaluate import BETTER
        better = {**BETTER, **(measures or {})}
        self.evaluator, self.by, self.run, self.seed = evaluator, by, run, seed
        self.columns = [*evaluator.figures(evaluator.examples, evaluator.asked, every=False), *(measures or {})]
        if by not in self.columns:
            raise ConfigError(f"evaluate_by={by}: is not measured with these features; there are: "
                              f"{', '.join(name for name in self.columns if name in better)}")
        self._sign = 1 if better[by] else -1
        self.best = self.latest = None  # (step, dict of figures)

    def recall(self, gan=None):
        """Brings back from log.csv what was measured before. `fit` does it by itself."""
        self.best, self.latest, self._worse = None, None, 0
        for row in rows(self.run and self.run.log):
            if self.by in row:
                self._take(int(row["step"]), {name: row[name] for name in self.columns if name in row})

    def _take(self, step, figures):
        """Whether these are the best figures so far."""
        self.latest = (step, figures)
        better = self.best is None or self._sign * figures[self.by] > self._sign * self.best[1][self.by]
        self.best = self.latest if better else self.best
        self._worse = 0 if better else self._worse + 1
        self.stopped = bool(self.patience) and self._worse >= self.patience
        return better

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self.run:
            self.recall()

    def on_train_batch_end(self, batch, logs=None):
        if self.every:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Gives the callbacks that come after it what was measured in this epoch."""
        if not self.every:
            self.on_step(self.model.step, logs)
        elif self.latest and self.latest[0] > self._first:
            logs.update(self.latest[1])

    def on_step(self, step, logs):
        if not all(math.isfinite(float(value)) for value in logs.values()):
            return  # Log will say what is wrong, and end training
        asked = self.evaluator.asked
        samples = self.model.generate(self.evaluator.count, self.seed, label=asked, given=self.evaluator.given)
        figures = self.evaluator.figures(samples, asked, every=False)
        figures.update(self.model.figures(self.evaluator, samples, asked))
        # as float32: of that log.csv's digits tell all
        figures = {name: float(np.float32(value)) for name, value in figures.items()}
        # a figure of what is silent or empty is NaN: it is not measured, and training has not come to its end by that
        figures = {name: value for name, value in figures.items() if math.isfinite(value)}
        if self.by not in figures:
            warn(f"step {step:,}: {self.by} cannot be measured, what is made has nothing that it measures (all silent, or empty)")
        elif self._take(step, figures) and self.run:
            self.run.save_best(self.model, step)
        logs.update(figures)
        self.model.stop_training |= self.stopped


def rows(path):
    """The rows of a log.csv as dicts of name to number, without empty cells and `phase`; none where there is no file."""
    if not path or not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value and name != "phase"} for row in csv.DictReader(file)]


class Log(StepCallback):
    """Writes the means since the last row to log.csv and to TensorBoard, and stops training when they are not finite.

    After the means come the values that callbacks before this one have put into `logs`, in order of the alphabet. Where the
    run has phases, the second column names that of the row's step; means that it does not measure are empty.

    Args:
        path: of the .csv file, which is appended to; a `step` column comes first. None: another worker writes it.
        every: steps between two rows.
        last: a step that gets a row in any case.
        tensorboard: directory for TensorBoard's event files; None: none.
        sparse: names of columns that come last, and are empty in the rows whose `logs` do not have them.
    """

    def __init__(self, path, every=50, last=None, tensorboard=None, sparse=()):
        super().__init__(every, last)
        self.path, self.tensorboard, self.sparse = path and Path(path), tensorboard, list(sparse)
        self.not_finite = None  # (step, name) of what stopped training: what GAN.first_not_finite says, or a column

    def on_train_begin(self, logs=None):
        self._writer = tf.summary.create_file_writer(str(self.tensorboard)) if self.tensorboard else None

    def on_step(self, step, logs):
        phase = self.model.phase_of(step - 1)
        names = [metric.name for metric in self.model.metrics if phase or metric.name in logs]
        names += sorted(set(logs) - set(names) - set(self.sparse)) + self.sparse
        row = {name: float(logs[name]) if name in logs else None for name in names}
        values = {name: value for name, value in row.items() if value is not None}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if self._ends(step, bad):
            return
        if self.path:
            empty = not self.path.exists() or self.path.stat().st_size == 0
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if empty:
                    writer.writerow(["step", *["phase"] * bool(phase), *row])
                # nine digits tell any two float32 apart; no times, so that a resumed run's rows are an unbroken run's
                writer.writerow([step, *[phase] * bool(phase), *("" if value is None else f"{value:.9g}" for value in row.values())])
        if self._writer:
            with self._writer.as_default(step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
        self.model.reset_metrics()

    def _ends(self, step, bad=()):
        """Whether numbers have ended: those of the columns `bad`, or some in the steps since the last row."""
        first = self.model.first_not_finite
        if not (bad or first):
            return False
        self.not_finite = first or (step, bad[0])
        self.model.stop_training = True
        warn(not_finite(self.model, step, bad[0] if bad else first[1], first))
        return True

    def on_train_end(self, logs=None):
        self.not_finite or self._ends(self._step)  # between two rows, where something else has ended training
        if self._writer:
            self._writer.close()


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
        self._due = None  # logs of a step that is to be saved

    @property
    def elapsed(self):
        """Seconds of training, those before a resume counted in."""
        return self._elapsed + (time.monotonic() - self._start if self._start else 0.0)

    def recall(self, gan):
        """Gives `gan` the state in `arrays`, and its learning rates for it. `fit` does it by itself."""
        restore(gan, self._arrays)
        if rollbacks := self.run.rollbacks():
            gan.scale_learning_rates(0.5 ** len(rollbacks))
        self._arrays = None

    def on_train_begin(self, logs=None):
        self._start = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        # not before: fit has just reset the metrics, whose running means belong to the checkpoint
        if self._arrays:
            self.recall(self.model)
        super().on_epoch_begin(epoch, logs)

    def on_step(self, step, logs):
        self._due = logs

    def on_train_batch_begin(self, batch, logs=None):
        self._save_due()

    def on_epoch_end(self, epoch, logs=None):
        self._save_due()

    def _save_due(self):
        # not before: the callbacks that follow add to logs
        if self._due is not None and all(math.isfinite(float(value)) for value in self._due.values()):
            self.save_now()
        self._due = None

    def save_now(self):
        """Saves the state after the step just made, unless it is saved already."""
        self._due = None
        if self._step != self._saved:
            self.run.save(self.model, self._step, self.elapsed)
            self._saved = self._step


class Interrupt(keras.callbacks.Callback):
    """Lets Ctrl-C and SIGTERM end training after the step in hand, with a checkpoint; a second one ends it at once.

    Args:
        checkpoints: Checkpoints.
        every: steps between two looks at whether one came.
        largest: function of this worker's number that returns the largest of all workers': one's signal ends all of them.
    """

    def __init__(self, checkpoints, every=1, largest=int):
        super().__init__()
        self.checkpoints, self.every, self.largest = checkpoints, every, largest
        self.signal = 0  # number of the signal that came

    def on_train_begin(self, logs=None):
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}

    def _receive(self, number, frame):
        self.signal = number
        # not the handlers from before: a shell starts what it puts in the background with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every == 0 and (number := self.largest(self.signal)):
            self.signal = number
            self.checkpoints.save_now()
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for number, handler in self._before.items():
            signal.signal(number, handler)
