"""Measures of two aligned batches of images, per example: PSNR, SSIM, MS-SSIM, L1. NumPy alone."""
import numpy as np

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian
K1, K2 = 0.01, 0.03
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of MS-SSIM, from the full size down
RANGE = 255.0


def psnr(made, true):
    """Peak signal-to-noise ratio in dB: 20 log10(255 / RMSE), the RMSE over all pixels and channels.

    Args:
        made, true: uint8 [n, H, W, C]: rounded, so that a figure is that of the files that are written. Or float64, from 0 to
            255, as `luma` gives them.

    Returns:
        float64 [n]; infinite where both are equal.
    """
    _check(made, true)
    squares = [np.mean((one.astype(np.float64) - other) ** 2) for one, other in zip(made, true)]
    with np.errstate(divide="ignore"):
        return 10 * np.log10(RANGE**2 / np.array(squares, np.float64))


def ssim(made, true):
    """Structural similarity: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity".

    Windows of 11×11 pixels weighted by a Gaussian of σ 1.5, K .01 and .03, data range 255, only windows that lie within the
    image, mean over windows, then over channels (RGB, not luma): `tf.image.ssim` with its defaults, and scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)`, whose default is
    another window.

    Args:
        made, true: as for `psnr`.

    Returns:
        float64 [n], from -1 to 1; NaN where a side is below 11 pixels.
    """
    _check(made, true)
    if min(made.shape[1:3]) < WINDOW:
        return np.full(len(made), np.nan)
    return np.array([_ssim(one.astype(np.float64), other.astype(np.float64))[0].mean() for one, other in zip(made, true)], np.float64)


def ms_ssim(made, true):
    """SSIM at five sizes: Wang et al. 2003, "Multi-Scale Structural Similarity for Image Quality Assessment".

    The mean over places of contrast and structure at each size, of the smallest that of SSIM itself, to the powers SCALES;
    their product, then the mean over channels. Between sizes the means of 2x2 pixels are taken, of an odd side the last row
    twice. What is below 0 counts as 0. `tf.image.ssim_multiscale` with its defaults.

    Args:
        made, true: as for `psnr`.

    Returns:
        float64 [n], from 0 to 1; NaN where a side is below 176 pixels, of which the smallest size has 11.
    """
    _check(made, true)
    if min(made.shape[1:3]) < WINDOW * 2 ** (len(SCALES) - 1):
        return np.full(len(made), np.nan)
    return np.array([_ms_ssim(one.astype(np.float64), other.astype(np.float64)) for one, other in zip(made, true)], np.float64)


def luma(images):
    """Y of BT.601 in its limited range, 16 to 235, as MATLAB's rgb2ycbcr has it and super-resolution is measured; not rounded.

    Args:
        images: uint8 [n, H, W, 3], or [n, H, W, 1], which stays as it is: so do the scripts that the published figures are by.

    Returns:
        float64 [n, H, W, 1].
    """
    if images.shape[-1] == 1:
        return images.astype(np.float64)
    return 16 + images.astype(np.float64) @ np.array([[65.481], [128.553], [24.966]]) / 255


def l1(made, true):
    """Mean absolute difference in parts of the range, 0 to 1: float64 [n] of uint8 [n, H, W, C]."""
    _check(made, true)
    return np.array([np.mean(np.abs(one.astype(np.float64) - other)) / RANGE for one, other in zip(made, true)], np.float64)


def _ssim(x, y):
    """(SSIM, its part that is of contrast and structure): each float64 [C], means over places."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    products = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    # 2·covariance and sum of variances, each over windows without Bessel's correction
    covariance = 2 * (_blurred(x * y) - products)
    variances = _blurred(x**2 + y**2) - squares
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    structure = (covariance + c2) / (variances + c2)
    return np.mean((2 * products + c1) / (squares + c1) * structure, (0, 1)), np.mean(structure, (0, 1))


def _ms_ssim(x, y):
    found = []
    for i in range(len(SCALES)):
        if i:
            x, y = (_halved(each) for each in (x, y))
        whole, structure = _ssim(x, y)
        found.append(whole if i == len(SCALES) - 1 else structure)
    return np.mean(np.prod([np.maximum(value, 0) ** power for value, power in zip(found, SCALES)], 0))


def _halved(x):
    x = np.pad(x, [(0, side % 2) for side in x.shape[:2]] + [(0, 0)], mode="edge")
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def _blurred(x):
    """[H, W, C] -> [H-10, W-10, C]: the windows' weighted means, by columns and then by rows."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        count = x.shape[axis] - WINDOW + 1
        x = sum(weight * x.take(range(i, i + count), axis) for i, weight in enumerate(weights))
    return x


def _check(made, true):
    if made.shape != true.shape or made.ndim != 4 or made.dtype != true.dtype or made.dtype not in (np.uint8, np.float64):
        raise ValueError(f"two uint8 [n, H, W, C] are compared, or two of float64, not {made.dtype} {list(made.shape)} and "
                         f"{true.dtype} {list(true.shape)}")
