import itertools
import math
import typing

import numpy as np
import pytest
import tensorflow as tf

from kgan import losses
from kgan.config import Config

REAL, FAKE = [2.0, -1.0, 0.5], [0.3, -2.0]
PAIRED = [0.3, -2.0, 1.0]  # as many fakes as REAL has
NAMES = sorted(name for name, value in vars(losses).items() if isinstance(value, losses.Objective))
SMOOTHABLE = ["non_saturating", "minimax", "least_squares"]
MMD = ["mmd_rbf", "mmd_polynomial"]


def gradients(loss, real, fake):
    """The gradients with respect to real and to fake logits, None where the loss does not look at them."""
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        value = loss(real, fake)
    return tape.gradient(value, [real, fake])


# === Values by hand ===

def test_non_saturating_discriminator_by_hand():
    # -log sigmoid(x) = log(1 + e^-x) of real, -log(1 - sigmoid(x)) = log(1 + e^x) of fake:
    # (.1269280 + 1.3132617 + .4740770) / 3 = .6380889, (.8543552 + .1269280) / 2 = .4906416
    value = losses.non_saturating.discriminator(tf.constant(REAL), tf.constant(FAKE))
    assert value.shape == () and float(value) == pytest.approx(1.1287305, abs=1e-6)


def test_non_saturating_generator_by_hand():
    # log(1 + e^-x) of fake: (.5543552 + 2.1269280) / 2
    value = losses.non_saturating.generator(None, tf.constant(FAKE))
    assert value.shape == () and float(value) == pytest.approx(1.3406416, abs=1e-6)


def test_non_saturating_is_the_paper_formula():
    def d(x):
        return 1 / (1 + math.exp(-x))
    paper = -sum(math.log(d(x)) for x in REAL) / 3 - sum(math.log(1 - d(x)) for x in FAKE) / 2
    value = losses.non_saturating.discriminator(tf.constant(REAL)[:, None], tf.constant(FAKE)[:, None])
    assert float(value) == pytest.approx(paper, abs=1e-6)


def test_a_blind_discriminator():
    zeros = tf.zeros([4, 1])
    assert float(losses.non_saturating.discriminator(zeros, zeros)) == pytest.approx(2 * math.log(2))
    assert float(losses.non_saturating.generator(None, zeros)) == pytest.approx(math.log(2))


# D's loss and G's, of REAL and FAKE. Those not here have tests of their own
BY_HAND = {
    "non_saturating": (1.1287305, 1.3406416),  # above
    # log(1 - sigmoid(x)) = -log(1 + e^x) of fake: -(.8543552 + .1269280) / 2
    "minimax": (1.1287305, -0.4906416),
    # ((2 - 1)² + (-1 - 1)² + (.5 - 1)²) / 3 = 5.25 / 3 = 1.75, (.3² + 2²) / 2 = 2.045: ½ 1.75 + ½ 2.045
    # ((.3 - 1)² + (-2 - 1)²) / 2 = (.49 + 9) / 2 = 4.745: ½ 4.745
    "least_squares": (1.8975, 2.3725),
    # mean of real 1.5 / 3 = .5, of fake -1.7 / 2 = -.85: -.85 - .5; .85
    "wasserstein": (-1.35, 0.85),
    # max(0, 1 - x) of real: (0 + 2 + .5) / 3 = .8333333; max(0, 1 + x) of fake: (1.3 + 0) / 2 = .65; .85
    "hinge": (1.4833333, 0.85),
    # .9 - x below .8, 0 above 1. Real: (0 + 1.9 + .4) / 3 = .7666667; of minus fake: (1.2 + 0) / 2 = .6; .85
    "soft_hinge": (1.3666667, 0.85),
    # real - mean of fake: 2.85, -.15, 1.35; fake - mean of real: -.2, -2.5.
    # log(1 + e^-x) of the first (.0562332 + .7709570 + .2305086) / 3 = .3525663,
    # log(1 + e^x) of the second (.5981389 + .0788897) / 2 = .3385143
    # the other way about: log(1 + e^-x) of the second (.7981389 + 2.5788897) / 2 = 1.6885143,
    # log(1 + e^x) of the first (2.9062332 + .6209570 + 1.5805086) / 3 = 1.7025662
    "relativistic_average": (0.6910806, 3.3910806),
}


def test_all_are_worked_out_by_hand():
    assert sorted([*BY_HAND, "relativistic", *MMD]) == NAMES


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    objective = losses.get(name)
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    values = objective.discriminator(real, fake), objective.generator(real if objective.relativistic else None, fake)
    assert all(value.shape == () and value.dtype == tf.float32 for value in values)
    assert [float(value) for value in values] == pytest.approx(BY_HAND[name], abs=1e-6)


def test_soft_hinge_is_the_mean_over_random_margins():
    # at .9, between the margins: (1 - .9)² / .4 = .025
    assert float(losses.soft_hinge.discriminator(tf.constant([0.9]), tf.constant([-5.0]))) == pytest.approx(0.025)
    logits = np.linspace(-1, 2, 31)
    margins = np.random.default_rng(0).uniform(0.8, 1, (200_000, 1))
    expected = np.maximum(0, margins - logits).mean(0)
    for expected, logit in zip(expected, logits):
        found = losses.soft_hinge.discriminator(tf.constant([logit]), tf.constant([-5.0]))
        assert float(found) == pytest.approx(expected, abs=5e-4)


def test_relativistic_by_hand():
    # real - fake, pair by pair: 1.7, 1, -.5. log(1 + e^-x): (.1677860 + .3132617 + .9740770) / 3,
    # log(1 + e^x): (1.8677860 + 1.3132617 + .4740770) / 3
    real, fake = tf.constant(REAL), tf.constant(PAIRED)
    assert float(losses.relativistic.discriminator(real, fake)) == pytest.approx(0.4850416, abs=1e-6)
    assert float(losses.relativistic.generator(real, fake)) == pytest.approx(1.2183749, abs=1e-6)


def test_mmd_rbf_by_hand():
    # with d² = |x - y|²: k = e^(-d²/2) + e^(-d²/8) + e^(-d²/32) + e^(-d²/128) + e^(-d²/512):
    # k(1) = .6065307 + .8824969 + .9692333 + .9922179 + .9980488 = 4.4485275
    # k(4) = .1353353 + .6065307 + .8824969 + .9692333 + .9922179 = 3.5858140
    # k(9) = .0111090 + .3246525 + .7548396 + .9321025 + .9825755 = 3.0052790
    # real 0, 1: d² 1. fake 3, 2: d² 1. across 9, 4, 4, 1: (3.0052790 + 2 · 3.5858140 + 4.4485275) / 4 = 3.6563586
    # MMD² = 4.4485275 + 4.4485275 - 2 · 3.6563586
    real, fake = tf.constant([[0.0], [1.0]]), tf.constant([[3.0], [2.0]])
    assert float(losses.mmd_rbf.generator(real, fake)) == pytest.approx(1.5843378, abs=1e-5)
    assert float(losses.mmd_rbf.discriminator(real, fake)) == pytest.approx(-1.5843378, abs=1e-5)


def test_mmd_polynomial_by_hand():
    # k = 2 features. real (1, 0)·(0, 2) = 0: (0/2 + 1)³ = 1. fake (1, 1)·(2, 0) = 2: (2/2 + 1)³ = 8. across 1, 2, 2, 0:
    # (1.5³ + 2³ + 2³ + 1) / 4 = (3.375 + 8 + 8 + 1) / 4 = 5.09375. MMD² = 1 + 8 - 10.1875 (unbiased: may be below 0)
    real, fake = tf.constant([[1.0, 0.0], [0.0, 2.0]]), tf.constant([[1.0, 1.0], [2.0, 0.0]])
    assert float(losses.mmd_polynomial.generator(real, fake)) == pytest.approx(-1.1875)
    assert float(losses.mmd_polynomial.discriminator(real, fake)) == pytest.approx(1.1875)


# === Directions ===

@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MMD)))
def test_each_network_pulls_its_way(name):
    objective = losses.get(name)
    # between the targets of least squares and the margins of the hinge: there every one pulls at every logit
    real, fake = tf.constant([0.2, 0.5, 0.8]), tf.constant([0.4, 0.1, 0.6])
    on_real, on_fake = gradients(objective.discriminator, real, fake)
    assert (on_real < 0).numpy().all() and (on_fake > 0).numpy().all()  # D: real up, fake down
    on_real, on_fake = gradients(objective.generator, real, fake)
    assert (on_fake < 0).numpy().all()  # G: fake up
    assert (on_real > 0).numpy().all() if objective.relativistic else on_real is None


@pytest.mark.parametrize("name", MMD)
def test_mmd_pulls_apart_and_together(name):
    # reals lie above fakes: D moves them apart, G together
    objective = losses.get(name)
    real, fake = tf.constant([2.0, 3.0]), tf.constant([0.5, 1.0])
    on_real, on_fake = (float(tf.reduce_sum(g)) for g in gradients(objective.discriminator, real, fake))
    assert on_real < 0 < on_fake
    assert [float(tf.reduce_sum(g)) for g in gradients(objective.generator, real, fake)] == [-on_real, -on_fake]


def test_the_generator_gets_a_gradient_where_the_discriminator_is_sure():
    # what "non-saturating" means: d/dx log(1 + e^-x) = -sigmoid(-x), about -1 at x = -20, not 0. Minimax: -sigmoid(x)
    fake = tf.constant([-20.0])
    assert float(gradients(losses.non_saturating.generator, fake, fake)[1][0]) == pytest.approx(-1, abs=1e-6)
    assert float(gradients(losses.minimax.generator, fake, fake)[1][0]) == pytest.approx(-math.exp(-20), rel=1e-5)


def test_hinge_leaves_alone_what_is_beyond_its_margins():
    on_real, on_fake = gradients(losses.hinge.discriminator, [1.5, 0.5], [-1.5, -0.5])
    assert on_real.numpy().tolist() == [0, -0.5] and on_fake.numpy().tolist() == [0, 0.5]


# === What an Objective says of itself ===

@pytest.mark.parametrize("name", NAMES)
def test_relativistic_says_whether_the_generator_looks_at_real_logits(name):
    objective = losses.get(name)
    on_real, _ = gradients(objective.generator, REAL, PAIRED)
    assert (on_real is not None) == objective.relativistic
    if not objective.relativistic:
        assert math.isfinite(objective.generator(None, tf.constant(FAKE)))


@pytest.mark.parametrize("name", NAMES)
def test_probability_says_whether_a_sigmoid_of_logits_is_one(name):
    # 3 of 4 reals and 1 of 4 fakes lie at A, the others at B: an example at A is real with probability 3/4, at B 1/4.
    # So D's loss has no slope where the logits are log(3) and -log(3)
    objective = losses.get(name)
    a, b = tf.constant(math.log(3)), tf.constant(-math.log(3))
    slopes = gradients(lambda a, b: objective.discriminator(tf.stack([a, a, a, b]), tf.stack([a, b, b, b])), a, b)
    assert (max(abs(float(slope)) for slope in slopes) < 1e-6) == objective.probability


# === Relativistic ===

@pytest.mark.parametrize("name", ["relativistic", "relativistic_average", "wasserstein", "mmd_rbf"])
def test_only_differences_count(name):
    real, fake = tf.constant(REAL), tf.constant(PAIRED)
    losses_of = losses.get(name).discriminator, losses.get(name).generator
    for loss in losses_of if name != "wasserstein" else losses_of[:1]:
        assert float(loss(real + 7, fake + 7)) == pytest.approx(float(loss(real, fake)), abs=1e-5)
        assert float(loss(real + 7, fake)) != pytest.approx(float(loss(real, fake)), abs=1e-2)


@pytest.mark.parametrize("fake", [[3], [1], [4, 1], [4, 4]])
@pytest.mark.parametrize("loss", losses.relativistic[:2])
def test_relativistic_needs_pairs(loss, fake):
    with pytest.raises(ValueError, match=r"as many of one as of the other; their shapes are \(4,\) and"):
        loss(tf.zeros([4]), tf.zeros(fake))


def test_relativistic_average_needs_no_pairs():
    # twice the same fakes are the same average and the same mean
    once = losses.relativistic_average.discriminator(tf.constant(REAL), tf.constant(FAKE))
    twice = losses.relativistic_average.discriminator(tf.constant(REAL), tf.constant(FAKE * 2))
    assert float(once) == pytest.approx(float(twice), abs=1e-6)


# === MMD ===

def rbf(x, y):
    return sum(math.exp(-sum((a - b) ** 2 for a, b in zip(x, y)) / (2 * sigma**2)) for sigma in (1, 2, 4, 8, 16))


def polynomial(x, y):
    return (sum(a * b for a, b in zip(x, y)) / len(x) + 1) ** 3


KERNELS = {"mmd_rbf": rbf, "mmd_polynomial": polynomial}


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", MMD)
def test_mmd_is_the_double_loop(name, k):
    generator, kernel = np.random.default_rng(3), KERNELS[name]
    real, fake = generator.normal(size=(7, k)), generator.normal(0.5, 2, size=(5, k))
    value = 0.0
    for batch in (real, fake):
        pairs = list(itertools.permutations(batch, 2))  # i ≠ j
        value += sum(kernel(x, y) for x, y in pairs) / len(pairs)
    value -= 2 * sum(kernel(x, y) for x in real for y in fake) / (7 * 5)
    real, fake = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    assert float(losses.get(name).generator(real, fake)) == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert float(losses.get(name).discriminator(real, fake)) == pytest.approx(-value, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", MMD)
def test_mmd_is_unbiased(name):
    # equal distributions: 0 on average. The biased form, which compares each example with itself too, is not
    draws, n, kernel = 2000, 4, KERNELS[name]
    real, fake = np.random.default_rng(0).uniform(-1, 1, (2, draws, n)).astype(np.float32)
    loss = losses.get(name).generator
    each = tf.function(lambda pairs: tf.map_fn(lambda pair: loss(*pair), pairs, fn_output_signature=tf.float32), autograph=False)
    unbiased = np.asarray(each((real, fake)), np.float64)
    itself = np.array([[sum(kernel([x], [x]) for x in row) for row in batch[:200]] for batch in (real, fake)])
    within = np.array([[sum(kernel([x], [y]) for x, y in itertools.permutations(row, 2)) for row in batch[:200]]
                       for batch in (real, fake)])
    biased = unbiased[:200] + ((itself + within) / n**2 - within / (n * (n - 1))).sum(axis=0)
    assert abs(unbiased.mean()) < 3 * unbiased.std() / math.sqrt(draws)
    assert biased.mean() > 10 * biased.std() / math.sqrt(200)


def test_mmd_rbf_of_large_features():
    # far from 0, 10,000² + 10,001² - 2 · 10,000 · 10,001 is not 1 in float32
    real, fake = tf.constant([[0.0], [1.0]]), tf.constant([[3.0], [2.0]])
    assert float(losses.mmd_rbf.generator(real + 1e4, fake + 1e4)) == pytest.approx(1.5843378, abs=1e-5)


@pytest.mark.parametrize("real, fake", [(1, 4), (4, 1), (1, 1)])
@pytest.mark.parametrize("name", MMD)
def test_mmd_of_one_example(name, real, fake):
    for loss in losses.get(name)[:2]:
        with pytest.raises(ValueError, match=f"at least 2 real and 2 fake .* there are {real} and {fake}"):
            loss(tf.zeros([real, 3]), tf.zeros([fake, 3]))


# === Shapes and precision ===

@pytest.mark.parametrize("name", NAMES)
def test_shapes(name):
    objective = losses.get(name)
    real, fake = tf.constant(REAL), tf.constant(PAIRED)
    for loss in objective[:2]:
        flat, column = loss(real, fake), loss(real[:, None], fake[:, None])
        assert flat.shape == () and float(flat) == float(column)
        # a batch whose size is not known until it comes
        signature = [tf.TensorSpec([None, None], tf.float32)] * 2
        assert float(tf.function(loss, input_signature=signature)(real[:, None], fake[:, None])) == pytest.approx(
            float(flat), abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(MMD)))
def test_many_logits_an_example_are_averaged(name):
    # as of a discriminator of patches
    real, fake = tf.random.stateless_normal([2, 3, 4, 1], [1, 2]), tf.random.stateless_normal([2, 3, 4, 1], [3, 4])
    for loss in losses.get(name)[:2]:
        assert float(loss(real, fake)) == pytest.approx(
            float(loss(tf.reshape(real, [-1]), tf.reshape(fake, [-1]))), abs=1e-6)


@pytest.mark.parametrize("name", ["non_saturating", "least_squares", "wasserstein", "hinge", "mmd_polynomial"])
def test_means_are_over_each_kind_by_itself(name):
    # twice as many fakes must not weigh more than the reals. MMD: one pair in three is then of equals, k(x, x)
    discriminator = losses.get(name).discriminator
    once = discriminator(tf.constant(REAL), tf.constant(FAKE))
    twice = discriminator(tf.constant(REAL), tf.constant(FAKE * 2))
    if name in MMD:
        once -= sum(polynomial([x], [x]) for x in FAKE) / 2 / 3 - polynomial(FAKE[:1], FAKE[1:]) / 3
    assert float(once) == pytest.approx(float(twice), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_float16_logits_are_reckoned_with_in_float32(name):
    real, fake = tf.constant([2.25, -1.5, 0.5], tf.float16), tf.constant([0.25, -2.0, 1.125], tf.float16)
    for loss in losses.get(name)[:2]:
        value, wide = loss(real, fake), loss(tf.cast(real, tf.float32), tf.cast(fake, tf.float32))
        assert value.dtype == tf.float32 and float(value) == float(wide)
        assert all(g.dtype == tf.float16 for g in gradients(loss, real, fake) if g is not None)


EXTREMES = {"right": ([1e4] * 3, [-1e4] * 3), "wrong": ([-1e4] * 3, [1e4] * 3),
            "mixed": ([1e4, -1e4, 0], [-1e4, 1e4, 0])}


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name, label_smoothing", [(name, 0) for name in NAMES] + [(name, 0.1) for name in SMOOTHABLE])
def test_extreme_logits(name, label_smoothing, dtype, extreme):
    objective = losses.get(name, label_smoothing)
    real, fake = (tf.constant(logits, dtype) for logits in EXTREMES[extreme])
    for loss in objective[:2]:
        found = [g for g in gradients(loss, real, fake) if g is not None]
        assert math.isfinite(loss(real, fake)) and found
        if (name, dtype) == ("mmd_polynomial", "float16"):
            # d/dx (xy + 1)³ = 3 y (xy + 1)² is about 3 · 10²⁰, which no float16 is. What the loss-scaling optimizer
            # must see to skip the step and halve its scale is inf, never a wrong number
            assert not any(np.isnan(gradient).any() for gradient in found)
            assert any(np.isinf(gradient).any() for gradient in found)
        else:
            assert all(np.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_gradients_at_extreme_logits_by_hand(dtype):
    # at -10,000 softplus(-x) is -x, at 10,000 softplus(x) is x: slopes -1 and 1, of means of 3
    real, fake = (tf.constant(logits, dtype) for logits in EXTREMES["wrong"])
    on_real, on_fake = gradients(losses.non_saturating.discriminator, real, fake)
    assert on_real.numpy() == pytest.approx([-1 / 3] * 3, abs=1e-3)
    assert on_fake.numpy() == pytest.approx([1 / 3] * 3, abs=1e-3)
    # ½ (x - 1)²: x - 1 = -10,001; ½ x²: 10,000
    on_real, on_fake = gradients(losses.least_squares.discriminator, real, fake)
    assert on_real.numpy() == pytest.approx([-10001 / 3] * 3, rel=1e-3)
    assert on_fake.numpy() == pytest.approx([10000 / 3] * 3, rel=1e-3)


# === By name ===

def test_config_names_the_objectives():
    field = typing.get_type_hints(Config)["loss"]
    assert sorted(typing.get_args(field)) == NAMES


def test_get():
    assert losses.get("non_saturating") is losses.non_saturating
    own = losses.Objective(None, None)
    assert losses.get(own) is own
    with pytest.raises(ValueError, match=r"'non_saturatin' \(did you mean 'non_saturating'\?\); there are: .*mmd_rbf"):
        losses.get("non_saturatin")


@pytest.mark.parametrize("name", ["non_saturating", "minimax"])
def test_label_smoothing_by_hand(name):
    # target .9 for real: .9 log(1 + e^-x) + .1 log(1 + e^x) = log(1 + e^-x) + .1 x, so .1 of their mean .5 more
    objective = losses.get(name, 0.1)
    value = objective.discriminator(tf.constant(REAL), tf.constant(FAKE))
    assert float(value) == pytest.approx(1.1287305 + 0.05, abs=1e-6)
    assert objective.generator is losses.get(name).generator
    # D is content with a real example at sigmoid(x) = .9, x = log(9), and pulls it back from beyond
    on_real, _ = gradients(objective.discriminator, [math.log(9), 10.0, 0.0], FAKE)
    assert on_real.numpy() == pytest.approx([0, (0.1 - math.exp(-10)) / 3, (0.1 - 0.5) / 3], abs=1e-5)


def test_label_smoothing_of_least_squares_by_hand():
    # ((2 - .9)² + (-1 - .9)² + (.5 - .9)²) / 3 = (1.21 + 3.61 + .16) / 3 = 1.66, fake as before 2.045
    objective = losses.get("least_squares", 0.1)
    assert float(objective.discriminator(tf.constant(REAL), tf.constant(FAKE))) == pytest.approx(1.8525, abs=1e-6)
    assert float(objective.generator(None, tf.constant(FAKE))) == pytest.approx(2.3725, abs=1e-6)


def test_label_smoothing_is_one_sided():
    fake = tf.constant(FAKE)
    for name in SMOOTHABLE:
        _, plain = gradients(losses.get(name).discriminator, REAL, fake)
        _, smooth = gradients(losses.get(name, 0.3).discriminator, REAL, fake)
        assert plain.numpy().tolist() == smooth.numpy().tolist()


def test_what_cannot_be_smoothed():
    assert sorted(name for name in NAMES if losses.get(name).smoothable) == sorted(SMOOTHABLE)
    for name in set(NAMES) - set(SMOOTHABLE):
        assert losses.get(name, 0.0) is losses.get(name)
        for asked in (name, losses.get(name)):
            with pytest.raises(ValueError, match=f"label_smoothing=.* with the loss {name}, which has no targets .*: {', '.join(SMOOTHABLE)}$"):
                losses.get(asked, 0.1)
    with pytest.raises(ValueError, match="with the loss of your own, which has no targets"):
        losses.get(losses.Objective(None, None), 0.1)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1, 1.5, math.nan])
def test_label_smoothing_out_of_range(label_smoothing):
    with pytest.raises(ValueError, match="label_smoothing is .*: it must be at least 0 and below 1"):
        losses.get("non_saturating", label_smoothing)
