"""Classifiers that are attacked, or taught: the data set's own, networks of papers, or a file of yours.

    own       the small CNN that also measures samples (kgan.metrics.features)
    A, B, C   the three networks that AdvGAN's paper attacks (Xiao et al. 2018, table 5): A and B of Tramèr et al. 2018, C of
              Carlini & Wagner 2017. Convolutions without padding: images of 28 pixels or more
    a path    a .keras file, or a SavedModel with the signature `serving_default`; what they take and give is found out

The first four learn the labels of the data once and are kept in the data cache. Whatever it is, `Classifier` makes it a layer
from images in [-1, 1], of the data's size and channels, to logits, and one that is always in inference mode: dropout that is
left on makes a classifier look weaker than it is.
"""
import functools
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kgan import contracts, devices, kinds
from kgan.config import ConfigError
from kgan.kinds import Field

NETWORKS = "own", "A", "B", "C"
SEEN = {"A": 20_000, "B": 60_000, "C": 60_000}  # examples that they learn from, in all; one costs five times as much of A as of C
RANGES = {"-1:1": (1.0, 0.0), "0:1": (0.5, 0.5), "0:255": (127.5, 127.5)}  # name -> scale and offset from [-1, 1] to it
SURE = 0.2  # of the way from guessing to always right: a classifier below is warned of


@keras.saving.register_keras_serializable("kgan")
class Classifier(layers.Layer):
    """images float32 [n, H, W, C] in [-1, 1] -> logits float32 [n, K], whatever the network inside takes and gives.

    Args:
        network: keras.Model or layer of images; its weights stay as they are.
        gives: "logits" [n, K] or, of two classes, [n, 1]; or "probabilities" of these shapes.
        takes: (height, width, channels) of its images; None stands for any. Others are resized (bilinear, antialiased),
            and made grey or colour.

    `range` is a weight, the scale and offset from [-1, 1] to what the network takes, so that files and checkpoints keep what
    was found out. `accuracy`, likewise, is that on labelled examples, or -1 before `prepare` has seen any.
    """

    def __init__(self, network, gives="logits", takes=(None, None, None), **kwargs):
        super().__init__(trainable=False, dtype="float32", **kwargs)
        network.trainable = False
        self.network, self.gives, self.takes = network, gives, tuple(takes)
        self.range = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="range")
        self.accuracy = self.add_weight(shape=(), initializer=keras.initializers.Constant(-1), trainable=False, name="accuracy")
        self.range.assign(RANGES["-1:1"])

    def call(self, images, training=None):
        """`training` is not looked at."""
        return self.logits_of(self.network(self._seen(images), training=False))

    def _seen(self, images):
        images, (height, width, channels) = tf.cast(images, tf.float32), self.takes
        if channels == 3 and images.shape[-1] == 1:
            images = tf.image.grayscale_to_rgb(images)
        elif channels == 1 and images.shape[-1] == 3:
            images = tf.image.rgb_to_grayscale(images)
        size = height or images.shape[1], width or images.shape[2]
        if size != tuple(images.shape[1:3]):
            images = tf.image.resize(images, size, antialias=True)
        scale = tf.convert_to_tensor(self.range)
        return images * scale[0] + scale[1]

    def logits_of(self, values):
        values = tf.cast(values, tf.float32)
        if self.gives == "probabilities":  # differences of logarithms are those of logits
            if values.shape[-1] == 1:
                values = tf.clip_by_value(values, 1e-7, 1 - 1e-7)
                values = tf.math.log(values) - tf.math.log1p(-values)
            else:
                values = tf.math.log(tf.maximum(values, 1e-30))
        return tf.concat([tf.zeros_like(values), values], -1) if values.shape[-1] == 1 else values

    def get_config(self):
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network), "gives": self.gives,
                "takes": self.takes}

    @classmethod
    def from_config(cls, config):
        config = {name: value for name, value in config.items() if name not in ("trainable", "dtype")}
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


@keras.saving.register_keras_serializable("kgan")
class Served(layers.Layer):
    """The signature `serving_default` of a SavedModel as a layer: the one output, or that named `logits` or `probabilities`."""

    def __init__(self, path, **kwargs):
        super().__init__(trainable=False, **kwargs)
        from export.paths import readable
        with readable(Path(path)) as folder:
            self._keep = tf.saved_model.load(folder)  # its variables live as long as it does
        self.folder, self._serve = str(path), self._keep.signatures["serving_default"]
        self.inputs_taken = self._serve.structured_input_signature[1]

    def call(self, images, training=None):
        return _chosen(self._serve(**{next(iter(self.inputs_taken)): images}), self.folder)

    def get_config(self):
        return {**super().get_config(), "path": self.folder}


# === By name ===

def get(name, shape, classes):
    """A classifier for images of a shape, as a Classifier. Those that learn are untrained yet, and the range of what a file takes is
    not known yet: see `prepare`.

    Args:
        name: one of NETWORKS, or a path.
        shape: (H, W, C).
        classes: how many the data have.

    Raises:
        ConfigError: there is no such file, or it is no classifier of so many classes of images.
    """
    with devices.precision("float32"):
        return _get(name, shape, classes)


def _get(name, shape, classes):
    if name in NETWORKS:
        return Classifier(built_in(name, shape, classes), name="classifier")
    network, takes, end = _read(name, shape)
    try:
        values = np.asarray(network(_plausible(takes, shape), training=False), np.float32)
    except Exception as error:
        raise ConfigError(f"classifier={name}: fails with images of shape {tuple(takes)}: {_short(error)}") from None
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ConfigError(f"classifier={name}: gives " + (f"an array of shape {values.shape}" if values.ndim != 2 else "NaN or "
                          "infinity") + " for 8 images; logits or probabilities [n, classes] are wanted")
    if max(2, values.shape[1]) != classes:
        raise ConfigError(f"classifier={name}: tells {max(2, values.shape[1])} classes apart, and the data have {classes}")
    gives = {"softmax": "probabilities", "sigmoid": "probabilities", "linear": "logits"}.get(end) or (
        "probabilities" if _are_probabilities(values) else "logits")
    return Classifier(network, gives, takes, name="classifier")


def _read(name, shape):
    """(the network in a file, (H, W, C) that it takes, the name of the activation in which it ends or None)."""
    path = Path(name).expanduser()
    if not path.exists():
        raise ConfigError(f"classifier={name}: there is no such file. Built in are {', '.join(NETWORKS)}")
    try:
        if path.is_dir():
            network = Served(path)
            specs = [tuple(spec.shape) for spec in network.inputs_taken.values()]
        else:
            network = keras.models.load_model(path, compile=False, safe_mode=True)  # it runs no code
            specs = [tuple(tensor.shape) for tensor in getattr(network, "inputs", None) or ()]
    except Exception as error:
        said = str(error)
        if "Could not locate class" in said or "is not registered" in said:
            kind = said.partition("class '")[2].partition("'")[0] or "of its own"
            raise ConfigError(f"classifier={name}: its class {kind} is written in Python that no file holds: import what defines it "
                              "before, or save the model by model.export(FOLDER), which needs no class") from None
        raise ConfigError(f"classifier={name}: is no Keras model or SavedModel that can be read: {_short(error)}") from None
    if not specs:  # a subclass, of which the file has the shape that it was called with
        built = (network.get_build_config() or {}).get("input_shape")
        specs = [tuple(built)] if built else [(None, *shape)]
    if len(specs) != 1 or len(specs[0]) != 4 or specs[0][3] not in (None, 1, 3):
        raise ConfigError(f"classifier={name}: takes {' and '.join(map(str, map(list, specs)))}; images [n, height, width, 1 or 3] "
                          "are wanted, and nothing else")
    outputs = getattr(network, "outputs", None) or [None]
    if len(outputs) > 1:
        raise ConfigError(f"classifier={name}: has {len(outputs)} outputs; one is wanted, logits or probabilities")
    return network, specs[0][1:], outputs[0] is not None and contracts._ending(outputs[0]) or None


def _plausible(takes, shape):
    field = Field("image", [own or given for own, given in zip(takes, shape)])
    return tf.constant(kinds.get("image").examples(field, 8))


def _are_probabilities(values):
    inside = (values >= 0).all() and (values <= 1).all()
    return bool(inside and (values.shape[1] == 1 or np.allclose(values.sum(1), 1, atol=1e-3)))


def _chosen(outputs, path):
    found = [outputs[name] for name in ("logits", "probabilities") if name in outputs] or list(outputs.values())
    if len(outputs) > 1 and not {"logits", "probabilities"} & set(outputs):
        raise ValueError(f"{path} gives {', '.join(outputs)}; one of them must be named logits or probabilities")
    return found[0]


def _short(error):
    return " ".join(str(error).split())[:200]


# === The networks ===

def built_in(name, shape, classes):
    """One of NETWORKS, untrained: images [n, *shape] in [-1, 1] -> logits [n, classes]."""
    if name == "own":
        from kgan.metrics import features
        return features.network(shape, classes, activation=None)
    if min(shape[:2]) < 28:
        raise ConfigError(f"classifier={name}: is for images of 28 pixels or more, not {shape[0]}×{shape[1]}; own takes any")
    x = images = keras.Input(shape)
    relu = functools.partial(layers.Conv2D, activation="relu")
    if name == "A":
        x = layers.Dropout(0.25, seed=1)(relu(64, 5)(relu(64, 5)(x)))
        x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    elif name == "B":
        x = relu(64, 8, 2, "same")(layers.Dropout(0.2, seed=1)(x))
        x = layers.Flatten()(relu(128, 5)(relu(128, 6, 2)(x)))
    else:
        for width in (32, 64):
            x = layers.MaxPooling2D()(relu(width, 3)(relu(width, 3)(x)))
        x = layers.Dense(200, activation="relu")(layers.Flatten()(x))
        x = layers.Dense(200, activation="relu")(layers.Dropout(0.5, seed=2)(x))
    x = x if name == "C" else layers.Dropout(0.5, seed=2)(x)
    x = layers.Identity(name="features")(x)
    return keras.Model(images, layers.Dense(classes)(x), name=name)


# === Learning, and what is found out on labelled examples ===

def prepare(classifier, name, train, test=None, range_="auto", seed=0):
    """Teaches a built-in classifier, or reads it from the data cache; finds out the range that one of a file takes.

    Args:
        classifier: Classifier that `get` gave for `name`; its weights are set.
        name: see `get`.
        train, test: Sources with `label`; None: a fifth of `train` is held back to measure the accuracy on.
        range_: of a file: a key of RANGES, or "auto": that with which it is right most often.
        seed: of a built-in one's weights: that of another seed is a second one, trained apart.

    Returns:
        (accuracy, a sentence about the classifier, a warning or "").
    """
    names = train.classes["label"]
    if name in NETWORKS:
        from kgan.metrics import features
        build = functools.partial(_seeded, name, seed) if name != "own" or seed else None
        network, notes = features.trained(train, test, name, build, SEEN.get(name), seed)
        classifier.network.set_weights(network.get_weights())
        classifier.accuracy.assign(notes["accuracy"])
        return notes["accuracy"], (f"{name}, trained on {train.name}'s labels: right on {_percent(notes['accuracy'])} of "
                                   f"{notes['accuracy_of']}"), ""
    held = test or train
    found = {}
    for candidate in RANGES if range_ == "auto" else [range_]:
        classifier.range.assign(RANGES[candidate])
        found[candidate] = accuracy(classifier, held)
    best = max(found, key=found.get)
    classifier.range.assign(RANGES[best])
    classifier.accuracy.assign(found[best])
    others = "; ".join(f"in {_interval(each)} {_percent(value)}" for each, value in found.items() if each != best)
    said = (f"{Path(name).name}: gives {classifier.gives}, takes images in {_interval(best)}, where it is right on "
            f"{_percent(found[best])} of the {'test' if test else 'training'} examples" + (f" ({others})" if others else ""))
    guess = np.bincount(np.asarray(held.arrays["label"])).max() / len(held)  # by who always says the same
    weak = found[best] < guess + SURE * (1 - guess)
    order = ", ".join(names[:10]) + " …" * (len(names) > 10)
    warning = (f"classifier={name}: is right on {_percent(found[best])} of the examples, hardly more than by guessing: its classes "
               f"must be in the order of the data's, {order}")
    return found[best], said, warning if weak else ""


def _seeded(name, seed, shape, classes):
    """A built-in network whose weights are a function of the seed alone, whatever was drawn before."""
    from kgan.metrics.few import initial
    network, rng = built_in(name, shape, classes), np.random.default_rng([seed, len(name), *name.encode()])
    initial(network, rng)
    return network


def accuracy(classifier, source, count=2_000):
    """The share of (at most `count`) examples of a Source that a classifier puts into their class."""
    rows = np.sort(source.choose(count))
    return float((verdicts(classifier, source.examples(rows)).argmax(1) == np.asarray(source.arrays["label"])[rows]).mean())


def verdicts(classifier, images, batch_size=250):
    """Logits float32 numpy [n, K] of images [n, H, W, C] in [-1, 1]."""
    ask = tf.function(lambda x: classifier(x), reduce_retracing=True)
    return np.concatenate([np.asarray(ask(tf.constant(images[i:i + batch_size]))) for i in range(0, len(images), batch_size)])


def _percent(share):
    return f"{100 * share:.1f} %"


def _interval(name):
    return "[" + name.replace(":", ", ") + "]"
