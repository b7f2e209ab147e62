"""train.py as a user meets it, in processes of its own: what it leaves, and what interruptions do to it."""
import csv
import json
import re
import shutil
import signal
import time

import keras
import numpy as np
import pytest
from PIL import Image

from kgan import models

COLUMNS = ["d_loss", "g_loss", "d_real", "d_fake", "d_accuracy", "d_gradient", "g_gradient", "diversity"]


def rows(run):
    with open(run / "log.csv", newline="") as file:
        return list(csv.reader(file))


def last_checkpoint(run):
    """(step, dict of arrays) of the newest."""
    path = max((run / "checkpoints").glob("step-*.npz"))
    with np.load(path) as file:
        return int(path.stem.removeprefix("step-")), {name: file[name] for name in file.files}


def contents(folder):
    """Relative path -> bytes of every file below."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same_run(run, other):
    """Bit for bit: last checkpoint, log, pictures."""
    (step, arrays), (other_step, other_arrays) = last_checkpoint(run), last_checkpoint(other)
    assert step == other_step and arrays.keys() == other_arrays.keys()
    for name in arrays:
        assert name == "elapsed" or arrays[name].tobytes() == other_arrays[name].tobytes(), name
    assert (run / "log.csv").read_text() == (other / "log.csv").read_text()
    pictures, others = ({path.name: path.read_bytes() for path in (one / "samples").glob("*.png")} for one in (run, other))
    assert pictures.keys() == others.keys()
    assert [name for name in pictures if pictures[name] != others[name]] == []


def stop(process, run, lines, number):
    """Sends a signal once log.csv has that many lines. Returns (exit status, stdout, stderr)."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if (run / "log.csv").exists() and (run / "log.csv").read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.002)
    process.send_signal(number)
    output, errors = process.communicate(timeout=200)
    return process.returncode, output, errors


# === What a run leaves ===

def test_a_run_that_gets_no_better_before_its_first_checkpoint(command, tmp_path):
    settings = dict(preset="mixture", generator_units="4", discriminator_units="4", evaluate_count="40", log_every="1",
                    jit_compile="false", steps_per_execution="1", generator_learning_rate="1e-6")
    done = command("train.py", "--model=mlp", "--dataset=ring", "--steps=90", "--batch_size=4", "--evaluate_every=1", "--stop_after=1",
                   "--run_dir=run", *(f"--set={name}={value}" for name, value in settings.items()), cwd=tmp_path)
    assert done.returncode == 0 and "stopped    at step " in done.stdout, done.stderr
    step = int(re.search(r"stopped    at step (\d+)", done.stdout)[1])
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == [f"step-{step:09d}.npz"]
    assert step < 90 and (tmp_path / "run" / "export" / "saved_model").is_dir()


def test_evaluate_every(command, tmp_path):
    """Columns, the best checkpoint, the report, its export; interrupted and resumed the same as unbroken."""
    flags = ["--model=mlp", "--dataset=ring", "--steps=300", "--evaluate_every=100", "--seed=3", "--batch_size=32"]
    flags += [f"--set={setting}" for setting in ("preset=mixture", "generator_units=8", "discriminator_units=8", "log_every=50",
                                                 "checkpoint_every=50", "sample_every=300", "evaluate_count=500",
                                                 "jit_compile=false", "steps_per_execution=1")]
    done = command("train.py", *flags, "--run_dir=whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *found = rows(tmp_path / "whole")
    at = header.index("frechet_distance")
    assert {"recall", "coverage", "kernel_distance_error"} < set(header[at:])
    assert [(row[0], bool(row[at])) for row in found] == [("50", False), ("100", True), ("150", False), ("200", True),
                                                          ("250", False), ("300", True)]
    figures = {int(row[0]): float(row[at]) for row in found if row[at]}
    best = min(figures, key=figures.get)
    assert [path.name for path in (tmp_path / "whole" / "checkpoints").glob("best-*")] == [f"best-{best:09d}.npz"]
    report = (tmp_path / "whole" / "report.md").read_text()
    assert f"best by frechet_distance: step {best:,}" in report and f"| frechet_distance | {figures[300]:.4g} |" in report

    process = command("train.py", *flags, "--run_dir=cut", cwd=tmp_path, wait=False)
    stop(process, tmp_path / "cut", 4, signal.SIGKILL)
    assert process.returncode
    done = command("train.py", *flags, "--run_dir=cut", cwd=tmp_path)
    assert done.returncode == 0 and "resumed" in done.stdout, done.stderr
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    kept, again = (np.load(tmp_path / run / "checkpoints" / f"best-{best:09d}.npz") for run in ("whole", "cut"))
    assert all(np.array_equal(kept[name], again[name]) for name in kept.files if name != "elapsed")

    done = command("-m", "export", "whole", "--checkpoint=best", cwd=tmp_path)
    assert done.returncode == 0 and f"step {best:,}" in done.stdout, done.stderr


def test_what_cannot_be_measured_leaves_nothing(command, tiny, tmp_path):
    done = command("train.py", *tiny, "--evaluate_every=7", "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 2 and "14 pixels" in done.stderr and not (tmp_path / "run").exists()


def test_what_a_run_leaves(finished):
    settings = json.loads((finished / "config.json").read_text())
    assert settings["model"] == "dcgan" and settings["seed"] == 5 and settings["shape"] == [8, 8, 3]
    assert settings["config"]["filters"] == 4 and settings["config"]["steps"] == 200 and settings["flip"] is True

    header, *log = rows(finished)
    assert header == ["step", *COLUMNS]
    assert [int(row[0]) for row in log] == [*range(7, 200, 7), 200]
    assert all(np.isfinite([float(value) for value in row]).all() for row in log)

    assert sorted(path.name for path in (finished / "samples").iterdir()) == sorted(
        ["real.png", "progress.gif", *(f"step-{step:09d}.png" for step in range(0, 201, 40))])
    with Image.open(finished / "samples" / "progress.gif") as film:
        film.load()
        assert film.n_frames > 1
    with Image.open(finished / "samples" / "step-000000200.png") as grid, \
            Image.open(finished / "samples" / "step-000000000.png") as first:
        assert grid.size == first.size and grid.tobytes() != first.tobytes()

    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == [
        f"step-{step:09d}.npz" for step in (180, 190, 200)]
    assert list((finished / "tensorboard").iterdir())
    report = (finished / "report.md").read_text()
    assert "200 steps" in report and "samples/step-000000200.png" in report and "filters=4" in report
    assert (finished / "losses.png").exists()
    assert (finished / "export" / "saved_model" / "saved_model.pb").exists()
    assert not [path for path in finished.rglob(".*") if path.name != ".lock"]


def test_what_a_run_says(finished):
    said = (finished.parent / "stdout").read_text()
    for word in ("dcgan", "22 of 8×8×3", "filters=4", "200 steps of 4", "export/saved_model", "report.md"):
        assert word in said


# === Interruptions ===

@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["twice", "again and again"])
def test_interrupted_again_and_again_is_unbroken(command, finished, tmp_path, again):
    """Also: --config repeats a run. Once one process is a new one, which shares nothing with the others."""
    run = tmp_path / "run"
    repeat = ["train.py", f"--config={finished / 'config.json'}", f"--run_dir={run}"]
    status, _, errors = stop(command(*repeat, cwd=tmp_path, wait=False), run, 5, signal.SIGKILL)
    assert status == -signal.SIGKILL, errors

    # intervals of 7 steps, and one step in 7 ends one: these stop in the middle of one, most likely
    for lines, number in [(13, signal.SIGTERM), (19, signal.SIGINT)][:1 + again]:
        status, output, errors = stop(command(*repeat, cwd=tmp_path, wait=False, fresh=again), run, lines, number)
        assert status == 128 + number, errors
        step, _ = last_checkpoint(run)
        assert step >= 7 * (lines - 1) and f"stopped at step {step}" in output and "Traceback" not in errors
        assert not (run / "export").exists()

    if again:
        status, output, _ = stop(command(*repeat, cwd=tmp_path, wait=False), run, 24, signal.SIGKILL)
        assert status == -signal.SIGKILL and f"resumed    at step {step}" in output
    done = command(*repeat, cwd=tmp_path)
    assert done.returncode == 0 and "resumed    at step" in done.stdout, done.stderr
    assert_same_run(run, finished)
    assert (run / "export" / "saved_model" / "saved_model.pb").exists()


@pytest.mark.slow
def test_interrupted_with_xla_and_several_steps_a_call(command, tmp_path):
    flags = ["train.py", "--model=mlp", "--dataset=ring", "--set=preset=mixture", "--batch_size=8", "--steps=600",
             *(f"--set={name}={value}" for name, value in dict(
                 generator_units=8, discriminator_units=8, penalty="none", jit_compile=True, steps_per_execution=5,
                 log_every=20, sample_every=200, checkpoint_every=100).items())]
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = command(*flags, f"--run_dir={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    flags.append(f"--run_dir={run}")
    status, output, errors = stop(command(*flags, cwd=tmp_path, wait=False), run, 4, signal.SIGTERM)
    step, _ = last_checkpoint(run)
    assert status == 143 and step % 5 == 0 and f"stopped at step {step}" in output, errors
    status, _, errors = stop(command(*flags, cwd=tmp_path, wait=False), run, step // 20 + 9, signal.SIGKILL)
    assert status == -signal.SIGKILL, errors
    # the newest checkpoint is damaged, too: the one before has to do
    newest = max((run / "checkpoints").glob("step-*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])
    done = command(*flags, cwd=tmp_path)
    assert done.returncode == 0 and f"{newest} is broken and passed over" in done.stderr
    assert_same_run(run, whole)


# === The same directory again ===

def test_the_same_command_after_the_end(command, tiny, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    before = contents(run)
    done = command("train.py", *tiny, "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 0 and "complete   200 steps" in done.stdout, done.stderr
    after = contents(run)
    assert after.keys() == before.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert all(name in (".lock", "report.md") or name.startswith("export/") for name in changed), changed


def test_other_settings_are_refused(command, tiny, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    before = contents(run)
    for flags, words in (([*tiny, "--set=filters=8", "--seed=6", "--noflip", "--steps=100"], [
            "filters: 4 there, 8 now", "seed: 5 there, 6 now", "flip: True there, False now", "steps: 200 there, 100 now"]),
            (["--model=mlp", tiny[1]], ["model: dcgan there, mlp now"])):
        done = command("train.py", *flags, "--run_dir=run", cwd=tmp_path)
        assert done.returncode == 2 and "--overwrite" in done.stderr and "Traceback" not in done.stderr
        assert all(word in done.stderr for word in words), done.stderr
    assert contents(run) == before


@pytest.mark.slow
def test_longer_then_anew(command, tiny, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    done = command("train.py", *tiny, "--steps=210", "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 0 and "resumed    at step 200" in done.stdout, done.stderr
    assert [int(row[0]) for row in rows(run)[-3:]] == [200, 203, 210] and rows(run)[:-2] == rows(finished)
    assert json.loads((run / "config.json").read_text())["config"]["steps"] == 210

    (run / "notes.txt").write_text("mine")
    done = command("train.py", *tiny, "--steps=14", "--run_dir=run", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0 and "resumed" not in done.stdout, done.stderr
    assert rows(run) == rows(finished)[:3]  # the same beginning
    assert [path.name for path in sorted((run / "samples").glob("step-*"))] == ["step-000000000.png", "step-000000014.png"]
    assert (run / "notes.txt").read_text() == "mine"


# === Nothing left behind ===

def test_dry_run(command, tiny, tmp_path):
    done = command("train.py", *tiny, "--run_dir=run", "--dry_run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("Conv2DTranspose", "Conv2D", "MFLOP", "22 of 8×8×3", "200 steps of 4", "noise_dim=8"):
        assert word in done.stdout, word
    assert re.search(r"time +[\d.]+ s to the first step, then [\d.]+ ms a step: about [\d.]+ minutes for 200 steps", done.stdout)
    assert re.search(r"memory +\d+\.\d GB of main memory", done.stdout)
    # 8·4·4·4 dense, 4·4 BN, 4·4·4·3 + 3 transposed convolution
    assert "generator 723 parameters" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be(command, tiny, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    for place in (["file", "--overwrite"], ["file/run"], ["full", "--overwrite"]):
        done = command("train.py", *tiny, "--run_dir", *place, cwd=tmp_path)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert done.stderr.startswith("train.py: ") and place[0] in done.stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["file", "full", "full/thesis.tex"]


@pytest.mark.parametrize("flags, words", [
    (["--image_size=6x12"], ["image_size=6x12", "nearest size is 8x12"]),
    (["--batch_size=23"], ["22 examples", "batch"]),
])
def test_what_the_data_do_not_allow(command, tiny, tmp_path, flags, words):
    done = command("train.py", *tiny, *flags, "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_going_back_where_numbers_end(command, tmp_path):
    """And what follows a rollback is the same after an interruption."""
    settings = dict(preset="mixture", generator_units=8, discriminator_units=8, jit_compile=False, loss="least_squares",
                    noise_dim=2, binary_noise=0, init_scale=1, penalty="none", drift_weight="linear:0:.1:.4:.5",
                    optimizer="sgd", generator_learning_rate="step:.01:.4:.5", discriminator_learning_rate="step:.01:.4:.5",
                    log_every=2, sample_every=10, checkpoint_every=10)
    flags = ["train.py", "--model=mlp", "--dataset=ring", "--batch_size=32", "--steps=60", "--on_nan=rollback",
             *(f"--set={name}={value}" for name, value in settings.items())]
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = command(*flags, "--overwrite", f"--run_dir={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rollbacks = json.loads((whole / "rollbacks.json").read_text())
    assert [each["to"] for each in rollbacks] == [40, 30] and all(40 < each["at"] < 50 for each in rollbacks), rollbacks
    assert "training stops" in done.stderr and "back to step 30, with half the learning rates" in done.stderr
    assert f"- **Rolled back** from step {rollbacks[0]['at']}, where" in (whole / "report.md").read_text()
    assert [int(row[0]) for row in rows(whole)[1:]] == [*range(2, 61, 2)]

    shutil.copytree(whole, run)
    (run / "checkpoints" / "step-000000060.npz").unlink()
    done = command(*flags, f"--run_dir={run}", cwd=tmp_path)
    assert done.returncode == 0 and "resumed    at step 50" in done.stdout and "back to" not in done.stderr, done.stderr
    assert_same_run(run, whole)


def test_nan_that_no_rollback_mends(command, tiny, tmp_path):
    run = tmp_path / "run"
    done = command("train.py", *tiny, "--set=optimizer=sgd", "--set=generator_learning_rate=linear:1e-4:1e30",
                   "--set=log_every=1", "--set=checkpoint_every=1", "--run_dir=run", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "not a finite number" in done.stderr and "the checkpoints are from before" in done.stderr
    assert all(setting in done.stderr for setting in ("generator_learning_rate", "penalty=r1", "global_clipnorm=1"))
    assert "Traceback" not in done.stderr
    assert not (run / "export").exists()
    assert all(np.isfinite([float(value) for value in row]).all() for row in rows(run)[1:])
    for path in (run / "checkpoints").glob("step-*.npz"):
        with np.load(path) as file:
            assert all(np.isfinite(file[name]).all() for name in file.files), path.name


# === Every model, with nothing but its name ===

@pytest.fixture
def quickly(tmp_path):
    """Flags by model: advgan is given a classifier, for its own learns for a minute: see test_classifiers.py."""
    pixels = keras.Input((28, 28, 1))
    keras.Model(pixels, keras.layers.Dense(10)(keras.layers.Flatten()(pixels))).save(tmp_path / "classifier.keras")
    return {"advgan": ["--set=classifier=classifier.keras"]}


@pytest.mark.slow
@pytest.mark.parametrize("model", models.names())
def test_a_model_needs_no_data_of_the_users(command, tmp_path, quickly, model):
    """Two steps from the command line to a checked SavedModel, with the built-in data and the default networks."""
    done = command("train.py", f"--model={model}", "--steps=2", "--batch_size=4", "--set=sample_every=2", "--set=checkpoint_every=2",
                   "--set=log_every=1", "--run_dir=run", *quickly.get(model, ()), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "export" / "saved_model" / "saved_model.pb").exists()
    assert (tmp_path / "run" / "samples" / "step-000000002.png").stat().st_size > 500
