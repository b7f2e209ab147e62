"""A run of cyclegan or discogan: what each direction makes, measured on the test split beside its baselines. One JSON line last.

    python benchmarks/unpaired.py RUN [--count=1500] [--features=auto] [--checkpoint=newest] [--truth]

For each direction `kernel`: the kernel distance in a feature network between what is made and real images of the other sort,
with `real` (as many training images of that sort against the same ones) and `untouched` (what was given, taken for the answer);
`label_kept`: the share of images that a classifier of the other sort takes for what they were, with `real_read`, how many real
ones it reads right, and `untouched_read`; `cycle_psnr`: there and back, in dB. --truth: the data are pairs that were learned from
without their partners (emoji of two vendors): `psnr` against the true partner, with that of doing nothing.
"""
import argparse
import json

import numpy as np

import kgan.data
from kgan import kinds
from kgan.data.source import seen
from kgan.metrics.evaluate import Evaluator
from kgan.metrics.kernel import kernel_distance
from kgan.run import Run, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1_500)
    parser.add_argument("--features", default="auto")
    parser.add_argument("--checkpoint", default="newest")
    parser.add_argument("--truth", action="store_true")
    arguments = parser.parse_args()
    settings = Run(arguments.run).settings(required=True)
    gan, step = load(arguments.run, arguments.checkpoint)
    evaluator = Evaluator(settings, arguments.features, arguments.count)
    train, a, b = evaluator.train, evaluator.given["input"], seen("image", evaluator.examples)
    there, back = gan.applied(gan.ema_generator, a), gan.applied(gan.ema_inverse, b)
    way_back = evaluator.way_back
    found = {"benchmark": "unpaired", "model": settings["model"], "dataset": settings["dataset"], "step": step,
             "count": evaluator.count, "protocol": evaluator.protocol}
    # (name, network of what is made, what is made, what was given, real ones, training ones, labels of the given, of the real)
    for name, network, made, given, real, other, labels, real_labels, again in (
            ("AtoB", evaluator.network, there, a, b, train.arrays["image"], evaluator.given_labels, evaluator.labels,
             gan.applied(gan.ema_inverse, there)),
            ("BtoA", way_back and way_back[0], back, b, a, train.arrays["input"], evaluator.labels, evaluator.given_labels,
             gan.applied(gan.ema_generator, back))):
        found[name] = {"cycle_psnr": mean(kinds.get("image").compare(again, given)["psnr"])}
        if network:
            found[name].update(judged(network, made, given, real, other, labels, real_labels))
    if arguments.truth:
        found["AtoB"].update(against_partners(settings, gan.ema_generator, gan, "input", "image"))
        found["BtoA"].update(against_partners(settings, gan.ema_inverse, gan, "image", "input"))
    print(json.dumps(found))


def judged(network, made, given, real, train, labels, real_labels):
    """Kernel distance, and how many digits are read, of what is made and of the baselines."""
    rows = np.sort(np.random.default_rng(1).permutation(len(train))[:len(real)])
    sets = {"": made, "real": np.asarray(train[rows]), "untouched": of_depth(given, real.shape[-1])}
    wanted, found = network(real), {}
    for name, images in sets.items():
        seen_as = network(images)
        found[f"kernel_{name}".rstrip("_")] = round(float(kernel_distance(wanted[0], seen_as[0])[0]), 5)
        if network.classes and labels is not None and name != "real":
            found["label_kept" if not name else "untouched_read"] = round(float((seen_as[1].argmax(1) == labels).mean()), 4)
    if network.classes and real_labels is not None:
        found["real_read"] = round(float((wanted[1].argmax(1) == real_labels).mean()), 4)
    return found


def of_depth(images, channels):
    """Grey as colour, or the other way."""
    return images if images.shape[-1] == channels else np.repeat(images.mean(-1, keepdims=True), channels, -1)


def against_partners(settings, network, gan, given, made):
    """PSNR against the true partners, of what is made and of what was given; training pairs where there are no others."""
    try:
        pairs = kgan.data.of(settings, gan.config.needs, "test")
    except kgan.data.DataError:
        pairs = kgan.data.of(settings, gan.config.needs)
    rows = slice(0, 500)
    taken, true = pairs.examples(rows, given), pairs.examples(rows, made)
    compare = kinds.get("image").compare
    return {"psnr": mean(compare(gan.applied(network, taken), true)["psnr"]),
            "psnr_untouched": mean(compare(of_depth(taken, true.shape[-1]), true)["psnr"])}


def mean(values):
    return round(float(np.mean(values)), 3)


if __name__ == "__main__":
    main()
