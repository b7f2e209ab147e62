"""Built-in captioned glyphs: "a large red 7 in italic" and the picture of it, drawn on the spot, no download.

What a caption says of the picture is exactly four things: its digit, its colour, its size and its slant (ATTRIBUTES). So it
can be measured, of each, whether a picture is as its caption asked (`attributes` reads a caption, kgan.metrics.readers a
picture). In the training split some pairs of digit and colour never occur (`held_back`): a generator that has understood
what the words mean draws these too. The digits are those of kgan.data.glyphs, in the upright faces, which italics lean.
"""
import numpy as np

from kgan.data import glyphs
from kgan.data.cache import cached
from kgan.data.onthefly import Mismatched
from kgan.data.source import Source

ATTRIBUTES = {"label": tuple("0123456789"), "color": tuple(glyphs.PALETTE), "size": ("small", "large"),
              "slant": ("upright", "italic")}
# {name} stands for the word of an attribute
WORDINGS = tuple(text.split() for text in (
    "a {size} {color} {label} in {slant}", "{color} {label} , {size} and {slant}", "the digit {label} in {color} , {size} and {slant}",
    "{slant} {label} , {size} , in {color}"))
WORDS = ("", *dict.fromkeys(word for wording in WORDINGS for word in wording if "{" not in word),
         *(word for words in ATTRIBUTES.values() for word in words))
LENGTH = max(map(len, WORDINGS))
SPLITS = {"train": (0, 30_000), "test": (1, 5_000)}  # name: (stream of the seed, default count)

FACES = [number for number, name in enumerate(glyphs.FONTS) if not any(word in name for word in ("Oblique", "Ita"))]
HEIGHT = ((0.34, 0.41), (0.60, 0.70))  # of small and large ones, in picture sides
SHEAR = ((-0.04, 0.04), (0.32, 0.44))  # of upright and italic ones, as kgan.data.glyphs.SLANT
ASPECT, ROTATION, WEIGHT, SHIFT = (0.9, 1.12), (-0.08, 0.08), (0.0, 0.03), 0.06

_NUMBER = {word: number for number, word in enumerate(WORDS)}
# [wordings, LENGTH] of numbers of words, and -1 - a for attribute a; [attributes, values] of numbers of words
_FORMS = np.array([[-1 - list(ATTRIBUTES).index(word.strip("{}")) if "{" in word else _NUMBER[word] for word in wording]
                   + [0] * (LENGTH - len(wording)) for wording in WORDINGS])
_VALUES = np.array([[_NUMBER[word] for word in words] + [0] * (10 - len(words)) for words in ATTRIBUTES.values()])


def source(image_size=32, split="train", count=None, seed=0):
    """Draws the pictures and words their captions, or opens them if that was done before.

    Args:
        image_size: int, 28 to 128.
        split: "train", without what is held back, or "test", in which half are of pairs that are held back.
        count: how many; None for 30,000 ("train") or 5,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `image` uint8 [N, S, S, 3]; `caption` int32 [N, LENGTH], numbers of WORDS; `mismatch`, the caption of
        something else, in half of the cases of what differs in one attribute; and each of ATTRIBUTES, int64 [N].

    Raises:
        DataError: an argument out of range, or a matplotlib that came without its fonts.
    """
    glyphs.check("captions", image_size, 3, SPLITS, split, count, seed)
    stream, default = SPLITS[split]
    key = {"version": 1, "image_size": int(image_size), "stream": stream, "count": int(default if count is None else count),
           "seed": int(seed)}
    arrays, _ = cached("captions", key, lambda directory: _write(directory, **key))
    values = np.stack([arrays[name] for name in ATTRIBUTES], 1)
    told = {"words": list(WORDS), "tokens": "words"}
    return Source("captions", {**arrays, "mismatch": Mismatched(arrays["caption"], lambda row, rng: _near(values[row], rng))},
                  {name: list(words) for name, words in ATTRIBUTES.items()}, kinds={"caption": "tokens", "mismatch": "tokens"},
                  more={"caption": told, "mismatch": told})


def held_back(values):
    """Which rows of attributes int [n, 4] are of a pair of digit and colour that training never sees, bool [n].

    Of each colour one digit: 8 of 80 pairs.
    """
    return (3 * values[:, 0] + values[:, 1]) % 10 == 0


def attributes(tokens, words):
    """What captions say, int [n, 4] in the order of ATTRIBUTES; -1 where one is silent about an attribute.

    Args:
        tokens: int [n, T], of a vocabulary `words`.
    """
    places = np.full((len(ATTRIBUTES), len(words)), -1)
    for row, values in zip(places, ATTRIBUTES.values()):
        for value, word in enumerate(values):
            if word in words:
                row[list(words).index(word)] = value
    return np.stack([row[np.asarray(tokens)].max(1) for row in places], 1)


def captions(values, wording):
    """Attributes int [n, 4] in these of WORDINGS, int [n] -> int32 [n, LENGTH]."""
    form = _FORMS[wording]
    attribute = np.maximum(-1 - form, 0)
    said = _VALUES[attribute, np.take_along_axis(values, attribute, 1)]
    return np.where(form < 0, said, form).astype(np.int32)


def _near(values, rng):
    """The caption of what differs in one attribute, int32 [LENGTH]."""
    values, which = values.copy(), rng.integers(len(ATTRIBUTES))
    count = len([*ATTRIBUTES.values()][which])
    values[which] = (values[which] + rng.integers(1, count)) % count
    return captions(values[None], rng.integers(len(WORDINGS), size=1))[0]


def _write(directory, version, image_size, stream, count, seed):
    rng = np.random.default_rng([seed, stream])
    step = max(1, glyphs.CHUNK // image_size ** 2)
    image = np.lib.format.open_memmap(directory / "image.npy", mode="w+", dtype=np.uint8, shape=(count, image_size, image_size, 3))
    found = {name: [] for name in ("caption", *ATTRIBUTES)}
    for start in range(0, count, step):
        drawn, values, wording = _draw(min(step, count - start), rng, both=stream == 1)
        image[start:start + step] = glyphs.paint(drawn, glyphs.coverage(drawn, image_size))
        found["caption"].append(captions(values, wording))
        for name, column in zip(ATTRIBUTES, values.T):
            found[name].append(column)
    for name, parts in found.items():
        np.save(directory / f"{name}.npy", np.concatenate(parts))
    image.flush()
    return {}


def _draw(count, rng, both):
    """(what kgan.data.glyphs draws, attributes int64 [count, 4], wordings) of so many pictures.

    `both`: whether half of the pairs of digit and colour are those held back; else none is.
    """
    # one row a picture, so that a picture does not depend on how many are drawn, or are drawn at once
    uniform = iter(rng.random((count, 20)).T)

    def between(low, high):
        return low + (high - low) * next(uniform)

    values = np.stack([next(uniform) * len(words) for words in ATTRIBUTES.values()], 1).astype(np.int64)
    unseen = (next(uniform) < 0.5) & both
    # the digit of this colour that is held back: 3 d + c = 0 (mod 10), and 7 is the inverse of 3
    values[:, 0] = np.where(unseen, -7 * values[:, 1] % 10, values[:, 0])
    values[:, 0] = np.where(~unseen & held_back(values), (values[:, 0] + 1 + 9 * next(uniform)).astype(int) % 10, values[:, 0])
    label, color, size, slant = values.T
    wording, font = ((next(uniform) * number).astype(np.int64) for number in (len(WORDINGS), len(FACES)))
    font = np.array(FACES)[font]
    height, shear = (between(*np.array(table)[which].T) for table, which in ((HEIGHT, size), (SHEAR, slant)))
    aspect, angle, weight = between(*ASPECT), between(*ROTATION), between(*WEIGHT).astype(np.float32)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.einsum("ijn,jkn,n->nik", rotation, np.array([[aspect, shear], [np.zeros(count), np.ones(count)]]), height)
    points = np.einsum("nij,nkj->nki", matrix, glyphs.faces()[1][font * 10 + label])
    offset = SHIFT * np.stack([between(-1, 1), between(-1, 1)], 1) - (points.min(1) + points.max(1)) / 2
    hue, turn, toward, side = between(0, 1), between(-0.12, 0.12), between(0, 2 * np.pi), next(uniform)
    return {"label": label, "font": font, "color": color, "weight": weight, "matrix": matrix, "offset": offset,
            "ground": glyphs.ground(color, hue, turn, side),
            "direction": np.stack([np.cos(toward), np.sin(toward)], 1)}, values, wording
