"""The pages of the documentation: what they link to is there, and what lies beside them is linked."""
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "export").glob("*.md")]


def _anchors(page):
    """As GitHub makes them of the headings."""
    heads = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


def test_links_and_files():
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]*)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            file = Path(os.path.normpath(page.parent / path)) if path else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or file.suffix != ".md" or anchor in _anchors(file), f"{page.name}: {target}"
            linked.add(file)
    for folder in "pictures", "sounds":
        assert not set((ROOT / "docs" / folder).glob("*")) - linked
    assert sum(file.stat().st_size for file in (ROOT / "docs" / "sounds").glob("*")) <= 1 << 20
