"""The resumable pipeline, and the cache that it reads from."""
import shutil

import numpy as np
import pytest
import tensorflow as tf

import kgan
from kgan.data import batches, cache
from kgan.data.source import DataError, Source, seen


def counted(size=10, side=2):
    """Pictures that tell which one they are: the first pixel is the number, the others are to its right."""
    image = np.zeros((size, side, side, 1), np.uint8)
    image[:, 0, 0, 0] = np.arange(size)
    image[:, 0, 1, 0] = 255 - np.arange(size)
    return Source("counted", {"image": image, "label": np.arange(size)})


def labels(data, count=None):
    """[batches, batch_size] of the labels, in order."""
    data = data if count is None else data.take(count)
    return np.array([batch["label"] for batch in data.as_numpy_iterator()])


# === What is in a batch ===

def test_images_are_scaled():
    source = Source("extremes", {"image": np.array([0, 51, 102, 255], np.uint8).reshape(4, 1, 1, 1), "label": np.arange(4)})
    data = batches(source, 4)
    assert data.element_spec["image"] == tf.TensorSpec((4, 1, 1, 1), tf.float32)
    assert data.element_spec["label"] == tf.TensorSpec((4,), tf.int64)
    batch = next(data.as_numpy_iterator())
    # v / 127.5 - 1
    np.testing.assert_allclose(batch["image"].ravel()[np.argsort(batch["label"])], [-1, -0.6, -0.2, 1], atol=1e-6)
    assert source.some(9).dtype == np.float32
    np.testing.assert_allclose(np.sort(source.some(9).ravel()), [-1, -0.6, -0.2, 1], atol=1e-6)


def test_some_examples():
    source = counted(200)

    def some(*arguments):
        return np.rint((source.some(*arguments)[:, 0, 0, 0] + 1) * 127.5).tolist()
    assert len(set(some(50))) == 50 and some(50) == some(50) == some(80)[:50] != some(50, 1)
    assert sorted(some(1000)) == list(range(200))


def test_samples_and_other_fields_are_left_alone():
    sample = np.linspace(-3, 9, 12, dtype=np.float32).reshape(6, 2)
    extras = {"pixels": np.arange(6, dtype=np.uint8), "smiling": np.arange(6) % 2 == 0, "weight": np.ones(6, np.float32)}
    batch = next(batches(Source("points", {"sample": sample, **extras}), 6).as_numpy_iterator())
    assert {field: values.dtype.name for field, values in batch.items()} == {
        "sample": "float32", "pixels": "uint8", "smiling": "bool", "weight": "float32"}
    order = batch["pixels"]
    np.testing.assert_array_equal(batch["sample"], sample[order])
    np.testing.assert_array_equal(batch["smiling"], order % 2 == 0)
    np.testing.assert_array_equal(seen("points", np.float32([7])), [7])


def test_fields_stay_together():
    for batch in batches(counted(), 5, seed=1, flip=False).as_numpy_iterator():
        numbers = np.rint((batch["image"][:, 0, 0, 0] + 1) * 127.5)
        np.testing.assert_array_equal(numbers, batch["label"])


# === Order ===

@pytest.mark.parametrize("repeat", [False, True])
def test_every_example_once_an_epoch(repeat):
    data = batches(counted(12), 4, seed=1, repeat=repeat)
    for epoch in (labels(data, 3), labels(data.skip(3), 3) if repeat else labels(data)):
        assert sorted(epoch.ravel()) == list(range(12))


def test_epochs_reach_over_batches():
    # 10 examples in batches of 4: 2.5 batches an epoch
    stream = labels(batches(counted(10), 4, seed=2, repeat=True), 10).ravel()
    epochs = stream.reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert all(tuple(epoch) != tuple(range(10)) for epoch in epochs)


def test_a_batch_over_several_epochs():
    stream = labels(batches(counted(3), 3, seed=2, repeat=True, start=1), 2)
    assert all(sorted(epoch) == [0, 1, 2] for epoch in stream)


def test_order_is_a_function_of_the_seed():
    one, same, other = (labels(batches(counted(), 5, seed=seed, repeat=True), 6) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    # whatever else is random in the process
    tf.random.set_seed(99)
    np.random.seed(99)
    np.testing.assert_array_equal(labels(batches(counted(), 5, seed=1, repeat=True), 6), one)


def test_passes_differ_and_repeat_with_the_seed():
    tf.random.set_seed(3)
    data, same, other = (batches(counted(40), 5, seed=seed) for seed in (1, 1, 2))
    first, second = labels(data), labels(data)
    assert sorted(first.ravel()) == sorted(second.ravel()) == list(range(40))
    assert (first != second).any()
    np.testing.assert_array_equal(labels(same), first)
    np.testing.assert_array_equal(labels(same), second)
    assert (labels(other) != first).any()


@pytest.mark.parametrize("flip", [False, True])
def test_start_is_the_unbroken_stream(flip):
    def stream(start, count):
        return [{field: values.tobytes() for field, values in batch.items()} for batch in
                batches(counted(10), 4, seed=3, start=start, repeat=True, flip=flip).take(count).as_numpy_iterator()]
    whole = stream(0, 12)
    # 2 is the batch that lies across an epoch's border, 5 begins an epoch
    for start in (0, 1, 2, 3, 5, 7, 11):
        assert stream(start, 12 - start) == whole[start:], start


def test_start_far_ahead_is_quick_and_right():
    source = counted(10)
    epoch, order = 10**9, np.random.default_rng([4, 10**9]).permutation(10)
    np.testing.assert_array_equal(labels(batches(source, 5, seed=4, start=2 * epoch, repeat=True), 2).ravel(), order)


def test_start_without_repeat_leaves_out_the_first():
    data, later = batches(counted(), 2, seed=1), batches(counted(), 2, seed=1, start=3)
    assert len(later) == 2
    np.testing.assert_array_equal(labels(later), labels(data)[3:])


def test_cardinality():
    assert len(batches(counted(11), 4)) == 2 and len(labels(batches(counted(11), 4))) == 2
    assert len(batches(counted(12), 4)) == 3
    assert batches(counted(11), 4, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY


def test_batch_larger_than_the_data():
    assert len(batches(counted(10), 10)) == 1
    for repeat in (False, True):
        with pytest.raises(DataError, match="counted has 10 examples, fewer than one batch of 11.*--batch_size"):
            batches(counted(10), 11, repeat=repeat)


def test_flip_mirrors_about_half():
    source = counted(200)
    plain, flipped, again, other = (
        next(batches(source, 200, seed=seed, flip=flip, repeat=True).as_numpy_iterator())
        for seed, flip in ((1, False), (1, True), (1, True), (2, True)))
    np.testing.assert_array_equal(plain["label"], flipped["label"])
    np.testing.assert_array_equal(flipped["image"], again["image"])
    mirrored = (flipped["image"] == plain["image"][:, :, ::-1]).all((1, 2, 3))
    assert 70 < mirrored.sum() < 130  # 100 ± 4 standard deviations
    np.testing.assert_array_equal(flipped["image"][~mirrored], plain["image"][~mirrored])
    # by chance of their own with another seed, and with another batch
    turned = np.empty(200, bool)
    turned[other["label"]] = np.rint((other["image"][:, 0, 0, 0] + 1) * 127.5) != other["label"]
    ours = np.empty(200, bool)
    ours[flipped["label"]] = mirrored
    assert 60 < (turned != ours).sum() < 140
    second = list(batches(source, 200, seed=1, flip=True, repeat=True).take(2).as_numpy_iterator())[1]
    turned[second["label"]] = np.rint((second["image"][:, 0, 0, 0] + 1) * 127.5) != second["label"]
    assert 60 < (turned != ours).sum() < 140


def test_points_cannot_be_flipped():
    points = Source("points", {"sample": np.eye(4, dtype=np.float32)})
    batch = next(batches(points, 4, flip=True).as_numpy_iterator())
    np.testing.assert_array_equal(sorted(batch["sample"].tolist()), sorted(np.eye(4).tolist()))


# === load ===

def test_load():
    data = kgan.data.load("glyphs", batch_size=32, split="test", seed=1)
    assert len(data) == 10_000 // 32
    batch = next(data.as_numpy_iterator())
    assert {"image", "label", "font"} <= batch.keys()
    assert batch["image"].shape == (32, 28, 28, 1) and batch["image"].dtype == np.float32
    assert batch["image"].min() == -1 and 0.5 < batch["image"].max() <= 1
    assert batch["label"].dtype == np.int64 and set(batch["label"]) <= set(range(10))


@pytest.mark.parametrize("name, shape", [("ring", (2,)), ("grid", (2,)), ("sine", (10,))])
def test_load_points(name, shape):
    batch = next(kgan.data.load(name, batch_size=16, repeat=True, start=5).as_numpy_iterator())
    assert batch["sample"].shape == (16, *shape) and batch["sample"].dtype == np.float32
    with pytest.raises(DataError, match="image_size"):
        kgan.data.load(name, image_size=28)


def test_folders_have_no_splits(tmp_path):
    with pytest.raises(DataError, match="'test'"):
        kgan.data.load(f"folder:{tmp_path}", split="test")


def test_names(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        kgan.data.check_name(f"folder:{tmp_path / 'nowhere'}")
    for name in (*kgan.data.BUILT_IN, f"folder:{tmp_path}", "mnist", "fashion_mnist", "celeb_a", "mnist:3.0.1"):
        kgan.data.check_name(name)
    for wrong, right in (("glyph", "glyphs"), ("rings", "ring"), ("fashion_mnits", "fashion_mnist")):
        with pytest.raises(DataError, match=f"did you mean '{right}'"):
            kgan.data.check_name(wrong)


# === The cache ===

@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def writer(calls, value=1):
    def write(directory):
        calls.append(directory)
        assert directory.is_dir() and not list(directory.iterdir())
        np.save(directory / "sample.npy", np.full((3, 2), value, np.float32))
        return {"note": f"made {value}"}
    return write


def test_prepared_once_for_each_key(place):
    calls = []
    arrays, notes = cache.cached("some name/with: signs", {"size": 1}, writer(calls))
    again, same = cache.cached("some name/with: signs", {"size": 1}, writer(calls, 2))
    assert len(calls) == 1 and notes == same == {"note": "made 1"}
    np.testing.assert_array_equal(again["sample"], arrays["sample"])
    assert isinstance(again["sample"], np.memmap) and not again["sample"].flags.writeable
    other, _ = cache.cached("some name/with: signs", {"size": 2}, writer(calls, 2))
    assert len(calls) == 2 and other["sample"][0, 0] == 2
    assert len(list(place.iterdir())) == 2 and all(path.name.startswith("some_name_with_") for path in place.iterdir())


def test_a_preparation_that_fails_leaves_nothing(place):
    def write(directory):
        np.save(directory / "sample.npy", np.zeros(3))
        raise DataError("no such thing")
    with pytest.raises(DataError, match="no such thing"):
        cache.cached("thing", {}, write)
    assert list(place.iterdir()) == []
    assert cache.cached("thing", {}, writer([]))[1] == {"note": "made 1"}


def test_a_half_made_folder_is_not_taken_for_whole(place):
    calls = []
    cache.cached("thing", {}, writer(calls))
    final, = place.iterdir()
    (final / "notes.json").unlink()  # the last that is written
    (final / "sample.npy").write_bytes(b"half")
    arrays, _ = cache.cached("thing", {}, writer(calls))
    assert len(calls) == 2 and (arrays["sample"] == 1).all()
    assert [path.name for path in place.iterdir()] == [final.name]


def test_the_first_of_two_processes_wins(place):
    def write(directory):
        # another process finishes the same while this one is at it
        cache.cached("thing", {}, writer([], 1))
        return writer([], 2)(directory)
    arrays, notes = cache.cached("thing", {}, write)
    assert (arrays["sample"] == 1).all() and notes == {"note": "made 1"}
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("file, content", [("notes.json", b"{"), ("sample.npy", b"\x93NUMPY\x01\x00v\x00{"),
                                           ("sample.npy", b"")])
def test_damaged_data_are_named(place, file, content):
    cache.cached("thing", {}, writer([]))
    final, = place.iterdir()
    (final / file).write_bytes(content)
    with pytest.raises(DataError) as error:
        cache.cached("thing", {}, writer([]))
    assert str(final) in str(error.value) and "delete" in str(error.value)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "file" / "cache"))  # not for root either
    calls = []
    with pytest.warns(UserWarning, match="KGAN_CACHE"):
        arrays, notes = cache.cached("thing", {}, writer(calls))
    assert (arrays["sample"] == 1).all() and notes == {"note": "made 1"}
    shutil.rmtree(calls[0])


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache.directory() == tmp_path / "a"
    monkeypatch.setenv("KGAN_CACHE", "")
    assert cache.directory() == tmp_path / "b" / "kgan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache.directory() == tmp_path / ".cache" / "kgan"
