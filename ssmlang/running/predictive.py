"""Series drawn anew from the posterior: what ArviZ calls the posterior predictive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import xarray as xr
from numpyro.distributions.transforms import biject_to

from ssmlang.data import Bound
from ssmlang.inference.priors import Site, support_of
from ssmlang.model import expr
from ssmlang.model.model import Model as Spec
from ssmlang.model.model import Parameter, nodes_of
from ssmlang.results.labels import series
from ssmlang.results.provenance import noted
from ssmlang.running.groups import counts

if TYPE_CHECKING:
    from ssmlang.compiled import Model

_APART = 2**20
"""Keeps the keys apart from those of paths, which are numbered from 0."""


def replicated(
    model: Model, bound: Bound, each: Sequence[Mapping[str, Any]], smoothed: xr.Dataset | None, seed: int,
    number: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Observations (chain, draw, time, ...) of a series of the same length with the same inputs, one for each draw of
    the parameters; numbers as the model holds them.

    States are drawn anew, from their first law on. Where there is none, under `Diffuse()`, and for an augmented
    parameter, whose law after the data is what was learned, the first row is that of a path in `smoothed`, (path, time,
    state), one for each draw. What the equations read before the first row is what was observed in it. `number`: that
    of the series, which has draws of its own.
    """
    spec, simulator = model.spec, model._simulator
    first = [_first_rows(spec, simulator.diffuse, smoothed, k, params) for k, params in enumerate(each)]
    given = _observed_first(spec, bound)
    inputs = {n: np.asarray(v, float) for n, v in bound.inputs.items()}
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _APART), number)
    if any(states for _, states in first):  # first values belong to a draw
        drawn = [_one(simulator, jax.random.fold_in(key, k), bound.steps, {**params, **moving},
                      inputs, {**given, **states})
                 for k, (params, (moving, states)) in enumerate(zip(each, first))]  # fmt: skip
        paths = {n: np.concatenate([d[n] for d in drawn]) for n in spec.observations}
    else:
        all_ = [{**params, **moving} for params, (moving, _) in zip(each, first)]
        stacked = {n: np.stack([np.asarray(p[n], float) for p in all_]) for n in all_[0]}
        paths = simulator.run(key, bound.steps, stacked, inputs=inputs, init=given, draws=len(all_))
    whole = counts(spec, bound)
    arrays = {n: series(n, paths[n].astype(np.int64 if n in whole else float)[None], o.shape, o.axes,
                        ("chain", "draw", "time"))
              for n, o in spec.observations.items()}  # fmt: skip
    coords = {"chain": [0], "draw": np.arange(len(each)), "time": bound.time.coordinate()}
    return xr.Dataset(arrays, attrs=noted([bound])).assign_coords(coords)


def needs_paths(model: Model) -> bool:
    """Whether the first row is to come from paths of the states given the data."""
    return bool(model._simulator.diffuse) or any(p.augment for p in model.spec.parameters.values())


def _one(simulator: Any, key: jax.Array, steps: int, params: Mapping[str, Any], inputs: Mapping[str, Any],
         init: Mapping[str, Any]) -> dict[str, np.ndarray]:  # fmt: skip
    single = {n: np.asarray(v, float)[None] for n, v in params.items()}
    found: dict[str, np.ndarray] = simulator.run(key, steps, single, inputs=inputs, init=init, draws=1)
    return found


def _first_rows(
    spec: Spec, diffuse: Sequence[str], smoothed: xr.Dataset | None, k: int, params: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What path k has in row 0: augmented parameters on their own scale, and states without a first law."""
    if smoothed is None:
        return {}, {}
    row = smoothed["paths"].isel(path=k, time=0)
    at = lambda v: row.sel(state=v.entry_names()).values.reshape(v.shape)
    moving = {}
    for p in spec.parameters.values():
        if p.augment:
            whole = set(p.entry_names()) <= set(row["state"].values)
            # A simplex has fewer numbers on its unconstrained scale: there the median stands for the draw.
            moving[p.name] = _natural(p, at(p), params) if whole else smoothed[p.name].isel(time=0).values
    return moving, {n: at(spec.states[n]) for n in diffuse}


def _natural(p: Parameter, z: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    law = Site(p).law({n: jnp.asarray(v) for n, v in params.items()})
    return np.asarray(biject_to(support_of(law))(jnp.asarray(z)))


def _observed_first(spec: Spec, bound: Bound) -> dict[str, np.ndarray]:
    """First values of observations that equations read before there are any, and that have no law there."""
    read = {n for e in spec.equations for sort, n, lag in expr.references(nodes_of(e)) if sort == "obs" and lag != 0}
    own = {t.name for i in spec.initials for t in i.targets}
    return {n: bound.observations[n][0] for n in sorted(read - own) if not np.isnan(bound.observations[n][0]).any()}
