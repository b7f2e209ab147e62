"""Networks that halve images or sounds several times, for any height and width or length: round up before, cut back after.

    x = RoundUp(32)(images)          to the next multiples of 32, by reflection
    x = …                            a network whose result is as large as what it gets
    x = Cut()([x, images])           as large as the images were

Where the size is known and a multiple, neither does anything: not in the graph of a training step, nor in an export of fixed
size. Both go through SavedModel, ONNX and TFLite, with sizes free or fixed: `tf.pad` would fail where the border is
wider than the image, and the remainder of a negative number is another one in ONNX.
"""
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("kgan")
class RoundUp(keras.layers.Layer):
    """[n, H, W, C] -> [n, H', W', C], the next multiples: continued below and to the right by reflection. Likewise [n, T, C].

    The edge itself is repeated (symmetric padding), as often to and fro as it takes: one pixel fills any border.

    Args:
        multiple: int, at least 1.
        least: the smallest size that comes out, a multiple.
    """

    def __init__(self, multiple, least=0, **kwargs):
        super().__init__(**kwargs)
        if multiple < 1:
            raise ValueError(f"multiple={multiple}: must be at least 1")
        self.multiple, self.least = int(multiple), int(least)

    def call(self, inputs):
        for axis in range(1, len(inputs.shape) - 1):
            size = inputs.shape[axis]
            if size is None or size % self.multiple or size < self.least:
                inputs = tf.gather(inputs, self._places(tf.shape(inputs)[axis] if size is None else size), axis=axis)
        return inputs

    def _places(self, size):
        whole = (size + self.multiple - 1) // self.multiple * self.multiple
        whole = tf.maximum(whole, self.least) if self.least else whole
        places = tf.range(whole) % (2 * size)
        return tf.where(places < size, places, 2 * size - 1 - places)

    def compute_output_shape(self, input_shape):
        first, *sizes, last = input_shape
        return first, *(size and max(-(-size // self.multiple) * self.multiple, self.least) for size in sizes), last

    def get_config(self):
        return {**super().get_config(), "multiple": self.multiple, "least": self.least}


@keras.saving.register_keras_serializable("kgan")
class Reflect(keras.layers.Layer):
    """[n, H, W, C] -> [n, H + 2k, W + 2k, C]: continued on all sides by reflection, without the edge itself.

    Args:
        border: k, less than H and W.
    """

    def __init__(self, border, **kwargs):
        super().__init__(**kwargs)
        self.border = int(border)

    def call(self, inputs):
        return tf.pad(inputs, [[0, 0], [self.border] * 2, [self.border] * 2, [0, 0]], "REFLECT")

    def compute_output_shape(self, input_shape):
        rows, columns = (size and size + 2 * self.border for size in input_shape[1:3])
        return input_shape[0], rows, columns, input_shape[3]

    def get_config(self):
        return {**super().get_config(), "border": self.border}


@keras.saving.register_keras_serializable("kgan")
class Cut(keras.layers.Layer):
    """layer([x, like]): the upper left part of x [n, H', W', C] that is as large as `like` [n, H, W, any]; of [n, T', C] likewise."""

    def call(self, inputs):
        x, like = inputs
        if None not in like.shape[1:-1] and x.shape[1:-1] == like.shape[1:-1]:
            return x
        size = tf.shape(like)
        return x[:, :size[1]] if len(x.shape) == 3 else x[:, :size[1], :size[2]]

    def compute_output_shape(self, input_shape):
        x, like = input_shape
        return x[0], *like[1:-1], x[-1]
