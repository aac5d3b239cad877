"""The built-in functions of expressions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.model import expr
from ssmlang.model.elaborate import values
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import Node

if TYPE_CHECKING:
    from ssmlang.model.elaborate.expressions import Context, Expressions

ELEMENTWISE = (
    "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "tanh", "sigmoid", "softplus",
    "relu", "abs", "gamma", "lgamma", "logit", "normal_cdf",
)  # fmt: skip
REDUCE = ("sum", "prod", "max", "min")
MAX_DICTIONARY = 10_000


class Call:
    """One call: its arguments by position, with messages that name the function."""

    def __init__(self, elaborator: Expressions, e: syn.Call, context: Context) -> None:
        assert isinstance(e.function, syn.Name)
        self.elaborator, self.e, self.context = elaborator, e, context
        self.name, self.scope, self.span = e.function.id, elaborator.scope, e.span
        for argument in e.arguments:
            if argument.name is not None:
                raise self.scope.error(
                    "E211",
                    f"`{self.name}` takes its arguments by position",
                    argument.span,
                    "a name is not understood here",
                )

    def count(self, least: int, most: int | None = None) -> None:
        most = least if most is None else most
        given = len(self.e.arguments)
        if not least <= given <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise self.scope.error("E211", f"`{self.name}` takes {wanted} argument(s)", self.span, f"{given} given")

    def raw(self, i: int) -> syn.Expr:
        return self.e.arguments[i].value

    def value(self, i: int) -> Val:
        return self.elaborator._number(self.raw(i), self.context)

    def static(self, i: int, what: str) -> int:
        return self.elaborator.static_int(self.raw(i), what)

    def wrong_shape(self, i: int, needs: str) -> Exception:
        shape = self.value(i).shape
        return self.scope.error("E207", f"`{self.name}` needs {needs}", self.raw(i).span, f"this has shape {shape}")

    def whole(self, i: int) -> Node:
        """An argument that may not depend on a loop as an array: the loop is written out."""
        val = self.value(i)
        if val.batch:
            raise NeedsUnroll(val.batch[-1])
        return val.node


def call_builtin(elaborator: Expressions, e: syn.Call, context: Context) -> Val:
    call = Call(elaborator, e, context)
    return FUNCTIONS[call.name](call)


def _elementwise(call: Call) -> Val:
    call.count(1)
    return values.elementwise(call.name, [call.value(0)], call.scope.loops, call.span)


def _atan2(call: Call) -> Val:
    call.count(2)
    return values.elementwise("atan2", [call.value(0), call.value(1)], call.scope.loops, call.span)


def _reduce(call: Call) -> Val:
    call.count(1, 2 if call.name in ("max", "min") else 1)
    if len(call.e.arguments) == 2:
        op = {"max": "maximum", "min": "minimum"}[call.name]
        return values.elementwise(op, [call.value(0), call.value(1)], call.scope.loops, call.span)
    return values.total(call.name, call.value(0), call.span)


def _where(call: Call) -> Val:
    call.count(3)
    test = call.elaborator.value(call.raw(0), call.context)
    if test.node.kind != "bool":
        raise call.scope.error("E207", "`where` needs a comparison first", call.raw(0).span, "this is a number",
                               help="write a comparison such as `k > 0`")  # fmt: skip
    return values.elementwise("where", [test, call.value(1), call.value(2)], call.scope.loops, call.span)


def _dot(call: Call) -> Val:
    call.count(2)
    a, b = call.value(0), call.value(1)
    if a.ndim == 0 or b.ndim == 0:
        raise call.wrong_shape(0 if a.ndim == 0 else 1, "vectors")
    return values.matmul(a, b, call.scope.loops, call.span)


def _diag(call: Call) -> Val:
    call.count(1)
    x = call.value(0)
    if x.ndim == 1:
        shape, axes = (*x.node.shape, x.node.shape[-1]), (*x.node.axes, x.node.axes[-1])
        return Val(expr.linalg("diag", [x.node], shape, axes, call.span), x.batch)
    if x.ndim == 2 and x.shape[0] == x.shape[1]:
        return Val(expr.linalg("diagonal", [x.node], x.node.shape[:-1], x.node.axes[:-1], call.span), x.batch)
    raise call.wrong_shape(0, "a vector or a square matrix")


def _square(call: Call) -> Val:
    call.count(1)
    x = call.value(0)
    if x.ndim != 2 or x.shape[0] != x.shape[1]:
        raise call.wrong_shape(0, "a square matrix")
    return Val(expr.linalg(call.name, [x.node], x.node.shape, x.node.axes, call.span), x.batch)


def _softmax(call: Call) -> Val:
    call.count(1)
    x = call.value(0)
    if x.ndim == 0:
        raise call.wrong_shape(0, "a vector")
    return Val(expr.linalg("softmax", [x.node], x.node.shape, x.node.axes, call.span), x.batch)


def _filled(call: Call) -> Val:
    call.count(1, 1 if call.name == "eye" else 2)
    sizes = [call.static(i, "a size") for i in range(len(call.e.arguments))]
    total = math.prod(sizes) ** (2 if call.name == "eye" else 1)
    if min(sizes) < 0 or total > expr.MAX_ELEMENTS:
        raise call.scope.error(
            "E215", "this size is not allowed", call.span, f"an array has at most {expr.MAX_ELEMENTS:,} entries"
        )
    axes = [call.scope.axes.get(a.value.id) if isinstance(a.value, syn.Name) else None for a in call.e.arguments]
    if call.name == "eye":
        return Val(expr.const(np.eye(sizes[0]), axes=axes * 2, span=call.span))
    make = np.zeros if call.name == "zeros" else np.ones
    return Val(expr.const(make(sizes), axes=axes, span=call.span))


def _kron(call: Call) -> Val:
    call.count(2)
    a, b = call.whole(0), call.whole(1)
    if a.ndim != b.ndim or a.ndim not in (1, 2):
        raise call.wrong_shape(0, "two matrices")
    return Val(expr.linalg("kron", [a, b], [x * y for x, y in zip(a.shape, b.shape)], None, call.span))


def _block_diag(call: Call) -> Val:
    call.count(1, 1000)
    blocks = []
    for i in range(len(call.e.arguments)):
        block = call.whole(i)
        if block.ndim > 2:
            raise call.wrong_shape(i, "matrices")
        blocks.append(expr.reshape(block, (1,) * (2 - block.ndim) + block.shape))
    shape = [sum(b.shape[d] for b in blocks) for d in (0, 1)]
    return Val(expr.linalg("block_diag", blocks, shape, None, call.span))


def _interp(call: Call) -> Val:
    call.count(3)
    x, xs, fs = call.value(0), call.whole(1), call.whole(2)
    if xs.ndim != 1 or fs.shape != xs.shape:
        raise call.wrong_shape(1, "two vectors of one length, the points and the values there")
    return Val(expr.linalg("interp", [x.node, xs, fs], x.node.shape, x.node.axes, call.span), x.batch)


def _step(call: Call) -> Val:
    """rk4(f, x, dt, u, ...) and euler(f, x, dt, u, ...): one step of x' = f(x, u, ...)."""
    call.count(3, 100)
    f = call.raw(0)
    symbol = call.scope.symbols.get(f.id) if isinstance(f, syn.Name) else None
    if symbol is None or symbol.sort != "def":
        raise call.scope.error(
            "E211", f"the first argument of `{call.name}` is a function", f.span, "not the name of a `def`"
        )
    symbol.used = True
    x, dt, *rest = (call.value(i) for i in range(1, len(call.e.arguments)))
    order, span = call.scope.loops, call.span
    slope = lambda v: call.elaborator.apply(symbol, [v, *rest], span, call.context)
    add = lambda a, b: values.elementwise("add", [a, b], order, span)
    times = lambda a, b: values.elementwise("mul", [a, b], order, span)
    scaled = lambda k: times(dt, Val(expr.const(k)))
    k1 = slope(x)
    if k1.shape != x.shape:
        raise call.scope.error(
            "E207",
            f"`{symbol.name}` must give a value of the shape of its argument",
            f.span,
            f"{k1.shape} from {x.shape}",
            help=f"end `{symbol.name}` in an array of shape {x.shape}: the slope of each entry of its first argument",
        )
    if call.name == "euler":
        return add(x, times(dt, k1))
    k2 = slope(add(x, times(scaled(0.5), k1)))
    k3 = slope(add(x, times(scaled(0.5), k2)))
    k4 = slope(add(x, times(dt, k3)))
    middle = times(Val(expr.const(2.0)), add(k2, k3))
    return add(x, times(scaled(1 / 6), add(add(k1, middle), k4)))


def _entries(call: Call, i: int) -> list[Node]:
    x = call.whole(i)
    if x.ndim > 1:
        raise call.wrong_shape(i, "a number or a vector")
    return [x] if x.ndim == 0 else [expr.index(x, [expr.const(k)]) for k in range(x.size)]


def _monomials(call: Call) -> Val:
    """All monomials of total degree 1..degree, lower degrees first, in the order of the entries."""
    call.count(2)
    entries, degree = _entries(call, 0), call.static(1, "a degree")
    powers = [
        c
        for d in range(1, degree + 1)
        for c in itertools.islice(itertools.combinations_with_replacement(entries, d), MAX_DICTIONARY + 1)
    ]
    _check_size(call, len(powers))
    products = []
    for factors in powers:
        product = factors[0]
        for factor in factors[1:]:
            product = expr.mul(product, factor)
        products.append(product)
    return Val(expr.stack(products, None, call.span))


def _fourier(call: Call) -> Val:
    """sin(k x), cos(k x) for k = 1..order, entry by entry."""
    call.count(2)
    entries, order = _entries(call, 0), call.static(1, "an order")
    _check_size(call, 2 * order * len(entries))
    waves = [
        expr.unary(f, expr.mul(expr.const(k), x)) for x in entries for k in range(1, order + 1) for f in ("sin", "cos")
    ]
    return Val(expr.stack(waves, None, call.span))


def _rbf(call: Call) -> Val:
    """exp(-|x - c|^2 / 2) for each row c of the centers."""
    call.count(2)
    x, centers = call.whole(0), call.whole(1)
    wide = 2 if x.ndim == 1 else 1
    if centers.ndim != wide or (wide == 2 and centers.shape[1] != x.size):
        raise call.wrong_shape(1, "one row of centers for each function, as long as x")
    squares = expr.binary("pow", expr.sub(x, centers), expr.const(2))
    distance = expr.reduce("sum", squares, 1) if wide == 2 else squares
    return Val(expr.unary("exp", expr.mul(expr.const(-0.5), distance), call.span))


def _check_size(call: Call, size: int) -> None:
    if not 0 < size <= MAX_DICTIONARY:
        raise call.scope.error(
            "E215", f"a dictionary of {size:,} functions", call.span, f"between 1 and {MAX_DICTIONARY:,} are allowed"
        )


FUNCTIONS: dict[str, Callable[[Call], Val]] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(REDUCE, _reduce),
    "atan2": _atan2,
    "where": _where,
    "dot": _dot,
    "diag": _diag,
    "cholesky": _square,
    "inverse": _square,
    "softmax": _softmax,
    "eye": _filled,
    "zeros": _filled,
    "ones": _filled,
    "kron": _kron,
    "block_diag": _block_diag,
    "interp": _interp,
    "rk4": _step,
    "euler": _step,
    "monomials": _monomials,
    "fourier": _fourier,
    "rbf": _rbf,
}

__all__ = ["FUNCTIONS", "call_builtin"]
