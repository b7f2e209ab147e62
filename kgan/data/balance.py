"""Balanced classes: an order of examples in which each class comes equally often, a function of (seed, epoch) as any other."""
import numpy as np

from kgan.data.source import DataError

_EPOCH, _CLASS = 0x62616C61, 0x636C6173  # set these random numbers apart from each other and from those of the plain order


class Balanced:
    """Rows of an epoch, as many as there are examples: called with an epoch, it returns int [N].

    Each class has N / K of them in an epoch; what is left over goes round, so that after any number of epochs no class is more than one
    example ahead of another. Within its class an example comes again once all others have come.

    Args:
        labels: int [N], numbers of classes; those without examples are left out.
        seed: int.
    """

    def __init__(self, labels, seed=0):
        labels = np.asarray(labels)
        self._rows = [np.flatnonzero(labels == each) for each in np.unique(labels)]
        self._length, self._seed = len(labels), seed & 0x7FFFFFFF

    def __call__(self, epoch):
        chosen = np.concatenate([self._of(number, epoch) for number in range(len(self._rows))])
        return chosen[np.random.default_rng([self._seed, epoch, _EPOCH]).permutation(len(chosen))]

    def _dealt(self, number, epoch):
        """How many examples of a class come before an epoch."""
        count = len(self._rows)
        each, over = divmod(self._length, count)
        return epoch * each + (epoch * over + count - 1 - number) // count

    def _of(self, number, epoch):
        """The rows of a class in an epoch: its part of the class's own permutations, one behind the other."""
        rows, begin, end = self._rows[number], self._dealt(number, epoch), self._dealt(number, epoch + 1)
        first, last = begin // len(rows), -(-end // len(rows))
        dealt = [rows[np.random.default_rng([self._seed, each, number, _CLASS]).permutation(len(rows))] for each in range(first, last)]
        return np.concatenate([rows[:0], *dealt])[begin - first * len(rows):][:end - begin]


def field(settings):
    """The field whose classes a run of these settings balances, "" if it balances none."""
    return (settings.get("config", {}).get("condition") or "label") if settings.get("balance") else ""


def noted(source, name):
    """A Source, whose note says what balancing its classes `name` does; as it is where `name` is "".

    Raises:
        DataError: it has no such classes.
    """
    if not name:
        return source
    if name not in source.classes:
        raise DataError(f"--balance: {source.name} has no classes to balance; those of a folder are its sub-folders, or --set condition=NAME")
    counts = np.bincount(np.asarray(source.arrays[name]), minlength=len(source.classes[name]))
    there = np.flatnonzero(counts)
    rare, common = there[counts[there].argmin()], there[counts[there].argmax()]
    share = len(source) / len(there)
    names = source.classes[name]
    return source.remark(f"--balance: an epoch has about {share:,.0f} examples of each of {len(there)} classes; each of the "
                         f"{counts[rare]:,} of {names[rare]} comes {share / counts[rare]:.2g} times, each of the {counts[common]:,} of "
                         f"{names[common]} {share / counts[common]:.2g} times.")
