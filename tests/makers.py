"""SavedModels of functions whose results are known without a network: what is served is seen to be right."""
import json

import numpy as np

import export

IMAGE = {"name": "input", "kind": "image", "shape": [None, None, None, 3], "dtype": "float32", "range": [-1, 1], "size": [8, 8]}
MADE = {**IMAGE, "name": "images"}
LABEL = {"name": "label", "kind": "label", "shape": [None], "dtype": "int32", "classes": ["as it is", "no réd", "black"]}
NOISE = {"name": "noise", "kind": "noise", "shape": [None, 8], "dtype": "float32", "distribution": "normal(0, 1)", "range": None}
AGE = {"name": "age", "kind": "number", "shape": [None], "dtype": "float32"}
FUNCTIONS = {"generator": {"inputs": [IMAGE], "outputs": [MADE]},
             "other": {"inputs": [IMAGE, LABEL, AGE, NOISE], "outputs": [MADE, {**MADE, "name": "masks"}]}}


def written(folder, functions=FUNCTIONS, nan=False, size=None, only=None, **more):
    """A SavedModel of those functions in `folder`: `generator` inverts an image; `other` is explained below. `only`: the one."""
    import tensorflow as tf
    module, specs = tf.Module(), {
        "input": tf.TensorSpec([None, size, size, 3], tf.float32, name="input"),
        "label": tf.TensorSpec([None], tf.int32, name="label"), "age": tf.TensorSpec([None], tf.float32, name="age"),
        "noise": tf.TensorSpec([None, 8], tf.float32, name="noise")}
    module.gain = tf.Variable(np.nan if nan else -1.0)

    @tf.function(input_signature=[specs["input"]])
    def generator(input):
        return {"images": module.gain * input}

    @tf.function(input_signature=[specs[name] for name in ("input", "label", "age", "noise")])
    def other(input, label, age, noise):
        """Class 1 has no red, class 2 nothing; the noise's first number is added; `masks` are of the age's brightness."""
        kept = tf.gather(tf.constant([[1.0, 1, 1], [0, 1, 1], [0, 0, 0]]), label)[:, None, None]
        images = (input + 1) * kept - 1 + noise[:, :1, None, None]
        return {"images": images, "masks": tf.zeros_like(input) + age[:, None, None, None]}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")])
    def latents(count, seed):
        return {"noise": tf.random.stateless_normal([count, 8], tf.stack([seed, 0]))}

    signatures = {"serving_default": generator, "other": other, "latents": latents}
    tf.saved_model.save(module, str(folder), signatures={"serving_default": other} if only else signatures)
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "painter", "model": "some", "dataset": "none", "step": 3, "functions": functions, "output": MADE,
        "noise": {"kind": "normal", "dim": 8}, "truncation": True, **more}))
    return folder


SOUND = {"name": "input", "kind": "audio", "shape": [None, None, 1], "dtype": "float32", "range": [-1, 1], "size": [64],
         "rate": 8000}


def written_sounds(folder):
    """A SavedModel that makes sounds half as loud."""
    import tensorflow as tf
    module = tf.Module()
    module.gain = tf.Variable(0.5)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 1], tf.float32, name="input")])
    def generator(input):
        return {"audio": module.gain * input}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "softer", "model": "some", "dataset": "none", "step": 3, "output": SOUND,
        "functions": {"generator": {"inputs": [SOUND], "outputs": [{**SOUND, "name": "audio"}]}}}))
    return folder


NOTES = {"name": "notes", "kind": "notes", "shape": [None, 2, 8, 24, 2], "dtype": "float32", "range": [-1, 1], "lowest": 48, "beat": 2,
         "tempo": 120, "tracks": ["drums", "lead"]}


def written_notes(folder):
    """A SavedModel of noise to notes: a lead of three steps from step 2 on at pitch 9, a drum at step 4."""
    import tensorflow as tf
    piece = np.full([2, 8, 24, 2], -1, np.float32)
    piece[0, 2:5, 9, 1] = piece[0, 4, 0, 0] = 1
    module = tf.Module()
    module.piece = tf.Variable(piece)

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="noise")])
    def generator(noise):
        return {"notes": tf.repeat(module.piece[None], tf.shape(noise)[0], 0)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")])
    def latents(count, seed):
        return {"noise": tf.random.stateless_normal([count, 8], tf.stack([seed, 0]))}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator, "latents": latents})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "band", "model": "some", "dataset": "none", "step": 3, "output": NOTES, "noise": {"kind": "normal", "dim": 8},
        "truncation": True, "functions": {"generator": {"inputs": [NOISE], "outputs": [NOTES]}}}))
    return folder


VOXELS = {"name": "voxels", "kind": "voxels", "shape": [None, 12, 12, 12, 1], "dtype": "float32", "range": [0, 1]}


def solid(height, sure):
    """float32 [12, 12, 12, 1]: an L of that many layers, `sure`, under a roof of .4."""
    found = np.zeros([12, 12, 12, 1], np.float32)
    found[2:9, 3:5, :height], found[2:4, 3:10, :height], found[2:9, 3:10, height] = sure, sure, 0.4
    return found


def written_solids(folder):
    """A SavedModel of noise and a class to voxels: class i is solid(4 + i, …), as sure as the noise's first number says."""
    import tensorflow as tf
    module, classes = tf.Module(), ["low", "high"]
    known = tf.constant(np.stack([solid(4 + i, 1) for i in range(2)]))

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="noise"),
                                  tf.TensorSpec([None], tf.int32, name="label")])
    def generator(noise, label):
        found = tf.gather(known, label)
        sure = 0.8 + 0.1 * tf.tanh(noise[:, 0])[:, None, None, None, None]
        return {"voxels": tf.where(found == 1.0, sure * tf.ones_like(found), found)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")])
    def latents(count, seed):
        return {"noise": tf.random.stateless_normal([count, 8], tf.stack([seed, 0]))}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator, "latents": latents})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    label = {**LABEL, "classes": classes}
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "solids", "model": "some", "dataset": "none", "step": 3, "label": label, "output": VOXELS, "truncation": True,
        "functions": {"generator": {"inputs": [NOISE, label], "outputs": [VOXELS]}}, "directions": np.eye(8)[:2].tolist(),
        "noise": {"kind": "normal", "dim": 8}}))
    return folder


CLIPS = {"name": "videos", "kind": "video", "shape": [None, 5, 8, 6, 1], "dtype": "float32", "range": [-1, 1]}


def clip(gain=1.0):
    """float32 [5, 8, 6, 1]: a bright row that goes down, on what becomes brighter to the right."""
    found = np.tile(np.linspace(-1, 0, 6, dtype=np.float32)[None, None, :, None], [5, 8, 1, 1])
    for frame in range(5):
        found[frame, frame] = gain
    return found


def written_clips(folder):
    """A SavedModel of noise to clips: `clip`, as bright as the noise's first number says."""
    import tensorflow as tf
    module, known = tf.Module(), tf.constant(clip())

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="noise")])
    def generator(noise):
        gain = 0.8 + 0.2 * tf.tanh(noise[:, 0])[:, None, None, None, None]
        return {"videos": tf.where(known[None] == 1.0, gain * tf.ones_like(known[None]), known[None] + 0 * gain)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")])
    def latents(count, seed):
        return {"noise": tf.random.stateless_normal([count, 8], tf.stack([seed, 0]))}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator, "latents": latents})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "clips", "model": "some", "dataset": "none", "step": 3, "output": CLIPS, "truncation": True,
        "functions": {"generator": {"inputs": [NOISE], "outputs": [CLIPS]}}, "directions": np.eye(8)[:2].tolist(),
        "noise": {"kind": "normal", "dim": 8}}))
    return folder


MASK = {"name": "mask", "kind": "mask", "shape": [None, None, None, 1], "dtype": "float32", "range": [0, 1], "size": [8, 8]}


def written_holes(folder):
    """A SavedModel of images and masks to images: what is missing is inverted."""
    import tensorflow as tf
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, depth], tf.float32, name=name)
                                  for name, depth in (("input", 3), ("mask", 1))])
    def generator(input, mask):
        return {"images": tf.where(mask > 0.5, -input, input)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "mender", "model": "some", "dataset": "none", "step": 3, "output": MADE,
        "functions": {"generator": {"inputs": [IMAGE, MASK], "outputs": [MADE]}}}))
    return folder


WORDS = ["", "a", "red", "7", "large"]
CAPTION = {"name": "caption", "kind": "tokens", "shape": [None, 4], "dtype": "int32", "range": None, "words": WORDS, "tokens": "words"}


def written_texts(folder):
    """A SavedModel from texts to texts: each word becomes the one after it in WORDS, "large" the end."""
    import tensorflow as tf
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.int32, name="caption")])
    def generator(caption):
        return {"tokens": tf.where(caption == 0, 0, (caption + 1) % len(WORDS))}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": generator})
    (folder / export.CONTRACT).parent.mkdir(exist_ok=True)
    made = {**CAPTION, "name": "tokens"}
    (folder / export.CONTRACT).write_text(json.dumps({
        "name": "words", "model": "some", "dataset": "none", "step": 3, "output": made, "noise": None, "truncation": False,
        "functions": {"generator": {"inputs": [CAPTION], "outputs": [made]}}}))
    return folder
