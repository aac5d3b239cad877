"""Long lines of a report broken at a terminal's width, under the column in which their text begins."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from typing import TextIO

NARROWEST = 60
"""Below this a terminal breaks lines itself."""
DEEPEST = 60
"""The last column that counts as the beginning of a line's text."""
_COLUMN = re.compile(r"\S {2,}(?=\S)")


def columns(stream: TextIO | None = None) -> int | None:
    """The width of the terminal that `stream` (standard output) is; None of a file, a pipe, a narrow terminal."""
    stream = sys.stdout if stream is None else stream
    try:
        if not stream.isatty():
            return None
    except (AttributeError, ValueError):  # a stand-in of a notebook, a closed stream
        return None
    width = shutil.get_terminal_size((100, 24)).columns
    return width if width >= NARROWEST else None


def wrapped(text: str, width: int | None) -> str:
    """Every line of a table in at most `width` columns; as it is where `width` is None."""
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _broken(line, width))


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    begins = len(line) - len(line.lstrip())
    for gap in _COLUMN.finditer(line):
        if gap.end() <= min(DEEPEST, width // 2):
            begins = gap.end()
    verdict = re.match(r" *\S.*?  (?:proved|refuted|unknown) +", line)
    if verdict is not None and verdict.end() <= width // 2:
        begins = verdict.end()
    return textwrap.wrap(line[begins:], width, initial_indent=line[:begins], subsequent_indent=" " * begins,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip
