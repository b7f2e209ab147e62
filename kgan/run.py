"""The run directory: config, log, checkpoints; refusing what does not belong there, and going on where a run stopped.

    runs/NAME/
        config.json      the settings, resolved; `train.py --config` repeats the run
        rollbacks.json   where numbers ended, and which checkpoint `--on_nan=rollback` went back to
        longer.json      where the run was made longer, and which scheduled values changed by that
        log.csv          `step` and the means of the losses since the row before; the same numbers in tensorboard/
        samples/         real.png, a grid from fixed noise every so often, progress.gif
        checkpoints/     everything needed to go on, bit for bit
        report.md        what was trained, and what came out
        export/          the generator alone
        metrics.json     measures of quality (`python -m kgan.metrics`), with pictures in metrics/
"""
import contextlib
import dataclasses
import json
import os
import shutil
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kgan.command import UserError
from kgan.data.identity import differences

try:
    import fcntl
except ImportError:  # Windows: two runs in one directory are not noticed there
    fcntl = None

_CONTENTS = ("config.json", "rollbacks.json", "longer.json", "log.csv", "tensorboard", "samples", "checkpoints", "report.md", "losses.png",
             "export", "metrics.json", "metrics", "probe.json", "latent", "attack.json", "harden.json", "hardened.keras", "augment.json",
           "augment-rare-*.json", "pretrain.json", "classifier.keras", "classifier.json")  # or patterns of names
FORMAT = 1  # of config.json and checkpoints, where it is said; runs from before it was have the same
_KEPT = 3  # checkpoints
_NAMED = 5  # runs in a message
_ROLLBACKS = 3  # in a run


class RunError(UserError, RuntimeError):
    """A run directory that cannot be used as asked."""


def run_at(path):
    """The run that a path means: itself, or that which it lies in, which is said on standard error.

    Raises:
        UserError: it holds runs, or is a file of one: which is meant is not known.
    """
    path = Path(path)
    if _is_run(path):
        return path
    above = [folder for folder in [*(path.parents or path.resolve().parents)][:3] if _is_run(folder)][:1]
    if above and path.is_dir():
        print(f"{path} lies in the run {above[0]}, which is taken", file=sys.stderr)
        return above[0]
    if above and path.is_file():
        raise UserError(f"{path} is a file of the run {above[0]}: say the run, and by --checkpoint=newest or best which checkpoint")
    below = [folder for pattern in ("*", "*/*") for folder in sorted(path.glob(pattern)) if _is_run(folder)] if path.is_dir() else []
    if below:
        more = " …" if len(below) > _NAMED else ""
        raise UserError(f"{path} is no run; it holds {', '.join(map(str, below[:_NAMED]))}{more}: say which")
    return path


def _is_run(folder):
    return (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()


def check_format(settings, name):
    """Raises RunError where a run's settings, or those in a checkpoint, are of a format that this kgan does not know."""
    found = settings.get("format", FORMAT) if isinstance(settings, dict) else FORMAT
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise RunError(f"{name}: is of format {found}, by kgan {settings.get('kgan', '?')}, and this kgan reads format {FORMAT}; use the "
                       "kgan that wrote it, or a newer one")


class Run:
    """A run directory. Making this object neither reads nor writes anything.

    Args:
        directory: path; made by `begin`.
        writes: whether checkpoints are written; of several workers that train one GAN only the chief does.
    """

    def __init__(self, directory, writes=True):
        self.directory = Path(directory)
        self.checkpoints = self.directory / "checkpoints"
        self.samples = self.directory / "samples"
        self.log = self.directory / "log.csv"
        self.report = self.directory / "report.md"
        self._lock = None
        self._writes = writes

    # === Settings ===

    def settings(self, required=False):
        """The settings of the run in this directory; where there is none, None, or a RunError if it is `required`."""
        path = self.directory / "config.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not (isinstance(found, dict) and isinstance(found.get("config"), dict)):
                raise ValueError("it is no config.json of a run")
            check_format(found, path)
            return found
        except FileNotFoundError:
            if required:
                raise RunError(f"{self.directory} holds no run: there is no config.json in it") from None
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}") from None

    def check(self, settings, overwrite=False):
        """Raises RunError unless a run with these settings may start or go on here. Writes nothing."""
        try:
            if self.directory.is_dir() and not set(_CONTENTS) & set(os.listdir(self.directory)):
                if any(not name.startswith(".") for name in os.listdir(self.directory)):
                    raise RunError(f"{self.directory} holds other files and no run: choose another --run_dir")
        except OSError as error:
            raise RunError(f"cannot read {self.directory}: {error.strerror}") from None
        found = None if overwrite else self.settings()
        if found is None:
            return
        differences = list(_differences(found, json.loads(json.dumps(settings))))  # a tuple comes back as a list
        if differences:
            raise RunError(f"{self.directory} holds a run with other settings:\n  " + "\n  ".join(differences)
                           + "\nChoose another --run_dir, or start this one anew with --overwrite")

    def begin(self, settings, overwrite=False):
        """Makes the directory this process's own, empties it if asked to, and writes the settings.

        Raises:
            RunError: another process trains here, or the directory cannot be written.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._take()
            if overwrite:
                for name in reversed(_CONTENTS):  # the settings last: what is left after a kill is still known for what it is
                    for path in self.directory.glob(name):
                        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            self.samples.mkdir(exist_ok=True)
            write(self.directory / "config.json", json.dumps(settings, indent=2).encode() + b"\n")
        except OSError as error:
            raise RunError(f"cannot write to {self.directory}: {error.strerror or error}. "
                           "Choose another place with --run_dir") from None

    def follow(self, settings, step):
        """What a worker does that does not write, once the chief has begun: returns the arrays of the chief's checkpoint.

        Raises:
            RunError: the chief trains with other settings, or in a directory that is not the same.
        """
        shared = f"{self.directory} is not that of the chief: --run_dir must be on a disk that all workers share"
        if self.settings() is None:
            raise RunError(f"{shared}; here it holds no run")
        self.check(settings)
        found, arrays = self.newest()
        if found != step:
            raise RunError(f"{shared}; the newest checkpoint is of step {found} here, of step {step} there")
        return arrays

    def _take(self):
        # the kernel lets go of the lock when the process ends, however it ends: no stale locks
        self._lock = open(self.directory / ".lock", "a+")
        if fcntl:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.seek(0)
                raise RunError(f"{self.directory} is in use by process {self._lock.read().strip() or '?'}: "
                               "wait for it, or choose another --run_dir") from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    # === Checkpoints: one .npz each, a flat list of variables; their order is their identity ===

    def save(self, gan, step, elapsed=0.0):
        """Writes a checkpoint of `gan` (GAN.state()) and drops the oldest beyond the three newest.

        A state with a number that is not finite is not written: there is nothing to go on from.
        """
        arrays = [np.asarray(variable) for variable in gan.state()]  # all workers: means are summed over them in this
        if not self._writes:
            return
        self._write("step", gan, step, arrays, elapsed)
        for path in self._saved()[_KEPT:]:
            path.unlink(missing_ok=True)

    def save_best(self, gan, step):
        """Writes the checkpoint that is the best so far, and drops the one that was. Training does not go on from it."""
        before = self._saved("best")
        # what is of each device, means, as this one has it: the others need not take part
        arrays = [np.asarray(gan.distribute_strategy.experimental_local_results(variable.value)[0]) for variable in gan.state()]
        new = self._write("best", gan, step, arrays)
        for path in before:
            if new and path != new:
                path.unlink(missing_ok=True)

    def _write(self, kind, gan, step, arrays, elapsed=0.0):
        if not all(np.isfinite(array).all() for array in arrays):
            return None
        names = (f"{i:04d} {variable.path}" for i, variable in enumerate(gan.state()))
        path = self.checkpoints / f"{kind}-{step:09d}.npz"
        settings = np.frombuffer(json.dumps(self.settings()).encode(), np.uint8)
        with aside(path) as file:
            np.savez(file, elapsed=np.float64(elapsed), settings=settings, **dict(zip(names, arrays, strict=True)))
        return path

    def newest(self, kind="step"):
        """The newest sound checkpoint of this run, as (step, arrays), or (0, None) where training never got that far.

        `kind` "best": the one kept as the best, if the run was measured in training.

        Raises:
            RunError: there are checkpoints, and all are broken.
        """
        saved = self._saved(kind)
        for path in saved:
            try:
                with np.load(path, allow_pickle=False) as file:  # reading checks each array's CRC
                    arrays = {name: file[name] for name in file.files}
                self._check_origin(arrays.pop("settings", None))
                return int(path.stem.removeprefix(f"{kind}-")), arrays
            # RuntimeError: a flipped bit says that a member is encrypted, or compressed in some unknown way
            except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error,
                    RuntimeError) as error:
                warnings.warn(f"{path} is broken and passed over ({error})", stacklevel=2)
        if saved:
            raise RunError(f"none of the {len(saved)} checkpoints in {self.checkpoints} can be used: "
                           "put a sound one there, or start anew with --overwrite")
        return 0, None

    def _check_origin(self, settings):
        """Raises ValueError for the settings in a checkpoint that are not this run's; an older one (None) has none."""
        here = self.settings()
        there = here if settings is None or here is None else json.loads(settings.tobytes())
        check_format(there, "its settings")
        if there != here and (differences := list(_differences(there, here))):
            raise ValueError(f"it is of a run with other settings: {'; '.join(differences)}")

    def _saved(self, kind="step"):
        return sorted(self.checkpoints.glob(f"{kind}-*.npz"), reverse=True)

    # === Going back where numbers end ===

    def rollbacks(self):
        """List of dicts: at step `at`, `first` was not finite any more, and training went back to step `to`."""
        try:
            return json.loads((self.directory / "rollbacks.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []

    def roll_back(self, at, first):
        """Notes that training goes on from the newest checkpoint, with half the learning rates that it had.

        Where it has gone back to that one already, in vain, it goes back to the one before, and drops that.

        Returns:
            the checkpoint's step; 0: there is none, or this has happened three times in the run.
        """
        rollbacks, (step, _) = self.rollbacks(), self.newest()
        if not step or len(rollbacks) == _ROLLBACKS:
            return 0
        if rollbacks and rollbacks[-1]["to"] == step and len(self._saved()) > 1:
            (self.checkpoints / f"step-{step:09d}.npz").unlink()
            step, _ = self.newest()
        write(self.directory / "rollbacks.json", json.dumps([*rollbacks, {"at": at, "first": first, "to": step}]).encode())
        return step

    # === Making a run longer ===

    def lengthen(self, step, before, steps, changes):
        """Notes that at `step` a run of `before` steps was made `steps` long; `changes`: how scheduled values jump, texts."""
        write(self.directory / "longer.json", json.dumps([*self.lengthened(), {
            "at": step, "before": before, "steps": steps, "changes": changes}]).encode())

    def lengthened(self):
        """List of the dicts that `lengthen` has noted."""
        try:
            return json.loads((self.directory / "longer.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []

    # === Samples and log ===

    def newest_sample(self):
        """Path of the newest picture of samples."""
        return max(self.samples.glob("step-*.png"))

    def truncate_log(self, step):
        """Drops the rows after `step`, which will be written again, and a last row that was cut off."""
        if not self.log.exists():
            return
        lines = self.log.read_bytes().splitlines(keepends=True)
        kept = [line for i, line in enumerate(lines)
                if line.endswith(b"\n") and (i == 0 or int(line.split(b",")[0]) <= step)]
        write(self.log, b"".join(kept) if step else b"")


def load(directory, checkpoint="newest"):
    """The GAN of a run, compiled, as of its newest sound checkpoint.

    Args:
        directory: path of the run.
        checkpoint: "newest", or "best": the one kept because its samples measured best (Config.evaluate_by).

    Returns:
        (gan, step).

    Raises:
        RunError: there is no run, or nothing was saved yet.
    """
    from kgan import devices, models

    if checkpoint not in ("newest", "best"):
        raise RunError(f"checkpoint={checkpoint}: must be newest or best")
    run = Run(run_at(directory))
    settings = run.settings(required=True)
    model, shape = settings.get("model"), settings.get("shape")
    if not (isinstance(model, str) and isinstance(shape, list) and all(isinstance(size, int) for size in shape)):
        raise RunError(f"{run.directory / 'config.json'}: model={model}, shape={shape}: it is no config.json of a run")
    step, arrays = run.newest("best" if checkpoint == "best" else "step")
    if arrays is None:
        raise RunError(f"{directory} has no checkpoint yet" if checkpoint != "best" else
                       f"{directory} has no best checkpoint: nothing was measured in its training (--evaluate_every=N)")
    with devices.precision(settings.get("precision", "float32")):
        gan = models.of(settings)
        gan.compile()
    restore(gan, arrays)
    gan.settle()
    return gan, step


def restore(gan, arrays):
    """Gives every variable of `gan` its value in a checkpoint.

    Raises:
        RunError: the checkpoint is of another model.
    """
    variables = gan.state()
    saved = {name: value for name, value in arrays.items() if name != "elapsed"}
    if len(saved) != len(variables):
        raise RunError(f"the checkpoint has {len(saved)} variables, the model {len(variables)}: it is of another model")
    for name, value, variable in zip(saved, saved.values(), variables):
        # not the names: Keras numbers layers through a whole process
        if value.shape != tuple(variable.shape):
            raise RunError(f"the checkpoint's variable {name} {value.shape} is {variable.path} {tuple(variable.shape)} "
                           "in the model: it is of another model")
    for value, variable in zip(saved.values(), variables):
        variable.assign(value)


def checksum(variables):
    """What tells weights from others: CRC-32 of their values, hexadecimal."""
    crc = 0
    for variable in variables:
        crc = zlib.crc32(variable.numpy().tobytes(), crc)
    return f"{crc:08x}"


def write(path, data):
    """Writes bytes to a file so that a reader sees the old file or the whole new one, whatever happens in between."""
    with aside(path) as file:
        file.write(data)


@contextlib.contextmanager
def aside(path):
    """A file that is written beside `path` and takes its place when it is whole and on the disk."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.part")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _fields(settings):
    """The fields of settings, without the colours to draw in, which decide nothing and older runs lack."""
    found = settings.get("fields")
    return {"fields": {name: {**field, "more": {key: value for key, value in field.get("more", {}).items() if key != "colours"}}
                       for name, field in found.items()}} if found else {}


def _differences(found, wanted):
    """Lines that say how two settings differ in what decides the course of a run."""
    free = {"kgan", "format", "data_dir", "manual_dir", "cache"}  # where the data lie may change
    # as runs were before there was a choice
    found, wanted = ({"precision": "float32", "balance": False, **each, **_fields(each)} for each in (found, wanted))
    yield from differences(found, wanted)
    for name in sorted({*found, *wanted} - free - {"config", "data", "dataset"}):
        if found.get(name) != wanted.get(name):
            yield f"{name}: {found.get(name)} there, {wanted.get(name)} now"
    there, now = found.get("config", {}), wanted["config"]
    if found.get("model") == wanted["model"]:
        from kgan import models  # a setting that is newer than the run: it was trained with what is the default now
        preset = {name: there[name] for name in ("preset",) if name in there}
        defaults = dataclasses.asdict(models.outline(wanted["model"]).Config(**preset))
        there = {**{name: value for name, value in json.loads(json.dumps(defaults)).items() if name in now}, **there}
    for name in sorted({*there, *now}):
        longer = name == "steps" and now.get(name, 0) >= there.get(name, 0)  # a run may be made longer
        if there.get(name) != now.get(name) and not longer:
            yield f"{name}: {there.get(name)} there, {now.get(name)} now"
