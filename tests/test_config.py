import dataclasses
import json
import math
import re
from pathlib import Path

import pytest

from kgan import models
from kgan.config import Config, ConfigError, nearest
from kgan.models import mlp

ALL = models.names()


def config_of(name):
    return models.outline(name).Config


# === Reading ===

@pytest.mark.parametrize("text, value", [("500", 500), ("1e4", 10_000), (" 7 ", 7), (7, 7), (7.0, 7), ("2.0", 2)])
def test_whole_numbers(text, value):
    steps = Config.of(steps=text).steps
    assert steps == value and type(steps) is int


@pytest.mark.parametrize("text", ["1.5", "many", "", "inf", "1e400", "nan", None, "0x10", [3]])
def test_what_is_no_whole_number(text):
    with pytest.raises(ConfigError, match=r"steps=.*must be a whole number"):
        Config.of(steps=text)


@pytest.mark.parametrize("text, value", [("2e-4", 2e-4), ("1", 1.0), (3e-5, 3e-5), (".5", 0.5)])
def test_numbers(text, value):
    rate = Config.of(generator_learning_rate=text).generator_learning_rate
    assert rate == value and type(rate) is float


@pytest.mark.parametrize("text", ["fast", "", "nan", math.nan, None])
def test_what_is_no_number(text):
    with pytest.raises(ConfigError, match="generator_learning_rate=.*must be a number"):
        Config.of(generator_learning_rate=text)


@pytest.mark.parametrize("text, value", [("true", True), ("True", True), ("1", True), ("yes", True), (True, True),
                                         ("false", False), ("FALSE", False), ("0", False), ("no", False), (False, False),
                                         ("auto", None), (None, None)])
def test_truth(text, value):
    assert Config.of(jit_compile=text).jit_compile is value


def test_what_is_neither_true_nor_false():
    with pytest.raises(ConfigError, match="jit_compile=maybe: must be true, false or auto"):
        Config.of(jit_compile="maybe")
    with pytest.raises(ConfigError, match="minibatch_std=auto: must be true or false"):
        mlp.Config.of(minibatch_std="auto")


@pytest.mark.parametrize("text, value", [("64,32", (64, 32)), ("(64, 32)", (64, 32)), ("[64]", (64,)), ("64,", (64,)),
                                         ((8, 4), (8, 4)), ([8, 4], (8, 4)), ("", ()), (64, (64,))])
def test_tuples(text, value):
    assert config_of("mlp").of(generator_units=text).generator_units == value


@pytest.mark.parametrize("text", ["64;32", "wide", "1.5", "64,x"])
def test_what_is_no_tuple(text):
    with pytest.raises(ConfigError, match="generator_units=.*whole numbers, as in 64,32"):
        config_of("mlp").of(generator_units=text)


# === Checking ===

@pytest.mark.parametrize("name", ["batch_size", "steps", "log_every", "sample_every", "checkpoint_every",
                                  "discriminator_steps", "noise_dim", "accumulation", "penalty_every",
                                  "packing", "discriminator_outputs"])
def test_counts_start_at_one(name):
    assert getattr(Config.of(**{name: 1}), name) == 1
    for value in (0, -3):
        with pytest.raises(ConfigError, match=f"{name}={value}: must be at least 1"):
            Config.of(**{name: value})


@pytest.mark.parametrize("name, good, bad", [
    ("generator_learning_rate", [1e-9, 10, "linear:1e-3:0"], [0, -1e-4, "inf", "linear:1e-3:-1", "step:0:0:.5"]),
    ("discriminator_learning_rate", [1e-9, 10], [0, -1e-4, "inf"]),
    ("ema_decay", [0, 0.9999, "linear:0:.99"], [1, 1.5, -0.1, "linear:.9:1"]),
    ("beta_1", [0, 0.9], [1, -0.1, "linear:0:.5"]),
    ("beta_2", [0, 0.999, "cosine:.9:.99"], [1, 2, "cosine:.9:1"]),
    ("steps_per_execution", [0, 1, 50], [-1]),
    ("clipnorm", [0, 5], [-1, "inf"]),
    ("clipvalue", [0, 5], [-1, "inf"]),
    ("global_clipnorm", [0, 5], [-1, "inf"]),
    ("weight_clip", [0, 0.01], [-0.01]),
    ("generator_weight_clip", [0, 0.01], [-0.01]),
    ("penalty_weight", [0, 10, "exponential:1:1e-4:.5"], [-1, "linear:1:-1", "exponential:1:0"]),
    ("drift_weight", [0, 0.1, "linear:0:.1:.5"], [-1]),
    ("consistency_weight", [0, 10], [-1]),
    ("latent_consistency_weight", [0, 5], [-1]),
    ("latent_diversity_weight", [0, 0.5], [-1]),
    ("label_smoothing", [0, 0.1], [1, -0.1]),
    ("instance_noise", [0, 0.1, "linear:0.1:0"], [-0.1, "linear:0.1:-0.1"]),
    ("augment_probability", [0, 1, "cosine:0:.55:.1"], [1.1, -0.1, "linear:0:2"]),
    ("augment_target", [0], [1, -0.1]),
])
def test_ranges(name, good, bad):
    for value in good:
        assert getattr(Config.of(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ConfigError, match=f"^{name}="):
            Config.of(**{name: value})


@pytest.mark.parametrize("model, name, value", [
    ("dcgan", "filters", 0), ("dcgan", "kernel_size", 0), ("mlp", "generator_units", "64,0"),
    ("mlp", "discriminator_units", "-1")])
def test_ranges_of_models(model, name, value):
    with pytest.raises(ConfigError, match=f"^{name}=.*at least 1"):
        config_of(model).of(**{name: value})


def test_augmentations():
    assert Config.of(augment="flip + cutout").augmentations == ("flip", "cutout") and Config().augmentations == ()
    with pytest.raises(ConfigError, match="augment=flip.shear: no augmentation is named 'shear'"):
        Config.of(augment="flip+shear")
    with pytest.raises(ConfigError, match="augment_target: name what is to be adapted"):
        Config.of(augment_target=0.6)


def test_what_cannot_be_together():
    with pytest.raises(ConfigError, match="clipnorm and global_clipnorm: a gradient can be cut in one way only"):
        Config(clipnorm=1.0, global_clipnorm=1.0)
    for settings in (dict(accumulation=3), dict(packing=3), dict(accumulation=8, packing=16)):
        with pytest.raises(ConfigError, match="^batch_size=64: must be a multiple of"):
            Config(**settings)


def test_measurements_stand_in_rows_of_the_log():
    assert Config.of(evaluate_every=100, log_every=50).evaluate_every == 100
    with pytest.raises(ConfigError, match="evaluate_every=120: must be a multiple of log_every=50"):
        Config.of(evaluate_every=120, log_every=50)


def test_packed():
    assert Config(packing=4).packed((28, 28, 3)) == (28, 28, 12) and Config().packed((2,)) == (2,)


def test_a_schedule_where_none_can_be():
    with pytest.raises(ConfigError, match="noise_dim=linear:1:2: must be a whole number"):
        Config.of(noise_dim="linear:1:2")
    with pytest.raises(ConfigError, match=r"penalty_weight=liner:1:0: must be a number, or linear:START:END\[:FINISH\]"):
        Config.of(penalty_weight="liner:1:0")


def test_the_constructor_checks_too():
    with pytest.raises(ConfigError, match="batch_size=0"):
        Config(batch_size=0)
    with pytest.raises(ConfigError, match="noise=gaussian"):
        Config(noise="gaussian")


def test_choices():
    assert Config.of(noise="uniform").noise == "uniform"
    with pytest.raises(ConfigError) as error:
        Config.of(noise="unifrom")
    assert str(error.value) == "noise=unifrom: must be one of normal, uniform (did you mean 'uniform'?)"
    with pytest.raises(ConfigError, match="upsampling=bilinear: must be one of transpose, resize"):
        config_of("dcgan").of(upsampling="bilinear")


def test_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(ConfigError) as error:
        Config.of(batchsize=3)
    assert "'batchsize' (did you mean 'batch_size'?)" in str(error.value)
    with pytest.raises(ConfigError) as error:
        Config.of(xyzzy=3)
    assert all(field.name in str(error.value) for field in dataclasses.fields(Config))
    with pytest.raises(ConfigError) as error:
        Config.of(qqqqqq=3)
    assert "did you mean" not in str(error.value)


def test_nearest():
    assert nearest("dcgna", ["mlp", "dcgan"]) == " (did you mean 'dcgan'?)"
    assert nearest("pix2pix", ["mlp", "dcgan"]) == ""


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().steps = 3


# === Presets ===

def test_a_preset_changes_its_fields_and_only_them():
    mlp = config_of("mlp")
    base, deep = dataclasses.asdict(mlp.of()), dataclasses.asdict(mlp.of(preset="deep"))
    changed = {name for name in base if base[name] != deep[name]}
    assert "preset" in changed and changed <= {"preset", *mlp.presets["deep"]}
    for name, value in mlp.presets["deep"].items():
        assert deep[name] == value


def test_what_is_given_wins_over_the_preset():
    config = config_of("mlp").of(preset="deep", generator_units="9")
    assert config.generator_units == (9,)
    assert config.discriminator_units == config_of("mlp").presets["deep"]["discriminator_units"]


@pytest.mark.parametrize("model", ALL)
def test_the_constructor_applies_presets_too(model):
    cls = config_of(model)
    for preset, fields in cls.presets.items():
        assert cls(preset=preset) == cls.of(preset=preset)
        for name, value in fields.items():
            assert getattr(cls(preset=preset), name) == value
    assert cls() == cls.of()
    assert cls(**dataclasses.asdict(cls(batch_size=12))).batch_size == 12


def test_what_is_given_to_the_constructor_wins_over_the_preset():
    config = config_of("mlp")(preset="mixture", batch_size=8, generator_units=(256,))
    assert (config.batch_size, config.generator_units, config.noise_dim) == (8, (256,), 16)
    assert config_of("mlp")("ring", preset="mixture").dataset == "ring"
    assert dataclasses.replace(config, batch_size=16).noise_dim == 16
    with pytest.raises(ConfigError, match="preset=depe: must be one of"):
        config_of("mlp")(preset="depe")


def test_unknown_preset():
    with pytest.raises(ConfigError, match=r"preset=depe: must be one of .*did you mean 'deep'"):
        config_of("mlp").of(preset="depe")


# === Models ===

@pytest.mark.parametrize("model", ALL)
def test_every_preset_is_sound_and_survives_json(model):
    cls = config_of(model)
    presets = list(cls.presets) or [None]
    for preset in presets:
        config = cls.of(**({"preset": preset} if preset else {}))
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if field.type in (int, float, bool, str):
                assert type(value) is field.type, f"{model} {preset} {field.name}={value!r}"
        values = json.loads(json.dumps(dataclasses.asdict(config)))
        assert cls.of(**values) == config


@pytest.mark.parametrize("model", ALL)
def test_every_default_preset_is_one(model):
    cls = config_of(model)
    if "preset" in {field.name for field in dataclasses.fields(cls)}:
        assert cls().preset in cls.presets


def test_unknown_model():
    with pytest.raises(ConfigError, match=r"'dcgna' \(did you mean 'dcgan'\?\).*mlp"):
        models.outline("dcgna")
    with pytest.raises(AttributeError, match="did you mean 'dcgan'"):
        models.dcgna


@pytest.mark.parametrize("model", ALL)
def test_the_outline_is_the_model_file(model):
    outline, module = models.outline(model), getattr(models, model)
    assert outline.doc == module.__doc__.strip()

    def described(cls):
        return [(field.name, str(field.type), field.default) for field in dataclasses.fields(cls)]
    assert described(outline.Config) == described(module.Config)
    assert outline.Config.presets == module.Config.presets


@pytest.mark.parametrize("model", ALL)
def test_every_model_says_what_it_is(model):
    first = models.outline(model).doc.splitlines()[0]
    assert first.partition(": ")[2] and first.endswith(".")
    assert f"train.py --model={model}" in models.outline(model).doc


# === What build is given ===

def test_settings_by_name_or_a_config():
    Dcgan = config_of("dcgan")
    assert Dcgan.given(None, {"preset": "modern", "filters": "8"}) == Dcgan(preset="modern", filters=8)
    assert Dcgan.given(Dcgan(filters=8), {}) == Dcgan(filters=8)
    with pytest.raises(ConfigError, match="^config='modern': must be a Config; settings are given by name"):
        Dcgan.given("modern", {})
    with pytest.raises(ConfigError, match="^filters: a config is given, too"):
        Dcgan.given(Dcgan(), {"filters": 8})
    with pytest.raises(ConfigError, match=r"^no setting is named 'filter' \(did you mean 'filters'\?\); kgan settings MODEL explains"):
        Dcgan.given(None, {"filter": 8})


@pytest.mark.parametrize("dataset", ["ring", "grid"])
def test_points_have_the_preset_that_can_do_them(dataset):
    Mlp = config_of("mlp")
    assert Mlp.of(dataset=dataset) == Mlp.of(dataset=dataset, preset="mixture") == Mlp(dataset=dataset)
    assert Mlp.of(dataset=dataset, preset="small").preset == "small" and Mlp.of(dataset="glyphs").preset == "small"


@pytest.mark.parametrize("name", ALL)
def test_each_build_takes_settings_by_name(name):
    """Read from the file, without TensorFlow."""
    text = (Path(models.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    assert re.search(r"^def build\(.*, \*\*settings\):$", text, re.M) and "Config.given(config, settings)" in text
