"""Reports on a terminal: no line is wider than it, and what is cut goes on under its own column."""

from __future__ import annotations

import io

import pytest

import ssmlang
from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.render import render_text
from ssmlang.language.wrapping import columns, wrapped

MODEL = """model m
param phi[2] ~ Normal([1.3, -0.5], 0.3)
param a, b ~ HalfNormal(1)
state trend, cycle
obs y
init trend ~ Diffuse()
init cycle ~ Stationary()
trend[t] ~ Normal(trend[t-1], a)
cycle[t] ~ Normal(phi[0] * cycle[t-1] + phi[1] * cycle[t-2], b)
y[t] = trend[t] + cycle[t]
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_and_a_narrow_terminal_are_left_alone(monkeypatch):
    assert columns(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "20")
    assert columns(Terminal()) is None
    monkeypatch.setenv("COLUMNS", "90")
    assert columns(Terminal()) == 90
    assert wrapped("x" * 500, None) == "x" * 500


@pytest.mark.parametrize("width", [80, 100])
def test_a_report_keeps_to_the_terminal_and_says_the_same(monkeypatch, width):
    report = ssmlang.compile(MODEL).check()
    whole = report.body
    assert max(map(len, whole.split("\n"))) > width
    monkeypatch.setattr("ssmlang.analysis.report.columns", lambda: width)
    shown = report.body
    assert max(map(len, shown.split("\n"))) <= width
    assert shown.split() == whole.split()


def test_what_is_cut_goes_on_under_its_column():
    line = "  stable(cycle)  refuted  not for all values allowed; at phi = 2 it grows by 26% a row"
    assert wrapped(line, 60) == (
        "  stable(cycle)  refuted  not for all values allowed; at phi\n"
        "                          = 2 it grows by 26% a row"
    )  # fmt: skip


def test_sentences_of_a_diagnostic_are_broken_and_code_is_not():
    found = Diagnostic("W630", "a message", why=("word " * 30,), help=("write\n" + "x = " * 40,))
    lines = render_text([found], width=80).split("\n")
    assert lines[1].startswith("  = why: word") and lines[2].startswith("         word") and len(lines[1]) <= 80
    assert lines[-1].count("x = ") >= 39
