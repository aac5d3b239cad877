"""Which entries of an expression can differ from zero, whatever the parameters are."""

from __future__ import annotations

import weakref

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model.expr import Node

_ZERO_AT_ZERO = {"neg", "abs", "sqrt", "sin", "tan", "asin", "atan", "tanh", "relu", "expm1", "log1p"}
_STRUCTURAL = {"broadcast", "reshape", "transpose", "stack", "concat", "diag", "diagonal", "kron", "block_diag"}
_known: weakref.WeakKeyDictionary[Node, np.ndarray] = weakref.WeakKeyDictionary()


def nonzero(node: Node) -> np.ndarray:
    """A boolean array of the node's shape: False where the value is zero by structure."""
    pending = [node]
    while pending:
        n = pending[-1]
        # What is known is not walked into again: large expressions share most of their parts.
        wanted = [a for a in n.args if a not in _known] if n not in _known else []
        if wanted:
            pending += wanted
            continue
        pending.pop()
        if n not in _known:
            _known[n] = np.broadcast_to(_one(n, [_known[a] for a in n.args]), n.shape)
    return _known[node]


def _one(node: Node, args: list[np.ndarray]) -> np.ndarray:
    op = node.op
    if node.value is not None:
        return node.value != 0
    if op in _STRUCTURAL:
        return numeric.evaluate(op, node.attrs, [a.astype(float) for a in args]) != 0
    if op in _ZERO_AT_ZERO:
        return args[0]
    match op:
        case "mul":
            return args[0] & args[1]
        case "add" | "sub" | "maximum" | "minimum":
            return args[0] | args[1]
        case "div" | "past_sum":
            return args[0]
        case "pow":
            exponent = node.args[1].value
            return args[0] if exponent is not None and (exponent > 0).all() else np.array(True)
        case "where":
            test = node.args[0].value
            return args[1] | args[2] if test is None else np.where(test, args[1], args[2])
        case "matmul":
            return args[0].astype(float) @ args[1].astype(float) > 0
        case "sum" | "max" | "min":
            return args[0].any(axis=node.attrs[0])
        case "prod":
            return args[0].all(axis=node.attrs[0])
        case "cholesky" | "semidefinite_root":
            return np.tril(_reach(args[0]))
        case "matrix_power":
            return _reached(args[0])
        case "inverse":
            return _reach(args[0])
        case "solve":
            return _solved(args[0]).astype(float) @ args[1].astype(float) > 0
        case "diffuse":
            return np.stack([_diffused(A, L) for A, L in zip(args[0], args[2])], axis=1)
        case "index":
            positions = [a.value for a in node.args[1:]]
            if all(p is not None for p in positions):
                return args[0][tuple(positions)]  # type: ignore[arg-type]
            rest = args[0].any(axis=tuple(range(len(positions))))
            return np.broadcast_to(rest, node.shape)
    return np.array(True)


def _reached(mask: np.ndarray) -> np.ndarray:
    """The pattern of all powers of a square matrix."""
    found = np.eye(len(mask), dtype=bool)
    while True:
        more = found | (found.astype(float) @ (mask | found).astype(float) > 0)
        if (more == found).all():
            return found
        found = more


def _diffused(A: np.ndarray, L: np.ndarray) -> np.ndarray:
    """A step of a linear differential equation: what reaches what by a path through the drift, and the triangular root
    of the covariance of what the noise reaches."""
    paths = _paths(A)
    driven = paths.astype(float) @ L.astype(float)
    covariance = driven @ driven.T > 0
    reached = covariance.diagonal()
    return np.stack([paths, paths, np.tril(_reach(covariance)) & reached[:, None] & reached])


def _paths(A: np.ndarray) -> np.ndarray:
    """What reaches what along entries, itself included."""
    paths: np.ndarray = A | np.eye(A.shape[-1], dtype=bool)
    for _ in range(A.shape[-1].bit_length()):
        paths = np.asarray(paths.astype(float) @ paths.astype(float) > 0)
    return paths


def _solved(mask: np.ndarray) -> np.ndarray:
    """The pattern of an inverse. Without an entry on the diagonal it may be anything."""
    whole = np.asarray(np.diagonal(mask, axis1=-2, axis2=-1).all(axis=-1))[..., None, None]
    return _paths(mask) | ~whole


def _reach(mask: np.ndarray) -> np.ndarray:
    """The block pattern of a square matrix: entries whose row and column are connected. Inverse and Cholesky factor
    of a matrix have no entry outside of it."""
    if mask.ndim != 2:
        return np.ones(mask.shape, bool)
    labels = np.arange(len(mask))
    rows, cols = np.nonzero(mask | mask.T)
    while True:
        lowest = labels.copy()
        np.minimum.at(lowest, rows, labels[cols])
        lowest = lowest[lowest]
        if (lowest == labels).all():
            return labels[:, None] == labels
        labels = lowest
