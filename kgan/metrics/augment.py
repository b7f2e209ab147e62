"""Do samples make a classifier better? One that learns from real labels, from samples, and from both, on the real test split.

    python -m kgan.metrics.augment runs/NAME --labels=20,100,1000 --seeds=5
    python -m kgan.metrics.augment runs/NAME --test=folder:DEST/test              data without a test split
    python -m kgan.metrics.augment runs/NAME --rare=normal --keep=40              a rare class, filled up by samples

The run is of a conditional model. A small network learns, for a fixed number of steps, from

    real                  so many labelled examples, drawn in the proportions of the data
    real, augmented       the same, shifted, turned, enlarged at random (mirrored, where the run was trained so)
    real, oversampled     the classes come equally often
    real, class weights   the loss weighs them equally
    samples               as many of each class as of any other: classification accuracy score (Ravuri & Vinyals 2019, arXiv:1905.10887)
    both                  half of each batch real, half samples; likewise augmented

and is tested on real examples: balanced accuracy, the mean of the classes' recalls, and the area under the curve where there are two. A
seed draws the labels, the first weights and the order; the table has mean ± standard deviation over the seeds.

The last line says, for each number of labels, whether samples help. The rule: of the ways with samples and of those without, the
better on average is taken; where the 95 % interval (Student's t) of their difference, seed by seed, is above 0, it helps; where
it is below 0, or within a point of 0, it does not; else it cannot be told.

**The GAN has seen the labels of its whole training split.** So with 20 labels the samples carry more labels than the 20: they show what a
generator that somebody hands you is worth. For what they are worth to who has 20 labels, train the GAN on those 20.
"""
import json

import numpy as np
from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, write

FLAGS = flags.FLAGS
flags.DEFINE_list("labels", ["20", "100", "1000"], "numbers of real labels, with commas between; all: every one")
flags.DEFINE_integer("seeds", 5, "how often all is repeated", lower_bound=2, upper_bound=30)
flags.DEFINE_integer("samples", 2_000, "samples of the generator, over all classes", lower_bound=2)
flags.DEFINE_integer("steps", 300, "of each classifier, 64 examples each", lower_bound=1)
flags.DEFINE_string("test", None, "data set to test on, as train.py's --dataset; default: the run's test split, or a fifth")
flags.DEFINE_string("rare", None, "name of a class that is made rare: all examples are used, and samples fill this class up")
flags.DEFINE_integer("keep", None, "with --rare: so many of its real examples are kept; default: all", lower_bound=1)

BATCH, RATE = 64, 2e-3
# two-sided 95 % quantiles of Student's t for 2 … 10 seeds
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
POINT = 0.01
WITHOUT = "real", "real, augmented", "real, oversampled", "real, class weights"
WITH = "both", "both, augmented"


def main(arguments):
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.augment RUN")
    counts = numbers(FLAGS.labels)
    if FLAGS.keep and not FLAGS.rare:
        raise UserError(f"--keep={FLAGS.keep}: of which class? --rare=CLASS")
    run = Run(arguments[1])
    settings = run.settings(required=True)
    import_tensorflow()
    from kgan.metrics.labelled import labelled

    gan, step = load(arguments[1])
    train, test, remark = labelled(settings, FLAGS.test)
    names = list(train.classes["label"])
    if list(gan.classes) != names or train.kind != "image":
        raise UserError(f"{arguments[1]}: makes {gan.kind} of the classes {', '.join(gan.classes) or '(none)'}; images of the data's, "
                        f"{', '.join(names[:10])}, are wanted: cgan, acgan, biggan and projection learn these")
    if FLAGS.rare and FLAGS.rare not in names:
        raise UserError(f"--rare={FLAGS.rare}: no such class; there are {', '.join(names)}")
    rows = np.sort(test.choose(5_000))
    held = np.asarray(test.arrays[test.key][rows]), np.asarray(test.arrays["label"])[rows]
    labels = np.asarray(train.arrays["label"])
    plan = Plan(train.shape, len(names), FLAGS.steps, settings.get("flip", False))
    found = {}
    for seed in range(FLAGS.seeds):
        rng = np.random.default_rng([seed, 77])
        chosen = {count: draw(labels, count, rng) for count in counts}
        if FLAGS.rare:
            chosen = {"all": rare(labels, names.index(FLAGS.rare), FLAGS.keep, rng)}
        for name, scores in trial(plan, gan, train, labels, chosen, held, seed).items():
            found.setdefault(name, []).append(scores)
    said = [table(found, names), *verdicts(found)]
    print(f"{settings['dataset']}, {settings['model']}, step {step:,}: {FLAGS.seeds} seeds, {FLAGS.steps} steps of {BATCH}, {FLAGS.samples:,} samples, "
          f"tested on {len(rows):,} examples{remark and ', ' + remark}; the GAN has seen {len(labels):,} labels")
    if FLAGS.rare:
        of = {name: int((labels[chosen['all']] == i).sum()) for i, name in enumerate(names)}
        print("real examples: " + ", ".join(f"{count:,} {name}" for name, count in of.items()))
    print("\n".join(said))
    write(run.directory / (f"augment-rare-{FLAGS.keep or 'all'}.json" if FLAGS.rare else "augment.json"), json.dumps(
        {"step": step, "dataset": settings["dataset"], "test": len(rows), "seeds": FLAGS.seeds, "samples": FLAGS.samples,
         "note": remark, "rare": FLAGS.rare, "keep": FLAGS.keep, "verdict": said[1:],
         "scores": {f"{way} | {count}": values for (way, count), values in found.items()}}, indent=1).encode() + b"\n")
    return 0


def numbers(texts):
    """The numbers of --labels. Raises UserError: one of them is none."""
    try:
        found = [text.strip() if text.strip() == "all" else int(text) for text in texts]
        if not found or any(count != "all" and count < 2 for count in found):
            raise ValueError
        return found
    except ValueError:
        raise UserError(f"--labels={','.join(texts)}: must be whole numbers from 2 on, or all, with commas between") from None


# === Which examples ===

def draw(labels, count, rng):
    """Rows of `count` examples in the classes' proportions, but at least one of each; all of them for "all" or too many."""
    if count == "all" or count >= len(labels):
        return np.arange(len(labels))
    present, sizes = np.unique(labels, return_counts=True)
    if count < len(present):
        raise UserError(f"--labels={count}: there are {len(present)} classes; each needs one at least")
    wanted = np.maximum(1, np.floor(count * sizes / len(labels)).astype(int))
    while wanted.sum() != count:  # what rounding leaves goes to, or comes from, where it is least felt
        short = wanted.sum() < count
        i = np.argmax((count * sizes / len(labels) - wanted) * (1 if short else -1) - 1e9 * (not short and wanted == 1))
        wanted[i] += 1 if short else -1
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == each))[:number]
                                   for each, number in zip(present, wanted)]))


def rare(labels, which, keep, rng):
    """All rows, but of a class `keep` at most."""
    own = np.flatnonzero(labels == which)
    return np.sort(np.concatenate([np.flatnonzero(labels != which), rng.permutation(own)[:keep or len(own)]]))


def trial(plan, gan, train, labels, chosen, held, seed):
    """One seed: dict of (way, number of labels) to a dict of scores.

    `chosen`: number of labels -> rows. With a rare class the samples are of that, as many as it lacks of the largest; else they are
    as many of each class, and half of each batch.
    """
    classes, found = len(gan.classes), {}
    fill = FLAGS.rare is not None
    asked = np.arange(FLAGS.samples) % classes
    if fill:
        sizes = np.bincount(labels[chosen["all"]], minlength=classes)
        which = gan.classes.index(FLAGS.rare)
        lacking = np.full(max(0, sizes.max() - sizes[which]), which)
    made = stored(gan, asked, seed)
    found["samples", "-"] = plan.learn(made, asked, held, seed)
    for count, rows in chosen.items():
        real, of = np.asarray(train.arrays[train.key][rows]), labels[rows]
        frequent = 1 / np.maximum(1, np.bincount(of, minlength=classes))[of]
        if fill:
            both = np.concatenate([real, stored(gan, lacking, seed)]), np.concatenate([of, lacking])
            chance = None
        else:
            both = np.concatenate([real, made]), np.concatenate([of, asked])
            chance = np.concatenate([np.full(len(of), 0.5 / len(of)), np.full(len(asked), 0.5 / len(asked))])
        found["real", count] = plan.learn(real, of, held, seed)
        found["real, augmented", count] = plan.learn(real, of, held, seed, augmented=True)
        if frequent.max() > 1.5 * frequent.min():
            found["real, oversampled", count] = plan.learn(real, of, held, seed, chance=frequent)
            found["real, class weights", count] = plan.learn(real, of, held, seed, weights=frequent / frequent.mean())
        found["both", count] = plan.learn(*both, held, seed, chance=chance)
        found["both, augmented", count] = plan.learn(*both, held, seed, chance=chance, augmented=True)
    return found


def stored(gan, asked, seed):
    """Samples as uint8, as their files would be."""
    from kgan.kinds.image import store
    if not len(asked):
        return np.zeros((0, *gan.fields[gan.key].shape), np.uint8)
    return store(gan.generate(len(asked), seed=1_000 + seed, label=asked))


# === The classifier ===

class Plan:
    """A small network whose step is compiled once, however often it learns anew.

    Args:
        shape: (H, W, C) of images.
        classes: how many.
        steps: of BATCH examples.
        flip: whether augmentation mirrors.
    """

    def __init__(self, shape, classes, steps=300, flip=False):
        import keras
        import tensorflow as tf
        self.classes, self.steps, self.flip = classes, steps, flip
        self.network = network = small(shape, classes)
        self._optimizer = optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
        optimizer.build(network.trainable_variables)
        begin = [variable.numpy() for variable in optimizer.variables]

        def reset():
            for variable, value in zip(optimizer.variables, begin):
                variable.assign(value)

        @tf.function(input_signature=[tf.TensorSpec([None, *shape], tf.uint8), tf.TensorSpec([None], tf.int32),
                                      tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, BATCH], tf.int32),
                                      tf.TensorSpec([], tf.bool), tf.TensorSpec([2], tf.int32)])
        def learn(images, labels, weights, order, augmented, seed):
            for i in tf.range(tf.shape(order)[0]):
                rows = order[i]
                x = tf.cast(tf.gather(images, rows), tf.float32) / 127.5 - 1
                x = tf.cond(augmented, lambda x=x, i=i: moved(x, seed + [0, i], flip), lambda x=x: x)
                with tf.GradientTape() as tape:
                    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, rows), network(x, training=True))
                    loss = tf.reduce_mean(losses * tf.gather(weights, rows))
                optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        self._reset, self._learn, self._ask = reset, learn, tf.function(
            lambda images: network(tf.cast(images, tf.float32) / 127.5 - 1, training=False), reduce_retracing=True)

    def learn(self, images, labels, held, seed, chance=None, weights=None, augmented=False):
        """Scores on `held` of a network that has learned from images uint8 [n, H, W, C] and labels int [n].

        `chance` [n]: how often each comes, up to a factor; None: equally often. `weights` [n]: of the loss.
        """
        from kgan.classifiers import initial
        import tensorflow as tf
        initial(self.network, np.random.default_rng([seed, 11]))
        self._reset()
        rng = np.random.default_rng([seed, 13])
        if chance is None:  # epoch by epoch
            epochs = -(-self.steps * BATCH // len(labels))
            order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])[:self.steps * BATCH]
        else:
            order = rng.choice(len(labels), self.steps * BATCH, p=np.asarray(chance) / np.sum(chance))
        weights = np.ones(len(labels)) if weights is None else weights
        self._learn(tf.constant(images), tf.constant(labels.astype(np.int32)), tf.constant(np.float32(weights)),
                    tf.constant(order.reshape(-1, BATCH).astype(np.int32)), tf.constant(augmented), tf.constant([seed, 0], tf.int32))
        logits = np.concatenate([np.asarray(self._ask(tf.constant(held[0][i:i + 500]))) for i in range(0, len(held[0]), 500)])
        return scores(logits, held[1])


def small(shape, classes):
    """images in [-1, 1] -> logits: strided convolutions down to 7 pixels or fewer, 16 to 64 wide."""
    import keras
    from keras import layers
    x = images = keras.Input(shape)
    side, width = min(shape[:2]), 16
    while side > 7:
        x = layers.Conv2D(width, 3, 2, padding="same", activation="relu")(x)
        side, width = -(-side // 2), min(2 * width, 64)
    x = layers.Dense(64, activation="relu", name="features")(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(classes)(layers.Dropout(0.3, seed=1)(x)), name="small")


def moved(images, seed, flip=False):
    """Images [n, H, W, C] shifted by up to a tenth, turned by up to 15°, enlarged or shrunk by up to a tenth; mirrored, if at all, half
    of them. What lies beyond the edge is the edge. `seed`: int32 [2]."""
    import tensorflow as tf
    height, width = images.shape[1:3]
    count = tf.shape(images)[0]
    turn, scale, down, right, mirror = tf.unstack(tf.random.stateless_uniform([5, count], seed, -1, 1))
    angle, scale = turn * np.pi / 12, 1 + 0.1 * scale
    sign = tf.where(mirror < 0, -1.0, 1.0) if flip else tf.ones_like(mirror)
    a, b = tf.cos(angle) / scale, tf.sin(angle) / scale
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # output (x, y) is read at (sign (a x' - b y') + …, b x' + a y' + …), x' and y' counted from the middle
    rows = [sign * a, -sign * b, middle_x - sign * (a * middle_x - b * middle_y) + 0.1 * width * right,
            b, a, middle_y - b * middle_x - a * middle_y + 0.1 * height * down, tf.zeros_like(a), tf.zeros_like(a)]
    return tf.raw_ops.ImageProjectiveTransformV3(images=images, transforms=tf.stack(rows, 1), output_shape=[height, width],
                                                 interpolation="BILINEAR", fill_mode="NEAREST", fill_value=0.0)


# === Scores, and what they say ===

def scores(logits, labels):
    """dict of `accuracy`, `balanced` (the mean of the classes' recalls) and, of two classes, `auc`."""
    said = logits.argmax(1)
    found = {"accuracy": float((said == labels).mean()),
             "balanced": float(np.mean([(said[labels == each] == each).mean() for each in np.unique(labels)]))}
    if logits.shape[1] == 2:
        found["auc"] = area(logits[:, 1] - logits[:, 0], labels == 1)
    return found


def area(values, positive):
    """The area under the ROC curve: how often a positive example has the larger value than a negative one, draws counted half."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    own = positive.sum()
    return float((ranks[positive].sum() - own * (own + 1) / 2) / (own * (len(values) - own)))


def table(found, names):
    """dict of (way, number of labels) to a list of scores, a seed each, as text."""
    counts = list(dict.fromkeys(count for _, count in found if count != "-"))
    lines = []
    for figure, title in [("balanced", "balanced accuracy, %"), *([("auc", "area under the curve, %")] if len(names) == 2 else [])]:
        lines.append(f"{title:<26}" + "".join(f"{count:>15,} labels" if count != "all" else f"{'all':>15} labels" for count in counts))
        for way in dict.fromkeys(way for way, _ in found):
            cells = [_cell(found.get((way, count)) or found.get((way, "-")), figure) for count in counts]
            lines.append(f"{way:<26}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _cell(each, figure):
    if not each:
        return ""
    values = 100 * np.array([scores[figure] for scores in each])
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def verdicts(found, figure="balanced"):
    """What the rule says: a sentence for each number of labels, in one line."""
    parts = []
    for count in dict.fromkeys(count for _, count in found if count != "-"):
        values = {way: np.array([scores[figure] for scores in found[way, count]]) for way in (*WITHOUT, *WITH) if (way, count) in found}
        without, with_ = (max((way for way in ways if way in values), key=lambda way: values[way].mean()) for ways in (WITHOUT, WITH))
        parts.append((f"{count:,}" if count != "all" else "all") + " labels " + judged(values[with_] - values[without])
                     + f" ({with_} against {without})")
    return [f"Samples: with {'; with '.join(parts)}."]


def judged(differences):
    """The rule on differences, a seed each: "they help …", "they do not …" or "it cannot be told …"."""
    mean, count = float(np.mean(differences)), len(differences)
    half = T95.get(count, 2.2) * float(np.std(differences, ddof=1)) / count ** 0.5
    said = "they help" if mean - half > 0 else "they do not help" if mean + half < 0 or max(abs(mean - half), abs(mean + half)) < POINT \
        else "it cannot be told"
    return f"{said}, {100 * mean:+.1f} ± {100 * half:.1f} points"


if __name__ == "__main__":
    command.run(main, "kgan.metrics.augment")
