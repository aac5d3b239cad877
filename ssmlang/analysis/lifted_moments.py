"""Moments of functions of the state before any data, row by row: a linear recursion where one of finite size exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split
from ssmlang.analysis.closure_terms import ONE, Term
from ssmlang.analysis.lifted_nodes import Nodes
from ssmlang.analysis.lifted_noise import Noises
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model import expr
from ssmlang.model.expr import Node

MOST = 60
"""Moments that are followed together."""


@dataclass
class Moments:
    """The expectations of functions of the state at row t, from those at row 0: E[f_t] = B E[f_(t-1)].

    `start`: the mean of a function at row 0. `expect` makes an expression of the mean at row t - 1, for use in the
    transition to row t. Raises Unsupported where the functions needed grow without end, have no closed form, or follow
    a law that changes from row to row.
    """

    noises: Noises
    nodes: Nodes
    start: Callable[[Element], Element]
    order: list[Term] = field(default_factory=list)
    rows: dict[Term, dict[Term, Element]] = field(default_factory=dict)
    _vector: Node | None = None

    def follow(self, functions: Iterable[Element]) -> None:
        """Add what is needed for the means of these functions."""
        pending = [t for f in functions for t in split(f) if t != ONE and t not in self.rows]
        while pending:
            self.noises.koopman.tick()
            term = pending.pop(0)
            if term in self.rows:
                continue
            if len(self.order) >= MOST:
                raise Unsupported(f"the moments that its noise needs are more than {MOST}")
            mean = self.noises.mean_after(self._function(term))
            if mean is None:
                raise Unsupported("a moment that its noise needs has no closed form")
            self.order.append(term)
            self.rows[term] = split(mean)
            pending += [t for t in self.rows[term] if t != ONE and t not in self.rows]
        self._vector = None

    def expect(self, function: Element) -> Node:
        """E[function] at row t - 1, as an expression of row t; a plain number where the function is the same
        everywhere."""
        parts = split(function)
        total: Node = expr.const(0.0)
        for term, c in parts.items():
            value = self.nodes(c)
            if term != ONE:
                value = expr.mul(value, self._moment(term))
            total = expr.add(total, value)
        return total

    def _moment(self, term: Term) -> Node:
        if self._vector is None:
            self._vector = self._law()
        return expr.index(self._vector, [expr.const(1 + self.order.index(term))])

    def _law(self) -> Node:
        """The moments at row t - 1, the constant 1 first: B^(t-1) times those at row 0."""
        terms = [ONE, *self.order]
        zero = expr.const(0.0)
        rows = [[expr.const(1.0), *[zero] * len(self.order)]]
        rows += [[self.nodes(r[t]) if t in r else zero for t in terms] for r in (self.rows[x] for x in self.order)]
        first = [expr.const(1.0), *(self.nodes(self.start(self._function(t))) for t in self.order)]
        matrix = expr.stack([expr.stack(r) for r in rows])
        begin = expr.stack(first)
        if expr.varies([matrix, begin]):
            raise Unsupported("the moments of its noise change with inputs or the row number")
        before = expr.binary("maximum", expr.sub(expr.time(), expr.const(1)), expr.const(0))
        power = expr.linalg("matrix_power", [matrix, before], matrix.shape)
        return expr.matmul(power, begin)

    def _function(self, term: Term) -> Element:
        return Element(self.noises.koopman.algebra, {term: Fraction(1)})
