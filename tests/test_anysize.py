import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan.anysize import Cut, RoundUp
from kgan.layers import InstanceNormalization


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# === Rounding up and cutting back ===

@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (8, 9), (7, 16), (37, 46)])
@pytest.mark.parametrize("free", [False, True])
def test_round_up_is_numpys_symmetric_padding(size, free):
    x = normal(2, *size, 3)
    signature = [tf.TensorSpec([None, None, None, 3] if free else x.shape)]
    found = tf.function(RoundUp(8), input_signature=signature)(x).numpy()
    more = [(0, -side % 8) for side in size]
    np.testing.assert_array_equal(found, np.pad(x, [(0, 0), *more, (0, 0)], mode="symmetric"))
    assert RoundUp(8).compute_output_shape(x.shape) == found.shape
    assert RoundUp(8).compute_output_shape((None, None, 9, 3)) == (None, None, 16, 3)
    cut = tf.function(lambda y, like: Cut()([y, like]), input_signature=2 * signature[:1] if free else None)(found, x)
    np.testing.assert_array_equal(cut, x)


def test_nothing_is_done_where_nothing_is_needed():
    def operations(size):
        graph = tf.function(lambda x: Cut()([RoundUp(8)(x), x])).get_concrete_function(tf.TensorSpec([2, size, size, 3])).graph
        return {operation.type for operation in graph.get_operations()} - {"Placeholder", "Identity", "NoOp", "Const"}
    assert operations(16) == set() and "GatherV2" in operations(15)


def test_a_network_for_any_size_is_saved_and_loaded(tmp_path):
    x = keras.Input((None, None, 2))
    y = keras.layers.Conv2D(2, 2, strides=2)(RoundUp(4)(x))
    model = keras.Model(x, Cut(name="images")([keras.layers.UpSampling2D(2)(y), x]))
    assert model.output_shape == (None, None, None, 2)
    model.save(tmp_path / "one.keras")
    loaded = keras.saving.load_model(tmp_path / "one.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for size in (5, 6), (1, 13), (8, 4):
        example = normal(2, *size, 2)
        assert model(example).shape == example.shape
        np.testing.assert_array_equal(loaded(example), model(example))
        np.testing.assert_array_equal(cloned(example), model(example))


def test_round_up_has_a_gradient():
    x = tf.Variable(normal(1, 3, 3, 1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(RoundUp(4)(x))
    # the last row and column are there twice
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(loss, x))[0, ..., 0], [[1, 1, 2], [1, 1, 2], [2, 2, 4]])


def test_wrong_multiple():
    with pytest.raises(ValueError, match="multiple=0: must be at least 1"):
        RoundUp(0)


# === Instance normalisation ===

@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("size", [(6, 5), (2, 2), (1, 1)])
def test_instance_normalization_is_keras_s_in_groups_of_one(size, jit):
    x = tf.Variable(3 + 2 * normal(4, *size, 7))
    weights = normal(7, seed=1), normal(7, seed=2)
    made = []
    for layer in InstanceNormalization(epsilon=1e-3), keras.layers.GroupNormalization(groups=-1, epsilon=1e-3):
        layer.build(x.shape)
        layer.set_weights(weights)

        @tf.function(jit_compile=jit)
        def step():
            with tf.GradientTape() as tape:
                y = layer(x)
                loss = tf.reduce_sum(y * normal(*x.shape, seed=3))
            return y, tape.gradient(loss, [x, *layer.trainable_variables])
        y, gradients = step()
        made.append([y, *gradients])
    for ours, keras_s in zip(*made, strict=True):
        np.testing.assert_allclose(ours, keras_s, rtol=1e-3, atol=1e-4)


def test_instance_normalization_by_hand():
    x = tf.constant([[[[1.0]], [[5.0]]]])  # mean 3, deviation 2
    np.testing.assert_allclose(InstanceNormalization(epsilon=0)(x), [[[[-1.0]], [[1.0]]]])
    np.testing.assert_array_equal(InstanceNormalization()(x[:, :1]), [[[[0.0]]]])  # a single pixel: nothing is left


def test_instance_normalization_does_not_mix_examples_and_knows_no_training():
    layer = InstanceNormalization(gamma_initializer="random_normal")
    x = normal(5, 4, 4, 3)
    whole = layer(x, training=True)
    np.testing.assert_allclose(layer(x[2:3]), whole[2:3], atol=1e-6)
    assert len(layer.non_trainable_variables) == 0


def test_instance_normalization_in_float16():
    layer = InstanceNormalization(dtype="mixed_float16")
    x = (300 + 10 * normal(2, 8, 8, 3)).astype(np.float16)  # squares overflow float16
    y = np.asarray(layer(x))
    assert y.dtype == np.float16 and layer.gamma.dtype == "float32"
    np.testing.assert_allclose(y.astype(np.float32).mean((1, 2)), 0, atol=0.05)
    np.testing.assert_allclose(y.astype(np.float32).std((1, 2)), 1, atol=0.05)


def test_instance_normalization_is_saved(tmp_path):
    layer = InstanceNormalization(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02, seed=1))
    model = keras.Sequential([keras.Input((None, None, 4)), layer])
    assert 0.9 < np.mean(layer.gamma) < 1.1 and np.std(layer.gamma) > 0 and not np.any(layer.beta)
    model.save(tmp_path / "one.keras")
    loaded = keras.saving.load_model(tmp_path / "one.keras")
    np.testing.assert_array_equal(loaded(normal(2, 3, 5, 4)), model(normal(2, 3, 5, 4)))
    assert type(loaded.layers[-1]) is InstanceNormalization and loaded.layers[-1].epsilon == 1e-5
