"""What InfoGAN's codes have come to mean: python benchmarks/infogan.py runs/infogan-mnist [RUN…] [--picture=FILE]

Codes are found without labels, so that which category is which class is not said: of all one-to-one assignments the one that
agrees most is taken (the Hungarian algorithm). Two figures of each run, averaged generator, newest checkpoint:

    samples    10,000 samples, 1,000 of each category; the class that a classifier of the data's labels takes each for
    real       the test split; the category that Q, D's head, takes each image for (the paper's section 7.2: 95 %)

each the share of agreeing ones under its best assignment. `range` is what a numeric code changes: of samples whose code goes from
-1 to 1, all else equal, the mean change of slant (in pixels to the right per pixel up, kgan.data.measures) and of width (of the
standard deviation of ink to the left and right, in pixels), over categories and 100 rows of noise each. The picture has a row a
category and, for each numeric code, five columns from -2 to 2, as the paper's figure 2. Prints a JSON line last.
"""
import json

import numpy as np
from absl import flags

from kgan import command
from kgan.quiet import import_tensorflow

flags.DEFINE_string("picture", None, "PNG file to draw the first run's codes into")
COUNT, ROWS = 10_000, 100


def main(arguments):
    runs = arguments[1:]
    if not runs:
        raise command.UserError("which run? python benchmarks/infogan.py runs/NAME")
    import_tensorflow()
    from kgan import pictures
    from kgan.metrics import features
    from kgan.metrics.evaluate import sources
    from kgan.run import Run, load, write

    rows = {}
    for run in runs:
        settings = Run(run).settings(required=True)
        gan, step = load(run)
        train, test = sources(settings)
        classifier = features.get("classifier", train, test)
        rows[run] = {"step": step, "seed": settings["seed"], **judge(gan, classifier, test or train), "range": ranges(gan)}
        print(run, rows[run], flush=True)
        if flags.FLAGS.picture and run == runs[0]:
            write(flags.FLAGS.picture, pictures.png(pictures.grid(codes(gan), columns=5 * gan.config.codes)))
    print(json.dumps({"benchmark": "infogan", "dataset": settings["dataset"], "count": COUNT, **classifier.protocol, "runs": rows}))


def judge(gan, classifier, held):
    """The two shares of agreement, and the assignments."""
    categories = np.repeat(np.arange(len(gan.classes)), -(-COUNT // len(gan.classes)))[:COUNT]
    _, probabilities = classifier(gan.generate(COUNT, seed=1, label=categories))
    of_samples, meaning = agreement(categories, probabilities.argmax(1), len(gan.classes), len(classifier.classes))
    from kgan.data.source import seen
    images = held.arrays["image"]
    found = np.concatenate([np.asarray(gan.judge(seen("image", np.asarray(images[i:i + 500])), training=False)["category"]).argmax(1)
                            for i in range(0, len(images), 500)])
    of_real, _ = agreement(found, np.asarray(held.arrays["label"]), len(gan.classes), len(classifier.classes))
    return {"samples": of_samples, "real": of_real, "meaning": [classifier.classes[i] for i in meaning]}


def agreement(codes, labels, categories, classes):
    """(share that agree under the best one-to-one assignment, the class of each category)."""
    from scipy.optimize import linear_sum_assignment
    table = np.zeros((categories, classes), int)
    np.add.at(table, (codes, labels), 1)
    row, column = linear_sum_assignment(-table)
    return float(table[row, column].sum() / len(codes)), column.tolist()


def ranges(gan):
    """Of each numeric code the mean change of slant and of width from -1 to 1."""
    found = []
    for code in range(gan.config.codes):
        values = []
        for end in (-1.0, 1.0):
            noise = np.tile(np.asarray(gan.latents(ROWS, seed=2)), [len(gan.classes), 1])
            noise[:, code] = end
            values.append(shape(np.asarray(gan.make(noise, np.repeat(np.arange(len(gan.classes)), ROWS)))))
        found.append({name: float(np.mean(values[1][name] - values[0][name])) for name in ("slant", "width")})
    return found


def shape(images):
    """Slant and width of what is bright in grey images [n, H, W, 1] in [-1, 1], by moments of the ink."""
    from kgan.data import measures
    slant, ink = measures.slant(images), (images[..., 0] + 1) / 2
    y, x = np.mgrid[:ink.shape[1], :ink.shape[2]].astype(float)
    total = ink.sum((1, 2))
    dx, dy = (place - ((ink * place).sum((1, 2)) / total)[:, None, None] for place in (x, -y))
    upright = dx - slant[:, None, None] * dy
    return {"slant": slant, "width": np.sqrt((ink * upright**2).sum((1, 2)) / total)}


def codes(gan):
    """A row a category: each numeric code from -2 to 2 in five steps, the other ones 0; the same noise everywhere."""
    rows = []
    for category in range(len(gan.classes)):
        for code in range(gan.config.codes):
            noise = np.tile(np.asarray(gan.latents(1, seed=3)), [5, 1])
            noise[:, :gan.config.codes] = 0
            noise[:, code] = np.linspace(-2, 2, 5)
            rows.append(np.asarray(gan.make(noise, category)))
    return np.concatenate(rows)


if __name__ == "__main__":
    command.run(main, "benchmarks/infogan.py")
