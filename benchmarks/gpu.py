"""What is to be known of kgan on a GPU, in ten minutes: training from published presets, speed, float16, export.

    pip install -e ".[gpu,bench,export]"
    python benchmarks/gpu.py --data=CIFAR10/train      a folder of images, a folder a class; they are taken at 32×32 in colour
    python benchmarks/gpu.py                           without one: the built-in digits in colour
    python benchmarks/gpu.py --dry_run                 the same parts on a CPU with tiny networks, in a few minutes; no classifier is trained

    data                 the data are prepared; a classifier learns their classes, in whose features all is measured
    tf32, bfloat16       examples a second beside PyTorch with torch.compile, and captured in a CUDA graph: train_speed.py
    float16              500 steps of dcgan, preset modern, in mixed_float16: are all numbers in its log finite?
    dcgan, biggan, r3gan training from the presets modern, cifar10, cifar10, for as many images as fit into the part's time; figures
                         of --count samples at five moments, by the seconds of training that were made until then
    export               dcgan's generator as SavedModel, TFLite and ONNX, each compared with Keras

Each part has its share of --minutes and is one process or more. What it found is written to OUT/results.json when it has ended, and the same
command goes on with the parts that are missing or failed, as far as their shares fit; a run that was killed in training resumes at
its last checkpoint. The schedules of the presets span hundreds of thousands of steps: ten minutes show their beginning.
Prints one JSON line last. The exit status is 0 if all parts are there.
"""
import argparse
import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARES = {"data": 40, "tf32": 90, "bfloat16": 90, "float16": 55, "dcgan": 80, "biggan": 95, "r3gan": 115, "export": 35}  # of 600
TRAINED = {  # the settings, and what makes the networks tiny
    "dcgan": (["preset=modern"], ["filters=2"]),
    "biggan": (["preset=cifar10"], ["filters=2"]),
    "r3gan": (["preset=cifar10", "steps_per_execution=5"], ["widths=16,16,16,16", "blocks=1"]),
}
TINY = ["batch_size=8", "log_every=10", "sample_every=50", "checkpoint_every=50", "steps_per_execution=1"]
MOMENTS = 5
ENDED = 0.85  # of a part's share: when training ends, to leave time for the last figures, checkpoint, report
FORMATS = "saved_model,tflite,onnx"


class PartError(Exception):
    """A part that failed: why."""


# === In train.py: figures over time. `--callback=gpu:figures` ===

def figures(settings, run_dir):
    """The callback that measures at MOMENTS, and ends training. What it is to do stands in the environment, see `train`."""
    import keras

    from kgan import metrics
    given = json.loads(os.environ["KGAN_GPU"])
    lines = Path(run_dir, "figures.jsonl")

    class Figures(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.evaluator = metrics.Evaluator(settings, given["features"], given["count"])
            self.step = self.model.step
            self.images = self.model.config.batch_size * self.model.config.discriminator_steps
            # what a run that was killed had made since its last checkpoint is made again; since its last figures, counts as no time
            before = [line for line in read_lines(lines) if line["step"] <= self.step]
            lines.write_text("".join(json.dumps(line) + "\n" for line in before), encoding="utf-8")
            self.seconds = before[-1]["seconds"] if before else 0.0
            self.first, self.left, self.began = None, MOMENTS, time.time()

        def on_train_batch_end(self, batch, logs=None):
            now = time.time()
            if self.first is None:  # traced and compiled: from here on the time counts
                self.first, self.until = now - self.began, min(given["until"], now + given["seconds"])
            elif now >= self.due and self.left:
                self.seconds += now - self.began
                self.measure(self.step + batch + 1)
                self.left, now = self.left - 1, time.time()
                if not self.left:
                    os.kill(os.getpid(), signal.SIGTERM)  # which writes a checkpoint and the report
            else:
                return
            self.began, self.due = now, now + (self.until - now) / max(self.left, 1)

        def measure(self, step):
            asked = self.evaluator.asked
            samples = self.model.generate(self.evaluator.count, 1, label=asked)
            found = {"step": step, "images": step * self.images, "seconds": round(self.seconds, 1), "first_step": round(self.first, 1),
                     **self.evaluator.figures(samples, asked, every=False)}
            with open(lines, "a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
    return Figures()


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


# === Parts: each a function of (options, name, seconds) that returns what is to be written. Raises PartError ===

def start(options, name, command, seconds, status=(0,), environment=None):
    """Runs Python with these arguments for so many seconds at most. Returns what it printed; all of it is in OUT/NAME.log."""
    log = options.out / f"{name}.log"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]),
                   "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})}
    with open(log, "wb") as file:
        try:
            done = subprocess.run([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  timeout=seconds, env=environment, cwd=ROOT, check=False)
        except subprocess.TimeoutExpired:
            raise PartError(f"did not end within {seconds:.0f} seconds: {log}") from None
    printed = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode not in status:
        raise PartError(f"status {done.returncode}: {' | '.join(printed.strip().splitlines()[-3:])}")
    return printed


def data(options, name, seconds):
    code = ("import json, sys, time, keras, tensorflow as tf, kgan; start = time.time()\n"
            "found = kgan.metrics.Evaluator(json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]))\n"
            "print(json.dumps({'protocol': found.protocol, 'real': found.real, 'prepared': round(time.time() - start, 1), 'devices':"
            "[tf.config.experimental.get_device_details(each).get('device_name', each.name) for each in tf.config.list_physical_devices('GPU')"
            "], 'tensorflow': tf.__version__, 'keras': keras.__version__}))")
    settings = {"dataset": options.dataset, "image_size": 32, "channels": 3, "crop": True}
    found = json.loads(start(options, name, ["-c", code, json.dumps(settings), options.features, str(options.count)], seconds).splitlines()[-1])
    if not found["devices"] and not options.dry_run:
        raise PartError("TensorFlow finds no GPU; --dry_run does without")
    return found


def speed(options, name, seconds):
    precision = {"tf32": "float32", "bfloat16": "mixed_bfloat16"}[name]
    work, repeats, length = ("mlp", 1, 0.3) if options.dry_run else ("dcgan64", 3, 1.5)
    printed = start(options, name, ["benchmarks/train_speed.py", f"--works={work}", f"--precision={precision}", f"--repeats={repeats}",
                                    f"--seconds={length}", "--graphs"], seconds)
    return json.loads(printed.splitlines()[-1])


def train(options, name, seconds, model=None, more=(), status=(143,), given=None):
    """A run of train.py that is ended by `figures` or by its own number of steps."""
    settings, tiny = TRAINED[model or name]
    settings = [*settings, *more, *((*TINY, *tiny) if options.dry_run else ("log_every=250", "sample_every=2500", "checkpoint_every=2500"))]
    command = ["train.py", f"--model={model or name}", f"--dataset={options.dataset}", "--image_size=32", "--channels=3", "--flip",
               f"--run_dir={options.out / name}", *(f"--set={setting}" for setting in settings)]
    if given:
        command.append("--callback=gpu:figures")
    else:
        command += ["--precision=mixed_float16", "--export=saved_model", "--overwrite"]
    start(options, name, command, seconds, status, {"KGAN_GPU": json.dumps(given)})
    return command


def trained(options, name, seconds):
    # a command of its own may take long on a CPU that others share, so a dry run ends by the seconds of training alone
    until = time.time() + (1e6 if options.dry_run else ENDED * seconds)
    command = train(options, name, seconds, given={"until": until, "seconds": 4 if options.dry_run else 1e6, "count": options.count,
                                                   "features": options.features})
    found = read_lines(options.out / name / "figures.jsonl")
    if not found:
        raise PartError("ended before the first figures")
    return {"command": command, "figures": found}


def float16(options, name, seconds):
    steps = 20 if options.dry_run else 500
    command = train(options, name, seconds, "dcgan", [f"steps={steps}"], (0,))
    with open(options.out / name / "log.csv", newline="", encoding="utf-8") as file:
        log = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    if not log or log[-1]["step"] != steps or not all(math.isfinite(value) for row in log for value in row.values()):
        raise PartError(f"not finite, or not all {steps} steps: {log[-1:]}")
    return {"command": command, "first": log[0], "last": log[-1]}


def exported(options, name, seconds):
    start(options, name, ["-m", "kgan", "export", str(options.out / "dcgan"), f"--formats={FORMATS}"], seconds)
    record = json.loads((options.out / "dcgan" / "export" / "export.json").read_text(encoding="utf-8"))
    found = {entry["path"]: entry["check"] for entry in record["artefacts"]}
    if missing := {*FORMATS.split(",")} - {entry["format"] for entry in record["artefacts"]}:
        raise PartError(f"{', '.join(sorted(missing))} was not written")
    return {"checks": found}


PARTS = {"data": data, "tf32": speed, "bfloat16": speed, "float16": float16, "dcgan": trained, "biggan": trained, "r3gan": trained,
         "export": exported}


# === The whole ===

class Results:
    """OUT/results.json. Raises SystemExit: it is of other data, or of a dry run where none is asked for."""

    def __init__(self, options):
        self.path = options.out / "results.json"
        told = {"dataset": options.dataset, "dry_run": options.dry_run, "count": options.count}
        self.found = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {"benchmark": "gpu", **told, "parts": {}}
        if different := {name: self.found[name] for name, value in told.items() if self.found[name] != value}:
            sys.exit(f"--out={options.out}: {self.path} is of {different}, not of {told}; choose another folder")

    def note(self, name, found):
        from kgan.run import write
        self.found["parts"][name] = found
        write(self.path, json.dumps(self.found, indent=1).encode())

    def missing(self, names):
        return [name for name in names if "error" in self.found["parts"].get(name, {"error": "missing"})]


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of images, a folder a class; default: the built-in digits")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder for results.json, the runs and what they printed")
    parser.add_argument("--minutes", type=float, default=10.0, help="that one call may take")
    parser.add_argument("--count", type=int, default=5_000, help="samples that are measured")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--dry_run", action="store_true")
    options = parser.parse_args()
    if strange := {*options.parts.split(",")} - {*PARTS}:
        parser.error(f"--parts: there is no {', '.join(sorted(strange))}; there are {', '.join(PARTS)}")
    begun, options.out = time.time(), options.out.resolve()
    options.dataset = f"folder:{Path(options.data).resolve()}" if options.data else "glyphs"
    options.count = min(options.count, 300) if options.dry_run else options.count
    options.features = "none" if options.dry_run else "auto"  # of images alone, sliced Wasserstein distance: no classifier is trained
    options.out.mkdir(parents=True, exist_ok=True)
    results, names = Results(options), options.parts.split(",")
    for name in results.missing(names):
        share = SHARES[name] / 600 * 60 * options.minutes
        if not options.dry_run and time.time() - begun + share > 60 * options.minutes + 1:
            print(f"{name}: its {share:.0f} seconds do not fit any more; the same command goes on with it")
            continue
        before = time.time()
        try:
            found = PARTS[name](options, name, 600 if options.dry_run else share)
        except PartError as error:
            found = {"error": str(error)}
        results.note(name, {**found, "took": round(time.time() - before, 1), "commit": commit(), "date": time.strftime("%F")})
        print(f"{name}: {found.get('error', 'done')} ({time.time() - before:.0f} s)", flush=True)
    print(json.dumps(results.found))
    return bool(results.missing(names))


if __name__ == "__main__":
    sys.exit(main())
