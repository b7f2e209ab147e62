"""Sizes of images as flags and settings have them: a number for squares, else height and width. Imports no TensorFlow."""
import numbers
import re

from absl import flags

from kgan.config import ConfigError

LIMITS = 4, 1024  # pixels a side, of flags


def pair(size):
    """(height, width) of a size as settings have it: a number, or height and width. Raises ConfigError: it is neither."""
    sides = [size, size] if isinstance(size, numbers.Integral) else size
    if (not isinstance(sides, (list, tuple)) or len(sides) != 2
            or not all(isinstance(side, numbers.Integral) and side > 0 for side in sides)):
        raise ConfigError(f"image_size={size!r}: must be a number of pixels, or height and width, as in [64, 96]")
    return int(sides[0]), int(sides[1])


def setting(size):
    """The size as config.json has it: an int for squares, else [height, width]."""
    height, width = pair(size)
    return height if height == width else [height, width]


def text(size):
    """The size as flags have it: "64" or "64x96"."""
    height, width = pair(size)
    return f"{height}" if height == width else f"{height}x{width}"


class Parser(flags.ArgumentParser):
    """Of a flag such as --image_size: "64" or "64x96" to what `setting` gives."""

    syntactic_help = f"a number, or HEIGHTxWIDTH; {LIMITS[0]} to {LIMITS[1]} a side"

    def parse(self, argument):
        if not isinstance(argument, str):  # a default
            return setting(argument)
        low, high = LIMITS
        sides = [int(side) for side in argument.split("x")] if re.fullmatch(r"[0-9]{1,6}(x[0-9]{1,6})?", argument) else []
        if not sides or min(sides) < low or max(sides) > high:
            raise ValueError(f"must be a number of pixels from {low} to {high}, or height x width, as in 64x96")
        return setting(sides * (3 - len(sides)))

    def flag_type(self):
        return "size"


class Serializer(flags.ArgumentSerializer):
    """The reverse of Parser."""

    def serialize(self, value):
        return text(value)
