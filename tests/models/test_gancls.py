import types

import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import contracts, kinds, models
from kgan.advice import alarms
from kgan.config import ConfigError
from kgan.data import captions
from kgan.metrics import features, readers

CAPTION = kinds.Field("tokens", (4,), more={"words": ["", "a", "red", "7", "blue"], "tokens": "words"})
TINY = dict(filters=2, noise_dim=3, word_dim=3, text_dim=4)
PLAIN = dict(loss="non_saturating", discriminator_normalization="none", matching=0)


def batch(count=4, size=8):
    examples = kinds.get("tokens").examples
    return {"image": np.random.default_rng(0).uniform(-1, 1, (count, size, size, 3)).astype("f"),
            "caption": examples(CAPTION, count, 1), "mismatch": examples(CAPTION, count, 2)}


def build(**settings):
    gan = models.build("gancls", (8, 8, 3), {**TINY, **settings}, seed=3,
                       fields={"caption": CAPTION, "image": kinds.Field("image", (8, 8, 3))})
    gan.compile(run_eagerly=True)
    return gan


class TestBattery(Battery):
    model = "gancls"
    cases = {"colour": dict(shape=(8, 8, 3), given={"caption": CAPTION}, **TINY)}
    loose = "linear/bias", "linear/u"  # the slope of the hinge is the same for all logits within its margin; σ of one row is 1

    def batch(self, shape, count, gan=None):
        return super().batch(shape, count, gan) | {"mismatch": kinds.get("tokens").examples(CAPTION, count, 2)}


def test_the_third_kind_of_pairs():
    """D's loss is log D(x, c) + (log(1 - D(G(z), c)) + log(1 - D(x, wrong c))) / 2, algorithm 1, worked out of D's logits."""
    gan = build(**PLAIN)
    data = batch()
    real, given, noise = gan.real(data), gan.given(data), gan.latents(4)
    fake = gan.make(noise, given, gan.generator)
    right, wrong, made = (np.asarray(gan.logits(*pair, training=False)) for pair in (
        (real, given), (real, {"caption": data["mismatch"]}), (fake, given)))
    softplus = lambda x: np.log1p(np.exp(x)).mean()
    expected = softplus(-right) + (softplus(made) + softplus(wrong)) / 2
    np.testing.assert_allclose(gan.discriminator_loss(real, fake, given, noise, training=False), expected, rtol=1e-5)
    np.testing.assert_allclose(gan._means["d_caption"].result(), (right > wrong).mean())
    plain = build(mismatched=False, **PLAIN)
    plain.set_weights(gan.get_weights())
    np.testing.assert_allclose(plain.discriminator_loss(real, fake, given, noise, training=False), softplus(-right) + softplus(made),
                               rtol=1e-5)


def test_between_two_captions_g_is_to_be_believed_too():
    gan = build(interpolation=0.5, **PLAIN)
    data = batch()
    given, noise = gan.given(data), gan.latents(4)
    encode, told = gan.generator.get_layer("text"), gan.discriminator.get_layer("text")
    text, other = ((network(data["caption"][::2]) + network(data["mismatch"][::2])) / 2 for network in (encode, told))
    made = gan.generator.get_layer("images")([noise[::2], text], training=True)
    logits = gan.discriminator.get_layer("logits")([gan.discriminator.get_layer("maps")(made), other])
    fake = gan.make(noise, given, gan.generator, training=True)
    whole = gan.generator_loss(gan.real(data), fake, given, noise)
    gan.config = type(gan.config).of(**TINY, **PLAIN, interpolation=0)
    plain = gan.generator_loss(gan.real(data), fake, given, noise)
    np.testing.assert_allclose(whole - plain, 0.5 * np.log1p(np.exp(-np.asarray(logits))).mean(), rtol=1e-4)


def test_the_share_of_the_right_caption_by_hand():
    """Of three pictures, the captions of the first and the third are the same: neither is a wrong answer for the other."""
    gan = build(matching=2, text_dim=4)
    seen = np.random.default_rng(1).normal(size=(3, 4)).astype("f")
    caption = batch()["caption"][[0, 1, 0]]
    text = np.asarray(gan.discriminator.get_layer("text")(caption))
    scores = np.exp(seen @ text.T / 2)
    shares = [scores[0, 0] / scores[0, :2].sum(), scores[1, 1] / scores[1].sum(), scores[2, 2] / scores[2, 1:].sum()]
    np.testing.assert_allclose(gan.matching({"direction": seen}, {"caption": caption}), -2 * np.log(shares).mean(), rtol=1e-5)


def test_d_learns_from_real_pictures_which_caption_is_theirs_and_g_from_its_own():
    gan = build(**{**PLAIN, "matching": 1})
    data = batch()
    real, given, noise = gan.real(data), gan.given(data), gan.latents(4)
    fake = gan.make(noise, given, gan.generator)
    losses = [(gan.discriminator_loss(real, fake, given, noise), gan.generator_loss(real, fake, given, noise))]
    told = [gan.matching(gan.judge(images, given, training=False), given) for images in (real, fake)]
    gan.config = type(gan.config).of(**TINY, **PLAIN)
    losses.append((gan.discriminator_loss(real, fake, given, noise),
                   gan.generator_loss(real, fake, given, noise)))
    np.testing.assert_allclose(np.subtract(*losses), told, rtol=1e-3)


def test_d_compares_by_a_product():
    d = build().discriminator
    data = batch()
    said = d({name: data[name] for name in ("image", "caption")})
    text = np.asarray(d.get_layer("text")(data["caption"]))
    layer = next(layer for layer in d.get_layer("logits").layers if layer.name == "linear")
    alone = np.asarray(layer(np.asarray(said["maps"]).reshape(4, -1)))
    match = (np.asarray(said["direction"]) * text).sum(1, keepdims=True) / 2
    np.testing.assert_allclose(said["logits"], alone + match, rtol=1e-4)


def test_noise_and_caption_reach_g_at_each_size():
    """With nothing of them in what G begins with, they still change the picture; without `fusion` they do not."""
    for fusion in (True, False):
        gan = build(fusion=fusion)
        images = gan.generator.get_layer("images")
        first = next(layer for layer in images.layers if layer.weights)
        first.set_weights([np.zeros_like(weight) for weight in first.get_weights()])
        noise = gan.latents(2)
        made = np.asarray(images([noise, tf.eye(2, 4)]))
        assert (np.abs(made[0] - made[1]).max() > 1e-6) == fusion


def test_published_is_the_paper():
    gan = models.build("gancls", (8, 8, 3), {**TINY, "preset": "published", "filters": 2})
    assert set(gan.discriminator.output) == {"logits", "maps"} and gan.config.interpolation == 0.5
    assert gan.config.discriminator_normalization == "batch" and not contracts.mixes(gan.generator, "Conditional")


def test_batches_without_mismatched_captions_are_refused():
    data = batch()
    del data["mismatch"]
    with pytest.raises(ValueError, match="given 'mismatch', but the batches have only"):
        build().train_on_batch(data)


def test_ignored_captions_are_warned_of():
    def warned(value):
        alarm = next(alarm for alarm in alarms(build()) if "captions" in alarm.text)
        return [alarm.goes_off({"step": step, "g_caption": value}) for step in range(1000, 1600, 50)].index(True) if value < 0.6 else any(
            alarm.goes_off({"step": step, "g_caption": value}) for step in range(1000, 1600, 50))
    assert warned(0.5) == 9 and not warned(0.7)


def test_shares_of_what_is_as_asked():
    asked = np.array([[7, 0, 0, 0], [7, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    assert captions.held_back(asked).tolist() == [False, False, True, True]
    found = np.array([[7, 0, 0, 1], [7, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 0]])
    assert readers.shares(asked, found) == {
        "caption_label": 1, "caption_color": 1, "caption_size": 1, "caption_slant": 0.5, "caption_all": 0.5,
        "unseen_label": 1, "unseen_color": 0.5, "unseen_size": 1, "unseen_slant": 1, "unseen_all": 0.5}
    other = types.SimpleNamespace(train=types.SimpleNamespace(classes={}), given={})
    assert build().figures(other, np.zeros((1, 8, 8, 3))) == {}


def test_a_caption_without_a_vocabulary_is_refused():
    fields = {"caption": kinds.Field("tokens", (4,)), "image": kinds.Field("image", (8, 8, 3))}
    with pytest.raises(ConfigError, match="`caption` has no vocabulary"):
        models.build("gancls", (8, 8, 3), TINY, fields=fields)


def test_the_built_in_captions_by_default():
    gan = models.build("gancls", (8, 8, 3), TINY)
    assert gan.fields["caption"].more["words"] == list(captions.WORDS)
    made = gan.generate(2, given={"caption": captions.captions(np.array([[7, 0, 1, 1]] * 2), np.zeros(2, int))})
    assert made.shape == (2, 8, 8, 3)


def test_a_reader_learns_once(monkeypatch):
    """Of a few examples next to nothing: but it gives four numbers a picture, and the same again from the cache."""
    monkeypatch.setattr(readers, "SEEN", 256)
    monkeypatch.setattr(readers, "COUNT", 128)
    monkeypatch.setattr(features, "_KEPT", {})
    train = captions.source(28, count=128)
    found = readers.read(train, train.examples(slice(5)))
    assert found.shape == (5, 4) and (found >= 0).all() and (found < [10, 8, 2, 2]).all()
    features._KEPT.clear()
    monkeypatch.setattr(readers, "_learn", lambda *_: pytest.fail("it learns again"))
    np.testing.assert_array_equal(readers.read(train, np.asarray(train.arrays["image"][:5])), found)
