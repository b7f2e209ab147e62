"""Ways through the space of noise, and truncation. kgan.latent and kgan.gan.truncate are the same for training's side."""
import numpy as np


def between(a, b, t, uniform):
    """Noise on the way from a to b.

    Normal noise lies near a sphere: it goes along it (Shoemake 1985; White 2016, arXiv:1609.04468), and straight where
    a and b point the same way or opposite ways. Uniform noise goes straight, which does not leave its cube.

    Args:
        a, b: float arrays [D].
        t: floats [n] from 0 to 1.
        uniform: bool.

    Returns:
        float32 array [n, D].
    """
    a, b, t = np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(t, np.float64)[:, None]
    u, v = (x / max(np.linalg.norm(x), 1e-300) for x in (a, b))
    # the arc cosine of u·v would lose half of the digits of small angles
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    if uniform or np.sin(angle) < 1e-6:
        return (a + t * (b - a)).astype(np.float32)
    return ((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)).astype(np.float32)


def along(noise, directions, steps, uniform):
    """Noise [n, D], moved by `steps` [k] along the first k of `directions` [K, D]; uniform noise stays in [-1, 1]."""
    moved = noise + np.asarray(steps, np.float32) @ directions[:len(steps)]
    return (np.clip(moved, -1, 1) if uniform else moved).astype(np.float32)


def truncate(noise, bound):
    """Normal noise [n, D], each number moved to its place in the normal distribution that is cut at ± bound; float32.

    The truncation trick of Brock et al. 2018 (BigGAN), by quantiles instead of drawing anew: with q = Φ(-|z|) and
    T = Φ(-bound) it is |z'| = -Φ⁻¹(T + q (1 - 2T)), so nothing jumps as the bound changes.
    """
    import tensorflow as tf
    q, least = (0.5 * tf.math.erfc(tf.constant(np.abs(x), tf.float64) / 2**0.5) for x in (noise, bound))
    return (-np.sign(noise) * tf.math.ndtri(least + q * (1 - 2 * least)).numpy()).clip(-bound, bound).astype(np.float32)
