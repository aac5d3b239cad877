"""Residuals of programs that are not linear and Gaussian: what was seen, on the scale of a standard normal law."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.special import ndtri

from ssmlang.data import Bound
from ssmlang.lowering.cumulative import WITHOUT
from ssmlang.model.model import Model as Spec
from ssmlang.results.provenance import noted, provenance
from ssmlang.results.residuals import Innovations, standardized
from ssmlang.results.residuals import residuals as dataset
from ssmlang.running.execution import floats, padded_length

if TYPE_CHECKING:
    from ssmlang.compiled import Model

LEAST = 1e-15
"""A probability closer to zero or one than rounding tells counts as this far from it."""


def quantile_residuals(
    model: Model, execution: Any, bound: Bound, params: Mapping[str, Any], seed: int, number: int
) -> xr.Dataset:
    """Innovations, and residuals of Dunn & Smyth (1996): the normal quantile of the probability, one step ahead, of
    values below what was seen, or, where that value has a probability itself, of a point drawn within it."""
    home, name = execution.moments.split(":")
    ready = getattr(import_module(home), name)(model, execution, "filter", bound)
    drawn = "seed" in inspect.signature(ready.arrays).parameters
    found = ready.judged(params, seed, number) if drawn else ready.arrays(params)
    y = _scored(execution, bound)
    mean = found["observed_mean"]
    cov = found["observed_cov"] if "observed_cov" in found else found["observed_sd"]
    plain = standardized(y, mean, cov)
    moments = execution.engine.requires.moments
    normal = moments and all(e.law is None or e.law.name in ("Normal", "MvNormal")
                             for e in model.spec.equations if e.role == "emission")  # fmt: skip
    said = "by the mean and covariance one step ahead"
    if normal:
        own = plain.standardized
    else:
        series = execution.seeded(ready.series, seed, number)
        own = np.pad(y, ((0, padded_length(len(y)) - len(y)), (0, 0)), constant_values=np.nan)
        below = np.asarray(execution.cumulative(ready.setting)(floats(params), series, own[None], 0)[0])[: bound.steps]
        own = _quantiles(below, y, _without(model.spec), np.random.default_rng([abs(seed), number]))
        # Before a flat start is settled nothing is expected of a row, and nothing is a surprise.
        spread = np.diagonal(cov, axis1=1, axis2=2) if cov.ndim == 3 else cov
        own = np.where(np.isinf(spread), np.nan, own)
        said = "quantile residuals (Dunn & Smyth 1996)"
    given = {k: np.asarray(v).tolist() for k, v in params.items()}
    attrs = provenance(model=model.name, source=model.source_text, engine=execution.engine.name, verb="residuals",
                       params=given, standardized=said, seed=seed, **noted([bound]))  # fmt: skip
    innovations = Innovations(plain.innovation, plain.sd, own)
    names = [n for o in model.spec.observations.values() for n in o.entry_names()]
    return dataset(innovations, observations=names, time=bound.time, attrs=attrs)


def _scored(execution: Any, bound: Bound) -> np.ndarray:
    """The data, NaN where they are missing or not scored."""
    model = execution.model
    y = np.concatenate([bound.observations[n].reshape(bound.steps, -1) for n in model.observations], axis=1)
    if hasattr(execution, "general"):
        marks = execution.general().emissions.conditioned[: bound.steps]
        y[: len(marks)][marks] = np.nan
    return y


def _quantiles(below: np.ndarray, y: np.ndarray, without: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """below: (T, 2, m)."""
    low, high = below[:, 0], below[:, 1]
    u = low + rng.uniform(size=y.shape) * np.maximum(high - low, 0.0)
    z = ndtri(np.clip(u, LEAST, 1 - LEAST))
    return np.where(np.isnan(y) | without, np.nan, z)


def _without(spec: Spec) -> np.ndarray:
    """(m,): entries whose law has no such probabilities."""
    found: dict[tuple[str, int], bool] = {}
    for e in spec.equations:
        if e.role == "emission":
            for target in e.targets:
                for i in target.entries:
                    values = spec.observations[target.name].values
                    found[target.name, i] = values is not None if e.law is None else e.law.name in WITHOUT
    return np.array([found.get((o.name, i), False) for o in spec.observations.values() for i in range(o.size)], bool)
