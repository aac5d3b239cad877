"""A root of a covariance matrix of any rank, and the nearest such matrix to a symmetric one."""

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
        there = ~(pivot <= zero[j])  # what is not a number stays so
        root = jnp.sqrt(jnp.where(there, pivot, 1.0))
        found = jnp.where(there & (jnp.arange(n) >= j), P[:, j] / root, 0.0)
        return P - found[:, None] * found[None, :], found

    return jax.lax.scan(column, P, jnp.arange(n))[1].T


def positive_part(W: Float[Array, "*lead n n"]) -> Float[Array, "*lead n n"]:
    """The nearest positive semidefinite matrix to a symmetric one: its negative eigenvalues are zero.

    Twice that less W has the sizes of the eigenvalues. The first derivative is exact whatever eigenvalues coincide,
    where none of them is zero (Daleckii & Krein 1965); a matrix of zeros, that of a row without data, is taken to stay
    as it is.
    """
    return jnp.maximum(W, 0.0) if W.shape[-1] == 1 else _by_eigenvalues(W)


@jax.custom_jvp
def _by_eigenvalues(W: Float[Array, "*lead n n"]) -> Float[Array, "*lead n n"]:
    return _positive_part(*jnp.linalg.eigh(W))


def _positive_part(w: Float[Array, "*lead n"], V: Float[Array, "*lead n n"]) -> Float[Array, "*lead n n"]:
    return (V * jnp.maximum(w, 0.0)[..., None, :]) @ jnp.swapaxes(V, -1, -2)


@_by_eigenvalues.defjvp
def _positive_part_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    w, V = jnp.linalg.eigh(primals[0])
    up, turned = w > 0, jnp.swapaxes(V, -1, -2)
    one, other = w[..., :, None], w[..., None, :]
    alike = up[..., :, None] == up[..., None, :]
    slope = jnp.abs(jnp.maximum(one, 0.0) - jnp.maximum(other, 0.0)) / jnp.where(alike, 1.0, jnp.abs(one - other))
    slope = jnp.where(alike, jnp.where(up[..., :, None], 1.0, 0.0), slope)
    return _positive_part(w, V), V @ (slope * (turned @ tangents[0] @ V)) @ turned
