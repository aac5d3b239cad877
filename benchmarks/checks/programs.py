"""The programs that are checked: those of the standard library, and those whose answers the tests know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "observability": ("tests.analysis.observability_models", "CASES"),
    "stability": ("tests.analysis.stability_models", "CASES"),
    "identifiability": ("tests.analysis.identifiability_models", "KNOWN"),
    "lifts": ("tests.analysis.lifts", "CASES"),
    "nonlinear": ("tests.analysis.nonlinear", "CASES"),
}
"""Where the tests keep their programs: by table the module and the name in it."""


@dataclass(frozen=True)
class Program:
    table: str
    name: str
    text: str
    path: Path | None = None


@dataclass(frozen=True)
class Cold:
    """Processor seconds of the whole command on a program, and what they may be."""

    program: Program
    seconds: float
    bound: float


def library() -> Iterator[Program]:
    """Models and starters that ship with ssmlang."""
    for folder in ("models", "starters"):
        for path in sorted((ROOT / "stdlib" / folder).glob("*.ssm")):
            yield Program(folder, path.stem, path.read_text(encoding="utf-8"), path)


def known() -> Iterator[Program]:
    """The programs of the tests' tables."""
    for table, (module, attribute) in TABLES.items():
        cases: Any = getattr(import_module(module), attribute)
        items = cases.items() if isinstance(cases, dict) else ((c.name, c) for c in cases)
        for name, case in items:
            yield Program(table, name, case.text)
