"""POST /make/FUNCTION: the parts of a form to a function's inputs, and what it gives to a file.

A part is one input, by its name: a file, the name of a class, a number. Noise is not sent but asked for, by parts that are
called like the parameters of /image.png. Which files a kind is read from and written as is in kgan.kinds.
"""
import inspect
import math

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from export.serving.limits import MAX_TOGETHER, Refusal, shown
from export.serving.pictures import ImageQuery
from kgan import kinds

NOISE = "seed", "to", "at", "directions", "truncation"  # parts that say which noise
_MEDIA = {media: kind for kind in kinds.names() for media in getattr(kinds.get(kind), "MEDIA", ())}
FORM = {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "additionalProperties": {"type": "string"},
    "description": "a part for each of the function's inputs in /generator.json, by its name: a file, the name of a class, a "
                   f"number; in place of noise {', '.join(NOISE)}, each of which may be left out"}}}}
ANSWER = {media: {"schema": {"type": "string", "format": "binary"}} for media in _MEDIA}


class MakeQuery(BaseModel):
    """What is to come back."""
    model_config = ConfigDict(extra="forbid")

    output: str = Field(None, description="name of one of the function's outputs; default: the first")
    media: str = Field(None, description="media type of the file, one that the output's kind knows; default: its first")
    threshold: float = Field(None, allow_inf_nan=False, description="of voxels in a mesh: those above it are there")
    surface: str = Field(None, description="of voxels in a mesh: cubes, or smooth by marching cubes where scikit-image is installed")
    largest: bool = Field(None, description="of voxels in a mesh: whether the largest connected part alone is in it")

    def chosen(self, function):
        """(name of an output, media type, what else its kind's `write` is to know). Raises Refusal: there is no such thing."""
        name = function.output if self.output is None else self.output
        if name not in function.outputs:
            raise Refusal(400, f"output={shown(name)}: no such output; there are {', '.join(function.outputs)}")
        known = [*kinds.get(function.outputs[name].kind).MEDIA]
        if self.media not in (None, *known):
            raise Refusal(400, f"media={shown(self.media)}: {name} comes as {' or '.join(known)}")
        more = {option: value for option in ("threshold", "surface", "largest") if (value := getattr(self, option)) is not None}
        write = inspect.signature(kinds.get(function.outputs[name].kind).write).parameters
        if strange := [option for option in more if option not in write]:
            raise Refusal(400, f"{strange[0]}: {name} has none; leave it out")
        return name, self.media or known[0], more


class Form:
    """The parts of a request for a Function, each of which has been looked for but not been read.

    Raises:
        Refusal: 400, a part is lacking, is given twice or is none of the function's, or the noise cannot be.
    """

    def __init__(self, parts, model, function):
        self.model, self.function, self.parts = model, function, {}
        noise = function.of("noise")
        known = [name for name, field in function.inputs.items() if field.kind != "noise"] + [*(NOISE if noise else ())]
        for name, value in parts:
            if name not in known:
                raise Refusal(400, f"{shown(name)}: no such part; there are {', '.join(known)}")
            if name in self.parts:
                raise Refusal(400, f"{name}: given more than once")
            self.parts[name] = value
        for name in known:
            if name not in self.parts and name not in NOISE:
                raise Refusal(400, f"{name}: this part is lacking; {_wanted(function.inputs[name])}")
        self.query = self._noise() if noise else None

    def _noise(self):
        given = {name: self.parts[name] for name in NOISE if name in self.parts}
        for name, value in given.items():
            if not isinstance(value, str):
                raise Refusal(400, f"{name}: a number is needed, not a file")
        try:
            query = ImageQuery(**given)
        except ValidationError as error:
            first = error.errors()[0]
            raise Refusal(400, f"{first['loc'][-1]}={shown(first['input'])}: "
                          f"{first['msg'].removeprefix('Value error, ')}") from None
        query.check_noise(self.model)
        return query

    def values(self, max_pixels):
        """How many numbers the inputs have at most: what there has to be room for."""
        return sum(math.prod([size or 1 for size in field.shape]) * (max_pixels if None in field.shape else 1)
                   for field in self.function.inputs.values())

    def read(self, max_pixels):
        """Dict of arrays [1, …], without noise. Raises Refusal: 400, a part is not what it should be."""
        found = {name: self._read(name, field, max_pixels)[None] for name, field in self.function.inputs.items()
                 if field.kind != "noise"}
        for name, array in found.items():
            like = getattr(kinds.get(self.function.inputs[name].kind), "LIKE", None)
            if like in found and array.shape[1:3] != found[like].shape[1:3]:
                (height, width), (rows, columns) = array.shape[1:3], found[like].shape[1:3]
                raise Refusal(400, f"{name}: is {width}×{height} pixels, and {like} {columns}×{rows}; they must be the same")
        return found

    def _read(self, name, field, max_pixels):
        kind, part = kinds.get(field.kind), self.parts[name]
        file = isinstance(part, UploadFile)
        if file != bool(kind.SUFFIXES):
            raise Refusal(400, f"{name}: {_wanted(field)}, not {'a file' if file else 'text'}")
        try:
            if field.kind == "number":
                return _number(part)
            data = part.file.read() if file else part.encode()
            bound = {"max_pixels": max_pixels} if "max_pixels" in inspect.signature(kind.read).parameters else {}
            found = kind.read(data, field, **bound)
        except ValueError as error:
            raise Refusal(400, f"{name}: {error}") from None
        return kind.scale(np.asarray(found, np.float32)) if file else found


def _wanted(field):
    kind = kinds.get(field.kind)
    if kind.SUFFIXES:
        return f"a file is needed ({', '.join(kind.SUFFIXES)})"
    return {"label": "the name of a class is needed", "number": "a number is needed",
            "tokens": "a text is needed"}.get(field.kind, "it is needed")


def _number(text):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= np.finfo(np.float32).max:
        raise ValueError(f"{shown(text)} is no finite number")
    return np.float32(number)


async def form(request, body, model, function):
    """The Form in the bytes of a body. Raises Refusal: 400, it is none, or not one for this Function."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Refusal(400, f"content-type: multipart/form-data is needed, as by curl -F, not {shown(kind) or 'none'}")

    async def stream():
        yield body

    most = len(function.inputs) + len(NOISE) + 1  # one more is refused by its name
    parser = MultiPartParser(request.headers, stream(), max_files=most, max_fields=most, max_part_size=len(body))
    parser.spool_max_size = len(body) + 1  # never to a disk
    try:
        found = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"body: {error.message}") from None
    return Form(found.multi_items(), model, function)


def joins(inputs, max_batch):
    """Whether a request's arrays may be part of a call for several: not where that could become too large."""
    return max_batch * sum(array.size for array in inputs.values()) <= MAX_TOGETHER


def file(sample, name, field, media, more):
    """The bytes of a file of one sample. Raises Refusal: 400, the model gave NaN or infinity, or it cannot be written so."""
    if not np.isfinite(sample).all():
        raise Refusal(400, f"{name}: the model gives no finite values for these inputs")
    kind = kinds.get(field.kind)
    try:
        return kind.write(sample, media, **{**kinds.known(field, kind.write), **more})
    except ValueError as error:
        raise Refusal(400, str(error)) from None
