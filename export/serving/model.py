"""A SavedModel in memory, and the newest of those on disk: it is replaced while it is served, never by a broken one."""
import functools
import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from export import CONTRACT

LOG = logging.getLogger("export.serve")

FILE = "saved_model.pb"
_LARGEST = 2**63 - 1  # version, as in TensorFlow Serving
_SEEN = 256  # samples by which the axes of a plot are chosen


class ModelError(Exception):
    """Files that cannot be served; the message says which and why."""


# === One model ===

class Signature:
    """A function of a SavedModel: called with a dict of arrays, it returns one.

    inputs, outputs: dicts of name to tf.TensorSpec. joins: whether each of them begins with a free number of rows.
    """

    def __init__(self, function):
        self._function = function
        self.inputs, self.outputs = (dict(sorted(specs.items())) for specs in (
            function.structured_input_signature[1], function.structured_outputs))
        self.joins = bool(self.inputs) and all(spec.shape.rank and spec.shape[0] is None for spec in
                                               [*self.inputs.values(), *self.outputs.values()])

    def __call__(self, inputs):
        import tensorflow as tf
        tensors = {name: tf.constant(array, self.inputs[name].dtype) for name, array in inputs.items()}
        return {name: tensor.numpy() for name, tensor in self._function(**tensors).items()}

    def words(self):
        """What it takes and gives, as a text."""
        return "; ".join(", ".join(f"{name} {spec.dtype.name} {spec.shape}" for name, spec in specs.items())
                         for specs in (self.inputs, self.outputs))


class Model:
    """A SavedModel, loaded and called once.

    version: int. signatures: dict of name to Signature. metadata: its signatures as TensorFlow Serving tells them.
    contract: dict of generator.json, or {}. digest: hexadecimal, of its files.
    kind: "images", "points" or "signals"; None: no pictures are made of it, and `why` says why.
    classes: tuple of the names of the classes that `label` stands for; () if the generator takes none.
    truncation: whether its noise may be truncated.
    seen: float32 array [n, L] of points or signals, samples by which the axes of a plot are chosen; None for images.

    Raises:
        ModelError: the folder holds no SavedModel that loads and runs.
    """

    def __init__(self, folder, version=None, max_batch=1):
        import tensorflow as tf
        try:
            self._loaded = tf.saved_model.load(str(folder))  # keeps its variables alive
            self.signatures = {name: Signature(function) for name, function in self._loaded.signatures.items()}
            self.metadata, self.digest = _metadata(folder), _digest(folder)
            if not self.signatures:
                raise ValueError("it has no signature")
            self.contract, trouble = read_contract(folder)
            step = self.contract.get("step")
            self.version = (step if isinstance(step, int) and step > 0 else 1) if version is None else version
            self.classes = tuple((self.contract.get("label") or {"classes": ()})["classes"])
            self.truncation = bool(self.contract.get("truncation"))
            self.kind, self.why = self._kind(trouble)
            self.seen = self._warm(max_batch)
        except Exception as error:  # TensorFlow raises nearly anything on broken files
            raise ModelError(f"{folder}: not served: {_line(error)}") from error

    @property
    def default(self):
        """The Signature that makes samples."""
        return self.signatures.get("serving_default") or next(iter(self.signatures.values()))

    @functools.cached_property
    def directions(self):
        """float32 array [K, D]; K is 0 where none are known."""
        dim = self.contract["noise"]["dim"]
        return np.asarray(self.contract.get("directions") or np.zeros([0, dim]), np.float32)

    def latents(self, count, seed):
        """The noise of a seed, float32 array [count, D]: its first rows are the same for every count."""
        return self.signatures["latents"]({"count": np.int32(count), "seed": np.int32(seed)})["noise"]

    def inputs(self, noise, label=None):
        """Arrays for the signature serving_default: noise float32 [n, D] and, if there are classes, label int32 [n].

        `label`: name of the class of all rows; None: the classes in turn.
        """
        if not self.classes:
            return {"noise": noise}
        rows = np.arange(len(noise), dtype=np.int32) % len(self.classes)
        return {"noise": noise, "label": rows if label is None else np.full_like(rows, self.classes.index(label))}

    def _kind(self, trouble):
        """(kind, why there is none)."""
        lacking = {"serving_default", "latents"} - set(self.signatures)
        if trouble or lacking:
            return None, trouble or f"the SavedModel has no signature {' and none '.join(sorted(lacking))}"
        known = {"noise", "label"} if self.classes else {"noise"}
        if set(self.default.inputs) != known:
            return None, f"the SavedModel takes {', '.join(self.default.inputs)}, {CONTRACT} says {', '.join(sorted(known))}"
        *_, last = shape = self.contract["output"]["shape"]
        if len(shape) == 4 and 1 <= last <= 4:
            return "images", ""
        if len(shape) == 2:
            return "points" if last == 2 else "signals", ""
        return None, f"samples of shape {shape} are neither images of 1 to 4 channels nor points nor signals"

    def _warm(self, max_batch):
        """Calls it, since first calls are slow. Returns what `seen` is."""
        if self.kind:
            output, shape = self.contract["output"]["name"], self.contract["output"]["shape"]
            for count in {1, max_batch, 1 if self.kind == "images" else _SEEN}:
                samples = self.default(self.inputs(self.latents(count, 0)))[output]
                if [None, *samples.shape[1:]] != shape or len(samples) != count:
                    raise ValueError(f"{CONTRACT}: output {shape}, but it gives {samples.shape}")
            return None if self.kind == "images" else self.default(self.inputs(self.latents(_SEEN, 0)))[output]
        if self.default.joins and all(spec.dtype.is_floating for spec in self.default.inputs.values()):
            self.default({name: np.zeros([1, *(size or 1 for size in spec.shape[1:])], spec.dtype.as_numpy_dtype)
                          for name, spec in self.default.inputs.items()})
        return None


def read_contract(folder):
    """(dict of generator.json, or {}; why there is none, or "")."""
    try:
        found = json.loads((Path(folder) / CONTRACT).read_text(encoding="utf-8"))
        known = found["noise"]["kind"] in ("normal", "uniform") and isinstance(found["output"]["name"], str)
        if not known or len(found["output"]["shape"]) < 2:
            raise ValueError("noise.kind, output.name or output.shape")
        np.reshape(np.asarray(found.get("directions") or [], np.float32), [-1, found["noise"]["dim"]])
        classes = found["label"]["classes"] if found.get("label") else ()
        if not all(isinstance(name, str) for name in classes) or len(set(classes)) < len(classes) or isinstance(classes, str):
            raise ValueError("label.classes: names are needed, each of them once")
        return found, ""
    except FileNotFoundError:
        return {}, f"the SavedModel has no {CONTRACT}; python -m export writes one"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, f"{CONTRACT} cannot be read ({_line(error)}); python -m export writes one"


def _metadata(folder):
    """The SavedModel's signatures as dicts, in the JSON form of TensorFlow's SignatureDef."""
    from google.protobuf import json_format
    from tensorflow.core.protobuf import saved_model_pb2
    stored = saved_model_pb2.SavedModel.FromString((Path(folder) / FILE).read_bytes())
    return {name: json_format.MessageToDict(signature, preserving_proto_field_name=True,
                                            always_print_fields_with_no_presence=True)
            for name, signature in stored.meta_graphs[0].signature_def.items()}


def _digest(folder):
    found = hashlib.sha256()
    for path in _files(folder):
        found.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):  # variables may be larger than what memory is left
                found.update(block)
    return found.hexdigest()


def _files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def _line(error):
    return " ".join(str(error).split())[:300] or type(error).__name__


# === The newest of those on disk ===

class Versions:
    """What is served of a folder: `current`, a Model, or None before the first has been loaded.

    Args:
        path: a SavedModel, a folder with one in saved_model/, or a folder of SavedModels whose names are numbers.
        max_batch: rows that a new model is tried with before it serves.
    """

    def __init__(self, path, max_batch=1):
        self.path, self.max_batch = Path(path), max_batch
        self.current, self._stamp, self._failed = None, None, {}

    def found(self):
        """List of (number or None, folder), the newest first; [] where there is no SavedModel now."""
        for folder in (self.path, self.path / "saved_model"):
            if (folder / FILE).is_file():
                return [(None, folder)]
        folders = self.path.iterdir() if self.path.is_dir() else []
        numbered = [(int(folder.name), folder) for folder in folders if folder.name.isdecimal()]
        return sorted((pair for pair in numbered if pair[0] <= _LARGEST and (pair[1] / FILE).is_file()), reverse=True)

    def refresh(self):
        """Serves the newest that can be, if that is another one than before. Old requests keep the model they have.

        One that fails is passed over with a line in the log, and tried again when any of its files has changed: it may
        still be being copied.

        Returns:
            True if `current` is another one now, False if a newer one failed, None if there is nothing new.
        """
        result, found = None, self.found()
        folders = {folder for _, folder in found}
        self._failed = {folder: stamp for folder, stamp in self._failed.items() if folder in folders}
        for number, folder in found:
            try:
                stamp = folder, *((path, path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
                                  for path in _files(folder))
            except OSError:  # it is being replaced
                continue
            if stamp == self._stamp:
                break
            if stamp == self._failed.get(folder):
                continue
            try:
                model = Model(folder, number, self.max_batch)
                self._compare(folder, model)
            except ModelError as error:
                self._failed[folder] = stamp
                LOG.error("%s", error)
                result = False
                continue
            self.current, self._stamp = model, stamp
            LOG.info("serving version %d of %s", model.version, folder)
            return True
        return result

    def _compare(self, folder, model):
        """Raises ModelError where clients of `current` would not get from `model` what they know."""
        if self.current is None:
            return
        new, old = model.default.words(), self.current.default.words()
        if new != old:
            raise ModelError(f"{folder}: not served: it has {new}, clients know {old}; restart to serve it")
        if self.current.kind not in (None, model.kind):
            raise ModelError(f"{folder}: not served: {model.why or f'its samples are {model.kind}'}, "
                             f"clients know pictures of {self.current.kind}; complete it, or restart to serve it")
        if self.current.kind and (self.current.classes != model.classes or self.current.truncation > model.truncation):
            raise ModelError(f"{folder}: not served: it has other classes, or no truncation any more, and clients know those "
                             "of before; restart to serve it")
