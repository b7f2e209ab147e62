"""Attributes measured on images: bars whose width and lean are known, and glyphs that were drawn with them."""
import time

import numpy as np
import pytest
from scipy import stats

from kgan.data import glyphs, measures
from kgan.data.source import DataError, Source


def bar(width, length, angle=0.0, shear=0.0, size=28, fine=16):
    """A white bar in the middle, but for parts of a pixel, `angle` from upright: each pixel's share, float [size, size, 1]
    in [-1, 1]."""
    at = (np.arange(size * fine) + 0.5) / fine - size / 2
    x, y = np.meshgrid(at + 0.13, 0.27 - at)
    x = x - shear * y
    along, across = x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) - y * np.sin(angle)
    inside = (np.abs(along) < length / 2) & (np.abs(across) < width / 2)
    return 2 * inside.reshape(size, fine, size, fine).mean((1, 3))[..., None] - 1


def ring(width, size=28, fine=16):
    at = (np.arange(size * fine) + 0.5) / fine - size / 2
    far = np.hypot(*np.meshgrid(at, at))
    return 2 * (np.abs(far - 8) < width / 2).reshape(size, fine, size, fine).mean((1, 3))[..., None] - 1


@pytest.mark.parametrize("width", [2, 2.5, 3, 4, 5, 6])
def test_thickness_of_bars_and_rings(width):
    bars = np.stack([bar(width, 20, angle) for angle in np.linspace(0, np.pi, 12)])
    found = measures.stroke_thickness(bars)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * (1 + width / 20), width, rtol=0.11 if width < 3 else 0.05)
    np.testing.assert_allclose(measures.stroke_thickness(ring(width)[None]), width, rtol=0.06)


def test_thickness_grows_with_width_and_scales_with_the_picture():
    widths = np.linspace(1, 6, 21)
    found = measures.stroke_thickness(np.stack([bar(width, 20, 0.4) for width in widths]))
    assert (np.diff(found) > 0).all()
    large = measures.stroke_thickness(bar(8, 40, 0.4, size=56)[None])
    assert large[0] == pytest.approx(2 * measures.stroke_thickness(bar(4, 20, 0.4)[None])[0], rel=0.03)


@pytest.mark.parametrize("shear", [-0.3, -0.1, 0.0, 0.2, 0.4])
def test_slant_of_bars(shear):
    for width in (2, 4):
        assert measures.slant(bar(width, 18, shear=shear)[None])[0] == pytest.approx(shear, abs=0.02)


def test_any_kind_of_grey_image_and_none():
    image = bar(3, 18, shear=0.2)
    pixels = np.uint8(np.rint((image + 1) * 127.5))
    for measure in measures.MEASURES.values():
        wanted = measure(image[None])
        np.testing.assert_allclose(measure(pixels[None]), wanted, atol=5e-3)
        np.testing.assert_allclose(measure(pixels[None, ..., 0]), wanted, atol=5e-3)
        assert measure(np.zeros((2, 28, 28, 1), np.uint8)).tolist() == [0, 0]
        many = np.repeat(pixels[None], measures._PIXELS // pixels[..., 0].size + 3, 0)
        many[-1] = 0
        found = measure(many)
        assert found[-1] == 0 and len({*found[:-1].tolist()}) == 1
        with pytest.raises(ValueError, match="grey"):
            measure(np.zeros((2, 28, 28, 3), np.uint8))


@pytest.fixture(scope="module")
def digits():
    return glyphs.source(count=6000)


@pytest.mark.parametrize("measure, field, least", [("thickness", "weight", 0.65), ("slant", "slant", 0.78)])
def test_glyphs(digits, measure, field, least):
    """Within a face and a digit; what else differs there are the glyph's size and rotation."""
    found, true = measures.MEASURES[measure](digits.arrays["image"]), np.asarray(digits.arrays[field])
    group = np.asarray(digits.arrays["font"]) * 10 + np.asarray(digits.arrays["label"])
    ranks = [stats.spearmanr(found[group == each], true[group == each])[0] for each in range(0, 180, 7)]
    assert np.mean(ranks) > least, ranks


def test_speed(digits):
    start = time.process_time()
    measures.stroke_thickness(digits.arrays["image"])
    assert time.process_time() - start < 2  # 60,000 then take 20 s at the very worst


# === Source.by ===

def test_a_measure_as_a_condition(digits):
    found = digits.by("thickness", 5)
    assert "thickness" not in digits.arrays
    labels, thickness = found.arrays["thickness"], measures.stroke_thickness(digits.arrays["image"])
    assert np.bincount(labels).tolist() == [1200] * 5
    assert all(thickness[labels == i].max() <= thickness[labels == i + 1].min() for i in range(4))
    other = glyphs.source(count=500, split="test").by("thickness", 5, like=found)
    assert other.classes["thickness"] == found.classes["thickness"]
    cuts, true = found.cuts["thickness"], measures.stroke_thickness(other.arrays["image"])
    assert (other.arrays["thickness"] == np.clip(np.searchsorted(cuts, true, side="right") - 1, 0, 4)).all()
    # a field of the data goes before a measure
    assert digits.by("slant", 4).cuts["slant"][0] == np.asarray(digits.arrays["slant"]).min()


def test_few_values_are_a_class_each():
    data = Source("data", {"sample": np.zeros((6, 2), np.float32), "gender": np.float32([1, 0, 0, 1, 1, 0])})
    found = data.by("gender", 6)
    assert found.classes["gender"] == ["0", "1"] and found.arrays["gender"].tolist() == [1, 0, 0, 1, 1, 0]
    other = Source("data", {"sample": np.zeros((2, 2), np.float32), "gender": np.float32([1, 1])})
    assert other.by("gender", 6, like=found).arrays["gender"].tolist() == [1, 1]
    with pytest.raises(DataError, match="condition=gender: .* the same"):
        other.by("gender", 6)


def test_conditions_that_cannot_be(digits):
    with pytest.raises(DataError, match="condition=thicknes: .*did you mean 'thickness'.*weight.*measured .* thickness"):
        digits.by("thicknes", 6)
    with pytest.raises(DataError, match="condition=thickness: ring has no such field; it has [a-z]+$"):
        Source("ring", {"sample": np.zeros((6, 2)), "mode": np.arange(6)}).by("thickness", 6)
    with pytest.raises(DataError, match="colour: --channels=1"):
        Source("faces", {"image": np.zeros((6, 8, 8, 3), np.uint8)}).by("thickness", 6)
    with pytest.raises(DataError, match="condition=image"):
        digits.by("image", 6)
