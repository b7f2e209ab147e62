import os
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from kgan import kinds, models
from kgan.command import UserError
from kgan.data.bicubic import resize
from kgan.kinds import _compare
from kgan.models import pix2pix
from kgan.outputs import agree, masks_of, outputs
from kgan.translate import function_of, keeps_grey, tiles, translate, translate_files


def noisy(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def inverted(images):
    return -images


def untrained(size=32, **settings):
    """A U-Net of two halvings as a function of images, its contrast raised to what a trained one has."""
    tf.keras.utils.set_random_seed(0)
    generator = pix2pix.generator((size, size, 3), 3, pix2pix.Config(depth=2, **settings))
    generator(noisy(8, 32, 32, 3) / 127.5 - 1, training=True)  # for statistics that are not those of no data
    return lambda images: np.tanh(100 * np.asarray(generator(images)))


# === Tiles ===

@pytest.mark.parametrize("side, tile, overlap, multiple, wanted", [
    (100, 100, 20, 1, [(0, 100)]),
    (101, 100, 20, 1, [(0, 100), (1, 101)]),
    (260, 100, 20, 1, [(0, 100), (80, 180), (160, 260)]),
    (261, 100, 20, 1, [(0, 100), (54, 154), (107, 207), (161, 261)]),
    (250, 128, 64, 64, [(0, 128), (64, 192), (128, 250)]),
])
def test_tiles_by_hand(side, tile, overlap, multiple, wanted):
    assert tiles(side, tile, overlap, multiple) == wanted


def test_tiles_cover_everything_and_overlap():
    for side in range(120, 700, 7):
        for multiple in (1, 8, 32):
            found = tiles(side, 128, 48, multiple)
            assert found[0][0] == 0 and found[-1][1] == side
            assert all(start % multiple == 0 and end - start <= 128 for start, end in found)
            assert all(one[1] - other[0] >= 48 for one, other in zip(found, found[1:]))


@pytest.mark.parametrize("size", [(40, 40), (40, 130), (97, 131)])
@pytest.mark.parametrize("overlap", [0, 10, 32])
def test_a_function_of_pixels_is_the_same_in_tiles(size, overlap):
    image = noisy(*size, 3)
    np.testing.assert_array_equal(translate(inverted, image, tile=64, overlap=overlap), 255 - image)


def test_tiles_that_differ_are_blended_linearly():
    # each tile in a colour of its own: from one to the next along the middle half of the overlap, evenly
    shades = iter([-0.6, 0.6])
    made = translate(lambda images: np.full_like(images[..., :1], next(shades)), np.zeros((64, 96, 3), np.uint8), 64, 32)
    assert made.shape == (64, 96, 1) and (made == made[:1]).all()
    row = made[0, :, 0].astype(int)
    assert set(row[:40]) == {51} and set(row[56:]) == {204}  # -.6 and .6
    np.testing.assert_allclose(np.diff(row[39:57])[1:-1], 153 / 16, atol=1)


def blocks(image):
    """The means of squares of 4×4, in which the pattern of a network of two halvings is gone."""
    image = image[:image.shape[0] // 4 * 4, :image.shape[1] // 4 * 4].astype(float)
    return image.reshape(image.shape[0] // 4, 4, image.shape[1] // 4, 4, -1).mean((1, 3))


def steps(image):
    """The largest change from one square to the next, but for the border of 16 pixels."""
    inner = blocks(image)[4:-4, 4:-4]
    return max(np.abs(np.diff(inner, axis=axis)).max() for axis in (0, 1))


def test_a_constant_image_has_no_seam():
    # also where instance normalisation sees each tile for itself
    made = translate(untrained(filters=4), np.full((152, 132, 3), 90, np.uint8), 64, 32, 4)
    assert np.ptp(made) > 20 and steps(made) <= 2


def test_a_smooth_image_has_no_seam():
    sway = np.sin(np.arange(200) / 30)
    image = np.repeat(np.rint(127.5 + 100 * sway[:120, None] * sway)[..., None].astype(np.uint8), 3, -1)
    network = untrained(filters=4)
    whole, tiled = (translate(network, image, tile, 48, 4) for tile in (1000, 96))
    assert np.abs(blocks(whole) - blocks(tiled)).max() > 10  # tiles have statistics of their own
    assert steps(tiled) <= 1.5 * steps(whole)


def test_tiles_equal_the_whole_where_a_network_sees_less_than_a_quarter_of_the_overlap():
    network = untrained(filters=8, normalization="batch")
    image = noisy(150, 203, 3)
    # a column of the middle changes nothing beyond 16 pixels: a quarter of an overlap of 64
    one, other = (network(x[None] / np.float32(127.5) - 1)[0] for x in (
        image, np.where(np.arange(203)[:, None] == 100, 255 - image, image)))
    seen = np.flatnonzero(np.abs(one - other).max((0, 2)) > 0)
    assert 4 <= 100 - seen[0] <= 16 and 4 <= seen[-1] - 100 <= 16
    whole, tiled = (translate(network, image, tile, 64, 4).astype(int) for tile in (1000, 128))
    assert np.abs(whole - tiled).max() <= 1 and (whole != tiled).mean() < 0.001  # rounded sums of float32
    assert np.ptp(whole) > 100
    assert np.abs(whole - translate(network, image, 128, 8, 4)).max() > 5  # too little of an overlap: it shows


def test_wrong_tiles():
    for wrong in dict(tile=64, overlap=33), dict(tile=64, multiple=64):
        with pytest.raises(ValueError, match="tiles must be at least"):
            translate(inverted, noisy(200, 200, 3), **{"overlap": 0, **wrong})


# === Files ===

def test_names(tmp_path):
    for name in ("a.png", "b.jpg", "b.png", "deep/er/c.webp", "deep/a.bmp"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "in" / name)
    placed = outputs([tmp_path / "in"], tmp_path / "in" / "out")
    assert {str(path.relative_to(tmp_path / "in")): str(target.relative_to(tmp_path / "in/out"))
            for path, target in placed.items()} == {
        "a.png": "a.png", "b.jpg": "b.jpg.png", "b.png": "b.png.png", "deep/er/c.webp": "deep/er/c.png", "deep/a.bmp": "deep/a.png"}
    Image.new("RGB", (4, 4)).save(tmp_path / "in/a.png")
    (tmp_path / "in/out").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "in/out/a.png")  # made by an earlier call: no image to translate
    assert len(outputs([tmp_path / "in"], tmp_path / "in" / "out")) == 5
    with pytest.raises(UserError, match="have the same name"):
        outputs([tmp_path / "in/a.png", tmp_path / "in/out/a.png"], tmp_path / "out")
    with pytest.raises(UserError, match="this is where the images lie"):
        outputs([tmp_path / "in"], tmp_path / "in")
    with pytest.raises(UserError, match="would be overwritten"):
        outputs([tmp_path / "in/a.png"], tmp_path / "in")
    with pytest.raises(UserError, match="no such file"):
        outputs([tmp_path / "none.png"], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images; kgan reads .jpg"):
        outputs([tmp_path / "empty"], tmp_path / "out")


def test_files_of_every_kind_keep_name_and_size(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    colour = Image.fromarray(noisy(13, 17, 3))
    colour.save(folder / "colour.png")
    Image.fromarray(noisy(30, 9, seed=1)).save(folder / "grey.png")
    half = colour.copy()
    half.putalpha(Image.fromarray(np.uint8(255 * (np.indices((13, 17))[0] < 6))))
    half.save(folder / "alpha.png")
    deep = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
    Image.fromarray(deep).save(folder / "deep.png")
    turned = Image.fromarray(noisy(20, 10, 3, seed=2))
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by a quarter
    turned.save(folder / "turned.png", exif=exif)
    (folder / "broken.png").write_bytes(b"no image")
    placed = outputs([folder], tmp_path / "out")
    made, kept, broken = translate_files(inverted, 3, placed, tile=16, overlap=8)
    assert (made, kept) == (5, 0)
    assert broken == {folder / "broken.png": "not an image, or a broken one"}
    found = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / "out").iterdir()}
    assert {name: pixels.shape for name, pixels in found.items()} == {
        "colour": (13, 17, 3), "grey": (30, 9, 3), "alpha": (13, 17, 4), "deep": (40, 50, 3), "turned": (10, 20, 3)}
    np.testing.assert_array_equal(found["colour"], 255 - np.asarray(colour))
    np.testing.assert_array_equal(found["alpha"][..., :3], 255 - np.asarray(colour))  # in its own colours, where transparent too
    np.testing.assert_array_equal(found["alpha"][..., 3], np.asarray(half)[..., 3])
    np.testing.assert_allclose(found["deep"][..., 0], 255 - deep / 257, atol=0.51)
    np.testing.assert_array_equal(found["turned"], 255 - np.rot90(np.asarray(turned), -1))


def test_grey_stays_grey_and_transparency_grows_with_the_image(tmp_path):
    grey = Image.fromarray(noisy(6, 8))
    grey.save(tmp_path / "grey.png")
    soft = Image.fromarray(np.full((6, 8, 3), 9, np.uint8))
    soft.putalpha(Image.fromarray(noisy(6, 8, seed=3)))
    soft.save(tmp_path / "soft.png")

    def twice(images):
        return np.repeat(np.repeat(images, 2, 1), 2, 2)
    placed = outputs([tmp_path / "grey.png", tmp_path / "soft.png"], tmp_path / "out")
    translate_files(twice, 3, placed, grey=True)
    found = np.asarray(Image.open(tmp_path / "out/grey.png"))
    np.testing.assert_array_equal(found, np.repeat(np.repeat(np.asarray(grey), 2, 0), 2, 1))
    found = np.asarray(Image.open(tmp_path / "out/soft.png"))
    assert (found[..., :3] == 9).all()
    np.testing.assert_array_equal(found[..., 3:], resize(noisy(6, 8, 1, seed=3), 12, 16))


@pytest.mark.parametrize("degrade, wanted", [("", False), ("downscale:4", True), ("noise:3+grey", False)])
def test_who_keeps_grey(degrade, wanted):
    assert keeps_grey(pix2pix.Config(degrade=degrade)) is wanted


def test_sixteen_bits(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    tifffile.imwrite(tmp_path / "tiff.tif", deep)
    colour = Image.fromarray(noisy(20, 30, 3))
    colour.putalpha(Image.fromarray(noisy(20, 30, seed=4)))
    colour.save(tmp_path / "colour.png")
    placed = outputs([tmp_path / name for name in ("deep.png", "tiff.tif", "colour.png")], tmp_path / "out")
    half = lambda images: images / 2  # what needs more than 8 bits
    assert translate_files(half, 3, placed, tile=16, overlap=8, depth=16, grey=True) == (3, 0, {})
    for name in ("deep", "tiff"):  # Pillow reads grey ones of 16 bits
        np.testing.assert_allclose(np.asarray(Image.open(tmp_path / f"out/{name}.png")), deep / 2 + 16383.75, atol=0.6)
    found = tf.io.decode_png((tmp_path / "out/colour.png").read_bytes(), dtype=tf.uint16).numpy()  # and TensorFlow all
    np.testing.assert_allclose(found[..., :3], np.asarray(colour)[..., :3].astype(float) * 257 / 2 + 16383.75, atol=0.6)
    np.testing.assert_array_equal(found[..., 3], np.asarray(colour)[..., 3].astype(int) * 257)


def test_an_enlarging_network_in_tiles():
    image = noisy(70, 90, 3)

    def thrice(images):
        return np.repeat(np.repeat(-images, 3, 1), 3, 2)
    made = translate(thrice, image, tile=32, overlap=8)
    np.testing.assert_array_equal(made, np.repeat(np.repeat(255 - image, 3, 0), 3, 1))


def test_what_restores_has_no_seams():
    """Without statistics of the whole image, tiles give the same: by far more than the 50 dB that no one sees."""
    tf.keras.utils.set_random_seed(0)
    generator = pix2pix.generator((32, 32, 3), 3, pix2pix.Config.of(preset="restore", filters=4))
    for weight in generator.trainable_weights[-2:]:
        weight.assign(30 * weight)  # a correction as large as that of a trained one
    image = noisy(150, 200, 3)
    whole, tiled = (translate(generator, image, tile, 56, 8) for tile in (1000, 112))
    assert np.abs(whole.astype(int) - image).mean() > 10
    assert _compare.psnr(tiled[None], whole[None])[0] > 50


def test_a_grey_network(tmp_path):
    Image.fromarray(noisy(12, 12, 3)).save(tmp_path / "one.png")
    shapes = []

    def network(images):
        shapes.append(images.shape)
        return images
    translate_files(network, 1, outputs([tmp_path / "one.png"], tmp_path / "out"))
    assert shapes == [(1, 12, 12, 1)] and Image.open(tmp_path / "out/one.png").mode == "L"


def test_what_is_there_is_left_alone(tmp_path):
    for i in range(3):
        Image.fromarray(noisy(8, 8, 3, seed=i)).save(tmp_path / f"{i}.png")
    placed = outputs([tmp_path], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1.png").write_bytes(b"mine")
    assert translate_files(inverted, 3, placed) == (2, 1, {})
    assert (tmp_path / "out/1.png").read_bytes() == b"mine"
    assert translate_files(inverted, 3, placed, overwrite=True) == (3, 0, {})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/1.png")), 255 - noisy(8, 8, 3, seed=1))


def test_twelve_bits_in_files_of_sixteen_are_warned_of(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)).save(tmp_path / "a.png")
    for depth in (8, 16):
        with pytest.warns(UserWarning, match="1 files are near black .*a.png.*12 or 14 bits in files of 16"):
            translate_files(inverted, 1, outputs([tmp_path / "a.png"], tmp_path / str(depth)), depth=depth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        translate_files(inverted, 1, outputs([tmp_path / "a.png"], tmp_path / "maps"), labels=True)


def test_what_is_there_is_of_the_same_run_flags_and_file(tmp_path):
    out = tmp_path / "out"
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1000, 1000))
    placed, other, told = outputs([tmp_path / "a"], out), outputs([tmp_path / "b"], out), {"run": "r", "weights": "1", "seed": 0}
    agree(out, placed, told)
    (out / "1.png").write_bytes(b"made")
    agree(out, placed, told)
    for case, by, words in ((placed, {**told, "weights": "2"}, "1.png was made by another run or with other flags .weights '1'"),
                            (placed, {**told, "seed": 3}, "seed 0"), (other, told, "1.png is made of .*a/1.png, wanted is that of .*b/1")):
        with pytest.raises(UserError, match=words):
            agree(out, case, by)
    assert (out / "1.png").read_bytes() == b"made"
    os.utime(tmp_path / "a/1.png")  # newer than what was made of it
    os.utime(out / "1.png", (2000, 2000))
    agree(out, placed, told)
    assert not (out / "1.png").exists()
    (out / "1.png").write_bytes(b"made")
    agree(out, other, {**told, "seed": 3}, overwrite=True)
    assert not (out / "1.png").exists()


@pytest.mark.parametrize("content, words", [(None, "no translated.json says what it is"), ("[]", "translated.json is of something else"),
                                            ("nonsense", "translated.json is of something else")])
def test_what_is_there_is_of_something_else(tmp_path, content, words):
    for name in ("1.png", "out/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    if content:
        (tmp_path / "out/translated.json").write_text(content)
    with pytest.raises(UserError, match=words):
        agree(tmp_path / "out", outputs([tmp_path / "1.png"], tmp_path / "out"), {"run": "r"})
    assert (tmp_path / "out/1.png").read_bytes() == b"mine"


FAMILIES = {"cyclegan": dict(patch="16", blocks=1), "discogan": {}, "styletransfer": dict(patch="10", blocks=1),
            "pix2pixhd": dict(halvings=1, blocks=1, enhancer_blocks=0, discriminators=1), "motion": dict(halvings=1, blocks=1)}


@pytest.mark.parametrize("name, function", [*((name, "generator") for name in FAMILIES), ("cyclegan", "inverse")])
def test_every_family_translates_files(tmp_path, monkeypatch, name, function):
    """Of any size, into the same: what the averaged network makes of the file's own pixels."""
    monkeypatch.setattr(tf, "function", lambda **options: lambda call: call)  # tracing is not what is tested
    gan = models.build(name, (16, 16, 3), {"filters": 2, "jit_compile": False, **FAMILIES[name]})
    placed = {}
    for i, (height, width) in enumerate([(13, 30), (24, 9)]):
        placed[tmp_path / f"{i}.png"] = tmp_path / f"out/{i}.png"
        Image.fromarray(noisy(height, width, 3, seed=i)).save(tmp_path / f"{i}.png")
    network, channels, multiple = function_of(gan, function=function)
    assert translate_files(network, channels, placed, multiple=multiple) == (2, 0, {})
    for i, (path, target) in enumerate(placed.items()):
        x = kinds.get("image").scale(np.asarray(Image.open(path), np.float32)[None])
        given = {"input": x, "before": -np.ones_like(x)} if name == "motion" else x
        wanted = kinds.get("image").store(np.asarray(gan.exported(function)(given)))[0]
        found = np.asarray(Image.open(target)).astype(int)
        assert found.shape == x.shape[1:] and np.abs(found - wanted).max() <= 1


# === The command ===

@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    """A run of a few steps on pairs, B to A: colour is given, grey is made."""
    folder = tmp_path_factory.mktemp("run")
    for i in range(8):
        for name, pixels in (("A", noisy(16, 16, seed=i)), ("B", noisy(16, 16, 3, seed=100 + i))):
            (folder / "pairs" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"pairs/{name}/{i}.png")
    settings = dict(filters=4, patch="16", direction="BtoA", jitter=0.1, log_every=2)
    done = command("train.py", "--model=pix2pix", "--dataset=folder:pairs", "--image_size=16", "--batch_size=4", "--steps=4",
                   "--run_dir=run", *(f"--set={name}={value}" for name, value in settings.items()), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_translating_a_folder(run, command):
    (run / "new/deep").mkdir(parents=True)
    Image.fromarray(noisy(20, 33, 3)).save(run / "new/a.jpg")
    Image.fromarray(noisy(40, 25)).save(run / "new/deep/b.png")
    done = command("-m", "kgan.translate", "run", "new", "--out=made", cwd=run)
    assert done.returncode == 0 and "2 translated into made" in done.stdout, done.stderr
    found = {str(path.relative_to(run / "made")): Image.open(path) for path in (run / "made").rglob("*.png")}
    assert {name: (image.size, image.mode) for name, image in found.items()} == {
        "a.png": ((33, 20), "L"), "deep/b.png": ((25, 40), "L")}
    (run / "new/broken.png").write_bytes(b"no image")
    again = command("-m", "kgan.translate", "run", "new", "--out=made", cwd=run)
    assert again.returncode == 2 and "0 translated into made; 2 were there already" in again.stdout
    assert "1 of 3 files cannot be read (new/broken.png: not an image" in again.stderr and "Traceback" not in again.stderr


@pytest.mark.parametrize("arguments, message", [
    (["run", "pairs"], "write kgan translate RUN FOLDER --out=TRANSLATED"),
    (["run", "none", "--out=made"], "none: there is no such file or folder"),
    (["pairs", "pairs", "--out=made"], "holds no run"),
    (["run", "pairs/A", "--out=made", "--tile=20"], "--tile=20 --overlap=128: tiles must be at least 32 pixels"),
    pytest.param(["run", "pairs/A", "--out=made", "--direction=BtoA"], "--direction=BtoA: run holds pix2pix, which has learned one "
                 "direction alone", marks=pytest.mark.slow)])
def test_mistakes(run, command, arguments, message):
    done = command("-m", "kgan.translate", *arguments, cwd=run)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_files_of_a_folder_that_are_no_images_are_said(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.tif", "c.jfif", "d"):
        Image.new("RGB", (8, 8)).save(tmp_path / "in" / name, "PNG")
    for name in ("e.heic", "f.HEIC", "g.txt", ".h.png"):
        (tmp_path / "in" / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"4 files are left out, by suffix: \.heic \(2\).*HEIC: convert"):
        placed = outputs([tmp_path / "in"], tmp_path / "out")
    assert sorted(path.name for path in placed) == ["a.png", "b.tif", "c.jfif", "d"]


# === Holes ===

def halves(images):
    """What is missing, by the last channel, becomes black; what is seen there does not matter."""
    return np.where(images[..., -1:] > 0, -1, images[..., :-1]).astype(np.float32)


@pytest.fixture
def holed(tmp_path):
    """A folder with an image and, in a sub-folder, another; beside it their masks, the first a JPEG."""
    for folder in ("in/sub", "masks/sub", "one"):
        (tmp_path / folder).mkdir(parents=True)
    missing = np.zeros((40, 70), np.uint8)
    missing[8:24, 16:64] = 255
    for name, suffix, mask in (("a", "jpg", missing), ("sub/b", "png", 255 - missing)):
        Image.fromarray(noisy(40, 70, 3)).save(tmp_path / "in" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.{suffix}")
    return tmp_path, missing


def test_what_is_not_missing_comes_back_in_tiles_too(holed):
    folder, missing = holed
    sources = [folder / "in"]
    placed = outputs(sources, folder / "out")
    masks = masks_of(folder / "masks", sources, placed)
    assert translate_files(halves, 3, placed, tile=32, overlap=8, masks=masks) == (2, 0, {})
    for name, mask in (("a.png", missing), ("sub/b.png", 255 - missing)):
        made = np.asarray(Image.open(folder / "out" / name))
        np.testing.assert_array_equal(made, np.where(mask[..., None] > 0, 0, noisy(40, 70, 3)))


def test_one_mask_for_all_and_masks_that_do_not_fit(holed):
    folder, missing = holed
    placed = outputs([folder / "in"], folder / "out")
    one = folder / "masks" / "a.jpg"
    assert set(masks_of(one, [folder / "in"], placed).values()) == {one}
    Image.fromarray(missing[:-1]).save(folder / "small.png")
    Image.fromarray(noisy(40, 70)).save(folder / "grey.png")
    for name, reason in (("small.png", "the mask is 70×39 pixels; 70×40 are needed"), ("grey.png", "neither black nor white")):
        made, _, broken = translate_files(halves, 3, placed, masks=dict.fromkeys(placed, folder / name))
        assert made == 0 and all(f"its mask {folder / name}" in text and reason in text for text in broken.values())


@pytest.mark.parametrize("mask, message", [
    ("none", "there is no such file or folder"), ("one", r"holds no mask for .*a\.png; it should be called a\.png"),
    ("masks", r"a\.jpg and a\.png could both be the mask")])
def test_masks_that_are_not_found(holed, mask, message):
    folder, missing = holed
    Image.fromarray(missing).save(folder / "masks" / "a.png")
    placed = outputs([folder / "in"], folder / "out")
    with pytest.raises(UserError, match=message):
        masks_of(folder / mask, [folder / "in"], placed)


def test_a_model_of_holes_as_a_function():
    gan = models.build("inpaint", (16, 16, 3), {"filters": 2, "discriminator_filters": 4})
    network, channels, multiple = function_of(gan)
    assert (channels, multiple) == (3, 4)
    image, missing = noisy(24, 21, 3), np.zeros((24, 21, 1), np.uint8)
    missing[3:9, 4:20] = 255
    made = translate(network, np.concatenate([image, missing], -1))
    np.testing.assert_array_equal(made[missing[..., 0] == 0], image[missing[..., 0] == 0])
    given = {"input": image[None] / np.float32(127.5) - 1, "mask": missing[None] / np.float32(255)}
    np.testing.assert_allclose(made, kinds.get("image").store(gan.make(np.zeros((1, 0)), given)[0]), atol=1)
