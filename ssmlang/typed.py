"""Values as people type them on a command line or after a magic: `p=3`, `phi=0.5,-0.3`, `A=1,0;0,1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Value = Any  # a number, or lists of numbers


class Usage(Exception):
    """What was typed is not of the form that is read: exit code 2 of the command line."""


def pairs(texts: Sequence[str], option: str) -> dict[str, Value]:
    """`NAME=VALUE` texts as a dict; `option` is what messages call them. Raises Usage."""
    found: dict[str, Value] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Usage(f"{option} {text}: write NAME=VALUE, such as {option} phi=0.5,-0.3")
        if name.strip() in found:
            raise Usage(f"{option} {text}: {name.strip()} is given twice")
        try:
            found[name.strip()] = value_of(value)
        except ValueError:
            raise Usage(f"{option} {text}: {value.strip() or 'nothing'} is not a number or a list of numbers") from None
    return found


def value_of(text: str) -> Value:
    """`3` is an int, `0.5` a float, `1,2` a list, `1,0;0,1` rows of a matrix, `1,` a list of one."""
    if ";" in text:
        return [_row(row) for row in text.split(";")]
    if "," in text:
        return _row(text)
    return number(text)


def _row(text: str) -> list[int | float]:
    parts = text.split(",")
    return [number(part) for part in (parts[:-1] if not parts[-1].strip() else parts)]


def number(text: str) -> int | float:
    """`3` is an int, `0.5`, `1e3` and `inf` are floats; anything else a ValueError."""
    try:
        return int(text)
    except ValueError:
        return float(text)
