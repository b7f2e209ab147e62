"""cgan, acgan, projection, infogan: what makes each of them what it is. Labels through GAN itself: tests/test_labels.py."""
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery
from scipy import stats

from kgan import models
from kgan.config import ConfigError
from kgan.models import infogan

TINY = dict(filters=4, noise_dim=6, batch_size=4)
CLASSES = "ant", "bee", "cat"


class TestCGAN(Battery):
    model = "cgan"
    cases = {"grey": dict(shape=(8, 8, 1), **TINY), "dense": dict(shape=(5, 6, 3), preset="dense", noise_dim=6),
             "8x12": dict(shape=(8, 12, 3), **TINY), "10": dict(shape=(10, 10, 1), **TINY),
             "14 colour, relativistic, three steps of D": dict(
                 shape=(14, 14, 3), discriminator_normalization="none", loss="relativistic", penalty="r1+r2",
                 discriminator_steps=3, **TINY)}


class TestACGAN(Battery):
    model = "acgan"
    cases = {"grey": dict(shape=(8, 8, 1), **TINY), "8x12": dict(shape=(8, 12, 3), **TINY), "published, hinge": dict(
        shape=(14, 14, 3), preset="published", loss="hinge", **TINY)}


class TestProjection(Battery):
    model = "projection"
    learned = True  # an embedding of labels begins at 0
    cases = {"grey": dict(shape=(8, 8, 1), **TINY), "XLA": dict(shape=(8, 8, 3), jit_compile=True, **TINY),
             "8x12": dict(shape=(8, 12, 3), **TINY)}
    loose = "score/bias", "score/u"  # the hinge's gradient of a bias is 0 while logits are small; σ of one row is 1


class TestInfoGAN(Battery):
    model = "infogan"
    cases = {"grey": dict(shape=(8, 8, 1), units=16, **TINY),
             "8x12": dict(shape=(8, 12, 3), units=8, **TINY), "10": dict(shape=(10, 10, 1), units=8, **TINY),
             "17x30, odd maps": dict(shape=(17, 30, 1), units=8, **TINY),
             "clusters, XLA": dict(shape=(14, 14, 1), units=8, clustering_weight=1.0, jit_compile=True, **TINY),
             "five categories, no numbers": dict(shape=(28, 28, 3), categories=5, codes=0, units=8, **TINY)}


@pytest.mark.parametrize("name, settings", [
    ("acgan", dict(loss="non_saturating", batch_size=100, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4,
                   beta_1=0.5, beta_2=0.999)),
    ("projection", dict(loss="hinge", discriminator_steps=5, batch_size=64, beta_1=0.0, beta_2=0.9, noise_dim=128)),
    ("infogan", dict(batch_size=128, generator_learning_rate=1e-3, discriminator_learning_rate=2e-4, beta_1=0.5,
                     noise="uniform", noise_dim=64, categories=10, codes=2, category_weight=1.0)),
])
def test_published_settings(name, settings):
    config = models.outline(name).Config.of(preset="published")
    assert {key: getattr(config, key) for key in settings} == settings


def built(name, shape=(8, 8, 1), **settings):
    keras.utils.set_random_seed(2)
    gan = models.build(name, shape, {"jit_compile": False, **TINY, **settings}, seed=3, classes=CLASSES)
    gan.compile(run_eagerly=True)
    return gan


def batch(gan, count=4):
    images = np.random.default_rng(0).uniform(-1, 1, (count, *gan.generator.output_shape[1:])).astype(np.float32)
    return tf.constant(images), tf.range(count) % 3


def test_d_of_cgan_is_told_the_label():
    gan = built("cgan")
    images, label = batch(gan)
    # the map that a class adds is a row of the kernel, beside the image
    kernel, bias = gan.discriminator.get_layer("plane").get_weights()
    assert kernel.shape == (3, 64)
    joined = next(layer.output for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Concatenate))
    seen = np.asarray(keras.Model(gan.discriminator.input, joined)({"image": images, "label": label}))
    np.testing.assert_array_equal(seen[..., :1], images)
    np.testing.assert_allclose(seen[..., 1], (kernel[np.asarray(label)] + bias).reshape(-1, 8, 8), atol=1e-6)


def test_the_direction_of_a_class_by_hand():
    """Projection: f(x, y) = ψ(φ(x)) + vᵧ·φ(x)."""
    gan = built("projection", discriminator_normalization="none")
    images, label = batch(gan)
    network = gan.discriminator
    maps = [layer.output for layer in network.layers if isinstance(layer, keras.layers.LeakyReLU)][-1]
    features = np.asarray(keras.Model(network.input, maps)({"image": images, "label": label})).sum((1, 2))
    directions, = network.get_layer("directions").get_weights()
    kernel, bias = network.get_layer("score").get_weights()
    np.testing.assert_allclose(gan.logits(images, label, training=False),
                               features @ kernel + bias + (features * directions[np.asarray(label)]).sum(1, keepdims=True), rtol=1e-5, atol=1e-6)


def test_acgan_adds_the_cross_entropy_of_the_class_by_hand():
    gan = built("acgan", class_weight=0.7)
    images, label = batch(gan)
    fake = gan.make(gan.noise(4), label, gan.generator)

    def entropy(examples):
        scores = np.asarray(gan.judge(examples, label)["class"], np.float64)
        return np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(4), np.asarray(label)])

    def objective(side, *sets):
        return float(getattr(gan.objective, side)(*[gan.logits(examples) for examples in sets]))

    # batch normalisation in D: each set of examples has a pass of its own
    assert float(gan.discriminator_loss(images, fake, {"label": label}, gan.noise(4))) == pytest.approx(
        objective("discriminator", images, fake) + 0.7 * (entropy(images) + entropy(fake)), rel=1e-5)
    assert float(gan.generator_loss(images, fake, {"label": label}, gan.noise(4))) == pytest.approx(
        float(gan.objective.generator(None, gan.logits(fake))) + 0.7 * entropy(fake), rel=1e-5)


def test_infogan_adds_the_codes_likelihood_by_hand():
    gan = built("infogan", category_weight=0.7, code_weight="linear:0.3:0.1", clustering_weight=0.0, categories=3)
    images, _ = batch(gan)
    label, noise = tf.constant([0, 2, 1, 1]), np.asarray(gan.noise(4))
    fake = gan.make(noise, label, gan.generator)
    judged = {name: np.asarray(values, np.float64) for name, values in gan.judge(fake).items()}
    logs = (stats.norm.logpdf(noise[:, :2], judged["codes"]) - stats.norm.logpdf(0)).sum(1)
    scores = judged["category"] - np.log(np.exp(judged["category"]).sum(1, keepdims=True))
    expected = -0.7 * scores[np.arange(4), np.asarray(label)].mean() - 0.3 * logs.mean()
    plain = float(gan.objective.generator(None, gan.logits(fake)))
    assert float(gan.generator_loss(images, fake, {"label": label}, noise)) == pytest.approx(plain + expected, rel=1e-5)
    plain = float(gan.objective.discriminator(gan.logits(images), gan.logits(fake)))
    assert float(gan.discriminator_loss(images, fake, {"label": label}, noise)) == pytest.approx(plain + expected, rel=1e-5)


def test_infogan_draws_its_categories():
    gan = built("infogan", categories=5)
    labels = np.asarray(gan.label({"image": np.zeros((4_000, 8, 8, 1), np.float32)}))
    assert labels.dtype == np.int32
    np.testing.assert_allclose(np.bincount(labels, minlength=5) / 4_000, 0.2, atol=4 * (0.2 * 0.8 / 4_000) ** 0.5)
    gan.generator_optimizer.iterations.assign(1)
    assert (np.asarray(gan.label({"image": np.zeros((4_000, 8, 8, 1), np.float32)})) != labels).mean() > 0.5


def test_what_two_views_tell_of_each_other_by_hand():
    told = infogan.mutual_information
    sure = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 3, 2, 1, 0]]
    assert float(told(sure, sure)) == pytest.approx(np.log(4), rel=1e-4)
    assert float(told(sure, np.full((8, 4), 0.25, np.float32))) == pytest.approx(0, abs=1e-5)
    assert float(told(sure[:1].repeat(8, 0), sure[:1].repeat(8, 0))) == pytest.approx(0, abs=1e-5)  # all alike: nothing told
    one, other = np.random.default_rng(0).dirichlet(np.ones(4), (2, 50)).astype(np.float32)
    joint = (one.T @ other + other.T @ one) / 100
    entropy = lambda p: -(p * np.log(p)).sum()
    assert float(told(one, other)) == pytest.approx(2 * entropy(joint.sum(0)) - entropy(joint), abs=1e-5)


def test_warps_by_hand():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 28, 28, 3)).astype(np.float32)

    def warped(**changes):  # of angle, slant, tall, wide, down, right, each from -1 to 1
        numbers = [changes.get(name, 0) for name in ("angle", "slant", "tall", "wide", "down", "right")]
        return infogan.warp(images, lambda count: (tf.constant([numbers] * 2, tf.float32) + 1) / 2).numpy()
    np.testing.assert_allclose(warped(), images, atol=1e-5)
    np.testing.assert_allclose(warped(down=0.5, right=-1)[:, :-1, 2:], images[:, 1:, :-2], atol=1e-5)  # 28 / 14 pixels at most
    np.testing.assert_allclose(warped(right=0.25)[:, :, :-1], (images[:, :, :-1] + images[:, :, 1:]) / 2, atol=1e-5)
    assert warped(right=1)[:, :, -2:] == pytest.approx(images[:, :, -1:].repeat(2, 2), abs=1e-5)  # the edge goes on
    # a bright line through the middle, turned and slanted
    images = np.full((2, 29, 29, 1), -1, np.float32)
    images[:, :, 14] = 1
    rows, turned = np.arange(10, 19), infogan.TURN
    for changes, angle in (dict(angle=1), turned), (dict(slant=1), np.arctan(infogan.SLANT)):
        brightest = warped(**changes)[0, rows, :, 0].argmax(1)
        np.testing.assert_allclose(np.abs(brightest - 14), np.abs(np.tan(angle) * (rows - 14)), atol=0.6)


def test_infogan_clusters_real_images():
    gan, plain = (built("infogan", clustering_weight=weight, categories=3) for weight in (0.4, 0.0))
    images, _ = batch(gan)
    given, noise = {"label": tf.constant([0, 2, 1, 1])}, gan.noise(4)
    fake = gan.make(noise, given, gan.generator)
    # of D's loss alone, in training alone; at most log(3) a weight
    assert float(gan.generator_loss(images, fake, given, noise)) == float(plain.generator_loss(images, fake, given, noise))
    assert float(gan.discriminator_loss(images, fake, given, noise, training=False)) == float(
        plain.discriminator_loss(images, fake, given, noise, training=False))
    gained = float(plain.discriminator_loss(images, fake, given, noise) - gan.discriminator_loss(images, fake, given, noise))
    assert 0 < gained < 0.4 * np.log(3)


def test_gains_of_classes_in_projection():
    """G's batch normalisation: a gain for each class, so that one class's can change alone."""
    gan = built("projection")
    before = gan.generate(6, label=[0, 1, 2, 0, 1, 2])
    for average in gan.ema_generator.layers:
        if type(average).__name__ == "ConditionalBatchNormalization":
            gain = average.gain.kernel
            gain.assign(gain + tf.constant([[0.0], [1.0], [0.0]]))
    changed = np.abs(gan.generate(6, label=[0, 1, 2, 0, 1, 2]) - before).max((1, 2, 3)) > 0
    assert changed.tolist() == [False, True, False] * 2


@pytest.mark.parametrize("name", ["acgan", "projection", "infogan", "cgan"])
def test_shapes_that_cannot_be(name):
    with pytest.raises(ConfigError, match=f"image_size=6x12: {name} needs .* the nearest size is 8x12$"):
        models.build(name, (6, 12, 1), TINY, classes=CLASSES)


@pytest.mark.parametrize("size, maps", [
    ((28, 28), [(7, 7), (14, 14)]), ((32, 32), [(8, 8), (16, 16)]), ((8, 8), [(4, 4)]), ((16, 16), [(8, 8)]),
    ((12, 12), [(6, 6)]), ((48, 32), [(12, 8), (24, 16)]), ((25, 51), [(7, 13), (13, 26)])])
def test_the_maps_of_infogan(size, maps):
    config = infogan.Config(filters=1, units=8)
    generator, discriminator = infogan.generator((*size, 1), config), infogan.discriminator((*size, 1), config)
    assert generator.output_shape == (None, *size, 1)
    found = [layer.output.shape[1:3] for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert found == maps[::-1]
    start, = [layer.output.shape[1:3] for layer in generator.layers if isinstance(layer, keras.layers.Reshape)]
    assert start == maps[0]


@pytest.mark.parametrize("name", ["acgan", "infogan", "projection"])
def test_through_a_keras_file(name, tmp_path):
    gan = built(name)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert type(again) is type(gan) and again.classes == gan.classes
    # GAN itself keeps the fields of the base class, which are all that it reads
    assert again.config == type(gan).Config(**{field.name: getattr(gan.config, field.name)
                                               for field in dataclasses.fields(type(gan).Config)})
    np.testing.assert_array_equal(again.generate(3), gan.generate(3))
