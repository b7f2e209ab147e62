"""The contract: what is true of all artefacts of an export, as a dict that JSON takes. It is in each of them."""
import importlib.metadata
import json
from pathlib import Path

import kgan
from export import FORMAT
from kgan import kinds
from kgan.data import LICENCES
from kgan.latent import principal_directions
from kgan.run import Run
from kgan.sampling import gives_dict, inputs_of

_PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")


def contract(gan, run, step, checkpoint, protocol):
    """All of it; `protocol`: by what the artefacts are checked.

    `directions`: unit vectors of noise [K, D], the principal directions of the latent space, the widest first; none where the
    generator is given more than noise and a label.
    """
    settings = Run(run).settings()
    told = interface(gan)
    return {
        "format": FORMAT, "name": Path(run).resolve().name, "model": settings["model"], "dataset": settings["dataset"],
        "step": step, "checkpoint": checkpoint, "averaged": True, "licence": LICENCES.get(settings["dataset"]),
        **told,
        "directions": [[round(float(value), 6) for value in row] for row in principal_directions(gan)]
                      if told["noise"] else None,
        "parameters": sum(function.count_params() for function in _networks(gan)),
        "quality": _quality(Path(run) / "metrics.json"), "protocol": protocol,
        "versions": {"kgan": kgan.__version__, **dict(_versions())}, "seed": settings["seed"],
        "config": settings["config"]}


def interface(gan):
    """What goes in and what comes out: as much of the contract as the formats and the server need, without `directions`.

    `functions`: name -> `inputs` and `outputs`, each a list of dicts of `name`, `kind`, `shape` (None: free; first the rows),
    `dtype`, `range` (None: not bounded) and what the kind has more: `distribution`, `classes`, `size`, that of training where
    sizes are free, and of images the colours that those of training are drawn in, 0 to 255: `labels`, of label maps, which have
    no others, or `colours`. Of the first function, where it takes noise, or noise and a label, the same stands as `input`, `label`
    (None: it takes none) and `output`; `noise` says what `latents` draws, and `truncation` whether kgan.kinds.noise.truncate may
    be applied.
    """
    return _of({name: _function(gan, name) for name in gan.exports()})


def only(contract, names):
    """The contract of an artefact that holds these of its functions alone."""
    return {**contract, **_of({name: contract["functions"][name] for name in names})}


def _of(functions):
    """`functions`, and of the first what else stands in the contract."""
    inputs, output = (next(iter(functions.values()))[name] for name in ("inputs", "outputs"))
    by_name, output = {told["name"]: told for told in inputs}, output[0]
    plain = set(by_name) <= {"noise", "label"}
    noise = plain and {"kind": by_name["noise"]["distribution"].partition("(")[0], "dim": by_name["noise"]["shape"][1]}
    return {
        "functions": functions,
        "input": {key: value for key, value in by_name["noise"].items() if key != "kind"} if plain else None,
        "label": {key: by_name["label"][key] for key in ("name", "shape", "dtype", "classes")} if "label" in by_name else None,
        "output": {key: value for key, value in output.items() if key not in ("kind", "size")},
        "noise": noise or None, "truncation": plain and noise["kind"] == "normal"}


def _networks(gan):
    """The networks among what is exported, each once."""
    found = [gan.exported(name) for name in gan.exports()]
    return list({id(one): one for one in found if hasattr(one, "count_params")}.values())


def _function(gan, name):
    """What goes into a function and comes out of it."""
    network, (inputs, outputs) = gan.exported(name), gan.described(name)
    taken, given = {}, {}
    if hasattr(network, "inputs"):
        taken = inputs_of(network)
        given = network.output if gives_dict(network) else dict.fromkeys(outputs, network.outputs[0])
        if len(taken) == 1:  # whatever it is called
            taken = dict.fromkeys(inputs, *taken.values())
    return {key: [_field(name, field, tensors.get(name)) for name, field in fields.items()]
            for key, fields, tensors in (("inputs", inputs, taken), ("outputs", outputs, given))}


def _field(name, field, tensor):
    """An input or output; `tensor`: the network's, with its free sizes, or None."""
    if field.kind == "noise":
        uniform = field.more["distribution"] == "uniform"
        return {"name": name, "kind": "noise", "shape": [None, *field.shape], "dtype": "float32",
                "distribution": "uniform(-1, 1)" if uniform else "normal(0, 1)", "range": [-1, 1] if uniform else None}
    if field.kind == "label":
        return {"name": name, "kind": "label", "shape": [None], "dtype": "int32", "classes": list(field.classes)}
    bounds, shape = getattr(kinds.get(field.kind), "RANGE", None), field.shape if tensor is None else tensor.shape[1:]
    more = {key: field.more.get(key, usual) for key, usual in getattr(kinds.get(field.kind), "MORE", {}).items()}
    more.update((key, field.more[key]) for key in ("labels", "colours") if key in field.more)
    dtype = kinds.dtype(field.kind) if tensor is None else str(tensor.dtype)
    told = {"name": name, "kind": field.kind, "shape": [None, *shape], "dtype": dtype,
            "range": [int(bound) for bound in bounds] if bounds else None, **more}
    free = [size for size, network in zip(field.shape, shape) if network is None]
    told.update({"classes": list(field.classes)} if field.classes else {})
    return {**told, "size": list(field.more.get("size", free))} if free else told


def _quality(path):
    """Figures and protocol in metrics.json, or None."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: found[name] for name in ("figures", "real", "protocol")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _versions():
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
