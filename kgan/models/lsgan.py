"""LSGAN: least squares in place of cross-entropy (Mao et al. 2017).

Mao et al. 2017, "Least Squares Generative Adversarial Networks", arXiv:1611.04076, equation 9.

    python train.py --model=lsgan                          with 32 filters, for a laptop
    python train.py --model=lsgan --set preset=published

The networks are dcgan's.
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.config import Loss, Scheduled
from kgan.models import dcgan


@dataclasses.dataclass(frozen=True)
class Config(dcgan.Config):
    preset: Literal["laptop", "published"] = "laptop"
    loss: Loss = "least_squares"
    generator_learning_rate: Scheduled = 2e-4

    presets: ClassVar[dict] = {
        "laptop": {},
        "published": dict(filters=64, ema_decay=0.0),
    }


def build(shape=(28, 28, 1), config=None, seed=0, **settings):
    """An LSGAN for images. Arguments and errors as for dcgan; what is not given is this model's."""
    return dcgan.build(shape, Config.given(config, settings), seed)
