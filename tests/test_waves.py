import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import waves


def sounds(length=64, channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(2, length, channels)).astype(np.float32)


@pytest.mark.parametrize("taps, strides", [(31, 4), (31, 2), (25, 4), (8, 4), (3, 1), (4, 4)])
def test_strided_is_keras(taps, strides):
    ours, other = waves.Strided1D(5, taps, strides), keras.layers.Conv1D(5, taps, strides, "same")
    x = sounds()
    ours(x), other(x)
    other.set_weights([np.array(ours.kernel), sounds(1, 5)[0, 0]])
    ours.bias.assign(other.bias)
    np.testing.assert_allclose(ours(x), other(x), atol=2e-5)
    assert ours.compute_output_shape((None, None, 3)) == (None, None, 5)


@pytest.mark.parametrize("taps, strides", [(31, 4), (31, 2), (25, 4), (8, 4), (3, 1), (4, 4)])
def test_transposed_is_keras(taps, strides):
    ours, other = waves.Strided1DTranspose(5, taps, strides), keras.layers.Conv1DTranspose(5, taps, strides, "same")
    x = sounds(16)
    ours(x), other(x)
    other.set_weights([np.array(ours.kernel), sounds(1, 5)[0, 0]])
    ours.bias.assign(other.bias)
    np.testing.assert_allclose(ours(x), other(x), atol=2e-5)
    assert ours.compute_output_shape((None, 16, 3)) == (None, 16 * strides, 5)


def test_emphasis_by_hand_and_back():
    x = np.array([1, 0, 0, 2], np.float32)[None, :, None]
    np.testing.assert_allclose(waves.PreEmphasis(0.5)(x)[0, :, 0], [1, -0.5, 0, 2])
    np.testing.assert_allclose(waves.DeEmphasis(0.5)(x)[0, :, 0], [1, 0.5, 0.25, 2.125], atol=1e-5)
    x = sounds(2000, 1)
    np.testing.assert_allclose(waves.DeEmphasis(0.95)(waves.PreEmphasis(0.95)(x)), x, atol=1e-4)


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.95])
def test_emphasis_in_training_is_the_same(factor):
    x, weights, layer, found = tf.constant(sounds(352, 1)), sounds(352, 1)[:, ::-1], waves.DeEmphasis(factor), []
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            total = tf.reduce_sum(y * weights)
        found.append((y, tape.gradient(total, x)))
    for plain, framed in zip(*found):
        np.testing.assert_allclose(framed, plain, atol=1e-5)


def test_loudness_by_numpy():
    """Against NumPy's transform of frames; a sine of amplitude .5 in the middle of a bin; silence."""
    layer, x = waves.Loudness(16), sounds(48, 1)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x[..., 0], [(0, 0), (0, 8)]), 16, 1)[:, ::8]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    power = np.abs(np.fft.rfft(frames * window / 4)[..., 1:]) ** 2
    np.testing.assert_allclose(layer(x)[..., 0], 4 * np.cbrt(np.sqrt(power + 1e-6)) - 1, rtol=1e-4, atol=1e-4)
    sine = 0.5 * np.sin(2 * np.pi * 3 / 16 * np.arange(48))[None, :, None]
    assert float(layer(sine.astype(np.float32))[0, 2, 2, 0]) == pytest.approx(4 * 0.5 ** (1 / 3) - 1, abs=1e-3)
    np.testing.assert_allclose(layer(np.zeros((1, 48, 1), np.float32)), -0.6, atol=1e-5)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (2, 6, 8, 1)
