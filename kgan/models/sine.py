"""Sine: generates signals m·sin(x0 + f·i) of ten values, the smallest GAN there is.

After a NumPy tutorial. The preset `tutorial` is its network and its settings; the default is one that learns the data.
The networks are mlp's.

    python train.py --model=sine
    python train.py --model=sine --set preset=tutorial
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.models import mlp


@dataclasses.dataclass(frozen=True)
class Config(mlp.Config):
    preset: Literal["default", "tutorial"] = "default"
    dataset: str = "sine"
    batch_size: int = 256
    steps: int = 30_000
    steps_per_execution: int = 100
    log_every: int = 500
    sample_every: int = 5_000
    checkpoint_every: int = 5_000
    noise_dim: int = 8
    generator_units: tuple[int, ...] = (128, 128, 128)
    discriminator_units: tuple[int, ...] = (128, 128, 128)
    generator_activation: Literal["tanh", "relu", "leaky_relu"] = "leaky_relu"
    discriminator_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu"] = "leaky_relu"

    presets: ClassVar[dict] = {"default": {}, "tutorial": {}}


build = mlp.build
