"""MLP: dense networks, for small images (presets small, deep) and for points (preset mixture).

Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661, with the networks of two PyTorch tutorials.

    python train.py --model=mlp --set preset=deep
    python train.py --model=mlp --dataset=ring          # or grid: they are trained with the preset mixture unless another is named
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import numpy as np
from keras import layers, ops

from kgan import kinds
from kgan.config import Config as BaseConfig
from kgan.config import ConfigError
from kgan.gan import GAN
from kgan.layers import MinibatchStdDev, SpectralDense


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The preset `small` is the first tutorial's: Adam 2e-4, batch 64, tanh and sigmoid, 100 epochs of MNIST."""

    preset: Literal["small", "deep", "mixture"] = "small"
    steps: int = 20_000  # 21 epochs of 60,000; the tutorials train 100 (small) and 300 (deep)
    steps_per_execution: int = 100
    sample_every: int = 1_000
    checkpoint_every: int = 1_000
    log_every: int = 100
    generator_units: tuple[int, ...] = (256,)
    discriminator_units: tuple[int, ...] = (256,)
    generator_activation: Literal["tanh", "relu", "leaky_relu"] = "tanh"
    discriminator_activation: Literal["sigmoid", "tanh", "relu", "leaky_relu"] = "sigmoid"
    output_activation: Literal["linear", "tanh"] = "linear"  # of points and signals; images always end in tanh
    binary_noise: int = 0  # how many numbers of the noise count only by their sign, so that G can jump between separate modes
    # how large points and signals are: what G makes is multiplied by this, what D sees divided. 0: train.py measures it, `fitted`;
    # 1 where there are no data to measure
    data_scale: float = 1.0
    init_scale: float = 1.0  # kernels start as U(±√(6·init_scale / (inputs + outputs))), 1 being Glorot's; biases as 0
    discriminator_normalization: Literal["none", "spectral"] = "none"
    minibatch_std: bool = False  # whether D sees how varied its batch is
    fourier_features: int = 0  # D also sees sin and cos of this many random projections of a point (Tancik et al. 2020)
    fourier_scale: float = 30.0  # highest of their frequencies, in radians per data_scale: about 1 / the finest detail

    suits: ClassVar[dict] = {"ring": "mixture", "grid": "mixture"}
    presets: ClassVar[dict] = {
        "small": {},
        "deep": dict(generator_units=(128, 256, 512), discriminator_units=(512, 256),
                     generator_activation="leaky_relu", discriminator_activation="leaky_relu"),
        # a large penalty keeps modes blurred until their weights are right; it falls slowly, so that they keep their weights
        # as they come apart; G slows down, so that they get their widths. It is for data from -1 to 1: `fitted` fits it to others
        "mixture": dict(dataset="ring", data_scale=0.0, noise_dim=16, binary_noise=12, generator_units=(128, 128, 128, 128),
                        generator_activation="relu", discriminator_units=(128, 128, 128),
                        discriminator_activation="leaky_relu", init_scale=2.0,
                        fourier_features=64, fourier_scale=60.0, loss="relativistic", penalty="r1+r2",
                        penalty_weight="exponential:0.025:1e-5:0.25:0.7", penalty_every=4,
                        generator_learning_rate="exponential:1e-3:5e-7:0.05:1",
                        discriminator_learning_rate=1e-3, beta_1=0.0, beta_2=0.99,
                        ema_decay=0.995, batch_size=256, steps=20_000, steps_per_execution=100),
    }

    def __post_init__(self):
        super().__post_init__()
        for name in ("generator_units", "discriminator_units"):
            if not all(units > 0 for units in getattr(self, name)):
                raise ConfigError(f"{name}={getattr(self, name)}: each must be at least 1")
        self._check("data_scale", 0)
        self._check("init_scale", above=0)
        if self.binary_noise > self.noise_dim:
            raise ConfigError(f"binary_noise={self.binary_noise}: must be at most noise_dim={self.noise_dim}")

    def fitted(self, examples):
        """The settings that follow from the data, a dict, where data_scale is left to them: the largest coordinate, rounded to a digit.

        The weight of a penalty on D's slope, which is per unit of the data, begins with the square of that, if it is the preset's.
        """
        if self.data_scale:
            return {}
        scale = float(f"{float(abs(examples).max()):.0e}") or 1.0
        weight, usual = self.penalty_weight, self.presets["mixture"]["penalty_weight"]
        if weight == usual:
            kind, start, rest = usual.split(":", 2)
            weight = f"{kind}:{float(start) * scale**2:g}:{rest}"
        return {"data_scale": scale, "penalty_weight": weight}


def build(shape=(28, 28, 1), config=None, seed=0, fields=None, **settings):
    """An MLP for data of any shape.

    Args:
        shape: (H, W, C) of images in [-1, 1], or (D,) of points and signals, which are not bounded.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default; for points in the plane that
            of the preset `mixture`.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).
        fields: dict of name -> kgan.kinds.Field of the data, which says whether they are points or signals; None: points have
            two numbers.

    Returns:
        GAN, not compiled.
    """
    if config is None and tuple(shape) == (2,):
        settings = {"preset": "mixture", **settings}
    config = Config.given(config, settings)
    kind = next((field.kind for field in (fields or {}).values() if field.shape == tuple(shape)), None) or kinds.guess(shape)
    return GAN(generator(shape, config, kind), discriminator(shape, config, kind), config, seed,
               fields={kinds.get(kind).FIELD: kinds.Field(kind, shape)})


def generator(shape, config, kind):
    """noise [n, noise_dim] -> images [n, H, W, C] in [-1, 1], or points [n, D]."""
    noise = x = keras.Input((config.noise_dim,), name="noise")
    x = BinaryNoise(config.binary_noise)(x) if config.binary_noise else x
    for units in config.generator_units:
        x = _activation(config.generator_activation)(_dense(units, config)(x))
    x = _dense(math.prod(shape), config)(x)
    bounded = kinds.get(kind).RANGE is not None
    if bounded:
        x = layers.Reshape(shape)(layers.Activation("tanh")(x))
    elif config.output_activation != "linear":
        x = layers.Activation(config.output_activation)(x)
    if not bounded and config.data_scale not in (0, 1):
        x = layers.Rescaling(config.data_scale)(x)
    samples = layers.Activation("linear", dtype="float32", name=kinds.get(kind).OUTPUT)(x)
    return keras.Model(noise, samples, name="generator")


def discriminator(shape, config, kind):
    """images [n, H, W, C] or points [n, D] -> logits [n, k]."""
    samples = keras.Input(config.packed(shape), name=kinds.get(kind).FIELD)
    layer = SpectralDense if config.discriminator_normalization == "spectral" else layers.Dense
    x = layers.Flatten()(samples)
    x = layers.Rescaling(1 / config.data_scale)(x) if kinds.get(kind).RANGE is None and config.data_scale not in (0, 1) else x
    x = FourierFeatures(config.fourier_features, config.fourier_scale)(x) if config.fourier_features else x
    for units in config.discriminator_units:
        x = _activation(config.discriminator_activation)(_dense(units, config, layer)(x))
    x = MinibatchStdDev()(x) if config.minibatch_std else x
    logits = _dense(config.discriminator_outputs, config, layer, dtype="float32", name="logits")(x)
    return keras.Model(samples, logits, name="discriminator")


@keras.saving.register_keras_serializable("kgan")
class BinaryNoise(layers.Layer):
    """Noise [n, d] -> the signs of its last `count` numbers, 1.0 or -1.0, after half of each of the others.

    What a continuous G makes of connected noise is connected too, so between modes that are not there are always samples
    of neither: Khayatkhoei et al. 2018, "Disconnected Manifold Learning for Generative Adversarial Networks", section 2;
    Tanielian et al. 2020, "Learning disconnected manifolds: a no GAN's land", bound precision by it. Signs make 2^count
    separate pieces of the noise. (Both papers go other ways: several generators; samples rejected. Bernoulli noise is
    among those that Brock et al. 2018, BigGAN, tried.) The others are halved: whole, they choose modes as well, and the
    samples between are there again (docs/recipes.md has figures).
    """

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = int(count)

    def call(self, noise):
        continuous, binary = noise[:, :-self.count], noise[:, -self.count:]
        return ops.concatenate([continuous / 2, ops.where(binary > 0, ops.ones_like(binary), -ops.ones_like(binary))], axis=-1)

    def get_config(self):
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable("kgan")
class FourierFeatures(layers.Layer):
    """x [n, D] -> [x, sin(xB), cos(xB)]; B [D, count]: random directions, lengths from 1 to `scale`, evenly in the log.

    A network of few inputs learns coarse functions long before fine ones; with these it sees both from the start (Tancik
    et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains"; there B is
    normal, of one scale).
    """

    def __init__(self, count, scale, **kwargs):
        super().__init__(**kwargs)
        self.count, self.scale = count, scale

    def build(self, shape):
        lengths = self.scale ** (np.arange(self.count) / max(1, self.count - 1))

        directions = keras.random.normal((shape[-1], self.count))
        frequencies = np.asarray(directions / ops.norm(directions, axis=0)) * lengths
        self.frequencies = self.add_weight(shape=(shape[-1], self.count), trainable=False, name="frequencies",
                                           initializer=lambda shape, dtype: ops.cast(frequencies, dtype))

    def call(self, x):
        angles = ops.matmul(x, self.frequencies)
        return ops.concatenate([x, ops.sin(angles), ops.cos(angles)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "scale": self.scale}


def _dense(units, config, layer=layers.Dense, **kwargs):
    return layer(units, kernel_initializer=keras.initializers.VarianceScaling(config.init_scale, "fan_avg", "uniform"),
                 **kwargs)


def _activation(name):
    return layers.LeakyReLU(negative_slope=0.2) if name == "leaky_relu" else layers.Activation(name)
