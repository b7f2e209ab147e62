"""What a classifier, or labels, tell of generated samples: the Inception score, shares, figures for each class.

Source: Salimans et al. 2016, "Improved Techniques for Training GANs" (https://arxiv.org/abs/1606.03498), section 4.
"""
import numpy as np

from kgan.data.modes import histogram
from kgan.metrics import neighbors


def score(probabilities, splits=10):
    """exp(E KL(p(y|x) ‖ p(y))): the Inception score, if Inception made the probabilities.

    1 if all samples look the same to the classifier, K if it is sure of each and all classes are as frequent. It says
    nothing about diversity within a class.

    Args:
        probabilities: [N, K], each row a distribution.
        splits: parts that are scored alone; part i has the rows i, i + splits, …, so that sorted samples do no harm.

    Returns:
        (mean, standard_error) over the parts, floats. Published ± are mostly the parts' deviation, √splits times
        larger. The score is biased downwards where a part has few samples for its K classes. The error of one part is
        nan.

    Raises:
        ValueError: not [N, K], fewer than two samples a part, or rows that are no distributions.
    """
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities must be [N, K], not of shape {probabilities.shape}")
    if splits < 1 or len(probabilities) < 2 * splits:
        raise ValueError(f"a score of {splits} parts needs at least {max(2, 2 * splits)} samples and one part, "
                         f"got {len(probabilities)} samples")
    if not (np.all(probabilities >= 0) and np.allclose(probabilities.sum(1), 1, rtol=0, atol=1e-3)):
        raise ValueError("each row must be a distribution: at least 0 everywhere, of sum 1. Are these logits?")
    # E KL(p(y|x) ‖ p(y)) is the entropy of the mean less the mean of the entropies
    scores = [np.exp(_entropy(part.mean(0)) - _entropy(part).mean())
              for part in (probabilities[start::splits] for start in range(splits))]
    error = np.std(scores, ddof=1) / np.sqrt(splits) if splits > 1 else np.nan
    return float(np.mean(scores)), float(error)


def shares(labels, classes):
    """Share of each class among labels.

    Args:
        labels: int [N], 0..classes - 1.
        classes: how many there are.

    Returns:
        float64 [classes] of sum 1; nan without labels.

    Raises:
        ValueError: a label that is no class.
    """
    found = histogram(labels, classes)
    return found / len(labels) if len(labels) else np.full(classes, np.nan)


def per_class(real, real_labels, fake, fake_labels, k=3, cap=1000, seed=0):
    """Fidelity and diversity within each class.

    Args:
        real, fake: features, [N, D] and [M, D].
        real_labels, fake_labels: int [N] and [M].
        k: of the precision (`neighbors.manifold`).
        cap: samples of a class that are looked at, drawn at random where there are more.
        seed: of that draw.

    Returns:
        dict of each class among the labels, ascending ints, to a dict of `real` and `fake`, how many samples there are;
        `fidelity`, the precision of its generated samples against its real ones, at most 1; and `diversity`, the mean
        distance of two generated samples over that of two real ones: 1 if they vary as much. The last two are nan where
        the class has fewer than k + 2 real or generated samples, `diversity` also where its real ones do not differ.

    Raises:
        ValueError: as many labels as samples there are not.
    """
    real, fake, real_labels, fake_labels = map(np.asarray, (real, fake, real_labels, fake_labels))
    for name, features, labels in (("real", real, real_labels), ("generated", fake, fake_labels)):
        if labels.shape != features.shape[:1]:
            raise ValueError(f"labels of shape {labels.shape} for {len(features)} {name} samples")
    figures = {}
    for label in np.union1d(real_labels, fake_labels).tolist():
        random = np.random.default_rng([seed, label % 2 ** 32])  # of its own: no class changes another's figures
        own, sizes = [], []
        for features, labels in ((real, real_labels), (fake, fake_labels)):
            rows = np.flatnonzero(labels == label)
            sizes.append(len(rows))
            own.append(features[np.sort(random.permutation(rows)[:cap])])
        fidelity = diversity = float("nan")
        if min(map(len, own)) >= k + 2:
            fidelity = neighbors.manifold(*own, precision_k=k, density_k=k)["precision"]
            spread = neighbors.mean_distance(own[0])
            diversity = neighbors.mean_distance(own[1]) / spread if spread > 0 else diversity
        figures[label] = {"real": sizes[0], "fake": sizes[1], "fidelity": fidelity, "diversity": diversity}
    return figures


def _entropy(probabilities):
    """In nats, over the last axis; 0 log 0 is 0."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -np.sum(probabilities * logarithms, -1)
