"""The optimizers of the players: from a config, from a name, from `compile`; as `kgan.game.Game.minimize` needs them."""
import keras

from kgan import schedules


def of(config, learning_rate, steps, name=None):
    """The optimizer that a Config describes.

    Args:
        learning_rate: a Scheduled of the config.
        steps: updates that it makes in the whole run.
        name: of another of Keras's optimizers than config.optimizer; it has the same rate and clipping.
    """
    name = (name or config.optimizer).lower()
    if isinstance(learning_rate, str):
        learning_rate = schedules.LearningRate(learning_rate, steps)
    cuts = {cut: getattr(config, cut) or None for cut in ("clipnorm", "clipvalue", "global_clipnorm")}
    if name == "adam":
        return schedules.Adam(learning_rate, config.beta_1, config.beta_2, steps, **cuts)
    return type(keras.optimizers.get(name))(learning_rate, **cuts)


def check(given):
    """Raises ValueError unless each of `given`, a dict of player -> what `compile` got for it, is an optimizer of its own or a name."""
    seen = {}
    for player, one in given.items():
        if isinstance(one, str):
            try:
                keras.optimizers.get(one.lower())
            except ValueError:
                raise ValueError(f"{player}_optimizer={one!r}: Keras has no optimizer of this name; \"adam\", \"rmsprop\", \"sgd\" are "
                                 "some, or give an object of keras.optimizers") from None
        elif one is not None and not isinstance(one, keras.optimizers.Optimizer):
            raise ValueError(f"{player}_optimizer={one!r}: must be an optimizer of Keras, or a name such as \"adam\"; learning rates are "
                             f"settings of the Config, {player}_learning_rate")
        elif one is not None and id(one) in seen:
            raise ValueError(f"{seen[id(one)]}_optimizer and {player}_optimizer are one object: it cannot train two networks; make one "
                             "for each")
        else:
            seen[id(one)] = player


class LossScaled(keras.optimizers.LossScaleOptimizer):
    """Counts the steps that it leaves out, too: those whose gradient overflows. So steps, noise and data stay in time."""

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.iterations.assign_add(1)


def ready(optimizer, variables):
    """An optimizer, built for variables, as `Game.minimize` needs it: it scales the loss where float16 asks for that."""
    if keras.mixed_precision.dtype_policy().name == "mixed_float16" and not isinstance(
            optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = LossScaled(optimizer)
    # now: an unbuilt optimizer cannot be restored, nor built inside a replica
    optimizer.build(variables)
    # Keras's own sum over replicas comes after clipping and after the question whether all is finite, too late for both
    getattr(optimizer, "inner_optimizer", optimizer)._all_reduce_sum_gradients = list
    return optimizer


def follow(optimizer, before):
    """Gives an optimizer the moments and the count of another, if it is of the same kind; its learning rate is its own."""
    optimizer, before = (getattr(one, "inner_optimizer", one) for one in (optimizer, before))
    rates = [getattr(one, "_learning_rate", None) for one in (optimizer, before)]
    new, old = ([variable for variable in one.variables if not any(variable is rate for rate in rates)] for one in (optimizer, before))
    if type(optimizer) is type(before) and [one.shape for one in new] == [one.shape for one in old]:
        for one, other in zip(new, old):
            one.assign(other)
