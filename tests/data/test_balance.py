"""Classes that come equally often, and classes that are combinations of several fields."""
import numpy as np
import pytest

import kgan.data
from kgan.data import balance, folder
from kgan.data.balance import Balanced
from kgan.data.source import DataError, Source
from tests.data.test_folder import fill

LABELS = np.repeat([0, 1, 3], [50, 11, 2])  # no example is of class 2


def source(**fields):
    count = len(next(iter(fields.values()))) if fields else len(LABELS)
    image = np.zeros((count, 2, 2, 1), np.uint8)
    image[:, 0, 0, 0] = np.arange(count)
    return Source("made", {"image": image, **({name: np.asarray(values) for name, values in fields.items()} or {"label": LABELS})},
                  {} if fields else {"label": list("abcd")})


# === Balance ===

def test_each_class_comes_equally_often():
    order = Balanced(LABELS[1:], seed=4)  # 62 rows of three classes: 20 of each, and two that go round
    dealt = np.zeros(4, int)
    for epoch in range(7):
        rows = order(epoch)
        assert len(rows) == 62
        counts = np.bincount(LABELS[1:][rows], minlength=4)
        assert {*counts[[0, 1, 3]]} <= {20, 21} and counts[2] == 0
        dealt += counts
        assert np.ptp(dealt[[0, 1, 3]]) <= 1


def test_within_a_class_all_come_before_one_comes_again():
    order = Balanced(LABELS, seed=4)
    seen = [row for epoch in range(6) for row in order(epoch) if LABELS[row] == 0]  # 126 of 50
    counts = np.bincount(seen, minlength=50)[:50]
    assert counts.sum() == 126 and {*counts} == {2, 3}


def test_the_order_is_a_function_of_seed_and_epoch():
    one, same, other = Balanced(LABELS, 1), Balanced(LABELS, 1), Balanced(LABELS, 2)
    for epoch in (3, 0, 10**9, 3):  # in any order of asking
        np.testing.assert_array_equal(one(epoch), same(epoch))
    assert (one(0) != other(0)).any() and (one(0) != one(1)).any() and (one(0)[:10] != np.sort(one(0))[:10]).any()


def test_batches_are_balanced_and_resume():
    def labels(start, count):
        batches = kgan.data.batches(source(), 21, seed=1, repeat=True, start=start, balance="label")
        return np.array([batch["label"] for batch in batches.take(count).as_numpy_iterator()])
    whole = labels(0, 6)
    np.testing.assert_array_equal(labels(4, 2), whole[4:])
    assert np.bincount(whole[:3].ravel()).tolist() == [21, 21, 0, 21]


def test_what_is_said():
    note = balance.noted(source(), "label").note
    assert note == ("--balance: an epoch has about 21 examples of each of 3 classes; each of the 2 of d comes 10 times, each of the 50 of a "
                    "0.42 times.")
    assert balance.noted(source(), "").note == ""
    assert [balance.field(settings) for settings in ({}, {"balance": True}, {"balance": True, "config": {"condition": "age"}})] == \
        ["", "label", "age"]
    with pytest.raises(DataError, match="--balance: made has no classes to balance"):
        balance.noted(source(age=[1.0, 2.0]), "label")


# === Several conditions ===

def both():
    return Source("made", {"image": np.zeros((6, 2, 2, 1), np.uint8), "font": np.array([0, 0, 1, 1, 1, 0]), "age": np.array([1., 9, 1, 9, 1, 1])},
                  {"font": ["sans", "serif"]})


def test_combinations_that_occur():
    found = both().by("font+age", 2)
    assert found.classes["font+age"] == ["font=sans, age=1", "font=sans, age=9", "font=serif, age=1", "font=serif, age=9"]
    assert found.arrays["font+age"].tolist() == [0, 1, 2, 3, 2, 0]
    few = both()
    few.arrays["age"] = np.array([1., 9, 1, 1, 1, 1])
    assert few.by("age+font", 2).classes["age+font"] == ["age=1, font=sans", "age=1, font=serif", "age=9, font=sans"]


def test_a_test_split_has_the_training_splits_combinations():
    train, test = both(), both()
    train.arrays["age"] = np.array([1., 9, 1, 1, 1, 1])
    like = train.by("font+age", 2)
    found = test.by("font+age", 2, like=like)
    assert found.classes == {**found.classes, "font+age": like.classes["font+age"]} and len(found) == 5
    assert found.arrays["font+age"].tolist() == [0, 1, 2, 2, 0] and "1 examples, of combinations that the training split lacks" in found.note
    with pytest.raises(DataError, match="has none of the combinations"):
        gone = both()
        gone.arrays.update({"font": np.full(6, 1), "age": np.full(6, 9.0)})
        gone.by("font+age", 2, like=like)


@pytest.mark.parametrize("field, message", [
    ("font+", r"condition=font\+: joins fields by \+, each once"), ("font+font", "each once"), ("font+size", "condition=size: made has no such")])
def test_what_cannot_be_joined(field, message):
    with pytest.raises(DataError, match=message):
        both().by(field, 2)


def test_columns_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "images"
    fill(root, [f"{i:02}.png" for i in range(12)])
    (root / "labels.csv").write_text("image,font,size,other\n" + "".join(
        f"{i:02}.png,{'ab'[i % 2]},{'xyz'[i % 3]},{'' if i == 3 else 1}\n" for i in range(12)))
    found = kgan.data.of({"dataset": f"folder:{root}", "image_size": 8, "config": {"condition": "font+size"}})
    assert len(found.classes["font+size"]) == 6 and found.classes["font+size"][0] == "font=a, size=x" and len(found) == 12
    assert "other" not in found.arrays
    with pytest.raises(DataError, match=r"condition=font\+sizes: .*labels.csv has no such column .did you mean 'size'"):
        folder.source(root, 8, attributes="font+sizes")
