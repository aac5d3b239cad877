"""Filtered, smoothed and forecast moments as an xarray Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import xarray as xr

from ssmlang.data.time import TimeBase
from ssmlang.model.expr import Axis
from ssmlang.results.labels import series
from ssmlang.results.provenance import plain

COVARIANCE_LIMIT = 10**8
"""Most numbers that `cov` may hold; beyond, `sd` is given instead."""


@dataclass(frozen=True)
class Series:
    """Values of a `let` (or of an augmented parameter) at each row: `mean` (T, *shape), and `sd` where it is random."""

    mean: np.ndarray
    axes: tuple[Axis | None, ...] = ()
    sd: np.ndarray | None = None


def holds_covariance(steps: int, size: int) -> bool:
    """Whether (steps, size, size) covariances are few enough to be given whole."""
    return steps * size * size <= COVARIANCE_LIMIT


def moments(
    result: Any,
    *,
    states: Sequence[str],
    observations: Sequence[str],
    time: TimeBase,
    definitions: Mapping[str, Series] | None = None,
    attrs: Mapping[str, Any] | None = None,
    keep: Literal["all", "last"] = "all",
    rows: slice = slice(None),
) -> xr.Dataset:
    """The Dataset of an engine's `Filtered` or `Smoothed` (any object or mapping with these fields).

    `mean` (time, state), `cov` (time, state, state_) or `sd` (time, state), `predicted_*`, `observed_mean` (time, obs),
    `observed_cov` (time, obs, obs_), `log_likelihood` (time): those that the engine gave and are not None. `states` and
    `observations` name the entries in the engine's order. `rows`: which of the engine's rows stand in `time` (a
    forecast's are its last). `keep="last"`: the last row alone, and the sum of `log_likelihood` in the attributes.
    """
    steps = len(time)
    given = {f: rows_ for f in _FIELDS if (rows_ := _field(result, f)) is not None}
    given = {f: np.asarray(v)[rows] for f, v in given.items()}
    for name, values in given.items():
        if values.shape[0] != steps:
            raise ValueError(f"{name} has {values.shape[0]} rows, and time {steps}")
    out_attrs = dict(attrs or {})
    if keep == "last":
        if "log_likelihood" in given:
            out_attrs["log_likelihood"] = float(given["log_likelihood"].sum())
        given = {f: v[-1:] for f, v in given.items()}
    coords: dict[str, Any] = {"time": _last(time.coordinate()) if keep == "last" else time.coordinate()}
    data: dict[str, Any] = {}
    labels = {"state": states, "obs": observations}
    for name, values in given.items():
        dim, what = _FIELDS[name]
        if what == "cov" and not holds_covariance(values.shape[0], values.shape[-1]):
            short = name.replace("cov", "sd")
            data[short] = (("time", dim), np.sqrt(np.diagonal(values, axis1=-2, axis2=-1)))
            out_attrs[name] = f"left out, for it would hold more than {COVARIANCE_LIMIT:.0e} numbers; see {short}"
            continue
        dims = {"row": ("time",), "mean": ("time", dim), "sd": ("time", dim), "cov": ("time", dim, dim + "_")}[what]
        data[name] = (dims, values)
    for dim, names in labels.items():
        for twin in (dim, dim + "_"):
            if any(twin in d for d, _ in data.values()):
                coords[twin] = (twin, np.asarray(names, dtype=object))
    if "sd" in given and "cov" not in given:
        few = holds_covariance(steps, given["sd"].shape[-1])
        many = f"it would hold more than {COVARIANCE_LIMIT:.0e} numbers"
        why = "the engine holds no full covariance" if few else many
        out_attrs.setdefault("cov", f"left out, for {why}; see sd")
    dataset = xr.Dataset(data, coords, plain(out_attrs))
    for name, let in (definitions or {}).items():
        for suffix, values in (("", let.mean), ("_sd", let.sd)):
            if values is not None:
                values = np.asarray(values)[rows]
                values = values[-1:] if keep == "last" else values
                dataset[name + suffix] = series(name, values, values.shape[1:], let.axes or (None,) * (values.ndim - 1))
    return dataset


class Template:
    """The labels of a Dataset, for further arrays of the same names and shapes: to make them costs more than a short
    filter."""

    def __init__(self, labelled: xr.Dataset) -> None:
        empty = {name: np.broadcast_to(0.0, values.shape) for name, values in labelled.data_vars.items()}
        self._empty, self._names = labelled.copy(data=empty), list(empty)
        self._direct = _put_together(self._empty)

    @classmethod
    def of(cls, labelled: xr.Dataset, arrays: Mapping[Any, np.ndarray]) -> Template | None:
        """The template of a Dataset made of `arrays`; None where some variable is not one of them as it stands."""
        fits = all(name in arrays and arrays[name].shape == v.shape for name, v in labelled.data_vars.items())
        return cls(labelled) if fits else None

    def dataset(self, arrays: Mapping[Any, np.ndarray], attrs: Mapping[str, Any]) -> xr.Dataset:
        """The Dataset of further `arrays`; `attrs` beside what was said of the first ones."""
        attrs = {**attrs, **self._empty.attrs}
        if self._direct is not None:
            return self._direct(arrays, attrs)
        out = self._empty.copy(data={name: arrays[name] for name in self._names})
        out.attrs = attrs
        return out


Labelling = Callable[[Mapping[Any, np.ndarray], dict[Any, Any]], xr.Dataset]


def _put_together(empty: xr.Dataset) -> Labelling | None:
    """`empty.copy(data=arrays)` with other attributes, in an eighth of its time; None where xarray does not do so.

    `copy` looks at every index again. Here the parts are made anew of the states that they would be pickled by, each
    with dicts of its own; indexes, which cannot be changed, are shared. What comes of it is compared with the outcome
    of `copy` whenever a template is made.
    """
    new, put = object.__new__, object.__setattr__

    def together(arrays: Mapping[Any, np.ndarray], attrs: dict[Any, Any]) -> xr.Dataset:
        variables: dict[Any, xr.Variable] = {}
        for name, kind, state, place in parts:
            made: Any = new(kind)
            variables[name] = made
            for slot, value in state:
                put(made, slot, value.copy() if type(value) is dict else value)
            if place is not None:
                put(made, place, np.asarray(arrays[name]))
        whole: Any = new(xr.Dataset)
        for slot, value in rest:
            put(whole, slot, value.copy() if type(value) in (dict, set) else value)
        put(whole, "_variables", variables)
        put(whole, "_attrs", attrs)
        return cast(xr.Dataset, whole)

    try:
        rest = _state(empty)
        parts = [_part(name, v) for name, v in dict(rest)["_variables"].items()]
        made = together({name: v.values for name, v in empty.data_vars.items()}, dict(empty.attrs))
        alike = made.identical(empty) and list(made.variables) == list(empty.variables) and made.sizes == empty.sizes
        alike = alike and made.encoding == empty.encoding and list(made.xindexes) == list(empty.xindexes)
        alike = alike and all(made.xindexes[name].equals(index) for name, index in empty.xindexes.items())
        alike = alike and all(made[name].encoding == empty[name].encoding for name in empty.variables)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return together if alike else None


def _state(thing: Any) -> list[tuple[str, Any]]:
    """The slots of an object without a dict of its own, as it would be pickled."""
    plain, slots = thing.__reduce_ex__(2)[2]
    if plain is not None:
        raise TypeError(type(thing))
    return list(slots.items())


def _part(name: Any, variable: Any) -> tuple[Any, type, list[tuple[str, Any]], str | None]:
    """A variable's name, kind, state, and the slot of its numbers, if they are not labels."""
    state = _state(variable)
    if isinstance(variable, xr.IndexVariable):
        return name, type(variable), state, None
    (place,) = (slot for slot, value in state if isinstance(value, np.ndarray))
    return name, type(variable), [(slot, value) for slot, value in state if slot != place], place


_FIELDS: dict[str, tuple[str, str]] = {
    "mean": ("state", "mean"),
    "cov": ("state", "cov"),
    "sd": ("state", "sd"),
    "predicted_mean": ("state", "mean"),
    "predicted_cov": ("state", "cov"),
    "predicted_sd": ("state", "sd"),
    "observed_mean": ("obs", "mean"),
    "observed_cov": ("obs", "cov"),
    "observed_sd": ("obs", "sd"),
    "log_likelihood": ("", "row"),
    "ess": ("", "row"),
}


def _field(result: Any, name: str) -> Any:
    return result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)


def _last(time: xr.Variable) -> xr.Variable:
    return time[-1:]


def standard_deviation(dataset: xr.Dataset, of: Literal["", "predicted_", "observed_"] = "") -> xr.DataArray:
    """Standard deviations (time, state) or (time, obs) of a Dataset of moments, from `cov` or `sd`."""
    if f"{of}sd" in dataset:
        return dataset[f"{of}sd"]
    cov = dataset[f"{of}cov"]
    dim = str(cov.dims[1])
    # Rounding can leave the variance of what is known exactly a little below zero.
    diagonal = np.sqrt(np.maximum(np.diagonal(cov.values, axis1=-2, axis2=-1), 0.0))
    return xr.DataArray(diagonal, dims=("time", dim), coords={"time": cov["time"], dim: cov[dim]}, name=f"{of}sd")
