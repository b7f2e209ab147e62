"""What fit, evaluate and predict are given: labels, examples, remainders, weights."""
import contextlib
import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan.config import Config
from kgan.feeding import Feed, class_numbers, examples
from kgan.gan import GAN
from kgan.kinds import Field

LABELS = np.arange(12) % 3
POINTS = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)


def conditional(count=3, **settings):
    """A GAN of points with labels, of one dense layer each."""
    def network(name, size, outputs):
        inputs = keras.Input((size,), name=name), keras.Input((), dtype="int32", name="label")
        label = keras.layers.Flatten()(keras.layers.Embedding(count, 2)(inputs[1]))
        return keras.Model(list(inputs), keras.layers.Dense(outputs)(keras.layers.Concatenate()([inputs[0], label])))

    gan = GAN(network("noise", 3, 2), network("sample", 2, 1), Config(noise_dim=3, optimizer="sgd", batch_size=4, **settings),
              classes=[f"class {i}" for i in range(count)])
    gan.compile(run_eagerly=True)
    return gan


def plain(batch_norm=False, shape=(2,), eager=True, **settings):
    keras.utils.set_random_seed(3)
    noise, sample = keras.Input((3,), name="noise"), keras.Input(Config(**settings).packed(shape), name="sample")
    x = keras.layers.Dense(int(np.prod(shape)))(noise)
    x = keras.layers.BatchNormalization()(x) if batch_norm else x
    judged = keras.layers.Dense(settings.get("discriminator_outputs", 1))(keras.layers.Flatten()(sample))
    gan = GAN(keras.Model(noise, x), keras.Model(sample, judged),
              Config(**{"noise_dim": 3, "optimizer": "sgd", "batch_size": 4, "jit_compile": False, **settings}))
    gan.compile(run_eagerly=eager)
    return gan


class Batches(keras.utils.PyDataset):
    def __init__(self, labels, size=4):
        super().__init__()
        self.labels, self.size = labels, size

    def __len__(self):
        return -(-len(self.labels) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return POINTS[rows], self.labels[rows]


# === Labels ===

WRONG = {
    "from 1 on": (LABELS + 1, "from 1 to 3 were found, and labels are whole numbers from 0 to 2; do they begin at 1"),
    "below 0": (LABELS - 1, "from -1 to 1 were found"), "far above": (LABELS + 99, "from 99 to 101 were found"),
    "nan": (np.where(LABELS == 1, np.nan, LABELS), "holds nan"), "inf": (np.where(LABELS == 1, np.inf, LABELS), "holds inf"),
    "a fraction": (LABELS * 0.95, r"holds 0?\.95|holds 1\.9"), "one-hot": (np.eye(3)[LABELS], "is one-hot.*argmax"),
    "two columns": (np.stack([LABELS, LABELS], 1), r"has the shape \(\d+, 2\)"),
    "texts": (np.array(list("abc"))[LABELS], "texts such as 'a'"), "the one in the last batch": (np.r_[LABELS[:11], 3], "to 3 were found"),
}


@pytest.mark.parametrize("way", ["fit", "evaluate", "validation", "tf.data", "dict", "PyDataset", "generator", "batch"])
def test_labels_that_are_no_class(way):
    gan = conditional()
    before = gan.get_weights()
    ways = {
        "fit": lambda labels: gan.fit(POINTS, labels, verbose=0),
        "evaluate": lambda labels: gan.evaluate(POINTS, labels, verbose=0),
        "validation": lambda labels: gan.fit(POINTS, LABELS, validation_data=(POINTS, labels), verbose=0),
        "tf.data": lambda labels: gan.fit(tf.data.Dataset.from_tensor_slices((POINTS, labels)).batch(4), verbose=0),
        "dict": lambda labels: gan.evaluate(tf.data.Dataset.from_tensor_slices({"sample": POINTS, "label": labels}).batch(4), verbose=0),
        "PyDataset": lambda labels: gan.fit(Batches(labels), shuffle=False, verbose=0),
        "generator": lambda labels: gan.fit(((POINTS[i:i + 4], labels[i:i + 4]) for i in range(0, 12, 4)), verbose=0),
        "batch": lambda labels: gan.train_on_batch(POINTS, labels)}
    for name, (labels, words) in WRONG.items():
        with pytest.raises(ValueError, match=rf"^label: .*({words})") as error:
            ways[way](labels)
        assert "\n" not in str(error.value) and "last" in name or all(map(np.array_equal, before, gan.get_weights())), name


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.float64), LABELS.astype(np.uint8),
                                    LABELS.astype(np.int64)])
def test_labels_that_are(labels):
    ways = [conditional(), conditional(), conditional()]
    ways[0].fit(POINTS, labels, shuffle=False, verbose=0)
    ways[1].fit(tf.data.Dataset.from_tensor_slices({"sample": POINTS, "label": labels}).batch(4), verbose=0)
    ways[2].fit(Batches(labels), shuffle=False, verbose=0)
    assert [gan.step for gan in ways] == [3, 3, 3]
    np.testing.assert_array_equal(class_numbers(labels, 3), LABELS)


def test_labels_that_xla_would_not_look_at():
    gan = conditional()
    gan.compile(jit_compile=True)
    with pytest.raises(ValueError, match="^label: from 0 to 3 were found"):
        gan.fit(tf.data.Dataset.from_tensor_slices({"sample": POINTS, "label": np.r_[LABELS[:11], 3]}).batch(4), verbose=0)


def test_labels_asked_for():
    gan, noise = conditional(), np.zeros((12, 3), np.float32)
    assert gan.predict({"noise": noise, "label": LABELS}, verbose=0).shape == (12, 2)
    for labels, words in ((LABELS + 1, "from 1 to 3"), (LABELS * 0.95, "holds"), (np.eye(3)[LABELS], "one-hot")):
        for ask in (lambda given: gan.predict(given, verbose=0), gan.predict_on_batch,
                    lambda given: gan.predict(tf.data.Dataset.from_tensor_slices(given).batch(4), verbose=0)):
            with pytest.raises(ValueError, match=f"^label: .*{words}"):
                ask({"noise": noise, "label": labels})
    with pytest.raises(ValueError, match=r"label=.*must be from 0 to 2"):
        gan.generate(3, label=tf.constant([0, 1, 5]))
    for strange in (gan.predict, gan.predict_on_batch):
        with pytest.raises(ValueError, match=r"noise: has the shape \(12, 4\), and this generator takes \[n, noise_dim=3\]"):
            strange({"noise": np.zeros((12, 4), np.float32), "label": LABELS})


def test_as_many_labels_as_examples():
    with pytest.raises(ValueError, match="the arrays have 5 and 12 examples"):
        conditional().fit(POINTS, LABELS[:5], verbose=0)
    with pytest.raises(ValueError, match="label: there are 3 labels and 4 examples"):
        conditional().train_on_batch(POINTS[:4], LABELS[:3])


# === Remainders ===

POOLED = dict(mmd=dict(loss="mmd_rbf", discriminator_outputs=2), average=dict(loss="relativistic_average"),
              dragan=dict(penalty="dragan"), statistics=dict(batch_norm=True), packing=dict(packing=2),
              parts=dict(accumulation=2), several=dict(discriminator_steps=2, batch_size=2))


@pytest.mark.parametrize("name", POOLED)
def test_what_is_no_mean_over_examples_leaves_a_remainder_out(name):
    """Nine examples by four: the last one alone would be another batch normalisation, another MMD, no pack."""
    gan, same = plain(**POOLED[name]), plain(**POOLED[name])
    points = POINTS[:9]
    logs = gan.fit(points, shuffle=False, validation_data=points, verbose=0).history
    same.fit(points[:8], shuffle=False, validation_data=points[:8], verbose=0)
    assert gan.step == 2 and all(np.isfinite(values).all() for values in logs.values())
    assert all(np.array_equal(one, other) for one, other in zip(gan.get_weights(), same.get_weights()))
    if name not in ("parts", "several"):  # which want to know how many examples there are
        piped = plain(**POOLED[name])
        piped.fit(tf.data.Dataset.from_tensor_slices({"sample": points}).batch(4), epochs=2, verbose=0)
        assert piped.step == 4
    if name in ("mmd", "average", "packing"):  # statistics of batch normalisation are not gathered in evaluation
        found = gan.evaluate(tf.data.Dataset.from_tensor_slices({"sample": points}).batch(4), verbose=0)
        assert found == gan.evaluate(points[:8], verbose=0) and np.isfinite(found).all()


def test_a_mean_over_examples_counts_each_of_them():
    """Losses of six examples by four are those of all six at once."""
    gan = plain()
    whole = gan.evaluate(POINTS[:6], batch_size=6, verbose=0, return_dict=True)
    data = tf.data.Dataset.from_tensor_slices({"sample": POINTS[:6]}).batch(6)
    assert whole == gan.evaluate(data, verbose=0, return_dict=True)
    seen = []
    gan.discriminator_loss, loss = lambda real, *rest, **options: seen.append(len(real)) or loss(real, *rest, **options), \
        gan.discriminator_loss
    gan.evaluate(POINTS[:6], verbose=0)
    assert seen == [4, 2]
    gan.fit(POINTS[:6], verbose=0)
    assert gan.step == 2


def test_the_evaluated_loss_is_that_of_the_examples():
    gan = plain()
    *parts, found = (float(gan.evaluate(POINTS[rows], verbose=0, return_dict=True)["g_loss"])  # a tensor in Keras 3.12
                     for rows in (slice(4), slice(2), slice(6)))
    assert found == pytest.approx((4 * parts[0] + 2 * parts[1]) / 6, rel=1e-6) and parts[0] != parts[1]


@pytest.mark.parametrize("settings, count, words", [
    (dict(packing=2), 1, "1 examples: a batch needs 2 or more"), (dict(packing=2, accumulation=2), 3, "a batch needs 4 or more")])
def test_too_few_for_a_batch(settings, count, words):
    with pytest.raises(ValueError, match=words):
        plain(**settings).fit(POINTS[:count], verbose=0)


def test_packs_of_a_batch_that_has_none():
    for ask in (lambda gan: gan.train_on_batch(POINTS[:3]), lambda gan: gan.test_on_batch(POINTS[:3]),
                lambda gan: gan.evaluate(tf.data.Dataset.from_tensors(POINTS[:3]), verbose=0)):
        with pytest.raises(ValueError, match="a batch has 3 examples; it must be a multiple of packing=2"):
            ask(plain(packing=2))


def test_a_last_batch_of_a_pydataset_has_other_statistics():
    with pytest.raises(ValueError, match="batch 2 is smaller than 5, the others' size"):
        plain(batch_norm=True).fit(Batches(LABELS, 5), shuffle=False, verbose=0)


# === What Keras's own models take ===

def test_arrays_are_taken_in_the_configs_batches():
    assert [plain(batch_size=size).fit(POINTS, verbose=0).model.step for size in (4, 6, 12)] == [3, 2, 1]
    gan = plain(batch_size=2, discriminator_steps=3)
    gan.fit(POINTS, verbose=0)
    assert gan.step == 2 and gan.made()["discriminator"] == 6
    gan = plain()
    gan.fit(POINTS, batch_size=6, verbose=0)
    assert gan.step == 2
    gan.fit(POINTS, steps_per_epoch=5, epochs=2, verbose=0)
    assert gan.step == 12


def test_the_order_of_arrays_is_a_function_of_seed_and_step():
    def trained():
        gan = plain(eager=False)
        gan.fit(POINTS, epochs=2, verbose=0)
        return gan.get_weights()
    ordered = plain()
    ordered.fit(POINTS, epochs=2, shuffle=False, verbose=0)
    assert all(np.array_equal(*pair) for pair in zip(trained(), trained()))
    assert not all(np.allclose(*pair) for pair in zip(trained(), ordered.get_weights()))


def test_a_share_for_validation():
    logs = plain().fit(POINTS, validation_split=1 / 3, verbose=0)
    assert logs.model.step == 2 and "val_g_loss" in logs.history


@pytest.mark.parametrize("name, value", [("sample_weight", np.ones(12)), ("class_weight", {0: 1.0})])
def test_weights_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name}: a GAN weighs all examples alike"):
        conditional().fit(POINTS, LABELS, **{name: value}, verbose=0)
    with pytest.raises(ValueError, match="^sample_weight: "):
        conditional().evaluate(POINTS, LABELS, sample_weight=np.ones(12), verbose=0)
    with pytest.raises(ValueError, match="^sample_weight: "):
        conditional().fit(tf.data.Dataset.from_tensor_slices((POINTS, LABELS, np.ones(12))).batch(4), verbose=0)
    with pytest.raises(ValueError, match="^sample_weight: "):
        conditional().fit(POINTS, LABELS, validation_data=(POINTS, LABELS, np.ones(12)), verbose=0)


def test_labels_that_nobody_looks_at():
    with pytest.warns(UserWarning, match="^y: this GAN takes no labels"):
        plain().fit(POINTS, LABELS, verbose=0)


def test_float64_is_float32():
    ways = [plain(), plain(), plain()]
    ways[0].fit(POINTS.astype(np.float64), shuffle=False, verbose=0)
    ways[1].fit(POINTS, shuffle=False, verbose=0)
    ways[2].fit(tf.data.Dataset.from_tensor_slices({"sample": POINTS.astype(np.float64)}).batch(4), verbose=0)
    for gan in ways[1:]:
        assert all(np.array_equal(*pair) for pair in zip(ways[0].get_weights(), gan.get_weights()))


# === Examples ===

IMAGE = Field("image", (4, 4, 1))
UNIT = np.random.default_rng(0).uniform(0, 1, (6, 4, 4, 1)).astype(np.float32)


@pytest.mark.parametrize("values, words", [
    (255 * UNIT, r"image: the first batch is from .* to 2\d\d.*from -1 to 1; x / 127.5 - 1"),
    (4095 * UNIT, "to 4.*from -1 to 1"), ((255 * UNIT).astype(np.uint8), "uint8, and networks see float32 from -1 to 1; kgan.kinds.image"),
    ((255 * UNIT).astype(np.int32), "int32"), (UNIT[:, :3], r"the examples have the shape \(3, 4, 1\), and this GAN's \(4, 4, 1\)"),
    (UNIT[..., 0], r"have the shape \(4, 4\)"), (np.moveaxis(UNIT, 3, 1), r"have the shape \(1, 4, 4\)")])
def test_examples_that_cannot_be(values, words):
    with pytest.raises(ValueError, match=words):
        examples(values, IMAGE, "image")


@pytest.mark.parametrize("values, words", [(UNIT, "if they are from 0 to 1, 2 \\* x - 1"), (5 * UNIT - 2.5, "cannot make")])
def test_examples_that_may_be_meant(values, words):
    with pytest.warns(UserWarning, match=words):
        examples(values, IMAGE, "image")


@pytest.mark.parametrize("values, field", [
    (2 * UNIT - 1, IMAGE), (1.01 * (2 * UNIT - 1), IMAGE), (UNIT, Field("voxels", (4, 4, 1))), (99 * UNIT, Field("points", (4, 4, 1))),
    (2 * UNIT - 1, Field("image", (None, None, 1))), (np.where(UNIT > 0.5, np.nan, UNIT), IMAGE)])
def test_examples_that_are_as_they_should_be(values, field):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples(values, field, "image")


@pytest.mark.parametrize("way", ["array", "tf.data", "train_on_batch", "evaluate"])
def test_examples_are_looked_at_wherever_they_come_from(way):
    noise, image = keras.Input((3,), name="noise"), keras.Input((4, 4, 1), name="image")
    made = keras.layers.Reshape((4, 4, 1))(keras.layers.Dense(16, activation="tanh")(noise))
    gan = GAN(keras.Model(noise, made), keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image))), Config(noise_dim=3))
    gan.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="^image: the first batch is from"):
        if way == "array":
            gan.fit(255 * UNIT, verbose=0)
        elif way == "tf.data":
            gan.fit(tf.data.Dataset.from_tensor_slices({"image": 255 * UNIT}).batch(2), verbose=0)
        elif way == "evaluate":
            gan.evaluate(255 * UNIT, verbose=0)
        else:
            gan.train_on_batch({"image": 255 * UNIT})


@pytest.mark.parametrize("way", ["array", "tf.data", "predict"])
def test_what_is_given_is_looked_at_too(way):
    given, image = (keras.Input((4, 4, 1), name=name) for name in ("input", "image"))
    gan = GAN(keras.Model(given, keras.layers.Conv2D(1, 3, padding="same", activation="tanh")(given)),
              keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(image))), Config(noise_dim=3),
              fields={"input": Field("image", (4, 4, 1)), "image": Field("image", (4, 4, 1))})
    gan.compile(run_eagerly=True)
    batch = {"input": 255 * UNIT, "image": 2 * UNIT - 1}
    with pytest.raises(ValueError, match="^input: the first batch is from"):
        gan.fit(batch, verbose=0) if way == "array" else gan.predict({"input": batch["input"]}, verbose=0) if way == "predict" else gan.fit(
            tf.data.Dataset.from_tensor_slices(batch).batch(2), verbose=0)


def test_a_pipeline_keeps_its_length():
    gan = plain()
    data = tf.data.Dataset.from_tensor_slices({"sample": POINTS}).batch(4, drop_remainder=True)
    assert int(Feed(gan, training=True).watched(data).cardinality()) == 3
    assert int(Feed(gan, training=True).watched(data.repeat()).cardinality()) == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("devices", [1, 2])
def test_what_was_found_wrong_is_raised_though_tensorflow_lost_it(devices):
    """Of several devices; with one, what was read ahead and never used may be as it is."""
    gan = types.SimpleNamespace(config=Config(), distribute_strategy=types.SimpleNamespace(num_replicas_in_sync=devices))
    with pytest.raises(ValueError, match="3 were found") if devices > 1 else contextlib.nullcontext():
        with Feed(gan) as feed:
            feed.error = ValueError("3 were found")
