"""Which recipes keep all modes of the ring and the grid? Prints one JSON line last.

    python benchmarks/mixtures.py                                          the default recipe, 10 seeds on each
    python benchmarks/mixtures.py --recipes="default;hinge" --seeds=3
    python benchmarks/mixtures.py --recipes=all --seeds=3 --pictures=DIRECTORY
    python benchmarks/mixtures.py --set steps=5000 --mixtures=ring         any setting of mlp's Config, for all recipes

The protocol is PacGAN's (Lin et al. 2018, section 4.1) but for networks and training, which are ours: 100,000 training points;
2,500 samples of the averaged generator are judged (`kgan.data.mixtures.coverage`):

    modes           number of modes with at least one sample within 3σ
    high_quality    share of samples within 3σ of the nearest mode; a perfect sampler has .989
    kl              KL(histogram of the modes of those || uniform), in nats; a perfect sampler has .0014 (ring), .0048 (grid)

and, of 50,000 samples, for each mode the standard deviation of the samples nearest to it and within 5σ, about their mean,
both axes together, over the true one (that of a perfect sampler so cut is 1.00):

    deviation       the least and the greatest of the modes

A recipe is mlp's preset `mixture`, with the size of the data (SIZE) said, changed as RECIPES says and in nothing else: the
same networks, batch, steps and averaging; other objectives than the default's have their usual rates. `goal` is the
project's: all modes in all seeds, high quality .97 to .994 in each, deviation .85 to 1.15 in each mode, mean kl at most
.01. `seconds` is the time in fit(), compilation included.
"""
import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

import kgan
from kgan import devices, pictures
from kgan.data import mixtures
from kgan.models import mlp

COUNT, MANY = 2_500, 50_000
# what a recipe must know of the data's size: the grid goes from -4 to 4. A penalty on D's gradient, which is per unit of the
# data, goes with the square of that: .025 · 4²
SIZE = {"ring": {}, "grid": dict(data_scale=4, penalty_weight="exponential:0.4:1e-5:0.25:0.7")}
# an objective as it is commonly trained: DCGAN's Adam, no penalty, no Fourier features
PLAIN = dict(penalty="none", fourier_features=0, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4,
             beta_1=0.5, beta_2=0.999)
RECIPES = {
    "default": {},  # relativistic, R1 + R2
    "relativistic, R1": dict(penalty="r1"),
    "relativistic": PLAIN,
    "cross-entropy": dict(PLAIN, loss="non_saturating"),
    "cross-entropy, R1 + R2": dict(loss="non_saturating"),
    "least squares": dict(PLAIN, loss="least_squares"),
    "WGAN-GP": dict(PLAIN, loss="wasserstein", penalty="gp", penalty_weight=10, penalty_every=1, discriminator_steps=5),
    "hinge": dict(PLAIN, loss="hinge"),
    "MMD": dict(PLAIN, loss="mmd_rbf", penalty="gp", penalty_weight=10, penalty_every=1, discriminator_outputs=16),
    "PacGAN 2": dict(PLAIN, loss="non_saturating", packing=2),
}


def train(name, recipe, settings, seed):
    """A trained GAN and the seconds that it took."""
    keras.backend.clear_session()
    config = mlp.Config.of(**{"preset": "mixture", "dataset": name, **SIZE[name], **recipe, **settings})
    keras.utils.set_random_seed(seed)
    gan = mlp.build((2,), config, seed)
    gan.compile(steps_per_execution=devices.steps_per_execution(config))
    data = kgan.data.load(name, batch_size=config.batch_size * config.discriminator_steps, seed=seed, repeat=True)
    start = time.perf_counter()
    gan.fit(data, steps_per_epoch=config.steps, shuffle=False, verbose=0)
    return gan, time.perf_counter() - start


def judge(name, gan):
    """The protocol's figures, as a dict."""
    result = mixtures.coverage(name, gan.generate(COUNT, seed=0))
    samples = gan.generate(MANY, seed=1, batch_size=10_000).astype(np.float64)
    means, sigma = mixtures.centers(name), mixtures.SIGMA[name]
    distance = np.linalg.norm(samples[:, None] - means, axis=-1)
    nearest = distance.argmin(1)
    deviations = []
    for mode in range(len(means)):
        own = samples[(nearest == mode) & (distance[:, mode] <= 5 * sigma)]
        deviations.append(own.std(0).mean() / sigma if len(own) > 1 else 0.0)
    return {**result, "deviation": [min(deviations), max(deviations)]}


def summary(name, rows):
    """Means and standard errors over the seeds, and whether the goal is met."""
    table = {}
    for figure in ("modes", "high_quality", "kl"):
        values = np.array([row[figure] for row in rows], float)
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        table[figure] = _rounded([values.mean(), error])
    table["deviation"] = _rounded([min(row["deviation"][0] for row in rows), max(row["deviation"][1] for row in rows)])
    table["seconds"] = _rounded(np.mean([row["seconds"] for row in rows]))
    table["seeds"] = len(rows)
    table["goal"] = bool(all(row["modes"] == len(mixtures.centers(name)) and 0.97 <= row["high_quality"] <= 0.994
                             and row["deviation"][0] >= 0.85 and row["deviation"][1] <= 1.15 for row in rows)
                         and table["kl"][0] <= 0.01)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="default", help=f"all, or some of {', '.join(RECIPES)}; several: joined by ;")
    parser.add_argument("--mixtures", default="ring,grid")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--pictures", help="folder for a scatter plot of each recipe's first seed")
    arguments = parser.parse_args()
    chosen = list(RECIPES) if arguments.recipes == "all" else [name.strip() for name in arguments.recipes.split(";")]
    if unknown := set(chosen) - set(RECIPES):
        parser.error(f"--recipes: no recipe is named {', '.join(unknown)}; there are: {'; '.join(RECIPES)}")
    names = arguments.mixtures.split(",")
    if unknown := set(names) - set(SIZE):
        parser.error(f"--mixtures: none is named {', '.join(unknown)}; there are: {', '.join(SIZE)}")
    settings = dict(pair.split("=", 1) for pair in arguments.set)

    results = {}
    for name in names:
        for recipe in chosen:
            rows = []
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                gan, seconds = train(name, RECIPES[recipe], settings, seed)
                rows.append({**judge(name, gan), "seconds": seconds})
                figures = {key: _rounded(value) for key, value in rows[-1].items()}
                print(json.dumps({"mixture": name, "recipe": recipe, "seed": seed, **figures}), flush=True)
                if arguments.pictures and seed == arguments.first_seed:
                    folder = Path(arguments.pictures)
                    folder.mkdir(parents=True, exist_ok=True)
                    real = mixtures.source(name, count=2_000).arrays["sample"]
                    file = f"{name}-{recipe.lower().replace(', ', '-').replace(' ', '-').replace('-+-', '-')}.png"
                    pictures.sheet("points", gan.generate(2_000, seed=0), real).save(folder / file)
            results.setdefault(name, {})[recipe] = summary(name, rows)
    print(json.dumps({"benchmark": "mixtures", "settings": settings, "results": results}))


def _rounded(value):
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(float(value), 4) if np.isfinite(value) else None  # JSON knows no nan


if __name__ == "__main__":
    main()
