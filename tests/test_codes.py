"""Every diagnostic code: its wrong example is answered by it, its mended one is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ssmlang.analysis.report import report
from ssmlang.frontend import check_text
from ssmlang.language.codes import REGISTRY, Example, lookup
from ssmlang.language.diagnostics import SsmError, SsmWarning
from ssmlang.model.linear import linear_form

PACKAGE = Path(__file__).parents[1] / "ssmlang"


def codes_of(example: Example, folder: Path) -> set[str]:
    """The codes that an example provokes."""
    for name, text in example.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if example.language == "ssm":
        found = check_text(example.text, name="example.ssm", base=folder, constants=example.constants)
        if found.model is None:
            return {d.code for d in found.findings}
        return {d.code for d in report(found.model, linear_form(found.model), found.findings).diagnostics}
    space: dict[str, Any] = {"__name__": "example"}
    try:
        exec(compile(example.text, "example.py", "exec"), space)
    except SsmError as error:
        return {d.code for d in error.diagnostics}
    except SsmWarning as warning:  # the tests make errors of warnings
        return {warning.diagnostic.code}
    # A warning about data raises nothing: it is in the report.
    return {d.code for d in space["report"].diagnostics} if "report" in space else set()


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_examples(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = REGISTRY[code]
    monkeypatch.chdir(tmp_path)
    # An entry of errors explains the warning of the same number too, where what is not asserted is refuted.
    own = {code, "W" + code[1:]}
    assert own & codes_of(entry.wrong, tmp_path / "wrong")
    assert not {c for c in codes_of(entry.mended, tmp_path / "mended") if c[0] == "E" or c in own}


def test_every_code_in_use_is_explained() -> None:
    used = {c for p in PACKAGE.rglob("*.py") for c in re.findall(r'"([EWN]\d{3})"', p.read_text())}
    assert not {c for c in used if lookup(c) is None}
