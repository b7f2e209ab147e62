import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan.layers import ClipAtInference, MinibatchStdDev, SpectralConv2D, SpectralDense


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# === MinibatchStdDev ===

def deviations(x, size):
    """By loops: the number of each group, at each of its members."""
    groups = len(x) // size
    found = np.zeros(len(x))
    for group in range(groups):
        members = x[group::groups].astype(np.float64)
        found[group::groups] = np.sqrt(members.var(axis=0) + 1e-8).mean()
    return found


def test_stddev_by_hand():
    # groups of two: (0, 1) with (2, 5) deviates by 1 and 2, mean 1.5; (1, 1) with (1, 7) by 0 (1e-4) and 3
    x = tf.constant([[0.0, 1], [1, 1], [2, 5], [1, 7]])
    found = MinibatchStdDev(2)(x).numpy()
    np.testing.assert_array_equal(found[:, :2], x)
    np.testing.assert_allclose(found[:, 2], [1.5, 1.50005, 1.5, 1.50005], rtol=1e-6)


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


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("jit", [False, True])
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
    for ours, plain in zip(found, run("float32", lambda step: step), strict=True):
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
