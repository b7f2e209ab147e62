import dataclasses
import math
import typing
import warnings

import keras
import numpy as np
import pytest
import stay_finite
import tensorflow as tf

import kgan
from kgan import augment, config, losses, penalties
from kgan.config import Config, ConfigError
from kgan.draws import draw_noise, noise_of_each
from kgan.game import CHECKED
from kgan.gan import GAN

NOISE, DATA = 3, 2


def linear(seed=0, batch_norm=False, traced=False, **settings):
    """G(z) = zV + c, D(x) = xw + b, with SGD: every update can be worked out by hand. Runs eagerly unless `traced`."""
    keras.utils.set_random_seed(5)
    noise = x = keras.Input((NOISE,), name="noise")
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(4)(x))
    generator = keras.Model(noise, keras.layers.Dense(DATA)(x), name="generator")
    sample = keras.Input((DATA,), name="sample")
    discriminator = keras.Model(sample, keras.layers.Dense(1)(sample), name="discriminator")
    config = Config(**{"noise_dim": NOISE, "optimizer": "sgd", "generator_learning_rate": 0.3, "jit_compile": False,
                       "batch_size": 12, "discriminator_learning_rate": 0.2, **settings})
    gan = GAN(generator, discriminator, config, seed)
    gan.compile(run_eagerly=not traced)
    return gan


def points(count, seed=0):
    return np.random.default_rng(seed).normal(1, 2, (count, DATA)).astype(np.float32)


def data(count=12, size=6):
    return tf.data.Dataset.from_tensor_slices({"sample": points(count)}).batch(size, drop_remainder=True)


def weights(network):
    return [np.array(weight, np.float64) for weight in network.get_weights()]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


# === The alternating update ===

@pytest.mark.parametrize("jit, steps", [(False, 3), (True, 1), pytest.param(False, 1, marks=pytest.mark.slow),
                                        pytest.param(True, 3, marks=pytest.mark.slow)])
def test_a_step_by_hand(jit, steps):
    gan = linear(discriminator_steps=steps, jit_compile=jit, traced=True)
    real = points(4 * steps)
    jit = gan.jit_compile  # Keras leaves XLA out where TF_DETERMINISTIC_OPS is set
    noise = [np.array(tf.function(gan.noise, jit_compile=jit)(4, draw), np.float64) for draw in range(steps)]
    (kernel, offset), (w, b) = weights(gan.generator), weights(gan.discriminator)
    d_losses = []
    for draw in range(steps):
        x, fake = real[draw::steps].astype(np.float64), noise[draw] @ kernel + offset
        on_real, on_fake = x @ w + b, fake @ w + b
        d_losses.append(softplus(-on_real).mean() + softplus(on_fake).mean())
        # d/dl softplus(-l) = -sigmoid(-l), d/dl softplus(l) = sigmoid(l)
        to_real, to_fake = -sigmoid(-on_real) / 4, sigmoid(on_fake) / 4
        w, b = w - 0.2 * (x.T @ to_real + fake.T @ to_fake), b - 0.2 * (to_real.sum(0) + to_fake.sum(0))
    # G meets the updated D, with the fakes that D was last updated on
    on_fake = fake @ w + b
    to_fake = -sigmoid(-on_fake) / 4 @ w.T
    wanted = [kernel - 0.3 * noise[-1].T @ to_fake, offset - 0.3 * to_fake.sum(0)]

    logs = gan.fit(tf.data.Dataset.from_tensors({"sample": real}), verbose=0).history
    for value, right in zip(gan.generator.get_weights() + gan.discriminator.get_weights(), [*wanted, w, b], strict=True):
        np.testing.assert_allclose(value, right, atol=2e-6)
    assert logs["d_loss"] == pytest.approx([np.mean(d_losses)], abs=1e-5)
    assert logs["g_loss"] == pytest.approx([softplus(-on_fake).mean()], abs=1e-5)
    assert gan.step == 1 and int(gan.discriminator_optimizer.iterations) == steps


@pytest.mark.parametrize("loss, score", [("non_saturating", sigmoid), ("hinge", lambda x: x)])
def test_logged_scores_by_hand(loss, score):
    """Probabilities where D's logits are those of probabilities, else the logits; how many pairs D has in order."""
    gan = linear(loss=loss)
    real, noise = points(6), np.array(gan.noise(6))
    on_real, on_fake = (np.asarray(gan.discriminator(x), np.float64) for x in (real, gan.generator(noise)))
    assert 0 < (on_real > on_fake).mean() < 1
    wanted = {"d_real": score(on_real).mean(), "d_fake": score(on_fake).mean(), "d_accuracy": (on_real > on_fake).mean()}
    logs = gan.fit(tf.data.Dataset.from_tensors({"sample": real}), verbose=0).history
    for name, value in wanted.items():
        assert logs[name] == pytest.approx([value], abs=1e-6)


def test_logged_gradients_by_hand():
    """Wasserstein: the gradient of G's loss is -w for its offset, and for its kernel -(mean of the noise) wᵀ."""
    gan = linear(loss="wasserstein")
    real, noise = points(6), np.array(gan.noise(6), np.float64)
    fake = np.asarray(gan.generator(noise.astype(np.float32)))
    logs = gan.fit(tf.data.Dataset.from_tensors({"sample": real}), verbose=0).history
    w = weights(gan.discriminator)[0]
    assert logs["d_gradient"] == pytest.approx([np.linalg.norm(fake.mean(0) - real.mean(0))], rel=1e-5)
    assert logs["g_gradient"] == pytest.approx([np.linalg.norm(w) * (1 + (noise.mean(0) ** 2).sum()) ** 0.5], rel=1e-5)


def test_each_update_leaves_the_other_network_alone():
    gan = kgan.models.build("mlp", (2,), dict(
        preset="mixture", generator_units="8", discriminator_units="8", loss="non_saturating", fourier_features=0))
    gan.compile()
    real = tf.constant(points(6))

    def bits(network):
        return [weight.tobytes() for weight in network.get_weights()]

    before = bits(gan.generator), bits(gan.discriminator)
    gan.minimize(lambda: gan.discriminator_loss(real, gan.generator(gan.noise(6), training=True)), "discriminator")
    between = bits(gan.generator), bits(gan.discriminator)
    assert between[0] == before[0] and all(new != old for new, old in zip(between[1], before[1]))
    gan.minimize(lambda: gan.generator_loss(real, gan.generator(gan.noise(6), training=True)), "generator")
    after = bits(gan.generator), bits(gan.discriminator)
    assert after[1] == between[1] and all(new != old for new, old in zip(after[0], between[0]))


def test_a_batch_that_cannot_be_dealt_out():
    gan = linear(discriminator_steps=4)
    with pytest.raises(ValueError, match="batch of 6 examples cannot be dealt out to discriminator_steps=4"):
        gan.fit(data(size=6), verbose=0)


@pytest.mark.parametrize("jit, settings", [
    (False, dict(loss="relativistic", penalty="r1+r2")), (False, dict(loss="hinge", penalty="r1", discriminator_steps=2)),
    pytest.param(True, dict(), marks=pytest.mark.slow),
    pytest.param(True, dict(loss="relativistic", penalty="r1+r2"), marks=pytest.mark.slow),
    pytest.param(True, dict(loss="hinge", penalty="r1", discriminator_steps=2), marks=pytest.mark.slow)])
def test_accumulation_is_the_same_update(settings, jit):
    """A share in three parts, one after the other: with objectives that are means over examples, nothing changes. Eagerly or by XLA."""
    whole, parts = (linear(accumulation=count, jit_compile=jit, traced=jit, **settings) for count in (1, 3))
    start = whole.get_weights()
    logs = [gan.fit(data(24, 12), verbose=0).history for gan in (whole, parts)]
    for one, other, old in zip(whole.get_weights(), parts.get_weights(), start, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
        assert np.abs(one - old).max() > 1e-3 or settings.get("loss") == "relativistic" and one.shape == (1,)
    for name in logs[0]:
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5, abs=1e-5), name


def test_parts_draw_random_numbers_of_their_own():
    gan = linear(accumulation=3)
    parts = [np.asarray(gan.random(4, 3, draw, "real").uniform(2)) for _, _, _, draw in gan._parts(
        tf.zeros([12, 2]), {}, tf.zeros([12, 3]), 1)]
    assert len({part.tobytes() for part in parts}) == 3


def test_a_batch_that_cannot_be_cut():
    with pytest.raises(ValueError, match="6 examples cannot be cut into accumulation=4 parts"):
        linear(accumulation=4).fit(data(size=6), verbose=0)


def test_batch_normalisation_is_in_training_mode():
    gan = linear(batch_norm=True)
    norm = next(layer for layer in gan.generator.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    gan.fit(data(), verbose=0)
    assert not np.array_equal(norm.moving_mean, before[0]) and not np.array_equal(norm.moving_variance, before[1])


def test_a_relativistic_objective_sees_real_logits_in_both_updates():
    seen = []

    def note(name):
        def loss(real_logits, fake_logits):
            seen.append((name, real_logits is not None))
            return tf.reduce_mean(fake_logits)
        return loss
    for relativistic in (False, True):
        seen.clear()
        gan = linear()
        gan.compile(loss=losses.Objective(note("d"), note("g"), relativistic), run_eagerly=True)
        gan.fit(data(6), verbose=0)
        assert seen == [("d", True), ("g", relativistic)]


def test_a_penalty_with_batch_normalisation_is_warned_of():
    gan = kgan.models.build("dcgan", (16, 16, 1), dict(filters=4, noise_dim=6))
    with pytest.warns(UserWarning, match="batch normalisation in the discriminator mixes them"):
        gan.compile(penalty="r1")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gan.compile()
        kgan.models.build("dcgan", (16, 16, 1), dict(
            filters=4, noise_dim=6, discriminator_normalization="none")).compile(penalty="r1")


def test_unknown_loss():
    with pytest.raises(ValueError, match="no loss is named 'hing'"):
        linear().compile(loss="hing")


@pytest.mark.parametrize("settings, kind, attributes", [
    (dict(optimizer="adam", beta_1=0.4, beta_2=0.98), "Adam", dict(beta_1=0.4, beta_2=0.98)),
    (dict(optimizer="rmsprop", clipnorm=0.5), "RMSprop", dict(clipnorm=0.5)),
    (dict(optimizer="sgd"), "SGD", dict(clipnorm=None))])
def test_optimizers_come_from_the_config(settings, kind, attributes):
    gan = linear(**settings)
    for optimizer, rate in ((gan.generator_optimizer, 0.3), (gan.discriminator_optimizer, 0.2)):
        assert type(optimizer).__name__ == kind and optimizer.built
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        for name, value in attributes.items():
            assert getattr(optimizer, name) == value
    assert gan.optimizer is None


def pairs(ones, others):
    """All of them; those are fast in which each is met twice or more often."""
    return [pytest.param(one, other, marks=[pytest.mark.slow] * ((i - j) % len(others) not in (0, 3)))
            for i, one in enumerate(ones) for j, other in enumerate(others)]


@pytest.mark.parametrize("loss, penalty", pairs(typing.get_args(config.Loss), ["none", *penalties.PENALTIES]))
def test_any_objective_with_any_penalty(loss, penalty):
    gan = linear(loss=loss, penalty=penalty, discriminator_steps=2, discriminator_learning_rate=1e-3,
                 generator_learning_rate=1e-3)
    gan.compile(run_eagerly=True)
    before = weights(gan.discriminator)
    for _ in range(2):
        logs = gan.train_on_batch({"sample": points(12)}, return_dict=True)
    assert gan.step == 2 and all(np.isfinite(value) for value in logs.values())
    assert ("penalty" in logs) == (penalty != "none")
    assert np.abs(weights(gan.discriminator)[0] - before[0]).max() > 0


OWN_SHAPES = "crnngan", "inpaint", "motion", "musegan", "pix2pixhd", "segan", "srgan", "styletransfer", "videogan", "wavegan"


@pytest.mark.parametrize("model", kgan.models.names())
def test_any_network_with_objective_and_penalty(model):
    """--set loss=wasserstein --set penalty=gp --set discriminator_steps=2, and what else a user may combine."""
    if model in OWN_SHAPES:
        pytest.skip("takes no noise, or its sizes are tied to each other: tests/models has its settings and refusals")
    outline = kgan.models.outline(model)
    needs = outline.Config.needs
    if list(needs.values()) == ["tokens"]:
        pytest.skip("words have no gradient: tests/models/test_seqgan.py has what is refused")
    shape = (8, 8, 8, 1) if "voxels" in needs else {"sine": (10,), "stackgan": (16, 16, 1), "fastgan": (28, 28, 1)}.get(model, (8, 8, 1))
    small = dict(filters=4, discriminator_filters=2, widths="8", group_width=4, patch="16", generator_units="8", discriminator_units="8", noise_dim=4,
                 condition_dim=1, sketching=0, interpolation=0)
    names = {field.name for field in dataclasses.fields(outline.Config)}
    settings = {name: value for name, value in small.items() if name in names}
    labelled = bool(outline.Config().condition) or "categories" in names
    if "discriminator_normalization" in names:
        settings["discriminator_normalization"] = "none"
    combined = dict(loss="wasserstein", penalty="gp", discriminator_steps=2, weight_clip=0, instance_noise="linear:0.1:0",
                    packing=1 if labelled or len(needs) > 1 else 2, **settings)
    if model in ("cyclegan", "discogan"):  # two generators: said in a sentence
        with pytest.raises(ConfigError, match="=.*: a model of two generators has no such thing"):
            kgan.models.build(model, shape, combined)
        return
    gan = kgan.models.build(model, shape, combined, classes="abc")
    gan.compile(run_eagerly=True)
    real = np.random.default_rng(0).uniform(-1, 1, (8, *shape)).astype(np.float32)
    before = weights(gan.discriminator)
    fields = {gan.key: real, gan.config.condition or "label": np.arange(8) % 3, **{name: real for name in needs if name != "label"}}
    if "caption" in needs:
        fields.update(caption=np.ones((8, 9), np.int32), mismatch=np.zeros((8, 9), np.int32))
    if hasattr(gan, "classifier"):
        gan.classifier.accuracy.assign(0.5)  # as if it had learned
    logs = gan.train_on_batch(fields, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values()) and logs["penalty"] > 0
    assert any(np.abs(new - old).max() > 0 for new, old in zip(weights(gan.discriminator), before, strict=True))


# === What D sees ===

def images_gan(shape=(4, 4, 1), **settings):
    """G(z) = zV + c and D(x) = xw + b, on images."""
    keras.utils.set_random_seed(5)
    noise, image = keras.Input((NOISE,), name="noise"), keras.Input(Config(**settings).packed(shape), name="image")
    made = keras.layers.Reshape(shape)(keras.layers.Dense(math.prod(shape))(noise))
    judged = keras.layers.Dense(1)(keras.layers.Flatten()(image))
    gan = GAN(keras.Model(noise, made), keras.Model(image, judged), Config(**{
        "noise_dim": NOISE, "optimizer": "sgd", "jit_compile": False, **settings}))
    gan.compile()
    return gan


def test_packing_joins_neighbours():
    gan = images_gan((4, 4, 2), packing=3, batch_size=6)
    images = np.random.default_rng(0).normal(size=(6, 4, 4, 2)).astype(np.float32)
    packs = np.stack([np.concatenate(list(images[i:i + 3]), -1) for i in (0, 3)])
    np.testing.assert_allclose(gan.logits(images), gan.discriminator(packs), atol=1e-6)
    gan = kgan.models.build("mlp", (2,), dict(preset="mixture", packing=2))
    np.testing.assert_allclose(gan.logits(points(6)), gan.discriminator(points(6).reshape(3, 4)), atol=1e-6)


def test_packing_in_training_and_evaluation():
    gan = images_gan(packing=2, penalty="r1")
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 1)).astype(np.float32)
    w = weights(gan.discriminator)[0]
    logs = gan.fit(tf.data.Dataset.from_tensors({"image": images}), verbose=0).history
    assert logs["penalty"] == pytest.approx([0.5 * (w**2).sum()], rel=1e-5)  # the gradient is that of the pack's logit
    assert np.isfinite(gan.evaluate({"image": images}, batch_size=8, verbose=0)).all()
    with pytest.raises(ConfigError, match="batch_size=9: must be a multiple of packing=2"):
        Config(packing=2, batch_size=9)


def test_instance_noise():
    gan = linear(instance_noise="linear:0.5:0", steps=4)
    zeros = tf.zeros([40_000, DATA])
    for step, deviation in ((0, 0.5), (2, 0.25), (4, 0)):
        gan.generator_optimizer.iterations.assign(step)
        real, fake = (np.asarray(gan.view(zeros, 3, 0, name)) for name in ("real", "fake"))
        assert real.std() == pytest.approx(deviation, rel=0.02) and fake.std() == pytest.approx(deviation, rel=0.02)
        assert deviation == 0 or abs(np.corrcoef(real.ravel(), fake.ravel())[0, 1]) < 0.02
    # nothing of it in evaluation
    gan.generator_optimizer.iterations.assign(0)
    plain = linear()
    assert gan.evaluate(data(), verbose=0) == plain.evaluate(data(), verbose=0)


def test_augmentation_is_what_both_updates_see(monkeypatch):
    seen = []
    monkeypatch.setattr(augment, "augment", lambda images, policies, uniform, probability: seen.append(
        (policies, probability)) or 0 * images)
    gan = images_gan(augment="flip+cutout", augment_probability="linear:1:0", steps=4)
    gan.compile(run_eagerly=True)
    gan.generator_optimizer.iterations.assign(1)
    gan.train_on_batch({"image": np.ones((6, 4, 4, 1), np.float32)})
    assert [policies for policies, _ in seen] == [("flip", "cutout")] * 3  # real and fake for D, fake for G
    assert float(seen[0][1]) == pytest.approx(0.75)
    w, b = gan.discriminator.get_weights()
    assert gan.logits(gan.view(tf.ones([1, 4, 4, 1]), 3, 0, "real")).numpy() == b  # all that D could see is 0


def test_augmentation_needs_images():
    for settings in (dict(augment="flip"), dict(consistency_weight=1.0)):
        with pytest.raises(ConfigError, match="augment and consistency_weight are for images"):
            linear(**settings)


@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_adaptive_augmentation_by_hand(jit):
    """D says `real` to real examples, then `fake`: p goes up by a batch / 500,000, then down again."""
    gan = images_gan(augment="flip", augment_target=0.6, jit_compile=jit, loss="wasserstein",
                     discriminator_learning_rate=1e-12)
    sign, p = 0.0, 0.0
    images = {"image": np.zeros((20, 4, 4, 1), np.float32)}
    for step in range(40):
        bias = 1.0 if step < 20 else -1.0
        gan.discriminator.layers[-1].bias.assign([bias])
        gan.train_on_batch(images)
        sign = 0.9 * sign + 0.1 * bias
        p = np.clip(p + np.sign(sign - 0.6) * 20 / 500_000, 0, 1)
        assert float(gan._probability) == pytest.approx(p, abs=1e-9) and float(gan._sign) == pytest.approx(sign, abs=1e-5)
    assert p == 0 and sign < -0.5


# === The averaged generator ===

def test_the_average_follows_the_formula_statistics_too():
    gan = linear(batch_norm=True, ema_decay=0.3)
    average = weights(gan.generator)
    for step in range(1, 6):
        gan.fit(data(6), verbose=0)
        decay = min(0.3, (1 + step) / (10 + step))  # 2/11, 3/12, 4/13 …: the warm-up binds in the first two steps
        average = [decay * a + (1 - decay) * v for a, v in zip(average, weights(gan.generator), strict=True)]
        for value, right in zip(weights(gan.ema_generator), average, strict=True):
            np.testing.assert_allclose(value, right, atol=1e-6)
    assert len(average) == 8  # kernel, bias, gamma, beta, mean, variance, kernel, bias


def test_no_average():
    gan = linear(batch_norm=True, ema_decay=0)
    gan.fit(data(), verbose=0)
    for value, right in zip(gan.ema_generator.get_weights(), gan.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(value, right)


# === Noise ===

def test_noise_is_a_function_of_seed_step_draw_and_stream():
    def noise(seed=1, step=0, draw=0, **options):
        gan = linear(seed=seed)
        gan.generator_optimizer.iterations.assign(step)
        return np.asarray(gan.noise(5, draw, **options))

    assert noise().shape == (5, NOISE) and noise().dtype == np.float32
    np.testing.assert_array_equal(noise(), noise())
    others = [noise(), noise(seed=2), noise(step=1), noise(draw=1), noise(stream=1), noise(step=1, draw=1),
              np.asarray(linear().latents(5, seed=1))]
    for i, one in enumerate(others):
        for other in others[i + 1:]:
            assert not np.isin(one, other).any()


def test_noise_in_a_graph_is_the_same():
    gan = linear(seed=4)
    np.testing.assert_array_equal(tf.function(lambda: gan.noise(64))(), gan.noise(64))


@pytest.mark.parametrize("kind, low, high, deviation", [("normal", -6, 6, 1), ("uniform", -1, 1, 3**-0.5)])
def test_distribution_of_noise(kind, low, high, deviation):
    values = np.asarray(draw_noise(kind, (20_000, 5), [1, 2]))
    assert values.shape == (20_000, 5) and values.dtype == np.float32
    assert low <= values.min() < values.max() <= high
    np.testing.assert_allclose(values.mean(0), 0, atol=4 * deviation / 20_000**0.5)
    np.testing.assert_allclose(values.std(0), deviation, rtol=0.03)
    assert np.abs(np.corrcoef(values.T) - np.eye(5)).max() < 0.04


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_noise_of_each_seed(kind):
    seeds = [0, 7, 2**31 - 1]
    found = tf.function(lambda seeds: noise_of_each(kind, 5, seeds, 4))(tf.constant(seeds, tf.int32))
    np.testing.assert_array_equal(found, [draw_noise(kind, (1, 5), [seed, 4])[0] for seed in seeds])


def test_random_numbers_of_losses():
    gan = linear()
    random = gan.random(5, 3, 0, "real")
    first, second = np.asarray(random.uniform(2)), np.asarray(random.uniform(2))
    again = np.asarray(gan.random(5, 3, 0, "real").uniform(2))
    np.testing.assert_array_equal(first, again)
    others = [second, *(np.asarray(gan.random(5, *which).uniform(2)) for which in (
        (4, 0, "real"), (3, 1, "real"), (3, 0, "fake")))]
    assert all(not np.isin(first, other).any() for other in others) and (0 <= first).all() and (first < 1).all()


# === Where numbers end ===

def fails(network, what, at, jit):
    """A linear GAN in whose step `at` the loss of D or G is not finite, or only its gradient."""
    gan, plain = linear(traced=True), losses.get("non_saturating")

    def spoilt(loss):
        zero = tf.where(tf.equal(gan.generator_optimizer.iterations, at - 1), 0.0, 1.0) * loss
        return loss + (0 * tf.sqrt(zero) if what == "gradient" else 0 / zero)  # √x at 0: 0, and its slope is infinite

    changed = {network: lambda *logits: spoilt(getattr(plain, network)(*logits))}
    gan.compile(loss=plain._replace(**changed), jit_compile=jit, steps_per_execution=4)
    return gan


@pytest.mark.parametrize("name, jit", [(name, name == "D's gradient") for name in CHECKED if name != "G's gradient"] + [
    pytest.param(name, True, marks=pytest.mark.slow) for name in CHECKED if name != "D's gradient"])
def test_what_is_not_finite_first(name, jit):
    """In the midst of a call of several steps, with XLA and without; what follows from it is not named."""
    owner, what = name.split()[0], name.split()[-1]
    gan, real = linear(jit_compile=jit, traced=True), points(12 * 8)
    if owner in ("D's", "G's"):
        gan = fails({"D": "discriminator", "G": "generator"}[owner[0]], what, at=3, jit=jit)
        if jit and not gan.jit_compile:
            pytest.skip("Keras leaves XLA out where TF_DETERMINISTIC_OPS is set; TensorFlow then drops 0 · √x")
    elif owner == "the":
        real[30] = np.inf if name == CHECKED[0] else 0  # of the third batch
        gan.compile(steps_per_execution=4)
    if name == CHECKED[1]:
        gan.generator.layers[-1].bias.assign([np.nan, 0])
    gan.fit(real, batch_size=12, epochs=1, verbose=0, shuffle=False)
    assert gan.first_not_finite == (1 if name == CHECKED[1] else 3, name)
    gan.reset_metrics()
    assert gan.first_not_finite is None


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_an_overflow_that_the_loss_scale_is_for_is_none(policy):
    gan = linear()
    gan.compile(*(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=2.0**120) for _ in range(2)))
    before = gan.get_weights()
    gan.fit(data(), verbose=0)
    assert gan.first_not_finite is None and gan.generator_optimizer.dynamic_scale < 2.0**120
    np.testing.assert_array_equal(gan.discriminator.get_weights()[0], before[2])
    gan.fit(data().map(lambda batch: {"sample": batch["sample"] / 0}), verbose=0)
    assert gan.first_not_finite[1] == CHECKED[0]


@pytest.mark.parametrize("rate", [0.125, "linear:.125:.125"])
def test_learning_rates_are_scaled_from_the_configs(rate):
    gan = linear(generator_learning_rate=rate, discriminator_learning_rate=0.25, traced=True)
    gan.fit(data(), verbose=0)  # the function that is compiled by now sees it, too
    for _ in range(2):
        gan.scale_learning_rates(0.5)
        assert (float(gan.generator_optimizer.learning_rate), float(gan.discriminator_optimizer.learning_rate)) == (
            0.0625, 0.125)
    gan.scale_learning_rates(0)
    before = gan.get_weights()[:4]
    gan.fit(data(), verbose=0)
    np.testing.assert_equal(gan.get_weights()[:4], before)


# === Sampling ===

def test_generate():
    gan = kgan.models.build("dcgan", (8, 8, 1), dict(filters=4, noise_dim=6))
    images = gan.generate(10, seed=3)  # before compile, too
    assert images.shape == (10, 8, 8, 1) and images.dtype == np.float32
    np.testing.assert_array_equal(images, gan.generate(10, seed=3))
    np.testing.assert_allclose(gan.generate(4, seed=3), images[:4], atol=1e-6)
    np.testing.assert_allclose(gan.generate(10, seed=3, batch_size=3), images, atol=1e-6)
    assert not np.isclose(images, gan.generate(10, seed=4), atol=1e-6).all(axis=(1, 2, 3)).any()
    assert len({image.tobytes() for image in images}) == 10
    gan.compile()
    np.testing.assert_allclose(gan.predict(gan.latents(10, seed=3), verbose=0), images, atol=1e-6)


def test_samples_come_from_the_average():
    gan = linear()
    gan.ema_generator.set_weights([np.zeros((NOISE, DATA)), np.array([3.0, -4.0])])
    assert (gan.generate(2) == [3, -4]).all()
    assert (gan.predict(np.ones((2, NOISE), np.float32), verbose=0) == [3, -4]).all()


# === As an ordinary Keras model ===

def test_evaluating_changes_nothing_and_repeats():
    gan = linear(batch_norm=True)
    gan.fit(data(), verbose=0)

    def bits():
        metrics = {id(variable) for variable in gan.metrics_variables}
        return [np.asarray(variable).tobytes() for variable in gan.state() if id(variable) not in metrics]

    before = bits()
    first = gan.evaluate(data(), verbose=0, return_dict=True)
    assert bits() == before
    assert first == gan.evaluate(data(), verbose=0, return_dict=True)
    # batch statistics are used, not gathered: inference mode
    noise = gan.noise(6, stream=1)
    on_fake = np.asarray(gan.discriminator(gan.generator(noise, training=False)))
    assert float(first["g_loss"]) == pytest.approx(softplus(-on_fake).mean(), abs=1e-5)


def test_validation_does_not_disturb_training():
    plain, validated = linear(traced=True), linear(traced=True)
    plain.fit(data(), epochs=2, verbose=0)
    history = validated.fit(data(), epochs=2, validation_data=data(6), verbose=0).history
    assert {"d_loss", "g_loss", "val_d_loss", "val_g_loss"} <= history.keys()
    for one, other in zip(plain.get_weights(), validated.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["array", "dict", "tuples", "dicts and labels", "train_on_batch"])
def test_what_fit_takes(form):
    gan, same = linear(traced=form == "array"), linear()
    real, labels = points(6), np.zeros(6)
    if form == "array":
        gan.fit(real, batch_size=6, shuffle=False, verbose=0)
    elif form == "dict":
        gan.fit({"sample": real, "label": labels}, batch_size=6, shuffle=False, verbose=0)
    elif form == "tuples":
        gan.fit(tf.data.Dataset.from_tensors((real, labels)), verbose=0)
    elif form == "dicts and labels":
        gan.fit(tf.data.Dataset.from_tensors(({"sample": real}, labels)), verbose=0)
    else:
        gan.train_on_batch({"sample": real})
    same.fit(tf.data.Dataset.from_tensors({"sample": real}), verbose=0)
    for one, other in zip(gan.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_batch_without_the_examples():
    with pytest.raises(ValueError, match=r"this generator makes 'sample', but the batches have only \['image', 'label'\]"):
        linear().fit({"image": points(6), "label": np.zeros(6)}, verbose=0)


def test_a_last_batch_that_is_smaller():
    gan = linear(traced=True)
    gan.fit(points(10), batch_size=4, verbose=0)
    assert gan.step == 3 and all(np.isfinite(weight).all() for weight in gan.get_weights())


def test_several_steps_a_call():
    one, many = linear(traced=True), linear(traced=True)
    many.compile(steps_per_execution=2)
    one.fit(data(24, 6), verbose=0)
    many.fit(data(24, 6), verbose=0)
    assert many.step == 4
    for left, right in zip(one.get_weights(), many.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_state_is_everything_once():
    gan = linear(batch_norm=True, optimizer="adam")
    state = gan.state()
    assert len({id(variable) for variable in state}) == len(state)
    for variable in [*gan.variables, *gan.metrics_variables, *gan.generator_optimizer.variables, *gan.discriminator_optimizer.variables]:
        assert any(variable is one for one in state), variable.path
    # both networks, the average, seven means of two numbers; iterations, rate, and two moments a trainable variable
    assert len(state) == 8 + 8 + 2 + 7 * 2 + (2 + 2 * 6) + (2 + 2 * 2)


def test_state_with_all_that_adapts():
    plain, gan = images_gan(), images_gan(augment="flip", augment_target=0.6, penalty="r1")
    # the mean of the penalty; the mean of the probability, the probability, the running sign
    assert len(gan.state()) == len(plain.state()) + 2 + 4
    assert {gan._probability.path, gan._sign.path} <= {variable.path for variable in gan.state()}


@pytest.fixture
def policy(request):
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"], indirect=True)
@pytest.mark.parametrize("model, shape, settings", [
    ("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8", fourier_features=0, penalty="none")),
    ("dcgan", (8, 8, 1), dict(filters=4, noise_dim=6))])
def test_mixed_precision(policy, model, shape, settings):
    gan = kgan.models.build(model, shape, settings)
    gan.compile(run_eagerly=policy == "mixed_bfloat16")  # no loss is scaled there
    assert (type(gan.generator_optimizer).__name__ == "LossScaled") == (policy == "mixed_float16")
    assert any(getattr(layer, "compute_dtype", "") == policy.removeprefix("mixed_") for layer in gan.generator.layers)
    before = gan.generator.get_weights()
    real = np.random.default_rng(0).uniform(-1, 1, (16, *shape)).astype(np.float32)
    history = gan.fit(real, batch_size=4, epochs=2, verbose=0).history
    assert gan.step == 8
    assert all(np.isfinite(values).all() for values in history.values())
    for old, variable in zip(before, gan.generator.weights, strict=True):
        assert variable.dtype == "float32" and np.isfinite(variable).all() and not np.array_equal(old, variable)
    assert {layer.compute_dtype for layer in gan.ema_generator.layers} == {"float32"}
    judged = gan.discriminator_loss(tf.constant(real[:4]), tf.constant(gan.generate(4)))
    assert gan.generate(2).dtype == np.float32 and judged.dtype == tf.float32
    assert gan.generator(gan.latents(2)).dtype == gan.discriminator(real).dtype == tf.float32
    # scaled and unscaled again: eight updates of ordinary size, as Adam makes them
    trained = {id(variable) for variable in gan.generator.trainable_variables}
    assert all(np.abs(old - np.asarray(new)).max() < 20 * config.extremes(gan.config.generator_learning_rate)[1]
               for old, new in zip(before, gan.generator.weights) if id(new) in trained)


@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
def test_the_loss_scale_leaves_the_step_as_it_is(policy):
    # SGD: Adam would hide gradients that are off by a factor
    scaled, start = linear(), weights(linear().generator)
    scaled.fit(data(), verbose=0)
    keras.mixed_precision.set_dtype_policy("float32")
    plain = linear()
    plain.fit(data(), verbose=0)
    for half, full in zip(scaled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(half, full, atol=5e-3)
    assert max(np.abs(new - old).max() for new, old in zip(weights(plain.generator), start)) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"], indirect=True)
@pytest.mark.parametrize("model", stay_finite.SETTINGS)
def test_steps_stay_finite(policy, model):
    """Two hundred of them: benchmarks/stay_finite.py makes 2,000."""
    found = stay_finite.train(model, 200)
    assert found.pop("not finite") == []
    assert found["step"] == 200  # in float16 a step whose gradient overflows is left out, and counted
    assert {"d_loss", "g_loss", "d_gradient", "g_gradient"} <= set(found["figures"])
