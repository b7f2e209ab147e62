"""Holes filled by a network trained for it, and by a search in the noise of one that was not. One JSON line last.

    python benchmarks/inpainting.py runs/inpaint-glyphs runs/dcgan-glyphs [--count=200] [--steps=500] [--restarts=4] [--picture=FILE]
    python benchmarks/inpainting.py RUN RUN --test=folder:PHOTOS/test         of runs whose data have no test split

The first images of the test split (of --test, so many drawn at random), which neither has seen, all with the same masks. Beside
them: the hole left grey, filled with the mean of what borders on it, and by scikit-image's biharmonic equations. Of each: mean
absolute difference and PSNR within the hole and over the whole image; Fréchet and kernel distance of the filled images from the
whole test split, in a classifier's features (of the true ones too, as `real`); the share that the classifier takes for the true
image's label; CPU seconds an image.
"""
import argparse
import dataclasses
import json
import time

import numpy as np

from kgan import kinds, latent, pictures
from kgan.kinds import image as kind
from kgan.metrics import features, frechet, holes, kernel
from kgan.metrics.labelled import labelled
from kgan.models.inpaint import Config
from kgan.run import Run, load


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inpaint", help="a run of inpaint; none: the search alone, with the masks of inpaint's defaults")
    parser.add_argument("noise", help="a run of a GAN that makes such images of noise")
    for name, default in (("count", 200), ("steps", 500), ("restarts", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--test", help="a data set to take them from, where the runs' has no test split")
    parser.add_argument("--picture", help="a PNG file: hole, biharmonic, search, network, truth of the first 16")
    arguments = parser.parse_args()
    settings = Run(arguments.noise if arguments.inpaint == "none" else arguments.inpaint).settings(required=True)
    if arguments.inpaint == "none":
        settings = {**settings, "model": "inpaint", "config": dataclasses.asdict(Config(dataset=settings["dataset"]))}
        settings.pop("data", None)
    train, test, _ = labelled(settings, arguments.test)
    network = features.get("auto", train, test)
    rows = np.sort(test.choose(arguments.count)) if arguments.test else np.arange(arguments.count)  # not in the order of classes
    reference = network(np.asarray(test.arrays[test.key]))[0]
    true, labels = (np.asarray(test.arrays[name][rows]) for name in (test.key, "label"))
    given = test.given(rows, ["input", "mask"])
    (gan, step), (noise, noise_step) = (load(run) if run != "none" else (None, None) for run in (arguments.inpaint, arguments.noise))
    ways = {
        "nothing": lambda: kind.store(given["input"]), "border": lambda: holes.surrounded(true, given["mask"]),
        "biharmonic": lambda: _biharmonic(given),
        "fill": lambda: kind.store(latent.fill(noise, given["input"], given["mask"], steps=arguments.steps,
                                               restarts=arguments.restarts)[0]),
        "inpaint": lambda: gan and kind.store(gan.generate(len(true), given=given)), "real": lambda: true}
    if gan:
        gan.generate(2, given={name: values[:2] for name, values in given.items()})  # what is compiled once
    found, made = {}, {}
    for name, way in ways.items():
        began = time.process_time()
        images = way()
        if images is None:
            continue
        seconds = (time.process_time() - began) / len(true)
        made[name] = images
        found[name] = {**_figures(network, reference, images, true, given["mask"], labels), "seconds": round(seconds, 4)}
        print(name, found[name], flush=True)
    if arguments.picture:
        shown = [("image", kind.scale(made[name][:16].astype(np.float32))) for name in ("nothing", "biharmonic", "fill", "inpaint", "real")
                 if name in made]
        pictures.side_by_side(shown).save(arguments.picture)
    print(json.dumps({"benchmark": "inpainting", "count": len(true), "steps": arguments.steps, "restarts": arguments.restarts,
                      "checkpoints": [step, noise_step], "hole": round(float(given["mask"].mean()), 4), **found}))


def _figures(network, reference, images, true, masks, labels):
    seen, probabilities = network(images)
    whole = kinds.get("image").compare(kind.scale(images.astype(np.float32)), kind.scale(true.astype(np.float32)))
    with np.errstate(divide="ignore"):
        apart = np.mean((images.astype(np.float64) - true) ** 2) / 255**2
        found = {**holes.figures(images, true, masks), "l1": np.mean(whole["l1"]), "psnr": -10 * np.log10(apart)}
    found["kernel_distance"] = kernel.kernel_distance(reference, seen)[0]
    if len(images) > reference.shape[1]:
        found["frechet_distance"] = frechet.frechet_distance(frechet.Moments.of(reference), frechet.Moments.of(seen))
    if probabilities is not None:
        found["label_kept"] = np.mean(probabilities.argmax(1) == labels[:len(images)])
    return {name: round(float(value), 4) if np.isfinite(value) else None for name, value in found.items()}


def _biharmonic(given):
    """uint8 [n, H, W, C]; None: scikit-image is not there."""
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError:
        return None
    images = kind.store(given["input"]) / 255
    return np.stack([np.rint(255 * np.clip(inpaint_biharmonic(image, mask[..., 0] > 0.5, channel_axis=-1), 0, 1))
                     for image, mask in zip(images, given["mask"])]).astype(np.uint8)


if __name__ == "__main__":
    main()
