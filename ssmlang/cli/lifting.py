"""`ssmlang lift`: look for Koopman coordinates in which a model is linear. Imports no JAX."""

from __future__ import annotations

import argparse

from ssmlang.cli.console import show_diagnostics
from ssmlang.cli.programs import read_program
from ssmlang.cli.values import constants
from ssmlang.typed import Usage

MOST = 12


def lift(args: argparse.Namespace) -> int:
    """Print a lift statement that closes, with its matrix as comments; exit code 1 where none was found."""
    if not 1 <= args.degree <= MOST:
        raise Usage(f"--degree is between 1 and {MOST}")
    if not 0 < args.seconds < float("inf"):
        raise Usage("--seconds is a positive number")
    checked = read_program(args.file, constants(args))
    model = checked.require()
    show_diagnostics([d for d in checked.findings if d.severity != "note"], failed=True)
    from ssmlang.analysis.budget import Budget
    from ssmlang.analysis.closure_proposal import propose
    from ssmlang.analysis.context import Context

    found = propose(Context(model, (), Budget(args.seconds)), args.degree)
    if args.json:
        import json

        print(json.dumps({"model": model.name, "statement": found.statement, "notes": list(found.notes)}, indent=2))
    else:
        print(found)
    return int(found.statement is None)
