"""The page's controls and views of given images and of voxels, in a browser: on the server and as a web export."""
import base64
import importlib.util
import io
import json
import struct
import time

import numpy as np
import pytest
from browsers import browser, chromium, site
from makers import IMAGE, MADE, solid, written, written_solids
from PIL import Image
from servers import pixels, serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

from kgan import kinds

RATE = 30  # frames a second, at least


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """(address, Server) of a model that inverts images, of at most 5,000 pixels."""
    folder = tmp_path_factory.mktemp("painter")
    with serving(folder, written(folder / "m"), "--max_pixels=5000") as server:
        yield f"http://127.0.0.1:{server.port}/", server


@pytest.fixture(scope="module")
def solids(tmp_path_factory):
    pytest.importorskip("kgan.kinds.voxels")
    folder = tmp_path_factory.mktemp("solids")
    with serving(folder, written_solids(folder / "m")) as server:
        yield f"http://127.0.0.1:{server.port}/", server


def opened(browser, address, **more):
    browser.open(address, tiles=0, **more)
    browser.until(lambda: browser.text("facts"))


def image(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def saved(folder, array, name="my photo.png"):
    Image.fromarray(array).save(folder / name)
    return str(folder / name)


def pick(browser, path):
    browser.find("input[type=file]").send_keys(path)


def given(browser, how, array, name="x.png", kind="image/png"):
    """An image as an event of the whole page: "drop" or "paste"."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode() if kind == "image/png" else ""
    browser.run("""const bytes = Uint8Array.from(atob(arguments[1]), letter => letter.charCodeAt(0)), data = new DataTransfer();
        data.items.add(new File([bytes], arguments[2], {type: arguments[3]}));
        document.body.dispatchEvent(arguments[0] === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true})
          : new ClipboardEvent("paste", {clipboardData: data, bubbles: true}))""", how, data, name, kind)


def problem(browser):
    return browser.run("return document.querySelector('.problem:not([hidden])')?.textContent ?? ''")


# === An image on the server's page ===

def test_an_image_and_what_comes_of_it(browser, painter, tmp_path):
    address, _ = painter
    opened(browser, address)
    assert "images of any size from an image" in browser.text("facts")
    assert not browser.find("#download").is_enabled() and not browser.find("#copy").is_enabled()
    pick(browser, saved(tmp_path, image()))
    browser.shows(255 - image())
    np.testing.assert_array_equal(browser.pixels(".before")[..., :3], image())
    assert browser.text("status") == "From my photo.png" and "60 × 40 pixels" in browser.find(".note").text

    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until((tmp_path / "painter-generator-my_photo.png").exists)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "painter-generator-my_photo.png"))[..., :3], 255 - image())
    browser.find("#copy").click()
    browser.until(browser.find("#copied").is_displayed)
    assert browser.find("#copied").get_attribute("value") == (
        f"curl -o painter.png -F 'input=@my photo.png' '{address}make/generator'")
    pick(browser, saved(tmp_path, image(seed=1)))  # the same name again
    browser.shows(255 - image(seed=1))
    assert browser.errors() == []


@pytest.mark.slow
def test_slider_between_before_and_after(browser, painter, tmp_path):
    """By keys, by mouse and by a finger; what is shown follows."""
    from selenium.webdriver import ActionChains
    opened(browser, painter[0])
    pick(browser, saved(tmp_path, image()))
    browser.shows(255 - image())
    slider = browser.find(".compare input")

    def shown():
        """(the slider's value, part of the width up to which `before` is seen)"""
        cut, width = browser.run("""const before = document.querySelector(".before");
            return [getComputedStyle(before).clipPath, before.clientWidth]""")
        return float(slider.get_attribute("value")), 100 - percent(cut, width)

    assert shown() == (50, 50)
    browser.run("arguments[0].focus()", slider)
    browser.keys(*["ARROW_RIGHT"] * 3)
    assert shown() == (53, 53) and slider.get_attribute("aria-valuetext") == "53 % before, 47 % after"
    browser.keys("HOME")
    assert shown() == (0, 0)
    width = slider.size["width"]
    ActionChains(browser.driver).move_to_element_with_offset(slider, 0, 0).click_and_hold().move_by_offset(
        int(width / 4), 0).release().perform()
    assert shown()[0] == pytest.approx(75, abs=1.5)
    place = browser.run("const box = arguments[0].getBoundingClientRect(); return [box.left + box.width / 5, box.top + 40]", slider)
    for kind, points in (("touchStart", [place]), ("touchEnd", [])):
        browser.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})
    browser.until(lambda: abs(shown()[0] - 20) < 1.5)


def percent(clip, width):
    """How much of the right side `inset(0 RIGHT 0 0)` cuts away."""
    right = clip.removeprefix("inset(").removesuffix(")").split(" ", 1)[1].removesuffix(" 0px 0px")
    if "calc" in right:  # calc(100% - 53%)
        return 100 - float(right.rpartition("-")[2].strip(" %)"))
    return float(right.removesuffix("px")) / width * 100 if right.endswith("px") else float(right.removesuffix("%"))


@pytest.mark.parametrize("how", ["drop", "paste"])
@pytest.mark.slow
def test_dropped_or_pasted(browser, painter, how):
    opened(browser, painter[0])
    given(browser, how, image(seed=2))
    browser.shows(255 - image(seed=2))
    given(browser, how, image(), "words.txt", "text/plain")
    browser.until(lambda: problem(browser).startswith("words.txt is no image: take a PNG"))
    assert browser.text("status") == problem(browser) and not browser.find("#message").is_displayed()
    given(browser, how, image(seed=3))
    browser.shows(255 - image(seed=3))
    assert problem(browser) == ""


@pytest.mark.slow
def test_a_still_of_the_camera(browser, painter):
    """Chromium has one of its own for tests."""
    opened(browser, painter[0])
    browser.until(browser.find(".open").is_displayed)
    browser.find(".open").click()
    browser.until(lambda: browser.run("return document.querySelector('video').videoWidth > 0"))
    browser.find(".take").click()
    browser.until(lambda: browser.text("status") == "From camera.png")
    before, after = browser.pixels(".before"), browser.pixels()
    np.testing.assert_array_equal(before[..., :3], 255 - after[..., :3])
    assert before.shape[0] * before.shape[1] <= 5000 and "scaled to" in browser.find(".note").text
    assert not browser.find("video").is_displayed()
    assert browser.run("return document.querySelector('video').srcObject") is None


@pytest.mark.slow
def test_what_is_too_large_is_scaled_and_says_so(browser, painter, tmp_path):
    opened(browser, painter[0])
    pick(browser, saved(tmp_path, np.full((100, 200, 3), 50, np.uint8)))
    browser.shows(np.full((50, 100, 3), 205, np.uint8))
    assert browser.find(".note").text == "my photo.png, 200 × 100 pixels, scaled to 100 × 50: no more than 5,000 are taken."


@pytest.mark.slow
def test_a_file_that_is_no_image(browser, painter, tmp_path):
    opened(browser, painter[0])
    (tmp_path / "broken.png").write_bytes(b"nothing of the kind")
    pick(browser, str(tmp_path / "broken.png"))
    browser.until(lambda: problem(browser) == "broken.png cannot be read as an image: take a PNG, JPEG, GIF, BMP or WebP file.")
    assert "broken" in browser.run("return document.getElementById(document.querySelector('.pick')"
                                   ".getAttribute('aria-describedby').split(' ')[1]).textContent")


@pytest.mark.slow
def test_what_the_server_says_of_an_image_stands_beside_it(browser, painter, tmp_path):
    opened(browser, painter[0], script="""const ask = fetch; window.fetch = (path, more) => String(path).startsWith("make/") ?
        Promise.resolve(new Response('{"error": "input: it is odd"}', {status: 400})) : ask(path, more)""")
    pick(browser, saved(tmp_path, image()))
    browser.until(lambda: problem(browser) == "The server could not do that: input: it is odd")
    assert not browser.find("#message").is_displayed()


@pytest.mark.slow
def test_it_is_seen_to_be_made(browser, painter, tmp_path):
    opened(browser, painter[0], script="""const ask = fetch; window.fetch = async (path, more) => {
        if (String(path).startsWith("make/")) await new Promise(done => { window.go = done; });
        return ask(path, more) }""")
    assert not browser.find("#busy").is_displayed()
    pick(browser, saved(tmp_path, image()))
    browser.until(browser.find("#busy").is_displayed)
    assert browser.find("#stage").get_attribute("aria-busy") == "true"
    browser.run("window.go()")
    browser.shows(255 - image())
    assert not browser.find("#busy").is_displayed() and browser.find("#stage").get_attribute("aria-busy") is None


@pytest.mark.slow
def test_another_function(browser, painter, tmp_path):
    """Its controls take the place of the others': an image, a class, a number, a seed; two views."""
    address, server = painter
    opened(browser, f"{address}#function=other&label=no+r%C3%A9d&age=0.5&seed=7")
    assert browser.find("#function").get_attribute("value") == "other"
    assert browser.find("#seed").get_attribute("value") == "7" and not browser.find("#grid").is_displayed()
    pick(browser, saved(tmp_path, image(5, 6)))
    browser.until(lambda: len(browser.driver.find_elements("css selector", ".compare:not(.empty)")) == 2)
    from test_make import file, make
    parts = ("input", file(image(5, 6))), ("label", "no réd"), ("age", 0.5)
    browser.shows(pixels(make(server, "other", *parts, ("seed", 7))[2]))
    assert (browser.pixels(".compare:nth-child(2) .after")[..., :3] == 191).all()
    assert browser.text("status") == "From my photo.png, seed 7, class no réd"
    named(browser)
    browser.run("const seed = document.getElementById('seed'); seed.value = 8; seed.onchange()")
    browser.shows(pixels(make(server, "other", *parts, ("seed", 8))[2]))
    browser.until(lambda: browser.hash() == {"function": "other", "seed": "8", "label": "no réd", "age": "0.5"})
    browser.run("const found = document.getElementById('function'); found.value = 'generator'; found.onchange()")
    browser.until(lambda: not browser.driver.find_elements("css selector", "#seed"))
    assert browser.errors() == []


@pytest.mark.parametrize("width", [360, 390, 700, 1280])
@pytest.mark.slow
def test_widths(browser, painter, solids, tmp_path, width):
    browser.size(width, 844)
    opened(browser, painter[0])
    pick(browser, saved(tmp_path, image(20, 90), "a_name_that_is_very_long_" * 8 + ".png"))
    browser.shows(255 - image(20, 90))
    assert overflow(browser) == 0
    browser.open(solids[0])
    assert overflow(browser) == 0
    boxes = browser.run("""return [...document.querySelectorAll("figure, #status, .stage .row, #controls > section")].map(node => {
        const {left, top, right, bottom} = node.getBoundingClientRect(); return [left, top + scrollY, right, bottom + scrollY] })""")
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[i + 1:]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] + 1 or other[3] <= top + 1, (i, boxes)


def overflow(browser):
    return browser.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth")


@pytest.mark.slow
def test_names_and_keys(browser, painter, solids, tmp_path):
    opened(browser, painter[0])
    pick(browser, saved(tmp_path, image()))
    browser.shows(255 - image())
    named(browser)
    browser.run("document.querySelector('.compare input').focus()")
    reached = [browser.keys("TAB") or browser.run("return document.activeElement.id || document.activeElement.className")
               for _ in range(4)]
    assert reached[:4] == ["download", "copy", "function", "pick"]
    browser.open(solids[0])
    named(browser)
    browser.run("document.getElementById('picture').focus()")
    reached = [browser.keys("TAB") or browser.focused() for _ in range(4)]
    assert reached == ["threshold", "spin", "download", "copy"]


def named(browser):
    nodes = browser.cdp("Accessibility.getFullAXTree", {})["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in
                ("button", "slider", "spinbutton", "radio", "textbox", "image", "link", "combobox")]
    assert len(controls) > 4 and all(node["name"]["value"].strip() for node in controls)
    assert browser.run("return [...document.querySelectorAll('[role=status], [role=alert], [aria-live], output')]"
                       ".map(node => node.id)") == ["live"]


# === Voxels on the server's page ===

@pytest.mark.slow
def test_voxels_are_turned_and_cut(browser, solids):
    """By keys, mouse and finger; a higher threshold shows less, and says when nothing is left."""
    from selenium.webdriver import ActionChains
    browser.open(f"{solids[0]}#seed=1", tiles=24)
    assert "solids of 12 × 12 × 12 voxels from 8 numbers" in browser.text("facts")
    browser.until(lambda: (browser.pixels()[..., 3] == 255).mean() > 0.05)
    first = browser.pixels()
    on = browser.find("#picture")
    browser.run("arguments[0].focus()", on)
    turned = browser.changed(lambda: browser.keys("ARROW_LEFT", "ARROW_UP"))
    assert (turned[..., 3] == 255).mean() > 0.05
    browser.changed(lambda: browser.keys("HOME"))
    browser.until(lambda: np.array_equal(browser.pixels(), first))
    browser.changed(lambda: ActionChains(browser.driver).move_to_element(on).click_and_hold().move_by_offset(60, 20).release().perform())
    x, y = browser.run("const box = arguments[0].getBoundingClientRect(); return [box.left + 100, box.top + 100]", on)

    def swipe():
        for kind, points in (("touchStart", [x]), ("touchMove", [x + 40]), ("touchMove", [x + 80]), ("touchEnd", [])):
            browser.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": each, "y": y} for each in points]})

    browser.changed(swipe)
    cut = "const found = document.getElementById('threshold'); found.value = arguments[0]; found.oninput()"
    before = (browser.pixels()[..., 3] == 255).sum()
    lower = browser.changed(lambda: browser.run(cut, 0.3))  # the roof
    assert (lower[..., 3] == 255).sum() > before
    browser.run(cut, 1)
    browser.until(lambda: (browser.pixels()[..., 3] == 0).all())
    assert "Nothing of it lies above this threshold" in browser.text("turning")
    assert browser.errors() == []


def test_noise_and_class_make_voxels(browser, solids):
    address, server = solids
    browser.open(f"{address}#seed=0")
    browser.until(lambda: (browser.pixels()[..., 3] == 255).mean() > 0.05)
    asked = json.dumps({"signature_name": "serving_default", "inputs": {"noise": [[0] * 8], "label": [1]}})
    assert len(json.loads(server.ask("/v1/models/solids:predict", asked)[2])["outputs"][0]) == 12
    low = browser.pixels()
    high = browser.changed(browser.find("#grid button:nth-child(2)").click)  # the next seed is of the next class
    assert (high[..., 3] == 255).sum() > (low[..., 3] == 255).sum()
    assert browser.text("status") == "Seed 1, class high"
    tiles = [browser.pixels(f".tile:nth-child({i}) canvas")[..., :3] for i in (1, 2)]
    for seed, found in enumerate(tiles):
        label = ["low", "high"][seed]
        np.testing.assert_array_equal(found, pixels(server.ask(f"/image.png?seed={seed}&label={label}")[2]))
    browser.find("#copy").click()
    browser.until(browser.find("#copied").is_displayed)
    assert browser.find("#copied").get_attribute("value") == (
        f"curl -o solids.glb -F 'seed=1' -F 'label=high' '{address}make/generator'")


def read_glb(content):
    """(positions [n, 3], normals, triangles [m, 3]) in a binary glTF file."""
    magic, version, length, size, kind = struct.unpack("<4sIIII", content[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), 0x4E4F534A)
    told, binary = json.loads(content[20:20 + size]), content[28 + size:]
    assert struct.unpack("<II", content[20 + size:28 + size]) == (len(binary), 0x004E4942)
    found = []
    for accessor in told["accessors"]:
        view = told["bufferViews"][accessor["bufferView"]]
        part = binary[view["byteOffset"]:view["byteOffset"] + view["byteLength"]]
        found.append(np.frombuffer(part, {5126: np.float32, 5125: np.uint32}[accessor["componentType"]]).reshape(-1, 3))
    assert told["accessors"][0]["min"] == found[0].min(0).tolist() and told["accessors"][0]["max"] == found[0].max(0).tolist()
    return found


def squares(positions, normals):
    return sorted((*np.sort(corners.reshape(4, 3), 0).ravel().tolist(), *normal) for corners, normal in
                  zip(positions.reshape(-1, 12), normals[::4].tolist()))


@pytest.mark.slow
def test_download_of_a_mesh(browser, solids, tmp_path):
    """The sides that can be seen at the threshold that is set: those of kgan.kinds.voxels."""
    address, server = solids
    browser.open(f"{address}#seed=1")
    browser.run("const found = document.getElementById('threshold'); found.value = 0.3; found.oninput()")
    browser.until(lambda: (browser.pixels()[..., 3] == 255).any())
    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until((tmp_path / "solids-1-high.glb").exists)
    positions, normals, triangles = read_glb((tmp_path / "solids-1-high.glb").read_bytes())
    corners, facing = kinds.get("voxels").mesh(solid(5, 1), 0.3)
    assert squares(positions, normals) == squares(corners.reshape(-1, 3), np.repeat(facing, 4, 0))
    a, b, c = positions[triangles].transpose(1, 0, 2)  # anticlockwise from outside
    np.testing.assert_array_equal(np.cross(b - a, c - a), normals[triangles[:, 0]])


@pytest.mark.slow
def test_thirty_frames_a_second(browser, solids):
    """32³ on a canvas of 800 × 800, without a GPU: a solid, and noise that fills a half."""
    browser.open(solids[0])
    found = browser.answer("""{
        const {render, surface} = await import("/kinds/voxels.js"), pixels = new Uint32Array(800 * 800), found = [];
        const ball = Float32Array.from({length: 32 ** 3}, (_, i) =>
          Math.hypot((i >> 10) - 15.5, (i >> 5 & 31) - 15.5, (i & 31) - 15.5) < 13);
        const random = ball.map((_, i) => Math.sin(i * i) > 0);
        for (const values of [ball, random]) {
          const solid = surface({values, size: [32, 32, 32]}, 0.5), times = [];
          for (let i = 0; i < 40; i++) {
            const start = performance.now();
            render(pixels, 800, solid, {yaw: i / 5, pitch: i / 30});
            times.push(performance.now() - start);
          }
          found.push(Math.min(...times));  // of a machine that other tests share
        }
        return found }""")
    assert max(found) < 1000 / RATE, found


@pytest.mark.slow
def test_spinning(browser, solids):
    browser.open(solids[0])
    browser.until(lambda: (browser.pixels()[..., 3] == 255).any())
    pictures = {browser.changed(browser.find("#spin").click).tobytes()}
    browser.until(lambda: pictures.add(browser.pixels().tobytes()) or len(pictures) > 3)
    browser.find("#spin").click()
    assert browser.find("#spin").get_attribute("aria-pressed") == "false"
    time.sleep(0.2)
    assert np.array_equal(browser.pixels(), browser.pixels())


# === The same as a web export ===

@pytest.fixture(scope="module")
def packages():
    if not importlib.util.find_spec("ai_edge_litert"):
        pytest.skip('ai-edge-litert not installed: pip install -e ".[export]"')
    from export import web
    from kgan.command import UserError
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("npm_config_fetch_retries", "0")
            return web.fetch()
    except UserError as error:
        if str(error).startswith("web: npm"):
            pytest.skip(str(error))
        raise


def exported(folder, inputs, outputs, inner, **more):
    """A web export of a Keras model of named inputs."""
    import keras

    from export import web
    tensors = {told["name"]: keras.Input(told["shape"][1:], name=told["name"], dtype=told["dtype"]) for told in inputs}
    told = {"name": "painter", "model": "some", "dataset": "none", "step": 3, "checkpoint": "newest", "input": None, "label": None,
            "noise": None, "truncation": False, "directions": None, "output": outputs[0],
            "functions": {"generator": {"inputs": inputs, "outputs": outputs}}, **more}
    web.write(keras.Model(tensors, inner(tensors)), told, folder / "web", None)
    return folder


@pytest.mark.slow
def test_image_in_a_web_export(browser, packages, tmp_path):
    """Cut and scaled to the one size that the file takes, which is said; the rest is as on the server."""
    import keras
    exported(tmp_path, [IMAGE], [MADE], lambda given: keras.layers.Rescaling(-1.0)(given["input"]))
    with site(tmp_path) as address:
        opened(browser, f"{address}web/")
        assert "images of 8 × 8 × 3 from an image" in browser.text("facts") and not browser.find("#copy").is_displayed()
        pick(browser, saved(tmp_path, image(8, 8)))
        browser.shows(255 - image(8, 8), levels=1)
        assert browser.find(".note").text == "my photo.png, 8 × 8 pixels."
        wide = np.zeros([16, 48, 3], np.uint8)
        wide[:, 16:32] = [200, 100, 40]  # what the middle shows
        pick(browser, saved(tmp_path, wide))
        browser.shows(np.full((8, 8, 3), [55, 155, 215], np.uint8), levels=1)
        assert browser.find(".note").text == ("my photo.png, 48 × 16 pixels, its middle cut out and scaled to 8 × 8, the only size "
                                              "that this generator takes.")
        assert all(asked.startswith(address) for asked in browser.requests()) and browser.errors() == []


@pytest.mark.slow
def test_voxels_in_a_web_export(browser, packages, tmp_path):
    import keras
    noise = {"name": "noise", "kind": "noise", "shape": [None, 4], "dtype": "float32", "distribution": "normal(0, 1)",
             "range": None}
    made = {"name": "voxels", "kind": "voxels", "shape": [None, 6, 6, 6, 1], "dtype": "float32", "range": [0, 1]}

    def inner(given):
        keras.utils.set_random_seed(0)
        return keras.layers.Reshape((6, 6, 6, 1))(keras.layers.Dense(216, "sigmoid", kernel_initializer="normal")(given["noise"]))

    exported(tmp_path, [noise], [made], inner, noise={"kind": "normal", "dim": 4}, truncation=True, directions=np.eye(4).tolist())
    with site(tmp_path) as address:
        browser.open(f"{address}web/#seed=3")
        browser.until(lambda: (browser.pixels()[..., 3] == 255).mean() > 0.05)
        values = browser.answer("[...await kgan.run(kgan.noise({seed: 3}))]")
        assert len(values) == 216 and 0 < np.mean(np.array(values) > 0.5) < 1
        browser.changed(lambda: browser.run("""const slider = document.querySelector("#sliders input");
            slider.value = 3; slider.dispatchEvent(new Event("input"))"""))
        assert (browser.pixels(".tile canvas")[..., 3] == 255).any() and browser.errors() == []
