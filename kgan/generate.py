"""Writes samples of a trained generator as files, each named after its seed.

    kgan generate runs/NAME --count=1000 --out=SAMPLES
    kgan generate runs/NAME --count=100 --out=SEVENS --label=7 --truncation=0.7 --grid
    kgan generate runs/NAME --count=100 --out=ALL --label=all           # 100 of each class
    kgan generate runs/NAME --count=10000 --out=ARRAY --format=npz
    kgan generate runs/NAME --count=100 --out=SEVENS --text="a large red 7 in italic"              # models that take texts
    kgan generate EXPORT/saved_model --count=1000 --out=SAMPLES         # needs TensorFlow alone

The sample of seed 12 is `000012.png`, the same as GAN.generate(1, seed=12). For a conditional GAN each class has a folder, and the
classes take turns: seed 12 has class number 12 modulo the number of classes. manifest.csv has a row for each file. The same command
again writes what is missing, so it resumes where it was interrupted, and a larger --count adds files. Files of another generator, of
the same one before it was trained further, or of other flags are not overwritten, unless you say --overwrite. Files that are no
longer wanted are never deleted.
"""
import concurrent.futures
import csv
import functools
import io
import json
import os
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm

from kgan import command, kinds
from kgan.command import UserError
from kgan.config import unknown
from kgan.kinds.label import called
from kgan.quiet import import_tensorflow
from kgan.run import Run, checksum, load, run_at, write

BATCH = 256
MANY = 8  # batches, from which on tracing the network takes less time than it saves
MANIFEST = "manifest.csv"
UNFINISHED = ".unfinished"  # a line for each file that is being written
COLUMNS = ("file", "seed", "class", "truncation", "generator", "step", "weights")
COMMON = 0.01  # a real example that was not trained on is as near to a training example as this share is


class Generator:
    """What makes samples of seeds: of a run, or of a SavedModel with the signatures that kgan's have.

    Attributes:
        kind, classes: the kind of what is made; names of the classes, () if it takes none.
        field: kgan.kinds.Field of what is made, as far as it is known.
        name, step, weights: what stands in the manifest; the last is a checksum, for runs are trained anew under their old names.
        gan: of a run its GAN, else None.
    """

    def __init__(self, target, checkpoint="newest", text=None):
        """`text`: of a model that is given a text: that of all samples."""
        self.name, self.gan = Path(target).resolve().name, None
        if Run(target).settings() is not None:
            self.gan, self.step = load(target, checkpoint)
            self.weights = checksum(self.gan.ema_generator.weights)
            given = {name: field for name, field in self.gan.fields.items()
                     if name not in (self.gan.key, "label") and "default" not in field.more}
            if strange := [name for name, field in given.items() if field.kind != "tokens"]:
                raise UserError(f"{target} makes something of {' and '.join(strange)}, not of noise alone: kgan translate is for that")
            self.kind, self.classes, self.field = self.gan.kind, tuple(self.gan.classes), self.gan.fields[self.gan.key]
            from kgan.draws import GENERATE, noise_of_each
            config, self._make, self.truncates = self.gan.config, self.gan.make, self.gan.config.noise == "normal"
            self._rows = lambda seeds: noise_of_each(config.noise, config.noise_dim, seeds, GENERATE)
            if given or text is not None:
                self._make = self._of(text, given)
        else:
            self._load(target)

    def _load(self, target):
        import tensorflow as tf

        import export
        from export.paths import readable

        try:
            told = json.loads((Path(target) / export.CONTRACT).read_text(encoding="utf-8"))
            output, self.step = told["functions"]["generator"]["outputs"][0], told["step"]
            if not told["noise"]:
                raise UserError(f"{target} makes something of what it is given, not of noise alone: kgan serve answers such requests")
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{target}: is no run, and no SavedModel that kgan exported: it lacks {export.CONTRACT}") from None
        with readable(Path(target)) as folder:
            loaded = tf.saved_model.load(folder)
        self.weights = checksum(loaded.signatures["serving_default"].variables)
        self.kind, self.classes = output["kind"], tuple((told["label"] or {}).get("classes", ()))
        self.field = kinds.Field(self.kind, output["shape"][1:], more=output)
        self.truncates = told["truncation"]

        def latents(seed):
            return loaded.signatures["latents"](count=tf.constant(1), seed=seed)["noise"]

        def make(noise, label=None):
            given = {"label": tf.cast(label, tf.int32)} if label is not None else {}
            return loaded.signatures["serving_default"](noise=tf.convert_to_tensor(noise), **given)[output["name"]]
        self._make = make
        self._rows = lambda seeds: tf.map_fn(lambda seed: latents(seed)[0], seeds, fn_output_signature=tf.float32)

    def _of(self, text, given):
        """The function that makes samples of a text. Raises UserError: there is none, or none is wanted, or it has strange words."""
        if not given:
            raise UserError(f"--text={text}: this generator is given no text; leave it out")
        (name, field), *_ = given.items()
        if text is None:
            raise UserError(f"this generator makes {self.kind} of a text: say which, --text=\"…\"")
        try:
            tokens = kinds.get("tokens").read(text.encode(), field)
        except ValueError as error:
            raise UserError(f"--text={text}: {error}") from None
        return lambda noise, label=None: self.gan.make(noise, {
            name: np.tile(tokens, [len(noise), 1]), **({} if label is None else {"label": label})})

    def noise(self, seeds, truncation=None):
        """Noise float32 [n, D] of `seeds` [n], each by itself: what the sample of that seed is made of."""
        found = self._noises(np.asarray(seeds, np.int32))
        return found if truncation is None else kinds.get("noise").truncate(found, truncation)

    @functools.cached_property
    def _noises(self):
        """seeds int32 [n] -> noise [n, D], as a graph: eagerly, one seed after the other, it would take longer than the samples."""
        import tensorflow as tf
        return tf.function(self._rows, input_signature=[tf.TensorSpec([None], tf.int32)])

    @functools.cached_property
    def _graph(self):
        """What `_make` does, traced: of a batch of 256 Keras takes ten milliseconds less than layer by layer."""
        import tensorflow as tf
        return tf.function(self._make, autograph=False)

    def samples(self, seeds, labels=None, truncation=None, many=False):
        """float32 [n, …], as networks see them. `many`: whether there are as many again and again, so that tracing pays."""
        given = [self.noise(seeds, truncation)] + ([] if labels is None else [np.asarray(labels, np.int32)])
        return np.asarray((self._graph if many else self._make)(*given), np.float32)


def planned(count, seed, classes, label, suffix):
    """The rows that are wanted: dicts of `file`, `seed` and, of a conditional generator, `class`, its name.

    Raises:
        UserError: there is no such class, or two classes would have one folder.
    """
    seeds = range(seed, seed + count)
    if not classes:
        if label is not None:
            raise UserError(f"--label={label}: this generator takes no labels, leave it out")
        return [{"file": f"{each:06d}{suffix}", "seed": each, "class": ""} for each in seeds]
    label = label and called(label, classes)
    if label not in (None, "all", *classes):
        raise UserError(f"--label={label}: {unknown(label, classes)}")
    folders = {name: "".join("_" if letter in '/\\\0:*?"<>|' else letter for letter in name).strip(". ") or "_" for name in classes}
    if len({*folders.values()}) < len(folders):
        raise UserError(f"classes {', '.join(classes)}: two of them would have the same folder; ask for one by --label=NAME")
    asked = {None: lambda each: [classes[each % len(classes)]], "all": lambda each: classes}.get(label, lambda each: [label])
    return [{"file": f"{folders[name]}/{each:06d}{suffix}", "seed": each, "class": name} for each in seeds for name in asked(each)]


def agree(out, rows, overwrite):
    """Writes manifest.csv for `rows`, unless the folder holds files of something else.

    Raises:
        UserError: it does, and `overwrite` is False.
    """
    place = out / MANIFEST
    if overwrite:  # before the manifest says that they are the new ones, should this be interrupted
        for file in present(out, rows):
            (out / file).unlink(missing_ok=True)
    elif place.exists():
        before = _before(place, out)
        wanted = {row["file"]: {name: str(value) for name, value in row.items()} for row in rows}
        for row in before:
            for name, value in wanted.get(row.get("file"), {}).items():
                if row.get(name, value) != value:  # older manifests have fewer columns
                    raise UserError(f"--out={out}: holds {row['file']} of {name} {row.get(name)!r}, wanted is {value!r}; choose "
                                    "another folder, or --overwrite")
        rows = rows + [row for row in before if row.get("file") not in wanted]
    elif there := present(out, rows):
        raise UserError(f"--out={out}: {out / min(there)} is there already, and no {MANIFEST} says what it is; choose another folder, or "
                        "--overwrite")
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    out.mkdir(parents=True, exist_ok=True)
    write(place, text.getvalue().encode())


def _before(place, out):
    """The rows of a manifest. Raises UserError: it is none of kgan's."""
    try:
        with open(place, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if {"file", "seed"} <= {*(table.fieldnames or ())} <= {*COLUMNS}:
                return list(table)
    except (UnicodeDecodeError, csv.Error):
        pass
    raise UserError(f"--out={out}: {place} is of something else; choose another folder")


def folders(rows):
    """The folders of the rows' files, a set of names: "" of those that have none of their own."""
    return {row["file"].rpartition("/")[0] for row in rows}


def present(out, rows):
    """Which of the rows' files are there, a set of their names. To ask for one file after the other takes longer than to write them."""
    found = set()
    for folder in folders(rows):
        if (out / folder).is_dir():
            found.update(f"{folder}/{name}" if folder else name for name in os.listdir(out / folder))
    return found.intersection(row["file"] for row in rows)


def write_files(generator, rows, out, truncation=None, overwrite=False, progress=False):
    """Writes a file for each row that has none. Returns how many it wrote.

    The files are encoded and written by another thread while the next samples are made. Which are being written stands in UNFINISHED: what
    a kill has torn is among these, and is written anew. To write each file aside and rename it would cost more than to make the sample.
    """
    kind, unfinished = kinds.get(generator.kind), out / UNFINISHED
    if unfinished.exists():
        for name in unfinished.read_text(encoding="utf-8").splitlines():
            if not Path(name).is_absolute() and ".." not in Path(name).parts:  # the folder may be somebody else's
                (out / name).unlink(missing_ok=True)
    there = set() if overwrite else present(out, rows)
    missing = [row for row in rows if row["file"] not in there]
    for folder in folders(missing):
        (out / folder).mkdir(parents=True, exist_ok=True)
    known = kinds.known(generator.field, kind.write)

    def put(some, samples):
        unfinished.write_text("\n".join(row["file"] for row in some), encoding="utf-8")  # no fsync, which waits for all other files, too
        for row, data in zip(some, _encoded(kind, samples, known)):
            with open(f"{out}/{row['file']}", "wb", buffering=0) as file:
                file.write(data)

    with concurrent.futures.ThreadPoolExecutor(1) as writer, \
            tqdm(total=len(missing), unit=kind.UNIT, disable=not progress) as bar:
        behind = None
        for some, samples in _made(generator, missing, truncation):
            if behind:
                behind.result()
            behind = writer.submit(put, some, samples)
            bar.update(len(some))
        if behind:
            behind.result()
    unfinished.unlink(missing_ok=True)
    return len(missing)


def _encoded(kind, samples, known):
    """The bytes of a file for each sample. TensorFlow encodes a batch of PNG files in a third of the time that Pillow takes one by one."""
    if hasattr(kind, "pixels"):
        import tensorflow as tf
        with tf.device("CPU"):  # files are some percent larger than by zlib's usual level 6, which takes half as long again
            return tf.io.encode_png(kind.pixels(samples), compression=1).numpy()
    return (kind.write(sample, **known) for sample in samples)


def _made(generator, rows, truncation):
    """(rows, samples) by batches."""
    numbers = {name: i for i, name in enumerate(generator.classes)}
    for start in range(0, len(rows), BATCH):
        some = rows[start:start + BATCH]
        labels = [numbers[row["class"]] for row in some] if numbers else None
        yield some, generator.samples([row["seed"] for row in some], labels, truncation, len(some) == BATCH and len(rows) >= MANY * BATCH)


def copies(gan, settings, samples):
    """How many samples are nearer to a training example than 99 % of the real examples that were not trained on.

    In the features of kgan.metrics.Evaluator. Where the data have no test split, training examples stand for those, each
    compared with the others.

    Of real ones it is COMMON, by definition.
    """
    from kgan import metrics
    from kgan.metrics import neighbors

    evaluator = metrics.Evaluator(settings)
    if evaluator.network is None:
        raise UserError(f"--check_copies: {settings['dataset']} has no feature network to compare samples in")
    trained = evaluator.network(evaluator.train.arrays[evaluator.train.key])[0]
    if evaluator.held_back:
        usual = neighbors.nearest(evaluator.features, trained)[0][:, 0]
    else:
        usual = neighbors.nearest(trained, trained, exclude_self=True)[0][:, 0]
    near = neighbors.nearest(evaluator.network(samples)[0], trained)[0][:, 0]
    return int((near < np.quantile(usual, COMMON)).sum())


# === The command ===

def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_string("out", None, "folder for the samples; it is created if necessary")
    flags.DEFINE_integer("count", 64, "number of samples; with --label=all, of each class", 1)
    flags.DEFINE_integer("seed", 0, "of the first sample; the others have the seeds that follow", 0, 2**31 - 1)
    flags.DEFINE_string("label", None, "for a conditional model: the class of all samples, or all: --count of each; default: the "
                        "classes in turn")
    flags.DEFINE_string("text", None, "for a model that takes texts: the text of all samples")
    flags.DEFINE_float("truncation", None, "for normal noise: bound of the truncation trick, such as 0.7; default: none", 1e-3)
    flags.DEFINE_enum("format", None, ["files", "png", "npz"], "files: a file for each sample, of the usual type (PNG for images, glTF "
                      "for voxels …); npz: all in samples.npz, as numbers; default: files")
    flags.DEFINE_bool("grid", False, "also write a picture of the first samples, grid.png")
    flags.DEFINE_bool("check_copies", False, "count the samples that are near-copies of training examples")
    flags.DEFINE_bool("overwrite", False, "write existing files again, and replace those of another generator")
    flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "of a run: the newest, or the one with the best measurement in training")


def main(arguments):
    FLAGS = flags.FLAGS
    if len(arguments) != 2 or not FLAGS.out:
        raise UserError("write kgan generate RUN --out=FOLDER; a SavedModel that kgan exported works, too")
    target, out = Path(arguments[1]), Path(FLAGS.out)
    if not target.is_dir():
        raise UserError(f"{target}: there is no such run or SavedModel")
    target = _meant(target)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out}: is a file, a folder is wanted")
    if FLAGS.seed + FLAGS.count > 2**31:
        raise UserError(f"--seed={FLAGS.seed} --count={FLAGS.count}: the last seed would be beyond {2**31 - 1}")

    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    import tensorflow as tf
    # operations that a graph fuses round differently from GAN.generate's, and a pixel may be another for it
    tf.config.optimizer.set_experimental_options({"remapping": False})
    generator = Generator(target, FLAGS.checkpoint, FLAGS.text)
    kind = kinds.get(generator.kind)
    if FLAGS.truncation is not None and not generator.truncates:
        raise UserError(f"--truncation={FLAGS.truncation}: is for normal noise, this generator's is uniform; leave it out")
    if FLAGS.check_copies and generator.gan is None:
        raise UserError("--check_copies: needs the run, which knows its training data; a SavedModel does not")
    if FLAGS.format == "png" and ".png" not in kind.MEDIA.values():
        raise UserError(f"--format=png: this generator makes {generator.kind}; --format=files writes "
                        f"{', '.join(kind.MEDIA.values())}, --format=npz numbers")
    suffix = next(iter(kind.MEDIA.values()))
    rows = planned(FLAGS.count, FLAGS.seed, generator.classes, FLAGS.label, suffix)
    more = {"truncation": "" if FLAGS.truncation is None else f"{FLAGS.truncation:g}", "generator": generator.name,
            "step": generator.step, "weights": generator.weights}
    rows = [{**row, **more, **({} if FLAGS.text is None else {"class": FLAGS.text})} for row in rows]
    if FLAGS.format == "npz":
        _write_array(generator, rows, out, FLAGS.truncation, FLAGS.overwrite)
    else:
        agree(out, rows, FLAGS.overwrite)
        made = write_files(generator, rows, out, FLAGS.truncation, FLAGS.overwrite, progress=True)
        print(f"{made} written into {out}" + (f"; {len(rows) - made} were there already" if made < len(rows) else ""))
    if FLAGS.grid:
        from kgan import pictures
        some, samples = next(_made(generator, rows[:kind.SHOWN], FLAGS.truncation))
        write(out / "grid.png", pictures.png(pictures.sheet(generator.field, samples)))
        print(out / "grid.png")
    if FLAGS.check_copies:
        _check(generator, target, rows, FLAGS.truncation)
    return 0


def _meant(target):
    """The run, or the SavedModel, that a folder means: itself, the one in it, or the run in which it lies."""
    from export import CONTRACT
    if (target / CONTRACT).exists():
        return target
    found = run_at(target)
    return target / "saved_model" if found == target and (target / "saved_model" / CONTRACT).exists() else found


def _write_array(generator, rows, out, truncation, overwrite):
    """samples.npz: `samples` as they are stored (uint8 of images), `seed` and, of a conditional generator, `label`, `classes`."""
    place = out / "samples.npz"
    if place.exists() and not overwrite:
        raise UserError(f"--out={out}: {place} is there already; choose another folder, or --overwrite")
    out.mkdir(parents=True, exist_ok=True)
    write(place, array(generator, rows, truncation, progress=True))
    print(f"{len(rows)} in {place}")


def array(generator, rows, truncation=None, progress=False):
    """The bytes of samples.npz for these rows."""
    store, parts = getattr(kinds.get(generator.kind), "store", np.asarray), []
    with tqdm(total=len(rows), unit=kinds.get(generator.kind).UNIT, disable=not progress) as bar:
        for some, samples in _made(generator, rows, truncation):
            parts.append(store(samples))
            bar.update(len(some))
    arrays = {"samples": np.concatenate(parts), "seed": np.array([row["seed"] for row in rows], np.int32)}
    if generator.classes:
        arrays["label"] = np.array([generator.classes.index(row["class"]) for row in rows], np.int32)
        arrays["classes"] = np.array(generator.classes)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getbuffer()


def _check(generator, run, rows, truncation):
    """Says how many of the samples are near-copies of training examples."""
    samples = np.concatenate([samples for _, samples in _made(generator, rows[:10_000], truncation)])
    found = copies(generator.gan, Run(run).settings(), samples)
    line = (f"{found} of {len(samples)} samples ({100 * found / len(samples):.1f} %) are nearer to a training example than 99 % of the real "
            f"examples that were not trained on; among as many real examples it would be {round(COMMON * len(samples))}")
    print(f"{'warning: ' if found > 3 * COMMON * len(samples) + 3 else ''}{line}")


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.generate")
