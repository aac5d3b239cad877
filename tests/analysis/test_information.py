"""Expected information against formulas, against the curvature of the expected log-likelihood, and its findings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import ssmlang
from ssmlang.analysis import information as module
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.identifiability_study import Study
from ssmlang.analysis.information import check, exact_rows, expected_ratios, information
from ssmlang.analysis.information_scale import scale_of
from ssmlang.frontend import check_text
from ssmlang.model.linear import LinearForm, linear_form

NORMAL = "param mu ~ Normal(0, 10)\nparam sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(mu, sd)\n"
AR = (
    "param phi in (-1, 1) ~ Normal(0, 0.5)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Stationary()\n"
    "x[t] ~ Normal(phi * x[t-1], s)\ny[t] = x[t]\n"
)
LEVEL = (
    "param s, sd ~ HalfNormal(1)\nparam mu ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(mu, 2)\n"
    "x[t] ~ Normal(mu / 5 + 0.8 * x[t-1], s)\ny[t] ~ Normal(x[t], sd)\n"
)
TREND = (
    "param s, sd ~ HalfNormal(1)\nstate level, slope\nobs y\ninit level, slope ~ Diffuse()\n"
    "level[t] = level[t-1] + slope[t-1]\nslope[t] ~ Normal(slope[t-1], s)\ny[t] ~ Normal(level[t], sd)\n"
)
FACTORS = (
    "param L[4] ~ Normal(0, 1)\nparam sd[4] ~ HalfNormal(1)\nparam phi in (-1, 1) ~ Normal(0, 0.5)\nstate f\nobs y[4]\n"
    "init f ~ Stationary()\nf[t] ~ Normal(phi * f[t-1], 1)\ny[t] ~ Normal(L * f[t], sd)\n"
)


def study_of(text: str) -> Study:
    model = check_text(text).require()
    form = linear_form(model)
    assert isinstance(form, LinearForm)
    return Study(model, form, Budget(60))


def fisher(text: str, params: Mapping[str, object], rows: int, *missing: int) -> tuple[np.ndarray, np.ndarray]:
    """Information on the unconstrained scale: of `rows` rows, and of each row after them."""
    study = study_of(text)
    point = {k: np.asarray(v, float) for k, v in params.items()}
    scales = [scale_of(study.model.parameters[k.parameter]) for k in study.coords]
    found = information(study, point, study.coords, scales, rows, np.array(missing, int))
    assert found is not None
    return found[0], found[1]


def test_independent_normal_draws() -> None:
    """n / sd^2 for the mean, 2 n for the logarithm of the sd."""
    found, rate = fisher(NORMAL, {"mu": 1.0, "sd": 2.0}, 50)
    np.testing.assert_allclose(found, np.diag([50 / 4, 100]), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(rate, np.diag([1 / 4, 2]), rtol=1e-7, atol=1e-9)


def test_missing_rows_teach_nothing() -> None:
    found, _ = fisher(NORMAL, {"mu": 1.0, "sd": 2.0}, 50, *range(0, 50, 2))
    np.testing.assert_allclose(found, np.diag([25 / 4, 50]), rtol=1e-7, atol=1e-9)


def test_autoregression() -> None:
    """Each row after the first: 1 / (1 - phi^2) for phi (Brockwell and Davis 1991, 8.8), by logit's slope."""
    phi = 0.6
    _, rate = fisher(AR, {"phi": phi, "s": 1.3}, 80)
    slope = (1 - phi) * (1 + phi) / 2
    np.testing.assert_allclose(rate[0, 0] / slope**2, 1 / (1 - phi**2), rtol=1e-5)
    np.testing.assert_allclose(rate[1, 1], 2, rtol=1e-5)


def curvature(study: Study, point: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """Second derivatives of the divergence from the law at `point`, on the unconstrained scale, by differences."""
    scales = [scale_of(study.model.parameters[k.parameter]) for k in study.coords]
    laws = study.float_laws(point, rows)

    def moved(step: np.ndarray) -> dict[str, np.ndarray]:
        new = {k: np.array(v, float) for k, v in point.items()}
        for k, s, h in zip(study.coords, scales, step):
            low, high = s.ends(point, k.entry)
            flat = new[k.parameter].reshape(-1)
            u = s.apply(float(flat[k.entry]), low, high) + h
            flat[k.entry] = u if np.isinf(low) and np.isinf(high) else low + np.exp(u) if np.isinf(high) else (
                low + (high - low) / (1 + np.exp(-u)))  # fmt: skip
        return new

    def divergence(step: np.ndarray) -> float:
        total = 0.0
        for a, b in zip(laws, study.float_laws(moved(step), rows)):
            X = a.flat.value
            W = np.linalg.svd(X, full_matrices=True)[0][:, X.shape[1] :].T if X.shape[1] else np.eye(len(X))
            C, D = W @ a.cov.value @ W.T, W @ b.cov.value @ W.T
            gap = W @ (a.mean.value - b.mean.value)
            total += 0.5 * (np.linalg.slogdet(D)[1] + np.trace(np.linalg.solve(D, C)) + gap @ np.linalg.solve(D, gap))
        return total

    d, h = len(study.coords), 2e-3
    unit = np.eye(d) * h
    found = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            found[i, j] = (divergence(unit[i] + unit[j]) - divergence(unit[i] - unit[j])
                           - divergence(unit[j] - unit[i]) + divergence(-unit[i] - unit[j])) / (4 * h * h)  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (LEVEL, {"s": 0.7, "sd": 1.2, "mu": 0.4}),
        (TREND, {"s": 0.3, "sd": 1.1}),
        (FACTORS, {"L": [0.5, -1.0, 0.3, 2.0], "sd": [0.5, 1.0, 1.5, 0.8], "phi": 0.4}),
        (AR, {"phi": -0.5, "s": 0.6}),
    ],
)
def test_curvature_of_the_expected_log_likelihood(text: str, params: dict[str, object]) -> None:
    rows = 15
    found, _ = fisher(text, params, rows)
    wanted = curvature(study_of(text), {k: np.asarray(v, float) for k, v in params.items()}, rows)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max())


def test_rows_beyond_the_exact_ones_come_at_the_last_rate() -> None:
    params = {"s": 0.7, "sd": 1.2, "mu": 0.4}
    early, rate = fisher(LEVEL, params, 60)
    late, _ = fisher(LEVEL, params, 120)
    np.testing.assert_allclose(early + 60 * rate, late, rtol=0.02, atol=0.02 * np.abs(late).max())


def ratios(text: str, rows: int) -> dict[str, float]:
    model = check_text(text).require()
    found = expected_ratios(Context(model, linear_form(model), Budget(60), rows), rows)
    assert found is not None
    return {k.name: float(r) for k, r in zip(found.coords, found.ratios)}


def test_conjugate_ratio() -> None:
    """A normal mean with known sd: posterior over prior sd is 1 / sqrt(1 + n * prior variance)."""
    text = "param mu ~ Normal(0, 0.1)\nobs y\ny[t] ~ Normal(mu, 1)\n"
    for rows in (1, 25, 400):
        assert ratios(text, rows)["mu"] == pytest.approx(1 / np.sqrt(1 + rows * 0.01), rel=0.06)


def test_longer_series_teach_more() -> None:
    short, long = ratios(LEVEL, 20), ratios(LEVEL, 2000)
    assert all(long[k] < 0.8 * short[k] for k in ("s", "sd")), (short, long)


def findings(text: str, rows: int | None) -> list[Finding]:
    model = check_text(text).require()
    return check(Context(model, linear_form(model), Budget(30), rows))


def test_nothing_is_said_without_a_length() -> None:
    assert findings(LEVEL, None) == []


def test_an_uninformed_parameter_is_named() -> None:
    text = TREND.replace("param s, sd ~ HalfNormal(1)", "param s ~ HalfNormal(0.003)\nparam sd ~ HalfNormal(10)")
    summary, told = findings(text, 20)
    assert summary.verdict == "refuted" and "s 0.9" in summary.reason.replace("s 1", "s 0.9")
    assert told.code == "W622" and told.headline == "s: these data cannot inform it" and told.span_of == "s"
    assert "rows would bring it to two thirds" in told.details[0]


def test_an_informed_model() -> None:
    [summary] = findings(LEVEL, 200)
    assert summary.verdict == "proved" and summary.property == "informed by 200 rows"


def test_data_give_the_length_the_gaps_and_the_inputs() -> None:
    text = "param b ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\ninput u\nobs y\ny[t] ~ Normal(b * u[t], sd)\n"
    model = ssmlang.compile(text)
    rng = np.random.default_rng(0)
    y = rng.normal(size=30)
    of = lambda u: next(f for f in model.check({"y": y, "u": u}).findings if f.property == "informed by 30 rows")
    assert of(rng.normal(size=30)).verdict == "proved"
    weak = of(np.full(30, 1e-4))
    assert weak.verdict == "refuted" and "b 1" in weak.reason
    [blind] = [f for f in model.check(rows=30).findings if f.property.startswith("informed")]
    assert blind.verdict == "unknown" and "u must be given" in blind.reason


def test_too_many_numbers_are_taken_fewer_rows_at_a_time() -> None:
    text = "const n = 30\nparam sd[n] ~ HalfNormal(1)\nstate x[n]\nobs y[n]\ninit x ~ Normal(0, 1)\n" + (
        "x[t, i] ~ Normal(x[t-1, i], sd[i]) for i in 0..n-1\ny[t, i] ~ Normal(x[t, i], 1) for i in 0..n-1\n"
    )
    study = study_of(text)
    assert 3 < exact_rows(study, study.coords, 500) < module.MOST_ROWS
    [summary] = findings(text, 500)
    assert summary.verdict == "proved" and "of 30" in summary.reason
