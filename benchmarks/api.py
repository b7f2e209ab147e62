"""Writes docs/api.md, the reference of kgan's public names, from their docstrings.

    python benchmarks/api.py > docs/api.md
"""
import inspect
import re

import kgan
from kgan import callbacks, config, kinds, losses, metrics, models, penalties
from kgan.data.source import Source
from kgan.loading import start_from

INTRODUCTION = """# The public names

Written by `python benchmarks/api.py` from the docstrings: change these, not this page. What is not here may change without notice. Settings are in
[settings.md](settings.md), commands in `kgan --help`.
"""
METHODS = "compile", "fit", "evaluate", "predict", "generate", "make", "latents", "labels", "step"
# section -> what it holds: a name as one writes it -> the object; None: its members follow by themselves
NAMES = {
    "A GAN": {"kgan.GAN": kgan.GAN, **{f"kgan.GAN.{name}": None for name in METHODS}, "kgan.load": kgan.load,
              "kgan.loading.start_from": start_from, "kgan.Config": kgan.Config, "kgan.Config.of": kgan.Config.of},
    "Data": {"kgan.data.load": kgan.data.load, "kgan.data.source.Source": Source, "kgan.kinds.Field": kinds.Field, "kgan.kinds.get": kinds.get},
    "What is minimised": {"kgan.losses.Objective": losses.Objective, "kgan.penalties.Penalty": penalties.Penalty,
                          "kgan.config.Schedule": config.Schedule},
    "Measures": {"kgan.metrics.Evaluator": metrics.Evaluator, "kgan.metrics.Evaluator.figures": metrics.Evaluator.figures,
                 **{f"kgan.metrics.{name}": getattr(metrics, name) for name in metrics.__all__ if name != "Evaluator"}},
    "Callbacks": {f"kgan.callbacks.{name}": getattr(callbacks, name) for name in (
        "Evaluate", "Log", "Samples", "Watch", "Progress", "Profile")},
}


def signature(name, thing):
    """`name(parameters)` as one writes it, without `self`."""
    if isinstance(thing, property) or not callable(thing):
        return name
    # a method that hands its arguments on has those of the class above
    ways = [each.__dict__[thing.__name__] for each in kgan.GAN.__mro__ if thing.__name__ in each.__dict__] \
        if name.startswith("kgan.GAN.") else [thing]
    for way in ways:
        parameters = [one for one in inspect.signature(way).parameters.values() if one.name not in ("self", "cls")]
        if any(one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
            break
    return f"{name}({', '.join(map(parameter, parameters))})"


def parameter(one):
    """A parameter of a signature as one reads it, without its annotation."""
    text = str(one.replace(annotation=one.empty, default=one.empty))
    if one.default is one.empty:
        return text
    shown = "…" if one.name == "classes" and one.default else getattr(one.default, "__name__", repr(one.default))
    return f"{text}={shown}"


def body(text):
    """A docstring as Markdown: the lists behind Args, Returns and so on become lists."""
    lines, section = [], None
    for line in inspect.cleandoc(text).splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes):", line):
            section = line
            lines += [f"**{line[:-1]}**", ""]
        elif section and line and not line.startswith(" "):
            section = None
            lines.append(line)
        elif section == "Returns:":  # one thing, in as many lines as it takes
            lines.append(line.strip())
        elif section and (entry := re.match(r"    (\*{0,2}\w[\w, *.]*): (.*)$", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif section and re.match(r"    \S", line):
            lines.append(f"- {line.strip()}")
        elif section:
            lines.append(f"  {line.strip()}".rstrip())
        else:
            lines.append(line)
    return "\n".join(lines)


def entry(name, thing):
    text = inspect.getdoc(thing.fget if isinstance(thing, property) else thing) or ""
    return f"### `{name}`\n\n```python\n{signature(name, thing)}\n```\n\n{body(text)}\n"


def markdown():
    """docs/api.md."""
    parts = [INTRODUCTION]
    for title, names in NAMES.items():
        parts.append(f"## {title}\n")
        for name, thing in names.items():
            parts.append(entry(name, getattr(kgan.GAN, name.rpartition(".")[2]) if thing is None else thing))
    parts.append("## Models\n\nEach is `kgan.models.NAME.build(...)`, which returns a GAN that is not compiled; settings of the model may be given by "
                 "name.\n\n| model | `build` | what it is |\n|---|---|---|")
    for name in models.names():
        outline = models.outline(name)
        what = outline.doc.splitlines()[0].partition(": ")[2]
        parts.append(f"| [{name}](settings.md#{name}) | `{signature('build', getattr(models, name).build)}` | {what} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
