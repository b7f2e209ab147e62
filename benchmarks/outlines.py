"""Are the outlines filled, and in the right colours? Of a run of pix2pix on `outlines`. One JSON line last.

    python benchmarks/outlines.py runs/pix2pix-outlines [--count=2000]

Outlines of the test split, which training never saw; the averaged generator of the newest checkpoint. Each pixel counts as the
nearest of the ten digits' colours and the ground (`kgan.data.outlines.measure`). Beside it: the targets themselves, and the
outlines taken for the answer as they are.
"""
import argparse
import json

import numpy as np

from kgan.data import outlines
from kgan.kinds import image
from kgan.metrics.evaluate import sources
from kgan.run import Run, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    _, test = sources(Run(arguments.run).settings(required=True))
    gan, step = load(arguments.run)
    rows = np.arange(min(arguments.count, len(test)))
    given, target, label = (test.examples(rows, name) for name in ("input", "image", "label"))
    made = gan.generate(len(rows), given={"input": given})
    target = image.store(target)
    found = {name: {key: round(value, 4) for key, value in outlines.measure(image.store(images), target, label).items()}
             for name, images in (("made", made), ("target", image.scale(target.astype(np.float32))),
                                  ("untouched", np.broadcast_to(given, made.shape)))}
    print(json.dumps({"benchmark": "outlines", "step": step, "count": len(rows), **found}))


if __name__ == "__main__":
    main()
