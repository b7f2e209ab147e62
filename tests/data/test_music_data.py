import numpy as np
import pytest

from kgan.data import progressions, scores
from kgan.data.source import DataError
from kgan.kinds import notes
from kgan.metrics import music


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def test_progressions():
    found = progressions.source(count=60)
    rolls = np.asarray(found.arrays["notes"])
    assert rolls.shape == (60, 2, 16, 48, 4) and set(np.unique(rolls)) == {0, 1} and found.kind == "notes"
    np.testing.assert_array_equal(progressions.source(count=20).arrays["notes"], rolls[:20])
    assert (np.asarray(progressions.source(count=20, split="test").arrays["notes"]) != rolls[:20]).any()
    assert (music.pitch_classes(rolls[..., 2] > 0), music.polyphony(rolls[..., 2] > 0)) == (3, 1)  # triads
    assert music.polyphony(rolls[..., 1] > 0) == music.polyphony(rolls[..., 3] > 0) == 0
    assert music.drum_patterns(rolls[..., 0] > 0) == 1 and music.empty_bars(rolls.any(-1)) == 0
    with pytest.raises(DataError, match="pitches=24"):
        progressions.source(pitches=24)


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_piece_is_in_its_key(mode):
    for seed in range(20):
        roll = progressions.piece(np.random.default_rng(seed), mode, 4, 16, 48)
        used = {pitch % 12 for pitch in np.flatnonzero(roll[..., 1:].any((0, 1, 3)))}
        assert any(used <= {(key + step) % 12 for step in progressions.SCALES[mode]} for key in range(12)), seed


def test_a_folder(tmp_path):
    pytest.importorskip("mido")
    piece = notes.scale(np.asarray(progressions.source(bars=3, count=1).arrays["notes"][0], np.float32))
    for name in ("a/x.mid", "b/y.mid"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).write_bytes(notes.write(piece, lowest=36, tracks=progressions.TRACKS))
    found = scores.source(tmp_path / "data", tracks="+".join(progressions.TRACKS))
    assert found.classes == {"label": ["a", "b"]} and found.arrays["label"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(found.arrays["notes"][1], notes.store(piece)[1:3])
    assert found.fields["notes"].more == {"lowest": 36, "beat": 4, "tempo": 100, "tracks": list(progressions.TRACKS)}
    (tmp_path / "data/a/broken.mid").write_bytes(b"MThd")
    with pytest.raises(DataError, match="1 of 3 MIDI files .* more than the 10 % .*broken"):
        scores.source(tmp_path / "data", tracks="a+b")
    with pytest.raises(DataError, match="no split 'test'"):
        scores.source(tmp_path / "data", split="test")
