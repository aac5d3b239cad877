"""A small program for several members of a batch at once, a member in each lane of the processor's vectors.

`jax.vmap` puts the members first, and XLA then goes through the matrices of one member after the other, some numbers at
a time. Here they come last: what the program does to a number it does to one of each member, in the same order, so that
no lane idles however small the matrices are. A filter of a thousand series of four states takes half the time so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import or_
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal, jaxprs_in_params

from ssmlang.engines._written import ENTRYWISE, handed_in

LANES = 4
"""Members taken at once: doubles of a vector of 256 bits, which XLA prefers to wider ones."""

LARGEST = 128
"""Terms of the largest product that a program may have: beyond, its own matrices fill the vectors better."""

_SUMMED = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_or", "reduce_and"})
_SHAPED = frozenset({"broadcast_in_dim", "reshape", "transpose", "squeeze", "pad", "slice", "concatenate", "stack"})
_CALLS = {"jit": "jaxpr", "one_kernel": "jaxpr", "custom_jvp_call": "call_jaxpr", "closed_call": "call_jaxpr"}

Lane = tuple[Array, bool]
"""A value, and whether its last axis is that of the members."""


def fits(jaxpr: Any) -> bool:
    """Whether a program can be taken side by side, and gains by it."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = list(jaxprs_in_params(equation.params))
        if (inner and name not in ("scan", "cond", *_CALLS)) or not all(map(fits, inner)):
            return False
        if not inner and not (name in ENTRYWISE or name in _SUMMED or name in _SHAPED or not equation.invars):
            return False
        if name == "mul" and equation.outvars[0].aval.size > LARGEST:
            return False
    return True


def side_by_side(jaxpr: Any, args: Sequence[Any], own: Sequence[bool]) -> list[Array]:
    """Results of a program that `fits`, the members last in all of them. `args`: its constants and arguments; `own`:
    which of these have members, last."""
    count = next(np.shape(a)[-1] for a, o in zip(args, own, strict=True) if o)
    found = _run(jaxpr, [], list(zip(args, own, strict=True)), count)
    return [_spread(x, np.ndim(x[0]) - x[1], count) for x in found]


def _spread(x: Lane, dimensions: int, count: int) -> Array:
    """A value with members last, and so many dimensions before."""
    value, own = x
    shape = np.shape(value)
    one = (1,) * (dimensions + own - len(shape))
    if own:
        return jnp.reshape(value, one + shape)
    return jnp.broadcast_to(jnp.reshape(value, (*one, *shape, 1)), (*one, *shape, count))


def _run(jaxpr: Any, consts: Sequence[Lane], args: Sequence[Lane], count: int) -> list[Lane]:
    known: dict[Any, Lane] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
    read = lambda v: (v.val, False) if isinstance(v, Literal) else known[v]
    for equation in jaxpr.eqns:
        found = _equation(equation, [read(v) for v in equation.invars], count)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _equation(equation: Any, given: list[Lane], count: int) -> list[Lane]:
    name, params = equation.primitive.name, equation.params
    if name in _CALLS:
        return _called(name, params, given, count)
    if name == "scan":
        return _scanned(params, given, count)
    if name == "cond":
        return _chosen(params["branches"], given, count)
    if not any(own for _, own in given):
        return [(equation.primitive.bind(*(x for x, _ in given), **params), False)]
    shape = equation.outvars[0].aval.shape
    size = len(shape)
    if name in ENTRYWISE:
        values = [jnp.broadcast_to(_spread(x, size, count), (*shape, count)) for x in given]
        return [(equation.primitive.bind(*values, **params), True)]
    if name in ("concatenate", "stack"):
        values = [_spread(x, np.ndim(x[0]) - x[1], count) for x in given]
        return [(equation.primitive.bind(*values, **params), True)]
    if name in _SUMMED:
        return [(equation.primitive.bind(given[0][0], **params), True)]
    return [(_shaped(name, params, given, size, count), True)]


def _shaped(name: str, params: dict[str, Any], given: list[Lane], size: int, count: int) -> Array:
    value = _spread(given[0], np.ndim(given[0][0]) - given[0][1], count)
    if name == "broadcast_in_dim":
        return jax.lax.broadcast_in_dim(value, (*params["shape"], count), (*params["broadcast_dimensions"], size))
    if name == "reshape":
        return value.reshape(*params["new_sizes"], count)
    if name == "transpose":
        return jax.lax.transpose(value, (*params["permutation"], size))
    if name == "squeeze":
        return jax.lax.squeeze(value, params["dimensions"])
    if name == "slice":
        strides = params["strides"]
        return jax.lax.slice(value, (*params["start_indices"], 0), (*params["limit_indices"], count),
                             None if strides is None else (*strides, 1))  # fmt: skip
    assert name == "pad"
    filling, own = given[1]
    if not own:
        return jax.lax.pad(value, filling, (*params["padding_config"], (0, 0, 0)))
    there = jax.lax.pad(jnp.ones(value.shape, bool), False, (*params["padding_config"], (0, 0, 0)))
    return jnp.where(there, jax.lax.pad(value, value.dtype.type(0), (*params["padding_config"], (0, 0, 0))), filling)


def _called(name: str, params: dict[str, Any], given: list[Lane], count: int) -> list[Lane]:
    jaxpr = params[_CALLS[name]]
    consts: list[Lane] = []
    if name == "one_kernel":
        known = params["constants"]
        consts, given = given[:known], given[known:]
    elif isinstance(jaxpr, ClosedJaxpr):
        consts, jaxpr = [(c, False) for c in jaxpr.consts], jaxpr.jaxpr
    if name != "one_kernel":
        return _run(jaxpr, consts, given, count)
    from ssmlang.engines._kernel import one_kernel

    owns = [own for _, own in (*consts, *given)]
    out = _own(jaxpr, owns)

    def inside(values: list[Array]) -> list[Array]:
        lanes = list(zip(values, owns, strict=True))
        found = _run(jaxpr, lanes[: len(consts)], lanes[len(consts) :], count)
        return _settled(jaxpr, found, out, count)

    return list(zip(one_kernel(inside)([x for x, _ in (*consts, *given)]), out, strict=True))


def _settled(jaxpr: Any, found: Sequence[Lane], out: Sequence[bool], count: int) -> list[Array]:
    """Results, those with members as `out` says."""
    sizes = [len(v.aval.shape) for v in jaxpr.outvars]
    return [_spread(x, n, count) if own else x[0] for x, n, own in zip(found, sizes, out, strict=True)]


def _scanned(params: dict[str, Any], given: list[Lane], count: int) -> list[Lane]:
    closed, (fixed, carried) = params["jaxpr"], handed_in(params)
    owns = [own for _, own in given]
    carry_own, out = _carried(closed.jaxpr, owns, fixed, carried)
    consts, start, rows = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]
    sizes = [len(v.aval.shape) for v in closed.jaxpr.invars[fixed : fixed + carried]]
    first = [_spread(x, n, count) if own else x[0] for x, n, own in zip(start, sizes, carry_own, strict=True)]

    def body(carry: list[Array], row: list[Array]) -> tuple[list[Array], list[Array]]:
        lanes = [*consts, *zip(carry, carry_own, strict=True),
                 *zip(row, (own for _, own in rows), strict=True)]  # fmt: skip
        found = _run(closed.jaxpr, [(c, False) for c in closed.consts], lanes, count)
        values = _settled(closed.jaxpr, found, [*carry_own, *out], count)
        return values[:carried], values[carried:]

    end, stacked = jax.lax.scan(body, first, [x for x, _ in rows], params["length"], params["reverse"],
                                params["unroll"])  # fmt: skip
    return list(zip([*end, *stacked], [*carry_own, *out], strict=True))


def _chosen(branches: Sequence[Any], given: list[Lane], count: int) -> list[Lane]:
    (index, differs), rest = given[0], given[1:]
    owns = [own for _, own in rest]
    out = [differs or any(some) for some in zip(*(_own(b.jaxpr, owns) for b in branches), strict=True)]

    def taken(branch: Any, values: list[Array]) -> list[Array]:
        found = _run(branch.jaxpr, [(c, False) for c in branch.consts], list(zip(values, owns, strict=True)), count)
        return _settled(branch.jaxpr, found, out, count)

    values, ways = [x for x, _ in rest], [partial(taken, b) for b in branches]
    if not differs:
        return list(zip(jax.lax.switch(_number(index), ways, values), out, strict=True))
    # A branch that no member takes is not worked out; of one that some take, the others' lanes are not read.
    each, found = _number(index), None
    for i, way in enumerate(ways):
        nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(way, values))
        here = jax.lax.cond(jnp.any(each == i), way, lambda _, nothing=nothing: nothing, values)
        found = here if found is None else [jnp.where(each == i, a, b) for a, b in zip(here, found, strict=True)]
    assert found is not None
    return list(zip(found, out, strict=True))


def _number(index: Array) -> Array:
    return jnp.asarray(index).astype(np.int32)


def _own(jaxpr: Any, owns: Sequence[bool]) -> list[bool]:
    """Which results of a program have members, if these of its constants and arguments do."""
    variables = [*jaxpr.constvars, *jaxpr.invars]
    known = dict(zip(variables, [*[False] * (len(variables) - len(owns)), *owns], strict=True))
    read = lambda v: not isinstance(v, Literal) and known[v]
    for equation in jaxpr.eqns:
        given, params = [read(v) for v in equation.invars], equation.params
        name = equation.primitive.name
        if name == "scan":
            found = [f for part in _carried(params["jaxpr"].jaxpr, given, *handed_in(params))
                     for f in part]  # fmt: skip
        elif name == "cond":
            each = (_own(b.jaxpr, given[1:]) for b in params["branches"])
            found = [given[0] or any(some) for some in zip(*each, strict=True)]
        elif name in _CALLS:
            inner = params[_CALLS[name]]
            closed = isinstance(inner, ClosedJaxpr) and name != "one_kernel"
            found = _own(inner.jaxpr if closed else inner, given)
        else:
            found = [any(given)] * len(equation.outvars)
        known.update(zip(equation.outvars, found, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _carried(jaxpr: Any, owns: Sequence[bool], fixed: int, carried: int) -> tuple[list[bool], list[bool]]:
    """Which of what a loop carries, and of what it hands out row by row, has members."""
    carry = list(owns[fixed : fixed + carried])
    while True:
        found = _own(jaxpr, [*owns[:fixed], *carry, *owns[fixed + carried :]])
        after = list(map(or_, carry, found[:carried]))
        if after == carry:
            return carry, found[carried:]
        carry = after


def in_lanes(function: Callable[..., list[Array]], args: Sequence[Any], axes: Sequence[int | None]) -> list[Array]:
    """`function` of all members, `LANES` at a time, each group with its members last; results with the members first.

    Members that fill up the last group are the last one again.
    """
    count = next(np.shape(a)[x] for a, x in zip(args, axes, strict=True) if x is not None)
    more, groups = -count % LANES, -(-count // LANES)

    def grouped(a: Array, axis: int) -> Array:
        a = jnp.moveaxis(a, axis, 0)
        a = jnp.concatenate([a, jnp.broadcast_to(a[-1:], (more, *a.shape[1:]))]) if more else a
        return jnp.moveaxis(a.reshape(groups, LANES, *a.shape[1:]), 1, -1)

    own = [grouped(a, x) for a, x in zip(args, axes, strict=True) if x is not None]

    def one(members: list[Array]) -> list[Array]:
        given = iter(members)
        return function(*(a if x is None else next(given) for a, x in zip(args, axes, strict=True)))

    found = jax.lax.map(one, own)
    return [jnp.moveaxis(a, -1, 1).reshape(groups * LANES, *a.shape[1:-1])[:count] for a in found]
