"""What the documentation says of itself: that its links lead somewhere, and that no model is left out."""
import re
from pathlib import Path

import pytest

from kgan import models

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page):
    """The names by which headings of a page are linked, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+?)\s*$", text, re.M)}


def links(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def broken(page):
    """Links of a page to files that are not there, or to headings that a page does not have."""
    for link in links(page):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (heading and heading not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert not [*broken(page)]


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "a.md"
    page.write_text("# One: two\n[ok](#one-two) [no](#three) [gone](b.md) `[code](c.md)` [web](https://example.org)\n", encoding="utf-8")
    assert [*broken(page)] == ["#three", "b.md"]


def test_no_picture_lies_about_unlinked():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    for folder in "pictures", "sounds":
        assert not {*(ROOT / "docs" / folder).glob("*")} - linked
    assert sum(file.stat().st_size for file in (ROOT / "docs" / "sounds").glob("*")) <= 1 << 20


def test_all_pages_and_models_are_listed():
    index, gallery = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("README.md", "gallery.md"))
    assert not {page.name for page in PAGES if page.parent != ROOT} - {"README.md"} - {*re.findall(r"\]\((\w+\.md)\)", index)}
    assert not {name for name in models.names() if f"`{name}`" not in gallery and f"--model={name}" not in gallery}
    said = re.search(r"(\d+) models", (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8"))
    assert int(said[1]) == len(models.names())
