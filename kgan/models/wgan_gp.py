"""WGAN-GP: the Wasserstein distance with a gradient penalty (Gulrajani et al. 2017).

Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv:1704.00028, algorithm 1; the rates
are those of its MNIST program.

    python train.py --model=wgan_gp                          with 32 filters, for a laptop
    python train.py --model=wgan_gp --set preset=published

The networks are dcgan's, without normalisation in the critic (section 4).
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.config import Loss, Penalty, Scheduled
from kgan.models import dcgan


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    batch_size: int = 50
    steps: int = 3_000  # each with five updates of D
    loss: Loss = "wasserstein"
    penalty: Penalty = "gp"
    penalty_weight: Scheduled = 10.0
    discriminator_steps: int = 5
    generator_learning_rate: Scheduled = 1e-4
    discriminator_learning_rate: Scheduled = 1e-4
    beta_2: Scheduled = 0.9
    discriminator_normalization: Literal["batch", "layer", "spectral", "none"] = "none"

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, ema_decay=0.0),
    }


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """A WGAN-GP for images. Arguments and errors as for dcgan; what is not given is this model's."""
    return dcgan.build(shape, Config.given(config, settings), seed)
