"""First derivatives of the log-likelihood by a closed-form adjoint, for rows without a flat part.

Reverse-mode differentiation of the filter's scan stores many small arrays a row; here the predicted moments alone are
stored and the row is worked backwards by hand (Parellier, Barrau & Bonnabel 2023 for the idea; the formulas are those
of the univariate update). With bars for cotangents, M = P z, and an observation that was used:

    P+ = P - M M'/F,  m+ = m + M v/F,  M = P z,  F = z'M + R,  v = y - d - z'm
    b = m_bar+ . M,   F_bar = F_bar_out + (M' P_bar+ M - b v) / F^2,   v_bar = v_bar_out + b / F
    M_bar = (m_bar+ v - 2 P_bar+ M) / F + F_bar z
    z_bar = P M_bar + F_bar M - v_bar m,   P_bar = P_bar+ + (M_bar z' + z M_bar')/2,   m_bar = m_bar+ - v_bar z

No division but by F, so singular covariances need no care. Reverse mode only: a custom rule for it bars forward mode.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssmlang.engines import _univariate as univariate
from ssmlang.engines._forward import UNROLLED_ENTRIES, Step, forward
from ssmlang.engines._products import product
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import USED, Finite
from ssmlang.engines.layout import Layout

Density = tuple[Float[Array, "T m"], Float[Array, "T m"], Int[Array, "T m"]]


class _Stored(NamedTuple):
    S: Float[Array, "T N N+1"]
    v: Float[Array, "T m"]
    F: Float[Array, "T m"]
    kind: Int[Array, "T m"]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def density(layout: Layout, rows: Rows, y: Float[Array, "T m"], state: Finite) -> Density:
    """Innovations, their variances and fates for all rows, from the moments at the first."""
    return _run(layout, rows, y, state)[1:]


def _run(layout: Layout, rows: Rows, y: Float[Array, "T m"], state: Finite) -> _Stored:
    def emit(step: Step) -> _Stored:
        found = step.innovations
        return _Stored(step.predicted.S, found.v, found.F, found.kind)

    return forward(rows, y, (state, None), layout, emit, UNROLLED_ENTRIES)[1]


def _forwards(
    layout: Layout, rows: Rows, y: Float[Array, "T m"], state: Finite
) -> tuple[Density, tuple[Rows, Float[Array, "T m"], Finite, _Stored]]:
    stored = _run(layout, rows, y, state)
    return (stored.v, stored.F, stored.kind), (rows, y, state, stored)


def _backwards(
    layout: Layout, kept: tuple[Rows, Float[Array, "T m"], Finite, _Stored], cotangents: Density
) -> tuple[Rows, Float[Array, "T m"], Finite]:
    rows, y, state, stored = kept
    v_bar, F_bar, _ = cotangents

    def body(carry: tuple[Array, Row], x: tuple) -> tuple[tuple[Array, Row], tuple[dict[str, Array], Array]]:
        S_bar, total = carry
        varying, row_y, found, v_out, F_out = x
        row = rows.row(varying)
        S_bar, here, y_bar = _row_back(S_bar, row, row_y, found, v_out, F_out, layout)
        total = total._replace(**{name: getattr(total, name) + getattr(here, name) for name in rows.constant})
        return (S_bar, total), ({name: getattr(here, name) for name in rows.varying}, y_bar)

    first = rows.row(jax.tree.map(lambda a: a[0], rows.varying))
    start = (jnp.zeros_like(state.S), jax.tree.map(jnp.zeros_like, first))
    inputs = (rows.varying, y, stored, v_bar, F_bar)
    (S_bar, total), (varying, y_bar) = jax.lax.scan(body, start, inputs, reverse=True)
    constant = {name: getattr(total, name) for name in rows.constant}
    E_bar = None if state.E is None else jnp.zeros_like(state.E)
    return Rows(constant, varying, rows.steps), y_bar, Finite(S_bar, E_bar)


density.defvjp(_forwards, _backwards)


def _row_back(
    S_bar: Float[Array, "N N+1"],
    row: Row,
    y: Float[Array, " m"],
    found: _Stored,
    v_out: Float[Array, " m"],
    F_out: Float[Array, " m"],
    layout: Layout,
) -> tuple[Float[Array, "N N+1"], Row, Float[Array, " m"]]:
    """From the cotangent of the next row's predicted moments to that of this row's."""
    # Filtered moments and the moments before each observation, worked out again.
    m, m_range = layout.structure.m, range(layout.structure.m)
    before, gains = [], []
    S = found.S
    for i in m_range:
        used = found.kind[i] == USED
        M = jnp.where(used, jnp.sum(S[:, :-1] * row.Z[i], axis=1), 0.0)
        before.append(S)
        gains.append(M)
        S = S + (M / found.F[i])[:, None] * jnp.concatenate([-M, found.v[i][None]])

    n, read = layout.structure.n, layout.read
    added_bar = S_bar
    P_bar, m_bar = S_bar[:, :-1], S_bar[:, -1]
    AP = univariate.advance_rows(S[:, :-1], row.top, layout)
    top_bar = 2 * product(P_bar[:n], AP[:, :read], layout.fused) + m_bar[:n, None] * S[:read, -1]
    P_bar = univariate.retreat(univariate.retreat(P_bar, row.top, layout).T, row.top, layout)
    m_bar = univariate.retreat(m_bar, row.top, layout)

    Z_bar, d_bar, R_bar = [jnp.zeros(0)] * m, [jnp.zeros(())] * m, [jnp.zeros(())] * m
    for i in reversed(m_range):
        used = found.kind[i] == USED
        z, M, F, v = row.Z[i], gains[i], found.F[i], found.v[i]
        b = jnp.sum(m_bar * M)
        PM = jnp.sum(P_bar * M, axis=1)
        F_bar = jnp.where(used, F_out[i] + (jnp.sum(M * PM) - b * v) / F**2, 0.0)
        v_bar = jnp.where(used, v_out[i] + b / F, 0.0)
        M_bar = jnp.where(used, (m_bar * v - 2 * PM) / F + F_bar * z, 0.0)
        Z_bar[i] = jnp.sum(before[i][:, :-1] * M_bar, axis=1) + F_bar * M - v_bar * before[i][:, -1]
        d_bar[i], R_bar[i] = -v_bar, F_bar
        P_bar = P_bar + 0.5 * (M_bar[:, None] * z + z[:, None] * M_bar)
        m_bar = m_bar - v_bar * z
    here = Row(top_bar, added_bar, jnp.stack(Z_bar), jnp.stack(d_bar), jnp.stack(R_bar))
    return jnp.concatenate([P_bar, m_bar[:, None]], axis=1), here, -jnp.stack(d_bar)
