"""Notes: music as rolls, stored as uint8 0 or 1 [bars, steps, pitches, tracks], seen by networks as float32 in [-1, 1].

A note that lasts is there in each of its steps; what is above 0 is there. `Field.more` says the MIDI number of the
lowest pitch, steps a beat, beats a minute, and the names of the tracks; of one that is called drums a pitch is an
instrument. MIDI files are read and written where `mido` is installed, and what is written as WAV is played by a plain
synthesiser: harmonics that fade, drums of noise.
"""
import importlib.util
import io

import numpy as np
from PIL import Image

from kgan.kinds import audio

FIELD, OUTPUT, UNIT = "notes", "notes", "pieces"
RANGE = (-1.0, 1.0)
PLOT = False
SHOWN = 16
MORE = {"lowest": 36, "beat": 4, "tempo": 100, "tracks": ()}
_MIDI = importlib.util.find_spec("mido") is not None
MEDIA = {**({"audio/midi": ".mid"} if _MIDI else {}), "audio/wav": ".wav", "application/x-npy": ".npy"}
SUFFIXES = (".mid", ".midi") if _MIDI else ()
MAX_BYTES, MAX_STEPS = 1 << 20, 1 << 16  # of a file that is read
DRUMS, DRUM_CHANNEL = "drums", 9

RATE = 16_000  # of what is written as WAV
WIDE, TALL = 3, 2  # pixels of a step and of a pitch in a sheet
COLOURS = np.array([[31, 119, 180], [217, 95, 2], [42, 157, 92], [192, 57, 43], [123, 94, 167], [140, 109, 49]])


def scale(values):
    return 2 * values - 1


def store(values):
    """float [-1, 1] to uint8 0 or 1: what lies above 0 is there."""
    return (np.asarray(values) > 0).astype(np.uint8)


# === MIDI ===

def read(data, field):
    """The bytes of a MIDI file as uint8 [bars, steps, pitches, tracks]: its beginning, filled up with silence.

    Raises:
        ValueError: it is no MIDI file, is too large, or holds no notes among the field's pitches.
    """
    bars, steps, pitches, tracks = field.shape
    roll, _ = parse(data, pitches, tracks, **{name: field.more.get(name, MORE[name]) for name in ("lowest", "beat", "tracks")})
    bars = bars or max(1, -(-len(roll) // steps))
    roll = np.pad(roll[:bars * steps], [(0, max(0, bars * steps - len(roll))), (0, 0), (0, 0)])
    return roll.reshape(bars, steps, pitches, tracks)


def parse(data, pitches, count, lowest=36, beat=4, tracks=()):
    """A whole MIDI file as uint8 [steps, pitches, count], and what of it is not in that: a list of what "the file" does, in words.

    Its tracks that have notes come in the file's order, each channel of one by itself; those of the tenth channel go to the
    track that is called drums, if there is one, and else are left out. A note begins at the step that is nearest, and is a
    step long at least. Pitches beyond those that there are move by octaves until they are.

    Raises:
        ValueError: as for `read`.
    """
    import mido
    if len(data) > MAX_BYTES:
        raise ValueError(f"the MIDI file has {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
        notes = [_notes(track, file.ticks_per_beat / beat) for track in file.tracks]
    except Exception as error:  # mido raises nearly anything on broken files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"this is no MIDI file that can be read ({reason})") from None
    drums = list(tracks).index(DRUMS) if DRUMS in tracks else None
    places = [i for i in range(count) if i != drums]
    # of a file of one track (format 0) the channels are what others have as tracks
    parts = [[note for note in some if note[3] == channel] for some in notes
             for channel in dict.fromkeys(note[3] for note in some) if channel != DRUM_CHANNEL]
    found = [(place, note) for place, part in zip(places, parts) for note in part]
    beaten = [note for some in notes for note in some if note[3] == DRUM_CHANNEL]
    if drums is not None:
        found += [(drums, note) for note in beaten]
    lost = [f"have more than {len(places)} tracks beside drums, of which the first are taken"] * (len(parts) > len(places))
    lost += ["have drums, which are left out, for no track is called drums"] * bool(beaten and drums is None)
    lost += ["are not in 4/4, and are cut at every fourth beat"] * any(
        message.type == "time_signature" and (message.numerator, message.denominator) not in ((4, 4), (2, 2), (2, 4)) for track in file.tracks for message in track)
    if not found:
        raise ValueError("the MIDI file has no notes")
    length = max(note[1] for _, note in found)
    if length > MAX_STEPS:
        raise ValueError(f"the MIDI file has {length} steps; at most {MAX_STEPS} are read")
    roll = np.zeros((length, pitches, count), np.uint8)
    for place, (start, end, pitch, _) in found:
        pitch -= lowest
        pitch -= 12 * -(-max(0, pitch - pitches + 1) // 12)
        pitch += 12 * -(-max(0, -pitch) // 12)
        if pitch < pitches:
            roll[start:end, pitch, place] = 1
    return roll, lost


def _notes(track, ticks):
    """(first step, step after the last, pitch, channel) of each note of a mido track."""
    time, sounding, found = 0, {}, []
    for message in track:
        time += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        key = message.channel, message.note
        if key in sounding:
            start = round(sounding.pop(key) / ticks)
            found.append((start, max(start + 1, round(time / ticks)), message.note, message.channel))
        if message.type == "note_on" and message.velocity:
            sounding[key] = time
    return found


def _spans(roll):
    """(first step, step after the last, pitch) of the notes of one track, bool [T, pitches]."""
    edges = np.diff(np.pad(roll.astype(np.int8), [(1, 1), (0, 0)]), axis=0)
    starts, ends = (np.argwhere(edges.T == way) for way in (1, -1))
    return [(start, end, pitch) for (pitch, start), (_, end) in zip(starts.tolist(), ends.tolist())]


def _tracks(sample):
    """bool [T, pitches] of each track; sample: float [bars, steps, pitches, tracks]."""
    there = np.asarray(sample) > 0
    return np.moveaxis(there.reshape(-1, *there.shape[2:]), -1, 0)


def write(sample, media=next(iter(MEDIA)), lowest=36, beat=4, tempo=100, tracks=()):
    """A piece, float [bars, steps, pitches, tracks], as a MIDI file, as a WAV file of what it sounds like, or its
    numbers as .npy.
    """
    if media == "application/x-npy":
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(sample, np.float32))
        return buffer.getvalue()
    if media == "audio/wav":
        return audio.write(sound(sample, lowest, beat, tempo, tracks)[:, None], rate=RATE)
    import mido
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))]))
    channels = iter([channel for channel in range(16) if channel != 9] * 8)
    for i, roll in enumerate(_tracks(sample)):
        name = tracks[i] if i < len(tracks) else f"track {i + 1}"
        channel = 9 if name == DRUMS else next(channels)
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        events = sorted(event for start, end, pitch in _spans(roll)
                        for event in ((start, 1, pitch), (end, 0, pitch)))  # those that end before those that begin
        time = 0
        for step, on, pitch in events:
            ticks = 480 * step // beat
            track.append(mido.Message("note_on" if on else "note_off", channel=channel, note=min(127, lowest + pitch),
                                      velocity=80 * on, time=ticks - time))
            time = ticks
        file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def sound(sample, lowest=36, beat=4, tempo=100, tracks=(), rate=RATE):
    """A piece as a waveform float32 [T]: three harmonics that fade, drums as noise, the louder the more notes at once."""
    step = round(60 / tempo / beat * rate)
    rolls = _tracks(sample)
    wave, rng = np.zeros(rolls.shape[1] * step + rate // 2), np.random.default_rng(0)
    for i, roll in enumerate(rolls):
        drum = i < len(tracks) and tracks[i] == DRUMS
        for start, end, pitch in _spans(roll):
            time = np.arange(step + rate // 10 if drum else (end - start) * step + rate // 20) / rate
            if drum:
                tone = rng.normal(size=len(time)) * np.exp(-time * (20 + 4 * (pitch % 12)))
            else:
                hertz = 440 * 2 ** ((lowest + pitch - 69) / 12)
                tone = sum(np.sin(2 * np.pi * k * hertz * time) / k**2 for k in (1, 2, 3) if k * hertz < rate / 2)
                tone = tone * np.exp(-2 * time) * np.minimum(1, np.minimum(time, time[-1] - time) * 100)
            place = start * step
            wave[place:place + len(tone)] += 0.15 * tone[:len(wave) - place]
    return np.tanh(wave).astype(np.float32)


def beside(samples, lowest=36, beat=4, tempo=100, tracks=()):
    """Files of the first SHOWN pieces, one after the other, a bar of silence between: what they sound like, and MIDI."""
    samples = np.asarray(samples)[:SHOWN]
    joined = np.pad(samples, [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0)], constant_values=-1)
    joined = joined.reshape(-1, *samples.shape[2:])
    return {suffix: write(joined, media, lowest, beat, tempo, tracks) for media, suffix in MEDIA.items() if suffix != ".npy"}


# === Pictures ===

def sheet(samples, behind=None, columns=4, smallest=512, gap=4):
    """Rolls, a colour for each track, time to the right, low pitches below, a line before each bar. PIL.Image, RGB.

    Args:
        samples: float [n, bars, steps, pitches, tracks].
        behind: not used.
        columns: pieces a row, at most 4 but where `smallest` is 0.
        smallest: the sheet has a border; 0: it has exactly `sheet_size`.
    """
    samples, border = np.asarray(samples), gap if smallest else 0
    columns = min(columns if not smallest else min(columns, 4), len(samples))
    height, width = sheet_size(samples.shape[1:], len(samples), columns, gap)
    picture = Image.new("RGB", (width + 2 * border, height + 2 * border), "white")
    for i, sample in enumerate(samples):
        one = _drawn(sample)
        picture.paste(one, (border + i % columns * (one.width + gap), border + i // columns * (one.height + gap)))
    return picture


def sheet_size(shape, count=1, columns=1, gap=4):
    """(height, width) of a `sheet` without border of `count` pieces."""
    columns, (bars, steps, pitches) = min(columns, count), shape[:3]
    return -(-count // columns) * (TALL * pitches + gap) - gap, columns * (WIDE * bars * steps + gap) - gap


def _drawn(sample):
    colours = np.full((sample.shape[0] * sample.shape[1], sample.shape[2], 3), 245, np.uint8)
    colours[::sample.shape[1]] = 215
    for i, roll in enumerate(_tracks(sample)):
        colours[roll] = COLOURS[i % len(COLOURS)]
    return Image.fromarray(np.ascontiguousarray(colours.swapaxes(0, 1)[::-1])).resize(
        (WIDE * colours.shape[0], TALL * colours.shape[1]), Image.Resampling.NEAREST)


def images(samples):
    """Rolls as float32 [n, pitches, bars · steps, tracks] in [-1, 1]."""
    there = 2 * store(samples).astype(np.float32) - 1
    return there.reshape(len(there), -1, *there.shape[3:]).swapaxes(1, 2)


def examples(field, count, seed=0):
    """A falling scale in each track, from a random pitch on, float32 -1 or 1 [count, *field.shape]; a free size is 2."""
    bars, steps, pitches, tracks = (size or 2 for size in field.shape)
    rolls = np.full((count, bars * steps, pitches, tracks), -1, np.float32)
    first = np.random.default_rng(seed).integers(pitches, size=(count, tracks))
    for i in range(count):
        for track in range(tracks):
            rolls[i, np.arange(bars * steps), (first[i, track] - np.arange(bars * steps) // 2) % pitches, track] = 1
    return rolls.reshape(count, bars, steps, pitches, tracks)
