"""Config: every number of a training run, as a frozen dataclass; read from flags by name and type.

This file imports neither TensorFlow nor Keras, so that a mistake in a flag is answered at once.
"""
import dataclasses
import difflib
import math
import typing
from typing import ClassVar, Literal, NamedTuple

from kgan.command import UserError


class ConfigError(UserError, ValueError):
    """A setting that cannot be: the message names it, its value and what would do."""


# names in kgan.losses and kgan.penalties, which import TensorFlow
Loss = Literal["non_saturating", "minimax", "least_squares", "wasserstein", "hinge", "soft_hinge",
               "relativistic", "relativistic_average", "mmd_rbf", "mmd_polynomial"]
Penalty = Literal["none", "gp", "dragan", "r1", "r2", "r1+r2", "zero_centered"]
EvaluateBy = Literal["frechet_distance", "kernel_distance", "sliced_wasserstein", "precision", "recall", "density", "coverage",
                     "psnr", "ssim", "l1", "iou", "si_sdr", "segmental_snr", "stoi", "pesq", "music_distance", "hole_l1", "hole_psnr"]
Auto = bool | None  # a switch; None leaves it to what suits the device at hand
Scheduled = float | str  # a number, or the text of a Schedule: the type of a field that may change in the course of a run


class Schedule(NamedTuple):
    """How a value goes from `start` to `end` between two points of a run, given as fractions of its steps.

    As text: linear:START:END, cosine:START:END, exponential:START:END, with :FINISH or :BEGIN:FINISH behind if need be;
    step:START:END:AT. `kgan.schedules` evaluates it.
    """

    kind: str
    start: float
    end: float
    begin: float = 0.0
    finish: float = 1.0

    @classmethod
    def parse(cls, text):
        """The schedule in a text. Raises ValueError: it is none."""
        kind, *numbers = str(text).split(":")
        numbers = [float(number) for number in numbers]
        counts = {"linear": (2, 3, 4), "cosine": (2, 3, 4), "exponential": (2, 3, 4), "step": (3,)}
        if len(numbers) not in counts.get(kind, ()) or not all(map(math.isfinite, numbers)):
            raise ValueError
        start, end, *fractions = numbers
        begin, finish = [0.0, 1.0, *fractions][-2:] if len(fractions) != 1 else (0.0, fractions[0])
        if not (0 <= begin < finish <= 1 if kind != "step" else 0 < finish < 1):
            raise ValueError
        if kind == "exponential" and not (start > 0 and end > 0):
            raise ValueError
        return cls(kind, start, end, begin, finish)


def extremes(value):
    """The least and the greatest value that a Scheduled takes."""
    if isinstance(value, str):
        schedule = Schedule.parse(value)
        return min(schedule.start, schedule.end), max(schedule.start, schedule.end)
    return value, value


class _WithPreset(type):
    """Makes Config(preset=…) what Config.of(preset=…) is: what is not given is the preset's, then the default."""

    def __call__(cls, *args, **values):
        values = dict(zip((field.name for field in dataclasses.fields(cls)), args)) | values
        if values.get("dataset") in cls.suits:
            values.setdefault("preset", cls.suits[values["dataset"]])
        preset = values.get("preset", getattr(cls, "preset", None))  # a wrong name is refused with the other choices
        return super().__call__(**{**cls.presets.get(preset, {}), **values})


@dataclasses.dataclass(frozen=True)
class Config(metaclass=_WithPreset):
    """The settings of a GAN and of its training. Each model's file derives a Config of its own, with its networks' settings.

    If a Config has presets, what is not given comes from `preset`. (`dataclasses.replace` gives every field, so with it a preset
    changes nothing; use `Config.of(preset=…)`.)
    """

    # === The job, read by train.py ===
    dataset: str = "glyphs"  # a name that --list prints, folder:PATH, MODULE:FUNCTION, or a name of tensorflow-datasets
    condition: str = ""  # the field of the data that the classes of a conditional model come from
    bins: int = 6  # if that field is a number: how many classes of equal size it is cut into
    batch_size: int = 64  # examples in an update of the discriminator, over all replicas
    steps: int = 10_000  # updates of the generator
    log_every: int = 50  # steps between two rows of log.csv
    sample_every: int = 250  # steps between two sheets of samples
    checkpoint_every: int = 500  # steps between two checkpoints
    evaluate_every: int = 0  # steps between two measurements of quality, a multiple of log_every; 0: none
    evaluate_by: EvaluateBy = "frechet_distance"  # the figure by which the best checkpoint is kept
    evaluate_count: int = 5_000  # samples, and as many reference examples, in each
    features: str = "auto"  # the network behind the figures: see kgan/metrics/features.py
    # steps in one call of the compiled function: worth raising if a step takes < 5 ms; with several replicas it is 1.
    # 0: whatever is best on this device, see kgan.devices.steps_per_execution
    steps_per_execution: int = 0

    # === The update, read by GAN. Scheduled: a number, or cosine:START:END, linear:…, step:… (Schedule) ===
    loss: Loss = "non_saturating"
    label_smoothing: float = 0.0  # D's target for real examples is 1 minus this
    discriminator_steps: int = 1  # updates of D for each one of G, each on fresh real examples and fresh noise
    accumulation: int = 1  # parts in which an update's batch is computed, one after the other, to save memory
    noise: Literal["normal", "uniform"] = "normal"  # N(0, 1) or U(-1, 1)
    noise_dim: int = 100  # numbers of noise from which a sample is made
    ema_decay: Scheduled = 0.999  # of the averaged generator, which makes the samples; 0: the last generator does

    penalty: Penalty = "none"
    penalty_weight: Scheduled = 10.0  # λ or γ of its paper
    penalty_every: int = 1  # the penalty is computed in every so many-th update of D, and weighted by as much
    drift_weight: Scheduled = 0.0  # ε: weight of the mean square of D's logits, of real and fake examples
    consistency_weight: float = 0.0  # λ of consistency regularisation: D(flipped and shifted x) should equal D(x)
    latent_consistency_weight: float = 0.0  # λ of latent consistency: D(G(z + δ)) should equal D(G(z))
    latent_diversity_weight: float = 0.0  # λ of latent diversity: G(z + δ) should differ from G(z)
    latent_noise: float = 0.05  # standard deviation of δ
    freeze_discriminator: int = 0  # number of D's first layers with kernels that fine-tuning does not change (FreezeD)
    weight_clip: float = 0.0  # every weight of D is clipped to ± this after each update; 0: not at all
    generator_weight_clip: float = 0.0  # the same for the generator

    augment: str = ""  # random changes to all images that D sees: flip, rotate90, color, translation, cutout, joined by +
    augment_probability: Scheduled = 1.0  # of each of these changes, for each image
    augment_target: float = 0.0  # above 0: the probability starts at 0 and adapts so that the mean sign of D(x) is this (ADA)
    augment_images: int = 500_000  # real images after which an adapted probability can have gone from 0 to 1
    instance_noise: Scheduled = 0.0  # standard deviation of the noise that is added to what D sees
    packing: int = 1  # samples that D judges together (PacGAN)
    discriminator_outputs: int = 1  # logits for each example, more than one only for an MMD objective, which compares them; 16, say

    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    generator_learning_rate: Scheduled = 2e-4  # a number, or a schedule such as linear:2e-4:0
    discriminator_learning_rate: Scheduled = 2e-4  # likewise
    beta_1: float = 0.5  # of Adam: decay of the mean gradient
    beta_2: Scheduled = 0.999  # of Adam: decay of the mean squared gradient
    clipnorm: float = 0.0  # each variable's gradient is clipped to this norm; 0: not at all
    clipvalue: float = 0.0  # each number of a gradient is clipped to ± this
    global_clipnorm: float = 0.0  # a network's whole gradient is clipped to this norm
    # XLA; None: as Keras does it, on a GPU but not on a CPU, where it is seldom faster; never with several replicas
    jit_compile: Auto = None

    # name of a preset -> the fields in which it differs from the defaults. A Config with presets has a field `preset`.
    presets: ClassVar[dict] = {}
    suits: ClassVar[dict] = {}  # name of a data set -> the preset that it is trained with where none is named
    # field of the data -> its kind (kgan.kinds), of what is made and of what is given beside noise and label, as in
    # {"input": "image", "image": "image"}; {}: whatever one thing the data make
    needs: ClassVar[dict] = {}
    unlabelled: ClassVar[bool] = False  # of a model that takes labels: whether it does without them too, condition=
    paired: ClassVar[bool] = True  # whether the fields of an example belong together

    def __post_init__(self):
        for name in ("batch_size", "steps", "log_every", "sample_every", "checkpoint_every", "discriminator_steps",
                     "accumulation", "penalty_every", "packing", "discriminator_outputs", "augment_images"):
            self._check(name, 1)
        self._check("noise_dim", 0 if len(self.needs) > 1 else 1)  # what is made of something else may do without
        self._check("bins", 2)
        self._check("evaluate_every", 0)
        self._check("evaluate_count", 2)
        if self.evaluate_every % self.log_every:
            raise ConfigError(f"evaluate_every={self.evaluate_every}: must be a multiple of log_every={self.log_every}")
        for name in ("label_smoothing", "ema_decay", "beta_1", "beta_2", "augment_target"):
            self._check(name, 0, below=1)
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            self._check(name, 0)
            if extremes(getattr(self, name))[1] == 0:
                raise ConfigError(f"{name}=0: must be above 0")
        for field in dataclasses.fields(self):
            if field.type in (int, float, Scheduled):
                self._check(field.name, 0)
        if extremes(self.augment_probability)[0] < 0 or extremes(self.augment_probability)[1] > 1:
            raise ConfigError(f"augment_probability={self.augment_probability}: must be from 0 to 1")
        for policy in self.augmentations:
            if policy not in AUGMENTATIONS:
                raise ConfigError(f"augment={self.augment}: no augmentation is named {policy!r}"
                                  f"{nearest(policy, AUGMENTATIONS)}; join some of {', '.join(AUGMENTATIONS)} by +")
        if self.augment_target and not self.augment:
            raise ConfigError("augment_target: name what is to be adapted, as in augment=flip+color+translation+cutout")
        clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, name)]
        if len(clips) > 1:
            raise ConfigError(f"{' and '.join(clips)}: a gradient can be cut in one way only")
        for name in ("accumulation", "packing"):
            if self.batch_size % getattr(self, name):
                raise ConfigError(f"batch_size={self.batch_size}: must be a multiple of {name}={getattr(self, name)}")
        if self.batch_size % (self.accumulation * self.packing):
            raise ConfigError(f"batch_size={self.batch_size}: must be a multiple of accumulation × packing")
        for field in dataclasses.fields(self):
            _check_choice(field, getattr(self, field.name))

    def _check(self, name, least=None, above=None, below=math.inf):
        low, high = extremes(getattr(self, name))
        if not ((least is None or low >= least) and (above is None or low > above) and high < below):
            wanted = f"at least {least}" if above is None else f"above {above}"
            wanted += "" if below == math.inf else f" and below {below}"
            raise ConfigError(f"{name}={getattr(self, name)}: must be {wanted}")

    @property
    def augmentations(self):
        """The names in `augment`, as a tuple."""
        return tuple(name.strip() for name in self.augment.split("+") if name.strip())

    def packed(self, shape):
        """Shape of what D judges at once, given that of one example: `packing` of them, joined along the last axis."""
        return (*shape[:-1], shape[-1] * self.packing)

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
                near = nearest(name, fields)
                raise ConfigError(f"no setting is named {name!r}{near}; " + (
                    "kgan settings MODEL explains all of them" if near else f"there are {', '.join(fields)}"))
            values[name] = _read(fields[name], value)
            _check_choice(fields[name], values[name])
        conditional = fields["condition"].default
        if bool(values.get("condition", conditional)) != bool(conditional) and not cls.unlabelled:
            raise ConfigError(f"condition={values['condition']}: " + (
                "which field of the data? condition=label, for instance" if conditional else
                "this model takes no labels; cgan, acgan, projection, biggan and agecgan do"))
        return cls(**values)

    @classmethod
    def given(cls, config, settings):
        """What `build` of a model's file is given: a Config, or else settings by name, as for `of`.

        Raises:
            ConfigError: both are given, or what is given is no Config.
        """
        if config is None:
            fields = [field.name for field in dataclasses.fields(cls)]
            for name in settings:
                near = nearest(name, ("shape", "classes", "seed"))
                if name not in fields and near and not nearest(name, fields):
                    raise ConfigError(f"build({name}=…): there is neither an argument nor a setting of this name{near}")
            return cls.of(**settings)
        if not isinstance(config, Config):
            raise ConfigError(f"config={config!r}: must be a Config; settings are given by name, as in build(shape, preset=\"small\", "
                              "steps=1_000)")
        if settings:
            raise ConfigError(f"{', '.join(settings)}: a config is given, too; put all settings into it, or give all of them by name")
        return config


# the fields that say what is trained on, how long, and how it is watched, whichever model it is
JOB = ("dataset", "batch_size", "steps", "log_every", "sample_every", "checkpoint_every", "evaluate_every", "evaluate_by",
       "evaluate_count", "features")
AUGMENTATIONS = ("flip", "rotate90", "color", "translation", "cutout")  # kgan.augment has them


def nearest(name, names):
    """' (did you mean X?)' for the nearest of `names`, or ''."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown(name, classes):
    """What to say where no class is called `name`."""
    return (f"no class has this name{nearest(name, classes)}; there are: {', '.join(classes[:20])}"
            f"{' …' if len(classes) > 20 else ''}")


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
            return tuple(_whole(int(part)) for part in parts if str(part).strip())
        if kind == Auto and text.lower() in ("auto", "none"):
            return None
        if kind in (bool, Auto):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind is int:
            return _whole(float(text))  # 1e4 is an integer too
        if kind == Scheduled and ":" in text:
            Schedule.parse(text)
            return text
        number = float(text)
        if not math.isfinite(number):
            raise ValueError
        return number
    except (ValueError, KeyError, OverflowError):
        wanted = {int: "a whole number, at most 2147483647", float: "a number", bool: "true or false",
                  Auto: "true, false or auto", Scheduled: "a number, or linear:START:END[:FINISH] or step:START:END:AT, the last "
                  "a fraction of the run; cosine and exponential are written as linear"}.get(kind, "whole numbers, as in 64,32")
        raise ConfigError(f"{field.name}={' '.join(str(value).split())}: must be {wanted}") from None


def _whole(number):
    """`number` as an int, of as many bits as TensorFlow's. Raises ValueError, OverflowError: it is none."""
    if number != int(number) or abs(number) > 2**31 - 1:
        raise ValueError
    return int(number)
