"""A discriminator as the start of a classifier: what its features are worth where labels are few.

    python -m kgan.metrics.pretrain runs/NAME                  20, 100, 1,000 labels; against the same network from scratch
    python -m kgan.metrics.pretrain runs/NAME --labels=50,all --export=MINE.keras

D without its last layer, which says real or generated, gets one for the data's classes, and all of it learns from so
many labelled examples (Radford et al. 2015 learn the last layer alone: kgan.metrics.probe). `from scratch` is the same
network with first weights, the same examples, the same steps, twice the learning rate. A seed draws the labels, the
first weights and the order; the table has mean ± standard deviation over the seeds, of the balanced accuracy on real
test examples, and by the rule of kgan.metrics.augment the last line says whether it helps.

Written is the classifier of the most labels (--export; default: classifier.keras in the run's directory): an ordinary
Keras file, images [n, H, W, C] from 0 to 255 -> probabilities. Layers of kgan's become Keras's own, so that it loads
without kgan; where one has no equal among these, that is said. Its classes are in classifier.json.

D must look at nothing but images (dcgan, wgan_gp, sngan …; not cgan). That of acgan has been taught the labels: its
figures say nothing of what can be learned without.
"""
import json
from pathlib import Path

import numpy as np
from absl import flags

from kgan import command
from kgan.command import UserError
from kgan.quiet import import_tensorflow
from kgan.run import Run, load, run_at, write

RATE = 5e-4  # of what is tuned


def main(arguments):
    FLAGS = flags.FLAGS
    if len(arguments) != 2:
        raise UserError("which run? python -m kgan.metrics.pretrain RUN")
    from kgan.metrics.few import draw, numbers
    counts, run = numbers(FLAGS.labels), Run(run_at(arguments[1]))
    path = Path(FLAGS.export or run.directory / "classifier.keras")
    if path.suffix != ".keras":
        raise UserError(f"--export={path}: must end in .keras")
    told = path.with_suffix(".json")
    if told.exists() and b'"takes": [0, 255]' not in told.read_bytes():
        raise UserError(f"--export={path}: its classes would be written to {told}, which is there and of something else; choose another name")
    settings = run.settings(required=True)
    import_tensorflow()
    from kgan.metrics.few import Plan, fitting, initial, judged, line
    from kgan.metrics.labelled import labelled

    train, test, remark = labelled(settings, FLAGS.test)
    gan, step = load(arguments[1])
    names, labels = train.classes["label"], np.asarray(train.arrays["label"])
    counts, fewer = fitting(counts, len(labels))
    if fewer:
        print(fewer)
    network = classifier(gan, len(names))
    weights = [np.array(each) for each in network.get_weights()]
    rows = np.sort(test.choose(5_000))
    held = np.asarray(test.arrays[test.key][rows]), np.asarray(test.arrays["label"])[rows]

    def tuned(network, rng):
        initial(network, rng)
        for variable, value in zip(network.weights, weights):
            if not variable.path.startswith("classes/") and "seed_generator" not in variable.path:
                variable.assign(value)
    plans = {"D, tuned": (Plan(network, len(names), FLAGS.steps, settings.get("flip", False), RATE), tuned),
             "from scratch": (Plan(network, len(names), FLAGS.steps, settings.get("flip", False), 2 * RATE), initial)}
    found, kept = {}, None
    for seed in range(FLAGS.seeds):
        for count in counts:
            some = draw(labels, count, np.random.default_rng([seed, 77]))
            for way in reversed(plans):  # so that the network is the tuned one in the end
                plan, begin = plans[way]
                scores = plan.learn(np.asarray(train.arrays[train.key][some]), labels[some], held, seed, begin=begin)
                found.setdefault((way, count), []).append(scores)
            if seed == 0 and (kept is None or len(some) >= kept[0]):
                kept = len(some), network.get_weights(), scores
    print(f"{settings['dataset']}, {settings['model']}, step {step:,}: {FLAGS.seeds} seeds, {FLAGS.steps} steps, tested on "
          f"{len(rows):,} examples{remark and ', ' + remark}" + ("; this D has been taught labels" if gan.classes else ""))
    print(f"{'balanced accuracy, %':<22}" + "".join(f"{str(count) + ' labels':>18}" for count in counts))
    for way in plans:
        print(f"{way:<22}" + "".join(f"{line(found[way, count], 'balanced'):>18}" for count in counts))
    balanced = {key: np.array([scores["balanced"] for scores in each]) for key, each in found.items()}
    verdict = "Pretraining: with " + "; with ".join(
        f"{count} labels " + judged(balanced["D, tuned", count] - balanced["from scratch", count], "it helps", "it does not help")
        for count in counts) + "."
    network.set_weights(kept[1])
    kgan_layers = export(network, path)
    write(told, json.dumps(
        {"classes": list(names), "labels": kept[0], "test": kept[2], "takes": [0, 255]}).encode() + b"\n")
    write(run.directory / "pretrain.json", json.dumps(
        {"step": step, "dataset": settings["dataset"], "seeds": FLAGS.seeds, "note": remark, "verdict": verdict,
         "scores": {f"{way} | {count}": each for (way, count), each in found.items()}}, indent=1).encode() + b"\n")
    print(f"{path}: learned from {kept[0]:,} labels, right on {100 * kept[2]['accuracy']:.1f} % of the test examples"
          + (f"; it holds {', '.join(kgan_layers)}: import kgan.layers before you load it" if kgan_layers else ""))
    print(verdict)
    return 0


def classifier(gan, classes):
    """gan's D, its last layer in exchange for one of `classes` logits, named `classes`: a keras.Model of images in [-1, 1].

    Raises:
        UserError: D looks at more than images, or is of another kind of network.
    """
    import keras
    from keras import layers

    from kgan.layers import plain
    from kgan.metrics.probe import last
    network = gan.discriminator
    if gan.kind != "image" or len(network.inputs) != 1 or gan.config.packing > 1:
        taken = ", ".join(tensor.name for tensor in network.inputs)
        raise UserError(f"this D takes {taken}, and a classifier takes one image: dcgan, sngan, wgan_gp and others have such a D")
    copy = keras.models.clone_model(network, clone_function=plain)
    copy.set_weights(network.get_weights())
    x = copy.get_layer(last(network)).output
    x = x if len(x.shape) == 2 else layers.Flatten()(x)
    return keras.Model(copy.inputs[0], layers.Dense(classes, name="classes")(x), name="classifier")


def export(network, path):
    """Writes it as a classifier of images from 0 to 255. Returns the names of the layers that are kgan's."""
    import keras
    images = keras.Input(network.input_shape[1:], name="images")
    said = keras.layers.Softmax(name="probabilities")(network(keras.layers.Rescaling(1 / 127.5, -1.0)(images)))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    keras.Model(images, said, name="classifier").save(path)
    return sorted({type(layer).__name__ for layer in network._flatten_layers() if type(layer).__module__.startswith("kgan")})


def define_flags():
    """Defines the command's flags. Not on import: the library's users have flags of their own."""
    flags.DEFINE_list("labels", ["20", "100", "1000"], "numbers of real labels, with commas between; all: every one")
    flags.DEFINE_integer("seeds", 3, "how often all is repeated", lower_bound=2, upper_bound=30)
    flags.DEFINE_integer("steps", 100, "of each classifier, 64 examples each", lower_bound=1)
    flags.DEFINE_string("test", None, "data set to test on, as train.py's --dataset; default: the run's test split, or a fifth")
    flags.DEFINE_string("export", None, "file for the classifier, .keras; default: classifier.keras in the run's directory")


if __name__ == "__main__":
    define_flags()
    command.run(main, "kgan.metrics.pretrain", doing="training classifiers")
