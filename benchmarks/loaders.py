"""Other people's loaders on an exported run: python benchmarks/loaders.py RUN

RUN was exported as saved_model, onnx and tflite. Each loader whose package is installed is given the same inputs, noise, classes in
turn or plausible examples; ONNX Runtime Web runs in Node, where `npm install onnxruntime-web` was said in this folder. The last line is JSON: for each loader the largest difference from the signature `serving_default`, or what it says.
docs/exporting.md has the lines of code.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from export.inputs import examples
from export.paths import readable
from kgan.kinds import Field, noise

ROWS = 4


def tfsm_layer(folder, inputs, output):
    with readable(folder / "saved_model") as path:
        layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    return layer({name: tf.constant(rows) for name, rows in inputs.items()})[output]


def tflite_converter(folder, inputs, output):
    from ai_edge_litert.interpreter import Interpreter
    with readable(folder / "saved_model") as path:
        converter = tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["serving_default"])
    interpreter = Interpreter(model_content=converter.convert())
    serve = interpreter.get_signature_runner("serving_default")
    return np.concatenate([serve(**{name: rows[i:i + 1] for name, rows in inputs.items()})[output] for i in range(ROWS)])


def onnxruntime(folder, inputs, output):
    import onnxruntime
    return onnxruntime.InferenceSession(folder / "onnx" / "generator.onnx").run([output], inputs)[0]


def _openvino(path, inputs, output):
    import openvino
    model = openvino.Core().compile_model(openvino.Core().read_model(path), "CPU")
    return model(inputs)[output] if len(model.outputs) > 1 else model(inputs)[0]


def openvino_onnx(folder, inputs, output):
    return _openvino(folder / "onnx" / "generator.onnx", inputs, output)


def openvino_tflite(folder, inputs, output):
    path = folder / "tflite" / "generator_float32.tflite"
    return np.concatenate([_openvino(path, {name: rows[i:i + 1] for name, rows in inputs.items()}, output) for i in range(ROWS)])


def openvino_saved_model(folder, inputs, output):
    return _openvino(folder / "saved_model", inputs, output)


def opencv(folder, inputs, output):
    import cv2
    network = cv2.dnn.readNetFromONNX(str(folder / "onnx" / "generator.onnx"))
    for name, rows in inputs.items():
        network.setInput(rows, name)
    return network.forward(output)


def onnxruntime_web(folder, inputs, output):
    """In Node: WebAssembly, as in a browser, of the package that lies in a node_modules here (npm install onnxruntime-web)."""
    package = Path("node_modules/onnxruntime-web/dist/ort.wasm.min.mjs").resolve()
    if not package.is_file() or not shutil.which("node"):
        raise ImportError
    types = {"f": ("float32", "Float32Array"), "i": ("int32", "Int32Array")}
    told = {name: [*types[rows.dtype.kind], rows.ravel().tolist(), list(rows.shape)] for name, rows in inputs.items()}
    script = f"""import {{readFileSync}} from "node:fs"
import * as ort from {json.dumps(package.as_uri())}
ort.env.wasm.numThreads = 1
const session = await ort.InferenceSession.create(readFileSync({json.dumps(str(folder / "onnx" / "generator.onnx"))}))
const feeds = {{}}
for (const [name, [type, array, data, dims]] of Object.entries({json.dumps(told)}))
  feeds[name] = new ort.Tensor(type, globalThis[array].from(data), dims)
const made = (await session.run(feeds))[{json.dumps(output)}]
console.log(JSON.stringify([made.dims, Array.from(made.data)]))
"""
    done = subprocess.run(["node", "--input-type=module"], input=script, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    shape, values = json.loads(done.stdout.strip().splitlines()[-1])
    return np.reshape(values, shape)


LOADERS = tfsm_layer, tflite_converter, onnxruntime, openvino_onnx, openvino_tflite, openvino_saved_model, opencv, onnxruntime_web


def main(run):
    folder = (Path(run) / "export").resolve()
    told = json.loads((folder / "export.json").read_text())
    function = next(iter(told["functions"].values()))
    inputs = examples(function["inputs"], ROWS, lambda count, seed: noise.examples(
        Field("noise", (told["noise"]["dim"],), more={"distribution": told["noise"]["kind"]}), count, seed))
    output = function["outputs"][0]["name"]
    with readable(folder / "saved_model") as path:
        loaded = tf.saved_model.load(path)
    wanted = loaded.signatures["serving_default"](**{name: tf.constant(rows) for name, rows in inputs.items()})[output].numpy()
    found = {}
    for loader in LOADERS:
        try:
            found[loader.__name__] = float(np.abs(np.asarray(loader(folder, inputs, output)) - wanted).max())
        except ImportError:
            found[loader.__name__] = "not installed"
        except Exception as error:
            found[loader.__name__] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        print(loader.__name__, found[loader.__name__], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which run? python benchmarks/loaders.py runs/NAME")
    main(sys.argv[1])
