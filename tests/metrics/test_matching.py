import types

import numpy as np
import pytest

from kgan.data import captions
from kgan.metrics import features, matching


def test_r_precision_by_hand():
    """Four pictures; the first two have the same caption, which is no wrong answer for either of them."""
    texts = np.array([[1.0, 0], [1, 0], [0, 1], [0.6, 0.8]])
    images = np.array([[1.0, 0], [0, 1], [0.6, 0.8], [0.5, 0.9]])
    caption = np.array([[1], [1], [2], [3]])
    # the first is nearest to its own; the second's 0 is below 1; of the third .8 is below .36 + .64; of the fourth 1.02 is above .9
    assert matching.r_precision(images, texts, caption) == 0.5
    assert np.isnan(matching.r_precision(images[:2], texts[:2], caption[:2]))  # there is no other caption


def test_by_chance_one_in_so_many():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 2_000, 8))
    found = matching.r_precision(images, texts, np.arange(2_000)[:, None], count=10)
    assert abs(found - 0.1) < 0.02


@pytest.mark.slow
def test_an_encoder_learns_once(monkeypatch):
    """Of a few pairs next to nothing; but it finds codes of length 1, and the same again from the cache."""
    for name, value in (("SEEN", 64), ("BATCH", 32)):
        monkeypatch.setattr(matching, name, value)
    monkeypatch.setattr(features, "_KEPT", {})
    train = captions.source(28, count=64)
    evaluator = types.SimpleNamespace(train=train, given={"caption": train.examples(slice(8), "caption")})
    images = train.examples(slice(8))
    codes = matching.codes(train, images, evaluator.given["caption"])
    np.testing.assert_allclose([(code**2).sum(1) for code in codes], np.ones((2, 8)), rtol=1e-4)
    features._KEPT.clear()
    monkeypatch.setattr(matching, "_learn", lambda *_: pytest.fail("it learns again"))
    np.testing.assert_array_equal(matching.codes(train, images, evaluator.given["caption"])[1], codes[1])
    assert 0 <= matching.figures(evaluator, images)["r_precision"] <= 1
    assert matching.figures(types.SimpleNamespace(train=train, given={}), images) == {}
