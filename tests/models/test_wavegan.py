import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import CLASSES, Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import wavegan

TINY = dict(filters=2, halvings=2, taps=5, noise_dim=6, spectrogram=0)


class TestBattery(Battery):
    model = "wavegan"
    cases = {
        "asked for a class": dict(shape=(64, 1), **{**TINY, "spectrogram": 16}),
        "published, smaller": dict(shape=(64, 1), preset="published", condition="", discriminator_steps=2,
                                   **{**TINY, "batch_size": 4}),
    }
    loose = ("/shift",)


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("wavegan", (64, 1), {"jit_compile": False, **TINY, **settings}, seed=3, classes=CLASSES)
    gan.compile()
    return gan


def sounds(count=4, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 64, 1)).astype(np.float32)


def test_published_sizes():
    """Table 3 of the paper's appendix, an eighth as wide: (16, 16d) … (16384, 1) and back."""
    config = wavegan.Config(preset="published", filters=8)
    generator = wavegan.generator((16_384, 1), config)
    sizes = [tuple(layer.output.shape[1:]) for layer in generator.layers if isinstance(layer, wavegan.Strided1DTranspose)]
    assert sizes == [(64, 64), (256, 32), (1024, 16), (4096, 8), (16_384, 1)]
    widths = [128, 64, 32, 16, 8, 1]
    assert generator.count_params() == 101 * 16 * 128 + sum(25 * a * b + b for a, b in zip(widths, widths[1:]))
    assert (config.discriminator_steps, config.beta_1, config.beta_2, config.noise, config.penalty) == (5, 0.5, 0.9, "uniform", "gp")


def test_phase_shuffle_by_hand():
    layer = wavegan.PhaseShuffle(2)
    x = np.arange(1, 6, dtype=np.float32)[None, :, None] * [[[1, 10]]]
    layer.build(x.shape)
    for shift, wanted in ((0, [3, 2, 1, 2, 3]), (1, [2, 1, 2, 3, 4]), (2, [1, 2, 3, 4, 5]), (4, [3, 4, 5, 4, 3])):
        layer.shift.assign(np.eye(5)[shift])
        np.testing.assert_array_equal(layer(x, training=True)[0], np.outer(wanted, [1, 10]))
        np.testing.assert_array_equal(layer(x), x)


def test_shifts_are_functions_of_seed_and_step():
    one, other = gan_of(), gan_of()
    shift = lambda gan: [np.argmax(layer.shift) for layer in gan.discriminator.layers if isinstance(layer, wavegan.PhaseShuffle)]
    found = []
    for draw in range(40):
        one._shuffle(wavegan.DISCRIMINATOR, draw, True)
        found.append(shift(one))
    other._shuffle(wavegan.DISCRIMINATOR, 39, True)
    assert shift(other) == found[-1] and {each for row in found for each in row} == {0, 1, 2, 3, 4}
    before = shift(one)
    one._shuffle(wavegan.DISCRIMINATOR, 7, False)
    assert shift(one) == before


def test_two_judges_of_waveform_and_spectrogram():
    """Each has a logit of its own: the second tells sounds apart by their loudness alone, and takes no notice of phases."""
    gan, x = gan_of(spectrogram=16), sounds()
    judged = lambda x: np.asarray(gan.logits(x, {"label": tf.zeros(4, tf.int32)}, training=False))
    assert judged(x).shape == (4, 2)
    np.testing.assert_allclose(judged(-x)[:, 1], judged(x)[:, 1], rtol=1e-4, atol=1e-6)
    assert (np.abs(judged(-x) - judged(x))[:, 0] > 1e-5).all()
    with pytest.raises(ConfigError, match="spectrogram=24: must be even, and half of it go into length=64"):
        gan_of(spectrogram=24)


def test_gain():
    """D hears all ten times as loud, and what G says before tanh is a tenth."""
    one, other, x = gan_of(gain=10), gan_of(gain=1), 0.1 * sounds()
    label = tf.constant([0, 1, 2, 2])
    np.testing.assert_allclose(one.logits(x, {"label": label}, training=False),
                               other.logits(10 * x, {"label": label}, training=False), rtol=1e-4, atol=1e-6)
    soft, loud = (np.arctanh(np.asarray(gan.make(gan.noise(4), {"label": label}, gan.generator), np.float64)) for gan in (one, other))
    np.testing.assert_allclose(10 * soft, loud, rtol=1e-3, atol=1e-5)


def test_a_logit_is_of_the_features_and_of_the_class():
    gan = gan_of()
    label = tf.constant([0, 1, 2, 2])
    flat = next(layer for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Flatten))
    found = np.asarray(keras.Model(gan.discriminator.input["audio"], flat.output)(sounds()), np.float64)
    logits = next(x for x in gan.discriminator.layers if isinstance(x, keras.layers.Dense))
    directions = next(x for x in gan.discriminator.layers if isinstance(x, keras.layers.Embedding)).get_weights()[0]
    wanted = found @ np.asarray(logits.kernel) + np.asarray(logits.bias) + (found * directions[label]).sum(1, keepdims=True)
    np.testing.assert_allclose(gan.logits(sounds(), {"label": label}, training=False), wanted, rtol=1e-4, atol=1e-5)


def test_each_is_told_of_the_class():
    """D minimises the cross-entropy of the class of real sounds alone, G that of its own, times class_weight."""
    one, other = (gan_of(class_weight=weight, phase_shuffle=0) for weight in (3.0, 0.0))
    for name in ("generator", "discriminator"):
        wanted = getattr(other, name).get_weights()
        getattr(one, name).set_weights(wanted + getattr(one, name).get_weights()[len(wanted):])
    real, given = tf.constant(sounds()), {"label": tf.constant([0, 1, 2, 2])}
    fake = one.make(one.noise(4), given, one.generator)

    def entropy(x):
        scores = np.asarray(one.judge(x, given, training=False)["class"], np.float64)
        return np.mean([np.log(np.exp(row).sum()) - row[label] for row, label in zip(scores, given["label"].numpy())])

    assert "class" not in other.judge(real, given, training=False) and "class_accuracy" not in other._means
    for player, wanted in (("discriminator", entropy(real)), ("generator", entropy(fake))):
        losses = [float(getattr(gan, f"{player}_loss")(real, fake, given, training=player == "discriminator")) for gan in (one, other)]
        assert losses[0] - losses[1] == pytest.approx(3 * wanted, rel=1e-3)
    scores = np.asarray(one.judge(fake, given, training=False)["class"]).argmax(1)
    assert float(one._means["class_accuracy"].result()) == np.mean(scores == given["label"].numpy())


def test_without_labels():
    gan = gan_of(condition="")
    assert gan.classes == () and [x.name for x in gan.generator.inputs] == ["noise"]
    assert wavegan.Config.of(condition="").condition == ""
    with pytest.raises(ConfigError, match="which field of the data"):
        models.outline("cgan").Config.of(condition="")


def test_rate():
    assert gan_of().fields["audio"].more == {"rate": 8000}
    fields = {"audio": kinds.Field("audio", (64, 1), more={"rate": 11_025})}
    assert models.build("wavegan", (64, 1), TINY, classes=CLASSES, fields=fields).fields["audio"].more == {"rate": 11_025}


def test_wrong_lengths():
    with pytest.raises(ConfigError, match="length=100: 2 layers of stride 4 .* multiple of 16"):
        wavegan.build((100, 1), wavegan.Config(**TINY))
