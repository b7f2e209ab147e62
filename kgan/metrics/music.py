"""Measures of music as rolls bool [n, bars, steps, pitches, tracks]: Dong et al. 2017 (MuseGAN), section 4, and Mogren
2016.

None has a best value: what counts is how near samples come to the data's own. The published program's pitch classes are
wrong: it folds 84 pitches into 12 bands of seven semitones; here they are what is the same in each octave.
"""
import numpy as np

NAMES = "empty_bars", "pitch_classes", "qualified_notes", "polyphony", "tone_span", "repetition"


def of(rolls, lowest=36, tracks=()):
    """All measures of rolls, a dict of float: those in NAMES, means over the tracks that are no drums; `drum_patterns`
    where there are drums; `tonal_distance`, mean over the pairs of the others. NaN where there is nothing to
    measure."""
    rolls = np.asarray(rolls) > 0
    drums = [i for i in range(rolls.shape[-1]) if i < len(tracks) and tracks[i] == "drums"]
    tuned = [i for i in range(rolls.shape[-1]) if i not in drums]
    found = {name: float(np.nanmean([MEASURES[name](rolls[..., i]) for i in tuned])) for name in NAMES}
    pairs = [(i, j) for k, i in enumerate(tuned) for j in tuned[k + 1:]]
    if pairs:
        found["tonal_distance"] = float(np.nanmean([tonal_distance(rolls[..., i], rolls[..., j], lowest) for i, j in pairs]))
    if drums:
        found["drum_patterns"] = drum_patterns(rolls[..., drums[0]])
    return found


def distance(made, real):
    """How far measures, dicts as `of` gives them, are from real ones: the mean of |made - real| / (|real| + .1), of those that both have."""
    found = [abs(made[name] - value) / (abs(value) + 0.1) for name, value in real.items() if name in made]
    found = [value for value in found if np.isfinite(value)]
    return float(np.mean(found)) if found else np.nan


# === Of one track, bool [n, bars, steps, pitches] ===

def empty_bars(rolls):
    """Share of bars without a note (EB)."""
    return float(1 - rolls.any((2, 3)).mean())


def pitch_classes(rolls):
    """Pitch classes, of twelve, that a bar uses, mean of the bars that are not empty (UPC)."""
    used = folded(rolls.any(2))
    counts = (used > 0).sum(-1)
    return float(counts[counts > 0].mean()) if counts.any() else np.nan


def folded(values, lowest=0):
    """[..., pitches] -> [..., 12]: sums over octaves."""
    found = np.zeros((*values.shape[:-1], 12))
    for pitch in range(values.shape[-1]):
        found[..., (lowest + pitch) % 12] += values[..., pitch]
    return found


def lengths(rolls):
    """The lengths in steps of all notes; a note may go on over bars."""
    whole = rolls.reshape(len(rolls), -1, rolls.shape[-1]).swapaxes(1, 2).reshape(-1, rolls.shape[1] * rolls.shape[2])
    edges = np.diff(np.pad(whole.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    return np.argwhere(edges == -1)[:, 1] - np.argwhere(edges == 1)[:, 1]


def qualified_notes(rolls, least=3):
    """Share of notes that are `least` steps long or longer (QN; the paper says three): the rest is fragments."""
    found = lengths(rolls)
    return float((found >= least).mean()) if len(found) else np.nan


def polyphony(rolls):
    """Share of the steps with notes that have two or more (Mogren 2016; its POLYPHONY counts tones that begin
    together).
    """
    counts = rolls.sum(-1)
    return float((counts >= 2).sum() / (counts >= 1).sum()) if counts.any() else np.nan


def tone_span(rolls):
    """Semitones from the lowest to the highest note of a piece, mean of the pieces that have any."""
    used = rolls.any((1, 2))
    spans = [np.ptp(np.flatnonzero(row)) for row in used if row.any()]
    return float(np.mean(spans)) if spans else np.nan


def repetition(rolls):
    """Share of bars, from the second on, that are the same as the bar before; of those that are not empty."""
    same = (rolls[:, 1:] == rolls[:, :-1]).all((2, 3))
    heard = rolls[:, 1:].any((2, 3))
    return float(same[heard].mean()) if heard.any() else np.nan


def drum_patterns(rolls):
    """Share of drum notes on the beats' eighths, every second of 16 steps a bar (DP, of 8- and 16-beat patterns)."""
    starts = rolls & ~np.pad(rolls, [(0, 0), (0, 0), (1, 0), (0, 0)])[:, :, :-1]
    every = max(1, rolls.shape[2] // 8)
    return float(starts[:, :, ::every].sum() / starts.sum()) if starts.any() else np.nan


MEASURES = {"empty_bars": empty_bars, "pitch_classes": pitch_classes, "qualified_notes": qualified_notes,
            "polyphony": polyphony, "tone_span": tone_span, "repetition": repetition}


# === Of two tracks ===

def tonal_distance(one, other, lowest=0):
    """Mean distance of two tracks' tonal centroids, of half bars in which both play (TD; Harte, Sandler & Gasser 2006,
    equation 2).

    Chroma vectors, divided by their sums, are laid on the circles of fifths (radius 1), minor thirds (1) and major
    thirds (.5).
    """
    centroids = []
    for rolls in (one, other):
        half = rolls.shape[2] // 2
        chroma = folded(rolls[:, :, :2 * half].reshape(len(rolls), -1, half, rolls.shape[-1]).sum(2), lowest)
        total = chroma.sum(-1, keepdims=True)
        centroids.append(np.where(total > 0, (chroma / np.maximum(total, 1)) @ _circles(), np.nan))
    found = np.linalg.norm(centroids[0] - centroids[1], axis=-1)
    return float(np.nanmean(found)) if np.isfinite(found).any() else np.nan


def _circles():
    """[12, 6]."""
    pitch = np.arange(12)
    parts = [radius * turn(pitch * step * np.pi) for radius, step in ((1, 7 / 6), (1, 3 / 2), (0.5, 2 / 3))
             for turn in (np.sin, np.cos)]
    return np.stack(parts, -1)
