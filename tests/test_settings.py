"""The settings of each model, explained."""
import dataclasses
import re
import runpy
from pathlib import Path

import pytest

from kgan import models, settings

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_configs_say():
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings.markdown(), \
        "kgan settings --markdown > docs/settings.md"


@pytest.mark.parametrize("model", models.names())
def test_all_settings_stand_in_it(model):
    text = settings.text(model)
    for field in dataclasses.fields(models.outline(model).Config):
        assert f"\n  {field.name}=" in text
    for preset in getattr(models.outline(model).Config, "presets", {}):
        assert f"\n  {preset}" in text


def test_a_comment_above_one_beside_and_words_to_choose_from():
    own, common = settings.of("dcgan")
    told = {setting.name: setting for setting in (*own, *common)}
    assert told["filters"].comment.startswith("of the maps nearest the picture") and told["filters"].default == "32"
    assert told["loss"].comment.startswith("one of non_saturating, ")
    assert "steps in one call" in told["steps_per_execution"].comment and "see kgan.devices" in told["steps_per_execution"].comment
    assert "steps" in {setting.name for setting in own} and "log_every" in {setting.name for setting in common}


def test_help_of_a_model(command, tmp_path):
    for words in (["train.py", "--model=sngan", "--help"], ["-m", "kgan", "settings", "sngan"]):
        done = command(*words, cwd=tmp_path)
        assert done.returncode == 0 and "--model=sngan" in done.stdout and "discriminator_learning_rate=" in done.stdout
    done = command("-m", "kgan", "settings", "sngn", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'sngan'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_table_has_all_models():
    table = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == models.names()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not {name for name in models.names() if f"`{name}`" not in readme}
    assert len(readme.splitlines()) <= 150 and max(map(len, readme.splitlines())) <= 120


def test_the_figures_that_are_measured_again_stand_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for figure in runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))["FIGURES"]:
        assert re.search(figure.said, readme), figure.said
