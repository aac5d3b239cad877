"""The log-likelihood of rows without a flat part, and its derivative by a closed-form adjoint.

Rows are taken in blocks. Backwards, a block is worked out again from the moments it began with, so that memory grows
with the number of blocks, and its rows are then taken back one by one (Parellier, Barrau & Bonnabel 2023 for the idea;
the formulas are in `_row_update`). The moments of every row are kept where the data are short enough for that.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import DTypeLike

from ssmlang.engines import _frozen_rows as frozen_rows
from ssmlang.engines import _row_update as row_update
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._forward import UNROLLED_ENTRIES, take_in
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import product, product_transposed
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import USED, Finite
from ssmlang.engines.layout import Layout

SETTLED = 2.0**-46
"""A covariance counts as settled when a block of rows changes it by less than this, relative to its scale."""

FORESEEN = 128
"""Or by less than so many times that, when all later changes together are less, each being to the one before as those
of the last blocks were."""


KEPT_NUMBERS, KEPT_NEAR = 2**23, 2**15
"""Up to so many entries of covariances in all are kept for the derivative, where working them out again takes long, and
where one kernel does so: as many as stay in a cache."""


class Plan(NamedTuple):
    """How the pass is run: rows a block, and what to do once the covariance has settled. Hashable."""

    block: int
    stop: bool = False
    freeze: bool = False
    """Where the covariance has settled and a block has no gap, take its mean alone through the block. For rows that do
    not change but for offsets."""


class Passed(NamedTuple):
    """What the pass hands out: the log-likelihood of the rows it took in, and where it stands."""

    log_likelihood: Float[Array, ""]
    P: Float[Array, "N N"]
    m: Float[Array, " N"]
    blocks: Int[Array, ""]
    """how many blocks of rows were taken in"""


class _Used(NamedTuple):
    """Of the rows of a block: which entries are used; and the moments before each, where these are kept."""

    used: Bool[Array, "L m"]
    P: Float[Array, "L N N"] | None = None
    m: Float[Array, L * N * S] | None = None


class Pace(NamedTuple):
    """How fast a matrix settles, from one look at it to the next."""

    change: Float[Array, ""]
    """relative to its scale"""
    ratio: Float[Array, ""]
    """of this change to the one before, one where that is not known"""

    def after(self, change: Float[Array, ""]) -> tuple[Pace, Bool[Array, ""]]:
        """At the next look, and whether the matrix has settled."""
        ratio = jnp.where(change < self.change, change / self.change, 1.0)
        slower = jnp.maximum(ratio, self.ratio)
        foreseen = (change <= FORESEEN * SETTLED) & (4 * change * slower <= SETTLED * (1 - slower))
        return Pace(change, ratio), (change <= SETTLED) | foreseen


def unknown_pace(dtype: DTypeLike) -> Pace:
    """Before the first look."""
    return Pace(jnp.zeros((), np.dtype(dtype)), jnp.ones((), np.dtype(dtype)))


class _Carry(NamedTuple):
    now: Finite
    log_likelihood: Float[Array, ""]
    blocks: Int[Array, ""]
    settled: Bool[Array, ""]
    pace: Pace


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def log_density(
    layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m *series"], state: Finite
) -> Float[Array, ""]:
    """log p(y | rows, law of the first row), differentiable in either mode and to any order.

    Its first derivative is the closed-form adjoint, worked out when the function is differentiated.
    """
    return taken_in(layout, plan, rows, y, state).log_likelihood


@log_density.defjvp
def _derivative(
    layout: Layout, plan: Plan, primals: tuple[Rows, Array, Finite], tangents: tuple[Rows, Array, Finite]
) -> tuple[Array, Array]:
    value, slopes = jax.value_and_grad(lambda *a: taken_in(layout, plan, *a).log_likelihood, (0, 1, 2))(*primals)
    return value, inner(slopes, tangents)


def inner(slopes: Any, tangents: Any) -> Float[Array, ""]:
    """The sum over all leaves of slope times tangent."""
    pairs = zip(jax.tree.leaves(slopes), jax.tree.leaves(tangents), strict=True)
    return sum((jnp.sum(s * t) for s, t in pairs), jnp.zeros(()))


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def taken_in(
    layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m *series"], state: Finite,
    settled: Bool[Array, ""] | None = None,
) -> Passed:  # fmt: skip
    """One pass over the rows, up to the last with an observation. To be differentiated in reverse mode alone.
    settled: whether the covariance is already at the beginning."""
    return _forwards(layout, plan, rows, y, state, settled, keep=False)[0]


def _forwards(
    layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m *series"], state: Finite,
    settled: Bool[Array, ""] | None = None, keep: bool = True, beyond: bool = False, scan: bool = False,
) -> tuple[Passed, Any]:  # fmt: skip
    every = keep and not beyond and _all_kept(layout, rows)

    def taken(now: Finite, row: Row, y: Array) -> tuple[Finite, Array, Array]:
        if layout.jointly:
            t = row_update.taken(now.P, now.m, row, y, layout)
            return row_update.moved(now.P, now.m, t, layout), row_update.gained(t.e, t.D, t.kind, y), t.kind == USED
        step = take_in((now, None), row, y, layout, UNROLLED_ENTRIES)
        found = step.innovations
        value = row_update.gained(univariate.columns(found.v), found.F, found.kind, y)
        return step.filtered, value, found.kind == USED

    def onward(now: Finite, row: Row, across: Array | None) -> Finite:
        return univariate.time_update(now, row, layout, across)

    def kernel(rows: Rows, y: Array, state: Finite, settled: Array) -> tuple[_Carry, Any]:
        across = univariate.at_hand(rows, layout)
        def block(carry: _Carry, x: tuple[dict[str, Array], Array]) -> tuple[_Carry, Any]:
            def row(c: tuple[Finite, Array], x: tuple[dict[str, Array], Array]) -> tuple[tuple[Finite, Array], Any]:
                here = rows.row(x[0])
                filtered, gained, used = one_kernel(taken)(c[0], here, x[1])
                after = one_kernel(onward)(filtered, here, across)
                return (after, c[1] + gained), _Used(used, *((c[0].P, c[0].m) if every else ()))

            (now, value), kept = jax.lax.scan(row, (carry.now, carry.log_likelihood), x)
            settled, pace = carry.settled, carry.pace
            if plan.stop or plan.freeze:
                whole = jnp.all(kept.used)
                pace, settled = pace.after(jnp.where(whole, changed(carry.now.P, now.P), jnp.inf))
            return _Carry(now, value, carry.blocks + 1, settled, pace), kept if keep else None

        start = _Carry(state, jnp.zeros((), y.dtype), jnp.zeros((), np.int32), settled, unknown_pace(y.dtype))
        if plan.stop and not keep and not scan:
            numbers = in_whole_blocks((rows.varying, y), plan.block)
            at = lambda k: jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, k, keepdims=False), numbers)
            count = len(numbers[1])
            # No gap before the last observation, so that a block has one if its first row has.
            seen = lambda k: (k < count) & ~jnp.isnan(numbers[1][jnp.minimum(k, count - 1), 0, 0])
            more = lambda carry: seen(carry.blocks) & ~carry.settled
            return jax.lax.while_loop(more, lambda carry: block(carry, at(carry.blocks))[0], start), None
        varying, blocks, total = in_blocks(rows, y, plan.block)
        # Series that fill up a group are missing throughout: the first says what the gaps are.
        gaps = jnp.any(jnp.isnan(blocks if y.ndim == 2 else blocks[..., 0]), axis=(1, 2))

        def frozen(carry: _Carry, x: tuple[dict[str, Array], Array]) -> tuple[_Carry, Any]:
            first = rows.row(jax.tree.map(lambda a: a[0], x[0]))
            now, value = one_kernel(partial(frozen_rows.forwards, layout))(carry.now, first, *x)
            carry = carry._replace(now=now, log_likelihood=carry.log_likelihood + value, blocks=carry.blocks + 1)
            return carry, unread(carry, x[1], True)

        def skipped(carry: _Carry, x: tuple[dict[str, Array], Array]) -> tuple[_Carry, Any]:
            return carry, unread(carry, x[1], False)

        def unread(carry: _Carry, y: Array, used: bool) -> _Used | None:
            """What stands for the rows of a block that is never worked out again."""
            if not keep:
                return None
            nothing = lambda a: jnp.zeros((plan.block, *a.shape), a.dtype)
            moments = (nothing(carry.now.P), nothing(carry.now.m)) if every else ()
            return _Used(jnp.full(y.shape[:2], used), *moments)

        def either(carry: _Carry, x: tuple[dict[str, Array], Array], gap: Array) -> tuple[_Carry, Any]:
            return jax.lax.cond(carry.settled & ~gap, frozen, block, carry, x)

        def body(carry: _Carry, x: tuple[tuple[dict[str, Array], Array], Array]) -> tuple[_Carry, Any]:
            active = (beyond | (carry.blocks < total)) & ~(carry.settled & plan.stop)
            after, used = jax.lax.cond(active, run, lambda carry, x, gap: skipped(carry, x), carry, *x)
            froze = carry.settled & ~x[1]
            return after, (carry.now.P, carry.now.m, used, froze) if keep else None

        run = either if plan.freeze else lambda carry, x, gap: block(carry, x)
        return jax.lax.scan(body, start, ((varying, blocks), gaps))

    settled = jnp.zeros((), bool) if settled is None else settled
    end, begun = one_kernel(kernel, layout.fused)(rows, y, state, settled)
    return Passed(end.log_likelihood, end.now.P, end.now.m, end.blocks), (rows, y, begun, end.blocks, state.E)


def _backwards(
    layout: Layout, plan: Plan, kept: tuple, cotangent: Passed
) -> tuple[Rows, Float[Array, "T m *series"], Finite, None]:
    g, P_end, m_end = (jnp.asarray(c) for c in cotangent[:3])

    def kernel(kept: tuple, g: Array, P_end: Array, m_end: Array) -> tuple[Rows, Array, Finite]:
        rows, y, begun, count, E = kept
        varying, blocks, _ = in_blocks(rows, y, plan.block)
        across = univariate.at_hand(rows, layout)
        first = rows.row(jax.tree.map(lambda a: a[0], rows.varying))
        nothing = jax.tree.map(jnp.zeros_like, first)
        Carry = tuple[Array, Array, Row]

        def block(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
            varying, row_y, (P, m, known, _) = x

            def taken(now: tuple[Array, Array], row: Row, y: Array, used: Array) -> _Kept:
                t = row_update.taken(*now, row, y, layout, used)
                filtered = row_update.moved(*now, t, layout)
                return _Kept(*now, t, filtered.P, filtered.m)

            def again(now: tuple[Array, Array], x: tuple) -> tuple[tuple[Array, Array], _Kept]:
                here = rows.row(x[0])
                kept = taken(now, here, x[1], x[2].used)
                after = univariate.time_update(Finite(kept.P_filtered, kept.m_filtered, None), here, layout, across)
                return (after.P, after.m), kept

            def back(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
                (P_bar, m_bar, total), (varying, row_y, kept) = carry, x
                row = rows.row(varying)
                if isinstance(kept, _Used):
                    assert kept.P is not None and kept.m is not None
                    kept = taken((kept.P, kept.m), row, row_y, kept.used)
                P_bar, m_bar, here, y_bar = _row_back(P_bar, m_bar, g, row, row_y, kept, layout)
                total = total._replace(**{n: getattr(total, n) + getattr(here, n) for n in rows.constant})
                return (P_bar, m_bar, total), ({n: getattr(here, n) for n in rows.varying}, y_bar)

            kept = known if _all_kept(layout, rows) else jax.lax.scan(again, (P, m), (varying, row_y, known))[1]
            return jax.lax.scan(back, carry, (varying, row_y, kept), reverse=True)

        def frozen(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
            varying, row_y, (P, m, *_) = x
            row = rows.row(jax.tree.map(lambda a: a[0], varying))
            P_bar, m_bar, here, d_bar, y_bar = one_kernel(partial(frozen_rows.backwards, layout))(
                *carry[:2], g, Finite(P, m, None), row, varying, row_y
            )
            total = carry[2]._replace(**{n: getattr(carry[2], n) + getattr(here, n) for n in rows.constant})
            return (P_bar, m_bar, total), ({n: d_bar for n in varying}, y_bar)

        def skipped(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
            return carry, jax.tree.map(jnp.zeros_like, (x[0], x[1]))

        def body(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
            return jax.lax.cond(x[0] < count, run, skipped, carry, x[1:])

        def either(carry: Carry, x: tuple) -> tuple[Carry, tuple[dict[str, Array], Array]]:
            return jax.lax.cond(x[-1][-1], frozen, block, carry, x)

        run = either if plan.freeze else block

        start = (0.5 * (P_end + P_end.T), m_end, nothing)
        xs = (jnp.arange(len(blocks), dtype=np.int32), varying, blocks, begun)
        (P_bar, m_bar, total), (moving, y_bar) = jax.lax.scan(body, start, xs, reverse=True)
        flat = lambda a: a.reshape(-1, *a.shape[2:])[: len(y)]
        constant = {n: getattr(total, n) for n in rows.constant}
        E_bar = None if E is None else jnp.zeros_like(E)
        return Rows(constant, jax.tree.map(flat, moving), rows.steps), flat(y_bar), Finite(P_bar, m_bar, E_bar)

    return (*one_kernel(kernel, layout.fused)(kept, g, P_end, m_end), None)


taken_in.defvjp(_forwards, _backwards)


def with_begun(layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m"], state: Finite) -> Any:
    """Of each block, those after the last observation too: P and m of its first row, which entries are used, and
    whether the covariance is left alone."""
    return _forwards(layout, plan, rows, y, state, beyond=True)[1][2]


def by_scan(layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m"], state: Finite, settled: Array) -> Passed:
    """`taken_in`, as a function whose own derivatives JAX can take."""
    return _forwards(layout, plan, rows, y, state, settled, keep=False, scan=True)[0]


def _all_kept(layout: Layout, rows: Rows) -> bool:
    """Whether the derivative finds the moments of every row kept."""
    return rows.steps * layout.size**2 <= (KEPT_NEAR if layout.fused else KEPT_NUMBERS)


def in_blocks(
    rows: Rows, y: Float[Array, "T m *series"], length: int
) -> tuple[dict[str, Array], Array, Int[Array, ""]]:
    """Rows and data in blocks, with missing rows after the last, and how many blocks have an observation or come
    before one that has."""
    varying, blocks = in_whole_blocks((rows.varying, y), length)
    count = len(blocks)
    seen = ~jnp.isnan(blocks).reshape(count, -1)
    last = jnp.max(jnp.where(jnp.any(seen, axis=1), jnp.arange(1, count + 1, dtype=np.int32), 0))
    return varying, blocks, last


def in_whole_blocks(
    x: tuple[dict[str, Array], Float[Array, "T m *series"]], length: int
) -> tuple[dict[str, Array], Float[Array, "blocks L m *series"]]:
    """What rows read and their data in blocks, the last one filled up with missing rows."""
    varying, y = x
    count = -(-len(y) // length)
    extra = count * length - len(y)
    longer = lambda a: jnp.concatenate([a, jnp.broadcast_to(a[-1:], (extra, *a.shape[1:]))]) if extra else a
    split = lambda a: a.reshape(count, length, *a.shape[1:])
    padding = ((0, extra), *((0, 0) for _ in y.shape[1:]))
    padded = jnp.pad(y, padding, constant_values=jnp.nan) if extra else y
    return jax.tree.map(lambda a: split(longer(a)), varying), split(padded)


def changed(before: Float[Array, "N N"], after: Float[Array, "N N"]) -> Float[Array, ""]:
    """The greatest change of a positive semidefinite matrix relative to its scale, never differentiated."""
    before, after = jax.lax.stop_gradient((before, after))
    scale = univariate.variances(after)
    squares = (after - before) ** 2
    return jnp.sqrt(jnp.max(jnp.where(squares > 0, squares / (scale[:, None] * scale), 0.0), initial=0.0))


def is_settled(before: Float[Array, "N N"], after: Float[Array, "N N"], tolerance: float = SETTLED) -> Bool[Array, ""]:
    """Whether a positive semidefinite matrix is left as it was, but for rounding."""
    return changed(before, after) <= tolerance


class _Kept(NamedTuple):
    """Of a row: predicted moments, its observations eliminated, filtered moments."""

    P: Float[Array, "N N"]
    m: Float[Array, N * S]
    t: row_update.Taken
    P_filtered: Float[Array, "N N"]
    m_filtered: Float[Array, N * S]


def _row_back(
    P_bar: Float[Array, "N N"], m_bar: Float[Array, N * S], g: Float[Array, ""], row: Row, y: Float[Array, m * S],
    kept: _Kept, layout: Layout,
) -> tuple[Float[Array, "N N"], Float[Array, N * S], Row, Float[Array, m * S]]:  # fmt: skip
    """From the cotangents of the next row's predicted moments to those of this row's."""
    n, read, flat = layout.structure.n, layout.read, univariate.columns
    shape = m_bar.shape

    Q_bar, a_bar = P_bar, jnp.sum(flat(m_bar), axis=1)
    PA = univariate.retreat(P_bar, row.top, layout).T
    top_bar = 2 * product(PA[:n], kept.P_filtered[:, :read], layout.fused)
    top_bar = top_bar + product_transposed(flat(m_bar)[:n], flat(kept.m_filtered)[:read], layout.fused)
    P_bar = univariate.retreat(PA, row.top, layout)
    m_bar = univariate.retreat(flat(m_bar), row.top, layout).reshape(shape)

    P_bar, m_bar, bars = row_update.back(P_bar, m_bar, g, row, y, *kept[:3], layout)
    return P_bar, m_bar, Row(top_bar, Q_bar, a_bar, *bars[:4]), bars.y
