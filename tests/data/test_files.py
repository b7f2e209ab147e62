"""What is read of a folder, what is left out and counted, what its names are called."""
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data import files, folder, pairs
from kgan.data.source import DataError

RED = (255, 0, 0)
REAL = sys.executable  # a process of its own, not a fork: see conftest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def fill(root, names, colour=RED, size=(8, 8), **options):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(root / name, **options)


# === What is read ===

@pytest.mark.parametrize("name, written", [
    ("a.tif", "TIFF"), ("a.TIFF", "TIFF"), ("a.jfif", "JPEG"), ("a.jp2", "JPEG2000"), ("a.avif", "AVIF"), ("a.apng", "PNG"),
    ("a", "JPEG"), ("b", "TIFF"), ("c", "WEBP"), ("d", "BMP"), ("e", "GIF"), ("f", "PNG"), ("g", "AVIF"), ("h", "JPEG2000"),
])
def test_more_formats_and_files_without_a_suffix(root, name, written):
    fill(root, [name], (200, 100, 50), format=written)
    found = folder.source(root, 8)
    assert np.abs(np.int32(found.arrays["image"][0]) - (200, 100, 50)).max() <= 6 and found.note == ""


def test_tiffs_of_several_kinds(root):
    image = Image.new("RGB", (8, 8), RED)
    image.save(root / "pages.tif", save_all=True, append_images=[Image.new("RGB", (8, 8), (0, 255, 0))])
    image.save(root / "packed.tif", compression="tiff_lzw")
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(root / "deep.tif")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(root / "real.tif")
    found = folder.source(root, 8)  # in the order of their names
    assert found.arrays["image"][:, 0, 0].tolist() == [[128] * 3, list(RED), list(RED), [128] * 3]


@pytest.mark.parametrize("values, words", [
    (np.full((8, 8), 255, np.float32), "from 255 to 255.*floats only 0 to 1"), (np.full((8, 8), -1, np.float32), "from -1 to -1"),
    (np.full((8, 8), np.nan, np.float32), "from nan to nan"), (np.full((8, 8), 70000, np.int32), "70000.*integers only 0 to 65535"),
])
def test_numbers_without_a_white_are_not_clipped(root, values, words):
    fill(root, [f"{i}.png" for i in range(10)])
    Image.fromarray(values).save(root / "real.tif")
    found = folder.source(root, 8)
    assert len(found) == 10
    with pytest.raises(ValueError, match=words):
        folder.opened(str(root / "real.tif"))


# === What is left out ===

def test_what_is_left_out_is_counted_by_reason(root):
    fill(root, ["a.png", "below/b.png", ".hidden.png", "below/.thumbs/c.png"])
    for name in ("1.heic", "below/2.HEIC", "3.cr2", "notes.txt", "Thumbs.db", "README", "4.jpg_large"):
        (root / name).write_bytes(b"\0\0\0\x18ftypheic")
    found = folder.source(root, 8)
    assert len(found) == 2
    words = found.note.partition("9 files are left out")[2]
    for part in (".heic (2)", "hidden (2)", ".cr2 (1)", ".txt (1)", ".db (1)", "no suffix (1)", ".jpg_large (1)"):
        assert part in words
    assert "kgan does not read HEIC, camera raw: convert them to PNG or JPEG" in words


def test_attributes_are_not_left_out(root):
    fill(root, ["a.png"])
    (root / "labels.csv").write_text("image,age\na.png,3\n")
    assert folder.source(root, 8).note == folder.source(root, 8, attributes=False).note == ""
    (root / "other.csv").write_text("")
    assert "1 files are left out, by suffix: .csv (1)." in folder.source(root, 8, attributes=False).note


def test_what_the_cache_holds_is_counted_again(root):
    fill(root, ["a.png"])
    assert folder.source(root, 8).note == ""
    (root / "b.heic").write_bytes(b"")
    assert ".heic (1)" in folder.source(root, 8).note


@pytest.mark.parametrize("start, name", [(b"\0\0\0\x18ftypheic", "HEIC"), (b"\xff\x0a", "JPEG XL"), (b"8BPS\0\1", "PSD")])
def test_what_an_unreadable_file_is_under_another_suffix(root, start, name):
    """As phones and chat programs rename them."""
    fill(root, [f"{i}.png" for i in range(10)])
    (root / "IMG_1.jpg").write_bytes(start + bytes(40))
    assert f"'IMG_1.jpg': a {name} image, which kgan does not read: convert it" in folder.source(root, 8).note


def test_text_that_begins_like_a_bitmap_is_none(root):
    fill(root, ["a.png"])
    (root / "BMW").write_text("BMW is a make of cars.")
    (root / "fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(root / "fifo")
    assert "no suffix (2)" in folder.source(root, 8).note


def test_pairs_count_too(root):
    fill(root, [f"{side}/{i}.tif" for side in "AB" for i in range(3)])
    (root / "A" / "x.heic").write_bytes(b"")
    (root / "B" / ".DS_Store").write_bytes(b"")
    found = pairs.source(root, 8)
    assert len(found) == 3 and ".heic (1)" in found.note and "hidden (1)" in found.note and "HEIC" in found.note


# === Names, and what cannot be encoded ===

@pytest.mark.parametrize("raw, wanted", [
    (b"caf\xe9", "caf\\xe9"), ("café".encode(), "café"), (unicodedata.normalize("NFD", "café").encode(), "café"),
    (b"\xff\xfe", "\\xff\\xfe"), ("日本".encode("shift-jis"), "\\x93\\xfa\\x96{"), ("日本".encode(), "日本"),
])
def test_class_folders_of_any_bytes_have_names_that_can_be_written(root, raw, wanted):
    fill(root, ["other/1.png", "other/2.png"])
    folder_of_bytes = os.path.join(os.fsencode(root), raw)
    os.mkdir(folder_of_bytes)
    for i in range(2):
        with open(os.path.join(folder_of_bytes, b"%d.png" % i), "wb") as file:
            Image.new("RGB", (8, 8), RED).save(file, "PNG")
    found = folder.source(root, 8)
    assert {*found.classes["label"]} == {wanted, "other"} and len(found) == 4
    for text in (*found.classes["label"], found.note):
        text.encode("utf-8")


@pytest.mark.parametrize("decoded", ["cp1251", "latin-1", "ascii"])
def test_names_are_those_of_the_files_in_any_locale(monkeypatch, decoded):
    """Python decodes names of files by the locale, and so do these."""
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode(decoded, "surrogateescape"))
    for name in ("кот", "café", "日本", "plain"):
        assert files.text(name.encode().decode(decoded, "surrogateescape")) == name
    if decoded == "cp1251":  # a disk on which names are of the locale, and no UTF-8
        assert files.text("кот") == "кот"


def test_what_is_left_out_and_cannot_be_encoded(root):
    fill(root, ["1.png"])
    for name in (b"\xff.txt", b"a.\xfe\xfd", b"\xe9.jpg"):
        with open(os.path.join(os.fsencode(root), name), "wb"):
            pass
    fill(root, [f"{i}.png" for i in range(2, 20)])
    note = folder.source(root, 8).note
    note.encode("utf-8")
    assert ".txt (1)" in note and "1 of 20" in note


def test_a_path_that_cannot_be_encoded_is_refused_before_anything_else(tmp_path):
    place = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.mkdir(place)
    (tmp_path / "link").symlink_to(os.fsdecode(place))
    for path in (os.fsdecode(place), tmp_path / "link"):
        with pytest.raises(DataError, match=r"its path, .*caf\\udce9, is no UTF-8: rename what is not"):
            kgan.data.check_name(f"folder:{path}")


@pytest.mark.parametrize("encoding", ["ascii", "cp1251", "latin-1"])
@pytest.mark.parametrize("flags, status, words", [
    (["--list"], 0, b"celeb_a"), (["--model=dcgan", "--dataset=folder:\u043a\u043e\u0442\xd7"], 2, b"there is no such folder"),
], ids=["list", "mistake"])
def test_output_that_cannot_be_encoded(tmp_path, encoding, flags, status, words):
    done = subprocess.run([REAL, Path(kgan.__file__).parents[1] / "train.py", *flags], capture_output=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == status and words in done.stdout + done.stderr and b"Traceback" not in done.stderr, done.stderr
    (done.stdout + done.stderr).decode(encoding)
