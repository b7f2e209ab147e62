import numpy as np
import pytest

from kgan.data import mixtures, signals
from kgan.data.source import DataError


def test_sine_is_its_formula():
    source = signals.source(count=5000)
    fields = source.arrays
    assert {field: (values.dtype.name, values.shape) for field, values in fields.items()} == {
        "sample": ("float32", (5000, 10)), "amplitude": ("float32", (5000,)), "frequency": ("float32", (5000,)),
        "phase": ("float32", (5000,))}
    assert (source.name, source.key, source.shape) == ("sine", "sample", (10,))
    for i in range(10):
        np.testing.assert_allclose(fields["sample"][:, i],
                                   fields["amplitude"] * np.sin(fields["phase"] + fields["frequency"] * i), atol=2e-6)
    for field, low, high in ("phase", 0, 1), ("frequency", 1.2, 1.5), ("amplitude", 0.5, 0.8):
        values, span = fields[field], high - low
        assert low <= values.min() < low + 0.01 * span and high - 0.01 * span < values.max() <= np.float32(high)
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * span)
    assert abs(np.corrcoef([fields["phase"], fields["frequency"], fields["amplitude"]])[0, 1:]).max() < 0.05


def test_fit_recovers_exact_signals():
    source = signals.source(count=2000, seed=5)
    amplitude, frequency, phase, rms = signals.fit(source.arrays["sample"])
    assert amplitude.shape == frequency.shape == phase.shape == rms.shape == (2000,)
    np.testing.assert_allclose(amplitude, source.arrays["amplitude"], atol=1e-3)
    np.testing.assert_allclose(frequency, source.arrays["frequency"], atol=1e-3)
    np.testing.assert_allclose(phase, source.arrays["phase"], atol=1e-3)
    assert rms.max() < 1e-3


def test_fit_of_noise_and_of_other_sines_leaves_a_residual():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 10))
    amplitude, frequency, phase, rms = signals.fit(noise)
    assert np.median(rms) > 0.5
    assert (rms <= np.sqrt((noise ** 2).mean(1)) + 1e-12).all()  # never worse than no sine at all
    assert frequency.min() >= 1.1 - 1e-9 and frequency.max() <= 1.6 + 1e-9
    assert (amplitude >= 0).all() and (np.abs(phase) <= np.pi).all()
    # a perfect sine, but of a frequency that is not in the family
    assert signals.fit(0.65 * np.sin(0.5 + 2.2 * np.arange(10))[None])[3][0] > 0.2
    # known noise on a known sine: 10 points less 3 parameters
    noisy = signals.source(count=2000).arrays["sample"] + rng.normal(scale=0.05, size=(2000, 10))
    assert np.sqrt((signals.fit(noisy)[3] ** 2).mean()) == pytest.approx(0.05 * np.sqrt(7 / 10), rel=0.04)


def test_fit_of_zeros_is_finite():
    amplitude, frequency, phase, rms = signals.fit(np.zeros((3, 10)))
    assert (amplitude == 0).all() and (rms == 0).all() and np.isfinite(frequency).all() and np.isfinite(phase).all()


@pytest.mark.parametrize("name, modes, sigma", [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_mixture_modes(name, modes, sigma):
    source = mixtures.source(name)
    sample, label = source.arrays["sample"], source.arrays["label"]
    assert (sample.dtype, sample.shape, label.dtype) == (np.float32, (100_000, 2), np.int64)
    assert source.name == name and len(source.classes["label"]) == modes == len(mixtures.centers(name))
    np.testing.assert_allclose(np.bincount(label, minlength=modes) / len(label), 1 / modes, rtol=0.06)
    for mode, mean in enumerate(mixtures.centers(name)):
        points = sample[label == mode].astype(np.float64)
        np.testing.assert_allclose(points.mean(0), mean, atol=0.08 * sigma)  # 5 standard errors of 4,000 points
        np.testing.assert_allclose(points.std(0), sigma, rtol=0.05)


def test_centers_are_the_published_ones():
    ring, grid = mixtures.centers("ring"), mixtures.centers("grid")
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(ring - np.roll(ring, 1, 0), axis=1), 2 * np.sin(np.pi / 8))
    assert {tuple(mean) for mean in grid} == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}


@pytest.mark.parametrize("name, modes", [("ring", 8), ("grid", 25)])
def test_coverage_of_a_perfect_sampler(name, modes):
    figures = mixtures.coverage(name, mixtures.source(name, count=20_000, seed=9).arrays["sample"])
    assert figures["modes"] == modes
    assert figures["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.004)
    # a perfect sampler's divergence is about (modes - 1) / (2 N), chi-square distributed
    assert 0 < figures["kl"] < 3 * (modes - 1) / (2 * 20_000)


def test_coverage_by_hand():
    ring = mixtures.centers("ring")
    collapsed = mixtures.coverage("ring", np.repeat(ring[3:4], 100, 0))
    assert collapsed == {"modes": 1, "high_quality": 1.0, "kl": pytest.approx(np.log(8))}
    # three at one mode, one at another, one just inside three sigma of a third, and three that do not count
    samples = np.concatenate([ring[[0, 0, 0, 1]], ring[[2]] * 1.0299, ring[[3]] * 1.0301, [[0, 0], [np.nan, 1]]])
    shares = np.array([3, 1, 1]) / 5
    assert mixtures.coverage("ring", samples) == {
        "modes": 3, "high_quality": 5 / 8, "kl": pytest.approx(np.sum(shares * np.log(shares * 8)))}
    nothing = mixtures.coverage("grid", np.full((10, 2), 1.0))
    assert nothing["modes"] == 0 and nothing["high_quality"] == 0 and np.isnan(nothing["kl"])


SOURCES = [signals.source, lambda **options: mixtures.source("ring", **options),
           lambda **options: mixtures.source("grid", **options)]


@pytest.mark.parametrize("source", SOURCES)
def test_split_and_seed(source):
    def points(**options):
        return source(count=100, **options).arrays["sample"]

    assert points(seed=1).tobytes() == points(seed=1).tobytes()
    for other in points(seed=2), points(seed=1, split="test"):
        assert not np.isclose(points(seed=1), other).all(1).any()
    assert len(source(split="test")) == 10_000


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("options", [{"split": "valid"}, {"count": 0}, {"seed": -1}])
def test_wrong_arguments(source, options):
    with pytest.raises(DataError):
        source(**options)


def test_unknown_mixture():
    with pytest.raises(DataError, match="ring, grid"):
        mixtures.source("spiral")
