import numpy as np
import pytest

import kgan.data
from kgan.data.masks import SHAPES, draw
from kgan.data.onthefly import Holed, Masks
from kgan.data.source import Source

NEEDS = {"input": "image", "mask": "mask", "image": "image"}
CONFIG = {"masks": "strokes+boxes", "hole_least": 0.1, "hole_most": 0.3}


@pytest.mark.parametrize("masks", SHAPES)
@pytest.mark.parametrize("size, least, most", [((28, 28), 0.05, 0.4), ((13, 20), 0.2, 0.25), ((8, 8), 0.0, 0.05), ((16, 16), 0.9, 1.0)])
def test_the_hole_is_within_its_bounds(masks, size, least, most):
    drawn = np.stack([draw(size, 0, position, masks, least, most) for position in range(40)])
    shares = drawn.mean((1, 2, 3))
    assert drawn.dtype == np.uint8 and drawn.shape == (40, *size, 1) and set(drawn.ravel()) <= {0, 1}
    assert least <= shares.min() and shares.max() <= most
    assert shares.max() - shares.min() > 0.4 * (most - least)  # it varies, and so do the places
    assert len({one.tobytes() for one in drawn}) > 20


def test_a_mask_is_a_function_of_seed_and_position():
    one = draw((28, 28), 3, 7)
    np.testing.assert_array_equal(one, draw((28, 28), 3, 7))
    assert (one != draw((28, 28), 3, 8)).any() and (one != draw((28, 28), 4, 7)).any()


def test_boxes_alone_are_boxes():
    # as many corners as boxes have: each run of missing pixels in a row of one box is the same
    mask = next(mask for mask in (draw((32, 32), 0, i, "boxes", 0.02, 0.6)[..., 0] for i in range(100)) if mask.any())
    rows = {tuple(np.flatnonzero(np.diff(np.pad(row, 1)))) for row in mask if row.any()}
    assert len(rows) <= 6


def test_strokes_lie_everywhere():
    mean = np.mean([draw((32, 32), 0, i) for i in range(400)], axis=0)
    quarters = mean.reshape(2, 16, 2, 16).mean((1, 3))
    assert quarters.min() > 0.8 * quarters.max()


def images(count=6, size=(12, 16)):
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)


def test_holes_lie_where_masks_say():
    pixels = images()
    masks = Masks(6, (12, 16), 5)
    holed = Holed(pixels, masks)
    rows, positions = np.array([4, 1, 4]), np.array([10, 11, 12])
    for some, missing, true in ((holed[1:5], masks[1:5], pixels[1:5]),
                                (holed.at(rows, positions), masks.at(rows, positions), pixels[rows])):
        assert some.dtype == missing.dtype == np.uint8 and missing.shape == (*some.shape[:3], 1)
        np.testing.assert_array_equal(some, np.where(missing == 1, 128, true))
    assert (masks.at(rows, positions)[0] != masks.at(rows, positions)[2]).any()  # the same image at two positions
    assert (holed.shape, len(holed), len(masks)) == (pixels.shape, 6, 6)


@pytest.fixture
def source(monkeypatch):
    found = Source("mine", {"image": images(), "label": np.arange(6)}, {"label": [*"abcdef"]})
    monkeypatch.setattr(kgan.data, "source", lambda *args, **kwargs: found)
    monkeypatch.setattr(kgan.data, "remember", lambda *args: None)
    return kgan.data.of({"dataset": "mine", "config": CONFIG, "seed": 3}, NEEDS)


def test_a_run_of_images_has_masks_and_holes(source):
    assert {name: source.fields[name].kind for name in NEEDS} == NEEDS and source.key == "image"
    assert source.fields["mask"].shape == (12, 16, 1)
    shares = np.asarray(source.arrays["mask"]).mean((1, 2, 3))
    assert 0.1 <= shares.min() and shares.max() <= 0.3


def test_all_of_an_example_is_mirrored_alike(source):
    plain, mirrored = (next(iter(kgan.data.batches(source, 6, seed=1, repeat=True, flip=flip))) for flip in (False, True))
    turned = [not np.array_equal(one, other) for one, other in zip(plain["image"], mirrored["image"])]
    assert 0 < sum(turned) < 6
    for name in ("image", "input", "mask"):
        for i, flipped in enumerate(turned):
            np.testing.assert_array_equal(mirrored[name][i], plain[name][i][:, ::-1] if flipped else plain[name][i])
    missing = np.asarray(mirrored["mask"]) == 1
    assert set(np.asarray(mirrored["mask"]).ravel()) == {0, 1}
    np.testing.assert_allclose(mirrored["input"], np.where(missing, 128 / 127.5 - 1, mirrored["image"]), atol=1e-6)


def test_masks_are_new_each_time_and_resuming_is_exact(source):
    batches = [batch for batch, _ in zip(kgan.data.batches(source, 3, seed=1, repeat=True), range(6))]
    again = next(iter(kgan.data.batches(source, 3, seed=1, start=4, repeat=True)))
    for name in NEEDS:
        np.testing.assert_array_equal(batches[4][name], again[name])
    seen = {np.asarray(mask).tobytes() for batch in batches for mask in batch["mask"]}
    assert len(seen) == 18
