"""Loadings G of covariance matrices: G G' is the matrix, and structure spares the factorisation."""

import numpy as np
import pytest

from ssmlang.model import _numeric, expr
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.loading import factor, same

VALUES = {"a": np.array(0.7), "b": np.array(-1.3), "r": np.array(0.4), "v": np.array([0.5, 2.0, 1.5]),
          "A": np.random.default_rng(0).normal(size=(3, 3)), "S": np.diag([1.0, 2.0, 3.0]) + 0.5}  # fmt: skip
A, B, R, V = (expr.param(n, VALUES[n].shape, (None,) * VALUES[n].ndim) for n in "abrv")
M, S = (expr.param(n, (3, 3), (None, None)) for n in "AS")
TWO, ONE = expr.const(2), expr.const(1.0)


def value(node: Node) -> np.ndarray:
    done: dict[int, np.ndarray] = {}
    for n in expr.walk([node]):
        known = VALUES[n.attrs[0]] if n.op == "param" else n.value
        done[id(n)] = known if known is not None else _numeric.evaluate(n.op, n.attrs, [done[id(a)] for a in n.args])
    return done[id(node)]


def square(x: Node) -> Node:
    return expr.binary("pow", x, TWO)


def matrix(a: Node, b: Node, c: Node, d: Node) -> Node:
    return expr.stack([expr.stack([a, b]), expr.stack([c, d])])


def diag(x: Node) -> Node:
    return expr.linalg("diag", [x], (x.size, x.size))


CASES = {
    "squares on a diagonal": (diag(square(V)), False),
    "variances on a diagonal": (diag(V), True),
    "a multiple": (expr.mul(square(A), diag(square(V))), False),
    "a quotient": (expr.div(diag(square(V)), square(B)), False),
    "A A'": (expr.matmul(M, expr.transpose(M)), False),
    "A D A'": (expr.matmul(expr.matmul(M, diag(square(V))), expr.transpose(M)), False),
    "A (D A')": (expr.matmul(M, expr.matmul(diag(square(V)), expr.transpose(M))), False),
    "A B B' A'": (expr.matmul(expr.matmul(expr.matmul(M, S), expr.transpose(S)), expr.transpose(M)), False),
    "A B D (A B)'": (expr.matmul(expr.matmul(M, expr.matmul(S, diag(square(V)))), expr.transpose(expr.matmul(M, S))),
                     False),
    "a number before A A'": (expr.matmul(expr.mul(square(A), M), expr.div(expr.transpose(M), square(B))), False),
    "(a A) (a A)'": (expr.matmul(expr.mul(A, M), expr.transpose(expr.mul(A, M))), False),
    "a column times its row, as they are written": (expr.matmul(expr.stack([expr.stack([A]), expr.stack([B])]),
                                                                expr.stack([expr.stack([A, B])])), False),
    "D R D": (expr.matmul(expr.matmul(diag(V), expr.const(np.eye(3) * 0.5 + 0.5)), diag(V)), False),
    "a sum": (expr.add(expr.matmul(M, expr.transpose(M)), diag(square(V))), False),
    "blocks": (expr.linalg("block_diag", [diag(square(V)), expr.const(np.array([[2.0, 1.0], [1.0, 2.0]]))], (5, 5)),
               False),
    "kron": (expr.linalg("kron", [diag(square(V)), expr.const(np.array([[2.0, 1.0], [1.0, 2.0]]))], (6, 6)), False),
    "a correlated pair": (matrix(square(A), expr.mul(expr.mul(R, A), B), expr.mul(expr.mul(R, B), A), square(B)), True),
    "a correlation": (matrix(ONE, R, R, ONE), True),
    "a constant of deficient rank": (expr.const(np.array([[4.0, 2.0], [2.0, 1.0]])), False),
    "a constant of rank one of three": (expr.const(np.ones((3, 3))), False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_structure_gives_the_factor(name: str) -> None:
    cov, takes_a_root = CASES[name]
    heard: list[Node] = []
    found = factor(cov, heard.append)
    G = value(found.dense)
    np.testing.assert_allclose(G @ G.T, value(cov), rtol=1e-12, atol=1e-12)
    ops = {n.op for n in expr.walk([found.values])}
    assert not heard and "cholesky" not in ops
    assert ("sqrt" in ops) == takes_a_root
    assert not G[~found.nonzero].any()


def test_a_negative_factor_of_two_does_not_make_a_root_of_it() -> None:
    cov = diag(expr.mul(expr.neg(V), expr.stack([B, B, B])))  # both negative: a legal variance
    G = value(factor(cov).dense)
    np.testing.assert_allclose(G @ G.T, value(cov))


def test_what_has_no_structure_is_factored_and_said() -> None:
    heard: list[Node] = []
    G = value(factor(S, heard.append).dense)
    np.testing.assert_allclose(G @ G.T, VALUES["S"])
    assert heard == [S]
    # The product of two matrices is none of a matrix and itself, even where it is symmetric.
    heard.clear()
    factor(expr.matmul(S, S), heard.append)
    factor(expr.matmul(expr.matmul(M, S), M), heard.append)
    assert len(heard) == 2


def test_what_has_no_structure_may_have_any_rank() -> None:
    """Of correlations e^(-r |i - j|) nothing but the constant is left at r = 0."""
    apart = np.abs(np.arange(3)[:, None] - np.arange(3)).astype(float)
    cov = expr.mul(square(A), expr.unary("exp", expr.neg(expr.mul(R, expr.const(apart)))))
    root = factor(cov).dense
    ops = [n.op for n in expr.walk([root])]
    assert ops.count("cholesky") == 1
    with pytest.MonkeyPatch.context() as patch:
        for r in (0.4, 1e-9, 0.0):
            patch.setitem(VALUES, "r", np.array(r))
            np.testing.assert_allclose(value(root) @ value(root).T, value(cov), rtol=1e-7, atol=1e-12)
        patch.setitem(VALUES, "r", np.array(-0.1))
        assert np.isnan(value(root)).any()


def test_a_constant_that_is_no_covariance() -> None:
    with pytest.raises(ExprError, match="negative eigenvalue"):
        factor(expr.const(np.array([[1.0, 2.0], [2.0, 1.0]])))
    with pytest.raises(ExprError, match="symmetric"):
        factor(expr.const(np.array([[1.0, 0.5], [0.2, 1.0]])))
    with pytest.raises(ExprError, match="negative"):
        factor(expr.const(np.diag([1.0, -1.0])))


def test_alike_is_by_writing() -> None:
    assert same(expr.mul(A, B), expr.mul(expr.param("a", (), ()), expr.param("b", (), ())))
    assert not same(expr.mul(A, B), expr.mul(B, A))
    assert not same(expr.const(1.0), expr.const(2.0))
