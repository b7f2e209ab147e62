import numpy as np
import pytest
import scipy.linalg

import kgan.data
from kgan.metrics.frechet import Moments, frechet_distance


def published(real, fake):
    """Heusel et al., equation 6, with the root of the product as it stands."""
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    first, second = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    shift = real.mean(0) - fake.mean(0)
    return shift @ shift + np.trace(first + second - 2 * root.real)


def correlated(random, count, size, rank=None):
    """Normal vectors with a random covariance, of rank `rank` if given, and a random mean."""
    mixing = random.standard_normal((rank or size, size))
    return random.standard_normal((count, rank or size)) @ mixing + random.standard_normal(size)


@pytest.fixture(scope="module")
def pixels(shared_cache):
    """3,000 glyphs of 14x14 pixels in [0, 1]: those in the corners are constant."""
    images = kgan.data.source("glyphs", split="test").arrays["image"][:3000, ::2, ::2]
    return images.reshape(3000, -1) / np.float32(255)


# === Against other ways to the same number ===

@pytest.mark.parametrize("counts", [(300, 300), (60, 5000)])
def test_published_formula(counts):
    random = np.random.default_rng(0)
    real, fake = (correlated(random, count, 30) for count in counts)
    assert frechet_distance(real, fake) == pytest.approx(published(real, fake), rel=1e-6)


@pytest.mark.filterwarnings("ignore:Matrix is singular")  # scipy's, of the published form
@pytest.mark.slow
def test_published_formula_on_images(pixels):
    real, fake = pixels[:1500], pixels[1500:]
    assert (real.std(0) == 0).any()  # a singular covariance
    noise = np.random.default_rng(0).normal(0, 0.1, fake.shape)
    for other in (fake, fake ** 2, fake + noise):
        assert frechet_distance(real, other) == pytest.approx(published(real, other), rel=1e-4)


def test_diagonal_gaussians_by_hand():
    # orthonormal columns that sum to 0 are samples with exactly these moments: Σ (μ₁ − μ₂)² + (σ₁ − σ₂)²
    random = np.random.default_rng(1)
    samples = random.standard_normal((50, 4))
    white = np.linalg.qr(samples - samples.mean(0))[0] * np.sqrt(49)
    real = white * [1, 2, 0, 3] + [0, 0, 5, 0]
    fake = white[:, ::-1] * [2, 2, 1, 0] + [1, 0, 5, -2]
    assert frechet_distance(real, fake) == pytest.approx(1 + 4 + (1 + 0 + 1 + 9), rel=1e-9)


@pytest.mark.parametrize("same", [True, False], ids=["one subspace", "two"])
def test_singular_covariances(same):
    # both sets in subspaces of 5 of 40 dimensions: if in the same one, its own coordinates give the same distance; if
    # these are orthogonal, the product of the covariances is 0
    random = np.random.default_rng(2)
    basis = np.linalg.qr(random.standard_normal((40, 10)))[0].T
    first, second = correlated(random, 200, 5), 3 * correlated(random, 300, 5)
    distance = frechet_distance(first @ basis[:5], second @ (basis[:5] if same else basis[5:]))
    if same:
        expected = published(first, second)
    else:
        means = (first.mean(0) ** 2).sum() + (second.mean(0) ** 2).sum()
        expected = means + np.trace(np.cov(first, rowvar=False)) + np.trace(np.cov(second, rowvar=False))
    assert distance == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("real, fake", [(3, 3), (3, 4)])
def test_constant_features(real, fake):
    # nothing varies: what remains is the distance of the means
    size = 7
    distance = frechet_distance(np.full((8, size), real), np.full((9, size), fake))
    assert distance == pytest.approx(size * (real - fake) ** 2)


def test_to_itself(pixels):
    rounding = 1e-6 * float(pixels.var(0).sum())
    assert frechet_distance(pixels, pixels) == pytest.approx(0, abs=rounding)
    far = 1e4 + pixels.astype(np.float64)
    assert frechet_distance(far, far[::-1]) == pytest.approx(0, abs=rounding)
    real, fake = pixels[:1000], pixels[1000:]
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-6)


# === Moments ===

@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_streaming_equals_whole(batch):
    random = np.random.default_rng(3)
    features = 1e4 + correlated(random, 500, 6)  # far from 0: sums of squares would lose eight digits
    moments = Moments.of(features, batch)
    assert moments.count == 500 and moments.mean.dtype == moments.covariance.dtype == np.float64
    np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-13)
    expected = np.cov(features, rowvar=False)
    np.testing.assert_allclose(moments.covariance, expected, rtol=0, atol=1e-10 * expected.max())
    other = random.standard_normal((40, 6))
    assert frechet_distance(moments, Moments.of(other)) == pytest.approx(frechet_distance(features, other), rel=1e-10)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
def test_dtypes(dtype):
    features = np.random.default_rng(4).integers(0, 200, (300, 3)).astype(dtype)
    moments = Moments.of(features, 100)
    np.testing.assert_allclose(moments.covariance, np.cov(features.astype(float), rowvar=False), rtol=1e-12, atol=1e-9)


def test_an_empty_batch_changes_nothing():
    moments = Moments()
    moments.add(np.empty((0, 3)))
    moments.add([[1, 2, 3], [3, 2, 1]])
    moments.add(np.empty((0, 3)))
    assert moments.count == 2 and moments.mean.tolist() == [2, 2, 2]
    assert moments.covariance.tolist() == [[2, 0, -2], [0, 0, 0], [-2, 0, 2]]


# === Errors ===

def test_too_few_samples():
    random = np.random.default_rng(0)
    enough, few = random.random((11, 10)), random.random((10, 10))
    assert frechet_distance(enough, enough + 1) == pytest.approx(10)
    for pair in ((enough, few), (few, enough)):
        with pytest.raises(ValueError, match=r"at least 11 samples of each .* got 1. and 1.; kernel_distance"):
            frechet_distance(*pair)
    with pytest.raises(ValueError, match="got 0 real and 11 generated"):
        frechet_distance(Moments(), enough)
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        Moments.of(enough[:1]).covariance


def test_what_does_not_fit():
    random = np.random.default_rng(0)
    moments = Moments.of(random.random((9, 3)))
    with pytest.raises(ValueError, match="have 4 dimensions, those before had 3"):
        moments.add(random.random((9, 4)))
    with pytest.raises(ValueError, match=r"must be \[n, D\], not of shape \(3,\)"):
        moments.add(random.random(3))
    with pytest.raises(ValueError, match="real features have 3 dimensions, generated ones 4"):
        frechet_distance(moments, random.random((9, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    features = np.ones((5, 2), np.float32)
    features[3, 1] = value
    moments = Moments()
    with pytest.raises(ValueError, match="not finite"):
        moments.add(features)
    assert moments.count == 0  # and nothing of the batch is in
