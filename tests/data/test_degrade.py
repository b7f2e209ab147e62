import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from kgan.data import outlines
from kgan.data.degrade import KINDS, Degradation, degrade, parse
from kgan.data.source import DataError

ALL = "downscale:2+blur:0.7+noise:10+mask+jpeg:60+grey"


@pytest.fixture(scope="module")
def images():
    """Colour pictures with edges and plain places, not square."""
    return np.ascontiguousarray(outlines.source(32, count=12).arrays["image"][:, 4:])


def test_parse():
    assert parse("") == parse(" + ") == ()
    assert parse("downscale:4+jpeg:40 + noise:2.5") == (
        Degradation("downscale", 4), Degradation("jpeg", 40), Degradation("noise", 2.5))
    assert parse("grey+mask") == (Degradation("grey"), Degradation("mask", 0.25))


@pytest.mark.parametrize("text, message", [
    ("gray", r"degrade=gray: no degradation is named 'gray' \(did you mean 'grey'\?\); join some of same, grey, noise:SIGMA, "
             r"blur:SIGMA, downscale:FACTOR, jpeg:QUALITY, mask:SHARE by \+"),
    ("grey+nois:3", r"named 'nois' \(did you mean 'noise'\?\)"),
    ("noise", "noise:SIGMA takes a number from 0 to 255, or two as in LOW-HIGH, not ''"),
    ("noise:x", "not 'x'"), ("noise:nan", "not 'nan'"), ("noise:300", "not '300'"), ("blur:-1", "not '-1'"),
    ("jpeg:40.5", "jpeg:QUALITY takes a whole number from 1 to 100, or two as in LOW-HIGH, not '40.5'"), ("jpeg:inf", "not 'inf'"),
    ("downscale:0", "from 1 to 64"), ("noise:9-5", "or two as in LOW-HIGH, not '9-5'"),
    ("jpeg:1-2-3", "LOW-HIGH"), ("jpeg:20-30.5", "whole"),
    ("noise:1-300", "not '1-300'"), ("mask:0", "mask:SHARE takes a number from 0.001 to 1"),
    ("grey:2", "grey takes no number: write grey")])
def test_mistakes(text, message):
    with pytest.raises(DataError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["grey", "noise:20", "blur:1.5", "downscale:4", "jpeg:30", "mask:0.2", ALL])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_whatever_the_batch(images, text, channels):
    images = images[..., :channels]
    positions = np.arange(12) + 70_000
    whole = degrade(text, images, 5, positions)
    assert whole.shape == images.shape and whole.dtype == np.uint8
    assert np.array_equal(whole, images) == (text == "grey" and channels == 1)
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(degrade(text, images[order], 5, positions[order]), whole[order])
    for start in (0, 5, 11):
        np.testing.assert_array_equal(degrade(text, images[start:start + 1], 5, positions[start:start + 1])[0], whole[start])


@pytest.mark.parametrize("text", ["noise:20", "downscale:4"])
def test_each_image_has_a_position(images, text):
    with pytest.raises(ValueError, match="3 positions for 12 images"):
        degrade(text, images, 5, [0, 1, 2])


@pytest.mark.parametrize("text", ["noise:20", "mask:0.2"])
def test_what_is_random_differs_by_seed_position_and_place(images, text):
    same = np.repeat(images[:1], 8, 0)
    made = degrade(text, same, 5, range(8))
    assert len({one.tobytes() for one in made}) == 8
    assert not np.array_equal(degrade(text, same, 6, range(8)), made)
    twice = degrade("noise:20+noise:20", np.full((1, 40, 40, 1), 128, np.uint8), 5, [0]).astype(float)
    assert 26 < twice.std() < 31  # √2·20, not 40: two draws


def test_noise_has_its_deviation():
    made = degrade("noise:10", np.full((4, 100, 100, 3), 128, np.uint8), 1, range(4)).astype(float)
    assert abs(made.mean() - 128) < 0.2 and abs(made.std() - 10) < 0.2
    black = degrade("noise:50", np.zeros((1, 100, 100, 1), np.uint8), 1, [0])  # cut at 0, not wrapped round
    assert abs((black == 0).mean() - 0.5) < 0.02 and black.max() < 255


def test_strengths_are_drawn_for_each_image():
    assert parse("jpeg:20-90+noise:1e-3") == (Degradation("jpeg", 20, 90), Degradation("noise", 0.001))
    grey = np.full((200, 24, 24, 1), 128, np.uint8)
    made = degrade("noise:10-30", grey, 4, range(200)).astype(float).std((1, 2, 3))
    assert 9 < made.min() < 12 and 28 < made.max() < 32 and abs(made.mean() - 20) < 1.5
    np.testing.assert_array_equal(degrade("noise:10-30", grey[:3], 4, [7, 8, 9])[1], degrade("noise:10-30", grey[:1], 4, [8])[0])
    qualities = {Degradation("jpeg", 1, 3).strength(np.random.default_rng(i)) for i in range(50)}
    assert qualities == {1, 2, 3}
    with pytest.raises(DataError, match="degrade=downscale:2-4: this model makes images as many times larger"):
        degrade("downscale:2-4", grey, 0, range(200), enlarge=False)


def test_grey_is_the_luma_in_each_channel(images):
    made = degrade("grey", images, 0, range(12))
    luma = images.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(made, np.repeat(luma[..., None], 3, -1), atol=1)


def test_blur_is_a_gaussian(images):
    made = degrade("blur:2", images, 0, range(12)).astype(float)
    wanted = ndimage.gaussian_filter(images.astype(float), (0, 2, 2, 0), mode="nearest")
    assert np.abs(made - wanted).mean() < 1.5  # Pillow's is made of three box filters
    assert np.array_equal(degrade("blur:0", images, 0, range(12)), images)


def test_downscale_loses_what_is_fine():
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (16, 16))[None, ..., None]  # a checkerboard
    made = degrade("downscale:4", fine, 0, [0])
    assert np.abs(made[:, 8:-8, 8:-8].astype(int) - 128).max() < 8
    ramp = np.tile(np.linspace(0, 248, 32).astype(np.uint8), (32, 1))[None, ..., None]
    assert np.abs(degrade("downscale:4", ramp, 0, [0]).astype(int) - ramp)[:, :, 8:-8].max() <= 1  # a border of two small pixels apart
    assert np.array_equal(degrade("downscale:1", fine, 0, [0]), fine)
    assert degrade("downscale:64", fine, 0, [0]).std() < 1  # one pixel, blown up


def test_jpeg_is_what_a_file_would_be(images):
    made = degrade("jpeg:35", images, 0, range(12))
    file = io.BytesIO()
    Image.fromarray(images[3]).save(file, "JPEG", quality=35)
    np.testing.assert_array_equal(made[3], np.asarray(Image.open(file)))


def test_mask_is_a_box_of_its_share(images):
    made = degrade("mask:0.25", 255 - images // 3, 2, range(12))
    changed = (made == 128).all(-1)
    assert (changed.sum((1, 2)) == 14 * 16).all()  # of 28 × 32
    for one in changed:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        assert len(rows) == 14 and len(columns) == 16 and one[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all()
    assert len({tuple(np.argwhere(one)[0]) for one in changed}) > 6
    assert (degrade("mask:1", images, 2, range(12)) == 128).all()


def test_order_counts(images):
    one, other = (degrade(text, images, 0, range(12)) for text in ("grey+jpeg:20", "jpeg:20+grey"))
    assert not np.array_equal(one, other)
    step_by_step = degrade("jpeg:20", degrade("grey", images, 0, range(12)), 0, range(12))
    np.testing.assert_array_equal(one, step_by_step)


def test_wrong_arrays(images):
    with pytest.raises(ValueError, match=r"uint8 \[n, H, W, 1 or 3\], not float32 \[12, 28, 32, 3\]"):
        degrade("grey", images.astype(np.float32), 0, range(12))
    with pytest.raises(ValueError):
        degrade("grey", images, 0, range(11))
    assert {*KINDS} == {"same", "grey", "noise", "blur", "downscale", "jpeg", "mask"}
