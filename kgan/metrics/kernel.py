"""The kernel distance between two sets of feature vectors: KID, if Inception made them.

Sources: Bińkowski et al. 2018, "Demystifying MMD GANs" (https://arxiv.org/abs/1801.01401), section 4, for the kernel;
Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3, for the unbiased estimate; Zaremba et al. 2013, "B-tests:
Low Variance Kernel Two-Sample Tests" (https://arxiv.org/abs/1307.1954), section 2, for the blocks.
"""
import numpy as np


def kernel_distance(real, fake, size=1000, seed=0):
    """The squared maximum mean discrepancy with the kernel (x·y/D + 1)³, unbiased at any count.

    It is estimated on disjoint blocks of real and generated samples, and averaged. The usual estimate takes 100 random
    subsets of 1,000 samples: these overlap, so that their deviation says nothing about that of the mean, which is often
    given as if it did. Blocks are independent: the standard error is one. Each sample counts once, memory is that
    of a block. The price is a larger variance than that of one estimate over all pairs.

    Args:
        real, fake: features, any real dtype, [N, D] and [M, D]. Of the larger set a random part is taken.
        size: samples of each in a block, at least 2. There are max(2, min(N, M) // size) blocks, as large as the
            samples allow: with fewer than 2·size, smaller than `size`; else up to half larger.
        seed: of the order, which is random, for data sets may be sorted.

    Returns:
        (value, standard_error), floats. The value is 0 on average for equal distributions, so it may be negative.

    Raises:
        ValueError: the two differ in D, one has fewer than 4 samples or values that are not finite, or `size` is
            below 2.
    """
    real, fake = np.asarray(real), np.asarray(fake)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features must be [N, D] and [M, D], not of shapes {real.shape} and {fake.shape}")
    if size < 2:
        raise ValueError(f"size is {size}: a block needs at least 2 samples of each")
    count = min(len(real), len(fake))
    if count < 4:
        raise ValueError(f"the kernel distance needs at least 4 samples of each, got {len(real)} and {len(fake)}")
    blocks = max(2, count // size)
    size = count // blocks
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(features))[:blocks * size].reshape(blocks, size) for features in (real, fake)]
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.array([_discrepancy(real[rows], fake[columns]) for rows, columns in zip(*orders)])
    if not np.isfinite(values).all():
        raise ValueError("features have values that are not finite")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(blocks))


def _discrepancy(real, fake):
    """The unbiased estimate over all pairs of a block, [size, D] both."""
    size, features = real.shape
    both = np.concatenate([real, fake]).astype(np.float64)
    kernel = both @ both.T
    kernel /= features
    kernel += 1
    kernel *= kernel * kernel
    own = 0.0
    for part in (kernel[:size, :size], kernel[size:, size:]):
        own += (part.sum() - np.trace(part)) / (size * (size - 1))
    return own - 2 * kernel[:size, size:].mean()
