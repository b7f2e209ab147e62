"""Whether pictures are what their captions asked for: a small network that reads digit, colour, size and slant off a picture.

It is the classifier of kgan.metrics.features with four ends, learned once with a seed of its own, and kept in the cache. It
learns from pictures of its own, of all pairs of digit and colour: of the training split it would learn that held-back pairs
do not occur, and read only 83 % of the digits of real ones.
"""
import keras
import numpy as np
from keras import layers

import kgan
from kgan.data import captions
from kgan.metrics import features

SEEN, COUNT, SEED = 60_000, 20_000, 1  # examples in all; of so many different ones; of these


def figures(evaluator, samples):
    """Shares of samples that are as their captions say, a dict; {} of other data than captioned glyphs.

    Args:
        evaluator: kgan.metrics.Evaluator, whose `given` has the captions.
        samples: float [n, H, W, 3] in [-1, 1], the i-th of the i-th caption.
    """
    train = evaluator.train
    if not {*captions.ATTRIBUTES} <= {*train.classes} or "caption" not in evaluator.given:
        return {}
    asked = captions.attributes(evaluator.given["caption"][:len(samples)], train.more["caption"]["words"])
    return shares(asked, read(train, samples))


def shares(asked, found):
    """`caption_NAME` and `unseen_NAME` for each attribute and for `all` of them, of int [n, 4] each; none of no examples."""
    right, unseen = asked == found, captions.held_back(asked)
    result = {}
    for word, rows in (("caption", ~unseen), ("unseen", unseen)):
        if rows.any():
            result.update({f"{word}_{name}": float(share) for name, share in zip(captions.ATTRIBUTES, right[rows].mean(0))},
                          **{f"{word}_all": float(right[rows].all(1).mean())})
    return result


def read(train, images):
    """What pictures show, int [n, 4] in the order of kgan.data.captions.ATTRIBUTES.

    Args:
        train: Source of captioned glyphs, whose size counts.
        images: float [n, H, W, 3] in [-1, 1], or uint8.
    """
    network = _network(train.shape)
    found = [network.predict_on_batch(features.viewed("image", np.asarray(images[i:i + 250]))) for i in range(0, len(images), 250)]
    return np.stack([np.concatenate([part[name].argmax(1) for part in found]) for name in captions.ATTRIBUTES], 1)


def features_of(train, images):
    """What the network that reads them knows of pictures, float32 [n, UNITS]. Arguments as for `read`."""
    network = _network(train.shape)
    return features.of_images(keras.Model(network.input, network.get_layer("features").output), images)


def _network(shape):
    key = dict(kind="reader", version=2, seen=SEEN, count=COUNT, seed=SEED, batch=features.BATCH, rate=features.RATE, shape=list(shape))
    return features.kept("reader-captions", key, lambda: _built(shape), lambda network, folder: _learn(network, shape, folder))


def _built(shape):
    base = features.network(shape, 1)
    x = base.get_layer("features").output
    ends = {name: layers.Dense(len(words), kernel_initializer=keras.initializers.GlorotUniform(seed=100 + i), name=name)(x)
            for i, (name, words) in enumerate(captions.ATTRIBUTES.items())}
    return keras.Model(base.input, ends)


def _learn(network, shape, folder):
    train = captions.source(shape[0], "test", COUNT, SEED)  # the split that has all pairs, but drawn anew
    batch = min(features.BATCH, len(train))
    steps = SEEN // batch
    network.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(features.RATE, steps)),
                    {name: keras.losses.SparseCategoricalCrossentropy(from_logits=True) for name in captions.ATTRIBUTES})
    data = kgan.data.batches(train, batch, repeat=True).map(
        lambda examples: (examples["image"], {name: examples[name] for name in captions.ATTRIBUTES}))
    features.teach(network, data, steps, folder, "reader     training a classifier of what captions say", "the classifier")
