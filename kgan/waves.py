"""Layers of networks that make sounds [n, T, C]: strided convolutions along time, pre- and de-emphasis.

All of them go through SavedModel, TFLite and ONNX, and take sounds of any length.
"""
import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("kgan")
class Strided1D(keras.layers.Layer):
    """[n, T, C] -> [n, T / strides, filters]: what keras.layers.Conv1D(filters, taps, strides, "same") computes, on
    frames.

    `strides` samples become one row of C · strides channels, so that it is a convolution of stride 1 with a short
    kernel: on a CPU 1.4 times as fast where there are few channels. T has to be a multiple of the strides.
    """

    def __init__(self, filters, taps=31, strides=4, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.taps, self.strides = filters, taps, strides
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.taps, input_shape[-1], self.filters), initializer=self.kernel_initializer,
                                      name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs):
        taps, strides, channels = self.taps, self.strides, inputs.shape[-1]
        whole, before = -(-taps // strides) * strides, max(0, taps - strides) // 2
        x = tf.pad(inputs, [(0, 0), (before, whole - strides - before), (0, 0)])
        x = tf.reshape(x, [-1, _length(x) // strides, strides * channels])
        kernel = tf.pad(tf.cast(self.kernel, x.dtype), [(0, whole - taps), (0, 0), (0, 0)])
        x = tf.nn.conv1d(x, tf.reshape(kernel, [whole // strides, strides * channels, self.filters]), 1, "VALID")
        return tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[1] and input_shape[1] // self.strides, self.filters

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "taps": self.taps, "strides": self.strides,
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer)}


@keras.saving.register_keras_serializable("kgan")
class Strided1DTranspose(Strided1D):
    """[n, T, C] -> [n, T · strides, filters]: what keras.layers.Conv1DTranspose(filters, taps, strides, "same")
    computes, likewise.
    """

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(self.taps, self.filters, input_shape[-1]), initializer=self.kernel_initializer,
                                      name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs):
        taps, strides, channels = self.taps, self.strides, inputs.shape[-1]
        before = max(0, taps - strides) // 2
        front = -before % strides
        rows = -(-(taps + front) // strides)
        # y[s·u + p] is the sum over m of x[u - m] · kernel[s·m + p + before]
        kernel = tf.pad(tf.cast(self.kernel, inputs.dtype), [(front, rows * strides - taps - front), (0, 0), (0, 0)])
        kernel = tf.reshape(kernel, [rows, strides * self.filters, channels])
        kernel = tf.transpose(tf.reverse(kernel, [0]), [0, 2, 1])
        after = (before + front) // strides
        x = tf.nn.conv1d(tf.pad(inputs, [(0, 0), (rows - 1 - after, after), (0, 0)]), kernel, 1, "VALID")
        x = tf.reshape(x, [-1, strides * _length(x), self.filters])
        return tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[1] and input_shape[1] * self.strides, self.filters


def _length(x):
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]


@keras.saving.register_keras_serializable("kgan")
class PreEmphasis(keras.layers.Layer):
    """[n, T, C] -> [n, T, C]: y[t] = x[t] - factor · x[t - 1]; before the first sample there is silence."""

    def __init__(self, factor=0.95, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs - self.factor * tf.pad(inputs, [(0, 0), (1, 0), (0, 0)])[:, :-1]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("kgan")
class DeEmphasis(PreEmphasis):
    """The reverse, y[t] = x[t] + factor · y[t - 1], as a convolution: the recursion is cut off where it has fallen to
    1e-6. C is 1.

    In training it goes by frames of FRAME samples, as Strided1D does: of one channel a convolution's gradient took a fifth of segan's step.
    """

    FRAME = 32

    def call(self, inputs, training=False):
        count = max(1, int(np.ceil(np.log(1e-6) / np.log(self.factor)))) if self.factor else 1
        if training and inputs.shape[1] and inputs.shape[1] % self.FRAME == 0:
            return self._framed(inputs, count)
        kernel = tf.constant(self.factor ** np.arange(count - 1, -1, -1)[:, None, None], inputs.dtype)
        return tf.nn.conv1d(tf.pad(inputs, [(0, 0), (count - 1, 0), (0, 0)]), kernel, 1, "VALID")

    def _framed(self, inputs, count):
        frame = self.FRAME
        before = -(-(count - 1) // frame)  # frames that reach into one
        # how many samples sample i of frame k, the last of these being the one at hand, lies before sample j of that
        back = np.arange(frame) - np.arange(-before * frame, frame).reshape(before + 1, frame, 1)
        kernel = tf.constant(np.where((back >= 0) & (back < count), self.factor ** np.maximum(back, 0.0), 0), inputs.dtype)
        frames = tf.reshape(inputs, [-1, inputs.shape[1] // frame, frame])
        frames = tf.nn.conv1d(tf.pad(frames, [(0, 0), (before, 0), (0, 0)]), kernel, 1, "VALID")
        return tf.reshape(frames, [-1, *inputs.shape[1:]])


@keras.saving.register_keras_serializable("kgan")
class Limit(keras.layers.Layer):
    """Cuts what is louder than full scale: to [-1, 1]."""

    def call(self, inputs):
        return tf.clip_by_value(inputs, -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("kgan")
class Loudness(keras.layers.Layer):
    """[n, T, 1] -> [n, T / hop, size / 2, 1]: spectrograms by Hann windows of `size` samples, of which neighbours share half
    (hop = size / 2), the last of them filled with silence; frequencies from rate / size to half the rate.

    A sine of amplitude a and a frequency among these is 4·(a² + 1e-6)^(1/6) - 1: the cube root is about how loud one hears it, and
    what is softer than 60 dB below full scale is no different from silence. T has to be a multiple of the hop.
    """

    def __init__(self, size=256, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        size, hop = self.size, self.size // 2
        window = np.hanning(size + 1)[:-1]
        turns = 2 * np.pi * np.outer(np.arange(size), np.arange(1, hop + 1)) / size
        waves = np.concatenate([np.cos(turns), np.sin(turns)], 1) * (2 * window / window.sum())[:, None]
        x = tf.reshape(inputs, [-1, inputs.shape[1] // hop, hop])
        x = tf.nn.conv1d(tf.pad(x, [(0, 0), (0, 1), (0, 0)]), tf.constant(waves.reshape(2, hop, 2 * hop), x.dtype), 1, "VALID")
        power = tf.cast(x[..., :hop] ** 2 + x[..., hop:] ** 2, tf.float32)
        return tf.cast(4 * (power + 1e-6) ** (1 / 6) - 1, inputs.dtype)[..., None]

    def compute_output_shape(self, input_shape):
        return input_shape[0], input_shape[1] and input_shape[1] // (self.size // 2), self.size // 2, 1

    def get_config(self):
        return {**super().get_config(), "size": self.size}
