"""What the verbs of a compiled model do with an execution and bound data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.data import Bound, future_rows
from ssmlang.inference.parameters import validate
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model.expr import references
from ssmlang.results.labels import series as labelled_series
from ssmlang.results.moments import Series
from ssmlang.results.moments import moments as dataset
from ssmlang.results.provenance import provenance
from ssmlang.running.definitions import definitions
from ssmlang.running.execution import Execution, Setting, floats, in_double, not_a_number, running

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
        terms = execution.compiled("terms", setting)(floats(values), execution.single(bound))
        terms = np.asarray(terms)[: bound.steps]
        if np.isnan(terms).any():
            return not_a_number("log_likelihood", bound.time.label(int(np.flatnonzero(np.isnan(terms))[0])))
    return not_a_number("log_likelihood", "some row")


def plain_definitions(model: Model, params: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the definitions without a row (`let F = ...`) at parameters on their own scale; traceable."""
    plain = {n: d.value for n, d in model.spec.definitions.items() if not d.series and d.value is not None}
    kept = {n: v for n, v in plain.items() if not references([v])}
    return dict(zip(kept, evaluate(list(kept.values()), Environment({k: jnp.asarray(v) for k, v in params.items()}))))


class Moments:
    """One verb on one series, made ready: `arrays` for any parameters, and the Dataset of such arrays."""

    def __init__(
        self, model: Model, execution: Execution, verb: Literal["filter", "smooth", "forecast"], bound: Bound, *,
        steps: int = 0, future: Any = None,
    ) -> None:  # fmt: skip
        self.model, self.execution, self.verb = model, execution, verb
        ahead = verb == "forecast"
        self.first = bound.steps if ahead else 0
        self.bound = extended(model, bound, steps, future) if ahead else bound
        self.setting = execution.setting([self.bound], ahead=ahead)
        self.series = execution.single(self.bound)
        self.lowering = execution.lowering(self.setting.latent, True)

    def arrays(self, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Moments by name, of the model's own states and observations; definitions as NAME and NAME_sd."""
        verb: Any = "smooth" if self.verb == "smooth" else "filter"
        found = self.execution.moments(verb, self.setting, self.series, self.bound, params)
        own = definitions(self.model.spec, self.lowering, found, self.bound, params)
        sizes = {"observed": len(self.lowering.observations), "": sum(v.size for v in self.model.spec.states.values())}
        kept = {}
        for name, values in found.items():
            size = sizes["observed" if name.startswith("observed") else ""]
            values = values if values.ndim == 1 else values[:, :size] if values.ndim == 2 else values[:, :size, :size]
            kept[name] = values[self.first :]
        if self.verb == "forecast":
            for name in ("predicted_mean", "predicted_cov", "log_likelihood"):
                kept.pop(name, None)
        for name, let in own.items():
            kept[name] = let.mean[self.first :]
            if let.sd is not None:
                kept[f"{name}_sd"] = let.sd[self.first :]
        return kept

    def dataset(self, arrays: Mapping[str, np.ndarray], *, keep: Literal["all", "last"] = "all", **attrs: Any
                ) -> xr.Dataset:  # fmt: skip
        """The labelled Dataset of `arrays`."""
        lets = {n: Series(arrays[n], d.axes, arrays.get(f"{n}_sd")) for n, d in self.model.spec.definitions.items()
                if n in arrays}  # fmt: skip
        states = self.lowering.states[: sum(v.size for v in self.model.spec.states.values())]
        time = replace(self.bound.time, index=self.bound.time.index[self.first :])
        said = provenance(model=self.model.name, source=self.model.source_text, engine=self.execution.engine.name,
                          verb=self.verb, **attrs)  # fmt: skip
        return dataset(arrays, states=states, observations=self.lowering.observations, time=time, definitions=lets,
                       attrs=said, keep=keep)  # fmt: skip

    def at(
        self, params: Mapping[str, Any], keep: Literal["all", "last"] = "all", *, paths: int = 0, seed: int = 0,
        first: int = 0,
    ) -> xr.Dataset:  # fmt: skip
        """The Dataset for these parameters, with so many `paths` drawn, of which `first` is the first one's number."""
        given = {k: np.asarray(v).tolist() for k, v in params.items()}
        arrays = self.arrays(params)
        found = self.dataset(arrays, keep=keep, params=given)
        if paths:
            from ssmlang.running.paths import with_paths

            found = with_paths(found, self, arrays, [(params, paths)], seed, first)
        for name, value in plain_definitions(self.model, params).items():
            d = self.model.spec.definitions[name]
            found[name] = labelled_series(name, np.asarray(value), d.shape, d.axes, lead=())
        return found


def extended(model: Model, bound: Bound, steps: int, future: Any) -> Bound:
    """A series with the rows to forecast: their inputs given, their observations missing unless known already."""
    coming = future_rows(model.spec, bound, steps, future)
    join = lambda a, b: {n: np.concatenate([a[n], b[n]]) for n in a}
    time = type(bound.time)(bound.time.index.append(coming.time.index), bound.time.step)
    return replace(bound, steps=bound.steps + steps, observations=join(bound.observations, coming.observations),
                   inputs=join(bound.inputs, coming.inputs), time=time)  # fmt: skip


def numpyro_model(model: Model, execution: Execution, bounds: Sequence[Bound]) -> Callable[[], None]:
    """The NumPyro model of the parameters; the likelihood is computed in double precision, whatever the caller's."""
    from ssmlang.inference.model import numpyro_model as build

    setting = execution.setting(bounds)
    function, quick = (execution.likelihood(setting, adjoint=a) for a in (False, True))
    data = execution.series(bounds)

    border = in_double(lambda params: function(params, data), lambda params: quick(params, data))
    return build(model.priors, border)
