import numpy as np
import pytest

from kgan.data import glyphs, outlines
from kgan.data.source import DataError


@pytest.fixture(scope="module")
def pairs():
    return outlines.source(64, count=200)


def test_fields(pairs):
    assert {field: (values.dtype.name, values.shape[1:]) for field, values in pairs.arrays.items()} == {
        "input": ("uint8", (64, 64, 1)), "image": ("uint8", (64, 64, 3)), "label": ("int64", ())}
    assert len(pairs) == 200 and all(len(values) == 200 for values in pairs.arrays.values())
    assert pairs.classes == {"label": list("0123456789")} and set(pairs.arrays["label"]) == set(range(10))


def test_split_defaults(monkeypatch):
    keys = []
    monkeypatch.setattr(outlines, "cached", lambda name, key, write: keys.append(key) or ({"image": []}, {}))
    outlines.source()
    outlines.source(split="test")
    assert [(key["count"], key["image_size"]) for key in keys] == [(20_000, 64), (2_000, 64)]
    assert keys[0]["stream"] != keys[1]["stream"]


def test_same_seed_same_bytes_whatever_the_count(tmp_path, monkeypatch):
    first = {field: values[:30].tobytes() for field, values in outlines.source(32, count=50, seed=3).arrays.items()}
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(glyphs, "CHUNK", 7 * 32 * 32)
    again = {field: values.tobytes() for field, values in outlines.source(32, count=30, seed=3).arrays.items()}
    assert first == again
    for other in outlines.source(32, count=30, seed=4), outlines.source(32, split="test", count=30, seed=3):
        assert other.arrays["image"].tobytes() != first["image"]


def test_colors_are_far_apart():
    colors = np.array([outlines.GROUND, *outlines.COLORS.values()], float)
    apart = np.linalg.norm(colors[:, None] - colors, axis=-1) + 1e9 * np.eye(11)
    assert apart.min() > 81 and apart[0].min() > 198 and len(colors) == 11


def test_an_outline_is_where_the_target_changes(pairs):
    drawings, images = pairs.arrays["input"][..., 0], pairs.arrays["image"].astype(int)
    colors = np.array(list(outlines.COLORS.values()))[pairs.arrays["label"]][:, None, None]
    cover = np.linalg.norm(images - np.array(outlines.GROUND), axis=-1) / np.linalg.norm(
        colors - np.array(outlines.GROUND), axis=-1)
    # all edges are under the line: it is 1.6 pixels wide
    assert drawings[(cover > 0.3) & (cover < 0.7)].min() == 255
    # and it is nowhere else: a pixel that is black is all ground or all digit
    assert np.all((cover[drawings == 0] < 0.02) | (cover[drawings == 0] > 0.98))
    # the inside of every outline has pixels that are not under the line: to fill it is more than to colour the line
    inside = ((drawings == 0) & (cover > 0.98)).sum((1, 2))
    assert inside.min() >= 1 and np.median(inside) > 200


def test_draw_by_hand():
    row = np.array([-3.0, -1.0, -0.25, 0.0, 0.25, 1.0, 3.0], np.float32)
    outline, image = outlines.draw(np.tile(row, (1, 7, 1)), np.array([9]))
    # at 7 pixels a line is 1.2 wide: .5 + .6 - |d|
    assert outline[0, 0, :, 0].tolist() == [0, 26, 217, 255, 217, 26, 0]
    black, ground = np.array(outlines.COLORS["black"]), np.array(outlines.GROUND)
    for place, share in enumerate((1, 1, 0.75, 0.5, 0.25, 0, 0)):
        np.testing.assert_allclose(image[0, 0, place], share * black + (1 - share) * ground, atol=0.5)


@pytest.mark.parametrize("size", [28, 64])
def test_measure_of_the_targets(size):
    source = outlines.source(size, count=300)
    images, labels = source.arrays["image"], source.arrays["label"]
    assert outlines.measure(images, images, labels) == {"right": 1.0, "filled": 1.0, "spilled": 0.0}


def test_measure_tells_what_is_wrong(pairs):
    images, labels = pairs.arrays["image"][:50], pairs.arrays["label"][:50]
    ground = np.broadcast_to(np.array(outlines.GROUND, np.uint8), images.shape)
    assert outlines.measure(ground, images, labels) == {"right": 0.0, "filled": 0.0, "spilled": 0.0}
    # another digit's colour in the first twenty
    wrong = images.copy()
    front = np.array(list(outlines.COLORS.values()), np.uint8)
    wrong[:20] = np.where((images[:20] == front[labels[:20]][:, None, None]).all(-1, keepdims=True),
                          front[(labels[:20] + 1) % 10][:, None, None], images[:20])
    found = outlines.measure(wrong, images, labels)
    assert found["right"] == pytest.approx(30 / 50) and found["filled"] == 1.0 and found["spilled"] == 0.0
    # the upper half left unfilled: about half of what is inside
    half = images.copy()
    half[:, :32] = outlines.GROUND
    found = outlines.measure(half, images, labels)
    assert 0.4 < found["filled"] < 0.6 and found["spilled"] == 0.0
    # colour everywhere
    full = np.broadcast_to(front[labels][:, None, None], images.shape)
    assert outlines.measure(full, images, labels) == {"right": 1.0, "filled": 1.0, "spilled": 1.0}


@pytest.mark.parametrize("arguments, message", [
    (dict(channels=1), "outlines: channels must be 3"), (dict(image_size=27), "outlines: image_size .*28 to 128, not 27"),
    (dict(split="valid"), "outlines: split must be one of train, test"), (dict(count=0), "count must be 1"),
    (dict(seed=-1), "seed must be 0")])
def test_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        outlines.source(**arguments)
