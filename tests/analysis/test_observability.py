"""Observability: programs with known answers, random ones against exact ranks, and planted deficiencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.analysis import observability
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.observability_block import Block, BlockResult
from ssmlang.analysis.supports import Supports
from ssmlang.analysis.system import System
from tests.analysis.programs import context_of

S = "param s1, s2, s3, s4, s_obs ~ HalfNormal(1)\n"


@dataclass(frozen=True)
class Case:
    """`says`: what the finding's reason, sets, details, label or headline hold; `unless`: how many sets are named."""

    text: str
    verdict: str
    says: tuple[str, ...] = ()
    unless: int | None = None


def two(first: str, second: str, seen: str, more: str = "") -> str:
    return (f"{S}{more}state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal({first}, s1)\n"
            f"b[t] ~ Normal({second}, s2)\ny[t] ~ Normal({seen}, s_obs)\n")  # fmt: skip


def parts(names: str, body: str, seen: str, more: str = "") -> str:
    return f"from structural import {names}\n{S}{more}{body}obs y\ny[t] ~ Normal({seen}, s_obs)\n"


RHO = "param rho in (0, 1) ~ Beta(2, 2)\n"
AR = "param phi[2] in stationary ~ Normal(0, 0.5)\n"

CASES = {
    "local level": Case(parts("local_level", "part l = local_level(s1)\n", "l[t]"), "proved", ("whatever",), 0),
    "two random walks": Case(
        two("a[t-1]", "b[t-1]", "a[t] + b[t]"), "refuted",
        ("both are random walks", "(a, b) = (1, -1)", "two components cannot be told apart", "only through their sum",
         "not detectable", "eigenvalue is 1"),
    ),
    "two random walks, their difference": Case(
        two("a[t-1]", "b[t-1]", "a[t] - b[t]"), "refuted", ("(a, b) = (1, 1)", "only through their difference"),
    ),
    "two random walks, weighted by parameters": Case(
        two("a[t-1]", "b[t-1]", "v * a[t] + w * b[t]", "param v, w ~ Normal(0, 1)\n"), "refuted",
        ("v * a[t] + w * b[t]",),
    ),
    "three random walks": Case(
        f"{S}state a[3]\nobs y\ninit a ~ Normal(0, 1)\na[t] ~ Normal(a[t-1], s1)\n"
        "y[t] ~ Normal(a[t, 0] + a[t, 1] + a[t, 2], s_obs)\n", "refuted", ("3 components", "(a[0], a[2]) = (1, -1)"),
    ),
    "two autoregressions": Case(
        two("p * a[t-1]", "q * b[t-1]", "a[t] + b[t]", "param p, q in (-1, 1) ~ Normal(0, 1)\n"), "proved",
        ("p = q, where (a, b) = (1, -1) is never seen",), 1,
    ),
    "two autoregressions, apart by their supports": Case(
        two("p * a[t-1]", "q * b[t-1]", "a[t] + b[t]",
            "param p in (-1, 0) ~ Normal(0, 1)\nparam q in (0, 1) ~ Normal(0, 1)\n"), "proved", ("whatever",), 0,
    ),
    "one coefficient for both": Case(
        two("p * a[t-1]", "p * b[t-1]", "a[t] + b[t]", "param p in (-1, 1) ~ Normal(0, 1)\n"), "refuted",
        ("both are autoregressions with the coefficient p", "detectable: it decays: |p| < 1"),
    ),
    "an explosive coefficient for both": Case(
        two("p * a[t-1]", "p * b[t-1]", "a[t] + b[t]", "param p in (1, 2) ~ Normal(1, 1)\n"), "refuted",
        ("not detectable",),
    ),
    "a chain seen at its end": Case(
        two("0.5 * a[t-1]", "a[t-1] + 0.5 * b[t-1]", "b[t]"), "proved", ("whatever",), 0,
    ),
    "a chain seen at its start": Case(
        two("0.5 * a[t-1]", "a[t-1] + 0.5 * b[t-1]", "a[t]"), "refuted",
        ("b[t] never reaches an observation", "a state is never seen", "detectable: it decays by the factor 1/2"),
    ),
    "a chain with a link that may be zero": Case(
        two("0.5 * a[t-1]", "k * a[t-1] + 0.3 * b[t-1]", "b[t]", "param k ~ Normal(0, 1)\n"), "proved",
        ("k = 0, where a is never seen",), 1,
    ),
    "a chain with a positive link": Case(
        two("0.5 * a[t-1]", "k * a[t-1] + 0.3 * b[t-1]", "b[t]", "param k ~ HalfNormal(1)\n"), "proved", (), 0,
    ),
    "a state that nothing reads": Case(
        two("a[t-1]", "0.5 * b[t-1]", "a[t]"), "refuted", ("b is read by no observation",),
    ),
    "local linear trend": Case(
        parts("local_linear_trend", "part l = local_linear_trend(s1, s2)\n", "l[t]"), "proved", ("whatever",), 0,
    ),
    "two local linear trends": Case(
        parts("local_linear_trend", "part l = local_linear_trend(s1, s2)\npart m = local_linear_trend(s3, s4)\n",
              "l[t] + m[t]"), "refuted",
        ("(l.level, m.level) = (1, -1)", "(l.slope, m.slope) = (1, -1)", "two components", "not detectable"),
    ),
    "trend and damped trend": Case(
        parts("local_linear_trend, damped_trend",
              "part l = local_linear_trend(s1, s2)\npart m = damped_trend(rho, s3, s4)\n", "l[t] + m[t]", RHO),
        "refuted", ("two components cannot be told apart", "eigenvalue is 1"),
    ),
    "trend, season and cycle": Case(
        parts("local_linear_trend, seasonal, cycle",
              "part l = local_linear_trend(s1, s2)\npart m = seasonal(12, s3)\npart c = cycle(20, rho, s4)\n",
              "l[t] + m[t] + c[t]", RHO), "proved", ("whatever",), 0,
    ),
    "trend, season and a cycle of unknown period": Case(
        parts("local_linear_trend, seasonal, cycle",
              "part l = local_linear_trend(s1, s2)\npart m = seasonal(12, s3)\npart c = cycle(n, rho, s4)\n",
              "l[t] + m[t] + c[t]", RHO + "param n in (2, 50) ~ Normal(20, 5)\n"), "proved", ("whatever",), 0,
    ),
    "level and a season of all frequencies, zero too": Case(
        f"from structural import local_level\n{S}part l = local_level(s1)\nstate e\ninit e ~ Diffuse()\n"
        "e[t] ~ Normal(e[t-4], s2)\nobs y\ny[t] ~ Normal(l[t] + e[t], s_obs)\n", "refuted",
        ("(l.level, e) = (1, -1)", "two components cannot be told apart", "not detectable"),
    ),
    "a season written twice": Case(
        parts("seasonal, trigonometric_seasonal",
              "part m = seasonal(12, s1)\npart w = trigonometric_seasonal(12, 5, s2)\n", "m[t] + w[t]"), "refuted",
        ("two components", "not detectable"),
    ),
    "waves of a season": Case(
        parts("local_level, trigonometric_seasonal",
              "part l = local_level(s1)\npart w = trigonometric_seasonal(52, 6, s2)\n", "l[t] + w[t]"), "proved",
        ("whatever",), 0,
    ),
    "two seasons with a common frequency": Case(
        parts("seasonal", "part m = seasonal(4, s1)\npart w = seasonal(6, s2)\n", "m[t] + w[t]"), "refuted",
        ("(m.effect, w.effect) = (1, -1)", "eigenvalue is -1"),
    ),
    "two seasons without one": Case(
        parts("seasonal", "part m = seasonal(4, s1)\npart w = seasonal(7, s2)\n", "m[t] + w[t]"), "proved", (), 0,
    ),
    "two undamped cycles of one period": Case(
        f"{S}state c[2], d[2]\nobs y\ninit c, d ~ Normal(0, 1)\n"
        "let turn = [[cos(2*pi/7), sin(2*pi/7)], [-sin(2*pi/7), cos(2*pi/7)]]\nc[t] ~ Normal(turn @ c[t-1], s1)\n"
        "d[t] ~ Normal(turn @ d[t-1], s2)\ny[t] ~ Normal(c[t, 0] + d[t, 0], s_obs)\n", "refuted",
        ("(c[0], d[0]) = (1, -1)", "not detectable"),
    ),
    "undamped cycles of periods 7 and 14": Case(
        f"{S}state c[2], d[2]\nobs y\ninit c, d ~ Normal(0, 1)\n"
        "let turn = [[cos(2*pi/7), sin(2*pi/7)], [-sin(2*pi/7), cos(2*pi/7)]]\nc[t] ~ Normal(turn @ c[t-1], s1)\n"
        "let half = [[cos(2*pi/14), sin(2*pi/14)], [-sin(2*pi/14), cos(2*pi/14)]]\nd[t] ~ Normal(half @ d[t-1], s2)\n"
        "y[t] ~ Normal(c[t, 0] + d[t, 0], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "autoregression of order 2, seen exactly": Case(
        f"{S}{AR}state u\nobs y\ninit u ~ Stationary()\nu[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s1)\n"
        "y[t] = u[t]\n", "proved", ("phi[1] = 0, where only the delay u[t-1] is lost",), 1,
    ),
    "level and autoregression": Case(
        f"from structural import local_level\n{S}{AR}part l = local_level(s1)\nstate u\nobs y\ninit u ~ Stationary()\n"
        "u[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s2)\ny[t] = l[t] + u[t]\n", "proved",
        ("where only the delay u[t-1] is lost",), 1,
    ),
    "level and an autoregression without a region": Case(
        f"from structural import local_level\n{S}param phi[2] ~ Normal(0, 0.5)\npart l = local_level(s1)\nstate u\n"
        "obs y\ninit u ~ Normal(0, 1)\nu[t] ~ Normal(phi[0]*u[t-1] + phi[1]*u[t-2], s2)\ny[t] = l[t] + u[t]\n",
        "proved", ("phi[0] + phi[1] = 1, where (l.level, u) = (1, -1) is never seen",), 2,
    ),
    "a moving average": Case(
        f"{S}param th in (-1, 1) ~ Normal(0, 1)\nnoise e ~ Normal(0, s1)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] = 0.5 * x[t-1] + e[t] + th * e[t-1]\ny[t] = x[t]\n", "proved", (), None,
    ),
    "a dynamic factor": Case(
        f"{S}param g[3] ~ Normal(0, 1)\nstate f\nobs y[3]\ninit f ~ Normal(0, 1)\nf[t] ~ Normal(0.5 * f[t-1], 1)\n"
        "y[t] ~ Normal(g * f[t], s_obs)\n", "proved", ("g[0] = g[1] = g[2] = 0, where f is never seen",), 1,
    ),
    "two factors": Case(
        f"{S}param g[3, 2] ~ Normal(0, 1)\nparam p[2] in (-1, 1) ~ Normal(0, 1)\nstate f[2]\nobs y[3]\n"
        "init f ~ Normal(0, 1)\nf[t] ~ Normal(p * f[t-1], 1)\ny[t] ~ Normal(g @ f[t], s_obs)\n", "proved",
        ("g[0,1] = g[1,1] = g[2,1] = 0, where f[1] is never seen", "p[0] = p[1] and"), 3,
    ),
    "a vector autoregression seen in one entry": Case(
        f"{S}param A[2, 2] ~ Normal(0, 1)\nstate x[2]\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(A @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t, 0], s_obs)\n", "proved", ("A[0,1] = 0, where x[1] is never seen",), 1,
    ),
    "a vector autoregression seen whole": Case(
        f"{S}param A[3, 3] ~ Normal(0, 1)\nstate x[3]\nobs y[3]\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(A @ x[t-1], s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "two compartments, the second seen": Case(
        two("(1 - k - e) * a[t-1]", "k * a[t-1] + (1 - m) * b[t-1]", "b[t]",
            "param k, e, m in (0, 0.5) ~ Beta(2, 5)\n"), "proved", (), 0,
    ),
    "two compartments that feed one, their sum unseen": Case(
        f"{S}param k, q in (0, 1) ~ Beta(2, 2)\nstate a, b, c\nobs y\ninit a, b, c ~ Normal(0, 1)\n"
        "a[t] ~ Normal((1 - k) * a[t-1], s1)\nb[t] ~ Normal((1 - k) * b[t-1], s2)\n"
        "c[t] ~ Normal(0.5 * c[t-1] + k * a[t-1] + k * b[t-1], s3)\ny[t] ~ Normal(c[t], s_obs)\n", "refuted",
        ("(a, b) = (1, -1)", "detectable"),
    ),
    "white noise on a level": Case(
        two("a[t-1]", "0", "a[t] + b[t]"), "proved", ("whatever",), 0,
    ),
    "unseen white noise": Case(
        two("a[t-1]", "0", "a[t]"), "refuted", ("b is read by no observation",),
    ),
    "panel with one site unseen": Case(
        f"{S}axis site = 1..4\nstate l[site], m[site]\nobs y[site]\ninit l, m ~ Normal(0, 1)\n"
        "l[t, i] ~ Normal(l[t-1, i], s1) for i in site\nm[t, i] ~ Normal(m[t-1, i], s2) for i in site\n"
        "y[t, i] ~ Normal(l[t, i] + m[t, i], s_obs) for i in site\n", "refuted",
        ("(l[1], m[1]) = (1, -1)", "alike for 3 more blocks"),
    ),
    "tracking": Case(
        f"{S}state pos, vel\nobs y\ninit pos, vel ~ Normal(0, 1)\nnoise push ~ Normal(0, s1)\n"
        "pos[t] = pos[t-1] + 0.1 * vel[t-1] + 0.005 * push[t]\nvel[t] = vel[t-1] + 0.1 * push[t]\n"
        "y[t] ~ Normal(pos[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
    "tracking by the velocity": Case(
        f"{S}state pos, vel\nobs y\ninit pos, vel ~ Normal(0, 1)\nnoise push ~ Normal(0, s1)\n"
        "pos[t] = pos[t-1] + 0.1 * vel[t-1] + 0.005 * push[t]\nvel[t] = vel[t-1] + 0.1 * push[t]\n"
        "y[t] ~ Normal(vel[t], s_obs)\n", "refuted", ("pos[t] never reaches", "not detectable"),
    ),
    "a coefficient that wanders": Case(
        f"from structural import local_level, dynamic_regression\n{S}input X[2]\npart l = local_level(s1)\n"
        "part r = dynamic_regression(X, 2, s2)\nobs y\ny[t] ~ Normal(l[t] + r[t], s_obs)\n", "proved",
        ("almost every course of X",), 0,
    ),
    "two coefficients of one input": Case(
        two("a[t-1]", "b[t-1]", "X[t] * (a[t] + b[t])", "input X\n"), "refuted", ("(a, b) = (1, -1)",),
    ),
    "waves as functions of the row": Case(
        two("a[t-1]", "b[t-1]", "cos(2*pi*t/12) * a[t] + sin(2*pi*t/12) * b[t]"), "proved", ("the row number",), 0,
    ),
    "aliased waves": Case(
        two("a[t-1]", "b[t-1]", "cos(2*pi*t/12) * a[t] + cos(2*pi*11*t/12) * b[t]"), "refuted", ("(a, b) = (1, -1)",),
    ),
    "the whole past": Case(
        f"{S}state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(0.5^k * x[t-k] for k in 1..t), s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "unknown", ("whole past",), 0,
    ),
    "a lag that the first rows lack": Case(
        f"{S}state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sum(0.2 * x[t-k] for k in 1..min(3, t)), s1)\n"
        "y[t] ~ Normal(x[t], s_obs)\n", "proved", ("whatever",), 0,
    ),
}  # fmt: skip


def said(f: Finding) -> str:
    return "\n".join(str(x) for x in (f.reason, *f.unless, *f.details, f.headline, f.label, f.fix))


@pytest.mark.parametrize("name", CASES)
def test_known(name: str) -> None:
    case = CASES[name]
    (found,) = observability.check(context_of(case.text))
    assert found.verdict == case.verdict, said(found)
    for words in case.says:
        assert words in said(found), said(found)
    if case.unless is not None:
        assert len(found.unless) == case.unless, found.unless
    if found.verdict == "refuted":
        assert found.code == "W602" and found.fix and found.span_of and found.witness is not None


# --------------------------------------------------------------------------------------------------------- assertions


def test_an_assertion_of_what_is_seen_is_proved_beside_what_is_not() -> None:
    text = CASES["a chain seen at its start"].text + "assert observable(a), observable(b), detectable(b)\n"
    _, seen, unseen, decays = observability.check(context_of(text))
    assert (seen.verdict, seen.asserted) == ("proved", True)
    assert (unseen.verdict, unseen.code) == ("refuted", "E602")
    assert decays.verdict == "proved"


def test_what_is_no_state_is_sent_to_the_right_assertion() -> None:
    text = CASES["two autoregressions"].text + "assert observable(p)\n"
    assert "assert identifiable(p)" in observability.check(context_of(text))[-1].reason


# ------------------------------------------------------------------------------------------- systems without a program


class Bare:
    """What a block asks of a context, for systems that no text is behind: every symbol is real."""

    def __init__(self, symbols: tuple[sp.Symbol, ...] = ()) -> None:
        self.budget = Budget(60)
        self.supports = Supports({}, {}, (), ())
        self._symbols = symbols

    def draws(self, count: int, seed: int = 0) -> list[dict[str, float]]:
        rng = np.random.default_rng(seed)
        return [{s.name: float(rng.normal()) for s in self._symbols} for _ in range(count)]

    def at(self, draw: dict[str, float]) -> dict[sp.Symbol, float]:
        return {s: draw[s.name] for s in self._symbols}


def system(F: sp.Matrix, H: sp.Matrix) -> System:
    n, m = F.rows, H.rows
    entries = lambda a: {lag: dict(a.todok())} if (lag := 1) and a.todok() else {}
    return System(
        tuple(f"x[{i}]" for i in range(n)), tuple(f"y[{i}]" for i in range(m)), (), entries(F),
        {0: dict(H.todok())} if H.todok() else {}, {}, {}, (sp.S.Zero,) * n, (sp.S.Zero,) * m,
    )  # fmt: skip


def result(F: sp.Matrix, H: sp.Matrix, seed: int = 0) -> BlockResult:
    symbols = tuple(sorted(F.free_symbols | H.free_symbols, key=str))
    context: Any = Bare(symbols)
    return Block(context, system(F, H), seed).result()


def observability_matrix(F: sp.Matrix, H: sp.Matrix) -> sp.Matrix:
    rows, step = [H], H
    for _ in range(F.rows - 1):
        step = step * F
        rows.append(step)
    return sp.Matrix.vstack(*rows)


def lost_entries(F: sp.Matrix, H: sp.Matrix) -> frozenset[int]:
    null = observability_matrix(F, H).nullspace()
    return frozenset(i for v in null for i in range(F.rows) if v[i] != 0)


small = st.integers(-2, 2)


@st.composite
def numbers(draw: st.DrawFn) -> tuple[sp.Matrix, sp.Matrix]:
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 2))
    F = sp.Matrix(n, n, draw(st.lists(small, min_size=n * n, max_size=n * n)))
    H = sp.Matrix(m, n, draw(st.lists(small, min_size=m * n, max_size=m * n)))
    return F, H


@given(numbers())
@settings(max_examples=120, deadline=None)
def test_numbers_agree_with_the_exact_rank(pair: tuple[sp.Matrix, sp.Matrix]) -> None:
    F, H = pair
    found = result(F, H)
    assert found.entries == lost_entries(F, H)
    for v in found.whole or ():
        dense = sp.Matrix([v.get(i, 0) for i in range(F.rows)])
        assert (observability_matrix(F, H) * dense).is_zero_matrix
    assert found.entries or not found.exceptions


@st.composite
def patterns(draw: st.DrawFn) -> tuple[sp.Matrix, sp.Matrix]:
    """Matrices of zeros, ones and a few parameters, each of which may stand in several places."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    names = [sp.Symbol(f"p[{i}]", real=True) for i in range(3)]
    cell = st.sampled_from([sp.S.Zero, sp.S.Zero, sp.S.One, *names, -names[0], names[1] * names[2]])
    F = sp.Matrix(n, n, draw(st.lists(cell, min_size=n * n, max_size=n * n)))
    H = sp.Matrix(m, n, draw(st.lists(cell, min_size=m * n, max_size=m * n)))
    return F, H


@given(patterns(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_parameters_agree_with_the_rank_at_random_fractions(pair: tuple[sp.Matrix, sp.Matrix], seed: int) -> None:
    F, H = pair
    found = result(F, H)
    rng = np.random.default_rng(seed)
    number = lambda: sp.Rational(int(rng.integers(10**3, 10**6)), int(rng.integers(10**3, 10**6)))
    point = {s: number() for s in sorted(F.free_symbols | H.free_symbols, key=str)}
    assert found.entries == lost_entries(F.xreplace(point), H.xreplace(point))


@given(patterns(), st.lists(st.integers(-2, 2), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_every_exception_at_simple_values_is_named(pair: tuple[sp.Matrix, sp.Matrix], values: list[int]) -> None:
    """At small integers exceptional sets are met all the time: each must lie in one that is named."""
    F, H = pair
    found = result(F, H)
    if found.entries or not found.complete or found.forgotten:
        return
    point = {sp.Symbol(f"p[{i}]", real=True): sp.Integer(v) for i, v in enumerate(values)}
    if lost_entries(F.xreplace(point), H.xreplace(point)):
        assert any(all(e.xreplace(point) == 0 for e in one.equations) for one in found.exceptions)


def similar(rng: np.random.Generator, n: int) -> tuple[sp.Matrix, sp.Matrix]:
    """A matrix of integers with determinant one, and its inverse."""
    lower = sp.Matrix(n, n, lambda i, j: 1 if i == j else int(rng.integers(-1, 2)) if i > j else 0)
    upper = sp.Matrix(n, n, lambda i, j: 1 if i == j else int(rng.integers(-1, 2)) if i < j else 0)
    T = lower * upper
    return T, T.inv()


def planted(rng: np.random.Generator) -> tuple[sp.Matrix, sp.Matrix]:
    """A system with a part that reaches no observation, hidden by a change of basis; half of them with parameters."""
    seen, unseen, m = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    n = seen + unseen
    names = [sp.Symbol(f"p[{i}]", real=True) for i in range(3)]
    symbolic = rng.random() < 0.5
    number = lambda: sp.Integer(int(rng.integers(-3, 4)))
    cell = lambda: names[int(rng.integers(3))] if symbolic and rng.random() < 0.3 else number()
    F = sp.Matrix(n, n, lambda i, j: 0 if i < seen <= j else cell())
    H = sp.Matrix(m, n, lambda i, j: 0 if j >= seen else cell())
    T, inverse = similar(rng, n)
    return (T * F * inverse).applyfunc(sp.expand), (H * inverse).applyfunc(sp.expand)


def test_a_planted_deficiency_is_never_proved_away() -> None:
    rng = np.random.default_rng(0)
    for number in range(1_000):
        F, H = planted(rng)
        found = result(F, H, seed=number)
        assert found.entries, (F, H)
