"""WGAN: the Wasserstein distance, with a critic whose weights are clipped (Arjovsky et al. 2017).

Arjovsky, Chintala, Bottou 2017, "Wasserstein GAN", arXiv:1701.07875, algorithm 1.

    python train.py --model=wgan                          with 32 filters, for a laptop
    python train.py --model=wgan --set preset=published

The networks are dcgan's.
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.config import Loss, Scheduled
from kgan.models import dcgan


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    steps: int = 3_000  # each with five updates of D
    loss: Loss = "wasserstein"
    weight_clip: float = 0.01
    discriminator_steps: int = 5  # the paper's code takes 100 for the first 25 steps and each 500th; here always 5
    optimizer: Literal["adam", "rmsprop", "sgd"] = "rmsprop"
    generator_learning_rate: Scheduled = 5e-5
    discriminator_learning_rate: Scheduled = 5e-5

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, ema_decay=0.0),
    }


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """A WGAN for images. Arguments and errors as for dcgan; what is not given is this model's."""
    return dcgan.build(shape, Config.given(config, settings), seed)
