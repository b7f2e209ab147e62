"""SNGAN: spectral normalisation of the discriminator, hinge loss (Miyato et al. 2018).

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957, section 4 and table 3.

    python train.py --model=sngan                          with 32 filters, for a laptop
    python train.py --model=sngan --set preset=published

The networks are dcgan's, smaller than the paper's.
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.config import Loss, Scheduled
from kgan.models import dcgan


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    steps: int = 3_000  # each with five updates of D
    loss: Loss = "hinge"
    discriminator_steps: int = 5
    noise_dim: int = 128
    generator_learning_rate: Scheduled = "linear:2e-4:0"
    discriminator_learning_rate: Scheduled = "linear:2e-4:0"
    beta_1: float = 0.0
    beta_2: Scheduled = 0.9
    discriminator_normalization: Literal["batch", "layer", "spectral", "none"] = "spectral"

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, ema_decay=0.0),
    }


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """An SNGAN for images. Arguments and errors as for dcgan; what is not given is this model's."""
    return dcgan.build(shape, Config.given(config, settings), seed)
