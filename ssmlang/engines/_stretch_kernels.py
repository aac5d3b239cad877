"""`_stretches` for elements of the filter as a few kernels on a CUDA device.

Operation by operation a join of small matrices is some forty kernels, whose launches take all of the time: 5.7 ms for
100,000 rows of four states, of which the arithmetic is a twentieth. Here a whole pass is

    one kernel in which each program goes through some stretches of rows, row after row;
    one called in each of the rounds over growing distances (Hillis & Steele 1986);
    and one that hands what surrounds a stretch to its rows;

with the elements of a program in its registers (`_tiles`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ssmlang.engines import _tiles as tiles
from ssmlang.engines._elements import Element, nothing
from ssmlang.engines._stretches import in_a_row, split

Way = Literal["laws", "sights"]

LARGEST = 16
"""Up to so many entries of the memory have their tiles in the registers of one warp."""

TILE = 256
"""Entries of a tile, over all its lanes: eight for each thread of a warp."""

WARPS = 2048
"""Stretches are made longer as soon as there are more of them than so many warps take."""


def fits(elements: Element) -> bool:
    """Whether elements can be taken here: of one series, small, and with fewer than 2^31 numbers."""
    N, K = elements.b.shape[:2]
    return 0 < N <= LARGEST and K == 1 and elements.A.size < 2**30


def best_block(N: int, rows: int) -> int:
    """Rows in a stretch."""
    block = 4
    while block < 64 and rows > 2 * block * WARPS * _lanes(N):
        block *= 2
    return block


def joined(way: Way, edge: Element, elements: Element, d: int, block: int | None, interpret: bool = False) -> tuple:
    """What `forwards` of an edge before the first row ("laws": D, m, U, eta, Z of each row, with `d` coefficients in
    use) or `backwards` of one after the last row ("sights": eta, Z) gives."""
    N, T = elements.b.shape[0], elements.b.shape[-1]
    block = min(best_block(N, T) if block is None else block, T)
    laws = way == "laws"
    parts = split(elements, nothing(N, 1, elements.b), block)
    count = parts.b.shape[-1]
    call = partial(_call, N, count, elements.b.dtype, interpret)
    within = Element(*call(partial(_within, laws, block), (*parts,), _shapes(N, count, (block,)), (1,)))
    total = jax.tree.map(lambda a: a[-1 if laws else 0], within)
    if laws:
        around = jax.tree.map(lambda e, t: jnp.concatenate([e[..., None], t[..., :-1]], axis=-1), edge, total)
    else:
        around = jax.tree.map(lambda e, t: jnp.concatenate([t[..., 1:], e[..., None]], axis=-1), edge, total)

    def farther(k: Array, around: Element) -> Element:
        shift = jnp.reshape(jnp.left_shift(jnp.int32(1), k.astype(jnp.int32)), 1) * (-1 if laws else 1)
        return Element(*call(partial(_round, laws), (*around, shift), _shapes(N, count), (1,)))

    around = jax.lax.fori_loop(0, (count - 1).bit_length(), farther, around)
    out = [(N, d), (N, 1), (N, N), (d, 1), (d, d)] if laws else [(N, 1), (N, N)]
    shapes = [(block, *shape, count) for shape in out if 0 not in shape]
    found = call(partial(_handed, laws, d), (*around, *within), shapes, (block,))
    filled = iter(found)
    values = (next(filled) if 0 not in shape else jnp.zeros((block, *shape, count), within.b.dtype) for shape in out)
    return tuple(in_a_row(jnp.moveaxis(a, 0, -2), T) for a in values)


def _shapes(N: int, count: int, lead: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    return [(*lead, *shape, count) for shape in ((N, N), (N, 1), (N, N), (N, 1), (N, N))]


def _padded(N: int) -> int:
    return 1 << (N - 1).bit_length()


def _lanes(N: int) -> int:
    return max(1, TILE // _padded(N) ** 2)


def _call(
    N: int, count: int, dtype: Any, interpret: bool, body: Callable[..., None], arrays: tuple[Array, ...],
    shapes: Sequence[tuple[int, ...]], grid: tuple[int, ...],
) -> list[Array]:  # fmt: skip
    """One kernel over groups of stretches; arrays and results lie flat in it."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    found = pl.pallas_call(
        lambda *refs: body(_Place(N, count, pl.program_id(0) * _lanes(N)), *refs),
        out_shape=[jax.ShapeDtypeStruct((_entries(shape),), dtype) for shape in shapes],
        grid=(-(-count // _lanes(N)), *grid),
        interpret=interpret,
        compiler_params=None if interpret else triton.CompilerParams(num_warps=1, num_stages=1),
    )(*(a.reshape(-1) for a in arrays))
    return [a.reshape(shape) for a, shape in zip(found, shapes, strict=True)]


def _entries(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


class _Place:
    """Where a program's tiles lie in the flat arrays."""

    def __init__(self, N: int, count: int, first: Any) -> None:
        self.N, self.count, self.lanes, self.first = N, count, _lanes(N), first

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Of an element's fields."""
        N = self.N
        return ((N, N), (N, 0), (N, N), (N, 0), (N, N))

    def index(self, shape: tuple[int, int], at: Any, shift: Any = 0) -> tuple[Array, Array]:
        """Places of a tile (or line, where the second extent is one of a vector) at `at` along a leading axis, of
        stretches `shift` away; which of them exist."""
        P, line = _padded(self.N), shape[1] == 0
        extent = (P, self.lanes) if line else (P, P, self.lanes)
        along = partial(jax.lax.broadcasted_iota, jnp.int32, extent)
        rows, columns = shape[0], max(shape[1], 1)
        lane = self.first + along(len(extent) - 1) + shift
        i, j = along(0), 0 if line else along(1)
        known = (i < rows) & (j < columns) & (lane >= 0) & (lane < self.count)
        return ((at * rows + i) * columns + j) * self.count + lane, known

    def load(self, refs: Any, at: Any = 0, shift: Any = 0) -> Element:
        from jax.experimental.pallas import triton

        found = []
        for ref, shape in zip(refs, self.shapes, strict=True):
            place, known = self.index(shape, at, shift)
            found.append(triton.load(ref.at[place], mask=known, other=0.0))
        return Element(*found)

    def store(self, ref: Any, value: Array, shape: tuple[int, int], at: Any = 0) -> None:
        from jax.experimental.pallas import triton

        place, known = self.index(shape, at)
        triton.store(ref.at[place], value, mask=known)

    def store_all(self, refs: Any, value: Element, at: Any = 0) -> None:
        for ref, a, shape in zip(refs, value, self.shapes, strict=True):
            self.store(ref, a, shape, at)


def _within(laws: bool, block: int, place: _Place, *refs: Any) -> None:
    """Products from the first row of a stretch on, or up to its last."""
    given, out = refs[:5], refs[5:]
    start = 0 if laws else block - 1

    def step(k: Any, so_far: Element) -> Element:
        at = k if laws else block - 1 - k
        row = place.load(given, at)
        so_far = tiles.join(so_far, row) if laws else tiles.join(row, so_far)
        place.store_all(out, so_far, at)
        return so_far

    first = place.load(given, start)
    place.store_all(out, first, start)
    jax.lax.fori_loop(1, block, step, first)


def _round(laws: bool, place: _Place, *refs: Any) -> None:
    """Each stretch with what is `shift` stretches away: before it, or after it."""
    given, shift, out = refs[:5], refs[5][0], refs[6:]
    here, there = place.load(given), place.load(given, 0, shift)
    both = tiles.join(there, here) if laws else tiles.join(here, there)
    for ref, new, old, shape in zip(out, both, here, place.shapes, strict=True):
        _, known = place.index(shape, 0, shift)
        place.store(ref, jnp.where(known, new, old), shape)


def _handed(laws: bool, d: int, place: _Place, *refs: Any) -> None:
    """What surrounds a stretch and the products within it."""
    from jax.experimental import pallas as pl

    around, within, out = refs[:5], refs[5:10], refs[10:]
    k, N = pl.program_id(1), place.N
    outer, inner = place.load(around), place.load(within, k)
    if not laws:
        found = tiles.join(inner, outer, law=False)
        for ref, value, shape in zip(out, (found.eta, found.Z), ((N, 0), (N, N)), strict=True):
            place.store(ref, value, shape, k)
        return
    found = tiles.join(outer, inner, sight=d > 0)
    fields: list[tuple[Array, tuple[int, int]]] = [(found.b, (N, 0)), (found.U, (N, N))]
    if d:
        fields = [(found.A, (N, d)), *fields, (found.eta, (d, 0)), (found.Z, (d, d))]
    for ref, (value, shape) in zip(out, fields, strict=True):
        place.store(ref, value, shape, k)
