import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import data, kinds, models
from kgan.config import ConfigError
from kgan.data.bicubic import resize
from kgan.models import srgan

TINY = dict(filters=4, blocks=1, discriminator_filters=2)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def fields(size=16, scale=2, given=3, made=3):
    return {"input": kinds.Field("image", (size // scale, size // scale, given)), "image": kinds.Field("image", (size, size, made))}


def gan_of(size=16, scale=2, **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("srgan", (size, size, 3), {"jit_compile": False, **TINY, **settings}, seed=3, fields=fields(size, scale))
    gan.compile(run_eagerly=True)
    return gan


class TestBattery(Battery):
    model = "srgan"
    cases = {
        "twice": dict(shape=(8, 12, 3), given={"input": kinds.Field("image", (4, 6, 3))}, warm_up=0, **TINY),
        "four times, as published": dict(shape=(16, 16, 1), given={"input": kinds.Field("image", (4, 4, 1))}, warm_up=0,
                                         normalization="batch", activation="prelu", upsampling="stepwise", residual=False, kernel=5,
                                         **TINY)}


# === The published networks ===

def test_parameters():
    # as counted from figure 4: k9 and k3 convolutions with biases, γ and β, one slope of PReLU a map; and the moving statistics
    blocks = 16 * (2 * (9 * 64 * 64 + 64) + 2 * 4 * 64 + 64)
    ends = 81 * 3 * 64 + 64 + 64 + (9 * 64 * 64 + 64 + 4 * 64) + 81 * 64 * 3 + 3
    shuffles = 2 * (9 * 64 * 256 + 256 + 64)
    config = srgan.Config.of(preset="published")
    assert srgan.generator(4, 3, 3, config).count_params() == blocks + ends + shuffles == 1_554_883
    # D: 64, 64/2, 128, 128/2 … 512/2, then 1,024 of 6 × 6 maps, and 1
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * one * other for one, other in zip(widths, widths[1:])) + 64 + 4 * sum(widths[2:])
    dense = 36 * 512 * 1024 + 1024 + 1024 + 1
    assert srgan.discriminator((96, 96, 3), config).count_params() == convolutions + dense


def test_presets():
    published, plain = (srgan.Config.of(preset=name) for name in ("published", "bn_free"))
    assert (published.patch_size, published.warm_up, published.steps, published.beta_1, 1 / published.content_weight) == (
        96, 10**6, 1_200_000, 0.9, 1e-3)
    network = srgan.generator(4, 3, 3, plain)
    assert not any("Normalization" in type(layer).__name__ for layer in network.layers)
    # MSRResNet of BasicSR has one convolution more at the end, and none after the blocks
    blocks, ends = 16 * 2 * (9 * 64 * 64 + 64), (9 * 3 * 64 + 64) + (9 * 64 * 64 + 64) + 9 * 64 * 3 + 3
    assert network.count_params() == blocks + ends + 2 * (9 * 64 * 256 + 256)


# === Sizes ===

@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("upsampling", ["direct", "stepwise"])
def test_any_size_and_scale(scale, upsampling):
    network = srgan.generator(scale, 3, 1, srgan.Config(upsampling=upsampling, **TINY))
    for size in (1, 1), (5, 9):
        x = normal(2, *size, 1)
        made = np.asarray(network(x))
        assert made.shape == (2, size[0] * scale, size[1] * scale, 3) and np.abs(made).max() <= 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_begins_as_the_bicubic_interpolation(scale):
    for size in (1, 1), (2, 7), (9, 4):
        x = normal(2, *size, 3)
        np.testing.assert_allclose(srgan._Bicubic(scale, 3)(x), resize(x, size[0] * scale, size[1] * scale), atol=1e-5)
    x = normal(1, 6, 6, 3)
    grey = resize(x.mean(-1, keepdims=True), 6 * scale, 6 * scale)
    np.testing.assert_allclose(srgan._Bicubic(scale, 1)(x), grey, atol=1e-5)
    keras.utils.set_random_seed(0)
    made = srgan.generator(scale, 3, 3, srgan.Config(**TINY))(x, training=True)
    assert np.abs(made - resize(x, 6 * scale, 6 * scale)).mean() < 0.03


@pytest.mark.parametrize("shape, given, message", [
    ((30, 30, 3), (7, 7, 3), "images 2, 3, 4 or 8 times as large, or as large as they are; these are 30x30 pixels, their inputs 7x7"),
    ((30, 30, 3), (6, 6, 3), "inputs 6x6"), ((30, 30), None, "makes images from images")])
def test_what_cannot_be_built(shape, given, message):
    with pytest.raises(ConfigError, match=message):
        srgan.build(shape, srgan.Config(**TINY), fields=given and {
            "input": kinds.Field("image", given), "image": kinds.Field("image", shape)})


@pytest.mark.parametrize("settings, message", [
    (dict(kernel=4), "kernel=4: must be odd"), (dict(degrade="downscal:4"), "did you mean 'downscale'"),
    (dict(normalization="instance"), "one of none, batch"),
    (dict(content="there/is/none.keras"), "must be mse, l1, discriminator or a .keras file")])
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        gan_of(**settings)


# === Data ===

def test_the_input_is_small_and_cut_out_of_the_image(shared_cache):
    settings = {"dataset": "glyphs", "config": {"degrade": "downscale:4+noise:3", "enlarge": False, "patch_size": 16}}
    source = data.of(settings, srgan.Config.needs)
    image, given = (source.arrays[name] for name in ("image", "input"))
    assert image.shape[1:] == (16, 16, 1) and given.shape[1:] == (4, 4, 1) and source.shape == (16, 16, 1)
    rows, positions = np.array([5, 5, 9]), np.array([70, 71, 72])
    cut, small = image.at(rows, positions), given.at(rows, positions)
    assert not np.array_equal(cut[0], cut[1])  # another place
    assert np.abs(small.astype(int) - resize(cut, 4, 4)).max() < 15  # but for the noise, of the same place
    np.testing.assert_array_equal(small[1:2], given.at(rows[1:2], positions[1:2]))
    batch = next(iter(data.batches(source, 8, flip=True)))
    assert batch["input"].shape == (8, 4, 4, 1)
    assert np.abs(resize(np.asarray(batch["image"]), 4, 4) - batch["input"]).max() < 0.15  # flipped alike


# === Training ===

def test_losses_by_hand():
    gan = gan_of(content_weight=7.0, warm_up=0)
    real, given = tf.constant(normal(4, 16, 16, 3)), {"input": tf.constant(normal(4, 8, 8, 3, seed=1))}
    fake = gan.make(gan.noise(4), given, gan.generator)
    logits = np.asarray(gan.logits(fake, given, training=False), np.float64)
    wanted = np.log1p(np.exp(-logits)).mean() + 7 * ((np.asarray(real) - np.asarray(fake)) ** 2).mean()
    assert float(gan.generator_loss(real, fake, given, training=False)) == pytest.approx(wanted, rel=1e-5)


def test_first_srresnet_then_the_game():
    gan = gan_of(warm_up=2)
    batch = {"input": normal(8, 8, 8, 3), "image": normal(8, 16, 16, 3)}
    d = [np.array(weight) for weight in gan.discriminator.get_weights()]
    gan.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0)
    assert all(map(np.array_equal, d, gan.discriminator.get_weights())) and gan.made() == {"generator": 2, "discriminator": 0}
    assert [gan.phase_of(step) for step in range(3)] == ["warm_up", "warm_up", "adversarial"]
    gan.train_on_batch(batch)
    assert gan.made() == {"generator": 3, "discriminator": 1}
    assert not all(map(np.array_equal, d, gan.discriminator.get_weights()))


def test_warm_up_learns_detail():
    """What bicubic interpolation cannot know: stripes that are finer than the small picture's pixels."""
    gan = gan_of(warm_up=1000, generator_learning_rate=3e-3, filters=8)
    gan.compile(run_eagerly=False)
    rng = np.random.default_rng(0)
    flat = np.repeat(np.repeat(rng.uniform(-0.5, 0.5, (64, 8, 8, 1)), 2, 1), 2, 2).astype(np.float32)
    image = np.tile(flat, 3)
    image[..., 0] += np.tile([0.3, -0.3], 8).astype(np.float32)  # in red alone
    pair = {"input": resize(image, 8, 8), "image": image}
    untouched = ((resize(pair["input"], 16, 16) - image) ** 2).mean()
    gan.fit(tf.data.Dataset.from_tensor_slices(pair).batch(16).repeat(25), verbose=0)
    assert ((gan.generate(64, given={"input": pair["input"]}, network=gan.generator) - image) ** 2).mean() < 0.4 * untouched


@pytest.mark.parametrize("content", ["l1", "discriminator", "network"])
def test_content(content, tmp_path):
    """The maps of D or of a network in a file, squared; its weights are neither trained nor part of the GAN."""
    keras.utils.set_random_seed(4)
    images = keras.Input((None, None, 3))
    network = keras.Model(images, keras.layers.Conv2D(2, 3)(images))
    network.save(tmp_path / "network.keras")
    gan = gan_of(content=str(tmp_path / "network.keras") if content == "network" else content, warm_up=0, content_weight=2.0)
    assert len(gan.state()) == len(gan_of(warm_up=0).state())
    real, given = tf.constant(normal(2, 16, 16, 3)), {"input": tf.constant(normal(2, 8, 8, 3, seed=1))}
    fake = gan.make(gan.noise(2), given, gan.generator)
    maps = {"l1": None, "discriminator": lambda x: gan.judge(x, training=False)["maps"], "network": network}[content]
    difference = np.mean(np.abs(real - fake)) if maps is None else np.mean((maps(real) - maps(fake)) ** 2)
    adversarial = np.log1p(np.exp(-np.asarray(gan.logits(fake, training=False)))).mean()
    assert float(gan.generator_loss(real, fake, given, training=False)) == pytest.approx(adversarial + 2 * difference, rel=1e-4)
    gan.train_on_batch({"input": given["input"], "image": real})
    assert gan.step == 1
