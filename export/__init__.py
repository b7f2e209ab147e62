"""From a run to files that other programs load: one module a format.

Each has `write(generator, contract, directory, latents)`, which writes the format's artefacts as `directory`: generator
is the keras.Model, or a dict of them by the names of the functions (GAN.exports); contract what `export.contract` says of them,
latents(count, seed) their noise; `inputs` knows what they take and give. `artefacts` calls them and replaces nothing before `check` has compared what was written with Keras.

Adding a format: write `export/NAME.py` with that function, a function NAME in `export/runtime.py` that loads what it
writes, and name it in FORMATS.
"""
import collections
import importlib
import importlib.util

# of generator.json and export.json: one more where what stood there before means something else. Those of before there was a
# number (0) are read as well
FORMAT = 1
CONTRACT = "assets.extra/generator.json"  # in a SavedModel, where TensorFlow Serving lets a model keep files of its own
PRECISIONS = ("float32", "float16", "dynamic", "int8")  # of TFLite

# packages: what is imported beside TensorFlow; artefacts: path below export/ -> precision, by which check.BOUNDS judges, a file
# for each function where the path has {}; fetches: whether the module has `fetch()`, which gets from elsewhere what it needs, once
Format = collections.namedtuple("Format", "packages artefacts fetches", defaults=[False])
FORMATS = {
    "saved_model": Format((), {"saved_model": "float32"}),
    "tflite": Format(("ai_edge_litert",), {f"tflite/{{}}_{name}.tflite": name for name in PRECISIONS}),
    "onnx": Format(("onnx", "onnxruntime", "tf2onnx"), {"onnx/{}.onnx": "float32"}),
    "web": Format(("ai_edge_litert",), {"web": "float32"}, fetches=True),
}


def artefacts_of(name, functions=("generator",)):
    """Of a format: list of (path below export/, precision, names of the functions that are in it)."""
    paths = FORMATS[name].artefacts.items()
    several = [(path.format(function), precision, (function,)) for function in functions for path, precision in paths if "{}" in path]
    return several or [(path, precision, tuple(functions)) for path, precision in paths]


def require(flag, formats):
    """Raises UserError unless each of `formats`, the value of `flag`, exists and has what it needs, or fetches it."""
    from kgan.command import UserError  # not above: export.runtime is to run without kgan

    given = f"{flag}={','.join(formats)}"
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise UserError(f"{given}: {'no format ' + ', '.join(unknown) + '; there are' if unknown else 'which format? There are'}: "
                        f"{', '.join(FORMATS)}")
    missing = missing_packages(formats)
    if missing:
        raise UserError(f"{given}: {', '.join(missing).replace('_', '-')} not installed: pip install -e \".[export]\"")
    for name in formats:
        if FORMATS[name].fetches:
            importlib.import_module(f"export.{name}").fetch()


def missing_packages(formats):
    """Import names of the packages that these formats need and that are not there."""
    return [package for name in formats for package in FORMATS[name].packages
            if importlib.util.find_spec(package) is None]
