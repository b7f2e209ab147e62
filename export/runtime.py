"""An artefact in its own runtime, in a process of its own: python -m export.runtime FORMAT PATH IN.npz OUT.npz …

Imports neither Keras nor kgan. A pair of files for each of the artefact's functions. IN.npz has the inputs by name, `in0/NAME`
[n, …], and perhaps as `in1/NAME` others of another size; `function` (its name) and `signature` (in a SavedModel), `outputs` (their
names), of the first function `count` and `seed`. Of an input NAME that is a label `classes/NAME` says how many there are.
OUT.npz gets `out0/NAME` [n, …], where sizes are free `out1/NAME` of the others, `milliseconds` (median of up to CALLS calls after two
others, one thread, one row or the file's fixed batch), where there are labels `taken`, those of -1 and `classes` of which it
makes something all the same, and, of a SavedModel that has them, what its other signatures give:
`generated`, `latents`, and of images `decoded`, the PNGs.
"""
import sys
import time

import numpy as np

from export.paths import readable

CALLS, SECONDS = 15, 10  # no more calls where these have taken so long


def saved_model(path, given, threads=1):
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    with readable(path) as folder:
        loaded = tf.saved_model.load(folder)  # keeps its variables alive
    signatures, more = loaded.signatures, {}
    if "count" in given:
        arguments = {name: tf.constant(given[name], tf.int32) for name in ("count", "seed")}
        if "latents" in signatures:
            more["latents"] = signatures["latents"](**arguments)["noise"].numpy()
        if "in0/label" in given:
            arguments["label"] = tf.constant(-1)  # the classes in turn
        if "generate" in signatures:
            more["generated"] = signatures["generate"](**arguments)[str(given["outputs"][0])].numpy()
        if "png" in signatures:
            pngs = signatures["png"](**arguments)["png_bytes"]
            more["decoded"] = np.stack([tf.io.decode_png(png).numpy() for png in pngs])
    serve = signatures[str(given["signature"])]

    def call(inputs):
        made = serve(**{name: tf.constant(rows) for name, rows in inputs.items()})
        return {name: values.numpy() for name, values in made.items()}
    return call, None, more


def tflite(path, given, threads=1):
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path, num_threads=threads)
    serve = interpreter.get_signature_runner("serving_default")
    batch = int(next(iter(serve.get_input_details().values()))["shape"][0])
    return lambda inputs: serve(**inputs), batch, {}


def onnx(path, given, threads=1):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [str(name) for name in given["outputs"]]
    return lambda inputs: dict(zip(names, session.run(names, inputs))), None, {}


def web(path, given, threads=1):
    return tflite(f"{path}/{given['function']}.tflite", given, threads)  # what the page hands to LiteRT.js


# format -> function of (path, IN.npz's arrays, threads): (function of a dict of inputs that gives one of outputs, its fixed batch
# or None, more for OUT.npz)
RUNTIMES = {"saved_model": saved_model, "tflite": tflite, "onnx": onnx, "web": web}


def main(kind, path, *files):
    for source, target in zip(files[::2], files[1::2]):
        with np.load(source) as file:
            np.savez(target, **run(kind, path, dict(file)))


def run(kind, path, given):
    """What OUT.npz is to have of the arrays of IN.npz."""
    call, batch, more = RUNTIMES[kind](path, given)
    inputs, others, classes = ({name.partition("/")[2]: values for name, values in given.items() if name.startswith(case)}
                               for case in ("in0/", "in1/", "classes/"))

    def repeated(start, rows):  # the last rows up to a whole batch
        return {name: np.resize(values[start:start + rows], (rows, *values.shape[1:])) for name, values in inputs.items()}

    count = len(next(iter(inputs.values())))
    parts = [call(inputs)] if not batch else [
        {name: values[:count - i] for name, values in call(repeated(i, batch)).items()} for i in range(0, count, batch)]
    more.update((f"out0/{name}", np.concatenate([part[name] for part in parts])) for name in map(str, given["outputs"]))
    if others and not batch:  # with the batch sizes are fixed, too
        more.update((f"out1/{name}", values) for name, values in call(others).items())
    rows, times = repeated(0, batch or 1), []
    for _ in range(CALLS + 2):
        start = time.perf_counter()
        call(rows)
        times.append(1e3 * (time.perf_counter() - start))
        if sum(times) > 1e3 * SECONDS:
            break
    if classes:
        more["taken"] = [wrong for name, many in classes.items() for wrong in (-1, int(many)) if _takes(call, {
            **rows, name: np.full_like(rows[name], wrong)})]
    return {"milliseconds": np.median(times[2:] or times), **more}


def _takes(call, inputs):
    try:
        call(inputs)
        return True
    except Exception:  # each runtime has its own
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
