"""Image files for `kgan.translate`: pixels of 8 or 16 bits, transparency apart, and PNG files of them."""
import struct
import zlib

import numpy as np
from PIL import Image

from kgan.data import folder
from kgan.kinds import image as kind
from kgan.run import aside


def read(path, depth=8):
    """A file's pixels, upright: (uint8 [H, W, 1 or 3], alpha [H, W, 1] or None); with a depth of 16, uint16.

    Of grey files of 16 bits all are read then; Pillow reads others with 8. Raises what Pillow does.
    """
    image = folder.opened(path, flat=False)
    if depth == 16 and image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], None
    alpha = None
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("LA" if image.mode in ("LA", "La", "L", "1") else "RGBA"))
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
    else:
        pixels = np.asarray(folder.flatten(image))
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    widened = lambda values: values if depth == 8 or values is None else values.astype(np.uint16) * 257
    return widened(pixels), widened(alpha)


def write(file, pixels):
    """Writes uint8 or uint16 [H, W, 1 to 4] into an open file, as a PNG of as many bits."""
    if pixels.dtype == np.uint16:
        _png16(file, pixels)
    else:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")


def write_clip(paths, target, rate=16):
    """Image files, in this order, as an animated GIF; those of another size than the first are left out."""
    frames = [Image.open(path).convert("RGB") for path in paths]
    frames = [frame for frame in frames if frame.size == frames[0].size]
    with aside(target) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 / rate), loop=0)


def store(values, depth=8):
    """float [-1, 1] as uint8, or with 16 bits as uint16, rounded."""
    if depth == 8:
        return kind.store(values)
    return np.clip(np.rint((np.asarray(values, np.float32) + 1) * 32767.5), 0, 65535).astype(np.uint16)


def of_channels(pixels, channels):
    """Grey pixels as a colour of three equal parts, or colours as the luma that Pillow has."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, -1)
    made = np.empty((*pixels.shape[:2], 1), pixels.dtype)
    for row in range(0, len(pixels), 256):  # a few rows at a time: numbers of 64 bits are large
        made[row:row + 256, :, 0] = np.rint(pixels[row:row + 256] @ np.array([0.299, 0.587, 0.114]))
    return made


def _png16(file, pixels):
    """Writes uint16 [H, W, 1 to 4] as a PNG with 16 bits a channel, which Pillow does of grey images alone.

    PNG (Third Edition), sections 9.2 and 10.1: each row is what it differs by from the row above, in bytes, compressed as a whole.
    """
    height, width, channels = pixels.shape
    packer, above, data = zlib.compressobj(6), np.zeros(2 * width * channels, np.uint8), []
    for row in pixels:
        row = row.astype(">u2").reshape(-1).view(np.uint8)
        data.append(packer.compress(b"\x02" + (row - above).tobytes()))
        above = row
    data = b"".join([*data, packer.flush()])
    file.write(b"\x89PNG\r\n\x1a\n")
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
