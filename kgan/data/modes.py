"""What the standard counts of lost modes have in common, whatever tells which mode a sample belongs to.

Sources: Srivastava et al., "VEEGAN" (https://arxiv.org/abs/1705.07761), for Stacked MNIST; Lin et al., "PacGAN"
(https://arxiv.org/abs/1712.04086), for mixtures.
"""
import numpy as np


def coverage(labels, modes):
    """How many modes samples cover, and how evenly.

    Args:
        labels: int [N], 0..modes - 1.
        modes: how many there are.

    Returns:
        dict of `modes`, the number of modes with at least one sample, and `kl`, the divergence KL(generated || uniform)
        in nats over the histogram of modes: log(modes) on collapse to one; a perfect uniform sampler has about
        (modes - 1) / 2N, .019 for 26,000 samples of 1,000 modes; nan without samples.

    Raises:
        ValueError: a label that is no mode.
    """
    found = histogram(labels, modes)
    share = found[found > 0] / max(1, len(labels))
    kl = float(np.sum(share * np.log(share * modes))) if len(labels) else float("nan")
    return {"modes": int((found > 0).sum()), "kl": kl}


def histogram(labels, modes):
    """How many of the labels [N] fall to each of the modes: int [modes]. ValueError: a label that is no mode."""
    labels = np.asarray(labels)
    if labels.size and not 0 <= labels.min() <= labels.max() < modes:
        raise ValueError(f"labels must be 0 to {modes - 1}, not {labels.min()} to {labels.max()}")
    return np.bincount(labels.astype(np.int64), minlength=modes)
