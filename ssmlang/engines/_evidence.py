"""The density of a row's observations where their law is not Gaussian, from a linearised update.

Engines that work with moments see such observations through an affine Gaussian stand-in z ~ A s + b + N(0, Omega). With
p(s) the law ahead of the row and q(s) the law after it under the stand-in, q = p N(z; A s + b, Omega) / N(z) exactly,
so that

    p(y) = integral p(y | s) p(s) ds = N(z) E_q[ratio(s)],      ratio(s) = p(y | s) / N(z; A s + b, Omega)

What is Gaussian given the state is left to its stand-in: the ratio is that of the other observations. Its mean is taken
along one axis after the other, by three Gauss-Hermite points each, as if its logarithm were a sum over axes: first
along what A sees, then along the rest. At the mean alone, without the axes, it would be Laplace's formula.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._linearise import Affine, root
from ssmlang.engines._products import FUSED_LIMIT, product, product_transposed, symmetric
from ssmlang.engines._row_update import eliminated
from ssmlang.engines.nonlinear import Facts, Law

REACH = sqrt(3.0)
CENTRE, SIDE = log(2 / 3), log(1 / 6)
"""Three Gauss-Hermite points: 0 and +-REACH, with the logarithms of their weights."""

NOISE = 1e-13
"""Share of a variance below which what the axes leave of it is rounding."""


def evidence(
    log_emission: Callable[[Array], Array], ahead: Law, after: Law, sight: Affine, z: Float[Array, " k"],
    counted: Bool[Array, " k"], fused: bool,
) -> Float[Array, ""]:  # fmt: skip
    """log p(y), from the laws ahead and after with their covariances; NaN in z is missing. `log_emission` is the
    log-density of the observations that `counted` entries of z stand for.

    Where the law of y has no density at the mean after the update, which lies outside of what it allows, the stand-in's
    own density is given.
    """
    spread = product(sight.A, product_transposed(ahead.cov, sight.A, fused), fused)
    return averaged(log_emission, ahead.mean, spread, after.mean, axes(after, sight.A, fused), sight, z, counted, fused)


def averaged(
    log_emission: Callable[[Array], Array], ahead: Float[Array, " N"], spread: Float[Array, "k k"],
    after: Float[Array, " N"], sides: Float[Array, "N j"], sight: Affine, z: Float[Array, " k"],
    counted: Bool[Array, " k"], fused: bool,
) -> Float[Array, ""]:  # fmt: skip
    """`evidence` from the means ahead and after, the covariance of A s ahead, and the axes of the law after."""
    S = symmetric(spread + sight.Omega)
    X, w = _eliminated(S, ~jnp.isnan(z), len(ahead), fused)
    X_own, w_own = _eliminated(sight.Omega, (w > 0) & counted, 0, fused)

    def away(s: Array) -> Array:
        return jnp.where(w > 0, z - product(sight.A, s[:, None], fused)[:, 0] - sight.b, 0.0)

    def log_ratio(s: Array) -> Array:
        return log_emission(s) - _log_density(X_own, w_own, away(s), fused)

    # A variance that is no number counts as no observation in the elimination: it must not in the result.
    means = product(sight.A, ahead[:, None], fused)[:, 0] + sight.b
    lost = jnp.any(~jnp.isnan(z) & jnp.isnan(means + jnp.sum(S * np.eye(len(S)), axis=1)))
    plain = jnp.where(lost, jnp.nan, _log_density(X, w, away(ahead), fused))
    seen = jnp.any(~jnp.isnan(z))
    # The centre with the other points: a density is hundreds of operations, and two of them compile twice as long.
    at = after[:, None] + REACH * jnp.concatenate([jnp.zeros_like(after)[:, None], sides, -sides], axis=1)
    ratios = jax.vmap(log_ratio, -1)(at)
    centre, there = ratios[0], ratios[1:]
    if not sides.shape[1]:
        return jnp.where(seen, plain + jnp.where(jnp.isnan(centre), 0.0, centre), 0.0)
    # A point outside of what the law allows has no density; where the centre is no point of it nothing can be compared.
    sound = jnp.isfinite(centre)
    off = jnp.where(jnp.isnan(there) | ~sound, -jnp.inf, there - jnp.where(sound, centre, 0.0))
    both = jnp.logaddexp(off[: sides.shape[1]], off[sides.shape[1] :])
    mean = centre + jnp.sum(jnp.logaddexp(CENTRE, SIDE + both))
    return jnp.where(seen, plain + jnp.where(jnp.isnan(centre), 0.0, jnp.where(sound, mean, centre)), 0.0)


def counted_alone(facts: Facts, y: Float[Array, " m"]) -> Float[Array, " m"]:
    """A row of data with what is Gaussian given the state left out."""
    return jnp.where(np.isin(np.arange(facts.m), facts.counted), y, jnp.nan)


def axes(law: Law, A: Float[Array, "k N"], fused: bool) -> Float[Array, "N j"]:
    """Columns whose outer products sum to the covariance: along what A sees first, then along what is left.

    Of a law of more than `FUSED_LIMIT` entries the first alone.
    """
    (k, N), P = A.shape, law.cov
    if k >= N:
        return root(P, fused)
    seen = axes_seen(product_transposed(P, A, fused), A, fused)
    if N > FUSED_LIMIT:
        return seen
    left = symmetric(P - product_transposed(seen, seen, fused))
    there = jnp.sum(left * np.eye(N), axis=1) > NOISE * jnp.sum(P * np.eye(N), axis=1)
    return jnp.concatenate([seen, root(jnp.where(there[:, None] & there, left, 0.0), fused)], axis=1)


def axes_seen(PA: Float[Array, "N k"], A: Float[Array, "k N"], fused: bool) -> Float[Array, "N k"]:
    """The axes along what A sees, from P A'."""
    S = symmetric(product(A, PA, fused))
    X, w = _eliminated(S, jnp.ones(len(A), bool), len(PA), fused)
    half = jnp.where(w > 0, jnp.sqrt(jnp.where(w > 0, w, 1.0)), 0.0)
    return product_transposed(PA, X * half[:, None], fused)


def _eliminated(S: Array, seen: Array, N: int, fused: bool) -> tuple[Float[Array, "k k"], Float[Array, " k"]]:
    """X with X S X' = diag(1 / w) on what is seen; w is zero for what is not, and for what has no variance."""
    bound = jax.lax.stop_gradient(jnp.sum(S * np.eye(len(S)), axis=1)) * 16 * (N + 1) * float(jnp.finfo(S.dtype).eps)
    X, _, w, _ = one_kernel(eliminated, not fused)(S, jnp.zeros_like(bound), seen, bound)
    return X, w


def _log_density(X: Array, w: Array, left: Array, fused: bool) -> Float[Array, ""]:
    e = product(X, left[:, None], fused)[:, 0]
    return -0.5 * jnp.sum(jnp.where(w > 0, e * e * w + log(2 * pi) - jnp.log(jnp.where(w > 0, w, 1.0)), 0.0))
