"""Precision, replicas and hosts: what a checkpoint keeps of them, mistakes, two processes that train one GAN."""
import json
import signal
import socket
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan import callbacks, data, devices, models, run
from kgan.config import Config
from kgan.devices import DeviceError, Workers
from test_train import last_checkpoint, rows

MODELS = {"dcgan": ((8, 8, 1), dict(filters=4, noise_dim=6)),
          "mlp": ((2,), dict(generator_units="8", discriminator_units="8", penalty="gp"))}


# === Precision ===

@pytest.mark.parametrize("model, precision", [
    ("dcgan", "mixed_float16"), pytest.param("mlp", "mixed_bfloat16", marks=pytest.mark.slow),
    pytest.param("mlp", "mixed_float16", marks=pytest.mark.slow)])
def test_a_run_keeps_its_precision(tmp_path, model, precision):
    """Saved after 8 of 12 steps and loaded, it goes on as if it had never stopped; its samples are computed in float32."""
    shape, fields = MODELS[model]
    fields = {**fields, "jit_compile": False, "steps": 12, "batch_size": 4}
    real = np.random.default_rng(0).uniform(-1, 1, (48, *shape)).astype(np.float32)
    keras.utils.set_random_seed(1)
    with devices.precision(precision):
        gan = models.build(model, shape, fields, seed=3)
        gan.compile()
    assert keras.config.dtype_policy().name == "float32"
    if precision == "mixed_float16":  # so large that the first gradients overflow
        gan.generator_optimizer.dynamic_scale.assign(2.0**24)
    kept = run.Run(tmp_path / "run")
    kept.begin({"model": model, "shape": shape, "config": fields, "seed": 3, "precision": precision})
    gan.fit(real[:32], batch_size=4, shuffle=False, verbose=0, callbacks=[callbacks.Checkpoints(kept, 8, 8)])
    loaded, step = run.load(tmp_path / "run")
    assert step == loaded.step == 8
    assert precision.removeprefix("mixed_") in {layer.compute_dtype for layer in loaded.discriminator.layers}
    assert {layer.compute_dtype for layer in loaded.ema_generator.layers} == {"float32"}
    np.testing.assert_array_equal(loaded.generate(3), gan.generate(3))
    if precision == "mixed_float16":
        assert float(loaded.generator_optimizer.dynamic_scale) < 2.0**24
    for one in gan, loaded:
        one.fit(real[32:], batch_size=4, shuffle=False, verbose=0)
    for before, after in zip(gan.state(), loaded.state(), strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after), before.path)


def test_other_precision_is_refused_and_older_runs_are_float32(tmp_path):
    settings = {"model": "mlp", "config": {}, "seed": 0}
    kept = run.Run(tmp_path / "run")
    kept.begin(settings)
    kept.check({**settings, "precision": "float32"})
    with pytest.raises(run.RunError, match="precision: float32 there, mixed_float16 now"):
        kept.check({**settings, "precision": "mixed_float16"})


# === Shares ===

def test_shares_make_up_the_batch(images):
    """Of any number of replicas, in the middle of a run, over the end of an epoch, flips included."""
    source = data.source(f"folder:{images}", image_size=8)
    options = dict(seed=4, start=3, repeat=True, flip=True)
    whole = data.batches(source, 12, **options).take(4)
    shares = [list(data.batches(source, 12, replicas=3, own=own, **options).take(4 * len(own))) for own in ([0, 1], [2])]
    for i, batch in enumerate(whole):
        parts = shares[0][2 * i:2 * i + 2] + shares[1][i:i + 1]
        np.testing.assert_array_equal(batch["image"], np.concatenate([part["image"] for part in parts]))


def test_workers_share_a_directory(tmp_path):
    settings = {"model": "mlp", "config": {}, "seed": 0}
    run.Run(tmp_path / "run").begin(settings)
    assert run.Run(tmp_path / "run", writes=False).follow(settings, 0) is None
    for directory, step, words in ("elsewhere", 0, "it holds no run"), ("run", 20, "of step 0 here, of step 20 there"):
        with pytest.raises(run.RunError, match=f"{directory} is not that of the chief: .* share; .*{words}"):
            run.Run(tmp_path / directory, writes=False).follow(settings, step)
    with pytest.raises(run.RunError, match="seed: 0 there, 1 now"):
        run.Run(tmp_path / "run", writes=False).follow({**settings, "seed": 1}, 0)
    assert not (tmp_path / "elsewhere").exists()


def test_steps_per_execution(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert devices.steps_per_execution(Config.of()) == 1
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert devices.steps_per_execution(Config.of()) == 50
    assert devices.steps_per_execution(Config.of(steps_per_execution=3)) == 3


def test_a_batch_that_cannot_be_shared():
    strategy = types.SimpleNamespace(num_replicas_in_sync=4)
    devices.check(strategy, Config(batch_size=16, accumulation=2, packing=2))
    with pytest.raises(DeviceError, match=r"--batch_size=24: .* 4 replicas .* multiple of 16"):
        devices.check(strategy, Config(batch_size=24, accumulation=2, packing=2))


# === TF_CONFIG ===

def tf_config(index, *addresses, job="worker"):
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": job, "index": index}})


def test_workers(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert devices.workers("auto") == devices.workers("none") == Workers() and Workers().chief
    monkeypatch.setenv("TF_CONFIG", tf_config(1, "a:1", "b:2"))
    found = devices.workers("auto")
    assert found.index == 1 and not found.chief and found.describe(1) == "worker 1 (b:2)"
    assert devices.workers("multiworker") == found and devices.workers("none") == devices.workers("mirrored") == Workers()
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"chief": ["c:1"], "worker": ["a:1"]},
                                                "task": {"type": "worker", "index": "0"}}))
    assert devices.workers("auto").tasks == (("chief", 0, "c:1"), ("worker", 0, "a:1")) and not devices.workers("auto").chief
    monkeypatch.setenv("TF_CONFIG", tf_config(0, "alone:1"))
    assert devices.workers("multiworker") == Workers()


@pytest.mark.parametrize("strategy, environment, words", [
    ("multiworker", "", ["--strategy=multiworker", "no TF_CONFIG"]),
    *(("auto", text, ["TF_CONFIG=" + text, "with the index"]) for text in (
        "worker", "[]", tf_config(2, "a:1", "b:2"), tf_config(0, "a", "b"), tf_config(0, "a:1", "b:2", job="ps")))])
def test_mistakes(monkeypatch, strategy, environment, words):
    monkeypatch.setenv("TF_CONFIG", environment)
    with pytest.raises(DeviceError) as error:
        devices.workers(strategy)
    assert all(word in str(error.value) for word in words)


def test_who_is_lost(monkeypatch):
    monkeypatch.setattr(Workers, "deaf", lambda self: [])
    tasks = tuple(("worker", number, f"h:{number}") for number in range(3))
    text = ("Error reported from /job:worker/task:1: The following tasks are unhealthy (stopped sending heartbeats):\n"
            "/job:worker/replica:0/task:2\nThe tasks have crashed.")
    assert Workers(tasks, 0).lost(text) == [2]
    assert Workers(tasks, 1).lost("Connection reset while calling /job:worker/replica:0/task:0") == [0]
    assert Workers(tasks, 1).lost("Deadline exceeded: RPC: /tensorflow.CoordinationService/Heartbeat") == [0]
    assert Workers(tasks, 0).lost("?") == [1, 2]
    monkeypatch.setattr(Workers, "deaf", lambda self: [2])
    assert Workers(tasks, 1).lost("Deadline exceeded: RPC: /tensorflow.CoordinationService/Heartbeat") == [0, 2]


def test_mistakes_before_anything_is_written(command, tiny, tmp_path):
    done = command("train.py", *tiny, "--strategy=multiworker", "--run_dir=run", cwd=tmp_path, environment={"TF_CONFIG": ""})
    assert done.returncode == 2 and "no TF_CONFIG" in done.stderr and len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


# === Two processes ===

FIELDS = dict(generator_units="8", discriminator_units="8", penalty="gp", discriminator_steps=2, jit_compile="false",
              log_every=5, sample_every=100, checkpoint_every=50)
FLAGS = ["--model=mlp", "--dataset=ring", "--batch_size=8", "--seed=5", "--steps=100",
         *(f"--set={name}={value}" for name, value in FIELDS.items())]


def start_two(command, folder):
    """Two workers with free ports. Returns (addresses, processes)."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses, [command("train.py", *FLAGS, "--run_dir=run", cwd=folder, wait=False,
                               environment={"TF_CONFIG": tf_config(index, *addresses)}) for index in range(2)]


def ends(processes):
    """[(exit status, stdout, stderr)] of each."""
    texts = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts)]


@pytest.mark.slow
def test_two_workers_are_one_device_and_one_may_die(command, tmp_path):
    """One is killed behind the checkpoint of step 50; both started again make the rows behind it anew, digit for digit."""
    addresses, processes = start_two(command, tmp_path)
    log, deadline = tmp_path / "run" / "log.csv", time.monotonic() + 200
    while time.monotonic() < deadline and not (log.exists() and log.read_bytes().count(b"\n") > 13):
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    (status, output, errors), _ = ends(processes)
    assert time.monotonic() - killed < 60
    assert status == 1 and f"worker 1 ({addresses[1]}) no longer answers" in errors and "Traceback" not in errors
    assert "start all of them again" in errors and "2 × float32" in output
    before = rows(tmp_path / "run")
    assert last_checkpoint(tmp_path / "run")[0] == 50 and int(before[-1][0]) >= 65

    _, processes = start_two(command, tmp_path)
    for status, output, errors in ends(processes):
        assert status == 0 and "resumed    at step 50" in output, errors
    after = rows(tmp_path / "run")
    assert after[:len(before)] == before and after[-1][0] == "100"

    keras.utils.set_random_seed(5)
    one = models.build("mlp", (2,), dict(FIELDS, preset="mixture", steps=100), seed=5)  # as points have it by default
    one.compile(steps_per_execution=1)
    one.fit(data.batches(data.source("ring"), 16, seed=5, repeat=True), steps_per_epoch=100, verbose=0)
    step, arrays = last_checkpoint(tmp_path / "run")
    assert step == 100 and arrays.pop("elapsed") > 0 and json.loads(arrays.pop("settings").tobytes())["model"] == "mlp"
    for (name, there), here in zip(arrays.items(), one.weights):  # the optimizers' state comes behind
        np.testing.assert_allclose(there, here, atol=1e-5, err_msg=name)
