"""Single entries of array expressions, as expressions of numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model import expr
from ssmlang.model.expr import Node

MAX_TERMS = 64
"""Longer sums and products are left as they are written."""
_MOVES = ("broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "block_diag")
_ELEMENTWISE = frozenset([*numeric.UNARY, *numeric.BINARY, "where"])


def entry(node: Node, position: int) -> Node:
    """The entry at a C-order position, looking into what the array is put together from; zeros and ones drop out."""
    at = tuple(int(i) for i in np.unravel_index(position, node.shape)) if node.shape else ()
    if node.value is not None:
        return expr.const(node.value[at], domain=node.domain)
    op, args = node.op, node.args
    if op in _ELEMENTWISE:
        return expr.rebuild(replace(node, shape=(), axes=()), [entry(a, _aligned(a, at)) for a in args])
    if op in _MOVES:
        sizes = np.cumsum([0, *(a.size for a in args)])
        numbered = [np.arange(a.size).reshape(a.shape) + first + 1 for a, first in zip(args, sizes)]
        source = int(numeric.evaluate(op, node.attrs, numbered).reshape(-1)[position]) - 1
        if source < 0:
            return expr.const(0.0)
        which = int(np.searchsorted(sizes, source, side="right")) - 1
        return entry(args[which], source - int(sizes[which]))
    if op == "index" and all(a.is_const for a in args[1:]):
        inner = np.arange(args[0].size).reshape(args[0].shape)
        picked = np.asarray(inner[tuple(a.value for a in args[1:])])  # type: ignore[misc]
        return entry(args[0], int(picked.reshape(-1)[position]))
    if op == "sum" and args[0].shape[node.attrs[0]] <= MAX_TERMS:
        axis, inner = node.attrs[0], np.arange(args[0].size).reshape(args[0].shape)
        cells = np.moveaxis(inner, axis, -1)[at]
        return _total([entry(args[0], int(p)) for p in cells])
    if op == "matmul" and args[0].ndim <= 2 and args[1].ndim <= 2 and args[0].shape[-1] <= MAX_TERMS:
        left, right = (np.arange(a.size).reshape(a.shape) for a in args)
        row = left[at[0]] if args[0].ndim == 2 else left
        column = right[:, at[-1]] if args[1].ndim == 2 else right
        return _total([expr.mul(entry(args[0], int(i)), entry(args[1], int(j))) for i, j in zip(row, column)])
    return expr.index(node, [expr.const(i) for i in at]) if at else node


def _aligned(a: Node, at: tuple[int, ...]) -> int:
    """The place in an argument that broadcasting pairs with `at`."""
    if not a.ndim:
        return 0
    own = [i if n > 1 else 0 for i, n in zip(at[len(at) - a.ndim :], a.shape)]
    return int(np.ravel_multi_index(own, a.shape))


def _total(terms: list[Node]) -> Node:
    total = terms[0]
    for term in terms[1:]:
        total = expr.add(total, term)
    return total
