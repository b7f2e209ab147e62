"""Images that are no squares, from the flag to what a run leaves; the sizes themselves."""
import json

import numpy as np
import pytest
from PIL import Image

from kgan import sizes
from kgan.config import ConfigError
from kgan.data import folder, glyphs
from kgan.data.source import DataError
from kgan.models._shapes import check_shape, doublings


# === Settings and flags ===

@pytest.mark.parametrize("size, setting, text", [
    (64, 64, "64"), ((64, 64), 64, "64"), ([64, 96], [64, 96], "64x96"), ((np.int64(8), 4), [8, 4], "8x4")])
def test_settings(size, setting, text):
    assert sizes.setting(size) == setting == json.loads(json.dumps(sizes.setting(size)))
    assert sizes.text(size) == text and sizes.Parser().parse(text) == setting
    assert sizes.Serializer().serialize(setting) == text


@pytest.mark.parametrize("size", ["64", 6.5, (8,), (8, 8, 3), (8, 0), [8, "8"], None])
def test_settings_that_cannot_be(size):
    with pytest.raises(ConfigError, match="image_size=.*: must be a number of pixels, or height and width"):
        sizes.pair(size)


@pytest.mark.parametrize("text", ["", "x", "3", "1025", "64x", "x64", "64x3", "64x1025", "8x8x3", "1.5", "-8", "8 x 8", "٨"])
def test_flags_that_cannot_be(text):
    with pytest.raises(ValueError, match="from 4 to 1024, or height x width, as in 64x96"):
        sizes.Parser().parse(text)


# === What networks are built for ===

def test_doublings():
    assert doublings((64, 96, 3)) == [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]
    assert doublings((28, 28)) == [(7, 7), (14, 14), (28, 28)]
    assert doublings((28, 28), odd=True) == [(4, 4), (7, 7), (14, 14), (28, 28)]
    assert doublings((25, 9), odd=True) == [(13, 5), (25, 9)]
    assert doublings((32, 32), 7) == [(8, 8), (16, 16), (32, 32)]
    assert doublings((30, 30)) == [(15, 15), (30, 30)]  # 15 is odd


def test_all_sizes_that_halve_exactly():
    """Those that are let through, of all: one side 4 to 7 times 2^k, the other as often a multiple of 2^k, k ≥ 1."""
    def fits(height, width):
        return any(min(height, width) == start * 2**k and height % 2**k == width % 2**k == 0
                   for k in range(1, 7) for start in (4, 5, 6, 7))
    for height in range(1, 130):
        for width in range(1, 130):
            try:
                check_shape((height, width, 1), "model")
                assert fits(height, width), (height, width)
            except ConfigError as error:
                assert not fits(height, width), (height, width)
                for named in str(error).rpartition("are ")[2].split(" and "):
                    assert fits(*sizes.pair(sizes.Parser().parse(named))), (height, width, named)


@pytest.mark.parametrize("size, nearest", [
    ((100, 100), "96 and 112"), ((30, 30), "28 and 32"), ((4, 4), "8 and 10"), ((1000, 1000), "1024 and 896"),
    ((64, 100), "64x96 and 56x96"), ((100, 64), "96x64 and 96x56")])
def test_the_nearest_sizes(size, nearest):
    with pytest.raises(ConfigError) as error:
        check_shape((*size, 3), "model")
    assert str(error.value).startswith(f"image_size={sizes.text(size)}: model needs")
    assert str(error.value).endswith(f"the nearest sizes are {nearest}")


# === Data ===

@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twelve colour photographs, 60 wide and 40 high: red in the middle 20 columns, blue beside it."""
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    pixels = np.full((40, 60, 3), (0, 0, 255), np.uint8)
    pixels[:, 20:40] = (255, 0, 0)
    for i in range(12):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i:02d}.png")
    return tmp_path / "photos"


def test_the_middle_has_the_proportions_that_are_wanted(photos):
    # 24x16 of 40 rows: 26.7 columns, 16.7 to 43.3; that is 2 columns of 16 of each side
    found = folder.source(photos, (24, 16))
    assert found.shape == (24, 16, 3)
    image = np.int32(found.arrays["image"][0])
    red = (image[..., 0] > 127).mean(0)
    assert red.tolist() == [0] * 2 + [1] * 12 + [0] * 2
    assert (image[:, 0] == (0, 0, 255)).all() and (image[:, 8] == (255, 0, 0)).all()
    # 8x20 of 60 columns: 24 rows, all columns; a third of them is red
    wide = np.int32(folder.source(photos, [8, 20]).arrays["image"][0])
    assert wide.shape == (8, 20, 3) and np.flatnonzero((wide[..., 0] > 127).all(0)).tolist() == list(range(7, 13))
    # squeezed: all columns whatever the proportions
    squeezed = np.int32(folder.source(photos, (24, 15), crop=False).arrays["image"][0])
    assert np.flatnonzero((squeezed[..., 0] > 127).all(0)).tolist() == list(range(5, 10))


@pytest.mark.parametrize("size", [(40, 61), (3, 1024), (1024, 3), (37, 59), (40, 60)])
def test_no_box_leaves_the_image(size):
    for shape in ((40, 60), (1, 1), (7, 1000), (333, 77)):
        image = Image.fromarray(np.full(shape, 200, np.uint8))
        assert (folder.pixels(image, size, 1, True) == np.full((*size, 1), 200)).all()


def test_a_photograph_that_lies_on_its_side(tmp_path):
    """JPEG is decoded at a fraction before it is turned: still no smaller than what is wanted."""
    detail = np.kron(np.indices((12, 150)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8) * 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.fromarray(detail).save(tmp_path / "a.jpg", exif=exif, quality=95)
    found, grey = folder.decode(tmp_path / "a.jpg", (1200, 96), 1, True)
    assert grey and found.shape == (1200, 96, 1)
    np.testing.assert_array_equal(found[4::8, 4::8, 0] > 127, np.rot90(detail, -1)[4::8, 4::8] > 127)


def test_squares_have_the_key_that_they_had(photos, monkeypatch):
    keys = []
    monkeypatch.setattr(folder, "cached", lambda name, key, write: keys.append(key) or ({}, {"classes": {}, "note": ""}))
    for size in (16, (16, 16), np.int64(16), (16, 24), None):
        folder.source(photos, size)
    assert [json.dumps(key["image_size"]) for key in keys] == ["16", "16", "16", "[16, 24]", "64"]


def test_glyphs_are_squares():
    with pytest.raises(DataError, match="glyphs: image_size=28x36: .* squares of 28 to 128 pixels"):
        glyphs.source([28, 36])


# === A run ===

@pytest.mark.slow
def test_a_run(command, photos):
    here = photos.parent
    done = command("train.py", "--model=dcgan", "--dataset=folder:photos", "--image_size=24x16", "--steps=2",
                   "--batch_size=4", "--set=filters=4", "--set=noise_dim=6", "--run_dir=run", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "12 of 24×16×3" in done.stdout
    settings = json.loads((here / "run" / "config.json").read_text())
    assert settings["image_size"] == [24, 16] and settings["shape"] == [24, 16, 3] and settings["channels"] == 3
    with Image.open(here / "run" / "samples" / "step-000000002.png") as grid:
        factor = max(1, round(512 / 146))
        assert grid.size == (factor * (2 + 8 * 18), factor * (2 + 8 * 26))

    # config.json tells the size
    again = command("train.py", "--config=run/config.json", "--run_dir=again", cwd=here)
    assert again.returncode == 0 and json.loads((here / "again" / "config.json").read_text()) == settings, again.stderr

    # what reads a run
    project = command("-m", "kgan.latent", "run", "project", "photos/00.png", "--steps=2", cwd=here)
    assert project.returncode == 0, project.stderr
    done = command("-m", "kgan.metrics", "run", "photos", "--dataset=folder:photos", "--image_size=24x16", "--count=12",
                   "--out=figures", cwd=here)
    assert done.returncode == 0, done.stderr
    run, real = (json.loads((here / "figures" / name / "metrics.json").read_text()) for name in ("run", "photos"))
    assert run["protocol"]["size"] == real["protocol"]["size"] == "24×16×3"
    assert run["figures"]["sliced_wasserstein"] > real["figures"]["sliced_wasserstein"] == 0  # the data themselves


def test_rotation_needs_squares(command, photos):
    done = command("train.py", "--model=dcgan", "--dataset=folder:photos", "--image_size=24x16", "--batch_size=4",
                   "--set=augment=rotate90", "--run_dir=run", cwd=photos.parent)
    assert done.returncode == 2 and done.stderr == "train.py: augment: rotate90 needs square images; these are 24x16\n"
