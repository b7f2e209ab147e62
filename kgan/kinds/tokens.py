"""Tokens: a text as the numbers of its words or characters in a vocabulary, int32 [T].

`Field.more` has `words`, the vocabulary, the text of number 0 first, and `tokens`: "words" or "characters". Where the first is
"", number 0 is the end: it fills up what is shorter than T. UNKNOWN, where it is in the vocabulary, stands for all others.
"""
import re
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FIELD, OUTPUT, UNIT = "tokens", "tokens", "texts"
DTYPE = "int32"  # of what networks take and give; of other kinds float32
RANGE = None
MORE = {"words": [""], "tokens": "words"}
PLOT = False
SHOWN = 32
MEDIA = {"text/plain": ".txt"}
SUFFIXES = ()  # a text is a part of a form, not a file

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
MAX_BYTES = 1 << 16  # of a text that `read` reads
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_LINE, _SIZE = 15, 11  # pixels of a line in a sheet, of its letters
_CELL = 144, 32  # (width, height) of a text beside other samples


def store(values):
    return np.rint(np.asarray(values)).astype(np.int32)


def check(values, words=("",)):
    """Raises ValueError where numbers are of no word."""
    if values.size and not 0 <= values.min() <= values.max() < len(words):
        raise ValueError(f"tokens: numbers from {values.min()} to {values.max()}, and the vocabulary has {len(words)} words, from 0 on")


# === Texts ===

def split(text, tokens="words"):
    """The tokens of a text: words in lower case and marks, or all characters, spaces as one."""
    text = unicodedata.normalize("NFC", text)
    if tokens == "words":
        return _WORD.findall(text.lower())
    return list(" ".join(text.split()))


def join(parts, tokens="words"):
    """Tokens as a text. Words have spaces between them: where there were none before a mark is not known."""
    return (" " if tokens == "words" else "").join(parts)


def numbers(parts, field, places=None):
    """Tokens as int32 [T].

    `places`: dict of word to number, where many texts are of one vocabulary.

    Raises:
        ValueError: there are too many or too few, or one is not in a vocabulary that has no UNKNOWN.
    """
    words, length = field.more["words"], field.shape[0]
    places = places or {word: number for number, word in enumerate(words)}
    if length and len(parts) > length:
        raise ValueError(f"the text has {len(parts)} {field.more['tokens']}; at most {length} go in")
    if words[0] and length and len(parts) < length:
        raise ValueError(f"the text has {len(parts)} {field.more['tokens']}; {length} are needed")
    strange = [part for part in parts if part not in places]
    if strange and UNKNOWN not in places:
        known = ", ".join(words[1:24] if not words[0] else words[:24])
        raise ValueError(f"{strange[0]!r} is none of the {len(words)} {field.more['tokens']} that this generator knows: "
                         f"{known}{' …' if len(words) > 24 else ''}")
    found = np.zeros(length or max(1, len(parts)), np.int32)
    found[:len(parts)] = [places.get(part, places.get(UNKNOWN)) for part in parts]
    return found


def lines(samples, words=("",), tokens="words"):
    """The texts of many samples, a list of str; those of a vocabulary that is not known as numbers."""
    if len(words) < 2:
        return [" ".join(map(str, store(sample))) for sample in samples]
    found = []
    for sample in store(samples):
        known = [int(number) for number in sample]
        if not words[0] and 0 in known:
            known = known[:known.index(0)]
        found.append(join([words[number] for number in known], tokens))
    return found


def read(data, field):
    """The bytes of a text (UTF-8) as int32 [T]. Raises ValueError: it is none, too long, or has words that are not known."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"the text has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("this is no text in UTF-8") from None
    parts = split(text, field.more.get("tokens", "words"))
    if not parts:
        raise ValueError("the text is empty")
    return numbers(parts, field)


def write(sample, media="text/plain", words=("",), tokens="words"):
    """A sample's text as UTF-8, with a line feed at its end."""
    return (lines(np.asarray(sample)[None], words, tokens)[0] + "\n").encode()


def beside(samples, words=("",), tokens="words"):
    """The texts of many samples, a line each, as a file: Pillow has no letters for many a language."""
    return {".txt": "".join(f"{line}\n" for line in lines(samples, words, tokens)).encode()}


# === Pictures ===

def sheet(samples, behind=None, columns=8, smallest=512, words=("",), tokens="words"):
    """A picture of texts, a line each, PIL.Image (L); of `smallest` 0 small blocks of wrapped text, as beside other samples.

    Pillow's own font draws it: what that lacks, Chinese for instance, is a box here; `beside` has the texts themselves.
    """
    texts = lines(samples, words, tokens)
    if not smallest:
        columns = min(columns, len(texts))
        height, width = sheet_size(None, len(texts), columns)
        picture = Image.new("L", (width, height), "white")
        for i, text in enumerate(texts):
            left, top = i % columns * (_CELL[0] + 2), i // columns * (_CELL[1] + 2)
            picture.paste(_block(text), (left, top))
        return picture
    font = ImageFont.load_default(_SIZE)
    width = max([smallest, *(int(font.getlength(text)) + 8 for text in texts)])
    picture = Image.new("L", (min(width, 2048), _LINE * len(texts) + 8), "white")
    pen = ImageDraw.Draw(picture)
    for i, text in enumerate(texts):
        pen.text((4, 4 + i * _LINE), text, "black", font)
    return picture


def _block(text):
    picture, font = Image.new("L", _CELL, "white"), ImageFont.load_default(9)
    rows = [""]
    for word in text.split(" "):
        if rows[-1] and font.getlength(f"{rows[-1]} {word}") > _CELL[0] - 4:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    pen, middle = ImageDraw.Draw(picture), max(0, (_CELL[1] - 10 * len(rows)) // 2)
    for i, row in enumerate(rows):
        pen.text((2, middle + 10 * i), row, "black", font)
    return picture


def sheet_size(shape, count=1, columns=1, gap=2):
    columns = min(columns, count)
    return tuple(many * (side + gap) - gap for many, side in zip((-(-count // columns), columns), _CELL[::-1]))


def examples(field, count, seed=0):
    """Random tokens, int32 [count, T]; where texts may be shorter, of lengths from T / 2 on. A free T is 8."""
    length, words = field.shape[0] or 8, field.more.get("words") or [""] * 2
    rng = np.random.default_rng(seed)
    ends = not words[0]
    found = rng.integers(int(ends), len(words), (count, length), dtype=np.int32)
    if ends:
        found[np.arange(length) >= rng.integers(max(1, length // 2), length + 1, (count, 1))] = 0
    return found
