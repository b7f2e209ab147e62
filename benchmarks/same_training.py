"""Do two checkouts train the same? Guards a refactoring: 20 steps of each model, compared bit for bit. One JSON line last.

    python benchmarks/same_training.py OTHER_CHECKOUT                   this checkout against another
    python benchmarks/same_training.py before.json                      … against what --save wrote of one
    python benchmarks/same_training.py OTHER_CHECKOUT --save=before.json

Each model trains through train.py, in tiny sizes, on the CPU. Compared are the first batches of the data, the last checkpoint's
arrays in their order, and log.csv. It is no promise for ever: a change that is meant to change numbers changes them here.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("filters=4", "batch_size=8")
MODELS = {
    **dict.fromkeys(("dcgan", "lsgan", "sngan", "wgan", "wgan_gp", "cgan", "acgan", "projection", "agecgan"), SMALL),
    "infogan": (*SMALL, "units=32"),
    "biggan": ("batch_size=8", "filters=8"),
    "fastgan": (*SMALL, "discriminator_filters=4"),
    "r3gan": ("batch_size=8", "widths=16,16,8", "blocks=1"),
    "mlp": ("batch_size=8", "generator_units=16", "discriminator_units=16", "steps_per_execution=1"),
    "sine": ("batch_size=8", "generator_units=16", "discriminator_units=16", "steps_per_execution=1"),
}
EVERY = ("log_every=5", "sample_every=20", "checkpoint_every=20")
BATCHES = """
import hashlib, itertools, numpy, kgan
found = hashlib.sha256()
for batch in itertools.islice(kgan.data.load("glyphs", 16, channels=3, flip=True, repeat=True, seed=3, start=2), 3):
    for name in sorted(batch):
        found.update(numpy.ascontiguousarray(batch[name]).tobytes())
print(found.hexdigest())
"""


def digests(checkout, models):
    """Dict of what is compared -> hexadecimal digest."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "-1"}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            run = Path(folder, name)
            # a fault of the command shows in its own words
            subprocess.run([sys.executable, str(checkout / "train.py"), f"--model={name}", "--steps=20", "--seed=1",
                            f"--run_dir={run}", *(f"--set={pair}" for pair in (*MODELS[name], *EVERY))],
                           check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
            with np.load(run / "checkpoints" / "step-000000020.npz") as file:
                arrays = [file[key] for key in file.files if key not in ("elapsed", "settings")]
            found[f"{name}: weights"] = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
            found[f"{name}: log"] = hashlib.sha256((run / "log.csv").read_bytes()).hexdigest()
            print(f"{checkout.name}: {name}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, "-c", BATCHES], check=True, env=environment, cwd=folder, text=True,
                              stdout=subprocess.PIPE)
        found["batches"] = done.stdout.strip()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--save", type=Path, help="file for the other checkout's digests")
    parser.add_argument("--models", default=",".join(MODELS))
    flags = parser.parse_args()
    models = flags.models.split(",")
    if flags.other.is_file():
        before = json.loads(flags.other.read_text())
    else:
        before = digests(flags.other.resolve(), models)
    if flags.save:
        flags.save.write_text(json.dumps(before, indent=1))
    now = digests(ROOT, models)
    different = [name for name in now if now[name] != before.get(name)]
    print(json.dumps({"benchmark": "same_training", "compared": len(now), "different": different}))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
