"""Which entries of expressions are surely the same number: value numbering, entry by entry.

Two entries with the same number have the same value whatever parameters and data are; the converse need not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node

_MOVES = ("broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "block_diag")
_ELEMENTWISE = frozenset([*numeric.UNARY, *numeric.BINARY, "where"])
_REMEMBERED = 1_000
"""Results of an operation up to this many are known again in another expression; of more, in the same one alone."""
_WIDEST = 4_000_000
"""Sums and products over an axis of more numbers than this are not looked into."""


class Numbered(NamedTuple):
    """For each entry of an expression its number, and whether it can differ from row to row."""

    ids: np.ndarray
    varies: np.ndarray


class Numbering:
    """Numbers entries; the same object must number all expressions that are to be compared."""

    def __init__(self) -> None:
        self._next = 1
        self._known: dict[tuple, int] = {("const", 0.0): 0}
        self._memo: dict[int, tuple[Node, Numbered]] = {}

    def __call__(self, node: Node) -> Numbered:
        for n in expr.walk([node]):
            if id(n) not in self._memo:
                found = self._one(n, [self._memo[id(a)][1] for a in n.args])
                # The node is kept beside its numbers: a memo by `id` is sound only while the node lives.
                self._memo[id(n)] = (n, found)
        return self._memo[id(node)][1]

    def _one(self, node: Node, args: Sequence[Numbered]) -> Numbered:
        op = node.op
        if node.value is not None:
            return Numbered(self._constants(node.value), np.zeros(node.shape, bool))
        if op in ("param", "ref", "augment", "time", "bound"):
            reads = op in ("time", "bound") or (op == "ref" and node.attrs[0] in ("input", "obs"))
            return Numbered(self._leaf(node), np.full(node.shape, reads))
        if op in _MOVES:
            moved = (numeric.evaluate(op, node.attrs, [part[i] for part in args]) for i in (0, 1))
            ids, varies = moved
            return Numbered(ids.astype(np.int64), varies.astype(bool))
        if op in _ELEMENTWISE:
            varies = np.zeros(node.shape, bool)
            for a in args:
                varies = varies | a.varies
            return Numbered(self._combined(op, [np.broadcast_to(a.ids, node.shape) for a in args]), varies)
        if op == "index" and all(a.is_const for a in node.args[1:]):
            at = tuple(a.value for a in node.args[1:])
            return Numbered(args[0].ids[at], args[0].varies[at])  # type: ignore[index]
        if op in numeric.REDUCTIONS and args[0].ids.size <= _WIDEST:
            terms = np.moveaxis(args[0].ids, node.attrs[0], 0)
            return Numbered(self._combined(op, list(terms)), args[0].varies.any(axis=node.attrs[0]))
        return Numbered(self._fresh(node.size).reshape(node.shape), np.full(node.shape, expr.varies([node])))

    def _fresh(self, count: int) -> np.ndarray:
        first = self._next
        self._next += count
        return np.arange(first, first + count)

    def _leaf(self, node: Node) -> np.ndarray:
        key = (node.op, *node.attrs)
        if key not in self._known:
            self._known[key] = self._next
            self._next += node.size
        return self._known[key] + np.arange(node.size).reshape(node.shape)

    def _constants(self, value: np.ndarray) -> np.ndarray:
        distinct, inverse = np.unique(value.astype(float), return_inverse=True)
        return self._named(("const",), distinct[:, None])[inverse].reshape(value.shape)

    def _combined(self, op: str, ids: Sequence[np.ndarray]) -> np.ndarray:
        """Numbers of op(ids[0], ids[1], ...), element by element."""
        if not ids:
            return np.full((), self._named((op,), np.zeros((1, 0)))[0])
        shape = ids[0].shape
        columns = [np.ascontiguousarray(a).reshape(-1) for a in ids]
        keys = columns[0]
        for column in columns[1:]:
            # One integer for each pair met, so that any number of arguments stays within 64 bits.
            left, right = (np.unique(c, return_inverse=True)[1].reshape(-1) for c in (keys, column))
            keys = left * (int(right.max(initial=0)) + 1) + right
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        distinct = np.stack([c[first] for c in columns], axis=1)
        return self._named((op,), distinct)[inverse].reshape(shape)

    def _named(self, key: tuple, rows: np.ndarray) -> np.ndarray:
        """A number for each row; the same number where key and row were met before."""
        if len(rows) > _REMEMBERED:
            return self._fresh(len(rows))
        found = []
        for row in rows.tolist():
            name = (*key, *row)
            if name not in self._known:
                self._known[name] = self._next
                self._next += 1
            found.append(self._known[name])
        return np.array(found, np.int64)
