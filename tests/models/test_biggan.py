import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery, shapes_alone

from kgan import models
from kgan.config import ConfigError
from kgan.gan import GAN
from kgan.layers import ConditionalBatchNormalization, SelfAttention, SpectralConv2D, SpectralDense
from kgan.models import biggan
from kgan.models._shapes import doublings
from kgan.run import Run, load

CLASSES = ("zero", "one", "two")
TINY = dict(filters=2, generator_widths=(4, 4, 2), discriminator_widths=(2, 4, 4), attention=(8,), noise_dim=7, shared_dim=5,
            embedding_gain=1.0, batch_size=4)


class TestBattery(Battery):
    model = "biggan"
    cases = {
        "colour": dict(shape=(16, 16, 3), **TINY),
        "8x12": dict(shape=(8, 12, 3), **{**TINY, "attention": ""}),
        "24x16, attention at 8": dict(shape=(24, 16, 1), **TINY),
        "12": dict(shape=(12, 12, 1), **TINY),
        "grey, from 7×7, as for CIFAR-10": dict(shape=(14, 14, 1), **{
            **TINY, "attention": "", "shared_dim": 0, "hierarchical": False, "initializer": "normal",
            "discriminator_steps": 2, "orthogonal_weight": 0}),
    }
    # singular vectors of one number are 1, but for rounding; the hinge has no use for a bias while logits are small
    loose = ("score/u", "query/u", "key/u", "to_images/u", "score/bias")


def build(shape=(16, 16, 3), **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("biggan", shape, {"jit_compile": False, **TINY, **settings}, seed=3, classes=CLASSES)
    gan.compile()
    return gan


def example(count=5, gan=None, seed=0):
    gan = gan or build()
    return gan.latents(count, seed).numpy(), np.arange(count) % 3


# === The networks, by their description ===

def layers(network, kind):
    """Those without a name of their own, in the order in which they were made."""
    names = {layer.name: layer for layer in network.layers if type(layer) is kind}
    stem = keras.src.utils.naming.to_snake_case(kind.__name__)
    found = {int(name[len(stem) + 1:] or 0): layer for name, layer in names.items() if name.startswith(stem)}
    return [found[number] for number in sorted(found)]


def convolved(x, layer):
    return tf.nn.conv2d(x, tf.cast(layer.kernel, x.dtype), 1, "SAME").numpy() + layer.bias.numpy()


def repeated(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def relu(x):
    return np.maximum(x, 0)


def attended(x, layer):
    return layer(x.astype(np.float32)).numpy().astype(np.float64)  # tests/test_layers.py has it by loops


def images(network, noise, label, training=False):
    """What a tiny generator with hierarchical noise should make, and its batches' means and variances; float64."""
    statistics = []

    def normalised(x, layer):
        places = tuple(range(x.ndim - 1))
        mean, variance = x.mean(places), x.var(places)
        statistics.append((mean, variance))
        if not training:
            mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        return (x - mean) / np.sqrt(variance + 1e-5)

    def conditioned(x, layer, condition):
        gain, bias = (condition @ dense.kernel.numpy() for dense in (layer.gain, layer.bias))
        return normalised(x, layer.normalization) * (1 + gain)[:, None, None] + bias[:, None, None]

    dense, = layers(network, SpectralDense)
    last = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    norms, convolutions = layers(network, ConditionalBatchNormalization), layers(network, SpectralConv2D)
    assert len(norms) == 4 and len(convolutions) == 6
    shared = np.eye(3)[label] @ network.get_layer("embedding").kernel.numpy()
    first, *rest = np.split(noise.astype(np.float64), [2, 4], axis=1)  # 2, 2 and 3 of 7 numbers
    x = (first @ dense.kernel.numpy() + dense.bias.numpy()).reshape(-1, 4, 4, 8)
    for block, part in enumerate(rest):
        condition = np.concatenate([shared, part], axis=1)
        one, two, short = convolutions[3 * block:3 * block + 3]
        y = convolved(repeated(relu(conditioned(x, norms[2 * block], condition))), one)
        y = convolved(relu(conditioned(y, norms[2 * block + 1], condition)), two)
        x = y + convolved(repeated(x), short)
        if x.shape[1] == 8:
            x = attended(x, *layers(network, SelfAttention))
    x = normalised(x, last) * last.gamma.numpy() + last.beta.numpy()
    return np.tanh(convolved(relu(x), network.get_layer("to_images"))), statistics


def wake(network, seed=0):
    """Weights unlike those at the start: attention does something, no bias is 0, statistics are some."""
    random = np.random.default_rng(seed)
    for weight in network.weights:
        if weight.path.endswith(("bias", "beta", "gamma", "moving_mean")):
            weight.assign(random.normal(size=weight.shape) * 0.5)
        if weight.path.endswith("moving_variance"):
            weight.assign(random.uniform(0.5, 2, size=weight.shape))


@pytest.mark.parametrize("training", [False, True])
def test_generator_by_its_description(training):
    gan = build()
    wake(gan.generator)
    noise, label = example(gan=gan)
    found = gan.make(noise, label, gan.generator, training=training)
    # afterwards, for in training the vectors of spectral normalisation move first; the statistics are the batch's
    np.testing.assert_allclose(found, images(gan.generator, noise, label, training)[0], atol=1e-4)


def test_discriminator_by_its_description():
    gan = build()
    wake(gan.discriminator)
    x = np.random.default_rng(1).uniform(-1, 1, (5, 16, 16, 3))
    label = np.arange(5) % 3
    convolutions = layers(gan.discriminator, SpectralConv2D)
    y = halved(convolved(relu(convolved(x, convolutions[0])), convolutions[1]))
    h = attended(y + convolved(halved(x), convolutions[2]), *layers(gan.discriminator, SelfAttention))  # 8×8
    y = halved(convolved(relu(convolved(relu(h), convolutions[3])), convolutions[4]))
    h = y + halved(convolved(h, convolutions[5]))  # 4×4: the third block halves no more, and has nothing on its short cut
    y = convolved(relu(convolved(relu(h), convolutions[6])), convolutions[7])
    features = relu(h + y).sum((1, 2))
    score, directions = (gan.discriminator.get_layer(name) for name in ("score", "directions"))
    expected = features @ score.kernel.numpy() + score.bias.numpy()
    expected += (features * directions.kernel.numpy()[label]).sum(1, keepdims=True)
    assert len(convolutions) == 8
    np.testing.assert_allclose(gan.logits(x.astype(np.float32), label, training=False), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count, sizes", [(120, [20] * 6), (60, [8, 9, 8, 9, 8, 9, 9])])
def test_parts_of_the_noise(count, sizes):
    noise = np.arange(count)[None]
    parts = biggan._parts(noise, len(sizes), biggan.Config(noise_dim=count))
    assert [part.shape[1] for part in parts] == sizes
    np.testing.assert_array_equal(np.concatenate(parts, 1), noise)


# === Parameters ===

def parameters(preset, size, classes, **settings):
    """Trained ones of both networks; shapes are enough, no number is made."""
    config = biggan.Config.of(preset=preset, **settings)
    with shapes_alone():
        return [sum(int(np.prod(weight.shape)) for weight in make((size, size, 3), config, classes).trainable_weights)
                for make in (biggan.generator, biggan.discriminator)]


def test_parameters_of_imagenet():
    # what the authors' program prints of its networks at 128×128 for 1,000 classes; table 1 has 158.3 M and, of 64
    # channels, 71.3 M for both together, and does not say of what: .1 % less
    found = parameters("imagenet128", 128, 1000)
    assert found == [70_433_988, 87_982_370]
    assert sum(found) / 1e6 == pytest.approx(158.3, abs=0.15)
    assert sum(parameters("imagenet128", 128, 1000, filters=64)) / 1e6 == pytest.approx(71.3, abs=0.15)


def test_parameters_of_cifar10():
    # by hand from the authors' launch_cifar_ema.sh; the paper gives no number
    big, short = 9 * 256**2 + 256, 256**2 + 256
    generator = 128 * 4096 + 4096 + 3 * (2 * big + short + 2 * 2 * 10 * 256) + 2 * 256 + 9 * 256 * 3 + 3
    first = 9 * 3 * 256 + 256 + big + 3 * 256 + 256
    assert parameters("cifar10", 32, 10) == [generator, first + (2 * big + short) + 2 * 2 * big + 256 + 1 + 10 * 256]


@pytest.mark.parametrize("preset, size", [("imagenet64", 64), ("imagenet256", 256)])
def test_presets_fit_their_size(preset, size):
    config = biggan.Config.of(preset=preset)
    assert len(config.generator_widths) == len(doublings((size, size))) == config.halvings + 1 == len(config.discriminator_widths)
    assert config.noise_dim % len(doublings((size, size))) == 0


# === Orthogonal weights ===

@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (3, 3, 2, 5), (1, 1, 2, 5)])
def test_entanglement_by_hand(shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    matrix = kernel.reshape(-1, shape[-1])
    expected = np.sum((matrix.T @ matrix * (1 - np.eye(shape[-1])))**2)
    assert float(biggan.entanglement(kernel)) == pytest.approx(expected, rel=1e-5)
    if matrix.shape[0] >= matrix.shape[1]:
        orthogonal = 3 * np.linalg.qr(matrix)[0].reshape(shape)  # of whatever length: the diagonal has no part in it
        assert float(biggan.entanglement(orthogonal.astype(np.float32))) == pytest.approx(0, abs=1e-6)


def test_the_generator_alone_is_regularised():
    plain, gan = build(orthogonal_weight=0), build(orthogonal_weight=0.1)
    real = tf.random.stateless_uniform((4, 16, 16, 3), [0, 0], -1, 1)
    label = np.arange(4) % 3
    kernels = [weight.numpy().reshape(-1, weight.shape[-1]) for weight in gan.generator.trainable_weights
               if weight.path.endswith("kernel") and "embedding" not in weight.path]
    # the first layer, four normalisations with two each, seven convolutions, attention's four
    assert len(kernels) == 1 + 8 + 7 + 4
    expected = 0.1 * sum(np.sum((w.T @ w * (1 - np.eye(w.shape[1])))**2) for w in kernels)
    for training in (True, False):
        losses = [each.generator_loss(real, real, label, training=training) for each in (plain, gan)]
        assert float(losses[1] - losses[0]) == pytest.approx(expected if training else 0, rel=1e-3)
        losses = [each.discriminator_loss(real, real, label, training=training) for each in (plain, gan)]
        assert float(losses[1] - losses[0]) == pytest.approx(0, abs=1e-5)


def test_initial_weights_are_orthogonal():
    gan = build()
    for weight in (*gan.generator.trainable_weights, *gan.discriminator.trainable_weights):
        if weight.path.endswith("kernel"):
            matrix = weight.numpy().reshape(-1, weight.shape[-1])
            np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, atol=1e-5)


# === Standing statistics ===

def test_standing_statistics_by_hand():
    gan = build()
    wake(gan.ema_generator)
    before = {weight.path: weight.numpy() for weight in gan.ema_generator.weights}
    noise, label = gan.latents(12, seed=5).numpy(), np.arange(12) % 3
    batches = [images(gan.ema_generator, noise[i:i + 4], label[i:i + 4], training=True)[1] for i in (0, 4, 8)]
    gan.standing_statistics(batches=3, batch_size=4, seed=5)
    norms = [layer.normalization for layer in layers(gan.ema_generator, ConditionalBatchNormalization)]
    norms += [layer for layer in gan.ema_generator.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 5
    for norm, *found in zip(norms, *batches, strict=True):
        np.testing.assert_allclose(norm.moving_mean, np.mean([mean for mean, _ in found], 0), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, np.mean([variance for _, variance in found], 0), rtol=1e-3)
        assert norm.momentum == 0.9 and not norm.trainable
    for weight in gan.ema_generator.weights:
        assert np.array_equal(weight, before[weight.path]) != ("moving" in weight.path), weight.path
    assert gan.ema_generator.trainable_variables == []
    # what was before does not matter, and nothing is drawn at random
    first = gan.generate(5)
    wake(gan.generator, seed=8)
    gan.standing_statistics(batches=3, batch_size=4, seed=5)
    np.testing.assert_array_equal(gan.generate(5), first)
    gan.standing_statistics(batches=3, batch_size=4, seed=6)
    assert np.abs(gan.generate(5) - first).max() > 1e-4


def test_truncated_standing_statistics():
    gan = build()
    found = []
    for truncation in (None, 0.1, 0.1):
        gan.standing_statistics(batches=2, truncation=truncation)
        found.append(gan.generate(3, truncation=0.1))
    np.testing.assert_array_equal(found[1], found[2])
    assert np.abs(found[1] - found[0]).max() > 1e-3


def test_a_loaded_run_has_standing_statistics(tmp_path):
    gan = build(standing_batches=2)
    wake(gan.ema_generator)
    run = Run(tmp_path)
    run.begin({"model": "biggan", "shape": [16, 16, 3], "seed": 3, "classes": CLASSES,
               "config": dict(TINY, jit_compile=False, standing_batches=2)})
    run.save(gan, 1)
    averaged = gan.generate(3)
    gan.standing_statistics(2)
    loaded, _ = load(tmp_path)
    np.testing.assert_array_equal(loaded.generate(3), gan.generate(3))
    assert np.abs(loaded.generate(3) - averaged).max() > 1e-3


# === Replicas ===

_TWO = """
import json, keras, numpy as np, tensorflow as tf
from kgan import models
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
images = np.random.default_rng(0).uniform(-1, 1, (24, 8, 8, 3)).astype(np.float32)
data = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(24) % 3}).batch(8, drop_remainder=True)
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(7)
        gan = models.build("biggan", (8, 8, 3), dict(
            filters=2, generator_widths="4,2", discriminator_widths="2", attention="", noise_dim=6, shared_dim=5,
            optimizer="sgd", generator_learning_rate=.05, discriminator_learning_rate=.05, jit_compile=False,
            orthogonal_weight=.01), seed=3, classes=("a", "b", "c"))
        gan.compile()
    start = [weight.copy() for weight in gan.get_weights()]
    gan.fit(data, verbose=0)
    found.append(gan.get_weights())
gan.standing_statistics(2, 4)
apart = lambda ones, others: float(max(np.abs(one - other).max() for one, other in zip(ones, others, strict=True)))
print(json.dumps({"moved": apart(start, found[1]), "apart": apart(*found), "finite": bool(np.isfinite(gan.generate(3)).all())}))
"""


@pytest.mark.slow  # tests/test_replicas.py has another model's batch statistics
def test_two_replicas_are_one():
    # batch statistics too: they are those of the whole batch
    result = subprocess.run([sys.executable, "-c", _TWO], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["moved"] > 0.05 and found["apart"] < 1e-4 and found["finite"]


# === What cannot be ===

def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="noise_dim=2: must be at least 3"):
        biggan.build((16, 16, 3), biggan.Config(noise_dim=2), classes=CLASSES)
    with pytest.raises(ConfigError, match="generator_widths=.*: must be one or more numbers"):
        biggan.Config(generator_widths=())
    with pytest.raises(ConfigError, match="image_size=100: biggan needs .* the nearest sizes are 96 and 112$"):
        biggan.build((100, 100, 3))


def test_it_is_saved_as_what_it_is(tmp_path):
    gan = build()
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert type(loaded) is biggan.BigGAN and isinstance(loaded, GAN) and loaded.config == gan.config
    np.testing.assert_array_equal(loaded.generate(4), gan.generate(4))
