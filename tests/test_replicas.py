import json
from pathlib import Path

import pytest

from kgan import penalties

SOME = "labels, lazily, in parts", "batch statistics"
OTHERS = ("wgan_gp", "r3gan, lazily, in parts", "spectral, lazily", "noise and packs", "what compares examples, cut", "kernels",
          "captions", "what D draws", "Adam", "float16")


@pytest.mark.parametrize("names", [SOME, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["some", "others"])
def test_two_devices_are_one(command, tmp_path, names):
    """MirroredStrategy over two logical CPUs against one device, in a process of its own: see replicas.py."""
    done = command("tests/replicas.py", *names, cwd=tmp_path, environment={"PYTHONPATH": str(Path(__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert "labels, lazily, in parts" not in found["runs"] or "label: from 3 to 3 were found" in found["refused"]
    assert found["noise"] == 0 and found["halves_differ"]
    assert found["not finite"] == [2, "the real examples"]  # of the second device
    assert set(found["runs"]) == set(names) and set(found["known"]) == {*SOME, *OTHERS}
    assert found["penalties"] == sorted(["none", *penalties.PENALTIES])
    for name, differences in found["runs"].items():
        assert differences.pop("moved") > 1e-2, name  # they did learn something
        most = 1e-4 if name in ("batch statistics", "captions", "what D draws", "float16") else 1e-6
        assert max(differences.values()) < most, (name, differences)
