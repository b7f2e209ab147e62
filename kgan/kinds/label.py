"""Labels: the number of a class, int32 from 0 on; `Field.classes` has the names."""
import numpy as np

FIELD = "label"
SUFFIXES = ()


def read(data, field):
    """The name of a class, as bytes -> its number. Raises ValueError: there is no such class."""
    name = data.decode("utf-8", "replace")
    if name not in field.classes:
        raise ValueError(f"{name[:60]!r} is no class; there are {', '.join(field.classes[:12])}"
                         f"{' …' if len(field.classes) > 12 else ''}")
    return np.int32(field.classes.index(name))


def examples(field, count, seed=0):
    """The classes in turn, int32 [count]."""
    return np.arange(count, dtype=np.int32) % max(1, len(field.classes))
