"""Measures generators; prints a table, writes metrics.json and pictures. `python -m kgan.metrics` is the same.

    kgan evaluate runs/NAME                                           a run, compared with its own data
    kgan evaluate runs/A runs/B --count=10000                         several, in one table
    kgan evaluate FOLDER --dataset=mnist --out=FIGURES                a folder of images
    kgan evaluate runs/NAME/export/saved_model --dataset=glyphs --out=FIGURES      an exported generator

A target is the directory of a run, a SavedModel from noise to images, or a folder of images. The figures of a run go to
runs/NAME/metrics.json and runs/NAME/metrics/, those of other targets to --out. docs/quality.md explains them.
"""
import inspect
import json
import warnings
from pathlib import Path

from absl import flags

from kgan import command, sizes
from kgan.data import check_name, trust
from kgan.quiet import import_tensorflow
from kgan.run import Run, run_at

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "what to compare with, as train.py's --dataset; default: the run's own")
flags.DEFINE(sizes.Parser(), "image_size", None, "pixels of the images that are compared: a number for squares, or height x "
             "width; default: the run's, or the data set's own", serializer=sizes.Serializer())
flags.DEFINE_enum("channels", None, ["1", "3"], "1 for grey, 3 for colour; default: the run's, or the data set's own")
flags.DEFINE_string("manual_dir", None, "folder with the data set's original files; default: the run's own")
flags.DEFINE_string("data_dir", None, "where tensorflow-datasets keeps prepared data sets; default: the run's own")
flags.DEFINE_string("features", "auto", "network whose features are compared: classifier (of the data set's labels), classifier:DATASET, "
                    "inception, hed, none, raw, or the path of a .keras file or SavedModel")
flags.DEFINE_integer("count", 10_000, "samples and reference examples", lower_bound=2)
flags.DEFINE_integer("seed", 1, "of the samples", lower_bound=0, upper_bound=2**31 - 1)
flags.DEFINE_bool("ema", True, "of a run: measure the averaged generator; --noema: the last generator itself")
flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "of a run: which one; best: by evaluate_by, if the run was "
                  "trained with --evaluate_every")
flags.DEFINE_enum("noise", "normal", ["normal", "uniform"], "of a SavedModel: what it was trained on")
flags.DEFINE_string("out", None, "directory for metrics.json and pictures; with several targets it gets a directory for each")


def main(arguments):
    targets = [Path(each) for each in arguments[1:]]
    if not targets:
        raise command.UserError("which run? python -m kgan.metrics runs/NAME")
    places = [directory(target, len(targets)) for target in targets]
    if FLAGS.dataset is not None:
        trust(FLAGS.dataset)
        check_name(FLAGS.dataset)
    if FLAGS.manual_dir and not Path(FLAGS.manual_dir).is_dir():
        raise command.UserError(f"--manual_dir={FLAGS.manual_dir}: there is no such folder")
    import_tensorflow()
    evaluators = {}
    results = {str(target): measure(target, place, evaluators) for target, place in zip(targets, places)}
    print(table(results))
    return 0


def measure(target, directory, evaluators):
    """Measures one target, writes its files into `directory`, and returns what is in its metrics.json.

    `evaluators`: dict in which those of the targets before are found again: their features took time.
    """
    from kgan import pictures
    from kgan.data import OPTIONS, maker
    from kgan.kinds.noise import way
    from kgan.metrics import smoothness
    from kgan.metrics.evaluate import Evaluator
    from kgan.run import write

    settings = Run(target).settings() or {}
    for name in ("dataset", "manual_dir", "data_dir", "image_size", "channels"):
        if FLAGS[name].value:
            settings[name] = int(FLAGS[name].value) if name == "channels" else FLAGS[name].value
    if "dataset" not in settings:
        raise command.UserError(f"{target} is no run: say what to compare it with, --dataset=NAME")
    make, noise, protocol, gan = generator(target, settings)
    # what decides which examples there are
    config = settings.get("config", {})
    made = maker(settings["dataset"], Evaluator.needs(settings))
    data = [config.get(name) for name in ("condition", "degrade", "direction", "masks", "hole_least", "hole_most",
                                          *(["bins"] if config.get("condition") else []),
                                          *(inspect.signature(made).parameters if made else ()))]
    key = json.dumps([data, "fields" in settings, *(settings.get(name) for name in ("dataset", *OPTIONS))])
    evaluator = evaluators.get(key) or evaluators.setdefault(key, Evaluator(settings, FLAGS.features, FLAGS.count))
    samples, asked = make(evaluator)
    if samples.shape[1:] != evaluator.train.shape:
        raise command.UserError(f"{target} has samples of {samples.shape[1:]}, {settings['dataset']} examples of "
                           f"{evaluator.train.shape}: they must be alike")
    figures, per_class, drawn = evaluator.details(samples, asked)
    figures.update(gan.figures(evaluator, samples, asked) if gan else {})
    if not figures:
        raise command.UserError(f"{target}: nothing is measured: {settings['dataset']} has no labels for a classifier to learn, whose features "
                                "would be compared; --features=raw compares the numbers themselves, --features=PATH those of a network")
    if noise and evaluator.network:
        sample, latents, kind = noise
        length = smoothness.path_length(sample, lambda images: evaluator.network(images)[0], latents(1_000, (FLAGS.seed + 1) % 2**31),
                                        latents(1_000, (FLAGS.seed + 2) % 2**31), between=way(kind))
        figures["path_length"], figures["path_length_error"] = map(float, length)
    real = evaluator.real and {**evaluator.real, **(evaluator.real_of(gan) if gan else {})}
    result = {"figures": figures, "real": real, "classes": per_class,
              "protocol": {**evaluator.protocol, **protocol, "samples": len(samples)}}
    if evaluator.untouched:
        result["untouched"] = evaluator.untouched
    (directory / "metrics").mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        write(directory / "metrics" / f"{name}.png", pictures.png(picture))
    write(directory / "metrics.json", json.dumps(result, indent=1).encode() + b"\n")
    return result


def generator(target, settings):
    """What makes the samples of a target.

    Returns:
        (make, noise, protocol, gan): a function of the Evaluator that returns as many samples as that has examples, and the
        labels that they were asked to be of, or None; two functions, noise to samples and (count, seed) to noise, and the kind
        of that, or None; a dict of what is to be said; of a run its GAN, else None.
    """
    import numpy as np
    import tensorflow as tf

    import kgan
    from export.paths import readable
    from kgan.run import load

    if Run(target).settings() is not None:
        gan, step = load(target, FLAGS.checkpoint)
        network = gan.ema_generator if FLAGS.ema else gan.generator
        protocol = {"step": step, "averaged": FLAGS.ema, "seed": FLAGS.seed}
        given = set(gan.fields) - {gan.key, "label"}  # what it makes something of is the evaluator's
        return (lambda evaluator: (gan.generate(evaluator.count, FLAGS.seed, network=network, given=evaluator.given,
                                                label=_asked(evaluator, gan.classes)), _asked(evaluator, gan.classes)),
                (tf.function(lambda noise: gan.make(noise, _in_pairs(noise, gan.classes), network)), gan.latents,
                 gan.config.noise) if not given else None, protocol, gan)
    if (target / "saved_model.pb").exists():
        with readable(target) as folder:
            loaded = tf.saved_model.load(folder)
        serve = loaded.signatures["serving_default"]
        inputs = serve.structured_input_signature[1]
        classes = _classes(target) if "label" in inputs else ()
        (name, spec), *others = ((name, spec) for name, spec in inputs.items() if name != "label")
        if others:
            raise command.UserError(f"{target}: its serving_default takes {', '.join(inputs)}; noise, or noise and label, are "
                                    "wanted")
        if classes:  # which field of the data they are of is seen by their names; of a number's parts it is not
            from kgan.metrics.evaluate import sources
            fields = [field for field, names in sources(settings)[0].classes.items() if tuple(names) == tuple(classes)]
            settings["config"] = {**settings.get("config", {}), "condition": sorted(fields, key="label".__ne__)[0]
                                  if fields else ""}

        def latents(count, seed):
            random = np.random.default_rng(seed)
            shape = (count, spec.shape[-1])
            return (random.normal(size=shape) if FLAGS.noise == "normal" else random.uniform(-1, 1, shape)).astype("f")

        def sample(noise, label=None):
            label = _in_pairs(noise, classes) if label is None else tf.constant(label, tf.int32)
            given = {name: tf.constant(noise), **({"label": label} if classes else {})}
            keep = loaded  # its variables live as long as it does
            return next(iter(keep.signatures["serving_default"](**given).values()))

        def make(evaluator):
            noise, asked = latents(evaluator.count, FLAGS.seed), _asked(evaluator, classes)
            label = np.arange(len(noise)) % max(1, len(classes)) if asked is None else asked
            return np.concatenate([sample(noise[i:i + 256], label[i:i + 256]) for i in range(0, len(noise), 256)]), asked
        return make, (sample, latents, FLAGS.noise), {"noise": FLAGS.noise, "seed": FLAGS.seed}, None
    def images(evaluator):
        *size, channels = evaluator.train.shape
        found = kgan.data.source(f"folder:{target}", image_size=size, channels=channels).remarked()
        if found.note:
            warnings.warn(f"{target}: {found.note}", stacklevel=2)
        return np.asarray(found.arrays["image"][:evaluator.count]), None
    return images, None, {}, None


def _asked(evaluator, classes):
    """What samples of a model of these classes are asked to be, or None where they are not the data's."""
    return evaluator.asked if classes and evaluator.asked_names == tuple(classes) else None


def _in_pairs(noise, classes):
    """Labels for the two ends of steps in the space of noise, one half of it and the other: alike at both."""
    import tensorflow as tf
    return tf.tile(tf.range(tf.shape(noise)[0] // 2) % len(classes), [2]) if classes else None


def _classes(target):
    """The names of the classes of a SavedModel that takes labels."""
    import export
    try:
        return json.loads((target / export.CONTRACT).read_text(encoding="utf-8"))["label"]["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        raise command.UserError(f"{target} takes labels, but does not say what they are: {export.CONTRACT} in it should"
                                ) from None


def table(results):
    """The figures of several targets side by side, with those of real examples, as text."""
    columns = {name: result["figures"] for name, result in results.items()}
    first = next(iter(results.values()))
    columns.update((name, first[name]) for name in ("real", "untouched") if first.get(name))
    names = [name for name in next(iter(columns.values())) if not name.endswith("_error")]
    width = max(14, *(len(name) + 2 for name in columns))
    lines = [" " * 22 + "".join(f"{name:>{width}}" for name in columns)]
    for name in names:
        values = [column.get(name) for column in columns.values()]
        lines.append(f"{name:<22}" + "".join(f"{'' if value is None else format(value, '.4g'):>{width}}" for value in values))
    protocol = ", ".join(f"{name} {value}" for name, value in first["protocol"].items())
    return "\n".join([*lines, "", f"protocol: {protocol}"])


def directory(target, targets):
    """Where the files of one of so many targets go."""
    if not target.is_dir():
        raise command.UserError(f"{target}: there is no such run, SavedModel or folder")
    if FLAGS.out:
        return Path(FLAGS.out) / target.name if targets > 1 else Path(FLAGS.out)
    if Run(target).settings() is None:
        run_at(target)  # which names the runs that it holds
        raise command.UserError(f"{target} is no run: say where its figures are to go, --out=DIRECTORY")
    return target


if __name__ == "__main__":
    command.run(main, "kgan.metrics", doing="measuring")
