"""Differentiable augmentation: D sees real and fake images only augmented, so that few images last longer.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (DiffAugment), arXiv:2006.10738: color,
translation, cutout. Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (ADA),
arXiv:2006.06676: flip, rotate90, each policy applied with a probability p, and p adapted to how far D overfits.

A policy is a function (images, uniform) -> images of float32 tensors [n, H, W, C], nominally in [-1, 1] (color leaves
that range, as in the paper), H and W known. All randomness is the caller's: each call `uniform(*tail)` returns
a new float32 tensor [n, *tail] of U[0, 1). Adding a policy: write the function, name it in POLICIES.
"""
import tensorflow as tf

from kgan.config import ConfigError, nearest


def augment(images, policies, uniform, probability=1.0):
    """Images changed by each of `policies` in turn.

    Differentiable with respect to the images, twice too. No shape depends on data, nor the number of draws on the
    probability.

    Args:
        images: float tensor [n, H, W, C] in [-1, 1]; computed in float32, returned in its own dtype.
        policies: names in POLICIES, applied in this order.
        uniform: function (*tail) -> float32 [n, *tail] of U[0, 1), new numbers at each call.
        probability: that a policy is applied, to each example by itself; float or scalar tensor.

    Returns:
        tensor like `images`.

    Raises:
        ValueError: no policy has that name; ConfigError: rotate90 is asked for images that are not square.
    """
    check(policies, images.shape[1:])
    changed = tf.cast(images, tf.float32)
    for name in policies:
        chosen = uniform() < tf.cast(probability, tf.float32)
        changed = tf.where(_per_example(chosen), POLICIES[name](changed, uniform), changed)
    return tf.cast(changed, images.dtype)


def check(policies, shape):
    """Raises as `augment` unless all of `policies` are names and can be applied to images of `shape` (H, W, C)."""
    for name in policies:
        if name not in POLICIES:
            raise ValueError(f"no augmentation is named {name!r}{nearest(str(name), POLICIES)}; "
                             f"there are: {', '.join(POLICIES)}")
        if name == "rotate90" and shape[0] != shape[1]:
            raise ConfigError(f"augment: rotate90 needs square images; these are {shape[0]}x{shape[1]}")


def adapt(probability, sign, target, images, length=500_000):
    """The next p: Karras et al. 2020, section 3.1. Up while D overfits, down while it does not.

    Args:
        probability: p so far, float scalar in [0, 1].
        sign: r_t = E[sign D(x)] over real training images, in [-1, 1], the mean over the last few batches.
        target: the r_t to keep; the paper's is .6.
        images: real images seen since p was last changed.
        length: images in which p can go from 0 to 1.

    Returns:
        float32 scalar tensor in [0, 1].
    """
    probability, sign = tf.cast(probability, tf.float32), tf.cast(sign, tf.float32)
    amount = tf.cast(images, tf.float32) / float(length)
    return tf.clip_by_value(probability + tf.sign(sign - target) * amount, 0.0, 1.0)


# === Policies ===

def flip(images, uniform):
    """Left and right change places in one half of the examples."""
    return tf.where(_per_example(uniform() < 0.5), images[:, :, ::-1], images)


def rotate90(images, uniform):
    """Turned anticlockwise by 0, 90, 180 or 270 degrees; square images."""
    turns = _integers(uniform(), 4)
    images = tf.where(_per_example(turns % 2 == 1), _transposed(images)[:, ::-1], images)
    return tf.where(_per_example(turns >= 2), images[:, ::-1, ::-1], images)


@tf.custom_gradient
def _transposed(images):
    # TensorFlow's own gradient of it is one that XLA cannot compile inside the condition of a lazy penalty
    return tf.transpose(images, [0, 2, 1, 3]), _transposed


def color(images, uniform):
    """Brightness, saturation, contrast: Zhao et al. 2020 and their code.

    + U(-.5, .5), then × U(0, 2) about the pixel's mean, then × U(.5, 1.5) about the image's mean.
    Saturation does nothing to images of one channel.
    """
    images = images + _per_example(uniform() - 0.5)
    grey = tf.reduce_mean(images, -1, keepdims=True)
    images = grey + (images - grey) * _per_example(2 * uniform())
    mean = tf.reduce_mean(images, [1, 2, 3], keepdims=True)
    return mean + (images - mean) * _per_example(uniform() + 0.5)


def translation(images, uniform):
    """Shifted by whole pixels, at most an eighth of the size either way; what comes in is 0, mid-grey."""
    reach = [int(size / 8 + 0.5) for size in images.shape[1:3]]
    down, right = (_integers(uniform(), 2 * most + 1) - most for most in reach)
    return _shift(images, down, right)


def cutout(images, uniform):
    """A square of half the size becomes 0, mid-grey. Its middle is anywhere, so some of it may lie outside."""
    inside = []
    for size in images.shape[1:3]:
        side = int(size / 2 + 0.5)
        first = _integers(uniform(), size + 1 - side % 2) - side // 2
        places = tf.range(size)[None] - first[:, None]
        inside.append((places >= 0) & (places < side))
    rows, columns = inside
    return tf.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.0, images)


POLICIES = {"flip": flip, "rotate90": rotate90, "color": color, "translation": translation, "cutout": cutout}


# === The parts they are built from ===

@tf.custom_gradient
def _shift(images, down, right):
    """images [n, H, W, C] moved by int32 [n] rows and columns, 0 where nothing comes from.

    The gradient of a gather is a scatter, slow in XLA on a CPU and in no fixed order on a GPU. That of a shift is the
    shift back.
    """
    _, height, width, channels = images.shape
    rows, columns = tf.range(height)[None] - down[:, None], tf.range(width)[None] - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = tf.clip_by_value(rows, 0, height - 1), tf.clip_by_value(columns, 0, width - 1)
    places = tf.reshape(rows[:, :, None] * width + columns[:, None, :], [-1, height * width])
    moved = tf.gather(tf.reshape(images, [-1, height * width, channels]), places, axis=1, batch_dims=1)
    moved = tf.where(inside[..., None], tf.reshape(moved, [-1, height, width, channels]), 0.0)
    return moved, lambda gradient: (_shift(gradient, -down, -right), None, None)


def _per_example(values):
    """[n] -> [n, 1, 1, 1]."""
    return values[:, None, None, None]


def _integers(uniform, count):
    """U[0, 1) float32 -> int32 in 0 … count - 1, all alike."""
    # the largest float32 below 1, times count, may round to count
    return tf.minimum(tf.cast(uniform * count, tf.int32), count - 1)
