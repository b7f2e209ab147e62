"""Files of someone else's run no code: a checkpoint, a config.json, a network of Keras's. (A SavedModel is a program.)"""
import json
import os
import pickle
import zipfile

import keras
import numpy as np
import pytest

from kgan import run
from kgan.command import UserError
from kgan.data.source import DataError, Source
from kgan.metrics import features
from kgan.run import Run, RunError

SETTINGS = {"model": "mlp", "dataset": "ring", "seed": 0, "shape": [2], "config": {"steps": 3}}


class Evil:
    """What makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.fixture
def ran(tmp_path):
    return tmp_path / "ran"


def test_the_trap_works(ran):
    pickle.loads(pickle.dumps(Evil(ran)))
    assert ran.exists()


@pytest.mark.parametrize("whole", [True, False])
def test_a_pickle_for_a_checkpoint(tmp_path, ran, whole):
    one = Run(tmp_path / "run")
    one.begin(SETTINGS)
    path = one.checkpoints / "step-000000003.npz"
    if whole:
        path.write_bytes(pickle.dumps(Evil(ran)))  # which numpy.load would take, if it were let
    else:
        np.savez(path, elapsed=np.float64(0), **{"0000 a": np.array([Evil(ran)], object)})
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(RunError, match="none of the 1 checkpoints"):
        run.load(one.directory)
    assert not ran.exists()


@pytest.mark.parametrize("changes", [
    {"model": "../../evil"}, {"model": "os"}, {"model": ["mlp"]}, {"model": None}, {"shape": "__import__('os')"},
    {"shape": None}, {"config": {"steps": "__import__('os')"}}, {"config": []}, {"config": {"evil": 1}}])
def test_a_config_that_is_none(tmp_path, changes):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, **changes}))
    np.savez(tmp_path / "checkpoints" / "step-000000003.npz", elapsed=np.float64(0))
    with pytest.raises(UserError):
        run.load(tmp_path)


def refused(path):
    with pytest.raises(DataError, match=f"{path.name} is no network of images"):
        features.get(str(path), Source("grey", {"image": np.zeros((2, 8, 8, 1), np.uint8)}))


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_network_with_a_lambda(tmp_path, ran, kind):
    images, place = keras.Input((8, 8, 1)), str(ran)
    evil = keras.layers.Lambda(lambda x: (os.makedirs(place, exist_ok=True), x)[1], output_shape=(8, 8, 1))
    keras.Model(images, evil(images)).save(tmp_path / f"net.{kind}")
    if ran.exists():
        ran.rmdir()
    refused(tmp_path / f"net.{kind}")
    assert not ran.exists()


def test_a_network_of_another_module(tmp_path, ran):
    images = keras.Input((8, 8, 1))
    keras.Model(images, keras.layers.ReLU()(images)).save(tmp_path / "sound.keras")
    with zipfile.ZipFile(tmp_path / "sound.keras") as sound, zipfile.ZipFile(tmp_path / "net.keras", "w") as evil:
        for name in sound.namelist():
            content = sound.read(name)
            if name == "config.json":
                content = json.dumps({"module": "os", "class_name": "mkdir", "config": {"path": str(ran)},
                                      "registered_name": None}).encode()
            evil.writestr(name, content)
    refused(tmp_path / "net.keras")
    assert not ran.exists()
