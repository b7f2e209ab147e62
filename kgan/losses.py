"""Adversarial objectives: what the discriminator and the generator minimise, from logits alone.

Every objective is a pair of functions of one signature, (real_logits, fake_logits) -> scalar, where the logits are
floats [batch, ...], unbounded; what is computed is float32 whatever they are. Means are over what is handed in (one
replica's share, unless `pooled`): GAN alone knows about replicas.

To add one: write its two functions, each under `_float32`; name the pair here, an Objective; add the name to
Loss in kgan/config.py; compare it in tests/test_losses.py with numbers worked out by hand (what is tested of all
names finds it).
"""
import functools
from typing import Callable, NamedTuple

import keras
from keras import ops

from kgan.config import ConfigError, nearest

_BANDWIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)


class Objective(NamedTuple):
    """An adversarial objective.

    Attributes:
        discriminator: (real_logits, fake_logits) -> scalar that D minimises.
        generator: (real_logits, fake_logits) -> scalar that G minimises. `real_logits` is None unless `relativistic`.
        relativistic: whether G's loss looks at real logits. They cost a pass of real examples through D.
        smoothable: whether D's loss takes `label_smoothing` as a keyword: it has targets for real examples.
        probability: whether sigmoid(logit) estimates the probability that an example is real (with label smoothing ε,
            1 - ε times that).
        pooled: whether it is more than a mean over examples, or pairs of them: it must see the logits of the whole batch,
            all replicas'.
    """

    discriminator: Callable
    generator: Callable
    relativistic: bool = False
    smoothable: bool = False
    probability: bool = False
    pooled: bool = False


def _float32(loss):
    """A loss that casts its logits to float32 first: squares and sums of float16 overflow, its means lose digits."""
    @functools.wraps(loss)
    def cast(real_logits, fake_logits, *args, **kwargs):
        real_logits = None if real_logits is None else ops.cast(real_logits, "float32")
        return loss(real_logits, ops.cast(fake_logits, "float32"), *args, **kwargs)
    return cast


# === Cross-entropy: softplus(-l) is -log sigmoid(l), softplus(l) is -log(1 - sigmoid(l)), without a logarithm of 0 ===

def _mean_softplus(logits):
    return ops.mean(keras.activations.softplus(logits))


@_float32
def _cross_entropy(real_logits, fake_logits, label_smoothing=0.0):
    """-E log D(x) - E log(1 - D(G(z))), D = sigmoid(logits): Goodfellow et al. 2014, equation 1.

    One-sided label smoothing (Salimans et al. 2016, section 3.4): the target t = 1 - ε, for real examples alone, makes
    of the first term -E [t log D(x) + (1 - t) log(1 - D(x))].
    """
    real = (1 - label_smoothing) * _mean_softplus(-real_logits) + label_smoothing * _mean_softplus(real_logits)
    return real + _mean_softplus(fake_logits)


@_float32
def _generator_non_saturating(real_logits, fake_logits):
    """-E log D(G(z)): Goodfellow et al. 2014, end of section 3."""
    return _mean_softplus(-fake_logits)


@_float32
def _generator_minimax(real_logits, fake_logits):
    """E log(1 - D(G(z))): Goodfellow et al. 2014, equation 1. Its gradient vanishes where D is sure of the fakes."""
    return -_mean_softplus(fake_logits)


# === Without a sigmoid ===

@_float32
def _least_squares(real_logits, fake_logits, label_smoothing=0.0):
    """½ E (D(x) - b)² + ½ E (D(G(z)) - a)², a = 0, b = 1 - ε, D = logits: Mao et al. 2017 (LSGAN), equation 9."""
    return (ops.mean(ops.square(real_logits - (1 - label_smoothing))) + ops.mean(ops.square(fake_logits))) / 2


@_float32
def _generator_least_squares(real_logits, fake_logits):
    """½ E (D(G(z)) - c)², c = 1: Mao et al. 2017 (LSGAN), equation 9."""
    return ops.mean(ops.square(fake_logits - 1)) / 2


@_float32
def _wasserstein(real_logits, fake_logits):
    """E D(G(z)) - E D(x), D = logits: Arjovsky et al. 2017, equation 2. A penalty or clipping keeps D 1-Lipschitz."""
    return ops.mean(fake_logits) - ops.mean(real_logits)


@_float32
def _generator_critic(real_logits, fake_logits):
    """-E D(G(z)), D = logits: Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018, equation 17."""
    return -ops.mean(fake_logits)


@_float32
def _hinge(real_logits, fake_logits):
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), D = logits: Lim & Ye 2017; Miyato et al. 2018, equation 16."""
    return ops.mean(ops.relu(1 - real_logits)) + ops.mean(ops.relu(1 + fake_logits))


@_float32
def _soft_hinge(real_logits, fake_logits):
    """E h(D(x)) + E h(-D(G(z))), h(l) the mean of max(0, m - l) over margins m ~ U(.8, 1).

    The program of Liu et al. 2021 (FastGAN) draws a margin for each logit; this is what D then minimises on average.
    """
    def mean_hinge(logits):
        # .9 - l below .8, (1 - l)² / .4 between, 0 above 1: short is 1 - l as far as margins differ, far what is beyond
        short = ops.clip(1 - logits, 0, 0.2)
        far = ops.relu(0.8 - logits)
        return ops.mean(ops.square(short) / 0.4 + far)

    return mean_hinge(real_logits) + mean_hinge(-fake_logits)


# === Relativistic: how much more real than the fakes are the real examples? ===

def _pairs(real_logits, fake_logits):
    """D(x) - D(G(z)), the i-th of one with the i-th of the other.

    Raises:
        ValueError: there are not as many of one as of the other. (One alone, or [n] beside [n, 1], would broadcast.)
    """
    real, fake = tuple(real_logits.shape), tuple(fake_logits.shape)
    if len(real) != len(fake) or any(r != f for r, f in zip(real, fake) if None not in (r, f)):
        raise ValueError("the relativistic loss pairs real and fake logits, so it needs as many of one as of the "
                         f"other; their shapes are {real} and {fake}")
    return real_logits - fake_logits


@_float32
def _relativistic(real_logits, fake_logits):
    """E softplus(-(D(x) - D(G(z)))), D = logits, paired in the batch.

    Jolicoeur-Martineau 2018 (RSGAN), the RpGAN of R3GAN (Huang et al. 2024).
    """
    return _mean_softplus(-_pairs(real_logits, fake_logits))


@_float32
def _generator_relativistic(real_logits, fake_logits):
    """E softplus(-(D(G(z)) - D(x))): the same, real and fake exchanged."""
    return _mean_softplus(_pairs(real_logits, fake_logits))


@_float32
def _relativistic_average(real_logits, fake_logits):
    """-E log sigmoid(D(x) - E D(G(z))) - E log(1 - sigmoid(D(G(z)) - E D(x))), D = logits.

    Jolicoeur-Martineau 2018 (RaSGAN). The sum of the paper, not the half sum of its author's programs.
    """
    return (_mean_softplus(-(real_logits - ops.mean(fake_logits)))
            + _mean_softplus(fake_logits - ops.mean(real_logits)))


@_float32
def _generator_relativistic_average(real_logits, fake_logits):
    """-E log sigmoid(D(G(z)) - E D(x)) - E log(1 - sigmoid(D(x) - E D(G(z)))): the same, real and fake exchanged."""
    return _relativistic_average(fake_logits, real_logits)


# === Kernels: D's outputs [n, k] are features, and the objective is how far apart their distributions are ===

def _rbf(x, y):
    """Σ_σ exp(-|x - y|² / 2σ²), σ = 1, 2, 4, 8, 16, of features [..., k]: Li et al. 2017, the five of their program.

    (Bińkowski et al. 2018 mix 2, 5, 10, 20, 40, 80.) Differences, not |x|² + |y|² - 2xy: that cancels where features
    are large, and a distance below 0 makes a kernel above 1.
    """
    distances = ops.sum(ops.square(x - y), axis=-1)
    return sum(ops.exp(distances * (-0.5 / bandwidth**2)) for bandwidth in _BANDWIDTHS)


def _polynomial(x, y):
    """(x·y / k + 1)³ of features [..., k]: Bińkowski et al. 2018, the kernel of their KID.

    Its gradient grows with the fifth power of the features. Where that flows on in float16 it overflows early (±10 in a
    small batch): the optimizer skips such steps and lowers the loss scale, which has no floor, until the gradient fits.
    """
    # not a matrix product: on a GPU that may be rounded to TF32, and MMD² is a small difference of large means
    return (ops.mean(x * y, axis=-1) + 1) ** 3


def _mmd(real, fake, kernel):
    """MMD² of real [m, ...] and fake [n, ...] features, m, n >= 2: Gretton et al. 2012, equation 3.

    Unbiased: an example is not compared with itself. So it is 0 on average where the distributions are the same, and
    may be below 0.

    Raises:
        ValueError: a batch has one example, which has nothing to be compared with.
    """
    counts = real.shape[0], fake.shape[0]
    if 1 in counts:
        raise ValueError("an MMD loss compares the examples of a batch with each other, so it needs at least 2 real "
                         f"and 2 fake ones; there are {counts[0]} and {counts[1]}")
    real, fake = (ops.reshape(features, (ops.shape(features)[0], -1)) for features in (real, fake))

    def within(features):
        others = 1 - ops.eye(ops.shape(features)[0], dtype="float32")
        return ops.sum(kernel(features[:, None], features[None]) * others) / ops.sum(others)

    return within(real) + within(fake) - 2 * ops.mean(kernel(real[:, None], fake[None]))


def _mmd_objective(kernel):
    """D minimises -MMD², G MMD². The features' smoothness is left to a penalty or clipping, as a Wasserstein critic's.

    Unlike Li et al. 2017: without their autoencoder, rank hinge and square root.
    """
    @_float32
    def discriminator(real_logits, fake_logits):
        return -_mmd(real_logits, fake_logits, kernel)

    @_float32
    def generator(real_logits, fake_logits):
        return _mmd(real_logits, fake_logits, kernel)

    return Objective(discriminator, generator, relativistic=True, pooled=True)


# === By name ===

non_saturating = Objective(_cross_entropy, _generator_non_saturating, smoothable=True, probability=True)
minimax = Objective(_cross_entropy, _generator_minimax, smoothable=True, probability=True)
least_squares = Objective(_least_squares, _generator_least_squares, smoothable=True)
wasserstein = Objective(_wasserstein, _generator_critic)
hinge = Objective(_hinge, _generator_critic)
soft_hinge = Objective(_soft_hinge, _generator_critic)
relativistic = Objective(_relativistic, _generator_relativistic, relativistic=True)
relativistic_average = Objective(_relativistic_average, _generator_relativistic_average, relativistic=True,
                                 pooled=True)
mmd_rbf = _mmd_objective(_rbf)
mmd_polynomial = _mmd_objective(_polynomial)


def get(name, label_smoothing=0.0):
    """The objective of that name; an Objective is taken as it is.

    Args:
        name: str or Objective.
        label_smoothing: ε in [0, 1): D's target for real examples is 1 - ε, that for fakes stays 0.

    Raises:
        ValueError: it is neither, there is no such name, or ε is out of range; ConfigError: the objective has no targets to smooth.
    """
    objectives = {key: value for key, value in globals().items() if isinstance(value, Objective)}
    objective = name if isinstance(name, Objective) else objectives.get(name)
    if objective is None and not isinstance(name, str):
        raise ValueError(f"loss={name!r}: must be a name, or kgan.losses.Objective(discriminator, generator), two functions of "
                         "(real_logits, fake_logits) to a number")
    if objective is None:
        names = ", ".join(objectives)
        raise ValueError(f"no loss is named {name!r}{nearest(str(name), objectives)}; there are: {names}")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}: it must be at least 0 and below 1")
    if not label_smoothing:
        return objective
    if not objective.smoothable:
        name = next((key for key, value in objectives.items() if value == objective), "of your own")
        smoothable = ", ".join(key for key, value in objectives.items() if value.smoothable)
        raise ConfigError(f"label_smoothing={label_smoothing}: must be 0 with the loss {name}, which has no targets for "
                          f"real examples; those that have: {smoothable}")
    return objective._replace(
        discriminator=functools.partial(objective.discriminator, label_smoothing=label_smoothing))
