"""Sound: waveforms of one channel, stored as int16 [T, 1], seen by networks as float32 in [-1, 1].

`Field.more["rate"]` says how many samples a second has. Files of any rate and number of channels are read: they are
resampled, and channels are averaged. WAV of 8 to 32 bits is read by the standard library; FLAC, OGG and WAV of floats
where `soundfile` is installed.
"""
import importlib.util
import io
import wave

import numpy as np
from PIL import Image

from kgan.kinds import _sound

FIELD, OUTPUT, UNIT = "audio", "audio", "sounds"
RANGE = (-1.0, 1.0)
PLOT = False
SHOWN = 16
MORE = {"rate": 16_000}
MEDIA = {"audio/wav": ".wav"}
# what soundfile can read, if it is there
_OTHERS = (".flac", ".ogg") if importlib.util.find_spec("soundfile") else ()
SUFFIXES = (".wav", *_OTHERS)
MAX_SAMPLES = 1 << 26  # of a file that `read` decodes: 23 minutes at 48 kHz
RATES, CHANNELS = (1_000, 384_000), 16  # that a file may have
LOUDEST = 16  # of samples that are floats: what is a little above 1 is cut, what is far above is of another scale
ENDLESS = 0x7FFF0000  # bytes and more in the head of a WAV file that was written to a pipe: it goes on to its end

WIDTH, TALL, HIGH = 126, 36, 64  # pixels of a sound in a sheet; height of its waveform and of its spectrogram
# colours of a spectrogram from silence to full scale, evenly spaced
COLOURS = np.array([[10, 10, 30], [60, 20, 110], [150, 40, 120], [230, 90, 70], [255, 170, 50], [255, 250, 190]], np.float64)


def scale(values):
    return values / 32768.0


def store(values):
    """float [-1, 1] to int16, rounded, halves to even; what lies outside is cut."""
    return np.clip(np.rint(np.asarray(values, np.float64) * 32768), -32768, 32767).astype(np.int16)


# === Files ===

def read(data, field, max_pixels=MAX_SAMPLES):
    """The bytes of a sound file as int16 [T, 1], of the field's rate; of a field whose length is fixed, cut or filled
    with silence.

    Args:
        data: bytes.
        field: kgan.kinds.Field; its rate is `more["rate"]`, else 16,000.
        max_pixels: samples that the sound may have at most, at the field's rate. (A server bounds all kinds by one
            number.)

    Raises:
        ValueError: it is no sound that can be read, is longer than that, or is empty.
    """
    sound, length = brought(data, field.more.get("rate", MORE["rate"]), max_pixels)[0][:, None], field.shape[0]
    return sound if length is None else np.pad(sound[:length], [(0, max(0, length - len(sound))), (0, 0)])


def brought(data, rate, most=MAX_SAMPLES):
    """The bytes of a sound file, brought to a rate: (int16 [T], its own rate). Errors as for `read`."""
    waves, own = decode(data, most, rate)
    return store(_sound.resample(waves, own, rate)), own


def decode(data, most=MAX_SAMPLES, new=None):
    """A file's bytes as a waveform.

    Args:
        data: bytes.
        most: samples that it may have at most, at the rate `new`; None: at its own.

    Returns:
        (float64 [T] in [-1, 1], the mean of its channels; its rate).

    Raises:
        ValueError: as for `read`.
    """
    try:
        channels, rate = _wave(data, most, new)
    except (wave.Error, EOFError) as error:
        channels, rate = _other(data, most, new, str(error))
    if not len(channels):
        raise ValueError("the sound is empty")
    if not np.isfinite(channels).all():
        raise ValueError("samples of the sound are NaN or infinite")
    if (peak := np.abs(channels).max()) > LOUDEST:
        raise ValueError(f"samples of the sound are as large as {peak:.6g}; those of floats are from -1 to 1")
    channels = np.clip(channels, -1, 1)
    return channels.mean(1), rate


def _wave(data, most, new):
    with wave.open(io.BytesIO(data)) as file:
        count, channels, width = file.getnframes(), file.getnchannels(), file.getsampwidth()
        endless = count * channels * width >= ENDLESS
        count = min(count, len(data) // (channels * width)) if endless else count
        _bounded(count, channels, file.getframerate(), most, new)
        values = np.frombuffer(file.readframes(count), np.uint8)
        if width not in (1, 2, 3, 4):
            raise ValueError(f"the WAV file has {8 * width} bits; 8, 16, 24 and 32 can be read")
        values = values[:len(values) // (width * channels) * width * channels].reshape(-1, width)
        if not endless and len(values) < count * channels:
            raise ValueError(f"the file is cut off: of {count} samples {len(values) // channels} are there")
        if width == 1:  # of one byte they are not signed
            return ((values.astype(np.float64) - 128) / 128).reshape(-1, channels), file.getframerate()
        whole = np.zeros((len(values), 4), np.uint8)
        whole[:, 4 - width:] = values
        return whole.view("<i4").astype(np.float64).reshape(-1, channels) / 2**31, file.getframerate()


def _other(data, most, new, reason):
    if not _OTHERS:
        raise ValueError(f"this is no sound that can be read ({reason}): WAV files of 8 to 32 bits are; for FLAC, OGG and "
                         "WAV of floats pip install soundfile")
    import soundfile
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _bounded(file.frames, file.channels, file.samplerate, most, new)
            values = file.read(file.frames, always_2d=True)
            if len(values) < file.frames:
                raise ValueError(f"the file is cut off: of {file.frames} samples {len(values)} are there")
            return values, file.samplerate
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"this is no sound that can be read ({reason}); WAV, FLAC and OGG are") from None


def _bounded(count, channels, rate, most, new):
    """Raises ValueError where the head of a file says what cannot be: before anything is decoded."""
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"the sound has {rate} samples a second; {RATES[0]} to {RATES[1]} can be read")
    if channels > CHANNELS:
        raise ValueError(f"the sound has {channels} channels; at most {CHANNELS} can be read")
    if (length := -(-count * (new or rate) // rate)) > most:
        raise ValueError(f"the sound has {length} samples{f' at {new} Hz' if new else ''}, more than {most}")


def write(sample, media="audio/wav", rate=MORE["rate"]):
    """A WAV file of 16 bits of one sound, float [T, 1]."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(store(sample).astype("<i2").tobytes())
    return buffer.getvalue()


def beside(samples, rate=MORE["rate"]):
    """{".wav": a file of the first SHOWN sounds, float [n, T, 1], one after the other, with a quarter of a second
    between}.
    """
    padded = np.pad(np.asarray(samples, np.float32)[:SHOWN, :, 0], [(0, 0), (0, rate // 4)])
    return {".wav": write(padded.reshape(-1, 1), rate=rate)}


# === Pictures ===

def sheet(samples, behind=None, columns=8, smallest=512, gap=2):
    """One picture of many sounds, each as its waveform above its spectrogram: low frequencies below, from -80 dB to
    full scale.

    Args:
        samples: float [n, T, 1].
        behind: not used.
        columns: sounds a row.
        smallest: the sheet has a border; 0: it has exactly `sheet_size`.
        gap: white pixels between sounds.

    Returns:
        PIL.Image, RGB.
    """
    waves, border = np.asarray(samples, np.float32)[..., 0], gap if smallest else 0
    columns = min(columns, len(waves))
    height, width = sheet_size(waves.shape[1:], len(waves), columns, gap)
    picture = Image.new("RGB", (width + 2 * border, height + 2 * border), "white")
    for i, (one, loud) in enumerate(zip(waves, _sound.spectrogram(waves))):
        place = border + i % columns * (WIDTH + gap), border + i // columns * (TALL + HIGH + gap)
        picture.paste(_drawn(one), place)
        picture.paste(_coloured(loud).resize((WIDTH, HIGH), Image.Resampling.BILINEAR), (place[0], place[1] + TALL))
    return picture


def sheet_size(shape, count=1, columns=1, gap=2):
    """(height, width) of a `sheet` without border of `count` sounds."""
    columns = min(columns, count)
    return -(-count // columns) * (TALL + HIGH + gap) - gap, columns * (WIDTH + gap) - gap


def _drawn(wave):
    """A waveform as the range that each column of pixels covers."""
    edges = np.linspace(0, len(wave), WIDTH + 1).astype(int)
    spans = [wave[start:max(end, start + 1)] for start, end in zip(np.minimum(edges, len(wave) - 1), edges[1:])]
    low, high = ((1 - np.clip([part(span) for span in spans], -1, 1)) / 2 * (TALL - 1) for part in (np.max, np.min))
    rows = np.arange(TALL)[:, None]
    there = (rows >= np.floor(low)) & (rows <= np.ceil(high))
    return Image.fromarray(np.where(there[..., None], np.uint8([31, 119, 180]), np.uint8([244, 246, 250])))


def _coloured(loud):
    place = np.clip(1 - loud[::-1] / _sound.FLOOR, 0, 1) * (len(COLOURS) - 1)
    colours = np.stack([np.interp(place, np.arange(len(COLOURS)), COLOURS[:, channel]) for channel in range(3)], -1)
    return Image.fromarray(np.rint(colours).astype(np.uint8))


def images(samples):
    """Spectrograms, float32 [n, 64, 64, 1]: -1 is silence (-80 dB), 1 a sine of full scale; the lowest band in the
    first row.
    """
    return (1 - 2 * _sound.spectrogram(np.asarray(samples)[..., 0]) / _sound.FLOOR)[..., None].astype(np.float32)


# === Measures ===

def compare(made, true, rate=MORE["rate"]):
    """Two aligned batches, float [n, T, 1]: dict of float64 [n].

    `si_sdr` and `segmental_snr` in dB, `stoi` up to 1; `pesq` where that package is installed and the rate is 8,000 or
    16,000. NaN where a sound is too short or silent. kgan.kinds._sound has the protocol of each.
    """
    pairs = list(zip(np.asarray(made)[..., 0], np.asarray(true)[..., 0]))
    found = {"si_sdr": [_sound.si_sdr(*pair) for pair in pairs],
             "segmental_snr": [_sound.segmental_snr(*pair, rate) for pair in pairs],
             "stoi": [_sound.stoi(*pair, rate) for pair in pairs]}
    if rate in (8_000, 16_000) and importlib.util.find_spec("pesq"):
        found["pesq"] = [_pesq(*pair, rate) for pair in pairs]
    return {name: np.array(values, np.float64) for name, values in found.items()}


def _pesq(made, true, rate):
    import pesq
    try:
        return pesq.pesq(rate, true, made, "nb" if rate == 8_000 else "wb")
    except pesq.PesqError:  # there is no speech in it, or it is too short
        return np.nan


def examples(field, count, seed=0):
    """Chords of three harmonic tones that fade, float32 [count, *field.shape]; a free length is a quarter of a second."""
    rate = field.more.get("rate", MORE["rate"])
    length = field.shape[0] or rate // 4
    rng = np.random.default_rng(seed)
    time = np.arange(length) / rate
    pitch, phase = rng.uniform(100, rate / 16, (2, count, 3, 1))
    fade = np.exp(-time * rng.uniform(1, 8, (count, 1)))
    tones = sum(np.sin(2 * np.pi * harmonic * pitch * time + phase) / harmonic for harmonic in (1, 2, 3))
    return (0.15 * fade * tones.sum(1))[..., None].astype(np.float32)
