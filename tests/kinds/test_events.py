import numpy as np
import pytest

from kgan import kinds
from kgan.data import melodies, progressions
from kgan.data.source import DataError
from kgan.kinds import Field, events, notes

SONG = np.array([[9, 4, 0, 80], [4, 2, 12, 80], [0, 2, 16, 80], [2, 3, 12, 80], [3, 1, 5, 0]], np.uint8)  # the last is a rest


def seen(stored):
    return events.scale(stored.astype(np.float32))


def test_found_by_name():
    assert kinds.get("events") is events
    np.testing.assert_array_equal(events.store(seen(SONG)), SONG)
    assert np.abs(seen(SONG)).max() <= 1 and events.store(-np.ones((1, 4))).tolist() == [[0, 1, 0, 0]]


def test_roll_by_hand():
    found = events.roll(seen(SONG))[..., 0].reshape(-1, 48) > 0
    assert len(found) == 16
    # what comes before the first note does not count; pitch 12 is struck at 4 and 6: one step is left out between
    assert np.argwhere(found).tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [4, 12], [4, 16], [5, 16], [6, 12], [7, 12], [8, 12]]


def test_midi_comes_back():
    pytest.importorskip("mido")
    data = events.write(seen(SONG), lowest=48)
    found = events.read(data, Field("events", (6, 4), more={"lowest": 48, "beat": 4}))
    assert found[:, :3].tolist() == [[0, 4, 0], [4, 1, 12], [0, 2, 16], [2, 3, 12], [16, 1, 0], [16, 1, 0]]
    assert found[:, 3].tolist() == [80] * 4 + [0] * 2


def test_sheets_and_images_and_examples():
    made = events.examples(Field("events", (12, 4)), 3, seed=1)
    assert made.shape == (3, 12, 4) and made.dtype == np.float32 and np.abs(made).max() <= 1
    picture = events.sheet(made, columns=2, smallest=0)
    assert (picture.height, picture.width) == events.sheet_size((12, 4), 3, 2)
    assert events.images(made).shape == (3, 48, 64, 1) and (events.images(made) > 0).any((1, 2, 3)).all()
    assert set(events.beside(made)) >= {".wav"}


# === Data ===

@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def test_melodies(cache):
    found = melodies.source(count=20, notes_a_piece=10)
    pieces = np.asarray(found.arrays["events"])
    assert found.kind == "events" and pieces.shape == (20, 10, 4) and (pieces[..., 3] == 80).all() and (pieces[..., 1] >= 1).all()
    np.testing.assert_array_equal(melodies.source(count=5, notes_a_piece=10).arrays["events"], pieces[:5])
    assert (melodies.source(count=5, notes_a_piece=10, split="test").arrays["events"] != pieces[:5]).any()
    # one note at a time
    assert all((events.roll(seen(piece))[..., 0] > 0).sum(2).max() == 1 for piece in pieces)


def test_a_folder(cache, tmp_path):
    pytest.importorskip("mido")
    piece = notes.scale(progressions.piece(np.random.default_rng(0), "major", 4, 16, 48)[..., 3:].astype(np.float32))
    (tmp_path / "a.mid").write_bytes(notes.write(piece))
    found = melodies.source(str(tmp_path), notes_a_piece=6)
    assert found.arrays["events"].shape[1:] == (6, 4) and len(found) >= 1
    np.testing.assert_array_equal(found.arrays["events"][0, :, 2], [span[2] for span in sorted(notes._spans(
        piece.reshape(-1, 48) > 0))[:6]])
    short = progressions.piece(np.random.default_rng(0), "major", 1, 16, 48)[..., 3:]
    (tmp_path / "short.mid").write_bytes(notes.write(notes.scale(np.where(np.arange(16)[None, :, None, None] < 4, short, 0).astype(np.float32))))
    (tmp_path / "words.txt").write_text("no music")
    note = melodies.source(str(tmp_path), notes_a_piece=6).note
    assert "1 MIDI files with fewer than 6 notes are left out: short.mid" in note and ".txt" in note
    with pytest.raises(DataError, match="no MIDI file has notes_a_piece=999 notes"):
        melodies.source(str(tmp_path), notes_a_piece=999)
