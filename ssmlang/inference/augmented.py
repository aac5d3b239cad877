"""Augmented parameters on their unconstrained scale: the law of the first row, matched in moments to the prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions.transforms import biject_to

from ssmlang.inference.priors import Site, support_of
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.nonlinear import Walk
from ssmlang.model.model import Model, Parameter

DRAWS = 4096
"""Draws that the moments of a joint prior on the unconstrained scale are taken over."""
NODES = 2001
"""Points of the quadrature of a law of one number."""
REACH = 30.0
"""Standard deviations that the last grid spans to either side: tails on a log scale are exponential."""


def walks_of(model: Model) -> dict[str, Walk]:
    """The augmented parameters of a model. Raises E341 for one without a prior."""
    return {p.name: _walk(p) for p in model.parameters.values() if p.augment}


def _walk(p: Parameter) -> Walk:
    if p.prior is None:
        raise SsmError(Diagnostic("E341", f"parameter '{p.name}' has no prior, and as a state it needs a first law",
                                  p.span, help=(f"give it one: augment param {p.name} ~ ...",)))  # fmt: skip
    if p.prior.name == "Cauchy" and not p.support.declared:
        raise SsmError(Diagnostic("E350", f"the prior of the augmented parameter '{p.name}' has no variance",
                                  p.prior.span or p.span, "as a state it needs one",
                                  help=("take StudentT(3, ...), or give an interval",)))  # fmt: skip
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
    """Mean and covariance on the unconstrained scale, variances alone where the numbers are independent.

    Exact for Normal and LogNormal priors; by quadrature for other laws of single numbers, and for a Dirichlet law,
    whose unconstrained numbers are independent; of restricted and matrix laws those of draws of a fixed seed.
    """
    assert p.prior is not None
    if p.prior.name in ("Normal", "LogNormal") and not p.support.declared and p.support.kind in ("real", "interval"):
        env = Environment(params=params)
        args: dict[str, Any] = dict(zip(p.prior.args, evaluate(list(p.prior.args.values()), env)))
        loc, scale = args.get("loc", 0.0), args.get("scale", 1.0)
        full = lambda v: jnp.broadcast_to(v, p.shape).astype(float).ravel()
        return full(loc), full(scale) ** 2
    if isinstance(law, dist.Dirichlet):
        a = law.concentration
        rest = jnp.cumsum(a[..., ::-1], axis=-1)[..., ::-1]
        sticks = dist.Beta(a[..., :-1], rest[..., 1:])
        mean, variance = _by_quadrature(sticks)
        # The share of a stick is shifted so that equal shares are at zero.
        mean = mean + jnp.log(a.shape[-1] - 1 - jnp.arange(a.shape[-1] - 1))
        return mean.ravel(), variance.ravel()
    if law.event_shape:
        draws = law.sample(jax.random.key(0), (DRAWS,))
        z = biject_to(support_of(law)).inv(draws).reshape(DRAWS, size)
        mean = z.mean(0)
        return mean, (z - mean).T @ (z - mean) / DRAWS
    mean, variance = _by_quadrature(law)
    return mean.ravel(), variance.ravel()


def _by_quadrature(law: Any) -> tuple[Array, Array]:
    """Mean and variance on the unconstrained scale of laws of single numbers, each by the trapezoidal rule.

    The grid begins as wide as double precision can use, and is laid twice more about what was found.
    """
    transform = biject_to(support_of(law))
    blank = (1,) * len(law.batch_shape)

    def found(z: Array) -> tuple[Array, Array]:
        x = transform(z)
        log = law.log_prob(x) + transform.log_abs_det_jacobian(z, x) + jnp.log(_spacing(z))
        weight = jax.nn.softmax(jnp.where(jnp.isnan(log), -jnp.inf, log), axis=0)
        mean = jnp.sum(weight * z, axis=0)
        return mean, jnp.sum(weight * (z - mean) ** 2, axis=0)

    # Points that are dense about zero and reach to where a double of the transformed scale ends.
    spread = jnp.linspace(-1.0, 1.0, NODES).reshape(-1, *blank)
    z = jnp.broadcast_to(0.05 * jnp.sinh(9.5 * spread), (NODES, *law.batch_shape))
    for _ in range(2):
        mean, variance = jax.lax.stop_gradient(found(z))
        near = jnp.abs(z - mean) < 2 * jnp.sqrt(variance) + 1e-3
        width = 2 * jnp.max(jnp.where(near, _spacing(z), 0.0), axis=0)
        z = mean + REACH * jnp.maximum(jnp.sqrt(variance), width) * spread
    return found(z)


def _spacing(z: Array) -> Array:
    """What each point of a grid stands for, along the first axis."""
    middle = 0.5 * (z[2:] - z[:-2])
    return jnp.concatenate([z[1:2] - z[:1], middle, z[-1:] - z[-2:-1]])
