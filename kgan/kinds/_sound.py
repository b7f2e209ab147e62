"""Waveforms by NumPy alone: resampling, spectrograms, and measures of two aligned ones: SI-SDR, segmental SNR, STOI."""
import functools
import math

import numpy as np

TINY = np.finfo(np.float64).eps
FLOOR = -80.0  # dB below a sine of full scale: what is softer is black in a spectrogram
BANDS = FRAMES = 64  # of a spectrogram


def resample(waves, old, new, taper=0.05):
    """Waveforms at another rate, float64 [..., T'], T' = ceil(T · new / old): by Fourier transform, ends continued by
    reflection.

    What is above the lower of the two rates' limits is taken out, with a cosine over the last `taper` of the band.

    Args:
        waves: float [..., T].
        old, new: rates, whole numbers of samples a second.
    """
    waves = np.asarray(waves, np.float64)
    count, factor = waves.shape[-1], math.gcd(old, new)
    if old == new or count == 0:
        return waves
    wanted, unit = -(-count * new // old), old // factor  # lengths that are whole at both rates are multiples of the unit
    before = -(-min(count, 4096) // unit) * unit
    whole = -(-(count + 2 * before) // unit) * unit
    places = np.arange(-before, whole - before) % (2 * count)
    spectrum = np.fft.rfft(waves[..., np.where(places < count, places, 2 * count - 1 - places)])
    length = whole // unit * (new // factor)
    kept = np.zeros((*spectrum.shape[:-1], length // 2 + 1), complex)
    bins = min(spectrum.shape[-1], kept.shape[-1])
    position = np.arange(bins) / (min(whole, length) / 2)
    kept[..., :bins] = spectrum[..., :bins] * (0.5 + 0.5 * np.cos(np.pi * np.clip((position - 1 + taper) / taper, 0, 1)))
    start = before // unit * (new // factor)
    return np.fft.irfft(kept, length)[..., start:start + wanted] * (length / whole)


# === Spectrograms ===

def spectrogram(waves):
    """How loud each band is at each time, float32 [n, BANDS, FRAMES] in dB from FLOOR up to 0, a sine of full scale;
    low bands first.

    Hann windows of two frames' length, half of which overlap; bands by triangles that are wider towards the top, from one
    64th of an eighth of the spectrum on. Of a waveform of any rate and length: a frame is a 64th of it.

    Args:
        waves: float [n, T], T at least 1.
    """
    waves = np.asarray(waves, np.float64)
    hop = -(-waves.shape[1] // FRAMES)
    window = np.hanning(2 * hop + 2)[1:-1]
    padded = np.pad(waves, [(0, 0), (hop // 2, FRAMES * hop + 2 * hop - waves.shape[1])])
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop, 1)[:, :FRAMES * hop:hop]
    size = max(256, 2 ** math.ceil(math.log2(2 * hop)))
    power = np.abs(np.fft.rfft(frames * (2 / window.sum() * window), size)) ** 2
    return np.clip(10 * np.log10(power @ _triangles(size // 2 + 1) + 1e-12), FLOOR, 0).astype(np.float32).swapaxes(1, 2)


@functools.lru_cache(maxsize=8)
def _triangles(bins):
    """Weights [bins, BANDS] of a power spectrum: each band's largest is 1."""
    edges = np.expm1(1.5 * np.arange(BANDS + 2) / (BANDS + 1)) / np.expm1(1.5) * (bins - 1)
    rise = (np.arange(bins)[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - np.arange(bins)[:, None]) / (edges[2:] - edges[1:-1])
    found = np.clip(np.minimum(rise, fall), 0, 1)
    # the lowest may lie between two bins
    found[np.rint(edges[1:-1]).astype(int), np.arange(BANDS)] = np.maximum(
        found[np.rint(edges[1:-1]).astype(int), np.arange(BANDS)], 0.5)
    return found


# === Measures: of float [T] each ===

def si_sdr(made, true):
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, "SDR – half-baked or well done?", equation
    5).

    Means are not taken off. NaN where the true one is silent.
    """
    made, true = np.asarray(made, np.float64), np.asarray(true, np.float64)
    energy = true @ true
    if not energy:
        return np.nan
    target = (made @ true) / energy * true
    rest = ((made - target) ** 2).sum()
    return 10 * np.log10((target @ target + 1e-300) / max(rest, 1e-300))


def segmental_snr(made, true, rate):
    """Mean over frames of the signal-to-noise ratio in dB, each cut to -10 … 35 (Hu & Loizou 2008; SEGAN's `SSNR`).

    Frames of 30 ms, Hann windows, a quarter of a frame apart. NaN where there is not one whole frame.
    """
    made, true = np.asarray(made, np.float64), np.asarray(true, np.float64)
    length = round(0.03 * rate)
    hop = length // 4
    if len(true) < length:
        return np.nan
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, length + 1) / (length + 1)))
    signal, noise = (((np.lib.stride_tricks.sliding_window_view(values, length)[::hop] * window) ** 2).sum(1)
                     for values in (true, true - made))
    return float(np.clip(10 * np.log10(signal / (noise + TINY) + TINY), -10, 35).mean())


def stoi(made, true, rate):
    """Short-time objective intelligibility, up to 1 (Taal et al. 2011, doi:10.1109/TASL.2011.2114881).

    At 10 kHz: frames more than 40 dB below the loudest of the true one are left out of both; 15 bands of a third of an
    octave from 150 Hz on; correlations over 30 frames (384 ms). NaN where fewer frames are left.
    """
    true, made = (resample(values, rate, 10_000) for values in (true, made))
    size, hop, segment = 256, 128, 30
    window = np.hanning(size + 2)[1:-1]

    def frames(values):
        return np.array([window * values[i:i + size] for i in range(0, len(values) - size, hop)]).reshape(-1, size)

    def joined(parts):
        whole = np.zeros(max(0, len(parts) - 1) * hop + size)
        for i, part in enumerate(parts):
            whole[i * hop:i * hop + size] += part
        return whole

    true, made = frames(true), frames(made)
    if not len(true):
        return np.nan
    energy = 20 * np.log10(np.linalg.norm(true, axis=1) + TINY)
    heard = energy > energy.max() - 40
    true, made = (np.sqrt(np.abs(np.fft.rfft(frames(joined(values[heard])), 512)) ** 2 @ _thirds()).T
                  for values in (true, made))
    if true.shape[1] < segment:
        return np.nan
    true, made = (np.lib.stride_tricks.sliding_window_view(values, segment, 1) for values in (true, made))  # [bands, m, 30]
    made = made * _norm(true) / (_norm(made) + TINY)
    made = np.minimum(made, true * (1 + 10 ** (15 / 20)))  # no worse than -15 dB
    true, made = (values - values.mean(2, keepdims=True) for values in (true, made))
    return float((true / (_norm(true) + TINY) * made / (_norm(made) + TINY)).sum(2).mean())


def _norm(values):
    return np.linalg.norm(values, axis=2, keepdims=True)


@functools.lru_cache(maxsize=1)
def _thirds():
    """Which bins of 512 at 10 kHz belong to each of 15 bands, [257, 15]."""
    bins = np.arange(257) * 10_000 / 512
    edges = [np.abs(bins[:, None] - 150 * 2 ** ((2 * np.arange(15) + way) / 6)).argmin(0) for way in (-1, 1)]
    return ((np.arange(257)[:, None] >= edges[0]) & (np.arange(257)[:, None] < edges[1])).astype(float)
