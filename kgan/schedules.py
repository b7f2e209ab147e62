"""Values that change in the course of a run: kgan.config.Schedule, evaluated in TensorFlow and in optimizers."""
import dataclasses
import math

import keras
import tensorflow as tf

from kgan.config import Schedule, Scheduled


def at(value, progress):
    """A Scheduled at some point of a run.

    Args:
        value: a number, or a schedule as text ("cosine:2e-4:5e-5").
        progress: float32 scalar, the fraction of the run's steps that have been made; may go beyond 1.

    Returns:
        the number itself (float), or a float32 scalar tensor.
    """
    if not isinstance(value, str):
        return float(value)
    kind, start, end, begin, finish = Schedule.parse(value)
    if kind == "step":
        return tf.where(progress < finish, start, end)
    way = tf.clip_by_value((progress - begin) / (finish - begin), 0.0, 1.0)
    if kind == "exponential":
        return start * (end / start) ** way
    if kind == "cosine":
        way = 0.5 - 0.5 * tf.cos(math.pi * way)
    return start + (end - start) * way


def jumps(config, step, before):
    """How the scheduled values of a run of `before` steps change at `step`, where it is made config.steps long: list of texts."""
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type == Scheduled and isinstance(value, str):
            old, new = (float(at(value, tf.constant(step / steps, tf.float32))) for steps in (before, config.steps))
            if not math.isclose(old, new, rel_tol=1e-3):
                found.append(f"{field.name}={value} was {old:.3g} there and is {new:.3g} from there on")
    return found


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A Scheduled as a learning rate, over `steps` updates of an optimizer.

    Variables: `factor`, that it is multiplied by; `before`, updates that were made before the optimizer's first.
    """

    def __init__(self, value, steps):
        self.value, self.steps = value, steps
        self.factor = tf.Variable(1.0, trainable=False)
        self.before = tf.Variable(0.0, trainable=False)

    def __call__(self, step):
        return self.factor * at(self.value, (tf.cast(step, tf.float32) + self.before) / self.steps)

    def get_config(self):
        return {"value": self.value, "steps": self.steps}


class Adam(keras.optimizers.Adam):
    """keras.optimizers.Adam, the same numbers by one operation a variable; β2 may be a Scheduled, over `steps` updates.

    Keras's own reads and writes each variable and its moments ten times over where XLA does not join that: twice as long.
    As in R3GAN, the bias is corrected by the β2 of the moment.
    """

    def __init__(self, learning_rate, beta_1, beta_2, steps, **kwargs):
        start = Schedule.parse(beta_2).start if isinstance(beta_2, str) else beta_2
        super().__init__(learning_rate, beta_1, start, **kwargs)
        self.schedule, self.steps = beta_2, steps
        self.before = tf.Variable(0.0, trainable=False)  # updates that were made before its first

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations, tf.float32)
        beta_2 = at(self.schedule, (step + self.before) / self.steps)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].value.handle, v=self._velocities[index].value.handle,
            beta1_power=self.beta_1 ** (step + 1), beta2_power=beta_2 ** (step + 1), lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1, beta2=beta_2, epsilon=self.epsilon, grad=tf.convert_to_tensor(gradient))
