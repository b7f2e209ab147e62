"""POST /make: models of named inputs, over real sockets; what comes back is known without a network."""
import io
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from makers import AGE, FUNCTIONS, IMAGE, LABEL, MADE, NOISE, written, written_solids
from PIL import Image
from servers import connected, everything, pixels, serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

import export
from export.serving.contract import read_contract
from export.serving.model import Model, ModelError, Signature, Versions
from kgan import kinds

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("painter") / "saved_model")


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server"), folder, "--max_pixels=5000", "--max_body=100000",
                 "--client_timeout=2") as found:
        yield found


def multipart(parts):
    """(body, content type) of (name, text, or bytes of a file) pairs."""
    boundary, body = uuid.uuid4().hex, b""
    for name, value in parts:
        file = '; filename="f"\r\nContent-Type: application/octet-stream' if isinstance(value, bytes) else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def make(server, function, *parts, query=""):
    body, kind = multipart(parts)
    return server.ask(f"/make/{function}{query}", body, {"Content-Type": kind})


def noise_image(height=8, width=8, channels=3, seed=0):
    found = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return found[..., 0] if channels == 1 else found


def file(array, kind="PNG", **more):
    buffer = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(buffer, kind, **more)
    return buffer.getvalue()


# === What comes back ===

@pytest.mark.parametrize("height, width", [(8, 8), (5, 9), (1, 1), (70, 71)])
def test_an_image_of_any_size(server, height, width):
    image = noise_image(height, width)
    status, headers, answer = make(server, "generator", ("input", file(image)))
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "image/png", "no-store"), answer
    np.testing.assert_array_equal(pixels(answer), 255 - image)


def test_curl_is_understood(server, tmp_path):
    """The line in docs/serving.md."""
    import shutil
    import subprocess
    if not shutil.which("curl"):
        pytest.skip("curl not installed")
    (tmp_path / "photo.png").write_bytes(file(noise_image()))
    done = subprocess.run(["curl", "-s", "-F", "input=@photo.png", "-F", "label=no réd", "-F", "age=0.5", "-o", "out.png",
                           f"http://127.0.0.1:{server.port}/make/other?output=masks"], cwd=tmp_path, check=True)
    assert done.returncode == 0 and (pixels((tmp_path / "out.png").read_bytes()) == 191).all()


def other(server, *parts, query=""):
    return make(server, "other", ("input", file(np.full((4, 4, 3), 100, np.uint8))), ("age", "-0.5"), *parts, query=query)


def test_all_kinds_of_parts(server, folder):
    model = Model(folder)
    for seed in (0, 7, 2**31 - 1):
        first = model.latents(1, seed)[0, 0]
        for label, kept in (("as it is", [1, 1, 1]), ("no réd", [0, 1, 1])):
            seeds = () if seed == 0 else (("seed", seed),)  # which is 0 where nobody says it
            found = pixels(other(server, ("label", label), *seeds)[2])
            wanted = kinds.get("image").store(np.float32(100 / 127.5) * np.float32(kept) - 1 + first)
            np.testing.assert_array_equal(found, np.broadcast_to(wanted, (4, 4, 3)))
    assert (pixels(other(server, ("label", "black"), query="?output=masks")[2]) == 64).all()
    a, b = (model.latents(1, seed)[0] for seed in (3, 4))
    way = kinds.get("noise").truncate(kinds.get("noise").slerp(a, b, 0.25), 0.4)[0]
    found = pixels(other(server, ("label", "as it is"), ("seed", 3), ("to", 4), ("at", 0.25), ("truncation", 0.4))[2])
    assert np.abs(found - kinds.get("image").store(np.float32(100 / 127.5) - 1 + way).astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["grey", "alpha", "16 bits", "palette", "turned", "jpeg"])
def test_files_as_data_sets_read_them(server, name):
    image = noise_image(6, 9)
    saved, wanted, levels = {
        "grey": (file(image[..., 0]), np.repeat(image[..., :1], 3, -1), 0),
        "alpha": (file(np.concatenate([image, np.zeros_like(image[..., :1])], -1)), np.full_like(image, 255), 0),
        "16 bits": (file(image[..., 0].astype(np.uint16) * 257), np.repeat(image[..., :1], 3, -1), 0),
        "palette": (file(Image.fromarray(image).quantize(8)),
                    np.asarray(Image.fromarray(image).quantize(8).convert("RGB")), 0),
        "turned": (file(image, exif=turned()), np.rot90(image, -1), 0),
        "jpeg": (file(np.full((6, 9, 3), 90, np.uint8), "JPEG"), np.full((6, 9, 3), 90, np.uint8), 2)}[name]
    status, _, answer = make(server, "generator", ("input", saved))
    assert status == 200, answer
    assert np.abs(255 - pixels(answer).astype(int) - wanted).max() <= levels


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    return exif


def test_requests_join_and_stay_apart(server):
    """Of one size they may run as one call; each gets its own."""
    images = [noise_image(8, 8 + i % 3, seed=i) for i in range(24)]
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda image: make(server, "generator", ("input", file(image)))[2], images))
    for image, answer in zip(images, found):
        np.testing.assert_array_equal(pixels(answer), 255 - image)


# === What is refused ===

GOOD = file(noise_image())


def bomb(width, height):
    """A PNG file that says that it has so many pixels."""
    import struct
    import zlib
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("function, parts, status, words", [
    ("generator", [], 400, "input: this part is lacking; a file is needed"),
    ("generator", [("inputs", GOOD)], 400, "inputs: no such part; there are input"),
    ("generator", [("input", GOOD), ("input", GOOD)], 400, "input: given more than once"),
    ("generator", [("input", "text")], 400, "input: a file is needed"),
    ("generator", [("input", b"")], 400, "input: this is no image that can be read"),
    ("generator", [("input", b"%PDF-1.4")], 400, "input: this is no image"),
    ("generator", [("input", GOOD[:60])], 400, "input: this is no image"),
    ("generator", [("input", file(noise_image(100, 51)))], 400, "input: 51×100 pixels, more than 5000"),
    ("generator", [("input", bomb(60000, 60000))], 400, "input: 60000×60000 pixels, more than 5000"),
    ("generator", [("input", GOOD), ("seed", "1")], 400, "seed: no such part"),
    ("generator", [("input", b"x" * 100_001)], 413, "body: more than 100000 bytes"),
    ("none", [("input", GOOD)], 404, "function none: not there; there are generator, other"),
    ("other", [("input", GOOD), ("age", "1")], 400, "label: this part is lacking; the name of a class"),
    ("other", [("input", GOOD), ("age", "1"), ("label", "réd")], 400, "label: 'réd' is no class; there are as it is, no réd"),
    ("other", [("input", GOOD), ("age", "1"), ("label", b"black")], 400, "label: the name of a class is needed, not a file"),
    ("other", [("input", GOOD), ("age", "one"), ("label", "black")], 400, "age: one is no finite number"),
    ("other", [("input", GOOD), ("age", "nan"), ("label", "black")], 400, "age: nan is no finite"),
    ("other", [("input", GOOD), ("age", "1e39"), ("label", "black")], 400, "age: 1e39 is no finite"),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("seed", "-1")], 400, "seed=-1: "),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("seed", b"1")], 400, "seed: a number is needed"),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("seed", "3.7")], 400, "seed=3.7: "),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("to", "1e3")], 400, "to=1e3: "),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("at", "0.5")], 400, "at=0.5: it is a place on the way"),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("truncation", "9")], 400, "truncation=9: "),
    ("other", [("input", GOOD), ("age", "1"), ("label", "black"), ("directions", "1")], 400, "directions: 1 numbers; this"),
])
def test_bad_forms(server, function, parts, status, words):
    found, headers, answer = make(server, function, *parts)
    assert (found, headers["content-type"]) == (status, "application/json"), answer
    assert words in json.loads(answer)["error"] and len(json.loads(answer)["error"]) < 300, answer


@pytest.mark.parametrize("query, words", [
    ("?output=image", "output=image: no such output; there are images"), ("?media=image/gif", "media=image/gif: images comes as"),
    ("?size=3", "size: no such parameter"), ("?threshold=0.5", "threshold: images has none"), ("?threshold=nan", "threshold=nan"), ("?media=a&media=b", "media: given more than once")])
def test_bad_queries(server, query, words):
    status, _, answer = make(server, "generator", ("input", GOOD), query=query)
    assert status == 400 and words in json.loads(answer)["error"], answer


@pytest.mark.parametrize("kind, body, words", [
    ("application/json", b"{}", "content-type: multipart/form-data is needed"),
    ("multipart/form-data", b"", "body: "), ("multipart/form-data; boundary=a", b"", "input: this part is lacking"),
    ("multipart/form-data; boundary=a", b"nothing of the kind", "body: "),
    ("multipart/form-data; boundary=a", b"--a\r\nContent-Disposition: form-data\r\n\r\n1\r\n--a--\r\n", "body: "),
    ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="input"; filename="f"\r\n\r\n123',
     "input: this part is lacking"),
    ("multipart/form-data; boundary=" + "a" * 3000, b"--a", "body: "),
])
def test_bodies_that_are_no_form(server, kind, body, words):
    status, _, answer = server.ask("/make/generator", body, {"Content-Type": kind})
    assert status == 400 and words in json.loads(answer)["error"], answer


def test_many_parts(server):
    status, _, answer = make(server, "generator", *[(f"part {i}", "") for i in range(3000)])
    assert status in (400, 413), answer


def test_slow_form(server):
    with connected(server) as slow:
        slow.sendall(b"POST /make/generator HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                     b"Content-Type: multipart/form-data; boundary=a\r\n\r\n--a")
        assert everything(slow).startswith(b"HTTP/1.1 408")


def test_no_other_method_and_no_picture(server):
    status, _, answer = server.ask("/make/generator")
    assert status == 405
    for path in ("/image.png", "/grid.png", "/interpolate.gif"):
        status, _, answer = server.ask(path)
        assert status == 404 and "it takes input: POST /make/generator" in json.loads(answer)["error"]


def test_full_queue(folder, tmp_path):
    with serving(tmp_path, folder, "--max_batch=1", "--max_queue=64") as server, ThreadPoolExecutor(32) as pool:
        # 32 of 2^20 pixels at most each: there is room for 42 at once
        with ThreadPoolExecutor(60) as pool:
            large = file(np.zeros((1024, 1024, 3), np.uint8))
            answers = list(pool.map(lambda _: make(server, "generator", ("input", large)), range(60)))
        assert {status for status, _, _ in answers} <= {200, 429} and any(status == 200 for status, _, _ in answers)
        for status, headers, answer in answers:
            if status == 429:
                assert headers["retry-after"] == "1" and "wait already" in json.loads(answer)["error"]
        assert make(server, "generator", ("input", GOOD))[0] == 200


def test_what_it_says_of_itself(server):
    found = json.loads(server.ask("/generator.json")[2])
    assert found["functions"] == FUNCTIONS and found["kind"] is None and found["directions"] == 0
    assert found["limits"]["max_pixels"] == 5000 and found["limits"]["max_body"] == 100_000
    described = json.loads(server.ask("/openapi.json")[2])["paths"]["/make/{function}"]["post"]
    assert list(described["requestBody"]["content"]) == ["multipart/form-data"]
    assert "image/png" in described["responses"]["200"]["content"] and "422" not in described["responses"]
    assert server.ask("/readyz")[2] == b"version 3"


def test_the_json_form_goes_on(server):
    image = np.linspace(-1, 1, 12).reshape(1, 2, 2, 3)
    status, found = server.predict({"instances": image.tolist()}, "/v1/models/painter:predict")
    assert status == 200
    np.testing.assert_allclose(found["predictions"], -image, atol=1e-6)


def test_voxels_as_files(tmp_path):
    """The mesh at the threshold that is asked for, or the numbers."""
    voxels = pytest.importorskip("kgan.kinds.voxels")
    model = Model(written_solids(tmp_path / "m"))
    with serving(tmp_path, tmp_path / "m") as server:
        status, headers, mesh = make(server, "generator", ("label", "high"), ("seed", 3))
        sample = model.default({"noise": model.latents(1, 3), "label": np.int32([1])})["voxels"][0]
        assert (status, headers["content-type"]) == (200, "model/gltf-binary") and mesh == voxels.write(sample)
        assert (sample > 0.5).sum() < (sample > 0.3).sum()
        found = make(server, "generator", ("label", "high"), ("seed", 3), query="?threshold=0.3")[2]
        assert found == voxels.write(sample, threshold=0.3) != mesh
        status, headers, content = make(server, "generator", ("label", "high"), ("seed", 3), query="?media=application/x-npy")
        assert headers["content-type"] == "application/x-npy"
        np.testing.assert_array_equal(np.load(io.BytesIO(content)), sample)
        picture = pixels(server.ask("/image.png?seed=3&label=high")[2])
        np.testing.assert_array_equal(picture, np.asarray(voxels.sheet(sample[None], columns=1, smallest=0)))


# === Contracts ===

def test_fixed_sizes(tmp_path):
    """A size that the model has not is refused, and not changed silently."""
    fixed = [{**field, "shape": [None, 8, 8, 3]} for field in (IMAGE, MADE)]
    path = written(tmp_path / "m", {"generator": {"inputs": fixed[:1], "outputs": fixed[1:]}}, size=8)
    with serving(tmp_path, path) as server:
        assert make(server, "generator", ("input", GOOD))[0] == 200
        status, _, answer = make(server, "generator", ("input", file(noise_image(8, 9))))
        assert status == 400 and json.loads(answer)["error"] == "input: the image is 9×8 pixels; 8×8 are needed"


def test_numbers_that_are_not_finite(tmp_path, caplog, monkeypatch):
    """At the first look it is no model, by its weights or by what it makes; a newer one does not take the place of one that is good."""
    with pytest.raises(ModelError, match="its variable .* has values that are not finite"):
        Model(written(tmp_path / "nan", nan=True))
    monkeypatch.setattr(Signature, "check", lambda self: None)  # as of constants, which are no variables
    written(tmp_path / "versions" / "1")
    versions = Versions(tmp_path / "versions")
    assert versions.refresh() is True
    (tmp_path / "nan").rename(tmp_path / "versions" / "2")
    assert versions.refresh() is False and versions.current.version == 1
    assert "2: not served: images: what it makes is not finite" in caplog.text


def test_functions_that_change(tmp_path, caplog):
    written(tmp_path / "1")
    versions = Versions(tmp_path)
    assert versions.refresh() is True
    written(tmp_path / "2", {"generator": FUNCTIONS["generator"]})
    swapped = {**LABEL, "classes": LABEL["classes"][::-1]}
    written(tmp_path / "3", {**FUNCTIONS, "other": {"inputs": [IMAGE, swapped, AGE, NOISE],
                                                    "outputs": FUNCTIONS["other"]["outputs"]}})
    assert versions.refresh() is False and versions.current.version == 1
    assert caplog.text.count("its function other is another, clients know that of before") == 2
    written(tmp_path / "4")
    assert versions.refresh() is True and versions.current.version == 4


@pytest.mark.parametrize("functions, words", [
    ({"generator": {"inputs": [{**IMAGE, "kind": "odour"}], "outputs": [MADE]}}, "no kind of data is named 'odour'"),
    ({"generator": {"inputs": [], "outputs": [MADE]}}, "without inputs"),
    ({"generator": {"inputs": [IMAGE, IMAGE], "outputs": [MADE]}}, "a name of its own"),
    ({"generator": {"inputs": [{**IMAGE, "shape": [1, 8, 8, 3]}], "outputs": [MADE]}}, "begins with null"),
    ({"generator": {"inputs": [{**IMAGE, "shape": [None, 8, 8, 9]}], "outputs": [MADE]}}, "1 to 4 channels"),
    ({"generator": {"inputs": [LABEL], "outputs": [MADE]}}, "the SavedModel takes input, "),
    ({"generator": {"inputs": [IMAGE], "outputs": [{**MADE, "name": "samples"}]}}, "the SavedModel gives images, "),
    ({"generator": FUNCTIONS["generator"], "third": FUNCTIONS["generator"]}, "no signature third"),
    ([FUNCTIONS], "cannot be read"), ({"generator": 3}, "cannot be read"),
    ({"generator": {"inputs": [{**LABEL, "classes": ["a", "a"]}], "outputs": [MADE]}}, "each of them once"),
])
def test_functions_that_cannot_be(folder, tmp_path, functions, words):
    import shutil
    path = shutil.copytree(folder, tmp_path / "m")
    told = json.loads((path / export.CONTRACT).read_text())
    (path / export.CONTRACT).write_text(json.dumps({**told, "functions": functions}))
    model = Model(path)
    assert model.functions == {} and model.kind is None and words in model.why, model.why


def test_contracts_from_before_there_were_functions(tmp_path):
    path = tmp_path / export.CONTRACT
    path.parent.mkdir()
    path.write_text(json.dumps({"output": {"name": "samples", "shape": [None, 10], "range": None},
                                "noise": {"kind": "uniform", "dim": 5}, "label": {"name": "label", "classes": ["a", "b"]}}))
    _, functions, why = read_contract(tmp_path)
    function, = functions.values()
    assert why == "" and function.signature == "serving_default" and function.output == "samples"
    assert function.inputs == {"noise": kinds.Field("noise", (5,), more={"distribution": "uniform"}),
                               "label": kinds.Field("label", (), ("a", "b"))}
    assert function.outputs == {"samples": kinds.Field("signal", (10,))}


def test_noise_beside_an_image(tmp_path):
    """Without a signature that draws it, a seed is NumPy's."""
    told = {"functions": {"other": FUNCTIONS["other"]}, "noise": None}
    path = written(tmp_path / "m", told["functions"], noise=None, only="other")
    model = Model(path)
    assert model.kind is None and "latents" not in model.signatures and model.distribution == "normal"
    with serving(tmp_path, path) as server:
        found = other(server, ("label", "as it is"), ("seed", 5))
        first = np.random.default_rng(5).standard_normal(8).astype(np.float32)[0]
        assert found[0] == 200, found
        np.testing.assert_array_equal(pixels(found[2])[0, 0], kinds.get("image").store(np.full(3, 100 / 127.5 - 1) + first))
