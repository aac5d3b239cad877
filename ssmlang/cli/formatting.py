"""`ssmlang fmt`: the formatter on files and standard input. Imports nothing heavy."""

from __future__ import annotations

import argparse
import difflib
import sys

from ssmlang.cli.console import count, show_diagnostics
from ssmlang.cli.files import STDIN, display_name, read_text, write_text
from ssmlang.language.diagnostics import Diagnostic, SsmError


def fmt(args: argparse.Namespace) -> int:
    """Format each file in place; a file that cannot be read or parsed is reported and the others are still done."""
    from ssmlang.language.format import format_text

    broken: list[Diagnostic] = []
    changed = []
    left = 0
    for name in args.files:
        try:
            before = read_text(name)
            after = format_text(before, display_name(name))
        except SsmError as error:
            broken += error.diagnostics
            continue
        if before != after:
            changed.append(name)
        left += before == after
        if args.diff:
            sys.stdout.writelines(_diff(before, after, display_name(name)))
        elif name == STDIN and not args.check:
            sys.stdout.write(after)
        elif before != after and not args.check:
            write_text(name, after)
    if broken:
        show_diagnostics(broken, failed=True)
    if args.check or args.diff:
        for name in changed if args.check else ():
            print(f"would format {display_name(name)}", file=sys.stderr)
    elif args.files != [STDIN]:
        print(f"{count(len(changed), 'file')} formatted, {left} left as {'it was' if left == 1 else 'they were'}")
    return 1 if broken or (changed and (args.check or args.diff)) else 0


def _diff(before: str, after: str, name: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} (formatted)")
    return [line if line.endswith("\n") else line + "\n" for line in lines]
