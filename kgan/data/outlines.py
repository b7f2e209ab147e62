"""Built-in pairs: the outline of a digit -> the digit filled with colour. What digit it is decides the colour.

So it can be measured whether a translator has filled each outline, and with the right colour (`measure`): both take more
than copying what is near, for the colour depends on the shape of the whole. The digits are those of kgan.data.glyphs, in
the same 18 type faces under the same random maps; an outline is where the distance to the edge is small. What is drawn
depends on the seed alone: picture n is the same at every size, and with any count.
"""
import numpy as np

from kgan.data import glyphs
from kgan.data.cache import cached
from kgan.data.source import DataError, Source

COLORS = {  # sRGB, of the digits 0 to 9: at least 81 from each other, and 198 from the ground
    **glyphs.PALETTE, "brown": (124, 72, 28), "black": (24, 24, 30),
}
GROUND = 240, 240, 236  # behind the filled digit; behind the outline it is black
STROKE = 1 / 40  # width of the outline in picture sides, though no less than ...
THINNEST = 1.2   # ... this many pixels
SPLITS = {"train": (0, 20_000), "test": (1, 2_000)}  # name: (stream of the seed, default count)


def source(image_size=64, channels=3, split="train", count=None, seed=0):
    """Draws the pairs, or opens them if they were drawn before.

    Args:
        image_size: int, 28 to 128.
        channels: 3; the colours are what the data are about.
        split: "train" or "test": independent draws of the same distribution.
        count: number of pairs; None for 20,000 ("train") or 2,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `input` uint8 [N, S, S, 1], the outline, white on black; `image` uint8 [N, S, S, 3], the same digit
        filled with the colour of its class, on GROUND; `label` int64 [N], the digit, uniform.

    Raises:
        DataError: an argument out of range, or a matplotlib that came without its fonts.
    """
    if channels != 3:
        raise DataError(f"outlines: channels must be 3, for the digits are filled with colours, not {channels!r}")
    glyphs.check("outlines", image_size, channels, SPLITS, split, count, seed)
    stream, default = SPLITS[split]
    # raise the version when other pictures are drawn for the same arguments
    key = {"version": 1, "image_size": int(image_size), "stream": stream,
           "count": int(default if count is None else count), "seed": int(seed)}
    arrays, _ = cached("outlines", key, lambda directory: _write(directory, **key))
    return Source("outlines", arrays, {"label": [str(digit) for digit in range(10)]},
                  kinds={"input": "image"})


def _write(directory, version, image_size, stream, count, seed):
    rng = np.random.default_rng([seed, stream])
    shape = count, image_size, image_size
    drawings, images = (np.lib.format.open_memmap(directory / f"{field}.npy", mode="w+", dtype=np.uint8,
                                                  shape=(*shape, depth)) for field, depth in (("input", 1), ("image", 3)))
    labels = np.empty(count, np.int64)
    step = max(1, glyphs.CHUNK // image_size ** 2)
    for start in range(0, count, step):
        drawn = glyphs.draw_parameters(min(step, count - start), rng)
        rows = slice(start, start + step)
        labels[rows] = drawn["label"]
        drawings[rows], images[rows] = draw(glyphs.distances(drawn, image_size), drawn["label"])
    np.save(directory / "label.npy", labels)
    drawings.flush()
    images.flush()
    return {}


def draw(distances, labels):
    """The outline and the filled digit, of distances to the edge in pixels, negative inside.

    Args:
        distances: float32 [N, S, S].
        labels: int [N], the digits.

    Returns:
        (uint8 [N, S, S, 1], uint8 [N, S, S, 3]).
    """
    width = max(THINNEST, distances.shape[1] * STROKE)
    outline = np.clip(0.5 + width / 2 - np.abs(distances), 0, 1)
    cover = np.clip(0.5 - distances, 0, 1)[..., None]
    ground = np.array(GROUND, np.float32)
    front = np.array(list(COLORS.values()), np.float32)[labels][:, None, None]
    return np.rint(255 * outline)[..., None].astype(np.uint8), np.rint(ground + cover * (front - ground)).astype(np.uint8)


def measure(images, targets, labels):
    """How well outlines have been filled.

    Each pixel counts as the nearest of the eleven colours, GROUND among them.

    Args:
        images: uint8 [N, H, W, 3], what a translator made of the outlines.
        targets: uint8 [N, H, W, 3], what it should have made.
        labels: int [N], the digits.

    Returns:
        dict of floats from 0 to 1: `right`, the share of images whose most frequent colour, GROUND apart, is their
        digit's; `filled`, the share of the targets' pixels of pure colour that have any colour but GROUND's; `spilled`,
        the share of the targets' pixels of pure GROUND that have another. `filled` and `spilled` are means over images.
    """
    colors = np.array([GROUND, *COLORS.values()], np.float32)
    labels = np.asarray(labels)
    found = np.stack([_nearest(image, colors) for image in images])
    counts = np.stack([(found == color).sum((1, 2)) for color in range(1, len(colors))], 1)
    right = (counts.argmax(1) == labels) & (counts.max(1) > 0)
    targets = np.asarray(targets)
    inside = (targets == colors[1 + labels][:, None, None].astype(np.uint8)).all(-1)
    outside = (targets == np.array(GROUND, np.uint8)).all(-1)

    def share(where):
        colored, pixels = (where & (found > 0)).sum((1, 2)), where.sum((1, 2))
        return float(np.mean((colored / np.maximum(pixels, 1))[pixels > 0]))  # a thin digit of 28 pixels may have no such

    return {"right": float(right.mean()), "filled": share(inside), "spilled": share(outside)}


def _nearest(image, colors):
    return ((image[..., None, :].astype(np.float32) - colors) ** 2).sum(-1).argmin(-1)
