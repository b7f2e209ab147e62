"""Sounds that a wavegan makes beside real ones, class by class. One JSON line last.

    python benchmarks/spoken.py runs/NAME [--count=1000] [--checkpoint=newest|best] [--out=FOLDER]

Of each class `count` / classes samples of the averaged generator: the share that the classifier of the data's labels (that of
`python -m kgan.metrics`, which learned from spectrograms of the training split) takes for what was asked, and the Fréchet distance in its
features; beside them the test split, and as many training examples as that has. `loud` is the mean of a sound's root mean square, `end` the
loudness of its last tenth in dB beside its loudest: what should be silence, since a word is shorter than a sound.

--out: sheet.png, a row for each class, four real sounds of the test split and four made ones; made.wav and real.wav, one of
each class after the other.
"""
import json
from pathlib import Path

import numpy as np
from of_run import opened

from kgan.data.source import seen
from kgan.kinds import audio
from kgan.metrics import features, frechet


def told(network, sounds, labels, reference):
    found, probabilities = network(sounds)
    right, waves = probabilities.argmax(1) == labels, seen("audio", np.asarray(sounds))[..., 0]
    loud = lambda part: np.sqrt((part ** 2).mean(1) + 1e-10)
    parts = np.stack([loud(part) for part in np.array_split(waves, 10, axis=1)])
    return {"right": float(right.mean()), "frechet_distance": float(frechet.frechet_distance(reference, frechet.Moments.of(found))),
            "loud": float(loud(waves).mean()), "end": float(np.median(20 * np.log10(parts[-1] / parts.max(0)))),
            "of_each": {int(label): round(float(right[labels == label].mean()), 3) for label in np.unique(labels)}}


def main():
    options, gan, step, train, test = opened(__doc__)
    network, rate = features.classifier(train, test), train.more["audio"]["rate"]
    some = lambda source: (np.asarray(source.arrays["audio"]), np.asarray(source.arrays["label"]))
    real, labels = some(test or train)
    rows = np.sort(np.random.default_rng(0).permutation(len(train))[:len(real)])
    asked = np.arange(options.count) % len(gan.classes)
    made = gan.generate(options.count, label=asked)
    reference = frechet.Moments.of(network(real)[0])
    table = {name: told(network, *each, reference) for name, each in
             {"real": (real, labels), "training": [values[rows] for values in some(train)], "made": (made, asked)}.items()}
    for name, row in table.items():
        print(f"{name:9}" + "".join(f"  {figure} {value:.3f}" for figure, value in row.items() if figure != "of_each"), flush=True)
    if options.out:
        folder, count = Path(options.out), len(gan.classes)
        folder.mkdir(parents=True, exist_ok=True)
        true = [seen("audio", real[np.flatnonzero(labels == label)[:4]]) for label in range(count)]
        audio.sheet(np.concatenate([part for label in range(count) for part in (true[label], made[asked == label][:4])])).save(
            folder / "sheet.png")
        for name, sounds in ("made", made[:count]), ("real", np.stack([part[0] for part in true])):
            (folder / f"{name}.wav").write_bytes(audio.beside(sounds, rate)[".wav"])
    print(json.dumps({"run": options.run, "step": step, "count": len(made), "classifier": network.protocol["accuracy"], **table}))


if __name__ == "__main__":
    main()
