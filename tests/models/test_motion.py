import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery
from PIL import Image

from kgan import imagefiles, kinds, models, translate
from kgan.config import ConfigError
from kgan.models import motion

TINY = dict(filters=2, halvings=1, blocks=1, discriminator_filters=2, discriminator_layers=1, discriminators=1)
FIELD = kinds.Field("image", (16, 16, 3))
GIVEN = {name: FIELD for name in ("input", "input_before", "before")}


class TestBattery(Battery):
    model = "motion"
    cases = {"16": dict(shape=(16, 16, 3), given=GIVEN, detail_blocks=1, **TINY)}

    def test_logits(self, gan, shape):
        batch = self.batch(shape, 3, gan)
        judged = gan.judge(gan.real(batch), gan.given(batch), training=False)
        assert judged["logits"].shape == (3, 64) and all(values.dtype == tf.float32 for values in judged.values())

    def test_names(self, gan, shape):
        assert sorted(x.name for x in gan.generator.inputs) == ["before", "input"]
        assert sorted(x.name for x in gan.discriminator.inputs) == ["before", "image", "input", "input_before"]
        assert gan.generator.layers[-1].name == "images"

    def test_what_is_given_changes_samples(self, gan):
        given = self.given(gan, 2)
        for name, values in given.items():
            made = [np.asarray(gan.make(gan.latents(2), one)) for one in (given, {**given, name: values[::-1]})]
            assert (np.abs(made[0] - made[1]).max() > 1e-6) == (name != "input_before"), name  # which D alone sees


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("motion", (16, 16, 3), {"jit_compile": False, **TINY, **settings})
    gan.compile(run_eagerly=True)
    return gan


def test_the_second_frame_follows_the_first_that_was_made():
    gan, given = gan_of(), {name: uniform(2, 16, 16, 3, seed=i) for i, name in enumerate(GIVEN)}
    both = np.asarray(gan.make(gan.noise(2), given, gan.generator, training=True))
    first = np.asarray(gan.generator({"input": given["input_before"], "before": -np.ones((2, 16, 16, 3), np.float32)}))
    np.testing.assert_allclose(both[..., :3], first, atol=1e-6)
    np.testing.assert_allclose(both[..., 3:], gan.generator({"input": given["input"], "before": first}), atol=1e-6)
    # a sample is of the real frame before
    np.testing.assert_allclose(gan.make(gan.noise(2), given, gan.generator),
                               gan.generator({"input": given["input"], "before": given["before"]}), atol=1e-6)


def test_a_discriminator_sees_both_frames():
    gan, given = gan_of(), {name: uniform(2, 16, 16, 3, seed=i) for i, name in enumerate(GIVEN)}
    batch = {**given, "image": uniform(2, 16, 16, 3, seed=9)}
    real = gan.real(batch)
    np.testing.assert_array_equal(real, np.concatenate([given["before"], batch["image"]], -1))
    fake = uniform(2, 16, 16, 6, seed=10)
    wanted = gan.discriminator({"image": fake[..., 3:], "before": fake[..., :3], "input": given["input"],
                                "input_before": given["input_before"]})["logits"]
    np.testing.assert_allclose(gan.logits(fake, given, training=False), wanted, atol=1e-6)


def test_content_by_hand():
    gan, given = gan_of(content_weight=3.0, pixel_weight=5.0), {name: uniform(2, 16, 16, 3, seed=i) for i, name in enumerate(GIVEN)}
    real, fake = (tf.constant(uniform(2, 16, 16, 6, seed=seed)) for seed in (20, 21))
    one, other = (gan.judge(frames, given) for frames in (real, fake))
    features = sum(np.abs(np.asarray(one[name]) - np.asarray(other[name])).mean() for name in one if name != "logits")
    wanted = 3 * features + 5 * np.abs(np.asarray(real) - np.asarray(fake)).mean()
    assert float(gan.content(real, fake, given, other)) == pytest.approx(wanted, rel=1e-5)


def test_a_clip_is_rolled_out(tmp_path):
    """By `roll`, and by files in the order of their names: the same, and a GIF of as many frames."""
    gan, poses = gan_of(), np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    made = gan.roll(kinds.get("image").scale(poses.astype(np.float32)))
    before = -np.ones((1, 16, 16, 3), np.float32)
    for frame, pose in zip(made, poses):
        before = np.asarray(gan.ema_generator({"input": pose[None] / np.float32(127.5) - 1, "before": before}))
        np.testing.assert_allclose(frame, before[0], atol=1e-5)
    (tmp_path / "poses").mkdir()
    for i, pose in enumerate(poses):
        Image.fromarray(pose).save(tmp_path / "poses" / f"{i}.png")
    placed = translate.outputs([tmp_path / "poses"], tmp_path / "out")
    network, channels, multiple = translate.function_of(gan)
    assert translate.translate_files(network, channels, placed, multiple=multiple) == (3, 0, {})
    for path, frame in zip(placed.values(), made):
        found = np.asarray(Image.open(path)).astype(int)
        assert np.abs(found - kinds.get("image").store(frame)).max() <= 1
    imagefiles.write_clip(list(placed.values()), tmp_path / "out" / "clip.gif")
    assert Image.open(tmp_path / "out" / "clip.gif").n_frames == 3


@pytest.mark.parametrize("settings, message", [(dict(noise_dim=2), "takes no noise"), (dict(augment="flip"), "would change a frame and "
                                                                                      "not its pose"), (dict(blocks=0), "blocks=0: must be")])
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        motion.Config(**settings)


def test_too_small():
    with pytest.raises(ConfigError, match="motion is for images of at least 16 pixels with halvings=3, not 8×8×3"):
        motion.build((8, 8, 3), motion.Config(halvings=3))
