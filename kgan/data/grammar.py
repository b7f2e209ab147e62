"""Built-in sentences of a small grammar, arithmetic such as "x * ( y + 3 ) - z": whether one is valid can be checked.

    sum = product | sum ("+" | "-") product          product = factor | product ("*" | "/") factor
    factor = one of ATOMS | "(" sum ")"
"""
import numpy as np

from kgan.data import texts
from kgan.data.cache import cached
from kgan.data.source import DataError, Source

ATOMS, SIGNS = tuple("xyz123"), (tuple("+-"), tuple("*/"))
WORDS = ("", *ATOMS, *SIGNS[0], *SIGNS[1], "(", ")")
LENGTH = 15  # tokens at most
SPLITS = {"train": (0, 10_000), "test": (1, 2_000)}  # name: (stream of the seed, default count)


def source(split="train", count=None, seed=0):
    """Draws the sentences, 3 to 15 tokens long: Source of `tokens`, int32 [N, 15], numbers of WORDS, 0 behind the end.

    Args:
        split: "train" or "test": independent draws of the same distribution.
        count: how many; None: 10,000 or 2,000.
        seed: int, not negative.
    """
    if split not in SPLITS:
        raise DataError(f"grammar: split must be one of {', '.join(SPLITS)}, not {split!r}")
    stream, default = SPLITS[split]
    key = {"version": 1, "stream": stream, "count": int(default if count is None else count), "seed": seed}

    def write(directory):
        rng, found = np.random.default_rng([seed, stream]), []
        while len(found) < key["count"]:
            sentence = _sum(rng, 0)
            if 3 <= len(sentence) <= LENGTH:
                found.append(sentence)
        np.save(directory / "tokens.npy", texts.encoded(found, list(WORDS), "words", LENGTH))
        return {}

    arrays, _ = cached("grammar", key, write)
    return Source("grammar", arrays, kinds={"tokens": "tokens"}, more={"tokens": {"words": list(WORDS), "tokens": "words"}})


def _sum(rng, depth):
    return _chain(rng, SIGNS[0], lambda: _chain(rng, SIGNS[1], lambda: _factor(rng, depth), 0.35), 0.45)


def _chain(rng, signs, part, more):
    found = part()
    while rng.random() < more:
        found = [*found, str(rng.choice(signs)), *part()]
    return found


def _factor(rng, depth):
    if depth < 2 and rng.random() < 0.3:
        return ["(", *_sum(rng, depth + 1), ")"]
    return [str(rng.choice(ATOMS))]


def valid(sentence):
    """Whether a sentence, a text or a list of tokens, is one of the grammar, of any length."""
    parts = sentence.split() if isinstance(sentence, str) else list(sentence)
    return bool(parts) and _after_sum(parts, 0) == len(parts)


def _after_sum(parts, at):
    """The place behind the sum that begins at a place; -1: none does. Precedence does not matter for what is valid."""
    while True:
        if parts[at:at + 1] == ["("]:
            at = _after_sum(parts, at + 1)
            if at < 0 or parts[at:at + 1] != [")"]:
                return -1
        elif parts[at:at + 1] and parts[at] in ATOMS:
            pass
        else:
            return -1
        at += 1
        if not (parts[at:at + 1] and parts[at] in SIGNS[0] + SIGNS[1]):
            return at
        at += 1
