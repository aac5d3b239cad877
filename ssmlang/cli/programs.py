"""From a model file to its flat program and its Model, with everything found on the way. Imports no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssmlang.cli.console import count
from ssmlang.cli.files import STDIN, display_name, read_text
from ssmlang.language.diagnostics import Diagnostic, Findings
from ssmlang.language.source import Source
from ssmlang.language.syntax import Program
from ssmlang.model.model import Model


@dataclass(frozen=True)
class Checked:
    """`program`: imports and components written out. `model`: None where an error was found, or was not asked for."""

    program: Program
    model: Model | None
    findings: tuple[Diagnostic, ...]


def read_program(name: str, constants: Mapping[str, Any], *, expand_only: bool = False) -> Checked:
    """Read and check the file `name` (`-`: standard input). Raises E701 where it cannot be read."""
    from ssmlang.language.expand import expand
    from ssmlang.language.parser import parse

    findings = Findings()
    source = Source(display_name(name), read_text(name))
    base = Path.cwd() if name == STDIN else Path(name).resolve().parent
    flat = expand(parse(source, findings), base=base, findings=findings)
    model = None
    if not expand_only:
        from ssmlang.model.elaborate import elaborate

        stem = "model" if name == STDIN else Path(name).stem
        model = elaborate(flat, name=stem, findings=findings, constants=constants)
    return Checked(flat, model, tuple(findings.sorted()))


def verdict(model: Model) -> str:
    """In one line, what a model is made of."""
    counts = [
        (sum(v.size for v in model.states.values()), "state"),
        (sum(v.size for v in model.observations.values()), "observation"),
        (sum(v.size for v in model.parameters.values()), "parameter"),
        (sum(v.size for v in model.inputs.values()), "input"),
    ]
    return ", ".join(count(number, noun) for number, noun in counts if number)
