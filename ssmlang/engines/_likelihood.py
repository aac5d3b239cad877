"""The log-likelihood of a Markov form by the route that suits it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _row_update as row_update
from ssmlang.engines import _steady
from ssmlang.engines import _tail as tail
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._density import Passed, Plan, by_scan, inner, log_density, taken_in
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._forward import State, Step, forward, initial_state
from ssmlang.engines._kernel import kernel, one_kernel
from ssmlang.engines._products import times
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._steady import Learned, Start, Steady
from ssmlang.engines._univariate import Finite
from ssmlang.engines.companion import Markov, companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.routes import ROW_BLOCK, STEADY_WORK, Route


def log_likelihood(
    program: LinearGaussian, y: Float[Array, "T m"], layout: Layout, head: DiffuseHead, route: Callable[[Rows], Route]
) -> Float[Array, ""]:
    """log p(y): the diffuse head in diffuse form, the rest as `route` says of its rows."""
    steps, small = len(y), layout.smallest
    least = companion(program, small)
    flat_start = least.diffuse.shape[1] > 0
    markov = companion(program, layout) if flat_start and small != layout else least
    rows, state = Rows.of(markov, steps), initial_state(markov, layout if flat_start else small)
    alone = Rows.of(least, steps)

    def finite(first: int, y: Array, state: State) -> Array:
        rows = alone.part(first, steps)
        way = route(rows)
        P, m, E = state[0]
        now = Finite(P[: small.size, : small.size], m[: small.size], E)
        if way.settles:
            return settling(small, Plan(way.block, stop=True), rows, y, now)
        return log_density(small, Plan(way.block, freeze=way.freezes), rows, y, now)

    def flat(rows: Rows, y: Array, state: State) -> tuple[State, Array]:
        state, found = forward(rows, y, state, layout, innovations)
        return state, jnp.sum(univariate.terms(*found))

    if state[1] is None:
        return finite(0, y, state)
    state, value = flat(rows.part(0, head.rows), y[: head.rows], state)
    if head.rows == steps:
        return value
    left = y[head.rows :]
    if head.certain:
        return value + finite(head.rows, left, state)
    assert state[1] is not None
    rest = rows.part(head.rows, steps)
    return value + jax.lax.cond(
        diffuse.exhausted(state[1]), lambda y, s: finite(head.rows, y, s), lambda y, s: flat(rest, y, s)[1], left, state
    )


def innovations(step: Step) -> tuple[Array, Array, Array]:
    """v, F and fates of a row's entries."""
    return step.innovations.v, step.innovations.F, step.innovations.kind


SLOPES_BY_ROW, SLOPES_WORK = 2000, 2**14
"""Up to so many rows, and so many entries of covariances in all, the derivative is taken row by row where the gain
settles, too: that compiles in a third of the time, and costs up to twice as much a call (measured: n = 1, 4)."""


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def settling(layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m"], state: Finite) -> Float[Array, ""]:
    """`log_density` of rows with one and the same transition and emission and no missing entry: row by row until the
    covariance has settled, or with the steady one from the first row on (see `_steady`), and then in blocks.
    Differentiable as `log_density` is."""
    return _settling(layout, plan, rows, y, state)


@settling.defjvp
def _derivative(
    layout: Layout, plan: Plan, primals: tuple[Rows, Array, Finite], tangents: tuple[Rows, Array, Finite]
) -> tuple[Array, Array]:
    rows = primals[0]
    if rows.steps <= SLOPES_BY_ROW and rows.steps * layout.size**2 <= SLOPES_WORK:
        whole = lambda *a: taken_in(layout, Plan(ROW_BLOCK), *a).log_likelihood
    else:
        whole = partial(_settling, layout, plan, known=_settling(layout, plan, *primals, only_begin=True))
    value, slopes = jax.value_and_grad(whole, (0, 1, 2))(*primals)
    return value, inner(slopes, tangents)


class Begin(NamedTuple):
    """How the rows are begun: see `_steady`."""

    steady: Steady
    rho: Float[Array, " N"]
    at_once: Bool[Array, ""]
    """whether from the steady covariance"""


def _settling(
    layout: Layout, plan: Plan, rows: Rows, y: Array, state: Finite, known: Begin | None = None,
    only_begin: bool = False,
) -> Any:  # fmt: skip
    """The log-density, for the derivative with what is `known` of the beginning; or that alone: `only_begin`."""
    first = rows.row(jax.tree.map(lambda a: a[0], rows.varying))
    offsets = rows.varying["d"] if "d" in rows.varying else rows.constant["d"]
    count = jnp.sum(~jnp.isnan(y[:, 0]), dtype=np.int32)
    if layout.fused and rows.steps * layout.size**2 < STEADY_WORK:
        if only_begin:
            return None
        passed = taken_in(layout, plan, rows, y, state)
        blocks = tail.tail(layout, first, offsets, passed.P, y, count, plan.block)
        return passed.log_likelihood + tail.log_density(blocks, tail.errors(layout, blocks, passed.m, passed.blocks))

    def compared(first: Row, P: Array, count: Array) -> tuple[Steady, Learned, Start, Array]:
        steady = _steady.steady(layout, first) if known is None else _steady.known(layout, known.steady, first)
        settled = row_update.settled(steady.P, first, layout)
        if known is not None:
            settled = settled._replace(A=jnp.where(steady.exists, settled.A, 0.0))
        learned = _steady.learned(layout, settled, count, len(y))
        D = P - steady.P
        return steady, learned, _steady.start(layout, D, learned.N), D

    steady, learned, start, D = one_kernel(compared, layout.fused and known is None)(first, state.P, count)
    # Asked once: were it judged anew for the derivative, rounding might decide otherwise.
    at_once = steady.exists & start.sound if known is None else known.at_once
    begin = state._replace(P=jnp.where(at_once, steady.P, state.P))
    if only_begin:
        at_once &= steady.stable
        passed = Passed(jnp.zeros((), y.dtype), begin.P, begin.m, jnp.zeros((), np.int32))
    else:
        passed = _begun(layout, plan, rows, y, begin, at_once)
    by = one_kernel if only_begin else kernel
    blocks = tail.tail(layout, first, offsets, passed.P, y, count, plan.block, by)
    if known is None:
        r = tail.of_start(layout, blocks, state.m, learned.rows)
        rho = _steady.weights(layout, D, learned.N, start.cov, r)
        known = Begin(steady, jnp.where(at_once, rho, 0.0), at_once)
        if only_begin:
            return known
    rho = known.rho
    shift = jnp.where(at_once, times(D, rho, layout.fused), 0.0)
    found = tail.errors(layout, blocks, passed.m + shift, passed.blocks)
    correction = jnp.where(at_once, 0.5 * jnp.sum(rho * shift) + start.half_log_det, 0.0)
    return passed.log_likelihood + tail.log_density(blocks, found) - correction


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _begun(layout: Layout, plan: Plan, rows: Rows, y: Array, state: Finite, settled: Array) -> Passed:
    """`taken_in` of rows of which none may be left to take in: nothing is kept of them for the derivative."""
    return taken_in(layout, plan, rows, y, state, settled)


def _begun_forwards(layout: Layout, plan: Plan, *args: Any) -> tuple[Passed, tuple]:
    def skipped(rows: Rows, y: Array, state: Finite, settled: Array) -> Passed:
        return Passed(jnp.zeros((), y.dtype), state.P, state.m, jnp.zeros((), np.int32))

    return jax.lax.cond(args[-1], skipped, partial(by_scan, layout, plan), *args), args


def _begun_backwards(layout: Layout, plan: Plan, args: tuple, cotangent: Passed) -> tuple:
    rows, y, state, settled = args

    def by_row(bar: tuple[Array, ...]) -> tuple:
        value, P, m = bar
        _, pull = jax.vjp(lambda *a: taken_in(layout, plan, *a, settled)[:3], rows, y, state)
        return pull((value, P, m))

    def none(bar: tuple[Array, ...]) -> tuple:
        nothing = jax.tree.map(jnp.zeros_like, (rows, y, state))
        return *nothing[:2], nothing[2]._replace(P=bar[1], m=bar[2])

    return (*jax.lax.cond(settled, none, by_row, tuple(cotangent[:3])), None)


_begun.defvjp(_begun_forwards, _begun_backwards)


SHARING = 32
"""Series taken side by side: enough for the covariance to cost little of each, few enough to stay in the cache."""


def shared_log_likelihood(markov: Markov, y: Float[Array, "S T m"], layout: Layout, plan: Plan) -> Float[Array, ""]:
    """log p of several series with the same matrices and the same missing entries, without a flat initial law.

    The covariance does not depend on what is observed, so it is worked out once for `SHARING` series.
    """
    rows, (state, _) = Rows.of(markov, y.shape[1]), initial_state(markov, layout)
    count = -(-len(y) // SHARING)
    width = -(-len(y) // count)
    padding = ((0, count * width - len(y)), (0, 0), (0, 0))
    groups = jnp.pad(y, padding, constant_values=jnp.nan).reshape(count, width, *y.shape[1:])
    means = jnp.broadcast_to(state.m[:, None], (layout.size, width))

    def one(group: Array) -> Array:
        return log_density(layout, plan, rows, group.transpose(1, 2, 0), state._replace(m=means))

    return jnp.sum(jax.lax.map(one, groups))
