"""Exact elements back to expressions of the Model: what the algebra of lifts finds, as programs that run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import PI
from ssmlang.analysis.closure_terms import Poly
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key
from ssmlang.model import expr
from ssmlang.model.entries import entry
from ssmlang.model.expr import Node
from ssmlang.model.model import Model

_UNARY = frozenset(["abs", "asin", "acos", "atan", "gamma", "lgamma", "normal_cdf", "relu", "sqrt", "sin", "cos", "tan",
                    "exp", "log", "tanh", "sigmoid", "softplus"])  # fmt: skip


class Fresh:
    """Numbers that have an expression but no algebra, as known symbols: the entries of a matrix factor, say."""

    def __init__(self, variable: Callable[[Hashable], Element]) -> None:
        self._variable = variable
        self.nodes: dict[Hashable, Node] = {}

    def __call__(self, node: Node) -> Element:
        """An element that stands for the value of a scalar expression."""
        key = ("fresh", len(self.nodes))
        self.nodes[key] = node
        return self._variable(key)


class Nodes:
    """Elements of what is known (parameters, inputs, data, the row) as scalar expressions."""

    def __init__(self, model: Model, fresh: Fresh) -> None:
        self.model, self.fresh = model, fresh
        self._leaves: dict[Hashable, Node] = {}

    def __call__(self, element: Element, states: Callable[[Any], Node] | None = None) -> Node:
        """The expression; `states` gives that of a state's entry, where the element reads any. Raises Unsupported."""
        return _Writer(self, element, states)(element)

    def leaf(self, key: Hashable) -> Node:
        """The expression of a known symbol."""
        if key not in self._leaves:
            self._leaves[key] = self._leaf(key)
        return self._leaves[key]

    def _leaf(self, key: Hashable) -> Node:
        if key == PI:
            return expr.const(np.pi)
        if key in self.fresh.nodes:
            return self.fresh.nodes[key]
        if not isinstance(key, Key):
            raise Unsupported("a symbol of the algebra has no expression")
        if key.sort == "time":
            return expr.time()
        m = self.model
        if key.sort == "param":
            parameter = m.parameters[key.name]
            return entry(expr.param(key.name, parameter.shape, parameter.axes), key.entry)
        variables: dict[str, Any] = {"input": m.inputs, "obs": m.observations}
        if key.sort not in variables:
            raise Unsupported(f"a {key.sort} has no value that is known")
        v = variables[key.sort][key.name]
        return entry(expr.ref(key.sort, key.name, key.lag, v.shape, v.axes), key.entry)


class _Writer:
    def __init__(self, nodes: Nodes, element: Element, states: Callable[[Any], Node] | None) -> None:
        self.nodes, self.algebra, self.states = nodes, element.algebra, states
        self._made: dict[int, Node] = {}

    def __call__(self, element: Element) -> Node:
        total: Node = expr.const(0.0)
        for t, c in element.terms.items():
            part = _times(expr.const(float(c)), self._product(t.mono))
            if t.grow:
                part = _times(part, expr.unary("exp", self._sum(t.grow)))
            if t.turn:
                part = _times(part, expr.unary("sin" if t.odd else "cos", self._sum(t.turn)))
            total = expr.add(total, part)
        return total

    def _product(self, mono: Iterable[tuple[int, int]]) -> Node:
        above: Node = expr.const(1.0)
        below: Node = expr.const(1.0)
        for s, e in mono:
            power = self._symbol(s) if abs(e) == 1 else expr.binary("pow", self._symbol(s), expr.const(abs(e)))
            if e > 0:
                above = _times(above, power)
            else:
                below = _times(below, power)
        return expr.div(above, below)

    def _sum(self, p: Poly) -> Node:
        total: Node = expr.const(0.0)
        for mono, c in p:
            total = expr.add(total, _times(expr.const(float(c)), self._product(mono)))
        return total

    def _symbol(self, s: int) -> Node:
        if s not in self._made:
            self._made[s] = self._new(s)
        return self._made[s]

    def _new(self, s: int) -> Node:
        symbol = self.algebra.symbols[s]
        match symbol.kind:
            case "known":
                return self.nodes.leaf(symbol.key)
            case "state":
                if self.states is None:
                    raise Unsupported("a state is read where only what is known can be")
                return self.states(symbol.key)
            case "divisor":
                assert symbol.of is not None
                return self(symbol.of)
            case "log":
                return expr.unary("log", expr.const(float(symbol.number)) if symbol.number else
                                  self._symbol(symbol.base))  # fmt: skip
            case "size":
                return expr.unary("abs", self._symbol(symbol.base))
        args = [self(a) for a in symbol.args]
        if symbol.op == "itself":
            return args[0]
        if len(args) == 1 and symbol.op in _UNARY:
            return expr.unary(symbol.op, args[0])
        if len(args) == 2:
            return expr.binary(symbol.op, args[0], args[1])
        if symbol.op == "where":
            return expr.where(expr.binary("ne", args[0], expr.const(0.0)), args[1], args[2])
        raise Unsupported(f"`{symbol.op}` cannot be written back")


def _times(a: Node, b: Node) -> Node:
    return expr.mul(a, b)
