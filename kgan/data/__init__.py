"""Data sets: `load` gives any of them as a tf.data pipeline of dict batches.

    kgan.data.load("glyphs", batch_size=64, image_size=32)    made on the spot
    kgan.data.load("folder:~/photos", batch_size=64, image_size=64)
    kgan.data.load("cifar10", batch_size=64)                  any name of tensorflow-datasets
    kgan.data.load(images, batch_size=64)                     arrays and more: kgan.data.own

Two halves: `source` prepares a data set once as arrays that can be read at random (memory-mapped, uint8); `batches`
deals them out in an order that is a function of (seed, epoch), from any step on. Both are `load`.
"""
import dataclasses
import functools
import importlib.util
import inspect
import os
import warnings
from pathlib import Path

import numpy as np

from kgan import kinds
from kgan.config import nearest
from kgan.data import balance as balances
from kgan.data import own
from kgan.data.cache import expanded
from kgan.data.files import composed, printable
from kgan.data.identity import fingerprint, located, remember  # noqa: F401, for who keeps settings
from kgan.data.own import trust  # noqa: F401, for who lets a person name data
from kgan.data.source import DataError, Source

# what is made on the spot, with a line each for `--list`
BUILT_IN = {
    "glyphs": "digits drawn from matplotlib's fonts, 60,000 images of 28 to 128 pixels, grey or colour, labels",
    "outlines": "pairs: outlines of the digits -> the digits, filled with a colour for each, 20,000 of 28 to 128 pixels",
    "captions": "captioned digits, \"a large red 7 in italic\", 30,000 of 28 to 128 pixels in colour, some pairs held back",
    "slants": "unpaired: upright digits, slanted ones of other images, 20,000 and 15,000 of 28 to 128 pixels, labels",
    "sine": "signals m·sin(x0 + f·i) of 10 values, 60,000",
    "dances": "clips of a stick figure that dances, and their poses: 1,860 pairs of frames of 32 to 128 pixels",
    "ring": "points in the plane, 8 Gaussians on a circle, 100,000",
    "grid": "points in the plane, 25 Gaussians on a grid, 100,000",
    "bouncing": "clips of two digits that bounce off the walls: 8,000 of 16 frames, 32 to 128 pixels, labels",
    "bouncing_mnist": "the same with digits of mnist",
    "grammar": "sentences of arithmetic, 3 to 15 words, 10,000; whether one is valid can be checked",
    "oracle": "sequences of 20 of 500 words by a known LSTM, which tells how likely a sequence is, 10,000",
    "solids": "chairs, tables, shelves, lamps of boxes: 8,000 solids of 16, 32 or 64 voxels a side, labels",
    "voices": "tones like speech: vowels, hissing consonants, pauses; 4,000 sounds of any rate and length, labels",
    "silhouettes": "masks of the solids from eight sides, one each, 8,000 of 16, 32 or 64 pixels, labels",
    "melodies": "the melodies of progressions as lists of 24 notes, or as many as you say: 8,000",
    "progressions": "bars of drums, bass, chords and a melody: 8,000 pieces of 2 bars, 16 steps and 48 pitches, labels",
    "stacked_mnist": "three digits of mnist as red, green and blue: 1,000,000 images in 1,000 modes, 28 pixels, labels",
}

# kind, or all kinds that a model needs -> the file whose `source(path)` reads a folder for a model that makes or is given that
# kind; images have `folder`, `pairs`
FOLDERS = {"audio": "recordings", "video": "clips", "voxels": "shapes", "tokens": "texts", ("tokens", "image"): "captioned",
           "notes": "scores", "events": "melodies"}

# the files of those that do not bear the data set's name; each has a function `source` of what there is to choose
FILES = {"sine": "signals", "ring": "mixtures", "grid": "mixtures", "stacked_mnist": "stacked", "bouncing_mnist": "bouncing"}

# as far as it is known here: who uses other data must ask whom they are from
LICENCES = {
    **dict.fromkeys(("glyphs", "outlines", "slants", "bouncing", "captions"), "drawn by kgan from the fonts that matplotlib ships, "
                    "which are under their own licences (in matplotlib's LICENSE folder)"),
    **dict.fromkeys(("dances", "sine", "ring", "grid", "grammar", "oracle", "solids", "silhouettes", "voices", "melodies",
                     "progressions"),
                    "numbers drawn by kgan: none is needed"),
}


def load(name, batch_size=64, *, image_size=None, channels=None, crop=True, flip=False, split="train", data_dir=None,
         manual_dir=None, attributes=False, cache="auto", seed=0, start=0, repeat=False, balance=""):
    """A data set as a tf.data pipeline of shuffled dict batches.

    Args:
        name: a name in BUILT_IN, `folder:PATH`, `MODULE:FUNCTION`, or a name of tensorflow-datasets; or the data themselves, as
            `kgan.data.own` lists them: images uint8 [N, H, W, C], a dict of arrays, a tf.data.Dataset …
        batch_size: examples a batch; with discriminator_steps k > 1, k times the examples of one update.
        image_size: pixels of the images, a number for squares or (height, width); None: the data set's own.
        channels: 1 (grey) or 3 (RGB); None: the data set's own.
        crop: whether images of other proportions are cut (the middle is kept) or else squeezed.
        flip: whether images are mirrored left to right at random.
        split: "train", or another that the data set has.
        data_dir: where tensorflow-datasets keeps its prepared data sets.
        manual_dir: a folder with a data set's original files, to prepare it without a network.
        attributes: of a folder: whether its labels.csv or names.regex gives fields; or the name of a column, which alone is
            read then. Images that it does not describe are left out.
        cache: of a folder: "disk", "none" or "auto": whether its images are prepared once, or decoded each time that they are
            read; see `kgan.data.folder.source`.
        seed: of the order and the flips.
        start: batches to leave out: those that a run has seen already.
        repeat: whether the batches never end. The order of epoch e is then a function of (seed, e), and a batch may
            reach over the end of an epoch. Otherwise one pass is one epoch, its order is a function of (seed, number of
            the pass), and what does not fill a batch is left out.
        balance: a field of classes, each of which comes equally often, whatever its examples are: see `kgan.data.balance`.

    Returns:
        tf.data.Dataset of dicts of the data set's fields, as networks see them: `image` float32 [batch_size, H, W, C] in
        [-1, 1] or `sample` float32 [batch_size, D], and others, such as `label` int64 [batch_size].

    Raises:
        DataError: the data set cannot be had; the message says what to do.
    """
    found = source(name, image_size=image_size, channels=channels, crop=crop, split=split, data_dir=data_dir,
                   manual_dir=manual_dir, attributes=attributes, cache=cache)
    found = balances.noted(found.remarked(), balance)
    if found.note:
        warnings.warn(f"{found.name}: {found.note}", stacklevel=2)
    return batches(found, batch_size, seed=seed, start=start, repeat=repeat, flip=flip, balance=balance)


def source(name, *, image_size=None, channels=None, crop=True, split="train", data_dir=None, manual_dir=None,
           attributes=False, config=None, needs=None, cache="auto"):
    """The data set as a Source: prepared, not yet shuffled or batched.

    Arguments as for `load`, and:
        config: dict of a model's settings. What makes or reads the data gets those that it has parameters of that name for.
        needs: dict of field to kind, what a model needs: a folder is read for a kind in FOLDERS by the file named there.
    """
    if not isinstance(name, str):
        if split != "train" and not own.two_splits(name):
            raise DataError(f"these data have no split {split!r}: two pairs, (images, labels) each, have")
        return own.read("data", name, image_size, channels, crop, split)
    made = maker(name, needs)
    if made or not name.startswith("folder:"):
        _prepared(name, cache)
    if own.meant(name):
        return own.source(name, image_size, channels, crop, split, config)
    chosen = {"image_size": image_size, "channels": channels, "crop": None if crop else False, "data_dir": data_dir,
              "manual_dir": manual_dir}
    if made:
        more = {**(config or {}), "name": name, "path": name.removeprefix("folder:"), "split": split}
        options = _options(name, made, chosen, more)
        found = made(**options)
        # the settings of a finished run say the channels of data that have no others
        if channels and "channels" not in options and not (found.kind in ("image", "video") and found.shape[-1] == channels):
            raise DataError(f"channels={channels}: {name} has no channels to choose, leave it out")
        return found
    if name.startswith("folder:"):
        if split != "train":
            raise DataError(f"folder:PATH has no split {split!r}: name the sub-folder instead")
        from kgan.data import folder
        return folder.source(name.removeprefix("folder:"), image_size, channels, crop, attributes, cache)
    from kgan.data import catalog
    return catalog.source(name, image_size, channels, crop, split, data_dir, manual_dir)


def _prepared(name, cache):
    """DataError where data that are always prepared are not to be."""
    if cache == "none":
        raise DataError(f"--cache=none: is for folders of images, which are decoded as they are read; {name} is prepared in any case")


def maker(name, needs=None):
    """The function that makes a built-in data set, or reads a folder of a kind in FOLDERS; None: neither is meant."""
    if name.startswith("folder:"):
        wanted = tuple((needs or {}).values())
        files = [FOLDERS[kind] for kind in (wanted, *wanted) if kind in FOLDERS][:1]
    else:
        files = [FILES.get(name, name)] if name in BUILT_IN else []
    return importlib.import_module(f"kgan.data.{files[0]}").source if files else None


def _options(name, made, chosen, more):
    """Of what was chosen and what else is known, what the function `made` has parameters for."""
    known = inspect.signature(made).parameters
    for option in ("image_size", "crop"):
        if chosen[option] is not None and option not in known:
            raise DataError(f"{option}={chosen[option]}: {name} has no {option} to choose, leave it out")
    return {**{option: value for option, value in more.items() if option in known},
            **{option: value for option, value in chosen.items() if option in known and value is not None}}


def check_name(name):
    """Raises DataError for a name that is likely mistyped; knows tensorflow-datasets' names without importing it."""
    if not name.strip() or name == "folder:":
        raise DataError(f"--dataset={name}: which? One of {', '.join(BUILT_IN)}, folder:PATH or a name of tensorflow-datasets")
    if name.startswith("folder:"):
        path = name.removeprefix("folder:")
        if not os.path.isdir(expanded(path, "folder:")):
            raise DataError(f"folder:{printable(path)}: there is no such folder")
        place = os.path.realpath(expanded(path, "folder:"))
        if printable(path + place) != path + place:  # they stand in config.json, in reports, in exports
            raise DataError(f"folder:{printable(path)}: its path, {printable(place)}, is no UTF-8: rename what is not")
    if name.startswith("folder:") or name in BUILT_IN or own.meant(name):
        return
    found = importlib.util.find_spec("tensorflow_datasets")
    known = list(BUILT_IN)
    if found and found.origin:
        package = Path(found.origin).parent
        known += [path.stem for place in ("datasets", "url_checksums") for path in (package / place).iterdir()]
    if name.partition("/")[0].partition(":")[0] not in known and (guess := nearest(name, known)):
        raise DataError(f"no data set is named {name!r}{guess}. Built in: {', '.join(BUILT_IN)}; your own images: "
                        "folder:PATH; your own Python: MODULE:FUNCTION; or any image data set of tensorflow-datasets")


# settings of a run that say which data it is of
OPTIONS = ("image_size", "channels", "crop", "data_dir", "manual_dir", "cache")


def of(settings, needs=None, split="train", like=None, paired=True):
    """The data of a run, as its model sees them. Of a model that is given an `input`, a folder is one of pairs, unless the input
    is made of the images: degraded, or with a hole where a mask says so.

    Args:
        settings: as in a run's config.json: `dataset` (or data themselves, as for `load`), `seed`, OPTIONS, and of `config` what concerns the data: `condition`,
            `bins`, `degrade`, `enlarge`, `patch_size`, `jitter` (of the training split), `direction`, `labels`, `style`, of a model that
            needs masks `masks`, `hole_least` and `hole_most`, of one that is given noisy sounds `noises`. `data`, what the run was
            trained on: a relative folder is found from elsewhere by it, and what has changed is warned of.
        needs: fields that the model needs, `Config.needs`; None: any.
        split: as for `load`.
        like: Source of the training split, whose bounds between classes are taken over; None: its own.
        paired: whether input and target belong together, `Config.paired`; else each has an order of its own, in folders
            trainA and trainB lengths of their own, too.

    Raises:
        DataError: the data set cannot be had, or lacks a field.
    """
    from kgan.data import onthefly

    config, needs, name = settings.get("config", {}), needs or {}, settings["dataset"]
    if isinstance(name, str):
        settings = located(settings)
        name = settings["dataset"]
        own.check(name)
    asked = config.get("condition") or ""
    condition = composed(asked)
    degrade = config.get("degrade", "") if "input" in needs else ""
    # what holds label maps, before `input` and `image` change places
    labels = ("image" if config.get("direction") == "BtoA" else "input") if config.get("labels") else None
    options = {name: settings[name] for name in OPTIONS if settings.get(name) is not None}
    folder = isinstance(name, str) and name.startswith("folder:")
    plain = degrade or "mask" in needs or "style" in config or folder and maker(name, needs)  # the images alone are read
    if "input" in needs and folder and not plain:
        from kgan.data import pairs
        _prepared(f"{name}, of pairs,", options.get("cache"))
        sizes = {option: options[option] for option in ("image_size", "channels", "crop") if option in options}
        found = pairs.source(name.removeprefix("folder:"), split=split, unpaired=not paired, labels=labels, **sizes)
    else:
        found = source(name, split=split, attributes=condition or False, config=config, needs=needs, **options)
    found = found.by(condition, config.get("bins", 6), like=like)
    found = found if asked == condition else found.named(condition, asked)
    found = found.ordered(asked, settings.get("classes"))  # runs from when 10 came before 9
    found = found.remarked()
    found = onthefly.made(found, needs, config, split, settings.get("seed", 0))
    found = found.roles(needs, reverse=config.get("direction") == "BtoA")
    if not paired and not found.groups:  # of pairs it is not used that they are
        found = dataclasses.replace(found, groups={"input": "input"})
    if split == "train":
        found = balances.noted(found, balances.field(settings))
    if split == "train" and isinstance(name, str):
        remember(found, settings)
    return found


def batches(source, batch_size, *, seed=0, start=0, repeat=False, flip=False, replicas=1, own=(0,), balance=""):
    """A Source as a tf.data pipeline. Arguments and result as for `load`.

    All image fields of an example, and their masks, are flipped alike. Fields of different groups have orders of their own; an epoch is one of
    the group of `key`.

    Where `replicas` devices share each batch, what comes are the shares of those with the indices `own`, one after the other:
    their rows of the first batch, then those of the next. No other rows are read.
    """
    import tensorflow as tf

    size = len(source)
    shortest = min(map(len, source.arrays.values()))
    if batch_size > shortest:
        raise DataError(f"{source.name} has {shortest} examples, fewer than one batch of {batch_size}: "
                        "lower --batch_size or add data")
    fields, described = sorted(source.arrays), source.fields
    types = [source.arrays[field].dtype for field in fields]
    main = source.groups.get(source.key)
    streams = {group: i for i, group in enumerate(sorted({*source.groups.values()} - {main}), 1)} | {main: 0}
    seed = seed & 0x7FFFFFFF

    evenly = balances.Balanced(source.arrays[balance], seed) if balance else None

    @functools.lru_cache(maxsize=2 * len(streams))  # a batch reaches over two epochs at most
    def order(stream, length, epoch):
        if evenly and not stream:
            return evenly(epoch)
        return np.random.default_rng([seed, epoch, stream] if stream else [seed, epoch]).permutation(length)

    rows = batch_size // replicas

    def read(epoch, number, replica):
        # examples are counted from the start of `epoch`, through all the epochs that follow
        begin = int(number) * batch_size + int(replica) * rows
        found = []
        for field in fields:
            array, stream = source.arrays[field], streams[source.groups.get(field, main)]
            passed, first = divmod(begin, len(array))
            indices = order(stream, len(array), int(epoch) + passed)[first:first + rows]
            if len(indices) < rows:
                indices = np.concatenate([indices, order(stream, len(array), int(epoch) + passed + 1)[:rows - len(indices)]])
            if hasattr(array, "at"):
                found.append(array.at(indices, int(epoch) * size + begin + np.arange(rows)))
            else:
                found.append(array[indices])
        return found

    @tf.autograph.experimental.do_not_convert  # it warns, in notebooks too, that kinds are imported in it
    def batch_of(epoch, place):
        number, replica = place // len(own), tf.gather(tf.constant(list(own), tf.int64), place % len(own))
        values = tf.numpy_function(read, [epoch, number, replica], types, stateful=False)
        batch = {}
        draw = None
        for field, value in zip(fields, values):
            value.set_shape((rows, *source.arrays[field].shape[1:]))
            kind = kinds.get(described[field].kind)
            if hasattr(kind, "scale") and value.dtype != tf.float32:
                value = kind.scale(tf.cast(value, tf.float32))
            if flip and getattr(kind, "MIRRORED", False):
                if draw is None:
                    draw = tf.random.stateless_uniform([batch_size, 1, 1, 1], tf.stack([seed + epoch, number]), alg="philox")
                    draw = draw[replica * rows:(replica + 1) * rows]
                value = tf.where(draw < 0.5, tf.reverse(value, [2]), value)
            batch[field] = value
        return batch

    if repeat:
        places = tf.data.Dataset.range(start * len(own), np.iinfo(np.int64).max)
        batch_of = functools.partial(batch_of, 0)
    else:
        # each pass draws a number of its own, which stands for the epoch
        passes = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
        places = passes.flat_map(lambda epoch: tf.data.Dataset.range(start * len(own), size // batch_size * len(own)).map(
            lambda place: (epoch, place)))
    # without end, it says so: of what may end several hosts do not take shapes for granted
    count = tf.data.INFINITE_CARDINALITY if repeat else (size // batch_size - start) * len(own)
    places = places.apply(tf.data.experimental.assert_cardinality(count))
    # no autotuning: its thread sleeps ever longer, and deleting the iterator (the end of `fit`) may wait for it to wake
    options = tf.data.Options()
    options.autotune.enabled = False
    return places.map(batch_of, num_parallel_calls=2, deterministic=True).prefetch(4).with_options(options)
