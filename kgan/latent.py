"""Latent space: interpolation and arithmetic in it, and the way back to it from real examples.

    kgan latent runs/NAME interpolate                        8 paths between random samples, 10 steps each
    kgan latent runs/NAME interpolate --between=3,17         between two samples of --seed
    kgan latent runs/NAME sheet                              samples with their numbers (solids in order), to choose from
    kgan latent runs/NAME arithmetic --add=0,3,5 --subtract=1,2 --add=4,6,7
    kgan latent runs/NAME project PHOTO.jpg …                the samples nearest to real images
    kgan latent runs/NAME project --count=8                  the same for the first examples of the test split
    kgan latent runs/NAME fill PHOTO.png MASK.png --out=FILLED.png       fills what is white in the mask
    kgan latent runs/NAME fill PHOTO.png --degrade=blur:2                the sample of which this is a blurred version

For a conditional GAN the classes of the samples take turns, unless --label=NAME gives one for all. Each command writes a picture to
runs/NAME/latent/, named after its arguments, and prints the path; the same command replaces its own picture and no other. This works
for every GAN from noise to samples; the averaged generator makes them. `python -m kgan.latent` is the same.
"""
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
from absl import flags

from kgan import command, filling, kinds
from kgan.command import UserError
from kgan.config import unknown
from kgan.data.source import DARK, SCALED, DataError, seen
from kgan.filling import fill  # noqa: F401, which is of this room
from kgan.kinds.label import called
from kgan.kinds.noise import way
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

# command -> the flags that it reads
COMMANDS = {
    "interpolate": ("between", "rows", "columns", "label", "seed"),
    "sheet": ("count", "label", "seed"),
    "arithmetic": ("add", "subtract", "label", "seed"),
    "project": ("count", "steps", "restarts", "label", "seed"),
    "fill": ("degrade", "out", "steps", "restarts", "label", "seed"),
}
DEFAULT_COUNT = {"sheet": 64, "project": 8}

_PRIOR = 1e-3  # of `project`: noise twice as long as usual costs .009, which is less than any difference that one sees
_NEARBY = 0.25  # of `arithmetic`'s picture, as in the paper's figure 7


# === The space of noise ===

def interpolate(gan, a, b, steps, label=None):
    """Samples on the way from one noise to another, both ends among them.

    Normal noise goes along the sphere, uniform noise straight: `kgan.kinds.noise.way`.

    Args:
        gan: GAN.
        a, b: noise [noise_dim].
        steps: how many samples.
        label: of a conditional GAN: the class of all of them, number or name; None: class 0.

    Returns:
        float32 numpy array [steps, ...], as `GAN.generate` gives them.
    """
    noise = way(gan.config.noise)(np.asarray(a, np.float32), np.asarray(b, np.float32), np.linspace(0, 1, steps))
    return samples_of(gan, noise, (0 if label is None else label) if gan.classes else None)


def arithmetic(add, subtract=()):
    """Sums of means of noise: Radford et al. 2015 (DCGAN), section 6.3.2, "vector arithmetic".

    The paper's example: arithmetic([smiling women, neutral men], [neutral women]) is the noise of smiling men, each
    group being that of three samples; single samples were not stable there.

    The sum is returned as it is, like the paper's. A mean of n normal draws is √n times as short as a draw, so the
    sum of three means of three has a draw's usual length, but a single mean of many is close to 0; and a sum of
    uniform noise may leave [-1, 1].

    Args:
        add, subtract: sequences of groups of noise, each [n, noise_dim].

    Returns:
        float32 numpy array [noise_dim].
    """
    groups = [(1, group) for group in add] + [(-1, group) for group in subtract]
    return np.sum([sign * np.mean(group, axis=0, dtype=np.float64) for sign, group in groups], 0).astype(np.float32)


def project(gan, examples, steps=500, restarts=4, seed=0, learning_rate=0.1, label=None, start=None, extra=None):
    """The noise whose samples are nearest to given examples.

    By gradient descent on the noise, as in Lipton & Tripathi 2017, "Precise Recovery of Latent Vectors from Generative
    Adversarial Networks", arXiv:1702.04782: Adam, its rate falling along a cosine to 0, on the mean squared error. It
    ends in one of many local minima, hence the restarts. Normal noise is drawn to its usual length by a small term,
    (|z|²/noise_dim - 1)²: without it hard examples pull the noise far out, where the generator was never trained.
    Uniform noise is cut to [-1, 1] after each step.

    Args:
        gan: GAN; its averaged generator is used, in inference mode.
        examples: float [n, ...] of the generator's shape, images in [-1, 1].
        steps: of Adam.
        restarts: starts of each example, gan.latents(n * restarts, seed); the best result counts. All are one batch.
        seed: int.
        learning_rate: at the beginning.
        label: of a conditional GAN: the examples' class, or int [n], as for `GAN.labels`; None: the classes in turn.
        start: noise [n, noise_dim] that the first start of each example begins at; None: at random, as the others.
        extra: what is to be small beside the error: function of noise [m, noise_dim], m = n * restarts, the starts of an
            example one after the other, and of the number of the step, to [m]. None: nothing.

    Returns:
        (noise, error): float32 numpy arrays [n, noise_dim] and [n], the mean squared difference of the sample from the
        example, in the units of the examples: images differ by 2 from black to white.

    Raises:
        ValueError: the examples have another shape than the generator's samples.
    """
    import keras
    import tensorflow as tf

    shape, dim = gan.generator.output_shape[1:], gan.config.noise_dim
    examples = np.asarray(examples, np.float32)
    if examples.shape[1:] != shape or not len(examples):
        raise ValueError(f"examples of shape {list(examples.shape)}: the generator makes {list(shape)}, so [n, "
                         f"{', '.join(map(str, shape))}] is wanted, n at least 1")
    wanted = tf.constant(np.repeat(examples, restarts, axis=0))
    label = gan.labels(len(examples), label)
    label = None if label is None else tf.repeat(label, restarts)
    first = np.array(gan.latents(len(wanted), seed))
    if start is not None:
        first[::restarts] = start
    noise = keras.Variable(first, dtype="float32", name="noise")
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimizer.build([noise])

    def errors():
        return tf.reduce_mean((tf.cast(gan.make(noise.value, label), tf.float32) - wanted) ** 2, axis=range(1, len(shape) + 1))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            # a sum, so that no example's way depends on how many there are
            loss = tf.reduce_sum(errors()) + (
                tf.reduce_sum(extra(noise.value, optimizer.iterations.value)) if extra else 0.0)
            if gan.config.noise == "normal":
                loss += _PRIOR * tf.reduce_sum((tf.reduce_sum(noise.value**2, axis=1) / dim - 1) ** 2)
        optimizer.apply([tape.gradient(loss, noise.value)], [noise])
        if gan.config.noise == "uniform":
            noise.assign(tf.clip_by_value(noise.value, -1, 1))

    for _ in range(steps):
        step()
    error = np.asarray(errors()).reshape(-1, restarts)
    best = error.argmin(1)
    rows = np.arange(len(examples))
    return np.asarray(noise).reshape(-1, restarts, dim)[rows, best], error[rows, best]


def principal_directions(gan, count=8, samples=2048, seed=0):
    """Directions of noise along which samples change most.

    The right singular vectors of the linear map from noise to samples that fits best, by least squares over random
    noise, of each class about a mean of its own: a linear form of GANSpace (Härkönen et al. 2020, arXiv:2004.02546),
    which takes principal components of what the generator makes and regresses noise on them. A vector's sign is such
    that its largest component is positive.

    Args:
        gan: GAN; its averaged generator is used.
        count: how many directions at most; there are no more than noise_dim.
        samples: how many to fit to, or four times noise_dim if that is more.
        seed: int.

    Returns:
        float32 numpy array [count, noise_dim], orthonormal rows, the one with most effect first.
    """
    noise = np.asarray(gan.latents(max(samples, 4 * gan.config.noise_dim), seed), np.float64)
    label = gan.labels(len(noise))
    label = None if label is None else np.asarray(label)
    groups = [np.arange(len(noise))] if label is None else [np.flatnonzero(label == each) for each in np.unique(label)]
    centred = noise.copy()
    for rows in groups:
        centred[rows] -= noise[rows].mean(0)
    product = 0  # by batches: there may be more samples than memory holds
    for rows in np.array_split(np.arange(len(noise)), -(-len(noise) // 256)):
        samples = samples_of(gan, noise[rows], None if label is None else label[rows])
        product = product + centred[rows].T @ samples.reshape(len(rows), -1)
    linear = np.linalg.solve(centred.T @ centred, product)  # [noise_dim, values of a sample]
    # the eigenvectors of what is noise_dim square, where the singular value decomposition would be of all pixels
    _, vectors = np.linalg.eigh(linear @ linear.T)
    vectors = vectors.T[::-1][:count]
    largest = np.abs(vectors).argmax(1)
    return (vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]).astype(np.float32)


def samples_of(gan, noise, label=None, batch_size=256):
    """float32 numpy array of the samples of noise [n, noise_dim]; `label` as for GAN.labels."""
    noise, label = np.asarray(noise, np.float32), gan.labels(len(noise), label)
    parts = [gan.make(noise[i:i + batch_size], None if label is None else label[i:i + batch_size])
             for i in range(0, len(noise), batch_size)]
    return np.concatenate([np.asarray(part) for part in parts]).astype(np.float32)


# === The command ===

def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_integer("seed", 0, "of the samples: their numbers are places in its sequence", 0, 2**31 - 1)
    flags.DEFINE_string("label", None, "of a conditional GAN: the class of all samples, by its name; default: the classes "
                        "in turn")
    flags.DEFINE_list("between", None, "interpolate: numbers of two samples; default: random pairs")
    flags.DEFINE_integer("rows", 8, "interpolate: pairs, samples 0 and 1, 2 and 3 … of --seed", 1, 1000)
    flags.DEFINE_integer("columns", 10, "interpolate: steps from one sample of a pair to the other", 2, 1000)
    flags.DEFINE_multi_string("add", [], "arithmetic: numbers of a group of samples; may be given many times")
    flags.DEFINE_multi_string("subtract", [], "arithmetic: likewise, a group that is taken away")
    flags.DEFINE_integer("count", None, "sheet: how many samples, default 64; project: how many examples of the data "
                         "set, default 8", 1, 10_000)
    flags.DEFINE_integer("steps", 500, "project, fill: steps of Adam", 1)
    flags.DEFINE_integer("restarts", 4, "project, fill: starts of each image, of which the best counts", 1, 1000)
    flags.DEFINE_string("degrade", "", "fill: what was done to the image, as for training: grey, blur:2, downscale:4+jpeg:40 …")
    flags.DEFINE_string("out", None, "fill: a PNG file for the result alone, in the run's size")


def main(arguments):
    FLAGS = flags.FLAGS
    words = arguments[1:]
    if len(words) < 2 or words[1] not in COMMANDS:
        raise UserError(f"write kgan latent RUN COMMAND, the command one of {', '.join(COMMANDS)}")
    directory, name, *files = words
    for flag in {flag for of in COMMANDS.values() for flag in of} - {*COMMANDS[name]}:
        if FLAGS[flag].present:
            raise UserError(f"--{flag}: {name} does not read it; its flags: --{', --'.join(COMMANDS[name])}")
    if files and (name not in ("project", "fill") or FLAGS["count"].present):
        raise UserError(f"{files[0]!r} is one word too many" if name != "project" else
                        "project: name files, or give --count for examples of the data set, not both")
    if name == "fill" and len(files) != (1 if FLAGS.degrade else 2):
        raise UserError("fill: name an image and its mask, white where something is missing; or an image alone, with --degrade")
    values = {flag: FLAGS[flag].value for flag in COMMANDS[name]}
    if out := values.get("out"):
        if Path(out).suffix.lower() != ".png":
            raise UserError(f"--out={out}: is written as PNG, so its name must end in .png")
        if any(Path(file).resolve() == Path(out).resolve() for file in files):
            raise UserError(f"--out={out}: would overwrite {out}, which is to be filled; choose another name")
    if name == "interpolate" and values["between"]:
        if FLAGS["rows"].present:
            raise UserError("--rows and --between: give one of them")
        values["between"] = _numbers("between", values["between"])
        if len(values["between"]) != 2:
            raise UserError(f"--between={','.join(FLAGS.between)}: the numbers of two samples are wanted, as in 3,17")
    for flag in {"add", "subtract"} & {*values}:
        values[flag] = [_numbers(flag, text.split(",")) for text in values[flag]]
    if name == "arithmetic" and not values["add"]:
        raise UserError("--add: which samples? As in --add=0,3,5; the command sheet shows their numbers")
    directory = run_at(directory)
    settings = Run(directory).settings(required=True)
    if name == "fill":
        filling.operator_of(values["degrade"])
    kind = kind_of(settings)
    if kind != "image" and (files or name == "sheet" and kind != "voxels"):
        raise UserError(f"{directory} makes {kind}, no images: {name} is for images" +
                        (", or for examples of the data set (--count)" if name == "project" and kind != "tokens" else ""))
    if kind == "tokens" and name == "project":
        raise UserError(f"{directory} makes texts: project follows a gradient, and words have none; interpolate does without")

    classes = settings.get("classes")  # not of infogan, whose classes are its own: those it checks itself, later
    if classes and values.get("label"):
        values["label"] = called(values["label"], classes)
    if classes and values["label"] not in (None, *classes):
        raise UserError(f"--label={values['label']}: {unknown(values['label'], classes)}")
    examples = read_images(files[:1] if name == "fill" else files, settings) if files else None
    if name == "fill":
        examples = examples, filling.read_mask(files[1], files[0], settings) if len(files) > 1 else None
    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    path = Path(directory) / "latent" / f"{_name(name, values, files)}.png"
    if name == "project" and not files:
        examples = held_back(settings, values["count"] or DEFAULT_COUNT[name])
    gan, _ = load(directory)
    of_noise_alone(gan, directory)
    try:
        gan.labels(1, values["label"])
    except ValueError as error:
        raise UserError(f"--{error}") from None
    if name in ("project", "fill") and gan.classes and values["label"] is None:
        if files or not gan.config.condition:
            raise UserError("--label: of which class are they? As in --label=" + gan.classes[0])
        values["label"] = held_back(settings, len(examples), gan.config.condition)
    picture, remark = {"interpolate": _ways, "sheet": _sheet, "arithmetic": _sum, "project": _projected, "fill": filling.picture}[name](
        gan, values, examples)
    from kgan import pictures
    path.parent.mkdir(exist_ok=True)
    write(path, pictures.png(picture))
    print("\n".join([str(path), *remark]))
    return 0


def kind_of(settings):
    """The name of the kind that the model of a run makes, by its settings alone."""
    from kgan import models
    needs = models.outline(settings["model"]).Config.needs
    return next((kind for name, kind in needs.items() if name == kinds.get(kind).FIELD), None) or kinds.guess(settings["shape"])


def of_noise_alone(gan, directory):
    """Raises UserError where a generator is given more than noise and a label, which there is no way through."""
    given = [name for name, field in gan.fields.items() if name not in (gan.key, "label") and "default" not in field.more]
    if given or not gan.config.noise_dim:
        raise UserError(f"{directory} makes {gan.kind} of {' and '.join(given) or 'no noise'}, not of noise alone: kgan latent and "
                        "kgan edit are for models of noise, or of noise and a label")


def _numbers(flag, texts):
    if not all(re.fullmatch(r"\s*\d{1,6}\s*", text) for text in texts):
        raise UserError(f"--{flag}={','.join(texts)}: numbers of samples are wanted, 0 to 999999 with commas between")
    return [int(text) for text in texts]


def _name(name, values, files):
    """A file name for a command's arguments: those that differ from the defaults; of files the paths count."""
    words = [name]
    for flag, value in values.items():
        groups = value if flag in ("add", "subtract") else [value]
        if value != flags.FLAGS[flag].default and flag != "out":
            words += [f"{flag}-{'-'.join(map(str, group)) if isinstance(group, list) else str(group).replace(':', '')}" for group in groups]
    if files:
        words += [re.sub(r"[^\w.-]+", "_", Path(file).stem) for file in files]
        words.append(f"{zlib.crc32(repr([str(Path(file).resolve()) for file in files]).encode()):08x}")
    joined = "-".join(words)
    return joined if len(joined) <= 120 else f"{joined[:100]}-{zlib.crc32(joined.encode()):08x}"


def read_images(files, settings):
    """Image files, brought to the run's size and channels: float32 [n, H, W, C] in [-1, 1]."""
    from kgan.data import folder

    images = []
    for file in files:
        try:
            images.append(folder.decode(file, settings["shape"][:2], settings["shape"][2], settings["crop"])[0])
        except Exception as error:  # Pillow raises nearly anything on broken files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{file}: not read as an image ({reason}); {', '.join(folder.FORMATS)} are") from None
    if dark := [file for file, image in zip(files, images) if image.max() < DARK]:
        warnings.warn(f"{', '.join(dark[:5])}: near black; {SCALED}", stacklevel=2)
    return seen("image", np.stack(images))


def held_back(settings, count, field=None):
    """The first examples of the run's test split, or of its training split where there is none: float32 [n, ...].

    `field`: another field of theirs, as it is.
    """
    from kgan.metrics.evaluate import sources

    train, test = sources(settings)
    source = train if test is None else test
    return source.examples(slice(count), field)


def _ways(gan, values, _):
    from kgan import pictures
    pairs = [values["between"]] if values["between"] else np.arange(2 * values["rows"]).reshape(-1, 2)
    noise, label = _numbered(gan, int(np.max(pairs)) + 1, values)
    samples = np.concatenate([interpolate(gan, noise[a], noise[b], values["columns"], label[a]) for a, b in pairs])
    return pictures.sheet(gan.kind, samples, columns=values["columns"]), []


def _sheet(gan, values, _):
    from PIL import Image, ImageDraw

    from kgan import pictures
    images = gan.generate(values["count"] or DEFAULT_COUNT["sheet"], values["seed"], label=values["label"])
    if gan.kind != "image":
        return pictures.sheet(gan.kind, images, columns=8), ["samples 0 to 7 in the first row, 8 to 15 in the second, and so on"]
    side, strip = max(64, images.shape[2]), 12
    height = side * images.shape[1] // images.shape[2]
    sheet = Image.new("RGB", (8 * side, -(-len(images) // 8) * (height + strip)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        left, top = i % 8 * side, i // 8 * (height + strip)
        sheet.paste(pictures.grid(image[None], gap=0, smallest=1).resize((side - 2, height)), (left, top + strip))
        pen.text((left + 2, top), str(i), fill="black")
    return sheet, []


def _sum(gan, values, _):
    """A row a group, its mean last; in the last row what is near the sum, and last the sum."""
    from kgan import pictures
    numbers = [*values["add"], *values["subtract"]]
    noise, label = _numbered(gan, max(map(max, numbers)) + 1, values)
    label = label[numbers[0][0]]  # of the first sample: classes do not add
    add, subtract = ([noise[group] for group in values[flag]] for flag in ("add", "subtract"))
    total = arithmetic(add, subtract)
    columns = max(4, *(len(group) + 1 for group in numbers))
    means = [arithmetic([group]) for group in add + subtract]
    if kinds.get(gan.kind).PLOT:
        return pictures.sheet(gan.kind, samples_of(gan, total[None], label), samples_of(gan, means, label)), [
            "grey: the groups' means"]
    rows = []
    for group, mean in zip(add + subtract, means):
        images = samples_of(gan, [*group, mean], label)
        rows += [images[:-1], _blank(gan, columns - len(images)), images[-1:]]
    near = np.random.default_rng(values["seed"]).uniform(-_NEARBY, _NEARBY, (columns - 1, len(total)))
    rows.append(samples_of(gan, [*(total + near), total], label))
    return pictures.sheet(gan.kind, np.concatenate(rows), columns=columns), []


def _blank(gan, count):
    """Samples to fill a row with: white pixels, or solids of nothing."""
    return np.full((count, *gan.generator.output_shape[1:]), 0.0 if gan.kind == "voxels" else 1.0)


def _numbered(gan, count, values):
    """The noise of the first samples, and their labels (None each if the GAN is not conditional)."""
    label = gan.labels(count, values["label"])
    return np.asarray(gan.latents(count, values["seed"])), [None] * count if label is None else label.numpy().tolist()


def _projected(gan, values, examples):
    from kgan import pictures
    if examples.shape[1:] != gan.generator.output_shape[1:]:  # the data set or its preparation has changed
        raise DataError(f"the data set now has examples of shape {examples.shape[1:]}, the run makes "
                        f"{gan.generator.output_shape[1:]}")
    noise, error = project(gan, examples, values["steps"], values["restarts"], values["seed"], label=values["label"])
    found = samples_of(gan, noise, values["label"])
    remark = [f"mean squared error {error.mean():.4f}, worst {error.max():.4f}"]
    if kinds.get(gan.kind).PLOT:
        return pictures.sheet(gan.kind, found, examples), remark
    columns = min(10, len(examples))
    rows = []
    for start in range(0, len(examples), columns):  # a row of real images, below it theirs
        for images in (examples, found):
            row = images[start:start + columns]
            rows += [row, _blank(gan, columns - len(row))]
    return pictures.sheet(gan.kind, np.concatenate(rows), columns=columns), remark


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.latent", doing="searching and drawing")
