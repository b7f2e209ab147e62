"""Labels: the number of a class, int32 from 0 on; `Field.classes` has the names."""
import unicodedata

import numpy as np

FIELD = "label"
SUFFIXES = ()


def called(name, classes):
    """The class of this name; `name` as it is where there is none.

    An accent may be a character of its own, as macOS stores names of folders, or not, as they are typed.
    """
    plain = unicodedata.normalize("NFC", name)
    return name if name in classes else next((each for each in classes if unicodedata.normalize("NFC", each) == plain), name)


def read(data, field):
    """The name of a class, as bytes -> its number. Raises ValueError: there is no such class."""
    name = called(data.decode("utf-8", "replace"), field.classes)
    if name not in field.classes:
        raise ValueError(f"{name[:60]!r} is no class; there are {', '.join(field.classes[:12])}"
                         f"{' …' if len(field.classes) > 12 else ''}")
    return np.int32(field.classes.index(name))


def examples(field, count, seed=0):
    """The classes in turn, int32 [count]."""
    return np.arange(count, dtype=np.int32) % max(1, len(field.classes))
