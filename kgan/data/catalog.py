"""Any image data set that tensorflow-datasets knows by name: `--dataset=cifar10`, `--dataset=NAME/CONFIG`."""
import contextlib
import difflib
import functools
import logging
import os
import re
import tempfile
import textwrap

import numpy as np
from PIL import Image
from tqdm import tqdm

from kgan import sizes
from kgan.data import BUILT_IN
from kgan.data.cache import cached, expanded
from kgan.data.folder import allocate, pixels
from kgan.data.source import DataError, Source
from kgan.kinds.image import flatten


@contextlib.contextmanager
def _quiet():
    """Without tfds' warnings about itself and urllib3's about each retry: a failure reaches the user as a DataError."""
    loggers = {logger: logger.level for logger in map(logging.getLogger, ("absl", "urllib3.connectionpool"))}
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)


@_quiet()
def source(name, image_size=None, channels=None, crop=True, split="train", data_dir=None, manual_dir=None):
    """One split of a tensorflow-datasets data set, in its fixed order; downloaded and prepared if it was not yet.

    Args:
        name: a name of the catalog, NAME, NAME/CONFIG or NAME/CONFIG:VERSION.
        image_size: pixels of the result, a number for squares or (height, width); None: as the data set has it, if fixed and
            square, else 64.
        channels: 1 or 3; None: 1 if the data set is grey, else 3.
        crop: what happens to images of other proportions; see `kgan.data.folder.source`.
        split: in tfds' own language: "train", "test", "train+test", "train[:1000]" ...
        data_dir: where prepared data sets lie; None: tfds' default, ~/tensorflow_datasets.
        manual_dir: folder with the original files, for preparing without a network; it is only read.

    Data prepared as array_record files (tfds' file_format="array_record") are read as well as TFRecord files.

    Returns:
        Source with `image` uint8 [N, height, width, channels], `label` int64 [N] if the data set has classes,
        and its other scalars, int64, float32 or bool [N], parts of names joined by "_": `attributes_Male` of celeb_a.

    Raises:
        DataError: unknown name or split, no images in it, it cannot be downloaded or prepared or read.
    """
    manual_dir = manual_dir and expanded(manual_dir, "--manual_dir=")
    # tfds would make a folder named ~ where there is no home directory
    place = expanded(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets", "--data_dir=")
    data_dir = data_dir and place
    if manual_dir and not os.path.isdir(manual_dir):
        raise DataError(f"--manual_dir={manual_dir} is no folder. It should hold the original files of {name}.")
    if channels not in (None, 1, 3):
        raise DataError(f"Images have 1 channel (grey) or 3 (colour), not {channels}.")
    builder = _builder(name, data_dir)
    feature = _image_feature(name, builder.info.features)
    _prepare(name, builder, manual_dir)
    if not builder.info.splits:
        raise _broken(builder, "it lacks dataset_info.json.")
    try:
        count = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(builder.info.splits)}, and slices and sums "
                        "such as train[:1000] or train+test.") from error
    if not count:
        raise DataError(f"The split {split!r} of {name} is empty.")

    height, width, depth = feature.shape
    image_size = sizes.setting(image_size or (height if height and height == width else 64))
    channels = channels or (1 if depth == 1 else 3)
    key = dict(kind="tfds", version=1, name=builder.info.full_name, data_dir=str(builder.data_path), split=split,
               count=count, image_size=image_size, channels=channels, crop=bool(crop))
    arrays, notes = cached(f"{name}-{split}", key,
                           functools.partial(_write, builder, split, count, image_size, channels, crop))
    return Source(name, arrays, notes["classes"], notes["note"])


def _builder(name, data_dir):
    import tensorflow_datasets as tfds
    try:
        return tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # tfds raises ValueError, AssertionError and its own, by what is wrong with the name
        # without the community's data sets, whose list lies in the network
        names = [*tfds.list_builders(with_community_datasets=False), *BUILT_IN]
        plain = re.split("[/:]", name)[0]
        if plain in names:
            raise DataError(f"tensorflow-datasets cannot open {name}: {_brief(error)}") from error
        near = difflib.get_close_matches(plain, names, n=3)
        raise DataError(f"There is no data set {name!r}." + (f" Did you mean {' or '.join(near)}?" if near else "") +
                        f" Built in are {', '.join(BUILT_IN)}; folder:PATH takes a folder of images; any other name is "
                        "looked up in tensorflow-datasets (tensorflow.org/datasets/catalog).") from error


def _image_feature(name, features):
    import tensorflow_datasets as tfds
    found = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    feature = found.get("image")
    if not isinstance(feature, tfds.features.Image):
        raise DataError(f"{name} has no feature `image` to learn from; it has {', '.join(found) or features}.")
    if np.dtype(feature.np_dtype) not in (np.uint8, np.uint16):
        raise DataError(f"The images of {name} are {np.dtype(feature.np_dtype)}; kgan takes uint8 and uint16.")
    return feature


def _prepare(name, builder, manual_dir):
    """Downloads the data set and writes it into its data_dir, unless it lies there."""
    if builder.is_prepared():
        return
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader
    # tfds' own ten retries, each pause twice the one before, keep a machine without a network waiting 200 seconds
    downloader.MAX_RETRIES = 3
    root = str(builder.data_dir_root)
    try:
        with contextlib.ExitStack() as stack:
            extracted = None
            if manual_dir and "://" not in root:
                # tfds would keep the extracted files, and use them the next time whatever manual_dir holds then
                os.makedirs(root, exist_ok=True)
                extracted = stack.enter_context(tempfile.TemporaryDirectory(prefix="extracted-", dir=root))
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(
                extract_dir=extracted, manual_dir=manual_dir,
                try_download_gcs=False))
    except Exception as error:  # network, checksum, disk, missing packages: the data set's own code runs here
        files = sorted({info.filename for info in (builder.url_infos or {}).values() if info.filename})
        files = f" ({', '.join(files[:6])}{' ...' if len(files) > 6 else ''})" if files else ""
        raise DataError(f"{name} is not prepared in {root}, and preparing it failed: {_brief(error)} Connect to the "
                        "network and try again; or give --data_dir with a prepared copy, or --manual_dir with the "
                        f"original files{files}.") from error


def _write(builder, split, count, image_size, channels, crop, directory):
    """Reads the split into `image.npy` and one file a scalar feature; see `cached`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds
    features = builder.info.features
    paths = dict(_scalars(features))
    wanted = {"image": True}
    for *parents, last in paths.values():
        functools.reduce(lambda inner, parent: inner.setdefault(parent, {}), parents, wanted)[last] = True

    def fit(image):
        if image.dtype == np.uint16:
            image = np.uint8(np.rint(image / 257))
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return pixels(flatten(image), image_size, channels, crop)

    images = allocate(directory / "image.npy", (count, *sizes.pair(image_size), channels))
    columns = {field: [] for field in paths}
    start = 0
    try:
        if builder.info.file_format in tfds.core.file_adapters.FileFormat.with_random_access():  # array_record, which tf.data does not read
            batches, paths = _at_random(builder.as_data_source(split=split), paths, fit), {field: (field,) for field in paths}
        else:
            dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=tfds.ReadConfig(try_autocache=False),
                                         decoders=tfds.decode.PartialDecoding(wanted))
            if features["image"].shape != images.shape[1:] or np.dtype(features["image"].np_dtype) != np.uint8:
                dataset = dataset.map(lambda one: {**one, "image": tf.numpy_function(fit, [one["image"]], tf.uint8)},
                                      num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            batches = tfds.as_numpy(dataset.batch(256).prefetch(2))
        with tqdm(total=count, desc=f"reading {builder.info.full_name}", unit="image", mininterval=1,
                  disable=count <= 1000) as progress:
            for batch in batches:
                stop = start + len(batch["image"])
                images[start:stop] = batch["image"]
                for field, path in paths.items():
                    columns[field].append(_at(batch, path))
                progress.update(stop - start)
                start = stop
        if start != count:
            raise ValueError(f"{start} examples where its description says {count}.")
    except ImportError as error:
        raise DataError(f"{builder.info.full_name} is prepared as {builder.info.file_format.value} files, and a package to read them is missing "
                        f"({error}): pip install array-record") from error
    except Exception as error:  # TensorFlow's own errors: a record that is damaged, a file that is gone
        raise _broken(builder, _brief(error)) from error

    classes, note = {}, ""
    for field, path in _scalars(features):
        column, feature = np.concatenate(columns[field]), _at(features, path)
        if isinstance(feature, tfds.features.ClassLabel):
            if column.min() < 0:  # -1 stands for unknown, in test splits
                note += f"The split {split} has no {field}. "
                continue
            classes[field] = feature.names or [str(number) for number in range(column.max() + 1)]
        np.save(directory / f"{field}.npy", column.astype(dict(b=bool, f=np.float32).get(column.dtype.kind, np.int64)))
    return dict(note=note.strip(), classes=classes)


def _at_random(examples, paths, fit, count=256):
    """Batches of dicts of `image` and the fields of `paths`, of a data source of tfds."""
    for start in range(0, len(examples), count):
        some = [examples[row] for row in range(start, min(start + count, len(examples)))]
        yield {"image": np.stack([fit(one["image"]) for one in some]),
               **{field: np.stack([_at(one, path) for one in some]) for field, path in paths.items()}}


def _scalars(features, parents=()):
    """(field, path) for the scalar numbers of a FeaturesDict, nested ones too; a field is the path joined by "_"."""
    import tensorflow_datasets as tfds
    for name, feature in features.items():
        path = (*parents, name)
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _scalars(feature, path)
        elif feature.shape == () and np.dtype(feature.np_dtype).kind in "biuf":
            # `label` counts classes everywhere in kgan: a number without classes must not go by that name
            if path != ("label",) or isinstance(feature, tfds.features.ClassLabel):
                yield re.sub(r"\W", "_", "_".join(path)), path


def _broken(builder, reason):
    return DataError(f"The prepared copy in {builder.data_path} cannot be read: {reason} Delete that folder and run "
                     "again, to prepare it anew.")


def _at(nested, path):
    return functools.reduce(lambda inner, part: inner[part], path, nested)


def _brief(error):
    """The message of an error in one line of bearable length, ending in a full stop."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error))  # where in TensorFlow's graph it happened
    text = textwrap.shorten(text, 400, placeholder=" ...") or type(error).__name__
    return text if text.endswith(".") else text + "."
