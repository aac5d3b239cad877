"""Stability: programs with known answers, conditions against eigenvalues, and signs against exact points."""

from __future__ import annotations

import random
import time
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.analysis import stability
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.stability_analysis import analyse
from ssmlang.analysis.stability_blocks import Dynamics, blocks, characteristic
from ssmlang.analysis.stability_domain import Domain, from_partial
from ssmlang.analysis.stability_factors import factors
from ssmlang.analysis.stability_generic import PRIME, characteristic_residues, generic_unity, jordan_index
from ssmlang.analysis.stability_modes import Mode, modes
from ssmlang.analysis.stability_numbers import values_at
from ssmlang.analysis.stability_polynomials import cyclotomic_order, is_reciprocal, is_schur, schur_conditions
from ssmlang.analysis.stability_signs import positive
from ssmlang.analysis.stability_words import conditions
from tests.analysis.programs import context_of
from tests.analysis.stability_models import CASES


@pytest.mark.parametrize("name", CASES)
def test_known_dynamics(name: str) -> None:
    case = CASES[name]
    found = {f.property: f for f in stability.check(context_of(case.text))}
    assert case.of in found, found
    f = found[case.of]
    whole = "\n".join([f.reason, *f.details, f.fix or ""])
    assert f.verdict == case.verdict, whole
    assert f.fix or not (f.asserted and f.verdict == "refuted"), f
    for words in case.says:
        assert words in whole, whole
    for words in case.not_says:
        assert words not in whole, whole


# --------------------------------------------------------------------------------------------- conditions


fractions = st.fractions(min_value=-2, max_value=2, max_denominator=12)


def radius(coefficients: list[Fraction]) -> float:
    return max((abs(r) for r in np.roots([float(c) for c in coefficients])), default=0.0)


@settings(max_examples=150, deadline=None)
@given(st.lists(fractions, min_size=1, max_size=6))
def test_conditions_are_those_of_the_eigenvalues(rest: list[Fraction]) -> None:
    coefficients = [Fraction(1), *rest]
    exact = [sp.Rational(c.numerator, c.denominator) for c in coefficients]
    numeric = radius(coefficients)
    by_conditions = all(g > 0 for g in schur_conditions(exact))
    assert by_conditions == is_schur(coefficients)
    # Multiple roots come apart by the root of rounding.
    if abs(numeric - 1) > 1e-2:
        assert by_conditions == (numeric < 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fractions(Fraction(-9, 10), Fraction(9, 10), max_denominator=20), min_size=1, max_size=6))
def test_partial_autocorrelations_fill_the_region(partial: list[Fraction]) -> None:
    phi = from_partial([sp.Rational(r.numerator, r.denominator) for r in partial])
    assert is_schur([Fraction(1), *(-Fraction(int(c.p), int(c.q)) for c in phi)])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_region_of_an_autoregression_is_proved(order: int) -> None:
    phi = [sp.Symbol(f"phi[{k}]", real=True) for k in range(1, order + 1)]
    domain = Domain(stationary=(tuple(phi),))
    for g in schur_conditions([sp.Integer(1), *(-p for p in phi)]):
        assert positive(g, domain).positive is True
        assert positive(-g, domain).positive is False


def test_conditions_as_written() -> None:
    a, b = sp.symbols("a b", real=True)
    assert conditions([1 - a, 1 + a]) == ["|a| < 1"]
    assert conditions([4 - a**2]) == ["|a| < 2"]
    assert conditions([1 - a - b]) == ["a + b < 1"]
    assert conditions([a - b]) == ["b < a"]
    assert conditions([2 - 2 * a * b, 2 + 2 * a * b]) == ["|a*b| < 1"]


# --------------------------------------------------------------------------------------------- signs


INTERVALS = [(-1, 1), (0, 1), (0, None), (None, 0), (None, None), (Fraction(1, 2), 3)]


@st.composite
def polynomials(draw: st.DrawFn) -> tuple[sp.Expr, Domain]:
    symbols = sp.symbols("u v", real=True)
    terms = draw(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=5))
    g = sum((c * symbols[0] ** i * symbols[1] ** j for c, i, j in terms), sp.Integer(draw(st.integers(-3, 6))))
    ends = [draw(st.sampled_from(INTERVALS)) for _ in symbols]
    wide = lambda e, s: sp.oo * s if e is None else sp.Rational(e)
    return sp.expand(g), Domain({s: (wide(lo, -1), wide(hi, 1)) for s, (lo, hi) in zip(symbols, ends)})


@settings(max_examples=100, deadline=None)
@given(polynomials(), st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)), min_size=8, max_size=8))
def test_no_sign_is_wrongly_proved(case: tuple[sp.Expr, Domain], at: list[tuple[float, float]]) -> None:
    g, domain = case
    found = positive(g, domain)
    if found.positive is False:
        assert found.witness is not None and domain.holds(dict(found.witness))
        assert g.xreplace(dict(found.witness)) <= 0
    if found.positive:
        for point in at:
            values = {}
            for (s, (low, high)), u in zip(domain.intervals.items(), point):
                if low.is_finite and high.is_finite:
                    x = float(low) + float(high - low) * u
                elif low.is_finite:
                    x = float(low) + u / (1 - u)
                else:
                    x = float(high) - u / (1 - u) if high.is_finite else np.tan(np.pi * (u - 0.5))
                values[s] = sp.Rational(x)
            assert g.xreplace(values) > 0


# --------------------------------------------------------------------------------------------- polynomials of blocks


def dynamics(matrices: list[np.ndarray]) -> Dynamics:
    n = len(matrices[0])
    number = lambda v: sp.Rational(Fraction(float(v)).limit_denominator(64))
    terms = {k + 1: {(i, j): number(m[i, j]) for i, j in zip(*np.nonzero(m))} for k, m in enumerate(matrices)}
    return Dynamics(tuple(f"x[{i}]" for i in range(n)), terms)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 3))
def test_roots_of_blocks_are_the_eigenvalues(seed: int, n: int, p: int) -> None:
    rng = np.random.default_rng(seed)
    sparse = lambda: np.round(rng.normal(size=(n, n)) * 8) / 16 * (rng.random((n, n)) < 0.5)
    matrices = [sparse() for _ in range(p)]
    roots: list[complex] = []
    order: list[int] = []
    found = blocks(dynamics(matrices))
    for number, block in enumerate(found):
        assert all(b < number for b in block.reads)
        order += block.entries
        polynomial = characteristic(block)
        assert polynomial is not None
        roots += list(np.roots([float(c) for c in polynomial.all_coeffs()]))
    assert sorted(order) == list(range(n))
    companion = np.zeros((n * p, n * p))
    companion[:n] = np.concatenate(matrices, axis=1)
    companion[n:, : n * (p - 1)] = np.eye(n * (p - 1))
    wanted = np.linalg.eigvals(companion)
    # Powers of z are left out of the polynomials.
    assert np.isclose(np.max(np.abs(roots), initial=0), np.max(np.abs(wanted), initial=0), atol=2e-3)
    z = 0.3 + 1.7j
    by_blocks = np.prod([z - r for r in roots]) * z ** (n * p - len(roots))
    assert np.isclose(by_blocks, np.prod(z - wanted), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31))
def test_verdicts_of_numbers_are_those_of_eigenvalues(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    m = np.round(rng.normal(size=(n, n)) * 8) / 12 * (rng.random((n, n)) < 0.6)
    judged = analyse(dynamics([m]), Domain(), Budget(30)).judged
    inside = all(j.inside for j in judged)
    rho = max(np.abs(np.linalg.eigvals(np.array(_matrix(j), float))).max() for j in judged)
    if abs(rho - 1) > 1e-3:
        assert inside == (rho < 1)


def _matrix(judged) -> list[list[sp.Expr]]:
    from ssmlang.analysis.stability_blocks import companion

    return companion(judged.block)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_no_stability_is_wrongly_proved(seed: int) -> None:
    """Two states with parameters in random intervals: what is proved holds at random points, and a witness is one."""
    rng = np.random.default_rng(seed)
    symbols = sp.symbols("a b c d", real=True)
    ends = {s: tuple(sorted(sp.Rational(int(k), 4) for k in rng.choice(np.arange(-6, 7), 2, replace=False)))
            for s in symbols}  # fmt: skip
    terms = {(i, j): symbols[2 * i + j] for i in range(2) for j in range(2) if rng.random() < 0.8}
    if rng.random() < 0.3:
        terms[1, 1] = sp.Integer(1) - symbols[3]
    found = analyse(Dynamics(("x", "y"), {1: terms}), Domain(ends), Budget(60)).judged
    count = 2_000
    draws = {s: float(lo) + float(hi - lo) * rng.random(count) for s, (lo, hi) in ends.items()}
    entries = [terms.get((i, j), sp.Integer(0)) for i in range(2) for j in range(2)]
    values = values_at(entries, draws, count)
    assert values is not None
    rho = np.abs(np.linalg.eigvals(values.reshape(count, 2, 2))).max(axis=1)
    if all(j.inside for j in found):
        assert (rho < 1 + 1e-9).all()
    if any(f.place == "not inside" for j in found for f in j.factors or ()):
        assert (rho > 1 - 1e-9).all()
    for j in found:
        for f in j.factors or ():
            if f.witness is not None:
                at = [Fraction(str(c.xreplace(dict(f.witness)))) for c in f.coefficients]
                assert not is_schur(at)


def test_a_condition_on_the_row_number_is_that_of_late_rows_and_said_so() -> None:
    text = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal((if t < 100 then 1.5 else 0.5) * x[t-1], 1)\n"
    (found,) = stability.check(context_of(text + "y[t] ~ Normal(x[t], 1)\n"))
    assert found.verdict == "proved" and "said of late rows" in found.details[-1] and "line 4" in found.details[-1]


def test_a_condition_on_a_parameter_is_written_as_in_the_file() -> None:
    text = "param a ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\ny[t] ~ Normal(x[t], 1)\n"
    (found,) = stability.check(context_of(text + "x[t] ~ Normal((if a > 0 then 0.5 else 1.5) * x[t-1], 1)\n"))
    assert "if a > 0 then 1/2 else 3/2" in " ".join([found.reason, *found.details])


def test_a_budget_that_is_spent_leaves_things_unknown() -> None:
    budget = Budget(1e-9)
    symbols = sp.symbols("a b", real=True)
    (judged,) = analyse(Dynamics(("x",), {1: {(0, 0): symbols[0]}, 2: {(0, 0): symbols[1]}}), Domain(), budget).judged
    assert judged.inside is None
    assert "took longer" in judged.why


# --------------------------------------------------------------------------------------------- roots of one, modes


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 12, 24, 30])
def test_cyclotomic_polynomials_are_known(n: int) -> None:
    p = sp.Poly(sp.cyclotomic_poly(n, sp.Symbol("z"))).all_coeffs()
    assert cyclotomic_order(p) == n
    assert is_reciprocal(p)
    assert cyclotomic_order([2 * c for c in p]) is None


def test_unit_roots_of_polynomials_too_large_to_write() -> None:
    n = 4
    a, b = (sp.symbols(f"{name}0:{n}", real=True) for name in "ab")
    matrix = sp.eye(n) + sp.Matrix(a) * sp.Matrix([b])
    terms = {(i, j): matrix[i, j] for i in range(n) for j in range(n)}
    (block,) = blocks(Dynamics(tuple("wxyz"), {1: terms}))
    assert generic_unity(block, Domain()) == {1: n - 1}
    free = {p: v - (sp.Rational(1, 2) if p[0] == p[1] else 0) for p, v in terms.items()}
    (other,) = blocks(Dynamics(tuple("wxyz"), {1: free}))
    assert generic_unity(other, Domain()) == {}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_characteristic_polynomials_of_residues(size: int) -> None:
    source = random.Random(size)
    for _ in range(5):  # zeros among the entries make columns without a pivot
        rows = [[source.choice([0, 0, 1, -2, 7]) for _ in range(size)] for _ in range(size)]
        exact = sp.Matrix(rows).charpoly().all_coeffs()
        assert characteristic_residues(rows) == [int(c) % PRIME for c in exact]


def test_many_states_that_read_each_other_take_no_time() -> None:
    """Exact fractions took a minute here: walks drawn towards one combination of them, which alone moves back."""
    n = 30
    a, b = (sp.symbols(f"{name}0:{n}", real=True) for name in "ab")
    terms = {(i, j): a[i] * b[j] + int(i == j) for i in range(n) for j in range(n)}
    (block,) = blocks(Dynamics(tuple(f"x{i}" for i in range(n)), {1: terms}))
    began = time.process_time()
    assert generic_unity(block, Domain()) == {1: n - 1}
    assert time.process_time() - began < 2


def test_factors_of_irrational_numbers() -> None:
    """A rotation by a cosine that no fraction is: its determinant is one all the same."""
    z = blocks(Dynamics(("a", "b"), {1: {(0, 0): sp.cos(1), (0, 1): sp.sin(1), (1, 0): -sp.sin(1), (1, 1): sp.cos(1)}}))
    (factor,) = factors(characteristic(z[0]), Domain())
    assert factor.place == "circle"
    assert np.isclose(factor.modes[0].period, 2 * np.pi)


def test_modes_in_words() -> None:
    assert modes(np.diag([0.5]))[0].half_life == pytest.approx(1)
    assert Mode(1.05).doubling_time == pytest.approx(np.log(2) / np.log(1.05))
    assert Mode(-0.9).describe().startswith("changes sign every row, half-life 6.58")
    turning = modes(0.9 * np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]]))
    assert len(turning) == 1
    assert turning[0].period == pytest.approx(2 * np.pi / 0.1)
    assert Mode(1).describe() == "has a unit root at frequency zero"
    assert Mode(0).describe() == "gone after a finite number of rows"


@pytest.mark.parametrize("n", [2, 3, 4])
def test_how_often_unit_roots_integrate(n: int) -> None:
    """Walks drawn together are integrated once, a chain of walks (mixed so that all is one block) n times."""
    a, b = (sp.symbols(f"{name}0:{n}", real=True) for name in "ab")
    together = sp.eye(n) + sp.Matrix(a) * sp.Matrix([b])
    chain = sp.eye(n) + sp.Matrix(n, n, lambda i, j: int(j == i + 1))
    mix = sp.Matrix(n, n, lambda i, j: 1 if i >= j else i + 2 * j)
    mixed = mix * chain * mix.inv()
    for matrix, multiplicity, order in ((together, n - 1, 1), (mixed, n, n)):
        terms = {(i, j): matrix[i, j] for i in range(n) for j in range(n) if matrix[i, j] != 0}
        (block,) = blocks(Dynamics(tuple("wxyz"[:n]), {1: terms}))
        assert jordan_index(block, multiplicity) == order


@pytest.mark.parametrize(
    ("coefficient", "warned"),
    [("1", True), ("-1", True), ("1.5", True), ("a", False), ("0.5", False)],
)
def test_a_stationary_start_that_no_value_allows(coefficient: str, warned: bool) -> None:
    """The likelihood is zero everywhere, which is said before anything runs."""
    text = (
        "param a in (-2, 2) ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Stationary()\n"
        f"x[t] ~ Normal({coefficient} * x[t-1], 1)\ny[t] ~ Normal(x[t] + a, 1)\n"
    )
    found = [f.property for f in stability.check(context_of(text)) if f.code == "W615"]
    assert found == (["stationary start of x"] if warned else [])


def test_one_condition_that_no_value_meets_settles_it() -> None:
    """z^2 + z - a has its product of roots -a and its sum -1: with a > 0 one root is below -1."""
    a = sp.Symbol("a", positive=True)
    terms = {1: {(0, 0): -sp.S.One}, 2: {(0, 0): a}}
    (block,) = blocks(Dynamics(("x",), terms))
    domain = Domain(intervals={a: (sp.S.Zero, sp.oo)})
    (factor,) = factors(characteristic(block), domain)
    assert factor.place == "not inside"


def test_observations_that_are_read_back_are_judged() -> None:
    text = (
        "param a in (-1, 1) ~ Normal(0, 0.5)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(0.5 * x[t-1], 1)\ny[t] ~ Normal(x[t] + COEF * y[t-1], 1)\nassert stable(y)\n"
    )
    verdict = lambda coefficient: next(
        f.verdict for f in stability.check(context_of(text.replace("COEF", coefficient))) if f.asserted
    )
    assert (verdict("a"), verdict("2 * a"), verdict("0.9")) == ("proved", "refuted", "proved")
