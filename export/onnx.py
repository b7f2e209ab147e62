"""ONNX: for onnxruntime on servers and in browsers, and for whatever reads ONNX. The batch is free.

    session = onnxruntime.InferenceSession("runs/NAME/export/onnx/generator.onnx")
    images, = session.run(["images"], {"noise": np.random.normal(size=[8, 100]).astype("float32")})
    session.get_modelmeta().custom_metadata_map["generator.json"]                              # what it is

A conditional generator takes `label` too, int32 [n]: numbers of classes from 0 on, whose names are in the metadata. Of other
numbers `run` raises INVALID_ARGUMENT. The inputs come in the order of the metadata's `functions`.
"""
import json
import logging
from pathlib import Path

import tensorflow as tf

from export.contract import only
from export.inputs import functions_of, make, refusing, specs
from kgan.command import UserError
from kgan.quiet import silence

_OPSET = 17


def write(generator, contract, directory, latents=None):
    """Writes generator.onnx, and so of each function, into a new directory; nothing is checked but operators.

    Args:
        generator: keras.Model from noise [n, noise_dim], or from a dict of that, `label` and what else it is given; or a dict of
            functions, as for `export.inputs.functions_of`.
        contract: of `export.contract`; outputs have its names, `images` or `samples`.
        directory: path.
        latents: not used.

    Raises:
        UserError: a function has an operator that ONNX lacks.
    """
    import onnx

    functions = functions_of(generator, contract, "ONNX")
    models = {name: _model(function, contract["functions"][name]) for name, function in functions.items()}
    directory = Path(directory)
    directory.mkdir(parents=True)
    for name, model in models.items():
        onnx.helper.set_model_props(model, {"generator.json": json.dumps(only(contract, [name]))})
        (directory / f"{name}.onnx").write_bytes(model.SerializeToString())


def _model(function, told):
    """The onnx.ModelProto of a function."""
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it leaves in what it cannot convert
    spec = [specs(told["inputs"])]
    serve = tf.function(lambda inputs: make(function, told, refusing(told["inputs"], inputs)), input_signature=spec)
    try:
        with silence():  # TensorFlow 2.20 says which devices it has
            model, _ = tf2onnx.convert.from_function(serve, input_signature=spec, opset=_OPSET)
    except Exception as error:  # tf2onnx raises nearly anything
        raise UserError("ONNX: the generator does not convert: "
                        f"{(str(error).splitlines() or [type(error).__name__])[0][:300]}") from error
    strange = sorted({node.op_type for node in model.graph.node
                      if not onnx.defs.has(node.op_type, node.domain)})
    if strange:
        raise UserError(f"ONNX: the generator has {', '.join(strange)}, no operator of ONNX: "
                        "leave the format out, or replace the layer")
    by_name = {value.name: value for value in model.graph.input}
    del model.graph.input[:]  # tf2onnx sorts them
    model.graph.input.extend(by_name[each["name"]] for each in told["inputs"])
    by_name = {value.name: value for value in model.graph.output}
    del model.graph.output[:]
    model.graph.output.extend(by_name[each["name"]] for each in told["outputs"])
    for value in (*model.graph.input, *model.graph.output):
        for name, size in zip("nhw", value.type.tensor_type.shape.dim):
            if name == "n" or not size.dim_value:  # tf2onnx names free ones itself, each anew
                size.dim_param = name
    return model
