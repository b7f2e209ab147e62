import math
import typing

import numpy as np
import pytest
import tensorflow as tf

from kgan import losses
from kgan.config import Config

REAL, FAKE = [2.0, -1.0, 0.5], [0.3, -2.0]


def test_non_saturating_discriminator_by_hand():
    # -log sigmoid(x) = log(1 + e^-x) of real, -log(1 - sigmoid(x)) = log(1 + e^x) of fake:
    # (.1269280 + 1.3132617 + .4740770) / 3 = .6380889, (.8543552 + .1269280) / 2 = .4906416
    value = losses.non_saturating.discriminator(tf.constant(REAL), tf.constant(FAKE))
    assert value.shape == () and float(value) == pytest.approx(1.1287305, abs=1e-6)


def test_non_saturating_generator_by_hand():
    # log(1 + e^-x) of fake: (.5543552 + 2.1269280) / 2
    value = losses.non_saturating.generator(None, tf.constant(FAKE))
    assert value.shape == () and float(value) == pytest.approx(1.3406416, abs=1e-6)


def test_non_saturating_is_the_paper_formula():
    def d(x):
        return 1 / (1 + math.exp(-x))
    paper = -sum(math.log(d(x)) for x in REAL) / 3 - sum(math.log(1 - d(x)) for x in FAKE) / 2
    value = losses.non_saturating.discriminator(tf.constant(REAL)[:, None], tf.constant(FAKE)[:, None])
    assert float(value) == pytest.approx(paper, abs=1e-6)


def test_a_blind_discriminator():
    zeros = tf.zeros([4, 1])
    assert float(losses.non_saturating.discriminator(zeros, zeros)) == pytest.approx(2 * math.log(2))
    assert float(losses.non_saturating.generator(None, zeros)) == pytest.approx(math.log(2))


def test_means_are_over_each_kind_by_itself():
    # twice as many fakes must not weigh more than the reals
    once = losses.non_saturating.discriminator(tf.constant(REAL), tf.constant(FAKE))
    twice = losses.non_saturating.discriminator(tf.constant(REAL), tf.constant(FAKE * 2))
    assert float(once) == pytest.approx(float(twice), abs=1e-6)


NAMES = sorted(name for name, value in vars(losses).items() if isinstance(value, losses.Objective))


def test_config_names_the_objectives():
    field = typing.get_type_hints(Config)["loss"]
    assert sorted(typing.get_args(field)) == NAMES


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_logits(name, dtype):
    objective = losses.get(name)
    real = tf.Variable(np.array([1e4, -1e4, 0], np.float32), dtype=dtype)
    fake = tf.Variable(np.array([-1e4, 1e4, 0], np.float32), dtype=dtype)
    for loss in (objective.discriminator, objective.generator):
        with tf.GradientTape() as tape:
            # as GAN.logits hands them in: float32 whatever the network's precision
            value = loss(tf.cast(real, tf.float32), tf.cast(fake, tf.float32))
        gradients = [g for g in tape.gradient(value, [real, fake]) if g is not None]
        assert math.isfinite(value) and gradients
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_the_generator_gets_a_gradient_where_the_discriminator_is_sure():
    # what "non-saturating" means: d/dx log(1 + e^-x) = -sigmoid(-x), about -1 at x = -20, not 0
    fake = tf.Variable([-20.0])
    with tf.GradientTape() as tape:
        value = losses.non_saturating.generator(None, fake)
    assert float(tape.gradient(value, fake)[0]) == pytest.approx(-1, abs=1e-6)


def test_get():
    assert losses.get("non_saturating") is losses.non_saturating
    own = losses.Objective(None, None)
    assert losses.get(own) is own
    with pytest.raises(ValueError, match=r"'non_saturatin' \(did you mean 'non_saturating'\?\)"):
        losses.get("non_saturatin")
