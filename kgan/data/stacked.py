"""Stacked MNIST: three random digits as the red, green and blue of one image: 1,000 modes that can be counted.

Sources: Metz et al., "Unrolled generative adversarial networks" (https://arxiv.org/abs/1611.02163); Srivastava et al.,
"VEEGAN" (https://arxiv.org/abs/1705.07761), whose protocol takes 26,000 samples. As in the 1,000,000 images of Karras
et al., "Progressive growing of GANs" (https://arxiv.org/abs/1710.10196), each channel is drawn uniformly from the
examples, not from the classes. MNIST's classes are not quite equally many, so neither are the modes: the distribution
of triples has a KL divergence from uniform of .0043 nats in the training split and .0052 in the test split, three times
that of its digits. A perfect sampler scores this on top of what its finite number of samples does (`kgan.data.modes.coverage`).
"""
import numpy as np

from kgan.data import catalog
from kgan.data.source import DataError, Source

MODES = 1000
SPLITS = {"train": (0, 1_000_000), "test": (1, 26_000)}  # name: (stream of the seed, default count)


class Stack:
    """Grey images put together three by three as colour images when they are read: an array [N, H, W, 3] for reading.

    A million of them are then 12 MB of numbers rather than 2.4 GB of pixels.

    Args:
        images: uint8 [M, H, W, 1], may be memory-mapped.
        index: int [N, 3], which of them are red, green and blue.
    """

    def __init__(self, images, index):
        self.images, self.index = images, index
        self.shape = (len(index), *images.shape[1:3], 3)
        self.dtype, self.ndim = images.dtype, 4

    def __len__(self):
        return len(self.index)

    def __getitem__(self, chosen):
        """Images [..., H, W, 3] of the first axis: `chosen` is an int, a slice, an array of ints or a mask."""
        if isinstance(chosen, tuple):  # it would be read as an index of the triples
            raise IndexError("stacked images are chosen along the first axis alone: images[chosen][:, rows, columns]")
        return np.ascontiguousarray(np.moveaxis(self.images[self.index[chosen]][..., 0], -3, -1))

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)


def source(image_size=None, channels=None, split="train", count=None, seed=0, data_dir=None, manual_dir=None):
    """Triples of MNIST's digits, each drawn independently and uniformly from the examples of the split.

    Args:
        image_size: pixels of the images, a number for squares or (height, width); None: 28, as MNIST has them.
        channels: 3 or None; there is no other.
        split: "train" or "test": triples of that split's digits.
        count: number of triples; None for 1,000,000 ("train") or 26,000 ("test").
        seed: int, not negative.
        data_dir, manual_dir: where to find MNIST; see `kgan.data.catalog.source`.

    Returns:
        Source "stacked_mnist" of `image` uint8 [N, height, width, 3], put together as it is read, and `label`
        int64 [N], the mode 100 R + 10 G + B, 0..999.

    Raises:
        DataError: other channels, an unknown split, a count below 1, a negative seed, or MNIST cannot be had.
    """
    if channels not in (None, 3):
        raise DataError(f"stacked_mnist has a digit in each of 3 channels, not {channels}; mnist has the grey digits")
    if split not in SPLITS:
        raise DataError(f"stacked_mnist: split must be one of {', '.join(SPLITS)}, not {split!r}")
    if (count is not None and count < 1) or seed < 0:
        raise DataError(f"stacked_mnist: count must be 1 or more and seed 0 or more, not {count!r} and {seed!r}")
    digits = catalog.source("mnist", image_size, 1, split=split, data_dir=data_dir, manual_dir=manual_dir)
    stream, default = SPLITS[split]
    index = np.random.default_rng([seed, stream]).integers(
        len(digits), size=(default if count is None else count, 3), dtype=np.int32)
    label = np.asarray(digits.arrays["label"])[index] @ np.array([100, 10, 1])
    return Source("stacked_mnist", {"image": Stack(digits.arrays["image"], index), "label": label},
                  {"label": [f"{mode:03d}" for mode in range(MODES)]})
