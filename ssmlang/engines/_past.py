"""The passes of the engine `parallel` over all rows at once, and what they leave: laws, sights, densities.

What rows say of the flat coefficients of the initial law is carried along in the laws and settled at the end: `_flat`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines import _flat as flat
from ssmlang.engines import _passes as passes
from ssmlang.engines._elements import Element, Law, Sight, nothing
from ssmlang.engines._first_row import FirstRow, first_row
from ssmlang.engines._flat import Settled
from ssmlang.engines._rotations import beside, product
from ssmlang.engines._rows_last import RowsLast, elements, row_densities
from ssmlang.engines._univariate import zero_tolerance
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial


class Past(NamedTuple):
    """The rows, and each given the rows up to it."""

    layout: Layout
    rows: RowsLast
    elements: Element
    """of rows 1, 2, ..."""
    first: FirstRow
    laws: Law
    """of all rows"""


def gone_through(layout: Layout, block: int | None, rows: RowsLast, start: Initial) -> Past:
    """The pass forwards; `start` is the law of row 0 on the layout's memory, `block` the length of a stretch (None: as
    suits the device)."""
    tolerance = zero_tolerance(layout, rows.W.dtype)
    first = first_row(start, rows, layout, tolerance)
    steps = elements(rows.part(1, rows.y.shape[-1]), tolerance)
    laws = passes.laws(first.law.element(), steps, first.law.D.shape[1], block)
    laws = jax.tree.map(lambda a, b: jnp.concatenate([a[..., None], b], axis=-1), first.law, laws)
    return Past(layout, rows, steps, first, laws)


def sights(past: Past, block: int | None) -> Sight:
    """The pass backwards: what later rows say of each."""
    N, K = past.laws.m.shape[:2]
    none = nothing(N, K, past.laws.U)
    seen = passes.sights(past.elements, block)
    last = Sight(none.eta, none.Z)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[..., None]], axis=-1), seen, last)


def predicted(past: Past) -> Law:
    """The law of each row before its own observations; its factor is wide."""
    rows, first = past.rows.part(1, past.rows.y.shape[-1]), past.first.before
    laws: Law = jax.tree.map(lambda a: a[..., :-1], past.laws)
    m = product(rows.A, laws.m) + rows.a
    U = beside(product(rows.A, laws.U), rows.B)
    rest = laws._replace(D=product(rows.A, laws.D), m=m, U=U)
    wide = first._replace(U=jnp.pad(first.U, ((0, 0), (0, U.shape[1] - first.U.shape[1]))))
    return jax.tree.map(lambda a, b: jnp.concatenate([a[..., None], b], axis=-1), wide, rest)


def settled_at(past: Past, laws: Law, delta: Float[Array, "d K"] | None = None, *, before: bool = False) -> Settled:
    """What is known of the flat coefficients by each row, or before it; counted from `delta`."""
    size = _sizes(past)
    if before:
        size = jnp.pad(size[..., :-1], ((0, 0), (1, 0)))
    return flat.settle(_counted(laws, delta), laws.Z, size, past.first.before.D)


def settled_at_last(past: Past, delta: Float[Array, "d K"] | None = None) -> Settled:
    """The same by the last row."""
    last: Law = jax.tree.map(lambda a: a[..., -1], past.laws)
    return flat.settle(_counted(last, delta), last.Z, _sizes(past)[..., -1], past.first.before.D)


def _counted(laws: Law, delta: Float[Array, "d K"] | None) -> Float[Array, "d K *T"]:
    """eta of the flat coefficients less `delta`."""
    return laws.eta if delta is None else laws.eta - product(laws.Z, product(jnp.swapaxes(laws.Z, 0, 1), delta))


def _sizes(past: Past) -> Float[Array, "d T"]:
    """How much the rows up to each would say of each flat coefficient if nothing cancelled: a bound for rounding."""
    ahead, rows = jax.lax.stop_gradient((predicted(past), past.rows))
    Z = rows.seen_Z
    variance = jnp.sum(product(Z, ahead.U) ** 2, axis=1) + jnp.sum(rows.seen_W**2, axis=1)
    loads = product(jnp.abs(Z), jnp.abs(ahead.D)) ** 2 / jnp.where(variance > 0, variance, 1.0)[:, None]
    said = jnp.sum(loads, axis=0).at[..., 0].set(0.0)
    return jnp.sqrt(jnp.cumsum(said, axis=-1))


def estimate(past: Past) -> Float[Array, "d K"] | None:
    """The flat coefficients that densities are counted from: any would do, these leave no big numbers to cancel."""
    return flat.estimate(settled_at_last(past)) if past.laws.D.shape[1] else None


def densities(past: Past, delta: Float[Array, "d K"] | None) -> Float[Array, " T"]:
    """Log-density of each row given the rows before it and the flat coefficients."""
    before: Law = jax.tree.map(lambda a: a[..., :-1], past.laws)
    if delta is not None:
        before = before._replace(m=before.m + product(before.D, delta))
    rest = row_densities(past.rows.part(1, past.rows.y.shape[-1]), before)
    return jnp.concatenate([past.first.density[:, None], rest], axis=1)[0]


def total(past: Past) -> Float[Array, ""]:
    """Log-density of all rows."""
    delta = estimate(past)
    value = jnp.sum(densities(past, delta))
    return value if delta is None else value + flat.gained(settled_at_last(past, delta))[0]


def terms(past: Past) -> Float[Array, " T"]:
    """Log-density of each row given the rows before it."""
    delta = estimate(past)
    found = densities(past, delta)
    if delta is None:
        return found
    return found + jnp.diff(flat.gained(settled_at(past, past.laws, delta))[0], prepend=0.0)
