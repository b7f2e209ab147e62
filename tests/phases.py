"""Run by test_phases.py: trains through three phases on one device and on two; how far they are apart, as JSON."""
import json

import keras
import numpy as np
import tensorflow as tf

from tests.test_phases import EXAMPLES, build

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
trained = []
for strategy in (tf.distribute.get_strategy(), two):
    with strategy.scope():
        gan = build(eager=False, optimizer="sgd")  # Adam would hide gradients that are off by a factor
    start = gan.get_weights()
    gan.fit(tf.data.Dataset.from_tensor_slices({"sample": EXAMPLES[:8].reshape(-1, 2)}).batch(6, drop_remainder=True), verbose=0)
    trained.append(gan)
one, other = (gan.get_weights() for gan in trained)


def apart(ones, others):
    return float(max(np.abs(np.asarray(left) - np.asarray(right)).max() for left, right in zip(ones, others, strict=True)))


print(json.dumps({"replicas": two.num_replicas_in_sync, "moved": apart(start, one), "apart": apart(one, other),
                  "steps": [int(gan.step) for gan in trained]}))
