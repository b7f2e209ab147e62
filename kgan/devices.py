"""What trains: precision, devices and hosts. GAN says what replicas do, this which they are, and what happens if one dies.

Several hosts are tf.distribute.MultiWorkerMirroredStrategy: the same command on each, and in each one's environment

    TF_CONFIG='{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'

The first worker alone writes, the others read its checkpoints: the run directory is on a disk that all of them share.
Importing this is cheap: TensorFlow is loaded when something needs it.
"""
import atexit
import contextlib
import json
import os
import re
import socket
import sys
import time
from typing import NamedTuple

from kgan.command import UserError

_SILENCE = 5.0  # seconds before it is said which workers are waited for


class DeviceError(UserError, ValueError):
    """Devices or hosts that cannot train what is asked for: the message names the flag or TF_CONFIG, and what would do."""


@contextlib.contextmanager
def precision(name):
    """What is built and compiled in here computes in the policy of that name: float32, mixed_bfloat16, mixed_float16."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


# === Workers ===

class Workers(NamedTuple):
    """The processes that train one GAN together.

    Attributes:
        tasks: [(job, number, "host:port")], the chief first; empty: this process trains alone.
        index: which of them this is.
    """

    tasks: tuple = ()
    index: int = 0

    @property
    def chief(self):
        """Whether this is the one that writes."""
        return self.index == 0

    def describe(self, index):
        job, number, address = self.tasks[index]
        return f"{job} {number} ({address})"

    def deaf(self):
        """Indices of the other workers to whose ports no connection can be made."""
        return [i for i in range(len(self.tasks)) if i != self.index and not _answers(self.tasks[i][2])]

    def lost(self, text):
        """Indices of those that an error of TensorFlow's is about, as far as can be told; else of all others."""
        text = text[max(text.find("unhealthy"), 0):]  # before it, who has noticed
        named = {(job, int(number)) for job, number in re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", text)}
        named = [i for i, task in enumerate(self.tasks) if i != self.index and task[:2] in named]
        if text.startswith("unhealthy") and named:
            return named
        if not self.chief and "CoordinationService/" in text:
            return sorted({0, *self.deaf()})  # all report to the chief, who may be gone because another is
        return self.deaf() or named or [i for i in range(len(self.tasks)) if i != self.index]


def workers(strategy):
    """The Workers that `--strategy` asks for: those of TF_CONFIG, or this process alone.

    Raises:
        DeviceError: TF_CONFIG is missing, or not what it should be.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if strategy in ("none", "mirrored") or strategy == "auto" and text in ("", "{}"):
        return Workers()
    if not text:
        raise DeviceError("--strategy=multiworker: the environment has no TF_CONFIG, which names the workers and says which "
                          "of them this is; docs/scaling.md shows one")
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
        tasks = tuple((job, number, address) for job in ("chief", "worker")
                      for number, address in enumerate(cluster.get(job, ())))
        index = [each[:2] for each in tasks].index((task["type"], int(task["index"])))
        if set(cluster) - {"chief", "worker"} or not all(re.fullmatch(r".+:\d+", address) for *_, address in tasks):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DeviceError(f"TF_CONFIG={text}: must be like "
                          '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}, '
                          "with the index of this process among them") from None
    return Workers(tasks, index) if len(tasks) > 1 else Workers()


def strategy(name, workers):
    """The tf.distribute.Strategy of `--strategy`; with several workers it waits until all are there, and says for whom.

    Raises:
        DeviceError: this worker's port is taken.
    """
    import tensorflow as tf

    if workers.tasks:
        _wait(workers)
        return tf.distribute.MultiWorkerMirroredStrategy()
    several = len(tf.config.list_physical_devices("GPU")) > 1
    if name == "mirrored" or name != "none" and several:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def steps_per_execution(config):
    """Steps in one call of the compiled function: the config's, or where that is 0 what is best on the device at hand.

    A call costs some 2 ms of Python: on a GPU as much as a step, on a CPU next to nothing. Ctrl-C waits for the call's end.
    """
    import tensorflow as tf

    return config.steps_per_execution or (50 if tf.config.list_physical_devices("GPU") else 1)


def check(strategy, config):
    """Raises DeviceError where a batch cannot be shared out evenly."""
    replicas = strategy.num_replicas_in_sync
    least = replicas * config.accumulation * config.packing
    if config.batch_size % least:
        raise DeviceError(f"--batch_size={config.batch_size}: is the global batch, shared by {replicas} replicas (times "
                          f"accumulation and packing), so it must be a multiple of {least}")


def distribute(strategy, batches):
    """`batches(replicas=…, own=…)`, see kgan.data.batches, as `fit` takes it: each host reads its replicas' rows alone."""
    if strategy.num_replicas_in_sync == 1:
        return batches()

    def share(context):
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return batches(replicas=context.num_replicas_in_sync, own=range(first, first + here))
    return strategy.distribute_datasets_from_function(share)


def largest(strategy, number):
    """The largest of the numbers that the workers come with. They wait here for each other."""
    import tensorflow as tf

    values = strategy.experimental_distribute_values_from_function(lambda context: tf.constant([number]))
    return int(tf.reduce_max(strategy.gather(values, axis=0)))


@contextlib.contextmanager
def together(workers):
    """Turns what TensorFlow raises when another worker is gone into a sentence that names it.

    Raises:
        ConnectionError: a worker is gone. TensorFlow notices within seconds, by its connections or its heartbeats.
    """
    try:
        yield
    except Exception as error:
        if not workers.tasks:
            raise
        from tensorflow import errors
        if not isinstance(error, (errors.UnavailableError, errors.DeadlineExceededError, errors.AbortedError,
                                  errors.FailedPreconditionError, errors.CancelledError)):
            raise
        lost = " or ".join(map(workers.describe, workers.lost(error.message)))
        atexit.register(_leave)
        raise ConnectionError(f"{lost} no longer answers, so this worker stops, too; start all of them again with the same "
                              "commands: they go on from the last checkpoint") from None


def _leave():
    """Ends the process as it is: TensorFlow would first wait for the worker that is gone, up to minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _wait(workers):
    """Returns when all workers have come, and says meanwhile who is missing. TensorFlow would wait in silence.

    Raises:
        DeviceError: this worker's port is taken.
    """
    port = int(workers.tasks[workers.index][2].rpartition(":")[2])
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise DeviceError(f"TF_CONFIG: {workers.describe(workers.index)} cannot listen on its port: "
                          f"{os.strerror(error.errno)}") from None
    start, said = time.monotonic(), []
    with listener:
        listener.setblocking(False)
        while missing := workers.deaf():
            if missing != said and time.monotonic() > start + _SILENCE:
                print(f"waiting    for {len(missing)} of {len(workers.tasks)} workers: "
                      f"{', '.join(map(workers.describe, missing))}", flush=True)
                said = missing
            time.sleep(0.5)
            with contextlib.suppress(BlockingIOError):
                while True:  # those who asked
                    listener.accept()[0].close()


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
        return True
    except OSError:
        return False
