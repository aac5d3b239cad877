"""Diagnostics as text for a terminal, as JSON, and as GitHub annotations; and what a code means."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from ssmlang.language.codes import Code, Example, lookup
from ssmlang.language.diagnostics import Diagnostic, Fix, Label, Severity
from ssmlang.language.excerpt import clean, excerpt
from ssmlang.language.source import Source, Span

MAX_SHOWN = 20

_COLORS: dict[str, str] = {"error": "1;31", "warning": "1;33", "note": "1;36", "bold": "1", "blue": "1;34"}


def render_text(diagnostics: Iterable[Diagnostic], color: bool = False, width: int | None = None) -> str:
    """All diagnostics in the one form for people, at most 20 of them and then a count of the rest.

    `width`: columns in which sentences are broken; None leaves each on its line.

    ```
    error[E101]: ...
      --> nile.ssm:12:7
    12 | the line of the file
       | ^^^^ the place, and a few words
       = why: ...
       = help: ...
    ```
    """
    found = list(diagnostics)
    shown = [_one(diagnostic, color, width) for diagnostic in found[:MAX_SHOWN]]
    if len(found) > MAX_SHOWN:
        shown.append(f"... and {_count(found[MAX_SHOWN:])} more")
    return "\n\n".join(shown)


def _one(diagnostic: Diagnostic, color: bool, columns: int | None) -> str:
    def paint(text: str, how: str) -> str:
        return f"\x1b[{_COLORS[how]}m{text}\x1b[0m" if color and text else text

    severity = diagnostic.severity
    head = f"{severity}[{diagnostic.code}]"
    lines = [paint(head, severity) + paint(f": {clean(diagnostic.message)}", "bold")]
    labels = list(diagnostic.others)
    blocks: list[tuple[Source, list[tuple[Label, bool]]]] = []
    if diagnostic.span is not None:
        blocks.append((diagnostic.span.source, [(Label(diagnostic.span, diagnostic.label), True)]))
    for label in labels:
        for source, marks in blocks:
            if source is label.span.source:
                marks.append((label, False))
                break
        else:
            blocks.append((label.span.source, [(label, False)]))
    rows = [source.position(label.span.start)[0] for source, marks in blocks for label, _ in marks]
    width = len(str(max(rows, default=1)))
    for index, (source, marks) in enumerate(blocks):
        line, column = source.position(marks[0][0].span.start)
        arrow = "-->" if index == 0 else ":::"
        lines.append(" " * width + paint(arrow, "blue") + f" {clean(source.name)}:{line}:{column}")
        lines.extend(excerpt(source, marks, width, lambda text, primary: paint(text, severity if primary else "blue")))
    for word, texts in (("why", diagnostic.why), ("help", diagnostic.help)):
        for text in texts:
            first, *more = clean(text, keep_newlines=True).split("\n")
            if columns is not None and not more and len(first) + width + 5 + len(word) > columns:
                room = columns - width - 5 - len(word)
                first, *more = textwrap.wrap(first, room, break_long_words=False, break_on_hyphens=False)
            lines.append(" " * width + " " + paint("=", "blue") + f" {word}: {first}")
            lines.extend(" " * (width + 5 + len(word)) + line for line in more)
    return "\n".join(lines)


def _count(diagnostics: Sequence[Diagnostic]) -> str:
    kinds: list[Severity] = ["error", "warning", "note"]
    counts = [(sum(d.severity == kind for d in diagnostics), kind) for kind in kinds]
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for n, kind in counts if n)


# ------------------------------------------------------------------------------------------------- for machines


def diagnostic_to_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic as plain data: rows and columns count from 1, columns in code points, ends exclusive."""
    entry = lookup(diagnostic.code)
    return {
        "code": diagnostic.code,
        "name": entry.name if entry else None,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "labels": [
            {"text": label.text, **_place(label.span)}
            for label in ((Label(diagnostic.span, diagnostic.label),) if diagnostic.span else ()) + diagnostic.others
        ],
        "notes": list(diagnostic.why),
        "help": list(diagnostic.help),
        "fix": _fix(diagnostic.fix),
    }


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"filename": None, "location": None, "end_location": None}
    (row, column), (end_row, end_column) = span.source.position(span.start), span.source.position(span.end)
    return {
        "filename": span.source.name,
        "location": {"row": row, "column": column},
        "end_location": {"row": end_row, "column": end_column},
    }


def _fix(fix: Fix | None) -> dict[str, Any] | None:
    if fix is None:
        return None
    edits = [{"content": edit.text, **_place(edit.span)} for edit in fix.edits]
    return {"applicability": "safe" if fix.safe else "unsafe", "message": fix.message, "edits": edits}


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON list with an object for each diagnostic, with the fields of ruff's JSON output and labels, notes, help."""
    return json.dumps([diagnostic_to_dict(d) for d in diagnostics], indent=2, ensure_ascii=False)


def render_github(diagnostics: Iterable[Diagnostic]) -> str:
    """A workflow command of GitHub Actions for each diagnostic: `::error file=...,line=...,col=...::message`."""
    lines = []
    for d in diagnostics:
        place = ""
        if d.span is not None:
            source = d.span.source
            (row, column), (end_row, end_column) = source.position(d.span.start), source.position(d.span.end)
            place = f"file={_github(source.name, True)},line={row},endLine={end_row},col={column}"
            # GitHub refuses an end column on an annotation of several lines.
            place += f",endColumn={end_column}," if row == end_row else ","
        kind = {"error": "error", "warning": "warning", "note": "notice"}[d.severity]
        parts = [d.message, d.label, *(f"why: {w}" for w in d.why), *(f"help: {h}" for h in d.help)]
        text = _github("\n".join(part for part in parts if part))
        lines.append(f"::{kind} {place}title={_github('ssmlang ' + d.code, True)}::{text}")
    return "\n".join(lines)


def _github(text: str, is_property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if is_property else text


# ------------------------------------------------------------------------------------------------- codes explained


def explain(code: str) -> str | None:
    """What a code means, with a wrong and a mended example, as text; None for a code that does not exist."""
    entry = lookup(code)
    if entry is None:
        return None
    shown = code.strip().upper()
    heading = f"{shown} ({entry.name}): {entry.title}"
    parts = [heading, *(textwrap.fill(p, 100) for p in entry.explanation.split("\n\n"))]
    if shown != entry.code:
        parts.append(f"{shown} is {entry.code} as a {'warning' if shown[0] == 'W' else 'note'}.")
    if entry.fixes:
        parts.append(textwrap.fill(f"`ssmlang check --fix` mends: {entry.fixes}.", 100))
    parts += [_example("Wrong", entry, entry.wrong), _example("Mended", entry, entry.mended)]
    return "\n\n".join(parts)


def _example(heading: str, entry: Code, example: Example) -> str:
    lines = [f"{heading}:", ""]
    text = example.text if len(example.text) < 2000 else example.text[:200] + "\n..."
    lines += ["    " + textwrap.shorten(line, 300) if len(line) > 300 else "    " + line for line in text.splitlines()]
    for name, content in example.files.items():
        lines += ["", f"  with {name} beside it:", ""] + ["    " + line for line in content.splitlines()]
    if example.constants:
        lines += ["", "  with constants " + ", ".join(f"{k} = {v}" for k, v in example.constants.items())]
    return "\n".join(lines).rstrip()
