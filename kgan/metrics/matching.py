"""R-precision: whether a picture's own caption is nearer to it than 99 others, by a small encoder of both.

Xu, Zhang, Huang, Zhang, Gan, Huang, He 2018, "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative
Adversarial Networks", arXiv:1711.10485, with R = 1. The encoder is learned once from the training split, with a seed of its
own, and kept in the cache: no GAN has seen it, nor does it know one. Other encoders give other figures: compare what one has
measured, and with what real pictures score.
"""
import functools

import keras
import numpy as np
from keras import layers, ops

import kgan
from kgan.metrics import features

SEEN, BATCH, RATE = 60_000, 128, 2e-3  # pairs in all; a batch; Adam's peak rate
DIM, SHARP = 64, 10.0  # numbers of a code; 1 / temperature


def figures(evaluator, samples):
    """`r_precision` of samples float [n, H, W, C], the i-th of the evaluator's i-th caption; {} without captions."""
    if "caption" not in evaluator.given or evaluator.train.kind != "image":
        return {}
    caption = np.asarray(evaluator.given["caption"][:len(samples)])
    return {"r_precision": r_precision(*codes(evaluator.train, samples, caption), caption)}


def r_precision(images, texts, caption, count=100, seed=0):
    """The share of images whose own caption is the nearest of `count`: it, and others that are worded otherwise.

    Args:
        images, texts: codes, float [n, d] each; the larger their product, the nearer.
        caption: int [n, T], from which it is seen which are the same.
        count: of captions, the image's own with them; fewer where there are not as many.
        seed: of which others.
    """
    rng, right = np.random.default_rng(seed), []
    same = np.unique(caption, axis=0, return_inverse=True)[1].ravel()
    for image, text, group in zip(images, texts, same):
        others = np.flatnonzero(same != group)
        if len(others):
            others = rng.choice(others, min(count - 1, len(others)), replace=False)
            right.append(image @ text > (texts[others] @ image).max())
    return float(np.mean(right)) if right else np.nan


def codes(train, images, caption):
    """(codes of images, codes of captions), float32 [n, DIM] each, of length 1."""
    network = _network(train)
    towers = [keras.Model(network.inputs[i], network.get_layer(name).output) for i, name in enumerate(("image", "text"))]
    texts = np.concatenate([towers[1].predict_on_batch(np.asarray(caption[i:i + 250])) for i in range(0, len(caption), 250)])
    return features.of_images(towers[0], images), texts


def _network(train):
    words, length = len(train.more["caption"]["words"]), train.arrays["caption"].shape[1]
    key = dict(kind="matching", version=1, seen=SEEN, batch=BATCH, rate=RATE, dim=DIM, sharp=SHARP, shape=list(train.shape),
               words=words, length=length, data=features._digest(train, ("caption",)))
    return features.kept(f"matching-{train.name}", key, lambda: _built(train.shape, words, length),
                         lambda network, folder: _learn(network, train, folder))


def _built(shape, words, length):
    """image and caption -> what the i-th image and the j-th caption have in common, [n, n]."""
    seeds = iter(range(200, 300))
    dense, convolution = (functools.partial(layer, kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)))
                          for layer in (layers.Dense, layers.Conv1D))
    seen = features.network(shape, 1)
    image = layers.UnitNormalization(name="image")(dense(DIM)(seen.get_layer("features").output))
    caption = keras.Input((length,), dtype="int32")
    x = layers.Embedding(words, 32, embeddings_initializer=keras.initializers.RandomNormal(0, 1, seed=next(seeds)))(caption)
    x = layers.GlobalMaxPooling1D()(convolution(2 * DIM, 3, padding="same", activation="relu")(x))
    text = layers.UnitNormalization(name="text")(dense(DIM)(x))
    return keras.Model([seen.input, caption], SHARP * ops.matmul(image, ops.transpose(text)))


def _loss(caption, scores):
    """Cross-entropy of each image's caption among all, and of each caption's image: Radford et al. 2021 (CLIP)."""
    own = ops.arange(ops.shape(scores)[0])
    # the same caption of another picture is no wrong answer
    same = ops.all(ops.equal(ops.expand_dims(caption, 1), ops.expand_dims(caption, 0)), -1)
    scores = ops.where(ops.logical_and(same, own[:, None] != own[None]), -1e9, scores)
    return sum(ops.mean(keras.losses.sparse_categorical_crossentropy(own, each, from_logits=True)) for each in (
        scores, ops.transpose(scores)))


def _learn(network, train, folder):
    batch = min(BATCH, len(train))
    steps = SEEN // batch
    network.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)), _loss)
    data = kgan.data.batches(train, batch, repeat=True).map(
        lambda examples: ((examples["image"], examples["caption"]), examples["caption"]))
    features.teach(network, data, steps, folder, "matching   training an encoder of pictures and captions", "the encoder")
