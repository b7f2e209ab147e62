import numpy as np
import pytest

from kgan.data import outlines
from kgan.data.degrade import degrade
from kgan.data.onthefly import CutOut, Degraded, Jittered, whole
from kgan.data.source import DataError


@pytest.fixture(scope="module")
def images():
    """Colour pictures with edges and plain places, not square."""
    return np.ascontiguousarray(outlines.source(32, count=12).arrays["image"][:, 4:])


# === Degraded ===

def test_degraded_is_an_array(images):
    array = Degraded(images, "noise:20", 3)
    assert (array.shape, array.dtype, array.ndim, len(array)) == (images.shape, np.uint8, 4, 12)
    whole = degrade("noise:20", images, 3, range(12))
    for rows in slice(2, 9, 3), np.array([7, 0, 7]), slice(None):
        np.testing.assert_array_equal(array[rows], whole[rows])
    # elsewhere in a run the noise is another
    np.testing.assert_array_equal(array.at(np.array([4, 4]), np.array([100, 101])), degrade(
        "noise:20", images[[4, 4]], 3, [100, 101]))


# === Jitter ===

def test_jitter_is_in_training_alone_and_aligned(images):
    one, other = Jittered(images, 0.2, 1), Jittered(255 - images, 0.2, 1)
    np.testing.assert_array_equal(one[3:5], images[3:5])
    rows, positions = np.array([3, 3, 5]), np.array([10, 11, 12])
    made = one.at(rows, positions)
    assert made.shape == (3, 28, 32, 3) and made.dtype == np.uint8
    np.testing.assert_allclose(made.astype(int), 255 - other.at(rows, positions).astype(int), atol=1)
    assert not np.array_equal(made[0], made[1]) and not np.array_equal(made[0], images[3])
    np.testing.assert_array_equal(one.at(rows[1:2], positions[1:2])[0], made[1])  # whatever the batch
    assert not np.array_equal(Jittered(images, 0.2, 2).at(rows, positions), made)
    np.testing.assert_array_equal(Jittered(images, 0.0, 1).at(rows, positions), images[rows])


def test_jitter_enlarges_and_moves():
    # a ramp from 0 to 240: of the part that is left, 1 / 1.25 of its range
    ramp = np.broadcast_to(np.linspace(0, 240, 25)[:, None], (25, 25)).astype(np.uint8)[None, ..., None]
    made = Jittered(ramp, 0.25, 0).at(np.zeros(40, int), np.arange(40))[..., 0].astype(float)
    np.testing.assert_allclose(np.diff(made[:, 3:-3, 0], axis=1).mean(), 10 / 1.25, atol=0.1)
    first = made[:, 4, 0]  # 4.5 pixels from the upper edge: 3.6 of the ramp's, and up to 5 more
    assert 30 < first.min() < 40 and 70 < first.max() < 82
    assert np.ptp(made, axis=2).max() == 0


def test_degradations_are_of_the_jittered_image(images):
    jittered = Jittered(images, 0.2, 1)
    rows, positions = np.arange(4), np.arange(50, 54)
    np.testing.assert_array_equal(Degraded(jittered, "grey+noise:5", 1).at(rows, positions),
                                  degrade("grey+noise:5", jittered.at(rows, positions), 1, positions))


# === Cut out ===

def test_cuts_are_of_the_image_and_aligned(images):
    one, other = CutOut(images, 20, 1), CutOut(255 - images, 20, 1)
    assert one.shape == (12, 20, 20, 3) and whole(Degraded(one, "grey", 1)) == images.shape
    np.testing.assert_array_equal(one[2:4], images[2:4, 4:24, 6:26])
    rows, positions = np.full(40, 3), np.arange(40)
    made = one.at(rows, positions)
    np.testing.assert_array_equal(made, 255 - other.at(rows, positions))
    every = [(top, left) for top in range(9) for left in range(13)]
    places = {next(place for place in every if np.array_equal(cut, images[3, place[0]:place[0] + 20, place[1]:place[1] + 20]))
              for cut in made}
    assert len(places) > 20
    np.testing.assert_array_equal(one.at(rows[7:8], positions[7:8])[0], made[7])  # whatever the batch
    with pytest.raises(DataError, match="patch_size=40: the images are 28x32 pixels"):
        CutOut(images, 40)


def test_what_is_made_smaller_may_stay_small(images):
    small = Degraded(images, "blur:1+downscale:4+jpeg:80", 1, enlarge=False)
    assert small.shape == (12, 7, 8, 3) and small[:3].shape == (3, 7, 8, 3)
    np.testing.assert_array_equal(Degraded(images, "downscale:2+downscale:2", 1, enlarge=False)[:], degrade(
        "downscale:2", degrade("downscale:2", images, 1, range(12), enlarge=False), 1, range(12), enlarge=False))
    with pytest.raises(DataError, match="degrade=downscale:3: images of 28x32 pixels cannot be made exactly that many times smaller"):
        Degraded(images, "downscale:3", enlarge=False)
