"""Do two Python environments train the same? Prints one JSON line last.

    python benchmarks/faults/same.py /path/to/one/bin/python /path/to/another/bin/python

Both run the same command, dcgan on glyphs of 28×28 for 20 steps with XLA and then without, on the CPU, each with a data cache
of its own, so that the glyphs too are drawn anew. Compared are the last checkpoint's arrays, log.csv and the pictures, bit for
bit. Both environments have what kgan needs; the versions of TensorFlow, Keras and NumPy are printed, for with others it may
not hold.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = "import importlib.metadata as m; print(*(m.version(name) for name in ('tensorflow', 'keras', 'numpy')))"


def train(python, folder, jit):
    """(versions, everything that must be the same)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KGAN_CACHE": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("VIRTUAL_ENV", None)
    run = folder / f"run-{jit}"
    subprocess.run([python, str(ROOT / "train.py"), "--model=dcgan", "--dataset=glyphs", "--steps=20", "--batch_size=16",
                    "--seed=1", "--set=filters=8", "--set=log_every=5", "--set=sample_every=10", f"--set=jit_compile={jit}",
                    f"--run_dir={run}"], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with np.load(run / "checkpoints" / "step-000000020.npz") as file:
        arrays = {name: file[name].tobytes() for name in file.files if name != "elapsed"}
    pictures = {path.name: path.read_bytes() for path in (run / "samples").glob("*.png")}
    versions = subprocess.run([python, "-c", VERSIONS], check=True, text=True, capture_output=True, env=environment)
    return versions.stdout.split(), (arrays, (run / "log.csv").read_bytes(), pictures)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    same, versions = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for jit in ("true", "false"):
            places = [Path(folder) / name for name in ("one", "other")]
            (one, left), (other, right) = (train(python, place, jit) for python, place in zip(sys.argv[1:], places))
            same["with XLA" if jit == "true" else "without"] = left == right
            versions = [one, other]
    print(json.dumps({"benchmark": "faults/same", "same": same, "versions": versions}))
    return 0 if all(same.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
