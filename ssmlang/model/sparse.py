"""Sparse matrices of expressions: coefficients, with what is zero by structure left out.

A panel of a thousand series has a thousand coefficients here, not a million.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.support import nonzero

MAX_ENTRIES = expr.MAX_ELEMENTS
_MOVES = ("broadcast", "reshape", "transpose")


def flat(node: Node) -> Node:
    return expr.reshape(node, (node.size,))


def positions(node: Node) -> np.ndarray:
    """C-order positions of the entries, in the node's shape."""
    return np.arange(node.size).reshape(node.shape)


def gather(node: Node, at: np.ndarray) -> Node:
    """Entries of `node` at C-order positions, as a vector."""
    while node.op in _MOVES:
        at = numeric.evaluate(node.op, node.attrs, [positions(node.args[0])]).reshape(-1)[at]
        node = node.args[0]
    if node.is_const:
        return expr.const(node.value.reshape(-1)[at])  # type: ignore[union-attr]
    if node.op == "stack" and node.args[0].size == 1 and len(at) == 1:
        return gather(node.args[int(at[0])], np.zeros(1, int))
    if node.size == 1:
        return expr.broadcast(expr.reshape(node, (1,)), (len(at),))
    return expr.index(flat(node), [expr.const(at)])


@dataclass(frozen=True)
class Sparse:
    """A matrix of `shape` with `values[i]` at (rows[i], cols[i]), in C order and each place once, zero elsewhere."""

    shape: tuple[int, int]
    rows: np.ndarray
    cols: np.ndarray
    values: Node

    @property
    def nnz(self) -> int:
        return len(self.rows)

    @property
    def nonzero(self) -> np.ndarray:
        """Boolean pattern of the whole matrix."""
        mask = np.zeros(self.shape, bool)
        mask[self.rows, self.cols] = True
        return mask

    @property
    def varying(self) -> bool:
        """Whether a value can differ from row to row."""
        return expr.varies([self.values])

    @property
    def dense(self) -> Node:
        """The matrix as one expression."""
        places = np.full(self.shape, self.nnz)
        places[self.rows, self.cols] = np.arange(self.nnz)
        return expr.index(expr.concat([self.values, expr.zeros((1,))]), [expr.const(places)])

    def map(self, change: Callable[[Node], Node]) -> Sparse:
        """The same places with changed values; what became zero is dropped."""
        return build(self.shape, self.rows, self.cols, change(self.values))

    def scale_rows(self, factors: Node) -> Sparse:
        """diag(factors) @ self, for a vector of factors (or one number)."""
        return self.map(lambda v: expr.mul(gather(factors, self.rows if factors.size > 1 else 0 * self.rows), v))

    def take_rows(self, source: np.ndarray) -> Sparse:
        """Row i of the result is row source[i]; -1 gives an empty row."""
        start = np.searchsorted(self.rows, np.arange(self.shape[0] + 1))
        counts = np.where(source >= 0, (start[1:] - start[:-1])[source], 0)
        rows, entries = _ranges(start[source], counts)
        values = gather(self.values, entries)
        return Sparse((len(source), self.shape[1]), rows, self.cols[entries], values)

    def place(self, rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]) -> Sparse:
        """Entry (i, j) moved to (rows[i], cols[j]) of a matrix of `shape`; entries that meet are added."""
        return build(shape, rows[self.rows], cols[self.cols], self.values)

    def keep(self, wanted: np.ndarray) -> Sparse:
        """Only the entries (a boolean for each) that are wanted."""
        at = np.flatnonzero(wanted)
        if len(at) == self.nnz:
            return self
        return Sparse(self.shape, self.rows[at], self.cols[at], gather(self.values, at))


def _ranges(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each i, starts[i], starts[i]+1, ... (counts[i] of them): the i's and the numbers, one after another."""
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return which, np.asarray(starts)[which] + within


def empty(shape: tuple[int, int]) -> Sparse:
    none = np.zeros(0, int)
    return Sparse(shape, none, none, expr.zeros((0,)))


def identity(n: int) -> Sparse:
    return Sparse((n, n), np.arange(n), np.arange(n), expr.const(np.ones(n)))


def diagonal(values: Node) -> Sparse:
    """diag(values) of a vector."""
    return build((values.size,) * 2, np.arange(values.size), np.arange(values.size), values)


def from_matrix(node: Node) -> Sparse:
    """A matrix expression, without its structural zeros."""
    rows, cols = np.nonzero(nonzero(node))
    return Sparse(node.shape, rows, cols, gather(node, rows * node.shape[1] + cols))  # type: ignore[arg-type]


def build(shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, values: Node) -> Sparse:
    """From entries in any order; those at the same place are added, zeros by structure dropped."""
    wanted = np.flatnonzero(nonzero(values))
    if len(wanted) < len(rows):
        rows, cols, values = rows[wanted], cols[wanted], gather(values, wanted)
    if not len(rows):
        return empty(shape)
    keys = rows.astype(np.int64) * shape[1] + cols
    if (keys[1:] > keys[:-1]).all():
        return Sparse(shape, rows, cols, values)
    order = np.argsort(keys, kind="stable")
    places, counts = np.unique(keys, return_counts=True)
    out_rows, out_cols = np.divmod(places, shape[1])
    if len(places) == len(keys):
        return Sparse(shape, out_rows, out_cols, gather(values, order))
    most = int(counts.max())
    if len(places) * most > MAX_ENTRIES:
        raise ExprError(f"a linear map of {len(keys):,} terms is larger than the {MAX_ENTRIES:,} allowed")
    which, terms = _ranges(np.cumsum(counts) - counts, counts)
    table = np.full((len(places), most), len(keys))
    table[which, terms - (np.cumsum(counts) - counts)[which]] = order[terms]
    padded = expr.concat([values, expr.zeros((1,))])
    total = Sparse(shape, out_rows, out_cols, expr.reduce("sum", expr.index(padded, [expr.const(table)]), 1))
    return total.keep(nonzero(total.values))


def add(parts: Sequence[Sparse]) -> Sparse:
    """The sum of matrices of one shape."""
    parts = [p for p in parts if p.nnz] or list(parts[:1])
    first = parts[0]
    if len(parts) == 1:
        return first
    if all(np.array_equal(p.rows, first.rows) and np.array_equal(p.cols, first.cols) for p in parts):
        total = first.values
        for p in parts[1:]:
            total = expr.add(total, p.values)
        return replace(first, values=total).map(lambda v: v)
    rows, cols = (np.concatenate([getattr(p, name) for p in parts]) for name in ("rows", "cols"))
    return build(first.shape, rows, cols, expr.concat([p.values for p in parts]))


def product(a: Sparse, b: Sparse) -> Sparse:
    """a @ b."""
    shape = (a.shape[0], b.shape[1])
    if not a.nnz or not b.nnz:
        return empty(shape)
    start = np.searchsorted(b.rows, np.arange(b.shape[0] + 1))
    counts = (start[1:] - start[:-1])[a.cols]
    if counts.sum() > MAX_ENTRIES:
        raise ExprError(f"a product of {counts.sum():,} terms is larger than the {MAX_ENTRIES:,} allowed")
    left, right = _ranges(start[a.cols], counts)
    values = expr.mul(gather(a.values, left), gather(b.values, right))
    return build(shape, a.rows[left], b.cols[right], values)


def stack_rows(parts: Sequence[Sparse], columns: int) -> Sparse:
    """Matrices of the same number of columns, one below another."""
    height = np.cumsum([0, *(p.shape[0] for p in parts)])
    filled = [(p, h) for p, h in zip(parts, height) if p.nnz]
    shape = (int(height[-1]), columns)
    if not filled:
        return empty(shape)
    rows = np.concatenate([p.rows + h for p, h in filled])
    cols = np.concatenate([p.cols for p, _ in filled])
    return Sparse(shape, rows, cols, expr.concat([p.values for p, _ in filled]))
