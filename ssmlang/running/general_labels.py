"""What an engine of nonlinear programs finds, in the terms of the model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from ssmlang.data.time import TimeBase
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.model.model import Model
from ssmlang.model.solved_noises import read_in_own_row
from ssmlang.results.chains import with_labels, with_states
from ssmlang.results.labels import series as labelled_series
from ssmlang.results.mixture import PATH
from ssmlang.results.moments import Series
from ssmlang.results.moments import moments as labelled
from ssmlang.running.execution import floats

FIELDS = ("mean", "cov", "sd", "predicted_mean", "predicted_cov", "predicted_sd", "observed_mean", "observed_cov",
          "log_likelihood", "ess")  # fmt: skip


def named(lowering: NonlinearLowering, arrays: dict[str, np.ndarray], params: Mapping[str, Any]
          ) -> dict[str, np.ndarray]:  # fmt: skip
    """Arrays by name, rows first: definitions, and augmented parameters, under their own names; without predictions
    of states that read the observations of their own row."""
    if read_in_own_row(lowering.model):  # the states ahead of a row's observations are not what its equations give
        for name in ("predicted_mean", "predicted_cov", "predicted_sd"):
            arrays.pop(name, None)
    lets = {"": arrays.pop("definition_mean", None), "_sd": arrays.pop("definition_sd", None)}
    for name in ("marks", "predicted_marks"):
        if name in arrays:
            arrays |= _of_values(lowering, name.replace("marks", "probability"), arrays.pop(name))
    if "best" in arrays:
        best = arrays.pop("best")
        for s in lowering.model.states.values():
            first = lowering.memory.starts["state", s.name, 0]
            arrays[f"{PATH}{s.name}"] = best[:, first : first + s.size]
    at = 0
    for d in lowering.definitions:
        for suffix, each in lets.items():
            if each is not None:
                arrays[d.name + suffix] = each[:, at : at + d.size].reshape(-1, *d.shape)
        at += d.size
    for name in lowering.walks:
        arrays[name] = _median(lowering, name, arrays["mean"], params)
    return arrays


def _of_values(lowering: NonlinearLowering, kind: str, found: np.ndarray) -> dict[str, np.ndarray]:
    """`s_probability` (T, size, values) of each state s with values."""
    out, at = {}, 0
    for s in lowering.valued:
        assert s.values is not None
        count = int(np.ptp(s.values.ends)) + 1
        out[f"{s.name}_{kind}"] = found[:, at : at + s.size * count].reshape(-1, s.size, count)
        at += s.size * count
    return out


def dataset(spec: Model, lowering: NonlinearLowering, arrays: Mapping[str, Any], constant: Mapping[str, np.ndarray],
            time: TimeBase, keep: Any = "all", attrs: Mapping[str, Any] | None = None) -> xr.Dataset:  # fmt: skip
    """The Dataset of what `named` gives; `constant`: definitions without a row."""
    lets = {d.name: Series(arrays[d.name], d.axes, arrays.get(f"{d.name}_sd"))
            for d in lowering.definitions if d.name in arrays}  # fmt: skip
    lets |= {n: Series(arrays[n], spec.parameters[n].axes) for n in lowering.walks if n in arrays}
    arrays = without_label_means(spec, arrays)
    made = labelled({k: v for k, v in arrays.items() if k in FIELDS}, states=lowering.states,
                    observations=lowering.observations, time=time, definitions=lets, attrs=attrs,
                    keep=keep)  # fmt: skip
    shown = {n: v[-made.sizes["time"] :] for n, v in arrays.items()}
    made = with_labels(with_states(made, spec, shown), spec, shown)
    for name, value in constant.items():
        d = spec.definitions[name]
        made[name] = labelled_series(name, value, d.shape, d.axes, lead=())
    return made


def without_label_means(spec: Model, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Moments of observations, NaN for those with labels: a label has no number."""
    out = dict(arrays)
    label = np.array([o.values is not None and o.values.axis is not None and o.values.axis.is_named
                      for o in spec.observations.values() for _ in range(o.size)], bool)  # fmt: skip
    if label.any():
        for name in ("observed_mean", "observed_sd"):
            if name in out:
                out[name] = np.where(label, np.nan, out[name])
        if "observed_cov" in out:
            out["observed_cov"] = np.where(label[:, None] | label, np.nan, out["observed_cov"])
    return out


def _median(lowering: NonlinearLowering, name: str, mean: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """The median of an augmented parameter on its own scale: that of its Gaussian law, carried there."""
    first, walk = lowering.memory.starts["augment", name, 0], lowering.walks[name]
    values = floats(params)
    with jax.enable_x64(True):
        own = jax.vmap(lambda z: walk.transform(z, values))  # type: ignore[arg-type]
        return np.asarray(own(jnp.asarray(mean[:, first : first + walk.size])))
