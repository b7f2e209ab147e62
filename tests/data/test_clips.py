import numpy as np
import pytest
from PIL import Image

import kgan
from kgan.data import clips
from kgan.data.source import DataError
from kgan.kinds import Field, video

NEEDS = {"video": "video"}


def movie(count, size=32, seed=0, channels=3):
    return video.examples(Field("video", (count, size, size, channels)), 1, seed)[0]


def save(file, sample, media="image/gif"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(video.write(sample, media))


def frames(place, sample, name="frame{}.png"):
    place.mkdir(parents=True)
    for i, frame in enumerate(video.store(sample)):
        Image.fromarray(frame).save(place / name.format(i))


def test_files_and_folders_of_frames(tmp_path):
    save(tmp_path / "a.gif", movie(5, channels=1))
    frames(tmp_path / "b", movie(12, seed=1))  # frame10 comes after frame9
    source = clips.source(tmp_path, frames=4, channels=3)
    assert source.shape == (4, 32, 32, 3) and len(source) == 1 + 3 and "label" not in source.classes
    np.testing.assert_array_equal(source.arrays["video"][0], np.repeat(video.store(movie(5, channels=1))[:4], 3, -1))
    np.testing.assert_array_equal(source.arrays["video"][1:].reshape(12, 32, 32, 3), video.store(movie(12, seed=1)))
    assert "4 clips of 4 frames from 2 files" in source.note


def test_labels_and_what_is_too_short(tmp_path):
    for name, count in (("cat/a", 4), ("cat/b", 3), ("dog/c", 8)):
        save(tmp_path / f"{name}.gif", movie(count, seed=count))
    frames(tmp_path / "dog" / "walk", movie(4))
    (tmp_path / "dog" / "notes.txt").write_text("no clip")
    source = clips.source(tmp_path, frames=4)
    assert source.classes["label"] == ["cat", "dog"] and source.arrays["label"].tolist() == [0, 1, 1, 1]
    assert "1 are shorter and left out" in source.note and ".txt (1)" in source.note


def test_movies_where_a_decoder_is(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    save(tmp_path / "a.mp4", movie(6), "video/mp4")
    source = clips.source(tmp_path, frames=6)
    assert np.abs(source.arrays["video"][0].astype(int) - video.store(movie(6))).mean() < 12


def test_brought_to_size(tmp_path):
    save(tmp_path / "a.gif", movie(4, 64))
    assert clips.source(tmp_path, image_size=(16, 24), channels=1, frames=2).shape == (2, 16, 24, 1)


def test_by_the_models_settings(tmp_path):
    save(tmp_path / "a.gif", movie(6))
    found = kgan.data.of({"dataset": f"folder:{tmp_path}", "config": {"frames": 3}, "image_size": 16}, NEEDS)
    assert found.shape == (3, 16, 16, 3) and len(found) == 2 and found.kind == "video"


@pytest.mark.parametrize("count, message", [(0, "No clips in .*: it holds no files. kgan reads .gif"),
                                            (3, "has 9 frames or more: --set frames=")])
def test_nothing_to_be_had(tmp_path, count, message):
    if count:
        save(tmp_path / "a.gif", movie(count))
    with pytest.raises(DataError, match=message):
        clips.source(tmp_path, frames=9)


def test_broken_files(tmp_path):
    save(tmp_path / "a.gif", movie(3))
    (tmp_path / "b.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="1 of 2 clips in .* cannot be decoded.*'b.gif'"):
        clips.source(tmp_path, frames=2)
    with pytest.raises(DataError, match="has no split 'test'"):
        clips.source(tmp_path, split="test")
