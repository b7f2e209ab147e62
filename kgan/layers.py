"""Layers that two or more models use.

All of them go through clone_model and .keras files, mixed_float16, XLA and the replicas of tf.distribute.
"""
import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kgan import winograd

_BUILD_ITERATIONS = 30  # σ is then .5 % short on average, 2.5 % at worst, of 40 random kernels
_MANY, _ROWS = 64, 512  # channels, and places of a batch's larger maps, from which on Winograd's convolution is faster


@keras.saving.register_keras_serializable("kgan")
class MinibatchStdDev(keras.layers.Layer):
    """Lets the discriminator see how varied its batch is: Karras et al. 2018 (ProGAN), section 3.

    [n, H, W, C] -> [n, H, W, C+1], or [n, C] -> [n, C+1]. The batch falls into groups; the standard deviation over a
    group, averaged over all features and places, is one number ≥ 1e-4, appended to each of the group as one more map or
    feature. A group is of neighbours, not of every (n / group_size)-th example as in the authors' code: several replicas have the
    same groups as one, where each one's share is a multiple of group_size.

    Args:
        group_size: examples in a group; where the batch is no multiple of it, the largest divisor of n below it.
    """

    def __init__(self, group_size=4, **kwargs):
        super().__init__(**kwargs)
        if group_size < 1:
            raise ValueError(f"group_size={group_size}: must be at least 1")
        self.group_size = int(group_size)

    def call(self, inputs):
        count, *rest = ops.shape(inputs)
        # squares overflow float16 from 256 on, and 1e-8 is 0 there
        x = ops.cast(inputs, "float32")
        groups = ops.reshape(x, (-1, self._size(count), *rest))
        variance = ops.mean(ops.square(groups - ops.mean(groups, axis=1, keepdims=True)), axis=1)
        # epsilon within the root: its gradient is finite where all examples are equal
        deviation = ops.mean(ops.sqrt(variance + 1e-8), axis=tuple(range(1, len(rest) + 1)), keepdims=True)
        deviation = ops.repeat(deviation, self._size(count), axis=0)
        more = ops.cast(deviation, inputs.dtype) * ops.ones_like(inputs[..., :1])
        return ops.concatenate([inputs, more], axis=-1)

    def _size(self, count):
        """The largest divisor of `count` up to group_size, as a number where `count` is one."""
        if isinstance(count, int):
            return max(size for size in range(1, self.group_size + 1) if count % size == 0)
        sizes = ops.arange(1, self.group_size + 1)
        return ops.max(ops.where(ops.equal(count % sizes, 0), sizes, 1))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}


class _Spectral:
    """Mixed into a layer with a `kernel`: what the layer multiplies by is kernel / σ(kernel).

    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", equation 8 and algorithm 1: σ is
    the largest singular value of the kernel as a matrix [inputs, outputs] (of a convolution [k·k·in, out]), taken from
    the weight `u` [outputs], the singular vector on the side of the outputs, which each call with training=True
    improves by one power iteration, unless the layer is frozen. Gradients flow through σ, but not into u.

    keras.layers.SpectralNormalization is another algorithm: it assigns the normalised kernel to the variable that the
    optimizer moves, so each call overwrites the optimizer's work, and the gradient, that of the variable as it then is,
    knows nothing of σ (equation 12's second term is missing). Its u starts far off, too.

    Differs from algorithm 1: u is that of the outputs, and σ = |W u| of the same u in training and inference, so both
    use the same kernel; and the start is no random vector but one that 30 iterations have brought near the truth.
    """

    def add_weight(self, *args, name=None, **kwargs):
        # under float16 too, σ is of the float32 that is stored
        return super().add_weight(*args, name=name, autocast=name == "bias", **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        # all replicas compute the same u from the same kernel
        self.u = self.add_weight(name="u", shape=(self._kernel.shape[-1],), initializer=self._start, trainable=False,
                                 dtype="float32", aggregation="only_first_replica")

    def _start(self, shape, dtype=None):
        # a fixed direction, so that no seed's other numbers change; all but orthogonal ones do
        return _near_singular(self._matrix(), np.random.default_rng(0).normal(size=shape).astype(np.float32))

    def _matrix(self):
        """The kernel as stored, float32 [inputs, outputs]."""
        return ops.reshape(ops.cast(self._kernel, "float32"), [-1, self._kernel.shape[-1]])

    @property
    def sigma(self):
        """What the kernel is divided by, float32 scalar. u and v are constants to its gradient, which is v uᵀ."""
        matrix, u = self._matrix(), ops.stop_gradient(_unit(ops.convert_to_tensor(self.u)[:, None]))
        v = ops.stop_gradient(_unit(ops.matmul(matrix, u)))
        return ops.sum(v * ops.matmul(matrix, u))

    @property
    def kernel(self):
        """kernel / σ in the compute dtype. The stored one is `_kernel`, as in Keras."""
        stored = ops.cast(super().kernel, "float32")
        sigma = self.sigma
        # a kernel of zeros stays what it is
        return ops.cast(stored / ops.where(sigma > 0, sigma, 1.0), self.compute_dtype)

    def call(self, inputs, training=False):
        if training:
            self.improve()
        return super().call(inputs)

    def improve(self):
        """A power iteration: each call in training begins with it."""
        if self.trainable:  # frozen, its kernel does not change
            u = ops.convert_to_tensor(self.u)
            new = ops.stop_gradient(_iterate(self._matrix(), u))
            # WᵀW u = 0: of a kernel of zeros there is no better u
            self.u.assign(ops.where(ops.any(new != 0), new, u))

    # Keras's own of Dense and Conv2D would save `kernel`, normalised, and no u

    def save_own_variables(self, store):
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store):
        keras.layers.Layer.load_own_variables(self, store)


@keras.saving.register_keras_serializable("kgan")
class SpectralDense(_Spectral, keras.layers.Dense):
    """keras.layers.Dense, the same arguments, whose kernel is divided by its largest singular value (see _Spectral)."""


@keras.saving.register_keras_serializable("kgan")
class SpectralConv2D(_Spectral, keras.layers.Conv2D):
    """keras.layers.Conv2D, likewise. σ is that of the matrix [k·k·in, out], as in the paper, not of the convolution."""


@keras.saving.register_keras_serializable("kgan")
class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization, the same arguments and numbers; maps [n, H, W, C] and [n, D, H, W, C] in training by one operation.

    Keras's own takes seven passes over the maps forwards, and more backwards: two to three times as long on a CPU.
    Replicas that share their statistics use it, and so does inference, so that exports know nothing of this class.
    """

    def call(self, inputs, training=False, mask=None):
        shared = self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync > 1
        solids = len(inputs.shape) == 5 and None not in inputs.shape[1:]
        if not training or not self.trainable or shared or not (len(inputs.shape) == 4 or solids) or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        if solids:  # as maps [n·D, H, W, C], whose places are the same
            return tf.reshape(self.call(tf.reshape(inputs, [-1, *inputs.shape[2:]]), training), [-1, *inputs.shape[1:]])
        gamma, beta = (one(inputs.shape[-1:]) if weight is None else tf.convert_to_tensor(weight)
                       for weight, one in ((self.gamma, tf.ones), (self.beta, tf.zeros)))
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, gamma, beta, epsilon=self.epsilon)
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count  # it is divided by n - 1, Keras's by n
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("kgan")
class InstanceNormalization(keras.layers.Layer):
    """Each channel of each example's map brought to mean 0 and variance 1, then γx + β: Ulyanov et al. 2016, arXiv:1607.08022.

    [n, H, W, C] -> the same, H and W of any size. It is batch normalisation with the statistics of the one example, in
    training and inference alike. The same as keras.layers.GroupNormalization(groups=-1), spelled with four dimensions and
    one multiplication and addition a pixel: a tenth faster in training, up to three times in TFLite, and more exact in
    eight bits.

    Args:
        epsilon: added to the variance.
        gamma_initializer: of γ [C]; β [C] starts at 0.
    """

    def __init__(self, epsilon=1e-5, gamma_initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        # under float16 too, they and the statistics are float32
        self.gamma, self.beta = (self.add_weight(name=name, shape=input_shape[-1:], initializer=start, autocast=False)
                                 for name, start in (("gamma", self.gamma_initializer), ("beta", "zeros")))

    def call(self, inputs):
        mean, variance = tf.nn.moments(tf.cast(inputs, tf.float32), [1, 2], keepdims=True)
        gain = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return inputs * tf.cast(gain, inputs.dtype) + tf.cast(self.beta - mean * gain, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon,
                "gamma_initializer": keras.initializers.serialize(self.gamma_initializer)}


class _Winograd:
    """Mixed into Conv2D or Conv2DTranspose: in training, 4×4 kernels with stride 2 go by kgan.winograd where that is faster.

    That is on CPUs, in float32, where the larger maps have many channels, and places that are not too few: a fifth to two fifths of the time is saved, with
    differences as of any other order of sums. Inference is Keras's, so that exports know nothing of this class.
    """

    def call(self, inputs, training=False):
        if not training or not self._faster(inputs):
            return super().call(inputs)
        outputs = self._product(inputs, tf.convert_to_tensor(self.kernel))
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def _faster(self, inputs):
        height, width, channels = self._larger(inputs)
        plain = (self.kernel_size, self.strides, self.padding, self.data_format) == ((4, 4), (2, 2), "same", "channels_last")
        if not plain or None in (height, width) or height % 4 or width % 4:
            return False
        few = inputs.shape[0] is not None and inputs.shape[0] * height * width < _ROWS
        return (self.compute_dtype == "float32" and channels >= _MANY and not few and not tf.config.list_physical_devices("GPU"))


@keras.saving.register_keras_serializable("kgan")
class Conv2D(_Winograd, keras.layers.Conv2D):
    """keras.layers.Conv2D, the same arguments, but for groups and dilation, and numbers; faster where _Winograd says so."""

    _product = staticmethod(winograd.convolution)

    def _larger(self, inputs):
        return inputs.shape[1:]


@keras.saving.register_keras_serializable("kgan")
class Conv2DTranspose(_Winograd, keras.layers.Conv2DTranspose):
    """keras.layers.Conv2DTranspose, likewise."""

    _product = staticmethod(winograd.transposed)

    def _larger(self, inputs):
        return *(size and 2 * size for size in inputs.shape[1:3]), self.filters


@keras.saving.register_keras_serializable("kgan")
class ConditionalBatchNormalization(keras.layers.Layer):
    """Batch normalisation whose gain and bias follow from a vector: layer([x, condition]), gain 1 + W_g c, bias W_b c.

    x is [n, C] or [n, H, W, C], condition [n, d], the result as x. Of a one-hot condition each class has a gain and a bias
    of its own, as in Dumoulin et al. 2017, "A Learned Representation For Artistic Style", and Miyato & Koyama 2018, "cGANs
    with Projection Discriminator"; of an embedding joined to noise they are BigGAN's. Statistics are the whole batch's,
    classes mixed.

    Args:
        momentum, epsilon: as keras.layers.BatchNormalization's; statistics follow within tens of steps.
        spectral: whether W_g and W_b are divided by their largest singular values.
        kernel_initializer: of both; None: zeros, so that it begins as plain batch normalisation, or with `spectral`
            orthogonal (a matrix that leaves 0 would jump to the largest singular value 1).
        synchronized: whether the replicas of tf.distribute share their statistics.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, spectral=False, kernel_initializer=None, synchronized=False, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.spectral, self.synchronized = bool(spectral), bool(synchronized)
        self.kernel_initializer = keras.initializers.get(kernel_initializer or ("orthogonal" if spectral else "zeros"))

    def build(self, input_shape):
        shape, condition = input_shape
        self.normalization = BatchNormalization(
            momentum=self.momentum, epsilon=self.epsilon, center=False, scale=False, synchronized=self.synchronized,
            dtype=self.dtype_policy, name="normalization")
        dense = SpectralDense if self.spectral else keras.layers.Dense
        self.gain, self.bias = (
            dense(shape[-1], use_bias=False, kernel_initializer=keras.initializers.get(self.kernel_initializer).clone(),
                  dtype=self.dtype_policy, name=name) for name in ("gain", "bias"))
        self.normalization.build(shape)
        self.gain.build(condition)
        self.bias.build(condition)

    def call(self, inputs, training=False):
        x, condition = inputs
        spread = (-1, *[1] * (len(x.shape) - 2), x.shape[-1])
        # Keras hands `training` on to them
        gain, bias = (ops.reshape(layer(condition), spread) for layer in (self.gain, self.bias))
        return self.normalization(x) * (1 + gain) + bias

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon, "spectral": self.spectral,
                "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
                "synchronized": self.synchronized}


@keras.saving.register_keras_serializable("kgan")
class SelfAttention(keras.layers.Layer):
    """Lets each place of a map look at all others: Zhang et al. 2019, "Self-Attention Generative Adversarial Networks".

    [n, H, W, C] -> the same, x + γ W_o(attention), γ learned from 0 on, so that a new layer does nothing. Queries and keys
    have C/8 channels, values C/2, all by spectrally normalised 1×1 convolutions without biases. Of keys and values only
    the largest of each 2×2 square is kept, as in the authors' code and BigGAN's: a quarter of the memory. The paper's
    equation does not scale the products by the root of their number of channels, nor does this.

    The scores are one number for each pair of a place and a square, H²W²/4 an example.
    """

    def build(self, input_shape):
        *places, channels = input_shape
        narrow, middle = max(1, channels // 8), max(1, channels // 2)
        self.query, self.key = (self._convolution(name, narrow, input_shape) for name in ("query", "key"))
        self.value = self._convolution("value", middle, input_shape)
        self.output_projection = self._convolution("output_projection", channels, (*places, middle))
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")

    def _convolution(self, name, width, input_shape):
        layer = SpectralConv2D(width, 1, use_bias=False, kernel_initializer="orthogonal", dtype=self.dtype_policy, name=name)
        layer.build(input_shape)
        return layer

    def call(self, inputs, training=False):
        query = _flat(self.query(inputs))
        key, value = (_flat(_largest_of_squares(layer(inputs))) for layer in (self.key, self.value))
        scores = ops.cast(ops.matmul(query, ops.transpose(key, (0, 2, 1))), "float32")
        seen = ops.matmul(ops.cast(ops.softmax(scores), value.dtype), value)
        seen = ops.reshape(seen, (-1, *inputs.shape[1:3], value.shape[-1]))
        return inputs + ops.cast(self.gamma, inputs.dtype) * self.output_projection(seen)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("kgan")
class ClipAtInference(keras.layers.Layer):
    """Identity while training, clipped to [low, high] outside.

    For generators without a tanh at the end (R3GAN): clipping in training would take the gradient from what is outside,
    but the samples that others get must keep the promise of [-1, 1].

    Args:
        low, high: floats, low < high.
    """

    def __init__(self, low=-1.0, high=1.0, **kwargs):
        super().__init__(**kwargs)
        if not low < high:
            raise ValueError(f"low={low}, high={high}: low must be below high")
        self.low, self.high = float(low), float(high)

    def call(self, inputs, training=False):
        return inputs if training else ops.clip(inputs, self.low, self.high)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


def plain(layer):
    """A copy of a layer; of one of kgan's that is Keras's own but for its speed in training, a copy of Keras's own."""
    for fast in (Conv2D, Conv2DTranspose, BatchNormalization):
        if type(layer) is fast:
            return getattr(keras.layers, fast.__name__).from_config(layer.get_config())
    return type(layer).from_config(layer.get_config())


def _flat(x):
    """[n, H, W, C] -> [n, H·W, C]."""
    return ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))


def _largest_of_squares(x):
    """Max pooling [n, H, W, C] -> [n, H//2, W//2, C]. XLA has no second derivative of Keras's own in float16."""
    height, width = x.shape[1] // 2, x.shape[2] // 2
    x = x[:, :2 * height, :2 * width]
    return ops.max(ops.reshape(x, (-1, height, 2, width, 2, x.shape[3])), axis=(2, 4))


@tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None])])  # a graph: eagerly it took most of a build
def _near_singular(matrix, u):
    for _ in tf.range(_BUILD_ITERATIONS):
        u = _iterate(matrix, u)
    return u


def _iterate(matrix, u):
    """W [inputs, outputs] and u [outputs] -> WᵀW u [outputs], of length 1."""
    v = _unit(ops.matmul(matrix, u[:, None]))
    return _unit(ops.reshape(ops.matmul(ops.reshape(v, [1, -1]), matrix), [-1]))


def _unit(vector):
    """vector / |vector|, and 0 for 0."""
    return vector / ops.sqrt(ops.maximum(ops.sum(ops.square(vector)), 1e-24))
