"""Images that are made when they are read: jittered, degraded. Arrays [N, ...] for reading, as `Source.arrays` holds them.

`array[rows]` is always the same; `array.at(rows, positions)` is what the rows are at these positions of a run, a function of
(seed, position): so resuming is exact, and fields of one example that share a seed stay aligned.
"""
import numpy as np
from PIL import Image

from kgan.data.degrade import degrade, parse

STREAM = 0x6A697474  # sets the random numbers of jitter apart from those of degradations


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
        labels: whether they are label maps, of which each pixel stays what it is: the nearest one is taken.
    """

    def __init__(self, images, share, seed=0, labels=False):
        super().__init__(images, seed)
        self.share = share
        self.resampling = Image.Resampling.NEAREST if labels else Image.Resampling.BICUBIC

    def __getitem__(self, rows):
        return self.images[rows]

    def at(self, rows, positions):
        return np.stack([self._cut(image, position) for image, position in zip(self.images[rows], positions)])

    def _cut(self, image, position):
        rng = np.random.default_rng([self.seed, int(position), STREAM])
        height, width = image.shape[:2]
        # what `height` and `width` pixels of the enlarged image are of this one
        rows, columns = height / (1 + self.share), width / (1 + self.share)
        top, left = rng.uniform(0, height - rows), rng.uniform(0, width - columns)
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        cut = picture.resize((width, height), self.resampling, (left, top, left + columns, top + rows))
        return np.asarray(cut).reshape(image.shape)


class Degraded(_OnTheFly):
    """What is left of images after `kgan.data.degrade.degrade`.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        text: the degradations.
        seed: int.
    """

    def __init__(self, images, text, seed=0):
        super().__init__(images, seed)
        self.steps = parse(text)

    def __getitem__(self, rows):
        return degrade(self.steps, self.images[rows], self.seed, np.arange(len(self))[rows])

    def at(self, rows, positions):
        images = self.images.at(rows, positions) if hasattr(self.images, "at") else self.images[rows]
        return degrade(self.steps, images, self.seed, positions)
