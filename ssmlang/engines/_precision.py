"""The posterior precision of all rows of z given y, which is block tridiagonal, and its Cholesky factor.

Every row of the equation and of the observations is divided by its noise's root; in blocks of as many rows as anything
reaches back, what stands in a block and in the one before it is  O z_before + I z - r ~ N(0, 1), and the blocks are
eliminated from the last to the first:

    Lambda = I'I + (what the next block left) = L L',   V = L^-1 I'O,   left for the block before: O'O - V'V.

The first block, the program's memory at row 0, keeps its covariance P: with Pi left for it, its posterior covariance is
(1 + P Pi)^-1 P, so that it may have any rank. The determinant follows from det Sigma_YY = det R det Q det Lambda.
Chan & Jeliazkov (2009) for order one.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from ssmlang.engines._order_p import Extents, OrderP

BLOCK = 16
"""Entries of z in a block, at least."""


class Precision(NamedTuple):
    """The factored precision. Blocks hold B rows after row 0; the first block holds rows -past..0, at its end."""

    L: Float[Array, "blocks Bk Bk"]
    V: Float[Array, "blocks Bk Bk"]
    inner: Float[Array, "blocks Bi Bk"]
    """I: the whitened rows of equation and observations on their own block"""
    outer: Float[Array, "blocks Bi Bk"]
    """O: on the block before"""
    Q_root: Float[Array, "T-1 k k"]
    R_root: Float[Array, "T m m"]
    first: Float[Array, "m Bk"]
    """the whitened observations of row 0, on the first block"""
    P: Float[Array, "Bk Bk"]
    """covariance of the first block before any data"""
    start_cov: Float[Array, "Bk Bk"]
    """and after"""
    Pi: Float[Array, "Bk Bk"]
    """what all data say of the first block"""
    log_det: Float[Array, ""]
    """half the log-determinant of the covariance of what was seen"""


class Posterior(NamedTuple):
    """Means of the blocks, the first block's first, and -2 log of the density's exponential."""

    mean: Float[Array, "blocks+1 Bk"]
    distance: Float[Array, ""]


def block_rows(e: Extents, lags: int) -> int:
    """Rows in a block."""
    reach = max(min(e.order, e.rows - 1), lags - 1)
    return max(e.past + 1, reach, -(-BLOCK // max(e.k, 1)))


def factor(form: OrderP, seen: Bool[Array, "T m"]) -> Precision:
    """Factor the precision given which entries of y are seen. NaN where Q or R has not full rank."""
    e = form.extents
    B = block_rows(e, form.C.shape[-3])
    dtype = form.d.dtype
    Q_root = jnp.linalg.cholesky(form.per_row("Q")[1:])
    both = seen[:, :, None] & seen[:, None, :]
    R_root = jnp.linalg.cholesky(jnp.where(both, form.per_row("R"), jnp.eye(e.m, dtype=dtype)))
    white_C = _whiten(R_root, jnp.where(seen[:, None, :, None], form.per_row("C"), 0.0))
    equation = jnp.concatenate([jnp.zeros_like(form.per_row("A")[1:, :1]), -form.per_row("A")[1:]], axis=1)
    equation = _whiten(Q_root, equation.at[:, 0].add(jnp.eye(e.k, dtype=dtype)))
    lags = min(max(equation.shape[1], white_C.shape[1]), B + 1)
    rows = jnp.concatenate([_deep(equation, lags), _deep(white_C[1:], lags)], axis=2)
    inner, outer = stack_rows(rows, B)
    # Rows that fill the last block are standard normal and nothing else.
    filler = np.zeros((len(inner), B, e.k + e.m, B, e.k))
    for i in range(e.steps - 1, len(inner) * B):
        filler[i // B, i % B, : e.k, i % B] = np.eye(e.k)
    inner = inner + filler.reshape(inner.shape)

    def eliminate(left: Array, x: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        own, before = x
        L = jnp.linalg.cholesky(own.T @ own + left)
        V = solve_triangular(L, own.T @ before, lower=True)
        return before.T @ before - V.T @ V, (L, V)

    nothing = jnp.zeros((B * e.k, B * e.k), dtype)
    left, (L, V) = jax.lax.scan(eliminate, nothing, (inner, outer), reverse=True)
    first = last_row(white_C[0], B)
    Pi = left + first.T @ first
    pad = B - e.past - 1
    P = jnp.pad(form.cov, (pad * e.k, 0))
    weight = jnp.eye(len(P), dtype=dtype) + P @ Pi
    start_cov = jnp.linalg.solve(weight, P)
    half_logs = lambda X: jnp.sum(jnp.log(jnp.diagonal(X, axis1=-2, axis2=-1)))
    log_det = half_logs(Q_root) + half_logs(R_root) + half_logs(L) + 0.5 * jnp.linalg.slogdet(weight)[1]
    start_cov = 0.5 * (start_cov + start_cov.T)
    return Precision(L, V, inner, outer, Q_root, R_root, first, P, start_cov, Pi, log_det)


def posterior(
    p: Precision, e: Extents, start: Float[Array, "past+1 k"], a: Float[Array, "T-1 k"], y: Float[Array, "T m"]
) -> Posterior:
    """Means of all rows given y (zero where missing), which is less its offsets; a: the equation's offsets."""
    blocks, width, size = p.inner.shape
    B = size // max(e.k, 1) if e.k else width // max(e.k + e.m, 1)
    white_y = solve_triangular(p.R_root, y[..., None], lower=True)[..., 0]
    white_a = solve_triangular(p.Q_root, a[..., None], lower=True)[..., 0]
    r = jnp.concatenate([white_a, white_y[1:]], axis=1)
    r = jnp.pad(r, ((0, blocks * B - len(r)), (0, 0))).reshape(blocks, width)
    own, before = jnp.einsum("bij,bi->bj", p.inner, r), jnp.einsum("bij,bi->bj", p.outer, r)

    def back(pi: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        L, V, own, before = x
        u = solve_triangular(L, own + pi, lower=True)
        return before - V.T @ u, u

    pi, u = jax.lax.scan(back, jnp.zeros(size, y.dtype), (p.L, p.V, own, before), reverse=True)
    pi = pi + p.first.T @ white_y[0]
    mean = jnp.pad(start.reshape(-1), (size - start.size, 0))
    g = pi - p.Pi @ mean
    moved = p.start_cov @ g
    # The exponent at the prior mean, and what the first block gains by moving from it.
    squares = jnp.sum(r**2) + jnp.sum(white_y[0] ** 2) - jnp.sum(u**2)
    distance = squares + mean @ (p.Pi @ mean) - 2.0 * pi @ mean - g @ moved

    def on(mean: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        L, V, u = x
        mean = solve_triangular(L.T, u - V @ mean, lower=False)
        return mean, mean

    _, rest = jax.lax.scan(on, mean + moved, (p.L, p.V, u))
    return Posterior(jnp.concatenate([(mean + moved)[None], rest]), distance)


def covariances(p: Precision) -> tuple[Float[Array, "blocks+1 Bk Bk"], Float[Array, "blocks Bk Bk"]]:
    """Of each block, the first block's first, and of each block with the one before it."""

    def on(cov: Array, x: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        L, V = x
        back = solve_triangular(L.T, jnp.concatenate([jnp.eye(len(L), dtype=L.dtype), -V], axis=1), lower=False)
        own, J = back[:, : len(L)], back[:, len(L) :]
        cross = J @ cov
        cov = own @ own.T + cross @ J.T
        cov = 0.5 * (cov + cov.T)
        return cov, (cov, cross)

    _, (rest, cross) = jax.lax.scan(on, p.start_cov, (p.L, p.V))
    return jnp.concatenate([p.start_cov[None], rest]), cross


def stack_rows(rows: Float[Array, "T lags i k"], B: int) -> tuple[Array, Array]:
    """Coefficients by lag as (blocks, B i, B k), on the rows of their own block and on those of the one before."""
    T, lags, i, k = rows.shape
    blocks = max(-(-T // B), 1)
    rows = jnp.pad(rows, ((0, blocks * B - T), (0, 0), (0, 0), (0, 0))).reshape(blocks, B, lags, i, k)
    here = np.arange(B)[:, None] - np.arange(B)

    def dense(lag: np.ndarray) -> Array:
        there = (lag >= 0) & (lag < lags)
        taken = rows[:, np.arange(B)[:, None], np.clip(lag, 0, lags - 1)]
        taken = jnp.where(there[..., None, None], taken, 0.0)
        return jnp.swapaxes(taken, 2, 3).reshape(blocks, B * i, B * k)

    return dense(here), dense(here + B)


def last_row(row: Float[Array, "lags i k"], B: int) -> Float[Array, "i Bk"]:
    """Coefficients by lag of a block's last row, on that block."""
    lags, i, k = row.shape
    reversed_ = jnp.pad(row[:B], ((0, max(B - lags, 0)), (0, 0), (0, 0)))[::-1]
    return jnp.moveaxis(reversed_, 0, 1).reshape(i, B * k)


def _deep(X: Float[Array, "T lags i k"], lags: int) -> Float[Array, "T lags i k"]:
    """So many lags: more are zero, and those beyond would reach before all rows."""
    return jnp.pad(X[:, :lags], ((0, 0), (0, max(lags - X.shape[1], 0)), (0, 0), (0, 0)))


def _whiten(root: Float[Array, "T i i"], X: Float[Array, "T lags i k"]) -> Float[Array, "T lags i k"]:
    T, lags, i, k = X.shape
    flat = jnp.swapaxes(X, 1, 2).reshape(T, i, lags * k)
    return jnp.swapaxes(solve_triangular(root, flat, lower=True).reshape(T, i, lags, k), 1, 2)
