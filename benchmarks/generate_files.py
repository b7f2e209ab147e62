"""How fast are samples written as files, beside making them alone? Is an interrupted command resumed? Prints one JSON line last.

    python benchmarks/generate_files.py runs/dcgan-glyphs                  10,000 files
    python benchmarks/generate_files.py runs/dcgan-glyphs --count=1000

`alone` is GAN.generate, `files` what `kgan generate` does after its start: noise of each seed, samples, PNG files, manifest. Both are timed
in turns, in one process, after a warm-up; their medians are compared. Then the command itself is killed in the middle and started again: the files
must be those of the turns before, byte for byte.
"""
import argparse
import hashlib
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kgan import generate


def digests(folder):
    """Relative path -> checksum of each file below."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))
            if path.is_file()}


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rates(run, count, repeats, folder):
    """(images a second alone, as files) by turns; the files of the last turn stay in `folder`."""
    generator = generate.Generator(run)
    suffix = ".png"
    rows = generate.planned(count, 0, generator.classes, None, suffix)
    rows = [{**row, "truncation": "", "generator": generator.name, "step": generator.step,
             "weights": generator.weights} for row in rows]
    generator.gan.generate(512)
    generator.samples(range(512), None if not generator.classes else [0] * 512)
    alone, files = [], []
    for _ in range(repeats):
        alone.append(timed(lambda: generator.gan.generate(count, seed=1)))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

        def whole():
            generate.agree(folder, rows, False)
            generate.write_files(generator, rows, folder)
        files.append(timed(whole))
    return count / statistics.median(alone), count / statistics.median(files)


def interrupted(run, count, folder):
    """Kills the command when a good part is there, and starts it again. Returns (files that were there, those at the end)."""
    command = [sys.executable, "-m", "kgan", "generate", str(run), f"--count={count}", f"--out={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(folder.glob("*.png"))) < count // 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(folder.glob("*.png")))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return there, done.stdout.strip().splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        alone, files = rates(arguments.run, arguments.count, arguments.repeats, whole)
        there, said = interrupted(arguments.run, arguments.count, broken)
        same = digests(whole) == digests(broken)
    print(f"GAN.generate alone: {alone:,.0f} images a second; as files: {files:,.0f}\nkilled after {there:,} files; then: {said}")
    print(json.dumps({"count": arguments.count, "alone": round(alone), "files": round(files), "ratio": round(files / alone, 3),
                      "killed_after": there, "same_files": same}))
    return not same


if __name__ == "__main__":
    sys.exit(main())
