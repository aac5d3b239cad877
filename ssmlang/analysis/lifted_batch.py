"""A transition at many states and noises at once, as expressions: each value is a vector over points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssmlang.analysis.lifted_noise import loadings
from ssmlang.analysis.scalars import Evaluator, Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key, Rows, Skeleton
from ssmlang.model import expr, sparse
from ssmlang.model.entries import entry
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Model


@dataclass(frozen=True, eq=False)
class Value:
    """A number, or a vector over points, as an expression with the signs of arithmetic."""

    node: Node

    def __add__(self, other: Value) -> Value:
        return Value(expr.add(self.node, other.node))

    def __mul__(self, other: Value) -> Value:
        return Value(expr.mul(self.node, other.node))


class Expressions:
    """`scalars.Arithmetic` over expressions."""

    def constant(self, value: Any) -> Value:
        return Value(expr.const(float(value)))

    def unary(self, op: str, x: Value) -> Value:
        return Value(expr.unary(op, x.node))

    def binary(self, op: str, a: Value, b: Value) -> Value:
        return Value(expr.binary(op, a.node, b.node))

    def where(self, test: Value, then: Value, otherwise: Value) -> Value:
        return Value(expr.where(test.node, then.node, otherwise.node))


class Batch:
    """Rows of a model from given states, at given standard normals.

    `states`: by key (lag 0 is the row before, lag 1 the one before that) a vector over points, (P, 1) say. `normals`: a
    function that gives the k-th standard normal of a row, (1, Q) say. Raises Unsupported for noises that are not
    Gaussian, and for a transition that reads inputs, data or the row number.
    """

    def __init__(self, model: Model, states: Mapping[Key, np.ndarray], normals: Callable[[int], np.ndarray]) -> None:
        self.model, self.skeleton, self.arithmetic = model, Skeleton(model), Expressions()
        self._states = {k: Value(expr.const(v)) for k, v in states.items()}
        self._normals, self.count = normals, 0
        self._named: dict[str, list[Value]] = {}
        self._own: dict[int, list[Value]] = {}
        self._params: dict[Key, Value] = {}
        self._rows = _BatchRows(self)

    def after(self, node: Node) -> list[Value]:
        """Functions of the state one row on, noises included."""

        def value(key: Key) -> Value:
            return self._rows.value(key.name, key.entry, -key.lag) if key.sort == "state" else self.known(key)

        return self._evaluated(node, value)

    def here(self, node: Node) -> list[Value]:
        """Functions of the states given."""
        return self._evaluated(node, lambda key: self._states[key] if key.sort == "state" else self.known(key))

    def known(self, key: Key) -> Value:
        """A parameter, or a named noise."""
        if key.sort == "param":
            if key not in self._params:
                p = self.model.parameters[key.name]
                self._params[key] = Value(entry(expr.param(p.name, p.shape, p.axes), key.entry))
            return self._params[key]
        if key.sort == "noise" and key.lag == 0:
            if key.name not in self._named:
                noise = self.model.noises[key.name]
                assert noise.law is not None
                loc = self._evaluated(expr.broadcast(noise.law.args["loc"], noise.law.shape), self.known)
                added = self.law(noise.law, self.known)
                self._named[key.name] = [m + w for m, w in zip(loc, added)]
            return self._named[key.name][key.entry]
        noun = {"noise": "a noise of an earlier row", "input": f"the input {key.name}", "time": "the row number",
                "obs": f"the observation {key.name}"}.get(key.sort, f"the augmented parameter {key.name}")  # fmt: skip
        raise Unsupported(f"a transition reads {noun}")

    def own(self, law: Dist) -> list[Value]:
        """The noise of an equation's law, the same whenever it is asked for."""
        if id(law) not in self._own:
            self._own[id(law)] = self.law(law, self._rows.read)
        return self._own[id(law)]

    def law(self, law: Dist, value: Callable[[Key], Value]) -> list[Value]:
        """What a Gaussian law adds to its location, entry by entry."""
        if law.name in ("Normal", "LogNormal"):
            scales = self._evaluated(expr.broadcast(law.args["scale"], law.shape), value)
            return [s * self._normal() for s in scales]
        if law.name != "MvNormal":
            raise Unsupported(f"{law.name} noise is not Gaussian", law.span)
        others = [node for name, node in law.args.items() if name != LOCATED[law.name]]
        if expr.references(others):
            raise Unsupported("a covariance changes from row to row", law.span)
        factor = loadings(law)
        normals = [self._normal() for _ in range(factor.shape[1])]
        found = [self.arithmetic.constant(0.0)] * factor.shape[0]
        for k, (i, j) in enumerate(zip(factor.rows.tolist(), factor.cols.tolist())):
            load = Value(expr.reshape(sparse.gather(factor.values, np.array([k])), ()))
            found[i] = found[i] + load * normals[j]
        return found

    def _normal(self) -> Value:
        self.count += 1
        return Value(expr.const(self._normals(self.count - 1)))

    def _evaluated(self, node: Node, value: Callable[[Key], Value]) -> list[Value]:
        return list(Evaluator(self.arithmetic, self.skeleton.leaf(self.arithmetic, value))(node).reshape(-1))


class _BatchRows(Rows):
    """Row 0 from the states given, each entry with the noise of its own law."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        first = lambda name, entry_, back: batch._states[Key("state", name, entry_, back - 1)]
        super().__init__(batch.skeleton, batch.arithmetic, first, lambda key, row: batch.known(key))

    def value(self, name: str, entry: int, row: int) -> Any:
        place = (name, entry, row)
        if row < 0 or place in self._known:
            return super().value(name, entry, row)
        middle = super().value(name, entry, row)
        given = self.skeleton.given[name, entry]
        if given.law is not None:
            own = self.batch.own(given.law)[given.position]
            raised = given.law.name == "LogNormal"
            middle = middle * self.arithmetic.unary("exp", own) if raised else middle + own
            self.settle(name, entry, row, middle)
        return middle

    def read(self, key: Key) -> Any:
        """What a scale reads at row 0."""
        return self.value(key.name, key.entry, -key.lag) if key.sort == "state" else self.batch.known(key)


def normals_of(model: Model) -> int:
    """How many standard normals drive a row of the states."""
    nodes: list[Node] = []
    laws = []
    for e in model.equations:
        if e.role == "transition":
            if e.law is not None:
                laws.append(e.law)
                nodes += e.law.args.values()
            elif e.value is not None:
                nodes.append(e.value)
    used = {name for sort, name, _ in expr.references(nodes) if sort == "noise"}
    laws += [n.law for n in model.noises.values() if n.name in used and n.law is not None]
    return sum(loadings(law).shape[1] if law.name == "MvNormal" else int(np.prod(law.shape, dtype=int)) for law in laws)
