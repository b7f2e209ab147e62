"""Layers that two or more models use.

All of them go through clone_model and .keras files, mixed_float16, XLA and the replicas of tf.distribute.
"""
import keras
import numpy as np
from keras import ops

_BUILD_ITERATIONS = 30  # σ is then .5 % short on average, 2.5 % at worst, of 40 random kernels


@keras.saving.register_keras_serializable("kgan")
class MinibatchStdDev(keras.layers.Layer):
    """Lets the discriminator see how varied its batch is: Karras et al. 2018 (ProGAN), section 3.

    [n, H, W, C] -> [n, H, W, C+1], or [n, C] -> [n, C+1]. The batch falls into groups; the standard deviation over a
    group, averaged over all features and places, is one number ≥ 1e-4, appended to each of the group as one more map or
    feature. As in the authors' code a group is every (n / group_size)-th example, not neighbours. With several replicas
    the groups are formed within each one's share.

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
        groups = ops.reshape(x, (self._size(count), -1, *rest))
        variance = ops.mean(ops.square(groups - ops.mean(groups, axis=0, keepdims=True)), axis=0)
        # epsilon within the root: its gradient is finite where all examples are equal
        deviation = ops.mean(ops.sqrt(variance + 1e-8), axis=tuple(range(1, len(rest) + 1)), keepdims=True)
        deviation = ops.tile(deviation, (self._size(count), *[1] * len(rest)))
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
    improves by one power iteration. Gradients flow through σ, but not into u.

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
        u = ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))
        for _ in range(_BUILD_ITERATIONS):
            u = self._iterate(u)
        return u

    def _iterate(self, u):
        """u [outputs] -> WᵀW u [outputs], of length 1."""
        matrix = self._matrix()
        v = _unit(ops.matmul(matrix, u[:, None]))
        return _unit(ops.reshape(ops.matmul(ops.reshape(v, [1, -1]), matrix), [-1]))

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
            u = ops.convert_to_tensor(self.u)
            new = ops.stop_gradient(self._iterate(u))
            # WᵀW u = 0: of a kernel of zeros there is no better u
            self.u.assign(ops.where(ops.any(new != 0), new, u))
        return super().call(inputs)

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


def _unit(vector):
    """vector / |vector|, and 0 for 0."""
    return vector / ops.sqrt(ops.maximum(ops.sum(ops.square(vector)), 1e-24))
