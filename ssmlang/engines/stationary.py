"""The stationary law of s' = A s + a + B w, w ~ N(0, I), by doubling."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_DOUBLINGS = 50
"""A^(2^50): a spectral radius up to about 1 - 1e-13 counts as below one."""


class Stationary(NamedTuple):
    """Mean and covariance, and whether there is such a law; finite numbers without a meaning where there is none."""

    mean: Float[Array, " N"]
    cov: Float[Array, "N N"]
    exists: Bool[Array, ""]


def stationary(A: Float[Array, "N N"], a: Float[Array, " N"], B: Float[Array, "N r"]) -> Stationary:
    """The stationary law, differentiable in A, a and B to any order.

    mean = A mean + a and cov = A cov A' + B B', the second by squared Smith doubling, P <- P + A P A', A <- A A
    (Smith 1968; Anderson & Moore 1979, section 6.7), so no eigenvalues are needed. The derivative is that of the
    equation (one more doubling), not of the iteration, and so as exact as the solution near the unit circle too.
    `exists` is whether some power A^(2^k) falls below one in norm, which is the spectral radius being below one; where
    it is not, the law of A = 0 stands in, so that values and derivatives stay finite.
    """
    exists = is_stable(A)
    A = jnp.where(exists, A, 0.0)
    Q = B @ B.T
    mean = jnp.linalg.solve(jnp.eye(len(a), dtype=A.dtype) - A, a)
    return Stationary(mean, discrete_lyapunov(A, Q), exists)


def discrete_lyapunov(A: Float[Array, "N N"], Q: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """The symmetric P = A P A' + Q, for symmetric Q and a spectral radius of A below one."""
    P = jax.lax.custom_linear_solve(
        lambda P: P - A @ P @ A.T,
        Q,
        solve=lambda _, Q: _doubling(jax.lax.stop_gradient(A), Q),
        transpose_solve=lambda _, S: _doubling(jax.lax.stop_gradient(A).T, S),
    )
    return 0.5 * (P + P.T)


def is_stable(A: Float[Array, "N N"]) -> Bool[Array, ""]:
    """Whether the spectral radius of A is below one, by squaring."""

    def unsettled(carry: tuple[Array, Array, Array]) -> Array:
        k, _, norm = carry
        return (k < _DOUBLINGS) & (norm >= 1.0) & (norm < jnp.finfo(A.dtype).max ** 0.25)

    def square(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        k, X, _ = carry
        X = X @ X
        return k + 1, X, _norm(X)

    A = jax.lax.stop_gradient(A)
    _, _, norm = jax.lax.while_loop(unsettled, square, (jnp.zeros((), int), A, _norm(A)))
    return norm < 1.0


def _doubling(A: Float[Array, "N N"], Q: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """sum_k A^k Q A'^k."""

    def unsettled(carry: tuple[Array, Array, Array, Array]) -> Array:
        k, _, P, step = carry
        return (k < _DOUBLINGS) & (step > 0.25 * jnp.finfo(A.dtype).eps * _norm(P))

    def double(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        k, X, P, _ = carry
        more = X @ P @ X.T
        return k + 1, X @ X, P + more, _norm(more)

    return jax.lax.while_loop(unsettled, double, (jnp.zeros((), int), A, Q, jnp.full((), jnp.inf, A.dtype)))[2]


def _norm(X: Float[Array, "N N"]) -> Float[Array, ""]:
    return jnp.max(jnp.sum(jnp.abs(X), axis=-1), initial=0.0)
