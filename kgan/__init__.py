"""kgan: generative adversarial networks for Keras, from data to an exported generator.

    import kgan
    gan = kgan.models.dcgan.build(shape=(28, 28, 1))
    gan.compile()
    gan.fit(kgan.data.load("glyphs", batch_size=64), epochs=3)
    images = gan.generate(16, seed=0)

Importing this is cheap: TensorFlow is loaded when something that needs it is first used. Keras learns of kgan's classes, so that
keras.saving.load_model finds them, as soon as both are imported, in whatever order.
"""
import importlib
import importlib.util
import os
import sys

if os.path.expanduser("~").startswith("~"):  # no home directory: TensorFlow would make a folder of that name where it runs
    os.environ.setdefault("KERAS_HOME", os.path.join(os.environ.get("TMPDIR", "/tmp"), ".keras"))

# TensorFlow leaves oneDNN off on processors without AVX-512 VNNI, AVX-VNNI or AMX, many laptops among them, where it convolves two
# to three times as fast, 3-D a hundred times, and grouped convolutions have a gradient. It reads this when it is imported
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

# public name -> module that has it (None: it is a module itself)
_PUBLIC = {"data": None, "kinds": None, "models": None, "losses": None, "callbacks": None, "metrics": None, "GAN": "kgan.gan",
           "Config": "kgan.config", "load": "kgan.loading"}
__all__ = list(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kgan' has no attribute {name!r}")
    home = _PUBLIC[name]
    found = getattr(_module(home), name) if home else _module(f"kgan.{name}")
    _register()
    return found


def __dir__():
    return [*__all__, "__version__"]


def _register(whole=""):
    """Imports what registers classes with Keras, which finds what a .keras file names by that alone.

    Not while a module of ours, Keras or TensorFlow, which import each other, is half imported; but that called `whole` is not.
    """
    busy = any(getattr(module.__spec__, "_initializing", False) for name, module in list(sys.modules.items())
               if module and name != whole and (name.startswith("kgan.") or name in ("keras", "tensorflow")))
    if "keras" not in sys.modules or _registered or busy or sys.modules["keras"].config.backend() != "tensorflow":
        return
    _registered.append(True)
    for name in ("gan", "layers", "anysize", *(f"models.{name}" for name in _module("kgan.models").names())):
        _module(f"kgan.{name}")


class _Behind:
    """A finder of modules that finds none itself: behind the import of Keras, or of TensorFlow, which imports it, Keras is told."""

    def __init__(self):
        self.asking = False

    def find_spec(self, name, path=None, target=None):
        if name not in ("keras", "tensorflow") or self.asking or _registered:
            return None
        self.asking = True
        try:
            found = importlib.util.find_spec(name)  # by the other finders
        finally:
            self.asking = False
        if execute := getattr(found and found.loader, "exec_module", None):
            def executed(module):
                execute(module)
                _register(name)
            found.loader.exec_module = executed
        return found


_registered = []
_module = importlib.import_module

_register()
if not _registered:
    sys.meta_path.insert(0, _Behind())
