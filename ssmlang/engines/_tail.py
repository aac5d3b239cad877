"""Rows after the gain has settled: a linear recursion of the mean alone, taken in blocks as matrix products.

With the predicted covariance P of a row settled, one row is

    e_t = V_y (y_t - d_t) + V_m m_t,      m_{t+1} = A m_t + K (y_t - d_t) + a

with e the innovations over their standard deviations. A block of L rows from mean m is then E = Y T' + (O m)' + const,
with O = [V_m; V_m A; ...] and T block Toeplitz with first column V_y, V_m K, V_m A K, ...; the means at the blocks'
starts follow m' = A^L m + B (block of y) + const. So a series is two products per block and a recursion of n numbers
per block. Anderson & Moore (1979, section 4.4) for the settled filter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines import _row_update as row_update
from ssmlang.engines._kernel import kernel
from ssmlang.engines._products import product, row_product
from ssmlang.engines._rows import Row
from ssmlang.engines._turned import turned
from ssmlang.engines.layout import Layout


class _Block(NamedTuple):
    """What a block of L rows makes of the mean at its start and of its data."""

    column: Float[Array, "L m m"]
    """first column of T"""
    response: Float[Array, "L*m N"]
    """O"""
    within: Float[Array, " L*m"]
    A: Float[Array, "N N"]
    B: Float[Array, "N L*m"]
    a: Float[Array, " N"]
    log_F: Float[Array, ""]
    """of one row"""


class Tail(NamedTuple):
    """Rows in blocks of `length`, a power of two, none of them with a missing entry before the last observed one."""

    made: _Block
    toeplitz: Float[Array, "L*m L*m"]
    """T"""
    centred: Float[Array, "blocks L*m"]
    """y - d, zero after the last observed row"""
    added: Float[Array, "blocks N"]
    observed: Int[Array, ""]
    """how many rows are"""
    length: int
    kernel: Callable[..., Any]
    """makes functions native: `kernel`, which is for reverse mode, or `one_kernel`"""


def tail(
    layout: Layout,
    row: Row,
    offsets: Float[Array, "*T m"],
    P: Float[Array, "N N"],
    y: Float[Array, "T m"],
    observed: Int[Array, ""],
    length: int,
    kernel: Callable[..., Any] = kernel,
) -> Tail:
    """row: the numbers of every row but for the offsets d_t; P: the predicted covariance of each of these rows."""
    made = kernel(lambda row, P: _block(layout, length, row, P), layout.fused)(row, P)
    count = -(-len(y) // length)
    extra = ((0, count * length - len(y)), (0, 0))
    # In lines of L*m numbers, which are as many at once as fit into a register.
    lines = (jnp.pad(y, extra, constant_values=jnp.nan) if extra[0][1] else y).reshape(count, -1)
    d = jnp.tile(offsets, length) if offsets.ndim == 1 else jnp.pad(offsets, extra).reshape(count, -1)
    centred = jnp.where(jnp.isnan(lines), 0.0, lines - d)
    return Tail(made, _toeplitz(made.column), centred, centred @ made.B.T + made.a, observed, length, kernel)


class Errors(NamedTuple):
    """Standardised innovations by block, zero where none is used, and how many rows are used."""

    e: Float[Array, "blocks L*m"]
    rows: Int[Array, ""]


def errors(layout: Layout, rows: Tail, m: Float[Array, " N"], start: Int[Array, ""]) -> Errors:
    """Of the rows from block `start` on, up to the last observed one. m: the predicted mean of the first of them."""
    made, _, centred, added, observed, length, kernel = rows

    def means(A: Array, added: Array, m: Array, start: Array) -> Array:
        across = turned(A) if layout.fused else A.T

        def one(carry: tuple[Array, Array], b: Array) -> tuple[tuple[Array, Array], Array]:
            k, m = carry
            after = row_product(m, across, layout.fused) + b
            return (k + 1, jnp.where(k < start, m, after)), m

        return jax.lax.scan(one, (jnp.zeros((), np.int32), m), added)[1]

    m_blocks = kernel(means, layout.fused)(made.A, added, m, start)
    e = centred @ rows.toeplitz.T + m_blocks @ made.response.T + made.within
    number = jnp.arange(e.size, dtype=np.int32).reshape(e.shape)
    entries, first = e.shape[1] // length, start * length
    used = (number < observed * entries) & (number >= first * entries)
    return Errors(jnp.where(used, e, 0.0), jnp.maximum(observed - first, 0))


def log_density(rows: Tail, found: Errors) -> Float[Array, ""]:
    """Of the rows used."""
    constant = rows.made.log_F + found.e.shape[1] // rows.length * float(np.log(2 * np.pi))
    return -0.5 * (jnp.sum(found.e * found.e) + found.rows * constant)


NEAR = 24
"""Blocks that are gone through for what they say of the start, where later ones say nothing."""


def of_start(layout: Layout, rows: Tail, m: Float[Array, " N"], told: Int[Array, ""]) -> Float[Array, " N"]:
    """r = O'e, where e - O delta are the innovations of all rows if m + delta is the mean of row 0: see `_steady`.
    told: after so many rows nothing more is learned of the start."""

    def walked(A: Array, b: Array) -> Array:
        back = lambda r, b: (row_product(r, A, layout.fused) - b, None)
        return jax.lax.scan(back, jnp.zeros_like(b[0]), b, reverse=True)[0]

    def over(rows: Tail) -> Array:
        found = errors(layout, rows, m, jnp.zeros((), np.int32))
        return rows.kernel(walked, layout.fused)(rows.made.A, found.e @ rows.made.response)

    if len(rows.centred) <= NEAR:
        return over(rows)
    near = rows._replace(centred=rows.centred[:NEAR], added=rows.added[:NEAR])
    return jax.lax.cond(told > NEAR * rows.length, lambda: over(rows), lambda: over(near))


def _block(layout: Layout, length: int, row: Row, P: Array) -> _Block:
    """The matrices of a block of `length` rows, from the settled predicted covariance."""
    a, fused = row.a, layout.fused
    count, N = row.Z.shape
    V_m, V_y, A, K, log_F = row_update.settled(P, row, layout)[:5]

    across = turned(A) if fused else A.T

    def power(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, tuple]:
        V, B, w = carry
        return (product(V, A, fused), product(A, B, fused), row_product(w, across, fused) + a), carry

    (_, _, a_end), (V, B, w) = jax.lax.scan(power, (V_m, K, jnp.zeros_like(a)), None, length)
    A_end, _ = jax.lax.scan(lambda A, _: (product(A, A, fused), None), A, None, length.bit_length() - 1)
    response = V.reshape(length * count, N)
    impulse = product(response, K, fused).reshape(length, count, count)
    within = product(w, V_m.T, fused).reshape(-1)
    column = jnp.concatenate([V_y[None], impulse[:-1]])
    return _Block(column, response, within, A_end, B[::-1].transpose(1, 0, 2).reshape(N, -1), a_end, log_F)


def _toeplitz(column: Float[Array, "L i j"]) -> Float[Array, "L*i L*j"]:
    """The lower block Toeplitz matrix with this first column, by reshaping alone, which differentiates fast."""
    L, i, j = column.shape
    ring = jnp.concatenate([column[:1], jnp.zeros((L, i, j), column.dtype), column[:0:-1]])
    spread = jnp.broadcast_to(ring, (L, 2 * L, i, j)).reshape(2 * L * L, i, j)
    blocks = spread[: L * (2 * L - 1)].reshape(L, 2 * L - 1, i, j)[:, :L]
    return blocks.transpose(0, 2, 1, 3).reshape(L * i, L * j)
