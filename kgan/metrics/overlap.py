"""Sets of solids compared by intersection over union, a generator's with real ones: MMD, coverage, 1-NNA.

Achlioptas, Diamanti, Mitliagkas, Guibas 2018, "Learning Representations and Generative Models for 3D Point Clouds",
arXiv:1707.02392 (MMD and coverage); Yang et al. 2019, "PointFlow", arXiv:1906.12320 (1-NNA, after Lopez-Paz & Oquab 2017); the
distance is 1 - IoU, Jaccard's.
"""
import numpy as np

from kgan.kinds.voxels import THRESHOLD

MEASURES = {"iou_mmd": False, "iou_coverage": True, "iou_1nna": False}  # name -> whether a larger value is better


def ious(one, other):
    """Intersection over union of each of n solids with each of m: float64 [n, m] of [n, D, H, W, 1] and [m, D, H, W, 1].

    What is above THRESHOLD is there; of two empty ones it is 1.
    """
    one, other = ((np.asarray(some) > THRESHOLD).reshape(len(some), -1).astype(np.float32) for some in (one, other))
    both = (one @ other.T).astype(np.float64)  # whole numbers below 2^24: exact
    either = one.sum(1)[:, None] + other.sum(1) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def compared(made, true, turned=lambda solids: [solids]):
    """How a set of solids resembles another of as many.

    Args:
        made, true: float or bool [n, D, H, W, 1] and [m, D, H, W, 1].
        turned: function from solids to a list of these as seen from other sides, of which each pair takes the best: where a model
            cannot know which way its solids look.

    Returns:
        dict of float. `iou_mmd`: mean over the true ones of 1 - IoU with the nearest that was made. `iou_coverage`: the share of
        true ones that are the nearest to one that was made. `iou_1nna`: the share of all whose nearest other is of the same set:
        .5 where they cannot be told apart, 1 where they do not mix; for n = m.
    """
    def best(one, other):
        return np.max([ious(some, other) for some in turned(one)], 0)

    between = best(made, true)
    same, real = best(made, made), best(true, true)
    for own in (same, real):
        np.fill_diagonal(own, -1)
    own_set = np.concatenate([same.max(1) > between.max(1), real.max(1) >= between.max(0)])
    return {"iou_mmd": float(1 - between.max(0).mean()), "iou_coverage": len(np.unique(between.argmax(1))) / between.shape[1],
            "iou_1nna": float(own_set.mean())}
