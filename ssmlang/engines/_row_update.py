"""All observations of a row at once, and the closed-form derivative of that.

With W = P Z', S = Z W + C + diag R and S = L D L' by elimination in the order of the observations, an entry that is
missing or already known leaving no trace, and X = 1 / L, M = X W', e = X v:

    P+ = P - M' M / D,  m+ = m + M' e / D,  log p = -(log D + e^2 / D + log 2 pi) / 2, summed over the entries used

which are the numbers of the univariate updates, whatever the rank of C. With bars for cotangents, g that of log p,
K = X' M / D (the gain, transposed), S^-1 = X' X / D, u = X' e / D:

    v_bar = K m_bar - g u,  S_bar = K P_bar+ K' - (K m_bar u' + u m_bar' K') / 2 - g (S^-1 - u u') / 2
    W_bar' = u m_bar' - 2 K P_bar+ + S_bar Z
    Z_bar = W_bar' P + S_bar W' - v_bar m',  P_bar = P_bar+ + (W_bar Z + Z' W_bar') / 2,  m_bar = m_bar+ - Z' v_bar

No division but by D, so singular covariances need no care.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, gram, product, product_transposed, symmetric
from ssmlang.engines._rows import Row
from ssmlang.engines._univariate import IMPOSSIBLE, SKIPPED, USED, Finite, columns, zero_tolerance
from ssmlang.engines.layout import Layout

UNROLLED_PIVOTS = 4
"""Up to this many observations the elimination is written out."""


class Taken(NamedTuple):
    """A row's observations, eliminated: see the module."""

    W: Float[Array, "m N"]
    """Z P"""
    X: Float[Array, "m m"]
    M: Float[Array, "m N"]
    e: Float[Array, "m series"]
    D: Float[Array, " m"]
    """1 where an entry is not used"""
    w: Float[Array, " m"]
    """1 / D, 0 where an entry is not used"""
    kind: Int[Array, " m"]


class Bars(NamedTuple):
    """Cotangents of what a row's update reads besides the moments."""

    Z: Float[Array, "m N"]
    d: Float[Array, " m"]
    R: Float[Array, " m"]
    C: Float[Array, "m m"] | None
    y: Float[Array, m * S]


def taken(
    P: Float[Array, "N N"], m: Float[Array, N * S], row: Row, y: Float[Array, m * S], layout: Layout,
    used: Bool[Array, " m"] | None = None,
) -> Taken:  # fmt: skip
    """The elimination; `used`: which entries are, where that is known, so that nothing has to be judged."""
    Z, fused = row.Z, layout.fused
    there = columns(~jnp.isnan(y))
    means = product(Z, columns(m), fused)
    v = jnp.where(there, columns(y) - row.d[:, None] - means, 0.0)
    W = product(Z, P, fused)
    S = symmetric(product_transposed(W, Z, fused))
    if row.C is not None:
        S = S + row.C
    bound = jnp.full_like(row.R, -1.0)
    seen = there[:, 0]
    if used is not None:
        seen = used
    else:
        known = univariate.variances(P)
        size = product(Z * Z, known[:, None], fused)[:, 0] + (jnp.sum(S * np.eye(len(Z)), axis=1))
        bound = jnp.where(row.R == 0, 2 * zero_tolerance(layout, P.dtype) * jax.lax.stop_gradient(size), bound)
    X, D, w, zero = one_kernel(eliminated, not fused)(S, row.R, seen, bound)
    e = product(X, v, fused)
    kind = jnp.where(w > 0, USED, SKIPPED)
    if used is None:
        kind = jnp.where(_contradicted(row, y, m, e, zero & seen, layout), IMPOSSIBLE, kind)
    return Taken(W, X, product(X, W, fused), e, D, w, kind)


@jax.custom_jvp
def eliminated(
    S: Float[Array, "m m"], R: Float[Array, " m"], seen: Bool[Array, " m"], bound: Float[Array, " m"]
) -> tuple[Float[Array, "m m"], Float[Array, " m"], Float[Array, " m"], Bool[Array, " m"]]:
    """X, D and 1 / D of S + diag R, and which pivots are zero."""
    count = len(R)
    at = np.arange(count)

    def pivot(carry: tuple[Array, Array], x: tuple[Any, ...]) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        (S, X), (i, R, seen, bound) = carry, x
        D = jnp.maximum(S[i, i], 0.0) + R
        zero = jax.lax.stop_gradient(D) <= bound
        used = seen & ~zero
        D = jnp.where(used, D, 1.0)
        w = jnp.where(used, 1.0 / D, 0.0)
        f = jnp.where(at > i, S[:, i] * w, 0.0)[:, None]
        return (S - f * S[i], X - f * X[i]), (D, w, zero)

    carry: Any = (S, jnp.eye(count, dtype=S.dtype))
    if count > UNROLLED_PIVOTS:
        (_, X), found = jax.lax.scan(pivot, carry, (jnp.arange(count), R, seen, bound))
        return X, *found
    parts = []
    for i in range(count):
        carry, part = pivot(carry, (i, R[i], seen[i], bound[i]))
        parts.append(part)
    D, w, zero = (jnp.stack(leaves) for leaves in zip(*parts, strict=True))
    return carry[1], D, w, zero


@eliminated.defjvp
def _eliminated_rule(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    """With T = X (dS + diag dR) X' of the entries that are used dD is the diagonal and dX = -(strictly lower T / D) X:
    a third of the operations of the elimination's own derivative."""
    found = eliminated(*primals)
    X, D, w, zero = found
    fused = len(D) <= FUSED_LIMIT
    dS = tangents[0] + tangents[1][:, None] * np.eye(len(D))
    T = product_transposed(product(X, dS, fused), X, fused)
    dD = jnp.where(w > 0, jnp.sum(T * np.eye(len(D)), axis=1), 0.0)
    dX = -product(T * w * np.tri(len(D), k=-1), X, fused)
    return found, (dX, dD, -(w**2) * dD, np.zeros(zero.shape, jax.dtypes.float0))


def _contradicted(
    row: Row, y: Float[Array, m * S], m: Float[Array, N * S], e: Float[Array, "m series"], zero: Bool[Array, " m"],
    layout: Layout,
) -> Bool[Array, " m"]:  # fmt: skip
    """Which of the entries without variance differ from their prediction."""

    def judged(Z: Array, d: Array, y: Array, m: Array, e: Array) -> Array:
        size = jnp.abs(y) + jnp.abs(d)[:, None] + product(jnp.abs(Z), jnp.abs(m), layout.fused)
        return jnp.any(jnp.abs(e) > float(np.sqrt(zero_tolerance(layout, Z.dtype))) * size, axis=1)

    facts = jax.lax.stop_gradient((row.Z, row.d, columns(y), columns(m), e))
    return zero & jax.lax.cond(jnp.any(zero), judged, lambda *_: jnp.zeros(zero.shape, bool), *facts)


def moved(P: Float[Array, "N N"], m: Float[Array, N * S], t: Taken, layout: Layout) -> Finite:
    """Moments given the row's observations."""
    scaled = t.M * t.w[:, None]
    P = P - gram(t.M, t.w, layout.fused)
    return Finite(P, m + product(scaled.T, t.e, layout.fused).reshape(m.shape), None)


class Settled(NamedTuple):
    """A row whose predicted covariance is that of every row: standardised innovations and the next predicted mean,

        e = V_y (y - d) + V_m m,      m' = A m + K (y - d) + a
    """

    V_m: Float[Array, "m N"]
    V_y: Float[Array, "m m"]
    A: Float[Array, "N N"]
    K: Float[Array, "N m"]
    log_F: Float[Array, ""]
    """log-determinant of the innovations' covariance"""
    W: Float[Array, "m N"]
    gain: Float[Array, "N m"]
    """of the filtered mean"""


def settled(P: Float[Array, "N N"], row: Row, layout: Layout) -> Settled:
    """What a row does to the mean, where all of its observations are used."""
    Z, fused, count = row.Z, layout.fused, len(row.R)
    W = product(Z, P, fused)
    S = symmetric(product_transposed(W, Z, fused))
    # Where an entry has no variance nothing settles, and the numbers are not used: they must be finite all the same.
    every, zero = jnp.ones(count, bool), jnp.zeros(count, P.dtype)
    X, D, w, _ = eliminated(S if row.C is None else S + row.C, row.R, every, zero)
    half = X * jnp.sqrt(w)[:, None]
    of_y = product(product(half, W, fused).T, half, fused)
    of_m = jnp.eye(len(P), dtype=P.dtype) - product(of_y, Z, fused)
    A, K = (univariate.advance_rows(part, row.top, layout) for part in (of_m, of_y))
    return Settled(-product(half, Z, fused), half, A, K, jnp.sum(jnp.log(D)), W, of_y)


def gained(
    e: Float[Array, "m series"], D: Float[Array, " m"], kind: Int[Array, " m"], y: Float[Array, m * S]
) -> Float[Array, ""]:
    """Log-density of a row's entries from the innovations and their variances."""
    count = members(y)
    each = count * jnp.log(D)
    each = each + jnp.where(kind == USED, jnp.sum(e * e, axis=1) / D + count * float(np.log(2 * np.pi)), 0.0)
    return jnp.sum(jnp.where(kind == IMPOSSIBLE, -jnp.inf, -0.5 * each))


def members(y: Float[Array, m * S]) -> Float[Array, " m"] | float:
    """How many series have an entry."""
    return 1.0 if y.ndim == 1 else jnp.sum(jnp.where(jnp.isnan(y), 0.0, 1.0), axis=1)


def back(
    P_bar: Float[Array, "N N"], m_bar: Float[Array, N * S], g: Float[Array, ""], row: Row, y: Float[Array, m * S],
    P: Float[Array, "N N"], m: Float[Array, N * S], t: Taken, layout: Layout,
) -> tuple[Float[Array, "N N"], Float[Array, N * S], Bars]:  # fmt: skip
    """From the cotangents of the filtered moments to those of the predicted ones and of the row's numbers."""
    fused, Z, m_bars = layout.fused, row.Z, columns(m_bar)
    there = columns(~jnp.isnan(y))
    count = jnp.max(members(y)) if y.ndim > 1 else 1.0
    scaled = (t.X * t.w[:, None]).T
    K, u, inverse = (product(scaled, a, fused) for a in (t.M, t.e, t.X))
    Km = product(K, m_bars, fused)
    v_bar = jnp.where(there, Km - g * u, 0.0)
    KP = product(K, P_bar, fused)
    uu, both = product_transposed(u, u, fused), product_transposed(Km, u, fused)
    S_bar = product_transposed(KP, K, fused) - symmetric(both) - 0.5 * g * (count * inverse - uu)
    W_bar = product_transposed(u, m_bars, fused) - 2 * KP + product(S_bar, Z, fused)
    Z_bar = product(W_bar, P, fused) + product(S_bar, t.W, fused) - product_transposed(v_bar, columns(m), fused)
    P_bar = P_bar + symmetric(product(W_bar.T, Z, fused))
    m_bar = m_bar - product(Z.T, v_bar, fused).reshape(m.shape)
    C_bar = None if row.C is None else S_bar
    R_bar = jnp.sum(S_bar * np.eye(len(Z)), axis=1)
    return P_bar, m_bar, Bars(Z_bar, -jnp.sum(v_bar, axis=1), R_bar, C_bar, v_bar.reshape(y.shape))
