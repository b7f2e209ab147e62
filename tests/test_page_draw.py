"""Drawing on the page: what stands on the board, and that the result follows, on the server and in a web export."""
import numpy as np
import pytest
from browsers import browser, chromium, site
from makers import IMAGE, MADE, written
from servers import serving
from test_page_kinds import exported, given, image, named, opened, overflow, packages, pick, saved

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

GROUND, INK, THIRD = [0, 0, 255], [255, 0, 0], [255, 255, 0]
DRAWN = {**IMAGE, "size": [12, 16], "colours": [GROUND, INK, THIRD]}
LABELLED = {**IMAGE, "size": [12, 16], "labels": [GROUND, INK, THIRD]}


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """Address of a server of two functions that invert images: of drawings, and of label maps."""
    folder = tmp_path_factory.mktemp("painter")
    functions = {"generator": {"inputs": [DRAWN], "outputs": [MADE]}}
    with serving(folder, written(folder / "m", functions)) as server:
        yield f"http://127.0.0.1:{server.port}/"


def begun(browser, address):
    """A board is open, of 12×16 pixels of the ground, and what is made of it is shown."""
    opened(browser, address)
    browser.find(".draw").click()
    shows(browser, ground())
    return browser.find(".paper canvas")


def ground():
    return np.full((12, 16, 3), GROUND, np.uint8)


def shows(browser, drawing, levels=0):
    """Waits until that stands on the board and the result is its inverse."""
    browser.until(lambda: np.array_equal(browser.pixels(".paper canvas")[..., :3], drawing))
    browser.shows(255 - drawing, levels)


def place(browser, paper, x, y):
    """Where the middle of a pixel of the drawing is in the window."""
    return browser.run("""const box = arguments[0].getBoundingClientRect();
        return [box.left + (arguments[1] + 0.5) * box.width / 16, box.top + (arguments[2] + 0.5) * box.height / 12]""", paper, x, y)


def drag(browser, paper, *points):
    """By mouse, from pixel to pixel."""
    browser.run("arguments[0].scrollIntoView({block: 'center'})", paper)
    for i, (x, y) in enumerate(points):
        left, top = place(browser, paper, x, y)
        at = {"x": left, "y": top, "button": "left", "clickCount": 1}
        browser.cdp("Input.dispatchMouseEvent", {"type": "mouseMoved" if i else "mousePressed", "buttons": 1, **at})
    browser.cdp("Input.dispatchMouseEvent", {"type": "mouseReleased", "buttons": 0, **at})


def choose(browser, kind, value):
    browser.run("document.querySelector(`[name^=\"${arguments[0]}-\"][value=\"${arguments[1]}\"]`).click()", kind, value)


def wide(browser, size):
    browser.run("const found = document.querySelector('.board [type=range]'); found.value = arguments[0]; found.oninput()", size)


def test_pen_eraser_fill_box_undo(browser, painter):
    paper = begun(browser, painter)
    wide(browser, 1)
    drag(browser, paper, (2, 3), (9, 3))
    drawing = ground()
    drawing[3, 2:10] = INK
    shows(browser, drawing)
    assert browser.text("status") == "From drawing.png"
    wide(browser, 2)
    choose(browser, "tool", "eraser")
    drag(browser, paper, (4, 3))
    before = drawing.copy()
    drawing[3:5, 4:6] = GROUND
    shows(browser, drawing)
    choose(browser, "tool", "box")
    choose(browser, "colour", 2)
    drag(browser, paper, (5, 6), (15, 11), (8, 9))  # smaller again: what lay under it is back
    drawing[6:10, 5:9] = THIRD
    shows(browser, drawing)
    choose(browser, "tool", "fill")
    choose(browser, "colour", 1)
    drag(browser, paper, (0, 11))
    filled = drawing.copy()
    filled[(drawing == GROUND).all(-1)] = INK
    shows(browser, filled)
    for wanted in drawing, None, before:
        browser.find(".undo").click()
        if wanted is not None:
            shows(browser, wanted)
    browser.find(".clear").click()
    shows(browser, ground())
    browser.find(".undo").click()
    shows(browser, before)
    browser.find(".undo").click()
    shows(browser, ground())
    assert not browser.find(".undo").is_enabled() and browser.errors() == []


def test_a_finger(browser, painter):
    paper = begun(browser, painter)
    wide(browser, 1)
    browser.run("arguments[0].scrollIntoView({block: 'center'})", paper)
    points = [place(browser, paper, *pixel) for pixel in ((1, 1), (1, 5), (6, 5))]
    for kind, some in (("touchStart", points[:1]), ("touchMove", points[1:2]), ("touchMove", points[2:]), ("touchEnd", [])):
        browser.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in some]})
    drawing = ground()
    drawing[1:6, 1] = drawing[5, 1:7] = INK
    shows(browser, drawing)


def test_keys(browser, painter):
    """The cursor begins in the middle, (8, 6): Space draws from there on, Space lifts, Ctrl+Z undoes."""
    begun(browser, painter)
    wide(browser, 1)
    browser.run("document.querySelector('.paper canvas').focus()")
    browser.keys("ARROW_LEFT", "ARROW_UP", "SPACE", "ARROW_LEFT", "ARROW_LEFT", "ARROW_DOWN", "SPACE", "ARROW_DOWN", "ARROW_DOWN")
    drawing = ground()
    drawing[5, 5:8] = drawing[6, 5] = INK
    shows(browser, drawing)
    from selenium.webdriver import ActionChains, Keys
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    shows(browser, ground())
    named(browser)


def test_over_an_image(browser, painter, tmp_path):
    """What has been picked lies on the board; what comes while it is open takes its place."""
    opened(browser, painter)
    pick(browser, saved(tmp_path, image(20, 30)))
    browser.shows(255 - image(20, 30))
    browser.find(".draw").click()
    shows(browser, image(20, 30))
    choose(browser, "colour", 2)
    wide(browser, 3)
    paper = browser.find(".paper canvas")
    browser.run("arguments[0].focus()", paper)
    browser.keys("SPACE")
    drawing = image(20, 30)
    drawing[9:12, 14:17] = THIRD
    shows(browser, drawing)
    given(browser, "drop", image(7, 9, seed=1))
    shows(browser, image(7, 9, seed=1))
    assert "A drawing of 9 × 7 pixels." == browser.find(".note").text


def live(browser, address):
    """Chromium's own camera, which moves: the result is that of the frame beside it, again and again, until it is stopped."""
    opened(browser, address)
    browser.until(browser.find(".open").is_displayed)
    browser.find(".open").click()
    browser.until(lambda: browser.run("return document.querySelector('video').videoWidth > 0"))
    button = browser.find(".live")
    assert (button.text, button.get_attribute("aria-pressed")) == ("Live", "false")
    button.click()
    browser.until(lambda: "frames a second, of 16 × 12 pixels" in browser.find(".note").text)
    frames = {browser.pixels().tobytes()}
    browser.until(lambda: frames.add(browser.pixels().tobytes()) or len(frames) > 3)
    assert (button.text, button.get_attribute("aria-pressed")) == ("Stop", "true")
    named(browser)
    button.click()
    assert (button.text, button.get_attribute("aria-pressed")) == ("Live", "false")
    browser.until(lambda: np.abs(255 - browser.pixels()[..., :3].astype(int) - browser.pixels(".before")[..., :3]).max() <= 3)
    last = browser.pixels()
    browser.answer("await new Promise(done => setTimeout(done, 200))")
    np.testing.assert_array_equal(browser.pixels(), last)  # it stands
    button.click()
    browser.until(lambda: not np.array_equal(browser.pixels(), last))
    browser.run("document.querySelector('video').srcObject.getTracks()[0].onended()")  # as if it were unplugged
    assert not browser.find(".camera").is_displayed() and button.get_attribute("aria-pressed") == "false"
    assert browser.errors() == []


def test_live(browser, painter):
    live(browser, painter)


@pytest.mark.slow
def test_live_in_a_web_export(browser, packages, tmp_path):
    import keras
    size = {"shape": [None, 12, 16, 3]}
    exported(tmp_path, [{**DRAWN, **size}], [{**MADE, **size}], lambda given: keras.layers.Rescaling(-1.0)(given["input"]))
    with site(tmp_path) as address:
        live(browser, f"{address}web/")
        assert all(asked.startswith(address) for asked in browser.requests())


@pytest.mark.parametrize("width", [360, 1280])
def test_widths(browser, painter, width):
    browser.size(width, 844)
    paper = begun(browser, painter)
    assert overflow(browser) == 0
    box = browser.run("const {width, height} = arguments[0].getBoundingClientRect(); return [width, height]", paper)
    assert box[0] > 250 and box[0] / box[1] == pytest.approx(16 / 12, rel=0.01)


def test_a_label_map_in_a_web_export(browser, packages, tmp_path):
    """Its labels alone are to be had; images are scaled without mixing them; without a server the result follows each stroke."""
    import keras
    size = {"shape": [None, 12, 16, 3]}
    exported(tmp_path, [{**LABELLED, **size}], [{**MADE, **size}], lambda given: keras.layers.Rescaling(-1.0)(given["input"]))
    with site(tmp_path) as address:
        paper = begun(browser, f"{address}web/")
        assert browser.run("return document.querySelectorAll('.colours input').length") == 3  # no colour of one's own
        wide(browser, 1)
        left, top = place(browser, paper, 2, 2)
        at = {"button": "left", "clickCount": 1, "buttons": 1}
        browser.cdp("Input.dispatchMouseEvent", {"type": "mousePressed", "x": left, "y": top, **at})
        drawing = ground()
        for x in range(2, 6):  # the button is held all the time
            left, top = place(browser, paper, x, 2)
            browser.cdp("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": left, "y": top, **at})
            drawing[2, 2:x + 1] = INK
            shows(browser, drawing, levels=1)
        browser.cdp("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": left, "y": top, **at})
        large = np.full((30, 40, 3), GROUND, np.uint8)
        large[7:22, 11:31] = INK
        pick(browser, saved(tmp_path, large))
        browser.until(lambda: (browser.pixels(".paper canvas")[6, 8, :3] == INK).all())
        assert {*map(tuple, browser.pixels(".paper canvas")[..., :3].reshape(-1, 3).tolist())} == {tuple(GROUND), tuple(INK)}
        assert all(asked.startswith(address) for asked in browser.requests()) and browser.errors() == []
