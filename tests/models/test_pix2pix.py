import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import pix2pix

TINY = dict(filters=4, patch="16")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def fields(size=16, given=3, made=3):
    return {"input": kinds.Field("image", (size, size, given)), "image": kinds.Field("image", (size, size, made))}


class TestBattery(Battery):
    model = "pix2pix"
    cases = {
        "grey to colour": dict(shape=(16, 16, 3), given={"input": kinds.Field("image", (16, 16, 1))}, **TINY),
        "12x16, with noise": dict(shape=(12, 16, 1), given={"input": kinds.Field("image", (12, 16, 3))}, noise_dim=5, **TINY),
    }


# === The published networks ===

def test_parameters():
    # as counted from the paper's widths (appendix 6.1): k4 convolutions, those before a normalisation without biases, γ and β
    config = pix2pix.Config.of(preset="published")
    down = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    convolutions = sum(16 * one * other for one, other in zip(down, down[1:]))
    # up: each level but the innermost has the maps of its mirror image beside its own
    up = [512, 1024, 1024, 1024, 1024, 512, 256, 128], [512, 512, 512, 512, 256, 128, 64, 3]
    transposed = sum(16 * one * other for one, other in zip(*up))
    norms = 2 * (sum(down[2:8]) + sum(up[1][:-1]))
    biases = 64 + 512 + 3  # first, innermost, last
    found = pix2pix.generator((256, 256, 3), 3, config).count_params()
    assert found == convolutions + transposed + norms + biases == 54_414_531
    # D: 6 channels, C64-C128-C256-C512, then one logit
    found = pix2pix.discriminator((256, 256, 3), 3, config).count_params()
    assert found == 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * (128 + 256 + 512) + 64 + 1 == 2_768_705


def test_published_logits_are_30_by_30():
    assert pix2pix.discriminator((256, 256, 3), 3, pix2pix.Config(filters=1, patch="70")).output_shape == (None, 900)


@pytest.mark.parametrize("patch, size", [("16", 48), ("34", 80), ("70", 160), ("142", 320)])
def test_a_logit_sees_a_patch(patch, size):
    # batch normalisation in inference does not mix places; instance normalisation sees the whole map by its statistics
    discriminator = pix2pix.discriminator((size, size, 1), 1, pix2pix.Config(filters=2, patch=patch, normalization="batch"))
    x = tf.constant(normal(1, size, size, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator({"image": x, "input": tf.zeros_like(x)}, training=False)
        middle = logits[0, logits.shape[1] // 2 + int(logits.shape[1] ** 0.5) // 2]
    seen = np.argwhere(np.asarray(tape.gradient(middle, x))[0, ..., 0] != 0)
    np.testing.assert_array_equal(np.ptp(seen, axis=0) + 1, int(patch))


def test_no_noise_but_what_is_asked_for():
    generator = pix2pix.generator((16, 16, 3), 3, pix2pix.Config(**TINY))
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in generator.layers)
    assert [x.name for x in generator.inputs] == ["input"]
    x = normal(3, 16, 16, 3)
    np.testing.assert_allclose(generator(x, training=True), generator(x), atol=1e-6)
    np.testing.assert_allclose(generator(x[1:2]), generator(x)[1:2], atol=1e-5)  # nor does an example depend on others


def test_noise_is_joined_to_the_innermost_maps():
    generator = pix2pix.generator((16, 16, 3), 3, pix2pix.Config(noise_dim=5, **TINY))
    assert {x.name: tuple(x.shape) for x in generator.inputs} == {"input": (None, None, None, 3), "noise": (None, 5)}
    x, noise = normal(2, 16, 16, 3), normal(2, 5)
    made = generator({"input": x, "noise": noise})
    assert np.abs(made - generator({"input": x, "noise": -noise})).max() > 1e-6
    plain = pix2pix.generator((16, 16, 3), 3, pix2pix.Config(**TINY))
    # the first layer on the way up has 5 more maps to look at: 16 places of its kernel, times its width
    width = 4 * 4  # of the level beside the innermost
    assert generator.count_params() - plain.count_params() == 16 * 5 * width


# === Restoring ===

@pytest.mark.parametrize("given, made", [(3, 3), (1, 3), (3, 1)])
def test_what_restores_begins_as_its_input(given, made):
    keras.utils.set_random_seed(2)
    generator = pix2pix.generator((16, 16, made), given, pix2pix.Config.of(preset="restore", filters=4))
    x = normal(2, 13, 18, given)
    wanted = np.repeat(x, 3, -1) if made > given else x if made == given else x.mean(-1, keepdims=True)
    assert 1e-5 < np.abs(generator(x) - wanted).mean() < 0.03
    assert np.abs(generator(10 * x)).max() <= 1
    assert not any("Normalization" in type(layer).__name__ for layer in generator.layers)


def test_restoring_learns_to_denoise():
    settings = pix2pix.Config.presets["restore"]
    gan = gan_of(**{**settings, "batch_size": 8, "filters": 16, "depth": 2})
    assert pix2pix.Config.of(preset="restore").degrade == "downscale:2+noise:10+jpeg:40"
    clean = kinds.get("image").examples(fields()["image"], 840)
    noisy = clean + np.random.default_rng(1).normal(0, 0.3, clean.shape).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices({"input": noisy[:800], "image": clean[:800]}).batch(8)
    gan.fit(data, verbose=0)
    made = gan.generate(40, given={"input": noisy[800:]}, network=gan.generator)
    assert np.abs(made - clean[800:]).mean() < 0.65 * np.abs(noisy[800:] - clean[800:]).mean()


# === Sizes ===

@pytest.mark.parametrize("shape, depth, sides", [
    ((64, 64, 3), 0, [32, 16, 8, 4, 2, 1]), ((64, 64, 3), 3, [32, 16, 8]), ((48, 64, 3), 0, [32, 16, 8, 4, 2]),
    ((16, 16, 1), 1, [8])])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_depth(shape, depth, sides, upsampling):
    config = pix2pix.Config(filters=2, depth=depth, upsampling=upsampling)
    generator = pix2pix.generator(shape, shape[-1], config)
    strided = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)]
    assert [layer.filters for layer in strided] == [2 * min(2**i, 8) for i in range(len(sides))]
    up = [layer for layer in generator.layers
          if isinstance(layer, keras.layers.Conv2DTranspose if upsampling == "transpose" else keras.layers.UpSampling2D)]
    assert len(up) == len(sides)
    assert generator(normal(2, *shape)).shape == (2, *shape)
    if upsampling == "resize":
        assert not any(isinstance(layer, keras.layers.Conv2DTranspose) for layer in generator.layers)


@pytest.mark.parametrize("size", [(1, 1), (13, 16), (16, 16), (17, 40)])
def test_any_size_comes_back(size):
    generator = pix2pix.generator((16, 16, 3), 1, pix2pix.Config(**TINY))
    x = normal(2, *size, 1)
    made = np.asarray(generator(x))
    assert made.shape == (2, *size, 3) and np.abs(made).max() <= 1
    # it is what the image, continued by reflection to multiples of 16, becomes
    more = np.pad(x, [(0, 0), *((0, -side % 16) for side in size), (0, 0)], mode="symmetric")
    np.testing.assert_allclose(made, np.asarray(generator(more))[:, :size[0], :size[1]], atol=1e-6)


@pytest.mark.parametrize("shape, settings, message", [
    ((64, 64, 3), dict(depth=7), "depth=7: images of 64×64 pixels can be halved 6 times"),
    ((32, 32, 3), dict(patch="142"), "patch=142: needs images of at least 48 pixels, these are 32×32"),
    ((10, 10), {}, "makes images from images")])
def test_what_cannot_be_built(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        pix2pix.build(shape, pix2pix.Config(**settings))


@pytest.mark.parametrize("settings, message", [
    (dict(patch="32"), r"patch=32: must be one of 16, 34, 70, 142 \(did you mean '34'\?\)"),
    (dict(direction="BtA"), "direction=BtA: must be one of AtoB, BtoA"), (dict(jitter=1), "jitter=1.*below 1"),
    (dict(normalization="group"), "must be one of instance, batch, none")])
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        pix2pix.Config.of(**settings)


def test_default_settings():
    config = pix2pix.Config.of()
    assert (config.dataset, config.noise_dim, config.content_weight, config.discriminator_weight) == ("outlines", 0, 100, 0.5)
    assert pix2pix.Config.needs == {"input": "image", "image": "image"}
    published = pix2pix.Config.of(preset="published")
    assert (published.batch_size, published.filters, published.patch, published.beta_1, published.jitter) == (
        1, 64, "70", 0.5, 30 / 256)
    assert published.generator_learning_rate == published.discriminator_learning_rate == 2e-4


# === Training ===

def gan_of(size=16, given=3, made=3, **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("pix2pix", (size, size, made), {"jit_compile": False, **TINY, **settings}, seed=3,
                       fields=fields(size, given, made))
    gan.compile()
    return gan


def test_names():
    gan = gan_of(given=1)
    assert gan.key == "image" and gan.kind == "image" and {*gan.fields} == {"input", "image"}
    assert gan.generator.layers[-1].name == "images"
    assert sorted(x.name for x in gan.discriminator.inputs) == ["image", "input"]
    x = normal(2, 16, 16, 1)
    assert gan.generate(2, given={"input": x}).shape == (2, 16, 16, 3)
    # D sees what the image is for
    image = normal(2, 16, 16, 3)
    one, other = (gan.judge(image, {"input": given}, training=False)["logits"] for given in (x, -x))
    assert one.shape == (2, 36) and np.abs(one - other).max() > 1e-6


def test_losses_by_hand():
    gan = gan_of(content_weight=7.0, discriminator_weight=0.25)
    real, given = tf.constant(normal(4, 16, 16, 3)), {"input": tf.constant(normal(4, 16, 16, 3, seed=1))}
    fake = gan.make(gan.noise(4), given, gan.generator)
    logits = {name: np.asarray(gan.logits(examples, given, training=False), np.float64)
              for name, examples in (("real", real), ("fake", fake))}
    cross_entropy = np.log1p(np.exp(-logits["real"])).mean() + np.log1p(np.exp(logits["fake"])).mean()
    assert float(gan.discriminator_loss(real, fake, given, training=False)) == pytest.approx(0.25 * cross_entropy, rel=1e-5)
    wanted = np.log1p(np.exp(-logits["fake"])).mean() + 7 * np.abs(np.asarray(real) - np.asarray(fake)).mean()
    assert float(gan.generator_loss(real, fake, given, training=False)) == pytest.approx(wanted, rel=1e-5)


def test_what_is_learned_is_the_pair():
    # the negative of an image, of which D alone would not tell one from another: within 150 steps, on images never seen
    gan = gan_of(filters=8, generator_learning_rate=2e-3)
    images = kinds.get("image").examples(fields()["image"], 640)

    def batches(start):
        for i in range(start, 600, 8):
            yield {"input": images[i:i + 8], "image": -images[i:i + 8]}
    data = tf.data.Dataset.from_generator(lambda: batches(0), output_signature={
        name: tf.TensorSpec([8, 16, 16, 3]) for name in ("input", "image")})
    history = gan.fit(data, epochs=2, verbose=0).history
    held = images[600:]
    error = np.abs(gan.generate(40, given={"input": held}, network=gan.generator) + held).mean()
    assert error < 0.25 * np.abs(2 * held).mean() and history["content"][1] < history["content"][0]


@pytest.mark.parametrize("settings", [dict(loss="least_squares"), dict(noise_dim=6), dict(normalization="batch"),
                                      dict(upsampling="resize"), dict(penalty="r1", loss="hinge")])
def test_settings_train(settings):
    gan = gan_of(given=1, **settings)
    gan.compile(run_eagerly=True)
    batch = {"input": normal(8, 16, 16, 1), "image": normal(8, 16, 16, 3)}
    before = [np.array(variable) for variable in gan.trainable_variables]
    history = gan.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    assert gan.step == 2 and all(np.isfinite(values).all() for values in history.values())
    unchanged = [variable.path for old, variable in zip(before, gan.trainable_variables) if np.array_equal(old, variable)]
    assert unchanged == ["logits/bias"] * (gan.config.loss == "hinge")  # which looks at differences while they are small
