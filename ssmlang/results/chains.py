"""Results of discrete states as an xarray Dataset: probabilities of values, and paths as labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from ssmlang.data.time import TimeBase
from ssmlang.model.model import Model, Observation, State
from ssmlang.results.labels import dimensions, entry_names, labelled
from ssmlang.results.labels import series as labelled_series
from ssmlang.results.mixture import PATH
from ssmlang.results.moments import Series
from ssmlang.results.moments import moments as labelled_moments


def chain_dataset(
    model: Model, arrays: Mapping[str, np.ndarray], constant: Mapping[str, np.ndarray], *, time: TimeBase,
    attrs: Mapping[str, Any], keep: Literal["all", "last"] = "all",
) -> xr.Dataset:  # fmt: skip
    """The Dataset of what `discrete` found: `s_probability` (time, ..., values), `s_predicted_probability`, `s_path`.

    Values are the labels of the state's axis, or, for a range of integers, the dimension `s_value`. `mean` and `cov`
    are there where some state takes numbers, NaN for states with labels; moments of observations and definitions as
    for other engines.
    """
    named = [s.values is not None and s.values.axis is not None for s in model.states.values() for _ in range(s.size)]
    at = np.array(named, bool)
    given = dict(arrays)
    for of in ("", "predicted_"):
        if f"{of}mean" in given:
            given[f"{of}mean"] = np.where(at, np.nan, given[f"{of}mean"])
            given[f"{of}cov"] = np.where(at[:, None] | at[None, :], np.nan, given[f"{of}cov"])
    lets = {n: Series(arrays[n], d.axes, arrays.get(f"{n}_sd")) for n, d in model.definitions.items() if n in arrays}
    out = labelled_moments(given, states=entry_names(model.states),
                           observations=entry_names(model.observations), time=time, definitions=lets, attrs=attrs,
                           keep=keep)  # fmt: skip
    rows = slice(-1, None) if keep == "last" else slice(None)
    shown = {name: values[rows] for name, values in arrays.items()}
    out = with_labels(with_states(out, model, shown), model, shown)
    for name, value in constant.items():
        d = model.definitions[name]
        out[name] = labelled_series(name, value, d.shape, d.axes, lead=())
    return out


def with_states(out: xr.Dataset, model: Model, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """With the probabilities of the values of each discrete state, and its most probable path."""
    for s in model.states.values():
        for name in (f"{s.name}_probability", f"{s.name}_predicted_probability"):
            if name in arrays:
                out[name] = _probabilities(name, s, arrays[name])
        if f"{PATH}{s.name}" in arrays:
            out[f"{s.name}_path"] = _path(s, arrays[f"{PATH}{s.name}"])
    return out


def with_labels(out: xr.Dataset, model: Model, arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """With `y_probability` (time, ..., values), and `y_mode` (time, ...), the most probable value, of each observation
    y whose law is given by the probabilities of its values."""
    for y in model.observations.values():
        found = arrays.get(f"{y.name}_probability")
        if found is not None:
            assert y.values is not None
            out[f"{y.name}_probability"] = _probabilities(f"{y.name}_probability", y, found)
            known = ~np.isnan(found).any(axis=-1)
            best = np.where(known, np.argmax(found, axis=-1) + (y.values.lower or 0), np.nan)
            out[f"{y.name}_mode"] = _path(y, best).rename(f"{y.name}_mode")
    return out


def _probabilities(name: str, s: State | Observation, values: np.ndarray) -> xr.DataArray:
    dims, coords = dimensions(s.name, s.shape, s.axes)
    assert s.values is not None
    if s.values.axis is not None:
        dim, labels = s.values.axis.name, np.asarray(s.values.axis.labels)
        while dim in dims:
            dim += "_"
    else:
        dim, labels = f"{s.name}_value", (s.values.lower or 0) + np.arange(values.shape[-1])
    coords[dim] = (dim, labels.astype(object) if labels.dtype.kind == "U" else labels)
    shaped = values.reshape(len(values), *s.shape, values.shape[-1])
    return xr.DataArray(shaped, dims=("time", *dims, dim), coords=coords, name=name)


def _path(s: State | Observation, values: np.ndarray) -> xr.DataArray:
    dims, coords = dimensions(s.name, s.shape, s.axes)
    assert s.values is not None
    shaped = labelled(values.astype(float).reshape(len(values), *s.shape), s.values)
    if s.values.axis is None and not np.isnan(values.astype(float)).any():
        shaped = shaped.astype(int)
    return xr.DataArray(shaped, dims=("time", *dims), coords=coords, name=f"{s.name}_path")
