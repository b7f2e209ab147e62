import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import models
from kgan.config import ConfigError
from kgan.models import r3gan
from kgan.models._shapes import doublings

TINY = dict(widths=(8, 4), group_width=4, noise_dim=6, batch_size=4)


class TestBattery(Battery):
    model = "r3gan"
    cases = {
        "grey": dict(shape=(14, 14, 1), **TINY),
        "colour, two blocks, minibatch deviation": dict(shape=(8, 8, 3), blocks=2, minibatch_std=True, **TINY),
        "8x12": dict(shape=(8, 12, 3), **TINY),
        "12": dict(shape=(12, 12, 1), **TINY),
        "20x10": dict(shape=(20, 10, 1), **TINY),
    }


def test_parameters_of_the_paper():
    # 20.7 M each for CIFAR-10. Of the generator, by hand: a block has 768·1536 twice, 1536 biases twice and 9·16·1536;
    # eight of them, the basis 64·768 + 16·768, and the last convolution 768·3
    gan = models.build("r3gan", (32, 32, 3), dict(preset="cifar10", batch_size=4))
    block = 2 * 768 * 1536 + 2 * 1536 + 9 * 16 * 1536
    assert gan.generator.count_params() == 8 * block + 64 * 768 + 16 * 768 + 768 * 3
    assert gan.discriminator.count_params() == 8 * block + 768 * 3 + 16 * 768 + 768
    assert round(gan.generator.count_params() / 1e6, 1) == 20.7


@pytest.mark.parametrize("size, sizes", [(28, [7, 14, 28]), (32, [4, 8, 16, 32]), (8, [4, 8]), (64, [4, 8, 16, 32, 64])])
def test_sizes(size, sizes):
    assert doublings((size, size)) == [(side, side) for side in sizes]


@pytest.mark.parametrize("shape, start", [((12, 12, 1), (6, 6)), ((8, 12, 3), (4, 6)), ((10, 20, 1), (5, 10))])
def test_the_basis_and_what_d_weighs_have_the_smallest_maps_size(shape, start):
    gan = r3gan.build(shape, r3gan.Config(**TINY))
    basis, = [layer for layer in gan.generator.layers if isinstance(layer, r3gan.Basis)]
    last, = [layer for layer in gan.discriminator.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    assert basis.patterns.shape == (*start, 8) and last.kernel.shape == (*start, 8, 1)
    assert gan.generator.output_shape == (None, *shape)


def test_a_basis_of_before_rectangles():
    assert r3gan.Basis.from_config({"name": "basis", "size": 4}).size == (4, 4)


def test_a_size_that_cannot_be():
    with pytest.raises(ConfigError, match="image_size=30: r3gan needs .* the nearest sizes are 28 and 32$"):
        r3gan.build((30, 30, 1))
    with pytest.raises(ConfigError, match="image_size=64x100: r3gan needs .* the nearest sizes are 64x96 and 56x96$"):
        r3gan.build((64, 100, 3))
    with pytest.raises(ConfigError, match="for points and signals"):
        r3gan.build((2,))


def test_a_new_block_does_nothing():
    # W3 = 0: G is basis, resampling and 1×1 convolutions
    gan = models.build("r3gan", (8, 8, 1), dict(widths=(8, 8), group_width=4, noise_dim=6))
    noise = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    layers = {type(layer).__name__: layer for layer in gan.generator.layers}
    basis = layers["Basis"](layers["Dense"](noise))
    last = gan.generator.layers[-3]
    np.testing.assert_allclose(gan.generator(noise, training=True), last(r3gan.Upsample()(basis)), atol=1e-5)


def test_initial_weights():
    # N(0, g/√fan_in), g = √(2/1.04)·L^(-1/4) for W1 and W2, 0 for W3; L = 4 blocks
    network = r3gan.generator((32, 32, 3), r3gan.Config(widths=(256,) * 4, group_width=16))
    gain = (2 / 1.04) ** 0.5 * 4**-0.25
    blocks = [weight for weight in network.weights if weight.path.endswith("kernel") and "dense" not in weight.path]
    for i in range(4):
        first, grouped, last = (np.asarray(weight) for weight in blocks[3 * i:3 * i + 3])
        assert first.shape == (1, 1, 256, 512) and grouped.shape == (3, 3, 16, 512) and last.shape == (1, 1, 512, 256)
        assert first.std() == pytest.approx(gain / 16, rel=0.02)
        assert grouped.std() == pytest.approx(gain / 12, rel=0.02)
        assert not last.any()


def test_resampling_by_hand():
    # [1, 3, 3, 1] / 4 after zeros are put between, / 8 at a stride of 2; zeros beyond the edge
    x = np.array([4.0, 8.0, 0.0, 16.0], np.float32)
    up = [3, 5, 7, 6, 2, 4, 12, 12]
    column = np.asarray(r3gan.Upsample()(x[None, :, None, None] * np.ones((1, 4, 2, 1), np.float32)))[0, :, :, 0]
    # across, the constant columns lose to the zeros at the edge: (3·1 + 0)/4, then (1·1 + 3·1)/4
    np.testing.assert_allclose(column, np.outer(up, [0.75, 1, 1, 0.75]), rtol=1e-6)
    down = np.asarray(r3gan.Downsample()(x[None, None, :, None] * np.ones((1, 2, 4, 1), np.float32)))[0, :, :, 0]
    # (0 + 3·4 + 3·8 + 0)/8 and (8 + 0 + 3·16 + 0)/8; along the two constant rows (0 + 3 + 3 + 0)/8
    np.testing.assert_allclose(down, [[0.75 * 4.5, 0.75 * 7]], rtol=1e-6)


def test_groups_are_separate():
    layer = r3gan.GroupedConvolution(2)
    x = tf.Variable(np.random.default_rng(0).normal(size=(1, 5, 5, 6)).astype(np.float32))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x)[..., 2:4])
    reached = np.abs(tape.gradient(y, x)).max((0, 1, 2)) > 0
    np.testing.assert_array_equal(reached, [False, False, True, True, False, False])


def test_images_are_clipped_outside_training_alone():
    gan = models.build("r3gan", (8, 8, 1), TINY)
    loud = 1e3 * np.ones((2, 6), np.float32)
    assert np.abs(gan.generator(loud, training=True)).max() > 1
    assert np.abs(gan.generator(loud, training=False)).max() <= 1


def test_widths_and_groups():
    with pytest.raises(ConfigError, match="must be a multiple of group_width=16"):
        r3gan.Config(widths=(12,), expansion=1)


@pytest.mark.parametrize("layer", [r3gan.Upsample, r3gan.Downsample])
@pytest.mark.parametrize("shape", [(3, 4, 6, 2), (2, 14, 14, 3), (1, 2, 2, 1)])
def test_resampling_is_the_same_in_training(layer, shape):
    """By matrices there, by slices in inference: the maps, and the gradient that the penalties take."""
    x = tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    found = []
    for training in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(x)
            made = layer()(x, training=training)
            value = tf.reduce_sum(made**3)
        found.append((made.numpy(), tape.gradient(value, x).numpy()))
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=2e-6)
