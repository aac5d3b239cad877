"""The smoother of rows that do not change and of which none lacks an observation, for a CPU.

Row by row as anywhere (`_smooth`), but for means alone where what does not depend on the data has settled: forwards
from where the predicted covariance P stays as it is, backwards from where N does, too, which it does at the rate at
which P did (Anderson & Moore 1979, section 4.4). Written with the numbers of a row there,

    (m', v) = G (m, y - d) + (a, 0),   r = G_m' (r+, -v / F),   smoothed mean = m + P r

with G_m the columns of G that stand for m: r is the derivative of the log-density of what is to come, and so the
recursion back is the transpose of that forwards. The smoothed covariance is one and the same matrix. What settles does
so before the last observation; the rows after it have no more data, and are gone through one by one again.

Loops that end where something has settled have no derivative in reverse mode: that is taken of the plain way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._density import Pace, changed, unknown_pace
from ssmlang.engines._forward import UNROLLED_MOMENTS, take_in
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import times
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._settled_smooth import Gathered, RowMoments, of_the_signal
from ssmlang.engines._univariate import USED, Finite, Innovation
from ssmlang.engines.layout import Layout

LOOK = 16
"""Rows between two looks whether something has settled."""

Smoothed = tuple[Gathered, RowMoments, Float[Array, " T"]]
RowBack = Callable[[Gathered, Row, Float[Array, "N N"], Float[Array, " N"], Innovation], tuple[Gathered, RowMoments]]


class _Kept(NamedTuple):
    """What the filter knows of each row; P, and all of `found` but v, of the rows worked out in full alone."""

    P: Float[Array, "T N N"]
    m: Float[Array, "T N"]
    found: Innovation


class _Onward(NamedTuple):
    t: Int[Array, ""]
    now: Finite
    mark: Float[Array, "N N"]
    """P at the last look"""
    used: Bool[Array, ""]
    """whether every observation since was"""
    settled: Bool[Array, ""]
    pace: Pace
    kept: _Kept
    terms: Float[Array, " T"]


class _Back(NamedTuple):
    t: Int[Array, ""]
    gathered: Gathered
    mark: Float[Array, "N N"]
    """N at the last look"""
    settled: Bool[Array, ""]
    pace: Pace
    out: RowMoments


def smoothed(
    layout: Layout, row_back: RowBack, plain: Callable[[Rows, Array, Finite], Smoothed], size: int, rows: Rows,
    y: Float[Array, "T m"], state: Finite,
) -> Smoothed:  # fmt: skip
    """What is gathered before the first row; smoothed moments of each row, and its log-density given those before.

    The rows' matrices are the same throughout but for the offsets of the observations, and no observation can be
    predicted without error. `row_back`: from after a row to before it, for a row's predicted moments and innovations;
    `plain`: the same all row by row, which is differentiated.
    """

    @jax.custom_jvp
    def quick(rows: Rows, y: Array, state: Finite) -> Smoothed:
        return one_kernel(partial(_smoothed, layout, row_back, size), layout.fused)(rows, y, state)

    @quick.defjvp
    def _derivative(primals: tuple, tangents: tuple) -> tuple[Smoothed, Smoothed]:
        return jax.jvp(plain, primals, tangents)

    return quick(rows, y, state)


def _smoothed(layout: Layout, row_back: RowBack, size: int, rows: Rows, y: Array, state: Finite) -> Smoothed:
    N, (T, m), dtype = layout.size, y.shape, y.dtype
    mul = partial(times, fused=layout.fused)
    zeros = lambda *shape: jnp.zeros((T, *shape), dtype)
    no, first = jnp.zeros((), bool), jnp.zeros((), np.int32)
    numbers = lambda t: rows.row(_at(rows.varying, t))
    row, across = numbers(first), univariate.at_hand(rows, layout)
    numbered, missing = jnp.arange(T, dtype=np.int32), jnp.any(jnp.isnan(y), axis=1)
    last = jnp.max(jnp.where(missing, 0, numbered + 1))
    complete = ~jnp.any(missing & (numbered < last))

    def row_on(c: _Onward) -> _Onward:
        step = take_in((c.now, None), numbers(c.t), y[c.t], layout, UNROLLED_MOMENTS)
        found, after = step.innovations, univariate.time_update(step.filtered, step.row, layout, across)
        kept = _put(c.kept, _Kept(c.now.P, c.now.m, found), c.t)
        terms = _put(c.terms, univariate.terms(found.v, found.F, found.kind), c.t)
        t, used = c.t + 1, c.used & jnp.all(found.kind == USED)
        look = t % LOOK == 0
        looked, rests = c.pace.after(jnp.where(used, changed(c.mark, after.P), jnp.inf))
        settled = look & complete & rests & (t > LOOK) & (t < last)
        pace = jax.tree.map(lambda a, b: jnp.where(look, a, b), looked, c.pace)
        return _Onward(t, after, jnp.where(look, after.P, c.mark), used | look, settled, pace, kept, terms)

    def onward(c: tuple) -> tuple:
        """Up to where P has settled, and then means up to the last observation; or to the end."""
        t, now, settled_from, (G, w), kept, terms = c
        through = _Onward(t, now, now.P, ~no, no, unknown_pace(dtype), kept, terms)
        through = jax.lax.while_loop(lambda c: (c.t < T) & ~c.settled, row_on, through)
        t, now, _, _, settled, _, kept, terms = through
        found = _at(kept.found, t - 1)
        new = _as_matrix(layout, row, found), 1.0 / found.F
        G, w = jax.tree.map(lambda a, b: jnp.where(settled, a, b), new, (G, w))
        constant = m * float(np.log(2 * np.pi)) - jnp.sum(jnp.log(w))

        def mean_on(c: tuple) -> tuple:
            t, mean, out = c
            after = mul(G, jnp.concatenate([mean, y[t] - numbers(t).d]))
            v = after[N:]
            return t + 1, after[:N] + row.a, _put(out, (mean, v, -0.5 * (jnp.sum(v * v * w) + constant)), t)

        stop, out = jnp.where(settled, last, t), (kept.m, kept.found.v, terms)
        settled_from = jnp.where(settled, t, settled_from)
        t, mean, (means, v, terms) = jax.lax.while_loop(lambda c: c[0] < stop, mean_on, (t, now.m, out))
        return t, now._replace(m=mean), settled_from, (G, w), _Kept(kept.P, means, kept.found._replace(v=v)), terms

    kind = jnp.zeros((T, m), jnp.result_type(int))
    kept = _Kept(zeros(N, N), zeros(N), Innovation(zeros(m), zeros(m), kind, zeros(m, N)))
    unknown = jnp.zeros((N + m, N + m), dtype), jnp.ones(m, dtype)
    begun = (first, state, last, unknown, kept, zeros())
    _, _, settled_from, (G, w), kept, terms = jax.lax.while_loop(lambda c: c[0] < T, onward, begun)

    still = jnp.maximum(settled_from - 1, 0)
    P, of_m, Z = kept.P[still], G[:, :N], of_the_signal(row, layout)

    def row_backward(c: _Back) -> _Back:
        t = c.t - 1
        known, found = _at((kept.P, kept.found), jnp.where(t < last, jnp.minimum(t, still), t))
        gathered, moments = row_back(c.gathered, numbers(t), known, kept.m[t], found._replace(v=kept.found.v[t]))
        look = t % LOOK == 0
        looked, rests = c.pace.after(jnp.where(t < last - LOOK, changed(c.mark, gathered.N), jnp.inf))
        pace = jax.tree.map(lambda a, b: jnp.where(look, a, b), looked, c.pace)
        mark = jnp.where(look, gathered.N, c.mark)
        return _Back(t, gathered, mark, look & rests & (t > settled_from), pace, _put(c.out, moments, t))

    def backward(c: tuple) -> tuple:
        """Down to where N has settled, and then means down to where P had; or to the first row."""
        t, gathered, out = c
        through = _Back(t, gathered, gathered.N, no, unknown_pace(dtype), out)
        t, gathered, _, settled, _, out = jax.lax.while_loop(lambda c: (c.t > 0) & ~c.settled, row_backward, through)
        cov, signal_cov = _at((out.cov, out.signal_cov), t)

        def mean_backward(c: tuple) -> tuple:
            t, r, out = c
            t = t - 1
            r = mul(jnp.concatenate([r, -w * kept.found.v[t]]), of_m)
            mean = kept.m[t] + mul(P, r)
            return t, r, _put(out, RowMoments(mean[:size], cov, mul(Z, mean) + numbers(t).d, signal_cov), t)

        stop = jnp.where(settled, settled_from, t)
        t, r, out = jax.lax.while_loop(lambda c: c[0] > stop, mean_backward, (t, gathered.r, out))
        return t, gathered._replace(r=r), out

    out = RowMoments(zeros(size), zeros(size, size), zeros(m), zeros(m, m))
    nothing = Gathered(jnp.zeros(N, dtype), jnp.zeros((N, N), dtype))
    _, gathered, out = jax.lax.while_loop(lambda c: c[0] > 0, backward, (first + T, nothing, out))
    return gathered, out, terms


def _at(values: Any, t: Int[Array, ""]) -> Any:
    return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), values)


def _put(values: Any, new: Any, t: Int[Array, ""]) -> Any:
    return jax.tree.map(lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b, t, 0), values, new)


def _as_matrix(layout: Layout, row: Row, found: Innovation) -> Float[Array, "N+m N+m"]:
    """G: a row whose observations are all used, taken in one by one with the gains of `found`."""
    N, m = layout.size, len(row.R)
    unit = jnp.eye(N + m, dtype=row.Z.dtype)

    def one(X: Array, entry: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        z, K, y = entry
        v = y - jnp.sum(z[:, None] * X, axis=0)
        return X + K[:, None] * v, v

    X, v = jax.lax.scan(one, unit[:N], (row.Z, found.K, unit[N:]), unroll=m <= UNROLLED_MOMENTS)
    return jnp.concatenate([univariate.advance_rows(X, row.top, layout), v])
