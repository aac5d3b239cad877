"""Narrower factors of the same Gramian, as numbers: not to be differentiated (see `triangular.tria` for that)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

WRITTEN_OUT = 20
"""Up to so many entries a factorisation is written out in multiplies and adds, which XLA fuses into one kernel; beyond,
a library call for the QR factorisation is faster."""


def lower(M: Float[Array, "N q"]) -> Float[Array, "N N"]:
    """A lower-triangular L with L L' = M M', zeros filled in where q < N."""
    M = jax.lax.stop_gradient(M)
    N, q = M.shape
    if N == 0 or q == 0:
        return jnp.zeros((N, N), M.dtype)
    if N * q <= WRITTEN_OUT:
        return _gram_schmidt(M)
    L = jnp.linalg.qr(M.T, mode="r").T
    return jnp.pad(L, ((0, 0), (0, N - L.shape[1])))


def turned(M: Float[Array, "N q"]) -> tuple[Float[Array, "N N"], Float[Array, "q q"]]:
    """L and an orthogonal Q with M = [L 0] Q', for q >= N."""
    Q, R = jnp.linalg.qr(jax.lax.stop_gradient(M).T, mode="complete")
    return R[: M.shape[0]].T, Q


def root(cov: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """A factor of a covariance matrix of any rank, by the eigenvectors of the correlations.

    Eigenvalues below zero, which are rounding, count as zero.
    """
    cov = jax.lax.stop_gradient(cov)
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(cov), 0.0))
    if len(cov) <= 1:
        return scale[:, None] * jnp.ones_like(cov)
    safe = jnp.where(scale > 0, scale, 1.0)
    values, vectors = jnp.linalg.eigh(cov / safe[:, None] / safe)
    return scale[:, None] * vectors * jnp.sqrt(jnp.maximum(values, 0.0))


def _gram_schmidt(M: Float[Array, "N q"]) -> Float[Array, "N N"]:
    """Modified Gram-Schmidt on the rows: as stable as Householder's for L (Bjorck & Paige 1992), zero rows included."""
    N, q = M.shape
    rows = [[M[i, j] for j in range(q)] for i in range(N)]
    L = [[jnp.zeros((), M.dtype)] * N for _ in range(N)]
    for i in range(N):
        square = sum((x * x for x in rows[i]), jnp.zeros((), M.dtype))
        inverse = jnp.where(square > 0, 1.0 / jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        unit = [x * inverse for x in rows[i]]
        for k in range(i, N):
            along = sum((a * b for a, b in zip(rows[k], unit, strict=True)), jnp.zeros((), M.dtype))
            L[k][i] = along
            rows[k] = [a - along * b for a, b in zip(rows[k], unit, strict=True)]
    return jnp.stack([jnp.stack(row) for row in L])
