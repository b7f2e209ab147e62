"""Signals: a row of numbers, float32 [L], not bounded."""
import numpy as np

from kgan.kinds import points
from kgan.kinds._plot import BEHIND, COLOURS, Plot

FIELD, OUTPUT, UNIT = "sample", "samples", "samples"
RANGE = None
PLOT = True
SHOWN = 64
MEDIA = points.MEDIA
SUFFIXES = ()

scale, store, write, examples, images, sheet_size = (
    points.scale, points.store, points.write, points.examples, points.images, points.sheet_size)


def sheet(signals, behind=None, columns=8, smallest=512):
    """Lines over the places of their numbers, PIL.Image.

    Args:
        signals: float [n, L].
        behind: float [m, L], by which the vertical axis is chosen; None: by `signals`.
        columns: not used: all are in one plot.
        smallest: side of the picture in pixels, with numbers along the axes and those behind in grey; 0: SIDE, without.
    """
    signals = np.asarray(signals, np.float32)
    seen = np.asarray(signals if behind is None else behind, np.float32)
    plot = Plot((0, max(1, signals.shape[1] - 1)), (float(seen.min()), float(seen.max())), smallest)
    drawn = [(signal, BEHIND) for signal in seen] if smallest and behind is not None else []
    drawn += [(signal, COLOURS[i % len(COLOURS)]) for i, signal in enumerate(signals)]
    for signal, colour in drawn:
        plot.line(np.stack([np.arange(len(signal)), signal], 1), colour)
    return plot.picture()
