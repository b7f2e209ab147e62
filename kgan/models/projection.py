"""Projection: images of a class; D compares its features with a direction for each class (Miyato & Koyama 2018).

Miyato, Koyama 2018, "cGANs with Projection Discriminator", arXiv:1802.05637.

    python train.py --model=projection

The networks are dcgan's, smaller than the paper's: G's batch normalisation has a gain and a bias for each class, D is
f(x, y) = ψ(φ(x)) + vᵧ·φ(x) (section 3), φ the sum over the last maps, all of D spectrally normalised.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
from keras import layers, ops

from kgan.config import Loss, Scheduled
from kgan.gan import GAN
from kgan.layers import ConditionalBatchNormalization
from kgan.models import cgan, dcgan
from kgan.models._shapes import check_classes, check_shape


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    condition: str = "label"
    steps: int = 3_000
    loss: Loss = "hinge"
    noise_dim: int = 128
    beta_1: float = 0.0
    beta_2: Scheduled = 0.9
    discriminator_learning_rate: Scheduled = 4e-4
    discriminator_normalization: Literal["batch", "layer", "spectral", "none"] = "spectral"

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, discriminator_steps=5, generator_learning_rate="linear:2e-4:0",
                          discriminator_learning_rate="linear:2e-4:0", ema_decay=0.0),
    }


def build(shape=(28, 28, 1), config=None, seed=0, classes=tuple("0123456789"), **settings):
    """A GAN with a projection discriminator, for images. Arguments and errors as for cgan's convolutional networks."""
    config = Config.given(config, settings)
    check_classes(classes)
    check_shape(shape, "projection", odd=True)
    return GAN(generator(shape, config, len(classes)), discriminator(shape, config, len(classes)), config, seed, classes)


def generator(shape, config, classes):
    """noise [n, noise_dim] and label [n] -> images [n, H, W, C] in [-1, 1]."""
    given, one_hot = cgan.inputs(config, classes)
    images = dcgan.grow(given["noise"], shape, config, norm=lambda x: ConditionalBatchNormalization()([x, one_hot]))
    return keras.Model(given, images, name="generator")


def discriminator(shape, config, classes):
    """Images [n, H, W, C] and label [n] -> logits [n, 1]."""
    images = keras.Input(shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    features = ops.cast(ops.sum(dcgan.shrink(images, config), axis=(1, 2)), "float32")
    directions = dcgan.linear(ops.one_hot(label, classes), features.shape[-1], config, "directions", use_bias=False)
    match = layers.Dot(axes=-1, dtype="float32")([features, directions])
    logits = layers.Add(dtype="float32", name="logits")([dcgan.linear(features, 1, config, "score"), match])
    return keras.Model({"image": images, "label": label}, logits, name="discriminator")
