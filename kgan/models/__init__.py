"""The models: one file each, found by its name. `kgan.models.dcgan` is the file dcgan.py; there is no other registry.

A model's file has: a docstring (first line: what it is, for `--list`), a `Config`, and `build -> GAN`, a function of what it
needs to know, by these names: `shape` of an example of what is made, `config`, `seed`, `classes` (names, where it takes
labels), `fields` (name -> kgan.kinds.Field of the data). Where its algorithm differs from GAN's, the subclass stands there too.
"""
import ast
import functools
import importlib
import inspect
import types
from pathlib import Path

from kgan.config import ConfigError, nearest
from kgan.kinds import Field


def names():
    """The names of all models."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


@functools.cache
def outline(name):
    """A model's docstring and Config, read without importing TensorFlow, so that flags are checked at once.

    Of the model's file only the class `Config` is executed, and the imports that it may need: dataclasses, typing,
    kgan.config, and other models' Configs.

    Returns:
        namespace with `doc` (str) and `Config` (class).

    Raises:
        ConfigError: there is no such model; the nearest is suggested.
    """
    if name not in names():
        raise ConfigError(f"no model is named {name!r}{nearest(name, names())}. The models: {', '.join(names())}")
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    scope = {"__name__": f"kgan.models.{name}"}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "kgan.models":
            scope.update({alias.asname or alias.name: outline(alias.name) for alias in node.names})
        elif (isinstance(node, ast.ImportFrom) and node.module in ("dataclasses", "typing", "kgan.config")
              or isinstance(node, ast.Import) and node.names[0].name == "dataclasses"
              or isinstance(node, ast.ClassDef) and node.name == "Config"):
            exec(compile(ast.Module([node], []), f"{name}.py", "exec"), scope)
    return types.SimpleNamespace(doc=ast.get_docstring(tree), Config=scope["Config"])


def build(name, shape, settings=None, seed=0, classes=(), fields=None):
    """The model of that name for data of `shape`, with its Config's fields changed by the dict `settings`.

    `classes`: names of the classes of the labels, if it takes any. `fields`: name -> kgan.kinds.Field of the data; None: what is
    made is of the kind that its shape is usual for.
    """
    outline(name)  # says which models there are, if this is none
    module = importlib.import_module(f"kgan.models.{name}")
    config = module.Config.of(**(settings or {}))
    known = {"shape": tuple(shape), "config": config, "seed": seed, "classes": classes, "fields": fields}
    # what else a build has parameters for, as networks of one's own, is for those who call it themselves
    return module.build(**{name: known[name] for name in inspect.signature(module.build).parameters if name in known})


def of(settings, seed=None):
    """The model of a run's settings, as in its config.json. `seed`: another than the run's."""
    fields = {name: Field(**field) for name, field in settings["fields"].items()} if "fields" in settings else None
    return build(settings["model"], tuple(settings["shape"]), settings["config"],
                 settings.get("seed", 0) if seed is None else seed, settings.get("classes", ()), fields)


def __dir__():
    return [*names(), "build", "names", "of"]


def __getattr__(name):
    if name.startswith("_") or name not in names():
        raise AttributeError(f"module 'kgan.models' has no attribute {name!r}{nearest(name, names())}")
    return importlib.import_module(f"kgan.models.{name}")
