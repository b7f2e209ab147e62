"""Masks over HTTP, and painted on the page: with a mouse, a finger, keys; taken back; from a file."""
import base64
import io
import json

import numpy as np
import pytest
from browsers import browser, chromium  # noqa: F401
from makers import written_holes
from PIL import Image
from servers import pixels, serving

pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')

from test_make import file, make
from test_page_kinds import packages  # noqa: F401


@pytest.fixture(scope="module")
def mender(tmp_path_factory):
    """A server of a model that inverts what is missing, of at most 5,000 pixels."""
    folder = tmp_path_factory.mktemp("mender")
    with serving(folder, written_holes(folder / "m"), "--max_pixels=5000") as found:
        yield found


def image(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def inverted(array, mask):
    return np.where(mask[..., None] > 0, 255 - array, array)


# === Over HTTP ===

def test_a_mask_is_a_part(mender):
    missing = np.zeros((5, 9), np.uint8)
    missing[1:4, 2:6] = 255
    for mask in (file(missing), file(missing // 255)):
        status, headers, body = make(mender, "generator", ("input", file(image(5, 9))), ("mask", mask))
        assert status == 200 and headers["content-type"] == "image/png"
        np.testing.assert_array_equal(pixels(body), inverted(image(5, 9), missing))


@pytest.mark.parametrize("mask, message", [
    (np.zeros((9, 5), np.uint8), "mask: is 5×9 pixels, and input 9×5; they must be the same"),
    (image(5, 9), "neither black nor white"), (np.zeros((80, 80), np.uint8), "more than 5000"), (None, "this part is lacking")])
def test_masks_that_are_refused(mender, mask, message):
    parts = [("input", file(image(5, 9)))] + ([] if mask is None else [("mask", file(mask))])
    status, _, body = make(mender, "generator", *parts)
    assert status == 400 and message in json.loads(body)["error"]


# === On the page ===

@pytest.fixture
def page(browser, mender, tmp_path):
    """The page with an image on it, 40 × 60 pixels."""
    browser.open(f"http://127.0.0.1:{mender.port}/", tiles=0)
    browser.until(lambda: browser.text("facts"))
    assert "images of any size from an image and a mask" in browser.text("facts")
    Image.fromarray(image()).save(tmp_path / "photo.png")
    assert not browser.find(".mask .paint").is_displayed() and not browser.find(".mask .pick").is_enabled()
    browser.find(".image input[type=file]").send_keys(str(tmp_path / "photo.png"))
    browser.until(browser.find(".mask .paint").is_displayed)
    browser.run("document.querySelector('.paint').scrollIntoView({block: 'center'})")
    np.testing.assert_array_equal(browser.pixels(".under")[..., :3], image())
    return browser


def painted(page):
    """Where the mask on the page is painted, bool [H, W]."""
    return page.pixels(".paint .over")[..., 3] > 0


def at(page, x, y):
    """A place of the image as one of the window."""
    left, top, width, height = page.run("""const box = document.querySelector(".paint .over").getBoundingClientRect();
        return [box.left, box.top, box.width, box.height]""")
    return left + x / 60 * width, top + y / 40 * height


def drag(page, *places):
    for i, place in enumerate(places):
        x, y = at(page, *place)
        more = {"button": "left", "buttons": 1, "clickCount": 1}
        if i == 0:
            page.cdp("Input.dispatchMouseEvent", {"type": "mousePressed", "x": x, "y": y, **more})
        page.cdp("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y, **more})
    page.cdp("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": x, "y": y, **more})


def shows(page):
    page.shows(inverted(image(), painted(page)))


def test_painted_with_a_mouse(page):
    page.run("const size = document.querySelector('.mask .size'); size.value = 20; size.oninput()")
    drag(page, (10, 20), (30, 20))
    # a brush of a fifth of the shorter side, 8 pixels: discs of radius 4 along the way
    y, x = np.mgrid[:40, :60] + 0.5
    along = np.clip(x, 10, 30)
    distance = np.hypot(x - along, y - 20)
    found = painted(page)
    assert found[distance < 3].all() and not found[distance > 4.8].any()
    shows(page)
    assert not (page.pixels()[..., :3] == image()).all()


def test_keep_takes_away_and_undo_brings_back(page):
    states = [painted(page)]
    for act in (lambda: drag(page, (10, 10), (40, 30)), lambda: drag(page, (20, 5), (20, 35)), lambda: (
            page.find(".mask [value='0']").click(), drag(page, (25, 5), (25, 35)))):
        act()
        states.append(painted(page))
        shows(page)
    counts = [state.sum() for state in states]
    assert counts[0] == 0 < counts[1] < counts[2] > counts[3]
    for state in states[-2:0:-1]:
        page.find(".mask .undo").click()
        np.testing.assert_array_equal(painted(page), state)
    shows(page)
    page.find(".mask .undo").click()
    assert not painted(page).any() and not page.find(".mask .undo").is_enabled()
    for state in states[1:]:
        page.find(".mask .redo").click()
        np.testing.assert_array_equal(painted(page), state)
    shows(page)
    assert not page.find(".mask .redo").is_enabled()
    page.find(".mask .clear").click()
    assert not painted(page).any() and not page.find("#copy").is_enabled()
    page.find(".mask .undo").click()
    np.testing.assert_array_equal(painted(page), states[-1])
    assert page.errors() == []


def test_painted_with_keys(page):
    page.run("document.querySelector('.paint .over').focus()")
    assert "Space paints" in page.find(".mask .hint").text
    page.keys("SPACE")
    page.until(lambda: painted(page)[20, 30])  # begins in the middle
    shows(page)
    one = painted(page)
    page.keys("ARROW_LEFT", "ARROW_LEFT", "ARROW_LEFT", "ARROW_UP", "SPACE")
    page.until(lambda: painted(page).sum() > one.sum())
    more = painted(page) & ~one
    rows, columns = np.nonzero(more)
    assert columns.mean() < 30 and rows.mean() < 20
    shows(page)
    from selenium.webdriver import ActionChains, Keys
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    page.until(lambda: np.array_equal(painted(page), one))
    before = page.find(".mask .size").get_attribute("value")
    page.keys("]")
    assert int(page.find(".mask .size").get_attribute("value")) == int(before) + 1


def test_painted_with_a_finger(page):
    page.cdp("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        for kind, place in (("touchStart", (10, 30)), ("touchMove", (30, 30)), ("touchMove", (50, 30)), ("touchEnd", None)):
            points = [dict(zip("xy", at(page, *place)))] if place else []
            page.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.until(lambda: painted(page)[30, 10:50].all())
        shows(page)
    finally:
        page.cdp("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_a_mask_from_a_file(page, tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 8:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    page.find(".mask input[type=file]").send_keys(str(tmp_path / "mask.png"))
    page.until(lambda: np.array_equal(painted(page), mask > 0))
    shows(page)
    # what is dropped here is a mask, and the image stays
    buffer = io.BytesIO()
    Image.fromarray(255 - mask).save(buffer, "PNG")
    page.run("""const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0)), data = new DataTransfer();
        data.items.add(new File([bytes], "m.png", {type: "image/png"}));
        document.querySelector(".mask").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}))""",
             base64.b64encode(buffer.getvalue()).decode())
    page.until(lambda: np.array_equal(painted(page), mask == 0))
    shows(page)
    np.testing.assert_array_equal(page.pixels(".under")[..., :3], image())


def test_another_image_has_another_mask(page, tmp_path):
    drag(page, (10, 20), (30, 20))
    kept = painted(page)
    for array, same in ((image(seed=1), True), (image(30, 50, 2), False)):
        Image.fromarray(array).save(tmp_path / "other.png")
        page.find(".image input[type=file]").send_keys(str(tmp_path / "other.png"))
        page.until(lambda: page.pixels(".under").shape[:2] == array.shape[:2] and
                   np.array_equal(page.pixels(".under")[..., :3], array))
        assert np.array_equal(painted(page), kept) if same else not painted(page).any()
    assert page.errors() == []


def test_names(page):
    assert page.run("""return [...document.querySelectorAll(".mask button, .mask input:not([hidden]), .mask .over")]
        .every(each => (each.ariaLabel || each.textContent || each.closest("label")?.textContent).trim())""")
    assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_painted_in_a_web_export(browser, packages, tmp_path):
    """The same model in the browser's own runtime, at the one size that its file takes."""
    import keras
    from browsers import site
    from makers import IMAGE, MADE, MASK
    from test_page_kinds import exported

    from kgan.models.inpaint import _Restore
    exported(tmp_path, [IMAGE, MASK], [MADE], lambda given: _Restore()([
        keras.layers.Rescaling(-1.0)(given["input"]), given["input"], given["mask"]]))
    array = image(8, 8)
    with site(tmp_path) as address:
        browser.open(f"{address}web/", tiles=0)
        browser.until(lambda: browser.text("facts"))
        Image.fromarray(array).save(tmp_path / "photo.png")
        browser.find(".image input[type=file]").send_keys(str(tmp_path / "photo.png"))
        browser.until(browser.find(".mask .paint").is_displayed)
        browser.run("document.querySelector('.paint .over').focus()")
        browser.keys("]", "]", "]", "]", "SPACE")
        browser.until(lambda: painted(browser).any())
        browser.shows(inverted(array, painted(browser)))
        assert browser.errors() == []
