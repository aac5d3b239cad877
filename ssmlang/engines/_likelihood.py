"""The log-likelihood of a Markov form by the route that suits it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._density import Plan, inner, log_density, taken_in
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._forward import State, Step, forward, initial_state
from ssmlang.engines._rows import Rows
from ssmlang.engines._tail import tail
from ssmlang.engines._univariate import Finite
from ssmlang.engines.companion import Markov, companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian
from ssmlang.engines.routes import ROW_BLOCK, Route


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


SLOPES_BY_ROW, SLOPES_WORK = 2000, 16_000
"""Up to so many rows, and so many entries of covariances in all, the derivative is taken row by row where the gain
settles, too: that compiles in a third of the time, and costs up to twice as much a call (measured: n = 1, 4)."""


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def settling(layout: Layout, plan: Plan, rows: Rows, y: Float[Array, "T m"], state: Finite) -> Float[Array, ""]:
    """`log_density` of rows with one and the same transition and emission and no missing entry: row by row until the
    covariance has settled, then in blocks. Differentiable as `log_density` is."""
    return _settling(layout, plan, rows, y, state)


@settling.defjvp
def _derivative(
    layout: Layout, plan: Plan, primals: tuple[Rows, Array, Finite], tangents: tuple[Rows, Array, Finite]
) -> tuple[Array, Array]:
    rows = primals[0]
    if rows.steps <= SLOPES_BY_ROW and rows.steps * layout.size**2 <= SLOPES_WORK:
        whole = lambda *a: taken_in(layout, Plan(ROW_BLOCK), *a).log_likelihood
    else:
        whole = partial(_settling, layout, plan)
    value, slopes = jax.value_and_grad(whole, (0, 1, 2))(*primals)
    return value, inner(slopes, tangents)


def _settling(layout: Layout, plan: Plan, rows: Rows, y: Array, state: Finite) -> Array:
    passed = taken_in(layout, plan, rows, y, state)
    first = rows.row(jax.tree.map(lambda a: a[0], rows.varying))
    offsets = rows.varying["d"] if "d" in rows.varying else rows.constant["d"]
    rest = tail(layout, first, offsets, passed.P, passed.m, y, passed.blocks, plan.block)
    return passed.log_likelihood + rest


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
