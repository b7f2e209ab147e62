"""The Fréchet distance between two sets of feature vectors, each taken for Gaussian: FID, if Inception made them.

Sources: Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions", equation 4; Heusel et
al. 2017, "GANs Trained by a Two Time-Scale Update Rule" (https://arxiv.org/abs/1706.08500), equation 6; Chan, Golub &
LeVeque 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", for the moments.
"""
import numpy as np


class Moments:
    """Mean and covariance of feature vectors that come in batches.

    Sums are float64; memory is that of two matrices [D, D] and one batch, however many vectors there are.

    Attributes:
        count: how many vectors were added.
        mean: float64 [D]; None as long as there are none.
    """

    def __init__(self):
        self.count, self.mean, self._scatter = 0, None, None

    @classmethod
    def of(cls, features, batch=1024):
        """The Moments of an array [N, D], added `batch` rows at a time."""
        moments = cls()
        for start in range(0, len(features), batch):
            moments.add(features[start:start + batch])
        return moments

    def add(self, features):
        """Takes a batch in: any real dtype [n, D].

        Raises:
            ValueError: the batch has no two axes, another D than those before, or values that are not finite.
        """
        features = np.asarray(features)
        if features.ndim != 2:
            raise ValueError(f"features must be [n, D], not of shape {features.shape}")
        if self.count and features.shape[1] != len(self.mean):
            raise ValueError(f"features have {features.shape[1]} dimensions, those before had {len(self.mean)}")
        count = len(features)
        if not count:
            return
        mean = features.mean(0, dtype=np.float64)
        if not np.isfinite(mean).all():
            raise ValueError("features have values that are not finite")
        if not self.count:
            self.mean, self._scatter = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
        total, shift = self.count + count, mean - self.mean
        # the batch about its own mean, and the step between the means as one row more: one product makes both scatters
        rows = np.empty((count + 1, len(mean)))
        np.subtract(features, mean, out=rows[:-1])
        rows[-1] = shift * np.sqrt(self.count * count / total)
        self._scatter += rows.T @ rows
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def covariance(self):
        """float64 [D, D], unbiased. ValueError with fewer than two vectors."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, got {self.count}")
        return self._scatter / (self.count - 1)


def frechet_distance(real, fake):
    """‖μ₁ − μ₂‖² + tr(C₁ + C₂ − 2 (C₁^½ C₂ C₁^½)^½), the square of a distance: 0 for equal moments, else positive.

    The published form has (C₁ C₂)^½, which is of the same trace but no symmetric matrix: its numerical root may be
    complex, or fail where a covariance is singular. Here are only symmetric ones, and constant features do no harm.
    The value is biased upwards, by about a multiple of 1 / count: compare at equal counts only.

    Args:
        real, fake: Moments, or features [N, D].

    Returns:
        float, at least 0.

    Raises:
        ValueError: the two differ in D, or one has fewer than D + 1 samples.
    """
    real, fake = (one if isinstance(one, Moments) else Moments.of(np.asarray(one)) for one in (real, fake))
    if not (real.count and fake.count):
        raise ValueError(f"no samples: got {real.count} real and {fake.count} generated ones")
    size = len(real.mean)
    if len(fake.mean) != size:
        raise ValueError(f"real features have {size} dimensions, generated ones {len(fake.mean)}")
    if min(real.count, fake.count) <= size:
        raise ValueError(f"the Fréchet distance of {size} features needs at least {size + 1} samples of each for a "
                         f"covariance of full rank, got {real.count} and {fake.count}; kernel_distance needs fewer")
    first, second = real.covariance, fake.covariance
    traces = np.trace(first) + np.trace(second)
    values, vectors = np.linalg.eigh(first)
    # with C₁ = V Λ Vᵀ, Λ^½ Vᵀ C₂ V Λ^½ has the eigenvalues of C₁^½ C₂ C₁^½; directions without variance have none
    kept = values > values[-1] * size * np.finfo(np.float64).eps
    root = vectors[:, kept] * np.sqrt(values[kept])
    cross = np.linalg.eigvalsh(root.T @ second @ root)
    distance = np.sum((real.mean - fake.mean) ** 2) + traces - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return max(0.0, float(distance))
