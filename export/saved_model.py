"""SavedModel: loads with TensorFlow alone, or in TensorFlow Serving.

    signatures = tf.saved_model.load("runs/NAME/export/saved_model").signatures
    images = signatures["serving_default"](noise=tf.random.normal([8, 100]))["images"]         # float32 in [-1, 1]
    images = signatures["generate"](count=tf.constant(8), seed=tf.constant(0))["images"]       # uint8
    files = signatures["png"](count=tf.constant(8), seed=tf.constant(0))["png_bytes"]          # string, a PNG file each
    noise = signatures["latents"](count=tf.constant(8), seed=tf.constant(0))["noise"]          # what those are made of

A conditional generator's `serving_default` takes `label` too, int32 [n]: numbers of classes from 0 on. `generate` and `png`
take it as a scalar, the class of all images; with -1 the classes come in turn, the first image being of class 0.

assets.extra/generator.json, where TensorFlow Serving lets a model keep files of its own, says what model it is.
"""
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from export import CONTRACT
from export.check import CheckError
from export.inputs import make, specs, with_label

TOLERANCE = 1e-5  # largest difference from the Keras model that passes, times the largest value where that is above 1


def write(generator, contract, directory, latents=None):
    """Writes a generator as DIRECTORY, beside which it is first made, loaded again and compared with Keras.

    Signatures: `serving_default` (noise float32 [n, D]; if there are classes label int32 [n]) and, given `latents`,
    `generate` (count, seed, if there are classes label: int32 scalars): of images uint8 [count, H, W, C] by the rounding of
    kgan.pictures.to_uint8, else float32; of images `png`, the same as files; and `latents`, the noise that they are made
    of. All at once: memory grows with count.

    Args:
        generator: keras.Model from noise [n, noise_dim], or from a dict of that and `label`.
        contract: of `artefacts.contract`; the output has its name, `images` or `samples`, and it says which classes there are.
        directory: path; replaced as a whole.
        latents: function of (count, seed), which may be tensors, to noise: GAN.latents. None: `serving_default` alone.

    Returns:
        float, the largest absolute difference between what the written file and Keras make of the same noise.

    Raises:
        CheckError: that difference is above TOLERANCE; what stood in `directory` before is left alone.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(aside, ignore_errors=True)

    archive = keras.export.ExportArchive()
    # not archive.track(generator): that would store every weight twice
    for name, (function, signature) in _signatures(generator, contract, latents).items():
        archive.add_endpoint(name, function, input_signature=signature)
    archive.write_out(str(aside), verbose=False)
    (aside / CONTRACT).parent.mkdir()
    (aside / CONTRACT).write_text(json.dumps(contract) + "\n", encoding="utf-8")

    difference, largest = check(aside, generator, contract), TOLERANCE * _scale(generator, contract)
    if not difference <= largest:
        shutil.rmtree(aside)
        raise CheckError(f"the SavedModel differs from Keras by {difference:.2g}, above {largest:.2g}: not written")
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(aside, directory)
    return difference


def check(path, generator, contract):
    """Largest absolute difference between a SavedModel's and Keras's output on a CPU, for batches of 1 and 7."""
    with tf.device("CPU"):  # a GPU convolves in TF32, each time by the algorithm that it likes best
        serve, output = tf.saved_model.load(str(path)).signatures["serving_default"], contract["output"]["name"]
        return float(max(np.abs(serve(**inputs)[output] - make(generator, inputs)).max()
                         for inputs in _examples(generator, contract)))


def _examples(generator, contract):
    size = specs(generator)["noise"].shape[-1]
    return [with_label(contract, tf.random.stateless_normal([count, size], [0, count])) for count in (1, 7)]


def _scale(generator, contract):
    """The largest value that Keras makes, at least 1."""
    return max(1.0, *(float(np.abs(make(generator, inputs)).max()) for inputs in _examples(generator, contract)))


def _signatures(generator, contract, latents):
    """Name -> (function, input signature)."""
    # names of signatures' inputs are those of the specs and of the arguments
    output, classes = contract["output"]["name"], contract.get("label") and len(contract["label"]["classes"])

    def serve(inputs):
        if classes:
            inputs = {**inputs, "label": _bounded(inputs["label"], 0, classes)}
        return {output: make(generator, inputs)}

    def generate(count, seed, label=-1):
        if classes:
            label = _bounded(label, -1, classes)
        samples = make(generator, with_label(contract, latents(count, seed), label))
        return {output: _to_uint8(samples) if output == "images" else samples}

    def png(count, seed, label=-1):
        images = generate(count, seed, label)[output]
        # by the end of this name TensorFlow Serving knows to send base64
        return {"png_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    numbers = [tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed", "label")]
    asked = numbers if classes else numbers[:2]
    found = {"serving_default": (serve, [specs(generator)])}
    if latents:
        found["generate"] = generate, asked
        found["latents"] = lambda count, seed: {"noise": latents(count, seed)}, numbers[:2]
        if output == "images" and generator.output_shape[-1] <= 4:  # a PNG has no more channels
            found["png"] = png, asked
    return found


def _bounded(label, least, classes):
    """`label`; others than these are refused: of a one-hot code nothing would be left, and the sample be of no class."""
    message = f"label: must be from {least} to {classes - 1}"
    with tf.control_dependencies([tf.debugging.assert_greater_equal(label, least, message),
                                  tf.debugging.assert_less(label, classes, message)]):
        return tf.identity(label)


def _to_uint8(images):
    """kgan.pictures.to_uint8 in TensorFlow: both round halves to even."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1) * 127.5), 0, 255), tf.uint8)
