"""Folders of texts, a line each: `--model=seqgan --dataset=folder:PATH`. Words, or characters where a language has no spaces.

    PATH/*.txt                        all lines of all files, at any depth; UTF-8
    PATH/test*.txt, PATH/test/…       of files and folders whose names begin so: the test split
    PATH/oracle.npz                   sequences of this oracle, see kgan.data.oracle

The vocabulary is that of the training split: the end "", UNKNOWN if there are words beyond the `vocabulary` most frequent
ones, or in the test split alone, and these, the most frequent first.
"""
import collections
import os

import numpy as np

from kgan.data import files, oracle
from kgan.data.cache import cached, expanded
from kgan.data.source import DataError, Source
from kgan.kinds import Field
from kgan.kinds.tokens import UNKNOWN, numbers, split as cut

SUFFIX = ".txt"
COVERED = 0.99  # of the lines: as long as they are is a text by default
LONGEST = 512  # tokens
_SPACELESS = 12  # characters a word on average, above which a text can hardly have spaces between words


def source(path, tokens="words", vocabulary=5_000, length=0, split="train"):
    """The lines of the text files below a folder, in the order of the files' names; empty ones are left out.

    Args:
        path: the folder.
        tokens: "words", in lower case, marks as words of their own; or "characters".
        vocabulary: different tokens at most; all others are UNKNOWN.
        length: tokens of a text at most, longer ones are left out and counted; 0: as long as COVERED of the training lines.
        split: "train" or "test".

    Returns:
        Source of `tokens`, int32 [N, length]: numbers of the vocabulary, 0 behind the end.

    Raises:
        DataError: no such folder, no lines in it, a file that is no UTF-8, or no such split.
    """
    if split not in ("train", "test"):
        raise DataError(f"folder:{path}: texts have the splits train and test, not {split!r}")
    root = os.path.realpath(expanded(str(path), "folder:"))
    if os.path.isfile(os.path.join(root, oracle.FILE)):
        return oracle.published(path, split)
    found, left_out = listing(root)
    if not found[split]:
        raise DataError(f"folder:{path}: no {SUFFIX} files in it" if not any(found.values()) else
                        f"folder:{path} has no split {split!r}: its texts lie in files named {split}*{SUFFIX} or a folder {split}")
    key = dict(kind="texts", version=2, root=root, files=found, split=split, tokens=tokens, vocabulary=vocabulary, length=length)
    arrays, notes = cached(f"texts-{os.path.basename(root)}", key,
                           lambda directory: _write(directory, root, found, tokens, vocabulary, length, split))
    note = files.note(left_out, images=False)
    if split == "train" and found["test"]:
        note += f" {len(found['test'])} of {len(found['test']) + len(found['train'])} files are the test split, for their names or their " \
            "folders' begin with test."
    return Source(f"folder:{path}", arrays, note=" ".join(filter(None, (notes["note"], note.strip()))), kinds={"tokens": "tokens"},
                  more={"tokens": {"words": notes["words"], "tokens": tokens}})


def listing(root):
    """Text files below a folder by split, and what is left out: dict of "train" and "test" to sorted lists of [relative path, size, time
    in ns]; dict as of `kgan.data.files.survey`."""
    found, (texts, left_out) = {"train": [], "test": []}, files.survey(root, (SUFFIX,))
    for stamp in texts:
        test = any(part.lower().startswith("test") for part in stamp[0].split("/"))
        found["test" if test else "train"].append(stamp)
    return found, left_out


def lines_of(root, names):
    """The lines of files, without those that are empty. Raises DataError: a file cannot be read, or is no UTF-8."""
    found = []
    for name in names:
        place = os.path.join(root, name)
        try:
            text = files.contents(place).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: is no text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None
        if "\0" in text:
            raise DataError(f"{place}: is no text in UTF-8 (it holds zeros, as UTF-16 does): save it as UTF-8")
        found += [line.strip() for line in text.splitlines() if line.strip()]
    return found


def vocabulary_of(texts, size, held=()):
    """The words of a vocabulary of at most `size`, of texts that are lists of tokens: "", perhaps UNKNOWN, the most frequent.

    UNKNOWN is there where there are more words, or others in the texts of `held`, the test split.
    """
    counts = collections.Counter(part for text in texts for part in text)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    if len(ordered) + 1 <= size and all(part in counts for text in held for part in text):
        return ["", *ordered]
    return ["", UNKNOWN, *(word for word in ordered[:size - 2] if word != UNKNOWN)]


def encoded(texts, words, tokens, length):
    """Texts, lists of at most `length` tokens, as int32 [n, length]."""
    places = {word: number for number, word in enumerate(words)}
    field = Field("tokens", (length,), more={"words": words, "tokens": tokens})
    return np.stack([numbers(text, field, places) for text in texts])


def _write(directory, root, found, tokens, vocabulary, length, split):
    train = [cut(line, tokens) for line in lines_of(root, [name for name, *_ in found["train"]])]
    if not train:
        raise DataError(f"{root}: the text files hold no lines to train on")
    test = [cut(line, tokens) for line in lines_of(root, [name for name, *_ in found["test"]])]
    words = vocabulary_of(train, vocabulary, test)
    longest = length or int(np.ceil(np.quantile([len(text) for text in train], COVERED)))
    if longest > LONGEST:
        raise DataError(f"{root}: a line of it has {longest} {tokens}, and texts of at most {LONGEST} are learned: put a sentence on "
                        f"each line, or leave longer ones out by --set length={LONGEST}")
    texts = train if split == "train" else test
    kept = [text for text in texts if len(text) <= longest]
    if not kept:
        raise DataError(f"{root}: no line has at most length={longest} {tokens}")
    np.save(directory / "tokens.npy", encoded(kept, words, tokens, longest))
    return {"note": _note(texts, kept, words, tokens, longest), "words": words}


def _note(texts, kept, words, tokens, longest):
    note = "" if len(kept) == len(texts) else f"{len(texts) - len(kept)} of {len(texts)} lines have more than {longest} {tokens} and are left out. "
    return (note + remarks(texts, words, tokens)).strip()


def remarks(texts, words, tokens):
    """What is to be said of texts, lists of tokens, and their vocabulary, or ""."""
    note, every = "", [part for text in texts for part in text]
    if UNKNOWN in words:
        if unknown := len(every) - sum(map(set(words).__contains__, every)):
            note += f"{100 * unknown / len(every):.1f} % of the {tokens} are none of the {len(words) - 2} most frequent ones: they count as unknown. "
    if tokens == "words" and sum(map(len, every)) > _SPACELESS * len(every):
        note += "The words are very long: is it a language without spaces? --set tokens=characters takes these. "
    return note.strip()
