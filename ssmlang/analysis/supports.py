"""Where the parameters live, as sympy knows it: a symbol for each entry, with its sign, its interval, its region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.symbolic import MOST_ENTRIES, TooLarge, Translator
from ssmlang.model.expr import Node
from ssmlang.model.model import Model, Parameter


@dataclass(frozen=True)
class Supports:
    """`symbols`: by parameter, an object array of its shape; entries that are zero by their law are 0. `intervals`: the
    open interval of each symbol (ends may hold other symbols, or be infinite). `stationary`: vectors of coefficients
    that lie in the stationary region. `simplexes`: vectors that are positive and sum to one."""

    symbols: Mapping[str, np.ndarray]
    intervals: Mapping[sp.Symbol, tuple[sp.Expr, sp.Expr]]
    stationary: tuple[tuple[sp.Symbol, ...], ...]
    simplexes: tuple[tuple[sp.Symbol, ...], ...]

    @property
    def owner(self) -> dict[sp.Symbol, tuple[str, int]]:
        """Parameter and C-order position of each symbol."""
        return {
            s: (name, i)
            for name, array in self.symbols.items()
            for i, s in enumerate(array.reshape(-1))
            if isinstance(s, sp.Symbol)
        }


def supports(model: Model) -> Supports:
    """The symbols of a model's parameters; those with more entries than algebra is good for are left out."""
    symbols: dict[str, np.ndarray] = {}
    intervals: dict[sp.Symbol, tuple[sp.Expr, sp.Expr]] = {}
    stationary: list[tuple[sp.Symbol, ...]] = []
    simplexes: list[tuple[sp.Symbol, ...]] = []
    for p in model.parameters.values():
        if p.size > MOST_ENTRIES:
            continue
        own = _symbols(p)
        symbols[p.name] = own
        rows = own.reshape(-1, own.shape[-1]) if own.ndim else own.reshape(1, 1)
        if p.support.kind == "stationary":
            stationary += [tuple(row) for row in rows]
            intervals.update({s: _stationary_interval(i, len(row)) for row in rows for i, s in enumerate(row)})
        elif p.support.kind == "simplex":
            simplexes += [tuple(row) for row in rows]
            intervals.update({s: (sp.S.Zero, sp.S.One) for s in own.reshape(-1)})
        elif p.support.kind == "correlation_cholesky":
            intervals.update({s: (sp.S.Zero if s.is_positive else sp.S.NegativeOne, sp.S.One)
                              for s in own.reshape(-1) if isinstance(s, sp.Symbol)})  # fmt: skip
        else:
            intervals.update(zip(own.reshape(-1), _ends(p, model, symbols)))
    return Supports(symbols, intervals, tuple(stationary), tuple(simplexes))


def _stationary_interval(i: int, order: int) -> tuple[sp.Expr, sp.Expr]:
    """Coefficient k of a stationary autoregression of order p is smaller than binomial(p, k) in size."""
    bound = sp.binomial(order, i + 1)
    return -bound, bound


def _symbols(p: Parameter) -> np.ndarray:
    positive, negative = _sign(p)
    found = np.empty(p.size, dtype=object)
    d = p.shape[-1] if p.shape else 1
    for i, name in enumerate(p.entry_names()):
        if p.support.kind == "correlation_cholesky":
            row, column = (i // d) % d, i % d
            own = sp.Symbol(name, positive=True) if row == column else sp.Symbol(name, real=True)
            found[i] = sp.S.Zero if column > row else sp.S.One if row == column == 0 else own
        elif positive or p.support.kind == "simplex":
            found[i] = sp.Symbol(name, positive=True)
        elif negative:
            found[i] = sp.Symbol(name, negative=True)
        else:
            found[i] = sp.Symbol(name, real=True)
    return found.reshape(p.shape)


def _sign(p: Parameter) -> tuple[bool, bool]:
    low, high = p.support.lower, p.support.upper
    bounded = lambda n, test: n is not None and n.value is not None and bool(test(np.asarray(n.value)).all())
    if p.support.kind not in ("interval", "real"):
        return False, False
    return bounded(low, lambda v: v >= 0), bounded(high, lambda v: v <= 0)


def _ends(p: Parameter, model: Model, known: Mapping[str, np.ndarray]) -> list[tuple[sp.Expr, sp.Expr]]:
    def end(node: Node | None, otherwise: sp.Expr) -> list[sp.Expr]:
        if node is None:
            return [otherwise] * p.size
        try:
            # A prior's ends may read a parameter further down in the file.
            every = {**{q.name: _symbols(q) for q in model.parameters.values() if q.size <= MOST_ENTRIES}, **known}
            value = Translator(model, every)(node)
        except TooLarge:
            return [otherwise] * p.size
        return list(np.broadcast_to(value, p.shape).reshape(-1))

    if p.support.kind == "unit_circle":
        return [(-sp.pi, sp.pi)] * p.size
    return list(zip(end(p.support.lower, -sp.oo), end(p.support.upper, sp.oo)))
