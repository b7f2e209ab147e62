"""Adversarial objectives: what the discriminator and the generator minimise, from logits alone.

Every objective is a pair of functions of one signature, (real_logits, fake_logits) -> scalar, where the logits are
float32 tensors [batch, ...], unbounded. Means are over what is handed in (one replica's share): GAN.minimize alone knows
about replicas. Adding an objective: write the two functions, name the pair here, add the name to Config.loss.
"""
from typing import Callable, NamedTuple

import keras
from keras import ops

from kgan.config import nearest


class Objective(NamedTuple):
    """An adversarial objective.

    Attributes:
        discriminator: (real_logits, fake_logits) -> scalar that D minimises.
        generator: (real_logits, fake_logits) -> scalar that G minimises. `real_logits` is None unless `relativistic`.
        relativistic: whether G's loss looks at real logits. They cost a pass of real examples through D.
    """

    discriminator: Callable
    generator: Callable
    relativistic: bool = False


def _cross_entropy(real_logits, fake_logits):
    """-E log D(x) - E log(1 - D(G(z))), D = sigmoid(logits): Goodfellow et al. 2014, equation 1."""
    return ops.mean(keras.activations.softplus(-real_logits)) + ops.mean(keras.activations.softplus(fake_logits))


def _generator_non_saturating(real_logits, fake_logits):
    """-E log D(G(z)): Goodfellow et al. 2014, end of section 3."""
    return ops.mean(keras.activations.softplus(-fake_logits))


non_saturating = Objective(_cross_entropy, _generator_non_saturating)


def get(name):
    """The objective of that name; an Objective is returned as it is."""
    if isinstance(name, Objective):
        return name
    names = [key for key, value in globals().items() if isinstance(value, Objective)]
    if name not in names:
        raise ValueError(f"no loss is named {name!r}{nearest(str(name), names)}; there are: {', '.join(names)}")
    return globals()[name]
