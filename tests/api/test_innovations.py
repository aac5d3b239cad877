"""Programs in innovations form, against statsmodels and against recursions and sums over grids in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

import ssmlang
from ssmlang.engines import Particle

ETS = """
param alpha, first ~ Normal(0, 1)
param sd ~ HalfNormal(1)
noise e ~ Normal(0, sd)
state l
obs y
"""
NEXT = ETS + "init l = first\nl[t] = l[t-1] * (1 + alpha * e[t-1])\ny[t] = l[t] * (1 + e[t])\n"
OWN = ETS + "init l[-1] = first\nl[t] = l[t-1] * (1 + alpha * e[t])\ny[t] = l[t-1] * (1 + e[t])\n"
SMOOTHED = {"alpha": 0.4, "first": 100.0, "sd": 0.1}

SEASONS = """
const m = 4
axis lag = 1..m
param alpha, beta, gamma, first, slope, start[lag] ~ Normal(0, 1)
param sd ~ HalfNormal(1)
noise e ~ Normal(0, sd)
state l, b, s
obs y
init l[-1] = first
init b[-1] = slope
init s[-k] = start[k] for k in lag
l[t] = (l[t-1] + b[t-1]) * (1 + alpha * e[t])
b[t] = b[t-1] + beta * (l[t-1] + b[t-1]) * e[t]
s[t] = SEASON
y[t] = (l[t-1] + b[t-1]) * s[t-m] * (1 + e[t])
"""
HYNDMAN = "s[t-m] * (1 + gamma * e[t])"
STATSMODELS = "s[t-m] + gamma / (1 - alpha) * s[t-m] * ((l[t-1] + b[t-1]) * (1 + e[t]) / l[t] - 1)"
"""By the level of the row itself, as its recursion has it."""

GARCH = """
param mu, omega, a, b ~ HalfNormal(1)
param df ~ HalfNormal(9)
noise z ~ LAW
state v
obs r
let shock[t] = sqrt(v[t]) * z[t]
init v = omega / (1 - a - b)
v[t] = omega + a * shock[t-1]^2 + b * v[t-1]
r[t] = mu + shock[t]
"""
LAWS: dict[str, Callable[..., Any]] = {
    "Normal(0, 1)": stats.norm.logpdf,
    "StudentT(df, 0, sqrt((df - 2) / df))": lambda r, mu, sd: stats.t.logpdf(r, 5, mu, sd * np.sqrt(3 / 5)),
}
RETURNS = {"mu": 0.1, "omega": 0.05, "a": 0.1, "b": 0.8, "df": 5.0}

LEVERAGE = """
noise e ~ StudentT(6, 0, 1)
state h
obs r
init h ~ Normal(-1, 0.6)
h[t] ~ Normal(-1 + 0.9 * (h[t-1] + 1) - 0.2 * e[t-1], 0.25)
r[t] = exp(h[t] / 2) * e[t]
"""
LEVERAGE_OWN = LEVERAGE.replace("e[t-1]", "e[t]").replace("exp(h[t]", "exp(h[t-1]").replace("init h", "init h[-1]")
STDLIB = Path(__file__).resolve().parent.parent.parent / "stdlib" / "models"


def simulated(model: ssmlang.Model, params: dict[str, Any], rows: int, name: str = "y") -> np.ndarray:
    return model.simulate(rows, params, seed=1)[name].values.reshape(-1)


@pytest.mark.parametrize("text", [NEXT, OWN])
def test_multiplicative_smoothing_is_that_of_statsmodels(text: str) -> None:
    model = ssmlang.compile(text)
    y = simulated(model, SMOOTHED, 40)
    known = {"initialization_method": "known", "initial_level": 100.0}
    found = ETSModel(pd.Series(y), error="mul", **known).smooth(np.array([0.4]))
    sd = float(np.sqrt(np.mean((y / found.fittedvalues - 1) ** 2)))  # its likelihood is at the best one
    assert model.why().chosen == "recursion"
    assert float(model.log_likelihood({"y": y}, SMOOTHED | {"sd": sd})) == pytest.approx(found.llf, abs=1e-9)
    filtered = model.filter({"y": y}, SMOOTHED)
    np.testing.assert_allclose(filtered["observed_mean"].values[:, 0], found.fittedvalues, rtol=1e-12)
    np.testing.assert_allclose(filtered["observed_cov"].values[:, 0, 0], (0.1 * found.fittedvalues) ** 2, rtol=1e-12)
    # The level after a row is that of the row where the noise is its own, and else that of the next.
    own = model.smooth({"y": y}, SMOOTHED)["mean"].values[:, 0]
    np.testing.assert_allclose(own if text == OWN else own[1:], found.level[: 40 if text == OWN else 39], rtol=1e-12)
    assert ("predicted_mean" in filtered) == (text == NEXT)


def test_trend_and_season_are_those_of_statsmodels() -> None:
    start = np.array([0.8, 1.2, 1.1, 0.9])
    params = {"alpha": 0.3, "beta": 0.1, "gamma": 0.2, "first": 100.0, "slope": 1.0, "start": start, "sd": 0.05}
    model = ssmlang.compile(SEASONS.replace("SEASON", STATSMODELS))
    y = simulated(model, params, 30)
    known = {"initialization_method": "known", "initial_level": 100.0, "initial_trend": 1.0}
    found = ETSModel(pd.Series(y), error="mul", trend="add", seasonal="mul", seasonal_periods=4,
                     initial_seasonal=start[::-1], **known).smooth(np.array([0.3, 0.1, 0.2]))  # fmt: skip
    expected = stats.norm.logpdf(y, found.fittedvalues, 0.05 * np.abs(found.fittedvalues)).sum()
    assert float(model.log_likelihood({"y": y}, params)) == pytest.approx(expected, abs=1e-9)


def test_trend_and_season_are_those_of_hyndman() -> None:
    start = np.array([0.8, 1.2, 1.1, 0.9])
    params = {"alpha": 0.3, "beta": 0.1, "gamma": 0.2, "first": 100.0, "slope": 1.0, "start": start, "sd": 0.05}
    model = ssmlang.compile(SEASONS.replace("SEASON", HYNDMAN))
    y, (level, slope), season, expected = simulated(model, params, 30), (100.0, 1.0), list(start[::-1]), 0.0
    for t, value in enumerate(y):
        middle = (level + slope) * season[t]
        e = value / middle - 1
        expected += stats.norm.logpdf(value, middle, abs(middle) * 0.05)
        season.append(season[t] * (1 + 0.2 * e))
        level, slope = (level + slope) * (1 + 0.3 * e), slope + 0.1 * (level + slope) * e
    assert float(model.log_likelihood({"y": y}, params)) == pytest.approx(expected, abs=1e-9)


def garch(r: np.ndarray, law: str, p: dict[str, float]) -> float:
    v, total = p["omega"] / (1 - p["a"] - p["b"]), 0.0
    for value in r:
        total += LAWS[law](value, p["mu"], np.sqrt(v))
        v = p["omega"] + p["a"] * (value - p["mu"]) ** 2 + p["b"] * v
    return float(total)


@pytest.mark.parametrize("law", LAWS)
def test_garch(law: str) -> None:
    model = ssmlang.compile(GARCH.replace("LAW", law))
    r = simulated(model, RETURNS, 60, "r")
    assert model.why().chosen == "recursion"
    assert float(model.log_likelihood({"r": r}, RETURNS)) == pytest.approx(garch(r, law, RETURNS), abs=1e-10)
    shock = model.filter({"r": r}, RETURNS)["shock"].values
    np.testing.assert_allclose(shock, r - 0.1, rtol=1e-12)


def test_slopes_and_coming_rows_of_garch() -> None:
    law = "Normal(0, 1)"
    model = ssmlang.compile(GARCH.replace("LAW", law))
    r = simulated(model, RETURNS, 30, "r")
    value = lambda p: model.log_likelihood({"r": r}, p)
    with jax.enable_x64(True):
        slopes = jax.grad(value)({n: np.float64(v) for n, v in RETURNS.items()})
    for name in ("mu", "omega", "a", "b"):
        near = [garch(r, law, RETURNS | {name: RETURNS[name] + d}) for d in (-1e-5, 1e-5)]
        assert float(slopes[name]) == pytest.approx((near[1] - near[0]) / 2e-5, rel=1e-5, abs=1e-6)
    # The variances of coming rows: E v[t+1] = omega + (a + b) E v[t].
    found = model.forecast({"r": r}, RETURNS, 3, seed=1)
    ahead = found["mean"].values[:, 0]
    np.testing.assert_allclose(ahead[1:], 0.05 + 0.9 * ahead[:-1], rtol=0.02)
    assert found.attrs["engine"] == "particle"


def test_a_missing_return_has_its_law() -> None:
    """The likelihood with a gap is the integral of those without over the value in the gap."""
    law = "Normal(0, 1)"
    model = ssmlang.compile(GARCH.replace("LAW", law))
    params = RETURNS | {"a": 0.5, "b": 0.3}
    r = simulated(model, params, 12, "r")
    filled = lambda x: np.exp(garch(np.where(np.arange(12) == 5, x, r), law, params))
    expected = np.log(integrate.quad(filled, -10, 10, points=[0])[0])
    r[5] = np.nan
    found = model.log_likelihood({"r": r}, params, engine=Particle(40_000), seed=1)
    assert float(found) == pytest.approx(expected, abs=0.01)
    assert model.filter({"r": r}, params, seed=1).attrs["engine"] == "particle"
    with pytest.raises(ssmlang.SsmError, match=r'E306(.|\n)*use engine="particle"'):
        model.log_likelihood({"r": r}, params, engine="recursion")
    smoothed = ssmlang.compile(NEXT)  # of which nothing is moved by the last row
    assert smoothed.filter({"y": np.array([90.0, np.nan])}, SMOOTHED).attrs["engine"] == "recursion"


ERRORS = """
noise z ~ Normal(0, 1)
state v
obs r
let shock[t] = sqrt(v[t]) * z[t]
init v = 0.25
v[t] = VARIANCE
r[t] = 0.1 + 0.3 * r[t-1] + shock[t]
"""


def errors(r: np.ndarray, first: float) -> float:
    """log p(r | r[0]) of an autoregression with GARCH errors, with the variance of row 1."""
    v = total = 0.0
    for t in range(1, len(r)):
        shock = r[t - 1] - 0.1 - 0.3 * (r[t - 2] if t > 1 else 0)
        v = first if t == 1 else 0.05 + 0.2 * shock**2 + 0.6 * v
        total += stats.norm.logpdf(r[t], 0.1 + 0.3 * r[t - 1], np.sqrt(v))
    return float(total)


def test_the_first_shock_of_an_autoregression_is_not_seen() -> None:
    """Row 0 tells nothing of its noise: it has its law, or the program says what stands for it."""
    r = np.random.default_rng(0).normal(size=15) / 2
    moved = "0.05 + 0.2 * shock[t-1]^2 + 0.6 * v[t-1]"
    said = ssmlang.compile(ERRORS.replace("VARIANCE", f"if t > 1 then {moved} else 0.25"))
    assert said.why().chosen == "recursion"
    assert float(said.log_likelihood({"r": r}, {})) == pytest.approx(errors(r, 0.25), abs=1e-10)
    shock = said.filter({"r": r}, {})["shock"].values
    assert np.isnan(shock[0]) and shock[1] == pytest.approx(r[1] - 0.1 - 0.3 * r[0])
    drawn = ssmlang.compile(ERRORS.replace("VARIANCE", moved))
    over = lambda z: np.exp(errors(r, 0.2 + 0.2 * 0.25 * z**2)) * stats.norm.pdf(z)
    expected = np.log(integrate.quad(over, -8, 8)[0])
    found = drawn.log_likelihood({"r": r}, {}, engine=Particle(20_000), seed=1)
    assert drawn.why().chosen == "particle" and float(found) == pytest.approx(expected, abs=0.01)


def test_shocks_of_two_rows_back() -> None:
    text = ERRORS.replace("VARIANCE", "0.05 + sum([0.1, 0.2][k-1] * shock[t-k]^2 for k in 1..min(2, t))")
    model = ssmlang.compile(text.replace("0.1 + 0.3 * r[t-1] + ", "").replace("Normal(0, 1)", "Laplace(0, 1)"))
    r = np.random.default_rng(0).normal(size=12)
    v = [0.25, *(0.05 + 0.1 * r[t - 1] ** 2 + 0.2 * (r[t - 2] ** 2 if t > 1 else 0) for t in range(1, 12))]
    expected = stats.laplace.logpdf(r, 0, np.sqrt(v)).sum()
    assert float(model.log_likelihood({"r": r}, {})) == pytest.approx(expected, abs=1e-10)


def test_a_level_driven_by_its_score() -> None:
    model = ssmlang.compile(STDLIB / "score_driven.ssm")
    p = {"phi": 0.9, "gain": 0.5, "sd": 0.4, "df": 4.0}
    y, level, expected = simulated(model, p, 50), 0.0, 0.0
    for value in y:
        expected += stats.t.logpdf(value, 4, level, 0.4)
        e = value - level
        level = 0.9 * level + 0.5 * e / (1 + e**2 / (4 * 0.4**2))
    assert float(model.log_likelihood({"y": y}, p)) == pytest.approx(expected, abs=1e-10)


def on_a_grid(r: np.ndarray) -> float:
    """log p(r) of both programs, h summed over a grid: that of a row is the one that r reads."""
    h = np.linspace(-6, 4, 800)
    p, total = stats.norm.pdf(h, -1, 0.6) * (h[1] - h[0]), 0.0
    for value in r:
        e = value * np.exp(-h / 2)
        seen = p * stats.t.pdf(e, 6) * np.exp(-h / 2)
        total += np.log(seen.sum())
        mean = -1 + 0.9 * (h + 1) - 0.2 * e
        p = stats.norm.pdf(h[:, None], mean, 0.25) @ (seen / seen.sum()) * (h[1] - h[0])
    return float(total)


@pytest.mark.parametrize("text", [LEVERAGE, LEVERAGE_OWN], ids=["next", "own"])
@pytest.mark.parametrize("engine", ["particle", "laplace"])
def test_leverage_of_a_heavy_tailed_return(engine: str, text: str) -> None:
    model = ssmlang.compile(text)
    r = simulated(model, {}, 25, "r")
    assert float(model.log_likelihood({"r": r}, {}, engine, seed=1)) == pytest.approx(on_a_grid(r), abs=0.3)


SAME_ROW = """
noise e, n ~ Normal(0, 1)
state h
obs r
init h ~ Normal(-1, 0.9)
h[t] RELATION
r[t] = exp(h[t] / 2) * e[t]
"""


ABOUT = "~ Normal(-1 + 0.9 * (h[t-1] + 1) - 0.28 * e[t], 0.4 * sqrt(0.51))"
SUMMED = "= -1 + 0.9 * (h[t-1] + 1) - 0.28 * e[t] + 0.4 * sqrt(0.51) * n[t]"


@pytest.mark.parametrize("engine", ["particle", "laplace"])
@pytest.mark.parametrize("relation", [ABOUT, SUMMED], ids=["law", "noise"])
def test_a_volatility_moved_by_the_return_of_its_row(relation: str, engine: str) -> None:
    """h is summed over a grid: r given it is Gaussian about the part of its noise that h tells."""
    text = SAME_ROW.replace("RELATION", relation)
    model = ssmlang.compile(text if "n[t]" in relation else text.replace("e, n", "e"))
    r = simulated(model, {}, 20, "r")
    h = np.linspace(-6, 4, 600)
    off = (h[:, None] - (-1 + 0.9 * (h + 1))) / 0.4
    p, expected, sd = stats.norm.pdf(h, -1, 0.9), 0.0, np.exp(h / 2)
    for t, value in enumerate(r):
        told = stats.norm.pdf(value, -0.7 * sd[:, None] * off, sd[:, None] * np.sqrt(0.51))
        moved = stats.norm.pdf(off) / 0.4 * told
        p = (moved @ p if t else p * stats.norm.pdf(value, 0, sd)) * (h[1] - h[0])
        expected += np.log(p.sum())
        p /= p.sum()
    assert model.why().chosen == "laplace"
    within = 0.05 if engine == "laplace" else 0.3
    assert float(model.log_likelihood({"r": r}, {}, engine, seed=1)) == pytest.approx(expected, abs=within)


@pytest.mark.parametrize("text", [NEXT, OWN])
def test_row_by_row(text: str) -> None:
    model = ssmlang.compile(text)
    y = np.array([90.0, 105.0, 99.0])
    filtered, state = model.filter({"y": y}, SMOOTHED), model.initial_state(SMOOTHED)
    assert state.engine == "recursion"
    for t in range(3):
        state = model.step(state, {"y": y[t]})
        np.testing.assert_allclose(state.mean, filtered["mean"][t], rtol=1e-12)
    assert state.log_likelihood == pytest.approx(float(filtered["log_likelihood"].sum()), abs=1e-12)
    if text == NEXT:  # a row that is not seen yet; one after it would have to know it
        state = model.step(state, {})
        assert float(state.observed_mean[0]) == pytest.approx(float(state.mean[0]))
    reads = "reads it in row 4" if text == NEXT else "is read in its own row"
    with pytest.raises(ssmlang.SsmError, match=rf'E413(.|\n)*{reads}(.|\n)*engine="particle" takes it'):
        model.step(state, {})


def test_a_fit_finds_the_maximum_and_forecasts() -> None:
    law = "Normal(0, 1)"
    model = ssmlang.compile(GARCH.replace("LAW", law).replace("param df ~ HalfNormal(9)\n", ""))
    r = simulated(model, {"mu": 0.1, "omega": 0.05, "a": 0.3, "b": 0.5}, 150, "r")
    fit = model.fit({"r": r}, "mle")
    names = ("mu", "omega", "a", "b")
    goal = lambda x: -garch(r, law, dict(zip(names, x)))
    best = optimize.minimize(goal, [fit.params[n] for n in names], method="Nelder-Mead")
    assert fit.engine == "recursion"
    assert garch(r, law, fit.params) == pytest.approx(-best.fun, abs=1e-4)  # type: ignore[arg-type]
    # Paths from the state that the data leave: the next variance is known, those after it on average.
    v = fit.params["omega"] / (1 - fit.params["a"] - fit.params["b"])
    for value in r:
        v = fit.params["omega"] + fit.params["a"] * (value - fit.params["mu"]) ** 2 + fit.params["b"] * v
    later = fit.params["omega"] + (fit.params["a"] + fit.params["b"]) * v
    ahead = fit.forecast(2)
    np.testing.assert_allclose(ahead["mean"].values[:, 0], [v, later], rtol=0.02)
    np.testing.assert_allclose(ahead["observed_cov"].values[:, 0, 0], [v, later], rtol=0.02)
    assert ahead["mean"].values[0, 0] == pytest.approx(v, rel=1e-9)


def test_quantiles_of_coming_rows_have_the_tails_of_the_noise() -> None:
    """The next row has the law of the noise about a known level; a missing last row is drawn on the way."""
    text = "param k ~ Normal(0.5, 0.1)\nnoise e ~ StudentT(3, 0, 1)\nstate m\nobs y\ninit m = 0\n"
    model = ssmlang.compile(text + "m[t] = 0.5 * m[t-1] + k * tanh(e[t-1])\ny[t] = m[t] + e[t]\n")
    y = np.array([1.0, -2.0, 0.5, 3.0, -1.0])
    level = 0.0
    fit = model.fit({"y": y}, "map")
    for value in y:
        level = 0.5 * level + fit.params["k"] * np.tanh(value - level)
    quantiles = fit.forecast(1)["observed_quantile"].values[:, 0, 0]
    expected = level + stats.t.ppf([0.05, 0.25, 0.5, 0.75, 0.95], 3)
    np.testing.assert_allclose(quantiles, expected, atol=0.25)
    assert quantiles[-1] - quantiles[0] < 2 * 1.645 * np.sqrt(3) - 0.5  # that of a normal law of its variance
    y[-1] = np.nan
    fit = model.fit({"y": y}, "map")
    assert fit.engine == "recursion" and float(fit.forecast(1)["cov"].values[0, 0, 0]) > 0.01


def test_a_definition_that_reads_a_missing_observation_has_its_law() -> None:
    """It was worked out with zero in place of what the last row lacks."""
    model = ssmlang.compile(
        "state m\nobs y\nlet left[t] = y[t] - m[t]\ninit m ~ Normal(0, 1)\n"
        "m[t] = 0.9 * m[t-1] + 0.1 * sin(y[t-1])\ny[t] ~ Normal(exp(m[t]), 1)\n"
    )
    found = model.filter({"y": np.array([1.0, 2.0, np.nan])}, {}, engine="ukf")
    np.testing.assert_allclose(found["left"][-1], found["observed_mean"][-1, 0] - found["mean"][-1, 0], rtol=1e-9)
