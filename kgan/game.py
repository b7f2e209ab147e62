"""Game: the machinery of networks that several players train against each other, whatever they play.

Optimizers, the one place that knows about replicas and precision (`minimize`), averaged networks, where numbers ended, what
a checkpoint holds. `kgan.gan.GAN` adds the adversarial update.
"""
import dataclasses
import inspect
import math

import keras
import numpy as np
import tensorflow as tf

from kgan import contracts, losses, optimizers, penalties, schedules
from kgan.config import Config
from kgan.kinds import Field
from kgan.layers import plain
from kgan.replicas import replicas

# what a step computes, in this order: the first that is not finite is the cause of what follows
CHECKED = "the real examples", "the generated examples", "D's loss", "D's gradient", "G's loss", "G's gradient"
LETTERS = {"generator": "G", "discriminator": "D"}  # players whose losses and gradients are watched


class Game(keras.Model):
    """Networks that are attributes, and players that move them, each with an optimizer of its own.

    A player's optimizer is the attribute PLAYER_optimizer, its rate PLAYER_learning_rate of the config. Of a network NAME in
    `averaged` there is a copy ema_NAME whose weights follow it. What holds several networks must be a class attribute or a
    method: in a .weights.h5 or .keras file a network's path is the alphabetically first attribute that holds it.

    Attributes:
        players: dict of player -> names of the networks that it moves. The first one's updates are the steps.
        averaged: names of networks.
    """

    Config = Config  # of the model, for `from_config`
    players = {"generator": ("generator",), "discriminator": ("discriminator",)}
    averaged = ("generator",)

    def __init__(self, config=None, seed=0, name="gan"):
        contracts.environment()
        super().__init__(name=name)
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"config={config!r}: must be a Config, as in kgan.Config(noise_dim=64)")
        self.config = config or self.Config()
        self.seed = int(seed)
        # player -> updates that it made before its optimizer began to count: the optimizer may be newer than the model
        self._before = {player: tf.Variable(0, trainable=False, dtype=tf.int64) for player in self.players}
        self._means = {}  # name -> keras.metrics.Mean since the last reset, over all replicas
        # where numbers ended: 0, or the step times len(CHECKED), plus the place in it. Of each replica; no part of the state
        self._fault = tf.Variable(0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.SUM,
                                  synchronization=tf.VariableSynchronization.ON_READ)

    def average(self, name):
        """Makes ema_NAME, a copy of the network whose weights follow its, batch statistics too. It is never trained itself.

        Layers that are Keras's but for their speed in training are Keras's own there, so that its file needs no kgan.
        """
        network = getattr(self, name)
        usual = type(network).__module__.startswith("keras.")  # a subclass with a config of its own is copied by that
        copy = keras.models.clone_model(network, clone_function=plain if usual else None)
        copy.set_weights(network.get_weights())
        copy.trainable = False
        for layer in copy._flatten_layers():
            layer.dtype_policy = "float32"  # whatever is trained in: samples, measures and exports come from it
        setattr(self, f"ema_{name}", copy)

    # === Properties ===

    @classmethod
    def networks(cls):
        """Names of all networks that are trained, in the order of the players."""
        return tuple(dict.fromkeys(name for names in cls.players.values() for name in names))

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

    def optimizer_of(self, player):
        return getattr(self, f"{player}_optimizer")

    def moved_by(self, player):
        """The variables that a player moves."""
        return [variable for name in self.players[player] for variable in getattr(self, name).trainable_variables]

    @property
    def iterations(self):
        """Updates of the first player so far, int64."""
        first = next(iter(self.players))
        return tf.cast(self.optimizer_of(first).iterations, tf.int64) + self._before[first]

    @property
    def step(self):
        """Updates of the first player, the generator, so far. The model keeps this count when it is compiled again or saved."""
        return self.made()[next(iter(self.players))]

    def made(self):
        """Updates of each player so far, a dict."""
        return {player: int(before.numpy()) + (int(self.optimizer_of(player).iterations.numpy()) if self._has(player) else 0)
                for player, before in self._before.items()}

    def _has(self, player):
        return getattr(self, f"{player}_optimizer", None) is not None

    @property
    def progress(self):
        """The fraction of the run's steps that have been made, float32: where schedules stand."""
        return tf.cast(self.iterations, tf.float32) / self.config.steps

    def now(self, value):
        """What a Scheduled of the config is at this step."""
        return schedules.at(value, self.progress)

    def updates(self, player):
        """How many updates a player makes in the whole run."""
        return self.config.steps * (self.config.discriminator_steps if player == "discriminator" else 1)

    # === Compiling ===

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, loss=None, penalty=None, **kwargs):
        """Prepares the GAN for `fit`. What is left out is taken from the config.

        If the GAN has been trained, or loaded from a file, training will continue where it was: steps, schedules, noise, averages, and
        the optimizers' moments if the optimizers are of the same kind as before.

        Args:
            generator_optimizer, discriminator_optimizer: keras optimizers, a separate one for each; or their names, "adam", which then
                have the config's learning rate, beta_1, beta_2 and clipping. Other players have PLAYER_optimizer.
            loss: a name in kgan.losses, or a kgan.losses.Objective.
            penalty: a name in kgan.penalties, or a kgan.penalties.Penalty.
            **kwargs: for keras.Model.compile, such as jit_compile, run_eagerly, steps_per_execution. The last is set to 1 if there are
                several replicas, and reduced so that it divides the first steps of all phases.

        Raises:
            ValueError: there is no such argument, or it is not for GANs.
        """
        for name in ("optimizer", "metrics", "weighted_metrics", "loss_weights"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"compile({name}=…): " + (
                    "each network has an optimizer of its own; give generator_optimizer and discriminator_optimizer"
                    if name == "optimizer" else "is not for GANs; the Config weighs losses, and kgan.metrics measures samples"))
        if not kwargs.pop("auto_scale_loss", True):
            raise ValueError("compile(auto_scale_loss=False): a loss in float16 is always scaled; choose mixed_bfloat16, which needs no scaling")
        strange = kwargs.keys() - inspect.signature(keras.Model.compile).parameters - {f"{player}_optimizer" for player in self.players}
        if strange:
            known = [*(f"{player}_optimizer" for player in self.players), "loss", "penalty"]
            raise ValueError(f"compile({', '.join(f'{name}=…' for name in sorted(strange))}): there is no such argument; there are "
                             f"{', '.join(known)} and those of keras.Model.compile; all else is a setting of the Config")
        given = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
        given |= {player: kwargs.pop(f"{player}_optimizer", None) for player in self.players if player not in given}
        optimizers.check(given)
        jit = "auto" if self.config.jit_compile is None else self.config.jit_compile
        if replicas() > 1 or kwargs.get("run_eagerly"):
            jit = False
        if replicas() > 1:  # whose sums TensorFlow cannot place in the loop over steps
            kwargs["steps_per_execution"] = 1
        # no call of several steps may reach over the border of a phase
        kwargs["steps_per_execution"] = math.gcd(kwargs.get("steps_per_execution") or 1, *(first for first, _ in self.phases()))
        super().compile(optimizer=None, **{"jit_compile": jit, **kwargs})
        self.objective = losses.get(loss or self.config.loss, self.config.label_smoothing)
        self.penalty = penalties.get(penalty or self.config.penalty)
        self._usual = not any(given.values()) and not loss and not penalty
        made = self.made()
        for player in self.players:
            before = self.optimizer_of(player) if self._has(player) else None
            found = given[player]
            if found is None or isinstance(found, str):
                found = optimizers.of(self.config, self._rate(player), self.updates(player), found)
            optimizer = optimizers.ready(found, self.moved_by(player))
            setattr(self, f"{player}_optimizer", optimizer)
            if before is not None and optimizer is not before:
                optimizers.follow(optimizer, before)
            self._begins(player, made[player] - int(optimizer.iterations.numpy()))
        for layer in self._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization) and replicas() > 1:
                layer.synchronized = True  # statistics are the global batch's. On one device that would only cost time

    def _begins(self, player, before):
        """Says that a player had made `before` updates when its optimizer made the first."""
        self._before[player].assign(before)
        optimizer = getattr(self.optimizer_of(player), "inner_optimizer", self.optimizer_of(player))
        for scheduled in (optimizer, getattr(optimizer, "_learning_rate", None)):
            if isinstance(scheduled, (schedules.Adam, schedules.LearningRate)):
                scheduled.before.assign(before)

    def scale_learning_rates(self, factor):
        """Sets the learning rates of all players to `factor` times the config's."""
        for player in self.players:
            optimizer, rate = self.optimizer_of(player), self._rate(player)
            if isinstance(rate, str):
                getattr(optimizer, "inner_optimizer", optimizer)._learning_rate.factor.assign(factor)
            else:
                optimizer.learning_rate = factor * rate

    def _rate(self, player):
        return getattr(self.config, f"{player}_learning_rate")

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: it is built. Keras would put together a batch to build it with, and with several hosts fails to."""

    # === Phases ===

    def phases(self):
        """The updates of a run, one after the other: a tuple of (first step, method), the first at step 0.

        From its first step on a method takes the place of `train_step`: it gets a batch, and returns `results`, of all means or
        of those that it measures. It is known by its name, without a `_step` at the end; `train_step` is "adversarial".
        Phases that begin at the same step: the last counts. Steps are the first player's updates; a phase in which
        that player does not move calls `rest`.
        """
        return ((0, self.train_step),)

    def phase_of(self, step):
        """The name of the phase that update number `step`, counted from 0, belongs to; "" where there is but one."""
        phases = self.phases()
        name = phases[_last(phases, step)][1].__name__
        return "" if len(phases) == 1 else "adversarial" if name == "train_step" else name.removesuffix("_step")

    def rest(self, player):
        """Counts a step in which a player does not move."""
        optimizer = self.optimizer_of(player)
        optimizer.iterations.assign_add(1)
        if (inner := getattr(optimizer, "inner_optimizer", None)) is not None:
            inner.iterations.assign_add(1)

    def make_train_function(self, force=False):
        if self._train_function is None or force:
            phases = self.phases()
            self._phase = _last(phases, self.step) if len(phases) > 1 else 0
            self.train_function = self._make_function(phases[self._phase][1])

    @property
    def train_function(self):
        """What Keras calls for `steps_per_execution` steps, in `fit` and `train_on_batch`: made anew where a phase begins."""
        phases = self.phases() if self._train_function is not None else ()
        if len(phases) > 1:
            step, size = self.step, self.steps_per_execution
            phase = _last(phases, step)
            if phase + 1 < len(phases) and step + size > phases[phase + 1][0]:
                raise ValueError(f"steps_per_execution={size}: a call at step {step} would reach over step {phases[phase + 1][0]}, "
                                 "where another phase begins; compile with steps_per_execution=1")
            if phase != self._phase:
                self.make_train_function(force=True)
        return self._train_function

    @train_function.setter
    def train_function(self, function):
        self._train_function = function

    # === The parts that steps are built from ===

    def results(self, *names):
        """What a step returns: the means so far, all of them or those of these names."""
        # of several hosts Keras joins what replicas return along the first dimension, and takes the mean of that
        several_hosts = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
        shape = [1] if several_hosts else []
        return {name: tf.reshape(self._means[name].result(), shape) for name in names or self._means}

    def minimize(self, loss_function, player, parts=((),), tape=None):
        """One step of a player's optimizer down the mean over the parts of `loss_function(*part)`, by its networks alone.

        The only place that knows about replicas, loss scaling and accumulation: gradients are summed over replicas, so the
        loss, a mean over this replica's share, is divided by their number first. What clips a gradient, measures it or
        asks whether it is finite sees the sum: the same on all replicas, and the same as on one device.

        Args:
            loss_function: function that returns a scalar, the mean over the examples of a part of this replica's share.
            player: name of a player.
            parts: tuples of arguments for `loss_function`; their gradients are taken one after the other.
            tape: tf.GradientTape that has seen the computation made before, of the one part; None: there is no such.
        """
        variables, optimizer = self.moved_by(player), self.optimizer_of(player)
        gradients = []
        for part in parts:
            recording = tape or tf.GradientTape()
            with tf.control_dependencies(gradients), recording:
                value = loss_function(*part)
                loss = optimizer.scale_loss(value / (replicas() * len(parts)))
            self.check(f"{LETTERS.get(player)}'s loss", value)
            found = recording.gradient(loss, variables, unconnected_gradients="zero")
            gradients = [one + other for one, other in zip(gradients, found)] if gradients else found
        if replicas() > 1:
            gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if player in LETTERS:
            self._measure(LETTERS[player], optimizer, gradients)
        optimizer.apply(gradients, variables)
        bound = {"discriminator": self.config.weight_clip, "generator": self.config.generator_weight_clip}.get(player)
        if bound:
            for name in self.players[player]:
                penalties.clip_weights(getattr(self, name), bound)

    def _measure(self, letter, optimizer, gradients):
        """Notes the norm of a player's gradient, before any clipping."""
        scale = optimizer.scale_loss(tf.ones([]))
        parts = [tf.reshape(tf.cast(gradient, tf.float32) / scale, [-1]) for gradient in gradients]
        # each is several times faster than tf.reduce_sum(part**2) where it is used, and slower where it is not
        square = (lambda part: tf.tensordot(part, part, 1)) if self.jit_compile else lambda part: 2 * tf.nn.l2_loss(part)
        norm = tf.sqrt(tf.add_n([square(part) for part in parts]))
        # a scaled gradient may overflow: that step is left out and the scale is lowered, which is as it should be
        kept = tf.math.is_finite(norm) if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else True
        self.check(f"{letter}'s gradient", tf.where(kept, norm, 0.0))
        self._means[f"{letter.lower()}_gradient"].update_state(tf.where(kept, norm, 0.0),
                                                               sample_weight=tf.cast(kept, tf.float32))

    def check(self, name, values):
        """Notes where numbers end: that `values`, what `name` in CHECKED is in this step, are not all finite."""
        if name in CHECKED:
            finite = tf.reduce_all(tf.math.is_finite(values))
            here = (tf.cast(self.iterations, tf.int64) + 1) * len(CHECKED) + CHECKED.index(name)
            self._fault.assign(tf.where(finite | (self._fault > 0), self._fault, here))

    def update_averages(self):
        """Moves each averaged network towards the one that it follows: weights, and batch statistics too.

        Warm-up: at step t the decay is at most (1 + t) / (10 + t), so that the first, random weights are soon forgotten.
        """
        step = tf.cast(self.iterations, tf.float32)
        decay = tf.minimum(self.now(self.config.ema_decay), (1 + step) / (10 + step))
        for name in self.averaged:
            for average, variable in zip(getattr(self, f"ema_{name}").weights, getattr(self, name).weights):
                average.assign(variable + decay * (average - variable))

    # === Saving ===

    def save(self, filepath, *args, **kwargs):
        """keras.Model.save, to a .keras file. Raises ValueError: another format is asked for, which cannot hold a GAN."""
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(f"save({str(filepath)!r}): HDF5 cannot hold a GAN; let the name end in .keras, or in .weights.h5 with "
                             "save_weights")
        super().save(filepath, *args, **kwargs)

    def export(self, *args, **kwargs):
        """Raises ValueError: a GAN is several networks, of which others want one."""
        raise ValueError("export: a GAN is several networks; gan.ema_generator.export(PATH) writes the generator, and so does "
                         "kgan export RUN, which also checks it")

    def prepare(self, settings):
        """What a GAN needs of its data before step 0; train.py calls it. Here nothing; see advgan.

        Args:
            settings: as in a run's config.json: `dataset` …

        Returns:
            (a sentence to be printed or "", a warning or "").
        """
        return "", ""

    def settle(self):
        """What a trained GAN needs before it is measured or exported; `kgan.run.load` calls it. Here nothing; see biggan."""

    def state(self):
        """Every variable that training changes, in a fixed order: networks, metrics, random state, all optimizers."""
        return [*self.variables, *self.metrics_variables,  # Keras counts these apart
                *(variable for player in self.players for variable in self.optimizer_of(player).variables)]

    def get_config(self):
        fields = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.Config)}
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.networks()}
        return {**networks, "config": fields, "seed": self.seed, "name": self.name}

    def get_compile_config(self):
        """None, so that a loaded GAN is to be compiled anew, where `compile` was given what no file can hold."""
        return {"usual": True} if self.compiled and self._usual else None

    def compile_from_config(self, config):
        self.compile()

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["updates"] = np.array([[count, int(self._before[player])] for player, count in self.made().items()], np.int64)

    def load_own_variables(self, store):
        """Without "updates" the file is older: the steps stay as they are."""
        values = {name: store[name] for name in store.keys()}
        for player, (count, before) in zip(self.players, np.asarray(values.pop("updates", ()))):
            if self._has(player):
                self.optimizer_of(player).iterations.assign(int(count - before))
                self._begins(player, int(before))
            else:
                self._before[player].assign(int(count))
        super().load_own_variables(values)

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.networks()}
        # JSON has no tuples
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in config["config"].items()}
        fields = {name: Field(**field) for name, field in config.get("fields", {}).items()}
        return cls(**networks, config=cls.Config(**settings), seed=config["seed"], classes=config.get("classes", ()),
                   fields=fields, name=config["name"])


def _last(phases, step):
    """Which of `phases` a step is of: the last that has begun."""
    return max(i for i, (first, _) in enumerate(phases) if first <= step)
