"""What a person sees while a run trains: the bar, warnings, where the time goes, profiles."""
import sys
import time

import keras
import tensorflow as tf
from tqdm import tqdm


BAR = 12  # letters that the bar itself is long


def duration(seconds):
    """A time as one reads it: 8.57 ms, 1.58 s."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def warn(text):
    """Writes a line to standard error."""
    tqdm.write(text, file=sys.stderr)  # which moves a bar out of the way


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


class _Lines:
    """Standard error for a bar where it is no terminal: each state of the bar is a line of its own."""

    def write(self, text):
        if text.strip():  # else it moves the cursor, or wipes the bar
            sys.stderr.write(text.strip() + "\n")

    def flush(self):
        sys.stderr.flush()


class Progress(keras.callbacks.Callback):
    """A bar over the whole run: images a second, the phase if there are several, the means since the last log row.

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
                             dynamic_ncols=live, bar_format=f"{{n_fmt}}/{{total_fmt}} |{{bar:{BAR}}}| {{elapsed}}<{{remaining}}{{postfix}}")

    def on_train_batch_end(self, batch, logs=None):
        done = self._first + batch + 1
        passed = time.time() - self._bar.last_print_t
        if passed >= self._bar.mininterval or done == self.steps:
            # since the last line: tqdm's own rate is that of the line before, of a short run the first step's
            speed = (done - self._bar.last_print_n) * self.batch_size / max(passed, 1e-6)
            values = [f"{metric.name} {float(logs[metric.name]):.3f}" for metric in self.model.metrics if metric.name in logs]
            parts = [f"{speed:,.0f} {self.unit}/s", *filter(None, [self.model.phase_of(done - 1)]), *values]
            self._bar.set_postfix_str("  ".join(self._fitting(parts)), refresh=False)
        self._bar.update(done - self._bar.n)

    def _fitting(self, parts):
        """Those of `parts`, from the first on, that a line of the terminal has room for."""
        columns = self._bar.format_dict["ncols"]
        if not columns:  # lines of a file
            return parts
        left = columns - len(f"{self.steps}/{self.steps} |{BAR * '#'}| 1:00:00<1:00:00, ")
        return [part for i, part in enumerate(parts) if len("  ".join(parts[:i + 1])) <= left]

    def on_train_end(self, logs=None):
        self._bar.close()


class Profile(keras.callbacks.Callback):
    """Writes a profile of some steps for TensorBoard (with its plugin tensorboard-plugin-profile).

    Args:
        directory: for TensorBoard; the profile comes into plugins/profile in it.
        first, last: steps. Where a call makes several (steps_per_execution), whole calls are profiled.
    """

    def __init__(self, directory, first, last):
        super().__init__()
        self.directory, self.first, self.last = directory, first, last
        self._on = False

    def on_epoch_begin(self, epoch, logs=None):
        self._start = self.model.step

    def on_train_batch_begin(self, batch, logs=None):
        if not self._on and self.first <= self._start + batch + 1 <= self.last:
            tf.profiler.experimental.start(str(self.directory))
            self._on = True

    def on_train_batch_end(self, batch, logs=None):
        if self._on and self._start + batch + 1 >= self.last:
            self.on_train_end()

    def on_train_end(self, logs=None):
        if self._on:
            tf.profiler.experimental.stop()
            self._on = False


class Clock:
    """Where the time goes: `begin` is to be the last of the callbacks, `end` the first.

    Attributes:
        first: seconds of the first call of the compiled function, tracing and compiling included.
        updates: seconds of the calls after it, waiting for data included.
        steps: that those have made.
        others: seconds between the calls: pictures, measures, checkpoints, logs.
    """

    def __init__(self):
        self.first, self.updates, self.steps, self.others = None, 0.0, 0, 0.0
        self._at = self._done = None
        self.begin = keras.callbacks.LambdaCallback(on_train_batch_begin=self._begin)
        self.end = keras.callbacks.LambdaCallback(on_train_batch_end=self._end)

    def _begin(self, batch, logs=None):
        before, self._at = self._at, time.perf_counter()
        if before is not None:
            self.others += self._at - before

    def _end(self, batch, logs=None):
        seconds = time.perf_counter() - self._at
        if self.first is None:
            self.first = seconds
        else:
            self.updates += seconds
            self.steps += batch - self._done
        self._done = batch
        self._at += seconds

    def describe(self):
        """A sentence; "" if there were too few calls to tell."""
        if not self.steps:
            return ""
        total = self.first + self.updates + self.others
        return (f"{duration(self.updates / self.steps)} a step; of all {total:.0f} s {100 * self.first / total:.0f} % went into the "
                f"first call (tracing, compiling), {100 * self.updates / total:.0f} % into updates, {100 * self.others / total:.0f} % into "
                "pictures, measures, checkpoints and logs")
