"""Perceptual path length: how suddenly a generator's samples change along a path through its latent space.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks"
(https://arxiv.org/abs/1812.04948), section 4.1, in Z and on whole paths.
"""
import numpy as np

from kgan.kinds.noise import slerp


def path_length(generate, features, latents_a, latents_b, epsilon=1e-4, seed=0, batch=64, between=slerp):
    """E ‖f(G(slerp(a, b, t))) − f(G(slerp(a, b, t + ε)))‖² / ε², t ~ U(0, 1), without both tails.

    A generator of float32 adds its rounding to f: about (1e-7 ‖f‖ / ε)², nothing beside changes that can be seen.

    Values outside the 1st and the 99th percentile are left out, as in the authors' measurements. The paper's f are
    layers of VGG, so its numbers compare with no others.

    Args:
        generate: function of latents, float32 [n, Z], to samples [n, ...].
        features: function of those samples to feature vectors [n, D].
        latents_a, latents_b: ends of the paths, [N, Z] both.
        epsilon: the step, in t.
        seed: of t.
        batch: paths at a time; generate gets twice as many latents, both ends of the steps.
        between: function of (a, b, t), t [n], to latents; for uniform noise kgan.kinds.noise.lerp, as it fills a cube.

    Returns:
        (mean, standard_error), floats. The error is Tukey & McLaughlin's for trimmed means: the deviation of all
        values, those outside moved to the percentiles, over √N times the share of those inside.

    Raises:
        ValueError: latents of differing shapes, fewer than 2, or features that are not finite.
    """
    latents_a, latents_b = np.asarray(latents_a), np.asarray(latents_b)
    if latents_a.shape != latents_b.shape or latents_a.ndim != 2:
        raise ValueError(f"latents must be [N, Z] twice, not of shapes {latents_a.shape} and {latents_b.shape}")
    count = len(latents_a)
    if count < 2:
        raise ValueError(f"a path length needs at least 2 paths, got {count}")
    times = np.random.default_rng(seed).random(count)
    values = np.empty(count)
    for start in range(0, count, batch):
        rows = slice(start, min(start + batch, count))
        # in float64 up to the generator: of a step of 1e-4 float32 would keep three digits
        a, b, t = latents_a[rows].astype(np.float64), latents_b[rows].astype(np.float64), times[rows]
        latents = np.concatenate([between(a, b, t), between(a, b, t + epsilon)]).astype(np.float32)
        found = np.asarray(features(generate(latents)), np.float64).reshape(2, len(a), -1)
        values[rows] = np.sum((found[0] - found[1]) ** 2, -1) / epsilon ** 2
    if not np.isfinite(values).all():
        raise ValueError("features have values that are not finite")
    low, high = np.percentile(values, 1, method="lower"), np.percentile(values, 99, method="higher")
    kept = values[(values >= low) & (values <= high)]
    error = np.clip(values, low, high).std(ddof=1) * np.sqrt(count) / len(kept)
    return float(kept.mean()), float(error)
