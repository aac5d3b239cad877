"""`ssmlang check --fix`: safe fixes applied to model files, and shown."""

from __future__ import annotations

import argparse
import codecs
import difflib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from ssmlang.cli.console import count, wants_color
from ssmlang.cli.files import STDIN, display_name, read_text, write_text
from ssmlang.cli.programs import check_program, report_of
from ssmlang.fixing import Examined, Mended, mend
from ssmlang.language.diagnostics import SsmError
from ssmlang.typed import Usage


@dataclass(frozen=True)
class FileFixes:
    """What was mended in one file."""

    name: str
    mended: Mended
    written: bool

    @property
    def diff(self) -> str:
        """The change as a unified diff; empty where there is none."""
        lines = difflib.unified_diff(
            self.mended.before.splitlines(True), self.mended.after.splitlines(True), self.name, f"{self.name} (fixed)"
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.name,
            "written": self.written,
            "applied": [asdict(a) for a in self.mended.applied],
            "refused": [asdict(a) for a in self.mended.refused],
            "diff": self.diff,
        }


def check_usage(args: argparse.Namespace) -> None:
    """Raise Usage where `--fix` and `--diff` cannot be done."""
    if args.diff and not args.fix:
        raise Usage("--diff: it shows what --fix would change; write --fix --diff")
    if args.fix and STDIN in args.files:
        raise Usage("--fix: standard input cannot be mended; name a file")


def fix_file(name: str, constants: Mapping[str, Any], args: argparse.Namespace) -> FileFixes:
    """Mend one file in place, or with `--diff` only say how. Raises E701, E705 where it cannot be read or written."""
    text = read_text(name)
    mark = "\ufeff" if Path(name).read_bytes().startswith(codecs.BOM_UTF8) else ""

    def examine(text: str, whole: bool) -> Examined:
        checked = check_program(text, name, constants)
        found = checked.findings
        if whole and checked.model is not None:
            try:
                found = report_of(checked, rows=args.rows, data=args.data, time=args.time).diagnostics
            except SsmError as error:  # of the data: not for the file to mend
                found = (*found, *error.diagnostics)
        return checked.source, found

    mended = mend(text, examine)
    changed = mended.after != mended.before and not args.diff
    if changed:
        write_text(name, mark + mended.after)
    return FileFixes(display_name(name), mended, changed)


def show_fixes(fixed: FileFixes, stream: TextIO = sys.stdout) -> None:
    """A line for each fix, and the change as a diff."""
    from rich.console import Console
    from rich.text import Text

    color = wants_color(stream)
    console = Console(file=stream, highlight=False, no_color=not color, force_terminal=color, soft_wrap=True)
    mended = fixed.mended
    if not mended.applied and not mended.refused:
        return
    for done, what, style in ((mended.applied, "fixed", "green"), (mended.refused, "left", "yellow")):
        for a in done:
            why = "" if what == "fixed" else " (there would be more errors)"
            word = "would fix" if what == "fixed" and not fixed.written else what
            console.print(Text.assemble((word, style), f" {fixed.name}:{a.line}:{a.column}: {a.code} {a.message}{why}"))
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in fixed.diff.splitlines():
        console.print(Text(line, style=styles.get(line[:1], "")))
    if fixed.written:
        console.print(Text(f"{count(len(mended.applied), 'place')} of {fixed.name} mended"))
    console.print()
