"""Numbers, one an example: an age, a stroke's weight. Networks see them as classes of equal parts (`Source.by`)."""
import numpy as np

FIELD = "number"
SUFFIXES = ()


def examples(field, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *field.shape)).astype(np.float32)
