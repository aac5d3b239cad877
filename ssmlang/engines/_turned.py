"""Transposes that a kernel keeps: XLA would read the matrix across in the innermost loop of the product instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from ssmlang.engines._kernel import by_numbers, in_kernel


def turned(A: Float[Array, "i j"]) -> Float[Array, "j i"]:
    """A', within a kernel on a CPU as numbers of its own: for a product that goes through its rows again and again.

    Measured on P -> F P F': half the time of a product that reads F across, from nine to fifteen states.
    """
    return _turned.bind(A) if in_kernel() and A.size else A.T


def _by_rows(A: Array) -> Array:
    # A loop is what the compiler does not write into the loops that read it.
    return jax.lax.map(lambda j: jax.lax.dynamic_slice_in_dim(A, j, 1, axis=1)[:, 0], jnp.arange(A.shape[1]))


def _derivative(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Of the plain transpose: what is differentiated is no kernel any more."""
    return jax.jvp(jnp.transpose, tuple(primals), (ad.instantiate_zeros(tangents[0]),))


def _batched(args: Sequence[Any], axes: Sequence[int]) -> tuple[Any, int]:
    return jnp.swapaxes(jnp.moveaxis(args[0], axes[0], 0), 1, 2), 0


_turned = Primitive("turned")
_turned.def_impl(jnp.transpose)
_turned.def_abstract_eval(lambda A: jax.core.ShapedArray(A.shape[::-1], A.dtype))
ad.primitive_jvps[_turned] = _derivative
batching.primitive_batchers[_turned] = _batched
mlir.register_lowering(_turned, mlir.lower_fun(jnp.transpose, multiple_results=False))
mlir.register_lowering(_turned, mlir.lower_fun(_by_rows, multiple_results=False), platform="cpu")


def kept(A: Float[Array, "i j"]) -> Float[Array, "i j"]:
    """A, within a kernel on a CPU as numbers that are there: for what products read again and again.

    XLA would otherwise work a matrix out in the innermost loop of the product: the Jacobian of eight states, their
    motion a sine, eight times over.
    """
    return _kept.bind(A) if in_kernel() and not by_numbers() and A.size else A


def _in_rows(A: Array) -> Array:
    return jax.lax.map(lambda i: jax.lax.dynamic_index_in_dim(A, i, keepdims=False), jnp.arange(len(A)))


_kept = Primitive("kept")
_kept.def_impl(lambda A: A)
_kept.def_abstract_eval(lambda A: A)
ad.deflinear2(_kept, lambda cotangent, A: [cotangent])
batching.defvectorized(_kept)
mlir.register_lowering(_kept, lambda ctx, A: [A])
mlir.register_lowering(_kept, mlir.lower_fun(_in_rows, multiple_results=False), platform="cpu")
