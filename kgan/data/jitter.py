"""Random jitter: images enlarged a little and cut back to their size at random, so that few of them are never quite the same.

Isola et al. 2017 (pix2pix), appendix 6.2, resize 256 pixels to 286 and cut out 256. Here it is one resampling: of the part of
the image that would be left, by bicubic interpolation. NumPy and Pillow alone.
"""
import numpy as np
from PIL import Image

STREAM = 0x6A697474  # sets its random numbers apart from those of kgan.data.degrade


class Jittered:
    """Images that are jittered in training (`at`), and else are as they were: an array uint8 [N, H, W, C] for reading.

    What is cut is a function of (seed, position) alone: fields of an example that are jittered with the same seed and share
    stay aligned.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        share: by which they are enlarged, 30/256 in the paper.
        seed: int.
    """

    def __init__(self, images, share, seed=0):
        self.images, self.share, self.seed = images, share, seed
        self.shape, self.dtype, self.ndim = images.shape, images.dtype, 4

    def __len__(self):
        return len(self.images)

    def __getitem__(self, rows):
        return self.images[rows]

    def at(self, rows, positions):
        """The images of these rows as they are at these positions of a run, both int [n]."""
        images = self.images[rows]
        return np.stack([_cut(image, self.share, np.random.default_rng([self.seed & 0x7FFFFFFF, int(position), STREAM]))
                         for image, position in zip(images, positions)])


def _cut(image, share, rng):
    height, width, channels = image.shape
    # what `height` and `width` pixels of the enlarged image are of this one
    rows, columns = height / (1 + share), width / (1 + share)
    top, left = rng.uniform(0, height - rows), rng.uniform(0, width - columns)
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + columns, top + rows))
                      ).reshape(image.shape)
