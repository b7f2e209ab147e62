"""Measures of quality. NumPy alone until a feature network is needed.

    from kgan import metrics
    metrics.frechet_distance(real_features, fake_features)
    metrics.Evaluator({"dataset": "glyphs"}).figures(gan.generate(10_000))

`python -m kgan.metrics runs/NAME` measures a run, `python -m kgan.metrics.probe runs/NAME` what its discriminator has learned.
"""
from kgan.metrics.classes import per_class, score, shares
from kgan.metrics.frechet import Moments, frechet_distance
from kgan.metrics.kernel import kernel_distance
from kgan.metrics.neighbors import manifold, nearest
from kgan.metrics.sliced import sliced_wasserstein
from kgan.metrics.smoothness import path_length

__all__ = ["Evaluator", "Moments", "frechet_distance", "kernel_distance", "manifold", "nearest", "path_length", "per_class",
           "score", "shares", "sliced_wasserstein"]


def __dir__():
    return __all__


def __getattr__(name):
    if name == "Evaluator":  # which imports TensorFlow
        from kgan.metrics.evaluate import Evaluator
        return Evaluator
    raise AttributeError(f"module 'kgan.metrics' has no attribute {name!r}")
