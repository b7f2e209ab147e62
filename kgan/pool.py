"""A pool of samples made before, of which D sees some in place of new ones: Shrivastava et al. 2017, section 2.3."""
import keras
import tensorflow as tf

from kgan.replicas import joined, replicas


class Pool(keras.layers.Layer):
    """`size` samples as weights, so that a checkpoint holds them and a resumed run goes on bit for bit.

    All replicas see the samples of all, and fill it alike.

    Args:
        size: samples that it holds.
        shape: of one.
    """

    def __init__(self, size, shape, **kwargs):
        super().__init__(**kwargs)
        self.size = int(size)
        self.samples = self.add_weight(shape=(size, *shape), initializer="zeros", trainable=False, name="samples", dtype="float32",
                                       aggregation="only_first_replica")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count", dtype="int32",
                                     aggregation="only_first_replica")
        self.built = True

    def exchanged(self, samples, random):
        """What D is to see in place of this replica's new samples [n, …].

        One after the other: while the pool is not full a sample is put into it, and shown. Then with probability ½ it is shown and
        forgotten, else it takes the place of one in the pool, drawn at random, and that is shown.

        Args:
            samples: float32 tensor.
            random: kgan.draws.Random for as many.

        Raises:
            ValueError: it is not known how many samples there are.
        """
        if samples.shape[0] is None:
            raise ValueError("an unknown number of examples cannot go through a pool (tf.data: batch(n, drop_remainder=True)); "
                             "--set pool=0 does without")
        mine, rows = samples.shape[0], samples.shape[0] * replicas()
        draws = random.uniform(2)
        if replicas() > 1:
            samples, draws = joined((samples, draws))
        # places: which of all samples, those in the pool first, then the new ones, lies in each
        places, full, shown = tf.range(self.size), tf.convert_to_tensor(self.count), []
        for i in range(rows):
            filling, new = full < self.size, self.size + i
            drawn = tf.minimum(tf.cast(draws[i, 1] * self.size, tf.int32), self.size - 1)
            place = tf.where(filling, full, drawn)
            swaps = filling | (draws[i, 0] > 0.5)
            shown.append(tf.where(swaps & ~filling, places[place], new))
            places = tf.where(swaps & (tf.range(self.size) == place), new, places)
            full = tf.where(filling, full + 1, full)
        every = tf.concat([tf.convert_to_tensor(self.samples), tf.cast(samples, tf.float32)], 0)
        shown = tf.gather(every, tf.stack(shown))
        self.samples.assign(tf.gather(every, places))
        self.count.assign(full)
        if replicas() > 1:
            first = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32) * mine
            shown = shown[first:first + mine]
        return shown
