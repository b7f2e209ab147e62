from pathlib import Path

import numpy as np
import pytest

from kgan.data import glyphs
from kgan.data.source import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))


def upright(size, height=0.7, weight=0.0):
    """Every glyph, unchanged but for its size, in the middle: what draw_parameters returns, font by font."""
    count = 10 * len(glyphs.FONTS)
    return {"font": np.repeat(np.arange(len(glyphs.FONTS)), 10), "label": np.tile(np.arange(10), len(glyphs.FONTS)),
            "matrix": np.tile(height * np.eye(2), (count, 1, 1)), "offset": np.zeros((count, 2)),
            "weight": np.full(count, weight, np.float32)}


def test_grey_fields():
    source = glyphs.source(28, 1, count=300)
    arrays = source.arrays
    assert {field: (values.dtype.name, values.shape[1:]) for field, values in arrays.items()} == {
        "image": ("uint8", (28, 28, 1)), "label": ("int64", ()), "font": ("int64", ()),
        "slant": ("float32", ()), "weight": ("float32", ())}
    assert len(source) == 300 and all(len(values) == 300 for values in arrays.values())
    assert (source.name, source.key, source.shape) == ("glyphs", "image", (28, 28, 1))
    assert source.classes == {"label": list("0123456789"), "font": list(glyphs.FONTS)}
    assert set(arrays["label"]) == set(range(10)) and set(arrays["font"]) == set(range(len(glyphs.FONTS)))
    for field, (low, high) in {"slant": glyphs.SLANT, "weight": glyphs.WEIGHT}.items():
        span = high - low
        assert low <= arrays[field].min() < low + 0.1 * span and high - 0.1 * span < arrays[field].max() <= high
    assert all((picture == 0).any() and picture.max() > 200 for picture in arrays["image"])


def test_color_fields():
    source = glyphs.source(32, 3, count=200)
    assert source.arrays["image"].shape == (200, 32, 32, 3) and source.arrays["image"].dtype == np.uint8
    assert source.arrays["color"].dtype == np.int64
    assert set(source.arrays["color"]) == set(range(len(glyphs.PALETTE)))
    assert source.classes["color"] == list(glyphs.PALETTE)


def test_split_defaults(monkeypatch):
    # writing nothing: which key would be drawn
    keys = []
    monkeypatch.setattr(glyphs, "cached", lambda name, key, write: keys.append(key) or ({"image": []}, {}))
    glyphs.source()
    glyphs.source(split="test")
    assert [key["count"] for key in keys] == [60_000, 10_000]
    assert keys[0]["stream"] != keys[1]["stream"]


def test_same_seed_same_bytes(tmp_path, monkeypatch):
    first = {field: values.tobytes() for field, values in glyphs.source(28, 3, count=50, seed=3).arrays.items()}
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "elsewhere"))
    again = {field: values.tobytes() for field, values in glyphs.source(28, 3, count=50, seed=3).arrays.items()}
    assert first == again
    for other in glyphs.source(28, 3, count=50, seed=4), glyphs.source(28, 3, "test", count=50, seed=3):
        assert other.arrays["image"].tobytes() != first["image"]
        assert other.arrays["label"].tobytes() != first["label"]


def test_picture_depends_on_its_number_alone(monkeypatch):
    few, many = (glyphs.source(28, 3, count=count).arrays for count in (20, 70))
    monkeypatch.setattr(glyphs, "CHUNK", 7 * 28 * 28)
    chunked = glyphs.source(28, 3, count=69).arrays
    for field in few:
        np.testing.assert_array_equal(few[field], many[field][:20])
        np.testing.assert_array_equal(chunked[field], many[field][:69])


def test_same_picture_at_every_size():
    small, large = (glyphs.source(size, 1, count=60).arrays for size in (32, 128))
    np.testing.assert_array_equal(small["label"], large["label"])
    averaged = large["image"][..., 0].reshape(60, 32, 4, 32, 4).mean((2, 4))
    difference = np.abs(averaged - small["image"][..., 0]).mean((1, 2))
    assert difference.mean() < 3 and difference.max() < 8  # of 255; another digit differs by some 30


@pytest.mark.parametrize("size", [28, 45, 128])
def test_nothing_touches_the_border(size):
    image = glyphs.source(size, 1, count=2000 if size == 28 else 300).arrays["image"][..., 0]
    rim = np.ones((size, size), bool)
    rim[1:-1, 1:-1] = False
    assert image[:, rim].max() == 0
    rows, columns = (np.flatnonzero(image.max(axis)) for axis in ((0, 2), (0, 1)))
    # and the pictures use the room they have
    assert min(rows[0], columns[0]) < 0.12 * size and max(rows[-1], columns[-1]) > 0.88 * size


@pytest.mark.slow
def test_glyphs_are_those_of_the_font_files():
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    size = 200
    ours = glyphs.coverage(upright(size), size)
    for number, cover in enumerate(ours):
        font, digit = divmod(number, 10)
        file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{glyphs.FONTS[font]}.ttf")
        sheet = Image.new("L", (1200, 1200))
        ImageDraw.Draw(sheet).text((300, 200), str(digit), fill=255, font=ImageFont.truetype(str(file), 700))
        ink = sheet.crop(sheet.getbbox())
        ink = ink.resize((round(140 * ink.width / ink.height), 140), Image.Resampling.BOX)
        theirs = Image.new("L", (size, size))
        theirs.paste(ink, ((size - ink.width) // 2, 30))
        theirs = np.asarray(theirs) / 255
        overlap = np.minimum(cover, theirs).sum() / np.maximum(cover, theirs).sum()
        assert overlap > 0.88, (glyphs.FONTS[font], digit, overlap)  # half a pixel of rounding costs hairlines most


def test_every_glyph_has_sensible_ink():
    for weight in glyphs.WEIGHT:
        ink = glyphs.coverage(upright(28, weight=weight), 28).mean((1, 2)).reshape(-1, 10)
        assert ink.min() > 0.03 and ink.max() < 0.35
        assert (ink[:, 1] < ink[:, 8]).all()  # in every face a one has less ink than an eight
    bold, regular = (glyphs.coverage(upright(28), 28).mean((1, 2)).reshape(-1, 10)[glyphs.FONTS.index(name)]
                     for name in ("DejaVuSans-Bold", "DejaVuSans"))
    assert (bold > 1.2 * regular).all()


def test_distance_field_is_a_distance():
    distances, _ = glyphs.faces()
    spacing = 2 * glyphs.EXTENT / (glyphs.GRID - 1)
    slope = np.abs(np.diff(distances, axis=2)) / spacing
    assert slope.max() < 1.001
    rim = np.concatenate([distances[:, 0], distances[:, -1], distances[:, :, 0], distances[:, :, -1]], 1)
    assert rim.min() > 0.15  # far outside: beyond the grid nothing is drawn
    # a glyph of height 1 around the middle: just above its highest point the distance is the height above it
    np.testing.assert_allclose(distances[:, -1].min(1), glyphs.EXTENT - 0.5, atol=spacing / 2)


def test_label_and_font_match_the_picture():
    source = glyphs.source(28, 1, count=300)
    drawn = glyphs.draw_parameters(300, np.random.default_rng([0, 0]))
    picture = source.arrays["image"].reshape(300, -1).astype(float)
    for number, own in enumerate(source.arrays["label"]):
        # all ten digits in the picture's own face and place: the labelled one must be the one that is there
        same = {field: drawn[field][[number] * 10] for field in ("matrix", "offset")}
        same.update(font=np.full(10, source.arrays["font"][number]), label=np.arange(10), weight=np.zeros(10))
        digits = np.corrcoef(picture[number], glyphs.coverage(same, 28).reshape(10, -1))[0, 1:]
        assert digits.argmax() == own and digits[own] > 0.8
        # and so for the face, by what it leaves unexplained at the picture's own weight
        same = {field: drawn[field][[number] * len(glyphs.FONTS)] for field in ("label", "matrix", "offset", "weight")}
        fonts = 255 * glyphs.coverage(dict(same, font=np.arange(len(glyphs.FONTS))), 28).reshape(-1, 784)
        assert np.abs(fonts - picture[number]).mean(1).argmin() == source.arrays["font"][number]


def test_weight_and_slant_do_what_they_say():
    drawn = upright(100)
    ink = [glyphs.coverage(upright(100, weight=weight), 100).mean((1, 2)) for weight in (-0.01, 0.0, 0.03)]
    assert (ink[0] < ink[1]).all() and (ink[1] < ink[2]).all()
    parameters = glyphs.draw_parameters(500, np.random.default_rng(0))
    # the matrix maps straight up to (slant, 1) and across to (aspect, 0), before it turns and scales both
    across, up = parameters["matrix"][:, :, 0], parameters["matrix"][:, :, 1]
    lean = (across * up).sum(1) / np.linalg.norm(across, axis=1)  # the part of `up` along `across`
    height = np.linalg.det(parameters["matrix"]) / np.linalg.norm(across, axis=1)
    np.testing.assert_allclose(lean / height, parameters["slant"], atol=1e-6)
    # and to the right is to the right: sheared, the upper half of every glyph moves to larger x
    leaning = dict(drawn, matrix=drawn["matrix"] @ np.array([[1, 0.25], [0, 1]]))
    x = np.arange(100)
    shift = [(cover[:, :40] * x).sum((1, 2)) / cover[:, :40].sum((1, 2))
             for cover in (glyphs.coverage(drawn, 100), glyphs.coverage(leaning, 100))]
    assert (shift[1] > shift[0] + 2).all()


def test_every_color_stands_out():
    drawn = glyphs.draw_parameters(5000, np.random.default_rng(0))
    cover = np.tile(np.array([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]], np.float32), (5000, 1, 1))
    picture = glyphs.paint(drawn, cover) / 255
    np.testing.assert_array_equal(np.rint(255 * picture[:, 1, 1]),
                                  np.array(list(glyphs.PALETTE.values()))[drawn["color"]])
    luminance = glyphs.relative_luminance(picture)
    front, back = luminance[:, 1, 1, None], luminance[:, [0, 0, 2, 2], [0, 2, 0, 2]]
    ratio = (np.maximum(front, back) + 0.05) / (np.minimum(front, back) + 0.05)
    for color, name in enumerate(glyphs.PALETTE):
        assert ratio[drawn["color"] == color].min() > 2.5, name
    assert 0.3 < (back.mean(1) < 0.2).mean() < 0.7  # both deep and pale grounds
    spread = np.abs(picture[:, 0, 0] - picture[:, 2, 2]).max(1)
    assert 0.01 < np.median(spread) < 0.2  # a gradient, a gentle one


def test_luminance():
    np.testing.assert_allclose(glyphs.relative_luminance([[0, 0, 0], [1, 1, 1], [0, 1, 0]]), [0, 1, 0.7152])
    # WCAG's own example of a grey that has contrast 4.54 with white, #767676
    assert 1.05 / (glyphs.relative_luminance([0x76 / 255] * 3) + 0.05) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("arguments, words", [
    (dict(image_size=27), "28 to 128"), (dict(image_size=129), "28 to 128"), (dict(image_size=32.5), "28 to 128"),
    (dict(channels=2), "1 or 3"), (dict(split="valid"), "train, test"), (dict(count=0), "1 or more"),
    (dict(seed=-1), "0 or more")])
def test_wrong_arguments(arguments, words, tmp_path):
    with pytest.raises(DataError, match=words):
        glyphs.source(**arguments)
    assert not list(tmp_path.iterdir())
