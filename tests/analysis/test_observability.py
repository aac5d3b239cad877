"""Observability: programs with known answers, random ones against exact ranks, and planted deficiencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ssmlang.analysis import observability, stability
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.observability_block import Block, BlockResult
from ssmlang.analysis.supports import Supports
from ssmlang.analysis.system import System
from tests.analysis.observability_models import CASES
from tests.analysis.programs import context_of


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


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, list[list[str]], list[list[str]]]:
    """A linear program as text, with the coefficients of its transition and of its emission as they are written."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    cell = st.sampled_from(["0", "0", "1", "-1", "0.5", "p", "q", "p * q", "-p"])
    F = [[draw(cell) for _ in range(n)] for _ in range(n)]
    H = [[draw(cell) for _ in range(n)] for _ in range(m)]
    row = lambda cells, lag: " + ".join(f"({c}) * x{j}[{lag}]" for j, c in enumerate(cells))
    states = ", ".join(f"x{i}" for i in range(n))
    lines = ["param p, q ~ Normal(0, 1)", f"state {states}", f"obs {', '.join(f'y{i}' for i in range(m))}",
             f"init {states} ~ Normal(0, 1)"]  # fmt: skip
    lines += [f"x{i}[t] ~ Normal({row(cells, 't-1')}, 1)" for i, cells in enumerate(F)]
    lines += [f"y{i}[t] ~ Normal({row(cells, 't')}, 1)" for i, cells in enumerate(H)]
    return "\n".join(lines) + "\n", F, H


@given(programs())
@settings(max_examples=30, deadline=None)
def test_verdicts_of_random_programs_are_those_of_numeric_ranks(made: tuple[str, Any, Any]) -> None:
    text, F, H = made
    point = {"p": sp.Rational(13, 10), "q": sp.Rational(-7, 10)}
    F, H = (np.array([[float(sp.sympify(c, point)) for c in row] for row in m]) for m in (F, H))
    rank = np.linalg.matrix_rank(np.vstack([H @ np.linalg.matrix_power(F, k) for k in range(len(F))]), tol=1e-9)
    found = observability.check(context_of(text))
    assert ({f.verdict for f in found} == {"proved"}) == (rank == len(F)), (found, rank)


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


def test_a_root_of_what_stands_nowhere_else() -> None:
    """The ring of coefficients has the root's radicand too."""
    text = (
        "param s ~ HalfNormal(1)\nparam b ~ Normal(0, 1)\nlet c = sqrt(s)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(c * x[t-1], 1)\ny[t] ~ Normal(b * x[t], 1)\n"
    )
    (found,) = observability.check(context_of(text))
    assert found.verdict == "proved" and found.unless == ("b = 0, where x is never seen",)


def test_programs_too_large_for_algebra_are_looked_at_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssmlang.analysis.context.MOST_SYMBOLIC", 3)
    monkeypatch.setattr("ssmlang.analysis.stability_dynamics.MAX_ENTRIES", 3)
    text = (
        "param A[2, 2] in (-0.4, 0.4) ~ Normal(0, 0.2)\nstate x[2]\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(A @ x[t-1], 1)\ny[t] ~ Normal(x[t, 0], 1)\n"
    )
    context = context_of(text)
    (found,) = observability.check(context)
    assert found.verdict == "unknown"
    assert found.reason.endswith("good for here; numerically of full rank at 200 prior draws")
    (found, *_) = stability.check(context)
    assert (found.property, found.verdict) == ("stable(x)", "unknown")
    assert "prior probability 1 (above 0.985: at all 200 prior draws); the spectral radius is 0." in found.details[0]
    (found,) = observability.check(context_of(text.replace("x[t, 0], 1", "0 * x[t, 0], 1")))
    assert found.reason.endswith("numerically of full rank at 0 of 200 prior draws")
