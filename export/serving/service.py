"""What the paths share: the model that is served, the queue before it, threads for pictures, and what is counted."""
import asyncio
import contextlib
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import prometheus_client

from export.serving.batching import Batcher, Full
from export.serving.limits import MAX_WAITING, Refusal

LOG = logging.getLogger("export.serve")

_SMALL = 1 << 20  # pixels of a picture that does not wait behind larger ones
_PAINTERS = max(1, (os.cpu_count() or 1) // 2)  # threads that make small pictures, and as many for large ones


class Service:
    """The model behind the paths.

    draining: set to True when the server is being stopped. failed: there was no model to begin with.

    Args:
        versions: Versions.
        name: of the model, in paths.
        limits: Limits.
        wait: seconds, of Batcher.
        allowed_hosts: host names, lower case; "*": any.
        poll: seconds between looks for a newer model.
    """

    def __init__(self, versions, name, limits, wait, allowed_hosts, poll):
        self.versions, self.name, self.limits = versions, name, limits
        self.allowed_hosts, self.poll = set(allowed_hosts), poll
        self.draining = self.failed = False
        self.metrics = Metrics(self)
        self.batcher = Batcher(limits.max_batch, limits.max_queue, wait, self.metrics.batch.observe)
        self.studio = Studio()
        self._loader = ThreadPoolExecutor(1, "loader")  # of its own: a look for newer models waits for nothing else
        self.programs = " ".join(version(name) for name in ("tensorflow", "pillow"))  # pictures depend on them

    async def watch(self, give_up, ready=lambda: None):
        """Loads the model, calls `ready`, then looks for newer ones for ever. Calls `give_up` if there is none to begin with."""
        told, told_ready = "", False
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._loader, self.versions.refresh)
            except OSError as error:  # a folder that cannot be read now
                result = None
                if str(error) != told:
                    told = str(error)
                    LOG.error("looking for a newer model: %s", told)
            if result is not None:
                self.metrics.reloads.labels("served" if result else "failed").inc()
            if self.versions.current is None:
                self.failed = True
                return give_up()
            if not told_ready:
                ready()
            told_ready = True
            await asyncio.sleep(self.poll)

    def model(self, number=None):
        """The Model that is served. Raises Refusal: 503 if it is not loaded yet, 404 if it is of another version."""
        model = self.versions.current
        if model is None:
            raise Refusal(503, "no model is loaded yet", {"Retry-After": "1"})
        if number not in (None, model.version):
            raise Refusal(404, f"version {number} of {self.name} is not served; {model.version} is")
        return model

    def told(self):
        """The Model, if its functions are known. Raises Refusal: 404 if not."""
        model = self.model()
        if not model.functions:
            raise Refusal(404, f"nothing is known of {self.name}: {model.why}")
        return model

    def drawn(self):
        """The Model, if pictures can be made of it for a GET. Raises Refusal: 404 if not."""
        model = self.model()
        if model.kind is None:
            raise Refusal(404, f"no pictures of {self.name}: {model.why}")
        return model

    async def call(self, signature, inputs, rows, joins=True):
        """Dict of arrays that a Signature gives, in turn, in one call with others where it `joins`.

        Raises:
            Refusal: 429 if too many wait, 400 by the model.
        """
        import tensorflow as tf
        try:
            return await asyncio.wrap_future(self.batcher.submit(signature, inputs, rows, joins and signature.joins))
        except Full as error:
            raise Refusal(429, f"{error} (--max_queue)", {"Retry-After": "1"}) from None
        except tf.errors.ResourceExhaustedError:
            raise Refusal(503, "there is not enough memory for that; ask for fewer rows", {"Retry-After": "1"}) from None
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.NotFoundError, tf.errors.UnimplementedError,
                tf.errors.FailedPreconditionError) as error:  # values that the model itself refuses
            raise Refusal(400, f"inputs: the model refuses them: {_sentence(error.message)}") from None

    async def latents(self, model, seeds):
        """The noise of seeds: for each pair (count, seed) a float32 array [count, D]."""
        if "latents" not in model.signatures:
            return [model.latents(*seed) for seed in seeds]
        found = await asyncio.gather(*(
            self.call(model.signatures["latents"], {"count": np.int32(count), "seed": np.int32(seed)}, count)
            for count, seed in seeds))
        return [outputs["noise"] for outputs in found]

    async def samples(self, model, inputs):
        """What the signature serving_default makes of arrays [n, …], in calls of at most max_batch rows."""
        count = len(next(iter(inputs.values())))
        size = self.limits.max_batch
        parts = [{name: array[i:i + size] for name, array in inputs.items()} for i in range(0, count, size)]
        found = await asyncio.gather(*(self.call(model.default, part, min(size, count - i * size))
                                       for i, part in enumerate(parts)))
        samples = np.concatenate([outputs[model.contract["output"]["name"]] for outputs in found])
        if not np.isfinite(samples).all():
            raise Refusal(400, f"{model.contract['output']['name']}: the model gives no finite values for these inputs")
        return samples


_NOISE = "execution error", "Detected at node", "most recent call last", "stack traces"


def _sentence(message):
    """What TensorFlow says of values, without the names of its nodes and its traceback."""
    if asserted := re.search(r"assertion failed: \[(.*?)\]", message):
        return asserted[1][:300]
    lines = re.sub(r"\{\{\w+ [^}]*\}\}\s*|\[\[.*?\]\]|\[Op:\w+\].*", "", message).splitlines()
    return next((line.strip() for line in lines if line.strip() and not any(each in line for each in _NOISE)), "they do not fit")[:300]


class Studio:
    """Threads that make pictures and nothing else, and a bound on what they have to do.

    pixels: of the pictures that there is room for now.
    """

    def __init__(self):
        self.pixels = 0
        self._small, self._large = ((asyncio.Semaphore(_PAINTERS), ThreadPoolExecutor(_PAINTERS, name))
                                    for name in ("small", "large"))

    @contextlib.contextmanager
    def room(self, pixels):
        """Keeps room for a picture while it is made. Raises Refusal: 429 if others take it up."""
        if self.pixels + pixels > MAX_WAITING:
            raise Refusal(429, f"{self.pixels} pixels of pictures wait already, {pixels} more exceed {MAX_WAITING}",
                          {"Retry-After": "1"})
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels

    async def make(self, pixels, request, function, *arguments):
        """What a function gives, in turn; `pixels`, or bytes or values, say how much it has to do.

        Raises:
            Refusal: 499 if the client has gone before.
        """
        turn, pool = self._small if pixels <= _SMALL else self._large
        async with turn:
            if await request.is_disconnected():
                raise Refusal(499, "the client has gone")
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


class Metrics:
    """Numbers for Prometheus."""

    def __init__(self, service):
        prometheus_client.disable_created_metrics()  # a second series for each, that nothing reads
        self.registry = registry = prometheus_client.CollectorRegistry()
        self.requests = prometheus_client.Counter(
            "serve_requests", "requests answered", ["method", "path", "status"], registry=registry)
        self.seconds = prometheus_client.Histogram(
            "serve_request_seconds", "from the head of a request to the end of its answer", ["path"], registry=registry)
        self.batch = prometheus_client.Histogram(
            "serve_batch_rows", "rows of a call of the model", buckets=[2 ** i for i in range(11)], registry=registry)
        self.reloads = prometheus_client.Counter(
            "serve_reloads", "models loaded, the first too, by how it went", ["result"], registry=registry)
        prometheus_client.Gauge("serve_queue_rows", "rows that wait", registry=registry).set_function(
            lambda: service.batcher.rows)
        prometheus_client.Gauge("serve_model_version", "that is served; 0: none yet", registry=registry).set_function(
            lambda: service.versions.current.version if service.versions.current else 0)
        prometheus_client.ProcessCollector(registry=registry)  # memory, processor time, open files
