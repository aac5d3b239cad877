"""What the checks stand on: exact numbers, prior draws, symbolic and numeric matrices, budgets, assertions."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ssmlang
from ssmlang.analysis import modular, residues
from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.draws import between, partial_autocorrelations
from ssmlang.analysis.exact import exact
from ssmlang.analysis.latex import matrices
from ssmlang.language.diagnostics import SsmError
from tests.analysis.programs import context_of

MODELS = Path(ssmlang.__file__).parents[1] / "stdlib" / "models"


# ------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (0.1, sp.Rational(1, 10)), (1 / 3, sp.Rational(1, 3)), (-2.0, sp.Integer(-2)), (9.81, sp.Rational(981, 100)),
        (math.sqrt(2), sp.sqrt(2)), (math.cos(math.pi / 6), sp.sqrt(3) / 2), (math.cos(8 * math.pi / 12), -sp.S.Half),
        (math.cos(math.pi / 2), sp.S.Zero), (2 * math.pi / 12, sp.pi / 6), (1e-20, sp.Rational(1, 10**20)),
    ],
)  # fmt: skip
def test_doubles_are_the_numbers_that_were_meant(value: float, meant: sp.Expr) -> None:
    assert exact(value) == meant


@given(st.integers(1, 300), st.integers(1, 300))
def test_cosines_of_fractions_of_the_circle_are_known_again(k: int, n: int) -> None:
    k = k % n
    value = math.cos(2 * math.pi * k / n)
    found = exact(value)
    assert abs(float(found.evalf(30)) - value) < 3e-15
    assert abs(found.evalf(40) - sp.cos(2 * sp.pi * sp.Rational(k, n)).evalf(40)) < sp.Float(10) ** -30


@given(st.floats(-1e6, 1e6))
def test_any_other_double_is_itself(value: float) -> None:
    assert abs(float(exact(value).evalf(25)) - value) <= 1e-14 * max(1.0, abs(value))


# ---------------------------------------------------------------------------------------------------- finite fields


@given(st.integers(2, 60), st.integers(0, 59), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_cosines_and_roots_are_exact_in_a_field(n: int, k: int, seed: int) -> None:
    angle = 2 * sp.pi * sp.Rational(k, n)
    c, s, root = sp.cos(angle, evaluate=False), sp.sin(angle, evaluate=False), sp.sqrt(6)
    field = modular.Field([c, s, root], np.random.default_rng(seed))
    assert field.value(c**2 + s**2 - 1) == 0 and field.value(root**2 - 6) == 0
    assert field.value(sp.cos(2 * angle, evaluate=False) - 2 * c**2 + 1) == 0


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_unseen_states_are_those_of_rational_algebra(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 6)), 2**25 - 39
    F, H = rng.integers(-2, 3, (n, n)), rng.integers(-1, 2, (int(rng.integers(1, 3)), n))
    rows = [sp.Matrix(H)]
    for _ in range(n - 1):
        rows.append(rows[-1] * sp.Matrix(F))
    found = residues.unseen(F % p, H % p, p)
    assert len(found) == n - sp.Matrix.vstack(*rows).rank()
    assert not (found @ F.T % p @ (H.T % p) % p).any() and not (found @ (H.T % p) % p).any()


# -------------------------------------------------------------------------------------------------------------- draws

LAWS = {
    "Normal": ({"loc": 1.0, "scale": 2.0}, stats.norm(1, 2)),
    "HalfNormal": ({"scale": 2.0}, stats.halfnorm(scale=2)),
    "HalfCauchy": ({"scale": 2.0}, stats.halfcauchy(scale=2)),
    "StudentT": ({"df": 4.0, "loc": 1.0, "scale": 2.0}, stats.t(4, 1, 2)),
    "Cauchy": ({"loc": 1.0, "scale": 2.0}, stats.cauchy(1, 2)),
    "Laplace": ({"loc": 1.0, "scale": 2.0}, stats.laplace(1, 2)),
    "LogNormal": ({"loc": 0.5, "scale": 0.7}, stats.lognorm(0.7, scale=math.exp(0.5))),
    "Exponential": ({"rate": 2.0}, stats.expon(scale=0.5)),
    "Gamma": ({"concentration": 3.0, "rate": 2.0}, stats.gamma(3, scale=0.5)),
    "InverseGamma": ({"concentration": 3.0, "rate": 2.0}, stats.invgamma(3, scale=2)),
    "Beta": ({"concentration1": 2.0, "concentration0": 3.0}, stats.beta(2, 3)),
    "Uniform": ({"low": -1.0, "high": 3.0}, stats.uniform(-1, 4)),
}


@pytest.mark.parametrize("name", LAWS)
def test_quantiles_are_those_of_the_law_and_of_its_truncation(name: str) -> None:
    args, law = LAWS[name]
    u = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(between(name, args, -np.inf, np.inf, u), law.ppf(u), rtol=1e-7)
    low, high = law.ppf(0.2), law.ppf(0.7)
    np.testing.assert_allclose(between(name, args, low, high, u), law.ppf(0.2 + u * 0.5), rtol=1e-7)


def test_draws_respect_what_is_declared_and_come_in_one_order() -> None:
    context = context_of(
        "param top ~ HalfNormal(1)\nparam b in (0, top) ~ Normal(0, 5)\nparam phi[3] in stationary ~ Normal(0, 2)\n"
        "param w[4] ~ Dirichlet([1, 2, 3, 4])\nparam L[3, 3] ~ LKJCholesky(2)\nparam far in (8, inf) ~ Normal(0, 1)\n"
        "state x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(phi[0] * x[t-1] + phi[1] * x[t-2] + phi[2] * x[t-3], 1)\n"
        "y[t] ~ Normal(x[t] + top + b + w[0] + L[0, 0] + far, 1)\n"
    )
    draws = context.draws(100)
    assert draws[:30] == context.draws(30)
    for d in draws:
        assert 0 < d["b"] < d["top"] and d["far"] > 8
        assert (np.abs(partial_autocorrelations(d["phi"])) < 1).all()
        assert d["w"].sum() == pytest.approx(1) and (d["w"] > 0).all()
        np.testing.assert_allclose((d["L"] ** 2).sum(axis=1), 1)
        assert not np.triu(d["L"], 1).any()
    assert np.mean([d["w"] for d in draws], axis=0) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.06)


# ----------------------------------------------------------------------------------------------------------- matrices


@pytest.mark.parametrize("name", ["airline", "ar", "arma", "dynamic_factor", "nile", "nowcast", "tracking", "var"])
def test_symbolic_matrices_have_the_modes_of_the_numeric_ones(name: str) -> None:
    context = context_of((MODELS / f"{name}.ssm").read_text())
    draw = context.draws(3)[2]
    system = context.system
    assert system is not None
    F, H, _, _ = context.numeric(draw).companion
    symbolic = [np.array(m.xreplace(context.at(draw)).evalf(), float) for m in
                (system.companion.F, system.companion.H)]  # fmt: skip
    size = len(symbolic[0])
    own = np.sort(np.abs(np.linalg.eigvals(symbolic[0])))[::-1]
    whole = np.sort(np.abs(np.linalg.eigvals(F)))[::-1]
    np.testing.assert_allclose(whole[:size], own, atol=1e-5)
    np.testing.assert_allclose(whole[size:], 0, atol=1e-5)
    # The response of the observations to each state of the row, some rows on.
    n = system.n
    left, right = symbolic[1], H
    for _ in range(4):
        np.testing.assert_allclose(left[:, :n], right[:, :n], atol=1e-10)
        left, right = left @ symbolic[0], right @ F


def test_matrices_are_written_in_latex() -> None:
    context = context_of((MODELS / "ar.ssm").read_text())
    assert context.system is not None
    found = matrices(context.system)
    assert found["state"] == ["x[t]", "x[t-1]"] and r"\phi_{1}" in found["F"]
    report = ssmlang.compile(MODELS / "ar.ssm").check()
    shown = report._repr_html_()
    assert r"\phi_{1}" in shown and "unless phi[2] = 0" in shown


def test_a_check_loads_no_jax() -> None:
    code = ("import sys; from ssmlang.cli import main; main(['check', sys.argv[1]]);"
            "assert not {'jax', 'numpyro', 'pandas', 'xarray', 'scipy.stats'} & set(sys.modules)")  # fmt: skip
    subprocess.run([sys.executable, "-c", code, str(MODELS / "nile.ssm")], check=True, capture_output=True)


# ----------------------------------------------------------------------------------------------- budgets, assertions


def test_a_budget_runs_out() -> None:
    with pytest.raises(OutOfTime, match="took longer than"):
        Budget(-1.0).check()
    Budget(60.0).check()


def test_late_work_is_unknown_and_says_what_numbers_say() -> None:
    from ssmlang.analysis import observability

    context = context_of((MODELS / "nowcast.ssm").read_text(), seconds=-1.0)
    (found,) = observability.check(context)
    assert (found.verdict, found.unless) == ("proved", ()) and any("could not all be named" in d for d in found.details)


def test_what_cannot_be_decided_is_a_warning_and_compiles() -> None:
    model = ssmlang.compile(MODELS / "fractional.ssm")
    text = model.source_text.replace("lgamma(k - alpha)", "lgamma(k - alpha + 0.1)") + "\nassert stable(x)\n"
    report = ssmlang.compile(text).check()
    assert [d.code for d in report.diagnostics] == ["W601"]
    assert "weights are not those of a known form" in report.diagnostics[0].why[0]


def test_what_is_refuted_fails_with_everything_said() -> None:
    text = "state a, b\nobs y\ninit a, b ~ Normal(0, 1)\na[t] ~ Normal(0.5 * a[t-1], 1)\nb[t] ~ Normal(b[t-1], 1)\n"
    with pytest.raises(SsmError) as failed:
        ssmlang.compile(text + "y[t] ~ Normal(a[t], 1)\nassert observable(a, b)\n")
    (error,) = [d for d in failed.value.diagnostics if d.severity == "error"]
    assert error.code == "E602" and error.span is not None and error.span.text == "observable(a, b)"
    assert "read by no observation" in error.why[0] and error.help
