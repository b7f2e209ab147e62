import numpy as np
import pytest

from kgan import data
from kgan.data import noises, voices
from kgan.data.source import DataError
from kgan.kinds import _sound, audio

RATE = 8000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def sounds(count=6, length=2048):
    return np.asarray(voices.source(rate=RATE, length=length, count=count).arrays["audio"])


def noisy(text="hum", snr=(10.0, 10.0), seed=0, **more):
    return noises.Noisy(sounds(**more), text, snr, RATE, seed)


@pytest.mark.parametrize("name", noises.KINDS)
def test_each_is_as_loud_as_it_is_said(name):
    sound = audio.scale(sounds(1).astype(np.float64))[0, :, 0]
    noise = noises.KINDS[name](np.random.default_rng(0), len(sound), RATE, lambda: sound[::-1])
    heard = np.abs(sound) > 0.01 * np.abs(sound).max()
    added = noises.mixed(sound, noise, 10.0) - sound
    assert noise.shape == sound.shape and added.std() > 0
    assert 10 * np.log10(np.mean(sound[heard] ** 2) / np.mean(added**2)) == pytest.approx(10)


@pytest.mark.parametrize("name", noises.KINDS)
def test_noise_of_a_position_is_always_the_same_and_of_another_another(name):
    one, other = noisy(name), noisy(name)
    rows, positions = np.array([0, 1, 2]), np.array([7, 100, 8])
    found = one.at(rows, positions)
    np.testing.assert_array_equal(other.at(rows[::-1], positions[::-1])[::-1], found)
    assert (one.at(rows, positions + 1) != found).any((1, 2)).all()
    assert (noisy(name, seed=1).at(rows, positions) != found).any((1, 2)).all()
    np.testing.assert_array_equal(one[1:3], one.at([1, 2], [1, 2]))


def test_levels_are_drawn_between_two_and_come_in_turn_of_more():
    def levels(snr):
        made = audio.scale(noises.Noisy(np.repeat(sounds(1), 40, 0), "coloured", snr, RATE)[:].astype(np.float64))[..., 0]
        clean = audio.scale(sounds(1).astype(np.float64))[0, :, 0]
        return np.array([_sound.si_sdr(one, clean) for one in made])
    turns = levels(noises.LEVELS)
    assert (np.diff([turns[i::4].mean() for i in range(4)]) > 3.5).all()
    between = levels((0.0, 15.0))
    assert np.ptp(between) > 8 and between.std() > 2


def test_names():
    assert noises.parse(" hum + babble ") == ("hum", "babble")
    for text, message in (("huM", r"named 'huM' \(did you mean 'hum'\?\)"), ("", "no noise is named ''")):
        with pytest.raises(DataError, match=message):
            noises.parse(text)
    assert {*noises.UNSEEN} <= {*noises.KINDS}


def test_silence_stays_silent():
    made = noises.Noisy(np.zeros((1, 512, 1), np.int16), "babble", (0.0, 0.0), RATE)[0]
    assert made.shape == (512, 1) and not made.any()


# === As a run has it ===

def test_what_a_run_is_given(monkeypatch):
    """Training hears the noises that are named, tests those that are not seen, at four levels; noise on the way to a batch is new."""
    monkeypatch.setattr(voices, "SPLITS", {"train": (0, 20), "test": (1, 20)})
    config = dict(noises="hum", unseen="wind", snr_low=0.0, snr_high=15.0, rate=RATE, length=1024)
    settings, needs = {"dataset": "voices", "seed": 3, "config": config}, {"input": "audio", "audio": "audio"}
    train, test = data.of(settings, needs), data.of(settings, needs, "test")
    assert {name: field.more for name, field in train.fields.items() if name != "label"} == {
        "audio": {"rate": RATE}, "input": {"rate": RATE}}
    assert train.shape == (1024, 1) and train.arrays["input"].names == ("hum",) and test.arrays["input"].names == ("wind",)
    assert test.arrays["input"].snr == noises.LEVELS and train.arrays["input"].snr == (0.0, 15.0)
    np.testing.assert_array_equal(train.arrays["input"].images, train.arrays["audio"])


# === Voices ===

def test_voices():
    found = voices.source(rate=RATE, length=4096, count=12)
    made = audio.scale(np.asarray(found.arrays["audio"], np.float64))[..., 0]
    assert made.shape == (12, 4096) and (np.abs(made).max(1) > 0.29).all() and np.abs(made).max() < 0.91
    np.testing.assert_array_equal(voices.source(rate=RATE, length=4096, count=5).arrays["audio"], found.arrays["audio"][:5])
    assert (voices.source(rate=RATE, length=4096, count=5, split="test").arrays["audio"] != found.arrays["audio"][:5]).any()
    with pytest.raises(DataError, match="rate must be at least 4,000"):
        voices.source(rate=100)


def test_vowels_have_their_formants():
    """Long-term spectra: of i there is more from 1.7 to 2.9 kHz than of u, as seen from below 1 kHz."""
    ratios = {}
    for vowel in "iu":
        made = np.array([voices.voice(np.random.default_rng(i), 8192, RATE, vowel) for i in range(8)])
        power = (np.abs(np.fft.rfft(made)) ** 2).sum(0)
        hertz = np.fft.rfftfreq(8192, 1 / RATE)
        ratios[vowel] = power[(hertz > 1700) & (hertz < 2900)].sum() / power[hertz < 1000].sum()
    assert ratios["i"] > 4 * ratios["u"]
