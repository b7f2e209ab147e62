"""Fidelity against diversity by truncation: python benchmarks/truncation.py RUN [--count=5000] [--picture=FILE]

Samples of the averaged generator, newest checkpoint, noise cut at ± bound (kgan.gan.truncate), the same seed and the same labels
(those of the reference) at each bound; against as many examples of the held-back split, in the features of a classifier of the data's
labels (kgan.metrics.Evaluator). Precision is fidelity, recall diversity; `label_accuracy` the share that the classifier takes for the
class asked for. `monotone` tells whether recall never falls by more than .01 as the bound grows, and precision never rises by more.
The picture has a row of eight samples for each bound, of the same noise and class in each column. Prints a JSON line last.
"""
import json

import numpy as np
from absl import flags

from kgan import command
from kgan.quiet import import_tensorflow

flags.DEFINE_integer("count", 5_000, "samples and examples", 100)
flags.DEFINE_string("picture", None, "PNG file to draw samples into")
BOUNDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, None)
FIGURES = ("precision", "recall", "density", "coverage", "frechet_distance", "label_accuracy")


def main(arguments):
    if len(arguments) != 2:
        raise command.UserError("which run? python benchmarks/truncation.py runs/NAME")
    run = arguments[1]
    import_tensorflow()
    from kgan import pictures
    from kgan.metrics import Evaluator
    from kgan.run import Run, load, write

    settings = Run(run).settings(required=True)
    gan, step = load(run)
    evaluator = Evaluator(settings, count=flags.FLAGS.count)
    rows = []
    for bound in BOUNDS:
        samples = gan.generate(evaluator.count, 1, label=evaluator.asked, truncation=bound)
        figures = evaluator.figures(samples, evaluator.asked, every=False)
        rows.append({"bound": bound, **{name: round(figures[name], 4) for name in FIGURES if name in figures}})
        print(rows[-1], flush=True)
    if flags.FLAGS.picture:
        sheet = np.concatenate([gan.generate(8, 4, truncation=bound) for bound in BOUNDS])
        write(flags.FLAGS.picture, pictures.png(pictures.grid(sheet)))
    recall, precision = (np.diff([row[name] for row in rows]) for name in ("recall", "precision"))
    print(json.dumps({"benchmark": "truncation", "run": run, "step": step, **evaluator.protocol, "rows": rows,
                      "monotone": {"recall": bool((recall >= -0.01).all()), "precision": bool((precision <= 0.01).all())}}))


if __name__ == "__main__":
    command.run(main, "benchmarks/truncation.py")
