"""GAN: the alternating update. Replicas, precision, noise and the averaged generator are dealt with here and only here.

A family of GANs that goes from noise to samples needs no more than its two networks. A family whose algorithm differs
overrides `train_step` in its own file and builds it from the same four parts: `noise`, `logits`, `minimize`,
`update_ema`.
"""
import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kgan import losses
from kgan.config import Config

# noise for training and noise for `generate` come from the same seed, but never are the same numbers
_TRAINING, _VALIDATION, _GENERATE = 0, 1, 2


@keras.saving.register_keras_serializable("kgan")
class GAN(keras.Model):
    """Two networks trained against each other, as an ordinary Keras model.

    Calling it (and `predict`) turns noise [n, noise_dim] float32 into samples, drawn from the averaged generator.
    `fit` takes batches that are dicts with the real examples under `image` (float32 [n, H, W, C] in [-1, 1]) or
    `sample` (float32 [n, D]), or the real examples themselves. With `discriminator_steps` k > 1 a batch is dealt out to
    the k updates of D: it holds k times as many examples as one update sees.

    Args:
        generator: built keras.Model from noise [n, noise_dim] to samples.
        discriminator: built keras.Model from samples to logits [n, 1]: no sigmoid at its end.
        config: Config; only the fields of the base class under "The update" are used here.
        seed: of all noise. Noise is a function of (seed, step, replica, draw), so that nothing about it needs saving.
    """

    def __init__(self, generator, discriminator, config=None, seed=0, name="gan"):
        super().__init__(name=name)
        self.config = config or Config()
        self.seed = int(seed)

        # === Layers ===
        self.generator = generator
        self.discriminator = discriminator
        # its weights follow the generator's, batch statistics too; samples are drawn from it. Never trained itself.
        self.ema_generator = keras.models.clone_model(generator)
        self.ema_generator.set_weights(generator.get_weights())
        self.ema_generator.trainable = False

        # === Metrics: means since the last reset, over all replicas ===
        self._means = {name: keras.metrics.Mean(name) for name in ("d_loss", "g_loss", "d_real", "d_fake")}
        self.built = True

    # === Properties ===

    @property
    def metrics(self):
        return list(self._means.values())

    @property
    def key(self):
        """The field of a batch that the generator learns to make: "image" or "sample"."""
        return "image" if len(self.generator.output_shape) == 4 else "sample"

    @property
    def step(self):
        """Updates of the generator so far."""
        return int(self.generator_optimizer.iterations)

    # === Compiling ===

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, loss=None, **kwargs):
        """Readies for `fit`. What is left out is taken from the config.

        Args:
            generator_optimizer, discriminator_optimizer: keras optimizers.
            loss: a name in kgan.losses, or a kgan.losses.Objective.
            **kwargs: for keras.Model.compile, such as jit_compile, run_eagerly, steps_per_execution.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        jit = self.config.jit_compile and replicas == 1 and not kwargs.get("run_eagerly")
        super().compile(optimizer=None, **{"jit_compile": jit, **kwargs})
        self.objective = losses.get(loss or self.config.loss)
        self.generator_optimizer = generator_optimizer or self._optimizer(self.config.generator_learning_rate)
        self.discriminator_optimizer = discriminator_optimizer or self._optimizer(
            self.config.discriminator_learning_rate)
        if keras.mixed_precision.dtype_policy().name == "mixed_float16":
            self.generator_optimizer = _loss_scaled(self.generator_optimizer)
            self.discriminator_optimizer = _loss_scaled(self.discriminator_optimizer)
        # built now: an unbuilt optimizer cannot be restored, nor built inside a replica
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def _optimizer(self, learning_rate):
        config = self.config
        clipnorm = config.clipnorm or None
        if config.optimizer == "adam":
            return keras.optimizers.Adam(learning_rate, config.beta_1, config.beta_2, clipnorm=clipnorm)
        kind = {"rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}[config.optimizer]
        return kind(learning_rate, clipnorm=clipnorm)

    # === The alternating update ===

    def train_step(self, batch):
        """k updates of D, each on fresh real examples and fresh noise, then one of G on the last of that noise."""
        shares = self._deal(self.real(batch))
        for draw, real in enumerate(shares):
            with tf.GradientTape() as tape:
                fake = self.generator(self.noise(len_of(real), draw), training=True)
            self.minimize(lambda: self.discriminator_loss(real, fake), self.discriminator, self.discriminator_optimizer)
        # D has changed since: G's loss is taken anew, on the tape that has seen G make `fake`
        self.minimize(lambda: self.generator_loss(real, fake), self.generator, self.generator_optimizer, tape)
        self.update_ema()
        return {metric.name: metric.result() for metric in self.metrics}

    def discriminator_loss(self, real, fake, training=True):
        real_logits, fake_logits = self.logits(real, training), self.logits(fake, training)
        loss = self.objective.discriminator(real_logits, fake_logits)
        self._means["d_loss"].update_state(loss)
        self._means["d_real"].update_state(tf.sigmoid(real_logits))
        self._means["d_fake"].update_state(tf.sigmoid(fake_logits))
        return loss

    def generator_loss(self, real, fake, training=True):
        real_logits = self.logits(real, training) if self.objective.relativistic else None
        loss = self.objective.generator(real_logits, self.logits(fake, training))
        self._means["g_loss"].update_state(loss)
        return loss

    def test_step(self, batch):
        """The losses on a batch that is not trained on, both networks in inference mode."""
        real = self.real(batch)
        fake = self.generator(self.noise(len_of(real), stream=_VALIDATION), training=False)
        self.discriminator_loss(real, fake, training=False)
        self.generator_loss(real, fake, training=False)
        return {metric.name: metric.result() for metric in self.metrics}

    # === The parts it is built from ===

    def real(self, batch):
        """The real examples in a batch: of a tuple (examples, labels…) the first, of a dict those under `key`."""
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        if isinstance(batch, dict):
            if self.key not in batch:
                raise ValueError(f"this generator makes {self.key!r}, but the batches have only {sorted(batch)}")
            return batch[self.key]
        return batch

    def noise(self, count, draw=0, stream=_TRAINING):
        """This replica's noise, float32 [count, noise_dim]: a function of (seed, step, replica, draw) alone.

        A step's noise is drawn for all replicas alike, and each takes its own rows: the noise that belongs to a global
        batch is the same however many devices share it.
        """
        seed = tf.constant([self.seed & 0x7FFFFFFF, stream], tf.int32)
        for data in (tf.cast(self.generator_optimizer.iterations, tf.int32), draw):
            seed = tf.random.experimental.stateless_fold_in(seed, data)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync if context else 1
        rows = draw_noise(self.config.noise, count * replicas, self.config.noise_dim, seed)
        if replicas == 1:
            return rows
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * count
        return rows[first:first + count]

    def logits(self, examples, training=True):
        """D's logits of examples, float32 whatever the precision policy."""
        return tf.cast(self.discriminator(examples, training=training), tf.float32)

    def minimize(self, loss_function, network, optimizer, tape=None):
        """One step of `optimizer` down `loss_function()`, with respect to `network` alone.

        The only place that knows about replicas and loss scaling: gradients are summed over replicas when applied, so
        the loss, a mean over this replica's share, is divided by their number first.

        Args:
            loss_function: function without arguments that returns a scalar, the mean over this replica's examples.
            network: keras.Model whose trainable variables are changed.
            optimizer: built keras optimizer.
            tape: tf.GradientTape that has seen the part of the computation made before; None: there is no such part.
        """
        tape = tape or tf.GradientTape()
        with tape:
            loss = loss_function() / tf.distribute.get_strategy().num_replicas_in_sync
            loss = optimizer.scale_loss(loss)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def update_ema(self):
        """Moves the averaged generator towards the generator: weights, and batch statistics too.

        Warm-up: at step t the decay is at most (1 + t) / (10 + t), so that the first, random weights are soon forgotten.
        """
        step = tf.cast(self.generator_optimizer.iterations, tf.float32)
        decay = tf.minimum(float(self.config.ema_decay), (1 + step) / (10 + step))
        decay = decay if self.config.ema_decay else 0.0
        for average, variable in zip(self.ema_generator.weights, self.generator.weights):
            average.assign(variable + decay * (average - variable))

    def _deal(self, real):
        """A batch, dealt out like cards to the updates of D: the same examples meet however many replicas share it."""
        steps = self.config.discriminator_steps
        if steps == 1:
            return [real]
        if real.shape[0] is None or real.shape[0] % steps:
            size = real.shape[0] or "an unknown number of"
            raise ValueError(f"a batch of {size} examples cannot be dealt out to discriminator_steps={steps} updates: it "
                             f"must be a multiple of {steps} (tf.data: batch(n, drop_remainder=True))")
        return [real[i::steps] for i in range(steps)]

    # === Sampling ===

    def call(self, noise, training=False):
        return self.ema_generator(noise, training=training)

    def latents(self, count, seed=0):
        """Noise for `count` samples, float32 [count, noise_dim]. Of two counts, the first samples are the same."""
        return draw_noise(self.config.noise, count, self.config.noise_dim, [seed & 0x7FFFFFFF, _GENERATE])

    def generate(self, count, seed=0, batch_size=256):
        """Samples from the averaged generator; the same (count, seed), the same samples.

        Args:
            count: how many.
            seed: int.
            batch_size: how many to make at once.

        Returns:
            float32 numpy array [count, H, W, C] in [-1, 1], or [count, D].
        """
        noise = self.latents(count, seed)
        parts = [self(noise[i:i + batch_size]) for i in range(0, max(count, 1), batch_size)]
        return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]).astype(np.float32)

    # === Saving ===

    def state(self):
        """Every variable that training changes, in a fixed order: networks, metrics, random state, both optimizers."""
        return [*self.variables, *self.metrics_variables,  # Keras counts these apart
                *self.generator_optimizer.variables, *self.discriminator_optimizer.variables]

    def get_config(self):
        fields = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(Config)}
        serialize = keras.saving.serialize_keras_object
        return {"generator": serialize(self.generator), "discriminator": serialize(self.discriminator),
                "config": fields, "seed": self.seed, "name": self.name}

    def get_compile_config(self):
        return None  # compile takes what no file can hold: a loaded GAN is compiled anew

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")}
        return cls(**networks, config=Config(**config["config"]), seed=config["seed"], name=config["name"])


def draw_noise(kind, count, size, seed):
    """float32 [count, size], N(0, 1) ("normal") or U(-1, 1) ("uniform"), a function of the arguments alone."""
    # philox, for else XLA takes a slower one; even so, XLA-compiled functions draw other numbers than plain ones
    if kind == "uniform":
        return tf.random.stateless_uniform([count, size], seed, -1, 1, alg="philox")
    return tf.random.stateless_normal([count, size], seed, alg="philox")


def len_of(batch):
    """The first dimension, as a number where it is known."""
    return batch.shape[0] if batch.shape[0] is not None else tf.shape(batch)[0]


def _loss_scaled(optimizer):
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
