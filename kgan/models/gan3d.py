"""3D-GAN: solids as voxels, by three-dimensional convolutions (Wu et al. 2016).

Wu, Zhang, Xue, Freeman, Tenenbaum 2016, "Learning a Probabilistic Latent Space of Object Shapes via 3D
Generative-Adversarial Modeling", arXiv:1610.07584; networks by their github.com/zck119/3dgan-release.

    python train.py --model=gan3d                    chairs, tables, shelves, lamps of boxes, 32³: 15 CPU minutes
    python train.py --model=gan3d --set preset=published --image_size=64        the paper's sizes; not trained yet

Of 32 samples of the first command a person names most; Fréchet distance in a classifier's features 7.1 (real ones: .26).
docs/recipes.md says what differs from the paper and why.
"""
import dataclasses
import math
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers

from kgan import kinds
from kgan.blocks import Conv3D, Conv3DTranspose
from kgan.config import Auto, ConfigError, Scheduled
from kgan.config import Config as BaseConfig
from kgan.gan import GAN
from kgan.layers import BatchNormalization
from kgan.metrics import overlap
from kgan.models._shapes import START, doublings
from kgan.replicas import replicas

OVERLAP = 1_000  # solids of each set that are compared with each other: a matrix of products of all their voxels


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop and 32³ voxels; `published` is the paper's, for 64³."""

    needs: ClassVar[dict] = {"voxels": "voxels"}

    preset: Literal["laptop", "published"] = "laptop"
    dataset: str = "solids"
    batch_size: int = 32
    steps: int = 2_500
    sample_every: int = 100
    evaluate_count: int = 1_000
    noise_dim: int = 64
    generator_learning_rate: Scheduled = "cosine:2e-3:5e-4"
    discriminator_learning_rate: Scheduled = 2e-4
    ema_decay: Scheduled = 0.99
    filters: int = 16  # of the widest maps, those nearest the voxels; doubled with each halving
    fill: float = 0.04  # share of voxels that an untrained G fills: about that of the data, or D tells them by that alone
    largest: bool = False  # whether pictures of each solid's largest connected part lie beside the sheets, and say so
    rest: float = 0.8  # D makes no step where it tells more than this share of the batch; 1: it makes each
    jit_compile: Auto = False  # XLA's three-dimensional convolutions are a hundred times slower on a CPU

    presets: ClassVar[dict] = {
        "laptop": {},
        # the paper's noise is U(0, 1): the same after the first layer's batch normalisation. Its G has no bias: fill .5
        "published": dict(filters=64, noise="uniform", noise_dim=200, batch_size=100, generator_learning_rate=2.5e-3,
                          discriminator_learning_rate=1e-5, fill=0.5, ema_decay=0.0),
    }

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        self._check("fill", above=0, below=1)
        self._check("rest", above=0)


@keras.saving.register_keras_serializable("kgan")
class GAN3D(GAN):
    """Section 3.2 of the paper: D is updated only where its accuracy in the batch is not above 80 %."""

    Config = Config
    measures = overlap.MEASURES

    def figures(self, evaluator, samples, asked=None):
        """How the solids resemble the real ones by IoU, of at most OVERLAP of each."""
        return overlap.compared(samples[:OVERLAP], evaluator.examples[:OVERLAP])

    def drawn(self, count, seed=0):
        if not getattr(self.config, "largest", False):
            return {}
        return {"largest": kinds.get("voxels").sheet(self.generate(count, seed), largest=True)}

    told = ("d_rest",)  # share of D's updates that were not made

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # what D tells of the parts of an update, summed. A variable, for the replicas' threads would share an attribute
        self._told = tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.MEAN,
                                 synchronization=tf.VariableSynchronization.ON_READ)

    def auxiliary(self, judged, given, noise=None):
        """No loss: notes what D tells."""
        right = judged["logits"] > 0 if noise is None else judged["logits"] < 0
        self._told.assign_add(tf.reduce_mean(tf.cast(right, tf.float32)) / 2)
        return 0.0

    def minimize(self, loss_function, player, parts=((),), tape=None):
        """As GAN's; but D rests: weights, Adam's moments and the mean of its gradients' norms are as if there had been no step.

        Several replicas, which cannot have a `tf.cond` around the step, and updates in parts make it and take it back.
        """
        if player != "discriminator" or self.config.rest >= 1:
            return super().minimize(loss_function, player, parts, tape)
        self._told.assign(0.0)
        if replicas() == len(parts) == 1:
            with tf.GradientTape() as seen:
                value = loss_function(*parts[0])
            rests = self._told > self.config.rest
            tf.cond(rests, lambda: None, lambda: super(GAN3D, self).minimize(lambda: value, player, tape=seen))
            self._means["d_rest"].update_state(tf.cast(rests, tf.float32))
            return
        variables = [*self.moved_by(player), *self.optimizer_of(player).variables, *self._means["d_gradient"].variables]
        before = [tf.identity(variable) for variable in variables]
        super().minimize(loss_function, player, parts, tape)
        told = tf.identity(self._told) / len(parts)
        if replicas() > 1:
            told = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, told)
        rests = told > self.config.rest
        for variable, value in zip(variables, before):
            variable.assign(tf.where(rests, value, variable))
        self._means["d_rest"].update_state(tf.cast(rests, tf.float32))


def build(shape=(32, 32, 32, 1), config=None, seed=0, **settings):
    """A 3D-GAN for voxels.

    Args:
        shape: (S, S, S, 1), S = 4, 5, 6 or 7·2^k with k ≥ 1: 16, 32, 64 among them.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        GAN, not compiled.

    Raises:
        ConfigError: the shape is none of those.
    """
    config = Config.given(config, settings)
    check_shape(shape, "gan3d")
    return GAN3D(generator(shape, config), discriminator(shape, config), config, seed)


def check_shape(shape, model):
    """Raises ConfigError unless these are cubes that the networks can be built for; `model`: its name, to be told."""
    sides = _sides(shape)
    if tuple(shape) != (shape[0],) * 3 + (1,) or len(sides) < 2 or sides[0] > START:
        raise ConfigError(f"{model} makes cubes of voxels whose sides can be halved down to 4 to {START}: 16, 32, 64 and others, "
                          f"not {'×'.join(map(str, shape))}")


def generator(shape, config):
    """noise [n, noise_dim] -> voxels [n, S, S, S, 1] in [0, 1]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    return keras.Model(noise, grow(noise, shape, config), name="generator")


def grow(x, shape, config):
    """Vectors [n, d] -> voxels [n, S, S, S, 1] in [0, 1]: doubles the size again and again."""
    sides = _sides(shape)
    widths = _widths(sides, config)[::-1]
    x = layers.Dense(sides[0]**3 * widths[0], use_bias=False, kernel_initializer=weights())(x)
    x = layers.ReLU()(_batch_norm()(layers.Reshape((sides[0],) * 3 + (widths[0],))(x)))
    for width in widths[1:]:
        x = layers.Conv3DTranspose(width, 4, 2, padding="same", use_bias=False, kernel_initializer=weights())(x)
        x = layers.ReLU()(_batch_norm()(x))
    start = keras.initializers.Constant(math.log(config.fill / (1 - config.fill)))
    x = Conv3DTranspose(1, 4, 2, padding="same", bias_initializer=start, kernel_initializer=weights())(x)
    return layers.Activation("sigmoid", dtype="float32", name="voxels")(x)


def discriminator(shape, config):
    """voxels [n, S, S, S, 1] in [0, 1] -> logits [n, k]: G's mirror."""
    voxels = keras.Input(config.packed(shape), name="voxels")
    x = layers.Flatten()(shrink(voxels, shape, config))
    # made after the others: a layer's initial weights depend on how many were made before
    logits = layers.Dense(config.discriminator_outputs, kernel_initializer=weights(), dtype="float32", name="logits")(x)
    return keras.Model(voxels, logits, name="discriminator")


def shrink(x, shape, config):
    """Voxels -> maps of D's last layer: halves the size again and again."""
    for i, width in enumerate(_widths(_sides(shape), config)):
        # the first is not normalised, and has a bias instead
        x = Conv3D(width, 4, 2, padding="same", use_bias=not i, kernel_initializer=weights())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(_batch_norm()(x) if i else x)
    return x


def _sides(shape):
    """Sides of the maps from the smallest up to the voxels."""
    return [side for side, _ in doublings((shape[0], shape[0]))]


def _widths(sides, config):
    """Widths of the maps of `sides`, the voxels themselves left out, from the largest down."""
    return [config.filters * 2**i for i in range(len(sides) - 1)]


def weights():
    return keras.initializers.RandomNormal(0.0, 0.02)


def _batch_norm():
    # statistics follow within tens of steps; Keras's own .99 would lag behind a short run
    return BatchNormalization(momentum=0.9, epsilon=1e-5)
