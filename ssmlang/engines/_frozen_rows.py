"""A block of rows through which the covariance stays as it is: its mean alone, and the derivative of that.

With P settled (see `_row_update.settled`), u_t = S^-1 v_t, B = Z' u, A_c the closed loop A (I - gain Z) and bars for
cotangents, g that of the log-density, the adjoint of a row is

    m_bar_t = q + g B_t,  q = A_c' m_bar_{t+1}
    P_bar_t = A_c' P_bar_{t+1} A_c + (B_t h' + h B_t') / 2 - g Z' S^-1 Z / 2,  h = q + g B_t / 2

and every other cotangent is a sum over the rows that is taken after the recursion: the formulas are those of
`_row_update`, in which what does not change is put outside.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _row_update as row_update
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._products import product, product_transposed, symmetric
from ssmlang.engines._row_update import Settled
from ssmlang.engines._rows import Row
from ssmlang.engines._univariate import Finite
from ssmlang.engines.layout import Layout


class Through(NamedTuple):
    """The block's means and innovations."""

    settled: Settled
    means: Float[Array, "L N series"]
    """before each row"""
    m: Float[Array, "N series"]
    """after the last"""
    e: Float[Array, "L m series"]
    """standardised innovations, zero for a series that only fills up a group"""
    members: Float[Array, ""]
    """how many series there are"""


def through(
    layout: Layout, now: Finite, row: Row, varying: dict[str, Array], y: Float[Array, "L m *series"]
) -> Through:
    """The mean alone, row by row."""
    settled, entries = row_update.settled(now.P, row, layout), y.shape[1]
    d = varying["d"] if "d" in varying else jnp.broadcast_to(row.d, y.shape[:2])
    missing = jnp.isnan(y).reshape(*y.shape[:2], -1)
    centred = jnp.where(missing, 0.0, y.reshape(missing.shape) - d[..., None])
    known = _by_row(product(jnp.concatenate([settled.V_y, settled.K]), _by_entry(centred), layout.fused), centred)
    known = known + jnp.pad(row.a, (entries, 0))[:, None]
    of_m = jnp.concatenate([settled.V_m, settled.A])

    def one(m: Array, known: Array) -> tuple[Array, tuple[Array, Array]]:
        found = product(of_m, m, layout.fused) + known
        return found[entries:], (m, found[:entries])

    m, (means, e) = jax.lax.scan(one, univariate.columns(now.m), known)
    members = jnp.sum(jnp.where(missing[0, 0], 0.0, 1.0))
    return Through(settled, means, m, e if y.ndim == 2 else jnp.where(missing, 0.0, e), members)


def forwards(
    layout: Layout, now: Finite, row: Row, varying: dict[str, Array], y: Float[Array, "L m *series"]
) -> tuple[Finite, Float[Array, ""]]:
    """Moments after the block and its log-density. varying: the offsets of the observations, if anything."""
    found = through(layout, now, row, varying, y)
    constant = found.members * (found.settled.log_F + y.shape[1] * float(np.log(2 * np.pi)))
    value = -0.5 * (jnp.sum(found.e * found.e) + len(y) * constant)
    return now._replace(m=found.m.reshape(now.m.shape)), value


def backwards(
    layout: Layout,
    P_bar: Float[Array, "N N"],
    m_bar: Float[Array, N * S],
    g: Float[Array, ""],
    now: Finite,
    row: Row,
    varying: dict[str, Array],
    y: Float[Array, "L m *series"],
) -> tuple[Float[Array, "N N"], Float[Array, N * S], Row, Float[Array, "L m"], Float[Array, "L m *series"]]:
    """From the cotangents of the moments after the block to those of the moments before it and of the rows' numbers:
    in a Row their sums, and those of the offsets and the data row by row."""
    fused, n, read, Z, count = layout.fused, layout.structure.n, layout.read, row.Z, len(y)
    s, means, _, e, members = through(layout, now, row, varying, y)
    inverse = product(s.V_y.T, s.V_y, fused)
    u = product(s.V_y.T, _by_entry(e), fused)
    B = _by_row(product(Z.T, u, fused), e)
    fixed = 0.5 * g * members * product(product(Z.T, inverse, fused), Z, fused)
    closed = s.A.T

    def one(carry: tuple[Array, Array, Array], B: Array) -> tuple[tuple[Array, Array, Array], Array]:
        P_bar, m_bar, total = carry
        q = product(closed, m_bar, fused)
        news = product_transposed(B, q + 0.5 * g * B, fused)
        before = product(product(closed, P_bar, fused), s.A, fused)
        return (symmetric(before + news) - fixed, q + g * B, total + P_bar), m_bar

    start = (P_bar, univariate.columns(m_bar), jnp.zeros_like(P_bar))
    (P_bar, m_bars, total), nexts = jax.lax.scan(one, start, B, reverse=True)

    nexts, means = _by_entry(nexts), _by_entry(means)
    filtered = means + product(s.W.T, u, fused)
    P_filtered = now.P - symmetric(product(product(s.W.T, inverse, fused), s.W, fused))
    AP = univariate.advance_rows(P_filtered, row.top, layout)
    top_bar = 2 * product(total[:n], AP[:, :read], fused) + product_transposed(nexts[:n], filtered[:read], fused)
    back = univariate.retreat(nexts, row.top, layout)
    total_back = univariate.retreat(univariate.retreat(total, row.top, layout).T, row.top, layout)
    gain, of_mean = s.gain.T, product_transposed(back, u, fused)
    v_bar = product(gain, back, fused) - g * u
    KP = product(gain, total_back, fused)
    quadratic = count * members * inverse - product_transposed(u, u, fused)
    S_bar = product_transposed(KP, gain, fused) - symmetric(product(gain, of_mean, fused)) - 0.5 * g * quadratic
    W_bar = of_mean.T - 2 * KP + product(S_bar, Z, fused)
    Z_bar = product(W_bar, now.P, fused) + product(S_bar, s.W, fused) - product_transposed(v_bar, means, fused)
    y_bar = _by_row(v_bar, e)
    d_bar = -jnp.sum(y_bar, axis=2)
    R_bar = jnp.sum(S_bar * np.eye(len(Z)), axis=1)
    C_bar = None if row.C is None else S_bar
    bars = Row(top_bar, total, jnp.sum(nexts, axis=1), Z_bar, jnp.sum(d_bar, axis=0), R_bar, C_bar)
    return P_bar, m_bars.reshape(now.m.shape), bars, d_bar, y_bar.reshape(y.shape)


def _by_entry(X: Float[Array, "L k series"]) -> Float[Array, "k L*series"]:
    """Rows side by side."""
    return jnp.moveaxis(X, 1, 0).reshape(X.shape[1], -1)


def _by_row(X: Float[Array, "k L*series"], like: Float[Array, "L m series"]) -> Float[Array, "L k series"]:
    """The inverse of `_by_entry`, for rows and series as those of `like`."""
    return jnp.moveaxis(X.reshape(len(X), len(like), like.shape[2]), 1, 0)
