"""How well holes are filled: differences within the hole alone, by its share of the image. NumPy alone."""
import numpy as np

RANGE = 255.0
SHARES = {"to_10": (0.0, 0.1), "to_20": (0.1, 0.2), "to_40": (0.2, 0.4), "above_40": (0.4, 1.0)}  # of the image, the second included


def differences(made, true, masks):
    """Mean absolute and mean squared difference within each hole.

    Args:
        made, true: uint8 [n, H, W, C].
        masks: [n, H, W, 1], 1 where something was missing.

    Returns:
        (float64 [n], float64 [n]): in parts of the range and of its square, from 0 to 1; NaN where nothing was missing.
    """
    if made.shape != true.shape or not made.dtype == true.dtype == np.uint8 or masks.shape != (*made.shape[:3], 1):
        raise ValueError(f"two uint8 [n, H, W, C] and masks [n, H, W, 1] are compared, not {made.dtype} {list(made.shape)}, "
                         f"{true.dtype} {list(true.shape)} and {list(masks.shape)}")
    missing = masks > 0.5
    apart = np.where(missing, np.abs(made.astype(np.float64) - true), 0) / RANGE
    with np.errstate(invalid="ignore"):
        return tuple(values.sum((1, 2, 3)) / (made.shape[-1] * missing.sum((1, 2, 3))) for values in (apart, apart**2))


def figures(made, true, masks, suffix=""):
    """Figures of filled holes, arguments as for `differences`: dict of name to float.

    `hole_l1`: mean over the images of the mean absolute difference, 0 to 1. `hole_psnr`: of the mean over the images of the mean
    squared difference, in dB (a mean of each image's dB would be infinite as soon as one hole is filled without a fault);
    `hole_psnr_to_10` … the same of images with such a share missing, where there are any. Images without a hole do not count.
    """
    apart, squares = differences(made, true, masks)
    some, shares = ~np.isnan(apart), np.mean(masks > 0.5, axis=(1, 2, 3))
    found = {"hole_l1": float(np.mean(apart[some])), "hole_psnr": _decibels(squares[some])} if some.any() else {}
    for name, (low, high) in SHARES.items():
        rows = some & (shares > low) & (shares <= high)
        if rows.any():
            found[f"hole_psnr_{name}"] = _decibels(squares[rows])
    return {f"{name}{suffix}": value for name, value in found.items()}


def _decibels(squares):
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.mean(squares)))


def surrounded(images, masks):
    """Images whose holes have the mean of what borders on them, pixels that touch a missing one: the simplest way to fill.

    Args:
        images: uint8 [n, H, W, C].
        masks: [n, H, W, 1].

    Returns:
        uint8 [n, H, W, C]; where nothing is known, mid grey.
    """
    missing = np.asarray(masks) > 0.5
    around = np.pad(missing, [(0, 0), (1, 1), (1, 1), (0, 0)])
    height, width = images.shape[1:3]
    near = np.any([around[:, i:i + height, j:j + width] for i in range(3) for j in range(3)], axis=0) & ~missing
    count = near.sum((1, 2), keepdims=True)
    mean = np.where(near, images, 0.0).sum((1, 2), keepdims=True) / np.maximum(count, 1)
    return np.where(missing, np.where(count > 0, np.rint(mean), 128), images).astype(np.uint8)
