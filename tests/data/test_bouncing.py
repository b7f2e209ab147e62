import numpy as np
import pytest

from kgan.data import bouncing
from kgan.data.source import DataError
from kgan.data import batches


def centres(clips):
    """Where the brightness of clips [n, T, S, S, 1] is, [n, T, 2] in pixels."""
    ink = clips[..., 0].astype(float)
    places = np.arange(ink.shape[2]) + 0.5
    return np.stack([(ink.sum(5 - axis) * places).sum(2) / ink.sum((2, 3)) for axis in (2, 3)], -1)


def test_fields():
    source = bouncing.source(count=6)
    assert source.kind == "video" and source.shape == (16, 32, 32, 1) and source.key == "video"
    assert len(source.classes["label"]) == 55 and source.classes["label"][:3] == ["0 0", "0 1", "0 2"]
    batch = next(iter(batches(source, 4)))
    assert batch["video"].shape == (4, 16, 32, 32, 1) and float(np.min(batch["video"])) == -1
    one = bouncing.source(count=4, digits=1, frames=5, image_size=40)
    assert one.shape == (5, 40, 40, 1) and one.classes["label"] == [*"0123456789"]


def test_a_function_of_the_seed_alone():
    one, more, other = (bouncing.source(count=count, seed=seed).arrays["video"] for count, seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(one, more)
    assert (one != other).any() and (bouncing.source(count=3, split="test").arrays["video"] != one).any()


def test_a_digit_flies_straight_and_keeps_its_pace():
    clips = bouncing.source(count=60, digits=1).arrays["video"]
    ink = clips.astype(float).sum((2, 3, 4))
    assert (np.ptp(ink, axis=1) / ink.mean(1) < 0.01).all()  # nothing of it leaves the picture, and it does not flicker
    steps = np.diff(centres(clips), axis=1)
    turns = np.abs(np.diff(np.abs(steps), axis=1)) > 0.05
    # but for the frame in which it turns, when it goes there and back, its pace is the same on both axes
    assert 0.02 < turns.mean() < 0.25
    pace = np.median(np.linalg.norm(steps, axis=2), 1)
    assert 0.6 < pace.min() and pace.max() < 32 * bouncing.PACE[1] + 0.1


def test_it_turns_at_the_walls():
    clips = bouncing.source(count=60, digits=1).arrays["video"]
    steps = np.diff(centres(clips), axis=1)
    seen = 0
    for clip, moves in zip(clips[..., 0] > 8, steps):
        for axis in (0, 1):
            for frame in np.flatnonzero(moves[1:, axis] * moves[:-1, axis] < -0.01) + 1:
                filled = np.flatnonzero(clip[frame - 1:frame + 2].any((0, 2 - axis)))
                assert filled[0] <= 3 or filled[-1] >= 28
                seen += 1
    assert seen > 30


def test_between_pixels_by_hand():
    picture = np.array([[100.0, 40]])
    film = bouncing.fly(picture, np.array([0.0, 0.5]), np.array([0.25, 0.0]), 3, 4)
    assert film.shape == (3, 4, 4)
    np.testing.assert_array_equal(film[0], [[0, 100, 40, 0], [0] * 4, [0] * 4, [0] * 4])
    np.testing.assert_array_equal(film[1], [[0, 75, 30, 0], [0, 25, 10, 0], [0] * 4, [0] * 4])
    # 3 down, then back: the room is 3
    back = bouncing.fly(picture, np.array([0.0, 0.0]), np.array([2.0, 0.0]), 4, 4)
    assert [int(np.argmax(frame[:, 0])) for frame in back] == [0, 2, 2, 0]


def test_two_digits_are_the_brighter_of_both():
    clips = bouncing.source(count=20).arrays["video"]
    assert clips.max() > 200 and clips[:, 0].mean() > 1.5 * bouncing.source(count=20, digits=1).arrays["video"][:, 0].mean()


def test_moves_alike_at_other_sizes():
    small, large = (bouncing.source(image_size=size, count=10, digits=1).arrays["video"] for size in (32, 64))
    assert np.abs(centres(large) / 2 - centres(small)).mean() < 0.5


@pytest.mark.parametrize("options, message", [
    (dict(image_size=16), "whole number from 32 to 128, not 16"), (dict(split="dev"), "one of train, test"),
    (dict(digits=3), "1 or 2 digits"), (dict(frames=1), "2 frames or more"), (dict(count=0), "count must be 1 or more")])
def test_what_cannot_be_drawn(options, message):
    with pytest.raises(DataError, match=message):
        bouncing.source(**options)


def test_measures_of_real_and_wrong_clips():
    clips = bouncing.source(count=100).arrays["video"] / 127.5 - 1
    real = bouncing.measure(clips)  # it flickers where two cover each other
    assert real["flicker"] < 0.04 and real["turns_at_walls"] > 0.95 and 2 < real["pace"] < 6
    rng = np.random.default_rng(0)
    shuffled = bouncing.measure(np.stack([clip[rng.permutation(16)] for clip in clips]))
    assert shuffled["straight"] < 0.5 * real["straight"] and shuffled["turns_at_walls"] < real["turns_at_walls"]
    bright = (clips + 1) * rng.uniform(0.5, 1, (100, 16, 1, 1, 1)) - 1
    assert bouncing.measure(bright)["flicker"] > 10 * real["flicker"]
    assert bouncing.measure(np.repeat(clips[:, :1], 16, 1))["pace"] == 0
