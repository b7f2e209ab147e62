"""A plot of points or lines by Pillow alone: what the kinds points and signal are drawn with."""
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE, _MARGIN, _FINER = 360, 12, 3  # pixels; a plot is drawn larger by _FINER and reduced, for smooth lines
_ROOM = 30  # for the numbers along an axis
COLOURS = "#1f77b4 #d95f02 #2a9d5c #c0392b #7b5ea7 #8c6d31".split()
BEHIND = "#d0d0d0"


class Plot:
    """A white square; x and y are the values at its left and right, lower and upper edges.

    `side`: in pixels, with numbers along its left and lower edges; 0: SIDE, without numbers.
    """

    def __init__(self, x, y, side=0):
        self._axes, self.side, side = bool(side), side or SIDE, side or SIDE
        room = _ROOM if self._axes else 0
        self._origin = _FINER * np.array([_MARGIN + room, _MARGIN])
        self._low = np.array([x[0], y[1]])
        spans = np.array([x[1] - x[0], y[0] - y[1]])
        self._scale = _FINER * (side - 2 * _MARGIN - room) / np.where(spans == 0, 1, spans)
        self._ends = np.array([x, y], float)
        self._picture = Image.new("RGB", (_FINER * side,) * 2, "white")
        self._pen = ImageDraw.Draw(self._picture)

    def _places(self, points):
        # what is not finite or far outside is drawn at the edge
        places = np.nan_to_num((points - self._low) * self._scale) + self._origin
        return [tuple(place) for place in np.clip(places, 0, _FINER * self.side - 1).tolist()]

    def dots(self, points, colour, radius):
        for place in self._places(points):
            self._pen.circle(place, _FINER * radius, fill=colour)

    def line(self, points, colour):
        self._pen.line(self._places(points), fill=colour, width=_FINER, joint="curve")

    def picture(self):
        picture = self._picture.resize((self.side, self.side), Image.Resampling.BOX)
        if self._axes:
            pen, font = ImageDraw.Draw(picture), ImageFont.load_default()
            (x0, x1), (y0, y1) = self._ends
            left, top = self._origin / _FINER
            right, bottom = self.side - _MARGIN, self.side - _MARGIN - _ROOM
            pen.line([(left, top), (left, bottom), (right, bottom)], fill="#808080")
            for value in _ticks(x0, x1):
                pen.text((left + (value - x0) / (x1 - x0) * (right - left), bottom + 4), f"{value:g}", "black", font, "ma")
            for value in _ticks(y0, y1):
                pen.text((left - 4, bottom + (value - y0) / (y1 - y0) * (top - bottom)), f"{value:g}", "black", font, "rm")
        return picture


def _ticks(low, high):
    """Three to six round numbers from low to high."""
    if not high > low:
        return []
    step = 10.0 ** np.floor(np.log10((high - low) / 3))
    step *= max(factor for factor in (1, 2, 5) if (high - low) / (factor * step) >= 3)
    return [float(f"{number * step:.12g}") for number in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
