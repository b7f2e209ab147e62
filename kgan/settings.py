"""The settings of each model, explained: what `--set KEY=VALUE` takes. Imports no TensorFlow.

    kgan settings dcgan             its settings with defaults, presets and what each is for
    kgan settings --markdown        docs/settings.md: those of all models

Read from the Configs themselves: a field's comment beside or above it says what it is for.
"""
import ast
import dataclasses
import functools
import re
import sys
import textwrap
import typing
from pathlib import Path

from kgan import command, config, models
from kgan.command import UserError

ROOT = Path(__file__).parent


class Setting(typing.NamedTuple):
    """`default`: as text; `comment`: what it is for, or which words it takes, or nothing."""

    name: str
    default: str
    comment: str


@functools.cache
def _comments(path):
    """Of the class Config in a file: dict of field -> the comment above and beside it."""
    text = path.read_text(encoding="utf-8")
    lines, found = text.splitlines(), {}
    body = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Config")
    for node in body.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        first, last = node.lineno - 1, node.end_lineno - 1
        beside = re.search(r"\s#\s(.*)$", lines[last][node.end_col_offset:])
        above, i = [], first - 1
        while i > body.lineno and lines[i].strip().startswith("# ") and "===" not in lines[i]:
            above.insert(0, lines[i].strip()[2:])
            i -= 1
        found[node.target.id] = " ".join([*above, *([beside[1]] if beside else [])]).strip()
    return found


def _setting(Config, field, value):
    """With the comment of the class that says most lately what the field is for."""
    classes = [cls for cls in Config.__mro__ if cls.__module__.startswith("kgan.")]
    files = [ROOT / f"{cls.__module__.removeprefix('kgan.').replace('.', '/')}.py" for cls in classes]
    comment = next((found for file in files if (found := _comments(file).get(field.name))), "")
    if not comment and typing.get_origin(field.type) is typing.Literal:
        comment = f"one of {', '.join(map(str, typing.get_args(field.type)))}"
    return Setting(field.name, f"{value:g}" if isinstance(value, float) else str(value), comment)


def of(model):
    """The settings of a model: (its own, those that all have), lists of Setting; a default that it changes is its own."""
    Config = models.outline(model).Config
    usual, base = Config(), config.Config()
    own, common = [], []
    for field in dataclasses.fields(Config):
        value = getattr(usual, field.name)
        same = getattr(base, field.name, None) == value and hasattr(base, field.name)
        (common if same else own).append(_setting(Config, field, value))
    return own, common


def text(model, width=118):
    """All of it for a terminal."""
    outline = models.outline(model)
    own, common = of(model)
    lines = [outline.doc.splitlines()[0], "", f"Settings of --model={model}, each as --set KEY=VALUE, with defaults:", ""]
    for settings, title in ((own, ""), (common, "\nThose that all models have:\n")):
        lines += [title] if title else []
        for setting in settings:
            head = f"  {setting.name}={setting.default}"
            if not setting.comment:
                lines.append(head)
            else:
                lines.append(textwrap.fill(setting.comment, width, initial_indent=f"{head:<38}  ", subsequent_indent=" " * 40,
                                           break_long_words=False))
    if presets := getattr(outline.Config, "presets", {}):
        lines += ["", "Presets, as --set preset=NAME:", ""]
        for name, values in presets.items():
            told = ", ".join(f"{key}={value}" for key, value in values.items()) or "the defaults"
            lines.append(textwrap.fill(told, width, initial_indent=f"  {name:<16}  ", subsequent_indent=" " * 20, break_long_words=False))
    return "\n".join([*lines, "", f"kgan train --help has the other flags; the docstring of kgan.models.{model} says where the model is from."])


def markdown():
    """docs/settings.md."""
    lines = ["# The settings of each model", "", "Written by `kgan settings --markdown`: change the comments in the Configs, not this page.",
             "Each is given as `--set KEY=VALUE`; a preset as `--set preset=NAME`. [Those that all models have](#all-models) come last.", ""]
    for name in models.names():
        outline = models.outline(name)
        own, _ = of(name)
        what = outline.doc.splitlines()[0].partition(": ")[2]
        lines += [f"## {name}", "", what[0].upper() + what[1:], "",
                  "| setting | default | what it is |", "|---|---|---|"]
        lines += [_row(setting) for setting in own]
        for preset, values in getattr(outline.Config, "presets", {}).items():
            told = ", ".join(f"`{key}={value}`" for key, value in values.items()) or "the defaults"
            lines += ["", f"Preset `{preset}`: {told}"]
        lines.append("")
    lines += ["## All models", "", "Defaults that a model changes stand with it.", "", "| setting | default | what it is |", "|---|---|---|"]
    base = config.Config()
    lines += [_row(_setting(config.Config, field, getattr(base, field.name))) for field in dataclasses.fields(base)]
    return "\n".join(lines) + "\n"


def _row(setting):
    default = f"`{setting.default}`" if setting.default else ""
    return f"| `{setting.name}` | {default} | {setting.comment.replace('|', chr(92) + '|')} |"


def asked(arguments):
    """What `--model=NAME --help` shows in place of the flags, or "" where no model is named."""
    named = [word.partition("=")[2] for word in arguments if word.startswith(("--model=", "-model="))]
    return text(named[-1]) if named and named[-1] in models.names() else ""


def main(arguments):
    words = arguments[1:]
    if words == ["--markdown"]:
        print(markdown(), end="")
    elif len(words) == 1 and not words[0].startswith("-"):
        models.outline(words[0])  # says which there are
        print(text(words[0]))
    else:
        raise UserError(f"of which model? kgan settings NAME, one of {', '.join(models.names())}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except (UserError, ValueError) as error:
        print(f"{command.program()}: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # who reads the output has seen enough, as `head` does
        command.unread()
