"""What is affine: coefficients against derivatives, and reasons that point at the right place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.language.source import Source, Span
from ssmlang.model import _numeric, expr
from ssmlang.model.affine import PAST, Affine, NotAffine, affine
from ssmlang.model.expr import Node

SHAPES = {"x": (2, 3), "z": (3,), "v": (), "w": (3, 3)}
KEYS = [("state", "x", 1), ("state", "x", 0), ("state", "z", 1), ("noise", "v", 0), ("state", "w", 1)]
PARAMS = {"a": (3,), "B": (3, 3), "c": ()}


def is_state_or_noise(sort: str, name: str, lag: object) -> bool:
    return sort in ("state", "noise")


def leaf(key: tuple[str, str, int]) -> Node:
    return expr.ref(*key, SHAPES[key[1]], (None,) * len(SHAPES[key[1]]))


def known(draw: st.DrawFn, shape: tuple[int, ...]) -> Node:
    """A value without states, of any shape that broadcasts to `shape`."""
    name = draw(st.sampled_from(["a", "B", "c", "number", "t"]))
    if name == "number":
        return expr.const(np.array(draw(st.lists(st.sampled_from([0.0, 1.0, -2.5]), min_size=3, max_size=3))))
    if name == "t":
        return expr.where(expr.binary("ge", expr.time(), expr.const(2)), expr.param("c", (), ()), expr.const(0.0))
    return expr.param(name, PARAMS[name], (None,) * len(PARAMS[name]))


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Node:
    """Random expressions that are affine in the states."""
    if depth == 0:
        return leaf(draw(st.sampled_from(KEYS)))
    x = draw(expressions(depth=depth - 1))
    rule = draw(st.sampled_from(
        ["add", "sub", "mul", "div", "neg", "matmul", "rmatmul", "sum", "index", "choose", "stack", "concat", "reshape",
         "transpose", "broadcast", "where", "diag", "diagonal", "block_diag", "kron"]
    ))  # fmt: skip
    k = known(draw, x.shape)
    try:
        expr.broadcast_shapes((x, k))
    except expr.ExprError:
        k = expr.param("c", (), ())
    other = draw(expressions(depth=0))
    match rule:
        case "add" | "sub":
            try:
                return expr.binary(rule, x, other)
            except expr.ExprError:
                return expr.binary(rule, x, k)
        case "mul" | "div":
            if rule == "div":
                return expr.div(x, expr.add(expr.mul(k, k), expr.const(0.5)))
            return expr.mul(k, x) if draw(st.booleans()) else expr.mul(x, k)
        case "neg":
            return expr.neg(x)
        case "matmul" if x.ndim and x.shape[-1] == 3:
            return expr.matmul(x, expr.param("B", (3, 3), (None, None)))
        case "rmatmul" if x.ndim and x.shape[-min(2, x.ndim)] == 3:
            return expr.matmul(expr.linalg("diag", [expr.param("a", (3,), (None,))], (3, 3)), x)
        case "sum" if x.ndim:
            return expr.reduce("sum", x, draw(st.integers(0, x.ndim - 1)))
        case "index" if x.ndim:
            at = draw(st.lists(st.integers(0, x.shape[0] - 1), min_size=1, max_size=3))
            return expr.index(x, [expr.const(np.array(at))])
        case "choose" if x.ndim:
            at = expr.binary("mod", expr.time(), expr.const(x.shape[0]))
            more = [expr.const(np.array([0, x.shape[1] - 1]))] if x.ndim > 1 and draw(st.booleans()) else []
            return expr.index(x, [at, *more])
        case "stack":
            return expr.stack([x, expr.const(1.5), x]) if x.size < 60 else x
        case "concat" if x.ndim:
            return expr.concat([x, expr.mul(expr.const(2.0), x)], draw(st.integers(0, x.ndim - 1)))
        case "reshape":
            return expr.reshape(x, (x.size,))
        case "transpose":
            return expr.transpose(x)
        case "broadcast" if x.size < 60:
            return expr.broadcast(x, (2, *x.shape))
        case "where":
            test = expr.binary("lt", expr.time(), expr.const(2))
            return expr.where(test, x, k)
        case "diag" if x.ndim == 1 and x.size < 12:
            return expr.linalg("diag", [x], (x.size, x.size))
        case "diagonal" if x.ndim == 2:
            return expr.linalg("diagonal", [x], (min(x.shape),))
        case "block_diag" if x.ndim == 2 and x.size < 60:
            return expr.linalg("block_diag", [x, expr.const(np.ones((1, 2)))], (x.shape[0] + 1, x.shape[1] + 2))
        case "kron" if x.ndim == 2 and x.size < 20:
            return expr.linalg("kron", [x, expr.param("B", (3, 3), (None, None))], (3 * x.shape[0], 3 * x.shape[1]))
    return x


@settings(max_examples=150, deadline=None)
@given(expressions(), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_coefficients_are_the_derivatives(node: Node, t: int, seed: int) -> None:
    form = affine(node, is_state_or_noise)
    assert isinstance(form, Affine), form
    rng = np.random.default_rng(seed)
    params = {name: rng.uniform(0.5, 2, shape) for name, shape in PARAMS.items()}
    values = {key: rng.normal(size=SHAPES[key[1]]) for key in KEYS}

    def run(node: Node, series: dict) -> np.ndarray:
        return numpy_value(node, params, series, t)

    zero = {key: np.zeros_like(v) for key, v in values.items()}
    constant = run(node, zero)
    np.testing.assert_allclose(run(form.constant, {}), constant, atol=1e-12)
    total = constant.reshape(-1).copy()
    for key in KEYS:
        size = values[key].size
        expected = np.empty((node.size, size))
        for j in range(size):
            unit = np.zeros(size)
            unit[j] = 1
            changed = run(node, {**zero, key: unit.reshape(SHAPES[key[1]])})
            expected[:, j] = (changed - constant).reshape(-1)
        found = np.zeros((node.size, size))
        if key in form.terms:
            term = form.terms[key]
            assert term.shape == (node.size, size) and term.nnz
            np.testing.assert_allclose(run(term.dense, {}), expected, rtol=1e-10, atol=1e-10)
            found[term.rows, term.cols] = run(term.values, {})
            assert not (np.abs(expected[~term.nonzero]) > 1e-12).any()
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        total += expected @ values[key].reshape(-1)
    # One value at random coordinates says that the function has no other terms than these.
    np.testing.assert_allclose(run(node, values).reshape(-1), total, rtol=1e-9, atol=1e-9)


def numpy_value(node: Node, params: dict, series: dict, t: int) -> np.ndarray:
    done: dict[int, np.ndarray] = {}
    for n in expr.walk([node]):
        match n.op:
            case "const":
                value = n.value
            case "param":
                value = params[n.attrs[0]]
            case "ref":
                value = series[n.attrs]
            case "time":
                value = np.asarray(t)
            case _:
                value = _numeric.evaluate(n.op, n.attrs, [done[id(a)] for a in n.args])
        done[id(n)] = np.asarray(value)
        assert done[id(n)].shape == n.shape
    return done[id(node)]


def span(text: str, part: str) -> Span:
    source = Source("test.ssm", text)
    return Span(source, text.index(part), text.index(part) + len(part))


X = expr.ref("state", "x", 1, (), ())
Z = expr.ref("state", "z", 1, (), ())
A = expr.param("a", (), ())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda s: expr.unary("sin", X, s), "sin of x"),
        (lambda s: expr.unary("sqrt", X, s), "the square root of x"),
        (lambda s: expr.binary("mul", X, Z, s), "a product of x and z"),
        (lambda s: expr.binary("mul", X, X, s), "a product of x with itself"),
        (lambda s: expr.binary("pow", X, expr.const(2), s), "the square of x"),
        (lambda s: expr.binary("pow", A, X, s), "a power that depends on x"),
        (lambda s: expr.binary("div", A, Z, s), "a division by z"),
        (lambda s: expr.binary("maximum", X, A, s), "max of x"),
        (lambda s: expr.where(expr.binary("gt", X, expr.const(0.0), s), A, Z, s), "a comparison of x"),
        (lambda s: expr.index(expr.param("g", (2,), (None,)), [expr.ref("state", "s", 0, (), (), kind="int")], s),
         "an entry chosen by s"),
    ],
)  # fmt: skip
def test_what_is_not_affine_is_named_where_it_is_written(make, reason: str) -> None:
    here = span("x[t] = a + THIS * 2", "THIS")
    bad = make(here)
    whole = expr.add(A, expr.mul(bad, expr.const(2.0)))
    form = affine(whole, is_state_or_noise)
    assert isinstance(form, NotAffine)
    assert form.reason == reason
    assert form.span == here


def test_the_whole_past_is_a_slot_of_its_own() -> None:
    past = expr.ref("state", "x", "j#1", (), ())
    inner = expr.add(expr.mul(expr.bound("j#1"), past), expr.mul(expr.const(2.0), expr.ref("state", "x", 1, (), ())))
    node = expr.mul(A, expr.past_sum("j#1", inner))
    form = affine(node, is_state_or_noise)
    assert isinstance(form, Affine) and set(form.terms) == {("state", "x", PAST), ("state", "x", 1)}
    read = lambda key: {n.op for n in expr.walk([form.terms[key].values])}
    assert "bound" in read(("state", "x", PAST)) and "past_sum" in read(("state", "x", 1))
    assert [n.attrs for n in expr.walk([form.terms["state", "x", PAST].values]) if n.op == "bound"] == [(PAST,)]


def test_what_cancels_or_is_zero_leaves_no_coefficient() -> None:
    form = affine(expr.add(expr.sub(X, X), expr.mul(expr.const(0.0), Z)), is_state_or_noise)
    assert isinstance(form, Affine) and not form.terms


def test_entries_that_cancel_one_by_one_leave_no_term() -> None:
    x, last = expr.ref("state", "x", 1, (3,), (None,)), expr.const(np.array([0.0, 0.0, 1.0]))
    found = affine(expr.mul(expr.sub(expr.mul(x, last), x), last), is_state_or_noise)
    assert isinstance(found, Affine) and not found.terms


def test_a_large_panel_stays_sparse() -> None:
    n = 1500
    x = expr.ref("state", "x", 1, (n,), (None,))
    sd = expr.param("sd", (n,), (None,))
    form = affine(expr.add(expr.mul(sd, x), expr.index(x, [expr.const(np.arange(n)[::-1].copy())])), is_state_or_noise)
    assert isinstance(form, Affine)
    assert form.terms["state", "x", 1].nnz == 2 * n
