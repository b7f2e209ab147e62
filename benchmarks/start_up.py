"""Seconds from the command to the first step, and the memory it takes, of each model as it comes. Prints one JSON line last.

    python benchmarks/start_up.py                          all models
    python benchmarks/start_up.py --models=dcgan,seqgan --repeats=3

Each is `python train.py --model=NAME` in a fresh process, with the model's own data and settings, ended when its first
step is made: imports, data, networks, tracing, whatever it prepares (advgan's classifier, say), and the step. `cold`
is the first time, with an empty cache: data are drawn and classifiers learn. `warm` is the median of --repeats more.
`resident` is the memory of the process then, `most` the most that it had had, in MB.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATUS = {"resident": "VmRSS", "most": "VmHWM"}  # in /proc/self/status, in kB


def noted(run_dir):
    """The callback of `--callback=start_up:noted`: writes when the first step was made and what memory there is, and ends the process."""
    import keras

    class Noted(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found = {"at": time.time()}
            status = Path("/proc/self/status")
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines()) if status.exists() else {}
            found.update((name, int(lines[key].split()[0]) / 1024) for name, key in STATUS.items() if key in lines)
            Path(run_dir, "first.json").write_text(json.dumps(found))
            os._exit(0)
    return Noted()


def first(model, folder, environment, more=()):
    """{"seconds": …, "resident": …, "most": …} of one process. Raises SystemExit: it failed."""
    start = time.time()
    done = subprocess.run([sys.executable, ROOT / "train.py", f"--model={model}", f"--run_dir={folder}", "--callback=start_up:noted", *more],
                          env=environment, cwd=folder.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / "first.json").exists():
        sys.exit(f"{model}: status {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads((folder / "first.json").read_text())
    return {"seconds": found.pop("at") - start, **found}


def measured(model, repeats):
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KGAN_CACHE": f"{folder}/cache", "TF_CPP_MIN_LOG_LEVEL": "3",
                       "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])}
        cold, *warm = [first(model, Path(folder, f"run-{i}"), environment) for i in range(repeats + 1)]
    found = {"cold": cold["seconds"], "warm": statistics.median(each["seconds"] for each in warm) if warm else None}
    return {name: value and round(value, 1) for name, value in {
        **found, **{name: (warm or [cold])[-1].get(name) for name in STATUS}}.items()}


def main():
    from kgan import models

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(models.names()))
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    results = {}
    print("| model | cold, s | warm, s | resident, MB | most, MB |\n|---|---|---|---|---|")
    for model in arguments.models.split(","):
        results[model] = measured(model, arguments.repeats)
        print(f"| `{model}` | " + " | ".join("" if value is None else f"{value:,.1f}" if name in ("cold", "warm") else f"{value:,.0f}"
                                             for name, value in results[model].items()) + " |", flush=True)
    print(json.dumps({"benchmark": "start_up", "repeats": arguments.repeats, "results": results}))


if __name__ == "__main__":
    main()
