"""What runs/NAME/export holds: each format made aside, checked, put in its place; then README.md and export.json."""
import importlib
import json
import os
import shutil
from pathlib import Path

from export import FORMATS, PRECISIONS, card, check
from export.contract import contract
from export.record import files, held, put, read, sha256, size
from kgan.run import Run, load
from kgan.run import write as write_file


def write(run, formats, checkpoint="newest", batch=1, precisions=PRECISIONS):
    """Exports the averaged generator of a run's checkpoint. All formats or none take the place of what was there.

    While another process exports the same run this one waits.

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
    Run(run).settings(required=True)  # before anything is written where there is no run
    with held(run):
        return _write(run, list(dict.fromkeys(formats)), checkpoint, batch, precisions)


def _write(run, formats, checkpoint, batch, precisions):
    directory = Path(run) / "export"
    gan, step = load(run, checkpoint)
    directory.mkdir(exist_ok=True)
    entries = []
    aside = directory / ".part"
    shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
    aside.mkdir()
    try:
        reference = check.reference(gan, aside / "reference.npz")
        told = contract(gan, run, step, checkpoint, check.PROTOCOL)
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
        for file in files(aside):
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        for name in formats:
            put(aside / name, directory / name, aside)
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


def lines(record):
    """What was written, as text: a line for each artefact of the step that was exported."""
    now = record["step"], record["checkpoint"]
    return "\n".join(f"export/{entry['path']}: step {entry['step']:,}, {check.words(entry['check'])}"
                     for entry in record["artefacts"] if (entry["step"], entry["checkpoint"]) == now)
