import io

import numpy as np
import pytest
from PIL import Image

from kgan import kinds
from kgan.kinds import Field, image, video

FREE = Field("video", (None, None, None, 3))


def clip(count=4, size=(6, 8), channels=1, seed=0):
    """uint8 [count, *size, channels] in which each frame has pixels of its own."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, channels), np.uint8)


def gif(frames, durations):
    """The bytes of a GIF of grey frames, each shown for so many ms."""
    pictures, buffer = [Image.fromarray(frame[..., 0]) for frame in frames], io.BytesIO()
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations)
    return buffer.getvalue()


def seen(stored):
    return video.scale(stored.astype(np.float32))


def test_found_by_name_and_never_by_rank():
    assert kinds.get("video") is video and kinds.guess((16, 32, 32, 1)) == "voxels"
    stored = clip()
    np.testing.assert_array_equal(video.store(seen(stored)), stored)


def test_examples_move():
    field = Field("video", (5, 8, 12, 3))
    made = video.examples(field, 3, seed=1)
    assert made.shape == (3, 5, 8, 12, 3) and made.dtype == np.float32 and np.abs(made).max() <= 1
    np.testing.assert_array_equal(made[:2], video.examples(field, 2, seed=1))
    assert (np.abs(np.diff(made, axis=1)).mean((1, 2, 3, 4)) > 1e-3).all()
    assert video.examples(FREE, 1).shape == (1, 8, 32, 32, 3)


# === Files ===

def test_a_gif_of_grey_has_each_pixel():
    stored = clip(5)
    data = video.write(seen(stored))
    with Image.open(io.BytesIO(data)) as file:
        assert (file.format, file.n_frames, file.info["duration"], file.info["loop"]) == ("GIF", 5, 100, 0)
    np.testing.assert_array_equal(video.read(data, Field("video", (5, 6, 8, 1))), stored)


def test_a_gif_of_colours_is_near():
    made = video.examples(Field("video", (4, 16, 16, 3)), 1)[0]
    found = video.read(video.write(made), Field("video", (4, 16, 16, 3)))
    assert np.abs(found.astype(int) - video.store(made)).mean() < 4


@pytest.mark.parametrize("times", [[1, 1, 2, 1], [3, 1, 1], [2, 2, 2], [5]])
def test_frames_that_stand_still_come_back(times):
    # a GIF joins frames that are equal
    stored = np.repeat(clip(len(times)), times, 0)
    np.testing.assert_array_equal(video.read(video.write(seen(stored)), Field("video", (sum(times), None, None, 1))), stored)


def test_pace_of_a_file():
    stored = clip(3)
    free = Field("video", (None, None, None, 1))
    found = video.read(gif(stored, [40, 40, 200]), free)
    np.testing.assert_array_equal(found, stored[[0, 1, 2, 2, 2, 2, 2]])
    # of three that are wanted there are three, though one is shown longer: not an even part of the whole
    assert len(video.read(gif(stored, [100, 100, 100]), Field("video", (3, None, None, 1)))) == 3
    still = gif(stored[:1], [100])
    np.testing.assert_array_equal(video.read(still, Field("video", (4, 6, 8, 1))), stored[[0, 0, 0, 0]])
    assert len(video.read(still, free)) == 1


@pytest.mark.parametrize("form", ["WEBP", "PNG"])
def test_other_moving_pictures(form):
    stored, buffer = clip(3, channels=3), io.BytesIO()
    pictures = [Image.fromarray(frame) for frame in stored]
    pictures[0].save(buffer, form, save_all=True, append_images=pictures[1:], duration=50, lossless=True)
    np.testing.assert_array_equal(video.read(buffer.getvalue(), FREE), stored)


def test_transparent_pixels_are_white():
    buffer = io.BytesIO()
    Image.new("RGBA", (3, 2), (10, 20, 30, 0)).save(buffer, "PNG")
    np.testing.assert_array_equal(video.read(buffer.getvalue(), FREE), np.full((1, 2, 3, 3), 255))


@pytest.mark.parametrize("channels, size", [(1, (16, 16)), (3, (15, 17))])
def test_mp4_there_and_back(channels, size):
    pytest.importorskip("imageio_ffmpeg")
    made = video.examples(Field("video", (6, *size, channels)), 1)[0]
    data = video.write(made, "video/mp4")
    assert data[4:8] == b"ftyp"
    found = video.read(data, Field("video", (6, None, None, channels)))
    assert found.shape == (6, size[0] + size[0] % 2, size[1] + size[1] % 2, channels)
    difference = found[:, :size[0], :size[1]].astype(int) - video.store(made)
    assert np.abs(difference.mean(-1)).mean() < 6 and np.abs(difference).mean() < 12  # colours come at half the size
    with pytest.raises(ValueError, match="more than 300 pixels"):
        video.decode(data, max_pixels=300)
    with pytest.raises(ValueError, match="no clip that can be read"):
        video.decode(data[:200])


def test_numbers_and_strip():
    made = video.examples(Field("video", (3, 4, 5, 1)), 1)[0]
    np.testing.assert_array_equal(np.load(io.BytesIO(video.write(made, "application/x-npy"))), made)
    strip = np.asarray(Image.open(io.BytesIO(video.write(made, "image/png"))))
    np.testing.assert_array_equal(strip[:, 6:11], video.store(made)[1, ..., 0])
    assert strip.shape == (4, 3 * 6 - 1) == video.sheet_size((3, 4, 5, 1))


@pytest.mark.parametrize("data, field, message", [
    (b"", FREE, "no clip that can be read; .gif"), (b"GIF89a", FREE, "can be read"), (gif(clip(3), 100)[:-30], FREE, "can be read"),
    (gif(clip(3), 100), Field("video", (16, 6, 8, 1)), "the clip has 3 frames of 8×6 pixels; 16 of 8×6 are needed"),
    (gif(clip(3), 100), Field("video", (3, 32, 8, 1)), "3 of 8×32 are needed"),
    (gif(clip(3, (50, 50)), 100), FREE, "3 frames of 50×50 pixels, more than 7000"),
    (gif(clip(2, (8, 8)), [10, 10_000]), FREE, "1001 frames of 8×8 pixels")])
def test_what_cannot_be_read(data, field, message):
    with pytest.raises(ValueError, match=message):
        video.read(data, field, max_pixels=7000)


# === Pictures ===

def test_a_strip_is_not_broken():
    many = seen(np.stack([clip(4, seed=seed) for seed in range(5)]))
    for columns, (rows, across) in {8: (3, 8), 5: (5, 4), 1: (5, 4), 100: (1, 20)}.items():
        picture = video.sheet(many, columns=columns, smallest=0, gap=0)
        assert picture.size == (8 * across, 6 * rows) == video.sheet_size((4, 6, 8, 1), 5, columns, 0)[::-1]
    second = np.asarray(video.sheet(many, columns=8, smallest=0, gap=0))[:6, 32:64]
    np.testing.assert_array_equal(second.reshape(6, 4, 8).swapaxes(0, 1), video.store(many)[1, ..., 0])


def test_animated_is_a_sheet_a_frame():
    many = seen(np.stack([clip(3, seed=seed) for seed in range(2)]))
    found = video.decode(video.animated(many, smallest=0), 1)
    assert len(found) == 3
    np.testing.assert_array_equal(found[1, ..., 0], image.sheet(many[:, 1], smallest=0))


def test_images_show_the_ends_and_the_movement():
    made = np.zeros((1, 4, 2, 2, 1), np.float32)
    made[0, :, 0, 0, 0] = [-1, -0.5, 0.25, 1]
    found = video.images(made)
    assert found.shape == (1, 2, 2, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[0, 0, 0], [-1, 1, 0.375])
    np.testing.assert_allclose(video.differences(made)[0, :, 0, 0, 0], [0.25, 0.375, 0.375])
    assert video.images(made[:, :1]).shape == (1, 2, 2, 3)


# === Measures ===

def test_compared_by_hand():
    true = clip(3, (12, 12)).astype(int)[None].clip(20, 235)
    lighter = true + 10  # moves as much
    found = video.compare(seen(lighter), seen(true))
    assert found["l1"][0] == pytest.approx(10 / 255) and found["motion_l1"][0] == pytest.approx(0, abs=1e-9)
    assert found["psnr"][0] == pytest.approx(20 * np.log10(255 / 10)) and found["ssim"][0] > 0.9
    jumps = true + np.array([0, 10, 0])[None, :, None, None, None]
    found = video.compare(seen(jumps), seen(true))
    assert found["motion_l1"][0] == pytest.approx(10 / 510) and found["l1"][0] == pytest.approx(10 / 3 / 255)
    frames = [image.compare(seen(jumps)[0], seen(true)[0])["ssim"]]
    assert found["ssim"][0] == pytest.approx(np.mean(frames))
    assert video.compare(seen(true)[:, :1], seen(true)[:, :1])["motion_l1"][0] == 0
