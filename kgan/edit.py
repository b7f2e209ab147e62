"""Edits real images: shows each with every value of the attribute that a conditional GAN was trained on, a face at every age, say.

    kgan edit runs/NAME PHOTO.jpg …                          a row for each image
    kgan edit runs/NAME PHOTO.jpg --attribute=34             if its class is known: a name, or a number
    kgan edit runs/NAME --count=8                            the first examples of the test split
    kgan edit runs/NAME PHOTO.jpg --features=faces.keras     keeps what this network of yours sees, such as the person

A row has the image, its reconstruction, and then the generator's image of each class from the same noise; that of the
image's own class is framed. It works for every GAN of images that is conditional on a field of the data. The noise is found by
identity-preserving optimisation (`invert`), which starts from the encoder's guess if the model has an encoder (agecgan).
Writes a picture to runs/NAME/latent/, named after the arguments, and prints the path. `python -m kgan.edit` is the same.
"""
import re
import zlib
from pathlib import Path

import numpy as np
from absl import flags

from kgan import command, latent
from kgan.command import UserError
from kgan.config import unknown
from kgan.data.source import DataError
from kgan.kinds.label import called
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

FLAGS = "attribute", "count", "features", "steps", "restarts", "seed"
_ROWS = 256  # samples that are optimised at once
IDENTITY = 0.1  # what a change of all features is worth, against the mean squared difference of pixels


def invert(gan, images, label=None, network=None, steps=300, restarts=None, seed=0):
    """The noise of real images: identity-preserving latent optimisation.

    Antipov et al. 2017, "Face Aging With Conditional Generative Adversarial Networks", arXiv:1702.01983, section 2.3: from
    the encoder's guess on, the distance between an image and its reconstruction is minimised in the features of a network
    that knows identities. Here by `kgan.latent.project`, on pixels and features together; and the features are compared not
    with those of the reconstruction alone, but with those of the samples in all classes, one of them a step: noise that
    gives the image in its own class may else give another identity in a class far from it.

    Args:
        gan: conditional GAN of images; if it has an `encoder`, that gives the first start.
        images: float [n, H, W, C] in [-1, 1].
        label: the images' classes, as for `GAN.labels`; None: of each image the class with the least error.
        network: kgan.metrics.features.FeatureNetwork whose features are to be kept; None: pixels alone.
        steps, restarts, seed: as for `kgan.latent.project`; restarts None: 1 from an encoder, 4 without.

    Returns:
        (noise, label, error): float32 [n, noise_dim], int32 [n], and float32 [n], the mean squared error of the pixels.
    """
    images = np.asarray(images, np.float32)
    count, classes = len(images), len(gan.classes)
    if label is None:
        noise, _, error = invert(gan, np.repeat(images, classes, 0), np.tile(np.arange(classes), count), network, steps,
                                 restarts, seed)
        error = error.reshape(count, classes)
        best = error.argmin(1)
        rows = np.arange(count)
        return noise.reshape(count, classes, -1)[rows, best], best.astype(np.int32), error[rows, best]
    label = np.asarray(gan.labels(count, label))
    encoder = getattr(gan, "encoder", None)
    restarts = restarts or (4 if encoder is None else 1)
    together = max(1, _ROWS // restarts)
    if count > together:
        parts = [invert(gan, images[i:i + together], label[i:i + together], network, steps, restarts, seed)
                 for i in range(0, count, together)]
        return tuple(np.concatenate(each) for each in zip(*parts))
    start = None if encoder is None else np.asarray(encoder(images, training=False))
    extra = None if network is None else _unlike(gan, images, label, network, restarts)
    noise, error = latent.project(gan, images, steps, restarts, seed, label=label, start=start, extra=extra)
    return noise, label, error


def _unlike(gan, images, label, network, restarts):
    """A function of noise and the number of a step: how far samples' features are from the images', times IDENTITY.

    1 being as far as the images' are from 0. Step t looks at the t-th class after the image's own, round and round.
    """
    import tensorflow as tf

    features = network.model.differentiable
    wanted = np.concatenate([np.asarray(features(tf.constant(images[i:i + network.batch_size]))[0])
                             for i in range(0, len(images), network.batch_size)])
    scale = IDENTITY / np.maximum(np.mean(wanted**2, axis=1), 1e-12)
    wanted, scale, label = (tf.constant(np.repeat(values, restarts, axis=0)) for values in (wanted, scale, label))

    def unlike(noise, step):
        samples = tf.cast(gan.make(noise, (label + tf.cast(step, tf.int32)) % len(gan.classes)), tf.float32)
        return scale * tf.reduce_mean((features(samples)[0] - wanted) ** 2, axis=1)
    return unlike


def variants(gan, noise):
    """Samples of noise [n, noise_dim] in each class: float32 numpy array [n, K, H, W, C]."""
    count, classes = len(noise), len(gan.classes)
    made = latent.samples_of(gan, np.repeat(noise, classes, 0), np.tile(np.arange(classes), count))
    return made.reshape(count, classes, *made.shape[1:])


# === The command ===

def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_string("attribute", None, "the class that the images are of: its name, or a number within its bounds; "
                        "default: of files the class that fits best, of examples the data set's own")
    flags.DEFINE_integer("count", None, "examples of the data set, instead of files", 1, 1000)
    flags.DEFINE_string("features", "auto", "the network whose features are to be kept: a path, or a name that "
                        "kgan.metrics knows; auto: the classifier of the data set's labels if it has any, else none")
    flags.DEFINE_integer("steps", 300, "of the optimisation", 1)
    flags.DEFINE_integer("restarts", None, "starts of each image, of which the best counts; default: 1 where the model has an "
                         "encoder, else 4", 1, 1000)
    flags.DEFINE_integer("seed", 0, "of the starts", 0, 2**31 - 1)


def main(arguments):
    directory, *files = arguments[1:] or [None]
    if directory is None:
        raise UserError("write kgan edit RUN IMAGE …")
    values = {name: flags.FLAGS[name].value for name in FLAGS}
    if bool(files) == bool(values["count"]):
        raise UserError("name images, or give --count for examples of the data set" + (", not both" if files else ""))
    directory = run_at(directory)
    settings = Run(directory).settings(required=True)
    if not settings.get("classes"):
        raise UserError(f"{directory} holds a model that is not conditional on the data: it makes no variants of an image. "
                        "agecgan and cgan do")
    if (kind := latent.kind_of(settings)) != "image":
        raise UserError(f"{directory} makes {kind}, no images")
    label = None if values["attribute"] is None else class_of(settings["classes"], values["attribute"])
    images = latent.read_images(files, settings) if files else None

    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    from kgan import pictures

    condition = settings["config"]["condition"]
    if not files:
        images = latent.held_back(settings, values["count"])
        if label is None:
            label = latent.held_back(settings, values["count"], condition)
    gan, _ = load(directory)
    latent.of_noise_alone(gan, directory)
    if images.shape[1:] != gan.generator.output_shape[1:]:  # the data set or its preparation has changed
        raise DataError(f"the data set now has examples of shape {images.shape[1:]}, the run makes "
                        f"{gan.generator.output_shape[1:]}")
    network = identity(settings, values["features"])
    noise, label, error = invert(gan, images, label, network, values["steps"], values["restarts"], values["seed"])
    path = Path(directory) / "latent" / _name(values, files)
    path.parent.mkdir(exist_ok=True)
    write(path, pictures.png(_drawn(gan, images, noise, label)))
    print(path)
    for name, of, wrong in zip(files or range(len(images)), label, error):
        print(f"{name}: {condition} {gan.classes[of]}, mean squared error {wrong:.4f}")
    return 0


def class_of(classes, text):
    """The number of the class that is called `text`, or within whose bounds ("1.2 to 3.4") this number lies.

    Numbers beyond the outermost bounds are of the outermost classes: those are of the data that the model has seen.

    Raises:
        UserError: there is no such class.
    """
    if (name := called(text, classes)) in classes:
        return list(classes).index(name)
    bounds = [re.fullmatch(r"(\S+) to (\S+)", name) for name in classes]
    try:
        inner = [float(each[2]) for each in bounds[:-1]]
        if not np.isfinite(float(text)):
            raise ValueError
        return int(np.searchsorted(inner, float(text), side="right"))
    except (TypeError, ValueError):  # a class without bounds; no number
        raise UserError(f"--attribute={text}: {unknown(text, classes)}") from None


def identity(settings, name="auto"):
    """The FeatureNetwork whose features an edited image of a run is to keep, or None.

    "auto" is the classifier of the data set's labels where it has any, and they are not what is edited.
    """
    from kgan.metrics import features
    from kgan.metrics.evaluate import sources

    if name == "none":
        return None
    if name == "raw":
        raise UserError("--features=raw: these are the pixels, which count anyway: --features=none")
    try:
        train, test = sources(settings)
    except DataError:
        if name == "auto":  # the data are gone, the run is not
            return None
        raise
    if name == "auto" and (len(train.classes.get("label", ())) < 2 or settings["config"].get("condition") == "label"):
        return None
    return features.get("classifier" if name == "auto" else name, train, test if test and "label" in test.classes else None)


def _name(values, files):
    """A file name for the command's arguments: those that differ from the defaults; of files the paths count."""
    words = ["edit", *(f"{name}-{value}" for name, value in values.items() if value != flags.FLAGS[name].default)]
    words += [Path(file).stem for file in files]
    if files:
        words.append(f"{zlib.crc32(repr([str(Path(file).resolve()) for file in files]).encode()):08x}")
    joined = re.sub(r"[^\w.-]+", "_", "-".join(words))
    return f"{joined if len(joined) <= 120 else f'{joined[:100]}-{zlib.crc32(joined.encode()):08x}'}.png"


def _drawn(gan, images, noise, label):
    """Rows of image, reconstruction and every class, the class's names above, as a PIL.Image."""
    from PIL import Image, ImageDraw

    from kgan import pictures
    made = variants(gan, noise)
    rows = np.concatenate([images[:, None], made[np.arange(len(made)), label][:, None], made], axis=1)
    height, width = images.shape[1:3]
    factor = max(1, -(-64 // width))
    height, width, strip = height * factor + 4, width * factor + 4, 14
    sheet = Image.new("RGB", (rows.shape[1] * width + 4, len(rows) * height + strip + 4), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(["image", "found", *gan.classes]):
        pen.text((column * width + 4, 1), name.replace(" to ", "-")[:width // 6], fill="black")
    for i, row in enumerate(rows):
        own = ((2 + label[i]) * width + 2, strip + i * height + 2)
        pen.rectangle([own, (own[0] + width - 1, own[1] + height - 1)], fill=(230, 60, 40))
        for column, image in enumerate(row):
            picture = pictures.grid(image[None], gap=0, smallest=1)
            sheet.paste(picture.resize((width - 4, height - 4), Image.Resampling.NEAREST),
                        (column * width + 4, strip + i * height + 4))
    return sheet


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.edit", doing="searching and drawing")
