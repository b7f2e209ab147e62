"""The page of a generator: as a web export, in a browser against Keras; and as the server's, against the server."""
import base64
import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pytest
from browsers import browser, chromium, site
from conditional import CLASSES, tiny
from PIL import Image

import export
import export.saved_model
from export import contract, web
from kgan import latent, models
from kgan.command import UserError
from kgan.kinds import noise as noise_kind
from kgan.kinds.image import store

ROOT = Path(export.__file__).parents[1]
FILES = {"index.html", "page.js", "style.css", "dom.js", "draw.js", "latent.js", "gif.js", "glb.js", "npy.js", "plot.js",
         "generator.js", "generator.json",
         *(f"kinds/{name}.js" for name in ("audio", "events", "image", "label", "mask", "noise", "notes", "number", "points", "signal",
                                           "tokens", "verdict", "video", "voxels")),
         "generator.tflite", "litert/index.js",
         "litert/wasm-utils.js", "litert/LICENSE", "litert/NOTICE",
         *(f"litert/litert_wasm_{name}internal.{kind}" for name in ("", "compat_") for kind in ("js", "wasm"))}


# === Generators and where they lie ===

def made(model="dcgan", shape=(8, 8, 3), gain=60.0, **settings):
    keras.utils.set_random_seed(4)
    gan = models.build(model, shape, settings or dict(filters=4, noise_dim=8))
    for variable in gan.ema_generator.variables[-2:]:  # of the last layer: untrained, all samples are nearly the same
        variable.assign(gain * variable)
    return gan


def told(gan):
    """As much of a contract as a page needs."""
    return {"name": "tiny", "model": "some", "dataset": "none", "step": 1234, "checkpoint": "newest",
            **contract.interface(gan),
            "directions": latent.principal_directions(gan, samples=256).astype(float).tolist()}


@pytest.fixture(scope="module")
def packages(shared_cache):
    """LiteRT.js in the tests' cache."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("npm_config_fetch_retries", "0")  # without a network it would try for more than a minute
            return web.fetch()
    except UserError as error:
        if str(error).startswith("web: npm"):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def gan():
    return made()


@pytest.fixture(scope="module")
def exported(gan, packages, tmp_path_factory):
    """A web export. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("exported") / "web"
    web.write(gan.ema_generator, told(gan), folder, gan.latents)
    return folder


@pytest.fixture(scope="module")
def address(exported):
    with site(exported.parent) as found:
        yield f"{found}web/"  # some way below the root, as most pages are


def in_keras(gan, noise, label=None):
    return np.asarray(gan.make(np.asarray(noise, np.float32).reshape(-1, gan.config.noise_dim), label))


@pytest.fixture(scope="module")
def conditional(packages, tmp_path_factory):
    """(address, GAN) of a web export with classes."""
    gan, folder = tiny("gains"), tmp_path_factory.mktemp("conditional")
    web.write(gan.ema_generator, told(gan), folder / "web", gan.latents)
    with site(folder) as found:
        yield f"{found}web/", gan


# === What an export leaves ===

def test_whole_folder(exported, gan, monkeypatch, tmp_path):
    files = {path.relative_to(exported).as_posix(): path for path in exported.rglob("*") if path.is_file()}
    assert set(files) == FILES
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files.values())
    assert json.loads(files["generator.json"].read_text())["directions"] == told(gan)["directions"]
    assert "Apache License" in files["litert/LICENSE"].read_text() and "LICENSE" in files["litert/NOTICE"].read_text()
    for name in ("page.js", "generator.js", "litert/index.js", "litert/wasm-utils.js"):
        for asked in re.findall(r'(?:from |import\()"(.*?)"', files[name].read_text()):
            assert asked.startswith("./") and (files[name].parent / asked).is_file(), asked

    monkeypatch.setenv("PATH", "")  # what is in the cache needs no npm
    assert web.fetch()
    with pytest.raises(FileExistsError):
        web.write(gan.ema_generator, told(gan), exported, gan.latents)


def test_command(command, finished, packages, tmp_path):
    """A run's export, checked like every format's, and seen to be another when a file of it is."""
    run = shutil.copytree(finished, tmp_path / "run")
    done = command("-m", "export", run, "--formats=web", cwd=ROOT)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "export/web: step 200, differs from Keras by at most" in done.stdout
    entry, = [entry for entry in json.loads((run / "export" / "export.json").read_text())["artefacts"]
              if entry["format"] == "web"]
    assert entry["bytes"] == sum(path.stat().st_size for path in (run / "export" / "web").rglob("*") if path.is_file())
    assert "python -m http.server --directory web" in (run / "export" / "README.md").read_text()
    (run / "export" / "web" / "page.js").write_text("")
    done = command("-m", "export.check", run, cwd=ROOT)
    assert done.returncode == 1
    assert ["SHA-256" in line for line in done.stdout.splitlines() if line.startswith(("web", "saved"))] == [True, False]


def test_no_other_host_is_named():
    for path in filter(Path.is_file, web.PAGE.rglob("*")):
        found = path.read_text(encoding="utf-8")
        if path.suffix != ".LICENSE":
            assert not re.search(r"\w+://|['\"(]//", found), path
    assert "default-src 'self'" in (web.PAGE / "index.html").read_text()


def npm(folder, script):
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


def test_a_changed_package_is_refused(packages, tmp_path, monkeypatch):
    folder = shutil.copytree(next(iter(packages.values())).parent, tmp_path / "npm")
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path))
    web.fetch()
    path = sorted(folder.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path}.* as it was published.*delete it"):
        web.fetch()


@pytest.mark.skipif(os.name == "nt", reason="the other npm is a shell script")
def test_a_wrong_package_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", npm(tmp_path, f"echo wrong > litertjs-core-{web.VERSION}.tgz"))
    with pytest.raises(UserError, match="as it was published"):
        web.fetch()
    assert not list((tmp_path / "cache" / "npm").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the other npm is a shell script")
@pytest.mark.parametrize("script, words", [
    (None, "npm, which fetches LiteRT.js, is not installed: install Node.js"),
    ("echo npm error code ENOTFOUND >&2; exit 1", r"\(npm error code ENOTFOUND\): see to the network"),
    ("exit 0", r"\(exit 0\)"),
])
def test_npm_that_fails(script, words, tmp_path, monkeypatch):
    monkeypatch.setenv("KGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", npm(tmp_path, script) if script else "")
    with pytest.raises(UserError, match=words) as error:
        web.fetch()
    assert f"npm pack @litertjs/core@{web.VERSION}" in str(error.value) and str(tmp_path / "cache") in str(error.value)


# === The web export, in a browser ===

def test_equals_keras(browser, address, gan):
    browser.open(f"{address}#seed=3")
    noise = gan.latents(4, seed=1).numpy()
    for row, wanted in zip(noise, in_keras(gan, noise)):
        found = browser.answer(f"[...await kgan.run({row.tolist()})]")
        np.testing.assert_allclose(found, wanted.ravel(), atol=1e-4)
    browser.shows(store(in_keras(gan, browser.noise(seed=3)))[0], levels=1)
    assert (browser.pixels()[..., 3] == 255).all() and np.ptp(browser.pixels()[..., :3]) > 50
    assert browser.errors() == []


@pytest.mark.slow
def test_noise(browser, address, gan):
    browser.open(address)
    drawn = np.array(browser.run("return Array.from({length: 500}, (_, seed) => [...kgan.noise({seed})])"))
    assert len(np.unique(drawn)) > 0.99 * drawn.size
    assert abs(drawn.mean()) < 0.06 and abs(drawn.std() - 1) < 0.05 and abs((drawn ** 4).mean() - 3) < 0.4
    assert np.abs(np.corrcoef(drawn.T) - np.eye(8)).max() < 0.2
    a, b = browser.noise(seed=3), browser.noise(seed=2**31 - 1)
    for at in (0, 0.3, 1):
        way = browser.noise(seed=3, to=2**31 - 1, at=at)
        np.testing.assert_allclose(way, noise_kind.slerp(a, b, at), atol=1e-5)
    np.testing.assert_allclose(browser.noise(seed=3, to=3, at=0.3), a, atol=1e-6)
    moved = browser.noise(seed=3, directions=[1.5, 0, -2])
    np.testing.assert_allclose(moved, a + np.array([1.5, 0, -2]) @ told(gan)["directions"][:3], atol=1e-5)


def test_controls(browser, address, gan):
    browser.open(address)
    assert browser.text("name") == browser.driver.title == "tiny" and "step 1,234" in browser.text("facts")
    assert not browser.find("#play").is_enabled() and not browser.find("#message").is_displayed()

    for name in ("#random", "#grid button:nth-child(6)", "#more"):
        before = browser.hash()
        browser.find(name).click()
        browser.until(lambda: browser.hash() != before)
    browser.until(lambda: browser.hash() == {"seed": "5", "first": "24"})
    browser.shows(store(in_keras(gan, browser.noise(seed=5)))[0], levels=1)
    browser.until(lambda: browser.find("#grid button").text == "24")

    browser.find("[name=pick][value=to]").click()
    browser.find("#grid button:nth-child(3)").click()
    browser.until(lambda: browser.hash() == {"seed": "5", "to": "26", "at": "1", "first": "24"})
    assert browser.find("#grid button:nth-child(3)").get_attribute("aria-pressed") == "true"
    browser.shows(store(in_keras(gan, browser.noise(seed=26)))[0], levels=1)

    place = dict(seed=5, to=26, at=0.5, directions=[0, 2])
    for selector, value in (("#at", 0.5), ("#sliders label:nth-child(2) input", 2)):
        browser.changed(lambda: browser.run("""const slider = document.querySelector(arguments[0]);
            slider.value = arguments[1]; slider.dispatchEvent(new Event("input"))""", selector, value))
    browser.shows(store(in_keras(gan, browser.noise(**place)))[0], levels=1)
    assert browser.text("status") == "50 % of the way from seed 5 to 26, moved along directions"

    # the address is all that another visitor needs
    browser.until(lambda: browser.hash().get("directions", "").startswith("0,2,"))
    picture, link = browser.pixels(), browser.driver.current_url
    browser.open(link)
    browser.shows(picture)
    assert browser.find("#seed").get_attribute("value") == "5" and browser.find("#at").get_attribute("value") == "0.5"

    browser.find("#copy").click()
    browser.until(browser.find("#copied").is_displayed)
    noise = json.loads(browser.find("#copied").get_attribute("value"))["noise"]
    np.testing.assert_allclose(noise, [browser.noise(**place)], rtol=1e-6)
    browser.changed(browser.find("#reset").click)
    browser.until(lambda: "directions" not in browser.hash())
    assert browser.errors() == []


@pytest.mark.slow
def test_sliders_do_not_change_the_address_too_often(browser, address):
    """Safari allows 100 changes in 30 seconds, and throws beyond."""
    browser.open(address, script="""
        let times = 0;
        const change = history.replaceState.bind(history);
        history.replaceState = (...values) => {
          if (++times > 20) throw new DOMException("too often", "SecurityError");
          change(...values);
        };""")
    browser.run("""
        const slider = document.querySelector("#sliders input");
        for (let i = 0; i <= 150; i++) {
          slider.value = i / 100;
          slider.dispatchEvent(new Event("input"));
        }""")
    browser.until(lambda: browser.hash().get("directions", "").startswith("1.5,"))
    assert browser.errors() == []


@pytest.mark.slow
def test_play(browser, address):
    browser.open(f"{address}#seed=1&to=2")
    places = set()
    browser.find("#play").click()
    browser.until(lambda: places.add(browser.find("#at").get_attribute("value")) or len(places) > 4)
    browser.find("#play").click()
    browser.until(lambda: browser.find("#play").text == "Play")
    rest = browser.find("#at").get_attribute("value")
    time.sleep(0.5)
    assert browser.hash()["at"] == browser.find("#at").get_attribute("value") == rest


@pytest.mark.slow
def test_download(browser, address, tmp_path):
    browser.open(f"{address}#seed=3")
    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until((tmp_path / "tiny-3.png").exists)
    np.testing.assert_array_equal(Image.open(tmp_path / "tiny-3.png").convert("RGBA"), browser.pixels())
    browser.run("document.getElementById('scale').value = '4'")
    browser.find("#download").click()
    browser.until((tmp_path / "tiny-3-4x.png").exists)
    np.testing.assert_array_equal(Image.open(tmp_path / "tiny-3-4x.png").convert("RGBA"), browser.pixels().repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("query, name", [
    ("seed=3&to=5&at=0.25", "tiny-3-5-0.25"), ("seed=3&directions=1,-2.5", "tiny-3-along-1_-2.5"),
    ("seed=0&truncation=0.7", "tiny-0-truncated-0.7"), ("seed=3&to=5&at=1&directions=0,3&truncation=1", "tiny-3-5-1-along-0_3-truncated-1")])
@pytest.mark.slow
def test_names_of_files_say_all(browser, address, tmp_path, query, name):
    browser.open(f"{address}#{query}")
    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until(lambda: list(tmp_path.glob("*.png")))
    assert [path.name for path in tmp_path.glob("*.png")] == [f"{name}.png"]


def test_keyboard(browser, address):
    browser.open(address)
    reached = []
    while "random-to" not in reached:
        browser.keys("TAB")
        reached.append(browser.focused())
        assert len(reached) < 20 and browser.run("return document.activeElement.matches(':focus-visible')")
    assert reached == ["download", "scale", "copy", "seed", "random", "seed", "truncation", "0", "more", "to", "random-to"]

    browser.run("document.querySelector('#grid button').focus()")
    columns = browser.run("const grid = document.getElementById('grid'); "
                          "return getComputedStyle(grid).gridTemplateColumns.split(' ').length")
    assert columns > 2
    for key, seed in (("ARROW_RIGHT", 1), ("ARROW_DOWN", 1 + columns), ("ARROW_LEFT", columns), ("ARROW_UP", 0),
                      ("ARROW_UP", 0), ("END", 23), ("ARROW_RIGHT", 23), ("ARROW_LEFT", 22)):
        browser.keys(key)
        assert browser.focused() == str(seed), key
    browser.changed(lambda: browser.keys("ENTER"))
    browser.until(lambda: browser.hash() == {"seed": "22"})
    assert browser.focused() == "22"
    browser.run("document.querySelector('#sliders input').focus()")
    browser.changed(lambda: browser.keys("ARROW_RIGHT"))
    browser.until(lambda: browser.hash().get("directions", "").startswith("0.1,0"))
    browser.run("document.getElementById('seed').focus(); document.getElementById('seed').select()")
    browser.changed(lambda: browser.keys("7", "ENTER"))
    browser.until(lambda: browser.hash()["seed"] == "7")


@pytest.mark.slow
def test_every_control_has_a_name(browser, address):
    browser.open(address)
    nodes = browser.cdp("Accessibility.getFullAXTree", {})["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in
                ("button", "slider", "spinbutton", "radio", "textbox", "image", "link", "combobox")]
    assert len(controls) > 40 and all(node["name"]["value"].strip() for node in controls)
    live = "return [...document.querySelectorAll('[role=status], [role=alert], [aria-live], output')].map(node => node.id)"
    assert browser.run(live) == ["live"]
    names = [node["name"]["value"] for node in controls if node["role"]["value"] in ("button", "slider", "link")]
    assert len(set(names)) == len(names), sorted(names)


@pytest.mark.slow
def test_names_have_what_is_seen(browser, conditional):
    """Who speaks to the page says what stands there: WCAG 2.5.3. A and B are told apart without eyes."""
    browser.open(f"{conditional[0]}#seed=3&to=5&at=0.5&directions=1")
    browser.until(lambda: "B" in browser.find("#grid button:nth-child(6)").get_attribute("aria-label"))
    found = browser.run("""return [...document.querySelectorAll("button, a.button")].filter(node => node.offsetParent).map(node =>
        [node.innerText, node.getAttribute("aria-label") ?? node.innerText, node.dataset.is ?? ""])""")
    for text, name, mark in found:
        words = [*text.split(), *mark]
        assert words and all(word in name for word in words), (text, name, mark)
    assert [name for _, name, mark in found if mark] == [
        f"Seed 3, class {CLASSES[0]}, moved along directions, picked as A",
        f"Seed 5, class {CLASSES[2]}, moved along directions, picked as B"]
    assert [browser.find(f"#{name}").get_attribute("aria-label") for name in "ab"] == ["A: seed 3", "B: seed 5"]


@pytest.mark.parametrize("value, filled", [(0, ("50%", "50%")), (3, ("50%", "100%")), (-1.5, ("25%", "50%"))])
@pytest.mark.slow
def test_sliders_about_0_fill_from_the_middle(browser, address, value, filled):
    browser.open(f"{address}#directions={value}")
    slider = browser.find("#sliders input")
    assert tuple(slider.value_of_css_property(name) or browser.run(
        "return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])", slider, name) for name in ("--from", "--to")) == filled
    assert slider.get_attribute("aria-valuetext") == f"{value:.1f}"


@pytest.mark.parametrize("width", [360, 700, 1200])
@pytest.mark.slow
def test_widths(browser, address, width):
    browser.size(width, 740)
    browser.open(f"{address}#seed=3&to=2147483647&at=0.5")
    assert browser.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth") == 0
    if width == 360:  # sliders are of no use without the picture that they change
        browser.run("document.querySelector('#sliders input').scrollIntoView({block: 'center'})")
        top, bottom = browser.run("const r = document.getElementById('picture').getBoundingClientRect(); "
                                  "return [r.top, r.bottom]")
        assert 0 <= top < bottom < 370


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_contrast(browser, address, scheme):
    """4.5 : 1, of the Web Content Accessibility Guidelines."""
    browser.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.open(address)
    colours = browser.run("""return ["body", "h1", "#facts", "#status", "button", "#about"].map(name => {
        const found = document.querySelector(name);
        return [getComputedStyle(found).color, getComputedStyle(document.body).backgroundColor] })""")
    assert (luminance(colours[0][1]) < 0.1) == (scheme == "dark")
    for pair in colours:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


def luminance(colour):
    levels = np.array([int(value) for value in re.findall(r"\d+", colour)[:3]]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_no_request_leaves_the_host(browser, address):
    browser.open(address)
    browser.find("#random").click()
    found = browser.requests()
    assert any("litert_wasm_internal.wasm" in asked for asked in found)
    assert all(asked.startswith(address) for asked in found), found
    # were there one, the browser would refuse it
    answer = browser.answer("{ try { await fetch('http://127.0.0.2:9/'); } catch (error) { return 'refused' } }")
    assert answer == "refused"
    assert any("Content Security Policy" in message for message in browser.errors())


@pytest.mark.slow
def test_browser_without_relaxed_simd(browser, address, gan):
    browser.open(f"{address}#seed=3", script="const instantiate = WebAssembly.instantiate; WebAssembly.instantiate = "
                 "(code, ...more) => code.length < 200 ? Promise.reject(Error('no')) : instantiate(code, ...more)")
    browser.shows(store(in_keras(gan, browser.noise(seed=3)))[0], levels=1)
    assert any("compat_internal.wasm" in asked for asked in browser.requests())


def test_messages(browser, address, exported, tmp_path):
    browser.open(address, tiles=0, script="delete globalThis.WebAssembly")
    browser.until(lambda: "needs WebAssembly" in browser.find("#message").text)
    assert not browser.find("main").is_displayed()
    folder = shutil.copytree(exported, tmp_path / "web")
    (folder / "generator.tflite").unlink()
    with site(folder) as broken:
        browser.open(broken, tiles=0)
        browser.until(lambda: "generator.tflite is not beside this page (404)" in browser.find("#message").text)


@pytest.mark.slow
def test_a_file_that_does_not_come_is_named(browser, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "web")
    for name, words in (("litert/litert_wasm_internal.wasm", "litert_wasm_internal.wasm"), ("latent.js", "generator.js, or a file that it")):
        (folder / name).rename(folder / "aside")
        with site(folder) as broken:
            browser.open(broken, tiles=0)
            browser.until(lambda: words in browser.find("#message").text)
            assert "Loading" not in browser.find("#message").text and not browser.find("main").is_displayed()
        (folder / "aside").rename(folder / name)


@pytest.mark.slow
def test_files_of_two_exports(browser, exported, tmp_path):
    """A generator of another export than generator.json, and a format that this page does not know: said, and nothing is drawn."""
    folder = shutil.copytree(exported, tmp_path / "web")
    told_here = json.loads((folder / "generator.json").read_text())
    assert told_here["format"] == export.FORMAT
    assert f"const FORMAT = {export.FORMAT};" in (web.PAGE / "dom.js").read_text()
    for change, words in (({"sha256": {"generator": "0" * 64}}, "generator.tflite is not that which generator.json tells of"),
                          ({"format": 2}, "generator.json is of format 2, and this page knows 1")):
        (folder / "generator.json").write_text(json.dumps({**told_here, **change}))
        with site(folder) as broken:
            browser.open(broken, tiles=0)
            browser.until(lambda: words in browser.find("#message").text)
            assert not browser.find("main").is_displayed()


@pytest.mark.slow
def test_a_slow_line(browser, address):
    """What has come is told in MB, from the beginning to the end, and of how many."""
    browser.cdp("Network.enable", {})
    browser.cdp("Network.setCacheDisabled", {"cacheDisabled": True})
    browser.cdp("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": 3e6, "uploadThroughput": 3e6})
    try:
        browser.open(address, script="""addEventListener("DOMContentLoaded", () => { window.told = []; new MutationObserver(() =>
            told.push(document.getElementById("message").textContent)).observe(document.getElementById("message"),
            {childList: true, characterData: true, subtree: true}) })""")
        told = [re.fullmatch(r"Loading the generator: (\d+\.\d) MB of (\d+\.\d) MB …", text) for text in browser.run("return told")]
        come = [float(found[1]) for found in told if found]
        assert come == sorted(come) and come[0] < 2 and come[-1] > 9 and len(set(come)) > 10
        assert float([found for found in told if found][-1][2]) == come[-1]
        assert not browser.find("#message").is_displayed() and not browser.driver.find_elements("css selector", "#late")
    finally:
        browser.cdp("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
        browser.cdp("Network.setCacheDisabled", {"cacheDisabled": False})


@pytest.mark.parametrize("width, height", [(1200, 700), (390, 700)])
@pytest.mark.slow
def test_what_is_wrong_is_in_sight(browser, address, width, height):
    """Wherever the page was scrolled to."""
    browser.size(width, height)
    browser.open(address)
    field = browser.find("#to")
    browser.run("arguments[0].scrollIntoView({block: 'center'}); arguments[0].select()", field)
    field.send_keys("1.5")
    browser.keys("TAB")
    browser.until(browser.find("#message").is_displayed)
    box = browser.run("const box = document.getElementById('message').getBoundingClientRect();"
                      "return [box.left, box.top, box.right, box.bottom]")
    assert box[0] >= 0 and box[1] > 0 and box[2] <= width and box[3] <= height and "1.5" in browser.text("live")


@pytest.mark.slow
def test_hashes_that_mean_nothing(browser, address):
    browser.open(f"{address}#seed=-1&to=x&at=7&directions=1e9,NaN,,&first=99999999999")
    browser.until(lambda: browser.hash() == {"seed": "0", "directions": "3,0,0,0,0,0,0,0"})
    message = browser.find("#message")
    browser.until(message.is_displayed)
    for words in ("seed=-1 (a whole number", "to=x", "at=7", "directions=1e9,NaN,,", "first=99999999999"):
        assert words in message.text, message.text
    browser.find("#random").click()  # what is set after that is in order
    browser.until(lambda: not message.is_displayed())
    assert browser.errors() == []


@pytest.mark.parametrize("typed", ["3.7", "1e3", "-1", "2147483648", "e"])
@pytest.mark.slow
def test_seeds_that_are_none(browser, address, typed):
    browser.open(f"{address}#seed=5&to=6&at=0.5")
    for name in ("seed", "to"):
        before, field = browser.hash(), browser.find(f"#{name}")
        browser.run("arguments[0].select()", field)
        field.send_keys(typed)
        browser.keys("TAB")
        browser.until(lambda: "a whole number from 0 to 2147483647" in browser.text("message"))
        assert browser.find("#message").is_displayed() and field.get_attribute("aria-invalid") == "true"
        assert typed == "e" or typed in browser.text("message")
        assert browser.hash() == before
        browser.run("arguments[0].select()", field)
        field.send_keys("7")
        browser.keys("TAB")
        browser.until(lambda: browser.hash()[name] == "7")
        assert not browser.find("#message").is_displayed() and field.get_attribute("aria-invalid") is None


@pytest.mark.slow
def test_what_is_picked_is_what_was_seen(browser, conditional):
    """Tiles are moved along the directions, and those to be picked as B have A's class."""
    address, gan = conditional
    browser.open(f"{address}#seed=4&directions=3,-2,0,0,0,0,0,0&truncation=1")
    more = dict(directions=[3, -2], truncation=1)
    browser.until(lambda: np.abs(tile(browser, 7)[..., :3].astype(int) - store(
        in_keras(gan, browser.noise(seed=7, **more), 7 % 3))[0]).max() <= 1)
    browser.find("[name=pick][value=to]").click()
    browser.until(lambda: np.abs(tile(browser, 7)[..., :3].astype(int) - store(
        in_keras(gan, browser.noise(seed=7, **more), 4 % 3))[0]).max() <= 1)
    seen = tile(browser, 7)
    browser.find("#grid button:nth-child(8)").click()
    browser.shows(seen)
    browser.until(lambda: np.array_equal(browser.pixels("#b"), seen))
    browser.run("const slider = document.querySelector('#sliders input'); slider.value = -3;"
                "slider.dispatchEvent(new Event('input'))")
    browser.until(lambda: np.abs(tile(browser, 7)[..., :3].astype(int) - store(
        in_keras(gan, browser.noise(seed=7, directions=[-3, -2], truncation=1), 4 % 3))[0]).max() <= 1)
    assert browser.errors() == []


@pytest.mark.parametrize("model, shape, settings, words", [
    ("mlp", (2,), dict(preset="mixture", generator_units="8", discriminator_units="8", noise="uniform"), "points"),
    ("sine", (10,), {"noise_dim": 3}, "signals of 10 values"),
    ("dcgan", (8, 8, 1), dict(filters=4, noise_dim=8), "images of 8 × 8 × 1"),
])
@pytest.mark.slow
def test_other_kinds(browser, packages, tmp_path, model, shape, settings, words):
    gan = made(model, shape, 2.0, **settings)
    web.write(gan.ema_generator, told(gan), tmp_path / "web", gan.latents)
    with site(tmp_path / "web") as address:
        browser.open(address)
        assert words in browser.text("facts")
        noise = gan.latents(1, seed=1).numpy()
        found = browser.answer(f"[...await kgan.run({noise[0].tolist()})]")
        np.testing.assert_allclose(found, in_keras(gan, noise).ravel(), atol=1e-4)
        assert len(np.unique(browser.pixels()[..., 0])) > 2
        picture = browser.changed(lambda: browser.run("""const slider = document.querySelector("#sliders input");
            slider.value = 3; slider.dispatchEvent(new Event("input"))"""))
        assert picture.std() > 1
        assert browser.find("#truncation").is_displayed() == (gan.config.noise == "normal")
        assert not browser.driver.find_elements("css selector", "#label")
        if gan.config.noise == "uniform":
            moved = browser.noise(seed=4, directions=[3, 3])
            assert np.abs(moved).max() == 1 and np.abs(browser.noise(seed=4)).max() < 1
        assert browser.errors() == []


# === Classes and truncation ===

@pytest.mark.slow
def test_truncation_is_that_of_kgan(browser, address):
    browser.open(address)
    drawn = browser.run("return Array.from({length: 100}, (_, seed) => [...kgan.noise({seed})])")
    for bound in (0.1, 0.5, 1, 2, 6):
        found = np.array(browser.run("return Array.from({length: 100}, (_, seed) => "
                                     "[...kgan.noise({seed, truncation: arguments[0]})])", bound))
        assert np.abs(found).max() <= bound
        wanted = noise_kind.truncate(np.array(drawn), bound)  # in float64
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    # after all else
    place = dict(seed=3, to=9, at=0.5, directions=[2])
    np.testing.assert_allclose(browser.noise(**place, truncation=0.5),
                               noise_kind.truncate(browser.noise(**place), 0.5), atol=1e-6)


def test_classes_equal_keras(browser, conditional):
    address, gan = conditional
    browser.open(address)
    noise = gan.latents(2, seed=1).numpy()
    for label in range(len(CLASSES)):
        for row, wanted in zip(noise, in_keras(gan, noise, label)):
            found = browser.answer(f"[...await kgan.run({row.tolist()}, {label})]")
            np.testing.assert_allclose(found, wanted.ravel(), atol=1e-4)
    assert browser.errors() == []


def tile(browser, i):
    return browser.pixels(f".tile:nth-child({i + 1}) canvas")


@pytest.mark.slow
def test_choosing_a_class(browser, conditional):
    address, gan = conditional
    browser.open(f"{address}#seed=4")
    assert "3 classes" in browser.text("facts") and browser.text("status") == f"Seed 4, class {CLASSES[1]}"
    assert [option.text for option in browser.driver.find_elements("css selector", "#label option")] == [
        "Each in turn", *CLASSES]

    def grid(classes, truncation=None):
        wanted = [store(in_keras(gan, browser.noise(seed=i, truncation=truncation), label))[0] for i, label in
                  enumerate(classes)]
        browser.until(lambda: max(np.abs(tile(browser, i)[..., :3].astype(int) - image).max()
                                  for i, image in enumerate(wanted)) <= 1)

    # in turn each seed has a class of its own, and says so
    browser.shows(store(in_keras(gan, browser.noise(seed=4), 1))[0], levels=1)
    grid([i % 3 for i in range(24)])
    assert browser.find("#grid button:nth-child(6)").text == f"5\n{CLASSES[2]}"
    assert browser.find("#grid button:nth-child(6)").get_attribute("aria-label") == f"Seed 5, class {CLASSES[2]}"
    browser.find("[name=pick][value=to]").click()
    browser.find("#grid button:nth-child(4)").click()
    browser.shows(store(in_keras(gan, browser.noise(seed=3), 1))[0], levels=1)  # a way stays in the class of A
    np.testing.assert_array_equal(browser.pixels("#b"), browser.pixels())
    browser.run("const to = document.getElementById('to'); to.value = ''; to.onchange()")

    browser.run("document.getElementById('label').focus()")
    browser.keys("ARROW_DOWN", "ARROW_DOWN")
    browser.until(lambda: browser.hash() == {"seed": "4", "label": CLASSES[1]})
    grid([1] * 24)
    browser.keys("ARROW_DOWN")
    browser.until(lambda: browser.hash() == {"seed": "4", "label": CLASSES[2]})
    browser.shows(store(in_keras(gan, browser.noise(seed=4), 2))[0], levels=1)
    grid([2] * 24)
    assert browser.text("status") == f"Seed 4, class {CLASSES[2]}" and browser.find("#grid button:nth-child(6)").text == "5"

    browser.run("document.getElementById('truncation').focus()")
    browser.keys("END", *["ARROW_LEFT"] * 15)
    browser.until(lambda: browser.hash() == {"seed": "4", "label": CLASSES[2], "truncation": "0.6"})
    browser.shows(store(in_keras(gan, browser.noise(seed=4, truncation=0.6), 2))[0], levels=1)
    grid([2] * 24, 0.6)
    assert browser.text("status") == f"Seed 4, class {CLASSES[2]}, truncated at 0.6"
    assert browser.find("#truncation").get_attribute("aria-valuetext") == "0.6" == browser.find("#cut .value").text
    browser.find("#copy").click()
    browser.until(browser.find("#copied").is_displayed)
    copied = json.loads(browser.find("#copied").get_attribute("value"))
    assert copied["label"] == [2]
    np.testing.assert_allclose(copied["noise"], [browser.noise(seed=4, truncation=0.6)], rtol=1e-6)
    browser.run("document.getElementById('truncation').focus()")
    browser.keys("END")
    browser.until(lambda: "truncation" not in browser.hash())
    assert browser.find("#cut .value").text == "off"
    browser.run("document.getElementById('label').focus()")
    browser.keys("HOME")
    browser.until(lambda: browser.hash() == {"seed": "4"})
    grid([1] * 24)  # what would be picked as B
    browser.find("[name=pick][value=seed]").click()
    grid([i % 3 for i in range(24)])
    assert browser.errors() == []


@pytest.mark.parametrize("label", CLASSES)
@pytest.mark.slow
def test_link_to_a_class(browser, conditional, label):
    """Whatever a class is called; and what there is not is left out."""
    address, gan = conditional
    browser.open(f"{address}#{urllib.parse.urlencode(dict(seed=7, label=label, truncation=0.3))}")
    browser.shows(store(in_keras(gan, browser.noise(seed=7, truncation=0.3), CLASSES.index(label)))[0], levels=1)
    browser.find("#more").click()
    browser.until(lambda: browser.hash() == {"seed": "7", "label": label, "truncation": "0.3", "first": "24"})
    link, picture = browser.driver.current_url, browser.pixels()
    browser.open(link)
    browser.shows(picture)
    assert browser.find("#label").get_attribute("value") == str(CLASSES.index(label))
    browser.open(f"{address}#seed=1&label={urllib.parse.quote(label)}x&truncation=7")
    browser.until(lambda: browser.hash() == {"seed": "1"})


@pytest.mark.slow
def test_download_of_a_class(browser, conditional, tmp_path):
    address, _ = conditional
    browser.open(f"{address}#{urllib.parse.urlencode(dict(seed=3, label=CLASSES[1]))}")
    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until((tmp_path / "tiny-3-R_B_é_1_.png").exists)


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.slow
def test_controls_of_classes(browser, packages, tmp_path, width):
    """Reached by the tab key, named, and not too wide for a phone, however long the names are."""
    gan = tiny(classes=["a class whose name is long, much longer than a phone is wide " * 3, "b"])
    web.write(gan.ema_generator, told(gan), tmp_path / "web", gan.latents)
    browser.size(width, 740)
    with site(tmp_path / "web") as address:
        browser.open(address)
        assert browser.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth") == 0
        browser.run("document.getElementById('random').focus()")
        reached = [browser.keys("TAB") or browser.focused() for _ in range(4)]
        assert reached[1:] == ["label", "truncation", "0"]
        nodes = browser.cdp("Accessibility.getFullAXTree", {})["nodes"]
        named = {(node["role"]["value"], node["name"]["value"]) for node in nodes if "name" in node and "role" in node}
        assert ("slider", "Truncation") in named and any(
            role == "combobox" and name.startswith("Class") for role, name in named)


@pytest.mark.slow
def test_points_of_classes(browser, packages, tmp_path):
    """Behind a point are those of all classes."""
    gan = tiny("joined", (2,), noise="uniform")
    web.write(gan.ema_generator, told(gan), tmp_path / "web", gan.latents)
    with site(tmp_path / "web") as address:
        browser.open(f"{address}#label=red")
        assert browser.find("#label").is_displayed() and not browser.find("#truncation").is_displayed()
        browser.changed(lambda: browser.run("const found = document.getElementById('label'); found.value = '2'; "
                                            "found.onchange()"))
        assert browser.errors() == []


@pytest.mark.parametrize("shape, wide", [((2,), 480), ((10,), 480)])
@pytest.mark.slow
def test_plots_are_the_same_on_both_pages(browser, packages, tmp_path, shape, wide):
    """Drawn by one program, for the size that they are shown at: the line or dot of a tile is seen, and the large one has axes."""
    gan = tiny("joined", shape)
    web.write(gan.ema_generator, told(gan), tmp_path / "web", gan.latents)
    ink = [31, 119, 180]

    def share(picture):
        return np.mean(np.abs(picture[..., :3].astype(int) - ink).max(-1) < 60)

    def looks():
        large, small = browser.pixels(), tile(browser, 3)
        assert large.shape[1] == wide and small.shape[1] == 144
        assert share(small) > 1.2 * share(large) > 0  # relatively larger
        text = np.mean(np.abs(large[..., :3].astype(int) - 0x55).max(-1) < 60)
        assert text > 0.0005 and np.mean(np.abs(small[..., :3].astype(int) - 0x55).max(-1) < 20) < 0.001
        return share(large)

    with site(tmp_path / "web") as address:
        browser.open(f"{address}#seed=3&label=red")
        looks()
        assert browser.errors() == []
    with served(gan, tmp_path) as (address, _):
        browser.open(f"{address}#seed=3&label=red")
        looks()
        sample = gan.generate(1, 3, label="red")[0]
        behind = json.load(urllib.request.urlopen(f"{address}generator.json"))["behind"]
        assert len(behind) == 256 and len(behind[0]) == shape[0]
        # what is drawn is that sample, where the samples behind it set the scale
        wanted = browser.run("""return (async () => {
            const {made} = await import(`./kinds/${arguments[0]}.js`), {range} = await import(`./kinds/${arguments[0]}.js`);
            return made(arguments[1], null, arguments[2], range(arguments[2]), 480).toDataURL(); })()""",
                             "points" if shape == (2,) else "signal", sample.tolist(), behind)
        wanted = np.asarray(Image.open(io.BytesIO(base64.b64decode(wanted.partition(",")[2]))).convert("RGBA")).astype(int)
        assert np.mean(np.abs(wanted - browser.pixels()).max(-1) > 60) < 0.002
        assert browser.errors() == []


@pytest.mark.parametrize("place", [[1e6, 0], [0, -1e6], [-50, 50], [0.5, 0.5]])
@pytest.mark.parametrize("side", [144, 480])
@pytest.mark.slow
def test_a_point_far_outside_is_at_the_edge(browser, server, place, side):
    browser.open(server[0])
    found = browser.run("""return import('./kinds/points.js').then(({made}) =>
        made(arguments[0], null, [[0, 0], [1, 1]], [[0, 1], [0, 1]], arguments[1]).toDataURL())""", place, side)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2]))).convert("RGB")).astype(int)
    seen = np.argwhere(np.abs(picture - [31, 119, 180]).max(-1) < 30)
    assert len(seen) > 8
    y, x = seen.mean(0) / side
    assert abs(x - np.clip(place[0], 0, 1)) < 0.15 and abs(1 - y - np.clip(place[1], 0, 1)) < 0.15


@pytest.mark.parametrize("low, high, wanted", [(0, 10, [0, 2, 4, 6, 8, 10]), (-1.1, 1.3, [-1, -0.5, 0, 0.5, 1]), (2, 2, []),
                                               (0.001, 0.0042, [0.001, 0.002, 0.003, 0.004]), (-3e4, 8e5, [0, 2e5, 4e5, 6e5, 8e5])])
@pytest.mark.slow
def test_ticks(browser, server, low, high, wanted):
    browser.open(server[0])
    found = browser.run("return import('./plot.js').then(plot => plot.ticks(arguments[0], arguments[1]))", low, high)
    np.testing.assert_allclose(found, wanted, atol=1e-12 * max(abs(low), abs(high)))


# === The page of the server ===

@contextlib.contextmanager
def served(gan, folder):
    """(address, process) of a server of a generator."""
    needed = "fastapi", "orjson", "prometheus_client", "uvicorn"
    missing = [name for name in needed if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f'{", ".join(missing)} not installed: pip install -e ".[serve]"')
    export.saved_model.write(gan.ema_generator, told(gan), folder / "model", gan.latents)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "export.serve", folder / "model", "--port=0"], cwd=ROOT,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    try:
        end = time.monotonic() + 120
        while "http://" not in (folder / "log").read_text():
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield re.search(r"http://\S+", (folder / "log").read_text()).group() + "/", process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(gan, tmp_path_factory):
    with served(gan, tmp_path_factory.mktemp("served")) as found:
        yield found


def png(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def test_server_page(browser, server):
    address, _ = server
    browser.open(f"{address}#seed=3")
    browser.shows(png(f"{address}image.png?seed=3"))
    browser.changed(browser.find("#grid button:nth-child(10)").click)
    browser.shows(png(f"{address}image.png?seed=9"))
    assert not browser.find("#gif").is_displayed()

    browser.open(f"{address}#seed=3&to=9&at=0.25&directions=1,0,-2.5,0,0,0,0,0")
    asked = f"{address}image.png?seed=3&to=9&at=0.25&directions=1,0,-2.5,0,0,0,0,0"
    browser.shows(png(asked))
    browser.find("#copy").click()
    browser.until(browser.find("#copied").is_displayed)
    assert browser.find("#copied").get_attribute("value") == f"curl -o sample-3.png '{asked}'"
    with urllib.request.urlopen(browser.find("#gif").get_attribute("href"), timeout=30) as answer:
        animation = Image.open(answer)
        assert animation.format == "GIF" and animation.n_frames >= 24 and animation.width == 128  # at most 16 × larger
        first = np.asarray(animation.convert("RGB")).astype(int)
    wanted = png(f"{address}image.png?seed=3&to=9&at=0&directions=1,0,-2.5,0,0,0,0,0&scale=16")
    assert np.abs(first - wanted).max() <= 8
    browser.find("#play").click()
    browser.until(lambda: browser.find("#at").get_attribute("value") not in ("0.25", "0.24"))
    browser.find("#play").click()
    assert all(found.startswith(address) for found in browser.requests())
    assert browser.errors() == []

    browser.size(360, 740)
    assert browser.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth") == 0


@pytest.mark.slow
def test_server_page_with_classes(browser, tmp_path):
    gan = tiny("gains", classes=("it's", *CLASSES))
    with served(gan, tmp_path) as (address, _):
        query = dict(seed=3, label="it's", truncation=0.5)
        browser.open(f"{address}#{urllib.parse.urlencode(query)}")
        asked = f"{address}image.png?seed=3&label=it%27s&truncation=0.5"
        browser.shows(png(asked))
        browser.find("#copy").click()
        browser.until(browser.find("#copied").is_displayed)
        assert browser.find("#copied").get_attribute("value") == f"curl -o sample-3.png '{asked}'"
        wanted = store(gan.generate(1, 3, label="it's", truncation=0.5))[0]
        assert np.abs(png(asked).astype(int) - wanted).max() <= 1

        browser.run("const found = document.getElementById('label'); found.value = '2'; found.onchange()")
        query["label"] = CLASSES[1]
        browser.shows(png(f"{address}image.png?{urllib.parse.urlencode(query)}"))
        browser.until(lambda: np.array_equal(tile(browser, 9)[..., :3], png(
            f"{address}image.png?{urllib.parse.urlencode({**query, 'seed': 9})}")))
        browser.run("const to = document.getElementById('to'); to.value = '9'; to.onchange()")
        with urllib.request.urlopen(browser.find("#gif").get_attribute("href"), timeout=30) as answer:
            animation = Image.open(answer)
            animation.seek(23)
        last = store(gan.generate(1, 9, label=CLASSES[1], truncation=0.5))[0].repeat(16, 0).repeat(16, 1)
        np.testing.assert_allclose(np.asarray(animation.convert("RGB")), last, atol=8)
        browser.open(f"{address}#seed=5")  # in turn
        browser.shows(store(gan.generate(1, 5, label=1))[0])
        assert browser.errors() == []


SLOW = """
import os, runpy, sys, time
from export.serving import model
load, go_on = model.Model.__init__, sys.argv.pop()
def slowly(self, *arguments):
    while not os.path.exists(go_on):
        time.sleep(.05)
    load(self, *arguments)
model.Model.__init__ = slowly
runpy.run_module("export.serve", run_name="__main__")
"""


@pytest.mark.slow
def test_a_page_that_comes_before_the_model(browser, gan, tmp_path):
    """It waits, says so, and shows what it was to show; the address is told when it answers."""
    export.saved_model.write(gan.ema_generator, told(gan), tmp_path / "model", gan.latents)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, tmp_path / "model", f"--port={port}", tmp_path / "go on"], cwd=ROOT, stderr=log,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        address, end = f"http://127.0.0.1:{port}/", time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}healthz", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.1)
        assert (tmp_path / "log").read_text() == ""
        browser.open(f"{address}#seed=3", tiles=0)
        browser.until(lambda: "loads its model" in browser.text("message"))
        (tmp_path / "go on").touch()
        browser.until(lambda: browser.text("facts"))
        browser.shows(png(f"{address}image.png?seed=3"))
        assert not browser.find("#message").is_displayed()
        lines = (tmp_path / "log").read_text().splitlines()
        assert "serving version" in lines[0] and lines[1] == f"serve: tiny at http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_server_that_is_busy_is_asked_again(browser, server):
    """429 with Retry-After is no last word: the picture comes, and nothing is said."""
    address, _ = server
    browser.open(f"{address}#seed=3", script="""const ask = fetch, seen = new Set(); window.fetch = (path, more) => {
        if (!String(path).startsWith("image.png") || seen.has(path)) return ask(path, more);
        seen.add(path);
        return Promise.resolve(new Response('{"error": "512 rows wait already"}', {status: 429, headers: {"Retry-After": "1"}})); }""")
    browser.shows(png(f"{address}image.png?seed=3"))
    browser.until(lambda: np.array_equal(tile(browser, 7)[..., :3], png(f"{address}image.png?seed=7")))
    assert not browser.find("#message").is_displayed()


@pytest.mark.slow
def test_a_page_shows_one_model(browser, gan, tmp_path):
    """A newer one takes its place while the page is open: all pictures are of it, and the page says so."""
    from servers import serving
    newer = made(gain=-60.0)
    for name, each, step in (("1", gan, 3), ("aside", newer, 4)):
        export.saved_model.write(each.ema_generator, {**told(each), "step": step}, tmp_path / "models" / name, each.latents)
    with serving(tmp_path, tmp_path / "models", "--poll_seconds=0.2") as server:
        address = f"http://127.0.0.1:{server.port}/"
        browser.open(f"{address}#seed=3&to=5&at=0&directions=1")
        assert "step 3" in browser.text("facts")
        old = tile(browser, 7)
        os.rename(tmp_path / "models" / "aside", tmp_path / "models" / "2")
        server.until(lambda: "serving version 2" in server.log.read_text())
        browser.find("#grid button:nth-child(10)").click()  # one request is enough
        query = "directions=1,0,0,0,0,0,0,0"
        browser.until(lambda: all(np.array_equal(tile(browser, i)[..., :3], png(f"{address}image.png?seed={i}&{query}")) for i in range(24)))
        browser.shows(png(f"{address}image.png?seed=9&to=5&at=0&{query}"))
        browser.until(lambda: np.array_equal(browser.pixels("#b")[..., :3], png(f"{address}image.png?seed=5&{query}")))
        assert np.abs(tile(browser, 7).astype(int) - old).max() > 10
        assert "step 4" in browser.text("facts") and browser.find("#message").is_displayed()
        assert "Another version of the generator is served now, of step 4" in browser.text("message")
        assert browser.find("#message").get_attribute("class").split() == ["over"]
        browser.find("#random").click()
        browser.until(lambda: not browser.find("#message").is_displayed())
        assert browser.errors() == []


@pytest.mark.slow
def test_errors_of_the_server(browser, server):
    """Last: the server is stopped."""
    address, process = server
    browser.open(address)
    told = browser.answer("{ try { await (await import('./generator.js')).image({seed: -1}); }"
                          " catch (error) { return error.message } }")
    assert "The server could not do that: seed=-1: " in told
    process.terminate()
    process.wait(timeout=60)
    browser.find("#random").click()
    browser.until(lambda: "The server does not answer. Is it still running?" in browser.find("#message").text)
