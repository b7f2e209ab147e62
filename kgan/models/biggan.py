"""BigGAN: images of a class; residual blocks, attention, truncation: the large conditional GAN (Brock et al. 2018).

Brock, Donahue, Simonyan 2018, "Large Scale GAN Training for High Fidelity Natural Image Synthesis", arXiv:1809.11096;
the authors' own program: github.com/ajbrock/BigGAN-PyTorch.

    python train.py --model=biggan --channels=3                small networks for a laptop: coloured digits, a row each
    python train.py --model=biggan --set preset=cifar10 --dataset=cifar10
    python train.py --model=biggan --set preset=imagenet128 --image_size=128 --dataset=folder:PATH

A class is an embedding that all blocks of G share; joined to each block's own part of the noise, it gives the gains and
biases of its batch normalisations. D compares its features with a direction for each class (see projection). The weights
of both networks are divided by their largest singular values, and G's are drawn to be orthogonal (equation 3), so that
truncated noise (`truncation` of GAN.generate) leaves samples whole.
"""
import dataclasses
import functools
import math
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import layers, ops

from kgan.config import Config as BaseConfig
from kgan.config import ConfigError, Loss, Scheduled
from kgan.gan import GAN
from kgan.layers import BatchNormalization, ConditionalBatchNormalization, SelfAttention, SpectralConv2D, SpectralDense
from kgan.models._shapes import check_classes, check_shape, doublings


@dataclasses.dataclass(frozen=True)
class Config(BaseConfig):
    """The default is a network for a laptop; the other presets have the published values."""

    preset: Literal["laptop", "cifar10", "imagenet64", "imagenet128", "imagenet256"] = "laptop"
    condition: str = "label"
    batch_size: int = 64
    steps: int = 3_000  # 13 minutes on one CPU core. With rates that decay to 0 D won more clearly, and G confused classes
    loss: Loss = "hinge"
    noise_dim: int = 60
    generator_learning_rate: Scheduled = 4e-4
    discriminator_learning_rate: Scheduled = 8e-4
    beta_1: float = 0.0
    ema_decay: Scheduled = 0.998
    orthogonal_weight: float = 1e-4  # β of equation 3
    filters: int = 8  # ch of the paper, of which the widths are multiples
    generator_widths: tuple[int, ...] = (8, 8, 4, 2)  # the last one's is after the last block; the first is repeated
    discriminator_widths: tuple[int, ...] = (2, 4, 8, 8)  # after each block
    halvings: int = 3  # of D's blocks, the first ones, halve the maps, as long as that leaves 4 to 7 rows or columns
    # the sides (of rectangles the shorter ones) of the maps at which a block of attention follows; of 40 and 80 pixels that may
    # be 20, of 48 and 96 it may be 12 or 24
    attention: tuple[int, ...] = (14, 16)
    shared_dim: int = 32  # size of the classes' embedding; 0: each normalisation has gains and biases of its own for each class
    embedding_gain: float = 2.0  # initial length of a class's embedding; the paper's 1 is ignored in short runs
    hierarchical: bool = True  # whether each block gets a part of the noise of its own
    initializer: Literal["orthogonal", "normal"] = "orthogonal"  # normal: N(0, .02)
    # batches over which batch statistics are taken when a run is loaded, to be measured or exported: appendix C.1. 0: they stay
    # the averages of training, as pictures made in training show them
    standing_batches: int = 0

    presets: ClassVar[dict] = {
        "laptop": {},
        # the authors' launch_cifar_ema.sh, 500 epochs: without regularisation, shared embedding, attention
        "cifar10": dict(filters=64, generator_widths=(4, 4, 4, 4), discriminator_widths=(4, 4, 4, 4), halvings=2, attention=(),
                        shared_dim=0, hierarchical=False, noise_dim=128, initializer="normal", orthogonal_weight=0.0,
                        batch_size=50, discriminator_steps=4, generator_learning_rate=2e-4,
                        discriminator_learning_rate=2e-4, ema_decay=0.9999, steps=125_000),
    }
    # Table 1, row 8, and appendix C. The authors' program takes SAGAN's rates instead, G 1e-4 and D 4e-4 with one D step, "the
    # first corner we cut to bring training times down" and "slightly less performant", and no regularisation
    _imagenet: ClassVar[dict] = dict(
        filters=96, attention=(64,), shared_dim=128, embedding_gain=1.0, noise_dim=120, batch_size=2048, discriminator_steps=2,
        generator_learning_rate=5e-5, discriminator_learning_rate=2e-4, ema_decay=0.9999, steps=150_000, standing_batches=100)
    presets["imagenet128"] = dict(_imagenet, generator_widths=(16, 16, 8, 4, 2, 1), halvings=5,
                                  discriminator_widths=(1, 2, 4, 8, 16, 16))
    presets["imagenet256"] = dict(_imagenet, generator_widths=(16, 16, 8, 8, 4, 2, 1), halvings=6, noise_dim=140,
                                  discriminator_widths=(1, 2, 4, 8, 8, 16, 16))
    # in the authors' program, not in the paper
    presets["imagenet64"] = dict(_imagenet, generator_widths=(16, 16, 8, 4, 2), halvings=4,
                                 discriminator_widths=(1, 2, 4, 8, 16))

    def __post_init__(self):
        super().__post_init__()
        self._check("filters", 1)
        self._check("embedding_gain", above=0)
        for name in ("halvings", "shared_dim", "orthogonal_weight", "standing_batches"):
            self._check(name, 0)
        for name in ("generator_widths", "discriminator_widths"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be one or more numbers from 1 on")


@keras.saving.register_keras_serializable("kgan")
class BigGAN(GAN):
    """GAN whose generator is drawn to orthogonal weights, with standing statistics."""

    Config = Config

    def generator_loss(self, real, fake, given=None, noise=None, draw=0, training=True):
        loss = super().generator_loss(real, fake, given, noise, draw, training)
        if self.config.orthogonal_weight and training:
            kernels = [weight for weight in self.generator.trainable_variables
                       if len(weight.shape) > 1 and not weight.path.startswith("embedding/")]
            loss += self.config.orthogonal_weight * tf.add_n([entanglement(kernel) for kernel in kernels])
        return loss

    def settle(self):
        if self.config.standing_batches:
            self.standing_statistics(self.config.standing_batches)

    def standing_statistics(self, batches=16, batch_size=None, seed=0, truncation=None):
        """Sets the averaged generator's batch statistics to their mean over so many batches of noise: appendix C.1.

        Those that it has else are averages of what the generators of the last steps saw, not of what it makes itself. The
        paper takes 100 batches. Further training draws them to those averages again.

        Args:
            batches, batch_size: how many batches, and of how many; None: of the config's batch_size. Labels come in turn.
            seed: of the noise, as for `latents`.
            truncation: of the noise. To what statistics of truncated noise normalise, truncated samples are more varied than
                to those of all noise, and somewhat less clean.
        """
        batch_size = batch_size or self.config.batch_size
        noise = self.latents(batches * batch_size, seed, truncation)
        label = self.labels(batches * batch_size)
        normalizations = [layer for layer in self.ema_generator._flatten_layers()
                          if isinstance(layer, keras.layers.BatchNormalization)]
        momenta = [layer.momentum for layer in normalizations]
        try:
            for layer in normalizations:
                layer.trainable = True  # all others stay frozen, the vectors of spectral normalisation too
            for i in range(batches):
                for layer in normalizations:
                    layer.momentum = i / (i + 1)  # so that all batches count alike and what was is forgotten
                rows = slice(i * batch_size, (i + 1) * batch_size)
                self.make(noise[rows], label[rows], training=True)
        finally:
            for layer, momentum in zip(normalizations, momenta):
                layer.trainable, layer.momentum = False, momentum


def entanglement(kernel):
    """‖WᵀW ⊙ (1 - I)‖²_F of a kernel as the matrix W [inputs, outputs]: 0 if its filters are orthogonal (equation 3)."""
    matrix = tf.reshape(tf.convert_to_tensor(kernel), [-1, kernel.shape[-1]])
    inputs, outputs = matrix.shape
    if outputs <= inputs:
        products = tf.matmul(matrix, matrix, transpose_a=True)
        return tf.reduce_sum(tf.linalg.set_diag(products, tf.zeros([outputs])) ** 2)
    # ‖WᵀW‖ = ‖WWᵀ‖: the first layer has 20 inputs and 24,576 outputs, whose products would be 2.4 GB
    products = tf.matmul(matrix, matrix, transpose_b=True)
    return tf.reduce_sum(products**2) - tf.reduce_sum(tf.reduce_sum(matrix**2, axis=0) ** 2)


def build(shape=(32, 32, 3), config=None, seed=0, classes=tuple("0123456789"), **settings):
    """A BigGAN for images.

    Args:
        shape: (H, W, C), both sides even down to maps with 4 to 7 rows or columns, from which G starts: squares of 4, 5, 6 or
            7·2^k with k ≥ 1, rectangles such as 64×96; any number of channels.
        config: Config; or give its settings by name, as in steps=1_000. What is left out is the default.
        seed: of the noise.
        classes: names of the classes.

    Returns:
        BigGAN, not compiled.

    Raises:
        ConfigError: the shape is none of those, or there is not a number of noise for each block.
    """
    config = Config.given(config, settings)
    check_classes(classes)
    check_shape(shape, "biggan")
    return BigGAN(generator(shape, config, len(classes)), discriminator(shape, config, len(classes)), config, seed, classes)


def generator(shape, config, classes):
    """noise [n, noise_dim] and label [n] -> images [n, H, W, C] in [-1, 1]: a linear layer, blocks that double the size."""
    sizes = doublings(shape)
    widths = (*[config.generator_widths[0]] * len(sizes), *config.generator_widths)[-len(sizes):]
    noise = keras.Input((config.noise_dim,), name="noise")
    label = keras.Input((), dtype="int32", name="label")
    condition = ops.one_hot(label, classes)
    if config.shared_dim:  # not spectrally normalised, unlike all else
        condition = layers.Dense(config.shared_dim, use_bias=False, name="embedding",
                                 kernel_initializer=_initial(config, config.embedding_gain))(condition)
    first, *rest = _parts(noise, len(sizes), config)
    width = config.filters * widths[0]
    x = SpectralDense(math.prod(sizes[0]) * width, kernel_initializer=_initial(config))(first)
    x = layers.Reshape((*sizes[0], width))(x)
    for size, width, part in zip(sizes[1:], widths[1:], rest):
        given = condition if part is None else layers.Concatenate()([condition, part])
        x = _double(x, config.filters * width, functools.partial(_conditional_norm, given, config), config)
        x = SelfAttention()(x) if min(size) in config.attention else x
    x = layers.ReLU()(BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True)(x))
    images = layers.Activation("tanh", dtype="float32", name="images")(_convolution(shape[-1], config, name="to_images")(x))
    return keras.Model({"noise": noise, "label": label}, images, name="generator")


def discriminator(shape, config, classes):
    """Images [n, H, W, C] and label [n] -> logits [n, k]: f(x) + vᵧ·x of the sum x over the last maps."""
    image = x = keras.Input(shape, name="image")
    label = keras.Input((), dtype="int32", name="label")
    sizes = doublings(shape)[::-1][:config.halvings + 1]
    for i, width in enumerate(config.discriminator_widths):
        halves = i + 1 < len(sizes)
        x = _halve(x, config.filters * width, config, first=i == 0, halves=halves)
        x = SelfAttention()(x) if halves and min(sizes[i + 1]) in config.attention else x
    # float16 overflows in sums
    features = ops.sum(ops.cast(layers.ReLU()(x), "float32"), axis=(1, 2))
    directions = SpectralDense(features.shape[-1], use_bias=False, kernel_initializer=_initial(config), dtype="float32",
                               name="directions")(ops.one_hot(label, classes))
    match = layers.Dot(axes=-1, dtype="float32")([features, directions])
    score = SpectralDense(config.discriminator_outputs, kernel_initializer=_initial(config), dtype="float32",
                          name="score")(features)
    logits = layers.Add(dtype="float32", name="logits")([score, match])
    return keras.Model({"image": image, "label": label}, logits, name="discriminator")


def _double(x, width, norm, config):
    """Figure 15 (b): x [n, h, w, c] -> [n, 2h, 2w, width]."""
    y = layers.UpSampling2D(2)(layers.ReLU()(norm(x)))
    y = _convolution(width, config)(y)
    y = _convolution(width, config)(layers.ReLU()(norm(y)))
    # a 1×1 convolution is the same before repeating as after, and a quarter of the work
    return layers.Add()([y, layers.UpSampling2D(2)(_convolution(width, config, 1)(x))])


def _halve(x, width, config, first, halves):
    """Figure 15 (c): x [n, h, w, c] -> [n, h/2, w/2, width], or [n, h, w, width]; the first block takes x as it is."""
    y = x if first else layers.ReLU()(x)
    y = _convolution(width, config)(y)
    y = _convolution(width, config)(layers.ReLU()(y))
    if halves:
        x, y = layers.AveragePooling2D(2)(x), layers.AveragePooling2D(2)(y)
    if halves or x.shape[-1] != width:
        x = _convolution(width, config, 1)(x)
    return layers.Add()([x, y])


def _parts(noise, count, config):
    """The noise in `count` parts, as equal as can be; not hierarchical, all of it and None for the others."""
    if not config.hierarchical:
        return [noise] + [None] * (count - 1)
    if config.noise_dim < count:
        raise ConfigError(f"noise_dim={config.noise_dim}: must be at least {count}, a number for each block and the first "
                          "layer")
    ends = [i * config.noise_dim // count for i in range(count + 1)]
    return [noise[:, start:end] for start, end in zip(ends, ends[1:])]


def _conditional_norm(condition, config, x):
    return ConditionalBatchNormalization(spectral=config.shared_dim > 0, synchronized=True,
                                         kernel_initializer=_initial(config))([x, condition])


def _convolution(width, config, size=3, **options):
    return SpectralConv2D(width, size, padding="same", kernel_initializer=_initial(config), **options)


def _initial(config, gain=1.0):
    if config.initializer == "orthogonal":
        return keras.initializers.Orthogonal(gain)
    return keras.initializers.RandomNormal(0.0, 0.02 * gain)
