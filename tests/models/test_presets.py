"""The models that are dcgan's networks under another name: what makes each of them what it is."""
import pytest
from battery import Battery

from kgan import models
from kgan.layers import BatchNormalization, SpectralConv2D, SpectralDense

TINY = dict(filters=4, noise_dim=6, batch_size=4)


class TestWGAN(Battery):
    model, alone = "wgan", True
    cases = {"grey": dict(shape=(8, 8, 1), **TINY)}


class TestWGANGP(Battery):
    model, alone = "wgan_gp", True
    cases = {"grey": dict(shape=(14, 14, 1), **TINY), "published": dict(
        shape=(8, 8, 3), preset="published", **TINY)}


class TestLSGAN(Battery):
    model, alone = "lsgan", True
    cases = {"colour": dict(shape=(8, 8, 3), **TINY)}


class TestSNGAN(Battery):
    model, alone = "sngan", True
    cases = {"grey": dict(shape=(8, 8, 1), **TINY)}


@pytest.mark.parametrize("name, settings", [
    ("wgan", dict(loss="wasserstein", weight_clip=0.01, discriminator_steps=5, optimizer="rmsprop", batch_size=64,
                  generator_learning_rate=5e-5, discriminator_learning_rate=5e-5, penalty="none")),
    ("wgan_gp", dict(loss="wasserstein", penalty="gp", penalty_weight=10, discriminator_steps=5, beta_1=0.5, beta_2=0.9,
                     generator_learning_rate=1e-4, discriminator_learning_rate=1e-4, batch_size=50)),
    ("lsgan", dict(loss="least_squares", generator_learning_rate=2e-4, discriminator_learning_rate=2e-4, beta_1=0.5,
                   discriminator_steps=1)),
    ("sngan", dict(loss="hinge", discriminator_steps=5, batch_size=64, noise_dim=128, beta_1=0.0, beta_2=0.9,
                   generator_learning_rate="linear:2e-4:0", discriminator_learning_rate="linear:2e-4:0")),
])
def test_published_settings(name, settings):
    # as in the papers; where a default departs, its comment says so
    config = models.outline(name).Config.of(preset="published")
    assert {key: getattr(config, key) for key in settings} == settings
    assert config.filters == 64 and config.ema_decay == 0


def kinds(name):
    network = models.build(name, (16, 16, 1), TINY).discriminator
    return {type(layer) for layer in network.layers}


def test_critics_without_batch_normalisation():
    assert BatchNormalization in kinds("wgan") and BatchNormalization in kinds("lsgan")
    assert BatchNormalization not in kinds("wgan_gp")
    assert BatchNormalization not in kinds("sngan") and {SpectralConv2D, SpectralDense} <= kinds("sngan")


@pytest.mark.parametrize("name, settings", [*((name, {"filters": 2}) for name in ("wgan", "wgan_gp", "lsgan", "sngan")), ("sine", {})])
def test_built_without_a_config_each_is_itself(name, settings):
    module = getattr(models, name)
    gan = module.build(**({"shape": (8, 8, 1)} if settings else {}), **settings)
    assert gan.config == module.Config(**settings) and type(gan.config) is module.Config
