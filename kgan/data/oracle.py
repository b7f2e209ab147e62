"""Synthetic sequences from a known LSTM, the oracle of SeqGAN's paper: of each sequence it tells how likely it is.

Yu, Zhang, Wang, Yu 2016, arXiv:1609.05473, section 4: an LSTM whose weights are drawn from N(0, 1) stands for the true
distribution; generators learn from its samples, and it judges theirs (NLL_oracle). The built-in one is drawn from a seed,
with a vocabulary of 500. The published one, of 5,000, is `--dataset=folder:PATH`, where PATH holds its oracle.npz.

A perfect generator scores the oracle's entropy. What scores below it is no better: it has collapsed to what is likely.
"""
import os
import zipfile

import numpy as np

from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source

VOCABULARY, UNITS, LENGTH = 500, 32, 20
SPLITS = {"train": (0, 10_000), "test": (1, 2_000)}  # name: (stream of the seed, default count)
FILE = "oracle.npz"
_ROWS = 256  # sequences at once: their logits stay in the processor's cache


class Oracle:
    """An LSTM in NumPy: i, f, o = σ(xW + hU + b), g = tanh(xWc + hUc + bc), c ← f·c + i·g, h = o·tanh(c), logits = hW_out + b_out.

    Args:
        parameters: dict of float arrays `embedding` [V, E]; of the gates i, f, o and the cell c `W?` [E, H], `U?` [H, H],
            `b?` [H]; `W_out` [H, V], `b_out` [V]. The state starts at 0, the first input is token 0.
    """

    def __init__(self, parameters):
        self.parameters = {name: np.asarray(value, np.float32) for name, value in parameters.items()}
        self.vocabulary = len(self.parameters["embedding"])

    @classmethod
    def of_seed(cls, seed=0, vocabulary=VOCABULARY, units=UNITS):
        """Drawn from a seed: all parameters from N(0, 1), as section 4.1 has it."""
        rng = np.random.default_rng([seed, 0x6F7261])
        shapes = {"embedding": (vocabulary, units), **{f"{kind}{gate}": (units, units) for gate in "ifoc" for kind in "WU"},
                  **{f"b{gate}": (units,) for gate in "ifoc"}, "W_out": (units, vocabulary), "b_out": (vocabulary,)}
        return cls({name: rng.standard_normal(shape) for name, shape in shapes.items()})

    def _step(self, tokens, h, c):
        p = self.parameters
        x = p["embedding"][tokens]
        i, f, o, g = (x @ p[f"W{gate}"] + h @ p[f"U{gate}"] + p[f"b{gate}"] for gate in "ifoc")
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        logits = h @ p["W_out"] + p["b_out"]
        return logits - logits.max(1, keepdims=True), h, c

    def _start(self, count):
        return np.zeros(count, int), *(np.zeros((count, len(self.parameters["bi"])), np.float32) for _ in range(2))

    def sample(self, count, length=LENGTH, rng=None):
        """Sequences, int32 [count, length]."""
        rng = rng or np.random.default_rng(0)
        parts = []
        for rows in _cut(count):
            uniform, (token, h, c), columns = rng.random((rows, length)), self._start(rows), []
            for t in range(length):
                logits, h, c = self._step(token, h, c)
                summed = np.exp(logits).cumsum(1)
                token = (summed < uniform[:, t, None] * summed[:, -1:]).sum(1)
                columns.append(token)
            parts.append(np.stack(columns, 1))
        return np.concatenate(parts).astype(np.int32)

    def nll(self, tokens):
        """-log p of each token after those before it, in nats, float64 [n, T] of int [n, T]; their mean is NLL_oracle."""
        tokens, parts = np.asarray(tokens), []
        for start in range(0, len(tokens), _ROWS):
            some = tokens[start:start + _ROWS]
            (token, h, c), columns = self._start(len(some)), []
            for t in range(some.shape[1]):
                logits, h, c = self._step(token, h, c)
                token = some[:, t]
                columns.append(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(some)), token])
            parts.append(np.stack(columns, 1))
        return np.concatenate(parts).astype(np.float64)


def source(split="train", count=None, seed=0):
    """Sequences of the built-in oracle, drawn on the spot: Source of `tokens`, int32 [N, 20], numbers as words, none of them an end.

    Args:
        split: "train" or "test": independent draws.
        count: how many; None: 10,000 or 2,000.
        seed: of the sequences; the oracle is always the same.
    """
    return _drawn("oracle", Oracle.of_seed(), "built-in", split, count, seed)


def published(path, split="train"):
    """The same of the oracle in PATH/oracle.npz."""
    oracle = of(f"folder:{path}")
    return _drawn(f"folder:{path}", oracle, [float(values.sum()) for _, values in sorted(oracle.parameters.items())], split, None, 0)


def of(name):
    """The Oracle of a data set's name; None: it has none."""
    if name == "oracle":
        return Oracle.of_seed()
    file = os.path.join(expanded(name.removeprefix("folder:"), "folder:"), FILE) if name.startswith("folder:") else ""
    if not os.path.isfile(file):
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Oracle(dict(arrays))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: is no oracle ({error or type(error).__name__}); its arrays are those of kgan.data.oracle.Oracle") from None


def _drawn(name, oracle, told, split, count, seed):
    if split not in SPLITS:
        raise DataError(f"{name}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    stream, default = SPLITS[split]
    key = {"version": 1, "oracle": told, "vocabulary": oracle.vocabulary, "stream": stream, "seed": seed,
           "count": int(default if count is None else count)}

    def write(directory):
        np.save(directory / "tokens.npy", oracle.sample(key["count"], rng=np.random.default_rng([seed, stream])))
        return {}

    arrays, _ = cached("oracle", key, write)
    words = [str(number) for number in range(oracle.vocabulary)]
    return Source(name, arrays, kinds={"tokens": "tokens"}, more={"tokens": {"words": words, "tokens": "words"}})


def _cut(count):
    return [min(_ROWS, count - start) for start in range(0, count, _ROWS)]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))
