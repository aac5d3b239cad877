"""Expressions mean the same in JAX as in NumPy."""

import jax
import numpy as np
import pytest

from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import _numeric, expr
from ssmlang.model.expr import Node
from ssmlang.model.loading import ANY_RANK

RNG = np.random.default_rng(3)
POSITIVE = RNG.uniform(0.1, 0.9, (3, 3))
SIGNED = RNG.normal(size=(3, 3))
SPD = SIGNED @ SIGNED.T + np.eye(3)


RANK_TWO = SIGNED[:, :2] @ SIGNED[:, :2].T


def parameters(*values: np.ndarray) -> tuple[list[Node], dict[str, np.ndarray]]:
    values = tuple(np.asarray(v, float) for v in values)
    nodes = [expr.param(f"p{i}", v.shape, (None,) * v.ndim) for i, v in enumerate(values)]
    return nodes, {f"p{i}": v for i, v in enumerate(values)}


def run(node: Node, params: dict[str, np.ndarray]) -> np.ndarray:
    with jax.enable_x64(True):
        (value,) = evaluate([node], Environment(params))
        assert value.shape == node.shape
        assert value.dtype == {"real": np.float64, "int": np.int64, "bool": np.bool_}[node.kind]
        return np.asarray(value)


def compare(node: Node, params: dict[str, np.ndarray], *args: np.ndarray) -> None:
    expected = _numeric.evaluate(node.op, node.attrs, [np.asarray(a) for a in args])
    np.testing.assert_allclose(run(node, params), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", sorted(set(_numeric.UNARY) - {"not"}))
@pytest.mark.parametrize("values", [POSITIVE, SIGNED], ids=["positive", "signed"])
def test_unary(op: str, values: np.ndarray) -> None:
    if values is SIGNED and op in ("log", "log1p", "sqrt", "asin", "acos", "logit"):
        values = np.abs(np.tanh(values))
    (a,), params = parameters(values)
    compare(expr.unary(op, a), params, values)


@pytest.mark.parametrize("op", sorted(set(_numeric.BINARY) - {"and", "or"}))
def test_binary(op: str) -> None:
    left = POSITIVE if op == "pow" else SIGNED
    (a, b), params = parameters(left, SIGNED[0])
    compare(expr.binary(op, a, b), params, left, SIGNED[0])


@pytest.mark.parametrize("op", sorted(_numeric.REDUCTIONS))
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(op: str, axis: int) -> None:
    (a,), params = parameters(SIGNED)
    compare(expr.reduce(op, a, axis), params, SIGNED)


def test_logic_and_counts() -> None:
    (a, b), params = parameters(SIGNED, POSITIVE)
    smaller, positive = expr.binary("lt", a, b), expr.binary("gt", a, expr.const(0))
    np.testing.assert_array_equal(
        run(expr.binary("and", smaller, expr.unary("not", positive)), params), (SIGNED < POSITIVE) & ~(SIGNED > 0)
    )
    np.testing.assert_array_equal(run(expr.reduce("sum", positive, 0), params), (SIGNED > 0).sum(0))
    np.testing.assert_array_equal(run(expr.add(positive, smaller), params), (SIGNED > 0) + 1 * (SIGNED < POSITIVE))
    assert run(expr.add(expr.const(True), expr.const(True)), {}) == 2


def test_array_operations() -> None:
    (a, v, s), params = parameters(SIGNED, SIGNED[1], SPD)
    compare(expr.where(expr.binary("gt", a, expr.const(0.0)), a, v), params, SIGNED > 0, SIGNED, SIGNED[1])
    compare(expr.broadcast(v, (4, 3)), params, SIGNED[1])
    compare(expr.reshape(a, (9,)), params, SIGNED)
    compare(expr.transpose(a), params, SIGNED)
    compare(expr.matmul(a, v), params, SIGNED, SIGNED[1])
    compare(expr.stack([v, v]), params, SIGNED[1], SIGNED[1])
    compare(expr.concat([a, s], 1), params, SIGNED, SPD)
    compare(expr.linalg("diag", [v], (3, 3)), params, SIGNED[1])
    compare(expr.linalg("diagonal", [a], (3,)), params, SIGNED)
    compare(expr.linalg("cholesky", [s], (3, 3)), params, SPD)
    compare(expr.linalg("inverse", [s], (3, 3)), params, SPD)
    compare(expr.linalg("kron", [a, s], (9, 9)), params, SIGNED, SPD)
    compare(expr.linalg("block_diag", [a, s], (6, 6)), params, SIGNED, SPD)
    compare(expr.linalg("softmax", [a], (3, 3)), params, SIGNED)
    (x, xp, fp), params = parameters(SIGNED[0], np.array([-1.0, 0.0, 2.0]), SIGNED[2])
    compare(expr.linalg("interp", [x, xp, fp], (3,)), params, SIGNED[0], np.array([-1.0, 0.0, 2.0]), SIGNED[2])


def test_index_by_constants_and_by_values() -> None:
    (a,), params = parameters(SIGNED)
    rows = np.array([2, 0])
    np.testing.assert_array_equal(run(expr.index(a, [expr.const(rows), expr.const(1)]), params), SIGNED[rows, 1])
    position = expr.ref("state", "s", 0, (), (), kind="int")
    node = expr.index(a, [position])
    with jax.enable_x64(True):
        value = evaluate([node], Environment(params, read=lambda *_: np.array(2)))[0]
    np.testing.assert_array_equal(value, SIGNED[2])


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 2.0])
def test_whole_powers_have_their_derivative_everywhere(exponent: float) -> None:
    (a,), params = parameters(np.array([-1.5, 2.0] if exponent < 0 else [-1.5, 0.0, 2.0]))
    node = expr.binary("pow", a, expr.const(exponent))
    with jax.enable_x64(True):
        slope = jax.grad(lambda p: evaluate([node], Environment(p))[0].sum())(params)["p0"]
        slope = np.broadcast_to(slope, params["p0"].shape)
    expected = np.zeros_like(params["p0"]) if exponent == 0 else exponent * params["p0"] ** (exponent - 1)
    np.testing.assert_allclose(slope, expected)


def test_sum_over_the_past_reads_every_earlier_row() -> None:
    with jax.enable_x64(True):
        x = jax.numpy.asarray(RNG.normal(size=6))
        weight = expr.unary("exp", expr.neg(expr.bound("k")))
        lagged = expr.ref("state", "x", "k", (), ())
        node = expr.add(expr.past_sum("k", expr.mul(weight, lagged)), expr.time())
        for t in range(6):
            env = Environment({}, lambda s, n, lag, t=t: x[jax.numpy.maximum(t - lag, 0)], t, horizon=5)
            expected = sum(np.exp(-k) * x[t - k] for k in range(1, t + 1)) + t
            np.testing.assert_allclose(evaluate([node], env)[0], expected, rtol=1e-12)


def test_shared_nodes_are_computed_once() -> None:
    node = expr.param("a", (), ())
    for _ in range(60):
        node = expr.add(node, node)
    with jax.enable_x64(True):
        assert evaluate([node], Environment({"a": 1.0}))[0] == 2.0**60


def test_traced_under_vmap_and_single_precision() -> None:
    (a,), _ = parameters(SIGNED)
    node = expr.unary("exp", a)
    batched = jax.vmap(lambda p: evaluate([node], Environment({"p0": p}))[0])(np.stack([SIGNED, 2 * SIGNED]))
    assert batched.dtype == np.float32
    np.testing.assert_allclose(batched, np.exp([SIGNED, 2 * SIGNED]), rtol=1e-5)


def test_constants_without_a_value_are_refused() -> None:
    with pytest.raises(expr.ExprError, match="cholesky"):
        expr.linalg("cholesky", [expr.const(-np.eye(2))], (2, 2))
    with pytest.raises(expr.ExprError, match="%"):
        expr.binary("mod", expr.const(3), expr.const(0))
    big = expr.mul(expr.const(10**15), expr.const(10**15))
    assert big.kind == "real" and big.value == 1e30


@pytest.mark.parametrize(("matrix", "sound"), [(SPD, True), (RANK_TWO, True), (np.zeros((3, 3)), True),
                                               (np.diag([1.0, 0.0, 2.0]), True), (SPD - 4 * np.eye(3), False),
                                               (np.array([[0.0, 1, 0], [1, 1, 0], [0, 0, 1]]), False)])  # fmt: skip
def test_roots_of_covariances_of_any_rank(matrix: np.ndarray, sound: bool) -> None:
    (a,), params = parameters(matrix)
    node = expr.linalg("cholesky", [a], (3, 3), attrs=ANY_RANK)
    compare(node, params, matrix)
    root = run(node, params)
    assert np.isnan(root).any() != sound
    if not sound:
        return
    np.testing.assert_allclose(root @ root.T, matrix, atol=1e-12)
    # Twice the matrix has twice the root's square: a direction in which the rank stays.
    gram = lambda a: (lambda g: g @ g.T)(evaluate([node], Environment({"p0": a}))[0])
    with jax.enable_x64(True):
        tangent = jax.jvp(gram, (params["p0"],), (params["p0"],))[1]
    np.testing.assert_allclose(tangent, matrix, atol=1e-12)
