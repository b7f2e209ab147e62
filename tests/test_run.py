import dataclasses
import io
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kgan import models, run
from kgan.run import Run, RunError

SMALL = dict(preset="mixture", generator_units="4", discriminator_units="4", jit_compile=False)


def settings(**changes):
    config = {"steps": 100, "batch_size": 8, "units": [4, 2], **changes.pop("config", {})}
    return {"kgan": "0.1.0", "model": "mlp", "dataset": "ring", "data_dir": None, "manual_dir": None, "seed": 0,
            "shape": [2], "config": config, **changes}


def tiny(**changes):
    gan = models.build("mlp", (2,), {**SMALL, **changes})
    gan.compile()
    return gan


@pytest.fixture(scope="module")
def gan():
    return tiny()


@pytest.fixture
def begun(tmp_path):
    one = Run(tmp_path / "run")
    one.begin(settings())
    return one


# === Settings ===

def test_looking_changes_nothing(tmp_path):
    one = Run(tmp_path / "a" / "run")
    assert one.settings() is None
    one.check(settings())
    assert list(tmp_path.iterdir()) == []


def test_begin(begun):
    assert json.loads((begun.directory / "config.json").read_text()) == begun.settings() == settings()
    begun.check(settings())
    assert begun.newest() == (0, None)


def test_differences_are_refused_and_shown(begun):
    with pytest.raises(RunError) as error:
        begun.check(settings(seed=7, config={"batch_size": 16, "loss": "hinge"}))
    message = str(error.value)
    assert str(begun.directory) in message and "--overwrite" in message
    for line in ("seed: 0 there, 7 now", "batch_size: 8 there, 16 now", "loss: non_saturating there, hinge now"):
        assert line in message
    assert "steps" not in message and begun.settings() == settings()
    begun.check(settings(seed=7), overwrite=True)


def test_what_may_differ(begun):
    begun.check(settings(kgan="9.9", data_dir="/elsewhere", manual_dir="/there"))
    begun.check(settings(config={"steps": 101}))
    begun.check(settings(config={"units": (4, 2)}))  # JSON has no tuples
    with pytest.raises(RunError, match="steps: 100 there, 99 now"):
        begun.check(settings(config={"steps": 99}))


def test_settings_that_are_damaged(begun):
    (begun.directory / "config.json").write_text('{"model": ')
    with pytest.raises(RunError, match="cannot read .*config.json"):
        begun.check(settings())


# === The directory ===

def test_overwrite_deletes_the_run_alone(begun, gan):
    begun.save(gan, 10)
    begun.log.write_text("step\n")
    begun.report.write_text("x")
    (begun.directory / "export" / "saved_model").mkdir(parents=True)
    (begun.directory / "tensorboard").mkdir()
    (begun.samples / "step-000000010.png").write_bytes(b"x")
    for name in ("attack.json", "harden.json", "hardened.keras", "augment.json", "augment-rare-40.json", "pretrain.json", "classifier.keras"):
        (begun.directory / name).write_text("of the run before")
    (begun.directory / "notes.txt").write_text("mine")
    (begun.directory / "other").mkdir()
    begun._lock.close()
    again = Run(begun.directory)
    again.begin(settings(seed=3), overwrite=True)
    assert sorted(path.name for path in again.directory.iterdir()) == [
        ".lock", "checkpoints", "config.json", "notes.txt", "other", "samples"]
    assert again.settings()["seed"] == 3 and again.newest() == (0, None) and not list(again.samples.iterdir())


def test_a_killed_overwrite_leaves_no_other_run(begun, gan, monkeypatch):
    begun.save(gan, 10)

    class Killed(BaseException):
        pass

    def kill(path):
        raise Killed
    monkeypatch.setattr(run.shutil, "rmtree", kill)
    begun._lock.close()
    with pytest.raises(Killed):
        Run(begun.directory).begin(settings(seed=3), overwrite=True)
    with pytest.raises(RunError, match="seed: 0 there, 3 now"):  # and does not go on from the old run's checkpoints
        Run(begun.directory).check(settings(seed=3))
    assert begun.newest()[0] == 10


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_of_something_else(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="other files and no run"):
        Run(tmp_path).check(settings(), overwrite)


@pytest.mark.parametrize("names", [[], [".DS_Store"], [".lock"]])
def test_an_empty_directory_will_do(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("")
    Run(tmp_path).check(settings())
    Run(tmp_path).begin(settings())


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot write to .*--run_dir"):
            Run(place).begin(settings())
        with pytest.raises(RunError):
            Run(place).check(settings())


HOLD = """
import sys, time
from kgan.run import Run
run = Run(sys.argv[1])
run.begin({"config": {}})
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(run.fcntl is None, reason="no locks here")
def test_lock(command, tmp_path):
    place = tmp_path / "run"
    other = command("-c", HOLD, place, cwd=Path(run.__file__).parents[1], wait=False, fresh=True)
    try:
        assert other.stdout.readline() == "held\n"
        before = (place / "config.json").read_bytes()
        with pytest.raises(RunError, match=f"in use by process {other.pid}"):
            Run(place).begin(settings(), overwrite=True)
        assert (place / "config.json").read_bytes() == before
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    mine = Run(place)
    mine.begin(settings())  # the lock went with the process
    assert (place / ".lock").read_text() == str(os.getpid()) and mine.settings() == settings()


# === Checkpoints ===

def randomize(gan, seed):
    rng = np.random.default_rng(seed)
    for variable in gan.state():
        variable.assign(rng.integers(0, 100, variable.shape))


def bits(gan):
    return [np.asarray(variable).tobytes() for variable in gan.state()]


def test_a_checkpoint_is_everything(begun, gan):
    randomize(gan, 1)
    wanted = bits(gan)
    begun.save(gan, 12, elapsed=3.5)
    other = tiny()
    randomize(other, 2)
    step, arrays = begun.newest()
    assert step == 12 and float(arrays["elapsed"]) == 3.5
    run.restore(other, arrays)
    assert bits(other) == wanted


def test_the_newest_three_are_kept(begun, gan):
    for step in (5, 10, 99, 100, 1000):
        begun.save(gan, step)
    assert sorted(path.name for path in begun.checkpoints.iterdir()) == [
        "step-000000099.npz", "step-000000100.npz", "step-000001000.npz"]
    assert begun.newest()[0] == 1000


def flip_bit(data):
    # of the numbers of the largest variable: the middle of the file may be a date between two of them, which harms nothing
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    place = largest.header_offset + 30 + len(largest.filename) + largest.file_size // 2
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1:]


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:1], lambda data: data[:-1], lambda data: data[:len(data) // 2],
    lambda data: bytes(len(data)), lambda data: data[:300] + bytes(len(data) - 300), flip_bit,
    lambda data: b"no archive at all", lambda data: data[100:]],
    ids=["empty", "one byte", "last byte", "half", "zeros", "zeros after the first", "a bit", "text", "no beginning"])
def test_a_broken_checkpoint_is_passed_over(begun, gan, damage):
    for step in (10, 20):
        randomize(gan, step)
        begun.save(gan, step)
    newest = begun.checkpoints / "step-000000020.npz"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match="step-000000020.npz is broken and passed over"):
        step, arrays = begun.newest()
    assert step == 10
    run.restore(gan, arrays)
    other = tiny()
    randomize(other, 10)
    assert bits(gan) == bits(other)


def test_every_flipped_bit_is_noticed_or_harmless(begun, gan):
    """A damaged file never ends training with an error, nor with other numbers."""
    randomize(gan, 1)
    begun.save(gan, 10)
    path = begun.checkpoints / "step-000000010.npz"
    whole = path.read_bytes()
    _, sound = begun.newest()
    rng = np.random.default_rng(0)
    # the headers, where a wrong length or type does most harm: the first array's, and the directory at the end
    places = np.concatenate([np.arange(200), len(whole) - 1 - np.arange(200), rng.integers(0, len(whole), 150)])
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << rng.integers(8))]) + whole[place + 1:])
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(run.warnings, "warn", lambda *_, **__: None)
                _, arrays = begun.newest()
        except RunError:
            continue
        if arrays.keys() == sound.keys():
            assert all(arrays[name].tobytes() == sound[name].tobytes() for name in sound), place


def test_all_broken(begun, gan):
    for step in (10, 20):
        begun.save(gan, step)
    for path in begun.checkpoints.iterdir():
        path.write_bytes(b"x")
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(RunError, match="none of the 2 .*--overwrite"):
        begun.newest()


def test_what_a_killed_process_left_is_no_checkpoint(begun, gan):
    begun.save(gan, 10)
    (begun.checkpoints / ".step-000000020.npz.part").write_bytes(b"half")
    assert begun.newest()[0] == 10
    begun.save(gan, 20)
    assert begun.newest()[0] == 20 and not list(begun.checkpoints.glob(".*"))


def test_checkpoints_of_other_models(begun, gan):
    begun.save(gan, 10)
    _, arrays = begun.newest()
    before = bits(gan)
    with pytest.raises(RunError, match="of another model"):
        run.restore(tiny(generator_units="4,4"), arrays)
    with pytest.raises(RunError, match="of another model"):
        run.restore(tiny(discriminator_units="5"), arrays)
    # nothing was half restored
    arrays[list(arrays)[-1]] = np.zeros((9, 9))
    other = tiny()
    kept = bits(other)
    with pytest.raises(RunError):
        run.restore(other, arrays)
    assert bits(other) == kept and bits(gan) == before


def test_checkpoints_of_other_settings(begun, gan, tmp_path):
    """Those of a run that differs in nothing that shows in the arrays."""
    other = Run(tmp_path / "other")
    other.begin(settings(seed=7, config={"batch_size": 16}))
    other.save(gan, 20)
    begun.save(gan, 10)
    os.rename(other.checkpoints / "step-000000020.npz", begun.checkpoints / "step-000000020.npz")
    with pytest.warns(UserWarning, match="20.npz .*other settings: seed: 7 there, 0 now; batch_size: 16 there, 8 now"):
        assert begun.newest()[0] == 10
    begun._lock.close()
    longer = Run(begun.directory)
    longer.begin(settings(config={"steps": 200}))
    (begun.checkpoints / "step-000000020.npz").unlink()
    assert longer.newest()[0] == 10
    path = begun.checkpoints / "step-000000010.npz"
    with np.load(path) as file:  # as they were before they had any
        arrays = {name: file[name] for name in file.files if name != "settings"}
    np.savez(path, **arrays)
    assert longer.newest()[0] == 10


def test_load(begun, gan):
    begun._lock.close()
    with pytest.raises(RunError, match="no run"):
        run.load(begun.directory.parent / "nowhere")
    full = {**settings(), "config": dict(SMALL, steps=100)}
    begun.begin(full)
    with pytest.raises(RunError, match="no checkpoint yet"):
        run.load(begun.directory)
    begun.save(gan, 30)
    loaded, step = run.load(begun.directory)
    assert step == 30 and bits(loaded) == bits(gan)


def test_what_is_not_finite_is_not_saved(begun, gan):
    randomize(gan, 1)
    begun.save(gan, 10)
    begun.save_best(gan, 10)
    gan.discriminator_optimizer.variables[-1].assign(np.full(gan.discriminator_optimizer.variables[-1].shape, np.inf))
    begun.save(gan, 20)
    begun.save_best(gan, 20)
    assert begun.newest()[0] == begun.newest("best")[0] == 10
    randomize(gan, 1)


def test_going_back(begun, gan):
    assert begun.rollbacks() == [] and begun.roll_back(5, "D's loss") == 0 and begun.rollbacks() == []
    begun.save(gan, 10)
    begun.save(gan, 20)
    wanted = [(25, 20), (21, 10), (15, 10)]  # 20 was of no use, and before 10 there is none
    assert [begun.roll_back(step, "D's loss") for step, _ in wanted] == [to for _, to in wanted]
    assert begun.roll_back(14, "D's loss") == 0 and begun.newest()[0] == 10
    assert begun.rollbacks() == [{"at": at, "first": "D's loss", "to": to} for at, to in wanted]
    begun._lock.close()
    Run(begun.directory).begin(settings(), overwrite=True)
    assert begun.rollbacks() == []


# === Files ===

def test_write_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    run.write(path, b"old")
    with pytest.raises(TypeError):
        run.write(path, "no bytes")
    assert path.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == ["file"]
    seen = []
    monkeypatch.setattr(os, "replace", lambda source, target: seen.append((Path(source).read_bytes(), path.read_bytes())))
    run.write(path, b"new")
    assert seen == [(b"new", b"old")]  # whole beside it, before it takes its place


HEADER = b"step,d_loss\n"


@pytest.mark.parametrize("before, step, after", [
    (b"10,1\n20,2\n30,3\n", 20, b"10,1\n20,2\n"),
    (b"10,1\n20,2\n30,3\n", 30, b"10,1\n20,2\n30,3\n"),
    (b"10,1\n20,2\n30,3\n", 25, b"10,1\n20,2\n"),
    (b"10,1\n20,2\n30", 20, b"10,1\n20,2\n"),
    (b"10,1\n20,2\n3", 30, b"10,1\n20,2\n"),  # 30 half written is no row of step 3
    (b"10,1\n20,2\n\0\0\0", 30, b"10,1\n20,2\n"),
])
def test_truncate_log(begun, before, step, after):
    begun.log.write_bytes(HEADER + before)
    begun.truncate_log(step)
    assert begun.log.read_bytes() == HEADER + after


def test_truncate_log_before_the_first_checkpoint(begun):
    begun.truncate_log(0)
    assert not begun.log.exists()
    begun.log.write_bytes(HEADER + b"10,1\n")
    begun.truncate_log(0)
    assert begun.log.read_bytes() == b""
    begun.log.write_bytes(HEADER[:4])
    begun.truncate_log(10)
    assert begun.log.read_bytes() == b""


def test_newest_sample(begun):
    for step in (0, 250, 1000):
        (begun.samples / f"step-{step:09d}.png").write_bytes(b"x")
    (begun.samples / "real.png").write_bytes(b"x")
    assert begun.newest_sample().name == "step-000001000.png"


@pytest.mark.parametrize("found", [2, 0, "1", None])
def test_a_format_that_is_none_of_ours(begun, found):
    path = begun.directory / "config.json"
    path.write_text(json.dumps({**settings(), "format": found, "kgan": "9.9"}))
    with pytest.raises(RunError, match=rf"config.json: is of format {found}, by kgan 9.9, and this kgan reads format 1; use the kgan"):
        begun.settings()


def test_the_format_is_no_difference(begun):
    begun.check({**settings(), "format": 1})


def test_a_run_made_longer_is_noted(begun):
    assert begun.lengthened() == []
    begun.lengthen(10, 10, 20, ["a rate was 0 there and is 0.1 from there on"])
    assert begun.lengthened() == [{"at": 10, "before": 10, "steps": 20, "changes": ["a rate was 0 there and is 0.1 from there on"]}]


# === Where a run goes ===

def test_two_folders_of_one_name_have_a_run_each(tmp_path, monkeypatch):
    from kgan.flags import directory_of
    monkeypatch.chdir(tmp_path)

    def begin(place, directory):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "config.json").write_text(json.dumps(
            {"dataset": f"folder:{place}", "config": {}, "data": {"path": str(tmp_path / place)}}))
    for place in ("cats/train", "dogs/train"):
        (tmp_path / place).mkdir(parents=True)
    cats, dogs = (lambda place=place: str(directory_of("dcgan", f"folder:{place}/train")) for place in ("cats", "dogs"))
    assert cats() == dogs() == "runs/dcgan-train"
    begin("cats/train", "runs/dcgan-train")
    assert (cats(), dogs()) == ("runs/dcgan-train", "runs/dcgan-dogs-train")
    begin("dogs/train", "runs/dcgan-dogs-train")
    assert (cats(), dogs()) == ("runs/dcgan-train", "runs/dcgan-dogs-train")
    (tmp_path / "cats").rename(tmp_path / "felines")  # the folder has been moved: the run is looked at, not passed by
    assert str(directory_of("dcgan", "folder:felines/train")) == "runs/dcgan-train" and dogs() == "runs/dcgan-dogs-train"
    assert str(directory_of("mlp", "mnist/3d", "-repeat")) == "runs/mlp-mnist-3d-repeat"


def test_the_plan_has_what_differs_from_the_defaults():
    from kgan.report import chosen
    config = {name: value for name, value in dataclasses.asdict(models.outline("dcgan").Config(preset="modern", filters=8)).items()}
    config = json.loads(json.dumps(config))
    assert chosen({"model": "dcgan", "config": config}) == {"preset": "modern", "filters": 8}
    assert chosen({"model": "mlp", "config": json.loads(json.dumps(dataclasses.asdict(models.outline("mlp").Config())))}) == {}
