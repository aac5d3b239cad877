"""`Diffuse()` where observations are not Gaussian: by `laplace` and `importance`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ssmlang
from ssmlang.engines import Importance

TREND = """param sd ~ HalfNormal(1)
state x, v
obs y
init x, v ~ Diffuse()
x[t] ~ Normal(x[t-1] + v[t-1], sd)
v[t] ~ Normal(v[t-1], sd)
y[t] ~ Normal(x[t], 0.7)
"""
COUNTS = """param sd ~ HalfNormal(1)
state x
obs y
init x ~ Diffuse()
x[t] ~ Normal(x[t-1], sd)
y[t] ~ Poisson(exp(x[t]))
"""
Y = [0, 3, 4, 2, 5, 0, 1.0]
MONTHLY = """from structural import local_level, seasonal
param sd_level, sd_season ~ HalfNormal(0.1)
part level = local_level(sd_level)
part season = seasonal(period = 4, sd = sd_season)
obs y
y[t] ~ Poisson(exp(level[t] + season[t]))
"""


def test_where_all_is_gaussian_they_agree_with_kalman():
    model, data, params = ssmlang.compile(TREND), {"y": [3, 4, np.nan, 5, 6.0]}, {"sd": 0.2}
    exact, found = (model.filter(data, params, engine=e) for e in ("kalman", "laplace"))
    assert np.isinf(exact["cov"]).any()
    for name in exact.data_vars:
        np.testing.assert_allclose(found[name], exact[name], atol=1e-8, err_msg=str(name))
    exact, found = (model.smooth(data, params, engine=e) for e in ("kalman", "laplace"))
    np.testing.assert_allclose(found["mean"], exact["mean"], atol=1e-9)
    np.testing.assert_allclose(found["cov"], exact["cov"], atol=1e-9)


def grid(y: list[float], sd: float) -> tuple[float, float, float]:
    """Log-likelihood, and mean and sd of the last state, by summation; the first law has density one."""
    x = np.linspace(-14, 8, 2001)
    h = x[1] - x[0]
    moves, law = stats.norm.pdf(x[:, None], x, sd) * h, np.ones_like(x)
    for t, seen in enumerate(y):
        law = (moves @ law if t else law) * stats.poisson.pmf(seen, np.exp(x))
    total = law.sum() * h
    mean = (law * x).sum() * h / total
    return np.log(total), mean, np.sqrt((law * (x - mean) ** 2).sum() * h / total)


def test_the_likelihood_of_counts_from_a_flat_start():
    model, params = ssmlang.compile(COUNTS), {"sd": 0.3}
    assert model.why().chosen == "laplace"
    assert float(model.log_likelihood({"y": Y}, params)) == pytest.approx(grid(Y, 0.3)[0], abs=0.02)


def test_counts_from_a_flat_start():
    model, params = ssmlang.compile(COUNTS), {"sd": 0.3}
    total, mean, sd = grid(Y, 0.3)
    near = float(model.log_likelihood({"y": Y}, params))
    right = float(model.log_likelihood({"y": Y}, params, engine=Importance(samples=4000)))
    assert right == pytest.approx(total, abs=0.002)
    found = model.filter({"y": Y}, params)
    assert float(found.log_likelihood.sum()) == pytest.approx(near, abs=1e-8)
    # A first row without a count leaves the level as flat as it was.
    assert np.isinf(found["cov"].values[0, 0, 0])
    assert np.isfinite(found["cov"].values[1:]).all()
    smoothed = model.smooth({"y": Y}, params, engine=Importance(samples=4000))
    assert float(smoothed["mean"][-1, 0]) == pytest.approx(mean, abs=0.03 * sd)
    assert np.isnan(model.residuals({"y": Y}, params).standardized.values[:2]).all()


def test_trend_and_season_of_counts_under_auto():
    rng = np.random.default_rng(1)
    y = rng.poisson(np.exp(1.5 + 0.5 * np.cos(np.pi * np.arange(24) / 2))).astype(float)
    y[9] = np.nan
    model, params = ssmlang.compile(MONTHLY), {"sd_level": 0.06, "sd_season": 0.02}
    near, right = (float(model.log_likelihood({"y": y}, params, engine=e)) for e in ("auto", Importance(samples=2000)))
    assert near == pytest.approx(right, abs=0.05)
    fit = model.fit({"y": y}, "map")
    ahead = fit.forecast(4)
    quantiles = ahead.observed_quantile.values
    np.testing.assert_array_equal(quantiles, np.floor(quantiles))
    assert np.all(np.diff(quantiles, axis=0) >= 0)


def test_states_that_bend_need_a_law_to_start_from():
    bent = ssmlang.compile(COUNTS.replace("Normal(x[t-1], sd)", "Normal(sin(x[t-1]), sd)"))
    with pytest.raises(ssmlang.SsmError, match="a diffuse start has infinite variance"):
        bent.log_likelihood({"y": Y}, {"sd": 0.3})


VAGUE = COUNTS.replace("Diffuse()", "Normal(0, 1000)")


def test_a_start_so_wide_that_means_ahead_are_beyond_all_numbers():
    """exp(x) has no finite mean before the first count; the states and the likelihood have all of theirs."""
    y = [2.0, *Y[1:]]
    found = ssmlang.compile(VAGUE).filter({"y": y}, {"sd": 0.3}, engine="laplace")
    assert np.isinf(found["observed_mean"][0]) and np.isinf(found["observed_cov"][0]).all()
    assert np.isfinite(found["observed_cov"][2:]).all() and np.isfinite(found["mean"]).all()
    truth, mean, sd = grid(y, 0.3)
    constant = stats.norm.logpdf(0, 0, 1000)  # that of the wide law where the data put the states
    assert float(found["log_likelihood"].sum()) == pytest.approx(truth + constant, abs=0.15)
    assert float(found["mean"][-1, 0]) == pytest.approx(mean, abs=0.3 * sd)


def test_few_successes_have_a_most_probable_path():
    """The search begins at log-odds of zero, where the density had a wrong slope and nothing was found."""
    text = COUNTS.replace("Diffuse()", "Normal(0, 10)").replace("Poisson(exp(x[t]))", "Bernoulli(logits = x[t])")
    model = ssmlang.compile(text)
    y = [0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0.0]
    x = np.linspace(-14, 8, 2001)
    moves, law = stats.norm.pdf(x[:, None], x, 0.3) * (x[1] - x[0]), stats.norm.pdf(x, 0, 10)
    for t, seen in enumerate(y):
        law = (moves @ law if t else law) / (1 + np.exp(-x if seen else x))
    truth = np.log(law.sum() * (x[1] - x[0]))
    assert float(model.log_likelihood({"y": y}, {"sd": 0.3}, engine="laplace")) == pytest.approx(truth, abs=0.1)
    assert float(model.log_likelihood({"y": y}, {"sd": 0.3}, engine="importance")) == pytest.approx(truth, abs=0.02)
