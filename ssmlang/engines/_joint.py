"""What is conditioned on y_0, ..., y_{T-1}, from the joint normal law of all rows and one Cholesky factorisation.

With Sigma_YY = C C' over the entries that were seen and the whitened innovations e = C^-1 (y - mean), the best estimate
of any X is  mean + G e,  G = Cov(X, Y) C^-T, and its causal part, the columns of the rows before t, gives the one-step
predictions: the Wiener-Hopf equation on a finite horizon.

An entry without noise of its own that the earlier ones predict exactly is skipped if it agrees with them; if not, the
log-likelihood is -inf. "Exactly" is a pivot that is rounding of the entry's variance, "agrees" within about seven
digits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

from ssmlang.engines.base import Filtered, Smoothed


class Observed(NamedTuple):
    """The law of all observations."""

    mean: Float[Array, "T m"]
    cov: Float[Array, "T m T m"]
    R: Float[Array, "T m m"]
    """the part of it that is white and that the states know nothing of"""


class Hidden(NamedTuple):
    """The law of the states beside it."""

    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    cross: Float[Array, "T n T m"]
    """with all observations"""


class Factored(NamedTuple):
    """C of the entries used, the identity at the others; their innovations, zero at the others."""

    root: Float[Array, "Tm Tm"]
    used: Bool[Array, " Tm"]
    e: Float[Array, " Tm"]
    impossible: Bool[Array, " Tm"]
    """which contradict an exact prediction"""


def factor(law: Observed, y: Float[Array, "T m"]) -> Factored:
    """Factor the covariance of what was seen."""
    size = law.mean.size
    seen = ~jnp.isnan(y).reshape(-1)
    away = jnp.where(seen, y.reshape(-1) - law.mean.reshape(-1), 0.0)
    cov = law.cov.reshape(size, size)
    exact = (jnp.diagonal(law.R, axis1=1, axis2=2) == 0.0).reshape(-1)
    tolerance = 4.0 * max(size, 1) * float(jnp.finfo(cov.dtype).eps)
    bound = jnp.where(exact, tolerance * jnp.diagonal(cov), 0.0)

    root = jnp.linalg.cholesky(_restricted(cov, seen))
    pivots = jnp.diagonal(root) ** 2
    # Not "pivots <= bound": a factorisation that broke down is NaN.
    suspect = jax.lax.stop_gradient(jnp.any(seen & ~(pivots > bound)))

    def skipping() -> tuple[Array, Array]:
        used = _independent(jax.lax.stop_gradient(cov), seen, jax.lax.stop_gradient(bound))
        return jnp.linalg.cholesky(_restricted(cov, used)), used

    root, used = jax.lax.cond(suspect, skipping, lambda: (root, seen))
    e = solve_triangular(root, jnp.where(used, away, 0.0), lower=True)
    told = cov @ solve_triangular(root.T, e, lower=False)
    near = np.sqrt(tolerance) * (jnp.abs(jnp.where(seen, y.reshape(-1), 0.0)) + jnp.abs(law.mean.reshape(-1)))
    near = near + np.sqrt(tolerance) * jnp.sqrt(jnp.maximum(jnp.diagonal(cov), 0.0))
    return Factored(root, used, e, seen & ~used & (jnp.abs(away - told) > near))


def terms(law: Observed, found: Factored) -> Float[Array, " T"]:
    """Log-density of each row given the rows before it."""
    each = -0.5 * found.e**2 - jnp.log(jnp.diagonal(found.root)) - 0.5 * np.log(2 * np.pi)
    each = jnp.where(found.impossible, -jnp.inf, jnp.where(found.used, each, 0.0))
    return jnp.sum(each.reshape(law.mean.shape), axis=1)


def filtered(law: Observed, hidden: Hidden, found: Factored) -> Filtered:
    """Moments given the rows up to each, and the rows before it."""
    steps = len(law.mean)
    late = np.arange(steps)[:, None] - np.arange(steps)
    G, G_y = _gain(hidden.cross, found), _gain(law.cov, found)
    predicted = _given(hidden.mean, hidden.cov, G, found, late > 0)
    mean, cov = _given(hidden.mean, hidden.cov, G, found, late >= 0)
    observed = _given(law.mean, _rows_of(law.cov), G_y, found, late > 0)
    return Filtered(mean, cov, *predicted, *observed, terms(law, found))


def smoothed(law: Observed, hidden: Hidden, found: Factored) -> Smoothed:
    """Moments given all rows."""
    steps, m = law.mean.shape
    everything = np.ones((steps, steps), bool)
    state = _given(hidden.mean, hidden.cov, _gain(hidden.cross, found), found, everything)
    at = np.arange(steps)
    cross = law.cov.reshape(steps, m, steps, m).at[at, :, at, :].add(-law.R)
    signal = _given(law.mean, _rows_of(law.cov) - law.R, _gain(cross, found), found, everything)
    return Smoothed(*state, *signal, terms(law, found))


def _gain(cross: Float[Array, "T i T m"], found: Factored) -> Float[Array, "T i T m"]:
    """Cov(X, Y) C^-T."""
    flat = cross.reshape(-1, len(found.used))
    return solve_triangular(found.root, jnp.where(found.used, flat, 0.0).T, lower=True).T.reshape(cross.shape)


def _given(
    mean: Float[Array, "T i"], cov: Float[Array, "T i i"], G: Array, found: Factored, rows: Bool[np.ndarray, "T T"]
) -> tuple[Float[Array, "T i"], Float[Array, "T i i"]]:
    """Moments of row t given the rows marked for it."""
    G = jnp.where(rows[:, None, :, None], G, 0.0).reshape(*mean.shape, -1)
    return mean + G @ found.e, cov - G @ jnp.swapaxes(G, 1, 2)


def _rows_of(cov: Float[Array, "T m T m"]) -> Float[Array, "T m m"]:
    at = np.arange(cov.shape[0])
    return cov[at, :, at, :]


def _restricted(cov: Float[Array, "i i"], used: Bool[Array, " i"]) -> Float[Array, "i i"]:
    """The identity outside of what is used."""
    return jnp.where(used[:, None] & used, cov, jnp.eye(len(used), dtype=cov.dtype))


def _independent(cov: Float[Array, "i i"], seen: Bool[Array, " i"], bound: Float[Array, " i"]) -> Bool[Array, " i"]:
    """The entries that those before them do not predict exactly: Cholesky column by column, small pivots left out."""

    def column(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        root, used = carry
        pivot = cov[j, j] - jnp.sum(root[j] ** 2)
        take = seen[j] & ~(pivot <= bound[j])  # what is no number stays, to be seen in the result
        below = (cov[:, j] - root @ root[j]) / jnp.sqrt(jnp.where(take, pivot, 1.0))
        below = jnp.where(take & (jnp.arange(len(cov)) >= j), below, 0.0)
        return root.at[:, j].set(below), used.at[j].set(take)

    return jax.lax.fori_loop(0, len(cov), column, (jnp.zeros_like(cov), jnp.zeros_like(seen)))[1]
