import io
import struct
import wave

import numpy as np
import pytest

from kgan import kinds
from kgan.kinds import Field, _sound, audio

FREE = Field("audio", (None, 1), more={"rate": 8000})


def tone(rate, hertz=440.0, seconds=0.5, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def speech(rate, seconds=2.0, seed=0):
    """Harmonics in syllables, with some noise."""
    time = np.arange(round(rate * seconds)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 15)) * np.sin(2 * np.pi * 2 * time) ** 2
    return 0.2 * voice + 0.005 * np.random.default_rng(seed).normal(size=len(time))


def wav(channels, rate, width):
    """Channels [T, C] of floats as the bytes of a WAV file."""
    buffer = io.BytesIO()
    whole = np.rint(np.clip(channels, -1, 1) * (2 ** (8 * width - 1) - 1)).astype(np.int64) + 128 * (width == 1)
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"".join(int(value).to_bytes(width, "little", signed=width > 1) for value in whole.ravel()))
    return buffer.getvalue()


# === What it is ===

def test_found_by_name():
    assert kinds.get("audio") is audio and kinds.guess((16384, 1)) == "audio"


def test_stored_is_seen_again():
    stored = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(audio.store(audio.scale(stored.astype(np.float32))), stored)
    np.testing.assert_array_equal(audio.store([-7.0, 7.0]), [-32768, 32767])


def test_examples():
    made = audio.examples(Field("audio", (4000, 1), more={"rate": 8000}), 3, seed=1)
    assert made.shape == (3, 4000, 1) and made.dtype == np.float32 and 0.05 < np.abs(made).max() <= 1
    np.testing.assert_array_equal(made[:1], audio.examples(Field("audio", (4000, 1), more={"rate": 8000}), 3, seed=1)[:1])
    assert audio.examples(FREE, 1).shape == (1, 2000, 1)


# === Files ===

@pytest.mark.parametrize("width, error", [(1, 1 / 128), (2, 2e-4), (3, 2e-4), (4, 2e-4)])
def test_bits(width, error):
    found = audio.read(wav(tone(8000)[:, None], 8000, width), FREE)
    assert found.dtype == np.int16 and found.shape == (4000, 1)
    np.testing.assert_allclose(audio.scale(found[:, 0]), tone(8000), atol=error)


def test_channels_are_averaged():
    channels = np.stack([tone(8000), np.zeros(4000), -tone(8000, level=0.1)], 1)
    np.testing.assert_allclose(audio.scale(audio.read(wav(channels, 8000, 3), FREE)[:, 0]), tone(8000) * 0.4 / 1.5, atol=1e-4)


@pytest.mark.parametrize("rate", [4_000, 11_025, 44_100, 48_000])
def test_rates(rate):
    found = audio.scale(audio.read(wav(tone(rate)[:, None], rate, 2), FREE))[:, 0]
    assert len(found) == -(-round(rate * 0.5) * 8000 // rate)
    # at the ends there is a break: what went on before is not known
    np.testing.assert_allclose(found[100:-100], tone(8000, seconds=0.6)[:len(found)][100:-100], atol=2e-3)


def test_a_fixed_length_cuts_and_fills():
    data = wav(tone(8000)[:, None], 8000, 2)
    whole = audio.read(data, FREE)
    np.testing.assert_array_equal(audio.read(data, Field("audio", (1000, 1), more={"rate": 8000})), whole[:1000])
    found = audio.read(data, Field("audio", (5000, 1), more={"rate": 8000}))
    np.testing.assert_array_equal(found[:4000], whole)
    assert len(found) == 5000 and not found[4000:].any()


def test_what_is_written_is_read():
    sample = speech(8000).astype(np.float32)[:, None]
    data = audio.write(sample, rate=8000)
    np.testing.assert_array_equal(audio.read(data, FREE), audio.store(sample))
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)


@pytest.mark.parametrize("suffix, subtype", [("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("WAV", "FLOAT")])
def test_other_files(suffix, subtype):
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone(16000), tone(16000)], 1), 16000, format=suffix, subtype=subtype)
    found = audio.scale(audio.read(buffer.getvalue(), FREE))[:, 0]
    np.testing.assert_allclose(found[200:-200], tone(8000)[200:-200], atol=0.02 if suffix == "OGG" else 1e-3)


@pytest.mark.parametrize("data, message", [
    (b"", "no sound that can be read"), (b"\x89PNG\r\n\x1a\n" + bytes(99), "no sound that can be read"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "no sound that can be read"), (wav(np.zeros((0, 1)), 8000, 2), "the sound is empty"),
    (wav(np.zeros((9, 1)), 500_000, 2), "500000 samples a second; 1000 to 384000"),
    (wav(np.zeros((1400, 2)), 8000, 2), "has 1400 samples at 8000 Hz, more than 1000"), (wav(np.zeros((9, 17)), 8000, 2), "17 channels"),
    (wav(np.zeros((700, 1)), 2000, 2), "has 2800 samples at 8000 Hz, more than 1000")])
def test_what_cannot_be_read(data, message):
    with pytest.raises(ValueError, match=message):
        audio.read(data, FREE, max_pixels=1000)


def test_a_header_that_promises_too_much():
    data = bytearray(wav(tone(8000)[:, None], 8000, 2))
    data[40:44] = struct.pack("<I", 2**30)  # bytes of the data chunk
    with pytest.raises(ValueError, match="more than"):
        audio.read(bytes(data), FREE, max_pixels=10_000)


def test_a_file_that_is_cut_off_and_one_that_was_written_to_a_pipe():
    data = wav(tone(8000)[:, None], 8000, 2)
    with pytest.raises(ValueError, match="is cut off: of 4000 samples 2000 are there"):
        audio.read(data[:44 + 4000], FREE)
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000):
        endless = data[:40] + struct.pack("<I", size) + data[44:]
        np.testing.assert_array_equal(audio.read(endless, FREE), audio.read(data, FREE))


@pytest.mark.parametrize("value, message", [(np.nan, "NaN or infinite"), (-np.inf, "NaN or infinite"), (-32768, "as large as 32768")])
def test_floats_that_are_no_samples(value, message):
    soundfile = pytest.importorskip("soundfile")
    samples, buffer = tone(8000).astype(np.float32), io.BytesIO()
    samples[7] = value
    soundfile.write(buffer, samples, 8000, format="WAV", subtype="FLOAT")
    with pytest.raises(ValueError, match=message):
        audio.read(buffer.getvalue(), FREE)


# === Resampling: against what a tone is at the other rate, and against SciPy ===

def test_resampling_is_exact_inside_and_lets_nothing_alias():
    scipy = pytest.importorskip("scipy.signal")
    found = _sound.resample(tone(44_100, 1000), 44_100, 16_000)
    np.testing.assert_allclose(found[300:-300], tone(16_000, 1000)[300:-300], atol=1e-5)
    # 6 kHz is above the limit of 8 kHz sound
    assert np.abs(_sound.resample(tone(16_000, 6000), 16_000, 8_000)[100:-100]).max() < 1e-4
    x = speech(16_000)
    other = scipy.resample_poly(x, 1, 2)
    assert np.abs(_sound.resample(x, 16_000, 8_000) - other)[200:-200].std() < 0.02 * other.std()


# === Pictures ===

def test_spectrograms_show_where_a_tone_is():
    rows = [int(audio.images(tone(8000, hertz, 1.0, 1.0)[None, :, None])[0, ..., 0].mean(1).argmax()) for hertz in (100, 500, 2000)]
    assert rows == sorted(set(rows))
    found = audio.images(np.stack([tone(8000, 500, 1.0, 1.0), np.zeros(8000)])[..., None])
    assert found.shape == (2, 64, 64, 1) and found.dtype == np.float32
    assert 1 - 2 * 3.01 / 80 < found[0].max() <= 1  # a sine of full scale; half way between two bands each has half of it
    assert (found[1] == -1).all()
    # half as loud is 6 dB, of the 80 that -1 to 1 stand for
    half = audio.images(tone(8000, 500, 1.0, 0.5)[None, :, None])
    assert found[0].max() - half.max() == pytest.approx(2 * 6.02 / 80, abs=1e-3)


def test_spectrograms_show_when_a_tone_is():
    wave = tone(8000, 500, 1.0)
    wave[:4000] = 0
    loud = audio.images(wave[None, :, None])[0, ..., 0].max(0)
    assert (loud[:30] < -0.5).all() and (loud[34:62] > 0.5).all()


@pytest.mark.parametrize("length", [1, 63, 64, 1000, 16384])
def test_sheets_of_any_length(length):
    samples = np.clip(np.random.default_rng(0).normal(size=(3, length, 1)), -1, 1)
    picture = audio.sheet(samples, columns=2, smallest=0)
    assert (picture.height, picture.width) == audio.sheet_size((length, 1), 3, 2)
    assert audio.images(samples).shape == (3, 64, 64, 1)


# === Measures ===

def test_si_sdr_by_hand():
    true, noise = np.array([1.0, 0, 1, 0]), np.array([0, 0.1, 0, -0.1])  # at right angles: 20 dB
    assert _sound.si_sdr(true + noise, true) == pytest.approx(20)
    assert _sound.si_sdr(5 * (true + noise), true) == pytest.approx(20)
    assert _sound.si_sdr(noise, true) < -100 and np.isnan(_sound.si_sdr(true, 0 * true))


def test_segmental_snr_by_hand():
    # noise of a tenth of the signal in each sample: 20 dB in each frame, whatever the window
    true = tone(8000, seconds=1.0)
    assert _sound.segmental_snr(1.1 * true, true, 8000) == pytest.approx(20)
    # half of the frames perfect (35), half silenced (0 dB), but for those between
    made = np.concatenate([true[:4000], 0 * true[4000:]])
    assert _sound.segmental_snr(made, true, 8000) == pytest.approx(17.5, abs=1)
    assert np.isnan(_sound.segmental_snr(true[:200], true[:200], 8000))


@pytest.mark.parametrize("rate, exact", [(10_000, 1e-9), (16_000, 0.01), (8_000, 0.01)])
@pytest.mark.parametrize("level", [0.02, 0.2])
def test_stoi_is_pystoi(rate, exact, level):
    """At 10 kHz to the last digits; at other rates pystoi resamples otherwise."""
    pystoi = pytest.importorskip("pystoi")
    true = speech(rate)
    made = true + level * np.random.default_rng(1).normal(size=len(true))
    assert _sound.stoi(made, true, rate) == pytest.approx(pystoi.stoi(true, made, rate), abs=exact)


def test_stoi_of_what_is_too_short():
    assert np.isnan(_sound.stoi(speech(8000, 0.2), speech(8000, 0.2), 8000))


def test_compare():
    true = np.stack([speech(8000), speech(8000, seed=1)])[..., None]
    made = true + 0.05 * np.random.default_rng(2).normal(size=true.shape)
    found = audio.compare(made, true, rate=8000)
    assert {"si_sdr", "segmental_snr", "stoi"} <= set(found) and all(len(values) == 2 for values in found.values())
    assert found["stoi"][0] == _sound.stoi(made[0, :, 0], true[0, :, 0], 8000)
    same = audio.compare(true, true, rate=8000)
    assert same["stoi"] == pytest.approx(1) and (same["segmental_snr"] > 34).all()
