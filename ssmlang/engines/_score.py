"""The log-likelihood of the engine `parallel`, and its gradient from the smoother's quantities.

What a row's matrices do to the log-likelihood is known from the law of the state before the row and from what later
rows say of the state after it, for neither depends on them. So the gradient takes a pass forwards, one backwards, and
a closed form for all rows at once; no pass is differentiated. In the notation of the disturbance smoother (Durbin &
Koopman 2012, section 4.5; the score from it: Koopman & Shephard 1992), with predicted law (m, P) of a row, innovation
v of variance F = X X' and gain K, and (r, N) what follows after the row says of its state beyond its filtered law,

    u = F^{-1} v - K' r,     C = (F^{-1} + K' N K) Z - K' N,     r_ = r + Z' u,     N_ = N - N K Z + Z' C,

with L = r_ r_' - N_ and E = u u' - F^{-1} - K' N K the gradients are, P0 and m0 the law of the state a row earlier,

    A: r_ m0' + L A P0     a: r_     B: L B     Z: u m' + (u r_' - C) P     d: u     W: E W     y: -u .

Nothing is solved with but X. Where coefficients delta of the initial law are flat, they have a law given all the data,
N(delta, S S'), and the log-likelihood given delta is a quadratic: the expectation of its gradient is the sum of u, r
and m at the mean and of those along each column of S.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _flat as flat
from ssmlang.engines._elements import Law, meet
from ssmlang.engines._first_row import first_row
from ssmlang.engines._past import Past, gone_through, settled_at_last, sights, total
from ssmlang.engines._rotations import (
    below,
    beside,
    identity,
    once,
    product,
    reflect,
    solve_lower,
    solve_lower_transposed,
    square,
    transposed,
)  # fmt: skip
from ssmlang.engines._rows_last import RowsLast, residual
from ssmlang.engines._univariate import zero_tolerance
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import Initial


class Start(NamedTuple):
    """The law of row 0, as of `Initial`."""

    mean: Float[Array, " N"]
    factor: Float[Array, "N k"]
    cov: Float[Array, "N N"]
    diffuse: Float[Array, "N d"]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def log_density(layout: Layout, block: int | None, rows: RowsLast, start: Start) -> Float[Array, ""]:
    """Log-density of one series, differentiable once and in either mode."""
    return total(gone_through(layout, block, rows, Initial(*start)))


@log_density.defjvp
def _derivative(
    layout: Layout, block: int | None, primals: tuple[RowsLast, Start], tangents: tuple[RowsLast, Start]
) -> tuple[Array, Array]:
    past = gone_through(layout, block, primals[0], Initial(*primals[1]))
    slopes = jax.tree.map(once, _slopes(past, block, primals[1]))
    named = (tangents[0]._asdict() | tangents[1]._asdict()).items()
    moved = [jnp.sum(slopes[name] * tangent) for name, tangent in named if name in slopes]
    return total(past), sum(moved, jnp.zeros((), rows_dtype(primals[0])))


def rows_dtype(rows: RowsLast) -> np.dtype:
    """The precision of the program's numbers."""
    return rows.W.dtype


def _slopes(past: Past, block: int | None, start: Start) -> dict[str, Array]:
    """Derivatives with respect to the floating-point fields of the rows and of the start."""
    laws, seen = past.laws, sights(past, block)
    # Columns: the mean, and beside it the directions in which flat coefficients are uncertain in the end.
    mean = delta = root = None
    if laws.D.shape[1]:
        delta, root = flat.law(settled_at_last(past))
        mean = beside(laws.m + product(laws.D, delta), product(laws.D, root))
        seen = seen._replace(eta=jnp.pad(seen.eta, ((0, 0), (0, root.shape[1]), (0, 0))))
    mean = laws.m if mean is None else mean
    met = meet(mean, laws.U, seen)
    r = product(transposed(met.gain), met.surprise)
    found = _row_slopes(past.rows.part(1, past.rows.y.shape[-1]), laws, mean, r, met.Z)

    # Row 0, whose law is given.
    r0, Z0, U0 = r[..., 0], met.Z[..., 0], laws.U[..., 0]
    to_U = product(r0, product(transposed(r0), U0)) - product(Z0, product(transposed(Z0), U0))
    to_D = laws.D[..., 0]
    if delta is not None and root is not None:
        to_D = product(r0, transposed(beside(delta, root)))
    row = past.rows.part(0, 1)

    def begun(start: Start, numbers: dict[str, Any]) -> tuple[Array, ...]:
        tolerance = zero_tolerance(past.layout, row.W.dtype)
        first = first_row(Initial(*start), row._replace(**numbers), past.layout, tolerance)
        return jnp.sum(first.density), first.law.m, first.law.U, first.law.D

    one = jnp.ones((), row.W.dtype)
    _, pull = jax.vjp(begun, start, {name: getattr(row, name) for name in found})
    of_start, of_row = pull((one, r0[:, :1], to_U, to_D))
    return {name: jnp.concatenate([of_row[name], found[name]], axis=-1) for name in found} | of_start._asdict()


def _row_slopes(
    rows: RowsLast, laws: Law, mean: Float[Array, "N q T"], r: Float[Array, "N q T"], seen: Float[Array, "N N T"]
) -> dict[str, Array]:
    """Of the rows after row 0; `mean`, `r` and `seen` (N = seen seen') of all rows after their observations."""
    Z, W, count = rows.seen_Z, rows.seen_W, rows.y.shape[0]
    (N, q), U0, m0 = mean.shape[:2], laws.U[..., :-1], mean[..., :-1]
    r, seen = r[..., 1:], seen[..., 1:]
    first = np.arange(q)[:, None] == 0
    m = product(rows.A, m0) + jnp.where(first, rows.a, 0.0)
    U = beside(product(rows.A, U0), rows.B)
    # F and the gain, by the factor of the joint law of observation and state.
    load = beside(below(product(Z, U), U), below(W, jnp.zeros((N, W.shape[1], W.shape[-1]), W.dtype)))
    turned = reflect(load, count)
    X, along = turned[:count, :count], turned[count:, :count]
    v = jnp.where(first, residual(rows) + product(Z, rows.a), 0.0) - product(Z, m)
    u = solve_lower_transposed(X, solve_lower(X, v) - product(transposed(along), r))
    turn = product(transposed(along), seen)
    D_root = solve_lower_transposed(X, beside(identity(count, X), turn))
    K_seen = solve_lower_transposed(X, turn)
    C = product(D_root, product(transposed(D_root), Z)) - product(K_seen, transposed(seen))
    before = r + product(transposed(Z), u)
    # N_ = N - N K Z + Z' C
    information = product(seen, transposed(seen) - product(transposed(K_seen), Z)) + product(transposed(Z), C)
    L = product(before, transposed(before)) - information
    seen_entry = rows.seen[:, None]
    to_Z = product(u, transposed(m)) + product(product(product(u, transposed(before)) - C, U), transposed(U))
    E = product(u, transposed(u)) - square(D_root)
    return {
        "A": product(before, transposed(m0)) + product(product(L, rows.A), square(U0)),
        "a": before[:, :1],
        "B": product(L, rows.B),
        "Z": jnp.where(seen_entry, to_Z, 0.0),
        "d": jnp.where(seen_entry, u[:, :1], 0.0),
        "W": jnp.where(seen_entry, product(E, W), 0.0),
        "y": jnp.where(seen_entry, -u[:, :1], 0.0),
    }
