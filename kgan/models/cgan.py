"""CGAN: images of a class; the label is joined to the noise and to what D sees (Mirza & Osindero 2014).

Mirza, Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.

    python train.py --model=cgan                                  digits 0 to 9, a row each
    python train.py --model=cgan --set condition=font             of glyphs: a row a type face
    python train.py --model=cgan --set preset=dense --dataset=mnist

The networks are dcgan's: to G's noise the label is joined one-hot, to D's image as one more map, which is learned for
each class. The preset `dense` has the paper's networks, with LeakyReLU for maxout, Adam for SGD and no dropout.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
from keras import layers, ops

from kgan.gan import GAN
from kgan.models import dcgan
from kgan.models._shapes import check_classes, check_shape


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "dense"] = "laptop"
    condition: str = "label"
    steps: int = 5_000
    networks: Literal["convolutional", "dense"] = "convolutional"

    presets: ClassVar[dict] = {
        "laptop": {},
        "dense": dict(networks="dense", batch_size=100, noise="uniform", generator_learning_rate=2e-4, steps=20_000),
    }


def build(shape=(28, 28, 1), config=None, seed=0, classes=tuple("0123456789"), **settings):
    """A conditional GAN for images.

    Args:
        shape: (H, W, C) of images in [-1, 1], H and W from 8 on; dense networks take any.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise.
        classes: names of the classes.

    Returns:
        GAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    check_classes(classes)
    if config.networks == "convolutional" or len(shape) != 3:
        check_shape(shape, "cgan", odd=True)
    generator, discriminator = {"convolutional": (convolutional_generator, convolutional_discriminator),
                                "dense": (dense_generator, dense_discriminator)}[config.networks]
    return GAN(generator(shape, config, len(classes)), discriminator(shape, config, len(classes)), config, seed, classes)


def inputs(config, classes):
    """G's inputs, noise [n, noise_dim] and label [n], and the label one-hot, [n, classes]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    label = keras.Input((), dtype="int32", name="label")
    return {"noise": noise, "label": label}, ops.one_hot(label, classes)


def convolutional_generator(shape, config, classes):
    given, one_hot = inputs(config, classes)
    images = dcgan.grow(layers.Concatenate()([given["noise"], one_hot]), shape, config)
    return keras.Model(given, images, name="generator")


def convolutional_discriminator(shape, config, classes):
    images = keras.Input(shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    plane = layers.Dense(math.prod(shape[:2]), name="plane")(ops.one_hot(label, classes))
    x = layers.Concatenate()([images, layers.Reshape((*shape[:2], 1))(plane)])
    logits = dcgan.linear(layers.Flatten()(dcgan.shrink(x, config)), config.discriminator_outputs, config, "logits")
    return keras.Model({"image": images, "label": label}, logits, name="discriminator")


def dense_generator(shape, config, classes):
    given, one_hot = inputs(config, classes)
    x = layers.Concatenate()([_hidden(given["noise"], 200), _hidden(one_hot, 1000)])
    x = layers.Dense(math.prod(shape))(_hidden(x, 1200))
    images = layers.Activation("tanh", dtype="float32", name="images")(layers.Reshape(shape)(x))
    return keras.Model(given, images, name="generator")


def dense_discriminator(shape, config, classes):
    images = keras.Input(shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    x = layers.Concatenate()([_hidden(layers.Flatten()(images), 240), _hidden(ops.one_hot(label, classes), 50)])
    logits = layers.Dense(config.discriminator_outputs, dtype="float32", name="logits")(_hidden(x, 240))
    return keras.Model({"image": images, "label": label}, logits, name="discriminator")


def _hidden(x, units):
    return layers.LeakyReLU(negative_slope=0.2)(layers.Dense(units)(x))
