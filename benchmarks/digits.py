"""How readable are generated digits, and is any of the ten missing?

    python benchmarks/digits.py RUN_DIR [RUN_DIR …] [--manual_dir=FOLDER]

Protocol: a small convolutional network learns the labels of the run's own data set (two passes over its training split,
seed 0); its accuracy on the test split is stated. 1,000 samples of the averaged generator (seed 1) are then classified,
and 1,000 real test images beside them. `confident` is the share whose likeliest digit has a probability of at least .9;
`classes` is how many of the samples go to each digit. A confident network is no proof that a person reads the digit: look
at the samples too. Prints a JSON line last.
"""
import argparse
import json
import time

import keras
import numpy as np
from keras import layers

import kgan
from kgan.data.source import scale
from kgan.run import Run, load


def classifier(shape):
    """A small convolutional network from images in [-1, 1] to ten probabilities."""
    return keras.Sequential([
        keras.Input(shape),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.3), layers.Dense(10, activation="softmax"),
    ])


def judge(network, images):
    """Share of confident verdicts, and the number of verdicts for each digit."""
    probabilities = network.predict(images, batch_size=250, verbose=0)
    counts = np.bincount(probabilities.argmax(1), minlength=10)
    return {"confident": round(float((probabilities.max(1) >= 0.9).mean()), 3), "classes": counts.tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--manual_dir")
    arguments = parser.parse_args()
    settings = [Run(run).settings() for run in arguments.runs]
    if len({(each["dataset"], tuple(each["shape"])) for each in settings}) != 1:
        parser.error("the runs are of different data")

    first = settings[0]
    options = dict(image_size=first["image_size"], channels=first["channels"], data_dir=first["data_dir"],
                   manual_dir=arguments.manual_dir or first["manual_dir"])
    train, test = (kgan.data.source(first["dataset"], split=split, **options) for split in ("train", "test"))
    keras.utils.set_random_seed(0)
    network = classifier(train.shape)
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.time()
    network.fit(kgan.data.batches(train, 128).map(lambda batch: (batch["image"], batch["label"])), epochs=2, verbose=0)
    real, labels = scale(np.asarray(test.arrays["image"])), np.asarray(test.arrays["label"])
    accuracy = network.evaluate(real, labels, batch_size=250, verbose=0)[1]
    result = {"dataset": first["dataset"], "classifier_accuracy": round(accuracy, 4),
              "classifier_seconds": round(time.time() - start), "real": judge(network, real[:1000])}
    for run in arguments.runs:
        gan, step = load(run)
        result[run] = {"step": step, **judge(network, gan.generate(1000, seed=1))}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
