import numpy as np
import pytest

from kgan.data import silhouettes, solids
from kgan.data.source import DataError


def some(count=40, size=16):
    return solids.source(image_size=size, count=count).arrays["voxels"]


def test_fields():
    source = silhouettes.source(image_size=16, count=50)
    assert source.kind == "image" and source.shape == (16, 16, 1) and set(np.unique(source.arrays["image"])) == {0, 255}
    assert source.classes["label"] == list(solids.CLASSES) and len(source.classes["view"]) == 8
    voxels, view = some(50), source.arrays["view"]
    np.testing.assert_array_equal(source.arrays["image"] > 0, silhouettes.masks(voxels, view))
    assert len(set(view.tolist())) == 8
    with pytest.raises(DataError, match="silhouettes: image_size must be one of 16, 32, 64"):
        silhouettes.source(image_size=20)


def test_straight_on_by_hand():
    """From 0° one looks along -x: y to the right, z up."""
    solid = np.zeros((1, 4, 4, 4, 1))
    solid[0, 1, 0, 3] = solid[0, 2, 0, 3] = solid[0, 3, 2, 1] = 1
    seen = silhouettes.sums(solid, [0])[0]
    wanted = np.zeros((4, 4))
    wanted[0, 0], wanted[2, 2] = 2, 1
    np.testing.assert_allclose(seen, wanted, atol=1e-6)
    # from 90° along -y: x to the left; from 180° y to the left
    np.testing.assert_allclose(silhouettes.sums(solid, [2])[0], solid[0, ..., 0].sum(1).T[::-1, ::-1], atol=1e-5)
    np.testing.assert_allclose(silhouettes.sums(solid, [4])[0], wanted[:, ::-1], atol=1e-5)


def test_a_turned_solid_is_seen_from_elsewhere():
    voxels = some()
    for view in range(8):
        turned = silhouettes.sums(np.rot90(voxels, 1, (1, 2)), [view] * 40)
        np.testing.assert_allclose(turned, silhouettes.sums(voxels, [(view - 2) % 8] * 40), atol=1e-4)


def test_between_the_axes_nothing_is_lost_but_beyond_the_rim():
    x, y = np.meshgrid(np.arange(16) - 7.5, np.arange(16) - 7.5, indexing="ij")
    within = (x**2 + y**2 < 7**2)[..., None, None]
    voxels = some() * within
    for view in (1, 3, 5, 7):
        np.testing.assert_allclose(silhouettes.sums(voxels, [view] * 40).sum((1, 2)), voxels.sum((1, 2, 3, 4)), rtol=1e-4)
    corner = np.zeros((1, 16, 16, 16, 1))
    corner[0, 15, 15] = 1  # seen end on, and from 135° beyond what the picture shows
    assert silhouettes.sums(corner, [1]).sum() == pytest.approx(16) and silhouettes.sums(corner, [3]).sum() == 0


def test_the_hull_holds_its_solid():
    voxels = some(12)
    fits = []
    for solid in voxels:
        masks = silhouettes.masks(np.repeat(solid[None], 8, 0), range(8))
        hull = silhouettes.hull(masks)
        assert (hull >= solid.astype(bool)).mean() > 0.999
        again = silhouettes.masks(np.repeat(hull[None], 8, 0), range(8))
        assert (again == masks).mean() > 0.99
        fits.append((hull & (solid > 0)).sum() / (hull | (solid > 0)).sum())
    assert np.mean(fits) > 0.8 and min(fits) < 1  # what is hollow is filled
