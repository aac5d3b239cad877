"""Expressions of the Model over any kind of number: exact algebra, residues, truncated series, parities."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node

MAX_ENTRIES = 20_000
"""The largest array taken apart into single numbers."""
_MOVES = frozenset(["broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "block_diag"])


class Unsupported(Exception):
    """An operation that a kind of number does not have. `reason` is in the user's terms."""

    def __init__(self, reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.reason, self.span = reason, span


PLAIN: dict[str, Callable[[Any, Any], Any]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
"""Operations that every kind of number has as operators."""


class Arithmetic(Protocol):
    """A kind of number: its values have + and *, and the operations of `expr` by name."""

    def constant(self, value: Any) -> Any: ...

    def unary(self, op: str, x: Any) -> Any: ...

    def binary(self, op: str, a: Any, b: Any) -> Any: ...

    def where(self, test: Any, then: Any, otherwise: Any) -> Any: ...


class Doubles:
    """Ordinary numbers in double precision; what has no value is NaN."""

    def constant(self, value: Any) -> float:
        return float(value)

    def unary(self, op: str, x: float) -> float:
        with np.errstate(all="ignore"):
            return float(numeric.UNARY[op](x))

    def binary(self, op: str, a: float, b: float) -> float:
        with np.errstate(all="ignore"):
            return float(numeric.BINARY[op](np.float64(a), np.float64(b)))

    def where(self, test: Any, then: float, otherwise: float) -> float:
        return then if test else otherwise


Leaf = Callable[[Node], np.ndarray]
"""The value of a node that reads something (param, ref, time, bound, augment): an object array of its shape."""


class Evaluator:
    """Evaluates nodes with one meaning of the leaves; a node met again costs nothing.

    `tick` is called now and then and may raise, to keep to a budget of time.
    """

    def __init__(self, arithmetic: Arithmetic, leaf: Leaf, tick: Callable[[], None] = lambda: None) -> None:
        self.arithmetic, self.leaf, self.tick = arithmetic, leaf, tick
        self._memo: dict[int, tuple[Node, np.ndarray]] = {}

    def __call__(self, node: Node) -> np.ndarray:
        """An object array of the node's shape. Raises Unsupported."""
        for n in expr.walk([node]):
            if id(n) not in self._memo:
                self.tick()
                try:
                    value = self._one(n, [self._memo[id(a)][1] for a in n.args])
                except Unsupported as trouble:
                    raise Unsupported(trouble.reason, trouble.span or n.span) from None
                # The node is kept beside its value: a memo by `id` is sound only while the node lives.
                self._memo[id(n)] = (n, value)
        return self._memo[id(node)][1]

    def _one(self, node: Node, args: list[np.ndarray]) -> np.ndarray:
        op, exact = node.op, self.arithmetic
        if node.size > MAX_ENTRIES:
            raise Unsupported(f"an array of {node.size:,} numbers is too large for exact work")
        if node.value is not None:
            return filled(node.shape, [exact.constant(v) for v in node.value.reshape(-1).tolist()])
        if op in ("param", "ref", "time", "bound", "augment"):
            return self.leaf(node)
        if op in numeric.UNARY:
            return each(lambda x: exact.unary(op, x), node.shape, args[0])
        if op in numeric.BINARY:
            return each(lambda a, b: exact.binary(op, a, b), node.shape, *args)
        if op == "where":
            return each(exact.where, node.shape, *args)
        if op in _MOVES:
            return self._moved(node, args)
        if op == "index":
            return self._indexed(node, args)
        if op in numeric.REDUCTIONS:
            name = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum"}[op]
            parts = list(np.moveaxis(args[0], node.attrs[0], 0))
            return self._folded(name, parts, node.shape)
        if op == "matmul":
            return self._matmul(args[0], args[1], node.shape)
        if op == "kron":
            return filled(node.shape, list(np.kron(*args).reshape(-1)))
        if op == "softmax":
            raised = each(lambda x: exact.unary("exp", x), node.shape, args[0])
            total = self._folded("add", list(np.moveaxis(raised, -1, 0)), node.shape[:-1])
            return each(lambda a, b: exact.binary("div", a, b), node.shape, raised, total[..., None])
        if op == "inverse" and node.ndim == 2:
            return inverse(args[0], exact)
        if op == "cholesky" and node.ndim == 2:
            return cholesky(args[0], exact)
        words = {"past_sum": "a sum over the whole past", "interp": "an interpolation"}
        raise Unsupported(f"{words.get(op, f'`{op}`')} has no exact algebra")

    def _folded(self, op: str, parts: list[np.ndarray], shape: Sequence[int]) -> np.ndarray:
        if not parts:
            return filled(shape, [self.arithmetic.constant(0)] * int(np.prod(shape, dtype=int)))
        total = parts[0]
        for part in parts[1:]:
            total = each(lambda a, b: self.arithmetic.binary(op, a, b), shape, total, part)
        return filled(shape, list(np.asarray(total, object).reshape(-1)))

    def _matmul(self, a: np.ndarray, b: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        found = np.matmul(a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None])
        return filled(shape, list(np.asarray(found, object).reshape(-1)))

    def _moved(self, node: Node, args: list[np.ndarray]) -> np.ndarray:
        """Each entry of the result is an entry of an argument, or zero."""
        sizes = np.cumsum([0, *(a.size for a in args)])
        numbered = [np.arange(a.size).reshape(a.shape) + first + 1 for a, first in zip(args, sizes)]
        source = numeric.evaluate(node.op, node.attrs, numbered).astype(int).reshape(-1)
        pool = [self.arithmetic.constant(0), *(v for a in args for v in a.reshape(-1))]
        return filled(node.shape, [pool[i] for i in source])

    def _indexed(self, node: Node, args: list[np.ndarray]) -> np.ndarray:
        if not all(a.is_const for a in node.args[1:]):
            raise Unsupported("an entry chosen by a value of the row has no exact algebra")
        at = tuple(a.value for a in node.args[1:])
        positions = np.arange(args[0].size).reshape(args[0].shape)[at]  # type: ignore[index]
        pool = args[0].reshape(-1)
        return filled(node.shape, [pool[i] for i in np.asarray(positions).reshape(-1)])


def filled(shape: Sequence[int], values: Sequence[Any]) -> np.ndarray:
    """An object array of a shape, from its entries in C order."""
    found = np.empty(len(values), object)
    for i, value in enumerate(values):
        found[i] = value
    return found.reshape(tuple(shape))


def each(function: Callable[..., Any], shape: Sequence[int], *args: np.ndarray) -> np.ndarray:
    """A function of single numbers, entry by entry, after broadcasting."""
    spread = [np.broadcast_to(a, tuple(shape)).reshape(-1) for a in args]
    return filled(shape, [function(*values) for values in zip(*spread)])


def inverse(matrix: np.ndarray, exact: Arithmetic) -> np.ndarray:
    """By adjugates for a 1 x 1 or 2 x 2 matrix; larger ones are left to their numbers."""
    n = matrix.shape[0]
    divide = lambda a, b: exact.binary("div", a, b)
    if n == 1:
        return filled((1, 1), [divide(exact.constant(1), matrix[0, 0])])
    if n == 2:
        (a, b), (c, d) = matrix
        det = exact.binary("sub", a * d, b * c)
        minus = lambda x: exact.unary("neg", x)
        return filled((2, 2), [divide(x, det) for x in (d, minus(b), minus(c), a)])
    raise Unsupported(f"the inverse of a {n} x {n} matrix has no exact algebra here")


def cholesky(matrix: np.ndarray, exact: Arithmetic) -> np.ndarray:
    """The lower Cholesky factor, by its recursion."""
    n = matrix.shape[0]
    zero = exact.constant(0)
    factor = filled((n, n), [zero] * (n * n))
    for j in range(n):
        left = matrix[j, j]
        for k in range(j):
            left = exact.binary("sub", left, factor[j, k] * factor[j, k])
        factor[j, j] = exact.unary("sqrt", left)
        for i in range(j + 1, n):
            rest = matrix[i, j]
            for k in range(j):
                rest = exact.binary("sub", rest, factor[i, k] * factor[j, k])
            factor[i, j] = exact.binary("div", rest, factor[j, j])
    return factor


def rational(value: float | int | bool) -> Fraction:
    """The simplest fraction that a double rounds to: 0.02 is 1/50, and the double nearest to 8/3 is 8/3."""
    if isinstance(value, (bool, int)):
        return Fraction(int(value))
    if not math.isfinite(value):
        raise Unsupported(f"the number {value} has no exact algebra")
    exact = Fraction(value)
    if exact.denominator == 1:
        return exact
    # A fraction that was folded from others, such as 0.02 / 6, may be a few units in the last place away.
    for digits, away in ((1_000, 3), (10_000, 2), (1_000_000, 0)):
        near = exact.limit_denominator(digits)
        if abs(float(near) - value) <= away * math.ulp(value) and near:
            return near
    decimal = Fraction(repr(value))
    return decimal if decimal.denominator <= 10**12 else exact
