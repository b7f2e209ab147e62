"""The Python in docs/data.md is run as it stands there: Keras's image_dataset_from_directory, Hugging Face's datasets, own arrays."""
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kgan.data
from kgan.data.source import DataError

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A working folder with PHOTOS, and the first block as mydata.py. Returns the shades of the training photos, by class and name."""
    for split, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "PHOTOS" / split / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (80, 64), (20 * i + 10 * (name == "dog"),) * 3).save(tmp_path / "PHOTOS" / split / name / f"{i}.png")
    (tmp_path / "mydata.py").write_text(BLOCKS[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield [20 * i + 10 * dog for dog in (0, 1) for i in range(6)]
    sys.modules.pop("mydata", None)


def test_image_dataset_from_directory_and_pairs(photos):
    train, test = (kgan.data.source("mydata:photos", split=split) for split in ("train", "test"))
    assert train.classes["label"] == ["cat", "dog"] and (len(train), len(test)) == (12, 4) and train.shape == (64, 64, 3)
    assert train.arrays["image"][:, 5, 5, 0].tolist() == photos and train.arrays["label"].tolist() == [0] * 6 + [1] * 6
    pairs = kgan.data.source("mydata:pairs", image_size=64)
    np.testing.assert_array_equal(pairs.arrays["image"], train.arrays["image"])  # the middle of each is kept, in both
    assert pairs.classes == train.classes and pairs.arrays["label"].tolist() == [0] * 6 + [1] * 6
    with pytest.raises(DataError, match="No such file or directory|Could not find directory"):
        kgan.data.source("mydata:photos", split="validation")


def test_datasets_of_hugging_face(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pytest.importorskip("datasets")
    found = kgan.data.source("mydata:hugging", image_size=16)
    assert found.classes["label"] == ["cat", "dog"] and found.shape == (16, 16, 3)
    assert sorted(found.arrays["image"][:, 5, 5, 0]) == sorted(photos)


class Columns(dict):
    """What a datasets.Dataset looks like to kgan."""

    def __init__(self, columns, features):
        super().__init__(columns)
        self.column_names, self.features = [*columns], features


def test_a_dataset_of_columns():
    class ClassLabel:
        names = ["cat", "dog"]
    found = kgan.data.source(Columns({"img": [Image.new("L", (9, 9), 7)] * 3, "label": [1, 0, 1]}, {"img": None, "label": ClassLabel}))
    assert found.classes == {"label": ["cat", "dog"]} and found.shape == (9, 9, 1) and (found.arrays["image"] == 7).all()


@pytest.mark.slow
def test_fit(photos):
    names = {}
    exec(BLOCKS[1], names)
    assert names["train"]("PHOTOS/train", 2).generate(2, seed=0).shape == (2, 64, 64, 3)
