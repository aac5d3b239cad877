"""A program in Markov form by its noise loadings, all rows at once, and what each row says as an element.

    s_t = A_t s_{t-1} + a_t + B_t e_t,        y_t = Z_t s_t + d_t + W_t w_t

with e_t and w_t standard normal. W holds the noises that a single observation reads, one column or more for each; an
observation without such a noise has a column of zeros, which takes a unit where the entry is missing. Arrays have the
rows of the series last.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines._elements import Element, Law
from ssmlang.engines._rotations import beside, compress, condition, product, transposed
from ssmlang.engines.companion import companion, noise_loading
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian


class RowsLast(NamedTuple):
    """The program's numbers for each row, and the data: K series with the same missing entries."""

    A: Float[Array, "N N T"]
    a: Float[Array, "N 1 T"]
    B: Float[Array, "N r T"]
    Z: Float[Array, "m N T"]
    d: Float[Array, "m 1 T"]
    W: Float[Array, "m w T"]
    unit: Float[np.ndarray, "m w"]
    """a column of W for each observation"""
    y: Float[Array, "m K T"]
    """zero where missing"""
    seen: Bool[Array, "m T"]

    def part(self, start: int, stop: int) -> RowsLast:
        """Rows start..stop-1."""
        cut = {name: value[..., start:stop] for name, value in self._asdict().items() if name != "unit"}
        return self._replace(**cut)

    @property
    def seen_Z(self) -> Float[Array, "m N T"]:
        """Z, zero for entries that are missing."""
        return jnp.where(self.seen[:, None], self.Z, 0.0)

    @property
    def seen_W(self) -> Float[Array, "m w T"]:
        """W, with a unit of its own for each entry that is missing: such an entry, zero, has density one."""
        unit = jnp.asarray(self.unit, self.W.dtype)[..., None]
        return jnp.where(self.seen[:, None], self.W, unit)


def rows_last(program: LinearGaussian, layout: Layout, y: Float[Array, "K T m"]) -> RowsLast:
    """The program over the rows of y (NaN: missing, in the same places in all series)."""
    markov, steps = companion(program, layout), y.shape[1]
    N, n = layout.size, layout.structure.n
    own = list(layout.own_noises)
    shared = [j for j in range(layout.structure.r) if j not in set(own)]
    lead = [(0, 0)] * (markov.top.ndim - 2)
    moves = np.zeros((N - n, N))
    to = np.flatnonzero(layout.source[n:] >= 0)
    moves[to, layout.source[n:][to]] = 1.0
    top = jnp.pad(markov.top, [*lead, (0, 0), (0, N - layout.read)])
    down = jnp.broadcast_to(jnp.asarray(moves, top.dtype), (*top.shape[:-2], N - n, N))
    A = jnp.concatenate([top, down], axis=-2)
    a = jnp.pad(markov.a, [(0, 0)] * (markov.a.ndim - 1) + [(0, N - n)])
    B = noise_loading(program, layout)[..., jnp.array(shared, int)]
    W, unit = _own_noise(program, layout)
    values = jnp.transpose(y, (2, 0, 1))
    arrays = (A, a[..., None], B, markov.Z, markov.d[..., None], W)
    A, a, B, Z, d, W = (_last(X, 2, steps) for X in arrays)
    return RowsLast(A, a, B, Z, d, W, unit, jnp.where(jnp.isnan(values), 0.0, values), ~jnp.isnan(values[:, 0]))


def _own_noise(program: LinearGaussian, layout: Layout) -> tuple[Float[Array, "*T m w"], np.ndarray]:
    m, own, pattern = layout.structure.m, list(layout.own_noises), layout.patterns[3]
    reads = pattern[0][:, own] if len(pattern) else np.zeros((m, 0), bool)
    bare = np.flatnonzero(~reads.any(axis=1))
    unit = np.zeros((m, len(own) + len(bare)))
    unit[bare, len(own) + np.arange(len(bare))] = 1.0
    for i in range(m):
        if reads[i].any():
            unit[i, int(np.argmax(reads[i]))] = 1.0
    if not own:
        return jnp.zeros((m, len(bare)), jnp.asarray(program.d).dtype), unit
    J = jnp.asarray(program.J)[..., 0, :, :][..., jnp.array(own)]
    return jnp.pad(J, [(0, 0)] * (J.ndim - 1) + [(0, len(bare))]), unit


def _last(X: Array, base: int, steps: int) -> Array:
    """The leading axis of rows moved to the end, repeated where the array is constant."""
    if X.ndim == base:
        return jnp.broadcast_to(X[..., None], (*X.shape, steps))
    if X.shape[0] != steps:
        raise ValueError(f"an array of the program has {X.shape[0]} rows, the data have {steps}")
    return jnp.moveaxis(X, 0, -1)


def elements(rows: RowsLast, tolerance: float) -> Element:
    """What each row says, between the state before it and its own.

    The observations must have a law of full rank given the state before; where numbers make one of them exact after
    all, the row is not a number rather than wrong.
    """
    Z, W, N, m = rows.seen_Z, rows.seen_W, rows.A.shape[0], rows.y.shape[0]
    r, w, K, T = rows.B.shape[1], W.shape[1], rows.y.shape[1], rows.y.shape[-1]
    ahead = product(Z, rows.A)
    found = condition(
        beside(product(Z, rows.B), W), beside(rows.B, jnp.zeros((N, w, T), W.dtype)), beside(ahead, residual(rows))
    )
    seen_A, seen_y = found.whitened[:, :N], found.whitened[:, N:]
    back = transposed(seen_A)
    bad = _exact(rows, found.pivots, square_sums(Z, rows.B), tolerance)
    b = rows.a + product(found.along, seen_y)
    return Element(
        A=rows.A - product(found.along, seen_A),
        b=jnp.where(bad, jnp.nan, jnp.broadcast_to(b, (N, K, T))),
        U=compress(found.left[:, : r + w - m]),
        eta=product(back, seen_y),
        Z=compress(back) if m > N else jnp.pad(back, ((0, 0), (0, N - m), (0, 0))),
    )


def residual(rows: RowsLast) -> Float[Array, "m K T"]:
    """What is seen beyond the offsets: y - d - Z a; zero where missing."""
    return jnp.where(rows.seen[:, None], rows.y - rows.d - product(rows.Z, rows.a), 0.0)


def row_densities(rows: RowsLast, before: Law) -> Float[Array, "K T"]:
    """Log-density of each row given the state law `before` it (without a flat part): by the innovations' factor."""
    Z, W = rows.seen_Z, rows.seen_W
    AU, moved = product(rows.A, before.U), product(rows.A, before.m)
    v = residual(rows) - product(Z, moved)
    loadings = beside(product(Z, AU), product(Z, rows.B), W)
    found = condition(loadings, loadings[:0], v)
    count = jnp.sum(rows.seen, axis=0)
    density = -0.5 * jnp.sum(found.whitened**2, axis=0) - found.logdet - 0.5 * float(np.log(2 * np.pi)) * count
    return density


def square_sums(Z: Float[Array, "m N T"], B: Float[Array, "N r T"]) -> Float[Array, "m T"]:
    """sum_j Z_ij^2 (B B')_jj: the size that rounding is measured by."""
    return jnp.sum(Z**2 * jnp.sum(B**2, axis=1)[None], axis=1)


def _exact(rows: RowsLast, pivots: Float[Array, "m T"], size: Float[Array, "m T"], tolerance: float) -> Array:
    """Rows in which an observation without noise of its own is known from the state before."""
    bare = rows.seen & (jnp.sum(rows.W**2, axis=1) == 0)
    return jnp.any(bare & (jax.lax.stop_gradient(pivots**2 <= tolerance * size)), axis=0)
