import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import inpaint
from kgan.models._attention import ContextualAttention

TINY = dict(filters=2, discriminator_filters=4)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def given_of(height, width, channels):
    return {"input": kinds.Field("image", (height, width, channels)), "mask": kinds.Field("mask", (height, width, 1))}


def gan_of(shape=(16, 16, 3), **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("inpaint", shape, {"jit_compile": False, **TINY, **settings}, seed=3)
    gan.compile(run_eagerly=True)
    return gan


def examples(gan, count):
    return {name: kinds.get(field.kind).examples(field, count, i) for i, (name, field) in enumerate(gan.fields.items())}


class TestBattery(Battery):
    model = "inpaint"
    cases = {"12x20, with attention": dict(shape=(12, 20, 3), given=given_of(12, 20, 3), attention=True, **TINY)}


# === What is known comes back ===

@pytest.fixture(scope="module")
def generators():
    return {attention: gan_of(attention=attention).generator for attention in (False, True)}


@pytest.mark.parametrize("attention, size", [(False, (1, 1)), (False, (13, 16)), (True, (21, 40))])
def test_what_is_known_comes_back_bit_for_bit(generators, attention, size):
    image, mask = 1.5 * normal(2, *size, 3), (normal(2, *size, 1) > 0).astype(np.float32)
    made = np.asarray(generators[attention]({"input": image, "mask": mask}))
    known = np.broadcast_to(mask == 0, image.shape)
    assert made.shape == image.shape and made[known].tobytes() == image[known].tobytes()
    assert np.abs(made[~known]).max(initial=0) <= 1


def test_what_lies_in_the_hole_does_not_matter(generators):
    image, mask = normal(1, 16, 16, 3), np.zeros((1, 16, 16, 1), np.float32)
    mask[:, 4:10, 5:12] = 1
    other = np.where(mask == 1, np.float32(np.nan), image)
    for generator in generators.values():
        np.testing.assert_array_equal(generator({"input": image, "mask": mask}), generator({"input": other, "mask": mask}))


def test_a_hole_of_all_and_of_nothing(generators):
    image = normal(2, 16, 16, 3)
    everything = np.asarray(generators[True]({"input": image, "mask": np.ones((2, 16, 16, 1), np.float32)}))
    assert np.isfinite(everything).all() and np.array_equal(everything[0], everything[1])  # nothing is seen of either
    np.testing.assert_array_equal(generators[True]({"input": image, "mask": np.zeros((2, 16, 16, 1), np.float32)}), image)


# === The networks ===

def test_published_networks():
    config = inpaint.Config.of(preset="published")
    assert (config.batch_size, config.generator_learning_rate, config.beta_1, config.loss) == (16, 1e-4, 0.5, "hinge")
    network = inpaint._drawing((256, 256, 3), config)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    # the widths before gating, of the coarse network, of the fine one without and with attention: inpaint_model.py of the authors
    c, coarse = 48, [1, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 1, 0.5]
    assert [layer.filters for layer in convolutions[:17]] == [*(int(c * times) for times in coarse), 3]
    assert [layer.dilation_rate[0] for layer in convolutions[6:10]] == [2, 4, 8, 16]
    assert len(convolutions) == 17 + 17 + 8
    # one kernel a convolution and one bias: 5 channels in, the image, ones and the mask
    kernels, before = 0, 5
    for times, kernel in zip([*coarse, 3 / c], [5] + 16 * [3]):
        kernels += kernel**2 * before * int(c * times) + int(c * times)
        before = int(c * times / 2)
    assert sum(layer.count_params() for layer in convolutions[:17]) == kernels
    widths = [64, 128, 256, 256, 256, 256]
    assert inpaint._widths((256, 256, 3), config) == widths and inpaint._widths((28, 28, 1), config) == widths[:4]


def test_a_gated_convolution_by_hand():
    x = np.array([[[[1.0, -1.0, 0.0, 2.0]]]], np.float32)
    wanted = [1 / (1 + np.exp(0)), (np.exp(-1) - 1) / (1 + np.exp(-2))]
    np.testing.assert_allclose(np.asarray(inpaint._Gate()(x)).ravel(), wanted, rtol=1e-6)


def test_d_sees_the_mask_and_its_layers_are_bounded():
    gan = gan_of()
    image, mask = normal(2, 16, 16, 3), np.zeros((2, 16, 16, 1), np.float32)
    one, other = (gan.judge(image, {"mask": each, "input": image}, training=False)["logits"] for each in (mask, mask + 1))
    assert one.shape == (2, 2 * 2 * 16) and np.abs(one - other).max() > 1e-6  # 16 -> 8 -> 4 -> 2 pixels
    kernels = [layer for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    for layer in kernels:
        matrix = np.reshape(np.asarray(layer.kernel), (-1, layer.filters))
        assert np.linalg.norm(matrix, 2) == pytest.approx(1, rel=0.03)


def test_attention_by_hand():
    layer, rng = ContextualAttention(sharpness=3.0), np.random.default_rng(0)
    maps, mask = rng.normal(size=(1, 6, 8, 2)).astype(np.float32), np.zeros((1, 24, 32, 1), np.float32)
    mask[:, :9, 10:14] = 1
    small = np.pad(maps[0, ::2, ::2].astype(np.float64), [(1, 1), (1, 1), (0, 0)])
    hole = np.pad(mask[0, ..., 0].reshape(3, 8, 4, 8).max((1, 3)), 1)
    places = [(i, j) for i in range(3) for j in range(4)]
    patches = np.stack([small[i:i + 3, j:j + 3].ravel() for i, j in places])
    patches /= np.linalg.norm(patches, axis=1, keepdims=True)
    known = np.array([not hole[i:i + 3, j:j + 3].any() for i, j in places])
    assert 0 < known.sum() < 12
    weights = np.where(known, np.exp(3 * patches @ patches.T), 0)
    weights /= weights.sum(1, keepdims=True)
    wanted = np.zeros((6, 8, 2))
    for place, row in zip(places, weights):
        i, j = place
        wanted[2 * i:2 * i + 2, 2 * j:2 * j + 2] = sum(
            weight * maps[0, 2 * y:2 * y + 2, 2 * x:2 * x + 2] for weight, (y, x) in zip(row, places))
    np.testing.assert_allclose(layer([maps, mask])[0], wanted, atol=1e-5)


# === Training ===

def test_losses_by_hand():
    gan = gan_of(content_weight=7.0)
    batch = examples(gan, 4)
    real, given = tf.constant(batch["image"]), {name: tf.constant(batch[name]) for name in ("input", "mask")}
    fake = gan.make(gan.noise(4), given, gan.generator, training=True)
    assert fake.shape == (4, 16, 16, 9)
    made, fine, coarse = np.split(np.asarray(fake), 3, -1)
    np.testing.assert_array_equal(made, np.where(batch["mask"] == 1, fine, batch["input"]))
    logits = {name: np.asarray(gan.logits(images, given, training=False)) for name, images in (("real", real), ("fake", made))}
    wanted = -logits["fake"].mean() + 7 * (np.abs(real - fine).mean() + np.abs(real - coarse).mean())
    assert float(gan.generator_loss(real, fake, given, training=False)) == pytest.approx(wanted, rel=1e-5)
    hinge = np.maximum(0, 1 - logits["real"]).mean() + np.maximum(0, 1 + logits["fake"]).mean()
    assert float(gan.discriminator_loss(real, fake, given, training=False)) == pytest.approx(hinge, rel=1e-5)
    hole = np.abs(real - made)[np.broadcast_to(batch["mask"] == 1, made.shape)].mean() / 2
    assert float(gan._means["hole"].result()) == pytest.approx(hole, rel=1e-5)
    # in evaluation there is the result alone
    gan.generator_loss(real, tf.constant(made), given, training=False)
    gan.test_on_batch(batch)


def test_both_drawings_are_trained():
    gan = gan_of()
    batch = examples(gan, 4)
    before = [np.array(weight) for weight in gan.generator.trainable_variables]
    gan.train_on_batch(batch)
    unchanged = [weight.path for old, weight in zip(before, gan.generator.trainable_variables) if np.array_equal(old, weight)]
    assert unchanged == []


@pytest.mark.slow
def test_accumulation_is_the_same_step():
    whole, parts = gan_of(optimizer="sgd"), gan_of(optimizer="sgd", accumulation=2)
    batch = examples(whole, 4)
    for gan in (whole, parts):
        gan.train_on_batch(batch)
    for one, other in zip(whole.generator.get_weights(), parts.generator.get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_figures_are_of_the_hole():
    gan = gan_of(shape=(8, 8, 1))
    true = np.full((2, 8, 8, 1), 100, np.uint8)
    mask = np.zeros((2, 8, 8, 1), np.float32)
    mask[:, :4, :3] = 1
    made = np.where(mask == 1, 151, true) / 127.5 - 1

    class Evaluator:
        examples, given = true, {"mask": mask}
    found = gan.figures(Evaluator, made.astype(np.float32))
    assert found["hole_l1"] == pytest.approx(0.2) and found["hole_psnr"] == pytest.approx(-10 * np.log10(0.04))
    assert found["hole_psnr_to_20"] == found["hole_psnr"] and found["hole_l1_border"] == 0
    assert set(found) <= set(gan.measures) and gan.measures["hole_psnr"] and not gan.measures["hole_l1"]


@pytest.mark.parametrize("shape, settings, message", [
    ((64, 64, 3), dict(hole_least=0.5, hole_most=0.4), "hole_least=0.5, hole_most=0.4: shares of the image"),
    ((64, 64, 3), dict(hole_most=1.5), "at most 1"), ((64, 64, 3), dict(noise_dim=3), "takes no noise"),
    ((64, 64, 3), dict(augment="color+flip"), "augment=color.flip: moves what D sees, and not the mask"),
    ((64, 64, 3), dict(consistency_weight=1.0), "consistency_weight: moves"),
    ((64, 64, 3), dict(masks="circles"), "must be one of strokes"), ((10, 10), {}, "is for images"),
    ((7, 9, 1), {}, "at least 8 pixels")])
def test_what_cannot_be_built(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        inpaint.build(shape, inpaint.Config.of(**settings))


# === Out of the house ===

@pytest.mark.slow
@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("name", ["saved_model", "tflite", "onnx"])
def test_what_is_known_comes_back_in_every_format(attention, name, tmp_path):
    """Bit for bit, at two sizes where a format takes any; but of int8, whose levels are its own."""
    export = pytest.importorskip(f"export.{name}")
    from export import contract, runtime
    gan = gan_of(attention=attention)
    export.write(gan.ema_generator, contract.interface(gan), tmp_path / name, gan.latents)
    paths = sorted((tmp_path / name).glob("*.tflite")) or sorted((tmp_path / name).glob("*.onnx")) or [tmp_path / name]
    assert len(paths) == (4 if name == "tflite" else 1)
    for path in paths:
        if name == "saved_model":
            serve, batch = tf.saved_model.load(str(path)).signatures["serving_default"], None
            call = lambda given: {"images": serve(**{name: tf.constant(values) for name, values in given.items()})["images"].numpy()}
        else:
            call, batch, _ = runtime.RUNTIMES[name](str(path), {"outputs": ["images"]})
        for size in [(16, 16)] if batch else [(16, 16), (21, 13)]:
            image, mask = normal(1, *size, 3), (normal(1, *size, 1) > 0).astype(np.float32)
            made = call({"input": image, "mask": mask})["images"]
            known = np.broadcast_to(mask == 0, image.shape)
            if "int8" in path.name:
                assert np.abs(made - image)[known].max() < 0.02
            else:
                assert made[known].tobytes() == image[known].tobytes(), path.name
            assert np.abs(made - image)[~known].max() > 0.1
