"""Images that are made when they are read: cut out, jittered, degraded. Arrays [N, ...] for reading, as `Source.arrays` holds them.

`array[rows]` is always the same; `array.at(rows, positions)` is what the rows are at these positions of a run, a function of
(seed, position): so resuming is exact, and fields of one example that share a seed stay aligned.
"""
import numpy as np
from PIL import Image

from kgan.data.degrade import degrade, parse, shrunk
from kgan.data.source import DataError

STREAM = 0x6A697474  # sets the random numbers of jitter apart from those of degradations
CUT = 0x63757400  # and these those of cuts


class _OnTheFly:
    """Images uint8 [N, H, W, C] made of others that can be read like an array."""

    def __init__(self, images, seed):
        self.images, self.seed = images, seed & 0x7FFFFFFF
        self.shape, self.dtype, self.ndim = images.shape, images.dtype, 4

    def __len__(self):
        return len(self.images)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)


class Jittered(_OnTheFly):
    """In training, each image is enlarged a little and cut back to its size at random; else it is as it was.

    Isola et al. 2017 (pix2pix), appendix 6.2, resize 256 pixels to 286 and cut out 256. Here it is one resampling, of the part of
    the image that would be left, by bicubic interpolation.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        share: by which they are enlarged, 30/256 in the paper.
        seed: int.
    """

    def __init__(self, images, share, seed=0):
        super().__init__(images, seed)
        self.share = share

    def __getitem__(self, rows):
        return self.images[rows]

    def at(self, rows, positions):
        return np.stack([self._cut(image, position) for image, position in zip(read(self.images, rows, positions), positions)])

    def _cut(self, image, position):
        rng = np.random.default_rng([self.seed, int(position), STREAM])
        height, width = image.shape[:2]
        # what `height` and `width` pixels of the enlarged image are of this one
        rows, columns = height / (1 + self.share), width / (1 + self.share)
        top, left = rng.uniform(0, height - rows), rng.uniform(0, width - columns)
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        cut = picture.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + columns, top + rows))
        return np.asarray(cut).reshape(image.shape)


class CutOut(_OnTheFly):
    """Squares of images, pixel by pixel: in training one at a random place of each, else the middle.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        side: pixels.
        seed: int.

    Raises:
        DataError: the images are smaller.
    """

    def __init__(self, images, side, seed=0):
        super().__init__(images, seed)
        self.side, (count, height, width, channels) = side, images.shape
        if side > min(height, width):
            raise DataError(f"patch_size={side}: the images are {height}x{width} pixels; lower it, or choose a larger --image_size")
        self.shape = count, side, side, channels

    def __getitem__(self, rows):
        top, left = ((whole - self.side) // 2 for whole in self.images.shape[1:3])
        return self.images[rows][..., top:top + self.side, left:left + self.side, :]

    def at(self, rows, positions):
        images, made = read(self.images, rows, positions), []
        for image, position in zip(images, positions):
            rng = np.random.default_rng([self.seed, int(position), CUT])
            top, left = (rng.integers(whole - self.side + 1) for whole in image.shape[:2])
            made.append(image[top:top + self.side, left:left + self.side])
        return np.stack(made)


class Degraded(_OnTheFly):
    """What is left of images after `kgan.data.degrade.degrade`.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        text: the degradations.
        seed: int.
        enlarge: whether what downscale makes smaller is made as large again.

    Raises:
        DataError: see `kgan.data.degrade.shrunk`.
    """

    def __init__(self, images, text, seed=0, enlarge=True):
        super().__init__(images, seed)
        self.steps, self.enlarge = parse(text), enlarge
        self.shape = images.shape[0], *shrunk(self.steps, images.shape[1:3], enlarge), images.shape[3]

    def __getitem__(self, rows):
        return degrade(self.steps, self.images[rows], self.seed, np.arange(len(self))[rows], self.enlarge)

    def at(self, rows, positions):
        return degrade(self.steps, read(self.images, rows, positions), self.seed, positions, self.enlarge)


def read(images, rows, positions):
    """Rows of an array, as they are at these positions of a run."""
    return images.at(rows, positions) if hasattr(images, "at") else images[rows]


def whole(images):
    """The shape of the images that others were made of, whole: those that are stored."""
    return whole(images.images) if isinstance(images, _OnTheFly) else images.shape
