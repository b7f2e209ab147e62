"""Penalties on the discriminator: gradient penalties, drift, consistency regularisation, weight clipping.

A gradient penalty says at which points D's gradient is taken, and towards which norm it is drawn:

    factor · Σ over the points of the mean over the examples of (‖∇D‖ − target)²

The gradient is that of each example's own logit (with batch normalisation in D an example changes the others' logits
too: take no gradient penalty with it), with respect to the example as the data or G made it, before any augmentation.
`GAN.discriminator_loss` takes the gradients from the same pass through D as the objective.
"""
from typing import NamedTuple

import tensorflow as tf

from kgan.config import nearest


class Penalty(NamedTuple):
    """A gradient penalty.

    Attributes:
        points: names of where the gradient is taken: "real", "fake", "between" a real and a fake example, or "around"
            a real one.
        target: the norm that the gradient is drawn to, 0 or 1.
        factor: ½ for those defined with γ/2, else 1.
    """

    points: tuple
    target: float = 0.0
    factor: float = 1.0

    def value(self, squares):
        """The penalty before its weight. `squares`: float32 [n] for each of `points`, the squared norms there."""
        if self.target == 0:
            return self.factor * tf.add_n([tf.reduce_mean(square) for square in squares])
        # the root's derivative at 0 is infinite, and 0 is where a new D may start
        return self.factor * tf.add_n([tf.reduce_mean((tf.sqrt(square + 1e-12) - self.target) ** 2)
                                       for square in squares])


PENALTIES = {
    # Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", equation 3 and algorithm 1
    "gp": Penalty(("between",), target=1.0),
    # Kodali et al. 2017, "On Convergence and Stability of GANs", equation 4
    "dragan": Penalty(("around",), target=1.0),
    # Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equations 9 and 10
    "r1": Penalty(("real",), factor=0.5),
    "r2": Penalty(("fake",), factor=0.5),
    # Huang et al. 2024, "The GAN is dead; long live the GAN!": both
    "r1+r2": Penalty(("real", "fake"), factor=0.5),
    # Thanh-Tung et al. 2019, "Improving Generalization and Stability of Generative Adversarial Networks", 0-GP
    "zero_centered": Penalty(("between",)),
}


def get(name):
    """The penalty of that name, None for "none"; a Penalty is returned as it is. Raises ValueError: it is neither."""
    if not isinstance(name, (str, Penalty)):
        raise ValueError(f"penalty={name!r}: must be a name, or kgan.penalties.Penalty(points, target, factor); what else G or D is to "
                         "minimise is written in a subclass of kgan.GAN, as `content` or `auxiliary`")
    if name == "none" or isinstance(name, Penalty):
        return None if name == "none" else name
    if name not in PENALTIES:
        raise ValueError(f"no penalty is named {name!r}{nearest(str(name), PENALTIES)}; there are: none, "
                         f"{', '.join(PENALTIES)}")
    return PENALTIES[name]


def between(real, fake, random):
    """Examples on the straight lines from real to fake ones, at places that are U(0, 1): float32 [n, ...]."""
    return real + random.uniform(*(1 for _ in real.shape[1:])) * (fake - real)


def around(real, random, deviation):
    """Real examples, moved: DRAGAN's x + δ, δ between 0 and half the batch's standard `deviation` in each number."""
    place = random.uniform(*(1 for _ in real.shape[1:]))
    return real + place * 0.5 * deviation * random.uniform(*real.shape[1:])


def squared_norms(gradient, count):
    """‖∇D‖² of each of `count` logits: float32 [count]. Examples that D judges together count together."""
    return tf.reduce_sum(tf.reshape(tf.cast(gradient, tf.float32), [count, -1]) ** 2, 1)


def drift(real_logits, fake_logits):
    """Mean square of the logits of real and of fake examples: draws D to 0, which is where it ends if G is perfect.

    Karras et al. 2018 (ProGAN), appendix A.1, take the real ones alone, and .001 of it.
    """
    return tf.reduce_mean(real_logits**2) + tf.reduce_mean(fake_logits**2)


def consistency(logits, others):
    """Mean squared difference of D's logits of examples and of the same, changed.

    Zhang et al. 2020, "Consistency Regularization for Generative Adversarial Networks", equation 4.
    """
    return tf.reduce_mean((logits - others) ** 2)


def clip_weights(network, bound):
    """Cuts every trainable weight to [-bound, bound]: Arjovsky et al. 2017, "Wasserstein GAN", algorithm 1."""
    for variable in network.trainable_variables:
        variable.assign(tf.clip_by_value(tf.convert_to_tensor(variable), -bound, bound))
