"""Associative operations over the rows of a series in logarithmic depth, compiled a few times only.

`jax.lax.associative_scan` writes its operation out twice for every halving of the length, which takes long to compile.
Here the rows are cut into stretches of `block` rows. All stretches are gone through at once, row by row, in one loop;
what whole stretches amount to is joined over growing distances, 1, 2, 4, ..., in a second one (Hillis & Steele 1986);
and what comes before each stretch is handed to its rows. The operation is compiled three times for any length, the
depth is block + log2(length / block) + 1, and the work little more than twice that of a plain loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Join = Callable[[Any, Any], Any]


def forwards(first: Any, elements: Any, join: Join, finish: Join, nothing: Any, block: int) -> Any:
    """finish(first e_1 ... e_{i-1}, e_i e_{i+1} ... e_j) for each element e_j, i the first row of its stretch.

    The elements lie along the last axis of their arrays, `first` is one without it; `join` is associative, `nothing`
    its neutral element, and both functions take arrays with any number of further axes at the end.
    """
    T = _rows(elements)
    if not T:
        found = jax.eval_shape(finish, first, nothing)
        return jax.tree.map(lambda a: jnp.zeros((*a.shape, 0), a.dtype), found)
    parts = split(elements, nothing, block)
    start, rest = jax.tree.map(lambda a: a[0], parts), jax.tree.map(lambda a: a[1:], parts)
    total, rest = jax.lax.scan(lambda acc, e: (join(acc, e),) * 2, start, rest)
    within = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), start, rest)
    before = jax.tree.map(lambda a, b: jnp.concatenate([a[..., None], b[..., :-1]], axis=-1), first, total)
    before = _cumulated(before, join, nothing)
    return _handed_out(lambda b, w: finish(b, w), before, within, T)


def backwards(last: Any, elements: Any, join: Join, finish: Join, nothing: Any, block: int) -> Any:
    """finish(e_i ... e_j, e_{j+1} ... last) for each element e_i, j the last row of its stretch."""
    T = _rows(elements)
    if not T:
        found = jax.eval_shape(finish, nothing, last)
        return jax.tree.map(lambda a: jnp.zeros((*a.shape, 0), a.dtype), found)
    parts = split(elements, nothing, block)
    start, rest = jax.tree.map(lambda a: a[-1], parts), jax.tree.map(lambda a: a[:-1], parts)
    total, rest = jax.lax.scan(lambda acc, e: (join(e, acc),) * 2, start, rest, reverse=True)
    within = jax.tree.map(lambda a, b: jnp.concatenate([b, a[None]]), start, rest)
    after = jax.tree.map(lambda a, b: jnp.concatenate([b[..., 1:], a[..., None]], axis=-1), last, total)
    flipped = jax.tree.map(lambda a: jnp.flip(a, -1), after)
    flipped = _cumulated(flipped, lambda a, b: join(b, a), nothing)
    after = jax.tree.map(lambda a: jnp.flip(a, -1), flipped)
    return _handed_out(lambda a, w: finish(w, a), after, within, T)


def _cumulated(x: Any, join: Join, nothing: Any) -> Any:
    """x_0, x_0 x_1, x_0 x_1 x_2, ..."""
    count = _rows(x)
    rounds = (count - 1).bit_length()
    none = jax.tree.map(lambda a: jnp.broadcast_to(a[..., None], (*a.shape, count)), nothing)

    def farther(k: jax.Array, x: Any) -> Any:
        def shifted(a: jax.Array, none: jax.Array) -> jax.Array:
            wide = jnp.concatenate([none, a], axis=-1)
            return jax.lax.dynamic_slice_in_dim(wide, count - (1 << k), count, axis=-1)

        reached = jnp.arange(count) >= (1 << k)
        return jax.tree.map(lambda a, b: jnp.where(reached, a, b), join(jax.tree.map(shifted, x, none), x), x)

    return jax.lax.fori_loop(0, rounds, farther, x) if rounds else x


def _handed_out(finish: Join, around: Any, within: Any, T: int) -> Any:
    """What surrounds each stretch meets the rows within it."""
    block = int(jax.tree.leaves(within)[0].shape[0])
    repeat = lambda a: jnp.broadcast_to(a[..., None, :], (*a.shape[:-1], block, a.shape[-1]))
    found = finish(jax.tree.map(repeat, around), jax.tree.map(lambda a: jnp.moveaxis(a, 0, -2), within))

    return jax.tree.map(lambda a: in_a_row(a, T), found)


def in_a_row(a: jax.Array, T: int) -> jax.Array:
    """The last axes (place in the stretch, stretch) as one of T rows."""
    a = jnp.swapaxes(a, -1, -2)
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])[..., :T]


def _rows(elements: Any) -> int:
    return int(jax.tree.leaves(elements)[0].shape[-1])


def split(elements: Any, nothing: Any, block: int) -> Any:
    """The last axis as (place in the stretch, ..., stretch), filled up with `nothing`."""
    T = _rows(elements)
    block = min(block, T)
    count = -(-T // block)

    def split(a: jax.Array, none: jax.Array) -> jax.Array:
        extra = jnp.broadcast_to(none[..., None], (*none.shape, count * block - T))
        a = jnp.concatenate([a, extra], axis=-1) if count * block > T else a
        return jnp.moveaxis(a.reshape(*a.shape[:-1], count, block), -1, 0)

    return jax.tree.map(split, elements, nothing)
