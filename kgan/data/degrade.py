"""Degradations: from a target to the input that a translator is to restore it from.

    python train.py --model=pix2pix --dataset=folder:PATH --set degrade=grey                colourising
    python train.py --model=pix2pix --dataset=folder:PATH --set degrade=noise:25            denoising
    python train.py --model=pix2pix --dataset=folder:PATH --set degrade=downscale:4+jpeg:40
    python train.py --model=srgan --dataset=folder:PATH --set degrade=downscale:4            super-resolution

`same` leaves an image as it is: the input of what learns to change it (advgan).

Those joined by + are applied from left to right. noise:5-50 is of a strength that is drawn for each image, evenly. What downscale
makes smaller (by MATLAB's bicubic interpolation) is made as large as it was at once; not so for models that make images larger
(srgan): these are given the small image. What is random (noise, strengths, the places of masks) is a function of (seed, position,
place in the list): the same whatever the batch or the number of devices. In training the position is how many examples came
before, so that noise is new each time; else it is the row in the data set. NumPy and Pillow alone: with another version of Pillow
the last bits of JPEG files and blurs may differ.
"""
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from kgan.config import nearest
from kgan.data.bicubic import resize
from kgan.data.source import DataError


class Degradation(NamedTuple):
    """One step of a list: its name in KINDS and its number, None for one that takes none; `most`: up to where it is drawn."""

    name: str
    value: float | None = None
    most: float | None = None

    def strength(self, rng):
        """The number for one image."""
        if self.most is None:
            return self.value
        return rng.integers(self.value, self.most + 1) if self.name in WHOLE else rng.uniform(self.value, self.most)


def parse(text):
    """The degradations that a text lists: "downscale:4+jpeg:40-90" -> a tuple of Degradation; "" -> ().

    Raises:
        DataError: an unknown name (the nearest is suggested), a missing number, or one out of range.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split("+"))):
        name, _, number = part.partition(":")
        if name not in KINDS:
            raise DataError(f"degrade={text}: no degradation is named {name!r}{nearest(name, KINDS)}; join some of "
                            f"{', '.join(_usage(known) for known in KINDS)} by +")
        _, low, high, default = KINDS[name]
        if low is None:
            if number:
                raise DataError(f"degrade={text}: {name} takes no number: write {name}")
            found.append(Degradation(name))
            continue
        try:
            numbers = _numbers(number) if number else [default]
            fit = all(low <= value <= high and (name not in WHOLE or value == int(value)) for value in numbers)
        except (TypeError, ValueError, OverflowError):
            fit = False
        if not fit or len(numbers) == 2 and not numbers[0] < numbers[1]:
            raise DataError(f"degrade={text}: {_usage(name)} takes a {'whole ' * (name in WHOLE)}number from {low:g} to "
                            f"{high:g}, or two as in LOW-HIGH, not {number!r}")
        found.append(Degradation(name, *numbers))
    return tuple(found)


def _numbers(text):
    """[number], or [low, high]. Raises ValueError: it is neither."""
    try:
        return [float(text)]
    except ValueError:
        low, high = text.split("-")
        return [float(low), float(high)]


def shrunk(text, size, enlarge=True):
    """The (height, width) of what is left of images of that size.

    Raises:
        DataError: without `enlarge`, a factor that is no whole number or does not divide the sides.
    """
    height, width = size
    for step in (parse(text) if isinstance(text, str) else text) if not enlarge else ():
        if step.name == "downscale":
            if step.most is not None:
                raise DataError(f"degrade=downscale:{step.value:g}-{step.most:g}: this model makes images as many times larger, so it "
                                "must be one number")
            if height % step.value or width % step.value:
                raise DataError(f"degrade=downscale:{step.value:g}: images of {height}x{width} pixels cannot be made exactly that many "
                                "times smaller; choose an --image_size, or a patch_size, that is a multiple")
            height, width = int(height // step.value), int(width // step.value)
    return height, width


def degrade(text, images, seed, positions, enlarge=True):
    """Degraded images, of the same number of channels.

    Args:
        text: what `parse` reads, or what it gave.
        images: uint8 [n, H, W, C], C 1 or 3.
        seed: int.
        positions: int [n], not negative: of each position, what is random is drawn once.
        enlarge: whether what downscale makes smaller is made as large again.

    Returns:
        uint8 [n, H, W, C], or [n, *shrunk(text, (H, W), False), C]. The i-th depends on text, images[i], seed and positions[i]
        alone.

    Raises:
        DataError: see `parse`.
    """
    steps = parse(text) if isinstance(text, str) else text
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"images must be uint8 [n, H, W, 1 or 3], not {images.dtype} {list(images.shape)}")
    if len(positions) != len(images):
        raise ValueError(f"{len(positions)} positions for {len(images)} images: give one each")
    shrunk(steps, images.shape[1:3], enlarge)
    made, size = images, images.shape[1:3]
    for place, step in enumerate(steps):
        if step.name == "downscale" and step.most is None:  # nothing is drawn: of all at once, which is several times as fast
            made = resize(made, *_smaller(made.shape[1:3], step.value))
            made = resize(made, *size) if enlarge else made
            continue
        found = []
        for image, position in zip(made, positions):
            rng = np.random.default_rng([seed & 0x7FFFFFFF, int(position), place])
            image = KINDS[step.name][0](image, step.strength(rng), rng)
            found.append(resize(image, *size) if enlarge and image.shape[:2] != size else image)
        made = np.stack(found) if found else made
    return made


def _usage(name):
    return name if KINDS[name][1] is None else f"{name}:{_NUMBERS[name]}"


# === One function each: uint8 [H, W, C], its number and a random generator -> uint8 [H, W, C]; downscale's is smaller ===

def _grey(image, _, rng):
    return np.repeat(_array(_picture(image).convert("L")), image.shape[-1], -1)


def _noise(image, sigma, rng):
    return _rounded(image + sigma * rng.standard_normal(image.shape, np.float32))


def _blur(image, sigma, rng):
    return _array(_picture(image).filter(ImageFilter.GaussianBlur(sigma)))


def _downscale(image, factor, rng):
    return resize(image, *_smaller(image.shape[:2], factor))


def _smaller(size, factor):
    return [max(1, round(side / factor)) for side in size]


def _jpeg(image, quality, rng):
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as picture:
        return _array(picture)


def _mask(image, share, rng):
    height, width = image.shape[:2]
    rows, columns = (max(1, round(side * share ** 0.5)) for side in (height, width))
    top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
    image = image.copy()
    image[top:top + rows, left:left + columns] = 128
    return image


# name: (function, least, greatest number, the one where none is given)
KINDS = {
    "same": (lambda image, _, rng: image, None, None, None),
    "grey": (_grey, None, None, None),
    "noise": (_noise, 0, 255, None),
    "blur": (_blur, 0, 100, None),
    "downscale": (_downscale, 1, 64, None),
    "jpeg": (_jpeg, 1, 100, None),
    "mask": (_mask, 0.001, 1, 0.25),
}
WHOLE = "jpeg",
# what the numbers are: standard deviations of 255 and in pixels, a factor, libjpeg's scale, the share of the area
_NUMBERS = {"noise": "SIGMA", "blur": "SIGMA", "downscale": "FACTOR", "jpeg": "QUALITY", "mask": "SHARE"}


def _picture(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _array(picture):
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array


def _rounded(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
