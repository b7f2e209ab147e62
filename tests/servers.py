"""A server in a process of its own, and a client: what the tests of export.serve share."""
import contextlib
import http.client
import io
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
PREDICT = "/v1/models/tiny:predict"
REAL = sys.executable  # not what conftest puts in its place


class Server:
    """python -m export.serve in a process of its own, on a free port."""

    def __init__(self, folder, path, *arguments, files=None):
        self.log, self.access = folder / "errors", folder / "access"
        with self.log.open("w") as errors, self.access.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "export.serve", str(path), "--port=0", *arguments], cwd=ROOT, stderr=errors,
                stdout=output, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
                preexec_fn=files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))))
        self.until(lambda: "http://" in self.log.read_text())
        self.port = int(re.search(r"http://.*:(\d+)", self.log.read_text()).group(1))

    def until(self, true, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def ask(self, path, body=None, headers=None, method=None):
        """(status, headers with lower-case names, bytes)"""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=30)) as connection:
            return asked(connection, path, body, headers, method)

    def predict(self, asked, path=PREDICT):
        status, _, body = self.ask(path, json.dumps(asked))
        return status, json.loads(body)

    def number(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics")[2].decode(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def stop(self):
        """Exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def asked(connection, path, body=None, headers=None, method=None):
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()


@contextlib.contextmanager
def serving(folder, path, *arguments, files=None):
    server = Server(folder, path, *arguments, files=files)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@contextlib.contextmanager
def lasting(*arguments, **options):
    """A function that gives the one server of many tests: a new one behind a test that has stopped it. Arguments: of Server."""
    found = []

    def server():
        if not found or found[-1].process.poll() is not None:
            found.append(Server(*arguments, **options))
        return found[-1]
    try:
        yield server
    finally:
        for each in found:
            each.process.kill()
            each.process.wait()


@contextlib.contextmanager
def connected(server):
    with socket.create_connection((HOST, server.port), timeout=20) as connection:
        yield connection


def everything(connection):
    """All that comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))
