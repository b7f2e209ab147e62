"""Convolutions of solids of one channel, with 4×4×4 kernels and stride 2: the same numbers, sooner.

What goes to a single channel, G's last layer and D's gradient for its input, took oneDNN a third of gan3d's step. Here it is a convolution
with stride 1 to eight channels, which are a block of 2×2×2 voxels: a sixth of the time. All else is left to oneDNN, which does it well.
"""
import keras
import tensorflow as tf

STEPS = [1, 2, 2, 2, 1]


@tf.custom_gradient
def convolution(solids, kernel):
    """tf.nn.conv3d(solids, kernel, stride 2, "SAME"): solids [n, D, H, W, C], sides even and known; kernel [4, 4, 4, C, F]."""
    return tf.nn.conv3d(solids, kernel, STEPS, "SAME"), lambda upstream: (
        transposed(upstream, kernel), _of_kernel(solids, kernel, upstream))


@tf.custom_gradient
def transposed(maps, kernel):
    """tf.nn.conv3d_transpose(maps, kernel, …, stride 2, "SAME"): maps [n, D, H, W, C], sides known; kernel [4, 4, 4, F, C]."""
    sides, filters = [side + 1 for side in maps.shape[1:4]], kernel.shape[3]
    # kernel [2, 2, 2, 8·F, C]: of blocks; one more of these along each side, half of which is beyond the border
    blocked = tf.transpose(tf.reshape(kernel, [2, 2, 2, 2, 2, 2, filters, -1]), [0, 2, 4, 1, 3, 5, 6, 7])
    blocks = tf.nn.conv3d_transpose(maps, tf.reshape(blocked, [2, 2, 2, 8 * filters, kernel.shape[4]]),
                                    [tf.shape(maps)[0], *sides, 8 * filters], [1] * 5, "VALID")
    blocks = tf.transpose(tf.reshape(blocks, [-1, *sides, 2, 2, 2, filters]), [0, 1, 4, 2, 5, 3, 6, 7])
    found = tf.reshape(blocks, [-1, *(2 * side for side in sides), filters])[:, 1:-1, 1:-1, 1:-1]
    return found, lambda upstream: (convolution(upstream, kernel), _of_kernel(upstream, kernel, maps))


def _of_kernel(solids, kernel, maps):
    return tf.raw_ops.Conv3DBackpropFilterV2(input=solids, filter_sizes=kernel.shape, out_backprop=maps, strides=STEPS, padding="SAME")


class _Blocks:
    """Mixed into Conv3D or Conv3DTranspose: as above in training, on CPUs, where the larger maps have one channel.

    Inference is Keras's, so that exports know nothing of these classes.
    """

    def call(self, inputs, training=False):
        plain = (self.kernel_size, self.strides, self.padding, self.data_format) == ((4,) * 3, (2,) * 3, "same", "channels_last")
        if not (training and plain and self.groups == 1 and self._known(inputs.shape)) or tf.config.list_physical_devices("GPU"):
            return super().call(inputs)
        outputs = self._product(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("kgan")
class Conv3D(_Blocks, keras.layers.Conv3D):
    """keras.layers.Conv3D, the same arguments, but for dilation, and numbers; faster where _Blocks says so."""

    _product = staticmethod(convolution)

    def _known(self, shape):
        return shape[4] == 1 and None not in shape[1:] and not any(side % 2 for side in shape[1:4])


@keras.saving.register_keras_serializable("kgan")
class Conv3DTranspose(_Blocks, keras.layers.Conv3DTranspose):
    """keras.layers.Conv3DTranspose, likewise."""

    groups = 1
    _product = staticmethod(transposed)

    def _known(self, shape):
        return self.filters == 1 and None not in shape[1:]
