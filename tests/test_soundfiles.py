import keras
import numpy as np
import pytest

from kgan import soundfiles, translate
from kgan.kinds import Field, audio
from kgan.models import segan


def tone(rate, seconds=1.0, hertz=300):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.fixture(scope="module")
def gan():
    keras.utils.set_random_seed(0)
    return segan.build((64, 1), segan.Config(filters=(4, 6), strides=4, taps=7))


def test_parts_make_the_same_sound(gan):
    """The network sees about 30 samples to each side, and de-emphasis 270 back: with an overlap of 1,280 there are no seams."""
    network, rate, multiple = soundfiles.function_of(gan)
    assert (rate, multiple) == (8000, 16)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    whole = soundfiles.enhance(network, sound, 8000, 8000, multiple=multiple)
    parts = soundfiles.enhance(network, sound, 8000, 8000, part=3000, overlap=1280, multiple=multiple)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert np.abs(whole).max() > 1e-3
    # the test can tell: with hardly any overlap there are seams
    assert np.abs(soundfiles.enhance(network, sound, 8000, 8000, part=512, overlap=16, multiple=multiple) - whole).max() > 1e-4


@pytest.mark.parametrize("rate, count", [(8000, 1), (8000, 1001), (16_000, 1001), (44_100, 5000), (11_025, 777)])
def test_any_length_and_rate_comes_back(rate, count):
    sound = tone(rate, 1.0)[:count]
    made = soundfiles.enhance(lambda x: -x, sound, rate, 8000)
    assert made.shape == sound.shape
    inside = slice(count // 4, -count // 4) if count > 1 else slice(None)
    np.testing.assert_allclose(made[inside], -sound[inside], atol=0.02)


def test_files(gan, tmp_path):
    for name, rate in (("a.wav", 8000), ("below/b.wav", 22_050)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(audio.write(tone(rate)[:, None], rate=rate))
    (tmp_path / "in/broken.wav").write_bytes(b"RIFF")
    placed = translate.outputs([tmp_path / "in"], tmp_path / "out", audio.SUFFIXES, ".wav")
    made, kept, broken = soundfiles.translate_files(lambda x: 0.5 * x, 8000, placed)
    assert (made, kept, list(broken)) == (2, 0, [tmp_path / "in/broken.wav"])
    sound, rate = audio.decode((tmp_path / "out/below/b.wav").read_bytes())
    assert rate == 22_050 and len(sound) == 22_050
    np.testing.assert_allclose(sound[100:-100], 0.5 * tone(22_050)[100:-100], atol=2e-3)
    assert soundfiles.translate_files(lambda x: x, 8000, placed)[:2] == (0, 2)


def test_a_file_of_the_samples_lies_beside_their_sheet(gan, tmp_path):
    from kgan import callbacks
    noisy = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 64, 1)).astype(np.float32)
    samples = callbacks.Samples(tmp_path, 1, real=noisy, given={"input": noisy})
    samples.set_model(gan)
    samples.on_step(0, {})
    sound, rate = audio.decode((tmp_path / "step-000000000.wav").read_bytes())
    assert rate == 8000 and len(sound) == 3 * (64 + 2000) and (tmp_path / "step-000000000.png").exists()
    made = gan.generate(3, given={"input": noisy})
    np.testing.assert_array_equal(audio.store(sound[2064:2128]), audio.store(made[1, :, 0]))


def test_what_is_exported_is_plain_sound_at_the_rate_that_is_said(gan):
    from export.contract import interface
    function = interface(gan)["functions"]["generator"]
    assert [(each["name"], each["kind"], each["shape"], each["rate"], each["range"]) for each in function["inputs"] + function["outputs"]] == [
        ("input", "audio", [None, None, 1], 8000, [-1, 1]), ("audio", "audio", [None, None, 1], 8000, [-1, 1])]
    assert gan.fields["audio"] == Field("audio", (64, 1), more={"rate": 8000})
