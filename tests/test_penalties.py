import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgan
from kgan import penalties
from kgan.config import Config
from kgan.gan import GAN

W = np.array([[1.5], [-2.0]])  # of the linear D: |w| = 2.5
NOISE, RATE = 3, 0.2
REAL = np.array([[3, 4], [0, 0]], np.float32)
FAKE = np.array([[0, 1], [2, 0]], np.float32)


def quadratic(x):
    return 0.5 * keras.ops.sum(x**2, 1, keepdims=True)


def gan_of(judge=None, shape=(2,), **settings):
    """G(z) = zV + c; D(x) = `judge`(x), or xw + b. Wasserstein's loss and SGD: its gradient is a difference of means."""
    keras.utils.set_random_seed(5)
    noise, examples = keras.Input((NOISE,)), keras.Input(shape)
    made = keras.layers.Reshape(shape)(keras.layers.Dense(math.prod(shape), bias_initializer="normal")(noise))
    judge = judge or (lambda x: keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    gan = GAN(keras.Model(noise, made), keras.Model(examples, judge(examples)), Config(**{
        "noise_dim": NOISE, "loss": "wasserstein", "optimizer": "sgd", "jit_compile": False, "batch_size": 12,
        "generator_learning_rate": 0.3, "discriminator_learning_rate": RATE, **settings}))
    if shape == (2,) and gan.discriminator.weights:
        gan.discriminator.set_weights([W, np.array([0.7])])
    gan.compile(run_eagerly=True)
    return gan


def penalty_of(gan, real=REAL, fake=FAKE):
    gan.reset_metrics()
    loss_of(gan, real, fake)
    return float(next(metric for metric in gan.metrics if metric.name == "penalty").result())


def loss_of(gan, real=REAL, fake=FAKE, **options):
    return float(gan.discriminator_loss(tf.constant(real), tf.constant(fake), **options))


def told(*rows):
    """In place of GAN.random: hands out these rows, one a call, of the shape that is asked for."""
    class Told:
        rows_left = [np.asarray(row, np.float32) for row in rows]

        def uniform(self, *tail):
            row = self.rows_left.pop(0)
            assert row.shape[1:] == tail
            return tf.constant(row)
        normal = uniform
    return lambda *_: Told()


def points(count=12, seed=0):
    return np.random.default_rng(seed).normal(1, 2, (count, 2)).astype(np.float32)


def images(count=6, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4, 4, 1)).astype(np.float32)


# === Values ===

@pytest.mark.parametrize("name, value", [("gp", 2.25), ("dragan", 2.25), ("r1", 3.125), ("r2", 3.125), ("r1+r2", 6.25),
                                         ("zero_centered", 6.25)])
def test_on_a_linear_critic(name, value):
    """The gradient is w at every point: (|w| - 1)² = 1.5², |w|² = 6.25."""
    assert penalty_of(gan_of(penalty=name)) == pytest.approx(value, rel=1e-6)


def test_all_are_tested():
    assert penalties.PENALTIES.keys() == {"gp", "dragan", "r1", "r2", "r1+r2", "zero_centered"}


# the squared norms halfway from [3, 4] to [0, 1], at [1.5, 2.5], and a quarter from [0, 0] to [2, 0], at [.5, 0]
BETWEEN = np.array([8.5, 0.25])
# REAL's deviation is that of 3, 4, 0, 0: mean 1.75, squares 9 + 16
DEVIATION = (25 / 4 - 1.75**2) ** 0.5
AROUND = np.array([(3 + 0.5 * 0.5 * DEVIATION) ** 2 + 16, (0.5 * DEVIATION * 0.5) ** 2])


@pytest.mark.parametrize("name, rows, value", [
    ("r1", [], (25 + 0) / 4), ("r2", [], (1 + 4) / 4), ("r1+r2", [], 6.25 + 1.25),
    ("zero_centered", [[[0.5], [0.25]]], BETWEEN.mean()), ("gp", [[[0.5], [0.25]]], ((BETWEEN**0.5 - 1) ** 2).mean()),
    ("dragan", [[[0.5], [1.0]], [[1.0, 0.0], [0.0, 0.5]]], ((AROUND**0.5 - 1) ** 2).mean())])
def test_on_a_quadratic_critic(monkeypatch, name, rows, value):
    """The gradient at x is x, so that the points matter, and that the norm is each example's."""
    gan = gan_of(quadratic, penalty=name)
    monkeypatch.setattr(gan, "random", told(*rows))
    assert penalty_of(gan) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_the_gradient_of_a_constant_critic_is_finite(name):
    gan = gan_of(penalty=name)
    gan.discriminator.set_weights([np.zeros((2, 1)), np.zeros(1)])
    with tf.GradientTape() as tape:
        loss = gan.discriminator_loss(tf.constant(REAL), tf.constant(FAKE))
    assert float(loss) == pytest.approx(10 * (penalties.PENALTIES[name].target == 1), rel=1e-5)
    assert np.isfinite(tape.gradient(loss, gan.discriminator.trainable_variables[0])).all()


def test_between_is_anywhere_on_the_segment():
    """Images: one place for an example, not one for a pixel."""
    gan = gan_of(shape=(2, 2, 1))
    real, fake = np.random.default_rng(0).normal(size=(2, 4000, 2, 2, 1)).astype(np.float32)
    found = penalties.between(real, fake, gan.random(4000, 3, 0, "penalty"))
    places = (np.asarray(found) - real) / (fake - real)
    sure = np.abs(fake - real) > 0.1
    place = np.median(places, (1, 2, 3))
    assert np.abs(places - place[:, None, None, None])[sure].max() < 1e-4
    assert place.min() > -1e-4 and place.max() < 1 + 1e-4
    # a tenth of the examples in each tenth of the way: 400 ± 4 deviations of 19
    assert np.abs(np.histogram(place, 10, (0, 1))[0] - 400).max() < 76


def test_around_moves_by_at_most_half_a_deviation():
    real = np.random.default_rng(0).normal(0, 2, (4000, 2, 2, 1)).astype(np.float32)
    moved = np.asarray(penalties.around(real, gan_of().random(4000, 3, 0, "penalty"), real.std())) - real
    most = real.std() / 2
    assert moved.min() > -1e-5 and 0.9 * most < moved.max() < most + 1e-5
    assert moved.mean() == pytest.approx(most / 4, rel=0.05)  # the product of two U(0, 1)
    assert (moved.std((1, 2, 3)) > 0).all()  # each number by itself


def test_norms_by_hand():
    gradient = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(penalties.squared_norms(gradient, 4), [5, 50, 149, 302])
    np.testing.assert_array_equal(penalties.squared_norms(gradient, 2), [55, 451])  # packs of two
    assert penalties.squared_norms(tf.constant([[300.0]], tf.float16), 1).numpy() == [90_000]


def test_by_name():
    assert penalties.get("none") is None and penalties.get("gp") is penalties.PENALTIES["gp"]
    mine = penalties.Penalty(("real", "fake"), target=1.0, factor=3.0)
    assert penalties.get(mine) is mine
    gan = gan_of()
    gan.compile(penalty=mine)
    assert penalty_of(gan) == pytest.approx(3 * 2 * 2.25)
    with pytest.raises(ValueError, match=r"no penalty is named 'r1\+2' \(did you mean 'r1\+r2'\?\); there are: none, gp"):
        penalties.get("r1+2")


# === In D's update ===

def test_a_step_with_r1_by_hand():
    """L = E D(G(z)) - E D(x) + γ/2 |w|², so w goes to w - rate (E G(z) - E x + γw); b stays."""
    gan = gan_of(penalty="r1", penalty_weight=3.0)
    real, fake = points(), np.asarray(gan.generator(gan.noise(12)))
    logs = gan.fit(tf.data.Dataset.from_tensors(real), verbose=0).history
    w, b = gan.discriminator.get_weights()
    np.testing.assert_allclose(w[:, 0], W[:, 0] - RATE * (fake.mean(0) - real.mean(0) + 3 * W[:, 0]), atol=1e-6)
    assert b == pytest.approx([0.7])
    # the logged loss is the objective alone
    assert logs["penalty"] == pytest.approx([3.125]) and logs["d_loss"] == pytest.approx(
        (fake.mean(0) - real.mean(0)) @ W, abs=1e-5)


def test_a_step_with_gp_by_hand():
    """d/dw (|w| - 1)² = 2 (|w| - 1) w / |w| = 1.2 w."""
    gan = gan_of(penalty="gp", penalty_weight=0.5)
    real, fake = points(), np.asarray(gan.generator(gan.noise(12)))
    gan.fit(tf.data.Dataset.from_tensors(real), verbose=0)
    np.testing.assert_allclose(gan.discriminator.get_weights()[0][:, 0],
                               W[:, 0] - RATE * (fake.mean(0) - real.mean(0) + 0.5 * 1.2 * W[:, 0]), atol=1e-6)


def test_the_weight_is_scheduled():
    gan = gan_of(penalty="r1", penalty_weight="linear:4:0", steps=4)
    objective = ((FAKE - REAL) @ W).mean()
    for step, weight in ((0, 4), (1, 3), (2, 2), (4, 0), (5, 0)):
        gan.generator_optimizer.iterations.assign(step)
        assert loss_of(gan) == pytest.approx(objective + weight * 3.125, abs=1e-5)


@pytest.mark.parametrize("setting", ["augment=rotate90", "packing=2", "minibatch_std=true"])
@pytest.mark.slow
def test_a_lazy_penalty_under_xla_is_the_penalty(setting):
    """What D sees is made outside the condition, and its gradient taken inside: not all of that can XLA compile."""
    weights = []
    for every in (1, 2):
        keras.utils.set_random_seed(0)
        name, value = setting.split("=")
        gan = kgan.models.build("dcgan", (8, 8, 1), {
            "preset": "modern", "filters": 4, "batch_size": 8, "noise_dim": 4, "penalty_every": every,
            "penalty_weight": 1e3 / every, "optimizer": "sgd", "discriminator_learning_rate": 1.0, name: value})
        gan.compile(jit_compile=True)
        before = gan.discriminator.get_weights()
        gan.fit(np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("f"), batch_size=8, verbose=0)
        weights.append(gan.discriminator.get_weights())
    assert max(np.abs(one - other).max() for one, other in zip(weights[0], before)) > 1e-3
    for one, other in zip(*weights):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", ["eager", "graph", pytest.param("jit", marks=pytest.mark.slow)])
def test_a_lazy_penalty_by_hand(mode):
    """Eight updates of D, two a step: the first and the fifth are penalised, four times as much."""
    gan = gan_of(penalty="r1", penalty_weight=0.3, penalty_every=4, discriminator_steps=2, jit_compile=mode == "jit",
                 generator_learning_rate=1e-30)
    gan.compile(run_eagerly=mode == "eager")
    fake = np.array([0.5, -1.0])
    gan.generator.set_weights([np.zeros((NOISE, 2)), fake])
    real, w, norms = points(8 * 4), W[:, 0], []
    for update in range(8):
        mean = real.reshape(4, 4, 2, 2)[update // 2, :, update % 2].mean(0)  # dealt out like cards
        slope = fake - mean
        if update in (0, 4):
            norms.append(0.5 * w @ w)
            slope = slope + 4 * 0.3 * w
        w = w - RATE * slope
    logs = gan.fit(tf.data.Dataset.from_tensor_slices(real).batch(8, drop_remainder=True), verbose=0).history
    np.testing.assert_allclose(gan.discriminator.get_weights()[0][:, 0], w, atol=1e-5)
    assert logs["penalty"] == pytest.approx([np.mean(norms)], abs=1e-5)  # of the updates that had one


def test_the_gradient_is_that_before_what_D_sees(monkeypatch):
    gan = gan_of(penalty="r1")
    monkeypatch.setattr(gan, "view", lambda examples, *_: 3 * examples)
    assert penalty_of(gan) == pytest.approx(9 * 3.125)  # D(3x) has gradient 3w


def test_the_gradient_is_that_before_augmentation():
    gan = gan_of(shape=(4, 4, 1), penalty="r1", augment="cutout")
    real, fake = images(), images(seed=1)
    kept = np.asarray(gan.view(tf.ones(real.shape), 3, 0, "real"))  # the same numbers: 0 where it cuts
    assert set(np.unique(kept)) == {0, 1}
    w = gan.discriminator.get_weights()[0].reshape(4, 4, 1)
    assert penalty_of(gan, real, fake) == pytest.approx(0.5 * (w**2 * kept).sum((1, 2, 3)).mean(), rel=1e-5)


def test_a_batch_of_unknown_size():
    gan = gan_of(penalty="gp")
    gan.compile()  # as a graph, whose shape says so
    gan.fit(points(10), batch_size=4, verbose=0)  # the last batch is one of two
    assert gan.step == 3 and all(np.isfinite(weight).all() for weight in gan.get_weights())


def test_no_penalty_in_evaluation():
    gan = gan_of(penalty="r1")
    real = points()
    found = gan.evaluate(tf.data.Dataset.from_tensors(real), verbose=0, return_dict=True)
    fake = np.asarray(gan.generator(gan.noise(12, stream=1)))
    assert float(found["d_loss"]) == pytest.approx(((fake.mean(0) - real.mean(0)) @ W).item(), abs=1e-5)
    assert "penalty" not in found


# === Clipping ===

def test_weights_are_clipped():
    plain, d_cut, g_cut = gan_of(), gan_of(weight_clip=0.3), gan_of(generator_weight_clip=0.05)
    data = tf.data.Dataset.from_tensors(points())
    for gan in (plain, d_cut, g_cut):
        gan.fit(data, verbose=0)
    for value, free in zip(d_cut.discriminator.get_weights(), plain.discriminator.get_weights(), strict=True):
        np.testing.assert_allclose(value, np.clip(free, -0.3, 0.3), atol=1e-7)
        assert np.abs(free).max() > 0.3
    assert max(np.abs(weight).max() for weight in d_cut.generator.get_weights()) > 0.3
    for value, free in zip(g_cut.generator.get_weights(), plain.generator.get_weights(), strict=True):
        np.testing.assert_allclose(value, np.clip(free, -0.05, 0.05), atol=1e-7)
        assert np.abs(free).max() > 0.05
    assert np.abs(g_cut.discriminator.get_weights()[0]).max() > 0.3


@pytest.mark.parametrize("name, bound", [("clipvalue", 0.4), ("clipnorm", 0.2), ("global_clipnorm", 0.5)])
def test_gradients_are_clipped(name, bound):
    """A step of D with the loss .5 (D(x) - 1)² + .5 D(G(z))²: both of its variables have a gradient."""
    gan = gan_of(loss="least_squares", **{name: bound})
    real, fake = points(), np.asarray(gan.generator(gan.noise(12)))
    on_real, on_fake = real @ W + 0.7 - 1, fake @ W + 0.7
    slopes = [(real * on_real + fake * on_fake).mean(0)[:, None], (on_real + on_fake).mean(0)]
    norms = [np.linalg.norm(slope) for slope in slopes]
    assert all(norm > 0.5 for norm in norms) and min(np.abs(slopes[0]).min(), abs(slopes[1][0])) > 0.4
    if name == "clipvalue":
        cut = [0.4 * np.sign(slope) for slope in slopes]
    elif name == "clipnorm":
        cut = [0.2 * slope / norm for slope, norm in zip(slopes, norms)]
    else:
        cut = [0.5 * slope / np.hypot(*norms) for slope in slopes]
    logs = gan.fit(tf.data.Dataset.from_tensors(real), verbose=0).history
    for found, start, slope in zip(gan.discriminator.get_weights(), [W, [0.7]], cut, strict=True):
        np.testing.assert_allclose(found, start - RATE * slope, atol=1e-6)
    assert getattr(gan.generator_optimizer, name) == bound
    assert logs["d_gradient"] == pytest.approx([np.hypot(*norms)], rel=1e-5)  # before it is cut


# === Consistency ===

def test_consistency_by_hand(monkeypatch):
    gan = gan_of(shape=(4, 4, 1), consistency_weight=2.5)
    real, fake = images(), images(seed=1)
    # 0 everywhere: each is turned, and moved by one pixel up and to the left, as far as it goes
    monkeypatch.setattr(gan, "random", told(*[np.zeros(6)] * 5))
    changed = np.zeros_like(real)
    changed[:, :-1, :-1] = real[:, :, ::-1][:, 1:, 1:]
    w = gan.discriminator.get_weights()[0]
    on_real, on_changed, on_fake = (x.reshape(6, -1) @ w for x in (real, changed, fake))
    assert loss_of(gan, real, fake) == pytest.approx(
        on_fake.mean() - on_real.mean() + 2.5 * ((on_real - on_changed) ** 2).mean(), abs=1e-5)


def test_drift_by_hand():
    """ε (E D(x)² + E D(G(z))²), which is scheduled, and no part of an evaluation."""
    gan = gan_of(drift_weight="linear:0:.4", steps=4)
    on_real, on_fake = REAL @ W + 0.7, FAKE @ W + 0.7
    plain, squares = on_fake.mean() - on_real.mean(), (on_real**2).mean() + (on_fake**2).mean()
    for step, weight in ((0, 0), (2, 0.2), (4, 0.4)):
        gan.generator_optimizer.iterations.assign(step)
        assert loss_of(gan) == pytest.approx(plain + weight * squares, abs=1e-4)
        assert loss_of(gan, training=False) == pytest.approx(plain, abs=1e-5)


def test_consistency_draws_anew_each_step():
    gan = gan_of(shape=(4, 4, 1), consistency_weight=2.5)
    real, fake = images(), images(seed=1)
    first = loss_of(gan, real, fake)
    assert first == loss_of(gan, real, fake)
    gan.generator_optimizer.iterations.assign(1)
    assert first != loss_of(gan, real, fake)


def test_latent_consistency_and_diversity_by_hand(monkeypatch):
    """D(G(z)) - D(G(z + δ)) = -δVw; G(z) - G(z + δ) = -δV."""
    gan = gan_of(latent_consistency_weight=2.5, latent_diversity_weight=1.5, latent_noise=0.2)
    noise, normal = np.random.default_rng(0).normal(size=(2, 2, NOISE)).astype(np.float32)
    monkeypatch.setattr(gan, "random", lambda *_: told(normal)())
    fake = gan.generator(noise)
    moved = 0.2 * normal @ gan.generator.get_weights()[0]
    plain = ((np.asarray(fake) - REAL) @ W).mean()
    assert loss_of(gan, REAL, fake, noise=noise) == pytest.approx(
        plain + 2.5 * ((moved @ W) ** 2).mean(), abs=1e-5)
    assert float(gan.generator_loss(REAL, fake, noise=noise)) == pytest.approx(
        -(np.asarray(fake) @ W + 0.7).mean() - 1.5 * (moved**2).mean(), abs=1e-5)
    # the logged loss is the objective alone, and evaluation knows neither
    assert loss_of(gan, REAL, fake, training=False) == pytest.approx(plain, abs=1e-5)


def test_latent_diversity_spreads_samples():
    gan = gan_of(latent_diversity_weight=1000.0, generator_learning_rate=0.1)
    before = np.linalg.norm(gan.generator.get_weights()[0])
    gan.fit(tf.data.Dataset.from_tensors(points()), verbose=0)
    assert np.linalg.norm(gan.generator.get_weights()[0]) > before
