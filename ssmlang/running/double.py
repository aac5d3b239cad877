"""Programs in double precision inside of a caller's in single precision.

JAX keeps the precision of an operation where it is traced, but looks at the world it is in again where it is lowered:
at the end of a caller's `jax.jit`, in single precision, where the rules of many operations (draws, incomplete gamma
functions, positions of slices, derivatives of eigenvalues) make programs that are refused. A primitive of our own goes
back into double precision to be lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import Array
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir, partial_eval

_inside = Primitive("in_double_precision")
_inside.multiple_results = True


def in_double(function: Callable[[Any], Any], given: Any) -> Any:
    """function(given), traced and lowered in double precision. What comes in and goes out is of the caller's types."""
    leaves, tree = jax.tree.flatten(given)
    with jax.enable_x64(True):
        if not any(_staged(leaf) for leaf in leaves):  # run at once, by programs that are kept
            return function(given)
        flat = lambda *leaves: function(jax.tree.unflatten(tree, leaves))
        closed, shape = jax.make_jaxpr(flat, return_shape=True)(*_shapes(leaves))
        if any(isinstance(c, jax.core.Tracer) for c in closed.consts):
            return function(given)
    return jax.tree.unflatten(jax.tree.structure(shape), _inside.bind(*leaves, closed=closed))


def _staged(value: Any) -> bool:
    """Whether it is an argument of a program that is being traced, under whatever transformations."""
    while isinstance(value, jax.core.Tracer):
        if isinstance(value, partial_eval.DynamicJaxprTracer):
            return True
        value = getattr(value, "val", getattr(value, "primal", None))
    return False


def _shapes(values: Sequence[Any]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in values]


def _lowered(ctx: Any, *args: Any, closed: ClosedJaxpr) -> Any:
    with jax.enable_x64(True):
        return mlir.lower_fun(jaxpr_as_fun(closed), multiple_results=True)(ctx, *args)


def _run(*args: Array, closed: ClosedJaxpr) -> Any:
    with jax.enable_x64(True):
        return jax.jit(jaxpr_as_fun(closed))(*args)


def _batched(args: Sequence[Any], dims: Sequence[Any], *, closed: ClosedJaxpr) -> tuple[Any, list[int]]:
    axes = tuple(None if d is None else int(d) for d in dims)
    with jax.enable_x64(True):
        many = jax.make_jaxpr(jax.vmap(jaxpr_as_fun(closed), in_axes=axes))(*_shapes(args))
    found = _inside.bind(*args, closed=many)
    return found, [0] * len(found)


def _pushed(primals: Sequence[Any], tangents: Sequence[Any], *, closed: ClosedJaxpr) -> tuple[Any, Any]:
    moves = [ad.instantiate_zeros(t) for t in tangents]
    pushed = lambda p, t: jax.jvp(jaxpr_as_fun(closed), p, t)[1]
    with jax.enable_x64(True):
        slope = jax.make_jaxpr(pushed)(_shapes(primals), _shapes(moves))
    # Apart from the value, which a vmap over directions must find the same for all.
    return _inside.bind(*primals, closed=closed), _inside.bind(*primals, *moves, closed=slope)


_inside.def_impl(_run)
_inside.def_abstract_eval(lambda *_, closed: closed.out_avals)
mlir.register_lowering(_inside, _lowered)
batching.primitive_batchers[_inside] = _batched
ad.primitive_jvps[_inside] = _pushed
