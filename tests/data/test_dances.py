import numpy as np
import pytest
from PIL import Image

from kgan import data
from kgan.data import dances
from kgan.data.source import DataError


def test_clips_are_pairs_of_frames(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))
    source = dances.source(32, count=3)
    arrays, (poses, frames, _) = source.arrays, dances.clip("stout", 32, [0, 0, 1])
    assert len(source) == 3 * 31 and {field.kind for field in source.fields.values()} == {"image"} and source.key == "image"
    second = slice(31, 62)  # of the three clips
    for name, wanted in {"image": frames[1:], "before": frames[:-1], "input": poses[1:], "input_before": poses[:-1]}.items():
        np.testing.assert_array_equal(arrays[name][second], wanted)
    assert not np.array_equal(dances.source(32, split="test", count=1).arrays["image"], arrays["image"][:31])


def test_two_figures_do_the_same_dance():
    # limbs point the same way, whatever their length
    one, other = (dances.joints(dances.ACTORS[name], dances.dance([5], 8)) for name in ("slim", "stout"))
    for a, b in dances.LIMBS[1:]:
        first, second = (joints[:, b] - joints[:, a] for joints in (one, other))
        np.testing.assert_allclose(first / np.linalg.norm(first, axis=-1, keepdims=True),
                                   second / np.linalg.norm(second, axis=-1, keepdims=True), atol=1e-9)
    assert np.linalg.norm(one[:, 2] - one[:, 1], axis=-1) == pytest.approx(dances.ACTORS["slim"]["torso"])
    poses = [dances.clip("slim", 32, [5], 4, body)[0] for body in (None, "stout")]
    np.testing.assert_array_equal(poses[1], dances.clip("stout", 32, [5], 4)[0])
    assert not np.array_equal(*poses)


def test_all_of_a_figure_stays_in_the_frame():
    for actor in dances.ACTORS:
        for seed in range(20):
            _, _, joints = dances.clip(actor, 1, [9, seed], 1)
            found = dances.joints(dances.ACTORS[actor], dances.dance([9, seed], 32))
            assert found.min() > 0.02 and found.max() < 0.98


def test_measures():
    _, frames, joints = dances.clip("stout", 64, [7])
    real = dances.measure(frames, joints, frames)
    assert real["found"] > 0.95 and real["pose_error"] < 0.4 and real["flicker"] == 0
    # asked to be three pixels to the right: each is off by three
    assert dances.measure(frames, joints + [3, 0])["pose_error"] == pytest.approx(3, abs=0.2)
    blank = np.full_like(frames, dances.ACTORS["stout"]["wall"])
    assert dances.measure(blank, joints)["found"] == 0 and np.isnan(dances.measure(blank, joints)["pose_error"])
    flickering = frames.astype(int) + 8 * (np.arange(32) % 2)[:, None, None, None]
    assert dances.measure(np.clip(flickering, 0, 255).astype(np.uint8), joints, frames)["flicker"] == pytest.approx(8, abs=1)


def test_frames_of_a_folder_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3)).astype(np.uint8)
    settings = {"dataset": f"folder:{tmp_path / 'clip'}", "image_size": 32, "config": {}}
    needs = dict.fromkeys(("input", "input_before", "before", "image"), "image")
    for folder, some in zip("AB", images):
        (tmp_path / "clip" / folder).mkdir(parents=True)
        for i, image in enumerate(some):
            Image.fromarray(image).save(tmp_path / "clip" / folder / f"{i + 8:02d}.png")
    found = data.of(settings, needs)
    for name, wanted in {"image": images[1, 1:], "before": images[1, :-1], "input": images[0, 1:],
                         "input_before": images[0, :-1]}.items():
        np.testing.assert_array_equal(found.arrays[name], wanted)
    for folder in "AB":
        for i in range(2):
            (tmp_path / "clip" / folder / f"{i + 8:02d}.png").rename(tmp_path / "clip" / folder / f"{i + 8}.png")
    with pytest.raises(DataError, match="'10.png' comes before '8.png': write numbers with as many digits each"):
        data.of(settings, needs)


@pytest.mark.parametrize("options", [dict(image_size=16), dict(channels=1), dict(split="val"), dict(count=0)])
def test_what_cannot_be(options):
    with pytest.raises(DataError, match="dances: are in colour, of 32 to 128 pixels"):
        dances.source(**options)
