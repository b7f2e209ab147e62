"""Solids and clips in TFLite and ONNX: each function of the models that make them, beside Keras."""
import keras
import numpy as np
import pytest

import export.contract
import export.onnx
import export.tflite
from kgan import models

pytest.importorskip("ai_edge_litert", reason='pip install -e ".[export]"')
pytest.importorskip("onnxruntime", reason='pip install -e ".[export]"')

CASES = {"cgan3d": dict(name="cgan3d", shape=(8, 8, 8, 1), filters=2, noise_dim=6),
         "prgan": dict(name="prgan", shape=(8, 8, 1), filters=2, noise_dim=6),
         "sprites": dict(name="videogan", shape=(4, 16, 16, 3), filters=2, noise_dim=6, content=2),
         "two streams": dict(name="videogan", shape=(4, 16, 16, 3), filters=2, noise_dim=6, content=4, generator="two_stream"),
         "content and motion": dict(name="videogan", shape=(4, 16, 16, 1), filters=2, noise_dim=6, content=4, motion=3,
                                    generator="content_motion")}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_files_give_what_keras_gives(case, tmp_path):
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    settings = dict(CASES[case])
    keras.utils.set_random_seed(1)
    gan = models.build(settings.pop("name"), settings.pop("shape"), settings, seed=2, classes=("a", "b"))
    contract = export.contract.interface(gan)
    functions = {name: gan.exported(name) for name in gan.exports()}
    export.tflite.write(functions, contract, tmp_path / "tflite", gan.latents, precisions=["float32", "float16"])
    export.onnx.write(functions, contract, tmp_path / "onnx")
    noise, label = np.asarray(gan.latents(3, seed=5)), np.array([0, 1, 1], np.int32)
    for name, network in functions.items():
        told = contract["functions"][name]
        given = {"noise": noise, "label": label}
        given = {each["name"]: given[each["name"]] for each in told["inputs"]}
        wanted, output = np.asarray(network(given if len(given) > 1 else noise)), told["outputs"][0]["name"]
        session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / f"{name}.onnx"))
        np.testing.assert_allclose(session.run([output], given)[0], wanted, atol=1e-5)
        for precision, tolerance in ("float32", 1e-5), ("float16", 0.02):
            run = Interpreter(str(tmp_path / "tflite" / f"{name}_{precision}.tflite")).get_signature_runner("serving_default")
            for row in range(3):
                found = run(**{key: values[row:row + 1] for key, values in given.items()})[output]
                np.testing.assert_allclose(found, wanted[row:row + 1], atol=tolerance)
