import keras
import numpy as np
import pytest
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import gan3d

TINY = dict(filters=2, noise_dim=8, rest=1.0)


class TestBattery(Battery):
    model = "cgan3d"
    cases = {"8": dict(shape=(8, 8, 8, 1), **TINY)}


def test_networks_are_gan3ds():
    one, other = (models.build(name, (16, 16, 16, 1), TINY, classes=tuple("abcd")) for name in ("gan3d", "cgan3d"))

    def convolutions(network):
        return [(type(layer), layer.filters) for layer in network.layers if hasattr(layer, "filters")]

    assert convolutions(one.generator) == convolutions(other.generator)
    assert convolutions(one.discriminator) == convolutions(other.discriminator)
    # four more numbers in, and a direction of D's features for each class
    assert other.generator.count_params() - one.generator.count_params() == 4 * 4**3 * 4
    assert other.discriminator.count_params() - one.discriminator.count_params() == 4 * 4**3 * 4
    assert isinstance(other, gan3d.GAN3D) and other.config.condition == "label"


def test_logits_by_hand():
    keras.utils.set_random_seed(1)
    gan = models.build("cgan3d", (8, 8, 8, 1), TINY, classes=("a", "b"))
    network, voxels = gan.discriminator, kinds.get("voxels").examples(kinds.Field("voxels", (8, 8, 8, 1)), 3)
    label = np.array([0, 1, 1])
    features = np.asarray(keras.Model(network.input, next(
        layer for layer in network.layers if isinstance(layer, keras.layers.Flatten)).output)({"voxels": voxels, "label": label}))
    directions = np.asarray(network.get_layer("directions").kernel)
    score = features @ np.asarray(network.get_layer("score").kernel) + np.asarray(network.get_layer("score").bias)
    wanted = score[:, 0] + (features * directions[label]).sum(1)
    np.testing.assert_allclose(network({"voxels": voxels, "label": label})[:, 0], wanted, rtol=1e-5)


def test_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="cgan3d makes cubes of voxels .*, not 30×30×30×1"):
        models.build("cgan3d", (30, 30, 30, 1))
