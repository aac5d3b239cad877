"""Affine recursions over all rows at once: paths of the states, and what the initial law reaches."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ssmlang.engines._elements import Law
from ssmlang.engines._passes import BLOCK
from ssmlang.engines._rotations import identity, product
from ssmlang.engines._rows_last import RowsLast
from ssmlang.engines._stretches import forwards


class _Affine(NamedTuple):
    """s -> A s + b."""

    A: Float[Array, "N N *T"]
    b: Float[Array, "N K *T"]


def _join(left: _Affine, right: _Affine) -> _Affine:
    return _Affine(product(right.A, left.A), product(right.A, left.b) + right.b)


def follow(
    first: Float[Array, "N K"], A: Float[Array, "N N T-1"], b: Float[Array, "N K T-1"], block: int | None
) -> Float[Array, "N K T"]:
    """s_0 = first and s_t = A_t s_{t-1} + b_t for all rows."""
    nothing = _Affine(identity(A.shape[0], A), jnp.zeros_like(first))
    begun = _Affine(jnp.zeros_like(nothing.A), first)
    finish = lambda past, stretch: product(stretch.A, past.b) + stretch.b
    rest = forwards(begun, _Affine(A, b), _join, finish, nothing, block or BLOCK)
    return jnp.concatenate([first[..., None], rest], axis=-1)


def reach(D: Float[Array, "N d"], A: Float[Array, "N N T-1"], block: int | None) -> Float[Array, "N d T"]:
    """A_t ... A_1 D for all rows: which entries a flat coefficient moves."""
    return follow(D, A, jnp.zeros((*D.shape, A.shape[-1]), D.dtype), block)


def affine_paths(
    rows: RowsLast, begun: Law, key: Key[Array, ""], draws: int, block: int | None
) -> tuple[Float[Array, "draws T N"], Float[Array, "draws T m"]]:
    """Draws of the memory and of the observations (none missing) from the law `begun` of row 0."""
    keys, dtype, T = jax.random.split(key, 3), rows.W.dtype, rows.y.shape[-1]
    normal = lambda key, count, steps: jax.random.normal(key, (count, draws, steps), dtype)
    first = begun.m + product(begun.U, normal(keys[0], begun.U.shape[1], 1)[..., 0])
    moved = product(rows.B[..., 1:], normal(keys[1], rows.B.shape[1], T - 1)) + rows.a[..., 1:]
    s = follow(first, rows.A[..., 1:], moved, block)
    y = product(rows.Z, s) + rows.d + product(rows.W, normal(keys[2], rows.W.shape[1], T))
    return jnp.transpose(s, (1, 2, 0)), jnp.transpose(y, (1, 2, 0))
