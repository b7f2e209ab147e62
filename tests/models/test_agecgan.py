import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

from kgan import models
from kgan.config import ConfigError
from kgan.models import agecgan
from kgan.run import Run, restore

TINY = dict(filters=4, noise_dim=6, batch_size=4, encoder_units=8)
CLASSES = "0 to 1", "1 to 2", "2 to 3"


class TestAgeCGAN(Battery):
    model = "agecgan"
    cases = {"grey": dict(shape=(8, 8, 1), condition="label", **TINY),
             "14 colour, three steps of D": dict(shape=(14, 14, 3), condition="label", discriminator_steps=3, **TINY),
             "12x8": dict(shape=(12, 8, 1), condition="label", **TINY),
             "uniform noise, XLA": dict(shape=(8, 8, 1), condition="label", noise="uniform", jit_compile=True, **TINY)}


def built(traced=False, **settings):
    keras.utils.set_random_seed(2)
    gan = models.build("agecgan", (8, 8, 1), {"jit_compile": False, **TINY, **settings}, seed=3, classes=CLASSES)
    gan.compile(run_eagerly=not traced)
    return gan


def data(count=8, batch_size=4):
    random = np.random.default_rng(0)
    fields = {"image": random.uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32), "weight": np.arange(count) % 3}
    return tf.data.Dataset.from_tensor_slices(fields).batch(batch_size, drop_remainder=True)


def test_the_encoder_is_of_the_image_alone():
    gan = built()
    assert gan.encoder.input_shape == (None, 8, 8, 1) and gan.encoder.output_shape == (None, 6)
    assert gan.encoder.layers[-1].activation is keras.activations.linear and gan.encoder.layers[-1].dtype == "float32"
    # its maps are D's
    maps, of_d = ([layer.filters for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
                  for network in (gan.encoder, gan.discriminator))
    assert maps == of_d == [4]


def test_the_condition_is_stroke_weight_in_six_parts():
    config = agecgan.Config()
    assert (config.condition, config.bins, config.dataset) == ("weight", 6, "glyphs")
    with pytest.raises(ConfigError, match="condition"):
        agecgan.Config.of(condition="")
    published = agecgan.Config.of(preset="published")
    assert (published.generator_learning_rate, published.discriminator_learning_rate, published.beta_1) == (2e-4, 2e-4, 0.5)


def test_the_loss_of_e_by_hand():
    """One step: the mean squared error of the noise of the averaged generator's samples, before E's update."""
    gan = built(generator_learning_rate=1e-9, discriminator_learning_rate=1e-9)
    before = [weight.numpy().copy() for weight in gan.encoder.trainable_variables]
    statistics = [weight.numpy().copy() for weight in gan.encoder.non_trainable_variables]
    row = gan.train_step(next(iter(data())))
    noise, label = gan.noise(4, stream=agecgan.ENCODER), np.arange(4) % 3  # the generator's step counts by now, as it did
    found, trained = gan.make(noise, label), [weight.numpy().copy() for weight in gan.encoder.trainable_variables]
    assert all(not np.array_equal(old, new) for old, new in zip(before, trained))
    for variable, value in zip([*gan.encoder.trainable_variables, *gan.encoder.non_trainable_variables], before + statistics):
        variable.assign(value)
    wanted = np.mean((np.asarray(gan.encoder(found, training=True)) - noise) ** 2)
    assert float(row["encoder_loss"]) == pytest.approx(wanted, rel=1e-4)


def test_e_changes_nothing_of_g_and_d():
    """The same run without E, which is cgan's: the same weights, bit for bit."""
    gan, plain = built(), None
    weights = gan.generator.get_weights(), gan.discriminator.get_weights()
    plain = models.build("cgan", (8, 8, 1), {"jit_compile": False, "filters": 4, "noise_dim": 6, "batch_size": 4,
                                             "condition": "weight"}, seed=3, classes=CLASSES)
    plain.generator.set_weights(weights[0]), plain.ema_generator.set_weights(weights[0])
    plain.discriminator.set_weights(weights[1])
    plain.compile(run_eagerly=True)
    for each in (gan, plain):
        each.fit(data(), epochs=2, verbose=0, shuffle=False)
    for of_e, of_none in ((gan.generator, plain.generator), (gan.discriminator, plain.discriminator),
                          (gan.ema_generator, plain.ema_generator)):
        for one, other in zip(of_e.get_weights(), of_none.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_e_learns():
    """Of a generator that stands still and shows its noise, E finds the noise."""
    gan = built(generator_learning_rate=1e-9, discriminator_learning_rate=1e-9, encoder_learning_rate=3e-3, noise_dim=3,
                encoder_units=64, filters=16, discriminator_normalization="none", traced=True)
    for network in (gan.generator, gan.ema_generator):
        # initial weights of .02 leave grey images
        network.set_weights([8 * weight if weight.ndim > 1 else weight for weight in network.get_weights()])
    before = gan.fit(data(256, 64), verbose=0).history["encoder_loss"][0]
    after = gan.fit(data(256, 64), epochs=40, verbose=0).history["encoder_loss"][-1]
    assert 0.7 < before < 1.3 and after < 0.35, (before, after)


def test_checkpoints_have_all_of_e(tmp_path):
    gan = built()
    gan.fit(data(), verbose=0, shuffle=False)
    run = Run(tmp_path)
    run.begin({"config": {}})
    run.save(gan, 2)
    gan.fit(data(), verbose=0, shuffle=False)
    other = built()
    restore(other, run.newest()[1])
    other.reset_metrics()
    gan_variables, names = [v.numpy().copy() for v in gan.state()], [v.path for v in gan.state()]
    other.fit(data(), verbose=0, shuffle=False)
    assert len({id(v) for v in gan.state()}) == len(names)
    assert {id(v) for v in [*gan.encoder.variables, *gan.encoder_optimizer.variables]} < {id(v) for v in gan.state()}
    for name, one, two in zip(names, gan_variables, other.state(), strict=True):
        np.testing.assert_array_equal(one, two, err_msg=name)


def test_a_keras_file(tmp_path):
    gan = built()
    gan.fit(data(), verbose=0)
    gan.save(tmp_path / "gan.keras")
    other = keras.models.load_model(tmp_path / "gan.keras")
    assert isinstance(other, agecgan.AgeCGAN) and other.config == gan.config and other.classes == CLASSES
    images = gan.generate(3)
    np.testing.assert_array_equal(other.generate(3), images)
    np.testing.assert_array_equal(other.encoder(images), gan.encoder(images))


@pytest.mark.slow
def test_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        gan = built()
        assert isinstance(gan.encoder_optimizer, keras.optimizers.LossScaleOptimizer)
        history = gan.fit(data(), epochs=2, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
