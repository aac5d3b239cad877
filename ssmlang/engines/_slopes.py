"""A number worked out in one native function, its gradient in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ssmlang.engines._kernel import one_kernel, traced
from ssmlang.engines._written import LIMIT


def with_slopes(function: Callable[..., Array], wanted: bool = True, by_numbers: int = 0) -> Callable[..., Array]:
    """A scalar function of arrays whose first derivative is one reverse pass, in a kernel of its own.

    Only what is differentiated with respect to is followed: not the data that the function closes over, say. Right in
    either mode and to any order; a derivative in forward mode costs a reverse pass. Not `wanted`: the function as it
    is. `by_numbers`: as `one_kernel` has it.
    """
    if not wanted:
        return function

    def called(*args: Any) -> Array:
        leaves, tree = jax.tree.flatten(args)
        closed, _, short = traced(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)), leaves, by_numbers)
        # What is a number already stays one where numbers stay apart: what follows from it is not worked out then.
        handed = [not short or isinstance(c, jax.core.Tracer) for c in closed.consts]
        unknown = [c for c, h in zip(closed.consts, handed, strict=True) if h]
        count, jaxpr = len(unknown), closed.jaxpr

        def plain(*both: Any) -> Array:
            given = iter(both[:count])
            consts = [next(given) if h else c for c, h in zip(closed.consts, handed, strict=True)]
            return jaxpr_as_fun(ClosedJaxpr(jaxpr, consts))(*both[count:])[0]

        @jax.custom_jvp
        def value(*both: Any) -> Array:
            return one_kernel(plain, by_numbers=short * by_numbers)(*both)

        def rule(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
            real = [jnp.issubdtype(jnp.result_type(p), jnp.inexact) for p in primals]
            moving = [i for i, t in enumerate(tangents) if real[i] and not isinstance(t, SymbolicZero)]

            def both(*primals: Any) -> tuple[Array, list[Array]]:
                def of_moving(values: list[Array]) -> Array:
                    whole = list(primals)
                    for i, v in zip(moving, values, strict=True):
                        whole[i] = v
                    return plain(*whole)

                return jax.value_and_grad(of_moving)([primals[i] for i in moving])

            found, slopes = one_kernel(both, by_numbers=short * LIMIT)(*primals)
            moves = (jnp.sum(s * tangents[i]) for i, s in zip(moving, slopes, strict=True))
            return found, sum(moves, jnp.zeros_like(found))

        value.defjvp(rule, symbolic_zeros=True)
        return value(*unknown, *leaves)

    return called
