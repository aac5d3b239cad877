"""Functions of small arrays rewritten without calls of a library, so that a loop over them is one native function.

What is known is worked out once, positions become slices, products of matrices sums of products; the numbers are the
same. Derivatives and batches taken of the rewritten function need no library either: that of a lookup at a position
that only looks computed would be a scatter. See `_kernel` for what this is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal, jaxprs_in_params

from ssmlang.engines._kernel import calls_library

KNOWN_LIMIT = 4096
"""Entries of a known array up to which what follows from it is worked out."""

PIECES = 64
"""Entries up to which a lookup or a replacement at known positions is put together from slices."""

Value = Any
"""A tracer or array, or a NumPy array where the number is known."""


def elementwise(function: Callable[..., Any], wanted: bool = True) -> Callable[..., Any]:
    """The same function of arrays, its library calls replaced as far as that can be done; not `wanted`: as it is."""
    if not wanted:
        return function

    def called(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        flat = lambda *leaves: function(*jax.tree.unflatten(tree, leaves))
        closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
        found = _run(closed.jaxpr, closed.consts, leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), [jnp.asarray(v) for v in found])

    return called


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Value]) -> list[Value]:
    values: dict[Any, Value] = {}

    def get(atom: Any) -> Value:
        if not isinstance(atom, Literal):
            return values[atom]
        return np.asarray(atom.val, atom.aval.dtype)  # type: ignore[attr-defined]

    values.update(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for equation in jaxpr.eqns:
        found = _one(equation, [get(v) for v in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [get(v) for v in jaxpr.outvars]


def _one(equation: Any, args: list[Value]) -> list[Value]:
    primitive, params = equation.primitive, equation.params
    name = primitive.name
    if name in ("jit", "pjit", "closed_call", "core_call"):
        inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
        if isinstance(inner, ClosedJaxpr):
            return _run(inner.jaxpr, inner.consts, args)
    if name == "custom_jvp_call" and calls_library(params["call_jaxpr"].jaxpr):
        return _run(params["call_jaxpr"].jaxpr, params["call_jaxpr"].consts, args)
    known = [isinstance(a, np.ndarray) for a in args]
    if all(known) and not equation.effects and not any(True for _ in jaxprs_in_params(params)):
        sizes = [v.aval.size for v in equation.outvars]
        if all(s <= KNOWN_LIMIT for s in sizes) and not name.startswith(("random", "rng", "optimization")):
            with jax.ensure_compile_time_eval():
                found = primitive.bind(*args, **params)
            return [np.asarray(v) for v in (found if primitive.multiple_results else [found])]
    rewritten = _REWRITTEN.get(name)
    value = rewritten(equation, args, known) if rewritten is not None else None
    if value is not None:
        return [value]
    found = primitive.bind(*args, **primitive.get_bind_params(params))  # rules of its own (`custom_jvp`) go along
    return list(found) if primitive.multiple_results else [found]


def _dot(equation: Any, args: list[Value], known: list[bool]) -> Value | None:
    (contract_a, contract_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
    if equation.outvars[0].aval.size * int(np.prod([args[0].shape[i] for i in contract_a], initial=1)) > KNOWN_LIMIT:
        return None
    a, b = args
    free_a = [i for i in range(a.ndim) if i not in (*contract_a, *batch_a)]
    free_b = [i for i in range(b.ndim) if i not in (*contract_b, *batch_b)]
    a = jnp.transpose(a, (*batch_a, *free_a, *contract_a))
    b = jnp.transpose(b, (*batch_b, *free_b, *contract_b))
    batch, inner = len(batch_a), len(contract_a)
    a = jnp.expand_dims(a, tuple(range(batch + len(free_a), batch + len(free_a) + len(free_b))))
    b = jnp.expand_dims(b, tuple(range(batch, batch + len(free_a))))
    total = jnp.sum(a * b, axis=tuple(range(a.ndim - inner, a.ndim)))
    return total.astype(equation.outvars[0].aval.dtype)


def _dynamic_slice(equation: Any, args: list[Value], known: list[bool]) -> Value | None:
    if not all(known[1:]):
        return None
    x, sizes = args[0], equation.params["slice_sizes"]
    first = [int(np.clip(i, 0, extent - size)) for i, extent, size in zip(args[1:], x.shape, sizes, strict=True)]
    return jax.lax.slice(x, first, [f + s for f, s in zip(first, sizes, strict=True)])


def _gather(equation: Any, args: list[Value], known: list[bool]) -> Value | None:
    """x[..., positions, ...] along one axis, at known positions within range."""
    if not known[1] or equation.outvars[0].aval.size > PIECES:
        return None
    x, at = args
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if len(numbers.start_index_map) != 1 or numbers.operand_batching_dims or numbers.start_indices_batching_dims:
        return None
    (axis,) = numbers.start_index_map
    kept = not numbers.collapsed_slice_dims
    if numbers.collapsed_slice_dims not in ((axis,), ()) or any(
            s != (1 if i == axis else e) for i, (s, e) in enumerate(zip(sizes, x.shape, strict=True))):  # fmt: skip
        return None
    positions = at[..., 0]
    if positions.size == 0 or positions.min() < 0 or positions.max() >= x.shape[axis]:
        return None
    parts = [jax.lax.index_in_dim(x, int(i), axis, keepdims=kept) for i in positions.ravel()]
    stacked = jnp.stack(parts).reshape(*positions.shape, *parts[0].shape)
    # The offset dimensions say where the rest of x stands in what comes out.
    rest = list(numbers.offset_dims)
    lead = [i for i in range(stacked.ndim) if i not in rest]
    order = [0] * stacked.ndim
    for source, target in enumerate((*lead, *rest)):
        order[target] = source
    return jnp.transpose(stacked, order)


def _scatter(equation: Any, args: list[Value], known: list[bool]) -> Value | None:
    """x with entries of a vector replaced at known positions within range."""
    x, at, new = args
    numbers = equation.params["dimension_numbers"]
    if not known[1] or x.ndim != 1 or x.size > PIECES or numbers.update_window_dims or at.shape[-1] != 1:
        return None
    positions = at[..., 0].ravel()
    if positions.size and (positions.min() < 0 or positions.max() >= x.shape[0]):
        return None
    flat = jnp.reshape(new, (-1,))
    parts = [jax.lax.slice(x, (i,), (i + 1,)) for i in range(x.shape[0])]
    for j, i in enumerate(positions):
        parts[int(i)] = jax.lax.slice(flat, (j,), (j + 1,))
    return jnp.concatenate(parts)


_REWRITTEN: dict[str, Callable[[Any, list[Value], list[bool]], Array | None]] = {
    "dot_general": _dot, "dynamic_slice": _dynamic_slice, "gather": _gather, "scatter": _scatter,
}  # fmt: skip
