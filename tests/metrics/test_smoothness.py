import numpy as np
import pytest

from kgan.metrics.smoothness import path_length


def same(values):
    return values


def ends(count, size, seed=0):
    """Pairs of points on the unit sphere, and the angles between them."""
    a, b = np.random.default_rng(seed).standard_normal((2, count, size))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a, b, np.arccos(np.sum(a * b, 1))


def test_arcs_by_hand():
    # points of the unit sphere, 90° between them: an even pace of π/2, whatever t; (π/2)² but for the chord of a step
    a, b = np.eye(6)[:3], np.eye(6)[3:]
    mean, error = path_length(same, same, a, b, epsilon=0.01)
    chord = 2 * np.sin(np.pi / 2 * 0.01 / 2) / 0.01
    assert mean == pytest.approx(chord ** 2, rel=1e-4) and error == pytest.approx(0, abs=1e-3)
    assert chord ** 2 == pytest.approx((np.pi / 2) ** 2, rel=1e-4)
    assert path_length(same, same, a, b)[0] == pytest.approx((np.pi / 2) ** 2, rel=5e-3)  # float32 and 1e-4


def test_many_arcs():
    a, b, angle = ends(1000, 5)
    values = np.sort((2 * np.sin(angle * 0.005) / 0.01) ** 2)
    # of 1,000 sorted values the 1st percentile lies between numbers 9 and 10, the 99th between 989 and 990
    kept, moved = values[9:991], np.clip(values, values[9], values[990])
    mean, error = path_length(same, same, a, b, epsilon=0.01)
    assert mean == pytest.approx(kept.mean(), rel=1e-4)
    assert error == pytest.approx(moved.std(ddof=1) * np.sqrt(1000) / 982, rel=1e-3)


def test_the_generator_and_the_features_count():
    a, b, angle = ends(50, 4)
    path = dict(latents_a=a, latents_b=b, epsilon=0.01)
    usual = path_length(same, same, **path)[0]
    assert path_length(lambda z: 3 * z, same, **path)[0] == pytest.approx(9 * usual, rel=1e-4)
    images = path_length(lambda z: z.reshape(-1, 2, 2, 1), lambda x: 2 * x.reshape(-1, 4), **path)[0]
    assert images == pytest.approx(4 * usual, rel=1e-4)
    assert path_length(lambda z: np.sin(40 * z), same, **path)[0] > 100 * usual


def test_what_generate_is_given():
    a, b, _ = ends(10, 3)
    seen = []
    path_length(lambda z: seen.append(z) or z, same, a, b, batch=4)
    assert [z.shape for z in seen] == [(8, 3), (8, 3), (4, 3)] and all(z.dtype == np.float32 for z in seen)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_do_not_matter(batch):
    a, b, _ = ends(30, 4)
    assert path_length(same, same, a, b, 0.01, batch=batch) == pytest.approx(
        path_length(same, same, a, b, 0.01), rel=1e-5)


def test_straight_lines():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 20, 4))
    mean, _ = path_length(same, same, a, b, 0.01, between=lambda a, b, t: a + t[:, None] * (b - a))
    lengths = np.sort(np.sum((a - b) ** 2, 1))
    assert mean == pytest.approx(lengths.mean(), rel=1e-4)


def test_outliers_are_left_out():
    # a cliff that one of 500 steps meets: 1 / ε² times anything
    a, b, _ = ends(500, 4)
    usual = path_length(same, same, a, b, 0.01)

    def cliff(z):
        half = len(z) // 2
        z = z.copy()
        z[half] += 1000  # the first path's end
        return z

    assert path_length(cliff, same, a, b, 0.01, batch=500)[0] == pytest.approx(usual[0], rel=0.01)


def test_the_standard_error_is_one():
    results = np.array([path_length(same, same, *ends(100, 3, seed)[:2], 0.01) for seed in range(400)])
    assert np.sqrt(np.mean(results[:, 1] ** 2)) == pytest.approx(results[:, 0].std(), rel=0.12)


def test_the_seed_decides():
    a, b, _ = ends(20, 4)
    values = [path_length(np.sin, same, 3 * a, 3 * b, seed=seed) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_errors():
    ones = np.ones((3, 4))
    with pytest.raises(ValueError, match=r"not of shapes \(3, 4\) and \(2, 4\)"):
        path_length(same, same, ones, ones[:2])
    with pytest.raises(ValueError, match="at least 2 paths, got 1"):
        path_length(same, same, ones[:1], ones[:1])
    with pytest.raises(ValueError, match="not finite"):
        path_length(lambda z: z * np.nan, same, ones, ones)
