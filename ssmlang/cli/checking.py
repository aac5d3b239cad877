"""`ssmlang check`, `info` and `expand`: what can be said of a model before any data are seen. Imports no JAX."""

from __future__ import annotations

import argparse
import sys

from ssmlang.cli.console import show_diagnostics, summary_line
from ssmlang.cli.files import display_name, write_text
from ssmlang.cli.programs import read_flat, read_program, report_of, verdict
from ssmlang.cli.values import constants
from ssmlang.language.diagnostics import Diagnostic, SsmError


def check(args: argparse.Namespace) -> int:
    """Check each file and print everything found in all of them."""
    given = constants(args)
    found: list[Diagnostic] = []
    models = []
    for name in args.files:
        try:
            checked = read_program(name, given)
        except SsmError as error:
            found += error.diagnostics
            continue
        found += checked.findings
        if checked.model is not None:
            models.append((display_name(name), checked.model))
    show_diagnostics(found, args.format)
    if args.format == "text":
        if found:
            print()
        if len(args.files) == 1:
            for _, model in models:
                print(report_of(model))
        else:
            for name, model in models:
                print(f"{name}: {verdict(model)}")
        print(summary_line(found, len(args.files)))
    bad = ("error", "warning") if args.strict else ("error",)
    return int(any(d.severity in bad for d in found))


def info(args: argparse.Namespace) -> int:
    """Print what a model is made of; findings go to standard error."""
    checked = read_program(args.file, constants(args))
    model = checked.require()
    show_diagnostics([d for d in checked.findings if d.severity != "note"], failed=True)
    if args.json:
        import json

        from ssmlang.model.info import describe

        print(json.dumps(describe(model), indent=2))
    else:
        from ssmlang.model.info import info_text

        print(info_text(model))
    return 0


def expand(args: argparse.Namespace) -> int:
    """Print the flat program, or write it to `--out`."""
    from ssmlang.language.printer import print_program

    program = read_flat(args.file)
    text = print_program(program)
    if args.out:
        write_text(args.out, text)
    else:
        sys.stdout.write(text)
    return 0
