"""Serves an exported generator over HTTP: a web page, pictures, and TensorFlow Serving's REST API. `python -m export.serve` is the same.

    kgan serve runs/NAME                        http://127.0.0.1:8000

The path is runs/NAME, runs/NAME/export, a SavedModel, or a folder of SavedModels whose names are numbers, of which the newest is
served. A newer one takes over as soon as it is there. docs/serving.md has the addresses. Imports no Keras, and of kgan only
kgan.kinds, so TensorFlow is enough.
"""
import asyncio
import contextlib
import importlib.util
import ipaddress
import logging
import math
import os
import re
import resource
import signal
import socket
import sys
from pathlib import Path

from absl import app, flags

import kgan

FLAGS = flags.FLAGS
flags.DEFINE_string("host", "127.0.0.1", "address to listen at; 0.0.0.0: all that this machine has")
flags.DEFINE_integer("port", 8000, "port to listen at; 0: any that is free", lower_bound=0, upper_bound=65535)
flags.DEFINE_string("name", None, "of the model, in paths; default: its run's name, or the folder's")
flags.DEFINE_integer("max_batch", 64, "rows in one call of the model, and in one request", lower_bound=1,
                     upper_bound=65536)
flags.DEFINE_float("batch_wait_ms", 0, "how long a request waits for others to run with; 0: only while others run",
                   lower_bound=0, upper_bound=10000)
flags.DEFINE_integer("max_queue", 512, "rows that may wait; further requests get 429", lower_bound=1)
flags.DEFINE_integer("max_body", 1 << 22, "bytes of a request's body; beyond: 413", lower_bound=1)
flags.DEFINE_integer("max_pixels", 1 << 20, "of an image in a request", lower_bound=1, upper_bound=1 << 26)
flags.DEFINE_integer("max_images", 64, "samples in a grid or an animation", lower_bound=1, upper_bound=256)
flags.DEFINE_float("client_timeout", 10, "seconds a client may take to send a request or to take an answer",
                   lower_bound=0.1)
flags.DEFINE_list("allowed_hosts", [], "host names in requests that are answered, besides localhost and --host; *: any")
flags.DEFINE_list("proxy", [], "addresses of proxies before it, or networks of them: of their requests the log has the client that "
                  "X-Forwarded-For names")
flags.DEFINE_float("poll_seconds", 2, "how often a newer model is looked for", lower_bound=0.01)
flags.DEFINE_float("drain_seconds", 10, "how long requests may still take after the server is told to stop", lower_bound=0)

LOG = logging.getLogger("export.serve")
PACKAGES = "fastapi", "orjson", "prometheus_client", "python_multipart", "uvicorn"
_CONNECTIONS = 1024  # open at once, where the system allows the files
_BURST = 32  # connections that are accepted at one go
_SPARE = 64 + 4 * _BURST  # files: the process's own, and of connections that are not yet counted or being closed
_NAMED = 5  # paths in a message
_LAST_CALL = 0.3  # seconds for which connections without a request are kept when it is told to stop


class UsageError(Exception):
    """A mistake on the command line; the message says what is wrong and what to do."""


def main(arguments):
    """Serves until SIGTERM or SIGINT, and ends the process.

    Raises:
        UsageError: a flag or PATH is wrong.
    """
    if len(arguments) != 2:
        raise UsageError(f"which export? {_command('serve')} runs/NAME/export")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing).replace('_', '-')} not installed: pip install -e \".[serve]\"")
    if FLAGS.max_queue < max(FLAGS.max_batch, FLAGS.max_images):
        raise UsageError(f"--max_queue={FLAGS.max_queue}: must be at least --max_batch={FLAGS.max_batch} and "
                         f"--max_images={FLAGS.max_images}, or such a request would never be taken")
    for each in FLAGS.proxy:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            raise UsageError(f"--proxy={each}: is no IP address, and no network such as 10.0.0.0/8") from None
    from PIL import Image

    from export.serving.limits import Limits
    from export.serving.model import Versions
    from export.serving.service import Service

    versions = Versions(arguments[1], FLAGS.max_batch)
    name = model_name(versions, arguments[1])
    listener = listen(FLAGS.host, FLAGS.port)
    _set_up_logs()
    import_tensorflow()
    limits = Limits(FLAGS.max_batch, FLAGS.max_queue, FLAGS.max_body, FLAGS.max_images, FLAGS.client_timeout,
                    FLAGS.max_pixels)
    Image.MAX_IMAGE_PIXELS = None  # kgan.kinds.image.read has a bound of its own, which comes before any decoding
    service = Service(versions, name, limits, FLAGS.batch_wait_ms / 1000, hosts(FLAGS.host, FLAGS.allowed_hosts),
                      FLAGS.poll_seconds)
    run(service, listener)


def model_name(versions, path):
    """--name, else what the newest version with a generator.json says, else the folder's."""
    from export.serving.contract import read_contract
    try:
        found = versions.found()
        near = [] if found else versions.near()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if not found:
        raise UsageError(f"{path}: {_lacking(Path(path), near)}")
    told = filter(None, (read_contract(folder)[0].get("name") for _, folder in found))
    name = FLAGS.name or next(told, Path(path).resolve().name)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", str(name)):
        raise UsageError(f"--name={name}: stands in paths, so it takes letters, digits and _ . - alone")
    return name


def _lacking(path, near):
    """Why nothing can be served of a path, and what to do."""
    if near:
        return (f"nothing to serve there, but in {', '.join(map(str, near[:_NAMED]))}{' …' if len(near) > _NAMED else ''}: "
                f"{_command('serve')} {near[0]}")
    if not path.exists():
        return "there is no such folder"
    if (path / "config.json").is_file():
        return f"it is a run without a SavedModel so far: {_command('export')} {path} writes one"
    return f"no saved_model.pb there, nor in saved_model/ or folders named by numbers; {_command('export')} runs/NAME writes one"


def _command(name):
    """`kgan serve` where that is how the program was started, else `python -m export.serve`; likewise for `export`."""
    if sys.argv[0].startswith("kgan "):
        return f"kgan {name}"
    return "python -m export" + (".serve" if name == "serve" else "")


def hosts(host, allowed):
    """Set of the host names that requests may bear."""
    return {name.strip().lower() for name in ("localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host,
                                              *allowed) if name.strip()}


def listen(host, port):
    """A socket bound to that address."""
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"--host={host} --port={port}: cannot listen there: {error.strerror or error}") from None
    # connections inherit it; asyncio does not set it here, and an answer's body would wait 40 ms for the client's ACK
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def run(service, listener):
    """Serves at a bound socket until a signal, or until there turns out to be no model; then ends the process."""
    import uvicorn

    from export.serving.app import create

    class Server(uvicorn.Server):
        """uvicorn's, that answers those first who have a connection already, and says that it closes."""

        async def startup(self, sockets=None):
            await super().startup(sockets)
            listener.listen(_CONNECTIONS)  # asyncio lets only as many wait as it accepts at one go

        async def shutdown(self, sockets=None):
            service.draining = True
            for server in self.servers:
                server.close()
            until = asyncio.get_running_loop().time() + min(_LAST_CALL, FLAGS.drain_seconds)
            while self.server_state.connections and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.02)
            await super().shutdown(sockets)
            if self.server_state.tasks:  # cancelled, which they are yet to answer
                await asyncio.wait(self.server_state.tasks, timeout=_LAST_CALL)

    def give_up():
        server.should_exit = True

    async def serve():
        await server.serve([listener])
        # nobody waits any more for the pictures that threads still make, but Python would
        sys.stdout.flush()
        os._exit(2 if service.failed else 0)

    def ready():
        host, port = listener.getsockname()[:2]
        LOG.info("%s at http://%s:%d", service.name, f"[{host}]" if ":" in host else host, port)

    connections = _connections()
    server = Server(uvicorn.Config(
        create(service, give_up, ready), http=_protocol(connections), ws="none", lifespan="on", log_config=None,
        log_level="error", access_log=False, server_header=False,
        proxy_headers=bool(FLAGS.proxy), forwarded_allow_ips=FLAGS.proxy, limit_concurrency=connections,
        backlog=_BURST, timeout_keep_alive=5, timeout_graceful_shutdown=FLAGS.drain_seconds,
        h11_max_incomplete_event_size=16 << 10))
    # uvicorn raises the signal again when it is done, which would end the process by it
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    asyncio.run(serve())


def _connections():
    """How many may be open at once, with as many files as the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _CONNECTIONS + _SPARE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return _CONNECTIONS
    files = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(1, files - _SPARE)


def _protocol(connections):
    """uvicorn's HTTP/1.1, less patient: connections that neither ask nor take their answer are closed.

    A request on one of more than `connections` is answered 503, by uvicorn; still more are closed at once: without a
    file for the next, the server would take none at all.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol  # bounds the head of a request as it comes in

    class Protocol(H11Protocol):
        watch = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._watch()
            if len(self.connections) > connections + _BURST:
                transport.abort()

        def on_response_complete(self):
            super().on_response_complete()
            self._watch(self.transport.get_write_buffer_size())

        def connection_lost(self, exc):
            self.watch.cancel()
            super().connection_lost(exc)

        def _watch(self, unsent=0):
            if self.watch:
                self.watch.cancel()
            self.watch = self.loop.call_later(FLAGS.client_timeout, self._look, unsent)

        def _look(self, before):
            unsent = self.transport.get_write_buffer_size()
            if self.cycle and not self.cycle.response_complete:
                return  # a request is being answered; its end starts the watch again
            if 0 < unsent < before:
                self._watch(unsent)  # slow, but it reads
            else:
                self.transport.abort()

    return Protocol


# === Quiet ===

def _set_up_logs():
    """The access log to standard output, one JSON object a line; what happens to the server to standard error."""
    for name, stream, form in (("export.access", sys.stdout, "%(message)s"),
                               ("export.serve", sys.stderr, "serve: %(message)s")):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(form))
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)


def import_tensorflow():
    """Imports it without the lines that C++ writes straight to file descriptor 2 before it can be told not to."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with open(os.devnull, "wb") as nowhere, contextlib.ExitStack() as stack:
        kept = os.dup(2)
        stack.callback(os.close, kept)
        stack.callback(os.dup2, kept, 2)
        os.dup2(nowhere.fileno(), 2)
        kgan._registered.append(True)  # Keras, which TensorFlow imports, need not learn of all models to serve a SavedModel
        import tensorflow as tf
        tf.config.list_physical_devices()  # looks for drivers, and says so
    tf.get_logger().setLevel("ERROR")


# === The command ===

def _parse(arguments):
    try:
        words = FLAGS(arguments)
        for name in FLAGS:  # no bound keeps out NaN
            if isinstance(value := FLAGS[name].value, float) and not math.isfinite(value):
                raise flags.IllegalFlagValueError(f"flag --{name}={value}: must be a finite number")
        return words
    except flags.Error as error:
        _fail(error)
    except SystemExit:  # --help: absl would have it 1
        sys.exit(0)


def _guarded(arguments):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # until the server takes them over
    try:
        return main(arguments)
    except UsageError as error:
        _fail(error)


def _fail(error):
    sys.stderr.write(f"{_command('serve').removeprefix('python -m ')}: {error}\n")
    sys.exit(2)


if __name__ == "__main__":
    app.run(_guarded, flags_parser=_parse)
