"""GAN: the alternating update. Replicas, precision, noise and the averaged generator are dealt with here and only here.

A family of GANs that goes from noise, or noise and a label, to samples needs no more than its two networks. One whose D
has more to say than logits adds that to the losses by `auxiliary`. A family whose algorithm differs overrides
`train_step` in its own file and builds it from the same four parts: `noise`, `judge`, `minimize`, `update_ema`.
"""
import dataclasses
import functools
import warnings
import zlib

import keras
import numpy as np
import tensorflow as tf

from kgan import augment, losses, penalties, schedules
from kgan.config import Config, ConfigError, unknown

# streams of random numbers from the same seed that never are the same numbers: noise for training, for validation, for
# `generate`; what the losses of D and of G draw: augmentation, places of a penalty; and noise for an encoder
TRAINING, VALIDATION, GENERATE, DISCRIMINATOR, GENERATOR, ENCODER = range(6)
# what a step computes, in this order: the first that is not finite is the cause of what follows
CHECKED = "the real examples", "the generated examples", "D's loss", "D's gradient", "G's loss", "G's gradient"


@keras.saving.register_keras_serializable("kgan")
class GAN(keras.Model):
    """Two networks trained against each other, as an ordinary Keras model.

    Calling it (and `predict`) turns noise [n, noise_dim] float32 into samples, drawn from the averaged generator; that of
    a conditional GAN takes a dict of `noise` and `label`, int32 [n] from 0 on.
    `fit` takes batches that are dicts with the real examples under `image` (float32 [n, H, W, C] in [-1, 1]) or
    `sample` (float32 [n, D]), or the real examples themselves. A conditional GAN wants their labels too, int [n], under
    the name that `config.condition` has, or second in a tuple. With `discriminator_steps` k > 1 a batch is dealt out to
    the k updates of D: it holds k times as many examples as one update sees.

    Args:
        generator: built keras.Model from noise [n, noise_dim] to samples; if it takes a label, from a dict of `noise` and
            `label`.
        discriminator: built keras.Model from samples, or from a dict of samples and `label`, to logits [n, 1], or [n, k] for
            an MMD objective: no sigmoid at its end. One that says more gives a dict with these as `logits`.
        config: Config; only the fields of the base class under "The update" are used here.
        seed: of all noise. Noise is a function of (seed, step, replica, draw), so that nothing about it needs saving.
        classes: different names of what labels stand for, the first of label 0; none: the GAN is not conditional.
    """

    Config = Config  # of the model, and the arguments that are networks: for `from_config`
    networks = "generator", "discriminator"

    def __init__(self, generator, discriminator, config=None, seed=0, classes=(), name="gan"):
        super().__init__(name=name)
        self.config = config or self.Config()
        self.seed = int(seed)
        self.classes = tuple(classes)
        if len(generator.inputs) > 1 and not self.classes:
            raise ValueError("the generator takes a label: name the classes, as in classes=[\"cat\", \"dog\"]")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes={list(self.classes)[:20]}: each needs a name of its own")
        if self.classes and self.config.packing > 1:
            raise ConfigError(f"packing={self.config.packing}: is for GANs without labels, of which each sample has its own")

        if self.config.augment or self.config.consistency_weight:
            if len(generator.output_shape) != 4:
                raise ConfigError("augment and consistency_weight are for images; points and signals have instance_noise")
            augment.check(self.config.augmentations, generator.output_shape[1:])

        # === Layers ===
        self.generator = generator
        self.discriminator = discriminator
        # its weights follow the generator's, batch statistics too; samples are drawn from it. Never trained itself.
        self.ema_generator = keras.models.clone_model(generator)
        self.ema_generator.set_weights(generator.get_weights())
        self.ema_generator.trainable = False
        for layer in self.ema_generator._flatten_layers():
            layer.dtype_policy = "float32"  # whatever is trained in: samples, measures and exports come from it

        # === Metrics: means since the last reset, over all replicas ===
        names = ["d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "d_gradient", "g_gradient"]
        names += ["augment_p"] if self.config.augment_target else []
        self._means = {name: keras.metrics.Mean(name) for name in names}

        # where numbers ended: 0, or the step times len(CHECKED), plus the place in it. Of each replica; no part of the state
        self._fault = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.SUM,
                                  synchronization=tf.VariableSynchronization.ON_READ)

        # === Adaptive augmentation: its probability, and the running mean of D's signs that it follows ===
        if self.config.augment_target:
            self._probability, self._sign = (
                self.add_weight(shape=(), initializer="zeros", trainable=False, name=name, aggregation="mean")
                for name in ("augment_probability", "discriminator_sign"))
        self.built = True

    # === Properties ===

    @property
    def metrics(self):
        return list(self._means.values())

    def reset_metrics(self):
        super().reset_metrics()
        self._fault.assign(0)

    @property
    def first_not_finite(self):
        """What was not finite first since the last `reset_metrics`, as (step, name in CHECKED); None: all was."""
        faults = [int(fault) for fault in self.distribute_strategy.experimental_local_results(self._fault)]
        step, place = divmod(min(filter(None, faults), default=0), len(CHECKED))
        return (step, CHECKED[place]) if step else None

    @property
    def key(self):
        """The field of a batch that the generator learns to make: "image" or "sample"."""
        return "image" if len(self.generator.output_shape) == 4 else "sample"

    @property
    def step(self):
        """Updates of the generator so far."""
        return int(self.generator_optimizer.iterations.numpy())

    # === Compiling ===

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, loss=None, penalty=None, **kwargs):
        """Readies for `fit`. What is left out is taken from the config.

        Args:
            generator_optimizer, discriminator_optimizer: keras optimizers.
            loss: a name in kgan.losses, or a kgan.losses.Objective.
            penalty: a name in kgan.penalties, or a kgan.penalties.Penalty.
            **kwargs: for keras.Model.compile, such as jit_compile, run_eagerly, steps_per_execution. The last is 1 with
                several replicas.
        """
        jit = "auto" if self.config.jit_compile is None else self.config.jit_compile
        if replicas() > 1 or kwargs.get("run_eagerly"):
            jit = False
        if replicas() > 1:  # whose sums TensorFlow cannot place in the loop over steps
            kwargs["steps_per_execution"] = 1
        super().compile(optimizer=None, **{"jit_compile": jit, **kwargs})
        config = self.config
        self.objective = losses.get(loss or config.loss, config.label_smoothing)
        self.penalty = penalties.get(penalty or config.penalty)
        if self.penalty:
            if any(isinstance(layer, keras.layers.BatchNormalization) for layer in self.discriminator.layers):
                warnings.warn("a gradient penalty wants each example's own gradient, but batch normalisation in the "
                              "discriminator mixes them; dcgan has --set discriminator_normalization=none", stacklevel=2)
            self._means.setdefault("penalty", keras.metrics.Mean("penalty"))
        self.generator_optimizer = generator_optimizer or self._optimizer(config.generator_learning_rate, config.steps)
        self.discriminator_optimizer = discriminator_optimizer or self._optimizer(
            config.discriminator_learning_rate, config.steps * config.discriminator_steps)
        self.generator_optimizer = ready(self.generator_optimizer, self.generator)
        self.discriminator_optimizer = ready(self.discriminator_optimizer, self.discriminator)
        for layer in self._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and replicas() > 1:
                layer.synchronized = True  # statistics are the global batch's. On one device that would only cost time

    def scale_learning_rates(self, factor):
        """Sets both learning rates to `factor` times the config's."""
        for optimizer, rate in ((self.generator_optimizer, self.config.generator_learning_rate),
                                (self.discriminator_optimizer, self.config.discriminator_learning_rate)):
            if isinstance(rate, str):
                getattr(optimizer, "inner_optimizer", optimizer)._learning_rate.factor.assign(factor)
            else:
                optimizer.learning_rate = factor * rate

    def _optimizer(self, learning_rate, steps):
        """`steps`: updates that it makes in the whole run."""
        config = self.config
        if isinstance(learning_rate, str):
            learning_rate = schedules.LearningRate(learning_rate, steps)
        cuts = {name: getattr(config, name) or None for name in ("clipnorm", "clipvalue", "global_clipnorm")}
        if config.optimizer == "adam":
            return schedules.Adam(learning_rate, config.beta_1, config.beta_2, steps, **cuts)
        kind = {"rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}[config.optimizer]
        return kind(learning_rate, **cuts)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: it is built. Keras would put together a batch to build it with, and with several hosts fails to."""

    # === The alternating update ===

    def train_step(self, batch):
        """k updates of D, each on fresh real examples and fresh noise, then one of G on the last of that noise."""
        for draw, (real, label) in enumerate(zip(self._deal(self.real(batch)), self._deal(self.label(batch)))):
            noise = self.noise(len_of(real), draw)
            parts = self._parts(real, label, noise, draw)
            if len(parts) == 1:
                with tf.GradientTape() as tape:
                    fake = self.make(noise, label, self.generator, training=True)
                fakes = lambda *_: fake
            else:  # made anew for each update, part by part: keeping the tapes would keep the memory
                tape, fakes = None, lambda label, noise: self.make(noise, label, self.generator, training=True)
            self.minimize(lambda real, label, *rest: self.discriminator_loss(real, fakes(label, rest[0]), label, *rest),
                          self.discriminator, self.discriminator_optimizer, parts)
        # D has changed since: G's loss is taken anew, on the tape that has seen G make `fake`
        self.minimize(lambda real, label, *rest: self.generator_loss(real, fakes(label, rest[0]), label, *rest),
                      self.generator, self.generator_optimizer, parts, tape)
        self.update_ema()
        return self.results()

    def discriminator_loss(self, real, fake, label=None, noise=None, draw=0, training=True):
        """What D minimises: the objective, the gradient penalty, consistency. `noise` is what `fake` was made from.

        `label` is that of both: the i-th of `fake` was asked to be of the i-th real example's class.
        """
        if training:
            self._check("the real examples", real)
            self._check("the generated examples", fake)
        config, every = self.config, self.config.penalty_every
        penalised = self.penalty is not None and training
        due = self.discriminator_optimizer.iterations % every == 0 if every > 1 else True  # lazily, as StyleGAN2 does
        loss, slope, judged = self._judge(real, fake, label, draw, penalised, due, training)
        real_logits, fake_logits = judged["real"]["logits"], judged["fake"]["logits"]
        self._means["d_loss"].update_state(loss)
        score = tf.sigmoid if self.objective.probability else tf.identity
        self._means["d_real"].update_state(score(real_logits))
        self._means["d_fake"].update_state(score(fake_logits))
        order = tf.sign(real_logits - fake_logits)  # which of a pair D takes for real
        self._means["d_accuracy"].update_state(0.5 + 0.5 * order)
        if penalised:
            self._means["penalty"].update_state(slope, sample_weight=tf.cast(due, tf.float32))
            loss += self.now(config.penalty_weight) * every * slope
        if config.drift_weight and training:
            weight = self.now(config.drift_weight)
            loss += weight * penalties.drift(real_logits, fake_logits)
        if config.consistency_weight and training:
            random = self.random(len_of(real), DISCRIMINATOR, draw, "consistency")
            changed = augment.augment(real, ("flip", "translation"), random.uniform)
            loss += config.consistency_weight * penalties.consistency(real_logits, self.logits(changed, label))
        if config.latent_consistency_weight and training:
            near = self.make(self._near(noise, draw), label, self.generator, training=True)
            loss += config.latent_consistency_weight * penalties.consistency(fake_logits, self.logits(near, label))
        if config.augment_target and training:
            self._adapt(tf.reduce_mean(order if self.objective.relativistic else tf.sign(real_logits)), len_of(real))
        return loss + self.auxiliary(judged["real"], label) + self.auxiliary(judged["fake"], label, noise)

    def auxiliary(self, judged, label, noise=None):
        """What both networks minimise beside the objective, of one set of examples. Here nothing; see acgan and infogan.

        Args:
            judged: what D says of them, the dict of `judge`.
            label: what they are, or were asked to be.
            noise: what they were made from; None: they are real. D minimises the sum of both, G that of its own.
        """
        return 0.0

    def _judge(self, real, fake, label, draw, penalised, due, training):
        """The objective, the penalty (0 if not `penalised` or not `due`) and what D says, in one pass through it."""
        points = {"real": real, "fake": fake}
        random = self.random(len_of(real), DISCRIMINATOR, draw, "penalty")
        if penalised and "between" in self.penalty.points:
            points["between"] = penalties.between(real, fake, random)
        if penalised and "around" in self.penalty.points:
            points["around"] = penalties.around(real, random, deviation(real))
        with tf.GradientTape() as tape:
            tape.watch(points)
            judged = {name: self.judge(self.view(point, DISCRIMINATOR, draw, name) if training else point, label, training)
                      for name, point in points.items()}
            logits = {name: each["logits"] for name, each in judged.items()}
            sums = {name: tf.reduce_sum(values) for name, values in logits.items()}

        def slope():
            gradients = tape.gradient({name: sums[name] for name in self.penalty.points},
                                      {name: points[name] for name in self.penalty.points})
            return self.penalty.value([penalties.squared_norms(gradients[name], len_of(logits[name]))
                                       for name in self.penalty.points])

        if not penalised:
            value = tf.zeros([])
        elif due is True:
            value = slope()
        else:  # the condition holds no more than this: with several replicas no layer may update its state in one
            value = tf.cond(due, slope, lambda: tf.zeros([]))
        return self.objective.discriminator(*self._compared(logits["real"], logits["fake"])), value, judged

    def _compared(self, *logits):
        """The logits that an objective gets: where it compares examples across the batch, those of all replicas."""
        if replicas() == 1 or not self.objective.pooled:
            return logits
        return tf.distribute.get_replica_context().all_gather(logits, axis=0)

    def generator_loss(self, real, fake, label=None, noise=None, draw=0, training=True):
        """What G minimises: the objective, and latent diversity."""
        def judge(examples, name):
            return self.judge(self.view(examples, GENERATOR, draw, name) if training else examples, label, training)

        real_logits = judge(real, "real")["logits"] if self.objective.relativistic else None
        judged = judge(fake, "fake")
        loss = self.objective.generator(*self._compared(real_logits, judged["logits"]))
        self._means["g_loss"].update_state(loss)
        if self.config.latent_diversity_weight and training:
            near = self.make(self._near(noise, draw), label, self.generator, training=True)
            loss -= self.config.latent_diversity_weight * tf.reduce_mean((fake - near) ** 2)
        return loss + self.auxiliary(judged, label, noise)

    def test_step(self, batch):
        """The losses on a batch that is not trained on, both networks in inference mode."""
        real, label = self.real(batch), self.label(batch)
        noise = self.noise(len_of(real), stream=VALIDATION)
        fake = self.make(noise, label, self.generator)
        self.discriminator_loss(real, fake, label, noise, training=False)
        self.generator_loss(real, fake, label, noise, training=False)
        return self.results("d_loss", "g_loss", "d_real", "d_fake", "d_accuracy")

    # === The parts it is built from ===

    def results(self, *names):
        """What a step returns: the means so far, all of them or those of these names."""
        # of several hosts Keras joins what replicas return along the first dimension, and takes the mean of that
        several_hosts = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
        shape = [1] if several_hosts else []
        return {name: tf.reshape(self._means[name].result(), shape) for name in names or self._means}

    def real(self, batch):
        """The real examples in a batch: of a tuple (examples, labels…) the first, of a dict those under `key`."""
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        if isinstance(batch, dict):
            if self.key not in batch:
                raise ValueError(f"this generator makes {self.key!r}, but the batches have only {sorted(batch)}")
            batch = batch[self.key]
        return tf.convert_to_tensor(batch)  # run eagerly, train_on_batch hands on numpy arrays

    def label(self, batch):
        """The labels in a batch, int32 [n]; None if the GAN is not conditional."""
        if not self.classes:
            return None
        name = self.config.condition or "label"
        fields, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
        # train_on_batch fills up with None; [n, 1] is how keras.datasets has CIFAR-10's
        if isinstance(fields, dict) and name in fields:
            return tf.reshape(tf.cast(fields[name], tf.int32), [-1])
        if rest and rest[0] is not None:
            return tf.reshape(tf.cast(rest[0], tf.int32), [-1])
        found = f"have only {sorted(fields)}" if isinstance(fields, dict) else f"are of {self.key}s alone"
        raise ValueError(f"this GAN is conditional on {name!r}, but the batches {found}")

    def now(self, value):
        """What a Scheduled of the config is at this step."""
        return schedules.at(value, self.progress)

    @property
    def progress(self):
        """The fraction of the run's steps that have been made, float32: where schedules stand."""
        return tf.cast(self.generator_optimizer.iterations, tf.float32) / self.config.steps

    def noise(self, count, draw=0, stream=TRAINING):
        """This replica's noise, float32 [count, noise_dim]: a function of (seed, step, replica, draw) alone."""
        draw_rows = functools.partial(draw_noise, self.config.noise)
        return self._rows(draw_rows, count, (self.config.noise_dim,), self._seed(stream, draw))

    def random(self, count, stream, draw, purpose):
        """Random numbers for a loss, by the same rule: has uniform(*tail) in [0, 1) and normal(*tail), [count, *tail]."""
        return _Random(self, count, tf.random.experimental.stateless_fold_in(
            self._seed(stream, draw), zlib.crc32(purpose.encode()) & 0x7FFFFFFF))

    def _seed(self, stream, draw):
        seed = tf.constant([self.seed & 0x7FFFFFFF, stream], tf.int32)
        for data in (tf.cast(self.generator_optimizer.iterations, tf.int32), draw):
            seed = tf.random.experimental.stateless_fold_in(seed, data)
        return seed

    def _rows(self, draw_rows, count, tail, seed):
        """A step's numbers are drawn for all replicas alike, and each takes its own rows: those that belong to a global
        batch are the same however many devices share it."""
        context = tf.distribute.get_replica_context()
        shares = context.num_replicas_in_sync if context else 1
        rows = draw_rows((count * shares, *tail), seed)
        if shares == 1:
            return rows
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * count
        return rows[first:first + count]

    def _near(self, noise, draw):
        """Noise close to `noise`: of the same draw it is the same for D's loss and for G's."""
        random = self.random(len_of(noise), GENERATOR, draw, "near")
        return noise + self.config.latent_noise * random.normal(self.config.noise_dim)

    def view(self, examples, stream, draw, name):
        """What D gets to see of examples in training: with noise on them, augmented."""
        config = self.config
        random = self.random(len_of(examples), stream, draw, name)
        if config.instance_noise:
            noise = random.normal(*examples.shape[1:])
            examples += self.now(config.instance_noise) * noise
        if config.augment:
            probability = self._probability if config.augment_target else self.now(config.augment_probability)
            examples = augment.augment(examples, config.augmentations, random.uniform, probability)
        return examples

    def logits(self, examples, label=None, training=True):
        """D's logits of examples, float32 whatever the precision policy; with packing m, one for each m of them."""
        return self.judge(examples, label, training)["logits"]

    def judge(self, examples, label=None, training=True):
        """What D says of examples, of these labels if it takes any: a dict of float32, `logits` [n, k] among them."""
        m = self.config.packing
        if m > 1:
            # no transposition: inside the condition of a lazy penalty XLA cannot compile the gradient of one
            examples = tf.concat(tf.unstack(tf.reshape(examples, [-1, m, *examples.shape[1:]]), axis=1), axis=-1)
        if len(self.discriminator.inputs) > 1:
            examples = {self.key: tf.convert_to_tensor(examples), "label": tf.cast(label, tf.int32)}
        judged = self.discriminator(examples, training=training)
        judged = judged if isinstance(judged, dict) else {"logits": judged}
        return {name: tf.cast(values, tf.float32) for name, values in judged.items()}

    def minimize(self, loss_function, network, optimizer, parts=((),), tape=None):
        """One step of `optimizer` down the mean over the parts of `loss_function(*part)`, with respect to `network` alone.

        The only place that knows about replicas, loss scaling and accumulation: gradients are summed over replicas, so the
        loss, a mean over this replica's share, is divided by their number first. What clips a gradient, measures it or
        asks whether it is finite sees the sum: the same on all replicas, and the same as on one device.

        Args:
            loss_function: function that returns a scalar, the mean over the examples of a part of this replica's share.
            network: keras.Model whose trainable variables are changed.
            optimizer: built keras optimizer.
            parts: tuples of arguments for `loss_function`; their gradients are taken one after the other.
            tape: tf.GradientTape that has seen the computation made before, of the one part; None: there is no such.
        """
        variables = network.trainable_variables
        gradients = []
        for part in parts:
            recording = tape or tf.GradientTape()
            with tf.control_dependencies(gradients), recording:
                value = loss_function(*part)
                loss = optimizer.scale_loss(value / (replicas() * len(parts)))
            self._check(f"{self._letter(network)}'s loss", value)
            found = recording.gradient(loss, variables, unconnected_gradients="zero")
            gradients = [one + other for one, other in zip(gradients, found)] if gradients else found
        if replicas() > 1:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        self._measure(network, optimizer, gradients)
        optimizer.apply(gradients, variables)
        if network is self.discriminator and self.config.weight_clip:
            penalties.clip_weights(network, self.config.weight_clip)
        if network is self.generator and self.config.generator_weight_clip:
            penalties.clip_weights(network, self.config.generator_weight_clip)

    def _measure(self, network, optimizer, gradients):
        """Notes the norm of a network's gradient, before any clipping."""
        letter = self._letter(network)
        if letter:
            scale = optimizer.scale_loss(tf.ones([]))
            parts = [tf.reshape(tf.cast(gradient, tf.float32) / scale, [-1]) for gradient in gradients]
            # each is several times faster than tf.reduce_sum(part**2) where it is used, and slower where it is not
            square = (lambda part: tf.tensordot(part, part, 1)) if self.jit_compile else lambda part: 2 * tf.nn.l2_loss(part)
            norm = tf.sqrt(tf.add_n([square(part) for part in parts]))
            # a scaled gradient may overflow: that step is left out and the scale is lowered, which is as it should be
            kept = tf.math.is_finite(norm) if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else True
            self._check(f"{letter}'s gradient", tf.where(kept, norm, 0.0))
            self._means[f"{letter.lower()}_gradient"].update_state(tf.where(kept, norm, 0.0),
                                                                   sample_weight=tf.cast(kept, tf.float32))

    def _letter(self, network):
        return {id(self.generator): "G", id(self.discriminator): "D"}.get(id(network), "")

    def _check(self, name, values):
        """Notes where numbers end: that `values`, what `name` in CHECKED is in this step, are not all finite."""
        if name in CHECKED:
            finite = tf.reduce_all(tf.math.is_finite(values))
            here = (tf.cast(self.generator_optimizer.iterations, tf.int64) + 1) * len(CHECKED) + CHECKED.index(name)
            self._fault.assign(tf.where(finite | (self._fault > 0), self._fault, here))

    def _adapt(self, sign, count):
        """Moves the probability of augmentation: up where D(x) is positive for too many real examples, else down."""
        self._sign.assign(0.9 * self._sign + 0.1 * sign)
        self._probability.assign(augment.adapt(tf.convert_to_tensor(self._probability), tf.convert_to_tensor(self._sign),
                                               self.config.augment_target, count * replicas()))
        self._means["augment_p"].update_state(self._probability)

    def update_ema(self):
        """Moves the averaged generator towards the generator: weights, and batch statistics too.

        Warm-up: at step t the decay is at most (1 + t) / (10 + t), so that the first, random weights are soon forgotten.
        """
        step = tf.cast(self.generator_optimizer.iterations, tf.float32)
        decay = tf.minimum(self.now(self.config.ema_decay), (1 + step) / (10 + step))
        for average, variable in zip(self.ema_generator.weights, self.generator.weights):
            average.assign(variable + decay * (average - variable))

    def _deal(self, real):
        """A batch, dealt out like cards to the updates of D: the same examples meet however many replicas share it."""
        steps = self.config.discriminator_steps
        if steps == 1 or real is None:
            return [real] * steps
        if real.shape[0] is None or real.shape[0] % steps:
            size = real.shape[0] or "an unknown number of"
            raise ValueError(f"a batch of {size} examples cannot be dealt out to discriminator_steps={steps} updates: it "
                             f"must be a multiple of {steps} (tf.data: batch(n, drop_remainder=True))")
        return [real[i::steps] for i in range(steps)]

    def _parts(self, real, label, noise, draw):
        """A share of D's, cut for accumulation: [(real, label, noise, draw)], each part with a `draw` of its own."""
        parts = self.config.accumulation
        if parts == 1:
            return [(real, label, noise, draw)]
        if real.shape[0] is None or real.shape[0] % parts:
            raise ValueError(f"{real.shape[0] or 'an unknown number of'} examples cannot be cut into "
                             f"accumulation={parts} parts (tf.data: batch(n, drop_remainder=True))")
        return [(real[i::parts], None if label is None else label[i::parts], noise[i::parts], draw * parts + i)
                for i in range(parts)]

    # === Sampling ===

    def settle(self):
        """What a trained GAN needs before it is measured or exported; `kgan.run.load` calls it. Here nothing; see biggan."""

    def call(self, inputs, training=False):
        return self.ema_generator(inputs, training=training)

    def make(self, noise, label=None, network=None, training=False):
        """Samples of noise [n, noise_dim], of classes `label` (as for `labels`) if the GAN is conditional.

        `network`: one of its generators; None: the averaged one.
        """
        network = self.ema_generator if network is None else network
        noise = tf.convert_to_tensor(noise)
        inputs = {"noise": noise, "label": self.labels(len_of(noise), label)} if self.classes else noise
        return network(inputs, training=training)

    def latents(self, count, seed=0, truncation=None):
        """Noise for `count` samples, float32 [count, noise_dim]. Of two counts, the first samples are the same.

        `truncation`: bound of normal noise, see `truncate`; None: there is none.
        """
        noise = draw_noise(self.config.noise, (count, self.config.noise_dim), [seed & 0x7FFFFFFF, GENERATE])
        if truncation is None:
            return noise
        if self.config.noise != "normal":
            raise ValueError(f"truncation={truncation}: is for normal noise, this GAN's is {self.config.noise}")
        return truncate(noise, truncation)

    def labels(self, count, label=None):
        """Labels for `count` samples, int32 [count]; None if the GAN is not conditional.

        Args:
            count: how many.
            label: a class's number or name, for all of them; or [count] numbers; None: the classes in turn.

        Raises:
            ValueError: there is no such class, or there are no classes.
        """
        if not self.classes:
            if label is not None:
                raise ValueError(f"label={label}: this GAN is not conditional")
            return None
        if label is None:
            return tf.range(count, dtype=tf.int32) % len(self.classes)
        if isinstance(label, str):
            if label not in self.classes:
                raise ValueError(f"label={label}: {unknown(label, self.classes)}")
            label = self.classes.index(label)
        if not tf.is_tensor(label):  # tensors come from batches, in graphs: whoever made them knows what they are
            numbers = np.asarray(label)
            if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or not (
                    0 <= numbers.min(initial=0) <= numbers.max(initial=0) < len(self.classes)):
                raise ValueError(f"label={label}: must be from 0 to {len(self.classes) - 1}, a number or one for each sample")
        return tf.broadcast_to(tf.cast(label, tf.int32), [count])

    def generate(self, count, seed=0, batch_size=256, network=None, label=None, truncation=None):
        """Samples from the averaged generator; the same arguments, the same samples.

        Args:
            count: how many.
            seed: int.
            batch_size: how many to make at once.
            network: another generator for the same noise, such as `gan.generator`; None: the averaged one.
            label: of a conditional GAN, see `labels`.
            truncation: see `latents`.

        Returns:
            float32 numpy array [count, H, W, C] in [-1, 1], or [count, D].
        """
        noise, label = self.latents(count, seed, truncation), self.labels(count, label)
        parts = [self.make(noise[i:i + batch_size], None if label is None else label[i:i + batch_size], network)
                 for i in range(0, max(count, 1), batch_size)]
        return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]).astype(np.float32)

    # === Saving ===

    def state(self):
        """Every variable that training changes, in a fixed order: networks, metrics, random state, both optimizers."""
        return [*self.variables, *self.metrics_variables,  # Keras counts these apart
                *self.generator_optimizer.variables, *self.discriminator_optimizer.variables]

    def get_config(self):
        fields = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.Config)}
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.networks}
        return {**networks, "config": fields, "seed": self.seed, "classes": self.classes, "name": self.name}

    def get_compile_config(self):
        return None  # compile takes what no file can hold: a loaded GAN is compiled anew

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.networks}
        # JSON has no tuples
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in config["config"].items()}
        return cls(**networks, config=cls.Config(**fields), seed=config["seed"], classes=config.get("classes", ()),
                   name=config["name"])


class _Random:
    """Numbers for this replica's `count` examples; each call draws others."""

    def __init__(self, gan, count, seed):
        self._gan, self._count, self._seed, self._calls = gan, count, seed, 0

    def _draw(self, draw_rows, tail):
        self._calls += 1
        seed = tf.random.experimental.stateless_fold_in(self._seed, self._calls)
        return self._gan._rows(functools.partial(draw_rows, alg="philox"), self._count, tail, seed)

    def uniform(self, *tail):
        return self._draw(tf.random.stateless_uniform, tail)

    def normal(self, *tail):
        return self._draw(tf.random.stateless_normal, tail)


def draw_noise(kind, shape, seed):
    """float32 of `shape`, N(0, 1) ("normal") or U(-1, 1) ("uniform"), a function of the arguments alone."""
    # philox, for else XLA takes a slower one; even so, XLA-compiled functions draw other numbers than plain ones
    if kind == "uniform":
        return tf.random.stateless_uniform(shape, seed, -1, 1, alg="philox")
    return tf.random.stateless_normal(shape, seed, alg="philox")


def truncate(noise, bound):
    """Normal noise, moved to its place in the normal distribution that is cut at ± bound: the truncation trick.

    Brock et al. 2018 (BigGAN), section 3.1, draw anew what lies outside. This is the same distribution, by way of its
    quantiles: a monotone map of each number, so that a sample changes smoothly with the bound.

    Args:
        noise: float32 [..., D], of N(0, 1).
        bound: above 0; the smaller, the more usual and the less varied samples are.
    """
    if not bound > 0:
        raise ValueError(f"truncation={bound}: must be above 0")
    tail = 0.5 * tf.math.erfc(tf.abs(noise) / 2**0.5)  # by tails, for 1 - tail would lose the digits of far ones
    least = 0.5 * tf.math.erfc(tf.cast(bound, noise.dtype) / 2**0.5)
    return tf.clip_by_value(-tf.sign(noise) * tf.math.ndtri(least + tail * (1 - 2 * least)), -bound, bound)


def len_of(batch):
    """The first dimension, as a number where it is known."""
    return batch.shape[0] if batch.shape[0] is not None else tf.shape(batch)[0]


def replicas():
    """How many devices share each batch."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def deviation(examples):
    """The standard deviation of all numbers in the global batch, of which `examples` are this replica's share."""
    if replicas() == 1:
        return tf.math.reduce_std(examples)
    mean = functools.partial(tf.distribute.get_replica_context().all_reduce, tf.distribute.ReduceOp.MEAN)
    return tf.sqrt(mean(tf.reduce_mean((examples - mean(tf.reduce_mean(examples))) ** 2)))


class LossScaled(keras.optimizers.LossScaleOptimizer):
    """Counts the steps that it leaves out, too: those whose gradient overflows. So steps, noise and data stay in time."""

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.iterations.assign_add(1)


def ready(optimizer, network):
    """An optimizer, built for a network, as `GAN.minimize` needs it: it scales the loss where float16 asks for that."""
    if keras.mixed_precision.dtype_policy().name == "mixed_float16" and not isinstance(
            optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = LossScaled(optimizer)
    # now: an unbuilt optimizer cannot be restored, nor built inside a replica
    optimizer.build(network.trainable_variables)
    # Keras's own sum over replicas comes after clipping and after the question whether all is finite, too late for both
    getattr(optimizer, "inner_optimizer", optimizer)._all_reduce_sum_gradients = list
    return optimizer
