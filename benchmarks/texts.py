"""Quality and diversity of texts by runs of seqgan at several temperatures, side by side. Prints one JSON line last.

    python benchmarks/texts.py runs/seqgan runs/imitation                    imitation alone beside it, as it should be
    python benchmarks/texts.py runs/seqgan --temperatures=0.7,1 --count=500

Of each run and temperature COUNT texts of the averaged generator by the same noise, measured by kgan.metrics.texts against
the test split (or, without one, the training split); `real`: as many training texts. A lower temperature is better and less
diverse: compare runs where one of the two is equal. `nll_test` is at temperature 1.
"""
import argparse
import json
import types
from pathlib import Path

import numpy as np

from kgan.metrics import texts
from kgan.metrics.evaluate import sources
from kgan.run import Run, load

SHOWN = "nll_oracle", "nll_test", "valid", "bleu_2", "bleu_3", "bleu_4", "bleu_5", "self_bleu_2", "self_bleu_3", "distinct_2"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--temperatures", default="0.6,0.8,1,1.2")
    parser.add_argument("--count", type=int, default=1_000)
    arguments = parser.parse_args()
    results = {}
    for run in arguments.runs:
        train, test = sources(Run(run).settings(required=True))
        evaluator = types.SimpleNamespace(train=train, examples=(test or train).arrays["tokens"][:arguments.count])
        results.setdefault("real", texts.figures(evaluator, np.asarray(train.arrays["tokens"][-arguments.count:])))
        gan, step = load(run)
        for temperature in map(float, arguments.temperatures.split(",")):
            samples = gan.generate(arguments.count, seed=1, given={"temperature": np.full(arguments.count, temperature, np.float32)})
            name = f"{Path(run).name}, step {step:,}, temperature {temperature:g}"
            results[name] = texts.figures(evaluator, samples) | (gan.figures(evaluator, samples) if temperature == 1 else {})
    print(" " * 44 + "".join(f"{name:>13}" for name in SHOWN))
    for name, figures in results.items():
        print(f"{name:<44}" + "".join(f"{figures[each]:>13.3f}" if each in figures else " " * 13 for each in SHOWN))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
