import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.data import bouncing
from kgan.models import videogan

TINY = dict(generator="two_stream", rest=0.8, filters=2, noise_dim=8, content=5, motion=3)
SHAPE = (4, 16, 16, 1)


class TestBattery(Battery):
    model = "videogan"
    cases = {
        "grey": dict(shape=SHAPE, **{**TINY, "rest": 1.0}),
        "content and motion, colour, frames judged": dict(shape=(4, 16, 16, 3), **{**TINY, "generator": "content_motion", "rest": 1.0},
                                                          judge_frames=True),
        "sprites": dict(shape=SHAPE, **{**TINY, "generator": "sprites", "rest": 1.0, "content": 2}),
    }

    @staticmethod
    def kind(shape):
        return kinds.get("video")


def config(**settings):
    return videogan.Config(**{**TINY, **settings})


def sides(shape):
    return videogan.doublings(shape[1:3])


def test_sprites_are_moved_as_a_whole():
    x = np.random.default_rng(0).uniform(size=(2, 4, 8, 3)).astype(np.float32)
    place = np.float32([[[0, 0], [0.5, -0.25]], [[-1.25, 0], [0, 0.125]]])  # halves of a side: 1 down and 1 to the left …
    made = np.asarray(videogan._Moved()([x, place]))
    wanted = np.zeros((2, 2, 4, 8, 3))
    wanted[0, 0] = x[0]
    wanted[0, 1, 1:, :-1] = x[0, :-1, 1:]
    wanted[1, 0, :-2] = 0.5 * x[1, 2:]  # 2½ up
    wanted[1, 0, :-3] += 0.5 * x[1, 3:]
    wanted[1, 1] = 0.5 * x[1]  # ½ to the right
    wanted[1, 1, :, 1:] += 0.5 * x[1, :, :-1]
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_sprites_lie_one_over_the_other():
    """What is seen where the masks of both are known: the ground through both, the first through the second."""
    keras.utils.set_random_seed(0)
    gan = models.build("videogan", SHAPE, dict(TINY, generator="sprites", content=2))
    network, noise = gan.generator, gan.latents(2)
    parts = keras.Model(network.input, [network.get_layer("sprites").output, network.get_layer("ground").output])
    moved, ground = map(np.asarray, parts(noise))
    first, second = moved.reshape(2, 2, *SHAPE[:3], 2).swapaxes(0, 1)
    wanted = (ground[:, None] * (1 - first[..., :1]) + first[..., 1:]) * (1 - second[..., :1]) + second[..., 1:]
    videos = np.asarray(network(noise))
    np.testing.assert_allclose(videos, wanted, atol=1e-5)
    assert 0 <= moved[..., 0].min() and moved[..., 0].max() <= 1 and np.abs(videos).max() <= 1
    assert np.abs(videos[:, 0] - videos[:, 3]).max() > 1e-4  # they move


def test_the_kind_is_named():
    gan = models.build("videogan", SHAPE, TINY)
    assert gan.kind == "video" and gan.fields == {"video": kinds.Field("video", SHAPE)}
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(gan)).kind == "video"


@pytest.mark.parametrize("shape, settings, message", [
    ((16, 30, 30, 1), {}, "halved down to 4 to 7 twice or more: 16, 32, 48, 64 and others, not 16×30×30×1"),
    ((16, 8, 8, 1), {}, "not 16×8×8×1"), ((32, 32, 1), {}, "not 32×32×1"),
    ((6, 32, 32, 1), dict(generator="two_stream"), "doubles the frames 3 times, and 6 is no multiple of 8")])
def test_what_cannot_be_built(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        videogan.build(shape, config(**settings))


def test_wrong_settings():
    with pytest.raises(ConfigError, match="content=8: must be below noise_dim=8"):
        config(content=8)
    with pytest.raises(ConfigError, match="content=5: must be below noise_dim=8/2, whose rest is the motion's"):
        config(generator="sprites")
    with pytest.raises(ConfigError, match="noise_dim=8: each of sprites=3 gets an equal share"):
        config(generator="sprites", sprites=3)
    with pytest.raises(ConfigError, match="frames=0: must be at least 1"):
        config(frames=0)


# === Content and motion ===

def test_content_is_the_same_in_all_frames():
    """What the first layer of the pictures sees: of each frame the content, then its own motion."""
    keras.utils.set_random_seed(1)
    generator = videogan.content_motion(SHAPE, sides(SHAPE), config())
    codes = keras.Model(generator.input, [layer for layer in generator.layers
                                          if isinstance(layer, keras.layers.Concatenate)][-1].output)
    noise = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    seen = np.asarray(codes(noise)).reshape(2, 4, 8)
    np.testing.assert_array_equal(seen[..., :5], np.repeat(noise[:, None, :5], 4, 1))
    assert (np.abs(np.diff(seen[..., 5:], axis=1)).max((1, 2)) > 0).all()
    # a frame is a function of its code alone: the clips in another order are the same clips
    np.testing.assert_allclose(generator(noise[::-1]), np.asarray(generator(noise))[::-1], atol=1e-6)
    other = noise.copy()
    other[:, :5] += 1
    np.testing.assert_array_equal(np.asarray(codes(other)).reshape(2, 4, 8)[..., 5:], seen[..., 5:])


# === Two streams ===

def test_foreground_mask_and_background_by_hand():
    keras.utils.set_random_seed(1)
    generator = videogan.two_stream(SHAPE, sides(SHAPE), config(generator="two_stream"))
    mask = generator.get_layer("mask").output
    front, still = (generator.get_layer(name).output for name in ("foreground", "background"))
    parts = keras.Model(generator.input, [front, mask, still, generator.output])
    front, mask, still, made = map(np.asarray, parts(np.ones((2, 8), np.float32)))
    assert front.shape == (2, *SHAPE) and mask.shape == (2, *SHAPE[:3], 1) and still.shape == (2, *SHAPE[1:])
    np.testing.assert_allclose(made, mask * front + (1 - mask) * still[:, None], atol=1e-6)


# === D ===

def test_frames_and_clip_count_alike():
    keras.utils.set_random_seed(1)
    discriminator = videogan.discriminator(SHAPE, sides(SHAPE), config(judge_frames=True))
    clips = kinds.get("video").examples(kinds.Field("video", SHAPE), 3)
    logits = np.asarray(discriminator(clips))
    assert logits.shape == (3, 8)
    np.testing.assert_array_equal(logits[:, :4], np.repeat(logits[:, :1], 4, 1))
    # the frames' do not depend on their order, the clip's does
    turned = np.asarray(discriminator(clips[:, ::-1]))
    np.testing.assert_allclose(turned[:, 4:], logits[:, :3:-1], atol=1e-6)
    assert np.abs(turned[:, 0] - logits[:, 0]).max() > 1e-9
    assert videogan.discriminator(SHAPE, sides(SHAPE), config()).output_shape == (None, 1)


def test_any_number_of_frames_and_rectangles():
    gan = models.build("videogan", (3, 16, 24, 1), {**TINY, "generator": "content_motion", "judge_frames": True})
    assert gan.generator.output_shape == (None, 3, 16, 24, 1) and gan.discriminator.output_shape == (None, 6)


@pytest.mark.parametrize("generator", ["two_stream", "content_motion"])
def test_begins_as_dark_as_it_is_told(generator):
    keras.utils.set_random_seed(0)
    gan = models.build("videogan", SHAPE, {**TINY, "generator": generator, "fill": 0.1})
    assert gan.generate(8).mean() == pytest.approx(2 * 0.1 - 1, abs=0.02)


# === What it measures ===

def test_figures_by_hand(monkeypatch):
    gan = videogan.build((16, 32, 32, 1), config())
    train = bouncing.source(count=40)
    evaluator = type("Evaluator", (), {"train": train, "examples": train.arrays["video"][:20]})()
    samples = kinds.get("video").scale(np.asarray(train.arrays["video"][20:], np.float32))

    def classifier(source):
        assert source.kind == "image" and source.shape == (32, 32, 1) and len(source) == 40 * 4
        np.testing.assert_array_equal(source.arrays["image"][:4], train.arrays["video"][0, ::5])
        np.testing.assert_array_equal(source.arrays["label"][:8], np.repeat(train.arrays["label"][:2], 4))

        def network(frames):  # two features; its class: whether the left half is brighter
            halves = np.stack([frames[:, :, :16].mean((1, 2, 3)), frames[:, :, 16:].mean((1, 2, 3))], 1)
            return halves, np.eye(55)[(halves[:, 0] > halves[:, 1]).astype(int)]
        return network

    monkeypatch.setattr("kgan.metrics.features.classifier", classifier)
    figures = gan.figures(evaluator, samples)
    assert set(figures) == set(gan.measures)
    left = samples[:, :, :, :16].mean((2, 3, 4)) > samples[:, :, :, 16:].mean((2, 3, 4))
    share = left.mean(1)
    assert figures["kept"] == pytest.approx(np.maximum(share, 1 - share).mean())
    same = gan.figures(evaluator, kinds.get("video").scale(np.asarray(evaluator.examples, np.float32)))
    assert same["frame_distance"] == pytest.approx(0, abs=1e-5) and same["motion_distance"] == pytest.approx(0, abs=1e-5)
    assert figures["frame_distance"] > 1e-4
    # one frame for all of the clip: as good frames, but no movement
    still = gan.figures(evaluator, np.repeat(samples[:, :1], 16, 1))
    assert still["pace"] == 0 and still["kept"] == 1 and still["motion_distance"] > 10 * same["motion_distance"]
    evaluator.train = types.SimpleNamespace(name="folder:clips", classes={})
    assert gan.figures(evaluator, samples) == {}


# === Training ===

@pytest.mark.slow
def test_what_is_learned_moves():
    """A bright bar that goes down: within 120 steps its place changes in samples as in the data."""
    keras.utils.set_random_seed(2)
    gan = models.build("videogan", SHAPE, {**TINY, "filters": 6, "generator_learning_rate": 3e-3, "ema_decay": 0.9,
                                           "discriminator_learning_rate": 1e-3}, seed=1)
    gan.compile()
    clips = -np.ones((16, *SHAPE), np.float32)
    for frame in range(4):
        clips[:, frame, 4 * frame:4 * frame + 4] = 1
    gan.fit(tf.data.Dataset.from_tensors({"video": clips}).repeat(120), verbose=0)
    samples = gan.generate(8)
    rows = samples.mean((3, 4)).reshape(8, 4, 4, 4).mean(3)  # brightness of the four bars of each frame
    assert (rows.argmax(2) == np.arange(4)).mean() > 0.9
