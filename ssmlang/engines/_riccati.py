"""Linear-quadratic rows solved from the last to the first: the posterior of the noises under an `Expansion`.

With Pi_t the information that row t and all later ones hold on s_t,

    J_t = I + G'Pi_t G + C_ee,   K_t = J_t^-1 (G'Pi_t F + C_es),   Pi_{t-1} = W_{t-1} + F'Pi_t F + C_ss - K_t'J_t K_t,

the noises are, from the first row to the last, e_t - e*_t ~ N(k_t - K_t (s_{t-1} - s*_{t-1}), J_t^-1), and the
determinant of their precision is the product of those of the J_t. No covariance of states is inverted: noise of any
rank will do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from ssmlang.engines._expansion import Expansion, Noises


class Factor(NamedTuple):
    """The factored precision of the noises. NaN from the row on, backwards, where it is not positive definite."""

    root0: Float[Array, "r0 r0"]
    root: Float[Array, "T-1 r r"]
    """Cholesky factors of J"""
    K: Float[Array, "T-1 r N"]
    Pi: Float[Array, "T N N"]


class Step(NamedTuple):
    """The solution of the quadratic problem."""

    first: Float[Array, " r0"]
    later: Float[Array, "T-1 r"]
    """k_t"""
    gain: Float[Array, ""]
    """g'H^-1 g: twice what the quadratic gains"""
    v: Float[Array, "T N"]
    """the linear part of what the rows from t on gain by moving s_t"""


def factor(x: Expansion) -> Factor:
    """The Riccati recursion."""
    N = x.b.shape[1]
    bent = x.C is not None

    def back(Pi: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        F, G, W, *rest = row
        PG = Pi @ G
        J, M, S = jnp.eye(G.shape[1]) + G.T @ PG, PG.T @ F, F.T @ (Pi @ F)
        if bent:
            C = rest[0]
            J, M, S = J + C[N:, N:], M + C[N:, :N], S + C[:N, :N]
        root = jnp.linalg.cholesky(J)
        half = solve_triangular(root, M, lower=True)
        before = W + S - half.T @ half
        before = 0.5 * (before + before.T)
        return before, (root, solve_triangular(root, half, lower=True, trans=1), before)

    rows: tuple[Any, ...] = (x.F, x.G, x.W[:-1], *([x.C] if bent else []))
    first, (root, K, Pi) = jax.lax.scan(back, x.W[-1], rows, reverse=True)
    J0 = jnp.eye(x.G0.shape[1]) + x.G0.T @ first @ x.G0
    root0 = jnp.linalg.cholesky(J0 if x.C0 is None else J0 + x.C0)
    return Factor(root0, root, K, jnp.concatenate([Pi, x.W[-1:]]))


def log_dets(f: Factor) -> Float[Array, " T"]:
    """Half the log-determinants of the J_t."""
    logs = lambda root: jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)), axis=-1)
    return jnp.concatenate([logs(f.root0)[None], logs(f.root)])


def is_positive(f: Factor) -> Array:
    """Whether the precision is positive definite."""
    return jnp.isfinite(jnp.sum(log_dets(f)))


def solve(x: Expansion, f: Factor, b: Float[Array, "T N"], g: Noises) -> Step:
    """The step from gradients b in the memories and g in the noises."""

    def back(v: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        F, G, root, K, b, g = row
        h = G.T @ v + g
        half = solve_triangular(root, h, lower=True)
        before = b + F.T @ v - K.T @ h
        return before, (solve_triangular(root, half, lower=True, trans=1), jnp.sum(half**2), v)

    v0, (k, gains, v) = jax.lax.scan(back, b[-1], (x.F, x.G, f.root, f.K, b[:-1], g.later), reverse=True)
    half = solve_triangular(f.root0, x.G0.T @ v0 + g.first, lower=True)
    first = solve_triangular(f.root0, half, lower=True, trans=1)
    return Step(first, k, jnp.sum(gains) + jnp.sum(half**2), jnp.concatenate([v0[None], v]))


def carry_out(x: Expansion, f: Factor, step: Step) -> tuple[Noises, Float[Array, "T N"]]:
    """What a step changes in the noises and, to first order, in the memories."""

    def on(d: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        F, G, K, k = row
        e = k - K @ d
        d = F @ d + G @ e
        return d, (e, d)

    start = x.G0 @ step.first
    _, (e, d) = jax.lax.scan(on, start, (x.F, x.G, f.K, step.later))
    return Noises(step.first, e), jnp.concatenate([start[None], d])


def covariances(x: Expansion, f: Factor) -> Float[Array, "T N N"]:
    """Of the memories given all data."""

    def spread(G: Array, root: Array) -> Array:
        half = solve_triangular(root, G.T, lower=True)
        return half.T @ half

    def on(P: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        F, G, K, root = row
        A = F - G @ K
        P = A @ P @ A.T + spread(G, root)
        return P, P

    start = spread(x.G0, f.root0)
    _, P = jax.lax.scan(on, start, (x.F, x.G, f.K, f.root))
    return jnp.concatenate([start[None], P])
