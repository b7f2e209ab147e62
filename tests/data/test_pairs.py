import numpy as np
import pytest
from PIL import Image

from kgan.data import folder, pairs
from kgan.data.source import DataError


def picture(i, size=(12, 12), mode="RGB"):
    """A picture of its own for each i: large plain squares, which survive JPEG."""
    rng = np.random.default_rng(i)
    small = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.NEAREST).convert(mode)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))


def beside(one, other):
    both = Image.new("RGB", (one.width + other.width, one.height))
    both.paste(one, (0, 0))
    both.paste(other, (one.width, 0))
    return both


LAYOUTS = {  # where A and B of example i lie; None: side by side in one file
    "side by side, splits": ("train/{}.png", None),
    "side by side": ("{}.png", None),
    "A and B": ("A/{}.png", "B/{}.jpg"),
    "input and target, below": ("input/street/{}.jpg", "target/street/{}.png"),
    "splits, then A and B": ("train/A/{}.png", "train/B/{}.png"),
    "A and B, then splits": ("A/train/{}.png", "B/train/{}.png"),
    "trainA and trainB": ("trainA/{}.png", "trainB/{}.bmp"),
}


def lay(root, layout, count=5, first=0):
    given, made = LAYOUTS[layout]
    for i in range(first, first + count):
        one, other = picture(i), picture(1000 + i)
        if made is None:
            save(root / given.format(i), beside(one, other))
        else:
            save(root / given.format(i), one)
            save(root / made.format(i), other)


def arrays_of(images):
    return np.stack([np.asarray(image) for image in images])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    lay(tmp_path, layout)
    source = pairs.source(tmp_path, image_size=12)
    assert len(source) == 5 and source.note == "" and source.name == f"folder:{tmp_path}"
    assert {name: (array.dtype.name, array.shape) for name, array in source.arrays.items()} == {
        "input": ("uint8", (5, 12, 12, 3)), "image": ("uint8", (5, 12, 12, 3))}
    for field, first in (("input", 0), ("image", 1000)):
        wanted = arrays_of(picture(first + i) for i in range(5)).astype(int)
        lossy = ".jpg" in "".join(map(str, LAYOUTS[layout]))
        assert np.abs(source.arrays[field].astype(int) - wanted).mean((1, 2, 3)).max() <= (2 if lossy else 0), field


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "train/" in "".join(map(str, LAYOUTS[name])) or "trainA" in name])
def test_splits(tmp_path, layout):
    lay(tmp_path, layout)
    given, made = LAYOUTS[layout]
    test = "test layout"
    try:
        LAYOUTS[test] = tuple(place and place.replace("train", "test") for place in (given, made))
        lay(tmp_path, test, count=2, first=20)
    finally:
        del LAYOUTS[test]
    assert len(pairs.source(tmp_path, 12)) == 5
    found = pairs.source(tmp_path, 12, split="test")
    np.testing.assert_array_equal(found.arrays["input"], arrays_of([picture(20), picture(21)]))
    with pytest.raises(DataError, match="has no split 'val', only train, test"):
        pairs.source(tmp_path, 12, split="val")
    with pytest.raises(DataError, match="the splits train, test, val, not 'dev'"):
        pairs.source(tmp_path, 12, split="dev")


def test_no_split(tmp_path):
    lay(tmp_path, "A and B")
    with pytest.raises(DataError, match="has no split 'test', only train"):
        pairs.source(tmp_path, split="test")


def test_both_are_cut_and_scaled_alike(tmp_path):
    # a bright column at a quarter of a wide image: with the middle cut out it lies at the left edge
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:15] = 255
    for i in range(2):
        save(tmp_path / f"A/{i}.png", Image.fromarray(wide))
        save(tmp_path / f"B/{i}.png", Image.fromarray(255 - wide))
    for crop, columns in ((True, slice(0, 5)), (False, slice(5, 7))):
        found = pairs.source(tmp_path, 20, crop=crop)
        np.testing.assert_allclose(found.arrays["input"].astype(int), 255 - found.arrays["image"].astype(int), atol=1)
        assert found.arrays["input"][:, :, columns].min() > 200


def test_channels_of_each_or_of_both(tmp_path):
    for i in range(2):
        save(tmp_path / f"A/{i}.png", picture(i, mode="L"))
        save(tmp_path / f"B/{i}.png", picture(1000 + i))
    shapes = {channels: {name: array.shape[-1] for name, array in pairs.source(tmp_path, 12, channels).arrays.items()}
              for channels in (None, 1, 3)}
    assert shapes == {None: {"input": 1, "image": 3}, 1: {"input": 1, "image": 1}, 3: {"input": 3, "image": 3}}
    np.testing.assert_array_equal(pairs.source(tmp_path, 12).arrays["input"][..., 0],
                                  arrays_of(picture(i, mode="L") for i in range(2)))
    with pytest.raises(DataError, match="1 channel .* or 3 .*, not 2"):
        pairs.source(tmp_path, 12, 2)


def test_the_same_again_comes_from_the_cache(tmp_path, monkeypatch):
    lay(tmp_path, "A and B")
    first = pairs.source(tmp_path, 12)
    monkeypatch.setattr(folder, "opened", None)
    again = pairs.source(tmp_path, 12)
    np.testing.assert_array_equal(first.arrays["image"], again.arrays["image"])
    save(tmp_path / "B/2.jpg", picture(7))  # a changed file is prepared anew
    with pytest.raises(DataError, match="cannot be read"):
        pairs.source(tmp_path, 12)


# === What does not fit is named ===

def test_missing_partners_are_named(tmp_path):
    lay(tmp_path, "A and B", count=30)
    (tmp_path / "B/7.jpg").unlink()
    (tmp_path / "A/11.png").unlink()
    found = pairs.source(tmp_path, 12)
    assert len(found) == 28
    assert found.note == (f"2 of 30 pairs in {tmp_path} are left out ('A/7.png': no partner in B; 'B/11.jpg': no partner in A).")
    np.testing.assert_allclose(found.arrays["input"].astype(int).mean((1, 2)), arrays_of(
        picture(i) for i in sorted(range(30), key=str) if i not in (7, 11)).mean((1, 2)), atol=1)


def test_different_sizes_and_broken_files_are_named(tmp_path):
    lay(tmp_path, "A and B", count=40)
    save(tmp_path / "A/3.png", picture(3, (12, 14)))
    (tmp_path / "B/8.jpg").write_bytes(b"no image")
    found = pairs.source(tmp_path, 12)
    assert len(found) == 38
    assert "'A/3.png and B/3.jpg': different sizes, 12×14 and 12×12" in found.note
    assert "'A/8.png and B/8.jpg': not an image, or a broken one" in found.note and found.note.startswith("2 of 40 pairs")


def test_too_many_are_refused(tmp_path):
    lay(tmp_path, "A and B", count=10)
    for i in range(2):
        (tmp_path / f"A/{i}.png").unlink()
    with pytest.raises(DataError, match=r"2 of the 10 images .* more than the 10 % .*'B/0.jpg': no partner in A; 'B/1.jpg'") as caught:
        pairs.source(tmp_path, 12)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_pair_is_named(tmp_path):
    lay(tmp_path, "side by side", count=20)
    save(tmp_path / "5.png", picture(5, (15, 12)))
    found = pairs.source(tmp_path, 12)
    assert len(found) == 19 and "'5.png': 15×12 pixels are no two images side by side" in found.note


def test_two_files_for_one_half(tmp_path):
    lay(tmp_path, "A and B")
    save(tmp_path / "A/2.jpg", picture(9))
    with pytest.raises(DataError, match=r"A holds both '2.jpg' and '2.png': which of them is the partner"):
        pairs.source(tmp_path, 12)


def test_images_without_pairs(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i))
    with pytest.raises(DataError, match="holds no pairs of images: .*side by side .*folders A and B or input and target .*"
                                        "trainA and trainB.*--set degrade=grey"):
        pairs.source(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        pairs.source(tmp_path / "none")
    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    with pytest.raises(DataError, match="A holds no images; kgan reads .jpg"):
        pairs.source(tmp_path)
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        pairs.source(tmp_path / "plain")


# === Without partners ===

def test_unpaired_have_lengths_of_their_own(tmp_path):
    for i in range(4):
        save(tmp_path / f"trainA/{i}.png", picture(i, (12, 16)))
    for i in range(7):
        save(tmp_path / f"trainB/x{i}.png", picture(1000 + i, mode="L"))
    found = pairs.source(tmp_path, 12, unpaired=True)
    assert {name: array.shape for name, array in found.arrays.items()} == {"input": (4, 12, 12, 3), "image": (7, 12, 12, 1)}
    with pytest.raises(DataError, match="11 of the 11 images .*no partner"):
        pairs.source(tmp_path, 12)


def test_unpaired_side_by_side(tmp_path):
    lay(tmp_path, "side by side")
    with pytest.raises(DataError, match="without partners lie in folders trainA and trainB, or A and B"):
        pairs.source(tmp_path, 12, unpaired=True)

