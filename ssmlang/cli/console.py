"""Printing: findings in the form asked for, colour only where someone sees it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from ssmlang.language.diagnostics import Diagnostic
from ssmlang.language.wrapping import columns


def wants_color(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user has not declined colour (https://no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def show_diagnostics(diagnostics: Sequence[Diagnostic], form: str = "text", *, failed: bool = False) -> None:
    """Print findings as `text`, `json` or `github`; text of a failed command goes to standard error."""
    from ssmlang.language.render import render_github, render_json, render_text

    if form == "json":
        print(render_json(diagnostics))
        return
    if not diagnostics:
        return
    if form == "github":
        print(render_github(diagnostics))
        return
    stream = sys.stderr if failed else sys.stdout
    print(render_text(diagnostics, wants_color(stream), columns(stream)), file=stream)


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary_line(diagnostics: Sequence[Diagnostic], files: int) -> str:
    """`2 files: 1 error, 3 warnings`, or `1 file: clean`."""
    parts = [
        count(n, kind) for kind in ("error", "warning", "note") if (n := sum(d.severity == kind for d in diagnostics))
    ]
    return f"{count(files, 'file')}: {', '.join(parts) or 'clean'}"
