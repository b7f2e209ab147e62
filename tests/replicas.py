"""Run by test_replicas.py in a process of its own, for devices cannot be divided once TensorFlow has started.

Trains on one device and on two, alike in all else, and prints how far they are apart as JSON. Arguments: names of RUNS.
"""
import json
import sys

import keras
import numpy as np
import tensorflow as tf

import kgan

DEVICES = ["CPU:0", "CPU:1"]


RUNS = {
    "wgan_gp": dict(loss="wasserstein", penalty="gp", penalty_weight=1.0, discriminator_steps=2),
    "r3gan, lazily, in parts": dict(loss="relativistic", penalty="r1+r2", penalty_weight="linear:.2:.1", penalty_every=2,
                                    accumulation=2),
    "spectral, lazily": dict(loss="hinge", penalty="r1", penalty_weight=0.2, penalty_every=2,
                             discriminator_normalization="spectral"),
    "noise and packs": dict(loss="hinge", penalty="zero_centered", penalty_weight=1.0, instance_noise=0.1, packing=2),
    "what compares examples, cut": dict(loss="relativistic_average", penalty="dragan", penalty_weight=1.0, accumulation=2,
                                        global_clipnorm=0.5),
    "kernels": dict(loss="mmd_rbf", discriminator_outputs=3, penalty="r2", penalty_weight=0.2),
    "labels, lazily, in parts": dict(model="cgan", shape=(4, 4, 1), preset="dense", loss="relativistic", penalty="r1+r2",
                                     penalty_weight="linear:.2:.1", penalty_every=2, discriminator_steps=2, accumulation=2),
    "batch statistics": dict(model="dcgan", shape=(8, 8, 1), filters=4),
    "captions": dict(model="gancls", shape=(8, 8, 3), filters=2, word_dim=4, text_dim=4),
    # two steps: differences of rounding grow tenfold with each further one
    "what D draws": dict(model="fastgan", shape=(28, 28, 3), filters=1, discriminator_filters=1, noise_dim=4, batches=1,
                         augment="color+translation", generator_learning_rate=0.01, discriminator_learning_rate=0.01),
    "Adam": dict(optimizer="adam", beta_2="linear:.9:.99"),
    "float16": dict(precision="mixed_float16", global_clipnorm=0.5),
}


def train(strategy, settings):
    settings = dict(settings)
    model, shape, batches = settings.pop("model", "mlp"), settings.pop("shape", (2,)), settings.pop("batches", 6)
    keras.config.set_dtype_policy(settings.pop("precision", "float32"))
    if model == "mlp":
        settings.update(generator_units="16", discriminator_units="16")
    with strategy.scope():
        keras.utils.set_random_seed(7)
        # SGD: Adam would hide gradients that are off by a factor
        gan = kgan.models.build(model, shape, dict(
            jit_compile=False, steps=12, **{
                "noise_dim": 2, "generator_learning_rate": 0.1, "discriminator_learning_rate": 0.1, "loss": "non_saturating", "penalty": "none", "optimizer": "sgd", **settings}), seed=3, classes="abc")
        gan.compile()
    start = [weight.copy() for weight in gan.get_weights()]
    random = np.random.default_rng(0)
    real = random.normal(1, 1, (batches * 24, *shape)).astype(np.float32)
    given = {name: random.integers(0, 9, (len(real), *gan.fields["caption"].shape))
             for name in ("caption", "mismatch") if "caption" in gan.fields}
    data = tf.data.Dataset.from_tensor_slices({gan.key: real, "label": random.integers(0, 3, len(real)), **given})
    data = data.batch(24, drop_remainder=True)
    history = gan.fit(data, epochs=2, verbose=0).history
    # test_step is the same for all, but for labels
    evaluated = gan.evaluate(data, verbose=0, return_dict=True) if model != "mlp" else {}
    return start, gan.get_weights(), history, evaluated, gan


def shape_of(gan):
    return gan.generator.output_shape[1:]


def apart(ones, others):
    return float(max((np.abs(np.asarray(one) - np.asarray(other)).max() for one, other in zip(ones, others, strict=True)),
                     default=0.0))


cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(DEVICES)
found = {"replicas": two.num_replicas_in_sync, "runs": {}, "known": list(RUNS),
         "penalties": sorted({settings.get("penalty", "none") for settings in RUNS.values()})}
for name in sys.argv[1:]:
    settings = RUNS[name]
    start, left, left_logs, left_evaluated, single = train(one, settings)
    _, right, right_logs, right_evaluated, mirrored = train(two, settings)
    found["runs"][name] = {
        "moved": apart(start, left), "weights": apart(left, right),
        "logs": apart([left_logs[name] for name in left_logs], [right_logs[name] for name in left_logs]),
        "evaluated": apart([left_evaluated[name] for name in left_evaluated],
                           [right_evaluated[name] for name in left_evaluated])}

    if mirrored.classes:  # labels that are no class are refused in the pipeline, on their way to the devices
        wrong = tf.data.Dataset.from_tensor_slices({mirrored.key: np.zeros((24, *shape_of(mirrored)), np.float32), "label": np.full(24, 3)})
        try:
            mirrored.fit(wrong.batch(24, drop_remainder=True), verbose=0)
        except ValueError as error:
            found["refused"] = str(error)

halves = two.experimental_local_results(two.run(tf.function(lambda: mirrored.noise(5, draw=1))))
found["noise"] = apart([np.concatenate(halves)], [single.noise(10, draw=1)])
found["halves_differ"] = bool((np.asarray(halves[0]) != np.asarray(halves[1])).all())
real = np.zeros((3 * 24, *shape_of(mirrored)), np.float32)
real[24 + 20] = np.nan
mirrored.fit(tf.data.Dataset.from_tensor_slices({mirrored.key: real}).batch(24, drop_remainder=True), verbose=0)
step, name = mirrored.first_not_finite
found["not finite"] = step - int(single.step), name
print(json.dumps(found))
