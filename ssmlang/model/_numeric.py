"""NumPy meaning of each operation of `expr`, for constants known at compile time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssmlang.model._diffusion import diffuse

_lgamma = np.vectorize(math.lgamma, otypes=[float])
_gamma = np.vectorize(math.gamma, otypes=[float])
_normal_cdf = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), otypes=[float])

def _exprel(x: Any) -> np.ndarray:
    x = np.asarray(x, float)
    return np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x))


UNARY: dict[str, Any] = {
    "neg": np.negative, "not": np.logical_not, "abs": np.abs, "exp": np.exp, "log": np.log, "log1p": np.log1p,
    "expm1": np.expm1, "exprel": _exprel, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * np.asarray(x, float))),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "logit": lambda x: np.log(x) - np.log1p(-np.asarray(x, float)),
    "lgamma": _lgamma, "gamma": _gamma, "normal_cdf": _normal_cdf,
}  # fmt: skip
BINARY: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "pow": np.power, "mod": np.mod,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "atan2": np.arctan2, "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip
REDUCTIONS: dict[str, Any] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
PREDICATES = {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"}
ARITHMETIC = {"add", "sub", "mul", "div", "mod", "pow", "neg", "abs", "sum", "prod"}
EPS = float(np.finfo(float).eps)
ROUNDING = 64 * EPS
"""Variances this small beside what they are left over of, a number of the matrix's size, are rounding."""
INTEGER_PRESERVING = {"add", "sub", "mul", "mod", "neg", "abs", "maximum", "minimum"}


def _block_diag(*blocks: np.ndarray) -> np.ndarray:
    rows, cols = sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)
    out = np.zeros((rows, cols))
    i = j = 0
    for b in blocks:
        out[i : i + b.shape[0], j : j + b.shape[1]] = b
        i, j = i + b.shape[0], j + b.shape[1]
    return out


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _diag(x: np.ndarray) -> np.ndarray:
    return x[..., None] * np.eye(x.shape[-1])


def _semidefinite_root(a: np.ndarray) -> np.ndarray:
    n = len(a)
    root = np.zeros((n, n))
    for j in range(n):
        column = a[j:, j] - root[j:, :j] @ root[j, :j]
        if not column[0] <= ROUNDING * n * a[j, j]:
            root[j:, j] = column / np.sqrt(column[0])
    return root


def _covariance_root(a: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        root = _semidefinite_root(a)
        sound = np.abs(a - root @ root.T).max() <= no_covariance(len(a), EPS) * np.abs(a).max()
        return root if sound else np.full_like(root, np.nan)


def no_covariance(n: int, eps: float) -> float:
    """How far a root of deficient rank may be from its matrix, beside the largest entry: a Schur complement whose
    variances are rounding (ROUNDING, in units of EPS) has covariances up to the root of that."""
    return 2.0 * float(np.sqrt(ROUNDING / EPS * eps * n))


def evaluate(op: str, attrs: tuple[Any, ...], args: Sequence[np.ndarray]) -> np.ndarray:
    """The value of one operation on known arguments."""
    if op in ARITHMETIC:
        args = [a.astype(np.int64) if a.dtype == bool else a for a in map(np.asarray, args)]
    if op in UNARY:
        return UNARY[op](args[0])
    if op in BINARY:
        return BINARY[op](args[0], args[1])
    if op in REDUCTIONS:
        return REDUCTIONS[op](args[0], axis=attrs[0])
    match op:
        case "where":
            return np.where(*args)
        case "broadcast":
            return np.broadcast_to(args[0], attrs[0])
        case "reshape":
            return args[0].reshape(attrs[0])
        case "transpose":
            return np.swapaxes(args[0], -1, -2)
        case "matmul":
            return args[0] @ args[1]
        case "index":
            return args[0][tuple(args[1:])]
        case "stack":
            return np.stack(args)
        case "concat":
            return np.concatenate(args, axis=attrs[0])
        case "diag":
            return _diag(args[0])
        case "diagonal":
            return np.diagonal(args[0], axis1=-2, axis2=-1)
        case "cholesky":
            return _covariance_root(args[0]) if attrs else np.linalg.cholesky(args[0])
        case "inverse":
            return np.linalg.inv(args[0])
        case "kron":
            return np.kron(args[0], args[1])
        case "block_diag":
            return _block_diag(*args)
        case "softmax":
            return _softmax(args[0])
        case "interp":
            return np.interp(args[0], args[1], args[2])
        case "diffuse":
            return diffuse(args[0], args[1], args[2], _semidefinite_root)
        case "matrix_power":
            return np.linalg.matrix_power(args[0], int(args[1]))
        case "solve":
            return np.linalg.solve(args[0], args[1])
        case "semidefinite_root":
            return _semidefinite_root(args[0])
    raise ValueError(f"no operation {op}")
