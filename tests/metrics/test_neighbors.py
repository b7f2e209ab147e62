import tracemalloc

import numpy as np
import prdc
import pytest
from scipy.spatial.distance import cdist, pdist

import kgan.data
from kgan.metrics.neighbors import manifold, mean_distance, nearest


@pytest.fixture(scope="module")
def pixels(shared_cache):
    """1,000 glyphs, uint8 [1000, 784]."""
    return kgan.data.source("glyphs", split="test").arrays["image"][:1000].reshape(1000, -1)


def normal(counts, size=12, offset=0, dtype=np.float64):
    random = np.random.default_rng(0)
    real, fake = (random.standard_normal((count, size)) for count in counts)
    return (real + offset).astype(dtype), (0.8 * fake + 0.3 + offset).astype(dtype)


# === Nearest neighbours ===

@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("block", [1, 16, 1000])
@pytest.mark.parametrize("dtype, offset", [("float64", 0), ("float32", 1e4)])
def test_nearest(k, block, dtype, offset):
    references, queries = normal((90, 30), offset=offset, dtype=dtype)
    distances, indices = nearest(queries, references, k, block=block)
    expected = cdist(queries.astype(float), references.astype(float))
    assert distances.shape == indices.shape == (30, k) and indices.dtype == np.int64
    assert indices.tolist() == np.argsort(expected, 1)[:, :k].tolist()
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :k], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("block", [300, 4096])
def test_nearest_of_images(pixels, block):
    distances, indices = nearest(pixels, pixels, 2, exclude_self=True, block=block)
    expected = cdist(pixels, pixels)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :2], rtol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, indices, 1), distances, rtol=1e-12)
    assert (indices != np.arange(1000)[:, None]).all()


def test_a_copy_is_at_distance_0(pixels):
    references = pixels.astype(np.float32) + 1000
    order = np.random.default_rng(0).permutation(1000)
    distances, indices = nearest(references[order], references)
    assert indices[:, 0].tolist() == order.tolist() and (distances == 0).all()


def test_nearest_can_take_all():
    references, queries = normal((5, 3))
    distances, indices = nearest(queries, references, 5, block=2)
    assert np.sort(indices, 1).tolist() == [[0, 1, 2, 3, 4]] * 3
    np.testing.assert_allclose(distances, np.sort(cdist(queries, references), 1), rtol=1e-12)


# === Manifolds ===

@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("dtype, offset", [("float64", 0), ("float64", 1e6), ("float32", 0), ("float32", 1e3)])
def test_prdc(k, dtype, offset):
    real, fake = normal((300, 250), offset=offset, dtype=dtype)
    # prdc has no centre: the offset, without which it is right, is taken away first
    expected = prdc.compute_prdc(real.astype(float) - offset, fake.astype(float) - offset, k)
    assert manifold(real, fake, k, k, block=100) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("k", [3, 5])
def test_prdc_on_images(pixels, k):
    real = pixels[:500]
    noise = np.random.default_rng(0).normal(0, 20, (500, 784))
    for fake in (pixels[500:], pixels[500:] + noise, pixels[500:] // 2):
        expected = prdc.compute_prdc(real.astype(float), fake.astype(float), k)
        assert 0 < expected["precision"] and 0 < expected["coverage"]
        for dtype in (np.float32, np.float64):
            assert manifold(real.astype(dtype), fake.astype(dtype), k, k) == pytest.approx(expected, rel=1e-4)


def test_one_k_each():
    real, fake = normal((300, 300))
    three, five, both = manifold(real, fake, 3, 3), manifold(real, fake, 5, 5), manifold(real, fake)
    assert three["precision"] != five["precision"] and three["coverage"] != five["coverage"]
    assert both == {**three, "density": five["density"], "coverage": five["coverage"]}
    assert manifold(real, fake, 5, 3) == {**five, "density": three["density"], "coverage": three["coverage"]}


def test_manifold_by_hand():
    # k = 1: radii of the real 1, 1, 2, 6 about 0, 1, 3, 9; of the generated 1.5, .25, .25 about .75, 2.25, 2.5.
    # .75 is in the balls of 0 and 1; 2.25 and 2.5 in that of 3. Of the real 0 and 1 are in that of .75
    real, fake = np.array([[0.0], [1], [3], [9]]), np.array([[0.75], [2.25], [2.5]])
    assert manifold(real, fake, 1, 1) == {"precision": 1, "recall": 0.5, "density": 4 / 3, "coverage": 0.75}
    # 2: at the very radius of 1, so not in its ball, and in that of 3; -1: at that of 0, so in none. Of the real, the
    # generated radii being 3, all but 9
    fake = np.array([[2.0], [-1]])
    assert manifold(real, fake, 1, 1) == {"precision": 0.5, "recall": 0.75, "density": 0.5, "coverage": 0.25}


@pytest.mark.parametrize("block", [1, 17, 100, 5000])
def test_blocks_do_not_matter(block):
    real, fake = normal((110, 80))
    assert manifold(real, fake, block=block) == manifold(real, fake)


def test_collapse_far_away():
    # all generated samples the same point, far from the real ones: what rounding leaves of radii of 0 reaches none
    real, _ = normal((100, 1), dtype="float32")
    fake = np.full((50, 12), 1000 / 3, np.float32)
    assert manifold(real, fake) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@pytest.mark.slow
def test_memory():
    real, fake = normal((3000, 3000), size=8, dtype="float32")
    tracemalloc.start()
    manifold(real, fake, block=256)
    nearest(real, fake, 5, block=256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # one matrix of all distances would be 36e6, prdc has three


@pytest.mark.parametrize("block", [7, 100, 1000])
def test_mean_distance(pixels, block):
    assert mean_distance(pixels[:100], block) == pytest.approx(pdist(pixels[:100]).mean(), rel=1e-9)


# === Errors ===

def test_too_few_samples():
    random = np.random.default_rng(0)
    five, six = random.random((5, 2)), random.random((6, 2))
    for pair, name in (((five, six), "real"), ((six, five), "generated")):
        with pytest.raises(ValueError, match=f"k=5 needs at least 6 {name} samples, got 5"):
            manifold(*pair)
        with pytest.raises(ValueError, match=f"k=5 needs at least 6 {name} samples, got 5"):
            manifold(*pair, precision_k=5, density_k=3)
    assert 0 <= manifold(six, six + 0.1)["precision"] <= 1
    with pytest.raises(ValueError, match="k=6 needs at least 6 references, got 5"):
        nearest(six, five, 6)
    with pytest.raises(ValueError, match="k=5 needs at least 5 references other than itself, got 4"):
        nearest(five, five, 5, exclude_self=True)
    with pytest.raises(ValueError, match="k=1 needs at least 2 samples, got 1"):
        mean_distance(five[:1])


def test_what_does_not_fit():
    ones = np.ones((9, 2))
    for function in (nearest, manifold):
        with pytest.raises(ValueError, match=r"not of shapes \(9, 2\) and \(9, 3\)"):
            function(ones, np.ones((9, 3)))
        with pytest.raises(ValueError, match="k is 0"):
            function(ones, ones, 0)
        for value in (np.nan, np.inf):
            with pytest.raises(ValueError, match="not finite"):
                function(ones, np.full((9, 2), value))
    with pytest.raises(ValueError, match="exclude_self needs the references as queries, not 8 of 9"):
        nearest(ones[:8], ones, exclude_self=True)
