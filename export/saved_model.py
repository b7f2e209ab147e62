"""SavedModel: loads with TensorFlow alone, or in TensorFlow Serving.

    model = tf.saved_model.load("runs/NAME/export/saved_model")
    images = model.signatures["serving_default"](noise=tf.random.normal([8, 100]))["images"]
"""
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 1e-5  # largest difference from the Keras model that passes, for values of about 1


def write(generator, key, directory):
    """Writes a generator as DIRECTORY, beside which it is first made, loaded again and compared with Keras.

    Args:
        generator: keras.Model from noise [n, noise_dim].
        key: "image" or "sample"; the output is named `images` or `samples`.
        directory: path; replaced as a whole.

    Returns:
        float, the largest absolute difference between what the written file and Keras make of the same noise.

    Raises:
        RuntimeError: that difference is above TOLERANCE; what stood in `directory` before is left alone.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    size = generator.input_shape[-1]

    archive = keras.export.ExportArchive()
    # not archive.track(generator): that would store every weight twice
    archive.add_endpoint("serving_default", lambda noise: {f"{key}s": generator(noise, training=False)},
                         input_signature=[tf.TensorSpec([None, size], tf.float32, name="noise")])
    archive.write_out(str(aside), verbose=False)

    difference = check(aside, generator, f"{key}s")
    if not difference <= TOLERANCE:
        shutil.rmtree(aside)
        raise RuntimeError(f"the SavedModel differs from Keras by {difference:.2g}, above {TOLERANCE:.2g}: not written")
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(aside, directory)
    return difference


def check(path, generator, output):
    """Largest absolute difference between a SavedModel's and Keras's output, for batches of 1 and 7."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    differences = []
    for count in (1, 7):
        noise = tf.random.stateless_normal([count, generator.input_shape[-1]], [0, count])
        differences.append(np.abs(serve(noise=noise)[output] - generator(noise, training=False)).max())
    return float(max(differences))
