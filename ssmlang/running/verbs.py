"""What the verbs of a compiled model do with an execution and bound data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.data import Bound
from ssmlang.inference.parameters import validate
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.running.covariances import no_covariance
from ssmlang.running.execution import Execution, Setting, floats, in_double, not_a_number, running, without_noise
from ssmlang.running.kept import keepable
from ssmlang.running.particles import death, died, dies, warn_of_few

if TYPE_CHECKING:
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
    if not rest and len(traced) == len(known):  # nothing is left to be checked
        return {n: traced[n] for n in known}
    with jax.ensure_compile_time_eval():
        stand_ins = {n: model.typical[n] for n in known if n in traced}
        checked = validate(model.spec, model.priors, {**stand_ins, **rest})
    return {**checked, **{n: v for n, v in traced.items() if n in known}}


def traced(params: Mapping[str, Any]) -> bool:
    """Whether some value is that of a function that JAX transforms."""
    return any(isinstance(v, jax.core.Tracer) for v in params.values())


class Likelihood:
    """log p(data | params) of some series, made ready for any parameters."""

    def __init__(self, execution: Execution, bounds: Sequence[Bound]) -> None:
        self.execution, self.bounds = execution, bounds
        self.setting, self.data = execution.setting(bounds), execution.series(bounds)

    @cached_property
    def _compiled(self) -> tuple[Callable[..., Array], Any]:
        own: Any = self.execution
        function = own.judged(self.setting) if self._judged else own.compiled("likelihood", self.setting)
        return function, jax.tree.map(jnp.asarray, self.data)

    def at(self, values: Mapping[str, Any], seed: int = 0) -> Array:
        """The number, computed at once in the precision and on the device entered. Raises E721 and E723."""
        function, data = self._compiled
        found = function(floats(values), self.execution.seeded(data, seed))
        groups = None
        if self._judged:
            groups, found = found, sum((each.sum() for each, _ in found), jnp.zeros(()))
        if np.isnan(found) or (np.isneginf(found) and dies(self.execution.engine)):
            trouble = _undefined(self.execution, self.setting, self.bounds, values, seed)
            if trouble is not None:
                raise SsmError(trouble)
        if groups is not None:
            self._warn(groups)
        return found

    @property
    def _judged(self) -> bool:
        """Whether the engine says how many of its draws a likelihood rests on."""
        return hasattr(self.execution.engine, "judged") and hasattr(self.execution, "judged")

    def _warn(self, groups: Any) -> None:
        for group, (_, ess) in zip(self.data, groups):
            for number, own in zip(group["draw"]["number"], np.asarray(ess)):
                bound = self.bounds[int(number)]
                warn_of_few(self.execution.engine, own[: bound.steps], bound.time.label, stacklevel=5)

    def traced(self, seed: int = 0) -> Callable[[Mapping[str, Any]], Array]:
        """A function of traced parameters, in double precision whatever the caller's."""
        function, quick = (self.execution.likelihood(self.setting, adjoint=a) for a in (False, True))
        data = self.execution.seeded(self.data, seed)
        return in_double(lambda params: function(params, data), lambda params: quick(params, data))


def log_likelihood(
    model: Model,
    execution: Execution,
    bounds: Sequence[Bound],
    params: Mapping[str, Any],
    dtype: str,
    device: str | None,
    seed: int = 0,
) -> Array | np.floating[Any]:
    """log p(data | params); of traced parameters in double precision, handed back in the caller's.

    Else a number in the precision of `dtype`. Where JAX is left in single precision it is NumPy's, for JAX would round
    a double of its own whenever it is added to another.
    """
    make = lambda: Likelihood(execution, bounds)
    values = values_of(model, params)
    if traced(values):
        return make().traced(seed)(values)
    with running(dtype, device):
        key = ("likelihood", tuple(bounds), dtype, device)
        found = (execution.kept.get(key, make) if keepable(bounds) else make()).at(values, seed)
    return found if jax.dtypes.canonicalize_dtype(found.dtype) == found.dtype else found.dtype.type(found)


def _undefined(
    execution: Execution, setting: Setting, bounds: Sequence[Bound], values: Mapping[str, Any], seed: int
) -> Diagnostic | None:
    """E721, with the first row whose density is not a number, or E723, with that in which all particles died; None
    where the parameters allow no initial law, and the likelihood is zero."""
    own = execution.engine
    for i, bound in enumerate(bounds):
        series = execution.seeded(execution.single(bound), seed, i)
        terms = np.asarray(execution.compiled("terms", setting)(floats(values), series))[: bound.steps]
        if np.isnan(terms).any():
            first = bound.time.label(int(np.flatnonzero(np.isnan(terms))[0]))
            return no_covariance(execution.model, values) or not_a_number("log_likelihood", first, own)
        row = death(terms)
        if dies(execution.engine) and row is not None:
            return died(execution.engine, bound.time.label(row))
        if np.isneginf(terms).all():
            return None
    return without_noise(own) if own.requires.process_noise else not_a_number("log_likelihood", "some row", own)


def numpyro_model(model: Model, execution: Execution, bounds: Sequence[Bound]) -> Callable[[], None]:
    """The NumPyro model of the parameters; the likelihood is computed in double precision, whatever the caller's."""
    from ssmlang.inference.model import numpyro_model as build

    if execution.engine.requires.joint:
        from ssmlang.running.general import GeneralExecution
        from ssmlang.running.joint import numpyro_model as together

        assert isinstance(execution, GeneralExecution)
        return together(model, execution, bounds)
    return build(model.priors, Likelihood(execution, bounds).traced())
