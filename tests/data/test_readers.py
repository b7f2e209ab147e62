"""What all readers of folders must do: sounds, music, clips, solids, texts, captioned images."""
import os

import numpy as np
import pytest
from PIL import Image

from kgan.data import captioned, clips, melodies, recordings, scores, shapes, texts
from kgan.data.source import DataError
from kgan.kinds import Field, audio, notes, video

PIECE = np.full((1, 16, 24, 1), -1, np.float32)
PIECE[0, :4, 3] = 1


def picture(file):
    Image.new("RGB", (8, 8), (len(file.name), 9, 9)).save(file)
    file.with_suffix(".txt").write_text(f"number {file.stem}")


def sound(file):
    file.write_bytes(audio.write(np.random.default_rng(0).uniform(-0.5, 0.5, (40, 1)), rate=8000))


# reader: (function of a folder, suffix of what it reads, function that writes a file of it)
READERS = {
    "sounds": (lambda path: recordings.source(str(path), rate=8000, length=40), ".wav", sound),
    "music": (lambda path: scores.source(str(path), bars=1, pitches=24, tracks="lead"), ".mid",
              lambda file: file.write_bytes(notes.write(PIECE))),
    "melodies": (lambda path: melodies.source(str(path), 2), ".mid", lambda file: file.write_bytes(notes.write(np.roll(PIECE, 8, 1).clip(PIECE)))),
    "clips": (lambda path: clips.source(path, 8, frames=2), ".gif",
              lambda file: file.write_bytes(video.write(video.examples(Field("video", (2, 8, 8, 1)), 1)[0], "image/gif"))),
    "solids": (lambda path: shapes.source(path, 4), ".npy", lambda file: np.save(file, np.eye(4)[None] * np.ones((4, 1, 1)))),
    "texts": (lambda path: texts.source(str(path)), ".txt", lambda file: file.write_text("a b\nb c\n")),
    "captioned": (lambda path: captioned.source(str(path), 8), ".png", picture),
}


@pytest.fixture(params=READERS)
def reader(request, tmp_path, monkeypatch):
    """(function of a folder, function that writes files of these names, without a suffix, below it), and the folder."""
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    if request.param in ("music", "melodies"):
        pytest.importorskip("mido")
    read, suffix, save = READERS[request.param]

    def write(*names):
        for name in names:
            file = tmp_path / "data" / f"{name}{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            save(file)
    return read, write, tmp_path / "data"


def test_pipes_and_links_to_nothing_are_no_files(reader):
    read, write, folder = reader
    write(*map(str, range(20)))
    suffix = next(folder.glob("0.[!t]*"), folder / "0.txt").suffix
    os.symlink("nothing", folder / f"link{suffix}")
    os.mkfifo(folder / f"pipe{suffix}")  # who opens it waits for ever
    (folder / "pipe.txt" if suffix == ".png" else folder / "none").write_text("a caption")
    if suffix == ".txt":
        with pytest.raises(DataError, match="link.txt: cannot be read: no regular file"):
            read(folder)
    else:
        assert "no regular file, or a link to nothing" in read(folder).note


def test_what_is_left_out_is_said(reader):
    read, write, folder = reader
    write("1", "2")
    (folder / "x.heic").touch()
    (folder / "y.pdf").touch()
    assert ".heic (1), .pdf (1)" in read(folder).note


@pytest.mark.parametrize("names, words", [
    (["a/1", "b/2", "3"], "lie in sub-folders and some do not: no labels"), (["train/1", "val/2"], "train, val look like parts of a data set"),
    (["train/1", "test/2", "extra/3"], "Beside its sub-folders train and test lie extra, which are not read")])
def test_sub_folders_that_are_not_meant_so(reader, request, names, words):
    if request.node.callspec.params["reader"] in ("texts", "captioned", "melodies"):
        pytest.skip("which have no labels")
    read, write, folder = reader
    write(*names)
    if "extra/3" in names and request.node.callspec.params["reader"] == "clips":  # which have no splits
        assert read(folder).classes["label"] == ["extra", "test", "train"]
    else:
        assert words in read(folder).note


def test_sounds_whose_folders_seem_to_be_pairs(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    for name in ("clean_trainset_wav/1", "noisy_trainset_wav/1"):
        (tmp_path / name).parent.mkdir()
        sound(tmp_path / f"{name}.wav")
    found = recordings.source(str(tmp_path), rate=16_000, length=40)
    assert "name them input and audio or noisy and clean" in found.note and set(found.arrays) == {"audio", "label"}
    assert "2 sounds have fewer than 16,000 samples a second, 8,000 or more" in found.note
    for side in ("clean", "noisy"):
        os.rename(tmp_path / f"{side}_trainset_wav", tmp_path / side.title())
    assert set(recordings.source(str(tmp_path), rate=8_000, length=40).arrays) == {"audio", "input"}


def test_texts_in_utf_16_without_its_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes("a line\n".encode("utf-16-le"))
    with pytest.raises(DataError, match="a.txt: is no text in UTF-8 .it holds zeros, as UTF-16 does"):
        texts.source(str(tmp_path))


def test_texts_whose_names_begin_with_test(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    for name in ("a", "testimonials"):
        (tmp_path / f"{name}.txt").write_text("a line\n")
    assert "1 of 2 files are the test split" in texts.source(str(tmp_path)).note


def test_captions_that_lose_something(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    for i in range(200):
        picture(tmp_path / f"{i}.png")
    (tmp_path / "0.txt").write_text("a caption that is much longer than all the others\nand another")
    note = captioned.source(str(tmp_path), 8, vocabulary=100).note
    assert "1 of 200 captions have more than 2 words and lose their end" in note
    assert "1 texts have more than one line, of which the first is the caption" in note and "they count as unknown" in note
    for file in tmp_path.glob("*.txt"):
        file.write_text("The same")
    with pytest.raises(DataError, match="all 200 captions are the same, 'The same'"):
        captioned.source(str(tmp_path), 8)


@pytest.mark.parametrize("values", [np.full((4, 4, 4), np.nan), np.full((2, 4, 4, 4), np.inf)])
def test_solids_of_nan(tmp_path, monkeypatch, values):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match="1 of 1 files .* cannot be read.*NaN"):
        shapes.source(tmp_path, 4)
