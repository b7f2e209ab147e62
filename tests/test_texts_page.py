"""Texts given to a generator and made by one: how the page cuts them, by Node; the server and the page, in a browser."""
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from browsers import browser, chromium  # noqa: F401
from makers import CAPTION, WORDS, written_texts

from kgan.kinds import Field, tokens

PAGE = Path(__file__).resolve().parents[1] / "export" / "page"


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_the_page_cuts_texts_as_python_does():
    texts = ["A large red 7, don't!", "床前 明月光", "straße Ελλάδα  x_1 3.5", "it’s ok -- a+b", "e\N{COMBINING ACUTE ACCENT}té"]
    script = (f"import {{cut, numbers, made}} from {json.dumps(str(PAGE / 'kinds' / 'tokens.js'))};"
              f"const texts = {json.dumps(texts)}, field = {json.dumps(CAPTION)};"
              "const tried = text => { try { return [...numbers(text, field)]; } catch (error) { return error.message; } };"
              "console.log(JSON.stringify([texts.map(text => cut(text)), texts.map(text => cut(text, 'characters')),"
              " ['a red 7', 'a blue 7', 'a a a a a', ''].map(tried), made([2, 3, 0, 1], [null, 4], null, null, 0, field)]));")
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    words, characters, found, made = json.loads(done.stdout)
    assert words == [tokens.split(text) for text in texts]
    assert characters == [tokens.split(text, "characters") for text in texts]
    field = Field("tokens", (4,), more={"words": WORDS, "tokens": "words"})
    assert found[0] == tokens.read(b"a red 7", field).tolist() == [1, 2, 3, 0]
    assert "“blue” is no word" in found[1] and "has 5 words; at most 4" in found[2] and found[3] == "Write a text."
    assert made == "red 7"


@pytest.mark.slow
def test_served_and_on_the_page(browser, tmp_path):  # noqa: F811
    pytest.importorskip("fastapi", reason='pip install -e ".[serve]"')
    import urllib.error
    import urllib.request

    from servers import serving
    with serving(tmp_path, written_texts(tmp_path / "m")) as server:
        address = f"http://127.0.0.1:{server.port}/"

        def ask(text):
            body = f'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\n{text}\r\n--x--\r\n'.encode()
            request = urllib.request.Request(f"{address}make/generator", body, {"Content-Type": "multipart/form-data; boundary=x"})
            with urllib.request.urlopen(request) as answer:
                return answer.headers["content-type"], answer.read().decode()

        kind, text = ask("A red 7")
        assert kind.startswith("text/plain") and text == "red 7 large\n"
        with pytest.raises(urllib.error.HTTPError) as error:
            ask("a blue 7")
        assert error.value.code == 400 and "'blue' is none of the 5 words" in error.value.read().decode()
        browser.open(address, tiles=0)
        browser.until(lambda: browser.text("facts"))
        box = browser.find(".text textarea")
        box.send_keys("a large")
        browser.until(lambda: browser.text("picture") == "red")  # "large" becomes the end
        box.clear()
        box.send_keys("a blue 7")
        browser.until(lambda: "“blue” is no word" in browser.find(".text .problem").text)
        assert "texts of up to 4 words from a text" in browser.text("facts")
