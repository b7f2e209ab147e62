"""Samples as pictures: images as a grid, points in the plane as a scatter plot, signals as lines."""
import io

import numpy as np
from PIL import Image


def to_uint8(images):
    """float [-1, 1] to uint8 [0, 255], rounded; what lies outside is cut."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def grid(images, columns=8, gap=2, smallest=512):
    """One picture of many.

    Args:
        images: float [n, H, W, C] in [-1, 1], C 1 or 3.
        columns: pictures a row.
        gap: pixels between them.
        smallest: the grid is enlarged by a whole factor, pixel by pixel, to at least about this width.

    Returns:
        PIL.Image, RGB.
    """
    images = to_uint8(images)
    count, height, width, channels = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top:top + height, left:left + width] = image
    picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet[..., :3]).convert("RGB")
    factor = max(1, round(smallest / picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def draw(samples, real=None):
    """Samples of any kind as a PIL.Image (RGB).

    Args:
        samples: float [n, H, W, C] in [-1, 1], or [n, 2] points, or [n, D] signals.
        real: points or signals to be drawn behind the samples, in grey; None: none.
    """
    samples = np.asarray(samples)
    if samples.ndim == 4:
        return grid(samples)
    axes = _axes()
    if samples.shape[1] == 2:
        if real is not None:
            axes.plot(*np.asarray(real).T, ".", color="0.75", markersize=2)
        axes.plot(*samples.T, ".", color="tab:blue", markersize=3, alpha=0.6)
        axes.set_aspect("equal", "datalim")
    else:
        if real is not None:
            axes.plot(np.asarray(real).T, color="0.85", linewidth=1)
        axes.plot(samples.T, linewidth=1, alpha=0.8)
    return _render(axes)


def curves(steps, columns):
    """Losses and scores over the steps, as a PIL.Image.

    Args:
        steps: list of int.
        columns: dict of name to list of numbers.
    """
    axes = _axes(size=(8, 3.5))
    for name, values in columns.items():
        axes.plot(steps, values, label=name, linewidth=1.2)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=4)
    return _render(axes)


def bars(rows, series, title):
    """Bars side by side, as a PIL.Image.

    Args:
        rows: dict of name to a dict of numbers.
        series: dict of legend to the key of the number it stands for.
        title: of the vertical axis.
    """
    axes = _axes(size=(max(5.0, 0.35 * len(rows) + 2), 3.5))
    for i, (legend, key) in enumerate(series.items()):
        places = np.arange(len(rows)) + (i - (len(series) - 1) / 2) * 0.8 / len(series)
        axes.bar(places, [row[key] for row in rows.values()], 0.8 / len(series), label=legend)
    axes.set_xticks(np.arange(len(rows)), list(rows), rotation=90 if max(map(len, rows)) > 2 else 0)
    axes.set_ylabel(title)
    axes.legend(frameon=False)
    return _render(axes)


def places(rows, x, y):
    """Each row of a dict of dicts as its name at (row[x], row[y]), as a PIL.Image. Rows that lack a number are left out."""
    axes = _axes(size=(5, 4.5))
    for name, row in rows.items():
        if row[x] is not None and row[y] is not None:
            axes.plot(row[x], row[y], ".", color="tab:blue")
            axes.annotate(name, (row[x], row[y]), textcoords="offset points", xytext=(4, 3))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return _render(axes)


def animate(paths, seconds=6.0):
    """The bytes of an animated GIF of pictures in files, all of one size, the last shown longest; at most 60 of them."""
    paths = list(paths)
    chosen = [paths[i] for i in sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(len(paths), 60))})]
    frames = []
    for path in chosen:
        with Image.open(path) as picture:
            frames.append(picture.convert("P", palette=Image.Palette.ADAPTIVE))
    each = max(60, int(1000 * seconds / len(frames)))
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], loop=0,
                   duration=[each] * (len(frames) - 1) + [2000])
    return buffer.getvalue()


def png(picture):
    """A PIL.Image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _axes(size=(5.4, 5.4)):
    """Axes of a new matplotlib figure, without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    return FigureCanvasAgg(Figure(figsize=size, dpi=100, layout="tight")).figure.add_subplot()


def _render(axes):
    canvas = axes.figure.canvas
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    # a figure is a ring of references: in a long run the collector would come by too late
    axes.figure.clear()
    canvas.renderer = None
    return picture
