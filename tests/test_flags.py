"""Help and mistakes: answered at once, without TensorFlow, and without leaving anything behind."""
import dataclasses
import json
import math
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from servers import REAL

from kgan import data, models
from kgan.config import ConfigError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def no_tensorflow(tmp_path_factory):
    """An environment in which importing TensorFlow or Keras fails."""
    folder = tmp_path_factory.mktemp("poison")
    for name in ("tensorflow", "keras"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise SystemExit('{name} was imported')\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def lines(no_tensorflow):
    """A process that answers command lines of train.py: tests/lines.py."""
    process = subprocess.Popen(
        [REAL, str(ROOT / "tests" / "lines.py"), str(ROOT / "train.py"), "kgan.flags", "kgan.training", "kgan.settings", "kgan.data"],
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **no_tensorflow})
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.fixture
def ask(lines, tmp_path):
    """Runs train.py with flags in an empty folder, which must be as empty afterwards."""
    (tmp_path / "here").mkdir()

    def run(*flags):
        print(json.dumps([str(tmp_path / "here"), *flags]), file=lines.stdin, flush=True)
        done = subprocess.CompletedProcess(flags, *json.loads(lines.stdout.readline()))
        assert "was imported" not in done.stdout + done.stderr
        assert list((tmp_path / "here").iterdir()) == []
        return done
    return run


def test_the_poison_works(command, no_tensorflow, tmp_path):
    done = command("-c", "import tensorflow", cwd=tmp_path, environment=no_tensorflow, fresh=True)
    assert done.returncode == 1 and "tensorflow was imported" in done.stderr


def test_help(ask):
    done = ask("--help")
    assert done.returncode == 0 and not done.stderr
    for flag in ("model", "dataset", "data_dir", "manual_dir", "image_size", "batch_size", "steps", "epochs", "seed",
                 "run_dir", "set", "config", "list", "dry_run", "overwrite"):
        assert f"--{flag}:" in done.stdout or f"--[no]{flag}:" in done.stdout, flag


def test_list(command, no_tensorflow, tmp_path):
    done = command("train.py", "--list", cwd=tmp_path, environment=no_tensorflow, fresh=True)
    assert done.returncode == 0 and not done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    for name in [*models.names(), *data.BUILT_IN, "folder:PATH"]:
        assert len(lines[name].split()) > 3, name


def test_a_reader_that_has_seen_enough(command, no_tensorflow, tmp_path):
    """As `train.py --list | head -1` does."""
    process = command("train.py", "--list", cwd=tmp_path, wait=False, environment=no_tensorflow, fresh=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 141
    process.stderr.close()


@pytest.mark.parametrize("flags, words", [
    ([], ["--model", *models.names()]),
    (["--model=dcgna"], ["'dcgna'", "did you mean 'dcgan'", "mlp"]),
    (["--modle=dcgan"], ["modle", "model"]),
    (["dcgan"], ["'dcgan'", "--model="]),
    (["--model=mlp", "--dataset=gliphs"], ["'gliphs'", "did you mean 'glyphs'"]),
    (["--model=mlp", "--dataset=folder:/no/such"], ["folder:/no/such", "no such folder"]),
    (["--model=mlp", "--steps=many"], ["steps", "many"]),
    (["--model=mlp", "--steps=0"], ["steps", "0"]),
    (["--model=mlp", "--seed=-1"], ["seed", "-1"]),
    (["--model=mlp", "--channels=2"], ["channels", "2", "1|3"]),
    (["--model=mlp", "--image_size=2"], ["image_size", "2"]),
    (["--model=mlp", "--steps=3", "--epochs=2"], ["--steps", "--epochs", "one of them"]),
    (["--model=mlp", "--set", "loss"], ["--set loss", "KEY=VALUE"]),
    (["--model=mlp", "--set", "los=hinge"], ["'los'", "did you mean 'loss'"]),
    (["--model=mlp", "--set", "noise_dim=wide"], ["noise_dim=wide", "whole number"]),
    (["--model=mlp", "--set", "ema_decay=1"], ["ema_decay=1", "below 1"]),
    (["--model=mlp", "--set", "preset=depe"], ["preset=depe", "'deep'"]),
    (["--model=dcgan", "--set", "generator_units=3"], ["'generator_units'"]),
    (["--model=mlp", "--manual_dir=/no/such"], ["--manual_dir=/no/such"]),
    (["--config=/no/such/config.json"], ["--config=/no/such/config.json", "No such file"]),
])
def test_mistakes(ask, flags, words):
    done = ask(*flags)
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("train.py: ")
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("module, arguments, least", [
    ("train", ["--model=mlp"], 100), ("kgan.metrics.__main__", ["RUN"], 45), ("kgan.latent", ["RUN", "interpolate"], 60),
    ("kgan.latent", ["RUN", "arithmetic", "--add=1"], 60), ("kgan.edit", ["RUN", "IMAGE"], 35),
    ("export.__main__", ["RUN"], 18), ("export.serve", ["SAVED_MODEL"], 60)])
def test_every_flag_with_every_mistake(command, no_tensorflow, tmp_path, module, arguments, least):
    (tmp_path / "RUN").mkdir()
    settings = {"model": "cgan", "dataset": "glyphs", "shape": [8, 8, 1], "crop": True, "seed": 0,
                "classes": ["0 to 1", "1 to 2"], "config": {"condition": "label"}}
    (tmp_path / "RUN" / "config.json").write_text(json.dumps(settings))
    Image.new("L", (8, 8)).save(tmp_path / "IMAGE", "PNG")
    (tmp_path / "SAVED_MODEL").mkdir()
    (tmp_path / "SAVED_MODEL" / "saved_model.pb").touch()
    before = sorted(tmp_path.rglob("*"))
    done = command("tests/fuzz.py", module, json.dumps(arguments), cwd=tmp_path,
                   environment={"PYTHONPATH": f"{no_tensorflow['PYTHONPATH']}:{ROOT}"}, fresh=True)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    assert len(tried) >= least
    for given, status, output, errors in tried:
        name, _, value = given[-1].removeprefix("--").partition("=")
        named = name in errors or value.partition("=")[0] in errors
        assert status == 2 and not output and errors.count("\n") == 1 and named, (given, status, output, errors)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("model", models.names())
def test_every_setting_with_every_mistake(model):
    """Either it is refused by name, or it is a setting that is finite and of the field's type."""
    wrong = ["", "x", "nan", "inf", "-inf", "-1", "0", "1.5", "1e400", "1e20", "linear:1", "linear:nan:1", "cosine:1:inf",
             "true", "[1,2", "-4,3", "0,2", "\n"]
    found = models.outline(model).Config
    for field in dataclasses.fields(found):
        for value in wrong:
            try:
                setting = getattr(found.of(**{field.name: value}), field.name)
            except ConfigError as error:
                assert field.name in str(error) and "\n" not in str(error), (field.name, value)
                continue
            assert field.type is str or not isinstance(setting, float) or 0 <= setting < math.inf, (field.name, value)
            assert not isinstance(setting, int) or 0 <= setting < 2**31, (field.name, value)


@pytest.mark.parametrize("content", [
    "", "{", "[]", "3", "{}", '{"model": "mlp"}', '{"model": "mlp", "dataset": "ring"}',
    '{"model": "mlp", "config": {"steps": 3}}',
    '{"model": "mlp", "dataset": "ring", "config": 3}', b"\xff\xfe\x00"])
def test_config_that_is_none(ask, tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = ask(f"--config={path}")
    assert done.returncode == 2 and done.stderr == f"train.py: --config={path}: this is no config.json of a run\n"


def test_config_of_a_setting_that_is_gone(ask, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": "mlp", "dataset": "ring", "config": {"steps": 3, "wings": 2}}))
    done = ask(f"--config={path}")
    assert done.returncode == 2 and "'wings'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_config_that_is_a_folder(ask, tmp_path):
    done = ask(f"--config={tmp_path}")
    assert done.returncode == 2 and "directory" in done.stderr and len(done.stderr.splitlines()) == 1


PAIRS = """
import itertools, json, sys
from absl import flags
import kgan.flags
from kgan.command import UserError

FLAGS, before = flags.FLAGS, {before!r}
checks = {checks!r}
for pair in itertools.permutations(checks, 2):
    FLAGS.unparse_flags()
    for name in FLAGS:
        FLAGS[name].unparse()
    FLAGS(["train.py", f"--config={{before}}", *pair])
    try:
        settings = kgan.flags.resolve()[0]
    except UserError as error:
        print(json.dumps([pair, str(error), None]))
    else:
        print(json.dumps([pair, None, settings]))
"""
# flag -> what the settings are to say
CHECKS = {
    "--model=sngan": ("model", "sngan"), "--model=mlp": ("model", "mlp"), "--dataset=ring": ("dataset", "ring"),
    "--steps=77": ("steps", 77), "--batch_size=48": ("batch_size", 48), "--epochs=2.5": ("epochs", 2.5),
    "--evaluate_every=500": ("evaluate_every", 500), "--seed=9": ("seed", 9), "--flip": ("flip", True), "--nocrop": ("crop", False),
    "--image_size=16": ("image_size", 16), "--channels=3": ("channels", 3), "--precision=mixed_bfloat16": ("precision", "mixed_bfloat16"),
    "--set=batch_size=24": ("batch_size", 24), "--set=steps=99": ("steps", 99), "--set=noise_dim=8": ("noise_dim", 8),
    "--set=loss=hinge": ("loss", "hinge"), "--set=preset=dense": ("preset", "dense"), "--set=preset=deep": ("preset", "deep"),
    "--set=condition=slant": ("condition", "slant"), "--set=generator_units=5": ("generator_units", [5]),
    "--set=dataset=grid": ("dataset", "grid"), "--set=log_every=20": ("log_every", 20), "--model=pix2pix": ("model", "pix2pix"),
    "--model=videogan": ("model", "videogan"), "--init_from=other": ("init_from", "other"), "--data_dir=prepared": ("data_dir", "prepared"),
    "--manual_dir=other": ("manual_dir", "other"), "--set=evaluate_by=coverage": ("evaluate_by", "coverage"),
    "--set=freeze_discriminator=1": ("freeze_discriminator", 1),
}


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """config.json of two runs in which nothing is the default."""
    folder, found = tmp_path_factory.mktemp("configs"), {}
    chosen = dict(steps=123, batch_size=32, log_every=10, beta_2=0.91)
    for model, more in {"cgan": dict(filters=6), "mlp": dict(preset="deep", discriminator_units=(7,))}.items():
        config = dataclasses.asdict(models.outline(model).Config.of(**chosen, **more))
        del config["dataset"]
        found[model] = folder / f"{model}.json"
        found[model].write_text(json.dumps({"model": model, "dataset": "outlines", "seed": 4, "image_size": 32, "channels": 1,
                                            "crop": True, "flip": False, "config": config}))
    return found


@pytest.mark.parametrize("model", ["cgan", "mlp"])
def test_whatever_is_given_with_a_config_applies_or_is_refused(command, no_tensorflow, tmp_path, configs, model):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.json").touch()
    done = command("-c", PAIRS.format(before=str(configs[model]), checks=list(CHECKS)), cwd=tmp_path,
                   environment={"PYTHONPATH": f"{no_tensorflow['PYTHONPATH']}:{ROOT}"}, fresh=True)
    assert done.returncode == 0, done.stderr
    tried = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(tried) == len(CHECKS) * (len(CHECKS) - 1)
    names, applied = {name for name, _ in CHECKS.values()}, 0
    for pair, refused, settings in tried:
        if refused:
            assert any(name in refused for name in names), (pair, refused)
            continue
        applied += 1
        given = {}
        for flag in pair:
            name, value = CHECKS[flag]
            twice = name in given and flag.startswith("--model")  # of one flag, given twice, the last counts
            assert twice or given.get(name, value) == value or pair[0].startswith("--set=preset"), pair
            given[name] = value
        for name, value in given.items():
            assert {**settings["config"], **settings}[name] == value, (pair, name)
        if "preset" in given:  # all of it, but what was given beside it
            for name, value in models.outline(settings["model"]).Config.presets[given["preset"]].items():
                kept = model == settings["model"] and name == "discriminator_units"  # it was that preset already
                assert name in given or kept or json.loads(json.dumps(value)) == {**settings["config"], **settings}[name], (pair, name)
        for name, value in dict(dataset="outlines", batch_size=32, steps=123, log_every=10, beta_2=0.91).items():
            kept = name not in given and name not in models.outline(settings["model"]).Config.presets.get(given.get("preset"), ())
            assert not kept or {**settings["config"], **settings}[name] == value, (pair, name)
    assert applied > 100


@pytest.mark.parametrize("flags, words", [
    (["--model=sngan"], ["discriminator_units=[7]", "--model=sngan", "--config="]), (["--model=wgan", "--steps=3"], ["units=[7]"]),
    (["--steps=5", "--set=steps=6"], ["--steps=5", "steps=6", "one of them"]), (["--epochs=1", "--set=steps=6"], ["--epochs"])])
def test_what_cannot_go_with_a_config(ask, configs, flags, words):
    done = ask(f"--config={configs['mlp']}", *flags)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("flags, words, strange", [
    (["--model=lsgan"], ["--config=", "preset=deep", "laptop"], None),  # chosen there, and not to be had here
    (["--model=lsgan", "--set=preset=published", "--set=filters=-1"], ["filters=-1"], "--config")])  # the flag's own fault
def test_a_value_that_the_other_model_does_not_take(ask, configs, tmp_path, flags, words, strange):
    before = json.loads(configs["mlp"].read_text())
    usual = json.loads(json.dumps(dataclasses.asdict(models.outline("mlp").Config.of(preset="deep"))))
    usual.pop("dataset")
    (tmp_path / "config.json").write_text(json.dumps({**before, "config": usual}))
    done = ask(f"--config={tmp_path / 'config.json'}", *flags)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and all(word in done.stderr for word in words), done.stderr
    assert strange is None or strange not in done.stderr
