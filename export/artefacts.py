"""What runs/NAME/export holds: each format made aside, checked, put in its place; then README.md and export.json."""
import importlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from export import PRECISIONS, artefacts_of, card, check
from export.contract import contract
from export.record import files, held, put, read, sha256, size
from kgan import filling
from kgan.command import UserError, busy
from kgan.run import Run, load


def write(run, formats, checkpoint="newest", batch=1, precisions=PRECISIONS, fill=False):
    """Exports the averaged generator of a run's checkpoint. All formats or none take the place of what was there.

    While another process exports the same run this one waits.

    Artefacts of formats that are not written now stay, and stay listed, with the step that they are of.

    Args:
        run: path of the run's directory.
        formats: names in FORMATS, whose packages are there.
        checkpoint: "newest" or "best".
        batch: rows that a TFLite file takes.
        precisions: which TFLite files, of PRECISIONS.
        fill: whether the SavedModel gets the search that fills holes, kgan.filling, too.

    Returns:
        dict, what is in export.json.

    Raises:
        RunError: no run, no checkpoint.
        UserError: an operator that a format does not have, weights that are not finite, a disk that cannot be written.
        CheckError: an artefact differs too much from Keras; then nothing is replaced.
    """
    Run(run).settings(required=True)  # before anything is written where there is no run
    with held(run), busy(f"exporting and checking {', '.join(formats)}"):
        return _write(run, list(dict.fromkeys(formats)), checkpoint, batch, precisions, fill)


def _write(run, formats, checkpoint, batch, precisions, fill):
    directory = Path(run) / "export"
    gan, step = load(run, checkpoint)
    if fill:
        filling.export(gan)
    functions = {name: gan.exported(name) for name in gan.exports()}
    for network in functions.values():
        _check_weights(network, f"{run}: the {checkpoint} checkpoint, of step {step:,}")
    entries = []
    aside = directory / ".part"
    shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
    try:
        aside.mkdir(parents=True)
        references = {name: check.reference(gan, aside / f"reference-{name}.npz", name) for name in functions}
        told = contract(gan, run, step, checkpoint, check.protocol(gan))
        for name in formats:
            options = {"batch": batch, "precisions": precisions} if name == "tflite" else {}
            module = importlib.import_module(f"export.{name}")
            module.write(functions, told, aside / name, gan.latents, **options)
            known = functions if name == "saved_model" else [each for each in functions if hasattr(functions[each], "inputs")]
            for path, precision, held_in in artefacts_of(name, known):
                if not (aside / path).exists():
                    continue
                entries.append({"path": path, "format": name, "precision": precision, "functions": list(held_in), "step": step,
                                "checkpoint": checkpoint, "batch": options.get("batch"),
                                "bytes": size(aside / path), "sha256": sha256(aside / path),
                                "check": check.check(aside / path, name, precision, *(references[each] for each in held_in))})
        kept = [entry for entry in read(directory).get("artefacts", []) if entry["format"] not in formats
                and (directory / entry["path"]).exists()]
        record = {**told, "artefacts": [*entries, *kept]}
        del record["directions"]  # for programs that load an artefact, and long
        (aside / "README.md").write_bytes(card.text(record).encode())
        (aside / "export.json").write_bytes(json.dumps(record, indent=1).encode() + b"\n")
        for file in files(aside):
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        for name in (*formats, "README.md", "export.json"):
            put(aside / name, directory / name, aside)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{directory} cannot be written: {_reason(error)}; it is as it was. Make room or give the rights, and "
                        "export again") from error
    except check.CheckError as error:
        raise check.CheckError(f"{error}. {directory} is as it was; python -m export {run} with other --formats or "
                               "--precisions leaves an artefact out") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return record


def _check_weights(network, what):
    """Raises UserError where a weight is not finite, which no format and no check would know what to do with."""
    for variable in getattr(network, "variables", ()):
        if not np.isfinite(variable).all():
            raise UserError(f"{what}: {variable.path} has values that are not finite, so nothing is exported; train from an "
                            "earlier checkpoint, or export --checkpoint=best")


def _reason(error):
    """What an exception of the system or of TensorFlow comes down to."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    known = re.search(r"No space left on device|File too large|Permission denied|Read-only file system|Disk quota exceeded",
                      str(error))
    return known[0] if known else " ".join(str(error).split())[:200] or type(error).__name__


def lines(record):
    """What was written, as text: a line for each artefact of the step that was exported."""
    now = record["step"], record["checkpoint"]
    return "\n".join(f"export/{entry['path']}: step {entry['step']:,}, {check.words(entry['check'])}"
                     for entry in record["artefacts"] if (entry["step"], entry["checkpoint"]) == now)
