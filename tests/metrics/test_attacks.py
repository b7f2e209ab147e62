"""FGSM and PGD beside the Adversarial Robustness Toolbox, and what is measured by hand."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import kinds
from kgan.metrics import attacks


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="tanh"), keras.layers.Flatten(),
                             keras.layers.Dense(5)])


def images(count=20):
    return kinds.get("image").examples(kinds.Field("image", (8, 8, 1)), count)


@pytest.mark.parametrize("target", [None, 3])
def test_a_linear_classifier_by_hand(target):
    weights = np.random.default_rng(0).normal(0, 0.1, (64, 5)).astype(np.float32)
    x, labels = images(), np.arange(20) % 5
    aim, sign = np.eye(5)[labels if target is None else np.full(20, target)], 1 if target is None else -1

    def steps(count, step):
        now = x.reshape(20, 64).astype(np.float64)
        for _ in range(count):
            scores = np.exp(now @ weights)
            slope = (scores / scores.sum(1, keepdims=True) - aim) @ weights.T
            now = np.clip(now + sign * 2 * step * np.sign(slope), np.maximum(x.reshape(20, 64) - 0.2, -1),
                          np.minimum(x.reshape(20, 64) + 0.2, 1))
        return now.reshape(x.shape)

    classifier = lambda x: tf.reshape(x, [-1, 64]) @ weights
    np.testing.assert_allclose(attacks.fgsm(classifier, x, labels, 0.1, target), steps(1, 0.1), atol=1e-6)
    made = attacks.pgd(classifier, x, labels, 0.1, 4, 0.04, start=False, target=target)
    np.testing.assert_allclose(made, steps(4, 0.04), atol=1e-5)


@pytest.mark.slow  # the toolbox takes five seconds to be imported
@pytest.mark.parametrize("target", [None, 3])
def test_as_the_toolbox_has_them(network, target):
    evasion = pytest.importorskip("art.attacks.evasion")
    from art.estimators.classification import TensorFlowV2Classifier
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    yardstick = TensorFlowV2Classifier(model=lambda x, training=False: network(2 * x - 1), nb_classes=5, input_shape=(8, 8, 1),
                                       loss_object=lambda y, p: loss(tf.argmax(y, -1) if len(y.shape) > 1 else y, p),
                                       clip_values=(0, 1))
    x, labels = images(), np.arange(20) % 5
    aim = np.eye(5)[labels if target is None else np.full(20, target)]
    fgsm = evasion.FastGradientMethod(yardstick, eps=0.1, targeted=target is not None).generate((x + 1) / 2, aim)
    np.testing.assert_allclose((attacks.fgsm(network, x, labels, 0.1, target) + 1) / 2, fgsm, atol=1e-5)
    pgd = evasion.ProjectedGradientDescent(yardstick, eps=0.1, eps_step=0.02, max_iter=15, num_random_init=0, verbose=False,
                                           targeted=target is not None).generate((x + 1) / 2, aim)
    mine = (attacks.pgd(network, x, labels, 0.1, 15, 0.02, start=False, target=target) + 1) / 2
    # the sign of a gradient near 0 may differ by rounding
    assert (np.abs(mine - pgd) > 1e-5).mean() < 0.01


def test_bounds_and_seeds(network):
    x, labels = images(), np.zeros(20, int)
    one, same, other = (attacks.pgd(network, x, labels, 0.05, 3, 0.02, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    for made in (one, attacks.fgsm(network, x, labels, 0.05), attacks.noise(x, 0.05)):
        assert np.abs(made).max() <= 1 and np.abs(made - x).max() == pytest.approx(0.1, abs=1e-6)


def test_measures_by_hand():
    # logits are the first two pixels: the class is which of them is brighter
    classifier = lambda x: tf.reshape(x, [-1, 4])[:, :2]
    level = 2 / 255
    x = np.zeros((4, 2, 2, 1), np.float32) + kinds.get("image").scale(np.float32(100))
    x[:, 0, 0, 0] += 10 * level  # all of class 0
    changed = x.copy()
    changed[0, 0, 1, 0] += 20 * level  # becomes 1
    changed[1, 1, 1, 0] += 3 * level  # stays 0
    changed[2, 0, 1, 0] += 10.4 * level  # as a file holds it a draw, which is 0
    found = attacks.measure(classifier, x, changed, [0, 0, 0, 1])
    assert found["success"] == pytest.approx(1 / 3)  # of the three that were right before
    assert found["accuracy_before"] == 0.75 and found["accuracy_after"] == 0.5
    assert found["change_l2"] == found["change_linf"] == pytest.approx((20 + 3 + 10 + 0) / 4 / 255, rel=1e-4)
    assert attacks.measure(classifier, x, changed, [0, 0, 0, 1], target=1)["success"] == pytest.approx(1 / 3)
    assert np.isnan(attacks.measure(classifier, x, changed, [0, 0, 0, 0], target=0)["success"])
