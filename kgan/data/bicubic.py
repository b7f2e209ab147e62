"""Bicubic interpolation as MATLAB's imresize does it, by which super-resolution is trained and measured. NumPy alone.

Keys' kernel with a = -.5; where the image becomes smaller the kernel is as many times wider (antialiasing), beyond the edges the
image is mirrored. Pillow's BICUBIC has the same kernel and cuts it off at the edges; OpenCV's has a = -.75 and no antialiasing.
"""
import functools

import numpy as np


def resize(images, height, width):
    """Images of another size.

    Args:
        images: [..., H, W, C], uint8, uint16 or float.
        height, width: pixels, at least 1.

    Returns:
        [..., height, width, C]: uint8 or uint16, rounded once, or float32.
    """
    images = np.asarray(images)
    x = images.astype(np.float32)
    for axis, size in ((images.ndim - 3, height), (images.ndim - 2, width)):
        if x.shape[axis] != size:
            weights, places = _taps(x.shape[axis], size)
            shape = [1] * x.ndim
            shape[axis] = size
            x = sum(weights[:, i].reshape(shape) * x.take(places[:, i], axis) for i in range(weights.shape[1]))
    return x if images.dtype.kind == "f" else np.clip(np.rint(x), 0, np.iinfo(images.dtype).max).astype(images.dtype)


def matrix(before, after):
    """The same along one axis as a matrix float32 [after, before]."""
    weights, places = _taps(before, after)
    found = np.zeros((after, before), np.float32)
    np.add.at(found, (np.arange(after)[:, None], places), weights)
    return found


@functools.lru_cache(maxsize=64)
def _taps(before, after):
    """Of each of `after` pixels the weights float32 [after, k] and the places [after, k] of those that it is made of."""
    scale = min(1.0, after / before)
    center = (np.arange(after) + 0.5) * before / after - 0.5
    places = np.floor(center - 2 / scale)[:, None] + np.arange(int(np.ceil(4 / scale)) + 2)
    weights = _cubic((center[:, None] - places) * scale)
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)
    folded = places[:, used].astype(int) % (2 * before)
    return weights[:, used].astype(np.float32), np.where(folded < before, folded, 2 * before - 1 - folded)


def _cubic(x):
    """Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", equation 15."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
