"""What a data set is to the rest of kgan: named fields, each of a kind, each an array."""
import dataclasses
import re

import numpy as np

from kgan import kinds
from kgan.command import UserError
from kgan.config import nearest


SINGLE = 0.5  # classes for each example: more are no classes
DARK = 72  # of 255: numbers of 14 bits in 16 come to 64 at most, and scaling may overshoot
SCALED = "masks of few values, or 10, 12 or 14 bits in files of 16, must be scaled to the whole range before they are saved"
_DATE = re.compile(r"(\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})([ T]\d{1,2}:\d{2}.*)?")


class DataError(UserError, ValueError):
    """A data set that cannot be had, with what to do about it."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A prepared data set, readable at random.

    Attributes:
        name: as the user asked for it.
        arrays: dict of field to array [N, ...], memory-mapped or in memory, stored as its kind has it: `image` is uint8
            [N, H, W, C], `sample` float32 [N, D], `label` int64 [N]. What is made on the fly has `at(rows, positions)`
            beside indexing: the examples `rows` as they are at these positions of a run.
        classes: dict of field to a list of names, for fields that count classes from 0.
        note: what a person should know about the preparation (files skipped, say); "" if nothing.
        cuts: dict of field to the bounds [K + 1] of the classes that `by` has made of a number.
        kinds: dict of field to the name of its kind. What is left out is a label where it has classes, a number where it is
            one, else of the kind whose name it bears.
        groups: dict of field to the name of its group, where examples are not paired: fields of a group have one length and
            one order. Those that are left out are of the group of `key`.
        more: dict of field to what its kind knows of it besides, as `kgan.kinds.Field.more`: the rate of sounds.
    """

    name: str
    arrays: dict
    classes: dict = dataclasses.field(default_factory=dict)
    note: str = ""
    cuts: dict = dataclasses.field(default_factory=dict)
    kinds: dict = dataclasses.field(default_factory=dict)
    groups: dict = dataclasses.field(default_factory=dict)
    more: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        # names of files may be any bytes; the note stands in reports
        object.__setattr__(self, "note", self.note.encode("utf-8", "backslashreplace").decode("utf-8"))

    def __len__(self):
        return len(self.arrays[self.key])

    @property
    def fields(self):
        """Dict of name to kgan.kinds.Field."""
        return {name: kinds.Field(self._kind(name, array), array.shape[1:], self.classes.get(name, ()), self.more.get(name, {}))
                for name, array in self.arrays.items()}

    def _kind(self, name, array):
        if name in self.kinds:
            return self.kinds[name]
        if name in self.classes:
            return "label"
        if array.ndim == 1:
            return "number"
        return name if name in kinds.names() else kinds.guess(array.shape[1:])

    @property
    def key(self):
        """The field that a generator learns to make: that which bears its kind's name for it, "image", "sample" …"""
        for name, field in self.fields.items():
            if name == kinds.get(field.kind).FIELD and field.kind not in ("label", "number"):
                return name
        raise DataError(f"{self.name}: there is nothing to learn to make among its fields {', '.join(self.arrays)}")

    @property
    def kind(self):
        """The name of the kind of `key`."""
        return self.fields[self.key].kind

    @property
    def shape(self):
        """Shape of one example of `key`, of images (H, W, C)."""
        return self.fields[self.key].shape

    def roles(self, needs, reverse=False):
        """This data set as a model sees it that needs these fields.

        Args:
            needs: dict of field to kind, of what is made and what is given; {}: anything.
            reverse: whether `input` and what is made change places.

        Raises:
            DataError: a field is not there; the message says which data would have it.
        """
        if reverse and "input" in self.arrays:
            swapped = {"input": self.key, self.key: "input"}
            change = {attribute: {swapped.get(name, name): value for name, value in getattr(self, attribute).items()}
                      for attribute in ("arrays", "kinds", "groups", "more")}
            # what was of no group is of that of what is made, which is the other one now
            return dataclasses.replace(self, **change).roles(needs)
        for name, kind in needs.items():
            found = self.fields.get(name)
            if found is None or found.kind != kind:
                raise DataError(f"{self.name}: this model needs {name!r}, of the kind {kind}; the data have "
                                f"{', '.join(f'{name} ({field.kind})' for name, field in self.fields.items())}. "
                                + _LAYOUTS.get(name, ""))
        return self

    def by(self, field, bins, like=None):
        """This data set with `field` as classes: of a number `bins` of them, equal parts of its distribution.

        Several fields joined by +, as in "font+color", are one whose classes are those of their combinations that occur, called
        "font=serif, color=red". A number that has `bins` values or fewer, as 0 and 1, has a class for each. A field that the data lack is measured
        on the images where kgan.data.measures knows it.

        Args:
            field: name of one of the arrays [N], or of a measure; "" for a model without labels: nothing is changed.
            bins: how many classes numbers become.
            like: Source that `by` gave, whose bounds between classes are taken over; None: its own.

        Raises:
            DataError: there is no such field, it is no class and no number that varies, or hardly two examples are of one class.
        """
        if not field:
            return self
        if "+" in field and field not in self.arrays:
            return self._joined(field, bins, like)
        if field in self.classes:
            return self if like else self._plausible(field)
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
        note = self.note
        if not like and (what := _no_quantity(values)):
            note += f" condition={field}: its {len(values)} numbers look like {what}, which are no measure of an image."
        return dataclasses.replace(self, note=note.strip(), arrays={**self.arrays, field: labels}, classes={**self.classes, field: names},
                                   cuts={**self.cuts, field: cuts})

    def _joined(self, field, bins, like):
        """This data set with the combinations of the fields that `field` joins as classes, as for `by`."""
        parts, found = field.split("+"), self
        if "" in parts or len({*parts}) < len(parts):
            raise DataError(f"condition={field}: joins fields by +, each once, as in label+slant")
        for part in parts:
            found = found.by(part, bins, like)
        codes, rows = np.unique(np.stack([np.asarray(found.arrays[part]) for part in parts], 1), axis=0, return_inverse=True)
        names = [", ".join(f"{part}={found.classes[part][code]}" for part, code in zip(parts, some)) for some in codes]
        known = list(like.classes[field]) if like else names
        place = {name: number for number, name in enumerate(known)}
        labels = np.array([place.get(name, -1) for name in names], np.int64)[rows.reshape(-1)]
        arrays, left = found.arrays, np.flatnonzero(labels >= 0)
        if not len(left):
            raise DataError(f"condition={field}: {self.name} has none of the combinations that the training split has")
        if len(left) < len(labels):
            arrays, labels = {name: array[left] for name, array in arrays.items()}, labels[left]
            found = found.remark(f"condition={field}: {len(rows) - len(left)} examples, of combinations that the training split lacks, are "
                                 "left out.")
        found = dataclasses.replace(found, arrays={**arrays, field: labels}, classes={**found.classes, field: known})
        return found if like else found._plausible(field)

    def remarked(self, looked_at=256):
        """This data set, with a remark in its note about image fields that are all near black, in the images looked at."""
        note = self.note
        for name, array in self.arrays.items():
            if self._kind(name, array) != "image" or not len(array):
                continue
            some = array[np.unique(np.linspace(0, len(array) - 1, looked_at).astype(int))]
            if (peak := int(some.max())) < DARK:
                note += f" {name} is near black in all {len(some)} examples looked at, {peak} of 255 at most: {SCALED}."
        return self._noted(note)

    def remark(self, text):
        """This data set, with a sentence more in its note."""
        return self._noted(f"{self.note} {text}")

    def _noted(self, note):
        return self if note == self.note else dataclasses.replace(self, note=note.strip())

    def _plausible(self, field):
        """This data set, with a remark where its classes `field` are hardly meant as such; DataError where they are none."""
        names, counts = self.classes[field], np.bincount(np.asarray(self.arrays[field]))
        found = np.flatnonzero(counts)
        some = ", ".join(repr(names[label]) for label in found[:3])
        if len(found) < 2:
            raise DataError(f"condition={field}: all of {self.name} is of one class, {some}; it takes two, such as a sub-folder "
                            "for each, or take a model without labels")
        if len(found) > SINGLE * len(self) >= SINGLE * 8:
            raise DataError(f"condition={field}: {self.name} has {len(found)} classes ({some} …) in {len(self)} examples, as ids, "
                            "names of files and dates have: condition on what examples have in common")
        note, single = self.note, np.count_nonzero(counts == 1)
        if single > 0.5 * len(found):
            note += f" condition={field}: {single} of {len(found)} classes have one example only."
        if all(_DATE.fullmatch(names[label]) for label in found):
            note += f" condition={field}: its classes look like dates ({some} …)."
        return self._noted(note)

    def _measured(self, field):
        from kgan.data.measures import MEASURES

        if field not in MEASURES or self.kind != "image":
            raise self._no_such(field)
        if self.shape[-1] != 1:
            raise DataError(f"condition={field}: is measured on grey images, {self.name} is in colour: --channels=1")
        return MEASURES[field](self.arrays["image"])

    def _no_such(self, field):
        from kgan.data.measures import MEASURES

        known = sorted(name for name, array in self.arrays.items() if array.ndim == 1)
        measures = sorted({*MEASURES} - {*known}) if self.kind == "image" else []
        return DataError(f"condition={field}: {self.name} has no such field{nearest(field, known + measures)}; it has "
                         f"{', '.join(known) or 'none that could be a condition'}"
                         + (f"; measured on the images can be {', '.join(measures)}" if measures else ""))

    def named(self, field, name):
        """This data set with the classes of `field` under another name, in place of what had it."""
        change = {attribute: {**values, name: values[field]} for attribute in ("arrays", "classes", "cuts")
                  if field in (values := getattr(self, attribute))}
        return dataclasses.replace(self, **change)

    def ordered(self, field, names):
        """This data set with the classes of `field` in the order of `names`; as it is where they are not just these."""
        found = list(self.classes.get(field, ()))
        if not names or found == list(names) or sorted(found) != sorted(names):
            return self
        places = np.array([list(names).index(name) for name in found])
        return dataclasses.replace(self, arrays={**self.arrays, field: places[np.asarray(self.arrays[field])]},
                                   classes={**self.classes, field: list(names)})

    def choose(self, count, seed=0):
        """Rows of at most `count` examples, drawn at random: int [n]."""
        return np.random.default_rng(seed).permutation(len(self))[:count]

    def choose_of_each(self, field, count):
        """Rows of the first `count` examples of each class of `field`, one class after the other; of the first 16 classes.

        Those of a class that has fewer come again and again; a class that has none is left out.
        """
        labels = np.asarray(self.arrays[field])
        found = [np.flatnonzero(labels == label)[:count] for label in range(min(len(self.classes[field]), 16))]
        return np.concatenate([np.resize(rows, count) for rows in found if len(rows)])

    def some(self, count, seed=0):
        """At most `count` examples of `key`, drawn at random, as for `examples`."""
        return self.examples(self.choose(count, seed))

    def examples(self, rows, field=None):
        """Examples as networks see them: float32 [n, ...] of `key` or of another field, images in [-1, 1].

        Of a field of a group of its own the rows are taken round and round.
        """
        name = field or self.key
        array = self.arrays[name]
        rows = rows if isinstance(rows, slice) else np.asarray(rows) % len(array)
        return seen(self.fields[name].kind, np.asarray(array[rows]))

    def given(self, rows, names):
        """Dict of the fields `names` of examples, as networks see them; labels as numbers of classes."""
        return {name: self.examples(rows, name) for name in names}


def _no_quantity(values):
    """What numbers are that count or date the examples rather than measure them, in a word, or ""."""
    if len(values) < 20 or not np.all(values == np.rint(values)):
        return ""
    ordered = np.unique(values)
    if len(ordered) == len(values) and ordered[-1] - ordered[0] < 2 * len(values) and ordered[0] in (0, 1):
        return "ids"
    year, month, day = values // 10000, values // 100 % 100, values % 100
    if np.all((year >= 1800) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)):
        return "dates"
    return ""


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


def seen(kind, values):
    """Values of a kind, an array, as networks see them: float32; stored ones are scaled, of images to [-1, 1].

    Labels, and what is float already, stay as they are.
    """
    module = kinds.get(kind)
    if not hasattr(module, "scale"):
        return values
    return values.astype(np.float32) if values.dtype.kind == "f" else module.scale(values.astype(np.float32))


# what would give a field that a model needs
_LAYOUTS = {
    "input": "Folders have it as pairs: files with input and target side by side, or two folders A/ and B/ (or input/ and "
             "target/) with files of the same names; or make it of the images: --set degrade=grey, blur:2, downscale:4 …",
    "label": "Folders have it as sub-folders, one for each class, in which all their files lie; or as the column `label` of labels.csv",
}
