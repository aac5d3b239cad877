"""The density of a row's observations where their law is not Gaussian, from a linearised update.

Engines that work with moments see such observations through an affine Gaussian stand-in z ~ A s + b + N(0, Omega). With
p(s) the law ahead of the row and q(s) the law after it under the stand-in, q = p N(z; A s + b, Omega) / N(z) exactly,
so that

    p(y) = integral p(y | s) p(s) ds = N(z) E_q[ratio(s)],      ratio(s) = p(y | s) / N(z; A s + b, Omega)

The ratio is 1 where the stand-in is the law itself. Its mean is taken along one axis after the other, by three
Gauss-Hermite points each, as if its logarithm were a sum over axes: first along those that A sees, then along what they
leave. At the mean alone, without the axes, it would be Laplace's formula (`laplace_term`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._linearise import Affine, root
from ssmlang.engines._products import FUSED_LIMIT, product, product_transposed, symmetric
from ssmlang.engines._row_update import eliminated
from ssmlang.engines.nonlinear import Law

REACH = sqrt(3.0)
CENTRE, SIDE = log(2 / 3), log(1 / 6)
"""Three Gauss-Hermite points: 0 and +-REACH, with the logarithms of their weights."""

NOISE = 1e-13
"""Share of a variance below which what the axes leave of it is rounding."""


def evidence(
    log_emission: Callable[[Array], Array], ahead: Law, after: Law, sight: Affine, z: Float[Array, " k"], fused: bool
) -> Float[Array, ""]:
    """log p(y), from the laws ahead and after with their covariances; NaN in z is missing.

    Where the law of y has no density at the mean after the update, which lies outside of what it allows, the stand-in's
    own density is given.
    """
    S = symmetric(product(sight.A, product_transposed(ahead.cov, sight.A, fused), fused) + sight.Omega)
    X, w = _eliminated(S, ~jnp.isnan(z), len(ahead.mean), fused)
    X_own, w_own = _eliminated(sight.Omega, w > 0, 0, fused)

    def away(s: Array) -> Array:
        return jnp.where(w > 0, z - product(sight.A, s[:, None], fused)[:, 0] - sight.b, 0.0)

    def log_ratio(s: Array) -> Array:
        return log_emission(s) - _log_density(X_own, w_own, away(s), fused)

    plain = _log_density(X, w, away(ahead.mean), fused)
    centre = log_ratio(after.mean)
    sides = axes(after, sight.A, fused)
    seen = jnp.any(~jnp.isnan(z))
    if not sides.shape[1]:
        return jnp.where(seen, plain + jnp.where(jnp.isnan(centre), 0.0, centre), 0.0)
    at = after.mean[:, None] + REACH * jnp.concatenate([sides, -sides], axis=1)
    there = jax.vmap(log_ratio, -1)(at)
    # A point outside of what the law allows has no density; where the centre is no point of it nothing can be compared.
    sound = jnp.isfinite(centre)
    off = jnp.where(jnp.isnan(there) | ~sound, -jnp.inf, there - jnp.where(sound, centre, 0.0))
    both = jnp.logaddexp(off[: sides.shape[1]], off[sides.shape[1] :])
    mean = centre + jnp.sum(jnp.logaddexp(CENTRE, SIDE + both))
    return jnp.where(seen, plain + jnp.where(jnp.isnan(centre), 0.0, jnp.where(sound, mean, centre)), 0.0)


def axes(law: Law, A: Float[Array, "k N"], fused: bool) -> Float[Array, "N j"]:
    """Columns whose outer products sum to the covariance: along what A sees first, then along what is left.

    Of a law of more than `FUSED_LIMIT` entries the first alone.
    """
    (k, N), P = A.shape, law.cov
    if k >= N:
        return root(P, fused)
    PA = product_transposed(P, A, fused)
    S = symmetric(product(A, PA, fused))
    X, w = _eliminated(S, jnp.ones(k, bool), N, fused)
    half = jnp.where(w > 0, jnp.sqrt(jnp.where(w > 0, w, 1.0)), 0.0)
    seen = product_transposed(PA, X * half[:, None], fused)
    if N > FUSED_LIMIT:
        return seen
    left = symmetric(P - product_transposed(seen, seen, fused))
    there = jnp.sum(left * np.eye(N), axis=1) > NOISE * jnp.sum(P * np.eye(N), axis=1)
    return jnp.concatenate([seen, root(jnp.where(there[:, None] & there, left, 0.0), fused)], axis=1)


def _eliminated(S: Array, seen: Array, N: int, fused: bool) -> tuple[Float[Array, "k k"], Float[Array, " k"]]:
    """X with X S X' = diag(1 / w) on what is seen; w is zero for what is not, and for what has no variance."""
    bound = jax.lax.stop_gradient(jnp.sum(S * np.eye(len(S)), axis=1)) * 16 * (N + 1) * float(jnp.finfo(S.dtype).eps)
    X, _, w, _ = one_kernel(eliminated, not fused)(S, jnp.zeros_like(bound), seen, bound)
    return X, w


def _log_density(X: Array, w: Array, left: Array, fused: bool) -> Float[Array, ""]:
    e = product(X, left[:, None], fused)[:, 0]
    return -0.5 * jnp.sum(jnp.where(w > 0, e * e * w + log(2 * pi) - jnp.log(jnp.where(w > 0, w, 1.0)), 0.0))


def laplace_term(e: Array, S: Array, R: Array, there: Array) -> Array:
    """log p(s+ | before) - log p(s+ | y) at the updated mean s+, for a linearised update with innovation e.

    S and R are the innovation's covariance and the emission's part of it. With the log-density of y at s+ this is
    log p(y | before) by Bayes' rule at that point: of the law itself, where the Gaussian density of a statistic (of an
    indicator, say) is no probability. Exact for a Gaussian emission.
    """
    both = there[:, None] & there[None, :]
    L = jnp.linalg.cholesky(jnp.where(both, S, jnp.eye(len(e))))
    L_R = jnp.linalg.cholesky(jnp.where(both, R, jnp.eye(len(e))))
    u = jax.scipy.linalg.cho_solve((L, True), e)
    moved = u @ jnp.where(both, S - R, 0.0) @ u
    return jnp.sum(jnp.log(jnp.diagonal(L_R)) - jnp.log(jnp.diagonal(L))) - 0.5 * moved
