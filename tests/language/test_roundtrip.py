"""Printing and parsing are inverse; the formatter keeps the meaning, the comments and itself."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from ssmlang.language import syntax as s
from ssmlang.language.diagnostics import SsmError
from ssmlang.language.format import format_text
from ssmlang.language.printer import print_expr, print_program
from ssmlang.language.source import Source, Span

from .reading import PROGRAMS, read, sound
from .strategies import exprs, programs

SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SLOW
@given(programs())
def test_print_then_parse_is_the_identity(program: s.Program) -> None:
    text = print_program(program)
    again, found = read(text)
    assert not found, text
    assert again == program
    assert print_program(again) == text


@SLOW
@given(programs())
def test_formatting_random_programs_keeps_them_and_is_idempotent(program: s.Program) -> None:
    text = format_text(print_program(program))
    assert sound(text) == program
    assert format_text(text) == text


@SLOW
@given(exprs)
def test_printed_expressions_have_no_needless_parentheses(expr: s.Expr) -> None:
    """Leaving out any pair of round brackets that encloses an operand changes the tree or the text cannot be read."""
    text = print_expr(expr)
    tree = sound(f"let a = {text}\n")
    for opening in [m.start() for m in re.finditer(r"(?<![\w)\]'])\(", text)]:
        depth, closing = 0, opening
        for closing in range(opening, len(text)):
            depth += {"(": 1, ")": -1}.get(text[closing], 0)
            if depth == 0:
                break
        without = text[:opening] + " " + text[opening + 1 : closing] + " " + text[closing + 1 :]
        again, found = read(f"let a = {without}\n")
        assert found or again != tree, (text, without)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_shipped_programs_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(text, path.name) == text
    assert sound(print_program(sound(text))) == sound(text)


MESSY = """\
%%ssm nile
# who wrote it
##   What it is.
## And more.

model   nile      # its name
param   sd_level~HalfNormal( 50 )   # first
param   sd_flow   ~   HalfNormal((150))
# about the state


   # and more
state level
## the flow
obs flow;
"""


def test_a_file_that_cannot_be_read_is_left_alone() -> None:
    with pytest.raises(SsmError) as caught:
        format_text(MESSY, "nile.ssm")
    assert [d.code for d in caught.value.diagnostics] == ["E106"]


def test_layout_is_made_even_and_comments_are_kept() -> None:
    assert format_text(MESSY.replace(";", ""), "nile.ssm") == (
        """\
%%ssm nile
# who wrote it
##   What it is.
## And more.

model nile        # its name
param sd_level ~ HalfNormal(50)     # first
param sd_flow ~ HalfNormal(150)
# about the state

# and more
state level
## the flow
obs flow
"""
    )


def test_comments_inside_a_statement_keep_it_as_written() -> None:
    text = "def f(v) = [\n  v[1],   # first\n    v[0]  -  1,\n]  # done\nparam  a ~ Normal(0,1)\n"
    assert format_text(text) == text.replace("param  a ~ Normal(0,1)", "param a ~ Normal(0, 1)")


def test_components_are_indented_with_their_comments() -> None:
    text = "component f( a ){ # head\nstate x\n# own\n\n\nx[t]~Normal( x[t-1],a )\nout x[t] # out\n# last\n} # tail\n"
    assert format_text(text) == (
        "component f(a) {  # head\n  state x\n  # own\n\n  x[t] ~ Normal(x[t-1], a)\n"
        "  out x[t]  # out\n  # last\n}  # tail\n"
    )


def test_long_lines_break_inside_brackets_and_stay_broken() -> None:
    items = ", ".join(f"coefficient_{i} * covariate_{i}[t]" for i in range(6))
    text = f"y[t] ~ Normal(sum([{items}]), 1)\n"
    formatted = format_text(text)
    assert max(map(len, formatted.splitlines())) <= 120
    assert formatted.count("\n") > 6
    assert format_text(formatted) == formatted
    assert sound(formatted) == sound(text)


def test_brackets_opened_up_by_hand_stay_open() -> None:
    text = "def f(v) = [\n  v[1],\n  v[0],\n]\n"
    assert format_text(text) == text
    assert format_text("def f(v) = [\n  v[1],\n  v[0]\n]\n") == "def f(v) = [v[1], v[0]]\n"


def test_columns_the_author_aligned_are_kept_aligned() -> None:
    text = (
        "param a    ~ Normal(0, 1)\nparam beta ~ Normal(0, 1)\n\nparam c ~ Normal(0, 1)\nparam delta ~ Normal(0, 1)\n"
    )
    assert format_text(text) == text
    longer = text.replace("beta ~", "beta_one ~").replace("a    ~", "a        ~")
    assert format_text(longer) == longer


def test_the_empty_file() -> None:
    assert format_text("") == ""
    assert format_text("\n\n") == ""
    assert format_text("# only this") == "# only this\n"


def test_line_ends_and_marks_of_other_systems() -> None:
    assert (
        format_text("\ufeff## Doc.\r\nmodel a\r\n\r\nconst n = 1 # c\r\n") == "## Doc.\nmodel a\n\nconst n = 1  # c\n"
    )


def test_trees_are_frozen() -> None:
    node = s.Name("x", span=Span(Source("t", "x"), 0, 1))
    for change in (lambda: setattr(node, "id", "y"), lambda: setattr(node, "other", 1), lambda: delattr(node, "id")):
        with pytest.raises(FrozenInstanceError):
            change()
