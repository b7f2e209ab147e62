"""Samples as pictures, with Pillow alone."""
import io

import numpy as np
from PIL import Image, ImageDraw

_SIDE, _MARGIN, _FINER = 360, 12, 3  # of a plot in pixels; it is drawn larger by _FINER and reduced, for smooth lines
_GAP = 2  # pixels between the images of a sheet
_COLOURS = "#1f77b4 #d95f02 #2a9d5c #c0392b #7b5ea7 #8c6d31".split()


def draw(samples, kind, seen=None, columns=1):
    """One picture of one or many samples.

    Args:
        samples: float array [n, ...].
        kind: of DRAWERS.
        seen: samples [m, L] that choose the axes of a plot, where points are also shown in grey; None for images.
        columns: pictures a row; plots have all samples in one.

    Returns:
        PIL.Image. That of a single sample of images has exactly its pixels.
    """
    return DRAWERS[kind](np.asarray(samples, np.float32), seen, columns)


def size(shape, kind, count=1, columns=1):
    """(height, width) of what `draw` makes of samples of shape [None, ...]."""
    if kind != "images":
        return _SIDE, _SIDE
    columns = min(columns, count)
    return tuple(many * (side + _GAP) - _GAP for many, side in zip((-(-count // columns), columns), shape[1:3]))


def enlarged(picture, factor):
    """Each pixel as factor × factor of them."""
    if factor == 1:
        return picture
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def png(picture):
    """Bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def gif(pictures, seconds):
    """Bytes of a GIF that runs for ever, there and back, each picture shown for `seconds`."""
    frames = [picture.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=[*frames[1:], *frames[-2:0:-1]], loop=0,
                   duration=int(1000 * seconds))
    return buffer.getvalue()


# === Kinds of samples ===

def _images(images, _, columns):
    pixels = np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)  # rounded as the signature `png` does
    count, height, width, channels = pixels.shape
    columns = min(columns, count)
    sheet = np.full((*size((None, height, width), "images", count, columns), channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * (height + _GAP), i % columns * (width + _GAP)
        sheet[top:top + height, left:left + width] = image
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)  # L, LA, RGB or RGBA


def _points(points, seen, _):
    # the same unit on both axes
    middle, reach = (seen.max(0) + seen.min(0)) / 2, max(float(np.ptp(seen, axis=0).max()) / 2, 1e-6)
    plot = _Plot((middle[0] - reach, middle[0] + reach), (middle[1] - reach, middle[1] + reach))
    plot.dots(seen, "#d0d0d0", 1.2)
    plot.dots(points, _COLOURS[0], 2 if len(points) > 1 else 4)
    return plot.picture()


def _signals(signals, seen, _):
    plot = _Plot((0, max(1, signals.shape[1] - 1)), (float(seen.min()), float(seen.max())))
    for i, signal in enumerate(signals):
        plot.line(np.stack([np.arange(len(signal)), signal], 1), _COLOURS[i % len(_COLOURS)])
    return plot.picture()


DRAWERS = {"images": _images, "points": _points, "signals": _signals}


class _Plot:
    """A white square; x and y are the values at its left and right, lower and upper edges."""

    def __init__(self, x, y):
        self._low = np.array([x[0], y[1]])
        spans = np.array([x[1] - x[0], y[0] - y[1]])
        self._scale = _FINER * (_SIDE - 2 * _MARGIN) / np.where(spans == 0, 1, spans)
        self._picture = Image.new("RGB", (_FINER * _SIDE,) * 2, "white")
        self._pen = ImageDraw.Draw(self._picture)

    def _places(self, points):
        # what is not finite or far outside is drawn at the edge
        places = np.nan_to_num((points - self._low) * self._scale) + _FINER * _MARGIN
        return [tuple(place) for place in np.clip(places, 0, _FINER * _SIDE - 1).tolist()]

    def dots(self, points, colour, radius):
        for place in self._places(points):
            self._pen.circle(place, _FINER * radius, fill=colour)

    def line(self, points, colour):
        self._pen.line(self._places(points), fill=colour, width=_FINER, joint="curve")

    def picture(self):
        return self._picture.resize((_SIDE, _SIDE), Image.Resampling.BOX)
