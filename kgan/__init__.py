"""kgan: generative adversarial networks for Keras, from data to an exported generator.

    import kgan
    gan = kgan.models.dcgan.build(shape=(28, 28, 1))
    gan.compile()
    gan.fit(kgan.data.load("glyphs", batch_size=64), epochs=3)
    images = gan.generate(16, seed=0)

Importing this is cheap: TensorFlow is loaded when something that needs it is first used.
"""
import importlib
import os

if os.path.expanduser("~").startswith("~"):  # no home directory: TensorFlow would make a folder of that name where it runs
    os.environ.setdefault("KERAS_HOME", os.path.join(os.environ.get("TMPDIR", "/tmp"), ".keras"))

__version__ = "0.1.0"

# public name -> module that has it (None: it is a module itself)
_PUBLIC = {"data": None, "kinds": None, "models": None, "losses": None, "callbacks": None, "metrics": None, "GAN": "kgan.gan", "Config": "kgan.config"}
__all__ = list(_PUBLIC)


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kgan' has no attribute {name!r}")
    home = _PUBLIC[name]
    return getattr(importlib.import_module(home), name) if home else importlib.import_module(f"kgan.{name}")
