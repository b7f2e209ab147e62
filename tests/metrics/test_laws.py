"""What every measure must do, whatever its formula: tell the same from the same, and the worse from the bad."""
import numpy as np
import pytest
import scipy.ndimage

import kgan.data
from kgan.metrics.frechet import frechet_distance
from kgan.metrics.kernel import kernel_distance
from kgan.metrics.neighbors import manifold
from kgan.metrics.sliced import sliced_wasserstein

COUNT = 1500


@pytest.fixture(scope="module")
def glyphs(shared_cache):
    """Two draws of real images, float32 [1500, 28, 28, 1] in [-1, 1], and the labels of the second."""
    arrays = kgan.data.source("glyphs", split="test").arrays
    images = arrays["image"][:2 * COUNT].astype(np.float32) / np.float32(127.5) - 1
    return images[:COUNT], images[COUNT:], np.array(arrays["label"][COUNT:2 * COUNT])


@pytest.fixture(scope="module")
def features():
    """48 random projections of the pixels, of about unit size."""
    directions = np.random.default_rng(0).standard_normal((784, 48)).astype(np.float32) / 10
    return lambda images: np.asarray(images, np.float32).reshape(len(images), -1) @ directions


def blurred(images, amount):
    return scipy.ndimage.gaussian_filter(images, (0, amount, amount, 0))


def noisy(images, amount):
    return images + np.random.default_rng(1).normal(0, amount, images.shape).astype(np.float32)


def without(images, labels, dropped):
    """As many images, those of the first classes replaced by others."""
    kept = np.flatnonzero(labels >= dropped)
    return images[np.resize(kept, len(images))]


def damages(fake, labels):
    """dict of a damage to ever more of it, beginning with none."""
    return {"blur": [fake] + [blurred(fake, amount) for amount in (0.7, 1.2, 2)],
            "noise": [fake] + [noisy(fake, amount) for amount in (0.4, 0.8, 1.5)],
            "dropped classes": [fake] + [without(fake, labels, dropped) for dropped in (3, 6, 9)]}


@pytest.mark.parametrize("measure", [frechet_distance, lambda real, fake: kernel_distance(real, fake, 300)[0]],
                         ids=["frechet", "kernel"])
@pytest.mark.parametrize("damage", ["blur", "noise", "dropped classes"])
def test_distances_grow_with_the_damage(glyphs, features, measure, damage):
    real, fake, labels = glyphs
    values = [measure(features(real), features(images)) for images in damages(fake, labels)[damage]]
    assert all(1.5 * max(one, 0) < other for one, other in zip(values, values[1:]))


@pytest.mark.parametrize("damage", [pytest.param("blur", marks=pytest.mark.slow), "noise",
                                    pytest.param("dropped classes", marks=pytest.mark.slow)])
def test_the_sliced_distance_grows_with_the_damage(glyphs, damage):
    real, fake, labels = glyphs
    values = [sliced_wasserstein(real, images, patches=8, projections=48)["mean"]
              for images in damages(fake, labels)[damage]]
    assert all(1.2 * one < other for one, other in zip(values, values[1:]))


def test_another_draw_is_within_the_sampling_error(glyphs, features):
    real, fake = (features(images) for images in glyphs[:2])
    value, error = kernel_distance(real, fake, 150)
    assert abs(value) < 3 * error
    # the Fréchet distance of equal distributions is bias alone, about as 1 / count
    few, many = (frechet_distance(real[:count], fake[:count]) for count in (COUNT // 4, COUNT))
    assert few / many == pytest.approx(4, rel=0.25)
    # the sliced one is about as 1 / √count
    few, many = (sliced_wasserstein(*(images[:count] for images in glyphs[:2]), patches=8, projections=64)["mean"]
                 for count in (COUNT // 16, COUNT))
    assert few / many == pytest.approx(4, rel=0.25)
    # each in the ball of one of the other set about as often as in that of one of its own
    found = manifold(real, fake)
    own = manifold(real[::2], real[1::2])
    assert found["density"] == pytest.approx(1, abs=0.05)
    # P(one of 1,500 others is nearer than the 5th of one's own 1,499) = 1 − about 2⁻⁵
    assert found["coverage"] == pytest.approx(1 - 2 ** -5, abs=0.015)
    assert found["precision"] == pytest.approx(found["recall"], abs=0.03)
    assert own["density"] == pytest.approx(1, abs=0.06)


def test_precision_and_recall_fall_each_for_its_reason(glyphs, features):
    real, fake, labels = glyphs
    usual = manifold(features(real), features(fake))
    dropped = manifold(features(real), features(without(fake, labels, 6)))
    assert dropped["recall"] < usual["recall"] - 0.2 and dropped["coverage"] < usual["coverage"] - 0.2
    assert dropped["precision"] > usual["precision"] - 0.05 and dropped["density"] > usual["density"] - 0.15
    noise = manifold(features(real), features(noisy(fake, 1.5)))
    assert noise["precision"] < usual["precision"] - 0.2 and noise["density"] < usual["density"] - 0.2
    assert noise["recall"] > usual["recall"] - 0.05


def test_precision_and_density_fall_with_the_noise(glyphs, features):
    real, fake, labels = glyphs
    found = [manifold(features(real), features(images)) for images in damages(fake, labels)["noise"]]
    for figure in ("precision", "density"):
        assert all(one[figure] > other[figure] for one, other in zip(found, found[1:]))


def test_the_kernel_distance_is_unbiased_at_small_counts():
    random = np.random.default_rng(0)
    draws = [random.standard_normal((2, 8, 5)) for _ in range(500)]
    values = np.array([kernel_distance(real, fake)[0] for real, fake in draws])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(500)

    def biased(real, fake):
        """The V-statistic: pairs of a sample with itself count, too."""
        both = np.concatenate([real, fake])
        kernel, signs = (both @ both.T / 5 + 1) ** 3, np.repeat([1, -1], 8) / 8
        return signs @ kernel @ signs

    wrong = np.array([biased(real, fake) for real, fake in draws])
    assert wrong.mean() > 10 * wrong.std() / np.sqrt(500)  # so the law above could fail


def test_the_frechet_distance_is_biased_at_small_counts():
    random = np.random.default_rng(0)
    means = [np.mean([frechet_distance(*random.standard_normal((2, count, 5))) for _ in range(200)])
             for count in (20, 80, 320)]
    # the means alone: E ‖μ₁ − μ₂‖² = 2 · 5 / count
    assert all(mean > 10 / count for mean, count in zip(means, (20, 80, 320)))
    assert means[0] > 3.5 * means[1] > 3.5 ** 2 * means[2]
