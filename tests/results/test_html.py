"""The HTML of models, reports and fits: well formed, self-contained, small, and safe."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from ssmlang.frontend import check_text
from ssmlang.results import html

VOID = {"meta", "br", "hr", "img"}
REPORT = {
    "model": "nile",
    "facts": ["2 parameters: a, b", "x < y & z"],
    "checks": [
        {"property": "stable(x)", "verdict": "refuted", "reason": "a root at 1", "line": 9},
        {"property": "linear", "verdict": "proved", "reason": "in all states", "line": None},
    ],
    "engine": "kalman",
    "engines": [
        {"engine": "kalman", "usable": True, "reason": "exact"},
        {"engine": "ekf", "usable": False, "reason": "-"},
    ],
    "diagnostics": [
        {
            "code": "W602",
            "severity": "warning",
            "message": "two parts",
            "location": {"row": 3},
            "notes": ["n"],
            "help": "h",
        }
    ],
}
SOURCE = """
model walk
## how far a step goes
param sd[2] in (0, inf) ~ HalfNormal(50)
param phi in (-1, 1) ~ Normal(0, 1)
state level   # <script>alert("x")</script>
obs   flow
init level ~ Normal(0, 1)
level[t] ~ Normal(phi * level[t-1], sd[0])
flow[t]  ~ Normal(level[t], sd[1])
"""


class WellFormed(HTMLParser):
    """Counts what is opened and closed, and keeps the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)


def read(text: str) -> tuple[str, list[str]]:
    """The visible text and the tags of HTML that keeps the house rules."""
    assert len(text.encode()) < 60_000
    for outside in ("http:", "https:", "//", "url(", "@import", "src="):
        assert outside not in text
    parsed = WellFormed(text)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    return "".join(parsed.said), parsed.tags


def test_report() -> None:
    for made in (
        html.report_html(REPORT),
        html.report_page(REPORT, SOURCE, [{"name": "sd", "prior": "HalfNormal(50)"}]),
    ):
        text, tags = read(made)
        for word in ("model nile", "x < y & z", "stable(x)", "refuted", "line 9", "kalman", "W602", "line 3"):
            assert word in text
        assert tags.count("table") >= 2


def test_model() -> None:
    spec = check_text(SOURCE).require()
    rows = html.parameters_of(spec)
    assert rows[0] == {"name": "sd", "shape": "[2]", "prior": "HalfNormal(50)", "support": "(0, inf)",
                       "doc": "how far a step goes"}  # fmt: skip
    assert rows[1]["support"] == "(-1, 1)"
    text, tags = read(html.fragment(html.source_block(SOURCE), html.parameter_table(rows)))
    assert 'alert("x")' in text and "HalfNormal(50)" in text
    assert "span" in tags  # coloured


def test_fit() -> None:
    summary = pd.DataFrame(
        {"mean": [1.23456, -0.5], "ess_bulk": [812.4, 90.0], "r_hat": [1.001, 1.2]}, index=["sd_level", "phi[<b>]"]
    )
    made = html.fit_html({"model": "nile", "method": "nuts", "engine": "kalman", "summary": summary, "source": SOURCE,
                          "facts": ["3 divergences"]})  # fmt: skip
    text, _ = read(made)
    for word in ("1.235", "\N{MINUS SIGN}0.5", "812", "1.001", "phi[<b>]", "3 divergences", "nuts with kalman"):
        assert word in text
    assert '<span class="bad">1.200</span>' in made
    assert read(html.fit_html({"model": "m", "summary": {"a": {"estimate": 1.0, "se": float("nan")}}}))


def test_much_is_cut() -> None:
    many = {f"x[{i}]": {"mean": float(i), "sd": 1.0} for i in range(5000)}
    text, _ = read(html.fit_html({"model": "m", "summary": many, "source": "# a line of text\n" * 5000}))
    assert "and 4940 more" in text


def test_without_pygments(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pygments", None)
    text, tags = read(html.fragment(html.source_block(SOURCE)))
    assert "HalfNormal" in text and "span" not in tags


def test_notes_on_the_engine_stand_beneath_it() -> None:
    shown = html.engine_block("kalman", (), ("auto takes kalman; n < 5",))
    assert "<li>auto takes kalman; n &lt; 5</li>" in shown and "<ul>" not in html.engine_block("kalman")


def test_a_finding_shows_where_it_does_not_hold_what_shows_it_and_what_mends_it() -> None:
    check = {
        "property": "observable", "verdict": "refuted", "reason": "a & b", "line": 3, "unless": ["p = 0"],
        "details": ["detectable: <fast>"], "witness": {"told": "(a = 0) and (a = 1): the same"}, "fix": "drop a",
    }  # fmt: skip
    shown = html.checks_table([check])
    told = ("a &amp; b", "unless p = 0", "detectable: &lt;fast&gt;", "witness: (a = 0) and (a = 1)", "fix: drop a")
    assert all(words in shown for words in told)
    assert "fix:" not in html.checks_table([{**check, "verdict": "proved"}])


def test_matrices_are_latex_that_a_notebook_sets() -> None:
    given = {"state": ["x[t]"], "observation": ["y"], "F": r"\left[\begin{matrix}1\end{matrix}\right]", "H": "h < 1"}
    shown = html.matrices_block(given)
    assert r"$F = \left[" in shown and "h &lt; 1" in shown and html.matrices_block({}) == ""
    assert WellFormed(html.report_html({**REPORT, "matrices": given})).said
