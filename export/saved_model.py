"""SavedModel: loads with TensorFlow alone, or in TensorFlow Serving.

    signatures = tf.saved_model.load("runs/NAME/export/saved_model").signatures
    images = signatures["serving_default"](noise=tf.random.normal([8, 100]))["images"]         # float32 in [-1, 1]
    images = signatures["generate"](count=tf.constant(8), seed=tf.constant(0))["images"]       # uint8
    files = signatures["png"](count=tf.constant(8), seed=tf.constant(0))["png_bytes"]          # string, a PNG file each
    noise = signatures["latents"](count=tf.constant(8), seed=tf.constant(0))["noise"]          # what those are made of

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

TOLERANCE = 1e-5  # largest difference from the Keras model that passes, times the largest value where that is above 1


def write(generator, contract, directory, latents=None):
    """Writes a generator as DIRECTORY, beside which it is first made, loaded again and compared with Keras.

    Signatures: `serving_default` (noise float32 [n, D]) and, given `latents`, `generate` (count, seed: int32 scalars):
    of images uint8 [count, H, W, C] by the rounding of kgan.pictures.to_uint8, else float32; of images `png`, the same
    as files; and `latents`, the noise that they are made of. All at once: memory grows with count.

    Args:
        generator: keras.Model from noise [n, noise_dim].
        contract: of `artefacts.contract`; the output has its name, `images` or `samples`.
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

    output = contract["output"]["name"]
    archive = keras.export.ExportArchive()
    # not archive.track(generator): that would store every weight twice
    for name, (function, specs) in _signatures(generator, output, latents).items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(str(aside), verbose=False)
    (aside / CONTRACT).parent.mkdir()
    (aside / CONTRACT).write_text(json.dumps(contract) + "\n", encoding="utf-8")

    difference, largest = check(aside, generator, output), TOLERANCE * _scale(generator)
    if not difference <= largest:
        shutil.rmtree(aside)
        raise CheckError(f"the SavedModel differs from Keras by {difference:.2g}, above {largest:.2g}: not written")
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(aside, directory)
    return difference


def check(path, generator, output):
    """Largest absolute difference between a SavedModel's and Keras's output, for batches of 1 and 7."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    return float(max(np.abs(serve(noise=noise)[output] - generator(noise, training=False)).max()
                     for noise in _noise(generator)))


def _noise(generator):
    return [tf.random.stateless_normal([count, generator.input_shape[-1]], [0, count]) for count in (1, 7)]


def _scale(generator):
    """The largest value that Keras makes, at least 1."""
    return max(1.0, *(float(np.abs(generator(noise, training=False)).max()) for noise in _noise(generator)))


def _signatures(generator, output, latents):
    """Name -> (function, input signature)."""
    # the names of its arguments are those of the signature
    def serve(noise):
        return {output: generator(noise, training=False)}

    def generate(count, seed):
        samples = generator(latents(count, seed), training=False)
        return {output: _to_uint8(samples) if output == "images" else samples}

    def png(count, seed):
        images = generate(count, seed)[output]
        # by the end of this name TensorFlow Serving knows to send base64
        return {"png_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    numbers = [tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")]
    found = {"serving_default": (serve, [tf.TensorSpec([None, generator.input_shape[-1]], tf.float32, name="noise")])}
    if latents:
        found["generate"] = generate, numbers
        found["latents"] = lambda count, seed: {"noise": latents(count, seed)}, numbers
        if output == "images" and generator.output_shape[-1] <= 4:  # a PNG has no more channels
            found["png"] = png, numbers
    return found


def _to_uint8(images):
    """kgan.pictures.to_uint8 in TensorFlow: both round halves to even."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1) * 127.5), 0, 255), tf.uint8)
