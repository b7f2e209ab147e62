"""Does the server stay up, quick and small under load, a part of it hostile? Prints figures, and one JSON line last.

    python benchmarks/faults/server.py                    100,000 requests, for ten minutes at most
    python benchmarks/faults/server.py --minutes=1        to see that it works

The untrained dcgan of benchmarks/serve_load.py (64×64×3), but with filters=8 so that the server and not the network is what is
loaded, is served by `python -m export.serve` with its default settings but --client_timeout=2. 64 clients, each on a connection
of its own, ask for pictures and POST batches of noise. One request in twenty is hostile: a broken body or path, numbers of no
range, JSON that is deep or not finite, a body larger than the bound (with its length told, and in chunks without end), a
header of 64 KiB, no HTTP at all, another Host, paths that climb out of the folder, a client that sends a byte and waits, one
that goes away in the midst of its request, one that asks for large pictures and does not read. Beside them all the time 32
connections are open on which nothing is ever said, reopened when they are closed.

Every answer must have a status below 500, a sound request 200 and nothing else; nothing that is answered to a hostile one may
hold a line of /etc/passwd. Printed are requests by status, p50 and p99 of the sound ones, and the memory and open files of
the server after a tenth of the run and in the end. 429 (the queue is full) is counted apart: it is an answer to load.
"""
import argparse
import asyncio
import collections
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import serve_load  # noqa: E402

CLIENTS, IDLE = 64, 32
PREDICT = "/v1/models/dcgan:predict"


def request(path, body=None, host="localhost", more=""):
    kind = "GET" if body is None else "POST"
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    return f"{kind} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{more}\r\n".encode() + (body or b"")


def sound(rng):
    if rng.random() < 0.8:
        return request(f"/image.png?seed={rng.randrange(2**31)}")
    rows = [[round(rng.gauss(0, 1), 3) for _ in range(100)] for _ in range(rng.randint(1, 4))]
    return request(PREDICT, json.dumps({"instances": rows}).encode())


def hostile(rng):
    """(bytes, what is done after they are sent: "read", "wait" or "leave")."""
    huge = b"[" * 200_000
    return rng.choice([
        (request(PREDICT, b"{"), "read"), (request(PREDICT, b'{"instances": [[NaN]]}'), "read"),
        (request(PREDICT, huge), "read"),
        (request(PREDICT, b'{"instances": [[1e999, "x", null]]}'), "read"), (request(PREDICT, b'{"instances": []}'), "read"),
        (request(PREDICT, b"\xff\xfe\x00"), "read"), (request("/image.png?seed=-1"), "read"),
        (request("/image.png?seed=1&seed=2"), "read"), (request("/grid.png?rows=10000&columns=10000"), "read"),
        (request("/image.png?seed=99999999999999999999&scale=1e9"), "read"),
        (request("/../../../../../../etc/passwd"), "read"), (request("/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd"), "read"),
        (request("//etc/passwd"), "read"), (request("/v1/models/..%2f..%2fetc%2fpasswd"), "read"),
        (request("/image.png", host="evil.example"), "read"), (request("/image.png", more=f"X: {'x' * 65_536}\r\n"), "read"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200), "read"), (b"\r\n\r\n\0\0\0\r\n\r\n", "read"),
        (request(PREDICT, b"", more="Content-Length: 5000000\r\n"), "read"),
        (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n".encode(), "read"),
        (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
         + 40 * (b"10000\r\n" + b" " * 65_536 + b"\r\n"), "read"),
        (b"G", "wait"), (f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode(), "wait"),
        (request(f"/image.png?seed={rng.randrange(2**31)}"), "leave"), (b"GET /image", "leave"),
        (20 * request("/grid.png?scale=8"), "wait")])


async def answer(reader):
    """(status, body)."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    return int(head.split()[1]), await reader.readexactly(int(length.group(1)) if length else 0)


async def client(port, rng, left, found):
    connection = None
    while next(left, None) is not None:
        if rng.random() < 0.05:
            if connection:  # which the server would close meanwhile: nothing is asked on it
                connection[1].close()
                connection = None
            await attack(port, *hostile(rng), found)
            continue
        data, start = sound(rng), time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection("127.0.0.1", port)
            connection[1].write(data)
            status, _ = await asyncio.wait_for(answer(connection[0]), 60)
            found["seconds"].append(time.perf_counter() - start)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            status, connection = type(error).__name__, None
        found["sound"][status] += 1


async def attack(port, data, then, found):
    """A hostile request, on a connection of its own."""
    status, writer = then, None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        if then == "wait":  # until the server has had enough; of large pictures nothing is read
            if len(data) > 1000:
                await asyncio.sleep(5)
            while len(data) < 1000 and await asyncio.wait_for(reader.read(1 << 16), 30):
                pass
        elif then == "read":
            status, body = await asyncio.wait_for(answer(reader), 30)
            found["leaks"] += b"root:" in body
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        status = "closed"
    except asyncio.TimeoutError:
        status = "no answer"
    finally:
        if writer:
            writer.transport.abort()
    found["hostile"][status] += 1


async def idle(port):
    """A connection on which nothing is said."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await reader.read()
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(0.1)


def used(process):
    """(megabytes of memory, open files) of the server."""
    place = Path(f"/proc/{process.pid}")
    return (int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(place / "fd")))


async def load(process, port, requests, minutes, found):
    found["began"] = began = time.perf_counter()

    def count():
        for i in range(requests):
            passed = max(i / requests, (time.perf_counter() - began) / (60 * minutes))
            if passed >= 0.1 and "early" not in found:
                found["early"] = used(process)
            if passed > 1:
                return
            yield i
    left, rng = count(), random.Random(0)
    others = [asyncio.create_task(idle(port)) for _ in range(IDLE)]
    await asyncio.gather(*(client(port, random.Random(rng.random()), left, found) for _ in range(CLIENTS)))
    found["took"] = time.perf_counter() - began
    for task in others:
        task.cancel()
    await asyncio.sleep(5)  # for what clients have left open
    found["late"] = used(process)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=10, help="after which no more are sent")
    options = parser.parse_args()
    found = {"sound": collections.Counter(), "hostile": collections.Counter(), "seconds": [], "leaks": 0}
    with tempfile.TemporaryDirectory() as folder:
        saved_model = os.path.join(folder, "saved_model")
        build = serve_load.BUILD.format(shape=serve_load.SHAPE, folder=saved_model).replace("{}", '{"filters": 8}')
        subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, stderr=subprocess.DEVNULL,
                       env={**os.environ, "PYTHONPATH": str(ROOT)})
        with open(os.path.join(folder, "log"), "w") as log:
            process, port = serve_load.serve(saved_model, ["--client_timeout=2"], log)
            try:
                asyncio.run(load(process, port, options.requests, options.minutes, found))
                alive = process.poll() is None
            finally:
                process.terminate()
                process.wait()
        errors = [line for line in Path(log.name).read_text().splitlines() if "Traceback" in line]
    times = sorted(1000 * seconds for seconds in found["seconds"])
    worst = [status for kind in ("sound", "hostile") for status in found[kind] if isinstance(status, int) and status >= 500]
    strange = [status for status in found["sound"] if status not in (200, 429)]
    (early, early_files), (late, late_files) = found["early"], found["late"]
    result = {"benchmark": "faults/server", "requests": sum(found["sound"].values()) + sum(found["hostile"].values()),
              "seconds": round(found["took"], 1), "clients": CLIENTS, "idle": IDLE,
              "sound": {str(key): value for key, value in found["sound"].items()},
              "hostile": {str(key): value for key, value in found["hostile"].items()}, "leaks": found["leaks"],
              "p50_ms": round(statistics.median(times), 1), "p99_ms": round(times[int(0.99 * len(times))], 1),
              "mb": [round(early, 1), round(late, 1)], "files": [early_files, late_files], "tracebacks": len(errors)}
    good = alive and not (worst or strange or found["leaks"] or errors) and late < 1.1 * early + 20
    print(json.dumps({**result, "good": good}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
