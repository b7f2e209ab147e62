"""Contextual attention: what is missing is made of patches of what is known."""
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kgan")
class ContextualAttention(keras.layers.Layer):
    """layer([maps, mask]): each place of maps becomes a mixture of those that are known: Yu et al. 2018, arXiv:1801.07892, section 4.

    Maps [n, H, W, C] -> [n, H, W, C], H and W even; mask [n, times·H, times·W, 1], above .5 where something is missing.
    At half the size, patches of 3×3 are compared by their cosine, times `sharpness`, and the softmax over the patches with
    nothing missing in them weighs the blocks of 2×2 that they stand for. Differs from the authors' code: those blocks do
    not overlap (theirs are of 4×4, averaged), and scores are not smoothed along diagonals. Memory: (H·W/4)² numbers an example.

    Args:
        times: how often the mask is as large as the maps.
        sharpness: of the softmax.
    """

    def __init__(self, times=4, sharpness=10.0, **kwargs):
        super().__init__(**kwargs)
        self.times, self.sharpness = int(times), float(sharpness)

    def call(self, inputs):
        maps, mask = inputs
        size = tf.shape(maps)
        rows, columns = size[1] // 2, size[2] // 2
        blocks = tf.reshape(tf.nn.space_to_depth(maps, 2), [-1, rows * columns, 4 * maps.shape[-1]])
        patches = tf.reshape(_patches(maps[:, ::2, ::2]), [-1, rows * columns, 9 * maps.shape[-1]])
        patches /= tf.sqrt(tf.reduce_sum(patches**2, -1, keepdims=True) + 1e-8)
        missing = tf.nn.max_pool2d(tf.cast(mask > 0.5, maps.dtype), 2 * self.times, 2 * self.times, "VALID")
        missing = tf.reshape(_patches(missing), [-1, 1, rows * columns, 9])
        known = tf.cast(tf.reduce_max(missing, -1) == 0, maps.dtype)
        scores = self.sharpness * tf.matmul(patches, patches, transpose_b=True)
        weights = tf.nn.softmax(scores - 1e4 * (1 - known), -1)
        mixed = tf.reshape(tf.matmul(weights, blocks), [-1, rows, columns, 4 * maps.shape[-1]])
        return tf.ensure_shape(tf.nn.depth_to_space(mixed, 2), maps.shape)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "times": self.times, "sharpness": self.sharpness}


def _patches(x):
    """[n, H, W, C] -> [n, H, W, 9C]: the 3×3 places around each, 0 beyond the border."""
    size, around = tf.shape(x), tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.concat([around[:, i:i + size[1], j:j + size[2]] for i in range(3) for j in range(3)], -1)
