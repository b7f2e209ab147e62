"""From a run to files that other programs load: one module a format, each with `write(generator, key, directory)`.

Adding a format: write `export/NAME.py` with that function, and name it in FORMATS.
"""

FORMATS = ("saved_model",)
