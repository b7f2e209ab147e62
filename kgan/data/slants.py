"""Built-in images without partners: upright digits, and slanted digits of other images.

A is `input`, upright: in the upright type faces of kgan.data.glyphs, hardly sheared. B is `image`, in the same faces, leaning far to
the right. No image of A has its like in B: they are drawn apart, and there are more of A. What there is to learn is the slant; the
digit, its face, weight and, with 3 channels, its colour are to be kept, and a classifier of B's digits tells whether they are.
What is drawn depends on the seed alone: picture n is the same at every size, and with any count.
"""
import numpy as np

from kgan.data import glyphs
from kgan.data.cache import cached
from kgan.data.source import Source

UPRIGHT = tuple(i for i, name in enumerate(glyphs.FONTS) if not any(word in name for word in ("Oblique", "Ital", "Ita")))
SLANTS = {"input": (-0.04, 0.04), "image": (0.38, 0.46)}  # shift to the right per unit of height
SPLITS = {"train": (0, 20_000), "test": (1, 2_000)}  # name: (stream of the seed, default count)
FEWER = 3, 4  # of B there are this share of A's


def source(image_size=28, channels=1, split="train", count=None, seed=0):
    """Draws both sets, or opens them if they were drawn before.

    Args:
        image_size: int, 28 to 128.
        channels: 1 for white on black, 3 for a vivid colour on a deep or pale ground.
        split: "train" or "test": independent draws of the same distributions.
        count: number of upright ones; None for 20,000 ("train") or 2,000 ("test"). There are 3/4 as many slanted ones.
        seed: int, not negative.

    Returns:
        Source of two groups: `input` uint8 [N, S, S, C], upright, with `input_label` int64 [N], the digit; `image`
        uint8 [M, S, S, C], slanted, with `label` int64 [M].

    Raises:
        DataError: an argument out of range, or a matplotlib that came without its fonts.
    """
    glyphs.check("slants", image_size, channels, SPLITS, split, count, seed)
    stream, default = SPLITS[split]
    # raise the version when other pictures are drawn for the same arguments
    key = {"version": 1, "image_size": int(image_size), "channels": int(channels), "stream": stream,
           "count": int(default if count is None else count), "seed": int(seed)}
    arrays, _ = cached("slants", key, lambda directory: _write(directory, **key))
    digits = [str(digit) for digit in range(10)]
    return Source("slants", arrays, {"label": digits, "input_label": digits}, kinds={"input": "image"},
                  groups={"input": "input", "input_label": "input"})


def _write(directory, version, image_size, channels, stream, count, seed):
    for side, (field, label) in enumerate((("input", "input_label"), ("image", "label"))):
        rng = np.random.default_rng([seed, stream, side])
        rows = count if field == "input" else max(1, count * FEWER[0] // FEWER[1])
        images = np.lib.format.open_memmap(directory / f"{field}.npy", mode="w+", dtype=np.uint8,
                                           shape=(rows, image_size, image_size, channels))
        labels, step = np.empty(rows, np.int64), max(1, glyphs.CHUNK // image_size ** 2)
        for start in range(0, rows, step):
            drawn = glyphs.draw_parameters(min(step, rows - start), rng, UPRIGHT, SLANTS[field])
            cover = glyphs.coverage(drawn, image_size)
            labels[start:start + step] = drawn["label"]
            images[start:start + step] = glyphs.paint(drawn, cover) if channels == 3 else np.rint(255 * cover)[..., None]
        np.save(directory / f"{label}.npy", labels)
        images.flush()
    return {}
