"""What a full disk and a read-only directory do to a run. Prints a line a case, and one JSON line last.

    python benchmarks/faults/disk.py                  as root, which may mount a tmpfs; about 3 minutes on two cores

A tiny mlp is trained by train.py on a tmpfs. In most cases it is so small that the disk is full sooner or later: at the
pictures, a checkpoint, the export. In the last an interrupted run is gone on with when the disk is read-only. Each time
train.py must end with status 1 or 2 and one line that says so, without a stack trace; all checkpoints must load; and after
room is made (the tmpfs is made larger, or writable) the same command must end as the run on a disk with room: log,
checkpoint and pictures bit for bit.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIZES = 64, 128, 256, 320  # KiB
SETTINGS = dict(preset="mixture", generator_units=16, discriminator_units=16, log_every=10, checkpoint_every=10,
                sample_every=40, jit_compile="false", steps_per_execution=10)


def train(run, wait=True):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--model=mlp", "--dataset=ring", "--batch_size=32", "--steps=200",
         "--seed=3", *(f"--set={name}={value}" for name, value in SETTINGS.items()), f"--run_dir={run}"], text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if not wait:
        return process
    errors = process.communicate()[1]
    return process.returncode, errors


def result(run):
    """All that must be the same."""
    path = max((run / "checkpoints").glob("step-*.npz"))
    with np.load(path) as file:
        arrays = {name: file[name].tobytes() for name in file.files if name != "elapsed"}
    pictures = {each.name: each.read_bytes() for each in run.glob("samples/*.png")}
    return path.name, arrays, (run / "log.csv").read_bytes(), pictures


def said(status, errors):
    """The one line that tells the user, or what is wrong with what was said."""
    lines = [line for line in errors.splitlines() if line.startswith("train.py: ")]
    good = status in (1, 2) and len(lines) == 1 and "Traceback" not in errors
    return lines[0] if good else f"WRONG {status}: {errors[-500:]}"


def mount(place, options):
    return subprocess.run(["mount", *options, str(place)], capture_output=True).returncode == 0


def main():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place, whole = Path(folder) / "disk", Path(folder) / "whole"
        place.mkdir()
        if not mount(place, ["-t", "tmpfs", "-o", "size=64k", "tmpfs"]):
            print(json.dumps({"benchmark": "faults/disk", "skipped": "a tmpfs cannot be mounted here: it takes root"}))
            return 0
        subprocess.run(["umount", str(place)], check=True)
        status, errors = train(whole)
        if status:
            sys.exit(errors)
        for case in [*SIZES, "read-only"]:
            size = f"size={case}k" if case != "read-only" else "size=64m"
            mount(place, ["-t", "tmpfs", "-o", size, "tmpfs"])
            try:
                if case == "read-only":
                    process = train(place / "run", wait=False)
                    while process.poll() is None and len(list(place.glob("run/checkpoints/step-*"))) < 2:
                        time.sleep(0.01)
                    process.terminate()
                    process.communicate()
                    mount(place, ["-o", "remount,ro"])
                    words = said(*train(place / "run"))
                else:
                    words = said(*train(place / "run"))
                saved = sorted((place / "run" / "checkpoints").glob("step-*.npz"))
                loads = [len(np.load(path).files) > 1 for path in saved]
                mount(place, ["-o", "remount,rw,size=64m"])
                status, errors = train(place / "run")
                exact = status == 0 and result(place / "run") == result(whole)
            finally:
                subprocess.run(["umount", "-l", str(place)], check=True)
            found.append({"case": case, "said": words.replace(folder, "…"), "checkpoints": [path.name for path in saved],
                          "load": all(loads), "exact": exact})
            print(f"{case}: {found[-1]['said']}; {len(saved)} checkpoints, all load: {all(loads)}; then exact: {exact}",
                  flush=True)
    wrong = [each["case"] for each in found if each["said"].startswith("WRONG") or not (each["load"] and each["exact"])]
    print(json.dumps({"benchmark": "faults/disk", "trials": len(found), "cases": found, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
