"""Is the input ever what training waits for, and does it keep memory? Prints one JSON line last.

    python benchmarks/input_speed.py
    python benchmarks/input_speed.py --manual_dir=FOLDER    also mnist and stacked_mnist, from MNIST's original files there
    python benchmarks/input_speed.py --photos=FOLDER        only what it costs to decode a folder's files each time (--cache=none)

For each kind of data: batches a second that train.py's pipeline deals out while nobody trains (`input`: the best of
--repeats times --seconds), and that the default model for it trains on when one batch lies ready (`model`, likewise);
`ratio` is the first over the second, and should be 5 or more. The folder holds 2,000 PNG files of 64 pixels, written
here; preparing it, which is done once, is not counted.

Of --photos: examples a second of 64 and of 32 pixels, from the prepared copy and decoded as they are read.

Then mlp trains for --steps steps of glyphs by `fit`; `memory` is the resident set after 1,000 steps and at the end.
"""
import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from kgan import data, devices, models

KINDS = {
    "glyphs 28×28×1": ("glyphs", {}, "dcgan"),
    "glyphs 64×64×3, flipped": ("glyphs", dict(image_size=64, channels=3), "dcgan"),
    "folder 64×64×3": ("folder", dict(image_size=64), "dcgan"),
    "sine": ("sine", {}, "sine"),
    "ring": ("ring", {}, "mlp"),
    "mnist 28×28×1": ("mnist", {}, "dcgan"),
    "stacked_mnist 28×28×3": ("stacked_mnist", {}, "dcgan"),
}


def best(run, repeats, seconds):
    """The most `run(count)` a second."""
    run(1)
    start, count, speed = time.perf_counter(), 4, 0.0
    run(count)
    count = max(4, int(count * seconds / (time.perf_counter() - start)))
    for _ in range(repeats):
        start = time.perf_counter()
        run(count)
        speed = max(speed, count / (time.perf_counter() - start))
    return speed


def compare(source, model, flip, repeats, seconds):
    """Batches a second of the input alone and of the model alone, and their ratio."""
    keras.utils.set_random_seed(0)
    settings = dict(preset="mixture") if source.name == "ring" else {}
    gan = models.build(model, source.shape, settings)
    gan.compile(steps_per_execution=devices.steps_per_execution(gan.config))
    batches = iter(data.batches(source, gan.config.batch_size, repeat=True, flip=flip))

    def read(count):
        for _ in range(count):
            next(batches)

    options = tf.data.Options()
    options.autotune.enabled = False
    ready = tf.data.Dataset.from_tensors(next(batches)).repeat().with_options(options)
    at_once = gan.steps_per_execution

    def train(count):
        gan.fit(ready, steps_per_epoch=-(-count // at_once) * at_once, shuffle=False, verbose=0)

    found = {"input": best(read, repeats, seconds),
             "model": at_once * best(lambda count: train(count * at_once), repeats, seconds)}
    return {**{name: round(value, 1) for name, value in found.items()}, "ratio": round(found["input"] / found["model"], 2)}


def streamed(folder, repeats, seconds, batch=64):
    """Examples a second of the pipeline, from a prepared copy (`disk`) and from the files (`none`), by size."""
    found = {}
    for size in (32, 64):
        for cache in ("disk", "none"):
            batches = iter(data.batches(data.source(f"folder:{folder}", image_size=size, cache=cache), batch, repeat=True))
            speed = best(lambda count: [next(batches) for _ in range(count)], repeats, seconds)
            found[f"{size} pixels, cache={cache}"] = round(speed * batch)
    return found


def memory(steps):
    """Resident set in MB after 1,000 steps and at the end of `steps`, by Linux's /proc."""
    source = data.source("glyphs")
    gan = models.build("mlp", source.shape)
    gan.compile(steps_per_execution=10)
    sizes = {}

    def note(batch, logs):
        step = batch + 1
        if step in (1_000, steps):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes[step] = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)

    gan.fit(data.batches(source, gan.config.batch_size, repeat=True), steps_per_epoch=steps, shuffle=False, verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)])
    return {"MB": sizes, "growth": round(sizes[steps] / sizes[1_000] - 1, 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manual_dir", help="folder with MNIST's original files")
    parser.add_argument("--photos", help="folder of photos")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.photos:
        print(json.dumps({"benchmark": "input_speed", "photos": streamed(arguments.photos, arguments.repeats, arguments.seconds)}))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (2_000, 64, 64, 3), np.uint8)):
            Image.fromarray(pixels).save(f"{folder}/{i:04d}.png")
        for kind, (name, options, model) in KINDS.items():
            if "mnist" in name and not arguments.manual_dir:
                continue
            options = {**options, "manual_dir": arguments.manual_dir} if "mnist" in name else options
            source = data.source(f"folder:{folder}" if name == "folder" else name, **options)
            results[kind] = compare(source, model, "flipped" in kind, arguments.repeats, arguments.seconds)
            print(kind, json.dumps(results[kind]), flush=True)
    print(json.dumps({"benchmark": "input_speed", "results": results, "memory": memory(arguments.steps)}))


if __name__ == "__main__":
    main()
