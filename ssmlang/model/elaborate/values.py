"""Values under elaboration: a node whose leading dimensions run over the loops it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.expr import Axis, ExprError, Node


class NeedsUnroll(Exception):
    """The value of a loop index is needed as a number: its loop has to be written out."""

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable


@dataclass(frozen=True)
class Val:
    """`node` has one leading dimension for each loop of `batch` (outermost first), then the value's own."""

    node: Node
    batch: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape[len(self.batch) :]

    @property
    def axes(self) -> tuple[Axis | None, ...]:
        return self.node.axes[len(self.batch) :]

    @property
    def ndim(self) -> int:
        return self.node.ndim - len(self.batch)

    @property
    def domain(self) -> Axis | None:
        return self.node.domain

    def at(self, span: Span) -> Val:
        return Val(self.node.at(span), self.batch)


def union(values: Sequence[Val], order: Sequence[str]) -> tuple[str, ...]:
    """The loops that any of the values depends on, in nesting order."""
    used = {b for v in values for b in v.batch}
    return tuple(v for v in order if v in used)


def spread(value: Val, batch: Sequence[str], ndim: int | None = None) -> Node:
    """The node of `value` with a dimension (of size 1 where it does not depend on it) for every loop of `batch`, and
    its own dimensions padded in front to `ndim`."""
    node, own = value.node, value.shape
    sizes = dict(zip(value.batch, node.shape))
    axes = dict(zip(value.batch, node.axes))
    pad = 0 if ndim is None else max(ndim - len(own), 0)
    shape = (*(sizes.get(b, 1) for b in batch), *(1,) * pad, *own)
    return expr.reshape(node, shape, (*(axes.get(b) for b in batch), *(None,) * pad, *value.axes))


def elementwise(op: str, values: Sequence[Val], order: Sequence[str], span: Span) -> Val:
    """An operation that broadcasts, on values that may depend on different loops."""
    if len(values) == 1:
        return Val(expr.unary(op, values[0].node, span), values[0].batch)
    batch, ndim = union(values, order), max(v.ndim for v in values)
    nodes = [spread(v, batch, ndim) for v in values]
    result = (
        expr.where(nodes[0], nodes[1], nodes[2], span) if op == "where" else expr.binary(op, nodes[0], nodes[1], span)
    )
    return Val(result, batch)


def matmul(a: Val, b: Val, order: Sequence[str], span: Span) -> Val:
    """`a @ b`; a vector on the left is a row, on the right a column."""
    if not a.batch and not b.batch:
        return Val(expr.matmul(a.node, b.node, span))
    if a.ndim == 0 or b.ndim == 0 or a.ndim > 2 or b.ndim > 2:
        raise ExprError("`@` needs vectors or matrices")
    batch = union((a, b), order)
    left, right = spread(a, batch), spread(b, batch)
    if a.ndim == 1:
        left = expr.reshape(left, (*left.shape[:-1], 1, left.shape[-1]), (*left.axes[:-1], None, left.axes[-1]))
    if b.ndim == 1:
        right = expr.reshape(right, (*right.shape, 1), (*right.axes, None))
    product = expr.matmul(left, right, span)
    keep = [
        d
        for d in range(product.ndim)
        if d < len(batch) or not ((a.ndim == 1 and d == product.ndim - 2) or (b.ndim == 1 and d == product.ndim - 1))
    ]
    shape, axes = tuple(product.shape[d] for d in keep), tuple(product.axes[d] for d in keep)
    return Val(expr.reshape(product, shape, axes), batch)


def close_loop(value: Val, variable: str, size: int, axis: Axis | None) -> Val:
    """`[value for variable in ...]`: the innermost loop becomes the first dimension of the value."""
    if variable in value.batch:
        assert value.batch[-1] == variable
        at = len(value.batch) - 1
        node = value.node
        if node.shape[at] != size:
            node = expr.broadcast(node, (*node.shape[:at], size, *node.shape[at + 1 :]))
        axes = (*node.axes[:at], axis, *node.axes[at + 1 :])
        return Val(node.with_axes(axes), value.batch[:-1])
    node, at = value.node, len(value.batch)
    shape = (*node.shape[:at], 1, *node.shape[at:])
    node = expr.reshape(node, shape, (*node.axes[:at], None, *node.axes[at:]))
    node = expr.broadcast(node, (*shape[:at], size, *shape[at + 1 :]))
    return Val(node.with_axes((*node.axes[:at], axis, *node.axes[at + 1 :])), value.batch)


def stack(values: Sequence[Val], axis: Axis | None, order: Sequence[str], span: Span) -> Val:
    """`[a, b, ...]`, along a new first dimension."""
    batch, ndim = union(values, order), max(v.ndim for v in values)
    nodes = [spread(v, batch, ndim) for v in values]
    if not batch:
        return Val(expr.stack(nodes, axis, span))
    shape, axes = expr.broadcast_shapes(nodes)
    at = len(batch)
    nodes = [expr.broadcast(n, shape).with_axes(axes) for n in nodes]
    nodes = [expr.reshape(n, (*shape[:at], 1, *shape[at:]), (*axes[:at], None, *axes[at:])) for n in nodes]
    joined = expr.concat(nodes, at, span)
    return Val(joined.with_axes((*axes[:at], axis, *axes[at:])), batch)


def reduce(op: str, value: Val, variable_axis: int, span: Span) -> Val:
    return Val(expr.reduce(op, value.node, len(value.batch) + variable_axis, span), value.batch)


def total(op: str, value: Val, span: Span) -> Val:
    """sum, prod, max or min over all dimensions of the value."""
    for _ in range(value.ndim):
        value = reduce(op, value, 0, span)
    return value


def take(value: Val, positions: Sequence[Val], order: Sequence[str], span: Span) -> Val:
    """`value[i, j]`, positions counted from 0; indices and value may depend on loops."""
    batch = union((value, *positions), order)
    ndim = max((p.ndim for p in positions), default=0)
    own = [b for b in batch if b in value.batch]
    lead: list[Node] = []
    for b in own:
        size = value.node.shape[value.batch.index(b)]
        shape = tuple(size if c == b else 1 for c in batch) + (1,) * ndim
        lead.append(expr.const(np.arange(size).reshape(shape)))
    rest = [spread(p, batch, ndim) for p in positions]
    result = expr.index(value.node, [*lead, *rest], span)
    at = len(batch)
    axes = (*result.axes[:at], *result.axes[at:])
    if result.shape[:at] != tuple(_size(b, (value, *positions)) for b in batch):
        result = expr.broadcast(result, (*(_size(b, (value, *positions)) for b in batch), *result.shape[at:]))
    return Val(result.with_axes(axes) if len(axes) == result.ndim else result, batch)


def _size(variable: str, values: Sequence[Val]) -> int:
    return max(v.node.shape[v.batch.index(variable)] for v in values if variable in v.batch)
