import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery
from PIL import Image

from kgan import data, kinds, models, perceptual
from kgan.config import ConfigError
from kgan.data import style
from kgan.data.source import DataError, Source
from kgan.models import styletransfer

TINY = dict(filters=2, blocks=1, patch="10")


class TestBattery(Battery):
    model = "styletransfer"
    cases = {"16x20": dict(shape=(16, 20, 3), given={"input": kinds.Field("image", (16, 20, 3))}, **TINY)}

    def test_logits(self, gan, shape):
        batch = self.batch(shape, 3, gan)
        judged = gan.judge(gan.real(batch), gan.given(batch), training=False)
        assert judged["logits"].shape == (3, 8 * 10) and judged["logits"].dtype == tf.float32


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("styletransfer", (16, 16, 3), {"jit_compile": False, **TINY, **settings})
    gan.compile(run_eagerly=True)
    return gan


# === Networks ===

def test_the_published_network():
    # 9×9, two halvings, five blocks, back, 9×9: Johnson et al., supplementary; with instance normalisation, so no biases
    config = styletransfer.Config(filters=32, blocks=5, upsampling="transpose")
    kernels = 81 * 3 * 32 + 9 * (32 * 64 + 64 * 128 + 10 * 128**2 + 128 * 64 + 64 * 32) + 81 * 32 * 3 + 3
    norms = 2 * (32 + 64 + 128 + 10 * 128 + 64 + 32)
    assert styletransfer.generator(3, 3, config).count_params() == kernels + norms


@pytest.mark.parametrize("size", [(1, 1), (13, 30)])
def test_any_size_comes_back(size):
    assert styletransfer.generator(3, 3, styletransfer.Config(**TINY))(uniform(2, *size, 3)).shape == (2, *size, 3)


@pytest.mark.parametrize("patch, side", [("10", 48), ("22", 80), ("46", 160)])
def test_a_logit_sees_a_patch(patch, side):
    discriminator = styletransfer.discriminator(1, styletransfer.Config(filters=2, patch=patch))
    x = tf.constant(uniform(1, side, side, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = discriminator(x)
        middle = logits[0, logits.shape[1] // 2 + int(logits.shape[1] ** 0.5) // 2]
    seen = np.argwhere(np.asarray(tape.gradient(middle, x))[0, ..., 0] != 0)
    np.testing.assert_array_equal(np.ptp(seen, axis=0) + 1, int(patch))


@pytest.mark.parametrize("settings, message", [
    (dict(preset="gram"), "preset=gram: compares features of a network: name one"), (dict(noise_dim=3), "takes no noise"),
    (dict(style_scale=0.5), "style_scale=0.5: must be at least 1")])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        styletransfer.build(config=styletransfer.Config.of(**settings))


# === What is kept ===

def test_kept_by_hand():
    images = kinds.get("image").examples(kinds.Field("image", (16, 16, 3)), 3)
    assert float(styletransfer.kept(images, 0.3 * images + 0.5)) == pytest.approx(0, abs=2e-3)  # light, contrast: as the style has them
    assert float(styletransfer.kept(images, -images)) == pytest.approx(2, abs=2e-2)
    small = [one.mean(-1).reshape(3, 4, 4, 4, 4).mean((2, 4)).reshape(3, 16) for one in (images, uniform(3, 16, 16, 3, seed=1))]
    wanted = 1 - np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*small)])
    assert float(styletransfer.kept(images, uniform(3, 16, 16, 3, seed=1))) == pytest.approx(wanted, abs=2e-3)
    evaluator = types.SimpleNamespace(given={"input": images})
    assert gan_of().figures(evaluator, -images)["content_kept"] == pytest.approx(-1, abs=2e-2)


def test_gram_by_hand():
    maps = uniform(2, 3, 4, 5)
    wanted = np.einsum("nhwc,nhwd->ncd", maps, maps) / (3 * 4 * 5)
    np.testing.assert_allclose(perceptual.gram(tf.constant(maps)), wanted, rtol=1e-5)


def test_a_loss_network_trains_the_generator_alone(tmp_path):
    x = keras.Input((None, None, 3))
    keras.Model(x, keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Conv2D(2, 3)(x))).save(tmp_path / "net.keras")
    gan = gan_of(preset="gram", loss_network=str(tmp_path / "net.keras"), content_weight=2.0, gram_weight=3.0, smooth_weight=0.0, **TINY)
    batch = {"input": uniform(2, 16, 16, 3), "image": uniform(2, 16, 16, 3, seed=1)}
    fake = np.asarray(gan.generator(batch["input"]))
    maps = perceptual.features(str(tmp_path / "net.keras"), 3)
    shown, wanted, found = (maps(tf.constant(images)) for images in (batch["input"], batch["image"], fake))
    style_loss = sum(np.mean(np.sum((np.asarray(perceptual.gram(a)) - np.asarray(perceptual.gram(b)).mean(0)) ** 2, (1, 2)))
                     for a, b in zip(found, wanted))
    content = np.mean((np.asarray(shown[1]) - np.asarray(found[1])) ** 2)
    loss = float(gan.content(tf.constant(batch["image"]), tf.constant(fake), {"input": tf.constant(batch["input"])}, None))
    assert loss == pytest.approx(2 * content + 3 * style_loss, rel=1e-4)
    judged = [np.array(weight) for weight in gan.discriminator.weights]
    before = [np.array(weight) for weight in gan.generator.weights]
    logs = gan.train_on_batch(batch, return_dict=True)
    assert {"content", "style"} <= {*logs} and gan.step == 1
    assert all(np.array_equal(old, new) for old, new in zip(judged, gan.discriminator.weights))
    assert any(not np.array_equal(old, new) for old, new in zip(before, gan.generator.weights))


# === The data ===

def mine(count=5, shape=(16, 20, 3)):
    images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)
    return Source("mine", {"image": images, "label": np.zeros(count, np.int64)}, {"label": ["a"]})


def inside(cut, picture):
    """Whether the cut, or its mirror image, is a part of the picture."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, cut.shape)[..., 0, :, :, :]
    return any((windows == one).all((2, 3, 4)).any() for one in (cut, cut[:, ::-1]))


def test_cuts_are_of_the_picture(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "picture.png")
    source = mine()
    found = style.of(source, str(tmp_path / "picture.png"), scale=2.5, seed=7)
    assert sorted(found.arrays) == ["image", "input"] and found.fields["input"].kind == "image"
    np.testing.assert_array_equal(found.arrays["input"], source.arrays["image"])
    cuts = found.arrays["image"]
    assert len(cuts) == 5 and cuts[:].shape == (5, 16, 20, 3) and all(inside(cut, picture) for cut in cuts[:])
    at = cuts.at(np.arange(3), np.array([10, 11, 10]))
    np.testing.assert_array_equal(at[0], at[2])
    assert not np.array_equal(at[0], at[1]) and inside(at[1], picture)
    np.testing.assert_array_equal(cuts[[3, 1]], cuts[:][[3, 1]])


def test_a_small_picture_is_enlarged():
    assert style.of(mine(), "", scale=1.0).arrays["image"].picture.shape == (20, 20, 3)  # as wide as an image, and as high
    assert style.of(mine(shape=(16, 16, 1)), "", scale=2.0).arrays["image"].picture.shape == (32, 32, 1)


def test_the_window_is_of_its_colours():
    picture = style.glass(96, 30)
    np.testing.assert_array_equal(picture, style.glass(96, 30))
    lead = (picture == style.LEAD).all(-1).mean()
    assert 0.1 < lead < 0.8 and picture.std() > 40


def test_pictures_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no")
    for path in tmp_path / "broken.png", tmp_path / "none.png":
        with pytest.raises(DataError, match=f"style={path}: .*; give a picture's file"):
            style.of(mine(), str(path))


def test_data_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(mine(4).arrays["image"]):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    config = dict(style="", style_scale=2.0)
    found = data.of({"dataset": f"folder:{tmp_path / 'photos'}", "image_size": 16, "config": config},
                    styletransfer.Config.needs)
    assert found.arrays["input"].shape == (4, 16, 16, 3) and found.key == "image" and len(found) == 4
    batch = next(iter(data.batches(found, 2)))
    assert sorted(batch) == ["image", "input"] and batch["image"].shape == (2, 16, 16, 3)
