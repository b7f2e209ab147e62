import numpy as np
import pytest

from kgan.metrics import holes


def images(count=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 10, 3), np.uint8)


def masks(*shares):
    """[n, 8, 10, 1], so many of whose 80 pixels are missing."""
    found = np.zeros((len(shares), 80))
    for mask, share in zip(found, shares):
        mask[:round(80 * share)] = 1
    return found.reshape(-1, 8, 10, 1)


def test_by_hand():
    true = np.full((1, 2, 2, 1), 100, np.uint8)
    made = np.array([[151, 0], [100, 49]], np.uint8).reshape(1, 2, 2, 1)
    missing = np.array([[1, 0], [0, 1]]).reshape(1, 2, 2, 1)
    apart, squares = holes.differences(made, true, missing)
    assert apart == pytest.approx([0.2]) and squares == pytest.approx([0.04])  # the 0 lies outside
    assert holes.figures(made, true, missing) == pytest.approx({
        "hole_l1": 0.2, "hole_psnr": -10 * np.log10(0.04), "hole_psnr_above_40": -10 * np.log10(0.04)})


def test_against_one_by_one():
    made, true, missing = images(), images(seed=1), masks(0.05, 0.1, 0.15, 0.3, 0.6)
    apart, squares = [], []
    for one, other, mask in zip(made, true, missing[..., 0]):
        difference = (one[mask == 1].astype(float) - other[mask == 1]) / 255
        apart.append(np.abs(difference).mean())
        squares.append((difference**2).mean())
    found = holes.figures(made, true, missing, "_x")
    assert found == pytest.approx({
        "hole_l1_x": np.mean(apart), "hole_psnr_x": -10 * np.log10(np.mean(squares)),
        "hole_psnr_to_10_x": -10 * np.log10(np.mean(squares[:2])), "hole_psnr_to_20_x": -10 * np.log10(squares[2]),
        "hole_psnr_to_40_x": -10 * np.log10(squares[3]), "hole_psnr_above_40_x": -10 * np.log10(squares[4])})


def test_images_without_a_hole_do_not_count():
    made, true = images(2), images(2, seed=1)
    assert holes.figures(made, true, masks(0, 0.3)) == pytest.approx(holes.figures(made[1:], true[1:], masks(0.3)))
    assert holes.figures(made, true, masks(0, 0)) == {}
    assert holes.figures(true, true, masks(0, 0.3))["hole_psnr"] == np.inf


def test_surrounded():
    pixels = np.zeros((3, 5, 5, 1), np.uint8)
    pixels[0, 1:4, 1:4, 0] = [[10, 20, 30], [40, 99, 60], [70, 80, 91]]
    missing = np.zeros((3, 5, 5, 1))
    missing[0, 2, 2], missing[1] = 1, 1
    filled = holes.surrounded(pixels, missing)
    assert filled[0, 2, 2, 0] == 50  # the mean of eight, 50.125
    assert filled[1].min() == filled[1].max() == 128 and not filled[2].any()
    filled[0, 2, 2] = 99
    np.testing.assert_array_equal(filled[0], pixels[0])


def test_what_is_not_alike():
    with pytest.raises(ValueError, match="two uint8"):
        holes.figures(images(2), images(2), masks(0.1))
