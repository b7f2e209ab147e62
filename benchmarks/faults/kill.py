"""Does SIGKILL, whenever it comes, cost anything but time? Prints a line a kill, and one JSON line last.

    python benchmarks/faults/kill.py                  50 kills: about 25 minutes on two cores
    python benchmarks/faults/kill.py --kills=3        to see that it works

A tiny mlp is trained by train.py (checkpoints, samples, measurements, an export), measured by `python -m kgan.metrics` and
exported by `python -m export`, and one whose numbers end is trained with --on_nan=rollback, which goes back twice: once without
a fault, the unbroken run. Then the same four commands run in fresh directories, each killed some times, and given again
until it ends by itself. Half of the kills come at a random one of the operations by which Python opens, renames or
removes files in the run's directory: before it, or up to 20 ms later, in the midst of a write. The others come at a
random moment between the first such operation and the last. (A rollback goes on as a new program: it counts anew.)

After each kill every file that is not hidden is compared with the unbroken run's: it has to be bit for bit that of the same
name, log.csv but for its last row the beginning of it. (Of the run that rolls back it has to be whole, for the steps may
be among those that are made anew.) So has everything in the end. Of a checkpoint all arrays count but
the seconds that training took; of a SavedModel, whose files TensorFlow writes in an order of its own, the variables and
the samples it makes. Files that tell of seconds must be whole: report.md, export.json and the model card. tensorboard/ is
left out: a resumed run adds a file of its own.
"""
import argparse
import atexit
import collections
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = dict(preset="mixture", generator_units=8, discriminator_units=8, log_every=10, checkpoint_every=20, sample_every=50,
                evaluate_count=500, jit_compile="false")
MIXTURE = ["train.py", "--model=mlp", "--dataset=ring", "--seed=3", "--batch_size=32"]
NAN = dict(preset="mixture", generator_units=8, discriminator_units=8, loss="least_squares", penalty="none", optimizer="sgd",
           generator_learning_rate="step:.01:.4:.5", discriminator_learning_rate="step:.01:.4:.5", log_every=2, sample_every=10,
           checkpoint_every=10, jit_compile="false")
COMMANDS = {  # program and arguments, and how often each is killed in one directory, at most
    "train.py": ([*MIXTURE, "--steps=300", "--evaluate_every=50", *(f"--set={name}={value}" for name, value in SETTINGS.items()),
                  "--run_dir=run"], 5),
    "kgan.metrics": (["kgan.metrics", "run", "--count=500"], 1),
    "export": (["export", "run", "--formats=saved_model,tflite", "--precisions=float32"], 2),
    "rollback": ([*MIXTURE, "--steps=60", "--on_nan=rollback", *(f"--set={name}={value}" for name, value in NAN.items()),
                  "--run_dir=run/rollback"], 3),
}
TIMED = {"report.md", "README.md", "export.json"}


# === In the process that is killed ===

def child(number, delay, program, arguments):
    """Runs a command that kills itself `delay` seconds after it starts operation `number` on files; 0: it counts them."""
    run, count, first = os.path.abspath("run"), 0, None

    def kill():
        os.write(2, f"killed {last}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(event, details):
        nonlocal count, first, last
        writes = event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in ("os.rename", "os.remove", "os.mkdir", "shutil.rmtree")):
            return
        path = os.path.abspath(os.fsdecode(details[0])) if isinstance(details[0], (str, bytes, os.PathLike)) else ""
        if not path.startswith(run):
            return
        count, first, last = count + 1, first or time.monotonic(), f"{event} {os.path.relpath(path, run)}"
        if count == number:
            threading.Timer(delay, kill).start() if delay else kill()
        if event == "os.remove" and not number:  # checkpoints that are dropped: to compare with
            shutil.copy(path, "dropped")

    last = ""
    sys.addaudithook(watch)
    if not number:
        atexit.register(lambda: Path("tally").write_text(json.dumps([count, time.monotonic() - first])))
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(f"{program}.__main__", run_name="__main__", alter_sys=True)


# === In the process that watches ===

def start(folder, command, number=0, delay=0.0):
    """Runs a command in `folder`. Returns (whether it was killed, what it was at)."""
    (folder / "dropped").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, __file__, "--child", str(number), str(delay), *COMMANDS[command][0]],
                          cwd=folder, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"{command} ended with status {done.returncode}:\n{done.stderr}")
    return done.returncode != 0, done.stderr.rpartition("killed ")[2].strip()


def differences(run, whole, finished):
    """Names of the files of `run` that are not those of the unbroken run `whole`; `finished`: all of them must be there."""
    found, wanted = ({str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} for root in (run, whole))
    found, wanted = ({name for name in names if not {"tensorboard", ".lock"} & {*Path(name).parts}} for names in (found, wanted))
    wrong = found ^ wanted if finished else set()
    for name in found:
        path = run / name
        other = next((each for each in (whole / name, whole.parent / "dropped" / path.name) if each.exists()), None)
        if any(part.startswith(".") for part in Path(name).parts) or "/export/saved_model/" in f"/{name}":
            continue
        elif path.name in TIMED:
            same = path.stat().st_size > 0 and (path.suffix != ".json" or bool(json.loads(path.read_text())))
        elif other is None:
            same = False
        elif not finished and name.startswith("rollback/"):
            same = path.name == "log.csv" or path.stat().st_size > 0 and (
                path.suffix != ".npz" or arrays(path).keys() == arrays(other).keys())
        elif path.suffix == ".npz":
            same = arrays(path) == arrays(other)
        elif path.name == "log.csv" and not finished:
            kept = path.read_bytes()
            same = other.read_bytes().startswith(kept[:kept.rfind(b"\n") + 1])
        else:
            same = path.read_bytes() == other.read_bytes()
            if path.suffix in (".png", ".gif"):
                with Image.open(path) as picture:
                    picture.load()
        wrong |= set() if same else {name}
    for path in run.rglob("export/saved_model"):
        if generator(path) != generator(whole / path.relative_to(run)):
            wrong.add(str(path.relative_to(run)))
    return sorted(wrong)


def arrays(path):
    with np.load(path) as file:
        return {name: (file[name].dtype.str, file[name].tobytes()) for name in file.files if name != "elapsed"}


def generator(path):
    """What a SavedModel holds and makes."""
    from kgan.quiet import import_tensorflow
    import_tensorflow()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    samples = loaded.signatures["generate"](count=tf.constant(9), seed=tf.constant(1))["samples"].numpy()
    stored = tf.train.load_checkpoint(f"{path}/variables/variables")
    values = [np.asarray(stored.get_tensor(name)) for name in stored.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return samples.tobytes(), sorted((value.shape, value.tobytes()) for value in values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    kills, directories, wrong = collections.Counter(), 0, []
    with tempfile.TemporaryDirectory() as place:
        whole, tallies = Path(place) / "whole", {}
        for command in COMMANDS:
            start(whole, command)
            tallies[command] = json.loads((whole / "tally").read_text())
        while kills.total() < options.kills:
            directories += 1
            folder = Path(place) / str(directories)
            for command, (_, most) in COMMANDS.items():
                operations, seconds = tallies[command]
                for _ in range(most):
                    if kills.total() == options.kills:
                        break
                    # a run that goes on has fewer operations left: it may end unkilled
                    moment = (rng.randint(1, operations), rng.choice([0, rng.uniform(0, 0.02)])) if rng.random() < 0.5 else (
                        1, rng.uniform(0, seconds))
                    killed, last = start(folder, command, *moment)
                    if not killed:
                        break
                    kills[command] += 1
                    found = differences(folder / "run", whole / "run", finished=False)
                    wrong += [(directories, command, last, name) for name in found]
                    print(f"{kills.total():3} {command} killed at {last}: {', '.join(found) or 'all files sound'}", flush=True)
                start(folder, command, 10**9)
            found = differences(folder / "run", whole / "run", finished=True)
            wrong += [(directories, "end", "", name) for name in found]
            print(f"    directory {directories} in the end: {', '.join(found) or 'as the unbroken run'}", flush=True)
            shutil.rmtree(folder)
    print(json.dumps({"benchmark": "faults/kill", "kills": kills.total(), "of": kills, "directories": directories,
                      "seed": options.seed, "operations": {name: count for name, (count, _) in tallies.items()},
                      "seconds": round(time.monotonic() - began), "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], sys.argv[5:])
    else:
        sys.exit(main())
