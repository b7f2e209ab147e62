import io

import numpy as np
import pytest

from kgan import kinds
from kgan.kinds import Field, audio, notes

mido = pytest.importorskip("mido")
MORE = {"lowest": 36, "beat": 4, "tempo": 120, "tracks": ["drums", "lead"]}
FIELD = Field("notes", (2, 16, 24, 2), more=MORE)


def roll(*spans, shape=(2, 16, 24, 2)):
    """float -1 or 1, with notes (first step, step after the last, pitch, track)."""
    found = np.full((shape[0] * shape[1], *shape[2:]), -1.0, np.float32)
    for start, end, pitch, track in spans:
        found[start:end, pitch, track] = 1
    return found.reshape(shape)


PIECE = roll((0, 4, 0, 1), (4, 5, 12, 1), (5, 6, 12, 0), (14, 18, 7, 1), (31, 32, 23, 1), (0, 1, 2, 0))


def messages(data):
    """(track's name, seconds, type, channel, note) of each note message as mido plays the file."""
    found = []
    for track in mido.MidiFile(file=io.BytesIO(data)).tracks:
        time = 0
        for message in track:
            time += message.time
            if message.type.startswith("note_"):
                found.append((track.name, time, message.type, message.channel, message.note))
    return found


def test_found_by_name():
    assert kinds.get("notes") is notes
    values = np.array([-1, -0.1, 0, 0.1, 1], np.float32)
    assert notes.store(values).tolist() == [0, 0, 0, 1, 1] and notes.scale(notes.store(values).astype(np.float32)).tolist() == [-1, -1, -1, 1, 1]


def test_midi_by_hand():
    data = notes.write(PIECE, **MORE)
    assert messages(data) == [
        # drums: steps 0 and 5, 120 ticks each, on the tenth channel
        ("drums", 0, "note_on", 9, 38), ("drums", 120, "note_off", 9, 38), ("drums", 600, "note_on", 9, 48), ("drums", 720, "note_off", 9, 48),
        ("lead", 0, "note_on", 0, 36), ("lead", 480, "note_off", 0, 36), ("lead", 480, "note_on", 0, 48), ("lead", 600, "note_off", 0, 48),
        ("lead", 1680, "note_on", 0, 43), ("lead", 2160, "note_off", 0, 43),  # over the bar
        ("lead", 3720, "note_on", 0, 59), ("lead", 3840, "note_off", 0, 59)]
    assert mido.MidiFile(file=io.BytesIO(data)).length == pytest.approx(4)  # 8 beats at 120


def test_what_is_written_is_read():
    np.testing.assert_array_equal(notes.read(notes.write(PIECE, **MORE), FIELD), notes.store(PIECE))
    longer = notes.read(notes.write(PIECE, **MORE), Field("notes", (4, 16, 24, 2), more=MORE))
    np.testing.assert_array_equal(longer[:2], notes.store(PIECE))
    assert not longer[2:].any()


def song(tracks, numerator=4):
    """A MIDI file whose tracks are lists of (channel, pitch), each note a beat long."""
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("time_signature", numerator=numerator, denominator=4)]))
    for track in tracks:
        file.tracks.append(mido.MidiTrack([mido.Message(kind, channel=channel, note=pitch, time=480 * (kind == "note_off"))
                                           for channel, pitch in track for kind in ("note_on", "note_off")]))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def test_channels_of_one_track_are_tracks():
    roll, lost = notes.parse(song([[(0, 40), (3, 50), (9, 38), (0, 41)]]), 24, 3, tracks=("drums", "lead", "bass"))
    assert [np.flatnonzero(roll[..., i].any(0)).tolist() for i in range(3)] == [[2], [4, 5], [14]] and not lost


@pytest.mark.parametrize("tracks, numerator, names, words", [
    ([[(0, 40)], [(1, 41)], [(2, 42)]], 4, ("drums", "lead"), "more than 1 tracks beside drums"),
    ([[(0, 40)], [(9, 41)]], 4, ("lead",), "have drums, which are left out"), ([[(0, 40)]], 3, ("lead",), "not in 4/4")])
def test_what_is_lost_is_said(tracks, numerator, names, words):
    _, lost = notes.parse(song(tracks, numerator), 24, len(names), tracks=names)
    assert len(lost) == 1 and words in lost[0]


def test_pitches_beyond_move_by_octaves():
    high = Field("notes", (2, 16, 24, 2), more={**MORE, "lowest": 48})
    found = np.argwhere(notes.read(notes.write(PIECE, **MORE), high)[..., 1].any((0, 1))).ravel()
    assert found.tolist() == [0, 7, 11]  # 36 and 48 -> 48, 43 -> 55, 59


@pytest.mark.parametrize("data, message", [
    (b"", "no MIDI file"), (b"MThd" + bytes(9), "no MIDI file"), (b"RIFF" + bytes(99), "no MIDI file"),
    (notes.write(roll(), **MORE), "has no notes"), (bytes(notes.MAX_BYTES + 1), "at most 1048576 are read")])
def test_what_cannot_be_read(data, message):
    with pytest.raises(ValueError, match=message):
        notes.read(data, FIELD)


def test_sound_has_the_notes_at_their_times():
    """A4 alone for the second bar: 440 Hz is loudest, and before it there is silence."""
    piece = roll((16, 32, 21, 0), shape=(2, 16, 24, 1))
    wave = notes.sound(piece, lowest=48, tempo=120)
    assert not wave[:31_000].any() and np.abs(wave[33_000:40_000]).max() > 0.05
    spectrum = np.abs(np.fft.rfft(wave[34_000:50_000]))
    assert spectrum.argmax() * notes.RATE / 16_000 == pytest.approx(440, abs=2)
    assert audio.decode(notes.write(piece, "audio/wav"))[1] == notes.RATE


def test_beside_and_sheets():
    files = notes.beside(np.stack([PIECE, PIECE]), **MORE)
    assert set(files) == {".mid", ".wav"} and len(messages(files[".mid"])) == 2 * 12
    picture = notes.sheet(np.stack([PIECE] * 3), columns=2, smallest=0)
    assert (picture.height, picture.width) == notes.sheet_size((2, 16, 24, 2), 3, 2)
    # the first note: pitch 0 is below, in the second track's colour
    assert picture.getpixel((1, 2 * 24 - 1)) == tuple(notes.COLOURS[1])


def test_images_and_examples():
    view = notes.images(PIECE[None])
    assert view.shape == (1, 24, 32, 2) and view[0, 0, :5, 1].tolist() == [1, 1, 1, 1, -1]
    made = notes.examples(FIELD, 3, seed=1)
    assert made.shape == (3, 2, 16, 24, 2) and set(made.ravel()) == {-1, 1} and (made[0] != made[1]).any()
