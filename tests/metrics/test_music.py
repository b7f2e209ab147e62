import numpy as np
import pytest

from kgan.metrics import music


def roll(*spans, bars=2, steps=16, pitches=24):
    found = np.zeros((bars * steps, pitches), bool)
    for start, end, pitch in spans:
        found[start:end, pitch] = True
    return found.reshape(1, bars, steps, pitches)


def test_empty_bars():
    assert music.empty_bars(roll((0, 1, 0))) == 0.5 and music.empty_bars(roll()) == 1 and music.empty_bars(roll((15, 17, 0))) == 0


def test_pitch_classes_are_the_same_in_each_octave():
    assert music.pitch_classes(roll((0, 1, 0), (1, 2, 12))) == 1  # two Cs
    assert music.pitch_classes(roll((0, 1, 0), (1, 2, 4), (2, 3, 7))) == 3  # C E G
    assert music.pitch_classes(roll((0, 1, 0), (16, 17, 4), (17, 18, 7))) == 1.5  # of two bars
    assert np.isnan(music.pitch_classes(roll()))


def test_notes_that_go_over_a_bar_are_one():
    assert sorted(music.lengths(roll((0, 1, 0), (2, 5, 0), (14, 18, 3)))) == [1, 3, 4]
    assert music.qualified_notes(roll((0, 1, 0), (2, 5, 0), (14, 18, 3))) == pytest.approx(2 / 3)


def test_polyphony_span_repetition():
    assert music.polyphony(roll((0, 4, 0), (3, 5, 7))) == pytest.approx(1 / 5)
    assert music.tone_span(roll((0, 1, 3), (20, 21, 17))) == 14
    assert music.repetition(roll((0, 2, 3), (16, 18, 3))) == 1 and music.repetition(roll((0, 2, 3), (16, 18, 4))) == 0
    assert np.isnan(music.repetition(roll((0, 2, 3))))


def test_drum_patterns():
    assert music.drum_patterns(roll((0, 1, 0), (2, 3, 0), (3, 4, 1), (8, 9, 5))) == pytest.approx(3 / 4)


def test_tonal_distance_by_hand():
    c, g = roll((0, 8, 0), bars=1), roll((0, 8, 7), bars=1)
    assert music.tonal_distance(c, c) == 0 and music.tonal_distance(c, roll((0, 8, 12), bars=1)) == pytest.approx(0)
    # a fifth turns the circle of fifths by 7·7π/6 (30° more than four turns), that of minor thirds by 7·3π/2, that of major thirds by 7·2π/3
    wanted = np.sqrt(sum(radius**2 * 2 * (1 - np.cos(7 * step * np.pi)) for radius, step in ((1, 7 / 6), (1, 3 / 2), (0.5, 2 / 3))))
    assert music.tonal_distance(c, g) == pytest.approx(wanted) and 1 < wanted < 3
    # a semitone is farther than a fifth (Harte et al. 2006)
    assert music.tonal_distance(c, roll((0, 8, 1), bars=1)) > music.tonal_distance(c, g)
    assert np.isnan(music.tonal_distance(c, roll(bars=1)))
    # halves in which one is silent do not count
    assert music.tonal_distance(roll((0, 16, 0), bars=1), roll((0, 8, 0), bars=1)) == 0


def test_distance_by_hand():
    assert music.distance({"a": 1.0, "b": 0.5}, {"a": 0.4, "b": 0.4, "c": 9.0}) == pytest.approx((0.6 / 0.5 + 0.1 / 0.5) / 2)
    assert music.distance({"a": np.nan, "b": 0.0}, {"a": 1.0, "b": 0.0}) == 0


def test_all_of_them():
    both = np.stack([roll((0, 1, 0), (2, 3, 0)), roll((0, 8, 0), (8, 16, 7)), roll((0, 8, 0))], -1)
    found = music.of(both, tracks=("drums", "a", "b"))
    assert found["drum_patterns"] == 1 and found["empty_bars"] == 0.5 and found["tonal_distance"] == 0
    assert set(found) == {*music.NAMES, "drum_patterns", "tonal_distance"}
