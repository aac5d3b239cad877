"""Reading model files and writing results, with a diagnostic for each way that can fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.files import decoded, read_model_file, reason

STDIN = "-"


def read_text(name: str) -> str:
    """The text of a model file, or of standard input for `-`. Line endings stay as they are. Raises E701."""
    return decoded(sys.stdin.buffer.read(), display_name(name)) if name == STDIN else read_model_file(name)


def display_name(name: str) -> str:
    """How messages call the file."""
    return "<stdin>" if name == STDIN else name


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, line endings as in `text`. Raises E705."""
    with writing(path):
        Path(path).write_bytes(text.encode("utf-8"))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn a failure to write `path` into E705."""
    try:
        yield
    except OSError as error:
        raise SsmError(Diagnostic("E705", f"{path} cannot be written: {reason(error)}")) from None
