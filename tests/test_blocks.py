"""Convolutions by blocks are TensorFlow's: values, gradients, and the gradient of a gradient."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import blocks


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.mark.parametrize("kind, solids, options", [
    ("Conv3D", (2, 6, 4, 8, 1), {"filters": 3}), ("Conv3D", (2, 6, 4, 8, 1), {"filters": 3, "use_bias": False, "activation": "relu"}),
    ("Conv3DTranspose", (2, 3, 2, 4, 5), {"filters": 1})])
def test_layers_are_keras_s(kind, solids, options):
    x, found = normal(*solids), []
    for module in (blocks, keras.layers):
        keras.utils.set_random_seed(1)
        layer = getattr(module, kind)(kernel_size=4, strides=2, padding="same", bias_initializer="ones", **options)
        layer.build(x.shape)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                total = tf.reduce_sum(tf.sin(y))
            gradients = tape.gradient(total, [x, *layer.trainable_variables])
            square = tf.reduce_sum(gradients[0] ** 2)
        found.append([y, *gradients, *outer.gradient(square, [x, layer.kernel])])
    ours, keras_s = found[0][0 if "Transpose" in kind else 1], found[1][0 if "Transpose" in kind else 1]
    assert not np.array_equal(ours, keras_s)  # another order of sums: it does go by blocks
    for ours, keras_s in zip(*found, strict=True):
        np.testing.assert_allclose(ours, keras_s, rtol=1e-4, atol=1e-4)


def test_left_to_keras():
    x, layer = normal(1, 4, 4, 4, 2), blocks.Conv3D(2, 4, 2, padding="same")
    np.testing.assert_array_equal(layer(x, training=True), layer(x))
