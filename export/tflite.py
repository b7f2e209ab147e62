"""TFLite (LiteRT): four precisions for phones, browsers and boards, with built-in operators alone and a fixed batch.

    from ai_edge_litert.interpreter import Interpreter
    serve = Interpreter("runs/NAME/export/tflite/generator_int8.tflite").get_signature_runner("serving_default")
    images = serve(noise=np.random.normal(size=[1, 100]).astype("float32"))["images"]

A conditional generator takes `label` too, int32 [batch]: numbers of classes from 0 on, whose names are in the metadata. Of
other numbers the call raises RuntimeError. Without a signature tensors have the same names, and inputs the metadata's order.

What it is (names, ranges, directions of noise) is in the file itself, where TFLite keeps metadata's files, in a ZIP archive
after the model: `unzip -p generator_int8.tflite generator.json`.

The batch is fixed because a free one drops out of the fast kernels, and upsampling does not convert. Input and output
are float32 in each: inside, int8 quantises them by ranges seen on noise of the model's own distribution, with the classes in
turn.
"""
import json
import re
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from export import PRECISIONS
from export.contract import only
from export.inputs import examples, functions_of, make, refusing, specs
from export.paths import readable
from kgan.command import UserError
from kgan.quiet import silence

_CALIBRATION = 128, 1  # rows of noise, more if there are more classes, and their seed: not the seed of check
_BUILT_IN = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def write(generator, contract, directory, latents, batch=1, precisions=PRECISIONS):
    """Writes generator_PRECISION.tflite, and so of each function, into a new directory; nothing is checked but operators.

    Args:
        generator: keras.Model from noise [n, noise_dim], or from a dict of that, `label` and what else it is given; or a dict of
            functions, as for `export.inputs.functions_of`.
        contract: of `export.contract`; outputs have its names, `images` or `samples`, and it says which classes there are.
        directory: path.
        latents: function of (count, seed) to noise, for the ranges of int8.
        batch: rows that a file takes.
        precisions: which of the four.

    Raises:
        UserError: the generator has an operator that is not built in.
    """
    directory = Path(directory)
    functions = functions_of(generator, contract, "TFLite")
    directory.mkdir(parents=True)
    for name, function in functions.items():
        _write(name, function, only(contract, [name]), directory, latents, batch, precisions)


def _write(name, function, contract, directory, latents, batch, precisions):
    """The files of one function, the only one in `contract`."""
    module, told = tf.Module(), contract["functions"][name]
    # a SavedModel that lists no variables would be converted with none
    module.variables_of_generator = [variable.value for variable in function.variables]
    module.serve = tf.function(lambda inputs: make(function, told, refusing(told["inputs"], inputs)),
                               input_signature=[specs(told["inputs"], batch, fixed=True)])
    if "int8" in precisions and loops(module.serve):
        warnings.warn("TFLite: int8 is left out: the generator has a loop, and the converter dies of those in int8", stacklevel=3)
        precisions = [precision for precision in precisions if precision != "int8"]
    with tempfile.TemporaryDirectory() as folder, readable(folder) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own interpreter says that it is to go
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        for precision in precisions:
            content = named(mended(_convert(path, precision, told["inputs"], latents, batch)), told["inputs"])
            strange = [operator for operator in operators(content) if operator not in _BUILT_IN.values()]
            if strange:
                raise _refusal(strange)
            file = directory / f"{name}_{precision}.tflite"
            file.write_bytes(content)
            with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:  # readers of the model stop before it
                archive.writestr(zipfile.ZipInfo("generator.json"), json.dumps(contract))


def loops(function):
    """Whether a tf.function of one signature has a loop."""
    return any("While" in operation.type for operation in function.get_concrete_function().graph.get_operations())


def operators(content):
    """Sorted names of the operators in the bytes of a TFLite file; a custom one by the name it bears there."""
    model, names = schema.Model.GetRootAs(content, 0), set()
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        # old files have it in a field of eight bits
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        names.add(code.CustomCode().decode() if code.CustomCode() else _BUILT_IN[number])
    return sorted(names)


def mended(content):
    """The bytes of a TFLite file, with what ONE_HOT writes for 1 and 0 on the scale of its output.

    The converter gives each of the two numbers a scale of its own, and the operator copies the bytes: with int8 the 0
    would be read as 0.5, and a sample be half of every class.
    """
    content = bytearray(content)  # of which numpy gives views that can be written
    model = schema.Model.GetRootAs(content, 0)
    codes = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in map(model.OperatorCodes, range(
        model.OperatorCodesLength()))]
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for node in map(graph.Operators, range(graph.OperatorsLength())):
            if codes[node.OpcodeIndex()] != schema.BuiltinOperator.ONE_HOT:
                continue
            output = graph.Tensors(node.Outputs(0))
            if output.Type() != schema.TensorType.INT8:
                continue
            scale, zero = output.Quantization().Scale(0), output.Quantization().ZeroPoint(0)
            for place, number in ((2, 1), (3, 0)):
                stored = model.Buffers(graph.Tensors(node.Inputs(place)).Buffer()).DataAsNumpy()
                stored[:] = np.array([min(127, round(number / scale) + zero)], np.int8).view(np.uint8)
    return bytes(content)


def named(content, told):
    """The bytes of a TFLite file whose inputs are in the contract's order, and whose tensors are called as in the signature.

    For programs that know no signatures: the converter calls a tensor `serving_default_noise:0`, and its order is not that
    of other formats. Names are overwritten where they stand, for they only become shorter.
    """
    content = bytearray(content)
    model = schema.Model.GetRootAs(content, 0)
    signature = model.SignatureDefs(0)
    graph = model.Subgraphs(signature.SubgraphIndex())
    inputs, outputs = ({tensor.Name().decode(): tensor.TensorIndex() for tensor in map(get, range(count))} for get, count in (
        (signature.Inputs, signature.InputsLength()), (signature.Outputs, signature.OutputsLength())))
    graph.InputsAsNumpy()[:] = [inputs[each["name"]] for each in told]
    for name, index in {**inputs, **outputs}.items():
        _rename(content, graph.Tensors(index), name.encode())
    return bytes(content)


def _rename(content, tensor, name):
    """Overwrites a flatbuffer's string: four bytes of its length, the text, a zero."""
    offset = np.frombuffer(content, "<u4", 1, at := tensor._tab.Pos + tensor._tab.Offset(10))[0]  # `name` is field 3
    start, length = at + int(offset) + 4, len(tensor.Name())
    if len(name) <= length:
        content[start - 4:start] = len(name).to_bytes(4, "little")
        content[start:start + length] = name.ljust(length, b"\0")


def _convert(folder, precision, told, latents, batch):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        rows, seed = _CALIBRATION
        rows = max(rows, *(len(each.get("classes", ())) for each in told))
        seen = examples(told, -(-rows // batch) * batch, latents, seed)
        converter.representative_dataset = lambda: (
            {name: np.asarray(values[i:i + batch]) for name, values in seen.items()} for i in range(0, rows, batch))
    try:
        with silence():
            return converter.convert()
    except Exception as error:  # ConverterError is in no public module
        found = sorted(set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", str(error))))
        if not found:
            raise UserError(f"TFLite: the generator does not convert: {str(error).splitlines()[0][:300]}") from error
        raise _refusal(found) from None


def _refusal(names):
    return UserError(f"TFLite: the generator has {', '.join(names)}, no built-in operator of TFLite: "
                     "leave the format out, or replace the layer")
