"""How many of Stacked MNIST's 1,000 modes does a generator make, and how evenly? Prints one JSON line last.

    python benchmarks/stacked_mnist.py RUN_DIR [RUN_DIR …] [--manual_dir=FOLDER]     judges runs of train.py
    python benchmarks/stacked_mnist.py RUN_DIR --grid=samples.png                    and draws 64 of the samples judged
    python benchmarks/stacked_mnist.py --manual_dir=FOLDER                           what real images score

The protocol is VEEGAN's (Srivastava et al. 2017), with a classifier of our own. A small convolutional network learns
the labels of MNIST's training split (four passes, seed 0; `accuracy` is of the test split; the weights are kept in the
data cache, --train learns them anew). It reads each channel of 26,000 samples of the averaged generator (seed 0): three
digits, so one of 1,000 modes. Of all samples, however sure the network is,

    modes        number of modes with at least one sample
    kl           KL(histogram of modes || uniform), in nats
    confident    share of samples in all three channels of which the likeliest digit has a probability of at least .9

`real` is what 26,000 triples of the test split score by the same protocol, `real_labels` the same by their true labels.
For a perfect sampler kl is not 0: its 26,000 samples alone leave about 999 / (2 x 26,000) = .019, and MNIST's classes
are not equally many (.0043 in the training split, .0052 in the test split): about .024 in all. `parameters` counts all
weights, `seconds` is the time in fit() until the checkpoint that is judged, compilation included.
"""
import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers

import kgan
from kgan import pictures
from kgan.data import modes, stacked
from kgan.data.cache import cached
from kgan.data.source import seen
from kgan.run import Run, load

COUNT, EPOCHS, BATCH, RATE, SURE = 26_000, 4, 128, 2e-3, 0.9


def network(image_size):
    """The classifier, untrained: images [N, S, S, 1] in [-1, 1] to ten probabilities."""
    return keras.Sequential([
        keras.Input((image_size, image_size, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dropout(0.3), layers.Dense(128, activation="relu"), layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ])


def train(image_size, options, folder):
    """Trains the classifier and writes its weights, flat, to weights.npy in `folder`; returns its figures as a dict."""
    train, test = (kgan.data.source("mnist", image_size=image_size, split=split, **options)
                   for split in ("train", "test"))
    keras.utils.set_random_seed(0)
    model = network(image_size)
    steps = EPOCHS * len(train) // BATCH
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
                  "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(kgan.data.batches(train, BATCH, repeat=True).map(lambda batch: (batch["image"], batch["label"])),
              steps_per_epoch=steps, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    images, labels = (np.asarray(test.arrays[field]) for field in ("image", "label"))
    accuracy = model.evaluate(seen("image", images), labels, batch_size=250, verbose=0)[1]
    np.save(Path(folder) / "weights.npy", np.concatenate([weight.ravel() for weight in model.get_weights()]))
    return {"accuracy": round(accuracy, 4), "seconds": round(seconds, 1)}


def classifier(image_size, options, anew=False):
    """The trained classifier, from the data cache if it lies there and not `anew`, and its figures as a dict."""
    if anew:
        with tempfile.TemporaryDirectory() as folder:
            notes = train(image_size, options, folder)
            values = np.load(Path(folder) / "weights.npy")
    else:
        key = dict(kind="stacked_mnist classifier", version=1, image_size=image_size, epochs=EPOCHS, batch=BATCH,
                   rate=RATE)
        arrays, notes = cached("mnist-classifier", key, lambda folder: train(image_size, options, folder))
        values = arrays["weights"]
    model = network(image_size)
    shapes = [weight.shape for weight in model.get_weights()]
    parts = np.split(values, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
    model.set_weights([part.reshape(shape) for part, shape in zip(parts, shapes)])
    return model, notes


def judge(model, images):
    """The protocol's figures for images [N, S, S, 3] in [-1, 1], as a dict."""
    digits, sure = [], np.ones(len(images), bool)
    for channel in range(3):
        probabilities = model.predict(images[..., channel:channel + 1], batch_size=500, verbose=0)
        digits.append(probabilities.argmax(1))
        sure &= probabilities.max(1) >= SURE
    figures = _rounded(modes.coverage(np.array([100, 10, 1]) @ digits, stacked.MODES))
    return {**figures, "confident": round(float(sure.mean()), 4)}


def _rounded(figures):
    return {name: round(value, 4) for name, value in figures.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN_DIR")
    parser.add_argument("--manual_dir", help="folder with MNIST's original files; default: the run's own")
    parser.add_argument("--count", type=int, default=COUNT, help="samples to judge; published figures take 26,000")
    parser.add_argument("--train", action="store_true", help="train the classifier anew")
    parser.add_argument("--grid", metavar="FILE.png", help="where to draw 64 samples of the one run")
    arguments = parser.parse_args()
    settings = [Run(run).settings() for run in arguments.runs]
    for run, each in zip(arguments.runs, settings):
        if each is None or each["dataset"] != "stacked_mnist":
            parser.error(f"{run} is no run of stacked_mnist")
    if len({tuple(each["shape"]) for each in settings}) > 1:
        parser.error("the runs are of different sizes")
    if arguments.count < 1 or (arguments.grid and len(settings) != 1):
        parser.error("--count must be 1 or more" if arguments.count < 1 else "--grid draws the samples of one run")

    first = settings[0] if settings else {"shape": (28,), "data_dir": None, "manual_dir": None}
    image_size = first["shape"][0]
    options = dict(data_dir=first["data_dir"], manual_dir=arguments.manual_dir or first["manual_dir"])
    model, notes = classifier(image_size, options, arguments.train)
    real = stacked.source(image_size, split="test", count=arguments.count, **options).arrays
    result = {"benchmark": "stacked_mnist", "count": arguments.count, "classifier": notes,
              "real": judge(model, seen("image", real["image"][:])), "real_labels": _rounded(modes.coverage(real["label"], stacked.MODES))}
    results = []
    for run in arguments.runs:
        gan, step = load(run)
        samples = gan.generate(arguments.count, seed=0)
        if arguments.grid:
            pictures.grid(samples[:64]).save(arguments.grid)
        results.append({
            "run": run, "steps": step, "seconds": round(float(Run(run).newest()[1]["elapsed"]), 1),
            "parameters": {"generator": gan.generator.count_params(),
                           "discriminator": gan.discriminator.count_params()},
            **judge(model, samples)})
        print(json.dumps(results[-1]), flush=True)
    print(json.dumps({**result, "results": results}))


if __name__ == "__main__":
    main()
