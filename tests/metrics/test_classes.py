import math

import numpy as np
import prdc
import pytest
from scipy.spatial.distance import pdist

import kgan.data
from kgan.metrics.classes import per_class, score, shares


# === Score ===

def test_score_by_hand():
    # sure of four classes, all as frequent
    assert score(np.tile(np.eye(4), (5, 1)), 5) == (pytest.approx(4), pytest.approx(0, abs=1e-12))
    # sure of each, in one class
    assert score([[1, 0, 0]] * 20) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    # sure of nothing
    assert score(np.full((20, 10), 0.1)) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    # log 2 − H(.9, .1) = .6931472 − .3250830 = .3680642, whose exponential is 1.444935
    assert score([[0.9, 0.1], [0.1, 0.9]] * 3, 1)[0] == pytest.approx(1.444935, abs=1e-6)
    # p(y) = (.75, .25): KL of (1, 0) is log 4/3 = .2876821, of (.5, .5) it is ½ log 2/3 + ½ log 2 = .1438410
    assert score([[1, 0], [0.5, 0.5]], 1)[0] == pytest.approx(math.exp((0.2876821 + 0.1438410) / 2), abs=1e-6)


def test_parts_by_hand():
    # rows 0, 2 are sure of different classes, 2; rows 1, 3 are the same, 1: mean 1.5, deviation √½ over √2
    mean, error = score([[1, 0], [0.3, 0.7], [0, 1], [0.3, 0.7]], 2)
    assert (mean, error) == (pytest.approx(1.5), pytest.approx(0.5))
    assert math.isnan(score(np.eye(2), 1)[1])


def test_sorted_samples_score_like_shuffled_ones():
    probabilities = np.repeat(0.9 * np.eye(5) + 0.02, 40, 0)
    assert score(probabilities)[0] == pytest.approx(score(probabilities, 1)[0], rel=1e-9)


def test_score_of_float32_is_in_float64():
    logits = np.random.default_rng(0).normal(0, 40, (5000, 1000)).astype(np.float32)
    exponentials = np.exp(logits - logits.max(1, keepdims=True))  # mostly 0
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    assert (probabilities == 0).any()
    p = probabilities.astype(np.float64)
    divergence = np.where(p > 0, p * (np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(p.mean(0), 1e-300))), 0).sum(1)
    assert score(probabilities, 1)[0] == pytest.approx(np.exp(divergence.mean()), rel=1e-9)


def test_score_errors():
    with pytest.raises(ValueError, match="at least 20 samples and one part, got 19 samples"):
        score(np.full((19, 2), 0.5))
    for wrong in ([[2.0, -1]] * 20, [[0.5, 0.6]] * 20, [[np.nan, 1]] * 20):
        with pytest.raises(ValueError, match="each row must be a distribution"):
            score(wrong)
    with pytest.raises(ValueError, match=r"must be \[N, K\], not of shape \(20,\)"):
        score(np.ones(20))


# === Shares ===

def test_shares():
    assert shares([0, 2, 2, 0, 2], 4).tolist() == [0.4, 0, 0.6, 0]
    assert np.isnan(shares([], 3)).all()
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match="labels must be 0 to 2"):
            shares(wrong, 3)


# === Each class ===

@pytest.fixture(scope="module")
def digits(shared_cache):
    """2,000 glyphs as float32 [2000, 784], and their labels."""
    arrays = kgan.data.source("glyphs", split="test").arrays
    return arrays["image"][:2000].reshape(2000, -1).astype(np.float32), np.array(arrays["label"][:2000])


def test_per_class_is_that_of_the_class_alone(digits):
    (real, fake), (real_labels, fake_labels) = (np.split(one, 2) for one in digits)
    fake = fake + np.random.default_rng(0).normal(0, 25, fake.shape).astype(np.float32)
    figures = per_class(real, real_labels, fake, fake_labels)
    assert list(figures) == list(range(10))
    for label, found in figures.items():
        own, other = real[real_labels == label].astype(float), fake[fake_labels == label].astype(float)
        assert (found["real"], found["fake"]) == (len(own), len(other))
        assert found["fidelity"] == pytest.approx(prdc.compute_prdc(own, other, 3)["precision"], abs=1e-9)
        assert found["diversity"] == pytest.approx(pdist(other).mean() / pdist(own).mean(), rel=1e-6)
    assert 0 < np.mean([found["fidelity"] for found in figures.values()]) < 1


def test_per_class_tells_what_is_wrong_with_each(digits):
    (real, fake), (real_labels, fake_labels) = (np.split(one.copy(), 2) for one in digits)
    fake[fake_labels == 1] = fake[np.flatnonzero(fake_labels == 1)[0]]  # collapsed
    fake[fake_labels == 2] = 255 - fake[fake_labels == 2]  # not like real ones
    dropped = fake_labels == 3
    figures = per_class(real, real_labels, fake[~dropped], fake_labels[~dropped])
    assert figures[1]["diversity"] == 0
    assert figures[2]["fidelity"] == 0 and figures[2]["diversity"] == pytest.approx(1, abs=0.1)
    assert figures[3]["fake"] == 0 and math.isnan(figures[3]["fidelity"]) and math.isnan(figures[3]["diversity"])
    for label in (0, 4, 5, 6, 7, 8, 9):
        assert figures[label]["fidelity"] > 0.5 and figures[label]["diversity"] == pytest.approx(1, abs=0.1)


def test_too_few_of_a_class():
    random = np.random.default_rng(0)
    features, labels = random.random((9, 2)), np.array([0] * 5 + [1] * 4)
    figures = per_class(features, labels, features + 0.01, labels)
    assert 0 < figures[0]["fidelity"] <= 1 and figures[0]["diversity"] == pytest.approx(1)
    assert math.isnan(figures[1]["fidelity"]) and math.isnan(figures[1]["diversity"])
    same = per_class(np.ones((5, 2)), np.zeros(5, int), features[:5], np.zeros(5, int))
    assert same[0]["fidelity"] == 0 and math.isnan(same[0]["diversity"])


def test_the_cap(digits):
    (real, fake), (real_labels, fake_labels) = (np.split(one, 2) for one in digits)
    whole = per_class(real, real_labels, fake, fake_labels)
    assert per_class(real, real_labels, fake, fake_labels, cap=200) == whole  # no class has more
    capped = [per_class(real, real_labels, fake, fake_labels, cap=40, seed=seed) for seed in (0, 0, 1)]
    assert capped[0] == capped[1] != capped[2]
    assert [one["real"] for one in capped[0].values()] == [one["real"] for one in whole.values()]
    # a class's figures do not depend on which other ones there are
    some = np.isin(real_labels, (4, 7))
    assert per_class(real[some], real_labels[some], fake, fake_labels, cap=40)[7] == capped[0][7]


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels of shape \(4,\) for 5 generated samples"):
        per_class(np.ones((5, 2)), np.zeros(5), np.ones((5, 2)), np.zeros(4))
