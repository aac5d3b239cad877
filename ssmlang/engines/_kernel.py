"""Loops that XLA's CPU compiler turns into one native function.

XLA runs a program on the CPU operation by operation, at some tens of nanoseconds each. That is nothing for a big matrix
and all of the time for a filter of four states: measured on n = 4, m = 1, a row costs 0.8 us so and 0.13 us as one
function. The compiler does so by itself for the smallest loops only; a computation called under the attribute that it
marks those with is treated alike, whatever its size. What is called must not contain matrix products, solves,
factorisations, sorts or scatters, for these are library calls: see `_products`. SSMLANG_ONE_KERNEL=0 in the environment
does without, should a compiler not like it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental.xla_metadata import set_xla_metadata


def one_kernel(function: Callable[..., Any], wanted: bool = True) -> Callable[..., Any]:
    """`function` (of arrays, without products by `dot`) as one native function where the platform is a CPU.

    The numbers are the same either way. Under `vmap` the members of the batch are taken one after the other, which is
    quicker than many small operations on all of them; derivatives are those of the plain function. Not `wanted`: the
    function as it is.
    """
    if not wanted or not _on_cpu() or os.environ.get("SSMLANG_ONE_KERNEL") == "0":
        return function

    @jax.custom_batching.custom_vmap
    def alone(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        solid = [a for a in leaves if a.size]

        def inside(*solid: Array) -> tuple[Any, list[Array]]:
            with set_xla_metadata(xla_cpu_small_call="false", inlineable="true"):
                given = iter(solid)
                whole = [next(given) if a.size else jnp.zeros(a.shape, a.dtype) for a in leaves]
                # The compiler breaks off at an argument that nothing reads: each is read here.
                return function(*jax.tree.unflatten(tree, whole)), [a.reshape(-1)[:1] for a in solid]

        compiled = jax.jit(inside)
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            # Nor may it find out that an argument is a constant, for it would then read that.
            return compiled(*jax.lax.optimization_barrier(solid))[0]

    @alone.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(args)
        marks = jax.tree.leaves(batched)
        moving = [a for a, mark in zip(leaves, marks, strict=True) if mark]

        def one(values: list[Array]) -> Any:
            given = iter(values)
            mixed = [next(given) if mark else a for a, mark in zip(leaves, marks, strict=True)]
            return alone(*jax.tree.unflatten(tree, mixed))

        found = jax.lax.map(one, moving)
        return found, jax.tree.map(lambda _: True, found)

    @jax.custom_jvp
    def called(*args: Any) -> Any:
        return alone(*args)

    @called.defjvp
    def _(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        return jax.jvp(function, primals, tangents)

    return called


def _on_cpu() -> bool:
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    platform = device if isinstance(device, str) else getattr(device, "platform", None)
    return (platform or jax.default_backend()) == "cpu"


def kernel(function: Callable[..., Any], wanted: bool = True) -> Callable[..., Any]:
    """`one_kernel` whose derivative in reverse mode is one kernel too: `function` is worked out again in it.

    The differentiated function must be free of library calls like the function itself. Integer arguments have no
    derivative.
    """
    if not wanted:
        return function

    @jax.custom_vjp
    def called(*args: Any) -> Any:
        return one_kernel(function)(*args)

    def forwards(*args: Any) -> tuple[Any, tuple]:
        return one_kernel(function)(*args), args

    def backwards(args: tuple, cotangent: Any) -> tuple:
        smooth = [jnp.issubdtype(a.dtype, jnp.inexact) for a in args]

        def pulled(args: tuple, cotangent: Any) -> list[Any]:
            def of_smooth(*values: Any) -> Any:
                given = iter(values)
                return function(*(next(given) if s else a for s, a in zip(smooth, args, strict=True)))

            return list(jax.vjp(of_smooth, *(a for s, a in zip(smooth, args, strict=True) if s))[1](cotangent))

        found = iter(one_kernel(pulled)(args, cotangent))
        return tuple(next(found) if s else None for s in smooth)

    called.defvjp(forwards, backwards)
    return called
