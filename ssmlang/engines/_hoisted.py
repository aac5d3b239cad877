"""What a function of a row makes of parameters alone, worked out once and not at every row, point and derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun


def hoisted(function: Callable[..., Any], *example: Any) -> Callable[..., Any]:
    """The same function, for arguments of the shapes and types of `example`: what does not depend on them is worked
    out here and now.

    Later calls repeat the operations that are left, which takes a fraction of the time of tracing the function anew.
    Derivatives in what the function closes over go through as before; those in the arguments need not pass through
    what was worked out.
    """
    leaves, tree = jax.tree.flatten(example)
    flat = lambda *leaves: function(*jax.tree.unflatten(tree, leaves))
    closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    now, later, handed_on = _parted(closed.jaxpr)
    # No operation of `now` reads an argument: the example stands in for all.
    numbers = _part(closed.jaxpr, closed.jaxpr.constvars, now, handed_on, closed.consts)(*leaves)
    rest = _part(closed.jaxpr, handed_on, later, closed.jaxpr.outvars, numbers)
    types, structure = [jnp.result_type(leaf) for leaf in leaves], jax.tree.structure(shape)

    def called(*args: Any) -> Any:
        given = [jnp.asarray(a, dtype) for a, dtype in zip(jax.tree.leaves(args), types, strict=True)]
        return jax.tree.unflatten(structure, rest(*given))

    return called


def _parted(jaxpr: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """The operations that are worked out now, those that are left for later, and the variables that the former hand on
    to the latter.

    A function's numbers are what it may be differentiated with respect to (`jax.closure_convert`), so that real
    numbers that follow from others are handed on, and nothing else is: positions and conditions, and what follows from
    no number, are worked out now for what needs them, and again later.
    """
    moving = set(jaxpr.invars)
    now = []
    for operation in jaxpr.eqns:
        if operation.effects or not moving.isdisjoint(_read(operation)):
            moving.update(operation.outvars)
        else:
            now.append(operation)
    numbers = {v for operation in now if operation.invars for v in operation.outvars
               if jnp.issubdtype(v.aval.dtype, jnp.inexact)} | set(jaxpr.constvars)  # fmt: skip
    later: list[Any] = []
    needed = dict.fromkeys(v for v in jaxpr.outvars if not isinstance(v, Literal))
    for operation in reversed(jaxpr.eqns):  # what reads a variable stands behind what makes it
        made = set(operation.outvars)
        if made & moving or made & needed.keys() - numbers:
            later.append(operation)
            needed |= dict.fromkeys(_read(operation))
    return now, later[::-1], [v for v in needed if v in numbers]


def _read(operation: Any) -> list[Any]:
    return [v for v in operation.invars if not isinstance(v, Literal)]


def _part(jaxpr: Any, constvars: Any, operations: Any, outvars: Any, consts: Any) -> Callable[..., list[Any]]:
    """Some of a function's operations, as a function of its arguments."""
    part = jaxpr.replace(constvars=list(constvars), eqns=operations, outvars=list(outvars))
    return jaxpr_as_fun(ClosedJaxpr(part, list(consts)))  # type: ignore[no-any-return]
