"""The page's control and view of sounds, and POST /make of a model of sounds."""
import json

import numpy as np
import pytest
from browsers import browser, chromium, site  # noqa: F401, fixtures
from makers import written_notes, written_sounds
from servers import serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

from kgan.kinds import Field, audio, notes

FREE = Field("audio", (None, 1), more={"rate": 8000})


@pytest.fixture(scope="module")
def softer(tmp_path_factory):
    """(address, Server) of a model that makes sounds half as loud, of at most 20,000 samples."""
    folder = tmp_path_factory.mktemp("softer")
    with serving(folder, written_sounds(folder / "m"), "--max_pixels=20000") as server:
        yield f"http://127.0.0.1:{server.port}/", server


def tone(rate=8000, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * 300 * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_make_takes_any_rate_and_gives_the_models(softer, rate):
    import urllib.request
    body = (b"--x\r\nContent-Disposition: form-data; name=\"input\"; filename=\"a.wav\"\r\n\r\n"
            + audio.write(tone(rate)[:, None], rate=rate) + b"\r\n--x--\r\n")
    request = urllib.request.Request(f"{softer[0]}make/generator", body, {"Content-Type": "multipart/form-data; boundary=x"})
    with urllib.request.urlopen(request) as response:
        assert response.headers["content-type"] == "audio/wav"
        found, own = audio.decode(response.read())
    assert own == 8000 and len(found) == 8000
    np.testing.assert_allclose(found[100:-100], 0.5 * tone()[100:-100], atol=2e-3)


def test_make_refuses_what_is_too_long_or_no_sound(softer):
    import urllib.error
    import urllib.request
    for data, message in ((audio.write(tone(8000, 3)[:, None], rate=8000), "24000 samples at 8000 Hz, more than 20000"), (b"no", "no sound that can be read")):
        body = b"--x\r\nContent-Disposition: form-data; name=\"input\"; filename=\"a.wav\"\r\n\r\n" + data + b"\r\n--x--\r\n"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{softer[0]}make/generator", body,
                                                          {"Content-Type": "multipart/form-data; boundary=x"}))
        assert refused.value.code == 400 and message in json.loads(refused.value.read())["error"]


def test_a_sound_and_what_comes_of_it(browser, softer, tmp_path):  # noqa: F811
    browser.open(softer[0], tiles=0)
    browser.until(lambda: browser.text("facts"))
    assert "sounds of any length at 8 kHz from a sound" in browser.text("facts")
    assert not browser.find("#download").is_enabled()
    (tmp_path / "my tone.wav").write_bytes(audio.write(tone(44_100)[:, None], rate=44_100))
    browser.find("input[type=file]").send_keys(str(tmp_path / "my tone.wav"))
    browser.until(browser.find("#download").is_enabled)
    assert browser.text("status") == "From my tone.wav" and "1.0 s" in browser.find(".note").text
    browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find("#download").click()
    browser.until((tmp_path / "softer-my_tone.wav").exists)
    found, rate = audio.decode((tmp_path / "softer-my_tone.wav").read_bytes())
    assert rate == 8000 and len(found) == 8000
    np.testing.assert_allclose(found[200:-200], 0.5 * tone()[200:-200], atol=5e-3)
    # both players hold a second of sound
    lengths = browser.run("return [...document.querySelectorAll('audio')].map(player => player.duration)")
    assert lengths == pytest.approx([1.0, 1.0], abs=0.01)
    # the waveform reaches half as far as it would at full scale, a quarter of what was given: rows with blue in them
    rows = browser.run("""const on = document.querySelector("#picture"), {data} = on.getContext("2d").getImageData(0, 0, on.width, on.height);
        const rows = new Set();
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] && data[i] < 100) rows.add(Math.floor(i / 4 / on.width));
        return [Math.min(...rows), Math.max(...rows), on.height]""")
    assert rows[0] == pytest.approx(0.375 * rows[2], abs=2) and rows[1] == pytest.approx(0.625 * rows[2], abs=2)
    (tmp_path / "words.wav").write_text("no sound")
    browser.find("input[type=file]").send_keys(str(tmp_path / "words.wav"))
    browser.until(lambda: "words.wav cannot be read as a sound" in browser.text("status"))


def test_a_recording(browser, softer):  # noqa: F811
    """Chromium has a microphone of its own for tests."""
    browser.open(softer[0], tiles=0)
    browser.until(lambda: browser.text("facts"))
    browser.until(browser.find(".record").is_displayed)
    browser.find(".record").click()
    browser.until(lambda: browser.find(".record").text == "Stop")
    browser.run("return new Promise(done => setTimeout(done, 700))")
    browser.find(".record").click()
    browser.until(lambda: browser.text("status") == "From recording.wav")


def test_notes_are_drawn_played_and_saved_as_midi(browser, tmp_path):  # noqa: F811
    """What the page saves is what the server writes: the same file, but for the names of the tracks."""
    pytest.importorskip("mido")
    with serving(tmp_path, written_notes(tmp_path / "m")) as server:
        browser.open(f"http://127.0.0.1:{server.port}/", tiles=0)
        browser.until(lambda: browser.text("facts"))
        assert "pieces of 2 bars for 2 tracks" in browser.text("facts")
        browser.until(browser.find("#download").is_enabled)
        # pitch 9 is the tenth row of four pixels from below, steps 2 to 4 of eight pixels
        colour = browser.run("""return [...document.querySelector("#picture").getContext("2d").getImageData(20, 4 * 14 + 1, 1, 1).data]""")
        assert colour == [217, 95, 2, 255]
        browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        browser.find("#download").click()
        browser.until(lambda: list(tmp_path.glob("*.mid")))
        field = Field("notes", (2, 8, 24, 2), more={"lowest": 48, "beat": 2, "tempo": 120, "tracks": ["drums", "lead"]})
        found = notes.read(next(tmp_path.glob("*.mid")).read_bytes(), field)
        wanted = np.zeros((2, 8, 24, 2), np.uint8)
        wanted[0, 2:5, 9, 1] = wanted[0, 4, 0, 0] = 1
        np.testing.assert_array_equal(found, wanted)
        browser.find(".play").click()
        browser.until(lambda: browser.find(".play").text == "Stop")
        browser.until(lambda: browser.find(".play").text == "Play")  # after four seconds it is over
        assert browser.errors() == []
