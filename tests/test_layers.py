import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import layers
from kgan.layers import (BatchNormalization, ClipAtInference, ConditionalBatchNormalization, MinibatchStdDev, SelfAttention,
                         SpectralConv2D, SpectralDense)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


KNOWN = {}


def once(name, compute):
    """What is the same in all cases of a test."""
    if name not in KNOWN:
        KNOWN[name] = compute()
    return KNOWN[name]


# === MinibatchStdDev ===

def deviations(x, size):
    """By loops: the number of each group, at each of its members."""
    found = np.zeros(len(x))
    for start in range(0, len(x), size):
        members = x[start:start + size].astype(np.float64)
        found[start:start + size] = np.sqrt(members.var(axis=0) + 1e-8).mean()
    return found


def test_stddev_by_hand():
    # groups of two: (0, 1) with (1, 1) deviates by .5 and 0 (1e-4), mean .25005; (2, 5) with (1, 7) by .5 and 1
    x = tf.constant([[0.0, 1], [1, 1], [2, 5], [1, 7]])
    found = MinibatchStdDev(2)(x).numpy()
    np.testing.assert_array_equal(found[:, :2], x)
    np.testing.assert_allclose(found[:, 2], [0.25005, 0.25005, 0.75, 0.75], rtol=1e-6)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("count, size", [(8, 4), (6, 3), (7, 1), (10, 2), (3, 3), (1, 1)])
def test_stddev_of_any_batch(count, size, unknown):
    # group_size 4: the largest divisor of the batch up to 4
    x = normal(count, 3, 2, 5)
    layer = MinibatchStdDev(4)
    signature = [tf.TensorSpec([None if unknown else count, 3, 2, 5])]
    for jit in (False, True):
        found = tf.function(layer, input_signature=signature, jit_compile=jit)(x).numpy()
        assert found.shape == (count, 3, 2, 6)
        np.testing.assert_allclose(found[..., 5], np.broadcast_to(deviations(x, size)[:, None, None], (count, 3, 2)),
                                   rtol=1e-5)


def test_stddev_of_equal_examples_has_a_gradient():
    x = tf.Variable(np.tile(normal(1, 2, 2, 3), (4, 1, 1, 1)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(MinibatchStdDev(4)(x)[..., 3])
    assert float(loss) == pytest.approx(16 * 1e-4)
    np.testing.assert_allclose(tape.gradient(loss, x), 0, atol=1e-6)


def test_stddev_in_float16():
    # 300² overflows float16
    layer = MinibatchStdDev(2, dtype="mixed_float16")
    found = layer(tf.constant([[300.0], [-300]]))
    assert found.dtype == "float16"
    np.testing.assert_array_equal(found[:, 1], [300, 300])


# === Spectral normalisation ===

def dense(**options):
    layer = SpectralDense(5, **{"kernel_initializer": keras.initializers.GlorotNormal(seed=4), **options})
    layer.build((None, 7))
    return layer


def convolution(**options):
    options = {"kernel_initializer": keras.initializers.GlorotNormal(seed=4), **options}
    layer = SpectralConv2D(6, 3, padding="same", **options)
    layer.build((None, 4, 4, 2))
    return layer


def example(layer, count=3):
    return tf.constant(normal(count, 7) if isinstance(layer, SpectralDense) else normal(count, 4, 4, 2))


def largest(kernel):
    kernel = np.array(kernel, np.float64)
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


@pytest.mark.parametrize("make", [dense, convolution])
def test_sigma_is_the_largest_singular_value(make):
    layer = make()
    assert float(layer.sigma) == pytest.approx(largest(layer._kernel), rel=0.03)  # before the first step
    layer._kernel.assign(3 * normal(*layer._kernel.shape, seed=1))
    for _ in range(100):
        layer(example(layer), training=True)
    assert float(layer.sigma) == pytest.approx(largest(layer._kernel), rel=1e-4)
    assert largest(layer.kernel) == pytest.approx(1, abs=1e-3)
    # and it is this kernel that the layer multiplies by
    plain = keras.layers.Dense(5) if make is dense else keras.layers.Conv2D(6, 3, padding="same")
    plain.build(example(layer).shape)
    plain.set_weights([layer.kernel, normal(*layer.bias.shape)])
    layer.bias.assign(plain.bias)
    np.testing.assert_allclose(layer(example(layer)), plain(example(layer)), atol=1e-5)


def test_one_power_iteration_a_training_call():
    layer = dense()
    layer.u.assign(normal(5, seed=3))
    kernel, u = np.asarray(layer._kernel), np.asarray(layer.u)
    layer(example(layer), training=True)
    expected = kernel.T @ kernel @ u
    np.testing.assert_allclose(layer.u, expected / np.linalg.norm(expected), rtol=1e-5)
    # σ = |W u| of the new u
    assert float(layer.sigma) == pytest.approx(np.linalg.norm(kernel @ np.asarray(layer.u)), rel=1e-5)


@pytest.mark.parametrize("make", [dense, convolution])
def test_inference_leaves_u_and_agrees_with_training(make):
    layer = make()
    layer.u.assign(normal(*layer.u.shape, seed=3))
    before = layer.u.numpy()
    first = layer(example(layer)).numpy()
    layer(example(layer), training=False)
    np.testing.assert_array_equal(layer.u, before)
    trained = layer(example(layer), training=True).numpy()
    assert np.abs(layer.u.numpy() - before).max() > 0.01 and np.abs(trained - first).max() > 1e-3
    np.testing.assert_array_equal(layer(example(layer)), trained)


def test_sigma_is_of_float32_under_float16():
    found = []
    for policy in ("float32", "mixed_float16"):
        layer = dense(dtype=policy)
        layer.u.assign(normal(5, seed=3))
        assert layer(example(layer), training=True).dtype == layer.compute_dtype
        found.append(layer.u.numpy())
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


def test_the_length_of_u_does_not_matter():
    # an averaged generator's u is a mean of units: shorter than 1
    layer = dense()
    sigma = float(layer.sigma)
    layer.u.assign(layer.u * 0.3)
    assert float(layer.sigma) == pytest.approx(sigma, rel=1e-6)


@pytest.mark.parametrize("make", [dense, convolution])
def test_gradient_flows_through_sigma(make):
    layer = make()
    x = example(layer)
    target = tf.sign(layer(x))

    def loss():  # linear in the output, so all that bends is 1 / σ
        return tf.reduce_sum(layer(x) * target)

    with tf.GradientTape() as tape:
        value = loss()
    gradient = tape.gradient(value, layer._kernel.value).numpy()
    kernel, direction = layer._kernel.numpy(), normal(*layer._kernel.shape, seed=6)
    sides = []
    for step in (0.01, -0.01):
        layer._kernel.assign(kernel + step * direction)
        sides.append(float(loss()))
    layer._kernel.assign(kernel)
    assert np.sum(gradient * direction) == pytest.approx((sides[0] - sides[1]) / 0.02, rel=1e-2)
    # scaling the kernel changes nothing, so nothing leads that way; without σ's gradient this is the loss itself
    assert float(value) > 1 and abs(np.sum(gradient * kernel)) < 1e-4


def test_gradient_in_training_treats_u_as_constant():
    layer = dense(use_bias=False)
    x, target = example(layer), normal(3, 5, seed=5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True) * target)
    gradient = tape.gradient(loss, layer._kernel.value)
    kernel, u = layer._kernel.numpy().astype(np.float64), layer.u.numpy().astype(np.float64)
    v = kernel @ u / np.linalg.norm(kernel @ u)
    sigma = v @ kernel @ u
    direct = x.numpy().T @ target
    # equation 12: (∇ - λ v uᵀ) / σ, λ = <∇, W / σ>
    np.testing.assert_allclose(gradient, (direct - np.sum(direct * kernel) / sigma * np.outer(v, u)) / sigma, atol=1e-4)


@pytest.mark.parametrize("make", [dense, convolution])
def test_a_kernel_of_zeros(make):
    layer = make(kernel_initializer="zeros")
    u = normal(*layer.u.shape)
    layer.u.assign(u)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(example(layer), training=True))
    assert np.abs(tape.gradient(loss, layer._kernel.value)).max() > 0.1 and float(loss) == 0
    np.testing.assert_array_equal(layer.u, u)  # not lost: the kernel will not be 0 for ever


def network():
    image = keras.Input((4, 4, 2))
    x = SpectralConv2D(6, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.LeakyReLU(negative_slope=0.2)(x)
    x = MinibatchStdDev(3)(x)
    x = SpectralDense(4)(keras.layers.Flatten()(x))
    return keras.Model(image, ClipAtInference(-0.2, 0.3, dtype="float32")(x))


def test_weights_that_are_trained():
    names = [weight.path.split("/")[-1] for weight in network().trainable_weights]
    assert names == ["kernel", "kernel", "bias"]


def test_saving_and_cloning(tmp_path):
    model = network()
    x = normal(6, 4, 4, 2)
    for layer in model.layers:
        if hasattr(layer, "u"):
            layer.u.assign(normal(*layer.u.shape, seed=9))  # neither the start nor the truth
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for other in (loaded, cloned):
        for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(model(x), other(x))
        assert other.layers[3].group_size == 3 and (other.layers[-1].low, other.layers[-1].high) == (-0.2, 0.3)
    np.testing.assert_array_equal(model(x, training=True), loaded(x, training=True))


def test_one_kernel_one_u():
    # no random number is drawn for u: neither do others' numbers change nor do two runs differ
    keras.utils.set_random_seed(1)
    first = dense()
    keras.utils.set_random_seed(1)
    plain, second = keras.layers.Dense(5), dense()
    plain.build((None, 7))
    np.testing.assert_array_equal(first.u, second.u)
    np.testing.assert_array_equal(first._kernel, second._kernel)
    keras.utils.set_random_seed(1)
    dense()
    third = keras.layers.Dense(5)
    third.build((None, 7))
    np.testing.assert_array_equal(third.kernel, plain.kernel)


@pytest.mark.parametrize("policy, jit", [("float32", True), ("mixed_float16", False), *(
    pytest.param(*each, marks=pytest.mark.slow) for each in (("float32", False), ("mixed_float16", True)))])
def test_a_training_step_anywhere_is_the_plain_one(policy, jit):
    def run(policy, wrap):
        keras.mixed_precision.set_global_policy(policy)
        try:
            model = network()
        finally:
            keras.mixed_precision.set_global_policy("float32")
        model.set_weights([normal(*weight.shape, seed=i) for i, weight in enumerate(model.weights)])
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(model.trainable_variables)

        def step(x):
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    score = tf.reduce_sum(model(x, training=True))
                loss = tf.reduce_sum(inner.gradient(score, x)**2) + score  # a gradient penalty
            optimizer.apply(outer.gradient(loss, model.trainable_variables), model.trainable_variables)
        step = wrap(step)
        for _ in range(2):
            step(tf.constant(normal(6, 4, 4, 2)))
        return model.get_weights()

    tolerance = 1e-5 if policy == "float32" else 2e-2
    found = run(policy, lambda step: tf.function(step, jit_compile=jit))
    for ours, plain in zip(found, once("a training step", lambda: run("float32", lambda step: step)), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, plain, atol=tolerance * max(1, np.abs(plain).max()))


# === Conv2D, Conv2DTranspose ===

# maps of 2h × 2w with 64 channels and of h × w with 5
STRIDED = {"Conv2D": (5, (8, 12, 64)), "Conv2DTranspose": (64, (4, 6, 5))}
FAST = ("Conv2D", True, True), ("Conv2DTranspose", False, False)


@pytest.fixture
def products(monkeypatch):
    """A list that grows with each product by kgan.winograd, however few the places are."""
    monkeypatch.setattr(layers, "_ROWS", 0)
    made = []
    for kind in (layers.Conv2D, layers.Conv2DTranspose):
        plain = kind._product
        monkeypatch.setattr(kind, "_product", staticmethod(lambda *inputs, plain=plain: made.append(1) or plain(*inputs)))
    return made


@pytest.mark.parametrize("name, unknown, jit", [
    pytest.param(name, unknown, jit, marks=[] if (name, unknown, jit) in FAST else pytest.mark.slow)
    for name in STRIDED for unknown in (False, True) for jit in (False, True)])
def test_strided_convolution_is_keras_s(name, unknown, jit, products):
    width, shape = STRIDED[name]

    def step(kind, traced):
        """Outputs in training, first derivatives, and those of their squares, as a penalty takes them."""
        keras.utils.set_random_seed(1)
        layer = kind(width, 4, strides=2, padding="same", activation="tanh", bias_initializer="normal")
        layer.build((None, *shape))
        weights = normal(*layer.compute_output_shape((3, *shape))[1:], seed=2)

        def both(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = layer(x, training=True)
                    total = tf.reduce_sum(y * weights)
                first = tape.gradient(total, [x, *layer.trainable_variables])
                squares = tf.add_n([tf.reduce_sum(slope**2) for slope in first])
            return y, *first, *outer.gradient(squares, [x, *layer.trainable_variables])
        if traced:
            both = tf.function(both, input_signature=[tf.TensorSpec([None if unknown else 3, *shape])], jit_compile=jit)
        return [np.asarray(part) for part in both(tf.constant(normal(3, *shape)))]

    ours = step(getattr(layers, name), traced=True)
    keras_s = once(f"{name} of Keras", lambda: step(getattr(keras.layers, name), traced=False))
    assert products
    for one, other in zip(ours, keras_s, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


@pytest.mark.parametrize("name, shape, options", [
    ("Conv2D", (6, 8, 64), {}), ("Conv2D", (7, 8, 64), {}), ("Conv2D", (8, 8, 5), {}),
    ("Conv2D", (8, 8, 64), dict(strides=1)),
    ("Conv2D", (8, 8, 64), dict(kernel_size=5)), ("Conv2D", (8, 8, 64), dict(padding="valid")),
    ("Conv2D", (8, 8, 64), dict(dtype="mixed_float16")), ("Conv2D", (None, None, 64), {}),
    ("Conv2DTranspose", (3, 4, 5), {}), ("Conv2DTranspose", (4, 4, 5), dict(filters=6)),
    ("Conv2DTranspose", (None, 4, 5), {}), ("Conv2DTranspose", (4, 4, 5), dict(padding="valid"))])
def test_other_convolutions_are_left_to_keras(name, shape, options, products):
    def outputs(kind):
        keras.utils.set_random_seed(1)
        layer = kind(**{"filters": STRIDED[name][0], "kernel_size": 4, "strides": 2, "padding": "same", **options})
        layer.build((None, *shape))
        signature = [tf.TensorSpec([2, *shape])]
        return tf.function(lambda x: layer(x, training=True), input_signature=signature)(
            normal(2, *(size or 8 for size in shape)))

    np.testing.assert_array_equal(outputs(getattr(layers, name)), outputs(getattr(keras.layers, name)))
    assert not products


@pytest.mark.parametrize("name", STRIDED)
def test_a_few_places_are_left_to_keras(name, products, monkeypatch):
    """Of 8 × 12 larger maps: 5 have 480 places, 6 have 576."""
    monkeypatch.setattr(layers, "_ROWS", 512)
    width, shape = STRIDED[name]
    layer = getattr(layers, name)(width, 4, strides=2, padding="same")
    layer(normal(5, *shape), training=True)
    assert not products
    layer(normal(6, *shape), training=True)
    assert products


@pytest.mark.parametrize("name", STRIDED)
def test_strided_convolution_outside_training(name, products, tmp_path):
    """Inference is Keras's; a file holds the same weights under the same names."""
    width, shape = STRIDED[name]

    def network(kind):
        keras.utils.set_random_seed(1)
        x = keras.Input(shape)
        return keras.Model(x, kind(width, 4, strides=2, padding="same", name="convolution")(x))

    ours, keras_s, x = network(getattr(layers, name)), network(getattr(keras.layers, name)), normal(3, *shape)
    np.testing.assert_array_equal(ours(x), keras_s(x))
    assert not products
    assert [weight.path for weight in ours.weights] == [weight.path for weight in keras_s.weights]
    ours.save(tmp_path / "ours.keras")
    again = keras.saving.load_model(tmp_path / "ours.keras")
    assert type(again.get_layer("convolution")) is getattr(layers, name)
    np.testing.assert_array_equal(again(x), ours(x))
    np.testing.assert_array_equal(keras.models.clone_model(ours)(x, training=True).shape, ours(x).shape)
    assert products


# === ConditionalBatchNormalization ===

def conditional(shape=(4, 4, 6), **options):
    x, condition = keras.Input(shape), keras.Input((3,))
    layer = ConditionalBatchNormalization(**{"kernel_initializer": keras.initializers.GlorotNormal(seed=4), **options})
    return keras.Model([x, condition], layer([x, condition])), layer


@pytest.mark.parametrize("options", [{}, {"center": False, "scale": False}])
@pytest.mark.parametrize("policy, tolerance", [("float32", 2e-5), ("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
def test_batch_normalisation_is_keras_s(policy, tolerance, options):
    x, weights = 3 * normal(8, 4, 5, 6) + 1, normal(8, 4, 5, 6, seed=1)

    def step(kind, jit=None):
        """Outputs, both gradients (the second of the first's square, as a penalty takes it), statistics, inference."""
        keras.utils.set_random_seed(1)
        layer = kind(momentum=0.7, gamma_initializer=keras.initializers.RandomNormal(1, 0.2), dtype=policy, **options)
        layer.build(x.shape)

        def both(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as tape:
                    tape.watch(x)
                    y = tf.cast(layer(x, training=True), tf.float32)
                    total = tf.reduce_sum(tf.sin(y) * weights)
                gradient = tape.gradient(total, x)
                square = tf.reduce_sum(gradient**2)
            return y, gradient, *outer.gradient(square, [x, *layer.trainable_variables], unconnected_gradients="zero")
        both = both if jit is None else tf.function(both, jit_compile=jit)
        return [*map(np.asarray, both(tf.constant(x))), *map(np.asarray, layer.weights), np.asarray(layer(x), np.float32)]

    plain = step(keras.layers.BatchNormalization)
    for jit in (False, True):
        for ours, keras_s in zip(step(BatchNormalization, jit), plain, strict=True):
            np.testing.assert_allclose(ours, keras_s, rtol=tolerance, atol=tolerance)


def test_batch_normalisation_of_solids():
    x, weights = tf.constant(3 * normal(4, 3, 4, 5, 6) + 1), normal(4, 3, 4, 5, 6, seed=1)

    def step(kind):
        layer = kind(momentum=0.7)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(tf.sin(layer(x, training=True)) * weights)
        return [*tape.gradient(total, [x, *layer.trainable_variables]), *layer.weights]

    for ours, keras_s in zip(step(BatchNormalization), step(keras.layers.BatchNormalization), strict=True):
        np.testing.assert_allclose(ours, keras_s, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(6,), (4, 4, 6)])
@pytest.mark.parametrize("spectral", [False, True])
def test_conditional_normalisation_by_hand(shape, spectral):
    model, layer = conditional(shape, spectral=spectral)
    x, condition = 3 + 2 * normal(8, *shape), normal(8, 3, seed=1)
    gain, bias = (normal(3, 6, seed=seed) for seed in (2, 3))
    if spectral:
        layer.gain._kernel.assign(gain)
        layer.bias._kernel.assign(bias)
        for _ in range(60):
            model([x, condition], training=True)
        gain, bias = gain / largest(gain), bias / largest(bias)
    else:
        layer.gain.kernel.assign(gain)
        layer.bias.kernel.assign(bias)
    places = tuple(range(len(shape)))
    mean, variance = x.mean(places), x.var(places)
    spread = [8, *[1] * (len(shape) - 1), 6]
    gain, bias = (1 + condition @ gain).reshape(spread), (condition @ bias).reshape(spread)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * gain + bias
    layer.normalization.moving_mean.assign(np.zeros(6))
    layer.normalization.moving_variance.assign(np.ones(6))
    np.testing.assert_allclose(model([x, condition], training=True), expected, atol=2e-3 if spectral else 1e-4)
    # .9 of what they were, .1 of the batch's; and these are used outside training
    np.testing.assert_allclose(layer.normalization.moving_mean, 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.normalization.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * variance + 1e-5) * gain + bias
    np.testing.assert_allclose(model([x, condition]), expected, atol=5e-3 if spectral else 1e-4)


def test_conditional_normalisation_begins_plain():
    layer, plain = ConditionalBatchNormalization(), keras.layers.BatchNormalization(epsilon=1e-5)
    x = 3 + normal(5, 4, 4, 6)
    np.testing.assert_allclose(layer([x, np.eye(3)[[0, 1, 2, 0, 1]]], training=True), plain(x, training=True), atol=1e-6)
    # but not where a kernel of zeros would be divided by 0 at first, and by all there is after a step
    assert largest(ConditionalBatchNormalization(spectral=True).kernel_initializer((3, 6))) == pytest.approx(1)


def test_gain_and_bias_differ():
    _, layer = conditional(kernel_initializer="orthogonal")
    assert np.abs(layer.gain.kernel - layer.bias.kernel).max() > 0.1


# === SelfAttention ===

def attention(gamma=0.7):
    image = keras.Input((4, 6, 8))
    layer = SelfAttention()
    model = keras.Model(image, layer(image))
    layer.gamma.assign(gamma)
    return model, layer


def test_attention_by_loops():
    model, layer = attention()
    x = normal(2, 4, 6, 8)
    w = {name: getattr(layer, name).kernel.numpy()[0, 0].astype(np.float64)
         for name in ("query", "key", "value", "output_projection")}
    assert [w[name].shape for name in w] == [(8, 1), (8, 1), (8, 4), (4, 8)]
    expected = np.empty(x.shape)
    for n in range(2):
        squares = [(i, j) for i in range(2) for j in range(3)]
        square = {s: x[n, 2 * s[0]:2 * s[0] + 2, 2 * s[1]:2 * s[1] + 2].reshape(4, 8) for s in squares}
        keys = np.array([(square[s] @ w["key"]).max(0) for s in squares])
        values = np.array([(square[s] @ w["value"]).max(0) for s in squares])
        for i in range(4):
            for j in range(6):
                score = np.exp(keys @ (x[n, i, j] @ w["query"]))
                expected[n, i, j] = x[n, i, j] + 0.7 * (score / score.sum()) @ values @ w["output_projection"]
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_new_attention_does_nothing_but_learns():
    model, layer = attention(0.0)
    x = normal(2, 4, 6, 8)
    with tf.GradientTape() as tape:
        y = model(x, training=True)
        loss = tf.reduce_sum(y**2)
    np.testing.assert_array_equal(y, x)
    assert abs(float(tape.gradient(loss, layer.gamma.value))) > 0.1


@pytest.mark.parametrize("make", [lambda: conditional()[0], lambda: conditional(spectral=True, synchronized=True)[0],
                                  lambda: attention()[0]])
def test_saving_cloning_and_tflite(make, tmp_path):
    model = make()
    inputs = [normal(5, *x.shape[1:], seed=i) for i, x in enumerate(model.inputs)]
    of = lambda values: values if len(values) > 1 else values[0]
    for _ in range(3):
        model(of(inputs), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    expected = model(of(inputs)).numpy()
    for other in (loaded, cloned):
        np.testing.assert_array_equal(other(of(inputs)), expected)
        assert other.layers[-1].get_config() == model.layers[-1].get_config() | {"name": other.layers[-1].name}
    # the interpreter refuses what is no built-in operator
    module = tf.Module()
    module.variables_of_model = [variable.value for variable in model.variables]
    specs = [tf.TensorSpec(value.shape, name=f"input_{i}") for i, value in enumerate(inputs)]
    module.serve = tf.function(lambda *values: {"y": model(of(values), training=False)}, input_signature=specs)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    converted = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "model")).convert()
    serve = tf.lite.Interpreter(model_content=converted).get_signature_runner("serving_default")
    found = serve(**{spec.name: value for spec, value in zip(specs, inputs)})["y"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("policy, jit", [("mixed_float16", False), ("float32", True), *(
    pytest.param(*each, marks=pytest.mark.slow) for each in (("float32", False), ("mixed_float16", True)))])
def test_conditional_steps_anywhere_are_the_plain_ones(policy, jit):
    def run(policy, wrap):
        keras.mixed_precision.set_global_policy(policy)
        try:
            image, condition = keras.Input((4, 4, 8)), keras.Input((3,))
            x = ConditionalBatchNormalization(spectral=True, synchronized=True)([image, condition])
            model = keras.Model([image, condition], SelfAttention()(ConditionalBatchNormalization()([x, condition])))
        finally:
            keras.mixed_precision.set_global_policy("float32")
        model.set_weights([0.3 + 0.3 * abs(normal(*weight.shape, seed=i)) for i, weight in enumerate(model.weights)])
        optimizer = keras.optimizers.SGD(0.01)
        optimizer.build(model.trainable_variables)

        def step(x, condition):
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    score = tf.reduce_sum(tf.cast(model([x, condition], training=True), tf.float32) ** 2) / 1000
                loss = tf.reduce_sum(inner.gradient(score, x)**2) + score  # a gradient penalty
            optimizer.apply(outer.gradient(loss, model.trainable_variables), model.trainable_variables)
        step = wrap(step)
        for _ in range(2):
            step(tf.constant(normal(6, 4, 4, 8)), tf.constant(normal(6, 3)))
        return model.get_weights()

    tolerance = 1e-4 if policy == "float32" else 3e-2
    found = run(policy, lambda step: tf.function(step, jit_compile=jit))
    for ours, plain in zip(found, once("conditional steps", lambda: run("float32", lambda step: step)), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, plain, atol=tolerance * max(1, np.abs(plain).max()))


# === ClipAtInference ===

def test_clip_at_inference():
    x = tf.constant([-3.0, -1, 0.5, 2])
    layer = ClipAtInference()
    np.testing.assert_array_equal(layer(x), [-1, -1, 0.5, 1])
    np.testing.assert_array_equal(layer(x, training=True), x)
    np.testing.assert_array_equal(ClipAtInference(0, 2)(x), [0, 0, 0.5, 2])


@pytest.mark.parametrize("make", [lambda: ClipAtInference(1, 1), lambda: MinibatchStdDev(0)])
def test_layers_refuse_nonsense(make):
    with pytest.raises(ValueError, match="must be"):
        make()
