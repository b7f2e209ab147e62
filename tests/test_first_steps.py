"""docs/first_steps.md is what benchmarks/first_steps.py does."""
import re
import sys
from pathlib import Path

import first_steps
import pytest

PYTHON = sys.executable  # before conftest.py puts one in its place that has imported kgan
PAGE = (Path(__file__).resolve().parents[1] / "docs" / "first_steps.md").read_text(encoding="utf-8")


def test_the_page_has_each_step():
    rows = [re.split(r" *(?<!\\)\| *", line)[1:4] for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert rows == [[name, f"`{code}`", expected] for name, code, expected, _ in first_steps.STEPS]


@pytest.mark.slow
def test_each_step_does_what_the_page_says(monkeypatch):
    monkeypatch.setattr(sys, "executable", PYTHON)
    found = [first_steps.tried(*one) for one in first_steps.STEPS]
    assert not [one for one in found if one["wrong"]]
    assert first_steps.markdown(found) == PAGE
