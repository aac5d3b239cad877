"""Loops over small arrays written out number by number.

The compiler keeps numbers in registers and arrays in memory: a row of a filter of three states, whose matrices are
arrays, spends most of its time in storing numbers and reading them back. Here what a loop carries and works with is
taken apart into numbers, of which each is worked out once, and what is known beforehand (zeros and ones of a matrix of
observations, say) is not worked out at all. Measured: the extended filter of three states and two observations takes
60 per cent of the time so, its gradient 45. Linear filters gain nothing: their products fill the processor's vectors.

For every number that it is asked for the compiler writes out all that leads to it, and does not always see that it has
done so before. So a long body is cut into calls, each of which hands on few numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun, jaxprs_in_params

LARGEST = 64
"""Numbers of an array up to which it is taken apart outside of loops, and of a constant, up to which they are known."""

LIMIT = 8000
"""Operations on numbers, as `length` counts them, up to which the body of a loop is written out."""

FORWARD_LIMIT = 2200
"""The same for a loop that may be differentiated: its derivative is some three times as long."""

SHORTEST, LONGEST = 100, 250
"""Operations between the cuts of a body that is longer than the latter: measured."""

ENTRYWISE = frozenset({
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clamp",
    "convert_element_type", "copy", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2",
    "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max",
    "min", "mul", "ne", "neg", "not", "or", "pow", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt",
    "square", "stop_gradient", "sub", "tan", "tanh", "xor",
})  # fmt: skip
"""Operations on each number by itself."""

CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "one_kernel": "jaxpr", "custom_jvp_call": "call_jaxpr", "checkpoint": "jaxpr",
         "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
         "custom_vjp_call_jaxpr": "call_jaxpr", "remat2": "jaxpr", "remat": "jaxpr"}  # fmt: skip
"""Operations that call another program, and where they keep it."""

_REDUCED = {"reduce_sum": "add", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "mul", "reduce_and": "and",
            "reduce_or": "or"}  # fmt: skip

_KNOWN: dict[str, Callable[..., Any]] = {
    "add": operator.add, "add_any": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "and": operator.and_, "or": operator.or_, "xor": operator.xor, "not": operator.invert, "max": np.maximum,
    "min": np.minimum, "sqrt": np.sqrt, "abs": np.abs, "square": np.square, "copy": lambda x: x,
    "convert_element_type": lambda x: x, "is_finite": np.isfinite, "sign": np.sign, "div": np.divide,
}  # fmt: skip
"""Operations on numbers that are known."""


PLAIN_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call"})
"""Those without a derivative of their own."""


class Refused(Exception):
    """Something that is not written out."""


class Entries:
    """An array of numbers, each at some place among those of a `Writer`."""

    def __init__(self, at: np.ndarray, dtype: Any) -> None:
        self.at, self.dtype = at, dtype


class Known:
    """Constants of a program that is written out, by their positions among its arguments; equal to itself alone."""

    def __init__(self, arrays: Mapping[int, np.ndarray]) -> None:
        self.arrays = arrays


def written(jaxpr: Any, args: Sequence[Any]) -> list[Array]:
    """Results of a program, its loops over little written out. `args`: its constants and arguments; of those that are
    NumPy's the numbers are known."""
    writer = Writer()
    return [writer.joined(v) for v in writer.run(jaxpr, [], args)]


class Writer:
    """Numbers that have been worked out, and how: none is worked out twice.

    `most`: numbers are vectors, all of one length, and so many at most; what cannot be written out is `Refused`. It may
    be differentiated afterwards, so that derivatives of its own are kept out.
    """

    def __init__(self, outer: Writer | None = None, most: int | None = None) -> None:
        self.inside, self.most = outer is not None or most is not None, most
        self.numbers: list[Any] = [] if outer is None else list(outer.numbers)
        self.places: dict[Any, int] = {} if outer is None else dict(outer.places)

    def kept(self, number: Any) -> int:
        """The place of a new number."""
        if self.most is not None and len(self.numbers) >= self.most:
            raise Refused
        self.numbers.append(number)
        return len(self.numbers) - 1

    def known(self, value: Any, dtype: Any) -> int:
        """The place of a number that is known."""
        number = np.asarray(value).astype(dtype)[()]
        key = (number.dtype, number.tobytes())
        if key not in self.places:
            self.places[key] = self.kept(number)
        return self.places[key]

    def split(self, value: Any) -> Entries:
        """The numbers of an array."""
        if isinstance(value, Entries):
            return value
        if not isinstance(value, Tracer):
            value = np.asarray(value)
            at = [self.known(x, value.dtype) for x in value.reshape(-1)]
            return Entries(np.array(at, int).reshape(value.shape), value.dtype)
        key = id(value)
        if key not in self.places:
            flat = jnp.reshape(value, -1)
            first = [self.kept(jax.lax.index_in_dim(flat, i, keepdims=False)) for i in range(flat.size)]
            self.numbers.append(value)  # so that its id stays its own
            self.places[key] = first[0] if first else 0
        return Entries(np.arange(value.size).reshape(value.shape) + self.places[key], value.dtype)

    def joined(self, value: Any) -> Any:
        """An array of its numbers."""
        if not isinstance(value, Entries):
            return value
        numbers = [self.numbers[i] for i in value.at.reshape(-1)]
        if not numbers:
            return jnp.zeros(value.at.shape, value.dtype)
        if all(isinstance(x, np.generic) for x in numbers):
            return np.array(numbers, value.dtype).reshape(value.at.shape)
        if len(numbers) == 1:
            return jnp.reshape(numbers[0], value.at.shape)
        return jnp.stack([jnp.asarray(x, value.dtype) for x in numbers]).reshape(value.at.shape)

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))
        read = lambda v: np.asarray(v.val, v.aval.dtype) if isinstance(v, Literal) else values[v]  # type: ignore[attr-defined]
        for equation in jaxpr.eqns:
            values.update(zip(equation.outvars, self.one(equation, [read(v) for v in equation.invars]), strict=True))
        return [read(v) for v in jaxpr.outvars]

    def one(self, equation: Any, args: list[Any]) -> list[Any]:
        """Results of an operation."""
        name, params = equation.primitive.name, equation.params
        if self.most is not None and not any(isinstance(a, Entries) for a in args):
            return self.whole(equation, args)
        if name in (CALLS if self.most is None else PLAIN_CALLS):
            inner = params[CALLS[name]]
            closed = isinstance(inner, ClosedJaxpr) and name != "one_kernel"  # whose constants are its first arguments
            consts, jaxpr = (inner.consts, inner.jaxpr) if closed else ([], inner)
            return self.run(jaxpr, consts, args)
        if name == "scan":
            return self.scan(equation, args)
        if not self.inside and any(v.aval.size > LARGEST for v in (*equation.invars, *equation.outvars)):
            return self.whole(equation, args)
        if name == "stop_gradient" and self.most is None:
            return args
        if name in ENTRYWISE:
            return [self.entrywise(equation, args)]
        if name in _REDUCED:
            return [self.reduced(equation, self.split(args[0]))]
        if name == "dot_general":
            return [self.product(equation, *map(self.split, args))]
        if name == "unstack":
            side = self.split(args[0])
            return [Entries(at, side.dtype) for at in np.moveaxis(side.at, params["axis"], 0)]
        moved = _MOVED.get(name)
        if moved is not None and (at := moved([self.split(a) for a in args], params)) is not None:
            return [Entries(at, equation.outvars[0].aval.dtype)]
        if name == "iota":
            shape, dimension = params["shape"], params["dimension"]
            return [np.broadcast_to(np.expand_dims(np.arange(shape[dimension], dtype=params["dtype"]), [
                i for i in range(len(shape)) if i != dimension]), shape)]  # fmt: skip
        return self.whole(equation, args)

    def whole(self, equation: Any, args: list[Any]) -> list[Any]:
        """By the operation itself."""
        if self.most is not None and any(isinstance(a, Entries) for a in args):
            raise Refused
        primitive = equation.primitive
        found = primitive.bind(*map(self.joined, args), **primitive.get_bind_params(equation.params))
        return list(found) if primitive.multiple_results else [found]

    def entrywise(self, equation: Any, args: list[Any]) -> Entries:
        out = equation.outvars[0].aval
        sides = [np.broadcast_to(self.split(a).at, out.shape).ravel() for a in args]
        at = [self.number(equation.primitive, equation.params, i, out.dtype) for i in zip(*sides, strict=True)]
        return Entries(np.array(at, int).reshape(out.shape), out.dtype)

    def number(self, primitive: Any, params: Any, places: tuple[int, ...], dtype: Any) -> int:
        """The place of an operation's result."""
        name = primitive.name
        places = tuple(int(i) for i in places)
        numbers = [self.numbers[i] for i in places]
        short = _shortened(name, places, numbers, dtype)
        if short is not None:
            return short if isinstance(short, int) else self.known(short, dtype)
        given = tuple(sorted(places)) if name in ("add", "mul", "max", "min", "and", "or") else places
        key = (name, tuple(params.items()), given)
        if key not in self.places:
            width = max(map(np.shape, numbers), key=len)
            wide = numbers if width == () else [jnp.broadcast_to(x, width) for x in numbers]
            self.places[key] = self.kept(primitive.bind(*wide, **primitive.get_bind_params(params)))
        return self.places[key]

    def reduced(self, equation: Any, side: Entries) -> Entries:
        out, axes = equation.outvars[0].aval, equation.params["axes"]
        rest = [i for i in range(side.at.ndim) if i not in axes]
        lines = np.transpose(side.at, (*rest, *axes)).reshape(out.size, -1)
        at = [self.all(_REDUCED[equation.primitive.name], list(line), out.dtype) for line in lines]
        return Entries(np.array(at, int).reshape(out.shape), out.dtype)

    def all(self, name: str, line: Sequence[int], dtype: Any) -> int:
        """The place of numbers put together by an operation."""
        if not line:
            empty = {"add": 0, "mul": 1, "and": True, "or": False, "max": -np.inf, "min": np.inf}[name]
            return self.known(empty, dtype)
        return reduce(lambda i, j: self.number(_PRIMITIVES[name], {}, (i, j), dtype), (int(i) for i in line))

    def product(self, equation: Any, a: Entries, b: Entries) -> Entries:
        (contract_a, contract_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
        out = equation.outvars[0].aval
        free = [[i for i in range(x.at.ndim) if i not in (*c, *d)] for x, c, d in
                ((a, contract_a, batch_a), (b, contract_b, batch_b))]  # fmt: skip
        extents = [int(np.prod([a.at.shape[i] for i in axes], initial=1)) for axes in (batch_a, free[0], contract_a)]
        left = np.transpose(a.at, (*batch_a, *free[0], *contract_a)).reshape(extents)
        right = np.transpose(b.at, (*batch_b, *free[1], *contract_b)).reshape(extents[0], -1, extents[2])
        times = lambda i, j: self.number(_PRIMITIVES["mul"], {}, (i, j), out.dtype)
        at = [self.all("add", [times(i, j) for i, j in zip(x, y, strict=True)], out.dtype)
              for k in range(extents[0]) for x in left[k] for y in right[k]]  # fmt: skip
        return Entries(np.array(at, int).reshape(out.shape), out.dtype)

    def scan(self, equation: Any, args: list[Any]) -> list[Any]:
        params = equation.params
        closed, (fixed, carried) = params["jaxpr"], handed_in(params)
        plain = all(isinstance(v.aval.dtype, np.dtype) for v in closed.jaxpr.invars)
        if self.most is not None or length(closed.jaxpr) > LIMIT or not plain:
            return self.whole(equation, args)
        consts, start, rows = args[:fixed], args[fixed : fixed + carried], args[fixed + carried :]
        variables = closed.jaxpr.invars[fixed : fixed + carried]
        shapes = [v.aval.shape for v in variables]
        types = [v.aval.dtype for v in variables]
        first = [[jnp.asarray(self.numbers[i], dtype) for i in self.split(x).at.reshape(-1)]
                 for x, dtype in zip(start, types, strict=True)]  # fmt: skip

        def body(carry: list[list[Array]], row: list[Array]) -> tuple[list[list[Array]], list[Array]]:
            within = Writer(self)
            given = [Entries(np.array([within.kept(x) for x in leaf], int).reshape(shape), dtype)
                     for leaf, shape, dtype in zip(carry, shapes, types, strict=True)]  # fmt: skip
            found = within.run(closed.jaxpr, closed.consts, [*consts, *given, *row])
            after = [[jnp.asarray(within.numbers[i], dtype) for i in within.split(x).at.reshape(-1)]
                     for x, dtype in zip(found[:carried], types, strict=True)]  # fmt: skip
            return after, [jnp.asarray(within.joined(x)) for x in found[carried:]]

        given = [self.joined(x) for x in rows]
        end, stacked = jax.lax.scan(_in_calls(body, first, [x[0] for x in given]), first, given, params["length"],
                                    params["reverse"], params["unroll"])  # fmt: skip
        ends = [Entries(np.array([self.kept(x) for x in leaf], int).reshape(shape), dtype)
                for leaf, shape, dtype in zip(end, shapes, types, strict=True)]  # fmt: skip
        return [*ends, *stacked]


def length(jaxpr: Any) -> int:
    """Operations on numbers that a program takes, written out."""
    total = 0
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        sizes = [v.aval.size for v in (*equation.invars, *equation.outvars)]
        if inner:
            total += sum(map(length, inner))
        elif equation.primitive.name == "dot_general":
            (contract, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * int(np.prod([shape[i] for i in contract], initial=1))
        elif equation.primitive.name not in _MOVED:
            total += max(sizes, default=0)
    return total


def handed_in(params: Mapping[str, Any]) -> tuple[int, int]:
    """Of what a loop is given: how many are the same in every turn, and how many it carries."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    fixed, carried, _ = params["ft_in"].update(params["jaxpr"].in_avals).unpack()  # JAX 0.12 and later
    return len(list(fixed)), len(list(carried))


def longest(jaxpr: Any) -> int:
    """The `length` of the longest body of a loop in a program."""
    bodies = (e.params["jaxpr"].jaxpr if e.primitive.name == "scan" else None for e in jaxpr.eqns)
    inner = (longest(j) for e in jaxpr.eqns if e.primitive.name != "scan" for j in jaxprs_in_params(e.params))
    return max([*(length(b) for b in bodies if b is not None), *inner], default=0)


def _shortened(name: str, places: tuple[int, ...], numbers: list[Any], dtype: Any) -> Any:
    """The place of the result, or its number, where that is plain; None where it is not."""
    known = [isinstance(x, np.generic) for x in numbers]
    if name == "select_n":
        if known[0]:
            return places[1 + int(numbers[0])]
        return places[1] if len(set(places[1:])) == 1 else None
    if all(known) and name in _KNOWN:
        with np.errstate(all="ignore"):
            return np.asarray(_KNOWN[name](*numbers))
    if len(numbers) != 2 or not any(known):
        return None
    which = known.index(True)
    number, other = numbers[which], places[1 - which]
    if name in ("and", "or"):
        return (other if bool(number) == (name == "and") else number) if number.dtype == bool else None
    if number == 0:
        if name in ("add", "add_any") or (name == "sub" and which == 1):
            return other
        return number if name == "mul" else None
    return other if number == 1 and (name == "mul" or (name == "div" and which == 1)) else None


def _sliced(sides: list[Entries], params: Any) -> np.ndarray:
    strides = params["strides"] or (1,) * sides[0].at.ndim
    return sides[0].at[tuple(map(slice, params["start_indices"], params["limit_indices"], strides))]


def _broadcast(sides: list[Entries], params: Any) -> np.ndarray:
    shape, at = params["shape"], params["broadcast_dimensions"]
    wide = [1] * len(shape)
    for extent, i in zip(sides[0].at.shape, at, strict=True):
        wide[i] = extent
    return np.broadcast_to(sides[0].at.reshape(wide), shape)


def _padded(sides: list[Entries], params: Any) -> np.ndarray | None:
    widths = params["padding_config"]
    if any(low < 0 or high < 0 or inner for low, high, inner in widths):
        return None
    return np.pad(sides[0].at, [(low, high) for low, high, _ in widths], constant_values=int(sides[1].at))


_MOVED: dict[str, Callable[[list[Entries], Any], np.ndarray | None]] = {
    "slice": _sliced, "broadcast_in_dim": _broadcast, "pad": _padded,
    "reshape": lambda sides, params: sides[0].at.reshape(params["new_sizes"]),
    "squeeze": lambda sides, params: np.squeeze(sides[0].at, params["dimensions"]),
    "expand_dims": lambda sides, params: np.expand_dims(sides[0].at, params["dimensions"]),
    "concatenate": lambda sides, params: np.concatenate([s.at for s in sides], params["dimension"]),
    "stack": lambda sides, params: np.stack([s.at for s in sides], params["axis"]),
    "transpose": lambda sides, params: np.transpose(sides[0].at, params["permutation"]),
    "turned": lambda sides, params: sides[0].at.T, "kept": lambda sides, params: sides[0].at,
    "rev": lambda sides, params: np.flip(sides[0].at, params["dimensions"]),
}  # fmt: skip

_PRIMITIVES: dict[str, Any] = {
    "add": jax.lax.add_p, "mul": jax.lax.mul_p, "max": jax.lax.max_p, "min": jax.lax.min_p, "and": jax.lax.and_p,
    "or": jax.lax.or_p,
}  # fmt: skip


def _in_calls(body: Callable[..., Any], *example: Any) -> Callable[..., Any]:
    """A long function of numbers, for arguments like `example`, as calls one after the other."""
    closed, shape = jax.make_jaxpr(body, return_shape=True)(*example)
    jaxpr = closed.jaxpr
    if len(jaxpr.eqns) <= LONGEST:
        return body
    parts = _cut(jaxpr)
    needed = [v for v in jaxpr.outvars if not isinstance(v, Literal)]
    handed: list[list[Any]] = []
    for part in reversed(parts):
        handed.append([v for e in part for v in e.outvars if v in set(needed)])
        needed += [v for e in part for v in e.invars if not isinstance(v, Literal)]

    def in_calls(*args: Any) -> Any:
        values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *jax.tree.leaves(args)], strict=True))
        for part, out in zip(parts, reversed(handed), strict=True):
            given = dict.fromkeys(v for e in part for v in e.invars if not isinstance(v, Literal) and v in values)
            called = ClosedJaxpr(jaxpr.replace(constvars=[], invars=list(given), eqns=part, outvars=out), [])
            values.update(zip(out, _call(called, *(values[v] for v in given)), strict=True))
        found = [v.val if isinstance(v, Literal) else values[v] for v in jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return in_calls


def _call(program: ClosedJaxpr, *args: Array) -> list[Array]:
    """A program as a call that the compiler leaves one."""

    def inside(*args: Array) -> list[Array]:
        with set_xla_metadata(xla_cpu_small_call="false", inlineable="true"):
            return jaxpr_as_fun(program)(*args)

    with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
        return jax.jit(inside)(*args)


def _cut(jaxpr: Any) -> list[list[Any]]:
    """The operations of a program in parts: from `SHORTEST` to `LONGEST`, cut where the fewest numbers go across."""
    operations = jaxpr.eqns
    last = {v: i for i, e in enumerate(operations) for v in e.invars if not isinstance(v, Literal)}
    last |= {v: len(operations) for v in jaxpr.outvars if not isinstance(v, Literal)}
    across = np.zeros(len(operations) + 1, int)
    for i, e in enumerate(operations):
        for v in e.outvars:
            across[i + 1 : last.get(v, i) + 1] += 1
    cuts = [0]
    while len(operations) - cuts[-1] > LONGEST:
        first = cuts[-1] + SHORTEST
        cuts.append(first + int(np.argmin(across[first : cuts[-1] + LONGEST])))
    return [operations[a:b] for a, b in zip(cuts, [*cuts[1:], len(operations)], strict=True)]
