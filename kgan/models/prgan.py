"""PrGAN: solids as voxels, learned from silhouettes alone; nobody says of which solid one is, or from where (Gadelha et al. 2016).

Gadelha, Maji, Wang 2016, "3D Shape Induction from 2D Views of Multiple Objects", arXiv:1612.05872; details by
github.com/matheusgadelha/PrGAN.

    python train.py --model=prgan                                            silhouettes of the built-in solids
    python train.py --model=prgan --dataset=folder:MASKS --image_size=32 --channels=1          white on black, upright

G makes a solid; it is turned to one of eight sides and projected to a mask, and D, which sees masks alone, tells those from real ones.
What is exported are the solids. The default, 4.6 CPU minutes, makes ragged tables, lamps and shelves, half as full as real ones and far from
gan3d's, which sees solids: MMD by IoU .75 against .42. Twice as many steps are no better (docs/results.md).
"""
import dataclasses
import statistics
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from kgan import kinds
from kgan.config import Auto, ConfigError, Scheduled
from kgan.config import Config as BaseConfig
from kgan.data import silhouettes
from kgan.data.solids import source
from kgan.layers import BatchNormalization, Conv2D
from kgan.metrics import overlap
from kgan.models import gan3d
from kgan.models._shapes import START, doublings
from kgan.replicas import replicas


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop, and masks of 32×32 pixels."""

    needs: ClassVar[dict] = {"image": "image"}

    dataset: str = "silhouettes"
    batch_size: int = 32
    steps: int = 1_500  # updates of the generator; 3,000 were no better
    sample_every: int = 100
    evaluate_count: int = 1_000
    noise_dim: int = 65  # the last number says from where the solid is seen; the paper's 201 likewise
    generator_learning_rate: Scheduled = "cosine:2e-3:5e-4"
    discriminator_learning_rate: Scheduled = 2e-4
    ema_decay: Scheduled = 0.99
    filters: int = 16  # of G's maps nearest the voxels, and of D's nearest the pixels; doubled with each halving
    fill: float = 0.01  # share of voxels that an untrained G fills: of more, silhouettes begin as one white square
    density: float = 2.0  # how little a voxel lets through: of a mask's pixel 1 - exp(-density · Σ) is white; the paper's is 1
    # G's reward for each voxel that it fills: where no mask shows that there is nothing, there shall be something, as in the visual hull, the
    # fullest of all solids with the same masks. Of 32³ .5 changed nothing, and of 16³ 5 filled the whole cube (docs/recipes.md)
    fullness: float = 0.0
    rest: float = 0.8  # D makes no step where it tells more than this share of the batch; 1: it makes each
    jit_compile: Auto = False  # XLA's three-dimensional convolutions are a hundred times slower on a CPU

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        self._check("fill", above=0, below=1)
        self._check("density", above=0)
        self._check("rest", above=0)
        self._check("noise_dim", 2)
        self._check("fullness", 0)

    def fitted(self, examples):
        """No setting follows from the data; but photographs, which are no masks, are warned of."""
        import warnings
        grey = float((abs(examples) < 0.75).mean())
        if grey > 0.1:  # as of masks in files, kgan.kinds.mask
            warnings.warn(f"prgan learns from masks, white where the solid is and else black, and {100 * grey:.0f} % of these pixels are grey",
                          stacklevel=2)
        return {}


@keras.saving.register_keras_serializable("kgan")
class PrGAN(gan3d.GAN3D):
    """To the game G makes masks. The solids that these are of are what its inner network `solid` makes."""

    Config = Config
    measures = overlap.MEASURES

    def solids(self, count, seed=0):
        """Solids of the averaged generator, float32 [count, S, S, S, 1] in [0, 1]: those whose masks `generate` gives."""
        network, noise = self.exported("generator"), self.latents(count, seed)
        return np.concatenate([network(noise[i:i + 100], training=False) for i in range(0, count, 100)])

    def exports(self):
        return {"generator": "solid", "silhouette": "generator"}

    def exported(self, function):
        return self.ema_generator.get_layer("solid") if function == "generator" else self.ema_generator

    def described(self, function):
        inputs, outputs = super().described("silhouette")
        side = self.fields["image"].shape[0]
        return inputs, outputs if function == "silhouette" else {"voxels": kinds.Field("voxels", (side,) * 3 + (1,))}

    def drawn(self, count, seed=0):
        voxels = kinds.get("voxels")
        return {"solids": voxels.sheet(self.solids(min(count, voxels.SHOWN), seed))}

    def figures(self, evaluator, samples, asked=None):
        """Of the built-in silhouettes, whose solids are known: those of `solids` and as many of the test split, compared by IoU."""
        return self._beside(evaluator, lambda: self.solids(evaluator.count))

    def real_figures(self, evaluator, examples, asked=None):
        """The same of as many solids of the training split."""
        return self._beside(evaluator, lambda: source(self.fields["image"].shape[0]).arrays["voxels"][:evaluator.count])

    def _beside(self, evaluator, solids):
        if evaluator.train.name != "silhouettes":
            return {}
        true = source(self.fields["image"].shape[0], "test", evaluator.count).arrays["voxels"]
        return overlap.compared(solids(), true, alike)


def alike(solids):
    """A list of solids [n, S, S, S, 1] that silhouettes from eight sides do not tell apart: as they are and mirrored, turned about z by 0°,
    45° … 315°, of which each pair takes the best. What a turn by 45° brings beyond the rim is lost.
    """
    side = solids.shape[1]
    middle = np.arange(side) + 0.5 - side / 2
    x, y = np.meshgrid(middle, middle, indexing="ij")
    places = [np.rint((one + side / 2) - 0.5).astype(int) for one in ((x - y) * np.sqrt(0.5), (x + y) * np.sqrt(0.5))]
    within = np.all([(place >= 0) & (place < side) for place in places], 0)
    i, j = (np.clip(place, 0, side - 1) for place in places)
    askew = np.where(within[..., None, None], np.asarray(solids)[:, i, j], 0)
    return [np.rot90(some[:, ::way], k, (1, 2)) for some in (np.asarray(solids), askew) for way in (1, -1) for k in range(4)]


def build(shape=(32, 32, 1), config=None, seed=0, **settings):
    """A PrGAN for masks.

    Args:
        shape: (S, S, 1) of the masks, S = 4, 5, 6 or 7·2^k with k ≥ 1. The solids have S×S×S voxels.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise (the weights come from keras's own seed, `keras.utils.set_random_seed`).

    Returns:
        PrGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those, or `fullness` is asked for in mixed_float16.
    """
    config = Config.given(config, settings)
    sides = doublings(tuple(shape[:2])) if len(shape) == 3 else ()
    if tuple(shape) != (shape[0],) * 2 + (1,) or len(sides) < 2 or sides[0][0] > START:
        raise ConfigError("prgan learns from square masks of one channel (--channels=1) whose sides can be halved down to 4 to "
                          f"{START}: 16, 32, 64 and others, not {'×'.join(map(str, shape))}")
    if config.fullness and keras.config.dtype_policy().name == "mixed_float16":
        raise ConfigError(f"fullness={config.fullness:g}: has no part in the scaling of losses that mixed_float16 needs; take "
                          "mixed_bfloat16 or float32")
    return PrGAN(generator(shape[0], config), discriminator(shape, len(sides) - 1, config), config, seed,
                 fields={"image": kinds.Field("image", shape)})


def generator(side, config):
    """noise [n, noise_dim] -> images [n, side, side, 1] in [-1, 1]: the mask of a solid, seen from where the last number says."""
    noise = keras.Input((config.noise_dim,), name="noise")
    seen = Silhouette(config.density, config.noise, config.fullness, dtype="float32", name="images")
    images = seen([solid(side, config)(noise), noise[:, -1:]])
    return keras.Model(noise, images, name="generator")


def solid(side, config):
    """noise [n, noise_dim], of which the last number has no part in it -> voxels [n, side, side, side, 1] in [0, 1]."""
    noise = keras.Input((config.noise_dim,), name="noise")
    inner = gan3d.generator((side, side, side, 1), dataclasses.replace(config, noise_dim=config.noise_dim - 1))
    voxels = layers.Activation("linear", dtype="float32", name="voxels")(inner(noise[:, :-1]))
    return keras.Model(noise, voxels, name="solid")


@keras.saving.register_keras_serializable("kgan")
class Silhouette(layers.Layer):
    """layer([voxels [n, S, S, S, 1], place [n, 1]]): masks [n, S, S, 1] in [-1, 1], 2 (1 - exp(-density · Σ)) - 1 (equation 1).

    Σ is taken along level rays, from the side that `place` says: as large a part of its distribution for each of them. The same strips as
    those of kgan.data.silhouettes, by one product of matrices for all sides, which every format has.

    In training the voxels' gradient is that of a loss that has `fullness` times their mean less. A layer has no part in the scaling of losses.
    """

    def __init__(self, density=1.0, distribution="normal", fullness=0.0, **kwargs):
        super().__init__(**kwargs)
        self.density, self.distribution, self.fullness = float(density), distribution, float(fullness)

    def call(self, inputs, training=False):
        voxels, place = inputs
        if self.fullness and training:
            voxels = _rewarded(voxels, self.fullness)
        side, views = voxels.shape[1], silhouettes.VIEWS
        behind = ops.transpose(ops.reshape(voxels, (-1, side * side, side)), (0, 2, 1))  # [n, z, x and y]
        strips = ops.cast(silhouettes.strips(side).reshape(side * side, views * side), self.compute_dtype)
        behind = ops.reshape(ops.matmul(behind, strips), (-1, side, views, side))
        chosen = ops.sum(behind * ops.reshape(self.view(place), (-1, 1, views, 1)), 2)
        return 1 - 2 * ops.exp(-self.density * ops.expand_dims(ops.flip(chosen, 1), -1))

    def view(self, place):
        """Which side a place [n, 1] means: float [n, VIEWS], one of them 1."""
        parts = np.arange(1, silhouettes.VIEWS) / silhouettes.VIEWS
        bounds = [statistics.NormalDist().inv_cdf(part) for part in parts] if self.distribution == "normal" else 2 * parts - 1
        beyond = ops.cast(place > np.array(bounds, np.float32), self.compute_dtype)
        ends = ops.ones_like(place, dtype=self.compute_dtype)
        beyond = ops.concatenate([ends, beyond, 0 * ends], 1)
        return beyond[:, :-1] - beyond[:, 1:]

    def compute_output_shape(self, input_shape):
        return input_shape[0][0], *input_shape[0][1:3], 1

    def get_config(self):
        return {**super().get_config(), "density": self.density, "distribution": self.distribution, "fullness": self.fullness}


def _rewarded(voxels, weight):
    """Voxels [n, …] as they are, with the gradient of a loss that has `weight` times their mean less."""
    @tf.custom_gradient
    def same(voxels):
        return tf.identity(voxels), lambda upstream: upstream - weight / tf.cast(tf.size(voxels) * replicas(), upstream.dtype)
    return same(voxels)


def discriminator(shape, halvings, config):
    """image [n, S, S, 1] in [-1, 1] -> logits [n, k]."""
    image = x = keras.Input(config.packed(shape), name="image")
    for i in range(halvings):
        x = Conv2D(config.filters * 2**i, 4, strides=2, padding="same", use_bias=not i, kernel_initializer=_weights())(x)
        x = layers.LeakyReLU(negative_slope=0.2)(BatchNormalization(momentum=0.9, epsilon=1e-5)(x) if i else x)
    logits = layers.Dense(config.discriminator_outputs, kernel_initializer=_weights(), dtype="float32", name="logits")(
        layers.Flatten()(x))
    return keras.Model(image, logits, name="discriminator")


def _weights():
    return keras.initializers.RandomNormal(0.0, 0.02)
