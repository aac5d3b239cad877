"""Parts of an array that are written alike: one expression over all of them, in place of one for each.

A law for each of a thousand series, `x[t, i] ~ MvNormal(F[i] @ x[t-1, i], Q[i])`, has a thousand Cholesky factors side
by side, which differ in a position alone. Computed one by one they are a program of thousands of operations, which
takes minutes to compile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssmlang.model import expr
from ssmlang.model.expr import Node

FEWEST = 8
"""Parts from which on they are computed together."""

_OF_THEIR_OWN = frozenset({"past_sum", "flow", "flow_law", "bound", "matrix_power"})
"""Operations with names or lengths of their own inside."""

@dataclass(frozen=True)
class Alike:
    """Arguments of a `concat` or `stack` that differ in constants alone."""

    one: Node
    """an argument, with the constants that differ as bound names"""
    values: dict[str, np.ndarray]
    """by name: the constants of all arguments, one behind the other"""
    common: tuple[Node, ...]
    """what all arguments read, the very same expressions"""


def alike(node: Node) -> Alike | None:
    """What the arguments of `node` have in common; None where they are few or not alike."""
    if node.op not in ("concat", "stack") or len(node.args) < FEWEST or node.args[0].op == "const":
        return None
    common: dict[int, Node] = {}
    differing: dict[int, tuple[str, np.ndarray]] = {}
    seen: dict[int, tuple[int, ...]] = {}
    pending = [node.args]
    while pending:
        parts = pending.pop()
        a, ids = parts[0], tuple(map(id, parts))
        if seen.setdefault(id(a), ids) != ids:
            return None  # what the first argument reads twice is two things in another
        if len(set(ids)) == 1:
            common[id(a)] = a
        elif a.op in _OF_THEIR_OWN or any(_written(b) != _written(a) for b in parts):
            return None
        elif a.value is None:
            pending += [tuple(b.args[k] for b in parts) for k in range(len(a.args))]
        elif any(not np.array_equal(b.value, a.value) for b in parts):  # type: ignore[arg-type]
            differing[id(a)] = (f"alike {len(differing)}", np.stack([np.asarray(b.value) for b in parts]))
    if any(n.op == "pow" and id(n.args[1]) in differing for n in expr.walk([node.args[0]])):
        return None  # a power is computed in another way where the exponent is known
    one = expr.transform(node.args[0], _named(differing))
    return Alike(one, dict(differing.values()), tuple(common.values()))


def _written(node: Node) -> tuple[object, ...]:
    return node.op, node.attrs, node.shape, node.kind, len(node.args)


def _named(differing: dict[int, tuple[str, np.ndarray]]) -> Callable[[Node], Node | None]:
    def leaf(node: Node) -> Node | None:
        found = differing.get(id(node))
        return None if found is None else Node("bound", (), (found[0],), node.shape, node.axes, node.kind, node.domain)

    return leaf
