"""Linear classifiers on features, in NumPy: least squares with an L2 penalty, L2-SVMs. kgan.metrics.probe learns them."""
import numpy as np

# λ, on features of variance 1: the loss is the mean squared error + λ times the squared weights
PENALTIES = tuple(10.0**power for power in range(-3, 5))


def ridge(x, y, penalties=PENALTIES):
    """Least squares with an L2 penalty on standardised features: (1/n) |Zw + b - y|² + λ |w|², b free.

    Args:
        x: features [n, F]; those that do not vary are left out.
        y: targets [n, K].
        penalties: λs.

    Returns:
        list of (weights [F, K], offset [K]), float64, one a λ, for features as they come: y ≈ x @ weights + offset.
    """
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    z, inverse = _standardised(x, mean, deviation)
    # as many equations as examples, which are fewer here: w = Zᵀ (ZZᵀ + nλ)⁻¹ y
    kernel, targets = z @ z.T, y - y.mean(0)
    solutions = [z.T @ np.linalg.solve(kernel + len(x) * penalty * np.eye(len(x)), targets) for penalty in penalties]
    return [_unfold(weights, mean, inverse, y.mean(0)) for weights in solutions]


def svm(x, y, penalties=PENALTIES):
    """L2-SVMs, one for each class against the others: min over w, b of λ |w|² + (1/n) Σ max(0, 1 - t (w·z + b))², t = ±1.

    On standardised features z, by Newton's method with the products of examples, exact once the same examples are within the margin
    (Chapelle 2007, "Training a Support Vector Machine in the Primal", section 3.2). Arguments and result as for `ridge`.
    """
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    z, inverse = _standardised(x, mean, deviation)
    kernel, signs, found = z @ z.T, 2.0 * np.asarray(y) - 1, []
    for penalty in penalties:
        solutions = [_newton(kernel, t, len(x) * penalty) for t in signs.T]
        weights = z.T @ np.stack([beta for beta, _ in solutions], 1)
        found.append(_unfold(weights, mean, inverse, np.array([b for _, b in solutions])))
    return found


def _newton(kernel, t, penalty, most=50):
    """(β, b) of one SVM: f = K β + b; in the end β is 0 but for examples within the margin, t f < 1."""
    beta, b, within, best = np.zeros(len(t)), 0.0, np.ones(len(t), bool), np.inf
    for _ in range(most):
        rows = np.flatnonzero(within)
        border = np.ones((len(rows) + 1, len(rows) + 1))
        border[:-1, :-1] = kernel[np.ix_(rows, rows)] + penalty * np.eye(len(rows))
        border[-1, -1] = 0
        *solved, goal_b = np.linalg.solve(border, np.append(t[rows], 0))
        goal = np.zeros(len(t))
        goal[rows] = solved
        for part in 0.5 ** np.arange(10):  # all of the way, unless that leads up
            new, new_b = beta + part * (goal - beta), b + part * (goal_b - b)
            way = kernel @ new
            value = penalty * new @ way + (np.maximum(0, 1 - t * (way + new_b)) ** 2).sum()
            if value <= best:
                break
        now = t * (way + new_b) < 1
        same, beta, b, within, best = np.array_equal(now, within) and part == 1, new, new_b, now, value
        if same or not within.any():
            break
    return beta, b


class Sums:
    """Sums over examples from which `ridge` follows for any number of them, in memory for F² numbers.

    Args:
        center, scale: about where the features lie and how wide [F]. Any will do: they keep the rounding small, as the
            products are float32 within a batch.
        classes: K.
    """

    def __init__(self, center, scale, classes):
        self.center, self.scale = center.astype(np.float32), np.where(scale > 0, scale, 1).astype(np.float32)
        size = len(center) + classes + 1
        self.features, self.products = len(center), np.zeros((size, size))

    def add(self, x, y):
        """Counts in a batch: features [n, F], targets [n, K]."""
        row = np.concatenate([(x - self.center) / self.scale, y, np.ones((len(x), 1))], axis=1, dtype=np.float32)
        self.products += row.T @ row

    def __add__(self, other):
        total = Sums(self.center, self.scale, len(self.products) - self.features - 1)
        total.products = self.products + other.products
        return total

    def ridge(self, penalties=PENALTIES):
        """What the function `ridge` returns, for all examples that were counted in."""
        n = self.products[-1, -1]
        means = self.products[-1, :-1] / n
        covariance = self.products[:-1, :-1] / n - np.outer(means, means)
        F = self.features
        deviation = np.sqrt(np.maximum(np.diag(covariance)[:F], 0))
        # below it is the rounding of what does not vary
        inverse = np.where(deviation > 1e-4, 1 / np.maximum(deviation, 1e-4), 0)
        correlation = covariance[:F, :F] * inverse * inverse[:, None]
        cross = covariance[:F, F:] * inverse[:, None]
        solutions = [np.linalg.solve(correlation + penalty * np.eye(F), cross) for penalty in penalties]
        return [_unfold(weights, self.center + self.scale * means[:F], inverse / self.scale, means[F:])
                for weights in solutions]


def _standardised(x, mean, deviation):
    """(z, 1 / deviation), 0 for features that do not vary."""
    inverse = np.where(deviation > 1e-7, 1 / np.maximum(deviation, 1e-7), 0)
    return (x - mean) * inverse, inverse


def _unfold(weights, mean, inverse, offset):
    """Weights of standardised features as those of features as they come."""
    weights = weights * inverse[:, None]
    return weights, offset - mean @ weights
