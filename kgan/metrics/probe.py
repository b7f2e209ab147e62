"""What a discriminator has learned, without labels, about the classes of its data: a linear classifier on its features.

    python -m kgan.metrics.probe runs/NAME
    python -m kgan.metrics.probe runs/NAME --classifier=svm --grid=2

Radford et al. 2015 (DCGAN), arXiv:1511.06434, sections 5.1 and 5.2: the outputs of all of D's activations, each
max-pooled to a 4×4 grid, flattened and joined. Prints the accuracy on the test split of classifiers that learn from
100, from 1,000 and from all labelled examples of the training split, and beside it that of the same classifier on raw
values and on the features of a D that was never trained: only what is above both was learned. The same goes to
probe.json in the run's directory.

Differs from the paper: the classifier is least squares with an L2 penalty on one-hot labels, in closed form; --classifier=svm is the
paper's, an L2-SVM for each class, which learns from at most 2,000 examples here. And features of more than 6,000 numbers are pooled to a coarser grid, since the equations of 28,672, the
paper's, fill many gigabytes. The output says which grid it was.
"""
import json

import numpy as np
from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.data.source import DataError, seen
from kgan.metrics.linear import PENALTIES, Sums, ridge, svm
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

MOST = 2_000  # examples that an SVM learns from: it takes equations of as many
LARGEST = 6_000  # features: their equations take 8 · 6,000² bytes, several times
_BATCH = 500

FLAGS = flags.FLAGS
flags.DEFINE_enum("classifier", "ridge", ["ridge", "svm"], "least squares with an L2 penalty, or linear L2-SVMs")
flags.DEFINE_integer("grid", 4, "maps are max-pooled to this side at most; 3D-GAN's paper pools to 2", lower_bound=1, upper_bound=16)


# === Features ===

def features(network, examples, grid=4):
    """What the activations of a discriminator make of examples, in inference mode.

    Layers with an activation are those of keras's classes for it and those whose `activation` is not linear. Networks
    that have none (r3gan's are layers of its own) give the outputs of the layers that add, the ends of residual blocks;
    where there are none either, those of all layers with weights. The network's last layer, the logits, is none of
    them.

    Args:
        network: GAN, or its discriminator, a functional or sequential keras.Model. One that judges m examples together
            (packing) gets each example m times.
        examples: uint8 images, or float [n, ...] as D is trained on.
        grid: maps [H, W, C] with a longer side are max-pooled to this side, as evenly as it goes: windows of a side of
            7 overlap.

    Returns:
        float32 numpy array [n, features].

    Raises:
        ValueError: no such layers, or the network is not a functional one.
    """
    extract = _Extractor(network, grid)
    return np.concatenate([extract(examples[i:i + _BATCH]) for i in range(0, len(examples), _BATCH)])


class _Extractor:
    """`features` of one batch after the other."""

    def __init__(self, network, grid=4):
        import keras
        import tensorflow as tf

        self._kind = getattr(network, "kind", "image")  # of a discriminator alone nobody says it
        network = getattr(network, "discriminator", network)
        outputs = [layer.output for layer in _layers(network)]
        model, shape, pool = keras.Model(network.inputs, outputs), network.input_shape, self._pool

        @tf.function(reduce_retracing=True)
        def compute(examples):
            packed = tf.concat([examples] * (shape[-1] // examples.shape[-1]), axis=-1)
            maps = model(packed, training=False)
            maps = maps if isinstance(maps, (list, tuple)) else [maps]
            pooled = [pool(tf.cast(each, tf.float32), grid) for each in maps]
            return tf.concat([tf.reshape(each, [tf.shape(examples)[0], each.shape[1:].num_elements()])
                              for each in pooled], axis=1)

        self._compute, self.grid = compute, grid
        sides = [[min(side, grid) for side in each.shape[1:-1]] for each in outputs]
        self.count = int(sum(np.prod(side) * each.shape[-1] for side, each in zip(sides, outputs)))

    def __call__(self, examples):
        """uint8 or float array [n, ...] -> float32 numpy array [n, features]."""
        return np.asarray(self._compute(seen(self._kind, np.asarray(examples))))

    @staticmethod
    def _pool(maps, grid):
        """Maximum over cells of a grid of at most `grid` along each axis between the first and the last."""
        import tensorflow as tf
        for axis in range(1, maps.shape.rank - 1):
            side = maps.shape[axis]
            if side > grid:  # the maximum over a cell is that over its rows, then over its columns
                cells = [range(i * side // grid, -(-(i + 1) * side // grid)) for i in range(grid)]
                maps = tf.stack([tf.reduce_max(tf.gather(maps, list(cell), axis=axis), axis) for cell in cells], axis)
        return maps


def last(network):
    """The name of the layer whose output is the last of a discriminator's features."""
    return _layers(network)[-1].name


class _Raw:
    """The values themselves, as features."""

    grid = None

    def __init__(self, shape, kind):
        self.count, self._kind = int(np.prod(shape)), kind

    def __call__(self, examples):
        return seen(self._kind, np.asarray(examples)).reshape(len(examples), -1)


def _layers(network):
    """The layers whose outputs are features; see `features`."""
    import keras
    kinds = tuple(getattr(keras.layers, name) for name in ("ReLU", "LeakyReLU", "PReLU", "ELU"))
    if not getattr(network, "inputs", None):
        raise ValueError(f"{network.name} has no layers to look into: a functional or sequential keras.Model is wanted")
    inner = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)][:-1]
    linear = keras.activations.linear
    for rule in (lambda layer: isinstance(layer, kinds) or getattr(layer, "activation", linear) not in (linear, None),
                 lambda layer: isinstance(layer, keras.layers.Add),
                 lambda layer: layer.weights):
        if found := [layer for layer in inner if rule(layer)]:
            return found
    raise ValueError(f"{network.name} has no layers before its last whose outputs could be features")


# === The probe ===

def probe(gan, train, test, counts=(100, 1000, None), untrained=None, draws=5, seed=0, largest=LARGEST, classifier="ridge", grid=4):
    """How well linear classifiers on a discriminator's features do, with few labels and with all.

    The penalty λ is chosen on a fifth of the labelled examples, held back; the classifier then learns from all of them.
    Everything is a function of the arguments. Features are made batch by batch and never kept.

    Args:
        gan: GAN or discriminator, as for `features`.
        train, test: pairs (examples, labels): uint8 images [n, H, W, C] or float [n, ...] as D is trained on, labels
            int [n] that count from 0.
        counts: labelled examples to learn from; None: all. Of others, `draws` random draws with as many of each class;
            those that are not to be had are left out.
        untrained: another GAN or discriminator to be compared with.
        draws, seed: ints.
        largest: features; the grid is made coarser until there are no more.
        classifier: "ridge" or "svm"; of an SVM all labels are left out where they are more than MOST.
        grid: side that maps are pooled to at most.

    Returns:
        dict of "discriminator", "raw" and perhaps "untrained" to dicts of `features`, how many; `grid`, the side; and
        `accuracy`, a dict of the number of labels, as text, to [mean, standard deviation over the draws] on the test
        examples. The deviation for all labels is None.

    Raises:
        ValueError: see `features`.
    """
    labels = np.asarray(train[1])
    classes = int(max(labels.max(), np.max(test[1]))) + 1
    plans = {}  # number of labels -> sorted indices of each draw
    for count in counts:
        if count is None and classifier == "svm" and len(labels) > MOST:
            continue
        if count is None or count == len(labels):
            plans[len(labels)] = [None]
        elif len(drawn := [_balanced(labels, count, np.random.default_rng([seed, count, i])) for i in range(draws)]
                 ) and drawn[0] is not None:
            plans[count] = drawn
    extractors = {"discriminator": _fitting(gan, largest, grid), "raw": _Raw(train[0].shape[1:], getattr(gan, "kind", "image"))}
    if untrained is not None:
        extractors["untrained"] = _fitting(untrained, largest, grid)

    result = {}
    for name, extract in extractors.items():
        solutions, places = [], []
        for count, drawn in plans.items():
            for indices in drawn:
                if classifier == "svm":
                    chosen = np.arange(len(labels)) if indices is None else indices
                    solutions.append(_learn_some(extract, train[0], labels, chosen, classes, seed, svm))
                else:
                    learn = _learn_all if indices is None else _learn_some
                    solutions.append(learn(extract, train[0], labels, indices, classes, seed))
                places.append(count)
        scores = _accuracies(extract, *test, np.arange(len(test[1])), solutions)
        accuracy = {}
        for count in plans:
            of = [score for score, place in zip(scores, places) if place == count]
            accuracy[str(count)] = [float(np.mean(of)), float(np.std(of, ddof=1)) if len(of) > 1 else None]
        result[name] = {"features": extract.count, "grid": extract.grid, "accuracy": accuracy}
    return result


def _fitting(network, largest, most=4):
    """The extractor of the finest grid up to `most` that gives at most `largest` features, or of 1."""
    for grid in range(most, 0, -1):
        extract = _Extractor(network, grid)
        if extract.count <= largest or grid == 1:
            return extract


def _balanced(labels, count, rng):
    """Indices of `count` examples, sorted, of each class as many as of any other give or take one; None: too few."""
    present = rng.permutation(np.unique(labels))
    wanted = [count // len(present) + (i < count % len(present)) for i in range(len(present))]
    places = [np.flatnonzero(labels == label) for label in present]
    if count < len(present) or any(len(place) < number for place, number in zip(places, wanted)):
        return None
    return np.sort(np.concatenate([rng.permutation(place)[:number] for place, number in zip(places, wanted)]))


def _one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[labels]


def _held_back(count, rng):
    """Mask of a random fifth."""
    held = np.zeros(count, bool)
    held[rng.permutation(count)[:count // 5]] = True
    return held


def _learn_some(extract, examples, labels, indices, classes, seed, solve=ridge):
    """The classifier of the examples at `indices`, few enough to be kept: (weights, offset)."""
    x = np.concatenate([extract(examples[indices[i:i + _BATCH]]) for i in range(0, len(indices), _BATCH)])
    labels = labels[indices]
    y, held = _one_hot(labels, classes), _held_back(len(x), np.random.default_rng(seed))
    right = [((x[held] @ weights + offset).argmax(1) == labels[held]).mean()
             for weights, offset in solve(x[~held], y[~held])]
    return solve(x, y, [_choice(right)])[0]


def _learn_all(extract, examples, labels, _, classes, seed):
    """The classifier of all the examples: (weights, offset)."""
    held = _held_back(len(labels), np.random.default_rng(seed))
    some = extract(examples[np.sort(np.random.default_rng(seed).permutation(len(labels))[:_BATCH])])
    parts = [Sums(some.mean(0), some.std(0), classes) for _ in range(2)]
    for sums, indices in zip(parts, (np.flatnonzero(~held), np.flatnonzero(held))):
        for start in range(0, len(indices), _BATCH):
            chosen = indices[start:start + _BATCH]
            sums.add(extract(examples[chosen]), _one_hot(labels[chosen], classes))
    right = _accuracies(extract, examples, labels, np.flatnonzero(held), parts[0].ridge())
    return (parts[0] + parts[1]).ridge([_choice(right)])[0]


def _choice(right):
    """The λ with the highest accuracy; the largest of equals."""
    best = max(right, default=0)
    return max(penalty for penalty, value in zip(PENALTIES, right) if not value < best)


def _accuracies(extract, examples, labels, indices, solutions):
    """Of each classifier (weights, offset), on the examples at `indices`."""
    weights = np.concatenate([weights for weights, _ in solutions], axis=1).astype(np.float32)
    offsets = np.concatenate([offset for _, offset in solutions]).astype(np.float32)
    right = np.zeros(len(solutions))
    for start in range(0, len(indices), _BATCH):
        chosen = indices[start:start + _BATCH]
        scores = (extract(examples[chosen]) @ weights + offsets).reshape(len(chosen), len(solutions), -1)
        right += (scores.argmax(2) == np.asarray(labels)[chosen][:, None]).sum(0)
    return (right / max(1, len(indices))).tolist()


# === The command ===

def main(arguments):
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.probe RUN")
    run = Run(run_at(arguments[1]))
    settings = run.settings(required=True)
    import_tensorflow()  # not before: help and mistakes are answered without it, it takes seconds
    import keras

    from kgan import models
    train, test, remark = _splits(settings)
    gan, step = load(arguments[1])
    check_inputs(gan.discriminator)
    keras.utils.set_random_seed(settings["seed"] + 1)
    untrained = models.of(settings, settings["seed"] + 1)
    found = probe(gan, train, test, untrained=untrained, classifier=FLAGS["classifier"].value,
                  grid=FLAGS["grid"].value)  # which has the default where nobody has parsed flags
    print(f"{settings['dataset']}, step {step:,}: accuracy on {len(test[1]):,} examples{remark and ', ' + remark}")
    print(table(found))
    write(run.directory / "probe.json", json.dumps(
        {"step": step, "dataset": settings["dataset"], "train": len(train[1]), "test": len(test[1]),
         "note": remark, "classifier": FLAGS["classifier"].value, **found}, indent=2).encode() + b"\n")
    print(run.directory / "probe.json")
    return 0


def check_inputs(network):
    """Raises UserError where a discriminator takes more than the example."""
    if len(network.inputs) > 1:
        raise UserError(f"this D takes {', '.join(tensor.name for tensor in network.inputs)}: what it knows of an example alone cannot be "
                        "told; dcgan, wgan_gp, acgan, gan3d and others have a D that takes nothing else")


def table(found):
    """The result of `probe` as text: a row each kind of features, a column each number of labels."""
    names = {"discriminator": "trained D", "raw": "raw values", "untrained": "untrained D"}
    counts = list(next(iter(found.values()))["accuracy"])
    lines = [f"{'':<12}{'features':>10}  " + "".join(f"{int(count):>9,} labels" for count in counts)]
    for name, each in found.items():
        cells = [f"{mean:.3f}" + (f" ± {deviation:.3f}" if deviation is not None else "")
                 for mean, deviation in each["accuracy"].values()]
        grid = f"  (grid of {each['grid']} a side)" if each["grid"] not in (4, None) else ""
        lines.append(f"{names[name]:<12}{each['features']:>10,}  " + "".join(f"{cell:>16}" for cell in cells) + grid)
    return "\n".join(lines)


def _splits(settings):
    """((examples, labels), (examples, labels), remark) of the run's data: the training and the test split.

    Where there is no test split, a random fifth of the training split, which D has seen, though not its labels.
    """
    from kgan.metrics.evaluate import sources

    train, test = sources(settings)
    if "label" not in train.arrays:
        raise DataError(f"{settings['dataset']} has no labels to be learned; those of a folder are its sub-folders")
    examples, labels = train.arrays[train.key], np.asarray(train.arrays["label"])
    if test is not None and "label" in test.arrays:
        return (examples, labels), (test.arrays[test.key], np.asarray(test.arrays["label"])), ""
    held = _held_back(len(labels), np.random.default_rng(0))
    if not held.any():
        raise DataError(f"{settings['dataset']} has no test split and only {len(labels)} examples: none to hold back")
    parts = [(_Part(examples, np.flatnonzero(mask)), labels[mask]) for mask in (~held, held)]
    return *parts, "a fifth of the training split, held back: there is no test split, and D has seen these"


class _Part:
    """Some examples of an array, which stay where they are."""

    def __init__(self, examples, indices):
        self.examples, self.indices = examples, indices
        self.shape = (len(indices), *examples.shape[1:])

    def __getitem__(self, chosen):
        return self.examples[self.indices[chosen]]


if __name__ == "__main__":
    command.run(main, "kgan.metrics.probe", doing="measuring")
