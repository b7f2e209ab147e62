"""How many frames a second does an exported generator of images make? Prints one JSON line last.

    pip install -e ".[export]"
    python benchmarks/frames.py                                        pix2pix, its presets and two widths, at 128 and 256 pixels
    python benchmarks/frames.py --models=pix2pixhd,styletransfer --sizes=128 --threads=1
    python benchmarks/frames.py --formats=web --models=pix2pix:realtime128 --sizes=128        in Chromium, by LiteRT.js, one thread

Untrained generators (their speed is that of trained ones) are exported as SavedModel, TFLite (float32 and with weights of eight
bits) and ONNX, checked against Keras within 1e-3, and called with one image (motion with two): the median of as many calls as fit in
two seconds, at least 5, after 3 to warm up, each runtime in a process of its own with `--threads` threads. `best` is the rate of the
fastest quarter of the calls, for a machine that other work shares. `web` counts what the page does for a frame: pixels to numbers,
the generator, a canvas; it wants chromium, chromedriver and selenium. A preset or settings stand behind a colon, joined by +:
pix2pix:realtime128, pix2pix:filters=32+depth=5. Of a model of both directions it is the first.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MODELS = "pix2pix:realtime128,pix2pix:realtime256,pix2pix,pix2pix:filters=32"
SECONDS, LEAST = 2.0, 5
FORMATS = "saved_model", "tflite", "tflite_dynamic", "onnx"
FRAMES = """(async () => {
  const [side, seconds] = arguments, generator = await import("./generator.js"), times = [];
  const info = await (await fetch("generator.json")).json(), picture = Object.assign(document.createElement("canvas"), {
    width: side, height: side});
  picture.getContext("2d").fillRect(side / 4, side / 4, side / 2, side / 3);
  const {inputs, outputs} = info.functions.generator, output = {...outputs[0], shape: [1, side, side, outputs[0].shape[3]]};
  const given = Object.fromEntries(inputs.map(({name}) => [name, {picture}]));
  for (let end = Infinity, i = 0; i < 8 || performance.now() < end; i++) {
    const start = performance.now();
    if (i === 3) end = start + 1000 * seconds;
    await generator.make("generator", given, output);
    if (i > 2) times.push(performance.now() - start);
  }
  return times;
})()"""


def settings_of(text):
    return dict(part.split("=") if "=" in part else ("preset", part) for part in text.split("+") if part)


def prepare(folder, name, settings, size, formats):
    """Exports an untrained generator into `folder`, with what it is given and what Keras makes of it."""
    import keras

    import export.onnx
    import export.saved_model
    import export.tflite
    from export import contract
    from export.inputs import examples, make
    from kgan import models

    keras.utils.set_random_seed(0)
    gan = models.build(name, (size, size, 3), settings)
    told = contract.only(contract.interface(gan), ["generator"])
    given = {name: np.asarray(values) for name, values in examples(told["functions"]["generator"]["inputs"], 1, gan.latents).items()}
    if "saved_model" in formats:
        export.saved_model.write(gan.ema_generator, told, folder / "saved_model")
    if "onnx" in formats:
        export.onnx.write(gan.ema_generator, told, folder / "onnx")
    if {*formats} & {"tflite", "tflite_dynamic"}:
        export.tflite.write(gan.ema_generator, told, folder / "tflite", None, 1, ["float32", "dynamic"])
    if "web" in formats:
        from export import web
        web.write(gan.ema_generator, {"name": name, "model": name, "dataset": "none", "step": 0, "checkpoint": "newest",
                                      "directions": None, **told}, folder / "web", None)
    np.savez(folder / "made.npz", made=make(gan.ema_generator, told["functions"]["generator"], given)["images"])
    np.savez(folder / "given.npz", **given)
    return gan.generator.count_params()


def caller(kind, folder):
    """A function of a dict of images, of one runtime."""
    threads = int(os.environ["THREADS"])
    if kind == "saved_model":
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
        return lambda given: serve(**{name: tf.constant(values) for name, values in given.items()})["images"].numpy()
    if kind == "onnx":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(next((folder / "onnx").glob("*.onnx")), options, providers=["CPUExecutionProvider"])
        return lambda given: session.run(None, given)[0]
    from ai_edge_litert.interpreter import Interpreter
    path = next(path for path in (folder / "tflite").glob("*.tflite") if ("dynamic" in path.name) == (kind == "tflite_dynamic"))
    runner = Interpreter(str(path), num_threads=threads).get_signature_runner("serving_default")
    return lambda given: runner(**given)["images"]


def rates(times):
    """Frames a second of the median, and of the fastest quarter."""
    times = sorted(times)
    return [round(1 / statistics.median(some), 1) for some in (times, times[:max(1, len(times) // 4)])]


def browse(folder, size):
    """The same in Chromium, of the page's folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from browsers import Browser, site
    with site(folder) as address, tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            browser.driver.set_script_timeout(120)
            browser.open(f"{address}web/", tiles=0)
            browser.until(lambda: browser.text("facts"), 120)
            return rates([each / 1000 for each in browser.run(f"return {FRAMES}", size, SECONDS)])
        finally:
            browser.driver.quit()


def measure(kind, folder):
    call, given, made = caller(kind, folder), dict(np.load(folder / "given.npz")), np.load(folder / "made.npz")["made"]
    off = float(np.abs(call(given) - made).max())
    for _ in range(3):
        call(given)
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        call(given)
        times.append(time.perf_counter() - start)
    print(json.dumps([rates(times), off]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # kind and folder: the process of its own
    arguments = parser.parse_args()
    if arguments.measure:
        kind, _, folder = arguments.measure.partition(":")
        return measure(kind, Path(folder))
    found, formats = {}, arguments.formats.split(",")
    for model in arguments.models.split(","):
        name, _, more = model.partition(":")
        for size in map(int, arguments.sizes.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                told = {"parameters": prepare(Path(folder), name, settings_of(more), size, formats)}
                for kind in formats:
                    if kind == "web":
                        told[kind], told["web_best"] = browse(folder, size)
                        continue
                    threads = str(arguments.threads)
                    done = subprocess.run([sys.executable, __file__, f"--measure={kind}:{folder}"], capture_output=True,
                                          text=True, env={**os.environ, "THREADS": threads, "OMP_NUM_THREADS": threads})
                    if done.returncode:
                        raise SystemExit(f"{model} at {size} by {kind}: {done.stderr[-2000:]}")
                    rate, off = json.loads(done.stdout.splitlines()[-1])
                    if kind != "tflite_dynamic" and off > 1e-3:
                        raise SystemExit(f"{model} at {size} by {kind}: differs from Keras by {off}")
                    told[kind], told[f"{kind}_best"] = rate
            found[f"{model} {size}"] = told
            print(f"{model} {size}: {told}", flush=True)
    print(json.dumps({"benchmark": "frames", "threads": arguments.threads, "frames_per_second": found}))


if __name__ == "__main__":
    main()
