"""Holes filled by a search in the noise of a trained GAN: semantic inpainting. No network is trained for it.

Yeh, Chen, Lim, Schwing, Hasegawa-Johnson, Do 2016, "Semantic Image Inpainting with Deep Generative Models", arXiv:1607.07539.
Of all that G can make the sample is looked for that is nearest to what is known (equations 4 and 5), and that D takes for real
(equation 6); it is put into the hole so that its gradients are kept (equation 9). `kgan.latent.fill` and the signature `fill` of
exports are this, and so is any other known degradation: only the operator between the sample and what is given changes.

All of it is TensorFlow, Adam too, so that it runs where there is neither Keras nor kgan.
"""
import functools
import math
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.config import ConfigError
from kgan.data import bicubic
from kgan.data import degrade as degradations
from kgan.data.source import DataError
from kgan.kinds import Field
from kgan.kinds import mask as kind

STEPS, RESTARTS, RATE = 500, 4, 0.1
EXPORTED_STEPS = 200  # whoever asks a server waits
PRIOR, WINDOW = 0.003, 7  # λ and the side of the neighbourhood, both the paper's
OPERATORS = "grey", "blur", "downscale", "noise", "jpeg"  # degradations that a search can undo


def fill(gan, images, masks=None, *, label=None, degrade="", steps=STEPS, restarts=RESTARTS, seed=0, rate=RATE, prior=PRIOR,
         window=WINDOW, blend="poisson", batch_size=64):
    """Images whose holes are filled with what the GAN's generator would put there.

    Args:
        gan: GAN that makes images of noise, or of noise and a label; its averaged generator is used, in inference mode.
        images: float [n, H, W, C] in [-1, 1] of the generator's shape; what lies in the hole is not looked at.
        masks: [n, H, W, 1], above .5 where a pixel is missing; None: nothing is, all is degraded.
        label: as for `GAN.labels`: the class of all, or int [n].
        degrade: what was done to the images (kgan.data.degrade), those in OPERATORS joined by +; the sample itself is then the
            result, for nothing of the image is known as it was.
        steps, rate: of Adam, the rate falling along a cosine to 0.
        restarts: starts, the same for each image, gan.latents(restarts, seed), of which the best counts.
        seed: int.
        prior: λ of what D says; 0: D is not asked.
        window: side of the neighbourhood whose missing pixels give a known one its weight; odd.
        blend: "poisson" keeps the sample's gradients within the hole, "none" its levels.
        batch_size: images at once.

    Returns:
        (filled, samples, noise): float32 [n, H, W, C], the same before it was put into the hole, and [n, noise_dim]. What is not
        missing is that of `images`, bit for bit.

    Raises:
        ValueError: wrong shapes. ConfigError: this GAN makes no images of noise, or a degradation has no operator.
    """
    import tensorflow as tf

    search = function_of(gan, degrade, steps, restarts, seed, rate, prior, window, blend)
    images = np.asarray(images, np.float32)
    shape = gan.generator.output_shape[1:]
    masks = np.zeros((len(images), *images.shape[1:3], 1)) if masks is None else np.asarray(masks)
    if images.shape[1:] != shape or masks.shape != (*images.shape[:3], 1) or not len(images):
        raise ValueError(f"images {list(images.shape)} and masks {list(masks.shape)}: the generator makes {list(shape)}, so "
                         f"[n, {', '.join(map(str, shape))}] and [n, {shape[0]}, {shape[1]}, 1] are wanted, n at least 1")
    labels = gan.labels(len(images), label)
    work = tf.function(search, reduce_retracing=True)
    parts = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        given = {"input": tf.constant(images[rows]), "mask": tf.constant(masks[rows], tf.float32)}
        parts.append(work({**given, **({} if labels is None else {"label": labels[rows]})}))
    return tuple(np.concatenate([np.asarray(part[name]) for part in parts]) for name in ("images", "samples", "noise"))


def function_of(gan, degrade="", steps=STEPS, restarts=RESTARTS, seed=0, rate=RATE, prior=PRIOR, window=WINDOW, blend="poisson"):
    """The search as a function of tensors that can be traced: arguments and errors as for `fill`.

    Returns:
        function of a dict of `input` float32 [n, H, W, C], `mask` float32 [n, H, W, 1] and, of a conditional GAN, `label` int32 [n]
        to a dict of `images`, `samples` and `noise`.
    """
    import tensorflow as tf

    if gan.kind != "image" or set(gan.fields) - {gan.key, "label"} or not gan.config.noise_dim:
        raise ConfigError("fill: searches the noise of a GAN that makes images of noise, or of noise and a label; this one does not")
    if blend not in ("poisson", "none") or window % 2 != 1 or min(steps, restarts) < 1:
        raise ConfigError(f"blend={blend}, window={window}, steps={steps}, restarts={restarts}: poisson or none, an odd number, and "
                          "at least 1 of both")
    operator = operator_of(degrade)
    starts, judge = np.asarray(gan.latents(restarts, seed)), _judge(gan) if prior else None

    def search(given):
        image, missing = given["input"], tf.cast(given["mask"] > 0.5, tf.float32)
        image = tf.where(missing > 0, tf.zeros_like(image), image)
        weights = 1 - missing if degrade else weights_of(missing, window)
        wanted, weights = (tf.repeat(each, restarts, axis=0) for each in (image, weights))
        label = {"label": tf.repeat(given["label"], restarts)} if "label" in given else None

        def losses(noise):
            samples = gan.make(noise, label)
            apart = tf.reduce_sum(weights * tf.abs(operator(samples) - wanted), [1, 2, 3])
            return apart + prior * judge(samples, label) if judge else apart

        noise = _adam(losses, tf.tile(tf.constant(starts), [tf.shape(image)[0], 1]), steps, rate,
                      functools.partial(_usual, gan.config.noise))
        best = tf.argmin(tf.reshape(losses(noise), [-1, restarts]), 1)
        noise = tf.gather(tf.reshape(noise, [-1, restarts, starts.shape[1]]), best, batch_dims=1)
        samples = gan.make(noise, {"label": given["label"]} if "label" in given else None)
        if degrade:
            return {"images": samples, "samples": samples, "noise": noise}
        filled = poisson(samples, image, missing) if blend == "poisson" else samples
        return {"images": tf.where(missing > 0, filled, given["input"]), "samples": samples, "noise": noise}

    return search


def export(gan, steps=EXPORTED_STEPS, restarts=RESTARTS):
    """Has exports of this GAN hold the search as the function `fill`: `input` and `mask`, and a label if there are classes, to
    `images`. Arguments and errors as for `function_of`."""
    import tensorflow as tf

    shape = gan.fields[gan.key].shape
    inputs = {"input": Field("image", shape), "mask": Field("mask", (*shape[:2], 1)),
              **({"label": gan.fields["label"]} if gan.classes else {})}
    search = tf.function(function_of(gan, steps=steps, restarts=restarts))
    gan.extras = {"fill": (search, inputs, {"images": Field("image", shape)})}


# === Its parts ===

def weights_of(missing, window=WINDOW):
    """W of equation 4: of a known pixel the share of missing ones in the window around it; of a missing one 0.

    What lies beyond the image's border does not count. (The authors' code counts the known ones: what is far from the hole, and
    says least about it, has most weight there.)

    Args:
        missing: float32 [n, H, W, 1] of 0 and 1.

    Returns:
        float32 [n, H, W, 1], from 0 to 1.
    """
    import tensorflow as tf
    return (1 - missing) * tf.nn.avg_pool2d(missing, window, 1, "SAME")


def _judge(gan):
    """log(1 - D(x)) of samples (equation 6), or minus the logit where D gives no probabilities; None: D compares examples."""
    import tensorflow as tf

    from kgan import contracts, losses

    if gan.config.packing > 1 or contracts.mixes(gan.discriminator, "Minibatch"):
        return None
    probability = losses.get(gan.config.loss, 0.0).probability

    def judge(samples, label):
        logits = gan.judge(samples, label, training=False)["logits"]
        logits = tf.reduce_mean(tf.reshape(logits, [tf.shape(samples)[0], -1]), 1)
        return -tf.nn.softplus(logits) if probability else -logits
    return judge


def _adam(losses, start, steps, rate, bounded):
    """Noise [m, d] after so many steps down each row's own loss: Kingma & Ba 2014, algorithm 1, with β .9 and .999."""
    import tensorflow as tf

    def step(i, noise, mean, square):
        with tf.GradientTape() as tape:
            tape.watch(noise)
            loss = tf.reduce_sum(losses(noise))
        gradient, count = tape.gradient(loss, noise), tf.cast(i + 1, tf.float32)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        move = mean / (1 - 0.9**count) / (tf.sqrt(square / (1 - 0.999**count)) + 1e-8)
        now = rate * 0.5 * (1 + tf.cos(math.pi * tf.cast(i, tf.float32) / steps))
        return i + 1, bounded(noise - now * move), mean, square

    return tf.while_loop(lambda i, *_: i < steps, step, (tf.constant(0), start, tf.zeros_like(start), tf.zeros_like(start)))[1]


def _usual(kind, noise):
    """Noise as G knows it: uniform within [-1, 1], as in the paper, normal no longer than √d + 2, which is as long as it gets."""
    import tensorflow as tf
    return tf.clip_by_value(noise, -1, 1) if kind == "uniform" else tf.clip_by_norm(noise, math.sqrt(noise.shape[-1]) + 2, [1])


def poisson(made, image, missing):
    """What is made, moved in the hole so that its gradients stay and its border is the image's: Pérez et al. 2003, equation 9 of Yeh.

    The difference from `made` solves Laplace's equation in the hole, by conjugate gradients; the image's own edges leave it free.

    Args:
        made, image: float32 [n, H, W, C] in [-1, 1].
        missing: float32 [n, H, W, 1] of 0 and 1.

    Returns:
        float32 [n, H, W, C], cut to [-1, 1], of use in the hole.
    """
    import tensorflow as tf

    def laplace(x):  # of each pixel, the sum of its differences from its neighbours
        down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
        return sum(tf.pad(difference, before) - tf.pad(difference, after) for difference, before, after in (
            (down, [[0, 0], [1, 0], [0, 0], [0, 0]], [[0, 0], [0, 1], [0, 0], [0, 0]]),
            (right, [[0, 0], [0, 0], [1, 0], [0, 0]], [[0, 0], [0, 0], [0, 1], [0, 0]])))

    def dot(one, other):
        return tf.reduce_sum(one * other, [1, 2], keepdims=True)

    residual = -missing * laplace((1 - missing) * (image - made))

    def step(i, found, residual, way):
        along = missing * laplace(way)
        length = tf.math.divide_no_nan(dot(residual, residual), dot(way, along))
        new = residual - length * along
        turned = tf.math.divide_no_nan(dot(new, new), dot(residual, residual))
        return i + 1, found + length * way, new, new + turned * way

    most = 2 * (made.shape[1] + made.shape[2])
    found = tf.while_loop(lambda i, found, residual, way: (i < most) & (tf.reduce_max(tf.abs(residual)) > 1e-5), step,
                          (tf.constant(0), tf.zeros_like(made), residual, residual))[1]
    return tf.clip_by_value(made + found, -1, 1)


def operator_of(text):
    """A degradation as a function of images [n, H, W, C] in [-1, 1] that gradients go through; "" leaves them as they are.

    Noise and JPEG leave them so too: what these add cannot be known. A hole is no degradation here, but a mask.

    Raises:
        ConfigError: there is no operator for one of them.
    """
    steps = degradations.parse(text)
    for step in steps:
        if step.name not in OPERATORS:
            raise ConfigError(f"degrade={text}: {step.name} cannot be undone by a search; {', '.join(OPERATORS)} can")

    def operate(images):
        for step in steps:
            images = _OPERATIONS.get(step.name, lambda images, _: images)(images, step.value)
        return images
    return operate


def _grey(images, _):
    import tensorflow as tf
    shares = tf.constant([19595, 38470, 7471], tf.float32) / 65536  # as Pillow's "L"
    return images if images.shape[-1] == 1 else tf.reduce_sum(images * shares, -1, keepdims=True) + tf.zeros_like(images)


def _blur(images, sigma):
    import tensorflow as tf
    reach = max(1, math.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (1, 2):  # the edge goes on beyond the border
        size = images.shape[axis]
        images = sum(weight * tf.gather(images, np.clip(np.arange(size) + offset, 0, size - 1), axis=axis)
                     for offset, weight in zip(range(-reach, reach + 1), weights))
    return images


def _downscale(images, factor):
    import tensorflow as tf
    for axis, side in enumerate(images.shape[1:3]):
        small = max(1, round(side / factor))
        there_and_back = bicubic.matrix(small, side) @ bicubic.matrix(side, small)
        images = tf.einsum("hi,niwc->nhwc" if axis == 0 else "wi,nhic->nhwc", there_and_back, images)
    return images


_OPERATIONS = {"grey": _grey, "blur": _blur, "downscale": _downscale}


# === The command ===

def picture(gan, values, examples):
    """What `python -m kgan.latent RUN fill` shows: what was given, the sample that was found, the result; and lines to be printed.

    Args:
        values: dict of the command's flags.
        examples: (images [1, H, W, C], masks [1, H, W, 1] or None).
    """
    from kgan import kinds, pictures
    from kgan.run import write

    images, masks = examples
    filled, samples, _ = fill(gan, images, masks, **{name: values[name] for name in ("label", "degrade", "steps", "restarts", "seed")})
    if values["out"]:
        Path(values["out"]).parent.mkdir(parents=True, exist_ok=True)
        write(Path(values["out"]), kinds.get("image").write(filled[0]))
    shown = images if masks is None else np.where(masks > 0.5, 0, images)
    return pictures.sheet(gan.kind, np.concatenate([shown, samples, filled]), columns=3), [values["out"]] if values["out"] else []


def read_mask(path, image, settings):
    """The mask of an image file, brought to the run's size as the image is: float32 [1, H, W, 1].

    Args:
        path: file of the image's size, white where something is missing; or of the run's.
        image: file.
        settings: of the run.

    Raises:
        DataError: it cannot be read, is no mask or has another size.
    """
    from kgan.data import folder

    size = settings["shape"][:2]
    try:
        with folder.opened(image) as opened:
            own = opened.height, opened.width
        data = Path(path).read_bytes()
        found = kind.read(data, Field("mask", (None, None, 1)))
        if found.shape[:2] not in (own, tuple(size)):
            found = kind.read(data, Field("mask", (*own, 1)))  # which says what is wrong
        if found.shape[:2] == own:
            levels = folder.pixels(Image.fromarray(255 * found[..., 0]), size, 1, settings["crop"])
            found = levels >= 64  # a pixel of which a quarter is missing is missing
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: {error}") from None
    return np.float32(found)[None]
