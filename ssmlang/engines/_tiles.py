"""The associative operation of `_elements` for a kernel of a GPU: everything it makes stays in registers.

A matrix is a tile (P, P, lanes) with zeros beyond its own size, P a power of two and a lane for each of several rows
of the series; a vector is (P, lanes). Kernels know no slices, so a column or a row is taken out by a masked sum, and
the matrices that `_elements` puts side by side before it reflects them are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._elements import Element

Tile = Float[Array, "P P lanes"]
Line = Float[Array, "P lanes"]


def join(left: Element, right: Element, *, law: bool = True, sight: bool = True) -> Element:
    """The element of two stretches, one after the other, as `_elements.join`.

    Without `law` the fields b, U and A are those of `right`, without `sight` A, eta and Z those of `left`.
    """
    gain, U, Z = _met(left.U, right.Z)
    surprise = right.eta - _times(right.Z, _times_transposed(right.Z, left.b))
    through = _product(gain, left.A) if sight else left.A
    out = right if sight else left
    if law:
        moved = left.b + _times(U, _times_transposed(U, surprise))
        out = out._replace(b=_times(right.A, moved) + right.b, U=_compressed(_product(right.A, U), right.U))
    if sight:
        eta = left.eta + _times_transposed(through, surprise)
        out = out._replace(eta=eta, Z=_compressed(_product(left.A, Z, turned=True), left.Z))
    if law and sight:
        out = out._replace(A=_product(right.A, through))
    return out


def _met(U: Tile, Z: Tile) -> tuple[Tile, Tile, Tile]:
    """Gain, U and Z of `_elements.meet`."""
    eye = jnp.where(_row(U) == _column(U), jnp.ones_like(U), 0.0)
    none = jnp.zeros_like(U)

    def step(j: Any, tiles: tuple[Tile, ...]) -> tuple[Tile, ...]:
        first, second = tiles[:2]
        return _reflected(tiles, _row_of(first, j), _row_of(second, j), j)

    start = (_product(Z, U, turned=True), eye, U, none, none, Z)
    *_, along, left, through, _unread = _loop(U.shape[0], step, start)
    return eye - _product(along, through, beside=True), left, through


def _compressed(first: Tile, second: Tile) -> Tile:
    """L with L L' = first first' + second second'."""

    def step(j: Any, tiles: tuple[Tile, ...]) -> tuple[Tile, ...]:
        return _reflected(tiles, _row_of(tiles[0], j), _row_of(tiles[1], j), j)

    return _loop(first.shape[0], step, (first, second))[0]


def _reflected(tiles: tuple[Tile, ...], x: Line, y: Line, j: Any) -> tuple[Tile, ...]:
    """Pairs of tiles side by side, reflected such that of the row (x, y) from entry j on only that entry is left."""
    place = jax.lax.broadcasted_iota(jnp.int32, x.shape, 0)
    x = jnp.where(place >= j, x, 0.0)
    # In units of the largest entry, as in `_rotations`.
    unit = jnp.maximum(jnp.max(jnp.abs(x), axis=0), jnp.max(jnp.abs(y), axis=0))
    some = unit > float(jnp.finfo(x.dtype).tiny)
    scale = 1.0 / jnp.where(some, unit, 1.0)
    x, y = x * scale[None], y * scale[None]
    norm = jnp.sqrt(jnp.sum(x * x, axis=0) + jnp.sum(y * y, axis=0))
    first = jnp.sum(jnp.where(place == j, x, 0.0), axis=0)
    x = x + jnp.where(place == j, jnp.where(first < 0, -norm, norm)[None], 0.0)
    beta = jnp.where(some, 1.0 / jnp.where(some, norm * (norm + jnp.abs(first)), 1.0), 0.0)
    bx, by = beta[None] * x, beta[None] * y
    out: list[Tile] = []
    for one, other in zip(tiles[::2], tiles[1::2], strict=True):
        along = jnp.sum(one * x[None], axis=1) + jnp.sum(other * y[None], axis=1)
        out += [one - along[:, None] * bx[None], other - along[:, None] * by[None]]
    return tuple(out)


def _product(A: Tile, B: Tile, *, turned: bool = False, beside: bool = False) -> Tile:
    """A B; A' B if `turned`, A B' if `beside`."""

    def step(k: Any, total: tuple[Tile, ...]) -> tuple[Tile, ...]:
        a = _row_of(A, k) if turned else _column_of(A, k)
        b = _column_of(B, k) if beside else _row_of(B, k)
        return (total[0] + a[:, None] * b[None],)

    return _loop(A.shape[0], step, (jnp.zeros_like(A),))[0]


def _times(A: Tile, x: Line) -> Line:
    return jnp.sum(A * x[None], axis=1)


def _times_transposed(A: Tile, x: Line) -> Line:
    return jnp.sum(A * x[:, None], axis=0)


def _row(A: Tile) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, A.shape, 0)


def _column(A: Tile) -> Array:
    return jax.lax.broadcasted_iota(jnp.int32, A.shape, 1)


def _row_of(A: Tile, j: Any) -> Line:
    return jnp.sum(jnp.where(_row(A) == j, A, 0.0), axis=0)


def _column_of(A: Tile, j: Any) -> Line:
    return jnp.sum(jnp.where(_column(A) == j, A, 0.0), axis=1)


def _loop(count: int, step: Callable[[Any, tuple[Tile, ...]], tuple[Tile, ...]], tiles: tuple[Tile, ...]
          ) -> tuple[Tile, ...]:  # fmt: skip
    """Written out, even four rows take ten times as long to compile and save a tenth of the time."""
    return step(0, tiles) if count == 1 else jax.lax.fori_loop(0, count, step, tiles)
