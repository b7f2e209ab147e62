"""Pictures: sheets of samples, charts of what was measured, animations."""
import functools
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kgan import kinds
from kgan.kinds import image


def grid(images, columns=8, gap=2, smallest=512):
    """One picture of many images, RGB: `kgan.kinds.image.sheet`."""
    return image.sheet(images, columns=columns, gap=gap, smallest=smallest).convert("RGB")


def sheet(kind, samples, behind=None, columns=8):
    """One picture of many samples as a PIL.Image (RGB); real ones in grey behind points and signals.

    `kind`: its name, or the kgan.kinds.Field, which knows the words of texts.
    """
    return _drawing(kind)(np.asarray(samples), behind, columns).convert("RGB")


def _drawing(kind):
    if isinstance(kind, str):
        return kinds.get(kind).sheet
    sheet = kinds.get(kind.kind).sheet
    return functools.partial(sheet, **kinds.known(kind, sheet))


def side_by_side(columns, smallest=768, across=2):
    """Rows of what belongs together, one example each, as a PIL.Image (RGB).

    Args:
        columns: list of (name of a kind, or kgan.kinds.Field, and samples [n, …]), from left to right.
        smallest: the picture is enlarged by a whole factor to about this width.
        across: examples a row.
    """
    cells = [[_drawing(kind)(np.asarray(values[i:i + 1]), smallest=0).convert("RGB") for kind, values in columns]
             for i in range(len(columns[0][1]))]
    height = max(cell.height for row in cells for cell in row)
    cells = [[cell.resize((cell.width * height // cell.height, height), Image.Resampling.NEAREST) for cell in row]
             for row in cells]
    gap, (width, rows) = 2, (max(sum(cell.width + 2 for cell in row) for row in cells), -(-len(cells) // across))
    picture = Image.new("RGB", (across * (width + 4 * gap) - 3 * gap, rows * (height + gap) + gap), "white")
    for i, row in enumerate(cells):
        left = gap + i % across * (width + 4 * gap)
        for cell in row:
            picture.paste(cell, (left, gap + i // across * (height + gap)))
            left += cell.width + gap
    factor = max(1, round(smallest / picture.width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def texts(lines, height, width=64):
    """Words as grey images float32 [n, h, width, 1] in [-1, 1], black on white, h at least `height`.

    `lines`: for each image a list of short texts, one below the other.
    """
    size, font = max(height, 11 * len(lines[0])), ImageFont.load_default(10)
    drawn = []
    for each in lines:
        picture = Image.new("L", (width, size), 255)
        for i, text in enumerate(each):
            ImageDraw.Draw(picture).text((2, size / len(each) * (i + 0.5)), text, fill=0, font=font, anchor="lm")
        drawn.append(np.asarray(picture))
    return np.stack(drawn)[..., None].astype(np.float32) / 127.5 - 1


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
