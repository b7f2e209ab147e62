"""Masks: which pixels are missing; stored as uint8 0 or 1 [H, W, 1], 1 = missing, seen by networks as float32 0 or 1.

In files white is missing and black is kept; so is what is transparent. A file of 0 and 1 alone is read as such.
"""
import numpy as np
from PIL import Image

from kgan.kinds import image

# what is made is called otherwise than what is given, `mask`, or a model that is given one would seem to make it
FIELD, OUTPUT, UNIT = "made_mask", "masks", "masks"
RANGE = (0.0, 1.0)
PLOT = False
SHOWN = 64
MIRRORED = True
LIKE = "input"
MEDIA = {"image/png": ".png"}
SUFFIXES = image.SUFFIXES
GREY, TOLERATED = (32, 223), 0.1  # levels that are neither black nor white, and the share of pixels that may have them


def scale(values):
    return values


def store(values):
    """float [0, 1] to uint8 0 or 1: what is above a half is missing."""
    return (np.asarray(values) > 0.5).astype(np.uint8)


def read(data, field, max_pixels=image.MAX_PIXELS):
    """The bytes of an image file as uint8 [H, W, 1]: 1 where it is white. EXIF rotation is applied.

    Raises:
        ValueError: it is no image, is larger than `max_pixels`, has another size than `field` wants, or is no mask: more than a
            tenth of its pixels are neither black nor white.
    """
    levels = image.decoded(data, max_pixels, _levels)
    height, width = field.shape[:2]
    if (height or levels.shape[0], width or levels.shape[1]) != levels.shape:
        raise ValueError(f"the mask is {levels.shape[1]}×{levels.shape[0]} pixels; {width}×{height} are needed")
    return of_levels(levels)


def of_levels(levels):
    """uint8 [H, W], 0 to 255 or 0 and 1 -> uint8 [H, W, 1]. Raises ValueError: these are levels of no mask."""
    if levels.max(initial=0) <= 1:
        return (levels > 0).astype(np.uint8)[..., None]
    grey = np.mean((levels >= GREY[0]) & (levels <= GREY[1]))
    if grey > TOLERATED:
        raise ValueError(f"{100 * grey:.0f} % of its pixels are neither black nor white: a mask is white where the image is missing and black "
                         "elsewhere")
    return (levels > 127).astype(np.uint8)[..., None]


def _levels(opened):
    """uint8 [H, W] of a Pillow image; what is transparent is black."""
    if opened.has_transparency_data:
        colours = opened.convert("RGBA")
        opened = Image.alpha_composite(Image.new("RGBA", opened.size, "black"), colours).convert("RGB")
    return np.asarray(image.flatten(opened).convert("L"))


def write(sample, media="image/png"):
    """A PNG file, white where a mask is above a half."""
    return image.write(_pixels(np.asarray(sample)), media)


def sheet(masks, behind=None, columns=8, smallest=512):
    """One picture of many, float [n, H, W, 1]: as of images, white where something is missing."""
    return image.sheet(_pixels(masks), behind, columns, smallest)


def sheet_size(shape, count=1, columns=1):
    return image.sheet_size(shape, count, columns)


def images(samples):
    return _pixels(samples)


def _pixels(masks):
    return 2.0 * store(masks) - 1


def examples(field, count, seed=0):
    """A box and a disc each, float32 [count, H, W, 1]; free sizes are 32."""
    height, width = (size or 32 for size in field.shape[:2])
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    found = np.zeros((count, height, width, 1), np.float32)
    for mask in found[..., 0]:
        top, left = rng.integers(0, max(1, height // 2)), rng.integers(0, max(1, width // 2))
        mask[top:top + max(1, height // 3), left:left + max(1, width // 3)] = 1
        mask[(y - rng.uniform(0, height)) ** 2 + (x - rng.uniform(0, width)) ** 2 < (min(height, width) / 5) ** 2] = 1
    return found
