"""train.py's flags, and how they become settings. Imports no TensorFlow: help and mistakes are answered at once."""
import dataclasses
import importlib
import inspect
import json
import math
import os
from pathlib import Path

from absl import flags

import export
import kgan
from kgan import command, data, devices, models, sizes
from kgan.command import UserError
from kgan.config import JOB, ConfigError
from kgan.data import palette
from kgan.data.onthefly import whole
from kgan.run import FORMAT, Run, RunError, check_format

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "name of a model; --list prints them")
flags.DEFINE_string("dataset", None, "a name that --list prints, folder:PATH, MODULE:FUNCTION that returns data, or any name of tensorflow-datasets; "
                    "default: the model's own")
flags.DEFINE_string("data_dir", None, "where tensorflow-datasets keeps prepared data sets; default: its own place")
flags.DEFINE_string("manual_dir", None, "folder with a data set's original files, to prepare it without a network")
flags.DEFINE(sizes.Parser(), "image_size", None, "pixels of the images: a number for squares, or height x width, as in 64x96; "
             "default: the data set's own", serializer=sizes.Serializer())
flags.DEFINE_enum("channels", None, ["1", "3"], "1 for grey, 3 for colour; default: the data set's own")
flags.DEFINE_bool("crop", True, "crop images of other proportions to their middle; --nocrop squeezes them instead")
flags.DEFINE_bool("flip", False, "mirror images left to right at random; not if left and right have a meaning, as in writing")
flags.DEFINE_enum("cache", "auto", ["auto", "disk", "none"], "for folders. disk: images are decoded once, to a copy in the cache; "
                  "none: they are decoded each time that they are read; auto: none if the copy would take more than half of the free space")
flags.DEFINE_bool("balance", False, "train on each class equally often: the classes of --set condition, or else of the label")
flags.DEFINE_integer("batch_size", None, "examples in an update; default: the model's own", lower_bound=1)
flags.DEFINE_integer("steps", None, "updates of the generator; default: the model's own", lower_bound=1)
flags.DEFINE_float("epochs", None, "passes over the data, instead of --steps", lower_bound=1e-6)
flags.DEFINE_integer("evaluate_every", None, "steps between two measurements of quality; default: none", lower_bound=0)
flags.DEFINE_enum("precision", None, ["float32", "mixed_bfloat16", "mixed_float16"], "of the computations in training; default: "
                  "float32. Weights, losses, penalties, samples and exports are always float32")
flags.DEFINE_enum("strategy", "auto", ["auto", "none", "mirrored", "multiworker"], "what trains: one device (none), all GPUs "
                  "of this machine (mirrored), or the hosts that TF_CONFIG names (multiworker); auto: whatever there is")
flags.DEFINE_integer("seed", None, "of weights, noise and the order of the data; default: 0", lower_bound=0,
                     upper_bound=2**31 - 1)
flags.DEFINE_multi_string("callback", [], "MODULE:FUNCTION that returns a Keras callback, or a list of them, to be called in training; may "
                          "be given many times. Its parameters may be settings (a dict) and run_dir, or one of them, or none")
flags.DEFINE_integer("stop_after", 0, "stop after so many measurements (--evaluate_every) without improvement; 0: "
                     "never", lower_bound=0)
flags.DEFINE_string("init_from", None, "a run to start from: weights that fit by name and shape come from its newest checkpoint, "
                    "the others are listed and start from scratch. With other data, sizes or classes this is fine-tuning; "
                    "--set freeze_discriminator=N keeps D's first layers as they are")
flags.DEFINE_list("export", ["saved_model"], f"formats that are written at the end of the run, separated by commas: "
                  f"{', '.join(export.FORMATS)}")
flags.DEFINE_string("run_dir", None, "directory of the run; default: runs/MODEL-DATASET, or for a folder its name")
flags.DEFINE_multi_string("set", [], "KEY=VALUE for any field of the model's Config; may be given many times. "
                          "kgan settings MODEL explains them")
flags.DEFINE_string("config", None, "config.json of a run, to repeat it; other flags change single settings. With another "
                    "--model or preset, the run's data, batch, steps and whatever was chosen for it are kept. "
                    "Default of --run_dir: runs/MODEL-DATASET-repeat")
flags.DEFINE_bool("list", False, "print every model and data set, a line for each, and stop")
flags.DEFINE_bool("dry_run", False, "build everything, print networks, data and the plan, and estimate time and "
                  "memory from a few trial steps, and stop; leaves no run")
flags.DEFINE_string("profile", None, "START:STOP, as in 100:110: write a profile of these steps for TensorBoard")
flags.DEFINE_bool("overwrite", False, "delete the run in the directory and start from scratch")
flags.DEFINE_enum("on_nan", "stop", ["stop", "rollback"], "what to do when a loss or a gradient becomes NaN or infinite; rollback: resume "
                  "from the newest checkpoint with half the learning rates, at most three times in a run")
flags.DEFINE_bool("deterministic", False, "use TensorFlow's deterministic operations, which a GPU needs to repeat a run bit "
                  "for bit; slower, and without XLA. A CPU repeats a run without them")

# flags that are settings of a run as they are, with their defaults
_PLAIN = {"dataset": None, "data_dir": None, "manual_dir": None, "image_size": None, "channels": None, "crop": True,
          "flip": False, "seed": 0, "precision": "float32", "init_from": None}


# the same, which stand in them only where they are not this
_SELDOM = {"cache": "auto", "balance": False}


class FlagError(UserError, ValueError):
    """A flag that cannot be: the message names it, its value and what would do."""


def resolve():
    """The flags as settings, checked: names, types, ranges.

    Returns:
        (settings, directory): a dict as in a run's config.json, except that `shape` is missing and that `image_size`
        and `channels` may still be None; and the run directory.

    Raises:
        UserError: with a message for the user.
    """
    export.require("--export", FLAGS.export)
    before = _read_config(FLAGS.config) if FLAGS.config else {}
    model = FLAGS.model or before.get("model")
    if not model:
        raise FlagError(f"which GAN? --model=NAME, one of {', '.join(models.names())}")
    Config = models.outline(model).Config

    explicit = _explicit()
    try:
        config = Config.of(**{**_of_before(before, model, explicit.get("preset")), **explicit})
    except ConfigError as error:
        Config.of(**explicit)  # a fault of the flags' own says so itself
        raise FlagError(f"--config={FLAGS.config}: {error}; give that setting as a flag, too, or leave out --config") from None

    settings = {"format": FORMAT, "kgan": kgan.__version__, "model": model}
    for name, default in _PLAIN.items():
        given = FLAGS[name].present
        settings[name] = FLAGS[name].value if given else before.get(name, default)
    for name, default in _SELDOM.items():
        if (value := FLAGS[name].value if FLAGS[name].present else before.get(name, default)) != default:
            settings[name] = value
    settings["channels"] = int(settings["channels"]) if settings["channels"] else None
    settings["dataset"] = config.dataset
    settings["epochs"] = FLAGS.epochs
    settings["config"] = {name: value for name, value in dataclasses.asdict(config).items() if name != "dataset"}
    if "dataset" in explicit:
        data.trust(config.dataset)
    data.check_name(config.dataset)
    if before.get("data") and config.dataset == before["dataset"]:
        settings["data"] = before["data"]  # what has changed since is warned of
    if devices.workers(FLAGS.strategy).tasks and FLAGS.on_nan == "rollback":
        raise FlagError("--on_nan=rollback: is for one host; with several, restart all of them with lower learning rates")
    if FLAGS.profile is not None:
        steps_of(FLAGS.profile)
    if FLAGS.stop_after and devices.workers(FLAGS.strategy).tasks:
        raise FlagError("--stop_after: is for one host; with several, stop them by hand")
    if FLAGS.stop_after and not config.evaluate_every:
        raise FlagError(f"--stop_after={FLAGS.stop_after}: nothing is measured in training; give --evaluate_every, too")
    if settings["init_from"] and not (Path(settings["init_from"]) / "config.json").is_file():
        raise FlagError(f"--init_from={settings['init_from']}: there is no run; name a directory that train.py has written")
    if FLAGS.manual_dir and not os.path.isdir(os.path.expanduser(FLAGS.manual_dir)):
        raise FlagError(f"--manual_dir={FLAGS.manual_dir}: there is no such folder")

    return settings, Path(FLAGS.run_dir or directory_of(model, config.dataset, "-repeat" if before else ""))


def directory_of(model, dataset, end=""):
    """The run directory where none is named: runs/MODEL-DATASET; of a folder its name, with its parents' where need be.

    Two folders that are both called `train` have a run each: where runs/MODEL-train is that of another folder, which is still there,
    the second one's is runs/MODEL-PARENT-train.
    """
    if not dataset.startswith("folder:"):
        return Path(f"runs/{model}-{dataset.replace('/', '-').replace(':', '-')}{end}")
    place = Path(dataset.removeprefix("folder:")).expanduser().resolve()
    names = place.parts[1:] or ("root",)
    there = {Path(f"runs/{model}-{'-'.join(names[i:])}{end}"): None for i in reversed(range(len(names)))}
    for found in there:
        try:
            run = Run(found).settings()
        except RunError:  # which will say why
            return found
        there[found] = run and Path((run.get("data") or {}).get("path") or str(run.get("dataset")).removeprefix("folder:")).expanduser()
        if run and there[found].resolve() == place:
            return found
    # one whose folder is gone: it has been moved here, perhaps
    return next((found for found, other in there.items() if other is None or not other.is_dir()), found)


def _explicit():
    """The fields of Config that flags give: dict of name -> value, or its text."""
    found = {}
    for pair in FLAGS.set:
        key, equals, value = pair.partition("=")
        if not equals:
            raise FlagError(f"--set {pair}: write --set KEY=VALUE")
        found[key.strip()] = value
    for name in ("batch_size", "steps", "dataset", "evaluate_every"):
        value = FLAGS[name].value
        if value is not None and str(found.get(name, value)).strip() != str(value):
            raise FlagError(f"--{name}={value} and --set {name}={found[name]}: give one of them")
        if value is not None:
            found[name] = value
    if FLAGS.epochs and "steps" in found:
        raise FlagError(f"{'--steps' if FLAGS.steps else '--set steps'} and --epochs: give one of them")
    return found


def _of_before(before, model, preset):
    """What of the settings in --config counts beside the flags: dict of fields of the Config of `model`.

    The same model is repeated as it was. Another model, or a `preset` that flags name, has defaults of its own: these replace
    the earlier ones, but not what was chosen then, nor the job: the data, how long, how it is watched.

    Raises:
        FlagError: something was chosen that `model` does not have.
    """
    saved = before.get("config", {})
    if not saved or model == before["model"] and preset in (None, saved.get("preset")):
        return dict(saved)
    old, new = models.outline(before["model"]).Config, models.outline(model).Config
    usual = json.loads(json.dumps(dataclasses.asdict(old(**{name: saved[name] for name in ("preset",) if name in saved}))))
    usual["preset"] = getattr(old, "preset", None)  # another one was chosen, too
    chosen = {name: value for name, value in saved.items() if name in JOB or value != usual.get(name)}
    if preset is not None:
        chosen = {name: value for name, value in chosen.items() if name not in {"preset", *new.presets.get(preset, ())}}
    strange = [f"{name}={value}" for name, value in chosen.items() if name not in {field.name for field in dataclasses.fields(new)}]
    if strange:
        raise FlagError(f"--config={FLAGS.config}: {', '.join(strange)} was chosen there and is no setting of --model={model}; leave "
                        "out --config and give the settings that both have as flags")
    return chosen


def callbacks_of(settings, run_dir):
    """The Keras callbacks of the user's that `--callback` names.

    Raises:
        FlagError: there is no such function, it fails, or what it returns is none.
    """
    import keras

    found = []
    for name in FLAGS.callback:
        module, _, function = name.partition(":")
        try:
            with command.here():
                made = getattr(importlib.import_module(module), function)
            known = inspect.signature(made).parameters
            given = {"settings": settings, "run_dir": str(run_dir)}
            made = made(**{key: value for key, value in given.items() if key in known})
        except Exception as error:  # whatever their code raises
            raise FlagError(f"--callback={name}: {type(error).__name__}: {error}; write MODULE:FUNCTION, of a module that Python "
                            "finds in this folder or that is installed") from error
        made = list(made) if isinstance(made, (list, tuple)) else [made]
        if wrong := [each for each in made if not isinstance(each, keras.callbacks.Callback)]:
            raise FlagError(f"--callback={name}: returned {type(wrong[0]).__name__}; a keras.callbacks.Callback is wanted, or a list")
        found += made
    return found


def steps_of(profile):
    """The two numbers of `--profile`."""
    first, _, last = profile.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise FlagError(f"--profile={profile}: must be START:STOP, steps from 1 on, as in 100:110")
    return int(first), int(last)


def complete(settings, source):
    """Fills in what only the data can tell: their shape, the classes of labels, and how many steps --epochs are."""
    settings["shape"] = list(source.shape)
    if condition := settings["config"]["condition"]:
        settings["classes"] = source.classes[condition]
        if settings["flip"] and "slant" in condition.split("+"):
            raise FlagError("--flip: mirrored images slant the other way, their labels would be wrong; leave it out")
    kinds = {field.kind for field in source.fields.values()}
    for name, of in (("image_size", {"image", "video", "voxels"}), ("channels", {"image", "video"}), ("crop", {"image", "video"}),
                     ("flip", {"image"})):
        if FLAGS[name].present and not kinds & of:
            raise FlagError(f"--{name}={FLAGS[name].value}: is for images, and {settings['dataset']} has none; leave it out")
    Config = models.outline(settings["model"]).Config
    if hasattr(Config, "fitted"):
        settings["config"].update(Config(**settings["config"]).fitted(source.examples(slice(10_000))))
    needs = Config.needs
    if source.kind == "image":
        settings["image_size"] = sizes.setting(whole(source.arrays[source.key])[1:3])
        if len(needs) < 2:  # what is given may have other channels than what is made
            settings["channels"] = source.shape[2]
    if len(needs) > 1 or any(source.fields[name].more for name in needs):  # else the shape says enough
        settings["fields"] = {name: dataclasses.asdict(source.fields[name]) for name in needs}
        if needs.get("input") == "image" and needs.get(source.key) == "image":
            settings["fields"]["input"]["more"] |= palette.described(source, "input", settings["config"].get("labels", ""))
    config, epochs = settings["config"], settings.pop("epochs")
    if epochs:
        config["steps"] = math.ceil(epochs * len(source) / (config["batch_size"] * config["discriminator_steps"]))
    if FLAGS.profile and steps_of(FLAGS.profile)[1] > config["steps"]:
        raise FlagError(f"--profile={FLAGS.profile}: the run has {config['steps']} steps; name some of these")
    found = data.fingerprint(source, settings)
    settings.pop("data", None)  # of --config: the order of settings is that of a run without it, to the byte
    settings["data"] = found


def listing():
    """Every model and data set, a line each."""
    lines = ["Models (--model)"]
    lines += [f"  {name:<13} {models.outline(name).doc.splitlines()[0].partition(': ')[2]}" for name in models.names()]
    lines += ["", "Data sets (--dataset)"]
    lines += [f"  {name:<13} {line}" for name, line in data.BUILT_IN.items()]
    lines += ["  folder:PATH   your images: JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, JPEG 2000; sub-folders are labels;",
              "                labels.csv or names.regex gives attributes: --set condition=NAME; pairs for pix2pix: side by side in each file,",
              "                or in folders A and B, input and target, trainA and trainB",
              "  MODULE:FUNCTION   what a function of Python returns: arrays, a tf.data.Dataset, a datasets.Dataset: docs/data.md",
              "  NAME          any image data set of tensorflow-datasets: mnist, fashion_mnist, cifar10, celeb_a…;",
              "                fetched once, or prepared without a network from --manual_dir"]
    return "\n".join(lines)


def _read_config(path):
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        found["model"], found["dataset"], found["config"]["steps"]
    except OSError as error:
        raise FlagError(f"--config={path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise FlagError(f"--config={path}: this is no config.json of a run") from None
    check_format(found, f"--config={path}")
    found = data.located(found)
    return {**found, "config": {**found["config"], "dataset": found["dataset"]}}
