"""SavedModel: loads with TensorFlow alone, or in TensorFlow Serving.

    signatures = tf.saved_model.load("runs/NAME/export/saved_model").signatures
    images = signatures["serving_default"](noise=tf.random.normal([8, 100]))["images"]         # float32 in [-1, 1]
    images = signatures["generate"](count=tf.constant(8), seed=tf.constant(0))["images"]       # uint8
    files = signatures["png"](count=tf.constant(8), seed=tf.constant(0))["png_bytes"]          # string, a PNG file each
    noise = signatures["latents"](count=tf.constant(8), seed=tf.constant(0))["noise"]          # what those are made of

A conditional generator's `serving_default` takes `label` too, int32 [n]: numbers of classes from 0 on. `generate` and `png`
take it as a scalar, the class of all images; with -1 the classes come in turn, the first image being of class 0.

Where there are several functions (GAN.exports) `serving_default` is the first, and each other a signature of its name.

assets.extra/generator.json, where TensorFlow Serving lets a model keep files of its own, says what model it is.
"""
import json
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from export import CONTRACT
from export.inputs import functions_of, make, specs, with_label
from export.record import put


def write(generator, contract, directory, latents=None):
    """Writes a generator as DIRECTORY, beside which it is first made; nothing is checked.

    Signatures: `serving_default` takes the generator's inputs by name: noise float32 [n, D], label int32 [n] …; given `latents`
    and a generator of noise, `latents` (count, seed: int32 scalars) draws that. Of a generator of nothing but noise and label
    `generate` (count, seed and, if there are classes, label) makes samples, images as uint8 [count, H, W, C] by the rounding of
    kgan.kinds.image.store, else float32; and of images `png` makes the same as files. All at once: memory grows with count.

    Args:
        generator: keras.Model from noise [n, noise_dim], or from a dict of that, `label` and what else it is given; or a dict of
            functions, as for `export.inputs.functions_of`.
        contract: of `export.contract`; outputs have its names, and it says which classes there are.
        directory: path; replaced as a whole.
        latents: function of (count, seed), which may be tensors, to noise: GAN.latents. None: `serving_default` alone.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)

    archive = keras.export.ExportArchive()
    # not archive.track(generator): that would store every weight twice
    for name, (function, signature) in _signatures(generator, contract, latents).items():
        archive.add_endpoint(name, function, input_signature=signature)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as aside:
        new = Path(aside, "new")
        archive.write_out(str(new), verbose=False)
        (new / CONTRACT).parent.mkdir()
        (new / CONTRACT).write_text(json.dumps(contract) + "\n", encoding="utf-8")
        put(new, directory, aside)


def _signatures(generator, contract, latents):
    """Name -> (function, input signature)."""
    functions, found = functions_of(generator, contract), {}
    for name, function in functions.items():
        found[name if found else "serving_default"] = _serve(function, told := contract["functions"][name]), [specs(told["inputs"])]
    # names of signatures' inputs are those of the specs and of the arguments
    (name, first), *_ = functions.items()
    told = contract["functions"][name]
    output, images = told["outputs"][0]["name"], told["outputs"][0]["kind"] == "image"
    classes = contract.get("label") and len(contract["label"]["classes"])

    def generate(count, seed, label=-1):
        if classes:
            label = _bounded(label, -1, classes)
        samples = make(first, told, with_label(contract, latents(count, seed), label))[output]
        return {output: _to_uint8(samples) if images else samples}

    def png(count, seed, label=-1):
        images = generate(count, seed, label)[output]
        # by the end of this name TensorFlow Serving knows to send base64
        return {"png_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    numbers = [tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed", "label")]
    asked = numbers if classes else numbers[:2]
    if latents and any(each["kind"] == "noise" for name in functions for each in contract["functions"][name]["inputs"]):
        found["latents"] = lambda count, seed: {"noise": latents(count, seed)}, numbers[:2]
    if latents and {each["name"] for each in told["inputs"]} <= {"noise", "label"}:
        found["generate"] = generate, asked
        if images and told["outputs"][0]["shape"][-1] <= 4:  # a PNG has no more channels
            found["png"] = png, asked
    return found


def _serve(function, told):
    """What a signature is traced from: a function of a dict of inputs."""
    counts = {each["name"]: len(each["classes"]) for each in told["inputs"] if each["kind"] == "label" and each["classes"]}

    def serve(inputs):
        return make(function, told, {**inputs, **{name: _bounded(inputs[name], 0, count) for name, count in counts.items()}})
    return serve


def _bounded(label, least, classes):
    """`label`; others than these are refused: of a one-hot code nothing would be left, and the sample be of no class."""
    message = f"label: must be from {least} to {classes - 1}"
    with tf.control_dependencies([tf.debugging.assert_greater_equal(label, least, message),
                                  tf.debugging.assert_less(label, classes, message)]):
        return tf.identity(label)


def _to_uint8(images):
    """kgan.kinds.image.store in TensorFlow: both round halves to even."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1) * 127.5), 0, 255), tf.uint8)
