"""Golden files for what newcomers write: each `golden/NAME.ssm` with the exact text of `golden/NAME.txt`.

After a deliberate change of a message run `SSMLANG_GOLDEN=write pytest tests/elaborate/test_messages.py`, and read the
difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ssmlang.frontend import check_text
from ssmlang.language.render import render_text

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.ssm"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_messages_are_exactly_these(path: Path) -> None:
    """The file is cut into programs by lines `# ----`, so that each message stands on its own."""
    shown = []
    for text in path.read_text(encoding="utf-8").split("# ----\n"):
        checked = check_text(text, name=path.name, base=path.parent)
        assert checked.model is None, text
        shown.append(render_text(checked.findings))
    text = "\n\n----\n\n".join(shown) + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("SSMLANG_GOLDEN") == "write":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def test_a_parameter_without_a_prior_keeps_its_axes_and_its_interval() -> None:
    text = (
        "param sd in (0, inf)\nparam phi[2] in stationary\nparam a, b in (-1, 1)\nobs y\n"
        "y[t] ~ Normal(phi[0] * y[t-1] + phi[1] * y[t-2] + a + b, sd)\n"
    )
    said = [d.help for d in check_text(text).findings if d.code == "W220"]
    assert said == [
        ("write `param sd ~ HalfNormal(1)`",),
        ("write `param phi[2] in stationary ~ Normal(0, 1)`",),
        ("write `param a in (-1, 1) ~ Normal(0, 1)`",),
        ("write `param b in (-1, 1) ~ Normal(0, 1)`",),
    ]
