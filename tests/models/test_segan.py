import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import segan

TINY = dict(filters=(4, 6), strides=4, taps=7)
GIVEN = {"input": kinds.Field("audio", (64, 1), more={"rate": 8000})}


def sounds(count=3, length=64, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, length, 1)).astype(np.float32)


class TestBattery(Battery):
    model = "segan"
    cases = {
        "gates": dict(shape=(64, 1), given=GIVEN, **TINY),
        "joined, with noise and batch normalisation": dict(shape=(64, 1), given=GIVEN, noise_dim=3, skips="join",
                                                           normalization="batch", **TINY),
    }


def test_parameters():
    """Of the paper's G, a 16th as wide: eleven kernels of 31 down, as many up with skips beside them, biases, an α for each channel."""
    published = segan.Config(preset="published")
    assert len(published.filters) == 11 and 2 ** 11 * 8 == published.length
    config = dataclasses.replace(published, filters=tuple(width // 16 for width in published.filters), noise_dim=64)
    widths = (1, *config.filters)
    down = sum(31 * one * other + 2 * other for one, other in zip(widths, widths[1:]))
    into = [128, *(2 * width for width in config.filters[-2::-1])]  # noise, or the mirrored level, beside each
    up = sum(31 * one * other + other for one, other in zip(into, [*config.filters[-2::-1], 1]))
    alphas = sum(config.filters[:-1])  # on the way up; the way down has its own above
    assert segan.generator(config).count_params() == down + up + alphas
    found = segan.discriminator((16_384, 1), config)
    assert found.get_layer("logits").kernel.shape == (8, 1)


def test_skips_are_from_before_the_activation():
    """With the way through the innermost level cut, what is left of G is linear in what the encoder's first layer gives."""
    keras.utils.set_random_seed(0)
    generator = segan.generator(segan.Config(filters=(2, 2), strides=4, taps=5, skips="join"))
    last = next(layer for layer in generator.layers if layer.name.startswith("strided1d_transpose") and layer.filters == 1)
    kernel = np.array(last.kernel)
    kernel[..., :2] = 0  # of what comes from below; the rest is the skip
    last.kernel.assign(kernel)
    x = 0.1 * sounds(1, 16)
    np.testing.assert_allclose(generator(-x), -np.asarray(generator(x)), atol=1e-7)
    assert np.abs(generator(x)).max() > 1e-4


def test_gates_by_hand():
    """Open ones, 1 everywhere, are SEGAN+'s sum with its first gains; a shut one lets nothing of the mirror image through."""
    def network(skips, bias=0.0):
        keras.utils.set_random_seed(0)
        made = segan.generator(segan.Config(**TINY, skips=skips))
        gates = [layer for layer in made.layers if isinstance(layer, keras.layers.Conv1D)]
        for layer in gates:
            layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.full(layer.filters, bias)])
        return made, gates

    x, (added, _), (open_, gates), (shut, _) = 0.1 * sounds(), network("add"), network("gate", 40.0), network("gate", -40.0)
    assert [layer.filters for layer in gates] == [4]
    for one in (open_, shut):  # the kernels are drawn in another order
        for name in (segan.Strided1D, keras.layers.PReLU):
            for layer, other in zip(*([each for each in net.layers if isinstance(each, name)] for net in (one, added))):
                layer.set_weights(other.get_weights())
    np.testing.assert_allclose(open_(x), added(x), atol=1e-6)
    gain = next(layer for layer in added.layers if isinstance(layer, segan.Gain))
    gain.gain.assign(np.zeros(4))
    np.testing.assert_allclose(shut(x), added(x), atol=1e-6)
    assert np.abs(np.asarray(shut(x)) - open_(x)).max() > 1e-4


def test_gain():
    """G hears all ten times as loud and gives it a tenth as loud; so does D, which gives logits."""
    one, other = (models.build("segan", (64, 1), {**TINY, "gain": gain}, seed=3) for gain in (10, 1))
    for name in ("generator", "discriminator"):
        getattr(other, name).set_weights(getattr(one, name).get_weights())
    x, noisy = 0.05 * sounds(), 0.05 * sounds(seed=1)
    np.testing.assert_allclose(10 * np.asarray(one.generator(noisy)), other.generator(10 * noisy), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.logits(x, {"input": noisy}, training=False), other.logits(10 * x, {"input": 10 * noisy}, training=False),
                               rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100])
def test_any_length_comes_back(length):
    generator = segan.generator(segan.Config(**TINY))
    x = sounds(2, length)
    made = np.asarray(generator(x))
    assert made.shape == x.shape
    more = np.pad(x, [(0, 0), (0, -length % 16), (0, 0)], mode="symmetric")
    np.testing.assert_allclose(made, np.asarray(generator(more))[:, :length], atol=1e-6)


def test_losses_by_hand():
    keras.utils.set_random_seed(1)
    gan = models.build("segan", (64, 1), {"preset": "plus", "content_weight": 7.0, **TINY}, seed=3)
    gan.compile()
    real, given = tf.constant(sounds()), {"input": tf.constant(sounds(seed=1))}
    fake = gan.make(gan.noise(3), given, gan.generator)
    logits = [np.asarray(gan.logits(each, given, training=False), np.float64) for each in (real, fake)]
    found = gan.discriminator_loss(real, fake, given, training=False)
    assert float(found) == pytest.approx(((logits[0] - 1) ** 2).mean() / 2 + (logits[1] ** 2).mean() / 2, rel=1e-5)

    def emphasised(x):
        x = np.asarray(x, np.float64)
        return x - 0.95 * np.concatenate([0 * x[:, :1], x[:, :-1]], 1)
    content = np.abs(emphasised(real) - emphasised(fake)).mean()
    found = gan.generator_loss(real, fake, given, training=False)
    assert float(found) == pytest.approx(((logits[1] - 1) ** 2).mean() / 2 + 7 * content, rel=1e-5)


def test_signal_to_noise_by_hand():
    """An error of a tenth is 20 dB; none at all is the most, 30; silence made of silence is 0. A scale changes nothing."""
    true = sounds(1, 6_400)  # beside its power the 1e-4 are nothing
    for made, wanted in ((1.1 * true, 20 - 10 * np.log10(1.1)), (true, 30.0), (0 * true, -10 * np.log10(1.001)), (3 * true, -20 * np.log10(2))):
        for scale in (1, 0.5):
            assert float(segan.signal_to_noise(scale * true, scale * made)[0]) == pytest.approx(wanted, abs=0.02)
    assert float(segan.signal_to_noise(0 * true, 0 * true)[0]) == pytest.approx(0, abs=0.01)
    gan = models.build("segan", (64, 1), {"content_weight": 3.0, **TINY}, seed=3)
    judged = gan.content(tf.constant(true), tf.constant(1.1 * true), {}, None)
    assert float(judged) == pytest.approx(-3 * (20 - 10 * np.log10(1.1)), abs=0.06)


@pytest.mark.parametrize("settings, message", [
    (dict(filters=()), "filters=.*at least 1"), (dict(filters=(4, 0)), "filters=.*at least 1"),
    (dict(noises="hun"), r"no noise is named 'hun' \(did you mean 'hum'\?\)"), (dict(snr_low=20), "snr_low=20: must not be above"),
    (dict(overlap=1), "overlap=1"), (dict(emphasis=1), "emphasis=1"), (dict(gain=0), "gain=0")])
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        segan.Config(**settings)


def test_wrong_lengths():
    with pytest.raises(ConfigError, match="length=100: 2 layers of stride 4 .* multiple of 16"):
        segan.build((100, 1), segan.Config(**TINY))


@pytest.mark.slow
def test_hiss_is_learnt_away():
    """Tones with white noise: after 150 steps, of tones and noise never seen, several dB are gained."""
    keras.utils.set_random_seed(1)
    gan = models.build("segan", (256, 1), dict(filters=(16, 32), strides=4, taps=15, generator_learning_rate=3e-3), seed=3)
    gan.compile()
    rng = np.random.default_rng(0)
    turns = np.arange(256) * rng.uniform(0.05, 0.3, (1264, 1)) + rng.uniform(0, 6, (1264, 1))
    clean = (0.4 * np.sin(turns))[..., None].astype(np.float32)
    noisy = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices({"audio": clean[:1200], "input": noisy[:1200]}).batch(8)
    gan.fit(data, verbose=0)
    si_sdr = kinds.get("audio")._sound.si_sdr
    made = gan.generate(64, given={"input": noisy[1200:]}, network=gan.generator)
    gained = [si_sdr(one, true) - si_sdr(before, true) for one, before, true in zip(made[..., 0], noisy[1200:, :, 0], clean[1200:, :, 0])]
    assert np.mean(gained) > 3
