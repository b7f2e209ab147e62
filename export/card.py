"""The model card: export.json's numbers as a page for people."""
from export.check import BOUNDS

_LOAD = {
    "saved_model": """import tensorflow as tf
signatures = tf.saved_model.load("saved_model").signatures
{output} = signatures["serving_default"](noise={noise_tf}{label_tf})["{output}"]
{output} = signatures["generate"](count=tf.constant(8), seed=tf.constant(0){each})["{output}"]  # {generated}""",
    "tflite": """import numpy as np
from ai_edge_litert.interpreter import Interpreter
serve = Interpreter("tflite/generator_float32.tflite").get_signature_runner("serving_default")
{output} = serve(noise={noise_fixed}.astype("float32"){label_fixed})["{output}"]""",
    "onnx": """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("onnx/generator.onnx")
{output}, = session.run(["{output}"], {{"noise": {noise_numpy}.astype("float32"){label_numpy}}})""",
    # a page needs a server, for browsers load no modules from files
    "web": """python -m http.server --directory web""",
}
_LANGUAGE = {"web": "sh"}
_NAMED = 20  # classes; export.json has all


def text(record):
    """README.md of an export; record is what is in export.json."""
    source, result = record["input"], record["output"]
    images = result["name"] == "images"
    config = record["config"]
    seen = record["step"] * config["batch_size"] * config["discriminator_steps"]
    label = record.get("label")  # exports before there were labels have none
    spans = f"in [{result['range'][0]}, {result['range'][1]}]" if result["range"] else "not bounded"
    return "\n".join([
        f"# {record['name']}: the generator of a GAN",
        "",
        f"Turns noise{' and a class' if label else ''} into {'images' if images else 'samples'} like those of the data set "
        f"`{record['dataset']}`. "
        f"Written by kgan {record['versions']['kgan']}; `export.json` has all of this and the whole configuration.",
        "",
        f"- **Model**: `{record['model']}`, {record['parameters']:,} parameters, averaged over training (EMA)",
        f"- **Training**: step {record['step']:,} ({record['checkpoint']} checkpoint), {seen:,} real examples shown; "
        f"data set `{record['dataset']}`",
        f"- **Input**: `{source['name']}`, {source['dtype']} {_shape(source)}, drawn from {source['distribution']}",
        *([f"- **Input**: `{label['name']}`, {label['dtype']} {_shape(label)}, the class, from 0 on: "
           f"{_classes(label['classes'])}"] if label else []),
        f"- **Output**: `{result['name']}`, {result['dtype']} {_shape(result)}, {spans}",
        f"- **Licence of the data**: {record['licence'] or 'not known to kgan'}",
        "",
        "## Quality",
        "",
        *_quality(record["quality"]),
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


def _shape(contract):
    return "[" + ", ".join("n" if size is None else str(size) for size in contract["shape"]) + "]"


def _classes(names):
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} … {names[-1]}; `export.json` names all {len(names)}"


def _quality(quality):
    if not quality:
        return ["Not measured. `python -m kgan.metrics RUN` measures it; export again afterwards."]
    real = quality["real"] or {}
    rows = [f"| {name} | {value:.4g} | {'' if real.get(name) is None else format(real[name], '.4g')} |"
            for name, value in quality["figures"].items() if value is not None]
    said = ", ".join(f"{name} {value}" for name, value in quality["protocol"].items())
    return ["| figure | generator | real |", "|---|---|---|", *rows, "", f"Protocol: {said}."]


def _row(entry):
    result, (least, most) = entry["check"], BOUNDS[entry["precision"]]
    psnr = "" if result["psnr"] is None else f"{result['psnr']:.1f} dB"
    bound = f"difference ≤ {most:.2g}" if most else f"PSNR ≥ {least} dB"
    batch = f" (batch {entry['batch']})" if entry["batch"] else ""
    return (f"| `{entry['path']}`{batch} | {entry['step']:,} | {entry['bytes']:,} | {result['largest']:.2g} | "
            f"{result['mean']:.2g} | {psnr} | {bound} | {result['milliseconds']:.2g} |")


def _loading(record):
    uniform, size, result = record["noise"]["kind"] == "uniform", record["noise"]["dim"], record["output"]

    def draw(rows):
        shape = f"size=[{rows}, {size}]"
        return f"np.random.uniform(-1, 1, {shape})" if uniform else f"np.random.normal({shape})"

    def label(text):
        return text.format(classes=len(record["label"]["classes"])) if record.get("label") else ""

    for name in dict.fromkeys(entry["format"] for entry in record["artefacts"]):
        batch = next(entry["batch"] for entry in record["artefacts"] if entry["format"] == name)
        yield from ("", f"```{_LANGUAGE.get(name, 'python')}", _LOAD[name].format(
            output=result["name"], generated="uint8" if result["name"] == "images" else "float32",
            noise_tf=f"tf.random.uniform([8, {size}], -1, 1)" if uniform else f"tf.random.normal([8, {size}])",
            noise_fixed=draw(batch), noise_numpy=draw(8), label_tf=label(", label=tf.range(8) % {classes}"),
            each=label(", label=tf.constant(-1)"),
            label_fixed=label(f', label=np.arange({batch}, dtype="int32") % {{classes}}'),
            label_numpy=label(', "label": np.arange(8, dtype="int32") % {classes}')), "```")
