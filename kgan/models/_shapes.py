"""The sizes of pictures that networks of halvings and doublings can be built for."""
import numbers

from kgan import sizes
from kgan.config import ConfigError

SMALLEST = 8  # rows and columns of a picture: one halving, to 4
START = 7  # rows or columns of the smallest maps, whichever are fewer, at most


def doublings(shape, least=4, odd=False):
    """The (height, width) of the maps up to a picture of `shape`, the smallest first.

    Both sides are halved again and again: as long as both are even, and the smaller is at least `least` afterwards. With
    `odd` those of odd sides are rounded up, as strided convolutions do, so that any picture comes down to its smallest maps.

        doublings((28, 28)) -> [(7, 7), (14, 14), (28, 28)]            doublings((64, 96)) -> [(4, 6), (8, 12), …, (64, 96)]
        doublings((28, 28), odd=True) -> [(4, 4), (7, 7), (14, 14), (28, 28)]
    """
    maps = [tuple(shape[:2])]
    while True:
        height, width = maps[0]
        half = -(-height // 2), -(-width // 2)
        if min(half) < least or (height % 2 or width % 2) and not odd:
            return maps
        maps.insert(0, half)


def check_shape(shape, model, odd=False):
    """Raises ConfigError unless a model can be built for images of `shape` (H, W, C); the message has the nearest that it can.

    Args:
        shape: of images; points and signals are refused.
        model: its name, to be told.
        odd: whether it takes odd sides (`doublings`): then 8 rows and columns or more are enough. Else they must be even
            down to maps with 4 to 7 rows or columns: squares of 4, 5, 6 or 7·2^k, k ≥ 1, and rectangles such as 64x96.
    """
    sides = shape if isinstance(shape, (tuple, list)) else (shape,)
    if len(sides) == 1 and sides is shape:
        raise ConfigError(f"{model} makes images; for points and signals use --model=mlp or --model=sine")
    if len(sides) != 3 or not all(isinstance(side, numbers.Integral) and side > 0 for side in sides):
        raise ConfigError(f"shape={shape}: must be (height, width, channels) of one image in whole numbers, as in (28, 28, 1)")
    size = tuple(shape[:2])
    if odd and min(size) < SMALLEST:
        raise ConfigError(f"image_size={sizes.text(size)}: {model} needs {SMALLEST} rows and columns or more; the nearest "
                          f"size is {sizes.text([max(side, SMALLEST) for side in size])}")
    if not odd and not _even(size):
        raise ConfigError(f"image_size={sizes.text(size)}: {model} needs sides that can be halved exactly, down to 4 to "
                          f"{START} rows or columns; the nearest sizes are {' and '.join(map(sizes.text, _nearest(size)))}")


def check_classes(classes):
    """Raises ConfigError unless `classes` are names."""
    if not isinstance(classes, (tuple, list, str)) or not classes:
        raise ConfigError(f"classes={classes!r}: must be the names of the classes, as in classes=[\"cat\", \"dog\"]")


def _even(size):
    maps = doublings(size)
    return len(maps) > 1 and min(maps[0]) <= START


def _nearest(size):
    """The two sizes nearest to `size` that `doublings` takes down to 4 to 7 rows or columns; squares of a square."""
    short, long = sorted(size)
    found = []
    for k in range(1, 9):
        for start in range(4, START + 1):
            side, step = start * 2**k, 2**k
            others = {side} if short == long else {max(side, long // step * step), max(side, -(-long // step) * step)}
            found += [(side, other) if size[0] == short else (other, side) for other in others]
    return sorted(found, key=lambda one: (abs(one[0] - size[0]) + abs(one[1] - size[1]), one))[:2]
