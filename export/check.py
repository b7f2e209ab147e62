"""Each artefact, loaded by its own runtime in a fresh process, against Keras: python -m export.check runs/NAME

Checks all artefacts that runs/NAME/export/export.json lists: SHA-256, and what they make of the same noise as the
run's checkpoint. Prints a table; the exit status is 1 if any fails.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from export import record
from kgan import command, kinds
from kgan.command import UserError

ROWS, SEED, COUNT = 8, 12, 3  # of noise; of both; of images through the signatures `generate` and `png`
LARGER = 5  # by so much free sizes exceed those of training in a second comparison
CLASSES = 64  # of a conditional generator each class has a row, if there are no more than this
# precision -> (least PSNR in dB, largest absolute difference, times the largest value where that is above 1); None: any.
# float16: one level of 255. A generator that was trained long has a worst value off by .007 at a PSNR of 76 dB.
BOUNDS = {"float32": (None, 1e-5), "float16": (None, 2 / 255), "dynamic": (30, None), "int8": (25, None)}
# Each runtime adds in an order of its own, so in float32 no two need be nearer to each other than what the last bits of the weights
# change. Keras itself is as far from float64: motion 1.3e-5 at 64 pixels, its TFLite file 1.6e-5, its ONNX file 1.1e-5. Where that is
# more than BOUNDS an artefact may differ by so many times as much, though never by more than FARTHEST (times the largest value)
ROUNDING, FARTHEST = 4, 1e-4
# precision -> largest share of tokens that are others. A number that lies as near to a border as rounding goes is of the next word in
# another runtime, and all that follows is another text then
OTHERS = {"float32": 0.01, "float16": 0.2, "dynamic": 0.5, "int8": 0.5}
# rounding may turn a difference of the last bit into one of a level; more than this share is no rounding
_LEVELS = 0.01


class CheckError(UserError, RuntimeError):
    """An artefact that cannot be loaded, or whose output is not that of Keras."""


def reference(gan, path, function=None):
    """Writes what an artefact of this GAN must give to the file `path` (.npz), and returns `path`.

    `function`: name of one of GAN.exports; None: the first.
    """
    import tensorflow as tf

    from export.contract import interface
    from export.inputs import examples, make

    contract = interface(gan)
    names = list(contract["functions"])
    function = function or names[0]
    told, first = contract["functions"][function], function == names[0]
    inputs, outputs, rows = told["inputs"], told["outputs"], _rows(told["inputs"])
    found = {"function": function, "signature": "serving_default" if first else function,
             "outputs": [each["name"] for each in outputs], "kinds": [each["kind"] for each in outputs],
             **{f"classes/{each['name']}": len(each["classes"]) for each in inputs if each["kind"] == "label" and each["classes"]}}
    with tf.device("CPU"):  # a GPU convolves in TF32
        # where sizes are free, at two of them
        for case, larger in enumerate((0, LARGER) if any("size" in each for each in inputs) else (0,)):
            values = {name: tf.convert_to_tensor(value) for name, value in examples(inputs, rows, gan.latents, SEED, larger).items()}
            found.update((f"in{case}/{name}", value) for name, value in values.items())
            made = {name: np.asarray(samples) for name, samples in make(gan.exported(function), told, values).items()}
            for name, samples in made.items():
                found[f"out{case}/{name}"] = samples
                if not np.isfinite(samples).all():
                    raise CheckError(f"the {function} itself, in Keras, makes values that are not finite: there is nothing to export")
            found.update((f"moved{case}/{name}", far) for name, far in _moved(gan.exported(function), told, values, made).items())
        if first and any(each["kind"] == "noise" for each in inputs):
            found.update(count=np.int32(COUNT), seed=np.int32(SEED), latents=gan.latents(COUNT, SEED))
        if first and contract["noise"]:
            # what is exported, which need not be what the game is about: prgan's solids
            values = {"noise": gan.latents(COUNT, SEED), **({"label": gan.labels(COUNT)} if gan.classes else {})}
            generated = np.asarray(make(gan.exported(function), told, values)[outputs[0]["name"]])
            found["generated"] = kinds.get("image").store(generated) if outputs[0]["kind"] == "image" else generated
    np.savez(path, **found)
    return path


def _moved(network, told, values, made, draws=2):
    """How far what a network makes moves where the last bits of its weights are others: dict of output to the largest of some draws."""
    from export.inputs import make

    variables = [variable for variable in getattr(network, "weights", ()) if "float32" in str(variable.dtype)]
    before, random = [np.asarray(variable) for variable in variables], np.random.default_rng(SEED)
    floats, found = [name for name, samples in made.items() if samples.dtype.kind == "f"], {}
    try:
        for _ in range(draws if variables and floats else 0):
            for variable, values_of in zip(variables, before):
                up = random.random(values_of.shape) < 0.5
                variable.assign(np.where(values_of, np.nextafter(values_of, np.where(up, np.inf, -np.inf).astype(np.float32)), 0))
            other = make(network, told, values)
            found.update((name, max(found.get(name, 0.0), float(np.abs(np.asarray(other[name]) - made[name]).max()))) for name in floats)
    finally:
        for variable, values_of in zip(variables, before):
            variable.assign(values_of)
    return found


def protocol(gan):
    """How the artefacts of this GAN are compared, in words."""
    from export.contract import interface

    functions = interface(gan)["functions"]
    words = list(dict.fromkeys(map(_compared, functions.values())))
    if len(words) > 1:
        words = [f"{name} on {_compared(told)}" for name, told in functions.items()]
    peaks = {f"{np.ptp(each['range']):g}" if each["range"] else "the range of Keras's values"
             for told in functions.values() for each in told["outputs"]}
    return (f"{'; '.join(words)} against Keras on a CPU, in the artefact's runtime in a process of "
            f"its own; PSNR: peak {' or '.join(sorted(peaks))}; latency: median, one thread, one row or the fixed batch")


def _compared(told):
    inputs = told["inputs"]
    names = " and ".join(each["name"] for each in inputs)
    turns = ", the classes in turn" if any(each["kind"] == "label" for each in inputs) else ""
    sizes = f", at the size of training and {LARGER} more each way where a format takes any," if any(
        "size" in each for each in inputs) else ""
    return f"{_rows(inputs)} rows of {names} of seed {SEED}{turns}{sizes}"


def _rows(inputs):
    return max(ROWS, *(min(len(each.get("classes", ())), CLASSES) for each in inputs))


def check(path, kind, precision, *references):
    """Loads an artefact in a fresh process and compares it with Keras.

    Args:
        path: file or directory.
        kind: name of its format.
        precision: key of BOUNDS.
        references: files that `reference` wrote, one for each function in the artefact.

    Returns:
        dict of float, of the worst of its outputs: `largest` and `mean` absolute difference, `bound` of the largest where
        that decides, `psnr` in dB (None: no difference), `milliseconds`; of images in a SavedModel also `levels`, the
        largest difference of `generate` in levels of 255.

    Raises:
        CheckError: it cannot be loaded, has other names or shapes, or is out of bounds.
    """
    path, results = Path(path), []
    for reference, found in zip(references, _run(path, kind, references)):
        results += _judged(path.name, kind, precision, found, _arrays(reference))
    return {name: min((one[name] for one in results if one[name] is not None), default=None) if name == "psnr" else
            max(one.get(name, 0) for one in results) for one in results for name in one}


def _judged(name, kind, precision, found, wanted):
    """What `check` gives, of each output of one function."""
    more, results = {"milliseconds": float(found["milliseconds"])}, []
    for output, sort in zip(wanted["outputs"], wanted["kinds"]):
        bounds, steep = (getattr(kinds.get(str(sort)), each, usual) for each, usual in (("RANGE", None), ("STEEP", 1)))
        # the other size first: what is told is of that which it was trained at
        for case in (f"out1/{output}", f"out0/{output}"):
            if case in found:
                moved = float(wanted.get(case.replace("out", "moved", 1), 0))
                result = _compare(name, found[case], wanted[case], bounds, precision, steep, moved)
        results.append({**result, **more})
    if len(taken := found.get("taken", ())):
        raise CheckError(f"{name}: makes something of label {taken[0]}, which is no class")
    if kind == "saved_model" and "latents" in wanted:
        results[0].update(_signatures(name, found, wanted))
    return results


def _compare(name, samples, keras, bounds, precision, steep=1, moved=0.0):
    """`largest`, `mean` and `psnr` of what an artefact makes against Keras's.

    Args:
        bounds: the range of the samples, or None.
        precision: key of BOUNDS, or where whole numbers are given, tokens, of OTHERS.
        steep: how many times larger the largest difference may be.
        moved: how far Keras's own values move by the last bits of the weights.
    """
    if samples.shape != keras.shape or samples.dtype != keras.dtype:
        raise CheckError(f"{name}: makes {samples.dtype} {samples.shape}, Keras {keras.dtype} {keras.shape}")
    if samples.dtype.kind == "i":
        return _compare_tokens(name, samples != keras, precision)
    least, most = BOUNDS[precision]
    difference = np.abs(samples.astype(np.float64) - keras)
    peak = float(np.ptp(bounds) if bounds else np.ptp(keras))
    error = float(np.mean(difference ** 2))
    result = {"largest": float(difference.max()), "mean": float(difference.mean()),
              "psnr": 10 * float(np.log10(peak ** 2 / error)) if error else None}
    if most is not None:
        whole = max(1.0, float(np.abs(keras).max()))
        most = steep * most * whole
        if precision == "float32":
            most = max(most, min(ROUNDING * moved, FARTHEST * whole))
        result["bound"] = most
        if not result["largest"] <= most:  # nor NaN
            raise CheckError(f"{name}: differs from Keras by {result['largest']:.2g}, above {most:.2g}")
    if least is not None and error and not result["psnr"] >= least:
        raise CheckError(f"{name}: PSNR {result['psnr']:.1f} dB against Keras, below {least}")
    return result


def _compare_tokens(name, different, precision):
    """The same of tokens: `mean` is the share that is another, `largest` 1 if one is, 0 if none is."""
    result = {"largest": float(different.max()), "mean": float(different.mean()), "psnr": None}
    if not result["mean"] <= OTHERS[precision]:
        raise CheckError(f"{name}: {100 * result['mean']:.1f} % of its tokens are others than Keras's, more than {100 * OTHERS[precision]:.0f} %")
    return result


def _signatures(name, found, wanted):
    """The signatures `latents`, `generate` and `png` against GAN.latents and GAN.generate."""
    if not np.allclose(found["latents"], wanted["latents"], rtol=0, atol=1e-6):
        raise CheckError(f"{name}: latents gives other noise than GAN.latents")
    if "generated" not in wanted:
        return {}
    generated, keras = found["generated"], wanted["generated"]
    if generated.shape != keras.shape or generated.dtype != keras.dtype:
        raise CheckError(f"{name}: generate makes {generated.dtype} {generated.shape}, not {keras.dtype} {keras.shape}")
    if generated.dtype != np.uint8:
        if not np.allclose(generated, keras, rtol=1e-5, atol=1e-5):
            raise CheckError(f"{name}: generate gives other samples than GAN.generate")
        return {}
    levels = np.abs(generated.astype(int) - keras)
    if levels.max() > 1 or np.mean(levels > 0) > _LEVELS:
        raise CheckError(f"{name}: generate and GAN.generate differ by up to {levels.max()} levels of 255")
    if "decoded" in found and not np.array_equal(found["decoded"], generated):
        raise CheckError(f"{name}: png gives other pixels than generate")
    return {"levels": int(levels.max())}


def _run(path, kind, references):
    """The arrays that export.runtime writes about each function of an artefact."""
    with tempfile.TemporaryDirectory() as folder:
        targets = [os.path.join(folder, f"{i}.npz") for i in range(len(references))]
        pairs = [str(file) for pair in zip((Path(reference).resolve() for reference in references), targets) for file in pair]
        done = subprocess.run(
            [sys.executable, "-m", "export.runtime", kind, str(path.resolve()), *pairs],
            cwd=Path(__file__).resolve().parents[1], text=True, capture_output=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"})
        if done.returncode:
            if done.returncode < 0:
                raise CheckError(f"{path.name}: its runtime was ended by signal {-done.returncode}: is there enough memory?")
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise CheckError(f"{path.name}: its runtime cannot run it: {last}")
        return [_arrays(target) for target in targets]


def _arrays(path):
    with np.load(path) as file:
        return dict(file)


def words(result):
    """A result of `check` as text."""
    psnr = "" if result["psnr"] is None else f", PSNR {result['psnr']:.1f} dB"
    return (f"differs from Keras by at most {result['largest']:.1g} (mean {result['mean']:.1g}{psnr}), "
            f"{result['milliseconds']:.2g} ms")


# === By hand ===

def main(arguments):
    if len(arguments) != 2:
        raise UserError("which run? python -m export.check runs/NAME")
    from kgan.quiet import import_tensorflow
    from kgan.run import run_at
    import_tensorflow()
    run = run_at(arguments[1])
    with record.held(run, writing=False):
        return _check_all(run)


def _check_all(run):
    from kgan import filling
    from kgan.run import load

    directory = Path(run) / "export"
    entries = record.read(directory).get("artefacts")
    if not entries:
        raise UserError(f"{directory} has no export.json that can be read: python -m export {run}")
    print(f"{'artefact':<34}{'bytes':>12}{'largest':>10}{'mean':>10}{'PSNR':>8}{'ms':>8}  result")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        references = {}
        for entry in entries:
            kind = entry["checkpoint"]
            if kind not in references:
                gan, step = load(run, kind)
                if any("fill" in record.functions(each) for each in entries):
                    filling.export(gan)
                references[kind] = {name: reference(gan, Path(folder) / f"{kind}-{name}.npz", name) for name in gan.exports()}, step
            result, trouble = _again(directory, entry, run, *references[kind])
            failed += bool(trouble)
            psnr = result.get("psnr")
            largest, mean, latency = (f"{result[name]:.2g}" if result else ""
                                      for name in ("largest", "mean", "milliseconds"))
            print(f"{entry['path']:<34}{entry['bytes']:>12,}{largest:>10}{mean:>10}"
                  f"{'' if psnr is None else format(psnr, '.1f'):>8}{latency:>8}  {trouble or 'sound'}")
    return 1 if failed else 0


def _again(directory, entry, run, references, step):
    """Checks an artefact that export.json lists. Returns (result or {}, what is wrong or "")."""
    import export

    path = directory / entry["path"]
    again = f"python -m export {run} --formats={entry['format']}"
    if not path.exists():
        return {}, f"not there: {again}"
    if record.sha256(path) != entry["sha256"]:
        return {}, f"its SHA-256 is not that in export.json: {again}"
    if entry["step"] != step:
        return {}, f"of step {entry['step']:,}, the checkpoint is of step {step:,}: {again}"
    if export.missing_packages([entry["format"]]):
        return {}, 'its runtime is not installed: pip install -e ".[export]"'
    try:
        return check(path, entry["format"], entry["precision"], *(references[name] for name in record.functions(entry))), ""
    except CheckError as error:
        return {}, str(error)


if __name__ == "__main__":
    command.run(main, "export.check")
