"""The form of an entry of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Example:
    """A program, or a snippet of Python, that provokes a code or, mended, does not.

    `text` in language "ssm" is checked as a file that lies beside `files` (relative path -> text), under `constants`;
    in language "python" it is run by the tests, and raises SsmError with the code (wrong) or does not (mended).
    """

    text: str
    files: Mapping[str, str] = field(default_factory=dict)
    language: Literal["ssm", "python"] = "ssm"
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """One code: `name` in kebab case, `title` one line, `explanation` a paragraph or two of plain text;
    `fixes` what `ssmlang check --fix` mends of it, where it mends something."""

    code: str
    name: str
    title: str
    explanation: str
    wrong: Example
    mended: Example
    fixes: str = ""
