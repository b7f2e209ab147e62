"""Samples as picture files; how each kind of sample is drawn is in kgan.kinds."""
import io

import numpy as np
from PIL import Image

from kgan import kinds


def draw(samples, model, columns=1):
    """One picture of one or many samples, PIL.Image. That of a single image has exactly its pixels.

    Args:
        samples: float array [n, ...], of what the model's first function gives.
        model: Model.
        columns: pictures a row; plots have all samples in one.
    """
    return kinds.get(model.kind).sheet(np.asarray(samples, np.float32), behind=model.seen, columns=columns, smallest=0)


def size(model, count=1, columns=1):
    """(height, width) of what `draw` makes of so many samples."""
    return kinds.get(model.kind).sheet_size(model.contract["output"]["shape"][1:], count, columns)


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
