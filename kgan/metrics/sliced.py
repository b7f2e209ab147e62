"""The sliced Wasserstein distance between the patches of two sets of images: needs no network.

Sources: Karras et al. 2018, "Progressive Growing of GANs" (https://arxiv.org/abs/1710.10196), section 5; Burt &
Adelson 1983, "The Laplacian Pyramid as a Compact Image Code", for the pyramid; Rabin et al. 2011, "Wasserstein
Barycenter and its Application to Texture Mixing", for the slices.
"""
import numpy as np

PATCH = 7  # side of a patch
SMALLEST = 14  # side of an image or level
_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def sliced_wasserstein(real, fake, patches=128, projections=512, descriptors=2 ** 18, seed=0, batch=256):
    """How the patches of real and generated images differ, level by level of a Laplacian pyramid: 0 if not at all.

    The finest level tells of edges and noise, the coarsest one of form. Patches are normalised for each set and
    channel, so brightness and contrast of a whole set count for nothing. Projections and places of patches are the same
    for both sets: equal images have exactly 0. Sampling leaves a rest that falls with 1 / √descriptors: compare at equal
    counts only.

    Args:
        real, fake: images, uint8 [N, H, W, C] or float [N, H, W, C] in [-1, 1]; or iterables of batches of them. Both
            sides are cut to the smaller number of images.
        patches: 7×7 patches of an image on each level, at random places; halved until they are no more than...
        descriptors: ... so many on a level, for they lie in memory (float32 [patches, 49 C], all levels of both sets).
            Never fewer than one an image.
        projections: random directions that the patches are projected on.
        seed: of places and directions.
        batch: images of an array that are worked on at a time; changes no result.

    Returns:
        dict of the side of each level ("28"; "20x28" if height and width differ), from the full size down, to the mean
        absolute difference of the sorted projections times 1,000, and `mean` over the levels; floats. A level is half
        the one before, as long as both sides can be halved exactly and are at least 14 afterwards.

    Raises:
        ValueError: images of differing shapes, smaller than 14 pixels, none, or values that are not finite.
    """
    if hasattr(real, "shape") and hasattr(fake, "shape"):
        count = min(len(real), len(fake))
        real, fake = real[:count], fake[:count]
    first, second = (_Patches(images, patches, descriptors, seed, batch) for images in (real, fake))
    if first.shape != second.shape:
        raise ValueError(f"real images are of shape {first.shape}, generated ones {second.shape}")
    count, each = min(first.count, second.count), min(first.each, second.each)
    random = np.random.default_rng(seed)
    figures = {}
    for level, (height, width) in enumerate(first.sides):
        pair = [one.normalized(level, count, each) for one in (first, second)]
        figures[f"{height}" if height == width else f"{height}x{width}"] = 1000 * _distance(*pair, projections, random)
    return {**figures, "mean": float(np.mean(list(figures.values())))}


class _Patches:
    """Random patches of a set of images on all levels.

    Attributes:
        shape: (H, W, C) of the images.
        sides: (height, width) of each level.
        count: how many images.
        each: how many patches of an image there are.
    """

    def __init__(self, images, patches, descriptors, seed, batch):
        if hasattr(images, "shape"):
            array = images
            images = (array[start:start + batch] for start in range(0, len(array), batch))
        self.shape, self.count, self.each = None, 0, patches
        for group in images:
            group = np.asarray(group)
            if self.shape is None:
                self._start(group.shape, seed)
            if group.ndim != 4 or group.shape[1:] != self.shape:
                raise ValueError(f"images are of shape {self.shape}, then {group.shape[1:]}")
            self.count += len(group)
            thinner = self.each
            while thinner > 1 and self.count * thinner > descriptors:
                thinner //= 2
            if thinner < self.each:
                self.each = thinner
                self._levels = [[part[:, :thinner].copy() for part in parts] for parts in self._levels]
            scaled = group.astype(np.float32) / np.float32(127.5) - 1 if group.dtype == np.uint8 else \
                group.astype(np.float32)
            for parts, band, random in zip(self._levels, _pyramid(scaled, len(self.sides)), self._randoms):
                # places of `patches` are drawn for each image, however many are kept: thinning changes no other patch
                parts.append(_cut(band, random.random((len(group), patches, 2))[:, :self.each]))
        if not self.count:
            raise ValueError("there are no images")

    def _start(self, shape, seed):
        if len(shape) != 4:
            raise ValueError(f"images must be [N, H, W, C], not of shape {shape}")
        self.shape = shape[1:]
        height, width = shape[1:3]
        if min(height, width) < SMALLEST:
            raise ValueError(f"images must be of at least {SMALLEST}x{SMALLEST} pixels, not {height}x{width}")
        self.sides = [(height, width)]
        while height % 2 == width % 2 == 0 and min(height, width) // 2 >= SMALLEST:
            height, width = height // 2, width // 2
            self.sides.append((height, width))
        self._levels = [[] for _ in self.sides]
        self._randoms = [np.random.default_rng([seed, level]) for level in range(len(self.sides))]

    def normalized(self, level, count, each):
        """Descriptors of the first `count` images, `each` of one: float32 [count · each, 49 C]. May be asked once."""
        found = np.concatenate([part[:, :each] for part in self._levels[level]])[:count]
        self._levels[level] = None
        found = found.reshape(-1, self.shape[-1], PATCH * PATCH)
        found -= found.mean((0, 2), dtype=np.float64, keepdims=True).astype(np.float32)
        deviation = found.std((0, 2), dtype=np.float64, keepdims=True)
        if not np.isfinite(deviation).all():
            raise ValueError("images have values that are not finite")
        found /= np.where(deviation > 0, deviation, 1).astype(np.float32)  # a channel may be constant
        return found.reshape(len(found), -1)


def _distance(first, second, projections, random, together=32):
    """The mean over random directions of the one-dimensional Wasserstein distance of descriptors [n, D] each."""
    directions = random.standard_normal((projections, first.shape[1]))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    total = 0.0
    for start in range(0, projections, together):
        some = directions[start:start + together]
        difference = np.sort(some @ first.T, axis=1)
        difference -= np.sort(some @ second.T, axis=1)
        total += np.abs(difference, out=difference).mean(1, dtype=np.float64).sum()
    return float(total / projections)


def _cut(images, places):
    """Patches [n, p, C, 7, 7] of images [n, H, W, C] at places [n, p, 2], U[0, 1) of what is possible."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))  # [n, y, x, C, 7, 7]
    y, x = (places * windows.shape[1:3]).astype(np.int64).transpose(2, 0, 1)
    return windows[np.arange(len(images))[:, None], y, x]


def _pyramid(images, levels):
    """The Laplacian pyramid of images [n, H, W, C]: what each level has beyond the next; the last is as it is."""
    for _ in range(levels - 1):
        smaller = _blur(images)[:, ::2, ::2]
        larger = np.zeros_like(images)
        larger[:, ::2, ::2] = 4 * smaller  # three of four pixels are 0
        yield images - _blur(larger)
        images = smaller
    yield images


def _blur(images):
    """Binomial filter of 5×5; at the borders the images are mirrored, the outermost pixel being the mirror."""
    for axis in (1, 2):
        margin = [(2, 2) if one == axis else (0, 0) for one in range(4)]
        padded = np.pad(images, margin, mode="reflect")
        size = images.shape[axis]
        images = sum(np.float32(weight) * padded.take(np.arange(offset, offset + size), axis)
                     for offset, weight in enumerate(_KERNEL))
    return images
