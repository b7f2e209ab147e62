import numpy as np
import pytest

from kgan import kinds
from kgan.kinds import Field, tokens

WORDS = ["", tokens.UNKNOWN, "a", "red", "7", "don't", "."]
FIELD = Field("tokens", (5,), more={"words": WORDS, "tokens": "words"})


def test_words_and_characters():
    assert tokens.split("A red 7, don't!  ") == ["a", "red", "7", ",", "don't", "!"]
    assert tokens.split("床前 明月光", "characters") == ["床", "前", " ", "明", "月", "光"]
    assert tokens.join(["a", "red", "7"]) == "a red 7" and tokens.join(["明", "月"], "characters") == "明月"
    assert tokens.split("é") == tokens.split("e\N{COMBINING ACUTE ACCENT}") == ["é"]


def test_read_and_write():
    found = tokens.read("A red 7.".encode(), FIELD)
    assert found.dtype == np.int32 and found.tolist() == [2, 3, 4, 6, 0]
    assert tokens.write(found, words=WORDS).decode() == "a red 7 .\n"
    assert tokens.read(b"a blue 7", FIELD).tolist() == [2, 1, 4, 0, 0]  # blue is not known


@pytest.mark.parametrize("text, message", [
    (b"a red 7 . . .", "has 6 words; at most 5"), (b"  ", "is empty"), (b"\xff", "no text in UTF-8"), (b"a" * 70_000, "70000 bytes")])
def test_what_is_no_text(text, message):
    with pytest.raises(ValueError, match=message):
        tokens.read(text, FIELD)


def test_a_word_of_a_vocabulary_without_unknown_ones_is_refused():
    field = Field("tokens", (3,), more={"words": ["", "a", "red"], "tokens": "words"})
    with pytest.raises(ValueError, match="'blue' is none of the 3 words that this generator knows: a, red"):
        tokens.read(b"a blue", field)
    field = Field("tokens", (3,), more={"words": ["0", "1"], "tokens": "words"})
    with pytest.raises(ValueError, match="has 2 words; 3 are needed"):  # there is no end that could fill it up
        tokens.read(b"0 1", field)


def test_a_text_ends_at_its_first_end():
    samples = np.array([[2, 3, 0, 4, 4], [4, 4, 4, 4, 4]])
    assert tokens.lines(samples, WORDS) == ["a red", "7 7 7 7 7"]
    assert tokens.beside(samples, WORDS) == {".txt": b"a red\n7 7 7 7 7\n"}
    assert tokens.lines(samples, ["b", *WORDS[1:]])[0] == "a red b 7 7"  # without an end 0 is a word


def test_sheets():
    samples = tokens.examples(FIELD, 6, seed=1)
    sheet = tokens.sheet(samples, words=WORDS)
    assert sheet.width >= 512 and np.asarray(sheet).min() < 50
    small = tokens.sheet(samples, smallest=0, columns=2, words=WORDS)
    assert small.size == tokens.sheet_size(None, 6, 2)[::-1]
    assert (np.asarray(tokens.sheet(samples[:1], smallest=0, words=WORDS)) != np.asarray(tokens.sheet(
        samples[1:2], smallest=0, words=WORDS))).any()


def test_examples():
    made = tokens.examples(FIELD, 50, seed=1)
    assert made.shape == (50, 5) and made.dtype == np.int32 and made.max() == 6
    np.testing.assert_array_equal(made, tokens.examples(FIELD, 50, seed=1))
    lengths = (made != 0).sum(1)
    assert lengths.min() >= 2 and lengths.max() == 5 and (np.diff((made == 0).astype(int), axis=1) >= 0).all()
    tokens.check(made, WORDS)
    with pytest.raises(ValueError, match="numbers from 0 to 9, and the vocabulary has 7 words"):
        tokens.check(np.array([0, 9]), WORDS)


def test_numbers_have_a_range():
    number = kinds.get("number")
    made = number.examples(Field("number", (), more={"range": [0.5, 2.0]}), 100)
    assert made.dtype == np.float32 and 0.5 <= made.min() < 0.7 and 1.8 < made.max() <= 2
