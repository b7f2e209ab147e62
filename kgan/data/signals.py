"""Sine waves of ten points, the smallest data that a GAN can show something on."""
import numpy as np

from kgan.data.source import DataError, Source

LENGTH = 10
PHASE, FREQUENCY, AMPLITUDE = (0.0, 1.0), (1.2, 1.5), (0.5, 0.8)
SPLITS = {"train": (0, 60_000), "test": (1, 10_000)}  # name: (stream of the seed, default count)


def source(split="train", count=None, seed=0):
    """Samples m sin(x0 + f i), i = 0 ... 9, with x0 ~ U(0, 1), f ~ U(1.2, 1.5), m ~ U(0.5, 0.8).

    Args:
        split: "train" or "test": independent draws.
        count: number of signals; None for 60,000 ("train") or 10,000 ("test").
        seed: int, not negative.

    Returns:
        Source "sine" of `sample` float32 [N, 10] in (-0.8, 0.8), and `amplitude` m, `frequency` f (radians a step) and
        `phase` x0 (radians), float32 [N].

    Raises:
        DataError: an unknown split, a count below 1 or a negative seed.
    """
    if split not in SPLITS:
        raise DataError(f"sine: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if (count is not None and count < 1) or seed < 0:
        raise DataError(f"sine: count must be 1 or more and seed 0 or more, not {count!r} and {seed!r}")
    stream, default = SPLITS[split]
    uniform = np.random.default_rng([seed, stream]).random((default if count is None else count, 3))
    low, high = np.array([PHASE, FREQUENCY, AMPLITUDE]).T
    phase, frequency, amplitude = (low + (high - low) * uniform).T
    sample = amplitude[:, None] * np.sin(phase[:, None] + frequency[:, None] * np.arange(LENGTH))
    fields = {"sample": sample, "amplitude": amplitude, "frequency": frequency, "phase": phase}
    return Source("sine", {field: values.astype(np.float32) for field, values in fields.items()},
                  kinds={"sample": "signal"})


def fit(signals, frequencies=np.linspace(1.1, 1.6, 251)):
    """Least-squares sine of each signal, with its frequency near the data's range: judges a trained generator.

    For one frequency m sin(x0 + f i) = a sin(f i) + b cos(f i) is linear in (a, b), so each frequency of a grid is
    tried exactly; a parabola through the best and its neighbours then goes between the grid's points.

    Args:
        signals: float [N, 10].
        frequencies: float [M], an even grid, slightly wider than the data's range.

    Returns:
        (amplitude, frequency, phase, rms), each float64 [N]: amplitude at least 0, phase in (-pi, pi], and the root
        mean square of what the sine leaves unexplained.
    """
    signals = np.asarray(signals, np.float64)
    bases = np.linalg.qr(_basis(frequencies))[0]
    explained = (np.einsum("nl,mlk->nmk", signals, bases, optimize=True) ** 2).sum(-1)
    best = np.clip(explained.argmax(1), 1, len(frequencies) - 2)
    left, middle, right = (explained[np.arange(len(signals)), best + step] for step in (-1, 0, 1))
    bend = 2 * middle - left - right
    # no bend: a signal of zeros, or a best point at the grid's end
    move = np.where(bend > 0, (right - left) / np.where(bend > 0, 2 * bend, 1), np.sign(right - left))
    frequency = frequencies[best] + np.clip(move, -1, 1) * (frequencies[1] - frequencies[0])
    basis = _basis(frequency)
    coefficients = np.linalg.solve(basis.swapaxes(1, 2) @ basis, basis.swapaxes(1, 2) @ signals[..., None])
    rms = np.sqrt(((signals - (basis @ coefficients)[..., 0]) ** 2).mean(1))
    a, b = coefficients[..., 0].T
    return np.hypot(a, b), frequency, np.arctan2(b, a), rms


def _basis(frequency):
    angle = np.asarray(frequency)[:, None] * np.arange(LENGTH)
    return np.stack([np.sin(angle), np.cos(angle)], -1)
