"""What a function of a row makes of parameters alone, worked out once and not at every row, point and derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    jaxpr, structure = closed.jaxpr, jax.tree.structure(shape)
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    made: dict[Any, Any] = {}
    left = []
    for equation in jaxpr.eqns:
        if equation.effects or not all(isinstance(v, Literal) or v in known for v in equation.invars):
            left.append(equation)
            continue
        given = [v.val if isinstance(v, Literal) else known[v] for v in equation.invars]  # type: ignore[attr-defined]
        primitive = equation.primitive
        found = primitive.bind(*given, **primitive.get_bind_params(equation.params))
        known.update(zip(equation.outvars, found if primitive.multiple_results else [found], strict=True))
        made.update((v, equation) for v in equation.outvars)
    given_back, again = _needed(left, jaxpr.outvars, known, made)
    rest = jaxpr_as_fun(ClosedJaxpr(jaxpr.replace(constvars=given_back, eqns=[*again, *left]),
                                    [known[v] for v in given_back]))  # fmt: skip
    types = [jnp.result_type(leaf) for leaf in leaves]

    def called(*args: Any) -> Any:
        given = [jnp.asarray(a, dtype) for a, dtype in zip(jax.tree.leaves(args), types, strict=True)]
        return jax.tree.unflatten(structure, rest(*given))

    return called


def _needed(left: list[Any], outvars: Sequence[Any], known: Mapping[Any, Any], made: Mapping[Any, Any]
            ) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """Of what is known: the numbers that are handed on, and the equations that are repeated, in their order.

    Positions and conditions are repeated, and what follows from no number: a function's numbers are what it may be
    differentiated with respect to (`jax.closure_convert`).
    """
    values: dict[Any, None] = {}
    equations: set[int] = set()
    queue = [v for e in left for v in e.invars] + list(outvars)
    seen: set[Any] = set()
    while queue:
        v = queue.pop()
        if isinstance(v, Literal) or v not in known or v in seen:
            continue
        seen.add(v)
        if v not in made or (made[v].invars and jnp.issubdtype(v.aval.dtype, jnp.inexact)):
            values[v] = None
        else:
            equations.add(id(made[v]))
            queue += made[v].invars
    order = {id(e): e for e in made.values()}
    return list(values), [e for i, e in order.items() if i in equations]
