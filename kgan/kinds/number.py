"""Numbers, one an example: an age, a stroke's weight. Networks see them as classes of equal parts (`Source.by`).

Of one that a generator is given as such, a temperature, `Field.more` has the `range` and the `default`, what it is unless given.
"""
import numpy as np

FIELD = "number"
SUFFIXES = ()
RANGE = None
MORE = {"range": None, "default": 0.0}


def examples(field, count, seed=0):
    rng, size = np.random.default_rng(seed), (count, *field.shape)
    return (rng.uniform(*field.more["range"], size) if field.more.get("range") else rng.normal(size=size)).astype(np.float32)
