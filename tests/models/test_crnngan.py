import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import crnngan

TINY = dict(notes_a_piece=4, noise_dim=8, units=5, batch_size=4)


class TestBattery(Battery):
    model = "crnngan"
    cases = {"tiny": dict(shape=(4, 4), **TINY)}
    made = kinds.Field("events", (4, 4))


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("crnngan", (4, 4), {**TINY, **settings}, seed=3)
    gan.compile(run_eagerly=True)
    return gan


def test_a_note_hears_the_notes_before_and_none_after():
    gan, noise = gan_of(), np.random.default_rng(0).uniform(-1, 1, (1, 8)).astype(np.float32)
    before = np.asarray(gan.generator(noise))
    for note in range(4):
        other = noise.copy()
        other[:, 2 * note:2 * note + 2] += 0.5
        changed = np.abs(np.asarray(gan.generator(other)) - before).max((0, 2)) > 1e-7
        assert changed.tolist() == [i >= note for i in range(4)]


def test_composer_is_keras_lstms():
    """With the note before cut off: what keras.layers.LSTM makes of the same weights."""
    layer = crnngan.Composer(5, 2)
    noise = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    made = layer(noise)
    assert made.shape == (3, 4, 4)
    layer.before.kernel.assign(tf.zeros_like(layer.before.kernel))
    x = layer.heard(noise)
    for cell in layer.cells:
        lstm = keras.layers.LSTM(5, return_sequences=True)
        lstm.build(x.shape)
        lstm.set_weights(cell.get_weights())
        x = lstm(x)
    np.testing.assert_allclose(layer(noise), layer.note(x), atol=1e-5)


def test_generator_loss_by_hand():
    gan = gan_of(matching=3.0, adversarial=0.5)
    real, fake = (tf.constant(np.random.default_rng(i).uniform(-1, 1, (4, 4, 4)).astype(np.float32)) for i in range(2))
    judged = [gan.judge(each, training=False) for each in (real, fake)]
    features = [np.asarray(each["features"], np.float64).mean(0) for each in judged]
    logits = np.asarray(judged[1]["logits"], np.float64)
    wanted = 0.5 * np.log1p(np.exp(-logits)).mean() + 3 * ((features[0] - features[1]) ** 2).sum() / 2
    assert float(gan.generator_loss(real, fake, training=False)) == pytest.approx(wanted, rel=1e-4)


def test_g_is_trained_whatever_the_losses_are():
    """The published program makes no step of G where a loss is below 2."""
    gan = gan_of()
    before = [np.array(variable) for variable in gan.generator.trainable_variables]
    logs = gan.train_on_batch({"events": np.zeros((4, 4, 4), np.float32)}, return_dict=True)
    assert logs["g_loss"] < 2 and logs["d_loss"] < 2
    assert all((old != np.array(new)).any() for old, new in zip(before, gan.generator.trainable_variables))


@pytest.mark.parametrize("shape, settings, message", [
    ((5, 4), {}, "notes_a_piece=4 notes of 4 numbers, not 5×4"), ((4, 4), dict(noise_dim=9), "noise_dim=9: must be a multiple of")])
def test_what_cannot_be_built(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        models.build("crnngan", shape, {**TINY, **settings})
