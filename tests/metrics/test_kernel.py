import numpy as np
import pytest

import kgan.data
from kgan.metrics.kernel import kernel_distance


def plain(real, fake):
    """Gretton et al., equation 3, pair by pair with Bińkowski's kernel."""
    def kernel(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    m, n = len(real), len(fake)
    own = sum(kernel(real[i], real[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    own += sum(kernel(fake[i], fake[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own - 2 * sum(kernel(x, y) for x in real for y in fake) / (m * n)


class InOrder:
    """In place of numpy's generator: rows stay in their order, so that the blocks are known."""
    def permutation(self, count):
        return np.arange(count)


def compare(real, fake, size, blocks, length):
    values = [plain(real[i * length:][:length].astype(float), fake[i * length:][:length].astype(float))
              for i in range(blocks)]
    with pytest.MonkeyPatch.context() as patch:  # here alone: whoever draws data needs numpy's own
        patch.setattr(np.random, "default_rng", lambda seed: InOrder())
        value, error = kernel_distance(real, fake, size)
    assert value == pytest.approx(np.mean(values), rel=1e-8, abs=1e-10)
    # of n values: the root of the sum of squared deviations over n (n − 1)
    squares = sum((one - value) ** 2 for one in values)
    assert error == pytest.approx(np.sqrt(squares / (blocks * (blocks - 1))), rel=1e-6)


@pytest.mark.parametrize("counts, size, blocks, length", [
    ((30, 30), 10, 3, 10), ((35, 47), 10, 3, 11), ((19, 19), 10, 2, 9), ((5, 100), 1000, 2, 2), ((4, 4), 2, 2, 2)])
def test_pair_by_pair(counts, size, blocks, length):
    features = [np.sin(np.arange(count * 6.0) ** 1.5 + shift).reshape(count, 6) for shift, count in enumerate(counts)]
    compare(*features, size, blocks, length)


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_pair_by_pair_on_images(shared_cache, scale):
    images = kgan.data.source("glyphs", split="test").arrays["image"][:80].reshape(80, -1)
    real, fake = images[:40] * np.float32(scale), (255 - images[40:]) * np.float32(scale)
    compare(real, fake, 20, 2, 20)


def test_by_hand():
    # 1-D: k(1, 1) = 8, k(1, 0) = k(0, 0) = 1: each block 8 + 1 − 2, all blocks the same
    assert kernel_distance(np.ones((6, 1)), np.zeros((6, 1)), 3) == (7, 0)


def test_sorted_data():
    # ten classes far apart, sorted in the one set and in the other the other way round: in their order the blocks
    # would be of different classes
    random = np.random.default_rng(0)
    centers = 3 * random.standard_normal((10, 5))
    real, fake = (np.repeat(centers, 100, 0) + random.standard_normal((1000, 5)) for _ in range(2))
    value, error = kernel_distance(real, fake[::-1], 100)
    shuffled, usual = kernel_distance(random.permutation(real), random.permutation(fake), 100)
    assert abs(value) < 3 * error and 0.4 * usual < error < 2.5 * usual


def test_the_standard_error_is_one():
    random = np.random.default_rng(1)
    results = np.array([kernel_distance(random.standard_normal((200, 4)), 1.1 * random.standard_normal((200, 4)), 20)
                        for _ in range(400)])
    # the deviation of 400 values is known to 1 / √800 of itself
    assert np.sqrt(np.mean(results[:, 1] ** 2)) == pytest.approx(results[:, 0].std(), rel=0.12)


def test_the_seed_decides():
    random = np.random.default_rng(2)
    real, fake = random.standard_normal((2, 90, 3))
    assert kernel_distance(real, fake, 10, seed=1) == kernel_distance(real, fake, 10, seed=1)
    assert kernel_distance(real, fake, 10, seed=1) != kernel_distance(real, fake, 10, seed=2)


def test_errors():
    with pytest.raises(ValueError, match="at least 4 samples of each, got 3 and 9"):
        kernel_distance(np.ones((3, 2)), np.ones((9, 2)))
    with pytest.raises(ValueError, match=r"not of shapes \(9, 2\) and \(9, 3\)"):
        kernel_distance(np.ones((9, 2)), np.ones((9, 3)))
    with pytest.raises(ValueError, match="size is 1"):
        kernel_distance(np.ones((9, 2)), np.ones((9, 2)), size=1)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            kernel_distance(np.ones((8, 2)), np.full((8, 2), value))
