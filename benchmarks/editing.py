"""Do edited images stay what they are, and become what was asked for? Prints one JSON line last.

    python benchmarks/editing.py runs/agecgan-glyphs
    python benchmarks/editing.py runs/agecgan-mnist --count=50 --features=none

The first `--count` images of the test split are inverted by `kgan.edit.invert`, each with its own class of the run's condition
as the data have it, and made anew in every class from the same noise. Of these variants

    identity            share of the images of which all variants are judged to have the image's own label
    identity_each       share of all variants that are
    rank_correlation    Spearman's, between the class asked for (0, 1, …) and what is measured on the variants: of each image
                        over its classes, the mean of all images
    rank_correlation_pooled     the same of all variants of all images at once

and the same of the reconstructions (the variants in the images' own class) and of the real images: the shares judged
right, and the correlation of their own class with what is measured. Measured is by kgan.data.measures: thickness for the
conditions weight and thickness, slant for slant. `identity` is judged twice: by the data set's classifier, whose features
the inversion keeps (`classifier_`), and by a second network, of another build and trained apart, that had no part in it
(`judge_`; a minute of training, once). `changed` is the mean over the images of the measure in the last class less that in
the first, `error` the mean squared difference of images and reconstructions (black to white is 2), `encoder_error` that of
the encoder's guess before the optimisation.
"""
import argparse
import hashlib
import json
import time
from pathlib import Path

import keras
import numpy as np
from scipy import stats

import kgan
from kgan import edit, pictures
from kgan.data.cache import cached
from kgan.data.measures import MEASURES
from kgan.data.source import seen
from kgan.metrics import features
from kgan.metrics.evaluate import sources
from kgan.run import Run, load

MEASURE = {"weight": "thickness", "thickness": "thickness", "slant": "slant"}


def judge(train):
    """A function from images to labels: a network that differs from `kgan.metrics.features.classifier` in all but its task."""
    layers = keras.layers

    def build():
        images = keras.Input(train.shape)
        x = layers.RandomTranslation(0.07, 0.07, fill_mode="constant", fill_value=-1.0, seed=12)(images)
        for width in (24, 48, 96):
            x = layers.Conv2D(width, 5, 2, "same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Dropout(0.3, seed=11)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(images, layers.Dense(len(train.classes["label"]), activation="softmax")(x))

    def learn(folder):
        keras.utils.set_random_seed(10)
        network, steps = build(), 4_000
        network.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
                        "sparse_categorical_crossentropy")
        data = kgan.data.batches(train, 128, seed=10, repeat=True).map(lambda batch: (batch["image"], batch["label"]))
        network.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)
        np.save(Path(folder) / "weights.npy", np.concatenate([weight.ravel() for weight in network.get_weights()]))
        return {}

    # the digest of a few images stands for the data
    digest = hashlib.sha256(np.ascontiguousarray(train.arrays["image"][:256]).tobytes()).hexdigest()
    key = dict(kind="judge", version=1, name=train.name, count=len(train), shape=train.shape, digest=digest)
    arrays, _ = cached(f"judge-{train.name}", key, learn)
    network = build()
    shapes = [weight.shape for weight in network.get_weights()]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    network.set_weights([part.reshape(shape) for part, shape in zip(np.split(np.asarray(arrays["weights"]), ends), shapes)])
    return lambda images: network.predict(images, batch_size=500, verbose=0).argmax(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=200, help="images of the test split")
    parser.add_argument("--features", default="auto", help="as for kgan.edit")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--restarts", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="a file for a grid of the first 16 images' rows: image, reconstruction, variants")
    arguments = parser.parse_args()

    settings = Run(arguments.run).settings(required=True)
    condition = settings["config"]["condition"]
    train, test = sources(settings)
    if test is None:
        parser.error(f"{train.name} has no test split")
    gan, step = load(arguments.run)
    measure = MEASURES[MEASURE[condition]]
    rows = slice(arguments.count)
    images, label, asked = seen("image", test.arrays["image"][rows]), test.arrays["label"][rows], test.arrays[condition][rows]

    judges = {"classifier": lambda images: classifier(images)[1].argmax(1), "judge": judge(train)}
    classifier = features.classifier(train, test)
    network = edit.identity(settings, arguments.features)
    start = time.process_time()
    noise, _, error = edit.invert(gan, images, asked, network, arguments.steps, arguments.restarts, arguments.seed)
    seconds = time.process_time() - start
    made = edit.variants(gan, noise)
    count, classes = made.shape[:2]
    found = made[np.arange(count), asked]

    result = {"benchmark": "editing", "run": arguments.run, "step": step, "condition": condition, "classes": classes,
              "count": count, "measure": MEASURE[condition], "features": network.name if network else "none",
              "steps": arguments.steps, "restarts": arguments.restarts, "seconds_an_image": seconds / count, "error": float(error.mean())}
    if hasattr(gan, "encoder"):
        guess = np.asarray(gan.make(gan.encoder(images, training=False), asked))
        result["encoder_error"] = np.mean((guess - images) ** 2)
    every = made.reshape(-1, *made.shape[2:])
    for name, judged in judges.items():
        kept = judged(every).reshape(count, classes) == label[:, None]
        result |= {f"{name}_identity": kept.all(1).mean(), f"{name}_identity_each": kept.mean(),
                   f"{name}_reconstructions": (judged(found) == label).mean(), f"{name}_real": (judged(images) == label).mean()}
    measured = measure(every).reshape(count, classes)
    result |= {"rank_correlation": np.mean([stats.spearmanr(np.arange(classes), row)[0] for row in measured]),
               "rank_correlation_pooled": stats.spearmanr(np.tile(np.arange(classes), count), measured.ravel())[0],
               "rank_correlation_reconstructions": stats.spearmanr(asked, measure(found))[0],
               "rank_correlation_real": stats.spearmanr(asked, measure(images))[0],
               "measured_agreement_of_reconstructions": stats.spearmanr(measure(images), measure(found))[0],
               "changed": (measured[:, -1] - measured[:, 0]).mean()}
    if arguments.picture:
        sheet = np.concatenate([images[:16, None], found[:16, None], made[:16]], axis=1)
        pictures.grid(sheet.reshape(-1, *images.shape[1:]), classes + 2).save(arguments.picture)
    print(json.dumps({name: round(float(value), 4) if isinstance(value, (float, np.floating)) else value
                      for name, value in result.items()}))


if __name__ == "__main__":
    main()
