import csv
import dataclasses
import re
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kgan
from kgan import advice, callbacks, models, progress, report
from kgan.config import Config, ConfigError
from kgan.data import batches, mixtures
from kgan.run import Run

SOURCE = mixtures.source("ring", count=50)


IDLE, USED = [], []  # (GAN, what its variables were when it was new)


def build(new=False):
    """A GAN as it is when it is new: one of an earlier test, whose step has been traced, unless it must be `new`."""
    keras.utils.set_random_seed(3)
    if IDLE and not new:
        gan, start = IDLE.pop()
        gan.reset_metrics()
        gan.scale_learning_rates(1.0)
        for variable, value in start:
            variable.assign(value)
    else:
        gan = kgan.models.build("mlp", (2,), dict(preset="mixture", generator_units=4, discriminator_units=4,
                                                  jit_compile=False), seed=1)
        gan.compile()
        start = [(variable, np.asarray(variable).copy()) for variable in gan.state()]
    if not new:
        USED.append((gan, start))
    return gan


@pytest.fixture(autouse=True)
def idle():
    yield
    IDLE.extend(USED)
    USED.clear()


def fit(gan, *used, start=0, steps=20):
    gan.fit(batches(SOURCE, 8, start=start, repeat=True), steps_per_epoch=steps - start, verbose=0, shuffle=False,
            callbacks=list(used))
    return gan


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "run")
    run.begin({"config": {}})
    return run


class At(keras.callbacks.Callback):
    """Calls a function before the step of that number, from 0."""

    def __init__(self, step, function):
        super().__init__()
        self.step, self.function = step, function

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.step:
            self.function(self.model)


class StubEvaluator:
    """Figures that are told beforehand, one dict a measurement; the first is what the real examples score."""

    def __init__(self, *values, name="frechet_distance"):
        self.values, self.count, self.examples, self.protocol = iter([0.0, *values]), 7, None, {"features": "stub"}
        self.name, self.seen, self.asked, self.given = name, [], None, None

    def figures(self, samples, asked, every=True):
        self.seen.append(samples)
        return {self.name: next(self.values), "modes": 3.0}


# === Evaluate ===

def evaluated(run, values, by="frechet_distance", steps=20, gan=None, arrays=None, every=5):
    evaluate = callbacks.Evaluate(StubEvaluator(*values, name=by), every, steps, by, run)
    fit(gan or build(), callbacks.Checkpoints(run, 5, steps, arrays), evaluate,
        callbacks.Log(run.log, 5, steps, sparse=evaluate.columns), start=5 * (arrays is not None), steps=steps)
    return evaluate


def test_figures_stand_in_the_rows_of_their_steps_alone(run):
    evaluate = evaluated(run, [4.0, 2.0], every=10)
    assert evaluate.columns == ["frechet_distance", "modes"]
    found = rows(run.log)
    assert [(row["step"], row["frechet_distance"], row["modes"]) for row in found] == [
        ("5", "", ""), ("10", "4", "3"), ("15", "", ""), ("20", "2", "3")]
    assert list(found[0])[-2:] == ["frechet_distance", "modes"] and float(found[0]["d_loss"])
    samples = evaluate.evaluator.seen[-1]
    np.testing.assert_array_equal(samples, evaluate.model.generate(7, seed=1))


def test_a_figure_that_cannot_be_measured_ends_nothing(run, capsys):
    """NaN, as the pitches of silence have it, is an empty cell; the best is the best of those that are numbers."""
    evaluate = evaluated(run, [np.nan, 4.0, np.nan, 3.0])
    assert [row["frechet_distance"] for row in rows(run.log)] == ["", "4", "", "3"] and evaluate.best[0] == 20
    assert capsys.readouterr().err.count("frechet_distance cannot be measured") == 2 and run.newest("best")[0] == 20


def test_a_family_adds_figures_of_its_own(run, monkeypatch):
    gan = build()
    monkeypatch.setattr(type(gan), "figures", lambda gan, evaluator, samples, asked=None: {
        "judged": len(samples) + evaluator.count})
    evaluate = callbacks.Evaluate(StubEvaluator(4.0, 2.0), 10, 20, "judged", run, measures={"judged": True})
    fit(gan, evaluate, callbacks.Log(run.log, 10, 20, sparse=evaluate.columns))
    assert evaluate.columns == ["frechet_distance", "modes", "judged"]
    assert [row["judged"] for row in rows(run.log)] == ["14", "14"] and evaluate.best[0] == 10


@pytest.mark.parametrize("by, values, best", [
    ("frechet_distance", [4.0, 2.0, 3.0, 2.0], 10), ("coverage", [0.125, 0.5, 0.75, 0.25], 15)])
def test_the_best_checkpoint_is_kept(run, by, values, best):
    gan = build()
    states = {}
    evaluate = callbacks.Evaluate(StubEvaluator(*values, name=by), 5, 20, by, run)

    class Keep(callbacks.StepCallback):
        def on_step(self, step, logs):
            states[step] = self.model.ema_generator.get_weights()
    fit(gan, evaluate, Keep(5), callbacks.Log(run.log, 5, sparse=evaluate.columns))
    assert [path.name for path in run.checkpoints.glob("best-*")] == [f"best-{best:09d}.npz"]
    assert evaluate.best == (best, {by: values[best // 5 - 1], "modes": 3.0}) and evaluate.latest[0] == 20
    step, arrays = run.newest("best")
    assert step == best
    restored = build()
    kgan.run.restore(restored, arrays)
    for value, wanted in zip(restored.ema_generator.get_weights(), states[best]):
        np.testing.assert_array_equal(value, wanted)


def test_the_best_is_known_again_after_a_resume(run):
    evaluated(run, [1.0], steps=5)
    _, arrays = run.newest()
    evaluate = evaluated(run, [4.0, 2.0, 3.0], arrays=arrays)
    assert evaluate.best[0] == 5 and [path.name for path in run.checkpoints.glob("best-*")] == ["best-000000005.npz"]
    fresh = callbacks.Evaluate(StubEvaluator(), 5, 20, run=run)
    fresh.recall()
    assert fresh.best == evaluate.best and fresh.latest == (20, {"frechet_distance": 3.0, "modes": 3.0})


def test_figures_of_epochs_without_a_run(capsys):
    """In a notebook: they are in `history`, and early stopping knows that smaller ones are better."""
    gan, evaluate = build(), callbacks.Evaluate(StubEvaluator(4.0, 2.0, 3.0))
    stop = keras.callbacks.EarlyStopping(monitor="frechet_distance", patience=1)
    with pytest.raises(ValueError, match="^EarlyStopping.monitor='frechet_distance'.: nothing measures it before; put kgan.callbacks.E"):
        gan.fit(batches(SOURCE, 8), epochs=9, verbose=0, callbacks=[stop, evaluate])
    history = gan.fit(batches(SOURCE, 8), epochs=9, verbose=0, callbacks=[evaluate, stop]).history
    assert history["frechet_distance"] == [4.0, 2.0, 3.0] and evaluate.best[1]["frechet_distance"] == 2.0


def test_nothing_is_measured_where_numbers_end(run):
    evaluate = callbacks.Evaluate(StubEvaluator(1.0), 5, run=run)
    evaluate.set_model(build())
    evaluate.on_step(5, {"d_loss": float("nan")})
    assert len(evaluate.evaluator.seen) == 1 and not list(run.checkpoints.glob("best-*"))  # the real examples alone


def test_best_by_what_is_not_measured(run):
    with pytest.raises(ConfigError, match="evaluate_by=coverage: is not measured.*there are: frechet_distance$"):
        callbacks.Evaluate(StubEvaluator(), 5, by="coverage", run=run)


# === Watch ===

class Stub:
    """What Watch asks of a GAN."""

    key, kind, classes, fields = "image", "image", (), {}

    def __init__(self, samples=None, penalty=None, config=None):
        self.samples, self.penalty, self.config, self.step = samples, penalty, config or Config(), 0
        self.asked = []

    def generate(self, count, seed, given=None):
        self.asked.append((count, seed))
        return self.samples


REAL = np.random.default_rng(0).normal(size=(64, 4, 4, 1)).astype(np.float32)


def drive(watch, gan, rows):
    """Hands `watch` logs as `fit` would, a row each 50 steps."""
    watch.set_model(gan)
    watch.on_train_begin()
    watch.on_epoch_begin(0)
    for i, row in enumerate(rows):
        watch.on_train_batch_end(50 * i + 49, row)
    return watch


def watched(column, values, gan=None):
    """The steps at which warnings are given, for values of one column."""
    watch = callbacks.Watch(np.zeros((2, 1)))  # where real examples are all alike it adds no diversity of its own
    return [step for step, _ in drive(watch, gan or Stub(), [{column: value} for value in values]).warnings]


@pytest.mark.parametrize("examples, wanted", [
    ([[0, 0], [3, 4], [0, 0], [3, 4]], 20 / 6),  # four pairs 5 apart, two 0
    ([[1], [2], [4]], 2),
    (np.array([0, 2, 0, 2])[:, None, None, None] * np.ones((1, 2, 2, 1)), 4 * 4 / 6),  # over all numbers of an image
    ([[1e30], [-1e30]], 2e30),
    (np.full((5, 3), 1000.1, np.float32), 0),
    ([[7, 7]], 0),
])
def test_distance_by_hand(examples, wanted):
    assert callbacks.distance(examples) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("samples, wanted", [(REAL, 1), (REAL[::-1] * 0.5 + 3, 0.5), (np.ones_like(REAL), 0)])
def test_diversity_is_relative_to_real_examples(samples, wanted):
    gan, logs = Stub(samples), [{"d_loss": 1.0}, {"d_loss": 2.0}]
    drive(callbacks.Watch(np.concatenate([REAL, 100 + REAL]), seed=7), gan, logs)  # the first 64 are meant
    assert [row["diversity"] for row in logs] == pytest.approx([wanted, wanted], abs=1e-6)
    assert gan.asked == [(64, 7), (64, 7)]


def test_as_many_samples_as_there_are_real_examples():
    gan = Stub(REAL[:5])
    drive(callbacks.Watch(REAL[:5]), gan, [{}])
    assert gan.asked == [(5, 0)]


@pytest.mark.parametrize("real", [REAL[:1], np.ones((64, 2))])
def test_no_diversity_without_a_difference_to_compare_with(real):
    logs = {"d_loss": 1.0}
    drive(callbacks.Watch(real), Stub(REAL), [logs])
    assert logs == {"d_loss": 1.0}


EARLY = 9  # rows before step 500


def test_d_has_won_after_ten_rows_in_a_row_from_step_500_on():
    assert watched("d_accuracy", [1.0] * (EARLY + 9)) == []
    assert watched("d_accuracy", [1.0] * (EARLY + 10)) == [950]
    assert watched("d_accuracy", [0.995] * 30) == [950] and watched("d_accuracy", [0.994] * 100) == []
    assert watched("d_accuracy", [1.0] * (EARLY + 9) + [0.9] + [1.0] * 9) == []
    assert watched("d_accuracy", [1.0] * (EARLY + 9) + [0.9] + [1.0] * 10) == [1450]


def test_g_has_collapsed_after_three_rows_in_a_row_from_step_500_on():
    assert watched("diversity", [0.0] * (EARLY + 2)) == []
    assert watched("diversity", [0.0] * (EARLY + 3)) == [600]
    assert watched("diversity", [0.29] * 30) == [600] and watched("diversity", [0.3] * 100) == []
    assert watched("diversity", [0.5] * EARLY + [0.1, 0.1, 0.5] * 9) == []


def test_a_warning_comes_once_an_episode_and_three_times_at_most():
    early, bad, good = [0.5] * EARLY, [0.1] * 3, [0.5] * 3
    assert watched("diversity", early + [0.1] * 200) == [600]
    assert watched("diversity", early + bad + good + bad) == [600, 900]
    assert watched("diversity", early + bad + good[1:] + bad * 5) == [600]  # not over yet
    assert watched("diversity", early + (bad + good) * 9) == [600, 900, 1200]


class Translator(Stub):
    """One of images, there and back."""
    fields = {"image": None, "input": None}

    def directions(self, given, real, made):
        return {"": (given["input"], made, real), "_back": (real, -real, given["input"])}


def test_what_tells_of_images_made_of_images():
    """By hand, and with what NumPy has for it."""
    given, real, noise = np.random.default_rng(1).uniform(-1, 1, (3, 6, 4, 5, 2))
    real = real + given  # alike, on the whole
    made = 0.5 * given + 0.2 * noise
    grey = [images.mean(-1).reshape(6, 20) for images in (given, made, real)]
    found = callbacks.translated(given, made, real)
    assert found["correlation"] == pytest.approx(np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(grey[0], grey[1])]))
    assert found["change"] == pytest.approx(np.abs(grey[1] - grey[0]).mean() / np.abs(grey[2] - grey[0]).mean())
    assert found["diversity"] == pytest.approx(callbacks.distance(made) / callbacks.distance(real))
    assert callbacks.translated(given, -given, real)["correlation"] == pytest.approx(-1)
    assert callbacks.translated(given, given, real)["change"] == 0
    assert callbacks.translated(given, np.zeros_like(given), real)["diversity"] == 0
    # a negative is right where real ones are: of partners, and of two sorts on the whole
    assert "correlation" not in callbacks.translated(given, -given, -given)
    bright = np.random.default_rng(2).uniform(0.5, 1, (6, 4, 5, 1)) * np.linspace(1, 2, 20).reshape(1, 4, 5, 1)
    dark = -bright
    assert "correlation" not in callbacks.translated(bright, dark, dark[::-1], paired=False)
    assert "correlation" in callbacks.translated(bright, dark, bright[::-1], paired=False)
    # what has another size, or is no image, is not compared
    assert callbacks.translated(given[:, :2], made, real) == {} == callbacks.translated(given[..., 0], made, real)


@pytest.mark.parametrize("column, value, words", [
    ("diversity", 0.1, "G makes much the same of all inputs"), ("correlation_back", -0.5, "the inverse inverts: "),
    ("correlation", -0.31, "G inverts: .* --seed"), ("change", 0.01, "G gives back what it is given"),
    ("change_back", 0.04, "the inverse gives back")])
def test_translators_that_go_wrong(column, value, words):
    watch = callbacks.Watch(np.zeros((2, 1)))
    drive(watch, Translator(), [{column: value} for _ in range(EARLY + 3)])
    (step, text), = watch.warnings
    assert step == 600 and re.match(words, text)
    assert watched(column, [1.0] * 30, Translator()) == []


def test_both_directions_are_watched():
    logs = [{}]
    drive(callbacks.Watch(REAL, given={"input": REAL}), Translator(REAL), logs)
    assert logs[0]["change"] == 1 and logs[0]["correlation"] == pytest.approx(1) and logs[0]["correlation_back"] == pytest.approx(-1)
    assert logs[0]["diversity"] == logs[0]["diversity_back"] == pytest.approx(1)


TRANSLATORS = {"cyclegan": dict(patch="16", pool=0, blocks=1), "discogan": {}, "styletransfer": dict(patch="10", blocks=1),
               "pix2pixhd": dict(halvings=1, blocks=1, enhancer_blocks=0, discriminators=1), "motion": dict(halvings=1, blocks=1)}


@pytest.mark.parametrize("name", TRANSLATORS)
def test_every_translator_is_watched(name, monkeypatch):
    """By made-up batches: what it makes is inverted, as it was, or all the same; of motion also the frame before."""
    gan = models.build(name, (16, 16, 3), {"filters": 2, "jit_compile": False, **TRANSLATORS[name]})
    gan.compile()
    random = np.random.default_rng(5)
    given = {field: random.uniform(-1, 1, (8, 16, 16, 3)).astype("f") for field in gan.fields if field != "image"}
    image = 0.5 * given["input"] + 0.5 * random.uniform(-1, 1, (8, 16, 16, 3)).astype("f")
    cases = {"G inverts: ": lambda given: -0.8 * given["input"], "G gives back what it is given": lambda given: given["input"],
             "G makes much the same of all inputs": lambda given: np.full_like(given["input"], 0.25)}
    if "before" in given:
        cases["G gives back the frame before"] = lambda given: given["before"]
    for words, make in {"": lambda given: image, **cases}.items():
        monkeypatch.setattr(gan, "generate", lambda count, seed, given: make(given))
        if hasattr(gan, "inverse"):  # the way back does what is right
            monkeypatch.setattr(gan, "applied", lambda network, images: given["input"])
        watch = callbacks.Watch(image, given=given)
        drive(watch, gan, [{} for _ in range(EARLY + 3)])
        assert [text[:len(words)] for _, text in watch.warnings] == [words] * bool(words), (words, watch.warnings)


@pytest.mark.parametrize("gan", [Stub(penalty="r1"), Stub(config=Config(weight_clip=0.01))])
def test_a_bounded_d_may_always_be_right(gan):
    assert watched("d_accuracy", [1.0] * 60, gan) == []
    assert watched("diversity", [0.0] * 60, gan) == [600]


def test_both_warnings_say_what_it_means_and_what_to_try(capsys):
    watch = callbacks.Watch(REAL)
    drive(watch, Stub(np.ones_like(REAL)), [{"d_accuracy": 1.0} for _ in range(EARLY + 10)])
    (at, collapsed), (then, won) = watch.warnings
    assert (at, then) == (600, 950) and collapsed.startswith("G has collapsed: ") and won.startswith("D has won: ")
    assert capsys.readouterr().err == f"warning at step 600: {collapsed}\nwarning at step 950: {won}\n"
    for setting in ("penalty=r1", "loss=relativistic", "instance_noise=linear:0.1:0", "discriminator_learning_rate",
                    "augment=flip+color+translation+cutout"):
        assert setting in won
    for setting in ("loss=relativistic", "penalty=r1+r2", "packing=2", "generator_learning_rate"):
        assert setting in collapsed
    assert "minibatch_std" not in collapsed  # the stub's networks have no such setting


def advised(gan):
    return " ".join([*(alarm.text for alarm in advice.alarms(gan)), advice.not_finite(gan, 1, "d_loss")])


def takes(config_class, **settings):
    """Whether there is such a Config: cyclegan has no penalties, motion no augmentation."""
    try:
        return bool(config_class.of(**settings))
    except ConfigError:
        return False


@pytest.mark.parametrize("name", models.names())
def test_each_model_has_the_settings_that_are_advised(name):
    config_class = models.outline(name).Config
    networks = dict.fromkeys(("generator", "discriminator"), SimpleNamespace(layers=[]))
    for kind in ("image", "points"):
        config = config_class.of()
        text = advised(SimpleNamespace(config=config, penalty=None, kind=kind, classes=(), fields={}, **networks))
        settings = re.findall(r"--set (\w+)=([^;, ]+)", text)
        watched = kind == "image" and not config.weight_clip  # a D that is bounded may win
        assert len(settings) >= (4 if takes(config_class, penalty="r1") else not config.global_clipnorm)
        assert ("augment" in dict(settings)) == (watched and not config.augment and takes(
            config_class, augment="flip+color+translation+cutout"))
        for setting, value in settings:
            config_class.of(**{setting: value})


def test_what_is_done_already_is_not_advised():
    settings = dict(preset="deep", loss="relativistic", penalty="r1+r2", packing=2, minibatch_std=True,
                    instance_noise=0.1, augment="flip", clipnorm=1.0)
    gan = models.build("mlp", (8, 8, 1), settings)
    gan.penalty = None  # so that D is watched, too
    assert re.findall(r"--set [^;]+", advised(gan)) == [
        "--set penalty=r1, or --set loss=relativistic --set penalty=r1+r2", "--set penalty=r1"]
    gan.compile()
    assert "--set" not in advised(gan)


def test_float16_is_told_what_it_needs():
    assert "float16" not in advice.not_finite(build(), 3, "g_loss")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        text = advice.not_finite(build(new=True), 3, "g_loss")
    finally:
        keras.config.set_dtype_policy(before)
    assert text.startswith("g_loss is not a finite number any more (steps up to 3)") and "mixed_bfloat16" in text


def test_the_column_is_the_averaged_generators_and_training_goes_on_as_without(tmp_path):
    real = SOURCE.some(64)
    plain = fit(build(), callbacks.Log(tmp_path / "plain.csv", 6, 20))
    gan = fit(build(), callbacks.Watch(real, 6, 20, seed=4),
              callbacks.Log(tmp_path / "log.csv", 6, 20, tmp_path / "board"))
    for one, other in zip(gan.state(), plain.state(), strict=True):
        np.testing.assert_array_equal(one, other)
    without, log = rows(tmp_path / "plain.csv"), rows(tmp_path / "log.csv")
    assert list(log[0]) == [*without[0], "diversity"]
    assert [{name: row[name] for name in without[0]} for row in log] == without
    wanted = callbacks.distance(gan.generate(50, 4)) / callbacks.distance(real)  # SOURCE has 50
    assert float(log[-1]["diversity"]) == pytest.approx(wanted, rel=1e-6)

    events = [tf.compat.v1.Event.FromString(record.numpy())
              for record in tf.data.TFRecordDataset([str(next((tmp_path / "board").iterdir()))])]
    shown = [(event.step, tf.make_ndarray(value.tensor)) for event in events for value in event.summary.value
             if value.tag == "diversity"]
    assert [(step, f"{value:.9g}") for step, value in shown] == [(int(row["step"]), row["diversity"]) for row in log]


def test_warnings_come_back_from_the_log(tmp_path, capsys):
    """A resumed run warns where the unbroken one does, and its report has the warnings from before."""
    values = [0.5] * EARLY + [0.1] * 5 + [0.5] * 3 + [0.1] * 5
    table = [{"d_accuracy": 0.999, "diversity": value} for value in values]
    whole = drive(callbacks.Watch(np.zeros((2, 1))), Stub(), table)
    assert [step for step, _ in whole.warnings] == [600, 950, 1000]
    said = capsys.readouterr().err
    for cut in (5, 11, 12, 16, 19, len(table)):
        path = tmp_path / f"{cut}.csv"
        path.write_text("step,d_accuracy,diversity\n" + "".join(
            f"{50 * i + 50},{row['d_accuracy']:.9g},{row['diversity']:.9g}\n" for i, row in enumerate(table[:cut])))
        watch, gan = callbacks.Watch(np.zeros((2, 1)), path=path), Stub()
        gan.step = 50 * cut
        drive(watch, gan, table[cut:])
        assert watch.warnings == whole.warnings
        late = [line for line in said.splitlines(True) if int(line.split()[3].strip(":").replace(",", "")) > 50 * cut]
        assert capsys.readouterr().err == "".join(late)


def test_a_line_of_its_own_beside_a_bar_in_a_file(capsys):
    lines = progress._Lines()
    for text in ("\r 5/20 |#    |", "\r10/20 |##   |  "):
        lines.write(text)
    progress.warn("warning at step 10: look")
    for text in ("\r20/20 |#####|", "", "\n"):
        lines.write(text)
    assert capsys.readouterr().err == "5/20 |#    |\n10/20 |##   |\nwarning at step 10: look\n20/20 |#####|\n"


def test_report_lists_warnings(run):
    gan = fit(build(), callbacks.Log(run.log, 10), callbacks.Samples(run.samples, 10, real=SOURCE.some(40)))
    settings = {"model": "mlp", "dataset": "ring", "config": {"steps": 20}, "seed": 1}
    report.finish(run, settings, gan, SOURCE, 20, 1.0, [(1400, "G has collapsed: so. Try this"), (1600, "D has won")])
    lines = run.report.read_text().splitlines()
    at = lines.index("- **Warnings** step 1,400: G has collapsed: so. Try this.")
    assert lines[at + 1] == "- **Warnings** step 1,600: D has won." and lines[at - 1].startswith("- **Settings**")
    report.finish(run, settings, gan, SOURCE, 20, 1.0)
    assert run.report.read_text().splitlines() == lines[:at] + lines[at + 2:]


# === Log ===

def test_log_rows_are_means_since_the_row_before(tmp_path):
    fit(build(), callbacks.Log(tmp_path / "each.csv", 1))
    fit(build(), callbacks.Log(tmp_path / "some.csv", 6, last=20))
    each, some = rows(tmp_path / "each.csv"), rows(tmp_path / "some.csv")
    assert list(some[0]) == ["step", "d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "d_gradient", "g_gradient",
                             "penalty"]
    assert [int(row["step"]) for row in some] == [6, 12, 18, 20] and len(each) == 20
    for name in ("d_loss", "g_loss", "d_real", "d_fake"):
        values = [float(row[name]) for row in each]
        for row, (first, last) in zip(some, [(0, 6), (6, 12), (12, 18), (18, 20)]):
            assert float(row[name]) == pytest.approx(np.mean(values[first:last]), abs=1e-5)


def test_steps_are_counted_through_epochs(tmp_path):
    gan = build()
    gan.fit(batches(SOURCE, 8), epochs=3, verbose=0, callbacks=[  # 6 steps an epoch
        callbacks.Log(tmp_path / "log.csv", every=4), callbacks.Samples(tmp_path, every=9, count=4)])
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [4, 8, 12, 16]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"step-{step:09d}.png" for step in (0, 9, 18)]


def test_several_steps_a_call(tmp_path):
    gan = build(new=True)
    gan.compile(steps_per_execution=5)
    fit(gan, callbacks.Log(tmp_path / "log.csv", every=4, last=20))
    assert [int(row["step"]) for row in rows(tmp_path / "log.csv")] == [5, 10, 15, 20]  # the calls that cross 4, 8, 12…


def test_log_has_what_other_callbacks_add_behind_the_means(tmp_path):
    class Adds(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            logs.update(zebra=batch, ape=-batch, d_what=0.5)
    fit(build(), Adds(), callbacks.Log(tmp_path / "log.csv", 10))
    for row, batch in zip(rows(tmp_path / "log.csv"), (9, 19), strict=True):
        assert list(row)[-4:] == ["penalty", "ape", "d_what", "zebra"]
        assert (row["ape"], row["d_what"], row["zebra"]) == (str(-batch), "0.5", str(batch))


def test_log_stops_where_numbers_end(run, capsys):
    def spoil(gan):
        gan.discriminator.layers[-1].bias.assign([np.nan])
    log = callbacks.Log(run.log, every=1)
    gan = fit(build(), callbacks.Checkpoints(run, every=1), At(3, spoil), log)
    first = 4, "D's loss"
    assert log.not_finite == first and gan.step == 4
    assert [int(row["step"]) for row in rows(run.log)] == [1, 2, 3]
    assert run.newest()[0] == 3  # what is broken is not saved
    assert capsys.readouterr().err == advice.not_finite(gan, 4, "d_loss", first) + "\n"


def test_log_names_what_came_first(run, capsys):
    samples = np.array(SOURCE.arrays["sample"])
    samples[7] = np.nan
    broken = dataclasses.replace(SOURCE, arrays={"sample": samples})
    log = callbacks.Log(run.log, every=6)
    build().fit(batches(broken, 8, repeat=True), steps_per_epoch=12, verbose=0, callbacks=[callbacks.Checkpoints(run, 6), log])
    order = np.random.default_rng([0, 0]).permutation(50)
    first = 1 + int(np.flatnonzero(order == 7)[0]) // 8
    assert log.not_finite == (first, "the real examples") and not run.log.exists() and run.newest()[0] == 0
    assert f"(steps up to 6; first the real examples at step {first}); training stops. Mend the data" in capsys.readouterr().err


def test_a_signal_where_numbers_have_ended(run):
    def spoil(gan):
        gan.discriminator.layers[-1].bias.assign([np.nan])
    checkpoints, log = callbacks.Checkpoints(run, every=2), callbacks.Log(run.log, every=10)
    fit(build(), checkpoints, At(3, spoil), At(5, lambda _: signal.raise_signal(signal.SIGTERM)), log,
        callbacks.Interrupt(checkpoints))
    assert log.not_finite == (4, "D's loss") and run.newest()[0] == 2


def test_rollbacks_lower_the_learning_rates(run):
    def rates(gan):
        return np.array([float(gan.generator_optimizer.learning_rate), float(gan.discriminator_optimizer.learning_rate)])
    gan = fit(build(), callbacks.Checkpoints(run, 10), callbacks.Samples(run.samples, 10, count=4), steps=10)
    assert run.roll_back(15, "D's loss") == run.roll_back(18, "G's loss") == 10
    again = build()
    callbacks.Checkpoints(run, 10, 20, run.newest()[1]).recall(again)
    np.testing.assert_array_equal(rates(again), rates(gan) / 4)
    report.finish(run, {"model": "mlp", "dataset": "ring", "config": {}, "seed": 1}, again, SOURCE, 10, 1.0)
    assert "- **Rolled back** from step 18, where G's loss was not finite, to step 10;" in run.report.read_text()


def test_log_stops_where_samples_end(run):
    class Spoil(keras.callbacks.Callback):  # by the update itself: the losses are from before
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                self.model.ema_generator.layers[-2].bias.assign([np.nan, 0])
    log = callbacks.Log(run.log, every=1)
    gan = fit(build(), callbacks.Checkpoints(run, every=1), Spoil(), callbacks.Watch(SOURCE.some(64), 1), log)
    assert log.not_finite == (4, "diversity") and gan.step == 4
    assert [int(row["step"]) for row in rows(run.log)] == [1, 2, 3] and run.newest()[0] == 3


# === Checkpoints ===

@pytest.mark.parametrize("every", [5, 10, 7])
def test_going_on_from_a_checkpoint(run, tmp_path, every):
    """At, and between, log rows: a checkpoint at a row's step holds the means of the next row, and the row is there."""
    whole = Run(tmp_path / "whole")
    whole.begin({"config": {}})
    real = SOURCE.some(64)
    unbroken = fit(build(), callbacks.Checkpoints(whole, every, 20), callbacks.Watch(real, 5, 20, path=whole.log),
                   callbacks.Log(whole.log, 5, 20))

    class Killed(BaseException):
        pass

    def kill(_):
        raise Killed
    watch = callbacks.Watch(real, 5, 20, path=run.log)
    used = callbacks.Checkpoints(run, every, 20), watch, callbacks.Log(run.log, 5, 20)
    with pytest.raises(Killed):
        fit(build(), *used, At(12, kill))
    step, arrays = run.newest()
    assert step == {5: 10, 10: 10, 7: 7}[every]
    run.truncate_log(step)
    again = build()
    fit(again, callbacks.Checkpoints(run, every, 20, arrays), callbacks.Watch(real, 5, 20, path=run.log),
        callbacks.Log(run.log, 5, 20), start=step)
    assert run.log.read_text() == whole.log.read_text()
    for one, other in zip(again.state(), unbroken.state(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(run.newest()[1].items(), whole.newest()[1].items(), strict=True):
        assert one[0] == "elapsed" or one[1].tobytes() == other[1].tobytes(), one[0]


def test_elapsed_time_goes_on(run):
    fit(build(), callbacks.Checkpoints(run, 10, 10), steps=10)
    _, arrays = run.newest()
    assert 0 < arrays["elapsed"] < 100
    arrays["elapsed"] = np.float64(1000)
    checkpoints = callbacks.Checkpoints(run, 10, 20, arrays)
    fit(build(), checkpoints, start=10)
    assert 1000 < float(run.newest()[1]["elapsed"]) <= checkpoints.elapsed < 1100


# === Interrupt ===

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_with_a_checkpoint(run, number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    checkpoints = callbacks.Checkpoints(run, 1000)
    interrupt = callbacks.Interrupt(checkpoints)
    gan = fit(build(), checkpoints, At(6, lambda _: signal.raise_signal(number)), interrupt)
    assert interrupt.signal == number and gan.step == 7 and run.newest()[0] == 7
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_ctrl_c_ends_at_once(run):
    def twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    checkpoints = callbacks.Checkpoints(run, 1000)
    with pytest.raises(KeyboardInterrupt):
        fit(build(), checkpoints, At(6, twice), callbacks.Interrupt(checkpoints))


# === Samples ===

def test_samples_are_of_the_same_noise(tmp_path):
    gan = fit(build(), callbacks.Samples(tmp_path, 10, 15, real=SOURCE.some(40), count=30, seed=9), steps=15)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "real.png", *(f"step-{step:09d}.png" for step in (0, 10, 15))]
    last = (tmp_path / "step-000000015.png").read_bytes()
    callback = callbacks.Samples(tmp_path, 10, real=SOURCE.some(40), count=30, seed=9)
    callback.set_model(gan)
    callback.on_step(16, {})
    assert (tmp_path / "step-000000016.png").read_bytes() == last
    callback.seed = 8
    callback.on_step(17, {})
    assert (tmp_path / "step-000000017.png").read_bytes() != last
    with Image.open(tmp_path / "step-000000017.png") as picture:
        assert picture.mode == "RGB" and min(picture.size) > 200


# === Profile, Clock ===

def test_a_profile_is_of_its_steps(tmp_path, monkeypatch):
    seen = []
    for name in ("start", "stop"):
        call = getattr(tf.profiler.experimental, name)
        monkeypatch.setattr(tf.profiler.experimental, name, lambda *args, name=name, call=call: (seen.append(
            (name, gan.step)), call(*args)))
    gan = build()
    fit(gan, callbacks.Profile(tmp_path, 3, 5), steps=8)
    assert seen == [("start", 2), ("stop", 5)]
    assert [path.suffixes for path in tmp_path.glob("plugins/profile/*/*")] == [[".xplane", ".pb"]]
    fit(gan, callbacks.Profile(tmp_path, 11, 99), start=8, steps=12)  # the run ends before
    assert seen[2:] == [("start", 10), ("stop", 12)]
    fit(gan, callbacks.Profile(tmp_path, 3, 5), start=12, steps=14)  # it is past them
    assert len(seen) == 4


def test_where_the_time_goes(monkeypatch):
    clock, now = callbacks.Clock(), [0.0]
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: now[0])
    assert clock.describe() == ""
    for batch, call, between in ((3, 10.0, 1.0), (7, 2.0, 5.0), (11, 4.0, 2.0)):  # four steps a call
        clock.begin.on_train_batch_begin(batch)
        now[0] += call
        clock.end.on_train_batch_end(batch)
        now[0] += between
    assert (clock.first, clock.updates, clock.steps, clock.others) == (10, 6, 8, 6)
    assert clock.describe() == ("750 ms a step; of all 22 s 45 % went into the first call (tracing, compiling), 27 % into updates, "
                                "27 % into pictures, measures, checkpoints and logs")


# === Progress ===

def test_speed_is_that_since_the_last_line(monkeypatch):
    """Ten steps of 64 in two seconds, whatever the first one took."""
    said = []
    progress = callbacks.Progress(steps=11, batch_size=64)
    progress.set_model(SimpleNamespace(step=0, metrics=[], phase_of=lambda step: ""))
    progress._first = 0
    progress._bar = SimpleNamespace(mininterval=15, last_print_t=100.0, last_print_n=1, n=10, update=lambda by: None, format_dict={"ncols": None},
                                    set_postfix_str=lambda text, refresh: said.append(text.strip()))
    monkeypatch.setattr(callbacks.time, "time", lambda: 102.0)
    progress.on_train_batch_end(5, {})
    assert not said
    progress.on_train_batch_end(10, {})
    assert said == ["320 img/s"]


# === What people add ===

def test_training_stops_when_nothing_gets_better(run):
    evaluate = callbacks.Evaluate(StubEvaluator(4.0, 2.0, 3.0, 2.5, 1.0), 5, 25, run=run, patience=2)
    gan = fit(build(), callbacks.Checkpoints(run, 5, 25), evaluate, callbacks.Log(run.log, 5, 25, sparse=evaluate.columns), steps=25)
    assert gan.step == 20 and evaluate.stopped and evaluate.best[0] == 10
    again = callbacks.Evaluate(StubEvaluator(), 5, 25, run=run, patience=2)
    again.recall()
    assert again.stopped and again.best == evaluate.best
    again = callbacks.Evaluate(StubEvaluator(), 5, 25, run=run, patience=3)
    again.recall()
    assert not again.stopped


def test_tensorboard_has_the_sheets(run, tmp_path):
    (run.samples).mkdir(exist_ok=True)
    fit(build(), callbacks.Samples(run.samples, 10, 20, count=4, tensorboard=tmp_path / "board"), steps=20)
    found = {}
    for path in sorted((tmp_path / "board").iterdir()):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[event.step] = tf.io.decode_png(value.tensor.string_val[2]).numpy()
    assert sorted(found) == [0, 10, 20]
    with Image.open(run.samples / "step-000000020.png") as picture:
        np.testing.assert_array_equal(found[20], np.asarray(picture.convert("RGB")))


def test_callbacks_of_the_users_own(command, tmp_path):
    (tmp_path / "mine.py").write_text("""import keras
class Write(keras.callbacks.Callback):
    def __init__(self, text): super().__init__(); self.text = text
    def on_train_batch_end(self, batch, logs=None): open("seen", "a").write(f"{self.text} {batch} {'g_loss' in logs}\\n")
def made(run_dir, settings): return [Write(f"{run_dir} {settings['model']}")]
def none(): return 3
""")
    flags = ["--model=mlp", "--dataset=ring", "--set=preset=mixture", "--set=generator_units=4", "--set=discriminator_units=4",
             "--steps=2", "--batch_size=4", "--set=jit_compile=false", "--set=steps_per_execution=1",
             "--run_dir=run"]
    done = command("train.py", *flags, "--callback=mine:made", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seen").read_text() == "run mlp 0 True\nrun mlp 1 True\n"
    for name, words in (("mine:none", "returned int"), ("mine:nope", "no attribute 'nope'"), ("nope", "No module")):
        done = command("train.py", *flags, "--overwrite", f"--callback={name}", cwd=tmp_path)
        assert done.returncode == 2 and f"--callback={name}" in done.stderr and words in done.stderr and len(done.stderr.splitlines()) == 1
