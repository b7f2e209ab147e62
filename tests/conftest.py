"""What all tests share: a data cache of their own, and the command line as a function."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest.register_assert_rewrite("battery")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# bit for bit and 1e-6 are promises about a CPU
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory):
    """Prepared data of all tests that do not ask for a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def command():
    """A function that starts a Python program as a user would: command("train.py", flag, …) from the folder `cwd`."""
    def start(*arguments, cwd, wait=True, environment=None):
        arguments = [str(argument) for argument in arguments]
        if arguments[0].endswith(".py"):  # of this project, wherever it is started
            arguments[0] = str(ROOT / arguments[0])
        process = subprocess.Popen([sys.executable, *arguments], cwd=cwd, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, **(environment or {})})
        if not wait:
            return process
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
    return start
