"""What the tests of the language share: reading texts, and the programs that ship with the package."""

from __future__ import annotations

from pathlib import Path

from ssmlang.language.diagnostics import Diagnostic, Findings
from ssmlang.language.expand import expand
from ssmlang.language.parser import parse
from ssmlang.language.printer import print_program
from ssmlang.language.render import render_text
from ssmlang.language.source import Source
from ssmlang.language.syntax import Program

STDLIB = Path(__file__).resolve().parents[2] / "stdlib"
PROGRAMS = sorted(STDLIB.rglob("*.ssm"))


def read(text: str, name: str = "m.ssm") -> tuple[Program, list[Diagnostic]]:
    """The tree of a text and what was found in it."""
    findings = Findings()
    program = parse(Source(name, text), findings)
    return program, findings.sorted()


def sound(text: str) -> Program:
    """The tree of a text that has nothing wrong."""
    program, found = read(text)
    assert not found, render_text(found)
    return program


def places(text: str) -> list[tuple[str, int, int]]:
    """Code, line and column of everything found."""
    return [(d.code, *d.span.source.position(d.span.start)) for d in read(text)[1] if d.span]


def flatten(text: str, base: Path | None = None) -> tuple[str, list[Diagnostic]]:
    """The flat program as text, and what was found."""
    findings = Findings()
    flat = expand(parse(Source("m.ssm", text), findings), base=base, findings=findings)
    return print_program(flat), findings.sorted()
