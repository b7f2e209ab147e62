"""What a data set is to the rest of kgan: named arrays of the same length."""
import dataclasses

import numpy as np

from kgan.command import UserError
from kgan.config import nearest


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
        cuts: dict of field to the bounds [K + 1] of the classes that `by` has made of a number.
    """

    name: str
    arrays: dict
    classes: dict = dataclasses.field(default_factory=dict)
    note: str = ""
    cuts: dict = dataclasses.field(default_factory=dict)

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

    def by(self, field, bins, like=None):
        """This data set with `field` as classes: of a number `bins` of them, equal parts of its distribution.

        A number that has `bins` values or fewer, as 0 and 1, has a class for each. A field that the data lack is measured
        on the images where kgan.data.measures knows it.

        Args:
            field: name of one of the arrays [N], or of a measure; "" for a model without labels: nothing is changed.
            bins: how many classes numbers become.
            like: Source that `by` gave, whose bounds between classes are taken over; None: its own.

        Raises:
            DataError: there is no such field, or it is no class and no number that varies.
        """
        if not field or field in self.classes:
            return self
        values = self.arrays[field] if field in self.arrays else self._measured(field)
        if values.ndim != 1:
            raise self._no_such(field)
        values = np.asarray(values, np.float64)
        if like:
            cuts, names = like.cuts[field], like.classes[field]
        else:
            cuts, names = _cut(values, bins)
        if len(names) < 2 or not np.isfinite(values).all():
            raise DataError(f"condition={field}: " + ("not all of its numbers are finite" if len(names) > 1 else
                                                      f"in all of {self.name} it is the same"))
        if not np.all(np.diff(cuts) > 0):
            raise DataError(f"condition={field}: {self.name} cannot be cut into {bins} equal parts by it, so many of its "
                            f"numbers are the same: {'lower --set bins' if bins > 2 else 'give it as classes of your own'}")
        labels = np.searchsorted(cuts[1:-1], values, side="right").astype(np.int64)
        return dataclasses.replace(self, arrays={**self.arrays, field: labels}, classes={**self.classes, field: names},
                                   cuts={**self.cuts, field: cuts})

    def _measured(self, field):
        from kgan.data.measures import MEASURES

        if field not in MEASURES or len(self.shape) != 3:
            raise self._no_such(field)
        if self.shape[-1] != 1:
            raise DataError(f"condition={field}: is measured on grey images, {self.name} is in colour: --channels=1")
        return MEASURES[field](self.arrays["image"])

    def _no_such(self, field):
        from kgan.data.measures import MEASURES

        known = sorted(name for name, array in self.arrays.items() if array.ndim == 1)
        measures = sorted({*MEASURES} - {*known}) if len(self.shape) == 3 else []
        return DataError(f"condition={field}: {self.name} has no such field{nearest(field, known + measures)}; it has "
                         f"{', '.join(known) or 'none that could be a condition'}"
                         + (f"; measured on the images can be {', '.join(measures)}" if measures else ""))

    def named(self, field, name):
        """This data set with the classes of `field` under another name, in place of what had it."""
        return dataclasses.replace(self, arrays={**self.arrays, name: self.arrays[field]},
                                   classes={**self.classes, name: self.classes[field]})

    def some(self, count, seed=0):
        """At most `count` examples of `key`, drawn at random: float32 [n, ...], images in [-1, 1]."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        return scale(np.asarray(self.arrays[self.key][chosen]))

    def some_of_each(self, field, count):
        """The first `count` examples of `key` of each class of `field`, as for `some`; of the first 16 classes.

        Those of a class that has fewer come again and again; a class that has none is left out.
        """
        labels = np.asarray(self.arrays[field])
        found = [np.flatnonzero(labels == label)[:count] for label in range(min(len(self.classes[field]), 16))]
        chosen = [np.resize(rows, count) for rows in found if len(rows)]
        return scale(np.asarray(self.arrays[self.key][np.concatenate(chosen)]))


def _cut(values, bins):
    """Bounds [K + 1] and names of the classes that numbers become."""
    distinct = np.unique(values)
    if len(distinct) <= bins:
        middles = (distinct[1:] + distinct[:-1]) / 2
        return np.concatenate([[-np.inf], middles, [np.inf]]), _texts(distinct)
    cuts = np.quantile(values, np.linspace(0, 1, bins + 1))
    texts = _texts(cuts)
    return cuts, [f"{low} to {high}" for low, high in zip(texts, texts[1:])]


def _texts(values):
    """Numbers as texts, with as many digits, from three on, as it takes to tell them apart."""
    for digits in range(3, 18):
        texts = [np.format_float_positional(value, digits, unique=False, fractional=False, trim="-") for value in values]
        if len(set(texts)) == len(values):
            break
    return texts


def scale(values):
    """uint8 images to float32 in [-1, 1]; other values to float32 as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 127.5 - 1
    return values.astype(np.float32)
