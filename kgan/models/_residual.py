"""Parts of residual generators of images: Johnson et al. 2016, with instance normalisation and borders by reflection."""
import keras
from keras import layers

from kgan.anysize import Reflect
from kgan.layers import InstanceNormalization


def convolved(x, width, kernel=3, strides=1, activation="relu"):
    """A convolution with a border of reflection, an instance normalisation and an activation."""
    if strides == 1:
        x = Reflect(kernel // 2)(x)
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
    x = layers.Conv2D(channels, kernel, kernel_initializer=weights(), name=name)(Reflect(kernel // 2)(x))
    return layers.Activation("tanh", dtype="float32")(x)


def weights():
    return keras.initializers.RandomNormal(0.0, 0.02)
