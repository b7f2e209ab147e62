"""Do memory, open files and the time of a step stay flat over a long run? Prints a line a tenth, and one JSON line last.

    python benchmarks/faults/long.py                      100,000 steps: about 4 minutes on two cores
    python benchmarks/faults/long.py --steps=20000        to see that it works

The tiniest mlp is trained on points by train.py in a process of its own, with a row of the log every 100 steps, a
checkpoint every 200, a picture every 1,000 and a measurement of quality every 2,000. Twice a second the resident memory,
the open files and threads and the CPU time of the process are read from /proc, and the step from log.csv. Of each tenth of
the run the table has the last reading, and wall and CPU milliseconds a step. The first tenth is counted from the first
row of the log, so that compiling is not in it.

Exit status 0: between the second tenth and the last memory grows by less than 5 %, no more files are open, and the CPU
time of a step grows by less than 10 %.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = dict(preset="mixture", generator_units=4, discriminator_units=4, fourier_features=0, steps_per_execution=20,
                log_every=100, checkpoint_every=200, sample_every=1000, evaluate_count=500)


def reading(process, run):
    """(step, seconds, CPU seconds, bytes of memory, open files, threads) now."""
    place = Path(f"/proc/{process.pid}")
    rows = (run / "log.csv").read_bytes().splitlines() if (run / "log.csv").exists() else []
    step = int(rows[-2].split(b",")[0]) if len(rows) > 2 else 0  # the last row may be half written
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    return (step, time.monotonic(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(place / "fd")),
            int(fields[17]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, str(ROOT / "train.py"), "--model=mlp", "--dataset=ring", "--batch_size=8",
                   f"--steps={options.steps}", "--evaluate_every=2000", f"--run_dir={run}",
                   *(f"--set={name}={value}" for name, value in SETTINGS.items())]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"})
        while process.poll() is None:
            try:
                now = reading(process, run)
            except (FileNotFoundError, ProcessLookupError, IndexError):  # it has just ended
                break
            if now[0] > (found[-1][0] if found else 0):  # after the last row the export begins
                found.append(now)
            time.sleep(0.5)
        if process.wait():
            sys.exit(f"train.py ended with status {process.returncode}")
        found.pop()  # it may have been read while the report was written
        checkpoints = len(list((run / "checkpoints").glob("step-*.npz")))
    edges = [found[0]] + [next((each for each in found if each[0] >= options.steps * tenth / 10), found[-1])
                          for tenth in range(1, 11)]
    tenths = []
    print(f"{'step':>8}{'ms':>8}{'CPU ms':>8}{'MB':>8}{'files':>7}{'threads':>9}")
    for before, after in zip(edges, edges[1:]):
        steps = max(1, after[0] - before[0])
        tenths.append({"step": after[0], "ms": round(1e3 * (after[1] - before[1]) / steps, 4),
                       "cpu_ms": round(1e3 * (after[2] - before[2]) / steps, 4), "mb": round(after[3] / 1e6, 1),
                       "files": after[4], "threads": after[5]})
        print("{step:>8}{ms:>8.2f}{cpu_ms:>8.2f}{mb:>8.1f}{files:>7}{threads:>9}".format(**tenths[-1]))
    second, last = tenths[1], tenths[-1]
    growth = {"memory": last["mb"] / second["mb"] - 1, "files": last["files"] - second["files"],
              "cpu_ms": last["cpu_ms"] / second["cpu_ms"] - 1}
    flat = growth["memory"] < 0.05 and growth["files"] <= 0 and growth["cpu_ms"] < 0.1
    print(json.dumps({"benchmark": "faults/long", "steps": options.steps, "tenths": tenths, "checkpoints_left": checkpoints,
                      "growth": {name: round(value, 4) for name, value in growth.items()}, "flat": flat}))
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
