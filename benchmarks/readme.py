"""Do README's commands run, and are its figures those that they give? Prints one JSON line last.

    python benchmarks/readme.py                       every command, training cut to two steps: about ten minutes on two cores
    python benchmarks/readme.py --only=dcgan,serve    the first, and those with one of these words
    python benchmarks/readme.py --figures             those that README has a figure of, trained as they stand, and the figures again:
                                                      about half an hour of CPU; --only=gancls: of those with the word

Commands are taken from README.md's blocks of sh and python, in order, and run in one copy of the tree. What stands in capitals
there (PATH, PHOTOS, MASK.png …) is replaced by small data that this script draws; `pip install` and pytest are left out, and a
server ends with its block. A figure is not the `same` where README says another number than was measured, beyond the tolerance
in FIGURES; it is `stale` where README does not say it any more.
"""
import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CUT = "--steps=2", "--batch_size=4", "--set=sample_every=2", "--set=checkpoint_every=2", "--set=log_every=1"
SERVER = 90  # seconds that a server may take to answer


class Figure(NamedTuple):
    """What README says, as a regular expression whose group is the number; the command that trains; how it is measured."""

    said: str
    command: str
    measure: str  # a command
    file: str  # of the run's directory, that it writes as JSON; "": its last line is JSON
    path: tuple  # of the figure in that
    tolerance: float
    factor: float = 1.0


_FIRST = "--model=dcgan", "{python} -m kgan.metrics runs/dcgan-glyphs", "runs/dcgan-glyphs/metrics.json"
_CAPTIONS = "--model=gancls", "{python} benchmarks/captions.py runs/gancls-captions", ""
FIGURES = [
    Figure(r"the first command \|.*Fréchet distance ([\d.]+) \(real", *_FIRST, ("figures", "frechet_distance"), 0.5),
    Figure(r"the first command \|.* (\d+) % read with confidence", *_FIRST, ("figures", "confident"), 3, 100.0),
    Figure(r"([\d.]+) % of [\d,]+ unseen outlines get", "--model=pix2pix", "{python} benchmarks/outlines.py runs/pix2pix-outlines", "",
           ("made", "right"), 0.3, 100.0),
    Figure(r"fools the classifier in ([\d.]+) %", "--model=advgan", "{python} -m kgan.metrics.attack runs/advgan-glyphs --count=500",
           "runs/advgan-glyphs/attack.json", ("attacks", "advgan", "success"), 1, 100.0),
    Figure(r"the right digit in ([\d.]+) %", *_CAPTIONS, ("gancls-captions, step 3,000", "caption_label"), 2, 100.0),
    Figure(r"for unseen pairs ([\d.]+) %", *_CAPTIONS, ("gancls-captions, step 3,000", "unseen_label"), 2, 100.0),
]


def blocks(text):
    """(language, lines) of each fenced block."""
    for language, body in re.findall(r"```(sh|python)\n(.*?)```", text, re.S):
        lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in body.splitlines()] if language == "sh" else [body]
        yield language, [line for line in lines if line]


def draw(folder):
    """The data that README's commands name: dict of word to what stands in its place."""
    rng = np.random.default_rng(0)
    places = {word: folder / word.lower() for word in ("PHOTOS", "PATH", "FOLDER", "RECORDINGS", "DIGITS")}
    for word in ("PHOTOS", "PATH", "FOLDER", "facades", "horse2zebra"):
        (folder / word.lower()).mkdir(parents=True)
    for i in range(24):
        image = np.kron(rng.integers(0, 256, (5, 5, 3)), np.ones((40, 40, 1))).astype(np.uint8)
        for word in ("photos", "path", "folder"):
            Image.fromarray(image).save(folder / word / f"{i}.png")
            (folder / word / f"{i}.txt").write_text(f"a large red {i}\n")
        Image.fromarray(np.concatenate([image[:128, :128], 255 - image[:128, :128]], 1)).save(folder / "facades" / f"{i}.png")
        for side in "AB":
            (folder / "horse2zebra" / f"train{side}").mkdir(exist_ok=True)
            Image.fromarray(image[:128, :128]).save(folder / "horse2zebra" / f"train{side}" / f"{i}.png")
    import keras

    from kgan.kinds import audio
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]).save(
        folder / "OTHER.keras")
    places["OTHER.keras"] = folder / "OTHER.keras"
    (folder / "recordings").mkdir()
    for i in range(6):
        (folder / "recordings" / f"{i}.wav").write_bytes(audio.write(rng.normal(0, 0.1, (40_000, 1)).astype("f"), rate=16_000))
    for name, size in (("PHOTO.png", 28), ("MASK.png", 28), ("photo.jpg", 64), ("painting.jpg", 96)):
        pixels = np.zeros((size, size), np.uint8)
        pixels[8:16, 8:16] = 255
        Image.fromarray(pixels).save(folder / name)
        places[name] = folder / name
    places.update({"folder:facades": f"folder:{folder / 'facades'}", "folder:horse2zebra": f"folder:{folder / 'horse2zebra'}"})
    return places


class Commands:
    """Runs commands in a copy of the tree."""

    def __init__(self, folder, places, whole):
        self.folder, self.places, self.whole = folder, places, whole
        self.environment = {**os.environ, "PYTHONPATH": str(folder), "MPLBACKEND": "agg"}
        self.server = None

    def words(self, line):
        """What a line of README becomes: a shell's line, or "" where there is nothing to run."""
        parts = [self._part(part) for part in line.split(" && ") if not part.startswith("pip install") and "pytest" not in part]
        return " && ".join(parts) if "make/generator" not in line else ""  # of another model than the one that is served

    def _part(self, line):
        for word, place in sorted(self.places.items(), key=lambda pair: -len(pair[0])):
            line = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w.])", str(place), line)
        line = re.sub(r"^kgan ", f"{sys.executable} -m kgan ", re.sub(r"^python ", f"{sys.executable} ", line))
        trains = "train.py" in line or "-m kgan train" in line
        cut = trains and not self.whole and not {"--list", "--dry_run"} & {*line.split()}
        return " ".join([line, *(CUT if cut else ())])

    def run(self, language, line):
        """(exit status, seconds, the last lines that it wrote)."""
        begin = time.monotonic()
        if language == "python":
            done = subprocess.run([sys.executable, "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        elif "serve" in line.split("#")[0] and "curl" not in line:
            self.server = subprocess.Popen(line.split(), cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
            return self._answers(begin)
        else:
            done = subprocess.run(line, shell=True, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        return done.returncode, time.monotonic() - begin, "\n".join((done.stderr or done.stdout).strip().splitlines()[-3:])

    def _answers(self, begin):
        while time.monotonic() - begin < SERVER and self.server.poll() is None:
            if not subprocess.run(["curl", "-fs", "localhost:8000/readyz"], capture_output=True).returncode:
                return 0, time.monotonic() - begin, ""
            time.sleep(1)
        return 1, time.monotonic() - begin, "the server does not answer"

    @functools.cache
    def ask(self, line):
        """What a command prints, the second time without running it again."""
        return subprocess.run(line.format(python=sys.executable), shell=True, cwd=self.folder, env=self.environment,
                              capture_output=True, text=True).stdout

    def end(self):
        if self.server:
            self.server.terminate()
            self.server.wait()
            self.server = None


def measure(figure, text, commands):
    """`said`, `measured` and whether they are the `same`; `stale` where README does not say it."""
    found = re.search(figure.said, text)
    if not found:
        return {"said": figure.said, "stale": True}
    printed = commands.ask(figure.measure)
    try:
        value = json.loads((commands.folder / figure.file).read_text() if figure.file else printed.strip().splitlines()[-1])
        for key in figure.path:
            value = value[key]
    except (OSError, ValueError, IndexError, KeyError) as error:  # the other figures are not lost by it
        return {"said": figure.said, "failed": f"{figure.measure}: {error!r}", "same": False}
    said, value = float(found[1]), value * figure.factor
    return {"said": said, "measured": round(value, 3), "same": abs(said - value) <= figure.tolerance}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", action="store_true", help="train what README has figures of, and measure these")
    parser.add_argument("--only", default="", help="commands with one of these words, with commas between, and the first")
    arguments = parser.parse_args()
    only, text = [word for word in arguments.only.split(",") if word], (ROOT / "README.md").read_text(encoding="utf-8")
    chosen = [figure for figure in FIGURES if arguments.figures and (not only or any(word in figure.command for word in only))]
    trained, results = {f"python train.py {figure.command}" for figure in chosen}, []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "kgan")
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", "runs", "__pycache__", ".pytest_cache"))
        (folder / "mydata.py").write_text("import numpy\n\ndef photos():\n"
                                          "    return numpy.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), numpy.uint8)\n")
        commands = Commands(folder, draw(Path(place, "data")), arguments.figures)
        first = True
        for language, lines in blocks(text):
            for line in lines:
                wanted = commands.words(line) if language == "sh" else line
                left = not trained & {*line.split(" && ")} if arguments.figures \
                    else only and not first and not any(word in line for word in only)
                if not wanted or left:
                    continue
                first = False
                status, seconds, said = commands.run(language, wanted)
                shown = line if language == "sh" else line.strip().splitlines()[0]
                results.append({"command": shown, "status": status, "seconds": round(seconds, 1)})
                print(f"{'ok' if not status else 'FAILED':<7}{seconds:>7.1f} s  {shown}", flush=True)
                if status:
                    print(f"        {wanted}\n        {said}", flush=True)
            commands.end()
        figures = [measure(figure, text, commands) for figure in chosen]
        for figure in figures:
            print(figure)
    failed = [result["command"] for result in results if result["status"]]
    print(json.dumps({"commands": len(results), "failed": failed, "figures": figures}))
    return 1 if failed or any(not figure.get("same") for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
