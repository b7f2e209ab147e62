"""Parts of residual generators of images: Johnson et al. 2016, with instance normalisation and borders by reflection."""
import keras
import tensorflow as tf
from keras import layers

from kgan.layers import InstanceNormalization


@keras.saving.register_keras_serializable("kgan")
class ReflectPad(keras.layers.Layer):
    """[n, H, W, C] -> [n, H + 2·width, W + 2·width, C], continued by reflection without the edge itself.

    The maps must have more than `width` rows and columns: round up before, see kgan.anysize.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = int(width)

    def call(self, inputs):
        border = [self.width, self.width]
        return tf.pad(inputs, [[0, 0], border, border, [0, 0]], "REFLECT")

    def compute_output_shape(self, input_shape):
        rows, columns = (size and size + 2 * self.width for size in input_shape[1:3])
        return input_shape[0], rows, columns, input_shape[3]

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def convolved(x, width, kernel=3, strides=1, activation="relu"):
    """A convolution with a border of reflection, an instance normalisation and an activation."""
    if strides == 1:
        x = ReflectPad(kernel // 2)(x)
    x = layers.Conv2D(width, kernel, strides=strides, padding="valid" if strides == 1 else "same", use_bias=False,
                      kernel_initializer=weights())(x)
    x = InstanceNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def block(x):
    """x plus what two convolutions make of it; no activation after the sum."""
    width = x.shape[-1]
    return layers.Add()([x, convolved(convolved(x, width), width, activation=None)])


def doubled(x, width, upsampling="transpose"):
    """Maps of twice the size. `upsampling`: resize: nearest, then a convolution, which makes no checkerboards."""
    if upsampling == "resize":
        return convolved(layers.UpSampling2D(2)(x), width)
    x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", use_bias=False, kernel_initializer=weights())(x)
    return layers.Activation("relu")(InstanceNormalization()(x))


def pictured(x, channels, kernel=7, name=None):
    """Images float32 in [-1, 1] of maps as large; `name`: of the convolution."""
    x = layers.Conv2D(channels, kernel, kernel_initializer=weights(), name=name)(ReflectPad(kernel // 2)(x))
    return layers.Activation("tanh", dtype="float32")(x)


def weights():
    return keras.initializers.RandomNormal(0.0, 0.02)
