"""Exports of several functions: two generators, a network of two outputs, a function that is no network."""
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_export import made
from test_fields import SHAPE, Translator, translator

import export
from export import artefacts, check, contract, web
from export.record import sha256
from export.serving.model import Model
from kgan.command import UserError
from kgan.kinds import Field

layers = keras.layers


class Both(Translator):
    """The way back, and what two networks say of an image, are exported beside the generator."""

    def exports(self):
        return {"generator": "generator", "inverse": "inverse", "marked": "marker"}

    def described(self, function):
        if function == "marked":
            return {"input": self.fields["input"]}, {"images": self.fields["image"], "marks": Field("signal", (2,))}
        return ({"image": self.fields["image"]}, {"images": self.fields["input"]}) if function == "inverse" else super().described(function)


class Searching(Translator):
    """A search, which is no network, beside the generator."""

    def exports(self):
        return {"generator": "generator", "darker": self.darker}

    def described(self, function):
        image = Field("image", (None, None, 3), more={"size": (8, 8)})
        return ({"image": image}, {"images": image}) if function == "darker" else super().described(function)

    @tf.function
    def darker(self, inputs):
        x = inputs["image"]
        for _ in tf.range(3):
            x = x - 0.1
        return {"images": tf.maximum(x, -1.0)}


def gan_of(kind):
    gan = translator()
    gan = kind(gan.generator, gan.discriminator, gan.config, 3, (), gan.fields)
    if kind is Both:
        image = keras.Input((None, None, 3), name="image")
        gan.inverse = keras.Model(image, layers.Conv2D(1, 3, padding="same", activation="tanh")(image))
        given = keras.Input((None, None, 1), name="input")
        marks = layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(given)))
        gan.marker = keras.Model(given, {"images": gan.ema_generator({"input": given}), "marks": marks})
    gan.ema_generator.set_weights([2 * weight for weight in gan.generator.get_weights()])
    gan.compile()
    return gan


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(GAN, folder of the export of a run of it, its export.json)."""
    gan = gan_of(Both)
    directory, _ = made(tmp_path_factory.mktemp("both") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefacts, "load", lambda *_: (gan, 7))
        record = artefacts.write(directory, ["saved_model", "tflite", "onnx"], precisions=["float32"])
    return gan, directory / "export", record


def test_each_function_has_its_files_and_is_checked(exported):
    _, _, record = exported
    assert {entry["path"]: entry["functions"] for entry in record["artefacts"]} == {
        "saved_model": ["generator", "inverse", "marked"],
        **{f"tflite/{name}_float32.tflite": [name] for name in ("generator", "inverse", "marked")},
        **{f"onnx/{name}.onnx": [name] for name in ("generator", "inverse", "marked")}}
    assert all(entry["check"]["largest"] <= 1e-5 and entry["check"]["milliseconds"] > 0 for entry in record["artefacts"])
    told = record["functions"]
    assert [each["name"] for each in told["inverse"]["inputs"]] == ["image"] and told["inverse"]["outputs"][0]["shape"][-1] == 1
    assert [(each["name"], each["kind"], each["shape"]) for each in told["marked"]["outputs"]] == [
        ("images", "image", [None, None, None, 3]), ("marks", "signal", [None, 2])]


def test_values_are_those_of_the_average(exported):
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter
    gan, folder, _ = exported
    x, image = (np.random.default_rng(1).uniform(-1, 1, (1, 8, 8, depth)).astype("f") for depth in (1, 3))
    signatures = tf.saved_model.load(str(folder / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "inverse", "marked"}
    wanted = {"images": np.asarray(gan.ema_generator({"input": x})), "marks": np.asarray(gan.marker(x)["marks"])}
    assert np.abs(wanted["images"] - gan.generator({"input": x})).max() > 1e-3
    np.testing.assert_allclose(signatures["serving_default"](input=tf.constant(x))["images"], wanted["images"], atol=1e-6)
    np.testing.assert_allclose(signatures["inverse"](image=tf.constant(image))["images"], gan.inverse(image), atol=1e-6)
    lite = Interpreter(str(folder / "tflite" / "marked_float32.tflite")).get_signature_runner("serving_default")(input=x)
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "marked.onnx"))
    assert [each.name for each in session.get_outputs()] == ["images", "marks"]
    for name, values in wanted.items():
        np.testing.assert_allclose(signatures["marked"](input=tf.constant(x))[name], values, atol=1e-6)
        np.testing.assert_allclose(lite[name], values, atol=1e-6)
        np.testing.assert_allclose(session.run([name], {"input": x})[0], values, atol=1e-6)
    # a file says of itself which function it is
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["generator.json"])
    assert list(metadata["functions"]) == ["marked"] and metadata["output"]["shape"] == [None, None, None, 3]


def test_check_looks_at_each_output(exported, tmp_path):
    gan, folder, _ = exported
    right = check.reference(gan, tmp_path / "right.npz", "marked")
    arrays = check._arrays(right)
    for name in ("out0/marks", "out1/images"):
        np.savez(tmp_path / "wrong.npz", **{**arrays, name: arrays[name] + 1e-3})
        with pytest.raises(check.CheckError, match="marked.onnx: differs from Keras"):
            check.check(folder / "onnx" / "marked.onnx", "onnx", "float32", tmp_path / "wrong.npz")


def test_card(exported):
    card = (exported[1] / "README.md").read_text()
    assert "- **Input of inverse**: `image`" in card and "- **Output of marked**: `marks`, float32 [n, 2], a signal" in card
    assert "# likewise signatures['inverse']: an image into images; signatures['marked']: an image into images and marks" in card


def test_served(exported):
    gan, folder, _ = exported
    model = Model(folder / "saved_model")
    assert list(model.functions) == ["generator", "inverse", "marked"] and model.kind is None
    assert list(model.functions["marked"].outputs) == ["images", "marks"]
    image = np.full([1, 5, 6, 3], 0.5, np.float32)
    made = model.signatures[model.functions["inverse"].signature]({"image": image})
    np.testing.assert_allclose(made["images"], gan.inverse(image), atol=1e-6)


def test_what_is_no_network_is_for_saved_models(tmp_path):
    gan = gan_of(Searching)
    directory, _ = made(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefacts, "load", lambda *_: (gan, 7))
        with pytest.warns(UserWarning, match="ONNX: darker is left out, no network"):
            record = artefacts.write(directory, ["saved_model", "onnx"])
    assert [(entry["path"], entry["functions"]) for entry in record["artefacts"]] == [
        ("saved_model", ["generator", "darker"]), ("onnx/generator.onnx", ["generator"])]
    darker = tf.saved_model.load(str(directory / "export" / "saved_model")).signatures["darker"]
    found = darker(image=tf.fill([1, 3, 4, 3], 0.5))["images"]
    np.testing.assert_allclose(found, np.full([1, 3, 4, 3], 0.2), atol=1e-6)
    with pytest.raises(UserError, match="TFLite: darker is no network"):
        export.tflite.write({"darker": gan.darker}, contract.interface(gan), tmp_path / "tflite", None)


def test_web_has_a_file_for_each(tmp_path, monkeypatch):
    gan = gan_of(Both)
    monkeypatch.setattr(web, "fetch", dict)
    monkeypatch.setattr(web, "_write_litert", lambda packages, folder: None)
    web.write({name: gan.exported(name) for name in ("generator", "inverse")},
              {"name": "both", "model": "some", "dataset": "none", "step": 3, "checkpoint": "newest", "directions": None,
               **contract.interface(gan)}, tmp_path / "web", gan.latents)
    told = json.loads((tmp_path / "web" / "generator.json").read_text())
    assert list(told["functions"]) == ["generator", "inverse"]
    assert told["sha256"] == {name: sha256(tmp_path / "web" / f"{name}.tflite") for name in ("generator", "inverse")}
    result = check.check(tmp_path / "web", "web", "float32", *(
        check.reference(gan, tmp_path / f"{name}.npz", name) for name in ("generator", "inverse")))
    assert result["largest"] <= 1e-5


def test_outputs_of_no_known_kind():
    gan = gan_of(Both)
    with pytest.raises(ValueError, match="marked gives marks: override `described`"):
        Translator.described(gan, "marked")
    assert SHAPE == gan.fields["image"].shape
