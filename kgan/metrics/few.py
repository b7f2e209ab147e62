"""Classifiers that learn from few labels: which examples, a small network, scores, and when a difference counts.

What kgan.metrics.augment and kgan.metrics.pretrain share.
"""
import numpy as np

from kgan.command import UserError

BATCH, RATE = 64, 2e-3
# two-sided 95 % quantiles of Student's t for 2 … 10 seeds
T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
POINT = 0.01  # a difference within this of 0 is none


# === Which examples ===

def numbers(texts):
    """The numbers of --labels. Raises UserError: one of them is none."""
    try:
        found = [text.strip() if text.strip() == "all" else int(text) for text in texts]
        if not found or any(count != "all" and count < 2 for count in found):
            raise ValueError
        return found
    except ValueError:
        raise UserError(f"--labels={','.join(texts)}: must be whole numbers from 2 on, or all, with commas between") from None


def fitting(counts, total):
    """(numbers of labels, a remark or ""): of `total` examples or more there are all, once."""
    kept = [count for count in counts if count == "all" or count < total]
    if len(kept) == len(counts):
        return counts, ""
    named = ", ".join(f"{count:,}" for count in counts if count not in kept)
    return list(dict.fromkeys([*kept, "all"])), f"--labels: there are {total:,} examples to learn from: all of them in the place of {named}"


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


# === The classifier ===

class Plan:
    """A network whose step is compiled once, however often it learns anew.

    Args:
        network: keras.Model of images [n, H, W, C] in [-1, 1] to logits, such as `small`.
        classes: how many.
        steps: of BATCH examples.
        flip: whether augmentation mirrors.
        rate: Adam's, which goes down to 0 as a cosine.
    """

    def __init__(self, network, classes, steps=300, flip=False, rate=RATE):
        import keras
        import tensorflow as tf
        self.classes, self.steps, self.network, shape = classes, steps, network, network.input_shape[1:]
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
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

    def learn(self, images, labels, held, seed, chance=None, weights=None, augmented=False, begin=None):
        """Scores on `held` of a network that has learned from images uint8 [n, H, W, C] and labels int [n].

        `chance` [n]: how often each comes, up to a factor; None: equally often. `weights` [n]: of the loss.
        `begin`: function of the network and a NumPy generator that gives it its first weights; None: `initial`.
        """
        import tensorflow as tf
        (begin or initial)(self.network, np.random.default_rng([seed, 11]))
        self._reset()
        rng = np.random.default_rng([seed, 13])
        if chance is None:  # epoch by epoch
            epochs = -(-self.steps * BATCH // len(labels))
            order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])[:self.steps * BATCH]
        else:
            order = rng.choice(len(labels), self.steps * BATCH, p=np.asarray(chance) / np.sum(chance))
        weights = np.ones(len(labels)) if weights is None else weights
        order = order.reshape(-1, BATCH).astype(np.int32)
        self._learn(tf.constant(images), tf.constant(labels.astype(np.int32)), tf.constant(np.float32(weights)),
                    tf.constant(order), tf.constant(augmented), tf.constant([seed, 0], tf.int32))
        logits = np.concatenate([np.asarray(self._ask(tf.constant(held[0][i:i + 500]))) for i in range(0, len(held[0]), 500)])
        return scores(logits, held[1])


def initial(network, rng):
    """Gives a network of dense layers and convolutions first weights: Glorot's uniform ones by a NumPy generator, biases 0."""
    for variable in network.weights:
        shape = tuple(variable.shape)
        if "seed_generator" in variable.path:  # of dropout
            variable.assign(rng.integers(0, 2**31, shape))
        elif len(shape) > 1:
            bound = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
            variable.assign(rng.uniform(-bound, bound, shape))
        else:
            variable.assign(np.full(shape, float(variable.path.endswith(("gamma", "moving_variance")))))


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
    """Images [n, H, W, C] at random shifted by up to a tenth, turned by up to 15°, enlarged or shrunk by up to a tenth.

    With `flip` half of them are mirrored. What lies beyond the edge is the edge. `seed`: int32 [2].
    """
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
    """The area under the ROC curve: how often a positive example has a larger value than a negative one; draws count half."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    own = positive.sum()
    return float((ranks[positive].sum() - own * (own + 1) / 2) / (own * (len(values) - own)))


def line(each, figure):
    """Scores, a seed each, as mean ± standard deviation in percent."""
    if not each:
        return ""
    values = 100 * np.array([scores[figure] for scores in each])
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def judged(differences, helps="they help", fails="they do not help"):
    """What differences, a seed each, say, and their 95 % interval (Student's t) in points.

    `helps` where that is above 0, `fails` where it is below 0 or within POINT of it, else that it cannot be told.
    """
    mean, count = float(np.mean(differences)), len(differences)
    half = T95.get(count, 2.2) * float(np.std(differences, ddof=1)) / count ** 0.5
    nothing = mean + half < 0 or max(abs(mean - half), abs(mean + half)) < POINT
    said = helps if mean - half > 0 else fails if nothing else "it cannot be told"
    return f"{said}, {100 * mean:+.1f} ± {100 * half:.1f} points"
