import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kgan.data import folder
from kgan.data.source import DataError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def fill(root, names, colour=RED, size=(16, 16)):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(root / name)


def only(root, **options):
    """The one image of a folder, as int [8, 8, C]."""
    found = folder.source(root, 8, **options)
    assert len(found) == 1
    return np.int32(found.arrays["image"][0])


def notes(cache):
    """The notes of the only prepared folder."""
    path, = cache.iterdir()
    return folder.json.loads((path / "notes.json").read_text())


# === Kinds of images ===

@pytest.mark.parametrize("suffix, bound", [("jpg", 3), ("PNG", 0), ("bmp", 0), ("GIF", 0), ("webp", 6)])
def test_format(root, suffix, bound):
    fill(root, [f"a.{suffix}"], (200, 100, 50))
    assert np.abs(only(root) - (200, 100, 50)).max() <= bound


def test_transparent_pixels_become_white(root):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    image.putpixel((7, 7), (0, 0, 255, 128))
    image.save(root / "a.png")
    pixels = only(root)
    assert (pixels[:, :4] == 255).all()
    assert (pixels[0, 4:] == RED).all()
    assert np.abs(pixels[7, 7] - (127, 127, 255)).max() <= 1


def test_transparent_palette_and_grey(root):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 4, 8))
    image.save(root / "a.png", transparency=0)
    pixels = only(root)
    assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == BLUE).all()
    Image.new("LA", (8, 8), (0, 0)).save(root / "a.png")
    pixels = only(root)
    assert pixels.shape == (8, 8, 1) and (pixels == 255).all()


def test_palette(root):
    image = Image.new("RGB", (8, 8), GREEN)
    image.paste(BLUE, (0, 0, 8, 4))
    image.quantize(2).save(root / "a.png")
    pixels = only(root)
    assert (pixels[:4] == BLUE).all() and (pixels[4:] == GREEN).all()


def test_cmyk(root):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(root / "a.jpg")
    red, green, blue = only(root)[4, 4]
    assert red > 220 and green < 60 and blue < 60


def test_sixteen_bits_are_scaled_not_clipped(root):
    Image.fromarray(np.array([0, 257, 32896, 65535] * 16, np.uint16).reshape(8, 8)).save(root / "a.png")
    pixels = only(root)
    assert pixels.shape == (8, 8, 1)
    assert pixels[0, :4, 0].tolist() == [0, 1, 128, 255]


def test_one_bit(root):
    image = Image.new("1", (8, 8), 1)
    image.putpixel((0, 0), 0)
    image.save(root / "a.png")
    pixels = only(root)
    assert pixels.shape == (8, 8, 1) and pixels[0, 0, 0] == 0 and pixels.sum() == 63 * 255


def test_first_frame(root):
    Image.new("RGB", (8, 8), RED).save(root / "a.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)])
    assert (only(root) == RED).all()


def test_exif_rotation(root):
    image = Image.new("RGB", (64, 64), RED)
    image.paste(BLUE, (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is stored on top belongs on the right
    image.save(root / "a.jpg", exif=exif, quality=95)
    pixels = only(root)
    assert np.abs(pixels[:, 6] - BLUE).max() < 10 and np.abs(pixels[:, 1] - RED).max() < 10


@pytest.mark.parametrize("tall", [True, False])
def test_crop_takes_the_middle(root, tall):
    image = Image.new("RGB", (16, 48), GREEN)
    image.paste(RED, (0, 0, 16, 16))
    image.paste(BLUE, (0, 32, 16, 48))
    (image if tall else image.transpose(Image.Transpose.TRANSPOSE)).save(root / "a.png")
    middle = only(root)
    assert np.abs(middle[2:6, 2:6] - GREEN).max() < 5 and np.abs(middle - GREEN).max() < 30  # the filter's reach
    squeezed = only(root, crop=False)
    ends = (squeezed[0], squeezed[-1]) if tall else (squeezed[:, 0], squeezed[:, -1])
    assert np.abs(ends[0] - RED).max() < 40 and np.abs(ends[1] - BLUE).max() < 40


def test_scaling_down_averages(root):
    board = np.uint8(np.indices((256, 256)).sum(0) % 2 * 255)
    Image.fromarray(board).save(root / "a.png")
    assert np.abs(only(root) - 127.5).max() < 8  # taking single pixels would give 0 or 255


# === Folders ===

def test_channels_and_size(root):
    fill(root, ["a.png", "b.jpg"], 100)
    assert folder.source(root).shape == (64, 64, 1)
    assert folder.source(root, 8, 3).shape == (8, 8, 3)
    fill(root, ["c.png"], RED)
    found = folder.source(root, 8)
    assert found.shape == (8, 8, 3)
    assert found.arrays["image"].dtype == np.uint8
    assert found.arrays["image"][:, 0, 0].tolist() == [[100] * 3, [100] * 3, list(RED)]
    assert folder.source(root, 8, 1).arrays["image"][2, 0, 0, 0] == 76  # luma of red, 0.299 * 255
    with pytest.raises(DataError, match="not 2"):
        folder.source(root, 8, 2)


def test_labels_are_first_level_folders(root):
    fill(root, ["zebra/1.png", "zebra/deep/2.png", "ant/1.png", "bee/1.jpg"])
    (root / "empty").mkdir()
    found = folder.source(root, 8)
    assert found.classes == {"label": ["ant", "bee", "zebra"]}
    assert found.arrays["label"].dtype == np.int64
    assert found.arrays["label"].tolist() == [0, 1, 2, 2]
    assert found.note == ""


def test_no_labels(root):
    fill(root, ["1.png", "2.png"])
    found = folder.source(root, 8)
    assert list(found.arrays) == ["image"] and found.classes == {} and found.note == ""
    fill(root, ["ant/1.png"])
    found = folder.source(root, 8)
    assert list(found.arrays) == ["image"] and found.classes == {} and "no labels" in found.note


def test_hidden_files_are_left_out(root):
    fill(root, ["a.png", ".b.png", ".thumbnails/c.png"])
    (root / "._a.png").write_bytes(b"what macOS leaves in archives")
    assert len(folder.source(root, 8)) == 1


def test_names(root):
    fill(root, ["ünï 日本.png", "two\nlines.png", "%s {0}.png"])
    with open(os.fsencode(root) + b"/\xff.png", "wb") as broken:
        broken.write(b"no utf-8 in the name, no image in the file")
    fill(root, [f"{index}.png" for index in range(10)])
    found = folder.source(root, 8)
    assert len(found) == 13
    assert "'\\udcff.png'" in found.note
    found.note.encode()


def test_links(root, tmp_path):
    fill(tmp_path / "elsewhere", ["a.png"])
    (root / "class").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(root)
    found = folder.source(root, 8)
    assert len(found) == 1 and found.classes == {"label": ["class"]}


def test_many_files_keep_their_order(root):
    for index in range(200):
        Image.new("L", (4, 4), index).save(root / f"{index:03}.png")
    assert folder.source(root, 4).arrays["image"][:, 0, 0, 0].tolist() == list(range(200))


# === Attributes ===

def numbered(root, count, names="{:02}.png"):
    """Images of which the i-th is of grey i."""
    for index in range(count):
        fill(root, [names.format(index)], index)


def test_columns_become_fields(root):
    numbered(root, 4)
    # in another order, with what spreadsheets add: a byte order mark, quotes, spaces, carriage returns, an empty line
    (root / "labels.csv").write_bytes("\ufeffimage,age, kind ,score\r\n./03.png,31,zebra,1e-3\r\n\r\n"
                                      "00.png,4,\"ant, red\",-2\r\n"
                                      "02.png, 20 ,ant,0.5\r\n01.png,10,zebra,7\r\n".encode())
    found = folder.source(root, 8)
    assert found.arrays["image"][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert found.arrays["age"].dtype == np.float32 and found.arrays["age"].tolist() == [4, 10, 20, 31]
    assert found.arrays["score"].tolist() == pytest.approx([-2, 7, 0.5, 1e-3])
    assert found.arrays["kind"].dtype == np.int64 and found.arrays["kind"].tolist() == [1, 2, 0, 2]
    assert found.classes == {"kind": ["ant", "ant, red", "zebra"]} and found.note == ""


def test_attributes_stay_with_their_images(root, cache):
    """Without a row, with an empty cell, undecodable: what is left is as it was."""
    numbered(root, 40)
    for name in ("05a.png", "20a.png"):
        (root / name).write_text("a letter")
    (root / "labels.csv").write_text("file,age,name\n" + "".join(
        f"{i:02}.png,{100 + i},n{i:02}\n" for i in range(40) if i not in (7, 30, 31))
        + "05a.png,0,n\n20a.png,0,n\ngone.png,1,n\n30.png,,n\n31.png,NaN,n\n")
    found = folder.source(root, 8)
    kept = [i for i in range(40) if i not in (7, 30, 31)]
    assert found.arrays["image"][:, 0, 0, 0].tolist() == kept
    assert found.arrays["age"].tolist() == [100 + i for i in kept]
    assert [found.classes["name"][i] for i in found.arrays["name"]] == [f"n{i:02}" for i in kept]
    assert "n" not in found.classes["name"]  # only undecodable images were called that
    assert "1 images of which labels.csv says nothing are left out ('07.png')" in found.note
    assert "2 images with an empty cell in labels.csv are left out ('30.png', '31.png')" in found.note
    assert "1 rows of labels.csv are of no image in the folder ('gone.png')" in found.note
    assert "2 of 39 image files" in found.note and list(notes(cache)["skipped"]) == ["05a.png", "20a.png"]


def test_a_column_replaces_the_folders_label(root):
    fill(root, ["x/1.png", "x/2.png", "y/3.png"])
    (root / "labels.csv").write_text("path,age\nx/1.png,1\ny\\3.png,3\nx/2.png,2\n")
    found = folder.source(root, 8)
    assert found.classes == {"label": ["x", "y"]} and found.arrays["label"].tolist() == [0, 0, 1]
    assert found.arrays["age"].tolist() == [1, 2, 3]
    (root / "labels.csv").write_text("path,label\nx/1.png,10\nx/2.png,9\ny/3.png,10\n")
    found = folder.source(root, 8)
    assert found.classes == {"label": ["9", "10"]} and found.arrays["label"].tolist() == [1, 0, 1]
    fill(root, ["4.png"])
    (root / "labels.csv").write_text("path,label\nx/1.png,one\nx/2.png,9\ny/3.png,10\n4.png,10\n")
    found = folder.source(root, 8)
    assert found.classes == {"label": ["10", "9", "one"]} and found.note == ""


def test_names_of_utkface(root):
    numbered(root, 3, "part1/{0}1_{0}_2_201701161745.png")
    fill(root, ["part1/39_1_20170116174525125.png"])  # which lacks the race: there are such
    (root / "names.regex").write_text(r"(?P<age>\d+)_(?P<gender>\d)_(?P<race>\d)_" + "\n")
    found = folder.source(root, 8)
    assert found.arrays["age"].tolist() == [1, 11, 21] and found.arrays["gender"].tolist() == [0, 1, 2]
    assert found.arrays["race"].dtype == np.float32 and found.classes == {"label": ["part1"]}
    assert "1 images of which names.regex says nothing are left out ('part1/39_1_20170116174525125.png')" in found.note
    by = found.by("gender", 6)
    assert by.classes["gender"] == ["0", "1", "2"] and by.arrays["gender"].tolist() == [0, 1, 2]


def test_attributes_that_change_are_seen(root):
    numbered(root, 2)
    plain = folder.source(root, 8)
    assert list(plain.arrays) == ["image"]
    (root / "labels.csv").write_text("image,age\n00.png,1\n01.png,2\n")
    assert folder.source(root, 8).arrays["age"].tolist() == [1, 2]
    (root / "labels.csv").write_text("image,age\n00.png,3\n01.png,2\n")
    assert folder.source(root, 8).arrays["age"].tolist() == [3, 2]
    os.remove(root / "labels.csv")
    (root / "names.regex").write_text(r"(?P<number>\d+)")
    assert sorted(folder.source(root, 8).arrays) == ["image", "number"]


@pytest.mark.parametrize("text, words", [
    ("", ["is empty", "image,age"]),
    ("image age\n00.png 1\n", ["line 1", "commas"]),
    ("00.png,1\n", ["line 1", "this is a row", "image,age"]),
    ("image,age\n00.png,1\n01.png,2,3\n", ["line 3", "3 cells", "has 2"]),
    ("image,age\n00.png,1\n./00.png,2\n", ["line 3", "second row of '00.png'"]),
    ('image,name\n00.png,"a\n', ["line 2", "quotes"]),
    ("image,name\n00.png,\"a\"b\n", ["line 2", "quotes"]),
    (b"image,name\n00.png,\xe4\n", ["line 2", "UTF-8"]),
    ("image,age,age\n00.png,1,2\n", ["two columns", "age"]),
    ("image,image\n00.png,1\n", ["'image'"]),
    ("image,\n00.png,1\n", ["''"]),
    ("image,../age\n00.png,1\n", ["'../age'"]),
    ("image,age\nelse/00.png,1\n", ["none of the 4 images", "'00.png'", "'else/00.png'"]),
    ("image,age\n00.png,1\n01.png,old\n02.png,3\n", ["column age", "1 of 3", "'old'", "empty"]),
    ("image,label\n00.png,1.5\n", ["label", "another name"]),
])
def test_broken_csv(root, cache, text, words):
    numbered(root, 4)
    (root / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        folder.source(root, 8)
    assert all(word in str(caught.value) for word in ["labels.csv", *words]), caught.value
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("text, words", [
    ("", ["0 lines"]), ("a\nb", ["2 lines"]), ("(?P<age>", ["line 1", "no regular expression"]),
    (r"(\d+)", ["no group has a name", "(?P<age>"]), (r"(?P<age>\d+)x", ["none of the 4 images", "beginning"]),
])
def test_broken_pattern(root, text, words):
    numbered(root, 4)
    (root / "names.regex").write_text(text)
    with pytest.raises(DataError) as caught:
        folder.source(root, 8)
    assert all(word in str(caught.value) for word in ["names.regex", *words]), caught.value


def test_two_files_of_attributes(root):
    numbered(root, 2)
    (root / "names.regex").write_text(r"(?P<age>\d+)")
    (root / "labels.csv").mkdir()
    with pytest.raises(DataError, match="both labels.csv and names.regex"):
        folder.source(root, 8)
    os.remove(root / "names.regex")
    with pytest.raises(DataError, match="labels.csv cannot be read: Is a directory"):
        folder.source(root, 8)


# === Broken files ===

def test_broken_files_are_named_and_left_out(root, cache):
    for index in range(47):
        Image.new("L", (8, 8), index).save(root / f"{index:02}.png")
    (root / "05a.png").write_text("a letter")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(root / "20a.jpg")
    (root / "20a.jpg").write_bytes((root / "20a.jpg").read_bytes()[:2000])
    os.mkfifo(root / "30a.png")
    found = folder.source(root, 8)
    assert found.arrays["image"][:, 0, 0, 0].tolist() == list(range(47))
    assert found.shape == (8, 8, 1)
    assert "3 of 50" in found.note
    assert list(notes(cache)["skipped"]) == ["05a.png", "20a.jpg", "30a.png"]
    assert "not an image" in notes(cache)["skipped"]["05a.png"]
    assert "truncated" in notes(cache)["skipped"]["20a.jpg"]
    assert all(repr(name) in found.note for name in ("05a.png", "20a.jpg", "30a.png"))
    assert sorted(os.listdir(next(cache.iterdir()))) == ["image.npy", "notes.json"]


def test_labels_of_what_is_left(root):
    fill(root, [f"{name}/{index}.png" for name in "ac" for index in range(10)])
    (root / "b").mkdir()
    (root / "b" / "1.png").write_text("the only one of its class")
    found = folder.source(root, 8)
    assert found.classes == {"label": ["a", "c"]}
    assert found.arrays["label"].tolist() == [0] * 10 + [1] * 10


def test_too_many_broken_files(root, cache):
    fill(root, [f"{index}.png" for index in range(8)])
    (root / "bad.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 of 9 .*'bad.png'"):
        folder.source(root, 8)
    assert not list(cache.iterdir())
    for index in range(12):
        (root / f"bad{index:02}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"13 of 21 .*'bad08.png'.*and 3 more"):
        folder.source(root, 8)


def test_all_broken(root):
    (root / "a.png").write_text("no")
    with pytest.raises(DataError, match="1 of 1"):
        folder.source(root, 8)


def test_bomb(root, monkeypatch):
    fill(root, [f"{index}.png" for index in range(10)])
    fill(root, ["bomb.png"], size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    found = folder.source(root, 8)
    assert len(found) == 10
    assert "bomb.png" in found.note and "decompression bomb" in found.note


def lying_png(width, height):
    """A PNG of 8×8 pixels whose header tells of another size, with the checksum that belongs to that."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), RED).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def empty_png(width, height):
    """A whole and valid PNG of that many white pixels, of some kilobytes."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    packer, row = zlib.compressobj(9), b"\0" + b"\xff" * (width // 8)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)) + chunk(
        b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content, words", [
    (b"", "not an image"), (lying_png(80, 80), "truncated"), (lying_png(8, 0), ""),
    (empty_png(20_000, 20_000), "decompression bomb"),
], ids=["zero bytes", "a size that lies", "a size of nothing", "20,000×20,000"])
def test_a_file_that_cannot_be_is_skipped_and_named(root, content, words):
    fill(root, [f"{index}.png" for index in range(10)])
    (root / "bad.png").write_bytes(content)
    found = folder.source(root, 8)
    assert len(found) == 10 and "1 of 11" in found.note and "'bad.png'" in found.note and words in found.note


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1)])
def test_sizes_that_are_odd(root, size):
    fill(root, ["a.png"], (200, 100, 50), size)
    assert (only(root) == (200, 100, 50)).all() and (only(root, crop=False) == (200, 100, 50)).all()


def test_a_size_that_lies_low_is_never_a_wrong_image(root):
    """The rows that are there are those of a wider image: what is decoded may be anything but half of it."""
    fill(root, [f"{index}.png" for index in range(10)])
    (root / "bad.png").write_bytes(lying_png(8, 4))
    found = folder.source(root, 8)
    assert len(found) == 10 or (found.arrays["image"][-1] == RED).all()  # its first four rows, which are red


def test_an_unreadable_file_and_folder(root, monkeypatch):
    fill(root, [f"{index}.png" for index in range(10)])
    fill(root, ["secret.png"])
    opened = open

    def refuse(file, *rest, **options):  # root may read anything, so that modes would prove nothing
        if str(file).endswith("secret.png"):
            raise PermissionError(13, "Permission denied")
        return opened(file, *rest, **options)
    monkeypatch.setattr("builtins.open", refuse)
    found = folder.source(root, 8)
    assert len(found) == 10 and "'secret.png': [Errno 13] Permission denied" in found.note


def test_links_that_go_round(root):
    fill(root, [f"{index}.png" for index in range(10)])
    (root / "bad.png").symlink_to(root / "worse.png")
    (root / "worse.png").symlink_to(root / "bad.png")
    with pytest.raises(DataError, match="2 of 12 .*'bad.png': no regular file, or a link to nothing; 'worse.png'"):
        folder.source(root, 8)
    fill(root, [f"{index}.png" for index in range(10, 30)])
    assert len(folder.source(root, 8)) == 30


def test_a_file_that_vanishes(root, monkeypatch):
    """While it is prepared it is skipped, as any that cannot be read; after that nobody looks at it any more."""
    fill(root, [f"{index:02}.png" for index in range(20)], BLUE)
    decode = folder.decode

    def late(file, *rest):
        if file.endswith("07.png"):
            os.remove(file)
        return decode(file, *rest)
    monkeypatch.setattr(folder, "decode", late)
    found = folder.source(root, 8)
    assert len(found) == 19 and "'07.png'" in found.note
    for file in root.iterdir():
        file.unlink()
    assert (np.asarray(found.arrays["image"]) == BLUE).all()


@pytest.mark.slow
def test_one_hundred_thousand_files(root, monkeypatch):
    """Found, sorted, labelled, kept in order; what decoding each takes is left out."""
    for index in range(100):
        (root / f"{index:02}").mkdir()
        (root / f"{index:02}" / "000.png").touch()
        for number in range(1, 1000):
            os.link(root / f"{index:02}" / "000.png", root / f"{index:02}" / f"{number:03}.png")
    monkeypatch.setattr(folder, "decode", lambda file, *_: (np.full((4, 4, 3), int(file[-6:-4]), np.uint8), False))
    found = folder.source(root, 4)
    assert found.shape == (4, 4, 3) and len(found) == 100_000 and len(found.classes["label"]) == 100
    assert (found.arrays["label"] == np.arange(100_000) // 1000).all()
    assert (found.arrays["image"][:, 0, 0, 0] == np.arange(100_000) % 100).all()


def test_other_formats_are_refused(root):
    fill(root, [f"{index}.png" for index in range(10)])
    Image.new("RGB", (8, 8)).save(root / "disguised.png", format="PPM")  # which Pillow could read, as it could EPS
    assert "disguised.png" in folder.source(root, 8).note


def test_missing_path(tmp_path):
    with pytest.raises(DataError, match="nowhere.*No such file"):
        folder.source(tmp_path / "nowhere")


def test_file_for_folder(tmp_path):
    (tmp_path / "images.zip").write_text("")
    with pytest.raises(DataError, match="images.zip.*Not a directory"):
        folder.source(tmp_path / "images.zip")


def test_empty_folder(root):
    with pytest.raises(DataError, match="no files"):
        folder.source(root)


def test_no_image_among_the_files(root):
    for name in ("a.heic", "b.HEIC", "notes"):
        (root / name).write_text("")
    with pytest.raises(DataError, match=r"\.heic \(2\), no suffix \(1\).*\.png"):
        folder.source(root)


def test_full_disk(root, cache, monkeypatch):
    fill(root, ["a.png"])
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda path: folder.shutil._ntuple_diskusage(100, 50, 50))
    with pytest.raises(DataError, match="KGAN_CACHE"):
        folder.source(root, 8, cache="disk")
    assert not list(cache.iterdir())


# === Cache ===

def test_second_call_reads_the_cache(root, monkeypatch):
    fill(root, ["a.png", "b.png"])
    first = folder.source(root, 8)
    monkeypatch.setattr(folder, "decode", lambda *_: pytest.fail("decoded again"))
    second = folder.source(root, 8)
    assert second.arrays["image"].tolist() == first.arrays["image"].tolist()
    assert isinstance(second.arrays["image"], np.memmap)


def test_changes_are_seen(root):
    fill(root, ["a.bmp"], RED)
    assert (only(root) == RED).all()
    # of the same size in bytes: only the time tells
    status = os.stat(root / "a.bmp")
    fill(root, ["a.bmp"], BLUE)
    os.utime(root / "a.bmp", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert (only(root) == BLUE).all()
    fill(root, ["b.png"])
    assert len(folder.source(root, 8)) == 2
    os.remove(root / "a.bmp")
    assert (only(root) == RED).all()


def test_cache_that_cannot_be_written(root, tmp_path, monkeypatch):
    fill(root, ["a.png"], BLUE)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.warns(UserWarning, match="KGAN_CACHE"):
        pixels = only(root)
    assert (pixels == BLUE).all()
