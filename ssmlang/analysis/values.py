"""The Model's expressions in NumPy, at known parameters and, where they read a row, at that row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node

Read = Callable[[str, str, int], np.ndarray]
"""(sort, name, lag) of a series -> its value that many rows back, in the variable's shape."""


class Unreadable(Exception):
    """An expression reads what is not given: a series, the row number, the whole past."""


def evaluate(
    node: Node, params: Mapping[str, np.ndarray], row: int | None = None, read: Read | None = None
) -> np.ndarray:
    """The value of an expression. `params` by name, in the parameters' shapes. Raises Unreadable."""
    return evaluate_all([node], params, row, read)[0]


def evaluate_all(
    nodes: list[Node], params: Mapping[str, np.ndarray], row: int | None = None, read: Read | None = None
) -> list[np.ndarray]:
    """The values of expressions that share their parts."""
    done: dict[int, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for n in expr.walk(nodes):
            done[id(n)] = one(n, [done[id(a)] for a in n.args], params, row, read)
    return [np.broadcast_to(done[id(n)], n.shape) for n in nodes]


def one(
    n: Node, args: list[np.ndarray], params: Mapping[str, np.ndarray], row: int | None, read: Read | None
) -> np.ndarray:
    """The value of one node from those of its arguments. Raises Unreadable."""
    if n.value is not None:
        return np.asarray(n.value)
    if n.op == "param" or (n.op == "augment" and n.attrs[0] in params):
        return np.asarray(params[n.attrs[0]], float)
    if n.op == "time" and row is not None:
        return np.asarray(row)
    if n.op == "ref" and read is not None:
        return np.asarray(read(*n.attrs))
    if not n.args or n.op == "past_sum":
        raise Unreadable(n.op)
    return np.asarray(numeric.evaluate(n.op, n.attrs, args))
