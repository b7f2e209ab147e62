"""Noise: float32 [D] of N(0, 1) ("normal") or U(-1, 1) ("uniform"), and the ways through its space."""
import numpy as np

FIELD = "noise"
SUFFIXES = ()


def examples(field, count, seed=0):
    rng = np.random.default_rng(seed)
    draw = rng.standard_normal if field.more.get("distribution", "normal") == "normal" else lambda size: rng.uniform(-1, 1, size)
    return draw((count, *field.shape)).astype(np.float32)


def slerp(a, b, t):
    """Spherical linear interpolation: at an even pace along the great circle from a to b.

    Shoemake 1985, "Animating Rotation with Quaternion Curves"; White 2016, "Sampling Generative Networks",
    arXiv:1609.04468: normal noise lies near a sphere, which a straight line leaves. The angle is that between the
    directions; where the lengths differ, they are blended with the same weights.

    Args:
        a, b: arrays [..., D].
        t: array [...] or a number: 0 gives a, 1 gives b.

    Returns:
        array [..., D] of the floating type of a and b. Linear where there is no one great circle: where the directions
        are the same or opposite, or a or b is 0.
    """
    a, b = np.asarray(a), np.asarray(b)
    kind = np.result_type(a, b, np.float32)
    a, b, t = a.astype(np.float64), b.astype(np.float64), np.asarray(t, np.float64)[..., None]
    u, v = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300) for x in (a, b))
    # the arc cosine of u·v would lose half of the digits of small angles
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1, keepdims=True), np.linalg.norm(u + v, axis=-1, keepdims=True))
    sine = np.sin(angle)
    flat = (sine < 1e-6) | ~a.any(-1, keepdims=True) | ~b.any(-1, keepdims=True)
    sine = np.where(flat, 1.0, sine)
    first = np.where(flat, 1 - t, np.sin((1 - t) * angle) / sine)
    last = np.where(flat, t, np.sin(t * angle) / sine)
    return (first * a + last * b).astype(kind)


def lerp(a, b, t):
    """Linear interpolation, arguments and result as for `slerp`."""
    a, b = np.asarray(a), np.asarray(b)
    return (a + np.asarray(t)[..., None] * (b - a)).astype(np.result_type(a, b, np.float32))


def way(distribution):
    """The interpolation for noise of a distribution: normal noise goes along the sphere; uniform noise goes straight, for
    all of a straight line between two points of a cube lies in it, and is as likely as they are."""
    return slerp if distribution == "normal" else lerp


def along(noise, directions, steps, distribution):
    """Noise [n, D], moved by `steps` [k] along the first k of `directions` [K, D]; uniform noise stays in [-1, 1]."""
    moved = noise + np.asarray(steps, np.float32) @ directions[:len(steps)]
    return (moved if distribution == "normal" else np.clip(moved, -1, 1)).astype(np.float32)


def truncate(noise, bound):
    """Normal noise, moved to its place in the normal distribution that is cut at ± bound: the truncation trick.

    Brock et al. 2018 (BigGAN), section 3.1, draw anew what lies outside. This is the same distribution, by way of its
    quantiles: with q = Φ(-|z|) and T = Φ(-bound) it is |z'| = -Φ⁻¹(T + q (1 - 2T)), a monotone map of each number, so that a
    sample changes smoothly with the bound.

    Args:
        noise: float array [..., D], of N(0, 1).
        bound: above 0; the smaller, the more usual and the less varied samples are.

    Returns:
        NumPy array of the same shape and type.
    """
    import tensorflow as tf  # which has the quantiles; nothing else here needs it

    if not bound > 0:
        raise ValueError(f"truncation={bound}: must be above 0")
    noise = np.asarray(noise)
    # by tails, for 1 - tail would lose the digits of far ones
    tail, least = (0.5 * tf.math.erfc(tf.constant(np.abs(x), tf.float64) / 2**0.5) for x in (noise, bound))
    found = -np.sign(noise) * tf.math.ndtri(least + tail * (1 - 2 * least)).numpy()
    return found.clip(-bound, bound).astype(noise.dtype)
