"""AgeCGAN: images with a given value of an ordered attribute such as age; an encoder edits real images (Antipov et al. 2017).

Antipov, Baccouche, Dugelay 2017, "Face Aging With Conditional Generative Adversarial Networks", arXiv:1702.01983.

    python train.py --model=agecgan                                           digits by the weight of their strokes
    python train.py --model=agecgan --set condition=slant
    python train.py --model=agecgan --dataset=mnist --set condition=thickness   measured on the images
    python train.py --model=agecgan --dataset=folder:PATH --set condition=age   of labels.csv or names.regex in the folder
    python -m kgan.edit runs/NAME IMAGE                                       an image at every value of the attribute

A number is cut into `bins` classes of equal counts. The networks are cgan's convolutional ones; the encoder's maps are
those of its discriminator, without the label.
"""
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan.config import Scheduled
from kgan.draws import ENCODER
from kgan.gan import GAN, deal
from kgan.models import cgan, dcgan
from kgan.models._shapes import check_classes, check_shape
from kgan.replicas import len_of


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    condition: str = "weight"
    steps: int = 5_000
    encoder_learning_rate: Scheduled = 1e-3
    encoder_units: int = 256  # of the encoder's hidden layer

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, kernel_size=5, generator_learning_rate=2e-4, encoder_learning_rate=2e-4,
                          ema_decay=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("encoder_units", 1)


@keras.saving.register_keras_serializable("kgan")
class AgeCGAN(GAN):
    """A conditional GAN with an encoder E from images to noise: E minimises |E(G(z, y)) - z|² on samples (section 2.2).

    The samples are the averaged generator's, as those that a person edits are; G and D know nothing of E.

    Args:
        encoder: built keras.Model from images to noise [n, noise_dim]. The others: see GAN.
    """

    Config = Config
    players = {**GAN.players, "encoder": ("encoder",)}

    told = ("encoder_loss",)

    def __init__(self, generator, discriminator, encoder, *args, **kwargs):
        super().__init__(generator, discriminator, *args, **kwargs)
        self.encoder = encoder

    def train_step(self, batch):
        super().train_step(batch)
        given = deal(self.given(batch), self.config.discriminator_steps)[0]
        noise = self.noise(len_of(given["label"]), stream=ENCODER)
        samples = self.make(noise, given)

        def loss():
            found = tf.cast(self.encoder(samples, training=True), tf.float32)
            error = tf.reduce_mean((found - noise) ** 2)
            self._means["encoder_loss"].update_state(error)
            return error

        self.minimize(loss, "encoder")
        return self.results()


def build(shape=(28, 28, 1), config=None, seed=0, classes=tuple("123456"), **settings):
    """An AgeCGAN for images. Arguments and errors as for cgan's convolutional networks; `classes` in their order."""
    config = Config.given(config, settings)
    check_classes(classes)
    check_shape(shape, "agecgan", odd=True)
    return AgeCGAN(cgan.convolutional_generator(shape, config, len(classes)),
                   cgan.convolutional_discriminator(shape, config, len(classes)), encoder(shape, config), config=config,
                   seed=seed, classes=classes)


def encoder(shape, config):
    """Images [n, H, W, C] in [-1, 1] -> noise [n, noise_dim]."""
    images = keras.Input(shape, name="image")
    alone = dataclasses.replace(config, minibatch_std=False)  # what an image was made from does not depend on its batch
    x = layers.Flatten()(dcgan.shrink(images, alone))
    x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(config.encoder_units)(x))
    return keras.Model(images, layers.Dense(config.noise_dim, dtype="float32", name="noise")(x), name="encoder")
