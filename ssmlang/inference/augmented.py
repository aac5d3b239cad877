"""Augmented parameters on their unconstrained scale: the law of the first row, matched in moments to the prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.priors import Site, support_of
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.nonlinear import Walk
from ssmlang.model.model import Model, Parameter

DRAWS = 4096
"""Draws that the moments of a prior on the unconstrained scale are taken over, where they have no closed form."""


def walks_of(model: Model) -> dict[str, Walk]:
    """The augmented parameters of a model. Raises E341 for one without a prior."""
    return {p.name: _walk(p) for p in model.parameters.values() if p.augment}


def _walk(p: Parameter) -> Walk:
    if p.prior is None:
        raise SsmError(Diagnostic("E341", f"parameter '{p.name}' has no prior, and as a state it needs a first law",
                                  p.span, help=(f"give it one: augment param {p.name} ~ ...",)))  # fmt: skip
    site = Site(p)
    shape = _unconstrained_shape(p)
    size = int(np.prod(shape))

    def first(params: Mapping[str, Array]) -> tuple[Array, Array]:
        return _moments(p, site.law(params), params, size)

    def transform(z: Array, params: Mapping[str, Array]) -> Array:
        law = site.law(params)
        return biject_to(support_of(law))(z.reshape(shape)).reshape(p.shape)

    def sample(key: Array, params: Mapping[str, Array]) -> Array:
        law = site.law(params)
        return biject_to(support_of(law)).inv(law.sample(key)).ravel()

    def step(params: Mapping[str, Array]) -> Array:
        assert p.walk is not None
        found = evaluate([p.walk], Environment(params=params))[0]
        return jnp.broadcast_to(found, shape).ravel() if found.size in (1, size) else jnp.max(found)

    return Walk(size, first, transform, step if p.walk is not None and not p.walk.is_zero else None, sample)


def _unconstrained_shape(p: Parameter) -> tuple[int, ...]:
    if p.support.kind == "simplex":
        return (*p.shape[:-1], p.shape[-1] - 1)
    if p.support.kind == "correlation_cholesky":
        return (*p.shape[:-2], p.shape[-1] * (p.shape[-1] - 1) // 2)
    return p.shape


def _moments(p: Parameter, law: Any, params: Mapping[str, Array], size: int) -> tuple[Array, Array]:
    """Mean and covariance on the unconstrained scale: exact for Normal and LogNormal priors, else those of draws of a
    fixed seed, antithetic where the law gives them by its quantiles."""
    assert p.prior is not None
    if p.prior.name in ("Normal", "LogNormal") and not p.support.declared and p.support.kind in ("real", "interval"):
        env = Environment(params=params)
        args: dict[str, Any] = dict(zip(p.prior.args, evaluate(list(p.prior.args.values()), env)))
        loc, scale = args.get("loc", 0.0), args.get("scale", 1.0)
        full = lambda v: jnp.broadcast_to(v, p.shape).astype(float).ravel()
        return full(loc), jnp.diag(full(scale) ** 2)
    support = support_of(law)
    if support is constraints.real or law.event_shape:
        draws = law.sample(jax.random.key(0), (DRAWS,))
        z = biject_to(support).inv(draws).reshape(DRAWS, size)
        mean = z.mean(0)
        return mean, (z - mean).T @ (z - mean) / DRAWS
    levels = (jnp.arange(DRAWS) + 0.5) / DRAWS
    z = jax.vmap(lambda u: biject_to(support).inv(law.icdf(jnp.full(law.batch_shape, u))))(levels).reshape(DRAWS, size)
    return z.mean(0), jnp.diag(z.var(0))
