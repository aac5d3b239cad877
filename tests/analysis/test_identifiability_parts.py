"""The exact arithmetic, its derivatives and the law of the observations, each against something that shares no code."""

from __future__ import annotations

from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssmlang
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.identifiability_dual import Calculus, Dual, Expressions
from ssmlang.analysis.identifiability_invariants import Invariant
from ssmlang.analysis.identifiability_law import Point, laws
from ssmlang.analysis.identifiability_point import coordinates, duals, inside, plausible, residues
from ssmlang.analysis.identifiability_rank import null_space, rational
from ssmlang.analysis.identifiability_rings import NoRoot, P, PrimeField, Reals
from ssmlang.analysis.identifiability_skeleton import Path
from ssmlang.analysis.residues import fraction
from ssmlang.analysis.residues import rank as exact_rank
from ssmlang.frontend import check_text
from ssmlang.model import expr
from ssmlang.model.expr import Node
from tests.engines.oracle import Dense

FIELD = PrimeField(0)


def modular(x: Fraction) -> int:
    return x.numerator * pow(x.denominator, P - 2, P) % P


# ------------------------------------------------------------------------------------------------------- the field


@given(st.integers(0, 10**6), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_products_of_matrices_are_exact(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, P, (3, k)), rng.integers(0, P, (k, 2))
    wanted = [[sum(int(x) * int(y) for x, y in zip(row, column)) % P for column in b.T] for row in a]
    assert FIELD.matmul(a, b).tolist() == wanted


def test_products_at_the_largest_numbers() -> None:
    a = np.full((1, 5000), P - 1)
    assert FIELD.matmul(a, a.T).tolist() == [[5000]]


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_inverse(seed: int) -> None:
    a = np.random.default_rng(seed).integers(0, P, (5, 5))
    assert FIELD.matmul(FIELD.inverse(a), a).tolist() == np.eye(5, dtype=int).tolist()


def test_a_singular_matrix_has_none() -> None:
    with pytest.raises(NoRoot):
        FIELD.inverse(np.array([[1, 2], [2, 4]]))


@given(st.fractions(min_value=-100, max_value=100, max_denominator=300))
def test_fractions_come_back(x: Fraction) -> None:
    assert fraction(modular(x), most=2**15) == x
    small = max(abs(x.numerator), x.denominator) <= 1000
    assert fraction(modular(x)) == (x if small else None)


@pytest.mark.parametrize(("x", "meant"), [(0.1, Fraction(1, 10)), (1 / 3, Fraction(1, 3)), (8 / 3, Fraction(8, 3)),
                                          (0.005000000000000001, Fraction(1, 200)), (-2.0, Fraction(-2))])  # fmt: skip
def test_floats_are_the_fractions_that_were_meant(x: float, meant: Fraction) -> None:
    assert int(FIELD.number(np.array(x))) == modular(meant)


@pytest.mark.parametrize("seed", range(20))
def test_functions_keep_their_identities(seed: int) -> None:
    """At random arguments, which are what they are asked for."""
    u, v = (int(x) for x in np.random.default_rng(seed).integers(2, P - 2, 2))
    field = PrimeField(1)
    of = lambda name, x: int(field.function(name, np.array([x % P]))[0][0])
    assert of("exp", u) * of("exp", v) % P == of("exp", u + v)
    assert of("exp", -u) * of("exp", u) % P == 1
    assert of("exp", 2 * u) == of("exp", u) ** 2 % P
    assert of("log", of("exp", u)) == u % P
    s, c = of("sin", u), of("cos", u)
    assert (s * s + c * c) % P == 1
    assert of("sin", -u) == -s % P and of("cos", -u) == c
    assert of("sin", u + v) == (s * of("cos", v) + c * of("sin", v)) % P


def test_exponentials_of_sums_and_differences_agree() -> None:
    """Among many known ones too: what is random where it should follow would count as rank."""
    field, random = PrimeField(1), np.random.default_rng(0)
    powers = [int(u) for u in random.integers(2, P - 2, 150)]
    exps = [field._one_exp(u)[0] for u in powers]
    for _ in range(200):
        i, j = random.integers(0, len(powers), 2)
        assert field._one_exp((powers[i] + powers[j]) % P)[0] == exps[i] * exps[j] % P
        assert field._one_exp((powers[i] - powers[j]) % P)[0] * exps[j] % P == exps[i]


def test_square_roots() -> None:
    field = PrimeField(2)
    squares = np.array([4, 9, 7 * 7])
    root, slope = field.function("sqrt", squares)
    assert (root * root % P == squares).all() and (2 * root * slope % P == 1).all()
    with pytest.raises(NoRoot):
        field.function("sqrt", np.array([P - 1]))  # -1 is no square modulo a prime that is 3 mod 4


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_null_space(seed: int, rank: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    rank = min(rank, d)
    a = FIELD.matmul(rng.integers(0, P, (7, rank)), rng.integers(0, P, (rank, d)))
    null = null_space(a)
    assert null.shape == (d, d - rank) and exact_rank(a) == rank
    assert not FIELD.matmul(a, null).any() if d > rank else True


def test_rational_vectors() -> None:
    assert rational(np.array([[modular(Fraction(-2, 3))], [5]])) == [[Fraction(-2, 3), Fraction(5)]]
    assert rational(np.array([[123456789]])) is None


def test_gradient_of_an_invariant() -> None:
    f = Invariant(((Fraction(2), ((0, 2), (1, -1))), (Fraction(-1, 3), ((1, 1),))))
    values = np.array([3, 7])
    wanted = [modular(Fraction(12, 7)), modular(Fraction(-18, 49) - Fraction(1, 3))]
    assert f.gradient(values).tolist() == wanted
    np.testing.assert_allclose(f.slope(values.astype(float)), [12 / 7, -18 / 49 - 1 / 3])
    assert f.text(["a", "b"]) == "2 * a^2 / b - (1/3) * b"


# ------------------------------------------------------------------------------------------------------ derivatives


def _cases() -> dict[str, Node]:
    a, m = expr.param("a", (3,), (None,)), expr.param("m", (2, 2), (None, None))
    s = expr.param("s", (), ())
    positive = expr.add(expr.matmul(m, expr.transpose(m)), expr.const(np.eye(2)))
    return {
        **{op: expr.unary(op, a) for op in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "softplus",
                                            "log1p", "expm1", "lgamma", "normal_cdf", "atan", "abs", "relu")},
        "logit": expr.unary("logit", expr.unary("sigmoid", a)),
        "div": expr.div(a, expr.add(s, expr.const(1.0))),
        "pow": expr.binary("pow", a, expr.const(3)),
        "half power": expr.binary("pow", a, expr.const(-0.5)),
        "real power": expr.binary("pow", a, s),
        "maximum": expr.binary("maximum", a, s),
        "mod": expr.binary("mod", a, expr.const(0.75)),
        "matmul": expr.matmul(m, m),
        "matrix times vector": expr.matmul(m, expr.index(a, [expr.const(np.array([0, 2]))])),
        "inverse": expr.linalg("inverse", [positive], (2, 2)),
        "cholesky": expr.linalg("cholesky", [positive], (2, 2)),
        "kron": expr.linalg("kron", [m, expr.reshape(a, (3, 1))], (6, 2)),
        "block_diag": expr.linalg("block_diag", [m, expr.reshape(s, (1, 1))], (3, 3)),
        "diag": expr.linalg("diag", [a], (3, 3)),
        "diagonal": expr.linalg("diagonal", [m], (2,)),
        "softmax": expr.linalg("softmax", [a], (3,)),
        "sum": expr.reduce("sum", m, 0),
        "prod": expr.reduce("prod", m, 1),
        "max": expr.reduce("max", m, 1),
        "where": expr.where(expr.binary("lt", a, expr.const(1.0)), expr.mul(a, s), s),
        "stack": expr.stack([s, expr.mul(s, s), expr.const(1.0)]),
        "concat": expr.concat([a, expr.mul(a, a)]),
        "broadcast": expr.broadcast(s, (2, 3)),
        "atan2": expr.binary("atan2", a, s),
    }  # fmt: skip


CASES = _cases()
POINT = {"a": np.array([0.4, 1.3, 2.1]), "m": np.array([[0.5, -0.2], [0.8, 1.1]]), "s": np.array(0.9)}


def _value(node: Node, point: dict[str, np.ndarray], directions: bool) -> Dual:
    calculus = Calculus(Reals(), 8 if directions else 0)
    params, first = {}, 0
    for name, v in point.items():
        tangent = np.zeros((8, v.size))
        tangent[first + np.arange(v.size), np.arange(v.size)] = 1
        first += v.size
        params[name] = Dual(v, tangent.reshape(8, *v.shape) if directions else None)
    return Expressions(calculus, params, point)([node], 0)[0]


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_operations(name: str) -> None:
    node = CASES[name]
    found = _value(node, POINT, True)
    assert found.shape == node.shape and found.tangent is not None
    h, first = 1e-6, 0
    for k, v in POINT.items():
        for e in range(v.size):
            moved = [{**POINT, k: v + sign * h * (np.arange(v.size) == e).reshape(v.shape)} for sign in (1, -1)]
            up, down = (_value(node, p, False).value for p in moved)
            np.testing.assert_allclose(found.tangent[first + e], (up - down) / (2 * h), atol=2e-8, rtol=1e-6)
        first += v.size


def test_rational_operations_agree_in_the_field() -> None:
    """The same expression at the same rational point, as fractions and as residues."""
    a = [Fraction(2, 5), Fraction(13, 10), Fraction(21, 10)]
    s = Fraction(9, 10)
    wanted = [x**3 / (s + 1) for x in a]
    node = expr.div(expr.binary("pow", expr.param("a", (3,), (None,)), expr.const(3)),
                    expr.add(expr.param("s", (), ()), expr.const(1.0)))  # fmt: skip
    params = {"a": Dual(np.array([modular(x) for x in a])), "s": Dual(np.array(modular(s)))}
    [found] = Expressions(Calculus(FIELD, 0), params, {k: POINT[k] for k in ("a", "s")})([node], 0)
    assert found.value.tolist() == [modular(x) for x in wanted]


# ------------------------------------------------------------------------------------------------ points and supports

SUPPORTS = """param a ~ Normal(0, 1)
param b in (0, 1 - abs(a) / 100) ~ Normal(0, 1)
param phi[3] in stationary ~ Normal(0, 0.5)
param p[3] ~ Dirichlet([1, 1, 1])
param L[3, 3] ~ LKJCholesky(2)
param s ~ HalfNormal(1)
obs y
y[t] ~ Normal(a + b + sum(phi) + sum(p) + L[2, 0], s)
"""


def test_plausible_points_lie_inside() -> None:
    model = check_text(SUPPORTS.replace("phi[3] in stationary", "phi[3]")).require()
    for seed in range(20):
        values = plausible(model, seed)
        assert inside(model, values)
        np.testing.assert_allclose((values["L"] @ values["L"].T).diagonal(), 1)
    assert not inside(model, {**values, "s": np.array(-1.0)})


def test_residues_keep_constraints_and_so_do_directions() -> None:
    model = check_text(SUPPORTS.replace("phi[3] in stationary", "phi[3]")).require()
    values = residues(model, FIELD, np.random.default_rng(0), ["p", "L"])
    assert int(values["p"].sum() % P) == 1
    rows = [int(sum(int(x) ** 2 for x in row) % P) for row in values["L"]]
    assert rows == [1, 1, 1] and not np.triu(values["L"], 1).any()
    coords = coordinates(model, ["p", "L"])
    assert [k.name for k in coords] == ["p[0]", "p[1]", "L[1,0]", "L[2,0]", "L[2,1]"]
    moved = duals(model, Calculus(FIELD, 5), values, coords)
    assert moved["p"].tangent is not None and not (moved["p"].tangent.sum(-1) % P).any()
    slope = moved["L"].tangent
    assert slope is not None
    for d in slope:  # rows keep their length: the derivative is orthogonal to the row
        assert [int(sum(int(x) * int(y) for x, y in zip(r, v)) % P) for r, v in zip(values["L"], d)] == [0, 0, 0]


# --------------------------------------------------------------------------------------------------------- the law

LAWS = {
    "local level": "param s, sd ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(3, 2)\nx[t] ~ Normal(x[t-1], s)\n"
                   "y[t] ~ Normal(x[t], sd)\n",
    "ARMA": "param phi[2] ~ Normal(0, 0.2)\nparam theta, mu ~ Normal(0, 0.5)\nparam s ~ HalfNormal(1)\n"
            "noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\n"
            "x[t] = mu + phi[0] * x[t-1] + phi[1] * x[t-2] + e[t] + theta * e[t-1]\ny[t] = x[t] + x[t-1]\n",
    "two states, noise shared with the observation": (
        "param a, b ~ Normal(0, 0.3)\nparam s ~ HalfNormal(1)\nnoise e ~ Normal(0, s)\nstate x, z\nobs y[2]\n"
        "init x ~ Stationary()\ninit z ~ Normal(1, b)\nx[t] = a * x[t-1] + e[t]\n"
        "z[t] ~ Normal(z[t-1] + b * x[t-1], 1)\n"
        "y[t, 0] = x[t] + e[t-1]\ny[t, 1] ~ Normal(z[t] + x[t], s)\n"
    ),
    "diffuse trend that a clock moves": (
        "param a ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\nstate x, z\nobs y\ninit x, z ~ Diffuse()\n"
        "x[t] ~ Normal(x[t-1] + cos(t) * z[t-1], s)\nz[t] = z[t-1] + a\ny[t] ~ Normal(x[t], 1)\n"
    ),
    "whole past": "param d ~ HalfNormal(0.3)\nstate x\nobs y\ninit x ~ Normal(1, 1)\n"
                  "x[t] ~ Normal(sum(d^k * x[t-k] for k in 1..t), 0.5)\ny[t] ~ Normal(x[t], 1)\n",
    "blocks": "param s[3] ~ HalfNormal(1)\nparam sd ~ HalfNormal(1)\nstate x[3]\nobs y[3]\ninit x ~ Normal(0, 1)\n"
              "x[t, i] ~ Normal(0.5 * x[t-1, i], s[i]) for i in 0..2\ny[t, i] ~ Normal(x[t, i], sd) for i in 0..2\n",
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_law_is_that_of_the_engines_program(name: str) -> None:
    """Mean, covariance and flat directions against the program that the engines take, unrolled by the tests' oracle."""
    from ssmlang.lowering.gaussian import GaussianLowering

    model = ssmlang.compile(LAWS[name])
    form, steps = model.form, 6
    values = plausible(model.spec, 3)
    if "phi" in values:
        values["phi"] = np.array([0.3, -0.2])
    if "a" in values:
        values["a"] = np.array(0.4)
    with jax.enable_x64(True):
        data = {n: np.zeros((steps, *v.shape)) for n, v in model.spec.observations.items()}
        program, _ = GaussianLowering(model.spec, form).program(values, data, {}, steps)  # type: ignore[arg-type]
        dense = Dense(jax.tree.map(np.asarray, program), steps)
    whole = [dense.y[t] for t in range(steps)]
    mean, loadings, flat = (np.concatenate([getattr(y, k) for y in whole]) for k in ("constant", "loadings", "flat"))
    ring = Reals()
    coords = coordinates(model.spec, list(values))
    at = lambda v: laws(model.spec, form, Point(ring, len(coords), duals(model.spec, Calculus(ring, len(coords)), v,  # type: ignore[arg-type]
                                                                       coords), v, {}), steps)  # fmt: skip
    found = at(values)
    assert sorted(np.concatenate([x.seen for x in found]).tolist()) == list(range(len(mean)))
    for law in found:
        np.testing.assert_allclose(law.mean.value, mean[law.seen], atol=1e-12)
        np.testing.assert_allclose(law.cov.value, (loadings @ loadings.T)[np.ix_(law.seen, law.seen)], atol=1e-11)
        if flat.shape[1]:
            np.testing.assert_allclose(law.flat.value @ law.flat.value.T, flat[law.seen] @ flat[law.seen].T, atol=1e-11)
    for i, k in enumerate(coords):
        h = 1e-6
        ends = []
        for sign in (1, -1):
            new = {n: np.array(v, float) for n, v in values.items()}
            new[k.parameter].reshape(-1)[k.entry] += sign * h
            ends.append(at(new))
        for law, up, down in zip(found, *ends):
            for field in ("mean", "cov", "flat"):
                own = getattr(law, field)
                inner = np.flatnonzero(law.active == i)
                slope = own.tangent[inner[0]] if own.tangent is not None and len(inner) else np.zeros(own.shape)
                difference = (getattr(up, field).value - getattr(down, field).value) / (2 * h)
                np.testing.assert_allclose(slope, difference, atol=1e-6, rtol=1e-6)


def test_noise_free_path_of_a_map_with_known_answer() -> None:
    """x[t] = r x (1 - x) from a known start, seen up to a gain: r and the gain are told apart, from two rows on."""
    text = (
        "param r, k ~ HalfNormal(1)\nstate x\nobs y\ninit x = 0.3\nx[t] = r * x[t-1] * (1 - x[t-1])\n"
        "y[t] ~ Poisson(k * x[t])\n"
    )
    path = Path(check_text(text).require(), Budget(20))
    assert path.exact and [k.name for k in path.coords] == ["r", "k"]
    _, null = path.at(1, 1)
    assert null.shape[1] == 1
    _, null = path.at(2, 1)
    assert null.shape[1] == 0
