"""Sine: generates signals m·sin(x0 + f·i) of ten values, the smallest GAN there is.

After a NumPy tutorial. The preset `tutorial` is its network and its settings; the default is one that learns the data.
The networks are mlp's.

    python train.py --model=sine                          47 s of CPU: 1 to 3 minutes on two busy CPU cores
    python train.py --model=sine --set preset=tutorial    38 s
    python benchmarks/sine.py [--preset=tutorial]         what follows; its docstring is the protocol

Of 1,000 generated signals, the share that fits some m·sin(x0 + f·i) with a residual RMS below .05, and the share of the
ranges of m and f that those cover (a perfect sampler: 1.000, 1.00, 1.00):

    preset      seed       fit                   coverage of m        coverage of f
    default     0 1 2 3    1.000 each            1.00 each            1.00 each
    tutorial    0 1 2      .000  .805  .807      .00  .50  .80        .00  .45  .60

The default's median RMS is .003, and 99.6 % or more of its signals have m and f in the data's range, give or take 5 %
of its length. The tutorial's one number of noise can make a curve through (x0, f, m) at best; with seed 0 all its
signals have one frequency, 1.38, and residuals from .07 up.
"""
import dataclasses
from typing import ClassVar, Literal

from kgan.config import Auto
from kgan.models import mlp


@dataclasses.dataclass(frozen=True)
class Config(mlp.Config):
    preset: Literal["default", "tutorial"] = "default"
    dataset: str = "sine"
    batch_size: int = 256
    jit_compile: Auto = True  # of networks this small XLA joins what else would be hundreds of operations
    steps: int = 8_000
    steps_per_execution: int = 100
    log_every: int = 200
    sample_every: int = 1_000
    checkpoint_every: int = 2_000
    noise_dim: int = 8
    beta_1: float = 0.0  # with .5 m kept drawing together: its spread was .78 at step 10,000, not .89
    generator_units: tuple[int, ...] = (128, 128, 128)
    discriminator_units: tuple[int, ...] = (128, 128, 128)
    generator_activation: Literal["tanh", "relu", "leaky_relu"] = "leaky_relu"
    discriminator_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu"] = "leaky_relu"

    presets: ClassVar[dict] = {
        "default": {},
        # the tutorial's values, with logits in place of D's sigmoid. Its noise is not known to us; this is N(0, 1)
        "tutorial": dict(
            noise_dim=1, generator_units=(10, 10), discriminator_units=(10, 10),
            generator_activation="relu", discriminator_activation="leaky_relu", output_activation="tanh",
            init_scale=1 / 3,  # U(±√(2 / (inputs + outputs)))
            optimizer="sgd", generator_learning_rate=0.01, discriminator_learning_rate=0.01, clipnorm=0.2,
            weight_clip=0.25, generator_weight_clip=0.25, batch_size=1, steps=50_000, ema_decay=0.0, sample_every=5_000,
            checkpoint_every=5_000,
        ),
    }


def build(shape=(10,), config=None, seed=0, fields=None, **settings):
    """A GAN for signals. Arguments and errors as for mlp; what is not given is this model's."""
    return mlp.build(shape, Config.given(config, settings), seed, fields)
