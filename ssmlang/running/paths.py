"""Paths of the states drawn given data, in the user's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.running.execution import floats, not_a_number
from ssmlang.running.moments import Moments
from ssmlang.running.on_data import OnData


def with_paths(
    found: xr.Dataset, ready: Moments, arrays: Mapping[str, Any], wanted: Sequence[tuple[Mapping[str, Any], int]],
    seed: int, first: int = 0,
) -> xr.Dataset:  # fmt: skip
    """A Dataset of smoothed moments with `paths` (path, time, state): so many for each of some parameters."""
    drawn = []
    for params, count in wanted:
        drawn.append(drawn_paths(ready, arrays, params, count, seed, first))
        first += count
    paths = np.concatenate(drawn)[:, -found.sizes["time"] :]
    out = found.assign(paths=(("path", "time", "state"), paths))
    return out.assign_coords(path=np.arange(len(paths))).assign_attrs(seed=seed)


def drawn_paths(
    ready: Moments, arrays: Mapping[str, np.ndarray], params: Mapping[str, Any], count: int, seed: int, first: int = 0
) -> Float[np.ndarray, "paths T n"]:
    """`count` paths of the model's own states given the data of `ready`, whose smoothed moments are `arrays`.

    Path k has the key of number `first` + k, however many are drawn. NaN where a state has no value. Raises E722 where
    the data leave a state unknown, E721 where a number is none.
    """
    _settled(ready, arrays)
    execution = ready.execution
    kept = execution.__dict__.setdefault("_paths", {})
    lowering = execution.lowering(ready.setting.latent, False)
    on_data = OnData(execution, lowering, ready.bound)
    key = (ready.setting.latent, on_data.known)
    if key not in kept:
        kept[key] = quickly_compiled(on_data.paths(execution.engine), execution.work)
    numbers = np.arange(first, first + count)
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(numbers)
    paths = np.asarray(kept[key](floats(params), ready.series, keys))
    states = arrays["mean"].shape[1]
    paths = paths[:, : ready.bound.steps, :states]
    bad = np.isnan(paths).any(axis=(0, 2))
    if bad.any():
        raise SsmError(not_a_number("a path of the states", ready.bound.time.label(int(np.flatnonzero(bad)[0]))))
    return np.where(np.isnan(arrays["mean"]), np.nan, paths)


def _settled(ready: Moments, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise E722 for a state of infinite variance."""
    variance = np.diagonal(arrays["cov"], axis1=1, axis2=2) if "cov" in arrays else arrays["sd"]
    if not np.isinf(variance).any():
        return
    row, entry = (int(i) for i in np.argwhere(np.isinf(variance))[0])
    name = ready.lowering.states[entry]
    raise SsmError(Diagnostic(
        "E722", f"no path can be drawn: the data do not settle `{name}` at {ready.bound.time.label(row)}",
        why=("its law there is flat, with an infinite variance",),
        help=("give it a proper `init`, or data that tell of it",),
    ))  # fmt: skip
