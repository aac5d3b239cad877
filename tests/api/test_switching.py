"""Switching linear programs: regimes and states, by `imm` and beside what is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines import IMM
from tests.lowering import gnp

MIXED = """axis regime = {calm, wild}
param phi ~ Normal(0, 1)
param mu[regime] ~ Normal(0, 1)
state s in regime
state x
obs y, k
init s ~ Categorical([0.5, 0.5])
init x ~ Normal(0, 1)
s[t] ~ Categorical(if s[t-1] == calm then [0.9, 0.1] else [0.2, 0.8])
x[t] ~ Normal(mu[s[t]] + phi * x[t-1], if s[t] == wild then 2 else 1)
y[t] ~ Normal(x[t], if s[t] == wild then 1 else 0.5)
k[t] ~ Poisson(if s[t] == wild then 3 else 1)
let hot[t] = if s[t] == wild then x[t] else 0
"""
MIXED_PARAMS = {"phi": 0.5, "mu": np.array([0.0, 1.0])}


def every_regime(y, k):
    """Log-likelihood, P(wild), mean and variance of x given all rows, by the joint law of each path of the regimes."""
    T = len(y)
    total, wild, first, second, hot = 0.0, np.zeros(T), np.zeros(T), np.zeros(T), np.zeros(T)
    for number in range(2**T):
        path = [(number >> t) & 1 for t in range(T)]
        w = 0.5 * np.prod([[0.9, 0.1, 0.2, 0.8][2 * a + b] for a, b in itertools.pairwise(path)])
        w *= np.prod([stats.poisson.pmf(v, [1, 3][s]) for v, s in zip(k, path) if v == v])
        mean, cov = np.zeros(T), np.zeros((T, T))
        cov[0, 0] = 1
        for t in range(1, T):
            mean[t] = path[t] + 0.5 * mean[t - 1]
            cov[t, :t] = cov[:t, t] = 0.5 * cov[t - 1, :t]
            cov[t, t] = 0.25 * cov[t - 1, t - 1] + [1, 4][path[t]]
        at = np.flatnonzero(~np.isnan(y))
        S = cov[np.ix_(at, at)] + np.diag([[0.25, 1][path[t]] for t in at])
        w *= stats.multivariate_normal.pdf(y[at], mean[at], S)
        gain = np.linalg.solve(S, cov[at]).T
        m, c = mean + gain @ (y[at] - mean[at]), np.diag(cov - gain @ cov[at])
        total += w
        wild += w * np.array(path)
        first, second = first + w * m, second + w * (c + m**2)
        hot += w * np.array(path) * m
    first, second = first / total, second / total
    return np.log(total), wild / total, first, second - first**2, hot / total


def test_with_all_regimes_remembered_a_switching_model_is_exact():
    model = ssmlang.compile(MIXED)
    assert model.why().chosen == "imm"
    y, k = np.array([0.3, 1.5, np.nan, 4.0, 0.2]), np.array([1.0, np.nan, 4.0, 2.0, 0.0])
    total, wild, mean, variance, hot = every_regime(y, k)
    data, engine = {"y": y, "k": k}, IMM(history=5)
    assert float(model.log_likelihood(data, MIXED_PARAMS, engine=engine)) == pytest.approx(total, abs=1e-10)
    found = model.smooth(data, MIXED_PARAMS, engine=engine)
    np.testing.assert_allclose(found.s_probability.sel(regime="wild"), wild, atol=1e-10)
    np.testing.assert_allclose(found["mean"].sel(state="x"), mean, atol=1e-9)
    np.testing.assert_allclose(found["cov"].sel(state="x", state_="x"), variance, atol=1e-9)
    np.testing.assert_allclose(found.hot, hot, atol=1e-9)
    assert np.isnan(found["mean"].sel(state="s")).all()
    near = model.log_likelihood(data, MIXED_PARAMS)
    assert float(near) == pytest.approx(total, abs=0.05)
    assert float(near) != pytest.approx(total, abs=1e-9)
    assert "collapsed" in model.smooth(data, MIXED_PARAMS).approximation
    assert list(found.obs.values) == ["y", "k"]


def test_paths_of_regimes_and_states_have_their_exact_law():
    model = ssmlang.compile(MIXED)
    y, k = np.array([0.3, 1.5, np.nan, 4.0, 0.2]), np.array([1.0, np.nan, 4.0, 2.0, 0.0])
    _, wild, mean, variance, _ = every_regime(y, k)
    found = model.smooth({"y": y, "k": k}, MIXED_PARAMS, paths=4000, seed=1)
    s, x = (found.paths.sel(state=n).values for n in ("s", "x"))
    np.testing.assert_allclose(s.mean(axis=0), wild, atol=0.03)
    np.testing.assert_allclose((x.mean(axis=0) - mean) / np.sqrt(variance), 0, atol=0.07)
    np.testing.assert_allclose(x.var(axis=0) / variance, 1, atol=0.12)
    few = model.smooth({"y": y, "k": k}, MIXED_PARAMS, paths=3, seed=1)
    np.testing.assert_array_equal(few.paths, found.paths[:3])  # a path is the same however many are drawn


BOUND = """axis regime = {off, on}
param q ~ HalfNormal(1)
state s in regime
state x
obs y
init s ~ Categorical([0.5, 0.5])
s[t] ~ Categorical(if s[t-1] == on then [0.3, 0.7] else [0.8, 0.2])
init x[-1] ~ Normal(0, 1)
x[t] ~ Normal(0.5 * x[t-1], q)
y[t] = x[t-1] + (if s[t] == on then 1 else 0)
"""


def test_paths_where_data_bind_the_states_exactly():
    """Given the regimes y tells the state before: all 2^5 of them by enumeration."""
    y, q = np.array([0.4, 0.9, -0.6, 1.3, 0.2]), 0.6
    total, on, x = 0.0, np.zeros(5), np.zeros(5)
    for s in itertools.product([0, 1], repeat=5):
        s = np.array(s)
        before = y - s
        p = 0.5 * np.prod(np.array([[0.8, 0.2], [0.3, 0.7]])[s[:-1], s[1:]]) * stats.norm.pdf(before[0])
        p = p * stats.norm.pdf(before[1:], 0.5 * before[:-1], q).prod()
        total, on = total + p, on + p * s
        x = x + p * np.append(before[1:], 0.5 * before[-1])
    found = ssmlang.compile(BOUND).smooth({"y": y}, {"q": q}, engine=IMM(proposals=16), paths=800, seed=2)
    drawn = found.paths
    np.testing.assert_allclose(drawn.sel(state="s").mean("path"), on / total, atol=0.06)
    np.testing.assert_allclose(drawn.sel(state="x").mean("path"), x / total, atol=0.07)
    told = drawn.sel(state="x").values[:, :-1] + drawn.sel(state="s").values[:, 1:]
    np.testing.assert_allclose(told, np.broadcast_to(y[1:], told.shape), atol=1e-9)


def test_quantiles_of_states_are_those_of_the_mixture():
    """Two humps, six apart: the normal law of their mean and sd has its quartiles at 2, the mixture near 3."""
    text = """axis regime = {low, high}
param q ~ HalfNormal(1)
let mid[regime] = [-3, 3]
state s in regime
state x
obs y
init s ~ Categorical([0.5, 0.5])
s[t] ~ Categorical([0.5, 0.5])
x[t] ~ Normal(mid[s[t]], q)
y[t] ~ Normal(x[t], 0.1)
"""
    model = ssmlang.compile(text)
    fit = model.fit({"y": np.array([-3.2, 2.9, 3.3, -2.5, -3.1, 3.4])}, "map", "imm")
    found = fit.forecast(1).state_quantile.sel(state="x").values[:, 0]
    q = float(fit.params["q"])
    each = np.array([-3 + q * stats.norm.ppf(0.1), -3, 3, 3 + q * stats.norm.ppf(0.9)])
    np.testing.assert_allclose(found[[0, 1, 3, 4]], each, atol=0.02)


def test_paths_where_a_gap_is_part_of_the_real_state():
    model = ssmlang.compile(gnp.MODEL)
    gaps = gnp.GROWTH[:24].copy()
    gaps[20] = np.nan
    found = model.smooth({"y": gaps}, gnp.PUBLISHED, engine="imm", paths=300)
    drawn = found.paths.sel(state="s").values == 1
    np.testing.assert_allclose(drawn.mean(axis=0), found.s_probability.isel(regime=1), atol=0.1)


def test_a_switching_autoregression_with_gaps_and_forecasts():
    model = ssmlang.compile(gnp.MODEL)
    full = {"y": gnp.GROWTH[:40]}
    exact = float(model.log_likelihood(full, gnp.PUBLISHED))
    assert float(model.log_likelihood(full, gnp.PUBLISHED, engine="imm")) == pytest.approx(exact, abs=1e-9)
    ahead = model.forecast(full, gnp.PUBLISHED, 2)
    assert "imm" in ahead.forecast_by
    p = gnp.PUBLISHED
    now = model.filter(full, p)  # the exact law of the next row, from the pairs of regimes that can be
    np.testing.assert_allclose(ahead.s_probability[0], now.s_probability.values[-1] @ np.array(
        [[p["stay"][0], 1 - p["stay"][0]], [1 - p["stay"][1], p["stay"][1]]]), atol=1e-9)  # fmt: skip
    more = np.append(full["y"], 0.7)
    np.testing.assert_allclose(ahead.observed_mean[0], model.filter({"y": more}, p).observed_mean[-1], atol=1e-9)
    np.testing.assert_allclose(ahead.observed_cov[0], model.filter({"y": more}, p).observed_cov[-1], atol=1e-9)
    gaps = gnp.GROWTH[:40].copy()
    gaps[20] = np.nan
    assert np.isfinite(model.log_likelihood({"y": gaps}, gnp.PUBLISHED, engine="imm"))


def test_what_imm_cannot_take_is_said():
    reading = MIXED.replace("s[t-1] == calm then", "x[t-1] > 0 then")
    with pytest.raises(ssmlang.SsmError, match="s depends on x"):
        ssmlang.compile(reading).log_likelihood({"y": [0.1], "k": [1.0]}, MIXED_PARAMS, engine="imm")
    bent = MIXED.replace("Normal(x[t], if", "Normal(exp(x[t]), if")
    with pytest.raises(ssmlang.SsmError, match="E304"):
        ssmlang.compile(bent).log_likelihood({"y": [0.1], "k": [1.0]}, MIXED_PARAMS, engine="imm")
