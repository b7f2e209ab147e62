"""Run by test_cyclegan.py: trains a model of images from images on one device and on two; how far they are apart, as JSON."""
import json
import sys

import keras
import numpy as np
import tensorflow as tf

from kgan import models

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
model = sys.argv[1]
size = {"cyclegan": 12}.get(model, 16)
random = np.random.default_rng(0)
real = {name: random.uniform(-1, 1, (24, size, size, 1)).astype(np.float32) for name in models.outline(model).Config.needs}
small = dict(filters=2, halvings=1, blocks=1, discriminator_filters=2, discriminator_layers=1, discriminators=1)
settings = {"cyclegan": dict(filters=2, blocks=1, patch="16", pool=6), "discogan": dict(filters=2), "motion": small,
            # two steps of its first phase, four of both together
            "pix2pixhd": dict(small, enhancer_blocks=1, coarse_share=1 / 6, enhancer_share=0)}[model]

# instance normalisation in so small a cyclegan makes 2e-1 of a difference of 1e-6 in twelve larger steps, on one device as well
slow = dict(generator_learning_rate=2e-4, discriminator_learning_rate=2e-2)
rates, steps = {"cyclegan": (slow, 3), "discogan": (dict(generator_learning_rate=0.01, discriminator_learning_rate=0.1), 12),
                "motion": (slow, 3), "pix2pixhd": (slow, 6)}[model]


def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(7)
        # SGD: Adam would hide gradients that are off by a factor
        gan = models.build(model, (size, size, 1), dict(
            settings, steps=12, jit_compile=False, optimizer="sgd", **rates), seed=3)
        gan.compile()
    start = gan.get_weights()
    data = tf.data.Dataset.from_tensor_slices(real).batch(4, drop_remainder=True).repeat().take(steps)
    logs = gan.fit(data, verbose=0).history
    return start, gan.get_weights(), logs, gan


def apart(ones, others):
    return float(max(np.abs(np.asarray(one) - np.asarray(other)).max() for one, other in zip(ones, others, strict=True)))


two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
start, left, left_logs, one = train(tf.distribute.get_strategy())
_, right, right_logs, both = train(two)
found = {"replicas": two.num_replicas_in_sync, "moved": apart(start, left), "weights": apart(left, right),
         "logs": apart(left_logs.values(), [right_logs[name] for name in left_logs])}
if getattr(one.config, "pool", 0):
    found.update(filled=int(both.pool.count.numpy()), pools=apart([one.pool.samples, one.inverse_pool.samples],
                                                                  [both.pool.samples, both.inverse_pool.samples]))
    last = np.asarray(one.generator(real["input"][-4:]))
    found["exchanged"] = not any(np.allclose(sample, other, atol=1e-3) for sample in last for other in one.pool.samples.numpy()[:1])
print(json.dumps(found))
