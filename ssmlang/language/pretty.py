"""Fitting text to a line: brackets that may be opened up, one item a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

WIDTH = 120
INDENT = 2
MAX_INDENT = 60
"""Brackets nested deeper than this are not opened up: blanks would be most of the text."""


@dataclass(frozen=True)
class Bracket:
    """`opener item, item closer`; `wide` asks for one item a line even where all fit on one."""

    opener: str
    items: tuple[Text, ...]
    closer: str
    separator: str = ","
    trailing: bool = True
    """Whether a separator may follow the last item."""
    wide: bool = False


@dataclass(frozen=True)
class Joined:
    """Texts one after the other."""

    parts: tuple[Text, ...]


Text = Union[str, Bracket, Joined]


def join(*parts: Text) -> Text:
    return Joined(parts)


def flat(text: Text) -> str:
    """All on one line."""
    if isinstance(text, str):
        return text
    if isinstance(text, Joined):
        return "".join(flat(part) for part in text.parts)
    return text.opener + f"{text.separator} ".join(flat(item) for item in text.items) + text.closer


def asks_for_lines(text: Text) -> bool:
    """Whether some bracket in it is `wide`."""
    if isinstance(text, Joined):
        return any(asks_for_lines(part) for part in text.parts)
    return isinstance(text, Bracket) and (text.wide or any(asks_for_lines(item) for item in text.items))


def fit(text: Text, indent: int, column: int, tail: int = 0) -> str:
    """The text from `column` on, with brackets opened up where it would pass the width.

    What breaks is decided by the text alone, never by an earlier layout, so that fitting twice changes nothing. `tail`:
    how much stands behind it on its last line before the next chance to break.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, Joined):
        out: list[str] = []
        for index, part in enumerate(text.parts):
            piece = fit(part, indent, column, _until_break(text.parts[index + 1 :], tail))
            column = len(piece) - piece.rfind("\n") - 1 if "\n" in piece else column + len(piece)
            out.append(piece)
        return "".join(out)
    too_long = text.wide or column + len(flat(text)) + tail > WIDTH
    if text.items and too_long and indent < MAX_INDENT:
        inner = indent + INDENT
        last = len(text.items) - 1
        lines = [text.opener]
        for index, item in enumerate(text.items):
            mark = text.separator if index < last or text.trailing else ""
            lines.append(" " * inner + fit(item, inner, inner, len(mark)) + mark)
        return "\n".join([*lines, " " * indent + text.closer])
    between = f"{text.separator} "
    parts: list[Text] = [text.opener]
    for index, item in enumerate(text.items):
        parts += [item, between if index < len(text.items) - 1 else text.closer]
    if not text.items:
        parts.append(text.closer)
    return fit(Joined(tuple(parts)), indent, column, tail)


def _until_break(parts: Sequence[Text], tail: int) -> int:
    width = 0
    for part in parts:
        head, breaks = _head(part)
        width += head
        if breaks:
            return width
    return width + tail


def _head(text: Text) -> tuple[int, bool]:
    """The width up to the first chance to break, and whether there is one."""
    if isinstance(text, str):
        return len(text), False
    if isinstance(text, Bracket):
        return (len(text.opener), True) if text.items else (len(text.opener) + len(text.closer), False)
    width = 0
    for part in text.parts:
        head, breaks = _head(part)
        width += head
        if breaks:
            return width, True
    return width, False
