"""Joint laws of Gaussian vectors by their noise loadings, for many rows at once.

Vectors that read the same standard-normal noise e, u = M e, are turned by orthogonal transformations of the noise: no
covariance matrix is formed or factored, so ranks do not matter. Matrices come first, the rows of the series last:
(n, k, *T); what is written here in whole-array operations then runs along the series, without a library call for each
of its many small matrices.

Derivatives follow the Gramian rule: only the covariances M M' matter downstream, and for them the orthogonal matrix may
be held fixed wherever the noise it separates is not read separately (Corenflos 2026, arXiv 2603.13559, in the form
without a pseudo-inverse). They are first derivatives; a second one is refused.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

UNROLLED_ROWS = 1
"""Up to this many reflections are written out; more are looped over."""

SMALL = 12
"""Up to this inner extent, matrices are multiplied element by element."""


class Conditioned(NamedTuple):
    """What is known of u2 = M2 e when u1 = M1 e is seen to be v, M1 of full row rank.

    With M1 = X Q1', Q1 orthonormal:  u2 = along (X^{-1} v) + left e',  e' standard normal of its own.
    """

    logdet: Float[Array, " *T"]
    """log |det X|"""
    pivots: Float[Array, " m *T"]
    """|X_ii|: the standard deviation of u1[i] given the entries before it; never differentiated"""
    whitened: Float[Array, "m q *T"]
    """X^{-1} rhs"""
    along: Float[Array, "n m *T"]
    left: Float[Array, "n k-m *T"]


def product(A: Float[Array, "i j *T"], B: Float[Array, "j k *T"]) -> Float[Array, "i k *T"]:
    """A B for each row of the series; either may be constant over them, without the last axes."""
    if A.shape[1] > SMALL:
        return jnp.einsum("ij...,jk...->ik...", A, B)
    A, B = _alike(A, B)
    if not A.shape[1]:
        return jnp.zeros((A.shape[0], *B.shape[1:]), jnp.result_type(A, B))
    # Term by term, no reduction: of a product of arrays repeated over the rows XLA's CPU compiler makes, in single
    # precision, one that reads beyond their ends (jaxlib 0.10.2 to 0.12.0).
    terms = (A[:, j, None] * B[j][None] for j in range(A.shape[1]))
    return reduce(jnp.add, terms)


def transposed(A: Float[Array, "i j *T"]) -> Float[Array, "j i *T"]:
    """A' for each row of the series."""
    return jnp.swapaxes(A, 0, 1)


def square(A: Float[Array, "i j *T"]) -> Float[Array, "i i *T"]:
    """A A'."""
    return product(A, transposed(A))


def beside(*blocks: Float[Array, "i _ *T"]) -> Float[Array, "i _ *T"]:
    """Blocks side by side, those constant in time repeated where another is not."""
    return jnp.concatenate(_alike(*blocks), axis=1)


def below(*blocks: Float[Array, "_ j *T"]) -> Float[Array, "_ j *T"]:
    """Blocks below each other."""
    return jnp.concatenate(_alike(*blocks), axis=0)


def _alike(*arrays: Array) -> list[Array]:
    """Matrices over the same rows of the series."""
    rows = jnp.broadcast_shapes(*(a.shape[2:] for a in arrays))
    return [jnp.broadcast_to(a.reshape(*a.shape[:2], *(1,) * (len(rows) - a.ndim + 2), *a.shape[2:]),
                             a.shape[:2] + rows) for a in arrays]  # fmt: skip


def identity(n: int, like: Array) -> Float[Array, "n n"]:
    """The identity in the precision of an array."""
    return jnp.eye(n, dtype=like.dtype)


@jax.custom_jvp
def compress(M: Float[Array, "n k *T"]) -> Float[Array, "n n *T"]:
    """A square L with L L' = M M', lower triangular, whatever the rank."""
    n, k = M.shape[:2]
    if k <= n:
        return jnp.pad(M, [(0, 0), (0, n - k), *[(0, 0)] * (M.ndim - 2)])
    return reflect(M, n)[:, :n]


@compress.defjvp
def _compress_rule(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (M,), (dM,) = primals, tangents
    n, k = M.shape[:2]
    if k <= n:
        return compress(M), compress(dM)
    turned = once(reflect(below(M, identity(k, M)), n))
    return turned[:n, :n], product(dM, turned[n:, :n])


@jax.custom_jvp
def condition(
    observed: Float[Array, "m k *T"], rest: Float[Array, "n k *T"], rhs: Float[Array, "m q *T"]
) -> Conditioned:
    """Split `rest` by what the noise in `observed` says of it; NaN or inf where `observed` lacks full row rank.

    What is returned is meant to be used in products over the axis of length m and in left left' alone: the coordinates
    within are any rotation's, and so are their derivatives.
    """
    return _split(reflect(below(observed, rest), observed.shape[0]), rhs)[1]


@condition.defjvp
def _condition_rule(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Conditioned, Conditioned]:
    observed, rest, rhs = primals
    dobserved, drest, drhs = tangents
    (m, k), n = observed.shape[:2], rest.shape[0]
    turned = once(reflect(below(observed, rest, identity(k, observed)), m))
    Q1, Q2 = turned[m + n :, :m], turned[m + n :, m:]
    X, out = _split(turned[: m + n], rhs)
    # Q moves by dQ1 = Q2 S', dQ2 = -Q1 S with S = X^{-1} dM1 Q2, up to rotations of the coordinates within each.
    dX = product(dobserved, Q1)
    S = solve_lower(X, product(dobserved, Q2))
    dlogdet = jnp.trace(solve_lower(X, dX))
    dwhitened = solve_lower(X, drhs - product(dX, out.whitened))
    dalong = product(drest, Q1) + product(out.left, transposed(S))
    dleft = product(drest, Q2) - product(out.along, S)
    return out, Conditioned(dlogdet, jnp.zeros_like(out.pivots), dwhitened, dalong, dleft)


def _split(turned: Float[Array, "m+n k *T"], rhs: Float[Array, "m q *T"]) -> tuple[Array, Conditioned]:
    m = rhs.shape[0]
    X = turned[:m, :m]
    pivots = jnp.abs(X[np.arange(m), np.arange(m)])
    logdet = jnp.sum(jnp.log(pivots), axis=0)
    return X, Conditioned(logdet, pivots, solve_lower(X, rhs), turned[m:, :m], turned[m:, m:])


def solve_lower(X: Float[Array, "m m *T"], rhs: Float[Array, "m q *T"]) -> Float[Array, "m q *T"]:
    """X^{-1} rhs for lower-triangular X, by substitution."""
    m = X.shape[0]
    X, rhs = _alike(X, rhs)
    solved: list[Array] = []
    if m <= UNROLLED_ROWS:
        for i in range(m):
            known = sum((X[i, j] * solved[j] for j in range(i)), jnp.zeros_like(rhs[i]))
            solved.append((rhs[i] - known) / X[i, i])
        return jnp.stack(solved) if m else rhs

    def substitute(i: Array, out: Array) -> Array:
        row = (rhs[i] - jnp.sum(X[i][:, None] * out, axis=0)) / X[i, i]
        return out.at[i].set(row)

    return jax.lax.fori_loop(0, m, substitute, jnp.zeros_like(rhs))


def solve_lower_transposed(X: Float[Array, "m m *T"], rhs: Float[Array, "m q *T"]) -> Float[Array, "m q *T"]:
    """X'^{-1} rhs for lower-triangular X."""
    turned = jnp.flip(transposed(X), (0, 1))
    return jnp.flip(solve_lower(turned, jnp.flip(rhs, 0)), 0)


def reflect(M: Float[Array, "n k *T"], rows: int) -> Float[Array, "n k *T"]:
    """M Q with Q orthogonal, such that the first `rows` rows are lower triangular: Householder reflections.

    A row of zeros is left as it is.
    """
    if rows <= UNROLLED_ROWS:
        for j in range(rows):
            turned = _reflected(M[:, j:], M[j, j:], 0)
            M = beside(M[:, :j], turned) if j else turned
        return M

    def step(j: Array, M: Array) -> Array:
        ahead = jnp.arange(M.shape[1]) >= j
        return _reflected(M, jnp.where(_over(ahead, M[0]), M[j], 0.0), j)

    return jax.lax.fori_loop(0, rows, step, M)


def _reflected(M: Float[Array, "n k *T"], x: Float[Array, " k *T"], j: int | Array) -> Float[Array, "n k *T"]:
    """M (I - beta v v') with v such that the row x becomes a multiple of the j-th unit vector."""
    at = _over(jnp.arange(M.shape[1]) == j, x)
    # In units of the largest entry: squares of what has decayed over many rows would vanish, and v would not be turned.
    unit = jnp.max(jnp.abs(x), axis=0, initial=0.0)
    some = unit > float(jnp.finfo(x.dtype).tiny)
    x = x / jnp.where(some, unit, 1.0)
    norm = jnp.sqrt(jnp.sum(x * x, axis=0))
    first = jnp.sum(jnp.where(at, x, 0.0), axis=0)
    v = x + jnp.where(at, jnp.where(first < 0, -norm, norm), 0.0)
    beta = jnp.where(some, 1.0 / jnp.where(some, norm * (norm + jnp.abs(first)), 1.0), 0.0)
    return M - jnp.sum(M * v, axis=1, keepdims=True) * (beta * v)


def _over(mask: Array, like: Array) -> Array:
    """A mask over the first axis, spread over the others."""
    return mask.reshape(-1, *(1,) * (like.ndim - 1))


@jax.custom_jvp
def once(x: Array) -> Array:
    """x, which is not to be differentiated: the rules above hold for one derivative."""
    return x


@once.defjvp
def _twice(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    raise NotImplementedError("factored covariances have first derivatives only; differentiate the engine 'kalman'")
