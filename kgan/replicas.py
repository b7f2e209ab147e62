"""What the devices that share a batch have to know of each other."""
import functools

import tensorflow as tf


def replicas():
    """How many devices share each batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def len_of(batch):
    """The first dimension, as a number where it is known."""
    return batch.shape[0] if batch.shape[0] is not None else tf.shape(batch)[0]


def deviation(examples):
    """The standard deviation of all numbers in the global batch, of which `examples` are this replica's share."""
    if replicas() == 1:
        return tf.math.reduce_std(examples)
    mean = functools.partial(tf.distribute.get_replica_context().all_reduce, tf.distribute.ReduceOp.MEAN)
    return tf.sqrt(mean(tf.reduce_mean((examples - mean(tf.reduce_mean(examples))) ** 2)))


def joined(values):
    """Tensors or None, each with the rows of all replicas."""
    if replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)
