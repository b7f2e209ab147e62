"""Data out of Python: `--dataset=MODULE:FUNCTION`, and arrays in the place of a name.

The function returns, or who calls `kgan.data.load` or `kgan.metrics.Evaluator` gives:

    images                              uint8, or floats in [0, 1], [-1, 1] or [0, 255]: [N, H, W], [N, H, W, 1], [N, H, W, 3]
    vectors                             [N, D]
    a list of images                    of PIL or of NumPy, of any sizes
    (images, labels)                    labels are numbers from 0, texts, or one-hot rows
    ((images, labels), (images, labels))    a training and a test split, as of keras.datasets.mnist.load_data
    {"image": …, "label": …, "age": …}  named fields: texts are classes, other numbers what --set condition=NAME may cut into classes
    a tf.data.Dataset                   finite, of such elements: batched, with images of rank 4 or vectors of rank 2, or one by one
    a datasets.Dataset                  of Hugging Face
    a kgan.data.Source                  of any kind: sounds, clips, texts; also what is decoded when it is read

It must return the same, in the same order, each time: an order of its own is the pipeline's work.
"""
import functools
import importlib
import importlib.util
import inspect
import json
import os
import re

import numpy as np
from PIL import Image

from kgan import command, kinds, sizes
from kgan.config import nearest
from kgan.data import cache, files
from kgan.data.source import DataError, Source

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_TRUSTED = "functions.json"
_SHARE = 0.5  # of the main memory, that a tf.data.Dataset may fill
_ADVICE = "see docs/data.md, \"Data out of Python\""


def meant(name):
    """Whether a data set's name is one of a function, MODULE:FUNCTION."""
    return not name.startswith("folder:") and bool(_NAME.fullmatch(name))


# === Whose code runs: nobody's because a config.json names it ===

def trust(name):
    """Remembers, in the data cache, that a person has named this function on this machine."""
    if not meant(name) or name in _named:
        return
    _named.add(name)
    try:
        place = cache.directory() / _TRUSTED
        known = _trusted(place) | ({name: file} if (file := _file(name)) else {})
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = place.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(known, indent=1), encoding="utf-8")
        aside.replace(place)
    except OSError:  # no place to write to: it holds for this process
        pass


def check(name):
    """Raises DataError for a function that nobody has named on this machine but the settings of a run."""
    if not meant(name) or name in _named:
        return
    try:
        known = _trusted(cache.directory() / _TRUSTED)
    except OSError:
        known = {}
    if name not in known or known[name] != _file(name):
        raise DataError(f"{name}: a run's settings name this Python function, and nobody has named it on this machine with the file "
                        f"that is found now, {_file(name) or 'none'}. If you trust it: kgan train --dataset={name} --dry_run, once, with "
                        "the run's --model")


_named = set()


def _trusted(place):
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _file(name):
    """The file of the module, or of the package that it is in, which is not imported; "" if there is none."""
    with command.here():
        try:
            found = importlib.util.find_spec(re.split("[.:]", name)[0])
        except (ImportError, ValueError):
            return ""
    places = [found.origin, *(found.submodule_search_locations or ())] if found else []
    return next((os.path.realpath(place) for place in places if place), "")


# === Calling it ===

def source(name, image_size=None, channels=None, crop=True, split="train", config=None):
    """What the function MODULE:FUNCTION returns, as a Source.

    Args:
        name: MODULE:FUNCTION; the module is looked for in the working folder, too.
        image_size, channels, crop: images are brought to this size, as those of a folder; None: their own, where all have one,
            else 64 pixels, and colour where one has it.
        split: "train" or "test". A function with a parameter `split` is asked for it, and may return None.
        config: dict of a model's settings; of these, and of the arguments here, the function gets what it has parameters for.

    Raises:
        DataError: there is no such module or function, it fails, has no such split, or returns what is no data.
    """
    function = _function(name)
    known = inspect.signature(function).parameters
    given = {**(config or {}), "split": split, "image_size": image_size, "channels": channels, "crop": crop}
    given = {option: value for option, value in given.items() if option in known and value is not None}
    return _called(function, name, json.dumps(given, sort_keys=True), image_size, channels, bool(crop), split)


@functools.lru_cache(2)  # training asks for the data once, and the measures for two splits
def _called(function, name, given, image_size, channels, crop, split):
    given = json.loads(given)
    try:
        found = function(**given)
    except command.UserError:
        raise
    except Exception as error:  # whatever their code raises
        raise DataError(f"--dataset={name}: the function failed: {type(error).__name__}: {error}") from error
    if found is None and "split" in given and split != "train":
        raise DataError(f"{name} has no split {split!r}")
    if split != "train" and "split" not in given and not two_splits(found):
        raise DataError(f"{name} has no split {split!r}: give the function a parameter `split`, or let it return two pairs")
    train = None if split == "train" else source(name, image_size, channels, crop, config={**given, "split": "train"})
    return read(name, found, image_size, channels, crop, split, train and train.classes)


def _function(name):
    module, _, function = name.partition(":")
    with command.here():
        importlib.invalidate_caches()
        try:
            found = importlib.import_module(module)
        except Exception as error:  # whatever their code raises
            missing = isinstance(error, ModuleNotFoundError) and module.startswith(error.name or "?")
            raise DataError(f"--dataset={name}: " + (
                f"there is no module {error.name} in {os.getcwd()}, and none is installed" if missing else
                f"importing {module} failed: {type(error).__name__}: {error}")) from error
    made = getattr(found, function, None)
    if not callable(made):
        others = [each for each, value in vars(found).items() if inspect.isroutine(value)]
        raise DataError(f"--dataset={name}: {module} has no function {function}{nearest(function, others)}")
    return made


# === Reading what it returns ===

def read(name, found, image_size=None, channels=None, crop=True, split="train", classes=None):
    """Data as the top of this file lists them, as a Source.

    Args:
        name: of the Source, and in messages.
        image_size, channels, crop: as for `source`.
        split: "train" or "test", of what has two.
        classes: dict of field to names, of the training split, which are taken over.

    Raises:
        DataError: they are none of these, are infinite, empty, of unequal lengths, or of numbers that are no images.
    """
    if isinstance(found, Source):
        if image_size and found.kind == "image" and found.shape[:2] != sizes.pair(image_size):
            raise DataError(f"{name}: is a Source of images of {found.shape[0]}x{found.shape[1]} pixels: leave out --image_size")
        return Source(**{**vars(found), "name": name if isinstance(name, str) else found.name})
    if two_splits(found):
        found = found[split != "train"]
    columns, named = _columns(name, found)
    columns = {field: values for field, values in columns.items() if values is not None}
    lengths = {field: len(values) for field, values in columns.items()}
    if len({*lengths.values()}) > 1 or not min(lengths.values(), default=0):
        raise DataError(f"{name}: fields need as many examples each, one at least; they have "
                        f"{', '.join(f'{field} {count}' for field, count in lengths.items()) or 'none'}")
    arrays, kept, of_kind, notes = {}, {}, {}, []
    for field, values in columns.items():
        stored, names, kind, note = _stored(name, field, values, {**named, **(classes or {})}.get(field), image_size, channels, crop)
        arrays[field] = stored
        notes.append(note)
        if names:
            kept[field] = names
        if kind:
            of_kind[field] = kind
    pictures = [field for field, kind in of_kind.items() if kind == "image"]
    if pictures and len(pictures) == 1 and "image" not in arrays:  # Hugging Face's cifar10 calls them img
        arrays["image"], of_kind["image"] = arrays.pop(pictures[0]), of_kind.pop(pictures[0])
        notes.append(f"{pictures[0]} is read as `image`.")
    made = Source(name, arrays, kept, " ".join(filter(None, notes)), kinds=of_kind)
    made.key  # raises DataError where there is nothing to learn to make
    return made


def two_splits(found):
    """Whether data have a training and a test split: two pairs of examples and labels."""
    return isinstance(found, tuple) and len(found) == 2 and all(isinstance(each, tuple) and len(each) == 2 for each in found)


def _columns(name, found):
    """(dict of field to an array or a list, dict of field to the names of its classes)."""
    if hasattr(found, "element_spec"):  # tf.data
        return _gathered(name, found)
    if hasattr(found, "column_names") and hasattr(found, "features"):  # datasets.Dataset, which this need not import
        known = {field: list(names) for field in found.column_names if (names := getattr(found.features[field], "names", None))}
        return {field: list(found[field]) for field in found.column_names}, known
    if isinstance(found, dict):
        return dict(found), {}
    if isinstance(found, tuple) and len(found) == 2:
        return {_unnamed(name, found[0]): found[0], "label": found[1]}, {}
    return {_unnamed(name, found): found}, {}


def _unnamed(name, values):
    """The field of examples without a name."""
    if isinstance(values, (list, tuple)) and values and (isinstance(values[0], Image.Image) or np.ndim(values[0]) > 1):
        return "image"
    rank = np.ndim(values)
    if rank not in (2, 3, 4):
        what = f"an array of shape {list(np.shape(values))}" if rank else type(values).__name__
        raise DataError(f"{name}: is {what}, and no images [N, H, W, C] nor vectors [N, D]; {_ADVICE}")
    return "sample" if rank == 2 else "image"


def _gathered(name, dataset):
    """The columns of a tf.data.Dataset, read to its end."""
    import tensorflow as tf

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{name}: the tf.data.Dataset is infinite: leave out .repeat()")
    spec = dataset.element_spec
    named = {"label": list(dataset.class_names)} if hasattr(dataset, "class_names") else {}
    parts = spec if isinstance(spec, dict) else dict(enumerate(spec)) if isinstance(spec, tuple) else {0: spec}
    ranks = {field: part.shape.rank for field, part in parts.items() if hasattr(part, "shape")}
    if len(ranks) < len(parts) or None in ranks.values() or not isinstance(spec, dict) and len(parts) > 2:
        raise DataError(f"{name}: the tf.data.Dataset has elements {spec}: images, pairs of images and labels, or a dict of tensors "
                        "are wanted, whose ranks are known")
    most = ranks.get("image") or max(ranks.values())
    if most > 4:
        raise DataError(f"{name}: the tf.data.Dataset has elements of rank {most}: images are wanted, of rank 3, or batches of them, of 4")
    batched = most in (2, 4)
    if not isinstance(spec, dict):
        parts = {("image" if most > 2 else "sample") if field == 0 else "label": part for field, part in parts.items()}
    columns, taken = {field: [] for field in parts}, 0
    room = _SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8e9
    for element in dataset.as_numpy_iterator():
        values = element.values() if isinstance(element, dict) else element if isinstance(element, tuple) else (element,)
        for column, value in zip(columns.values(), values):
            column.append(value)
            taken += getattr(value, "nbytes", 64)
        if taken > room:
            raise DataError(f"{name}: the tf.data.Dataset has more than {taken / 1e9:.0f} GB, half of the memory, or no end: "
                            "leave out .repeat(), or return a kgan.data.Source, or put the images into a folder")
    if batched:
        columns = {field: np.concatenate(values) if values else np.zeros(0) for field, values in columns.items()}
    return {field: _texts(values) for field, values in columns.items()}, named


def _texts(values):
    """TensorFlow's bytes as texts."""
    return [value.decode("utf-8", "replace") for value in values] if len(values) and isinstance(values[0], bytes) else values


def _stored(name, field, values, names, image_size, channels, crop):
    """(array [N, ...] as its kind stores it, names of classes or None, the kind if it is no class and no number, a note)."""
    first = values[0]
    if isinstance(first, Image.Image) or np.ndim(first) > 1:
        images, note = _images(name, field, values, image_size, channels, crop)
        return images, None, "image", note
    values = np.asarray(values)
    if values.dtype.kind in "OSUV" and not isinstance(first, (str, np.str_)):
        raise DataError(f"{name}: {field} holds {type(first).__name__}, and no numbers nor texts: leave it out")
    if field != "label" and values.ndim == 2 and values.shape[1] > 1:
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise DataError(f"{name}: {field} holds numbers that are not finite, or none")
        return values.astype(np.float32), None, kinds.guess(values.shape[1:]), ""
    if field == "label" and values.ndim == 2 and values.shape[1] > 1:  # one-hot
        if not (np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()):
            raise DataError(f"{name}: label of shape {list(values.shape)} is not one-hot: a number or a text an example is wanted")
        names, values = names or [str(number) for number in range(values.shape[1])], values.argmax(1)
    values = values.reshape(len(values))
    if isinstance(first, (str, np.str_)):
        names = names or files.ordered(values.tolist())
        place = {each: number for number, each in enumerate(names)}
        if strange := sorted({*values.tolist()} - {*place}):
            raise DataError(f"{name}: {field} {strange[0]!r} of this split is no class of the training split")
        return np.array([place[each] for each in values.tolist()], np.int64), list(names), None, ""
    if field == "label" or names:
        if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0 or names and values.max() >= len(names):
            raise DataError(f"{name}: {field} goes from {values.min()} to {values.max()}, which are no classes"
                            f"{f' of {len(names)}' if names else ''}: whole numbers from 0 are wanted, or texts; give other numbers a "
                            "name of their own, in a dict")
        return values.astype(np.int64), list(names or map(str, range(int(values.max()) + 1))), None, ""
    return values.astype({"b": bool, "f": np.float32}.get(values.dtype.kind, np.int64)), None, None, ""


# === Images ===

def _images(name, field, values, image_size, channels, crop):
    """(uint8 [N, H, W, C], a note) of an array or a list of images."""
    from kgan.data.folder import pixels
    from kgan.kinds.image import flatten

    pictures = isinstance(values[0], Image.Image)
    shapes = {(*value.size[::-1], 1 if value.mode in ("L", "1") else 3) if pictures else np.shape(value) for value in values} \
        if not hasattr(values, "ndim") else {values.shape[1:]}
    note = ""
    if not pictures:
        shapes = {_shape(name, field, shape) for shape in shapes}
        if len(shapes) == 1:
            values = np.asarray(values)
            values, note = _bytes(name, field, values.reshape(len(values), *min(shapes)))
        else:
            flat, note = _bytes(name, field, np.concatenate([np.ravel(value) for value in values]))
            parts = np.split(flat, np.cumsum([np.size(value) for value in values])[:-1])
            values = [part.reshape(_shape(name, field, np.shape(value))) for part, value in zip(parts, values)]
    one = {shape[:2] for shape in shapes}
    size = sizes.pair(image_size) if image_size else min(one) if len(one) == 1 else (64, 64)
    depth = channels or (1 if all(shape[2] == 1 for shape in shapes) else 3)
    if not pictures and shapes == {(*size, depth)}:
        return values, note
    made = np.empty((len(values), *size, depth), np.uint8)
    for row, value in enumerate(values):
        picture = value if pictures else Image.fromarray(value[..., 0] if value.shape[-1] == 1 else value)
        made[row] = pixels(flatten(picture), sizes.setting(size), depth, crop)
    return made, note


def _shape(name, field, shape):
    """The shape (H, W, C) of an image."""
    shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: {field} of shape {list(shape)} has its channels first: numpy.moveaxis({field}, 1, -1)")
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise DataError(f"{name}: {field} holds examples of shape {list(shape)}, and no images [H, W], [H, W, 1] or [H, W, 3]; sounds, clips "
                        f"and solids are given as a kgan.data.Source; {_ADVICE}")
    return shape


def _bytes(name, field, values):
    """(uint8, a note) of images' numbers, whose range says how they are meant."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values, ""
    if kind == "b":
        return np.uint8(255) * values, ""
    if values.dtype == np.uint16:
        return np.rint(values / 257).astype(np.uint8), ""
    if kind not in "fiu":
        raise DataError(f"{name}: {field} holds {values.dtype}, and no images")
    low, high = float(values.min()), float(values.max())
    if kind == "f" and 0 <= low and high <= 1:
        return np.rint(values * 255).astype(np.uint8), f"{field} in [0, 1] is kept as 256 steps."
    if kind == "f" and -1 <= low and high <= 1:
        return kinds.get("image").store(values), f"{field} in [-1, 1] is kept as 256 steps."
    if -1 <= low and high <= 256:  # resizing may overshoot
        return np.clip(np.rint(values), 0, 255).astype(np.uint8), ""
    raise DataError(f"{name}: {field} goes from {low:g} to {high:g}: images are uint8, or floats in [0, 1], [-1, 1] or [0, 255]")
