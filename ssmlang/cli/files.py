"""Reading model files and writing results, with a diagnostic for each way that can fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from ssmlang.language.diagnostics import Diagnostic, SsmError

STDIN = "-"


def read_text(name: str) -> str:
    """The text of a model file, or of standard input for `-`. Line endings stay as they are. Raises E701."""
    with _reading(name):
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
        return data.decode("utf-8-sig")


def display_name(name: str) -> str:
    """How messages call the file."""
    return "<stdin>" if name == STDIN else name


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, line endings as in `text`. Raises E705."""
    with writing(path):
        Path(path).write_bytes(text.encode("utf-8"))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise SsmError(
            Diagnostic(
                "E701",
                f"{display_name(name)} cannot be read: it is not UTF-8 text",
                why=(f"the byte at offset {error.start} does not belong to any character",),
            )
        ) from None
    except OSError as error:
        raise SsmError(Diagnostic("E701", f"{name} cannot be read: {_reason(error)}", help=_similar(name))) from None


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn a failure to write `path` into E705."""
    try:
        yield
    except OSError as error:
        raise SsmError(Diagnostic("E705", f"{path} cannot be written: {_reason(error)}")) from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _similar(name: str) -> tuple[str, ...]:
    folder = Path(name).parent
    try:
        neighbours = [p.name for p in folder.iterdir() if p.suffix == ".ssm"]
    except OSError:
        return ()
    close = get_close_matches(Path(name).name, neighbours, n=1)
    return (f"did you mean {folder / close[0]}?",) if close else ()
