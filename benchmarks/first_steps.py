"""What a newcomer who knows Keras does first, and what happens. Prints a line for each, and one JSON line last.

    python benchmarks/first_steps.py                  about a minute on two cores
    python benchmarks/first_steps.py --only=sigmoid   those with this word
    python benchmarks/first_steps.py --markdown > docs/first_steps.md

Each step is expected to work, to be warned of, or to be refused, and it is `wrong` if something else happens: nothing is said where
something is not as it should be, or an error comes that is no sentence to the user. The networks are tiny: nothing is learned here.
"""
import argparse
import contextlib
import functools
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
STEPS = []  # (name, code, expected, function)
SENTENCE = 420  # letters that a message has at most


def step(code, expected="works"):
    """Marks a function as a step. `code`: what the newcomer writes. The function returns a sentence that says what came of it."""
    def mark(function):
        STEPS.append((function.__doc__.rstrip("."), code, expected, function))
        return function
    return mark


# === What the steps stand on ===

@functools.cache
def digits():
    """(uint8 [512, 28, 28, 1], int64 [512]): some of the built-in data set."""
    import kgan
    source = kgan.data.source("glyphs")
    return source.arrays["image"][:512], source.arrays["label"][:512]


def images():
    return digits()[0].astype("float32") / 127.5 - 1


def networks(end="tanh", judge=None, shape=(28, 28, 1), noise=16):
    """A generator and a discriminator as a newcomer writes them."""
    import keras
    layers = keras.layers
    size = shape[0] * shape[1] * shape[2]
    generator = keras.Sequential([keras.Input((noise,)), layers.Dense(16, "relu"), layers.Dense(size, end), layers.Reshape(shape)])
    discriminator = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(16, "relu"), layers.Dense(1, judge)])
    return generator, discriminator


def own(**options):
    import kgan
    return kgan.GAN(*networks(**options), kgan.Config(noise_dim=16, batch_size=64))


def compiled(**options):
    gan = own(**options)
    gan.compile()
    return gan


def fitted(gan, data=None, **options):
    return gan.fit(images()[:128] if data is None else data, verbose=0, **options).history


def end(history, name="g_loss"):
    return f"{len(history[name])} epochs, {name} {'' if name in history else '?'}is in `history`"


# === The steps ===

@step("dcgan.build((28, 28, 1)); compile(); fit(images, epochs=2)")
def first():
    """The first lines of README, on arrays."""
    import kgan
    gan = kgan.models.dcgan.build((28, 28, 1), filters=2)
    gan.compile()
    history = fitted(gan, epochs=2)
    made = gan.generate(16, seed=0)
    assert len(history["g_loss"]) == 2 and made.shape == (16, 28, 28, 1) and abs(made).max() <= 1
    return "2 epochs; generate(16) is float32 [16, 28, 28, 1] in [-1, 1]"


@step('dcgan.build(shape, preset="modern", filters=8)')
def settings_by_name():
    """Settings by name."""
    import kgan
    config = kgan.models.dcgan.build((28, 28, 1), preset="modern", filters=8).config
    assert (config.preset, config.filters, config.loss) == ("modern", 8, "relativistic"), config
    return "the preset, with 8 filters; `gan.config` has all settings"


@step("dcgan.build(shape, filter=8)", "refused")
def setting_misspelt():
    """A setting that does not exist."""
    import kgan
    kgan.models.dcgan.build((28, 28, 1), filter=8)


@step('dcgan.build(shape, "modern")', "refused")
def preset_as_config():
    """A preset in place of a Config."""
    import kgan
    kgan.models.dcgan.build((28, 28, 1), "modern")


@step("kgan.GAN(generator, discriminator, kgan.Config(noise_dim=16))")
def own_networks():
    """Networks of one's own."""
    history = fitted(compiled(), epochs=2)
    assert len(history["g_loss"]) == 2
    return "trains; all of Config's objectives and penalties work with any networks"


@step('the discriminator ends in Dense(1, "sigmoid")', "refused")
def sigmoid():
    """Own networks, whose discriminator ends in a sigmoid."""
    own(judge="sigmoid")


@step('the generator ends in Dense(…, "sigmoid")', "warned")
def generator_sigmoid():
    """Own networks, whose generator ends in a sigmoid."""
    own(end="sigmoid")
    return "it is built"


@step("fit(images / 255)", "warned")
def zero_to_one():
    """Images from 0 to 1."""
    history = fitted(compiled(), images() / 2 + 0.5)
    assert len(history["g_loss"]) == 1
    return "it trains"


@step("fit(images), uint8 from 0 to 255", "refused")
def bytes_():
    """Images as bytes."""
    fitted(compiled(), digits()[0])


@step("fit(images) of shape [n, 28, 28]", "refused")
def no_channels():
    """Images without an axis for the channel."""
    fitted(compiled(), images()[..., 0])


@step("fit(tf.data.Dataset.from_tensor_slices((images, labels)).batch(64))")
def pipeline():
    """A tf.data pipeline with labels that the GAN does not take."""
    import tensorflow as tf
    gan = compiled()
    fitted(gan, tf.data.Dataset.from_tensor_slices((images(), digits()[1])).batch(64))
    assert gan.step == 8
    return "8 steps; the labels are ignored"


@step('compile("adam", "adam")')
def optimizers_by_name():
    """Optimizers by name."""
    gan = own()
    gan.compile("adam", "adam")
    rates = {float(gan.optimizer_of(player).learning_rate) for player in gan.players}
    fitted(gan)
    assert len(rates) == 1 and abs(rates.pop() - gan.config.generator_learning_rate) < 1e-9
    return "Adam with the Config's learning rates and beta_1 (0.0002 and 0.5), not Keras's"


@step("adam = Adam(); compile(adam, adam)", "refused")
def one_optimizer():
    """One optimizer for both networks."""
    import keras
    adam = keras.optimizers.Adam(1e-4)
    own().compile(adam, adam)


@step('compile(optimizer="adam", loss="binary_crossentropy")', "refused")
def as_ever():
    """compile as of any Keras model."""
    own().compile(optimizer="adam", loss="binary_crossentropy")


@step('compile(loss="hinge", penalty="r1")')
def objective():
    """Another objective and penalty."""
    gan = own()
    gan.compile(loss="hinge", penalty="r1")
    assert "penalty" in fitted(gan)
    return "the penalty is a column of `history`; functions of your own go into kgan.losses.Objective"


@step('compile(metrics=["accuracy"])', "refused")
def metrics():
    """Keras's metrics."""
    own().compile(metrics=["accuracy"])


@step("compile(learning_rate=1e-4)", "refused")
def unknown_of_compile():
    """An argument that compile does not have."""
    own().compile(learning_rate=1e-4)


@step("fit(images, sample_weight=weights)", "refused")
def sample_weight():
    """sample_weight."""
    import numpy as np
    fitted(compiled(), sample_weight=np.ones(128))


@step("fit(images, epoch=3)", "refused")
def unknown_of_fit():
    """An argument that fit does not have."""
    fitted(compiled(), epoch=3)


@step("ModelCheckpoint, CSVLogger, TensorBoard, BackupAndRestore, TerminateOnNaN, LambdaCallback")
def callbacks():
    """Keras's callbacks."""
    import keras
    seen, each = [], keras.callbacks
    fitted(compiled(), epochs=2, callbacks=[
        each.ModelCheckpoint("{epoch}.keras"), each.CSVLogger("log.csv"), each.TensorBoard("logs"), each.BackupAndRestore("backup"),
        each.TerminateOnNaN(), each.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["g_loss"]))])
    assert Path("2.keras").exists() and len(Path("log.csv").read_text().splitlines()) == 3 and len(seen) == 2
    return "each does what it always does"


@step('EarlyStopping(monitor="g_loss", mode="min", patience=2)')
def early_by_loss():
    """Early stopping by a loss."""
    import keras
    stop = keras.callbacks.EarlyStopping(monitor="g_loss", mode="min", patience=2, min_delta=1e9)
    history = fitted(compiled(), epochs=9, callbacks=[stop])
    assert len(history["g_loss"]) == 3
    return "stops; but a GAN's loss says little about its samples"


@step('[kgan.callbacks.Evaluate(evaluator), EarlyStopping(monitor="sliced_wasserstein", patience=1)]')
def early_by_figure():
    """Early stopping by a figure of quality."""
    import keras

    import kgan
    evaluate = kgan.callbacks.Evaluate(kgan.metrics.Evaluator(images()[:128]), by="sliced_wasserstein")
    stop = keras.callbacks.EarlyStopping(monitor="sliced_wasserstein", patience=1, min_delta=1e9)
    history = fitted(compiled(), epochs=5, callbacks=[evaluate, stop])
    assert len(history["sliced_wasserstein"]) == 2
    return "measures after each epoch, and stops; kgan knows for each figure whether larger is better"


@step('EarlyStopping(monitor="frechet_distance") alone', "refused")
def early_by_nothing():
    """Early stopping by a figure that nothing measures."""
    import keras
    fitted(compiled(), callbacks=[keras.callbacks.EarlyStopping(monitor="frechet_distance")])


@step('ReduceLROnPlateau(monitor="g_loss")', "refused")
def plateau():
    """Keras's callback that lowers the learning rate."""
    import keras
    fitted(compiled(), callbacks=[keras.callbacks.ReduceLROnPlateau(monitor="g_loss")])


@step("LearningRateScheduler(schedule)", "refused")
def scheduler():
    """Keras's callback that sets the learning rate."""
    import keras
    fitted(compiled(), callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 1e-4)])


@step('Samples("sheets", every=2), Log("log.csv", every=2)')
def paths_as_strings():
    """kgan's own callbacks, with texts as paths."""
    from kgan.callbacks import Log, Samples
    fitted(compiled(), epochs=2, callbacks=[Log("log.csv", every=2), Samples("sheets", every=2, real=images()[:64])])
    assert Path("log.csv").exists() and Path("sheets/step-000000004.png").exists(), sorted(Path().rglob("*"))
    return "log.csv with a row every 2 steps, sheets/step-000000004.png"


@step("Evaluator(images), Evaluator((images, labels))")
def arrays():
    """Measures against arrays."""
    import kgan
    found = kgan.metrics.Evaluator(images()[:256]).figures(images()[256:])
    assert set(found) == {"sliced_wasserstein"} and found["sliced_wasserstein"] > 0, found
    return "sliced Wasserstein distance; with labels also Fréchet distance, precision, recall …, in the features of a classifier that learns the labels"


@step('gan.save("gan.keras"); keras.saving.load_model("gan.keras")')
def save_and_load():
    """Saving and loading."""
    import keras
    import numpy as np
    gan = compiled()
    fitted(gan)
    gan.save("gan.keras")
    again = keras.saving.load_model("gan.keras")
    np.testing.assert_allclose(again.generate(4), gan.generate(4), atol=1e-6)
    fitted(again)
    assert again.step == 2 * gan.step
    return "the same samples; `fit` continues from the step that it had reached"


@step('gan.ema_generator.save("generator.keras"), loaded where there is no kgan')
def keras_alone():
    """The generator with Keras alone."""
    import kgan
    kgan.models.dcgan.build((28, 28, 1), filters=2).ema_generator.save("generator.keras")
    line = ("import sys, keras; g = keras.saving.load_model('generator.keras'); "
            "print(g(keras.random.normal((2, 16))).shape, 'kgan' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True)
    assert done.stdout.split("(")[-1].strip() == "2, 28, 28, 1) False", done
    return "loads if its layers are Keras's, as those of dcgan and mlp are; kgan export writes other formats"


@step("kgan train --model=cgan --dataset=OTHER --init_from=RUN; kgan.loading.start_from(gan, RUN)")
def other_classes():
    """Fine-tuning with another number of classes."""
    import kgan
    from kgan.loading import start_from
    from kgan.run import Run
    before = kgan.models.cgan.build((8, 8, 1), classes=("a", "b"), filters=2, noise_dim=4)
    before.compile()
    run = Run("before")
    settings = {"model": "cgan", "dataset": "glyphs", "shape": [8, 8, 1], "classes": ["a", "b"], "seed": 0,
                "config": {"filters": 2, "noise_dim": 4}}
    run.begin(settings, overwrite=True)
    run.save(before, 1, 0.0)
    after = kgan.models.cgan.build((8, 8, 1), classes=("c", "d", "e"), filters=2, noise_dim=4)
    told = start_from(after, "before")
    assert any("anew" in line for line in told), told
    return f"what fits is taken, the rest named: “{told[0]}”"


@step('cgan.build(…, classes=("cat", "dog")); generate(4, label="dog")')
def classes():
    """A class by its name."""
    import kgan
    gan = kgan.models.cgan.build((8, 8, 1), classes=("cat", "dog"), filters=2)
    assert gan.generate(4, label="dog").shape == (4, 8, 8, 1)
    return "four dogs; without `label` the classes take turns"


@step('generate(4, label="dgo")', "refused")
def class_misspelt():
    """A class that does not exist."""
    import kgan
    kgan.models.cgan.build((8, 8, 1), classes=("cat", "dog"), filters=2).generate(4, label="dgo")


@step("cgan: fit(images, labels) with labels from 1 to 10", "refused")
def labels_from_one():
    """Labels that begin at 1."""
    import kgan
    gan = kgan.models.cgan.build((28, 28, 1), filters=2)
    gan.compile()
    gan.fit(images()[:128], digits()[1][:128] % 10 + 1, verbose=0)


@step('mlp.build((2,)), fit(points)')
def points():
    """Points in the plane."""
    import kgan
    gan = kgan.models.mlp.build((2,), batch_size=64)
    gan.compile(run_eagerly=True)
    gan.fit(kgan.data.load("ring", batch_size=64).take(2), verbose=0)
    assert gan.config.preset == "mixture" and gan.generate(8).shape == (8, 2)
    return "for points it takes the preset `mixture`"


@step('kgan.models.dcgan(…), kgan.models.dcgn', "refused")
def model_misspelt():
    """A model that does not exist."""
    import kgan
    kgan.models.dcgn  # noqa: B018


# === How they are run ===

class Heard(logging.Handler):
    """What TensorFlow logs, except that many GANs in one process are traced often."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        if "retracing" not in record.getMessage():
            self.lines.append(record.getMessage())


def tried(name, code, expected, function):
    """Runs a step in an empty folder. Returns dict of name, code, expected, `happened`, `said`, `seconds`, `wrong`."""
    start, here, error, heard = time.perf_counter(), os.getcwd(), None, Heard()
    logging.getLogger("tensorflow").addHandler(heard)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught, \
            contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("always", UserWarning)
        os.chdir(folder)
        try:
            said = function()
        except Exception as found:  # whatever a newcomer would see
            said, error = str(found), found
        finally:
            os.chdir(here)
            logging.getLogger("tensorflow").removeHandler(heard)
    told = heard.lines + [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    happened = "refused" if error else "warned" if told else "works"
    wrong = happened != expected or bool(printed.getvalue().strip())
    if error and not (isinstance(error, (ValueError, TypeError, AttributeError)) and "\n" not in said and len(said) <= SENTENCE):
        wrong = True
    if wrong and error:
        said = "".join(traceback.format_exception(error)[-3:]) + said
    said = f"{said}; {'; '.join(told)}" if told and not error else said
    return {"name": name, "code": code, "expected": expected, "happened": happened, "said": said, "wrong": wrong,
            "seconds": round(time.perf_counter() - start, 2)}


def markdown(found):
    """docs/first_steps.md."""
    lines = ["# First steps", "", "What people who know Keras try first, and what happens. `python benchmarks/first_steps.py --markdown` tries all of it and",
             "writes this page: change the script, not the page. *works*: nothing else is printed. *warned*: it continues with a warning.",
             "*refused*: a ValueError, TypeError or AttributeError with this sentence, before anything is trained.", "",
             "| what | as in | | what happens |", "|---|---|---|---|"]
    lines += [f"| {one['name']} | `{one['code']}` | {one['happened']} | {cell(one['said'])} |" for one in found]
    return "\n".join(lines) + "\n"


def cell(text):
    """A sentence as it stands in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "\\<")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="those whose name, code or function has this word")
    parser.add_argument("--markdown", action="store_true", help="print docs/first_steps.md")
    arguments = parser.parse_args()
    chosen = [one for one in STEPS if arguments.only in f"{one[0]} {one[1]} {one[3].__name__}"]
    found = []
    for one in chosen:
        found.append(tried(*one))
        if not arguments.markdown:
            last = found[-1]
            print(f"{'WRONG  ' if last['wrong'] else ''}{last['happened']:<8} {last['name']}: {last['code']}\n         {last['said']}",
                  flush=True)
    if arguments.markdown:
        print(markdown(found), end="")
    else:
        print(json.dumps({"steps": len(found), **{name: sum(one["happened"] == name for one in found) for name in (
            "works", "warned", "refused")}, "wrong": [one["name"] for one in found if one["wrong"]],
            "seconds": round(sum(one["seconds"] for one in found), 1)}))
    return any(one["wrong"] for one in found)


if __name__ == "__main__":
    sys.exit(main())
