"""The page of the documentation with what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.checks.programs import ROOT, Cold

PAGE = ROOT / "docs" / "checks_measured.md"
INTRODUCTION = """# What the checks say, and how long they take

`python -m benchmarks.checks --cold --page` writes this page. Times are the processor's, in seconds. What the checks are
is said in [checks.md](checks.md).
"""


def write(found: Sequence[dict[str, Any]], times: Sequence[Cold], alone: float) -> Path:
    """Write the page from what `measured` gives of each program, the cold times, and that of importing sympy alone."""
    PAGE.write_text("\n".join([INTRODUCTION, *_cold(times, alone), "", *_verdicts(found), ""]), encoding="utf-8")
    return PAGE


def _cold(times: Sequence[Cold], alone: float) -> list[str]:
    rows = [f"| {t.program.table}/{t.program.name} | {t.seconds:.2f} | {t.bound:g} |" for t in times]
    return [
        "## The whole command, cold", "",
        "`ssmlang check FILE` in a process of its own, bytecode at hand, the least of two runs; importing sympy alone "
        f"took {alone:.2f} s here (0.3 s on an idle core: times grow with what else the machine does), and models "
        "whose coefficients are plain numbers do without it.", "",
        "| program | seconds | bound |", "| --- | ---: | ---: |", *rows,
    ]  # fmt: skip


def _verdicts(found: Sequence[dict[str, Any]]) -> list[str]:
    rows = []
    for table in dict.fromkeys(one["table"] for one in found):
        own = [one for one in found if one["table"] == table and "findings" in one]
        count = Counter(verdict for one in own for _, verdict, _, _ in one["findings"])
        seconds = [one["seconds"] for one in own]
        numbers = " | ".join(str(count[v]) for v in ("proved", "refuted", "unknown"))
        rows.append(f"| {table} | {len(own)} | {numbers} | {median(seconds):.2f} | {max(seconds):.2f} |")
    return [
        "## Verdicts", "",
        "Models and starters are those of the standard library, others those of the tests' known answers; seconds "
        "of all checks of a program, sympy imported before.", "",
        "| table | programs | proved | refuted | unknown | median s | longest s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |", *rows,
    ]  # fmt: skip
