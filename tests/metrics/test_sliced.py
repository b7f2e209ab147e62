import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

import kgan.data
from kgan.metrics import sliced
from kgan.metrics.sliced import sliced_wasserstein


def plain(real, fake, patches, projections, seed):
    """The paper's section 5, image by image, patch by patch, direction by direction; only the draws are shared."""
    filters = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256

    def blur(channel):
        return scipy.ndimage.convolve(channel, filters, mode="mirror")

    def bands(image):
        """The Laplacian pyramid of one image [H, W, C]."""
        image = image.astype(np.float64) / 127.5 - 1 if image.dtype == np.uint8 else image.astype(np.float64)
        found = []
        while all(side % 2 == 0 and side >= 28 for side in image.shape[:2]):
            half = np.stack([blur(channel)[::2, ::2] for channel in np.moveaxis(image, -1, 0)], -1)
            double = np.zeros_like(image)
            double[::2, ::2] = half
            found.append(image - 4 * np.stack([blur(channel) for channel in np.moveaxis(double, -1, 0)], -1))
            image = half
        return found + [image]

    def descriptors(images, level):
        random = np.random.default_rng([seed, level])
        found = []
        for image in images:
            band = bands(image)[level]
            for place in random.random((patches, 2)):
                y, x = int(place[0] * (band.shape[0] - 6)), int(place[1] * (band.shape[1] - 6))
                found.append(band[y:y + 7, x:x + 7])
        found = np.array(found)
        for c in range(found.shape[-1]):
            found[..., c] = (found[..., c] - found[..., c].mean()) / found[..., c].std()
        return np.moveaxis(found, -1, 1).reshape(len(found), -1)

    random = np.random.default_rng(seed)
    figures = []
    for level in range(len(bands(real[0]))):
        first, second = descriptors(real, level), descriptors(fake, level)
        directions = random.standard_normal((projections, first.shape[1]))
        figures.append(1000 * np.mean([
            scipy.stats.wasserstein_distance(first @ direction, second @ direction) / np.linalg.norm(direction)
            for direction in directions]))
    return figures + [np.mean(figures)]


@pytest.fixture(scope="module")
def glyphs(shared_cache):
    return kgan.data.source("glyphs", split="test").arrays["image"][:1000]


@pytest.mark.parametrize("shape, sides", [
    ((28, 28, 1), ["28", "14"]), ((64, 64, 3), ["64", "32", "16"]), ((30, 30, 1), ["30", "15"]), ((14, 14, 2), ["14"]),
    ((27, 27, 1), ["27"]), ((28, 40, 1), ["28x40", "14x20"]), ((60, 58, 3), ["60x58", "30x29"])])
def test_the_paper_s_plain_form(shape, sides):
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (9, *shape), np.uint8)
    fake = scipy.ndimage.gaussian_filter(random.normal(0, 0.5, (9, *shape)), (0, 0.5, 0.5, 0))
    figures = sliced_wasserstein(real, fake, patches=5, projections=20, seed=3)
    assert list(figures) == sides + ["mean"]
    assert list(figures.values()) == pytest.approx(plain(real, fake, 5, 20, 3), rel=1e-4)


def test_the_paper_s_plain_form_on_images(glyphs):
    real, fake = glyphs[:40], (glyphs[40:80] / 255.0) ** 3 * 2 - 1
    figures = sliced_wasserstein(real, fake, patches=8, projections=30, seed=1)
    assert list(figures.values()) == pytest.approx(plain(real, fake, 8, 30, 1), rel=1e-4)


def test_one_dimension():
    # both directions of a line give the same distance
    random = np.random.default_rng(0)
    first, second = random.standard_normal((300, 1)), random.gamma(2, size=(300, 1))
    distance = sliced._distance(first.astype(np.float32), second.astype(np.float32), 5, random)
    assert distance == pytest.approx(scipy.stats.wasserstein_distance(first[:, 0], second[:, 0]), rel=1e-5)


def test_equal_images_have_0(glyphs):
    scaled = glyphs.astype(np.float32) / np.float32(127.5) - 1
    for same in (glyphs, scaled):
        assert sliced_wasserstein(glyphs, same, descriptors=5000, projections=64) == {"28": 0, "14": 0, "mean": 0}


@pytest.mark.parametrize("batch", [1, 33, 200])
def test_streams_equal_arrays(glyphs, batch):
    real, fake = glyphs[:200], 255 - glyphs[200:400]
    options = dict(patches=16, projections=20, descriptors=900)  # so that 16 become 4 on the way

    def stream(images):
        return (images[start:start + batch] for start in range(0, len(images), batch))

    whole = sliced_wasserstein(real, fake, **options)
    assert sliced_wasserstein(real, fake, batch=batch, **options) == pytest.approx(whole, rel=1e-6)
    assert sliced_wasserstein(stream(real), stream(fake), **options) == pytest.approx(whole, rel=1e-6)
    assert sliced_wasserstein(real, [*stream(fake)], **options) == pytest.approx(whole, rel=1e-6)
    # the larger side is cut
    assert sliced_wasserstein(real[:50], fake, **options) == sliced_wasserstein(real[:50], fake[:50], **options)
    more = sliced_wasserstein(real[:50], stream(fake), **options)
    again = sliced_wasserstein(stream(real[:50]), fake, **options)
    assert more == pytest.approx(again, rel=1e-6)


def test_descriptors_are_bounded(glyphs):
    for count, each in ((100, 8), (113, 4), (450, 2), (451, 1), (1000, 1)):
        patches = sliced._Patches(glyphs[:count], 8, 900, 0, 64)
        assert patches.each == each
        assert patches.normalized(0, count, each).shape == (count * each, 49)


def test_the_seed_decides(glyphs):
    real, fake = glyphs[:100], glyphs[100:200]
    figures = [sliced_wasserstein(real, fake, patches=4, projections=8, seed=seed) for seed in (0, 0, 1)]
    assert figures[0] == figures[1] != figures[2]


def test_brightness_and_contrast_count_for_nothing(glyphs):
    real, fake = glyphs[:300] / 127.5 - 1, glyphs[300:600] / 127.5 - 1
    figures = sliced_wasserstein(real, fake, patches=4, projections=16)
    assert sliced_wasserstein(real, 0.3 * fake + 0.2, patches=4, projections=16) == pytest.approx(figures, rel=1e-3)


def test_constant_images(glyphs):
    # E |x·w| of the normalised patches is what remains: finite
    figures = sliced_wasserstein(glyphs[:100], np.zeros((100, 28, 28, 1)), patches=4, projections=16)
    assert 100 < figures["mean"] < 7000
    assert sliced_wasserstein(np.zeros((3, 28, 28, 1)), np.ones((3, 28, 28, 1)))["mean"] == 0


def test_errors(glyphs):
    with pytest.raises(ValueError, match="at least 14x14 pixels, not 13x20"):
        sliced_wasserstein(np.zeros((2, 13, 20, 1)), np.zeros((2, 13, 20, 1)))
    with pytest.raises(ValueError, match=r"real images are of shape \(28, 28, 1\), generated ones \(28, 28, 3\)"):
        sliced_wasserstein(glyphs[:3], np.zeros((3, 28, 28, 3)))
    with pytest.raises(ValueError, match=r"must be \[N, H, W, C\], not of shape \(3, 28, 28\)"):
        sliced_wasserstein(glyphs[:3], np.zeros((3, 28, 28)))
    with pytest.raises(ValueError, match=r"are of shape \(28, 28, 1\), then \(14, 28, 1\)"):
        sliced_wasserstein(glyphs[:3], [glyphs[:3], glyphs[:3, ::2]])
    for none in (glyphs[:0], []):
        with pytest.raises(ValueError, match="there are no images"):
            sliced_wasserstein(glyphs[:3], none)
    with pytest.raises(ValueError, match="not finite"):
        sliced_wasserstein(glyphs[:3], np.full((3, 28, 28, 1), np.nan))
