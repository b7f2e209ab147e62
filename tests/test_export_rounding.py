"""How far an artefact in float32 may be from Keras: what rounding leaves open, and no more."""
import keras
import numpy as np
import pytest
import tensorflow as tf

import export.onnx
import export.tflite
from export import check, contract
from export.inputs import make
from kgan import kinds, models

CHECKED = {"motion": dict(halvings=1, detail_blocks=1, discriminators=1), "pix2pixhd": dict(halvings=1, blocks=1, labels="3"),
           "styletransfer": dict(blocks=1), "cyclegan": dict(blocks=1, patch="16"), "discogan": {}}


def built(name, size=16, **settings):
    keras.utils.set_random_seed(0)
    shape = (size, size, 3)
    more = {"labels": [[0, 0, 0], [255, 0, 0], [255, 255, 255]]} if "labels" in settings else {}
    fields = {field: kinds.Field("image", shape, more=more if field == "input" else {}) for field in models.outline(name).Config.needs}
    return models.build(name, shape, settings, fields=fields)


def test_four_times_what_the_last_bits_change():
    keras_s = np.zeros((1, 2, 2, 1), np.float32)
    for off, moved, passes in ((9e-6, 0.0, True), (1.1e-5, 0.0, False), (3.9e-5, 1e-5, True), (4.1e-5, 1e-5, False),
                               (9.9e-5, 1.0, True), (1.1e-4, 1.0, False)):  # however far they move it
        values = (keras_s.copy() + off).astype(np.float32)
        if passes:
            assert check._compare("file", values, keras_s, (-1, 1), "float32", moved=moved)["largest"] == pytest.approx(off)
        else:
            with pytest.raises(check.CheckError, match="differs from Keras"):
                check._compare("file", values, keras_s, (-1, 1), "float32", moved=moved)
    # nothing changes where rounding is not all: float16 has its level of 255
    assert check._compare("file", keras_s, keras_s, (-1, 1), "float16", moved=1.0)["bound"] == 2 / 255


def test_the_last_bits_by_hand(tmp_path):
    """A difference of two large numbers: a last bit of 300 is 3e-5, and three weights may each be off by theirs."""
    given = keras.Input((1,))
    network = keras.Model(given, keras.layers.Dense(1, use_bias=False)(keras.layers.Dense(2, use_bias=False)(given)))
    weights = [np.array([[300.0, 300.0]], np.float32), np.array([[1.0], [-1.0]], np.float32)]
    network.set_weights(weights)
    told = {"outputs": [{"name": "made"}]}
    x = tf.ones((1, 1))
    found = check._moved(network, told, {"noise": x}, {"made": np.asarray(network(x))}, draws=20)["made"]
    assert 2 ** -15 <= found <= 4 * 2 ** -15
    for one, other in zip(network.get_weights(), weights):
        np.testing.assert_array_equal(one, other)


def test_what_is_wrong_is_refused(tmp_path):
    """Where rounding goes beyond 1e-5: motion in its usual width. Another order of sums passes, a wrong weight or image does not."""
    gan = built("motion", 32)
    with np.load(check.reference(gan, tmp_path / "right.npz")) as file:
        wanted = dict(file)
    network, told = gan.exported("generator"), contract.interface(gan)["functions"]["generator"]
    given = {name: wanted[f"in0/{name}"] for name in ("input", "before")}

    def judged(given):
        made = np.asarray(make(network, told, given)["images"])
        return check._judged("file", "onnx", "float32", {"out0/images": made, "milliseconds": 1}, wanted)

    bound = judged(given)[0]["bound"]
    assert 1e-5 < bound < 1e-4 and bound == pytest.approx(4 * wanted["moved0/images"], rel=1e-6)
    # an order of its own, not one of those that the bound was drawn from
    before = network.get_weights()
    network.set_weights([weights * np.float32(1 + 2**-23) for weights in before])
    assert judged(given)[0]["largest"] > 0
    network.set_weights(before)
    with pytest.raises(check.CheckError, match="differs from Keras"):
        judged({**given, "input": given["input"][:, :, ::-1]})
    kernels = [variable for variable in network.weights if variable.path.endswith("kernel")]
    for variable in kernels[::3]:
        right = np.asarray(variable)
        wrong = right.copy()
        wrong.flat[wrong.size // 2] += 1e-3
        variable.assign(wrong)
        with pytest.raises(check.CheckError, match="differs from Keras"):
            judged(given)
        variable.assign(right)
    assert judged(given)[0]["largest"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED)
def test_translators_in_every_format(name, tmp_path):
    """TFLite of the size of training; ONNX at another, too."""
    gan = built(name, filters=4, **CHECKED[name])
    told, function = contract.interface(gan), gan.exported("generator")
    told["functions"] = {"generator": told["functions"]["generator"]}
    right = check.reference(gan, tmp_path / "right.npz")
    export.tflite.write(function, told, tmp_path / "tflite", gan.latents, 1, ["float32", "dynamic"])
    export.onnx.write(function, told, tmp_path / "onnx")
    found = {path.name: check.check(path, kind, precision, right) for kind, precision, path in (
        ("tflite", "float32", tmp_path / "tflite" / "generator_float32.tflite"),
        ("tflite", "dynamic", tmp_path / "tflite" / "generator_dynamic.tflite"), ("onnx", "float32", tmp_path / "onnx" / "generator.onnx"))}
    assert all(result["largest"] > 0 for result in found.values())
