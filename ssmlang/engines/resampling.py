"""Resampling of weighted particles: the parents of the next generation, as many as there are particles.

All schemes are unbiased: the expected number of children of a particle is its weight times the number of particles.
Douc, Cappe & Moulines (2005) compare them; Chopin & Papaspiliopoulos (2020), chapter 9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

Scheme = Literal["systematic", "stratified", "residual", "multinomial"]
BLOCK = 16
"""Numbers that are summed up by one small triangular product: on a CPU several times quicker than `jnp.cumsum`."""


def parents(scheme: Scheme, key: Key[Array, ""], weights: Float[Array, " P"]) -> Int[Array, " P"]:
    """The parent of each of P children, in ascending order; `weights` need not sum to one."""
    return SCHEMES[scheme](key, weights)


def running_sum(x: Float[Array, "*batch P"]) -> Float[Array, "*batch P"]:
    """Sums of the first entries along the last axis, block by block."""
    P = x.shape[-1]
    if P <= BLOCK:
        return jnp.matmul(x, jnp.asarray(np.triu(np.ones((P, P))), x.dtype), precision=jax.lax.Precision.HIGHEST)
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -P % BLOCK)])
    blocks = padded.reshape(*x.shape[:-1], -1, BLOCK)
    ones = jnp.asarray(np.triu(np.ones((BLOCK, BLOCK))), x.dtype)
    within = jnp.matmul(blocks, ones, precision=jax.lax.Precision.HIGHEST)
    before = running_sum(within[..., -1]) - within[..., -1]
    return (within + before[..., None]).reshape(*x.shape[:-1], -1)[..., :P]


def _from_counts(through: Int[Array, " P"]) -> Int[Array, " P"]:
    """Parents from how many children the first i particles have together: child j's parent is how many of these numbers
    are at most j."""
    P = len(through)
    stops = jnp.zeros(P, jnp.float32).at[through].add(1.0, mode="drop")
    # In single precision whole numbers are exact up to 2^24.
    found = running_sum(stops) if P < 2**24 else jnp.cumsum(stops.astype(int))
    return jnp.minimum(found.astype(jnp.int32), P - 1)


def _cumulative(weights: Array) -> Array:
    """P times the distribution function of the weights, P at its end."""
    total = running_sum(weights)
    return total * (len(weights) / total[-1])


def _systematic(key: Array, weights: Array) -> Array:
    P = len(weights)
    through = jnp.ceil(_cumulative(weights) - jax.random.uniform(key, dtype=weights.dtype))
    return _from_counts(jnp.clip(through, 0, P).astype(jnp.int32).at[-1].set(P))


def _stratified(key: Array, weights: Array) -> Array:
    P = len(weights)
    u, c = jax.random.uniform(key, (P,), weights.dtype), _cumulative(weights)
    full = jnp.clip(jnp.floor(c), 0, P - 1)
    through = full + (u[full.astype(jnp.int32)] < c - full)
    return _from_counts(jnp.clip(through, 0, P).astype(jnp.int32).at[-1].set(P))


def _multinomial(key: Array, weights: Array) -> Array:
    # P sorted uniform numbers are the first P of P + 1 partial sums of exponential ones over the last.
    P = len(weights)
    points = running_sum(jax.random.exponential(key, (P + 1,), weights.dtype))
    through = jnp.searchsorted(points[:-1], _cumulative(weights) * (points[-1] / P))
    return _from_counts(through.astype(jnp.int32).at[-1].set(P))


def _residual(key: Array, weights: Array) -> Array:
    P = len(weights)
    expected = weights * (P / jnp.sum(weights))
    sure = jnp.floor(expected)
    rest = running_sum(expected - sure)
    left = P - jnp.sum(sure)
    drawn = jnp.searchsorted(rest, jax.random.uniform(key, (P,), weights.dtype) * rest[-1])
    counted = sure.at[jnp.minimum(drawn, P - 1)].add(jnp.where(jnp.arange(P) < left, 1.0, 0.0))
    through = jnp.round(running_sum(counted))
    return _from_counts(jnp.clip(through, 0, P).astype(jnp.int32).at[-1].set(P))


SCHEMES: dict[str, Callable[[Array, Array], Array]] = {
    "systematic": _systematic, "stratified": _stratified, "residual": _residual, "multinomial": _multinomial,
}  # fmt: skip
