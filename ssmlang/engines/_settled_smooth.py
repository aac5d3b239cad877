"""The backward pass over rows that do not change, around gaps: where the covariances have settled, means alone.

Forwards the rows are taken in by blocks, as for the log-likelihood (`_density`), and the moments that a block began
with are kept. Backwards a block is worked out again from these, with r and N gathered from the rows to come:

    smoothed mean = m + P r,   smoothed covariance = P - P N P
    r = Z' u + (I - K' Z)' A' r+,   N = Z' S^-1 Z + (I - K' Z)' A' N+ A (I - K' Z)

in the notation of `_row_update`. In a block through which P stays as it is, r is a linear recursion with one matrix; so
is N, and it settles in its turn, at the rate at which P did (Anderson & Moore 1979, section 4.4). From there on a row
is the mean alone, up to where the gain had not settled yet, or to a gap. Complete data have a quicker way on a CPU:
`_complete_smooth`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _frozen_rows as frozen_rows
from ssmlang.engines import _row_update as row_update
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._density import Plan, in_blocks, is_settled, with_begun
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import product, product_transposed, row_product, symmetric, times
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import Finite
from ssmlang.engines.layout import Layout


class Gathered(NamedTuple):
    """r and N, gathered from the rows to come."""

    r: Float[Array, " N"]
    N: Float[Array, "N N"]


class RowMoments(NamedTuple):
    """Smoothed moments of a row: of the memory's first entries, and of the signal."""

    mean: Float[Array, " k"]
    cov: Float[Array, "k k"]
    signal_mean: Float[Array, " m"]
    signal_cov: Float[Array, "m m"]


class _Carry(NamedTuple):
    gathered: Gathered
    settled: Bool[Array, ""]
    """whether N is that of every row before, as long as P is"""


Found = tuple[RowMoments, Float[Array, ""]]


def settling(
    layout: Layout, block: int, rows: Rows, y: Float[Array, "T m"], state: Finite, size: int
) -> tuple[Gathered, RowMoments, Float[Array, " T"]]:
    """What is gathered before the first row; smoothed moments of each row, and its log-density given those before.

    The rows' matrices are the same throughout but for the offsets of the observations, and no observation can be
    predicted without error.
    """
    begun = with_begun(layout, Plan(block, freeze=True), rows, y, state)

    def kernel(rows: Rows, y: Array, begun: Any) -> tuple[Gathered, tuple[RowMoments, Array]]:
        varying, blocks, _ = in_blocks(rows, y, block)
        across = univariate.at_hand(rows, layout)

        def body(carry: _Carry, x: tuple) -> tuple[_Carry, Found]:
            return jax.lax.cond(x[-1][-1], settled, unsettled, carry, x)

        def unsettled(carry: _Carry, x: tuple) -> tuple[_Carry, Found]:
            varying, row_y, (P, m, known, _) = x

            def again(now: tuple[Array, Array], x: tuple) -> tuple[tuple[Array, Array], tuple]:
                row = rows.row(x[0])
                t = row_update.taken(*now, row, x[1], layout, x[2])
                after = univariate.time_update(row_update.moved(*now, t, layout), row, layout, across)
                return (after.P, after.m), (*now, t)

            def back(gathered: Gathered, x: tuple) -> tuple[Gathered, Found]:
                varying, row_y, (P, m, t) = x
                row = rows.row(varying)
                gathered = _row_back(gathered, row, t, layout)
                gained = row_update.gained(t.e, t.D, t.kind, row_y)
                return gathered, (_moments(row, P, m, gathered, layout, size), gained)

            _, kept = jax.lax.scan(again, (P, m), (varying, row_y, known.used))
            gathered, found = jax.lax.scan(back, carry.gathered, (varying, row_y, kept), reverse=True)
            return _Carry(gathered, jnp.zeros((), bool)), found

        def settled(carry: _Carry, x: tuple) -> tuple[_Carry, Found]:
            varying, row_y, (P, m, *_) = x
            row = rows.row(jax.tree.map(lambda a: a[0], varying))
            return _settled_block(layout, size, carry, row, varying, row_y, Finite(P, m, None))

        nothing = Gathered(jnp.zeros_like(state.m), jnp.zeros_like(state.P))
        start = _Carry(nothing, jnp.zeros((), bool))
        end, found = jax.lax.scan(body, start, (varying, blocks, begun), reverse=True)
        flat = lambda a: a.reshape(-1, *a.shape[2:])[: len(y)]
        return end.gathered, jax.tree.map(flat, found)

    gathered, (moments, terms) = one_kernel(kernel, layout.fused)(rows, y, begun)
    return gathered, moments, terms


def _row_back(after: Gathered, row: Row, t: row_update.Taken, layout: Layout) -> Gathered:
    """From after a row to before its observations."""
    fused, Z = layout.fused, row.Z
    N = univariate.retreat(univariate.retreat(after.N, row.top, layout).T, row.top, layout)
    r = univariate.retreat(after.r, row.top, layout)
    scaled = (t.X * t.w[:, None]).T
    K, u, inverse = (product(scaled, a, fused) for a in (t.M, t.e, t.X))
    KN = product(K, N, fused)
    across = product(Z.T, KN, fused)
    inner = product_transposed(KN, K, fused) + inverse
    N = N - across - across.T + product(product(Z.T, inner, fused), Z, fused)
    r = r + times(Z.T, u[:, 0] - times(K, r, fused), fused)
    return Gathered(r, symmetric(N))


def _moments(row: Row, P: Array, m: Array, gathered: Gathered, layout: Layout, size: int) -> RowMoments:
    fused = layout.fused
    mean = m + times(P, gathered.r, fused)
    cov = symmetric(P - product(product(P, gathered.N, fused), P, fused))
    Z = of_the_signal(row, layout)
    signal = symmetric(product_transposed(product(Z, cov, fused), Z, fused))
    return RowMoments(mean[:size], cov[:size, :size], times(Z, mean, fused) + row.d, signal)


def of_the_signal(row: Row, layout: Layout) -> Float[Array, "m N"]:
    """The emission without the entries of the memory that are noises of the observations."""
    return jnp.where(np.arange(layout.size) < layout.program_size, row.Z, 0.0)


def _settled_block(
    layout: Layout, size: int, carry: _Carry, row: Row, varying: dict[str, Array], y: Float[Array, "L m"], now: Finite
) -> tuple[_Carry, Found]:
    """A block through which P stays as it is."""
    fused, P, rows = layout.fused, now.P, len(y)
    s, means, _, e, _ = frozen_rows.through(layout, now, row, varying, y)
    means, e = means[..., 0], e[..., 0]
    news = product(e, product(s.V_y, row.Z, fused), fused)
    fixed = product(row.Z.T, product(product(s.V_y.T, s.V_y, fused), row.Z, fused), fused)

    def one(r: Array, news: Array) -> tuple[Array, Array]:
        r = row_product(r, s.A, fused) + news
        return r, r

    r, all_r = jax.lax.scan(one, carry.gathered.r, news, reverse=True)
    mean = means + product(all_r, P, fused)
    Z = of_the_signal(row, layout)

    def laws(N: Array) -> tuple[Array, Array]:
        cov = symmetric(P - product(product(P, N, fused), P, fused))
        return cov[:size, :size], symmetric(product_transposed(product(Z, cov, fused), Z, fused))

    def alike(N: Array) -> tuple[Array, Bool[Array, ""], tuple[Array, Array]]:
        spread = lambda a: jnp.broadcast_to(a, (rows, *a.shape))
        return N, jnp.ones((), bool), jax.tree.map(spread, laws(N))

    def each(N: Array) -> tuple[Array, Bool[Array, ""], tuple[Array, Array]]:
        def before(N: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
            N = symmetric(product(product(s.A.T, N, fused), s.A, fused)) + fixed
            return N, laws(N)

        end, found = jax.lax.scan(before, N, None, rows, reverse=True)
        return end, is_settled(N, end), found

    N, same, (cov, signal_cov) = jax.lax.cond(carry.settled, alike, each, carry.gathered.N)
    d = varying.get("d", row.d)
    moments = RowMoments(mean[:, :size], cov, product(mean, Z.T, fused) + d, signal_cov)
    terms = -0.5 * (jnp.sum(e * e, axis=1) + s.log_F + y.shape[1] * float(np.log(2 * np.pi)))
    return _Carry(Gathered(r, N), same), (moments, terms)
