"""The backward pass: smoothed moments by univariate recursions, exact through the diffuse phase.

    smoothed mean = m + P r,   smoothed covariance = P - P N P

with the predicted moments m, P of the row and r, N gathered from the row on backwards; no predicted covariance is
inverted, so singular ones are as good as any. In the diffuse phase r and N are series in 1/kappa, of which r0, r1 and
N0, N1, N2 matter. Koopman & Durbin (2003); Durbin & Koopman (2012), sections 4.4, 5.3 and 6.4. (N1 is kept symmetric:
the recursion printed there leaves out the transpose of its last term, which P_inf on both sides makes vanish.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._complete_smooth import smoothed
from ssmlang.engines._diffuse import DiffuseGain, Flat
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._forward import Step, forward, initial_state
from ssmlang.engines._kernel import on_cpu, one_kernel
from ssmlang.engines._products import symmetric, times
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._settled_smooth import Gathered, RowMoments, of_the_signal, settling
from ssmlang.engines._univariate import DIFFUSE, USED, Finite, Innovation
from ssmlang.engines.companion import Markov
from ssmlang.engines.layout import Layout
from ssmlang.engines.routes import SMOOTHING_WORK, Route


class GatheredFlat(NamedTuple):
    """The next terms of r and N in powers of 1/kappa."""

    r1: Float[Array, " N"]
    N1: Float[Array, "N N"]
    N2: Float[Array, "N N"]


class _Kept(NamedTuple):
    predicted: Finite
    flat: Flat | None
    innovations: Innovation
    gains: DiffuseGain | None


Back = tuple[Gathered, GatheredFlat | None]


def smooth(
    markov: Markov, y: Float[Array, "T m"], layout: Layout, diffuse_head: DiffuseHead, size: int,
    route: Callable[[Rows], Route], often: bool = False,
) -> tuple[RowMoments, Float[Array, " T"]]:  # fmt: skip
    """Smoothed moments of the memory's first `size` entries and of the signal; the log-density of each row given those
    before. `often`: run so many times that to compile for longer pays."""
    rows, steps = Rows.of(markov, len(y)), len(y)
    state = initial_state(markov, layout)
    N, d, head = layout.size, markov.diffuse.shape[1], diffuse_head.rows
    nothing = Gathered(jnp.zeros(N, y.dtype), jnp.zeros((N, N), y.dtype))
    nothing_flat = GatheredFlat(nothing.r, nothing.N, nothing.N)

    def through(state: tuple[Finite, Flat | None], start: int, stop: int) -> tuple:
        return forward(rows.part(start, stop), y[start:stop], state, layout, _keep)

    def back(rows: Rows, kept: _Kept, left: Array | None, gathered: Back) -> tuple[Back, RowMoments]:
        def pass_back(part: Rows, kept: _Kept, left: Array | None, gathered: Back) -> tuple[Back, RowMoments]:
            def body(carry: Back, x: tuple[dict[str, Array], _Kept]) -> tuple[Back, RowMoments]:
                return _row_back(carry, part.row(x[0]), x[1], left, layout, size)

            return jax.lax.scan(body, gathered, (part.varying, kept), reverse=True)

        return one_kernel(pass_back, layout.fused)(rows, kept, left, gathered)

    def by_row(rows: Rows, y: Array, state: Finite) -> tuple[Gathered, RowMoments, Array]:
        _, kept = forward(rows, y, (state, None), layout, _keep)
        (gathered, _), moments = back(rows, kept, None, (nothing, None))
        return gathered, moments, _terms(kept)

    def row_back(gathered: Gathered, row: Row, P: Array, m: Array, found: Innovation) -> tuple[Gathered, RowMoments]:
        kept = _Kept(Finite(P, m, None), None, found, None)
        (gathered, _), moments = _row_back((gathered, None), row, kept, None, layout, size)
        return gathered, moments

    def finite(state: tuple[Finite, Flat | None], start: int) -> tuple[Gathered, RowMoments, Array]:
        part, left = rows.part(start, steps), y[start:]
        way = route(part)
        large = part.steps * max(N, 4) ** 2 >= SMOOTHING_WORK
        if way.settles and layout.fused and on_cpu() and (large or often):
            return smoothed(layout, row_back, by_row, size, part, left, state[0])
        if (way.settles or way.freezes) and large:
            return settling(layout, way.block, part, left, state[0], size)
        return by_row(part, left, state[0])

    if d == 0:
        return finite(state, 0)[1:]

    state, first = through(state, 0, head)
    assert state[1] is not None
    if head == steps:
        return back(rows, first, state[1].left, (nothing, nothing_flat))[1], _terms(first)

    def plain(state: tuple[Finite, Flat]) -> Any:
        gathered, moments, terms = finite(state, head)
        return (gathered, nothing_flat), moments, state[1].left, terms

    def flat(state: tuple[Finite, Flat]) -> Any:
        end, kept = through(state, head, steps)
        gathered, moments = back(rows.part(head, steps), kept, end[1].left, (nothing, nothing_flat))
        return gathered, moments, end[1].left, _terms(kept)

    if diffuse_head.certain:
        gathered, rest, left, terms = plain(state)
    else:
        gathered, rest, left, terms = jax.lax.cond(diffuse.exhausted(state[1]), plain, flat, state)
    _, early = back(rows.part(0, head), first, left, gathered)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (early, _terms(first)), (rest, terms))
    return joined


def _keep(step: Step) -> _Kept:
    return _Kept(step.predicted._replace(E=None), step.predicted_flat, step.innovations, step.gains)


def _terms(kept: _Kept) -> Float[Array, " T"]:
    return univariate.terms(kept.innovations.v, kept.innovations.F, kept.innovations.kind)


def _row_back(
    carry: Back, row: Row, kept: _Kept, left: Array | None, layout: Layout, size: int
) -> tuple[Back, RowMoments]:
    """From after row t to before its observations."""
    gathered, more = carry
    fused = jnp.concatenate([gathered.N, gathered.r[:, None]], axis=1)
    fused = univariate.retreat(fused, row.top, layout)
    gathered = Gathered(fused[:, -1], symmetric(univariate.retreat(fused[:, :-1].T, row.top, layout)))
    if more is not None:
        r1 = univariate.retreat(more.r1, row.top, layout)
        N1, N2 = (univariate.retreat(univariate.retreat(N, row.top, layout).T, row.top, layout) for N in more[1:])
        more = GatheredFlat(r1, N1, N2)

    def one(carry: Back, x: tuple[Array, Innovation, DiffuseGain | None]) -> tuple[Back, None]:
        z, found, gain = x
        return _entry_back(*carry, z, found, gain), None

    (gathered, more), _ = jax.lax.scan(
        one, (gathered, more), (row.Z, kept.innovations, kept.gains), reverse=True, unroll=layout.structure.m <= 4
    )

    def mul(A: Array, B: Array, *more: Array) -> Array:
        found = times(A, B, layout.fused)
        return mul(found, *more) if more else found

    P, m = kept.predicted.P, kept.predicted.m
    mean = m + mul(P, gathered.r)
    cov = P - mul(P, gathered.N, P)
    Z = of_the_signal(row, layout)
    unknown = unknown_signal = None
    if more is not None and kept.flat is not None and left is not None:
        D = kept.flat.D
        mean = mean + mul(D, mul(D.T, more.r1))
        cross = mul(D, mul(mul(D.T, more.N1), P))
        cov = cov - cross - cross.T - mul(D, mul(D.T, more.N2, D), D.T)
        never = kept.flat._replace(D=mul(D, left))
        unknown = diffuse.unknown_entries(never.D, never.ED)[:size]
        unknown_signal = diffuse.unknown(never, Z)
    cov = symmetric(cov)
    signal_cov = symmetric(mul(Z, cov, Z.T))
    found = RowMoments(mean[:size], cov[:size, :size], mul(Z, mean) + row.d, signal_cov)
    if unknown is not None and unknown_signal is not None:
        found = found._replace(
            cov=diffuse.with_infinite(found.cov, unknown), signal_cov=diffuse.with_infinite(signal_cov, unknown_signal)
        )
    return (gathered, more), found


def _entry_back(
    gathered: Gathered, more: GatheredFlat | None, z: Float[Array, " N"], inn: Innovation, gain: DiffuseGain | None
) -> Back:
    """From after an observation to before it."""
    r, N = gathered
    weight = jnp.where(inn.kind == USED, 1.0 / inn.F, 0.0)
    if more is None or gain is None:
        return Gathered(_back_vector(r, z, inn.K) + z * (weight * inn.v), _back_matrix(N, z, inn.K, weight)), None

    spent = inn.kind == DIFFUSE
    scale = jnp.where(spent, 1.0 / inn.F, 0.0)
    K0, K1, (r1, N1, N2) = gain.K0, jnp.where(spent, gain.K1, 0.0), more
    # Products with L1 = -K1 z': L1'X = -z (K1'X).
    cross = _back_right(_outer(z, -jnp.sum(K1[:, None] * N, axis=0)), z, K0)
    cross1 = _back_right(_outer(z, -jnp.sum(K1[:, None] * N1, axis=0)), z, K0)
    zz = _outer(z, z)
    after = GatheredFlat(
        r1=_back_vector(r1, z, K0) + z * (scale * inn.v - jnp.sum(K1 * r)),
        N1=_back_matrix(N1, z, K0, scale) + cross + cross.T,
        N2=_back_matrix(N2, z, K0, -gain.F_star * scale**2) + cross1 + cross1.T + zz * jnp.sum(K1[:, None] * N * K1),
    )
    return Gathered(_back_vector(r, z, K0) + z * (weight * inn.v), _back_matrix(N, z, K0, weight)), after


def _outer(a: Float[Array, " N"], b: Float[Array, " N"]) -> Float[Array, "N N"]:
    return a[:, None] * b


def _back_vector(r: Float[Array, " N"], z: Float[Array, " N"], K: Float[Array, " N"]) -> Float[Array, " N"]:
    """(I - K z')' r."""
    return r - z * jnp.sum(K * r)


def _back_right(X: Float[Array, "N N"], z: Float[Array, " N"], K: Float[Array, " N"]) -> Float[Array, "N N"]:
    """X (I - K z')."""
    return X - _outer(jnp.sum(X * K, axis=1), z)


def _back_matrix(
    N: Float[Array, "N N"], z: Float[Array, " N"], K: Float[Array, " N"], weight: Float[Array, ""]
) -> Float[Array, "N N"]:
    """(I - K z')' N (I - K z') + weight z z'."""
    NK = jnp.sum(N * K, axis=1)
    cross = _outer(z, NK)
    return N - cross - cross.T + _outer(z, z) * (jnp.sum(NK * K) + weight)
