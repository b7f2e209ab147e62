"""What generator.json says: the functions of a model, what each takes and gives, every field of a kind of kgan.kinds."""
import dataclasses
import json
from pathlib import Path

import numpy as np

from export import CONTRACT
from export.record import newer_format
from kgan import kinds
from kgan.kinds import Field


@dataclasses.dataclass(frozen=True)
class Function:
    """One of a model's functions.

    name: in paths. signature: in the SavedModel. inputs, outputs: dicts of name to kgan.kinds.Field of one example;
    `more` has "size", its free sizes in training, of noise "distribution", of outputs "range".
    """
    name: str
    signature: str
    inputs: dict
    outputs: dict

    @property
    def output(self):
        """Name of the first output."""
        return next(iter(self.outputs))

    @property
    def promise(self):
        """What clients know of it: the vocabulary of its texts and the rate of its sounds, too."""
        return [{name: (field.kind, field.shape, field.classes, {key: field.more.get(key) for key in (
            "distribution", "labels", *getattr(kinds.get(field.kind), "MORE", ()))}) for name, field in fields.items()}
                for fields in (self.inputs, self.outputs)]

    def told(self):
        """As generator.json says it."""
        return {key: [{"name": name, "kind": field.kind, "shape": [None, *field.shape], **field.more,
                       **({"classes": field.classes} if field.classes else {})} for name, field in fields.items()]
                for key, fields in (("inputs", self.inputs), ("outputs", self.outputs))}

    def of(self, kind):
        """Name of the first input of a kind; None: it takes none."""
        return next((name for name, field in self.inputs.items() if field.kind == kind), None)


def read_contract(folder):
    """(dict of generator.json, or {}; dict of name to Function; why there is none, or "")."""
    try:
        found = json.loads((Path(folder) / CONTRACT).read_text(encoding="utf-8"))
        if newer := newer_format(found):
            return {}, {}, f"{CONTRACT} {newer}"
        functions = _functions(found)
        first = next(iter(functions.values()))
        if noise := first.of("noise"):
            np.reshape(np.asarray(found.get("directions") or [], np.float32), [-1, *first.inputs[noise].shape])
        return found, functions, ""
    except FileNotFoundError:
        return {}, {}, f"the SavedModel has no {CONTRACT}; python -m export writes one"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, {}, f"{CONTRACT} cannot be read ({line(error)}); python -m export writes one"


def _functions(contract):
    """Dict of name to Function, of one that was written before there were `functions` too: that has one, of noise."""
    told = contract.get("functions") or {"generator": {
        "inputs": [{"kind": "noise", "name": "noise", "shape": [None, contract["noise"]["dim"]],
                    "distribution": contract["noise"]["kind"]},
                   *([{"kind": "label", "name": "label", **contract["label"]}] if contract.get("label") else [])],
        "outputs": [{"kind": kinds.guess(contract["output"]["shape"][1:]), **contract["output"]}]}}
    if not told:
        raise ValueError("no functions")
    return {name: Function(name, name if i else "serving_default", _fields(each["inputs"]), _fields(each["outputs"]))
            for i, (name, each) in enumerate(told.items())}


def _fields(told):
    found = {}
    for each in told:
        name, shape, classes = each["name"], each.get("shape") or [None], each.get("classes") or ()
        kinds.get(each["kind"])
        if not isinstance(name, str) or name in found or shape[0] is not None:
            raise ValueError(f"{name}: a name of its own and a shape that begins with null are needed")
        if isinstance(classes, str) or not all(isinstance(word, str) for word in classes) or len(set(classes)) < len(classes):
            raise ValueError(f"{name}.classes: names are needed, each of them once")
        if each["kind"] == "image" and (len(shape) != 4 or not 1 <= (shape[-1] or 0) <= 4):
            raise ValueError(f"{name}: images of shape {shape}; they have a height, a width and 1 to 4 channels")
        kept = "size", "range", "labels", *getattr(kinds.get(each["kind"]), "MORE", ())
        more = {key: each[key] for key in kept if each.get(key)}
        if each["kind"] == "noise":
            more["distribution"] = each["distribution"].partition("(")[0]  # "normal(0, 1)"
            if more["distribution"] not in ("normal", "uniform"):
                raise ValueError(f"{name}: noise.kind is {more['distribution']}, neither normal nor uniform")
        found[name] = Field(each["kind"], shape[1:], classes, more)
    if not found:
        raise ValueError("a function without inputs or outputs")
    return found


def trained(field):
    """A Field with its free sizes as in training; where that is not known, the kind's examples choose them."""
    size = iter(field.more.get("size") or ())
    return dataclasses.replace(field, shape=[next(size, None) if length is None else length for length in field.shape])


def line(error):
    """An exception as a line for people."""
    return " ".join(str(error).split())[:300] or type(error).__name__
