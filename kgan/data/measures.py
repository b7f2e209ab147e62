"""What can be measured on the images themselves: numbers that a model can be conditioned on where no file has them.

    python train.py --model=agecgan --dataset=mnist --set condition=thickness

For grey images of one bright object on a black ground, such as digits. `Source.by` asks here for fields that data lack.
"""
import numpy as np

_PIXELS = 2**21  # at once: the temporaries stay small


def stroke_thickness(images):
    """Mean width of the strokes in pixels: twice the area over the length of the outline.

    The area is the sum of the pixels' shares of white, the outline's length the sum of the lengths of their gradients
    (total variation): both are right for edges that fall within a pixel, so no threshold is needed. A stroke of length L
    and width w, both ends free, gives w / (1 + w / L); one that is closed, as a zero, w. Strokes thinner than a pixel
    count as about one.

    Args:
        images: [n, H, W] or [n, H, W, 1], uint8 or float in [-1, 1].

    Returns:
        float32 [n]; 0 for an image without any white.
    """
    return _measured(images, _thickness)


def slant(images):
    """How far the object leans to the right: the shift to the right by unit of height, from its second moments.

    -Σ(x - x̄)(y - ȳ) / Σ(y - ȳ)² over the pixels, each with its share of white, y counted downwards: the shear that
    makes rows' means stand upright by least squares. A shape has a slant of its own even where it was not sheared, a
    seven for instance. Arguments and result as for `stroke_thickness`.
    """
    return _measured(images, _slant)


MEASURES = {"thickness": stroke_thickness, "slant": slant}


def _measured(images, measure):
    if images.ndim == 4 and images.shape[-1] != 1 or images.ndim not in (3, 4):
        raise ValueError(f"images of shape {list(images.shape)}: grey ones are measured, [n, H, W, 1]")
    found = np.zeros(len(images), np.float32)
    batch = max(1, _PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), batch):
        part = np.asarray(images[start:start + batch]).reshape(-1, *images.shape[1:3])
        white = part.astype(np.float32) / 255 if part.dtype == np.uint8 else (part.astype(np.float32) + 1) / 2
        found[start:start + batch] = measure(white)
    return found


def _thickness(white):
    around = np.pad(white, ((0, 0), (1, 1), (1, 1)))
    # the gradient in the middle of each four pixels: the mean of two differences in each direction
    up, down = around[:, :-1], around[:, 1:]
    vertical = (down - up)[:, :, :-1] + (down - up)[:, :, 1:]
    across = np.diff(around, axis=2)
    horizontal = across[:, :-1] + across[:, 1:]
    outline = 0.5 * np.sqrt(vertical**2 + horizontal**2).sum((1, 2), dtype=np.float64)
    return 2 * white.sum((1, 2), dtype=np.float64) / np.maximum(outline, 1e-6)


def _slant(white):
    height, width = white.shape[1:]
    rows, columns = white.sum(2, dtype=np.float64), white.sum(1, dtype=np.float64)
    mass = np.maximum(rows.sum(1), 1e-6)
    y = np.arange(height) - (rows @ np.arange(height) / mass)[:, None]
    x = np.arange(width) - (columns @ np.arange(width) / mass)[:, None]
    along = np.einsum("nhw,nw->nh", white, x.astype(np.float32))
    return -(along * y).sum(1) / np.maximum((rows * y**2).sum(1), 1e-6)
