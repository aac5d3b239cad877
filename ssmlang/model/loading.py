"""Covariance matrices as loadings of standard normals: G with G G' = cov, found from how the matrix is written.

A factor taken from structure is exact at every rank and differentiable there; `cholesky` inside the program is what
is left where nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from ssmlang.model import expr, sparse
from ssmlang.model.entries import entry
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.sparse import Sparse
from ssmlang.model.support import nonzero

OnCholesky = Callable[[Node], None]
FEW_ENTRIES = 64
"""Up to so many a matrix is compared to another entry by entry."""
ANY_RANK = ("any rank",)
"""Marks a `cholesky` that is `semidefinite_root` where the rank is deficient, and NaN of what is no covariance matrix.
Its derivative is right where the rank stays as it is."""


def same(a: Node, b: Node) -> bool:
    """Whether two expressions are written alike, so that their values are equal."""
    names: dict[tuple[Any, ...], int] = {}
    known: dict[int, int] = {}
    for n in expr.walk([a, b]):
        if n.value is not None:
            what: tuple[Any, ...] = ("const", n.shape, np.asarray(n.value, float).tobytes())
        else:
            what = (n.op, n.attrs, n.shape, tuple(known[id(x)] for x in n.args))
        known[id(n)] = names.setdefault(what, len(names))
    return known[id(a)] == known[id(b)]


def factor(cov: Node, on_cholesky: OnCholesky = lambda node: None) -> Sparse:
    """G with G G' = `cov`. `on_cholesky` hears of matrices whose structure gives none: there the derivative needs
    full rank."""
    n = cov.shape[-1]
    if cov.is_const:
        return _constant(cov.value)  # type: ignore[arg-type]
    mask = nonzero(cov)
    if not mask[~np.eye(n, dtype=bool)].any():
        return sparse.diagonal(root(sparse.gather(cov, np.arange(n) * (n + 1))))
    found = _structured(cov, on_cholesky)
    if found is None and n == 2:
        found = _pair(cov)
    if found is None:
        on_cholesky(cov)
        found = sparse.from_matrix(expr.linalg("cholesky", [cov], cov.shape, span=cov.span, attrs=ANY_RANK))
    return found


def root(values: Node) -> Node:
    """r with r^2 = values (of either sign), without a square root where the values are written as squares."""
    if values.value is not None and np.any(values.value < 0):
        raise ExprError("a variance is negative", "not a covariance matrix")
    exact = exact_root(values)
    if exact is not None:
        return exact
    if values.op in ("mul", "div"):
        # Beside a square the other factor is itself a variance; two factors without a root may both be negative.
        a, b = (exact_root(x) for x in values.args)
        if a is not None or b is not None:
            a, b = (root(x) if r is None else r for x, r in zip(values.args, (a, b)))
            return expr.binary(values.op, a, b)
    if values.op == "stack":
        return expr.stack([root(a) for a in values.args])
    if values.op == "concat":
        return expr.concat([root(a) for a in values.args], values.attrs[0])
    if values.op in ("broadcast", "reshape"):
        return expr.rebuild(values, [root(values.args[0])])
    if values.op == "index" and all(a.is_const for a in values.args[1:]):
        inner = values.args[0]
        if inner.op in ("stack", "pow", "mul", "reshape", "broadcast", "diag"):
            source = sparse.positions(inner)[tuple(a.value for a in values.args[1:])].reshape(-1)  # type: ignore[misc]
            return expr.reshape(expr.stack([root(entry(inner, int(p))) for p in source]), values.shape)
    return expr.unary("sqrt", values)


def exact_root(values: Node) -> Node | None:
    """The root of what is written as a square; None for anything else."""
    if values.is_const:
        return expr.const(np.sqrt(values.value)) if np.all(values.value >= 0) else None  # type: ignore[operator,arg-type]
    if values.op == "pow" and values.args[1].is_const and (values.args[1].value == 2).all():  # type: ignore[union-attr]
        return expr.broadcast(values.args[0], values.shape)
    if values.op == "mul" and same(*values.args):
        return expr.broadcast(values.args[0], values.shape)
    if values.op in ("mul", "div"):
        a, b = (exact_root(x) for x in values.args)
        return expr.binary(values.op, a, b) if a is not None and b is not None else None
    return None


def _structured(cov: Node, hear: OnCholesky) -> Sparse | None:
    op, args = cov.op, cov.args
    if op in ("mul", "div"):
        for scalar, matrix in (args, args[::-1]) if op == "mul" else (args[::-1],):
            if scalar.size == 1 and matrix.shape == cov.shape:
                by = expr.reshape(root(expr.reshape(scalar, (1,))), (1,))
                inner = factor(matrix, hear)
                factors_ = sparse.gather(by, np.zeros(inner.nnz, int))
                return inner.map(lambda v, by=factors_: expr.binary(op, v, by))  # type: ignore[misc]
    if op == "add" and args[0].shape == args[1].shape == cov.shape:
        return beside([factor(a, hear) for a in args])
    if op == "matmul" and all(a.ndim == 2 for a in args):
        return _sandwich(cov, hear)
    if op == "block_diag":
        return block_diagonal([factor(a, hear) for a in args])
    if op == "kron":
        a, b = (factor(x, hear) for x in args)
        i, j = np.repeat(np.arange(a.nnz), b.nnz), np.tile(np.arange(b.nnz), a.nnz)
        values = expr.mul(sparse.gather(a.values, i), sparse.gather(b.values, j))
        rows, cols = a.rows[i] * b.shape[0] + b.rows[j], a.cols[i] * b.shape[1] + b.cols[j]
        return sparse.build((a.shape[0] * b.shape[0], a.shape[1] * b.shape[1]), rows, cols, values)
    return None


def _sandwich(cov: Node, hear: OnCholesky) -> Sparse | None:
    """A A', A B A', A B B' A', ..., and a number times them."""
    number, chain = _chain(cov)
    size = 0
    while 2 * (size + 1) <= len(chain) and _mirrored(chain[size], chain[-1 - size]):
        size += 1
    if not size:
        return None
    outer, middle = sparse.from_matrix(_product(chain[:size])), chain[size : len(chain) - size]
    found = sparse.product(outer, factor(_product(middle), hear)) if middle else outer
    if number is None:
        return found
    by = sparse.gather(root(expr.reshape(number, (1,))), np.zeros(found.nnz, int))
    return found.map(lambda values: expr.mul(values, by))


def _chain(node: Node) -> tuple[Node | None, list[Node]]:
    """A product of matrices as a number, None for one, and its factors."""
    if node.op == "matmul" and all(a.ndim == 2 for a in node.args):
        (one, left), (other, right) = (_chain(a) for a in node.args)
        return _times(one, other), [*left, *right]
    if node.op == "transpose":
        number, inner = _chain(node.args[0])
        return number, [_turned(x) for x in reversed(inner)]
    if node.op in ("mul", "div"):
        for scalar, matrix in (node.args, node.args[::-1]) if node.op == "mul" else (node.args[::-1],):
            if scalar.size == 1 and matrix.shape == node.shape:
                number, inner = _chain(matrix)
                by = expr.reshape(scalar, ())
                return _times(number, by if node.op == "mul" else expr.div(expr.const(1.0), by)), inner
    return None, [node]


def _times(a: Node | None, b: Node | None) -> Node | None:
    return b if a is None else a if b is None else expr.mul(a, b)


def _product(matrices: list[Node]) -> Node:
    return reduce(expr.matmul, matrices)


def _turned(matrix: Node) -> Node:
    return matrix.args[0] if matrix.op == "transpose" else expr.transpose(matrix)


def _mirrored(a: Node, b: Node) -> bool:
    """Whether b = a', by how they are written."""
    if a.shape != b.shape[::-1]:
        return False
    if same(a, _turned(b)) or same(_turned(a), b) or (_diagonal(a) and same(a, b)):
        return True
    if a.size > FEW_ENTRIES:
        return False
    turned = np.arange(b.size).reshape(b.shape).T.reshape(-1)
    return all(same(entry(a, i), entry(b, int(j))) for i, j in enumerate(turned))


def _diagonal(node: Node) -> bool:
    return node.shape[-1] == node.shape[-2] and not nonzero(node)[~np.eye(node.shape[-1], dtype=bool)].any()


def _pair(cov: Node) -> Sparse | None:
    """[[s1^2, r s1 s2], [r s1 s2, s2^2]] -> [[s1, 0], [r s2, s2 sqrt(1 - r^2)]]."""
    a, b, c, d = (entry(cov, i) for i in range(4))
    if not same(b, c):
        b, c = _ordered(b), _ordered(c)
        if not same(b, c):
            return None
    first, second = root(a), root(d)
    if any(n.op == "sqrt" for n in (first, second)):
        return None
    rest = factors(b)
    for s in (first, second):
        for part in ([] if s.is_const else factors(s)):
            hit = next((i for i, f in enumerate(rest) if same(f, part)), None)
            if hit is None:
                return None
            rest.pop(hit)
        if s.is_const:
            if not s.value:
                return None
            rest.append(expr.const(1 / float(s.value)))  # type: ignore[arg-type]
    rho: Node = expr.const(1.0)
    for f in rest:
        rho = expr.mul(rho, f)
    below = expr.mul(rho, second)
    last = expr.mul(second, expr.unary("sqrt", expr.sub(expr.const(1.0), expr.binary("pow", rho, expr.const(2)))))
    return sparse.build((2, 2), np.array([0, 1, 1]), np.array([0, 0, 1]), expr.stack([first, below, last]))


def factors(node: Node) -> list[Node]:
    """The factors of a product of numbers."""
    if node.op == "mul":
        return factors(node.args[0]) + factors(node.args[1])
    if node.op == "pow" and node.args[1].is_const and node.args[1].value == 2:
        return factors(node.args[0]) * 2
    return [node]


def _ordered(node: Node) -> Node:
    """A product with its factors in a fixed order, so that rho*a*b and rho*b*a are alike."""
    parts = sorted(factors(node), key=lambda n: (n.op, repr(n.attrs), repr([(a.op, a.attrs, a.value) for a in n.args])))
    product = parts[0]
    for p in parts[1:]:
        product = expr.mul(product, p)
    return product


def _constant(value: np.ndarray) -> Sparse:
    value = np.asarray(value, float)
    if not np.allclose(value, value.T, rtol=1e-10, atol=1e-12 * max(np.abs(value).max(initial=0), 1e-300)):
        raise ExprError("a covariance matrix is not symmetric", "not a covariance matrix")
    if not value[~np.eye(len(value), dtype=bool)].any():
        return sparse.diagonal(root(expr.const(np.diagonal(value).copy())))
    try:
        return sparse.from_matrix(expr.const(np.linalg.cholesky(value)))
    except np.linalg.LinAlgError:
        pass
    sizes, vectors = np.linalg.eigh(value)
    if sizes.min() < -1e-10 * sizes.max():
        raise ExprError("a covariance matrix has a negative eigenvalue", "not a covariance matrix")
    kept = sizes > 1e-14 * sizes.max()
    return sparse.from_matrix(expr.const(vectors[:, kept] * np.sqrt(sizes[kept])))


def beside(parts: list[Sparse]) -> Sparse:
    """[G1 G2 ...]."""
    width = np.cumsum([0, *(p.shape[1] for p in parts)])
    n = parts[0].shape[0]
    wide = [p.place(np.arange(n), np.arange(p.shape[1]) + w, (n, int(width[-1]))) for p, w in zip(parts, width)]
    return sparse.add(wide)


def block_diagonal(parts: list[Sparse]) -> Sparse:
    """The parts along the diagonal."""
    height = np.cumsum([0, *(p.shape[0] for p in parts)])
    width = np.cumsum([0, *(p.shape[1] for p in parts)])
    shape = (int(height[-1]), int(width[-1]))
    return sparse.add([p.place(np.arange(p.shape[0]) + h, np.arange(p.shape[1]) + w, shape)
                       for p, h, w in zip(parts, height, width)])  # fmt: skip
