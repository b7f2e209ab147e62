"""How fast are samples written as files, beside making them alone? Is an interrupted command resumed? Prints one JSON line last.

    python benchmarks/generate_files.py runs/dcgan-glyphs                  10,000 files
    python benchmarks/generate_files.py runs/dcgan-glyphs --count=1000
    python benchmarks/generate_files.py runs/dcgan-glyphs --folder=/dev/shm     where the files are written

`alone` is GAN.generate, `files` what `kgan generate` does after its start: noise of each seed, samples, PNG files,
manifest; `npz` the same with --format=npz. All are timed in turns, in one process, after a warm-up; their medians are
compared, by the clock and by CPU seconds: these are those of an idle machine, with one thread. Each turn has a folder
of its own, and nothing is deleted before the end: ext4 passes over each inode that was freed in the last minutes, and
then creates a file in fourteen times the time (385 µs in place of 27). Wait that long between two calls. Then the
command itself is killed in the middle and started again: the files must be those of the turns before, byte for byte.
"""
import argparse
import hashlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kgan import generate
from kgan.run import write


def digests(folder):
    """Relative path -> checksum of each file below."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*"))
            if path.is_file()}


def timed(function):
    """Seconds by the clock, and of CPU."""
    start, before = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - before


def rates(run, count, repeats, folder):
    """(images a second by the clock, and a CPU second, by `alone`, `files`, `npz`; the folder of one turn's files) of turns in `folder`."""
    generator = generate.Generator(run)
    suffix = ".png"
    rows = generate.planned(count, 0, generator.classes, None, suffix)
    rows = [{**row, "truncation": "", "generator": generator.name, "step": generator.step,
             "weights": generator.weights} for row in rows]

    def files(out):
        generate.agree(out, rows, False)
        generate.write_files(generator, rows, out)

    def npz():
        write(folder / "samples.npz", generate.array(generator, rows))

    generator.gan.generate(512)
    for many in (False, True):
        generator.samples(range(generate.BATCH), [0] * generate.BATCH if generator.classes else None, many=many)
    took = {"alone": [], "files": [], "npz": []}
    for i in range(repeats):
        took["alone"].append(timed(lambda: generator.gan.generate(count, seed=1)))
        took["files"].append(timed(lambda: files(folder / f"turn-{i}")))
        took["npz"].append(timed(npz))
    return {name: [count / statistics.median(times) for times in zip(*pairs)] for name, pairs in took.items()}, folder / "turn-0"


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
    parser.add_argument("--folder", help="in which files are written for the time being; default: that for temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        broken = Path(folder, "broken")
        found, whole = rates(arguments.run, arguments.count, arguments.repeats, Path(folder))
        there, said = interrupted(arguments.run, arguments.count, broken)
        same = digests(whole) == digests(broken)
    for name, (clock, cpu) in found.items():
        print(f"{name:5} {clock:8,.0f} images a second, {cpu:8,.0f} a CPU second")
    print(f"killed after {there:,} files; then: {said}")
    print(json.dumps({"count": arguments.count, **{name: [round(rate) for rate in rates] for name, rates in found.items()},
                      **{f"{name}_ratio": [round(one / alone, 3) for one, alone in zip(found[name], found["alone"])] for name in ("files", "npz")},
                      "killed_after": there, "same_files": same}))
    return not same


if __name__ == "__main__":
    sys.exit(main())
