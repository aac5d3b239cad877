"""Products that XLA fuses: broadcast-multiply-and-sum for small memories, `dot` for big ones.

A `dot` inside a scan is a library call per row on the CPU; the same product written element by element compiles into
the loop's own kernel, which is 10 to 40 times faster up to about two dozen entries and slower beyond.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._turned import turned

FUSED_LIMIT = 24
"""Largest memory for which products are written element by element."""

REGISTERS = 8
"""Up to so many columns of a product are in registers all along."""

SUMMED_LIMIT = 4095
"""A sum of more terms than this is handed to a library, which a kernel (see `_kernel`) has to do without."""


def product(A: Float[Array, "... i j"], B: Float[Array, "... j k"], fused: bool) -> Float[Array, "... i k"]:
    """A B."""
    if not fused:
        return A @ B
    if A.ndim == B.ndim == 2 and A.shape[-1]:
        return _in_rows(A, B)
    return jnp.sum(A[..., :, :, None] * B[..., None, :, :], axis=-2)


def product_transposed(A: Float[Array, "... i j"], B: Float[Array, "... k j"], fused: bool) -> Float[Array, "... i k"]:
    """A B'."""
    if not fused:
        return A @ jnp.swapaxes(B, -1, -2)
    if A.ndim == B.ndim == 2 and A.shape[-1]:
        return _in_rows(A, turned(B) if read_across(B, len(A)) else B.T)
    return jnp.sum(A[..., :, None, :] * B[..., None, :, :], axis=-1)


def read_across(B: Float[Array, "k j"], rows: int) -> bool:
    """Whether a kernel takes longer for A B', A of so many rows, than for A C with C = B' at hand."""
    return len(B) > REGISTERS and rows * B.size <= SUMMED_LIMIT


def _in_rows(A: Float[Array, "i j"], B: Float[Array, "j k"]) -> Float[Array, "i k"]:
    """A B with the columns of B filled up to whole vector registers, in one sum or, where that is too long, row by row
    of A: measured, half the time of a sum over what there is from nine columns on."""
    columns = B.shape[1]
    if columns > REGISTERS:
        B = jnp.pad(B, ((0, 0), (0, -columns % 4)))
    if len(A) * B.size <= SUMMED_LIMIT:
        return jnp.sum(A[:, :, None] * B, axis=1)[:, :columns]
    return jax.lax.map(lambda a: row_product(a, B), A)[:, :columns]


def _accumulated(A: Float[Array, "i j"], B: Float[Array, "j k"]) -> Float[Array, "i k"]:
    def add(total: Array, x: tuple[Array, Array]) -> tuple[Array, None]:
        return total + x[0][:, None] * x[1], None

    nothing = jnp.zeros((A.shape[0], B.shape[1]), jnp.result_type(A, B))
    return jax.lax.scan(add, nothing, (A.T, B))[0]


def row_product(z: Float[Array, "... j"], B: Float[Array, "... j k"], fused: bool = True) -> Float[Array, "... k"]:
    """z' B."""
    if not fused:
        return z @ B
    if z.ndim == 1 and B.size > SUMMED_LIMIT:
        return _accumulated(z[None, :], B)[0]
    return jnp.sum(z[..., :, None] * B, axis=-2)


def times(A: Array, B: Array, fused: bool) -> Array:
    """A B for matrices and vectors, as `@` has it."""
    if not fused:
        return A @ B
    if A.ndim == 1:
        return row_product(A, B, True) if B.ndim == 2 else jnp.sum(A * B)
    return product(A, B, True) if B.ndim == 2 else jnp.sum(A * B, axis=-1)


def symmetric(P: Float[Array, "... i i"]) -> Float[Array, "... i i"]:
    """(P + P') / 2: keeps rounding from growing an antisymmetric part over many rows."""
    return 0.5 * (P + jnp.swapaxes(P, -1, -2))


def gram(M: Float[Array, "k i"], w: Float[Array, " k"], fused: bool) -> Float[Array, "i i"]:
    """M' diag(w) M, symmetric to the last bit."""
    columns = M.shape[1]
    filled = -columns % 4 if columns > REGISTERS else 0
    if not fused or M.size * (columns + filled) > SUMMED_LIMIT:
        return symmetric(product((M * w[:, None]).T, M, fused))
    # As M_i M_j is: to average two triangles takes longer.
    wide = jnp.pad(M, ((0, 0), (0, filled)))
    return jnp.sum(w[:, None, None] * (M[:, :, None] * wide[:, None, :]), axis=0)[:, :columns]
