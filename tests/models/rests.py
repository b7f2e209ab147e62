"""Run by test_gan3d.py: trains a gan3d whose D rests now and then on one device and on two; how far they are apart, as JSON."""
import json

import keras
import numpy as np
import tensorflow as tf

from kgan.models import gan3d

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
real = (np.random.default_rng(0).random((24, 8, 8, 8, 1)) < 0.2).astype(np.float32)


def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(7)
        # SGD: Adam would hide gradients that are off by a factor; its moments are those of momentum here
        config = gan3d.Config(filters=2, noise_dim=4, rest=0.6, steps=12, optimizer="sgd", generator_learning_rate=0.1,
                              discriminator_learning_rate=0.1)
        gan = gan3d.build((8, 8, 8, 1), config, seed=3)
        gan.compile(discriminator_optimizer=keras.optimizers.SGD(0.1, momentum=0.5))
    start = gan.get_weights()
    data = tf.data.Dataset.from_tensor_slices({"voxels": real}).batch(12, drop_remainder=True)
    logs = gan.fit(data, epochs=6, verbose=0).history
    return start, gan.get_weights(), logs, int(gan.discriminator_optimizer.iterations.numpy())


def apart(ones, others):
    return float(max(np.abs(np.asarray(one) - np.asarray(other)).max() for one, other in zip(ones, others, strict=True)))


two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
start, left, left_logs, made = train(tf.distribute.get_strategy())
_, right, right_logs, made_too = train(two)
assert made == made_too, (made, made_too)
print(json.dumps({"replicas": two.num_replicas_in_sync, "moved": apart(start, left), "weights": apart(left, right),
                  "rests": 1 - made / 12, "logs": apart(left_logs.values(), [right_logs[name] for name in left_logs])}))
