"""The Model's expressions as sympy objects, entry by entry, for the parameters' own symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy as sp

from ssmlang.analysis.exact import exact
from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Model, Variable

TIME = sp.Symbol("t", integer=True, nonnegative=True)
"""The row number."""
MOST_ENTRIES = 20_000
"""Arrays of more entries are not made symbolic."""

_MOVES = ("broadcast", "reshape", "transpose", "index", "stack", "concat", "diagonal")
_softplus = lambda x: sp.log(1 + sp.exp(x))
_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": lambda x: -x, "abs": sp.Abs, "exp": sp.exp, "log": sp.log, "log1p": lambda x: sp.log(1 + x),
    "expm1": lambda x: sp.exp(x) - 1, "exprel": lambda x: (sp.exp(x) - 1) / x if x != 0 else sp.S.One,
    "sqrt": sp.sqrt, "sin": sp.sin, "cos": sp.cos, "tan": sp.tan, "asin": sp.asin, "acos": sp.acos,
    "atan": sp.atan, "tanh": sp.tanh, "relu": lambda x: sp.Max(x, 0),
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)), "softplus": _softplus, "logit": lambda x: sp.log(x / (1 - x)),
    "lgamma": sp.loggamma, "gamma": sp.gamma, "normal_cdf": lambda x: (1 + sp.erf(x / sp.sqrt(2))) / 2,
    "not": sp.Not,
}  # fmt: skip
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b, "mod": sp.Mod, "lt": sp.Lt, "le": sp.Le, "gt": sp.Gt, "ge": sp.Ge, "eq": sp.Eq,
    "ne": sp.Ne, "and": sp.And, "or": sp.Or, "atan2": sp.atan2, "maximum": sp.Max, "minimum": sp.Min,
}  # fmt: skip
_COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))


class TooLarge(Exception):
    """An expression has more entries than algebra is good for, or an operation that algebra does not know."""


def series_symbols(variable: Variable, lag: int | str) -> np.ndarray:
    """A symbol for each entry of a series some rows back: `x[t]`, `X[t-1,easter]`."""
    row = "t" if lag == 0 else f"t-{lag}"
    names = [
        f"{variable.name}[{row}{',' + n[len(variable.name) + 1 : -1] if '[' in n else ''}]"
        for n in variable.entry_names()
    ]
    return _array([sp.Symbol(n, real=True) for n in names], variable.shape)


class Translator:
    """Makes sympy objects of expressions. Comparisons with the row number are decided as they are from some row on."""

    def __init__(self, model: Model, symbols: Mapping[str, np.ndarray]) -> None:
        self.model, self.symbols = model, symbols
        self._memo: dict[int, tuple[Node, np.ndarray]] = {}
        self.decided: set[int] = set()
        """Lines of such comparisons"""

    def __call__(self, node: Node) -> np.ndarray:
        """An object array of the node's shape. Raises TooLarge."""
        for n in expr.walk([node]):
            if id(n) not in self._memo:
                if n.size > MOST_ENTRIES:
                    raise TooLarge(f"an array of {n.size:,} entries")
                self._memo[id(n)] = (n, self._one(n, [self._memo[id(a)][1] for a in n.args]))
        return self._memo[id(node)][1]

    def _one(self, n: Node, args: list[np.ndarray]) -> np.ndarray:
        op = n.op
        if n.value is not None:
            return _array([_constant(v) for v in np.asarray(n.value).reshape(-1)], n.shape)
        if op == "param":
            return self.symbols[n.attrs[0]]
        if op == "augment":
            return _array(list(self.symbols[n.attrs[0]].reshape(-1)), n.shape)
        if op == "ref":
            sort, name, lag = n.attrs
            groups = {"state": self.model.states, "obs": self.model.observations, "input": self.model.inputs,
                      "noise": self.model.noises}  # fmt: skip
            return series_symbols(groups[sort][name], lag)
        if op == "time":
            return _array([TIME], ())
        if op == "bound":
            return _array([sp.Symbol(str(n.attrs[0]).split("#")[0], integer=True, positive=True)], ())
        if op in _UNARY:
            return self._each(_UNARY[op], n, args)
        if op in _COMPARISONS:
            return self._each(lambda a, b: self._eventually(_BINARY[op](a, b), n), n, args)
        if op in _BINARY:
            return self._each(_BINARY[op], n, args)
        if op == "where":
            return self._each(_choose, n, args)
        if op in _MOVES:
            indices = [np.asarray(a.value) for a in n.args[1:]] if op == "index" else []
            if op == "index" and any(a.value is None for a in n.args[1:]):
                raise TooLarge("an index that is computed")
            return _array_like(numeric.evaluate(op, n.attrs, [args[0], *indices] if indices else args), n)
        if op in ("diag", "block_diag"):
            return _array_like(_filled(op, args), n)
        if op in numeric.REDUCTIONS:
            return self._reduced(op, n, args[0])
        if op == "matmul":
            return _array_like(np.dot(args[0], args[1]) if max(args[0].ndim, args[1].ndim) <= 2
                               else np.matmul(args[0], args[1]), n)  # fmt: skip
        if op == "kron":
            return _array_like(np.kron(args[0], args[1]), n)
        if op == "inverse" and n.shape[0] <= 3 and n.ndim == 2:
            return _array(list(sp.Matrix(args[0].tolist()).inv(method="ADJ")), n.shape)
        if op == "cholesky" and n.shape[0] <= 3 and n.ndim == 2:
            return _array(list(_cholesky(sp.Matrix(args[0].tolist()))), n.shape)
        raise TooLarge(f"`{op}` of unknown numbers")

    def _eventually(self, test: Any, node: Node) -> Any:
        """A comparison with the row number as it is from some row on."""
        if test in (sp.true, sp.false) or test.free_symbols != {TIME}:
            return test
        if not (test.lhs - test.rhs).is_polynomial(TIME):
            return test
        if node.span is not None:
            self.decided.add(node.span.source.position(node.span.start)[0])
        return sp.sympify(bool(test.subs(TIME, sp.Integer(10**9))))

    def _each(self, function: Callable[..., Any], n: Node, args: list[np.ndarray]) -> np.ndarray:
        spread = [np.broadcast_to(a, n.shape).reshape(-1) for a in args]
        return _array([function(*values) for values in zip(*spread)], n.shape)

    def _reduced(self, op: str, n: Node, a: np.ndarray) -> np.ndarray:
        total = {"sum": lambda v: sp.Add(*v), "prod": lambda v: sp.Mul(*v), "max": lambda v: sp.Max(*v),
                 "min": lambda v: sp.Min(*v)}[op]  # fmt: skip
        last = np.moveaxis(a, n.attrs[0], -1).reshape(-1, a.shape[n.attrs[0]])
        return _array([total(list(v)) for v in last], n.shape)


def _constant(value: Any) -> Any:
    if isinstance(value, np.bool_):
        return sp.true if value else sp.false
    number = float(value)
    if np.isnan(number):
        return sp.nan
    return exact(number) if np.isfinite(number) else (sp.oo if number > 0 else -sp.oo)


def _choose(test: Any, then: Any, otherwise: Any) -> Any:
    return then if test is sp.true else otherwise if test is sp.false else sp.Piecewise((then, test), (otherwise, True))


def _cholesky(matrix: sp.Matrix) -> sp.Matrix:
    n = matrix.rows
    factor = sp.zeros(n, n)
    for j in range(n):
        factor[j, j] = sp.sqrt(sp.factor(matrix[j, j] - sum(factor[j, k] ** 2 for k in range(j))))
        for i in range(j + 1, n):
            rest = matrix[i, j] - sum(factor[i, k] * factor[j, k] for k in range(j))
            factor[i, j] = sp.cancel(rest / factor[j, j])
    return factor


def _array(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found.reshape(shape)


def _array_like(value: Any, n: Node) -> np.ndarray:
    flat = np.asarray(value, dtype=object).reshape(-1)
    return _array([sp.S.Zero if isinstance(v, (int, float)) and v == 0 else v for v in flat], n.shape)



def _filled(op: str, args: list[np.ndarray]) -> np.ndarray:
    """`diag` and `block_diag`, whose other entries are zero."""
    if op == "diag":
        (a,) = args
        size = a.shape[-1]
        found = np.full((*a.shape, size), sp.S.Zero, dtype=object)
        for i in range(size):
            found[..., i, i] = a[..., i]
        return found
    found = np.full((sum(a.shape[0] for a in args), sum(a.shape[1] for a in args)), sp.S.Zero, dtype=object)
    i = j = 0
    for a in args:
        found[i : i + a.shape[0], j : j + a.shape[1]] = a
        i, j = i + a.shape[0], j + a.shape[1]
    return found
