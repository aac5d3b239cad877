"""Dimensions and coordinates of results: the names and labels of the model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ssmlang.model.expr import Axis
from ssmlang.model.model import Model, Values, Variable


def dimensions(name: str, shape: Sequence[int], axes: Sequence[Axis | None]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The dimensions of a variable's entries, and the coordinates of those that have labels.

    A named axis gives its own name, and once more with a trailing `_` where it is repeated; a bare size n is
    `NAME_dim_0` with labels 0..n-1.
    """
    dims: list[str] = []
    coords: dict[str, Any] = {}
    for place, (size, axis) in enumerate(zip(shape, axes)):
        dim = axis.name if axis is not None else f"{name.replace('.', '_')}_dim_{place}"
        while dim in dims:
            dim += "_"
        dims.append(dim)
        labels = np.arange(size) if axis is None else np.asarray(axis.labels)
        coords[dim] = (dim, labels.astype(object) if labels.dtype.kind == "U" else labels)
    return tuple(dims), coords


def entry_names(variables: Mapping[str, Variable]) -> list[str]:
    """The names of all entries, variable after variable, each in C order: the `state` and `obs` coordinates."""
    return [entry for variable in variables.values() for entry in variable.entry_names()]


def labelled(values: np.ndarray, kinds: Values) -> np.ndarray:
    """Positions on an axis as its labels (NaN as the empty label, or NaN where labels are numbers)."""
    if kinds.axis is None:
        return values
    labels = kinds.axis.labels
    missing = np.isnan(values)
    positions = np.where(missing, 0, values).astype(int)
    if not kinds.axis.is_named:
        return np.where(missing, np.nan, np.asarray(labels, float)[positions])
    return np.where(missing, "", np.asarray(labels, object)[positions])


def series(
    name: str,
    values: np.ndarray,
    shape: Sequence[int],
    axes: Sequence[Axis | None],
    lead: Sequence[str] = ("time",),
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """One variable with leading dimensions `lead` (time; or chain, draw, time) and the dimensions of its entries."""
    dims, coords = dimensions(name, shape, axes)
    return xr.DataArray(np.asarray(values), dims=(*lead, *dims), coords=coords, name=name, attrs=dict(attrs or {}))


def variables_of(model: Model) -> dict[str, Variable]:
    """Every named quantity of a model that results may hold."""
    return {
        **model.parameters,
        **model.states,
        **model.observations,
        **model.inputs,
        **model.noises,
        **model.definitions,
    }
