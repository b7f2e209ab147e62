"""The page's player of clips, in a browser, on the server; and clips over HTTP."""
import io
import json

import numpy as np
import pytest
from browsers import browser, chromium  # noqa: F401, fixtures
from makers import written_clips
from PIL import Image
from servers import pixels, serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

from kgan.kinds import Field, video

FIELD = Field("video", (5, 8, 6, 1))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    with serving(folder, written_clips(folder / "m")) as server:
        yield f"http://127.0.0.1:{server.port}/", server


def stored(server, seed):
    """The clip of a seed, uint8 [5, 8, 6, 1], by way of the numbers that the server gives."""
    status, _, content = made(server, seed, "application/x-npy")
    assert status == 200
    return video.store(np.load(io.BytesIO(content)))


def made(server, seed, media=None):
    body = f'--x\r\nContent-Disposition: form-data; name="seed"\r\n\r\n{seed}\r\n--x--\r\n'.encode()
    query = f"?media={media}" if media else ""
    return server.ask(f"/make/generator{query}", body, {"Content-Type": "multipart/form-data; boundary=x"})


def test_clips_over_http(clips):
    _, server = clips
    status, headers, content = made(server, 3)
    assert status == 200 and headers["content-type"] == "image/gif"
    np.testing.assert_array_equal(video.read(content, FIELD), stored(server, 3))
    # an address gives a film strip
    strip = pixels(server.ask("/image.png?seed=3")[2])
    assert strip.shape[:2] == video.sheet_size((5, 8, 6, 1))
    np.testing.assert_array_equal(strip[:, 7:13], stored(server, 3)[1, ..., 0])
    status, _, content = made(server, 3, "image/jpeg")
    assert status == 400 and "videos comes as image/gif or" in json.loads(content)["error"]


def test_player(browser, clips, tmp_path):
    address, server = clips
    browser.open(f"{address}#seed=3", tiles=24)
    assert "clips of 5 frames of 8 × 6 × 1 from 8 numbers" in browser.text("facts")
    clip = np.repeat(stored(server, 3), 3, -1)
    browser.until(lambda: browser.pixels().shape[:2] == (8, 6))
    shown = {browser.pixels()[..., 0].tobytes()}  # it plays by itself
    browser.until(lambda: shown.add(browser.pixels()[..., 0].tobytes()) or len(shown) == 5)
    assert shown == {frame[..., 0].tobytes() for frame in clip}
    move = "const slider = document.getElementById('frame-number'); slider.value = arguments[0]; slider.oninput()"
    for frame in (4, 1, 5):
        browser.run(move, frame)  # which also stops it
        np.testing.assert_array_equal(browser.pixels()[..., :3], clip[frame - 1])
    assert browser.find("#run").get_attribute("aria-pressed") == "false" and browser.find("#run").text == "Play"
    assert browser.find("#frame-number").get_attribute("aria-valuetext") == "5 of 5"
    np.testing.assert_array_equal(browser.pixels(".tile canvas")[..., :3], np.repeat(stored(server, 0), 3, -1)[2])

    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.run("document.getElementById('scale').value = 1")
    browser.find("#download").click()
    file = tmp_path / "clips-3.gif"
    browser.until(lambda: file.exists() and file.stat().st_size)
    with Image.open(file) as picture:
        assert picture.info["duration"] == 100 and picture.info["loop"] == 0
    np.testing.assert_array_equal(video.read(file.read_bytes(), FIELD), stored(server, 3))
    browser.find("#run").click()
    assert browser.find("#run").text == "Pause"
    browser.until(lambda: browser.pixels()[..., 0].tobytes() != clip[4, ..., 0].tobytes())
    assert browser.errors() == []


def test_gif_of_colours_and_of_many_codes(browser, clips):
    """Noise fills the table of codes again and again; of colours each is one of 6 × 7 × 6."""
    browser.open(clips[0])
    content, wanted = browser.answer("""{
        const {gif} = await import("/gif.js"), frames = [new ImageData(90, 70), new ImageData(90, 70)];
        let seed = 1;
        for (const {data} of frames) for (let i = 0; i < data.length; i++) {
          seed = seed * 1103515245 + 12345 & 0x7fffffff;
          data[i] = i % 4 === 3 ? 255 : seed >> 16;
        }
        const bytes = new Uint8Array(await gif(frames, 10).arrayBuffer());
        return [[...bytes], frames.flatMap(({data}) => [...data])] }""")
    found = video.decode(bytes(content), 3)
    true = np.array(wanted).reshape(2, 70, 90, 4)[..., :3]
    assert found.shape == true.shape and (np.abs(found.astype(int) - true).max((0, 1, 2)) <= [26, 22, 26]).all()
