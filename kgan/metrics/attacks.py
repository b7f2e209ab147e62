"""Attacks that follow the classifier's gradient, beside which AdvGAN is measured; and what an attack is measured by.

Goodfellow, Shlens, Szegedy 2015, "Explaining and Harnessing Adversarial Examples", arXiv:1412.6572 (FGSM); Madry et al. 2018,
"Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv:1706.06083 (PGD). tests/metrics/test_attacks.py compares
both with the Adversarial Robustness Toolbox.

Images are float32 [n, H, W, C] in [-1, 1]; ε, the step and the norms are of images in [0, 1], as papers have them.
"""
import numpy as np
import tensorflow as tf

from kgan.kinds.image import scale, store

BATCH = 250


def fgsm(classifier, images, labels, epsilon, target=None):
    """One step of ε along the sign of the gradient of the cross-entropy.

    Args:
        classifier: function of images in [-1, 1] to logits [n, K].
        images, labels: what is to be changed, and int [n], what it is.
        epsilon: the bound of each pixel's change, of images in [0, 1].
        target: a class; the step is then towards it. None: away from the label.

    Returns:
        float32 numpy array like `images`.
    """
    return pgd(classifier, images, labels, epsilon, steps=1, step=epsilon, start=False, target=target)


def pgd(classifier, images, labels, epsilon, steps=40, step=0.01, start=True, seed=0, target=None):
    """Projected gradient descent: `steps` steps of `step` along the sign, each time cut to ± ε and to the range.

    Args: as for `fgsm`, and
        start: whether it begins at a random point within ε.
        seed: of that.
    """
    sign = 1.0 if target is None else -1.0
    step, epsilon = 2 * step, 2 * epsilon

    @tf.function(reduce_retracing=True)
    def attack(x, low, high, label):
        def once(i, now):
            with tf.GradientTape() as tape:
                tape.watch(now)
                loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(label, classifier(now)))
            return i + 1, tf.clip_by_value(now + sign * step * tf.sign(tape.gradient(loss, now)), low, high)
        return tf.while_loop(lambda i, _: i < steps, once, (0, x))[1]

    rng, made = np.random.default_rng(seed), []
    for i in range(0, len(images), BATCH):
        x = np.asarray(images[i:i + BATCH], np.float32)
        low, high = np.maximum(x - epsilon, -1), np.minimum(x + epsilon, 1)
        begin = np.clip(x + rng.uniform(-epsilon, epsilon, x.shape), low, high).astype(np.float32) if start else x
        label = np.asarray(labels[i:i + BATCH]) if target is None else np.full(len(x), target)
        made.append(np.asarray(attack(*map(tf.constant, (begin, low, high)), tf.constant(label.astype(np.int32)))))
    return np.concatenate(made)


def noise(images, epsilon, seed=0):
    """What costs nothing: each pixel ± ε at random, cut to the range."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], images.shape)
    return np.clip(images + 2 * epsilon * signs, -1, 1).astype(np.float32)


def measure(classifier, images, changed, labels, target=None):
    """What an attack has done, on the changed images as files of 8 bits would hold them.

    Args:
        classifier: function of images in [-1, 1] to logits [n, K].
        images, changed: before and after.
        labels: int [n].
        target: the class that was aimed at, or None.

    Returns:
        dict of `success`, the share of those classified right before (and not of the target class) that are wrong now, or of a
        target taken for it, NaN where there are none; `accuracy_before`, `accuracy_after`; `change_l2`, `change_linf`, means.
    """
    from kgan.classifiers import verdicts
    labels, rounded = np.asarray(labels), scale(store(changed).astype(np.float32))
    before, after = (verdicts(classifier, np.asarray(each, np.float32)).argmax(1) for each in (images, rounded))
    right = before == labels
    counted = right if target is None else right & (labels != target)
    hit = after != labels if target is None else after == target
    change = np.abs(rounded.astype(np.float64) - images).reshape(len(labels), -1) / 2
    return {"success": float(hit[counted].mean()) if counted.any() else float("nan"),
            "accuracy_before": float(right.mean()), "accuracy_after": float((after == labels).mean()),
            "change_l2": float(np.sqrt((change ** 2).sum(1)).mean()), "change_linf": float(change.max(1).mean())}
