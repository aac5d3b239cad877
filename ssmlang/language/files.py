"""Text files of models, with a diagnostic for each way that reading one can fail."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from ssmlang.language.diagnostics import Diagnostic, SsmError

SHOWN = 8
"""Neighbours of a missing file that are named."""
TABLES = (".csv", ".tsv")
"""Endings of text files that hold data, and are taken for models where the two are mixed up."""


def read_model_file(path: str | Path) -> str:
    """The text of a model file; line endings stay as they are. Raises E701."""
    text = read_text_file(path, ".ssm")
    if Path(path).suffix.lower() in TABLES:
        raise SsmError(
            Diagnostic("E701", f"{path} is no model file but a table", help=(f"data are given as `--data {path}`",))
        )
    return text


def read_text_file(path: str | Path, ending: str) -> str:
    """The text of a file; where there is none, those beside it with the `ending` are named. Raises E701."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SsmError(
            Diagnostic("E701", f"{path} cannot be read: {reason(error)}", help=_neighbours(path, ending))
        ) from None
    return decoded(data, str(path))


def decoded(data: bytes, name: str) -> str:
    """UTF-8 as text; `name` is what messages call it. Raises E701."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = (f"the byte at offset {error.start} does not belong to any character",)
        raise SsmError(Diagnostic("E701", f"{name} cannot be read: it is not UTF-8 text", why=why)) from None


def reason(error: OSError) -> str:
    """What went wrong with a file, in a few words."""
    return (error.strerror or str(error)).lower()


def _neighbours(path: str | Path, ending: str) -> tuple[str, ...]:
    folder = Path(path).parent
    try:
        there = sorted(p.name for p in folder.iterdir() if p.suffix == ending)
    except OSError:
        return ()
    stems = {Path(name).stem: name for name in there}  # the ending alone makes no two names alike
    close = get_close_matches(Path(path).stem, stems, n=1)
    if close:
        return (f"did you mean {folder / stems[close[0]]}?",)
    what = "model files" if ending == ".ssm" else f"{ending} files"
    return (f"{what} there: {', '.join(there[:SHOWN])}",) if there else ()
