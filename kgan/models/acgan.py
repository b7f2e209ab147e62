"""ACGAN: images of a class; D says which class it sees (Odena et al. 2016).

Odena, Olah, Shlens 2016, "Conditional Image Synthesis With Auxiliary Classifier GANs", arXiv:1610.09585.

    python train.py --model=acgan

The networks are dcgan's: G's are cgan's, D has a second linear layer for the class.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.config import Scheduled
from kgan.gan import GAN
from kgan.models import cgan, dcgan
from kgan.models._shapes import check_classes, check_shape


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    condition: str = "label"
    batch_size: int = 100
    steps: int = 4_000
    class_weight: Scheduled = 1.0  # weight of the class's cross-entropy

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, generator_learning_rate=2e-4, noise_dim=110, ema_decay=0.0),
    }


@keras.saving.register_keras_serializable("kgan")
class ACGAN(GAN):
    """Equations 2 and 3 of the paper: D and G both minimise the cross-entropy of the class beside the objective."""

    Config = Config

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._means["class_accuracy"] = keras.metrics.Mean("class_accuracy")  # of fakes, by D's own judgement

    def auxiliary(self, judged, given, noise=None):
        scores, label = judged["class"], given["label"]
        if noise is not None:
            right = tf.equal(tf.argmax(scores, 1, tf.int32), label)
            self._means["class_accuracy"].update_state(tf.cast(right, tf.float32))
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(label, scores)
        return self.now(self.config.class_weight) * tf.reduce_mean(entropy)


def build(shape=(28, 28, 1), config=None, seed=0, classes=tuple("0123456789"), **settings):
    """An ACGAN for images. Arguments and errors as for cgan's convolutional networks."""
    config = Config.given(config, settings)
    check_classes(classes)
    check_shape(shape, "acgan", odd=True)
    return ACGAN(cgan.convolutional_generator(shape, config, len(classes)), discriminator(shape, config, len(classes)),
                 config, seed, classes)


def discriminator(shape, config, classes):
    """Images -> a dict of `logits` [n, k] and `class`, the classes' logits [n, classes]."""
    images = keras.Input(shape, name="image")
    features = layers.Flatten()(dcgan.shrink(images, config))
    outputs = {"logits": dcgan.linear(features, config.discriminator_outputs, config, "logits"),
               "class": dcgan.linear(features, classes, config, "class")}
    return keras.Model(images, outputs, name="discriminator")
