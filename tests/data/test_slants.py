import numpy as np

import kgan.data
from kgan import models
from kgan.data import slants
from kgan.data.measures import MEASURES
from kgan.metrics.evaluate import Evaluator


def test_two_sets_without_partners():
    source = slants.source(image_size=28, count=400)
    assert {name: array.shape for name, array in source.arrays.items()} == {
        "input": (400, 28, 28, 1), "input_label": (400,), "image": (300, 28, 28, 1), "label": (300,)}
    assert (np.asarray(source.arrays["label"]) != np.asarray(source.arrays["input_label"][:300])).mean() > 0.8
    # as kgan.data.measures sees them: upright, and leaning far to the right
    upright, slanted = (np.median(MEASURES["slant"](source.arrays[name])) for name in ("input", "image"))
    assert abs(upright) < 0.12 < 0.25 < slanted
    # pictures do not depend on how many are drawn
    more = slants.source(image_size=28, count=500)
    np.testing.assert_array_equal(more.arrays["image"][:300], source.arrays["image"])
    colour = slants.source(image_size=28, channels=3, count=40)
    assert colour.shape == (28, 28, 3) and colour.fields["input"].kind == "image"


def test_each_has_an_order_of_its_own():
    source = slants.source(image_size=28, count=40)
    batches = list(kgan.data.batches(source, 10))
    assert len(batches) == 3
    for batch in batches:
        for image, label in (("image", "label"), ("input", "input_label")):
            stored = source.arrays[image].astype("f") / 127.5 - 1
            for example, digit in zip(batch[image].numpy(), batch[label].numpy()):
                rows = [row for row in range(len(stored)) if np.abs(stored[row] - example).max() < 1e-3]
                assert digit in np.asarray(source.arrays[label])[rows]


def test_what_is_measured_of_images_without_partners(monkeypatch):
    """No PSNR against what has nothing to do with it; the classes of what is given are at hand."""
    monkeypatch.setattr(slants, "SPLITS", {"train": (0, 60), "test": (1, 40)})
    settings = {"dataset": "slants", "model": "cyclegan", "image_size": 32, "config": {}}
    evaluator = Evaluator(settings, "none", 20)
    assert evaluator.given["input"].shape == (20, 32, 32, 1) and len(evaluator.given_labels) == 20 == len(evaluator.labels)
    assert not {"psnr", "ssim", "l1"} & set(evaluator.figures(evaluator.given["input"])) and evaluator.way_back is None
    assert not models.outline("cyclegan").Config.paired


def test_pairs_for_a_model_without_pairs():
    source = kgan.data.of({"dataset": "outlines", "image_size": 28, "config": {}}, {"input": "image", "image": "image"}, paired=False)
    assert source.groups == {"input": "input"}
