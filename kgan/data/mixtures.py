"""Mixtures of Gaussians in the plane, the standard pictures of mode collapse, by PacGAN's protocol.

Source: Lin et al., "PacGAN: The power of two samples in generative adversarial networks", section 4.1
(https://arxiv.org/abs/1712.04086).
"""
import numpy as np

from kgan.data import modes
from kgan.data.source import DataError, Source

SIGMA = {"ring": 0.01, "grid": 0.05}  # standard deviation of each mode, along each axis
SPLITS = {"train": (0, 100_000), "test": (1, 10_000)}  # name: (stream of the seed, default count)


def centers(name):
    """Means of the modes, float64 [modes, 2]: "ring", 8 on the unit circle; "grid", the 25 of {-4, -2, 0, 2, 4}²."""
    if name == "ring":
        angle = 2 * np.pi * np.arange(8) / 8
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    if name == "grid":
        axis = np.arange(-4.0, 5, 2)
        return np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    raise DataError(f"there is no mixture {name!r}; there are {', '.join(SIGMA)}")


def source(name, split="train", count=None, seed=0):
    """Points of the mixture `name`, all modes equally likely.

    Args:
        name: "ring" or "grid".
        split: "train" or "test": independent draws.
        count: number of points; None for 100,000 ("train") or 10,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `sample` float32 [N, 2] and `label` int64 [N], the mode that each came from.

    Raises:
        DataError: an unknown name or split, a count below 1 or a negative seed.
    """
    means = centers(name)
    if split not in SPLITS:
        raise DataError(f"{name}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if (count is not None and count < 1) or seed < 0:
        raise DataError(f"{name}: count must be 1 or more and seed 0 or more, not {count!r} and {seed!r}")
    stream, default = SPLITS[split]
    rng = np.random.default_rng([seed, stream])
    label = rng.integers(len(means), size=default if count is None else count)
    sample = means[label] + SIGMA[name] * rng.standard_normal((len(label), 2))
    return Source(name, {"sample": sample.astype(np.float32), "label": label},
                  {"label": [f"({x:.3g}, {y:.3g})" for x, y in means]}, kinds={"sample": "points"})


def coverage(name, samples):
    """PacGAN's figures for generated points; the paper takes 2,500 of them.

    Args:
        name: "ring" or "grid".
        samples: float [N, 2].

    Returns:
        dict of `modes`, the number of modes with at least one high-quality sample, one within three standard
        deviations of its nearest mean; `high_quality`, the share of those samples, 0..1 (a perfect sampler has
        1 - exp(-4.5) = 0.989); and `kl`, the divergence KL(generated || uniform) in nats over the mode histogram of
        the high-quality samples, 0 at best and log(modes) on collapse (nan if there are none).
    """
    samples = np.asarray(samples, np.float64)
    means = centers(name)
    distance = np.linalg.norm(samples[:, None] - means, axis=-1)
    good = distance.min(1) <= 3 * SIGMA[name]
    return {**modes.coverage(distance.argmin(1)[good], len(means)), "high_quality": float(good.mean())}
