"""Images: stored as uint8 [H, W, C], seen by networks as float32 in [-1, 1]; C is 1 (grey), 3 (RGB), 2 or 4 (with alpha)."""
import io

import numpy as np
from PIL import Image, ImageOps

from kgan.kinds import _compare

FIELD, OUTPUT, UNIT = "image", "images", "img"
RANGE = (-1.0, 1.0)
PLOT = False
SHOWN = 64
MIRRORED = True
MEDIA = {"image/png": ".png"}
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp")
# what the content is decides, not the suffix; but nothing beyond these, since Pillow hands EPS, say, to Ghostscript. A server
# takes these from strangers: kgan.data.files has more, of the user's own folders
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
MAX_PIXELS = 1 << 26  # of a file that `read` decodes
STRANGE = 0.25  # share of a label map's pixels that may be of no label


def scale(values):
    return values / 127.5 - 1


def store(values):
    """float [-1, 1] to uint8 [0, 255], rounded, halves to even; what lies outside is cut."""
    return np.clip(np.rint((np.asarray(values, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


pixels = store  # what a PNG file of `write` holds, of many samples


def decoded(data, max_pixels, take):
    """What the function `take` makes of an opened PIL.Image, the right way up, of the bytes of a file; masks are read so too.

    Raises:
        ValueError: it is no image, or is larger than `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:  # before anything is decoded
                raise ValueError(f"{image.width}×{image.height} pixels, more than {max_pixels}")
            ImageOps.exif_transpose(image, in_place=True)
            return take(image)
    except ValueError:
        raise
    except Exception:  # Pillow raises nearly anything on broken files
        raise ValueError(f"this is no image that can be read; {', '.join(FORMATS)} are") from None


def read(data, field, max_pixels=MAX_PIXELS):
    """The bytes of an image file as uint8 [H, W, C]. Transparent pixels become white, EXIF rotation is applied.

    Raises:
        ValueError: it is no image, is larger than `max_pixels`, or has another size or, of label maps, others than `field` wants.
    """
    image = decoded(data, max_pixels, flatten)
    height, width, channels = field.shape
    if (height or image.height, width or image.width) != (image.height, image.width):
        raise ValueError(f"the image is {image.width}×{image.height} pixels; {width}×{height} are needed")
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(image.height, image.width, channels)
    if labels := field.more.get("labels"):
        if (far := strange(pixels, labels)) > STRANGE:
            raise ValueError(f"this is no label map that the generator knows: {100 * far:.0f} % of its pixels are of none of the {len(labels)} "
                             "colours of the label maps that it learned from")
    return pixels


def strange(images, labels):
    """The share of the pixels of images uint8 [..., C] that are none of `labels`, colours [K, C] from 0 to 255.

    Levels of grey must be right; a colour may be off by 48, as JPEG has it at borders.
    """
    flat = np.asarray(images).reshape(-1, images.shape[-1])
    if flat.shape[1] == 1:
        return float((~np.isin(flat, labels)).mean()) if len(flat) else 0.0
    far = np.ones(len(flat), bool)
    for colour in np.asarray(labels, np.float32):
        far[far] = ((flat[far] - colour) ** 2).sum(1) > 48 ** 2
    return float(far.mean()) if len(flat) else 0.0


def flatten(image):
    """Any Pillow image as "L" if it is grey, else as "RGB"; transparency on white, 16 bits scaled to 8, floats in [0, 1] to 255.

    Raises:
        ValueError: numbers of 32 bits that are beyond 16 bits or, of floats, beyond [0, 1]: nothing says what white is.
    """
    if image.mode == "F" or image.mode.startswith("I"):  # convert("L") would clip these to 255
        values, white = np.asarray(image), 1 if image.mode == "F" else 65535
        if not (values.min() >= 0 and values.max() <= white):  # NaN is neither
            raise ValueError(f"its numbers go from {values.min():.6g} to {values.max():.6g}, and of 32-bit "
                             f"{'floats' if white == 1 else 'integers'} only 0 to {white} can be read: save it in 8 or 16 bits")
        return Image.fromarray(np.uint8(np.rint(values * (255 / white))))
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def write(sample, media="image/png"):
    """A PNG file of exactly the sample's pixels."""
    buffer = io.BytesIO()
    pixels = store(sample)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sheet(images, behind=None, columns=8, smallest=512, gap=2):
    """One picture of many.

    Args:
        images: float [n, H, W, C] in [-1, 1].
        behind: not used.
        columns: images a row.
        smallest: the sheet has a border and is enlarged by a whole factor, pixel by pixel, to about this width; 0: it has
            exactly the images' pixels and the gaps between them.
        gap: white pixels between them.

    Returns:
        PIL.Image of mode L, LA, RGB or RGBA, by C.
    """
    pixels, border = store(images), gap if smallest else 0
    count, height, width, channels = pixels.shape
    columns = min(columns, count)
    size = sheet_size((height, width), count, columns, gap)
    picture = np.full((size[0] + 2 * border, size[1] + 2 * border, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = border + i // columns * (height + gap), border + i % columns * (width + gap)
        picture[top:top + height, left:left + width] = image
    picture = Image.fromarray(picture[..., 0] if channels == 1 else picture)
    factor = max(1, round(smallest / picture.width))
    return picture if factor == 1 else picture.resize((picture.width * factor, picture.height * factor),
                                                      Image.Resampling.NEAREST)


def sheet_size(shape, count=1, columns=1, gap=2):
    """(height, width) of a `sheet` without border of `count` samples [H, W, …]."""
    columns = min(columns, count)
    return tuple(many * (side + gap) - gap for many, side in zip((-(-count // columns), columns), shape[:2]))


def images(samples):
    return samples


def examples(field, count, seed=0):
    """Smooth random images, float32 [count, *field.shape]; free sizes are 32."""
    height, width, channels = (size or 32 for size in field.shape)
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    turns = rng.uniform(-3, 3, (count, 2, 1, 1, channels))
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, channels))
    return np.sin(turns[:, 0] * y[..., None] + turns[:, 1] * x[..., None] + phase).astype(np.float32)


def compare(made, true):
    """Two aligned batches, float [n, H, W, C] in [-1, 1], as the files that they would be: dict of float64 [n].

    `psnr` in dB, `ssim` (NaN below 11 pixels), `l1` from 0 to 1; from 176 pixels on `ms_ssim`. Where one is grey and the other in colour, grey counts as
    a colour of three equal channels. kgan.kinds._compare has the protocol of each.
    """
    made, true = store(made), store(true)
    channels = max(made.shape[-1], true.shape[-1])
    made, true = (np.repeat(each, channels, -1) if each.shape[-1] == 1 else each for each in (made, true))
    found = {"psnr": _compare.psnr(made, true), "ssim": _compare.ssim(made, true), "l1": _compare.l1(made, true)}
    return found | ({"ms_ssim": _compare.ms_ssim(made, true)} if min(made.shape[1:3]) >= 176 else {})
