"""Images that are made when they are read: cut out, jittered, degraded, with holes. Arrays [N, ...] for reading, as `Source.arrays`
holds them.

`array[rows]` is always the same; `array.at(rows, positions)` is what the rows are at these positions of a run, a function of
(seed, position): so resuming is exact, and fields of one example that share a seed stay aligned.
"""
import dataclasses
import functools

import numpy as np
from PIL import Image

from kgan.data import masks as _masks
from kgan.data.degrade import degrade, parse, shrunk
from kgan.data.source import DataError

STREAM = 0x6A697474  # sets the random numbers of jitter apart from those of degradations
CUT = 0x63757400  # and these those of cuts


def made(source, needs, config, split="train", seed=0):
    """A Source with what a model's settings ask for: images cut out (`patch_size`) and jittered (`jitter`, of the training split)
    alike; an `input` that is the degraded `image` (`degrade`, `enlarge`), what a `mask` leaves of it, `audio` with noise, the frame
    `before` each, or the picture whose `style` is wanted.

    Args:
        needs: dict of field to kind, Config.needs.
        config: dict of the model's settings; the names are those of kgan.models.pix2pix, srgan, inpaint, segan, motion, styletransfer.
        split, seed: of the data, and of all that is random.
    """
    arrays = source.arrays
    jitter = config.get("jitter", 0) if split == "train" else 0
    # what holds label maps, before `input` and `image` change places: their colours are not mixed
    labels = ("image" if config.get("direction") == "BtoA" else "input") if config.get("labels") else None
    images = [name for name in arrays if source.fields[name].kind == "image"]
    if side := config.get("patch_size", 0):
        arrays = {**arrays, **{name: CutOut(arrays[name], side, seed) for name in images}}
    if jitter:
        arrays = {**arrays, **{name: Jittered(arrays[name], jitter, seed, name == labels) for name in images}}
    if "image" in arrays and "input" in needs:  # else `roles` says what is missing
        images = arrays["image"]
        if "mask" in needs:
            drawn = Masks(len(images), images.shape[1:3], seed, *(config[name] for name in ("masks", "hole_least", "hole_most")))
            arrays = {**arrays, "mask": drawn, "input": Holed(images, drawn)}
        elif text := config.get("degrade", ""):
            arrays = {**arrays, "input": Degraded(images, text, seed, config.get("enlarge", True))}
    if needs.get("input") == "audio" and "audio" in arrays and "input" not in arrays:
        from kgan.data import noises
        training = config["noises"], (config["snr_low"], config["snr_high"])
        text, levels = training if split == "train" else (config["unseen"], noises.LEVELS)
        rate = source.more["audio"]["rate"]
        return dataclasses.replace(source, arrays={**arrays, "input": noises.Noisy(arrays["audio"], text, levels, rate, seed)},
                                   kinds={**source.kinds, "input": "audio"},
                                   more={**source.more, "input": source.more["audio"]})
    source = dataclasses.replace(source, arrays=arrays)
    if "before" in needs and "before" not in arrays:
        from kgan.data import dances
        source = dances.in_order(source, split)
    if "style" in config:
        from kgan.data import style
        source = style.of(source, config["style"], config["style_scale"], seed)
    return source


class _OnTheFly:
    """Images uint8 [N, H, W, C] made of others that can be read like an array."""

    def __init__(self, images, seed):
        self.images, self.seed = images, seed & 0x7FFFFFFF
        self.shape, self.dtype, self.ndim = images.shape, images.dtype, 4

    def __len__(self):
        return len(self.images)

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)


class Masks:
    """Masks of holes, uint8 0 or 1 [N, H, W, 1], a new one each time: what `kgan.data.masks.draw` gives of (seed, position).

    Args:
        count: N.
        size: (H, W).
        seed: int.
        masks, hole_least, hole_most: as for `kgan.data.masks.draw`.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, count, size, seed=0, masks="strokes+boxes", hole_least=0.05, hole_most=0.4):
        self.shape, self.seed = (count, *size, 1), seed & 0x7FFFFFFF
        # an example's mask is asked for twice, for itself and for the image with the hole
        self._draw = functools.lru_cache(1024)(lambda position: _masks.draw(
            size, self.seed, position, masks, hole_least, hole_most))

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getitem__(self, rows):
        return self.at(None, np.arange(len(self))[rows])

    def at(self, rows, positions):
        found = [self._draw(int(position)) for position in np.ravel(positions)]
        return np.reshape(found, (*np.shape(positions), *self.shape[1:])).astype(np.uint8)


class Holed(_OnTheFly):
    """Images, mid grey where masks say that they are missing.

    Args:
        images: uint8 [N, H, W, C], an array or what can be read like one.
        masks: Masks of as many.
    """

    GREY = 128

    def __init__(self, images, masks):
        super().__init__(images, masks.seed)
        self.masks = masks

    def __getitem__(self, rows):
        return np.where(self.masks[rows], np.uint8(self.GREY), self.images[rows])

    def at(self, rows, positions):
        images = self.images.at(rows, positions) if hasattr(self.images, "at") else self.images[rows]
        return np.where(self.masks.at(rows, positions), np.uint8(self.GREY), images)


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
        return np.stack([self._cut(image, position) for image, position in zip(read(self.images, rows, positions), positions)])

    def _cut(self, image, position):
        rng = np.random.default_rng([self.seed, int(position), STREAM])
        height, width = image.shape[:2]
        # what `height` and `width` pixels of the enlarged image are of this one
        rows, columns = height / (1 + self.share), width / (1 + self.share)
        top, left = rng.uniform(0, height - rows), rng.uniform(0, width - columns)
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        cut = picture.resize((width, height), self.resampling, (left, top, left + columns, top + rows))
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


class Mismatched(_OnTheFly):
    """For each caption that of something else: the third kind of example of Reed et al. 2016 (GAN-CLS).

    From the data and not from a shift within the batch, which would depend on how many devices share it.

    Args:
        captions: int32 [N, T].
        near: function of (row, NumPy generator) to a caption that differs a little from that row's, taken in half of the cases;
            None: all are of other rows.
    """

    def __init__(self, captions, near=None, seed=0):
        super().__init__(captions, seed)
        self.near, self.ndim = near, 2

    def __getitem__(self, rows):
        rows = np.arange(len(self))[rows]
        return self.at(np.atleast_1d(rows), np.atleast_1d(rows)).reshape(*np.shape(rows), self.shape[1])

    def at(self, rows, positions):
        return np.stack([self._other(row, np.random.default_rng([self.seed, int(position), STREAM]))
                         for row, position in zip(rows, positions)])

    def _other(self, row, rng, tries=20):
        if self.near and rng.random() < 0.5:
            return self.near(row, rng)
        for other in rng.integers(len(self), size=tries):
            if (self.images[other] != self.images[row]).any():
                break
        return self.images[other]


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
