"""The backward pass in factor form: no matrix inverse, no difference of covariances, posterior factors throughout.

The forward pass writes the law of a row as s = m + S g with g ~ N(0, I) given the rows before it. Every step of it is
an orthogonal change of those coordinates, so it can be undone:

    update        g = a v / f + (I - weight a a') g+                          (Potter's, see `_factor`)
    time update   [A S, B] = [S+ 0] Q':  (g, e) = Q (g+, h),  h ~ N(0, I) independent of all that comes later
    spent entry   [(I - K z') S, sqrt(R) K] = [S+ 0] Q':  (g, u) = Q (g+, h)

and the flat coefficients follow from  w' delta = v - a'g + sqrt(R) u  along w, from what comes later elsewhere. So the
law of (g, delta) given all of y is carried backwards as a mean and a factor C, to which each step adds columns that are
compressed away again; the smoothed covariance of s = m + S g + D delta is that of its factor [S D] C, at any rank.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines._compress import lower, turned
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._factor import Turn, gramian
from ssmlang.engines._factor_diffuse import Spent
from ssmlang.engines._factor_forward import Loaded, State, Step, begin, forward
from ssmlang.engines._rows import Row
from ssmlang.engines._univariate import DIFFUSE, Innovation
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian


class Coordinates(NamedTuple):
    """Law of (g, delta) given all of y."""

    mean: Float[Array, " N+d"]
    factor: Float[Array, "N+d N+d"]


class RowMoments(NamedTuple):
    """Smoothed moments of a row: of the memory's first entries, and of the signal."""

    mean: Float[Array, " k"]
    cov: Float[Array, "k k"]
    signal_mean: Float[Array, " m"]
    signal_cov: Float[Array, "m m"]


class _Kept(NamedTuple):
    S: Float[Array, "N N"]
    m: Float[Array, " N"]
    flat: Flat | None
    innovations: Innovation
    turns: Turn
    spent: Spent | None
    moved: Any
    """Q of the time update, None where no noise enters"""


Density = tuple[Array, Array, Array]


def smooth(
    program: LinearGaussian, y: Float[Array, "T m"], layout: Layout, diffuse_head: DiffuseHead, size: int
) -> tuple[RowMoments, Density]:
    """Smoothed moments of the memory's first `size` entries and of the signal; v, F and fates for the likelihood."""
    steps, head = len(y), diffuse_head.rows
    rows, state = begin(program, layout, steps)

    def through(state: State, start: int, stop: int, flat: bool) -> tuple[State, _Kept]:
        if not flat:
            state = (state[0], None)
        return forward(rows.part(start, stop), y[start:stop], state, layout, _keep, compress=turned)

    def back(
        kept: _Kept, left: Array | None, known: Coordinates, start: int, stop: int
    ) -> tuple[Coordinates, RowMoments]:
        part: Loaded = rows.part(start, stop)

        def body(carry: Coordinates, x: tuple[Any, _Kept]) -> tuple[Coordinates, RowMoments]:
            return _row_back(carry, part.row(x[0])[0], x[1], left, layout, size)

        return jax.lax.scan(body, known, (part.varying, kept), reverse=True)

    N = layout.size
    nothing = Coordinates(jnp.zeros(N, y.dtype), jnp.eye(N, dtype=y.dtype))
    if state[1] is None:
        _, kept = through(state, 0, steps, False)
        return back(kept, None, nothing, 0, steps)[1], _density(kept)

    d = state[1].D.shape[1]
    wide = lambda known: Coordinates(jnp.pad(known.mean, (0, d)), jnp.pad(known.factor, (0, d)))
    state, first = through(state, 0, head, True)
    assert state[1] is not None
    if head == steps:
        return back(first, state[1].left, wide(nothing), 0, steps)[1], _density(first)

    def plain(state: State) -> Any:
        assert state[1] is not None
        _, kept = through(state, head, steps, False)
        known, moments = back(kept, None, nothing, head, steps)
        return wide(known), moments, state[1].left, _density(kept)

    def flat(state: State) -> Any:
        end, kept = through(state, head, steps, True)
        assert end[1] is not None
        known, moments = back(kept, end[1].left, wide(nothing), head, steps)
        return known, moments, end[1].left, _density(kept)

    if diffuse_head.certain:
        known, rest, left, density = plain(state)
    else:
        known, rest, left, density = jax.lax.cond(diffuse.exhausted(state[1]), plain, flat, state)
    _, early = back(first, left, known, 0, head)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (early, _density(first)), (rest, density))


def _keep(step: Step, moved: Any) -> _Kept:
    now = step.predicted
    return _Kept(now.S, now.m, step.predicted_flat, step.innovations, step.turns, step.spent, moved)


def _density(kept: _Kept) -> Density:
    return kept.innovations.v, kept.innovations.F, kept.innovations.kind


def _row_back(
    known: Coordinates, row: Row, kept: _Kept, left: Array | None, layout: Layout, size: int
) -> tuple[Coordinates, RowMoments]:
    """From after row t to before its observations."""
    N = layout.size
    if kept.moved is not None:
        known = _turned_back(known, kept.moved, N)

    def one(known: Coordinates, x: tuple[Innovation, Turn, Spent | None]) -> tuple[Coordinates, None]:
        found, turn, spent = x
        after = _entry_back(known, turn, N)
        if spent is not None:
            flat = _spent_back(known, found, spent, N)
            after = jax.tree.map(lambda a, b: jnp.where(found.kind == DIFFUSE, a, b), flat, after)
        return after, None

    entries = (kept.innovations, kept.turns, kept.spent)
    known, _ = jax.lax.scan(one, known, entries, reverse=True, unroll=layout.structure.m <= 4)

    S = kept.S if kept.flat is None else jnp.concatenate([kept.S, kept.flat.D], axis=1)
    mean, factor = kept.m + S @ known.mean, S @ known.factor
    Z = row.Z.at[:, layout.program_size :].set(0.0)
    found = RowMoments(mean[:size], gramian(factor[:size]), Z @ mean + row.d, gramian(Z @ factor))
    if kept.flat is not None and left is not None:
        never = kept.flat._replace(D=kept.flat.D @ left)
        unknown = diffuse.unknown_entries(never.D, never.ED)[:size]
        found = found._replace(
            cov=diffuse.with_infinite(found.cov, unknown),
            signal_cov=diffuse.with_infinite(found.signal_cov, diffuse.unknown(never, Z)),
        )
    return known, found


def _turned_back(known: Coordinates, Q: Float[Array, "N+r N+r"], N: int) -> Coordinates:
    """From after a time update to before it."""
    g, delta = known.factor[:N], known.factor[N:]
    fresh = jnp.concatenate([Q[:N, N:], jnp.zeros((len(delta), Q.shape[0] - N), Q.dtype)])
    wide = jnp.concatenate([jnp.concatenate([Q[:N, :N] @ g, delta]), fresh], axis=1)
    return Coordinates(known.mean.at[:N].set(Q[:N, :N] @ known.mean[:N]), lower(wide))


def _entry_back(known: Coordinates, turn: Turn, N: int) -> Coordinates:
    """From after an observation to before it."""
    pull = turn.weight * turn.a
    mean = known.mean[:N] - pull * jnp.sum(turn.a * known.mean[:N]) + turn.a * turn.shift
    factor = known.factor[:N] - pull[:, None] * jnp.sum(turn.a[:, None] * known.factor[:N], axis=0)
    return Coordinates(known.mean.at[:N].set(mean), known.factor.at[:N].set(factor))


def _spent_back(known: Coordinates, found: Innovation, spent: Spent, N: int) -> Coordinates:
    """From after an observation that was spent on the flat part to before it."""
    a, w, Q = spent.a, spent.w, spent.Q
    direction = w / found.F
    wide = jnp.concatenate([Q[:, :N] @ known.factor[:N], Q[:, N:]], axis=1)
    along = spent.noise * wide[N] - a @ wide[:N]
    delta = jnp.pad(known.factor[N:], ((0, 0), (0, 1)))
    delta = delta - direction[:, None] * (w @ delta) + direction[:, None] * along
    mean = Q[:, :N] @ known.mean[:N]
    rest = known.mean[N:]
    rest = rest + direction * (found.v + spent.noise * mean[N] - a @ mean[:N] - w @ rest)
    return Coordinates(jnp.concatenate([mean[:N], rest]), lower(jnp.concatenate([wide[:N], delta])))
