"""Writes the trained generator of a run in formats that other programs load, and checks each. `python -m export` is the same.

    kgan export runs/NAME --formats=saved_model,tflite,onnx,web

The averaged generator (EMA) of the newest intact checkpoint, or of the best one, goes to runs/NAME/export, with export.json
(a description, checksums, differences from Keras) and README.md (a model card). docs/exporting.md says what each format is for.
"""
from absl import flags

import export
from kgan import command
from kgan.quiet import import_tensorflow
from kgan.run import run_at

FLAGS = flags.FLAGS
flags.DEFINE_list("formats", ["saved_model"], f"which to write, with commas between: {', '.join(export.FORMATS)}")
flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], "which one; best: by evaluate_by, if the run was trained "
                  "with --evaluate_every")
flags.DEFINE_integer("batch", 1, "rows of noise that a TFLite file takes at once; the other formats take any number",
                     lower_bound=1, upper_bound=4096)
flags.DEFINE_list("precisions", list(export.PRECISIONS), "which TFLite files")
flags.DEFINE_bool("fill", False, "the SavedModel, and who serves it, can fill holes by a search in the noise, too: of GANs that make "
                  "images of noise")


def main(arguments):
    if len(arguments) != 2:
        raise command.UserError("which run? python -m export runs/NAME")
    export.require("--formats", FLAGS.formats)
    if not FLAGS.precisions or not set(FLAGS.precisions) <= set(export.PRECISIONS):
        raise command.UserError(f"--precisions={','.join(FLAGS.precisions)}: there are {', '.join(export.PRECISIONS)}")
    run = run_at(arguments[1])
    import_tensorflow()
    from export import artefacts
    record = artefacts.write(run, FLAGS.formats, FLAGS.checkpoint, FLAGS.batch, FLAGS.precisions, FLAGS.fill)
    print(artefacts.lines(record))


if __name__ == "__main__":
    command.run(main, "export")
