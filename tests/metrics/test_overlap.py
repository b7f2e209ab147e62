import numpy as np
import pytest

from kgan.metrics import overlap


def some(count, seed, part=0.4):
    return (np.random.default_rng(seed).random((count, 4, 4, 4, 1)) < part).astype(np.float32)


def test_ious_are_one_less_jaccards_distance():
    cdist = pytest.importorskip("scipy.spatial.distance").cdist
    one, other = some(7, 0), some(5, 1)
    theirs = 1 - cdist(one.reshape(7, -1) > 0.5, other.reshape(5, -1) > 0.5, "jaccard")
    np.testing.assert_allclose(overlap.ious(one, other), theirs, atol=1e-12)
    nothing = np.zeros_like(one[:1])
    assert overlap.ious(nothing, nothing) == 1 and overlap.ious(nothing, one[:1]) == 0


def test_by_hand():
    """Solids on a line: IoU of rods of different lengths is the shorter length by the longer."""
    def rods(*lengths):
        found = np.zeros((len(lengths), 1, 1, 12, 1))
        for rod, length in zip(found, lengths):
            rod[0, 0, :length] = 1
        return found

    found = overlap.compared(rods(4, 5, 4), rods(4, 8, 12))
    # nearest to 4, 8, 12: 4 (1), 5 (5/8), 5 (5/12)
    assert found["iou_mmd"] == pytest.approx(1 - (1 + 5 / 8 + 5 / 12) / 3)
    assert found["iou_coverage"] == pytest.approx(1 / 3)  # all are nearest to 4
    # both 4s have each other, though a true one is as near: of the other set; 5 has 4; the true 4 has 4, 8 has 12 (8/12), 12 has 8
    assert found["iou_1nna"] == pytest.approx(2 / 6)


def test_against_another_nearest_neighbour():
    neighbors = pytest.importorskip("sklearn.neighbors")
    made, true = some(30, 2, 0.35), some(30, 3, 0.45)
    x = np.concatenate([made, true]).reshape(60, -1) > 0.5
    wrong = 0
    for i in range(60):
        rest = np.arange(60) != i
        model = neighbors.KNeighborsClassifier(1, metric="jaccard").fit(x[rest], np.repeat([0, 1], 30)[rest])
        wrong += model.predict(x[i:i + 1])[0] != i // 30
    # of two that are as near either may be taken
    assert overlap.compared(made, true)["iou_1nna"] == pytest.approx(1 - wrong / 60, abs=2 / 60)


def test_the_same_distribution_and_another():
    upper = np.arange(4)[:, None] > 1
    same = overlap.compared(some(60, 4), some(60, 5))
    other = overlap.compared(some(60, 4) * upper, some(60, 5) * ~upper)
    assert 0.3 < same["iou_1nna"] < 0.7 and other["iou_1nna"] == 1 and other["iou_mmd"] == 1 > same["iou_mmd"]
    one = overlap.compared(np.repeat(some(1, 4), 60, 0), some(60, 5))
    assert one["iou_coverage"] == pytest.approx(1 / 60) and same["iou_coverage"] > 0.3


def test_turned():
    true = some(6, 6)
    made = np.rot90(true, 1, (1, 2))
    turns = lambda solids: [np.rot90(solids, k, (1, 2)) for k in range(4)]
    assert overlap.compared(made, true, turns)["iou_mmd"] == pytest.approx(0)
    assert overlap.compared(made, true)["iou_mmd"] > 0.3
