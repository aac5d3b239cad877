"""Smoothed means of many series whose missing entries are the same: covariances once, then recursions of vectors.

Gains, innovation variances and predicted covariances do not depend on the data, so that what is left for each series is
the filter's recursion of the mean and the smoother's of r (Durbin & Koopman 2012, sections 4.4, 5.3 and 6.4), of all
series at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._forward import Step, forward, initial_state
from ssmlang.engines._rows import Rows
from ssmlang.engines._univariate import DIFFUSE, USED
from ssmlang.engines.companion import companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian


class _Kept(NamedTuple):
    """What the covariances of a row leave for the means: entry by entry, and of the row's start."""

    kind: Int[Array, " m"]
    F: Float[Array, " m"]
    K: Float[Array, "m N"]
    K1: Float[Array, "m N"] | None
    P: Float[Array, "N N"]
    D: Float[Array, "N d"] | None


def smoothed_means(program: LinearGaussian, ys: Float[Array, "draws T m"]) -> Float[Array, "draws T n"]:
    """Means of x_t given each of the series, whose NaN stand in the same places: those of `Kalman.smooth`."""
    layout = Layout(program.structure)
    markov = companion(program, layout)
    rows, n = Rows.of(markov, ys.shape[1]), layout.structure.n
    pattern = jnp.where(jnp.isnan(ys[0]), jnp.nan, 0.0)
    _, kept = forward(rows, pattern, initial_state(markov, layout), layout, _keep)
    seen = jnp.swapaxes(jnp.where(jnp.isnan(ys), 0.0, ys), 0, 1)

    def ahead(m: Array, x: tuple[Any, _Kept, Array]) -> tuple[Array, tuple[Array, Array]]:
        row, found, y = rows.row(x[0]), x[1], x[2]

        def one(m: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
            z, d, kind, K, values = x
            v = jnp.where((kind == USED) | (kind == DIFFUSE), values - d - m @ z, 0.0)
            return m + v[:, None] * K, v

        after, v = jax.lax.scan(one, m, (row.Z, row.d, found.kind, found.K, y.T))
        return univariate.advance_rows(after.T, row.top, layout).T + row.a, (m, v)

    start = jnp.broadcast_to(markov.mean, (len(ys), layout.size))
    _, (predicted, innovations) = jax.lax.scan(ahead, start, (rows.varying, kept, seen))

    def back(carry: tuple[Array, Array], x: tuple[Any, _Kept, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        row, (_, found, m, v) = rows.row(x[0]), x

        def one(carry: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
            (r, r1), (z, kind, F, K, K1, v) = carry, x
            weight, scale = jnp.where(kind == USED, 1.0 / F, 0.0), jnp.where(kind == DIFFUSE, 1.0 / F, 0.0)
            r1 = r1 - (r1 @ K)[:, None] * z + (scale * v - r @ K1)[:, None] * z
            return (r - (r @ K)[:, None] * z + (weight * v)[:, None] * z, r1), None

        carry = tuple(univariate.retreat(r.T, row.top, layout).T for r in carry)  # type: ignore[assignment]
        K1 = jnp.zeros_like(found.K) if found.K1 is None else found.K1
        (r, r1), _ = jax.lax.scan(one, carry, (row.Z, found.kind, found.F, found.K, K1, v), reverse=True)
        mean = m + r @ found.P
        if found.D is not None:
            mean = mean + (r1 @ found.D) @ found.D.T
        return (r, r1), mean[:, :n]

    nothing = jnp.zeros((len(ys), layout.size), start.dtype)
    _, means = jax.lax.scan(back, (nothing, nothing), (rows.varying, kept, predicted, innovations), reverse=True)
    return jnp.swapaxes(means, 0, 1)


def _keep(step: Step) -> _Kept:
    found, gains, flat = step.innovations, step.gains, step.predicted_flat
    P = step.predicted.P
    if gains is None or flat is None:
        return _Kept(found.kind, found.F, found.K, None, P, None)
    spent = (found.kind == DIFFUSE)[:, None]
    return _Kept(found.kind, found.F, gains.K0, jnp.where(spent, gains.K1, 0.0), P, flat.D)
