"""web: a folder that is a finished page, in which the generator runs in the visitor's browser by LiteRT.js.

    python -m http.server --directory runs/NAME/export/web

index.html, page.js and style.css are those of the server; generator.js, through which the page gets its pictures, is
page/litert.js here and page/rest.js there. All addresses are relative, and nothing comes from another host. LiteRT.js
is fetched from the npm registry, once: it stays in kgan's cache.
"""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from export import FORMAT
from export.record import sha256
from kgan.command import UserError
from kgan.data import cache

PAGE = Path(__file__).with_name("page")
VERSION = "2.5.3"
# npm package -> the registry's digest of it: what is run in visitors' browsers is what was tried here
PACKAGES = {
    "@litertjs/core":
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils":
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
# its loader takes the second where a browser lacks relaxed SIMD; the two others need headers or options
_RUNTIMES = "litert_wasm_internal", "litert_wasm_compat_internal"
_TOLD = "functions", "name", "model", "dataset", "step", "checkpoint", "input", "label", "output", "noise", "truncation", "directions"
_NOTICE = f"""\
LiteRT.js {VERSION} (npm: @litertjs/core, @litertjs/wasm-utils), by the LiteRT authors, under the Apache License 2.0, which
is in LICENSE. kgan changed index.js and wasm-utils.js: the one imports the other from here, and neither names a map.
"""


def write(generator, contract, directory, latents):
    """Writes the page into a new directory; nothing is checked but operators.

    Args:
        generator: keras.Model from noise [n, noise_dim], or from a dict of that, `label` and what else it is given; or a dict of
            functions, as for `export.inputs.functions_of`.
        contract: of `export.contract`.
        directory: path.
        latents: as in `tflite.write`.

    Raises:
        UserError: as of `fetch`; the generator has an operator that TFLite lacks.
    """
    from export import tflite  # not above: `fetch` is called before TensorFlow is imported
    from export.contract import only
    from export.inputs import functions_of

    functions = functions_of(generator, contract, "web")
    contract = only(contract, functions)
    packages, directory = fetch(), Path(directory)
    (directory / "litert").mkdir(parents=True)
    for file in PAGE.rglob("*"):
        if file.suffix in (".html", ".css", ".js") and file.name != "rest.js":  # which is the server's generator.js
            target = directory / file.relative_to(PAGE).with_name("generator.js" if file.name == "litert.js" else file.name)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
    with tempfile.TemporaryDirectory() as folder:
        tflite.write(functions, contract, Path(folder, "tflite"), latents, batch=1, precisions=["float32"])
        for name in functions:
            shutil.copyfile(Path(folder, "tflite", f"{name}_float32.tflite"), directory / f"{name}.tflite")
    # the page sees by the sum that the two are of one export, whatever a browser or a proxy has kept
    told = {"format": FORMAT, **{name: contract[name] for name in _TOLD},
            "sha256": {name: sha256(directory / f"{name}.tflite") for name in functions}}
    (directory / "generator.json").write_text(json.dumps(told), encoding="utf-8")
    _write_litert(packages, directory / "litert")


def fetch():
    """Paths of LiteRT.js's npm packages in the cache, by name. They are fetched if they are not there.

    Raises:
        UserError: they are not there and cannot be fetched, or are not what they should be.
    """
    folder = cache.directory() / "npm"
    paths = {name: folder / f"{name[1:].replace('/', '-')}-{VERSION}.tgz" for name in PACKAGES}
    for name, path in paths.items():
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as aside:  # beside it: a rename stays within a file system
                fetched = _pack(name, path, aside)
                _verify(fetched, name)
                os.replace(fetched, path)
        _verify(path, name)
    return paths


def _pack(name, path, folder):
    npm = shutil.which("npm")
    by_hand = f"or run `npm pack {name}@{VERSION}` elsewhere and put the file into {path.parent}"
    if npm is None:
        raise UserError(f"web: npm, which fetches LiteRT.js, is not installed: install Node.js, {by_hand}")
    try:
        done = subprocess.run([npm, "pack", f"{name}@{VERSION}"], cwd=folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600)
        reason = next((line for line in done.stderr.splitlines() if "error" in line.lower()), f"exit {done.returncode}")
    except subprocess.TimeoutExpired:
        done, reason = None, "no answer in ten minutes"
    fetched = Path(folder, path.name)
    if done is None or done.returncode or not fetched.exists():
        raise UserError(f"web: npm cannot fetch {name} ({reason.strip()}): see to the network or to npm's registry, "
                        f"{by_hand}")
    return fetched


def _verify(path, name):
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != PACKAGES[name]:
        raise UserError(f"web: {path} is not {name} {VERSION} as it was published (its digest is {found[:20]}…): "
                        "delete it and export again; if it comes back, do not trust the registry that npm asks")


def _write_litert(packages, folder):
    """Only what the page asks for, and with this process's permissions: in the packages they are odd."""
    core, utils = packages.values()
    wasm = [f"wasm/{name}.{kind}" for name in _RUNTIMES for kind in ("js", "wasm")]
    files = {Path(name).name: content for name, content in _read(core, ["dist/index.js", *wasm]).items()}
    # a browser cannot resolve npm's name
    files["index.js"] = _without_map(files["index.js"]).replace(b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
    files["wasm-utils.js"] = _without_map(_read(utils, ["dist/index.js"])["dist/index.js"])
    for name, content in files.items():
        (folder / name).write_bytes(content)
    shutil.copyfile(PAGE / "litert.LICENSE", folder / "LICENSE")
    (folder / "NOTICE").write_text(_NOTICE, encoding="utf-8")


def _read(package, names):
    with tarfile.open(package) as archive:
        return {name: archive.extractfile(f"package/{name}").read() for name in names}


def _without_map(script):
    return script.partition(b"//# sourceMappingURL")[0]
