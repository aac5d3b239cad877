"""Rows after the gain has settled: a linear recursion of the mean alone, taken in blocks as matrix products.

With the predicted covariance P of a row settled, one row is

    e_t = V_y (y_t - d_t) + V_m m_t,      m_{t+1} = A m_t + K (y_t - d_t) + a

with e the innovations over their standard deviations. A block of L rows from mean m is then E = Y T' + (O m)' + const,
with O = [V_m; V_m A; ...] and T block Toeplitz with first column V_y, V_m K, V_m A K, ...; the means at the blocks'
starts follow m' = A^L m + B (block of y) + const. So a series is two products per block and a recursion of n numbers
per block. Anderson & Moore (1979, section 4.4) for the settled filter.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines import _row_update as row_update
from ssmlang.engines._kernel import kernel
from ssmlang.engines._products import product, row_product
from ssmlang.engines._rows import Row
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


def tail(
    layout: Layout,
    row: Row,
    offsets: Float[Array, "T m"],
    P: Float[Array, "N N"],
    m: Float[Array, " N"],
    y: Float[Array, "T m"],
    start: Int[Array, ""],
    length: int,
) -> Float[Array, ""]:
    """Log-density of the rows from block `start` on, up to the last observed one, none of them with a missing entry.

    row: the numbers of every row but for the offsets d_t; P, m: the predicted moments of the first of these rows.
    `start` counts blocks of `length` rows, a power of two.
    """
    entries, steps = y.shape[1], len(y)
    made = kernel(lambda row, P: _block(layout, length, row, P), layout.fused)(row, P)
    count = -(-steps // length)
    seen = ~jnp.isnan(y[:, 0])
    padding = ((0, count * length - steps), (0, 0))
    centred = jnp.pad(jnp.where(seen[:, None], y - offsets, 0.0), padding).reshape(count, -1)

    def means(A: Array, added: Array, m: Array, start: Array) -> Array:
        def one(carry: tuple[Array, Array], b: Array) -> tuple[tuple[Array, Array], Array]:
            k, m = carry
            after = row_product(m, A.T, layout.fused) + b
            return (k + 1, jnp.where(k < start, m, after)), m

        return jax.lax.scan(one, (jnp.zeros((), np.int32), m), added)[1]

    m_blocks = kernel(means, layout.fused)(made.A, centred @ made.B.T + made.a, m, start)
    errors = centred @ _toeplitz(made.column).T + m_blocks @ made.response.T + made.within
    first = jnp.arange(count, dtype=np.int32)[:, None] >= start
    rows = first & jnp.pad(seen, padding[0]).reshape(count, length)
    errors = jnp.where(jnp.repeat(rows, entries, axis=1), errors, 0.0)
    constant = made.log_F + entries * float(np.log(2 * np.pi))
    return -0.5 * (jnp.sum(errors * errors) + jnp.sum(rows) * constant)


def _block(layout: Layout, length: int, row: Row, P: Array) -> _Block:
    """The matrices of a block of `length` rows, from the settled predicted covariance."""
    a, fused = row.a, layout.fused
    count, N = row.Z.shape
    V_m, V_y, A, K, log_F = row_update.settled(P, row, layout)[:5]

    def power(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple, tuple]:
        V, B, w = carry
        return (product(V, A, fused), product(A, B, fused), row_product(w, A.T, fused) + a), carry

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
