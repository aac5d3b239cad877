"""A number worked out in one native function, its gradient in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ssmlang.engines._kernel import one_kernel


def with_slopes(function: Callable[..., Array], wanted: bool = True) -> Callable[..., Array]:
    """A scalar function of arrays whose first derivative is one reverse pass, in a kernel of its own.

    Only what is differentiated with respect to is followed: not the data that the function closes over, say. Right in
    either mode and to any order; a derivative in forward mode costs a reverse pass. Not `wanted`: the function as it
    is.
    """
    if not wanted:
        return function

    def called(*args: Any) -> Array:
        leaves, tree = jax.tree.flatten(args)
        closed = jax.make_jaxpr(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)))(*leaves)
        count, jaxpr = len(closed.consts), closed.jaxpr
        plain = lambda *both: jaxpr_as_fun(ClosedJaxpr(jaxpr, both[:count]))(*both[count:])[0]

        @jax.custom_jvp
        def value(*both: Any) -> Array:
            return one_kernel(plain)(*both)

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

            found, slopes = one_kernel(both)(*primals)
            moves = (jnp.sum(s * tangents[i]) for i, s in zip(moving, slopes, strict=True))
            return found, sum(moves, jnp.zeros_like(found))

        value.defjvp(rule, symbolic_zeros=True)
        return value(*closed.consts, *leaves)

    return called
