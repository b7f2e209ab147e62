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
from kgan.sampling import inputs_of

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
        "parameters": gan.ema_generator.count_params(),
        "quality": _quality(Path(run) / "metrics.json"), "protocol": protocol,
        "versions": {"kgan": kgan.__version__, **dict(_versions())}, "seed": settings["seed"],
        "config": settings["config"]}


def interface(gan):
    """What goes in and what comes out: as much of the contract as the formats and the server need, without `directions`.

    `functions`: name -> `inputs` and `outputs`, each a list of dicts of `name`, `kind`, `shape` (None: free; first the rows),
    `dtype`, `range` (None: not bounded) and what the kind has more: `distribution`, `classes`, `size`, that of training where
    sizes are free, and of images the colours that those of training are drawn in, 0 to 255: `labels`, of label maps, which have
    no others, or `colours`. Of a generator of noise, or noise and a label, the same stands as `input`, `label` (None: it takes
    none) and `output`; `noise` says what `latents` draws, and `truncation` whether kgan.kinds.noise.truncate may be applied.
    """
    inputs, output = [_input(gan, name) for name in _names(gan)], _made(gan)
    by_name = {told["name"]: told for told in inputs}
    plain = set(by_name) <= {"noise", "label"}
    return {
        "functions": {"generator": {"inputs": inputs, "outputs": [output]}},
        "input": {key: value for key, value in by_name["noise"].items() if key != "kind"} if plain else None,
        "label": {key: by_name["label"][key] for key in ("name", "shape", "dtype", "classes")} if "label" in by_name else None,
        "output": {key: value for key, value in output.items() if key not in ("kind", "size")},
        "noise": {"kind": gan.config.noise, "dim": gan.config.noise_dim} if plain else None,
        "truncation": plain and gan.config.noise == "normal"}


def _names(gan):
    names = list(inputs_of(gan.ema_generator))
    return ["noise"] if len(names) == 1 and names[0] not in ("noise", *gan.fields) else names


def _input(gan, name):
    if name == "noise":
        uniform = gan.config.noise == "uniform"
        return {"name": "noise", "kind": "noise", "shape": [None, gan.config.noise_dim], "dtype": "float32",
                "distribution": "uniform(-1, 1)" if uniform else "normal(0, 1)", "range": [-1, 1] if uniform else None}
    if name == "label":
        return {"name": "label", "kind": "label", "shape": [None], "dtype": "int32", "classes": list(gan.classes)}
    return _field(name, gan.fields[name], inputs_of(gan.ema_generator)[name].shape)


def _made(gan):
    field = gan.fields[gan.key]
    return _field(kinds.get(field.kind).OUTPUT, field, gan.ema_generator.output_shape)


def _field(name, field, shape):
    """`shape`: the network's, with its free sizes."""
    bounds = kinds.get(field.kind).RANGE
    told = {"name": name, "kind": field.kind, "shape": [None, *shape[1:]], "dtype": "float32",
            "range": [int(bound) for bound in bounds] if bounds else None,
            **{key: field.more[key] for key in ("labels", "colours") if key in field.more}}
    free = [size for size, network in zip(field.shape, shape[1:]) if network is None]
    return {**told, "size": list(field.shape[:len(free)])} if free else told


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
