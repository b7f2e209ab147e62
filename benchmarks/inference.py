"""How long does one call of an exported generator take, beside ONNX Runtime and PyTorch? Prints one JSON line last.

    pip install -e ".[export,bench]"
    python benchmarks/inference.py                                     dcgan at 64x64x3, batches of 1 and 64
    python benchmarks/inference.py --image_size=28 --channels=1 --batches=1 --threads=1

An untrained dcgan (its speed is that of a trained one) is exported as SavedModel, ONNX and the four TFLite files, these
once for each batch. PyTorch has the same network with the same weights, in inference mode and channels_last, as it is
(`torch`) and scripted, frozen and optimised for inference, which folds batch normalisation into the convolutions
(`torch_frozen`). Float32 runtimes must agree with Keras within 1e-4 before they are timed.

Each timing is a process of its own with `--threads` threads: 3 calls to warm up, then the median of as many calls as
fit in two seconds, at least 5. The runtimes take turns, `--repeats` times; `ms` is the median over the repeats. `ratio`
is the time of the fastest of SavedModel and TFLite (`any`), or of those that compute in float32, over that of ONNX
Runtime or of the faster form of PyTorch.
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

from export import PRECISIONS
from export.runtime import RUNTIMES

SECONDS, LEAST = 2.0, 5


def prepare(folder, size, channels, batches):
    """Exports the generator into `folder`: the artefacts, weights.npz for PyTorch, and noise with Keras's samples."""
    import keras

    import export.onnx
    import export.saved_model
    import export.tflite
    from export import contract
    from kgan import models

    keras.utils.set_random_seed(0)
    gan = models.build("dcgan", (size, size, channels))
    for seed in range(50):  # batch statistics: with the initial ones the images are all but grey, and any two agree
        gan.generator(gan.latents(64, seed), training=True)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    told = contract.interface(gan)
    export.saved_model.write(gan.ema_generator, told, folder / "saved_model", gan.latents)
    export.onnx.write(gan.ema_generator, told, folder / "onnx")
    for batch in batches:
        export.tflite.write(gan.ema_generator, told, folder / f"tflite-{batch}", gan.latents, batch)
        noise = gan.latents(batch, seed=1)
        np.savez(folder / f"noise-{batch}.npz", noise=noise, samples=gan(noise), output="images", count=1, seed=1)
    layers = [layer for layer in gan.ema_generator.layers if layer.weights]
    np.savez(folder / "weights.npz", kinds=[type(layer).__name__ for layer in layers],
             strides=[layer.strides[0] if hasattr(layer, "strides") else 0 for layer in layers],
             **{f"{i}-{j}": value for i, layer in enumerate(layers) for j, value in enumerate(layer.get_weights())})


def torch_generator(path):
    """dcgan's generator in PyTorch, with the weights that `prepare` wrote: noise [n, D] -> images [n, C, H, W]."""
    import torch

    def layer(kind, stride, values):
        if kind == "Dense":
            module = torch.nn.Linear(*values[0].shape, bias=False)
            module.weight.data = values[0].T.contiguous()
            return [module, Maps()]
        if kind == "BatchNormalization":
            module = torch.nn.BatchNorm2d(len(values[0]), eps=1e-5)
            module.weight.data, module.bias.data, module.running_mean, module.running_var = values
            return [module, torch.nn.ReLU()]
        # Keras's kernels are [height, width, out, in]; its padding "same" is 1 of 4 with stride 2, "valid" 0 with 1
        height, _, outputs, inputs = values[0].shape
        module = torch.nn.ConvTranspose2d(inputs, outputs, height, stride, padding=stride - 1, bias=len(values) > 1)
        module.weight.data = values[0].permute(3, 2, 0, 1).contiguous()
        if len(values) > 1:
            module.bias.data = values[1]
        return [module]

    class Maps(torch.nn.Module):
        """[n, 16c] -> [n, c, 4, 4]: Keras's [n, 4, 4, c], which is channels_last as it stands."""

        def forward(self, x):
            return x.reshape(x.shape[0], 4, 4, -1).permute(0, 3, 1, 2)

    with np.load(path) as file:
        modules = [module for i, (kind, stride) in enumerate(zip(file["kinds"].tolist(), file["strides"].tolist()))
                   for module in layer(kind, stride, [torch.from_numpy(file[f"{i}-{j}"])
                                                      for j in range(4) if f"{i}-{j}" in file])]
    return torch.nn.Sequential(*modules, torch.nn.Tanh()).eval().to(memory_format=torch.channels_last)


def torch_call(path, frozen, noise, threads):
    """Function of a dict with `noise` that gives images [n, H, W, C]."""
    import torch

    torch.set_num_threads(threads)
    network = torch_generator(path)
    if frozen:
        network = torch.jit.trace(network, torch.from_numpy(noise))
        network = torch.jit.optimize_for_inference(torch.jit.freeze(network))

    def call(inputs):
        with torch.inference_mode():
            return network(torch.from_numpy(inputs["noise"])).permute(0, 2, 3, 1).numpy()
    return call


def work(runtime, folder, batch, threads):
    """Times one runtime in this process; prints a JSON line."""
    with np.load(folder / f"noise-{batch}.npz") as file:
        given = dict(file)
    inputs = {"noise": given["noise"]}
    if runtime.startswith("torch"):
        call = torch_call(folder / "weights.npz", runtime == "torch_frozen", given["noise"], threads)
    else:
        kind = next(kind for kind in RUNTIMES if runtime.startswith(kind))
        path = folder / {"saved_model": "saved_model", "onnx": "onnx/generator.onnx",
                         "tflite": f"tflite-{batch}/generator_{runtime.removeprefix('tflite_')}.tflite"}[kind]
        serve, _, _ = RUNTIMES[kind](str(path), {**given, "signature": "serving_default", "outputs": ["images"]}, threads)
        call = lambda inputs: serve(inputs)["images"]
    difference = float(np.abs(call(inputs) - given["samples"]).max())
    if runtime not in ("tflite_float16", "tflite_dynamic", "tflite_int8") and not difference < 1e-4:
        raise SystemExit(f"{runtime} differs from Keras by {difference}")
    times = []
    for _ in range(3):
        call(inputs)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < LEAST:
        start = time.perf_counter()
        call(inputs)
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": statistics.median(times), "difference": difference}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    batches = [int(batch) for batch in arguments.batches.split(",")]
    if arguments.work:
        runtime, batch = arguments.work.split(",")
        return work(runtime, Path(arguments.folder), int(batch), arguments.threads)

    runtimes = ["saved_model", *(f"tflite_{name}" for name in PRECISIONS), "onnx", "torch", "torch_frozen"]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), arguments.image_size, arguments.channels, batches)
        for batch in batches:
            times = {runtime: [] for runtime in runtimes}
            differences = {}
            for _ in range(arguments.repeats):
                for runtime in runtimes:
                    command = [sys.executable, __file__, f"--work={runtime},{batch}", f"--folder={folder}",
                               f"--threads={arguments.threads}"]
                    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    if done.returncode:
                        sys.exit(f"{runtime}: {done.stderr.strip()[-600:]}")
                    found = json.loads(done.stdout.splitlines()[-1])
                    times[runtime].append(found["ms"])
                    differences[runtime] = found["difference"]
            table = {runtime: {"ms": round(statistics.median(found), 3), "least": round(min(found), 3),
                               "greatest": round(max(found), 3), "difference": float(f"{differences[runtime]:.2g}")}
                     for runtime, found in times.items()}
            fastest = {side: min(table[name]["ms"] for name in names) for side, names in {
                "any": [name for name in runtimes if name.startswith(("saved", "tflite"))],
                "float32": ["saved_model", "tflite_float32"], "onnx": ["onnx"],
                "torch": ["torch", "torch_frozen"]}.items()}
            table["ratio"] = {f"{ours}/{other}": round(fastest[ours] / fastest[other], 3)
                              for ours in ("any", "float32") for other in ("onnx", "torch")}
            results[batch] = table
            for runtime in runtimes:
                print(f"batch {batch}  {runtime:<16}{table[runtime]['ms']:>10.3f} ms", flush=True)
    settings = {"image_size": arguments.image_size, "channels": arguments.channels, "threads": arguments.threads,
                "repeats": arguments.repeats}
    print(json.dumps({"benchmark": "inference", **settings, "results": results}))


if __name__ == "__main__":
    main()
