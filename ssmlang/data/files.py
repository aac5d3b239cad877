"""Data sets in files: CSV, Parquet and NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssmlang.data.csv_files import read_csv
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest

ENDINGS = (".csv", ".csv.gz", ".tsv", ".parquet", ".pq", ".nc", ".nc4")
SHEETS = (".xlsx", ".xls", ".ods")
SHOWN = 8
"""Neighbours of a missing file that are named."""


def read_file(path: str | Path) -> Any:
    """A pandas frame (CSV, TSV, Parquet) or an xarray Dataset (NetCDF).

    Raises E701 if the file is not there or cannot be read, E702 if its ending is none of `ENDINGS`, E703 if a package
    that reads Parquet is missing.
    """
    path = Path(path).expanduser()
    try:
        there = path.is_file()
    except (OSError, ValueError):  # no path at all: too long, or with a null in it
        raise SsmError(Diagnostic("E701", f"`{str(path)[:60]}...` is no path of a file")) from None
    if not there:
        beside = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        raise SsmError(
            Diagnostic(
                "E701",
                f"there is no file `{path}`",
                why=() if path.parent.is_dir() else (f"there is no folder `{path.parent}`",),
                help=_beside(path.name, beside),
            )
        )
    name = path.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz", ".tsv")):
            return read_csv(path)
        if name.endswith((".parquet", ".pq")):
            return _read_parquet(path)
        if name.endswith((".nc", ".nc4")):
            return _read_netcdf(path)
    except SsmError:
        raise
    except Exception as error:  # the readers raise whatever their formats make them
        raise SsmError(
            Diagnostic("E701", f"`{path}` cannot be read", why=(str(error).strip().splitlines()[0][:200],))
            if str(error).strip()
            else Diagnostic("E701", f"`{path}` cannot be read", why=(type(error).__name__,))
        ) from None
    raise SsmError(
        Diagnostic(
            "E702",
            f"the ending of `{path.name}` does not say what kind of table it is",
            help=(
                "save the sheet as CSV"
                if name.endswith(SHEETS)
                else f"name it by one of {', '.join(ENDINGS)}",
            ),
        )
    )


def _beside(name: str, beside: list[str]) -> tuple[str, ...]:
    """What to say of the tables that are there: the one that was meant, or some."""
    tables = sorted(n for n in beside if n.lower().endswith(ENDINGS))
    stems = {n.partition(".")[0]: n for n in reversed(tables)}  # the ending alone makes no two names alike
    near = suggest(name.partition(".")[0], stems)
    if near:
        return (f"did you mean `{stems[near]}`?",)
    return (f"tables there: {', '.join(tables[:SHOWN])}",) if tables else ()


def _read_parquet(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        pass
    try:
        import polars

        return polars.read_parquet(path)
    except ImportError:
        raise SsmError(
            Diagnostic(
                "E703",
                "reading Parquet needs a package that is not installed",
                help=("`pip install pyarrow` (or polars)",),
            )
        ) from None


def _read_netcdf(path: Path) -> Any:
    import xarray as xr

    with open(path, "rb") as file:
        classic = file.read(3) == b"CDF"
    with xr.open_dataset(path, engine="scipy" if classic else "h5netcdf") as dataset:
        return dataset.load()
