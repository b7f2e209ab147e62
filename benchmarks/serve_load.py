"""How many images does the server make, and how long does a client wait? Prints a table, and one JSON line last.

    python benchmarks/serve_load.py                                   3 rounds of 10 s for each case: about 4 minutes
    python benchmarks/serve_load.py --seconds=1 --rounds=1            to see that it works

An untrained dcgan of 64x64x3 with its default settings (100 numbers to an image) is exported and served by
`python -m export.serve`, once with dynamic batching (--max_batch=64, its default) and once with --max_batch=1. Clients
ask for /image.png?seed=N, another N each time, and get a PNG: noise from the seed, the network, rounding and encoding
are all in the time. Each of 1, 8 and 64 clients has a connection of its own that is kept, and asks again as soon as it
has its answer. They share one process beside the server's, with asyncio and no HTTP library, so on few cores they take
some of the server's time: the less, the larger the model.

Each case warms up for a second first. Rounds take turns between the two servers; figures are medians over the rounds:
`images_per_second`, `p50` and `p99` of the milliseconds from request to answer, and `rows`, the mean rows of a call.
"""
import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHAPE = 64, 64, 3
CASES = {"batched": [], "single": ["--max_batch=1"]}

# in a process of its own: this one is to have no TensorFlow beside the clients
BUILD = """
import sys
import keras
import export.saved_model
from export import contract
from kgan import models
keras.utils.set_random_seed(0)
gan = models.build("dcgan", {shape}, {{}})
export.saved_model.write(gan.ema_generator, {{
    "name": "dcgan", "model": "dcgan", "dataset": "none", "step": 1, "directions": [], **contract.interface(gan)}},
    {folder!r}, gan.latents)
"""


def serve(folder, arguments, log):
    """(process, port) of a server that is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "export.serve", folder, "--port=0", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while "http://" not in Path(log.name).read_text():
        if process.poll() is not None:
            sys.exit(f"the server ended: {Path(log.name).read_text()}")
        time.sleep(0.1)
    return process, int(re.search(r"http://.*:(\d+)", Path(log.name).read_text()).group(1))


async def ask(reader, writer, path):
    """The body of an answer."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    body = await reader.readexactly(int(re.search(r"content-length: (\d+)", head, re.IGNORECASE).group(1)))
    if not head.startswith("HTTP/1.1 200"):
        raise RuntimeError(f"{path}: {head.splitlines()[0]}: {body.decode()}")
    return body


async def client(port, seeds, until, seconds):
    """Appends what each answer took to `seconds`, as (when it came, seconds)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        start = time.perf_counter()
        body = await ask(reader, writer, f"/image.png?seed={next(seeds)}")
        seconds.append((time.perf_counter(), time.perf_counter() - start))
        assert body.startswith(b"\x89PNG")
    writer.close()


async def calls(port):
    """(calls of the model so far, rows of all)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = (await ask(reader, writer, "/metrics")).decode()
    writer.close()
    return [float(re.search(rf"^serve_batch_rows_{name} (\S+)", text, re.MULTILINE).group(1))
            for name in ("count", "sum")]


async def measure(port, clients, duration, seeds):
    """Figures of a round, as a dict."""
    await asyncio.gather(*(client(port, seeds, time.perf_counter() + 1, []) for _ in range(clients)))
    before, start, answers = await calls(port), time.perf_counter(), []
    await asyncio.gather(*(client(port, seeds, start + duration, answers) for _ in range(clients)))
    count, rows = (after - earlier for after, earlier in zip(await calls(port), before))
    times = sorted(1000 * seconds for _, seconds in answers)
    elapsed = max(when for when, _ in answers) - start
    return {"images_per_second": len(times) / elapsed, "p50": statistics.median(times),
            "p99": times[min(len(times) - 1, int(0.99 * len(times)))], "rows": rows / count}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of a case in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,8,64")
    options = parser.parse_args()
    found, seeds = {}, iter(range(1 << 30))
    with tempfile.TemporaryDirectory() as folder:
        saved_model = os.path.join(folder, "saved_model")
        subprocess.run([sys.executable, "-c", BUILD.format(shape=SHAPE, folder=saved_model)], cwd=ROOT, check=True,
                       stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
        for _ in range(options.rounds):
            for case, arguments in CASES.items():
                with open(os.path.join(folder, "log"), "w") as log:
                    process, port = serve(saved_model, arguments, log)
                    try:
                        for clients in map(int, options.clients.split(",")):
                            found.setdefault((case, clients), []).append(
                                asyncio.run(measure(port, clients, options.seconds, seeds)))
                    finally:
                        process.terminate()
                        process.wait()
    results = [{"server": case, "clients": clients,
                **{name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}}
               for (case, clients), rounds in found.items()]
    print(f"{'server':<10}{'clients':>8}{'images/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'rows a call':>13}")
    for row in results:
        print(f"{row['server']:<10}{row['clients']:>8}{row['images_per_second']:>10.1f}{row['p50']:>9.1f}"
              f"{row['p99']:>9.1f}{row['rows']:>13.1f}")
    print(json.dumps({"benchmark": "serve_load", "model": "dcgan 64x64x3", "cores": len(os.sched_getaffinity(0)),
                      "seconds": options.seconds, "rounds": options.rounds, "results": results}))


if __name__ == "__main__":
    main()
