"""python -m export runs/NAME: writes the trained generator in formats that other programs load, and checks each.

The averaged (EMA) generator of the newest sound checkpoint, or of the best, goes to runs/NAME/export/FORMAT.
"""
import importlib
import os

from absl import flags

from export import FORMATS
from kgan import command
from kgan.quiet import import_tensorflow

FLAGS = flags.FLAGS
flags.DEFINE_list("formats", ["saved_model"], f"which to write, with commas between: {', '.join(FORMATS)}")
flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "which one; best: by evaluate_by, if the run was trained with "
                  "--evaluate_every")


def main(arguments):
    if len(arguments) != 2:
        raise command.UserError("which run? python -m export runs/NAME")
    unknown = set(FLAGS.formats) - set(FORMATS)
    if unknown:
        raise command.UserError(f"--formats={','.join(FLAGS.formats)}: no format {', '.join(sorted(unknown))}; "
                                f"there are: {', '.join(FORMATS)}")
    import_tensorflow()
    from kgan.run import load
    gan, step = load(arguments[1], FLAGS.checkpoint)
    for name in FLAGS.formats:
        target = os.path.join(arguments[1], "export", name)
        difference = importlib.import_module(f"export.{name}").write(gan.ema_generator, gan.key, target)
        print(f"{target}: step {step:,}, differs from Keras by at most {difference:.1g}")


if __name__ == "__main__":
    command.run(main, "export")
