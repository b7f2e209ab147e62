import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery, shapes_alone

from kgan import models
from kgan.config import ConfigError
from kgan.models import fastgan

TINY = dict(filters=2, discriminator_filters=2, noise_dim=6, batch_size=4)


class TestBattery(Battery):
    model = "fastgan"
    cases = {"colour": dict(shape=(28, 28, 3), excitation=1, **TINY)}
    loose = "score/u",  # of one number: 1, but for rounding


def build(shape=(28, 28, 3), **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("fastgan", shape, {"jit_compile": False, **TINY, **settings}, seed=3)
    gan.compile(run_eagerly=True)
    return gan


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# === Sizes ===

@pytest.mark.parametrize("size, drawn, last", [
    (28, 14, 7), (32, 16, 8), (64, 32, 8), (96, 48, 12), (128, 64, 8), (256, 128, 8), (512, 128, 8), (1024, 128, 8)])
def test_sizes(size, drawn, last):
    assert fastgan._small((size, size)) == (drawn, drawn) and fastgan._halvings((size, size))[0] == (last, last)


def outlines(size, **settings):
    """The networks as they are built, without a number in them."""
    config, shape = fastgan.Config.of(**settings), (size, size, 3)
    with shapes_alone():
        return [make(shape, config) for make in (fastgan.generator, fastgan.discriminator, fastgan.decoders)]


@pytest.mark.parametrize("size", [64, 128, 512])
def test_powers_of_two(size):
    generator, discriminator, decoders = outlines(size, **TINY)
    assert generator.output_shape == (None, size, size, 3)
    drawn = min(size // 2, 128)
    assert {name: tensor.shape[1:] for name, tensor in decoders.output.items()} == dict.fromkeys(
        ("whole", "part", "small"), (drawn, drawn, 3))
    shapes = {name: tensor.shape[1:] for name, tensor in discriminator.output.items()}
    # two maps of 5×5 places, of the image and of the small one
    assert shapes == {"logits": (50,), "whole": (8, 8, 16), "part": (16, 16, 8), "small": (8, 8, 8),
                      "seen": (2 * drawn, 2 * drawn, 3)}


def test_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="image_size=16: fastgan needs 28 rows and columns or more"):
        fastgan.build((16, 16, 3))
    with pytest.raises(ConfigError, match="image_size=100: fastgan needs .* the nearest sizes are 96 and 112$"):
        fastgan.build((100, 100, 3))


# === Parameters ===

def convolutions(*layers):
    return sum(kernel**2 * ins * outs for kernel, ins, outs in layers)


def test_parameters_of_the_published_networks():
    # the authors' program, layer by layer, (kernel, channels in, channels out), with gain and bias for each normalised
    # channel; without the noise in G and its second output, which kgan leaves out
    generator, discriminator, decoders = outlines(1024, preset="published")
    count = lambda network: sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    widths = 1024, 512, 256, 128, 128, 64, 32, 16, 8
    doubled = [(3, ins, 2 * outs) for ins, outs in zip(widths, widths[1:])]
    again = [(3, widths[i], 2 * widths[i]) for i in (1, 3, 5, 7)]
    excitation = [layer for small, large in ((1024, 128), (512, 64), (256, 32), (128, 16))
                  for layer in ((4, small, large), (1, large, large))]
    normalised = 2 * 2 * (sum(widths) + sum(widths[i] for i in (1, 3, 5, 7)))
    assert count(generator) == 256 * 2048 * 16 + convolutions(*doubled, *again, *excitation, (3, 8, 3)) + normalised

    widths = 16, 32, 64, 128, 256, 512  # after the stem, from 256 pixels to 8
    halved = [layer for ins, outs in zip(widths, widths[1:]) for layer in ((4, ins, outs), (3, outs, outs), (1, ins, outs))]
    excitation = [layer for ins, outs in ((16, 128), (32, 256), (64, 512)) for layer in ((4, ins, outs), (1, outs, outs))]
    small = (4, 3, 32), (4, 32, 64), (4, 64, 128), (4, 128, 256), (4, 256, 1)
    normalised = 2 * (16 + 3 * sum(widths[1:]) + 1024 + 64 + 128 + 256)
    assert count(discriminator) == convolutions(
        (4, 3, 8), (4, 8, 16), *halved, *excitation, (1, 512, 1024), (4, 1024, 1), *small) + normalised

    drawn = (3, 128, 128), (3, 64, 128), (3, 64, 64), (3, 32, 3)
    assert count(decoders) == sum(convolutions((3, ins, 256), *drawn) + 2 * (256 + 128 + 128 + 64) for ins in (512, 256, 256))
    assert [round(count(network) / 1e6, 1) for network in (generator, discriminator, decoders)] == [29.2, 8.4, 3.1]


def test_published_settings():
    config = fastgan.Config.of(preset="published")
    wanted = dict(loss="soft_hinge", augment="color+translation", batch_size=8, steps=50_000, noise_dim=256, beta_1=0.5,
                  beta_2=0.999, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4, ema_decay=0.999,
                  discriminator_steps=1)
    assert {name: getattr(config, name) for name in wanted} == wanted


# === Excitation ===

def test_excitation_by_hand():
    x, by = keras.Input((6, 6, 3)), keras.Input((8, 8, 2))
    layer = keras.Model([x, by], fastgan.excited(x, by, (4, 4)))
    first, second = (weights.kernel.numpy() for weights in layer.layers if hasattr(weights, "kernel"))
    assert first.shape == (4, 4, 2, 3) and second.shape == (1, 1, 3, 3)
    maps, small = numbers(5, 6, 6, 3), numbers(5, 8, 8, 2, seed=1)
    pooled = small.reshape(5, 4, 2, 4, 2, 2).mean((2, 4))
    y = np.einsum("nhwc,hwcd->nd", pooled, first)
    y = y / (1 + np.exp(-y)) @ second[0, 0]
    np.testing.assert_allclose(layer([maps, small]), maps / (1 + np.exp(-y))[:, None, None], rtol=1e-4, atol=1e-6)


def test_who_excites_whom():
    def gates(network):
        return [(layer.input[0].shape[1], layer.input[1].shape[-1]) for layer in network.layers
                if isinstance(layer, keras.layers.Multiply)]
    generator, discriminator, _ = outlines(1024, preset="published")
    assert gates(generator) == [(64, 128), (128, 64), (256, 32), (512, 16)]
    assert sorted(gates(discriminator)) == [(8, 512), (16, 256), (32, 128)]
    assert [gates(network) for network in outlines(64)[:2]] == [[(32, 16), (64, 16)], [(8, 64)]]


def test_doubling_is_the_same_in_training():
    """A transposed convolution there, repeated places in inference: the maps, and the gradients."""
    layer = fastgan.DoubledConv2D(3, 3, padding="same", use_bias=False)
    x = tf.constant(numbers(2, 4, 5, 6))
    layer(x)
    for _ in range(50):
        layer.improve()  # else the call in training would divide by another σ
    found = []
    for training in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(x)
            made = layer(x, training=training)
            value = tf.reduce_sum(made**3)
        found.append([made, *tape.gradient(value, [x, layer._kernel.value])])
    plain = tf.nn.conv2d(x.numpy().repeat(2, 1).repeat(2, 2), layer.kernel, 1, "SAME")
    np.testing.assert_allclose(found[1][0], plain, rtol=1e-5, atol=1e-5)
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


# === Reconstruction ===

def test_quarters_by_hand():
    maps = np.arange(2 * 4 * 6, dtype=np.float32).reshape(1, 4, 6, 2).repeat(4, 0)
    found = fastgan.quarter(tf.constant(maps), tf.range(4)).numpy()
    np.testing.assert_array_equal(found, np.stack([maps[0, :2, :3], maps[0, :2, 3:], maps[0, 2:, :3], maps[0, 2:, 3:]]))


def test_the_same_quarter_of_image_and_features(monkeypatch):
    # D says of each place of 2×2 pixels their mean, the decoders draw just that: right only where the quarters are the same
    gan, seen = build(), numbers(16, 16, 16, 3).repeat(2, 1).repeat(2, 2)
    asked = []

    def draw(given, training):
        asked.append(given["part"])
        return {name: tf.repeat(tf.repeat(maps, 2, 1), 2, 2) if name == "part" else maps for name, maps in given.items()}
    monkeypatch.setitem(gan.__dict__, "decoders", draw)
    small = tf.constant(seen[:, ::2, ::2])
    judged = {"whole": small, "small": small, "part": small, "seen": tf.constant(seen)}
    for draw_ in (0, 1):
        assert float(gan.self_supervision(seen, judged, {}, draw_)) == pytest.approx(0, abs=1e-5)
    # one quarter an example, all four among sixteen, others in the step's next update
    all_four = np.stack([fastgan.quarter(small, tf.fill([16], i)) for i in range(4)])
    quarters = [[next(i for i in range(4) if np.array_equal(all_four[i, row], part[row])) for row in range(16)]
                for part in asked]
    assert set(quarters[0]) == {0, 1, 2, 3} and quarters[0] != quarters[1]


def test_d_alone_draws_real_images_alone_by_hand(monkeypatch):
    gan = build(reconstruction_weight=0.5, augment="")
    real, *fakes = (np.tanh(numbers(4, 28, 28, 3, seed=seed)) for seed in (0, 1, 2))
    tensor, fakes = tf.constant(real), [tf.constant(fake) for fake in fakes]
    judged = gan.judge(tensor)
    which = np.int32(4 * gan.random(4, fastgan.DISCRIMINATOR, 0, "quarter").uniform().numpy())
    drawn = gan.decoders({**{name: judged[name] for name in ("whole", "small")},
                          "part": fastgan.quarter(judged["part"], which)}, training=True)
    small = real.reshape(4, 14, 2, 14, 2, 3).mean((2, 4))
    part = np.stack([image[i // 2 * 14:, i % 2 * 14:][:14, :14] for image, i in zip(real, which)])
    wanted = {"whole": small, "small": small, "part": part}
    expected = sum(np.abs(drawn[name] - wanted[name]).mean() for name in wanted)
    assert expected > 0.5

    def losses():  # of D with one and the other fakes, and of G
        return [*(float(gan.discriminator_loss(tensor, fake)) for fake in fakes), float(gan.generator_loss(tensor, fakes[0]))]

    found = losses()
    assert float(gan.results("reconstruction")["reconstruction"]) == pytest.approx(expected, rel=1e-3)
    with monkeypatch.context() as patch:
        patch.setattr(fastgan.FastGAN, "self_supervision", lambda *_: 0.0)
        # with each pass D's σ is a little nearer the truth, so the others are not equal to the last digits
        np.testing.assert_allclose(np.subtract(found, losses()), [0.5 * expected, 0.5 * expected, 0], atol=1e-3)
    # in evaluation it is not called, so that statistics stay as they are
    before = gan.decoders.get_weights()
    gan.discriminator_loss(tensor, fakes[0], training=False)
    for one, other in zip(before, gan.decoders.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_mixed_precision_and_a_keras_file(tmp_path):
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        gan = build(shape=(32, 32, 3), augment="color+translation")
        data = tf.data.Dataset.from_tensor_slices({"image": np.tanh(numbers(8, 32, 32, 3))}).batch(4)
        history = gan.fit(data, verbose=0).history
        assert history["reconstruction"] and all(np.isfinite(values).all() for values in history.values())
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    gan.save(tmp_path / "gan.keras")
    other = keras.models.load_model(tmp_path / "gan.keras")
    assert type(other) is fastgan.FastGAN and other.config == gan.config
    np.testing.assert_array_equal(other.generate(3), gan.generate(3))
    for one, two in zip(other.decoders.get_weights(), gan.decoders.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
