from pathlib import Path

import numpy as np
import pytest

import kgan.data
from kgan.data import catalog, modes, stacked
from kgan.data.source import DataError, Source

ORIGINALS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"


@pytest.fixture
def digits(monkeypatch):
    """Seven small digits in place of mnist, every one recognisable; the calls that asked for them."""
    label = np.array([7, 0, 3, 9, 3, 1, 5])
    image = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 1), np.uint8)
    calls = []

    def source(*arguments, **options):
        calls.append((arguments, options))
        return Source("mnist", {"image": image, "label": label}, {"label": list("0123456789")})

    monkeypatch.setattr(catalog, "source", source)
    return image, label, calls


def test_channels_are_the_digits_of_the_label(digits):
    image, label, _ = digits
    found = stacked.source(count=500)
    assert (found.name, found.key, found.shape, len(found)) == ("stacked_mnist", "image", (4, 4, 3), 500)
    stack, modes = found.arrays["image"], found.arrays["label"]
    assert (stack.shape, stack.dtype, stack.ndim) == ((500, 4, 4, 3), np.uint8, 4)
    assert (modes.shape, modes.dtype) == ((500,), np.int64)
    for colours, mode in zip(np.asarray(stack), modes):
        # which of the seven digits each channel is
        which = [int(np.flatnonzero((image[..., 0] == colours[..., c]).all((1, 2)))[0]) for c in range(3)]
        assert mode == int("".join(str(label[i]) for i in which))
        assert found.classes["label"][mode] == "".join(str(label[i]) for i in which)
    assert len(found.classes["label"]) == 1000
    # each example as likely in each channel: 500 / 7 = 71, give or take five standard deviations
    assert all(33 < count < 110 for c in range(3) for count in np.bincount(stack.index[:, c], minlength=7))


def test_stack_reads_as_its_array(digits):
    image, _, _ = digits
    stack = stacked.Stack(image, np.array([[0, 1, 2], [6, 6, 5], [3, 0, 4]], np.int32))
    whole = np.stack([image[[0, 6, 3], ..., 0], image[[1, 6, 0], ..., 0], image[[2, 5, 4], ..., 0]], -1)
    assert len(stack) == 3 and stack.shape == whole.shape
    assert (np.asarray(stack) == whole).all() and np.asarray(stack).flags.c_contiguous
    assert np.asarray(stack, np.float32).dtype == np.float32
    for chosen in (1, -1, slice(1, 3), slice(None, None, -1), np.array([2, 0, 0]), [1], np.array([True, False, True]),
                   np.array([[0, 1], [2, 2]]), np.array([], int)):
        assert stack[chosen].dtype == np.uint8
        np.testing.assert_array_equal(stack[chosen], whole[chosen])
    with pytest.raises(IndexError):
        stack[3]
    with pytest.raises(IndexError, match="first axis alone"):
        stack[0, 1]
    assert sum(1 for _ in stack) == 3


def test_the_same_triples_every_time(digits):
    def triples(**options):
        return stacked.source(count=50, **options).arrays["image"].index

    assert triples().tobytes() == triples().tobytes() and triples().dtype == np.int32
    assert (triples() == np.random.default_rng([0, 0]).integers(7, size=(50, 3), dtype=np.int32)).all()
    for other in triples(seed=1), triples(split="test"):
        assert (triples() != other).any(1).mean() > 0.9
    assert [len(stacked.source(split=split)) for split in ("train", "test")] == [1_000_000, 26_000]


def test_by_name(digits):
    _, _, calls = digits
    found = kgan.data.source("stacked_mnist", image_size=4, channels=3, split="test", data_dir="data",
                             manual_dir="manual")
    assert found.name == "stacked_mnist"
    assert calls == [(("mnist", 4, 1), dict(split="test", data_dir="data", manual_dir="manual"))]
    kgan.data.check_name("stacked_mnist")
    with pytest.raises(DataError, match="stacked_mnist"):
        kgan.data.check_name("stacked_mnits")


def test_batches(digits):
    found = stacked.source(count=100)
    batches = [{field: value.numpy() for field, value in batch.items()}
               for batch in kgan.data.batches(found, 10, seed=3)]
    assert len(batches) == 10
    dealt = []
    for batch in batches:
        assert (batch["image"].shape, batch["image"].dtype) == ((10, 4, 4, 3), np.float32)
        assert -1 <= batch["image"].min() and batch["image"].max() <= 1
        back = np.rint((batch["image"] + 1) * 127.5).astype(np.uint8)
        dealt += [(int(label), image.tobytes()) for label, image in zip(batch["label"], back)]
    # one pass deals every triple once, with its own label, and not in the order that they lie in
    everything = np.asarray(found.arrays["image"])
    kept = [(int(label), image.tobytes()) for label, image in zip(found.arrays["label"], everything)]
    assert sorted(dealt) == sorted(kept) and dealt != kept
    some = found.some(8, seed=1)
    chosen = np.random.default_rng(1).permutation(100)[:8]
    np.testing.assert_allclose(some, everything[chosen] / 127.5 - 1, atol=1e-6)


# === Coverage ===

def test_coverage_by_hand():
    assert modes.coverage(np.repeat(np.arange(1000), 3), 1000) == {"modes": 1000, "kl": pytest.approx(0, abs=1e-12)}
    assert modes.coverage(np.full(50, 999), 1000) == {"modes": 1, "kl": pytest.approx(np.log(1000))}
    # shares 1/2, 1/4, 1/4 of three modes of four: entropy 1.5 log 2, so log 4 less that
    assert modes.coverage([0, 3, 0, 1], 4) == {"modes": 3, "kl": pytest.approx(0.5 * np.log(2))}
    nothing = modes.coverage(np.array([], np.int64), 1000)
    assert nothing["modes"] == 0 and np.isnan(nothing["kl"])


def test_coverage_of_a_uniform_sampler():
    figures = modes.coverage(np.random.default_rng(0).integers(1000, size=26_000), 1000)
    assert figures["modes"] == 1000
    # (modes - 1) / 2N, chi-square distributed: relative deviation sqrt(2 / 999) = .045
    assert figures["kl"] == pytest.approx(999 / 52_000, rel=0.2)


@pytest.mark.parametrize("labels", [[0, 1000], [-1, 5]])
def test_coverage_of_what_is_no_mode(labels):
    with pytest.raises(ValueError, match="0 to 999"):
        modes.coverage(labels, 1000)


# === What cannot be had ===

@pytest.mark.parametrize("options, message", [
    ({"channels": 1}, "3 channels, not 1"), ({"split": "valid"}, "train, test, not 'valid'"),
    ({"count": 0}, "count must be"), ({"seed": -1}, "seed 0 or more")])
def test_wrong_arguments(digits, options, message):
    with pytest.raises(DataError, match=message):
        stacked.source(**options)
    assert not digits[2]  # said before mnist is prepared


def test_missing_manual_dir(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DataError, match="original files of mnist"):
        kgan.data.source("stacked_mnist", data_dir=tmp_path, manual_dir=tmp_path / "nowhere")


# === The real one ===

@pytest.mark.slow
def test_real_digits(tmp_path):
    if not ORIGINALS.is_dir():
        pytest.skip("needs the original files of mnist in ../shared/data/mnist")
    pytest.importorskip("tensorflow_datasets")
    options = dict(split="test", data_dir=tmp_path, manual_dir=ORIGINALS)
    found = kgan.data.source("stacked_mnist", **options)
    mnist = catalog.source("mnist", **options)
    assert found.shape == (28, 28, 3) and len(found) == 26_000
    index = found.arrays["image"].index
    assert 0 <= index.min() and index.max() == 9_999
    np.testing.assert_array_equal(found.arrays["image"][17], np.concatenate(mnist.arrays["image"][index[17]], -1))
    assert found.arrays["label"][17] == mnist.arrays["label"][index[17]] @ [100, 10, 1]
    # the module's statement on the true distribution, and what 26,000 draws of it score
    share = np.bincount(mnist.arrays["label"]) / len(mnist)
    true = 3 * np.sum(share * np.log(10 * share))
    assert true == pytest.approx(0.0052, abs=5e-5)
    figures = modes.coverage(found.arrays["label"], 1000)
    assert figures["modes"] == 1000 and figures["kl"] == pytest.approx(true + 999 / 52_000, rel=0.15)
