"""python -m export runs/NAME: writes the trained generator in formats that other programs load, and checks each.

The averaged (EMA) generator of the newest sound checkpoint goes to runs/NAME/export/FORMAT.
"""
import importlib
import os
import sys

from absl import app, flags

from export import FORMATS

FLAGS = flags.FLAGS
flags.DEFINE_list("formats", ["saved_model"], f"which to write, with commas between: {', '.join(FORMATS)}")


def main(arguments):
    if len(arguments) != 2:
        sys.exit("which run? python -m export runs/NAME")
    unknown = set(FLAGS.formats) - set(FORMATS)
    if unknown:
        sys.exit(f"--formats={','.join(FLAGS.formats)}: no format {', '.join(sorted(unknown))}; "
                 f"there are: {', '.join(FORMATS)}")
    from kgan.config import ConfigError
    from kgan.quiet import import_tensorflow
    from kgan.run import RunError, load
    import_tensorflow()
    try:
        gan, step = load(arguments[1])
    except (RunError, ConfigError) as error:
        sys.exit(str(error))
    for name in FLAGS.formats:
        target = os.path.join(arguments[1], "export", name)
        difference = importlib.import_module(f"export.{name}").write(gan.ema_generator, gan.key, target)
        print(f"{target}: step {step:,}, differs from Keras by at most {difference:.1g}")


if __name__ == "__main__":
    app.run(main)
