"""The groups of a fit's results, and back from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from ssmlang.data import Bound
from ssmlang.data.sources import told
from ssmlang.data.time import TimeBase
from ssmlang.inference.optimise import Optimum
from ssmlang.model.model import Model, Variable
from ssmlang.model.supports import whole_numbers
from ssmlang.results.containers import group
from ssmlang.results.labels import labelled, series
from ssmlang.results.provenance import noted
from ssmlang.running.estimate import Estimate, States


def parameters(model: Model, draws: Mapping[str, np.ndarray]) -> xr.Dataset:
    """The posterior group: (chain, draw, *axes) under the parameters' own names."""
    known = {**model.definitions, **model.parameters}
    arrays = {n: series(n, v, known[n].shape, known[n].axes, ("chain", "draw")) for n, v in draws.items()}
    return _with_draws(xr.Dataset(arrays))


def statistics(stats: Mapping[str, np.ndarray]) -> xr.Dataset:
    """The sample_stats group, under ArviZ's names."""
    return _with_draws(xr.Dataset({n: (("chain", "draw"), v) for n, v in stats.items()}))


def _with_draws(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(chain=np.arange(data.sizes["chain"]), draw=np.arange(data.sizes["draw"]))


def terms(every: Callable[[Any, Any], Any], draws: Mapping[str, np.ndarray], data: Any, steps: int) -> np.ndarray:
    """log p(y_t | y_0..y_{t-1}, params) for each draw: (chain, draw, steps), of one series; `every` gives those of
    stacked draws."""
    lead = next(iter(draws.values())).shape[:2]
    flat = {n: np.asarray(v.reshape(-1, *v.shape[2:]), float) for n, v in draws.items()}
    (stacked,) = data
    single = jax.tree.map(lambda a: np.asarray(a[0]), stacked)
    return np.asarray(every(flat, single))[:, :steps].reshape(*lead, steps)


SEQUENTIAL = "sequential: log p(y_t | y_0..y_{t-1}, params), all observations of a row together"
CONDITIONAL = "conditional: log p(y_t | states of row t, params), all observations of a row together"


def log_likelihood(model: Model, found: Sequence[np.ndarray], times: Sequence[TimeBase],
                   factorisation: str = SEQUENTIAL) -> xr.Dataset:  # fmt: skip
    """The log_likelihood group: a variable of the rows that say anything; several series stand one after another.

    A row without observations, or one spent on a diffuse state, has the term 0 whatever the parameters are, and is left
    out: it is not an observation to ArviZ.
    """
    kept = [(v != 0).any(axis=(0, 1)) for v in found]
    values = np.concatenate([v[:, :, k] for v, k in zip(found, kept)], axis=-1)
    names = list(model.observations)
    name = names[0] if len(names) == 1 else "row_terms"
    attrs = {"factorisation": factorisation}
    if len(found) == 1:
        coords: dict[str, Any] = {"time": times[0].coordinate()[kept[0]]}
        return _with_draws(xr.Dataset({name: (("chain", "draw", "time"), values, attrs)}, coords))
    which = np.concatenate([np.full(k.sum(), i) for i, k in enumerate(kept)])
    rows = np.concatenate([np.flatnonzero(k) for k in kept])
    coords = {"which_series": ("row", which), "row_in_series": ("row", rows)}
    return _with_draws(xr.Dataset({name: (("chain", "draw", "row"), values, attrs)}, coords))


def states(found: States) -> dict[str, xr.Dataset]:
    """Draws of the states, one group a series: the whole memory of each row, for what is asked of the fit later."""
    dims = ("chain", "draw", "row", "entry")
    out = {}
    for i, memory in enumerate(found.memory):
        made = xr.Dataset({"memory": (dims, memory)}, {"draw": np.arange(memory.shape[1]) * found.every})
        made.attrs["every"] = found.every
        out["states" + (f"_{i}" if i else "")] = made
    return out


def states_of(tree: xr.DataTree) -> States | None:
    """What `states` stored, or None."""
    names = [n for n in ("states", *(f"states_{i}" for i in range(1, len(tree.children)))) if n in tree.children]
    if not names:
        return None
    return States([np.asarray(group(tree, n)["memory"].values, float) for n in names],
                  int(group(tree, names[0]).attrs["every"]))  # fmt: skip


def data(model: Model, bound: Bound, suffix: str) -> dict[str, xr.Dataset]:
    """observed_data and constant_data of one series, numbers as the model holds them (labels as positions)."""
    seen = {n: v.astype(np.int64) if n in counts(model, bound) else v for n, v in bound.observations.items()}
    out = {f"observed_data{suffix}": _dataset(model.observations, seen, bound.time)}
    if bound.inputs:
        out[f"constant_data{suffix}"] = _dataset(model.inputs, bound.inputs, bound.time)
    out[f"observed_data{suffix}"].attrs |= {"derived_dt": int(bound.derived_dt), **noted([bound])}
    return out


def counts(model: Model, bound: Bound) -> frozenset[str]:
    """Observations that come back as integers: whole numbers by their laws, of which none is missing (as NaN, which no
    integer can be). ArviZ bins such, and smooths others."""
    return frozenset(n for n in whole_numbers(model) if not np.isnan(bound.observations[n]).any())


def _dataset(variables: Mapping[str, Variable], values: Mapping[str, np.ndarray], time: TimeBase) -> xr.Dataset:
    # Copies, for what a caller does to a Dataset is nothing to the data of the fit.
    arrays = {n: series(n, np.array(v), variables[n].shape, variables[n].axes) for n, v in values.items()}
    return xr.Dataset(arrays).assign_coords(time=time.coordinate())


def bindable(model: Model, bound: Bound, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Observations and inputs in one Dataset that `bind` takes, with what was noted of them: labels as labels."""
    values: dict[str, np.ndarray] = dict(bound.observations)
    for name, variable in model.observations.items():
        if variable.values is not None:
            values[name] = labelled(values[name], variable.values)
    inputs = {n: v for n, v in bound.inputs.items() if not (n == "dt" and bound.derived_dt)}
    found = _dataset({**model.observations, **model.inputs}, {**values, **inputs}, bound.time)
    return found.assign_attrs({**attrs, **noted([bound])})


def bound_of(model: Model, tree: xr.DataTree, suffix: str) -> Bound:
    """The series that `data` stored."""
    observed = group(tree, f"observed_data{suffix}")
    constant = f"constant_data{suffix}"
    inputs = group(tree, constant) if constant in tree.children else xr.Dataset()
    read = lambda d: {str(n): np.asarray(d[n].values, float) for n in d.data_vars}
    time = TimeBase.from_coordinate(observed["time"])
    if time.step == 1 and len(time) and np.array_equal(time.index, np.arange(time.index[0], time.index[0] + len(time))):
        time = TimeBase.rows(len(time), int(time.index[0]))
    derived = bool(observed.attrs.get("derived_dt", 0))
    return Bound(len(time), read(observed), read(inputs), time, told(observed.attrs), derived)


def optimum_attrs(found: Estimate) -> dict[str, Any]:
    """What is said of the search, and the optimum itself, as attributes."""
    attrs = dict(found.attrs)
    if found.optimum is not None:
        attrs["standard_errors"] = _lists(found.optimum.standard_errors)
        attrs["mode"] = _lists(found.optimum.params)
        attrs["unconstrained"] = found.optimum.unconstrained.tolist()
        attrs["covariance"] = found.optimum.covariance.tolist()
        attrs["gain"] = found.optimum.gain
    attrs["estimate_attrs"] = {k: v.item() if isinstance(v, np.generic) else v for k, v in found.attrs.items()}
    return attrs


def _lists(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {n: np.asarray(v).tolist() for n, v in values.items()}


def estimate_of(model: Model, tree: xr.DataTree, method: str) -> Estimate:
    """What `Fit.save` stored of the estimate."""
    posterior = group(tree, "posterior")
    stats = group(tree, "sample_stats") if "sample_stats" in tree.children else xr.Dataset()
    names = [n for n in model.parameters if n in posterior]
    draws = {n: np.asarray(posterior[n].values, float) for n in names} if method not in ("mle", "map") else None
    said = json.loads(str(tree.attrs["estimate_attrs"]))
    optimum = None
    if "mode" in tree.attrs:
        arrays = lambda key: {n: np.asarray(v, float) for n, v in json.loads(str(tree.attrs[key])).items()}
        optimum = Optimum(
            params=arrays("mode"), standard_errors=arrays("standard_errors"), gain=float(tree.attrs["gain"]),
            unconstrained=np.asarray(json.loads(str(tree.attrs["unconstrained"])), float),
            covariance=np.asarray(json.loads(str(tree.attrs["covariance"])), float),
            **{k: said[k] for k in ("log_likelihood", "log_density", "converged", "message", "at_boundary", "starts",
                                    "agreeing")},
        )  # fmt: skip
    return Estimate(draws, {str(n): np.asarray(stats[n].values) for n in stats.data_vars}, optimum, said,
                    states_of(tree))  # fmt: skip
