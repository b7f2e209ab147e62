"""Points in the plane: float32 [2], not bounded."""
import json

import numpy as np

from kgan.kinds._plot import BEHIND, COLOURS, SIDE, Plot

FIELD, OUTPUT, UNIT = "sample", "samples", "samples"
RANGE = None
PLOT = True
SHOWN = 2_000  # it takes many to show a density
MEDIA = {"application/json": ".json"}
SUFFIXES = ()


def scale(values):
    return values


def store(values):
    return np.asarray(values, np.float32)


def write(sample, media="application/json"):
    return json.dumps(np.asarray(sample, np.float64).tolist()).encode()


def sheet(points, behind=None, columns=8, smallest=512):
    """A scatter plot, PIL.Image; both axes have the same unit.

    Args:
        points: float [n, 2].
        behind: float [m, 2], shown in grey; the axes reach over all of them. None: over `points`.
        columns: not used: all are in one plot.
        smallest: side of the picture in pixels, with numbers along the axes; 0: SIDE, without.
    """
    points = np.asarray(points, np.float32)
    seen = np.asarray(points if behind is None else behind, np.float32)
    middle, reach = (seen.max(0) + seen.min(0)) / 2, max(float(np.ptp(seen, axis=0).max()) / 2, 1e-6)
    plot = Plot(*((center - reach, center + reach) for center in middle), smallest)
    if behind is not None:
        plot.dots(seen, BEHIND, 1.2)
    plot.dots(points, COLOURS[0], 2 if len(points) > 1 else 4)
    return plot.picture()


def sheet_size(shape, count=1, columns=1):
    return SIDE, SIDE


def images(samples):
    return None


def examples(field, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *field.shape)).astype(np.float32)
