"""What a data set is to the rest of kgan: named arrays of the same length."""
import dataclasses

import numpy as np

from kgan.command import UserError


class DataError(UserError, ValueError):
    """A data set that cannot be had, with what to do about it."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A prepared data set, readable at random.

    Attributes:
        name: as the user asked for it.
        arrays: dict of field to array [N, ...], memory-mapped or in memory. `image` is uint8 [N, H, W, C]; data that
            are no images have `sample`, float32 [N, D], instead; `label` is int64 [N]; other fields are extras.
        classes: dict of field to a list of names, for fields that count classes from 0.
        note: what a person should know about the preparation (files skipped, say); "" if nothing.
    """

    name: str
    arrays: dict
    classes: dict = dataclasses.field(default_factory=dict)
    note: str = ""

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    @property
    def key(self):
        """The field that a generator learns to make: "image" or "sample"."""
        return "image" if "image" in self.arrays else "sample"

    @property
    def shape(self):
        """Shape of one example of `key`, (H, W, C) or (D,)."""
        return tuple(int(n) for n in self.arrays[self.key].shape[1:])

    def some(self, count, seed=0):
        """At most `count` examples of `key`, drawn at random: float32 [n, ...], images in [-1, 1]."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        return scale(np.asarray(self.arrays[self.key][chosen]))


def scale(values):
    """uint8 images to float32 in [-1, 1]; other values to float32 as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 127.5 - 1
    return values.astype(np.float32)
