"""Kinds of data: one file each, found by its name. A kind is known by that name, never by the rank of an array.

A kind's file knows how a field of the kind is stored and scaled, which files hold it, how samples are drawn, compared and
shown to a feature network. Training and the server use the same files, so they need NumPy and Pillow alone. It has, as far
as they make sense for the kind:

    FIELD           what a made field of the kind is called in a batch, and what D's input for it is called: "image"
    OUTPUT          what a generator's output of the kind is called in exports: "images"
    UNIT            what a progress bar counts: "img"
    DTYPE           of what networks take and give; left out: float32
    RANGE           (low, high) of the numbers that networks see; None: they are not bounded
    STEEP           how many times as far as images an exported file's values may be from Keras's, if not 1
    SHOWN           how many samples a sheet has
    PLOT            whether a sheet has all samples in one plot; else each is a picture
    MIRRORED        whether mirroring the images of an example mirrors this too; False where it is left out
    LIKE            name of the input whose height and width it must have; left out where there is no such
    MEDIA           dict of media type -> suffix of the files that `write` gives; the first is the default
    SUFFIXES        suffixes of the files that `read` reads
    MORE            dict of what `Field.more` says of the kind, with what is usual: {"rate": 16000}. Its functions that need it
                    have a parameter of that name: see `known`. It stands in exports
    check(values)   raises ValueError where an array of examples cannot be of a kind, beyond dtype, shape and range
    scale(values)   stored numbers as float32, an array or a tensor, to what networks see
    store(values)   the reverse, to a stored NumPy array
    read(data, field)               bytes of a file -> one stored example; ValueError: a sentence that says what is wrong
    write(sample, media=…)          one sample as networks see it -> bytes
    pixels(samples) uint8 [n, H, W, C], which `write` puts into PNG files as they are; left out where it writes something else
    sheet(samples, behind=None, columns=8, smallest=512)    PIL.Image of many samples as networks see them, real ones
                    behind them where that helps; smallest 0: as small as it goes, which is what a server sends
    sheet_size(shape, count=1, columns=1)   (height, width) of such a small sheet
    images(samples)                 float32 [n, H, W, C] in [-1, 1] for a feature network; None: there is no such view
    beside(samples) dict of suffix -> bytes: files of many samples that lie beside each sheet, of kinds that are heard or that move
    compare(made, true)             dict of name -> float64 [n], of two aligned batches as networks see them
    examples(field, count, seed)    plausible examples as networks see them, for tests and for a server's first call

Adding a kind: write kgan/kinds/NAME.py, and export/page/kinds/NAME.js where a page is to show it.
"""
import dataclasses
import importlib
import inspect
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Field:
    """One named field of a batch.

    Attributes:
        kind: name of a kind.
        shape: of one example; None stands for any size.
        classes: of labels: the names of the classes from 0 on.
        more: what else the kind knows of it, such as {"distribution": "normal"} of noise.
    """

    kind: str
    shape: tuple = ()
    classes: tuple = ()
    more: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "shape", tuple(None if size is None else int(size) for size in self.shape))
        object.__setattr__(self, "classes", tuple(self.classes))


def names():
    """The names of all kinds."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def get(name):
    """The module of a kind. Raises ValueError: there is no such kind."""
    if name not in names():
        raise ValueError(f"no kind of data is named {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"kgan.kinds.{name}")


def dtype(name):
    """What networks take and give of a kind: "float32", or "int32" of tokens."""
    return getattr(get(name), "DTYPE", "float32")


def known(field, function):
    """Of what a Field says more than its shape, such as the rate of sounds, what a function of its kind has parameters for."""
    parameters = inspect.signature(function).parameters
    return {name: value for name, value in field.more.items() if name in parameters}


def guess(shape):
    """The kind of what networks of your own make, where nobody has said it: by the shape of a sample.

    Only for `kgan.GAN(generator, discriminator)` without `fields`: kgan's own models and data name their kinds.
    """
    if len(shape) == 1:
        return "points" if shape[0] == 2 else "signal"
    if len(shape) == 2 and shape[1] == 1:
        return "audio"
    known = {3: "image", 4: "voxels"}
    if len(shape) not in known:
        raise ValueError(f"samples of shape {list(shape)}: of which kind are they? Say it as "
                         "fields={\"NAME\": kgan.kinds.Field(KIND, SHAPE)}; there are " + ", ".join(names()))
    return known[len(shape)]
