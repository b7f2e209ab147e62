"""The server of an exported generator, over real sockets by an ordinary client, against Keras."""
import base64
import contextlib
import dataclasses
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
import types
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from conditional import CLASSES, tiny
from PIL import Image
from servers import HOST, PREDICT, ROOT, asked, connected, everything, lasting, pixels, serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

import export
import export.saved_model
from export import contract
from export.serving import drawing, rest
from export.serving.batching import Batcher, Full
from export.serving.contract import Function
from export.serving.limits import Refusal
from export.serving.model import Model, Versions
from export.serving.pictures import AnimationQuery, GridQuery, ImageQuery
from kgan import kinds, latent, models, run
from kgan.kinds import noise as noise_kind
from kgan.kinds.image import store
from kgan.kinds.noise import along

TOP = 2**31 - 1


# === Models and servers ===

def made(directory, model="dcgan", shape=(8, 8, 3), step=3, gain=60.0, **settings):
    """A SavedModel of an untrained GAN in `directory`. Returns the GAN."""
    keras.utils.set_random_seed(4)
    gan = models.build(model, shape, settings or dict(filters=4, noise_dim=8))
    for variable in gan.ema_generator.variables[-2:]:  # of the last layer: untrained, all images are grey
        variable.assign(gain * variable)
    place = run.Run(directory.parent / "run" / "tiny")
    if not place.directory.exists():
        config = {name: value for name, value in dataclasses.asdict(gan.config).items() if name != "dataset"}
        place.begin({"kgan": "0", "model": model, "dataset": "ring", "seed": 0, "shape": list(shape), "config": config})
    told = contract.contract(gan, place.directory, step, "newest", "")
    export.saved_model.write(gan.ema_generator, told, directory, gan.latents)
    return gan


def written(gan, directory, **changes):
    """A GAN's SavedModel in `directory`, with a contract that says what a page needs."""
    told = {"name": "tiny", "model": "some", "dataset": "none", "step": 3, **contract.interface(gan),
            "directions": latent.principal_directions(gan, samples=256).astype(float).tolist()}
    export.saved_model.write(gan.ema_generator, told, directory, gan.latents)
    (directory / export.CONTRACT).write_text(json.dumps({**told, **changes}))
    return directory


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return folder, made(folder / "saved_model")


@pytest.fixture(scope="module")
def gan(made_once):
    return made_once[1]


@pytest.fixture(scope="module")
def model(made_once):
    """The same SavedModel, loaded in this process."""
    return Model(made_once[0] / "saved_model")


@pytest.fixture(scope="module")
def server(made_once, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), made_once[0], "--poll_seconds=0.2") as found:
        yield found


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """(server, GAN) of a model with classes, in which a request waits 0.1 s for others."""
    folder, gan = tmp_path_factory.mktemp("conditional"), tiny("gains")
    written(gan, folder / "saved_model")
    with serving(folder, folder, "--batch_wait_ms=100") as found:
        yield found, gan


@pytest.fixture(scope="module")
def narrow_server(made_once, tmp_path_factory):
    with lasting(tmp_path_factory.mktemp("narrow"), made_once[0] / "saved_model", "--name=few", "--max_batch=4",
                 "--max_queue=4", "--max_images=4", "--batch_wait_ms=2500", "--max_body=2000",
                 "--client_timeout=1", files=300) as found:
        yield found


@pytest.fixture
def narrow(narrow_server):
    """A server with little room and few files, in which a request waits 2.5 s for others."""
    return narrow_server()


# === TensorFlow Serving's form ===

def test_predict(server, gan):
    noise = gan.latents(3, seed=5).numpy()
    wanted = np.asarray(gan(noise))
    assert wanted.std() > 0.1
    rows = noise.tolist()
    for body in ({"instances": rows}, {"instances": [{"noise": row} for row in rows]},
                 {"instances": rows, "signature_name": "serving_default"}, {"instances": rows, "signature_name": ""}):
        status, found = server.predict(body)
        assert status == 200 and list(found) == ["predictions"], found
        np.testing.assert_allclose(found["predictions"], wanted, atol=1e-5)
    for body in ({"inputs": rows}, {"inputs": {"noise": rows}}):
        status, found = server.predict(body, "/v1/models/tiny/versions/3:predict")
        assert status == 200 and list(found) == ["outputs"], found
        np.testing.assert_allclose(found["outputs"], wanted, atol=1e-5)
    # a curl without a header sends another content type
    assert server.ask(PREDICT, json.dumps({"instances": rows}), {"Content-Type": "text/plain"})[0] == 200


def test_other_signatures(server, gan):
    wanted = store(gan.generate(4, seed=9))
    status, found = server.predict({"signature_name": "generate", "inputs": {"count": 4, "seed": 9}})
    assert status == 200
    np.testing.assert_array_equal(found["outputs"], wanted)
    found = server.predict({"signature_name": "png", "inputs": {"count": 4, "seed": 9}})[1]["outputs"]
    np.testing.assert_array_equal([pixels(base64.b64decode(image["b64"])) for image in found], wanted)
    found = server.predict({"signature_name": "latents", "inputs": {"count": 2, "seed": TOP}})[1]["outputs"]
    np.testing.assert_allclose(found, gan.latents(2, TOP), atol=1e-6)
    assert server.predict({"signature_name": "generate", "inputs": {"count": 0, "seed": 0}}) == (200, {"outputs": []})


def test_status_and_metadata(server):
    available = {"model_version_status": [{"version": "3", "state": "AVAILABLE",
                                           "status": {"error_code": "OK", "error_message": ""}}]}
    for path in ("/v1/models/tiny", "/v1/models/tiny/versions/3"):
        assert json.loads(server.ask(path)[2]) == available
    for path in ("/v1/models/tiny/metadata", "/v1/models/tiny/versions/3/metadata"):
        found = json.loads(server.ask(path)[2])
        assert found["model_spec"] == {"name": "tiny", "signature_name": "", "version": "3"}
        signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["method_name"] == "tensorflow/serving/predict"
        assert signature["inputs"]["noise"]["dtype"] == "DT_FLOAT"
        assert [size["size"] for size in signature["inputs"]["noise"]["tensor_shape"]["dim"]] == ["-1", "8"]
        assert [size["size"] for size in signature["outputs"]["images"]["tensor_shape"]["dim"]] == ["-1", "8", "8", "3"]


ROW = [0.5] * 8


@pytest.mark.parametrize("body, status, words", [
    (b"", 400, "body: not JSON"),
    (b'{"instances": [[1, 2', 400, "body: not JSON"),
    (b"\xff\xfe", 400, "body: not JSON"),
    (b"[" * 100_000, 400, "body: not JSON"),
    (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "instances[0].noise: 8 values"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400, "body: not JSON"),
    (b'{"instances": [[NaN, 0, 0, 0, 0, 0, 0, 0]]}', 400, "body: not JSON"),
    (b'{"instances": [[-Infinity, 0, 0, 0, 0, 0, 0, 0]]}', 400, "body: not JSON"),
    (b'{"instances": [[1e400, 0, 0, 0, 0, 0, 0, 0]]}', 400, "body: not JSON"),
    (b'{"instances": [[' + b"9" * 400 + b", 0, 0, 0, 0, 0, 0, 0]]}", 400, "body: not JSON"),
    ({"instances": [[*ROW[:5], 1e39, 0, 0]]}, 400, "instances[0].noise[5]: 1e+39 is beyond float32"),
    ([], 400, "body: an object"),
    ("text", 400, "body: an object"),
    ({}, 400, "instances, inputs"),
    ({"instances": [ROW], "inputs": [ROW]}, 400, "instances, inputs"),
    ({"instance": [ROW]}, 400, "instance: no such key"),
    ({"instances": []}, 400, "instances: the list is empty"),
    ({"instances": {"noise": [ROW]}}, 400, "instances: a list"),
    ({"instances": 7}, 400, "instances: a list"),
    ({"instances": [ROW, ROW[:7]]}, 400, "instances[1].noise: 8 values are needed, not 7"),
    ({"instances": [ROW, 3]}, 400, "instances[1].noise: a list is needed, not the number 3"),
    ({"instances": [[ROW]]}, 400, "instances[0].noise: 8 values"),
    ({"instances": [[[1], 2, 3, 4, 5, 6, 7, 8]]}, 400, "instances[0].noise[0]: a number is needed, not a list"),
    ({"instances": [["1"] * 8]}, 400, "instances[0].noise[0]: a number is needed, not a string"),
    ({"instances": [[0, 0, True, 0, 0, 0, 0, 0]]}, 400, "instances[0].noise[2]: a number is needed, not true"),
    ({"instances": [[None] * 8]}, 400, "instances[0].noise[0]: a number is needed, not null"),
    ({"instances": [{"noise": ROW, "label": 1}]}, 400, "instances[0]: label is no input"),
    ({"instances": [{}]}, 400, "instances[0]: noise is lacking"),
    ({"instances": [ROW] * 65}, 413, "instances: 65 rows; at most 64"),
    ({"inputs": [ROW] * 65}, 413, "inputs.noise: 65 rows; at most 64"),
    ({"inputs": {"noises": [ROW]}}, 400, "inputs: noises is no input"),
    ({"inputs": {"noise": ROW}}, 400, "inputs.noise: lists 1 deep, and 2 are needed"),
    ({"inputs": {"noise": {"b64": "AAAA"}}}, 400, "inputs.noise: a list is needed, not an object"),
    ({"inputs": [ROW], "signature_name": "serve"}, 400, "signature_name: no signature serve"),
    ({"inputs": [ROW], "signature_name": ["serving_default"]}, 400, "signature_name: no signature"),
    ({"inputs": {"count": 10**6, "seed": 0}, "signature_name": "generate"}, 413, "inputs.count: 1000000 rows"),
    ({"inputs": {"count": -1, "seed": 0}, "signature_name": "png"}, 400, "inputs.count: -1 is negative"),
    ({"inputs": {"count": 1.5, "seed": 0}, "signature_name": "png"}, 400, "inputs.count: an integer is needed"),
    ({"inputs": {"count": 1, "seed": 2**31}, "signature_name": "png"}, 400, "inputs.seed: 2147483648 is beyond int32"),
    ({"inputs": {"count": 1}, "signature_name": "png"}, 400, "inputs: seed is lacking"),
    ({"inputs": 3, "signature_name": "png"}, 400, "inputs: an object"),
    ({"instances": [{"count": 1, "seed": 0}], "signature_name": "png"}, 400, "instances: count, seed"),
    (b" " * (1 << 22) + b"{}", 413, "body: more than 4194304 bytes"),
])
def test_bad_bodies(server, body, status, words):
    found, headers, answer = server.ask(PREDICT, body if isinstance(body, bytes) else json.dumps(body))
    assert (found, headers["content-type"]) == (status, "application/json"), answer
    answer = json.loads(answer)
    assert list(answer) == ["error"] and words in answer["error"], answer
    assert len(answer["error"]) < 300


@pytest.mark.parametrize("path, status, words", [
    ("/image.png?sed=1", 400, "sed"), ("/image.png?seed=-1", 400, "seed=-1"), ("/image.png?seed=2147483648", 400, "="),
    ("/image.png?seed=1.5", 400, "seed=1.5"), ("/image.png?seed=", 400, "seed="), ("/image.png?to=1&to=2", 400, "to"),
    (f"/image.png?seed={'9' * 5000}", 400, "seed=9"), ("/image.png?at=2&to=1", 400, "at=2"),
    ("/image.png?at=0.5", 400, "at=0.5: it is a place on the way to another seed; say which by `to`"),
    ("/image.png?seed=1e3", 400, "seed=1e3"), ("/image.png?to=2.5", 400, "to=2.5"), ("/interpolate.gif?from=3.7", 400, "from=3.7"),
    ("/grid.png?seed=0x10", 400, "seed=0x10"), ("/interpolate.gif?at=0.5", 400, "at: no such parameter"),
    ("/image.png?at=nan", 400, "at=nan"), ("/image.png?to=x", 400, "to=x"),
    ("/image.png?label=3", 400, "label=3: this model has no classes; leave it out"),
    ("/image.png?truncation=0.05", 400, "truncation=0.05: Input should be greater than or equal to 0.1"),
    ("/grid.png?truncation=2.1", 400, "truncation=2.1"), ("/image.png?truncation=nan", 400, "truncation=nan"),
    ("/interpolate.gif?truncation=", 400, "truncation="),
    ("/image.png?directions=1,b", 400, "directions"), ("/image.png?directions=nan", 400, "directions"),
    ("/image.png?directions=11", 400, "directions"), ("/image.png?directions=" + "0," * 8 + "0", 400, "directions: 9"),
    ("/interpolate.gif?directions=" + "0," * 8 + "0", 400, "directions: 9"), ("/grid.png?directions=11", 400, "directions"),
    ("/image.png?scale=0", 400, "scale=0"), ("/image.png?scale=17", 400, "scale=17"),
    ("/grid.png?rows=0", 400, "rows=0"), ("/grid.png?rows=17", 400, "rows=17"),
    ("/grid.png?rows=16&cols=16", 400, "at most 64"), ("/grid.png?to=1", 400, "to"),
    ("/interpolate.gif?steps=1", 400, "steps=1"), ("/interpolate.gif?steps=65", 400, "at most 64"),
    ("/interpolate.gif?start=1", 400, "start"), ("/interpolate.gif?from=x", 400, "from=x"),
    ("/nothing", 404, "/nothing"), ("/v1/models/other", 404, "other"), ("/v1/models/tiny/versions/4", 404, "version 4"),
    ("/v1/models/tiny/versions/four", 400, "version=four"), (PREDICT, 405, "GET"), ("/docs", 404, "/docs"),
    ("/../setup.cfg", 404, ".."), ("/%2e%2e/setup.cfg", 404, "setup"), ("/page.js/../../setup.cfg", 404, "setup"),
    ("//etc/passwd", 404, "passwd"), ("/%2fetc%2fpasswd", 404, "passwd"), ("/..%5c..%5cwin.ini", 404, "win"),
    ("/page.js%00", 404, "page.js"), ("/index.html", 404, "index"), ("/rest.js", 404, "rest"),
])
def test_bad_paths(server, path, status, words):
    found, headers, answer = server.ask(path)
    assert found == status and words in json.loads(answer)["error"], answer
    assert headers["x-content-type-options"] == "nosniff"


def test_methods(server):
    for path, method in (("/image.png", "POST"), ("/", "DELETE"), ("/metrics", "PUT"), ("/image.png", "BREW")):
        assert server.ask(path, method=method)[0] == 405
    status, headers, body = server.ask("/image.png?seed=2", method="HEAD")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 50
    server.until(lambda: '"method": "HEAD"' in server.access.read_text())
    assert re.search(r'"HEAD".*"bytes": 0,', server.access.read_text())


# === Pictures ===

def test_picture_is_that_of_keras(server, gan):
    for seed in (0, 7, TOP):
        status, headers, content = server.ask(f"/image.png?seed={seed}")
        assert status == 200 and headers["content-type"] == "image/png"
        np.testing.assert_array_equal(pixels(content), store(gan.generate(1, seed))[0])
    assert server.ask("/image.png")[2] == server.ask("/image.png?seed=0")[2]
    large = pixels(server.ask("/image.png?seed=7&scale=3")[2])
    np.testing.assert_array_equal(large, store(gan.generate(1, 7))[0].repeat(3, 0).repeat(3, 1))


def test_between_and_along(server, gan):
    a, b = (gan.latents(1, seed).numpy()[0] for seed in (1, 2))
    directions = latent.principal_directions(gan)
    for query, noise in (("to=2&at=0.25", noise_kind.slerp(a, b, 0.25)), ("to=2&at=1", b), ("to=2&at=0", a),
                         ("directions=2,-1.5", a + 2 * directions[0] - 1.5 * directions[1]),
                         ("to=2&at=0.5&directions=0,3", noise_kind.slerp(a, b, 0.5) + 3 * directions[1])):
        found = pixels(server.ask(f"/image.png?seed=1&{query}")[2]).astype(int)
        # the file has six digits of a direction
        assert np.abs(found - store(gan(noise[None].astype(np.float32)))[0]).max() <= 1, query


def test_grid_and_animation(server, gan):
    images = store(gan.generate(6, 3))
    sheet = pixels(server.ask("/grid.png?seed=3&rows=2&cols=3")[2])
    assert sheet.shape == (18, 28, 3)
    for i, image in enumerate(images):
        top, left = i // 3 * 10, i % 3 * 10
        np.testing.assert_array_equal(sheet[top:top + 8, left:left + 8], image)
    status, headers, content = server.ask("/interpolate.gif?from=1&to=2&steps=5&scale=2")
    film = Image.open(io.BytesIO(content))
    assert (status, headers["content-type"], film.size, film.n_frames) == (200, "image/gif", (16, 16), 8)
    film.seek(4)
    last = store(gan.generate(1, 2))[0].repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(np.asarray(film.convert("RGB")), last, atol=8)


def test_what_one_picture_takes_all_take(server, conditional):
    """Directions, class and truncation change grids and animations as they change single pictures."""
    def frames(server, path):
        film = Image.open(io.BytesIO(server.ask(path)[2]))
        for i in range(film.n_frames):
            film.seek(i)
            yield np.asarray(film.convert("RGB")).astype(int)

    for found, more in ((server, {"directions": "3,-2"}), (server, {"directions": "3,-2", "truncation": 0.5}),
                        (conditional[0], {"directions": "-3", "label": CLASSES[1], "truncation": 0.4}),
                        (conditional[0], {"directions": "-3", "label": CLASSES[1]})):
        plain = pixels(found.ask(quoted("/image.png", seed=1))[2]).astype(int)
        film = list(frames(found, quoted("/interpolate.gif", **{"from": 1}, to=2, steps=3, **more)))
        for image, at in zip(film[:3], (0, 0.5, 1), strict=True):
            wanted = pixels(found.ask(quoted("/image.png", seed=1, to=2, at=at, **more))[2])
            np.testing.assert_allclose(image, wanted, atol=8)  # a palette of 256
        assert np.abs(film[0] - plain).max() > 40
        grid = pixels(found.ask(quoted("/grid.png", seed=1, rows=1, cols=2, **more))[2]).astype(int)
        assert np.abs(grid[:8, :8] - pixels(found.ask(quoted("/image.png", seed=1, **more))[2])).max() <= 1


def test_same_bytes_and_etag(server):
    for path in ("/image.png?seed=5&to=6&at=0.5", "/grid.png?seed=5", "/interpolate.gif?steps=3", "/"):
        (_, headers, first), (_, again, second) = server.ask(path), server.ask(path)
        assert first == second and headers["etag"] == again["etag"] and "no-cache" in headers["cache-control"]
        for known in (headers["etag"], f'"x", W/{headers["etag"]}', "*"):
            status, found, body = server.ask(path, headers={"If-None-Match": known})
            assert (status, body, found["etag"]) == (304, b"", headers["etag"])
        assert server.ask(path, headers={"If-None-Match": '"x"'})[0] == 200
    assert len({server.ask(f"/image.png?{query}")[1]["etag"] for query in ("seed=1", "seed=2", "seed=1&scale=2")}) == 3


def test_generator_json_and_page(server):
    found = json.loads(server.ask("/generator.json")[2])
    assert (found["name"], found["model"], found["step"], found["version"]) == ("tiny", "dcgan", 3, 3)
    assert found["label"] is None and found["truncation"] is True
    assert found["directions"] == 8 and found["noise"] == {"kind": "normal", "dim": 8} and "config" not in found
    assert found["output"]["shape"] == [None, 8, 8, 3] and found["limits"]["max_images"] == 64
    for path, media_type in (("/", "text/html"), ("/page.js", "text/javascript"), ("/generator.js", "text/javascript"),
                             ("/style.css", "text/css")):
        status, headers, content = server.ask(path)
        assert status == 200 and headers["content-type"].startswith(media_type) and content
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


# === Classes and truncation ===

def quoted(path, **query):
    return f"{path}?{urllib.parse.urlencode(query)}"


def test_pictures_of_a_class(conditional):
    server, gan = conditional
    of_class = {name: store(gan.generate(6, 5, label=name)) for name in CLASSES}
    assert min(np.abs(a.astype(int) - b).mean() for a, b in zip(of_class.values(), [*of_class.values()][1:])) > 10
    for name, images in of_class.items():
        np.testing.assert_array_equal(pixels(server.ask(quoted("/image.png", seed=5, label=name))[2]), images[0])
        sheet = pixels(server.ask(quoted("/grid.png", seed=5, rows=2, cols=3, label=name))[2])
        for i, image in enumerate(images):
            np.testing.assert_array_equal(sheet[i // 3 * 10:][:8, i % 3 * 10:][:, :8], image)
    # without a name the classes come in turn, and one sample is of the first
    np.testing.assert_array_equal(pixels(server.ask("/image.png?seed=5")[2]), of_class[CLASSES[0]][0])
    sheet = pixels(server.ask("/grid.png?seed=5&rows=2&cols=3")[2])
    for i, image in enumerate(store(gan.generate(6, 5))):
        np.testing.assert_array_equal(sheet[i // 3 * 10:][:8, i % 3 * 10:][:, :8], image)


def test_way_of_a_class(conditional):
    """All of a way is of one class."""
    server, gan = conditional
    a, b = (gan.latents(1, seed).numpy()[0] for seed in (1, 2))
    for name in (None, CLASSES[2]):
        query = {"label": name} if name else {}
        wanted = store(latent.interpolate(gan, a, b, 5, label=name))
        film = Image.open(io.BytesIO(server.ask(quoted("/interpolate.gif", **{"from": 1}, to=2, steps=5, **query))[2]))
        for i, image in enumerate(wanted):
            film.seek(i)
            np.testing.assert_allclose(np.asarray(film.convert("RGB")), image, atol=8)
            found = pixels(server.ask(quoted("/image.png", seed=1, to=2, at=i / 4, **query))[2])
            assert np.abs(found.astype(int) - image).max() <= 1


def test_truncation(conditional):
    server, gan = conditional
    for bound in (0.1, 0.55, 2):
        found = pixels(server.ask(f"/image.png?seed=5&truncation={bound}")[2]).astype(int)
        assert np.abs(found - store(gan.generate(1, 5, truncation=bound))[0]).max() <= 1
    wanted = store(gan.generate(4, 5, label=1, truncation=0.3)).astype(int)
    sheet = pixels(server.ask(quoted("/grid.png", seed=5, rows=1, cols=4, label=CLASSES[1], truncation=0.3))[2])
    assert max(np.abs(sheet[:, 10 * i:10 * i + 8] - image).max() for i, image in enumerate(wanted)) <= 1
    # after all else, so that nothing is beyond it
    a, b = (gan.latents(1, seed).numpy()[0] for seed in (1, 2))
    noise = noise_kind.slerp(a, b, 0.5) + 3 * latent.principal_directions(gan, samples=256)[0]
    noise = noise_kind.truncate(noise[None].astype(np.float32), 0.5)
    found = pixels(server.ask("/image.png?seed=1&to=2&at=0.5&directions=3&truncation=0.5")[2]).astype(int)
    assert np.abs(found - store(gan.make(noise, 0))[0]).max() <= 1


def test_etags_of_classes(conditional):
    server, _ = conditional
    queries = [{}, {"truncation": 0.5}, {"truncation": 0.6}, *({"label": name} for name in CLASSES)]
    etags = [server.ask(quoted("/image.png", seed=1, **query))[1]["etag"] for query in queries]
    assert len(set(etags)) == len(etags)
    for query, etag in zip(queries, etags):
        assert server.ask(quoted("/image.png", seed=1, **query), headers={"If-None-Match": etag})[0] == 304
    assert server.ask("/image.png?seed=1", headers={"If-None-Match": etags[1]})[0] == 200


def test_what_has_classes_says_so(conditional):
    server, _ = conditional
    found = json.loads(server.ask("/generator.json")[2])
    assert found["label"] == {"name": "label", "shape": [None], "dtype": "int32", "classes": list(CLASSES)}
    assert found["truncation"] is True and "config" not in found
    described = json.loads(server.ask("/openapi.json")[2])["paths"]
    for path in ("/image.png", "/grid.png", "/interpolate.gif"):
        parameters = {each["name"]: each for each in described[path]["get"]["parameters"]}
        assert parameters["label"]["schema"]["type"] == "string" and not parameters["label"]["required"]
        assert parameters["truncation"]["schema"] | {"minimum": 0.1, "maximum": 2} == parameters["truncation"]["schema"]


@pytest.mark.parametrize("query, words", [
    (dict(label="reed"), "label=reed: no such class; there are red, R&B é+1 #%, 日本"),
    (dict(label=""), "label=: no such class"), (dict(label="日" * 500), "日…: no such class"),
    (dict(label=0), "label=0: no"), (dict(labels="red"), "labels: no such parameter"),
    ([("label", "red")] * 2, "label: given more than once"),
])
def test_bad_classes(conditional, query, words):
    for path in ("/image.png", "/grid.png", "/interpolate.gif"):
        status, _, answer = conditional[0].ask(f"{path}?{urllib.parse.urlencode(query)}")
        assert status == 400 and words in json.loads(answer)["error"], answer


def test_bad_classes_of_many():
    """The nearest, and where all are."""
    many = types.SimpleNamespace(contract={"output": {"shape": [None, 8, 8, 3]}}, kind="image", truncation=False,
                                 classes=tuple(f"animal {i}" for i in range(1000)))
    for label, words in (("Animal 77", "label=Animal 77: none of the 1000 classes; the nearest: animal 77, "),
                         ("zzz", "label=zzz: none of the 1000 classes; /generator.json has all, at label.classes")):
        with pytest.raises(Refusal) as error:
            ImageQuery(label=label).check(many, 64)
        assert error.value.message.startswith(words) and len(error.value.message) < 200
    with pytest.raises(Refusal, match="truncation=0.5: only for models whose"):
        GridQuery(label="animal 5", truncation=0.5).check(many, 64)


def test_predict_with_labels(conditional):
    """In rows and in columns; a wrong label is refused for the one who sent it, and the others are answered."""
    server, gan = conditional
    noise, label = gan.latents(4, 9).numpy(), [2, 0, 1, 2]
    wanted = np.asarray(gan.make(noise, label))
    rows = [{"noise": row.tolist(), "label": each} for row, each in zip(noise, label)]
    for body, key in (({"instances": rows}, "predictions"), ({"inputs": {"noise": noise.tolist(), "label": label}}, "outputs")):
        status, found = server.predict(body)
        assert status == 200, found
        np.testing.assert_allclose(found[key], wanted, atol=1e-5)
    for asked, name in ((-1, None), (1, CLASSES[1])):
        inputs = {"count": 4, "seed": 9, "label": asked}
        found = server.predict({"signature_name": "generate", "inputs": inputs})[1]["outputs"]
        np.testing.assert_array_equal(found, store(gan.generate(4, 9, label=name)))
        found = server.predict({"signature_name": "png", "inputs": inputs})[1]["outputs"]
        np.testing.assert_array_equal([pixels(base64.b64decode(image["b64"])) for image in found],
                                      store(gan.generate(4, 9, label=name)))
    for label, words in (("red", "an integer is needed, not a string"), ([1], "an integer is needed, not a list"),
                         (1.0, "an integer is needed"), (2**31, "2147483648 is beyond int32"), (3, "must be from 0 to 2")):
        status, found = server.predict({"instances": [{"noise": ROW, "label": label}]})
        assert status == 400 and words in found["error"] and "label: " in found["error"], found
    for body, words in (({"instances": noise.tolist()}, "instances[0]: an object with label, noise is needed, not a list"),
                        ({"instances": [{"noise": ROW}]}, "instances[0]: label is lacking; there are label, noise"),
                        ({"inputs": {"noise": [ROW] * 2, "label": [1]}}, "inputs: different numbers of rows: label 1, noise"),
                        ({"signature_name": "generate", "inputs": {"count": 1, "seed": 0}}, "inputs: label is lacking"),
                        ({"signature_name": "png", "inputs": {"count": 1, "seed": 0, "label": -2}}, "must be from -1 to 2")):
        status, found = server.predict(body)
        assert status == 400 and words in found["error"], found

    labels, before = [0, 1, 2, 7, 2, 1, 0, -1], server.number("serve_batch_rows_count")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda label: server.predict({"instances": [{"noise": ROW, "label": label}]}), labels))
    assert server.number("serve_batch_rows_count") - before < 16  # they came together, and then each again
    for label, (status, found) in zip(labels, answers):
        assert status == (200 if 0 <= label < 3 else 400), found
        if status == 200:
            np.testing.assert_allclose(found["predictions"], gan.make(np.array([ROW], np.float32), label), atol=1e-5)


@pytest.mark.parametrize("asked, words", [
    ({"instances": [{"noise": ROW, "label": 0}, {"noise": ROW, "label": 3}]}, "instances[1].label: 3 is no class; it must be from 0 to 2"),
    ({"inputs": {"noise": [ROW] * 3, "label": [0, 1, -1]}}, "inputs.label[2]: -1 is no class; it must be from 0 to 2"),
    ({"inputs": {"noise": [ROW], "label": [2**31 - 1]}}, "inputs.label[0]: 2147483647 is no class"),
    ({"signature_name": "generate", "inputs": {"count": 1, "seed": 0, "label": 3}},
     "inputs.label: 3 is no class; it must be from -1 to 2 (-1: the classes in turn)"),
    ({"signature_name": "png", "inputs": {"count": 1, "seed": 0, "label": -2}}, "inputs.label: -2 is no class"),
])
def test_labels_that_are_no_class(conditional, asked, words):
    status, answer = conditional[0].predict(asked)
    assert status == 400 and words in answer["error"], answer


def test_what_tensorflow_says(tmp_path):
    """A value that only the model itself refuses: its words, without the names of its nodes."""
    import tensorflow as tf
    module = tf.Module()
    module.pick = tf.function(lambda i: {"y": tf.gather(tf.constant([1.0, 2, 3]), i)},
                              autograph=False, input_signature=[tf.TensorSpec([None], tf.int32, name="i")])
    def checked(x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, "x must be above 0")]):
            return {"y": tf.identity(x)}
    module.checked = tf.function(checked, autograph=False, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.pick, "checked": module.checked})
    with serving(tmp_path, tmp_path / "model") as server:
        for asked, words in (({"instances": [0, 7]}, "indices[1] = 7 is not in [0, 3)"),
                             ({"signature_name": "checked", "inputs": [1, -1]}, "x must be above 0")):
            status, answer = server.predict(asked, "/v1/models/model:predict")
            assert status == 400 and answer["error"].startswith(f"inputs: the model refuses them: {words}"), answer
            assert not re.search(r"node|\[\[|\{\{|Op:|\n", answer["error"]), answer


def test_labels_join(conditional):
    """Rows of different classes make up one call, and each client gets those that it asked for."""
    server, gan = conditional
    asked = [(seed, name) for seed in range(6) for name in CLASSES]
    before = server.number("serve_batch_rows_count"), server.number("serve_batch_rows_sum")
    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda pair: server.ask(quoted("/image.png", seed=pair[0], label=pair[1]))[2], asked))
    calls, rows = (server.number(f"serve_batch_rows_{name}") - value for name, value in zip(("count", "sum"), before))
    assert rows == 2 * len(asked) and calls <= rows - 8  # those for noise do not join
    for (seed, name), content in zip(asked, found):
        assert np.abs(pixels(content).astype(int) - store(gan.generate(1, seed, label=name))[0]).max() <= 1


@pytest.mark.parametrize("proxy, client", [(None, HOST), ("10.0.0.1", HOST), ("127.0.0.0/8", "203.0.113.9"), (HOST, "203.0.113.9")])
def test_client_behind_a_proxy(made_once, tmp_path, proxy, client):
    """Named by X-Forwarded-For, which is believed of those alone that the command names."""
    with serving(tmp_path, made_once[0], *([f"--proxy={proxy}"] if proxy else [])) as server:
        server.ask("/healthz", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
        server.until(lambda: "/healthz" in server.access.read_text())
        assert [json.loads(line)["client"] for line in server.access.read_text().splitlines()] == [client]


def test_openapi_below_a_path(server):
    """A proxy that serves it below /gan: programs that read the description ask below that, too."""
    told = json.loads(server.ask("/openapi.json")[2])
    base = urllib.parse.urljoin("https://host.example/gan/openapi.json", told["servers"][0]["url"])
    assert base == "https://host.example/gan/" and len(told["servers"]) == 1
    assert urllib.parse.urljoin("http://127.0.0.1:8000/openapi.json", told["servers"][0]["url"]) == "http://127.0.0.1:8000/"


def test_hosts(server):
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:80", "LOCALHOST:1"):
        assert server.ask("/generator.json", headers={"Host": host})[0] == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", ""):
        status, _, body = server.ask("/image.png", headers={"Host": host})
        assert status == 400 and "--allowed_hosts" in json.loads(body)["error"]
        assert server.ask("/healthz", headers={"Host": host})[0] == 200


# === Many at once, and bounds ===

def test_concurrent_requests_equal_single_ones(server, gan):
    before = server.number("serve_batch_rows_count"), server.number("serve_batch_rows_sum")
    paths = [f"/image.png?seed={seed}" for seed in range(40, 60)]
    single = {path: server.ask(path)[2] for path in paths}
    noise = gan.latents(32, 77).numpy()
    wanted = np.asarray(gan(noise))

    def client(number):
        with contextlib.closing(http.client.HTTPConnection(HOST, server.port, timeout=30)) as connection:
            for i in range(6):
                path = paths[(number * 7 + i) % len(paths)]
                assert asked(connection, path)[2] == single[path]
                rows = noise[number:number + 1 + i % 3]
                status, _, body = asked(connection, PREDICT, json.dumps({"instances": rows.tolist()}))
                assert status == 200
                found = json.loads(body)["predictions"]
                np.testing.assert_allclose(found, wanted[number:number + 1 + i % 3], atol=1e-5)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(client, range(32)))
    calls, rows = (server.number(f"serve_batch_rows_{name}") - value for name, value in zip(("count", "sum"), before))
    assert calls < rows and server.number("serve_queue_rows") == 0


def test_batcher():
    """What waits while a call runs makes up the next one, in order, up to the bounds."""
    started, go_on, calls = threading.Event(), threading.Event(), []

    def call(inputs):
        calls.append(len(inputs["x"]))
        started.set()
        assert go_on.wait(10)
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": 2 * inputs["x"]}

    batcher = Batcher(max_batch=4, max_queue=8)
    first = batcher.submit(call, {"x": np.ones([1, 2])}, 1)
    assert started.wait(10)
    waiting = [batcher.submit(call, {"x": np.full([n, 2], n)}, n) for n in (1, 2, 2)]
    wider = batcher.submit(call, {"x": np.ones([1, 3])}, 1)
    alone = batcher.submit(call, {"x": np.ones([1, 3])}, 1, joins=False)
    with pytest.raises(Full, match="7 rows wait already, 2 more exceed 8"):
        batcher.submit(call, {"x": np.ones([2, 2])}, 2)
    wrong = batcher.submit(call, {"x": -np.ones([1, 3])}, 1)
    go_on.set()
    assert first.result(10)["y"].tolist() == [[2, 2]]
    for n, future in zip((1, 2, 2), waiting):
        np.testing.assert_array_equal(future.result(10)["y"], np.full([n, 2], 2 * n))
    assert wider.result(10)["y"].shape == alone.result(10)["y"].shape == (1, 3)
    with pytest.raises(ValueError, match="negative"):
        wrong.result(10)
    # the last of the second call fails it, so both of its requests run again
    assert calls == [1, 3, 2, 2, 1, 1, 1] and batcher.rows == 0


def test_batcher_joins_from_anywhere_and_waits_once():
    calls = []

    def call(inputs):
        calls.append(inputs["x"].shape)
        return inputs

    batcher = Batcher(max_batch=4, max_queue=64, wait=1)
    start = time.monotonic()
    futures = [batcher.submit(call, {"x": np.full([1, width], i)}, 1) for i, width in enumerate((2, 3, 2, 5, 3, 2))]
    for i, future in enumerate(futures):
        assert future.result(10)["x"][0, 0] == i
    assert calls == [(3, 2), (2, 3), (1, 5)]
    assert 0.9 < time.monotonic() - start < 2.5  # not a second for each call
    start = time.monotonic()
    batcher.submit(call, {"count": np.int32(2), "x": np.zeros(1)}, 2, joins=False).result(10)
    batcher.submit(call, {"x": np.zeros([4, 2])}, 4).result(10)
    assert time.monotonic() - start < 0.9


def test_bad_values_beside_good_ones(tmp_path):
    """A model that refuses a value refuses it for the one who asked, and one that gives NaN says so."""
    import tensorflow as tf
    module = tf.Module()

    def call(x):
        tf.debugging.assert_less(x, 9.0)
        return {"y": tf.math.log(x)}

    module.call = tf.function(call, autograph=False, input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "odd"), signatures={"serving_default": module.call})
    with serving(tmp_path, tmp_path / "odd", "--batch_wait_ms=300") as server, ThreadPoolExecutor(12) as pool:
        asked = [10.0 if i == 5 else i + 1.0 for i in range(8)]
        found = list(pool.map(lambda x: server.predict({"instances": [[x]]}, "/v1/models/odd:predict"), asked))
        assert server.number("serve_batch_rows_count") < 8 + 3
        for x, (status, answer) in zip(asked, found):
            if x == 10:
                assert status == 400 and "the model refuses them" in answer["error"]
            else:
                assert status == 200 and answer["predictions"][0][0] == pytest.approx(np.log(x), abs=1e-6)
        for x in (-1.0, 0.0):
            status, answer = server.predict({"inputs": [[1.0], [x]]}, "/v1/models/odd:predict")
            assert status == 400 and answer["error"] == "y: the model gives no finite values for these inputs"


def test_full_queue(narrow):
    """Three rows wait for others; two more have no room."""
    predict = "/v1/models/few:predict"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(narrow.predict, {"instances": [ROW] * 3}, predict)
        narrow.until(lambda: narrow.number("serve_queue_rows") == 3)
        status, headers, body = narrow.ask(predict, json.dumps({"instances": [ROW] * 2}))
        assert status == 429 and headers["retry-after"] == "1" and "--max_queue" in json.loads(body)["error"]
        assert narrow.ask("/grid.png?rows=2&cols=2")[0] == 429
        assert first.result(20)[0] == 200
    assert narrow.predict({"instances": [ROW] * 4}, predict)[0] == 200


def test_length_that_lies(narrow):
    head = b"POST /v1/models/few:predict HTTP/1.1\r\nHost: localhost\r\n"
    with connected(narrow) as connection:  # too long, by its own account
        connection.sendall(head + b"Content-Length: 1000000000\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 413")
    with connected(narrow) as connection:  # too long, and does not say so
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * (b"3e9\r\n" + b" " * 1001 + b"\r\n"))
        assert everything(connection).startswith(b"HTTP/1.1 413")
    with connected(narrow) as connection:  # two lengths
        connection.sendall(head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}")
        assert everything(connection).startswith(b"HTTP/1.1 400")
    with connected(narrow) as connection:  # a head without end
        connection.sendall(b"GET /" + b"a" * 100_000)
        assert everything(connection).startswith(b"HTTP/1.1 400")


def test_slow_clients(narrow):
    """A body that stops is answered 408; a head that stops, and silence, end the connection."""
    head = b"POST /v1/models/few:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    start = time.monotonic()
    with connected(narrow) as slow, connected(narrow) as half, connected(narrow) as silent, connected(narrow) as gone:
        slow.sendall(head + b'{"instances":')
        half.sendall(head[:30])
        gone.sendall(head + b"{")
        gone.shutdown(socket.SHUT_WR)
        assert everything(slow).startswith(b"HTTP/1.1 408")
        assert everything(half) == b"" == everything(silent)
        assert b" 200 " not in everything(gone)
    assert time.monotonic() - start < 9  # not the ten seconds of the default
    assert narrow.ask("/healthz")[2] == b"ok"


def test_reader_that_does_not_read(narrow):
    """An answer that nobody takes is given up."""
    with connected(narrow) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            for i in range(60):
                connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                time.sleep(0.02 if i < 40 or i % 2 else 2.5)


def test_more_connections_than_files(narrow):
    """Connections beyond those that its files allow are answered 503 or closed; the others are served as before."""
    before = len(narrow.log.read_text().splitlines())
    with contextlib.ExitStack() as stack:
        for _ in range(110):
            stack.enter_context(connected(narrow))
        assert narrow.ask("/healthz")[0] == 503
        for _ in range(400):
            stack.enter_context(connected(narrow))

    def sees_that_they_have_gone():
        with contextlib.suppress(ConnectionError):
            return narrow.ask("/healthz")[2] == b"ok"
    narrow.until(sees_that_they_have_gone)
    assert len(narrow.log.read_text().splitlines()) < before + 5


# === Numbers and logs ===

def test_health_metrics_and_log(server):
    assert server.ask("/healthz")[::2] == (200, b"ok") and server.ask("/readyz")[::2] == (200, b"version 3")
    before = server.number('serve_requests_total{method="GET",path="/image.png",status="200"}')
    assert server.ask("/image.png?seed=31", headers={"User-Agent": 'a" b'})[0] == 200
    assert server.number('serve_requests_total{method="GET",path="/image.png",status="200"}') == before + 1
    assert server.number('serve_request_seconds_count{path="/image.png"}') > 0
    assert server.number("serve_model_version") == 3 and server.number('serve_reloads_total{result="served"}') == 1
    server.ask("/%0a%7b%22time%22?a=%0a")
    lines = [json.loads(line) for line in server.access.read_text().splitlines()]
    assert all(set(line) == {"time", "method", "path", "status", "ms", "bytes", "client"} for line in lines)
    found = next(line for line in lines if line["path"] == "/image.png?seed=31")
    assert found["status"] == 200 and found["client"] == HOST and found["bytes"] > 50 and found["ms"] > 0
    # nothing but its own two lines: TensorFlow is silent
    assert [line.split(" ")[:2] for line in server.log.read_text().splitlines()] == [["serve:", "serving"],
                                                                                 ["serve:", "tiny"]]


@pytest.mark.parametrize("which", [pytest.param("plain", marks=pytest.mark.slow), "conditional"])
def test_openapi(which, request):
    """Twenty requests of each kind by a slow test, eight by the other."""
    server = request.getfixturevalue("server") if which == "plain" else request.getfixturevalue("conditional")[0]
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from schemathesis import checks
    checks.load_all_checks()
    wanted = checks.CHECKS.get_by_names(["not_a_server_error", "status_code_conformance", "content_type_conformance",
                                         "response_schema_conformance"])
    description = schemathesis.openapi.from_url(f"http://{HOST}:{server.port}/openapi.json")
    seen = set()
    for found in description.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=20 if which == "plain" else 8, deadline=None, database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))
        def check(case):
            case.call_and_validate(checks=wanted)

        check()
        seen.add(operation.path)
    assert {PREDICT, "/image.png", "/grid.png", "/interpolate.gif", "/v1/models/tiny/metadata"} <= seen


# === Newer models, and the end ===

@pytest.fixture(scope="module")
def watching(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    shutil.copytree(made_once[0] / "saved_model", folder / "1")
    (folder / "notes").mkdir()
    with lasting(tmp_path_factory.mktemp("watched"), folder, "--poll_seconds=0.1") as found:
        yield found, folder


@pytest.fixture
def watched(watching):
    """(server, the folder of versions that it looks at every 0.1 s)"""
    server, folder = watching
    return server(), folder


class Load:
    """Threads that ask without a pause, and whether each was answered."""

    def __init__(self, server, path, count=4):
        self.server, self.path, self.going = server, path, True
        self.answers, self.failures = [], []
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self):
        connection = None
        try:
            while self.going:
                fresh = connection is None
                connection = connection or http.client.HTTPConnection(HOST, self.server.port, timeout=30)
                try:
                    status, headers, body = asked(connection, self.path)
                except ConnectionRefusedError:
                    return  # it has stopped listening
                except Exception as error:
                    # of a server that stops, a connection that it has not taken yet is reset
                    if not (fresh and isinstance(error, ConnectionResetError) and not self.going_on()):
                        self.failures.append(repr(error))
                    return
                self.answers.append((status, body))
                if headers.get("connection") == "close":
                    connection = None
        finally:
            if connection:
                connection.close()

    def going_on(self):
        try:
            socket.create_connection((HOST, self.server.port), timeout=5).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join(30)


def test_newer_models(watched, gan, tmp_path):
    server, folder = watched
    assert json.loads(server.ask("/v1/models/tiny")[2])["model_version_status"][0]["version"] == "1"
    old = server.ask("/image.png?seed=3")
    newer = made(tmp_path / "saved_model", gain=-60.0)
    broken = shutil.copytree(tmp_path / "saved_model", tmp_path / "broken")
    (broken / "variables" / "variables.data-00000-of-00001").write_bytes(b"x" * 100)
    made(tmp_path / "other", shape=(16, 16, 3))

    with Load(server, "/image.png?seed=3") as load:
        (folder / "5").mkdir()  # as a slow copy would
        shutil.copy(tmp_path / "saved_model" / "saved_model.pb", folder / "5")
        server.until(lambda: "5: not served" in server.log.read_text())
        for part in ("assets.extra", "variables"):
            shutil.copytree(tmp_path / "saved_model" / part, folder / "5" / part)
        server.until(lambda: "serving version 5" in server.log.read_text())
        os.replace(broken, folder / "6")
        os.replace(tmp_path / "other", folder / "7")
        server.until(lambda: "6: not served" in server.log.read_text() and "7: not served" in server.log.read_text())
        time.sleep(0.3)
    assert load.failures == [] and {status for status, _ in load.answers} == {200}
    new = server.ask("/image.png?seed=3")
    assert {body for _, body in load.answers} == {old[2], new[2]} and old[1]["etag"] != new[1]["etag"]
    np.testing.assert_array_equal(pixels(new[2]), store(newer.generate(1, 3))[0])
    assert server.ask("/image.png?seed=3", headers={"If-None-Match": old[1]["etag"]})[0] == 200
    assert server.ask("/v1/models/tiny/versions/1")[0] == 404 and server.ask("/readyz")[2] == b"version 5"
    log = server.log.read_text()
    assert "restart to serve it" in log and log.count("6: not served") == 1  # once, not at every look

    for name in "567":  # taken back
        shutil.rmtree(folder / name)
    server.until(lambda: server.ask("/readyz")[2] == b"version 1")
    assert server.ask("/image.png?seed=3")[2] == old[2]


def test_one_level_up_or_down(made_once, tmp_path):
    """A run, its export, the SavedModel, and what lies in that: all mean the same; of others it is said what is near."""
    place = tmp_path / "runs" / "a" / "export" / "saved_model"
    shutil.copytree(made_once[0] / "saved_model", place)
    (place.parent / "onnx").mkdir()
    for path in (place, place.parent, place.parents[1], place / "saved_model.pb", place / "variables", place / "assets.extra"):
        assert Versions(path).found() == [(None, place)], path
    for path, near in ((place.parent / "onnx", place.parent), (tmp_path / "runs", place.parents[1]), (tmp_path, place.parents[1]),
                       (place.parents[1] / "checkpoints", place.parents[1])):
        versions = Versions(path)
        assert versions.found() == [] and versions.near()[0] == near, path


def test_replaced_folder(made_once, tmp_path):
    """What `python -m export` does to runs/NAME/export; in this process."""
    source = made_once[0] / "saved_model"
    shutil.copytree(source, tmp_path / "saved_model")
    versions = Versions(tmp_path)
    assert versions.refresh() is True and versions.refresh() is None and versions.current.version == 3
    first = versions.current
    shutil.rmtree(tmp_path / "saved_model")
    assert versions.refresh() is None and versions.current is first
    shutil.copytree(source, tmp_path / "saved_model")
    told = tmp_path / "saved_model" / "assets.extra" / "generator.json"
    told.write_text(told.read_text().replace('"step": 3', '"step": 4'))
    assert versions.refresh() is True and versions.current.version == 4 and versions.current.digest != first.digest


@pytest.mark.parametrize("name", ["run[1]", "a*?", "back\\slash", "[!x]"])
def test_folders_whose_names_are_patterns(made_once, tmp_path, name):
    for version in "12":
        shutil.copytree(made_once[0] / "saved_model", tmp_path / name / version)
        versions = Versions(tmp_path / name)
        assert versions.refresh() is True and versions.current.version == int(version)
        np.testing.assert_allclose(versions.current.latents(2, 3), made_once[1].latents(2, 3), atol=1e-6)


def test_versions_that_are_not_there_yet(made_once, tmp_path, caplog):
    """Half of a copy, which loads, does not take the pictures away; a number beyond TensorFlow Serving's is none."""
    source = made_once[0] / "saved_model"
    shutil.copytree(source, tmp_path / "1")
    shutil.copytree(source, tmp_path / str(2**63))
    versions = Versions(tmp_path)
    assert versions.refresh() is True and versions.current.version == 1 and versions.current.kind == "image"
    shutil.copytree(source, tmp_path / "2", ignore=shutil.ignore_patterns("assets.extra"))
    assert versions.refresh() is False and versions.refresh() is None and versions.current.version == 1
    shutil.copytree(source / "assets.extra", tmp_path / "2" / "assets.extra")
    assert versions.refresh() is True and versions.current.version == 2


def test_versions_with_other_classes(tmp_path, caplog):
    """The number of a class is what clients know it by: it may not become another's."""
    written(tiny(), tmp_path / "1")
    versions = Versions(tmp_path)
    assert versions.refresh() is True
    written(tiny(classes=CLASSES[::-1]), tmp_path / "2")
    told = json.loads((tmp_path / "1" / export.CONTRACT).read_text())
    shutil.copytree(tmp_path / "1", tmp_path / "3")
    (tmp_path / "3" / export.CONTRACT).write_text(json.dumps({**told, "truncation": False}))
    assert versions.refresh() is False and versions.current.version == 1
    assert caplog.text.count("other classes, or no truncation any more") == 2
    shutil.copytree(tmp_path / "1", tmp_path / "4")
    assert versions.refresh() is True and versions.current.version == 4
    (tmp_path / "5").mkdir()  # half of a copy, to begin with
    for part in ("saved_model.pb", "variables"):
        (shutil.copy if part.endswith("pb") else shutil.copytree)(tmp_path / "1" / part, tmp_path / "5" / part)
    first = Versions(tmp_path / "5")
    assert first.refresh() is True and first.current.kind is None
    shutil.copytree(tmp_path / "1" / "assets.extra", tmp_path / "5" / "assets.extra")
    assert first.refresh() is True and first.current.classes == CLASSES


@pytest.mark.parametrize("kind, shape, old, new", [
    ("tokens", (5,), {"words": ["", "a", "b"]}, {"words": ["", "b", "a"]}), ("audio", (None, 1), {"rate": 8000}, {"rate": 16_000}),
    ("notes", (1, 16, 24, 1), {"tracks": ["lead"]}, {"tracks": ["bass"]}), ("image", (8, 8, 1), {"labels": [0, 9]}, {"labels": [0, 8]}),
    ("noise", (4,), {"distribution": "normal"}, {"distribution": "uniform"})])
def test_a_newer_model_means_the_same_by_the_same_numbers(kind, shape, old, new):
    promises = [Function("generator", "serving_default", {"input": kinds.Field(kind, shape, more={**more, "size": size})}, {}).promise
                for more, size in ((old, [8]), (dict(old), [16]), (new, [8]))]
    assert promises[0] == promises[1] != promises[2]


def test_an_older_export_gains_truncation(made_once, tmp_path):
    """One from before there was any makes way for one that tells of it."""
    for name in "12":
        shutil.copytree(made_once[0] / "saved_model", tmp_path / name)
    told = json.loads((tmp_path / "1" / export.CONTRACT).read_text())
    del told["label"], told["truncation"]
    (tmp_path / "1" / export.CONTRACT).write_text(json.dumps(told))
    shutil.move(tmp_path / "2", tmp_path / "aside")
    versions = Versions(tmp_path)
    assert versions.refresh() is True
    assert versions.current.kind == "image" and versions.current.classes == () and not versions.current.truncation
    shutil.move(tmp_path / "aside", tmp_path / "2")
    assert versions.refresh() is True and versions.current.version == 2 and versions.current.truncation


def test_stop_under_load(watched):
    server, _ = watched
    with Load(server, "/grid.png?rows=8&cols=8", count=8) as load:
        while len(load.answers) < 20:
            time.sleep(0.02)
        assert server.stop() == 0
        for thread in load.threads:
            thread.join(20)
    assert load.failures == [] and {status for status, _ in load.answers} == {200}
    assert not any(thread.is_alive() for thread in load.threads)


def test_more_pictures_than_it_can_make(tmp_path):
    """Large animations are refused beyond a bound, hold up nothing else, and do not keep the process from its end."""
    made(tmp_path / "saved_model", shape=(32, 32, 3))
    predict, film = json.dumps({"instances": [ROW]}), "/interpolate.gif?steps=64&scale=16&from={}"
    with serving(tmp_path, tmp_path / "saved_model", "--name=tiny", "--drain_seconds=1") as server, \
            ThreadPoolExecutor(100) as pool:
        def left():
            with connected(server) as gone:
                gone.sendall(b"GET /interpolate.gif?steps=64&scale=16 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return '"status": 499' in server.access.read_text()
        server.until(left)  # one that begins at once may begin before its client has gone: those behind it do not
        films = [pool.submit(server.ask, film.format(i)) for i in range(40)]
        server.until(lambda: sum(future.done() for future in films) >= 3)
        status, headers, body = next(future for future in films if future.done()).result()
        assert status == 429 and headers["retry-after"] == "1" and "pixels" in json.loads(body)["error"]
        for _ in range(5):  # if each waited for an animation, all would be done: there is room for four
            assert server.ask("/healthz")[0] == server.ask(PREDICT, predict)[0] == server.ask("/image.png")[0] == 200
        assert not all(future.done() for future in films)
        assert server.stop() == 0
        answers = [future.result() for future in films]
    assert {status for status, _, _ in answers} - {200} == {429, 503}
    assert all(b"being stopped" in body for status, _, body in answers if status == 503)
    assert "Traceback" not in server.log.read_text()


def test_stop_finishes_what_is_asked(narrow):
    """A request that waits in the queue is answered; open connections hear that no more are taken."""
    with ThreadPoolExecutor(1) as pool, contextlib.closing(http.client.HTTPConnection(HOST, narrow.port)) as probe:
        assert asked(probe, "/readyz")[0] == 200
        waiting = pool.submit(narrow.ask, "/v1/models/few:predict", json.dumps({"instances": [ROW]}))
        narrow.until(lambda: narrow.number("serve_queue_rows") == 1)
        narrow.process.send_signal(signal.SIGTERM)
        while (found := asked(probe, "/readyz"))[0] == 200:
            time.sleep(0.01)
        assert found[0] == 503 and found[1]["connection"] == "close" and b"being stopped" in found[2]
        status, headers, _ = waiting.result(20)
    assert status == 200 and headers["connection"] == "close" and narrow.process.wait(30) == 0


# === Other kinds of samples ===

def inputs_of(query, model):
    return query.inputs(model, [model.latents(*seed) for seed in query.seeds()])


@pytest.mark.parametrize("name, shape, settings, kind", [
    ("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8", noise="uniform"), "points"),
    ("sine", (10,), {}, "signal"),
    ("mlp", (8, 8, 1), dict(generator_units="16"), "image"),
    ("mlp", (12, 8, 3), dict(generator_units="16"), "image"),
])
def test_kinds_of_samples(tmp_path, name, shape, settings, kind):
    gan = made(tmp_path / "saved_model", name, shape, **(settings or {"noise_dim": 5}))
    model = Model(tmp_path / "saved_model", max_batch=8)
    assert model.kind == kind and (model.seen is None) == (kind == "image")
    contents = []
    for query in (ImageQuery(seed=3), ImageQuery(seed=4, scale=2), ImageQuery(seed=3, directions="2"),
                  GridQuery(rows=2, cols=2), AnimationQuery(steps=3)):
        query.check(model, 64)
        inputs = inputs_of(query, model)
        samples = model.default(inputs)[model.contract["output"]["name"]]
        np.testing.assert_allclose(samples, gan(inputs["noise"]), atol=1e-5)
        contents.append(query.file(samples, model))
        picture = Image.open(io.BytesIO(contents[-1]))
        assert len(np.unique(np.asarray(picture.convert("L")))) > 2
        if kind != "image":
            assert picture.size == (360 * query.scale,) * 2
        assert query.file(samples, model) == contents[-1]
    assert len(set(contents)) == 5
    inside = np.abs(inputs_of(ImageQuery(directions="10"), model)["noise"]).max() <= 1
    assert inside == (gan.config.noise == "uniform")


@pytest.mark.parametrize("shape, kind", [((2,), "points"), ((10,), "signal")])
def test_kinds_with_classes(tmp_path, shape, kind):
    gan = tiny("joined", shape, noise="uniform")
    model = Model(written(gan, tmp_path / "saved_model"), max_batch=8)
    assert model.kind == kind and model.classes == CLASSES and not model.truncation and model.seen.shape == (256, *shape)
    np.testing.assert_allclose(model.seen, gan.generate(256, 0), atol=1e-5)
    for query, label in ((ImageQuery(seed=3), [0]), (ImageQuery(seed=3, label="日本"), [2]),
                         (GridQuery(rows=2, cols=2), [0, 1, 2, 0]), (GridQuery(rows=1, cols=2, label="red"), [0, 0]),
                         (AnimationQuery(steps=3), [0, 0, 0]), (AnimationQuery(steps=2, label="日本"), [2, 2])):
        query.check(model, 64)
        inputs = inputs_of(query, model)
        assert inputs["label"].tolist() == label and inputs["label"].dtype == np.int32
        samples = model.default(inputs)["samples"]
        np.testing.assert_allclose(samples, gan.make(inputs["noise"], inputs["label"]), atol=1e-5)
        assert Image.open(io.BytesIO(query.file(samples, model))).size == (360, 360)


def test_moved_along_directions():
    noise = np.float32([[0.5, -0.5, 0]])
    np.testing.assert_allclose(along(noise, np.eye(3), [1, 2], "normal"), [[1.5, 1.5, 0]], atol=1e-6)
    np.testing.assert_allclose(along(noise, np.eye(3), [1, -2], "uniform"), [[1, -1, 0]], atol=1e-6)


def test_large_pictures_are_refused(model):
    wide = types.SimpleNamespace(contract={"output": {"shape": [None, 1024, 1024, 3]}}, kind="image")
    ImageQuery(scale=8).check(wide, 64)
    for query in (ImageQuery(scale=16), GridQuery(rows=8, cols=16), AnimationQuery(steps=64, scale=2)):
        with pytest.raises(Refusal, match="seed=|rows=|steps="):
            query.check(wide, 64)


@pytest.mark.parametrize("kind, shape", [("points", [None, 2]), ("image", [None, 5, 4, 3])])
def test_pixels_are_those_of_the_file(kind, shape):
    model = types.SimpleNamespace(contract={"output": {"shape": shape}}, kind=kind,
                                  seen=np.random.default_rng(0).normal(size=(20, 2)))
    for query in (ImageQuery(scale=2), GridQuery(rows=2, cols=3), AnimationQuery(steps=4)):
        samples = np.random.default_rng(1).uniform(-1, 1, [query.count(), *shape[1:]]).astype(np.float32)
        file = Image.open(io.BytesIO(query.file(samples, model)))
        assert query.pixels(model) == file.width * file.height * getattr(file, "n_frames", 1)
    # a plot has all samples in one picture
    GridQuery(rows=16, cols=16, scale=16).check(model, 256)


def test_pictures_of_two_and_four_channels():
    for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
        images = np.random.default_rng(0).uniform(-1.2, 1.2, (1, 4, 5, channels)).astype(np.float32)
        picture = drawing.draw(images, types.SimpleNamespace(kind="image", seen=None))
        assert picture.mode == mode
        np.testing.assert_array_equal(np.asarray(picture).reshape(4, 5, channels), store(images)[0])


def test_a_strange_saved_model(tmp_path):
    """Made elsewhere, with two inputs, one of them strings: the REST form alone."""
    import tensorflow as tf
    module = tf.Module()
    module.call = tf.function(
        lambda text, x: {"length": tf.strings.length(text), "twice": 2 * x, "text": text},
        autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="text"),
                         tf.TensorSpec([None, None], tf.int64, name="x")])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.call})
    model = Model(tmp_path)
    assert model.kind is None and "generator.json" in model.why and model.version == 1

    def ask(asked):
        signature, inputs, rows, key = rest.read(json.dumps(asked).encode(), model, 8)
        return json.loads(rest.answer(signature(inputs), key, rows))

    rows = [{"text": "ab", "x": [1, 2]}, {"text": {"b64": "AAEC"}, "x": [3, 2**62]}]
    assert ask({"instances": rows}) == {"predictions": [
        {"length": 2, "twice": [2, 4], "text": {"b64": "YWI="}},
        {"length": 3, "twice": [6, -2**63], "text": {"b64": "AAEC"}}]}
    assert ask({"inputs": {"text": ["a"], "x": [[1]]}}) == {
        "outputs": {"length": [1], "twice": [[2]], "text": [{"b64": "YQ=="}]}}
    for wrong, words in (({"instances": [{"text": "a", "x": [1]}, {"text": "a", "x": [1, 2]}]}, "different lengths"),
                         ({"inputs": {"text": ["a", "b"], "x": [[1]]}}, "different numbers of rows"),
                         ({"inputs": {"text": [3], "x": [[1]]}}, r"inputs.text\[0\]: a string"),
                         ({"inputs": {"text": [{"b64": "!"}], "x": [[1]]}}, r"inputs.text\[0\]"),
                         ({"inputs": {"text": ["a"], "x": [[1.0]]}}, r"inputs.x\[0\]\[0\]: an integer"),
                         ({"instances": ["a"]}, r"instances\[0\]: an object with")):
        with pytest.raises(Refusal, match=words):
            ask(wrong)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A Model with a signature NAME for each of several types, that gives what it is given: "y" of "x"."""
    import tensorflow as tf
    module, folder, signatures = tf.Module(), tmp_path_factory.mktemp("foreign"), {}
    for name, dtype, shape in (
            ("bool", tf.bool, [None, 2]), ("flag", tf.bool, []), ("bfloat16", tf.bfloat16, [None, 2]), ("half", tf.float16, [None]),
            ("double", tf.float64, []), ("uint64", tf.uint64, [None]), ("int8", tf.int8, [None]), ("text", tf.string, []),
            ("texts", tf.string, [None, None]), ("complex", tf.complex64, [None]), ("images", tf.float32, [None, 100, 100, 1])):
        # AutoGraph would read this file anew for each
        signatures[name] = tf.function(lambda x: {"y": tf.identity(x)}, autograph=False,
                                       input_signature=[tf.TensorSpec(shape, dtype, name="x")])
    signatures["spectrum"] = tf.function(lambda x: {"y": tf.signal.fft(tf.complex(x, x))},
                                         autograph=False, input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    signatures["nothing"] = tf.function(lambda: {"y": tf.constant(3)}, autograph=False, input_signature=[])
    signatures["divided"] = tf.function(lambda x: {"y": x / x}, autograph=False,
                                        input_signature=[tf.TensorSpec([None], tf.bfloat16, name="x")])
    module.functions = signatures
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return Model(folder)


def told_by(model, asked):
    signature, inputs, rows, key = rest.read(json.dumps(asked).encode(), model, 8)
    return json.loads(rest.answer(signature(inputs), key, rows))


@pytest.mark.parametrize("name, value", [
    ("bool", [[True, False], [False, True]]), ("flag", True), ("flag", False), ("bfloat16", [[0.5, -3.0]]), ("half", [0.25, 8.0]),
    ("double", 1e300), ("uint64", [2**64 - 1, 0]), ("int8", [-128, 127]), ("text", {"b64": "YWI="}), ("text", "é"),
    ("texts", [["a", "bc"]]),
])
def test_types_from_anywhere(foreign, name, value):
    """As numbers, true and false, and text, whatever type the model has of them; alone, too, and in a list of none."""
    def known(found):
        if isinstance(found, str):
            return {"b64": base64.b64encode(found.encode()).decode()}
        return [known(part) for part in found] if isinstance(found, list) else found

    assert told_by(foreign, {"signature_name": name, "inputs": value}) == {"outputs": known(value)}
    assert told_by(foreign, {"signature_name": name, "inputs": {"x": value}}) == {"outputs": known(value)}
    if isinstance(value, list):
        assert told_by(foreign, {"signature_name": name, "instances": value}) == {"predictions": known(value)}
        assert told_by(foreign, {"signature_name": name, "inputs": []}) == {"outputs": []}


@pytest.mark.parametrize("asked, status, words", [
    ({"signature_name": "complex", "inputs": [1]}, 400, "signature_name: complex gives y as complex64"),
    ({"signature_name": "spectrum", "inputs": [[1, 2, 3, 4]]}, 400, "signature_name: spectrum gives y as complex64"),
    ({"signature_name": "bool", "inputs": [[1, 0]]}, 400, "inputs.x[0][0]: true or false is needed, not the number 1"),
    ({"signature_name": "bool", "instances": [["true", True]]}, 400, "instances[0].x[0]: true or false is needed, not a string"),
    ({"signature_name": "flag", "inputs": None}, 400, "inputs.x: true or false is needed, not null"),
    ({"signature_name": "text", "inputs": 3}, 400, "inputs.x: a string"),
    ({"signature_name": "int8", "inputs": [128]}, 400, "inputs.x[0]: 128 is beyond int8"),
    ({"signature_name": "half", "inputs": [65520]}, 400, "inputs.x[0]: 65520 is beyond float16"),
    ({"signature_name": "bfloat16", "inputs": [[1e39, 0]]}, 400, "inputs.x[0][0]: 1e+39 is beyond bfloat16"),
    ({"signature_name": "divided", "inputs": [0]}, 400, "y: the model gives no finite values"),
    ({"signature_name": "nothing", "inputs": 3}, 400, "inputs: an object with nothing is needed, not the number 3"),
    # what shape it is comes before how much of it there is
    ({"signature_name": "images", "inputs": np.zeros([100, 100, 1]).tolist()}, 400, "inputs.x: lists 3 deep, and 4 are needed"),
    ({"signature_name": "bfloat16", "inputs": [0.5] * 99}, 400, "inputs.x: lists 1 deep, and 2 are needed: the outermost is"),
    ({"signature_name": "bfloat16", "instances": [0.5] * 99}, 400, "instances[0].x: a list is needed, not the number 0.5"),
    ({"signature_name": "bfloat16", "inputs": [[0.5] * 2] * 9}, 413, "inputs.x: 9 rows"),
    ({"signature_name": "texts", "inputs": ["a"] * 99}, 400, "inputs.x: lists 1 deep"),
    ({"signature_name": "texts", "inputs": [["a"]] * 9}, 413, "inputs.x: 9 rows; at most 8"),
    ({"signature_name": "half", "inputs": [1] * 9}, 413, "inputs.x: 9 rows"),
    ({"signature_name": "half", "instances": [1] * 9}, 413, "instances: 9 rows"),
])
def test_values_that_do_not_fit(foreign, asked, status, words):
    with pytest.raises(Refusal) as refusal:
        told_by(foreign, asked)
    assert refusal.value.status == status and words in refusal.value.message, refusal.value.message


@pytest.mark.parametrize("contract", [True, False])
def test_weights_that_are_not_finite_here_and_there(tmp_path, contract, caplog):
    """A class of a hundred is enough, or a model that nothing is known of: the trial may not have met it, and the good one is kept."""
    import tensorflow as tf

    def write(folder, place):
        module = tf.Module()
        values = np.random.default_rng(0).normal(size=[100, 12]).astype(np.float32)
        values[place] = np.nan if place else values[place]
        module.table = tf.Variable(values)
        module.make = tf.function(
            lambda noise, label: {"images": tf.tanh(tf.gather(module.table, label) + noise[:, :1])[:, None, None]}, autograph=False,
            input_signature=[tf.TensorSpec([None, 8], tf.float32, name="noise"), tf.TensorSpec([None], tf.int32, name="label")])
        module.latents = tf.function(lambda count, seed: {"noise": tf.zeros([count, 8])}, autograph=False, input_signature=[
            tf.TensorSpec([], tf.int32, name=name) for name in ("count", "seed")])
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.make, "latents": module.latents})
        if contract:
            (folder / export.CONTRACT).parent.mkdir()
            (folder / export.CONTRACT).write_text(json.dumps({
                "output": {"name": "images", "shape": [None, 1, 1, 12]}, "noise": {"kind": "normal", "dim": 8}, "step": 1,
                "functions": {"generator": {
                    "inputs": [{"name": "noise", "kind": "noise", "shape": [None, 8], "distribution": "normal"},
                               {"name": "label", "kind": "label", "shape": [None], "classes": [str(i) for i in range(100)]}],
                    "outputs": [{"name": "images", "kind": "signal", "shape": [None, 1, 1, 12]}]}}}))

    write(tmp_path / "1", 0)
    versions = Versions(tmp_path, 4)
    assert versions.refresh() is True, caplog.text
    write(tmp_path / "2", 70)
    assert versions.refresh() is False and versions.current.version == 1
    assert "2: not served: its variable" in caplog.text and "not finite" in caplog.text


@pytest.mark.parametrize("content, words", [
    (None, "has no assets.extra/generator.json"), ("{", "cannot be read"), ("[]", "cannot be read"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 3]}, "noise": {"kind": "odd", "dim": 8}}', "noise.kind"),
    ('{"format": 2}', "generator.json is of format 2, and this kgan reads up to 1: take a newer kgan"),
    ('{"format": "b", "functions": 3}', "is of format b, and"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 5]}, "noise": {"kind": "normal", "dim": 8}}', "4 channels"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 3]}, "noise": {"kind": "normal", "dim": 8}, '
     '"label": {"classes": ["a", "b"]}}', "takes noise, assets.extra/generator.json says label, noise"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 3]}, "noise": {"kind": "normal", "dim": 8}, '
     '"label": {"classes": ["a", "a"]}}', "label.classes: names are needed, each of them once"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 3]}, "noise": {"kind": "normal", "dim": 8}, '
     '"label": {"classes": "ab"}}', "label.classes"),
    ('{"output": {"name": "images", "shape": [null, 8, 8, 3]}, "noise": {"kind": "normal", "dim": 8}, "label": 3}', "read"),
])
def test_a_contract_that_is_lacking_or_wrong(made_once, tmp_path, content, words):
    folder = shutil.copytree(made_once[0] / "saved_model", tmp_path / "saved_model")
    (folder / "assets.extra" / "generator.json").unlink()
    if content:
        (folder / "assets.extra" / "generator.json").write_text(content)
    model = Model(folder)
    assert model.kind is None and words in model.why


# === The command ===

IMPORTS = """
import sys
from export import serve
from export.serving import app, limits, model, pictures, service
def found():
    return sorted({name.partition(".")[0] for name in sys.modules} & {"kgan", "keras", "tensorflow"})
print(found(), {name.split(".")[1] for name in sys.modules if name.startswith("kgan.")})
"""
SERVES = """
serve.import_tensorflow()  # which imports Keras itself, where that is installed
versions = model.Versions(PATH)
assert versions.refresh()
service = service.Service(versions, "tiny", limits.Limits(8, 8, 8, 8, 1, 8), 0, ["localhost"], 1)
app.create(service, None)
query = pictures.GridQuery()
drawn = service.drawn()
query.file(drawn.default(query.inputs(drawn, [drawn.latents(*seed) for seed in query.seeds()]))["images"], drawn)
print({name.split(".")[1] for name in sys.modules if name.startswith("kgan.")})
"""


@pytest.mark.parametrize("serves", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_imports_no_keras_and_of_kgan_its_kinds(command, request, tmp_path, serves):
    code = IMPORTS + serves * SERVES.replace("PATH", repr(str(request.getfixturevalue("made_once")[0])) if serves else "")
    done = command("-c", code, cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)}, fresh=True)
    assert done.stdout == "['kgan'] {'kinds'}\n" + serves * "{'kinds'}\n" and done.stderr == "", done.stderr


@pytest.mark.parametrize("arguments, words", [
    ([], ["which export"]),
    (["PATH"], ["PATH", "no such folder"]),
    (["NONE"], ["saved_model.pb", "python -m export"]),
    (["RUN"], ["RUN", "it is a run without a SavedModel so far: python -m export RUN writes one"]),
    (["TOP"], ["nothing to serve there, but in TOP/runs/", "python -m export.serve TOP/runs/"]),
    (["SOUND", "--port=70000"], ["port", "70000"]),
    (["SOUND", "--max_batch=0"], ["max_batch"]),
    (["SOUND", "--max_batch=9", "--max_queue=8"], ["--max_queue=8", "--max_batch=9"]),
    (["SOUND", "--proxy=nginx"], ["--proxy=nginx", "no IP address"]),
    (["SOUND", "--name=a/b"], ["--name=a/b", "letters"]),
    (["SOUND", "--host=no.such.host.invalid"], ["no.such.host.invalid"]),
    (["SOUND", "--port=TAKEN"], ["--port=", "cannot listen"]),
    (["SOUND", "--prot=1"], ["prot"]),
    (["BROKEN"], ["BROKEN", "not served"]),
])
def test_mistakes(command, made_once, tmp_path, arguments, words):
    (tmp_path / "BROKEN").mkdir()
    (tmp_path / "BROKEN" / "saved_model.pb").write_bytes(b"nothing of the kind")
    (tmp_path / "RUN").mkdir()
    (tmp_path / "NONE").mkdir()
    (tmp_path / "RUN" / "config.json").write_text("{}")
    (tmp_path / "TOP" / "runs").mkdir(parents=True)
    (tmp_path / "TOP" / "runs" / "a").symlink_to(made_once[0])
    with socket.create_server((HOST, 0)) as taken:
        arguments = [argument.replace("SOUND", str(made_once[0])).replace("TAKEN", str(taken.getsockname()[1]))
                     for argument in arguments]
        done = command("-m", "export.serve", *arguments, "--port=0" if not any("port" in word for word in arguments)
                       else "--max_images=8", cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)})
    errors = [line for line in done.stderr.splitlines() if " at http://" not in line]
    assert done.returncode == 2 and len(errors) == 1, done.stderr
    assert all(word in errors[0] for word in words), done.stderr
    assert done.stdout == ""
