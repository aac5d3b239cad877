"""Tables in text files: CSV as programs, spreadsheets and statistical offices write it."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ssmlang.language.diagnostics import Diagnostic, SsmError

if TYPE_CHECKING:
    import pandas as pd

_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+")
_WHOLE = re.compile(r"[-+]?\d+(?:[eE][-+]?\d+)?")


def read_csv(path: Path) -> pd.DataFrame:
    """The table, its columns named by the first line; a name that occurs twice is left as it is.

    Columns are parted by commas (tabs in `.tsv`); where the first line has none of these, by semicolons or tabs. With
    semicolons a comma in a number is its decimal point, unless it could as well part thousands. Commas that only end
    the lines are nothing. Raises E701 for a file without a line, for rows with more values than names (which pandas
    would read as a table whose first column is no column), and for text that is not UTF-8.
    """
    import pandas as pd

    names, separator = _header(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            frame = pd.read_csv(path, sep=separator, skipinitialspace=True, encoding="utf-8-sig", index_col=False,
                                low_memory=False)  # fmt: skip
        except pd.errors.ParserWarning:
            raise _unreadable(
                path,
                f"its rows have more values than its first line has names, which is `{separator.join(names)[:60]}`",
                "name every column in the first line; a column of row names too "
                "(R writes none with `write.csv(frame, file, row.names = FALSE)`)",
            ) from None
        except UnicodeDecodeError:
            raise _not_unicode(path) from None
        except pd.errors.EmptyDataError:
            raise _unreadable(path, "it is empty") from None
    if len(names) == frame.shape[1]:  # pandas numbers names that occur twice: then the first would be taken unasked
        frame.columns = [n if n and names.count(n) > 1 else c for n, c in zip(names, frame.columns, strict=True)]
    return _with_decimal_commas(frame) if separator == ";" else frame


def _header(path: Path) -> tuple[list[str], str]:
    """The names in the first line that is not blank, and what parts them."""
    open_ = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with open_(path, "rt", encoding="utf-8-sig", newline="") as file:
            line = next((text for text in file if text.strip()), "")
    except UnicodeDecodeError:
        raise _not_unicode(path) from None
    usual = "\t" if path.name.lower().endswith(".tsv") else ","
    marks = (usual, ";", "\t")
    split = lambda mark: next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    found = {mark: [name.strip() for name in split(mark)] for mark in marks}
    if len(found[usual]) > 1:
        return found[usual], usual
    mark = max(found, key=lambda each: len(found[each]))  # the usual one where all give one name
    return found[mark], mark


def _with_decimal_commas(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    for at in range(frame.shape[1]):
        column = frame.iloc[:, at]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        texts = [str(value).strip() for value in column.dropna()]
        commas = [text for text in texts if _DECIMAL_COMMA.fullmatch(text)]
        if not commas or all(_THOUSANDS.fullmatch(text) for text in commas):
            continue
        if all(_DECIMAL_COMMA.fullmatch(text) or _WHOLE.fullmatch(text) for text in texts):
            numbers = pd.to_numeric(column.astype(str).str.strip().str.replace(",", "."), errors="coerce")
            frame.isetitem(at, numbers)
    return frame


def _unreadable(path: Path, why: str, help_: str = "") -> SsmError:
    return SsmError(Diagnostic("E701", f"`{path}` cannot be read", why=(why,), help=(help_,) if help_ else ()))


def _not_unicode(path: Path) -> SsmError:
    return _unreadable(path, "it is not UTF-8 text", "save it as UTF-8 (in a spreadsheet: as `CSV UTF-8`)")
