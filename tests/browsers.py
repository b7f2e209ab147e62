"""Chromium for the tests of the page, and a server of files."""
import base64
import contextlib
import functools
import http.server
import importlib.util
import io
import json
import shutil
import threading
import time
import urllib.parse

import numpy as np
import pytest
from PIL import Image

FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream").split()


@contextlib.contextmanager
def site(folder):
    """Address of a static file server of that folder."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Browser:
    """Chromium, of which is asked what a visitor sees."""

    def __init__(self, folder):
        from selenium import webdriver
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={folder}", "--window-size=1200,900"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        self.cdp, self.run = self.driver.execute_cdp_cmd, self.driver.execute_script

    def open(self, address, tiles=24, script=None):
        """Opens it anew and waits for its pictures. `script` runs there before all others."""
        found = script and self.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": script})["identifier"]
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(address)
        drawn = "return document.querySelectorAll('.tile canvas:not([width=\"1\"])').length"
        self.until(lambda: self.run(drawn) == tiles)
        if found:
            self.cdp("Page.removeScriptToEvaluateOnNewDocument", {"identifier": found})

    def until(self, true, seconds=30):
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, [self.text("message"), self.driver.get_log("browser")]
            time.sleep(0.05)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, name):
        return self.run("return document.getElementById(arguments[0]).textContent", name)

    def pixels(self, selector="#picture"):
        data = self.run("return document.querySelector(arguments[0]).toDataURL()", selector)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGBA"))

    def changed(self, act):
        """The picture after `act` has changed it."""
        before = self.pixels()
        act()
        self.until(lambda: not np.array_equal(self.pixels(), before))
        return self.pixels()

    def shows(self, wanted, levels=0):
        """Waits until the picture is that, uint8 [H, W, C]."""
        self.until(lambda: self.pixels().shape[:2] == wanted.shape[:2] and
                   np.abs(self.pixels()[..., :wanted.shape[-1]].astype(int) - wanted).max() <= levels)

    def keys(self, *names):
        from selenium.webdriver import ActionChains, Keys
        for name in names:
            ActionChains(self.driver).send_keys(getattr(Keys, name, name)).perform()

    def focused(self):
        return self.run("return document.activeElement.id || document.activeElement.value")

    def hash(self):
        return dict(urllib.parse.parse_qsl(self.run("return location.hash.slice(1)")))

    def answer(self, expression):
        """What a promise comes to."""
        return self.run(f"return (async () => {expression})()")

    def noise(self, **place):
        return np.array(self.run("return [...kgan.noise(arguments[0])]", place), np.float32)

    def requests(self):
        """Addresses that were asked for since `open`; `blob:` and the like, of the browser itself, are none."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        found = [event["request"]["url"] for event in sent]
        return [address for address in found if address.startswith(("http", "ws"))]

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def size(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride",
                 {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    missing = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    missing += [] if importlib.util.find_spec("selenium") else ["selenium (pip)"]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    try:
        yield browser
    finally:
        browser.driver.quit()


@pytest.fixture
def browser(chromium):
    chromium.size(1200, 900)
    return chromium
