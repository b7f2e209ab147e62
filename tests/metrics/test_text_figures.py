import types

import numpy as np
import pytest

from kgan.data import grammar
from kgan.metrics import texts

RNG = np.random.default_rng(0)
SAMPLES = [tuple(RNG.integers(1, 6, RNG.integers(1, 9)).tolist()) for _ in range(40)]
OTHERS = [tuple(RNG.integers(1, 6, RNG.integers(2, 10)).tolist()) for _ in range(30)]


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_bleu_is_that_of_nltk(n):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    smooth = bleu.SmoothingFunction().method1
    known = texts.NGrams(OTHERS)
    expected = [bleu.sentence_bleu(OTHERS, text, [1 / n] * n, smooth) for text in SAMPLES]
    np.testing.assert_allclose([known.bleu(text, n) for text in SAMPLES], expected, atol=1e-9)
    # self-BLEU is against all others
    own = texts.NGrams(SAMPLES)
    expected = [bleu.sentence_bleu(SAMPLES[:i] + SAMPLES[i + 1:], text, [1 / n] * n, smooth) for i, text in enumerate(SAMPLES)]
    np.testing.assert_allclose([own.bleu(text, n, without=True) for text in SAMPLES], expected, atol=1e-9)


def test_bleu_is_that_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    known, longer = texts.NGrams(OTHERS), [text for text in SAMPLES if len(text) >= 4]  # of shorter ones it leaves orders out
    bleu = sacrebleu.BLEU(tokenize="none", smooth_method="floor", smooth_value=0.1, effective_order=False)
    line = lambda text: " ".join(f"w{word}" for word in text)
    expected = [bleu.sentence_score(line(text), [line(other) for other in OTHERS]).score / 100 for text in longer]
    np.testing.assert_allclose([known.bleu(text, 4) for text in longer], expected, atol=1e-6)


def test_bleu_by_hand():
    known = texts.NGrams([(1, 2, 3), (4, 4)])
    # 1-grams: 2 of 3 (4 counts twice, as in one reference); 2-grams: 1 of 2; as long as the nearest
    np.testing.assert_allclose(known.bleu((4, 4, 9), 2), (2 / 3 * 1 / 2) ** 0.5)
    # shorter than the nearest, of 2 words: exp(1 - 2 / 1); no 2-gram at all: .1 of 1
    np.testing.assert_allclose(known.bleu((1,), 2), np.exp(-1) * 0.1**0.5)
    assert known.bleu((9,), 2) == 0 and known.bleu((1, 2, 3), 3) == 1
    assert texts.NGrams([(1, 2), (1, 2)]).bleu((1, 2), 2, without=True) == 1  # what is there twice is no less like the others


def test_distinct():
    np.testing.assert_allclose(texts.distinct([(1, 2, 1, 2), (1, 2)], 2), 2 / 4)
    assert texts.distinct([(1,)], 2) == 0


def test_figures():
    source = grammar.source("test", count=60)
    evaluator = types.SimpleNamespace(train=source, examples=source.arrays["tokens"][:30])
    found = texts.figures(evaluator, source.arrays["tokens"][30:])
    assert found["valid"] == 1 and "nll_oracle" not in found
    wrong = np.array(source.arrays["tokens"][30:])
    wrong[:3, 0] = grammar.WORDS.index(")")
    assert texts.figures(evaluator, wrong)["valid"] == 0.9
    same = texts.figures(evaluator, source.arrays["tokens"][:30])
    assert same["bleu_2"] == 1 and found["bleu_2"] < 1 and 0 < same["self_bleu_5"] < same["self_bleu_2"] < 1
