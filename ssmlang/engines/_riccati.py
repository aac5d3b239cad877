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
from jaxtyping import Float

from ssmlang.engines._expansion import Expansion, Noises
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, times
from ssmlang.engines._small_matrices import WRITTEN_OUT, cholesky, solve_lower, solve_lower_transposed


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


def _small(x: Expansion) -> bool:
    """Whether a pass over the rows is one native function."""
    (N, r0), r = x.G0.shape, x.G.shape[2]
    return max(N, r0, r) <= FUSED_LIMIT and max(r0, r) <= WRITTEN_OUT


def factor(x: Expansion) -> Factor:
    """The Riccati recursion."""
    return one_kernel(_factor, _small(x))(x)


def _factor(x: Expansion) -> Factor:
    N, small = x.b.shape[1], _small(x)
    bent = x.C is not None
    mul = lambda A, B: times(A, B, small)

    def back(Pi: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        F, G, W, *rest = row
        PG = mul(Pi, G)
        J, M, S = jnp.eye(G.shape[1]) + mul(G.T, PG), mul(PG.T, F), mul(F.T, mul(Pi, F))
        if bent:
            C = rest[0]
            J, M, S = J + C[N:, N:], M + C[N:, :N], S + C[:N, :N]
        root = cholesky(J)
        half = solve_lower(root, M)
        before = W + S - mul(half.T, half)
        before = 0.5 * (before + before.T)
        return before, (root, solve_lower_transposed(root, half), before)

    rows: tuple[Any, ...] = (x.F, x.G, x.W[:-1], *([x.C] if bent else []))
    first, (root, K, Pi) = jax.lax.scan(back, x.W[-1], rows, reverse=True)
    J0 = jnp.eye(x.G0.shape[1]) + mul(x.G0.T, mul(first, x.G0))
    root0 = cholesky(J0 if x.C0 is None else J0 + x.C0)
    return Factor(root0, root, K, jnp.concatenate([Pi, x.W[-1:]]))


def log_dets(f: Factor) -> Float[Array, " T"]:
    """Half the log-determinants of the J_t."""
    logs = lambda root: jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)), axis=-1)
    return jnp.concatenate([logs(f.root0)[None], logs(f.root)])


def is_positive(f: Factor) -> Array:
    """Whether the precision is positive definite."""
    return jnp.isfinite(jnp.sum(log_dets(f)))


def solve(x: Expansion, f: Factor, b: Float[Array, "T N"], g: Noises, *, tangent: bool = False) -> Step:
    """The step from gradients b in the memories and g in the noises; `tangent`: these are derivatives, and what is
    found is to be pulled back to them."""
    return one_kernel(_solve, _small(x) and not tangent)(x, f, b, g)


def _solve(x: Expansion, f: Factor, b: Float[Array, "T N"], g: Noises) -> Step:
    small = _small(x)
    mul = lambda A, B: times(A, B, small)

    def back(v: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        F, G, root, K, b, g = row
        h = mul(G.T, v) + g
        half = solve_lower(root, h)
        before = b + mul(F.T, v) - mul(K.T, h)
        return before, (solve_lower_transposed(root, half), jnp.sum(half**2), v)

    v0, (k, gains, v) = jax.lax.scan(back, b[-1], (x.F, x.G, f.root, f.K, b[:-1], g.later), reverse=True)
    half = solve_lower(f.root0, mul(x.G0.T, v0) + g.first)
    first = solve_lower_transposed(f.root0, half)
    return Step(first, k, jnp.sum(gains) + jnp.sum(half**2), jnp.concatenate([v0[None], v]))


def carry_out(x: Expansion, f: Factor, step: Step, *, tangent: bool = False) -> tuple[Noises, Float[Array, "T N"]]:
    """What a step changes in the noises and, to first order, in the memories; `tangent` as of `solve`."""
    return one_kernel(_carried_out, _small(x) and not tangent)(x, f, step)


def _carried_out(x: Expansion, f: Factor, step: Step) -> tuple[Noises, Float[Array, "T N"]]:
    small = _small(x)
    mul = lambda A, B: times(A, B, small)

    def on(d: Array, row: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        F, G, K, k = row
        e = k - mul(K, d)
        d = mul(F, d) + mul(G, e)
        return d, (e, d)

    start = mul(x.G0, step.first)
    _, (e, d) = jax.lax.scan(on, start, (x.F, x.G, f.K, step.later))
    return Noises(step.first, e), jnp.concatenate([start[None], d])


def covariances(x: Expansion, f: Factor) -> Float[Array, "T N N"]:
    """Of the memories given all data."""
    return one_kernel(_covariances, _small(x))(x, f)


def _covariances(x: Expansion, f: Factor) -> Float[Array, "T N N"]:
    small = _small(x)
    mul = lambda A, B: times(A, B, small)

    def spread(G: Array, root: Array) -> Array:
        half = solve_lower(root, G.T)
        return mul(half.T, half)

    def on(P: Array, row: tuple[Array, ...]) -> tuple[Array, Array]:
        F, G, K, root = row
        A = F - mul(G, K)
        P = mul(A, mul(P, A.T)) + spread(G, root)
        return P, P

    start = spread(x.G0, f.root0)
    _, P = jax.lax.scan(on, start, (x.F, x.G, f.K, f.root))
    return jnp.concatenate([start[None], P])
