"""Nearest neighbours among feature vectors, and what they tell of two sets: precision, recall, density, coverage.

Sources: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models"
(https://arxiv.org/abs/1904.06991), equations 1 and 2; Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for
Generative Models" (https://arxiv.org/abs/2002.09797), equations 4 and 6.

‖x − y‖² is ‖x‖² − 2 x·y + ‖y‖², so that a matrix product does the work, after a centre has been taken from both: the
error is some roundings of ‖x‖², which a common offset would make larger than the distance. float32 (and smaller)
features are worked with in float32, float64 ones in float64.
"""
import numpy as np


def nearest(queries, references, k=1, exclude_self=False, block=1024):
    """The k nearest references of each query.

    The search is by matrix products (see above: of references that are almost equally far, any may be found); the
    distances of those found are then taken from the differences, so that the distance to a copy is 0.

    Args:
        queries: [N, D], any real dtype.
        references: [M, D].
        k: how many neighbours.
        exclude_self: whether queries are the references, row by row, and none is its own neighbour.
        block: rows of either that are worked on at a time. Memory: a matrix [block, block], and [block, k, D].

    Returns:
        (distances, indices): Euclidean distances, float64 [N, k], ascending, and rows of `references`, int64 [N, k].

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or too few references.
    """
    queries, references, dtype = _checked(queries, references)
    if exclude_self and len(queries) != len(references):
        raise ValueError(f"exclude_self needs the references as queries, not {len(queries)} of {len(references)}")
    _enough(len(references) - exclude_self, k, 0, "references other than itself" if exclude_self else "references")
    center = references.mean(0, dtype=np.float64)
    queries, references = _Cloud(queries, center, dtype, block), _Cloud(references, center, dtype, block)
    distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    for rows in queries.blocks:
        points = queries[rows]
        best = np.full((len(points), k), np.inf, dtype)
        found = np.zeros((len(points), k), np.int64)
        for columns in references.blocks:
            tile = _squares(points, references[columns], queries.squares[rows], references.squares[columns])
            if exclude_self and rows == columns:
                np.fill_diagonal(tile, np.inf)
            smallest = _smallest(tile, k)
            best = np.concatenate([best, np.take_along_axis(tile, smallest, 1)], 1)
            found = np.concatenate([found, smallest + columns.start], 1)
            smallest = _smallest(best, k)
            best, found = np.take_along_axis(best, smallest, 1), np.take_along_axis(found, smallest, 1)
        difference = references.features[found].astype(np.float64)
        difference -= queries.features[rows, None]
        exact = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
        order = np.argsort(exact, 1, kind="stable")
        distances[rows], indices[rows] = np.take_along_axis(exact, order, 1), np.take_along_axis(found, order, 1)
    return distances, indices


def manifold(real, fake, precision_k=3, density_k=5, block=1024):
    """How far two sets of samples overlap, the manifold of each being the balls that reach to a sample's k-th neighbour.

        precision   share of the generated samples that are in a ball of a real one: fidelity
        recall      share of the real samples that are in a ball of a generated one: diversity
        density     in how many balls of real samples a generated one is on average, over k: fidelity; about 1 for
                    equal distributions; unlike precision not raised by one outlier with its large ball
        coverage    share of the real samples with a generated one in their ball: diversity

    A ball is open (a sample at the very distance of the k-th neighbour is outside), and no sample is its own neighbour.

    Args:
        real, fake: features, any real dtype, [N, D] and [M, D]; all figures depend on both counts.
        precision_k: k of precision and recall. The paper's is 3.
        density_k: k of density and coverage. The paper's is 5.
        block: rows of either that are worked on at a time. Memory: some matrices [block, block] and [block, D].

    Returns:
        dict of the four, floats.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or not more than k samples.
    """
    real, fake, dtype = _checked(real, fake)
    most = max(precision_k, density_k)
    for name, features in (("real", real), ("generated", fake)):
        _enough(len(features), min(precision_k, density_k), 1, f"{name} samples")
        _enough(len(features), most, 1, f"{name} samples")
    center = real.mean(0, dtype=np.float64)
    real, fake = _Cloud(real, center, dtype, block), _Cloud(fake, center, dtype, block)
    radii = _radii(real, most)
    narrow, wide = radii[:, precision_k - 1], radii[:, density_k - 1]
    fake_radii = _radii(fake, precision_k)[:, precision_k - 1]
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    covered, inside = np.zeros(len(real), bool), 0
    for rows in real.blocks:
        points = real[rows]
        for columns in fake.blocks:
            tile = _squares(points, fake[columns], real.squares[rows], fake.squares[columns])
            precise[columns] |= (tile < narrow[rows, None]).any(0)
            recalled[rows] |= (tile < fake_radii[columns]).any(1)
            within = tile < wide[rows, None]
            inside += int(np.count_nonzero(within))
            covered[rows] |= within.any(1)
    return {"precision": float(precise.mean()), "recall": float(recalled.mean()),
            "density": inside / (density_k * len(fake)), "coverage": float(covered.mean())}


def mean_distance(features, block=1024):
    """Mean Euclidean distance of two different samples of [N, D], float; in float64. ValueError if fewer than 2."""
    features, _, _ = _checked(features, features)
    _enough(len(features), 1, 1, "samples")
    cloud = _Cloud(features, features.mean(0, dtype=np.float64), np.float64, block)
    total = 0.0
    for rows, columns, tile in _pairs(cloud):
        if rows == columns:
            np.fill_diagonal(tile, 0)  # which rounding keeps from being 0
        total += np.sqrt(tile).sum() * (1 if rows == columns else 2)
    return float(total / (len(features) * (len(features) - 1)))


class _Cloud:
    """Feature vectors about a centre. The centred ones are made by blocks, so there is no second copy of all.

    Attributes:
        features: as they came.
        blocks: slices, all the rows in order.
        squares: squared norms of the centred vectors, [N].
    """

    def __init__(self, features, center, dtype, block):
        self.features, self._center, self._dtype = features, center.astype(dtype), dtype
        self.blocks = [slice(start, min(start + block, len(features))) for start in range(0, len(features), block)]
        self.squares = np.empty(len(features), dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            for rows in self.blocks:
                points = self[rows]
                self.squares[rows] = np.einsum("nd,nd->n", points, points)
        if not np.isfinite(self.squares).all():
            raise ValueError("features have values that are not finite")

    def __len__(self):
        return len(self.features)

    def __getitem__(self, rows):
        return np.subtract(self.features[rows], self._center, dtype=self._dtype)


def _squares(first, second, first_squares, second_squares):
    """Squared distances [n, m] of centred vectors [n, D] and [m, D] with these squared norms."""
    tile = first @ second.T
    tile *= -2
    tile += first_squares[:, None]
    tile += second_squares
    return np.maximum(tile, 0, out=tile)


def _pairs(cloud):
    """Slices of rows and columns and their squared distances, each pair of blocks once."""
    for number, rows in enumerate(cloud.blocks):
        points = cloud[rows]
        for columns in cloud.blocks[number:]:
            others = points if rows == columns else cloud[columns]
            yield rows, columns, _squares(points, others, cloud.squares[rows], cloud.squares[columns])


def _radii(cloud, k):
    """Squared distances of each vector to its k nearest others, ascending: [N, k]."""
    best = np.full((len(cloud), k), np.inf, cloud.squares.dtype)

    def merge(rows, tile):
        if tile.shape[1] > k:
            tile = np.partition(tile, k - 1, axis=1)[:, :k]
        best[rows] = np.sort(np.concatenate([best[rows], tile], 1), 1)[:, :k]

    for rows, columns, tile in _pairs(cloud):
        if rows == columns:
            np.fill_diagonal(tile, np.inf)
        else:
            merge(columns, np.ascontiguousarray(tile.T))
        merge(rows, tile)
    return best


def _smallest(values, k):
    """Columns of the k smallest of each row, in any order; all columns if there are no more than k."""
    if values.shape[1] <= k:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return values.argmin(1)[:, None] if k == 1 else np.argpartition(values, k - 1, axis=1)[:, :k]


def _checked(first, second):
    """Both as arrays, and the dtype to work in."""
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features must be [N, D] and [M, D], not of shapes {first.shape} and {second.shape}")
    return first, second, np.result_type(first.dtype, second.dtype, np.float32)


def _enough(count, k, more, what):
    """ValueError unless k is positive and there are k + more."""
    if k < 1:
        raise ValueError(f"k is {k}: it must be at least 1")
    if count < k + more:
        raise ValueError(f"k={k} needs at least {k + more} {what}, got {count}")
