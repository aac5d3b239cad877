"""Systems of linear equations for the entries of one row: a constant and a coefficient matrix for each thing read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.expr import Node
from ssmlang.model.sparse import Sparse

Slot = tuple[str, int]
"""What is read, and how many rows back: ("x", 1) are all states one row back, ("y", k) all observations, ("e", j) all
standard-normal noises; ("past", 0) are all states of rows t - 1, ..., 0, ("ypast", 0) the observations there, their
coefficients in terms of the bound index `affine.PAST`; initial laws have slots of their own."""


@dataclass(frozen=True)
class Rows:
    """value = constant + sum of terms[slot] @ (the vector of that slot)."""

    constant: Node
    terms: Mapping[Slot, Sparse] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.constant.size

    @cached_property
    def reads_time(self) -> bool:
        return any(n.op == "time" for n in expr.walk([self.constant, *(v.values for v in self.terms.values())]))

    def lags(self, kind: str) -> list[int]:
        return sorted(lag for k, lag in self.terms if k == kind)

    def depth(self, kind: str) -> int:
        """The deepest lag at which this kind is read; -1 if it is not."""
        return max(self.lags(kind), default=-1)

    def without(self, *slots: Slot) -> Rows:
        return replace(self, terms={k: v for k, v in self.terms.items() if k not in slots})

    def map(self, change: Callable[[Node], Node]) -> Rows:
        """Every expression changed, what became zero dropped."""
        terms = {k: v.map(change) for k, v in self.terms.items()}
        return Rows(change(self.constant), {k: v for k, v in terms.items() if v.nnz})

    def take(self, at: np.ndarray) -> Rows:
        """Some of the rows, in this order."""
        terms = {k: v.take_rows(at) for k, v in self.terms.items()}
        return Rows(sparse.gather(self.constant, at), {k: v for k, v in terms.items() if v.nnz})


def none(size: int) -> Rows:
    return Rows(expr.zeros((size,)))


def total(parts: Sequence[Rows]) -> Rows:
    constant = parts[0].constant
    for p in parts[1:]:
        constant = expr.add(constant, p.constant)
    slots = dict.fromkeys(s for p in parts for s in p.terms)
    terms = {s: sparse.add([p.terms[s] for p in parts if s in p.terms]) for s in slots}
    return Rows(constant, {k: v for k, v in terms.items() if v.nnz})


def matvec(a: Sparse, v: Node) -> Node:
    """a @ v for a vector expression."""
    if v.is_zero or not a.nnz:
        return expr.zeros((a.shape[0],))
    products = expr.mul(a.values, sparse.gather(v, a.cols))
    column = sparse.build((a.shape[0], 1), a.rows, np.zeros(a.nnz, int), products)
    return expr.reshape(column.dense, (a.shape[0],))


def apply(a: Sparse, rows: Rows) -> Rows:
    """a @ rows."""
    terms = {k: sparse.product(a, v) for k, v in rows.terms.items()}
    return Rows(matvec(a, rows.constant), {k: v for k, v in terms.items() if v.nnz})


def scatter(parts: Sequence[tuple[np.ndarray, Rows]], size: int, widths: Mapping[str, int]) -> Rows:
    """One system from parts with the places of their rows; places that nothing gives stay zero."""
    if not parts:
        return none(size)
    at = np.concatenate([p for p, _ in parts])
    places = np.full(size, len(at))
    places[at] = np.arange(len(at))
    constant = sparse.gather(expr.concat([*(r.constant for _, r in parts), expr.zeros((1,))]), places)
    terms = {}
    for slot in dict.fromkeys(s for _, r in parts for s in r.terms):
        width = widths[slot[0]]
        given = [(p, r.terms[slot]) for p, r in parts if slot in r.terms]
        placed = [m.place(p, np.arange(width), (size, width)) for p, m in given]
        terms[slot] = sparse.add(placed)
    return Rows(constant, terms)


def substituted(rows: Rows, slot: Slot, read: Rows) -> Rows:
    """`rows` with what they read in `slot` replaced by the expressions `read`."""
    if slot not in rows.terms:
        return rows
    return total([rows.without(slot), apply(rows.terms[slot], read)])


def solved(rows: Rows, slot: Slot, read: Rows | None = None) -> Rows | None:
    """`rows` (a value for each entry of `slot`) with reads of `slot` itself eliminated; None where they are circular.

    `read`: what an entry is to those that read it, where that differs from `rows`.
    """
    if slot not in rows.terms:
        return rows
    own = rows.terms[slot]
    base = rows.without(slot)
    source = base if read is None else read.without(slot)
    within = own if read is None else read.terms.get(slot, sparse.empty(own.shape))
    found, step = [base], apply(own, source)
    for _ in range(rows.size + 1):
        found.append(step)
        if not within.nnz or not own.nnz:
            return total(found)
        own = sparse.product(own, within)
        step = apply(own, source)
    return None


def selected(early: np.ndarray, test: Callable[[np.ndarray], Node], first: Rows, later: Rows) -> Rows:
    """Rows `first` where `test` holds and `later` elsewhere, for the entries marked in `early`; the others are
    `later`. `test(entries)` gives a truth value for each of those entries."""
    at = np.flatnonzero(early)
    if not len(at):
        return later
    size = later.size

    def choose(a: Node, b: Node, rows: np.ndarray) -> Node:
        mark = np.isin(rows, at)
        if not mark.any():
            return b
        where = np.full(size, 0)
        where[at] = np.arange(len(at))
        holds = sparse.gather(expr.concat([test(at), expr.const(np.zeros(1, bool))]),
                              np.where(mark, where[rows], len(at)))  # fmt: skip
        return expr.where(holds, a, b)

    everything = np.arange(size)
    terms: dict[Slot, Sparse] = {}
    for slot in dict.fromkeys([*first.terms, *later.terms]):
        parts = []
        for rows_, is_first in ((first, True), (later, False)):
            m = rows_.terms.get(slot)
            if m is None:
                continue
            zero = expr.zeros((m.nnz,))
            values = choose(m.values, zero, m.rows) if is_first else choose(zero, m.values, m.rows)
            if is_first:
                values = expr.mul(values, expr.const(np.isin(m.rows, at).astype(float)))
            parts.append(sparse.build(m.shape, m.rows, m.cols, values))
        terms[slot] = sparse.add(parts)
    return Rows(choose(first.constant, later.constant, everything), {k: v for k, v in terms.items() if v.nnz})


def at_row(rows: Rows, row: int) -> Rows:
    """The system as it stands at one row: `t` is that number, and what vanishes there is gone."""
    if row <= 0:
        rows = rows.without(("past", 0), ("ypast", 0))
    if not reads_time(rows):
        return rows
    return rows.map(lambda node: expr.transform(node, lambda n: expr.const(row) if n.op == "time" else None))


def reads_time(rows: Rows) -> bool:
    """Whether any expression reads the row number."""
    return rows.reads_time
