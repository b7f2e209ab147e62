"""Named fields: what is made, what is given, and who gets which of them."""
import keras
import numpy as np
import pytest
import tensorflow as tf

import export.onnx
import export.saved_model
import export.tflite
import kgan
from export import check, contract
from kgan import kinds, models
from kgan.config import Config
from kgan.data.source import DataError, Source
from kgan.gan import GAN
from kgan.kinds import Field

SHAPE = (8, 8, 3)


class Settings(Config):
    needs = {"input": "image", "image": "image"}


class Translator(GAN):
    Config = Settings


def translator(classes=(), noise_dim=0, **settings):
    """A tiny GAN that makes colour images of grey ones of any size; of noise and a label too, if it is given them."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    given = {"input": keras.Input((None, None, 1), name="input")}
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(given["input"])
    for name, values in ("noise", noise_dim), ("label", len(classes)):
        if values:
            given[name] = keras.Input((noise_dim,) if name == "noise" else (), name=name,
                                      dtype="float32" if name == "noise" else "int32")
            row = given[name] if name == "noise" else keras.ops.one_hot(given[name], values)
            x = x + layers.Reshape((1, 1, 4))(layers.Dense(4)(row))
    images = layers.Conv2D(3, 3, padding="same", activation="tanh", name="images")(x)
    judged = {"image": keras.Input(SHAPE, name="image"), "input": keras.Input((8, 8, 1), name="input")}
    joined = layers.Concatenate()([judged["image"], judged["input"]])
    discriminator = keras.Model(judged, layers.Conv2D(1, 4, 2, name="logits")(joined), name="discriminator")
    config = Settings(**{"noise_dim": noise_dim, "jit_compile": False, "optimizer": "sgd", **settings})
    gan = Translator(keras.Model(given, images, name="generator"), discriminator, config, 3, classes,
                     {"image": Field("image", SHAPE), "input": Field("image", (8, 8, 1))})
    gan.compile()
    return gan


def batch(count=6, seed=0):
    random = np.random.default_rng(seed)
    return {"image": random.uniform(-1, 1, (count, *SHAPE)).astype("f"), "input": random.uniform(-1, 1, (count, 8, 8, 1)).astype("f"),
            "label": np.arange(count) % 2}


# === The GAN ===

def test_fields_are_known_by_name():
    gan = translator(classes=("a", "b"))
    assert gan.key == "image" and gan.kind == "image"
    assert {name: (field.kind, field.shape) for name, field in gan.fields.items()} == {
        "image": ("image", SHAPE), "input": ("image", (8, 8, 1)), "label": ("label", ())}
    plain = models.build("mlp", (2,), dict(generator_units=[4], discriminator_units=[4]))
    assert (plain.key, plain.kind) == ("sample", "points")
    signal = models.build("mlp", (2,), dict(generator_units=[4], discriminator_units=[4]), fields={"sample": Field("signal", (2,))})
    assert (signal.key, signal.kind) == ("sample", "signal")


def test_each_given_field_changes_samples():
    gan = translator(classes=("a", "b"), noise_dim=2)
    values, noise = batch(), gan.latents(6)
    made = np.asarray(gan.make(noise, {"input": values["input"], "label": 0}))
    assert made.shape == (6, *SHAPE)
    for other in (gan.make(noise, {"input": -values["input"], "label": 0}), gan.make(noise, {"input": values["input"], "label": 1}),
                  gan.make(-noise, {"input": values["input"], "label": 0})):
        assert np.abs(made - other).max() > 1e-4
    # D sees the image and what it was made of
    judged = gan.logits(values["image"], {"input": values["input"]}, training=False)
    assert np.abs(judged - gan.logits(values["image"], {"input": -values["input"]}, training=False)).max() > 1e-4


def test_what_is_given_belongs_to_the_real_examples():
    """A step by the parts: G and D see the inputs of the batch's own examples."""
    gan, other, values = translator(), translator(), tf.nest.map_structure(tf.constant, batch())
    seen = []
    gan.content = lambda real, fake, given, judged: seen.append((real, given["input"])) or 0.0
    gan.train_step(values)
    (real, given), = seen
    np.testing.assert_array_equal(real, values["image"])
    np.testing.assert_array_equal(given, values["input"])
    # dealt out to two updates of D, and cut into parts, pairs stay pairs
    several = translator(discriminator_steps=2, accumulation=3, batch_size=3)
    several.content = lambda real, fake, given, judged: seen.append((real, given["input"])) or 0.0
    several.train_step(values)
    for real, given in seen[1:]:
        rows = [int(np.flatnonzero((values["image"] == one).numpy().all((1, 2, 3)))[0]) for one in real.numpy()]
        np.testing.assert_array_equal(given, values["input"].numpy()[rows])
    assert len(seen) == 4
    # and content moves G
    other.content = lambda real, fake, given, judged: 10 * tf.reduce_mean(tf.abs(real - fake))
    other.train_step(values)
    assert np.abs(other.generator.get_weights()[0] - gan.generator.get_weights()[0]).max() > 1e-6


def test_what_is_not_given():
    gan = translator()
    with pytest.raises(ValueError, match="makes 'image' of 'input': give it"):
        gan.generate(2)
    with pytest.raises(ValueError, match="is given 'input', but the batches have only"):
        gan.given({"image": batch()["image"]})
    generator = keras.Model({"noise": (a := keras.Input((2,), name="noise")), "pose": (b := keras.Input((2,), name="pose"))}, a + b)
    with pytest.raises(ValueError, match="the generator takes pose: say of which kind"):
        GAN(generator, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))


def test_keras_files_keep_the_fields(tmp_path):
    gan = translator(classes=("a", "b"))
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras", custom_objects={"Translator": Translator})
    assert loaded.fields == gan.fields
    given = {"input": batch()["input"]}
    np.testing.assert_array_equal(loaded.generate(6, given=given), gan.generate(6, given=given))


def test_all_players_slow_down():
    """agecgan's encoder as well: a rollback halves its rate, too."""
    for rate in (1e-3, "cosine:1e-3:1e-4"):
        gan = models.build("agecgan", (8, 8, 1), dict(filters=2, encoder_learning_rate=rate, generator_learning_rate=rate,
                                                      discriminator_learning_rate=rate, steps=4), classes="ab")
        gan.compile()
        before = [float(gan.optimizer_of(player).learning_rate) for player in gan.players]
        gan.scale_learning_rates(0.5)
        after = [float(gan.optimizer_of(player).learning_rate) for player in gan.players]
        assert len(after) == 3 and after == pytest.approx([value / 2 for value in before])


# === Data ===

def pairs(count=10):
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (count, 4, 6, 3), np.uint8)
    return Source("pairs", {"image": image, "input": image[..., :1].copy(), "label": np.arange(count)},
                  {"label": [str(i) for i in range(count)]}, kinds={"input": "image"})


def test_fields_of_data():
    source = pairs()
    assert (source.key, source.kind, source.shape) == ("image", "image", (4, 6, 3))
    assert {name: field.kind for name, field in source.fields.items()} == {"image": "image", "input": "image", "label": "label"}
    assert kgan.data.source("ring", split="test").kind == "points" and kgan.data.source("sine", split="test").kind == "signal"


def test_roles():
    source, needs = pairs(), {"input": "image", "image": "image"}
    assert source.roles(needs) is source
    turned = source.roles(needs, reverse=True)
    assert turned.shape == (4, 6, 1) and turned.arrays["input"] is source.arrays["image"]
    alone = Source("photos", {"image": source.arrays["image"]})
    with pytest.raises(DataError, match="photos: this model needs 'input'.*side by side.*--set degrade="):
        alone.roles(needs)
    with pytest.raises(DataError, match="needs 'image', of the kind image; the data have sample"):
        kgan.data.source("ring", split="test").roles({"image": "image"})


def test_all_images_of_an_example_are_flipped_alike():
    source = pairs()
    flipped = 0
    for each in kgan.data.batches(source, 10, flip=True, seed=4):
        rows = each["label"].numpy()
        np.testing.assert_allclose(each["input"], each["image"][..., :1], atol=1e-6)
        for row, image in zip(rows, np.rint((each["image"].numpy() + 1) * 127.5)):
            straight = np.array_equal(image, source.arrays["image"][row])
            assert straight or np.array_equal(image[:, ::-1], source.arrays["image"][row])
            flipped += not straight
    assert 0 < flipped < 10


def test_unpaired_groups_have_orders_and_lengths_of_their_own():
    source = Source("unpaired", {"image": np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1),
                                 "input": np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)},
                    kinds={"input": "image"}, groups={"input": "A"})
    assert len(source) == 6

    def rows(count, **options):
        found = {"image": [], "input": []}
        for each in kgan.data.batches(source, 2, repeat=True, seed=1, **options).take(count):
            for name, values in each.items():
                found[name] += np.rint((values.numpy().ravel() + 1) * 127.5).astype(int).tolist()
        return found
    found = rows(6)
    assert sorted(found["image"][:6]) == list(range(6)) and sorted(found["image"][6:]) == list(range(6))
    for start in (0, 4, 8):
        assert sorted(found["input"][start:start + 4]) == list(range(4))
    assert found["input"][:4] != found["image"][:4]
    # from any batch on, the same
    later = rows(4, start=2)
    assert {name: values[4:] for name, values in found.items()} == later
    with pytest.raises(DataError, match="has 4 examples, fewer than one batch of 5"):
        kgan.data.batches(source, 5)


# === Exports with free sizes ===

def test_contract_of_what_is_given():
    told = contract.interface(translator(classes=("a", "b")))
    assert told["input"] is None and told["noise"] is None and told["truncation"] is False
    inputs = {each["name"]: each for each in told["functions"]["generator"]["inputs"]}
    assert inputs["input"] == {"name": "input", "kind": "image", "shape": [None, None, None, 1], "dtype": "float32",
                               "range": [-1, 1], "size": [8, 8]}
    assert inputs["label"]["classes"] == ["a", "b"]
    assert told["functions"]["generator"]["outputs"] == [
        {"name": "images", "kind": "image", "shape": [None, None, None, 3], "dtype": "float32", "range": [-1, 1], "size": [8, 8]}]
    noise = contract.interface(models.build("dcgan", (8, 8, 1), dict(filters=2)))
    assert noise["functions"]["generator"]["inputs"] == [{**noise["input"], "kind": "noise"}]


@pytest.mark.parametrize("options", [pytest.param(dict(), marks=pytest.mark.slow), dict(classes=("a", "b"), noise_dim=2)])
def test_exports_take_any_size(options, tmp_path):
    """SavedModel and ONNX at two sizes, TFLite at that of training; each against Keras, and not against other inputs."""
    gan = translator(**options)
    told, wanted = contract.interface(gan), check.reference(gan, tmp_path / "right.npz")
    with np.load(wanted) as file:
        arrays = dict(file)
    assert arrays["in0/input"].shape == (8, 8, 8, 1) and arrays["out1/images"].shape == (8, 8 + check.LARGER, 8 + check.LARGER, 3)
    np.savez(tmp_path / "wrong.npz", **{**arrays, "out1/images": -arrays["out1/images"]})
    np.savez(tmp_path / "others.npz", **{**arrays, "in0/input": -arrays["in0/input"]})
    export.saved_model.write(gan.ema_generator, told, tmp_path / "saved_model", gan.latents)
    export.onnx.write(gan.ema_generator, told, tmp_path / "onnx")
    export.tflite.write(gan.ema_generator, told, tmp_path / "tflite", gan.latents, precisions=["float32", "int8"])
    for path, kind, precision in (("saved_model", "saved_model", "float32"), ("onnx/generator.onnx", "onnx", "float32"),
                                  ("tflite/generator_float32.tflite", "tflite", "float32"),
                                  ("tflite/generator_int8.tflite", "tflite", "int8")):
        check.check(tmp_path / path, kind, precision, wanted)
        with pytest.raises(check.CheckError):
            check.check(tmp_path / path, kind, precision, tmp_path / "others.npz")
        if kind != "tflite":
            with pytest.raises(check.CheckError, match="differs from Keras"):
                check.check(tmp_path / path, kind, precision, tmp_path / "wrong.npz")
    signatures = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    assert set(signatures) == {"serving_default", *(["latents"] if options else [])}


def test_guessed_kinds():
    assert [kinds.guess(shape) for shape in ((2,), (10,), (4, 4, 1), (4, 4, 4, 1))] == ["points", "signal", "image", "voxels"]
    with pytest.raises(ValueError, match="of which kind are they"):
        kinds.guess((3, 3))
