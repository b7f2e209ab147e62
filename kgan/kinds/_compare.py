"""Measures of two aligned batches of images, per example: PSNR, SSIM, L1. NumPy alone."""
import numpy as np

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian
K1, K2 = 0.01, 0.03
RANGE = 255.0


def psnr(made, true):
    """Peak signal-to-noise ratio in dB: 20 log10(255 / RMSE), the RMSE over all pixels and channels.

    Args:
        made, true: uint8 [n, H, W, C]: rounded, so that a figure is that of the files that are written.

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
        made, true: uint8 [n, H, W, C].

    Returns:
        float64 [n], from -1 to 1; NaN where a side is below 11 pixels.
    """
    _check(made, true)
    if min(made.shape[1:3]) < WINDOW:
        return np.full(len(made), np.nan)
    return np.array([_ssim(one.astype(np.float64), other.astype(np.float64)) for one, other in zip(made, true)], np.float64)


def l1(made, true):
    """Mean absolute difference in parts of the range, 0 to 1: float64 [n] of uint8 [n, H, W, C]."""
    _check(made, true)
    return np.array([np.mean(np.abs(one.astype(np.float64) - other)) / RANGE for one, other in zip(made, true)], np.float64)


def _ssim(x, y):
    mean_x, mean_y = _blurred(x), _blurred(y)
    products = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    # 2·covariance and sum of variances, each over windows without Bessel's correction
    covariance = 2 * (_blurred(x * y) - products)
    variances = _blurred(x**2 + y**2) - squares
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    return np.mean((2 * products + c1) / (squares + c1) * (covariance + c2) / (variances + c2))


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
    if made.shape != true.shape or made.ndim != 4 or not made.dtype == true.dtype == np.uint8:
        raise ValueError(f"two uint8 [n, H, W, C] are compared, not {made.dtype} {list(made.shape)} and "
                         f"{true.dtype} {list(true.shape)}")
