"""MLP: dense networks, for small images (presets small, deep) and for points (preset mixture).

Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661, with the networks of two PyTorch tutorials.

    python train.py --model=mlp --set preset=deep
    python train.py --model=mlp --set preset=mixture --dataset=ring
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError
from kgan.gan import GAN

@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The preset `small` is the first tutorial's: Adam 2e-4, batch 64, tanh and sigmoid, 100 epochs of MNIST."""

    preset: Literal["small", "deep", "mixture"] = "small"
    steps: int = 20_000  # 21 epochs of 60,000; the tutorials train 100 (small) and 300 (deep)
    steps_per_execution: int = 10
    sample_every: int = 1_000
    checkpoint_every: int = 1_000
    log_every: int = 100
    generator_units: tuple[int, ...] = (256,)
    discriminator_units: tuple[int, ...] = (256,)
    generator_activation: Literal["tanh", "relu", "leaky_relu"] = "tanh"
    discriminator_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu"] = "sigmoid"
    output_activation: Literal["linear", "tanh"] = "linear"  # of points and signals; images always end in tanh
    init_scale: float = 1.0  # kernels start as U(±√(6·init_scale / (inputs + outputs))), 1 being Glorot's; biases as 0
    weight_clip: float = 0.0  # every weight of both networks is cut to ± this after each update; 0: not at all

    presets: ClassVar[dict] = {
        "small": {},
        "deep": dict(generator_units=(128, 256, 512), discriminator_units=(512, 256),
                     generator_activation="leaky_relu", discriminator_activation="leaky_relu"),
        "mixture": dict(dataset="ring", noise_dim=2, generator_units=(256, 256, 256),
                        discriminator_units=(256, 256, 256), generator_activation="relu",
                        discriminator_activation="leaky_relu"),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("generator_units", "discriminator_units"):
            if not all(units > 0 for units in getattr(self, name)):
                raise ConfigError(f"{name}={getattr(self, name)}: each must be at least 1")
        if not 0 < self.init_scale < float("inf"):
            raise ConfigError(f"init_scale={self.init_scale}: must be above 0")
        if not 0 <= self.weight_clip < float("inf"):
            raise ConfigError(f"weight_clip={self.weight_clip}: must be at least 0")


def build(shape=(28, 28, 1), config=None, seed=0):
    """An MLP for data of any shape.

    Args:
        shape: (H, W, C) of images in [-1, 1], or (D,) of points and signals, which are not bounded.
        config: Config; None: the defaults.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        GAN, not compiled.
    """
    config = config or Config()
    return GAN(generator(shape, config), discriminator(shape, config), config, seed)


def generator(shape, config):
    """noise [n, noise_dim] -> images [n, H, W, C] in [-1, 1], or points [n, D]."""
    noise = x = keras.Input((config.noise_dim,), name="noise")
    for units in config.generator_units:
        x = _activation(config.generator_activation)(_dense(units, config)(x))
    x = _dense(math.prod(shape), config)(x)
    if len(shape) == 3:
        x = layers.Reshape(shape)(layers.Activation("tanh")(x))
    elif config.output_activation != "linear":
        x = layers.Activation(config.output_activation)(x)
    samples = layers.Activation("linear", dtype="float32", name="images" if len(shape) == 3 else "samples")(x)
    return keras.Model(noise, samples, name="generator")


def discriminator(shape, config):
    """images [n, H, W, C] or points [n, D] -> logits [n, 1]."""
    samples = keras.Input(shape, name="image" if len(shape) == 3 else "sample")
    x = layers.Flatten()(samples)
    for units in config.discriminator_units:
        x = _activation(config.discriminator_activation)(_dense(units, config)(x))
    logits = _dense(1, config, dtype="float32", name="logits")(x)
    return keras.Model(samples, logits, name="discriminator")


@keras.saving.register_keras_serializable("kgan")
class Clip(keras.constraints.Constraint):
    """Cuts every value of a weight to [-bound, bound]; keras applies it after each update."""

    def __init__(self, bound):
        self.bound = bound

    def __call__(self, weight):
        return ops.clip(weight, -self.bound, self.bound)

    def get_config(self):
        return {"bound": self.bound}


def _dense(units, config, **kwargs):
    clip = Clip(config.weight_clip) if config.weight_clip else None
    return layers.Dense(units, kernel_initializer=keras.initializers.VarianceScaling(
        config.init_scale, "fan_avg", "uniform"), kernel_constraint=clip, bias_constraint=clip, **kwargs)


def _activation(name):
    return layers.LeakyReLU(negative_slope=0.2) if name == "leaky_relu" else layers.Activation(name)
