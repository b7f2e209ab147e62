"""What is read of a folder, what is left out and counted, what its names are called."""
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from kgan.data import files, folder, pairs
from kgan.data.source import DataError

RED = (255, 0, 0)


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
