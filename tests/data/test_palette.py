import io

import numpy as np
import pytest
from PIL import Image

from kgan import data, kinds
from kgan.data import outlines, palette
from kgan.data.onthefly import Jittered
from kgan.data.source import DataError, Source

JET = [(0, 0, 221), (0, 48, 255), (0, 127, 255), (0, 206, 255), (34, 255, 226), (113, 255, 145), (193, 255, 63), (255, 240, 0),
       (255, 159, 0), (255, 81, 0), (255, 0, 0), (173, 0, 0)]  # as CMP facades have them


def label_map(seed, size=64, colours=JET, least=6):
    """Rectangles of these colours, one over the other."""
    rng = np.random.default_rng(seed)
    image = np.empty((size, size, 3), np.uint8)
    image[:] = colours[seed % 2]
    for colour in rng.permutation(len(colours)).repeat(2):
        top, left = rng.integers(0, size - 2 * least, 2)
        height, width = rng.integers(least, 4 * least, 2)
        image[top:top + height, left:left + width] = colours[colour]
    return image


def jpeg(image, quality=75):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_the_colours_of_label_maps():
    maps = np.stack([label_map(seed) for seed in range(40)])
    found = palette.colours(maps)
    assert sorted(map(tuple, found)) == sorted(JET)
    counts = [int((maps == colour).all(-1).sum()) for colour in found]
    assert counts == sorted(counts, reverse=True)


def test_colours_that_are_near_each_other():
    # as Cityscapes' bus and train: told apart where nothing is mixed
    near = [(0, 60, 100), (0, 80, 100), (0, 0, 90)]
    found = palette.colours(np.stack([label_map(seed, colours=near) for seed in range(4)]))
    assert sorted(map(tuple, found)) == sorted(near)


def test_what_jpeg_mixes_at_borders_is_hardly_a_colour():
    found = np.array(palette.colours(np.stack([jpeg(label_map(seed, 128, least=12))[::2, ::2] for seed in range(40)])))
    assert len(found) <= 13  # one mixture; the real facades have none
    far = np.abs(found[:, None] - np.array(JET)).max(-1)
    assert far.min(0).max() <= 4


def test_photos_have_none():
    images = kinds.get("image").examples(kinds.Field("image", (64, 64, 3)), 40)
    assert palette.colours(kinds.get("image").store(images)) == []


def test_outlines_are_black_and_white(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))
    source = outlines.source(64, count=200)
    found = palette.described(source, "input")["colours"]
    assert found[:2] == [[0], [254]] and len(found) <= 3  # a level of the soft edges may be as frequent as those around it


def of(images, **more):
    return Source("mine", {"input": images, "image": np.zeros((len(images), 8, 8, 3), np.uint8)}, kinds={"input": "image"}, **more)


def test_numbers_of_labels():
    images = np.random.default_rng(0).integers(0, 12, (300, 8, 8, 1)).astype(np.uint8)
    assert palette.described(of(images), "input", "12") == {"labels": [[level] for level in range(12)]}
    images[270, 3, 3] = 12
    with pytest.raises(DataError, match="labels=12: input 270 of mine has the label 12, and there are only 0 to 11"):
        palette.described(of(images), "input", "12")
    with pytest.raises(DataError, match="labels=12: input of mine is in colour"):
        palette.described(of(images.repeat(3, -1)), "input", "12")


def test_colours_that_are_named():
    images = np.stack([label_map(seed, colours=JET[:3]) for seed in range(4)])
    assert palette.described(of(images), "input", "0000dd,0030ff,007fff") == {"labels": [list(colour) for colour in JET[:3]]}
    with pytest.raises(DataError, match="labels=00ff00,ffffff: 100 % of the pixels of input of mine are of none of these colours"):
        palette.described(of(images), "input", "00ff00,ffffff")
    with pytest.raises(DataError, match="labels=00ff00,ffffff: input of mine is grey"):
        palette.described(of(images[..., :1]), "input", "00ff00,ffffff")
    with pytest.raises(DataError, match="labels=auto: input of mine has no 2 to 64 colours"):
        palette.described(of(np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3)).astype(np.uint8)), "input", "auto")


@pytest.mark.parametrize("text, right", [("", True), ("auto", True), ("12", True), ("00ff00,FF0000", True), ("0", False),
                                         ("00ff00", False), ("red", False), ("00ff00,", False)])
def test_texts(text, right):
    assert bool(palette.TEXT.fullmatch(text)) == right


@pytest.mark.parametrize("labels, mixed", [("auto", False), ("", True)])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_scaled_label_maps_are_not_mixed(tmp_path, monkeypatch, labels, mixed, direction):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    given, made = ("A", "B")[::1 if direction == "AtoB" else -1]
    for i in range(3):
        for name in given, made:
            (tmp_path / "pairs" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(label_map(i, 50)).save(tmp_path / "pairs" / name / f"{i}.png")
    found = data.of({"dataset": f"folder:{tmp_path / 'pairs'}", "image_size": 32,
                     "config": {"labels": labels, "direction": direction, "jitter": 0.2}}, {"input": "image", "image": "image"})
    for values in (found.arrays["input"][:], found.arrays["input"].at(np.arange(3), np.arange(3))):
        assert {*map(tuple, values.reshape(-1, 3))} <= {*JET} or mixed
    assert not {*map(tuple, found.arrays["image"][:].reshape(-1, 3))} <= {*JET}  # the other is no label map


def test_jittered_labels_go_with_their_partner():
    maps = np.stack([label_map(seed, 32) for seed in range(4)])
    one, other = (Jittered(maps, 0.2, 5, labels).at(np.arange(4), np.arange(4)) for labels in (True, False))
    assert {*map(tuple, one.reshape(-1, 3))} <= {*JET}
    assert (np.abs(one.astype(int) - other).max(-1) < 16).mean() > 0.6


# === What a server is sent ===

def test_reading_a_label_map():
    field = kinds.Field("image", (None, None, 3), (), {"labels": [list(colour) for colour in JET]})

    def file(image):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    read = kinds.get("image").read
    np.testing.assert_array_equal(read(file(label_map(1)), field), label_map(1))
    read(file(jpeg(label_map(1, 128, least=24))), field)
    with pytest.raises(ValueError, match="no label map that the generator knows: 100 % of its pixels are of none of the 12 colours"):
        read(file(np.full((8, 8, 3), (0, 90, 0), np.uint8)), field)
    levels = kinds.Field("image", (None, None, 1), (), {"labels": [[0], [1], [2]]})
    assert read(file(np.array([[0, 2]], np.uint8)), levels).ravel().tolist() == [0, 2]
    with pytest.raises(ValueError, match="50 % of its pixels"):
        read(file(np.array([[0, 3]], np.uint8)), levels)
