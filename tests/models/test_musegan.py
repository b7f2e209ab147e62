import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import kinds, models
from kgan.config import ConfigError
from kgan.models import musegan

TINY = dict(filters=2, noise_dim=12, tracks="drums+lead", batch_size=4)


class TestBattery(Battery):
    model = "musegan"
    cases = {"two tracks": dict(shape=(2, 8, 12, 2), **TINY)}
    made = kinds.Field("notes", (2, 8, 12, 2), more={"lowest": 36, "beat": 2, "tempo": 100, "tracks": ["drums", "lead"]})


def gan_of(**settings):
    keras.utils.set_random_seed(1)
    return models.build("musegan", (2, 8, 12, 2), {**TINY, **settings}, seed=3)


def test_parts_of_the_noise():
    """Of [shared, shared by time, drums, drums by time, lead, lead by time]: who hears which, and where."""
    gan, noise = gan_of(filters=8), np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    before = np.asarray(gan.generator(noise))
    changed = []
    for part in range(6):
        other = noise.copy()
        other[:, 2 * part:2 * part + 2] += 1
        changed.append(np.abs(np.asarray(gan.generator(other)) - before).max((0, 2, 3)) > 1e-7)  # [bars, tracks]
    for part, tracks in enumerate(([1, 1], [1, 1], [1, 0], [1, 0], [0, 1], [0, 1])):
        np.testing.assert_array_equal(changed[part], [tracks, tracks])


def test_what_lasts_is_the_same_in_each_bar():
    """With the parts by time cut off, all bars are alike."""
    gan = gan_of()
    for layer in gan.generator.layers:
        if isinstance(layer, keras.layers.Dense) and layer.units == 4:
            layer.kernel.assign(tf.zeros_like(layer.kernel))
    made = np.asarray(gan.generator(np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)))
    np.testing.assert_allclose(made[:, 0], made[:, 1], atol=1e-6)
    assert np.abs(made[0] - made[1]).max() > 1e-6


def test_figures_are_those_of_the_samples():
    from kgan.metrics import music
    gan = gan_of()
    samples = kinds.get("notes").examples(gan.fields["notes"], 5)
    found = gan.figures(types.SimpleNamespace(examples=kinds.get("notes").store(samples)), samples)
    assert found["music_distance"] == 0
    assert set(found) == set(gan.measures) and found["tone_span"] == music.tone_span(samples[..., 1] > 0)
    assert np.isnan(found["tonal_distance"])  # one track that is no drum
    assert gan.fields["notes"].more["tracks"] == ["drums", "lead"]


@pytest.mark.parametrize("shape, settings, message", [
    ((2, 8, 12, 3), {}, "tracks=drums.lead: the data have 3 tracks"), ((2, 7, 12, 2), {}, "multiples of 4, not 2×7×12×2"),
    ((2, 8, 12, 2), dict(noise_dim=16), "noise_dim=16: must be a multiple of 6, for 2 tracks")])
def test_what_cannot_be_built(shape, settings, message):
    with pytest.raises(ConfigError, match=message):
        models.build("musegan", shape, {**TINY, **settings})
