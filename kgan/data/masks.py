"""Masks for inpainting: brush strokes and boxes, the hole's share of the image within bounds. NumPy and Pillow alone.

A brush stroke is that of Yu et al. 2018, "Free-Form Image Inpainting with Gated Convolution", arXiv:1806.03589, algorithm 1:
a line of 4 to 12 corners that turns to and fro, with round corners. Lengths are in proportion to the image's, of which the
paper's have 256 pixels: strokes are 12 to 40 of these wide. Unlike there each image has a mask of its own, and pieces are
added until the hole has the share that was drawn for it. A mask is a function of (seed, position).
"""
import math

import numpy as np
from PIL import Image, ImageDraw

SHAPES = "strokes+boxes", "strokes", "boxes"
STREAM = 0x6D61736B  # sets these random numbers apart from those of degradations and jitter
PAPER = 256  # pixels of its images, to which its lengths refer
CORNERS, WIDTH = (4, 12), (12, 40)
ANGLE, TURN = 2 * math.pi / 5, 2 * math.pi / 15
TRIES = 50


def draw(size, seed, position, masks="strokes+boxes", least=0.05, most=0.4):
    """One mask.

    Args:
        size: (H, W).
        seed, position: int, not negative: what it is a function of.
        masks: one of SHAPES.
        least, most: the share of the image that is missing lies between these, 0 <= least < most <= 1, rounded to a pixel.

    Returns:
        uint8 [H, W, 1], 1 where the image is missing.
    """
    rng = np.random.default_rng([seed, position, STREAM])
    wanted = rng.uniform(least, most)
    mask = np.zeros(size, bool)
    for _ in range(TRIES):
        boxes = masks == "boxes" or masks == "strokes+boxes" and rng.random() < 0.3
        more = mask | (_box(size, wanted, rng) if boxes else _stroke(size, rng))
        if more.mean() > most:  # another piece may be smaller
            continue
        mask = more
        if mask.mean() >= wanted:
            break
    if mask.mean() < least or not mask.any():  # no piece was small enough: pixels in a row, from anywhere on
        lacking = min(max(round(wanted * mask.size), math.ceil(least * mask.size)), math.floor(most * mask.size)) - int(mask.sum())
        mask.flat[np.roll(np.flatnonzero(~mask), rng.integers(mask.size))[:lacking]] = True
    return mask.astype(np.uint8)[..., None]


def _box(size, share, rng):
    """A box of up to `share` of the image, anywhere within it."""
    area, stretch = share * rng.uniform(0.3, 1), math.exp(rng.uniform(-0.5, 0.5))
    rows, columns = (min(side, max(1, math.floor(side * part)))
                     for side, part in zip(size, (math.sqrt(area) * stretch, math.sqrt(area) / stretch)))
    top, left = rng.integers(size[0] - rows + 1), rng.integers(size[1] - columns + 1)
    mask = np.zeros(size, bool)
    mask[top:top + rows, left:left + columns] = True
    return mask


def _stroke(size, rng):
    """One brush stroke."""
    height, width = size
    reach = math.hypot(height, width) / 8
    low, high = ANGLE - rng.uniform(0, TURN), ANGLE + rng.uniform(0, TURN)
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    corners, turned = [(x, y)], rng.uniform(0, 2 * math.pi)  # the paper's strokes run one way and are to be flipped at random
    for i in range(rng.integers(CORNERS[0], CORNERS[1] + 1)):
        angle = turned + (-1) ** i * rng.uniform(low, high)
        length = min(max(rng.normal(reach, reach / 2), 0), 2 * reach)
        x, y = min(max(x + length * math.cos(angle), 0), width), min(max(y + length * math.sin(angle), 0), height)
        corners.append((x, y))
    brush = max(1, round(rng.uniform(*WIDTH) * min(size) / PAPER))
    picture = Image.new("1", (width, height))
    pen = ImageDraw.Draw(picture)
    pen.line(corners, fill=1, width=brush)
    for x, y in corners:
        pen.ellipse((x - brush / 2, y - brush / 2, x + brush / 2, y + brush / 2), fill=1)
    return np.array(picture)
