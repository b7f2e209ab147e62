"""Conditional 3D-GAN: solids as voxels, asked for a class (Wu et al. 2016; Miyato & Koyama 2018).

The networks are gan3d's. To G's noise the label is joined one-hot; D compares its features with a direction for each class, as in
kgan.models.projection. The paper trains a network for each class instead; one for all shares what they have in common.

    python train.py --model=cgan3d                   chairs, tables, shelves, lamps, a row each

Not trained to the end yet: docs/results.md has no figures of it.
"""
import dataclasses

import keras
from keras import layers, ops

from kgan.models import gan3d


@dataclasses.dataclass(frozen=True)
class Config(gan3d.Config):
    condition: str = "label"


def build(shape=(32, 32, 32, 1), config=None, seed=0, classes=("chair", "table", "shelf", "lamp"), **settings):
    """A conditional 3D-GAN. Arguments and errors as for gan3d; `classes`: their names. Returns GAN3D, not compiled."""
    config = Config.given(config, settings)
    gan3d.check_shape(shape, "cgan3d")
    return gan3d.GAN3D(generator(shape, config, len(classes)), discriminator(shape, config, len(classes)), config, seed, classes)


def generator(shape, config, classes):
    """noise [n, noise_dim] and label [n] -> voxels [n, S, S, S, 1] in [0, 1]."""
    given = {"noise": keras.Input((config.noise_dim,), name="noise"), "label": keras.Input((), dtype="int32", name="label")}
    joined = layers.Concatenate()([given["noise"], ops.one_hot(given["label"], classes)])
    return keras.Model(given, gan3d.grow(joined, shape, config), name="generator")


def discriminator(shape, config, classes):
    """voxels [n, S, S, S, 1] in [0, 1] and label [n] -> logits [n, 1]."""
    given = {"voxels": keras.Input(shape, name="voxels"), "label": keras.Input((), dtype="int32", name="label")}
    features = layers.Flatten(dtype="float32")(gan3d.shrink(given["voxels"], shape, config))
    options = dict(kernel_initializer=gan3d.weights(), dtype="float32")
    directions = layers.Dense(features.shape[-1], use_bias=False, name="directions", **options)(ops.one_hot(given["label"], classes))
    match = layers.Dot(axes=-1, dtype="float32")([features, directions])
    logits = layers.Add(dtype="float32", name="logits")([layers.Dense(1, name="score", **options)(features), match])
    return keras.Model(given, logits, name="discriminator")
