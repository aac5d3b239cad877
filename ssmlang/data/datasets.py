"""Small real data sets that ship with the package."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = files("ssmlang.data") / "csv"


@cache
def _sources() -> dict[str, dict[str, Any]]:
    return tomllib.loads((_FOLDER / "sources.toml").read_text(encoding="utf-8"))


def names() -> list[str]:
    """The names that `load` knows."""
    return sorted(_sources())


def load(name: str) -> pd.DataFrame:
    """A data set as a table with dates or years as its index. Raises E704 for an unknown name."""
    import pandas as pd

    _entry(name)
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, index_col=0)
    if frame.index.name == "date":
        frame.index = pd.DatetimeIndex(pd.to_datetime(frame.index.to_series(), format="%Y-%m-%d").array, name="date")
    return frame


def read_text(name: str) -> str:
    """A data set as the text of its CSV file, to be written to a file of one's own. Raises E704 for an unknown name."""
    _entry(name)
    return (_FOLDER / f"{name}.csv").read_text(encoding="utf-8")


def describe(name: str) -> str:
    """What a data set holds, its columns, source and licence. Raises E704 for an unknown name."""
    entry = _entry(name)
    columns = "\n".join(f"  {column}: {meaning}" for column, meaning in entry["columns"].items())
    return (
        f"{name}: {entry['title']}\n{columns}\n"
        f"source: {entry['source']}\nlicence: {entry['licence']}\nchecked against: {entry['checked']}"
    )


def _entry(name: str) -> dict[str, Any]:
    known = _sources()
    if name not in known:
        guess = did_you_mean(name, known)
        raise SsmError(
            Diagnostic(
                "E704",
                f"no data set `{name}` ships with ssmlang",
                help=((guess,) if guess else ()) + (f"there are {', '.join(sorted(known))}",),
            )
        )
    return known[name]
