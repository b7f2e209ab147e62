"""Events: music as a list of notes, stored as uint8 [T, 4], seen by networks as float32 in [-1, 1].

Of each note: steps since the one before began, its length in steps, its pitch above the lowest, its loudness as in MIDI (0: a rest).
`Field.more` is that of notes, but for the tracks: there is one. Files, pictures and what it sounds like are those of notes.
"""
import numpy as np

from kgan.kinds import notes

FIELD, OUTPUT, UNIT = "events", "events", "pieces"
RANGE = (-1.0, 1.0)
PLOT = False
SHOWN = 16
MORE = {name: notes.MORE[name] for name in ("lowest", "beat", "tempo")}
MEDIA, SUFFIXES = notes.MEDIA, notes.SUFFIXES
MOST = np.array([16, 16, 47, 127], np.float32)  # of each number; the least is 0, of a length 1
PITCHES, STEPS, BAR = 48, 64, 16  # of rolls that feature networks see; steps of a bar in a sheet


def scale(values):
    return values / (MOST / 2) - 1


def store(values):
    """float [-1, 1] to uint8: rounded, cut; a length is 1 at least."""
    found = np.rint(np.clip((np.asarray(values, np.float32) + 1) * (MOST / 2), 0, MOST))
    found[..., 1] = np.maximum(found[..., 1], 1)
    return found.astype(np.uint8)


def roll(sample, bars=None):
    """Events as networks see them, float [T, 4], as notes of one track: float -1 or 1 [bars, BAR, PITCHES, 1]; None: all of them."""
    since, length, pitch, loud = store(sample).astype(int).T
    start = np.cumsum(since) - since[0]
    bars = bars or -(-int((start + length).max()) // BAR)
    found = np.full((bars * BAR, PITCHES, 1), -1, np.float32)
    for first, last, one in zip(start[loud > 0], (start + length)[loud > 0], pitch[loud > 0]):
        found[first:last, one] = 1
        found[first - 1:first, one] = -1  # a note that is struck again is another
    return found.reshape(bars, BAR, PITCHES, 1)


def listed(spans, length):
    """Notes (first step, step after the last, pitch) in order of their starts as uint8 [length, 4], filled up with rests."""
    found = np.tile(np.array([BAR, 1, 0, 0], np.uint8), (length, 1))
    before = spans[0][0] if spans else 0
    for row, (start, end, pitch) in zip(found, spans):
        row[:] = min(start - before, MOST[0]), min(end - start, MOST[1]), pitch, 80
        before = start
    return found


def read(data, field):
    """The bytes of a MIDI file as uint8 [T, 4]: its first notes, of all tracks but drums. Raises ValueError: as `notes.parse`."""
    length = field.shape[0]
    found = spans(data, field.more.get("lowest", MORE["lowest"]), field.more.get("beat", MORE["beat"]))
    return listed(found[:length], length or len(found))


def spans(data, lowest=36, beat=4):
    """All notes of a MIDI file, (first step, step after the last, pitch), in order; pitches beyond PITCHES move by octaves."""
    whole = notes.parse(data, PITCHES, 16, lowest, beat)[0].any(2)
    return sorted(notes._spans(whole), key=lambda span: (span[0], span[2]))


def write(sample, media=next(iter(MEDIA)), lowest=36, beat=4, tempo=100):
    """A piece, float [T, 4], as `kgan.kinds.notes` writes it; as .npy its own numbers."""
    return notes.write(sample if media == "application/x-npy" else roll(sample), media, lowest, beat, tempo)


def beside(samples, lowest=36, beat=4, tempo=100):
    """Files of the first SHOWN pieces, one after the other: as `kgan.kinds.notes.beside`."""
    return notes.beside(to_rolls(samples[:SHOWN]), lowest, beat, tempo)


def to_rolls(samples, bars=None):
    """Pieces float [n, T, 4] as rolls for kgan.kinds.notes, as long as the longest, padded with silence (-1)."""
    found = [roll(sample, bars) for sample in samples]
    most = max(map(len, found))
    return np.stack([np.pad(one, [(0, most - len(one)), (0, 0), (0, 0), (0, 0)], constant_values=-1) for one in found])


def sheet(samples, behind=None, columns=4, smallest=512, gap=4):
    """Rolls of the first eight bars: see `kgan.kinds.notes.sheet`."""
    return notes.sheet(_cut(samples), None, columns, smallest, gap)


def sheet_size(shape, count=1, columns=1, gap=4):
    return notes.sheet_size((8, BAR, PITCHES), count, columns, gap)


def _cut(samples, bars=8):
    rolls = to_rolls(samples)[:, :bars]
    return np.pad(rolls, [(0, 0), (0, bars - rolls.shape[1]), (0, 0), (0, 0), (0, 0)], constant_values=-1)


def images(samples):
    """Rolls of the first STEPS steps, float32 [n, PITCHES, STEPS, 1]."""
    samples = np.asarray(samples)
    return notes.images(_cut(samples, STEPS // BAR)) if len(samples) else np.zeros((0, PITCHES, STEPS, 1), np.float32)


def examples(field, count, seed=0):
    """Scales from a random pitch on, float32 [count, *field.shape]; a free length is 16."""
    length = field.shape[0] or 16
    first = np.random.default_rng(seed).integers(24, size=(count, 1))
    pitch = first + np.arange(length) % 12
    rest = np.broadcast_to([2, 2, 0, 80], (count, length, 4)).astype(np.float32).copy()
    rest[..., 2] = pitch
    return scale(rest)
