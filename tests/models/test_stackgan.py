import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery
from test_gancls import CAPTION

from kgan import kinds, models
from kgan.config import ConfigError

TINY = dict(filters=2, noise_dim=7, condition_dim=2, word_dim=3, text_dim=4, blocks=1)


def batch(count=4, size=16):
    examples = kinds.get("tokens").examples
    return {"image": np.random.default_rng(0).uniform(-1, 1, (count, size, size, 3)).astype("f"),
            "caption": examples(CAPTION, count, 1), "mismatch": examples(CAPTION, count, 2)}


def build(**settings):
    keras.utils.set_random_seed(1)
    gan = models.build("stackgan", (16, 16, 3), {**TINY, **settings}, seed=3,
                       fields={"caption": CAPTION, "image": kinds.Field("image", (16, 16, 3))})
    gan.compile(run_eagerly=True)
    return gan


class TestBattery(Battery):
    """Of what is trained in the second stage alone: in the first the others are looked at below."""
    model = "stackgan"
    cases = {"16": dict(shape=(16, 16, 3), given={"caption": CAPTION}, **TINY)}

    def batch(self, shape, count, gan=None):
        return super().batch(shape, count, gan) | {"mismatch": kinds.get("tokens").examples(CAPTION, count, 2)}

    def train(self, gan, shape):
        pytest.skip("each stage trains networks of its own: see below")


def moved(gan, step):
    """The layers and networks that a step has changed."""
    parts = {**{layer.name: layer for layer in gan.generator.layers if layer.weights},
             "discriminator": gan.discriminator, "sketch_discriminator": gan.sketch_discriminator}
    before = {name: [np.array(weight) for weight in part.get_weights()] for name, part in parts.items()}
    step(batch())
    return {name for name, part in parts.items() if any((new != old).any() for new, old in zip(part.get_weights(), before[name]))}


def test_each_stage_trains_its_own():
    gan = build(sketching=1, steps=2)
    assert [gan.phase_of(step) for step in (0, 1)] == ["sketch", "adversarial"]
    assert moved(gan, gan.train_on_batch) == {"text", "condition", "sketch", "sketch_discriminator"}
    assert moved(gan, gan.train_on_batch) == {"condition_again", "images", "discriminator"}
    assert gan.step == 2 and np.isfinite(gan.generate(2, given={"caption": batch()["caption"][:2]})).all()


def test_the_first_stage_hands_its_average_on():
    gan = build(sketching=2, steps=3)
    apart = []
    for _ in range(2):
        gan.train_on_batch(batch())
        apart.append(max(np.abs(one - other).max() for one, other in zip(gan.generator.get_weights(), gan.ema_generator.get_weights())))
    assert apart[0] > 1e-4 and apart[1] == 0


def test_the_second_stage_starts_as_the_enlarged_sketch():
    gan = build()
    noise, caption = gan.latents(3), batch()["caption"][:3]
    whole = np.asarray(gan.make(noise, {"caption": caption}, gan.ema_generator))
    gan._sketching = True
    sketch, divergence = gan.staged(noise, caption)
    gan._sketching = None
    assert sketch.shape == (3, 8, 8, 3) and divergence.shape == (3,)
    np.testing.assert_allclose(whole, 0.99 * np.asarray(sketch).repeat(2, 1).repeat(2, 2), atol=0.02)
    np.testing.assert_allclose(gan.sketches(3, caption), sketch, atol=1e-6)


def test_the_stages_together_are_the_generator():
    gan = build()
    gan.generator.set_weights([weight + np.float32(0.1) for weight in gan.generator.get_weights()])
    noise, caption = gan.latents(3), batch()["caption"][:3]
    gan._sketching = False
    staged = gan.staged(noise, caption)[0]
    np.testing.assert_allclose(staged, gan.generator({"noise": noise, "caption": tf.constant(caption)}), atol=1e-6)


def test_the_divergence_by_hand():
    gan = build()
    layer = gan.generator.get_layer("condition")
    text, noise = tf.constant([[1.0, -2, 0, 3]]), tf.constant([[0.5, -1]])
    weights = [weight.numpy() for weight in layer.trainable_variables]
    mean = text.numpy() @ weights[0] + weights[1]
    mean = np.where(mean > 0, mean, 0.2 * mean)
    known, divergence = layer([text, noise])
    np.testing.assert_allclose(known, mean + np.exp(-1) * noise.numpy(), rtol=1e-5)
    # KL(N(μ, σ) || N(0, 1)) = (σ² + μ² - 1) / 2 - log σ, σ = 1/e, the mean over the two
    np.testing.assert_allclose(divergence, ((np.exp(-2) + mean**2 - 1) / 2 + 1).mean(), rtol=1e-5)


@pytest.mark.parametrize("settings, message", [
    (dict(ratio=3), "ratio=3"), (dict(noise_dim=4), "two times condition_dim=2"), (dict(interpolation=0.5), "is gancls's"),
    (dict(ratio=4), "from 32 on, not 16×16×3")])
def test_what_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)
