"""Config: every number of a training run, as a frozen dataclass; read from flags by name and type.

This file imports neither TensorFlow nor Keras, so that a mistake in a flag is answered at once.
"""
import dataclasses
import difflib
import math
import typing
from typing import ClassVar, Literal


class ConfigError(ValueError):
    """A setting that cannot be: the message names it, its value and what would do."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What every noise-to-sample GAN is trained with. A model's file derives its own and adds its networks' settings."""

    # === The job, read by train.py ===
    dataset: str = "glyphs"
    batch_size: int = 64  # examples an update of the discriminator, over all replicas
    steps: int = 10_000  # updates of the generator
    log_every: int = 50
    sample_every: int = 250
    checkpoint_every: int = 500
    steps_per_execution: int = 1  # steps in one call of the compiled function: worth raising where a step takes < 5 ms

    # === The update, read by GAN ===
    loss: Literal["non_saturating"] = "non_saturating"  # a name in kgan.losses
    discriminator_steps: int = 1  # updates of D for each one of G, each on fresh real examples and fresh noise
    noise: Literal["normal", "uniform"] = "normal"  # N(0, 1) or U(-1, 1)
    noise_dim: int = 100
    ema_decay: float = 0.999  # of the generator that samples are drawn from; 0: it is the last generator itself
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    generator_learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    beta_1: float = 0.5
    beta_2: float = 0.999
    clipnorm: float = 0.0  # each variable's gradient is cut to this norm; 0: not at all
    jit_compile: bool = True  # XLA; not used with several replicas

    # name of a preset -> the fields in which it differs from the defaults. A Config with presets has a field `preset`.
    presets: ClassVar[dict] = {}

    def __post_init__(self):
        positive = ("batch_size", "steps", "log_every", "sample_every", "checkpoint_every", "steps_per_execution",
                    "discriminator_steps", "noise_dim")
        for name in positive:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)}: must be above 0")
        for name in ("ema_decay", "beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")
        if not 0 <= self.clipnorm < math.inf:
            raise ConfigError(f"clipnorm={self.clipnorm}: must be at least 0")
        for field in dataclasses.fields(self):
            _check_choice(field, getattr(self, field.name))

    @classmethod
    def of(cls, **overrides):
        """The defaults, changed by the preset (if any is named or is the default), changed by `overrides`.

        Values may be strings, as flags give them: they are read according to the field's type.

        Raises:
            ConfigError: unknown name (the nearest is suggested), wrong type, value out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values = {}
        for name, value in overrides.items():
            if name not in fields:
                raise ConfigError(f"no setting is named {name!r}{nearest(name, fields)}. "
                                  f"The settings: {', '.join(fields)}")
            values[name] = _read(fields[name], value)
            _check_choice(fields[name], values[name])
        if "preset" in fields:
            values = {**cls.presets[values.get("preset", fields["preset"].default)], **values}
        return cls(**values)


def nearest(name, names):
    """' (did you mean X?)' for the nearest of `names`, or ''."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_choice(field, value):
    if typing.get_origin(field.type) is Literal and value not in typing.get_args(field.type):
        choices = typing.get_args(field.type)
        raise ConfigError(f"{field.name}={value}: must be one of {', '.join(map(str, choices))}"
                          f"{nearest(str(value), map(str, choices))}")


def _read(field, value):
    """`value`, or the text of one, as the type of `field`."""
    kind, text = field.type, str(value).strip()
    try:
        if typing.get_origin(kind) is Literal or kind is str:
            return text
        if typing.get_origin(kind) is tuple:
            parts = value if isinstance(value, (tuple, list)) else text.strip("()[]").split(",")
            return tuple(int(part) for part in parts if str(part).strip())
        if kind is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind is int:
            number = float(text)  # 1e4 is an integer too
            if number != int(number):
                raise ValueError
            return int(number)
        number = kind(text)
        if number != number:
            raise ValueError
        return number
    except (ValueError, KeyError, OverflowError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "whole numbers, as in 64,32")
        raise ConfigError(f"{field.name}={value}: must be {wanted}") from None
