"""An artefact in its own runtime, in a process of its own: python -m export.runtime FORMAT PATH IN.npz OUT.npz

Imports neither Keras nor kgan. IN.npz has the inputs by name, `in0/NAME` [n, …], and perhaps as `in1/NAME` others of another
size; `output` (the output's name), `count` and `seed`.
Where there is `in0/label`, `classes` says how many there are.
OUT.npz gets `samples` [n, …], where sizes are free `samples1` of the others, `milliseconds` (median of CALLS calls after two
others, one thread, one row or the file's fixed batch), where there are labels `taken`, those of -1 and `classes` of which it
makes something all the same, and, of a SavedModel that has them, what its other signatures give:
`generated`, `latents`, and of images `decoded`, the PNGs.
"""
import sys
import time

import numpy as np

from export.paths import readable

CALLS = 15


def saved_model(path, given, threads=1):
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    with readable(path) as folder:
        loaded = tf.saved_model.load(folder)  # keeps its variables alive
    signatures = loaded.signatures
    output, arguments = str(given["output"]), {name: tf.constant(given[name], tf.int32) for name in ("count", "seed")}
    more = {}
    if "latents" in signatures:
        more["latents"] = signatures["latents"](**arguments)["noise"].numpy()
    if "in0/label" in given:
        arguments["label"] = tf.constant(-1)  # the classes in turn
    if "generate" in signatures:
        more["generated"] = signatures["generate"](**arguments)[output].numpy()
    if "png" in signatures:
        pngs = signatures["png"](**arguments)["png_bytes"]
        more["decoded"] = np.stack([tf.io.decode_png(png).numpy() for png in pngs])
    serve = signatures["serving_default"]
    return lambda inputs: serve(**{name: tf.constant(rows) for name, rows in inputs.items()})[output].numpy(), None, more


def tflite(path, given, threads=1):
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path, num_threads=threads)
    serve = interpreter.get_signature_runner("serving_default")
    batch = int(next(iter(serve.get_input_details().values()))["shape"][0])
    return lambda inputs: serve(**inputs)[str(given["output"])], batch, {}


def onnx(path, given, threads=1):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run([str(given["output"])], inputs)[0], None, {}


def web(path, given, threads=1):
    return tflite(f"{path}/generator.tflite", given, threads)  # what the page hands to LiteRT.js


# format -> function of (path, IN.npz's arrays, threads): (function of a dict of inputs, its fixed batch or None, more for
# OUT.npz)
RUNTIMES = {"saved_model": saved_model, "tflite": tflite, "onnx": onnx, "web": web}


def main(kind, path, source, target):
    with np.load(source) as file:
        given = dict(file)
    call, batch, more = RUNTIMES[kind](path, given)
    inputs, others = ({name.partition("/")[2]: values for name, values in given.items() if name.startswith(case)}
                      for case in ("in0/", "in1/"))

    def repeated(start, rows):  # the last rows up to a whole batch
        return {name: np.resize(values[start:start + rows], (rows, *values.shape[1:])) for name, values in inputs.items()}

    count = len(next(iter(inputs.values())))
    samples = call(inputs) if not batch else np.concatenate(
        [call(repeated(i, batch))[:count - i] for i in range(0, count, batch)])
    if others and not batch:  # with the batch sizes are fixed, too
        more["samples1"] = call(others)
    rows, times = repeated(0, batch or 1), []
    for _ in range(CALLS + 2):
        start = time.perf_counter()
        call(rows)
        times.append(1e3 * (time.perf_counter() - start))
    if "label" in inputs:
        more["taken"] = [wrong for wrong in (-1, int(given["classes"])) if _takes(call, {
            **rows, "label": np.full_like(rows["label"], wrong)})]
    np.savez(target, samples=samples, milliseconds=np.median(times[2:]), **more)


def _takes(call, inputs):
    try:
        call(inputs)
        return True
    except Exception:  # each runtime has its own
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
