"""The exact diffuse phase: rows in which some direction of the state still has infinite variance.

The covariance is kappa D D' + P with kappa -> infinity; the flat part is kept as the loadings D of the memory on d
unknown coefficients, so that taking in an observation with w = z' D different from zero projects one direction out of
D and uses the observation up. Koopman & Durbin (2000, 2003); Durbin & Koopman (2012), chapter 5 and section 6.4.

Whether w is zero is a question of rank, answered against a bound ED of what rounding can have left in D
(cov of the rows of the error), which follows the same recursions as D: a direction once seen stays seen.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._products import FUSED_LIMIT, symmetric, times
from ssmlang.engines._rows import Row
from ssmlang.engines._univariate import DIFFUSE, Entry, Finite, Innovation
from ssmlang.engines.layout import Layout


class Flat(NamedTuple):
    """The flat part of the law of s_t."""

    D: Float[Array, "N d"]
    left: Float[Array, "d d"]
    """projection of the d coefficients on those directions that no observation has seen"""
    ED: Float[Array, "N N"]


class DiffuseGain(NamedTuple):
    """What the smoother needs of an entry: gains in powers of 1/kappa, and both innovation variances."""

    K0: Float[Array, " N"]
    K1: Float[Array, " N"]
    F_star: Float[Array, ""]


def rank_tolerance(layout: Layout, dtype: np.dtype) -> float:
    """Loadings below this size, relative to the rows they come from, are rounding."""
    return layout.size * float(jnp.finfo(dtype).eps) ** (2 / 3)


def start(D: Float[Array, "N d"], layout: Layout) -> Flat:
    """The flat law of row 0."""
    return Flat(D, jnp.eye(D.shape[1], dtype=D.dtype), _rounding(D, layout))


def unknown(flat: Flat, loadings: Float[Array, "k N"]) -> Bool[Array, " k"]:
    """Which of the combinations `loadings` s_t have infinite variance."""
    fused = len(flat.D) <= FUSED_LIMIT
    w = times(loadings, flat.D, fused)
    return jnp.sum(w * w, axis=-1) > jnp.sum(times(loadings, flat.ED, fused) * loadings, axis=-1)


def unknown_entries(D: Float[Array, "N d"], ED: Float[Array, "N N"]) -> Bool[Array, " N"]:
    """Which entries of the memory have infinite variance."""
    return jnp.sum(D * D, axis=-1) > univariate.variances(ED)


def update(
    now: Finite, flat: Flat, entry: Entry, begun: Float[Array, " N"], layout: Layout
) -> tuple[Finite, Flat, Innovation, DiffuseGain]:
    """Take in one observation (NaN: missing)."""
    z, only = entry.z, entry.only
    seen = ~jnp.isnan(entry.y)
    w = jnp.sum(z[:, None] * flat.D, axis=0)
    F_inf = jnp.sum(w * w)
    zED = jnp.sum(jax.lax.stop_gradient(z) * flat.ED, axis=-1)
    spent = seen & (jax.lax.stop_gradient(F_inf) > jnp.sum(zED * jax.lax.stop_gradient(z)))

    finite, inn = univariate.update(now, entry._replace(y=jnp.where(spent, jnp.nan, entry.y)), begun, layout)

    y = jnp.where(seen, entry.y, 0.0)
    M = jnp.sum(now.P * z, axis=-1)
    v = jnp.where(spent, y - entry.d - jnp.sum(z * now.m), 0.0)
    F_star = jnp.sum(M * z) + entry.R
    F_inf = jnp.where(spent, F_inf, 1.0)
    K0 = jnp.where(spent, jnp.sum(flat.D * w, axis=-1) / F_inf, 0.0)
    K1 = jnp.where(spent, (M - K0 * F_star) / F_inf, 0.0)

    P = now.P + F_star * K0[:, None] * K0 - K0[:, None] * M - M[:, None] * K0
    D = flat.D - K0[:, None] * w
    if only is not None:
        P = jnp.where(only[:, None] | only, entry.R * K0[:, None] * K0, P)
        D = jnp.where(only[:, None], 0.0, D)
    P = jnp.where(spent, symmetric(P), finite.P)
    m = jnp.where(spent, now.m + K0 * v, finite.m)
    E = None
    if now.E is not None and finite.E is not None:
        tolerance = univariate.zero_tolerance(layout, P.dtype)
        E = univariate.deflate(now.E, K0, z) + tolerance * univariate.diagonal(now.P)
        E = jnp.where(spent, E, finite.E)

    left = flat.left - jnp.sum(flat.left * w, axis=-1)[:, None] * w / F_inf
    after = Flat(
        D=jnp.where(spent, D, flat.D),
        left=jnp.where(spent, left, flat.left),
        ED=jnp.where(spent, univariate.deflate(flat.ED, K0, z) + _rounding(flat.D, layout), flat.ED),
    )
    kind = jnp.where(spent, DIFFUSE, inn.kind)
    F = jnp.where(spent, F_inf, inn.F)
    gain = DiffuseGain(jnp.where(spent, K0, inn.K), K1, F_star)
    return Finite(P, m, E), _settle(after), Innovation(jnp.where(spent, v, inn.v), F, kind, inn.K), gain


def time_update(flat: Flat, row: Row, layout: Layout) -> Flat:
    """From row t to row t + 1."""
    top = jax.lax.stop_gradient(row.top)
    D = univariate.advance_rows(flat.D, row.top, layout)
    ED = univariate.propagated(flat.ED, top, layout)
    return _settle(flat._replace(D=D, ED=ED + _rounding(D, layout)))


def with_infinite(P: Float[Array, "k k"], unknown: Bool[Array, " k"]) -> Float[Array, "k k"]:
    """Variance inf and covariances 0 for the unknown entries."""
    P = jnp.where(unknown[:, None] | unknown, 0.0, P)
    return jnp.where(np.eye(len(P), dtype=np.bool_) & unknown, jnp.inf, P)


def exhausted(flat: Flat) -> Bool[Array, ""]:
    """Whether nothing is diffuse any more."""
    return jnp.all(flat.D == 0)


def _settle(flat: Flat) -> Flat:
    """Nothing but rounding left: exactly nothing."""
    over = ~jnp.any(unknown_entries(flat.D, flat.ED))
    return flat._replace(D=jnp.where(over, 0.0, flat.D), ED=jnp.where(over, 0.0, flat.ED))


def _rounding(D: Float[Array, "N d"], layout: Layout) -> Float[Array, "N N"]:
    D = jax.lax.stop_gradient(D)
    size = jnp.sum(D * D, axis=-1)
    return rank_tolerance(layout, D.dtype) ** 2 * jnp.where(np.eye(len(D), dtype=np.bool_), size, 0.0)
