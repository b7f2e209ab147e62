"""Machines without a home directory, without an entry for the user, with nothing that can be written: containers."""
import os
import pwd
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data import cache, catalog, folder, pairs
from kgan.data.source import DataError

REAL = sys.executable  # a process of its own, not a fork: see conftest


@pytest.fixture(autouse=True)
def homeless(tmp_path, monkeypatch):
    for name in ("HOME", "KERAS_HOME", "KGAN_CACHE", "XDG_CACHE_HOME", "TFDS_DATA_DIR", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)

    def nobody(*_):
        raise KeyError("getpwuid(): uid not found: 54321")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("L", (8, 8), 200 + i).save(tmp_path / "images" / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("variable, value, place", [
    ("KGAN_CACHE", "~/cache", "~/cache"), ("KGAN_CACHE", "~nobody", "~nobody"), ("XDG_CACHE_HOME", "~/x", "~/x/kgan"),
    ("XDG_CACHE_HOME", "", "~/.cache/kgan"),
])
def test_a_cache_at_home_is_none(homeless, monkeypatch, variable, value, place):
    monkeypatch.setenv(variable, value)
    with pytest.warns(UserWarning, match=f"there is no home directory for {place}.*KGAN_CACHE"):
        assert len(folder.source("images", 8)) == 3
    assert not [name for name in os.listdir(homeless) if name.startswith("~")]
    with pytest.raises(OSError, match="no home directory"):
        cache.directory()


def test_a_cache_elsewhere_serves(homeless, monkeypatch, recwarn):
    monkeypatch.setenv("KGAN_CACHE", str(homeless / "cache"))
    assert len(folder.source("images", 8)) == 3 and not [*recwarn]
    assert os.listdir(homeless / "cache")


@pytest.mark.parametrize("path", ["~/photos", "~", "~nobody/photos"])
def test_a_folder_at_home_is_a_sentence(path):
    words = f"folder:{path}: there is no home directory for {path.partition('/')[0]} here; write the whole path"
    for asked in (lambda: kgan.data.check_name(f"folder:{path}"), lambda: folder.source(path), lambda: pairs.source(path)):
        with pytest.raises(DataError) as caught:
            asked()
        assert str(caught.value) == words


@pytest.mark.parametrize("options, words", [
    ({}, "--data_dir=~/tensorflow_datasets: there is no home directory for ~ here"),
    ({"data_dir": "~/x"}, "--data_dir=~/x: "), ({"data_dir": "here", "manual_dir": "~/y"}, "--manual_dir=~/y: "),
])
def test_data_sets_of_the_catalog(homeless, options, words):
    with pytest.raises(DataError, match=words):
        catalog.source("mnist", **options)
    assert not (homeless / "~").exists()


def test_nothing_can_be_written(monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    monkeypatch.setenv("KGAN_CACHE", "/proc/cache")
    with pytest.raises(DataError, match="no place to prepare data in: the cache cannot be used .*set KGAN_CACHE"):
        folder.source("images", 8)


def test_a_cache_that_is_only_read_is_read(homeless, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(homeless / "cache"))
    before = folder.source("images", 8).arrays["image"][:]
    refuse = lambda *_, **__: pytest.fail("written")  # noqa: E731
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    found = folder.source("images", 8)
    np.testing.assert_array_equal(found.arrays["image"], before)
    monkeypatch.setattr("pathlib.Path.write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    assert kgan.data.fingerprint(found, {"dataset": "folder:images"})["examples"] == 3


@pytest.mark.slow
def test_a_process_without_a_home(homeless):
    """Of its own, for what libraries do when they are imported."""
    code = ("import pwd, warnings\ndef nobody(*_): raise KeyError('uid not found')\npwd.getpwuid = nobody\n"
            "import kgan, kgan.data\nprint(len(kgan.data.source('folder:images', image_size=8)))\n"
            "print(len(kgan.data.source('sine')))\nimport matplotlib.font_manager\n"
            "import keras, tensorflow.python.keras.backend\n")
    done = subprocess.run([REAL, "-c", code], capture_output=True, text=True, cwd=homeless, env={
        **os.environ, "TMPDIR": str(homeless), "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.split() == ["3", "60000"], done.stderr
    assert not [name for name in os.listdir(homeless) if name.startswith("~")]
