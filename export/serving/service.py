"""What the paths share: the model that is served, the queue before it, and what is counted."""
import asyncio
import logging
from importlib.metadata import version

import numpy as np
import prometheus_client

from export.serving.batching import Batcher, Full
from export.serving.limits import Refusal

LOG = logging.getLogger("export.serve")


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

    def __init__(self, versions, name, limits, wait=0.0, allowed_hosts=("localhost",), poll=2.0):
        self.versions, self.name, self.limits = versions, name, limits
        self.allowed_hosts, self.poll = set(allowed_hosts), poll
        self.draining = self.failed = False
        self.metrics = Metrics(self)
        self.batcher = Batcher(limits.max_batch, limits.max_queue, wait, self.metrics.batch.observe)
        self.programs = " ".join(version(name) for name in ("tensorflow", "pillow"))  # pictures depend on them

    async def watch(self, give_up):
        """Loads the model, then looks for newer ones for ever. Calls `give_up` if there is none to begin with."""
        told = ""
        while True:
            try:
                result = await asyncio.to_thread(self.versions.refresh)
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
            await asyncio.sleep(self.poll)

    def model(self, number=None):
        """The Model that is served. Raises Refusal: 503 if it is not loaded yet, 404 if it is of another version."""
        model = self.versions.current
        if model is None:
            raise Refusal(503, "no model is loaded yet", {"Retry-After": "1"})
        if number not in (None, model.version):
            raise Refusal(404, f"version {number} of {self.name} is not served; {model.version} is")
        return model

    def drawn(self):
        """The Model, if pictures can be made of it. Raises Refusal: 404 if not."""
        model = self.model()
        if model.kind is None:
            raise Refusal(404, f"no pictures of {self.name}: {model.why}")
        return model

    async def call(self, signature, inputs, rows):
        """Dict of arrays that a Signature gives, in turn. Raises Refusal: 429 if too many wait, 400 by the model."""
        import tensorflow as tf
        try:
            return await asyncio.wrap_future(self.batcher.submit(signature, inputs, rows, signature.joins))
        except Full as error:
            raise Refusal(429, f"{error} (--max_queue)", {"Retry-After": "1"}) from None
        except tf.errors.InvalidArgumentError as error:  # values that the model itself refuses
            raise Refusal(400, f"inputs: the model refuses them: {error.message[:300]}") from None

    async def samples(self, model, inputs):
        """What the signature serving_default makes of arrays [n, …], in calls of at most max_batch rows."""
        count = len(next(iter(inputs.values())))
        size = self.limits.max_batch
        parts = [{name: array[i:i + size] for name, array in inputs.items()} for i in range(0, count, size)]
        found = await asyncio.gather(*(self.call(model.default, part, min(size, count - i * size))
                                       for i, part in enumerate(parts)))
        return np.concatenate([outputs[model.contract["output"]["name"]] for outputs in found])


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
