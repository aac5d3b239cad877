"""Koopman lifts against a table of known answers, random maps that close by construction, and numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.analysis.budget import Budget
from ssmlang.analysis.closure import check
from ssmlang.analysis.closure_proposal import propose
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form
from tests.analysis.lifts import CASES, HEAD, Case


def found(text: str, seconds: float = 5) -> list[Finding]:
    model = check_text(text).require()
    return check(Context(model, linear_form(model), Budget(seconds)))


def said(f: Finding) -> str:
    return "\n".join([f.reason, *f.details, f.fix or ""])


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_known_answers(case: Case) -> None:
    lift, *others = found(case.text)
    assert lift.verdict == case.verdict, said(lift)
    assert lift.asserted and lift.line is not None
    if case.eigenvalues:
        assert f": {case.eigenvalues};" in said(lift)
    if case.stable:
        assert [f.verdict for f in others] == [case.stable]
    assert all(piece in said(lift) for piece in (*case.left, case.noise))
    if case.added is not None:
        assert lift.fix is not None and lift.fix.endswith(f"{', '.join(case.added)}] exact")
    if case.verdict == "refuted":
        assert lift.code == "E501"
        assert ("no finite set of functions" in said(lift)) == case.endless


@pytest.mark.parametrize("case", [c for c in CASES if c.added is not None], ids=lambda c: c.name)
def test_the_fix_can_be_pasted(case: Case) -> None:
    lift, *_ = found(case.text)
    assert lift.fix is not None
    old = next(line for line in case.text.splitlines() if line.startswith("lift"))
    mended, *_ = found(case.text.replace(old, lift.fix))
    assert mended.verdict == "proved"


def test_a_lift_that_closes_only_somewhere_says_where() -> None:
    text = HEAD + (
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] = a * x[t-1] + c * d * x[t-1]^2\ny[t] ~ Normal(x[t], s)\n"
        "lift z[t] = [x[t]] exact\n"
    )
    (lift,) = found(text)
    assert lift.verdict == "refuted"
    assert "it closes only where c = 0 or d = 0" in lift.details


def test_where_an_eigenfunction_has_no_value() -> None:
    case = next(c for c in CASES if c.name == "redundant")
    lift, *_ = found(case.text)
    assert any("2 * x[t] is a combination" in d for d in lift.details)
    text = HEAD + (
        "state x, v\nobs y\ninit x, v ~ Normal(0, 1)\nx[t] = a * x[t-1]\nv[t] = b * v[t-1] + c * x[t-1]^2\n"
        "y[t] ~ Normal(v[t], s)\nlift z[t] = [v[t], c * x[t]^2 + d * v[t]] exact\n"
    )
    lift, *_ = found(text)
    assert lift.verdict == "proved" and not lift.unless
    lift, *_ = found(text.replace("[v[t], c * x[t]^2 + d * v[t]]", "[v[t], (c + d) * x[t]^2]"))
    assert lift.verdict == "proved" and lift.unless == ("c + d = 0",)


def test_what_the_observations_see() -> None:
    text = next(c for c in CASES if c.name == "slow manifold").text
    lift, *_ = found(text.replace("y[t] ~ Normal(x[t], s)", "y[t] ~ Normal(v[t], s)"))
    assert "observations: linear in z, and see 2 of its 3 directions: x[t] never reaches them" in lift.details
    lift, *_ = found(text.replace("y[t] ~ Normal(x[t], s)", "y[t] ~ Normal(sin(v[t]), s)"))
    assert "observations: y is not linear in z: it reads sin(v[t])" in lift.details
    assert any(d.startswith("start: x is uncertain at the first row") for d in lift.details)
    lift, *_ = found(text.replace("init x, v ~ Normal(0.5, 0.1)", "init x = 0.5\ninit v = 0.1"))
    assert not any(d.startswith("start:") for d in lift.details)


def test_observability_of_a_lift() -> None:
    text = next(c for c in CASES if c.name == "slow manifold").text.replace("assert stable(z)", "assert observable(z)")
    _, claim = found(text)
    assert (claim.property, claim.verdict) == ("observable(z)", "refuted")
    assert claim.reason == "v[t], x[t]^2 never reach the observations"
    _, claim = found(text.replace("y[t] ~ Normal(x[t], s)", "y[t] ~ Normal(x[t] + v[t], s)"))
    assert claim.verdict == "proved"
    _, claim = found(text.replace("y[t] ~ Normal(x[t], s)", "y[t] ~ Normal(exp(v[t]), s)"))
    assert claim.verdict == "unknown" and "not linear in z" in claim.reason


def test_modes_of_a_lift_in_numbers() -> None:
    """A rotation that shrinks by a tenth a row: its square has its trace, and turns and shrinks twice as fast."""
    text = (
        "state x, v\nobs y\ninit x, v ~ Normal(0, 1)\nx[t] = 0.9 * (cos(0.5) * x[t-1] - sin(0.5) * v[t-1])\n"
        "v[t] = 0.9 * (sin(0.5) * x[t-1] + cos(0.5) * v[t-1])\ny[t] ~ Normal(x[t], 1)\n"
        "lift z[t] = [x[t], v[t], x[t]^2, x[t] * v[t], v[t]^2, 1] exact\n"
    )
    lift, *_ = found(text)
    (said,) = [d for d in lift.details if "rho(K)" in d]
    assert said.startswith("rho(K) = 0.9: turns once in 12.6 rows, half-life 6.58 rows; half-life 3.29 rows; turns")
    flow = next(c for c in CASES if c.name == "polynomial flow")
    lift, *_ = found(flow.text)
    assert any(d.startswith("at the prior median: largest rate of L ") and "units of time" in d for d in lift.details)


def test_what_is_refuted_of_a_lift_says_what_to_write() -> None:
    for name in ("explosive", "rotation", "products of a rotation", "stable where c is small", "phase"):
        _, *claims = found(next(c for c in CASES if c.name == name).text)
        assert all(c.fix for c in claims if c.verdict == "refuted"), claims


def test_functions_within_functions_are_not_written_out_for_ever() -> None:
    """The image of x holds a logarithm twice, its own image four, and so on."""
    text = HEAD + (
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(log(1 + (b + x[t-1])^2), 0.3)\n"
        "y[t] ~ Normal(x[t], s)\nlift z[t] = [x[t], x[t]^2] fitted\n"
    )
    lift, *_ = found(text)
    assert lift.verdict == "refuted" and any("again and again" in d for d in lift.details)


def test_fitted_lifts_claim_nothing() -> None:
    text = next(c for c in CASES if c.name == "one function short").text
    lift, *_ = found(text.replace("exact", "fitted"))
    assert (lift.property, lift.verdict, lift.asserted, lift.code) == ("lift z closes", "refuted", False, None)


def test_least_squares_of_a_lift_that_closes_is_its_matrix() -> None:
    from ssmlang.analysis.closure_fitted import fitted

    text = next(c for c in CASES if c.name == "slow manifold").text
    text = text.replace("init x, v ~ Normal(0.5, 0.1)", "init x, v ~ Normal(1, 2)")
    model = check_text(text).require()
    context = Context(model, linear_form(model), Budget(20))
    operator = fitted(context, model.lifts[0])
    assert operator is not None
    draws = context.draws(99)
    a, b, c = (float(np.median([d[name] for d in draws])) for name in "abc")
    assert np.allclose(operator.matrix, [[a, 0, 0], [0, b, c], [0, 0, a**2]], atol=1e-6)
    assert (operator.errors < 1e-9).all()


def test_least_squares_of_a_lift_that_does_not_close() -> None:
    text = next(c for c in CASES if c.name == "pendulum").text.replace("exact", "fitted")
    lift, *_ = found(text)
    assert lift.verdict == "refuted" and lift.code is None
    assert any("the error on other rows" in d and "x[t] 0%" in d for d in lift.details)
    assert any(d.startswith("of that K rho(K) = ") for d in lift.details)


def test_constants_known_to_sixteen_digits() -> None:
    text = HEAD + (
        "state x, v\nobs y\ninit x, v ~ Normal(0, 1)\n"
        "x[t] = 0.955336489125606 * x[t-1] - 0.29552020666133955 * v[t-1]\n"
        "v[t] = 0.29552020666133965 * x[t-1] + 0.955336489125606 * v[t-1]\n"
        "y[t] ~ Normal(x[t], s)\nlift z[t] = [x[t]^2 + v[t]^2] exact\n"
    )
    (lift,) = found(text)
    assert lift.verdict == "proved" and "to the rounding of constants" in lift.reason
    (lift,) = found(text.replace("965", "999"))
    assert lift.verdict == "proved"
    (lift,) = found(text.replace("29552020666133965", "2956"))
    assert lift.verdict == "refuted"


def test_numbers_speak_where_algebra_takes_too_long() -> None:
    text = HEAD + (
        "param W[9, 9] ~ Normal(0, 1)\nstate h[9]\nobs y\ninit h ~ Normal(0, 1)\n"
        "h[t] = tanh(W @ h[t-1])\ny[t] ~ Normal(h[t, 0], s)\nlift z[t] = h[t] exact\n"
    )
    model = check_text(text).require()
    (lift,) = check(Context(model, linear_form(model), Budget(0.3)))
    assert lift.verdict == "unknown" and "in double precision it does not close at random points" in lift.reason


# ------------------------------------------------------------------------------------------- maps that must close


@st.composite
def triangular(draw: st.DrawFn) -> tuple[list[str], list[str], int]:
    """A map x[i]' = m_i x[i] + a polynomial in earlier entries, and the monomials that close it by construction."""
    n = draw(st.integers(2, 3))
    rate = lambda: draw(st.sampled_from(["a", "b", "0.5", "-0.3", "(a * b)", "2"]))
    equations, wanted = [], [tuple(int(i == j) for j in range(n)) for i in range(n)]
    extra: list[list[tuple[int, ...]]] = [[]]
    for i in range(1, n):
        terms = draw(st.lists(st.tuples(*[st.integers(0, 2) for _ in range(i)]), min_size=1, max_size=2, unique=True))
        extra.append([(*t, *([0] * (n - i))) for t in terms if sum(t) > 1])
    for i in range(n):
        text = f"{rate()} * x{i}[t-1]"
        for e in extra[i]:
            factors = " * ".join(f"x{j}[t-1]^{p}" for j, p in enumerate(e) if p)
            text += f" + {draw(st.sampled_from(['c', 'd', '1', '-0.25']))} * {factors}"
        equations.append(f"x{i}[t] = {text}")
    closed = _closure(wanted, extra, n)
    shown = [" * ".join(f"x{j}[t]^{p}" if p > 1 else f"x{j}[t]" for j, p in enumerate(e) if p) or "1" for e in closed]
    return equations, shown, n


def _closure(wanted: list[tuple[int, ...]], extra: list[list[tuple[int, ...]]], n: int) -> list[tuple[int, ...]]:
    """All monomials that those of `wanted` become, by expanding each factor."""
    known, waiting = list(wanted), list(wanted)
    while waiting:
        e = waiting.pop()
        images: set[tuple[int, ...]] = {(0,) * n}
        for i, power in enumerate(e):
            own = tuple(int(i == j) for j in range(n))
            for _ in range(power):
                images = {tuple(p + q for p, q in zip(m, f)) for m in images for f in [own, *extra[i]]}
        for m in sorted(images):
            if m not in known:
                known.append(m)
                waiting.append(m)
    return known


def _text(equations: list[str], functions: list[str], n: int) -> str:
    names = ", ".join(f"x{i}" for i in range(n))
    lift = f"lift z[t] = [{', '.join(functions)}] exact"
    head = [f"state {names}", "obs y", f"init {names} ~ Normal(0, 1)"]
    return HEAD + "\n".join([*head, *equations, "y[t] ~ Normal(x0[t], s)", lift]) + "\n"


@settings(max_examples=40, deadline=None)
@given(triangular())
def test_maps_that_close_by_construction_are_proved(made: tuple[list[str], list[str], int]) -> None:
    equations, functions, n = made
    (lift,) = found(_text(equations, functions, n))
    assert lift.verdict == "proved", said(lift)


PLANTED = ("c * x0[t-1]^7", "0.5 * sin(x0[t-1])", "exp(x0[t-1])", "d * x0[t-1]^5 * x1[t-1]")


@settings(max_examples=40, deadline=None)
@given(triangular(), st.sampled_from(PLANTED))
def test_one_planted_term_is_found(made: tuple[list[str], list[str], int], term: str) -> None:
    equations, functions, n = made
    # Degrees of the construction stay below 2 * 2 * 2: a monomial of the planted degree may be among them.
    planted = {"c * x0[t-1]^7": "x0[t]^7", "d * x0[t-1]^5 * x1[t-1]": "x0[t]^5 * x1[t]"}.get(term)
    if planted in functions:
        return
    equations = [*equations[:-1], f"{equations[-1]} + {term}"]
    (lift,) = found(_text(equations, functions, n), seconds=1)
    assert lift.verdict == "refuted", said(lift)


@settings(max_examples=25, deadline=None)
@given(triangular())
def test_the_search_finds_no_more_than_the_construction(made: tuple[list[str], list[str], int]) -> None:
    equations, functions, n = made
    states = [f"x{i}[t]" for i in range(n)]
    text = _text(equations, states, n)
    (lift,) = found(text)
    degree = max(sum(int(p.split("^")[1]) if "^" in p else 1 for p in f.split(" * ")) for f in functions)
    model = check_text(text).require()
    proposal = propose(Context(model, (), Budget(20)), degree)
    assert proposal.statement is not None
    assert proposal.statement.count(",") <= len(functions) - 1
    assert (lift.verdict == "proved") == (proposal.statement.count(",") == n - 1)


# ------------------------------------------------------------------------------------------------------ the algebra


def test_numbers_agree_with_the_algebra() -> None:
    from ssmlang.analysis.closure_algebra import Algebra
    from ssmlang.analysis.closure_functions import Exact, cleared, is_zero
    from ssmlang.analysis.closure_numbers import value_of

    algebra = Algebra()
    exact = Exact(algebra)
    x, y, k = (algebra.variable(n, "state" if n != "k" else "known") for n in "xyk")
    one = algebra.constant(1)
    at = {"x": 0.7, "y": 1.3, "k": -0.4}
    values = {
        "tanh": (exact.unary("tanh", x * y), np.tanh(0.7 * 1.3)),
        "sigmoid": (exact.unary("sigmoid", x + k), 1 / (1 + np.exp(-0.3))),
        "softplus": (exact.unary("softplus", x), np.log1p(np.exp(0.7))),
        "tan": (exact.unary("tan", x), np.tan(0.7)),
        "waves": ((x * k).wave(True) * (y + x).wave(False), np.sin(-0.28) * np.cos(2.0)),
        "divided": (x * (one + y * y).inverse(), 0.7 / (1 + 1.69)),
        "power": ((one + y * y).to_power(algebra.constant(Fraction(1, 2))), np.sqrt(2.69)),
        "log": ((x * x * y).log(), np.log(0.49 * 1.3)),
        "abs": (exact.unary("abs", x - y), 0.6),
        "atan2": (exact.binary("atan2", x, y), np.arctan2(0.7, 1.3)),
    }
    for name, (element, value) in values.items():
        assert value_of(element, at.__getitem__) == pytest.approx(value, rel=1e-13), name
    (number,) = x.symbols()
    for name, (element, _) in values.items():
        if name in ("abs", "atan2"):
            continue
        step = 1e-6
        ahead, behind = (value_of(element, {**at, "x": 0.7 + h}.__getitem__) for h in (step, -step))
        slope = value_of(element.diff(number), at.__getitem__)
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-7, abs=1e-9), name
    half = (one + y * y).to_power(algebra.constant(Fraction(1, 2)))
    assert is_zero(half * half - one - y * y)
    assert is_zero((x * k).wave(True) * (x * k).wave(True) + (x * k).wave(False) * (x * k).wave(False) - one)
    assert not is_zero((x * k).wave(True) - (x * y).wave(True))
    assert all(e.terms for e in cleared([x * y.inverse(), one]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3), st.integers(0, 2), st.integers(-2, 2)), min_size=1,
                max_size=4), st.integers(0, 3))  # fmt: skip
def test_the_mean_over_noise_is_that_of_quadrature(terms: list[tuple[int, int, int, int]], wave: int) -> None:
    """E over w ~ Normal(0, s) of sums of c w^k e^(g w) cos(h w + x), against Gauss-Hermite quadrature."""
    from ssmlang.analysis.closure_algebra import Algebra
    from ssmlang.analysis.closure_noise import mean
    from ssmlang.analysis.closure_numbers import value_of

    algebra = Algebra()
    x, w = algebra.variable("x", "state"), algebra.variable("w", "state")
    s = algebra.variable("s", "known")
    (number,) = w.symbols()
    whole = algebra.constant(0)
    for c, k, g, h in terms:
        part = w.raised(k).scaled(Fraction(c))
        if k == 0:
            part = part * w.scaled(Fraction(g, 2)).exp() * (w.scaled(Fraction(h)) + x).wave(bool(wave % 2))
        whole = whole + part * x
    found_mean = mean(whole, {number: s})
    assert found_mean is not None
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    values = [value_of(whole, {"x": 0.6, "w": 0.5 * n, "s": 0.5}.__getitem__) for n in nodes]
    expected = float(np.dot(weights, values) / np.sqrt(2 * np.pi))
    assert value_of(found_mean, {"x": 0.6, "w": np.nan, "s": 0.5}.__getitem__) == pytest.approx(expected, abs=1e-9)
