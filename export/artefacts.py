"""What runs/NAME/export holds: each format made aside, checked, put in its place; then README.md and export.json."""
import hashlib
import importlib
import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import kgan
from export import FORMATS, PRECISIONS, card, check
from kgan.data import LICENCES
from kgan.latent import principal_directions
from kgan.run import Run, load
from kgan.run import write as write_file

_PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")

_ENTRY = {"path", "format", "precision", "step", "checkpoint", "batch", "bytes", "sha256", "check"}


def write(run, formats, checkpoint="newest", batch=1, precisions=PRECISIONS):
    """Exports the averaged generator of a run's checkpoint. All formats or none take the place of what was there.

    Artefacts of formats that are not written now stay, and stay listed, with the step that they are of.

    Args:
        run: path of the run's directory.
        formats: names in FORMATS, whose packages are there.
        checkpoint: "newest" or "best".
        batch: rows that a TFLite file takes.
        precisions: which TFLite files, of PRECISIONS.

    Returns:
        dict, what is in export.json.

    Raises:
        RunError: no run, no checkpoint.
        UserError: an operator that a format does not have.
        CheckError: an artefact differs too much from Keras; then nothing is replaced.
    """
    directory, formats = Path(run) / "export", list(dict.fromkeys(formats))
    gan, step = load(run, checkpoint)
    directory.mkdir(exist_ok=True)
    entries = []
    aside = directory / ".part"
    shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
    aside.mkdir()
    try:
        reference = check.reference(gan, aside / "reference.npz")
        told = contract(gan, run, step, checkpoint)
        for name in formats:
            options = {"batch": batch, "precisions": precisions} if name == "tflite" else {}
            module = importlib.import_module(f"export.{name}")
            module.write(gan.ema_generator, told, aside / name, gan.latents, **options)
            for path, precision in FORMATS[name].artefacts.items():
                if not (aside / path).exists():
                    continue
                entries.append({"path": path, "format": name, "precision": precision, "step": step,
                                "checkpoint": checkpoint, "batch": options.get("batch"),
                                "bytes": size(aside / path), "sha256": sha256(aside / path),
                                "check": check.check(aside / path, name, precision, reference)})
        for file in _files(aside):
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        for name in formats:
            _replace(directory / name, aside / name, aside / f"{name}.old")
    except check.CheckError as error:
        raise check.CheckError(f"{error}. {directory} is as it was; python -m export {run} with other --formats or "
                               "--precisions leaves an artefact out") from None
    finally:
        shutil.rmtree(aside)
    kept = [entry for entry in read(directory).get("artefacts", []) if entry["format"] not in formats
            and (directory / entry["path"]).exists()]
    record = {**told, "artefacts": [*entries, *kept]}
    del record["directions"]  # for programs that load an artefact, and long
    write_file(directory / "README.md", card.text(record).encode())
    write_file(directory / "export.json", json.dumps(record, indent=1).encode() + b"\n")
    return record


def read(directory):
    """The dict in export.json of that directory; {} where there is none that can be read."""
    try:
        record = json.loads((Path(directory) / "export.json").read_text(encoding="utf-8"))
        whole = all(_ENTRY <= set(entry) and entry["format"] in FORMATS for entry in record["artefacts"])
        return record if whole else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def lines(record):
    """What was written, as text: a line for each artefact of the step that was exported."""
    now = record["step"], record["checkpoint"]
    return "\n".join(f"export/{entry['path']}: step {entry['step']:,}, {check.words(entry['check'])}"
                     for entry in record["artefacts"] if (entry["step"], entry["checkpoint"]) == now)


def size(path):
    """Bytes of a file, or of all files in a directory."""
    return sum(file.stat().st_size for file in _files(path))


def sha256(path):
    """Hexadecimal SHA-256 of a file; of a directory: of what `sha256sum` prints for its files, sorted by path."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    rows = [f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in _files(path)]
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _files(path):
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _replace(target, new, old):
    if target.exists():
        os.replace(target, old)
    os.replace(new, target)


def contract(gan, run, step, checkpoint):
    """What is true of all artefacts, as a dict that JSON takes.

    `directions`: unit vectors of noise [K, D], the principal directions of the latent space, the widest first.
    """
    settings = Run(run).settings()
    return {
        "name": Path(run).resolve().name, "model": settings["model"], "dataset": settings["dataset"],
        "step": step, "checkpoint": checkpoint, "averaged": True, "licence": LICENCES.get(settings["dataset"]),
        **interface(gan),
        "directions": [[round(float(value), 6) for value in row] for row in principal_directions(gan)],
        "parameters": gan.ema_generator.count_params(),
        "quality": _quality(Path(run) / "metrics.json"), "protocol": check.PROTOCOL,
        "versions": {"kgan": kgan.__version__, **dict(_versions())}, "seed": settings["seed"],
        "config": settings["config"]}


def interface(gan):
    """What goes in and what comes out: as much of the contract as the formats and the server need, without `directions`.

    `label`: None, or the input beside noise that a conditional generator takes, with the names of its `classes`.
    `truncation`: whether the noise is normal, so that kgan.gan.truncate may be applied to it.
    """
    uniform, images = gan.config.noise == "uniform", gan.key == "image"
    return {
        "input": {"name": "noise", "shape": [None, gan.config.noise_dim], "dtype": "float32",
                  "distribution": "uniform(-1, 1)" if uniform else "normal(0, 1)",
                  "range": [-1, 1] if uniform else None},
        "label": {"name": "label", "shape": [None], "dtype": "int32", "classes": list(gan.classes)} if gan.classes else None,
        "output": {"name": f"{gan.key}s", "shape": [None, *gan.generator.output_shape[1:]], "dtype": "float32",
                   "range": [-1, 1] if images else None},
        "noise": {"kind": gan.config.noise, "dim": gan.config.noise_dim}, "truncation": not uniform}


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
