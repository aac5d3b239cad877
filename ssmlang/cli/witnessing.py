"""`ssmlang witness`: two settings that the observations cannot tell apart, and their observations."""

from __future__ import annotations

import argparse
import sys

from ssmlang.cli.console import show_diagnostics
from ssmlang.cli.programs import read_program
from ssmlang.cli.values import constants

SAME = 1e-6
"""The relative difference up to which observations count as the same in double precision."""


def witness(args: argparse.Namespace) -> int:
    """Print every witness of a code; exit code 1 where there is none, or where its observations differ."""
    checked = read_program(args.file, constants(args))
    model = checked.require()
    show_diagnostics([d for d in checked.findings if d.severity != "note"], failed=True)
    from ssmlang.analysis.checks import run_checks
    from ssmlang.analysis.context import Context
    from ssmlang.model.linear import linear_form
    from ssmlang.running.witnessing import NotShown, shown

    context = Context(model, linear_form(model))
    wanted = args.code.strip().upper()[1:] if args.code else None
    found = [f for f in run_checks(context) if f.verdict == "refuted" and f.witness is not None
             and (wanted is None or (f.code or "")[1:] == wanted)]  # fmt: skip
    # An assertion that is refuted has the witness of what refutes it.
    unique = [f for i, f in enumerate(found) if not any(f.witness == g.witness for g in found[:i])]
    if not unique:
        what = f"{args.code.strip().upper()} does not apply to this model, or has no witness" if args.code else (
            "nothing that was refuted has a witness")  # fmt: skip
        print(what, file=sys.stderr)
        return 1
    tables, differ = [], False
    for finding in unique:
        try:
            table = shown(context, finding, args.steps)
        except NotShown as why:
            assert finding.witness is not None
            print(f"{finding.property}: {finding.witness.told}\n  not computed: {why}",
                  file=sys.stderr if args.json else sys.stdout)  # fmt: skip
            continue
        differ |= not table.difference <= SAME
        tables.append(table)
    if args.json:
        import json

        print(json.dumps([t.to_dict() for t in tables], indent=2))
    else:
        print("\n\n".join(str(t) for t in tables))
    return int(differ or not tables)
