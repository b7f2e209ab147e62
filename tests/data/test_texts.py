import numpy as np
import pytest
from PIL import Image

import kgan
from kgan.data import captioned, captions, grammar, oracle, texts
from kgan.data.onthefly import Mismatched
from kgan.data.source import DataError
from kgan.kinds import tokens


def folder(path, **files):
    for name, lines in files.items():
        (path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    return str(path)


# === Files of texts ===

def test_lines(tmp_path):
    path = folder(tmp_path, one=["A cat sat.", "", "a cat"], two=["a dog"], test_=["a cow"])
    found = kgan.data.of({"dataset": f"folder:{path}", "config": {"tokens": "words", "vocabulary": 50}}, {"tokens": "tokens"})
    field = found.fields["tokens"]
    assert field.kind == found.kind == "tokens" and field.more["words"] == ["", tokens.UNKNOWN, "a", "cat", ".", "dog", "sat"]
    assert tokens.lines(found.arrays["tokens"], **field.more) == ["a cat sat .", "a cat", "a dog"]
    assert found.arrays["tokens"].dtype == np.int32 and found.arrays["tokens"][1].tolist() == [2, 3, 0, 0] and found.note.count("unknown") == 0
    # a word of the test split alone, the cow, is none that is learned
    held = texts.source(path, split="test")
    assert held.arrays["tokens"].tolist() == [[2, 1, 0, 0]] and held.more == found.more and "50.0 % of the words are none of" in held.note
    (tmp_path / "test_.txt").write_text("a dog")
    assert texts.source(path).more["tokens"]["words"] == ["", "a", "cat", ".", "dog", "sat"]


def test_a_bounded_vocabulary_and_length(tmp_path):
    path = folder(tmp_path, one=["a a a b b c", "a b", "d"])
    found = texts.source(path, vocabulary=4, length=3)
    assert found.more["tokens"]["words"] == ["", tokens.UNKNOWN, "a", "b"]
    assert found.arrays["tokens"].tolist() == [[2, 3, 0], [1, 0, 0]]
    assert "1 of 3 lines have more than 3 words" in found.note and "none of the 2 most frequent ones" in found.note
    # the vocabulary of the test split is that of the training split
    folder(tmp_path, test=["c a"])
    assert texts.source(path, vocabulary=4, length=3, split="test").arrays["tokens"].tolist() == [[1, 2, 0]]


def test_a_language_without_spaces(tmp_path):
    path = folder(tmp_path, poems=["床前明月光疑是地上霜举头望明月"] * 4)
    assert "tokens=characters" in texts.source(path).note
    found = texts.source(path, tokens="characters")
    assert found.note == "" and tokens.lines(found.arrays["tokens"][:1], **found.more["tokens"]) == ["床前明月光疑是地上霜举头望明月"]


def test_what_is_no_folder_of_texts(tmp_path):
    with pytest.raises(DataError, match="no .txt files"):
        texts.source(str(tmp_path))
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"a.txt: is no text in UTF-8 .* byte 3"):
        texts.source(str(tmp_path))
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(DataError, match="no lines to train on"):
        texts.source(str(tmp_path))
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match="no split 'test'"):
        texts.source(str(tmp_path), split="test")


@pytest.mark.parametrize("content", [b"", b"PK\3\4nonsense", b"\x93NUMPY\1\0"])
def test_an_oracle_that_is_none(tmp_path, content):
    (tmp_path / "oracle.npz").write_bytes(content)
    with pytest.raises(DataError, match="oracle.npz: is no oracle"):
        texts.source(str(tmp_path))


# === What is drawn ===

def test_the_grammar_makes_valid_sentences_alone():
    found = grammar.source("test", count=200)
    lines = tokens.lines(found.arrays["tokens"], **found.more["tokens"])
    assert all(map(grammar.valid, lines)) and len(set(lines)) > 80
    assert max(len(line.split()) for line in lines) > 9
    np.testing.assert_array_equal(grammar.source("test", count=100).arrays["tokens"], found.arrays["tokens"][:100])


@pytest.mark.parametrize("text, valid", [
    ("x", True), ("x * ( y + 3 ) - z", True), ("( ( x ) )", True), ("", False), ("x +", False), ("x y", False), ("( x", False),
    ("x )", False), ("x + - y", False), ("( )", False), ("( x ) ( y )", False), ("4", False)])
def test_what_is_valid(text, valid):
    assert grammar.valid(text) == valid


def test_the_oracle_knows_its_own_probabilities():
    small = oracle.Oracle.of_seed(1, vocabulary=3, units=2)
    every = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)])
    probability = np.exp(-small.nll(every).sum(1))
    np.testing.assert_allclose(probability.sum(), 1, atol=1e-5)
    drawn = small.sample(20_000, 3, np.random.default_rng(0))
    counts = np.bincount(drawn @ [9, 3, 1], minlength=27) / 20_000
    np.testing.assert_allclose(counts, probability, atol=0.01)
    # what a perfect generator scores is the entropy
    entropy = -(probability * np.log(probability)).sum()
    np.testing.assert_allclose(small.nll(drawn).sum(1).mean(), entropy, atol=0.02)


def test_the_oracle_as_the_published_code_has_it():
    """By the formulas of LantaoYu/SeqGAN, target_lstm.py, with its own order of parts, worked out in float64 for one sequence."""
    made = oracle.Oracle.of_seed(2, vocabulary=5, units=3)
    p = {name: value.astype(np.float64) for name, value in made.parameters.items()}
    h, c, total = np.zeros(3), np.zeros(3), []
    for before, word in zip([0, 4, 1], [4, 1, 0]):
        x = p["embedding"][before]
        gate = {name: 1 / (1 + np.exp(-(x @ p["W" + name] + h @ p["U" + name] + p["b" + name]))) for name in "ifo"}
        c = gate["f"] * c + gate["i"] * np.tanh(x @ p["Wc"] + h @ p["Uc"] + p["bc"])
        h = gate["o"] * np.tanh(c)
        logits = h @ p["W_out"] + p["b_out"]
        total.append(np.log(np.exp(logits).sum()) - logits[word])
    np.testing.assert_allclose(made.nll([[4, 1, 0]])[0], total, atol=1e-5)


def test_an_oracle_of_a_file(tmp_path):
    made = oracle.Oracle.of_seed(3, vocabulary=7, units=2)
    np.savez(tmp_path / "oracle.npz", **made.parameters)
    found = kgan.data.of({"dataset": f"folder:{tmp_path}", "config": {}}, {"tokens": "tokens"})
    assert found.shape == (20,) and found.more["tokens"]["words"] == list("0123456")
    judge = oracle.of(found.name)
    np.testing.assert_allclose(judge.nll([[1, 2]]), made.nll([[1, 2]]))
    assert oracle.of("grammar") is None


# === Captions ===

def test_captions_say_what_is_drawn():
    found = captions.source(28, count=300)
    values = np.stack([found.arrays[name] for name in captions.ATTRIBUTES], 1)
    words = found.more["caption"]["words"]
    np.testing.assert_array_equal(captions.attributes(found.arrays["caption"], words), values)
    line = tokens.lines(captions.captions(np.array([[7, 0, 1, 1]]), np.array([0])), words)
    assert line == ["a large red 7 in italic"]
    assert not captions.held_back(values).any() and set(values[:, 0]) == set(range(10)) and set(values[:, 1]) == set(range(8))
    test = captions.source(28, "test", count=300)
    unseen = captions.held_back(np.stack([test.arrays[name] for name in captions.ATTRIBUTES], 1))
    assert 0.4 < unseen.mean() < 0.6
    # large ones cover more of the picture than small ones, and a picture does not depend on how many are drawn
    ink = np.abs(found.arrays["image"].astype(int) - found.arrays["image"][:, :1, :1]).max(-1) > 60
    assert ink[values[:, 2] == 1].mean() > 1.8 * ink[values[:, 2] == 0].mean()
    np.testing.assert_array_equal(captions.source(28, count=200).arrays["image"], found.arrays["image"][:200])


def test_of_each_colour_one_digit_is_held_back():
    every = np.array([[digit, color, 0, 0] for color in range(8) for digit in range(10)])
    assert captions.held_back(every).reshape(8, 10).sum(1).tolist() == [1] * 8


def test_mismatched_captions():
    found = captions.source(28, count=300)
    rows, positions = np.arange(200) % 300, np.arange(200)
    mismatch = found.arrays["mismatch"].at(rows, positions)
    own, other = (captions.attributes(each, captions.WORDS) for each in (found.arrays["caption"][rows], mismatch))
    apart = (own != other).sum(1)
    assert mismatch.dtype == np.int32 and 0.4 < (apart == 1).mean() < 0.65
    assert (apart > 0).mean() > 0.98  # of another row the wording alone may differ
    np.testing.assert_array_equal(mismatch[50:], found.arrays["mismatch"].at(rows[50:], positions[50:]))
    assert (mismatch != found.arrays["mismatch"].at(rows, positions + 1000)).any()
    plain = Mismatched(np.array([[1], [1], [2]], np.int32))
    assert plain.at([0, 1], [5, 6]).tolist() == [[2], [2]] and plain[2].tolist() == [1]


def test_folders_of_captioned_images(tmp_path):
    for i, name in enumerate(("a", "b", "c")):
        Image.new("RGB", (20, 16), (80 * i, 0, 0)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("a dark square\nanother caption")
    (tmp_path / "c.txt").write_text("A red square")
    settings = {"dataset": f"folder:{tmp_path}", "image_size": 8, "config": {"tokens": "words", "vocabulary": 50}}
    needs = {"caption": "tokens", "image": "image"}
    found = kgan.data.of(settings, needs)
    assert tokens.lines(found.arrays["caption"], **found.more["caption"]) == ["a dark square", "a red square"]
    assert found.arrays["image"].shape == (2, 8, 8, 3) and found.arrays["image"][1, 4, 4].tolist() == [160, 0, 0]
    assert found.arrays["mismatch"][0].tolist() == found.arrays["caption"][1].tolist()
    assert "1 of 3 images have no caption" in found.note
    (tmp_path / "labels.csv").write_text("file,caption\na.png,one\nb.png,two words\nc.png,three\n")
    found = captioned.source(str(tmp_path), 8)
    assert tokens.lines(found.arrays["caption"], **found.more["caption"]) == ["one", "two words", "three"]
    with pytest.raises(DataError, match="no image of the split test has a caption"):
        captioned.source(str(tmp_path), 8, split="test")
