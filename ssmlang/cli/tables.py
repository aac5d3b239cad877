"""Results as tables: an xarray Dataset of moments or of draws as a frame, printed or written by a file's ending."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.cli.files import writing
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.typed import Usage

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ENDINGS = (".nc", ".csv", ".parquet", ".json")
SHOWN = 60
"""Rows that a terminal is given; a pipe gets them all."""


def check_ending(path: str | None) -> None:
    """Raise Usage for a file whose ending says nothing, before any work is done."""
    if path is not None and Path(path).suffix not in ENDINGS:
        raise Usage(f"--out {path}: the ending says what is written; it is one of {', '.join(ENDINGS)}")


def deliver(result: xr.Dataset, path: str | None) -> None:
    """Write a result to `path` by its ending, or print it as a table; how its data were read goes to standard error."""
    say_notes(result.attrs)
    if path is None:
        table = frame(result)
        # A table is read: of the quantiles, those that bound nine tenths of an observation's law.
        seen = {f"{name}_q{q}" for name in _observations(result) for q in ("05", "95")}
        show(table[[c for c in table if not re.search(r"_q\d\d$", c) or c in seen]])
        return
    with writing(path):
        suffix = Path(path).suffix
        if suffix == ".nc":
            _storable(result).to_netcdf(path, engine="h5netcdf")
        elif suffix == ".csv":
            frame(result).to_csv(path)
        elif suffix == ".json":
            frame(result).reset_index().to_json(path, orient="records", date_format="iso", double_precision=15)
        else:
            _write_parquet(frame(result), path)
    print(f"{path}: {', '.join(f'{size} x {name}' for name, size in _rows(result))}")


def say_notes(attrs: Mapping[Any, Any]) -> None:
    """Print what was noted as the data were read, on standard error."""
    if "notes" in attrs:
        print(f"note: {attrs['notes']}", file=sys.stderr)


def show(table: pd.DataFrame) -> None:
    """Print a table; on a terminal a long one has its middle left out."""
    shortened = sys.stdout.isatty() and len(table) > SHOWN
    print(table.to_string(max_rows=SHOWN if shortened else None, float_format=_number, na_rep="."))
    if shortened:
        print(f"{len(table) - SHOWN} rows are left out; --out FILE.csv has them all")


def frame(result: xr.Dataset) -> pd.DataFrame:
    """One row for each time (and draw): moments as NAME and NAME_sd, draws under their names (`y[0]`, `fix[east]`)."""
    columns = _moments(result) if "mean" in result or "observed_mean" in result else _entries(result)
    return _assemble(result, columns)


def _moments(result: xr.Dataset) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for prefix, dim in (("", "state"), ("observed_", "obs")):
        if f"{prefix}mean" not in result:
            continue
        mean = result[f"{prefix}mean"].values
        spread = _sd(result, prefix)
        for i, name in enumerate(result[dim].values):
            columns[str(name)] = mean[..., i]
            if spread is not None:
                columns[f"{name}_sd"] = spread[..., i]
            columns |= _quantiles(result, dim, i)
    told = {"mean", "cov", "sd", "quantile"}
    rest = result[[v for v in result.data_vars if str(v).rsplit("_", 1)[-1] not in told and "time" in result[v].dims]]
    return columns | _entries(rest)


def _observations(result: xr.Dataset) -> list[str]:
    return [str(name) for name in result["obs"].values] if "obs" in result.coords else []


def _quantiles(result: xr.Dataset, dim: str, entry: int) -> dict[str, np.ndarray]:
    """`flow_q05`, ...: quantiles of one entry, where the parameters' uncertainty makes its law no normal one."""
    of = "observed_quantile" if dim == "obs" else "state_quantile"
    if of not in result:
        return {}
    values = result[of].transpose("quantile", ..., dim).values[..., entry]
    name = str(result[dim].values[entry])
    return {f"{name}_q{100 * q:02.0f}": column for q, column in zip(result["quantile"].values, values)}


def _sd(result: xr.Dataset, prefix: str) -> np.ndarray | None:
    if f"{prefix}sd" in result:
        return np.asarray(result[f"{prefix}sd"].values)
    if f"{prefix}cov" in result:
        return np.sqrt(np.diagonal(result[f"{prefix}cov"].values, axis1=-2, axis2=-1))
    return None


def _entries(result: xr.Dataset) -> dict[str, np.ndarray]:
    """Every variable's entries as columns of shape (draw, time) or (time,)."""
    columns: dict[str, np.ndarray] = {}
    for name, variable in result.data_vars.items():
        lead = [d for d in ("draw", "time") if d in variable.dims]
        rest = [d for d in variable.dims if d not in lead]
        values = variable.transpose(*lead, *rest).values
        labels = [variable[d].values if d in variable.coords else np.arange(variable.sizes[d]) for d in rest]
        for at in np.ndindex(*(variable.sizes[d] for d in rest)):
            place = ",".join(str(labels[k][i]) for k, i in enumerate(at))
            columns[f"{name}[{place}]" if rest else str(name)] = values[(..., *at)]
    return columns


def _assemble(result: xr.Dataset, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    time = pd.Index(result["time"].values if "time" in result.coords else np.arange(result.sizes["time"]), name="time")
    if "draw" not in result.dims:
        return pd.DataFrame(columns, index=time)
    draws = result.sizes["draw"]
    index = pd.MultiIndex.from_product([range(draws), time], names=["draw", "time"])
    every = {name: np.broadcast_to(values, (draws, len(time))).reshape(-1) for name, values in columns.items()}
    return pd.DataFrame(every, index=index)


def _rows(result: xr.Dataset) -> list[tuple[str, int]]:
    return [(name, result.sizes[name]) for name in ("draw", "time") if name in result.dims]


def _storable(result: xr.Dataset) -> xr.Dataset:
    """NetCDF attributes are texts and numbers; anything else goes in as JSON."""
    plain = {k: v if isinstance(v, str | int | float) else json.dumps(_plain(v)) for k, v in result.attrs.items()}
    return result.assign_attrs(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return np.asarray(value).tolist()


def _write_parquet(table: pd.DataFrame, path: str) -> None:
    try:
        table.to_parquet(path)
    except ImportError:
        raise SsmError(
            Diagnostic("E703", f"{path} cannot be written: Parquet needs pyarrow", help=("pip install pyarrow",))
        ) from None


def _number(value: float) -> str:
    value += 0.0  # of -0.0, what a row without data gives
    return f"{value:.4g}" if abs(value) >= 1e6 or 0 < abs(value) < 1e-3 else f"{value:.4f}"
