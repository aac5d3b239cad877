"""Expressions as sums of functions of separate components of discrete states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmlang.model import expr
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.chains import ChainForm
from ssmlang.model.dependence import Dependence
from ssmlang.model.expr import Node

_PART = "part"


@dataclass(frozen=True)
class Additive:
    """A value as constant + sum of coefficient * part, each entry of each part a function of one component.

    `numbers`: the constant, then the coefficients of each part; none of them reads a state. Parts are side by side,
    flat: entry j of them belongs to `component[j]` (-1: to none, for it reads nothing).
    """

    parts: tuple[Node, ...]
    component: np.ndarray
    numbers: list[Node]
    places: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Of each coefficient: its entry of the value, and of the parts"""

    @classmethod
    def of(cls, value: Node, form: ChainForm) -> Additive | None:
        """The parts of a value; None where it is no such sum."""
        dependence = Dependence("state", list(form.first))
        owner: dict[int, np.ndarray | None] = {}
        for node in expr.walk([value]):
            owner[id(node)] = _components(dependence(node), form)
        parts: list[Node] = []
        stand_ins: dict[int, Node] = {}

        def leaf(node: Node) -> Node | None:
            return stand_ins.get(id(node))

        for node in _outermost(value, owner):
            stand_ins[id(node)] = expr.ref(_PART, f"{len(parts)}", 0, node.shape, node.axes)
            parts.append(node)
        found = Interpreter(lambda sort, *_: sort in (_PART, "state"))(expr.transform(value, leaf))
        if not isinstance(found, Affine) or any(sort != _PART for sort, *_ in found.terms):
            return None
        starts = np.cumsum([0, *(p.size for p in parts)])
        places, numbers = [], [found.constant]
        for (_, name, _lag), matrix in found.terms.items():
            places.append((np.asarray(matrix.rows), starts[int(name)] + np.asarray(matrix.cols)))
            numbers.append(matrix.values)
        owners = [o if (o := owner[id(p)]) is not None else np.zeros(0, int) for p in parts]
        component = np.concatenate(owners) if owners else np.zeros(0, int)
        return cls(tuple(parts), component, numbers, tuple(places))


def _components(reads: np.ndarray, form: ChainForm) -> np.ndarray | None:
    """The component that each entry reads; None where some entry reads several."""
    out = []
    for each in reads.reshape(-1):
        own = {int(form.component_of[form.first[name] + i]) for name, i, _ in each}
        if len(own) > 1:
            return None
        out.append(own.pop() if own else -1)
    return np.array(out, int)


def _outermost(value: Node, owner: dict[int, np.ndarray | None]) -> list[Node]:
    """The largest nodes that read states, each entry of one component, in no order."""
    found: dict[int, Node] = {}
    pending, seen = [value], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        own = owner[id(node)]
        if own is not None and (own >= 0).any():
            found[id(node)] = node
        elif own is None:
            pending.extend(node.args)
    return list(found.values())
