"""A root of a covariance matrix of any rank."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def semidefinite_root(P: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Lower triangular L with L L' = P, by Schur complements; where a pivot is zero to rounding its column is zero.

    The derivative is right where no pivot changes from zero to something: where the rank stays as it is.
    """
    n = P.shape[0]
    if n == 0:  # a program without noise
        return P
    zero = n * jnp.finfo(P.dtype).eps * jnp.maximum(jnp.diagonal(P), 0.0)

    def column(P: Array, j: Array) -> tuple[Array, Array]:
        pivot = P[j, j]
        there = pivot > zero[j]
        root = jnp.sqrt(jnp.where(there, pivot, 1.0))
        found = jnp.where(there & (jnp.arange(n) >= j), P[:, j] / root, 0.0)
        return P - found[:, None] * found[None, :], found

    return jax.lax.scan(column, P, jnp.arange(n))[1].T
