import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kgan.data.bicubic import resize


def smooth(height, width, channels=3, seed=0):
    """uint8 noise without its finest details, so that edges matter and ringing is not cut off."""
    small = np.random.default_rng(seed).integers(40, 216, (height // 3, width // 3, channels)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(small[..., i]).resize((width, height), Image.Resampling.BILINEAR))
                     for i in range(channels)], -1)


@pytest.mark.parametrize("size", [(8, 12), (16, 24), (11, 17), (64, 96), (45, 40)])
def test_inside_it_is_tensorflows_and_pillows(size):
    """The same kernel; at the edges both cut it off, and here the image is mirrored."""
    image = smooth(32, 48)
    made = resize(image.astype(np.float32), *size)
    theirs = tf.image.resize(image, size, "bicubic", antialias=True).numpy()
    border = max(3, 3 * size[0] // 32)
    inside = slice(border, -border), slice(border, -border)
    np.testing.assert_allclose(made[inside], theirs[inside], atol=2e-2)
    pillow = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    assert np.abs(resize(image, *size).astype(int) - pillow)[inside].max() <= 1  # which rounds after each direction


def test_edges_are_those_of_the_mirrored_image():
    image = smooth(24, 24).astype(np.float32)
    mirrored = np.pad(image, [(24, 24), (24, 24), (0, 0)], mode="symmetric")
    for size in (6, 48):
        np.testing.assert_allclose(resize(image, size, size), resize(mirrored, 3 * size, 3 * size)[size:-size, size:-size], atol=2e-4)
    line = np.array([10, 20, 30, 40], np.float32).reshape(4, 1, 1)
    # by hand, a = -.5, twice as many: the first pixel lies at -.25, of mirrored 20 10 | 10 20 30
    weights = np.array([-0.0234375, 0.2265625, 0.8671875, -0.0703125])
    assert resize(line, 8, 1)[0].item() == pytest.approx(weights @ [20, 10, 10, 20], abs=1e-4)
    tiny = np.full((1, 1, 3), 77, np.uint8)  # mirrored for ever
    assert (resize(tiny, 5, 9) == 77).all()


def test_batches_types_and_nothing_to_do():
    images = np.stack([smooth(16, 12, seed=i) for i in range(3)])
    made = resize(images, 4, 3)
    assert made.dtype == np.uint8 and made.shape == (3, 4, 3, 3)
    np.testing.assert_array_equal(made[1], resize(images[1], 4, 3))
    np.testing.assert_array_equal(resize(images, 16, 12), images)
    loud = np.tile(np.array([0, 255], np.uint8), 8).reshape(1, 16, 1, 1).repeat(16, 2)
    assert resize(loud, 64, 64).min() == 0 and resize(loud, 64, 64).max() == 255  # cut, not wrapped round
