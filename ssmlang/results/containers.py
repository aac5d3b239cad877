"""The one place that knows which ArviZ is installed: 0.x with InferenceData, or 1.x with xarray's DataTree.

Everything else sees xarray Datasets and a DataTree of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.results.provenance import plain

INTERVAL = 0.9
"""Probability of an interval where the caller names none; equal tails, on both lines of ArviZ."""


def arviz_line() -> int:
    """0 or 1: the major version of the installed ArviZ, by its distribution's metadata."""
    # Not by its attributes: 1.x has an `InferenceData` that only says where it went.
    return int(version("arviz").partition(".")[0])


def arviz() -> Any:
    """The arviz module, imported without its banner."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz as az
    return az


def make_tree(groups: Mapping[str, xr.Dataset], attrs: Mapping[Any, Any] | None = None) -> xr.DataTree:
    """A DataTree with one child a group (empty groups left out); root attributes as text and numbers."""
    tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items() if data is not None})
    tree.attrs.update(plain(attrs or {}))
    return tree


def native(tree: xr.DataTree) -> Any:
    """A DataTree as the installed ArviZ's own container."""
    if arviz_line() >= 1:
        return tree
    # What InferenceData does not know as a group of ArviZ's scheme it takes without a word only if told so.
    groups = {name: child.to_dataset(inherit=False) for name, child in tree.children.items()}
    return arviz().InferenceData(attrs=dict(tree.attrs), warn_on_custom_groups=False, **groups)


def to_tree(results: Any) -> xr.DataTree:
    """Either container as a DataTree."""
    if isinstance(results, xr.DataTree):
        return results
    return make_tree({name: results[name] for name in results.groups()}, results.attrs)


def group(results: Any, name: str) -> xr.Dataset:
    """One group of either container as a Dataset; KeyError where there is none."""
    if isinstance(results, xr.DataTree):
        return results.children[name].to_dataset(inherit=False)
    if name not in results.groups():
        raise KeyError(name)
    return results[name]


_OTHERS = (".csv", ".tsv", ".txt", ".json", ".parquet", ".xlsx", ".pkl", ".npz", ".zarr")


def save(results: Any, path: str | Path) -> None:
    """Write either container to a NetCDF file that both lines of ArviZ (and plain xarray) read. Raises E705."""
    path = Path(path)
    if path.suffix.lower() in _OTHERS:
        raise SsmError(Diagnostic("E705", f"`{path}` is to be a NetCDF file, and its ending says another kind",
                                  help=(f"write `{path.with_suffix('.nc')}`",)))  # fmt: skip
    if not path.parent.is_dir():
        raise SsmError(Diagnostic("E705", f"`{path}` cannot be written: there is no folder `{path.parent}`"))
    tree = _storable(to_tree(results))
    try:
        tree.to_netcdf(path, engine="h5netcdf", mode="w")
    except OSError as error:
        raise SsmError(Diagnostic("E705", f"`{path}` cannot be written", why=(error.strerror or str(error),))) from None


def load(path: str | Path) -> xr.DataTree:
    """The groups of a file that `save` wrote, in memory. Raises E701 if it cannot be read."""
    if not Path(path).is_file():
        raise SsmError(Diagnostic("E701", f"there is no file `{path}`"))
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise SsmError(
            Diagnostic("E701", f"`{path}` is no file of results", why=((str(error).splitlines() or [""])[0][:200],))
        ) from None


def _storable(tree: xr.DataTree) -> xr.DataTree:
    """A copy in which text is of one type that every version of the reader knows."""
    groups: dict[str, xr.Dataset] = {}
    for name, child in tree.children.items():
        data = child.to_dataset(inherit=False)
        new = {n: v.astype(object) for n, v in data.variables.items() if v.dtype.kind in "TU" or _is_extension(v)}
        data = data.assign_coords({n: v for n, v in new.items() if n in data.coords})
        data = data.assign({n: v for n, v in new.items() if n not in data.coords})
        data.attrs = plain(data.attrs)
        groups[name] = data
    return make_tree(groups, tree.attrs)


def _is_extension(variable: xr.Variable) -> bool:
    return not isinstance(variable.dtype, np.dtype)


def interval(data: xr.DataArray | xr.Dataset, prob: float = INTERVAL, dims: Any = ("chain", "draw")) -> Any:
    """The equal-tailed interval that holds `prob`, along a new last dimension `bound` (lower, upper)."""
    tail = (1 - prob) / 2
    kept = [d for d in ([dims] if isinstance(dims, str) else dims) if d in data.dims]
    out = data.quantile([tail, 1 - tail], dim=kept).rename(quantile="bound")
    return out.assign_coords(bound=["lower", "upper"]).transpose(..., "bound")


def summary(results: Any, prob: float = INTERVAL) -> pd.DataFrame:
    """A row for each entry of each posterior variable: mean, sd, the interval's ends, ess and r-hat of ArviZ.

    Columns `mean`, `sd`, `5%`, `95%` (for prob=0.9), `ess_bulk`, `ess_tail`, `r_hat`. The rows bear the names of the
    model file: `sd_level`, `phi[1]`, `P[alive,dead]`.
    """
    posterior = results if isinstance(results, xr.Dataset) else group(results, "posterior")
    posterior = posterior[[n for n in posterior.data_vars if {"chain", "draw"} <= set(posterior[n].dims)]]
    az, tail = arviz(), (1 - prob) / 2
    enough = posterior.sizes["draw"] >= 4
    table: dict[str, xr.Dataset] = {
        "mean": posterior.mean(("chain", "draw")),
        "sd": posterior.std(("chain", "draw"), ddof=1),
        f"{100 * tail:.3g}%": posterior.quantile(tail, ("chain", "draw")),
        f"{100 * (1 - tail):.3g}%": posterior.quantile(1 - tail, ("chain", "draw")),
    }
    if enough:
        with warnings.catch_warnings():  # of a draw that never moves they are NaN
            warnings.simplefilter("ignore")
            table["ess_bulk"] = az.ess(posterior, method="bulk")
            table["ess_tail"] = az.ess(posterior, method="tail")
            if posterior.sizes["chain"] > 1:
                table["r_hat"] = az.rhat(posterior)
    rows: dict[str, dict[str, float]] = {}
    for name in posterior.data_vars:
        array = table["mean"][name]
        for at in np.ndindex(*array.shape):
            labels = [str(array[d].values[i]) if d in array.coords else str(i) for d, i in zip(array.dims, at)]
            entry = f"{name}[{','.join(labels)}]" if labels else str(name)
            rows[entry] = {column: float(data[name].values[at]) for column, data in table.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(table))
