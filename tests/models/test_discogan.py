import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import discogan


def normal(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


class TestBattery(Battery):
    model = "discogan"
    cases = {"grey to colour": dict(shape=(8, 12, 3), filters=2, given={"input": kinds.Field("image", (8, 12, 1))},
                                    adversarial_weight=0.1, features_weight=0.9, reconstruction=0.5)}


def test_published_networks():
    # counted from the program: k4 convolutions 64-128-256-512 and back, γ and β but outermost, a bias at the end
    config, shape = discogan.Config.of(preset="published"), (64, 64, 3)
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    made = discogan.generator(shape, shape, config, "input", "generator")
    norms = 4 * (128 + 256 + 512)  # with moving means and variances
    assert made.count_params() == 2 * kernels + 3 + norms + 4 * (256 + 128 + 64)
    judged = discogan.discriminator(shape, config, "image", "discriminator")
    assert judged.count_params() == kernels + norms + 16 * 512 + 1
    assert {name: tuple(x.shape[1:]) for name, x in judged.output.items()} == {
        "logits": (1,), "features_2": (16, 16, 128), "features_3": (8, 8, 256), "features_4": (4, 4, 512)}


@pytest.mark.parametrize("shape, sides", [((64, 64, 1), 4), ((32, 40, 1), 3), ((28, 28, 1), 3), ((8, 12, 1), 1), ((128, 128, 1), 4)])
def test_depth(shape, sides):
    assert discogan._widths(shape, discogan.Config(filters=3)) == [3, 6, 12, 24][:sides]


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("discogan", (12, 12, 1), {"jit_compile": False, "filters": 2, **settings}, seed=3)
    gan.compile(run_eagerly=True)
    return gan


def test_losses_by_hand():
    a, b = normal(4, 12, 12, 1), normal(4, 12, 12, 1, seed=1)
    softplus = lambda x: np.log1p(np.exp(x))
    for settings in (dict(), dict(adversarial_weight=0.1, features_weight=0.9, reconstruction=0.25)):
        gan = gan_of(cycle_weight=1.0, **settings)  # the sum as in the paper
        fake_b, fake_a = np.asarray(gan.generator(a)), np.asarray(gan.inverse(b))
        back = [((np.asarray(network(fake)) - true) ** 2).mean() / 4
                for network, fake, true in ((gan.inverse, fake_b, a), (gan.generator, fake_a, b))]
        fooled, matched = 0, 0
        for network, real, fake in ((gan.discriminator, b, fake_b), (gan.inverse_discriminator, a, fake_a)):
            one, other = network(real), network(fake)
            fooled += softplus(-np.asarray(other["logits"], np.float64)).mean()
            for name in one:
                if name != "logits":
                    matched += ((np.mean(one[name], 0) - np.mean(other[name], 0)) ** 2).mean()
        loss, _ = gan.translation_loss(tf.constant(a), tf.constant(b), training=False)
        wanted = 0.75 * (0.1 * fooled + 0.9 * matched) + 0.25 * sum(back) if settings else fooled + sum(back)
        assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_d_rests_every_other_step():
    gan = gan_of(discriminator_every=2)
    batch = {"input": tf.constant(normal(4, 12, 12, 1)), "image": tf.constant(normal(4, 12, 12, 1, seed=1))}
    states = []
    for _ in range(4):
        gan.train_step(batch)
        states.append([np.asarray(variable).copy() for variable in (*gan.moved_by("discriminator"), *gan.discriminator_optimizer.variables)])
    same = [all(np.array_equal(one, other) for one, other in zip(*pair)) for pair in zip(states, states[1:])]
    assert same == [False, True, False]
    assert gan.made() == {"generator": 4, "discriminator": 2}


def test_settings():
    program = discogan.Config.of(preset="program")
    assert (program.adversarial_weight, program.features_weight, program.discriminator_every) == (0.1, 0.9, 2)
    assert discogan.Config.of().reconstruction == 0 and discogan.Config.of().pool == 0
    with pytest.raises(ConfigError, match="reconstruction=1.0: must be at least 0 and below 1"):
        discogan.Config.of(reconstruction=1)
    with pytest.raises(ConfigError, match="at least 8 pixels a side, not 4×4×1"):
        discogan.build((4, 4, 1))
