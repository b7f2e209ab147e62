"""The model card: export.json's numbers as a page for people."""
from export.check import BOUNDS
from export.inputs import sized

_LOAD = {
    "saved_model": """import tensorflow as tf
signatures = tf.saved_model.load("saved_model").signatures
{output} = signatures["serving_default"]({tf})["{output}"]""",
    "tflite": """import numpy as np
from ai_edge_litert.interpreter import Interpreter
serve = Interpreter("{path}").get_signature_runner("serving_default")
{output} = serve({fixed})["{output}"]""",
    "onnx": """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("{path}")
{output}, = session.run(["{output}"], {{{numpy}}})""",
    # a page needs a server, for browsers load no modules from files
    "web": """python -m http.server --directory web""",
}
# of a SavedModel of noise
_GENERATE = """
{output} = signatures["generate"](count=tf.constant(8), seed=tf.constant(0){each})["{output}"]  # {generated}"""
_LANGUAGE = {"web": "sh"}
_NAMED = 20  # classes; export.json has all


def text(record):
    """README.md of an export; record is what is in export.json."""
    functions = record["functions"]
    config = record["config"]
    seen = record["step"] * config["batch_size"] * config["discriminator_steps"]
    return "\n".join([
        f"# {record['name']}: the generator of a GAN",
        "",
        f"Turns {_turned(next(iter(functions.values())))} like those of the data set `{record['dataset']}`. "
        f"Written by kgan {record['versions']['kgan']}; `export.json` has all of this and the whole configuration.",
        "",
        f"- **Model**: `{record['model']}`, {record['parameters']:,} parameters, "
        + ("averaged over training (EMA)" if config.get("ema_decay", 1) else "those of the last step (ema_decay=0)"),
        f"- **Training**: step {record['step']:,} ({record['checkpoint']} checkpoint), {seen:,} real examples shown; "
        f"data set `{record['dataset']}`",
        *(f"- **{word}{f' of {name}' if len(functions) > 1 else ''}**: {_described(told)}" for name, function in functions.items()
          for word, key in (("Input", "inputs"), ("Output", "outputs")) for told in function[key]),
        f"- **Licence of the data**: {record['licence'] or 'not known to kgan'}",
        "",
        "## Quality",
        "",
        *_quality(record["quality"], record["step"]),
        "",
        "## Files",
        "",
        "| file | step | bytes | largest difference from Keras | mean | PSNR | bound | ms |",
        "|---|---|---|---|---|---|---|---|",
        *map(_row, record["artefacts"]),
        "",
        f"Measured with: {record['protocol']}.",
        "",
        "## Loading",
        "",
        "From this folder:",
        *_loading(record),
    ]) + "\n"


_NOUNS = {"noise": "noise", "label": "a class"}


def _turned(function):
    """Into what a function turns what."""
    taken = " and ".join(_NOUNS.get(told["name"], _one(told)) for told in function["inputs"])
    return f"{taken} into {' and '.join(told['name'] for told in function['outputs'])}"


def _one(told):
    return f"{'an' if told['kind'][0] in 'aeiou' else 'a'} {told['kind']}"


def _described(told):
    """An input or output of the contract, in words."""
    words = f"`{told['name']}`, {told['dtype']} {_shape(told)}"
    if told["kind"] == "noise":
        return f"{words}, drawn from {told['distribution']}"
    if told["kind"] == "label":
        return f"{words}, the class, from 0 on: {_classes(told['classes'])}"
    spans = f"in [{told['range'][0]}, {told['range'][1]}]" if told["range"] else "not bounded"
    trained = f"; trained at {'×'.join(map(str, told['size']))}, TFLite and web files take that size alone" if "size" in told else ""
    return f"{words}, {_one(told)}, {spans}{trained}"


def _shape(told):
    first, *sizes = told["shape"]
    letters = iter("hwd")
    return "[" + ", ".join(["n", *(next(letters) if size is None else str(size) for size in sizes)]) + "]"


def _classes(names):
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} … {names[-1]}; `export.json` names all {len(names)}"


def _quality(quality, step):
    if not quality:
        return ["Not measured. `python -m kgan.metrics RUN` measures it; export again afterwards."]
    real = quality["real"] or {}
    rows = [f"| {name} | {value:.4g} | {'' if real.get(name) is None else format(real[name], '.4g')} |"
            for name, value in quality["figures"].items() if value is not None]
    measured = quality["protocol"].get("step", step)
    other = [] if measured == step else [f"These figures are of step {measured:,}, and not of step {step:,}, which this export is "
                                         "of: `python -m kgan.metrics RUN` measures it, then export again.", ""]
    said = ", ".join(f"{name} {value}" for name, value in quality["protocol"].items())
    return [*other, "| figure | generator | real |", "|---|---|---|", *rows, "", f"Protocol: {said}."]


def _row(entry):
    result, (least, most) = entry["check"], BOUNDS[entry["precision"]]
    most = result.get("bound", most)  # which grows with the values
    psnr = "" if result["psnr"] is None else f"{result['psnr']:.1f} dB"
    bound = f"difference ≤ {most:.2g}" if most else f"PSNR ≥ {least} dB"
    batch = f" (batch {entry['batch']})" if entry["batch"] else ""
    return (f"| `{entry['path']}`{batch} | {entry['step']:,} | {entry['bytes']:,} | {result['largest']:.2g} | "
            f"{result['mean']:.2g} | {psnr} | {bound} | {result['milliseconds']:.2g} |")


def _loading(record):
    functions = record["functions"]
    function, others = next(iter(functions.values())), list(functions.items())[1:]
    inputs, made = function["inputs"], function["outputs"]
    output = made[0]["name"]
    for name in dict.fromkeys(entry["format"] for entry in record["artefacts"]):
        batch = next(entry["batch"] for entry in record["artefacts"] if entry["format"] == name)
        yield from ("", f"```{_LANGUAGE.get(name, 'python')}")
        path = next(entry["path"] for entry in record["artefacts"] if entry["format"] == name)
        text = _LOAD[name].format(
            output=output, path=path, tf=", ".join(f"{told['name']}={_tensor(told, 8)}" for told in inputs),
            fixed=", ".join(f"{told['name']}={_array(told, batch)}" for told in inputs),
            numpy=", ".join(f'"{told["name"]}": {_array(told, 8)}' for told in inputs))
        if name == "saved_model" and record["noise"]:
            text += _GENERATE.format(output=output, generated="uint8" if made[0]["kind"] == "image" else "float32",
                                     each=", label=tf.constant(-1)" if record["label"] else "")
        if others and name != "web":
            by = ("signatures[{}]" if name == "saved_model" else "the file of {}").format
            text += "\n# likewise " + "; ".join(f"{by(repr(other))}: {_turned(told)}" for other, told in others)
        yield from (text, "```")


def _tensor(told, rows):
    """An example of an input, as TensorFlow."""
    if told["kind"] == "label":
        return f"tf.range({rows}) % {len(told['classes'])}"
    if told["kind"] == "noise":
        shape = f"[{rows}, {told['shape'][1]}]"
        return f"tf.random.uniform({shape}, -1, 1)" if told["range"] else f"tf.random.normal({shape})"
    return f"tf.zeros({[rows, *sized(told)]})"


def _array(told, rows):
    """An example of an input, as NumPy."""
    if told["kind"] == "label":
        return f'np.arange({rows}, dtype="int32") % {len(told["classes"])}'
    if told["kind"] == "noise":
        shape = f"size=[{rows}, {told['shape'][1]}]"
        drawn = f"np.random.uniform(-1, 1, {shape})" if told["range"] else f"np.random.normal({shape})"
        return f'{drawn}.astype("float32")'
    return f'np.zeros({[rows, *sized(told)]}, "float32")'
