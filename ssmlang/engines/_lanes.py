"""A function of a few numbers at many points, each of its numbers a vector over the points.

Batched as it is written, a vector that a function puts together from its numbers is a matrix, for each entry of which
the compiler asks by which number it is given. Numbers that stay apart go through a kernel as they are: the likelihood
of `ukf` in three dimensions takes two thirds of the time so, its gradient a third.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Float

LIMIT = 400
"""Operations on vectors over the points, up to which a function is written out."""

_ENTRYWISE = frozenset({
    "add", "sub", "mul", "div", "neg", "exp", "exp2", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos",
    "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "logistic", "sqrt", "rsqrt", "cbrt",
    "integer_pow", "square", "pow", "max", "min", "abs", "sign", "floor", "ceil", "select_n", "eq", "ne", "lt", "le",
    "gt", "ge", "and", "or", "not", "is_finite", "convert_element_type", "erf", "erfc", "lgamma", "digamma", "clamp",
    "add_any", "copy", "stop_gradient",
})  # fmt: skip


class _Refused(Exception):
    """Something that is not written out."""


def at_points(f: Callable[..., Float[Array, " k"]], *points: Float[Array, "_ K"]) -> Float[Array, "k K"] | None:
    """f at each of K points, its arguments' entries given along the first axis; None where the function is too long,
    or does what is not written out here."""
    closed = jax.make_jaxpr(f)(*(jax.ShapeDtypeStruct(x.shape[:1], x.dtype) for x in points))
    written = _Written()
    try:
        (found,) = written.run(closed.jaxpr, closed.consts, [_Entries(written.kept(list(x))) for x in points])
        at = found.at if isinstance(found, _Entries) else written.split(found)
    except _Refused:
        return None
    return jnp.stack([jnp.broadcast_to(written.numbers[i], points[0].shape[1:]) for i in at])


class _Entries:
    """An array of numbers, each at some place in `_Written.numbers`."""

    def __init__(self, at: np.ndarray) -> None:
        self.at = at


class _Written:
    """Numbers that are vectors over the points, or the same at all of them."""

    def __init__(self) -> None:
        self.numbers: list[Any] = []

    def kept(self, numbers: Sequence[Any]) -> np.ndarray:
        if len(self.numbers) + len(numbers) > LIMIT:
            raise _Refused
        self.numbers += numbers
        return np.arange(len(self.numbers) - len(numbers), len(self.numbers))

    def split(self, value: Any) -> np.ndarray:
        if np.size(value) > LIMIT:
            raise _Refused
        flat = jnp.reshape(value, -1)
        entries = [jax.lax.index_in_dim(flat, k, keepdims=False) for k in range(flat.size)]
        return self.kept(entries).reshape(np.shape(value))

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
        get = lambda v: np.asarray(v.val, v.aval.dtype) if isinstance(v, Literal) else values[v]  # type: ignore[attr-defined]
        for equation in jaxpr.eqns:
            values.update(zip(equation.outvars, self.one(equation, [get(v) for v in equation.invars]), strict=True))
        return [get(v) for v in jaxpr.outvars]

    def one(self, equation: Any, args: list[Any]) -> list[Any]:
        primitive, params = equation.primitive, equation.params
        if not any(isinstance(a, _Entries) for a in args):
            found = primitive.bind(*args, **primitive.get_bind_params(params))
            return list(found) if primitive.multiple_results else [found]
        name = primitive.name
        if name in ("jit", "pjit", "closed_call", "core_call"):
            inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
            if isinstance(inner, ClosedJaxpr):
                return self.run(inner.jaxpr, inner.consts, args)
        sides = [a.at if isinstance(a, _Entries) else self.split(a) for a in args]
        if name in _ENTRYWISE:
            return [_Entries(self.entrywise(equation, sides))]
        if name == "reduce_sum":
            return [_Entries(self.summed(sides[0], params["axes"], equation.outvars[0].aval))]
        if name in _MOVED:
            return [_Entries(_MOVED[name](sides, params))]
        raise _Refused

    def entrywise(self, equation: Any, sides: list[np.ndarray]) -> np.ndarray:
        shape, found = equation.outvars[0].aval.shape, []
        primitive, params = equation.primitive, equation.primitive.get_bind_params(equation.params)
        for places in zip(*(np.broadcast_to(s, shape).ravel() for s in sides), strict=True):
            numbers = [self.numbers[i] for i in places]
            width = max((np.shape(x) for x in numbers), key=len)
            found.append(primitive.bind(*(jnp.broadcast_to(x, width) for x in numbers), **params))
        return self.kept(found).reshape(shape)

    def summed(self, side: np.ndarray, axes: Sequence[int], out: Any) -> np.ndarray:
        rest = [i for i in range(side.ndim) if i not in axes]
        lines = np.transpose(side, (*rest, *axes)).reshape(out.size, -1)
        found = [sum((self.numbers[i] for i in line[1:]), self.numbers[line[0]]) if len(line) else
                 jnp.zeros((), out.dtype) for line in lines]  # fmt: skip
        return self.kept(found).reshape(out.shape)


def _sliced(args: list[np.ndarray], params: Any) -> np.ndarray:
    strides = params["strides"] or (1,) * args[0].ndim
    return args[0][tuple(slice(a, b, c) for a, b, c in zip(params["start_indices"], params["limit_indices"], strides))]


def _broadcast(args: list[np.ndarray], params: Any) -> np.ndarray:
    shape, at = params["shape"], params["broadcast_dimensions"]
    wide = [1] * len(shape)
    for extent, i in zip(args[0].shape, at, strict=True):
        wide[i] = extent
    return np.broadcast_to(args[0].reshape(wide), shape)


_MOVED: dict[str, Callable[[list[np.ndarray], Any], np.ndarray]] = {
    "slice": _sliced, "broadcast_in_dim": _broadcast,
    "reshape": lambda args, params: args[0].reshape(params["new_sizes"]),
    "squeeze": lambda args, params: np.squeeze(args[0], params["dimensions"]),
    "concatenate": lambda args, params: np.concatenate(args, params["dimension"]),
    "transpose": lambda args, params: np.transpose(args[0], params["permutation"]),
    "stack": lambda args, params: np.stack(args, params["axis"]),
    "rev": lambda args, params: np.flip(args[0], params["dimensions"]),
}  # fmt: skip
