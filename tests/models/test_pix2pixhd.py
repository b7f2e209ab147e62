import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models, perceptual
from kgan.config import ConfigError
from kgan.models import pix2pixhd
from kgan.models.pix2pixhd import LabelMaps

TINY = dict(filters=2, halvings=1, blocks=1, enhancer_blocks=1, discriminator_filters=2, discriminator_layers=1)
COLOURS = [[0, 0, 255], [255, 0, 0], [255, 255, 0]]


def fields(size=16, labels=(), made=3):
    more = {"labels": [*labels]} if labels else {}
    return {"input": kinds.Field("image", (size, size, 3), (), more), "image": kinds.Field("image", (size, size, made))}


class TestBattery(Battery):
    model = "pix2pixhd"
    fixed = ("coarse/kernel", "coarse/bias")  # only the phase of the global generator has a use for them
    cases = {"12x16, label maps": dict(shape=(12, 16, 3), given={"input": kinds.Field("image", (12, 16, 3), (), {"labels": COLOURS})},
                                       labels="auto", coarse_share=0.0, enhancer_share=0.0, **{**TINY, "discriminators": 1})}

    def test_logits(self, gan, shape):
        batch = self.batch(shape, 3, gan)
        judged = gan.judge(gan.real(batch), gan.given(batch), training=False)
        assert judged["logits"].shape == (3, 6 * 8)  # one halving
        assert sorted(judged) == ["features_0_0", "features_0_1", "logits"]
        assert all(values.dtype == tf.float32 for values in judged.values())


def gan_of(labels=(), made=3, **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("pix2pixhd", (16, 16, made), {"jit_compile": False, "labels": "auto" if labels else "", **TINY, **settings},
                       fields=fields(labels=labels, made=made))
    gan.compile(run_eagerly=True)
    return gan


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


# === Label maps ===

def drawn():
    """A picture of three labels, 4×5: blue on the left, red on the right, a yellow pixel; and one of it with JPEG's noise."""
    image = np.zeros((4, 5, 3), np.uint8)
    image[:, :3], image[:, 3:], image[2, 1] = COLOURS[0], COLOURS[1], COLOURS[2]
    return image


def test_label_maps_by_hand():
    image = drawn()
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).integers(-40, 41, image.shape), 0, 255)
    wanted = np.zeros((4, 5, 4), np.float32)
    wanted[:, :3, 0] = wanted[:, 3:, 1] = wanted[2, 1, 2] = 1
    wanted[2, 1, 0] = 0
    wanted[:, 2:4, 3] = 1                                       # both sides of the border between blue and red
    for row, column in (2, 1), (1, 1), (3, 1), (2, 0), (2, 2):  # the yellow pixel and its neighbours
        wanted[row, column, 3] = 1
    for pixels in image, noisy:
        found = LabelMaps(COLOURS)(pixels[None] / np.float32(127.5) - 1)
        np.testing.assert_array_equal(found[0], wanted)
    assert LabelMaps(COLOURS).compute_output_shape((None, None, None, 3)) == (None, None, None, 4)


def test_instances_are_shades_of_a_label():
    image = np.full((1, 2, 6, 3), [0, 0, 255], np.uint8)
    image[:, :, 3:] = 0, 0, 240
    edges = [np.asarray(LabelMaps(COLOURS, instances=one)(image / np.float32(127.5) - 1))[0, :, :, 3] for one in (False, True)]
    assert edges[0].max() == 0
    np.testing.assert_array_equal(edges[1], [[0, 0, 1, 1, 0, 0]] * 2)


def test_grey_levels_are_labels():
    image = np.array([[0, 1], [2, 11]], np.float32)[None, ..., None] / 127.5 - 1
    maps = np.asarray(LabelMaps([[level] for level in range(12)])(image))[0]
    assert maps[..., :12].argmax(-1).tolist() == [[0, 1], [2, 11]] and (maps.sum(-1) == 2).all()  # each differs from the next


@pytest.mark.parametrize("labels, given, message", [
    ("auto", (), "labels=auto: the field `input` names no colours"), ("red", (), "labels=red: must be auto, a number"),
    ("0", (), "labels=0: must be auto")])
def test_labels_that_cannot_be(labels, given, message):
    with pytest.raises(ConfigError, match=message):
        models.build("pix2pixhd", (16, 16, 3), dict(labels=labels, **TINY), fields=fields(labels=given))


# === Networks ===

def test_the_published_networks():
    # global: 7×7 convolutions, four halvings from 64 to 1,024, 9 blocks, back; the authors' has biases, which instance
    # normalisation takes out, and neither gains nor offsets
    config = pix2pixhd.Config.of(preset="published", filters=4)  # of 64: all widths are a sixteenth
    inner = pix2pixhd.coarse(36, 3, config)
    widths = [4, 8, 16, 32, 64]
    kernels = 49 * 36 * 4 + 2 * 9 * sum(a * b for a, b in zip(widths, widths[1:])) + 9 * 2 * 9 * 64**2 + 49 * 4 * 3 + 3
    norms = 2 * (sum(widths) + 9 * 2 * 64 + sum(widths[:-1]))
    assert inner.count_params() == kernels + norms
    assert (config.batch_size, config.content_weight, config.loss, config.upsampling) == (1, 10, "least_squares", "transpose")


@pytest.mark.parametrize("size", [(1, 1), (13, 16), (17, 40)])
@pytest.mark.parametrize("enhancer", [0, 1])
def test_any_size_comes_back(size, enhancer):
    network = pix2pixhd.generator((16, 16, 3), 3, (), pix2pixhd.Config(**{**TINY, "enhancer_blocks": enhancer}))
    assert network(uniform(2, *size, 3)).shape == (2, *size, 3)


def test_too_small():
    with pytest.raises(ConfigError, match="halvings=4: takes images of at least 64 pixels, these are 32×32"):
        pix2pixhd.build((32, 32, 3), pix2pixhd.Config(halvings=4))


def test_each_discriminator_has_an_equal_share():
    gan = gan_of()
    image, given = uniform(2, 16, 16, 3), uniform(2, 16, 16, 3, seed=1)
    names = [f"patches_{scale}" for scale in range(2)]
    inner = keras.Model(gan.discriminator.input, [gan.discriminator.get_layer(name).output for name in names])
    one, other = inner({"image": image, "input": given})
    assert one.shape == (2, 8, 8, 1) and other.shape == (2, 4, 4, 1)
    logits = gan.logits(image, {"input": given}, training=False)
    assert float(tf.reduce_mean(logits**2)) == pytest.approx(float(tf.reduce_mean(one**2) + tf.reduce_mean(other**2)) / 2, rel=1e-5)


# === Losses ===

def test_content_by_hand(tmp_path):
    """Of D's features, of both discriminators; and of those of a named network, which is no part of what is trained or saved."""
    x = keras.Input((None, None, 3))
    network = keras.Model(x, keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Conv2D(2, 3)(x)))
    network.save(tmp_path / "features.keras")
    gan, plain = gan_of(perceptual=str(tmp_path / "features.keras"), content_weight=7.0), gan_of(content_weight=7.0)
    real, fake, given = (tf.constant(uniform(2, 16, 16, 3, seed=seed)) for seed in range(3))
    one, other = (plain.judge(image, {"input": given}) for image in (real, fake))
    assert sorted(one) == ["features_0_0", "features_0_1", "features_1_0", "features_1_1", "logits"]
    wanted = sum(np.abs(np.asarray(one[name]) - np.asarray(other[name])).mean() for name in one if name != "logits") / 2
    assert float(plain.content(real, fake, {"input": given}, other)) == pytest.approx(7 * wanted, rel=1e-5)
    inner = keras.Model(network.input, [layer.output for layer in network.layers[1:]])
    named = sum(np.abs(np.asarray(a) - np.asarray(b)).mean() for a, b in zip(inner(real), inner(fake))) / 2
    assert float(gan.content(real, fake, {"input": given}, other)) == pytest.approx(7 * (wanted + named), rel=1e-4)
    assert len(gan.state()) == len(plain.state())
    plain.config = dataclasses.replace(plain.config, perceptual="none")
    assert plain.content(real, fake, {"input": given}, other) == 0
    plain.config = dataclasses.replace(plain.config, pixel_weight=3.0)
    pixels = np.abs(np.asarray(real) - np.asarray(fake)).mean()
    assert float(plain.content(real, fake, {"input": given}, other)) == pytest.approx(3 * pixels, rel=1e-5)


def test_no_such_network(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"no")
    for path in tmp_path / "broken.keras", tmp_path / "none.keras":
        with pytest.raises(ConfigError, match=f"perceptual={path}: no network can be loaded from it"):
            perceptual.features(str(path), 3)
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3)]).save(tmp_path / "grey.keras")
    with pytest.raises(ConfigError, match="its network takes images of 1 channels, these have 3"):
        perceptual.features(str(tmp_path / "grey.keras"), 3)


# === Phases ===

def test_phases():
    """Steps 0 and 1 move the global generator alone, 2 the enhancer alone, 3 both; D always moves."""
    gan = gan_of(COLOURS, steps=5, coarse_share=0.4, enhancer_share=0.2)
    assert gan.borders == (2, 3)
    batch = {"input": fields_of_labels(4), "image": uniform(4, 16, 16, 3)}
    inner = {id(variable) for variable in gan.generator.get_layer("global").trainable_variables}
    for step, (coarse, fine) in enumerate([(True, False), (True, False), (False, True), (True, True)]):
        before = [np.array(variable) for variable in gan.generator.trainable_variables]
        judged = [np.array(variable) for variable in gan.discriminator.trainable_variables]
        logs = gan.train_on_batch(batch, return_dict=True)
        moved = {(id(variable) in inner, not np.array_equal(old, variable))
                 for old, variable in zip(before, gan.generator.trainable_variables) if "coarse" not in variable.path}
        assert moved == {(True, coarse), (False, fine)}, step
        assert gan.step == step + 1 and np.isfinite(list(logs.values())).all()
        assert all(not np.array_equal(old, variable) for old, variable in zip(judged, gan.discriminator.trainable_variables))


def fields_of_labels(count, seed=0):
    rng = np.random.default_rng(seed)
    return (np.array(COLOURS, np.float32)[rng.integers(0, 3, (count, 4, 4)).repeat(4, 1).repeat(4, 2)] / 127.5 - 1)


def test_samples_before_the_enhancer_is_trained():
    gan = gan_of(COLOURS, steps=10, coarse_share=0.4, enhancer_share=0.2)
    given = fields_of_labels(2)
    made = gan.generate(2, given={"input": given})
    inner = gan.ema_generator.get_layer("global")(gan.ema_generator.get_layer("labels")(given[:, ::2, ::2]))["coarse"]
    np.testing.assert_allclose(made, tf.image.resize(inner, (16, 16)), atol=1e-6)
    with pytest.warns(UserWarning, match="step 0: the local enhancer is not trained before step 4"):
        gan.settle()
    gan.generator_optimizer.iterations.assign(4)
    assert np.abs(gan.generate(2, given={"input": given}) - made).max() > 1e-3


def test_shares_that_cannot_be():
    with pytest.raises(ConfigError, match="coarse_share=0.6 and enhancer_share=0.4: nothing is left"):
        pix2pixhd.Config(coarse_share=0.6, enhancer_share=0.4)


@pytest.mark.slow
def test_what_is_learned_is_the_label():
    # each label is a grey of its own, and edges are black: within 600 steps, on label maps never seen
    gan = gan_of(COLOURS, made=1, filters=8, discriminator_filters=4, steps=600, coarse_share=0.0, enhancer_share=0.0)
    gan.compile()

    def pairs(count, seed):
        given = fields_of_labels(count, seed)
        maps = np.asarray(LabelMaps(COLOURS)(given))
        return {"input": given, "image": np.where(maps[..., 3:] > 0, -1, maps[..., :3] @ np.array([[-0.6], [0], [0.6]], np.float32))}

    data = pairs(200, 0)
    gan.fit(tf.data.Dataset.from_tensor_slices({name: values.astype(np.float32) for name, values in data.items()}).batch(4).repeat(),
            steps_per_epoch=600, verbose=0)
    held = pairs(20, 1)
    error = np.abs(gan.generate(20, given={"input": held["input"]}, network=gan.generator) - held["image"]).mean()
    assert error < 0.25 * np.abs(held["image"] - held["image"].mean()).mean()
