"""Which entries of series each entry of an expression reads, from its structure alone.

What is found may be more than what is read, never less: an entry picked by a number that is not known counts as any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from ssmlang.model import expr
from ssmlang.model.expr import Node

Read = tuple[str, int, int]
"""(name, entry, lag)"""
_NOTHING: frozenset[Read] = frozenset()
_ELEMENTWISE = frozenset({"where"}) | frozenset(expr.numeric.UNARY) | frozenset(expr.numeric.BINARY)
_MOVED = frozenset({"broadcast", "reshape", "transpose"})


class Dependence:
    """Reads of one sort of series ("state"), entry by entry; what several expressions share is found once."""

    def __init__(self, sort: str, names: Sequence[str]) -> None:
        self._sort, self._names = sort, frozenset(names)
        self._known: dict[int, np.ndarray | None] = {}
        self._kept: list[Node] = []

    def __call__(self, node: Node) -> np.ndarray:
        """An array of the node's shape of frozensets of `Read`."""
        for each in expr.walk([node]):
            if id(each) not in self._known:
                self._known[id(each)] = self._one(each)
                self._kept.append(each)  # so that no other node gets its id
        found = self._known[id(node)]
        return _filled(node.shape) if found is None else found

    def _one(self, node: Node) -> np.ndarray | None:
        """None where nothing is read."""
        if node.op == "ref":
            sort, name, lag = node.attrs
            if sort != self._sort or name not in self._names:
                return None
            if not isinstance(lag, int):
                raise ValueError("a sum over the whole past reads no finite number of entries")
            return _array([frozenset({(name, i, lag)}) for i in range(node.size)], node.shape)
        parts = [self._known[id(a)] for a in node.args]
        if all(p is None for p in parts):
            return None
        op = node.op
        if op in _ELEMENTWISE:
            return _union([np.broadcast_to(p, node.shape) for p in parts if p is not None], node.shape)
        if op in _MOVED:
            (part,) = parts
            assert part is not None
            if op == "broadcast":
                return np.broadcast_to(part, node.shape)
            return part.reshape(node.shape) if op == "reshape" else np.swapaxes(part, -1, -2)
        if op in ("sum", "prod", "max", "min"):
            (part,) = parts
            assert part is not None
            along = np.moveaxis(part, node.attrs[0], 0)
            return _union(list(along), node.shape)
        whole = [p if p is not None else _filled(a.shape) for p, a in zip(parts, node.args)]
        if op == "stack":
            return np.stack(whole).reshape(node.shape)
        if op == "concat":
            return np.concatenate(whole, axis=node.attrs[0])
        if op == "index":
            return self._indexed(node, parts, whole)
        if op == "diagonal":
            return np.asarray(np.diagonal(whole[0], axis1=-2, axis2=-1))
        if op == "softmax":
            one = _union(list(np.moveaxis(whole[0], -1, 0)), node.shape[:-1])
            return np.broadcast_to(one[..., None], node.shape)
        if op == "matmul":
            return _product(node, parts, whole)
        return _filled(node.shape, frozenset(chain.from_iterable(v for p in whole for v in p.reshape(-1))))

    def _indexed(self, node: Node, parts: list[np.ndarray | None], whole: list[np.ndarray]) -> np.ndarray:
        lead = node.shape[: node.ndim - (node.args[0].ndim - len(node.args) + 1)]
        picked = [p for p in parts[1:] if p is not None]
        by_index = _union([np.broadcast_to(p, lead) for p in picked], lead) if picked else _filled(lead)
        by_index = np.broadcast_to(by_index.reshape((*lead, *(1,) * (node.ndim - len(lead)))), node.shape)
        if parts[0] is None:
            return by_index
        known = [a.value for a in node.args[1:]]
        # Dimensions picked by a number that is not known: any entry along them.
        source, at = whole[0], []
        for d, value in enumerate(known):
            if value is None:
                along = _union(list(np.moveaxis(source, d, 0)), (*source.shape[:d], *source.shape[d + 1 :]))
                source = np.broadcast_to(np.expand_dims(along, d), source.shape)
                at.append(np.zeros(lead, int))
            else:
                at.append(np.broadcast_to(np.asarray(value, int), lead))
        return _union([source[tuple(at)], by_index], node.shape)


def _product(node: Node, parts: list[np.ndarray | None], whole: list[np.ndarray]) -> np.ndarray:
    """`@`: a row meets a column, but where a known zero stands."""
    a, b = whole
    first = a.reshape(1, -1) if a.ndim == 1 else a
    second = b.reshape(-1, 1) if b.ndim == 1 else b
    if first.ndim > 2 or second.ndim > 2:
        return _filled(node.shape, frozenset(chain.from_iterable(v for p in whole for v in p.reshape(-1))))
    zero = lambda n, shape: (np.zeros(shape, bool) if n.value is None else np.asarray(n.value == 0).reshape(shape))
    za, zb = zero(node.args[0], first.shape), zero(node.args[1], second.shape)
    out = _filled((first.shape[0], second.shape[1]))
    for i in range(first.shape[0]):
        for j in range(second.shape[1]):
            met = [first[i, k] | second[k, j] for k in range(first.shape[1]) if not (za[i, k] or zb[k, j])]
            out[i, j] = _NOTHING.union(*met)
    return out.reshape(node.shape)


def _filled(shape: Sequence[int], value: frozenset[Read] = _NOTHING) -> np.ndarray:
    out = np.empty(tuple(shape), object)
    out.fill(value)
    return out


def _array(values: Sequence[frozenset[Read]], shape: Sequence[int]) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(tuple(shape))


def _union(parts: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    if len(parts) == 1:
        return np.asarray(parts[0], object).reshape(tuple(shape))
    flat = [np.asarray(p, object).reshape(-1) for p in parts]
    return _array([_NOTHING.union(*values) for values in zip(*flat)], shape)


def reads_of_entries(
    dependence: Dependence, args: Mapping[str, Node], argument_ndim: Mapping[str, int], shape: tuple[int, ...],
    event_ndim: int,
) -> list[frozenset[Read]]:  # fmt: skip
    """For each entry (C order) of a draw of `shape` from a law with these arguments: what it reads.

    Entries that are drawn jointly read the same.
    """
    lead = shape[: len(shape) - event_ndim]
    parts = []
    for name, node in args.items():
        found = dependence(node)
        for _ in range(min(argument_ndim.get(name, 0), found.ndim)):
            found = _union(list(np.moveaxis(found, -1, 0)), found.shape[:-1])
        parts.append(np.broadcast_to(found, lead))
    each = _union(parts, lead) if parts else _filled(lead)
    whole = np.broadcast_to(each.reshape((*lead, *(1,) * event_ndim)), shape)
    return list(whole.reshape(-1))
