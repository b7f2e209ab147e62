"""Measures of texts, int [n, T] of a vocabulary: BLEU, self-BLEU, distinct n-grams, likelihood by an oracle, validity by a grammar.

BLEU-n is the mean over samples of sentence BLEU with uniform weights to n, all references at once, the nearest length, and
0.1 for a count of 0 (`method1` of NLTK, Chen & Cherry 2014; sacreBLEU's `floor`). It rises with the number of references,
and depends on what a token is: say both beside it. The largest count of each n-gram in the references is computed once.
"""
import collections
import math

import numpy as np

REFERENCES = 1_000  # of BLEU at most; of self-BLEU as many samples
FLOOR = 0.1


def figures(evaluator, samples):
    """What is known of samples int [n, T], a dict.

    `bleu_2` to `bleu_5` against the first REFERENCES examples that are not trained on, `self_bleu_2` to `self_bleu_5`,
    `distinct_2` and `distinct_3`; of an oracle's data `nll_oracle`, in nats a token; of the built-in grammar `valid`, the
    share of sentences that are.

    Args:
        evaluator: kgan.metrics.Evaluator.
    """
    from kgan.data import grammar, oracle

    more, name = evaluator.train.more["tokens"], evaluator.train.name
    ends = not more["words"][0]
    texts, references = (cut(values[:REFERENCES], ends) for values in (samples, evaluator.examples))
    known, found = NGrams(references), {}
    for n in (2, 3, 4, 5):
        found[f"bleu_{n}"] = float(np.mean([known.bleu(text, n) for text in texts]))
    own = NGrams(texts)
    for n in (2, 3, 4, 5):
        found[f"self_bleu_{n}"] = float(np.mean([own.bleu(text, n, without=True) for text in texts]))
    found.update({f"distinct_{n}": distinct(texts, n) for n in (2, 3)})
    if judge := oracle.of(name):
        found["nll_oracle"] = float(judge.nll(samples).mean())
    if name == "grammar":
        found["valid"] = float(np.mean([grammar.valid([more["words"][word] for word in text]) for text in cut(samples, True)]))
    return found


def cut(samples, ends=True):
    """Samples int [n, T] as tuples of words, up to the first 0 where that is the end."""
    found = [tuple(int(word) for word in sample) for sample in samples]
    return [text[:text.index(0)] if ends and 0 in text else text for text in found]


def ngrams(text, n):
    """The n-grams of a tuple of words, a Counter."""
    return collections.Counter(text[i:i + n] for i in range(len(text) - n + 1))


def distinct(texts, n):
    """Different n-grams, of all that there are (Li et al. 2016); 0 where there are none."""
    counts = sum((ngrams(text, n) for text in texts), collections.Counter())
    return len(counts) / max(1, counts.total())


class NGrams:
    """References, tuples of words, of which it is known how often each n-gram occurs at most."""

    def __init__(self, references, longest=5):
        self.lengths = collections.Counter(map(len, references))
        self.most = [{} for _ in range(longest)]  # n-gram -> (the largest count in a reference, the second largest)
        for text in references:
            for n, most in enumerate(self.most, 1):
                for gram, count in ngrams(text, n).items():
                    first, second = most.get(gram, (0, 0))
                    most[gram] = (max(first, count), max(second, min(first, count)))

    def bleu(self, text, longest, without=False):
        """BLEU of one text with n-grams up to `longest`, 0 to 1.

        `without`: it is one of the references, and is compared with the others.
        """
        logs = 0.0
        for n in range(1, longest + 1):
            counts, most = ngrams(text, n), self.most[n - 1]
            right = 0
            for gram, count in counts.items():
                first, second = most.get(gram, (0, 0))
                right += min(count, second if without and first == count else first)
            if n == 1 and not right:
                return 0.0
            logs += math.log((right or FLOOR) / max(1, counts.total())) / longest
        lengths = self.lengths - collections.Counter([len(text)]) if without else self.lengths
        near = min(lengths, key=lambda length: (abs(length - len(text)), length), default=0)
        return math.exp(min(0.0, 1 - near / max(1, len(text)))) * math.exp(logs)
