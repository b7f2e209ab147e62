"""Does `sine` make sines, and all of them? Prints one JSON line last.

    python benchmarks/sine.py                     trains the default, once for each of --seeds, and judges it
    python benchmarks/sine.py --preset=tutorial
    python benchmarks/sine.py runs/sine-sine      judges a run of train.py; trains nothing

The protocol, for each seed. 1,000 signals are drawn from the averaged generator. `kgan.data.signals.fit` gives each its
least-squares m sin(x0 + f i). Of these,

    fit             share whose residual RMS is below .05
    fit_in_range    share of which m and f lie in the data's range too, give or take 5 % of its length

and for amplitude m in [.5, .8], frequency f in [1.2, 1.5] and phase x0 in [0, 1] each, of the signals counted in `fit`:

    coverage        the range is cut into 20 equal bins: the share of bins that hold at least one of those signals
    well_covered    the same, a bin counting from a quarter of the 50 signals on that an even spread would put there
    spread          the way from the 2.5 % to the 97.5 % quantile, within the range, over the range's length

and `cells`, the share that is hit of the 10 x 10 cells of (m, f): each range can be covered and the plane left empty.
`data` is what 1,000 real signals reach by the same protocol: a perfect sampler. `goal` is whether fit is at least .95,
and the coverage of m and f at least .8. `seconds` is the time in fit(), compilation included.
"""
import argparse
import json
import time

import keras
import numpy as np

import kgan
import kgan.run
from kgan import devices
from kgan.data import signals
from kgan.models import sine

COUNT, BINS, RMS, TOLERANCE = 1_000, 20, 0.05, 0.05


def measure(samples):
    """The protocol's figures for signals [N, 10], as a dict."""
    amplitude, frequency, phase, rms = signals.fit(samples)
    ranges = {"amplitude": (amplitude, *signals.AMPLITUDE), "frequency": (frequency, *signals.FREQUENCY),
              "phase": (phase, *signals.PHASE)}
    fits = rms < RMS
    # place of each signal in the range: 0 its low end, 1 its high end
    places = {name: (values[fits] - low) / (high - low) for name, (values, low, high) in ranges.items()}
    inside = [(place > -TOLERANCE) & (place < 1 + TOLERANCE) for place in (places["amplitude"], places["frequency"])]
    result = {"fit": fits.mean(), "fit_in_range": np.logical_and(*inside).sum() / len(samples),
              "median_rms": np.median(rms)}
    for name, place in places.items():
        counts = np.histogram(place, BINS, (0, 1))[0]
        low, high = np.clip(np.quantile(place, [0.025, 0.975]), 0, 1) if len(place) else (0, 0)
        result[name] = {"coverage": (counts > 0).mean(),
                        "well_covered": (counts >= len(samples) / BINS / 4).mean(), "spread": high - low}
    cells = np.histogram2d(places["amplitude"], places["frequency"], 10, [(0, 1)] * 2)[0]
    result["cells"] = (cells > 0).mean()
    result["goal"] = bool(result["fit"] >= 0.95 and min(
        result[name]["coverage"] for name in ("amplitude", "frequency")) >= 0.8)
    return _rounded(result)


def train(config, seed):
    """A trained GAN and the seconds that it took."""
    keras.utils.set_random_seed(seed)
    gan = sine.build((signals.LENGTH,), config, seed)
    gan.compile(steps_per_execution=devices.steps_per_execution(config))
    start = time.perf_counter()
    gan.fit(kgan.data.load("sine", batch_size=config.batch_size, seed=seed, repeat=True), steps_per_epoch=config.steps,
            shuffle=False, verbose=0)
    return gan, time.perf_counter() - start


def _rounded(value):
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return value if isinstance(value, bool) else round(float(value), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", nargs="?", help="a run of train.py to judge; left out: train here")
    parser.add_argument("--preset", choices=sorted(sine.Config.presets), default="default")
    parser.add_argument("--steps", type=int, help="default: the preset's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()

    results = []
    if arguments.run_dir:
        gan, step = kgan.run.load(arguments.run_dir)
        seconds = float(kgan.run.Run(arguments.run_dir).newest()[1]["elapsed"])
        results.append({"run": arguments.run_dir, "steps": step, "seconds": round(seconds, 1),
                        **measure(gan.generate(COUNT, seed=0))})
    else:
        config = sine.Config.of(preset=arguments.preset, **({"steps": arguments.steps} if arguments.steps else {}))
        for seed in arguments.seeds:
            gan, seconds = train(config, seed)
            results.append({"preset": config.preset, "seed": seed, "steps": gan.step, "seconds": round(seconds, 1),
                            **measure(gan.generate(COUNT, seed=0))})
            print(json.dumps(results[-1]), flush=True)
    data = measure(signals.source("test", COUNT).arrays["sample"])
    print(json.dumps({"benchmark": "sine", "goal": all(result["goal"] for result in results), "results": results,
                      "data": data}))


if __name__ == "__main__":
    main()
