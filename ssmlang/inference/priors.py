"""The priors of a Model's parameters: laws in the order they depend on each other, and the unconstrained scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax import Array
from jaxtyping import Float
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint
from numpyro.distributions.transforms import Transform, biject_to

from ssmlang.inference.quick import quickly_compiled
from ssmlang.inference.restricted import StationaryRestriction, Truncated, open_interval, stationary_region
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.laws import make
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.expr import Node, parameters
from ssmlang.model.model import Model, Parameter, Support

Params = dict[str, Any]
_VECTOR_KINDS: dict[str, Constraint] = {
    "simplex": constraints.simplex,
    "correlation_cholesky": constraints.corr_cholesky,
    "stationary": stationary_region,
}


@dataclass(frozen=True)
class Site:
    """One parameter as a sample site."""

    parameter: Parameter

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def is_flat(self) -> bool:
        return self.parameter.prior is None

    def depends_on(self) -> set[str]:
        """The parameters that its prior's arguments and its ends read."""
        return parameters(_nodes(self.parameter))

    def ends(self, values: Mapping[str, Any]) -> tuple[Array | float, Array | float]:
        support = self.parameter.support
        env = Environment(params=values, dtype=jnp.result_type(float))
        low = evaluate([support.lower], env)[0] if support.lower is not None else -jnp.inf
        high = evaluate([support.upper], env)[0] if support.upper is not None else jnp.inf
        return low, high

    def law(self, values: Mapping[str, Any]) -> dist.Distribution:
        """The law given the parameters before it; its batch and event shape together are the parameter's shape."""
        parameter, support, shape = self.parameter, self.parameter.support, self.parameter.shape
        prior = parameter.prior
        if prior is None:
            return _flat(support, shape, *self.ends(values))
        env = Environment(params=values, dtype=jnp.result_type(float))
        args = dict(zip(prior.args, evaluate(list(prior.args.values()), env)))
        if support.kind == "stationary" and shape:
            return StationaryRestriction(prior.name, args, shape)
        if support.kind == "stationary":
            return Truncated(prior.name, args, -1.0, 1.0, shape)
        if support.declared:
            low, high = self.ends(values)
            return Truncated(prior.name, args, low, high, shape, low_infinite=_is_infinite(support.lower),
                             high_infinite=_is_infinite(support.upper))  # fmt: skip
        return make(prior.name, args, shape)


def support_of(law: dist.Distribution) -> Constraint:
    """The law's support; one that NumPyro wraps without need is unwrapped, so that its ends can be read."""
    support: Any = law.support
    while isinstance(support, constraints.independent) and support.reinterpreted_batch_ndims == 0:
        support = support.base_constraint
    return support


def _nodes(parameter: Parameter) -> list[Node]:
    found = [n for n in (parameter.support.lower, parameter.support.upper) if n is not None]
    return found + (list(parameter.prior.args.values()) if parameter.prior is not None else [])


def _is_infinite(end: Node | None) -> bool:
    return end is None or (end.value is not None and bool(np.isinf(end.value).all()))


def _flat(support: Support, shape: tuple[int, ...], low: Any, high: Any) -> dist.Distribution:
    if support.kind in _VECTOR_KINDS and shape:
        constraint = _VECTOR_KINDS[support.kind]
    elif support.kind == "stationary":
        constraint = constraints.open_interval(-1.0, 1.0)
    elif support.kind == "unit_circle":
        constraint = constraints.circular
    else:
        constraint = open_interval(low, high, _is_infinite(support.lower), _is_infinite(support.upper))
    cut = len(shape) - constraint.event_dim
    return dist.ImproperUniform(constraint, shape[:cut], shape[cut:], validate_args=False)


class Priors:
    """The sample sites of a model's parameters, augmented ones left out, in an order in which each can be drawn."""

    def __init__(self, model: Model) -> None:
        self.parameters = {p.name: p for p in model.parameters.values() if not p.augment}
        self.sites: dict[str, Site] = {name: Site(self.parameters[name]) for name in _order(self.parameters)}
        for site in self.sites.values():
            _refuse(site)
        self._drawing: dict[int, Callable[..., dict[str, Array]]] = {}

    @property
    def flat(self) -> list[Parameter]:
        """Parameters without a prior."""
        return [p for p in self.parameters.values() if p.prior is None]

    def unconstrained_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes on the unconstrained scale, in the order of the sites."""
        shapes = {}
        for name, site in self.sites.items():
            shape, kind = site.parameter.shape, self._kind(site)
            if kind == "simplex":
                shape = (*shape[:-1], shape[-1] - 1)
            elif kind == "correlation_cholesky":
                shape = (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)
            shapes[name] = shape
        return shapes

    def _kind(self, site: Site) -> str:
        prior = site.parameter.prior
        return DISTRIBUTIONS[prior.name].support if prior is not None else site.parameter.support.kind

    @property
    def size(self) -> int:
        """How many numbers the unconstrained vector has."""
        return sum(int(np.prod(s)) for s in self.unconstrained_shapes().values())

    def unravel(self, vector: Float[Array, " size"]) -> dict[str, Array]:
        """The unconstrained vector as a dict by name."""
        out, at = {}, 0
        for name, shape in self.unconstrained_shapes().items():
            n = int(np.prod(shape))
            out[name], at = vector[at : at + n].reshape(shape), at + n
        return out

    def ravel(self, unconstrained: Mapping[str, Array]) -> Float[Array, " size"]:
        """The inverse of `unravel`."""
        parts = [jnp.ravel(unconstrained[name]) for name in self.sites]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def ravel_params(self, params: Mapping[str, Any]) -> Float[Array, " n"]:
        """All entries of the parameters on their own scale, in the order of the file."""
        parts = [jnp.ravel(jnp.asarray(params[name], float)) for name in self.parameters]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def unravel_params(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse of `ravel_params`."""
        ends = np.cumsum([p.size for p in self.parameters.values()])
        parts = np.split(vector, ends[:-1]) if len(ends) else []
        return {p.name: part.reshape(p.shape) for p, part in zip(self.parameters.values(), parts)}

    def constrain(self, unconstrained: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        """Parameters from the unconstrained scale, with the log-determinant of the map."""
        values, log_det, _ = self._forward(unconstrained, with_density=False)
        return values, log_det

    def evaluate(self, unconstrained: Mapping[str, Array]) -> tuple[dict[str, Array], Array, Array]:
        """Parameters from the unconstrained scale, the log-determinant of the map, and the log prior density of the
        parameters on their own (constrained) scale."""
        return self._forward(unconstrained, with_density=True)

    def _forward(self, unconstrained: Mapping[str, Array], with_density: bool) -> tuple[dict[str, Array], Array, Array]:
        values: dict[str, Array] = {}
        log_det = jnp.zeros((), jnp.result_type(float))
        density = jnp.zeros((), jnp.result_type(float))
        for name, site in self.sites.items():
            law = site.law(values)
            transform = biject_to(support_of(law))
            z = unconstrained[name]
            x = transform(z)
            log_det += jnp.sum(transform.log_abs_det_jacobian(z, x))
            if with_density and not site.is_flat:
                density += jnp.sum(law.log_prob(x))
            values[name] = x
        return self._in_file_order(values), log_det, density

    def _in_file_order(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in self.parameters}

    def unconstrain(self, params: Mapping[str, Any]) -> dict[str, Array]:
        """The unconstrained values of parameters that lie in their supports."""
        return {name: self._transform(site, params).inv(jnp.asarray(params[name], float))
                for name, site in self.sites.items()}  # fmt: skip

    def _transform(self, site: Site, params: Mapping[str, Any]) -> Transform:
        return biject_to(support_of(site.law(params)))

    def log_density(self, params: Mapping[str, Any]) -> Array:
        """The log prior density of parameters on their own scale; flat ones count as zero."""
        terms = [jnp.sum(s.law(params).log_prob(jnp.asarray(params[n], float)))
                 for n, s in self.sites.items() if not s.is_flat]  # fmt: skip
        return sum(terms, start=jnp.zeros(()))

    def sample(self, key: Array, n: int | None = None, *, given: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Draws from the prior, with a leading axis of `n` where it is given; E341 if a parameter has none.

        `given`: values that are not drawn; the others are drawn from their laws given them.
        """
        fixed = dict(given or {})
        self.require_proper("drawing from the prior", [n for n in self.parameters if n not in fixed])

        def one(key: Array, fixed: Mapping[str, Any]) -> dict[str, Array]:
            values: dict[str, Array] = {}
            for k, (name, site) in zip(jax.random.split(key, max(len(self.sites), 1)), self.sites.items()):
                values[name] = jnp.asarray(fixed[name], float) if name in fixed else site.law(values).sample(k)
            return self._in_file_order(values)

        if n is None:
            return one(key, fixed)
        if n not in self._drawing:  # as one program: drawn step by step, each operation would be compiled by itself
            self._drawing[n] = quickly_compiled(
                lambda key, fixed: jax.vmap(lambda k: one(k, fixed))(jax.random.split(key, n)), float(n)
            )
        return self._drawing[n](key, fixed)

    def require_proper(self, purpose: str, names: Sequence[str] | None = None) -> None:
        """Raise E341 naming the parameters (of `names`) without a prior, which `purpose` needs."""
        flat = [p for p in self.flat if names is None or p.name in names]
        if flat:
            raise SsmError([
                Diagnostic(
                    "E341", f"{purpose} needs a prior for '{p.name}'", p.span, "flat, for want of a prior",
                    ("a flat prior cannot be drawn from, and a posterior from it need not exist",),
                    (f"give it one, as in `param {p.name} ~ Normal(0, 1)`, or use method=\"mle\"",),
                )
                for p in flat
            ])  # fmt: skip


def _order(params: Mapping[str, Parameter]) -> list[str]:
    """Names such that each comes after those it reads; the file's order otherwise."""
    done: list[str] = []
    waiting = {name: parameters(_nodes(p)) & params.keys() for name, p in params.items()}
    while waiting:
        ready = [name for name, needs in waiting.items() if needs <= set(done)]
        if not ready:
            spans = [params[name] for name in waiting]
            raise SsmError(Diagnostic("E206", "priors read each other in a circle: " + ", ".join(waiting),
                                      spans[0].span, "part of the circle"))  # fmt: skip
        done.append(ready[0])
        del waiting[ready[0]]
    return done


def _refuse(site: Site) -> None:
    """Raise where a declared support cannot be honoured for the prior that it restricts."""
    parameter = site.parameter
    prior, support = parameter.prior, parameter.support
    if prior is None or not (support.declared or support.kind == "stationary"):
        return
    signature = DISTRIBUTIONS[prior.name]
    truncated = support.declared or not parameter.shape
    if truncated and not signature.has_cdf:
        raise SsmError(Diagnostic(
            "E343", f"{prior.name} cannot be truncated to an interval", prior.span, "has no distribution function",
            ("a truncated prior is normalised by its distribution function",), ("leave out `in (...)`",),
        ))  # fmt: skip
    varying = [a for a, node in prior.args.items() if parameters([node])]
    if support.kind == "stationary" and parameter.shape and varying:
        raise SsmError(Diagnostic(
            "E344", f"the prior of '{parameter.name}' has arguments that are not constant", prior.span,
            f"'{varying[0]}' depends on a parameter",
            ("the mass that such a prior gives to the stationary region has no closed form, and it would vary",),
            ("give the prior constant arguments",),
        ))  # fmt: skip
    fixed = [a for a in varying if a in signature.cdf_constants]
    if truncated and fixed:
        raise SsmError(Diagnostic(
            "E344", f"the prior of '{parameter.name}' has arguments that are not constant", prior.span,
            f"'{fixed[0]}' depends on a parameter",
            (f"the distribution function of {prior.name} has no derivative in '{fixed[0]}'",),
            ("make it a constant, or leave out `in (...)`",),
        ))  # fmt: skip
