"""Which setting makes most of few photos? Fréchet distance, coverage and copies against photos that no run has seen.

    python benchmarks/few_photos.py split FOLDER DEST          FOLDER/train/CLASS/*.jpg, and other splits beside train
    python train.py --model=dcgan --dataset=folder:DEST/few --image_size=64 --flip --run_dir=RUN --set ema_decay=0.998
    python benchmarks/few_photos.py measure DEST RUN [RUN ...]

`split` links --count photos, drawn at random from train, into DEST/few, and all others into DEST/held. `measure` compares as many
samples of each run with DEST/held, in the features of kgan's classifier, which learns the classes of DEST/held: no run has seen one
of these photos. The rows beside the runs are what real photos score: `few photos` the --count that the runs learn from, again
and again, as a generator would that knows nothing but them by heart; `held photos` one half of DEST/held against the other. `copies`
is the share of samples that are nearer to a photo of DEST/few than 99 % of the photos of DEST/held are.
"""
import argparse
import json
import os
from pathlib import Path

import numpy as np


def split(folder, dest, count, seed):
    """Links `count` photos of `folder`/train into `dest`/few, all others below `folder` into `dest`/held; classes are kept."""
    photos = sorted(path for path in Path(folder).resolve().rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    train = [path for path in photos if path.parent.parent.name == "train"]
    few = {train[row] for row in np.random.default_rng(seed).permutation(len(train))[:count]}
    for path in photos:
        place = Path(dest) / ("few" if path in few else "held") / path.parent.name
        place.mkdir(parents=True, exist_ok=True)
        os.symlink(path, place / f"{path.parent.parent.name}-{path.name}")
    return len(few), len(photos) - len(few)


def measure(dest, runs, count):
    """A row of figures for each run, and for real photos."""
    import kgan
    from kgan.metrics import neighbors
    from kgan.run import Run

    settings = {**Run(runs[0]).settings(), "dataset": f"folder:{dest}/held"}
    settings = {key: settings[key] for key in ("dataset", "image_size", "channels", "crop") if key in settings}
    evaluator = kgan.metrics.Evaluator(settings, count=count)
    few = kgan.data.of({**settings, "dataset": f"folder:{dest}/few"}).arrays["image"]
    trained = evaluator.network(few)[0]
    usual = np.quantile(neighbors.nearest(evaluator.features, trained)[0], 0.01)

    def row(images):
        found = evaluator.figures(images, every=False)
        found["copies"] = float((neighbors.nearest(evaluator.network(images)[0], trained)[0] < usual).mean())
        return {name: round(found[name], 3) for name in ("frechet_distance", "precision", "recall", "coverage", "copies")}

    rows = {"few photos": row(few[np.arange(evaluator.count) % len(few)])}
    for run in runs:
        gan = kgan.load(run)
        rows[f"{Path(run).name}, step {gan.step:,}"] = row(gan.generate(evaluator.count, seed=1))
    rest = np.setdiff1d(np.arange(len(evaluator.train)), evaluator._rows)
    rows["held photos"] = row(evaluator.train.arrays["image"][rest][np.arange(evaluator.count) % len(rest)])
    return evaluator.protocol, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    splits, measures = verbs.add_parser("split"), verbs.add_parser("measure")
    splits.add_argument("folder")
    splits.add_argument("dest")
    splits.add_argument("--count", type=int, default=300)
    splits.add_argument("--seed", type=int, default=0)
    measures.add_argument("dest")
    measures.add_argument("runs", nargs="+")
    measures.add_argument("--count", type=int, default=1_700)
    arguments = parser.parse_args()
    if arguments.verb == "split":
        print(*split(arguments.folder, arguments.dest, arguments.count, arguments.seed))
        return
    protocol, rows = measure(arguments.dest, arguments.runs, arguments.count)
    for name, figures in rows.items():
        print(f"{name:<30} " + "  ".join(f"{figure} {value}" for figure, value in figures.items()))
    print(json.dumps({"benchmark": "few_photos", "protocol": protocol, "results": rows}))


if __name__ == "__main__":
    main()
