"""How long do the measures take, and how much memory? Prints one JSON line last.

    python benchmarks/metrics_speed.py                                 10,000 against 10,000 samples of 2,048 features
    python benchmarks/metrics_speed.py --count=3000 --repeats=1
    python benchmarks/metrics_speed.py --only=manifold --threads=1

Each measure is taken of the same random float32 features (normal, through a random mixing, seed 0), `sliced` of random
images of 28x28; where another package has it, that beside it:

    frechet     scipy: np.cov and scipy.linalg.sqrtm of the product of the covariances, as it is mostly written
    manifold    prdc: prdc.compute_prdc, k = 5 for both

Each run is a process of its own, held to `--threads` cores (prdc starts eight threads); ours and the other take turns.
`seconds` is the time of the call; `cpu` that of all its threads; `MiB` is the greatest resident size in the call
(ru_maxrss) beyond the greatest one before, when inputs are read from files, packages loaded and BLAS was once at work.
Medians over the repeats; `seconds_ratio` and `memory_ratio` are ours over the other's.
"""
import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from kgan.metrics import frechet, kernel, neighbors, sliced


def scipy_frechet(real, fake):
    import scipy.linalg
    shift = real.mean(0) - fake.mean(0)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    return float(shift @ shift + np.trace(first + second - 2 * scipy.linalg.sqrtm(first @ second).real))


def prdc_manifold(real, fake):
    import prdc
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the counts
        return {key: float(value) for key, value in prdc.compute_prdc(real, fake, 5).items()}


# measure -> package -> function of real and fake
MEASURES = {
    "frechet": {"kgan": frechet.frechet_distance, "scipy": scipy_frechet},
    "kernel": {"kgan": kernel.kernel_distance},
    "manifold": {"kgan": lambda real, fake: neighbors.manifold(real, fake, 5, 5), "prdc": prdc_manifold},
    "nearest": {"kgan": lambda real, fake: float(neighbors.nearest(fake, real)[0].mean())},
    "sliced": {"kgan": sliced.sliced_wasserstein},
}


def prepare(folder, kind, count, size):
    """Writes real and fake inputs: float32 [count, size] or uint8 [count, 28, 28, 1]."""
    random = np.random.default_rng(0)
    if kind == "images":
        real, fake = random.integers(0, 256, (2, count, 28, 28, 1), np.uint8)
        np.save(f"{folder}/images-real.npy", real)
        np.save(f"{folder}/images-fake.npy", fake // 2)
        return
    # few directions have most of the variance, as in features of networks: else all samples are equally far
    mixing = random.standard_normal((size, size), np.float32) * np.float32(0.98) ** np.arange(size)[:, None]
    real, fake = (random.standard_normal((count, size), np.float32) @ mixing.astype(np.float32) for _ in range(2))
    np.save(f"{folder}/features-real.npy", real)
    np.save(f"{folder}/features-fake.npy", fake * np.float32(0.95))


def work(measure, package, folder):
    """Takes one measure, in this process; prints a JSON line."""
    real, fake = (np.load(f"{folder}/{kind_of(measure)}-{side}.npy") for side in ("real", "fake"))
    MEASURES[measure][package](real[:80, :28], fake[:80, :28])  # what is loaded at first use
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    value = MEASURES[measure][package](real, fake)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    unit = 2 ** 20 if sys.platform == "darwin" else 2 ** 10
    memory = (after.ru_maxrss - before.ru_maxrss) / unit
    print(json.dumps({"seconds": seconds, "cpu": cpu, "MiB": memory, "value": value}))


def kind_of(measure):
    return "images" if measure == "sliced" else "features"


def measured(measure, package, folder, arguments):
    """What `work` prints in a new process."""
    threads = str(arguments.threads)
    environment = {**os.environ, **{f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL")}}
    command = [sys.executable, __file__, f"--threads={threads}", f"--work={measure},{package},{folder}"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="samples of each")
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(MEASURES), help="some of %(default)s")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-arguments.threads:])
        return work(*arguments.work.split(",", 2))
    if unknown := set(arguments.only.split(",")) - set(MEASURES):
        parser.error(f"--only: none is named {', '.join(unknown)}; there are: {', '.join(MEASURES)}")

    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in set(map(kind_of, arguments.only.split(","))):
            # a new process's ru_maxrss begins with that of the one that starts it: this one must stay small
            process = multiprocessing.get_context("spawn").Process(
                target=prepare, args=(folder, kind, arguments.count, arguments.features))
            process.start()
            process.join()
        for measure in arguments.only.split(","):
            rows = {package: [] for package in MEASURES[measure]}
            for _ in range(arguments.repeats):
                for package, found in rows.items():
                    found.append(measured(measure, package, folder, arguments))
            table = results[measure] = {}
            for package, found in rows.items():
                table[package] = {figure: round(statistics.median(one[figure] for one in found), 3)
                                  for figure in ("seconds", "cpu", "MiB")} | {"value": found[0]["value"]}
                print(measure, package, json.dumps(table[package]), flush=True)
            for package in set(table) - {"kgan"}:
                table["seconds_ratio"] = round(table["kgan"]["seconds"] / max(table[package]["seconds"], 1e-3), 3)
                table["memory_ratio"] = round(table["kgan"]["MiB"] / max(table[package]["MiB"], 1), 3)
    settings = {name: getattr(arguments, name) for name in ("count", "features", "threads", "repeats")}
    print(json.dumps({"benchmark": "metrics_speed", **settings, "results": results}))


if __name__ == "__main__":
    main()
