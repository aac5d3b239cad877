"""Texts become trees or diagnostics, never anything else; places are exact; bounds hold."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.language import syntax as s
from ssmlang.language.diagnostics import Findings, SsmError
from ssmlang.language.expand import expand
from ssmlang.language.format import format_text
from ssmlang.language.parser import parse
from ssmlang.language.render import render_github, render_json, render_text
from ssmlang.language.source import Source
from ssmlang.language.walk import walk

from .reading import PROGRAMS, STDLIB, places, read, sound


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_shipped_programs_parse_and_expand(path: Path) -> None:
    findings = Findings()
    source = Source(path.name, path.read_text(encoding="utf-8"))
    program = parse(source, findings)
    flat = expand(program, base=path.parent, findings=findings)
    assert not list(findings)
    assert program.doc
    for node in walk(flat):
        assert not isinstance(node, s.Import | s.Component | s.Part | s.Out | s.Member)
        assert 0 <= node.span.start <= node.span.end <= len(node.span.source.text)


def test_spans_are_the_text_that_was_read() -> None:
    program = sound("y[t] ~ Normal((a + b) * c', exp(h[t-1]))\n")
    equation = program.statements[0]
    assert isinstance(equation, s.Equation)
    call = equation.value
    assert isinstance(call, s.Call)
    first, second = (argument.value for argument in call.arguments)
    assert [first.span.text, second.span.text] == ["(a + b) * c'", "exp(h[t-1])"]
    assert isinstance(first, s.Binary)
    assert [first.left.span.text, first.right.span.text] == ["a + b", "c'"]
    assert equation.targets[0].span.text == "y[t]"


# ------------------------------------------------------------------------------------------------ what is legal


@pytest.mark.parametrize(
    "text",
    [
        "param gamma ~ Gamma(1, 1)\nlet a = gamma(3) + gamma\n",
        "let walk = 1\nlet exact = walk\nlift z[t] = exact exact\naugment param a ~ D walk walk\n",
        "let d = 3\nlet e = d (3)\nd[t] = 1\n",
        "d(x) = 1\nd (x) = 1\n",
        "axis a = {\n  one,\n  two,\n}\n",
        "const dt = 1\ninput X[k], dt\n",
        "let a = 2^-1 - -1 + not_a\nlet b = if a == 1 then 2 else if a then 3 else 4\n",
        "x[t] ~ Normal(\n  # a comment\n  0,\n\n  1,\n)\n",
        "component a() { out 1 }\n",
        "let a = [1, 2,]' @ b[1]'\n",
        "let σ² = 1\n".replace("²", "2"),
        "state 状态\n",
    ],
)
def test_legal(text: str) -> None:
    sound(text)


def test_words_of_statements_end_at_the_end_of_a_word() -> None:
    assert places("modelfoo\nobsy\nstatex, y\nlift z[t] = 1 exactly\nfrom a importb\nlet a = if b thenc else d\n") == [
        ("E105", 1, 1),
        ("E105", 2, 1),
        ("E101", 3, 7),
        ("E101", 4, 15),
        ("E101", 5, 8),
        ("E101", 6, 14),
    ]
    assert [type(st).__name__ for st in sound("parama ~ Normal(0, 1)\nifx[t] = 1\n").statements] == ["Equation"] * 2


def test_docs() -> None:
    program = sound(
        "# who\n## The model.\n##  Indented.\n\n## old\n\n## Of a,\n## two lines.\nparam a ~ D  ## not a doc\n"
        "### a banner\ncomponent c() {\n  ## Of out.\n  out 1\n  ## of nothing\n}\n"
    )
    assert program.doc == "The model.\n Indented."
    param, component = program.statements
    assert param.doc == "Of a,\ntwo lines."
    assert isinstance(component, s.Component)
    assert (component.doc, component.body[0].doc) == (None, "Of out.")
    assert [c.text for c in program.comments] == [" who", "# old", "# not a doc", "## a banner", "# of nothing"]


def test_the_text_above_the_header_is_the_models() -> None:
    assert sound("## M\nmodel a\n").doc == "M"
    assert sound("## P\nparam a ~ D\n").doc is None
    assert sound("## P\n\nparam a ~ D\n").doc == "P"
    assert sound("## P\nparam a ~ D\n## M\nmodel m\n").doc == "M"


# ------------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("const a = 1 $", (1, 13)),
        ("\ufeffconst a = 1 $", (1, 13)),
        ("%%ssm nile\nconst a = 1 $", (2, 13)),
        ("# x\r\nconst a = 1 $\r\n", (2, 13)),
        ("# x\rconst a = 1 $\r", (2, 13)),
        ("\tconst a =\t1 $", (1, 14)),
        ("let 变量 = 变量 $", (1, 13)),
        ("let a = [\n  1,\n  2 $,\n]", (3, 5)),
        ("let a =", (1, 8)),
        ("let a =   # more\n\n\n", (1, 8)),
        ("const b = 1\nlet a = \n\n", (2, 8)),
    ],
)
def test_places_are_exact(text: str, where: tuple[int, int]) -> None:
    ((_, *place),) = places(text)
    assert tuple(place) == where


def test_one_broken_statement_never_hides_another() -> None:
    text = "param a ~ (Normal(0, 1)\nobs y\nparam 3\nstate x\ny[t] ~ Normal(x[t], (1\nx[t] ~ Normal(0, 1)\nlet b = )\n"
    program, found = read(text)
    assert [(d.code, d.span.source.position(d.span.start)[0]) for d in found if d.span] == [
        ("E102", 1),
        ("E101", 3),
        ("E102", 5),
        ("E102", 7),
    ]
    assert [type(st).__name__ for st in program.statements] == ["Obs", "State", "Equation"]
    assert [span.text for span in program.broken] == [
        "param a ~ (Normal(0, 1)",
        "param 3",
        "y[t] ~ Normal(x[t], (1",
        "let b = )",
    ]


def test_a_component_that_is_not_closed_ends_before_the_next() -> None:
    program, found = read("component a(x) {\n  out x\ncomponent b(x) {\n  out x\n}\nobs y\n")
    assert [d.code for d in found] == ["E102"]
    assert [type(st).__name__ for st in program.statements] == ["Component", "Component", "Obs"]


# ------------------------------------------------------------------------------------------------------ bounds


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + "(" * 10_000 + "1" + ")" * 10_000,
        "let a = " + "[" * 10_000,
        "let a = " + "]" * 10_000,
        "let a = " + "-" * 10_000 + "1",
        "let a = " + "not " * 10_000 + "b",
        "let a = " + "1^" * 10_000 + "1",
        "let a = " + "1+" * 10_000 + "1",
        "let a = " + "if b then c else " * 2_000 + "1",
        "let a = b" + "'" * 10_000,
        "let a = b" + "[1]" * 10_000,
        "let a = " + "f(" * 190 + "1" + ")" * 190,
        "const a = " + "9" * 10_000,
        "const a = 1e999999999",
        "let a = " + "x" * 60_000,
        "x" * 1_100_000,
        "\n".join(["obs y"] * 21_000),
        "component a() {\n" * 6_000,
        '"' * 10_000,
    ],
    ids=lambda text: f"{text[:14]!r}x{len(text)}",
)
def test_bounds(text: str) -> None:
    parse(Source("warm", "obs y"), Findings())
    begin = time.process_time()
    findings = Findings()
    program = parse(Source("m.ssm", text), findings)
    expand(program, base=None, findings=findings)
    shown = render_text(findings)
    assert findings.has_errors
    assert time.process_time() - begin < 1.0
    assert len(shown) < 20_000


def test_what_is_just_within_the_bounds_goes_through() -> None:
    for text in (
        "let a = " + "(" * 190 + "1" + ")" * 190,
        "let a = " + "[" * 190 + "1" + "]" * 190,
        "let a = " + "+".join(["b"] * 190),
        "let a = " + "b^" * 190 + "2",
    ):
        program = sound(text + "\n")
        formatted = format_text(text + "\n")
        assert sound(formatted) == program
        findings = Findings()
        assert expand(program, base=None, findings=findings) == program


# ------------------------------------------------------------------------------------------------- any text at all


def examine(text: str) -> None:
    """Everything that is ever done to a text that comes from outside."""
    findings = Findings()
    program = parse(Source("m.ssm", text), findings)
    flat = expand(program, base=None, findings=findings)
    assert isinstance(flat, s.Program)
    for diagnostic in findings:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(diagnostic.span.source.text)
    render_text(findings, color=True), render_json(findings), render_github(findings)
    try:
        formatted = format_text(text)
    except SsmError as error:
        assert error.diagnostics
    else:
        assert format_text(formatted) == formatted


SOUND = "".join(path.read_text(encoding="utf-8") for path in PROGRAMS)
PIECES = sorted(
    {
        *"()[]{}~=+-*/^@%'.,:;#\"\n\t\r!<>&|$ ",
        *("..", "##", "model", "param", "out", "for", "in", "if", "1e", "²", "√", "\ufeff", "\x00", "\u2028"),
        *("component c(a) {\n", "\n}\n", "part p = c(1)\n"),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=25).map("".join))
def test_any_text_is_read_or_answered(text: str) -> None:
    examine(text)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_mutated_programs_are_read_or_answered(path: Path) -> None:
    chance = random.Random(path.stem)
    text = path.read_text(encoding="utf-8")
    for _ in range(6):
        mutated = text
        for _ in range(chance.randint(1, 3)):
            at, to = sorted(chance.choices(range(len(mutated) + 1), k=2))
            to = min(to, at + chance.choice([0, 0, 1, 5]))
            piece = chance.choice([*PIECES, "", SOUND[at : at + 12]])
            mutated = mutated[:at] + piece + mutated[to:]
        examine(mutated)


def test_comments_anywhere_survive_formatting() -> None:
    """A comment at the end of any line, or on a line of its own, is kept, and so is the tree."""
    chance = random.Random(0)
    for path in PROGRAMS[::4]:
        lines = path.read_text(encoding="utf-8").splitlines()
        for i in range(len(lines)):
            if chance.random() < 0.4 and not lines[i].startswith("##"):
                lines[i] += chance.choice(["  # note", "\n# note", "\n\n  # note\n\n", "\n### note"])
        text = "\n".join(lines) + "\n"
        formatted = format_text(text)
        assert sound(formatted) == sound(text)
        assert formatted.count("# note") == text.count("# note")
        assert format_text(formatted) == formatted


def test_nothing_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from ssmlang.language.format import format_text\n"
        f"format_text(pathlib.Path({str(STDLIB / 'models' / 'nile.ssm')!r}).read_text())\n"
        "print([m for m in ('jax', 'numpyro', 'sympy', 'numpy', 'pandas', 'arviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
