import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from battery import Battery

import export.contract
import export.saved_model
import kgan.data
from kgan import kinds, models
from kgan.config import ConfigError
from kgan.draws import Random, step_seed
from kgan.data.measures import MEASURES
from kgan.models import cyclegan
from kgan.pool import Pool

TINY = dict(filters=2, blocks=1, patch="16", pool=4)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def fields(size=12, a=1, b=3):
    return {"input": kinds.Field("image", (size, size, a)), "image": kinds.Field("image", (size, size, b))}


class TestBattery(Battery):
    model = "cyclegan"
    cases = {"10x12": dict(shape=(10, 12, 1), given={"input": kinds.Field("image", (10, 12, 1))},
                          **{**TINY, "pool": 2})}  # which one step fills: what is restored of it is seen in the next

    def test_saved_model_equals_keras(self, gan, shape, tmp_path):
        """Both functions."""
        functions = {name: gan.exported(name) for name in gan.exports()}
        export.saved_model.write(functions, export.contract.interface(gan), tmp_path / "out")
        signatures = tf.saved_model.load(str(tmp_path / "out")).signatures
        a, b = (normal(2, 9, 14, gan.fields[name].shape[-1]) for name in ("input", "image"))
        np.testing.assert_allclose(signatures["serving_default"](input=tf.constant(a))["images"], gan.ema_generator(a), atol=1e-5)
        np.testing.assert_allclose(signatures["inverse"](image=tf.constant(b))["images"], gan.ema_inverse(b), atol=1e-5)


# === The published networks ===

def test_parameters():
    # counted from section 7.2: c7s1-64, d128, d256, nine R256, u128, u64, c7s1-3; no biases but at the end, γ and β everywhere else
    config = cyclegan.Config.of(preset="published")
    kernels = 49 * 3 * 64 + 9 * 64 * 128 + 9 * 128 * 256 + 18 * 9 * 256 * 256 + 9 * 256 * 128 + 9 * 128 * 64 + 49 * 64 * 3 + 3
    norms = 2 * (64 + 128 + 256 + 18 * 256 + 128 + 64)
    shape = 256, 256, 3
    assert cyclegan.generator(shape, shape, config, "input", "generator").count_params() == kernels + norms == 11_383_427
    # six blocks below 256 pixels: as their program's resnet_6blocks
    small = 128, 128, 3
    assert cyclegan.generator(small, small, config, "input", "generator").count_params() == kernels + norms - 6 * (
        9 * 256 * 256 + 2 * 256)
    found = cyclegan.discriminator(shape, config, "image", "discriminator")
    assert found.output_shape == (None, 900)
    assert found.count_params() == 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * (128 + 256 + 512) + 64 + 1


def test_a_generator_looks_over_its_borders_by_reflection():
    layers = [layer for layer in cyclegan.generator((12, 12, 1), (12, 12, 1), cyclegan.Config(**TINY), "input", "g").layers]
    assert [layer.border for layer in layers if hasattr(layer, "border")] == [3, 1, 1, 3]
    x = normal(1, 4, 5, 2)
    np.testing.assert_array_equal(cyclegan.Reflect(2)(x), np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect"))


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (12, 12), (13, 30)])
@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_any_size_comes_back(size, upsampling):
    keras.utils.set_random_seed(1)
    generator = cyclegan.generator((12, 12, 1), (12, 12, 3), cyclegan.Config(upsampling=upsampling, **TINY), "input", "generator")
    x = normal(2, *size, 1)
    made = np.asarray(generator(x))
    assert made.shape == (2, *size, 3) and np.abs(made).max() <= 1
    more = np.pad(x, [(0, 0), *((0, max(side + -side % 4, 8) - side) for side in size), (0, 0)], mode="symmetric")
    np.testing.assert_allclose(made, np.asarray(generator(more))[:, :size[0], :size[1]], atol=1e-6)


@pytest.mark.parametrize("upsampling, grid", [("transpose", True), ("resize", False)])
def test_resized_maps_have_no_checkerboard(upsampling, grid):
    """Of an even image, by kernels whose numbers are all alike: kernels of 3 with stride 2 leave a grid."""
    config = cyclegan.Config(filters=2, upsampling=upsampling)
    network = cyclegan.generator((32, 32, 1), (32, 32, 1), config, "input", "generator")
    network.set_weights([np.full_like(weights, 0.1 if weights.ndim > 1 else 0.2) for weights in network.get_weights()])
    middle = np.asarray(network(np.full((1, 96, 96, 1), 0.3, np.float32)))[0, 40:56, 40:56, 0]
    assert (np.ptp(middle) > 1e-3) == grid


def test_start_of_the_weights():
    config = cyclegan.Config()
    network = cyclegan.generator((28, 28, 1), (28, 28, 1), config, "input", "generator")
    gammas = np.concatenate([weight.numpy() for weight in network.weights if weight.path.endswith("gamma")])
    kernels = np.concatenate([weight.numpy().ravel() for weight in network.weights if weight.path.endswith("kernel")])
    assert abs(gammas.mean() - 1) < 0.01 and 0.015 < gammas.std() < 0.025
    assert abs(kernels.mean()) < 1e-3 and 0.019 < kernels.std() < 0.021


# === The pool ===

def random_of(draws):
    """A kgan.draws.Random whose uniform numbers are these."""
    class Given:
        def uniform(self, *tail):
            return tf.constant(draws, tf.float32)
    return Given()


def test_pool_by_hand():
    pool = Pool(3, (1,))
    def shown(values, draws):
        return np.asarray(pool.exchanged(tf.constant(np.reshape(values, (-1, 1)), tf.float32), random_of(draws))).ravel().tolist()

    # not full: put in and shown, whatever was drawn
    assert shown([1, 2], [[0.9, 0.9], [0.1, 0.1]]) == [1, 2] and pool.count.numpy() == 2
    # 3 fills it; 4 (drawn .2) is shown and forgotten; 5 (drawn .9) takes the place of 3 · .4 = 1, and 2 is shown
    assert shown([3, 4, 5], [[0.9, 0.0], [0.2, 0.9], [0.9, 0.4]]) == [3, 4, 2]
    assert pool.samples.numpy().ravel().tolist() == [1, 5, 3]
    # one that came in the same batch may come out in it: 6 for 1, then 7 for 6
    assert shown([6, 7], [[0.8, 0.1], [0.8, 0.0]]) == [1, 6]
    assert pool.samples.numpy().ravel().tolist() == [7, 5, 3] and pool.count.numpy() == 3


def test_half_of_what_d_sees_is_older():
    def shown(pool, step):
        new = np.arange(8 * step, 8 * step + 8, dtype=np.float32)[:, None]
        return np.asarray(exchanged(pool, tf.constant(new), tf.constant(step))) == new

    def exchanged(pool, new, step):
        return pool.exchanged(new, Random(8, step_seed(3, 4, step, 0), "pool"))

    exchanged = tf.function(exchanged)
    pool, again = Pool(50, (1,)), Pool(50, (1,))
    seen = [shown(pool, step).mean() for step in range(60)]
    assert np.mean(seen[:6]) == 1 and 0.4 < np.mean(seen[7:]) < 0.6
    for step in range(60):  # a function of seed and step
        shown(again, step)
    np.testing.assert_array_equal(again.samples, pool.samples)


# === Training ===

def gan_of(size=12, a=1, b=1, **settings):
    keras.utils.set_random_seed(1)
    gan = models.build("cyclegan", (size, size, b), {"jit_compile": False, **TINY, **settings}, seed=3, fields=fields(size, a, b))
    gan.compile()
    return gan


def test_losses_by_hand():
    gan = gan_of(cycle_weight=7.0, identity_weight=0.25, adversarial_weight=3.0)
    a, b = tf.constant(normal(4, 12, 12, 1)), tf.constant(normal(4, 12, 12, 1, seed=1))
    g, f = (lambda x, network=network: np.asarray(network(x), np.float64) for network in (gan.generator, gan.inverse))
    judged = {name: lambda x, name=name: np.asarray(getattr(gan, name)(x), np.float64)
              for name in ("discriminator", "inverse_discriminator")}
    fake_b, fake_a = g(a), f(b)
    cycle = np.abs(f(fake_b) - a).mean() + np.abs(g(fake_a) - b).mean()
    identity = np.abs(g(b) - b).mean() + np.abs(f(a) - a).mean()
    fooled = ((judged["discriminator"](fake_b) - 1) ** 2).mean() / 2 + ((judged["inverse_discriminator"](fake_a) - 1) ** 2).mean() / 2
    loss, fakes = gan.translation_loss(a, b, training=False)
    assert float(loss) == pytest.approx(3 * fooled + 7 * cycle + 0.25 * 7 * identity, rel=1e-4)
    np.testing.assert_allclose(fakes[0], fake_b, atol=1e-5)
    wanted = sum(((judged[name](real) - 1) ** 2).mean() / 2 + (judged[name](fake) ** 2).mean() / 2
                 for name, real, fake in (("discriminator", b, fake_b), ("inverse_discriminator", a, fake_a)))
    assert float(gan.judging_loss(a, b, *fakes, training=False)) == pytest.approx(wanted, rel=1e-4)


def test_d_sees_what_g_made_before_its_step_or_the_pool():
    gan, seen = gan_of(), []
    a, b = normal(4, 12, 12, 1), normal(4, 12, 12, 1, seed=1)
    before = np.asarray(gan.generator(a))
    original = gan.judging_loss
    gan.judging_loss = lambda a, b, fake_b, fake_a, *rest: seen.append(fake_b) or original(a, b, fake_b, fake_a, *rest)
    gan.run_eagerly = True
    gan.train_step({"input": tf.constant(a), "image": tf.constant(b)})
    np.testing.assert_allclose(seen[0], before, atol=1e-6)
    assert np.abs(gan.generator(a) - before).max() > 0
    np.testing.assert_allclose(gan.pool.samples, before, atol=1e-6)  # it has room for four
    assert gan.pool.count.numpy() == gan.inverse_pool.count.numpy() == 4
    gan.train_step({"input": tf.constant(a), "image": tf.constant(b)})
    kept = [any(np.allclose(one, other, atol=1e-6) for other in before) for one in np.asarray(seen[1])]
    assert 0 < sum(kept) < 4  # with this seed some are old


@pytest.mark.slow
def test_parts_of_a_batch_are_the_batch():
    """Accumulation gives the same step: instance normalisation looks at one example alone."""
    found = []
    for accumulation in (1, 2):
        gan = gan_of(accumulation=accumulation, optimizer="sgd", pool=0, generator_learning_rate=0.1)
        gan.run_eagerly = True
        gan.train_step({"input": tf.constant(normal(4, 12, 12, 1)), "image": tf.constant(normal(4, 12, 12, 1, seed=1))})
        found.append(gan.get_weights())
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_no_identity_between_other_channels():
    with pytest.warns(UserWarning, match="identity_weight=0.5: is left out, for A has 1 channel and B 3"):
        gan = gan_of(b=3)
    assert not gan.keeps and "identity" not in [metric.name for metric in gan.metrics]


@pytest.mark.parametrize("settings, message", [
    (dict(penalty="r1"), "penalty=r1: a model of two generators"), (dict(discriminator_steps=2), "discriminator_steps=2"),
    (dict(noise_dim=3), "noise_dim=3"), (dict(loss="mmd_rbf"), "loss=mmd_rbf: must be one of"), (dict(jitter=1), "below 1")])
def test_wrong_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        cyclegan.Config.of(**settings)


def test_exports_and_columns():
    gan = gan_of(b=3, identity_weight=0.0)
    told = export.contract.interface(gan)["functions"]
    assert list(told) == ["generator", "inverse"]
    assert [each["shape"] for each in told["inverse"]["inputs"] + told["inverse"]["outputs"]] == [[None, None, None, 3], [None, None, None, 1]]
    assert told["inverse"]["inputs"][0]["name"] == "image" and told["inverse"]["inputs"][0]["size"] == [12, 12]
    a, b = normal(3, 12, 12, 1), normal(3, 12, 12, 3)
    columns = [values for _, values in gan.columns({"input": a}, gan.ema_generator(a), b)]
    assert [values.shape[-1] for values in columns] == [1, 3, 1, 3, 1, 3]
    np.testing.assert_allclose(columns[2], gan.ema_inverse(gan.ema_generator(a)), atol=1e-5)
    np.testing.assert_allclose(columns[5], gan.ema_generator(gan.ema_inverse(b)), atol=1e-5)


def test_figures():
    """Of perfect translators, of what they are and how far off; and of what forgets what it got."""
    class Evaluator:
        given = {"input": 0.9 * normal(20, 12, 12, 1)}
        examples = kinds.get("image").store(0.9 * normal(20, 12, 12, 1, seed=1))
        labels, given_labels = np.arange(20) % 2, np.arange(20) % 4 // 2
        network = type("Network", (), {"classes": ("a", "b"), "__call__": lambda self, x: (
            np.asarray(x).reshape(len(x), -1)[:, :3], np.eye(2)[[0] * 5 + [1] * 15])})()
        way_back = network, given["input"].reshape(20, -1)[:, :3]

    gan = gan_of()
    off = 4 * 2 / 255  # four levels of 255, as images are compared
    gan.applied = lambda network, images: -np.asarray(images) if network is gan.ema_inverse else -np.asarray(images) + off
    found = gan.figures(Evaluator, -Evaluator.given["input"] + off)
    assert set(found) == set(gan.measures)
    assert found["cycle_psnr"] == pytest.approx(20 * np.log10(255 / 4), abs=0.01) == pytest.approx(found["cycle_psnr_back"], abs=0.01)
    assert found["label_kept"] == np.mean(np.eye(2)[[0] * 5 + [1] * 15].argmax(1) == Evaluator.given_labels)
    assert found["label_kept_back"] == np.mean(np.eye(2)[[0] * 5 + [1] * 15].argmax(1) == Evaluator.labels)
    Evaluator.network = None
    assert set(gan.figures(Evaluator, -Evaluator.given["input"])) == {"cycle_psnr", "cycle_psnr_back"}


@pytest.mark.slow
def test_learns_to_slant_and_back():
    """Upright digits and slanted ones of other images: each way is more than half of the way, and there and back is what it was."""
    source = kgan.data.source("slants", image_size=28)
    a, b = (kinds.get("image").scale(np.asarray(source.arrays[name][:2_000]).astype("f")) for name in ("input", "image"))
    keras.utils.set_random_seed(1)
    gan = models.build("cyclegan", (28, 28, 1), {"jit_compile": False, "steps": 800}, seed=3)
    gan.compile()
    data = tf.data.Dataset.from_tensor_slices({"input": a, "image": b}).repeat().batch(4, drop_remainder=True)
    gan.fit(data, steps_per_epoch=800, verbose=0)
    there, back = (np.asarray(network(images[:200])) for network, images in ((gan.ema_generator, a), (gan.ema_inverse, b)))
    slant = lambda images: np.mean(MEASURES["slant"](kinds.get("image").store(images)))
    halfway = (slant(a) + slant(b)) / 2
    assert slant(a) < halfway and slant(there) > halfway > slant(back), [slant(each) for each in (a, there, b, back)]
    assert np.abs(np.asarray(gan.ema_inverse(there)) - a[:200]).mean() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cyclegan", "discogan", "pix2pixhd", "motion"])  # styletransfer's step is GAN's own
def test_replicas(model):
    """Two replicas against one: the pools, too, which all fill alike; pix2pixhd's phases; motion's two frames."""
    script = Path(__file__).with_name("both_ways.py")
    done = subprocess.run([sys.executable, script, model], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2 and found["moved"] > 0.01 and found["weights"] < 1e-5 and found["logs"] < 1e-4
    if model == "cyclegan":
        assert found["filled"] == 6 and found["pools"] < 1e-5 and found["exchanged"]
