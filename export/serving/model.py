"""A SavedModel in memory, and the newest of those on disk: it is replaced while it is served, never by a broken one."""
import contextlib
import functools
import hashlib
import logging
from pathlib import Path

import numpy as np

from export import CONTRACT
from export.paths import readable
from export.serving.contract import line, read_contract, trained
from kgan import kinds

LOG = logging.getLogger("export.serve")

FILE = "saved_model.pb"
_PARTS = FILE, "fingerprint.pb", "variables", "assets", "assets.extra"
_LARGEST = 2**63 - 1  # version, as in TensorFlow Serving
_LOOKED = 1000  # folders
_BEHIND = 1 << 12  # numbers of them that a page gets
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
        return {name: np.asarray(tensor.numpy(), object if tensor.dtype == tf.string else None)  # a single one is no array
                for name, tensor in self._function(**tensors).items()}

    def check(self):
        """Raises ValueError where a variable that it uses is not finite: what it makes would be nothing, perhaps not at once."""
        import tensorflow as tf
        for variable in self._function.variables:
            if variable.dtype.is_floating and not np.isfinite(tf.cast(variable, tf.float32)).all():
                raise ValueError(f"its variable {variable.name} has values that are not finite")

    def words(self):
        """What it takes and gives, as a text."""
        return "; ".join(", ".join(f"{name} {spec.dtype.name} {spec.shape}" for name, spec in specs.items())
                         for specs in (self.inputs, self.outputs))


class Model:
    """A SavedModel, loaded and called once.

    version: int. signatures: dict of name to Signature. metadata: its signatures as TensorFlow Serving tells them.
    contract: dict of generator.json, or {}. digest: hexadecimal, of its files.
    functions: dict of name to Function, what `POST /make` offers; {}: nothing, and `why` says why.
    kind: of the samples that a GET, which says noise and a class, makes pictures of; None: of none, and `why` says why.
    classes: tuple of the names of the classes that `label` stands for; () if the first function takes none.
    truncation: whether its noise may be truncated.
    seen: float32 array [n, L] of points or signals, samples by which the axes of a plot are chosen; None for others.

    Raises:
        ModelError: the folder holds no SavedModel that loads and runs, or it gives numbers that are not finite.
    """

    def __init__(self, folder, version=None, max_batch=1):
        import tensorflow as tf
        try:
            with readable(folder) as path:
                self._loaded = tf.saved_model.load(path)  # keeps its variables alive
            self.signatures = {name: Signature(function) for name, function in self._loaded.signatures.items()}
            self.metadata, self.digest = _metadata(folder), _digest(folder)
            if not self.signatures:
                raise ValueError("it has no signature")
            self.contract, self.functions, trouble = read_contract(folder)
            step = self.contract.get("step")
            self.version = (step if isinstance(step, int) and step > 0 else 1) if version is None else version
            self.why = trouble or self._lacking()
            if self.why:
                self.functions = {}
            self.kind = self._kind()
            self.classes = self._classes()
            self.truncation = bool(self.contract.get("truncation"))
            for signature in self.signatures.values():
                signature.check()
            self.seen = self._warm(max_batch)
        except Exception as error:  # TensorFlow raises nearly anything on broken files
            raise ModelError(f"{folder}: not served: {line(error)}") from error

    @property
    def default(self):
        """The Signature that makes samples."""
        return self.signatures.get("serving_default") or next(iter(self.signatures.values()))

    @property
    def function(self):
        """The first Function, that of `default`."""
        return next(iter(self.functions.values()))

    @functools.cached_property
    def directions(self):
        """float32 array [K, D]; K is 0 where none are known."""
        known, dim = self.contract.get("directions"), self.noise.shape if self.noise else [0]
        return np.asarray(known or np.zeros([0, *dim]), np.float32)

    @property
    def noise(self):
        """kgan.kinds.Field of the noise that its functions take; None: none does."""
        fields = [field for function in self.functions.values() for field in function.inputs.values()]
        return next((field for field in fields if field.kind == "noise"), None)

    @property
    def distribution(self):
        """Of that noise, "normal" or "uniform"."""
        return self.noise.more["distribution"]

    def latents(self, count, seed):
        """The noise of a seed, float32 array [count, D]: its first rows are the same for every count."""
        if "latents" not in self.signatures:
            return kinds.get("noise").examples(self.noise, count, seed)
        return self.signatures["latents"]({"count": np.int32(count), "seed": np.int32(seed)})["noise"]

    def behind(self):
        """Some of `seen` as lists of four digits, for a page to draw samples before; None: of what is no plot."""
        if self.seen is None:
            return None
        some = self.seen[:max(8, _BEHIND // self.seen[0].size)]
        return [[float(f"{value:.4g}") for value in sample.ravel()] for sample in some]

    def told(self):
        """Its functions as in the contract, in which older ones have none."""
        return self.contract.get("functions") or {name: function.told() for name, function in self.functions.items()}

    def inputs(self, noise, label=None):
        """Arrays for the signature serving_default: noise float32 [n, D] and, if there are classes, label int32 [n].

        `label`: name of the class of all rows; None: the classes in turn.
        """
        if not self.classes:
            return {self.function.of("noise"): noise}
        rows = np.arange(len(noise), dtype=np.int32) % len(self.classes)
        return {self.function.of("noise"): noise,
                self.function.of("label"): rows if label is None else np.full_like(rows, self.classes.index(label))}

    def _lacking(self):
        """What the SavedModel has not of what the contract says, or ""."""
        needed = {function.signature for function in self.functions.values()}
        needed |= {"latents"} if self.contract.get("noise") else set()
        if lacking := needed - set(self.signatures):
            return f"the SavedModel has no signature {' and none '.join(sorted(lacking))}"
        for function in self.functions.values():
            signature = self.signatures[function.signature]
            for found, known, verb in ((signature.inputs, function.inputs, "takes"),
                                       (signature.outputs, function.outputs, "gives")):
                if set(found) != set(known):
                    return f"the SavedModel {verb} {', '.join(found)}, {CONTRACT} says {', '.join(sorted(known))}"
        return ""

    def _kind(self):
        """The kind of samples that a GET makes pictures of: of the first function, if it takes noise and a label alone."""
        if not self.functions:
            return None
        asked = [field.kind for field in self.function.inputs.values()]
        if sorted(asked) not in (["noise"], ["label", "noise"]):
            self.why = f"it takes {', '.join(self.function.inputs)}: POST /make/{self.function.name} sends them"
            return None
        return self.function.outputs[self.function.output].kind

    def _classes(self):
        label = self.functions and self.function.of("label")
        return self.function.inputs[label].classes if label else ()

    def _warm(self, max_batch):
        """Calls it, since first calls are slow, and looks at what it gives. Returns what `seen` is."""
        if not self.functions:
            import tensorflow as tf
            if self.default.joins and all(spec.dtype.is_floating for spec in self.default.inputs.values()):
                with contextlib.suppress(tf.errors.OpError):  # sizes that are free may not be 1
                    self.default({name: np.zeros([1, *(size or 1 for size in spec.shape[1:])], spec.dtype.as_numpy_dtype)
                                  for name, spec in self.default.inputs.items()})
            return None
        plotted = self.kind and kinds.get(self.kind).RANGE is None
        for function in self.functions.values():
            drawn = self.kind and function is self.function
            for count in {1, max_batch if drawn else 1, _SEEN if drawn and plotted else 1}:
                self._try(function, count)
        return self._try(self.function, _SEEN)[self.function.output] if plotted else None

    def _try(self, function, count):
        """What a function makes of `count` examples. Raises ValueError: it is not what the contract says, or not finite."""
        inputs = {name: self.latents(count, 0) if field.kind == "noise" else
                  kinds.get(field.kind).examples(trained(field), count) for name, field in function.inputs.items()}
        outputs = self.signatures[function.signature](inputs)
        for name, field in function.outputs.items():
            found = outputs[name]
            if len(found) != count or len(found.shape) != 1 + len(field.shape) or any(
                    size not in (None, length) for size, length in zip(field.shape, found.shape[1:])):
                raise ValueError(f"{CONTRACT}: {name} {[None, *field.shape]}, but it gives {found.shape}")
            if not np.isfinite(found).all():
                raise ValueError(f"{name}: what it makes is not finite")
        return outputs


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


# === The newest of those on disk ===

class Versions:
    """What is served of a folder: `current`, a Model, or None before the first has been loaded.

    Args:
        path: a SavedModel or what lies in it, a folder with one in saved_model/, a run that was exported, or a folder of
            SavedModels whose names are numbers.
        max_batch: rows that a new model is tried with before it serves.
    """

    def __init__(self, path, max_batch=1):
        self.path, self.max_batch = Path(path), max_batch
        if (self.path.parent / FILE).is_file() and self.path.name in _PARTS:
            self.path = self.path.parent
        self.current, self._stamp, self._failed = None, None, {}

    def found(self):
        """List of (number or None, folder), the newest first; [] where there is no SavedModel now."""
        for folder in (self.path, self.path / "saved_model", self.path / "export" / "saved_model"):
            if (folder / FILE).is_file():
                return [(None, folder)]
        folders = self.path.iterdir() if self.path.is_dir() else []
        numbered = [(int(folder.name), folder) for folder in folders if folder.name.isdecimal()]
        return sorted((pair for pair in numbered if pair[0] <= _LARGEST and (pair[1] / FILE).is_file()), reverse=True)

    def near(self):
        """List of paths one or two levels up or down of which something can be served, where nothing can of this one."""
        here = [self.path.parent, self.path.parent.parent]
        below = [folder for pattern in ("*", "*/*") for folder in sorted(self.path.glob(pattern)) if folder.is_dir()]
        return [path for path in (*here, *below[:_LOOKED]) if Versions(path).found()]

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
            raise ModelError(f"{folder}: not served: {model.why or f'its samples are of kind {model.kind}'}, clients know "
                             f"pictures of kind {self.current.kind}; complete it, or restart to serve it")
        if self.current.kind and (self.current.classes != model.classes or self.current.truncation > model.truncation):
            raise ModelError(f"{folder}: not served: it has other classes, or no truncation any more, and clients know those "
                             "of before; restart to serve it")
        for name, function in self.current.functions.items():
            if name not in model.functions or model.functions[name].promise != function.promise:
                why = f"its function {name} is another" if model.functions else model.why
                raise ModelError(f"{folder}: not served: {why}, clients know that of before; restart to serve it")
