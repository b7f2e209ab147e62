import numpy as np
import pytest
import tensorflow as tf

from kgan.augment import POLICIES, adapt, augment, check
from kgan.config import AUGMENTATIONS

NAMES = tuple(POLICIES)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def numbers(count, seed=0):
    """A `uniform` that draws from numpy, and counts its calls."""
    generator = np.random.default_rng(seed)

    def uniform(*tail):
        uniform.calls += 1
        return tf.constant(generator.random((count, *tail), np.float32))
    uniform.calls = 0
    return uniform


def told(*rows):
    """A `uniform` that hands out these rows, one a call, and has no more."""
    rows = iter(rows)
    return lambda: tf.constant(next(rows), tf.float32)


def middle(value, count):
    """The number in the middle of those that draw integer `value` out of `count`."""
    return (value + 0.5) / count


# === Each policy, by numpy ===

def test_flip():
    x = normal(4, 3, 5, 2)
    found = POLICIES["flip"](x, told([0.0, 0.49, 0.5, 0.99]))
    np.testing.assert_array_equal(found, np.concatenate([x[:2, :, ::-1], x[2:]]))


def test_rotate90():
    x = normal(5, 4, 4, 2)
    found = POLICIES["rotate90"](x, told([0.0, 0.25, 0.6, 0.75, 1 - 2**-24]))
    for image, turned, turns in zip(x, found, [0, 1, 2, 3, 3]):
        np.testing.assert_array_equal(turned, np.rot90(image, turns))


def test_color():
    x = np.clip(normal(3, 4, 5, 3), -1, 1)
    brightness, saturation, contrast = np.random.default_rng(1).random((3, 3))
    expected = []
    for image, b, s, c in zip(x.astype(np.float64), brightness, saturation, contrast):
        image = image + (b - 0.5)
        grey = image.mean(axis=2, keepdims=True)
        image = (image - grey) * (s * 2) + grey
        expected.append((image - image.mean()) * (c + 0.5) + image.mean())
    found = POLICIES["color"](x, told(brightness, saturation, contrast)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # of the three, only brightness moves the mean
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3)) + brightness - 0.5, atol=1e-6)


def test_color_by_hand():
    # one pixel of (0, .6) beside one of (.2, .8), mean .4; + .25; away from (.55, .75) × 1.5; towards .65 × .75
    x = tf.constant([[[[0.0, 0.6], [0.2, 0.8]]]])
    found = POLICIES["color"](x, told([0.75], [0.75], [0.25]))
    np.testing.assert_allclose(found, [[[[0.2375, 0.9125], [0.3875, 1.0625]]]], atol=1e-6)


def test_saturation_leaves_one_channel_alone():
    x = normal(2, 3, 3, 1)
    found = POLICIES["color"](x, told([0.5, 0.5], [0.0, 0.9], [0.5, 0.5]))
    np.testing.assert_allclose(found, x, atol=1e-6)


def test_translation():
    # 12 x 20: up to 2 (1.5 rounded up, as in the paper's code) and 3 (2.5 likewise)
    moves = [(down, right) for down in range(-2, 3) for right in range(-3, 4)]
    x = normal(len(moves), 12, 20, 2)
    expected = np.zeros_like(x)
    for image, into, (down, right) in zip(x, expected, moves):
        for row in range(12):
            for column in range(20):
                if 0 <= row - down < 12 and 0 <= column - right < 20:
                    into[row, column] = image[row - down, column - right]
    found = POLICIES["translation"](
        x, told([middle(down + 2, 5) for down, _ in moves], [middle(right + 3, 7) for _, right in moves]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("height, width", [(8, 12), (7, 9)])
def test_cutout(height, width):
    # the paper's code: the middle's offset is in 0 … size - side % 2, the square is cut off at the edge
    sides = [int(height / 2 + 0.5), int(width / 2 + 0.5)]
    counts = [height + 1 - sides[0] % 2, width + 1 - sides[1] % 2]
    middles = [(row, column) for row in range(counts[0]) for column in range(counts[1])]
    x = normal(len(middles), height, width, 3)
    expected = x.copy()
    for image, (row, column) in zip(expected, middles):
        for i in range(sides[0]):
            for j in range(sides[1]):
                down, across = row + i - sides[0] // 2, column + j - sides[1] // 2
                image[np.clip(down, 0, height - 1), np.clip(across, 0, width - 1)] = 0
    found = POLICIES["cutout"](x, told([middle(row, counts[0]) for row, _ in middles],
                                       [middle(column, counts[1]) for _, column in middles]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name, values", [("translation", 7), ("rotate90", 4), ("cutout", 25)])
def test_all_integers_alike(name, values):
    # an image that is a mark at each place tells where it went
    count = 20_000
    size = {"translation": 24, "rotate90": 3, "cutout": 24}[name]
    ramp = 1 + np.arange(size * size, dtype=np.float32).reshape(1, size, size, 1)
    found = POLICIES[name](np.repeat(ramp, count, axis=0), numbers(count)).numpy()
    if name == "rotate90":
        found = found[:, 0, 0, 0]
    elif name == "translation":
        found = found[:, 12, 12, 0] // size
    else:  # which rows are cut
        found = (found == 0).any(axis=(2, 3)) @ (np.arange(size) + 100)
    shares = np.unique(found, return_counts=True)[1] / count
    assert len(shares) == values
    np.testing.assert_allclose(shares, 1 / values, rtol=0.2)


# === augment ===

@pytest.mark.parametrize("name", NAMES)
def test_probability(name):
    count = 2000
    x = normal(count, 8, 8, 3)
    uniform = numbers(count)
    uniform()  # the one that augment draws first
    changed = POLICIES[name](x, uniform).numpy()
    moved = (changed != x).any(axis=(1, 2, 3))  # heads of the coin, turns and shifts that are not 0
    share = {"flip": 1 / 2, "rotate90": 3 / 4, "translation": 8 / 9}.get(name, 1)
    assert moved.mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(augment(x, (name,), numbers(count), 1.0), changed)
    np.testing.assert_array_equal(augment(x, (name,), numbers(count), tf.constant(0.0)), x)
    found = augment(x, (name,), numbers(count), tf.constant(0.3)).numpy()
    same, applied = (found == x).all(axis=(1, 2, 3)), (found == changed).all(axis=(1, 2, 3))
    assert (same | applied).all()
    assert applied[moved].mean() == pytest.approx(0.3, abs=0.04)


def test_policies_are_applied_in_order_and_each_by_itself():
    count = 4
    x = normal(count, 8, 8, 3)
    draws = told([0.1, 0.1, 0.9, 0.9], [0.0] * 4, [0.1, 0.9, 0.1, 0.9], [0.3] * 4)
    found = augment(x, ("flip", "rotate90"), draws, 0.5)
    flipped = x[:, :, ::-1]
    np.testing.assert_array_equal(found, [np.rot90(flipped[0]), flipped[1], np.rot90(x[2]), x[3]])


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_draws_do_not_depend_on_probability(probability):
    uniform = numbers(3)
    augment(normal(3, 8, 8, 1), NAMES, uniform, probability)
    assert uniform.calls == 5 + 1 + 1 + 3 + 2 + 2


def test_probability_0_and_a_draw_of_0():
    x = normal(2, 4, 4, 1)
    np.testing.assert_array_equal(augment(x, ("flip",), told([0.0, 0.0], [0.0, 0.0]), 0.0), x)


def test_no_policies():
    x = tf.constant(normal(2, 3, 4, 1))
    np.testing.assert_array_equal(augment(x, (), numbers(2)), x)


def test_float16():
    x = tf.constant(np.clip(normal(4, 64, 64, 3), -1, 1), tf.float16)
    found = augment(x, NAMES, numbers(4))
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, augment(tf.cast(x, tf.float32), NAMES, numbers(4)), atol=2e-3)


def test_mistakes():
    x = normal(2, 4, 6, 1)
    with pytest.raises(ValueError, match="'translate'.*'translation'"):
        augment(x, ("flip", "translate"), numbers(2))
    with pytest.raises(ValueError, match="4x6"):
        augment(x, ("rotate90",), numbers(2))
    assert check(("flip", "color"), (4, 6, 1)) is None


# === Gradients ===

@pytest.mark.parametrize("jit", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_jitted_and_twice_differentiable(name, jit):
    # f = Σ sin(a(x)) is bent; h = |∇f|². For a(x) = Ax + b: ∇f = Aᵀ cos(Ax + b), ∇h = -2 Aᵀ (sin(Ax + b) · A Aᵀ cos(…))
    shape = (6, 8, 8, 2)
    x = normal(*shape)
    # the first four of six are changed
    draws = [[0.1, 0.2, 0.3, 0.4, 0.8, 0.9], [0.1, 0.3, 0.7, 0.95, 0.2, 0.2], [0.9, 0.1, 0.7, 0.2, 0.2, 0.2],
             [0.3, 0.9, 0.1, 0.6, 0.2, 0.2]]

    def change(images):
        return augment(images, (name,), told(*draws), 0.5)

    def step(images):
        with tf.GradientTape() as outer:
            outer.watch(images)
            with tf.GradientTape() as inner:
                inner.watch(images)
                changed = change(images)
                value = tf.reduce_sum(tf.sin(changed))
            first = inner.gradient(value, images)
            penalty = tf.reduce_sum(first**2)
        return changed, first, outer.gradient(penalty, images)

    changed, first, second = (np.asarray(part) for part in tf.function(step, jit_compile=jit)(tf.constant(x)))
    np.testing.assert_allclose(changed, change(tf.constant(x)), atol=1e-6)
    assert (changed[:4] != x[:4]).any(axis=(1, 2, 3)).sum() >= 2 and (changed[4:] == x[4:]).all()
    matrices = np.zeros((6, 128, 128))  # all policies are affine: columns by unit images
    origin = np.asarray(change(tf.zeros(shape)), np.float64).reshape(6, 128)
    for place in range(128):
        unit = np.zeros((6, 128), np.float32)
        unit[:, place] = 1
        matrices[:, :, place] = np.asarray(change(tf.constant(unit.reshape(shape)))).reshape(6, 128) - origin
    flat = changed.reshape(6, 128).astype(np.float64)
    gradient = np.einsum("nij,ni->nj", matrices, np.cos(flat))
    np.testing.assert_allclose(first.reshape(6, 128), gradient, atol=1e-5)
    bent = np.sin(flat) * np.einsum("nij,nj->ni", matrices, gradient)
    np.testing.assert_allclose(second.reshape(6, 128), -2 * np.einsum("nij,ni->nj", matrices, bent), atol=3e-5)


@pytest.mark.parametrize("jit", [False, True])
def test_all_in_one_with_an_unknown_batch(jit):
    def step(images, rows, probability):
        calls = iter(tf.unstack(rows))
        with tf.GradientTape() as tape:
            tape.watch(images)
            changed = augment(images, NAMES, lambda: next(calls), probability)
        return changed, tape.gradient(changed, images)
    draws = np.random.default_rng(3).random((14, 5), np.float32)
    x = normal(5, 16, 16, 3)
    signature = [tf.TensorSpec([None, 16, 16, 3]), tf.TensorSpec([14, None]), tf.TensorSpec([])]
    changed, gradient = tf.function(step, input_signature=signature, jit_compile=jit)(x, draws, 0.8)
    np.testing.assert_allclose(changed, augment(x, NAMES, told(*draws), 0.8), atol=1e-5)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0.1


def test_gradient_of_a_shift_counts_what_stays():
    # the sum's gradient is 1 where a pixel is still seen, 0 where it was moved out
    x = tf.constant(normal(1, 8, 16, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(POLICIES["translation"](x, told([middle(0, 3)], [middle(4, 5)])))  # one up, two right
    expected = np.ones((8, 16))
    expected[0], expected[:, -2:] = 0, 0
    np.testing.assert_array_equal(tape.gradient(value, x)[0, ..., 0], expected)


# === adapt ===

@pytest.mark.parametrize("probability, sign, images, expected", [
    (0.2, 0.7, 64, 0.2 + 64 / 500_000), (0.2, 0.5, 64, 0.2 - 64 / 500_000), (0.0, -1.0, 64, 0.0), (1.0, 1.0, 64, 1.0),
    (0.2, 0.6, 64, 0.2), (0.0, 1.0, 500_000, 1.0)])
def test_adapt(probability, sign, images, expected):
    found = adapt(tf.constant(probability), tf.constant(sign), 0.6, images)
    assert found.shape == () and found.dtype == tf.float32
    assert float(found) == pytest.approx(expected, abs=1e-7)
    assert float(adapt(0.5, sign, 0.6, 100, length=1000)) == pytest.approx(0.5 + 0.1 * np.sign(np.float32(sign - 0.6)))


def test_config_names_the_policies():
    # config.py imports no TensorFlow, so it has the names a second time
    assert tuple(POLICIES) == AUGMENTATIONS
