import numpy as np
import pytest

from kgan.data import recordings
from kgan.data.source import DataError
from kgan.kinds import audio


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


def save(path, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(audio.write(np.asarray(samples, np.float32)[:, None], rate=rate))


def sound(count, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count)


def source(path, **more):
    return recordings.source(str(path), **{"rate": 8000, "length": 100, "overlap": 0.5, **more})


def test_windows_by_hand():
    for count, starts in ((1, [0]), (100, [0]), (101, [0, 50]), (150, [0, 50]), (151, [0, 50, 100])):
        cut = recordings.windows(np.arange(1, count + 1, dtype=np.int16), 100, 0.5)
        assert cut.shape == (len(starts), 100) and cut[:, 0].tolist() == [start + 1 for start in starts]
        assert cut.max() == count and cut[-1][count - starts[-1]:].tolist() == [0] * (100 - count + starts[-1])
    assert len(recordings.windows(np.ones(1000, np.int16), 100, 0.0)) == 10


def test_a_folder(tmp_path):
    save(tmp_path / "data/b.wav", sound(150))
    save(tmp_path / "data/a.wav", sound(160, seed=1), rate=16_000)
    (tmp_path / "data/notes.txt").write_text("x")
    found = source(tmp_path / "data")
    assert found.kind == found.key == "audio" and found.shape == (100, 1) and found.arrays["audio"].dtype == np.int16
    assert found.fields["audio"].more == {"rate": 8000} and ".txt (1)" in found.note
    # a at half its rate is 80 samples, b two windows
    stored = audio.store(sound(150))
    np.testing.assert_array_equal(found.arrays["audio"][1:, :, 0], [stored[:100], stored[50:]])
    assert not found.arrays["audio"][0, 80:].any()
    np.testing.assert_array_equal(source(tmp_path / "data").arrays["audio"], found.arrays["audio"])


def test_sub_folders_are_labels_and_splits(tmp_path):
    for split in ("train", "test"):
        for i, name in enumerate(("10", "9")):
            save(tmp_path / split / name / "x.wav", sound(60 + 100 * (split == "test"), seed=i))
    assert source(tmp_path).classes == {"label": ["9", "10"]} and source(tmp_path).arrays["label"].tolist() == [1, 0]
    assert source(tmp_path, split="test").arrays["label"].tolist() == [1, 1, 1, 0, 0, 0]
    with pytest.raises(DataError, match="no split 'test': put its files into the sub-folders train and test"):
        source(tmp_path / "train", split="test")


@pytest.mark.parametrize("sides", [("input", "audio"), ("noisy", "clean")])
def test_pairs(tmp_path, sides):
    for i, side in enumerate(sides):
        save(tmp_path / side / "street/1.wav", sound(150, seed=i))
    found = source(tmp_path)
    assert set(found.arrays) == {"input", "audio"} and found.classes == {}
    np.testing.assert_array_equal(found.arrays["input"][0, :, 0], audio.store(sound(100)))
    np.testing.assert_array_equal(found.arrays["audio"][1, :, 0], audio.store(sound(150, seed=1))[50:])
    assert {name: field.kind for name, field in found.fields.items()} == {"input": "audio", "audio": "audio"}
    save(tmp_path / sides[0] / "2.wav", sound(10))
    with pytest.raises(DataError, match=f"1 sounds have no partner of the same name in the other of {sides[0]} and {sides[1]}: 2"):
        source(tmp_path)


def test_silence_is_left_out(tmp_path):
    save(tmp_path / "data/a.wav", np.concatenate([sound(100), np.zeros(200)]))
    found = source(tmp_path / "data", overlap=0.0)
    assert len(found) == 1 and "2 windows without sound are left out" in found.note
    save(tmp_path / "silent/a.wav", np.zeros(99))
    with pytest.raises(DataError, match="silent from beginning to end"):
        source(tmp_path / "silent")


def test_what_cannot_be_read_is_named(tmp_path):
    for i in range(10):
        save(tmp_path / f"{i}.wav", sound(10, i))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert "1 sounds cannot be read and are left out ('broken.wav': this is no sound" in source(tmp_path).note
    (tmp_path / "0.wav").write_bytes(b"")
    with pytest.raises(DataError, match="2 of 11 sounds in .* cannot be read, more than the 10 % that are tolerated"):
        source(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="No sounds in .*: it holds no files"):
        source(tmp_path / "none")
