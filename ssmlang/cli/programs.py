"""A model file, or standard input, checked for the command line. Imports no JAX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssmlang.cli.console import count
from ssmlang.cli.files import STDIN, display_name, read_text
from ssmlang.frontend import Checked, check_text
from ssmlang.language.diagnostics import Findings
from ssmlang.language.source import Source
from ssmlang.language.syntax import Program
from ssmlang.model.model import Model

if TYPE_CHECKING:
    from ssmlang.analysis.report import Report


def read_program(name: str, constants: Mapping[str, Any]) -> Checked:
    """Read and check the file `name` (`-`: standard input). Raises E701 where it cannot be read."""
    return check_program(read_text(name), name, constants)


def check_program(text: str, name: str, constants: Mapping[str, Any]) -> Checked:
    """Check a text as that of the file `name`."""
    return check_text(text, name=display_name(name), base=_base(name), constants=constants)


def read_flat(name: str) -> Program:
    """The flat program of a file: read, imports and components written out, names not yet looked up."""
    from ssmlang.language.expand import expand
    from ssmlang.language.parser import parse

    findings = Findings()
    source = Source(display_name(name), read_text(name))
    flat = expand(parse(source, findings), base=_base(name), findings=findings)
    findings.raise_errors()
    return flat


def _base(name: str) -> Path:
    return Path.cwd() if name == STDIN else Path(name).parent


def report_of(
    checked: Checked,
    *,
    rows: int | None = None,
    data: str | None = None,
    time: str | None = None,
) -> Report:
    """What can be said of a model: its parts, what is proved of it, the engines that can run it. Raises SsmError where
    it is not sound.

    `data`: a file, or the name of a data set that ships with ssmlang; or the number of `rows` alone.
    """
    from ssmlang.analysis.report import report
    from ssmlang.model.linear import linear_form

    model = checked.require()
    bound = None
    if data is not None:
        from ssmlang.cli.sources import data_of
        from ssmlang.data import bind

        bound = bind(model, data_of(data), time=time)
    return report(model, linear_form(model), checked.findings, rows=rows, data=bound, source=checked.source)


def verdict(model: Model) -> str:
    """In one line, what a model is made of."""
    counts = [
        (sum(v.size for v in model.states.values()), "state"),
        (sum(v.size for v in model.observations.values()), "observation"),
        (sum(v.size for v in model.parameters.values()), "parameter"),
        (sum(v.size for v in model.inputs.values()), "input"),
    ]
    return ", ".join(count(number, noun) for number, noun in counts if number)
