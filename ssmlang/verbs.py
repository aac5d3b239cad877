"""What the verbs of a compiled model do with an execution and bound data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from ssmlang.data import Bound, future_rows
from ssmlang.definitions import definitions
from ssmlang.execution import Execution, Setting, floats, in_double, not_a_number, running
from ssmlang.inference.parameters import validate
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.results.moments import moments as dataset
from ssmlang.results.provenance import provenance

if TYPE_CHECKING:
    import xarray as xr
    from jax import Array

    from ssmlang.compiled import Model


def values_of(model: Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter values checked; of traced ones the names and shapes alone."""
    traced = {n: v for n, v in params.items() if isinstance(v, jax.core.Tracer)}
    if not traced:
        return validate(model.spec, model.priors, params)
    known = model.priors.parameters
    for name, value in traced.items():
        if name in known and value.shape != known[name].shape:
            raise SsmError(Diagnostic("E443", f"the value of '{name}' has shape {value.shape}, not {known[name].shape}",
                                      known[name].span, "declared here"))  # fmt: skip
    rest = {n: v for n, v in params.items() if n not in traced or n not in known}
    with jax.ensure_compile_time_eval():
        stand_ins = {n: model.typical[n] for n in known if n in traced}
        checked = validate(model.spec, model.priors, {**stand_ins, **rest})
    return {**checked, **{n: v for n, v in traced.items() if n in known}}


def log_likelihood(
    model: Model,
    execution: Execution,
    bounds: Sequence[Bound],
    params: Mapping[str, Any],
    dtype: str,
    device: str | None,
) -> Array:
    """log p(data | params); of traced parameters in double precision, handed back in the caller's."""
    setting = execution.setting(bounds)
    values = values_of(model, params)
    data = execution.series(bounds)
    if any(isinstance(v, jax.core.Tracer) for v in values.values()):
        function, quick = (execution.likelihood(setting, adjoint=a) for a in (False, True))
        return in_double(lambda inside: function(inside, data), lambda inside: quick(inside, data))(values)
    with running(dtype, device):
        found = execution.compiled("likelihood", setting)(floats(values), data)
        if np.isnan(found):
            raise SsmError(_undefined(execution, setting, bounds, values))
    return found


def _undefined(
    execution: Execution, setting: Setting, bounds: Sequence[Bound], values: Mapping[str, Any]
) -> Diagnostic:
    """E721, with the first row whose density is not a number."""
    for bound in bounds:
        (series,) = execution.series([bound])
        one = jax.tree.map(lambda a: a[0], series)
        terms = np.asarray(execution.compiled("terms", setting)(floats(values), one))[: bound.steps]
        if np.isnan(terms).any():
            return not_a_number("log_likelihood", bound.time.label(int(np.flatnonzero(np.isnan(terms))[0])))
    return not_a_number("log_likelihood", "some row")


def moments(
    model: Model,
    execution: Execution,
    verb: Literal["filter", "smooth"],
    bound: Bound,
    params: Mapping[str, Any],
    keep: Literal["all", "last"] = "all",
) -> xr.Dataset:
    """Filtered or smoothed moments of one series."""
    arrays = execution.moments(verb, bound, params)
    return _dataset(model, execution, arrays, bound, params, verb, keep=keep)


def forecast(
    model: Model, execution: Execution, bound: Bound, params: Mapping[str, Any], steps: int, future: Any
) -> xr.Dataset:
    """Moments of the rows after one series."""
    longer = extended(model, bound, steps, future)
    arrays = execution.moments("filter", longer, params, ahead=True)
    for name in ("predicted_mean", "predicted_cov", "log_likelihood"):
        arrays.pop(name, None)
    return _dataset(model, execution, arrays, longer, params, "forecast", first=bound.steps)


def extended(model: Model, bound: Bound, steps: int, future: Any) -> Bound:
    """A series with the rows to forecast: their inputs given, their observations missing unless known already."""
    coming = future_rows(model.spec, bound, steps, future)
    join = lambda a, b: {n: np.concatenate([a[n], b[n]]) for n in a}
    time = type(bound.time)(bound.time.index.append(coming.time.index), bound.time.step)
    return replace(bound, steps=bound.steps + steps, observations=join(bound.observations, coming.observations),
                   inputs=join(bound.inputs, coming.inputs), time=time)  # fmt: skip


def _dataset(
    model: Model,
    execution: Execution,
    arrays: dict[str, np.ndarray],
    bound: Bound,
    params: Mapping[str, Any],
    verb: str,
    *,
    keep: Literal["all", "last"] = "all",
    first: int = 0,
) -> xr.Dataset:
    lowering = execution.lowering(execution.setting([bound], ahead=verb == "forecast").latent, True)
    n, m = sum(v.size for v in model.spec.states.values()), len(lowering.observations)
    own = definitions(model.spec, lowering, arrays, bound, params)
    cut = {"mean": n, "cov": n, "predicted_mean": n, "predicted_cov": n, "observed_mean": m, "observed_cov": m}
    kept = {}
    for name, values in arrays.items():
        size = cut.get(name)
        values = values if size is None else values[:, :size] if values.ndim == 2 else values[:, :size, :size]
        kept[name] = values[first:]
    own = {k: replace(v, mean=v.mean[first:], sd=None if v.sd is None else v.sd[first:]) for k, v in own.items()}
    time = replace(bound.time, index=bound.time.index[first:])
    attrs = provenance(model=model.name, source=model.source_text, engine=execution.engine.name, verb=verb,
                       params={k: np.asarray(v).tolist() for k, v in params.items()})  # fmt: skip
    return dataset(kept, states=lowering.states[:n], observations=lowering.observations, time=time, definitions=own,
                   attrs=attrs, keep=keep)  # fmt: skip


def numpyro_model(model: Model, execution: Execution, bounds: Sequence[Bound]) -> Callable[[], None]:
    """The NumPyro model of the parameters; the likelihood is computed in double precision, whatever the caller's."""
    from ssmlang.inference.model import numpyro_model as build

    setting = execution.setting(bounds)
    function, quick = (execution.likelihood(setting, adjoint=a) for a in (False, True))
    data = execution.series(bounds)

    border = in_double(lambda params: function(params, data), lambda params: quick(params, data))
    return build(model.priors, border)
