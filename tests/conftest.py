"""What all tests share: a data cache of their own, and the command line as a function."""
import collections
import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

pytest.register_assert_rewrite("battery")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# tests train tiny networks, on which a second thread only waits, and keep all cores busy themselves
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
# bit for bit and 1e-6 are promises about a CPU
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

REAL = sys.executable
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


# of Python's time a fifth went to looking through all of TensorFlow for garbage
gc.disable()


def pytest_collection_finish():
    gc.freeze()  # what has been imported stays
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def seeds():
    """With Keras 3.12, too, what is drawn without a seed of its own begins anew where a seed is set: later releases do it themselves."""
    import keras
    from keras.src.backend.common import global_state
    usual = keras.utils.set_random_seed

    def set_random_seed(seed):
        usual(seed)
        global_state.set_global_attribute("global_seed_generator", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.utils, "set_random_seed", set_random_seed)
        yield


# === The longest first, by what the last run took: so that the workers end together (setup.cfg: --no-loadscope-reorder) ===

class Times:
    """Seconds of each test, kept in pytest's cache for the next run."""

    NAME = "kgan/seconds"

    def __init__(self, cache):
        self.cache, self.last, self.now = cache, cache.get(self.NAME, {}), collections.Counter()

    def pytest_runtest_logreport(self, report):
        self.now[report.nodeid] += report.duration

    def pytest_sessionfinish(self):
        self.cache.set(self.NAME, {**self.last, **{name: round(seconds, 2) for name, seconds in self.now.items()}})


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        config.kgan_last, config.kgan_python = config.workerinput["kgan"]
        return
    config.kgan_last, config.kgan_python = {}, REAL
    if hasattr(config, "cache"):
        times = Times(config.cache)
        config.pluginmanager.register(times)
        config.kgan_last = times.last
    if hasattr(os, "pidfd_open"):  # Linux
        import forks
        server = forks.Server()
        config.add_cleanup(server.close)
        config.kgan_python = server.python


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than cores: an eighth of the time a worker only waits, for a program, a browser or a server."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """Workers are forked off what has imported TensorFlow, too."""
    for spec in specs:
        if spec.popen and not spec.python:
            spec.python = config.kgan_python


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    node.workerinput["kgan"] = node.config.kgan_last, node.config.kgan_python


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Files stay together, for their fixtures are expensive; those that have never run come first, then the longest."""
    files = collections.Counter()
    for item in items:
        files[item.path] += config.kgan_last.get(item.nodeid, 3600)
    items.sort(key=lambda item: -files[item.path])


@pytest.fixture(scope="session")
def everyones(tmp_path_factory, pytestconfig):
    """A folder that all workers share; on Windows, which has no fcntl, each has one of its own."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if fcntl and hasattr(pytestconfig, "workerinput") else base) / "everyones"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def shared_cache(everyones):
    """Prepared data of all tests that do not ask for a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGAN_CACHE", str(everyones / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_import(pytestconfig):
    """Programs that tests start, and those that these start, are forked off one that has imported TensorFlow: forks.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", pytestconfig.kgan_python)
        yield


@pytest.fixture(scope="session")
def command():
    """A function that starts a Python program as a user would: command("train.py", flag, …) from the folder `cwd`.

    With `fresh` it is a new process, which imports for itself what it needs.
    """
    def start(*arguments, cwd, wait=True, environment=None, fresh=False):
        arguments = [str(argument) for argument in arguments]
        if arguments[0].endswith(".py"):  # of this project, wherever it is started
            arguments[0] = str(ROOT / arguments[0])
        process = subprocess.Popen([REAL if fresh else sys.executable, *arguments], cwd=cwd, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, **(environment or {})})
        if not wait:
            return process
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
    return start


@contextlib.contextmanager
def first(folder):
    """Whether the one who asks is the first of all workers to fill `folder`; the others wait until that is done."""
    folder.mkdir(exist_ok=True)
    with open(f"{folder}.lock", "a") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield not (folder / "made").exists()
        (folder / "made").touch()


@pytest.fixture(scope="session")
def images(everyones):
    """A folder of 22 tiny colour pictures: no multiple of any batch size. Not to be changed."""
    with first(everyones / "pictures") as makes:
        (folder := everyones / "pictures" / "images").mkdir(exist_ok=True)
        for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (22 * makes, 8, 8, 3), np.uint8)):
            Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def tiny(images):
    """Flags of a run of some seconds with batch statistics, flips and two steps of D, that logs often."""
    settings = dict(filters=4, noise_dim=8, discriminator_steps=2, log_every=7, sample_every=40, checkpoint_every=10)
    return ["--model=dcgan", f"--dataset=folder:{images}", "--image_size=8", "--flip", "--batch_size=4", "--steps=200",
            "--seed=5", *(f"--set={name}={value}" for name, value in settings.items())]


@pytest.fixture(scope="session")
def finished(command, tiny, everyones):
    """The directory of a finished run of `tiny`, never interrupted. Not to be changed: copy it."""
    folder = everyones / "finished"
    with first(folder) as makes:
        if makes:
            done = command("train.py", *tiny, "--run_dir=run", "--overwrite", cwd=folder)
            assert done.returncode == 0, done.stderr
            (folder / "stdout").write_text(done.stdout)
    return folder / "run"
