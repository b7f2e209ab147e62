"""Any images beside cuts of one picture, whose style they are to have: `--set style=PATH`; without one a window is drawn.

The images become `input`, what is given; the cuts are `image`, what a discriminator takes for real.
"""
import dataclasses

import numpy as np
from PIL import Image

from kgan.data import folder
from kgan.data.cache import expanded
from kgan.data.onthefly import _OnTheFly
from kgan.data.source import DataError

GLASS = [(176, 38, 30), (224, 120, 32), (246, 198, 68), (30, 88, 148), (60, 154, 160), (44, 112, 62), (238, 226, 188), (96, 44, 110)]
LEAD = 22, 20, 26  # between the panes
STREAM = 0x7374796C  # sets these random numbers apart from others of the same seed


class Cuts(_OnTheFly):
    """Cuts of one picture, a place and a side for each: at random at each position of a run, else one for each row.

    Args:
        picture: uint8 [h, w, C], at least as large as a cut.
        shape: (N, H, W, C), of the cuts.
        seed: int.
    """

    def __init__(self, picture, shape, seed=0):
        super().__init__(picture, seed)
        self.picture, self.shape = picture, shape

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        positions = np.arange(len(self))[rows]
        return self._cut(0, positions) if positions.ndim == 0 else np.stack([self._cut(0, position) for position in positions])

    def at(self, rows, positions):
        return np.stack([self._cut(1, position) for position in positions])

    def _cut(self, stream, position):
        rng = np.random.default_rng([self.seed, int(position), STREAM, stream])
        height, width = self.shape[1:3]
        top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(self.picture.shape, (height, width)))
        cut = self.picture[top:top + height, left:left + width]
        return cut[:, ::-1] if rng.integers(2) else cut


def of(source, path="", scale=2.0, seed=0):
    """A Source whose images are `input`, and whose `image` is a cut of the style's picture for each.

    Args:
        source: Source with `image`.
        path: of the picture; "": a window of coloured glass, drawn on the spot.
        scale: shorter side of the picture, in those of the images: the larger, the larger are its strokes in the result.
        seed: of the cuts.

    Raises:
        DataError: there are no images, or the picture cannot be read.
    """
    if source.kind != "image":
        raise DataError(f"{source.name}: has no images to give another style to")
    count, height, width, channels = source.arrays["image"].shape
    picture = _scaled(_opened(path), height, width, scale)
    cuts = Cuts(np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(picture.height, picture.width, channels),
                (count, height, width, channels), seed)
    kinds = {"input": "image", "image": "image"}
    return dataclasses.replace(source, arrays={"input": source.arrays["image"], "image": cuts}, kinds=kinds, classes={}, groups={})


def _opened(path):
    if not path:
        return Image.fromarray(glass())
    try:
        return folder.opened(expanded(path, ""))
    except Exception as error:  # Pillow raises nearly anything on broken files
        raise DataError(f"style={path}: {folder.reason(error)}; give a picture's file") from None


def _scaled(picture, height, width, scale):
    """The picture, its shorter side `scale` times that of the images, though no smaller than these."""
    factor = max(scale * min(height, width) / min(picture.size), height / picture.height, width / picture.width)
    size = max(width, round(picture.width * factor)), max(height, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS)


def glass(side=256, panes=110, seed=3):
    """A window of coloured glass: uint8 [side, side, 3]. Panes are the places nearest to one of some points, with lead between."""
    rng = np.random.default_rng(seed)
    points, colours = rng.uniform(0, side, (panes, 2)), np.array(GLASS)[rng.integers(0, len(GLASS), panes)]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    far = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1])
    order = np.argpartition(far, 1, -1)[..., :2]
    near = np.take_along_axis(far, order, -1)
    edge = np.abs(near[..., 1] - near[..., 0])  # the nearest is first, or the second: it is all the same
    light = 1 + 0.12 * np.sin(x / 23 + colours[order[..., 0], 0] / 9) + rng.normal(0, 0.03, (side, side))
    nearest = np.take_along_axis(order, near.argmin(-1)[..., None], -1)[..., 0]
    image = colours[nearest] * light[..., None]
    return np.where((edge < 4)[..., None], np.array(LEAD), np.clip(image, 0, 255)).astype(np.uint8)
