"""What a classifier says of an example: the probability of each class, float32 [K]; `Field.classes` has their names."""
import json

import numpy as np

FIELD = OUTPUT = "verdict"
RANGE = (0.0, 1.0)
# how many times larger than elsewhere the difference of an exported file may be: of images that were made to lie at the border of
# classes, by another network of the file, a classifier's probability changes by ten times as much as a pixel
STEEP = 10
MEDIA = {"application/json": ".json"}
SUFFIXES = ()


def scale(values):
    return values


def store(values):
    return np.asarray(values, np.float32)


def write(sample, media="application/json"):
    """A JSON list of the probabilities, in the order of the classes."""
    return json.dumps([round(float(value), 6) for value in np.asarray(sample)]).encode()


def images(samples):
    return None


def examples(field, count, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(field.shape[-1]), count).astype(np.float32)
