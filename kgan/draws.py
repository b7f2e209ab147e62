"""Random numbers of training: functions of (seed, stream, step, draw) and of the example's place in the global batch.

Nothing about them needs saving, and they do not depend on how many devices share a batch: a step's numbers are drawn for all
replicas alike, and each takes its own rows.
"""
import functools
import zlib

import tensorflow as tf

# streams of numbers from the same seed that never are the same numbers: noise for training, for validation, for
# `generate`; what the losses of D and of G draw: augmentation, places of a penalty; and noise for an encoder
TRAINING, VALIDATION, GENERATE, DISCRIMINATOR, GENERATOR, ENCODER = range(6)


def draw_noise(kind, shape, seed):
    """float32 of `shape`, N(0, 1) ("normal") or U(-1, 1) ("uniform"), a function of the arguments alone."""
    # philox, for else XLA takes a slower one; even so, XLA-compiled functions draw other numbers than plain ones
    if kind == "uniform":
        return tf.random.stateless_uniform(shape, seed, -1, 1, alg="philox")
    return tf.random.stateless_normal(shape, seed, alg="philox")


def noise_of_each(kind, dim, seeds, stream):
    """float32 [n, dim]: for each of `seeds`, int32 [n] from 0 on, the row that draw_noise gives of shape (1, dim) and (seed, stream).

    For graphs. In the loop is no more than what is another in each row: else it takes twice as long.
    """
    draw = tf.raw_ops.StatelessRandomUniformV2 if kind == "uniform" else tf.raw_ops.StatelessRandomNormalV2

    def row(pair):
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=pair)
        return draw(shape=[dim], key=key, counter=counter, alg=1)  # philox

    found = tf.map_fn(row, tf.stack([seeds, tf.fill(tf.shape(seeds), stream)], 1), fn_output_signature=tf.TensorSpec([dim]))
    return 2 * found - 1 if kind == "uniform" else found


def step_seed(seed, stream, step, draw):
    """The seed of a step's numbers: int32 [2]."""
    found = tf.constant([seed & 0x7FFFFFFF, stream], tf.int32)
    for data in (tf.cast(step, tf.int32), draw):
        found = tf.random.experimental.stateless_fold_in(found, data)
    return found


def rows(draw, count, tail, seed):
    """This replica's `count` rows of what `draw(shape, seed)` gives for the global batch, [count, *tail]."""
    context = tf.distribute.get_replica_context()
    shares = context.num_replicas_in_sync if context else 1
    found = draw((count * shares, *tail), seed)
    if shares == 1:
        return found
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * count
    return found[first:first + count]


class Random:
    """Numbers for this replica's `count` examples and for one `purpose`, a word; each call draws others."""

    def __init__(self, count, seed, purpose):
        self._count, self._calls = count, 0
        self._seed = tf.random.experimental.stateless_fold_in(seed, zlib.crc32(purpose.encode()) & 0x7FFFFFFF)

    def _draw(self, draw, tail):
        self._calls += 1
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._calls)
        return rows(functools.partial(draw, alg="philox"), self._count, tail, seed)

    def uniform(self, *tail):
        """U[0, 1), float32 [count, *tail]."""
        return self._draw(tf.random.stateless_uniform, tail)

    def normal(self, *tail):
        """N(0, 1), float32 [count, *tail]."""
        return self._draw(tf.random.stateless_normal, tail)
