import io

import numpy as np
import pytest
from PIL import Image

from kgan import kinds
from kgan.kinds import Field, mask

FREE = Field("mask", (None, None, 1))


def png(pixels, mode=None, suffix="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8), mode).save(buffer, suffix)
    return buffer.getvalue()


@pytest.fixture
def drawn():
    return mask.examples(Field("mask", (12, 16, 1)), 3)


def test_examples(drawn):
    assert drawn.shape == (3, 12, 16, 1) and drawn.dtype == np.float32 and set(drawn.ravel()) == {0, 1}
    np.testing.assert_array_equal(drawn[:2], mask.examples(Field("mask", (12, 16, 1)), 2))
    assert mask.examples(FREE, 1).shape == (1, 32, 32, 1) and (drawn[0] != drawn[1]).any()
    assert all(0.02 < one.mean() < 0.6 for one in drawn)


def test_there_and_back(drawn):
    for one in drawn:
        found = mask.read(mask.write(one), FREE)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, one)
        np.testing.assert_array_equal(mask.store(mask.scale(found.astype(np.float32))), found)
    assert Image.open(io.BytesIO(mask.write(drawn[0]))).size == (16, 12)


def test_white_is_missing_and_what_is_transparent_is_not():
    levels = np.array([[0, 255], [20, 230]])
    wanted = [[0, 1], [0, 1]]
    assert mask.read(png(levels), FREE)[..., 0].tolist() == wanted
    assert mask.read(png(levels > 127), FREE)[..., 0].tolist() == wanted  # 0 and 1 alone
    assert mask.read(png(np.stack([levels] * 3, -1)), FREE)[..., 0].tolist() == wanted
    clear = np.full((2, 2, 4), 255)
    clear[..., 3] = levels > 127
    assert mask.read(png(clear * [1, 1, 1, 255] // [1, 1, 1, 1]), FREE)[..., 0].tolist() == wanted
    assert not mask.read(png(np.zeros((4, 4))), FREE).any()


def test_a_jpeg_is_read_in_spite_of_its_levels():
    wanted = np.zeros((64, 64), np.uint8)
    wanted[8:40, 16:32] = 255
    np.testing.assert_array_equal(mask.read(png(wanted, suffix="JPEG"), FREE)[..., 0], wanted // 255)


@pytest.mark.parametrize("data, message", [
    (b"", "no image that can be read"), (png(np.zeros((8, 8)))[:40], "no image that can be read"),
    (png(np.zeros((9, 8))), "the mask is 8×9 pixels; 8×8 are needed"),
    (png(np.arange(64).reshape(8, 8) * 4), "neither black nor white: a mask is white where"),
    (png(np.zeros((101, 100))), "100×101 pixels, more than 10000")])
def test_what_is_no_mask(data, message):
    with pytest.raises(ValueError, match=message):
        mask.read(data, Field("mask", (8, 8, 1)), max_pixels=10_000)


def test_a_given_mask_is_not_taken_for_what_is_made():
    assert mask.FIELD != "mask" and kinds.get("mask") is mask
    assert np.asarray(mask.sheet(np.ones((2, 4, 4, 1)), smallest=0)).min() == 255
    assert mask.images(np.array([0.0, 1.0])).tolist() == [-1, 1]
