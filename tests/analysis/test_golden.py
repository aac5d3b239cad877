"""What a newcomer is told by the checks: each `golden/NAME.ssm` with the exact text of `golden/NAME.txt`.

After a deliberate change of a message run `SSMLANG_GOLDEN=write pytest tests/analysis/test_golden.py`, and read the
difference: someone who sees the message alone must know what is wrong and what to write.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ssmlang.analysis.report import report
from ssmlang.frontend import check_text
from ssmlang.language.render import render_text
from ssmlang.model.linear import linear_form

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.ssm"))
DRAWN = (
    (r"\d+% of \d+ paths", "N% of N paths"),
    (r"to [\d.e+-]+ in the middle one", "to X in the middle one"),
)
"""How many paths are drawn from a prior depends on how fast the machine is."""


def said(path: Path) -> str:
    checked = check_text(path.read_text(encoding="utf-8"), name=path.name)
    model = checked.require()
    shown = render_text(report(model, linear_form(model), checked.findings, seconds=60).diagnostics)
    for drawn, instead in DRAWN:
        shown = re.sub(drawn, instead, shown)
    return shown + "\n"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_messages_are_exactly_these(path: Path) -> None:
    text, expected = said(path), path.with_suffix(".txt")
    if os.environ.get("SSMLANG_GOLDEN") == "write":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_each_says_what_to_write(path: Path) -> None:
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert "= help: " in text and re.search(r"(error|warning)\[[EW]\d{3}\]", text)


def test_there_are_a_dozen() -> None:
    assert len(GOLDEN) >= 12
