"""Built-in digits: 0-9 in 18 type faces, under random affine maps, in grey like MNIST or in colour, at any size.

Needs no download: the faces are those that matplotlib ships. A glyph is kept as a signed distance field, its distance
to the outline on a grid (Green, "Improved Alpha-Tested Magnification for Vector Textures and Special Effects",
SIGGRAPH 2007). Sampled at a picture's pixels it gives clean edges at every size, and a heavier or lighter stroke is one
subtraction. What is drawn depends on the seed alone: picture n is the same at 28 and at 128 pixels, and with any count.
"""
import functools
import numbers
from pathlib import Path

import numpy as np

from kgan import sizes
from kgan.data.cache import cached
from kgan.data.source import DataError, Source

# upright text faces and their slanted sisters. Left out: the symbol and display faces, cmmi10 (old-style digits) and
# DejaVu's bold monospace (its dotted zero closes up and reads as an eight), cmti10 (not in every matplotlib)
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
    "cmb10", "cmr10", "cmss10", "cmtt10",
)
PALETTE = {  # name: sRGB
    "red": (226, 45, 52), "orange": (250, 135, 20), "yellow": (255, 214, 40), "green": (24, 150, 66),
    "cyan": (40, 210, 225), "blue": (38, 92, 232), "violet": (142, 62, 214), "pink": (234, 46, 150),
}
SIZES = 28, 128
SPLITS = {"train": (0, 60_000), "test": (1, 10_000)}  # name: (stream of the seed, default count)

GRID = 96      # samples of a distance field along each side ...
EXTENT = 0.7   # ... of the square [-EXTENT, EXTENT]², in glyph heights around the glyph's middle
HEIGHT = 0.50, 0.72     # glyph height, in picture sides
ASPECT = 0.85, 1.20     # extra stretch in width
ROTATION = -0.18, 0.18  # radians, anticlockwise
SLANT = -0.20, 0.25     # shear: to the right by this share of the height above the middle; people lean to the right
WEIGHT = -0.010, 0.030  # outline moved outwards, in glyph heights
MARGIN = 0.055          # free border, in picture sides: more than a pixel at the smallest size
SHIFT = 0.09            # farthest from the middle, in picture sides
# grounds: mean level of the three channels, how far the hue moves them, first hue and range of hues in turns from red.
# Deep ones keep to teal, navy and plum: dark yellows and reds are mud
DEEP, PALE = (0.15, 0.12, 0.57, 0.24), (0.89, 0.08, 0.0, 1.0)

CHUNK = 2 ** 18  # pixels drawn at once: the temporaries stay in the processor's cache


def source(image_size=28, channels=1, split="train", count=None, seed=0):
    """Draws the digits, or opens them if they were drawn before.

    Args:
        image_size: int, 28 to 128.
        channels: 1 for white on black, 3 for a vivid colour on a deep or pale ground.
        split: "train" or "test": independent draws of the same distribution.
        count: number of pictures; None for 60,000 ("train") or 10,000 ("test").
        seed: int, not negative.

    Returns:
        Source of `image` uint8 [N, S, S, C]; `label` int64 [N], the digit, uniform; `font` int64 [N], uniform;
        `color` int64 [N], only with 3 channels, uniform over `PALETTE`; `slant` float32 [N], the shear put on the
        glyph, shift to the right per unit of height, -0.2 to 0.25 (an oblique face leans before that already);
        `weight` float32 [N], how far the outline was moved outwards, in glyph heights, -0.01 to 0.03.

    Raises:
        DataError: an argument out of range, or a matplotlib that came without its fonts.
    """
    check("glyphs", image_size, channels, SPLITS, split, count, seed)
    stream, default = SPLITS[split]
    # raise the version when other pictures are drawn for the same arguments
    key = {"version": 2, "image_size": int(image_size), "channels": int(channels), "stream": stream,
           "count": int(default if count is None else count), "seed": int(seed)}
    arrays, _ = cached("glyphs", key, lambda directory: _write(directory, **key))
    classes = {"label": [str(digit) for digit in range(10)], "font": list(FONTS)}
    if channels == 3:
        classes["color"] = list(PALETTE)
    return Source("glyphs", arrays, classes)


def check(name, image_size, channels, splits, split, count, seed):
    """Raises DataError for arguments of `source` that are out of range. `name`: of the data set, to be told."""
    low, high = SIZES
    if isinstance(image_size, (list, tuple)):
        raise DataError(f"{name}: image_size={sizes.text(image_size)}: digits are drawn on squares of {low} to {high} "
                        "pixels; give one number")
    if not isinstance(image_size, numbers.Integral) or not low <= image_size <= high:
        raise DataError(f"{name}: image_size must be a whole number from {low} to {high}, not {image_size!r}")
    if channels not in (1, 3):
        raise DataError(f"{name}: channels must be 1 or 3, not {channels!r}")
    if split not in splits:
        raise DataError(f"{name}: split must be one of {', '.join(splits)}, not {split!r}")
    if count is not None and count < 1:
        raise DataError(f"{name}: count must be 1 or more, not {count!r}")
    if seed < 0:
        raise DataError(f"{name}: seed must be 0 or more, not {seed!r}")


def _write(directory, version, image_size, channels, stream, count, seed):
    rng = np.random.default_rng([seed, stream])
    fields = {field: [] for field in ("label", "font", "slant", "weight") + (("color",) if channels == 3 else ())}
    image = np.lib.format.open_memmap(directory / "image.npy", mode="w+", dtype=np.uint8,
                                      shape=(count, image_size, image_size, channels))
    step = max(1, CHUNK // image_size ** 2)
    for start in range(0, count, step):
        drawn = draw_parameters(min(step, count - start), rng)
        cover = coverage(drawn, image_size)
        image[start:start + step] = paint(drawn, cover) if channels == 3 else np.rint(255 * cover)[..., None]
        for field, values in fields.items():
            values.append(drawn[field])
    for field, values in fields.items():
        np.save(directory / f"{field}.npy", np.concatenate(values))
    image.flush()
    return {}


def draw_parameters(count, rng, fonts=None, slants=SLANT):
    """All that is random about `count` pictures, in fractions of a picture: nothing here knows the resolution.

    `fonts`: numbers of those in FONTS to choose from; None: all. `slants`: from where to where glyphs are sheared.

    Returns:
        dict of arrays [count, ...]: the fields `label`, `font`, `color`, `slant`, `weight`; `matrix` [count, 2, 2] and
        `offset` [count, 2], which take a glyph's point (x right, y up, in glyph heights) to the picture (origin in
        the middle, in picture sides); `ground` [count, 2, 3] and `direction` [count, 2], the gradient behind.
    """
    # one row a picture, so that a picture does not depend on how many are drawn, or are drawn at once
    uniform = iter(rng.random((count, 14)).T)

    def between(low, high):
        return low + (high - low) * next(uniform)

    def choose(number):
        return (next(uniform) * number).astype(np.int64)

    fonts = np.arange(len(FONTS)) if fonts is None else np.array(fonts)
    label, font, color = choose(10), fonts[choose(len(fonts))], choose(len(PALETTE))
    slant, weight = between(*slants).astype(np.float32), between(*WEIGHT).astype(np.float32)
    height, aspect, angle = between(*HEIGHT), between(*ASPECT), between(*ROTATION)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[aspect, slant], [np.zeros(count), np.ones(count)]])
    matrix = np.einsum("ijn,jkn,n->nik", rotation, shear, height)

    # the room that the glyph takes: its outline's outermost points, mapped, and the change in weight around them
    points = np.einsum("nij,nkj->nki", matrix, faces()[1][font * 10 + label])
    heavier = np.maximum(weight, 0) * np.linalg.norm(matrix, axis=(1, 2))
    low, high = points.min(1) - heavier[:, None], points.max(1) + heavier[:, None]
    shrink = np.minimum(1, (1 - 2 * MARGIN) / (high - low).max(1))
    matrix, low, high = (values * shrink.reshape(-1, *[1] * (values.ndim - 1)) for values in (matrix, low, high))
    room = np.minimum((1 - high + low) / 2 - MARGIN, SHIFT)
    offset = room * np.stack([between(-1, 1), between(-1, 1)], 1) - (high + low) / 2

    hue, turn, toward, side = between(0, 1), between(-0.12, 0.12), between(0, 2 * np.pi), next(uniform)
    return {"label": label, "font": font, "color": color, "slant": slant, "weight": weight, "matrix": matrix,
            "offset": offset, "ground": ground(color, hue, turn, side),
            "direction": np.stack([np.cos(toward), np.sin(toward)], 1)}


def ground(color, hue, turn, side):
    """The two ends of the gradient behind digits of `color`, [N, 2, 3] in 0..1: neighbouring hues that these stand out from.

    Colours of middling luminance stand out from deep and from pale grounds, and `side` decides.
    """
    luminance = relative_luminance(np.array(list(PALETTE.values())) / 255)[color]
    deep = (luminance > 0.25) | ((luminance > 0.16) & (side < 0.5))
    level, swing, first, span = np.where(deep[:, None], DEEP, PALE).T[..., None, None]
    ends = first + span * hue[:, None, None] + turn[:, None, None] * np.arange(2)[:, None]
    return level + swing * np.cos(2 * np.pi * (ends - np.arange(3) / 3))


def coverage(drawn, image_size):
    """Share of each pixel that the glyph covers, float32 [N, S, S] in 0..1, for some `draw_parameters`."""
    return np.clip(0.5 - distances(drawn, image_size), 0, 1)


def distances(drawn, image_size):
    """Distance of each pixel's middle to the glyph's outline, in pixels, negative inside: float32 [N, S, S]."""
    count = len(drawn["label"])
    centres = (np.arange(image_size) + 0.5) / image_size - 0.5
    inverse = np.linalg.inv(drawn["matrix"])
    # a pixel's place in the distance field's grid is affine in its place in the picture: rows run down, y runs up
    per_cell = (GRID - 1) / (2 * EXTENT)
    start = (-np.einsum("nij,nj->ni", inverse, drawn["offset"]) + EXTENT) * per_cell
    across = inverse[:, :, 0, None] * centres * per_cell
    down = inverse[:, :, 1, None] * -centres * per_cell + start[..., None]
    place = (across[:, :, None, :] + down[:, :, :, None]).astype(np.float32)
    # beyond the grid there is no glyph: its rim is far enough outside
    np.clip(place, 0, np.float32(GRID - 1.001), out=place)
    cell = place.astype(np.int32)
    x, y = np.moveaxis(place - cell, 1, 0)
    glyph = (drawn["font"] * 10 + drawn["label"]).astype(np.int32).reshape(count, 1, 1)
    corner = (glyph * GRID + cell[:, 1]) * GRID + cell[:, 0]
    field = faces()[0].ravel()
    lower, upper = field[corner], field[corner + GRID]
    lower += x * (field[corner + 1] - lower)
    upper += x * (field[corner + GRID + 1] - upper)
    distance = lower + y * (upper - lower)
    # glyph heights to pixels: right on average over directions, which is enough for maps as mild as these
    pixels = image_size * np.sqrt(np.linalg.det(drawn["matrix"]))
    scale, weight = (values.astype(np.float32).reshape(count, 1, 1) for values in (pixels, drawn["weight"]))
    return (distance - weight) * scale


def paint(drawn, cover):
    """Colour pictures, uint8 [N, S, S, 3]: the digit's colour where `cover` [N, S, S] is 1, a gradient where 0."""
    size = cover.shape[-1]
    centres = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    direction = drawn["direction"].astype(np.float32)[..., None]
    along = 0.5 + 0.7 * (direction[:, 0, None, :] * centres - direction[:, 1, None, :] * centres[:, None])
    first, last = (255 * drawn["ground"].astype(np.float32)).transpose(1, 0, 2)[:, :, None, None, :]
    front = np.array(list(PALETTE.values()), np.float32)[drawn["color"]][:, None, None, :]
    picture = first + along[..., None] * (last - first)
    picture += cover[..., None] * (front - picture)
    return np.rint(picture).astype(np.uint8)


def relative_luminance(rgb):
    """WCAG 2's relative luminance of sRGB colours [..., 3] in 0..1, from 0 (black) to 1 (white)."""
    rgb = np.asarray(rgb)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@functools.lru_cache(maxsize=1)
def faces():
    """The glyphs of all faces, number `font * 10 + digit`, centred and of height 1.

    Returns:
        (distances, hulls): float32 [glyphs, GRID, GRID], the distance to the outline, negative inside, first axis y
        (up), second x; and float64 [glyphs, 32, 2], the outline's outermost points in 32 directions.
    """
    outlines = [_outline(font, digit) for font in FONTS for digit in "0123456789"]
    angles = np.arange(32) * 2 * np.pi / 32
    directions = np.stack([np.cos(angles), np.sin(angles)])
    hulls = [np.concatenate(outline)[np.argmax(np.concatenate(outline) @ directions, 0)] for outline in outlines]
    return np.stack([_signed_distance(outline) for outline in outlines]), np.stack(hulls)


def _outline(font, digit):
    # the closed polygons [n, 2] of a glyph, first point repeated at the end
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    if not file.exists():
        raise DataError(f"glyphs: this matplotlib came without its font {file}; `pip install matplotlib` brings it")
    polygons = TextPath((0, 0), digit, size=200, prop=FontProperties(fname=str(file))).to_polygons()
    points = np.concatenate(polygons)
    low, high = points.min(0), points.max(0)
    return [(polygon - (low + high) / 2) / (high - low)[1] for polygon in polygons]


def _signed_distance(polygons):
    axis = np.linspace(-EXTENT, EXTENT, GRID, dtype=np.float32)
    starts = np.concatenate([polygon[:-1] for polygon in polygons]).astype(np.float32)[:, :, None, None]
    ends = np.concatenate([polygon[1:] for polygon in polygons]).astype(np.float32)[:, :, None, None]
    (x0, y0), (x1, y1) = starts.swapaxes(0, 1), ends.swapaxes(0, 1)
    x, y = axis[None, None, :], axis[None, :, None]
    dx, dy = x1 - x0, y1 - y0
    nearest = np.clip(((x - x0) * dx + (y - y0) * dy) / np.maximum(dx * dx + dy * dy, 1e-12), 0, 1)
    squared = (x - x0 - nearest * dx) ** 2 + (y - y0 - nearest * dy) ** 2
    # inside is where the outline winds around the point: count the edges that a ray to the right crosses, up less down
    upward, downward = (y0 <= y) & (y < y1), (y1 <= y) & (y < y0)
    crossing = x0 + (y - y0) * dx / np.where(dy == 0, 1, dy)
    winding = ((upward * 1 - downward * 1) * (crossing > x)).sum(0)
    return np.sqrt(squared.min(0)) * np.where(winding == 0, 1, -1).astype(np.float32)
