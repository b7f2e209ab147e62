"""kgan: generative adversarial networks for Keras, from data to an exported generator.

    kgan train --model=dcgan            trains; the same command again resumes (as python train.py)
    kgan list                           every model and data set, a line each
    kgan settings dcgan                 the settings of a model, explained (as kgan train --model=dcgan --help)
    kgan generate runs/NAME --count=1000 --out=SAMPLES     samples as files
    kgan evaluate runs/NAME             measures samples against real examples
    kgan export runs/NAME --formats=tflite,onnx            the generator for other programs; each file is checked
    kgan check runs/NAME                checks the exported files again
    kgan serve runs/NAME/export         HTTP and a page
    kgan translate runs/NAME FOLDER --out=TRANSLATED       files through a model that makes images from images
    kgan latent runs/NAME interpolate   also arithmetic, project: paths through latent space
    kgan edit runs/NAME PHOTO           a real image with every value of the attribute that the model was trained on
    kgan probe runs/NAME                how much the discriminator has learned about the labels
    kgan attack runs/NAME               how well an advgan fools classifiers; kgan harden runs/NAME: how to defend them
    kgan augment runs/NAME              do samples improve a classifier? kgan pretrain runs/NAME: is the discriminator a good start?

`kgan COMMAND --help` lists the flags of each. `python -m kgan` is the same.
"""
import runpy
import sys

from kgan import command

MODULES = {"train": "kgan.training", "list": "kgan.training", "generate": "kgan.generate", "evaluate": "kgan.metrics.__main__",
           "export": "export.__main__", "settings": "kgan.settings", "check": "export.check", "serve": "export.serve",
           "translate": "kgan.translate", "latent": "kgan.latent", "edit": "kgan.edit", "probe": "kgan.metrics.probe",
           **{name: f"kgan.metrics.{name}" for name in ("attack", "harden", "augment", "pretrain")}}


def main():
    """The console script: passes the arguments behind the command to the module that does it, and ends the process."""
    verb, *words = sys.argv[1:] or ["--help"]
    if verb in ("--help", "-h", "help", "--helpfull", "--helpshort"):
        print(__doc__, end="")
        return
    if verb == "--version":
        import kgan
        print(f"kgan {kgan.__version__}")
        return
    if verb.startswith("-"):
        sys.exit(_fail(f"{verb}: flags come behind a command, as in kgan train {verb}; there are {', '.join(MODULES)}"))
    if verb not in MODULES:
        from kgan.config import nearest
        sys.exit(_fail(f"{verb!r} is no command{nearest(verb, MODULES)}; there are {', '.join(MODULES)}"))
    sys.argv = [f"kgan {verb}", *words, *(["--list"] if verb == "list" else [])]
    command.start(f"kgan {verb}")
    runpy.run_module(MODULES[verb], run_name="__main__", alter_sys=True)


def _fail(message):
    print(f"kgan: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
