"""Lines of a source with places underlined, as a terminal shows them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from ssmlang.language.diagnostics import Label
from ssmlang.language.source import Source

TAB = 4
MAX_WIDTH = 160


def clean(text: str, keep_newlines: bool = False) -> str:
    """The text without characters that could steer a terminal."""
    return "".join(
        ch if ch.isprintable() or (keep_newlines and ch == "\n") else " " if ch in "\t\n\r" else "\ufffd" for ch in text
    )


def cell_width(ch: str) -> int:
    """How many columns of a terminal a character takes: 2 for wide ones, 0 for combining ones."""
    if unicodedata.combining(ch) or unicodedata.category(ch) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(ch) in ("W", "F") else 1


def excerpt(
    source: Source, marks: Sequence[tuple[Label, bool]], gutter: int, paint: Callable[[str, bool], str]
) -> list[str]:
    """The lines that hold `marks` (a label, and whether it is the main one), each followed by its underlines.

    A span of several lines is shown by its first. Lines between that are not shown leave a line of dots.
    """
    by_line: dict[int, list[tuple[Label, bool]]] = {}
    for label, primary in marks:
        by_line.setdefault(source.position(label.span.start)[0], []).append((label, primary))
    out: list[str] = []
    previous = None
    for number in sorted(by_line):
        if previous is not None and number > previous + 1:
            out.append("...")
        previous = number
        here = by_line[number]
        text = source.line(number)
        columns = [_columns(source, label, len(text)) for label, _ in here]
        cut = max(0, columns[0][0] - MAX_WIDTH) if len(text) > 10 * MAX_WIDTH else 0
        cells = _cells(text[cut : cut + 4 * MAX_WIDTH])
        columns = [(max(0, first - cut), min(max(0, last - cut), len(cells))) for first, last in columns]
        offset, shown = _window(cells, columns[0])
        out.append(f"{number:>{gutter}} | {shown}".rstrip())
        for (label, primary), (first, last) in zip(here, columns, strict=True):
            before = sum(width for _, width in cells[offset:first]) if first >= offset else 0
            before += 3 if offset else 0
            length = max(1, sum(width for _, width in cells[max(first, offset) : last]))
            line = ("^" if primary else "-") * min(length, max(1, MAX_WIDTH - before))
            line += f" {clean(label.text)}" if label.text else ""
            out.append(" " * gutter + " | " + " " * before + paint(line, primary))
    return out


def _cells(line: str) -> list[tuple[str, int]]:
    """What each character of the line is shown as, and the columns it takes."""
    cells = []
    column = 0
    for ch in line:
        if ch == "\t":
            width = TAB - column % TAB
            cells.append((" " * width, width))
        elif ch.isprintable() or unicodedata.combining(ch):
            width = cell_width(ch)
            cells.append((ch, width))
        else:
            width = 1
            cells.append(("\ufffd", 1))
        column += width
    return cells


def _columns(source: Source, label: Label, length: int) -> tuple[int, int]:
    """First and one past the last character of the label's place on its first line, counted from 0."""
    row, column = source.position(label.span.start)
    end_row, end_column = source.position(label.span.end)
    last = end_column - 1 if end_row == row else length
    return column - 1, min(max(last, column - 1), length)


def _window(cells: Sequence[tuple[str, int]], place: tuple[int, int]) -> tuple[int, str]:
    """The part of a very long line to show: the index of its first character, and its text."""
    if sum(width for _, width in cells) <= MAX_WIDTH:
        return 0, "".join(text for text, _ in cells)
    offset = max(0, place[0] - MAX_WIDTH // 4)
    offset = 0 if offset < 4 else offset
    end = offset + MAX_WIDTH - 6
    text = "".join(text for text, _ in cells[offset:end])
    return offset, ("..." if offset else "") + text + ("..." if end < len(cells) else "")
