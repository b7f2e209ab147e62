"""The command line of scripts that look at the samples of one run: music.py, spoken.py."""
import argparse

from kgan.metrics.evaluate import sources
from kgan.run import Run, load


def opened(doc):
    """What `SCRIPT RUN [--count=1000 --checkpoint=newest --out=FOLDER]` names: (options, the GAN, its step, train, test)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--checkpoint", default="newest", choices=["newest", "best"])
    parser.add_argument("--out")
    options = parser.parse_args()
    return options, *load(options.run, options.checkpoint), *sources(Run(options.run).settings(required=True))
