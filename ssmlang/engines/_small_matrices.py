"""Cholesky factors and triangular solves of a few entries, written out: under `vmap` they become plain arithmetic on
arrays, where a call of LAPACK for each of thousands of small matrices costs many times more."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

WRITTEN_OUT = 6
"""Up to so many rows; larger matrices go to LAPACK."""


def cholesky(A: Float[Array, "r r"]) -> Float[Array, "r r"]:
    """The lower factor; NaN where A is not positive definite."""
    r = A.shape[0]
    if r > WRITTEN_OUT:
        return jnp.linalg.cholesky(A)
    L: list[list[Array]] = []
    for i in range(r):
        row: list[Array] = []
        for j in range(i + 1):
            rest = A[i, j] - sum((row[k] * L[j][k] for k in range(j)), jnp.zeros((), A.dtype)) if j < i else (
                A[i, i] - sum((row[k] ** 2 for k in range(i)), jnp.zeros((), A.dtype)))  # fmt: skip
            row.append(rest / L[j][j] if j < i else jnp.sqrt(rest))
        L.append(row)
    zero = jnp.zeros((), A.dtype)
    return jnp.array([[L[i][j] if j <= i else zero for j in range(r)] for i in range(r)]).reshape(r, r)


def solve_lower(L: Float[Array, "r r"], b: Float[Array, "r ..."]) -> Float[Array, "r ..."]:
    """x with L x = b."""
    r = L.shape[0]
    if r > WRITTEN_OUT:
        return jax.scipy.linalg.solve_triangular(L, b, lower=True)
    x: list[Array] = []
    for i in range(r):
        x.append((b[i] - sum((L[i, k] * x[k] for k in range(i)), jnp.zeros(b.shape[1:], b.dtype))) / L[i, i])
    return jnp.stack(x) if x else b


def solve_lower_transposed(L: Float[Array, "r r"], b: Float[Array, "r ..."]) -> Float[Array, "r ..."]:
    """x with L' x = b."""
    r = L.shape[0]
    if r > WRITTEN_OUT:
        return jax.scipy.linalg.solve_triangular(L, b, lower=True, trans=1)
    x: list[Array] = [jnp.zeros(b.shape[1:], b.dtype)] * r
    for i in reversed(range(r)):
        x[i] = (b[i] - sum((L[k, i] * x[k] for k in range(i + 1, r)), jnp.zeros(b.shape[1:], b.dtype))) / L[i, i]
    return jnp.stack(x) if x else b
