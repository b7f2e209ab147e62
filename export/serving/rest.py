"""TensorFlow Serving's REST form: JSON to arrays and back, strictly.

Strict where TensorFlow Serving is not: no NaN and no infinity, either way, and no unknown key. Strings are {"b64": …}
in every answer, where TensorFlow Serving does so only for outputs whose names end with _bytes.
"""
import base64
import binascii

import numpy as np
import orjson

from export.serving.limits import Refusal, shown

_KEYS = "signature_name", "instances", "inputs"


def read(body, model, max_batch):
    """What a request for a prediction asks for.

    Args:
        body: bytes.
        model: Model.
        max_batch: rows, and images of a `count`, that it may ask for.

    Returns:
        (Signature, dict of arrays, rows, "predictions" or "outputs": the key of the answer).

    Raises:
        Refusal: 413 if it asks for too much, 400 if anything else is wrong; the message begins with the field.
    """
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"body: not JSON: {error}") from None
    if not isinstance(asked, dict):
        raise Refusal(400, f"body: an object is needed, not {_kind(asked)}")
    for key in asked:
        if key not in _KEYS:
            raise Refusal(400, f"{shown(key)}: no such key; there are {', '.join(_KEYS)}")
    if ("instances" in asked) == ("inputs" in asked):
        raise Refusal(400, "instances, inputs: one of them is needed, and not both")
    name = asked.get("signature_name", "serving_default")
    signature = model.signatures.get(name or "serving_default") if isinstance(name, str) else None
    if signature is None:
        raise Refusal(400, f"signature_name: no signature {shown(name)}; there are "
                      + ", ".join(sorted(model.signatures)))
    for output, spec in signature.outputs.items():
        if not _known(spec.dtype):
            raise Refusal(400, f"signature_name: {shown(name)} gives {output} as {spec.dtype.name}, which JSON has no form for; "
                          "ask for another signature")
    convert = _rows if "instances" in asked else _columns
    inputs = convert(asked.get("instances", asked.get("inputs")), signature, max_batch)
    _check_labels(inputs, name or "serving_default", model, convert is _rows)
    return signature, inputs, _weight(inputs, signature, max_batch), "predictions" if convert is _rows else "outputs"


def answer(outputs, key, rows):
    """The bytes of the JSON of an answer.

    Args:
        outputs: dict of arrays.
        key: "predictions", then it is a list of one value a row, or "outputs". The name of a single output is left out.
        rows: how many.

    Raises:
        Refusal: 400, rows were asked for of outputs that have others, or an output has NaN or infinity.
    """
    outputs = {name: _plain(array) for name, array in outputs.items()}
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():  # JSON has no word for them
            raise Refusal(400, f"{name}: the model gives no finite values for these inputs")
    values = {name: _jsonable(array) for name, array in outputs.items()}
    if key == "predictions" and any(np.ndim(array) == 0 or len(array) != rows for array in outputs.values()):
        raise Refusal(400, f"instances: the outputs are not {rows} rows; ask with inputs")
    if len(values) == 1:
        value, = values.values()
    elif key == "predictions":
        value = [{name: rows[i] for name, rows in values.items()} for i in range(rows)]
    else:
        value = values
    return orjson.dumps({key: value}, option=orjson.OPT_SERIALIZE_NUMPY)


def _known(dtype):
    """Whether JSON has a form for values of a tf.DType."""
    return dtype.name == "string" or dtype.is_floating or dtype.is_integer or dtype.is_bool


def _plain(array):
    """An array of one of NumPy's own types: bfloat16, float8 and int4 are none of them."""
    if array.dtype.kind != "V":
        return array
    return array.astype(np.int64 if "int" in array.dtype.name else np.float32)


def _jsonable(array):
    if array.dtype == object:
        return _strings(array.tolist())
    return np.ascontiguousarray(array) if array.ndim else array.item()


def _strings(value):
    if isinstance(value, list):
        return [_strings(part) for part in value]
    return {"b64": base64.b64encode(value).decode()}


# === JSON to arrays ===

def _rows(instances, signature, max_batch):
    """Row format: a list with an object a row, or with the value itself where there is one input."""
    names = list(signature.inputs)
    if not all(spec.shape.rank and spec.shape[0] is None for spec in signature.inputs.values()):
        raise Refusal(400, f"instances: {', '.join(names)} of this signature are not rows; ask with inputs")
    if not isinstance(instances, list):
        raise Refusal(400, f"instances: a list is needed, not {_kind(instances)}")
    if not instances:
        raise Refusal(400, "instances: the list is empty")
    found = {name: [] for name in names}
    for i, instance in enumerate(instances):
        if i == 1:  # once it is clear what a row is: numbers in place of rows are no rows that are too many
            _bound("instances", len(instances), max_batch)
        field = f"instances[{i}]"
        if not isinstance(instance, dict) or set(instance) == {"b64"}:
            if len(names) != 1:
                raise Refusal(400, f"{field}: an object with {', '.join(names) or 'nothing'} is needed, not {_kind(instance)}")
            instance = {names[0]: instance}
        _named(field, instance, names)
        for name, value in instance.items():
            spec = signature.inputs[name]
            found[name].append(_array(value, spec.shape.as_list()[1:], spec.dtype, f"{field}.{name}"))
    return {name: _stack(parts, f"instances[…].{name}") for name, parts in found.items()}


def _columns(inputs, signature, max_batch):
    """Column format: an object of whole tensors, or the tensor itself where there is one input."""
    names = list(signature.inputs)
    if not isinstance(inputs, dict) or set(inputs) == {"b64"}:
        if len(names) != 1:
            raise Refusal(400, f"inputs: an object with {', '.join(names) or 'nothing'} is needed, not {_kind(inputs)}")
        inputs = {name: inputs for name in names}
    _named("inputs", inputs, names)
    found = {}
    for name, spec in signature.inputs.items():
        if spec.shape.rank is None:
            raise Refusal(400, f"inputs.{name}: of no fixed rank, which this server does not take")
        if spec.shape.rank and spec.shape[0] is None and isinstance(inputs[name], list):
            if (depth := _depth(inputs[name])) == spec.shape.rank - 1:
                raise Refusal(400, f"inputs.{name}: lists {depth} deep, and {depth + 1} are needed: the outermost is that of the "
                              "rows; put [ ] around a single one")
            if depth in (None, spec.shape.rank):
                _bound(f"inputs.{name}", len(inputs[name]), max_batch)
        found[name] = _array(inputs[name], spec.shape.as_list(), spec.dtype, f"inputs.{name}")
    return found


def _weight(inputs, signature, max_batch):
    """Rows that a call stands for."""
    if signature.joins:
        counts = {name: len(array) for name, array in inputs.items()}
        if len(set(counts.values())) > 1:
            raise Refusal(400, "inputs: different numbers of rows: "
                          + ", ".join(f"{name} {count}" for name, count in counts.items()))
        return max(counts.values())
    count = inputs.get("count")  # of `generate` and `png`: what they make has that many rows
    if count is None or count.ndim or count.dtype.kind not in "iu":
        return 1
    if count < 0:
        raise Refusal(400, f"inputs.count: {count} is negative")
    _bound("inputs.count", int(count), max_batch)
    return int(count)


def _depth(value):
    """How many lists are around the first value; None: there is none."""
    depth = 0
    while isinstance(value, list):
        if not value:
            return None
        value, depth = value[0], depth + 1
    return depth


def _check_labels(inputs, name, model, rows):
    """Raises Refusal for a label that is no class of the model, and says whose it is."""
    for function in model.functions.values():
        label = function.of("label")
        turns = function is model.function and name in ("generate", "png")
        if label not in inputs or not (turns or name == function.signature) or not function.inputs[label].classes:
            continue
        values, count = np.asarray(inputs[label]), len(function.inputs[label].classes)
        wrong = np.argwhere((values < (-1 if turns else 0)) | (values >= count))
        if len(wrong):
            place = "".join(f"[{i}]" for i in wrong[0])
            field = f"instances{place}.{label}" if rows else f"inputs.{label}{place}"
            raise Refusal(400, f"{field}: {values[tuple(wrong[0])]} is no class; it must be from {-1 if turns else 0} to {count - 1}"
                          + (" (-1: the classes in turn)" if turns else ""))


def _bound(field, rows, most):
    if rows > most:
        raise Refusal(413, f"{field}: {rows} rows; at most {most} at once (--max_batch)")


def _named(field, given, names):
    wrong = [name for name in given if name not in names] or [name for name in names if name not in given]
    if wrong:
        raise Refusal(400, f"{field}: {shown(wrong[0])} is {'no input' if wrong[0] in given else 'lacking'}; "
                      f"there are {', '.join(names)}")


def _array(value, shape, dtype, field):
    """An array of nested lists; `shape` has None for free sizes, `dtype` is a tf.DType."""
    if not shape:
        return _vector([value], dtype, [field]).reshape(())
    if not isinstance(value, list):
        raise Refusal(400, f"{field}: a list is needed, not {_kind(value)}")
    if shape[0] is not None and len(value) != shape[0]:
        raise Refusal(400, f"{field}: {shape[0]} values are needed, not {len(value)}")
    fields = [f"{field}[{i}]" for i in range(len(value))]
    if len(shape) == 1:
        return _vector(value, dtype, fields)
    if not value:
        return np.zeros([0, *(size or 0 for size in shape[1:])], dtype.as_numpy_dtype)
    return _stack([_array(part, shape[1:], dtype, name) for part, name in zip(value, fields)], field)


def _stack(parts, field):
    try:
        return np.stack(parts)
    except ValueError:
        raise Refusal(400, f"{field}: lists of different lengths") from None


def _vector(values, dtype, fields):
    """An array of one value for each field."""
    known = dtype.as_numpy_dtype
    if dtype.name == "string":
        return np.array([_bytes(value, field) for value, field in zip(values, fields)], object)
    if not _known(dtype):
        raise Refusal(400, f"{fields[0] if fields else 'inputs'}: {dtype.name} is no type that this server takes")
    allowed, word = ({bool}, "true or false") if dtype.is_bool else \
        ({int}, "an integer") if dtype.is_integer else ({int, float}, "a number")
    if not set(map(type, values)) <= allowed:
        value, field = next(pair for pair in zip(values, fields) if type(pair[0]) not in allowed)
        raise Refusal(400, f"{field}: {word} is needed, not {_kind(value)}")
    if dtype.is_bool:
        return np.array(values, known)
    if dtype.is_floating:
        with np.errstate(over="ignore"):
            found = np.array(values, np.float64).astype(known)
        wrong = ~np.isfinite(found)
    else:
        wrong = np.array([not dtype.min <= value <= dtype.max for value in values], bool)
        found = None if wrong.any() else np.array(values, known)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise Refusal(400, f"{fields[first]}: {shown(values[first])} is beyond {dtype.name}")
    return found


def _bytes(value, field):
    try:
        if isinstance(value, dict) and set(value) == {"b64"}:
            return base64.b64decode(value["b64"], validate=True)
        return value.encode()
    except (AttributeError, TypeError, ValueError, binascii.Error):
        raise Refusal(400, f'{field}: a string or {{"b64": …}} is needed, not {_kind(value)}') from None


def _kind(value):
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value)) or f"the number {shown(value)}"
