"""What can be said of a model before any data are seen: `ssmlang check`, `info`, `report`, `expand`. Imports no JAX."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ssmlang.cli.console import show_diagnostics, summary_line
from ssmlang.cli.files import display_name, write_text
from ssmlang.cli.fixing import FileFixes, check_usage, fix_file, show_fixes
from ssmlang.cli.programs import read_flat, read_program, report_of, verdict
from ssmlang.cli.values import constants
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.typed import Usage

if TYPE_CHECKING:
    from ssmlang.analysis.report import Report
    from ssmlang.model.model import Model


def check(args: argparse.Namespace) -> int:
    """Check each file and print everything found in all of them."""
    given = constants(args)
    if args.data is not None and len(args.files) > 1:
        raise Usage("--data are those of one model: check one file at a time")
    check_usage(args)
    found: list[Diagnostic] = []
    fixes: list[FileFixes] = []
    reports: list[tuple[str, Model, Report]] = []
    for name in args.files:
        try:
            if args.fix:
                fixes.append(fix_file(name, given, args))
            checked = read_program(name, given)
            if checked.model is None:
                found += checked.findings
                continue
            report = report_of(checked, rows=args.rows, data=args.data, time=args.time)
        except SsmError as error:
            found += error.diagnostics
            continue
        found += report.diagnostics
        reports.append((display_name(name), checked.model, report))
    if args.format == "json":
        print(_json(reports, found, fixes if args.fix else None))
    else:
        for fixed in fixes:
            show_fixes(fixed, sys.stdout if args.format == "text" else sys.stderr)
        show_diagnostics(found, args.format)
    if args.format == "text":
        if found:
            print()
        if len(args.files) == 1:
            for _, _, report in reports:
                print(report.body)
        else:
            for name, model, _ in reports:
                print(f"{name}: {verdict(model)}")
        print(summary_line(found, len(args.files)))
    bad = ("error", "warning") if args.strict else ("error",)
    return int(any(d.severity in bad for d in found))


def _json(reports: list[tuple[str, Model, Report]], found: list[Diagnostic], fixes: list[FileFixes] | None) -> str:
    """What docs/checks.md describes."""
    import json

    from ssmlang.analysis.report import SCHEMA
    from ssmlang.language.render import diagnostic_to_dict

    models = [{"file": name, **report.to_dict()} for name, _, report in reports]
    whole = {"schema": SCHEMA, "diagnostics": [diagnostic_to_dict(d) for d in found], "models": models}
    if fixes is not None:
        whole["fixes"] = [fixed.to_dict() for fixed in fixes]
    return json.dumps(whole, indent=2, ensure_ascii=False)


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


def report(args: argparse.Namespace) -> int:
    """Write a page of HTML about a model; findings go to standard error too."""
    from ssmlang.results.html import parameters_of, report_page

    checked = read_program(args.file, constants(args))
    found = report_of(checked, rows=args.rows, data=args.data, time=args.time)
    write_text(args.out, report_page(found.to_dict(), checked.source.text, parameters_of(checked.require())))
    show_diagnostics([d for d in found.diagnostics if d.severity != "note"], failed=True)
    print(f"{args.out}: what is known of {found.model}")
    return int(not found.ok)


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
