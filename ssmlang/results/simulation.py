"""Simulated paths as an xarray Dataset that can be bound again as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ssmlang.data.time import TimeBase
from ssmlang.model.model import Model
from ssmlang.results.labels import labelled, series, variables_of
from ssmlang.results.provenance import plain


def simulation(
    model: Model,
    paths: Mapping[str, Any],
    *,
    time: TimeBase,
    inputs: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Paths {name: (draws, T, *shape)} of states, observations and definitions under their own names.

    The dimension `draw` stands first, and is left out where there is one draw. Discrete values come as labels. `inputs`
    (T, *shape) stand beside them, so that the whole can be bound as data. `params` go to the attributes as JSON.
    """
    known = variables_of(model)
    arrays: dict[str, xr.DataArray] = {}
    for name, values in paths.items():
        values = np.asarray(values)
        variable = known[name]
        kinds = getattr(variable, "values", None)
        if kinds is not None:
            values = labelled(values.astype(float), kinds)
        lead: tuple[str, ...] = ("draw", "time")
        if values.shape[0] == 1:
            values, lead = values[0], ("time",)
        arrays[name] = series(name, values, variable.shape, variable.axes, lead)
    for name, values in (inputs or {}).items():
        arrays[name] = series(name, np.array(values), known[name].shape, known[name].axes, ("time",))
    out = dict(attrs or {})
    if params is not None:
        out["params"] = {k: np.asarray(v).tolist() for k, v in params.items()}
    dataset = xr.Dataset(arrays, attrs=plain(out)).assign_coords(time=time.coordinate())
    if "draw" in dataset.dims:
        dataset = dataset.assign_coords(draw=np.arange(dataset.sizes["draw"]))
    return dataset
